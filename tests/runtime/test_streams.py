"""Results as they come: `stream`, sources that wait for a reader, runs that fail fast, futures, and the way out of a `with` block that raised."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from flowrt import (
    FlowBuildError,
    FlowError,
    FlowOperationContainer,
    FlowRuntime,
    FlowStalledError,
    FlowStoppedError,
    FlowTimeoutError,
    OperationError,
    Run,
    RunCancelledError,
)
from flowrt.runtime.run import UNREAD_MOST
from flowrt.testing import Slow, simulated
from tests.kit.flows import Bench, few_modes, wire
from tests.kit.functions import SECONDS, Gate, arrived, increment, same


class Pulled:
    """An endless iterable that counts what was taken from it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.taken += 1
            yield self.taken


def refuse_three(number: int) -> int:
    if number == 3:
        raise LookupError("three")
    return number


def data_of(stream: Iterator[Any]) -> list[Any]:
    return [message.data for message in stream]


# -- stream


@few_modes
def test_a_stream_gives_a_result_for_each_item(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": increment}) as runtime:
        found = data_of(runtime.stream(".in", range(5_000), timeout=SECONDS))

        assert bench.arranged(found) == bench.arranged(range(1, 5_001))
        assert data_of(runtime.stream(".in", [], timeout=SECONDS)) == []
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]


@few_modes
def test_the_items_of_a_stream_have_ids_and_priorities_of_their_own(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": increment}) as runtime:
        found = list(runtime.stream(".in", range(9), key=str, priority=lambda n: n % 3, timeout=SECONDS))
        assert sorted((m.data, m.correlation_id, m.priority) for m in found) == [
            (number + 1, str(number), number % 3) for number in range(9)
        ]
        with pytest.raises(FlowBuildError, match=r"^stream takes correlation_id, for all items, or key"):
            runtime.stream(".in", [1], key=str, correlation_id=1)


def test_a_stream_ends_at_its_deadline() -> None:
    seams = simulated(1)
    with FlowRuntime(seams=seams) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("slow", Slow(seconds=10.0)).make_async())
        runtime.add_chain(".in", "slow", ".out")
        began = seams.clock.now()
        stream = runtime.stream(".in", range(100), deadline=35.0)
        found = []
        with pytest.raises(RunCancelledError, match=r"its deadline of 35 s had passed"):
            found.extend(message.data for message in stream)
        assert seams.clock.now() - began == 35.0


@few_modes
def test_a_stream_is_pulled_as_it_is_read(bench: Bench) -> None:
    """The iterable never ends, and may be a little ahead of its reader."""
    endless = Pulled()
    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        stream = runtime.stream(".in", endless, timeout=SECONDS, correlation_id="s")
        read = [next(stream) for _ in range(100)]
        ahead = endless.taken
        stream.close()

        assert {message.correlation_id for message in read} == {"s"}
        assert ahead <= 100 + 3 * UNREAD_MOST
        runtime.wait_idle(timeout=SECONDS)
        assert runtime._owner.results.unread <= 2 * UNREAD_MOST
        assert endless.taken == ahead


@few_modes
def test_a_stream_is_pulled_on_the_thread_that_reads(bench: Bench) -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(10):
            threads.add(threading.get_ident())
            yield number

    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        data_of(runtime.stream(".in", items(), timeout=SECONDS))

    assert threads == {threading.get_ident()}


@few_modes
def test_a_stream_gives_what_has_come_before_it_pulls_on(bench: Bench) -> None:
    """An iterable that waits for the result of the item before gets it."""
    got: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        while not got:  # each pull of a slow iterable is followed by a look at the results
            yield 0
        yield 2

    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        for message in runtime.stream(".in", items(), timeout=SECONDS):
            got.append(message.data)  # noqa: PERF401 - the iterable looks at it

    assert {1, 2} <= set(got)


@few_modes
def test_what_absorbs_everything_lets_a_stream_end(bench: Bench) -> None:
    with bench.wired(".in -> drop", actions={"drop": lambda _data: None}) as runtime:
        assert data_of(runtime.stream(".in", range(5_000), timeout=SECONDS)) == []


@few_modes
def test_an_item_that_fails_is_told_behind_the_results(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": refuse_three}) as runtime:
        found: list[int] = []
        with pytest.raises(OperationError, match="three") as caught:
            for message in runtime.stream(".in", range(6), timeout=SECONDS):
                found.append(message.data)  # noqa: PERF401 - it raises

        assert sorted(found) == [0, 1, 2, 4, 5]
        assert caught.value.message.data == 3


@few_modes
def test_what_an_iterable_raises_comes_after_the_results_of_what_it_gave(bench: Bench) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise LookupError("no more")

    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        found: list[int] = []
        with pytest.raises(LookupError, match="no more"):
            for message in runtime.stream(".in", items(), timeout=SECONDS):
                found.append(message.data)  # noqa: PERF401 - it raises

        assert sorted(found) == [1, 2]
        runtime.wait_idle(timeout=SECONDS)


@few_modes
def test_who_stops_reading_a_stream_cancels_it(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        for _ in runtime.stream(".in", Pulled(), timeout=SECONDS):
            break
        runtime.wait_idle(timeout=SECONDS)


def test_a_stream_waits_for_a_result_no_longer_than_it_was_told() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("f", gate).make_async()
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(operations)
        with pytest.raises(FlowTimeoutError):
            data_of(runtime.stream(".in", [1], timeout=0.01))
        gate.open()


def test_a_stream_is_refused_where_it_would_wait_for_itself() -> None:
    errors: list[BaseException] = []

    def read(_data: Any) -> None:
        try:
            data_of(runtime.stream(".in", [1]))
        except FlowStalledError as error:
            errors.append(error)

    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out", ".read -> read")
        runtime.add_operations(FlowOperationContainer().add_func("f", same).add_action("read", read))
        runtime.process(".read").wait(timeout=SECONDS)

    assert len(errors) == 1


@pytest.mark.parametrize("given", ["text", {"a": 1}, 7])
def test_a_stream_of_what_has_no_items_is_refused_at_once(given: Any) -> None:
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> .out")
        with pytest.raises(FlowBuildError, match="stream takes a list"):
            runtime.stream(".in", given)


def test_a_stream_ends_where_the_runtime_is_closed() -> None:
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> .out")
        stream = runtime.stream(".in", Pulled())
        next(stream)
        runtime.close()
        with pytest.raises(FlowStoppedError):
            data_of(stream)


# -- sources that wait for a reader


def count_up(number: int) -> Iterator[int]:
    yield from range(number)


MANY = 10_000


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "parallel"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sources_wait_for_who_reads_a_run(schedule: Any, mode: Any) -> None:
    """N1: 1,472,607 results were unread after 300 slow reads."""
    held, gate = 100_000, Gate()
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> wait -> items -> .out")
        operations = FlowOperationContainer().add_func("wait", gate).make_async()
        runtime.add_operations(operations.add_generator("items", count_up, mode))
        run = runtime.process(".in", held)
        results = run.results(timeout=SECONDS)
        threading.Timer(0.05, gate.open).start()  # somebody is reading by then
        read = [next(results).data for _ in range(300)]
        while not runtime.explain().outrun:  # until the sources wait: they do, for nobody reads
            pass
        unread = runtime._owner.results.unread
        assert "wait for whoever reads them" in str(runtime.explain())
        read += [message.data for message in results]

    assert read == list(range(held))
    assert unread < held // 2


@few_modes
def test_who_waits_for_the_end_lets_the_sources_go_on(bench: Bench) -> None:
    """Also where whoever reads is the one who waits."""
    with bench.wired(".in -> items -> .out", generators={"items": count_up}) as runtime:
        run = runtime.process(".in", MANY)
        results = run.results(timeout=SECONDS)
        next(results)
        run.wait(timeout=SECONDS)

        other = runtime.process(".in", MANY)
        reading = other.results(timeout=SECONDS)
        next(reading)
        runtime.wait_idle(timeout=SECONDS)
        assert other.done


@few_modes
def test_who_stops_reading_lets_the_sources_go_on(bench: Bench) -> None:
    with bench.wired(".in -> items -> .out", generators={"items": count_up}) as runtime:
        run = runtime.process(".in", MANY)
        for _ in run.results(timeout=SECONDS):
            break

        assert len(run.values(timeout=SECONDS)) == MANY


# -- failing fast


@few_modes
@pytest.mark.parametrize("told", ["runtime", "run"])
def test_the_first_error_ends_a_run_that_fails_fast(bench: Bench, told: str) -> None:
    with bench.wired(
        ".in -> f -> .out",
        ".other -> g -> .beside",
        funcs={"f": refuse_three, "g": same},
        fail_fast=told == "runtime",
    ) as runtime:
        beside = runtime.process(".other", 1)
        run = runtime.process_many(".in", range(20_000), fail_fast=told == "run")
        with pytest.raises(OperationError, match="three"):
            run.wait(timeout=SECONDS)

        assert run.ledger.balanced
        assert run.ledger.failed == 1
        assert isinstance(run.failure, OperationError)
        assert beside.values(timeout=SECONDS) == [1]
        assert runtime.process(".in", 4).values(timeout=SECONDS) == [4]


@few_modes
def test_an_error_that_somebody_takes_ends_nothing(bench: Bench) -> None:
    errors: list[Any] = []
    with bench.wired(".in -> f -> .out", funcs={"f": refuse_three}, fail_fast=True) as runtime:
        runtime.on_exception(errors.append)
        run = runtime.process_many(".in", range(6))

        assert sorted(run.values(timeout=SECONDS)) == [0, 1, 2, 4, 5]
    assert len(errors) == 1


@few_modes
def test_a_stream_that_fails_fast_ends_with_its_first_error(bench: Bench) -> None:
    endless = Pulled()
    with bench.wired(".in -> f -> .out", funcs={"f": refuse_three}) as runtime:
        with pytest.raises(OperationError, match="three"):
            data_of(runtime.stream(".in", endless, timeout=SECONDS, fail_fast=True))
        taken = endless.taken
        runtime.wait_idle(timeout=SECONDS)
        assert endless.taken == taken


def test_many_inputs_have_a_deadline_together() -> None:
    gate = Gate()
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("f", gate).make_async())
        run = runtime.process_many(".in", range(3), deadline=0.05)
        with pytest.raises(RunCancelledError, match="deadline"):
            run.wait(timeout=SECONDS)
        gate.open()


@few_modes
def test_items_may_have_ids_and_priorities_of_their_own(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        run = runtime.process_many(".in", range(3_000), key=lambda n: n // 1_000, priority=lambda n: n % 2)
        found = list(run.results(timeout=SECONDS))

        assert sorted(message.data for message in found) == list(range(3_000))
        assert all(message.correlation_id == message.data // 1_000 for message in found)
        assert all(message.priority == message.data % 2 for message in found)
        assert run.ledger.balanced


def test_a_key_that_is_none_or_raises_is_told_where_it_was_given() -> None:
    def fail(_item: Any) -> Any:
        raise LookupError("no key")

    with FlowRuntime() as runtime:
        wire(runtime, ".in -> .out")
        with pytest.raises(FlowBuildError, match="key is 'a'; give a function"):
            runtime.process_many(".in", [1], key="a")  # type: ignore[arg-type]
        with pytest.raises(FlowBuildError, match="Choose one"):
            runtime.process_many(".in", [1], key=str, correlation_id=1)
        with pytest.raises(LookupError, match="no key"):
            runtime.process_many(".in", [1], key=fail)
        with pytest.raises(FlowBuildError, match="a priority is an int"):
            runtime.process_many(".in", [1], priority=str)  # type: ignore[arg-type]
        runtime.wait_idle(timeout=SECONDS)
        assert runtime.process(".in", 2).values(timeout=SECONDS) == [2]


# -- the way out of a with block that raised


def test_an_error_in_the_with_block_discards_what_has_not_begun() -> None:
    """N4: it drained for fifteen seconds before anybody saw the error."""
    begun, go_on, called = threading.Event(), threading.Event(), []

    def work(number: int) -> int:
        called.append(number)
        begun.set()
        arrived(go_on)
        return number

    with pytest.raises(KeyError, match="body") as caught, FlowRuntime() as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", work).make_async())
        run = runtime.process_many(".in", range(1_000))
        arrived(begun)
        threading.Timer(0.05, go_on.set).start()  # the call under way has its time
        raise KeyError("body")

    assert len(called) < 1_000
    assert any("discarded" in note for note in caught.value.__notes__)
    assert run.ledger.balanced
    with pytest.raises(FlowStoppedError, match="left by KeyError"):
        run.wait()


@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_an_interrupt_in_the_with_block_comes_out_of_it(schedule: Any) -> None:
    with pytest.raises(KeyboardInterrupt), FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("f", same))
        runtime.process_many(".in", range(100))
        raise KeyboardInterrupt


# -- futures and callbacks


@few_modes
def test_a_run_is_a_future(bench: Bench) -> None:
    with bench.wired(".in -> f -> .out", funcs={"f": refuse_three}) as runtime:
        good = runtime.process(".in", 1).future()
        bad = runtime.process(".in", 3).future()
        runtime.wait_idle(timeout=SECONDS)

        assert good.result(timeout=SECONDS) == 1
        assert isinstance(bad.exception(timeout=SECONDS), OperationError)


def test_a_future_without_a_result_says_what_became_of_it() -> None:
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> drop")
        runtime.add_operations(FlowOperationContainer().add_action("drop", lambda _data: None))
        future = runtime.process(".in", 1).future()

        with pytest.raises(FlowError, match="nothing left it by a result port"):
            future.result(timeout=SECONDS)


def test_a_future_that_is_cancelled_cancels_its_run() -> None:
    gate = Gate()
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("f", gate).make_async())
        run = runtime.process(".in", 1)
        future = run.future()

        assert future.cancel()
        with pytest.raises(CancelledError):
            future.result(timeout=SECONDS)
        with pytest.raises(RunCancelledError):
            run.wait(timeout=SECONDS)
        gate.open()
        done = runtime.process(".in", 2).future()
        assert done.result(timeout=SECONDS) == 2
        assert not done.cancel()


@few_modes
def test_who_asked_is_called_once_when_a_run_is_done(bench: Bench) -> None:
    called: list[Run] = []
    with bench.wired(".in -> f -> .out", funcs={"f": same}) as runtime:
        run = runtime.process(".in", 1)
        run.add_done_callback(called.append)
        run.wait(timeout=SECONDS)
        runtime.wait_idle(timeout=SECONDS)
        run.add_done_callback(called.append)

        assert called == [run, run]


def test_what_a_callback_raises_is_told_as_a_subscribers_is() -> None:
    errors: list[Any] = []
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> .out")
        runtime.on_exception(errors.append)
        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)
        run.add_done_callback(lambda _run: [].pop())
        with pytest.raises(FlowBuildError, match="add_done_callback takes a function"):
            run.add_done_callback("no function")  # type: ignore[arg-type]

    assert "a subscriber of add_done_callback raised IndexError" in str(errors[0])
