"""What threads under the scheduler of tests/schedules.py use instead of locks, events, queues and a clock: waiting gives the baton away."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kit.threads.scheduler import Scheduler


class SteppedClock:
    """Moves by a tick per opcode, and where somebody waits for it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._tick = scheduler.order.tick
        self._jumped = 0.0

    def now(self) -> float:
        return self._jumped + self._scheduler.count * self._tick

    def jump_to(self, moment: float) -> None:
        while self.now() < moment:
            self._jumped += moment - self.now()


class _Lock(ABC):
    """What is acquired and released by a `with` statement too."""

    @abstractmethod
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    @abstractmethod
    def release(self) -> None: ...

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()


class ScheduledLock(_Lock):
    """A `threading.Lock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._locked = False
        self._holder = ""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            what = f"a lock that {self._holder} holds" if self._locked else "a lock"
            self._scheduler.wait(what, lambda: not self._locked, None if timeout < 0 else timeout)
        else:
            self._scheduler.point()
        if self._locked:
            return False
        self._locked = True
        me = self._scheduler.me()
        self._holder = me.name if me is not None else "the test"
        return True

    def release(self) -> None:
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        self._scheduler.point()

    def locked(self) -> bool:
        return self._locked


class ScheduledRLock(_Lock):
    """A `threading.RLock`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._lock = ScheduledLock(scheduler)
        self._owner: int | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._owner != threading.get_ident():
            if not self._lock.acquire(blocking, timeout):
                return False
            self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        if self._owner != threading.get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()


class ScheduledEvent:
    """A `threading.Event`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._scheduler.point()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._scheduler.wait("an event", self.is_set, timeout)


class ScheduledQueue:
    """A `queue.SimpleQueue`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        self._scheduler.point()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block:
            self._scheduler.wait("an item in a queue", lambda: bool(self._items), timeout)
        else:
            self._scheduler.point()
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)
