"""How input gets in: here `process` waits for room, then posts to the inbox; in order, and never after the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from flowrt import users
from flowrt.errors import FlowBuildError, FlowOverloadError, FlowTimeoutError
from flowrt.messages import CHUNK_SIZE
from flowrt.runtime.room import Entrant
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.messages import RunBooks
    from flowrt.ports import Port
    from flowrt.runtime.owner import Owner
    from flowrt.runtime.room import WaitingRoom


Label = tuple[object, int] | Callable[[Any], tuple[object, int]]
"""A correlation id and a priority: of all inputs, or by a function of each."""

BATCH = CHUNK_SIZE  # inputs of one iterable that are handed over together, at most
PULL_MOST = (
    64  # items pulled between two looks at the clock; so many may come late from an iterable that turns slow
)
BATCH_SECONDS = 0.001  # and no longer than this, so that the first of a slow iterable go at once


class Input:
    """The outside's way in.

    Called on: any thread; the underscored methods that the engine is posted, on the engine's.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._life = owner.life
        self._inbox = owner.inbox
        self._engine = owner.engine
        self._room = owner.room
        self._dispatching = owner.waits.dispatching

    def emit(self, port: Port, data: Any, correlation_id: object, priority: int) -> None:
        """Have a message leave a port that nobody's message led to: as a run of its own, input like any other.

        Raises:
            FlowStoppedError: the runtime is closed or closing.
            FlowOverloadError: as for `process`.
        """
        owner = self._owner
        self._life.check_open()
        run = Run(owner)
        alone = not (owner.attended or owner.inside())
        if alone:
            self._dispatching.refuse_process(self._life.name, 'schedule="sync" works it off at once')
        self.send(run, port, data, correlation_id, priority, None)
        if alone:
            owner.unattended.append(run)
            owner.attend()

    def send(
        self, run: Run, port: Port, data: Any, correlation_id: object, priority: int, timeout: float | None
    ) -> None:
        """Post the one input of a run, when there is room."""
        owner, room = self._owner, self._room
        if room.waiting is not None and not owner.inside():
            room.check_unread()
            self._offer(run, room.waiting, Entrant(run, port, data, correlation_id, priority, None))
            return
        if room.load >= room.least or room.results.unread >= room.max_results:
            if not owner.inside() and room.turns_away():
                room.drop(run, port)
                return
            self._wait_for_room(timeout)
        self._inbox.post(None, run, port, data, correlation_id, priority)
        room.count(1)
        if not owner.begun:
            self._begin(run)
        if self._life.stopped and run.books is None:
            self._inbox.take_back(run)  # what came behind the last call that is made there would be kept
            raise self._life.stopped_error()

    def send_many(
        self,
        run: Run,
        port: Port,
        iterable: Iterable[Any],
        label: Label,
        timeout: float | None,
    ) -> None:
        """Post the inputs of a run, as there is room; return when the last is posted. `label`: correlation id and priority, of all or of each."""
        room, life = self._room, self._life
        size = min(BATCH, room.capacity)
        # What need not be waited for, item by item. Of these types only: what is derived from them may iterate in its own way.
        sequence = cast("Sequence[Any]", iterable) if type(iterable) in (list, tuple, range) else None
        batches = (
            batches_of(iter(iterable), size, self._owner.seams.clock)
            if sequence is None
            else (list(sequence[at : at + size]) for at in range(0, len(sequence), size))
        )
        inside = self._owner.inside()
        waiting = None if inside else room.waiting
        room.check_unread()
        self._inbox.post(self._open, run)
        first = 0
        try:
            for batch in batches:
                while batch:
                    if waiting is not None:
                        for number, data in enumerate(batch, first):
                            correlation_id, priority = label(data) if callable(label) else label
                            self._offer(
                                run, waiting, Entrant(run, port, data, correlation_id, priority, number)
                            )
                        first += len(batch)
                        break
                    if not inside and room.turns_away():
                        room.drop_some(run, port, len(batch))
                        break
                    if run.books is not None and run.books.outrun and not inside:
                        self._wait_for_reader(run, run.books, timeout)
                    free = self._wait_for_room(timeout)
                    fits, batch = (batch, []) if len(batch) <= free else (batch[:free], batch[free:])  # noqa: PLW2901 - the rest waits for more room
                    sent = len(fits)  # not later: the list is the engine's then, to add to and to cut
                    if callable(label):
                        self._post_labelled(run, port, label, fits, first)
                    else:
                        self._inbox.post(self._feed, run, port, *label, fits, first)
                        room.count(sent)
                    first += sent
                    if sequence is None or first < len(sequence):
                        self._begin(run)
                    if life.stopped or life.closing:
                        if life.stopped:
                            self._inbox.take_back(run)
                        raise life.stopped_error()
                    if run.done:  # it was cancelled, or failed past a bound: whoever waits for it is told
                        return
        finally:
            if waiting is not None:
                waiting.offer(Entrant(run, None, None, None, 0, None))  # behind those that still wait
            else:
                self._post_end(run)
            self._begin(run)

    # -- piece by piece

    def open(self, run: Run) -> None:
        """Begin a run whose inputs come in pieces."""
        self._room.check_unread()
        self._inbox.post(self._open, run)

    def feed(
        self, run: Run, port: Port, correlation_id: object, priority: int, batch: list[Any], first: int
    ) -> None:
        """Post some inputs of such a run, without waiting; the list is the engine's then. `FlowStoppedError` if it is too late."""
        messages = len(batch)
        self._inbox.post(self._feed, run, port, correlation_id, priority, batch, first)
        self._room.count(messages)
        self._begin(run)
        if self._life.stopped or self._life.closing:
            if self._life.stopped:
                self._inbox.take_back(run)
            raise self._life.stopped_error()

    def end(self, run: Run) -> None:
        """Let such a run end when its inputs are worked off."""
        self._post_end(run)
        self._begin(run)

    def _post_labelled(
        self, run: Run, port: Port, label: Callable[[Any], tuple[object, int]], items: list[Any], first: int
    ) -> None:
        """Post inputs that have labels of their own: those that follow each other with the same one together."""
        labels = [label(item) for item in items]
        start = 0
        while start < len(items):
            correlation_id, priority = labels[start]
            end = start + 1
            while (
                end < len(items)
                and labels[end][1] == priority
                and users.alike(labels[end][0], correlation_id)
            ):
                end += 1
            self._inbox.post(self._feed, run, port, correlation_id, priority, items[start:end], first + start)
            self._room.count(end - start)
            start = end

    def _offer(self, run: Run, waiting: WaitingRoom, entrant: Entrant) -> None:
        waiting.offer(entrant)
        if not self._owner.begun:
            self._begin(run)
        if self._life.stopped:
            waiting.turn_away()
            raise self._life.stopped_error()

    def _begin(self, run: Run) -> None:
        """Start the engine, now that it finds something to do: to wait for it would cost two switches between threads more."""

        def undo() -> None:
            self._inbox.take_back(run)
            self._room.forget_mine()

        self._owner.start(undo)

    def _post_end(self, run: Run) -> None:
        try:
            self._inbox.post(self._end, run)
        except BaseException:
            self._room.left_open.append(run)  # the engine sees it when it has nothing else to do
            raise

    def _wait_for_room(self, timeout: float | None) -> int:
        """Wait until there is room, except inside; return for how many."""
        owner, room, life = self._owner, self._room, self._life
        load = room.load
        room.check_unread()
        if owner.inside():
            if load >= room.max_live:
                raise FlowOverloadError(
                    f'runtime "{life.name}" already has max_live={room.max_live} inputs live or waiting, and from inside nobody can wait for '
                    "room. Emit from a generator or a Scatter, which wait for it; or raise max_live."
                )
            return BATCH
        free = room.capacity - load
        if free <= 0:
            owner.start()
            self._dispatching.refuse_process(life.name, f"capacity={room.capacity} messages are live")
            if not owner.wait_until(room.half_empty, timeout, owner.waits.room, helps=True):
                life.check_open()
                raise FlowTimeoutError(
                    f'runtime "{life.name}": no room for input within {timeout} s: capacity={room.capacity} messages are live. Nothing more '
                    "was sent; wait longer, raise capacity, or speed the slowest operation up."
                )
            free = room.capacity - room.load
        return max(1, free)

    def _wait_for_reader(self, run: Run, books: RunBooks, timeout: float | None) -> None:
        """Wait while results of a run come faster than they are read."""
        owner = self._owner
        owner.wait_until(lambda: not books.outrun or run.done, timeout, owner.waits.room, helps=True)
        if books.outrun and not run.done:
            self._life.check_open()
            raise FlowTimeoutError(
                f"run {run.number} of {self._life.name}: nobody read its results for {timeout} s, and its iterable waits for that. Read them "
                "faster, or wait longer."
            )

    # -- engine's thread

    def _open(self, run: Run) -> None:
        if not self._life.stopped:
            self._engine.books.look_at_clock(self._owner.seams.clock.now())
            self._engine.runs.start(run)
        elif run.books is None:  # else an interrupt came while it was being opened, and it was told
            run.tell_finished(self._life.stopped_error())

    def _feed(
        self, run: Run, port: Port, correlation_id: object, priority: int, batch: list[Any], first: int
    ) -> None:
        messages = len(batch)  # first: the list becomes a chunk's
        try:
            if run.books is not None and not self._life.stopped:
                self._engine.feed(run.books, port, batch, first, correlation_id, priority)
        finally:
            self._room.taken += messages

    def _end(self, run: Run) -> None:
        if run.books is not None:
            self._engine.runs.end_input(run.books)


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


def checked_priority(priority: Any) -> int:
    """Return a priority; `FlowBuildError` if it is none."""
    if type(priority) is int:
        return priority
    found = users.count_of(priority)
    if found is None:
        raise FlowBuildError(
            f"a priority is an int, and a higher one goes first; got {users.name_of_type(priority)}."
        )
    return found


def label_of(correlation_id: object, key: Any, priority: Any) -> Label:
    """Return what labels the inputs of a run; `FlowBuildError` for what cannot."""
    if key is None and not callable(priority):
        return correlation_id, checked_priority(priority)
    if key is not None and not callable(key):
        raise FlowBuildError(
            f"process_many: key is {users.told(key)}; give a function of the item that returns its correlation id."
        )
    if key is not None and correlation_id is not None:
        raise FlowBuildError(
            "process_many takes correlation_id, for all items, or key, for each. Choose one."
        )
    fixed = 0 if callable(priority) else checked_priority(priority)

    def label(item: Any) -> tuple[object, int]:
        urgency = checked_priority(priority(item)) if callable(priority) else fixed
        return (correlation_id if key is None else key(item)), urgency

    return label
