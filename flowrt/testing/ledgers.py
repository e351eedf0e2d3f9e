"""Watches the books of every run in a stretch of a test."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from flowrt.runtime.run import Run
from flowrt.runtime.wiring import owner_of


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
        if not owner_of(run).inside():  # an engine that did not return was given up, its books as they were
            return
        ledger = run._picture()
        if not ledger.balanced or ledger.live or ledger.held:
            self._faults.append(str(ledger))
