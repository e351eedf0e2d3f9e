"""Lists become streams and lists again. See also test_missing_items.py, test_windows.py and test_gather_by_id.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Message, OperationError, Scatter
from flowrt.testing import simulated
from tests.kit import strategies
from tests.kit.flows import (
    SCHEDULES,
    Bench,
    bracket,
    counted_or_not,
    every_mode,
    every_schedule,
    few_modes,
    filtering,
    flow_of,
    gathering,
    nested,
    ordered_modes,
    wire,
)
from tests.kit.functions import SECONDS, Gate, double, increment, same

# --- Whole lists


@every_mode
@counted_or_not
@pytest.mark.parametrize("length", [0, 1, 7, 1500])
def test_a_scattered_list_is_gathered_again(bench: Bench, counted: bool, length: int) -> None:
    """B232, B233, B238."""
    with gathering(bench, increment, counted=counted) as runtime:
        (gathered,) = runtime.process(".in", list(range(length))).values(timeout=SECONDS)

    assert type(gathered) is list
    assert bench.arranged(gathered) == bench.arranged(range(1, length + 1))


@every_schedule
def test_a_list_leaves_when_as_many_items_as_announced_are_there_whatever_else_they_lead_to(
    bench: Bench,
) -> None:
    """B233."""
    gate = Gate()
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_func("slow", gate).make_async()
    with bench.make_runtime() as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> scatter", "scatter.stream -> slow -> .slow", "gather -> .out")
        wire(runtime, "scatter.stream -> gather.stream", "scatter.count -> gather.count")
        left: list[str] = []

        def note(message: Message) -> None:
            left.append(message.port.name)
            gate.open()  # not before the list has left

        runtime.on_result(note)
        runtime.process(".in", [1, 2, 3]).wait(SECONDS)

    assert left == ["out", "slow", "slow", "slow"]


@every_mode
@counted_or_not
def test_several_lists_at_once_are_gathered_apart(bench: Bench, counted: bool) -> None:
    with gathering(bench, same, counted=counted) as runtime:
        lists = [[(owner, index) for index in range(owner % 5)] for owner in range(30)]
        runs = [runtime.process(".in", each) for each in lists[:15]]
        many = runtime.process_many(".in", lists[15:])

        assert [sorted(run.result(timeout=SECONDS).data) for run in runs] == lists[:15]
        assert sorted(sorted(gathered) for gathered in many.values(timeout=SECONDS)) == sorted(lists[15:])


@every_mode
@counted_or_not
def test_none_and_lists_are_items_like_any_other(bench: Bench, counted: bool) -> None:
    items = [None, [], [1, 2], None]
    with gathering(bench, same, counted=counted, ordered=True) as runtime:
        assert runtime.process(".in", items).values(timeout=SECONDS) == [items]


@few_modes
@counted_or_not
@pytest.mark.parametrize(
    "items",
    [
        (3, 4, 5),
        range(3, 6),
        [3, 4, 5],
        {3: None, 4: None, 5: None}.keys(),
        iter([3, 4, 5]),
        (n for n in (3, 4, 5)),
    ],
    ids=lambda items: type(items).__name__,
)
def test_any_iterable_of_items_may_be_scattered(bench: Bench, counted: bool, items: Iterable[int]) -> None:
    # An iterator serves only one of the benches: each gets its own.
    fresh = list(items) if not isinstance(items, Iterator) else iter([3, 4, 5])
    with gathering(bench, increment, counted=counted, ordered=True) as runtime:
        assert runtime.process(".in", fresh).values(timeout=SECONDS) == [[4, 5, 6]]


@every_mode
@counted_or_not
def test_a_gathered_list_has_the_context_in_which_the_list_was_scattered(bench: Bench, counted: bool) -> None:
    with gathering(bench, increment, counted=counted) as runtime:
        message = runtime.process(".in", [1], correlation_id="id", priority=5).result(timeout=SECONDS)

    assert (message.data, message.correlation_id, message.priority) == ([2], "id", 5)


@every_mode
@counted_or_not
def test_a_gather_emits_once_per_list(bench: Bench, counted: bool) -> None:
    with gathering(bench, increment, counted=counted) as runtime:
        run = runtime.process_many(".in", [[1, 2], [], [3]])

        assert len(run.values(timeout=SECONDS)) == 3


@every_mode
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_a_scatter_emits_the_items_in_order_and_then_their_number(
    bench: Bench, make: Callable[..., Any]
) -> None:
    """B230, B231."""
    with bench.make_runtime() as runtime:
        runtime.add_operation(Scatter("scatter"))
        wire(runtime, ".in -> scatter", "scatter.stream -> .items", "scatter.count -> .count")

        messages = list(runtime.process(".in", make("b c a".split())).results())

    assert [(message.port.name, message.data) for message in messages] == [
        ("items", "b"),
        ("items", "c"),
        ("items", "a"),
        ("count", 3),
    ]


@every_mode
@counted_or_not
def test_scatter_and_gather_may_stand_in_different_flows(bench: Bench, counted: bool) -> None:
    source = flow_of("source", ".in -> scatter", "scatter.stream -> .items", "scatter.count -> .count")
    sink = flow_of("sink", ".items -> work -> gather.stream", ".count -> gather.count", "gather -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(source).add_flow(sink).add_operations(
            bench.operations(Scatter("scatter"), Gather("gather"), funcs={"work": double})
        )
        wire(runtime, ".in -> source.in", "source.items -> sink.items", "sink.out -> .out")
        if counted:
            wire(runtime, "source.count -> sink.count")

        values = runtime.process_many(".in", [[1, 2, 3], []]).values(timeout=SECONDS)

    assert sorted(sorted(gathered) for gathered in values) == [[], [2, 4, 6]]


@every_mode
@counted_or_not
def test_a_flow_with_a_bracket_may_be_used_in_two_places(bench: Bench, counted: bool) -> None:
    flow = flow_of("each", ".in -> scatter", "gather -> .out")
    bracket(flow, counted=counted)
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow).add_operations(
            bench.operations(Scatter("scatter"), Gather("gather"), funcs={"work": increment})
        )
        wire(runtime, ".a -> each#1.in", "each#1.out -> each#2.in", "each#2.out -> .out", ".b -> each#2.in")

        a = runtime.process(".a", [1, 2, 3])
        b = runtime.process(".b", [10, 20])

        assert sorted(a.result(timeout=SECONDS).data) == [3, 4, 5]
        assert sorted(b.result(timeout=SECONDS).data) == [11, 21]


@every_mode
@counted_or_not
def test_a_bracket_works_at_every_level_of_a_flow_that_calls_itself(bench: Bench, counted: bool) -> None:
    def dive(tree: Any, leaf: Callable[[int], None], branches: Callable[[list[Any]], None]) -> None:
        (branches if isinstance(tree, list) else leaf)(tree)

    flow = flow_of(
        "sum", ".in -> dive", "dive.leaf -> .out", "dive.branches -> scatter", "gather -> total -> .out"
    )
    wire(flow, "scatter.stream -> sum.in", "sum.out -> gather.stream")
    if counted:
        wire(flow, "scatter.count -> gather.count")
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow).add_operations(
            bench.operations(
                Scatter("scatter"), Gather("gather"), actions={"dive": dive}, funcs={"total": sum}
            )
        )
        wire(runtime, ".in -> sum.in", "sum.out -> .out")

        values = runtime.process(".in", [1, [2, 3, [4]], [], [[[5]]]]).values(timeout=SECONDS)

    assert values == [15]


# --- Order


@every_mode
@counted_or_not
def test_an_ordered_gather_keeps_the_order_of_the_scattered_list(bench: Bench, counted: bool) -> None:
    """B237."""
    with gathering(bench, increment, counted=counted, ordered=True) as runtime:
        values = runtime.process_many(".in", [range(500), range(7)]).values(timeout=SECONDS)

    assert sorted(values, key=len) == [list(range(1, 8)), list(range(1, 501))]


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
@counted_or_not
def test_an_ordered_gather_waits_for_what_was_overtaken(schedule: Any, counted: bool) -> None:
    others_done = threading.Semaphore(0)

    def first_is_last(number: int) -> int:
        if number == 0:
            for _ in range(9):
                assert others_done.acquire(timeout=SECONDS)
        else:
            others_done.release()
        return number

    with FlowRuntime(schedule=schedule) as runtime:
        container = FlowOperationContainer().add_func("work", first_is_last).make_parallel(3)
        runtime.add_operations(
            container.add_operation(Scatter("scatter")).add_operation(Gather("gather", ordered=True))
        )
        wire(runtime, ".in -> scatter", "gather -> .out")
        bracket(runtime, counted=counted)

        values = runtime.process(".in", range(10)).values(timeout=SECONDS)

    assert values == [list(range(10))]


@every_mode
def test_an_ordered_gather_orders_several_emissions_of_an_item_by_emission(bench: Bench) -> None:
    def spell(number: int, on_data: Callable[[Any], None]) -> None:
        for index in range(number % 4):
            on_data((number, index))

    with filtering(bench, spell, counted=False, ordered=True) as runtime:
        values = runtime.process(".in", range(60)).values(timeout=SECONDS)

    assert values == [[(number, index) for number in range(60) for index in range(number % 4)]]


def spell(number: int, on_data: Callable[[Any], None]) -> None:
    for index in range(3):
        on_data((number, index))


def spell_lazily(number: int) -> Iterator[tuple[int, int]]:
    for index in range(3):
        yield number, index


@every_mode
@pytest.mark.parametrize("kind", ["action", "generator"])
def test_an_ordered_gather_restores_the_order_of_emission_behind_a_parallel_hop(
    bench: Bench, kind: str
) -> None:
    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> spell -> a -> b -> gather.stream",
        "gather -> .out",
        gather={"ordered": True},
        actions={"spell": spell} if kind == "action" else {},
        generators={"spell": spell_lazily} if kind == "generator" else {},
        funcs={"a": same, "b": same},
    ) as runtime:
        values = runtime.process(".in", range(40)).values(timeout=SECONDS)

    assert values == [[(number, index) for number in range(40) for index in range(3)]]


@ordered_modes
@counted_or_not
def test_a_gather_keeps_the_order_of_arrival(bench: Bench, counted: bool) -> None:
    """B237."""
    with gathering(bench, increment, counted=counted) as runtime:
        values = runtime.process(".in", range(2000)).values(timeout=SECONDS)

    assert values == [list(range(1, 2001))]


# --- Nested scatters, several gathers


@every_mode
@counted_or_not
@pytest.mark.parametrize(
    "matrix",
    [[], [[]], [[1]], [[1, 2], [], [3]], [list(range(30)) for _ in range(20)]],
    ids=["none", "empty", "one", "few", "many"],
)
def test_nested_lists_are_gathered_level_by_level(
    bench: Bench, counted: bool, matrix: list[list[int]]
) -> None:
    with nested(bench, increment, counted=counted, ordered=True) as runtime:
        values = runtime.process(".in", matrix).values(timeout=SECONDS)

    assert values == [[[number + 1 for number in row] for row in matrix]]


@given(matrix=strategies.nested_lists, seed=strategies.seeds)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("schedule", SCHEDULES)
@counted_or_not
def test_any_nested_list_comes_back_in_order_under_simulation(
    schedule: Any, counted: bool, matrix: list[list[int]], seed: int
) -> None:
    runtime = FlowRuntime(schedule=schedule, seams=simulated(seed))
    container = FlowOperationContainer().add_func("work", increment).make_parallel(3)
    for operation in (
        Scatter("rows"),
        Scatter("cells"),
        Gather("row", ordered=True),
        Gather("matrix", ordered=True),
    ):
        container.add_operation(operation)
    with runtime:
        runtime.add_operations(container)
        wire(
            runtime,
            ".in -> rows",
            "rows.stream -> cells",
            "cells.stream -> work -> row.stream",
            "row -> matrix.stream",
        )
        wire(runtime, "matrix -> .out")
        if counted:
            wire(runtime, "cells.count -> row.count", "rows.count -> matrix.count")

        values = runtime.process(".in", matrix).values(timeout=SECONDS)

    assert values == [[[number + 1 for number in row] for row in matrix]]


@every_mode
@counted_or_not
def test_one_gather_behind_two_scatters_gathers_the_inner_lists(bench: Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("rows"), Scatter("cells"), Gather("gather"), funcs={"work": increment})
        )
        wire(runtime, ".in -> rows", "rows.stream -> cells", "gather -> .out")
        bracket(runtime, counted=counted, scatter="cells")

        values = runtime.process(".in", [[1, 2], [], [3]]).values(timeout=SECONDS)

    assert sorted(sorted(row) for row in values) == [[], [2, 3], [4]]


@every_mode
@counted_or_not
@pytest.mark.parametrize("length", [0, 1, 200])
def test_several_gathers_of_one_scatter_each_get_the_list(bench: Bench, counted: bool, length: int) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("scatter"), Gather("raw"), Gather("worked"), funcs={"work": increment, "pass": same}
            )
        )
        wire(runtime, ".in -> scatter", "raw -> .raw", "worked -> .worked")
        bracket(runtime, "pass", counted=counted, gather="raw")
        bracket(runtime, "work", counted=counted, gather="worked")

        messages = list(runtime.process(".in", list(range(length))).results())

    assert {message.port.name: sorted(message.data) for message in messages} == {
        "raw": list(range(length)),
        "worked": list(range(1, length + 1)),
    }
    assert len(messages) == 2


@every_mode
@counted_or_not
def test_a_list_gathered_may_be_scattered_again(bench: Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("s1"),
                Gather("g1"),
                Scatter("s2"),
                Gather("g2"),
                funcs={"w1": increment, "w2": double},
            )
        )
        wire(runtime, ".in -> s1", "g1 -> s2", "g2 -> .out")
        bracket(runtime, "w1", counted=counted, scatter="s1", gather="g1")
        bracket(runtime, "w2", counted=counted, scatter="s2", gather="g2")

        (gathered,) = runtime.process(".in", [1, 2, 3]).values(timeout=SECONDS)

    assert sorted(gathered) == [4, 6, 8]


@every_mode
@counted_or_not
def test_a_list_may_go_round_through_the_same_scatter_and_gather(bench: Bench, counted: bool) -> None:
    lists: list[list[int]] = []

    def again(
        numbers: list[int], more: Callable[[list[int]], None], done: Callable[[list[int]], None]
    ) -> None:
        lists.append(sorted(numbers))
        (more if min(numbers) < 5 else done)(numbers)

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("scatter"), Gather("gather"), funcs={"work": increment}, actions={"again": again}
            )
        )
        wire(runtime, ".in -> scatter", "gather -> again", "again.more -> scatter", "again.done -> .out")
        bracket(runtime, counted=counted)

        (gathered,) = runtime.process(".in", [0, 1]).values(timeout=SECONDS)

    assert sorted(gathered) == [5, 6]
    assert lists == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]


FLATTENING = (".in -> scatter", "scatter.stream -> flatten", "flatten.branches -> scatter")


def flatten(data: Any, leaf: Callable[[int], None], branches: Callable[[list[Any]], None]) -> None:
    (branches if isinstance(data, list) else leaf)(data)


def leaves_of(data: Any) -> list[int]:
    return [leaf for each in data for leaf in leaves_of(each)] if isinstance(data, list) else [data]


TREE = [1, [2, [3, [4, [5, []]]], 6], [], [[[[7]]]], 8]


@every_mode
@pytest.mark.parametrize("window", [1, 2, 1024])
def test_a_nested_list_may_be_flattened_by_a_feedback_loop(bench: Bench, window: int) -> None:
    with bench.wired(
        *FLATTENING,
        "flatten.leaf -> .out",
        others=[Scatter("scatter", window=window)],
        actions={"flatten": flatten},
    ) as runtime:
        values = runtime.process(".in", TREE).values(timeout=SECONDS)

    assert sorted(values) == leaves_of(TREE)


@every_mode
def test_a_gather_behind_a_feedback_loop_gives_a_list_for_each_that_was_scattered(bench: Bench) -> None:
    with bench.wired(
        *FLATTENING,
        "flatten.leaf -> gather.stream",
        "gather -> .out",
        gather={"ordered": True},
        actions={"flatten": flatten},
    ) as runtime:
        values = runtime.process(".in", [1, [2, 3], [], [4, [5], 6], 7]).values(timeout=SECONDS)

    # An item goes to the innermost of its lists.
    assert sorted(values) == [[], [1, 7], [2, 3], [4, 6], [5]]


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
@pytest.mark.parametrize("change", [list.clear, lambda items: items.append(1)], ids=["shorter", "longer"])
def test_a_list_that_changes_length_while_it_is_scattered_fails(schedule: Any, change: Any) -> None:
    """K13: it ended early, without a word."""
    items = list(range(5_000))

    def work(item: int) -> int:
        if item == 1:
            change(items)
        return item

    operations = FlowOperationContainer().add_operation(Scatter("scatter", window=10)).add_func("work", work)
    flow = flow_of("", ".in -> scatter", "scatter.stream -> work -> .out", operations=operations)
    with FlowRuntime(flow, schedule=schedule) as runtime:
        run = runtime.process(".in", items)
        with pytest.raises(OperationError, match="the list had 5000 items and has") as raised:
            run.wait(SECONDS)
        assert raised.value.operation == "scatter"
        assert run.ledger.balanced
