"""One suite for all modes and schedules: correlation ids, priorities, order, and where operations run."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Message,
    OperationError,
    Scatter,
)
from tests.kit.flows import (
    ONE_BY_ONE,
    SCHEDULES,
    SECONDS,
    Bench,
    arrived,
    benches,
    double,
    every_mode,
    few_modes,
    flow_of,
    increment,
    ordered_modes,
    real_threads,
    real_workers,
    refuse,
    same,
    thrice,
    twice,
    wire,
)

# --- Correlation ids, priorities, order


class Label:
    """Gives each message a correlation id made from its data."""

    in_ports = None
    out_ports = None

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        return None

    def handle(self, state: None, message: Message, emit: Callable[..., None]) -> None:
        emit(message.data, correlation_id=f"id {message.data}")

    def drained(self, state: None, scope: Any, emit: Callable[..., None]) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass


@every_mode
def test_the_correlation_id_goes_to_everything_a_message_leads_to(bench: Bench) -> None:
    """B101."""
    inner = flow_of("inner", ".in -> double -> .out")
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(
            bench.operations(
                Scatter("scatter"),
                Gather("gather"),
                funcs={"double": double, "to list": lambda data: [data, data], "total": sum},
                actions={"twice": twice},
                generators={"thrice": thrice},
            )
        )
        wire(
            runtime,
            ".in -> twice -> thrice -> inner.in",
            "inner.out -> to list -> scatter",
            "scatter.stream -> double",
            "scatter.count -> gather.count",
            "double -> gather.stream",
            "gather -> total -> .out",
        )
        runtime.on_message(seen.append)

        runs = {number: runtime.process(".in", number, correlation_id=f"id {number}") for number in (1, 10)}
        results = {number: list(run.results()) for number, run in runs.items()}

    for number, messages in results.items():
        assert [(message.data, message.correlation_id) for message in messages] == [
            (number * 8, f"id {number}")
        ] * 6
    assert {message.correlation_id for message in seen} == {"id 1", "id 10"}


@few_modes
@pytest.mark.parametrize(("given_id", "expected"), [(None, "id 5"), ("mine", "mine"), (0, 0)])
@pytest.mark.parametrize("place", ["label", "label#2", "inner.in", "inner#2.in"])
def test_an_operation_may_set_a_correlation_id_where_there_was_none(
    bench: Bench, given_id: Any, expected: Any, place: str
) -> None:
    """B104, B105."""
    inner = flow_of("inner", ".in -> label -> .out")
    out = place.replace(".in", ".out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(Label("label"), funcs={"pass": same}))
        wire(runtime, f".in -> {place}", f"{out} -> pass -> .out")

        message = runtime.process(".in", 5, correlation_id=given_id).result(timeout=SECONDS)

    assert (message.data, message.correlation_id) == (5, expected)


@every_mode
def test_the_priority_goes_to_everything_a_message_leads_to(bench: Bench) -> None:
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                funcs={"double": double}, actions={"twice": twice}, generators={"thrice": thrice}
            )
        )
        wire(runtime, ".in -> twice -> thrice -> double -> .out")
        runtime.on_message(seen.append)

        runs = [runtime.process(".in", number, priority=number) for number in (0, 9, -5)]
        results = [list(run.results()) for run in runs]

    assert [{message.priority for message in messages} for messages in results] == [{0}, {9}, {-5}]
    assert Counter(message.priority for message in seen) == dict.fromkeys((0, 9, -5), 1 + 2 + 6 + 6)


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


def note(calls: list[tuple[str, Any]], place: str, data: Any) -> Any:
    calls.append((place, data))
    return data


@ordered_modes
def test_inputs_of_equal_priority_leave_in_the_order_they_came(bench: Bench) -> None:
    """B158, B161, B171."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": same, "b": same, "c": same}))
        wire(runtime, ".in -> a -> b -> c -> .out")

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

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"spell": spell}, funcs={"pass": same}))
        wire(runtime, ".in -> spell -> pass -> .out")

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


# --- Where operations run


@benches(lambda bench: not bench.mode.simulated and bench.schedule in ONE_BY_ONE)
def test_exactly_one_sync_operation_runs_at_a_time(bench: Bench) -> None:
    """B157, B159 (QUIRK): there, four at a time behind a parallel one."""
    running: list[str] = []
    overlaps: list[list[str]] = []

    def alone(data: int) -> int:
        running.append("sync")
        if len(running) > 1:
            overlaps.append(list(running))
        running.remove("sync")
        return data

    container = bench.operations(funcs={"work": increment}).add_func("one", alone).add_func("two", alone)
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> work -> one -> two -> .out")

        values = runtime.process_many(".in", range(300)).values(timeout=SECONDS)

    assert overlaps == []
    assert sorted(values) == list(range(1, 301))


@real_threads
def test_operations_run_on_the_threads_their_mode_says(bench: Bench) -> None:
    """B150, B157, B170, B172, B177: what is unnamed has threads of its own."""
    threads: dict[str, set[int]] = {"work": set(), "other": set(), "sync": set()}

    def here(name: str, data: Any) -> Any:
        threads[name].add(threading.get_ident())
        return data

    container = bench.operations(funcs={name: functools.partial(here, name) for name in ("work", "other")})
    container.add_func("sync", functools.partial(here, "sync"))
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> work -> other -> sync -> .out")

        runtime.process_many(".in", range(100)).wait(timeout=SECONDS)

    if bench.schedule == "parallel":
        shared = threads["work"] | threads["other"] | threads["sync"]
        assert len(shared) <= 4
        assert threading.get_ident() not in shared
        return
    assert len(threads["sync"]) == 1
    if bench.schedule == "sync":
        assert threads["sync"] == {threading.get_ident()}
    if bench.on_engine_thread:
        assert threads["work"] == threads["other"] == threads["sync"]
        return
    assert threads["work"].isdisjoint(threads["sync"])
    assert threads["work"].isdisjoint(threads["other"])
    assert 1 <= len(threads["work"]) <= (1 if bench.mode.name == "async" else 4)


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_operations_of_every_kind_run_where_their_mode_says(schedule: str, mode: str) -> None:
    """B157, B170, B173."""
    threads: dict[str, set[int]] = {"function": set(), "action": set(), "generator": set(), "engine": set()}

    def here(name: str, data: Any) -> Any:
        threads[name].add(threading.get_ident())
        return data

    def generate(data: Any) -> Iterator[Any]:
        yield here("generator", data)
        yield here("generator", data)

    container = FlowOperationContainer().add_func("function", functools.partial(here, "function"))
    container.add_action("action", lambda data, emit: emit(here("action", data)))
    container.add_generator("generator", generate)
    for name in ("function", "action", "generator"):
        if mode == "async":
            container[name].make_async()
        elif mode == "parallel":
            container[name].make_parallel(3)
    container.add_func("engine", functools.partial(here, "engine"))
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> function -> action -> generator -> engine -> .out")

        values = runtime.process_many(".in", range(50)).values(timeout=SECONDS)

    assert sorted(values) == sorted([*range(50)] * 2)
    engine = threads.pop("engine")
    assert len(engine) == 1
    for kind, found in threads.items():
        if mode == "sync":
            assert found == engine, kind
        else:
            assert 1 <= len(found) <= (1 if mode == "async" else 3), kind
    if mode != "sync":
        assert len(set.union(engine, *threads.values())) == 1 + sum(map(len, threads.values()))


@real_workers
def test_async_operations_of_one_pool_share_its_thread(bench: Bench) -> None:
    """B176."""
    threads: set[int] = set()

    def here(data: Any) -> Any:
        threads.add(threading.get_ident())
        return data

    container = (
        FlowOperationContainer().add_func("a", here).make_async(pool="p").add_func("b", here).make_async("P")
    )
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> a -> b -> .out")

        runtime.process_many(".in", range(20)).wait(timeout=SECONDS)

    assert len(threads) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("workers", [1, 4, 7])
@pytest.mark.parametrize("ordered", [False, True])
def test_as_many_calls_run_at_once_as_there_are_workers(schedule: str, workers: int, ordered: bool) -> None:
    """B173, B174 (BUG): there, wake-ups get lost, and fewer are used. B180 (LIMIT): of any number."""
    together = threading.Barrier(workers, timeout=SECONDS)

    def meet(data: int) -> int:
        together.wait()
        return data

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("meet", meet).make_parallel(workers, ordered=ordered)
        )
        wire(runtime, ".in -> meet -> .out")

        for _ in range(3):  # the second time they have been idle, and all are woken
            values = runtime.process_many(".in", range(workers)).values(timeout=SECONDS)
            assert (values if ordered else sorted(values)) == list(range(workers))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_workers_wake_each_other_while_the_engine_is_in_a_call(schedule: str) -> None:
    """B174 (BUG): there, whoever takes a message puts the others to sleep."""
    met = threading.Event()
    together = threading.Barrier(4, action=met.set, timeout=SECONDS)

    def meet(data: int) -> int:
        together.wait()
        return data

    container = FlowOperationContainer().add_func("meet", meet).make_parallel(4)
    container.add_action("hold", lambda _: arrived(met))
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> meet -> .out", ".in -> hold")

        assert sorted(runtime.process_many(".in", range(4)).values(timeout=SECONDS)) == [0, 1, 2, 3]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_parallel_operations_of_one_pool_share_its_workers(schedule: str) -> None:
    """B176, B180 (LIMIT): of any size."""
    threads: set[int] = set()

    def here(data: int) -> int:
        threads.add(threading.get_ident())
        return data

    container = FlowOperationContainer()
    for name in ("a", "b", "c"):
        container.add_func(name, here).make_parallel(2, pool="shared")
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> a -> b -> c -> .out")

        values = runtime.process_many(".in", range(100)).values(timeout=SECONDS)

    assert sorted(values) == list(range(100))
    assert 1 <= len(threads) <= 2


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
def test_plain_parallel_emits_in_the_order_of_completion(schedule: str) -> None:
    """B173: order is not kept."""
    second_left = threading.Event()

    def first_waits(data: int) -> int:
        if data == 0:
            arrived(second_left)
        return data

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_func("work", first_waits)
            .make_parallel(2)
            .add_action("seen", lambda data: second_left.set())
        )
        wire(runtime, ".in -> work -> .out", "work -> seen")

        values = runtime.process_many(".in", range(2)).values(timeout=SECONDS)

    assert values == [1, 0]


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
def test_ordered_parallel_holds_back_what_came_later(schedule: str) -> None:
    second_done = threading.Event()

    def first_waits(data: int) -> int:
        if data == 0:
            arrived(second_done)
        else:
            second_done.set()
        return data

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("work", first_waits).make_parallel(2, ordered=True)
        )
        wire(runtime, ".in -> work -> .out")

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
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> a", "a.b -> b -> d", "a.c -> c")
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
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> a -> c -> .out", ".in -> b -> d -> .out")
        if tapped:
            runtime.on_message(lambda message: None)

        runtime.process(".in").wait(timeout=SECONDS)

    assert "".join(name for name, _ in calls) == expected


def test_under_sync_the_run_is_over_when_process_returns() -> None:
    """B150."""
    with FlowRuntime(schedule="sync") as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("a", increment).make_parallel(2).add_func("b", double)
        )
        wire(runtime, ".in -> a -> b -> .out")

        run = runtime.process(".in", 1)

        assert run.done
        assert run.values(timeout=SECONDS) == [4]


def test_under_sync_a_failure_is_raised_by_whoever_waits_and_not_by_process() -> None:
    """B150. B132."""
    with FlowRuntime(schedule="sync") as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("refuse", refuse))
        wire(runtime, ".in -> refuse -> .out")

        run = runtime.process(".in", 1)

        assert isinstance(run.failure, OperationError)
        with pytest.raises(OperationError):
            run.wait(timeout=SECONDS)
