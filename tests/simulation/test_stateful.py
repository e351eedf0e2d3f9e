"""A flow of any shape under any sequence of inputs, failures, cancels and waits, in any order of events.

The oracle never asks the ledger what happened: operations note each call, what it emitted and how it ended, and taps count what
is delivered. Of that the ledger is computed line by line, and flowrt's own must be the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Run
from flowrt.errors import FlowStoppedError, FlowTimeoutError, OperationError, RunCancelledError
from flowrt.messages import EXCEPTION_PRIORITY
from flowrt.standard import Gather, Gathered, PopCausality, PushCausality, Scatter
from flowrt.testing import Simulation, simulated
from tests.kit import effort
from tests.kit.flows import SCHEDULES
from tests.kit.graphs import shapes

pytestmark = pytest.mark.no_cover

REFUSED = 5  # an operation refuses what leaves this rest
MODULUS = 7

# --- what operations note down


@attrs.frozen(eq=False)
class Datum:
    """One message: whose it is, what it is worth, and which one it is."""

    tag: int
    value: int
    priority: int
    serial: int = attrs.field(factory=count().__next__)


class Refused(Exception):
    """What operations raise; its argument is the number of the call."""


@attrs.define(eq=False)
class Call:
    operation: str
    tag: int
    number: int
    priority: int
    emitted: list[tuple[str, Datum]] = attrs.Factory(list)
    ending: str = "open"  # returned, raised, closed


@attrs.define
class Notes:
    """Everything the operations have seen and done, in order; and how they are connected."""

    calls: list[Call] = attrs.Factory(list)
    inputs: dict[str, list[Any]] = attrs.Factory(dict)  # by operation, in order of calls
    streams: dict[tuple[str, str], list[str]] = attrs.Factory(dict)
    modes: dict[str, str] = attrs.Factory(dict)
    kinds: dict[str, str] = attrs.Factory(dict)
    catchers: dict[str, str] = attrs.Factory(dict)  # who gets the errors of an operation: "run" unless said
    behind: dict[str, str] = attrs.Factory(dict)  # what an operation's messages pass before they are copied
    handled: list[BaseException] = attrs.Factory(list)  # errors that came out of a causality
    told: list[BaseException] = attrs.Factory(list)  # errors that on_exception was told
    collected: list[BaseException] = attrs.Factory(list)  # errors in what gathers collected
    lists: dict[str, list[tuple[int, int]]] = attrs.Factory(dict)  # by gather: tag, length
    scattered: dict[str, list[tuple[int, int]]] = attrs.Factory(dict)  # by scatter: tag, length
    gathers: dict[str, tuple[str, str, bool]] = attrs.Factory(dict)  # its scatter, its worker, counted
    entered: Counter[tuple[str, int]] = attrs.Factory(Counter)  # by taps: operation, tag

    def begin(self, operation: str, tag: int, data: Any, priority: int | None = None) -> Call:
        call = Call(operation, tag, len(self.calls), data.priority if priority is None else priority)
        self.calls.append(call)
        self.inputs.setdefault(operation, []).append(data)
        return call

    def targets(self, operation: str, port: str) -> list[str]:
        return self.streams.get((operation, port), [])


# --- shapes: stages, one behind the other


@attrs.frozen
class Stage:
    kind: str
    mode: str
    second_mode: str
    policy: str
    flag: bool
    ordered: bool


MODES = shapes.MODES | {
    "keyed": lambda operations: operations.make_parallel(2, by_key=lambda datum: datum.value % 2)
}
LIMITS = shapes.LIMITS
KINDS = (
    "function",
    "repeat",
    "branch",
    "diamond",
    "bracket",
    "nested",
    "generator",
    "causality",
    "flow",
    "loop",
    "feedback",
    "merge",
)

stages = st.builds(
    Stage,
    kind=st.sampled_from(KINDS),
    mode=st.sampled_from(sorted(MODES)),
    second_mode=st.sampled_from(sorted(MODES)),
    policy=st.sampled_from(["fail", "skip", "collect"]),
    flag=st.booleans(),
    ordered=st.booleans(),
)

Source = tuple[str, str, str]  # the port as a stream names it, the operation, its port


class Builder:
    """Builds stages into a runtime, and writes down what is connected to what."""

    def __init__(self, runtime: FlowRuntime, notes: Notes) -> None:
        self.runtime = runtime
        self.notes = notes
        self.operations = FlowOperationContainer()

    def build(self, shape: list[Stage]) -> None:
        sources: list[Source] = [(".in", ".in", "")]
        for number, stage in enumerate(shape):
            sources = getattr(self, f"_{stage.kind}")(f"{stage.kind} {number}", stage, sources)
        self._connect(sources, ".out")
        self.runtime.add_operations(self.operations)

    def _connect(self, sources: list[Source], target: str, operation: str = "") -> None:
        for source, name, port in sources:
            self.runtime.add_stream(source, target)
            self.notes.streams.setdefault((name, port), []).append(operation or target)

    def _note(self, name: str, mode: str, kind: str, container: FlowOperationContainer | None = None) -> None:
        self.notes.modes[name] = mode
        self.notes.kinds[name] = kind
        MODES[mode](self.operations if container is None else container)

    def _plain(self, name: str, mode: str, sources: list[Source]) -> list[Source]:
        self.operations.add_func(name, a_function(self.notes, name))
        self._note(name, mode, "function")
        self._connect(sources, name)
        return [(name, name, "")]

    def _function(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        return self._plain(name, stage.mode, sources)

    def _repeat(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        self.operations.add_action(name, an_action(self.notes, name))
        self._note(name, stage.mode, "action")
        self._connect(sources, name)
        return [(name, name, "")]

    def _branch(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        self.operations.add_action(name, a_branch(self.notes, name))
        self._note(name, stage.mode, "action")
        self._connect(sources, name)
        odd, even = (f"{name}.on_odd", name, "on_odd"), (f"{name}.on_even", name, "on_even")
        return [odd, even] if stage.flag else [even]

    def _diamond(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        left = self._plain(f"{name} left", stage.mode, sources)
        return left + self._plain(f"{name} right", stage.second_mode, sources)

    def _generator(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        self.operations.add_generator(name, a_generator(self.notes, name), window=2 if stage.flag else 1024)
        mode = "parallel" if stage.mode in {"keyed", "ordered"} else stage.mode
        self._note(name, mode, "generator")
        self._connect(sources, name)
        return [(name, name, "")]

    def _flow(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        place = f"{name}/work"
        inside = FlowOperationContainer().add_func("work", a_function(self.notes, place))
        self._note(place, stage.mode, "function", inside)
        flow = Flow(name).add_stream(".in", "work").add_stream("work", ".out").add_operations(inside)
        self.runtime.add_flow(flow)
        self._connect(sources, f"{name}.in", place)
        return [(f"{name}.out", place, "")]

    def _loop(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        self.operations.add_action(name, a_loop(self.notes, name))
        self._note(name, stage.mode, "action")
        self._connect([*sources, (f"{name}.again", name, "again")], name)
        return [(f"{name}.done", name, "done")]

    def _feedback(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        """A cycle through two operations, the second of which adds one."""
        self.operations.add_action(name, a_loop(self.notes, name, step=2))
        self._note(name, stage.mode, "action")
        self._connect(sources, name)
        self._connect(
            self._plain(f"{name} back", stage.second_mode, [(f"{name}.again", name, "again")]), name
        )
        return [(f"{name}.done", name, "done")]

    def _merge(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        """Two different operations, whose outputs meet in a third."""
        left = self._plain(f"{name} left", stage.mode, sources)
        right = self._repeat(f"{name} right", stage, sources)
        return self._plain(f"{name} both", stage.second_mode, left + right)

    def _causality(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        push, work, pop, handle = (f"{name} {part}" for part in ("push", "work", "pop", "handle"))
        self.operations.add_operation(PushCausality(push)).add_operation(PopCausality(pop))
        self._connect(sources, push, work)  # a push hands on what it gets, as what it got
        self.runtime.add_stream(push, work)
        self.operations.add_func(work, a_function(self.notes, work))
        self._note(work, stage.mode, "function")
        self.notes.catchers[work] = f"{push}.exception"
        self.runtime.add_stream(work, pop)
        self.notes.behind[work] = pop
        self.operations.add_func(handle, a_handler(self.notes, handle))
        self._note(handle, "sync", "handler")
        self.runtime.add_stream(f"{push}.exception", handle)
        self.notes.streams[push, "exception"] = [handle]
        return [(pop, work, ""), (handle, handle, "")]

    def _gathered(
        self,
        name: str,
        stage: Stage,
        sources: list[Source],
        work: Callable[[str, list[Source]], list[Source]],
    ) -> list[Source]:
        """A list, scattered, worked on, gathered and added up."""
        lists, scatter, gather, total = (f"{name} {part}" for part in ("list", "scatter", "gather", "total"))
        self.operations.add_func(lists, a_list(self.notes, lists, scatter))
        self._note(lists, "sync", "list")
        self._connect(sources, lists)
        self.operations.add_operation(Scatter(scatter, window=2 if stage.flag else 1024))
        self.runtime.add_stream(lists, scatter)
        self.notes.streams[lists, ""] = [scatter]
        worked = work(gather, [(f"{scatter}.stream", scatter, "stream")])
        self.operations.add_operation(
            Gather(gather, on_missing=cast("Any", stage.policy), ordered=stage.ordered)
        )
        self._connect(worked, f"{gather}.stream", gather)
        if stage.flag:
            self.runtime.add_stream(f"{scatter}.count", f"{gather}.count")
        self.notes.gathers[gather] = (scatter, worked[0][1], stage.flag)
        self.operations.add_operation(Total(total, gather, self.notes))
        self._note(total, "async" if stage.second_mode == "async" else "sync", "total")
        self.runtime.add_stream(gather, total)
        return [(total, total, "")]

    def _worker(self, name: str, mode: str, policy: str) -> Callable[[str, list[Source]], list[Source]]:
        def work(gather: str, sources: list[Source]) -> list[Source]:
            if policy != "fail":
                self.notes.catchers[name] = f"{policy} {gather}"
            return self._plain(name, mode, sources)

        return work

    def _bracket(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        worker = self._worker(f"{name} work", stage.mode, stage.policy)
        return self._gathered(name, stage, sources, worker)

    def _nested(self, name: str, stage: Stage, sources: list[Source]) -> list[Source]:
        def work(_: str, sources: list[Source]) -> list[Source]:
            worker = self._worker(f"{name} work", stage.mode, stage.policy)
            return self._gathered(f"{name} inner", stage, sources, worker)

        return self._gathered(name, stage, sources, work)


# --- operations


def refuse_some(call: Call, datum: Datum) -> None:
    if datum.value % MODULUS == REFUSED:
        call.ending = "raised"
        raise Refused(call.number)


def emitted(call: Call, value: int, port: str = "") -> Datum:
    datum = Datum(call.tag, value, call.priority)
    call.emitted.append((port, datum))
    return datum


def a_function(notes: Notes, name: str) -> Callable[[Datum], Datum]:
    def function(datum: Datum) -> Datum:
        call = notes.begin(name, datum.tag, datum)
        refuse_some(call, datum)
        call.ending = "returned"
        return emitted(call, datum.value + 1)

    return function


def an_action(notes: Notes, name: str) -> Callable[..., None]:
    def action(datum: Datum, on_datum: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum.tag, datum)
        for number in range(datum.value % 3):
            on_datum(emitted(call, datum.value + number))
        refuse_some(call, datum)
        call.ending = "returned"

    return action


def a_branch(notes: Notes, name: str) -> Callable[..., None]:
    def branch(datum: Datum, on_odd: Callable[[Datum], None], on_even: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum.tag, datum)
        if datum.value % 2:
            on_odd(emitted(call, datum.value, "on_odd"))
        else:
            on_even(emitted(call, datum.value, "on_even"))
        call.ending = "returned"

    return branch


def a_loop(notes: Notes, name: str, step: int = 1) -> Callable[..., None]:
    def loop(datum: Datum, again: Callable[[Datum], None], done: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum.tag, datum)
        if datum.value % 3:
            again(emitted(call, datum.value - step, "again"))
        else:
            done(emitted(call, datum.value + 2, "done"))
        call.ending = "returned"

    return loop


def a_generator(notes: Notes, name: str) -> Callable[[Datum], Iterator[Datum]]:
    def generator(datum: Datum) -> Iterator[Datum]:
        call = notes.begin(name, datum.tag, datum)
        try:
            for number in range(datum.value % 4):
                yield emitted(call, datum.value + number)
            refuse_some(call, datum)
        except GeneratorExit:
            call.ending = "closed"
            raise
        call.ending = "returned"

    return generator


def a_list(notes: Notes, name: str, scatter: str) -> Callable[[Datum], list[Datum]]:
    def make(datum: Datum) -> list[Datum]:
        items = [Datum(datum.tag, datum.value + number, datum.priority) for number in range(datum.value % 4)]
        notes.begin(name, datum.tag, datum).ending = "returned"
        notes.scattered.setdefault(scatter, []).append((datum.tag, len(items)))
        return items

    return make


def a_handler(notes: Notes, name: str) -> Callable[[OperationError], Datum]:
    def handle(error: OperationError) -> Datum:
        assert error.message is not None
        call = notes.begin(name, error.message.data.tag, error, EXCEPTION_PRIORITY)
        notes.handled.append(error)
        call.ending = "returned"
        return emitted(call, 0)

    return handle


class Total:
    """Counts the items of a list. An operation of its own, so that it sees whose an empty list is."""

    in_ports = ("",)
    out_ports = ("",)

    def __init__(self, name: str, gather: str, notes: Notes) -> None:
        self.name = name
        self._gather = gather
        self._notes = notes

    def create(self) -> None:
        return None

    def handle(self, state: None, message: Message, emit: Any) -> None:
        tag = cast("int", message.correlation_id)
        call = self._notes.begin(self.name, tag, message.data, message.priority)
        items = message.data
        if isinstance(items, Gathered):
            self._notes.collected += [error for _, _, error in items.failures if error is not None]
            items = items.items
        assert all(item.tag == tag for item in items)
        self._notes.lists.setdefault(self._gather, []).append((tag, len(items)))
        emit(emitted(call, len(items)))
        call.ending = "returned"

    def drained(self, state: None, scope: Any, emit: Any) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass


# --- the oracle

Rows = Counter[tuple[str, str]]


def port_name(operation: str, port: str) -> str:
    return f"{operation}.{port}" if port else operation


def expected_rows(notes: Notes, tag: int, accepted: int, results: int) -> Rows:
    """The ledger of a run that nothing disturbed, from what its operations noted."""
    rows: Rows = Counter()
    rows[".in", "in"] = accepted
    _add_emissions(rows, notes, ".in", "", accepted)
    for call in notes.calls:
        if call.tag == tag and notes.kinds[call.operation] != "list":
            _add_call(rows, notes, call)
    for gather, (scatter, worker, counted) in notes.gathers.items():
        lengths = [length for owner, length in notes.lists.get(gather, []) if owner == tag]
        lists = [length for owner, length in notes.scattered.get(scatter, []) if owner == tag]
        arrived = sum(
            len(call.emitted) for call in notes.calls if call.tag == tag and call.operation == worker
        )
        rows[scatter, "born"] += sum(lists)  # items and a count, less the list
        rows[gather, "absorbed"] += sum(max(length - 1, 0) for length in lengths)
        rows[gather, "born"] += lengths.count(0)
        rows[gather, "discarded"] += arrived - sum(lengths)
        if counted:
            rows[gather, "absorbed"] += len(lists)
        else:
            rows[f"{scatter}.count", "unconnected"] += len(lists)
    rows[".out", "delivered"] = results
    return +rows


def _add_call(rows: Rows, notes: Notes, call: Call) -> None:
    name, messages = call.operation, len(call.emitted)
    if call.ending == "returned":
        rows[name, "born" if messages else "absorbed"] += messages - 1 if messages else 1
    else:
        rows[name, "failed"] += 1
        rows[name, "born"] += messages
        catcher = notes.catchers.get(name, "")
        if catcher.endswith(".exception"):
            rows[catcher, "born"] += 1
    for port, _ in call.emitted:
        _add_emissions(rows, notes, name, port, 1)


def _add_emissions(rows: Rows, notes: Notes, operation: str, port: str, messages: int) -> None:
    targets = notes.targets(operation, port)
    name = port_name(notes.behind.get(operation, operation), port)
    if targets:
        rows[name, "born"] += messages * (len(targets) - 1)
    else:
        rows[name, "unconnected"] += messages


def ledger_rows(run: Run) -> Rows:
    rows: Rows = Counter()
    for row in run.ledger.places:
        assert row.count > 0
        rows[row.place, row.what] += row.count
        if row.what == "failed":
            assert row.reason == "Refused"
    return rows


def in_flight(trace: list[str], pool: str) -> int:
    """The most calls of a pool that were begun and not over at one time."""
    now: set[str] = set()
    most = 0
    for step in trace:
        what, _, call = step.partition(" ")
        if what in {"start", "finish"} and call.rpartition("#")[0] == pool:
            (now.add if what == "start" else now.discard)(call)
            most = max(most, len(now))
    return most


# --- the machine


@attrs.define(eq=False)
class Sent:
    """A run, and what its caller knows."""

    tag: int
    run: Run
    accepted: int
    cancelled: bool = False
    results: int = 0
    read: int = 0  # of them, through the run
    failure_seen: bool = False


class FlowMachine(RuleBasedStateMachine):
    """Drives one runtime, and holds it to what its operations noted."""

    @initialize(
        shape=st.lists(stages, min_size=1, max_size=4),
        seed=st.integers(0, 2**16),
        group=st.sampled_from([1, 1, 2, 3]),
        schedule=st.sampled_from(SCHEDULES),
        tapped=st.booleans(),
        subscribed=st.booleans(),
    )
    def start(
        self, shape: list[Stage], seed: int, group: int, schedule: Any, tapped: bool, subscribed: bool
    ) -> None:
        self.notes = Notes()
        self.sent: dict[int, Sent] = {}
        self.closed = False
        self.tapped = tapped
        self.subscribed = subscribed
        self.group = group
        self.schedule = schedule
        seams = simulated(seed, group=group)
        self.simulation = cast("Simulation", seams.simulation)
        self.runtime = FlowRuntime(schedule=schedule, seams=seams)
        Builder(self.runtime, self.notes).build(shape)
        if tapped:
            self.runtime.on_message(self._tap)
        if subscribed:
            self.runtime.on_exception(self.notes.told.append)

    def _tap(self, message: Message) -> None:
        place = message.port.fullname
        self.notes.entered[place, cast("int", message.correlation_id)] += 1

    def _send(self, values: list[int], *, many: bool, priority: int) -> None:
        tag = len(self.sent)
        data = [Datum(tag, value, priority) for value in values]
        try:
            if many:
                run = self.runtime.process_many(".in", data, correlation_id=tag, priority=priority)
            else:
                run = self.runtime.process(".in", data[0], correlation_id=tag, priority=priority)
        except FlowStoppedError:
            assert self.closed
            return
        assert not self.closed
        self.sent[tag] = Sent(tag, run, len(values))
        self.notes.inputs.setdefault(".in", []).extend(data)

    # -- rules

    @rule(value=st.integers(0, 20), priority=st.sampled_from([0, 0, 0, 3]))
    def input(self, value: int, priority: int) -> None:
        self._send([value], many=False, priority=priority)

    @rule(values=st.lists(st.integers(0, 20), max_size=6))
    def input_of_many(self, values: list[int]) -> None:
        self._send(values, many=True, priority=0)

    @rule(rounds=st.integers(0, 2))
    def input_that_fails(self, rounds: int) -> None:
        self._send([MODULUS * rounds + REFUSED], many=False, priority=0)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        sent = self.sent[data.draw(st.integers(0, len(self.sent) - 1))]
        sent.run.cancel()
        sent.cancelled = True  # or too late, which the end will tell

    @rule(steps=st.integers(1, 30))
    def some_steps(self, steps: int) -> None:
        left = iter(range(steps))
        # Waiting is working in a simulation, and this waits for so many looks.
        self.runtime._owner.wait_until(lambda: next(left, None) is None, 1.0)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def read_a_run(self, data: st.DataObject) -> None:
        self._read(self.sent[data.draw(st.integers(0, len(self.sent) - 1))])

    @rule()
    def read_any_result(self) -> None:
        try:
            message = self.runtime.wait_for_result(timeout=1.0)
        except FlowTimeoutError:
            assert not self.closed
        except FlowStoppedError:
            assert self.closed
        except OperationError as error:
            (sent,) = [each for each in self.sent.values() if error is each.run.failure]
            assert not sent.failure_seen
            sent.failure_seen = True
        else:
            self._count_result(message)

    @rule()
    def wait_until_all_is_done(self) -> None:
        self.runtime.wait_idle()
        assert all(sent.run.done for sent in self.sent.values())

    @rule()
    def close(self) -> None:
        self._close()

    # -- at all times

    @invariant()
    def the_books_balance(self) -> None:
        for sent in getattr(self, "sent", {}).values():
            if sent.run.done:
                ledger = sent.run.ledger
                assert ledger.balanced
                assert (ledger.live, ledger.held) == (0, 0)

    # -- the end

    def teardown(self) -> None:
        if not hasattr(self, "runtime"):
            return
        try:
            if not self.closed:
                self.runtime.wait_idle()
        finally:
            self._close()
        for sent in self.sent.values():
            self._judge(sent)
        self._judge_order()
        self._judge_errors()
        for name, mode in self.notes.modes.items():
            pool = "shared" if mode == "shared" else name.rpartition("/")[2]
            if mode in LIMITS and "/" not in name:
                assert in_flight(self.simulation.trace, pool) <= LIMITS[mode]
        books = self.runtime._owner.engine.books
        assert (books.live, books.outside.live, books.runs) == (0, 0, set())

    def _close(self) -> None:
        if self.closed:
            assert self.runtime.close() is self.runtime.close()
            return
        self.closed = True
        unseen: list[BaseException] = []
        try:
            self.runtime.close()
        except BaseExceptionGroup as group:
            unseen += group.exceptions
        except OperationError as error:
            unseen.append(error)
        expected = [
            sent for sent in self.sent.values() if sent.run.failure is not None and not sent.failure_seen
        ]
        assert {id(error) for error in unseen} == {id(sent.run.failure) for sent in expected}
        for sent in expected:
            sent.failure_seen = True

    def _read(self, sent: Sent) -> None:
        try:
            for number, message in enumerate(sent.run.results()):
                if number >= sent.read:  # else it is read again
                    sent.read = number + 1
                    self._count_result(message)
        except OperationError as error:
            assert error is sent.run.failure
            sent.failure_seen = True
        except RunCancelledError:
            assert sent.cancelled
        except FlowStoppedError:
            assert self.closed

    def _count_result(self, message: Message) -> None:
        sent = self.sent[message.data.tag]
        assert message.correlation_id == sent.tag
        assert message.port.fullname == ".out"
        sent.results += 1
        self.notes.inputs.setdefault(".out", []).append(message.data)

    def _undisturbed(self, sent: Sent) -> bool:
        try:
            sent.run.wait()
        except OperationError:
            pass
        except (RunCancelledError, FlowStoppedError):
            return False
        # A failure is raised before the reason of an early end: a call left open tells.
        return not (sent.cancelled or self._cut_short(sent))

    def _cut_short(self, sent: Sent) -> bool:
        return any(row.what == "discarded" and "closed" in row.reason for row in sent.run.ledger.places)

    def _judge(self, sent: Sent) -> None:
        self._read(sent)
        run, notes = sent.run, self.notes
        assert run.done
        actual = ledger_rows(run)
        if self._undisturbed(sent) or not run.ledger.discarded:
            expected = expected_rows(notes, sent.tag, sent.accepted, sent.results)
            assert actual == expected
            if self.tapped:
                self._judge_taps(sent)
            return
        # What a cancel or a close cut short: no more can have ended than was begun.
        assert actual[".in", "in"] == sent.accepted
        assert actual[".out", "delivered"] == sent.results
        bounds = expected_rows(notes, sent.tag, sent.accepted, sent.results)
        for (place, what), number in actual.items():
            if what == "failed":
                assert number <= bounds[place, what]

    def _judge_taps(self, sent: Sent) -> None:
        notes = self.notes
        calls = Counter(call.operation for call in notes.calls if call.tag == sent.tag)
        for name in notes.modes:
            assert notes.entered[name, sent.tag] == calls[name]
        assert notes.entered[".out", sent.tag] == sent.results

    def _judge_order(self) -> None:
        """Every stream hands on in the order of emission, where its source keeps one and its target begins in order."""
        whole = {tag for tag, sent in self.sent.items() if not sent.cancelled and self._undisturbed(sent)}
        for (source, port), targets in self.notes.streams.items():
            given = self._given(source, port)
            for target in targets:
                if self._begins_in_any_order(target):
                    continue
                arrived = [
                    datum.serial for datum in self.notes.inputs.get(target, []) if isinstance(datum, Datum)
                ]
                for stretch in given:
                    wanted = [datum.serial for datum in stretch if datum.tag in whole]
                    known = set(wanted)
                    got = [serial for serial in arrived if serial in known]
                    if target == ".out":  # each reader takes in its own order
                        assert sorted(got) == sorted(wanted)
                    else:
                        assert got == wanted

    def _given(self, source: str, port: str) -> list[list[Datum]]:
        """What a port emitted, as stretches that keep their order."""
        notes = self.notes
        calls = [
            [datum for at, datum in call.emitted if at == port]
            for call in notes.calls
            if call.operation == source
        ]
        kind, mode = notes.kinds.get(source), notes.modes.get(source)
        if kind == "generator" or mode in {"parallel", "keyed"} or self._taken_back(source):
            return calls
        emissions = [datum for call in calls for datum in call]
        if source == ".in":
            emissions = notes.inputs.get(source, [])
        return [
            [datum for datum in emissions if datum.priority == priority]
            for priority in {datum.priority for datum in emissions}
        ]

    def _taken_back(self, operation: str) -> bool:
        """Whether calls may begin in another order than their inputs came: what is taken back of a group begins later."""
        mode = self.notes.modes.get(operation)
        if (
            mode == "sync"
            and self.schedule == "parallel"
            and self.notes.kinds.get(operation) in shapes.SPREAD
        ):
            mode = "ordered"  # that schedule calls it on threads, as if it were
        return self.group > 1 and mode in {"parallel", "ordered"}

    def _begins_in_any_order(self, target: str) -> bool:
        notes = self.notes
        return (
            target in notes.gathers
            or self._taken_back(target)
            or notes.modes.get(target) == "keyed"  # in order per key
            or notes.kinds.get(target) == "generator"  # its body begins when it is first pulled
        )

    def _judge_errors(self) -> None:
        """Every error of an undisturbed run is in exactly one place, and that is the one it belongs to."""
        notes = self.notes
        in_runs = Counter(
            cast("Refused", error.__cause__).args[0]
            for sent in self.sent.values()
            for error in sent.run.failures
        )
        in_handlers = Counter(cast("Refused", error.__cause__).args[0] for error in notes.handled)
        told = Counter(cast("Refused", error.__cause__).args[0] for error in notes.told)
        in_lists = Counter(cast("Refused", error.__cause__).args[0] for error in notes.collected)
        for call in notes.calls:
            if call.ending != "raised":
                continue
            found = (in_runs[call.number], in_handlers[call.number], told[call.number])
            listed = in_lists[call.number]
            assert sum(found) <= 1
            assert listed <= 1
            sent = self.sent[call.tag]
            if sent.cancelled or not self._undisturbed(sent):
                continue
            catcher = notes.catchers.get(call.operation, "run")
            # What a gather collects is the reason of a gap; it is the error's place only if nobody before it is.
            assert listed == catcher.startswith("collect")
            if catcher.endswith(".exception"):
                assert found == (0, 1, 0)
            elif self.subscribed:
                assert found == (0, 0, 1)
            elif catcher == "run":
                assert found == (1, 0, 0)
            else:
                assert found == (0, 0, 0)
        raised = {call.number for call in notes.calls if call.ending == "raised"}
        assert set(in_runs) | set(in_handlers) | set(told) | set(in_lists) <= raised


TestFlow = FlowMachine.TestCase
TestFlow.settings = settings(
    max_examples=effort.of(5 * settings().max_examples),
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
