"""Guards before places with policies: when each call begins, when it is given up, whether it is made again.

Messages that may not begin yet wait here: for a call before them, for their key, for the rate. Waiting costs no thread, and a wait for a retry
is a timer of the engine. Where the mode of a place keeps order, a message that will be retried keeps its place in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Reorder, Task
from flowrt.engine.meters import AHEAD
from flowrt.errors import CallTimedOutError, release_frames
from flowrt.operations.bodies import END_OF_CALL, Failure

if TYPE_CHECKING:
    from random import Random

    from flowrt.clock import Clock, Timer, Timers
    from flowrt.engine.places import Place
    from flowrt.messages import RunBooks
    from flowrt.operations.policies import Rate


class TokenBucket:
    """The tokens of one place; full at first."""

    __slots__ = ("_filled", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._filled = now

    def wait(self, now: float) -> float:
        """Return in how many seconds there is a token; 0 if there is one."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate.per_second) if self._tokens < FULL else 0.0

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        earned = (now - self._filled) * self._rate.per_second
        self._tokens = min(self._tokens + max(earned, 0.0), float(self._rate.burst))
        self._filled = max(now, self._filled)


FULL = 1.0 - 1e-9  # of a token: what rounding takes away must not cost another wait
SUBMITTED = 2  # per worker: one in work and one at hand
NO_KEY = object()


@define(eq=False, repr=False)
class Attempt:
    """A message on its way through the calls it takes."""

    chunk: Chunk
    key: Hashable
    ticket: int  # its number in the order to be restored
    number: int = 1
    errors: list[BaseException] = Factory(list)
    timer: Timer | None = None


class _Waiting:
    """Messages that may not begin yet, by priority."""

    def __init__(self) -> None:
        self._chunks: dict[int, deque[Chunk]] = {}

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        for waiting in self._chunks.values():
            yield from waiting

    def put(self, chunk: Chunk) -> None:
        """Add behind what waits with the same priority."""
        self._chunks.setdefault(chunk.priority, deque()).append(chunk)

    def take(self) -> tuple[Chunk, Hashable] | None:
        """Take the next message that may begin, and its key; None if there is none."""
        if not self._chunks:
            return None
        priority = max(self._chunks)
        waiting = self._chunks[priority]
        if len(waiting[0].data) > 1:
            return waiting[0].cut(1), NO_KEY
        chunk = waiting.popleft()
        if not waiting:
            del self._chunks[priority]
        return chunk, NO_KEY

    def finish(self, key: Hashable) -> None:
        """The message that was taken with a key has come to its end."""

    def take_all(self) -> list[Chunk]:
        """Take everything, what is to come first last."""
        found = [chunk for priority in sorted(self._chunks) for chunk in reversed(self._chunks[priority])]
        self._chunks.clear()
        return found

    def drop_ended(self) -> None:
        """Leave out the messages of runs that have ended."""
        self._chunks = _without_ended(self._chunks)


def _without_ended(lines: dict[Any, deque[Chunk]]) -> dict[Any, deque[Chunk]]:
    kept = {key: deque(chunk for chunk in line if chunk.leave_out_ended()) for key, line in lines.items()}
    return {key: line for key, line in kept.items() if line}


class _WaitingByKey(_Waiting):
    """A line for each key; while a message of a key is at work, its line waits.

    Invariant: the key of a line that may go on is in `_ready`, under the priority of its first message.
    """

    def __init__(self, by_key: str | Callable[[Any], Any]) -> None:
        super().__init__()
        self._by_key = by_key
        self._lines: dict[Hashable, deque[Chunk]] = {}
        self._ready: dict[int, deque[Hashable]] = {}
        self._at_work: set[Hashable] = set()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Chunk]:
        for line in self._lines.values():
            yield from line

    def put(self, chunk: Chunk) -> None:
        for index, item in enumerate(chunk.data):
            position = chunk.positions[index]
            single = Chunk(chunk.handler, [item], chunk.context_at(index), [position], chunk.trail)
            key = self._key_of(single)
            if key in self._lines:
                self._lines[key].append(single)
            else:
                self._lines[key] = deque((single,))
                self._offer(key)

    def _key_of(self, single: Chunk) -> Hashable:
        if not callable(self._by_key):
            return single.handler.in_port.casefold()
        try:
            key: Hashable = self._by_key(single.data[0])
            hash(key)
        except Exception as error:
            return Failure(error)
        return key

    def _offer(self, key: Hashable) -> None:
        if key in self._lines and key not in self._at_work:
            self._ready.setdefault(self._lines[key][0].priority, deque()).append(key)

    def take(self) -> tuple[Chunk, Hashable] | None:
        if not self._ready:
            return None
        priority = max(self._ready)
        keys = self._ready[priority]
        key = keys.popleft()
        if not keys:
            del self._ready[priority]
        line = self._lines[key]
        single = line.popleft()
        if not line:
            del self._lines[key]
        self._at_work.add(key)
        return single, key

    def finish(self, key: Hashable) -> None:
        self._at_work.discard(key)
        self._offer(key)

    def drop_ended(self) -> None:
        self._lines = _without_ended(self._lines)
        self._ready.clear()
        for key in self._lines:
            self._offer(key)

    def take_all(self) -> list[Chunk]:
        found = list(self)[::-1]
        self._lines.clear()
        self._ready.clear()
        return found


class Guard:
    """Decides about the calls of one place.

    Called on: the engine's thread.
    Invariants: a message is in one of `_waiting`, `_open` (submitted, not reported) and `_backing_off`; where order is kept one at a time, nothing
    begins while one is in the latter two.
    """

    def __init__(
        self,
        place: Place,
        clock: Clock,
        timers: Timers,
        rng: Callable[[], Random],
        submit: Callable[[Place, Chunk], None],
        over: Callable[[Task], None],
        settle: Callable[[Task], None],
        put_back: Callable[[Chunk], None],
    ) -> None:
        mode = place.declaration.mode
        self.policies = place.declaration.policies
        rate = self.policies.rate
        self._place = place
        self._clock = clock
        self._timers = timers
        self._rng = rng
        self._submit = submit
        self._over = over
        self._settle = settle
        self._put_back = put_back
        # A thread of its own, or a dispatcher's, keeps the order by itself, unless a message may come back.
        self._alone = not place.handed_over or (mode.kind != "parallel" and self.policies.retry is not None)
        by_key = mode.by_key if place.handed_over else None
        self._waiting = _Waiting() if by_key is None else _WaitingByKey(by_key)
        at_hand = 1 if rate is not None else SUBMITTED  # what is handed over early begins late
        self._limit = 1 if self._alone else at_hand * mode.workers
        self._reorder = Reorder() if mode.ordered and place.handed_over else None
        self._tickets = 0
        self._released = 0
        self._open: dict[Chunk, Attempt] = {}
        self._backing_off: dict[Attempt, None] = {}
        self._bucket = TokenBucket(rate, clock.now()) if rate is not None else None
        self._next_token: Timer | None = None
        self._going_on = False
        self.settling: Attempt | None = None  # whose outcome is being taken into account
        self.retried = 0
        self.timed_out = 0

    @property
    def waits_for_the_end(self) -> bool:
        """Whether nothing of a call may be seen before it is over: it might be made again, or its turn has not come."""
        return self.policies.retry is not None or self._reorder is not None

    @property
    def busy(self) -> bool:
        """Whether the next message has to wait."""
        return self._occupied() >= self._limit or bool(self._waiting)

    def _occupied(self) -> int:
        return len(self._open) + (len(self._backing_off) if self._alone else 0)

    @property
    def backing_off(self) -> int:
        """How many messages wait for their next attempt."""
        return len(self._backing_off)

    def unreported(self) -> Iterator[Chunk]:
        """Iterate over what waits here; what was submitted is the executor's to name."""
        yield from self._waiting
        yield from (attempt.chunk for attempt in self._backing_off)

    # -- messages come

    def take(self, chunk: Chunk) -> None:
        self._waiting.put(chunk)
        self.go_on()

    def go_on(self) -> None:
        """Begin what may begin. On the engine's thread that is one call; the rest goes back to where the schedule decides."""
        if self._going_on:  # a call on the engine's thread is over before it has been begun here
            return
        self._going_on = True
        try:
            self._begin_all()
        finally:
            self._going_on = False
        free = self._occupied() < self._limit and self._next_token is None
        if free and not self._place.handed_over and self._waiting:
            for chunk in self._waiting.take_all():
                self._put_back(chunk)

    def _begin_all(self) -> None:
        while self._waiting and self._occupied() < self._limit and not self._is_ahead():
            if not self._has_token():
                return
            found = self._waiting.take()
            if found is not None:
                self._begin(*found)
            if found is None or not self._place.handed_over:
                return

    def _is_ahead(self) -> bool:
        return self._reorder is not None and self._tickets - self._released >= AHEAD

    def _has_token(self) -> bool:
        if self._bucket is None:
            return True
        wait = self._bucket.wait(self._clock.now())
        if wait and self._next_token is None:
            self._next_token = self._timers.after(wait, self._token_came)
        return not wait

    def _token_came(self) -> None:
        self._next_token = None
        self.go_on()

    # -- calls

    def _begin(self, chunk: Chunk, key: Hashable) -> None:
        if chunk.context_at(0).scope.run.ended:
            self._waiting.finish(key)
            return
        if isinstance(key, Failure):
            self._waiting.finish(key)
            task = Task(self._place, chunk)
            task.results, task.failed = [key], True
            self._settle(task)
            return
        self._tickets += 1
        self._call(Attempt(chunk, key, self._tickets - 1))

    def _call(self, attempt: Attempt) -> None:
        self._open[attempt.chunk] = attempt
        if self._bucket is not None:
            self._bucket.take(self._clock.now())
        seconds = self.policies.timeout
        if seconds is not None and self._place.handed_over:
            attempt.timer = self._timers.after(seconds, partial(self._look_at, attempt, seconds))
        self._submit(self._place, attempt.chunk)

    def _look_at(self, attempt: Attempt, seconds: float) -> None:
        """Let a call go that takes too long; one that began late, or has not begun, has its time still."""
        executor = self._place.executor
        if executor is None:
            raise AssertionError("unreachable: it was submitted there")
        found = executor.abandon(attempt.chunk, seconds)
        if not isinstance(found, Task):
            attempt.timer = self._timers.after(found, partial(self._look_at, attempt, seconds))
            return
        self.timed_out += 1
        found.results = [Failure(CallTimedOutError(seconds, found.whereabouts))]
        found.failed = True
        attempt.timer = None
        self._over(found)

    def report(self, task: Task) -> None:
        """A call is over: settle it, or make it again."""
        attempt = self._open.pop(task.chunk, None)
        if attempt is None:
            raise AssertionError("unreachable: a guarded place is handed one message at a time")
        if attempt.timer is not None:
            self._timers.cancel(attempt.timer)
            attempt.timer = None
        result = task.results[0] if task.results else None
        run = attempt.chunk.context_at(0).scope.run
        if self.policies.retry is not None and type(result) is Failure and not run.ended:
            if self.again(attempt, result.error):
                return
            # Under retry what a call emitted leaves only if it succeeds.
            task.log = [entry for entry in task.log if entry[1] is END_OF_CALL]
        self._end(attempt, partial(self._settle_attempt, attempt, task))
        self.go_on()

    def _settle_attempt(self, attempt: Attempt, task: Task) -> None:
        self.settling = attempt
        try:
            self._settle(task)
        finally:
            self.settling = None

    def again(self, attempt: Attempt, error: BaseException) -> bool:
        """Say whether a call that failed is made again (a generator's, before its first item); if so it will be."""
        retry = self.policies.retry
        if retry is None:
            return False
        if not retry.applies(attempt.number, error):
            _tell_of(attempt, error)
            return False
        attempt.errors.append(error)
        release_frames(error)
        wait = retry.wait(attempt.number, self._rng())
        attempt.number += 1
        self.retried += 1
        self._backing_off[attempt] = None
        attempt.timer = self._timers.after(wait, partial(self._again, attempt))
        self.go_on()
        return True

    def _again(self, attempt: Attempt) -> None:
        if self._bucket is not None and (wait := self._bucket.wait(self._clock.now())):
            attempt.timer = self._timers.after(wait, partial(self._again, attempt))
            return
        attempt.timer = None
        del self._backing_off[attempt]
        self._call(attempt)

    def _end(self, attempt: Attempt, settle: Callable[[], None]) -> None:
        self._waiting.finish(attempt.key)
        if self._reorder is None:
            settle()
        else:
            self._reorder.add(attempt.ticket, 1, partial(self._release, settle))

    def _release(self, settle: Callable[[], None]) -> None:
        self._released += 1
        settle()

    def drop(self, run: RunBooks) -> None:
        """Forget the messages of a run that wait here: it is over."""
        for attempt in list(self._backing_off):
            if attempt.chunk.context_at(0).scope.run is run:
                del self._backing_off[attempt]
                if attempt.timer is not None:
                    self._timers.cancel(attempt.timer)
                self._end(attempt, lambda: None)
        self._waiting.drop_ended()
        if self._waiting:
            self._timers.after(0.0, self.go_on)  # not now: other runs may be about to end too

    def clear(self) -> None:
        """Forget everything: the runtime is over."""
        self._waiting.take_all()
        self._open.clear()
        self._backing_off.clear()


def _tell_of(attempt: Attempt, error: BaseException) -> None:
    before = [f"{number}: {type(each).__qualname__}" for number, each in enumerate(attempt.errors, 1)]
    if before:
        error.add_note(f"this was attempt {attempt.number}; before ({', '.join(before)})")
