"""A whole runtime on one thread: a seeded choice says at each step who starts and who finishes next.

    runtime = FlowRuntime(flow, seams=simulated(seed=7))

Async and parallel operations keep their limits (one call at a time, n calls at a time, one per key), but their calls are made on the thread
that waits for a run, and what they bring may be arbitrarily late. The same seed gives the same trace.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flowrt.contract import PullTask, Reports, Task
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import Pools
from flowrt.executors.tasks import perform, prepare, waiting_of
from flowrt.handover import Backlog
from flowrt.inbox import Seams
from flowrt.testing.clock import FakeClock

if TYPE_CHECKING:
    from flowrt.messages import Chunk
    from flowrt.places import OperationPlace

Choose = Callable[[int], int]
Action = tuple[str, Callable[[], None]]


class Simulation:
    """Chooses what happens next among all that may.

    Args:
        choose: given n possibilities, returns the number of one. Possibility 0 is the engine's next step.

    Attributes:
        trace: what was chosen, as "engine", "start op#n" or "finish op#n".
    """

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._executors: list[SimulatedExecutor] = []
        self.clock = FakeClock()
        self.trace: list[str] = []

    def executors(
        self,
        _name: str,
        seams: Seams,
        reports: Reports,
        post: Callable[..., None],
        _crash: Callable[[BaseException], None],
        *,
        parallelism: bool,
    ) -> Pools[SimulatedExecutor]:
        """Make the executors of a runtime."""

        def make(name: str, workers: int) -> SimulatedExecutor:
            executor = SimulatedExecutor(name, workers, reports, post)
            self._executors.append(executor)
            return executor

        return Pools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    def step(self, engine_step: Callable[[], bool], next_moment: Callable[[], float | None]) -> bool:
        """Let one thing happen; time passes only when nothing else can."""
        actions = [action for executor in self._executors for action in executor.actions()]
        chosen = self._choose(len(actions) + 1)
        if chosen == 0:
            if engine_step():
                self.trace.append("engine")
                return True
            if actions:
                chosen = 1 + self._choose(len(actions))
        if chosen:
            name, act = actions[chosen - 1]
            self.trace.append(name)
            act()
            return True
        moment = next_moment()
        if moment is not None:
            self.clock.advance_to(moment)
        return moment is not None


class SimulatedExecutor:
    """A pool whose workers only do something when the simulation chooses them."""

    inline = False

    def __init__(self, name: str, workers: int, reports: Reports, post: Callable[..., None]) -> None:
        self._name = name
        self._workers = workers
        self._reports = reports
        self._post = post
        self._backlog = Backlog(workers)
        self._pulls: deque[PullTask] = deque()
        self._current: dict[int, Task | PullTask] = {}
        self._started = 0
        self._stopped = False

    def submit(self, place: OperationPlace, chunk: Chunk) -> None:
        for waiting in waiting_of(place, chunk, self._reports):
            self._backlog.put(waiting)

    def pull(self, pull: PullTask) -> None:
        self._pulls.append(pull)

    def actions(self) -> list[Action]:
        """Return what may happen here now."""
        if self._stopped:
            return []
        found: list[Action] = []
        if len(self._current) < self._workers and (self._pulls or self._backlog.ready):
            found.append((f"start {self._name}#{self._started}", self._start))
        found += [
            (f"finish {self._name}#{number}", partial(self._finish, number)) for number in self._current
        ]
        return found

    def _start(self) -> None:
        number = self._started
        self._started += 1
        if self._pulls:
            pull = self._pulls.popleft()
            pull.quota = 1
            self._current[number] = pull
            pull.perform()
            return
        waiting = self._backlog.take()
        if waiting is None:
            raise AssertionError("unreachable: something was ready")
        task = prepare(Task(waiting.place, waiting.chunk, self._reports.collect))
        task.sequence, task.key, task.worker = waiting.sequence, waiting.key, 1 + number % self._workers
        self._current[number] = task
        perform(task, waiting)

    def _finish(self, number: int) -> None:
        task = self._current.pop(number)
        task.finished = True
        if isinstance(task, PullTask):
            self._post(self._reports.report_pull, task)
            return
        self._post(self._reports.report, task)
        if task.key is not None:
            self._backlog.release(task.key)

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        found = [(waiting.place.name, waiting.chunk, 0) for waiting in self._backlog]
        tasks = [task for task in self._current.values() if isinstance(task, Task)]
        return found + [(task.place.name, task.chunk, task.reported) for task in tasks]

    def in_work(self) -> list[Task | PullTask]:
        """Return nothing: of a call nothing is seen before it is chosen to finish."""
        return []

    def thread_idents(self) -> list[int]:
        return []

    def stop(self) -> None:
        self._stopped = True

    def join(self, _seconds: float) -> tuple[str, ...]:
        return ()


def simulated(seed: int = 0) -> Seams:
    """Return seams for a runtime on one thread, with a fake clock and a seeded choice of what happens next."""
    rng = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    simulation = Simulation(rng.randrange)
    return Seams(clock=simulation.clock, rng=rng, executors=simulation.executors, simulation=simulation)
