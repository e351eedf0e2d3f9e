"""The n-th call of each seam fails, for n = 1, 2, 3 ... until a run is untouched; once, and from then on.

A day of a runtime goes by: inputs through sync, async, parallel and ordered operations, a scattered list, a generator, an operation
that fails, a run that is cancelled, a wait for everything, the end. Whatever fails on the way: nobody waits for ever (no wait here has a
limit, but for the watchdog's), whoever waits gets the right result or an error that comes from the fault, and once the fault is over
`close()` ends every thread and every run.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from flowrt import CloseReport, Flow, FlowOperationContainer, FlowRuntime, Gather, Run, Scatter
from flowrt.errors import FlowError, FlowStoppedError, OperationError, RunCancelledError
from tests.kit import effort
from tests.kit.faulty import Ground, Injected, Plan, causes_of, numbers, points_of_failure
from tests.kit.flows import flow_of
from tests.kit.functions import SECONDS, Gate, increment, refuse, same

pytestmark = pytest.mark.no_cover

# What some schedules never call.
NEEDS_THREADS = {"spawn", "event", "event.set", "event.clear", "event.wait"}
NEEDS_ENGINE_THREAD = {"executor.in_work"}
NEEDS_SIMULATION = {"rng"}
NEEDS_A_RUN_UNDER_WAY = {"executor.unreported"}  # under "sync" whoever could cancel it waits for it

# While no event can be set nobody can be woken: that is what the event is for.
NOT_TO_BE_SURVIVED = {("event.set", "breadth_first", True)}

# What may raise the error of the operation that fails, if the fault has kept everybody else from seeing it.
READING = {"results", "close", "close again"}

SCHEDULES = ("breadth_first", "sync", "simulated")


def is_used(point: str, schedule: Any) -> bool:
    if point.startswith("queue.") and schedule == "simulated":
        return False  # nobody waits for the inbox there
    return not (
        (point in NEEDS_THREADS and schedule == "simulated")
        or (point in NEEDS_ENGINE_THREAD and schedule != "breadth_first")
        or (point in NEEDS_SIMULATION and schedule != "simulated")
        or (point in NEEDS_A_RUN_UNDER_WAY and schedule == "sync")
    )


CASES = [
    pytest.param(
        *case,
        id=f"{case[0]}-{case[1]}-{'for good' if case[2] else 'once'}",
    )
    for case in product(points_of_failure(), SCHEDULES, (False, True))
    if is_used(case[0], case[1]) and case not in NOT_TO_BE_SURVIVED
]


def spread(number: int, emit: Callable[[int], None]) -> None:
    emit(number)
    emit(-number)


def burst(upto: int, emit: Callable[[int], None]) -> None:
    for number in range(upto):
        emit(number)


def tens(upto: int) -> Iterator[int]:
    for number in range(upto):
        yield number + 10


def day(gate: Gate) -> Flow:
    operations = (
        FlowOperationContainer()
        .add_func("lengthen", lambda items: [*items, 1])
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather", ordered=True))
        .add_func("work", increment)
        .make_parallel(2)
        .add_func("total", sum)
        .make_async()
        .add_generator("tens", tens)
        .make_async()
        .add_action("spread", spread)
        .make_parallel(2, ordered=True)
        .add_func("bad", refuse)
        .make_async()
        .add_action("burst", burst)
        .add_func("same", same)
        .add_func("gate", gate)
        .make_async()
    )
    return flow_of(
        "",
        ".lists -> lengthen -> scatter",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> total -> .out",
        ".tens -> tens -> spread -> .out",
        ".bad -> bad -> .out",
        ".many -> burst -> same -> .out",
        ".gate -> gate -> .out",
        operations=operations,
    )


class Day:
    """One day of one runtime, and what was wrong with it."""

    def __init__(self, ground: Ground, plan: Plan) -> None:
        self.problems: list[str] = []
        self._ground = ground
        self._plan = plan
        self._gate = Gate()
        self._runs: list[Run] = []
        self._waiter: threading.Thread | None = None
        self._runtime: FlowRuntime

    def live(self) -> None:
        """Go through the day; what fails is looked at, and the day goes on."""
        ground = self._ground
        made = self._attempt(
            "build",
            lambda: FlowRuntime(
                day(self._gate), name="nth", schedule=ground.schedule, capacity=8, seams=ground.seams
            ),
        )
        if made is None:
            return
        self._runtime = made
        if ground.schedule == "breadth_first" and ground.seams.simulation is None:
            self._wait_at_the_gate()
        self._expect("lists", lambda: made.process_many(".lists", [[1, 2], [3], []]), [7, 6, 2])
        self._expect("tens", lambda: made.process(".tens", 2), [10, -10, 11, -11])
        self._fail()
        self._expect("many", lambda: made.process_many(".many", [20]), list(range(20)))
        self._cancel()
        self._expect("again", lambda: made.process(".lists", [5]), [8])
        self._read_all()
        self._open_the_gate()
        self._attempt("idle", made.wait_idle)
        self._close()

    def _attempt(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as error:
            self._judge(what, error)
        return None

    def _judge(self, what: str, error: BaseException) -> None:
        """An error must come from the fault and say something; that of the operation which fails may come wherever nobody saw it."""
        causes = list(causes_of(error))
        if what in READING and any(isinstance(cause, ValueError) for cause in causes):
            return
        injected = any(isinstance(cause, Injected) for cause in causes)
        ours = isinstance(error, FlowError | Injected | BaseExceptionGroup)
        if not (injected and ours and str(error)):
            self.problems.append(f"{what}: {''.join(traceback.format_exception(error))}")

    def _start(self, what: str, start: Callable[[], Run]) -> Run | None:
        run: Run | None = self._attempt(f"start {what}", start)
        if run is not None:
            self._runs.append(run)
        return run

    def _expect(self, what: str, start: Callable[[], Run], wanted: list[int]) -> None:
        run = self._start(what, start)
        if run is None:
            return
        values = self._attempt(what, run.values)
        if values is not None and sorted(values) != sorted(wanted):
            self.problems.append(f"{what}: {values} instead of {wanted}; {run.ledger}")

    def _fail(self) -> None:
        run = self._start("bad", lambda: self._runtime.process(".bad", 1))
        if run is None:
            return
        try:
            run.wait()
            self.problems.append(f"bad: raised nothing; {run.ledger}")
        except OperationError as error:
            if not isinstance(error.__cause__, ValueError):
                self._judge("bad", error)
        except BaseException as error:
            self._judge("bad", error)

    def _cancel(self) -> None:
        run = self._start("cancelled", lambda: self._runtime.process_many(".tens", [3, 3, 3]))
        if run is None:
            return
        self._attempt("cancel", run.cancel)
        try:
            values = run.values()
        except RunCancelledError:
            return
        except BaseException as error:
            self._judge("cancelled", error)
        else:  # it was done before
            if len(values) != 18:
                self.problems.append(f"cancelled: {values}; {run.ledger}")

    def _read_all(self) -> None:
        def read() -> None:
            for message in self._runtime.results():
                if abs(message.data) not in {*range(20)}:
                    self.problems.append(f"a result from nowhere: {message.data}")

        if self._waiter is None or self._runtime._life.stopped:  # else the gate keeps it from being idle
            self._attempt("results", read)

    def _wait_at_the_gate(self) -> None:
        run = self._start("gate", lambda: self._runtime.process(".gate", 77))
        if run is None:
            return

        def wait() -> None:
            values = self._attempt("gate", run.values)
            if values not in (None, [77]):
                self.problems.append(f"gate: {values}")

        self._waiter = threading.Thread(target=wait, daemon=True)
        self._waiter.start()

    def _open_the_gate(self) -> None:
        """Who waits for a call that does not return is told when the runtime stops, not when the call returns."""
        if self._waiter is None:
            return
        if not self._runtime._life.stopped:
            self._gate.open()
        self._waiter.join(SECONDS / 2)
        if self._waiter.is_alive():
            self.problems.append("gate: whoever waits was not told")
        self._gate.open()

    def _close(self) -> None:
        """While the fault goes on it may be told of it; afterwards it must succeed."""
        self._attempt("close", self._runtime.close)
        self._plan.healed = True
        self._attempt("close again", self._runtime.close)
        report: CloseReport | None = self._attempt("close at last", self._runtime.close)
        if report is None or report.abandoned or report.pending:
            self.problems.append(f"close: {report}")
        for thread in self._ground.threads:
            thread.join(SECONDS / 4)
            if thread.is_alive():
                self.problems.append(f"thread {thread.name} is left")
        for run in self._runs:
            if not run.done and run.books is not None:
                self.problems.append(f"{run!r} is not done")
            elif not run.ledger.balanced or run.ledger.live or run.ledger.held:
                self.problems.append(str(run.ledger))
        with contextlib.suppress(FlowStoppedError):
            self._runtime.process(".many", 1)
            self.problems.append("it took input after the end")


@contextlib.contextmanager
def no_thread_dies(problems: list[str]) -> Iterator[None]:
    before = threading.excepthook
    threading.excepthook = lambda death: problems.append(
        f"thread {death.thread.name if death.thread else '?'} died of "
        + "".join(traceback.format_exception(death.exc_value) if death.exc_value else [])
    )
    try:
        yield
    finally:
        threading.excepthook = before


def lived(point: str, schedule: Any, plan: Plan) -> list[str]:
    """Return what was wrong with a day, on a thread of its own: one that does not end is wrong as well."""
    problems: list[str] = []
    with no_thread_dies(problems):
        a_day = Day(Ground(point, schedule, plan), plan)
        thread = threading.Thread(target=a_day.live, daemon=True)
        thread.start()
        thread.join(SECONDS)
        if thread.is_alive():
            stack = sys._current_frames().get(thread.ident or 0)
            problems.append("it does not end:\n" + "".join(traceback.format_stack(stack)))
            plan.healed = True
            rescue(a_day)
            thread.join(SECONDS)
    return problems + a_day.problems


def rescue(a_day: Day) -> None:
    """End a runtime that hangs, for the sake of the tests that follow."""
    runtime: Any = getattr(a_day, "_runtime", None)
    a_day._gate.open()
    if runtime is not None:
        with contextlib.suppress(BaseException):
            runtime.close(drain=0.1, deadline=0.1)


def assert_a_runtime_works() -> None:
    gate = Gate()
    gate.open()
    with FlowRuntime(day(gate)) as runtime:
        assert runtime.process(".lists", [1, 2]).values(SECONDS) == [7]
        assert runtime.process(".gate", 3).values(SECONDS) == [3]


@pytest.mark.parametrize(("point", "schedule", "persistent"), effort.share(CASES, "faults"))
def test_the_nth_fault_is_told_and_leaves_nothing(point: str, schedule: Any, persistent: bool) -> None:
    for nth in numbers(effort.of(20)):
        plan = Plan(nth, persistent=persistent)

        problems = lived(point, schedule, plan)

        assert not problems, f"call {nth} of {point} failed:\n" + "\n".join(problems)
        if not plan.injected:
            break
    assert nth > 1, "the seam is never used: the case tests nothing"
    assert_a_runtime_works()
