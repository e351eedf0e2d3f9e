"""How much to hand to whom: groups of about a millisecond, cut by the worker when it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowrt.lanes import NO_KEYS, Keyed, KeyedLane, Keys, Lane, OrderedLane, Waiting
from flowrt.messages import CHUNK_SIZE, Chunk

if TYPE_CHECKING:
    from flowrt.places import OperationPlace

QUANTUM = (
    0.001  # seconds of work per group or inline turn (DESIGN.md, section 5: the best measured of those tried)
)
FLOOR = 0.0002  # seconds: smaller groups cost more in handing over than they gain in spreading
GROWTH = 8  # at most so many times the last group, so that one cheap item does not vouch for a thousand
DECAY = 0.3  # how fast the estimate follows cheaper calls; it jumps up at once
FASTEST = 1e-8  # seconds; below what the clock resolves
AHEAD = 1_024  # messages that workers may be ahead of the oldest unfinished one, where the order is restored; as a source's window by default
GROUPS_AHEAD = 4  # groups per worker, if that is more: of short calls several must fit in, or one slow one has the other workers wait


class Pace:
    """The service time of one place, estimated, and how many messages that makes a turn's work.

    Guarded by: nothing. Workers of one place write it concurrently: a lost update costs a slightly worse estimate.
    """

    __slots__ = ("allowed", "estimate")

    def __init__(self) -> None:
        self.estimate = 0.0
        self.allowed = 1

    def quota(self, backlog: int, workers: int = 1) -> int:
        """Say how many of `backlog` messages to take at once."""
        if not self.estimate:
            return 1
        share = max(min(QUANTUM / self.estimate, backlog / workers), FLOOR / self.estimate)
        return max(1, min(int(share), self.allowed, CHUNK_SIZE))

    def ahead(self, workers: int) -> int:
        """Say how far workers may be ahead of the oldest unfinished message, where the order is restored."""
        if not self.estimate:
            return AHEAD
        group = min(int(QUANTUM / self.estimate), self.allowed, CHUNK_SIZE)
        return max(AHEAD, GROUPS_AHEAD * workers * group)

    def is_little(self, messages: int) -> bool:
        """Say whether messages make no more than one group."""
        return 0.0 < self.estimate * messages <= QUANTUM and messages <= self.allowed

    def is_short(self, messages: int) -> bool:
        """Say whether messages are known to be too little work for spreading them to gain anything."""
        return 0.0 < self.estimate * messages < FLOOR

    def took(self, messages: int, seconds: float) -> None:
        """Learn from a group."""
        each = max(seconds / messages, FASTEST) if messages else FASTEST
        if each > self.estimate:
            self.estimate = each
        else:
            self.estimate += DECAY * (each - self.estimate)
        self.allowed = max(self.allowed, messages * GROWTH)


class Backlog:
    """What waits for the workers of one pool: lanes, by priority; those of one priority take turns.

    Guarded by: the pool's lock.
    Invariants: a lane is among `_turns` if and only if a worker may take something from it. It is forgotten when nothing of it waits or is in work.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lanes: dict[tuple[OperationPlace, int], Lane] = {}
        self._keys: dict[OperationPlace, Keys] = {}
        self._turns: dict[int, deque[Lane]] = {}
        self.size = 0  # messages that wait

    @property
    def ready(self) -> bool:
        """Whether a worker may take something."""
        return bool(self._turns)

    def wanted(self, taken: Waiting | None = None) -> int:
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

    def put(self, place: OperationPlace, chunk: Chunk, keys: Keyed = NO_KEYS) -> None:
        """Add behind what waits of the same place with the same priority."""
        self.size += len(chunk.data)
        lane = self._lanes.get((place, chunk.priority)) or self._new_lane(place, chunk.priority, keys)
        lane.put(chunk, keys)
        self._offer(lane)

    def _new_lane(self, place: OperationPlace, priority: int, keys: Keyed) -> Lane:
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

    def take(self) -> Waiting | None:
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

    def put_back(self, taken: Waiting, done: int, rest: Chunk) -> None:
        """Return the rest of what was taken, in front; before what is done of it is finished."""
        self.size += len(rest.data)
        taken.lane.put_back(taken, done, rest)
        self._offer(taken.lane)

    def take_back(self, taken: Waiting, done: int, rest: Chunk) -> None:
        """Return what its worker will not begin, while it still is at one of the first `done` messages."""
        self.size += len(rest.data)
        taken.lane.take_back(taken, done, rest)
        if taken.lane.alone:
            self._offer(taken.lane)
        else:
            self._offer_all_of(taken.lane)

    def finish(self, taken: Waiting, done: int) -> None:
        """Let go on what waited for this, `done` messages of which have been performed and reported."""
        lane = taken.lane
        lane.out -= 1
        lane.finish(taken, done)
        if not lane.alone:
            self._offer_all_of(lane)
        elif not lane.queued:
            self._offer(lane)

    def hurry(self) -> None:
        """The engine has nothing to do, and what waits waits on."""
        for lane in list(self._lanes.values()):
            lane.hurry()
            self._offer(lane)

    def first_place(self) -> OperationPlace | None:
        """Return whose messages `take` would find; None if nothing is ready."""
        return self._turns[max(self._turns)][0].place if self._turns else None

    def __iter__(self) -> Iterator[tuple[OperationPlace, Chunk]]:
        for lane in self._lanes.values():
            for chunk in lane:
                yield lane.place, chunk

    def _offer_all_of(self, lane: Lane) -> None:
        if isinstance(lane, KeyedLane):
            for each in lane.keys.lanes[:]:
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
