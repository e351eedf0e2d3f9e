"""Slow motion, and clocks that jump: by which clock a runtime goes."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import flowrt
from flowrt import FlowOperationContainer, FlowRuntime, FlowTimeoutError
from flowrt.clock import Clock
from flowrt.executors.seams import MonotonicClock
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import (
    MODES,
    ONE_BY_ONE,
    Bench,
    by_mode,
    by_queued_schedule,
    by_schedule,
    every_mode,
    runtime_of,
    wire,
)
from tests.kit.functions import SECONDS, double, increment

pytestmark = pytest.mark.each_bench

# --- Slow motion


@by_schedule
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.simulated], ids=lambda mode: mode.name)
def test_throttle_delays_every_step_by_the_clock_of_the_runtime(mode: Any, schedule: str) -> None:
    """B250: it may be changed at any time, and 0 ends it."""
    seams = simulated(1)
    bench = Bench(mode, schedule)
    with bench.wired(".in -> a -> b -> .out", funcs={"a": increment, "b": increment}, seams=seams) as runtime:
        runtime.throttle(2.0)
        begin = seams.clock.now()
        slow = runtime.process(".in", 0).values(timeout=60.0)
        between = seams.clock.now()
        runtime.throttle(0)
        fast = runtime.process(".in", 5).values(timeout=SECONDS)
        end = seams.clock.now()

    assert (slow, fast) == ([2], [7])
    assert between - begin == 6.0  # a result is a step, too
    assert end == between


@by_queued_schedule
@pytest.mark.parametrize("seconds", [0, 2.0])
def test_another_throttle_counts_at_once_also_for_the_message_that_is_held_back(
    schedule: str, seconds: float
) -> None:
    """B250."""
    seams = simulated(1)
    bench = Bench(MODES[0], schedule)
    with bench.wired(".in -> a -> .out", funcs={"a": increment}, seams=seams) as runtime:
        runtime.throttle(1000.0)
        run = runtime.process(".in", 0)
        with pytest.raises(FlowTimeoutError):
            run.wait(1.0)
        begin = seams.clock.now()
        runtime.throttle(seconds)
        runtime.wait_idle(60.0)

        assert run.values() == [1]
        assert seams.clock.now() - begin == 2 * seconds  # a, and the result


@by_schedule
def test_throttle_delays_the_engine_and_so_the_caller_where_he_is_the_engine(schedule: str) -> None:
    """B251."""
    seams = simulated(1)
    bench = Bench(MODES[0], schedule)
    with bench.wired(".in -> a -> .out", funcs={"a": increment}, seams=seams) as runtime:
        runtime.throttle(2.0)
        begin = seams.clock.now()
        run = runtime.process(".in", 0)
        held_up = seams.clock.now() - begin
        run.wait()

    assert held_up >= 2.0 if schedule == "sync" else held_up == 0.0


@every_mode
def test_throttle_changes_no_results(bench: Bench) -> None:
    with bench.wired(".in -> a -> b -> .out", funcs={"a": increment, "b": double}) as runtime:
        runtime.throttle(0.0005)

        values = runtime.process_many(".in", range(10)).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged((number + 1) * 2 for number in range(10))


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
    with runtime_of(operations, ".in -> note -> .out", schedule=schedule, seams=seams) as runtime:
        runtime.throttle(1.0)
        run = runtime.process_many(".in", range(5))

        assert run.values(10_000.0) == [0, 1, 2, 3, 4]
    steps = [after - before for before, after in pairwise(seen)]
    assert steps == [2.0, 3602.0, 2.0, 2.0]  # a result is a step, too


@by_mode
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


@pytest.mark.parametrize("clock", [MonotonicClock(), FakeClock()], ids=lambda clock: type(clock).__name__)
def test_a_clock_never_steps_back(clock: Clock) -> None:
    looks = [clock.now() for _ in range(100)]

    assert looks == sorted(looks)
