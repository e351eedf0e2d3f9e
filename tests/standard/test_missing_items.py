"""A gather always ends (promise 5): items that failed, were filtered, or were never produced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowRuntime, GatherIncompleteError, OperationError, Run
from flowrt.standard import Gather, Gathered, Scatter
from flowrt.testing import simulated
from tests.kit import strategies
from tests.kit.flows import (
    SCHEDULES,
    Bench,
    assert_ledger,
    bracket,
    counted_or_not,
    counters,
    every_mode,
    few_modes,
    filtering,
    gathering,
    nested,
    results_of,
    wire,
)
from tests.kit.functions import SECONDS, increment, input_of, refuse, twice


def odd_only(number: int, on_number: Callable[[int], None]) -> None:
    if number % 2:
        on_number(number)


def refuse_even(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("even")
    return number


def refuse_all(data: Any) -> Any:
    raise ValueError("all")


# --- Items that never arrive


def missing_of(error: GatherIncompleteError) -> list[int]:
    """The positions of the items that did not arrive."""
    return sorted(position for position, _ in error.missing if isinstance(position, int))


MISSING = pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])


@every_mode
@counted_or_not
def test_skip_leaves_the_failed_items_out(bench: Bench, counted: bool) -> None:
    with gathering(bench, refuse_even, counted=counted, on_missing="skip", ordered=True) as runtime:
        run = runtime.process(".in", range(6))

        # The gather is who handles the failures: the run does not fail.
        assert run.values(timeout=SECONDS) == [[1, 3, 5]]
        assert run.failure is None


@every_mode
@counted_or_not
def test_collect_says_which_items_are_missing_and_why(bench: Bench, counted: bool) -> None:
    with gathering(bench, refuse_even, counted=counted, on_missing="collect", ordered=True) as runtime:
        (gathered,) = runtime.process(".in", range(6)).values(timeout=SECONDS)

    assert isinstance(gathered, Gathered)
    assert gathered.items == [1, 3, 5]
    assert [position for position, _, _ in gathered.failures] == [0, 2, 4]
    for position, reason, error in gathered.failures:
        assert isinstance(reason, str)
        assert isinstance(error, OperationError)
        assert (error.operation, input_of(error)) == ("work", position)
        assert isinstance(error.__cause__, ValueError)


@every_mode
@counted_or_not
def test_collect_of_a_whole_list_has_no_failures(bench: Bench, counted: bool) -> None:
    with gathering(bench, increment, counted=counted, on_missing="collect", ordered=True) as runtime:
        values = runtime.process_many(".in", [[1, 2], []]).values(timeout=SECONDS)

    assert sorted((list(gathered.items), tuple(gathered.failures)) for gathered in values) == [
        ([], ()),
        ([2, 3], ()),
    ]


@every_mode
@counted_or_not
def test_fail_adds_no_second_error_where_every_missing_item_failed(bench: Bench, counted: bool) -> None:
    with gathering(bench, refuse_even, counted=counted) as runtime:
        run = runtime.process(".in", range(6))

        with pytest.raises(OperationError):
            run.values(timeout=SECONDS)
        assert sorted(input_of(error) for error in run.failures) == [0, 2, 4]
        assert {type(error) for error in run.failures} == {OperationError}
        assert counters(run)["delivered"] == 0


@every_mode
@counted_or_not
@MISSING
def test_a_wholly_failed_list_ends_its_gather(bench: Bench, counted: bool, on_missing: Any) -> None:
    with gathering(bench, refuse_all, counted=counted, on_missing=on_missing) as runtime:
        run = runtime.process(".in", [1, 2, 3])

        if on_missing == "fail":
            with pytest.raises(OperationError):
                run.wait(timeout=SECONDS)
            assert sorted(input_of(error) for error in run.failures) == [1, 2, 3]
        else:
            (gathered,) = run.values(timeout=SECONDS)
            assert (gathered if on_missing == "skip" else gathered.items) == []
            assert on_missing == "skip" or len(gathered.failures) == 3


@every_mode
@MISSING
@pytest.mark.parametrize("items", [[0, 1, 2, 3], [0, 2]], ids=["partly", "wholly"])
def test_with_a_count_a_filtered_item_is_missing(bench: Bench, on_missing: Any, items: list[int]) -> None:
    odd = [number for number in items if number % 2]
    with filtering(bench, odd_only, counted=True, on_missing=on_missing, ordered=True) as runtime:
        run = runtime.process(".in", items)

        if on_missing == "fail":
            with pytest.raises(GatherIncompleteError, match="gather") as caught:
                run.values(timeout=SECONDS)
            assert missing_of(caught.value) == [
                position for position, number in enumerate(items) if number % 2 == 0
            ]
            assert all(reason.startswith("absorbed") for _, reason in caught.value.missing)
        elif on_missing == "skip":
            assert run.values(timeout=SECONDS) == [odd]
        else:
            (gathered,) = run.values(timeout=SECONDS)
            assert gathered.items == odd
            assert [position for position, _, _ in gathered.failures] == [
                position for position, number in enumerate(items) if number % 2 == 0
            ]
            assert all(reason.startswith("absorbed") for _, reason, _ in gathered.failures)
            assert {error for _, _, error in gathered.failures} == {None}


@every_mode
@MISSING
@pytest.mark.parametrize("items", [[0, 1, 2, 3], [0, 2]], ids=["partly", "wholly"])
def test_without_a_count_a_filtered_item_is_not_missing(
    bench: Bench, on_missing: Any, items: list[int]
) -> None:
    with filtering(bench, odd_only, counted=False, on_missing=on_missing, ordered=True) as runtime:
        (gathered,) = runtime.process(".in", items).values(timeout=SECONDS)

    assert (gathered.items if on_missing == "collect" else gathered) == [
        number for number in items if number % 2
    ]
    assert on_missing != "collect" or tuple(gathered.failures) == ()


def sort_out(number: int, odd: Callable[[int], None], even: Callable[[int], None]) -> None:
    (odd if number % 2 else even)(number)


@every_mode
@counted_or_not
@MISSING
def test_an_item_on_an_unconnected_port_is_missing(bench: Bench, counted: bool, on_missing: Any) -> None:
    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> sort",
        "sort.odd -> gather.stream",
        "gather -> .out",
        counted=counted,
        gather={"on_missing": on_missing, "ordered": True},
        actions={"sort": sort_out},
    ) as runtime:
        run = runtime.process(".in", range(4))

        if on_missing == "fail":
            with pytest.raises(GatherIncompleteError, match="unconnected") as caught:
                run.values(timeout=SECONDS)
            assert missing_of(caught.value) == [0, 2]
        elif on_missing == "skip":
            assert run.values(timeout=SECONDS) == [[1, 3]]
        else:
            (gathered,) = run.values(timeout=SECONDS)
            assert gathered.items == [1, 3]
            assert [(position, error) for position, _, error in gathered.failures] == [(0, None), (2, None)]
    assert counters(run)["unconnected"] == 2 + (not counted)


@every_mode
def test_an_incomplete_gather_names_positions_and_reasons_and_gives_up_its_items(bench: Bench) -> None:
    with filtering(bench, odd_only, counted=True) as runtime:
        run = runtime.process(".in", [1, 3, 4, 5, 6])

        with pytest.raises(GatherIncompleteError) as caught:
            run.wait(timeout=SECONDS)

    text = str(caught.value)
    assert '"gather"' in text
    assert "2" in text
    assert "4" in text
    assert "absorbed" in text
    assert caught.value.operation == "gather"
    assert_ledger(run, accepted=1, born=5, absorbed=2 + 1, discarded=3)


@every_mode
@counted_or_not
def test_some_items_failed_and_some_filtered_is_an_incomplete_list_only_with_a_count(
    bench: Bench, counted: bool
) -> None:
    def keep(number: int, on_number: Callable[[int], None]) -> None:
        if number == 1:
            raise ValueError("one")
        if number != 2:
            on_number(number)

    with filtering(bench, keep, counted=counted) as runtime:
        run = runtime.process(".in", range(4))

        with pytest.raises((OperationError, GatherIncompleteError)):
            run.wait(timeout=SECONDS)

    failures = Counter(type(error) for error in run.failures)
    assert failures == ({OperationError: 1, GatherIncompleteError: 1} if counted else {OperationError: 1})


@every_mode
@counted_or_not
def test_a_failure_handler_takes_the_failures_and_skip_still_gives_the_rest(
    bench: Bench, counted: bool
) -> None:
    taken: list[Any] = []
    with gathering(bench, refuse_even, counted=counted, on_missing="skip", ordered=True) as runtime:
        runtime.on_exception(taken.append)

        run = runtime.process(".in", range(6))

        assert run.values(timeout=SECONDS) == [[1, 3, 5]]
    # Exactly one place gets an error: the handlers come before the gather.
    assert sorted(input_of(error) for error in taken) == [0, 2, 4]


@every_mode
@counted_or_not
def test_a_failure_in_one_list_leaves_the_others_alone(bench: Bench, counted: bool) -> None:
    with gathering(bench, refuse_even, counted=counted) as runtime:
        runs = [runtime.process(".in", items) for items in ([1, 3], [1, 2, 3], [5])]

        assert sorted(runs[0].result(timeout=SECONDS).data) == [1, 3]
        with pytest.raises(OperationError):
            runs[1].result(timeout=SECONDS)
        assert runs[2].result(timeout=SECONDS).data == [5]


def one_list_missing(
    bench: Bench, work: str, counted: bool, on_missing: Any, **options: Any
) -> tuple[Run, Any]:
    """What the outer gather gives when the second of three lists is missing, and the run; the error where it is collected."""
    with bench.wired(
        ".in -> rows",
        "rows.stream -> cells",
        f"cells.stream -> {work}",
        f"{work}.odd -> row.stream" if work == "sort" else f"{work} -> row.stream",
        "row -> matrix.stream",
        "matrix -> .out",
        others=[Gather("row", ordered=True), Gather("matrix", ordered=True, on_missing=on_missing)],
        counted=counted,
        **options,
    ) as runtime:
        run = runtime.process(".in", [[1, 3], [5, 6], [7]])
        (gathered,) = run.values(timeout=SECONDS)

    if on_missing == "skip":
        assert gathered == [[1, 3], [7]]
        return run, None
    assert gathered.items == [[1, 3], [7]]
    ((position, _, error),) = gathered.failures
    assert position == 1
    return run, error


@every_mode
@counted_or_not
@pytest.mark.parametrize("on_missing", ["skip", "collect"])
def test_an_inner_list_that_fails_is_one_missing_item_of_the_outer_list(
    bench: Bench, counted: bool, on_missing: Any
) -> None:
    run, error = one_list_missing(bench, "sort", counted, on_missing, actions={"sort": sort_out})

    assert run.failure is None
    if on_missing == "collect":
        assert isinstance(cause(error), GatherIncompleteError)


def cause(error: BaseException) -> BaseException:
    return error if isinstance(error, GatherIncompleteError) else error.__cause__ or error


@every_mode
@counted_or_not
def test_an_inner_skip_keeps_the_outer_list_whole(bench: Bench, counted: bool) -> None:
    with nested(bench, refuse_even, counted=counted, ordered=True, on_missing="skip") as runtime:
        values = runtime.process(".in", [[1, 2, 3], [2], []]).values(timeout=SECONDS)

    assert values == [[[1, 3], [], []]]


@every_mode
@counted_or_not
@pytest.mark.parametrize("on_missing", ["skip", "collect"])
def test_an_inner_list_with_a_failed_item_is_left_to_the_outer_gather(
    bench: Bench, counted: bool, on_missing: Any
) -> None:
    run, error = one_list_missing(bench, "work", counted, on_missing, funcs={"work": refuse_even})

    assert list(run.failures) == []
    if on_missing == "collect":
        assert input_of(error) == 6


def emit_and_refuse_even(number: int, on_number: Callable[[int], None]) -> None:
    on_number(number)
    refuse_even(number)


def yield_and_refuse_even(number: int) -> Iterator[int]:
    yield number
    refuse_even(number)


@every_mode
@counted_or_not
@pytest.mark.parametrize("kind", ["action", "generator"])
@pytest.mark.parametrize("on_missing", ["fail", "collect"])
def test_an_item_that_failed_after_it_had_emitted_is_told_of(
    bench: Bench, counted: bool, kind: str, on_missing: Any
) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("scatter"),
                Gather("gather", on_missing=on_missing, ordered=True),
                actions={"work": emit_and_refuse_even} if kind == "action" else {},
                generators={"work": yield_and_refuse_even} if kind == "generator" else {},
            )
        )
        wire(runtime, ".in -> scatter", "gather -> .out")
        bracket(runtime, counted=counted)

        run = runtime.process(".in", [1, 2, 3])
        (result,) = results_of(run)

    # All items arrived; what failed is told once: by the run, or in the list.
    told = [input_of(error) for error in run.failures]
    if on_missing == "collect":
        assert result.data.items == [1, 2, 3]
        told += [input_of(error) for _, _, error in result.data.failures]
    else:
        assert result.data == [1, 2, 3]
    assert told == [2]


@every_mode
def test_surplus_items_are_errors_of_a_counted_gather(bench: Bench) -> None:
    with filtering(bench, twice, counted=True) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        (result,) = results_of(run)

    assert len(result.data) == 3
    assert [error.operation for error in run.failures if isinstance(error, OperationError)] == ["gather"] * 3
    assert sorted([*result.data, *map(input_of, run.failures)]) == [1, 1, 2, 2, 3, 3]
    assert_ledger(run, accepted=1, born=6, absorbed=1 + 2, failed=3, delivered=1)


# --- Producing the list fails


def three_then_raise() -> Iterator[int]:
    yield from (10, 20, 30)
    raise LookupError("no fourth")


@every_mode
@counted_or_not
@MISSING
def test_a_list_that_raises_midway_is_closed_as_failed(bench: Bench, counted: bool, on_missing: Any) -> None:
    """B231."""
    with gathering(bench, increment, counted=counted, on_missing=on_missing, ordered=True) as runtime:
        run = runtime.process(".in", three_then_raise())

        try:
            values = run.values(timeout=SECONDS)
        except OperationError as error:
            values = None
            assert error.operation == "scatter"
            assert isinstance(error.__cause__, LookupError)

    # The input of the scatter failed; the three items are facts.
    assert counters(run)["failed"] == 1
    if on_missing == "fail":
        assert values is None
        assert counters(run)["delivered"] == 0
        assert counters(run)["discarded"] == 3
        assert [type(error) for error in run.failures] == [OperationError]
    else:
        assert counters(run)["delivered"] == 1


@every_mode
@counted_or_not
@pytest.mark.parametrize("on_missing", ["skip", "collect"])
def test_the_gather_of_a_list_that_raised_midway_follows_its_policy(
    bench: Bench, counted: bool, on_missing: Any
) -> None:
    with gathering(bench, increment, counted=counted, on_missing=on_missing, ordered=True) as runtime:
        runtime.on_exception(lambda error: None)

        (gathered,) = runtime.process(".in", three_then_raise()).values(timeout=SECONDS)

    if on_missing == "skip":
        assert gathered == [11, 21, 31]
    else:
        assert gathered.items == [11, 21, 31]
        ((position, _, error),) = gathered.failures
        assert position is None
        assert isinstance(error, OperationError)
        assert isinstance(error.__cause__, LookupError)


@few_modes
@counted_or_not
@pytest.mark.parametrize(
    "data", ["text", b"bytes", bytearray(b"x"), {"a": 1}, 5, None], ids=lambda data: type(data).__name__
)
def test_what_is_no_list_is_an_error_of_the_scatter(bench: Bench, counted: bool, data: Any) -> None:
    with gathering(bench, increment, counted=counted) as runtime:
        run = runtime.process(".in", data)

        with pytest.raises(OperationError, match=type(data).__name__) as caught:
            run.wait(timeout=SECONDS)

    assert caught.value.operation == "scatter"
    assert_ledger(run, accepted=1, failed=1)


# --- Any fate of any item

FATES = ("arrives", "fails", "is absorbed", "strays")


@given(
    fates=st.lists(st.sampled_from(FATES), max_size=7),
    on_missing=st.sampled_from(["fail", "skip", "collect"]),
    counted=st.booleans(),
    mode=st.sampled_from(strategies.MODES),
    schedule=st.sampled_from(SCHEDULES),
    seed=strategies.seeds,
)
@settings(max_examples=300)
def test_a_gather_gives_what_its_policy_says_whatever_becomes_of_the_items(
    fates: list[str], on_missing: Any, counted: bool, mode: Any, schedule: Any, seed: int
) -> None:
    def meet_fate(item: tuple[int, str], arrive: Callable[[int], None], stray: Callable[[int], None]) -> None:
        position, fate = item
        if fate == "arrives":
            arrive(position)
        elif fate == "strays":
            stray(position)
        elif fate == "fails":
            raise ValueError(position)

    positions = {fate: [i for i, each in enumerate(fates) if each == fate] for fate in FATES}
    arrived_ones, failed = positions["arrives"], positions["fails"]
    missing = sorted(failed + positions["strays"] + (positions["is absorbed"] if counted else []))
    container = mode(FlowOperationContainer().add_action("meet", meet_fate))
    container.add_operation(Scatter("scatter")).add_operation(
        Gather("gather", on_missing=on_missing, ordered=True)
    )
    with FlowRuntime(schedule=schedule, seams=simulated(seed)) as runtime:
        runtime.add_operations(container)
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> meet",
            "meet.arrive -> gather.stream",
            "gather -> .out",
        )
        if counted:
            wire(runtime, "scatter.count -> gather.count")
        run = runtime.process(".in", list(enumerate(fates)))
        results = results_of(run)

    gives_up = bool(missing) and on_missing == "fail"
    incomplete = [error for error in run.failures if isinstance(error, GatherIncompleteError)]
    if gives_up:
        assert results == []
        # A list that misses only what failed adds no second error.
        assert [missing_of(error) for error in incomplete] == ([] if missing == failed else [missing])
        assert sorted(input_of(error)[0] for error in run.failures if error not in incomplete) == failed
    else:
        (message,) = results
        assert list(run.failures) == []
        if on_missing == "collect":
            assert message.data.items == arrived_ones
            assert [position for position, _, _ in message.data.failures] == missing
        else:
            assert message.data == arrived_ones
    kept = len(arrived_ones)
    assert_ledger(
        run,
        accepted=1,
        born=len(fates) + (not gives_up and not kept),
        absorbed=len(positions["is absorbed"]) + counted + (0 if gives_up else max(0, kept - 1)),
        unconnected=len(positions["strays"]) + (not counted),
        failed=len(failed),
        delivered=not gives_up,
        discarded=kept if gives_up else 0,
    )


def test_collect_lists_every_error_of_an_item() -> None:
    """A generator gives one item and raises; the item fails too: two errors at one position, and none is lost."""

    def one_and_raise(_: int) -> Iterator[int]:
        yield 1
        raise ValueError("second")

    operations = FlowOperationContainer().add_generator("gen", one_and_raise).add_func("work", refuse)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing="collect"))
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> scatter", "scatter.stream -> gen -> work -> gather.stream", "gather -> .out")
        runtime.add_operations(operations)
        run = runtime.process(".in", [7])
        ((gathered,), failures) = (run.values(SECONDS), run.failures)

    assert failures == []
    assert [position for position, _, _ in gathered.failures] == [0, 0]
    assert {type(error.__cause__) for _, _, error in gathered.failures} == {ValueError}
    assert len({id(error) for _, _, error in gathered.failures}) == 2
