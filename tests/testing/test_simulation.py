"""The simulated executor: a whole runtime on one thread, and chance from a seed. And `drive`: one operation on its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from flowrt import Emit, FlowOperationContainer, FlowRuntime, Message
from flowrt.errors import FlowBuildError, FlowError, FlowStalledError, FlowTimeoutError, OperationError
from flowrt.standard import Gather, PushCausality, Scatter
from flowrt.testing import FakeClock, Simulation, drive, simulated
from tests.kit.flows import wire
from tests.kit.functions import increment, refuse, same

SEEDS = range(50)
NUMBERS = list(range(12))
HOUR = 3600.0


def trace_and_results(
    seed: int,
    operations: FlowOperationContainer,
    *chains: str,
    inputs: Callable[[FlowRuntime], Any],
) -> tuple[list[str], list[Any]]:
    seams = simulated(seed)
    with FlowRuntime(name="simulated", seams=seams) as runtime:
        wire(runtime, *chains)
        runtime.add_operations(operations)
        run = inputs(runtime)
        values = run.values()
        assert run.ledger.balanced
    return cast("Simulation", seams.simulation).trace, values


def through_work(
    seed: int, mode: Callable[[FlowOperationContainer], Any], numbers: list[int] = NUMBERS
) -> tuple[list[str], list[int]]:
    operations = FlowOperationContainer().add_func("work", increment)
    mode(operations)
    return trace_and_results(
        seed,
        operations,
        ".in -> work -> .out",
        inputs=lambda runtime: runtime.process_many(".in", numbers),
    )


def a_mixed_flow(seed: int) -> tuple[list[str], list[Any]]:
    def count(number: int) -> Iterator[int]:
        yield from range(number)

    operations = FlowOperationContainer().add_generator("count", count).make_async()
    operations.add_func("work", increment).make_parallel(3)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    return trace_and_results(
        seed,
        operations,
        ".in -> scatter",
        "scatter.stream -> count -> work -> gather.stream",
        "gather -> .out",
        inputs=lambda runtime: runtime.process(".in", [3, 0, 4]),
    )


# --- determinism


def test_the_same_seed_gives_the_same_trace() -> None:
    runs = [a_mixed_flow(7) for _ in range(10)]

    assert all(run == runs[0] for run in runs)
    assert len(runs[0][0]) > 10


def test_different_seeds_give_different_traces_and_the_same_numbers() -> None:
    runs = [a_mixed_flow(seed) for seed in range(10)]

    assert len({tuple(trace) for trace, _ in runs}) > 5
    assert len({str(values) for _, values in runs}) > 1
    assert {tuple(sorted(*values)) for _, values in runs} == {(1, 1, 2, 2, 3, 3, 4)}


def test_no_thread_is_started() -> None:
    seen = set()

    def look(data: Any) -> None:
        seen.add(threading.current_thread())

    operations = FlowOperationContainer().add_action("work", look, signal=True).make_parallel(3)
    trace_and_results(
        1,
        operations,
        ".in -> work -> .out",
        inputs=lambda runtime: runtime.process_many(".in", range(20)),
    )

    assert seen == {threading.current_thread()}


# --- the limits of the modes


def in_flight(trace: list[str], *names: str) -> list[int]:
    """How many calls of these operations were begun and not finished, after each start."""
    figures = []
    now: set[str] = set()
    for step in trace:
        what, _, call = step.partition(" ")
        if call.partition("#")[0] not in names:
            continue
        if what == "start":
            now.add(call)
            figures.append(len(now))
        else:
            now.remove(call)
    assert not now
    return figures


@pytest.mark.parametrize("seed", SEEDS)
def test_async_never_overlaps_and_keeps_the_order(seed: int) -> None:
    trace, values = through_work(seed, lambda operations: operations.make_async())

    assert set(in_flight(trace, "work")) == {1}
    assert values == [number + 1 for number in NUMBERS]


def test_parallel_has_up_to_its_number_in_flight_and_never_more() -> None:
    most = [
        max(in_flight(through_work(seed, lambda operations: operations.make_parallel(3))[0], "work"))
        for seed in SEEDS
    ]

    assert max(most) == 3
    assert min(most) >= 1


def test_plain_parallel_emits_in_order_of_completion() -> None:
    outcomes = [through_work(seed, lambda operations: operations.make_parallel(3))[1] for seed in SEEDS]

    assert any(values != sorted(values) for values in outcomes)
    assert all(sorted(values) == [number + 1 for number in NUMBERS] for values in outcomes)


@pytest.mark.parametrize("seed", SEEDS)
def test_ordered_restores_the_order_of_arrival(seed: int) -> None:
    trace, values = through_work(seed, lambda operations: operations.make_parallel(3, ordered=True))

    assert values == [number + 1 for number in NUMBERS]
    assert max(in_flight(trace, "work")) <= 3


def test_ordered_calls_do_overlap() -> None:
    traces = [
        through_work(seed, lambda operations: operations.make_parallel(3, ordered=True))[0] for seed in SEEDS
    ]

    assert max(max(in_flight(trace, "work")) for trace in traces) == 3


def test_each_key_keeps_its_order_and_only_its_order() -> None:
    def by_key(operations: FlowOperationContainer) -> None:
        operations.make_parallel(3, by_key=lambda number: number % 3)

    outcomes = [through_work(seed, by_key)[1] for seed in SEEDS]

    for values in outcomes:
        for key in range(3):
            of_key = [value for value in values if (value - 1) % 3 == key]
            assert of_key == sorted(of_key)
    assert any(values != sorted(values) for values in outcomes)


def test_operations_of_one_pool_share_its_workers() -> None:
    for seed in SEEDS:
        operations = FlowOperationContainer().add_func("first", increment).make_parallel(2, "shared")
        operations.add_func("second", increment).make_parallel(2, "shared")
        trace, _ = trace_and_results(
            seed,
            operations,
            ".in -> first -> second -> .out",
            inputs=lambda runtime: runtime.process_many(".in", range(8)),
        )

        assert max(in_flight(trace, "first", "second")) <= 2


# --- what it is for: bugs that real threads rarely show


def test_a_gather_used_as_if_it_were_ordered_is_caught_within_fifty_seeds() -> None:
    def gathered(seed: int, *, ordered: bool) -> list[str]:
        operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
        operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", ordered=ordered))
        _, (result,) = trace_and_results(
            seed,
            operations,
            ".in -> scatter",
            "scatter.stream -> work -> gather.stream",
            "scatter.count -> gather.count",
            "gather -> .out",
            inputs=lambda runtime: runtime.process(".in", list("abcd")),
        )
        return cast("list[str]", result)

    assert any(gathered(seed, ordered=False) != list("abcd") for seed in SEEDS)
    assert all(gathered(seed, ordered=True) == list("abcd") for seed in SEEDS)


def test_that_the_last_writer_is_not_the_last_input_is_caught_within_fifty_seeds() -> None:
    """A result that depends on the order in which parallel calls end differs between seeds."""

    def last(seed: int) -> int:
        latest = [0]

        def keep(number: int) -> None:
            latest[0] = number

        operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
        operations.add_action("keep", keep)
        trace_and_results(
            seed,
            operations,
            ".in -> work -> keep",
            inputs=lambda runtime: runtime.process_many(".in", NUMBERS),
        )
        return latest[0]

    assert len({last(seed) for seed in SEEDS}) > 1


def test_what_a_call_brings_may_be_arbitrarily_late() -> None:
    """Some seed lets an input pass two operations while an earlier one is still in its first."""

    def overtaken(seed: int) -> bool:
        operations = FlowOperationContainer().add_func("first", same).make_parallel(2)
        operations.add_func("second", same).make_async()
        _, values = trace_and_results(
            seed,
            operations,
            ".in -> first -> second -> .out",
            inputs=lambda runtime: runtime.process_many(".in", [0, 1]),
        )
        return values == [1, 0]

    assert any(overtaken(seed) for seed in SEEDS)
    assert not all(overtaken(seed) for seed in SEEDS)


# --- time


def test_a_fake_clock_moves_only_when_told_to() -> None:
    clock = FakeClock(5.0)
    assert clock.now() == 5.0
    clock.advance(2.5)
    clock.advance_to(7.0)
    assert clock.now() == 7.5
    clock.advance_to(10.0)
    assert clock.now() == 10.0


def test_a_fake_clock_does_not_step_back() -> None:
    with pytest.raises(FlowError) as caught:
        FakeClock().advance(-1.0)

    assert str(caught.value) == "a clock never steps back; got -1.0 s."


def test_throttled_hours_pass_in_no_time() -> None:
    seams = simulated()
    with FlowRuntime(seams=seams) as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", same))
        runtime.throttle(HOUR)

        assert runtime.process_many(".in", range(5)).values() == list(range(5))
        assert 5 * HOUR <= seams.clock.now() < 12 * HOUR


def test_waiting_for_what_never_comes_costs_only_fake_time() -> None:
    seams = simulated()
    with FlowRuntime(seams=seams) as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", same))

        with pytest.raises(FlowTimeoutError):
            runtime.wait_for_result(timeout=HOUR)
        assert seams.clock.now() == HOUR


def test_waiting_without_a_limit_for_what_never_comes_is_a_named_error() -> None:
    with FlowRuntime(name="sim", seams=simulated()) as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", same))

        with pytest.raises(FlowStalledError) as caught:
            runtime.wait_for_result()

    assert str(caught.value).startswith('runtime "sim" has nothing left to do')


# --- drive: one operation alone


def data_of(messages: list[Message]) -> list[Any]:
    return [message.data for message in messages]


def test_drive_runs_a_function() -> None:
    messages = drive(increment, 1, 2, 3)

    assert data_of(messages) == [2, 3, 4]
    assert {str(message.port) for message in messages} == {"increment"}


def test_drive_runs_a_function_on_the_calling_thread() -> None:
    threads = drive(lambda _: threading.current_thread(), 1)

    assert data_of(threads) == [threading.current_thread()]


def test_drive_runs_an_action_with_its_continuations() -> None:
    def check(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        (on_odd if number % 2 else on_even)(number)

    messages = drive(check, 1, 2, 3)

    assert [(message.port.name, message.data) for message in messages] == [
        ("on_odd", 1),
        ("on_even", 2),
        ("on_odd", 3),
    ]


def test_drive_runs_a_generator() -> None:
    def count(number: int) -> Iterator[Any]:
        yield from range(number)
        yield Emit("done", number)

    messages = drive(count, 2)

    assert sorted((message.port.name, message.data) for message in messages) == [
        ("", 0),
        ("", 1),
        ("done", 2),
    ]


def test_drive_runs_a_callable_without_a_signature() -> None:
    assert data_of(drive(str, 12)) == ["12"]


class Sum:
    """Adds up what arrives at `.add`, and emits the sum at each `.tell` and when everything is over."""

    name = "sum"
    in_ports = ("add", "tell")
    out_ports = ("total",)

    def create(self) -> list[int]:
        return [0]

    def handle(self, state: list[int], message: Message, emit: Any) -> None:
        if message.port.name == "add":
            state[0] += message.data
        else:
            emit(state[0], "total")

    def drained(self, state: Any, scope: Any, emit: Any) -> None:
        pass

    def cancelled(self, state: Any, run: Any) -> None:
        pass


def test_drive_runs_an_operation_with_state() -> None:
    messages = drive(
        Sum(), Message("sum.add", 1), Message("sum.add", 2), Message("sum.tell"), Message("sum.add", 3)
    )

    assert [(message.port.name, message.data) for message in messages] == [("total", 3)]


def test_drive_hands_data_to_the_port_asked_for() -> None:
    assert data_of(drive(Sum(), 1, 2, port="tell")) == [0, 0]


def test_drive_keeps_correlation_and_priority() -> None:
    (message,) = drive(increment, Message("increment", 1, "id", 5))

    assert (message.data, message.correlation_id, message.priority) == (2, "id", 5)


def test_drive_runs_a_scatter() -> None:
    messages = drive(Scatter("scatter"), "ab".split("b"))

    assert [(message.port.name, message.data) for message in messages] == [
        ("stream", "a"),
        ("stream", ""),
        ("count", 2),
    ]


def test_drive_runs_a_gather_by_correlation_id() -> None:
    messages = drive(
        Gather("gather"), *(Message("gather.stream", n) for n in range(3)), Message("gather.count", 3)
    )

    assert data_of(messages) == [[0, 1, 2]]


def test_drive_runs_a_causality() -> None:
    assert data_of(drive(PushCausality("push"), 1)) == [1]


def test_drive_runs_the_operation_of_a_container_whatever_its_mode() -> None:
    container = FlowOperationContainer().add_func("work", lambda _: threading.current_thread())
    container.make_parallel(4)

    assert data_of(drive(container, 1)) == [threading.current_thread()]


def test_drive_without_inputs_emits_nothing() -> None:
    assert drive(increment) == []


def test_drive_runs_one_operation_only() -> None:
    container = FlowOperationContainer().add_func("a", same).add_func("b", same)

    with pytest.raises(FlowBuildError) as caught:
        drive(container, 1)

    assert "the container holds 2" in str(caught.value)


def test_drive_raises_what_the_operation_raises() -> None:
    with pytest.raises(OperationError) as caught:
        drive(refuse, 1)

    assert caught.value.operation == "refuse"
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.message is not None
    assert caught.value.message.data == 1


def test_drive_leaves_a_container_fit_for_use() -> None:
    container = FlowOperationContainer().add_func("work", increment)
    drive(container, 1)

    with FlowRuntime(schedule="sync") as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(container)
        assert runtime.process(".in", 1).values() == [2]
