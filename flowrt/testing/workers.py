"""Simulated workers: they only do something when the simulation chooses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from flowrt.bodies import END_OF_CALL, ActionBody, Failure
from flowrt.components import ComponentBody
from flowrt.contract import PullTask, Reports, Task
from flowrt.executors.tasks import rest_of, task_of, with_keys
from flowrt.handover import FASTEST, Backlog
from flowrt.lanes import Waiting, picked

if TYPE_CHECKING:
    from flowrt.messages import Chunk
    from flowrt.places import OperationPlace
    from flowrt.testing.simulation import Simulation

Entry = tuple[int, Any, Any]


class SimulatedError(Exception):
    """What a call raises that the simulation lets fail."""


@define(eq=False)
class Possibility:
    """Something that may happen next."""

    name: str
    happen: Callable[[], None]


@define(eq=False)
class Call:
    """What a simulated worker is busy with.

    Of the message it performed last nothing is seen yet: neither what it returned or raised, nor what it emitted, which may be seen piece by
    piece before the call ends.
    """

    name: str
    executor: SimulatedExecutor
    task: Task | PullTask
    due: float  # it does not go on before
    taken: Waiting | None = None
    results: list[Any] = Factory(list)
    log: list[tuple[float, Entry]] = Factory(list)  # and when each was made
    shown: int = 0  # messages of the group of which everything has been seen

    @property
    def performed(self) -> int:
        """How many messages of its group it has performed."""
        return self.shown + len(self.results)

    def show(self) -> None:
        """Let everything be seen; the log first, as where a body performs."""
        self.task.log += [entry for _, entry in self.log]
        self.log.clear()
        self.shown += len(self.results)
        self.task.failed = self.task.failed or any(type(each) is Failure for each in self.results)
        self.task.results += self.results
        self.results.clear()

    def emits_at(self) -> float | None:
        """When it has emitted something that can be seen before it ends; None if there is nothing."""
        task = self.task
        if not self.log or not isinstance(task, Task) or task.reorder is not None:
            return None
        if type(task.place.declaration.body) not in (ActionBody, ComponentBody):
            return None
        moment, entry = self.log[0]
        return None if entry[1] is END_OF_CALL else moment

    def may_fail(self) -> bool:
        """Whether what it performed last has not raised by itself."""
        if isinstance(self.task, PullTask):
            return self.task.failure is None
        return bool(self.results) and type(self.results[0]) is not Failure

    def fail(self) -> None:
        """Have it end with a fault instead of what its last message brought."""
        failure = Failure(SimulatedError(f"{self.name} was made to fail"))
        if isinstance(self.task, PullTask):
            self.task.failure = failure
            self.task.exhausted = False
        else:
            self.results[0] = failure


class _Entries:
    """The log of a message of a group that is performed alone, under its number in the group."""

    def __init__(self, call: Call, index: int) -> None:
        self._call = call
        self._index = index

    def append(self, entry: Entry) -> None:
        call = self._call
        own = (self._index, *entry[1:])
        if call.shown > self._index:  # it comes late
            call.task.log.append(own)
        else:
            call.log.append((call.executor.now(), own))


class SimulatedExecutor:
    """A pool whose workers only do something when the simulation chooses them."""

    inline = False

    def __init__(
        self,
        workers: int,
        reports: Reports,
        post: Callable[..., None],
        crash: Callable[[BaseException], None],
        simulation: Simulation,
    ) -> None:
        self._workers = workers
        self._reports = reports
        self._post = post
        self._crash = crash
        self._simulation = simulation
        self._backlog = Backlog(workers)
        self._pulls: deque[PullTask] = deque()
        self._current: list[Call] = []
        self._taken = 0
        self._stopped = False

    def submit(self, place: OperationPlace, chunk: Chunk) -> None:
        place.pace.estimate, place.pace.allowed = FASTEST, self._simulation.group
        chunk, keys = with_keys(place, chunk, self._reports)
        if chunk.data:
            self._backlog.put(place, chunk, keys)

    def pull(self, pull: PullTask) -> None:
        self._pulls.append(pull)

    # -- what the simulation chooses

    def start(self) -> Possibility | None:
        """Return the start of what waits longest, if a worker is free."""
        if self._stopped or len(self._current) >= self._workers:
            return None
        if self._pulls:
            return Possibility(f"start {self._simulation.next_name(self._pulls[0].place)}", self._start_pull)
        place = self._backlog.first_place()
        if place is None:
            return None
        return Possibility(f"start {self._simulation.next_name(place)}", self._start)

    def goes_on(self, call: Call) -> Possibility | None:
        """Return what comes next of a call; None when the runtime is over."""
        if self._stopped:
            return None
        task = call.task
        if isinstance(task, Task) and call.performed < len(task.data) and not task.stop:
            return Possibility(f"work {call.name}", partial(self._perform_next, call))
        return Possibility(f"finish {call.name}", partial(self.finish, call))

    def _start_pull(self) -> None:
        pull = self._pulls.popleft()
        pull.quota = min(pull.quota, self._simulation.group)
        pull.started = self.now()
        call = self._begin(pull)
        call.due = self._simulation.clock.perform(pull.perform)

    def _start(self) -> None:
        taken = self._backlog.take()
        if taken is None:
            raise AssertionError("unreachable: something was ready")
        task = task_of(taken, self._reports)
        task.worker, task.started = 1 + self._taken % self._workers, self._simulation.clock.now()
        call = self._begin(task)
        call.taken = taken
        if taken.ended:  # inputs whose runs had ended when they were taken are not begun
            task.results += [None] * len(task.data)
            call.shown = len(task.data)
        else:
            self._perform_next(call)

    def _begin(self, task: Task | PullTask) -> Call:
        self._taken += 1
        call = self._simulation.begin(self, task)
        self._current.append(call)
        return call

    def _perform_next(self, call: Call) -> None:
        """Perform the next message of a group, as the body would in its loop."""
        task = call.task
        assert isinstance(task, Task)  # a pull is performed at once
        call.show()
        index = call.shown
        alone = Task(task.place, picked(task.chunk, [index]), lambda _group: self._reports.collect(task))
        alone.messages, alone.operation = task.messages[index : index + 1], task.operation
        alone.state, alone.fed, alone.port = task.state, task.fed, task.port
        alone.log = _Entries(call, index)  # type: ignore[assignment]
        call.due = self._simulation.clock.perform(lambda: task.place.declaration.body.perform(alone))
        call.results.append(alone.results[0])
        result = alone.results[0]
        if type(result) is Failure and isinstance(result.error, SystemExit | KeyboardInterrupt):
            task.stop = True

    def emit(self, call: Call) -> None:
        """Let the next thing be seen that a call has emitted, though the call has not ended."""
        task = call.task
        assert isinstance(task, Task)  # a pull emits nothing
        _, entry = call.log.pop(0)
        task.log.append(entry)
        self._post(partial(self._reports.report, task, final=False))

    def finish(self, call: Call) -> None:
        """Bring what a call has, and what it has not begun back in front."""
        try:
            self._bring(call)
        except BaseException as error:
            self._crash(error)

    def _bring(self, call: Call) -> None:
        task = call.task
        self._simulation.end(call)
        self._current.remove(call)
        call.show()
        task.finished = True
        task.busy = self.now() - task.started
        if isinstance(task, PullTask):
            self._post(self._reports.report_pull, task)
            return
        taken, done = call.taken, len(task.results)
        assert taken is not None  # only a pull was not taken from the backlog
        rest = rest_of(task)
        if rest is not None:
            self._backlog.put_back(taken, done, rest)
        self._post(self._reports.report, task)
        self._backlog.finish(taken, done)

    def now(self) -> float:
        return self._simulation.clock.now()

    # -- the contract

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        found = [(place.name, chunk, 0) for place, chunk in self._backlog]
        tasks = [call.task for call in self._current if isinstance(call.task, Task)]
        return found + [(task.place.name, task.chunk, task.reported) for task in tasks]

    def in_work(self) -> list[Task | PullTask]:
        """Return what is performed in groups; of a single call nothing is seen before it is chosen to finish."""
        return [call.task for call in self._current] if self._simulation.group > 1 else []

    def doing(self) -> list[Task | PullTask]:
        """Return all that is being performed, to be looked at and left alone."""
        return [call.task for call in self._current]

    def thread_idents(self) -> list[int]:
        return []

    def abandon(self, chunk: Chunk, seconds: float) -> Task | float:
        for call in self._current:
            task = call.task
            if isinstance(task, Task) and task.chunk is chunk:
                left = task.started + seconds - self.now()
                if left > 0:
                    return left
                if call.due <= self.now():  # it has returned, and only waits to be chosen
                    return seconds
                task.lost = task.finished = True
                task.log += [entry for _, entry in call.log]
                task.whereabouts = f", in the simulated call {call.name}"
                self._simulation.end(call)
                self._current.remove(call)
                if call.taken is not None:
                    self._backlog.finish(call.taken, 1)
                return task
        return seconds

    def hurry(self) -> None:
        self._backlog.hurry()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            for call in self._current:
                self._simulation.end(call)
            self._current.clear()
            self._pulls.clear()
            self._backlog = Backlog(self._workers)

    def given_up(self) -> tuple[str, ...]:
        return ()

    def join(self, _seconds: float) -> tuple[str, ...]:
        return ()
