"""Where input may enter: at the ports of the flow, and into any operation; and what is sent as if an operation had emitted it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from flowrt import (
    Flow,
    FlowBuildError,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Message,
    Run,
    Scatter,
    in_port,
    out_port,
)
from flowrt.standard import Zip
from tests.kit.flows import Bench, assert_ledger, by_schedule, every_mode, wire
from tests.kit.functions import SECONDS, double, increment, same


@every_mode
def test_input_may_be_sent_straight_into_an_operation(bench: Bench) -> None:
    """B042, but for the side: what leaves it goes on from there."""
    with bench.wired(".in -> a -> b -> .out", funcs={"a": increment, "b": double}) as runtime:
        run = runtime.process("a", 10)
        assert run.values(timeout=SECONDS) == [22]
        assert_ledger(run, accepted=1, delivered=1)
        assert runtime.process(" B ", 10).values(timeout=SECONDS) == [20]
        assert bench.arranged(
            runtime.process_many("b", range(100)).values(timeout=SECONDS)
        ) == bench.arranged(range(0, 200, 2))
        assert bench.arranged(m.data for m in runtime.stream("a", [1, 2])) == bench.arranged([4, 6])
        assert runtime.process(Message("b", 4)).values(timeout=SECONDS) == [8]
        assert runtime.process("a.any", 1).values(timeout=SECONDS) == [4]  # a function's in-ports are free


@every_mode
def test_what_is_emitted_from_an_operation_goes_where_its_streams_go(bench: Bench) -> None:
    """B042."""
    with bench.wired(".in -> a -> b -> .out", "a -> .copy", funcs={"a": increment, "b": double}) as runtime:
        run = runtime.emit_from("a", 10, correlation_id="id", priority=3)
        found = sorted((m.port.name, m.data, m.correlation_id, m.priority) for m in run.results())
        assert found == [("copy", 10, "id", 3), ("out", 20, "id", 3)]
        assert_ledger(run, accepted=1, born=1, delivered=2)
        assert runtime.emit_from("b", 7).values(timeout=SECONDS) == [7]


def test_what_is_emitted_where_nothing_leads_on_is_counted() -> None:
    with FlowRuntime() as runtime:
        runtime.add_chain(".in", increment)
        run = runtime.emit_from("increment", 1)
        run.wait(SECONDS)
        assert_ledger(run, accepted=1, unconnected=1)


@by_schedule
def test_the_deadline_and_the_first_error_count_for_what_is_emitted_too(schedule: Any) -> None:
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".in", same, double, ".out")
        run = runtime.emit_from("same", None, fail_fast=True, deadline=SECONDS)
        with pytest.raises(Exception, match="double"):
            run.wait(SECONDS)


class Sides:
    out = out_port()

    @in_port
    def left(self, data: Any) -> None:
        self.out(("left", data))

    @in_port(mode="async")
    def right(self, data: Any) -> None:
        self.out(("right", data))


@by_schedule
def test_the_ports_of_an_operation_are_meant_by_their_names(schedule: Any) -> None:
    operations = (
        FlowOperationContainer().add_component("sides", Sides()).add_operation(Zip("zip", ["a", "b"]))
    )
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations).add_chain("sides.out", ".out").add_chain("zip", ".zipped")
        runtime.add_chain(".in", "sides.left").add_chain(".a", "zip.a").add_chain(".b", "zip.b")

        assert runtime.process("sides.left", 1).values(SECONDS) == [("left", 1)]
        assert runtime.process("sides.right", 2).values(SECONDS) == [("right", 2)]
        assert runtime.emit_from("sides.out", 3).values(SECONDS) == [3]
        with pytest.raises(
            FlowBuildError, match=r'^process\("sides"\): operation "sides" has no default in-port\..*left'
        ):
            runtime.process("sides", 1)
        with pytest.raises(
            FlowBuildError, match=r'^emit_from\("sides"\): operation "sides" has no default out-port\.'
        ):
            runtime.emit_from("sides", 1)


@by_schedule
def test_a_list_may_enter_at_its_scatter_and_a_lone_item_is_kept_by_its_gather_to_the_end(
    schedule: Any,
) -> None:
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".in", Scatter(), double, Gather(), ".out")
        assert runtime.process("scatter", [1, 2]).values(SECONDS) == [[2, 4]]
        run = runtime.emit_from("scatter.stream", 1)
        run.wait(SECONDS)
        assert_ledger(run, accepted=1, absorbed=1)


def nested() -> FlowRuntime:
    inner = Flow("inner").add_chain(".in", increment, ".out").add_stream(".other", "increment")
    outer = Flow("outer").add_chain(".in", inner, ".out")
    return FlowRuntime().add_chain(".in", outer, ".out").add_chain(".beside", double, ".out")


@pytest.mark.parametrize(
    "port",
    [
        ".in",
        "outer.in",
        "outer/.in",
        "outer/inner.in",
        "outer/inner/.other",
        "outer/inner/increment",
        "/outer/inner.other",
    ],
)
def test_operations_and_flows_inside_flows_are_named_by_their_path(port: str) -> None:
    with nested() as runtime:
        assert runtime.process(port, 1).values(SECONDS) == [2]
        assert runtime.emit_from("outer/inner/increment", 5).values(SECONDS) == [5]


UNKNOWN: dict[str, tuple[Callable[[FlowRuntime], Run], str]] = {
    "a way in": (
        lambda runtime: runtime.process(".inn", 1),
        'process(".inn"): the flow has no way in ".inn". Did you mean ".in"? There are: .beside, .in.',
    ),
    "the other side": (
        lambda runtime: runtime.process(".out", 1),
        'process(".out"): the flow has no way in ".out". There are: .beside, .in.',
    ),
    "an operation": (
        lambda runtime: runtime.process_many("duble", [1]),
        'process_many("duble"): there is no operation or flow "duble". Did you mean "double"?',
    ),
    "an operation inside": (
        lambda runtime: runtime.process("outer/inner/incremet", 1),
        'process("outer/inner/incremet"): there is no operation or flow "incremet". Did you mean "increment"?',
    ),
    "a flow": (
        lambda runtime: runtime.process("outer/iner.in", 1),
        'process("outer/iner.in"): there is no operation or flow "iner". Did you mean "inner"?',
    ),
    "a path": (
        lambda runtime: runtime.process("outr/inner.in", 1),
        'process("outr/inner.in"): there is no flow "outr". Did you mean "outer"?',
    ),
    "a way into a flow": (
        lambda runtime: runtime.process("outer.input", 1),
        'process("outer.input"): flow "outer" has no way in ".input". Did you mean ".in"?',
    ),
    "a dot forgotten": (
        lambda runtime: runtime.process("in", 1),
        'process("in"): there is no operation or flow "in". Did you mean ".in"?',
    ),
    "what is emitted from": (
        lambda runtime: runtime.emit_from("duble", 1),
        'emit_from("duble"): there is no operation "duble". Did you mean "double"?',
    ),
    "a flow emits nothing": (
        lambda runtime: runtime.emit_from("outer.out", 1),
        'emit_from("outer.out"): there is no operation "outer".',
    ),
    "a port of the flow emits nothing": (
        lambda runtime: runtime.emit_from(".in", 1),
        'emit_from(".in"): it names no operation.',
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.parametrize("inside", [False, True])
def test_a_port_that_there_is_not_is_an_error_of_the_call_that_names_it(case: str, inside: bool) -> None:
    """B047, but as an error."""
    call, told = UNKNOWN[case]
    raised: list[BaseException] = []

    def ask(_data: int) -> None:
        try:
            call(runtime)
        except FlowBuildError as error:
            raised.append(error)

    with nested() as runtime:
        if inside:
            runtime.on_result(lambda message: ask(message.data))
            runtime.process(".in", 1).wait(SECONDS)
        else:
            ask(0)
        assert re.match(re.escape(told), str(raised[0])), str(raised[0])
        runtime.wait_idle(SECONDS)


def test_a_stream_added_later_makes_a_way_in() -> None:
    with FlowRuntime() as runtime:
        runtime.add_chain(".in", increment, ".out")
        with pytest.raises(FlowBuildError, match=r'no way in "\.later"'):
            runtime.process(".later", 1)
        wire(runtime, ".later -> increment")
        assert runtime.process(".later", 1).values(SECONDS) == [2]


def test_a_runtime_without_streams_says_what_to_do() -> None:
    with (
        FlowRuntime() as runtime,
        pytest.raises(FlowBuildError, match=r"connect it with add_stream or add_chain\.$"),
    ):
        runtime.process(".in", 1)
