"""A run as a `concurrent.futures.Future`, for whoever works with those."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowrt.runtime.run import Run


class RunFuture(Future[Any]):
    """Done when its run is."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def cancel(self) -> bool:
        """Cancel the run as well, if it is not done yet; say whether that was so."""
        cancelled = super().cancel()
        if cancelled:
            self._run.cancel()
        return cancelled

    def settle(self, run: Run) -> None:
        """Take over what became of the run."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            data = run.result().data
        except BaseException as error:  # an interrupt, too: it is told where the future is read
            self.set_exception(error)
        else:
            self.set_result(data)


def future_of(run: Run) -> RunFuture:
    """Return a future of the data of a run's first result."""
    future = RunFuture(run)
    run.add_done_callback(future.settle)
    return future
