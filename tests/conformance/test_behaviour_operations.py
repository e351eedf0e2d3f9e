"""Functions and actions, as far as no other test shows the behaviour in all schedules and modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowrt import FlowOperationContainer, OperationError
from tests.kit.flows import SECONDS, Bench, every_mode, few_modes, flow_of, input_of, wire

Emit = Callable[..., None]


def nothing() -> None: ...


def value(data: int) -> None: ...


def output(data: int, emit: Emit) -> None:
    emit(data + 1)


def signal(data: int, done: Emit) -> None:
    done()


def two(data: int, emit: Emit, done: Emit) -> None:
    emit(data + 1)
    emit(data + 2)
    done()


@few_modes
@pytest.mark.parametrize(
    ("action", "with_signal", "expected"),
    [
        (nothing, False, []),
        (nothing, True, [("act", None)]),
        (value, False, []),
        (value, True, [("act", None)]),
        (output, False, [("act", 2)]),
        (signal, False, [("act", None)]),
        (two, False, [("act.emit", 2), ("act.emit", 3), ("act.done", None)]),
    ],
)
def test_an_action_emits_what_its_signature_says(
    bench: Bench, action: Callable[..., None], with_signal: bool, expected: list[tuple[str, Any]]
) -> None:
    """B060, B061, B063, B064."""
    container = FlowOperationContainer().add_action("act", action, signal=with_signal)
    ports = {port for port, _ in expected}
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.apply_mode(container))
        wire(runtime, ".in -> act", *(f"{port} -> .{port.partition('.')[2] or 'act'}" for port in ports))

        messages = list(runtime.process(".in", 1).results())

    found = [(message.port.name, message.data) for message in messages]
    assert found == [(port.partition(".")[2] or "act", data) for port, data in expected]


@every_mode
@pytest.mark.parametrize("port", ["act", "act.in", "act.act", "act#1.x"])
def test_whatever_in_port_is_used_output_leaves_at_the_default_port(bench: Bench, port: str) -> None:
    """B062, B071."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"act": output}))
        wire(runtime, f".in -> {port}", f"{port.partition('.')[0]} -> .out")

        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]


def add_one(data: int) -> int:
    return data + 1


@every_mode
@pytest.mark.parametrize("data", ["1", None, [1]])
def test_data_is_handed_over_as_it_is_and_what_cannot_take_it_fails(bench: Bench, data: Any) -> None:
    """B066."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"pass": lambda each: each, "add": add_one}))
        wire(runtime, ".in -> pass -> add -> .out")

        with pytest.raises(OperationError) as caught:
            runtime.process(".in", data).wait(SECONDS)

    assert caught.value.operation == "add"
    assert isinstance(caught.value.__cause__, TypeError)
    assert input_of(caught.value) is data


@every_mode
def test_late_output_has_the_id_of_its_own_input_though_others_are_in_flight(bench: Bench) -> None:
    """B065, B102."""
    kept: dict[int, Emit] = {}

    def keep(data: int, emit: Emit) -> None:
        kept[data] = emit

    with bench.make_runtime() as runtime:
        runtime.add_flow(flow_of("inner", ".in -> keep -> .out"))
        runtime.add_operations(bench.operations(actions={"keep": keep}))
        wire(runtime, ".in -> inner.in", "inner.out -> .out")
        for number in range(5):
            runtime.process(".in", number, correlation_id=f"id {number}")
        runtime.wait_idle(SECONDS)

        for number in (3, 0, 4, 1, 2):
            kept[number](number)
        messages = list(runtime.results(timeout=SECONDS))

    assert sorted((message.data, message.correlation_id) for message in messages) == [
        (number, f"id {number}") for number in range(5)
    ]
