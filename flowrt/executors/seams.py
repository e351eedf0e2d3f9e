"""What a runtime is made of besides flowrt: clock, threads, queues, locks; the test kit puts its own in their place."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define

from flowrt.errors import FlowError

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from flowrt.clock import Clock
    from flowrt.engine.contract import Executors
    from flowrt.engine.schedules import Schedule


SIGNAL_SLICE = 0.25  # seconds; arbitrary. A signal that arrives just before a thread blocks is handled when it next wakes (measured: 5 of 80 lost)


class MonotonicClock:
    """`time.monotonic`: a changed system time disturbs nothing."""

    __slots__ = ()
    now: Callable[[], float] = staticmethod(time.monotonic)


def still_runs(thread: ThreadLike) -> bool:
    """Say whether a thread has not ended: also where an interrupt came while somebody joined it, for CPython up to 3.12 takes it for ended then."""
    return thread.is_alive() or (type(thread) is WorkThread and not thread.over)


class ThreadLike(Protocol):
    """What the runtime asks of a thread it has started."""

    name: str

    @property
    def ident(self) -> int | None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class WorkThread(threading.Thread):
    """A thread that says itself when its work is over."""

    over: bool = False

    def run(self) -> None:
        try:
            super().run()
        finally:
            self.over = True


def spawn_thread(work: Callable[[], None], name: str) -> ThreadLike:
    """Start a daemon thread: only such a one lets the interpreter exit, where the runtime drains it."""
    thread = WorkThread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise FlowError(
            f'thread "{name}" cannot be started ({error}). The limit of threads of this process or user is reached (ulimit -u): use fewer '
            "workers, or named pools that operations share."
        ) from error
    return thread


def system_time() -> datetime:
    """Return the date and time, in UTC: for what is told, never for what is decided, since it can be set."""
    from datetime import UTC, datetime  # noqa: PLC0415 - importing flowrt is to cost little

    return datetime.now(UTC)


def silence(bell: queue.SimpleQueue[None]) -> None:
    """Take all that was put into a queue that threads are woken by, and once more than there is.

    What finds nothing leaves the lock of the queue locked, as its `get` expects it. Up to Python 3.12 a `get` that finds it open looks
    again, and if its timeout has passed by then it waits for ever: a wait of a microsecond did not end.
    """
    try:
        while True:
            bell.get_nowait()
    except queue.Empty:
        pass


class NextMoment(Protocol):
    """Says when the engine has something to do, if that is only a matter of time."""

    def __call__(self, *, under_way: bool) -> float | None:
        """Say it; `under_way`: whether limits of calls count."""


class SimulationSeam(Protocol):
    """Decides what happens next when everything runs on one thread."""

    def step(
        self,
        engine_step: Callable[[], bool],
        next_moment: NextMoment,
        look: Callable[[], None],
    ) -> bool:
        """Let the engine or a worker do one thing, the engine look at what workers have, or time pass; say whether there was any."""


@define(eq=False, repr=False)
class Seams:
    """What the runtime is made of besides flowrt itself. The test kit puts its own in place of each.

    Attributes:
        clock: tells the time.
        spawn: starts a thread.
        queue: makes the queue that wakes the engine; its `put` must be re-entrant, for signal handlers post too.
        lock: makes a lock.
        rlock: makes a lock that its holder may take again, as a signal handler does on the thread it interrupts.
        event: makes an event to wait on.
        pause: lets other threads run for a moment.
        rng: decides what is left to chance; None: nothing is.
        schedule: makes a schedule, instead of the one asked for by name.
        executors: makes the executors, given (runtime name, seams, reports, post, crash, parallelism=); see engine/contract.py.
        simulation: where there is one, no thread is started: waiting is working.
        time: tells the date and time, in UTC; the clock's own `time`, if it has one.
    """

    clock: Clock = Factory(MonotonicClock)
    spawn: Callable[[Callable[[], None], str], ThreadLike] = spawn_thread
    queue: Callable[[], queue.SimpleQueue[None]] = queue.SimpleQueue
    lock: Callable[[], threading.Lock] = threading.Lock
    rlock: Callable[[], Any] = threading.RLock
    event: Callable[[], threading.Event] = threading.Event
    pause: Callable[[float], None] = time.sleep
    rng: random.Random | None = None
    schedule: Callable[[], Schedule] | None = None
    executors: Callable[..., Executors] | None = None
    simulation: SimulationSeam | None = None
    time: Callable[[], datetime] = Factory(
        lambda seams: getattr(seams.clock, "time", system_time), takes_self=True
    )
