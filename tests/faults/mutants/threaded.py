"""Small flows on threads, in orders of opcodes: for bugs in what the simulation replaces, and for races with what it does at once.

The threads are real; the scheduler of tests/kit/threads decides which of them runs, and may change them between any two opcodes of the files
under watch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from flowrt import FlowOperationContainer, FlowRuntime, FlowStoppedError, OperationError, Run
from flowrt.engine import outcomes
from flowrt.executors import threads
from flowrt.operations import bodies
from flowrt.runtime import loop, owner, waiting
from flowrt.runtime import run as runs
from flowrt.runtime.loop import FIRST_LOOK
from flowrt.runtime.wiring import inner_parts
from tests.kit.threads.orders import Order, Pct, Walk
from tests.kit.threads.scheduler import Program, Scheduler
from tests.kit.threads.schedules import run_once

STRIDE = 15  # opcodes between two changes of a random walk: few files are watched
HALF_A_MINUTE = 30.0  # of the scheduler's time, which passes only where nobody can run


def order_of(seed: int, length: int) -> Order:
    """Every other order is a random walk; the rest change threads at one to three opcodes."""
    return Walk(seed, STRIDE) if seed % 2 else Pct(seed, 2 + seed // 2 % 3, length)


def scenario(*watched: ModuleType, length: int) -> Callable[[Program], Callable[[int], None]]:
    """Make a scenario of a program for the scheduler.

    Args:
        watched: modules between whose opcodes threads are changed; besides, they are wherever a thread may wait.
        length: about how many such places an undisturbed run has.
    """

    def make(program: Program) -> Callable[[int], None]:
        def run(seed: int) -> None:
            run_once(program, order_of(seed, length), [module.__file__ for module in watched])

        run.__name__ = program.__name__
        return run

    return make


@contextlib.contextmanager
def opened(scheduler: Scheduler, operations: FlowOperationContainer) -> Iterator[FlowRuntime]:
    """A runtime for `.in -> work -> .out`, closed in the end."""
    runtime = FlowRuntime(seams=scheduler.seams(), name="planted")
    try:
        runtime.add_stream(".in", "work").add_stream("work", ".out").add_operations(operations)
        yield runtime
        report = runtime.close()
        assert report.clean, report
    finally:
        inner_parts(runtime).closer.forget()


def same(data: Any) -> Any:
    return data


@scenario(threads, length=800)
def one_after_another(scheduler: Scheduler) -> None:
    """Every input is worked on, though the worker had nothing to do in between."""
    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, operations) as runtime:
        runs = [runtime.process(".in", number) for number in range(3)]
        assert [run.result(timeout=HALF_A_MINUTE).data for run in runs] == [0, 1, 2]
        assert not scheduler.waits_out, "a wake-up was lost, and a timed wait has hidden it"


@scenario(runs, waiting, length=600)
def two_wait_for_the_end(scheduler: Scheduler) -> None:
    """Whoever waits for a run is told of its end."""
    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, operations) as runtime:
        run = runtime.process(".in", 1)
        scheduler.together(run.wait, run.wait)
        assert run.values() == [1]


@scenario(threads, length=1_000)
def keys_on_threads(scheduler: Scheduler) -> None:
    """What has one key leaves in order."""
    operations = FlowOperationContainer().add_func("work", same)
    operations.make_parallel(2, by_key=lambda _number: "one")
    with opened(scheduler, operations) as runtime:
        run = runtime.process_many(".in", iter(range(4)))
        assert run.values() == [0, 1, 2, 3]


@scenario(bodies, outcomes, length=3_000)
def long_calls_that_emit(scheduler: Scheduler) -> None:
    """What a long call emits is seen while it goes on, each emission once and in order, and belongs to the run."""

    def work(number: int, emit: Callable[[int], None]) -> None:
        for part in range(3):
            emit(10 * number + part)
            scheduler.sleep(2 * FIRST_LOOK)

    operations = FlowOperationContainer().add_action("work", work).make_async()
    with opened(scheduler, operations) as runtime:
        run = runtime.process_many(".in", iter([1, 2]))
        assert run.values() == [10, 11, 12, 20, 21, 22]
        assert run.ledger.balanced


@scenario(bodies, outcomes, length=1_700)
def emitted_by_other_threads(scheduler: Scheduler) -> None:
    """An emission that races with the end of its call is neither lost nor doubled."""
    emitters = []

    def work(number: int, emit: Callable[[int], None]) -> None:
        emitters.append(scheduler.spawn(lambda: emit(number + 10), f"emitter {number}"))
        emit(number)

    operations = FlowOperationContainer().add_action("work", work).make_async()
    with opened(scheduler, operations) as runtime:
        runtime.process_many(".in", iter([1, 2])).wait()
        for emitter in emitters:
            emitter.join()
        assert sorted(message.data for message in runtime.results()) == [1, 2, 11, 12]


@scenario(runs, waiting, length=1_500)
def two_readers_of_a_run(scheduler: Scheduler) -> None:
    """Who reads a run sees all its results, once, whoever reads it at the same time."""
    found: list[list[int]] = []

    def read() -> None:
        found.append([message.data for message in run.results()])

    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, operations) as runtime:
        run = runtime.process_many(".in", iter(range(4)))
        scheduler.together(read, read)
    assert [sorted(each) for each in found] == [[0, 1, 2, 3]] * 2


@scenario(bodies, length=600)
def long_calls_that_fail(scheduler: Scheduler) -> None:
    """A failure that the engine sees while the group goes on is told, and is no result."""

    def work(number: int) -> int:
        if number % 2:
            scheduler.sleep(FIRST_LOOK)  # so that the engine looks just then
            raise ValueError(number)
        return number

    operations = FlowOperationContainer().add_func("work", work).make_async()
    told: list[OperationError] = []
    with opened(scheduler, operations) as runtime:
        runtime.on_exception(told.append)
        run = runtime.process_many(".in", range(16))
        assert run.values() == list(range(0, 16, 2))
        assert [error.__cause__.args[0] for error in told if error.__cause__] == list(range(1, 16, 2))


@scenario(loop, owner, length=700)
def closed_while_inputs_come(scheduler: Scheduler) -> None:
    """A run whose inputs were still coming when the runtime was closed ends by itself."""
    started: list[Run] = []

    def send() -> None:
        with contextlib.suppress(FlowStoppedError):
            started.append(runtime.process_many(".in", iter(range(4))))

    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, operations) as runtime:
        scheduler.together(send, closer=runtime.close)
    for run in started:
        assert run.done
        assert run.failures == []
        assert run.ledger.balanced


SCENARIOS = (
    one_after_another,
    two_wait_for_the_end,
    keys_on_threads,
    long_calls_that_emit,
    emitted_by_other_threads,
    two_readers_of_a_run,
    long_calls_that_fail,
    closed_while_inputs_come,
)
