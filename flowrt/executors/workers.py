"""What executors with workers have in common, be these threads, a dispatcher or simulated.

engine ── submit ──► backlog ── take ──► worker: perform ── post ──► inbox ──► engine: report
                        ▲                   │
                        └──── what a stopped group has not begun
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

from flowrt.engine.contract import Executor, PullTask, Task
from flowrt.executors.backlog import Backlog
from flowrt.executors.tasks import part_of, rest_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flowrt.clock import Clock
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.contract import Reports
    from flowrt.executors.backlog import Taken


Post = Callable[..., None]
Crash = Callable[[BaseException], None]


class Workers(Executor):
    """Keeps what waits, and knows what is in work.

    Guarded by `_lock`: the backlog and the pulls. `_current` and `_idents` are written by the workers, each its own entry.
    """

    def __init__(
        self,
        workers: int,
        lock: AbstractContextManager[Any],
        clock: Clock,
        reports: Reports,
        post: Post,
        crash: Crash,
    ) -> None:
        self._workers = workers
        self._lock = lock
        self._clock = clock
        self._reports = reports
        self._post = post
        self._crash = crash
        self._backlog = Backlog(workers)
        self._pulls: deque[PullTask] = deque()
        self._current: dict[int, Task | PullTask] = {}  # by the worker's number
        self._idents: set[int] = set()  # of the threads that are workers now
        self._stopping = False

    def thread_idents(self) -> Container[int]:
        return self._idents

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        with self._lock:
            found = [(place.name, chunk, 0) for place, chunk in self._backlog]
        tasks = [task for task in self.doing() if isinstance(task, Task)]
        for task in tasks:
            if task.limit == len(task.chunk.data):
                found.append((task.place.name, task.chunk, task.reported))
            elif (left := part_of(task.chunk, task.reported, task.limit)) is not None:
                found.append((task.place.name, left, 0))
        return found

    def in_work(self) -> list[Task | PullTask]:
        return list(self._current.values())

    def abandon(self, chunk: Chunk, seconds: float) -> Task | float:
        with self._lock:
            for task in self.doing():
                if isinstance(task, Task) and task.chunk is chunk:
                    left = task.started + seconds - self._clock.now()
                    return left if left > 0 else self._give_up(task) or seconds
        return seconds

    def _give_up(self, task: Task) -> Task | None:
        """Let a worker go and have another do its work; None if it has returned by now. Holds the lock."""
        return None

    def stop(self) -> None:
        self._stopping = True
        self._backlog = Backlog(self._workers)
        self._pulls = deque(pull for pull in self._pulls if pull.closes)  # what was begun is closed

    def _next(self) -> Taken | PullTask | None:
        """Take what is next. Holds the lock."""
        return self._pulls.popleft() if self._pulls else self._backlog.take()

    def _bring(self, taken: Taken, task: Task) -> None:
        """Report a group that is over, once the rest of it is back in front; only then may go on what waited for it."""
        done = len(task.results)
        task.finished = True
        with self._lock:
            rest = rest_of(task)
            if rest is not None:
                self._backlog.put_back(taken, done, rest)
        self._post(self._reports.report, task)
        with self._lock:
            self._backlog.finish(taken, done)

    def _perform_pull(self, pull: PullTask, number: int) -> None:
        pull.worker, pull.ident, pull.started = number, threading.get_ident(), self._clock.now()
        self._current[number] = pull
        try:
            pull.perform()
        finally:
            del self._current[number]
        pull.busy = self._clock.now() - pull.started
        self._post(self._reports.report_pull, pull)
