"""Depth-first fusion: what consecutive functions do as one must be what they do one by one."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowOverloadError, FlowRuntime, Message, OperationError, Run
from flowrt.engine.fusion import LONGEST_CHAIN
from flowrt.executors.seams import Seams
from flowrt.standard import Gather, Scatter
from flowrt.testing import FakeClock
from tests.kit.flows import assert_ledger, chain_of, failure_of, runtime_of, wire
from tests.kit.functions import SECONDS, double, increment, same

DEPTH_FIRST = ("depth_first", "sync")
depth_first = pytest.mark.parametrize("schedule", DEPTH_FIRST)


def chain(schedule: Any, *functions: Callable[[Any], Any], **options: Any) -> FlowRuntime:
    """A runtime with the functions one behind the other, named a, b, c ..."""
    operations = FlowOperationContainer()
    names = [chr(ord("a") + number) for number in range(len(functions))]
    for name, function in zip(names, functions, strict=True):
        operations.add_func(name, function)
    runtime = FlowRuntime(schedule=schedule, **options).add_operations(operations)
    wire(runtime, " -> ".join([".in", *names, ".out"]))
    return runtime


def noting(calls: list[str], name: str) -> Callable[[Any], Any]:
    def note(data: Any) -> Any:
        calls.append(f"{name}{data}")
        return data

    return note


def refuse_twos(number: int) -> int:
    if number == 2:
        raise LookupError(number)
    return number


@depth_first
def test_each_message_goes_to_its_end_before_the_next(schedule: Any) -> None:
    calls: list[str] = []
    with chain(schedule, noting(calls, "a"), noting(calls, "b"), noting(calls, "c")) as runtime:
        assert runtime.process_many(".in", range(3)).values(SECONDS) == [0, 1, 2]

    assert calls == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


@depth_first
@pytest.mark.parametrize("stage", range(4))
def test_an_error_names_its_operation_what_that_was_given_and_the_way(schedule: Any, stage: int) -> None:
    functions: list[Callable[[int], int]] = [increment, increment, increment, increment]
    given: list[int] = []

    def refuse(number: int) -> int:
        given.append(number)
        if number == 10 + stage:
            raise LookupError(number)
        return number + 1

    functions[stage] = refuse
    runtime = chain(schedule, *functions)
    run = runtime.process_many(".in", range(20))
    with pytest.raises(OperationError) as caught:
        run.wait(SECONDS)
    error, values = caught.value, [message.data for message in runtime.results(SECONDS)]
    runtime.close()

    name = "abcd"[stage]
    assert error.operation == name
    assert error.message is not None
    assert (error.message.data, str(error.message.port)) == (10 + stage, name)
    assert error.__notes__[0] == " -> ".join([".in", *"abcd"[: stage + 1]])
    assert isinstance(error.__cause__, LookupError)
    assert values == [number + 4 for number in range(20) if number != 10]
    assert len(given) == 20
    assert_ledger(run, accepted=20, delivered=19, failed=1)


@depth_first
@pytest.mark.parametrize("stage", [0, 1])
def test_the_traceback_begins_in_the_function_that_was_called(schedule: Any, stage: int) -> None:
    def deeper(number: int) -> int:
        raise LookupError(number)

    def outer(number: int) -> int:
        return deeper(number)

    runtime = chain(schedule, *[same, outer] if stage else [outer, same])
    with pytest.raises(OperationError) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    runtime.close()

    assert caught.value.__cause__ is not None
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)]
    assert frames == ["outer", "deeper"]


@depth_first
def test_what_fails_is_told_before_the_next_message_begins(schedule: Any) -> None:
    calls: list[str] = []
    with chain(schedule, noting(calls, "a"), refuse_twos, noting(calls, "c")) as runtime:
        runtime.on_exception(lambda _error: calls.append("told"))
        runtime.process_many(".in", range(4)).wait(SECONDS)

    assert calls == ["a0", "c0", "a1", "c1", "a2", "told", "a3", "c3"]


@depth_first
def test_a_stop_iteration_fails_only_its_message(schedule: Any) -> None:
    empty: list[int] = []
    runtime = chain(schedule, same, lambda number: next(iter(empty)) if number == 1 else number, same)
    run = runtime.process_many(".in", range(3))
    error = failure_of(run)

    assert isinstance(error.__cause__, StopIteration)
    assert [message.data for message in runtime.results(SECONDS)] == [0, 2]
    assert runtime.close().clean


@depth_first
def test_a_builtin_that_raises_is_named_too(schedule: Any) -> None:
    runtime = chain(schedule, str, int, str)
    run = runtime.process_many(".in", ["1", "x", "3"])
    error = failure_of(run)

    assert error.operation == "b"
    assert error.message is not None
    assert error.message.data == "x"
    assert [message.data for message in runtime.results(SECONDS)] == ["1", "3"]
    assert runtime.close().clean


def test_a_system_exit_stops_the_runtime_and_is_raised_again() -> None:
    def leave(number: int) -> int:
        if number == 1:
            raise SystemExit(7)
        return number

    runtime = chain("depth_first", same, leave, same)
    with pytest.raises(SystemExit):
        runtime.process_many(".in", range(3)).wait(SECONDS)
    runtime.close()


@depth_first
def test_whoever_takes_results_gets_each_before_the_next_message_begins(schedule: Any) -> None:
    """B150, B151: each message is worked off to its end."""
    calls: list[str] = []
    with chain(schedule, noting(calls, "a"), noting(calls, "b")) as runtime:
        runtime.on_result(lambda message: calls.append(f"out{message.data}"))
        runtime.process_many(".in", range(20)).wait(SECONDS)

    assert calls == [f"{what}{number}" for number in range(20) for what in ("a", "b", "out")]


@depth_first
def test_a_tap_sees_every_message_at_every_place_from_the_next_chunk_on(schedule: Any) -> None:
    seen: list[str] = []
    with chain(schedule, increment, double) as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [4]
        remove = runtime.on_message(lambda message: seen.append(f"{message.port} {message.data}"))
        assert runtime.process(".in", 2).values(SECONDS) == [6]
        remove()
        assert runtime.process(".in", 3).values(SECONDS) == [8]

    assert seen == ["a 2", "b 3", ".out 6"]


@depth_first
def test_a_chain_that_leads_on_takes_messages_singly(schedule: Any) -> None:
    calls: list[str] = []

    def note_and_emit(data: int, emit: Callable[[int], None]) -> None:
        calls.append(f"c{data}")
        emit(data)

    operations = FlowOperationContainer().add_func("a", noting(calls, "a")).add_func("b", noting(calls, "b"))
    operations.add_action("c", note_and_emit)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> a -> b -> c -> .out")
        runtime.add_operations(operations)
        runtime.process_many(".in", range(2)).wait(SECONDS)

    assert calls == ["a0", "b0", "c0", "a1", "b1", "c1"]


@depth_first
def test_functions_in_a_circle_are_not_fused_without_end(schedule: Any) -> None:
    seen: list[int] = []

    def count(number: int) -> int:
        seen.append(number)
        if number == 5:
            raise LookupError
        return number + 1

    operations = FlowOperationContainer().add_func("a", count).add_func("b", same)
    runtime = FlowRuntime(schedule=schedule).add_operations(operations)
    wire(runtime, ".in -> a -> b -> a")
    with pytest.raises(OperationError):
        runtime.process(".in", 0).wait(SECONDS)
    runtime.close()

    assert seen == [0, 1, 2, 3, 4, 5]


@depth_first
def test_a_chain_longer_than_one_function_goes_on_with_another(schedule: Any) -> None:
    length = 2 * LONGEST_CHAIN + 3
    operations, chain = chain_of(length)
    with runtime_of(operations, f".in -> {chain} -> .out", schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(100))

        assert run.values(SECONDS) == [number + length for number in range(100)]
        assert {row.place: row.calls for row in runtime.meters()} == {
            f"o{number}": 100 for number in range(length)
        }
    assert_ledger(run, accepted=100, delivered=100)


@depth_first
def test_a_change_of_the_flow_changes_the_chain(schedule: Any) -> None:
    with chain(schedule, increment, double) as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [4]
        runtime.add_operations(FlowOperationContainer().add_func("more", increment))
        runtime.add_stream("a", "more").add_stream("more", ".more")

        results = sorted(
            (str(result.port), result.data) for result in runtime.process(".in", 1).results(SECONDS)
        )
    assert results == [(".more", 3), (".out", 4)]


def test_a_slow_chain_gives_way_after_about_a_millisecond() -> None:
    clock = FakeClock()
    order: list[str] = []

    def slow(number: int) -> int:
        clock.advance(0.01)
        order.append(str(number))
        if number == 3:
            runtime.process(".urgent", "urgent", priority=9)
        return number

    operations = (
        FlowOperationContainer().add_func("a", slow).add_func("b", same).add_func("c", noting(order, ""))
    )
    with FlowRuntime(schedule="sync", seams=Seams(clock=clock)) as runtime:
        wire(runtime, ".in -> a -> b -> .out", ".urgent -> c -> .out")
        runtime.add_operations(operations)
        runtime.process_many(".in", range(6)).wait(SECONDS)

    assert order == ["0", "1", "2", "3", "urgent", "4", "5"]


@depth_first
def test_priorities_and_correlation_are_kept(schedule: Any) -> None:
    with chain(schedule, increment, double) as runtime:
        (result,) = runtime.process(Message(".in", 1, "id", 5)).results(SECONDS)

    assert (result.data, result.correlation_id, result.priority) == (4, "id", 5)


@given(
    st.lists(st.integers(0, 6), max_size=40),
    st.lists(st.sampled_from([increment, double, same, refuse_twos]), min_size=1, max_size=6),
    st.sampled_from(DEPTH_FIRST),
)
def test_fused_or_not_the_results_failures_and_books_are_the_same(
    numbers: list[int], functions: list[Callable[[int], int]], schedule: Any
) -> None:
    def outcome(schedule: Any, *, watched: bool) -> Any:
        errors: list[Any] = []
        with chain(schedule, *functions) as runtime:
            runtime.on_exception(errors.append)
            if watched:
                runtime.on_message(lambda _message: None)
            run = runtime.process_many(".in", numbers)
            values = run.values(SECONDS)
            rows = sorted((row.place, row.what, row.reason, row.count) for row in run.ledger.places)
            assert run.ledger.balanced
        told = [(error.operation, error.message.data, error.__notes__) for error in errors]
        return values, told, rows

    fused = outcome(schedule, watched=False)

    assert fused == outcome(schedule, watched=True)
    values, told, rows = outcome("breadth_first", watched=False)
    assert (sorted(fused[0]), sorted(fused[1]), fused[2]) == (sorted(values), sorted(told), rows)


class Full(Gather):
    """A gather that overloads its third run, with all it is handed."""

    def handle_many(self, state: Any, batch: Any, emit: Any) -> None:
        if batch.port == "stream" and batch.scope.run.number == 3:
            raise FlowOverloadError("it is full")
        super().handle_many(state, batch, emit)


@pytest.mark.parametrize("schedule", ["breadth_first", *DEPTH_FIRST])
def test_a_message_that_fails_behind_those_that_overloaded_their_run_is_not_counted_again(
    schedule: Any,
) -> None:
    operations = FlowOperationContainer().add_func("check", lambda item: 1 // item)
    operations.add_operation(Scatter("scatter")).add_operation(Full("gather"))
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> scatter", "scatter.stream -> check -> gather.stream", "gather -> .out")
        runtime.add_operations(operations)
        for _ in range(2):  # so that the next list goes through at once
            runtime.process(".in", [1] * 50).wait(SECONDS)
        run = runtime.process(".in", [*[1] * 20, 0, *[1] * 20])

        with pytest.raises(FlowOverloadError):
            run.wait(SECONDS)
        assert len(run.failures) == 1
        assert run.ledger.balanced
        assert runtime._owner.engine.books.live == 0


@depth_first
def test_what_waits_of_a_cancelled_run_is_not_called_any_more(schedule: Any) -> None:
    calls: list[int] = []
    runs: list[Run] = []

    def work(number: int) -> int:
        calls.append(number)
        runs[0].cancel()
        return number

    def send(_: Any) -> None:
        runs.append(runtime.process_many(".in", [1, 2, 3]))

    operations = (
        FlowOperationContainer().add_func("work", work).add_func("then", same).add_action("send", send)
    )
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> work -> then -> .out", ".go -> send")
        runtime.add_operations(operations)
        runtime.process(".go").wait(SECONDS)
        runtime.wait_idle(SECONDS)

        assert calls == [1]
        assert_ledger(runs[0], accepted=3, delivered=1, discarded=2)
