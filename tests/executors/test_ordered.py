"""`ordered=True`: workers run ahead of the oldest unfinished message by a window and no more, and everything else goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, FlowStoppedError, OperationError, RunCancelledError
from flowrt.engine import meters as handover
from flowrt.engine.meters import AHEAD
from flowrt.testing import simulated
from flowrt.testing.simulation import Simulation
from tests.kit.flows import wire
from tests.kit.functions import SECONDS, Gate, arrived, same

MANY = 3 * AHEAD
SEEDS = range(30)


class SlowFirst(Gate):
    """Holds the call with 0 until the gate is opened; says when so many others have returned."""

    def __init__(self, others: int) -> None:
        super().__init__()
        self.returned = 0
        self.most = others
        self.full = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, data: Any) -> Any:
        if data == 0:
            return super().__call__(data)
        with self._lock:
            self.returned += 1
            if self.returned >= self.most:
                self.full.set()
        return data


@pytest.fixture(autouse=True)
def _one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "GROUPS_AHEAD", 0)


@contextmanager
def held() -> Iterator[tuple[FlowRuntime, SlowFirst]]:
    """A runtime whose window is full, if enough is sent to `.in`: in one pool with a plain operation and an ordered one."""
    work = SlowFirst(AHEAD - 1)
    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, "pool", ordered=True)
    operations.add_func("plain", same).make_parallel(4, "pool")
    operations.add_func("other", same).make_parallel(4, "pool", ordered=True).add_func("sync", same)
    with FlowRuntime(capacity=2 * MANY) as runtime:
        wire(
            runtime,
            ".in -> work -> .out",
            ".plain -> plain -> .out",
            ".other -> other -> .out",
            ".sync -> sync -> .out",
        )
        runtime.add_operations(operations)
        try:
            yield runtime, work
        finally:
            work.open()


def test_workers_stop_at_the_window_and_everything_else_goes_on() -> None:
    with held() as (runtime, work):
        run = runtime.process_many(".in", range(MANY))
        arrived(work.full)

        for port in (".plain", ".other", ".sync"):
            assert sorted(runtime.process_many(port, range(2_000)).values(SECONDS)) == list(range(2_000))
        assert work.returned == AHEAD - 1
        assert run.ledger.live == MANY

        work.open()
        assert run.values(SECONDS) == list(range(MANY))


def test_the_window_is_that_of_one_priority() -> None:
    """What has a higher priority neither waits for a full window nor, when it has been performed, for those that came before it."""
    with held() as (runtime, work):
        runtime.process_many(".in", range(MANY))
        arrived(work.full)

        assert runtime.process_many(".in", [-1, -2, -3], priority=5).values(SECONDS) == [-1, -2, -3]
        assert not work.opened.is_set()


def test_a_run_is_cancelled_behind_a_full_window() -> None:
    with held() as (runtime, work):
        run = runtime.process_many(".in", range(MANY))
        arrived(work.full)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)
        work.open()

        assert runtime.process_many(".in", range(1, 10)).values(SECONDS) == list(range(1, 10))
    assert work.returned < AHEAD + 4 + 9


def test_a_runtime_is_given_up_behind_a_full_window() -> None:
    with pytest.raises(FlowStoppedError), held() as (runtime, work):
        runtime.process_many(".in", range(MANY))
        arrived(work.full)

        report = runtime.close(drain=0.0)

        assert report.discarded == MANY
        assert ['operation "work"' in each for each in report.abandoned] == [True]


def test_failures_move_the_window_as_results_do() -> None:
    def refuse(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    operations = FlowOperationContainer().add_func("work", refuse).make_parallel(3, ordered=True)
    with FlowRuntime(capacity=2 * MANY) as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(operations)
        run = runtime.process_many(".in", range(MANY))
        found = []
        with pytest.raises(OperationError):
            for message in run.results(SECONDS):
                found.append(message.data)  # noqa: PERF401 - it raises in the end

        assert run.ledger.balanced
    assert found == list(range(0, MANY, 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group", [1, 3])
def test_the_window_holds_in_any_order_of_events(
    seed: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "AHEAD", 3)
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, "pool", ordered=True)
    operations.add_func("plain", same).make_parallel(4, "pool")
    seams = simulated(seed, group=group)
    with FlowRuntime(seams=seams) as runtime:
        wire(runtime, ".in -> work -> .out", ".in -> plain -> .plain")
        runtime.add_operations(operations)
        run = runtime.process_many(".in", range(12))
        results = list(run.results())

    assert [each.data for each in results if each.port.name == "out"] == list(range(12))
    assert sorted(each.data for each in results if each.port.name == "plain") == list(range(12))
    assert sorted(begun) == list(range(12))
    if group == 1:
        assert isinstance(seams.simulation, Simulation)
        assert farthest_ahead(seams.simulation.trace) < 3


def farthest_ahead(trace: list[str]) -> int:
    """Calls of single messages are numbered as they are begun, which is their order."""
    unfinished: list[int] = []
    next_number = farthest = 0
    for step in trace:
        kind, _, call = step.partition(" ")
        if not call.startswith("work#"):
            continue
        number = int(call.removeprefix("work#"))
        if kind == "start":
            unfinished.append(number)
            next_number = number
        elif kind == "finish":
            unfinished.remove(number)
        if unfinished:
            farthest = max(farthest, next_number - min(unfinished))
    return farthest
