"""What operations bring back, taken into account: results, emissions (in a call or late), failures, what operations with state ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.acts import InHand
from flowrt.engine.chunks import Chunk, message_of
from flowrt.engine.contract import Task
from flowrt.engine.failures import is_ours_by_kind
from flowrt.errors import FlowOverloadError
from flowrt.messages import (
    ABSORBED,
    Context,
    Correlated,
    Part,
    Positions,
    correlated,
    meeting_point,
    numbered,
)
from flowrt.operations.bodies import END_OF_CALL, Failure, FunctionBody, GeneratorBody, OperationBody
from flowrt.operations.contract import Act, LogEntry
from flowrt.operations.unfinished import any_unfinished, is_unfinished, refused

if TYPE_CHECKING:
    from flowrt.engine.acts import Acts
    from flowrt.engine.places import Place
    from flowrt.engine.runs import Runs
    from flowrt.engine.sources import Sources
    from flowrt.engine.traffic import Contexts, Traffic
    from flowrt.messages import Message, Scope, Trail


class CallInHand(InHand):
    """The message of one call of a task after the other."""

    __slots__ = ("ordered", "task")

    def __init__(self, task: Task, *, ordered: bool) -> None:
        self.task: Task = task
        self.ordered: bool = ordered  # positions are asked for
        self.place: Place = task.place
        self.chunk: Chunk = task.chunk
        self.trail: Trail = task.chunk.trail
        self.by: str = worker_text(task)
        self.first = -1

    def turn_to(self, index: int) -> None:
        """Have the message of a call in hand."""
        chunk = self.task.chunk
        self.first: int = index
        self.context: Context = chunk.context_at(index)
        self.about: Scope = self.context.scope.home
        self.data: list[Any] = chunk.data[index : index + 1]
        self.positions: Positions = chunk.positions[index : index + 1]
        self.rest: int = int(index not in self.task.kept)

    def meeting(self, origins: Sequence[Part], port: str) -> tuple[Context, Any]:
        task, index, position = self.task, self.first, self.positions[0]
        if self.ordered:
            number = task.emitted.get(index, 0)
            task.emitted[index] = number + 1
            position = _numbered(task, position, index, number, port)
        return meeting_point(self.context, position, origins)


class Outcomes:
    """Applies outcomes to the books and sends what was emitted on its way.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, sources: Sources, runs: Runs, acts: Acts) -> None:
        self._traffic = traffic
        self._failures = traffic.failures
        self._sources = sources
        self._runs = runs
        self._acts = acts

    # -- tasks

    def take(self, task: Task, *, final: bool = True) -> None:
        """Take into account what has come of a task since it was last looked at; its results may be passed on once it is final."""
        place = task.place
        body = place.declaration.body
        # The results before the log: what a call emitted is in the log before its result is there.
        first, last = task.reported, len(task.results)
        entries = task.log[task.log_read :]
        if type(body) is OperationBody and not final:
            # What an operation does takes effect when its call is over: a part held and not yet merged would be all that is left of a run.
            ended = [at for at, entry in enumerate(entries, 1) if entry[1] is END_OF_CALL]
            del entries[ended[-1] if ended else 0 :]
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

    def pass_on(self, place: Place, chunk: Chunk, results: list[Any]) -> None:
        """Send one result for each message of an inline chunk, in the chunk itself where it has one way to go. No run ends meanwhile."""
        traffic = self._traffic
        declaration = place.declaration
        if "" not in (declaration.out_ports or ()):
            traffic.end(ABSORBED, chunk.data, chunk.context, place.name, chunk.positions)
            return
        body: Any = declaration.body  # that of a function
        if body.looked_at and any_unfinished(results):
            task = Task(place, chunk)
            task.results = results
            self._results(task, 0, len(results), whole=False)
            return
        route = place.outs.get("") or traffic.routes.out(place, "")
        targets = route.targets
        if len(targets) != 1 or targets[0].place is None or targets[0].dead:
            traffic.emit(route, results, chunk.context, chunk.positions, chunk.trail)
            return
        chunk.data = results
        chunk.handler = targets[0]
        chunk.trail = chunk.trail.step(route)
        traffic.schedule.put(chunk)

    def drop(self, task: Task) -> None:
        """Take a task of which nothing counts any more: what it has opened is closed."""
        body = task.place.declaration.body
        for result in task.results[task.reported :]:
            if type(body) is GeneratorBody:
                if type(result) is not Failure:
                    self._sources.close_iterator(task.place, result)
            elif type(body) is FunctionBody and body.looked_at and is_unfinished(result):
                self._close_unfinished(task.place, result)
        task.results = []

    def _results(self, task: Task, first: int, last: int, *, whole: bool) -> None:
        results, body = task.results, task.place.declaration.body
        new = results if whole else results[first:last]
        looked_at = type(body) is FunctionBody and body.looked_at and any_unfinished(new)
        if not (task.failed or looked_at):
            self._send_results(task, first, last, whole=whole)
            return
        start = first
        for index in range(first, last):
            failed = type(results[index]) is Failure
            if failed or (looked_at and is_unfinished(results[index])):
                if index > start:
                    self._send_results(task, start, index)
                if failed:
                    self._fail_call(task, index)
                else:
                    message, by = message_of(task.chunk, index), worker_text(task)
                    self.take_unfinished(
                        task.place, message, task.chunk.trail, results[index], by=by, worker=task.worker
                    )
                    results[index] = None
                start = index + 1
        if last > start:
            self._send_results(task, start, last)

    def take_unfinished(
        self, place: Place, message: Message, trail: Trail, found: Any, *, by: str = "", worker: int = 0
    ) -> None:
        """Pull the generator that a function returned for a message, or fail that message: what it returned is not awaited."""
        context: Context = message.context  # type: ignore[assignment]  # inside the engine it has one
        if context.scope.run.ended:
            self._close_unfinished(place, found)
        elif (error := refused(found)) is not None:
            self._failures.fail(place, message, trail, error, by=by)
        else:
            self._sources.open_generator(place, message, trail, found, worker)

    def _close_unfinished(self, place: Place, found: Any) -> None:
        if refused(found) is None:
            self._sources.close_iterator(place, found)

    def _send_results(self, task: Task, first: int, last: int, *, whole: bool = False) -> None:
        chunk, place = task.chunk, task.place
        results = task.results if whole else task.results[first:last]
        contexts: Contexts = chunk.context
        positions = chunk.positions
        if not whole:
            contexts = contexts[first:last] if type(contexts) is list else contexts
            positions = positions[first:last]
        sent = Chunk(chunk.handler, results, contexts, positions, chunk.trail)
        if not sent.leave_out_ended():
            return
        if "" in (place.declaration.out_ports or ()):
            route = self._traffic.routes.out(place, "")
            self._traffic.emit(route, sent.data, sent.context, sent.positions, chunk.trail)
        else:
            self._traffic.end(ABSORBED, sent.data, sent.context, place.name, sent.positions)

    def _fail_call(self, task: Task, index: int) -> None:
        context = task.chunk.context_at(index)
        if context.scope.run.ended:
            return
        error = task.results[index].error
        if users.is_a(error, FlowOverloadError) and is_ours_by_kind(task.place):
            # Past its bound a run fails whole.
            self._runs.overload(context.scope.run, error)
            return
        after = task.emitted.get(index, 0)
        message, by = message_of(task.chunk, index), worker_text(task)
        self._failures.fail(task.place, message, task.chunk.trail, error, by=by, after=after)
        task.results[index] = None

    def _iterators(self, task: Task, first: int, last: int) -> None:
        for index in range(first, last):
            result = task.results[index]
            context = task.chunk.context_at(index)
            if type(result) is Failure:
                self._fail_call(task, index)
            elif context.scope.run.ended:
                self._sources.close_iterator(task.place, result)
            else:
                message = message_of(task.chunk, index)
                self._sources.open_generator(task.place, message, task.chunk.trail, result, task.worker)

    # -- actions and operations: what they did, in order

    def _entries(self, task: Task, entries: list[LogEntry]) -> None:
        sending: list[LogEntry] = []
        hand: CallInHand | None = None
        for entry in entries:
            index, action, argument = entry
            if action is END_OF_CALL:
                task.calls_ended.add(index)
            elif type(action) is str:
                if index in task.calls_ended:
                    context, data = correlated(task.chunk.context_at(index), argument)
                    self._runs.emit_late(task.place, context, action, data)
                elif not task.chunk.context_at(index).scope.run.ended:
                    sending.append(entry)
            else:
                self._emissions(task, sending)
                sending = []
                if not task.chunk.context_at(index).scope.run.ended:
                    if hand is None:
                        hand = CallInHand(task, ordered=self._traffic.routes.ordered)
                    self._act(task, hand, entry)
        self._emissions(task, sending)

    def _act(self, task: Task, hand: CallInHand, entry: LogEntry) -> None:
        index, action, argument = entry
        if hand.first != index:
            hand.turn_to(index)
        if action is Act.MERGE and hand.rest:  # the message in hand goes on as what is made
            parts, data, port, _ = argument
            self._acts.act(hand, Act.RELEASE, (parts, "", ABSORBED))
            self._emissions(task, [(index, port, data)])
            return
        self._acts.act(hand, action, argument)
        if hand.rest <= 0:
            task.kept.add(index)

    def _emissions(self, task: Task, entries: list[LogEntry]) -> None:
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
        chunk, place = task.chunk, task.place
        contexts: Contexts = chunk.context
        if type(contexts) is list:
            contexts = [contexts[index] for index in indexes]
        self._traffic.born(contexts, len(data), place.name)
        if any(type(item) is Correlated for item in data):
            both = [correlated(chunk.context_at(i), item) for i, item in zip(indexes, data, strict=True)]
            contexts, data = [context for context, _ in both], [item for _, item in both]
        positions = self._positions_of(task, port, indexes, numbers)
        self._traffic.emit(self._traffic.routes.out(place, port), data, contexts, positions, chunk.trail)

    def _positions_of(self, task: Task, port: str, indexes: list[int], numbers: list[int]) -> Positions:
        positions = task.chunk.positions
        if self._traffic.routes.ordered:
            both = zip(indexes, numbers, strict=True)
            return [_numbered(task, positions[index], index, number, port) for index, number in both]
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
                    position, message = chunk.positions[index], message_of(chunk, index)
                    self._failures.fail_owing(place, context, position, chunk.trail, error, message)
                else:
                    self._fail_call(task, index)
            elif index in task.kept:
                continue
            elif task.emitted.get(index):
                books.born(context.scope, -1, place.name)
            else:
                books.end(context.scope, ABSORBED, 1, place.name, "", chunk.positions[index : index + 1])


def worker_text(task: Task) -> str:
    """Say who performed a task, for the note on an error."""
    mode = task.place.declaration.mode
    if mode.kind == "parallel" and task.worker:
        return f"parallel, worker {task.worker}"
    if mode.dispatcher is not None:
        return str(mode)
    return "" if mode.kind == "sync" else mode.kind


def _numbered(task: Task, position: Any, index: int, number: int, port: str) -> tuple[Any, ...]:
    of_port = task.emitted.get((index, port), 0)
    task.emitted[index, port] = of_port + 1
    return numbered(position, number, of_port)
