"""What the tests of the operators share: flows around one operator, and messages that come at given times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Run, RunCancelledError
from flowrt.standard import Gather, Scatter
from flowrt.testing import LedgerWatch, Seams, simulated
from tests.kit.flows import SCHEDULES, wire
from tests.kit.functions import SECONDS

LINGERED = object()  # no result that counts

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


@pytest.fixture(autouse=True)
def books() -> Iterator[None]:
    """The books of every run in a test balance."""
    with LedgerWatch():
        yield


def around(operator: Operation, *ports: str) -> Flow:
    """`.in -> operator -> .out`; with ports, `.port -> operator.port` for each."""
    flow = Flow("operators")
    flow.add_operations(FlowOperationContainer().add_operation(operator))
    for port in ports:
        wire(flow, f".{port} -> {operator.name}.{port}")
    if not ports:
        wire(flow, f".in -> {operator.name}")
    wire(flow, f"{operator.name} -> .out")
    return flow


def in_lists(operator: Operation) -> Flow:
    """`.in -> scatter -> operator -> gather -> .out`."""
    flow = Flow("lists")
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(operator)
    flow.add_operations(operations.add_operation(Gather("gather", ordered=True)))
    wire(flow, ".in -> scatter", f"scatter.stream -> {operator.name} -> gather.stream", "gather -> .out")
    return flow


def values(flow: Flow, inputs: Iterable[Any], schedule: Any = "breadth_first") -> list[Any]:
    """What comes of inputs in one run."""
    with FlowRuntime(flow, schedule=schedule) as runtime:
        return runtime.process_many(".in", inputs).values(timeout=SECONDS)


def cancelled_after(
    runtime: FlowRuntime, steps: int, first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    """Send a run of ten inputs and another of one, each to a port with an id; after so many steps cancel the first."""
    seen: list[Message] = []

    def cancel_after(message: Message) -> None:
        seen.append(message)
        if len(seen) == steps:
            run.cancel()

    runtime.on_message(cancel_after)
    run = runtime.process_many(first[0], range(10), correlation_id=first[1])
    other = runtime.process_many(second[0], [100], correlation_id=second[1])
    if steps < 10:
        with pytest.raises(RunCancelledError):
            run.wait()
    other.wait()
    runtime.wait_idle()


def results_of_runs(
    flow: Flow, inputs: Iterable[Message], schedule: Any = "breadth_first"
) -> list[list[Any]]:
    """What comes of each input in a run of its own, one after the other."""
    found = []
    with FlowRuntime(flow, schedule=schedule) as runtime:
        for message in inputs:
            run = runtime.process(message)
            found.append(run.values(timeout=SECONDS))
    return found


class Timeline:
    """A flow around one operator in a simulation, into which messages come at given times."""

    def __init__(self, make: Callable[[], Operation], schedule: Any = "breadth_first") -> None:
        self.seams: Seams = simulated(deviations={})
        self.out: list[tuple[float, Any]] = []
        operator = make()
        flow = Flow("timeline")
        operations = FlowOperationContainer().add_operation(operator)
        operations.add_func("late", self._late).make_parallel(1_000)
        flow.add_operations(operations)
        wire(flow, f".in -> late -> {operator.name} -> .out", f".now -> {operator.name}")
        self.runtime = FlowRuntime(flow, seams=self.seams, schedule=schedule)
        self.runtime.on_result(self._note)
        self.ended: list[float] = []  # when it was seen of each run, one after the other, that it had ended

    def _note(self, message: Message) -> None:
        if message.data is not LINGERED:
            self.out.append((self.seams.clock.now(), message.data))

    def _late(self, event: tuple[float, Any]) -> Any:
        self.sleep(event[0])
        return event[1]

    def sleep(self, seconds: float) -> None:
        """Take time."""
        self.seams.clock.sleep(seconds)  # type: ignore[attr-defined]

    def grouped(
        self,
        events: Iterable[tuple[float, int, Any]],
        stops: Iterable[tuple[float, int]] = (),
        until: Mapping[int, float] | None = None,
        at_end: Callable[[FlowRuntime], None] = lambda _runtime: None,
    ) -> list[Run]:
        """Let messages come as (time, number of the run, data), and cancel runs at times; those in `until` last so long at least."""
        runs: dict[int, Run] = {}
        until = until or {}

        def linger(number: int) -> Any:
            self.sleep(until[number])
            return LINGERED

        def cancel(number: int) -> Any:
            runs[number].cancel()
            return LINGERED

        operations = FlowOperationContainer().add_func("linger", linger).make_parallel(1_000)
        self.runtime.add_operations(operations.add_func("cancel", cancel))
        self.runtime.add_operations(
            FlowOperationContainer().add_func("wait", self._late).make_parallel(1_000)
        )
        wire(self.runtime, ".linger -> linger -> .out", ".stop -> wait -> cancel -> .out", ".both -> both")
        self.runtime.add_operations(FlowOperationContainer().add_action("both", _both))
        wire(self.runtime, "both.late -> late", "both.linger -> linger")
        by_run: dict[int, list[tuple[float, Any]]] = {}
        for moment, number, data in events:
            by_run.setdefault(number, []).append((moment, data))
        with self.runtime as runtime:
            for number, mine in by_run.items():
                lasting = [number] if number in until else []
                runs[number] = runtime.process(".both", (mine, lasting))
            for event in stops:
                runtime.process(".stop", event)
            for run in runs.values():
                with contextlib.suppress(RunCancelledError):
                    run.wait()
                self.ended.append(self.seams.clock.now())
            runtime.wait_idle()
            at_end(runtime)
        return list(runs.values())

    def one_run(self, *events: tuple[float, Any]) -> Run:
        """Let messages come after so many seconds each, all in one run; wait for its end."""
        with self.runtime:
            run = self.runtime.process_many(".in", events)
            run.wait()
        return run

    def runs(self, *events: tuple[float, Any]) -> list[Run]:
        """The same, each in a run of its own."""
        with self.runtime:
            runs = [self.runtime.process(".in", event) for event in events]
            for run in runs:
                run.wait()
                self.ended.append(self.seams.clock.now())
        return runs


def _both(
    inputs: tuple[list[Any], list[int]], late: Callable[[Any], None], linger: Callable[[Any], None]
) -> None:
    for event in inputs[0]:
        late(event)
    for number in inputs[1]:
        linger(number)


def rows(run: Run) -> list[tuple[str, str, str, int]]:
    """The ledger of a run."""
    return [(row.place, row.what, row.reason, row.count) for row in run.ledger.places]
