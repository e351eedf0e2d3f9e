"""Time as a protocol: the deciding modules are given a clock and never reach for one."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """What the runtime asks of a clock. It never steps back, so that a changed system time disturbs nothing."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""
        ...
