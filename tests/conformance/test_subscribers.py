"""Taps, handlers and subscribers to results: what each is told, when, and for how long."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flowrt import FlowError, FlowRuntime, Message, Port
from tests.kit import flows
from tests.kit.functions import SECONDS, double, increment, refuse, same

# --- Taps


@flows.every_mode
def test_a_tap_sees_every_message_about_to_enter_an_operation_or_to_leave(bench: flows.Bench) -> None:
    """B055, B056."""
    seen: list[Message] = []
    with bench.wired(
        ".in -> a.x", "a -> .left", "a -> b -> .right", funcs={"a": increment, "b": double}
    ) as runtime:
        runtime.on_message(seen.append)

        runtime.process(".in", 1, correlation_id="id").wait(timeout=SECONDS)

    assert {type(message.port) for message in seen} == {Port}
    assert sorted((message.port.fullname, message.data, message.correlation_id) for message in seen) == [
        (".left", 2, "id"),
        (".right", 4, "id"),
        ("a.x", 1, "id"),
        ("b", 2, "id"),
    ]


@flows.every_mode
def test_a_tap_sees_a_message_before_the_operation_does(bench: flows.Bench) -> None:
    """B055."""
    events: list[tuple[str, Any]] = []

    def work(data: int) -> int:
        events.append(("call", data))
        return data

    with bench.wired(".in -> work -> .out", funcs={"work": work}) as runtime:
        runtime.on_message(
            lambda message: events.append((message.port.operation or message.port.name, message.data))
        )

        runtime.process_many(".in", range(20)).wait(timeout=SECONDS)

    for number in range(20):
        assert [event for event, data in events if data == number] == ["work", "call", "out"]


@flows.every_mode
def test_a_removed_tap_sees_nothing_more(bench: flows.Bench) -> None:
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        flows.wire(runtime, ".in -> .out")
        remove = runtime.on_message(seen.append)
        runtime.process(".in", 1).wait(timeout=SECONDS)

        remove()
        runtime.process(".in", 2).wait(timeout=SECONDS)

    assert [message.data for message in seen] == [1]


@flows.one_thread
def test_a_tap_is_called_on_the_thread_that_works_on_the_message(bench: flows.Bench) -> None:
    """B055."""
    threads: list[threading.Thread] = []

    def work(data: Any) -> Any:
        threads.append(threading.current_thread())
        return data

    with bench.wired(".in -> work -> .out", funcs={"work": work}) as runtime:
        runtime.on_message(lambda message: threads.append(threading.current_thread()))

        runtime.process(".in", 1).wait(SECONDS)

    assert len(threads) == 3
    assert len(set(threads)) == 1


@flows.every_mode
def test_a_tap_is_not_shown_what_no_stream_takes(bench: flows.Bench) -> None:
    """B056."""
    seen: list[Message] = []
    with bench.wired(".in -> a", funcs={"a": double}) as runtime:
        runtime.on_message(seen.append)

        runtime.process(".in", 1).wait(SECONDS)
        runtime.emit_from("a", 2).wait(SECONDS)
        runtime.process_many(".in", [3]).wait(SECONDS)

    assert [(message.port.fullname, message.data) for message in seen] == [("a", 1), ("a", 3)]


@flows.every_mode
def test_every_tap_and_every_handler_is_told(bench: flows.Bench) -> None:
    """B055, B130."""
    taps: list[list[Message]] = [[], []]
    told: list[list[Any]] = [[], []]
    with bench.wired(".in -> a -> .out", funcs={"a": refuse}) as runtime:
        for tap, errors in zip(taps, told, strict=True):
            runtime.on_message(tap.append)
            runtime.on_exception(errors.append)

        runtime.process(".in", 1).wait(SECONDS)

    assert [[message.data for message in tap] for tap in taps] == [[1], [1]]
    assert [len(errors) for errors in told] == [1, 1]
    assert told[0] == told[1]


# --- Subscribers that raise


@flows.every_mode
@pytest.mark.parametrize("subscribe", ["on_message", "on_result"])
def test_a_subscriber_that_raises_is_reported_and_the_flow_goes_on(
    bench: flows.Bench, subscribe: str
) -> None:
    """B137."""
    reported: list[BaseException] = []

    def broken(message: Message) -> None:
        raise LookupError("broken subscriber")

    with bench.wired(".in -> a -> .out", "a -> .other", funcs={"a": increment}) as runtime:
        runtime.on_exception(reported.append)
        getattr(runtime, subscribe)(broken)

        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    assert run.failure is None
    assert flows.counters(run)["delivered"] == 2
    assert reported
    assert all(isinstance(cause(error), LookupError) for error in reported)


def cause(error: BaseException) -> BaseException:
    return error.__cause__ or error


@flows.every_mode
def test_a_subscriber_that_raises_at_results_that_waited_gets_the_others_too(bench: flows.Bench) -> None:
    """B137, B190, B191, B193."""
    got: list[int] = []
    reported: list[BaseException] = []

    def broken(message: Message) -> None:
        got.append(message.data)
        raise LookupError("broken subscriber")

    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        runtime.on_exception(reported.append)
        runtime.process_many(".in", range(3)).wait(timeout=SECONDS)
        runtime.on_result(broken)
        runtime.process(".in", 3).wait(timeout=SECONDS)

    assert sorted(got) == [1, 2, 3, 4]
    assert [type(cause(error)) for error in reported] == [LookupError] * 4


@flows.every_mode
@pytest.mark.parametrize("subscribe", ["on_message", "on_result"])
def test_a_subscriber_that_raises_is_reported_by_close_when_nobody_listens(
    bench: flows.Bench, subscribe: str
) -> None:
    """B137."""

    def broken(message: Message) -> None:
        raise LookupError("broken subscriber")

    runtime = bench.make_runtime()
    flows.wire(runtime, ".in -> .out")
    getattr(runtime, subscribe)(broken)
    run = runtime.process(".in", 1)
    run.wait(timeout=SECONDS)

    with pytest.raises(Exception) as caught:
        runtime.close()

    assert run.failure is None
    assert isinstance(cause(caught.value), LookupError)


# --- Subscribers to results


@flows.every_mode
def test_on_result_gets_the_buffered_results_first_and_then_the_later_ones(bench: flows.Bench) -> None:
    """B190, B191: kept until somebody subscribes, and again when the last subscriber has gone."""
    got: list[Any] = []
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        for number in (1, 2):
            runtime.process(".in", number)
            runtime.wait_idle(timeout=SECONDS)

        remove = runtime.on_result(lambda message: got.append(message.data))
        runtime.process(".in", 3)
        runtime.wait_idle(timeout=SECONDS)
        remove()
        runtime.process(".in", 4)
        later = runtime.wait_for_result(timeout=SECONDS)

    assert got == [2, 3, 4]
    assert later.data == 5


@flows.every_mode
def test_results_are_buffered_again_when_the_last_subscriber_has_gone_and_a_second_gets_the_new_ones(
    bench: flows.Bench,
) -> None:
    """B190, B191."""
    first: list[int] = []
    second: list[int] = []
    with bench.wired(".in -> work -> .out", funcs={"work": same}) as runtime:

        def send(number: int) -> None:
            runtime.process(".in", number)
            runtime.wait_idle(SECONDS)

        send(1)
        remove_first = runtime.on_result(lambda message: first.append(message.data))
        send(2)
        remove_second = runtime.on_result(lambda message: second.append(message.data))
        send(3)
        remove_first()
        send(4)
        remove_second()
        send(5)

        assert runtime.wait_for_result(SECONDS).data == 5
    assert first == [1, 2, 3]
    assert second == [3, 4]


@flows.by_schedule
def test_no_result_is_stuck_between_who_subscribes_and_who_sends(schedule: Any) -> None:
    """B197 (BUG): there, a result may be put away just after the last look for one. In every order: test_caller_schedules.py."""
    got: list[int] = []
    with FlowRuntime(schedule=schedule) as runtime:
        flows.wire(runtime, ".in -> .out")
        sender = threading.Thread(target=lambda: [runtime.process(".in", number) for number in range(500)])
        sender.start()
        for _ in range(50):
            remove = runtime.on_result(lambda message: got.append(message.data))
            remove()
        sender.join(SECONDS)
        runtime.wait_idle(SECONDS)
        runtime.on_result(lambda message: got.append(message.data))
        runtime.wait_idle(SECONDS)

        assert got == list(range(500))


@pytest.mark.parametrize("hook", ["on_message", "on_result", "on_exception"])
def test_a_subscriber_must_be_callable(hook: str) -> None:
    with flows.runtime_of(flows.work_of("sync")) as runtime, pytest.raises(FlowError) as caught:
        getattr(runtime, hook)(5)

    assert str(caught.value) == f"{hook} takes a function of one argument, got int."


@flows.by_schedule_or_simulated
def test_a_subscriber_may_be_removed_any_number_of_times(schedule: Any) -> None:
    seen: list[Any] = []
    with flows.runtime_of(flows.work_of("sync"), schedule=schedule) as runtime:
        remove = runtime.on_result(lambda message: seen.append(message.data))
        runtime.process(".in", 1).wait(SECONDS)
        remove()
        remove()

        assert runtime.process(".in", 2).values(SECONDS) == [2]
    assert seen == [1]


@flows.by_schedule_or_simulated
def test_a_subscriber_that_comes_late_gets_what_waits_first(schedule: Any) -> None:
    """B190, B193."""
    seen: list[Any] = []
    with flows.runtime_of(flows.work_of("sync"), schedule=schedule) as runtime:
        for number in range(3):
            runtime.process(".in", number).wait(SECONDS)
        runtime.on_result(lambda message: seen.append(message.data))
        runtime.process(".in", 3).wait(SECONDS)

    assert seen == [0, 1, 2, 3]


@flows.by_schedule_or_simulated
def test_a_handler_that_removes_itself_leaves_the_rest_to_be_read(schedule: Any) -> None:
    """B191."""
    seen: list[Any] = []

    def take_two(message: Any) -> None:
        seen.append(message.data)
        if len(seen) == 2:
            remove()

    with flows.runtime_of(flows.work_of("sync"), schedule=schedule) as runtime:
        remove = runtime.on_result(take_two)
        run = runtime.process_many(".in", range(5))

        assert run.values(SECONDS) == [2, 3, 4]
    assert seen == [0, 1]
