"""What reaches upstream, what operations do to their own runtime, and what we do wrong ourselves: F16, F26, F27, F32 of the table of faults.

Where the design decides otherwise than the table does, the design is tested, and a line says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from flowrt import (
    FlowError,
    FlowInternalError,
    FlowOperationContainer,
    FlowOverloadError,
    FlowRuntime,
    FlowStalledError,
    FlowStoppedError,
    OperationError,
    Run,
)
from flowrt.engine.schedules import BreadthFirst
from flowrt.executors.seams import Seams
from tests.kit.flows import (
    SECONDS,
    Bench,
    Gate,
    assert_ledger,
    every_mode,
    on_thread,
    real_queues,
    same,
    wire,
)


class Mishap(Exception): ...


# --- F16: downstream is dead, upstream waits for room


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt])
@real_queues
def test_f16_upstream_is_told_when_downstream_stops_everything(
    bench: Bench, death: type[BaseException]
) -> None:
    """By the design an operation that raises is not dead: only what ends the program ends the consumer for good."""
    pulled: list[int] = []
    ended: list[BaseException] = []

    def consume(number: int) -> None:
        if number == 50:
            raise death(1)

    def endless() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    runtime = bench.make_runtime(name="f16", capacity=4)
    runtime.add_operations(bench.operations(funcs={"consume": consume}))
    wire(runtime, ".in -> consume -> .out")
    runtime.on_result(lambda _: None)

    def feed() -> None:
        try:
            runtime.process_many(".in", endless())
        except (FlowError, SystemExit, KeyboardInterrupt) as error:
            ended.append(error)

    on_thread(feed)  # returns at all

    assert isinstance(ended[0], FlowStoppedError | death)
    assert 50 < len(pulled) < 50 + 300  # at most a batch more than there was room for
    with pytest.raises((FlowStoppedError, death)):
        runtime.process(".in", 1)
    try:
        assert runtime.close().abandoned == ()
    except death:
        assert runtime.close().abandoned == ()


@every_mode
def test_f16_an_operation_that_fails_each_time_never_holds_upstream_back(bench: Bench) -> None:
    def fail(_: Any) -> None:
        raise Mishap

    heard: list[BaseException] = []
    with bench.make_runtime(capacity=2) as runtime:
        runtime.on_exception(heard.append)
        runtime.add_operations(bench.operations(funcs={"fail": fail}))
        wire(runtime, ".in -> fail -> .out")
        run = runtime.process_many(".in", range(100), timeout=SECONDS)
        run.wait(SECONDS)

        assert_ledger(run, accepted=100, failed=100)
        assert len(heard) == 100


# --- F26: input from inside


@pytest.mark.parametrize("place", ["operation", "on_result", "on_message", "on_exception"])
@every_mode
def test_f26_input_from_inside_is_queued_and_neither_nested_nor_held_back(bench: Bench, place: str) -> None:
    """The table bounds it by `max_in_flight`; by the design it never blocks, and only the bounds on live messages and results end it."""
    inside: list[int] = []  # how deep in `send` each thread is
    depths: list[int] = []
    runs: list[Run] = []

    def send(_: Any) -> None:
        inside.append(1)
        for _ in range(20):
            runs.append(runtime.process(".side", 1))
            depths.append(len(inside))
        inside.pop()

    def maybe_send(data: Any) -> Any:
        if place == "operation" or isinstance(data, Exception):
            send(data)
        elif place == "on_exception":
            raise Mishap
        return data

    runtime = bench.make_runtime(capacity=1)
    runtime.add_operations(bench.operations(funcs={"work": maybe_send, "side": same}))
    wire(runtime, ".in -> work -> .out", ".side -> side -> .aside")
    if place != "operation":
        done: list[int] = []

        def once(_: Any) -> None:
            if not done:
                done.append(1)
                send(None)

        getattr(runtime, place)(once)
    with runtime:
        first = runtime.process(".in", 5)
        first.wait(SECONDS)
        runtime.wait_idle(SECONDS)
        assert len(runs) == 20
        assert set(depths) == {1}
        assert all(run.done and run.failure is None for run in runs)
        assert {run.ledger.accepted for run in runs} == {1}


@every_mode
def test_f26_input_from_inside_past_a_bound_is_refused_in_the_operation(bench: Bench) -> None:
    """Ten results are left unread, and an operation sends more."""

    def burst(number: int, result: Callable[[int], None], on: Callable[[int], None]) -> None:
        for each in range(number):
            result(each)
        on(number)

    runtime = bench.make_runtime(max_results=10, name="f26")
    runtime.add_operations(
        bench.operations(
            actions={"burst": burst}, funcs={"send": lambda number: runtime.process(".side", number)}
        )
    )
    wire(runtime, ".in -> burst", "burst.result -> .out", "burst.on -> send", ".side -> .out")
    with pytest.raises(OperationError) as caught:
        runtime.process(".in", 10).wait(SECONDS)

    assert isinstance(caught.value.__cause__, FlowOverloadError)
    assert str(caught.value.__cause__).startswith('runtime "f26" holds max_results=10 unread results. ')
    assert sorted(message.data for message in runtime.results(SECONDS)) == list(range(10))
    assert runtime.process(".in", 3).values(SECONDS) == [0, 1, 2]
    runtime.wait_idle(SECONDS)
    assert runtime.close().clean


@real_queues
def test_f26_too_much_input_from_inside_is_refused_in_the_operation_that_sends_it(bench: Bench) -> None:
    """What was sent before is worked off; the operation may catch the error, and send again when there is room."""
    gate = Gate()
    runs: list[Run] = []

    def send(number: int) -> None:
        runs.extend(runtime.process(".side", each) for each in range(number))

    runtime = bench.make_runtime(capacity=1, max_live=50, name="f26")
    operations = FlowOperationContainer().add_func("hold", gate).make_async()
    runtime.add_operations(operations).add_operations(bench.operations(actions={"send": send}))
    wire(runtime, ".in -> send", ".side -> hold -> .out")
    with pytest.raises(OperationError) as caught:
        runtime.process(".in", 10**9).wait(SECONDS)
    gate.open()
    runtime.wait_idle(SECONDS)

    assert isinstance(caught.value.__cause__, FlowOverloadError)
    assert str(caught.value.__cause__).startswith(
        'runtime "f26" already has max_live=50 inputs live or waiting'
    )
    assert 49 <= len(runs) <= 50  # with the input of the sender itself
    assert [run.values(SECONDS) for run in runs] == [[number] for number in range(len(runs))]
    assert all(run.ledger.balanced for run in runs)
    runtime.process(".in", 10).wait(SECONDS)
    runtime.wait_idle(SECONDS)
    assert [run.values(SECONDS) for run in runs[-10:]] == [[number] for number in range(10)]
    assert runtime.close().clean


# --- F27: a wait inside


@pytest.mark.parametrize("wait", ["run", "result", "values", "next", "results", "idle"])
@every_mode
def test_f27_a_wait_inside_is_refused_at_once_and_says_what_to_do(bench: Bench, wait: str) -> None:
    waited: list[str] = []
    runtime = bench.make_runtime()

    def work(data: Any) -> Any:
        run = runtime.process(".side", data)
        waits: dict[str, Callable[[], Any]] = {
            "run": run.wait,
            "result": run.result,
            "values": run.values,
            "next": runtime.wait_for_result,
            "results": lambda: list(runtime.results()),
            "idle": runtime.wait_idle,
        }
        try:
            waits[wait]()
        except FlowStalledError as error:
            waited.append(str(error))
        return data

    runtime.add_operations(bench.operations(funcs={"work": work}))
    wire(runtime, ".in -> work -> .out", ".side -> .aside")
    with runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [1]

    assert len(waited) == 1
    assert "it would wait for itself" in waited[0]
    assert "Emit a message instead of waiting, or wait outside the flow." in waited[0]


# --- F32: flowrt itself is at fault


class Forgetful(BreadthFirst):
    """A schedule with a bug that shows late."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def take(self) -> Any:
        self._taken += 1
        if self._taken > 5:
            raise IndexError("of ours")
        return super().take()


@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_f32_a_bug_of_ours_is_named_stops_everything_and_touches_no_other_runtime(mode: str) -> None:
    """The table attaches the last events; by the design the cause is chained, and a runtime that met a bug goes no further."""
    seen: list[int] = []

    def note(number: int) -> int:
        seen.append(number)
        return number

    operations = FlowOperationContainer().add_func("note", note)
    if mode != "sync":
        getattr(operations, f"make_{mode}")()
    healthy = FlowRuntime(name="healthy").add_operations(operations)
    faulty = FlowRuntime(name="faulty", seams=Seams(schedule=Forgetful)).add_operations(operations)
    wire(healthy, ".in -> note -> .out")
    wire(faulty, ".in -> note -> .out")
    runs = []
    with pytest.raises(FlowError) as caught:
        for number in range(100):
            runs.append(faulty.process(".in", number))
            runs[-1].wait(SECONDS)
    before = len(seen)

    errors: list[BaseException] = [caught.value]
    while errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__)
    assert isinstance(errors[-1], IndexError)
    assert isinstance(errors[-2], FlowInternalError)
    assert str(errors[-2]).startswith(
        "this is a bug in flowrt (IndexError in its engine): the runtime was stopped"
    )
    with pytest.raises(FlowStoppedError):
        faulty.process(".in", 1)
    assert faulty.close().abandoned == ()
    assert len(seen) == before
    assert all(run.done or run.books is None for run in runs)
    assert healthy.process(".in", 7).values(SECONDS) == [7]
    assert healthy.close().clean
