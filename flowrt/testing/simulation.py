"""A whole runtime on one thread: at each step one decision says who starts, who finishes, who fails, who is late.

    runtime = FlowRuntime(flow, seams=simulated(seed=7))

Async and parallel operations keep their limits (one call at a time, n calls at a time, one per key), but their calls are made on the thread
that waits for a run, and what they bring may be arbitrarily late. The same seed gives the same trace.

Undisturbed, things happen first in, first out. What differs from that, as `{step: choice}`, is all there is to know about an order of events:
it replays it, and the fewer there are, the easier it is to read.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flowrt.contract import PullTask, Reports, Task
from flowrt.errors import FlowBuildError, FlowError, FlowStalledError
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import Pools
from flowrt.inbox import Seams
from flowrt.testing.clock import CLOCK_IN_USE, SimulatedClock
from flowrt.testing.workers import Call, Possibility, SimulatedExecutor

if TYPE_CHECKING:
    from flowrt.places import OperationPlace

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
        self._calls: list[Call] = []
        self._numbers: dict[str, int] = {}
        self.group = group
        self.clock = SimulatedClock()
        self.trace: list[str] = []
        self.deviations: dict[int, int] = {}
        self.inputs: deque[Possibility] = deque()

    def executors(
        self,
        _name: str,
        seams: Seams,
        reports: Reports,
        post: Callable[..., None],
        crash: Callable[[BaseException], None],
        *,
        parallelism: bool,
    ) -> Pools[SimulatedExecutor]:
        """Make the executors of a runtime."""

        def make(_name: str, workers: int) -> SimulatedExecutor:
            executor = SimulatedExecutor(workers, reports, post, crash, self)
            self._executors.append(executor)
            return executor

        return Pools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    @property
    def calls_begun(self) -> int:
        """How many calls have been handed to workers."""
        return sum(self._numbers.values())

    # -- steps

    def step(
        self,
        engine_step: Callable[[], bool],
        next_moment: Callable[[], float | None],
        look: Callable[[], None],
    ) -> bool:
        """Let one thing happen; say whether anything could."""
        if len(self.trace) >= self._most_steps:
            steps, self._most_steps = self._most_steps, len(self.trace) + STEPS_TO_CLOSE
            raise FlowStalledError(
                f"the flow has not come to its end within {steps} steps of the simulation; the last were {', '.join(self.trace[-STEPS_SHOWN:])}. "
                "Does it go round for ever? Let every loop end, or give it fewer inputs."
            )
        outer = CLOCK_IN_USE.set(self.clock)
        try:
            return self._step(engine_step, next_moment, look)
        finally:
            CLOCK_IN_USE.reset(outer)

    def _step(
        self,
        engine_step: Callable[[], bool],
        next_moment: Callable[[], float | None],
        look: Callable[[], None],
    ) -> bool:
        if self._eager and not self.inputs and engine_step():
            return self._happened("engine", 0)
        before = [self.inputs[0]] if self.inputs else []
        after = self._possibilities(next_moment(), look)
        engine = len(before)
        total = engine + 1 + len(after)
        chosen = self._chosen(total, engine)
        if chosen == engine:
            if engine_step():
                return self._happened("engine", chosen)
            after = self._possibilities(next_moment(), look)  # it may have begun to wait for time, or closed
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

    def _possibilities(self, moment: float | None, look: Callable[[], None]) -> list[Possibility]:
        now = self.clock.now()
        found = [each for executor in self._executors if (each := executor.start())]
        moments = [] if moment is None else [moment]
        for call in self._calls:
            if call.due > now:
                moments.append(call.due)
            elif (each := call.executor.goes_on(call)) is not None:
                found.append(each)
        for call in self._calls:
            moment = call.emits_at()
            if moment is not None and moment <= now:
                found.append(Possibility(f"emit {call.name}", partial(call.executor.emit, call)))
            elif moment is not None:
                moments.append(moment)
        if self._faults:
            found += [
                Possibility(f"fail {call.name}", partial(self._fail, call))
                for call in self._calls
                if call.due <= now and call.may_fail()
            ]
        if self.group > 1 and self._calls:
            found.append(Possibility("look", look))
        if moments:
            found.append(Possibility("time", partial(self.clock.advance_to, min(moments))))
        return found

    def _fail(self, call: Call) -> None:
        self._faults -= 1
        call.fail()
        call.executor.finish(call)

    # -- calls

    def begin(self, executor: SimulatedExecutor, task: Task | PullTask) -> Call:
        """A worker has taken something."""
        name = task.place.name
        number = self._numbers.get(name, 0)
        self._numbers[name] = number + 1
        call = Call(f"{name}#{number}", executor, task, self.clock.now())
        self._calls.append(call)
        return call

    def next_name(self, place: OperationPlace) -> str:
        """Say what the next call of a place will be called."""
        return f"{place.name}#{self._numbers.get(place.name, 0)}"

    def end(self, call: Call) -> None:
        """A worker is free again."""
        self._calls.remove(call)


def simulated(
    seed: int | None = None,
    *,
    deviations: Mapping[int, int] | None = None,
    faults: int = 0,
    group: int = 1,
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
