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

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message
from flowrt.errors import FlowBuildError, FlowError, FlowStalledError, OperationError
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter, Ticker
from flowrt.testing import Explored, Failing, SimulatedError, Simulation, Slow, explore, run_flow, simulated
from flowrt.testing.simulation import seams_of
from samples.out_of_order import book
from samples.out_of_order.__main__ import INPUTS, check
from tests.kit import effort, strategies
from tests.kit.flows import wire
from tests.kit.functions import increment, same

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


@pytest.mark.no_cover
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


@settings(max_examples=effort.of(20), suppress_health_check=[HealthCheck.nested_given])
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
    assert explored.why.startswith(
        "7 calls were handed over to workers, and every order is gone through of 6 at most."
    )
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


def test_a_tolerated_fault_is_no_finding_and_the_results_are_checked() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(2)
    flow = flow_of(operations, ".in -> work -> .out")
    seen: Counter[int] = Counter()

    def others_come(results: list[Message]) -> None:
        seen[len(results)] += 1
        assert len(results) >= 2

    explore(flow, [(".in", n) for n in range(3)], others_come, faults=1, tolerate=SimulatedError)

    assert set(seen) == {2, 3}
    with pytest.raises(AssertionError) as caught:
        explore(flow, [(".in", n) for n in range(3)], others_come, faults=2, tolerate=SimulatedError)
    assert notes_of(caught.value)[-1].endswith(", faults=2, tolerate=SimulatedError)")


@pytest.mark.no_cover
def test_what_is_shrunk_stays_the_same_failure() -> None:
    """The third result first is one deviation, which lowered by one is the second first: another failure."""
    operations = FlowOperationContainer().add_func("work", same).make_parallel(3)
    flow = flow_of(operations, ".in -> work -> .out")

    def first_is_first(results: list[Message]) -> None:
        if results[0].data == 1:
            raise LookupError
        assert results[0].data != 2

    found = set()
    for seed in range(10):
        with pytest.raises((AssertionError, LookupError)) as caught:
            explore(flow, [(".in", n) for n in range(8)], first_is_first, seed=seed)
        found.add(type(caught.value))

    assert found == {AssertionError, LookupError}


def test_faults_need_calls_on_workers() -> None:
    flow = flow_of(FlowOperationContainer().add_func("work", same), ".in -> work -> .out")

    with pytest.raises(FlowBuildError, match="faults= makes calls on workers fail, and this flow has none"):
        explore(flow, [(".in", 1)], is_anything, faults=1)


def test_what_a_tolerated_fault_leads_to_is_a_finding() -> None:
    """The lost item makes a later operation raise: the second error of one run."""

    def needs_all(items: list[str]) -> str:
        return {"abc": "whole"}["".join(sorted(items))]

    operations = FlowOperationContainer().add_func("work", same).make_parallel(2).add_func("needs", needs_all)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing="skip"))
    flow = flow_of(
        operations,
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "gather -> needs -> .out",
    )

    with pytest.raises(OperationError) as caught:
        explore(flow, [(".in", list("abc"))], is_anything, faults=1, tolerate=SimulatedError)

    assert isinstance(caught.value.__cause__, KeyError)


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
    """Undisturbed but for one look: the first of the group of two that follows the first message leaves before the group has finished."""
    operations = FlowOperationContainer().add_func("work", same).make_async()
    flow = flow_of(operations, ".in -> work -> .out")
    early = 0
    for step in range(20):
        seams = simulated(deviations={step: 2}, group=3)
        simulation = cast("Simulation", seams.simulation)
        arrived: list[tuple[int, int]] = []
        with FlowRuntime(flow, seams=seams) as runtime:
            runtime.on_result(partial(note, arrived, simulation))
            runtime.process_many(".in", [1, 2, 3]).wait()
        assert [data for data, _ in arrived] == [1, 2, 3]
        if "finish work#1" in simulation.trace:
            early += arrived[1][1] <= simulation.trace.index("finish work#1")
    assert early


# --- emissions of a call that has not ended


def test_what_a_call_emits_may_be_seen_before_the_call_ends() -> None:
    def act(_: int, on_a: Callable[[str], None], on_b: Callable[[str], None]) -> None:
        on_a("a")
        on_b("b")

    operations = (
        FlowOperationContainer().add_action("act", act).make_async().add_func("slow", same).make_async()
    )
    flow = flow_of(operations, ".in -> act", "act.on_a -> slow -> .out", "act.on_b -> .out")
    seen: Counter[str] = Counter()
    traces: list[list[str]] = []

    def both(results: list[Message]) -> None:
        assert sorted(result.data for result in results) == ["a", "b"]
        seen.update(["".join(result.data for result in results)])

    assert explore(flow, [(".in", 1)], both, schedules=50).exhaustive
    for seed in range(50):
        seams = simulated(seed)
        with FlowRuntime(flow, seams=seams) as runtime:
            runtime.process(".in", 1).wait()
        traces.append(cast("Simulation", seams.simulation).trace)

    assert set(seen) == {"ab", "ba"}
    assert any(
        "emit act#0" in trace and trace.index("finish slow#0") < trace.index("finish act#0")
        for trace in traces
    )


def test_a_call_that_is_made_to_fail_has_emitted_what_was_seen() -> None:
    def act(_: int, on_a: Callable[[str], None]) -> None:
        on_a("a")

    operations = FlowOperationContainer().add_action("act", act).make_async()
    outcomes = set()
    for seed in range(60):
        seams = simulated(seed, faults=1)
        with FlowRuntime(flow_of(operations, ".in -> act -> .out"), seams=seams) as runtime:
            runtime.on_exception(lambda _error: None)
            run = runtime.process(".in", 1)
            outcomes.add((tuple(run.values()), run.ledger.failed))
            assert run.ledger.balanced

    assert outcomes == {(("a",), 0), (("a",), 1)}  # what was emitted has happened


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


def test_what_is_emitted_before_a_sleep_is_seen_before_it_is_over() -> None:
    clock_of: list[Any] = []

    def act(_: int, emit: Callable[[str], None]) -> None:
        emit("at once")
        clock_of[0].sleep(5.0)
        emit("later")

    seams = simulated(deviations={})
    clock_of.append(seams.clock)
    arrived: list[tuple[str, float]] = []
    operations = FlowOperationContainer().add_action("act", act).make_async()
    with FlowRuntime(flow_of(operations, ".in -> act -> .out"), seams=seams) as runtime:
        runtime.on_result(lambda message: arrived.append((message.data, seams.clock.now())))
        runtime.process(".in", 1).wait()

    assert arrived == [("at once", 0.0), ("later", 5.0)]


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


@pytest.mark.parametrize("options", [{}, {"seed": 1}])
def test_all_errors_that_nobody_took_are_raised(options: dict[str, Any]) -> None:
    operations = FlowOperationContainer().add_func("work", Failing(at=[1, 2])).make_async()
    flow = flow_of(
        operations.add_operation(Scatter("scatter")), ".in -> scatter", "scatter.stream -> work -> .out"
    )

    with pytest.raises(ExceptionGroup) as caught:
        run_flow(flow, [(".in", [1, 2, 3])], **options)

    assert "2 errors that nobody in it took" in str(caught.value)
    assert {type(error) for error in caught.value.exceptions} == {OperationError}


@pytest.mark.parametrize("options", [{}, {"seed": 1}])
def test_an_input_to_a_port_that_leads_nowhere_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(FlowBuildError) as caught:
        run_flow(gathered(ordered=True), [(".inn", [1])], **options)

    assert str(caught.value).startswith('process(".inn"): the flow has no way in ".inn". Did you mean ".in"?')
    with pytest.raises(FlowBuildError):
        explore(gathered(ordered=True), [(".inn", [1])], is_anything)


@pytest.mark.parametrize("replay", [{900: 2}, [(9, 2)], {"9": 2}])
def test_a_replay_that_does_not_fit_is_refused(replay: Any) -> None:
    with pytest.raises(FlowBuildError, match=r"another flow, or of other inputs|replay takes the deviations"):
        explore(gathered(ordered=True), LETTERS, is_anything, replay=replay)


# --- what cannot be meant, or has no end


@pytest.mark.parametrize("answer", [True, False])
def test_a_check_that_answers_instead_of_asserting_is_refused(answer: bool) -> None:
    with pytest.raises(FlowBuildError, match=f"it returned {answer}, at which nobody looks"):
        explore(gathered(ordered=True), LETTERS, lambda _results: answer)


@pytest.mark.parametrize("options", [{"schedules": -1}, {"schedules": 1.5}, {"faults": -1}, {"faults": True}])
def test_numbers_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(FlowBuildError, match="0 or more; got"):
        explore(gathered(ordered=True), LETTERS, is_anything, **options)
    with pytest.raises(FlowBuildError, match="groups of 1 message or more"):
        simulated(group=0)


def test_without_inputs_there_is_nothing_to_check() -> None:
    with pytest.raises(FlowBuildError, match="without inputs nothing happens"):
        explore(gathered(ordered=True), [], is_anything)


def test_none_drawn_leaves_the_orders_there_are() -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(3)
    explored = explore(
        flow_of(operations, ".in -> work -> .out"), [(".in", n) for n in range(3)], is_anything, schedules=0
    )

    assert explored == Explored(15, exhaustive=True)  # 1 · 3 · 5, the undisturbed one among them


@pytest.mark.parametrize("declare", [
    lambda operations: operations.timeout(5.0),
    lambda operations: operations.timeout(5.0).retry(2),
])  # fmt: skip
def test_a_flow_with_a_timeout_has_no_orders_more(declare: Any) -> None:
    operations = FlowOperationContainer().add_func("work", same).make_parallel(3)
    declare(operations)
    flow = flow_of(operations, ".in -> work -> .out")

    explored = explore(flow, [(".in", n) for n in range(3)], is_anything, schedules=0)

    assert (explored, explored.why) == (Explored(15, exhaustive=True), "")


def test_a_call_that_takes_too_long_is_given_up_in_every_order_in_which_it_can_be() -> None:
    operations = FlowOperationContainer().add_func("work", Slow(seconds=lambda n: 9.0 * n)).make_parallel(2)
    operations.timeout(5.0).on_error("skip")
    ends: set[tuple[int, ...]] = set()

    def note(results: list[Message]) -> None:
        ends.add(tuple(message.data for message in results))

    explored = explore(
        flow_of(operations, ".in -> work -> .out"), [(".in", n) for n in range(3)], note, schedules=0
    )

    assert (ends, explored.exhaustive, explored.why) == ({(0,)}, True, "")


def test_an_exhaustive_search_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.testing.exploration.MOST_ORDERS", 5)

    explored = explore(gathered(ordered=True), LETTERS, is_anything, schedules=0)

    assert explored == Explored(5, exhaustive=False)
    assert explored.why.startswith("there are 5 orders or more, which is the limit.")


def test_beside_a_clock_that_goes_on_the_search_for_all_orders_ends() -> None:
    operations = FlowOperationContainer().add_operation(Ticker("clock", 0.2))
    operations.add_func("work", same).make_parallel(2)

    explored = explore(
        flow_of(operations, ".in -> work -> .out", "clock.now -> .now"),
        [(".in", 1)],
        is_anything,
        schedules=5,
    )

    assert not explored.exhaustive
    assert "since time goes on beside the calls, as with a Ticker" in explored.why
    assert explored.schedules < 1_000


def test_what_pytest_fails_with_is_a_finding_like_any_other() -> None:
    def check_by_pytest(results: list[Message]) -> None:
        if results[0].data != list("abcd"):
            pytest.fail("out of order")

    with pytest.raises(pytest.fail.Exception) as caught:
        explore(gathered(ordered=False), LETTERS, check_by_pytest)

    assert notes_of(caught.value)[-1].startswith("replay it: ")


def test_a_test_that_is_skipped_in_its_check_is_skipped() -> None:
    def skip(_results: list[Message]) -> None:
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception) as caught:
        explore(gathered(ordered=True), LETTERS, skip)

    assert not hasattr(caught.value, "__notes__")


def ping_pong(*, rounds: int | None) -> Flow:
    def pong(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        (done if number == rounds else again)(number + 1)

    operations = FlowOperationContainer().add_func("ping", same).make_async().add_action("pong", pong)
    return flow_of(operations, ".in -> ping -> pong", "pong.again -> ping", "pong.done -> .out")


def test_a_flow_that_goes_round_for_ever_is_an_error_that_shows_the_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flowrt.testing.exploration.FIRST_STEPS", 5_000)

    with pytest.raises(FlowStalledError) as caught:
        explore(ping_pong(rounds=None), [(".in", 0)], is_anything)

    assert str(caught.value).startswith(
        "the flow has not come to its end within 5000 steps of the simulation"
    )
    assert "finish ping#" in str(caught.value)
    assert "undisturbed: first in, first out" in notes_of(caught.value)


def test_a_runtime_of_ones_own_that_goes_round_for_ever_ends_too() -> None:
    seams = seams_of(Simulation(lambda _step, _possibilities: 0, most_steps=2_000))
    with pytest.raises(FlowStalledError), FlowRuntime(ping_pong(rounds=None), seams=seams) as runtime:
        runtime.process(".in", 0).wait()


def test_many_rounds_that_end_are_no_finding() -> None:
    (result,) = run_flow(ping_pong(rounds=2_000), [(".in", 0)], seed=1)

    assert result.data == 2_001


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
        "explore draws orders of events with hypothesis, which is not installed: pip install hypothesis; or give schedules=0."
    )


@pytest.mark.parametrize("make", [lambda: gathered(ordered=True), remembering])
def test_no_order_leaves_anything_behind(make: Callable[[], Flow]) -> None:
    explore(make, [(".in", [1, 2])], is_anything, schedules=10)
