"""What several test files build flows from: modes and schedules, wiring, gates, the ledger's numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

import attrs
import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Run
from flowrt.errors import FlowError, OperationError
from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from flowrt.testing import simulated
from tests.kit.functions import SECONDS, Function, increment, same

SCHEDULES = ("breadth_first", "depth_first", "round_robin", "parallel", "sync")
# Those that call sync operations one by one, in an order of their own.
ONE_BY_ONE = tuple(schedule for schedule in SCHEDULES if schedule != "parallel")


def _as_declared(container: FlowOperationContainer) -> FlowOperationContainer:
    return container


@attrs.frozen
class Mode:
    """Where the operations of a test run, and whether their results keep the order of their inputs."""

    name: str
    apply: Callable[[FlowOperationContainer], FlowOperationContainer]
    keeps_order: bool = True
    simulated: bool = False
    parallelism: bool = True

    @property
    def one_thread(self) -> bool:
        """Whether its calls are made on the thread of the test, which cannot wait for them in its own way meanwhile."""
        return self.simulated or self.name == "dispatched"

    @property
    def on_engine_thread(self) -> bool:
        return self.name in {"sync", "parallelism_off"}

    @property
    def schedules(self) -> tuple[str, ...]:
        """The schedules under which it is run: each with sync operations; those that are not the same to others with the modes that differ most."""
        if self.name == "sync":
            return SCHEDULES
        if self.name == "simulated_sync":
            return ("parallel",)  # without threads, under every other schedule the same as sync
        if self.name == "simulated_parallel":
            return ONE_BY_ONE
        return ("breadth_first", "depth_first", "sync") if self.name in BASIC_MODES else ("breadth_first",)


# The modes that differ most run under several schedules, their variants under one.
BASIC_MODES = ("sync", "async", "parallel", "simulated_parallel")
MODES = (
    Mode("sync", _as_declared),
    Mode("async", lambda container: container.make_async()),
    Mode("parallel", lambda container: container.make_parallel(4), keeps_order=False),
    Mode("ordered", lambda container: container.make_parallel(4, ordered=True)),
    Mode("keyed", lambda container: container.make_parallel(4, by_key="port")),
    # The tests wait on the thread that made the dispatcher, where waits make the calls.
    Mode("dispatched", lambda container: container.make_sync(MainThreadDispatcher())),
    Mode("parallelism_off", lambda container: container.make_parallel(4), parallelism=False),
    Mode("simulated_sync", _as_declared, simulated=True),
    Mode("simulated_async", lambda container: container.make_async(), simulated=True),
    Mode(
        "simulated_parallel", lambda container: container.make_parallel(3), keeps_order=False, simulated=True
    ),
    Mode("simulated_ordered", lambda container: container.make_parallel(3, ordered=True), simulated=True),
)


# What an operation is when it is called so, and which of them make brackets.
NAMED = {
    **dict.fromkeys(("push", "outer", "inner"), PushCausality),
    "pop": PopCausality,
    **dict.fromkeys(("scatter", "rows", "cells"), Scatter),
    **dict.fromkeys(("gather", "row", "matrix"), Gather),
}
BRACKETS = (("scatter", "gather"), ("cells", "row"), ("rows", "matrix"))


@attrs.frozen
class Bench:
    """One mode under one schedule: makes the runtimes and sets the modes of a conformance test."""

    mode: Mode
    schedule: Any
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.mode.name}-{self.schedule}"

    @property
    def on_engine_thread(self) -> bool:
        """Whether operations without a mode of their own are called there, one by one."""
        return self.mode.on_engine_thread and self.schedule in ONE_BY_ONE

    def make_runtime(self, flow: Flow | None = None, **options: Any) -> FlowRuntime:
        if self.mode.simulated:
            options.setdefault("seams", simulated(self.seed))
        return FlowRuntime(flow, schedule=self.schedule, parallelism=self.mode.parallelism, **options)

    def apply_mode(self, container: FlowOperationContainer) -> FlowOperationContainer:
        return self.mode.apply(container)

    def operations(
        self,
        *others: Any,
        funcs: Mapping[str, Function] | None = None,
        actions: Mapping[str, Function] | None = None,
        generators: Mapping[str, Function] | None = None,
    ) -> FlowOperationContainer:
        """Functions, actions and generators in this mode; `others` (Scatter, Gather, ...) as they are."""
        container = FlowOperationContainer()
        for name, function in (funcs or {}).items():
            self.apply_mode(container.add_func(name, function))
        for name, function in (actions or {}).items():
            self.apply_mode(container.add_action(name, function))
        for name, function in (generators or {}).items():
            self.apply_mode(container.add_generator(name, function))
        for operation in others:
            container.add_operation(operation)
        return container

    def wired(
        self,
        *chains: str,
        flows: Iterable[Flow] = (),
        others: Iterable[Any] = (),
        counted: bool = False,
        gather: Mapping[str, Any] | None = None,
        funcs: Mapping[str, Function] | None = None,
        actions: Mapping[str, Function] | None = None,
        generators: Mapping[str, Function] | None = None,
        **options: Any,
    ) -> FlowRuntime:
        """A runtime of these streams, flows and operations.

        Args:
            others: operations as they are; what NAMED names needs no word.
            counted: whether gathers that NAMED names get the counts of their scatters.
            gather: the options of those gathers.
            options: of the runtime.
        """
        runtime = self.make_runtime(**options)
        for flow in flows:
            runtime.add_flow(flow)
        wire(runtime, *chains)
        others = [*others]
        used = {re.split("[.#]", port.strip())[0] for chain in chains for port in chain.split("->")}
        names = [
            *(made.name for made in (*flows, *others)),
            *(funcs or ()),
            *(actions or ()),
            *(generators or ()),
        ]
        missing = used.difference(name.lower() for name in names)
        others += [
            kind(name, **(gather or {} if kind is Gather else {}))
            for name, kind in NAMED.items()
            if name in missing
        ]
        if counted:
            wire(runtime, *[f"{a}.count -> {b}.count" for a, b in BRACKETS if {a, b} <= used])
        return runtime.add_operations(
            self.operations(*others, funcs=funcs, actions=actions, generators=generators)
        )

    def arranged(self, values: Iterable[Any]) -> list[Any]:
        """The values as they are where this mode promises their order, else sorted."""
        return list(values) if self.mode.keeps_order else sorted(values, key=repr)


BENCHES = tuple(Bench(mode, schedule) for mode in MODES for schedule in mode.schedules)
# Where a test has many cases of its own: the basic modes under schedules that differ, not each under each.
FEW = {
    "sync-depth_first",
    "async-breadth_first",
    "parallel-sync",
    "parallel-breadth_first",
    "simulated_parallel-depth_first",
}
COMMON = FEW | {"sync-breadth_first"}


def few_of(chosen: Sequence[Bench], test: str) -> list[Bench]:
    """The common ones of the benches, and one of the others: another one for each test, so that all of them are used by many."""
    others = [bench for bench in chosen if str(bench) not in COMMON]
    in_turn = others[crc32(test.encode()) % len(others)] if others else None
    return [bench for bench in chosen if str(bench) in COMMON or bench is in_turn]


def benches(
    keep: Callable[[Bench], bool] = lambda _: True, *, all_of_them: bool = False
) -> pytest.MarkDecorator:
    """The benches a test runs on: all of them with `--full` or where its subject is the mode or the schedule, else a few (conftest.py)."""
    return pytest.mark.benches([bench for bench in BENCHES if keep(bench)], all_of_them=all_of_them)


# Which benches a test runs on, and why not on the others.
every_mode = benches()
few_modes = benches(lambda bench: str(bench) in FEW)
# The test blocks a thread on an Event: a simulation has only one.
real_threads = benches(lambda bench: not bench.mode.one_thread)
# The test opens a gate after process() returned: under "sync" the run would be over by then.
real_queues = benches(lambda bench: not bench.mode.one_thread and bench.schedule != "sync")
# The test needs operations off the engine's thread.
real_workers = benches(
    lambda bench: not bench.mode.one_thread and not bench.on_engine_thread and bench.schedule != "sync"
)
# The test asserts an order across operations, which only one thread can promise.
one_thread = benches(lambda bench: bench.on_engine_thread, all_of_them=True)
# The test asserts an order that plain parallel does not promise.
ordered_modes = benches(lambda bench: bench.mode.keeps_order, all_of_them=True)
# Likewise, and its operations have no mode of their own.
every_schedule_on_one_thread = benches(
    lambda bench: bench.mode.name == "sync" and bench.on_engine_thread, all_of_them=True
)
# The operations of the test have no mode of their own.
every_schedule = benches(lambda bench: bench.mode.name == "sync")
# As before, where process() must return before the run is over.
queued_schedules = benches(lambda bench: bench.mode.name == "sync" and bench.schedule != "sync")

# By name, for tests that make their runtimes and operations themselves.
by_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
# As before, where process() must return before the run is over.
by_queued_schedule = pytest.mark.parametrize(
    "schedule", [schedule for schedule in SCHEDULES if schedule != "sync"]
)
# For `runtime_of`.
by_schedule_or_simulated = pytest.mark.parametrize(
    "schedule", ["breadth_first", "depth_first", "sync", "simulated"]
)
by_mode = pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
IN_MODE: dict[str, Callable[[FlowOperationContainer], Any]] = {
    "sync": lambda operations: operations.make_sync(),
    "async": lambda operations: operations.make_async(),
    "parallel": lambda operations: operations.make_parallel(3),
    "ordered": lambda operations: operations.make_parallel(3, ordered=True),
}


def wire(target: Flow | FlowRuntime, *chains: str) -> None:
    """Add the streams of `a -> b.port -> c`, chain by chain."""
    for chain in chains:
        ports = [port.strip() for port in chain.split("->")]
        for source, sink in pairwise(ports):
            target.add_stream(source, sink)


def flow_of(
    name: str, *chains: str, operations: FlowOperationContainer | None = None, flows: Iterable[Flow] = ()
) -> Flow:
    flow = Flow(name)
    wire(flow, *chains)
    if operations is not None:
        flow.add_operations(operations)
    for nested in flows:
        flow.add_flow(nested)
    return flow


COUNTERS = ("accepted", "born", "delivered", "absorbed", "failed", "unconnected", "discarded", "live", "held")


def counters(run: Run) -> dict[str, int]:
    return {name: getattr(run.ledger, name) for name in COUNTERS}


def assert_ledger(run: Run, **expected: int) -> None:
    """The ledger shows exactly these numbers, zero elsewhere, and balances."""
    assert counters(run) == dict.fromkeys(COUNTERS, 0) | expected
    assert run.ledger.balanced


def text_of(error: BaseException) -> str:
    """The whole text of an error, with `HERE` for each file:line and `run N` for the number of a run."""
    return re.sub(r"\brun (\d+|\?)", "run N", re.sub(r"\S+\.py:\d+", "HERE", str(error)))


def failure_of(run: Run, told: str | None = None) -> OperationError:
    """The one error a run fails with; `told` is in its text."""
    with pytest.raises(OperationError, match=told) as caught:
        run.wait(timeout=SECONDS)
    return caught.value


def at_ports(messages: Iterable[Message]) -> list[tuple[str, Any]]:
    """The port's own name and the data of each message."""
    return [(message.port.name, message.data) for message in messages]


def results_of(run: Run) -> list[Message]:
    """The results of a run that may have failed."""
    messages = []
    try:
        for message in run.results():
            messages.append(message)  # noqa: PERF402 (what came before the failure is kept)
    except FlowError:
        pass
    return messages


def chain_of(length: int, function: Function = increment) -> tuple[FlowOperationContainer, str]:
    """So many operations of one function, and the names of their chain."""
    operations = FlowOperationContainer()
    names = [f"o{number}" for number in range(length)]
    for name in names:
        operations.add_func(name, function)
    return operations, " -> ".join(names)


def work_of(mode: str, function: Function = same) -> FlowOperationContainer:
    """One function `work`, in a mode by its name."""
    container = FlowOperationContainer().add_func("work", function)
    if mode == "async":
        container.make_async()
    if mode == "parallel":
        container.make_parallel(4)
    return container


def runtime_of(operations: FlowOperationContainer, *chains: str, **options: Any) -> FlowRuntime:
    """A runtime of these operations for `.in -> work -> .out` or other streams; the schedule `simulated`: in a simulation."""
    if options.get("schedule") == "simulated":
        options |= {"schedule": "breadth_first", "seams": simulated(0)}
    runtime = FlowRuntime(**options)
    runtime.add_operations(operations)
    wire(runtime, *(chains or (".in -> work -> .out",)))
    return runtime


def close_quietly(runtime: FlowRuntime) -> None:
    """Close a runtime of which the failure is known."""
    try:
        runtime.close()
    except (FlowError, ExceptionGroup):
        assert runtime.close() is not None


class Keeper(Operation):
    """Holds what arrives until the run is done."""

    def create(self) -> list[Part]:
        return []

    def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
        part = Part(message.data)
        state.append(part)
        emit.hold([part])


# Every gather gathers the same with a count stream as without one, unless a test says otherwise.
counted_or_not = pytest.mark.parametrize("counted", [True, False], ids=["counted", "drained"])


def bracket(
    target: Flow | FlowRuntime,
    work: str = "work",
    *,
    counted: bool,
    scatter: str = "scatter",
    gather: str = "gather",
) -> None:
    """The streams `scatter.stream -> work -> gather.stream`, and those of the count where there is one."""
    wire(target, f"{scatter}.stream -> {work} -> {gather}.stream")
    if counted:
        wire(target, f"{scatter}.count -> {gather}.count")


BRACKET = (".in -> scatter", "scatter.stream -> work -> gather.stream", "gather -> .out")


def guarded_bracket(start: str, items: str, end: str = ".out", error: str = ".error") -> tuple[str, ...]:
    """The streams of a bracket in a causality: what is in front of it and between, where lists go, and where errors."""
    return (
        f".in -> {start}",
        f"scatter.stream -> {items} -> gather.stream",
        f"gather -> {end}",
        f"push.exception -> {error}",
    )


def gathering(bench: Bench, work: Callable[..., Any], *, counted: bool, **options: Any) -> FlowRuntime:
    """A runtime for `.in -> scatter -> work -> gather -> .out`, with `work` in the bench's mode."""
    return bench.wired(*BRACKET, counted=counted, gather=options, funcs={"work": work})


def filtering(bench: Bench, keep: Callable[..., Any], *, counted: bool, **options: Any) -> FlowRuntime:
    """As `gathering`, with an action in the middle that may emit any number of messages for an item."""
    return bench.wired(*BRACKET, counted=counted, gather=options, actions={"work": keep})


def nested(bench: Bench, work: Callable[..., Any], *, counted: bool, **options: Any) -> FlowRuntime:
    """A runtime for a list of lists: `.in -> rows -> cells -> work -> row -> matrix -> .out`."""
    return bench.wired(
        ".in -> rows",
        "rows.stream -> cells",
        "cells.stream -> work -> row.stream",
        "row -> matrix.stream",
        "matrix -> .out",
        counted=counted,
        gather=options,
        funcs={"work": work},
    )
