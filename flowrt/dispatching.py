"""Waiting on the very thread on which a dispatcher has operations called: the wait makes their calls itself, or must not be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from flowrt.errors import FlowOverloadError, FlowStalledError
from flowrt.inbox import Wakers

if TYPE_CHECKING:
    from flowrt.declarations import Declaration
    from flowrt.inbox import Seams


class _Dispatched(Protocol):
    """What of an executor's is of interest here."""

    handed: Callable[[], None]

    def run_here(self) -> bool: ...


class Dispatching:
    """The dispatchers of one runtime, for those who wait.

    Guarded by: nothing; the tuples are replaced. Called on: any thread.

    Attributes:
        handed: who waits, and is to be woken when a dispatcher was given calls.
        dispatchers: those of the flow, also of what it was before a change, each with one of its operations.
    """

    def __init__(self, seams: Seams) -> None:
        self.handed = Wakers(seams)
        self._executors: tuple[_Dispatched, ...] = ()
        self.dispatchers: tuple[tuple[Any, str], ...] = ()

    def know(self, declarations: Iterable[Declaration]) -> bool:
        """Take in which dispatchers a flow uses, besides those that were known; say whether there are more now.

        Then who waits is to be woken: a wait looks out for calls only where there are dispatchers.
        """
        found = {id(dispatcher): (dispatcher, name) for dispatcher, name in self.dispatchers}
        for declaration in declarations:
            dispatcher = declaration.mode.dispatcher
            if dispatcher is not None:
                found.setdefault(id(dispatcher), (dispatcher, declaration.name))
        more = len(found) > len(self.dispatchers)
        if more:
            self.dispatchers = tuple(found.values())
        return more

    def add(self, executor: Any) -> None:
        """Take in an executor; engine's thread."""
        if executor not in self._executors:
            executor.handed = self.handed.wake
            self._executors = (*self._executors, executor)

    def make_calls(self) -> bool:
        """Make the calls that wait for this thread; say whether there were any."""
        made = False
        for executor in self._executors:
            made = executor.run_here() or made
        return made

    def refuse_wait(self, runtime: str, what: str) -> None:
        """`FlowStalledError` if this is the thread of an event loop that the flow uses."""
        for dispatcher, operation, remedy in self._blocked_here():
            raise FlowStalledError(
                f'runtime "{runtime}": somebody waited {what} on the thread of dispatcher {dispatcher}, and until that is free nothing it '
                f'does can go on, operation "{operation}" included. {remedy}'
            )

    def refuse_process(self, runtime: str, why: str) -> None:
        """`FlowOverloadError` if `process` would have to wait on such a thread."""
        for dispatcher, operation, remedy in self._blocked_here():
            raise FlowOverloadError(
                f'runtime "{runtime}": {why}, and process() cannot wait on the thread of dispatcher {dispatcher}, which operation "{operation}" '
                f"needs. Nothing was sent. {remedy}"
            )

    def _blocked_here(self) -> Iterable[tuple[str, str, str]]:
        for dispatcher, operation in self.dispatchers:
            must_not_wait = getattr(dispatcher, "must_not_wait", None)
            if must_not_wait is not None and (remedy := must_not_wait()):
                yield type(dispatcher).__name__, operation, remedy
