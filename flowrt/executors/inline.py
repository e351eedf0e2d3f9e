"""The engine's own thread, one call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowrt.engine.chunks import variables_of
from flowrt.engine.contract import Executor, PullTask, Reports, Task
from flowrt.engine.meters import QUANTUM
from flowrt.executors.tasks import prepare, rest_of
from flowrt.operations.bodies import FunctionBody, Group

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Place


_NO_DATA: list[Any] = []


class InlineExecutor(Executor):
    """Performs about a millisecond's work of a chunk at once, and gives the rest back."""

    inline = True

    def __init__(self, reports: Reports, clock: Clock) -> None:
        self._reports = reports
        self._clock = clock
        self._group = Group(_NO_DATA)  # used again and again: one call at a time is made here
        self._group.clock = clock

    @property
    def began(self) -> float:
        return self._group.until - QUANTUM

    def submit(self, place: Place, chunk: Chunk) -> None:
        quota = place.pace.quota(len(chunk.data))
        if quota < len(chunk.data):
            head = chunk.cut(quota)
            self._reports.give_back(chunk)
            chunk = head
        if type(place.declaration.body) is FunctionBody and place.guard is None:
            task = self._call(place, chunk)
            if task is None:
                return
        else:
            task = prepare(Task(place, chunk, self._reports.collect))
            started = self._clock.now()
            task.clock = self._clock
            task.until = self._group.until = started + QUANTUM
            place.declaration.body.perform(task)
            task.busy = self._clock.now() - started
            place.pace.took(len(task.results), task.busy)
        rest = rest_of(task)
        if rest is not None:
            self._reports.give_back(rest)
        self._reports.report(task, final=True)

    def _call(self, place: Place, chunk: Chunk) -> Task | None:
        """Call a function with each message; return a task if not all of them have gone through, and have the results passed on else."""
        group, clock = self._group, self._clock
        group.data, group.failed = chunk.data, False
        results: list[Any] = []
        group.results = results
        started = clock.now()
        group.until = started + QUANTUM
        body: Any = place.declaration.body  # that of a function
        if body.calls:
            group.variables = variables_of(chunk)
        body.perform(group)
        group.variables = None
        busy = clock.now() - started
        place.pace.took(len(results), busy)
        group.data, group.results = _NO_DATA, _NO_DATA  # it keeps no message alive
        if not group.failed and len(results) == len(chunk.data):
            self._reports.pass_on(place, chunk, results, busy)
            return None
        task = Task(place, chunk, self._reports.collect)
        task.results, task.failed, task.busy = results, group.failed, busy
        return task

    def pull(self, pull: PullTask) -> None:
        started = self._clock.now()
        pull.clock = self._clock
        pull.until = self._group.until = started + QUANTUM
        pull.perform()
        pull.busy = self._clock.now() - started
        self._reports.report_pull(pull)
