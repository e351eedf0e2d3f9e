"""Runs and their results: what a run is, who reads its results, and who waits for how long."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import pytest

from flowrt import (
    FlowBuildError,
    FlowError,
    FlowOperationContainer,
    FlowRuntime,
    FlowTimeoutError,
    Message,
    OperationError,
)
from flowrt.executors.seams import Seams
from flowrt.runtime.run import Run
from flowrt.testing import simulated
from tests.kit.flows import (
    Bench,
    assert_ledger,
    benches,
    by_queued_schedule,
    by_schedule_or_simulated,
    every_mode,
    flow_of,
    real_queues,
    runtime_of,
    wire,
    work_of,
)
from tests.kit.functions import SECONDS, Gate, arrived, increment, on_thread, refuse, same, thrice

# --- Reading again (K11, K8)


@benches()
def test_what_was_read_of_a_run_can_be_read_again(bench: Bench) -> None:
    with bench.wired(".in -> .out", ".in -> a -> .more", funcs={"a": same}) as runtime:
        run = runtime.process_many(".in", range(3))
        first = run.result(timeout=SECONDS)
        values = run.values(timeout=SECONDS)

        assert first.data == values[0] == 0
        assert run.result() is first
        assert run.values() == values
        assert [message.data for message in run.results()] == values
        assert [message.data for message in run.results()] == values
        assert sorted(run.values(port=".more")) == sorted(run.values(port=".OUT")) == [0, 1, 2]
        assert run.result(port=".more").port.fullname == ".more"
        assert list(runtime.results(timeout=SECONDS)) == []
        with pytest.raises(FlowBuildError, match=r'Did you mean "\.more"'):
            run.values(port=".mor")


@benches()
def test_reading_one_port_leaves_the_others_to_be_read(bench: Bench) -> None:
    with bench.wired(".in -> .out", ".in -> a -> .more", funcs={"a": same}) as runtime:
        run = runtime.process_many(".in", range(3))

        assert run.result(SECONDS, port=".more").data in range(3)
        assert sorted(run.values(SECONDS, port=".more")) == [0, 1, 2]
        assert [message.data for message in run.results(SECONDS, port=".out")] == [0, 1, 2]
        assert list(runtime.results(timeout=SECONDS)) == []


@benches()
def test_past_a_bound_a_run_says_what_became_of_its_results(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowrt.runtime.run.RESULTS_KEPT", 5)
    with bench.wired(".in -> .out") as runtime:
        run = runtime.process_many(".in", range(9))
        other = run.results(timeout=SECONDS)
        next(other)

        assert [message.data for message in run.results(timeout=SECONDS)] == list(range(9))
        for read in (run.values, run.result, lambda: next(run.results()), lambda: next(other)):
            with pytest.raises(FlowError, match="9 results were read singly, and past 5 they are not kept"):
                read()


@benches()
def test_a_failure_raised_often_does_not_grow(bench: Bench) -> None:
    with bench.wired(".in -> a -> .out", funcs={"a": refuse}) as runtime:
        run = runtime.process(".in", 1)
        lengths = set()
        for _ in range(10):
            with pytest.raises(OperationError) as caught:
                run.wait(timeout=SECONDS)
            lengths.add(len(caught.traceback))

        assert len(lengths - {None}) <= 2  # the first may have waited
        assert max(lengths) < 10


# --- Runs


@every_mode
def test_a_run_is_done_when_everything_it_caused_has_ended(bench: Bench) -> None:
    calls: list[int] = []
    with bench.wired(
        ".in -> thrice -> a -> thrice#2 -> count",
        funcs={"a": same},
        generators={"thrice": thrice},
        actions={"count": calls.append},
    ) as runtime:
        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    assert run.done
    assert len(calls) == 9


@every_mode
def test_the_results_of_a_run_are_its_own(bench: Bench) -> None:
    """B196 (LIMIT): there, any result ends any wait."""
    with bench.wired(
        ".in -> a -> thrice -> .out", funcs={"a": same}, generators={"thrice": thrice}
    ) as runtime:
        runs = [runtime.process(".in", number) for number in range(20)]

        assert [run.values(timeout=SECONDS) for run in reversed(runs)] == [
            [number] * 3 for number in reversed(range(20))
        ]


@every_mode
def test_the_first_result_of_a_run_that_failed_later_can_be_read(bench: Bench) -> None:
    with bench.wired(".in -> .out", ".in -> refuse", funcs={"refuse": refuse}) as runtime:
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
    with bench.wired(".in -> .out", ".in -> refuse", funcs={"refuse": refuse}) as runtime:
        run = runtime.process(".in", 1)

        results = run.results()

        assert next(results).data == 1
        with pytest.raises(OperationError):
            next(results)


@every_mode
def test_a_run_that_ends_without_a_result_says_what_became_of_its_messages(bench: Bench) -> None:
    with bench.wired(".in -> keep", actions={"keep": lambda data: None}) as runtime:
        run = runtime.process(".in", 1)

        with pytest.raises(FlowError, match="absorbed"):
            run.result(timeout=SECONDS)
        assert run.values(timeout=SECONDS) == []
        assert list(run.results()) == []


@real_queues
def test_a_wait_gives_up_after_its_timeout_and_may_be_repeated(bench: Bench) -> None:
    """B192, B195 (BUG): a wait that is over takes nothing from the next."""
    gate = Gate()
    with bench.wired(".in -> gate -> .out", funcs={"gate": gate}) as runtime:
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
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        result = runtime.process(Message(".in", 1, correlation_id="id", priority=4)).result(timeout=SECONDS)

    assert (result.data, result.correlation_id, result.priority) == (2, "id", 4)


@every_mode
def test_input_without_data_is_none(bench: Bench) -> None:
    """B066, B194."""
    with bench.wired(".in -> a -> .out", funcs={"a": repr}) as runtime:
        assert runtime.process(".in").values(timeout=SECONDS) == ["None"]


@every_mode
@pytest.mark.parametrize("length", [0, 1, 2500])
def test_process_many_is_one_run(bench: Bench, length: int) -> None:
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
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

    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        with pytest.raises(LookupError, match="no fourth"):
            runtime.process_many(".in", three())
        values = [message.data for message in runtime.results(timeout=SECONDS)]

        assert runtime.process(".in", 9).values(timeout=SECONDS) == [10]
    assert bench.arranged(values) == [1, 2, 3]


@by_schedule_or_simulated
def test_a_run_and_its_ledger_show_what_became_of_it(schedule: str) -> None:
    runtime = runtime_of(work_of("sync", refuse), schedule=schedule, name="shown")
    run = runtime.process(".in", 1)
    with pytest.raises(FlowError):
        run.wait(SECONDS)
    runtime.close()

    assert repr(run) == "<run 1 of shown (failed)>"
    assert str(run.ledger).splitlines()[0] == "run 1 of shown (failed): in 1 + born 0 = failed 1"
    assert repr(run.ledger) == str(run.ledger)


def test_a_run_whose_sender_could_not_say_that_its_input_has_ended_ends_by_itself() -> None:
    runtime = FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=work_of("sync")), seams=simulated(deviations={})
    )
    runtime.process(".in", 1).wait()
    run = Run(runtime._owner)
    runtime._owner.inbox.post(runtime._owner.engine.runs.start, run)
    while runtime._owner.one_step():
        pass
    assert not run.done

    runtime._owner.room.left_open.append(run)
    while runtime._owner.one_step():
        pass

    assert run.done
    assert run.failures == []
    assert runtime.close().clean


# --- Results


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
        results = run.results(SECONDS)
        assert [next(results).data for _ in range(2)] == [0, 3]
        assert run.values(SECONDS) == [0, 3, 4, 5]


@every_mode
@pytest.mark.parametrize("read", ["result", "results", "values"])
def test_reading_through_the_run_takes_the_results_from_the_runtime_too(bench: Bench, read: str) -> None:
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
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
    with bench.wired(".in -> a -> .out", funcs={"a": increment}) as runtime:
        for number in range(20):
            runtime.process(".in", number)

        messages = list(runtime.results(timeout=SECONDS))

        assert list(runtime.results(timeout=SECONDS)) == []
    assert bench.arranged(message.data for message in messages) == bench.arranged(range(1, 21))


# --- Waits


@by_queued_schedule
def test_waits_that_are_over_leave_nothing_behind(schedule: str) -> None:
    """B195 (BUG): there, what a wait has subscribed to results stays subscribed."""
    events: WeakSet[threading.Event] = WeakSet()

    def make_event() -> threading.Event:
        event = threading.Event()
        events.add(event)
        return event

    gate = Gate()
    with runtime_of(
        work_of("async", gate), ".in -> work -> .out", schedule=schedule, seams=Seams(event=make_event)
    ) as runtime:
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        left = []
        for number in range(10):
            waits: list[Callable[[float], Any]] = [
                run.wait,
                run.result,
                runtime.wait_for_result,
                runtime.wait_idle,
            ]
            for wait in waits:
                with pytest.raises(FlowTimeoutError):
                    wait(0.0001)
            if number in {0, 9}:
                gc.collect()
                left.append(len(events))
        gate.open()

    assert left[1] == left[0]


@every_mode
def test_a_wait_that_is_over_takes_nothing_from_the_next(bench: Bench) -> None:
    """B192, B195 (BUG): there, what comes between a send and the second wait goes to the handler of the first."""
    with bench.wired(".in -> work -> .out", funcs={"work": same}) as runtime:
        if not bench.mode.simulated:  # a simulation knows at once that nothing can come
            with pytest.raises(FlowTimeoutError):
                runtime.wait_for_result(0.01)
        for number in range(5):
            runtime.process(".in", number)

            assert runtime.wait_for_result(SECONDS).data == number
            assert runtime.process(".in", -number).result(SECONDS).data == -number


@benches(lambda bench: bench.mode.parallelism and not bench.mode.simulated and bench.schedule != "sync")
def test_a_wait_for_a_run_is_ended_by_no_result_of_another(bench: Bench) -> None:
    """B196 (LIMIT): there, any result ends any wait."""
    gate = Gate()
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("gate", gate).make_async())
        runtime.add_operations(bench.operations(funcs={"quick": same}))
        wire(runtime, ".slow -> gate -> .out", ".quick -> quick -> .out")
        slow = runtime.process(".slow", "slow")
        arrived(gate.entered)
        try:
            quick = runtime.process(".quick", "quick")
            quick.wait(SECONDS)
            for wait in (slow.result, slow.wait, lambda limit: next(slow.results(limit))):
                with pytest.raises(FlowTimeoutError):
                    wait(0.01)
            assert quick.result(SECONDS).data == "quick"
        finally:
            gate.open()

        assert slow.result(SECONDS).data == "slow"


@every_mode
def test_send_and_wait_with_and_without_data_and_limits(bench: Bench) -> None:
    """B194."""
    with bench.wired(".in -> work -> .out", funcs={"work": same}) as runtime:
        assert runtime.process(".in").result().data is None
        assert runtime.process(".in", 1).result().data == 1
        assert runtime.process(".in", 2).result(SECONDS).data == 2
        runtime.process(".in", 3).wait(SECONDS)


@by_queued_schedule
def test_each_way_to_wait_has_a_limit(schedule: str) -> None:
    """B192, B194: none waits for longer, and nothing is lost by that."""
    gate = Gate()
    with runtime_of(work_of("async", gate), ".in -> work -> .out", schedule=schedule) as runtime:
        run = runtime.process(".in", 1)
        waits: list[Callable[[float], Any]] = [
            run.result,
            run.wait,
            run.values,
            lambda limit: next(run.results(limit)),
            runtime.wait_for_result,
            runtime.wait_idle,
            lambda limit: next(runtime.results(limit)),
        ]
        for wait in waits:
            with pytest.raises(FlowTimeoutError):
                on_thread(wait, 0.001)  # one without a limit would not come back
        gate.open()

        assert run.result(SECONDS).data == 1
