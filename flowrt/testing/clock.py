"""A clock that only moves when told to."""

from __future__ import annotations

from flowrt.errors import FlowError


class FakeClock:
    """Stands still until somebody moves it. Safe to read on any thread."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

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
