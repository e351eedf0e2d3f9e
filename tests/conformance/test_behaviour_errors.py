"""Errors, as far as no other test shows the behaviour in all schedules and modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    Emit,
    FlowBuildError,
    FlowOperationContainer,
    Gather,
    Message,
    Operation,
    OperationError,
    PushCausality,
    Scatter,
)
from flowrt.operations.contract import Emitter
from tests.kit.flows import (
    SECONDS,
    Bench,
    assert_ledger,
    every_mode,
    every_schedule,
    flow_of,
    increment,
    input_of,
    one_thread,
    refuse,
    results_of,
    same,
    wire,
)


def check(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


@every_mode
def test_behind_a_handled_error_the_next_messages_go_on(bench: Bench) -> None:
    """B131, B136."""
    taken: list[OperationError] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"check": check, "increment": increment}))
        wire(runtime, ".in -> check -> increment -> .out")
        runtime.on_exception(taken.append)

        many = runtime.process_many(".in", [1, -2, 3, -4, 5])
        one = runtime.process(".in", 6)

        assert sorted(many.values(timeout=SECONDS)) == [2, 4, 6]
        assert one.values(timeout=SECONDS) == [7]
    assert sorted((error.operation, input_of(error)) for error in taken) == [("check", -4), ("check", -2)]
    assert_ledger(many, accepted=5, delivered=3, failed=2)


@every_mode
def test_with_nobody_listening_the_run_fails_and_the_runtime_goes_on(bench: Bench) -> None:
    """B132."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"check": check}))
        wire(runtime, ".in -> check -> .out")

        failed = runtime.process(".in", -1)  # raises nothing itself

        with pytest.raises(OperationError) as caught:
            failed.result(timeout=SECONDS)
        assert isinstance(caught.value.__cause__, ValueError)
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [1]


@every_mode
@pytest.mark.parametrize("where", ["at once", "in a flow"])
def test_an_error_never_runs_back_through_who_emitted(bench: Bench, where: str) -> None:
    """B134."""
    caught: list[BaseException] = []

    def upstream(number: int, emit: Callable[[int], None]) -> None:
        try:
            emit(number)
        except BaseException as error:
            caught.append(error)
            raise

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"upstream": upstream}, funcs={"refuse": refuse}))
        if where == "at once":
            wire(runtime, ".in -> upstream -> refuse -> .out")
        else:
            runtime.add_flow(flow_of("inner", ".in -> refuse -> .out"))
            wire(runtime, ".in -> upstream -> inner.in", "inner.out -> .out")

        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as raised:
            run.wait(SECONDS)

    assert caught == []
    assert raised.value.operation.endswith("refuse")
    assert run.failures == [raised.value]


@one_thread
def test_a_handler_may_send_input_that_overtakes_what_waits(bench: Bench) -> None:
    """B138."""
    calls: list[Any] = []

    def work(number: int) -> None:
        calls.append(number)
        check(number)

    with bench.make_runtime() as runtime:

        def start() -> None:
            for number in (1, -2, 3, 4):
                runtime.process(".work", number)

        runtime.add_operations(
            FlowOperationContainer()
            .add_action("start", start)
            .add_action("work", work)
            .add_action("stop", lambda: calls.append("stop"))
        )
        wire(runtime, ".start -> start", ".work -> work", ".stop -> stop")

        def stop(_error: OperationError) -> None:
            runtime.process(".stop", priority=100)

        runtime.on_exception(stop)
        runtime.on_message(lambda message: None)  # with a tap, messages are looked at singly

        runtime.process(".start").wait(SECONDS)
        runtime.wait_idle(SECONDS)

    assert calls == [1, -2, "stop", 3, 4]


class Misnaming(Operation):
    """Emits on a port that cannot be."""

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit(message.data, "no/such.port")


@every_schedule
def test_a_wiring_fault_noticed_late_goes_to_the_causality(bench: Bench) -> None:
    """B139."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(PushCausality("push"))
            .add_operation(Misnaming("misnaming"))
        )
        wire(runtime, ".in -> push -> misnaming -> .out", "push.exception -> .error")

        run = runtime.process(".in", 1)
        (message,) = run.results()

    assert message.port.name == "error"
    assert message.data.operation == "misnaming"  # itself, and nobody upstream
    assert isinstance(message.data.__cause__, FlowBuildError)
    assert run.failure is None


@every_schedule
def test_a_recursion_without_an_end_goes_to_the_causality_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B139: its ways are only looked for when a message comes by."""
    monkeypatch.setattr("flowrt.flow.sites.NESTING_LIMIT", 8)
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"pass": same}))
        runtime.add_flow(flow_of("loop", ".in -> pass -> loop.in"))
        wire(runtime, ".in -> push -> loop.in", "push.exception -> .error")

        run = runtime.process(".in", 1)
        (message,) = run.results(SECONDS)

    assert message.port.name == "error"
    assert "nested 8 deep" in str(message.data)
    assert run.failure is None


@every_schedule
def test_what_strict_does_not_let_pass_goes_to_the_causality_too(bench: Bench) -> None:
    """B139: on which ports a generator emits is only known when it does."""
    generators = {"emits": lambda data: [data, Emit("nowhere", data)]}
    with bench.make_runtime(strict=True) as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), generators=generators))
        wire(runtime, ".in -> push -> emits -> .out", "push.exception -> .error")

        run = runtime.process(".in", 1)
        found = {message.port.name: message.data for message in run.results(SECONDS)}

    assert found["out"] == 1
    assert "emits.nowhere" in str(found["error"])
    assert run.failure is None


@every_schedule
def test_an_unknown_in_port_is_told_before_anything_runs(bench: Bench) -> None:
    """B139."""
    calls: list[Any] = []

    class Taking(Operation):
        in_ports = ("known",)

        def handle(self, state: Any, message: Message, emit: Emitter) -> None: ...

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("first", calls.append).add_operation(Taking("taking"))
        )
        wire(runtime, ".in -> first -> taking.knwon")

        with pytest.raises(FlowBuildError, match="knwon"):
            runtime.process(".in", 1)
    assert calls == []


def fail_at_once(data: Any) -> Iterator[Any]:
    raise ValueError("refused")


def fail_midway(data: Any) -> Iterator[Any]:
    yield data
    raise ValueError("refused")


def fail_having_emitted(data: Any, emit: Callable[[Any], None]) -> None:
    emit(data)
    raise ValueError("refused")


FAILING: list[tuple[str, Callable[..., Any], int]] = [
    ("funcs", refuse, 0),
    ("actions", fail_having_emitted, 1),
    ("generators", fail_at_once, 0),
    ("generators", fail_midway, 1),
]


@every_mode
@pytest.mark.parametrize(("kind", "failing", "emitted"), FAILING, ids=["func", "action", "call", "midway"])
@pytest.mark.parametrize("listener", ["causality", "handler", "nobody"])
def test_errors_of_every_kind_of_operation_are_told(
    bench: Bench, kind: str, failing: Callable[..., Any], emitted: int, listener: str
) -> None:
    """B121, B125, B130, B132, B136: once for each message; what it had emitted before goes on."""
    told: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), **{kind: {"fails": failing}}))
        wire(runtime, ".in -> push -> fails -> .out")
        if listener == "causality":
            wire(runtime, "push.exception -> .error")
        elif listener == "handler":
            runtime.on_exception(told.append)
        run = runtime.process_many(".in", range(3))
        found = results_of(run)
        told += [message.data for message in found if message.port.name == "error"]
        if listener == "nobody":
            told += run.failures

    assert [message.port.name for message in found].count("out") == 3 * emitted
    assert sorted(input_of(error) for error in told) == [0, 1, 2]
    assert {type(error.__cause__) for error in told} == {ValueError}
    assert (run.failure is None) is (listener != "nobody")


@every_mode
def test_a_causality_crosses_lists_and_generators(bench: Bench) -> None:
    """B120, B125."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                Scatter("scatter"),
                Gather("gather", on_missing="skip"),
                funcs={"check": check, "refuse": refuse},
                generators={"each": iter},
            )
        )
        wire(runtime, ".in -> push -> scatter", "scatter.stream -> check -> gather.stream")
        wire(runtime, "gather -> each -> refuse -> .never", "push.exception -> .error")

        messages = list(runtime.process(".in", [1, -2, 3]).results(SECONDS))

    assert {message.port.name for message in messages} == {"error"}
    assert sorted((error.data.operation, input_of(error.data)) for error in messages) == [
        ("check", -2),
        ("refuse", 1),
        ("refuse", 3),
    ]
