"""What an operation may ask about its call, in every kind and mode; and deadlines of runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flowrt
from flowrt import Current, FlowOperationContainer, FlowRuntime, Message, Operation, Part
from flowrt.errors import FlowBuildError, FlowTimeoutError, RunCancelledError
from flowrt.observe import calls
from flowrt.operations.contract import Emitter
from flowrt.standard import Gather, Scatter
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import Bench, assert_ledger, every_mode, flow_of, real_workers, wire
from tests.kit.functions import SECONDS, Gate, arrived, on_thread

Asked = dict[Any, Current]
LIST = (
    ".in -> scatter",
    "scatter.stream -> ask -> gather.stream",
    "scatter.count -> gather.count",
    "gather -> .out",
)


def figures(current: Current) -> tuple[Any, ...]:
    return current.run, current.operation, current.position, current.correlation_id


def list_runtime(bench: Bench, **operations: Any) -> FlowRuntime:
    runtime = bench.make_runtime(name="demo")
    runtime.add_operations(bench.operations(Scatter("scatter"), Gather("gather"), **operations))
    wire(runtime, *LIST)
    return runtime


# --- current()


def test_current_knows_what_every_module_that_calls_operations_has_in_hand() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("flowrt.")]
    found = {
        module.__name__: module.CALLS_OPERATIONS for module in modules if hasattr(module, "CALLS_OPERATIONS")
    }

    assert {how for calls_of in found.values() for how in calls_of.values()} == set(calls._LOOKS)
    passing_on = {name for name in found if not found[name]}
    assert passing_on == {"flowrt.operations.variables", "flowrt.testing.simulation"}  # left to the bodies


@every_mode
def test_a_function_may_ask_what_it_works_on(bench: Bench) -> None:
    asked: Asked = {}

    def ask(data: int) -> int:
        asked[data] = flowrt.current()
        return data

    with list_runtime(bench, funcs={"ask": ask}) as runtime:
        runtime.process(".in", [10, 11, 12], correlation_id="x").wait(SECONDS)

    assert {data: figures(each) for data, each in asked.items()} == {
        10 + position: (1, "ask", position, "x") for position in range(3)
    }
    assert not any(each.remaining for each in asked.values())


@every_mode
def test_each_of_a_chain_of_functions_may_ask(bench: Bench) -> None:
    asked: list[tuple[Any, ...]] = []

    def ask(data: int) -> int:
        asked.append((data, *figures(flowrt.current())))
        return data

    with bench.wired(
        ".in -> one -> two -> three -> .out", funcs={"one": ask, "two": ask, "three": ask}
    ) as runtime:
        runtime.process_many(".in", [7, 8], correlation_id="x").wait(SECONDS)
        runtime.process(".in", 9).wait(SECONDS)

    expected: list[tuple[Any, ...]] = [
        (7 + n, 1, name, n, "x") for n in range(2) for name in ("one", "two", "three")
    ]
    expected += [(9, 2, name, 0, None) for name in ("one", "two", "three")]
    assert sorted(asked, key=repr) == sorted(expected, key=repr)


@every_mode
def test_actions_and_generators_may_ask(bench: Bench) -> None:
    asked: list[tuple[Any, ...]] = []

    def act(data: int, on_data: Callable[[int], None]) -> None:
        asked.append(figures(flowrt.current()))
        on_data(data)

    def generate(data: int) -> Iterator[int]:
        asked.append(figures(flowrt.current()))
        yield data
        asked.append(figures(flowrt.current()))

    with bench.wired(
        ".in -> act -> generate -> .out", actions={"act": act}, generators={"generate": generate}
    ) as runtime:
        runtime.process(".in", 7, correlation_id="x").wait(SECONDS)

    assert asked == [(1, "act", 0, "x"), (1, "generate", 0, "x"), (1, "generate", 0, "x")]


@every_mode
def test_an_operation_of_ones_own_may_ask_also_when_it_has_drained(bench: Bench) -> None:
    asked: list[tuple[Any, ...]] = []

    class Own(Operation):
        def create(self) -> list[Part]:
            return []

        def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
            asked.append(figures(flowrt.current()))
            state.append(Part(message.data))
            emit.hold(state[-1:])

        def drained(self, state: list[Part], _scope: Any, emit: Emitter) -> None:
            asked.append(figures(flowrt.current()))
            emit.merge(state, len(state))

    with bench.wired(".in -> own -> .out", others=[Own("own")]) as runtime:
        assert runtime.process(".in", 7).values(SECONDS) == [1]

    assert asked == [(1, "own", 0, None), (1, "own", None, None)]


@real_workers
def test_an_operation_sees_that_its_run_was_cancelled(bench: Bench) -> None:
    seen: list[bool] = []
    begun, cancelled, over = threading.Event(), threading.Event(), threading.Event()

    def ask(data: int) -> int:
        call = flowrt.current()
        seen.append(call.cancelled)
        begun.set()
        arrived(cancelled)
        seen.append(call.cancelled)
        over.set()
        return data

    with bench.wired(".in -> ask -> .out", funcs={"ask": ask}) as runtime:
        run = runtime.process(".in", 7)
        arrived(begun)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)
        cancelled.set()
        arrived(over)

    assert seen == [False, True]


def test_in_flows_inside_flows_the_innermost_call_is_told() -> None:
    asked: list[str] = []

    def inner(data: int) -> int:
        asked.append(flowrt.current().operation)
        return data

    def outer(data: int) -> int:
        operations = FlowOperationContainer().add_func("inner", inner)
        with FlowRuntime(
            flow_of("", ".in -> inner -> .out", operations=operations), schedule="sync"
        ) as runtime:
            runtime.process(".in", data)
        asked.append(flowrt.current().operation)
        return data

    operations = FlowOperationContainer().add_func("outer", outer)
    with FlowRuntime(flow_of("", ".in -> outer -> .out", operations=operations)) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    assert asked == ["inner", "outer"]


def told_outside() -> tuple[Any, ...]:
    call = flowrt.current()
    return (call.run, call.operation, call.position, call.correlation_id, call.remaining, call.cancelled)


NOTHING = (0, "", None, None, None, False)


def test_outside_of_a_call_a_stand_in_is_never_cancelled() -> None:
    """A function that asks whether it was cancelled can be tested as any other."""
    assert told_outside() == NOTHING
    assert repr(flowrt.current()) == "Current(run=0, operation='', position=None, correlation_id=None)"

    told: list[tuple[Any, ...]] = []
    operations = FlowOperationContainer().add_func("work", str)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime:
        runtime.on_result(lambda _message: told.append(told_outside()))
        runtime.on_message(lambda _message: told.append(told_outside()))
        runtime.process(".in", 1).wait(SECONDS)
        on_thread(lambda: told.append(told_outside()))
    assert told == [NOTHING] * 4


# --- deadlines


@pytest.mark.parametrize(("seconds", "in_time"), [(1.0, True), (3.0, False)])
def test_a_run_past_its_deadline_is_cancelled(seconds: float, in_time: bool) -> None:
    seams = simulated(deviations={})
    clock = seams.clock
    assert isinstance(clock, FakeClock)
    remaining: list[float | None] = []

    def work(data: int) -> int:
        clock.sleep(seconds)
        remaining.append(flowrt.current().remaining)
        return data

    operations = FlowOperationContainer().add_func("work", work).make_async()
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, name="demo", seams=seams) as runtime:
        run = runtime.process(".in", 7, deadline=2.0)
        other = runtime.process(".in", 8)
        if in_time:
            assert run.values() == [7]
        else:
            with pytest.raises(RunCancelledError) as caught:
                run.wait()
            assert str(caught.value) == "run 1 of demo was cancelled: its deadline of 2 s had passed."
            assert clock.now() == 2.0
            assert run.ledger.places[-1].reason == "its deadline had passed"
            assert_ledger(run, accepted=1, discarded=1)
        assert other.values() == [8]
        assert not runtime._owner.engine.timers

    assert remaining == [max(2.0 - seconds, 0.0), None]


@every_mode
def test_a_run_done_before_its_deadline_knows_nothing_of_it(bench: Bench) -> None:
    def ask(data: int) -> bool:
        remaining = flowrt.current().remaining
        return remaining is not None and 0 < remaining <= SECONDS

    with bench.wired(".in -> ask -> .out", funcs={"ask": ask}) as runtime:
        assert runtime.process(".in", 7, deadline=SECONDS).values(SECONDS) == [True]
        runtime.wait_idle(SECONDS)
        assert not runtime._owner.engine.timers


def test_a_deadline_bounds_the_wait_for_room_too() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, capacity=1) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(FlowTimeoutError):
            runtime.process(".in", 2, deadline=0.01)
        gate.open()
        assert run.values(SECONDS) == [1]


def test_a_run_past_its_deadline_outside_the_flow_ends_there() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, capacity=2, overflow="drop_oldest") as runtime:
        first = runtime.process(".in", 1)
        arrived(gate.entered)
        second = runtime.process(".in", 2, deadline=0.01)
        with pytest.raises(RunCancelledError):
            second.wait(SECONDS)
        gate.open()
        assert first.values(SECONDS) == [1]
    assert_ledger(second, accepted=1, discarded=1)


@pytest.mark.parametrize("deadline", [0, -1.0, True, "soon"])
def test_what_is_no_time_is_refused_as_a_deadline(deadline: Any) -> None:
    operations = FlowOperationContainer().add_func("work", str)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow) as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(".in", 1, deadline=deadline)

    assert str(caught.value) == f"process: deadline is {deadline!r}; give a number of seconds above 0."
