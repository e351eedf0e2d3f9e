"""Whether there is room for input, from counters; and what becomes of an input that finds none and is not to wait."""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from flowrt.errors import FlowBuildError, FlowError, FlowOverloadError
from flowrt.messages import DISCARDED, RunBooks
from flowrt.ports import did_you_mean

if TYPE_CHECKING:
    from flowrt.engine.engine import Engine
    from flowrt.engine.runs import RunHandle
    from flowrt.executors.seams import Seams
    from flowrt.ports import Port
    from flowrt.runtime.inbox import Inbox
    from flowrt.runtime.life import Life
    from flowrt.runtime.results import Results


Overflow = Literal["wait", "fail", "drop_oldest", "drop_newest"]
WAIT, FAIL, DROP_OLDEST, DROP_NEWEST = KINDS = ("wait", "fail", "drop_oldest", "drop_newest")
REASON = "overflow"  # in the ledger


def give_up(run: RunHandle, port: Port, reason: str, error: FlowError | None) -> None:
    """End a run whose one input never entered."""
    books = RunBooks(None, run)
    books.handle = None
    books.accepted = {port.fullname: 1}
    books.ends = {(DISCARDED, port.fullname, reason): 1}
    books.ended = books.closed = True
    run.books = books
    run.tell_finished(error)


class Room:
    """Says whether there is room for input, and gives inputs up where that was asked for.

    It is computed from counters with one writer each, instead of permits that an interrupt could leak: posted by each calling thread, taken by
    the engine, live by the ledger. A message counts as posted only after it was, so at worst too little is counted.
    Called on: any thread; the underscored methods, `take_out` and the writing of `taken`, on the engine's.

    Attributes:
        least: below it there is room, whoever asks.
        taken: inputs that the engine has taken in, or refused.
        waiting: where inputs wait to enter, under "drop_oldest".
        left_open: runs whose senders could not say that their input has ended.
        unentered: inputs that still waited to enter at the end.
    """

    def __init__(
        self,
        life: Life,
        inbox: Inbox,
        results: Results,
        engine: Engine,
        seams: Seams,
        *,
        capacity: int,
        max_live: int,
        max_results: int,
        overflow: Overflow,
    ) -> None:
        if overflow not in KINDS:
            raise FlowBuildError(f"there is no overflow={overflow!r}.{did_you_mean(str(overflow), KINDS)}")
        self.capacity = capacity
        self.max_live = max_live
        self.max_results = max_results
        self.least: int = min(capacity, max_live)
        self.results = results
        self.taken = 0
        self.left_open: deque[RunHandle] = deque()
        self.unentered: int = 0
        self._life = life
        self._inbox = inbox
        self._engine = engine
        self._outside = engine.books.outside
        self._posted: dict[int, int] = {}  # by thread; summing its values is one step for all other threads
        self._dropped: dict[int, int] = {}  # likewise
        self._overflow = overflow
        self.waiting: WaitingRoom | None = (
            WaitingRoom(self, life, inbox, engine, seams) if overflow == DROP_OLDEST else None
        )

    # -- how much there is

    @property
    def load(self) -> int:
        """How many inputs and messages are under way."""
        return sum(self._posted.values()) - self.taken + self._outside.live

    def is_free(self) -> bool:
        """Say whether an input would have to wait for nothing."""
        return self.load < self.least and self.results.unread < self.max_results

    def half_empty(self) -> bool:
        """Say whether those who wait for room may go on."""
        return self.load < max(1, self.capacity // 2)

    def count(self, messages: int) -> None:
        """Count inputs that this thread has posted."""
        ident = get_ident()
        self._posted[ident] = self._posted.get(ident, 0) + messages

    def here(self) -> tuple[dict[int, int], int]:
        """Where to count inputs that this thread posts one by one, and under which key."""
        ident = get_ident()
        self._posted.setdefault(ident, 0)
        return self._posted, ident

    def forget_mine(self) -> None:
        """Forget what this thread has posted: it was taken back, before there was an engine."""
        self._posted[get_ident()] = 0

    def check_unread(self) -> None:
        """`FlowOverloadError` if nobody reads the results."""
        if self.results.unread >= self.max_results:
            raise FlowOverloadError(
                f'runtime "{self._life.name}" holds max_results={self.max_results} unread results. Read them (wait_for_result, '
                "run.results), or subscribe with on_result, which keeps none."
            )

    # -- what becomes of input that finds none

    @property
    def dropped(self) -> int:
        """How many inputs were given up."""
        return sum(self._dropped.values())

    @property
    def outside(self) -> int:
        """How many inputs wait to enter."""
        return len(self.waiting) if self.waiting is not None else 0

    def turns_away(self) -> bool:
        """Say whether an input is to be given up now, from outside; `FlowOverloadError` if its sender is to be told."""
        if self._overflow == WAIT or self.load < self.capacity:
            return False
        if self._overflow == FAIL:
            raise FlowOverloadError(
                f'runtime "{self._life.name}": there is no room for input: capacity={self.capacity} messages are live, and overflow="fail" was '
                "asked for. Send it later, raise capacity, or speed the slowest operation up: runtime.explain() says which it is."
            )
        return True

    def drop(self, run: RunHandle, port: Port) -> None:
        """Give up the one input of a run: the run is over at once, without the engine, which may be what is slow."""
        self._count_dropped(1)
        give_up(run, port, REASON, None)

    def drop_some(self, run: RunHandle, port: Port, messages: int) -> None:
        """Give up inputs of a run that has others."""
        self._count_dropped(messages)
        self._inbox.post(self._book, run, port.fullname, messages)

    def _count_dropped(self, messages: int) -> None:
        ident = get_ident()
        self._dropped[ident] = self._dropped.get(ident, 0) + messages

    def _book(self, run: RunHandle, where: str, messages: int) -> None:
        books = self._engine.books
        if run.books is not None and not run.books.ended:
            books.accept(run.books, where, messages)
            books.end(run.books, DISCARDED, messages, where, REASON)

    def take_out(self, run: RunHandle, why: str, error: FlowError) -> None:
        """End a run that has not entered yet."""
        if self.waiting is not None:
            self.waiting.take_out(run, why, error)

    def close(self) -> None:
        """The runtime is over: tell who still waits to enter."""
        if self.waiting is not None:
            self.unentered += self.waiting.turn_away()


class Entrant(NamedTuple):
    """An input that waits to enter. `first`: its number in a run that has others; None in one of its own. Without a port: the end of such a run."""

    run: RunHandle
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
    Called on: `offer` and `turn_away` any thread; the rest the engine's.
    """

    def __init__(self, room: Room, life: Life, inbox: Inbox, engine: Engine, seams: Seams) -> None:
        self._room = room
        self._life = life
        self._inbox = inbox
        self._engine = engine
        self._inside = max(1, room.capacity // 2)
        self._seats = max(1, room.capacity - self._inside)
        self._lock = seams.rlock()
        self._clock = seams.clock
        self._waiting: deque[Entrant] = deque()
        self._inputs = 0  # of what waits; the rest are ends
        self._called = False  # the engine is going to look

    def __len__(self) -> int:
        """How many inputs wait."""
        return self._inputs

    def offer(self, entrant: Entrant) -> None:
        """Let an input wait, or the end of a run's; another one may have to go."""
        with self._lock:
            self._waiting.append(entrant)
            self._inputs += entrant.port is not None
            gone = []
            while self._inputs > self._seats:
                gone.append(self._pop())
            call = not self._called
            self._called = True
        for each in gone:
            if each.port is None:
                self._inbox.post(self._end, each.run)
            elif each.first is None:
                self._room.drop(each.run, each.port)
            else:
                self._room.drop_some(each.run, each.port, 1)
        if call:
            self._inbox.post(self._look)

    def _pop(self) -> Entrant:
        entrant = self._waiting.popleft()
        self._inputs -= entrant.port is not None
        return entrant

    def _look(self) -> None:
        self._called = False  # first: who comes now calls again
        self.enter()

    def enter(self) -> bool:
        """Let in what there is room for; say whether there was any."""
        entered = False
        while self._engine.books.outside.live < self._inside and not self._life.stopped:
            with self._lock:
                # A run of many inputs is opened by a call that may not have been made yet.
                if not self._waiting or not (self._waiting[0].alone or self._waiting[0].run.books):
                    break
                entrant = self._pop()
            entered = True
            self._let_in(entrant)
        return entered

    def _let_in(self, entrant: Entrant) -> None:
        engine = self._engine
        run, port, data, correlation_id, priority, first = entrant
        if port is None:
            self._end(run)
        elif first is None:
            engine.books.look_at_clock(self._clock.now())
            engine.take_inputs([(run, port, data, correlation_id, priority)])
        elif run.books is not None:
            engine.feed(run.books, port, [data], first, correlation_id, priority)

    def _end(self, run: RunHandle) -> None:
        if run.books is not None:
            self._engine.runs.end_input(run.books)

    def take_out(self, run: RunHandle, why: str, error: FlowError) -> None:
        """End a run that waits here."""
        with self._lock:
            mine = [each for each in self._waiting if each.run is run and each.port is not None]
            self._waiting = deque(each for each in self._waiting if each.run is not run)
            self._inputs -= len(mine)
        for each in mine:
            if each.port is not None and each.first is None:
                give_up(run, each.port, why, error)

    def turn_away(self) -> int:
        """Tell who still waits that the runtime is over; return how many."""
        with self._lock:
            left, self._waiting, self._inputs = list(self._waiting), deque(), 0
        for each in left:
            if each.alone:
                each.run.tell_finished(self._life.stopped_error())
        return sum(each.port is not None for each in left)
