"""How input gets in: here `process` waits for room, then posts to the inbox; in order, and never after the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from flowrt import users
from flowrt.errors import FlowBuildError, FlowOverloadError, FlowTimeoutError
from flowrt.messages import CHUNK_SIZE
from flowrt.ports import Behind
from flowrt.runtime.room import Entrant
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from flowrt.messages import RunBooks
    from flowrt.ports import Port
    from flowrt.runtime.owner import Owner
    from flowrt.runtime.room import WaitingRoom


Label = tuple[object, int] | Callable[[Any], tuple[object, int]]
"""A correlation id and a priority: of all inputs, or by a function of each."""

BATCH = CHUNK_SIZE  # inputs of one iterable between two looks at the room there is, at most
AT_ONCE = 0.000_1  # seconds: an iterable that gives an item within so long does not wait for anything
AT_ONCE_MOST = 256  # items, one by one that quickly: then nobody watches what becomes of each; arbitrary
WORKED_TOGETHER = 64  # of such items are worked off together where who sends does it himself: alone each costs ten times as much


class Pouch:
    """Inputs on their way in that have one label: who sends appends, the engine takes all there are by then.

    Guarded by: nothing. The engine clears `called` before it looks, and who sends looks at it after he has appended.

    Attributes:
        first: the number of the next input the engine takes; only the engine looks at it.
        called: the engine is going to look.
    """

    __slots__ = ("called", "correlation_id", "first", "items", "port", "priority")

    def __init__(self, port: Port, correlation_id: object, priority: int, first: int) -> None:
        self.port: Port = port
        self.correlation_id: object = correlation_id
        self.priority: int = priority
        self.first: int = first
        self.items: list[Any] = []
        self.called: bool = False


class Input:
    """The outside's way in.

    Called on: any thread; the underscored methods that the engine is posted, on the engine's.
    """

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
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
        owner = self.owner
        self._life.check_open()
        run = Run(owner)
        alone = not (owner.attended or owner.inside())
        if alone:
            self._dispatching.refuse_process(self._life.name, 'schedule="sync" works it off at once')
        self.send(run, Behind.of(port), data, correlation_id, priority, None)
        if alone:
            owner.unattended.append(run)
            owner.attend()

    def send(
        self, run: Run, port: Port, data: Any, correlation_id: object, priority: int, timeout: float | None
    ) -> None:
        """Post the one input of a run, when there is room."""
        owner, room = self.owner, self._room
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
        waiting = None if self.owner.inside() else self._room.waiting
        self.open(run)
        try:
            if waiting is not None:
                self._offer_each(run, waiting, port, iterable, label)
            elif type(iterable) in (list, tuple, range) and not callable(label):
                # Of these types only: what is derived from them may iterate in its own way.
                self._post_slices(run, port, cast("Sequence[Any]", iterable), label, timeout)
            else:
                self._pour(run, port, iter(iterable), label, timeout)
        finally:
            if waiting is not None:
                waiting.offer(Entrant(run, None, None, None, 0, None))  # behind those that still wait
                self._begin(run)
            else:
                self.end(run)

    def _offer_each(
        self, run: Run, waiting: WaitingRoom, port: Port, iterable: Iterable[Any], label: Label
    ) -> None:
        for number, data in enumerate(iterable):
            correlation_id, priority = label(data) if callable(label) else label
            self._offer(run, waiting, Entrant(run, port, data, correlation_id, priority, number))

    def _post_slices(
        self,
        run: Run,
        port: Port,
        sequence: Sequence[Any],
        label: tuple[object, int],
        timeout: float | None,
    ) -> None:
        """Post inputs for none of which anybody has to wait: many at once."""
        size = min(BATCH, self._room.capacity)
        at = first = 0
        while at < len(sequence):
            batch = sequence[at : at + size]
            free = self._admit(run, port, len(batch), timeout)
            if free:
                pouch = Pouch(port, *label, first)
                pouch.items += batch[:free]
                sent = len(pouch.items)  # not later: the list is the engine's then
                self._inbox.post(self._take, run, pouch)
                self._room.count(sent)
                first += sent
                at += sent
                if at < len(sequence):
                    self._begin(run)
                if self._is_over(run):
                    return
            else:
                at += len(batch)

    def _pour(
        self,
        run: Run,
        port: Port,
        items: Iterator[Any],
        label: Label,
        timeout: float | None,
    ) -> None:
        """Post each input before the next is pulled."""
        pouring = Pouring(self, run, port, label)
        while True:
            try:
                data = next(items)  # first: if there is none, no room is needed
            except StopIteration:
                return
            free = self._admit(run, port, 1, timeout)
            if free:
                pouring.put(data)
                if not pouring.take(items, min(free, BATCH) - 1) or self._is_over(run):
                    return

    def _admit(self, run: Run, port: Port, messages: int, timeout: float | None) -> int:
        """Wait for room; return for how many inputs. 0: these were dropped."""
        inside = self.owner.inside()
        if not inside and self._room.turns_away():
            self._room.drop_some(run, port, messages)
            return 0
        if run.books is not None and run.books.outrun and not inside:
            self._wait_for_reader(run, run.books, timeout)
        return self._wait_for_room(timeout)

    # -- piece by piece

    def open(self, run: Run) -> None:
        """Begin a run whose inputs come in pieces."""
        self._room.check_unread()
        self._inbox.post(self._open, run)

    def post(self, run: Run, pouch: Pouch) -> None:
        """Have the engine take what is in a pouch by then."""
        pouch.called = True
        self._inbox.post(self._take, run, pouch)
        if not self.owner.begun:
            self._begin(run)

    def check_open(self, run: Run) -> None:
        """`FlowStoppedError` if it is too late for what was posted."""
        if self._life.stopped or self._life.closing:
            if self._life.stopped:
                self._inbox.take_back(run)
            raise self._life.stopped_error()

    def _is_over(self, run: Run) -> bool:
        """Say whether a run was cancelled, or failed past a bound: whoever waits for it is told. If closing has ended it, raise."""
        over = run.done  # first: closing is seen before what it ends
        self.check_open(run)
        return over

    def end(self, run: Run) -> None:
        """Let such a run end when its inputs are worked off."""
        self._post_end(run)
        self._begin(run)

    def _offer(self, run: Run, waiting: WaitingRoom, entrant: Entrant) -> None:
        waiting.offer(entrant)
        if not self.owner.begun:
            self._begin(run)
        if self._life.stopped:
            waiting.turn_away()
            raise self._life.stopped_error()

    def _begin(self, run: Run) -> None:
        """Start the engine, now that it finds something to do: to wait for it would cost two switches between threads more."""

        def undo() -> None:
            self._inbox.take_back(run)
            self._room.forget_mine()

        self.owner.start(undo)

    def _post_end(self, run: Run) -> None:
        try:
            self._inbox.post(self._end, run)
        except BaseException:
            self._room.left_open.append(run)  # the engine sees it when it has nothing else to do
            raise

    def _wait_for_room(self, timeout: float | None) -> int:
        """Wait until there is room, except inside; return for how many."""
        owner, room, life = self.owner, self._room, self._life
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
        owner = self.owner
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
            self._engine.books.look_at_clock(self.owner.seams.clock.now())
            self._engine.runs.start(run)
        elif run.books is None:  # else an interrupt came while it was being opened, and it was told
            run.tell_finished(self._life.stopped_error())

    def _take(self, run: Run, pouch: Pouch) -> None:
        pouch.called = False  # first: what comes from here on calls again
        items = pouch.items
        batch = items[:]
        messages = len(batch)  # now: the list becomes a chunk's
        if not messages:  # an earlier call was late enough to take them
            return
        del items[:messages]
        first, pouch.first = pouch.first, pouch.first + messages
        try:
            if run.books is not None and not self._life.stopped:
                self._engine.feed(run.books, pouch.port, batch, first, pouch.correlation_id, pouch.priority)
        finally:
            self._room.taken += messages

    def _end(self, run: Run) -> None:
        if run.books is not None:
            self._engine.runs.end_input(run.books)


class Pouring:
    """Posts the inputs of a run one by one, each before the next is pulled: that may be long in coming, or wait for what becomes of this one.

    Under the "sync" schedule each is worked off before the next is pulled, or so many together from an iterable that has been quick for long.
    Called on: the thread that sends.
    """

    def __init__(self, way_in: Input, run: Run, port: Port, label: Label) -> None:
        self._way_in = way_in
        self._run = run
        self._life = way_in.owner.life
        self._label = label if callable(label) else None
        self._pouch = Pouch(port, *((None, 0) if callable(label) else label), 0)
        self._sent = 0
        self._alone = not (way_in.owner.attended or way_in.owner.inside())
        self._quick = 0  # items in a row
        self._asked = 0.0  # when the iterable was asked for the next one

    def put(self, data: Any) -> None:
        """Post one input."""
        self.take(iter((data,)), 1)

    def take(self, items: Iterator[Any], most: int) -> bool:
        """Pull and post so many, or fewer if the run is over; say whether there may be more.

        Raises:
            FlowStoppedError: the runtime is closed or closing.
            BaseException: what the iterator raises, or the function that labels.
        """
        life, run, pouch, alone = self._life, self._run, self._pouch, self._alone
        label = self._label
        posted, thread = self._way_in.owner.room.here()  # another thread may go on with a stream
        sent = self._sent
        if alone:
            self._asked = self._way_in.owner.seams.clock.now()
        for data in islice(items, most):
            if label is not None:
                pouch = self._fit(*label(data))
            pouch.items.append(data)
            if not pouch.called:
                self._way_in.post(run, pouch)
            posted[thread] += 1
            self._sent += 1
            over = run.done  # first: if closing has ended it, that is seen, too
            if life.closing or life.stopped:
                self._way_in.check_open(run)
            if over:
                return True
            if alone:
                self._catch_up()
        return self._sent - sent == most

    def _catch_up(self) -> None:
        owner = self._way_in.owner
        clock = owner.seams.clock
        self._quick = self._quick + 1 if clock.now() - self._asked < AT_ONCE else 0
        if self._quick < AT_ONCE_MOST or self._quick % WORKED_TOGETHER == 0:
            owner.catch_up()
        self._asked = clock.now()

    def _fit(self, correlation_id: object, priority: int) -> Pouch:
        """Return the pouch of what has this label: neighbours that have the same one are taken together."""
        pouch = self._pouch
        if not (pouch.priority == priority and users.alike(pouch.correlation_id, correlation_id)):
            pouch = self._pouch = Pouch(pouch.port, correlation_id, priority, self._sent)
        return pouch


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


def label_of(what: str, correlation_id: object, key: Any, priority: Any) -> Label:
    """Return what labels the inputs of a run; `FlowBuildError` for what cannot."""
    if key is None and not callable(priority):
        return correlation_id, checked_priority(priority)
    if key is not None and not callable(key):
        raise FlowBuildError(
            f"{what}: key is {users.told(key)}; give a function of the item that returns its correlation id."
        )
    if key is not None and correlation_id is not None:
        raise FlowBuildError(f"{what} takes correlation_id, for all items, or key, for each. Choose one.")
    fixed = 0 if callable(priority) else checked_priority(priority)

    def label(item: Any) -> tuple[object, int]:
        urgency = checked_priority(priority(item)) if callable(priority) else fixed
        return (correlation_id if key is None else key(item)), urgency

    return label
