"""How input gets in: with room for it, in order, and never after the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

from flowrt.errors import FlowBuildError, FlowOverloadError, FlowTimeoutError
from flowrt.messages import CHUNK_SIZE
from flowrt.overflow import DROP_OLDEST, FAIL, WAIT, Entry, Overflow, WaitingRoom, checked_overflow

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.driver import Driver
    from flowrt.engine import Input, RunHandle
    from flowrt.ports import Port
    from flowrt.runs import Results, Run

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
            self._driver.engine.start(run)

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
            self._driver.engine.end_input(run.books)


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
