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

from flowrt import users
from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Reorder, Task
from flowrt.engine.meters import AHEAD
from flowrt.engine.rates import Budgets, TokenBucket
from flowrt.errors import CallTimedOutError, describe, no_answer, release_frames
from flowrt.operations.bodies import END_OF_CALL, Failure

if TYPE_CHECKING:
    from random import Random

    from flowrt.clock import Clock, Timer, Timers
    from flowrt.engine.places import Place
    from flowrt.messages import RunBooks
    from flowrt.operations.policies import Policies


CALLS_HANDLERS = True  # or keys: for observe/calls.py, which sees its frames
PER = "rate(per=)"
SUBMITTED = 2  # per worker: one in work and one at hand
NO_BUDGET = object()  # the key of all messages where the rate asks for none


class KeyLine:
    """Messages of one key that wait for each other; they come to it by their key once, and from then on by the line alone."""

    __slots__ = ("asked", "busy", "chunks", "key", "resting")

    def __init__(self, key: Hashable) -> None:
        self.key: Hashable = key
        self.chunks: deque[Chunk] = deque()  # of one message each
        self.busy: bool = False  # one is at work, and the next is to wait for it
        self.resting: bool = False  # for a token
        self.asked: bool = False  # it is among those that may go on


NO_LINE = KeyLine(None)


@define(eq=False, repr=False)
class Attempt:
    """A message on its way through the calls it takes."""

    chunk: Chunk
    line: KeyLine
    ticket: int  # its number in the order to be restored
    budget: Hashable  # the key of its tokens
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

    def take(self) -> tuple[Chunk, KeyLine] | None:
        """Take the next message that may begin, and its line; None if there is none."""
        if not self._chunks:
            return None
        priority = max(self._chunks)
        waiting = self._chunks[priority]
        if len(waiting[0].data) > 1:
            return waiting[0].cut(1), NO_LINE
        chunk = waiting.popleft()
        if not waiting:
            del self._chunks[priority]
        return chunk, NO_LINE

    def rest(self, chunk: Chunk, _line: KeyLine) -> bool:
        """Put a message back that was taken and has no token; say whether others may begin before it."""
        self._chunks.setdefault(chunk.priority, deque()).appendleft(chunk)
        return False

    def rested(self, line: KeyLine) -> None:
        """There is a token again for what rests."""

    def finish(self, line: KeyLine) -> None:
        """The message that was taken from a line has come to its end."""

    def take_all(self) -> list[Chunk]:
        """Take everything, what is to come first last."""
        found = [chunk for priority in sorted(self._chunks) for chunk in reversed(self._chunks[priority])]
        self._chunks.clear()
        return found

    def drop_ended(self) -> None:
        """Leave out the messages of runs that have ended."""
        kept = {priority: _without_ended(waiting) for priority, waiting in self._chunks.items()}
        self._chunks = {priority: waiting for priority, waiting in kept.items() if waiting}


def _without_ended(waiting: deque[Chunk]) -> deque[Chunk]:
    return deque(chunk for chunk in waiting if chunk.leave_out_ended())


class _WaitingByKey(_Waiting):
    """A line for each key. `alone`: while a message of a key is at work, its line waits.

    Invariant: a line that may go on is in `_ready`, under the priority of its first message.
    """

    def __init__(self, name: str, by_key: str | Callable[[Any], Any], *, alone: bool) -> None:
        super().__init__()
        self._name = name
        self._by_key = by_key
        self._alone = alone
        self._lines: dict[Hashable, KeyLine] = {}
        self._ready: dict[int, deque[KeyLine]] = {}
        self._messages = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def __iter__(self) -> Iterator[Chunk]:
        for line in self._lines.values():
            yield from line.chunks

    def put(self, chunk: Chunk) -> None:
        for index, item in enumerate(chunk.data):
            position = chunk.positions[index]
            single = Chunk(chunk.handler, [item], chunk.context_at(index), [position], chunk.trail)
            line = self._line_of(single)
            line.chunks.append(single)
            self._messages += 1
            self._offer(line)

    def _line_of(self, single: Chunk) -> KeyLine:
        try:
            key: Hashable = (
                users.as_key(self._by_key(single.data[0])) if callable(self._by_key) else single.handler.key
            )
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = KeyLine(key)
        except BaseException as error:  # also of what is not to be hashed, or compared
            failure = Failure(no_answer(self._name, error))
            line = self._lines[failure] = KeyLine(failure)
        return line

    def _offer(self, line: KeyLine) -> None:
        if line.chunks and not (line.busy or line.resting or line.asked):
            line.asked = True
            self._ready.setdefault(line.chunks[0].priority, deque()).append(line)

    def take(self) -> tuple[Chunk, KeyLine] | None:
        if not self._ready:
            return None
        priority = max(self._ready)
        lines = self._ready[priority]
        line = lines.popleft()
        if not lines:
            del self._ready[priority]
        line.asked = False
        single = line.chunks.popleft()
        self._messages -= 1
        line.busy = self._alone
        self._offer(line)
        return single, line

    def rest(self, chunk: Chunk, line: KeyLine) -> bool:
        line.chunks.appendleft(chunk)
        self._messages += 1
        line.busy, line.resting = False, True
        return True

    def rested(self, line: KeyLine) -> None:
        line.resting = False
        self._offer(line)

    def finish(self, line: KeyLine) -> None:
        line.busy = False
        self._offer(line)
        self._forget(line)

    def _forget(self, line: KeyLine) -> None:
        if not (line.chunks or line.busy) and self._lines.get(line.key) is line:
            del self._lines[line.key]

    def drop_ended(self) -> None:
        self._ready.clear()
        for line in list(self._lines.values()):
            line.chunks, line.asked = _without_ended(line.chunks), False
            self._offer(line)
            self._forget(line)
        self._messages = sum(len(line.chunks) for line in self._lines.values())

    def take_all(self) -> list[Chunk]:
        found = list(self)[::-1]
        self._lines.clear()
        self._ready.clear()
        self._messages = 0
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
        self.policies: Policies = place.declaration.policies
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
        # Where nobody is to wait for a message but those of its key, who has no token keeps only these.
        by_budget = (
            rate.per
            if rate is not None and mode.kind == "parallel" and place.handed_over and not mode.ordered
            else None
        )
        self._lines_are_budgets = by_key is None and by_budget is not None
        if by_key is not None:
            self._waiting: _Waiting = _WaitingByKey("by_key", by_key, alone=True)
        elif by_budget is not None:
            self._waiting = _WaitingByKey(PER, by_budget, alone=False)
        else:
            self._waiting = _Waiting()
        at_hand = 1 if rate is not None else SUBMITTED  # what is handed over early begins late
        self._limit = 1 if self._alone else at_hand * mode.workers
        self._reorder = Reorder() if mode.ordered and place.handed_over else None
        self._tickets = 0
        self._released = 0
        self._open: dict[Chunk, Attempt] = {}
        self._backing_off: dict[Attempt, None] = {}
        self._per = rate.per if rate is not None else None
        self._bucket = TokenBucket(rate, clock.now()) if rate is not None and rate.per is None else None
        self._budgets = Budgets(rate) if rate is not None and rate.per is not None else None
        self._known: dict[Chunk, Hashable] = {}  # the keys of messages that rest
        self._next_token: Timer | None = None
        self._going_on = False
        self.settling: Attempt | None = None  # whose outcome is being taken into account
        self.retried: int = 0
        self.timed_out: int = 0

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
            self._known.clear()
            for chunk in self._waiting.take_all():
                self._put_back(chunk)

    def _begin_all(self) -> None:
        while self._waiting and self._occupied() < self._limit and not self._is_ahead():
            if self._next_token is not None or not self._has_token():
                return
            found = self._waiting.take()
            if found is None:
                return
            chunk, line = found
            budget = self._budget_of(chunk, line)
            if self._budgets is not None and not isinstance(budget, Failure):
                wait = self._budgets.wait(budget, self._clock.now())
                if wait:
                    if not self._rest(chunk, line, budget, wait):
                        return
                    continue
            self._begin(chunk, line, budget)
            if not self._place.handed_over:
                return

    def _is_ahead(self) -> bool:
        return self._reorder is not None and self._tickets - self._released >= AHEAD

    def _has_token(self) -> bool:
        if self._bucket is None:
            return True
        wait = self._bucket.wait(self._clock.now())
        if wait:
            self._next_token = self._timers.after(wait, self._token_came)
        return not wait

    def _token_came(self) -> None:
        self._next_token = None
        self.go_on()

    # -- a budget for each key

    def _budget_of(self, chunk: Chunk, line: KeyLine) -> Hashable:
        """Return the key of the tokens for a message; a `Failure` if it cannot be told."""
        if self._per is None or isinstance(line.key, Failure):
            return line.key if isinstance(line.key, Failure) else NO_BUDGET
        if chunk in self._known:
            return self._known.pop(chunk)
        try:
            key: Hashable = line.key if self._lines_are_budgets else users.as_key(self._per(chunk.data[0]))
            if self._budgets is not None:
                self._budgets.wait(key, self._clock.now())  # whether it can be looked up
        except BaseException as error:
            return Failure(no_answer(PER, error))
        return key

    def _rest(self, chunk: Chunk, line: KeyLine, budget: Hashable, wait: float) -> bool:
        """Have a message wait for a token of its key; say whether others may begin meanwhile."""
        if not self._lines_are_budgets:
            self._known[chunk] = budget
        if not self._waiting.rest(chunk, line):
            self._next_token = self._timers.after(wait, self._token_came)
            return False
        self._timers.after(wait, partial(self._rested, line))
        return True

    def _rested(self, line: KeyLine) -> None:
        self._waiting.rested(line)
        self.go_on()

    # -- calls

    def _begin(self, chunk: Chunk, line: KeyLine, budget: Hashable) -> None:
        if chunk.context_at(0).scope.run.ended:
            self._waiting.finish(line)
            return
        if isinstance(budget, Failure):
            self._waiting.finish(line)
            task = Task(self._place, chunk)
            task.results, task.failed = [budget], True
            self._settle(task)
            return
        self._tickets += 1
        self._call(Attempt(chunk, line, self._tickets - 1, budget))

    def _wait_for_token(self, attempt: Attempt) -> float:
        if self._bucket is not None:
            return self._bucket.wait(self._clock.now())
        return self._budgets.wait(attempt.budget, self._clock.now()) if self._budgets is not None else 0.0

    def _call(self, attempt: Attempt) -> None:
        self._open[attempt.chunk] = attempt
        if self._bucket is not None:
            self._bucket.take(self._clock.now())
        elif self._budgets is not None:
            self._budgets.take(attempt.budget, self._clock.now())
        seconds = self.policies.timeout
        if seconds is not None and self._place.handed_over:
            attempt.timer = self._timers.limit(seconds, partial(self._look_at, attempt, seconds))
        self._submit(self._place, attempt.chunk)

    def _look_at(self, attempt: Attempt, seconds: float) -> None:
        """Let a call go that takes too long; one that began late, or has not begun, has its time still."""
        executor = self._place.executor
        if executor is None:
            raise AssertionError("unreachable: it was submitted there")
        found = executor.abandon(attempt.chunk, seconds)
        if not isinstance(found, Task):
            attempt.timer = self._timers.limit(found, partial(self._look_at, attempt, seconds))
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
            told = self.again(attempt, result.error)
            if told is None:
                return
            result.error = told
            # Under retry what a call emitted leaves only if it succeeds.
            task.log = [entry for entry in task.log if entry[1] is END_OF_CALL]
        self._end(attempt, partial(self._settle_attempt, attempt, task))
        self.go_on()

    def _settle_attempt(self, attempt: Attempt, task: Task) -> None:
        self.settling = attempt
        task.settled = True
        try:
            self._settle(task)
        finally:
            self.settling = None

    def again(self, attempt: Attempt, error: BaseException) -> BaseException | None:
        """Have a call that failed made again (a generator's, before its first item); return what is to be told if it is not."""
        retry = self.policies.retry
        if retry is None:
            return error
        try:
            applies = retry.applies(attempt.number, error)
        except BaseException as raised:
            return _asked_about("retry(on=)", error, raised)
        if not applies:
            _tell_of(attempt, error)
            return error
        try:
            wait = retry.wait(attempt.number, error, self._rng())
        except BaseException as raised:
            return _asked_about("retry(backoff=)", error, raised)
        attempt.errors.append(error)
        release_frames(error)
        attempt.number += 1
        self.retried += 1
        self._backing_off[attempt] = None
        attempt.timer = self._timers.after(wait, partial(self._again, attempt))
        self.go_on()
        return None

    def _again(self, attempt: Attempt) -> None:
        if wait := self._wait_for_token(attempt):
            attempt.timer = self._timers.after(wait, partial(self._again, attempt))
            return
        attempt.timer = None
        del self._backing_off[attempt]
        self._call(attempt)

    def _end(self, attempt: Attempt, settle: Callable[[], None]) -> None:
        self._waiting.finish(attempt.line)
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
        self._known = {chunk: key for chunk, key in self._known.items() if chunk.leave_out_ended()}
        if self._waiting:
            self._timers.after(0.0, self.go_on)  # not now: other runs may be about to end too

    def clear(self) -> None:
        """Forget everything: the runtime is over."""
        self._waiting.take_all()
        self._known.clear()
        self._open.clear()
        self._backing_off.clear()


def _tell_of(attempt: Attempt, error: BaseException) -> None:
    before = [f"{number}: {describe(each)}" for number, each in enumerate(attempt.errors, 1)]
    if before:
        users.note(error, f"this was attempt {attempt.number}; before ({', '.join(before)})")


def _asked_about(name: str, error: BaseException, raised: BaseException) -> BaseException:
    """Return what is to be told where a policy was asked about an error and raised one itself."""
    return no_answer(name, raised, f", asked about {describe(error)},")
