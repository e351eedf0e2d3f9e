"""Runs, as the engine has them: opened (also for emissions that come after their call), fed, cut short, ended; whoever waits is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from flowrt.engine.failures import stalled_error
from flowrt.messages import Context
from flowrt.operations.bodies import Unmade

if TYPE_CHECKING:
    from contextvars import Context as ContextVariables

    from flowrt.engine.chunks import Chunk
    from flowrt.engine.ledger import Books
    from flowrt.engine.places import Place
    from flowrt.engine.sources import Sources
    from flowrt.engine.traffic import Traffic
    from flowrt.engine.wakes import Wakes
    from flowrt.errors import FlowError
    from flowrt.messages import RunBooks
    from flowrt.ports import Port


class RunHandle(Protocol):
    """What the engine tells whoever started a run."""

    number: int
    books: RunBooks | None
    variables: ContextVariables | None  # set where it was started; None if there are none

    def tell_failed(self, error: BaseException) -> None:
        """Take an error that nobody else took; the run goes on."""

    def tell_arrived(self, chunk: Chunk) -> None:
        """Take results."""

    def tell_passed_on(self, messages: int) -> None:
        """Results went to a handler instead."""

    def tell_finished(self, reason: BaseException | None) -> None:
        """The run has ended; `reason`: why before its time."""


Sent = tuple[RunHandle, "Port", Any, object, int]
"""The one input of a run: where it enters, its data, correlation id and priority."""


class Runs:
    """What is under way for whoever sent something.

    Called on: the engine's thread.
    """

    def __init__(
        self, traffic: Traffic, sources: Sources, wakes: Wakes, new_handle: Callable[[], RunHandle]
    ) -> None:
        self.feeding: set[RunBooks] = set()  # whose inputs are still coming
        self._traffic = traffic
        self._sources = sources
        self._wakes = wakes
        self._new_handle = new_handle
        self._books: Books = traffic.books

    def start(self, handle: RunHandle) -> RunBooks:
        """Open a run; it stays open until `end_input`."""
        run = handle.books = self._books.open_run(handle)
        self._books.hold_open(run)
        self.feeding.add(run)
        return run

    def end_input(self, run: RunBooks) -> None:
        """Let a run end when its inputs are worked off."""
        if run in self.feeding:
            self.feeding.discard(run)
            if not run.ended:
                self._books.let_go(run)

    def end_inputs(self, reason: Callable[[RunBooks], FlowError]) -> None:
        """Take no more inputs of any run; those that were still coming are cut short."""
        for run in list(self.feeding):
            run.unfinished = run.unfinished or reason(run)
            self.end_input(run)

    def emit_late(self, place: Place, context: Context, port: str, data: Any) -> None:
        """Send on what an operation emitted after its call had ended: as a run of its own."""
        route = self._traffic.routes.out(place, port)
        handle = self._new_handle()
        handle.variables = context.scope.run.variables
        run = self.start(handle)
        self._books.accept(run, route.port.fullname, 1)
        late = Context(run, context.correlation_id, context.priority)
        self._traffic.emit(route, [data], late, [0], self._traffic.trunk.root, outside=True)
        self.end_input(run)

    def overload(self, run: RunBooks, error: FlowError) -> None:
        """A run has gone past a bound: it fails whole."""
        if not run.ended:
            run.handle.tell_failed(error)
            self.abandon(run, "the run was overloaded", None)

    def abandon(self, run: RunBooks, why: str, reason: FlowError | None) -> int:
        """End a run before its time; return how many messages had to be discarded."""
        return 0 if run.ended else self._abandon({run}, why, reason)

    def abandon_all(self, why: str, reason: FlowError | None) -> int:
        """End every run before its time."""
        return self._abandon(set(self._books.runs), why, reason)

    def _abandon(self, runs: set[RunBooks], why: str, reason: FlowError | None) -> int:
        failed: BaseException | None = None
        try:
            found = self._traffic.whereabouts(runs)
        except BaseException as error:  # they end all the same, without places
            found, failed = {run: [] for run in runs}, error
        discarded = 0
        places = self._traffic.routes.all_places()
        operations = [place for place in places if place.operation is not None]
        guards = [place.guard for place in places if place.guard is not None]
        for run in sorted(runs, key=lambda each: each.number):
            found[run] += self._sources.drop(run)
            self._wakes.drop(run)
            for place in operations:
                if type(place.state) is Unmade:  # it has kept nothing yet
                    continue
                try:
                    place.operation.cancelled(place.state, run)
                except BaseException as error:
                    self._traffic.failures.contain(f'the end of a run in operation "{place.name}"', error)
            discarded += self._books.abandon(run, found[run], why)
            for guard in guards:
                guard.drop(run)
            self.tell_finished(run, reason)
        if failed is not None:
            raise failed
        return discarded

    def tell_finished(self, run: RunBooks, reason: BaseException | None) -> None:
        """Tell whoever started a run that it has ended; `reason`: why before its time."""
        handle, run.handle = run.handle, None  # so that a run that is over and its handle keep nothing alive
        if handle is not None:  # else it was told when the engine was given up
            handle.tell_finished(reason)

    def fail_stalled(self, explanation: object) -> None:
        """End what can never move, with an error that says where it is: a bug, or an operation that breaks its contract."""
        for run in list(self._books.runs):
            run.handle.tell_failed(stalled_error(run, explanation))
            self.abandon(run, "the run had stalled", None)
