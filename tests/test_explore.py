"""`explore`: orders of events, drawn or all of them, shrunk and replayed. And what stands under it: deviations, faults, groups, fake time."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt import (
    Flow,
    FlowBuildError,
    FlowError,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Message,
    OperationError,
    PopCausality,
    PushCausality,
    Scatter,
)
from flowrt.testing import (
    Explored,
    Failing,
    SimulatedError,
    Simulation,
    Slow,
    explore,
    run_flow,
    simulated,
)
from samples.out_of_order import book
from samples.out_of_order.__main__ import INPUTS, check
from tests import strategies
from tests.flows import increment, same, wire

LETTERS = [(".in", list("abcd"))]


def flow_of(operations: FlowOperationContainer, *chains: str) -> Flow:
    flow = Flow().add_operations(operations)
    wire(flow, *chains)
    return flow


def gathered(*, ordered: bool, workers: int = 2) -> Flow:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(workers)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", ordered=ordered))
    return flow_of(
        operations,
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
    )


def is_sorted(results: list[Message]) -> None:
    for result in results:
        assert result.data == sorted(result.data), "out of order"


def is_anything(_results: list[Message]) -> None:
    pass


def notes_of(error: BaseException) -> list[str]:
    return error.__notes__


def deviations_in(error: BaseException) -> dict[int, int]:
    text = notes_of(error)[-1].partition("replay=")[2].partition("}")[0] + "}"
    return cast("dict[int, int]", eval(text))


# --- the order of a sample


def test_the_bug_of_order_in_a_sample_is_found_shrunk_to_its_one_swap_and_replayed() -> None:
    with pytest.raises(AssertionError) as caught:
        explore(book(ordered=False), INPUTS, check)

    order, found, replay = notes_of(caught.value)
    assert order == (
        "in this order: input .in#0, start set#0, start set#1, start set#2, finish set#0, finish set#2, finish set#1"
    )
    assert found == "order 2 of an exhaustive search; shrunk to 1 deviation from first in, first out"
    assert replay == "replay it: explore(flow, inputs, check, replay={11: 2})"
    with pytest.raises(AssertionError) as again:
        explore(book(ordered=False), INPUTS, check, replay={11: 2})
    assert notes_of(again.value) == [order, "replayed: {11: 2}", replay]


def test_the_mended_sample_is_right_in_every_order() -> None:
    explored = explore(book(ordered=True), INPUTS, check)

    assert explored.exhaustive
    assert (
        explored.schedules > 15
    )  # 1 · 3 · 5 orders of three calls, and more by late inputs and a late engine


def test_what_is_raised_is_the_error_of_the_check_itself() -> None:
    raised = AssertionError("mine")

    def refuse(_results: list[Message]) -> None:
        raise raised

    with pytest.raises(AssertionError) as caught:
        explore(gathered(ordered=True), LETTERS, refuse)

    assert caught.value is raised
    assert notes_of(raised)[1] == "undisturbed: first in, first out"
    assert notes_of(raised)[2].endswith("replay={})")


# --- drawn orders


def test_an_order_of_many_calls_is_found_by_drawing_and_is_shrunk() -> None:
    with pytest.raises(AssertionError) as caught:
        explore(gathered(ordered=False, workers=3), [(".in", list("abcdefghij"))], is_sorted)

    assert len(deviations_in(caught.value)) == 1
    assert notes_of(caught.value)[1].startswith("seed 0, order ")
    with pytest.raises(AssertionError, match="out of order"):
        explore(
            gathered(ordered=False, workers=3),
            [(".in", list("abcdefghij"))],
            is_sorted,
            replay=deviations_in(caught.value),
        )


def test_the_same_seed_draws_the_same_orders_and_another_one_others() -> None:
    def orders(seed: int) -> list[str]:
        drawn = []
        explore(
            gathered(ordered=False, workers=3),
            [(".in", list("abcdefgh"))],
            lambda results: drawn.append("".join(results[0].data)),
            seed=seed,
            schedules=50,
        )
        return drawn

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    assert len(set(orders(1))) > 10


def test_a_bug_that_takes_two_swaps_is_shrunk_to_two() -> None:
    def not_reversed(results: list[Message]) -> None:
        assert results[0].data[:3] != list("cba")

    with pytest.raises(AssertionError) as caught:
        explore(
            gathered(ordered=False, workers=3), [(".in", list("abcdefgh"))], not_reversed, schedules=3_000
        )

    assert len(deviations_in(caught.value)) == 2


@settings(max_examples=20, suppress_health_check=[HealthCheck.nested_given])
@given(strategies.lists)
def test_a_right_flow_passes(numbers: list[int]) -> None:
    def as_sent(results: list[Message]) -> None:
        assert [result.data for result in results] == [numbers]

    explore(gathered(ordered=True), [(".in", numbers)], as_sent, schedules=5)


# --- all orders


def orders_seen(flow: Flow, inputs: list[tuple[str, Any]], **options: Any) -> Counter[tuple[Any, ...]]:
    seen: Counter[tuple[Any, ...]] = Counter()
    explored = explore(
        flow, inputs, lambda results: seen.update([tuple(result.data for result in results)]), **options
    )
    assert explored.exhaustive
    return seen


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5])
def test_a_small_flow_is_run_in_every_order_of_its_calls(calls: int) -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(calls)
    flow = flow_of(operations, ".in -> work -> .out")

    seen = orders_seen(flow, [(".in", number) for number in range(calls)], schedules=1)

    assert set(seen) == set(itertools.permutations(range(calls)))
    # An order of beginnings and ends in which each call begins before it ends, and calls begin as they came: 1 · 3 · 5 · …
    every = 1
    for odd in range(1, 2 * calls, 2):
        every *= odd
    assert every + 1 <= seen.total() <= every + 2  # and the undisturbed one, and the one drawn


def test_limits_hold_in_every_order() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
    seen = orders_seen(
        flow_of(operations, ".in -> work -> .out"), [(".in", number) for number in range(4)], schedules=1
    )

    assert all(results.index(3) > min(results.index(0), results.index(1)) for results in seen)
    assert any(results[0] == 2 for results in seen) is False  # two workers: 2 begins when 0 or 1 has ended


def test_an_async_operation_has_one_order_of_results() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_async()
    seen = orders_seen(flow_of(operations, ".in -> work -> .out"), [(".in", number) for number in range(5)])

    assert set(seen) == {(0, 1, 2, 3, 4)}


def test_seven_calls_are_not_run_in_every_order() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(7)
    flow = flow_of(operations, ".in -> work -> .out")

    explored = explore(flow, [(".in", number) for number in range(7)], is_anything, schedules=20)

    assert explored == Explored(explored.schedules, exhaustive=False)
    assert 2 <= explored.schedules <= 21


def test_a_flow_without_workers_has_one_order_and_late_inputs() -> None:
    operations = FlowOperationContainer().add_func("work", same)
    flow = flow_of(operations, ".in -> work -> .out")

    assert set(orders_seen(flow, [(".in", 1), (".in", 2)])) == {(1, 2)}


# --- faults


def test_a_fault_reaches_whoever_handles_it_in_every_order() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
    operations.add_operation(PushCausality("push")).add_operation(PopCausality("pop"))
    operations.add_func("rescue", lambda error: type(error.__cause__).__name__)
    flow = flow_of(
        operations,
        ".in -> push -> work -> pop -> .out",
        "push.exception -> rescue -> .out",
    )
    seen: Counter[str] = Counter()

    def one_for_each(results: list[Message]) -> None:
        assert len(results) == 3
        seen.update(str(result.data) for result in results)

    explore(flow, [(".in", number) for number in range(3)], one_for_each, faults=2)

    assert seen["SimulatedError"] > 0


def test_an_unhandled_fault_is_raised_with_the_order_that_led_to_it() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_async()

    with pytest.raises(OperationError) as caught:
        explore(flow_of(operations, ".in -> work -> .out"), [(".in", 1)], is_anything, faults=1)

    assert isinstance(caught.value.__cause__, SimulatedError)
    assert str(caught.value.__cause__) == "work#0 was made to fail"
    order, _, replay = notes_of(caught.value)[-3:]
    assert order == "in this order: input .in#0, start work#0, fail work#0"
    assert replay.endswith(", faults=1)")


@pytest.mark.parametrize("faults", [0, 1, 3])
def test_never_more_calls_are_made_to_fail_than_asked_for(faults: int) -> None:
    for seed in range(30):
        seams = simulated(seed, faults=faults)
        operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
        errors: list[Any] = []
        with FlowRuntime(flow_of(operations, ".in -> work -> .out"), seams=seams) as runtime:
            runtime.on_exception(errors.append)
            values = runtime.process_many(".in", range(8)).values()

        simulation = cast("Simulation", seams.simulation)
        assert len(errors) == sum(step.startswith("fail ") for step in simulation.trace) <= faults
        assert len(values) + len(errors) == 8


def test_a_generator_may_be_made_to_fail_between_two_items() -> None:
    operations = FlowOperationContainer().add_generator("count", range).make_async()
    flow = flow_of(operations, ".in -> count -> .out")
    ends = set()
    for seed in range(40):
        seams = simulated(seed, faults=1)
        with FlowRuntime(flow, seams=seams) as runtime:
            runtime.on_exception(lambda _error: None)
            ends.add(tuple(runtime.process(".in", 3).values()))

    assert ends >= {(), (0, 1, 2)}
    assert all(list(items) == list(range(len(items))) for items in ends)


# --- groups


def test_groups_are_looked_at_while_they_are_performed_and_nothing_is_done_twice() -> None:
    looked = 0
    for seed in range(40):
        calls: Counter[int] = Counter()

        def work(number: int, calls: Counter[int] = calls) -> int:
            calls[number] += 1
            return number

        seams = simulated(seed, group=4)
        operations = FlowOperationContainer().add_func("work", work).make_parallel(2)
        with FlowRuntime(flow_of(operations, ".in -> work -> .out"), seams=seams) as runtime:
            values = runtime.process_many(".in", range(20)).values()

        looked += cast("Simulation", seams.simulation).trace.count("look")
        assert calls == Counter(range(20))
        assert sorted(values) == list(range(20))
    assert looked > 100


def note(arrived: list[tuple[int, int]], simulation: Simulation, message: Message) -> None:
    arrived.append((message.data, len(simulation.trace)))


def test_the_engine_sees_a_part_of_a_group_before_it_is_finished() -> None:
    """Undisturbed but for one look: the first of a group of three leaves before the group has finished."""
    operations = FlowOperationContainer().add_func("work", same).make_async()
    flow = flow_of(operations, ".in -> work -> .out")
    for step in range(20):
        seams = simulated(deviations={step: 2}, group=3)
        simulation = cast("Simulation", seams.simulation)
        arrived: list[tuple[int, int]] = []
        with FlowRuntime(flow, seams=seams) as runtime:
            runtime.on_result(partial(note, arrived, simulation))
            runtime.process_many(".in", [1, 2, 3]).wait()
        assert [data for data, _ in arrived] == [1, 2, 3]
        if "look" in simulation.trace:
            look, finish = simulation.trace.index("look"), simulation.trace.index("finish work#0")
            assert look < finish
            assert arrived[0][1] <= finish
            return
    raise AssertionError("no step at which the engine could look")


# --- deviations


def test_deviations_replay_what_a_seed_did() -> None:
    for seed in range(30):
        simulation = cast("Simulation", simulated(seed).simulation)
        seams = simulated(seed)
        first = cast("Simulation", seams.simulation)
        with FlowRuntime(gathered(ordered=False, workers=3), seams=seams) as runtime:
            result = runtime.process(".in", list("abcdef")).values()
        told = simulated(deviations=first.deviations)
        with FlowRuntime(gathered(ordered=False, workers=3), seams=told) as runtime:
            again = runtime.process(".in", list("abcdef")).values()

        assert simulation.trace == []
        assert again == result
        assert cast("Simulation", told.simulation).trace == first.trace


def test_undisturbed_it_is_first_in_first_out() -> None:
    results = run_flow(gathered(ordered=False, workers=3), [(".in", list("abcdefgh"))], deviations={})

    assert results[0].data == list("abcdefgh")


@given(st.dictionaries(st.integers(0, 60), st.integers(0, 20)))
def test_any_deviations_are_an_order_of_events(deviations: dict[int, int]) -> None:
    (result,) = run_flow(gathered(ordered=False, workers=3), LETTERS, deviations=deviations)

    assert sorted(result.data) == list("abcd")


def test_a_seed_or_deviations_but_not_both() -> None:
    with pytest.raises(FlowError, match="a seed or deviations, not both"):
        simulated(1, deviations={})


# --- fake time


def slow_flow(workers: int, seconds: Any = 2.0) -> Flow:
    operations = FlowOperationContainer().add_func("work", Slow(seconds=seconds)).make_parallel(workers)
    return flow_of(operations, ".in -> work -> .out")


def test_calls_that_sleep_beside_each_other_take_the_time_of_one() -> None:
    seams = simulated(deviations={})
    with FlowRuntime(slow_flow(4), seams=seams) as runtime:
        assert runtime.process_many(".in", range(8)).values() == list(range(8))

    assert seams.clock.now() == 4.0


def test_what_takes_longer_comes_later() -> None:
    flow = slow_flow(2, lambda number: 5.0 if number == 0 else 1.0)

    results = run_flow(flow, [(".in", number) for number in range(4)], deviations={})

    assert [result.data for result in results] == [1, 2, 3, 0]


def test_a_slow_sync_operation_holds_everything_up() -> None:
    seams = simulated(deviations={})
    operations = FlowOperationContainer().add_func("work", Slow(seconds=2.0))
    with FlowRuntime(flow_of(operations, ".in -> work -> .out"), seams=seams) as runtime:
        runtime.process_many(".in", range(8)).wait()

    assert seams.clock.now() == 16.0


@pytest.mark.parametrize("seed", range(20))
def test_time_never_passes_twice_for_calls_that_wait_for_the_same_moment(seed: int) -> None:
    seams = simulated(seed)
    with FlowRuntime(slow_flow(4), seams=seams) as runtime:
        runtime.process_many(".in", range(4)).wait()

    assert 2.0 <= seams.clock.now() <= 8.0


# --- run_flow


@pytest.mark.parametrize("options", [{}, {"seed": 3}, {"deviations": {}}, {"schedule": "sync"}])
def test_run_flow_returns_the_results_of_all_inputs(options: dict[str, Any]) -> None:
    operations = FlowOperationContainer().add_func("work", increment).make_async()
    results = run_flow(
        flow_of(operations, ".in -> work -> .out"), [(".in", 1), Message(".in", 2, "id")], **options
    )

    assert [(result.data, result.correlation_id) for result in results] == [(2, None), (3, "id")]


@pytest.mark.parametrize("options", [{}, {"seed": 3}])
def test_run_flow_raises_what_nobody_took(options: dict[str, Any]) -> None:
    operations = FlowOperationContainer().add_func("work", Failing(at=2)).make_async()

    with pytest.raises(OperationError, match='operation "work"'):
        run_flow(flow_of(operations, ".in -> work -> .out"), [(".in", 1), (".in", 2)], **options)


@pytest.mark.parametrize("given_flow", [FlowRuntime, 5, None, lambda: 5])
def test_what_is_no_flow_is_refused(given_flow: Any) -> None:
    with pytest.raises(FlowBuildError, match="a Flow is wanted, or a function that makes one; got"):
        run_flow(given_flow, [])


@pytest.mark.parametrize("inputs", [[1], ["in"], [(".in",)], [(1, 2)]])
def test_what_is_no_input_is_refused(inputs: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        explore(gathered(ordered=True), inputs, is_anything)

    assert "inputs are a list of (port, data)" in str(caught.value)


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_faulty_flow_is_told_as_such_and_not_as_a_finding(inputs: int) -> None:
    with pytest.raises(FlowBuildError) as caught:
        explore(Flow().add_stream(".in", "nowhere"), [(".in", 1)] * inputs, is_anything)

    assert not hasattr(caught.value, "__notes__")


# --- flows that remember


def remembering() -> Flow:
    seen: list[int] = []

    def remember(number: int) -> int:
        seen.append(number)
        return len(seen)

    operations = FlowOperationContainer().add_func("work", remember).make_async()
    return flow_of(operations, ".in -> work -> .out")


def first_is_one(results: list[Message]) -> None:
    assert results[0].data == 1


def test_a_function_that_makes_the_flow_makes_it_anew_for_every_order() -> None:
    explore(remembering, [(".in", 1)], first_is_one)


def test_a_flow_that_remembers_is_told_so_if_a_failure_does_not_come_back() -> None:
    failures = iter([False, True])

    def check_once(_results: list[Message]) -> None:
        assert not next(failures, False)

    with pytest.raises(FlowError) as caught:
        explore(gathered(ordered=True), LETTERS, check_once)

    assert str(caught.value).startswith("the flow does not do the same in the same order of events")
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_flow_that_depends_on_something_else_is_told_so_while_orders_are_drawn() -> None:
    numbers = itertools.count()
    operations = FlowOperationContainer().add_func("work", lambda _: next(numbers)).make_async()

    def is_not_three(results: list[Message]) -> None:
        assert results[0].data != 3

    with pytest.raises(FlowError, match="the flow does not do the same in the same order of events"):
        explore(flow_of(operations, ".in -> work -> .out"), [(".in", "a")], is_not_three)


def test_a_flow_that_remembers_is_told_so_if_it_fails_ever_after() -> None:
    with pytest.raises(
        FlowError, match="the flow does not do the same in the same order of events"
    ) as caught:
        explore(remembering(), [(".in", 1)], first_is_one)

    assert isinstance(caught.value.__cause__, AssertionError)


WITHOUT_HYPOTHESIS = """
import sys
sys.modules["hypothesis"] = None
from flowrt import Flow, FlowOperationContainer, FlowError
from flowrt.testing import explore
operations = FlowOperationContainer().add_func("work", str).make_parallel(2)
flow = Flow().add_operations(operations).add_stream(".in", "work").add_stream("work", ".out")
try:
    explore(flow, [(".in", 1), (".in", 2)], print)
except FlowError as error:
    print(error)
"""


def test_without_hypothesis_it_says_what_to_install() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_HYPOTHESIS], capture_output=True, text=True, timeout=30, check=True
    )

    assert ended.stdout.splitlines()[-1] == (
        'explore draws orders of events with hypothesis, which is not installed: pip install "flowrt[testing]".'
    )


@pytest.mark.parametrize("make", [lambda: gathered(ordered=True), remembering])
def test_no_order_leaves_anything_behind(make: Callable[[], Flow]) -> None:
    explore(make, [(".in", [1, 2])], is_anything, schedules=10)
