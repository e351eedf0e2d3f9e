"""How input gets in: with room for it, in order, and never after the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flowrt.errors import FlowBuildError, FlowError, FlowOverloadError, FlowTimeoutError, did_you_mean
from flowrt.messages import CHUNK_SIZE, DISCARDED, RunBooks

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.engine.runs import Input, RunHandle
    from flowrt.ports import Port
    from flowrt.runtime.loop import Driver
    from flowrt.runtime.results import Results
    from flowrt.runtime.run import Run


WAIT, FAIL, DROP_OLDEST, DROP_NEWEST = KINDS = ("wait", "fail", "drop_oldest", "drop_newest")
REASON = "overflow"  # in the ledger


def checked_overflow(kind: str) -> str:
    """Return what to do when there is no room; `FlowBuildError` if it is none of what can be done."""
    if kind not in KINDS:
        raise FlowBuildError(f"there is no overflow={kind!r}.{did_you_mean(str(kind), KINDS)}")
    return kind


def give_up(run: RunHandle, port: Port, reason: str, error: FlowError | None) -> None:
    """End a run whose one input never entered."""
    books = RunBooks(None, run)
    books.handle = None
    books.accepted = {port.fullname: 1}
    books.ends = {(DISCARDED, port.fullname, reason): 1}
    books.ended = books.closed = True
    run.books = books
    run.tell_finished(error)


class Overflow:
    """Gives inputs up, and counts them.

    Called on: any thread; the underscored methods, the engine's.
    """

    def __init__(self, driver: Driver, kind: str, capacity: int) -> None:
        self.kind = checked_overflow(kind)
        self._driver = driver
        self._capacity = capacity
        self._dropped: dict[
            int, int
        ] = {}  # by thread: each writes its own, and summing is one step for all others

    @property
    def dropped(self) -> int:
        """How many inputs were given up."""
        return sum(self._dropped.values())

    def refuse(self) -> None:
        """Raise the error of who asked for one."""
        raise FlowOverloadError(
            f'runtime "{self._driver.name}": there is no room for input: capacity={self._capacity} messages are live, and overflow="fail" was '
            "asked for. Send it later, raise capacity, or speed the slowest operation up: runtime.explain() says which it is."
        )

    def drop(self, run: Run, port: Port) -> None:
        """Give up the one input of a run: the run is over at once, without the engine, which may be what is slow."""
        self._count(1)
        give_up(run, port, REASON, None)

    def drop_some(self, run: Run, port: Port, messages: int) -> None:
        """Give up inputs of a run that has others."""
        self._count(messages)
        self._driver.post(self._book, run, port.fullname, messages)

    def _count(self, messages: int) -> None:
        ident = get_ident()
        self._dropped[ident] = self._dropped.get(ident, 0) + messages

    def _book(self, run: Run, where: str, messages: int) -> None:
        books = self._driver.engine.books
        if run.books is not None and not run.books.ended:
            books.accept(run.books, where, messages)
            books.end(run.books, DISCARDED, messages, where, REASON)


class Entry(NamedTuple):
    """An input that waits to enter. `first`: its number in a run that has others; None in one of its own. Without a port: the end of such a run."""

    run: Run
    port: Port | None
    data: Any
    correlation_id: object
    priority: int
    first: int | None

    @property
    def alone(self) -> bool:
        """Whether it is the one input of its run."""
        return self.first is None and self.port is not None


class WaitingRoom:
    """Where inputs wait to enter under "drop_oldest"; if it is full, the one that has waited longest makes room.

    Half of the capacity may be live in the flow, the other half waits here, so that what is given up has not begun.

    Guarded by: `_lock`, which its holder may take again: a signal handler may send on the thread it interrupts.
    """

    def __init__(self, driver: Driver, overflow: Overflow, capacity: int) -> None:
        self._driver = driver
        self._overflow = overflow
        self._inside = max(1, capacity // 2)
        self._seats = max(1, capacity - self._inside)
        self._lock = driver.seams.rlock()
        self._waiting: deque[Entry] = deque()
        self._inputs = 0  # of what waits; the rest are ends
        self._called = False  # the engine is going to look
        driver.enter, driver.take_out = self._enter, self._take_out

    def __len__(self) -> int:
        """How many inputs wait."""
        return self._inputs

    def offer(self, entry: Entry) -> None:
        """Let an input wait, or the end of a run's; another one may have to go."""
        with self._lock:
            self._waiting.append(entry)
            self._inputs += entry.port is not None
            gone = []
            while self._inputs > self._seats:
                gone.append(self._pop())
            call = not self._called
            self._called = True
        for each in gone:
            self._give_up(each)
        if call:
            self._driver.post(self._look)

    def _pop(self) -> Entry:
        entry = self._waiting.popleft()
        self._inputs -= entry.port is not None
        return entry

    def _give_up(self, entry: Entry) -> None:
        if entry.port is None:
            self._driver.post(self._end, entry.run)
        elif entry.first is None:
            self._overflow.drop(entry.run, entry.port)
        else:
            self._overflow.drop_some(entry.run, entry.port, 1)

    # -- engine's thread

    def _look(self) -> None:
        self._called = False  # first: who comes now calls again
        self._enter()

    def _enter(self) -> bool:
        """Let in what there is room for; say whether there was any."""
        entered = False
        engine = self._driver.engine
        while engine.books.outside.live < self._inside and not self._driver.stopped:
            with self._lock:
                # A run of many inputs is opened by a call that may not have been made yet.
                if not self._waiting or not (self._waiting[0].alone or self._waiting[0].run.books):
                    break
                entry = self._pop()
            entered = True
            self._let_in(entry)
        return entered

    def _let_in(self, entry: Entry) -> None:
        engine = self._driver.engine
        run, port, data, correlation_id, priority, first = entry
        if port is None:
            self._end(run)
        elif first is None:
            engine.books.look_at_clock(self._driver.seams.clock.now())
            engine.take_inputs([(run, port, data, correlation_id, priority)])
        elif run.books is not None:
            engine.feed(run.books, port, [data], first, correlation_id, priority)

    def _end(self, run: Run) -> None:
        if run.books is not None:
            self._driver.engine.runs.end_input(run.books)

    def _take_out(self, run: RunHandle, why: str, error: FlowError) -> None:
        """End a run that waits here."""
        with self._lock:
            mine = [entry for entry in self._waiting if entry.run is run and entry.port is not None]
            self._waiting = deque(entry for entry in self._waiting if entry.run is not run)
            self._inputs -= len(mine)
        for entry in mine:
            if entry.port is not None and entry.first is None:
                give_up(run, entry.port, why, error)

    def turn_away(self) -> int:
        """Tell who still waits that the runtime is over; return how many."""
        with self._lock:
            left, self._waiting, self._inputs = list(self._waiting), deque(), 0
        for entry in left:
            if entry.alone:
                entry.run.tell_finished(self._driver.stopped_error())
        return sum(entry.port is not None for entry in left)


BATCH = CHUNK_SIZE  # inputs of one iterable that are handed over together, at most
PULL_MOST = (
    64  # items pulled between two looks at the clock; so many may come late from an iterable that turns slow
)
BATCH_SECONDS = 0.001  # and no longer than this, so that the first of a slow iterable go at once


class Intake:
    """The outside's way in.

    Room is computed from counters with one writer each, instead of permits that an interrupt could leak: posted by each calling
    thread, taken by the engine, live by the ledger. A message counts as posted only after it was, so at worst too little is counted.
    Called on: any thread; the underscored methods that the engine is posted, on the engine's.
    """

    def __init__(
        self,
        driver: Driver,
        results: Results,
        *,
        capacity: int,
        max_live: int,
        max_results: int,
        overflow: str = WAIT,
    ) -> None:
        self._driver = driver
        self._results = results
        self._capacity = capacity
        self._max_live = max_live
        self._max_results = max_results
        self._least = min(capacity, max_live)  # below it there is room, whoever asks
        self._posted: dict[int, int] = {}  # by thread; summing its values is one step for all other threads
        self._outside = driver.engine.books.outside
        self._taken = 0
        self._overflow = Overflow(driver, overflow, capacity) if checked_overflow(overflow) != WAIT else None
        self._waiting_room = (
            WaitingRoom(driver, self._overflow, capacity)
            if self._overflow is not None and overflow == DROP_OLDEST
            else None
        )
        driver.has_room = self._half_empty
        self._taking = self._take
        driver.inbox.join_up(self._taking, self._take_all)

    def send(
        self, run: Run, port: Port, data: Any, correlation_id: object, priority: int, timeout: float | None
    ) -> None:
        """Post the one input of a run, when there is room."""
        driver = self._driver
        load = self._load()
        if self._waiting_room is not None and not driver.inside():
            self._check_unread()
            self._offer(self._waiting_room, Entry(run, port, data, correlation_id, priority, None))
            return
        if load >= self._least or self._results.unread >= self._max_results:
            if self._overflow is not None and not self._has_room():
                self._overflow.drop(run, port)
                return
            self._room(timeout)
        driver.post(self._taking, run, port, data, correlation_id, priority)
        ident = get_ident()
        self._posted[ident] = self._posted.get(ident, 0) + 1
        if not driver.begun:
            self._begin(run)
        if driver.stopped and run.books is None:
            driver.inbox.take_back(run)  # what came behind the last call that is made there would be kept
            raise driver.stopped_error()

    def send_many(
        self,
        run: Run,
        port: Port,
        iterable: Iterable[Any],
        correlation_id: object,
        priority: int,
        timeout: float | None,
    ) -> None:
        """Post the inputs of a run, as there is room; return when the last is posted."""
        carried = port, correlation_id, priority
        size = min(BATCH, self._capacity)
        # What need not be waited for, item by item. Of these types only: what is derived from them may iterate in its own way.
        sequence = cast("Sequence[Any]", iterable) if type(iterable) in (list, tuple, range) else None
        batches = (
            batches_of(iter(iterable), size, self._driver.seams.clock)
            if sequence is None
            else (list(sequence[at : at + size]) for at in range(0, len(sequence), size))
        )
        waiting_room = None if self._driver.inside() else self._waiting_room
        self._check_unread()
        self._driver.post(self._open, run)
        first = 0
        try:
            for batch in batches:
                while batch:
                    if waiting_room is not None:
                        for number, data in enumerate(batch, first):
                            self._offer(
                                waiting_room, Entry(run, port, data, correlation_id, priority, number)
                            )
                        first += len(batch)
                        break
                    if self._overflow is not None and not self._has_room():
                        self._overflow.drop_some(run, port, len(batch))
                        break
                    room = self._room(timeout)
                    fits, batch = (batch, []) if len(batch) <= room else (batch[:room], batch[room:])  # noqa: PLW2901 - the rest waits for more room
                    sent = len(fits)  # not later: the list is the engine's then, to add to and to cut
                    self._driver.post(self._feed, run, *carried, fits, first)
                    self._count(sent)
                    first += sent
                    if sequence is None or first < len(sequence):
                        self._begin(run)
                    if self._driver.stopped or self._driver.closing:
                        if self._driver.stopped:
                            self._driver.inbox.take_back(run)
                        raise self._driver.stopped_error()
                    if run.done:  # it was cancelled, or failed past a bound: whoever waits for it is told
                        return
        finally:
            if waiting_room is not None:
                waiting_room.offer(Entry(run, None, None, None, 0, None))  # behind those that still wait
            else:
                self._post_end(run)
            self._begin(run)

    def _offer(self, waiting_room: WaitingRoom, entry: Entry) -> None:
        waiting_room.offer(entry)
        if not self._driver.begun:
            self._begin(entry.run)
        if self._driver.stopped:
            waiting_room.turn_away()
            raise self._driver.stopped_error()

    def _has_room(self) -> bool:
        """Say whether there is room, for who does not wait for it; from inside that does not count."""
        if self._load() < self._capacity or self._driver.inside() or self._overflow is None:
            return True
        if self._overflow.kind == FAIL:
            self._overflow.refuse()
        return False

    def has_room(self) -> bool:
        """Say whether an input would have to wait for nothing."""
        return self._load() < self._least and self._results.unread < self._max_results

    def _begin(self, run: Run) -> None:
        """Start the engine, now that it finds something to do: to wait for it would cost two switches between threads more."""

        def undo() -> None:
            self._driver.inbox.take_back(run)
            self._posted.pop(
                get_ident(), None
            )  # of this thread there is nothing else: there has been no engine

        self._driver.start(undo)

    def _post_end(self, run: Run) -> None:
        try:
            self._driver.post(self._end, run)
        except BaseException:
            self._driver.left_open.append(run)  # the engine sees it when it has nothing else to do
            raise

    def _load(self) -> int:
        return sum(self._posted.values()) - self._taken + self._outside.live

    @property
    def dropped(self) -> int:
        """How many inputs were given up because there was no room."""
        return self._overflow.dropped if self._overflow is not None else 0

    @property
    def waiting(self) -> int:
        """How many inputs wait to enter."""
        return len(self._waiting_room) if self._waiting_room is not None else 0

    def stop(self) -> None:
        """The runtime is over: tell who still waits to enter."""
        if self._waiting_room is not None:
            self._driver.unentered += self._waiting_room.turn_away()

    def _half_empty(self) -> bool:
        return self._load() < max(1, self._capacity // 2)

    def _count(self, messages: int) -> None:
        ident = get_ident()
        self._posted[ident] = self._posted.get(ident, 0) + messages

    def _check_unread(self) -> None:
        if self._results.unread >= self._max_results:
            raise FlowOverloadError(
                f'runtime "{self._driver.name}" holds max_results={self._max_results} unread results. Read them (wait_for_result, '
                "run.results), or subscribe with on_result, which keeps none."
            )

    def _room(self, timeout: float | None) -> int:
        """Wait until there is room, except inside; return for how many."""
        driver = self._driver
        load = self._load()
        self._check_unread()
        if driver.inside():
            if load >= self._max_live:
                raise FlowOverloadError(
                    f'runtime "{driver.name}" already has max_live={self._max_live} inputs live or waiting, and from inside nobody can wait for '
                    "room. Emit from a generator or a Scatter, which wait for it; or raise max_live."
                )
            return BATCH
        room = self._capacity - load
        if room <= 0:
            driver.start()
            driver.dispatching.refuse_process(driver.name, f"capacity={self._capacity} messages are live")
            if not driver.wait_until(self._half_empty, timeout, driver.room, helps=True):
                if driver.stopped or driver.closing:
                    raise driver.stopped_error()
                raise FlowTimeoutError(
                    f'runtime "{driver.name}": no room for input within {timeout} s: capacity={self._capacity} messages are live. Nothing more '
                    "was sent; wait longer, raise capacity, or speed the slowest operation up."
                )
            room = self._capacity - self._load()
        return max(1, room)

    def _take(self, *given: Any) -> None:
        self._take_all([given])

    def _take_all(self, inputs: list[Input]) -> None:
        try:
            if not self._driver.stopped:
                driver = self._driver
                driver.engine.books.look_at_clock(driver.seams.clock.now())
                driver.engine.take_inputs(inputs)
                return
            for run, *_ in inputs:
                self._refuse(run)
        finally:
            self._taken += len(
                inputs
            )  # last: so long they count twice, and nobody sees room that is not there

    def _refuse(self, run: RunHandle) -> None:
        if run.books is None:  # else an interrupt came while it was being taken in, and it was told
            run.tell_finished(self._driver.stopped_error())

    def _open(self, run: Run) -> None:
        if self._driver.stopped:
            self._refuse(run)
        else:
            self._driver.engine.books.look_at_clock(self._driver.seams.clock.now())
            self._driver.engine.runs.start(run)

    def _feed(
        self, run: Run, port: Port, correlation_id: object, priority: int, batch: list[Any], first: int
    ) -> None:
        messages = len(batch)  # first: the list becomes a chunk's
        try:
            if run.books is not None and not self._driver.stopped:
                self._driver.engine.feed(run.books, port, batch, first, correlation_id, priority)
        finally:
            self._taken += messages

    def _end(self, run: Run) -> None:
        if run.books is not None:
            self._driver.engine.runs.end_input(run.books)


def batches_of(items: Iterator[Any], size: int, clock: Clock) -> Iterator[list[Any]]:
    """Pull an iterator into batches, cut by number and time; what it raises comes after what it gave."""
    batch: list[Any] = []
    end = 0.0
    pull = 1
    failure: BaseException | None = None
    going_on = True
    while going_on:
        wanted = min(pull, size - len(batch))
        before, started = len(batch), clock.now()
        try:
            batch.extend(islice(items, wanted))  # what came before an error is in the batch
        except BaseException as error:
            failure = error
        now = clock.now()
        going_on = failure is None and len(batch) - before == wanted
        pull = min(pull * 8, PULL_MOST) if now - started < BATCH_SECONDS / 8 else 1
        if batch and (len(batch) >= size or now >= end or not going_on):
            yield batch
            batch = []
            end = clock.now() + BATCH_SECONDS
    if failure is not None:
        raise failure


def checked_priority(priority: int) -> int:
    """Return a priority; `FlowBuildError` if it is none."""
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise FlowBuildError(
            f"a priority is an int, and a higher one goes first; got {type(priority).__name__}."
        )
    return priority
