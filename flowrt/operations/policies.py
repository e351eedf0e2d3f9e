"""What was asked for calls that fail, take too long or come too soon, as data; and how long a retry waits. `engine` carries it out."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from flowrt import users
from flowrt.errors import CallTimedOutError, FlowBuildError, OperationTimeoutError, check_count, check_seconds

if TYPE_CHECKING:
    from random import Random


OnError = Literal["fail", "skip", "route"]
ERROR_PORT = "error"
LONGEST_BACKOFF = 60.0  # seconds; arbitrary, and can be changed

CALLS_HANDLERS = True  # or predicates, backoffs: for observe/calls.py, which sees its frames
MAX_BUDGETS = 10_000  # arbitrary, and can be changed

Backoff = float | Callable[[int], float] | Callable[[int, BaseException], float]
"""Seconds, or a function of the number of the attempt that failed, and of its error if it takes two arguments."""
RetryOn = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], object]
"""Types of exceptions, or a function that says of one whether to call again."""


@frozen
class Retry:
    """Call again after a failure."""

    attempts: int  # calls at most, the first included
    # Seconds: the wait before the n-th retry is drawn evenly from 0 to backoff * 2 ** (n - 1) ("full jitter": retries of many messages do not
    # come in step; Brooker, AWS Architecture Blog, 2015). Or a function of n that returns the seconds.
    backoff: float | Callable[..., Any]
    longest: float  # the wait at most, in seconds
    # Exceptions; calls given up for their time count as `OperationTimeoutError` (or `TimeoutError`, but not as `OSError`). Or a predicate.
    on: tuple[type[BaseException], ...] | Callable[[BaseException], object]
    sees_error: bool = False  # the function `backoff` takes the error, too

    def applies(self, attempt: int, error: BaseException) -> bool:
        """Say whether to call again after the call number `attempt` has raised an error."""
        if attempt >= self.attempts or users.is_a(error, users.STOPS):
            return False
        if not isinstance(self.on, tuple):
            return bool(self.on(error))
        if users.is_a(error, CallTimedOutError):
            return TimeoutError in self.on or issubclass(OperationTimeoutError, self.on)
        return users.is_a(error, self.on)

    def wait(self, attempt: int, error: BaseException, rng: Random) -> float:
        """Return how many seconds to wait after the call number `attempt`, which raised an error; past what floats hold it is `longest`."""
        if callable(self.backoff):
            try:
                found = self.backoff(attempt, error) if self.sees_error else self.backoff(attempt)
                seconds = float(found)
            except OverflowError:
                return self.longest
            if math.isnan(seconds):
                raise FlowBuildError("a backoff returned nan. Return seconds: a number of 0 or more.")
            return max(0.0, min(seconds, self.longest))
        most = min(self.backoff * 2.0 ** min(attempt - 1, 64), self.longest)
        return rng.uniform(0.0, most)


@frozen
class Rate:
    """At most so many calls per second, up to `burst` of them at once: a token bucket."""

    per_second: float
    burst: int
    per: Callable[[Any], Any] | None = None  # the data → the key whose budget it takes
    max_keys: int = MAX_BUDGETS


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
    attempts = check_count(where, "attempts", attempts, "calls")
    sees_error = False
    if callable(backoff):
        sees_error = _takes_error(where, backoff)
    else:
        backoff = check_seconds(where, "backoff", backoff, zero=True)
    longest = check_seconds(where, "longest", longest, zero=True)
    if callable(on) and not isinstance(on, type):
        return Retry(attempts, backoff, longest, on, sees_error)
    kinds = on if isinstance(on, tuple) else (on,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise FlowBuildError(
            f"{where}: on is {users.told(on)}; give an exception type, a tuple of them, or a function that says of an error whether to call again."
        )
    return Retry(attempts, backoff, longest, kinds, sees_error)


def _takes_error(where: str, backoff: Callable[..., Any]) -> bool:
    """Say whether a function takes the error beside the number: as a second parameter without a default, or one named "error"."""
    try:
        parameters = inspect.signature(backoff).parameters.values()
    except (ValueError, TypeError):  # a built-in that has none
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [each for each in parameters if each.kind in kinds]
    any_number = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind in (*kinds, each.KEYWORD_ONLY)
    ]
    if (
        len(needed) > MOST_TAKEN
        or not (positional or any_number)
        or set(needed) - {each.name for each in positional}
    ):
        raise FlowBuildError(
            f"{where}: backoff takes {len(needed)} arguments; give seconds, or a function of the attempt's number, or of that and its error."
        )
    second = positional[1] if len(positional) > 1 else None
    return (any_number and second is None) or (
        second is not None and (second.default is second.empty or second.name == "error")
    )


MOST_TAKEN = 2  # by a backoff: the number of the attempt, and its error


def rate_of(where: str, per_second: Any, burst: Any, per: Any = None, max_keys: Any = MAX_BUDGETS) -> Rate:
    """Make a rate; `FlowBuildError` if it is none."""
    number = users.seconds_of(per_second)  # a number like those
    if not number or number == math.inf:
        raise FlowBuildError(
            f"{where}: per_second is {users.told(per_second)}; give a number of calls above 0, such as 0.5 for one in two seconds."
        )
    if per is not None and not callable(per):
        raise FlowBuildError(
            f"{where}: per is {users.told(per)}; give a function of the data that returns a key."
        )
    return Rate(
        number,
        check_count(where, "burst", burst, "calls"),
        per,
        check_count(where, "max_keys", max_keys, "keys"),
    )


def on_error_of(where: str, decision: Any) -> OnError:
    """Check what is to become of failed messages."""
    if decision not in ("fail", "skip", "route"):
        raise FlowBuildError(f'{where}: {decision!r} is none of "fail", "skip", "route".')
    found: OnError = decision
    return found
