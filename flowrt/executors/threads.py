"""Pools of threads: workers cut groups from a backlog behind one lock; and `thread_pools`, which makes the executors of a runtime."""

from __future__ import annotations

import threading
from collections import Counter, deque
from itertools import count
from typing import TYPE_CHECKING

from flowrt.engine.contract import PullTask, Reports, Task
from flowrt.engine.meters import QUANTUM
from flowrt.errors import FlowError, frames_of, is_ours
from flowrt.executors.backlog import Taken
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import ExecutorPools
from flowrt.executors.seams import still_runs
from flowrt.executors.tasks import perform, rest_of, take_back, task_of, with_keys
from flowrt.executors.workers import Crash, Post, Workers

if TYPE_CHECKING:
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Place
    from flowrt.executors.dispatched import DispatchedExecutor
    from flowrt.executors.seams import Seams, ThreadLike
    from flowrt.operations.declarations import Declaration


GIVEN_UP = -1
STACK_SHOWN = 12  # lines; arbitrary


class ThreadPool(Workers):
    """Workers of one operation, or of those that name one pool. Threads are started as there is work for them.

    Guarded by `_lock`: the list of threads, too.
    Called on: the engine's thread, but for what the workers run.
    """

    def __init__(
        self, name: str, workers: int, seams: Seams, reports: Reports, post: Post, crash: Crash
    ) -> None:
        super().__init__(workers, seams.lock(), seams.clock, reports, post, crash)
        self._name = name
        self._seams = seams
        self._threads: dict[int, ThreadLike] = {}  # by the worker's number
        self._idle: list[threading.Event] = []
        self._event_of: dict[int, threading.Event] = {}  # by the worker's number
        self._own_pulls: dict[int, deque[PullTask]] = {}  # which it alone may make
        self._sources_of: Counter[int] = (
            Counter()
        )  # how many generators and the like have it make their steps
        self._events: list[threading.Event] = []
        self._taken: dict[int, Taken] = {}
        self._lost: list[ThreadLike] = []  # given up; they may still be inside the call
        self._numbers = count(1)
        self._begun = 0.0  # when a worker last began something; each may write it

    # -- engine's side

    def submit(self, place: Place, chunk: Chunk) -> None:
        chunk, keys = with_keys(place, chunk, self._reports)
        if not chunk.data:
            return
        with self._lock:
            self._backlog.put(place, chunk, keys)
            wanted = self._backlog.wanted()
            if self._backlog.ready and not (wanted or self._soon_back()):
                wanted = 1
            self._wake(wanted)

    def pull(self, pull: PullTask) -> None:
        with self._lock:
            number = pull.worker if pull.worker in self._threads else self._worker_for_source()
            if not number:  # the pool stops, or no thread could be started
                self._pulls.append(pull)
                return
            self._sources_of[number] += pull.first
            self._own_pulls.setdefault(number, deque()).append(pull)
            event = self._event_of.get(number)
            if event in self._idle:
                self._idle.remove(event)
                event.set()

    def _worker_for_source(self) -> int:
        """Return the number of the worker that has the fewest sources, one without work if there is any; 0 if there is none. Holds the lock."""
        best = min(self._threads, key=self._load_of, default=0)
        if (not best or self._load_of(best) != (0, False)) and len(self._threads) < self._workers:
            return self._start_worker() or best if not self._stopping else best
        return best

    def _load_of(self, number: int) -> tuple[int, bool]:
        return self._sources_of[number], self._event_of.get(number) not in self._idle

    def hurry(self) -> None:
        with self._lock:
            if self._idle or len(self._threads) < self._workers:
                self._take_back()
            self._backlog.hurry()
            if self._backlog.ready:
                self._wake(max(self._backlog.wanted(), 1))

    def _take_back(self) -> None:
        """Let others have what waits in groups behind a call that does not return, once they were asked to stop. Holds the lock."""
        for number, task in list(self._current.items()):
            taken = self._taken.get(number)
            if taken is None or not isinstance(task, Task) or not task.stop:
                continue
            rest = take_back(task)
            if rest is not None:
                self._backlog.take_back(taken, task.limit, rest)

    def _give_up(self, task: Task) -> Task:
        number = task.worker
        task.lost = task.finished = True
        del self._current[number]
        thread = self._threads.pop(number)
        self._pulls += self._own_pulls.pop(number, ())
        self._lost = [lost for lost in self._lost if lost.is_alive()]
        self._lost.append(thread)
        task.whereabouts = f', on thread "{thread.name}"{_stack_of(thread.ident)}'
        task.busy = self._clock.now() - task.started
        self._backlog.finish(self._taken.pop(number), 1)
        if self._pulls or self._backlog.ready:
            self._wake(1)
        return task

    def stop(self) -> None:
        self._stopping = True
        for event in list(self._events):  # of all: an interrupt may have lost one that was about to be set
            event.set()

    def join(self, seconds: float) -> tuple[str, ...]:
        deadline = self._clock.now() + seconds
        left = []
        for number, thread in self._threads.items():
            thread.join(max(deadline - self._clock.now(), 0.0))
            if still_runs(thread):
                task = self._current.get(number)
                inside = f'operation "{task.place.name}" on ' if task is not None else ""
                left.append(f'{inside}thread "{thread.name}"')
        return tuple(left)

    def given_up(self) -> tuple[str, ...]:
        return tuple(f'thread "{thread.name}"' for thread in self._lost if thread.is_alive())

    # -- workers' side

    def _soon_back(self) -> bool:
        """Say whether a worker comes for what is not worth waking another: one has just begun, and if it is held up the engine hurries."""
        awake = len(self._threads) > len(self._idle)
        return awake and self._clock.now() - self._begun < QUANTUM

    def _wake(self, wanted: int) -> None:
        """Let so many more workers look for work, as far as there are any. Holds the lock."""
        for _ in range(wanted):
            if self._idle:
                self._idle.pop().set()
            elif self._stopping or len(self._threads) >= self._workers:
                return
            else:
                self._start_worker()

    def _start_worker(self) -> int:
        """Start a worker and return its number; 0 if no thread could be started. Holds the lock."""
        number = next(self._numbers)
        name = self._name if self._workers == 1 else f"{self._name}-{number}"
        try:
            self._threads[number] = self._seams.spawn(lambda: self._work(number), name)
        except FlowError as error:
            if not self._threads:  # with one at least the work goes on, slower
                self._crash(error)
            return 0
        return number

    def _take(
        self, event: threading.Event, over: Taken | None, done: int, number: int = 0
    ) -> Taken | PullTask | None:
        """Take work, what was taken before being over; or be known as idle.

        All in one step: a wake-up spent on a worker that has work already is lost.
        """
        with self._lock:
            backlog = self._backlog
            if over is not None:
                backlog.finish(over, done)
            taken: Taken | PullTask | None
            if self._own_pulls and (own := self._own_pulls.get(number)):
                taken = own.popleft()
            else:
                taken = self._pulls.popleft() if self._pulls else backlog.take()
            if taken is None:
                if not self._stopping:
                    event.clear()
                    self._idle.append(event)
            elif self._idle or len(self._threads) < self._workers:
                self._wake(1 if self._pulls else backlog.wanted(taken if isinstance(taken, Taken) else None))
        return taken

    def _work(self, number: int) -> None:
        ident = threading.get_ident()
        self._idents.add(ident)
        try:
            event = self._seams.event()
            self._events.append(event)
            self._event_of[number] = event
            over, done = None, 0
            while True:
                taken = self._take(event, over, done, number)
                over = None
                if isinstance(taken, Taken):
                    over, done = taken, self._perform(taken, number)
                    if done == GIVEN_UP:
                        return
                elif taken is not None:
                    self._perform_pull(taken, number)
                    if taken.exhausted or taken.failure is not None or taken.closes:
                        self._sources_of[number] -= 1
                elif self._stopping:
                    return
                else:
                    event.wait()
                taken = None  # an idle worker keeps no message alive
        except BaseException as error:
            self._crash(error)
        finally:
            self._idents.discard(ident)

    def _perform(self, taken: Taken, number: int) -> int:
        """Perform what was taken and report it; say how many messages of it were performed. It is over only when that is known to the backlog."""
        task = task_of(taken, self._reports)
        task.worker, task.ident, task.started = number, threading.get_ident(), self._clock.now()
        if len(task.data) > 1 or task.place.guard is not None:
            self._taken[number] = taken  # before it can be found, and taken back or given up
        self._current[number] = task
        self._begun = task.started
        if task.place.guard is None:
            perform(task, taken)
        elif not self._perform_guarded(task, taken, number):
            return GIVEN_UP
        task.busy = self._clock.now() - task.started
        done = len(task.results)
        task.place.pace.took(done, task.busy)
        task.finished = True
        if task.stop or done < len(task.data):
            with self._lock:
                self._taken.pop(number, None)  # from now on nothing of it is taken back
                rest = rest_of(task)
                if rest is not None:
                    self._backlog.put_back(taken, done, rest)
        self._taken.pop(number, None)
        self._current.pop(number, None)
        self._post(self._reports.report, task)
        return done

    def _perform_guarded(self, task: Task, taken: Taken, number: int) -> bool:
        """Perform one message of a place with policies; say whether the call was not given up meanwhile."""
        perform(task, taken)
        with self._lock:  # whoever comes first, the end of the call or of its time, has it
            if task.lost:
                return False
            del self._current[number], self._taken[number]
        return True


def _stack_of(ident: int | None) -> str:
    """Say where a thread is, in the functions of the user."""
    codes = [(frame.f_code, frame.f_lineno) for frame in frames_of(ident) if not is_ours(frame)]
    lines = [f"\n  {code.co_filename}:{lineno}, in {code.co_name}" for code, lineno in codes[:STACK_SHOWN]]
    return "".join(lines)


def thread_pools(
    name: str, seams: Seams, reports: Reports, post: Post, crash: Crash, *, parallelism: bool
) -> ExecutorPools:
    """Make the executors of a runtime whose workers are threads, and those of what dispatchers call."""

    def make(pool: str, workers: int) -> ThreadPool:
        return ThreadPool(f"{name}/{pool}", workers, seams, reports, post, crash)

    def dispatched(declaration: Declaration) -> DispatchedExecutor:
        from flowrt.executors.dispatched import DispatchedExecutor  # noqa: PLC0415 - few flows have dispatchers

        return DispatchedExecutor(declaration.name, declaration.mode.dispatcher, seams, reports, post, crash)

    inline = InlineExecutor(reports, seams.clock)
    return ExecutorPools(inline, make, parallelism=parallelism, dispatched=dispatched)
