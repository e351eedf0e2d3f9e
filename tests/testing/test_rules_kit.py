"""The rule kit rejects what breaks a rule, by the number of that rule."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Message, Operation, Part
from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Task
from flowrt.errors import FlowBuildError, FlowError, FlowStoppedError
from flowrt.executors.backlog import NO_KEYS, KeyedLane, Taken
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import ExecutorPools
from flowrt.executors.seams import Seams
from flowrt.executors.threads import ThreadPool
from flowrt.operations.bodies import Failure
from flowrt.runtime import runtime as runtime_module
from flowrt.runtime.results import Subscribers
from flowrt.testing import SimulatedExecutor, simulated, simulation
from flowrt.testing.comparing import same_data
from flowrt.testing.rules import (
    RULES,
    Rule,
    RuleViolation,
    check_executor,
    check_operation,
    executors,
    operations,
    trials,
)
from flowrt.testing.rules.executors import (
    closes_once_for_all,
    makes_room_for_what_failed,
    subscribers_may_act,
    subscribers_may_raise,
)
from flowrt.testing.rules.trials import Trials
from tests.kit import effort
from tests.kit.programs import printed

PATIENCE = 0.3  # seconds: as long as a broken executor that hangs holds the test up


def seams_of(kind: type[ThreadPool]) -> Callable[[], Seams]:
    """Seams whose workers are of a kind."""

    def pools(
        name: str, seams: Seams, reports: Any, post: Any, crash: Any, *, parallelism: bool
    ) -> ExecutorPools:
        def make(pool: str, workers: int) -> ThreadPool:
            return kind(f"{name}/{pool}", workers, seams, reports, post, crash)

        return ExecutorPools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    return lambda: Seams(executors=pools)


def violation_of(factory: Callable[[], Seams], patience: float = PATIENCE) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        check_executor(factory, patience=patience)
    return caught.value


# --- executors of threads that break a rule


class Overlapping(ThreadPool):
    """Makes two calls of an async operation at once."""

    def __init__(self, name: str, workers: int, *others: Any) -> None:
        super().__init__(name, workers + (workers == 1), *others)


class Greedy(ThreadPool):
    """Makes more calls at once than parallel(n) allows."""

    def __init__(self, name: str, workers: int, *others: Any) -> None:
        super().__init__(name, workers + (workers > 1), *others)


class Lazy(ThreadPool):
    """Makes one call at a time, whatever parallel(n) says."""

    def __init__(self, name: str, _workers: int, *others: Any) -> None:
        super().__init__(name, 1, *others)


class Mixing(ThreadPool):
    """Lets a key go while one of its calls is under way."""

    def _perform(self, taken: Taken, number: int) -> int:
        with self._lock:
            if isinstance(taken.lane, KeyedLane):
                taken.lane._release(taken.keys[1])
                taken.keys = NO_KEYS
                self._backlog._offer(taken.lane)
            self._wake(1)
        return super()._perform(taken, number)


class Losing(ThreadPool):
    """Loses what it takes third."""

    taken = 0

    def _perform(self, taken: Taken, number: int) -> int:
        self.taken += 1
        return super()._perform(taken, number) if self.taken != 3 else len(taken.chunk.data)


class Told(ThreadPool):
    """Does something with what it reports, on the thread that performed it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self.told

    def told(self, report: Any, task: Any) -> None:
        raise NotImplementedError


class Silent(Told):
    """Performs everything, and does not report one group."""

    reported = 0

    def told(self, report: Any, task: Any) -> None:
        self.reported += 1
        if self.reported != 3:
            self._tell(report, task)


class Repeating(ThreadPool):
    """Performs a chunk twice."""

    def submit(self, place: Any, chunk: Chunk) -> None:
        context = chunk.context[:] if isinstance(chunk.context, list) else chunk.context
        again = Chunk(chunk.handler, chunk.data[:], context, chunk.positions, chunk.trail)
        super().submit(place, chunk)
        super().submit(place, again)


class Stuttering(Told):
    """Reports every group twice."""

    def told(self, report: Any, task: Any) -> None:
        self._tell(report, task)
        self._tell(report, task)


class Reorders:
    """Puts the first of several messages behind the others."""

    def submit(self, place: Any, chunk: Chunk) -> None:
        into: Any = super()
        if len(chunk.data) > 1:
            first = chunk.cut(1)
            into.submit(place, chunk)
            chunk = first
        into.submit(place, chunk)


class Reordering(Reorders, ThreadPool):
    pass


class Swallowing(Told):
    """Makes a result of None out of what a call raised."""

    def told(self, report: Any, task: Any) -> None:
        task.results = [None if type(result) is Failure else result for result in task.results]
        self._tell(report, task)


class DeafToExit(Told):
    """Makes an ordinary error out of SystemExit."""

    def told(self, report: Any, task: Any) -> None:
        for result in task.results:
            if type(result) is Failure and isinstance(result.error, SystemExit):
                result.error = RuntimeError()
        self._tell(report, task)


class LosingErrors(Told):
    """Does not report groups in which a call raised."""

    def told(self, report: Any, task: Any) -> None:
        if not getattr(task, "failed", False):
            self._tell(report, task)


class Meddling(Told):
    """Has the engine's books written by its workers."""

    def told(self, report: Any, task: Any) -> None:
        report(task)
        self._tell(int)  # the engine wakes up


class Raising(ThreadPool):
    """Raises in its worker, once what it performed has been reported."""

    def _perform(self, taken: Taken, number: int) -> int:
        super()._perform(taken, number)
        raise RuntimeError


class Leaking(ThreadPool):
    """Raises in a thread that nobody watches."""

    def _perform(self, taken: Taken, number: int) -> int:
        thread = threading.Thread(target=[].pop)
        thread.start()
        thread.join()
        return super()._perform(taken, number)


class Recursing(ThreadPool):
    """Takes the next piece of work before it returns from the last."""

    def _perform(self, taken: Taken, number: int) -> int:
        done = super()._perform(taken, number)
        with self._lock:
            following = self._backlog.take()
        if following is not None:
            following_done = self._perform(following, number)
            with self._lock:
                self._backlog.finish(following, following_done)
        return done


class Blocking(ThreadPool):
    """Waits in submit() until the work is done."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._done = threading.Semaphore(0)

    def submit(self, place: Any, chunk: Chunk) -> None:
        super().submit(place, chunk)
        self._done.acquire(timeout=20 * PATIENCE)

    def _perform(self, taken: Taken, number: int) -> int:
        done = super()._perform(taken, number)
        self._done.release()
        return done


class Forgetful(ThreadPool):
    """Drops all that waits when some of it is asked for, because one run is cancelled."""

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        found = super().unreported()
        while self._backlog.take() is not None:
            pass
        return found


class Unstoppable(ThreadPool):
    """Goes on with what has been given up."""

    def _perform(self, taken: Taken, number: int) -> int:
        taken.ended = False
        return super()._perform(taken, number)


class Late(Told):
    """Reports what it performed while being stopped when all is over."""

    def told(self, report: Any, task: Any) -> None:
        if self._stopping:
            threading.Timer(PATIENCE / 2, self._tell, (report, task)).start()
        else:
            self._tell(report, task)


class Lingering(ThreadPool):
    """Leaves a thread behind, of which it says nothing."""

    over: threading.Event

    def stop(self) -> None:
        if not self._stopping:
            threading.Thread(target=self.over.wait, name="lingering", daemon=True).start()
        super().stop()


class Discreet(ThreadPool):
    """Does not say which threads have not come back."""

    def join(self, seconds: float) -> tuple[str, ...]:
        super().join(seconds)
        return ()


class Endless(ThreadPool):
    """Waits in join() as long as it takes, and that is long."""

    over: threading.Event

    def join(self, seconds: float) -> tuple[str, ...]:
        self.over.wait()
        return super().join(seconds)


class Hoarding(ThreadPool):
    """Keeps every chunk it has got."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept: list[Any] = []

    def submit(self, place: Any, chunk: Chunk) -> None:
        self.kept.append(chunk.data)
        super().submit(place, chunk)


class Telling(Told):
    """Has something done to each task before it is reported."""

    def told(self, report: Any, task: Any) -> None:
        if isinstance(task, Task):
            self.change(task)
        self._tell(report, task)

    def change(self, task: Task) -> None:
        raise NotImplementedError


class Generous(Telling):
    """Reports more results than there were inputs."""

    def change(self, task: Task) -> None:
        task.results = task.results * 2


class Echoing(Telling):
    """Reports what an action emitted twice."""

    def change(self, task: Task) -> None:
        task.log = task.log[:-1] * 2 + task.log[-1:]


class Muting(Telling):
    """Loses what an action emitted."""

    def change(self, task: Task) -> None:
        task.log = task.log[-1:]


class Retracting(Telling):
    """Loses what an action emitted before it raised."""

    def change(self, task: Task) -> None:
        if task.failed:
            task.log = task.log[-1:]


BROKEN_POOLS = {
    Overlapping: "R3",
    Greedy: "R1",
    Lazy: "R1",
    Mixing: "R3",
    Losing: "R5",
    Silent: "R5",
    Repeating: "R2",
    Stuttering: "R2",
    Reordering: "R10",
    Swallowing: "R4",
    DeafToExit: "R4",
    LosingErrors: "R4",
    Meddling: "R3",
    Raising: "R12",
    Leaking: "R12",
    Recursing: "R14",
    Blocking: "R15",
    Forgetful: "R12",
    Unstoppable: "R7",
    Late: "R6",
    Lingering: "R7",
    Discreet: "R7",
    Endless: "R16",
    Hoarding: "R19",
    Generous: "R2",
    Echoing: "R2",
    Muting: "R5",
    Retracting: "R4",
}


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is: then the threads of the worst executors end too."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(("kind", "rule"), effort.share(BROKEN_POOLS.items(), "pools"))
def test_a_broken_pool_of_threads_is_rejected_by_its_rule(
    kind: type[ThreadPool], rule: str, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "over", over, raising=False)

    violation = violation_of(seams_of(kind))
    if (
        violation.rule != rule
    ):  # where others have the processors, what is slow looks like what hangs or stands idle
        violation = violation_of(seams_of(kind), 10 * PATIENCE)

    assert violation.rule == rule


def test_what_loses_errors_also_makes_no_room_for_what_follows() -> None:
    with pytest.raises(RuleViolation) as caught:
        makes_room_for_what_failed(Trials(seams_of(LosingErrors), PATIENCE))

    assert caught.value.rule == "R23"


# --- executors of a simulation that break a rule


class SimulatedOverlapping(SimulatedExecutor):
    """Starts a call of an async operation before the last has finished."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._workers += 1


class SimulatedLosing(SimulatedExecutor):
    """Loses the third chunk."""

    submitted = 0

    def submit(self, place: Any, chunk: Chunk) -> None:
        self.submitted += 1
        if self.submitted != 3:
            super().submit(place, chunk)


class SimulatedReordering(Reorders, SimulatedExecutor):
    pass


class SimulatedBlocking(SimulatedExecutor):
    """Waits in submit(), on the one thread there is."""

    over: threading.Event

    def submit(self, place: Any, chunk: Chunk) -> None:
        self.over.wait()


class SimulatedHoarding(SimulatedExecutor):
    """Keeps every chunk it has got."""

    def submit(self, place: Any, chunk: Chunk) -> None:
        self.__dict__.setdefault("kept", []).append(chunk.data)
        super().submit(place, chunk)


BROKEN_SIMULATIONS = {
    SimulatedOverlapping: "R3",
    SimulatedLosing: "R5",
    SimulatedReordering: "R10",
    SimulatedHoarding: "R19",
}


@pytest.mark.parametrize(
    ("kind", "rule"), BROKEN_SIMULATIONS.items(), ids=[kind.__name__ for kind in BROKEN_SIMULATIONS]
)
def test_a_broken_simulated_executor_is_rejected_by_its_rule(
    kind: type[SimulatedExecutor], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "SimulatedExecutor", kind)

    assert violation_of(simulated).rule == rule


def test_a_rule_that_is_left_out_may_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SimulatedExecutor", SimulatedHoarding)

    check_executor(simulated, leave_out=["R19"])


def test_what_never_comes_back_is_given_up(over: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SimulatedExecutor", SimulatedBlocking)
    monkeypatch.setattr(SimulatedBlocking, "over", over, raising=False)
    monkeypatch.setattr(trials, "CLOSING", 0.0)

    with pytest.raises(RuleViolation) as caught:
        check_executor(simulated, patience=0.1)

    assert caught.value.rule == "R5"


def test_an_error_of_the_flow_that_nothing_explains_is_told_as_the_cause() -> None:
    def refuse(_work: Any, _name: str) -> Any:
        raise FlowError("no threads today")

    violation = violation_of(lambda: Seams(spawn=refuse))

    assert violation.rule == "R5"
    assert violation.seen == '"look" was ended by FlowError.'
    assert violation.remedy == "It says: no threads today"
    assert isinstance(violation.__cause__, FlowError)


# --- runtimes that break a rule: what no executor can


def test_a_runtime_that_takes_input_after_its_end_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FlowRuntime.process

    def take_in_silence(*arguments: Any, **options: Any) -> Any:
        with suppress(FlowStoppedError):
            return real(*arguments, **options)

    monkeypatch.setattr(FlowRuntime, "process", take_in_silence)

    with pytest.raises(RuleViolation) as caught:
        closes_once_for_all(Trials(simulated, PATIENCE))

    assert caught.value.rule == "R17"


def test_a_runtime_that_takes_any_number_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "check_count", lambda _owner, _name, value: value)

    violation = violation_of(simulated)

    assert violation.rule == "R18"
    assert violation.seen == "capacity=0 was taken."


@pytest.mark.parametrize(("hook", "rule"), [("subscribe_to_results", "R11"), ("_hand_out", "R13")])
def test_a_runtime_that_does_not_care_for_subscribers_is_rejected(
    hook: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heeded = {"subscribe_to_results": lambda *_: None, "_hand_out": lambda _, chunk: len(chunk.data)}
    monkeypatch.setattr(Subscribers, hook, heeded[hook])

    with pytest.raises(RuleViolation) as caught:
        subscribers_may_raise(Trials(simulated, PATIENCE)) if rule == "R13" else subscribers_may_act(
            Trials(simulated, PATIENCE)
        )

    assert caught.value.rule == rule


# --- operations that break a rule


class Pairing(Operation):
    """Pairs what comes at two ports; keeps every rule."""

    in_ports = ("left", "right")

    def create(self) -> dict[str, list[Part]]:
        return {"left": [], "right": []}

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        part = Part(message.data)
        state[message.port.name].append(part)
        emit.hold([part])
        if state["left"] and state["right"]:
            pair = [state[side].pop(0) for side in ("left", "right")]
            emit.merge(pair, [part.data for part in pair])

    def cancelled(self, state: Any, run: Any) -> None:
        for side in state:
            state[side] = [p for p in state[side] if p.scope is not None and p.scope.run is not run]


class Clinging(Pairing):
    """Keeps the parts of runs that were cancelled."""

    def cancelled(self, state: Any, run: Any) -> None:
        pass


class Passing(Operation):
    """Sends on what it gets; keeps every rule."""

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        emit(message.data)


class EmittingLater(Passing):
    """Uses the emitter of one call in the next."""

    def create(self) -> list[Any]:
        return []

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        for late in state:
            late(message.data)
        state.append(emit)


class EmittingElsewhere(Passing):
    """Has a thread emit when the call is over."""

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        threading.Timer(PATIENCE / 10, emit, [message.data]).start()


class FailingTwice(Passing):
    """Fails its message, and raises as well."""

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        emit.fail(FlowBuildError("refused"))
        raise ValueError


class Overbooking(Passing):
    """Holds two parts for one message."""

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        emit.hold([Part(message.data), Part(message.data)])


class Counting(Passing):
    """Keeps its state in the operation, where all places share it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.number = 0

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        self.number += 1
        emit(self.number)


class CountingAll(Passing):
    """Keeps its state in the class, where all operations share it."""

    number = 0

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        CountingAll.number += 1
        emit(self.number)


class Remembering(Passing):
    """Keeps the last message it got."""

    last: Any = None

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        self.last = message
        emit(message.data)


class Nostalgic(Passing):
    """Keeps its states, to go back to them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.states: list[Any] = []

    def create(self) -> set[int]:
        class State(set[int]):
            pass

        self.states.append(State())
        return self.states[-1]  # type: ignore[no-any-return]


class Incomplete:
    """Is no operation: something is missing."""

    name, in_ports, out_ports = "incomplete", None, ("",)

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        emit(message.data)


def extend(data: list[int]) -> list[int]:
    data.append(0)
    return data


def leave(_data: Any) -> None:
    raise SystemExit


def for_ever(data: Any) -> Iterator[Any]:
    while True:
        yield data


def raise_elsewhere(data: Any) -> Any:
    thread = threading.Thread(target=[].pop)
    thread.start()
    thread.join()
    return data


def name_thread(_data: Any) -> bool:
    return threading.current_thread().name.endswith("/engine")


def insist_on_thread(data: Any) -> Any:
    if not name_thread(data):
        raise LookupError
    return data


def numbered() -> Callable[[Any], int]:
    numbers = count()
    return lambda _data: next(numbers)


def made_once() -> Callable[[], Any]:
    made = Passing("once")
    return lambda: made


def keeping() -> Callable[[], Any]:
    kept = []

    def keep(data: Any) -> None:
        kept.append(data)

    return lambda: keep


one_for_all = numbered()
INPUTS: list[Any] = [[1], [2], [3]]
SIDES = [Message(".left", [1]), Message(".left", [2]), Message(".right", [3])]

BROKEN_OPERATIONS: dict[str, tuple[Callable[[], Any], list[Any], str]] = {
    "emits in the next call": (lambda: EmittingLater("late"), INPUTS, "R2"),
    "emits on a thread after its call": (lambda: EmittingElsewhere("late"), INPUTS, "R2"),
    "fails a message twice": (lambda: FailingTwice("twice"), INPUTS, "R4"),
    "stops the runtime": (lambda: leave, INPUTS, "R4"),
    "has no end": (lambda: for_ever, INPUTS, "R5"),
    "holds more than it got": (lambda: Overbooking("more"), INPUTS, "R5"),
    "lacks a part of the contract": (Incomplete, INPUTS, "R8"),
    "is made once": (made_once(), INPUTS, "R9"),
    "shares its state between places": (lambda: Counting("count"), INPUTS, "R9"),
    "shares its state between operations": (lambda: CountingAll("count"), INPUTS, "R9"),
    "is a function that keeps state": (lambda: one_for_all, INPUTS, "R9"),
    "is a function whose places share state": (numbered, INPUTS, "R9"),
    "changes its input": (lambda: extend, INPUTS, "R10"),
    "keeps what was cancelled": (lambda: Clinging("pairs"), SIDES, "R12"),
    "raises in a thread of its own": (lambda: raise_elsewhere, INPUTS, "R12"),
    "keeps a message": (lambda: Remembering("last"), INPUTS, "R19"),
    "keeps its inputs": (keeping(), INPUTS, "R19"),
    "keeps its states": (lambda: Nostalgic("states"), INPUTS, "R19"),
    "depends on where it runs": (lambda: name_thread, INPUTS, "R24"),
    "fails where it does not like to run": (lambda: insist_on_thread, INPUTS, "R24"),
    "is not alone": (
        lambda: FlowOperationContainer().add_func("one", str).add_func("two", str),
        INPUTS,
        "R8",
    ),
}


@pytest.mark.parametrize(
    ("factory", "inputs", "rule"),
    BROKEN_OPERATIONS.values(),
    ids=[f"that {what}" for what in BROKEN_OPERATIONS],
)
def test_a_broken_operation_is_rejected_by_its_rule(
    factory: Callable[[], Any], inputs: list[Any], rule: str
) -> None:
    with pytest.raises(RuleViolation) as caught:
        check_operation(factory, inputs, patience=PATIENCE)

    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("factory", "inputs"), [(lambda: Pairing("pairs"), SIDES), (lambda: Passing("pass"), INPUTS)]
)
def test_the_same_operations_unbroken_keep_every_rule(factory: Callable[[], Any], inputs: list[Any]) -> None:
    check_operation(factory, inputs)


def test_an_operation_that_leaves_a_thread_behind_is_rejected(over: threading.Event) -> None:
    def linger(data: Any) -> Any:
        threading.Thread(target=over.wait, name="lingering", daemon=True).start()
        return data

    with pytest.raises(RuleViolation) as caught:
        check_operation(lambda: linger, [1], patience=PATIENCE)

    assert caught.value.rule == "R7"


def test_an_operation_that_does_not_return_is_rejected(over: threading.Event) -> None:
    def stuck() -> FlowOperationContainer:
        return FlowOperationContainer().add_func("stuck", lambda _data: over.wait()).make_async()

    with pytest.raises(RuleViolation) as caught:
        check_operation(stuck, [1], patience=PATIENCE)

    assert caught.value.rule == "R5"


def test_data_that_cannot_be_copied_is_used_as_it_is() -> None:
    check_operation(lambda: lambda lock: lock.locked(), [threading.Lock()])


class Plain:
    """Knows only itself."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Prickly:
    """Does not let itself be compared."""

    def __eq__(self, other: object) -> bool:
        raise TypeError

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "prickly"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (1, 1, True),
        (1, True, False),
        ([1, (2, "a")], [1, (2, "a")], True),
        ([1], [1, 2], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": [1]}, {"a": [2]}, False),
        (Plain([1]), Plain([1]), True),
        (Plain([1]), Plain([2]), False),
        (ValueError("a"), ValueError("a"), True),
        (ValueError("a"), ValueError("b"), False),
        (Prickly(), Prickly(), True),
        (threading.Lock(), threading.Lock(), True),
    ],
)
def test_results_are_compared_by_what_they_hold(first: Any, second: Any, same: bool) -> None:
    assert same_data(first, second) is same


def test_what_depends_on_chance_may_say_so() -> None:
    check_operation(lambda: one_for_all, [1, 2], repeatable=False)


# --- the words


def test_a_violation_names_the_rule_what_was_seen_and_what_to_do() -> None:
    with pytest.raises(RuleViolation) as caught:
        check_operation(lambda: extend, INPUTS)

    assert str(caught.value) == (
        "R10 is broken. Messages arrive in the order their mode promises; every receiver of a stream gets the same, and nobody changes it. "
        "Seen: input number 0 was changed by the operation. Messages are shared by all who get them: make a copy, and change that."
    )
    assert isinstance(caught.value, AssertionError)


def test_the_text_names_what_the_contract_asks_for() -> None:
    with pytest.raises(RuleViolation) as caught:
        check_operation(Incomplete, INPUTS)

    assert caught.value.seen.startswith(
        "the operation (Incomplete) lacks create, drained, cancelled of the Operation contract."
    )


def test_the_text_says_how_many_calls_overlapped() -> None:
    assert violation_of(seams_of(Overlapping)).seen == "2 calls of an async operation at once."
    assert violation_of(seams_of(Greedy)).seen == "4 calls of a parallel(3) operation at once."


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (
            lambda: check_executor(Seams()),  # type: ignore[arg-type]
            "check_executor takes a function that makes Seams, new in every call, got Seams. Put `lambda:` in front of what makes it.",
        ),
        (
            lambda: check_operation(Passing("pass"), [1]),  # type: ignore[arg-type]
            "check_operation takes a function that makes the operation, new in every call, got Passing. Put `lambda:` in front of what makes it.",
        ),
        (
            lambda: check_operation(lambda: str, []),
            "check_operation got no inputs: nothing would be seen. Give a few, also such as make it raise.",
        ),
    ],
    ids=["seams", "an operation", "no inputs"],
)
def test_what_cannot_be_checked_is_refused(check: Callable[[], None], text: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        check()

    assert str(caught.value) == text


def test_the_operation_itself_is_no_factory() -> None:
    with pytest.raises(RuleViolation) as caught:
        check_operation(extend, INPUTS)  # type: ignore[arg-type]

    assert caught.value.rule == "R8"
    assert caught.value.seen == (
        "the factory raised TypeError. It is called without arguments and makes the operation; is it the operation itself? "
        "Put `lambda:` in front of it."
    )


def test_a_rule_that_does_not_exist_cannot_be_left_out() -> None:
    with pytest.raises(
        FlowBuildError,
        match=r"^leave_out: there is no rule 'R77'\. Did you mean \"R7\"\? There are: R1, R10, .* and 15 more\.$",
    ):
        check_operation(lambda: str, [1], leave_out="R77")


# --- the table


def test_every_rule_has_its_number_once() -> None:
    assert [rule.number for rule in RULES] == [f"R{number}" for number in range(1, 26)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_every_rule_says_where_it_is_checked_or_why_not(rule: Rule) -> None:
    assert rule.sentence.endswith(".")
    assert bool(rule.checked_by) != bool(rule.why_not)
    assert set(rule.checked_by) <= {"check_operation", "check_executor", "check_schedule"}


@pytest.mark.parametrize(
    ("function", "scenarios"),
    [("check_operation", operations.SCENARIOS), ("check_executor", executors.SCENARIOS)],
    ids=["check_operation", "check_executor"],
)
def test_the_table_and_the_checks_agree(function: str, scenarios: Any) -> None:
    in_the_table = {rule.number for rule in RULES if function in rule.checked_by}
    in_the_checks = {rule for scenario in scenarios for rule in scenario.rules}

    assert in_the_checks == in_the_table


def test_every_rule_that_is_checked_is_seen_broken_here() -> None:
    seen = {*BROKEN_POOLS.values(), *(rule for _, _, rule in BROKEN_OPERATIONS.values())}
    seen |= {"R11", "R13", "R17", "R18", "R23"}  # above, in tests of their own
    seen |= {"R25"}  # of schedules: in test_own_schedules.py

    assert seen == {rule.number for rule in RULES if rule.checked_by}


def test_the_rule_kit_needs_no_test_framework() -> None:
    code = "import sys, flowrt.testing.rules; print({'pytest', '_pytest', 'hypothesis'} & set(sys.modules))"

    assert printed(code) == ("set()\n", "")
