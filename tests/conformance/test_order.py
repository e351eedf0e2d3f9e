"""The order of messages: by priority, in the order they came, and as the schedule says."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, OperationError
from flowrt.engine.chunks import Chunk
from flowrt.engine.places import Route
from flowrt.engine.schedules import BreadthFirst, DepthFirst, RoundRobin, Schedule
from flowrt.messages import Context, Trail
from flowrt.ports import Port
from flowrt.testing import simulated
from tests.engine.test_schedules import HANDLERS, OUTS, ROOT, RUN
from tests.kit.flows import ONE_BY_ONE, Bench, benches, every_mode, ordered_modes, runtime_of, wire
from tests.kit.functions import SECONDS, arrived, double, increment, refuse, same

pytestmark = pytest.mark.each_bench

# --- Priorities


@benches(lambda bench: bench.mode.name == "sync" and bench.schedule in ONE_BY_ONE)
def test_a_message_of_higher_priority_overtakes_the_waiting_ones_at_every_hop(bench: Bench) -> None:
    """B160, B161, B162 (LIMIT), B163 (LIMIT), B164: under every schedule."""
    calls: list[tuple[str, str]] = []
    with bench.make_runtime() as runtime:

        def start(data: Any) -> None:
            for name, priority in (
                ("low 1", 0),
                ("low 2", 0),
                ("high 1", 5),
                ("lowest", -1),
                ("higher", 6),
                ("high 2", 5),
            ):
                runtime.process(".work", name, priority=priority)

        runtime.add_operations(
            bench.operations(
                actions={"start": start},
                funcs={"a": functools.partial(note, calls, "a"), "b": functools.partial(note, calls, "b")},
            )
        )
        wire(runtime, ".start -> start", ".work -> a -> b -> .out")

        runtime.process(".start").wait(timeout=SECONDS)
        runtime.wait_idle(timeout=SECONDS)

    expected = ["higher", "high 1", "high 2", "low 1", "low 2", "lowest"]
    assert [name for place, name in calls if place == "a"] == expected
    assert [name for place, name in calls if place == "b"] == expected
    assert calls.index(("b", "high 2")) < calls.index(("a", "low 1"))


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
    with runtime_of(
        operations, ".in -> start", ".high -> loop", "loop -> loop", ".low -> low", schedule=schedule
    ) as runtime:
        runtime.process(".in").wait(SECONDS)
        runtime.wait_idle(SECONDS)

    assert taken == ["high"] * 501 + ["low"] * 6


@pytest.mark.parametrize("seed", range(30))
def test_f40_whatever_the_order_of_events_no_priority_is_left_behind(seed: int) -> None:
    operations = (
        FlowOperationContainer().add_func("one", same).make_parallel(2).add_func("two", same).make_async()
    )
    with runtime_of(operations, ".in -> one -> two -> .out", seams=simulated(seed)) as runtime:
        runs = [runtime.process_many(".in", [number] * 5, priority=number % 4) for number in range(8)]
        runtime.wait_idle(1)

        assert [run.values(0) for run in runs] == [[number] * 5 for number in range(8)]


# --- In the order they came


def note(calls: list[tuple[str, Any]], place: str, data: Any) -> Any:
    calls.append((place, data))
    return data


@ordered_modes
def test_inputs_of_equal_priority_leave_in_the_order_they_came(bench: Bench) -> None:
    """B158, B161, B171."""
    with bench.wired(".in -> a -> b -> c -> .out", funcs={"a": same, "b": same, "c": same}) as runtime:
        for number in range(200):
            runtime.process(".in", number)
        values = [message.data for message in runtime.results(timeout=SECONDS)]

    assert values == list(range(200))


@ordered_modes
def test_inputs_at_several_ports_that_wait_leave_in_the_order_they_came(bench: Bench) -> None:
    """B158, B161: also under round_robin, for the ports come in turn."""
    with bench.make_runtime() as runtime:

        def send(count: int) -> None:  # from inside, so that they wait until it returns
            for number in range(count):
                runtime.process(".left" if number % 2 else ".right", number)

        runtime.add_operations(bench.operations(funcs={"a": same}))
        runtime.add_operations(FlowOperationContainer().add_action("send", send))
        wire(runtime, ".go -> send", ".left -> a -> .out", ".right -> a")

        runtime.process(".go", 20)
        values = [message.data for message in runtime.results(timeout=SECONDS)]

    assert values == list(range(20))


@ordered_modes
def test_several_emissions_of_one_input_stay_together_and_in_order(bench: Bench) -> None:
    """B158, B171."""

    def spell(data: int, on_data: Callable[[Any], None]) -> None:
        for index in range(data % 4):
            on_data((data, index))

    with bench.wired(
        ".in -> spell -> pass -> .out", actions={"spell": spell}, funcs={"pass": same}
    ) as runtime:
        values = runtime.process_many(".in", range(60)).values(timeout=SECONDS)

    assert values == [(data, index) for data in range(60) for index in range(data % 4)]


@every_mode
def test_a_keyed_parallel_operation_keeps_order_per_key(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("pass", same).make_parallel(3, by_key=lambda number: number % 5)
        )
        wire(runtime, ".in -> pass -> .out")

        values = runtime.process_many(".in", range(300)).values(timeout=SECONDS)

    for key in range(5):
        assert [number for number in values if number % 5 == key] == list(range(key, 300, 5))
    assert len(values) == 300


by_breadth_or_depth = pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])


def first_waits(second: threading.Event) -> Callable[[int], int]:
    """A function of which the call with 0 waits for the event."""

    def work(data: int) -> int:
        if data == 0:
            arrived(second)
        return data

    return work


@by_breadth_or_depth
def test_plain_parallel_emits_in_the_order_of_completion(schedule: str) -> None:
    """B173: order is not kept."""
    second = threading.Event()
    container = FlowOperationContainer().add_func("work", first_waits(second)).make_parallel(2)
    container.add_action("seen", lambda data: second.set())
    with runtime_of(container, ".in -> work -> .out", "work -> seen", schedule=schedule) as runtime:
        values = runtime.process_many(".in", range(2)).values(timeout=SECONDS)

    assert values == [1, 0]


@by_breadth_or_depth
def test_ordered_parallel_holds_back_what_came_later(schedule: str) -> None:
    second = threading.Event()
    wait = first_waits(second)

    def work(data: int) -> int:
        if data:
            second.set()
        return wait(data)

    container = FlowOperationContainer().add_func("work", work).make_parallel(2, ordered=True)
    with runtime_of(container, schedule=schedule) as runtime:
        values = runtime.process_many(".in", range(2)).values(timeout=SECONDS)

    assert values == [0, 1]


# --- Schedules


def mark(name: str, data: str) -> str:
    return data + name


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("depth_first", ["a", "b1", "d11", "d12", "b2", "d21", "d22", "c3"]),
        ("sync", ["a", "b1", "d11", "d12", "b2", "d21", "d22", "c3"]),
        ("breadth_first", ["a", "b1", "b2", "c3", "d11", "d12", "d21", "d22"]),
        ("round_robin", ["a", "b1", "c3", "b2", "d11", "d12", "d21", "d22"]),
    ],
)
@pytest.mark.parametrize("tapped", [False, True])
def test_the_schedules_serve_one_by_one_emissions_in_their_own_order(
    schedule: str, expected: list[str], tapped: bool
) -> None:
    """B150 (sync), B151 (depth_first), B152 (breadth_first), B153 (round_robin)."""
    calls: list[str] = []

    def a(data: Any, b: Callable[[str], None], c: Callable[[str], None]) -> None:
        calls.append("a")
        b("1")
        b("2")
        c("3")

    def b(data: str, d: Callable[[str], None]) -> None:
        calls.append("b" + data)
        d(data + "1")
        d(data + "2")

    container = (
        FlowOperationContainer()
        .add_action("a", a)
        .add_action("b", b)
        .add_func("c", lambda data: calls.append("c" + data))
        .add_func("d", lambda data: calls.append("d" + data))
    )
    with runtime_of(container, ".in -> a", "a.b -> b -> d", "a.c -> c", schedule=schedule) as runtime:
        if tapped:  # every message is looked at singly
            runtime.on_message(lambda message: None)

        runtime.process(".in").wait(timeout=SECONDS)

    assert calls == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("depth_first", "acbd"), ("sync", "acbd"), ("breadth_first", "abcd"), ("round_robin", "abcd")],
)
@pytest.mark.parametrize("tapped", [False, True])
def test_the_schedules_call_functions_that_follow_each_other_in_their_own_order(
    schedule: str, expected: str, tapped: bool
) -> None:
    """B150 (sync), B151 (depth_first), B152 (breadth_first), B153 (round_robin)."""
    calls: list[tuple[str, Any]] = []
    container = FlowOperationContainer()
    for name in "abcd":
        container.add_func(name, functools.partial(note, calls, name))
    with runtime_of(
        container, ".in -> a -> c -> .out", ".in -> b -> d -> .out", schedule=schedule
    ) as runtime:
        if tapped:
            runtime.on_message(lambda message: None)

        runtime.process(".in").wait(timeout=SECONDS)

    assert "".join(name for name, _ in calls) == expected


def test_under_sync_the_run_is_over_when_process_returns() -> None:
    """B150."""
    threads: list[int] = []

    def doubled(number: int) -> int:
        threads.append(threading.get_ident())
        return double(number)

    with FlowRuntime(schedule="sync") as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("a", increment).make_parallel(2).add_func("b", doubled)
        )
        wire(runtime, ".in -> a -> b -> .out")

        run = runtime.process(".in", 1)

        assert run.done
        assert threads == [threading.get_ident()]
        assert run.values(timeout=SECONDS) == [4]


def test_under_sync_a_failure_is_raised_by_whoever_waits_and_not_by_process() -> None:
    """B150. B132."""
    with runtime_of(
        FlowOperationContainer().add_func("refuse", refuse), ".in -> refuse -> .out", schedule="sync"
    ) as runtime:
        run = runtime.process(".in", 1)

        assert isinstance(run.failure, OperationError)
        with pytest.raises(OperationError):
            run.wait(timeout=SECONDS)


# --- What a message costs a schedule

WAYS = tuple(OUTS.values())


def lines_for(make: Callable[[], Schedule], messages: int, ways: Sequence[Trail] = WAYS) -> int:
    """How many lines of flowrt are passed to put so many messages of three priorities and take them all, in chunks that cannot be merged."""
    schedule = make()
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "flowrt" in frame.f_code.co_filename else None

    chunks = [
        Chunk(HANDLERS["abcdefgh"[n % 8]], [n, n], Context(RUN, None, n % 3), range(2), ways[n % len(ways)])
        for n in range(messages)
    ]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for chunk in chunks:
            schedule.put(chunk)
        taken = 0
        while (current := schedule.take()) is not None:
            taken += len(current.data)
            if len(current.data) > 1:
                current.cut(1)
                taken -= 1
                schedule.put_back(current)
    finally:
        sys.settrace(before)
    assert taken == 2 * messages
    return count


@pytest.mark.no_cover
@pytest.mark.parametrize("make", [BreadthFirst, DepthFirst, RoundRobin])
def test_a_message_costs_the_same_however_many_wait(make: Callable[[], Schedule]) -> None:
    """B181 (BUG): there, a message costs the more the more are waiting."""
    assert lines_for(make, 4_000) < 1.1 * 8 * lines_for(make, 500)


@pytest.mark.no_cover
def test_a_step_of_round_robin_costs_the_same_however_many_ports_there_are() -> None:
    """B153."""

    def lines(ports: int) -> int:
        ways = [ROOT.step(Route(Port.parse(f"x.p{number}"), (), {})) for number in range(ports)]
        return lines_for(RoundRobin, 4_000, ways)

    assert lines(1_000) < 1.2 * lines(10)
