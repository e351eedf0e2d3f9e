"""Bounded (promise 4): sources are pulled only as far as their windows allow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Message, Scatter
from flowrt.testing import simulated
from tests.kit import flows, strategies
from tests.kit.functions import SECONDS, Gate, arrived, increment, same

# --- Windows


class Counting:
    """A lazy list that knows how far it was pulled, and how far ahead of its consumer at worst."""

    def __init__(self, length: int, window: int = 0) -> None:
        self.length = length
        self.window = window
        self.pulled = 0
        self.finished = 0
        self.ahead = 0
        self.window_full = threading.Event()

    def __iter__(self) -> Iterator[int]:
        for index in range(self.length):
            self.pulled += 1
            self.ahead = max(self.ahead, self.pulled - self.finished)
            if self.pulled >= self.window:
                self.window_full.set()
            yield index

    def finish(self, data: Any) -> Any:
        self.finished += 1
        return data


# An item may be on its way between the last look at the window and the next.
SLACK = 2


def with_source(bench: flows.Bench, kind: str, window: int, **funcs: Callable[..., Any]) -> FlowRuntime:
    """A runtime whose `source`, a scatter or a generator, feeds `first`."""
    return behind_source(bench, kind, window, "first", bench.operations(funcs=funcs))


def behind_source(
    bench: flows.Bench, kind: str, window: int, way: str, container: FlowOperationContainer
) -> FlowRuntime:
    """As `with_source`, for a way behind it."""
    runtime = bench.make_runtime()
    if kind == "scatter":
        container.add_operation(Scatter("source", window=window))
        flows.wire(runtime, ".in -> source", f"source.stream -> {way}")
    else:
        container.add_generator("source", generate, window=window)
        flows.wire(runtime, f".in -> source -> {way}")
    return runtime.add_operations(container)


def generate(items: Iterable[int]) -> Iterator[int]:
    yield from items


sources = pytest.mark.parametrize("kind", ["scatter", "generator"])


@flows.every_mode
@sources
@pytest.mark.parametrize("window", [1, 2, 16])
def test_a_source_is_never_pulled_further_ahead_than_its_window(
    bench: flows.Bench, kind: str, window: int
) -> None:
    """B231."""
    counting = Counting(300)
    with with_source(bench, kind, window, first=increment) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("last", counting.finish))
        flows.wire(runtime, "first -> last -> .out")

        values = runtime.process(".in", counting).values(timeout=SECONDS)

    assert len(values) == 300
    assert counting.ahead <= window + SLACK


@flows.real_workers
@sources
def test_a_source_waits_while_its_consumer_is_blocked(bench: flows.Bench, kind: str) -> None:
    window = 16
    counting = Counting(1000, window)
    gate = Gate()
    # A generator that shares its threads with the consumer is not pulled while that blocks all of them.
    shares = kind == "generator" and bench.mode.name == "sync" and bench.schedule == "parallel"
    with with_source(bench, kind, window, first=gate) as runtime:
        flows.wire(runtime, "first -> .out", ".ping -> .pong")
        run = runtime.process(".in", counting)

        try:
            arrived(gate.entered)
            # The whole window is used: the source does not wait for each item.
            if not shares:
                arrived(counting.window_full)
            for number in range(10):
                # The engine has nothing else to do than to pull, and answers all the same.
                assert runtime.process(".ping", number).values(timeout=SECONDS) == [number]
            pulled = counting.pulled
        finally:
            gate.open()

        assert len(run.values(timeout=SECONDS)) == 1000
    assert (1 if shares else window) <= pulled <= window + SLACK


@flows.real_workers
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_no_more_items_of_a_list_are_on_their_way_than_the_window_allows(
    bench: flows.Bench, kind: Any
) -> None:
    window = 16
    entered: list[int] = []
    gate = Gate()

    def enter(item: int) -> int:
        entered.append(item)
        return item

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("scatter", window=window), funcs={"gate": gate}).add_func("enter", enter)
        )
        flows.wire(runtime, ".in -> scatter", "scatter.stream -> enter -> gate -> .out", ".ping -> .pong")
        run = runtime.process(".in", kind(range(1000)))

        try:
            arrived(gate.entered)
            for number in range(10):
                assert runtime.process(".ping", number).values(timeout=SECONDS) == [number]
            on_their_way = len(entered)
        finally:
            gate.open()

        assert len(run.values(timeout=SECONDS)) == 1000
    assert on_their_way <= window + SLACK


@flows.every_mode
@sources
def test_everything_an_item_leads_to_counts_against_the_window(bench: flows.Bench, kind: str) -> None:
    live = {"now": 0, "most": 0}
    window = 12

    def spread(data: int, on_data: Callable[[int], None]) -> None:
        for _ in range(6):
            on_data(data)

    def born(message: Message) -> None:
        # Live below the source: entered `first`, six of them entered `last`, until `last` is through.
        if message.port.operation == "last":
            live["now"] += 1
            live["most"] = max(live["most"], live["now"])

    def ended(data: int) -> None:
        live["now"] -= 1

    counting = Counting(200)
    container = bench.operations(actions={"first": spread, "last": ended})
    with behind_source(bench, kind, window, "first -> last", container) as runtime:
        runtime.on_message(born)

        runtime.process(".in", counting).wait(timeout=SECONDS)

    # What was pulled before the first item spread counts sixfold: at most the window of items, spread.
    assert live["most"] <= window * 6 + SLACK


@flows.every_mode
@flows.counted_or_not
def test_items_held_by_a_gather_use_no_credit(bench: flows.Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("scatter", window=4), Gather("gather"), funcs={"work": increment})
        )
        flows.wire(runtime, ".in -> scatter", "gather -> .out")
        flows.bracket(runtime, counted=counted)

        (gathered,) = runtime.process(".in", range(200)).values(timeout=SECONDS)

    assert sorted(gathered) == list(range(1, 201))


@flows.every_mode
@sources
def test_all_open_lists_of_one_source_share_its_window(bench: flows.Bench, kind: str) -> None:
    lists = [Counting(40) for _ in range(6)]
    window = 8
    ahead = []

    def finish(data: Any) -> Any:
        lists[0].finished += 1
        return data

    def pulled() -> None:
        ahead.append(sum(each.pulled for each in lists) - lists[0].finished)

    def watched(counting: Counting) -> Iterator[int]:
        for item in counting:
            pulled()
            yield item

    with with_source(bench, kind, window, first=increment) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("last", finish))
        flows.wire(runtime, "first -> last -> .out")

        run = runtime.process_many(".in", [watched(each) for each in lists])

        assert len(run.values(timeout=SECONDS)) == 240
    # An iterator with nothing live may always be pulled once.
    assert max(ahead) <= window + len(lists) + SLACK


@pytest.mark.parametrize("simulation", [None, 1, 2, 3])
def test_the_pulls_of_a_parallel_generator_share_its_window(simulation: int | None) -> None:
    """What several pulls may bring together is asked for before any of them has brought it."""
    cells = {"pulled": 0, "finished": 0, "most": 0}
    lock = threading.Lock()

    def quick(width: int) -> Iterator[int]:
        for index in range(width):
            with lock:
                cells["pulled"] += 1
                cells["most"] = max(cells["most"], cells["pulled"] - cells["finished"])
            yield index

    def finish(data: int) -> int:
        with lock:
            cells["finished"] += 1
        return data

    lists, window = 12, 8
    operations = FlowOperationContainer().add_generator("quick", quick, window=window).make_parallel(4)
    operations.add_func("finish", finish)
    options: dict[str, Any] = {} if simulation is None else {"seams": simulated(simulation, group=8)}
    with FlowRuntime(**options) as runtime:
        runtime.add_operations(operations)
        flows.wire(runtime, ".in -> quick -> finish -> .out")

        assert len(runtime.process_many(".in", [50] * lists).values(timeout=SECONDS)) == 50 * lists
    # An iterator with nothing live may always be pulled once.
    assert cells["most"] <= window + lists + SLACK


@flows.every_mode
@flows.counted_or_not
def test_nested_windows_do_not_multiply(bench: flows.Bench, counted: bool) -> None:
    cells = {"pulled": 0, "finished": 0, "most": 0}

    def row(width: int) -> Iterator[int]:
        for index in range(width):
            cells["pulled"] += 1
            cells["most"] = max(cells["most"], cells["pulled"] - cells["finished"])
            yield index

    def finish(data: int) -> int:
        cells["finished"] += 1
        return data

    rows, columns, window = 30, 30, 8
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("rows", window=window),
                Scatter("cells", window=window),
                Gather("row"),
                Gather("matrix"),
                funcs={"work": same},
            ).add_func("finish", finish)
        )
        flows.wire(runtime, ".in -> rows", "rows.stream -> cells", "row -> matrix.stream", "matrix -> .out")
        flows.bracket(runtime, "work -> finish", counted=counted, scatter="cells", gather="row")
        if counted:
            flows.wire(runtime, "rows.count -> matrix.count")

        (matrix,) = runtime.process(".in", (row(columns) for _ in range(rows))).values(timeout=SECONDS)

    assert [sorted(each) for each in matrix] == [list(range(columns))] * rows
    assert cells["most"] <= 2 * window + SLACK


@flows.every_schedule
@sources
def test_a_slow_source_hands_out_its_first_item_at_once(bench: flows.Bench, kind: str) -> None:
    seen: list[int] = []
    at_pull: list[list[int]] = []

    def items() -> Iterator[int]:
        for index in range(3):
            at_pull.append(list(seen))
            yield index

    with with_source(bench, kind, 1, first=seen.append) as runtime:
        runtime.process(".in", items()).wait(timeout=SECONDS)

    # With a window of one every item is worked off before the next is asked for.
    assert at_pull == [[], [0], [0, 1]]


@flows.real_queues
@sources
def test_an_endless_source_ends_with_its_run(bench: flows.Bench, kind: str) -> None:
    closed = threading.Event()
    enough = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    def first(data: int) -> int:
        enough.set()
        return data

    with with_source(bench, kind, 8, first=first) as runtime:
        flows.wire(runtime, "first -> .out")
        runtime.on_result(lambda message: None)
        run = runtime.process(".in", endless())
        arrived(enough)

        run.cancel()

        arrived(closed)
        with pytest.raises(Exception, match="cancel"):
            run.wait(timeout=SECONDS)


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    window=st.integers(1, 10),
    kind=st.sampled_from(["scatter", "generator"]),
    mode=st.sampled_from(strategies.MODES),
    schedule=st.sampled_from(flows.SCHEDULES),
    seed=strategies.seeds,
)
@settings(max_examples=150)
def test_any_lists_share_their_window_under_simulation(
    lengths: list[int], window: int, kind: str, mode: Any, schedule: Any, seed: int
) -> None:
    pulled: list[int] = []
    finished: list[int] = []
    ahead = [0]

    def items(length: int) -> Iterator[int]:
        for index in range(length):
            pulled.append(index)
            ahead.append(len(pulled) - len(finished))
            yield index

    container = mode(FlowOperationContainer().add_func("work", same)).add_action("last", finished.append)
    port = ".stream" if kind == "scatter" else ""
    if kind == "scatter":
        container.add_operation(Scatter("source", window=window))
    else:
        container.add_generator("source", generate, window=window)
    with FlowRuntime(schedule=schedule, seams=simulated(seed)) as runtime:
        runtime.add_operations(container)
        flows.wire(runtime, ".in -> source", f"source{port} -> work -> last")

        runtime.process_many(".in", [items(length) for length in lengths]).wait(timeout=SECONDS)

    assert len(finished) == sum(lengths)
    assert max(ahead) <= window + len(lengths) + SLACK
