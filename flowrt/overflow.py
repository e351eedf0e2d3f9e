"""What becomes of input from outside for which there is no room: it waits, fails, or something is given up for it."""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from flowrt.errors import FlowBuildError, FlowError, FlowOverloadError, did_you_mean
from flowrt.ledger import DISCARDED
from flowrt.scopes import RunBooks

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.engine import RunHandle
    from flowrt.ports import Port
    from flowrt.runs import Run

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
            self._driver.engine.end_input(run.books)

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
