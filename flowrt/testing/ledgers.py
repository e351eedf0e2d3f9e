"""Whether the books of runs balance: of one, and of every run in a stretch of a test."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from flowrt.runtime.run import Run
from flowrt.testing.inside import is_inside

if TYPE_CHECKING:
    from flowrt.observe.figures import Ledger


def balances(ledger: Ledger) -> bool:
    """Say whether the books of a run that is over balance, and nothing is left in it."""
    return ledger.balanced and not ledger.live and not ledger.held


class LedgerWatch:
    """A context manager that raises an AssertionError if a run ends in it whose books do not balance.

    Every runtime is watched, whoever made it, from its first run within the block on. It sees runs when they end: at the latest when
    their runtime is closed, which is to happen before the block is left.

    Not for tests that run at the same time in several threads of one process.
    """

    def __init__(self) -> None:
        self._faults: list[str] = []

    def __enter__(self) -> Self:
        self._usual = Run.tell_finished
        watch, usual = self, self._usual

        def tell_finished(run: Run, reason: BaseException | None) -> None:
            watch._look_at(run)
            usual(run, reason)

        Run.tell_finished = tell_finished  # type: ignore[method-assign, assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, body: BaseException | None, trace: TracebackType | None
    ) -> None:
        Run.tell_finished = self._usual  # type: ignore[method-assign]
        if self._faults and body is None:
            raise AssertionError("\n".join(["the books of a run do not balance:", *self._faults]))

    def _look_at(self, run: Run) -> None:
        # An engine that did not return was given up, its books as they were; a run that never began has none.
        if is_inside(run) and run.books is not None and not balances(ledger := run.ledger):
            self._faults.append(str(ledger))
