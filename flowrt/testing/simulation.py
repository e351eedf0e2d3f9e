"""A whole runtime on one thread: at each step one decision says who starts, who finishes, who fails, who is late.

    runtime = FlowRuntime(flow, seams=simulated(seed=7))

Async and parallel operations keep their limits (one call at a time, n calls at a time, one per key), but their calls are made on the thread
that waits for a run, and what they bring may be arbitrarily late. The same seed gives the same trace.

Undisturbed, things happen first in, first out. What differs from that, as `{step: choice}`, is all there is to know about an order of events:
it replays it, and the fewer there are, the easier it is to read.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from flowrt import users
from flowrt.engine.contract import PullTask, Reports, Task
from flowrt.engine.meters import FASTEST
from flowrt.errors import FlowBuildError, FlowError, FlowStalledError
from flowrt.executors.backlog import Taken, picked
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import ExecutorPools
from flowrt.executors.seams import NextMoment, Seams
from flowrt.executors.tasks import task_of, with_keys
from flowrt.executors.workers import Crash, Post, Workers
from flowrt.operations.bodies import END_OF_CALL, ActionBody, Failure
from flowrt.operations.components import ComponentBody
from flowrt.operations.contract import LogEntry
from flowrt.testing.clock import IN_USE, SimulatedClock

if TYPE_CHECKING:
    from types import CodeType

    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Place


CALLS_OPERATIONS: dict[CodeType, str] = {}  # as in operations/bodies.py, which does what can be asked about


class SimulatedError(Exception):
    """What a call raises that the simulation lets fail."""


@define(eq=False)
class Possibility:
    """Something that may happen next."""

    name: str
    happen: Callable[[], None]


@define(eq=False)
class SimulatedCall:
    """What a simulated worker is busy with.

    Of the message it performed last nothing is seen yet: neither what it returned or raised, nor what it emitted, which may be seen piece by
    piece before the call ends.
    """

    name: str
    executor: SimulatedExecutor
    task: Task | PullTask
    due: float  # it does not go on before
    taken: Taken | None = None
    results: list[Any] = Factory(list)
    log: list[tuple[float, LogEntry]] = Factory(list)  # and when each was made
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

    def __init__(self, call: SimulatedCall, index: int, now: Callable[[], float]) -> None:
        self._call = call
        self._index = index
        self._now = now

    def append(self, entry: LogEntry) -> None:
        call = self._call
        own = (self._index, *entry[1:])
        if call.shown > self._index:  # it comes late
            call.task.log.append(own)
        else:
            call.log.append((self._now(), own))


class SimulatedExecutor(Workers):
    """A pool whose workers only do something when the simulation chooses them."""

    def __init__(
        self, workers: int, reports: Reports, post: Post, crash: Crash, simulation: Simulation
    ) -> None:
        super().__init__(workers, nullcontext(), simulation.clock, reports, post, crash)
        self._simulation = simulation
        self._begun = 0

    @property
    def _calls(self) -> list[SimulatedCall]:
        return [call for call in self._simulation.calls if call.executor is self]

    def submit(self, place: Place, chunk: Chunk) -> None:
        place.pace.estimate, place.pace.allowed = FASTEST, self._simulation.group
        chunk, keys = with_keys(place, chunk, self._reports)
        if chunk.data:
            self._backlog.put(place, chunk, keys)

    def pull(self, pull: PullTask) -> None:
        self._pulls.append(pull)

    # -- what the simulation chooses

    def start(self) -> Possibility | None:
        """Return the start of what waits longest, if a worker is free."""
        if self._stopping or len(self._calls) >= self._workers:
            return None
        place = self._pulls[0].place if self._pulls else self._backlog.first_place()
        if place is None:
            return None
        return Possibility(f"start {self._simulation.next_name(place)}", self._start)

    def goes_on(self, call: SimulatedCall) -> Possibility | None:
        """Return what comes next of a call; None when the runtime is over."""
        if self._stopping:
            return None
        task = call.task
        if isinstance(task, Task) and call.performed < len(task.data) and not task.stop:
            return Possibility(f"work {call.name}", partial(self._perform_next, call))
        return Possibility(f"finish {call.name}", partial(self.finish, call))

    def _start(self) -> None:
        taken = self._next()
        worker = 1 + self._begun % self._workers
        self._begun += 1
        if isinstance(taken, PullTask):
            taken.quota = min(taken.quota, self._simulation.group)
            taken.started = self._clock.now()
            call = self._simulation.begin(self, taken)
            call.due = self._simulation.clock.perform(taken.perform)
        elif taken is not None:
            task = task_of(taken, self._reports)
            task.worker, task.started = worker, self._clock.now()
            call = self._simulation.begin(self, task)
            call.taken = taken
            if taken.ended:  # inputs whose runs had ended when they were taken are not begun
                task.results += [None] * len(task.data)
                call.shown = len(task.data)
            else:
                self._perform_next(call)

    def _perform_next(self, call: SimulatedCall) -> None:
        """Perform the next message of a group, as the body would in its loop."""
        task = call.task
        assert isinstance(task, Task)  # a pull is performed at once
        call.show()
        index = call.shown
        alone = Task(task.place, picked(task.chunk, [index]), lambda _group: self._reports.collect(task))
        alone.messages, alone.operation = task.messages[index : index + 1], task.operation
        alone.state, alone.fed, alone.port = task.state, task.fed, task.port
        alone.log = _Entries(call, index, self._clock.now)  # type: ignore[assignment]
        call.due = self._simulation.clock.perform(lambda: task.place.declaration.body.perform(alone))
        result = alone.results[0]
        call.results.append(result)
        if type(result) is Failure and users.is_a(result.error, users.STOPS):
            task.stop = True

    def emit(self, call: SimulatedCall) -> None:
        """Let the next thing be seen that a call has emitted, though the call has not ended."""
        task = call.task
        assert isinstance(task, Task)  # a pull emits nothing
        _, entry = call.log.pop(0)
        task.log.append(entry)
        self._post(partial(self._reports.report, task, final=False))

    def finish(self, call: SimulatedCall) -> None:
        """Bring what a call has, and what it has not begun back in front."""
        task = call.task
        try:
            self._simulation.calls.remove(call)
            call.show()
            task.busy = self._clock.now() - task.started
            if isinstance(task, PullTask):
                task.finished = True
                self._post(self._reports.report_pull, task)
            elif call.taken is not None:
                self._bring(call.taken, task)
        except BaseException as error:
            self._crash(error)

    # -- the contract

    def in_work(self) -> list[Task | PullTask]:
        """Return what is performed in groups; of a single call nothing is seen before it is chosen to finish."""
        return self.doing() if self._simulation.group > 1 else []

    def doing(self) -> list[Task | PullTask]:
        return [call.task for call in self._calls]

    def _give_up(self, task: Task) -> Task | None:
        call = next(call for call in self._calls if call.task is task)
        if call.due <= self._clock.now():  # it has returned, and only waits to be chosen
            return None
        task.lost = task.finished = True
        task.log += [entry for _, entry in call.log]
        task.whereabouts = f", in the simulated call {call.name}"
        self._simulation.calls.remove(call)
        if call.taken is not None:
            self._backlog.finish(call.taken, 1)
        return task

    def hurry(self) -> None:
        self._backlog.hurry()

    def stop(self) -> None:
        super().stop()
        for call in self._calls:
            self._simulation.calls.remove(call)


Choose = Callable[[int, int], int]
"""Given the number of a step and how many possibilities it has: the number of one."""

MOST_STEPS = 1_000_000  # some twenty seconds; arbitrary: no test is meant to take longer
STEPS_TO_CLOSE = 10_000  # more, for the runtime to be closed; arbitrary
STEPS_SHOWN = 6  # arbitrary: a round of a small loop


class Simulation:
    """Chooses what happens next among all that may.

    At each step the possibilities are, in this order: the next input (of `inputs`), the engine's next step, starts of calls for which a worker is
    free, goings-on of calls (the next message of a group, the end of a call; oldest call first), emissions that are seen before their call ends,
    failures of calls, the passing of time.
    The first that has something to do is what happens undisturbed; time then passes only when nothing else can happen.

    Args:
        choose: chooses at each step that has more than one possibility.
        faults: so many calls may be made to fail with `SimulatedError`.
        group: how many messages a worker takes at most. Beyond one, the engine may also look at what a group has so far.
        eager: the engine goes first whenever it can, and so do inputs: only the order of calls is chosen.
        most_steps: after so many of them whoever waits gets a `FlowStalledError`.

    Attributes:
        trace: what happened, step by step: "engine", "look", "time", names of inputs, and of a call "start op#n", "work op#n", "emit op#n",
            "finish op#n", "fail op#n".
        deviations: the steps at which it was not the first possibility, and what it was: `{step: choice}`.
        inputs: what is still to come from outside.
    """

    def __init__(
        self,
        choose: Choose,
        *,
        faults: int = 0,
        group: int = 1,
        eager: bool = False,
        most_steps: int = MOST_STEPS,
    ) -> None:
        self._choose = choose
        self._faults = faults
        self._eager = eager
        self._most_steps = most_steps
        self._executors: list[SimulatedExecutor] = []
        self.calls: list[SimulatedCall] = []  # under way, oldest first
        self._numbers: Counter[str] = Counter()
        self.group = group
        self.clock: SimulatedClock = SimulatedClock()
        self.trace: list[str] = []
        self.deviations: dict[int, int] = {}
        self.inputs: deque[Possibility] = deque()

    def executors(
        self, _name: str, seams: Seams, reports: Reports, post: Post, crash: Crash, *, parallelism: bool
    ) -> ExecutorPools:

        def make(_name: str, workers: int) -> SimulatedExecutor:
            executor = SimulatedExecutor(workers, reports, post, crash, self)
            self._executors.append(executor)
            return executor

        return ExecutorPools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    @property
    def calls_begun(self) -> int:
        """How many calls have been handed to workers."""
        return self._numbers.total()

    # -- steps

    def step(
        self,
        engine_step: Callable[[], bool],
        next_moment: NextMoment,
        look: Callable[[], None],
    ) -> bool:
        """Let one thing happen; say whether anything could."""
        if len(self.trace) >= self._most_steps:
            steps, self._most_steps = self._most_steps, len(self.trace) + STEPS_TO_CLOSE
            raise FlowStalledError(
                f"the flow has not come to its end within {steps} steps of the simulation; the last were {', '.join(self.trace[-STEPS_SHOWN:])}. "
                "Does it go round for ever? Let every loop end, or give it fewer inputs."
            )
        outer, IN_USE.clock = IN_USE.clock, self.clock
        try:
            return self._step(engine_step, lambda: self._possibilities(next_moment, look))
        finally:
            IN_USE.clock = outer

    def _step(self, engine_step: Callable[[], bool], others: Callable[[], list[Possibility]]) -> bool:
        if self._eager and not self.inputs and engine_step():
            return self._happened("engine", 0)
        before = [self.inputs[0]] if self.inputs else []
        after = others()
        engine = len(before)
        total = engine + 1 + len(after)
        chosen = self._chosen(total, engine)
        if chosen == engine:
            if engine_step():
                return self._happened("engine", chosen)
            after = others()  # it may have begun to wait for time, or closed
            if not (before or after):
                return False
            possibility = after[0] if after else before[0]
        else:
            possibility = before[0] if chosen < engine else after[chosen - engine - 1]
        if self.inputs and possibility is self.inputs[0]:
            self.inputs.popleft()
        self._happened(possibility.name, chosen)
        possibility.happen()
        return True

    def _chosen(self, total: int, engine: int) -> int:
        if self._eager and not engine:
            # The engine has nothing to do: the choice is among the others, and numbered as it would be beside it.
            chosen = self._choose(len(self.trace), total - 1) if total > 2 else 0
            return chosen + 1 if chosen else 0
        if self._eager or total == 1:
            return 0
        return self._choose(len(self.trace), total)

    def _happened(self, name: str, chosen: int) -> bool:
        if chosen:
            self.deviations[len(self.trace)] = chosen
        self.trace.append(name)
        return True

    def _possibilities(self, next_moment: NextMoment, look: Callable[[], None]) -> list[Possibility]:
        now = self.clock.now()
        # Who has returned and only waits to be chosen cannot be given up: no time needs to pass for that.
        moment = next_moment(under_way=any(call.due > now for call in self.calls))
        found = [each for executor in self._executors if (each := executor.start())]
        moments = [] if moment is None else [moment]
        for call in self.calls:
            if call.due > now:
                moments.append(call.due)
            elif (each := call.executor.goes_on(call)) is not None:
                found.append(each)
        for call in self.calls:
            moment = call.emits_at()
            if moment is not None and moment <= now:
                found.append(Possibility(f"emit {call.name}", partial(call.executor.emit, call)))
            elif moment is not None:
                moments.append(moment)
        if self._faults:
            found += [
                Possibility(f"fail {call.name}", partial(self._fail, call))
                for call in self.calls
                if call.due <= now and call.may_fail()
            ]
        if self.group > 1 and self.calls:
            found.append(Possibility("look", look))
        if moments:
            found.append(Possibility("time", partial(self.clock.advance_to, min(moments))))
        return found

    def _fail(self, call: SimulatedCall) -> None:
        self._faults -= 1
        call.fail()
        call.executor.finish(call)

    # -- calls

    def begin(self, executor: SimulatedExecutor, task: Task | PullTask) -> SimulatedCall:
        """A worker has taken something."""
        call = SimulatedCall(self.next_name(task.place), executor, task, self.clock.now())
        self._numbers[task.place.name] += 1
        self.calls.append(call)
        return call

    def next_name(self, place: Place) -> str:
        """Say what the next call of a place will be called."""
        return f"{place.name}#{self._numbers[place.name]}"


def simulated(
    seed: int | None = None, *, deviations: Mapping[int, int] | None = None, faults: int = 0, group: int = 1
) -> Seams:
    """Return seams for a runtime on one thread, with a fake clock: what happens next is a seeded choice, or as told.

    Args:
        seed: of the choice; 0 if nothing is given.
        deviations: instead of a seed: the steps at which it is not the first possibility that happens, and which one it is (as in
            `Simulation.deviations`, or as `explore` has it printed). `{}`: first in, first out.
        faults: so many calls may be made to fail with `SimulatedError`.
        group: how many messages a worker takes at most.
    """
    check_faults(faults)
    if not isinstance(group, int) or isinstance(group, bool) or group < 1:
        raise FlowBuildError(f"a worker takes groups of 1 message or more, not {group!r}.")
    if seed is not None and deviations is not None:
        raise FlowError("simulated takes a seed or deviations, not both: deviations leave nothing to chance.")
    rng = random.Random(seed or 0)  # noqa: S311 - to be repeatable is the point
    choose: Choose = lambda _step, possibilities: rng.randrange(possibilities)  # noqa: E731
    if deviations is not None:
        choose = partial(as_told, dict(deviations))
    return seams_of(Simulation(choose, faults=faults, group=group), rng)


def check_faults(faults: int) -> int:
    """Return a number of calls; refuse what is none."""
    if not isinstance(faults, int) or isinstance(faults, bool) or faults < 0:
        raise FlowBuildError(f"faults says how many calls may be made to fail, 0 or more; got {faults!r}.")
    return faults


def as_told(deviations: Mapping[int, int], step: int, possibilities: int) -> int:
    """Choose what deviations say, and the first possibility elsewhere."""
    # One too high means the same here as one lower would: so every mapping is an order of events, and shrinks freely.
    return deviations.get(step, 0) % possibilities


def seams_of(simulation: Simulation, rng: random.Random | None = None) -> Seams:
    """Return the seams of a runtime that a simulation decides about."""
    return Seams(
        clock=simulation.clock,
        rng=rng or random.Random(0),  # noqa: S311 - likewise
        executors=simulation.executors,
        simulation=simulation,
    )
