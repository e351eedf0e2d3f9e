"""One suite for all modes and schedules: failures, results, runs and whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowError,
    FlowStalledError,
    FlowTimeoutError,
    Message,
    OperationError,
    Port,
    Run,
)
from flowrt.testing import simulated
from tests.kit.flows import (
    MODES,
    SCHEDULES,
    SECONDS,
    Bench,
    Gate,
    arrived,
    assert_ledger,
    countdown,
    counters,
    double,
    every_mode,
    few_modes,
    increment,
    input_of,
    on_thread,
    real_queues,
    refuse,
    results_of,
    same,
    thrice,
    wire,
)

# --- Failures


@every_mode
def test_stop_iteration_from_a_function_fails_only_its_item(bench: Bench) -> None:
    def pick(number: int) -> int:
        if number == 3:
            raise StopIteration
        return number

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"pick": pick, "pass": same}))
        wire(runtime, ".in -> pick -> pass -> .out")

        run = runtime.process_many(".in", range(8))
        values = [message.data for message in results_of(run)]

    assert sorted(values) == [0, 1, 2, 4, 5, 6, 7]
    assert [type(error.__cause__) for error in run.failures] == [StopIteration]
    assert input_of(run.failures[0]) == 3
    assert_ledger(run, accepted=8, delivered=7, failed=1)


@every_mode
def test_a_failed_item_leaves_the_order_of_the_others_alone(bench: Bench) -> None:
    def odd_only(number: int) -> int:
        if number % 2 == 0:
            raise ValueError("even")
        return number

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"odd": odd_only, "pass": same}))
        wire(runtime, ".in -> odd -> pass -> .out")

        run = runtime.process_many(".in", range(100))
        values = [message.data for message in results_of(run)]

    assert bench.arranged(values) == bench.arranged(range(1, 100, 2))
    assert sorted(input_of(error) for error in run.failures) == list(range(0, 100, 2))


@every_mode
def test_an_operation_error_says_where_and_keeps_the_original(bench: Bench) -> None:
    """B133."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"pass": same, "Refuse": refuse}))
        wire(runtime, ".in -> pass -> refuse -> .out")

        run = runtime.process(".in", 5, correlation_id="an id", priority=3)
        with pytest.raises(OperationError, match="Refuse") as caught:
            run.result(timeout=SECONDS)

    error = caught.value
    assert error.operation.casefold() == "refuse"
    assert error.message is not None
    assert (error.message.data, error.message.correlation_id, error.message.priority) == (5, "an id", 3)
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.args == ("refused",)
    assert any(".in → pass → " in note.casefold() for note in error.__notes__)


@every_mode
def test_the_failure_of_one_run_does_not_stop_another(bench: Bench) -> None:
    def check(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"check": check, "pass": same}))
        wire(runtime, ".in -> check -> pass -> .out")

        runs = [runtime.process(".in", number) for number in (1, -1, 2, -2, 3)]
        outcomes = [outcome_of(run) for run in runs]

    assert outcomes == [[1], ValueError, [2], ValueError, [3]]


def outcome_of(run: Run) -> Any:
    try:
        return run.values(timeout=SECONDS)
    except OperationError as error:
        return type(error.__cause__)


@every_mode
def test_what_an_action_emitted_before_it_raised_goes_on(bench: Bench) -> None:
    def two_then_raise(data: int, on_data: Callable[[int], None]) -> None:
        on_data(data)
        on_data(data + 1)
        raise ValueError("no third")

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"two": two_then_raise}, funcs={"pass": same}))
        wire(runtime, ".in -> two -> pass -> .out")

        run = runtime.process(".in", 5)
        values = [message.data for message in results_of(run)]

    assert bench.arranged(values) == [5, 6]
    assert_ledger(run, accepted=1, born=2, delivered=2, failed=1)


@every_mode
def test_wait_for_result_gives_results_and_raises_failures(bench: Bench) -> None:
    """B192."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> .out", ".bad -> refuse")
        for port in (".in", ".bad", ".in"):
            runtime.process(port, port)
            runtime.wait_idle(timeout=SECONDS)

        assert runtime.wait_for_result(timeout=SECONDS).data == ".in"
        with pytest.raises(OperationError):
            runtime.wait_for_result(timeout=SECONDS)
        assert runtime.wait_for_result(timeout=SECONDS).data == ".in"


@every_mode
def test_a_failure_nobody_read_is_raised_when_the_runtime_closes(bench: Bench) -> None:
    """B132."""
    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
    wire(runtime, ".in -> refuse -> .out")

    with pytest.raises(OperationError) as caught, runtime:
        runtime.process(".in", 1)

    assert isinstance(caught.value.__cause__, ValueError)


@every_mode
def test_several_failures_nobody_read_are_raised_as_a_group(bench: Bench) -> None:
    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
    wire(runtime, ".in -> refuse -> .out")

    with pytest.raises(ExceptionGroup) as caught, runtime:
        runtime.process(".in", 1)
        runtime.process(".in", 2)

    assert sorted(input_of(error) for error in caught.value.exceptions) == [1, 2]


@every_mode
def test_a_failure_somebody_saw_is_not_raised_again_at_the_close(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> refuse -> .out")

        with pytest.raises(OperationError):
            runtime.process(".in", 1).wait(timeout=SECONDS)


@every_mode
def test_an_exception_handler_takes_the_failures_so_that_the_run_does_not_fail(bench: Bench) -> None:
    """B130, B136."""
    taken: list[OperationError] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> refuse -> .out", ".in -> .through")
        runtime.on_exception(taken.append)

        run = runtime.process(".in", 1)
        values = run.values(timeout=SECONDS)

    assert values == [1]
    assert (run.failure, list(run.failures)) == (None, [])
    assert [(error.operation, input_of(error)) for error in taken] == [("refuse", 1)]
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


@every_mode
def test_a_removed_exception_handler_takes_no_more(bench: Bench) -> None:
    taken: list[OperationError] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> refuse -> .out")
        remove = runtime.on_exception(taken.append)
        runtime.process(".in", 1).wait(timeout=SECONDS)

        remove()

        with pytest.raises(OperationError):
            runtime.process(".in", 2).wait(timeout=SECONDS)
    assert [input_of(error) for error in taken] == [1]


# --- Taps, results, subscribers


@every_mode
def test_a_tap_sees_every_message_about_to_enter_an_operation_or_to_leave(bench: Bench) -> None:
    """B055, B056."""
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment, "b": double}))
        wire(runtime, ".in -> a.x", "a -> .left", "a -> b -> .right")
        runtime.on_message(seen.append)

        runtime.process(".in", 1, correlation_id="id").wait(timeout=SECONDS)

    assert {type(message.port) for message in seen} == {Port}
    assert sorted((message.port.fullname, message.data, message.correlation_id) for message in seen) == [
        (".left", 2, "id"),
        (".right", 4, "id"),
        ("a.x", 1, "id"),
        ("b", 2, "id"),
    ]


@every_mode
def test_a_tap_sees_a_message_before_the_operation_does(bench: Bench) -> None:
    """B055."""
    events: list[tuple[str, Any]] = []

    def work(data: int) -> int:
        events.append(("call", data))
        return data

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": work}))
        wire(runtime, ".in -> work -> .out")
        runtime.on_message(
            lambda message: events.append((message.port.operation or message.port.name, message.data))
        )

        runtime.process_many(".in", range(20)).wait(timeout=SECONDS)

    for number in range(20):
        assert [event for event, data in events if data == number] == ["work", "call", "out"]


@every_mode
def test_a_removed_tap_sees_nothing_more(bench: Bench) -> None:
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> .out")
        remove = runtime.on_message(seen.append)
        runtime.process(".in", 1).wait(timeout=SECONDS)

        remove()
        runtime.process(".in", 2).wait(timeout=SECONDS)

    assert [message.data for message in seen] == [1]


@every_mode
@pytest.mark.parametrize("subscribe", ["on_message", "on_result"])
def test_a_subscriber_that_raises_is_reported_and_the_flow_goes_on(bench: Bench, subscribe: str) -> None:
    """B137."""
    reported: list[BaseException] = []

    def broken(message: Message) -> None:
        raise LookupError("broken subscriber")

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out", "a -> .other")
        runtime.on_exception(reported.append)
        getattr(runtime, subscribe)(broken)

        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    assert run.failure is None
    assert counters(run)["delivered"] == 2
    assert reported
    assert all(isinstance(cause(error), LookupError) for error in reported)


def cause(error: BaseException) -> BaseException:
    return error.__cause__ or error


@every_mode
def test_a_subscriber_that_raises_at_results_that_waited_gets_the_others_too(bench: Bench) -> None:
    """B137, B190, B191, B193."""
    got: list[int] = []
    reported: list[BaseException] = []

    def broken(message: Message) -> None:
        got.append(message.data)
        raise LookupError("broken subscriber")

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        runtime.on_exception(reported.append)
        runtime.process_many(".in", range(3)).wait(timeout=SECONDS)
        runtime.on_result(broken)
        runtime.process(".in", 3).wait(timeout=SECONDS)

    assert sorted(got) == [1, 2, 3, 4]
    assert [type(cause(error)) for error in reported] == [LookupError] * 4


@every_mode
@pytest.mark.parametrize("subscribe", ["on_message", "on_result"])
def test_a_subscriber_that_raises_is_reported_by_close_when_nobody_listens(
    bench: Bench, subscribe: str
) -> None:
    """B137."""

    def broken(message: Message) -> None:
        raise LookupError("broken subscriber")

    runtime = bench.make_runtime()
    wire(runtime, ".in -> .out")
    getattr(runtime, subscribe)(broken)
    run = runtime.process(".in", 1)
    run.wait(timeout=SECONDS)

    with pytest.raises(Exception) as caught:
        runtime.close()

    assert run.failure is None
    assert isinstance(cause(caught.value), LookupError)


@every_mode
def test_on_result_gets_the_buffered_results_first_and_then_the_later_ones(bench: Bench) -> None:
    """B190, B191: kept until somebody subscribes, and again when the last subscriber has gone."""
    got: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
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


@every_mode
def test_every_result_goes_to_one_reader(bench: Bench) -> None:
    """B192, B193: each wait gives the next, as long as there are any."""
    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> .out")
        runtime.process_many(".in", range(3)).wait(timeout=SECONDS)

        read = [runtime.wait_for_result(timeout=SECONDS).data for _ in range(3)]

        assert read == [0, 1, 2]
        with pytest.raises(FlowTimeoutError):
            runtime.wait_for_result(timeout=0.01)


@every_mode
def test_the_first_result_of_a_run_is_taken_alone_and_the_others_stay_for_who_reads_them(
    bench: Bench,
) -> None:
    """B190, B193."""
    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> .out")
        run = runtime.process_many(".in", range(6))
        run.wait(timeout=SECONDS)

        assert [run.result(SECONDS).data for _ in range(2)] == [0, 0]
        assert [runtime.wait_for_result(SECONDS).data for _ in range(2)] == [1, 2]
        assert next(run.results(SECONDS)).data == 3
        assert run.values(SECONDS) == [4, 5]


@every_mode
@pytest.mark.parametrize("read", ["result", "results", "values"])
def test_reading_through_the_run_takes_the_results_from_the_runtime_too(bench: Bench, read: str) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        other = runtime.process(".in", 100)
        other.wait(timeout=SECONDS)

        run = runtime.process(".in", 1)
        read_data = {
            "result": lambda: [run.result(timeout=SECONDS).data],
            "results": lambda: [message.data for message in run.results()],
            "values": lambda: run.values(timeout=SECONDS),
        }[read]()

        assert read_data == [2]
        assert runtime.wait_for_result(timeout=SECONDS).data == 101
        with pytest.raises(FlowTimeoutError):
            runtime.wait_for_result(timeout=0.01)


@every_mode
def test_results_of_the_runtime_end_when_it_is_idle(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        for number in range(20):
            runtime.process(".in", number)

        messages = list(runtime.results(timeout=SECONDS))

        assert list(runtime.results(timeout=SECONDS)) == []
    assert bench.arranged(message.data for message in messages) == bench.arranged(range(1, 21))


# --- Runs


@every_mode
def test_a_run_is_done_when_everything_it_caused_has_ended(bench: Bench) -> None:
    calls: list[int] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                funcs={"a": same}, generators={"thrice": thrice}, actions={"count": calls.append}
            )
        )
        wire(runtime, ".in -> thrice -> a -> thrice#2 -> count")

        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    assert run.done
    assert len(calls) == 9


@every_mode
def test_the_results_of_a_run_are_its_own(bench: Bench) -> None:
    """B196 (LIMIT): there, any result ends any wait."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": same}, generators={"thrice": thrice}))
        wire(runtime, ".in -> a -> thrice -> .out")

        runs = [runtime.process(".in", number) for number in range(20)]

        assert [run.values(timeout=SECONDS) for run in reversed(runs)] == [
            [number] * 3 for number in reversed(range(20))
        ]


@every_mode
def test_the_first_result_of_a_run_that_failed_later_can_be_read(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> .out", ".in -> refuse")

        run = runtime.process(".in", 1)

        assert run.result(timeout=SECONDS).data == 1
        with pytest.raises(OperationError):
            run.wait(timeout=SECONDS)
        with pytest.raises(OperationError):
            run.values(timeout=SECONDS)
        assert [type(error) for error in run.failures] == [OperationError]
        assert run.failure is run.failures[0]


@every_mode
def test_the_results_of_a_failed_run_come_before_its_failure(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> .out", ".in -> refuse")
        run = runtime.process(".in", 1)

        results = run.results()

        assert next(results).data == 1
        with pytest.raises(OperationError):
            next(results)


@every_mode
def test_a_run_that_ends_without_a_result_says_what_became_of_its_messages(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"keep": lambda data: None}))
        wire(runtime, ".in -> keep")

        run = runtime.process(".in", 1)

        with pytest.raises(FlowError, match="absorbed"):
            run.result(timeout=SECONDS)
        assert run.values(timeout=SECONDS) == []
        assert list(run.results()) == []


@real_queues
def test_a_wait_gives_up_after_its_timeout_and_may_be_repeated(bench: Bench) -> None:
    """B192, B195 (BUG): a wait that is over takes nothing from the next."""
    gate = Gate()
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"gate": gate}))
        wire(runtime, ".in -> gate -> .out")
        run = runtime.process(".in", 1)
        arrived(gate.entered)

        try:
            assert not run.done
            for wait in (run.wait, run.result, run.values, runtime.wait_idle, runtime.wait_for_result):
                with pytest.raises(FlowTimeoutError) as caught:
                    wait(timeout=0.01)
                assert isinstance(caught.value, TimeoutError)
        finally:
            gate.open()

        assert run.values(timeout=SECONDS) == [1]
        assert run.done


@every_mode
def test_a_message_may_be_processed_as_it_is(bench: Bench) -> None:
    """B100."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")

        result = runtime.process(Message(".in", 1, correlation_id="id", priority=4)).result(timeout=SECONDS)

    assert (result.data, result.correlation_id, result.priority) == (2, "id", 4)


@every_mode
def test_input_without_data_is_none(bench: Bench) -> None:
    """B066, B194."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": repr}))
        wire(runtime, ".in -> a -> .out")

        assert runtime.process(".in").values(timeout=SECONDS) == ["None"]


@every_mode
@pytest.mark.parametrize("length", [0, 1, 2500])
def test_process_many_is_one_run(bench: Bench, length: int) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")

        run = runtime.process_many(".in", iter(range(length)), correlation_id="id", priority=2)
        messages = list(run.results())

    assert bench.arranged(message.data for message in messages) == bench.arranged(range(1, length + 1))
    assert {(message.correlation_id, message.priority) for message in messages} <= {("id", 2)}
    assert_ledger(run, accepted=length, delivered=length)


@every_mode
def test_an_iterable_is_pulled_on_the_calling_thread(bench: Bench) -> None:
    threads: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(10):
            threads.add(threading.get_ident())
            yield number

    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> .out")
        runtime.process_many(".in", items()).wait(timeout=SECONDS)

    assert threads == {threading.get_ident()}


@every_mode
def test_what_an_iterable_gave_before_it_raised_is_worked_off(bench: Bench) -> None:
    def three() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no fourth")

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")

        with pytest.raises(LookupError, match="no fourth"):
            runtime.process_many(".in", three())
        values = [message.data for message in runtime.results(timeout=SECONDS)]

        assert runtime.process(".in", 9).values(timeout=SECONDS) == [10]
    assert bench.arranged(values) == [1, 2, 3]


# --- Feedback, re-entrance, events, slow motion


@every_mode
def test_a_feedback_loop_runs_until_it_lets_go(bench: Bench) -> None:
    """B155."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"step": countdown}, funcs={"pass": same}))
        wire(runtime, ".in -> step", "step.again -> pass -> step", "step.done -> .out")

        run = runtime.process_many(".in", [300, 0, 7])

        assert run.values(timeout=SECONDS) == ["liftoff"] * 3
        assert_ledger(run, accepted=3, delivered=3)


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
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"refuse": refuse}))
        wire(runtime, ".in -> refuse -> .out", ".instead -> .out")

        def instead(error: Any) -> None:
            runtime.process(".instead", input_of(error) * 10)

        runtime.on_exception(instead)

        runtime.process(".in", 4)

        assert runtime.wait_for_result(timeout=SECONDS).data == 40


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


@every_mode
def test_event_processors_post_to_their_port(bench: Bench) -> None:
    """B198."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": repr}))
        wire(runtime, ".event -> a -> .out")
        post = runtime.event_processor(".event")

        post("tick")
        first = runtime.wait_for_result(timeout=SECONDS).data
        on_thread(post)
        second = runtime.wait_for_result(timeout=SECONDS).data

    assert (first, second) == ("'tick'", "None")


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode.simulated], ids=lambda mode: mode.name)
def test_throttle_delays_every_step_by_the_clock_of_the_runtime(mode: Any, schedule: str) -> None:
    """B250: it may be changed at any time, and 0 ends it."""
    seams = simulated(1)
    bench = Bench(mode, schedule)
    with bench.make_runtime(seams=seams) as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment, "b": increment}))
        wire(runtime, ".in -> a -> b -> .out")
        runtime.throttle(2.0)
        begin = seams.clock.now()
        slow = runtime.process(".in", 0).values(timeout=60.0)
        between = seams.clock.now()
        runtime.throttle(0)
        fast = runtime.process(".in", 5).values(timeout=SECONDS)
        end = seams.clock.now()

    assert (slow, fast) == ([2], [7])
    assert between - begin >= 4.0
    assert end == between


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES if each != "sync"])
@pytest.mark.parametrize("seconds", [0, 2.0])
def test_another_throttle_counts_at_once_also_for_the_message_that_is_held_back(
    schedule: str, seconds: float
) -> None:
    """B250."""
    seams = simulated(1)
    bench = Bench(MODES[0], schedule)
    with bench.make_runtime(seams=seams) as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        runtime.throttle(1000.0)
        run = runtime.process(".in", 0)
        with pytest.raises(FlowTimeoutError):
            run.wait(1.0)
        begin = seams.clock.now()
        runtime.throttle(seconds)
        runtime.wait_idle(60.0)

        assert run.values() == [1]
        assert seams.clock.now() - begin == seconds


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_throttle_delays_the_engine_and_so_the_caller_where_he_is_the_engine(schedule: str) -> None:
    """B251."""
    seams = simulated(1)
    bench = Bench(MODES[0], schedule)
    with bench.make_runtime(seams=seams) as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment}))
        wire(runtime, ".in -> a -> .out")
        runtime.throttle(2.0)
        begin = seams.clock.now()
        run = runtime.process(".in", 0)
        held_up = seams.clock.now() - begin
        run.wait()

    assert held_up >= 2.0 if schedule == "sync" else held_up == 0.0


@every_mode
def test_throttle_changes_no_results(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": increment, "b": double}))
        wire(runtime, ".in -> a -> b -> .out")
        runtime.throttle(0.0005)

        values = runtime.process_many(".in", range(10)).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged((number + 1) * 2 for number in range(10))
