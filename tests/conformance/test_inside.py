"""What operations, handlers and event processors do to their own runtime: they may send, and must not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Message, Run
from flowrt.errors import FlowOverloadError, FlowStalledError, OperationError
from tests.kit.flows import Bench, by_schedule, every_mode, few_modes, real_queues, wire
from tests.kit.functions import SECONDS, Gate, increment, input_of, on_thread, refuse, same

# --- Input from inside


@every_mode
def test_an_operation_may_process_more_input(bench: Bench) -> None:
    runs: list[Any] = []
    with bench.make_runtime() as runtime:

        def fork(data: int) -> int:
            if data:
                runs.append(runtime.process(".in", data - 1))
            return data

        runtime.add_operations(bench.operations(funcs={"fork": fork}))
        wire(runtime, ".in -> fork -> .out")

        first = runtime.process(".in", 5)
        runtime.wait_idle(timeout=SECONDS)

        assert first.values(timeout=SECONDS) == [5]
        assert [run.values(timeout=SECONDS) for run in runs] == [[4], [3], [2], [1], [0]]


@every_mode
def test_many_inputs_of_an_operation_may_go_past_the_capacity(bench: Bench) -> None:
    with bench.make_runtime(capacity=4) as runtime:

        def burst(data: int) -> None:
            for number in range(100):
                runtime.process(".work", number)
            runtime.process_many(".work", range(100, 200))

        runtime.add_operations(bench.operations(actions={"burst": burst}, funcs={"work": increment}))
        wire(runtime, ".in -> burst", ".work -> work -> .out")

        runtime.process(".in").wait(timeout=SECONDS)
        values = [message.data for message in runtime.results(timeout=SECONDS)]

    assert sorted(values) == list(range(1, 201))


@every_mode
@pytest.mark.parametrize("subscribe", ["on_message", "on_result"])
def test_subscribers_may_process_more_input(bench: Bench, subscribe: str) -> None:
    seen: list[int] = []
    with bench.make_runtime() as runtime:

        def again(message: Message) -> None:
            if message.port.name == "out":
                seen.append(message.data)
                if message.data < 5:
                    runtime.process(".in", message.data)

        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        getattr(runtime, subscribe)(again)

        runtime.process(".in", 0)
        runtime.wait_idle(timeout=SECONDS)

    assert seen == [1, 2, 3, 4, 5]


@every_mode
def test_an_exception_handler_may_process_more_input(bench: Bench) -> None:
    with bench.wired(".in -> refuse -> .out", ".instead -> .out", funcs={"refuse": refuse}) as runtime:

        def instead(error: Any) -> None:
            runtime.process(".instead", input_of(error) * 10)

        runtime.on_exception(instead)

        runtime.process(".in", 4)

        assert runtime.wait_for_result(timeout=SECONDS).data == 40


class Mishap(Exception): ...


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

    runtime = bench.wired(
        ".in -> work -> .out", ".side -> side -> .aside", funcs={"work": maybe_send, "side": same}, capacity=1
    )
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

    runtime = bench.wired(
        ".in -> burst",
        "burst.result -> .out",
        "burst.on -> send",
        ".side -> .out",
        actions={"burst": burst},
        funcs={"send": lambda number: runtime.process(".side", number)},
        max_results=10,
        name="f26",
    )
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


# --- Waits inside


@few_modes
@pytest.mark.parametrize("where", ["operation", "tap", "result handler"])
@pytest.mark.parametrize("wait", ["run.wait", "run.result", "run.values", "wait_for_result", "wait_idle"])
def test_a_wait_inside_the_runtime_raises_at_once(bench: Bench, where: str, wait: str) -> None:
    raised: list[BaseException] = []
    with bench.make_runtime() as runtime:

        def waits(data: Any) -> None:
            run = runtime.process(".other")
            owner, name = (run, wait[4:]) if wait.startswith("run.") else (runtime, wait)
            try:
                getattr(owner, name)(timeout=SECONDS)
            except FlowStalledError as error:
                raised.append(error)

        runtime.add_operations(bench.operations(funcs={"work": waits if where == "operation" else same}))
        wire(runtime, ".in -> work -> .out", ".other -> .end")
        if where == "tap":
            runtime.on_message(lambda message: waits(message) if message.port.operation else None)
        elif where == "result handler":
            runtime.on_result(lambda message: waits(message) if message.port.name == "out" else None)

        runtime.process(".in").wait(timeout=SECONDS)
        runtime.wait_idle(timeout=SECONDS)

    assert len(raised) == 1


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


# --- Event processors


@every_mode
def test_event_processors_post_to_their_port(bench: Bench) -> None:
    """B198."""
    with bench.wired(".event -> a -> .out", funcs={"a": repr}) as runtime:
        post = runtime.event_processor(".event")

        post("tick")
        first = runtime.wait_for_result(timeout=SECONDS).data
        on_thread(post)
        second = runtime.wait_for_result(timeout=SECONDS).data

    assert (first, second) == ("'tick'", "None")


@by_schedule
def test_an_event_processor_sends_from_any_thread_with_or_without_data(schedule: Any) -> None:
    """B198."""
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> .out")
        send = runtime.event_processor(".in")
        for arguments in ((), (5,)):
            caller = threading.Thread(target=send, args=arguments)
            caller.start()
            caller.join(SECONDS)

        assert [runtime.wait_for_result(SECONDS).data for _ in range(2)] == [None, 5]
