"""How much to hand to whom: groups of about a millisecond, cut by the worker when it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

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

    def took(self, messages: int, seconds: float) -> None:
        """Learn from a group."""
        each = max(seconds / messages, FASTEST) if messages else FASTEST
        if each > self.estimate:
            self.estimate = each
        else:
            self.estimate += DECAY * (each - self.estimate)
        self.allowed = max(self.allowed, messages * GROWTH)


class Waiting:
    """A chunk of one place waiting for workers, with its number in the order of arrival."""

    __slots__ = ("chunk", "ended", "key", "place", "sequence")

    def __init__(self, place: OperationPlace, chunk: Chunk, sequence: int, key: Hashable = None) -> None:
        self.place = place
        self.chunk = chunk
        self.sequence = sequence
        self.key = key
        self.ended = False  # all its runs had ended when it was taken: it is not begun

    def cut(self, size: int) -> Waiting:
        """Take the first messages out."""
        head = Waiting(self.place, self.chunk.cut(size), self.sequence, self.key)
        self.sequence += size
        return head


class KeyTurn:
    """Stands in the queue for whatever waits under a key."""

    __slots__ = ("key", "priority")

    def __init__(self, key: Hashable, priority: int) -> None:
        self.key = key
        self.priority = priority


class Backlog:
    """What waits for the workers of one pool, by priority, and by key where one is asked for.

    Guarded by: the pool's lock.
    Invariant: a key is in `_turns` from its first waiting chunk until a `release` finds none left; it has a turn in the queue unless a
    worker has something of it. So no two workers ever have the same key, and what has one key stays in order.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._levels: dict[int, deque[Waiting | KeyTurn]] = {}
        self._keyed: dict[Hashable, deque[Waiting]] = {}
        self._turns: set[Hashable] = set()
        self.size = 0

    def put(self, waiting: Waiting) -> None:
        """Add behind what has the same priority (and, with a key, behind what has the same key)."""
        self.size += len(waiting.chunk.data)
        if waiting.key is None:
            self._level(waiting.chunk.priority).append(waiting)
            return
        self._keyed.setdefault(waiting.key, deque()).append(waiting)
        if waiting.key not in self._turns:
            self._turns.add(waiting.key)
            self._level(waiting.chunk.priority).append(KeyTurn(waiting.key, waiting.chunk.priority))

    def put_back(self, waiting: Waiting) -> None:
        """Return the rest of what was taken, in front; before its key is released."""
        self.size += len(waiting.chunk.data)
        if waiting.key is None:
            self._level(waiting.chunk.priority).appendleft(waiting)
        else:
            self._keyed.setdefault(waiting.key, deque()).appendleft(waiting)

    def take(self) -> Waiting | None:
        """Take about a millisecond's work, of runs that have ended or of runs that have not; None if nothing is ready."""
        for level in sorted(self._levels, reverse=True):
            queue = self._levels[level]
            if not queue:
                del self._levels[level]
            else:
                entry = queue.popleft()
                source: deque[Any] = queue if isinstance(entry, Waiting) else self._keyed[entry.key]
                waiting = entry if isinstance(entry, Waiting) else source.popleft()
                quota = waiting.place.pace.quota(self.size, self._workers)
                same, ended = alike(waiting.chunk)
                size = min(quota, same)
                if size < len(waiting.chunk.data):
                    head = waiting.cut(size)
                    source.appendleft(waiting)
                    waiting = head
                self.size -= len(waiting.chunk.data)
                waiting.ended = ended
                return waiting
        return None

    def first_place(self) -> OperationPlace | None:
        """Return whose messages `take` would find; None if nothing is ready."""
        for level in sorted(self._levels, reverse=True):
            for entry in self._levels[level]:
                return (entry if isinstance(entry, Waiting) else self._keyed[entry.key][0]).place
        return None

    def release(self, key: Hashable) -> bool:
        """Let what waits under a key go on, its predecessor having been reported; say whether there is any."""
        waiting = self._keyed.get(key)
        if not waiting:
            self._keyed.pop(key, None)
            self._turns.discard(key)
            return False
        self._level(waiting[0].chunk.priority).append(KeyTurn(key, waiting[0].chunk.priority))
        return True

    def __iter__(self) -> Iterator[Waiting]:
        for queue in self._levels.values():
            yield from (entry for entry in queue if isinstance(entry, Waiting))
        for keyed in self._keyed.values():
            yield from keyed

    def _level(self, priority: int) -> deque[Waiting | KeyTurn]:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = deque()
        return level


class Reorder:
    """Restores the order of arrival: outcomes wait here for their predecessors.

    Called on: the engine's thread.
    """

    def __init__(self) -> None:
        self.handed = 0  # messages handed over so far; the next one's number
        self._next = 0
        self._early: dict[int, tuple[int, Callable[[], None]]] = {}

    def add(self, sequence: int, messages: int, settle: Callable[[], None]) -> None:
        """Take in what became of `messages` from number `sequence` on; settle all whose turn has come."""
        self._early[sequence] = (messages, settle)
        while self._next in self._early:
            messages, settle = self._early.pop(self._next)
            self._next += messages
            settle()


def alike(chunk: Chunk) -> tuple[int, bool]:
    """Count the first messages whose runs have all ended, or all not; say which. A run may end meanwhile: each is looked at once."""
    ended = chunk.context_at(0).scope.run.ended
    context = chunk.context
    if type(context) is not list:
        return len(chunk.data), ended
    for index in range(1, len(context)):
        if context[index].scope.run.ended is not ended:
            return index, ended
    return len(context), ended
