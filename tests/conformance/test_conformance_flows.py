"""One suite for all modes and schedules: flows inside flows."""

from __future__ import annotations

import pytest

from tests.kit.flows import (
    SECONDS,
    Bench,
    assert_ledger,
    countdown,
    double,
    every_mode,
    flow_of,
    increment,
    wire,
)

# --- Nested flows


@every_mode
def test_a_nested_flow_works_like_an_operation(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> increment -> double -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(
            bench.operations(funcs={"increment": increment, "double": double})
        )
        wire(runtime, ".in -> inner.in", "inner.out -> .out")

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
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> f.in", "f/.in -> f/double -> f/.out", "f.out -> .out")

        assert runtime.process(".in", 4).values(timeout=SECONDS) == [8]


@every_mode
def test_the_unnamed_port_of_a_flow_pairs_with_calls_without_a_port(bench: Bench) -> None:
    inner = flow_of("inner", ". -> double -> .")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> inner -> .out")

        assert runtime.process(".in", 4).values(timeout=SECONDS) == [8]


@every_mode
def test_a_flow_may_have_many_in_and_out_ports(bench: Bench) -> None:
    """B083."""
    inner = flow_of("inner", ".a -> increment -> .x", ".b -> double -> .y", ".b -> .z")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(
            bench.operations(funcs={"increment": increment, "double": double})
        )
        wire(runtime, ".one -> inner.a", ".two -> inner.b", "inner.x -> .x", "inner.y -> .y", "inner.z -> .z")

        one = list(runtime.process(".one", 10).results())
        two = list(runtime.process(".two", 10).results())

    assert [(message.port.name, message.data) for message in one] == [("x", 11)]
    assert sorted((message.port.name, message.data) for message in two) == [("y", 20), ("z", 10)]


@every_mode
def test_instances_of_a_flow_return_to_their_own_callers(bench: Bench) -> None:
    """B086."""
    inner = flow_of("inner", ".in -> double -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs={"double": double}))
        wire(
            runtime, ".a -> inner#1.in", "inner#1.out -> .first", ".b -> inner#2.in", "inner#2.out -> .second"
        )

        first = runtime.process(".a", 1).result(timeout=SECONDS)
        second = runtime.process(".b", 2).result(timeout=SECONDS)

    assert (first.port.name, first.data) == ("first", 2)
    assert (second.port.name, second.data) == ("second", 4)


@every_mode
def test_instances_of_an_operation_have_streams_of_their_own(bench: Bench) -> None:
    """B070, B071."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"increment": increment}))
        wire(runtime, ".a -> increment#1 -> .first", ".b -> increment#2 -> increment#3 -> .second")

        first = list(runtime.process(".a", 1).results())
        second = list(runtime.process(".b", 1).results())

    assert [(message.port.name, message.data) for message in first] == [("first", 2)]
    assert [(message.port.name, message.data) for message in second] == [("second", 3)]


@every_mode
def test_a_flow_shared_by_two_parents_returns_to_each(bench: Bench) -> None:
    """B084."""
    shared = flow_of("shared", ".in -> double -> .out")
    left = flow_of("left", ".in -> shared.in", "shared.out -> increment -> .out", flows=[shared])
    right = flow_of("right", ".in -> shared.in", "shared.out -> text -> .out", flows=[shared])
    with bench.make_runtime() as runtime:
        runtime.add_flow(left).add_flow(right)
        runtime.add_operations(
            bench.operations(funcs={"double": double, "increment": increment, "text": str})
        )
        wire(runtime, ".in -> left.in", ".in -> right.in", "left.out -> .left", "right.out -> .right")

        messages = list(runtime.process(".in", 5).results())

    assert sorted((message.port.name, message.data) for message in messages) == [
        ("left", 11),
        ("right", "10"),
    ]


@every_mode
def test_flows_nest_three_deep(bench: Bench) -> None:
    deepest = flow_of("deepest", ".in -> double -> .out")
    middle = flow_of("middle", ".in -> deepest.in", "deepest.out -> increment -> .out", flows=[deepest])
    outer = flow_of("outer", ".in -> increment -> middle.in", "middle.out -> double -> .out", flows=[middle])
    with bench.make_runtime() as runtime:
        runtime.add_flow(outer).add_operations(
            bench.operations(funcs={"double": double, "increment": increment})
        )
        wire(runtime, ".in -> outer.in", "outer.out -> .out")

        values = runtime.process_many(".in", [0, 1, 2]).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged(((number + 1) * 2 + 1) * 2 for number in range(3))


@every_mode
def test_a_flow_at_the_root_may_be_called_from_any_depth(bench: Bench) -> None:
    """B087."""
    common = flow_of("common", ".in -> double -> .out")
    inner = flow_of("inner", ".in -> common.in", "common.out -> increment -> .out")
    outer = flow_of("outer", ".in -> inner.in", "inner.out -> increment -> .out", flows=[inner])
    with bench.make_runtime() as runtime:
        runtime.add_flow(common).add_flow(outer)
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))
        wire(
            runtime,
            ".deep -> outer.in",
            "outer.out -> .deep_out",
            ".here -> common.in",
            "common.out -> .here_out",
        )

        deep = runtime.process(".deep", 10).result(timeout=SECONDS)
        here = runtime.process(".here", 10).result(timeout=SECONDS)

    assert (deep.port.name, deep.data) == ("deep_out", 22)
    assert (here.port.name, here.data) == ("here_out", 20)


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
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow).add_operations(bench.operations(funcs={"work": double}))
        wire(runtime, ".in -> work -> .out")

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [10]


@every_mode
@pytest.mark.parametrize("levels", [0, 1, 2, 25])
def test_a_flow_may_call_itself(bench: Bench, levels: int) -> None:
    """B085."""
    flow = flow_of(
        "count", ".in -> step", "step.done -> .out", "step.again -> count.in", "count.out -> mark -> .out"
    )
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow).add_operations(
            bench.operations(actions={"step": countdown}, funcs={"mark": lambda text: text + "!"})
        )
        wire(runtime, ".in -> count.in", "count.out -> .out")

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
    with bench.make_runtime() as runtime:
        runtime.add_flow(ping).add_flow(pong).add_operations(
            bench.operations(
                actions={"step": countdown},
                funcs={"i": lambda text: text + "i", "o": lambda text: text + "o"},
            )
        )
        wire(runtime, ".in -> ping.in", "ping.out -> .out")

        values = runtime.process(".in", levels).values(timeout=SECONDS)

    # The deepest level returns first, to the one that called it.
    expected = "".join("io"[level % 2] for level in reversed(range(levels)))
    assert values == ["liftoff" + expected]


@every_mode
def test_an_output_that_leaves_a_flow_towards_nothing_is_counted(bench: Bench) -> None:
    """B093."""
    inner = flow_of("inner", ".in -> double -> .out", "double -> .other")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> inner.in", "inner.out -> .out")

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
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow_of("inner", *inner)).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, *outer, "inner.out -> .out")

        values = runtime.process(".in", 5).values(timeout=SECONDS)

    assert values == [10, 10]


@every_mode
def test_two_flows_may_lead_to_a_third(bench: Bench) -> None:
    last = flow_of("last", ".in -> double -> .out")
    inner = flow_of("inner", ".x -> last.in", ".y -> last.in", "last.out -> .out", flows=[last])
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> inner.x", ".in -> inner.y", "inner.out -> .out")

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [10, 10]
