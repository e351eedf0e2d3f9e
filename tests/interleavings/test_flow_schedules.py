"""What operations do on their threads, in orders of opcodes that no stress brings about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Run
from flowrt.errors import FlowError, FlowStoppedError, OperationError, OperationTimeoutError
from flowrt.runtime.wiring import inner_parts
from flowrt.standard import Gather, Scatter
from tests.kit import effort
from tests.kit.flows import wire
from tests.kit.functions import double, increment, same
from tests.kit.threads.orders import Pct
from tests.kit.threads.scheduled_flows import WATCHED, Calls, KeyedCalls, each_of, once_each, opened
from tests.kit.threads.scheduler import Program, Scheduler
from tests.kit.threads.schedules import explore, run_once

pytestmark = pytest.mark.no_cover


def async_then_parallel(scheduler: Scheduler) -> None:
    first, second = Calls(increment), Calls(double)
    operations = FlowOperationContainer().add_func("first", first).make_async()
    operations.add_func("second", second).make_parallel(2)
    with opened(scheduler, ".in -> first -> second -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(4))

        assert sorted(run.values()) == [2, 4, 6, 8]
        assert run.ledger.balanced
    assert first.most == 1
    assert first.order == [0, 1, 2, 3]
    assert first.made == once_each(range(4))
    assert second.made == once_each(range(1, 5))


def parallel_in_order(scheduler: Scheduler) -> None:
    calls = Calls(double)
    operations = FlowOperationContainer().add_func("work", calls).make_parallel(2, ordered=True)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        one, other = runtime.process_many(".in", range(3)), runtime.process(".in", 3)

        assert one.values() == [0, 2, 4]
        assert other.result().data == 6
    assert calls.made == once_each(range(4))


def parallel_by_key(scheduler: Scheduler) -> None:
    calls = KeyedCalls()
    operations = FlowOperationContainer().add_func("work", calls)
    operations.make_parallel(2, by_key=lambda number: number % 2)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        found = runtime.process_many(".in", range(6)).values()
    assert [number for number in found if number % 2] == [1, 3, 5]
    assert [number for number in found if not number % 2] == [0, 2, 4]
    assert calls.most == 1
    assert calls.made == once_each(range(6))


def parallel_generator(scheduler: Scheduler) -> None:
    def count(number: int) -> Iterator[int]:
        yield from range(10 * number, 10 * number + 3)

    operations = FlowOperationContainer().add_generator("count", count, window=2).make_parallel(2)
    operations.add_func("work", double).make_async()
    with opened(scheduler, ".in -> count -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", [1, 2])

        assert sorted(run.values()) == [20, 22, 24, 40, 42, 44]
        assert run.ledger.balanced


def scattered_and_gathered(scheduler: Scheduler) -> None:
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_func("work", double).make_parallel(2)
    chains = (".in -> scatter", "scatter.stream -> work -> gather.stream", "scatter.count -> gather.count")
    with opened(scheduler, *chains, "gather -> .out", operations=operations) as runtime:
        runs = [runtime.process(".in", [1, 2, 3]), runtime.process(".in", [4])]

        assert [sorted(run.result().data) for run in runs] == [[2, 4, 6], [8]]
        assert runs[0].ledger.balanced


def failing_calls(scheduler: Scheduler) -> None:
    def refuse_odd(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    operations = FlowOperationContainer().add_func("work", refuse_odd).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(5))
        with pytest.raises(OperationError):
            run.wait()

        assert sorted(message.data for message in list_of(run)) == [0, 2, 4]
        assert len(run.failures) == 2
        assert run.ledger.balanced


def list_of(run: Run) -> list[Any]:
    found = []
    with contextlib.suppress(FlowError):
        for message in run.results():
            found.append(message)  # noqa: PERF402 (what came before the failure is kept)
    return found


def slow_calls_taken_back(scheduler: Scheduler) -> None:
    """Calls of milliseconds: the engine looks at groups in work, asks them to stop, and idle workers get the rest."""

    def work(number: int) -> int:
        if number % 3 == 0:
            scheduler.sleep(0.01)
        return number

    calls = Calls(work)
    operations = FlowOperationContainer().add_func("work", calls).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations, waits=True) as runtime:
        run = runtime.process_many(".in", range(10))

        assert sorted(run.values()) == list(range(10))
        assert run.ledger.balanced
    assert calls.made == once_each(range(10))


def slow_actions_that_emit(scheduler: Scheduler) -> None:
    """What a call emits is fetched while it goes on, each emission once and in order."""

    def work(number: int, emit: Callable[[int], None]) -> None:
        for part in range(3):
            emit(10 * number + part)
            scheduler.sleep(0.003)

    operations = FlowOperationContainer().add_action("work", work).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations, waits=True) as runtime:
        run = runtime.process_many(".in", [1, 2])

        assert run.values() == [10, 11, 12, 20, 21, 22]
        assert run.ledger.balanced


def emitted_by_another_thread(scheduler: Scheduler) -> None:
    """An emission that races with the end of its call is neither lost nor doubled; past the call it is a run of its own."""
    emitters = []

    def work(number: int, emit: Callable[[int], None]) -> None:
        emitters.append(scheduler.spawn(lambda: emit(number + 10), f"emitter {number}"))
        emit(number)

    operations = FlowOperationContainer().add_action("work", work).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        runtime.process_many(".in", [1, 2]).wait()
        for emitter in emitters:
            emitter.join()

        assert sorted(message.data for message in runtime.results()) == [1, 2, 11, 12]


def processed_inside(scheduler: Scheduler) -> None:
    """What operations send in does not wait for room."""

    def work(number: int) -> int:
        if number < 3:
            runtime.process(".in", number + 10)
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations, capacity=1) as runtime:
        for number in range(3):
            runtime.process(".in", number)
        assert sorted(message.data for message in runtime.results()) == [0, 1, 2, 10, 11, 12]


def one_pool_depth_first(scheduler: Scheduler) -> None:
    operations = FlowOperationContainer().add_func("first", increment).make_parallel(2, pool="pool")
    operations.add_func("second", double).make_parallel(2, pool="pool").add_func("third", same)
    chain = ".in -> first -> second -> third -> .out"
    with opened(scheduler, chain, operations=operations, schedule="depth_first") as runtime:
        assert sorted(runtime.process_many(".in", range(4)).values()) == [2, 4, 6, 8]


@contextlib.contextmanager
def in_parallel(scheduler: Scheduler, work: Callable[[int], int]) -> Iterator[FlowRuntime]:
    """A runtime of one operation that need not end well, only in time."""
    operations = FlowOperationContainer().add_func("work", work).make_parallel(2)
    runtime = FlowRuntime(seams=scheduler.seams(), name="flow")
    try:
        wire(runtime, ".in -> work -> .out")
        yield runtime.add_operations(operations)
    finally:
        inner_parts(runtime).closer.forget()


def a_worker_that_exits(scheduler: Scheduler) -> None:
    """SystemExit stops the runtime, and whoever waits is told."""

    def work(number: int) -> int:
        if number == 2:
            raise SystemExit(3)
        return number

    with in_parallel(scheduler, work) as runtime:
        with pytest.raises((SystemExit, FlowStoppedError)):
            runtime.process_many(".in", range(5)).wait()
        with contextlib.suppress(SystemExit):
            runtime.close()
        assert not scheduler.waits_out


def a_worker_that_stays(scheduler: Scheduler) -> None:
    """A call that does not return is given up, by name; everything else is told and balanced."""
    gate = scheduler.event()

    def work(number: int) -> int:
        if number == 1:
            gate.wait()
        return number

    with in_parallel(scheduler, work) as runtime:
        run = runtime.process_many(".in", range(5))
        report = runtime.close(drain=1.0)
        assert run.done
        assert run.ledger.balanced
        assert len(report.abandoned) == 1
        gate.set()


def calls_given_up(scheduler: Scheduler) -> None:
    """A call returns just when its time is up: it has one outcome, whoever comes first."""

    def work(number: int) -> int:
        scheduler.sleep(10.0 if number % 2 else 0.0)
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(2).timeout(10.0)
    with opened(scheduler, ".in -> work -> .out", operations=operations, waits=True) as runtime:
        run = runtime.process_many(".in", range(4))
        found = sorted(message.data for message in list_of(run))
        assert len(found) + len(run.failures) == 4
        assert len(set(found)) == len(found)
        assert all(isinstance(error, OperationTimeoutError) for error in run.failures)
        assert run.ledger.balanced
        scheduler.sleep(60.0)  # by then the threads that were given up have come back, and close() names none


def calls_made_again(scheduler: Scheduler) -> None:
    """What fails at first comes in order all the same."""
    calls: list[int] = []

    def work(number: int) -> int:
        calls.append(number)
        if number % 2 and calls.count(number) == 1:
            raise ValueError(number)
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(2, ordered=True)
    operations.retry(2, backoff=lambda _: 0.001)
    with opened(scheduler, ".in -> work -> .out", operations=operations, waits=True) as runtime:
        run = runtime.process_many(".in", range(4))
        assert run.values() == [0, 1, 2, 3]
        assert sorted(calls) == [0, 1, 1, 2, 3, 3]
        assert run.ledger.balanced


FLOWS = (
    async_then_parallel,
    parallel_in_order,
    parallel_by_key,
    parallel_generator,
    scattered_and_gathered,
    failing_calls,
    calls_given_up,
    calls_made_again,
    slow_calls_taken_back,
    slow_actions_that_emit,
    emitted_by_another_thread,
    processed_inside,
    one_pool_depth_first,
    a_worker_that_exits,
    a_worker_that_stays,
)


@pytest.mark.slow
@each_of(FLOWS)
def test_a_runtime_keeps_its_promises_in_every_order(program: Program) -> None:
    explore(program, effort.of(60), [*WATCHED, __file__])


def test_an_order_that_failed_once_is_replayed() -> None:
    """In it a wake-up never ended; see also `waited_for` in tests/interleavings/test_thread_schedules.py."""
    run_once(async_then_parallel, Pct(2002, 4, 8837), [*WATCHED, __file__])
