"""Clocks that only move when told to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import local

from flowrt.errors import FlowError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeClock:
    """Stands still until somebody moves it. Safe to read on any thread."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def time(self) -> datetime:
        """Return the date and time: so many seconds after 1970 began, in UTC."""
        return EPOCH + timedelta(seconds=self.now())

    def advance(self, seconds: float) -> None:
        """Let seconds pass."""
        if seconds < 0:
            raise FlowError(f"a clock never steps back; got {seconds} s.")
        self._now += seconds

    def advance_to(self, moment: float) -> None:
        """Let time pass until a moment; one that has passed already changes nothing."""
        self._now = max(self._now, moment)

    def sleep(self, seconds: float) -> None:
        """Take time, as `time.sleep` does: let seconds pass. In a simulation they pass for the call that sleeps, beside all others."""
        self.advance(seconds)


class SimulatedClock(FakeClock):
    """Time passes for a call that sleeps without passing for those beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead: float | None = None  # of the call being performed

    def now(self) -> float:
        return self._now + (self._ahead or 0.0)

    def sleep(self, seconds: float) -> None:
        if self._ahead is None:
            self.advance(seconds)
        else:
            self._ahead += seconds

    def perform(self, work: Callable[[], None]) -> float:
        """Have a call perform; return when it is over."""
        self._ahead = 0.0
        try:
            work()
        finally:
            ended = self.now()
            self._ahead = None
        return ended


class _InUse(local):
    clock: SimulatedClock | None = None


# Of the simulation that this call is a part of. No context variable: a call sees those of who sent its message.
IN_USE = _InUse()
