"""Counters that the engine fills: what was called how often, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from flowrt.places import OperationPlace


class Meter:
    """The figures of one place, or of what several did as one. Written by the engine's thread, from what workers report.

    Attributes:
        shared: the meters of what this place took part in, by the places that did; each of these adds their figures to its own.
    """

    __slots__ = ("busy", "calls", "shared")

    def __init__(self) -> None:
        self.calls = 0
        self.busy = 0.0
        self.shared: dict[object, Meter] = {}

    def total(self) -> tuple[int, float]:
        """Return calls and seconds; any thread."""
        meters = (self, *list(self.shared.values()))
        return sum(meter.calls for meter in meters), sum(meter.busy for meter in meters)


def shared_meter(meters: tuple[Meter, ...]) -> Meter:
    """Return the one meter of places that do something as one, given theirs."""
    shared = meters[0].shared.get(meters) or Meter()
    for meter in meters:
        meter.shared[meters] = shared
    return shared


@frozen
class MeterRow:
    """How busy one operation was.

    Attributes:
        place: its full name.
        mode: "sync", "async" or "parallel(n)".
        calls: inputs worked on (for a generator: items pulled, and inputs).
        busy: seconds spent in its calls, all threads together.
    """

    place: str
    mode: str
    calls: int
    busy: float


def row_of(place: OperationPlace) -> MeterRow:
    """Return what a place has done so far."""
    return MeterRow(place.name, str(place.declaration.mode), *place.meter.total())
