"""What is measured of a place: its calls, their time; and from that how many messages a turn or a worker takes at once."""

from __future__ import annotations

from flowrt.messages import CHUNK_SIZE


class Meter:
    """The figures of one place, or of what several did as one. Written by the engine's thread, from what workers report."""

    __slots__ = ("busy", "calls", "shared")

    def __init__(self) -> None:
        self.calls: int = 0
        self.busy: float = 0.0
        # The meters of what this place took part in, by the meters of those that did: each adds their figures to its own.
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


QUANTUM = 0.001  # seconds of work per group or inline turn (docs/design.md: the best of those tried)
FLOOR = 0.0002  # seconds: smaller groups cost more in handing over than they gain in spreading
GROWTH = 8  # at most so many times the last group, so that one cheap item does not vouch for a thousand
DECAY = 0.3  # how fast the estimate follows cheaper calls; it jumps up at once
FASTEST = 1e-8  # seconds; below what the clock resolves
AHEAD = 1_024  # messages that workers may be ahead of the oldest unfinished one, where the order is restored; as a source's window by default
GROUPS_AHEAD = 4  # groups per worker, if that is more: of short calls several must fit in, or one slow one has the other workers wait


class Pace:
    """The service time of one place, estimated, and how many messages that makes a turn's work.

    Guarded by: nothing. Workers of one place write it concurrently: a lost update costs a slightly worse estimate.
    """

    __slots__ = ("allowed", "estimate")

    def __init__(self) -> None:
        self.estimate: float = 0.0
        self.allowed: int = 1

    def quota(self, backlog: int, workers: int = 1) -> int:
        """Say how many of `backlog` messages to take at once."""
        if not self.estimate:
            return 1
        share = max(min(QUANTUM / self.estimate, backlog / workers), FLOOR / self.estimate)
        return max(1, min(int(share), self.allowed, CHUNK_SIZE))

    def ahead(self, workers: int) -> int:
        """Say how far workers may be ahead of the oldest unfinished message, where the order is restored."""
        if not self.estimate:
            return AHEAD
        group = min(int(QUANTUM / self.estimate), self.allowed, CHUNK_SIZE)
        return max(AHEAD, GROUPS_AHEAD * workers * group)

    def is_little(self, messages: int) -> bool:
        """Say whether messages make no more than one group."""
        return 0.0 < self.estimate * messages <= QUANTUM and messages <= self.allowed

    def is_short(self, messages: int) -> bool:
        """Say whether messages are known to be too little work for spreading them to gain anything."""
        return 0.0 < self.estimate * messages < FLOOR

    def took(self, messages: int, seconds: float) -> None:
        """Learn from a group."""
        each = max(seconds / messages, FASTEST) if messages else FASTEST
        if each > self.estimate:
            self.estimate = each
        else:
            self.estimate += DECAY * (each - self.estimate)
        self.allowed = max(self.allowed, messages * GROWTH)
