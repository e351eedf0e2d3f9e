"""Time: the clock as a protocol, and what is due when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from attrs import define


class Clock(Protocol):
    """What the runtime asks of a clock. It never steps back, so that a changed system time disturbs nothing."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""


CANCELLED_KEPT = 64  # arbitrary; beyond it, and beyond half of all, cancelled timers are thrown out


@define(eq=False)
class Timer:
    """A call that will be made once, unless it is cancelled before."""

    due: float
    call: Callable[[], None] | None
    limit: bool = False  # it gives up a call that is still under way, and does nothing else


class Timers:
    """Calls by the moment they are due; of one moment in the order in which they were asked for.

    Called on: the engine's thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count().__next__
        self._cancelled = 0

    def __len__(self) -> int:
        """How many calls are still to be made."""
        return len(self._heap) - self._cancelled

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Have a call made so many seconds from now."""
        return self.at(self._clock.now() + seconds, call)

    def limit(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Have a call made so many seconds from now which gives up what is still under way then."""
        timer = self.after(seconds, call)
        timer.limit = True
        return timer

    def next_but_limits(self) -> float | None:
        """When the next call is due that does something though nothing is under way; None if there is none. For simulations: it looks at all."""
        return min(
            (timer.due for _, _, timer in self._heap if timer.call is not None and not timer.limit),
            default=None,
        )

    def at(self, moment: float, call: Callable[[], None]) -> Timer:
        """Have a call made at a moment; at once, if it has passed."""
        timer = Timer(moment, call)
        heappush(self._heap, (moment, self._number(), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Do not make a call any more; nothing if it was made."""
        if timer.call is None:
            return
        timer.call = None
        self._cancelled += 1
        if self._cancelled > CANCELLED_KEPT and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapify(self._heap)
            self._cancelled = 0

    @property
    def next_due(self) -> float | None:
        """When the next call is due; None if there is none."""
        heap = self._heap
        while heap and heap[0][2].call is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def fire(self) -> bool:
        """Make the calls that are due now, not those they ask for; say whether there were any."""
        last, now, fired = self._number(), self._clock.now(), False
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] < last:
            timer = heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._cancelled -= 1
            else:
                fired = True
                call()
        return fired

    def clear(self) -> None:
        self._heap.clear()
        self._cancelled = 0
