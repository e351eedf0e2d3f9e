"""Plays a random flow from one seed: inputs, late emissions, faults, cancels and a close, in a random order of events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, cast

import attrs

from flowrt import FlowRuntime, FlowStoppedError, Message, Run, RunCancelledError
from flowrt.runtime.wiring import inner_parts
from flowrt.testing import SimulatedExecutor, Simulation
from flowrt.testing.simulation import Possibility, SimulatedCall, as_told, seams_of
from tests.kit.graphs.evidence import Sent
from tests.kit.graphs.notes import Notes, data_of
from tests.kit.graphs.oracles import Judge
from tests.kit.graphs.shapes import Builder, Region, draw_graph

STEPS_PER_EVENT, STEPS_ASIDE = 12, 600  # after the faults have stopped; at most half of that was seen
NO_ORDER_OF_BEGIN = 2  # messages in a group: what is taken back begins after what others have begun meanwhile
# By the seed: the draw is among the three there were at first, so that recorded seeds keep their meaning.
SCHEDULES = ("breadth_first", "depth_first", "sync")
LATER_SCHEDULES = {1: "round_robin", 2: "parallel"}
MOST_STEPS_PER_EVENT, MOST_STEPS_ASIDE = 40, 5_000  # in any case, however late everything is


@attrs.frozen
class Action:
    """Something the outside does, and how many steps after the last."""

    kind: str
    values: tuple[int, ...] = ()
    priority: int = 0
    pause: int = 0


@attrs.frozen
class Plan:
    """All that a seed stands for, the order of events aside."""

    graph: Region
    actions: tuple[Action, ...]
    schedule: Any
    parallelism: bool
    capacity: int
    group: int
    faults: int
    heal: int  # the step from which on nothing fails any more
    calm: bool  # and all goes first in, first out
    inside: bool  # the outside acts when the simulation chooses it
    tapped: bool
    subscribed: bool
    reader: str
    calls: tuple[Action, ...]  # what operations do that call


KINDS = {"post": 8, "post many": 5, "late": 2, "throttle": 1, "throttle off": 1, "cancel": 2, "read": 1}
CALLS = {"post": 6, "post many": 3, "late": 2, "cancel": 2, "close": 0.3}
MOST_RUNS = 20


def draw_plan(rng: random.Random) -> Plan:
    graph = draw_graph(rng)
    actions = []
    for _ in range(rng.randint(1, 7)):
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        number = rng.choice([0, 1, 2, 3, 5, 12]) if kind == "post many" else 1
        values = tuple(rng.randrange(21) for _ in range(number))
        actions.append(Action(kind, values, rng.choice([0, 0, 0, 2]), rng.choice([0, 1, 3, 10, 40])))
    if not any(action.kind.startswith("post") for action in actions):
        actions.insert(0, Action("post", (rng.randrange(21),)))
    if rng.random() < 0.2:
        actions.insert(rng.randint(1, len(actions)), Action("close", pause=rng.randint(0, 20)))
    return Plan(
        graph,
        tuple(actions),
        rng.choice(SCHEDULES),
        rng.random() < 0.95,
        rng.choice([1, 3, 10_000, 10_000]),
        rng.choice([1, 1, 2, 3, 4]),
        rng.choice([0, 0, 1, 2, 3]),
        rng.choice([20, 60, 200]),
        rng.random() < 0.5,
        rng.random() < 0.5,
        rng.random() < 0.3,
        rng.random() < 0.3,
        rng.choice(["run", "runtime", "handler"]),
        tuple(_drawn_call(rng) for _ in range(5)),
    )


def _drawn_call(rng: random.Random) -> Action:
    (kind,) = rng.choices(list(CALLS), list(CALLS.values()))
    number = 3 if kind == "post many" else 1
    return Action(kind, tuple(rng.randrange(21) for _ in range(number)), rng.choice([0, 0, 2]))


# --- playing


class Observed(Simulation):
    """A simulation that notes what it makes fail, and says when it goes on for too long."""

    def __init__(self, choose: Callable[[int, int], int], plan: Plan, notes: Notes) -> None:
        super().__init__(self._chosen_until_healed, faults=plan.faults, group=plan.group)
        self._drawn = choose
        self._plan = plan
        self._notes = notes
        self._events_before = 0
        self._now = ""
        notes.step = self.now

    def now(self) -> str:
        """The call that is performed; none where the engine performs itself."""
        return self._now

    def _chosen_until_healed(self, step: int, possibilities: int) -> int:
        if step >= self._plan.heal:
            self._faults = 0
            if self._plan.calm:
                return 0
        return self._drawn(step, possibilities)

    def begin(self, executor: SimulatedExecutor, task: Any) -> SimulatedCall:
        call = super().begin(executor, task)
        self._now = call.name
        return call

    def _happened(self, name: str, chosen: int) -> bool:
        self._now = name.partition(" ")[2]
        return super()._happened(name, chosen)

    def _fail(self, call: SimulatedCall) -> None:
        task: Any = call.task
        place, data = (
            (task.source.place, task.source.message.data)
            if hasattr(task, "source")
            else (task.place, task.data[call.performed - 1])
        )
        self._notes.fail(place.name.rpartition("/")[2], call.name, data)
        super()._fail(call)

    def step(self, *arguments: Any) -> bool:
        self._now = ""
        happened = super().step(*arguments)
        events = len(self._notes.calls) + len(self._notes.facts)
        if len(self.trace) > MOST_STEPS_ASIDE + MOST_STEPS_PER_EVENT * events:
            raise AssertionError(f"after {len(self.trace)} steps it is not idle")
        if self._plan.calm:
            steps = len(self.trace) - self._plan.heal
            if steps <= 0:
                self._events_before = events
            elif steps > STEPS_ASIDE + STEPS_PER_EVENT * (events - self._events_before + 10):
                raise AssertionError(f"{steps} steps after the faults had stopped it is not idle")
        return happened


class Player:
    """Plays a plan: builds the graph, acts as the outside, reads what comes."""

    def __init__(self, plan: Plan, choose: Callable[[int, int], int], *, real_threads: bool = False) -> None:
        self.plan = plan
        self.notes = Notes()
        self.notes.spreads = plan.schedule == "parallel" and plan.parallelism
        self.simulation = Observed(choose, plan, self.notes)
        self.runtime = FlowRuntime(
            name="simulated",
            schedule=plan.schedule,
            parallelism=plan.parallelism,
            capacity=plan.capacity,
            seams=None if real_threads else seams_of(self.simulation),
        )
        self.sent: list[Sent] = []
        self.late: set[int] = set()
        self.late_runs: list[Run] = []
        self.closed = False
        self.results: dict[int, list[int]] = {}
        self._read_of: dict[Run, int] = {}
        self.unseen: list[BaseException] = []
        self._new_tag = count(1).__next__
        self._closed_early = False
        self._refused = False  # some input was: whose run that is the caller never knew
        self._cut_short = False  # some run may be: one was cancelled, or the runtime closed
        self.notes.outside = self._call

    def play(self) -> None:
        Builder(self.runtime, self.notes).build(self.plan.graph)
        self._watch()
        for action in self.plan.actions:
            if self.plan.inside:
                act = partial(self._act, action)
                self.simulation.inputs.append(Possibility(f"input {action.kind}", act))
            else:
                self._let_steps_pass(action.pause)
                self._act(action)
        if self.plan.inside:
            self.runtime._owner.wait_until(lambda: not self.simulation.inputs, None)
        self.runtime.throttle(0)
        self.runtime.wait_idle()
        self._read_all()
        self._close()
        self._read_all()

    def _let_steps_pass(self, steps: int) -> None:
        if self.runtime._owner.seams.simulation is not None:
            self.runtime._owner.wait_until(partial(_passed, iter(range(steps))), 1.0)

    def _watch(self) -> None:
        runtime, host = self.runtime, self.runtime._owner.engine._host
        new_handle = host.new_handle

        def new_late_handle() -> Any:
            run = cast("Run", new_handle())
            self.late_runs.append(run)
            return run

        cast("Any", host).new_handle = new_late_handle
        if self.plan.tapped:
            runtime.on_message(self._tap)
        if self.plan.subscribed:
            runtime.on_exception(self.notes.told.append)
        if self.plan.reader == "handler":
            runtime.on_result(self._take)

    def _tap(self, message: Message) -> None:
        datum = data_of(message.data) if isinstance(message.data, BaseException) else message.data
        fact = self.notes.facts.get(getattr(datum, "serial", -1))
        if fact is not None and fact.tag not in self.late:
            assert message.correlation_id == fact.tag

    # -- the outside

    def _act(self, action: Action) -> None:
        try:
            getattr(self, f"_{action.kind.replace(' ', '_')}")(action)
        except FlowStoppedError:
            assert self.closed

    def _call(self, number: int) -> None:
        """What an operation does that calls from inside."""
        action = self.plan.calls[number % len(self.plan.calls)]
        if len(self.notes.inputs) < MOST_RUNS:
            self._act(action)

    def _post(self, action: Action) -> None:
        self._send(action, many=False)

    def _post_many(self, action: Action) -> None:
        self._send(action, many=True)

    def _send(self, action: Action, *, many: bool) -> None:
        tag, notes = self._new_tag(), self.notes
        data = [notes.datum(tag, value, (), action.priority) for value in action.values]
        notes.inputs[tag] = [datum.serial for datum in data]
        try:
            if many:
                run = self.runtime.process_many(".in", data, correlation_id=tag, priority=action.priority)
            else:
                run = self.runtime.process(".in", data[0], correlation_id=tag, priority=action.priority)
        except FlowStoppedError:
            self._refused = True  # the runtime closed meanwhile; what was accepted before is worked off
            raise
        self.sent.append(Sent(tag, run, len(data)))

    def _late(self, action: Action) -> None:
        if self.notes.kept:
            tag = self._new_tag()
            self.late.add(tag)
            self.notes.emit_late(action.values[0], tag, action.values[0])

    def _throttle(self, action: Action) -> None:
        self.runtime.throttle(action.values[0] / 8)

    def _throttle_off(self, action: Action) -> None:
        self.runtime.throttle(0)

    def _cancel(self, action: Action) -> None:
        if self.sent:
            self._cut_short = True
            self.sent[action.values[0] % len(self.sent)].run.cancel()

    def _read(self, action: Action) -> None:
        if self.sent and not self.plan.inside:
            self._read_run(self.sent[action.values[0] % len(self.sent)])

    def _close(self, action: Action | None = None) -> None:
        self.closed = True
        self._cut_short = self._cut_short or action is not None
        self._closed_early = self._closed_early or action is not None
        try:
            self.runtime.close()
        except FlowStoppedError:
            raise
        except BaseExceptionGroup as group:
            self.unseen += group.exceptions
        except Exception as error:
            self.unseen.append(error)

    # -- reading

    def _take(self, message: Message) -> None:
        datum = message.data
        assert message.port.fullname == ".out"
        assert datum.tag in self.late or message.correlation_id == datum.tag
        assert message.priority == datum.priority
        self.results.setdefault(datum.tag, []).append(datum.serial)

    def _read_run(self, sent: Sent) -> None:
        try:
            for number, message in enumerate(sent.run.results()):
                assert message.data.tag == sent.tag
                if number >= self._read_of.get(sent.run, 0):  # else it is read again
                    self._read_of[sent.run] = number + 1
                    self._take(message)
        except (RunCancelledError, FlowStoppedError):
            pass
        except Exception as error:
            assert error is sent.run.failure

    def _read_all(self) -> None:
        if self.plan.reader == "run":
            for sent in self.sent:
                self._read_run(sent)
        while True:
            try:
                for message in self.runtime.results():
                    self._take(message)
            except FlowStoppedError:
                return
            except Exception as error:
                self.unseen.append(error)
            else:
                return

    # -- the end

    def judge(self) -> None:
        runs = [sent.run for sent in self.sent] + self.late_runs
        for run in runs:
            assert run.done, run
            ledger = run.ledger
            assert ledger.balanced, ledger
            assert (ledger.live, ledger.held) == (0, 0), ledger
        failures = [error for run in runs for error in run.failures]
        firsts = {id(run.failure) for run in runs if run.failure is not None}
        others = [error for error in self.unseen if id(error) not in firsts]
        assert self._refused or not others, others
        failures += others
        assert len({id(error) for error in self.unseen}) == len(self.unseen)
        whole = {sent.tag for sent in self.sent if sent.run._reason is None}
        if not self._closed_early:
            whole |= self.late
        assert self._cut_short or whole >= {sent.tag for sent in self.sent}
        books = self.runtime._owner.engine.books
        assert (books.live, books.outside.live, books.runs) == (0, 0, set())
        Judge(
            self.notes,
            self.sent,
            self.late,
            whole,
            self.results,
            self.simulation.trace,
            self.plan.subscribed,
            self.plan.group if self.plan.parallelism else 1,
            failures,
        ).judge()


def _passed(left: Iterator[int]) -> bool:
    return next(left, None) is None


def played(player: Player) -> Player:
    """Play it; a runtime that an assertion left as it was is not drained when the interpreter exits."""
    try:
        player.play()
    except BaseException:
        inner_parts(player.runtime).closer.forget()
        raise
    return player


def plan_of(seed: int) -> Plan:
    """Draw what a seed stands for."""
    plan = draw_plan(random.Random(seed))
    return attrs.evolve(plan, schedule=LATER_SCHEDULES.get(seed % 5, plan.schedule))


def play_seed(seed: int, deviations: Mapping[int, int] | None = None) -> Player:
    """Play what a seed stands for, in its own order of events or in a given one."""
    plan = plan_of(seed)
    rng = random.Random(f"order {seed}")
    choose: Callable[[int, int], int] = lambda _step, possibilities: rng.randrange(possibilities)  # noqa: E731
    if deviations is not None:
        choose = partial(as_told, deviations)
    return played(Player(plan, choose))


def run_seed(seed: int, deviations: Mapping[int, int] | None = None) -> Player:
    """Play a seed, and judge what came of it."""
    player = play_seed(seed, deviations)
    player.judge()
    return player
