"""How soon calls may begin: the budgets of a place whose calls are rated, one for all its messages or one for each key."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.operations.policies import Rate


FULL = 1.0 - 1e-9  # of a token: what rounding takes away must not cost another wait


class TokenBucket:
    """The tokens of one place, or of one key there; full at first."""

    __slots__ = ("_filled", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._filled = now

    def wait(self, now: float) -> float:
        """Return in how many seconds there is a token; 0 if there is one."""
        return self._until(1.0, now)

    def wait_full(self, now: float) -> float:
        """Return in how many seconds it is as good as a new one; 0 if it is."""
        return self._until(float(self._rate.burst), now)

    def _until(self, tokens: float, now: float) -> float:
        self._fill(now)
        missing = tokens - self._tokens
        return missing / self._rate.per_second if missing > 1.0 - FULL else 0.0

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        earned = (now - self._filled) * self._rate.per_second
        self._tokens = min(self._tokens + max(earned, 0.0), float(self._rate.burst))
        self._filled = max(now, self._filled)


class Budgets:
    """A budget for each key, for so many keys at once as the rate says.

    A budget that is full again is forgotten, for a new one is the same. While that many are not full a message of a further key waits.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[Hashable, TokenBucket] = {}  # what a call was made of last comes last

    def wait(self, key: Hashable, now: float) -> float:
        """Return in how many seconds a call of this key may begin; 0: now."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            return bucket.wait(now)
        while len(self._buckets) >= self._rate.max_keys:
            oldest = next(iter(self._buckets))
            if wait := self._buckets[oldest].wait_full(now):
                return wait
            del self._buckets[oldest]
        return 0.0

    def take(self, key: Hashable, now: float) -> None:
        bucket = self._buckets.pop(key, None) or TokenBucket(self._rate, now)
        bucket.take(now)
        self._buckets[key] = bucket
