"""Streams: what leaves a port takes every stream that begins there, and nothing else, whatever runs where."""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Message, Port, Scatter
from flowrt.errors import FlowBuildError, FlowOverloadError, OperationError
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.testing import simulated
from tests.kit import strategies
from tests.kit.flows import (
    Bench,
    Keeper,
    assert_ledger,
    by_schedule,
    counters,
    every_mode,
    every_schedule,
    few_modes,
    one_thread,
    results_of,
    wire,
)
from tests.kit.functions import SECONDS, countdown, double, increment, input_of, refuse, same

# --- Chains, fan-out, fan-in


@every_mode
def test_a_chain_applies_its_functions_in_turn(bench: Bench) -> None:
    """B173: each message exactly once. B183: nobody starts it. B041."""
    with bench.wired(
        ".in -> increment -> double -> text -> .out",
        funcs={"increment": increment, "double": double, "text": str},
    ) as runtime:
        values = runtime.process_many(".in", range(50)).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged(str((number + 1) * 2) for number in range(50))


@every_mode
def test_a_stream_may_lead_from_an_input_straight_to_a_result(bench: Bench) -> None:
    """B194. B050."""
    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> .out")

        message = runtime.process(".in", "data").result(timeout=SECONDS)

    assert (message.port, message.data) == (Port.parse(".out"), "data")


@every_mode
def test_every_target_of_a_port_gets_the_same_object(bench: Bench) -> None:
    """B040, B049."""
    seen = []
    with bench.wired(
        ".in -> a", ".in -> b", ".in -> c", funcs=dict.fromkeys(("a", "b", "c"), seen.append)
    ) as runtime:
        data = object()

        runtime.process(".in", data).wait(timeout=SECONDS)

    assert len(seen) == 3
    assert all(each is data for each in seen)


@every_mode
def test_an_object_is_handed_on_as_it_is_from_operation_to_operation(bench: Bench) -> None:
    """B049."""
    with bench.wired(
        ".in -> a -> b -> c -> d -> .out",
        "a -> .out",
        funcs={"a": same, "b": same},
        actions={"c": lambda data, emit: emit(data)},
        generators={"d": lambda data: [data]},
    ) as runtime:
        data = [1]

        values = runtime.process(".in", data).values(timeout=SECONDS)

    assert [value is data for value in values] == [True, True]


@one_thread
@pytest.mark.parametrize("source", [".in", "first"])
def test_the_targets_of_a_port_are_served_in_the_order_of_their_streams(bench: Bench, source: str) -> None:
    """B044."""
    calls: list[str] = []
    with bench.wired(
        ".in -> first",
        f"{source} -> b",
        f"{source} -> c",
        f"{source} -> a",
        funcs={"first": same} | {name: functools.partial(calls_to, calls, name) for name in "abc"},
    ) as runtime:
        runtime.process(".in").wait(timeout=SECONDS)

    assert calls == ["b", "c", "a"]


def calls_to(calls: list[str], name: str, data: Any) -> Any:
    calls.append(name)
    return data


@every_mode
@pytest.mark.parametrize("kind", ["funcs", "actions", "generators"])
def test_what_an_operation_emits_takes_every_way_that_input_at_its_port_takes(
    bench: Bench, kind: str
) -> None:
    """B040, B041."""
    first: dict[str, Any] = {
        "funcs": {"first": same},
        "actions": {"first": lambda data, emit: emit(data)},
        "generators": {"first": lambda data: [data]},
    }
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(**{kind: first[kind]}))
        runtime.add_operations(bench.operations(funcs={"a": increment, "b": double}))
        wire(runtime, ".in -> first -> a -> .out", "first -> b -> .out", "first -> .out", "first -> a")

        emitted = runtime.process_many(".in", [5, 50]).values(timeout=SECONDS)
        sent = runtime.process_many("first", [5, 50]).values(timeout=SECONDS)

    assert sorted(emitted) == sorted(sent) == [5, 6, 6, 10, 50, 51, 51, 100]


@every_mode
def test_a_stream_added_twice_delivers_twice(bench: Bench) -> None:
    """B045."""
    with bench.wired(".in -> a -> .out", ".in -> a", funcs={"a": increment}) as runtime:
        values = runtime.process(".in", 1).values(timeout=SECONDS)

    assert values == [2, 2]


@every_mode
def test_several_streams_into_one_port_are_merged(bench: Bench) -> None:
    with bench.wired(
        ".in -> a -> text -> .out", ".in -> b -> text", funcs={"a": increment, "b": double, "text": str}
    ) as runtime:
        values = runtime.process_many(".in", [10, 20]).values(timeout=SECONDS)

    assert sorted(values) == ["11", "20", "21", "40"]


@every_mode
def test_names_match_regardless_of_case_blanks_and_the_kind_of_slash(bench: Bench) -> None:
    """B043."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"Add One": increment}))
        runtime.add_stream(" .IN ", "add one")
        runtime.add_stream("ADD ONE*", ".out")

        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]


@every_mode
def test_the_in_port_of_a_function_is_free(bench: Bench) -> None:
    """B062."""
    with bench.wired(".one -> a.left", ".two -> a.right", "a -> .out", funcs={"a": increment}) as runtime:
        assert runtime.process(".one", 1).values(timeout=SECONDS) == [2]
        assert runtime.process(".two", 2).values(timeout=SECONDS) == [3]


@every_mode
def test_streams_and_operations_may_be_added_while_the_runtime_runs(bench: Bench) -> None:
    """B054."""
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        before = runtime.process(".in", 1).values(timeout=SECONDS)

        runtime.add_operations(bench.operations(funcs={"b": double}))
        wire(runtime, "a -> b -> .doubled")
        after = runtime.process(".in", 1).values(timeout=SECONDS)

    assert before == [2]
    assert sorted(after) == [2, 4]


@every_mode
def test_f41_the_same_object_goes_to_every_receiver(bench: Bench) -> None:
    """Shared by documented choice, read-only by convention; what a receiver writes the others see."""
    data: dict[str, int] = {"one": 1}
    got: list[Any] = []
    lock = threading.Lock()

    def look(found: Any) -> Any:
        with lock:
            got.append(found)
        return found

    with bench.wired(
        ".in -> left -> .out", ".in -> right -> .out", ".in -> .out", funcs={"left": look, "right": look}
    ) as runtime:
        run = runtime.process(".in", data)
        results = run.values(SECONDS)

        assert all(each is data for each in (*got, *results))
        assert (len(got), len(results)) == (2, 3)
        assert_ledger(run, accepted=1, born=2, delivered=3)


@every_mode
def test_f36_names_meet_whatever_their_case(bench: Bench) -> None:
    with bench.wired(
        ".IN -> scatter",
        "SCATTER.Stream -> work -> gather.STREAM",
        "scatter.COUNT -> Gather.count",
        "gather -> .Out",
        others=[Scatter("Scatter"), Gather("GATHER")],
        funcs={"Work": increment},
    ) as runtime:
        assert sorted(runtime.process(".in", [1, 2]).values(SECONDS)[0]) == [2, 3]


@pytest.mark.parametrize("width", [10, 1_000])
@few_modes
def test_f45_a_fan_out_to_many_reaches_each_and_one_that_fails_is_one_error(bench: Bench, width: int) -> None:
    names = [f"o{number}" for number in range(width)]
    funcs = {name: (refuse if name == "o3" else same) for name in names}
    with bench.make_runtime() as runtime:
        operations = FlowOperationContainer()
        for name, function in funcs.items():
            operations.add_func(name, function)
        operations.add_func("all", same)
        bench.apply_mode(operations)
        runtime.add_operations(operations)
        wire(runtime, *(f".in -> {name} -> all" for name in names), "all -> .out")
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError, match=r'^operation "o3" '):
            run.wait(SECONDS)

    assert len(run.failures) == 1
    assert_ledger(run, accepted=1, born=width - 1, delivered=width - 1, failed=1)


# --- What no stream takes


@every_mode
def test_an_output_without_a_stream_is_counted_and_nothing_else_is_lost(bench: Bench) -> None:
    """B046."""

    def sort(number: int, odd: Any, even: Any) -> None:
        (odd if number % 2 else even)(number)

    with bench.wired(".in -> sort", "sort.odd -> .out", actions={"sort": sort}) as runtime:
        run = runtime.process_many(".in", range(5))

        assert sorted(run.values(timeout=SECONDS)) == [1, 3]
    assert_ledger(run, accepted=5, delivered=2, unconnected=3)


@every_schedule
def test_a_stream_to_nobody_is_told_before_anything_runs(bench: Bench) -> None:
    """B048."""
    calls: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_action("count", calls.append))
        wire(runtime, ".in -> count", ".in -> cuont")

        with pytest.raises(FlowBuildError, match='Did you mean "count"'):
            runtime.process(".in", 1)
    assert calls == []


@every_mode
def test_a_stream_takes_only_what_leaves_at_exactly_its_port(bench: Bench) -> None:
    """B051, B070."""

    def emit(number: int, left: Any, right: Any) -> None:
        left(number)

    with bench.wired(
        ".in -> a",
        "a.right -> .right",
        "a#1.left -> .instance",
        "f/a.left -> .path",
        "a.left -> b.whatever",
        "b#1 -> .instance",
        "f/b -> .path",
        "B -> .exactly",
        actions={"a": emit},
        funcs={"b": increment},
    ) as runtime:
        messages = list(runtime.process(".in", 1).results())

    assert [(message.port.fullname, message.data) for message in messages] == [(".exactly", 2)]


@every_mode
def test_f35_what_leaves_unconnected_is_counted_and_strict_forbids_it(bench: Bench) -> None:
    def route(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        (on_odd if number % 2 else on_even)(number)

    for strict in (False, True):
        runtime = bench.wired(
            ".in -> route", "route.on_even -> .out", actions={"route": route}, name="f35", strict=strict
        )
        if strict:
            with pytest.raises(
                FlowBuildError, match=r'^strict: no stream takes what leaves at "route\.on_odd"'
            ):
                runtime.process(".in", 1)
        else:
            run = runtime.process_many(".in", range(5))
            assert bench.arranged(run.values(SECONDS)) == [0, 2, 4]
            assert_ledger(run, accepted=5, delivered=3, unconnected=2)
            assert "route.on_odd" in str(run.ledger)
        assert runtime.close().clean


# --- Large flows, and flows that change


@by_schedule
def test_a_hop_takes_as_many_steps_in_a_large_flow_as_in_a_small_one(schedule: Any) -> None:
    """B052."""

    def steps(others: int) -> int:
        """How many lines a message through ten operations takes, beside so many others: calls alone would not show a loop."""
        made = 0

        def count(_frame: FrameType, event: str, _argument: object) -> Any:
            nonlocal made
            made += event == "line"
            return count

        operations = FlowOperationContainer()
        with FlowRuntime(schedule=schedule, seams=simulated(0)) as runtime:  # on this thread
            for number in range(others):
                operations.add_func(f"other{number}", same)
                wire(runtime, f".in{number} -> other{number} -> .out{number}")
            for number in range(10):
                operations.add_func(f"a{number}", same)
            wire(runtime, ".in -> " + " -> ".join(f"a{number}" for number in range(10)) + " -> .out")
            runtime.add_operations(operations)
            runtime.process(".in", 0).wait(SECONDS)  # compiles
            before = sys.gettrace()
            sys.settrace(count)
            try:
                runtime.process(".in", 1).wait(SECONDS)
            finally:
                sys.settrace(before)
        return made

    assert steps(200) < steps(0) + 100  # not once more for each of the others, neither at a hop nor in all


@every_schedule
def test_a_runtime_may_be_changed_by_another_thread_while_messages_move(bench: Bench) -> None:
    """B054."""
    changes = 20
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("first", same))
        wire(runtime, ".in -> first -> .out")

        def change() -> None:
            for number in range(changes):
                runtime.add_operations(FlowOperationContainer().add_func(f"more{number}", same))
                wire(runtime, f"first -> more{number} -> .more")

        changing = threading.Thread(target=change)
        changing.start()
        runs = [runtime.process(".in", number) for number in range(100)]
        changing.join(SECONDS)
        ports = [[message.port.name for message in run.results(timeout=SECONDS)] for run in runs]
        after = list(runtime.process(".in", 0).results(timeout=SECONDS))

    assert all(each.count("out") == 1 for each in ports)
    assert [len(each) for each in ports] == sorted(len(each) for each in ports)
    assert sorted(message.port.name for message in after) == ["more"] * changes + ["out"]


# --- Loops, and what is bounded in them


@every_mode
def test_a_feedback_loop_runs_until_it_lets_go(bench: Bench) -> None:
    """B155."""
    with bench.wired(
        ".in -> step",
        "step.again -> pass -> step",
        "step.done -> .out",
        actions={"step": countdown},
        funcs={"pass": same},
    ) as runtime:
        run = runtime.process_many(".in", [300, 0, 7])

        assert run.values(timeout=SECONDS) == ["liftoff"] * 3
        assert_ledger(run, accepted=3, delivered=3)


@pytest.mark.parametrize("window", [1, 2])
@every_mode
def test_f15_a_cycle_through_full_windows_does_not_lock_up(bench: Bench, window: int) -> None:
    """A scattered list whose items come back as lists, with room for one message everywhere."""

    def dig(depth: int, deeper: Callable[[list[int]], None], done: Callable[[int], None]) -> None:
        if depth:
            deeper([depth - 1] * 3)
        else:
            done(depth)

    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> dig",
        "dig.deeper -> scatter",
        "dig.done -> .out",
        others=[Scatter("scatter", window=window)],
        actions={"dig": dig},
        capacity=1,
    ) as runtime:
        run = runtime.process_many(".in", [[3], [2, 3]], timeout=SECONDS)

        assert run.values(SECONDS) == [0] * (27 + 9 + 27)
        assert run.ledger.balanced


@few_modes
def test_f15_a_cycle_that_gains_messages_ends_with_a_named_error_and_alone(bench: Bench) -> None:
    """The table warns at build; by the design what would lock up or grow for ever is told by name, in the run that does it."""

    def breed(number: int, again: Callable[[int], None]) -> None:
        again(number)
        again(number)

    with bench.wired(
        ".in -> breed -> work -> breed",
        ".calm -> .out",
        actions={"breed": breed},
        funcs={"work": increment},
        capacity=1,
        max_live=200,
    ) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(
            FlowOverloadError,
            match=r'^"(breed|work)" brought the runtime to more than max_live=200 live messages\. ',
        ):
            run.wait(SECONDS)

        assert runtime.process(".calm", 2).values(SECONDS) == [2]
        assert (run.ledger.live, run.ledger.balanced) == (0, True)
        assert run.ledger.discarded > 0


class Hoarder(Keeper):
    """Holds everything, and owes for it until two have come."""

    def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
        super().handle(state, message, emit)
        if len(state) == 2:
            emit.merge(list(state), sum(each.data for each in state))
            state.clear()

    def drained(self, state: list[Part], scope: Any, emit: Emitter) -> None:
        state[:] = [part for part in state if part.scope is not scope]


@every_mode
def test_f15_what_waits_for_a_partner_that_never_comes_ends_with_its_run(bench: Bench) -> None:
    with bench.wired(
        ".in -> work -> hoarder -> .out", others=[Hoarder("hoarder")], funcs={"work": same}
    ) as runtime:
        run = runtime.process_many(".in", [1, 2, 4])

        assert len(run.values(SECONDS)) == 1
        assert_ledger(run, accepted=3, delivered=1, absorbed=2)


# --- Any flow at all


@by_schedule
@given(graph=strategies.graphs(), inputs=strategies.inputs, tapped=st.booleans(), seed=strategies.seeds)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_any_flow_does_under_simulation_what_its_operations_say(
    schedule: Any, graph: strategies.Graph, inputs: list[int], tapped: bool, seed: int
) -> None:
    run_and_compare(graph, inputs, FlowRuntime(schedule=schedule, seams=simulated(seed)), tapped=tapped)


@by_schedule
@given(graph=strategies.graphs(), inputs=strategies.inputs, tapped=st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_any_flow_does_on_real_threads_what_its_operations_say(
    schedule: Any, graph: strategies.Graph, inputs: list[int], tapped: bool
) -> None:
    run_and_compare(graph, inputs, FlowRuntime(schedule=schedule), tapped=tapped)


def run_and_compare(
    graph: strategies.Graph, inputs: list[int], runtime: FlowRuntime, *, tapped: bool
) -> None:
    expected = strategies.outcome(graph, inputs)
    calls: strategies.Calls = []
    entered: Counter[str] = Counter()

    def tap(message: Message) -> None:
        # Ports of nested flows are left out: their borders are no steps.
        if message.port.operation or not message.port.path:
            entered[message.port.operation] += 1

    with runtime:
        graph.build(runtime, calls)
        if tapped:  # under a tap messages move singly, else in chunks
            runtime.on_message(tap)

        run = runtime.process_many(".in", inputs)
        results = results_of(run)

    assert Counter(message.data for message in results) == expected.results
    assert Counter(calls) == expected.calls
    assert Counter(input_of(error) for error in run.failures) == expected.failures
    assert not tapped or entered == expected.entered
    assert counters(run) == expected.ledger
    assert run.ledger.balanced
