"""How a row is measured: contenders take turns, every repetition is verified, and medians of ratios are compared with what must be reached."""

from __future__ import annotations

import gc
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import TypeVar

from attrs import field, frozen

T = TypeVar("T")
Sample = Callable[[], float]  # does the work once, verifies what came out, and returns its figure
Open = Callable[[], AbstractContextManager[Sample]]  # makes ready what a sample needs; not measured
NOT_INSTALLED = "not installed"


class WrongResultError(Exception):
    """What was measured did not do its work."""


@frozen
class Scale:
    """How much work is done: all of it, or a part, to try things out."""

    part: float = 1.0

    def __call__(self, amount: int, least: int = 1) -> int:
        return max(least, round(amount * self.part))


@frozen
class Contender:
    """One way to do the work of a row. `peer`: the module it needs, where that is not ours or Python's."""

    name: str
    open: Open
    peer: str = ""

    @property
    def installed(self) -> bool:
        return not self.peer or importlib.util.find_spec(self.peer) is not None


@frozen
class Claim:
    """A line of the table: one contender beside another, or (`beside` empty) its figure alone.

    `limit`: the ratio, or figure, that must not be exceeded; None where nothing is promised.
    """

    mine: str
    beside: str = ""
    limit: float | None = None
    must: str = "–"


@frozen
class Row:
    """Work, those who do it, and what is claimed."""

    name: str
    work: str
    unit: str
    contenders: tuple[Contender, ...]
    claims: tuple[Claim, ...]


@frozen
class Verdict:
    """What became of a claim. `ratio` None: somebody was not installed."""

    claim: Claim
    ratio: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        if self.ratio is None or self.claim.limit is None:
            return None
        return self.ratio <= self.claim.limit


@frozen
class Measured:
    """A row with its samples: by contender, in order of the rounds."""

    row: Row
    samples: dict[str, list[float]]
    missing: tuple[str, ...] = field(default=())

    def verdicts(self) -> list[Verdict]:
        return [self._verdict(claim) for claim in self.row.claims]

    def _verdict(self, claim: Claim) -> Verdict:
        if claim.mine in self.missing or claim.beside in self.missing:
            return Verdict(claim)
        ratios = self.samples[claim.mine]
        if claim.beside:
            ratios = [mine / other for mine, other in zip(ratios, self.samples[claim.beside], strict=True)]
        return Verdict(claim, median(ratios), min(ratios), max(ratios))


def measure(row: Row, rounds: int) -> Measured:
    """Let the contenders of a row take turns, in another order each round; what they need is made anew each time."""
    present = [contender for contender in row.contenders if contender.installed]
    samples: dict[str, list[float]] = {contender.name: [] for contender in present}
    for number in range(rounds):
        turn = number % len(present) if present else 0
        for contender in [*present[turn:], *present[:turn]]:
            with contender.open() as sample:
                gc.collect()
                samples[contender.name].append(sample())
    missing = tuple(contender.name for contender in row.contenders if not contender.installed)
    return Measured(row, samples, missing)


def verify(found: object, expected: object) -> None:
    """Refuse a wrong result, without printing a million numbers."""
    if found != expected:
        raise WrongResultError(f"expected {str(expected)[:200]}, found {str(found)[:200]}")


def timed(work: Callable[[], T], check: Callable[[T], None], per: int = 1) -> Sample:
    """Return a sample: the seconds that the work takes, per piece of it. The check is not measured."""

    def sample() -> float:
        started = time.perf_counter()
        found = work()
        taken = time.perf_counter() - started
        check(found)
        return taken / per

    return sample


def equal_to(expected: object) -> Callable[[object], None]:
    """Return a check."""
    return lambda found: verify(found, expected)


def same_items(expected: list[int]) -> Callable[[list[int]], None]:
    """Return a check that takes any order."""
    return lambda found: verify(sorted(found), expected)


def plainly(sample: Sample) -> Open:
    """Open what needs nothing."""

    @contextmanager
    def ready() -> Iterator[Sample]:
        yield sample

    return ready


def slope(of: Callable[[int], AbstractContextManager[Sample]], low: int, high: int) -> Open:
    """Open a sample of what one more of something costs, beyond what all pay once."""

    @contextmanager
    def ready() -> Iterator[Sample]:
        with of(low) as short, of(high) as long:
            yield lambda: -(short() - long()) / (high - low)

    return ready


def claims(mine: str, others: Sequence[str], limit: float | None, must: str) -> tuple[Claim, ...]:
    """Claim the same beside several."""
    return tuple(Claim(mine, other, limit, must) for other in others)
