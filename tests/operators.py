"""What the tests of the operators share: flows around one operator, and messages that come at given times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Gather, Message, Operation, Run, Scatter
from flowrt.testing import LedgerWatch, Seams, simulated
from tests.flows import SECONDS, wire

every_schedule = pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])


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


def values(flow: Flow, inputs: Iterable[Any], schedule: str = "breadth_first") -> list[Any]:
    """What comes of inputs in one run."""
    with FlowRuntime(flow, schedule=schedule) as runtime:
        return runtime.process_many(".in", inputs).values(timeout=SECONDS)


def results_of_runs(
    flow: Flow, inputs: Iterable[Message], schedule: str = "breadth_first"
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

    def __init__(self, make: Callable[[], Operation], schedule: str = "breadth_first") -> None:
        self.seams: Seams = simulated(deviations={})
        self.out: list[tuple[float, Any]] = []
        operator = make()
        flow = Flow("timeline")
        operations = FlowOperationContainer().add_operation(operator)
        operations.add_func("late", self._late).make_parallel(1_000)
        flow.add_operations(operations)
        wire(flow, f".in -> late -> {operator.name} -> .out", f".now -> {operator.name}")
        self.runtime = FlowRuntime(flow, seams=self.seams, schedule=schedule)
        self.runtime.on_result(lambda message: self.out.append((self.seams.clock.now(), message.data)))

    def _late(self, event: tuple[float, Any]) -> Any:
        self.seams.clock.sleep(event[0])  # type: ignore[attr-defined]
        return event[1]

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
        return runs


def rows(run: Run) -> list[tuple[str, str, str, int]]:
    """The ledger of a run."""
    return [(row.place, row.what, row.reason, row.count) for row in run.ledger.places]
