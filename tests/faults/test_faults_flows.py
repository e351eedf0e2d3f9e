"""Flows that are wired, named, fed or timed in an unlucky way: F15, F18, F35, F36, F38, F40, F41, F42, F45 of the table of faults.

Where the design decides otherwise than the table does, the design is tested, and a line says so.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import flowrt
from flowrt import (
    FlowBuildError,
    FlowOperationContainer,
    FlowOverloadError,
    FlowRuntime,
    Gather,
    Message,
    OperationError,
    RunCancelledError,
    Scatter,
)
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.testing import simulated
from tests.kit.flows import (
    FEW,
    ONE_BY_ONE,
    SCHEDULES,
    SECONDS,
    Bench,
    Gate,
    Keeper,
    arrived,
    assert_ledger,
    benches,
    every_mode,
    flow_of,
    increment,
    refuse,
    same,
    text_of,
    wire,
)

few_modes = benches(lambda bench: str(bench) in FEW)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


# --- F15: cycles, and what is bounded in them


@pytest.mark.parametrize("window", [1, 2])
@every_mode
def test_f15_a_cycle_through_full_windows_does_not_lock_up(bench: Bench, window: int) -> None:
    """A scattered list whose items come back as lists, with room for one message everywhere."""

    def dig(depth: int, deeper: Callable[[list[int]], None], done: Callable[[int], None]) -> None:
        if depth:
            deeper([depth - 1] * 3)
        else:
            done(depth)

    with bench.make_runtime(capacity=1) as runtime:
        runtime.add_operations(bench.operations(Scatter("scatter", window=window), actions={"dig": dig}))
        wire(runtime, ".in -> scatter", "scatter.stream -> dig", "dig.deeper -> scatter", "dig.done -> .out")
        run = runtime.process_many(".in", [[3], [2, 3]], timeout=SECONDS)

        assert run.values(SECONDS) == [0] * (27 + 9 + 27)
        assert run.ledger.balanced


@few_modes
def test_f15_a_cycle_that_gains_messages_ends_with_a_named_error_and_alone(bench: Bench) -> None:
    """The table warns at build; by the design what would lock up or grow for ever is told by name, in the run that does it."""

    def breed(number: int, again: Callable[[int], None]) -> None:
        again(number)
        again(number)

    with bench.make_runtime(capacity=1, max_live=200) as runtime:
        runtime.add_operations(bench.operations(actions={"breed": breed}, funcs={"work": increment}))
        wire(runtime, ".in -> breed -> work -> breed", ".calm -> .out")
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
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(Hoarder("hoarder"), funcs={"work": same}))
        wire(runtime, ".in -> work -> hoarder -> .out")
        run = runtime.process_many(".in", [1, 2, 4])

        assert len(run.values(SECONDS)) == 1
        assert_ledger(run, accepted=3, delivered=1, absorbed=2)


# --- F18: one message makes ten millions

ENORMOUS = 10_000_000


@pytest.mark.parametrize("kind", ["generator", "list"])
@benches(lambda bench: bench.schedule != "sync")  # there process() returns when all is done
def test_f18_the_first_results_leave_before_the_last_are_made(bench: Bench, kind: str) -> None:
    """And no more is pulled ahead than a window."""
    pulled: list[int] = []

    def numbers(_: Any = None) -> Iterator[int]:
        for number in range(ENORMOUS):
            pulled[:] = [number]
            yield number

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("scatter"), funcs={"work": same}, generators={"generate": numbers})
        )
        wire(runtime, ".generator -> generate -> work", ".list -> scatter", "scatter.stream -> work -> .out")
        gate = Gate()

        def stop_at_a_result(message: Message) -> None:
            if message.port.name == "out":
                gate(None)

        remove = runtime.on_message(stop_at_a_result)
        run = runtime.process(f".{kind}", numbers() if kind == "list" else None)
        if not bench.mode.one_thread:
            arrived(gate.entered)
            assert pulled[0] < 5_000
        gate.open()
        remove()
        assert run.result(SECONDS).data >= 0
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)

        assert pulled[0] < ENORMOUS - 1
        assert run.ledger.balanced


# --- F35: names that lead nowhere


def test_f35_every_stream_to_nowhere_is_found_before_anything_runs_with_a_suggestion() -> None:
    calls: list[Any] = []
    inner = flow_of(
        "inner", ".in -> lodad -> .out", operations=FlowOperationContainer().add_func("load", same)
    )
    runtime = FlowRuntime(name="f35", strict=True)
    runtime.add_flow(inner)
    runtime.add_operations(
        FlowOperationContainer()
        .add_action("check", lambda data, on_good, on_bad: calls.append(data))
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather"))
        .add_func("lonely", same)
    )
    wire(
        runtime,
        ".in -> chekc",
        "check.on_godo -> gather.strem",
        "scatter.stram -> inner.inn",
        ".in -> lonely",
    )

    with pytest.raises(FlowBuildError) as caught:
        runtime.process(".in", 1)
    text = text_of(caught.value)

    for fault in (
        'there is no operation or flow "chekc". Did you mean "check"?',
        'operation "check" has no out-port ".on_godo". Did you mean ".on_good"?',
        'operation "gather" has no in-port ".strem". Did you mean ".stream"?',
        'operation "scatter" has no out-port ".stram". Did you mean ".stream"?',
        'there is no operation or flow "lodad". Did you mean "load"?',
        'strict: no stream takes what leaves at "lonely"',
    ):
        assert fault in text
    assert calls == []
    assert runtime.close().clean


@every_mode
def test_f35_what_leaves_unconnected_is_counted_and_strict_forbids_it(bench: Bench) -> None:
    def route(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        (on_odd if number % 2 else on_even)(number)

    for strict in (False, True):
        runtime = bench.make_runtime(name="f35", strict=strict)
        runtime.add_operations(bench.operations(actions={"route": route}))
        wire(runtime, ".in -> route", "route.on_even -> .out")
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


# --- F36: names twice


@pytest.mark.parametrize("other", ["parse", "PARSE", "Parse"])
def test_f36_a_name_twice_is_an_error_that_says_where_both_are(other: str) -> None:
    container = FlowOperationContainer().add_func("parse", same)
    runtime = FlowRuntime().add_operations(container)
    with pytest.raises(FlowBuildError) as caught:
        runtime.add_operations(FlowOperationContainer().add_func(other, increment))
        wire(runtime, ".in -> parse -> .out")
        runtime.process(".in", 1)

    first, second = [each for each in str(caught.value).split() if ".py:" in each]
    assert first != second
    assert text_of(caught.value).startswith(
        f'there are two operations "{other}": at HERE and at HERE. Names ignore case'
    )
    assert runtime.close().clean


@pytest.mark.parametrize("other", ["load", "LOAD"])
def test_f36_an_operation_wins_over_a_flow_of_its_name_and_two_flows_of_one_are_an_error(other: str) -> None:
    runtime = FlowRuntime().add_operations(FlowOperationContainer().add_func("load", increment))
    runtime.add_flow(flow_of(other, ".in -> .out"))
    wire(runtime, ".in -> load -> .out")
    assert runtime.process(".in", 1).values(SECONDS) == [2]

    with pytest.raises(FlowBuildError, match=r'(?i)there are two flows "load" in one flow'):
        runtime.add_flow(flow_of(other.lower(), ".in -> .out"))
        runtime.process(".in", 1)
    assert runtime.process(".in", 3).values(SECONDS) == [4]
    assert runtime.close().clean


@every_mode
def test_f36_names_meet_whatever_their_case(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("Scatter"), Gather("GATHER"), funcs={"Work": increment})
        )
        wire(
            runtime,
            ".IN -> scatter",
            "SCATTER.Stream -> work -> gather.STREAM",
            "scatter.COUNT -> Gather.count",
        )
        wire(runtime, "gather -> .Out")

        assert sorted(runtime.process(".in", [1, 2]).values(SECONDS)[0]) == [2, 3]


# --- F38: one correlation id, several lists


@pytest.mark.parametrize("ordered", [True, False])
@every_mode
def test_f38_lists_that_share_an_id_are_gathered_apart_and_get_it_back(bench: Bench, ordered: bool) -> None:
    """Nested, at once, of all lengths, all under the id 7: scopes, not ids, keep them apart."""
    matrices: list[list[list[int]]] = [
        [],
        [[]],
        [[1], []],
        [[1, 2, 3], [4], [5, 6]],
        [[number] * number for number in range(6)],
    ]
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("rows"),
                Scatter("cells"),
                Gather("row", ordered=ordered),
                Gather("matrix", ordered=ordered),
                funcs={"work": same},
            )
        )
        wire(
            runtime,
            ".in -> rows",
            "rows.stream -> cells",
            "rows.count -> matrix.count",
            "cells.stream -> work -> row.stream",
            "cells.count -> row.count",
            "row -> matrix.stream",
            "matrix -> .out",
        )
        runs = [runtime.process(".in", matrix, correlation_id=7) for matrix in matrices]
        together = runtime.process_many(".in", matrices, correlation_id=7)
        for run, matrix in zip(runs, matrices, strict=True):
            result = run.result(SECONDS)
            assert result.correlation_id == 7
            assert arranged(result.data, ordered=ordered) == arranged(matrix, ordered=ordered)
        gathered = [arranged(message.data, ordered=ordered) for message in together.results(SECONDS)]
        assert sorted(gathered) == sorted(arranged(matrix, ordered=ordered) for matrix in matrices)


def arranged(matrix: list[list[int]], *, ordered: bool) -> list[list[int]]:
    return matrix if ordered else sorted(sorted(row) for row in matrix)


# --- F40: priorities


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
def test_f40_a_higher_priority_goes_first_strictly_and_the_lower_is_not_lost(schedule: str) -> None:
    """The table asks for ageing or a documented "strict": it is strict."""
    taken: list[str] = []

    def loop(rounds: int, again: Callable[[int], None]) -> None:
        taken.append("high")
        if rounds:
            again(rounds - 1)

    def start(_: Any) -> None:
        for _ in range(3):
            runtime.process(".low", None)
        runtime.process(".high", 500, priority=1)
        for _ in range(3):
            runtime.process(".low", None, priority=-1)

    operations = FlowOperationContainer().add_action("loop", loop).add_action("start", start)
    operations.add_action("low", lambda _: taken.append("low"))
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> start", ".high -> loop", "loop -> loop", ".low -> low")
        runtime.process(".in").wait(SECONDS)
        runtime.wait_idle(SECONDS)

    assert taken == ["high"] * 501 + ["low"] * 6


@pytest.mark.parametrize("seed", range(30))
def test_f40_whatever_the_order_of_events_no_priority_is_left_behind(seed: int) -> None:
    operations = (
        FlowOperationContainer().add_func("one", same).make_parallel(2).add_func("two", same).make_async()
    )
    with FlowRuntime(seams=simulated(seed)) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> one -> two -> .out")
        runs = [runtime.process_many(".in", [number] * 5, priority=number % 4) for number in range(8)]
        runtime.wait_idle(1)

        assert [run.values(0) for run in runs] == [[number] * 5 for number in range(8)]


# --- F41: one object, two receivers


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

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"left": look, "right": look}))
        wire(runtime, ".in -> left -> .out", ".in -> right -> .out", ".in -> .out")
        run = runtime.process(".in", data)
        results = run.values(SECONDS)

        assert all(each is data for each in (*got, *results))
        assert (len(got), len(results)) == (2, 3)
        assert_ledger(run, accepted=1, born=2, delivered=3)


# --- F42: clocks that jump


def test_f42_flowrt_reads_no_clock_that_can_be_set() -> None:
    read = {
        f"{node.value.id}.{node.attr}"
        for path in Path(flowrt.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"time", "datetime"}
    }

    # Sleeping reads none; and what a Ticker tells is the date and time, by which nothing is decided.
    assert read == {"time.monotonic", "time.sleep", "datetime.now"}


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
def test_f42_an_hour_of_sleep_makes_nothing_happen_twice_or_all_at_once(schedule: str) -> None:
    """The machine sleeps while the throttle holds a message back: one is due when it wakes, and the next waits its time again."""
    seen: list[float] = []
    seams = simulated(0)
    clock: Any = seams.clock

    def note(number: int) -> int:
        seen.append(clock.now())
        if number == 1:
            clock.advance(3600.0)
        return number

    operations = FlowOperationContainer().add_func("note", note)
    with FlowRuntime(schedule=schedule, seams=seams) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> note -> .out")
        runtime.throttle(1.0)
        run = runtime.process_many(".in", range(5))

        assert run.values(10_000.0) == [0, 1, 2, 3, 4]
    steps = [after - before for before, after in pairwise(seen)]
    assert steps == [1.0, 3601.0, 1.0, 1.0]


@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_f42_a_wait_over_an_hour_of_sleep_ends_by_its_own_clock(mode: str) -> None:
    """Work that took no time on the runtime's clock is not given up because the wall says so, nor a wait prolonged."""
    seams = simulated(0)
    clock: Any = seams.clock

    def sleep(number: int) -> int:
        clock.advance(3600.0)
        return number

    container = FlowOperationContainer().add_func("sleep", sleep)
    if mode != "sync":
        getattr(container, f"make_{mode}")()
    runtime = FlowRuntime(seams=seams).add_operations(container)
    wire(runtime, ".in -> sleep -> .out")
    runs = [runtime.process(".in", number) for number in range(3)]
    report = runtime.close(drain=4_000.0, deadline=100_000.0)  # in each such stretch a call returns

    assert report.clean
    assert [run.values() for run in runs] == [[0], [1], [2]]


# --- F45: long and wide


def depth_of_stack() -> int:
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


@pytest.mark.parametrize("length", [100, 1_000])
@every_schedule
def test_f45_the_stack_does_not_grow_with_the_chain_and_an_error_at_its_end_is_short(
    schedule: str, length: int
) -> None:
    depths: list[int] = []

    def note(number: int) -> int:
        depths.append(depth_of_stack())
        return number

    names = [f"o{number}" for number in range(length)]
    operations = FlowOperationContainer()
    for name in names:
        operations.add_func(name, note)
    operations.add_func("last", refuse)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, " -> ".join([".in", *names, "last", ".out"]))
        runtime.add_operations(operations)
        run = runtime.process_many(".in", range(2))
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

    assert len(depths) == 2 * length
    assert max(depths) - min(depths) <= 2
    way = caught.value.__notes__[0]
    assert way.split(" (")[0].endswith("→ last")
    assert len(way) < 2_000  # the trail is bounded
    assert_ledger(run, accepted=2, failed=2)


@every_schedule
def test_f45_the_engine_works_in_proportion_to_the_chain(schedule: str) -> None:
    turns = {}
    for length in (200, 2_000):
        names = [f"o{number}" for number in range(length)]
        operations = FlowOperationContainer()
        for name in names:
            operations.add_func(name, increment)
        with FlowRuntime(schedule=schedule) as runtime:
            wire(runtime, " -> ".join([".in", *names, ".out"]))
            runtime.add_operations(operations)
            assert runtime.process(".in", 0).values(SECONDS) == [length]
            turns[length] = runtime._owner.engine.turns

    assert turns[2_000] < 15 * turns[200]


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
