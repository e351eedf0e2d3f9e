"""Flows in flows, as far as no other test shows the behaviour in all schedules and modes."""

from __future__ import annotations

from typing import Any

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, Message, Operation, OperationError
from flowrt.operations.contract import Emitter
from tests.kit.flows import SECONDS, Bench, double, every_mode, every_schedule, flow_of, increment, wire


@every_mode
def test_a_tap_sees_a_message_enter_and_leave_a_flow(bench: Bench) -> None:
    """B055, B081."""
    seen: list[tuple[str, Any]] = []
    inner = flow_of("inner", ".p -> double -> .q")
    outer = flow_of("outer", ".in -> inner.p", "inner.q -> .out", flows=[inner])
    with bench.make_runtime() as runtime:
        runtime.add_flow(outer).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> outer.in", "outer.out -> .out")
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

    assert sorted((message.port.name, message.data) for message in messages) == [
        ("one", 3),
        ("root", 2),
        ("two", 3),
    ]


@every_mode
def test_named_and_unnamed_ports_of_a_flow_stand_side_by_side(bench: Bench) -> None:
    """B083."""
    inner = flow_of("inner", ". -> double -> .", ".more -> increment -> .less")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner)
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))
        wire(runtime, ".in -> inner -> .out", ".in -> inner.more", "inner.less -> .less")

        messages = list(runtime.process(".in", 5).results())

    assert sorted((message.port.name, message.data) for message in messages) == [("less", 6), ("out", 10)]


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

    assert [(message.port.name, message.data) for message in messages] == [("out", "out")]
    assert calls == []


@every_mode
def test_a_flow_is_found_by_its_name_at_the_end_of_a_path(bench: Bench) -> None:
    """B092."""
    inner = flow_of("D", ".in -> double -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> B/D.in", "B/D.out -> .out", ".here -> D.in", "D.out -> .there")

        through = list(runtime.process(".in", 2).results())
        here = list(runtime.process(".here", 3).results())

    assert [(message.port.name, message.data) for message in through] == [("out", 4)]
    assert [(message.port.name, message.data) for message in here] == [("there", 6)]


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
