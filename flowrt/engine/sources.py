"""Open iterators: scattered iterables and generators, pulled only when nothing else is ready, as windows allow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context as Variables
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from flowrt import users
from flowrt.engine.contract import PullTask
from flowrt.errors import FlowBuildError, FlowStoppedError
from flowrt.messages import (
    ABSORBED,
    CHUNK_SIZE,
    DISCARDED,
    FAILED,
    Context,
    Message,
    Missing,
    Positions,
    Scope,
    SourceWindow,
    Trail,
    numbered,
)
from flowrt.operations.bodies import Failure, close_iterator
from flowrt.operations.contract import Emit
from flowrt.operations.signatures import only_begins

if TYPE_CHECKING:
    from flowrt.engine.attempts import Attempt
    from flowrt.engine.places import Place
    from flowrt.engine.traffic import Traffic
    from flowrt.messages import RunBooks


CALLS_HANDLERS = True  # or taps, keys, iterables: for observe/calls.py, which sees its frames

Straight = Callable[["OpenSource", int], None]
"""Lets at most so many items of a list go on at once, if it can."""


@define(eq=False, repr=False)
class OpenSource:
    """One open iterator of a place, with the input it was opened for: that stays live until the iterator ends.

    `stream` is the port items leave on; None for a generator, whose items may choose.
    Invariant: `scope` has a token from opening to closing.
    """

    place: Place
    scope: Scope
    message: Message
    input: Context  # of the message
    trail: Trail
    items: Sequence[Any] | Iterator[Any]
    window: SourceWindow
    stream: str | None = None
    count: str | None = None
    given: int = 0
    of_ports: dict[str, int] = Factory(dict)  # the same by port, where positions are asked for
    pull: PullTask | None = None  # under way
    worker: int = 0  # where its steps are made, of an executor with several threads: all on that one
    stepped: bool = False
    closed: bool = False
    context: Context = field(init=False)  # of its items
    position: Any = field(init=False)  # of the message
    attempt: Attempt | None = field(init=False)
    variables: Variables | None = field(
        init=False
    )  # in which all its steps are made; of a list in memory there are none
    length: int = field(init=False)  # of a list in memory
    _asked: int = 0  # of the window, what the pull may bring yet

    def __attrs_post_init__(self) -> None:
        origin, guard = self.input, self.place.guard
        self.context = Context(self.scope, origin.correlation_id, origin.priority, origin.causality)
        self.position = self.message.position
        self.attempt = guard.settling if guard is not None else None
        sent_with = self.scope.run.variables
        self.variables = None
        self.length = len(self.items) if self.sized else 0  # type: ignore[arg-type]
        if not self.sized:
            self.variables = Variables() if sent_with is None else sent_with.copy()

    @property
    def sized(self) -> bool:
        return type(self.items) in (list, tuple)  # exactly these: a subclass may do anything

    def ask_for(self, items: int) -> None:
        """Keep so much room in the window for what a pull may bring."""
        self.window.asked += items - self._asked
        self._asked = items


def _changed(source: OpenSource) -> FlowBuildError:
    now = len(source.items)  # type: ignore[arg-type]
    return FlowBuildError(
        f"the list had {source.length} items and has {now} now, before all of them were sent out. A list is sent by reference and read as there "
        "is room: send a copy of one that goes on changing, list(items)."
    )


class Sources:
    """Decides which open iterator goes on.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._failures = traffic.failures
        self._open: dict[int, dict[SourceWindow, OrderedDict[OpenSource, None]]] = {}
        self.count: int = 0
        self._priorities: dict[int, int] = {}  # of open sources
        self.pulls_under_way: int = 0
        self.stopping: bool = False
        self.stopped: int = 0

    # -- opening

    def open_scattered(
        self, place: Place, message: Message, trail: Trail, order: tuple[Any, str, str, int]
    ) -> None:
        """Open the scope of a scattered list, whose input message stays live until all items are out."""
        items, stream, count, limit = order
        context: Context = message.context  # type: ignore[assignment]  # inside the engine it has one
        route = self._traffic.routes.out(place, stream)
        try:
            gathers = self._traffic.routes.gathers_of(place)
        except FlowBuildError as fault:  # a place on the way to them cannot be made
            self._failures.fail(place, message, trail, fault)
            return
        window = self._window(place, limit)
        scope = self._traffic.books.open_scope(context.scope, window, home=True)
        scope.origin, scope.position, scope.trail = context, message.position, trail
        scope.stream = route
        scope.gathers = gathers
        source = OpenSource(place, scope, message, context, trail, items, window, stream, count)
        if not source.sized:
            try:
                source.items = iter(items) if source.variables is None else source.variables.run(iter, items)
            except BaseException as error:
                self._add(source)
                self._failed(source, Failure(error).error)
                return
        self._add(source)

    def open_generator(
        self, place: Place, message: Message, trail: Trail, iterator: Any, worker: int = 0
    ) -> None:
        """Take over an iterator that a generator operation opened for an input, which stays live until it ends.

        `worker`: the number of that which opened it. It makes the steps, too, unless nothing was done yet: where a generator function was called.
        """
        window = self._window(place, place.declaration.window)
        context: Context = message.context  # type: ignore[assignment]
        scope = self._traffic.books.open_scope(context.scope, window, home=False)
        source = OpenSource(place, scope, message, context, trail, iterator, window)
        # Of a generator expression something was begun, and a function that returns a generator may have opened what that goes through.
        source.worker = 0 if only_begins(place.declaration.function) else worker
        self._add(source)

    def _window(self, place: Place, limit: int) -> SourceWindow:
        if place.window is None:
            place.window = SourceWindow(limit)
        return place.window

    def _add(self, source: OpenSource) -> None:
        level = self._open.setdefault(source.scope.depth, {})
        level.setdefault(source.window, OrderedDict())[source] = None
        self.count += 1
        priority = source.context.priority
        self._priorities[priority] = self._priorities.get(priority, 0) + 1
        self._traffic.uneven = self._traffic.uneven or bool(priority)

    def _remove(self, source: OpenSource) -> None:
        source.closed = True
        self.count -= 1
        priority = source.context.priority
        self._priorities[priority] -= 1
        if not self._priorities[priority]:
            del self._priorities[priority]
        depth = source.scope.depth
        level = self._open[depth]
        del level[source.window][source]
        if not level[source.window]:
            del level[source.window]
            if not level:
                del self._open[depth]

    # -- pulling

    def advance(self, straight: Straight | None, *, nothing_under_way: bool) -> bool:
        """Let one source go on, the highest priority first, then the deepest scope, siblings in turn; say whether there was one that may."""
        for priority in sorted(self._priorities, reverse=True):
            source = self._next(priority, nothing_under_way=nothing_under_way)
            if source is not None:
                self.go_on(source, straight)
                return True
        return False

    def before(self, priority: int) -> OpenSource | None:
        """Return a source that goes on before messages of a priority, because its items have a higher one."""
        for higher in sorted(self._priorities, reverse=True):
            if higher <= priority:
                break
            source = self._next(higher, nothing_under_way=True)  # for it, those of a lower one are nothing
            if source is not None:
                return source
        return None

    def go_on(self, source: OpenSource, straight: Straight | None) -> None:
        if source.sized:
            self._slice(source, straight)
        else:
            room = max(source.window.room, 1)
            quota = min(room, source.place.pulls.quota(CHUNK_SIZE), CHUNK_SIZE)
            source.ask_for(quota)
            self.pulls_under_way += 1
            pull = source.pull = PullTask(source, source.items, quota)  # type: ignore[arg-type]
            pull.variables = source.variables
            pull.worker, pull.first = source.worker, not source.stepped
            source.stepped = True
            executor = source.place.executor
            if executor is None:
                raise AssertionError("unreachable: every place in use has an executor")
            executor.pull(pull)

    def _next(self, priority: int, *, nothing_under_way: bool) -> OpenSource | None:
        for depth in sorted(self._open, reverse=True):
            for window, siblings in list(self._open[depth].items()):
                if window.open() and window.room > 0:
                    for _ in range(len(siblings)):
                        source = next(iter(siblings))
                        siblings.move_to_end(source)
                        if (
                            source.pull is None
                            and source.context.priority == priority
                            and not source.scope.run.outrun
                        ):
                            return source
                elif nothing_under_way:
                    # So that a shared window cannot lock out whoever has nothing under way.
                    for source in siblings:
                        busy = source.pull or source.scope.live or source.scope.active_children
                        if not busy and source.context.priority == priority and not source.scope.run.outrun:
                            return source
        return None

    def _slice(self, source: OpenSource, straight: Straight | None) -> None:
        items: list[Any] | tuple[Any, ...] = source.items  # type: ignore[assignment]
        room = min(max(source.window.limit - source.window.live, 1), CHUNK_SIZE)
        end = source.given + room
        if len(items) != source.length:
            self._failed(source, _changed(source))
            return
        if straight is not None:
            straight(source, len(items) - source.given if self.count == 1 else room)
        data = items[source.given : end]
        if data and not source.closed:
            self._send_items(source, data if type(data) is list else list(data))
        if source.closed:
            return
        if len(items) != source.length:  # a call that was made meanwhile has changed it
            self._failed(source, _changed(source))
        elif source.given >= len(items):
            self._finish(source)

    def take(self, pull: PullTask, *, final: bool) -> None:
        """Take what a pull has brought since it was last looked at."""
        source = pull.source
        if pull.closes:
            self.pulls_under_way -= 1
            self._tell_of_end(source.place, pull.failure.error if pull.failure is not None else None)
            return
        source.worker = pull.worker
        data = pull.results[pull.reported :]
        pull.reported += len(data)
        if final:
            self.pulls_under_way -= 1
            source.pull = None
            source.place.meter.calls += len(pull.results)
            source.place.meter.busy += pull.busy
            source.place.pulls.took(max(len(pull.results), 1), pull.busy)
        source.ask_for(0 if final else 1)  # it was asked to stop behind the item that it is at
        if source.closed:  # cancelled meanwhile
            if final:
                self._close(source)
            return
        if data:
            self._send_items(source, data)
        if final and pull.failure is not None:
            self._failed(source, pull.failure.error)
        elif final and pull.exhausted:
            self._finish(source)
        elif final and self.stopping:
            self.stop_source(source)

    def _send_items(self, source: OpenSource, data: list[Any]) -> None:
        traffic = self._traffic
        first = source.given
        source.given += len(data)
        traffic.books.born(source.scope, len(data), source.place.name)
        if source.stream is not None:
            route = traffic.routes.out(source.place, source.stream)
            traffic.emit(route, data, source.context, range(first, first + len(data)), source.trail)
            return
        if any(type(item) is Emit for item in data):
            self._send_by_port(source, data, first)
        else:
            route = traffic.routes.out(source.place, "")
            positions = self._positions(source, "", range(first, first + len(data)))
            traffic.emit(route, data, source.context, positions, source.trail)

    def _send_by_port(self, source: OpenSource, data: list[Any], first: int) -> None:
        ports: dict[str, tuple[list[Any], list[int]]] = {}
        for index, item in enumerate(data, first):
            port, value = (item.port, item.data) if type(item) is Emit else ("", item)
            values, indexes = ports.setdefault(port.removeprefix("."), ([], []))
            values.append(value)
            indexes.append(index)
        for port, (values, indexes) in ports.items():
            route = self._traffic.routes.out(source.place, port)
            positions = self._positions(source, port, indexes)
            self._traffic.emit(route, values, source.context, positions, source.trail)

    def _positions(self, source: OpenSource, port: str, indexes: Sequence[int]) -> Positions:
        """Stand items where their input stands; in order of emission where somebody asks for it."""
        position = source.position
        if not self._traffic.routes.ordered:
            return [position] * len(indexes)
        first = source.of_ports.get(port, 0)
        source.of_ports[port] = first + len(indexes)
        return [numbered(position, index, of_port) for of_port, index in enumerate(indexes, first)]

    # -- ending

    def _finish(self, source: OpenSource) -> None:
        books, name = self._traffic.books, source.place.name
        self._remove(source)
        if source.count is not None:
            books.born(source.scope, 1, name)
            route = self._traffic.routes.out(source.place, source.count)
            self._traffic.emit(route, [source.given], source.context, [None], source.trail)
        if source.given or source.count is not None:
            books.born(source.input.scope, -1, name)  # the input went on as the first of them
        else:
            books.end(source.input.scope, ABSORBED, 1, name, "", [source.position])
        books.let_go(source.scope)

    def _failed(self, source: OpenSource, error: BaseException) -> None:
        self._remove(source)
        guard, attempt = source.place.guard, source.attempt
        if guard is not None and attempt is not None and not source.given:
            told = guard.again(attempt, error)
            if told is None:
                self._traffic.books.let_go(source.scope)  # its input stays live
                return
            error = told
        gathered = source.scope if source.stream is not None else None
        source.scope.failed_source = self._failures.fail(
            source.place, source.message, source.trail, error, after=source.given, owed=gathered
        )
        self._traffic.books.let_go(source.scope)

    def __iter__(self) -> Iterator[OpenSource]:
        for level in self._open.values():
            for siblings in level.values():
                yield from siblings

    def drop(self, run: RunBooks) -> list[tuple[str, int]]:
        """Close every source of a run; return (place, inputs) of what they were opened for."""
        dropped = [source for source in self if source.scope.run is run]
        for source in dropped:
            self._remove(source)
            if source.pull is not None:  # it is closed when the pull comes back
                source.pull.stop = True
            else:
                self._close(source)
        return [(source.place.name, 1) for source in dropped]

    def stop(self) -> None:
        """End every source that is not a list in memory: what it has not produced yet will not be."""
        self.stopping = True
        for source in list(self):
            if source.pull is not None:
                source.pull.stop = True
            elif not source.sized:
                self.stop_source(source)

    def stop_source(self, source: OpenSource) -> None:
        """End one source: its input is discarded, and its scope will not get a list."""
        self._remove(source)
        self._close(source)
        reason = "its source was stopped when the runtime closed"
        books = self._traffic.books
        self.stopped += 1
        run = source.scope.run
        run.unfinished = run.unfinished or FlowStoppedError(
            f'run {run.number} was cut short: "{source.place.name}" was stopped after {source.given} items when the runtime closed.'
        )
        # None of the lists around it comes whole, and none is to come in part.
        for around in source.scope.lists_around()[:-1]:
            around.cut_short = True
        if source.stream is not None:
            source.scope.lose(Missing(None, FAILED, source.place.name, reason))
        books.end(source.input.scope, DISCARDED, 1, source.place.name, reason, [source.position])
        books.let_go(source.scope)

    def _close(self, source: OpenSource) -> None:
        """Close the iterator of a source: where its steps were made."""
        executor = source.place.executor
        if executor is None or executor.inline or executor.dispatcher or not source.worker:
            self.close_iterator(source.place, source.items, source.variables)
            return
        pull = PullTask(source, source.items, 0)  # type: ignore[arg-type]
        pull.closes, pull.worker, pull.variables = True, source.worker, source.variables
        self.pulls_under_way += 1
        executor.pull(pull)

    def close_iterator(self, place: Place, iterator: Any, variables: Variables | None = None) -> None:
        """Close an iterator of a place; what that raises is a subscriber's error: nobody waits for it."""
        error = close_iterator(iterator) if variables is None else variables.run(close_iterator, iterator)
        self._tell_of_end(place, error)

    def _tell_of_end(self, place: Place, error: BaseException | None) -> None:
        if error is not None and not users.is_a(error, GeneratorExit):
            self._failures.contain(f'the end of generator "{place.name}"', error)
