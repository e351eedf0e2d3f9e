"""What comes next. A schedule is one object that decides, so that the test kit can put its own in its place."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from flowrt.errors import FlowBuildError, did_you_mean
from flowrt.messages import CHUNK_SIZE, Chunk


class Schedule(Protocol):
    """Chunks waiting for the engine. A higher priority always goes first.

    Attributes:
        step: how many messages the engine may take from a chunk at once.
    """

    step: int

    def put(self, chunk: Chunk) -> None:
        """Add what an operation emitted."""
        ...

    def put_input(self, chunk: Chunk) -> None:
        """Add what came from outside."""
        ...

    def put_back(self, chunk: Chunk) -> None:
        """Return the rest of the chunk taken last, before anything that came of it is put."""
        ...

    def take(self) -> Chunk | None:
        """Take the next chunk; None if nothing waits."""
        ...

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over all that waits, in no particular order."""
        ...

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        """Drop the unwanted chunks."""
        ...


class BreadthFirst:
    """A FIFO of chunks: all that one message led to directly goes before what that leads to."""

    step = CHUNK_SIZE

    def __init__(self) -> None:
        self._levels: dict[int, deque[Chunk]] = {0: deque()}
        self._order = [0]  # priorities, lowest first

    def put(self, chunk: Chunk) -> None:
        level = self._level(chunk.priority)
        if not (level and level[-1].extend(chunk)):
            level.append(chunk)

    put_input = put

    def put_back(self, chunk: Chunk) -> None:
        self._level(chunk.priority).appendleft(chunk)

    def take(self) -> Chunk | None:
        for priority in reversed(self._order):
            level = self._levels[priority]
            if level:
                return level.popleft()
        if len(self._order) > 1:
            self._levels, self._order = {0: deque()}, [0]
        return None

    def __iter__(self) -> Iterator[Chunk]:
        for level in self._levels.values():
            yield from level

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        for priority, level in self._levels.items():
            self._levels[priority] = deque(chunk for chunk in level if not unwanted(chunk))

    def _level(self, priority: int) -> deque[Chunk]:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = deque()
            insort(self._order, priority)
        return level


class DepthFirst:
    """A stack: what a message led to is worked off to its end before its neighbour; inputs from outside keep a FIFO.

    Messages are taken singly: only so does the order hold that each goes to its end before the next.
    """

    step = 1

    def __init__(self) -> None:
        self._stacks: dict[int, list[Chunk]] = {0: []}
        self._inputs: dict[int, deque[Chunk]] = {0: deque()}
        self._order = [0]
        self._fresh: list[Chunk] = []  # emitted by the message in work; the first of them is to be on top

    def put(self, chunk: Chunk) -> None:
        if not (self._fresh and self._fresh[-1].extend(chunk)):
            self._fresh.append(chunk)

    def put_input(self, chunk: Chunk) -> None:
        self._know(chunk.priority)
        waiting = self._inputs[chunk.priority]
        if not (waiting and waiting[-1].extend(chunk)):
            waiting.append(chunk)

    def put_back(self, chunk: Chunk) -> None:
        self._know(chunk.priority)
        self._stacks[chunk.priority].append(chunk)

    def take(self) -> Chunk | None:
        while self._fresh:
            self.put_back(self._fresh.pop())
        for priority in reversed(self._order):
            if self._stacks[priority]:
                return self._stacks[priority].pop()
            if self._inputs[priority]:
                return self._inputs[priority].popleft()
        return None

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._fresh
        for priority in self._order:
            yield from self._stacks[priority]
            yield from self._inputs[priority]

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        self._fresh = [chunk for chunk in self._fresh if not unwanted(chunk)]
        for priority in self._order:
            self._stacks[priority] = [chunk for chunk in self._stacks[priority] if not unwanted(chunk)]
            self._inputs[priority] = deque(chunk for chunk in self._inputs[priority] if not unwanted(chunk))

    def _know(self, priority: int) -> None:
        if priority not in self._stacks:
            self._stacks[priority] = []
            self._inputs[priority] = deque()
            insort(self._order, priority)


SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "breadth_first": BreadthFirst,
    "depth_first": DepthFirst,
    "sync": DepthFirst,
}


def schedule_named(name: str) -> Schedule:
    """Make a schedule; `FlowBuildError` for a name nobody knows."""
    if name not in SCHEDULES:
        raise FlowBuildError(f'there is no schedule "{name}".{did_you_mean(str(name), SCHEDULES)}')
    return SCHEDULES[name]()
