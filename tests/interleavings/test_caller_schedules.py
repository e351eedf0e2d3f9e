"""What several threads ask of one runtime at once, in orders of opcodes that no stress brings about."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, FlowStoppedError, Run, RunCancelledError
from flowrt.runtime import closing, loop, owner, room
from flowrt.runtime import input as way_in
from flowrt.runtime import runtime as runtimes
from flowrt.standard import Gather, Scatter
from tests.kit import effort
from tests.kit.functions import double, increment, same
from tests.kit.threads.orders import Deviations, Order, Pct, Walk
from tests.kit.threads.scheduled_flows import WATCHED, Calls, each_of, opened
from tests.kit.threads.scheduler import Program, Scheduler
from tests.kit.threads.schedules import explore, interrupt_everywhere, run_once

pytestmark = pytest.mark.no_cover


def keeps_no_input(runtime: FlowRuntime) -> bool:
    """Whether nothing that came behind the last call that the engine made is still there, but for runs as such."""
    return all(len(arguments) < 2 for _, arguments in runtime._owner.inbox._entries)


def two_senders_and_a_closer(scheduler: Scheduler) -> None:
    """Whoever sends is either refused or gets a run that ends; nothing that was accepted is lost."""
    started: list[Run] = []
    refused: list[int] = []

    def send(first: int) -> None:
        for number in (first, first + 1):
            try:
                started.append(runtime.process(".in", number))
            except FlowStoppedError:
                refused.append(number)

    operations = FlowOperationContainer().add_func("work", double).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        scheduler.together(lambda: send(0), lambda: send(10), closer=runtime.close)
        assert keeps_no_input(runtime)
        results = []
        for run in started:
            try:
                results.append(run.result().data // 2)
            except FlowStoppedError:
                refused.append(-1)
            assert run.done
    assert len(results) + len(refused) == 4
    assert set(results) <= {0, 1, 10, 11}


def iterables_and_a_closer(scheduler: Scheduler) -> None:
    started: list[Run] = []

    def send() -> None:
        with contextlib.suppress(FlowStoppedError):
            started.append(runtime.process_many(".in", range(5)))

    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations, capacity=2) as runtime:
        scheduler.together(send, send, closer=runtime.close)
        assert keeps_no_input(runtime)
        for run in started:
            with contextlib.suppress(FlowStoppedError):
                run.wait()
            assert run.done
            assert run.ledger.balanced


def senders_with_little_room(scheduler: Scheduler) -> None:
    most = []

    def work(number: int) -> int:
        most.append(runtime._owner.engine.books.outside.live)
        return number

    def send(first: int) -> None:
        for number in range(first, first + 4):
            runtime.process(".in", number)

    operations = FlowOperationContainer().add_func("work", work).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations, capacity=2) as runtime:
        scheduler.together(lambda: send(0), lambda: send(10))

        found = sorted(message.data for message in runtime.results())
    assert found == [0, 1, 2, 3, 10, 11, 12, 13]
    assert max(most) <= 2 + 2


def lists_with_little_room(scheduler: Scheduler) -> None:
    """A list posted is the engine's, which cuts it or adds to it: neither the room nor the positions are counted by it."""
    operations = FlowOperationContainer().add_func("work", same)
    options = {"operations": operations, "capacity": 3, "schedule": "depth_first"}
    with opened(scheduler, ".in -> work -> .out", **options) as runtime:
        scheduler.together(*[lambda: runtime.process_many(".in", [0, 1, 2, 3])] * 2)
        runtime.wait_idle()
        assert runtime._owner.room.load == 0
        found = [(message.data, message.position) for message in runtime.results()]
    assert sorted(found) == [(number, number) for number in range(4) for _ in range(2)]


def several_readers(scheduler: Scheduler) -> None:
    """Each result goes to the readers of the run, all of them, or to the runtime's."""
    each: list[int] = []
    whole: list[int] = []
    others: list[int] = []

    def read_run() -> None:
        each.extend(message.data for message in run.results())

    def read_runtime() -> None:
        others.extend(message.data for message in runtime.results())

    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(5))
        scheduler.together(read_run, read_runtime, lambda: whole.extend(run.values()))
    assert sorted(each) == sorted(whole)
    assert sorted(each + others) == list(range(5))


def a_run_cancelled(scheduler: Scheduler) -> None:
    """Cancelled at any moment, the books balance, and the next run is not disturbed."""
    operations = FlowOperationContainer().add_func("first", same).make_async()
    operations.add_func("second", same).make_parallel(2, ordered=True)
    with opened(scheduler, ".in -> first -> second -> .out", operations=operations) as runtime:
        run, other = runtime.process_many(".in", range(4)), runtime.process_many(".in", range(10, 13))
        canceller = scheduler.spawn(run.cancel, "canceller")
        with contextlib.suppress(RunCancelledError):
            run.wait()
        canceller.join()

        assert other.values() == [10, 11, 12]
        assert run.ledger.balanced
        runtime.wait_idle()
        assert runtime._owner.engine.books.live == 0


def a_ledger_looked_at(scheduler: Scheduler) -> None:
    def look() -> None:
        for _ in range(3):
            assert run.ledger.balanced

    operations = FlowOperationContainer().add_func("first", same).make_async()
    operations.add_func("second", same).make_parallel(2)
    with opened(scheduler, ".in -> first -> second -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(4))
        scheduler.together(look, runtime.wait_idle)
        assert sorted(run.values()) == [0, 1, 2, 3]


def sync_from_two_threads(scheduler: Scheduler) -> None:
    """Under "sync" whoever waits is the engine, in turn."""
    found: list[int] = []

    def send(first: int) -> None:
        found.extend(runtime.process(".in", number).result().data for number in (first, first + 1))

    calls = Calls(double)
    operations = FlowOperationContainer().add_func("work", calls).add_func("more", increment).make_parallel(2)
    with opened(scheduler, ".in -> work -> more -> .out", operations=operations, schedule="sync") as runtime:
        scheduler.together(lambda: send(0), lambda: send(10))
    assert sorted(found) == [1, 3, 21, 23]
    assert calls.most == 1


def sync_and_a_closer(scheduler: Scheduler) -> None:
    ended = []

    def send(number: int) -> None:
        try:
            ended.append(runtime.process(".in", number).result().data)
        except FlowStoppedError:
            ended.append(-1)

    operations = FlowOperationContainer().add_func("work", double)
    with opened(scheduler, ".in -> work -> .out", operations=operations, schedule="sync") as runtime:
        scheduler.together(lambda: send(1), lambda: send(2), closer=runtime.close)
    assert len(ended) == 2


def two_closers(scheduler: Scheduler) -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
    reports = []
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(3))
        scheduler.together(*[lambda: reports.append(runtime.close())] * 2)
        assert sorted(run.values()) == [0, 1, 2]
    assert all(report.clean for report in reports)


def subscribed_meanwhile(scheduler: Scheduler) -> None:
    """A result goes to the handler or to a reader, never to both or none."""
    handled: list[int] = []
    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        run = runtime.process_many(".in", range(4))
        subscriber = scheduler.spawn(
            lambda: runtime.on_result(lambda message: handled.append(message.data)), "subscriber"
        )
        found = [message.data for message in run.results()]
        subscriber.join()
        runtime.wait_idle()
        assert sorted(found + handled) == [0, 1, 2, 3]


def changed_meanwhile(scheduler: Scheduler) -> None:
    """A flow is changed while messages pass: each goes the old way or the new."""
    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        started: list[Run] = []

        def send() -> None:
            started.extend(runtime.process(".in", number) for number in range(3))

        def change() -> None:
            runtime.add_operations(FlowOperationContainer().add_func("more", same).make_parallel(2))
            runtime.add_stream(".in2", "more")
            runtime.add_stream("more", ".out")
            started.append(runtime.process(".in2", 9))

        scheduler.together(send, change)
        assert sorted(run.result().data for run in started) == [0, 1, 2, 9]


def a_gather_cancelled(scheduler: Scheduler) -> None:
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_func("work", double).make_parallel(2)
    chains = (".in -> scatter", "scatter.stream -> work -> gather.stream", "scatter.count -> gather.count")
    with opened(scheduler, *chains, "gather -> .out", operations=operations) as runtime:
        run, other = runtime.process(".in", [1, 2, 3]), runtime.process(".in", [4, 5])
        canceller = scheduler.spawn(run.cancel, "canceller")
        with contextlib.suppress(RunCancelledError):
            run.wait()
        canceller.join()

        assert sorted(other.result().data) == [8, 10]
        assert run.ledger.balanced
        runtime.wait_idle()
        assert runtime._owner.engine.books.live == 0


def a_generator_cancelled(scheduler: Scheduler) -> None:
    """Every generator that was begun is ended, also one that a worker is just pulling."""
    begun, ended = [], []

    def count(number: int) -> Iterator[int]:
        begun.append(number)
        try:
            yield from range(4)
        finally:
            ended.append(number)

    operations = FlowOperationContainer().add_generator("count", count, window=2).make_async()
    with opened(scheduler, ".in -> count -> .out", operations=operations) as runtime:
        run = runtime.process(".in", 1)
        run.result()
        run.cancel()
        with contextlib.suppress(RunCancelledError):
            run.wait()
        assert run.ledger.balanced
    assert begun == ended


def closed_from_inside(scheduler: Scheduler) -> None:
    """An operation may close its own runtime; what was accepted before is worked off."""
    started: list[Run] = []

    def work(number: int) -> int:
        if number == 2:
            assert runtime.close().pending
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        with contextlib.suppress(FlowStoppedError):
            started.extend(runtime.process(".in", number) for number in range(4))
        for run in started:
            with contextlib.suppress(FlowStoppedError):
                run.wait()
            assert run.done
    assert len(started) >= 3


def two_wait_for_any_result(scheduler: Scheduler) -> None:
    found: list[int] = []
    operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:

        def read() -> None:
            found.extend(runtime.wait_for_result().data for _ in range(2))

        scheduler.together(read, read, runtime.wait_idle, lambda: runtime.process_many(".in", range(4)))
    assert sorted(found) == [0, 1, 2, 3]


def emitted_while_closing(scheduler: Scheduler) -> None:
    """An emission past its call, while the runtime closes, is either refused or delivered."""
    emitters, refused = [], []

    def work(number: int, emit: Callable[[int], None]) -> None:
        def emit_late() -> None:
            try:
                emit(number + 10)
            except FlowStoppedError:
                refused.append(number + 10)

        emitters.append(scheduler.spawn(emit_late, f"emitter {number}"))
        emit(number)

    operations = FlowOperationContainer().add_action("work", work).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations) as runtime:
        runtime.process_many(".in", [1, 2])
        scheduler.together(runtime.close)
        for emitter in emitters:
            emitter.join()
    found = [message.data for message in runtime.results()]
    assert sorted(found + refused) == [1, 2, 11, 12]


FLOWS = (
    two_senders_and_a_closer,
    iterables_and_a_closer,
    senders_with_little_room,
    lists_with_little_room,
    several_readers,
    a_run_cancelled,
    a_ledger_looked_at,
    sync_from_two_threads,
    sync_and_a_closer,
    two_closers,
    subscribed_meanwhile,
    changed_meanwhile,
    a_gather_cancelled,
    a_generator_cancelled,
    closed_from_inside,
    two_wait_for_any_result,
    emitted_while_closing,
)


def test_a_list_that_was_posted_is_not_looked_at_any_more() -> None:
    explore(lists_with_little_room, 20, [way_in.__file__, room.__file__])


@pytest.mark.slow
@each_of(FLOWS)
def test_a_runtime_keeps_its_promises_in_every_order(program: Program) -> None:
    explore(program, effort.of(60), [*WATCHED, __file__])


# --- each interruption


def first_inputs_of_two_threads(scheduler: Scheduler) -> None:
    """Whoever is first builds the flow; nobody's input comes before it."""
    results = []
    with opened(scheduler, ".in -> .out") as runtime:
        scheduler.together(*[lambda: results.append(runtime.process(".in", 1).result().data)] * 2)
    assert results == [1, 1]


def closed_at_once(scheduler: Scheduler) -> None:
    with opened(scheduler, ".in -> .out") as runtime:
        run = runtime.process(".in", 1)
    assert run.done


def room_for_one(scheduler: Scheduler) -> None:
    operations = FlowOperationContainer().add_func("work", same).make_async()
    with opened(scheduler, ".in -> work -> .out", operations=operations, capacity=1) as runtime:
        scheduler.together(*[lambda: [runtime.process(".in", number) for number in range(2)]] * 2)
        assert sorted(message.data for message in runtime.results()) == [0, 0, 1, 1]


def engine_by_turns(scheduler: Scheduler) -> None:
    with opened(scheduler, ".in -> .out", schedule="sync") as runtime:
        scheduler.together(*[lambda: runtime.process(".in", 1).wait()] * 2)


# Interrupted once, anywhere in these modules: what they are about happens there.
NARROW: dict[Program, list[ModuleType]] = {
    first_inputs_of_two_threads: [runtimes],
    closed_at_once: [loop, owner, closing],
    room_for_one: [way_in, room],
    engine_by_turns: [loop, owner],
}


@pytest.mark.slow
@each_of(NARROW)
def test_a_runtime_keeps_its_promises_wherever_a_thread_is_interrupted_once(program: Program) -> None:
    assert interrupt_everywhere(program, [module.__file__ for module in NARROW[program]], 300) > 50


# Orders that failed once, replayed for ever. They mean the same only as long as the bytecode is the same; what makes sure of the bugs that
# they showed are the programs themselves, and the interruptions above.
KEPT: list[tuple[Program, Order]] = [
    (a_run_cancelled, Walk(1371)),
    (changed_meanwhile, Pct(1006, 4, 8757)),
    (first_inputs_of_two_threads, Pct(2268, 2, 3800)),
    (several_readers, Walk(5255)),
    (room_for_one, Walk(2019)),
    (senders_with_little_room, Walk(2027)),
    (sync_from_two_threads, Pct(2005, 3, 12530)),
    (sync_and_a_closer, Pct(2014, 4, 4189)),
    (a_generator_cancelled, Pct(16, 2, 6551)),
    (emitted_while_closing, Deviations()),
]


@pytest.mark.parametrize(
    ("program", "order"), KEPT, ids=lambda value: getattr(value, "__name__", repr(value))
)
def test_an_order_that_failed_once_is_replayed(program: Program, order: Order) -> None:
    run_once(program, order, [*WATCHED, __file__])
