"""The watchdog: who does not return is named, with where it stands, once."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import FlowBuildError, FlowOperationContainer, FlowRuntime, FlowStallWarning
from flowrt.runtime.watching import Seen, Watch
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import flow_of
from tests.kit.functions import SECONDS, Gate, arrived, increment

SOON = 0.01  # seconds until a call counts as stuck


class Heard:
    """The warnings, and an event for the first."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.files: list[str] = []
        self.first = threading.Event()

    def __call__(self, message: Any, category: type, filename: str, *_: Any) -> None:
        assert category is FlowStallWarning
        self.texts.append(str(message))
        self.files.append(filename)
        self.first.set()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", FlowStallWarning)
        found = Heard()
        monkeypatch.setattr(warnings, "showwarning", found)
        yield found


def runtime_of(operations: FlowOperationContainer, **options: Any) -> FlowRuntime:
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    return FlowRuntime(flow, name="demo", stall_after=SOON, **options)


# --- what counts as stuck


def test_what_does_not_get_on_is_told_of_once_and_again_when_it_gets_stuck_again() -> None:
    watch = Watch(5.0)

    def look(now: float, progress: int) -> list[tuple[Any, float]]:
        return list(watch.look(now, [Seen("a", progress, 0.0)]))

    assert look(1.0, 0) == []
    assert look(5.0, 0) == [("a", 5.0)]
    assert look(6.0, 0) == []
    assert look(7.0, 1) == []
    assert look(11.0, 1) == []
    assert look(12.0, 1) == [("a", 5.0)]
    assert list(watch.look(13.0, [])) == []
    assert look(14.0, 1) == [("a", 14.0)]  # another one of that name, which began long ago


@given(st.lists(st.tuples(st.floats(0.01, 2.0), st.booleans()), max_size=40))
def test_nothing_is_told_of_before_its_time_and_nothing_twice(looks: list[tuple[float, bool]]) -> None:
    watch = Watch(3.0)
    now = moved = 0.0
    progress = 0
    told = False
    assert list(watch.look(now, [Seen("a", progress, now)])) == []
    for step, moves in looks:
        now += step
        if moves:
            progress, moved, told = progress + 1, now, False
        found = list(watch.look(now, [Seen("a", progress, 0.0)]))

        assert bool(found) == (not told and now - moved >= 3.0)
        told = told or bool(found)


# --- on threads


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_call_on_a_worker_that_does_not_return_is_named_with_its_thread_and_where_it_stands(
    heard: Heard, mode: str
) -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate)
    if mode == "async":
        operations.make_async()
    else:
        operations.make_parallel(2)
    with runtime_of(operations) as runtime:
        run = runtime.process(".in", 1)
        arrived(heard.first)
        gate.open()
        run.wait(SECONDS)

    name = "demo/work" if mode == "async" else "demo/work-[12]"  # a late one may be woken as well
    stuck = f'runtime "demo": operation "work" has not returned for \\d\\.\\d s on thread "{name}". It stands at:\n  File '
    assert re.match(stuck, heard.texts[0])
    assert "arrived(self.opened)" in heard.texts[0]
    assert len(heard.texts) == 1
    assert heard.files[0].endswith("functions.py")


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
def test_a_call_on_the_engine_s_thread_that_does_not_return_is_named(heard: Heard, schedule: str) -> None:
    def work(data: Any) -> Any:
        arrived(heard.first)
        return data

    operations = FlowOperationContainer().add_func("work", work)
    with runtime_of(operations, schedule=schedule) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    assert 'operation "work" has had the engine\'s thread for ' in heard.texts[0]
    assert "in work\n" in heard.texts[0]


def test_a_handler_that_does_not_return_is_told_with_where_it_stands(heard: Heard) -> None:
    operations = FlowOperationContainer().add_func("work", increment)
    with runtime_of(operations) as runtime:
        runtime.on_result(lambda _: arrived(heard.first))
        runtime.process(".in", 1).wait(SECONDS)

    assert "a handler, a tap or an iterable has had the engine's thread for " in heard.texts[0]


def test_a_generator_that_does_not_bring_its_next_item_is_named(heard: Heard) -> None:
    def work(number: int) -> Iterator[int]:
        yield number
        arrived(heard.first)

    operations = FlowOperationContainer().add_generator("work", work).make_async()
    with runtime_of(operations) as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [1]

    assert 'operation "work" has not returned for ' in heard.texts[0]


def test_a_consumer_that_never_returns_is_named_and_the_runtime_closes_all_the_same(heard: Heard) -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    runtime = runtime_of(operations)
    runtime.process(".in", 1)
    arrived(heard.first)

    report = runtime.close(drain=0.01)

    assert report.abandoned == ('operation "work" on thread "demo/work"',)
    gate.open()


def test_whoever_makes_errors_of_warnings_gets_it_from_close(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    runtime = runtime_of(operations)
    keep = runtime._owner.engine.failures.keep_stray

    def keep_and_tell(error: BaseException) -> None:
        keep(error)
        told.set()

    monkeypatch.setattr(runtime._owner.engine.failures, "keep_stray", keep_and_tell)
    with pytest.raises(FlowStallWarning, match='operation "work" has not returned'), runtime:
        run = runtime.process(".in", 1)
        arrived(told)
        gate.open()
        run.wait(SECONDS)


def test_live_messages_that_nothing_moves_are_told_of_with_an_explanation(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
    monkeypatch.setattr("flowrt.engine.engine.Engine.stalled", lambda _: False)
    runtime = runtime_of(FlowOperationContainer().add_func("work", increment))
    runtime.process(".in", 1)
    arrived(heard.first)
    runtime.close(drain=0.01)

    assert heard.texts[0].startswith(
        'runtime "demo": nothing has moved for 0.0 s, and messages are live.\nruntime "demo": 1 run'
    )


def test_a_flow_that_works_is_not_warned_of(heard: Heard) -> None:
    operations = FlowOperationContainer().add_func("work", increment).make_parallel(2)
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), stall_after=SECONDS
    ) as runtime:
        runtime.process_many(".in", range(1_000)).wait(SECONDS)

    assert heard.texts == []


# --- in fake time


@pytest.mark.parametrize(("seconds", "warned"), [(4.0, False), (6.0, True)])
def test_in_a_simulation_it_goes_by_fake_time(heard: Heard, seconds: float, warned: bool) -> None:
    seams = simulated(deviations={})
    clock = seams.clock
    assert isinstance(clock, FakeClock)

    def work(data: Any) -> Any:
        clock.sleep(seconds)
        return data

    operations = FlowOperationContainer().add_func("work", work).make_async()
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, name="demo", seams=seams, stall_after=5.0) as runtime:
        runtime.process(".in", 1).wait()

    assert heard.texts == ['runtime "demo": operation "work" has not returned for 6.0 s.'] * warned


@pytest.mark.parametrize("stall_after", [0, -1, "soon"])
def test_what_is_no_time_is_refused(stall_after: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(stall_after=stall_after)

    assert (
        str(caught.value) == f"FlowRuntime: stall_after is {stall_after!r}; give a number of seconds above 0."
    )
