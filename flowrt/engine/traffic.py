"""How messages move: out of a port, along its route, into the schedule or out as results; how they end; who is shown them.

A result leads to nothing in the flow, so it lets nothing wait: of what has one priority it goes first. It leaves at once, unless something more
urgent may wait, results are before it, it has just come in, or a tap or a throttle has all messages go singly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.chunks import Chunk, shown_message
from flowrt.engine.failures import Failures
from flowrt.engine.places import Handler
from flowrt.engine.schedules import BreadthFirst
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

    Attributes:
        leaving: results that wait; `any_leaving`: there may be some.
        uneven: not everything has the same priority.
        delay: the throttle's, in seconds.
        in_turn: between turns, workers' outcomes arrive: a depth-first schedule must not put them before what they came after.
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
        self.trunk: Trunk = Trunk()
        self._deliver = deliver
        self.strict = strict
        self.in_turn = False
        self.leaving: BreadthFirst = BreadthFirst()
        self.any_leaving: bool = False
        self.uneven = False
        self.delay: float = 0.0
        self.failures: Failures = Failures(routes, books, self.trunk, self.emit)
        self.taps: Taps = Taps(self.failures)

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
            if outside:
                self.let_wait(chunk)
            else:
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

    def let_wait(self, chunk: Chunk) -> None:
        """Have results leave by their turn."""
        self.leaving.put(chunk)
        self.any_leaving = True

    def next_chunk(self) -> Chunk | None:
        """Take what comes next where results wait: the most urgent, and of what is equally urgent results first."""
        result = self.leaving.take()
        if result is None:
            self.any_leaving = False
            return self.schedule.take()
        if self.uneven and (chunk := self.schedule.take()) is not None:
            if chunk.priority > result.priority:
                self.leaving.put_back(result)
                return chunk
            self.schedule.put_back(chunk)
        return result

    def put_back(self, chunk: Chunk) -> None:
        """Return what was taken and is not worked on yet."""
        if chunk.handler.place is not None:
            self.schedule.put_back(chunk)
        else:
            self.leaving.put_back(chunk)
            self.any_leaving = True

    def waiting(self) -> Iterator[Chunk]:
        """Go through all that waits, in no particular order; any thread."""
        yield from self.leaving
        yield from self.schedule

    def leave(self, chunk: Chunk, *, by_turn: bool = False) -> None:
        """Deliver results, if it is their turn."""
        if not by_turn and (self.any_leaving or self.uneven or self.delay or self.taps.handlers):
            self.let_wait(chunk)
            return
        if self.books.cut_short and not chunk.leave_out_ended():
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
        waiting = [(chunk.handler.port.fullname, chunk, 0) for chunk in self.waiting()]
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
        """Show messages, at the port they are about to enter."""
        for index in range(len(chunk.data)):
            self._show(chunk, index, chunk.handler.port)

    def show_border(self, chunk: Chunk, border: Port) -> None:
        """Show a message at the border of a flow."""
        self._show(chunk, 0, border)

    def _show(self, chunk: Chunk, index: int, port: Port) -> None:
        message = shown_message(chunk, index)
        message.port = port
        for tap in list(self.handlers):
            try:
                tap(message)
            except BaseException as error:
                self._failures.contain("on_message", error)


def borders_before(chunk: Chunk) -> Sequence[Port]:
    """Return the borders of flows that messages cross on their way into their next port."""
    route = chunk.trail.route
    return route.borders.get(chunk.handler, ()) if route is not None else ()
