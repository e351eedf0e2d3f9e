"""Figures: what became of every message of a run, and how busy each operation was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from flowrt.messages import ABSORBED, DELIVERED, DISCARDED, ENDS, FAILED, UNCONNECTED

if TYPE_CHECKING:
    from flowrt.engine.engine import Engine
    from flowrt.engine.places import Place
    from flowrt.messages import RunBooks, Scope


LIVE = "live"
HELD = "held"
ELSEWHERE = "on its way"  # live, and not found in any queue: being worked on, or on the way back


@frozen
class LedgerRow:
    """One figure and where it comes from; `what` is "in", "born", how messages ended, or "live" or "held" while they have not."""

    place: str
    what: str
    reason: str
    count: int


@frozen(repr=False)
class Ledger:
    """What became of every message of a run, at one moment.

    `accepted + born` equals the sum of the ends and of what is `live` and `held`: `balanced` says so. `places` holds the rows
    behind each figure; of what is live or held, where it is.
    """

    title: str
    places: tuple[LedgerRow, ...]
    live: int
    held: int

    def _total(self, what: str) -> int:
        return sum(row.count for row in self.places if row.what == what)

    @property
    def accepted(self) -> int:
        return self._total("in")

    @property
    def born(self) -> int:
        return self._total("born")

    @property
    def delivered(self) -> int:
        return self._total(DELIVERED)

    @property
    def absorbed(self) -> int:
        return self._total(ABSORBED)

    @property
    def failed(self) -> int:
        return self._total(FAILED)

    @property
    def unconnected(self) -> int:
        return self._total(UNCONNECTED)

    @property
    def discarded(self) -> int:
        return self._total(DISCARDED)

    @property
    def balanced(self) -> bool:
        ended = sum(self._total(what) for what in ENDS)
        return self.accepted + self.born == ended + self.live + self.held

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        terms = [(self._total(what), what) for what in ENDS] + [(self.live, LIVE), (self.held, HELD)]
        right = " + ".join(f"{what} {number}" for number, what in terms if number) or "0"
        lines = [f"{self.title}: in {self.accepted} + born {self.born} = {right}"]
        width = max((len(row.place) for row in self.places), default=0)
        for row in self.places:
            reason = f" ({row.reason})" if row.reason else ""
            lines.append(f"  {row.place:<{width}}  {row.what} {row.count}{reason}")
        return "\n".join(lines)


def ledger_of(run: RunBooks, title: str, whereabouts: Iterable[tuple[str, int]] = ()) -> Ledger:
    """Take a picture of a run's books; exact on the engine's thread or once the run has ended.

    Args:
        run: whose books.
        title: in front of the balance.
        whereabouts: (place or port, messages): where the live ones are.
    """
    rows = [LedgerRow(where, "in", "", number) for where, number in list(run.accepted.items())]
    rows += [LedgerRow(where, "born", "", number) for where, number in list(run.births.items()) if number]
    rows += [
        LedgerRow(where, what, reason, number) for (what, where, reason), number in list(run.ends.items())
    ]
    scopes = [run, *list(run.open_scopes)]
    live = sum(scope.live for scope in scopes)
    rows += _live_rows(live, whereabouts)
    rows += _held_rows(scopes)
    return Ledger(title, tuple(rows), live, held_in(run))


def whereabouts_of(engine: Engine, run: RunBooks) -> list[tuple[str, int]]:
    """Say at which place or port how many live messages of a run are. Engine's thread."""
    found = engine.traffic.whereabouts({run})[run]
    return found + [(source.place.name, 1) for source in engine.sources if source.scope.run is run]


def held_in(run: RunBooks) -> int:
    """Count what operations hold of a run."""
    return sum(scope.held + sum((scope.gathered or {}).values()) for scope in (run, *run.open_scopes))


def _live_rows(live: int, whereabouts: Iterable[tuple[str, int]]) -> list[LedgerRow]:
    found: Counter[str] = Counter()
    for where, messages in whereabouts:
        known = min(messages, live)
        live -= known
        found[where] += known
    found[ELSEWHERE] += live
    return [LedgerRow(where, LIVE, "", messages) for where, messages in found.items() if messages]


def _held_rows(scopes: list[Scope]) -> list[LedgerRow]:
    found: Counter[tuple[str, str]] = Counter()
    for scope in scopes:
        for place, parts in list((scope.parts or {}).items()):
            found[place.name, ""] += len(parts)
        for place, messages in list((scope.gathered or {}).items()):
            found[place.name, "its list is not complete"] += messages
    return [LedgerRow(where, HELD, reason, number) for (where, reason), number in found.items() if number]


@frozen
class MeterRow:
    """How busy one operation was."""

    place: str  # its full name
    mode: str  # "sync", "async" or "parallel(n)"
    calls: int  # inputs worked on (for a generator: items pulled, and inputs)
    busy: float  # seconds spent in its calls, all threads together


def row_of(place: Place) -> MeterRow:
    """Return what a place has done so far."""
    return MeterRow(place.name, str(place.declaration.mode), *place.meter.total())
