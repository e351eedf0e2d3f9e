"""What operations bring back, taken into account: results, emissions, failures, and what operations with state ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.contract import Task
from flowrt.errors import FlowOverloadError
from flowrt.ledger import ABSORBED, DISCARDED, FAILED, Missing, Scope
from flowrt.messages import Causality, Chunk, Context, Positions, Trail, message_of
from flowrt.operations import END_OF_CALL, Act, ActionBody, Correlated, Emitter, Failure, FunctionBody, GeneratorBody
from flowrt.standard.causality import nothing_to_pop

if TYPE_CHECKING:
    from flowrt.failures import Failures
    from flowrt.ledger import RunBooks
    from flowrt.places import OperationPlace
    from flowrt.sources import Sources
    from flowrt.traffic import Contexts, Traffic

Entry = tuple[int, Any, Any]


class BatchInHand:
    """Consecutive messages of one context, handed to an operation that takes many at once."""

    __slots__ = ("causality", "chunk", "context", "correlation_id", "data", "place", "port", "positions", "rest", "scope")

    def __init__(self, place: OperationPlace, chunk: Chunk, context: Context) -> None:
        self.place = place
        self.chunk = chunk
        self.port = chunk.handler.in_port
        self.data = chunk.data
        self.positions = chunk.positions
        self.context = context
        self.scope = context.scope.home
        self.correlation_id = context.correlation_id
        self.causality = context.causality
        self.rest = len(chunk.data)  # messages of which nothing has become yet

    def gathering_scope(self) -> Scope | None:
        """Return the innermost scope of these messages that this place gathers."""
        return self.context.scope.within(self.place)


class Outcomes:
    """Applies outcomes to the books and sends what was emitted on its way.

    Called on: the engine's thread.
    """

    def __init__(
        self,
        traffic: Traffic,
        failures: Failures,
        sources: Sources,
        late: Callable[[OperationPlace, Context, str, Any], None],
        overload: Callable[[RunBooks, FlowOverloadError], None],
        ordered: Callable[[], bool],
    ) -> None:
        self._traffic = traffic
        self._failures = failures
        self._sources = sources
        self._late = late
        self._overload = overload
        self._ordered = ordered

    # -- tasks

    def take(self, task: Task, *, final: bool) -> None:
        """Take into account what has come of a task since it was last looked at; its results may be passed on once it is final."""
        place = task.place
        body = place.declaration.body
        # The results before the log: what a call emitted is in the log before its result is there.
        first, last = task.reported, len(task.results)
        entries = task.log[task.log_read :]
        task.log_read += len(entries)
        task.reported = last
        if type(body) is FunctionBody:
            if last > first:
                self._results(task, first, last, whole=final and first == 0 and last == len(task.chunk.data))
        elif type(body) is GeneratorBody:
            self._iterators(task, first, last)
        else:
            self._entries(task, entries)
            self._calls_over(task, first, last)
        if final:
            task.results = []
            task.reported = 0

    def _results(self, task: Task, first: int, last: int, *, whole: bool) -> None:
        if not task.failed:
            self._send_results(task, first, last, whole=whole)
            return
        start = first
        for index in range(first, last):
            if type(task.results[index]) is Failure:
                if index > start:
                    self._send_results(task, start, index)
                self._fail_call(task, index)
                start = index + 1
        if last > start:
            self._send_results(task, start, last)

    def _send_results(self, task: Task, first: int, last: int, *, whole: bool = False) -> None:
        chunk, place = task.chunk, task.place
        results = task.results if whole else task.results[first:last]
        contexts: Contexts = chunk.context
        positions = chunk.positions
        if not whole:
            contexts = contexts[first:last] if type(contexts) is list else contexts
            positions = positions[first:last]
        kept = self._of_live_runs(results, contexts, positions)
        if kept is None:
            return
        results, contexts, positions = kept
        if place.declaration.out_ports:
            self._traffic.emit(self._traffic.routes.out(place, ""), results, contexts, positions, chunk.trail)
        else:
            self._traffic.absorb(results, contexts, place.name, positions)

    def _of_live_runs(
        self, data: list[Any], contexts: Contexts, positions: Positions
    ) -> tuple[list[Any], Contexts, Positions] | None:
        """Leave out what belongs to runs that have ended meanwhile."""
        if type(contexts) is not list:
            return None if contexts.scope.run.ended else (data, contexts, positions)  # type: ignore[union-attr]
        live = [index for index, context in enumerate(contexts) if not context.scope.run.ended]
        if len(live) == len(contexts):
            return data, contexts, positions
        if not live:
            return None
        return [data[i] for i in live], [contexts[i] for i in live], [positions[i] for i in live]

    def _fail_call(self, task: Task, index: int) -> None:
        context = task.chunk.context_at(index)
        if context.scope.run.ended:
            return
        by = worker_text(task)
        error = task.results[index].error
        self._failures.fail(
            task.place,
            message_of(task.chunk, index),
            context,
            task.chunk.positions[index],
            task.chunk.trail,
            error,
            by=by,
            after=task.emitted.get(index, 0),
        )
        task.results[index] = None

    def _iterators(self, task: Task, first: int, last: int) -> None:
        for index in range(first, last):
            result = task.results[index]
            context = task.chunk.context_at(index)
            if type(result) is Failure:
                self._fail_call(task, index)
            elif not context.scope.run.ended:
                self._sources.open_generator(task.place, message_of(task.chunk, index), context, task.chunk.trail, result)

    # -- actions and operations: what they did, in order

    def _entries(self, task: Task, entries: list[Entry]) -> None:
        sending: list[Entry] = []
        for entry in entries:
            index, action, argument = entry
            if action is END_OF_CALL:
                task.calls_ended.add(index)
            elif type(action) is str:
                if index in task.calls_ended:
                    self._late(task.place, task.chunk.context_at(index), action, argument)
                elif not task.chunk.context_at(index).scope.run.ended:
                    sending.append(entry)
            else:
                self._emissions(task, sending)
                sending = []
                if not task.chunk.context_at(index).scope.run.ended:
                    self._act(task, index, action, argument)
        self._emissions(task, sending)

    def _emissions(self, task: Task, entries: list[Entry]) -> None:
        """Send emissions on, grouped by port in order of first emission."""
        ports: dict[str, tuple[list[Any], list[int], list[int]]] = {}
        emitted = task.emitted
        for index, port, data in entries:
            data_of_port, indexes, numbers = ports.setdefault(port, ([], [], []))
            number = emitted.get(index, 0)
            emitted[index] = number + 1
            data_of_port.append(data)
            indexes.append(index)
            numbers.append(number)
        for port, (data, indexes, numbers) in ports.items():
            self._send(task, port, data, indexes, numbers)

    def _send(self, task: Task, port: str, data: list[Any], indexes: list[int], numbers: list[int]) -> None:
        chunk, place, books = task.chunk, task.place, self._traffic.books
        contexts: Contexts = chunk.context
        if type(contexts) is list:
            contexts = [contexts[index] for index in indexes]
            for context in contexts:
                books.born(context.scope, 1, place.name)
        else:
            books.born(contexts.scope, len(data), place.name)  # type: ignore[union-attr]
        if any(type(item) is Correlated for item in data):
            contexts = [correlated(chunk.context_at(i), item) for i, item in zip(indexes, data, strict=True)]
            data = [item.data if type(item) is Correlated else item for item in data]
        positions = self._positions_of(chunk, indexes, numbers)
        self._traffic.emit(self._traffic.routes.out(place, port), data, contexts, positions, chunk.trail)

    def _positions_of(self, chunk: Chunk, indexes: list[int], numbers: list[int]) -> Positions:
        positions = chunk.positions
        if self._ordered():
            return [numbered(positions[index], number) for index, number in zip(indexes, numbers, strict=True)]
        if indexes[-1] - indexes[0] + 1 == len(indexes) and not any(numbers):
            return positions[indexes[0] : indexes[-1] + 1]  # each emitted once, none left out
        return [positions[index] for index in indexes]

    def _calls_over(self, task: Task, first: int, last: int) -> None:
        """End the inputs of calls that are over: absorbed, gone on as their first emission, failed, or kept."""
        chunk, place, books = task.chunk, task.place, self._traffic.books
        for index in range(first, last):
            context = chunk.context_at(index)
            if context.scope.run.ended:
                continue
            if type(task.results[index]) is Failure:
                if index in task.kept:  # it stays where it is kept; the error is told all the same
                    error = task.results[index].error
                    self._failures.fail_owing(place, context, chunk.positions[index], chunk.trail, error)
                else:
                    self._fail_call(task, index)
            elif index in task.kept:
                continue
            elif task.emitted.get(index):
                books.born(context.scope, -1, place.name)
            else:
                books.end(context.scope, ABSORBED, 1, place.name, "", chunk.positions[index : index + 1])

    def _act(self, task: Task, index: int, action: Act, argument: Any) -> None:
        chunk = task.chunk
        context = chunk.context_at(index)
        if action is Act.SCATTER:
            task.kept.add(index)
            self._sources.open_scattered(task.place, message_of(chunk, index), context, chunk.trail, argument)
        elif action is Act.HOLD:
            if not isinstance(argument, Scope):
                task.kept.add(index)
                self._traffic.books.hold(context.scope, task.place, argument)
        elif action is Act.FAIL:
            task.kept.add(index)
            self._failures.fail(
                task.place, message_of(chunk, index), context, chunk.positions[index], chunk.trail, argument[0], by=worker_text(task)
            )
        elif action is Act.MERGE:
            parts, data, port = argument
            homes = self._traffic.books.give_back(task.place, parts)
            if index in task.kept:
                self._send_merged(task.place, context, chunk.positions[index], chunk.trail, homes, data, port)
            else:
                for home in homes:
                    self._traffic.books.write(home.run, ABSORBED, 1, task.place.name)
                self._emissions(task, [(index, port, data)])
        else:
            self._act_on(task.place, context, chunk.positions[index], chunk.trail, action, argument)
            if action in (Act.PUSH, Act.POP):
                task.kept.add(index)
                pushed = self._pushed(task.place, context) if action is Act.PUSH else popped(context)
                if pushed is None:
                    self._act(task, index, Act.FAIL, (nothing_to_pop(task.place.declaration.name),))
                else:
                    route = self._traffic.routes.out(task.place, "")
                    self._traffic.emit(route, [chunk.data[index]], pushed, [chunk.positions[index]], chunk.trail)

    def _act_on(
        self, place: OperationPlace, context: Context, position: Any, trail: Trail, action: Act, argument: Any
    ) -> None:
        """Do what concerns no message in hand."""
        if action is Act.GATHER:
            self._gather(place, *argument)
        elif action is Act.GIVE_UP:
            self._give_up(place, *argument)
        elif action is Act.RELEASE:
            parts, reason = argument
            for home in self._traffic.books.give_back(place, parts):
                self._traffic.books.write(home.run, DISCARDED, 1, place.name, reason)
        elif action is Act.MERGE:
            parts, data, port = argument
            homes = self._traffic.books.give_back(place, parts)
            self._send_merged(place, context, position, trail, homes, data, port)

    def _send_merged(
        self,
        place: OperationPlace,
        context: Context,
        position: Any,
        trail: Trail,
        homes: list[Scope],
        data: Any,
        port: str,
    ) -> None:
        """Emit one message made of held parts: one of them goes on as it, the others end as absorbed."""
        books = self._traffic.books
        own = next((home for home in homes if home.run is context.scope.run), None)
        if own is None:
            books.born(context.scope, 1, place.name)
        else:
            homes.remove(own)
            books.move(context.scope, 1)
        for home in homes:
            books.write(home.run, ABSORBED, 1, place.name)
        self._traffic.emit(self._traffic.routes.out(place, port), [data], context, [position], trail)

    # -- batches

    def handle_batches(self, place: OperationPlace, chunk: Chunk) -> None:
        """Hand a chunk to an operation that takes many at once, split by context."""
        if type(chunk.context) is not list:
            self._handle_batch(place, chunk, chunk.context)  # type: ignore[arg-type]
            return
        while chunk.data:
            contexts: list[Context] = chunk.context  # type: ignore[assignment]
            context = contexts[0]
            size = next((i for i, other in enumerate(contexts) if other is not context), len(contexts))
            head = chunk.cut(size)
            head.context = context
            if not context.scope.run.ended:
                self._handle_batch(place, head, context)

    def _handle_batch(self, place: OperationPlace, chunk: Chunk, context: Context) -> None:
        batch = BatchInHand(place, chunk, context)
        log: list[Entry] = []
        try:
            place.operation.handle_many(place.state, batch, Emitter(log, 0, place.fed))
        except FlowOverloadError as error:
            self._overload(context.scope.run, error)
            return
        except BaseException as error:
            self._batch_entries(batch, log)
            self._fail_batch(batch, error, 0, batch.rest)
            return
        self._batch_entries(batch, log)
        if batch.rest and not context.scope.run.ended:
            self._traffic.books.end(context.scope, ABSORBED, batch.rest, place.name)

    def _batch_entries(self, batch: BatchInHand, log: list[Entry]) -> None:
        for _, action, argument in log:
            if batch.context.scope.run.ended:
                return
            self._batch_entry(batch, action, argument)

    def _batch_entry(self, batch: BatchInHand, action: Any, argument: Any) -> None:
        books, place, context = self._traffic.books, batch.place, batch.context
        if action is Act.HOLD and isinstance(argument, Scope):
            books.gather(context.scope, argument, place, batch.rest)
            batch.rest = 0
        elif action is Act.HOLD:
            books.hold(context.scope, place, argument)
            batch.rest -= len(argument)
        elif action is Act.FAIL:
            error, first, messages = argument
            self._fail_batch(batch, error, first, messages)
        elif action in (Act.PUSH, Act.POP):
            onward = self._pushed(place, context) if action is Act.PUSH else popped(context)
            if onward is None:
                raise AssertionError("unreachable: the operation has looked whether there is a causality")
            batch.rest = 0
            route = self._traffic.routes.out(place, "")
            self._traffic.emit(route, batch.data, onward, batch.positions, batch.chunk.trail)
        elif type(action) is str:
            books.born(context.scope, 1, place.name)
            route = self._traffic.routes.out(place, action)
            self._traffic.emit(route, [argument], context, [batch.positions[0]], batch.chunk.trail)
        else:
            self._act_on(place, context, batch.positions[-1], batch.chunk.trail, action, argument)

    def _fail_batch(self, batch: BatchInHand, error: BaseException, first: int, messages: int) -> None:
        for index in range(first, first + messages):
            batch.rest -= 1
            if batch.context.scope.run.ended:
                return
            self._failures.fail(
                batch.place,
                message_of(batch.chunk, index),
                batch.context,
                batch.positions[index],
                batch.chunk.trail,
                error,
            )

    def _pushed(self, place: OperationPlace, context: Context) -> Context:
        # One context in is one context out, so that what travelled together goes on doing so.
        last = place.memo
        if last is None or last[0] is not context:
            pushed = Context(context.scope, context.correlation_id, context.priority, Causality(place, context))
            last = place.memo = (context, pushed)
        result: Context = last[1]
        return result

    # -- what is owed to scopes

    def drain(self, place: OperationPlace, scope: Scope) -> None:
        """Tell an operation that nothing more will come of a scope."""
        log: list[Entry] = []
        context = scope.origin if scope.origin is not None else Context(scope)
        trail = scope.trail if scope.trail is not None else self._traffic.trunk.root
        try:
            place.operation.drained(place.state, scope, Emitter(log, 0, place.fed))
        except BaseException as error:
            self._failures.fail_owing(place, context, scope.position, trail, error)
        inner = Context(scope, context.correlation_id, context.priority, context.causality)
        for _, action, argument in log:
            if scope.run.ended:
                return
            if type(action) is str:
                self._traffic.books.born(scope, 1, place.name)
                self._traffic.emit(self._traffic.routes.out(place, action), [argument], inner, [0], trail)
            else:
                self._act_on(place, inner, 0, trail, action, argument)

    def _gather(self, place: OperationPlace, scope: Scope, data: Any, causality: Any) -> None:
        origin = scope.origin
        if origin is None or place in scope.answered:
            raise AssertionError("unreachable: a list is owed once, and to the scope of a scattered list")
        books = self._traffic.books
        gathered = books.answer(scope, place)
        if gathered:
            if gathered > 1:
                books.write(scope.run, ABSORBED, gathered - 1, place.name)
            books.move(origin.scope, 1)
        else:
            books.born(origin.scope, 1, place.name)
        context = origin
        if causality is not origin.causality:
            context = Context(origin.scope, origin.correlation_id, origin.priority, causality)
        trail = scope.trail if scope.trail is not None else self._traffic.trunk.root
        self._traffic.emit(self._traffic.routes.out(place, ""), [data], context, [scope.position], trail)

    def _give_up(self, place: OperationPlace, scope: Scope, error: Any) -> None:
        books = self._traffic.books
        gathered = books.answer(scope, place)
        if gathered:
            books.write(scope.run, DISCARDED, gathered, place.name, "the list stayed incomplete")
        origin = scope.origin
        if origin is None:
            return
        home = origin.scope.home
        if home.parent is not None:
            known = error or next((record.error for record in scope.missing or () if record.error is not None), None)
            known = known or scope.failed_source
            home.lose(Missing([scope.position], FAILED, place.name, "its list stayed incomplete", known))
        if error is not None:
            self._failures.fail_list(place, error, scope)


def worker_text(task: Task) -> str:
    """Say who performed a task, for the note on an error."""
    mode = task.place.declaration.mode
    if mode.kind == "sync" or not task.worker:
        return "" if mode.kind == "sync" else mode.kind
    return "async" if mode.kind == "async" else f"parallel, worker {task.worker}"


def correlated(context: Context, item: Any) -> Context:
    """Give a context an id of its own, if it has none."""
    if type(item) is not Correlated or context.correlation_id is not None:
        return context
    return Context(context.scope, item.correlation_id, context.priority, context.causality)


def numbered(position: Any, number: int) -> Any:
    """Add the order of emission to a position."""
    return (*position, number) if type(position) is tuple else (position, number)


def popped(context: Context) -> Context | None:
    """Return the context outside the innermost causality."""
    causality = context.causality
    if causality is None:
        return None
    if causality.context.scope is context.scope and causality.context.correlation_id == context.correlation_id:
        outer = causality.context
        if outer.priority == context.priority:
            return outer
    return Context(context.scope, context.correlation_id, context.priority, causality.context.causality)

