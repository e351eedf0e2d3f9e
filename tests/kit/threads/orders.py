"""Orders in which threads take turns: by priorities, at random, or exactly as told. See tests/schedules.py.

`Pct`: probabilistic concurrency testing. Threads have random priorities, and at d-1 random steps the running one falls behind all others; that
finds a bug of depth d among n threads in k steps with a probability of at least 1/(n*k^(d-1)), and in practice far more often.
`Walk`: a random thread after a random number of steps.
`Deviations`: exactly those from the default, which is: a thread runs until it waits, then the next one does.

The same order gives the same trace, as long as the bytecode is the same.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from attrs import field, frozen

TIME = -1  # stands among the threads for "time passes"
TICKS = (0.0, 1e-6, 1e-5, 1e-4)  # seconds per step: from calls that take no time to calls of milliseconds
NEVER = 1 << 60


class Order(Protocol):
    """Decides who runs.

    Attributes:
        tick: seconds that an opcode takes.
    """

    @property
    def tick(self) -> float: ...

    def begin(self) -> Chooser:
        """Start from the beginning."""
        ...


class Moment(NamedTuple):
    """Where a schedule is: after how many steps, who runs, and how many of them were its own."""

    steps: int
    running: int
    own: int


class Chooser(Protocol):
    """One run of an order."""

    def next_stop(self, now: Moment) -> int:
        """Return the number of steps after which to be asked next though the running thread could go on."""
        ...

    def choose(self, now: Moment, able: list[int], *, timed: bool) -> int:
        """Return one of those able to run; or TIME, if `timed`."""
        ...


def default(able: list[int], running: int) -> int:
    """Whoever runs goes on; after it the next in turn."""
    if running in able:
        return running
    return next((index for index in able if index > running), able[0])


@frozen
class _Seeded:
    seed: int

    @property
    def tick(self) -> float:
        return random.Random(self.seed).choice(TICKS)


@frozen
class Pct(_Seeded):
    """Probabilistic concurrency testing."""

    depth: int
    length: int

    def begin(self) -> Chooser:
        return _PctChooser(self)


class _PctChooser:
    def __init__(self, order: Pct) -> None:
        self._rng = random.Random(f"pct {order}")
        self._priorities: dict[int, float] = {}
        changes = (self._rng.randint(1, max(order.length, 1)) for _ in range(order.depth - 1))
        self._changes = deque(sorted(changes))

    def next_stop(self, now: Moment) -> int:
        return self._changes[0] if self._changes else NEVER

    def choose(self, now: Moment, able: list[int], *, timed: bool) -> int:
        while self._changes and now.steps >= self._changes[0]:
            self._changes.popleft()
            if timed and self._rng.random() < 0.3:
                return TIME
            self._priorities[now.running] = self._rng.random()
        for index in able:
            if index not in self._priorities:
                self._priorities[index] = 1.0 + self._rng.random()
        return max(able, key=self._priorities.__getitem__)


@frozen
class Walk(_Seeded):
    """A random walk."""

    stride: int = 40  # opcodes between two changes, on average

    def begin(self) -> Chooser:
        return _WalkChooser(self)


class _WalkChooser:
    def __init__(self, order: Walk) -> None:
        self._rng = random.Random(f"walk {order}")
        self._stride = order.stride
        self._stop = 0

    def next_stop(self, now: Moment) -> int:
        if now.steps >= self._stop:
            self._stop = now.steps + 1 + int(self._rng.expovariate(1 / self._stride))
        return self._stop

    def choose(self, now: Moment, able: list[int], *, timed: bool) -> int:
        if timed and self._rng.random() < 0.05:
            return TIME
        if now.steps < self._stop and now.running in able and self._rng.random() < 0.7:
            return now.running
        return self._rng.choice(able)


@frozen
class Deviations:
    """The default order, but for what happens at the n-th step of a thread: {(thread, n): who runs then, or TIME}."""

    at: Mapping[tuple[int, int], int] = field(factory=dict)
    tick: float = 0.0

    def begin(self) -> Chooser:
        return _DeviationsChooser(self.at)


class _DeviationsChooser:
    def __init__(self, at: Mapping[tuple[int, int], int]) -> None:
        self._at = at

    def next_stop(self, now: Moment) -> int:
        steps = [n - now.own for index, n in self._at if index == now.running and n > now.own]
        return now.steps + min(steps) if steps else NEVER

    def choose(self, now: Moment, able: list[int], *, timed: bool) -> int:
        wanted = self._at.get((now.running, now.own))
        if wanted in able or (wanted == TIME and timed):
            return wanted
        return default(able, now.running)


class Recorder:
    """The default order, noting what else could have happened: (thread, its step, who could have run instead)."""

    tick = 0.0

    def __init__(self) -> None:
        self.others: list[tuple[int, int, int]] = []

    def begin(self) -> Chooser:
        return self

    def next_stop(self, now: Moment) -> int:
        return now.steps + 1

    def choose(self, now: Moment, able: list[int], *, timed: bool) -> int:
        chosen = default(able, now.running)
        self.others += [(now.running, now.own, other) for other in able if other != chosen]
        return chosen


def orders(schedules: int, length: int, seed: int = 0) -> Iterator[Order]:
    """Three of four by priorities, with one to three changes of them; the rest random walks."""
    for number in range(seed, seed + schedules):
        yield Walk(number) if number % 4 == 3 else Pct(number, 2 + number % 4, length)
