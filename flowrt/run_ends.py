"""How runs end: by themselves, cancelled, overloaded, stalled; whoever waits for them is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrt.failures import stalled_error

if TYPE_CHECKING:
    from flowrt.errors import FlowError
    from flowrt.failures import Failures
    from flowrt.ledger import Books
    from flowrt.routes import Routes
    from flowrt.scopes import RunBooks
    from flowrt.sources import Sources
    from flowrt.traffic import Traffic
    from flowrt.wakes import Wakes


class RunEnds:
    """What the engine does when runs end.

    Called on: the engine's thread.
    """

    books: Books
    routes: Routes
    traffic: Traffic
    failures: Failures
    sources: Sources
    wakes: Wakes

    def _done(self, run: RunBooks) -> None:
        self._tell_finished(run, run.unfinished)

    def _fail_run(self, run: RunBooks, error: BaseException) -> None:
        if run.handle is None:
            self.failures.stray.append(error)
        else:
            run.handle.tell_failed(error)

    def _overload(self, run: RunBooks, error: FlowError) -> None:
        if not run.ended:
            run.handle.tell_failed(error)
            self.abandon(run, "the run was overloaded", None)

    def abandon(self, run: RunBooks, why: str, reason: FlowError | None) -> int:
        """End a run before its time; return how many messages had to be discarded."""
        return 0 if run.ended else self._abandon({run}, why, reason)

    def abandon_all(self, why: str, reason: FlowError | None) -> int:
        """End every run before its time."""
        return self._abandon(set(self.books.runs), why, reason)

    def _abandon(self, runs: set[RunBooks], why: str, reason: FlowError | None) -> int:
        failed: BaseException | None = None
        try:
            found = self.traffic.whereabouts(runs)
        except BaseException as error:  # they end all the same, without places
            found, failed = {run: [] for run in runs}, error
        discarded = 0
        operations = [place for place in self.routes.all_places() if place.operation is not None]
        guards = [place.guard for place in self.routes.all_places() if place.guard is not None]
        for run in sorted(runs, key=lambda each: each.number):
            found[run] += self.sources.drop(run)
            self.wakes.drop(run)
            for place in operations:
                try:
                    place.operation.cancelled(place.state, run)
                except BaseException as error:
                    self.failures.contain(f'the end of a run in operation "{place.name}"', error)
            discarded += self.books.abandon(run, found[run], why)
            for guard in guards:
                guard.drop(run)
            self._tell_finished(run, reason)
        if failed is not None:
            raise failed
        return discarded

    def _tell_finished(self, run: RunBooks, reason: BaseException | None) -> None:
        handle, run.handle = run.handle, None  # so that a run that is over and its handle keep nothing alive
        if handle is not None:  # else it was told when the engine was given up
            handle.tell_finished(reason)

    def fail_stalled(self, explanation: object) -> None:
        """End what can never move, with an error that says where it is: a bug, or an operation that breaks its contract."""
        for run in list(self.books.runs):
            run.handle.tell_failed(stalled_error(run, explanation))
            self.abandon(run, "the run had stalled", None)
