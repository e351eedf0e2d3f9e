"""Operators that make lists of messages that follow each other: Batch, Window."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from flowrt.errors import FlowBuildError, FlowOverloadError, check_count, check_seconds
from flowrt.operations.contract import Emitter
from flowrt.standard.keeping import MAX_OPEN, MAX_WAITING, Held, Holder, data_of, home_of

if TYPE_CHECKING:
    from flowrt.messages import Message, RunBooks, Scope
    from flowrt.standard.keeping import By, ByList


class Batch(Holder):
    """Make lists of `size` messages, in order of arrival; of fewer when time is up, or nothing more comes.

    Ports:
        in  any name  any object
        out .         a list of 1 to `size` data

    Items of a scattered list are batched within their list, other messages with those of all runs. What waits leaves when `size` are there;
    `seconds` after the first of a run came; and when one of the lists or runs it belongs to has gone quiet, with what waits from others.
    With `seconds` a run does not go quiet before that, so that runs wait for each other; when the runtime is closed, nobody waits.
    A list leaves in the context of the message that completed it, or else of the run or list for which it was due; with the correlation id
    that all its messages have, and in the causalities that all are in.

    Args:
        name: of the operation.
        size: how many messages make a list.
        seconds: how long they wait for others.
        by: "all", or "run" to batch messages with those of their own run alone.
        max_open: lists (or runs), at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Runs on: the engine thread.
    """

    def __init__(
        self, name: str, size: int, seconds: float | None = None, *, by: By = "all", max_open: int = MAX_OPEN
    ) -> None:
        super().__init__(name, by, max_open)
        self.size: int = check_count(self._owner, "size", size)
        self.seconds: float | None = (
            None if seconds is None else check_seconds(self._owner, "seconds", seconds)
        )

    def make_kept(self) -> Held:
        return Held()

    def handle(self, state: ByList[Held], message: Message, emit: Emitter) -> None:
        held = state.of(message, emit)
        first = held.add(message, emit)
        if len(held) >= self.size:
            state.take(home_of(message))
            held.leave(emit)
        elif first and self.seconds is not None:
            emit.wake(self.seconds)

    def drained(self, state: ByList[Held], scope: Scope, emit: Emitter) -> None:
        """Emit what waits of a list or run, with what waits beside it."""
        held = state.find(scope)
        if held is not None and scope in held.homes:
            state.take(scope)
            held.leave(emit)

    timer = drained


@define(eq=False, repr=False)
class _Windows(Held):
    """Messages that wait for their windows to end."""

    fresh: int = field(default=0, init=False)  # how many of the newest have been in no window yet

    def arrived(self, message: Message, emit: Emitter) -> None:
        """Take a message in; a window may end with it."""
        raise NotImplementedError

    def woken(self, scope: Scope, emit: Emitter) -> None:
        """Do what the time has come for."""
        raise NotImplementedError

    def rest(self, emit: Emitter) -> None:
        """Emit what has been in no window yet, with what would be in one with it; nothing more is waited for."""
        if len(self):
            self.leave(emit, "" if self.fresh else "it was in all its windows")
        self.fresh = 0

    def forget(self, run: RunBooks) -> None:
        """Forget what belongs to a run: it is over."""
        stays = self.stay(run)
        self.fresh = sum(stays[len(stays) - self.fresh :])
        super().forget(run)


@define(eq=False, repr=False)
class _Counted(_Windows):
    """Windows of `count` messages; a new one starts with every `every`th."""

    count: int
    every: int
    to_skip: int = 0

    def arrived(self, message: Message, emit: Emitter) -> None:
        if self.to_skip:
            self.to_skip -= 1
            return
        self.add(message, emit)
        self.fresh += 1
        if len(self) >= self.count:
            parts = self.parts
            self.fresh = 0
            self.to_skip = max(self.every - self.count, 0)
            emit.merge(self.take(min(self.every, self.count)), data_of(parts), made_of=parts)


@define(eq=False, repr=False)
class _Timed(_Windows):
    """Windows over the last stretches of time; one ends with each stretch.

    Of the runs that have messages here one's timer ends the stretches; the others' keep them open, and take over where that one is cancelled.
    """

    stretch: float
    number: int
    arrivals: deque[int] = Factory(lambda: deque([0]))  # how many came in each stretch, the present one last
    waker: Scope | None = None

    def arrived(self, message: Message, emit: Emitter) -> None:
        first = self.add(message, emit)
        self.fresh += 1
        self.arrivals[-1] += 1
        if self.waker is None:
            self.waker = home_of(message)
            emit.wake(self.stretch)
        elif first:
            emit.wake(self.stretch * (self.number + 1))

    def woken(self, scope: Scope, emit: Emitter) -> None:
        if self.waker is not None and scope is not self.waker:
            if scope in self.homes:
                emit.wake(self.stretch * (self.number + 1), scope)
            return
        parts, homes = self.parts, list(self.homes)
        if not parts:
            return
        oldest = self.arrivals.popleft() if len(self.arrivals) == self.number else 0
        emit.merge(self.take(oldest), data_of(parts), made_of=parts)
        self.arrivals.append(0)
        self.fresh = 0
        for home in homes:
            if home not in self.homes:
                emit.wake(None, home)
        if self.waker not in self.homes:
            self.waker = next(iter(self.homes), None)
        if self.waker is not None:
            emit.wake(self.stretch, self.waker)

    def rest(self, emit: Emitter) -> None:
        self.arrivals = deque([0])
        self.waker = None
        super().rest(emit)

    def forget(self, run: RunBooks) -> None:
        stays, at = self.stay(run), 0
        for index, messages in enumerate(self.arrivals):
            self.arrivals[index] = sum(stays[at : at + messages])
            at += messages
        if self.waker is not None and self.waker.run is run:
            self.waker = None
        super().forget(run)


@define(eq=False, repr=False)
class _Session(_Windows):
    """Windows that end with a pause: nobody has come for so long."""

    gap: float
    newest: Scope | None = None

    def arrived(self, message: Message, emit: Emitter) -> None:
        self.add(message, emit)
        self.fresh += 1
        self.newest = home_of(message)
        emit.wake(self.gap)

    def woken(self, scope: Scope, emit: Emitter) -> None:
        if self.newest is None or scope is self.newest:
            self.rest(emit)
        elif scope in self.homes:  # somebody else came later
            emit.wake(self.gap, scope)

    def forget(self, run: RunBooks) -> None:
        if self.newest is not None and self.newest.run is run:
            self.newest = None
        super().forget(run)


class Window(Holder):
    """Make lists of messages that came together: by their number, in stretches of time, or between pauses.

    Ports:
        in  any name  any object
        out .         a list of data, in order of arrival, when a window ends; never an empty one

    - `count=3`: lists of three. `count=3, every=1`: the last three, for each message; `every=5`: three of five, the other two end as absorbed.
    - `seconds=10`: what came in ten seconds, from the first one on. `seconds=10, every=2`: every two seconds, what came in the last ten.
    - `gap=5`: what came with no pause of five seconds in between.

    Items of a scattered list have windows of their own, other messages share those of all runs. By time, a run does not go quiet while
    messages of it are in a window that is open; when the runtime is closed, nobody waits. When a list or run has gone quiet, what has been in
    no window yet leaves in a last, shorter one, with what waits from others, and a new window starts with the next message.
    A list leaves in the context of the message that completed it, or else of the run or list whose time had come; with the correlation id that
    all its messages have, and in the causalities that all are in.

    Args:
        name: of the operation.
        count: messages in a window.
        seconds: that a window is open; with `every`, a whole multiple of that.
        every: messages, or seconds, from one window to the next; without it, windows follow each other.
        gap: seconds without a message that end a window.
        by: "all", or "run" to give each run windows of its own.
        max_open: lists (or runs), at once.
        max_waiting: messages in a window by time.

    Raises:
        FlowOverloadError: past `max_open` or `max_waiting`; the run fails.

    Runs on: the engine thread.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        count: int | None = None,
        seconds: float | None = None,
        every: float | None = None,
        gap: float | None = None,
        by: By = "all",
        max_open: int = MAX_OPEN,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__(name, by, max_open)
        if [count, seconds, gap].count(None) != 2 or (gap is not None and every is not None):
            raise FlowBuildError(
                f"{self._owner}: give one of count=, seconds= and gap=; every= goes with count or seconds. Such as count=10, or seconds=10, every=2."
            )
        self.count: int | None = None if count is None else check_count(self._owner, "count", count)
        self.seconds: float | None = (
            None if seconds is None else check_seconds(self._owner, "seconds", seconds)
        )
        self.gap: float | None = None if gap is None else check_seconds(self._owner, "gap", gap)
        self.every: Any = self._checked_every(every)
        self.max_waiting: int = check_count(self._owner, "max_waiting", max_waiting)

    def _checked_every(self, every: Any) -> Any:
        if every is None:
            return None
        if self.count is not None:
            return check_count(self._owner, "every", every)
        found, seconds = check_seconds(self._owner, "every", every), self.seconds or 0.0
        number = round(seconds / found)
        if number < 1 or abs(number * found - seconds) > 1e-9 * seconds:
            raise FlowBuildError(
                f"{self._owner}: seconds is {seconds:g} and every is {found:g}; a window is open for a whole number of them. Such as seconds=10, "
                "every=2."
            )
        return found

    def make_kept(self) -> _Windows:
        if self.count is not None:
            return _Counted(self.count, self.every or self.count)
        if self.seconds is not None:
            stretch = self.every or self.seconds
            return _Timed(stretch, round(self.seconds / stretch))
        return _Session(self.gap or 0.0)

    def handle(self, state: ByList[_Windows], message: Message, emit: Emitter) -> None:
        held = state.of(message, emit)
        if self.count is None and len(held) >= self.max_waiting:
            raise FlowOverloadError(
                f"{self._owner} would hold more than max_waiting={self.max_waiting} messages. Make its windows shorter, send less at a time "
                "(.rate), or raise max_waiting."
            )
        held.arrived(message, emit)

    def timer(self, state: ByList[_Windows], scope: Scope, emit: Emitter) -> None:
        held = state.find(scope)
        if held is not None:
            held.woken(scope, emit)

    def drained(self, state: ByList[_Windows], scope: Scope, emit: Emitter) -> None:
        held = state.find(scope)
        if held is not None and scope in held.homes:
            held.rest(emit)
        state.take_own(scope)
