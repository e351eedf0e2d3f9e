"""Operations that asked to be woken: their timers, one per place and scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.batches import Batches
    from flowrt.ledger import Books
    from flowrt.places import OperationPlace
    from flowrt.scopes import RunBooks, Scope
    from flowrt.timers import Timer, Timers


class Wakes:
    """Wakes operations when the time they asked for has come. Until then their scope stays open: something may still come of it.

    Called on: the engine's thread.
    """

    def __init__(self, books: Books, batches: Batches, timers: Timers) -> None:
        self._books = books
        self._batches = batches
        self._timers = timers
        self._pending: dict[tuple[OperationPlace, Scope], Timer] = {}
        self._over = False

    def ask(self, place: OperationPlace, scope: Scope, seconds: float | None) -> None:
        """Have `timer` called after so many seconds instead of whenever it was asked for before; None: not at all."""
        if scope.run.ended:
            return
        key = (place, scope)
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._timers.cancel(pending)
        if seconds is None or self._over:
            if pending is not None:
                self._books.let_go(scope)
            return
        if pending is None:
            self._books.hold_open(scope)
        self._pending[key] = self._timers.after(seconds, lambda: self._wake(place, scope))

    def _wake(self, place: OperationPlace, scope: Scope) -> None:
        del self._pending[place, scope]
        self._batches.wake(place, scope)
        if not scope.run.ended:
            self._books.let_go(scope)

    def stop(self) -> None:
        """Let nobody wait for the time any more: what is owed is emitted when its scope drains."""
        self._over = True
        for place, scope in list(self._pending):
            self.ask(place, scope, None)

    def drop(self, run: RunBooks) -> None:
        """Forget what was asked for in a run: it is over."""
        for key in [key for key in self._pending if key[1].run is run]:
            self._timers.cancel(self._pending.pop(key))
