"""What happens between the engine, a dispatcher's thread and those who wait on it, in orders of opcodes that no stress brings about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import pytest

from flowrt import FlowError, FlowOperationContainer, FlowRuntime, OperationError
from flowrt.executors import dispatched, dispatchers
from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.runtime.wiring import inner_parts
from tests.kit import effort
from tests.kit.flows import wire
from tests.kit.functions import double, increment
from tests.kit.threads.scheduled_flows import WATCHED, Calls, each_of, once_each, opened
from tests.kit.threads.scheduler import Program, Scheduler
from tests.kit.threads.schedules import explore

pytestmark = pytest.mark.no_cover


class Loop:
    """A dispatcher with a thread of the scheduler's, for as long as it is told to go on."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._calls: list[Callable[[], None]] = []
        self._there = scheduler.event()
        self._over = False
        self.number = 0
        self.strand = scheduler.spawn(self._run, "loop")

    def dispatch(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._there.set()

    def close(self) -> None:
        self._over = True
        self._there.set()
        self.strand.join()

    def _run(self) -> None:
        while not self._over:
            self._there.wait()
            self._there.clear()
            while self._calls:
                self.make(self._calls.pop(0))

    def make(self, call: Callable[[], None]) -> None:
        call()


def made_by_a_loop(scheduler: Scheduler) -> None:
    """Behind workers, in order, once each, one at a time; the loop is used by two operations."""
    loop = Loop(scheduler)
    first, second = Calls(increment), Calls(double)
    operations = FlowOperationContainer().add_func("first", first).make_sync(loop)
    operations.add_func("between", lambda number: number).make_async().add_func("second", second).make_sync(
        loop
    )
    with opened(scheduler, ".in -> first -> between -> second -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(4))
        assert run.values() == [2, 4, 6, 8]
        assert run.ledger.balanced
    loop.close()
    assert first.order == [0, 1, 2, 3]
    assert (first.most, second.most) == (1, 1)


def made_by_a_wait(scheduler: Scheduler) -> None:
    """The thread that waits is the dispatcher's, and makes the calls; none is missed while it goes to sleep."""
    calls = Calls(double)
    operations = FlowOperationContainer().add_func("work", calls).make_sync(MainThreadDispatcher())
    with opened(scheduler, ".in -> work -> .out", operations=operations, capacity=2) as runtime:
        for number in range(3):
            runtime.process(".in", number)
        assert sorted(message.data for message in runtime.results()) == [0, 2, 4]
        last = runtime.process(".in", 9)
    assert last.done
    assert calls.made == once_each([0, 1, 2, 9])


def made_by_whoever_comes_first(scheduler: Scheduler) -> None:
    """A wait and the dispatcher reach for one turn at once."""
    calls = Calls()

    class Both(Loop):
        def is_here(self) -> bool:
            return True

    loop = Both(scheduler)
    operations = FlowOperationContainer().add_func("work", calls).make_sync(loop)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(5))
        assert run.values() == list(range(5))
    loop.close()
    assert calls.order == list(range(5))
    assert calls.most == 1


def refused_and_dropped(scheduler: Scheduler) -> None:
    """Each message has one outcome, whatever its dispatcher does with the calls."""

    class Moody(Loop):
        def dispatch(self, call: Callable[[], None]) -> None:
            self.number += 1
            if self.number % 3 == 0:
                super().dispatch(call)
                raise LookupError
            if self.number % 3:
                super().dispatch(call)

    loop = Moody(scheduler)
    operations = FlowOperationContainer().add_func("work", double).make_sync(loop)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        runs = [runtime.process(".in", number) for number in range(6)]
        found = []
        for run in runs:
            with contextlib.suppress(OperationError):
                found.append(run.result().data)
        assert len(found) + sum(len(run.failures) for run in runs) == 6
        assert all(run.ledger.balanced for run in runs)
    loop.close()


def dropped_while_waited_for(scheduler: Scheduler) -> None:
    """Now and then a call is freed without having been made, while more comes and somebody waits."""

    class Forgetful(Loop):
        def make(self, call: Callable[[], None]) -> None:
            self.number += 1
            if self.number % 2:
                call()

    loop = Forgetful(scheduler)
    operations = FlowOperationContainer().add_func("work", double).make_sync(loop)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        runs = [runtime.process(".in", number) for number in range(6)]
        for run in runs:
            with contextlib.suppress(OperationError):
                run.wait()
        assert all(run.ledger.delivered + run.ledger.failed == 1 for run in runs)
        assert all(run.ledger.balanced for run in runs)
    loop.close()


def closed_meanwhile(scheduler: Scheduler) -> None:
    """Closing drains what was accepted; what comes later is refused, and nothing is made after the end."""
    loop = Loop(scheduler)
    calls = Calls()
    operations = FlowOperationContainer().add_func("work", calls).make_sync(loop)
    started = []

    def send() -> None:
        with contextlib.suppress(FlowError):
            for number in range(3):
                started.append(runtime.process(".in", number))  # noqa: PERF401 - some of them are refused

    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        scheduler.together(send, closer=runtime.close)
        made = len(calls.order)
        for run in started:
            with contextlib.suppress(FlowError):
                run.wait()
            assert run.done
    loop.close()
    assert len(calls.order) == made


def given_up(scheduler: Scheduler) -> None:
    """A dispatcher that never comes to it, or comes just when it is too late."""
    kept: list[Callable[[], None]] = []

    class Keeps:
        def dispatch(self, call: Callable[[], None]) -> None:
            kept.append(call)

        def is_here(self) -> bool:
            return False

    made: list[int] = []
    runtime = FlowRuntime(seams=scheduler.seams(), name="flow")
    try:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", made.append).make_sync(Keeps()))
        run = runtime.process(".in", 1)

        def late() -> None:
            scheduler.sleep(1.0)
            for call in kept[:]:
                call()

        reports = []
        scheduler.together(late, closer=lambda: reports.append(runtime.close(drain=1.0)))
        assert run.done
        assert run.ledger.balanced
        assert bool(made) or reports[0].discarded == 1
        count = len(made)
        for call in kept:
            call()
        assert len(made) == count
    finally:
        inner_parts(runtime).closer.forget()


class Given:
    """What a dispatcher may be given: spent, if a wait has made it."""

    def __init__(self, number: int, made: list[int], *, spent: bool = False) -> None:
        self.number = number
        self.made = made
        self.spent = spent

    def __call__(self) -> None:
        self.made.append(self.number)


def forgotten_while_others_are_taken(scheduler: Scheduler) -> None:
    """Who gives a call drops those at the front that waits have made, and no other, though they are taken at that moment."""
    dispatcher = MainThreadDispatcher()
    made: list[int] = []

    def send(first: int) -> None:
        for number in (first, first + 1):
            dispatcher.dispatch(Given(number, made, spent=number == first))

    senders = [scheduler.spawn(partial(send, first), f"sender {first}") for first in (10, 20, 30)]
    for _ in range(3):
        dispatcher.run_pending()
    for sender in senders:
        sender.join()
    dispatcher.run_pending()
    assert sorted(made) == [11, 21, 31]


PROGRAMS: tuple[Program, ...] = (
    made_by_a_loop,
    made_by_a_wait,
    made_by_whoever_comes_first,
    refused_and_dropped,
    dropped_while_waited_for,
    closed_meanwhile,
    given_up,
    forgotten_while_others_are_taken,
)


@pytest.mark.slow
@each_of(PROGRAMS)
def test_dispatched_operations_keep_their_promises_in_every_order(program: Program) -> None:
    explore(program, effort.of(60), [*WATCHED, dispatched.__file__, dispatchers.__file__, __file__])
