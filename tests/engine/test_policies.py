"""Retry, timeout, rate and what becomes of failed messages: in every mode, on the fake clock; timeouts also on real threads."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import Flow, FlowOperationContainer, FlowRuntime, errors
from flowrt.engine.contract import Task
from flowrt.engine.engine import Engine
from flowrt.engine.rates import TokenBucket
from flowrt.errors import (
    FlowBuildError,
    GatherIncompleteError,
    OperationError,
    OperationTimeoutError,
    RunCancelledError,
)
from flowrt.operations.policies import Rate, Retry, retry_of
from flowrt.standard import Gather, Scatter
from flowrt.testing import Slow, simulated
from tests.kit.flows import flow_of, results_of

MODES: dict[str, Callable[[FlowOperationContainer], Any]] = {
    "sync": lambda operations: operations.make_sync(),
    "async": lambda operations: operations.make_async(),
    "parallel": lambda operations: operations.make_parallel(3),
    "ordered": lambda operations: operations.make_parallel(3, ordered=True),
    "by key": lambda operations: operations.make_parallel(3, by_key=lambda x: x % 3),
}
every_mode = pytest.mark.parametrize("mode", MODES)
every_schedule = pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
threaded_mode = pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "sync"])


class Flaky:
    """Fails its first calls for some of the data; counts the calls."""

    def __init__(self, failures: Callable[[int], int]) -> None:
        self._failures = failures
        self.calls: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __call__(self, x: int) -> int:
        with self._lock:
            self.calls[x] += 1
            number = self.calls[x]
        if number <= self._failures(x):
            raise ValueError("not yet")
        return x


def flow_with(
    mode: str, function: Callable[..., Any], policies: Callable[[FlowOperationContainer], Any]
) -> Flow:
    operations = FlowOperationContainer().add_func("work", function)
    MODES[mode](operations)
    policies(operations)
    return flow_of("", ".in -> work -> .out", operations=operations)


def in_order(mode: str, values: list[int]) -> bool:
    """Say whether values are in the order that a mode promises."""
    if mode == "parallel":
        return True
    if mode == "by key":
        return all(line == sorted(line) for line in ([x for x in values if x % 3 == key] for key in range(3)))
    return values == sorted(values)


def nothing_is_left(runtime: FlowRuntime) -> None:
    for place in runtime._owner.engine.routes.all_places():
        guard = place.guard
        if guard is not None:
            assert not list(guard.unreported())
            assert not guard._open
    assert not runtime._owner.engine.timers


# --- decisions


@given(st.integers(1, 200), st.floats(0, 1e6), st.floats(0, 1e6), st.integers())
def test_a_backoff_is_drawn_from_a_range_that_doubles_up_to_the_longest(
    attempt: int, backoff: float, longest: float, seed: int
) -> None:
    retry = Retry(1_000, backoff, longest, (Exception,))

    wait = retry.wait(attempt, ValueError(), random.Random(seed))

    assert 0 <= wait <= longest
    assert wait <= backoff * 2.0 ** (attempt - 1)


def test_a_backoff_may_be_a_function_of_the_number_of_the_retry() -> None:
    retry = Retry(5, lambda number: number * 10.0, 25.0, (Exception,))

    assert [retry.wait(number, ValueError(), random.Random()) for number in (1, 2, 3)] == [10.0, 20.0, 25.0]


@given(
    st.floats(0.01, 1_000),
    st.integers(1, 20),
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
)
def test_a_bucket_never_lets_more_through_than_its_rate(
    per_second: float, burst: int, gaps: list[float]
) -> None:
    bucket = TokenBucket(Rate(per_second, burst), 0.0)
    now, taken = 0.0, []
    for gap in gaps:
        now += gap
        wait = bucket.wait(now)
        now += wait
        assert bucket.wait(now) < 1e-6
        bucket.take(now)
        taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            number = last - first + 1
            assert number <= burst + (taken[last] - taken[first]) * per_second + 1e-3


# --- retry


@every_mode
@every_schedule
@pytest.mark.parametrize("seed", range(5))
def test_a_failed_call_is_made_again_and_order_is_kept_where_the_mode_keeps_it(
    seed: int, schedule: Any, mode: str
) -> None:
    flaky = Flaky(lambda x: x % 4)
    flow = flow_with(mode, flaky, lambda operations: operations.retry(4, backoff=1.0))
    with FlowRuntime(flow, seams=simulated(seed=seed), schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(12))
        values = run.values()
        nothing_is_left(runtime)
        assert run.ledger.balanced
        assert (run.ledger.delivered, run.ledger.failed, run.ledger.born) == (12, 0, 0)
    assert sorted(values) == list(range(12))
    assert in_order(mode, values)
    assert flaky.calls == {x: x % 4 + 1 for x in range(12)}


@every_mode
def test_on_threads_too(mode: str) -> None:
    flaky = Flaky(lambda x: x % 3)
    flow = flow_with(mode, flaky, lambda operations: operations.retry(3, backoff=0.001))
    with FlowRuntime(flow) as runtime:
        values = runtime.process_many(".in", range(60)).values(timeout=60)
        nothing_is_left(runtime)
    assert sorted(values) == list(range(60))
    assert in_order(mode, values)


@every_mode
def test_a_message_fails_with_its_last_attempt_and_the_error_tells_of_those_before(mode: str) -> None:
    flaky = Flaky(lambda x: 9 if x == 1 else 0)
    flow = flow_with(mode, flaky, lambda operations: operations.retry(3))
    with FlowRuntime(flow, seams=simulated(seed=1)) as runtime:
        run = runtime.process_many(".in", range(3))
        with pytest.raises(OperationError) as raised:
            run.wait()
        assert sorted(run.values()) if run.failure is None else True
        nothing_is_left(runtime)
    assert flaky.calls[1] == 3
    cause = raised.value.__cause__
    assert isinstance(cause, ValueError)
    assert cause.__notes__ == ["this was attempt 3; before (1: ValueError, 2: ValueError)"]
    assert (run.ledger.delivered, run.ledger.failed) == (2, 1)


@every_mode
def test_only_what_was_asked_for_is_retried(mode: str) -> None:
    flaky = Flaky(lambda _: 1)
    flow = flow_with(mode, flaky, lambda operations: operations.retry(3, on=(KeyError, OSError)))
    with FlowRuntime(flow, seams=simulated(seed=1)) as runtime, pytest.raises(OperationError):
        runtime.process(".in", 1).wait()
    assert flaky.calls == {1: 1}


@every_mode
def test_a_system_exit_is_never_retried(mode: str) -> None:
    calls: list[int] = []

    def leave(x: int) -> None:
        calls.append(x)
        raise SystemExit(3)

    flow = flow_with(mode, leave, lambda operations: operations.retry(5, on=BaseException))
    with pytest.raises(SystemExit), FlowRuntime(flow, seams=simulated(seed=1)) as runtime:
        runtime.process(".in", 1).wait()
    assert calls == [1]


@pytest.mark.parametrize("mode", ["sync", "async", "parallel", "ordered"])
def test_what_a_failed_attempt_emitted_does_not_leave(mode: str) -> None:
    calls: list[int] = []

    def work(x: int, emit: Callable[[Any], None]) -> None:
        calls.append(x)
        emit((x, len(calls)))
        if len(calls) < 3:
            raise ValueError

    operations = FlowOperationContainer().add_action("work", work)
    MODES[mode](operations)
    operations.retry(3)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, seams=simulated(seed=2)) as runtime:
        run = runtime.process(".in", 7)
        assert run.values() == [(7, 3)]
        assert run.ledger.balanced


@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_a_generator_is_called_again_only_before_its_first_item(mode: str) -> None:
    calls: list[int] = []

    def work(x: int) -> Iterator[int]:
        calls.append(x)
        if len(calls) < 3:
            raise ValueError("before the first item")
        yield x
        raise KeyError("behind it")

    operations = FlowOperationContainer().add_generator("work", work)
    MODES[mode](operations)
    operations.retry(9, backoff=0.5)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, seams=simulated(seed=2)) as runtime:
        run = runtime.process(".in", 7)
        with pytest.raises(OperationError) as raised:
            run.wait()
        assert isinstance(raised.value.__cause__, KeyError)
        assert run.ledger.balanced
        nothing_is_left(runtime)
    assert calls == [7, 7, 7]


@threaded_mode
def test_the_engine_may_look_at_a_call_though_it_is_over_and_is_made_again(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that takes long asks the engine to look when it emits; that may come to it after the outcome has."""
    calls: Counter[int] = Counter()

    def emit_and_fail(x: int, emit: Callable[[int], None]) -> None:
        calls[x] += 1
        emit(x * 10 + calls[x])
        if calls[x] < 3:
            raise ValueError("not yet")

    report = Engine.report

    def report_and_look(engine: Engine, task: Task, *, final: bool = True) -> None:
        report(engine, task, final=final)
        engine.fetch(task)

    monkeypatch.setattr(Engine, "report", report_and_look)
    operations = FlowOperationContainer().add_action("work", emit_and_fail)
    MODES[mode](operations)
    operations.retry(3, backoff=0.001)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, seams=simulated(3)) as runtime:
        values = runtime.process_many(".in", range(6)).values(60.0)

    assert sorted(values) == [3, 13, 23, 33, 43, 53]
    assert values == sorted(values) or mode in ("parallel", "by key")
    assert set(calls.values()) == {3}


@every_mode
def test_waiting_for_a_retry_takes_no_time_from_the_rest_of_the_flow(mode: str) -> None:
    seen: list[tuple[float, int]] = []
    operations = FlowOperationContainer().add_func("work", Flaky(lambda _: 1))
    MODES[mode](operations)
    operations.retry(2, backoff=lambda _: 100.0, longest=1_000.0).add_func("beside", lambda x: x)
    flow = flow_of("", ".in -> work -> .out", ".other -> beside -> .out", operations=operations)
    seams = simulated(deviations={})
    with FlowRuntime(flow, seams=seams) as runtime:
        runtime.on_result(lambda message: seen.append((seams.clock.now(), message.data)))
        slow, quick = runtime.process(".in", 1), runtime.process(".other", 2)
        quick.wait()
        slow.wait()
    assert seen == [(0.0, 2), (100.0, 1)]


@every_mode
def test_a_run_cancelled_while_it_waits_for_a_retry_is_over_and_the_next_goes_on(mode: str) -> None:
    flaky = Flaky(lambda x: 5 if x < 5 else 0)
    flow = flow_with(
        mode, flaky, lambda operations: operations.retry(9, backoff=lambda _: 1_000.0, longest=1e6)
    )
    seams = simulated(deviations={})
    with FlowRuntime(flow, seams=seams) as runtime:
        waiting = runtime.process_many(".in", range(5))
        while not any(flaky.calls.values()):
            runtime._owner.one_step()
        other = runtime.process_many(".in", range(5, 9))
        waiting.cancel()
        with pytest.raises(RunCancelledError):
            waiting.wait()
        assert sorted(other.values()) == [5, 6, 7, 8]
        assert waiting.ledger.balanced
        assert waiting.ledger.discarded == 5
        nothing_is_left(runtime)
    assert seams.clock.now() < 1_000.0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(list(MODES)),
    st.lists(st.integers(0, 3), max_size=12),
    st.booleans(),
)
def test_whatever_fails_however_often_nothing_is_lost_or_done_twice(
    seed: int, mode: str, failures: list[int], limited: bool
) -> None:
    flaky = Flaky(lambda x: failures[x])

    def policies(operations: FlowOperationContainer) -> None:
        operations.retry(3, backoff=0.3)
        if limited:
            operations.rate(5.0, burst=2)

    with FlowRuntime(flow_with(mode, flaky, policies), seams=simulated(seed=seed)) as runtime:
        run = runtime.process_many(".in", range(len(failures)))
        got: list[int] = []
        try:
            got += (message.data for message in run.results())
        except OperationError:
            assert max(failures) == 3
        assert run.ledger.balanced
        nothing_is_left(runtime)
    assert sorted(got) == [x for x, number in enumerate(failures) if number < 3]
    assert in_order(mode, got)
    assert flaky.calls == {x: min(number, 2) + 1 for x, number in enumerate(failures)}


# --- timeout


@threaded_mode
def test_a_call_that_takes_too_long_is_given_up_and_its_thread_replaced(mode: str) -> None:
    go_on, begun = threading.Event(), threading.Event()
    calls: list[int] = []
    threads: set[int] = set()

    def work(x: int) -> int:
        calls.append(x)
        threads.add(threading.get_ident())
        if x == 0:
            begun.set()
            go_on.wait(60)
        return x

    flow = flow_with(mode, work, lambda operations: operations.timeout(0.05))
    with FlowRuntime(flow, name="timed") as runtime:
        run = runtime.process_many(".in", range(6))
        with pytest.raises(OperationTimeoutError) as raised:
            run.wait(60)
        assert begun.is_set()
        chunks = run._owner.results.take_chunks(run._mine, None)
        assert sorted(data for chunk in chunks for data in chunk.data) == [1, 2, 3, 4, 5]
        nothing_is_left(runtime)
        go_on.set()
    assert 'operation "work"' in str(raised.value)
    assert "did not return within 0.05 s" in str(raised.value)
    assert "in work" in str(raised.value.__cause__)
    assert (run.ledger.delivered, run.ledger.failed) == (5, 1)
    assert run.ledger.balanced
    assert sorted(calls) == list(range(6))
    assert mode != "async" or len(threads) == 2


def test_a_thread_that_never_comes_back_is_named_when_the_runtime_is_closed() -> None:
    go_on = threading.Event()
    flow = flow_with("async", lambda _: go_on.wait(60), lambda operations: operations.timeout(0.02))
    runtime = FlowRuntime(flow, name="timed")
    run = runtime.process(".in", 1)
    with pytest.raises(OperationTimeoutError):
        run.wait(60)

    report = runtime.close()

    assert report.clean  # whoever waited for the run was told of it
    assert report.given_up == ('thread "timed/work"',)
    assert str(report) == 'closed; still inside a call that was given up for its time: thread "timed/work"'
    go_on.set()
    runtime._owner.loop.executors.all()[0]._lost[0].join(60)  # type: ignore[attr-defined]


@threaded_mode
@pytest.mark.parametrize("seed", range(8))
def test_in_a_simulation_the_time_runs_from_the_beginning_of_a_call(seed: int, mode: str) -> None:
    seams = simulated(seed=seed)

    def work(x: int) -> int:
        seams.clock.sleep(10.0 if x == 2 else 0.9)  # type: ignore[attr-defined]
        return x

    flow = flow_with(mode, work, lambda operations: operations.timeout(1.0).on_error("skip"))
    with FlowRuntime(flow, seams=seams) as runtime:
        run = runtime.process_many(".in", range(8))
        values = run.values()
        nothing_is_left(runtime)
    assert sorted(values) == [0, 1, 3, 4, 5, 6, 7]
    assert in_order(mode, values)
    assert run.ledger.discarded == 1
    assert run.ledger.balanced


@pytest.mark.parametrize("on", [Exception, TimeoutError, OperationTimeoutError, (KeyError, OperationError)])
@threaded_mode
def test_a_timeout_is_retried_like_any_other_failure(mode: str, on: Any) -> None:
    seams = simulated(deviations={})
    calls: Counter[int] = Counter()

    def work(x: int) -> int:
        calls[x] += 1
        seams.clock.sleep(5.0 if calls[x] == 1 else 0.1)  # type: ignore[attr-defined]
        return x

    flow = flow_with(mode, work, lambda operations: operations.timeout(1.0).retry(2, on=on))
    with FlowRuntime(flow, seams=seams) as runtime:
        assert sorted(runtime.process_many(".in", range(4)).values()) == [0, 1, 2, 3]
        nothing_is_left(runtime)
    assert calls == dict.fromkeys(range(4), 2)


def test_a_timeout_is_no_error_of_the_system() -> None:
    seams = simulated(deviations={})
    flow = flow_with(
        "async",
        lambda _: seams.clock.sleep(5.0),  # type: ignore[attr-defined]
        lambda operations: operations.timeout(1.0).retry(3, on=OSError),
    )
    with FlowRuntime(flow, seams=seams) as runtime, pytest.raises(OperationTimeoutError):
        runtime.process(".in", 1).wait()
    assert seams.clock.now() < 2.0


def test_what_a_given_up_call_emits_later_is_lost() -> None:
    go_on, emitted = threading.Event(), threading.Event()

    def work(x: int, emit: Callable[[Any], None]) -> None:
        emit("before")
        go_on.wait(60)
        emit("after")
        emitted.set()

    operations = FlowOperationContainer().add_action("work", work).make_async().timeout(0.05).on_error("skip")
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime:
        run = runtime.process(".in", 1)
        assert run.values(timeout=60) == ["before"]
        go_on.set()
        assert emitted.wait(60)
        runtime.wait_idle(60)
        assert run.ledger.balanced
        assert len(runtime._owner.engine.books.runs) == 0


@pytest.mark.parametrize("generator", [False, True])
def test_a_timeout_that_cannot_be_kept_is_refused_before_anything_runs(generator: bool) -> None:
    operations = FlowOperationContainer()
    if generator:
        operations.add_generator("work", lambda x: [x]).make_async().timeout(1.0)
    else:
        operations.add_func("work", lambda x: x).timeout(1.0)
    with (
        FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime,
        pytest.raises(
            FlowBuildError,
            match="is a generator and has a timeout"
            if generator
            else "has a timeout and runs on the engine's thread",
        ),
    ):
        runtime.process(".in", 1)


# --- rate


@every_mode
@every_schedule
def test_calls_begin_no_faster_than_the_rate(schedule: Any, mode: str) -> None:
    seams = simulated(deviations={})  # a seed might have a worker begin late what was handed to it in time
    begun: list[float] = []

    def work(x: int) -> int:
        begun.append(seams.clock.now())
        return x

    flow = flow_with(mode, work, lambda operations: operations.rate(2.0, burst=3))
    with FlowRuntime(flow, seams=seams, schedule=schedule) as runtime:
        values = runtime.process_many(".in", range(9)).values()
        nothing_is_left(runtime)
    assert sorted(values) == list(range(9))
    assert in_order(mode, values)
    for first in range(9):
        for last in range(first, 9):
            assert last - first + 1 <= 3 + (begun[last] - begun[first]) * 2.0 + 1e-6
    assert begun[-1] >= 3.0 - 1e-6


# --- a rate of its own for each key


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
@pytest.mark.parametrize("retried", [False, True])
def test_each_key_has_a_budget_of_its_own(mode: str, schedule: Any, retried: bool) -> None:
    seams = simulated(deviations={})
    begun: list[tuple[int, float]] = []
    failed: set[int] = set()

    def work(x: int) -> int:
        begun.append((x, seams.clock.now()))
        if retried and x % 4 == 0 and x not in failed:
            failed.add(x)
            raise ValueError
        return x

    def policies(operations: FlowOperationContainer) -> None:
        operations.rate(1.0, burst=2, per=lambda x: x % 2)
        if retried:
            operations.retry(2, 0.1)

    with FlowRuntime(flow_with(mode, work, policies), seams=seams, schedule=schedule) as runtime:
        values = runtime.process_many(".in", range(12)).values()
        nothing_is_left(runtime)
    assert sorted(values) == list(range(12))
    assert in_order(mode, values)
    for key in range(2):
        of_key = [moment for x, moment in begun if x % 2 == key]
        for first in range(len(of_key)):
            for last in range(first, len(of_key)):
                assert last - first + 1 <= 2 + (of_key[last] - of_key[first]) * 1.0 + 1e-6
    if not retried:
        assert begun[-1][1] == pytest.approx(4.0)  # six of each key, two of them at once


@every_mode
def test_messages_of_other_keys_overtake_where_the_mode_lets_them(mode: str) -> None:
    seams = simulated(deviations={})
    begun: list[int] = []
    flow = flow_with(mode, begun.append, lambda operations: operations.rate(1.0, per=lambda x: x < 6))
    with FlowRuntime(flow, seams=seams) as runtime:
        runtime.process_many(".in", range(7)).wait()
    assert (begun.index(6) < begun.index(5)) is (mode in {"parallel", "by key"})


def test_a_further_key_waits_while_as_many_as_may_have_a_budget() -> None:
    seams = simulated(deviations={})
    begun: dict[int, float] = {}

    def work(x: int) -> None:
        begun[x] = seams.clock.now()

    flow = flow_with("parallel", work, lambda operations: operations.rate(1.0, per=str, max_keys=2))
    with FlowRuntime(flow, seams=seams) as runtime:
        runtime.process_many(".in", range(6)).wait()
        nothing_is_left(runtime)
    assert sorted(begun.values()) == pytest.approx([0.0, 0.0, 1.0, 1.0, 2.0, 2.0])


@pytest.mark.parametrize("mode", MODES)
def test_what_rests_for_a_token_goes_with_its_run(mode: str) -> None:
    flow = flow_with(mode, lambda x: x, lambda operations: operations.rate(0.001, per=lambda x: x % 2))
    with FlowRuntime(flow, seams=simulated(deviations={})) as runtime:
        run = runtime.process_many(".in", range(9))
        other = runtime.process(".in", 7)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait()
        assert other.values() == [7]
        assert run.ledger.balanced
        for place in runtime._owner.engine.routes.all_places():
            if place.guard is not None:
                assert not list(place.guard.unreported())
                assert not place.guard._known


class Odd:
    """Two of these have one hash and cannot be compared."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("not comparable")


KEYS: dict[str, tuple[Callable[[FlowOperationContainer, Any], Any], str]] = {
    "by_key": (lambda operations, key: operations.make_parallel(2, by_key=key).retry(2), "by_key"),
    "by_key without policies": (lambda operations, key: operations.make_parallel(2, by_key=key), "by_key"),
    "per": (lambda operations, key: operations.make_parallel(2).rate(100, per=key), r"rate\(per=\)"),
    "per, sync": (lambda operations, key: operations.rate(100, per=key), r"rate\(per=\)"),
}


@pytest.mark.parametrize("where", KEYS)
@pytest.mark.parametrize("key", [lambda x: 1 // x, lambda x: x or []], ids=["raises", "unhashable"])
def test_a_key_that_cannot_be_told_fails_its_message_and_says_who_was_asked(where: str, key: Any) -> None:
    declare, name = KEYS[where]
    operations = FlowOperationContainer().add_func("work", lambda x: x)
    declare(operations, key)
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), seams=simulated(seed=1)
    ) as runtime:
        run = runtime.process_many(".in", [1, 0, 2])
        with pytest.raises(
            OperationError, match=rf'^{name} of operation "work" \(declared at .*\) raised '
        ) as raised:
            run.wait()
        assert raised.value.message.data == 0
        assert isinstance(raised.value.__cause__, ZeroDivisionError | TypeError)
        assert (run.ledger.delivered, run.ledger.failed) == (2, 1)
        nothing_is_left(runtime)


@pytest.mark.parametrize("where", ["by_key", "per", "per, sync"])
def test_keys_that_cannot_be_compared_fail_their_messages_alone(where: str) -> None:
    declare, _ = KEYS[where]
    operations = FlowOperationContainer().add_func("work", lambda x: x)
    declare(operations, lambda x: Odd() if x else "fine")
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), seams=simulated(deviations={})
    ) as runtime:
        run = runtime.process_many(".in", [1, 1, 1, 0])
        with pytest.raises(OperationError, match="not comparable"):
            run.wait()
        assert run.ledger.balanced
        assert 0 in [message.data for message in results_of(run)]
        nothing_is_left(runtime)


# --- which errors, and how long


@every_mode
@every_schedule
def test_a_function_says_which_errors_are_retried(mode: str, schedule: Any) -> None:
    calls: Counter[int] = Counter()

    def work(x: int) -> int:
        calls[x] += 1
        raise OSError(404 if x else 503, "no")

    flow = flow_with(
        mode, work, lambda operations: operations.retry(3, 0, on=lambda error: error.args[0] != 404)
    )
    with FlowRuntime(flow, seams=simulated(seed=2), schedule=schedule) as runtime:
        run = runtime.process_many(".in", [0, 1])
        with pytest.raises(OperationError):
            run.wait()
    assert (calls, run.ledger.failed) == (Counter({0: 3, 1: 1}), 2)


def test_a_function_sees_a_call_given_up_as_a_timeout_error() -> None:
    seen: list[BaseException] = []

    def once(error: BaseException) -> bool:
        seen.append(error)
        return isinstance(error, TimeoutError)

    slow = Slow(seconds=5.0)
    flow = flow_with("async", slow, lambda operations: operations.timeout(1.0).retry(2, 0, on=once))
    with FlowRuntime(flow, seams=simulated(deviations={})) as runtime, pytest.raises(OperationTimeoutError):
        runtime.process(".in", 1).wait()
    assert [type(error).__name__ for error in seen] == ["CallTimedOutError"]


class RetryLater(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:g} s")
        self.seconds = seconds


BACKOFFS: list[Callable[..., Any]] = [
    lambda _number, error: error.seconds,
    lambda _number, error=None: error.seconds,
    lambda *both: both[1].seconds,
]


@every_mode
@pytest.mark.parametrize("backoff", BACKOFFS)
def test_a_backoff_may_look_at_the_error(mode: str, backoff: Any) -> None:
    seams = simulated(deviations={})
    begun: list[float] = []

    def work(x: int) -> int:
        begun.append(seams.clock.now())
        if len(begun) < 3:
            raise RetryLater(7.0)
        return x

    with FlowRuntime(
        flow_with(mode, work, lambda operations: operations.retry(3, backoff)), seams=seams
    ) as runtime:
        assert runtime.process(".in", 1).values() == [1]
    assert begun == [0.0, 7.0, 14.0]


def test_a_second_parameter_with_a_default_is_left_alone() -> None:
    assert not retry_of("here", 2, lambda number, base=2.0: base**number, 60.0, Exception).sees_error


@pytest.mark.parametrize("number", [1, 1_024, 10_000])
def test_a_backoff_past_what_floats_hold_is_the_longest(number: int) -> None:
    for backoff in (lambda n: 1e300 * 2.0**n, lambda n: 10 ** (300 + n), lambda _: float("inf")):
        assert Retry(5, backoff, 25.0, (Exception,)).wait(number, ValueError(), random.Random()) == 25.0


def refuse_all(*_: Any) -> Any:
    raise LookupError("asked too much")


RAISING: dict[str, tuple[Callable[[FlowOperationContainer], Any], str]] = {
    "on": (lambda operations: operations.retry(2, 0, on=refuse_all), "retry(on=)"),
    "backoff": (lambda operations: operations.retry(2, refuse_all), "retry(backoff=)"),
    "no number": (lambda operations: operations.retry(2, cast("Any", lambda _: "soon")), "retry(backoff=)"),
    "nan": (lambda operations: operations.retry(2, lambda _: float("nan")), "retry(backoff=)"),
}


@every_mode
@every_schedule
@pytest.mark.parametrize("which", RAISING)
def test_a_policy_that_raises_fails_the_message_and_is_named(mode: str, schedule: Any, which: str) -> None:
    declare, name = RAISING[which]
    with FlowRuntime(
        flow_with(mode, refuse_odd, declare), seams=simulated(seed=1), schedule=schedule
    ) as runtime:
        run = runtime.process_many(".in", range(4))
        with pytest.raises(OperationError) as raised:
            run.wait()
        assert (run.ledger.delivered, run.ledger.failed) == (2, 2)
        nothing_is_left(runtime)
    text = str(raised.value)
    assert text.startswith(f'{name} of operation "work" (declared at ')
    assert ", asked about ValueError, raised " in text
    assert not isinstance(raised.value.__cause__, errors.NoAnswerError)


def test_a_policy_that_raises_what_ends_programs_ends_them() -> None:
    def leave(_error: BaseException) -> bool:
        raise SystemExit(3)

    flow = flow_with("sync", refuse_odd, lambda operations: operations.retry(2, on=leave))
    with pytest.raises(SystemExit), FlowRuntime(flow, seams=simulated(seed=1)) as runtime:
        runtime.process(".in", 1).wait()


def refuse_odd(x: int) -> int:
    if x % 2:
        raise ValueError("odd")
    return x


@pytest.mark.parametrize("which", RAISING)
def test_a_generator_whose_policy_raises_fails_its_message(which: str) -> None:
    def items(x: int) -> Iterator[int]:
        yield refuse_odd(x)

    operations = FlowOperationContainer().add_generator("work", items)
    RAISING[which][0](operations)
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), seams=simulated(seed=1)
    ) as runtime:
        run = runtime.process_many(".in", range(4))
        with pytest.raises(OperationError, match="asked about ValueError, raised"):
            run.wait()
        assert (run.ledger.delivered, run.ledger.failed) == (2, 2)


# --- what becomes of failed messages


@every_mode
@every_schedule
def test_a_skipped_message_ends_as_discarded_with_its_reason_and_the_run_does_not_fail(
    schedule: Any, mode: str
) -> None:
    flow = flow_with(mode, Flaky(lambda x: x % 2), lambda operations: operations.on_error("skip"))
    with FlowRuntime(flow, seams=simulated(seed=1), schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(6))
        assert sorted(run.values()) == [0, 2, 4]
        rows = [row for row in run.ledger.places if row.what == "discarded"]
    assert [(row.place, row.reason, row.count) for row in rows] == [("work", "skipped, ValueError", 3)]
    assert run.ledger.balanced


@every_mode
@every_schedule
def test_a_routed_error_leaves_on_the_port_of_its_operation(schedule: Any, mode: str) -> None:
    operations = FlowOperationContainer().add_func("work", Flaky(lambda x: x % 2))
    MODES[mode](operations)
    operations.on_error("route").add_func(
        "tell", lambda error: ("failed", error.message.data, error.operation)
    )
    flow = flow_of("", ".in -> work -> .out", "work.error -> tell -> .failed", operations=operations)
    with FlowRuntime(flow, seams=simulated(seed=1), schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(4), correlation_id="mine")
        found = list(run.results())
        assert run.ledger.balanced
        assert (run.ledger.failed, run.ledger.born) == (0, 0)
    assert sorted(message.data for message in found if message.port.name == "out") == [0, 2]
    failed = [message for message in found if message.port.name == "failed"]
    assert sorted(message.data for message in failed) == [("failed", 1, "work"), ("failed", 3, "work")]
    assert {message.correlation_id for message in found} == {"mine"}


@every_mode
def test_a_routed_error_that_nobody_takes_fails_the_run(mode: str) -> None:
    flow = flow_with(mode, Flaky(lambda _: 1), lambda operations: operations.on_error("route"))
    with FlowRuntime(flow, seams=simulated(seed=1)) as runtime, pytest.raises(OperationError):
        runtime.process(".in", 1).wait()


@pytest.mark.parametrize(("on_missing", "gathered"), [("skip", [0, 2, 4]), ("fail", None)])
def test_a_gather_misses_what_was_skipped(on_missing: Any, gathered: list[int] | None) -> None:
    operations = (
        FlowOperationContainer()
        .add_operation(Scatter("scatter"))
        .add_func("work", Flaky(lambda x: x % 2))
        .make_parallel(3)
        .on_error("skip")
        .add_operation(Gather("gather", on_missing=on_missing))
    )
    flow = flow_of(
        "",
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
        operations=operations,
    )
    with FlowRuntime(flow, seams=simulated(seed=4)) as runtime:
        run = runtime.process(".in", list(range(5)))
        if gathered is None:
            with pytest.raises(GatherIncompleteError, match="skipped, ValueError"):
                run.wait()
        else:
            assert sorted(run.result().data) == gathered


def test_retry_and_skip_together_skip_after_the_last_attempt() -> None:
    flaky = Flaky(lambda x: 9 if x == 1 else 1)
    flow = flow_with("parallel", flaky, lambda operations: operations.retry(3).on_error("skip"))
    with FlowRuntime(flow, seams=simulated(seed=4)) as runtime:
        assert sorted(runtime.process_many(".in", range(3)).values()) == [0, 2]
    assert flaky.calls == {0: 2, 1: 3, 2: 2}


# --- declarations


WRONG: list[tuple[Callable[[Any], Any], str]] = [
    (lambda operations: operations.retry(0), r"retry\(\): attempts is 0; it counts calls"),
    (
        lambda operations: operations.retry(2, backoff=-1),
        r"backoff is -1; give a number of seconds of 0 or more",
    ),
    (lambda operations: operations.retry(2, on=3), r"on is 3; give an exception type"),
    (lambda operations: operations.retry(2, on=()), r"on is \(\); give an exception type"),
    (lambda operations: operations.retry(2, longest="x"), r"longest is 'x'"),
    (lambda operations: operations.timeout(0), r"seconds is 0; give a number of seconds above 0"),
    (lambda operations: operations.timeout(float("nan")), r"seconds is nan"),
    (lambda operations: operations.rate(0), r"per_second is 0; give a number of calls above 0"),
    (lambda operations: operations.rate(1, burst=0), r"rate\(\).*burst"),
    (lambda operations: operations.rate(1, per="host"), r"per is 'host'; give a function of the data"),
    (lambda operations: operations.rate(1, per=str, max_keys=0), r"rate\(\).*max_keys"),
    (lambda operations: operations.on_error("drop"), r"'drop' is none of"),
    (lambda operations: operations.retry(3, on="OSError"), r"on is 'OSError'; give an exception type"),
    (lambda operations: operations.retry(3, on=()), r"on is \(\); give an exception type"),
    (lambda operations: operations.retry(3, lambda: 1.0), r"backoff takes 0 arguments; give seconds"),
    (lambda operations: operations.retry(3, lambda a, b, c: 1.0), r"backoff takes 3 arguments; give"),
    (lambda operations: operations.retry(3, lambda a, *, error: 1.0), r"backoff takes 2 arguments; give"),
]


@pytest.mark.parametrize(("declare", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_policy_that_is_none_is_refused(
    declare: Callable[[FlowOperationContainer], Any], told: str
) -> None:
    with pytest.raises(FlowBuildError, match=told) as raised:
        declare(FlowOperationContainer().add_func("work", lambda x: x))
    assert 'operation "work"' in str(raised.value)


def test_policies_are_not_for_operations_that_keep_the_books_themselves() -> None:
    container = FlowOperationContainer().add_operation(Gather("gather"))

    with pytest.raises(
        FlowBuildError, match=r'operation "gather" \(Gather\) works with the engine\'s own books'
    ):
        container.retry(3)


def test_without_parallelism_there_is_no_time_limit() -> None:
    flow = flow_with("async", lambda x: x, lambda operations: operations.timeout(0.001).retry(2))
    with FlowRuntime(flow, parallelism=False) as runtime:
        assert runtime.process_many(".in", range(5)).values(timeout=60) == list(range(5))


def test_a_key_function_that_raises_fails_its_message_only() -> None:
    operations = FlowOperationContainer().add_func("work", lambda x: x)
    operations.make_parallel(2, by_key=lambda x: 1 // x).retry(2)
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), seams=simulated(seed=1)
    ) as runtime:
        run = runtime.process_many(".in", [1, 0, 2])
        with pytest.raises(OperationError) as raised:
            run.wait()
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        assert str(raised.value).startswith('by_key of operation "work" (declared at ')
        assert (run.ledger.delivered, run.ledger.failed) == (2, 1)
        nothing_is_left(runtime)


def test_what_waits_for_a_retry_is_named_where_it_is() -> None:
    flow = flow_with(
        "async",
        Flaky(lambda _: 9),
        lambda operations: operations.retry(9, backoff=lambda _: 1_000.0, longest=1e6),
    )
    runtime = FlowRuntime(flow, seams=simulated(deviations={}))
    run = runtime.process_many(".in", range(3))
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.wait()
    runtime.close()
    assert {row.place for row in run.ledger.places if row.what == "discarded"} <= {"work", ".in"}
