"""Counters that the engine fills: what was called how often, and how long it took."""

from __future__ import annotations

from attrs import frozen


class Meter:
    """The figures of one place. Written by the engine's thread, from what workers report."""

    __slots__ = ("busy", "calls")

    def __init__(self) -> None:
        self.calls = 0
        self.busy = 0.0


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
