"""The engine's own thread, one call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrt.contract import PullTask, Reports, Task
from flowrt.executors.tasks import prepare, rest_of
from flowrt.handover import QUANTUM

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.messages import Chunk
    from flowrt.places import OperationPlace


class InlineExecutor:
    """Performs about a millisecond's work of a chunk at once, and gives the rest back."""

    inline = True

    def __init__(self, reports: Reports, clock: Clock) -> None:
        self._reports = reports
        self._clock = clock

    def submit(self, place: OperationPlace, chunk: Chunk) -> None:
        quota = place.pace.quota(len(chunk.data))
        if quota < len(chunk.data):
            head = chunk.cut(quota)
            self._reports.give_back(chunk)
            chunk = head
        task = prepare(Task(place, chunk, self._reports.collect))
        started = self._clock.now()
        task.clock, task.until = self._clock, started + QUANTUM
        place.declaration.body.perform(task)
        task.busy = self._clock.now() - started
        place.pace.took(len(task.results), task.busy)
        rest = rest_of(task)
        if rest is not None:
            self._reports.give_back(rest)
        self._reports.report(task, final=True)

    def pull(self, pull: PullTask) -> None:
        started = self._clock.now()
        pull.clock, pull.until = self._clock, started + QUANTUM
        pull.perform()
        pull.busy = self._clock.now() - started
        self._reports.report_pull(pull)

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        return []

    def in_work(self) -> list[Task | PullTask]:
        return []

    def thread_idents(self) -> list[int]:
        return []

    def stop(self) -> None:
        """Nothing runs here by itself."""

    def join(self, _seconds: float) -> tuple[str, ...]:
        return ()
