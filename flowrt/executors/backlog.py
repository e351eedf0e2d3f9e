"""What waits for workers: lanes by place and priority, as it comes, ordered, or by key; and which of it is taken next."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Reorder
from flowrt.engine.meters import FLOOR

if TYPE_CHECKING:
    from flowrt.engine.places import Place


Keyed = tuple[list[Hashable], dict[Hashable, None]]
"""The keys of consecutive messages, and each of them once."""

NO_KEYS: Keyed = ([], {})


class Taken:
    """Messages that a worker has taken, with what their lane must know when they come back.

    `sequence`: the number of the first in the order to be restored.
    """

    __slots__ = ("chunk", "ended", "keys", "lane", "sequence")

    def __init__(
        self, lane: Lane, chunk: Chunk, sequence: int = 0, keys: Keyed = NO_KEYS, *, ended: bool
    ) -> None:
        self.lane: Lane = lane
        self.chunk: Chunk = chunk
        self.sequence: int = sequence
        self.ended: bool = ended  # all its runs had ended when it was taken: it is not begun
        self.keys: Keyed = keys


class Lane:
    """What waits of one place with one priority, in order of arrival.

    Guarded by: the pool's lock, as what is derived from it.
    """

    __slots__ = ("out", "place", "priority", "queued", "reorder", "waiting")

    alone = True  # what happens to it changes no other lane

    def __init__(self, place: Place, priority: int) -> None:
        self.place: Place = place
        self.priority: int = priority
        self.waiting: deque[Any] = deque()
        self.out: int = 0  # groups that workers have
        self.queued: bool = False  # it has its turn among the lanes of its priority
        self.reorder: Reorder | None = None  # where the order of what was taken is restored

    def put(self, chunk: Chunk, _keys: Keyed) -> None:
        """Add behind what waits."""
        self.waiting.append(chunk)

    @property
    def ready(self) -> bool:
        """Whether a worker may take something."""
        return bool(self.waiting)

    @property
    def width(self) -> int:
        """How many workers may take something at once, at most; of what waits behind the first chunk nothing is known."""
        return len(self.waiting[0].data) if self.waiting else 0

    @property
    def empty(self) -> bool:
        return not self.waiting

    def take(self, quota: int) -> Taken:
        """Take up to `quota` messages, of runs that have ended or of runs that have not."""
        chunk = self.waiting[0]
        size, ended = ended_alike(chunk, quota)
        if size < len(chunk.data):
            chunk = chunk.cut(size)
        else:
            self.waiting.popleft()
        return Taken(self, chunk, ended=ended)

    def put_back(self, _taken: Taken, _done: int, rest: Chunk) -> None:
        """Return the rest of what was taken, in front."""
        self.waiting.appendleft(rest)

    def take_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        """Return what a worker will not begin that still is at one of the first `done` messages."""
        self.put_back(taken, done, rest)

    def finish(self, taken: Taken, done: int) -> None:
        """Let go on what waited for this, `done` messages of which have been performed and reported."""

    def hurry(self) -> None:
        """The engine has nothing to do, and what waits waits on."""

    def __iter__(self) -> Iterator[Chunk]:
        yield from self.waiting


class OrderedLane(Lane):
    """Numbers what comes, for its order to be restored; workers run no farther ahead of the oldest unfinished message than `Pace.ahead` says.

    Invariant: the oldest unfinished message is in work or may be taken, so the window always moves.
    """

    __slots__ = ("_finished", "_handed", "_oldest", "_workers")

    def __init__(self, place: Place, priority: int, workers: int) -> None:
        super().__init__(place, priority)
        self.reorder: Reorder | None = Reorder()
        self._workers = workers
        self._handed = 0  # messages that have come so far; the number of the next
        self._oldest = 0  # the number of the oldest unfinished one
        self._finished: dict[int, int] = {}  # number of the first of a group finished early: how many

    def put(self, chunk: Chunk, _keys: Keyed) -> None:
        self.waiting.append((self._handed, chunk))
        self._handed += len(chunk.data)

    def _room(self) -> int:
        """Say how many messages from the first waiting one on are within the window."""
        first: int = self.waiting[0][0]
        return self._oldest + self.place.pace.ahead(self._workers) - first

    @property
    def ready(self) -> bool:
        return bool(self.waiting) and self._room() > 0

    @property
    def width(self) -> int:
        return max(min(len(self.waiting[0][1].data), self._room()), 0) if self.waiting else 0

    def take(self, quota: int) -> Taken:
        first, chunk = self.waiting[0]
        room = max(self._room(), 1)  # one at least: the window may have shrunk since it had its turn
        size, ended = ended_alike(chunk, min(quota, room))
        if size < len(chunk.data):
            self.waiting[0] = first + size, chunk
            chunk = chunk.cut(size)
        else:
            self.waiting.popleft()
        return Taken(self, chunk, first, ended=ended)

    def put_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        """Return the rest to where it belongs: another worker's may be in front already, and the oldest must be the first to be taken."""
        first, at = taken.sequence + done, 0
        while at < len(self.waiting) and self.waiting[at][0] < first:
            at += 1
        self.waiting.insert(at, (first, rest))

    def finish(self, taken: Taken, done: int) -> None:
        finished = self._finished
        finished[taken.sequence] = done
        while self._oldest in finished:
            self._oldest += finished.pop(self._oldest)

    def __iter__(self) -> Iterator[Chunk]:
        for _, chunk in self.waiting:
            yield chunk


class Keys:
    """What the lanes of one place have in common where one call at a time is made per key: the keys in work."""

    __slots__ = ("busy", "lanes")

    def __init__(self) -> None:
        self.busy: set[Hashable] = set()
        self.lanes: list[KeyedLane] = []


Picked = tuple[Chunk, list[int]]
"""Messages of a chunk, by index."""


class KeyedLane(Lane):
    """Keeps what has one key in order, and from being in work twice.

    Chunks wait whole (`waiting`) until workers ask for them. One that makes no more than one group goes to one worker, as soon as none of
    its keys is in work. Another is split into lines, one per key, and a worker takes as many of them as make a group.
    Invariants: what waits in a line came before what waits whole with its key. A key has a line while something waits in it, and is
    among the `_free` if moreover no worker has it. So a key costs nothing once it has been worked off.
    """

    __slots__ = ("_free", "_lines", "_stuck", "keys")

    alone = False

    def __init__(self, place: Place, priority: int, keys: Keys) -> None:
        super().__init__(place, priority)
        self.keys: Keys = keys
        self._lines: dict[Hashable, deque[Picked]] = {}
        self._free: deque[Hashable] = deque()
        self._stuck = False

    def put(self, chunk: Chunk, keys: Keyed) -> None:
        self.waiting.append((chunk, *keys))
        self._split_first()

    @property
    def ready(self) -> bool:
        return bool(self._free) or (bool(self.waiting) and self._is_free(self.waiting[0][2]))

    @property
    def width(self) -> int:
        return len(self._free) or int(self.ready)

    @property
    def empty(self) -> bool:
        return not (self.waiting or self._lines)

    def _is_free(self, keys: dict[Hashable, None]) -> bool:
        return self.keys.busy.isdisjoint(keys) and (not self._lines or self._lines.keys().isdisjoint(keys))

    def _split_first(self) -> None:
        """See to it that somebody can be taken: split what is not to go whole."""
        while self.waiting and not self._free:
            chunk, _, distinct = self.waiting[0]
            if len(distinct) > 1 and self.place.pace.is_little(len(chunk.data)):
                return
            self._split()

    def _split(self) -> None:
        chunk, keys, _ = self.waiting.popleft()
        for key, indexes in indexes_of(keys).items():
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = deque()
                if key not in self.keys.busy:
                    self._free.append(key)
            line.append((chunk, indexes))

    def take(self, quota: int) -> Taken:
        if not self._free and not self.place.pace.is_little(len(self.waiting[0][0].data)):
            self._split()
        chunk, keys, distinct = self._gather(quota) if self._free else self.waiting.popleft()
        same, ended = ended_alike(chunk, len(keys))
        self._claim(distinct)
        if same == len(keys):
            taken = Taken(self, chunk, 0, (keys, distinct), ended=ended)
        else:
            head = dict.fromkeys(keys[:same])
            taken = Taken(self, chunk.cut(same), 0, (keys[:same], head), ended=ended)
            self._return(chunk, keys[same:])
            self._release({key: None for key in distinct if key not in head})
        self._split_first()
        return taken

    def _claim(self, keys: dict[Hashable, None]) -> None:
        busy = self.keys.busy
        busy.update(keys)
        for lane in self.keys.lanes:  # of other priorities
            if lane is not self and lane._free:
                lane._free = deque(key for key in lane._free if key not in busy)

    def _gather(self, quota: int) -> tuple[Chunk, list[Hashable], dict[Hashable, None]]:
        """Take about `quota` messages out of the free lines, each key's in order."""
        parts: list[Picked] = []
        keys: list[Hashable] = []
        distinct: dict[Hashable, None] = {}
        while self._free and len(keys) < quota:
            key = self._free[0]
            line = self._lines[key]
            taken = len(keys)
            while line and len(keys) < quota:
                chunk, indexes = line[0]
                if parts and not may_travel_together(parts[0][0], chunk):
                    break
                room = quota - len(keys)
                parts.append((chunk, indexes[:room]))
                keys += [key] * len(parts[-1][1])
                if room < len(indexes):
                    line[0] = chunk, indexes[room:]
                else:
                    line.popleft()
            if len(keys) == taken:
                break
            distinct[self._free.popleft()] = None
            if not line:
                del self._lines[key]
        return joined(parts), keys, distinct

    def put_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        keys = taken.keys[0]
        self._return(rest, keys[done : done + len(rest.data)])

    def take_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        keys, distinct = taken.keys
        kept = dict.fromkeys(keys[:done])
        self.put_back(taken, done, rest)
        taken.keys = keys[:done], kept
        self._release({key: None for key in distinct if key not in kept})

    def _return(self, chunk: Chunk, keys: list[Hashable]) -> None:
        """Put messages in front of their lines; their keys are in work, and not released yet."""
        for key, indexes in indexes_of(keys).items():
            self._lines.setdefault(key, deque()).appendleft((chunk, indexes))

    def finish(self, taken: Taken, done: int) -> None:
        self._stuck = False
        self._release(taken.keys[1])

    def _release(self, keys: dict[Hashable, None]) -> None:
        """Let what waits with keys go on, their predecessors having been reported."""
        self.keys.busy.difference_update(keys)
        for lane in self.keys.lanes:
            if lane._lines:
                lane._free += [key for key in keys if key in lane._lines]
            lane._split_first()

    def hurry(self) -> None:
        """Split what waits whole for one that has not come to its end since the last time: other keys must not wait for it."""
        if self._stuck and not self.ready:
            while self.waiting:
                self._split()
        self._stuck = True

    def __iter__(self) -> Iterator[Chunk]:
        for chunk, _, _ in self.waiting:
            yield chunk
        for line in self._lines.values():
            yield from (picked(chunk, indexes) for chunk, indexes in line)


def indexes_of(keys: list[Hashable]) -> dict[Hashable, list[int]]:
    """Return the indexes of each key, in order of first appearance."""
    found: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        if key in found:
            found[key].append(index)
        else:
            found[key] = [index]
    return found


def may_travel_together(one: Chunk, other: Chunk) -> bool:
    """Say whether messages of two chunks may be in one, which has one context for all or one for each, as they have."""
    if one is other:
        return True
    if one.handler is not other.handler or one.trail is not other.trail:
        return False
    mine, theirs = one.context, other.context
    if isinstance(mine, list) or isinstance(theirs, list):
        return isinstance(mine, list) and isinstance(theirs, list)
    return mine is theirs or (
        mine.scope is theirs.scope
        and mine.correlation_id is theirs.correlation_id
        and mine.causality is theirs.causality
    )


def picked(chunk: Chunk, indexes: list[int]) -> Chunk:
    """Make a chunk of some messages of a chunk."""
    return joined([(chunk, indexes)])


def joined(parts: list[Picked]) -> Chunk:
    """Make one chunk of messages of several that may travel together."""
    first = parts[0][0]
    data = [chunk.data[index] for chunk, indexes in parts for index in indexes]
    positions = [chunk.positions[index] for chunk, indexes in parts for index in indexes]
    context = first.context
    if isinstance(context, list):
        context = [chunk.context_at(index) for chunk, indexes in parts for index in indexes]
    return Chunk(first.handler, data, context, positions, first.trail)


def ended_alike(chunk: Chunk, most: int) -> tuple[int, bool]:
    """Count the first messages, up to `most`, whose runs have all ended, or all not; say which. A run may end meanwhile: each is looked at once."""
    context = chunk.context
    if not isinstance(context, list):
        return min(most, len(chunk.data)), context.scope.run.ended
    ended = context[0].scope.run.ended
    for index in range(1, min(most, len(context))):
        if context[index].scope.run.ended is not ended:
            return index, ended
    return min(most, len(context)), ended


class Backlog:
    """What waits for the workers of one pool: lanes, by priority; those of one priority take turns.

    Guarded by: the pool's lock.
    Invariants: a lane is among `_turns` if and only if a worker may take something from it. It is forgotten when nothing of it waits or is in work.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lanes: dict[tuple[Place, int], Lane] = {}
        self._keys: dict[Place, Keys] = {}
        self._turns: dict[int, deque[Lane]] = {}
        self.size: int = 0  # messages that wait

    @property
    def ready(self) -> bool:
        return bool(self._turns)

    def wanted(self, taken: Taken | None = None) -> int:
        """Say how many workers to wake for what is ready: one for each long call, and one that wakes the next for short ones.

        `taken`: what the worker that asks has just taken; if that is soon done, it comes back itself.
        """
        if not self._turns:
            return 0
        if taken is not None and taken.lane.place.pace.is_short(len(taken.chunk.data)):
            return 0
        lane = self._turns[max(self._turns)][0]
        pace, width = lane.place.pace, lane.width
        if pace.estimate >= FLOOR:
            return width
        return 0 if pace.is_short(width) else 1

    def put(self, place: Place, chunk: Chunk, keys: Keyed = NO_KEYS) -> None:
        """Add behind what waits of the same place with the same priority."""
        self.size += len(chunk.data)
        lane = self._lanes.get((place, chunk.priority)) or self._new_lane(place, chunk.priority, keys)
        lane.put(chunk, keys)
        self._offer(lane)

    def _new_lane(self, place: Place, priority: int, keys: Keyed) -> Lane:
        lane: Lane
        if keys is not NO_KEYS:
            common = self._keys.get(place)
            if common is None:
                common = self._keys[place] = Keys()
            lane = KeyedLane(place, priority, common)
            common.lanes.append(lane)
        elif place.ordered:
            lane = OrderedLane(place, priority, self._workers)
        else:
            lane = Lane(place, priority)
        self._lanes[place, priority] = lane
        return lane

    def take(self) -> Taken | None:
        """Take about a millisecond's work, of runs that have ended or of runs that have not; None if nothing is ready."""
        if not self._turns:
            return None
        lanes = self._turns[max(self._turns)]
        lane = lanes[0]
        taken = lane.take(lane.place.pace.quota(self.size, self._workers))
        self.size -= len(taken.chunk.data)
        lane.out += 1
        if len(lanes) > 1:
            lanes.rotate(-1)
        if lane.alone:
            if not lane.ready:
                self._offer(lane)
        else:
            self._offer_all_of(lane)
        return taken

    def put_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        """Return the rest of what was taken, in front; before what is done of it is finished."""
        self.size += len(rest.data)
        taken.lane.put_back(taken, done, rest)
        self._offer(taken.lane)

    def take_back(self, taken: Taken, done: int, rest: Chunk) -> None:
        """Return what its worker will not begin, while it still is at one of the first `done` messages."""
        self.size += len(rest.data)
        taken.lane.take_back(taken, done, rest)
        self._offer_all_of(taken.lane)

    def finish(self, taken: Taken, done: int) -> None:
        lane = taken.lane
        lane.out -= 1
        lane.finish(taken, done)
        if not lane.alone:
            self._offer_all_of(lane)
        elif not lane.queued:
            self._offer(lane)

    def hurry(self) -> None:
        for lane in list(self._lanes.values()):
            lane.hurry()
            self._offer(lane)

    def first_place(self) -> Place | None:
        """Return whose messages `take` would find; None if nothing is ready."""
        return self._turns[max(self._turns)][0].place if self._turns else None

    def __iter__(self) -> Iterator[tuple[Place, Chunk]]:
        for lane in self._lanes.values():
            for chunk in lane:
                yield lane.place, chunk

    def _offer_all_of(self, lane: Lane) -> None:
        for each in lane.keys.lanes[:] if isinstance(lane, KeyedLane) else (lane,):
            self._offer(each)

    def _offer(self, lane: Lane) -> None:
        """Give a lane its turn or take it away; forget one that is worked off."""
        ready = lane.ready
        if ready is not lane.queued:
            lane.queued = ready
            if ready:
                self._turns.setdefault(lane.priority, deque()).append(lane)
                return
            lanes = self._turns[lane.priority]
            lanes.remove(lane)
            if not lanes:
                del self._turns[lane.priority]
        if not (ready or lane.out) and lane.empty:
            self._lanes.pop((lane.place, lane.priority), None)
            if type(lane) is KeyedLane:
                lane.keys.lanes.remove(lane)
                if not lane.keys.lanes:
                    self._keys.pop(lane.place, None)
