"""The operation as a component: in-ports are methods, out-ports are called like functions, and the state is the object's."""

from __future__ import annotations

from flowrt import in_port, out_port


class Trend:
    """Say by how much a number is above or below the one before."""

    up = out_port()
    down = out_port()

    def __init__(self) -> None:
        self._before: float | None = None

    @in_port(name="")
    def number(self, number: float) -> None:
        """Compare a number with the one before."""
        if self._before is not None and number > self._before:
            self.up(number - self._before)
        elif self._before is not None and number < self._before:
            self.down(self._before - number)
        self._before = number

    @in_port
    def reset(self, _: object) -> None:
        """Take the next number for the first."""
        self._before = None
