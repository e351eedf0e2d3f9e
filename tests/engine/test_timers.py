"""What is due when, and operations that ask to be woken."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Part
from flowrt.clock import Timer, Timers
from flowrt.errors import FlowBuildError, FlowTimeoutError, OperationError, OwnAccordError, RunCancelledError
from flowrt.standard import Debounce
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import flow_of, wire
from tests.kit.functions import SECONDS

every_schedule = pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])


# --- timers


@given(st.lists(st.tuples(st.sampled_from(["after", "cancel", "advance"]), st.integers(0, 9)), max_size=200))
def test_timers_fire_once_in_order_and_never_when_cancelled(steps: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    timers = Timers(clock)
    fired: list[int] = []
    pending: dict[int, tuple[float, Timer]] = {}
    for number, (step, amount) in enumerate(steps):
        if step == "after":
            pending[number] = (
                clock.now() + amount,
                timers.after(amount, lambda number=number: fired.append(number)),  # type: ignore[misc]
            )
        elif step == "cancel" and pending:
            chosen = list(pending)[amount % len(pending)]
            timers.cancel(pending.pop(chosen)[1])
        elif step == "advance":
            clock.advance(amount)
            due = sorted((moment, number) for number, (moment, _) in pending.items() if moment <= clock.now())
            assert timers.fire() == bool(due)
            assert fired == [number for _, number in due]
            for _, made in due:
                timers.cancel(pending.pop(made)[1])
            fired.clear()
        assert len(timers) == len(pending)
        assert timers.next_due == min((moment for moment, _ in pending.values()), default=None)


def test_what_a_timer_asks_for_waits_for_the_next_time() -> None:
    timers = Timers(FakeClock())
    fired: list[str] = []

    def first() -> None:
        fired.append("first")
        timers.after(0, lambda: fired.append("second"))

    timers.after(0, first)

    assert timers.fire()
    assert fired == ["first"]
    assert timers.fire()
    assert fired == ["first", "second"]
    assert not timers.fire()


def test_many_cancelled_timers_are_thrown_out() -> None:
    timers = Timers(FakeClock())
    kept = timers.after(1, lambda: None)
    for _ in range(10_000):
        timers.cancel(timers.after(1, lambda: None))

    assert len(timers) == 1
    assert len(timers._heap) < 200
    timers.cancel(kept)
    assert timers.next_due is None


# --- operations that are woken


class Quiet(Operation):
    """Emits what came once nothing has come for `seconds`."""

    def __init__(self, name: str, seconds: float = 1.0) -> None:
        super().__init__(name)
        self.seconds = seconds
        self.woken_on: list[int] = []

    def create(self) -> dict[Any, list[Part]]:
        return {}

    def handle(self, state: dict[Any, list[Part]], message: Message, emit: Any) -> None:
        part = Part(message.data)
        emit.hold([part])
        state.setdefault(message.scope, []).append(part)
        emit.wake(self.seconds)

    def timer(self, state: dict[Any, list[Part]], scope: Any, emit: Any) -> None:
        self.woken_on.append(threading.get_ident())
        parts = state.pop(scope)
        emit.merge(parts, [part.data for part in parts])

    def drained(self, state: dict[Any, list[Part]], scope: Any, emit: Any) -> None:
        parts = state.pop(scope, [])
        if parts:
            emit.merge(parts, ("drained", [part.data for part in parts]))

    def cancelled(self, state: dict[Any, list[Part]], run: Any) -> None:
        for scope in [scope for scope in state if scope.run is run]:
            del state[scope]


def quiet_flow(**options: Any) -> Flow:
    return flow_of(
        "",
        ".in -> quiet -> .out",
        operations=FlowOperationContainer().add_operation(Quiet("quiet", **options)),
    )


@every_schedule
def test_an_operation_is_woken_when_the_time_it_asked_for_has_come(schedule: Any) -> None:
    seams = simulated(deviations={})
    with FlowRuntime(quiet_flow(seconds=5.0), seams=seams, schedule=schedule) as runtime:
        run = runtime.process_many(".in", [1, 2, 3])
        assert run.values() == [[1, 2, 3]]
        assert seams.clock.now() == 5.0
        assert run.ledger.balanced
        assert (run.ledger.absorbed, run.ledger.delivered) == (2, 1)


@pytest.mark.parametrize("seed", range(30))
def test_runs_are_woken_each_for_itself_in_every_order(seed: int) -> None:
    with FlowRuntime(quiet_flow(), seams=simulated(seed=seed)) as runtime:
        runs = [runtime.process_many(".in", [number, number]) for number in range(3)]
        found = [sorted(value for values in run.values() for value in values) for run in runs]
    assert found == [[0, 0], [1, 1], [2, 2]]


@every_schedule
def test_on_threads_the_engine_waits_for_the_time_and_wakes_the_operation_itself(schedule: Any) -> None:
    quiet = Quiet("quiet", 0.01)
    operations = FlowOperationContainer().add_operation(quiet).add_func("work", lambda x: x).make_async()
    with FlowRuntime(
        flow_of("", ".in -> work -> quiet -> .out", operations=operations), schedule=schedule
    ) as runtime:
        assert runtime.process(".in", 1).values(timeout=30) == [[1]]
    assert len(quiet.woken_on) == 1


def test_a_cancelled_run_is_not_woken() -> None:
    seams = simulated(deviations={})
    with FlowRuntime(quiet_flow(), seams=seams) as runtime:
        run = runtime.process(".in", 1)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait()
        other = runtime.process(".in", 2)
        assert other.values() == [[2]]
        assert not runtime._owner.engine.timers


def test_nobody_is_woken_for_a_run_that_is_over() -> None:
    class Nosy(Quiet):
        def handle(self, state: dict[Any, list[Part]], message: Message, emit: Any) -> None:
            for scope in self.seen:
                emit.wake(9.0, scope)
            self.seen.append(message.scope)

        seen: list[Any] = []  # noqa: RUF012 - of the one operation here

    operations = FlowOperationContainer().add_operation(Nosy("quiet"))
    seams = simulated(deviations={})
    with FlowRuntime(flow_of("", ".in -> quiet -> .out", operations=operations), seams=seams) as runtime:
        for number in range(3):
            runtime.process(".in", number).wait()
        assert not runtime._owner.engine.timers
    assert seams.clock.now() == 0.0


def test_closing_does_not_wait_for_timers_and_nothing_is_lost() -> None:
    seams = simulated(deviations={})
    runtime = FlowRuntime(quiet_flow(seconds=1_000_000.0), seams=seams)
    run = runtime.process(".in", 1)
    report = runtime.close()

    assert report.clean
    assert run.values() == [("drained", [1])]
    assert seams.clock.now() < 1_000_000.0


def test_a_timer_asked_for_again_is_moved_and_none_ends_it() -> None:
    class Patient(Quiet):
        def handle(self, state: dict[Any, list[Part]], message: Message, emit: Any) -> None:
            super().handle(state, message, emit)
            if message.data == "never":
                emit.wake(None)

    operations = FlowOperationContainer().add_operation(Patient("quiet", 5.0))
    seams = simulated(deviations={})
    with FlowRuntime(flow_of("", ".in -> quiet -> .out", operations=operations), seams=seams) as runtime:
        assert runtime.process_many(".in", ["now", "never"]).values() == [("drained", ["now", "never"])]
        assert seams.clock.now() == 0.0


def test_a_timer_that_raises_fails_the_run() -> None:
    class Broken(Quiet):
        def timer(self, state: Any, scope: Any, emit: Any) -> None:
            raise ValueError("no time")

    operations = FlowOperationContainer().add_operation(Broken("quiet"))
    with (
        FlowRuntime(
            flow_of("", ".in -> quiet -> .out", operations=operations), seams=simulated(deviations={})
        ) as runtime,
        pytest.raises(OwnAccordError) as raised,
    ):
        runtime.process(".in", 1).wait()
    assert isinstance(raised.value.__cause__, ValueError)


def test_an_operation_with_a_timer_stays_on_the_thread_of_the_engine() -> None:
    container = FlowOperationContainer().add_operation(Quiet("quiet"))

    with pytest.raises(FlowBuildError, match=r'operation "quiet" \(Quiet\) has a timer'):
        container.make_async()


@pytest.mark.parametrize("seconds", [-1, "soon"])
def test_a_time_that_is_none_is_refused(seconds: Any) -> None:
    class Wrong(Quiet):
        def handle(self, state: Any, message: Message, emit: Any) -> None:
            emit.wake(seconds)

    operations = FlowOperationContainer().add_operation(Wrong("quiet"))
    with (
        FlowRuntime(flow_of("", ".in -> quiet -> .out", operations=operations)) as runtime,
        pytest.raises(
            OperationError, match=r"emit\.wake: seconds is .*give a number of seconds of 0 or more"
        ),
    ):
        runtime.process(".in", 1).wait(30)


def test_while_a_throttle_holds_messages_back_timers_go_on() -> None:
    seams = simulated(deviations={})
    seen: list[tuple[float, Any]] = []
    with FlowRuntime(quiet_flow(seconds=1.0), seams=seams) as runtime:
        runtime.on_result(lambda message: seen.append((seams.clock.now(), message.data)))
        runtime.process(".in", 1).wait()
        runtime.throttle(10.0)
        first = runtime.process(".in", 2)
        second = runtime.process(".in", 3)
        first.wait()
        second.wait()
    assert [data for _, data in seen] == [[1], [2], [3]]
    assert seen[1][0] < 22.0


@pytest.mark.parametrize("seconds", [1e12, sys.float_info.max])
def test_what_is_due_beyond_all_calendars_is_waited_for_like_anything(seconds: float) -> None:
    """On threads: a system cannot wait that long at once."""
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> wait -> .out")
        runtime.add_operation(Debounce("wait", seconds))
        run = runtime.process(".in", 1)
        found: list[BaseException | None] = []

        def wait() -> None:
            try:
                run.result(seconds)
                found.append(None)
            except BaseException as error:
                found.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        with pytest.raises(FlowTimeoutError):
            run.result(timeout=0.0)

    waiting.join(SECONDS)
    assert found == [None]
