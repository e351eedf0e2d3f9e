"""Flows inside flows: what enters one, and where it comes back, in all modes and schedules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.errors import FlowBuildError, OperationError
from flowrt.operations.contract import Emitter
from tests.kit.flows import Bench, assert_ledger, at_ports, every_mode, every_schedule, flow_of, wire
from tests.kit.functions import SECONDS, countdown, double, increment


def calculating(bench: Bench, *chains: str, flows: Iterable[Flow] = ()) -> FlowRuntime:
    """A runtime with these streams and flows, and three functions for them."""
    return bench.wired(*chains, flows=flows, funcs={"increment": increment, "double": double, "text": str})


# --- Entering and leaving


@every_mode
def test_a_nested_flow_works_like_an_operation(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> increment -> double -> .out")
    with calculating(bench, ".in -> inner.in", "inner.out -> .out", flows=[inner]) as runtime:
        values = runtime.process_many(".in", range(10)).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged((number + 1) * 2 for number in range(10))


@every_mode
def test_a_runtime_runs_the_flow_it_is_given(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> double -> .out", operations=bench.operations(funcs={"double": double}))
    outer = flow_of("", ".in -> inner.in", "inner.out -> .out", flows=[inner])

    with bench.make_runtime(outer) as runtime:
        assert runtime.process(".in", 4).values(timeout=SECONDS) == [8]


@every_mode
def test_names_of_a_flow_may_be_written_out_in_full(bench: Bench) -> None:
    """B080."""
    with calculating(bench, ".in -> f.in", "f/.in -> f/double -> f/.out", "f.out -> .out") as runtime:
        assert runtime.process(".in", 4).values(timeout=SECONDS) == [8]


@every_mode
def test_the_unnamed_port_of_a_flow_pairs_with_calls_without_a_port(bench: Bench) -> None:
    inner = flow_of("inner", ". -> double -> .")
    with calculating(bench, ".in -> inner -> .out", flows=[inner]) as runtime:
        assert runtime.process(".in", 4).values(timeout=SECONDS) == [8]


@every_mode
def test_a_flow_may_have_many_in_and_out_ports(bench: Bench) -> None:
    """B083."""
    inner = flow_of("inner", ".a -> increment -> .x", ".b -> double -> .y", ".b -> .z")
    with calculating(
        bench,
        ".one -> inner.a",
        ".two -> inner.b",
        "inner.x -> .x",
        "inner.y -> .y",
        "inner.z -> .z",
        flows=[inner],
    ) as runtime:
        one = list(runtime.process(".one", 10).results())
        two = list(runtime.process(".two", 10).results())

    assert at_ports(one) == [("x", 11)]
    assert sorted(at_ports(two)) == [("y", 20), ("z", 10)]


@every_mode
def test_instances_of_a_flow_return_to_their_own_callers(bench: Bench) -> None:
    """B086."""
    inner = flow_of("inner", ".in -> double -> .out")
    with calculating(
        bench,
        ".a -> inner#1.in",
        "inner#1.out -> .first",
        ".b -> inner#2.in",
        "inner#2.out -> .second",
        flows=[inner],
    ) as runtime:
        first = runtime.process(".a", 1).result(timeout=SECONDS)
        second = runtime.process(".b", 2).result(timeout=SECONDS)

    assert at_ports([first, second]) == [("first", 2), ("second", 4)]


@every_mode
def test_instances_of_an_operation_have_streams_of_their_own(bench: Bench) -> None:
    """B070, B071."""
    with calculating(
        bench, ".a -> increment#1 -> .first", ".b -> increment#2 -> increment#3 -> .second"
    ) as runtime:
        messages = [*runtime.process(".a", 1).results(), *runtime.process(".b", 1).results()]

    assert at_ports(messages) == [("first", 2), ("second", 3)]


@every_mode
def test_a_flow_shared_by_two_parents_returns_to_each(bench: Bench) -> None:
    """B084."""
    shared = flow_of("shared", ".in -> double -> .out")
    left = flow_of("left", ".in -> shared.in", "shared.out -> increment -> .out", flows=[shared])
    right = flow_of("right", ".in -> shared.in", "shared.out -> text -> .out", flows=[shared])
    with calculating(
        bench,
        ".in -> left.in",
        ".in -> right.in",
        "left.out -> .left",
        "right.out -> .right",
        flows=[left, right],
    ) as runtime:
        messages = list(runtime.process(".in", 5).results())

    assert sorted(at_ports(messages)) == [("left", 11), ("right", "10")]


@every_mode
def test_flows_nest_three_deep(bench: Bench) -> None:
    deepest = flow_of("deepest", ".in -> double -> .out")
    middle = flow_of("middle", ".in -> deepest.in", "deepest.out -> increment -> .out", flows=[deepest])
    outer = flow_of("outer", ".in -> increment -> middle.in", "middle.out -> double -> .out", flows=[middle])
    with calculating(bench, ".in -> outer.in", "outer.out -> .out", flows=[outer]) as runtime:
        values = runtime.process_many(".in", [0, 1, 2]).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged(((number + 1) * 2 + 1) * 2 for number in range(3))


@every_mode
def test_a_flow_at_the_root_may_be_called_from_any_depth(bench: Bench) -> None:
    """B087."""
    common = flow_of("common", ".in -> double -> .out")
    inner = flow_of("inner", ".in -> common.in", "common.out -> increment -> .out")
    outer = flow_of("outer", ".in -> inner.in", "inner.out -> increment -> .out", flows=[inner])
    with calculating(
        bench,
        ".deep -> outer.in",
        "outer.out -> .deep_out",
        ".here -> common.in",
        "common.out -> .here_out",
        flows=[common, outer],
    ) as runtime:
        deep = runtime.process(".deep", 10).result(timeout=SECONDS)
        here = runtime.process(".here", 10).result(timeout=SECONDS)

    assert at_ports([deep, here]) == [("deep_out", 22), ("here_out", 20)]


@every_mode
def test_operations_of_a_flow_belong_to_it(bench: Bench) -> None:
    left = flow_of("left", ".in -> work -> .out", operations=bench.operations(funcs={"work": increment}))
    right = flow_of("right", ".in -> work -> .out", operations=bench.operations(funcs={"work": double}))
    with bench.make_runtime() as runtime:
        runtime.add_flow(left).add_flow(right)
        wire(runtime, ".in -> left.in", "left.out -> right.in", "right.out -> .out")

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [12]


@every_mode
def test_an_operation_wins_over_a_flow_of_its_name(bench: Bench) -> None:
    """B088."""
    flow = flow_of("work", ". -> .out")
    with bench.wired(".in -> work -> .out", flows=[flow], funcs={"work": double}) as runtime:
        assert runtime.process(".in", 5).values(timeout=SECONDS) == [10]


@every_mode
@pytest.mark.parametrize("levels", [0, 1, 2, 25])
def test_a_flow_may_call_itself(bench: Bench, levels: int) -> None:
    """B085."""
    flow = flow_of(
        "count", ".in -> step", "step.done -> .out", "step.again -> count.in", "count.out -> mark -> .out"
    )
    with bench.wired(
        ".in -> count.in",
        "count.out -> .out",
        flows=[flow],
        actions={"step": countdown},
        funcs={"mark": lambda text: text + "!"},
    ) as runtime:
        values = runtime.process(".in", levels).values(timeout=SECONDS)

    # One mark for each level it returned through.
    assert values == ["liftoff" + "!" * levels]


@every_mode
@pytest.mark.parametrize("levels", [0, 1, 2, 25])
def test_two_flows_may_call_each_other(bench: Bench, levels: int) -> None:
    """B085."""
    ping = flow_of(
        "ping", ".in -> step", "step.done -> .out", "step.again -> pong.in", "pong.out -> i -> .out"
    )
    pong = flow_of(
        "pong", ".in -> step", "step.done -> .out", "step.again -> ping.in", "ping.out -> o -> .out"
    )
    with bench.wired(
        ".in -> ping.in",
        "ping.out -> .out",
        flows=[ping, pong],
        actions={"step": countdown},
        funcs={"i": lambda text: text + "i", "o": lambda text: text + "o"},
    ) as runtime:
        values = runtime.process(".in", levels).values(timeout=SECONDS)

    # The deepest level returns first, to the one that called it.
    expected = "".join("io"[level % 2] for level in reversed(range(levels)))
    assert values == ["liftoff" + expected]


@every_mode
def test_an_output_that_leaves_a_flow_towards_nothing_is_counted(bench: Bench) -> None:
    """B093."""
    inner = flow_of("inner", ".in -> double -> .out", "double -> .other")
    with calculating(bench, ".in -> inner.in", "inner.out -> .out", flows=[inner]) as runtime:
        run = runtime.process(".in", 5)

        assert run.values(timeout=SECONDS) == [10]
        assert_ledger(run, accepted=1, born=1, delivered=1, unconnected=1)


@every_mode
@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ((".in -> inner.x", ".in -> inner.x"), (".x -> double -> .out",)),
        ((".in -> inner.x", ".in -> inner.y"), (".x -> double -> .out", ".y -> double")),
        ((".in -> inner.x",), (".x -> double -> .out", "double -> .out")),
        ((".in -> inner.x -> .out",), (".x -> double -> .out", "double -> .x")),
    ],
    ids=[
        "the same way in twice",
        "two ways to one operation",
        "the same way out twice",
        "in and out named alike",
    ],
)
def test_a_message_takes_every_way_across_a_border(
    bench: Bench, outer: tuple[str, ...], inner: tuple[str, ...]
) -> None:
    """B082."""
    with calculating(bench, *outer, "inner.out -> .out", flows=[flow_of("inner", *inner)]) as runtime:
        values = runtime.process(".in", 5).values(timeout=SECONDS)

    assert values == [10, 10]


@every_mode
def test_two_flows_may_lead_to_a_third(bench: Bench) -> None:
    last = flow_of("last", ".in -> double -> .out")
    inner = flow_of("inner", ".x -> last.in", ".y -> last.in", "last.out -> .out", flows=[last])
    with calculating(
        bench, ".in -> inner.x", ".in -> inner.y", "inner.out -> .out", flows=[inner]
    ) as runtime:
        assert runtime.process(".in", 5).values(timeout=SECONDS) == [10, 10]


# --- Callers, ports and names


@every_mode
def test_a_tap_sees_a_message_enter_and_leave_a_flow(bench: Bench) -> None:
    """B055, B081."""
    seen: list[tuple[str, Any]] = []
    inner = flow_of("inner", ".p -> double -> .q")
    outer = flow_of("outer", ".in -> inner.p", "inner.q -> .out", flows=[inner])
    with calculating(bench, ".in -> outer.in", "outer.out -> .out", flows=[outer]) as runtime:
        runtime.on_message(lambda message: seen.append((message.port.fullname, message.data)))

        assert runtime.process(".in", 2).values(timeout=SECONDS) == [4]

    assert seen == [
        ("outer/.in", 2),
        ("outer/inner/.p", 2),
        ("outer/inner/double", 2),
        ("outer/inner/.q", 4),
        ("outer/.out", 4),
        (".out", 4),
    ]


@every_mode
def test_branches_of_a_message_return_to_their_own_callers(bench: Bench) -> None:
    """B082, B084."""
    common = flow_of("common", ".in -> double -> .out")
    caller = flow_of("caller", ".in -> common.in", "common.out -> increment -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(common).add_flow(caller)
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))
        # One message, three ways into the same flow: from the root, and one and two calls deep.
        wire(runtime, ".in -> common.in", ".in -> caller#1.in", ".in -> caller#2.in")
        wire(runtime, "common.out -> .root", "caller#1.out -> .one", "caller#2.out -> .two")

        messages = list(runtime.process(".in", 1).results())

    assert sorted(at_ports(messages)) == [("one", 3), ("root", 2), ("two", 3)]


@every_mode
def test_named_and_unnamed_ports_of_a_flow_stand_side_by_side(bench: Bench) -> None:
    """B083."""
    inner = flow_of("inner", ". -> double -> .", ".more -> increment -> .less")
    with calculating(
        bench, ".in -> inner -> .out", ".in -> inner.more", "inner.less -> .less", flows=[inner]
    ) as runtime:
        messages = list(runtime.process(".in", 5).results())

    assert sorted(at_ports(messages)) == [("less", 6), ("out", 10)]


@every_mode
def test_what_an_operation_emits_stays_in_the_flow_of_its_input(bench: Bench) -> None:
    """B089."""
    flows = [flow_of(name, ".in -> double", f"double -> .from_{name}") for name in ("f", "g")]
    with bench.make_runtime() as runtime:
        for flow in flows:
            runtime.add_flow(flow)
        runtime.add_operations(bench.operations(funcs={"double": double}))
        wire(
            runtime,
            ".root -> double -> .root",
            ".f -> f.in",
            "f.from_f -> .f",
            ".g -> g.in",
            "g.from_g -> .g",
        )

        results = {port: list(runtime.process(port, 3).results()) for port in (".root", ".f", ".g")}

    assert {port: [(each.port.fullname, each.data) for each in got] for port, got in results.items()} == {
        port: [(port, 6)] for port in (".root", ".f", ".g")
    }


class Outwards(Operation):
    """Emits on the port its input names."""

    out_ports = None

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit("out", message.data)


@every_schedule
@pytest.mark.parametrize("name", ["other/take", "/take", "take.x", "take#1"])
def test_no_operation_emits_into_another_flow(bench: Bench, name: str) -> None:
    """B090."""
    inner = flow_of(
        "inner", ".in -> outwards", operations=FlowOperationContainer().add_operation(Outwards("outwards"))
    )
    calls: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(FlowOperationContainer().add_action("take", calls.append))
        wire(runtime, ".in -> inner.in", ".take -> take", ".other -> other/take")

        with pytest.raises(OperationError) as caught:
            runtime.process(".in", name).wait(SECONDS)

    assert isinstance(caught.value.__cause__, FlowBuildError)
    assert calls == []


@every_schedule
def test_the_name_of_another_operation_is_a_port_of_ones_own(bench: Bench) -> None:
    """B090."""
    calls: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(Outwards("outwards"))
            .add_action("take", calls.append)
            .add_func("pass", calls.append)
        )
        wire(runtime, ".in -> outwards", "outwards.take -> .out", "pass -> take")

        messages = list(runtime.process(".in", "take").results())

    assert at_ports(messages) == [("out", "out")]
    assert calls == []


@every_mode
def test_a_flow_is_found_by_its_name_at_the_end_of_a_path(bench: Bench) -> None:
    """B092."""
    inner = flow_of("D", ".in -> double -> .out")
    with calculating(
        bench, ".in -> B/D.in", "B/D.out -> .out", ".here -> D.in", "D.out -> .there", flows=[inner]
    ) as runtime:
        messages = [*runtime.process(".in", 2).results(), *runtime.process(".here", 3).results()]

    assert at_ports(messages) == [("out", 4), ("there", 6)]


@every_mode
def test_a_flow_in_use_may_be_added_to_at_every_depth(bench: Bench) -> None:
    """B054."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))
        runtime.add_streams_from(
            ".in, outer.in\nouter.out, .out\nouter\n.in, inner.in\ninner.out, .out\ninner\n.in, double\ndouble, .out"
        )
        assert runtime.process(".in", 2).values(timeout=SECONDS) == [4]

        runtime.add_streams_from("inner\n.in, increment\nincrement, .out")

        assert sorted(runtime.process(".in", 2).values(timeout=SECONDS)) == [3, 4]
