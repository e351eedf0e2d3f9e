"""The one door into the engine; the real clock; the thread primitives, as seams that the test kit replaces."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define

from flowrt.errors import FlowError

if TYPE_CHECKING:
    import random
    from datetime import datetime

    from flowrt.clock import Clock
    from flowrt.contract import Executors
    from flowrt.schedules import Schedule

SIGNAL_SLICE = 0.25  # seconds; arbitrary. A signal that arrives just before a thread blocks is handled when it next wakes (measured: 5 of 80 lost)
LONGEST_WAIT = 86_400.0  # seconds; arbitrary. The system cannot wait for what is beyond its calendar; who waits in a loop may be woken early
TOGETHER = 256  # calls; arbitrary: by then what each costs alone is all there is
Call = list[Any]
"""What to call, and its arguments as a tuple."""


class MonotonicClock:
    """`time.monotonic`: a changed system time disturbs nothing."""

    __slots__ = ()
    now = staticmethod(time.monotonic)


class ThreadLike(Protocol):
    """What the runtime asks of a thread it has started."""

    name: str

    @property
    def ident(self) -> int | None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


def spawn_thread(work: Callable[[], None], name: str) -> ThreadLike:
    """Start a daemon thread: only such a one lets the interpreter exit, where the runtime drains it (RELIABILITY M18)."""
    thread = threading.Thread(target=work, name=name, daemon=True)
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


def _time_of(seams: Seams) -> Callable[[], datetime]:
    """Return what tells the date and time: the clock itself, if it does."""
    found: Callable[[], datetime] = getattr(seams.clock, "time", system_time)
    return found


class Simulation(Protocol):
    """Decides what happens next when everything runs on one thread."""

    def step(
        self,
        engine_step: Callable[[], bool],
        next_moment: Callable[[], float | None],
        look: Callable[[], None],
    ) -> bool:
        """Let the engine or a worker do one thing, the engine look at what workers have, or time pass; say whether there was any."""
        ...


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
        executors: makes the executors, given (runtime name, seams, post, parallelism).
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
    simulation: Simulation | None = None
    time: Callable[[], datetime] = Factory(_time_of, takes_self=True)


class Inbox:
    """Calls for the engine to make, in order of posting.

    A deque, and a bell to wait for. Both are re-entrant, so that a signal handler may post while the code it interrupted is posting
    (`queue.Queue` and janus stop for ever there: RELIABILITY M1). A call is taken off when it has been made: what a queue returns is lost where a
    signal handler raises just then, on a thread that is the engine itself.

    Guarded by: the atomicity of deque operations. Called on: `post` any thread; the rest the engine's.
    """

    def __init__(self, seams: Seams) -> None:
        self._calls: deque[Call] = deque()
        self._bell: Any = seams.queue()
        self._waiting = False
        self._alike: Callable[..., Any] | None = None
        self._together: Callable[[list[tuple[Any, ...]]], Any] = _nothing

    def join_up(self, call: Callable[..., Any], together: Callable[[list[tuple[Any, ...]]], Any]) -> None:
        """Have calls of `call` that wait one behind the other made as one of `together`, with the arguments of each."""
        self._alike, self._together = call, together

    def empty(self) -> bool:
        return not self._calls

    @property
    def waiting(self) -> bool:
        """Whether the engine waits for a call; any thread."""
        return self._waiting

    def post(self, call: Callable[..., Any], *arguments: Any) -> None:
        entry = [call, arguments]
        self._calls.append(entry)
        if self._waiting:  # looked at after appending, as `wait` sets it before it looks
            try:
                self._bell.put(None)
            except BaseException:
                entry[0] = _nothing  # whoever posts is told, so it must not be made
                raise

    def work(self) -> int:
        """Make the next call, or the next ones that are made together; say how many there were. If it raises they stay where they are."""
        calls = self._calls
        if not calls:
            return 0
        call, arguments = calls[0]
        if call is not self._alike:
            call(*arguments)
            calls.popleft()
            return 1
        several = [arguments]
        for index in range(1, min(len(calls), TOGETHER)):
            call, arguments = calls[index]
            if call is not self._alike:
                break
            several.append(arguments)
        self._together(several)
        for _ in several:
            calls.popleft()
        return len(several)

    def take_back(self, first: object) -> None:
        """Have no call made that has this as its first argument, and keep nothing of it. Only where nobody makes calls yet, or any more."""
        for entry in list(self._calls):
            if entry[1] and entry[1][0] is first:
                entry[:] = _nothing, ()

    def leave_to(self, take: Callable[[], object]) -> None:
        """Nobody waits here any more: have `take` called by whoever posts something."""
        self._bell = _Late(take)
        self._waiting = True

    def drop(self) -> None:
        """Take the next call off."""
        self._calls.popleft()

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds (None: as long as it takes) for a call; say whether there is one."""
        self._waiting = True
        try:
            while not self._bell.empty():  # rung for calls that have been made since
                self._bell.get_nowait()
            if not self._calls:
                self._bell.get(timeout=None if timeout is None else min(max(timeout, 0.0), LONGEST_WAIT))
        except queue.Empty:
            pass
        finally:
            self._waiting = False
        return bool(self._calls)


class _Late:
    """Is rung in place of the bell, once nobody listens to that."""

    def __init__(self, take: Callable[[], object]) -> None:
        self._take = take

    def put(self, _nothing: None) -> None:
        self._take()


def _nothing(*_arguments: Any) -> None:
    """Stands for a call that could not be posted."""


class Wakers:
    """Who waits for something to change.

    Whoever changes it changes it first and wakes then; whoever waits enlists first and looks then. So no wake-up is lost, and nothing is
    made unless somebody waits.

    Guarded by: the atomicity of dict operations.
    """

    def __init__(self, seams: Seams) -> None:
        self._event = seams.event
        self.enlisted: dict[threading.Event, None] = {}

    def __bool__(self) -> bool:
        return bool(self.enlisted)

    def enlist(self, event: threading.Event | None = None) -> threading.Event:
        event = event or self._event()
        self.enlisted[event] = None
        return event

    def leave(self, event: threading.Event) -> None:
        self.enlisted.pop(event, None)

    def wake(self) -> None:
        if self.enlisted:
            # All that are here now. Those who come back meanwhile look again after the change: waking them too might never end.
            for event in list(self.enlisted):
                self.enlisted.pop(event, None)
                event.set()


def slice_of(remaining: float | None) -> float | None:
    """Return for how long to wait at once: on the main thread, where signals are handled, not for long."""
    if threading.current_thread() is not threading.main_thread():
        return None if remaining is None else min(remaining, LONGEST_WAIT)
    return SIGNAL_SLICE if remaining is None else min(remaining, SIGNAL_SLICE)
