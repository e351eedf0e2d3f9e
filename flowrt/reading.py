"""Reading what any run has brought: results and failures in order of arrival, and the end of all work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flowrt.errors import FlowStalledError, FlowTimeoutError, counted
from flowrt.runs import Arrived, Results, waiting_inside

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.messages import Message


class Reading:
    """The waits of the runtime itself; those of one run are the run's.

    Called on: any thread but the engine's and the workers', which would wait for themselves.
    """

    def __init__(self, driver: Driver, results: Results) -> None:
        self._driver = driver
        self._results = results

    def next_result(self, timeout: float | None, *, until_idle: bool) -> Message | None:
        """Take the next result, or raise the next failure; None past the timeout, or (`until_idle`) when there will be none."""
        driver = self._driver
        taken: list[Arrived | Message] = []
        idle: list[bool] = []

        def ready() -> bool:
            was_idle = bool(idle)  # before the look
            if not taken:
                found = self._results.take()
                if found is not None:
                    taken.append(found)
            return bool(taken) or was_idle

        if not ready():
            self._refuse_waiting("for a result", timeout)
            forget = self._tell_when_idle(idle) if until_idle else None
            try:
                driver.wait_until(ready, timeout, helps=True)
            finally:
                if forget is not None:
                    forget()
        if taken:
            return _given(taken[0])
        driver.raise_fatal()
        if until_idle and (idle or driver.stopped):
            return None
        if driver.stopped:
            raise driver.stopped_error()
        if until_idle:
            raise FlowTimeoutError(
                f'runtime "{driver.name}": no result came within {timeout} s, and there is still work under way.'
            )
        return None

    def wait_idle(self, timeout: float | None) -> None:
        """Wait until every run is done."""
        driver = self._driver
        idle: list[bool] = []
        self._refuse_waiting("until the runtime is idle", timeout)
        if driver.stopped:
            return
        forget = self._tell_when_idle(idle)
        try:
            driver.wait_until(lambda: bool(idle), timeout, helps=True)
        finally:
            forget()
        if not idle and not driver.stopped:
            live = counted(driver.engine.books.live, "message")
            raise FlowTimeoutError(f'runtime "{driver.name}" was not idle within {timeout} s: {live} live.')
        driver.raise_fatal()

    def _tell_when_idle(self, idle: list[bool]) -> Callable[[], None]:
        """Have the engine say when nothing is left to do; return what ends that."""

        def tell() -> None:
            idle.append(True)
            self._driver.changed.wake()

        self._driver.post(self._driver.when_idle, tell)
        return lambda: None if idle else self._driver.post(self._driver.no_more, tell)

    def _refuse_waiting(self, what: str, timeout: float | None) -> None:
        driver = self._driver
        if driver.inside():
            raise FlowStalledError(waiting_inside(what))
        if driver.dispatching.dispatchers and timeout != 0 and not driver.stopped:
            driver.dispatching.refuse_wait(driver.name, what)


def _given(found: Arrived | Message) -> Message:
    if not isinstance(found, Arrived):
        return found
    if found.failure is None:
        raise AssertionError("unreachable: an entry without messages is a failure")
    raise found.failure
