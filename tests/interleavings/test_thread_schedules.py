"""Inbox, hand-over, thread pool and results, with their threads in orders that no stress brings about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import cycle
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from attrs import Factory, define

from flowrt import messages
from flowrt.engine import contract, engine
from flowrt.engine import meters as handover
from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import PullTask, Task
from flowrt.engine.engine import Engine
from flowrt.engine.ledger import Books
from flowrt.engine.meters import Pace
from flowrt.engine.places import Handler
from flowrt.executors import backlog as lanes
from flowrt.executors import tasks, threads, workers
from flowrt.executors.backlog import Backlog, Taken
from flowrt.executors.threads import ThreadPool
from flowrt.messages import Context, Trunk
from flowrt.operations import bodies
from flowrt.operations.bodies import ActionBody, Failure, FunctionBody, Group
from flowrt.ports import Port
from flowrt.runtime import inbox, waiting
from flowrt.runtime import run as runs
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.results import Arrived, Results
from flowrt.runtime.run import Run
from flowrt.runtime.waiting import Wakers
from tests.kit import effort
from tests.kit.threads.orders import Order, Pct, Walk
from tests.kit.threads.scheduled_flows import each_of
from tests.kit.threads.scheduler import DeadlockError, Program, Scheduler
from tests.kit.threads.schedules import explore, interrupt_everywhere, run_once

pytestmark = pytest.mark.no_cover

MODULES = (bodies, contract, engine, handover, inbox, lanes, runs, tasks, threads, workers)
WATCHED = [__file__, waiting.__file__, *(module.__file__ for module in MODULES)]

HANDLER = Handler(Port.parse("operation"), None)
ROOT = Trunk().root


def new_run() -> Any:
    return Books(1000).open_run()


def chunk_of(data: list[Any], context: Any = None) -> Chunk:
    return Chunk(HANDLER, data, context or Context(new_run()), range(len(data)), ROOT)


def no_inputs(inputs: list[Any]) -> None:
    raise AssertionError(inputs)


# --- inbox


def waited_for(scheduler: Scheduler) -> None:
    """Two wait for a change; somebody wakes them once before it and once after."""
    wakers = Wakers(scheduler.seams())
    changes: list[bool] = []

    def wait() -> None:
        while not changes:
            event = wakers.enlist()
            try:
                if not changes:
                    event.wait()
            finally:
                wakers.leave(event)

    def change() -> None:
        wakers.wake()
        changes.append(True)
        wakers.wake()

    scheduler.together(wait, wait, change)
    assert not wakers


def waited_for_too_late(scheduler: Scheduler) -> None:
    """As nobody must: look first, and enlist then."""
    wakers = Wakers(scheduler.seams())
    changes: list[bool] = []

    def wait() -> None:
        if not changes:
            wakers.enlist().wait()

    def change() -> None:
        changes.append(True)
        wakers.wake()

    scheduler.together(wait, change)


def posted_by_two(scheduler: Scheduler) -> None:
    calls = Inbox(scheduler.seams())
    taken: list[Any] = []

    def post(name: str) -> None:
        for number in range(3):
            if number == 1:  # calls and inputs keep their order
                calls.post(None, name, number)
            else:
                calls.post(taken.append, (name, number))

    def take() -> None:
        left = 6
        for timeout in cycle((None, 1.0)):
            while not (made := calls.work(taken.extend)):
                calls.wait(timeout)
            left -= made
            if not left:
                return

    scheduler.together(lambda: post("one"), lambda: post("two"), take)
    assert calls.empty()
    assert not calls.work(taken.extend)
    for name in ("one", "two"):
        assert [number for poster, number in taken if poster == name] == [0, 1, 2]


# --- hand-over


def taken_while_a_run_ends(scheduler: Scheduler) -> None:
    """What is not begun belongs to runs that have ended, whenever that was."""
    ending, going = new_run(), new_run()
    place: Any = Place(None)
    place.pace.took(100, 0.0)
    contexts = [Context(run) for run in (ending, ending, going, ending)]
    backlog = Backlog(1)
    backlog.put(place, chunk_of([1, 2, 3, 4], contexts))
    taken: list[Taken] = []

    def end() -> None:
        ending.ended = True

    scheduler.together(lambda: taken.extend(iter(backlog.take, None)), end)
    assert [number for waiting in taken for number in waiting.chunk.data] == [1, 2, 3, 4]
    not_begun = [number for waiting in taken if waiting.ended for number in waiting.chunk.data]
    assert 3 not in not_begun


def looked_at_while_it_fails(scheduler: Scheduler) -> None:
    """Whoever sees a failure among the results of a group sees that the group has failed."""

    def refuse(number: int) -> int:
        raise LookupError

    group = Group([1, 2])

    def look() -> None:
        if any(type(result) is Failure for result in list(group.results)):
            assert group.failed

    scheduler.together(lambda: FunctionBody(refuse).perform(group), look)


# --- the thread pool


@define(eq=False)
class Place:
    """What a pool asks of an operation's place."""

    declaration: Any
    name: str = "operation"
    pace: Pace = Factory(Pace)
    ordered: bool = False
    guard: Any = None


class Bench:
    """A pool of threads, with the test's own thread as its engine."""

    def __init__(
        self, scheduler: Scheduler, function: Callable[[Any], Any], workers: int, **mode: Any
    ) -> None:
        self.inbox = Inbox(scheduler.seams())
        self.crashes: list[BaseException] = []
        self.reported: list[Any] = []
        self.returned = 0
        self.pulled: list[Any] = []
        self.pool = ThreadPool(
            "pool",
            workers,
            scheduler.seams(),
            self,
            self.inbox.post,
            self.crashes.append,
        )
        by_key = mode.get("by_key")
        declaration = SimpleNamespace(body=FunctionBody(function), mode=SimpleNamespace(by_key=by_key))
        self.place: Any = Place(declaration, ordered=bool(mode.get("ordered")))

    def submit(self, *data: Any) -> None:
        self.pool.submit(self.place, chunk_of(list(data)))

    def collect(self, group: Any) -> None:
        raise AssertionError("functions emit nothing")

    def pass_on(self, place: Any, chunk: Chunk, results: list[Any], seconds: float) -> None:
        raise AssertionError("nothing runs inline here")

    def give_back(self, chunk: Chunk) -> None:
        raise AssertionError("a pool keeps what it has not begun")

    def handed(self) -> None:
        raise AssertionError("nothing is dispatched here")

    def report(self, task: Task, *, final: bool = True) -> None:
        self.returned += len(task.results)
        done = task.data[: len(task.results)]
        if task.reorder is None:
            self.reported += done
        else:
            task.reorder.add(task.sequence, len(done), lambda: self.reported.extend(done))

    def report_pull(self, pull: PullTask, *, final: bool = True) -> None:
        self.pulled += pull.results

    def work(self, messages: int, *, take_back: bool = False) -> None:
        """Be the engine until so many messages were reported."""
        while self.returned + len(self.pulled) < messages:
            if take_back:
                for task in self.pool.in_work():
                    task.ask_to_stop()
            if not self.inbox.work(no_inputs):
                self.inbox.wait(None)

    def close(self) -> None:
        self.pool.stop()
        assert self.pool.join(1.0) == ()
        assert self.pool.thread_idents() == set()
        assert self.pool.in_work() == []
        assert self.pool.unreported() == []
        assert self.inbox.empty()
        assert not self.crashes


def pooled(scheduler: Scheduler, workers: int, *, take_back: bool = False, by_key: Any = None) -> None:
    made: Counter[int] = Counter()

    def work(number: int) -> int:
        made[number] += 1
        return number

    bench = Bench(scheduler, work, workers, by_key=by_key)
    bench.submit(0)
    bench.submit(1, 2, 3)
    bench.work(2, take_back=take_back)
    bench.submit(4, 5)
    bench.work(6, take_back=take_back)
    bench.close()
    assert sorted(bench.reported) == list(range(6))
    assert made == Counter(range(6))
    if workers == 1:
        assert bench.reported == list(range(6))
    if by_key is not None:
        for key in (0, 1):
            mine = [number for number in bench.reported if number % 2 == key]
            assert mine == sorted(mine)


def one_worker(scheduler: Scheduler) -> None:
    pooled(scheduler, 1)


def one_worker_asked_to_stop(scheduler: Scheduler) -> None:
    """What it has not begun stays in front of what came later."""
    bench = Bench(scheduler, lambda number: number, 1)
    bench.submit(0)
    bench.work(1)
    bench.submit(1, 2, 3)
    bench.submit(4, 5)

    def stop() -> None:
        for task in bench.pool.in_work():
            task.ask_to_stop()

    scheduler.spawn(stop, "stopper")
    bench.work(6)
    bench.close()
    assert bench.reported == list(range(6))


def two_workers(scheduler: Scheduler) -> None:
    pooled(scheduler, 2)


def three_workers_asked_to_stop(scheduler: Scheduler) -> None:
    pooled(scheduler, 3, take_back=True)


def two_workers_by_key(scheduler: Scheduler) -> None:
    pooled(scheduler, 2, take_back=True, by_key=lambda number: number % 2)


def ordered_within_a_window(scheduler: Scheduler) -> None:
    """Two operations in one pool, one of them ordered: no farther ahead than the window, and nobody sleeps while there is something to take."""
    window = 2
    begun: list[int] = []
    unfinished = set(range(6))

    def work(number: int) -> int:
        begun.append(number)
        assert number - min(unfinished) < window
        unfinished.discard(number)
        return number

    bench = Bench(scheduler, work, 2, ordered=True)
    bench.place.pace = WindowOf(window)
    other: Any = Place(
        SimpleNamespace(body=FunctionBody(lambda number: number), mode=SimpleNamespace(by_key=None))
    )
    bench.submit(0, 1, 2)
    bench.pool.submit(other, chunk_of([10, 11]))
    bench.submit(3, 4, 5)
    bench.work(8, take_back=True)
    bench.close()
    assert sorted(begun) == list(range(6))
    others = [number for number in bench.reported if number >= 10]
    assert sorted(others) == [10, 11]
    assert [number for number in bench.reported if number < 10] == list(range(6))


class WindowOf(Pace):
    """Has workers take two messages at a time, within a window."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def ahead(self, workers: int) -> int:
        return self.window

    def quota(self, backlog: int, workers: int = 1) -> int:
        return 2


def pulls_and_calls(scheduler: Scheduler) -> None:
    bench = Bench(scheduler, lambda number: number, 2)
    source: Any = SimpleNamespace(place=bench.place)
    bench.pool.pull(PullTask(source, iter(range(10, 13)), 3))
    bench.submit(0, 1)
    bench.pool.pull(PullTask(source, iter(range(20, 23)), 3))
    bench.work(8, take_back=False)
    bench.close()
    assert sorted(bench.pulled + bench.reported) == [0, 1, 10, 11, 12, 20, 21, 22]


def stopped_from_outside(scheduler: Scheduler) -> None:
    """Whoever gives the engine up stops its pool; the engine may just be handing over."""
    bench = Bench(scheduler, lambda number: number, 2)

    def submit() -> None:
        bench.submit(1, 2, 3)
        bench.submit(4)

    scheduler.together(submit, bench.pool.stop)
    assert bench.pool.join(1.0) == ()


def called_back_after_the_end(scheduler: Scheduler) -> None:
    """An emission while its call ends is collected with the outcome, or asks for another collection."""
    calls = Inbox(scheduler.seams())
    host = SimpleNamespace(fetch=lambda task, late: calls.post(collect, task))
    collecting: Any = SimpleNamespace(_host=host, _clock=scheduler.clock)
    emitters: list[Any] = []
    collected: list[int] = []

    def action(number: int, emit: Callable[[int], None]) -> None:
        emitters.append(scheduler.spawn(lambda: emit(2 * number), "emitter"))
        emit(number)

    def collect(task: Task) -> None:
        entries = task.log[task.log_read :]
        task.log_read += len(entries)
        collected.extend(data for _, port, data in entries if port == "")

    place: Any = None
    task = Task(place, chunk_of([1]), lambda group: Engine.collect(collecting, group))
    ActionBody(action, ("",)).perform(task)
    task.finished = True
    calls.post(collect, task)
    while not (emitters[0].finished and calls.empty()):
        if not calls.work(no_inputs):
            calls.wait(1.0)
    assert sorted(collected) == [1, 2]


# --- results


def read_by_several(scheduler: Scheduler) -> None:
    results = Results(scheduler.rlock())
    seams = scheduler.seams()
    waits = SimpleNamespace(changed=Wakers(seams))
    life = SimpleNamespace(next_number=lambda: 1)
    owner: Any = SimpleNamespace(
        seams=seams, waits=waits, life=life, results=results, fails_fast=False, idlers=0
    )
    run = Run(owner)
    mine = run._mine
    found: list[Any] = []

    def add() -> None:
        for data in ([0, 1], [2], [3, 4]):
            run.tell_arrived(chunk_of(data))
        run.tell_failed(LookupError())

    def read_any() -> None:
        for _ in range(3):
            entry = results.take()
            if entry is not None:
                found.append(entry.failure if isinstance(entry, Arrived) else entry.data)

    def read_mine() -> None:
        while (message := results.take_of(mine, None)) is not None:
            found.append(message.data)

    def read_rest() -> None:
        for chunk in results.take_chunks(mine, None):
            found.extend(chunk.data)

    scheduler.together(add, read_any, read_mine, read_rest)
    found.extend(message.data for _, message in results.take_messages())
    found.extend(results.unseen_failures())
    assert sorted(map(str, found)) == ["", "0", "1", "2", "3", "4"]
    assert results.unread == 0
    assert results.take() is None


# With the modules that are interrupted everywhere.
SMALL: dict[Program, list[ModuleType]] = {
    waited_for: [inbox, waiting],
    posted_by_two: [inbox],
    taken_while_a_run_ends: [handover, lanes, messages],
    looked_at_while_it_fails: [bodies],
    called_back_after_the_end: [bodies, engine],
    read_by_several: [runs],
}
LARGER = (
    one_worker,
    one_worker_asked_to_stop,
    two_workers,
    three_workers_asked_to_stop,
    two_workers_by_key,
    ordered_within_a_window,
    pulls_and_calls,
    stopped_from_outside,
)
FLOWS = (*SMALL, *LARGER)


@pytest.mark.slow
@each_of(SMALL)
def test_it_holds_wherever_a_thread_is_interrupted_once(program: Program) -> None:
    assert interrupt_everywhere(program, [module.__file__ for module in SMALL[program]]) > 20


@pytest.mark.slow
@each_of(FLOWS)
def test_it_holds_in_every_order(program: Program) -> None:
    explore(program, effort.of(200), WATCHED)


def test_looking_before_enlisting_is_found_to_lose_a_wake_up() -> None:
    with pytest.raises(DeadlockError, match="thread 1 waits for an event"):
        explore(waited_for_too_late, 200, WATCHED)


# Orders that failed once, replayed for ever. They mean the same only as long as the bytecode is the same; what makes sure of the bugs that
# they showed are the programs themselves, and the interruptions above.
KEPT: list[tuple[Program, Order]] = [
    (waited_for, Pct(2000, 2, 226)),
    (taken_while_a_run_ends, Pct(2004, 2, 590)),
    (taken_while_a_run_ends, Walk(7)),
    (read_by_several, Walk(3)),
]


@pytest.mark.parametrize(
    ("program", "order"), KEPT, ids=lambda value: getattr(value, "__name__", repr(value))
)
def test_an_order_that_failed_once_is_replayed(program: Program, order: Order) -> None:
    run_once(program, order, WATCHED)
