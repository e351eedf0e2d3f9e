"""How a thread waits for something of a runtime, where it must not, and who makes calls meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.errors import FlowBuildError, FlowOverloadError, FlowStalledError
from flowrt.executors.seams import SIGNAL_SLICE

if TYPE_CHECKING:
    from flowrt.engine.contract import Executor
    from flowrt.executors.seams import Seams
    from flowrt.operations.declarations import Declaration
    from flowrt.runtime.life import Life


LONGEST_WAIT = 86_400.0  # seconds; arbitrary. The system cannot wait for what is beyond its calendar; who waits in a loop may be woken early


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


class EitherWakers(Wakers):
    """Two wakers as one: whoever is enlisted is woken when either is."""

    def __init__(self, one: Wakers, other: Wakers) -> None:
        self._one, self._other = one, other

    def enlist(self, event: threading.Event | None = None) -> threading.Event:
        return self._other.enlist(self._one.enlist(event))

    def leave(self, event: threading.Event) -> None:
        self._one.leave(event)
        self._other.leave(event)


class Dispatching:
    """The dispatchers of one runtime, for those who wait.

    Guarded by: nothing; the tuples are replaced. Called on: any thread.

    Attributes:
        handed: who waits, and is to be woken when a dispatcher was given calls.
        dispatchers: those of the flow, also of what it was before a change, each with one of its operations.
    """

    def __init__(self, seams: Seams) -> None:
        self.handed: Wakers = Wakers(seams)
        self._executors: tuple[Executor, ...] = ()
        self.dispatchers: tuple[tuple[Any, str], ...] = ()

    def know(self, declarations: Iterable[Declaration]) -> bool:
        """Take in which dispatchers a flow uses, besides those that were known; say whether there are more now.

        Then who waits is to be woken: a wait looks out for calls only where there are dispatchers.
        """
        found = {id(dispatcher): (dispatcher, name) for dispatcher, name in self.dispatchers}
        for declaration in declarations:
            dispatcher = declaration.mode.dispatcher
            if dispatcher is not None:
                found.setdefault(id(dispatcher), (dispatcher, declaration.name))
        more = len(found) > len(self.dispatchers)
        if more:
            self.dispatchers = tuple(found.values())
        return more

    def add(self, executor: Executor) -> None:
        """Take in an executor whose calls a dispatcher makes; engine's thread."""
        if executor not in self._executors:
            self._executors = (*self._executors, executor)

    def make_calls(self) -> bool:
        """Make the calls that wait for this thread; say whether there were any."""
        made = False
        for executor in self._executors:
            made = executor.run_here() or made
        return made

    def refuse_wait(self, runtime: str, what: str) -> None:
        """`FlowStalledError` if this is the thread of an event loop that the flow uses."""
        for dispatcher, operation, remedy in self._blocked_here():
            raise FlowStalledError(
                f'runtime "{runtime}": somebody waited {what} on the thread of dispatcher {dispatcher}, and until that is free nothing it '
                f'does can go on, operation "{operation}" included. {remedy}'
            )

    def refuse_process(self, runtime: str, why: str) -> None:
        """`FlowOverloadError` if `process` would have to wait on such a thread."""
        for dispatcher, operation, remedy in self._blocked_here():
            raise FlowOverloadError(
                f'runtime "{runtime}": {why}, and process() cannot wait on the thread of dispatcher {dispatcher}, which operation "{operation}" '
                f"needs. Nothing was sent. {remedy}"
            )

    def needed_here(self) -> bool:
        """Say whether this is a dispatcher's thread, which the flow needs."""
        return any(self._blocked_here())

    def _blocked_here(self) -> Iterable[tuple[str, str, str]]:
        for dispatcher, operation in self.dispatchers:
            must_not_wait = getattr(dispatcher, "must_not_wait", None)
            if must_not_wait is not None and (remedy := must_not_wait()):
                yield type(dispatcher).__name__, operation, remedy


class Waits:
    """Who waits for what of one runtime.

    Called on: any thread; what is said about idleness, on the engine's.

    Attributes:
        changed: who waits for a result of any run, or for idleness.
        room: who waits for room for input.
        ended: who waits for the end, whatever else it waits for.
        dispatching: makes the calls that wait for the waiting thread itself.
    """

    def __init__(self, life: Life, seams: Seams) -> None:
        self.changed: Wakers = Wakers(seams)
        self.room: Wakers = Wakers(seams)
        self.ended: Wakers = Wakers(seams)
        self.wakes: tuple[Callable[[], None], ...] = self.changed.wake, self.room.wake, self.ended.wake
        self.dispatching: Dispatching = Dispatching(seams)
        self._life = life
        self._clock = seams.clock
        self._idle: list[Callable[[], None]] = []

    def wake_all(self) -> None:
        for wake in self.wakes:
            wake()

    # -- idleness

    def when_idle(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` as soon as nothing is left to do."""
        self._idle.append(waiter)

    def no_more(self, waiter: Callable[[], None]) -> None:
        """Do not call `waiter` any more."""
        if waiter in self._idle:
            self._idle.remove(waiter)

    def tell_idle(self) -> bool:
        """Nothing is left to do: tell who waits for that; say whether anybody did."""
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            waiter()
        return bool(waiters)

    # -- waiting itself

    def deadline_of(self, timeout: float) -> float:
        """Return the moment at which a wait ends; `FlowBuildError` if `timeout` is no number of seconds."""
        plain = type(timeout) in (int, float) and timeout == timeout  # noqa: PLR0124 - not nan
        seconds = timeout if plain else users.seconds_of(timeout)
        if seconds is None:
            raise FlowBuildError(
                f"a timeout is a number of seconds, or None to wait as long as it takes; got {users.told(timeout)}."
            )
        return self._clock.now() + seconds

    def wait(self, ready: Callable[[], bool], deadline: float | None, wakers: Wakers, *, helps: bool) -> bool:
        """Wait until `ready()` or the end; say whether it is ready. `helps`: make the calls that dispatchers were given for this thread."""
        life, dispatching = self._life, self.dispatching
        while not ready():
            event = wakers.enlist()
            self.ended.enlist(event)
            helping = helps and bool(dispatching.dispatchers)
            if helping:
                dispatching.handed.enlist(event)
            try:
                if ready():  # what it has seen is what it says: room comes and goes
                    return True
                made = helping and not life.stopped and dispatching.make_calls()
                remaining = None if deadline is None else deadline - self._clock.now()
                if life.stopped or (remaining is not None and remaining <= 0):
                    return ready()
                if not made:
                    event.wait(slice_of(remaining))
            finally:
                wakers.leave(event)
                self.ended.leave(event)
                if helping:
                    dispatching.handed.leave(event)
        return True
