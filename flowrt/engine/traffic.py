"""How messages move: out of a port, along its route, into the schedule or out as results; how they end; who is shown them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.chunks import Chunk, shown_message
from flowrt.engine.failures import Failures
from flowrt.engine.places import Handler
from flowrt.errors import FlowBuildError
from flowrt.messages import (
    ABSORBED,
    CHUNK_SIZE,
    DELIVERED,
    UNCONNECTED,
    Context,
    Message,
    Positions,
    Trail,
    Trunk,
)
from flowrt.ports import Port

if TYPE_CHECKING:
    from flowrt.engine.ledger import Books
    from flowrt.engine.places import Route
    from flowrt.engine.routes import Routes
    from flowrt.engine.schedules import Schedule
    from flowrt.messages import RunBooks


CALLS_HANDLERS = True  # or taps, keys, iterables: for observe/calls.py, which sees its frames

Contexts = Context | list[Context]


class Traffic:
    """Moves messages and keeps the books while doing so.

    Called on: the engine's thread.
    """

    def __init__(
        self,
        routes: Routes,
        books: Books,
        schedule: Schedule,
        deliver: Callable[[Chunk], None],
        *,
        strict: bool,
    ) -> None:
        self.routes = routes
        self.books = books
        self.schedule = schedule
        self.trunk = Trunk()
        self._deliver = deliver
        self.strict = strict
        # Between turns, workers' outcomes arrive: a depth-first schedule must not put them before what they came after.
        self.in_turn = False
        self.failures = Failures(routes, books, self.trunk, self.emit)
        self.taps = Taps(self.failures)

    def emit(
        self,
        route: Route,
        data: list[Any],
        contexts: Contexts,
        positions: Positions,
        trail: Trail,
        *,
        outside: bool = False,
    ) -> None:
        """Send live messages out of a port. The lists become the chunk's own."""
        targets = route.targets
        trail = trail.step(route)
        if not targets:
            self._end_unrouted(route, Chunk(Handler(route.port, None), data, contexts, positions, trail))
            return
        extra = len(targets) - 1
        if extra:
            self.born(contexts, len(data), route.port.fullname, extra)
        for index, handler in enumerate(targets):
            chunk = Chunk(handler, data, contexts, positions, trail)
            if index < extra:  # each target owns its lists, the last one these
                chunk.data = data[:]
                if type(contexts) is list:
                    chunk.context = contexts[:]
                if type(positions) is list:
                    chunk.positions = positions[:]
            self._send(chunk, outside=outside)

    def _end_unrouted(self, route: Route, chunk: Chunk) -> None:
        if route.fault is not None:
            self.failures.fail_lost(route.fault, chunk)
            return
        if route.optional:
            self.end(ABSORBED, chunk.data, chunk.context, route.port.fullname, chunk.positions)
            return
        self._end_unconnected(route.port, chunk)

    def _end_unconnected(self, port: Port, chunk: Chunk) -> None:
        self.end(UNCONNECTED, chunk.data, chunk.context, port.fullname, chunk.positions)
        if self.strict:
            says = f'strict: a message is at "{port}", and no stream starts there. Connect it, or do not ask for strict=True.'
            self.failures.refuse(FlowBuildError(says), chunk)

    def _send(self, chunk: Chunk, *, outside: bool) -> None:
        handler = chunk.handler
        if handler.dead:
            self._end_unconnected(handler.port, chunk)
            return
        if handler.place is None:
            self.leave(chunk)
            return
        if len(chunk.data) <= CHUNK_SIZE:
            self._put(chunk, outside=outside)
            return
        for first in range(0, len(chunk.data), CHUNK_SIZE):
            part = slice(first, first + CHUNK_SIZE)
            context = chunk.context[part] if isinstance(chunk.context, list) else chunk.context
            piece = Chunk(handler, chunk.data[part], context, chunk.positions[part], chunk.trail)
            self._put(piece, outside=outside)

    def _put(self, chunk: Chunk, *, outside: bool) -> None:
        if outside or not self.in_turn:
            self.schedule.put_input(chunk)
        else:
            self.schedule.put(chunk)

    def leave(self, chunk: Chunk) -> None:
        """Deliver results."""
        if self.taps.handlers:
            self.taps.show(chunk)
        if self.books.cut_short and not chunk.leave_out_ended():  # the tap may have cancelled a run
            return
        self._deliver(chunk)
        contexts, where = chunk.context, chunk.handler.port.fullname
        if type(contexts) is list:
            self.books.deliver(contexts, where)
        else:
            self.books.end(contexts.scope, DELIVERED, len(chunk.data), where)  # type: ignore[union-attr]

    def born(self, contexts: Contexts, messages: int, where: str, each: int = 1) -> None:
        """Book messages that come in addition: so many times `each`."""
        if type(contexts) is list:
            for context in contexts:
                self.books.born(context.scope, each, where)
        else:
            self.books.born(contexts.scope, each * messages, where)  # type: ignore[union-attr]

    def end(
        self,
        what: str,
        data: list[Any],
        contexts: Contexts,
        where: str,
        positions: Positions | None,
        reason: str = "",
        error: BaseException | None = None,
    ) -> None:
        """End messages, each in its own run's books."""
        books = self.books
        if type(contexts) is not list:
            books.end(contexts.scope, what, len(data), where, reason, positions, error)  # type: ignore[union-attr]
            return
        for index, context in enumerate(contexts):
            if not context.scope.run.ended:
                own = None if positions is None else positions[index : index + 1]
                books.end(context.scope, what, 1, where, reason, own, error)

    def whereabouts(self, runs: set[RunBooks]) -> dict[RunBooks, list[tuple[str, int]]]:
        """Say for each run where how many of its messages are, in one look at everything."""
        found: dict[RunBooks, Counter[str]] = {run: Counter() for run in runs}
        waiting = [(chunk.handler.port.fullname, chunk, 0) for chunk in self.schedule]
        for executor in self.routes.all_executors():
            waiting += executor.unreported()
        for place in self.routes.all_places():
            if place.guard is not None:
                waiting += [(place.name, chunk, 0) for chunk in place.guard.unreported()]
        for where, chunk, first in waiting:
            contexts = chunk.context[first:] if isinstance(chunk.context, list) else [chunk.context]
            each = 1 if isinstance(chunk.context, list) else len(chunk.data) - first
            for context in contexts:
                if context.scope.run in found:
                    found[context.scope.run][where] += each
        return {run: list(counts.items()) for run, counts in found.items()}


Tap = Callable[[Message], None]


class Taps:
    """The handlers of `on_message`. While there is one, the engine takes messages singly.

    Called on: the engine's thread.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.handlers: list[Tap] = []

    def add(self, tap: Tap) -> None:
        self.handlers.append(tap)

    def remove(self, tap: Tap) -> None:
        users.discard(self.handlers, tap)

    def show(self, chunk: Chunk) -> None:
        """Show messages, at the borders of flows they have crossed and at the port they are about to enter."""
        route = chunk.trail.route
        borders = route.borders.get(chunk.handler, ()) if route is not None else ()
        for index in range(len(chunk.data)):
            for port in (*borders, chunk.handler.port):
                message = shown_message(chunk, index)
                message.port = port
                for tap in list(self.handlers):
                    try:
                        tap(message)
                    except BaseException as error:
                        self._failures.contain("on_message", error)
