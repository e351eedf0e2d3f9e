"""No flow hangs and no books are left open: every mode, however little room, wherever it fails, whoever is slow.

A generated matrix: in simulation whole, on real threads in part. Each case is a source, an operation that fails at its k-th message (or never),
and a consumer; it has to end in bounded steps (a simulation that does not raises `FlowStalledError`) or time, with balanced books.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Gather, OperationError, Run, Scatter
from flowrt.engine.schedules import ScheduleName
from flowrt.errors import FlowError, FlowOverloadError
from flowrt.standard import Zip
from flowrt.testing import simulated
from tests.kit import effort
from tests.kit.flows import IN_MODE, flow_of

pytestmark = pytest.mark.no_cover

ITEMS = 7
TIMEOUT = 60

MODES = IN_MODE | {
    "by key": lambda operations: operations.make_parallel(3, by_key=lambda x: x % 2),
    "shared": lambda operations: operations.make_async("pool"),
}
POLICIES: dict[str, Callable[[FlowOperationContainer], Any]] = {
    "none": lambda operations: operations,
    "retry": lambda operations: operations.retry(2, backoff=0.01),
    "skip": lambda operations: operations.on_error("skip"),
    "retry, skip, rate": lambda operations: operations.retry(2, backoff=0.01).on_error("skip").rate(1_000.0),
}
SHAPES = ("inputs", "generator", "list", "loop")
CAPACITIES = (1, 2, 1_000)
FAILING = (None, 0, 3, ITEMS - 1)
CONSUMERS = ("sync", "async", "slow")


class FailsAt:
    """Fails whenever it is given one message: which one says `k`; None: never."""

    def __init__(self, k: int | None) -> None:
        self._k = k

    def __call__(self, x: int) -> int:
        if x == self._k:
            raise ValueError("planned")
        return x


def count_up(most: int) -> Iterator[int]:
    yield from range(most)


def flow(
    shape: str, mode: str, policy: str, k: int | None, consumer: str, wait: Callable[[], object]
) -> Flow:
    def consume(x: Any) -> Any:
        if consumer == "slow":
            wait()
        return x

    operations = FlowOperationContainer().add_func("work", FailsAt(k))
    MODES[mode](operations)
    POLICIES[policy](operations)
    operations.add_func("consume", consume)
    if consumer != "sync":
        MODES["shared" if mode == "shared" else "async"](operations)
    chains = [".in -> work -> consume -> .out"]
    if shape == "generator":
        operations.add_generator("source", count_up, window=2)
        chains = [".in -> source -> work -> consume -> .out"]
    elif shape == "list":
        operations.add_operation(Scatter("scatter", window=2)).add_operation(Gather("gather"))
        chains = [
            ".in -> scatter",
            "scatter.stream -> work -> consume -> gather.stream",
            "scatter.count -> gather.count",
            "gather -> .out",
        ]
    elif shape == "loop":

        def again(x: int, on_more: Callable[[int], None], on_done: Callable[[int], None]) -> None:
            (on_more if x + 1 < ITEMS else on_done)(x + 1)

        operations.add_action("again", again)
        chains = [".in -> work -> consume -> again", "again.on_more -> work", "again.on_done -> .out"]
    return flow_of("", *chains, operations=operations)


def send(runtime: FlowRuntime, shape: str) -> Run:
    if shape == "inputs":
        return runtime.process_many(".in", range(ITEMS))
    given = {"generator": ITEMS, "list": list(range(ITEMS)), "loop": 0}[shape]
    return runtime.process(".in", given)


def expected(shape: str, k: int | None) -> list[Any]:
    items = [x for x in range(ITEMS) if x != k]
    if shape == "list":
        return [items] if k is None else []
    if shape == "loop":
        return [ITEMS] if k is None else []
    return items


def check(run: Run, got: list[Any], shape: str, mode: str, k: int | None) -> None:
    ledger = run.ledger
    assert ledger.balanced, ledger
    assert (ledger.live, ledger.held) == (0, 0), ledger
    wanted = expected(shape, k)
    if shape == "list":
        assert [sorted(values) for values in got] == wanted
    elif mode in {"parallel", "by key"}:
        assert sorted(got) == wanted
    else:
        assert got == wanted


def work_off(
    runtime: FlowRuntime, shape: str, mode: str, policy: str, k: int | None, timeout: float | None
) -> None:
    run = send(runtime, shape)
    got: list[Any] = []
    fails = k is not None and ("skip" not in policy or shape == "list")
    with pytest.raises(FlowError) if fails else contextlib.nullcontext():
        got += (message.data for message in run.results(timeout))
    assert bool(run.failures) == fails
    if fails and "skip" not in policy:
        assert isinstance(run.failure, OperationError)
    check(run, got, shape, mode, k)
    assert not runtime._owner.engine.books.runs
    assert not runtime._owner.engine.timers


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_flow_ends_in_simulation_with_balanced_books(
    shape: str, mode: str, policy: str, capacity: int
) -> None:
    schedules: list[ScheduleName] = ["breadth_first", "depth_first", "sync"]
    cases = enumerate(product(FAILING, CONSUMERS, schedules))
    for seed, (k, consumer, schedule) in effort.share(cases, shape, mode, policy, capacity):
        seams = simulated(seed=seed)

        def wait() -> None:
            seams.clock.sleep(1.0)  # type: ignore[attr-defined]  # noqa: B023 - called before the next round

        drawn = flow(shape, mode, policy, k, consumer, wait)
        with FlowRuntime(drawn, capacity=capacity, schedule=schedule, seams=seams) as runtime:
            work_off(runtime, shape, mode, policy, k, None)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_flow_ends_on_threads_with_balanced_books(shape: str, mode: str, capacity: int) -> None:
    cases = product(("none", "retry, skip, rate"), (None, 3), ("sync", "slow"))
    for policy, k, consumer in cases:
        tick = threading.Event()  # never set: its timed wait lets the other threads run
        drawn = flow(shape, mode, policy, k, consumer, partial(tick.wait, 1e-4))
        with FlowRuntime(drawn, capacity=capacity) as runtime:
            work_off(runtime, shape, mode, policy, k, TIMEOUT)


# --- forks that are joined


def forked(slow: Callable[[int], int], max_waiting: int) -> Flow:
    operations = FlowOperationContainer().add_generator("source", count_up, window=100)
    operations.add_func("slow", slow).make_async().add_operation(
        Zip("zip", ("left", "right"), max_waiting=max_waiting)
    )
    chains = [".in -> source -> zip.left", "source -> slow -> zip.right", "zip -> .out"]
    return flow_of("", *chains, operations=operations)


@pytest.mark.parametrize("schedule", effort.share(["breadth_first", "depth_first", "sync"], "branches"))
def test_branches_of_unequal_speed_are_joined_within_the_window_of_their_source(schedule: Any) -> None:
    """The quick branch waits in the join, and the live messages of the slow one hold the source back."""

    def slow(x: int) -> int:
        for _ in range(20):
            x += 1
        return x - 20

    with FlowRuntime(forked(slow, max_waiting=400), schedule=schedule) as runtime:
        run = runtime.process(".in", 20_000)
        assert run.values(timeout=TIMEOUT) == [(x, x) for x in range(20_000)]
        assert run.ledger.balanced


def test_sources_of_unequal_speed_end_with_the_name_of_the_join_that_took_too_much() -> None:
    operations = FlowOperationContainer().add_generator("quick", count_up)
    operations.add_operation(Zip("zip", ("left", "right"), max_waiting=500))
    chains = [".in -> quick -> zip.left", ".never -> zip.right", "zip -> .out"]
    with FlowRuntime(flow_of("", *chains, operations=operations)) as runtime:
        run = runtime.process(".in", 100_000)
        with pytest.raises(
            FlowOverloadError, match=r'^Zip "zip" would hold more than max_waiting=500 messages'
        ):
            run.wait(TIMEOUT)
        assert run.ledger.balanced
