"""Operations that asked to be woken: their timers, one per place and scope, or object of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.messages import Part, Scope

if TYPE_CHECKING:
    from flowrt.clock import Timer, Timers
    from flowrt.engine.ledger import Books
    from flowrt.engine.places import Place
    from flowrt.messages import RunBooks


class Wakes:
    """Wakes operations when the time they asked for has come. A scope stays open until then: something may still come of it.

    Called on: the engine's thread.
    """

    def __init__(self, books: Books, timers: Timers) -> None:
        self.loose: int = 0  # how many are to come that no scope waits for
        self._books = books
        self._timers = timers
        self._pending: dict[tuple[Place, Any], Timer] = {}
        self._over = False

    def ask(self, place: Place, about: Any, seconds: float | None, wake: Callable[[], None]) -> None:
        """Have `wake` called after so many seconds instead of whenever it was asked for before; None: not at all."""
        if users.is_a(about, Scope) and about.run.ended:
            return
        key = (place, about)
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._timers.cancel(pending)
        if seconds is None or self._over:
            if pending is not None:
                self._let_go(about)
            return
        if pending is None:
            self._hold(about)
        self._pending[key] = self._timers.after(seconds, lambda: self._wake(place, about, wake))

    def _wake(self, place: Place, about: Any, wake: Callable[[], None]) -> None:
        del self._pending[place, about]
        wake()
        self._let_go(about)

    def _hold(self, about: Any) -> None:
        if isinstance(about, Scope):
            self._books.hold_open(about)
        else:
            self.loose += 1

    def _let_go(self, about: Any) -> None:
        if not isinstance(about, Scope):
            self.loose -= 1
        elif not about.run.ended:
            self._books.let_go(about)

    def stop(self) -> None:
        """Let nobody wait for the time any more: what is owed is emitted when its scope drains."""
        self._over = True
        for place, about in list(self._pending):
            self.ask(place, about, None, lambda: None)

    def drop(self, run: RunBooks) -> None:
        """Forget what was asked for in a run: it is over."""
        for key in [key for key in self._pending if _run_of(key[1]) is run]:
            self._timers.cancel(self._pending.pop(key))
            if not isinstance(key[1], Scope):
                self.loose -= 1


def _run_of(about: Any) -> RunBooks | None:
    scope = about.scope if isinstance(about, Part) else about
    return scope.run if isinstance(scope, Scope) else None
