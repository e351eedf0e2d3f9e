"""What was asked for calls that fail, take too long or come too soon, as data; and how long a retry waits. `engine` carries it out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from flowrt.errors import CallTimedOutError, FlowBuildError, OperationTimeoutError, check_count

if TYPE_CHECKING:
    from random import Random


OnError = Literal["fail", "skip", "route"]
ERROR_PORT = "error"
LONGEST_BACKOFF = 60.0  # seconds; arbitrary, and can be changed

Backoff = float | Callable[[int], float]


@frozen
class Retry:
    """Call again after a failure."""

    attempts: int  # calls at most, the first included
    # Seconds: the wait before the n-th retry is drawn evenly from 0 to backoff * 2 ** (n - 1) ("full jitter": retries of many messages do not
    # come in step; Brooker, AWS Architecture Blog, 2015). Or a function of n that returns the seconds.
    backoff: Backoff
    longest: float  # the wait at most, in seconds
    # Exceptions; calls given up for their time count as `OperationTimeoutError` (or `TimeoutError`, but not as `OSError`).
    on: tuple[type[BaseException], ...]

    def applies(self, attempt: int, error: BaseException) -> bool:
        """Say whether to call again after the call number `attempt` has raised an error."""
        if attempt >= self.attempts or isinstance(error, SystemExit | KeyboardInterrupt):
            return False
        if isinstance(error, self.on):
            return True
        on_timeouts = TimeoutError in self.on or issubclass(OperationTimeoutError, self.on)
        return on_timeouts and isinstance(error, CallTimedOutError)

    def wait(self, attempt: int, rng: Random) -> float:
        """Return how many seconds to wait after the call number `attempt`."""
        if callable(self.backoff):
            return max(0.0, min(float(self.backoff(attempt)), self.longest))
        most = min(self.backoff * 2.0 ** min(attempt - 1, 64), self.longest)
        return rng.uniform(0.0, most)


@frozen
class Rate:
    """At most so many calls per second, up to `burst` of them at once: a token bucket."""

    per_second: float
    burst: int


@frozen
class Policies:
    """What holds for the calls of one operation."""

    retry: Retry | None = None
    timeout: float | None = None
    on_error: OnError = "fail"
    rate: Rate | None = None

    @property
    def guarded(self) -> bool:
        """Whether its messages are handed over one by one, so that each call can be decided about."""
        return self.retry is not None or self.timeout is not None or self.rate is not None


NO_POLICIES = Policies()


def retry_of(where: str, attempts: Any, backoff: Any, longest: Any, on: Any) -> Retry:
    """Make a retry policy; `FlowBuildError` if it is none."""
    check_count(where, "attempts", attempts, "calls")
    backoff = backoff if callable(backoff) else seconds_of(where, "backoff", backoff, zero=True)
    longest = seconds_of(where, "longest", longest, zero=True)
    kinds = on if isinstance(on, tuple) else (on,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise FlowBuildError(f"{where}: on is {on!r}; give an exception type, or a tuple of them.")
    return Retry(attempts, backoff, longest, kinds)


def rate_of(where: str, per_second: Any, burst: Any) -> Rate:
    """Make a rate; `FlowBuildError` if it is none."""
    if not _is_number(per_second) or not per_second > 0:
        raise FlowBuildError(
            f"{where}: per_second is {per_second!r}; give a number of calls above 0, such as 0.5 for one in two seconds."
        )
    check_count(where, "burst", burst, "calls")
    return Rate(float(per_second), burst)


def on_error_of(where: str, decision: Any) -> OnError:
    """Check what is to become of failed messages."""
    if decision not in ("fail", "skip", "route"):
        raise FlowBuildError(f'{where}: {decision!r} is none of "fail", "skip", "route".')
    found: OnError = decision
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def seconds_of(where: str, what: str, value: Any, *, zero: bool = False) -> float:
    """Check a number of seconds, above 0 unless `zero` will do."""
    if not _is_number(value) or value < 0 or (value == 0 and not zero):
        bound = "of 0 or more" if zero else "above 0"
        raise FlowBuildError(f"{where}: {what} is {value!r}; give a number of seconds {bound}.")
    return float(value)
