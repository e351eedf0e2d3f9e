"""Rows: size, the cost of a runtime, and of the import."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from flowrt import FlowOperationContainer, FlowRuntime
from tests.benchmarks import measure, work
from tests.benchmarks.work import TIMEOUT, Function

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = 200  # messages that go through a long chain together
STAGES = 5  # behind an operation that makes many messages of one
Cost = Callable[[int], AbstractContextManager[measure.Sample]]

IMPORT = """
import json, sys, threading, time
started = time.perf_counter()
import {module}
taken = time.perf_counter() - started
late = [name for name in ("asyncio", "janus", "loguru") if name in sys.modules]
print(json.dumps([taken, threading.active_count(), late]))
"""


def child(*arguments: str, **variables: str) -> str:
    """Run Python anew and return what it prints."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


def import_time(scale: measure.Scale) -> measure.Row:
    def importing(module: str) -> measure.Open:
        def sample(bytecode: str) -> float:
            # As where it is installed: modules are compiled once, by whoever imports them first.
            variables = {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
            taken, threads, late = json.loads(child("-c", IMPORT.format(module=module), **variables))
            if module == "flowrt":
                measure.verify((threads, late), (1, []))
            return float(taken)

        @contextmanager
        def ready() -> Iterator[measure.Sample]:
            with TemporaryDirectory() as bytecode:
                sample(bytecode)
                yield lambda: sample(bytecode)

        return ready

    return measure.Row(
        "import",
        "`import flowrt`; nothing started, loguru and janus not loaded",
        "s",
        (
            measure.Contender("flowrt", importing("flowrt")),
            measure.Contender("reactivex", importing("reactivex"), "reactivex"),
            measure.Contender("floor: attrs", importing("attrs")),
        ),
        (measure.Claim("flowrt", "reactivex", 1.0, "ahead"), measure.Claim("floor: attrs", "reactivex")),
    )


# -- growth


def grown(small: measure.Open, large: measure.Open) -> measure.Open:
    """Open a sample of how many times as much the large costs."""

    @contextmanager
    def ready() -> Iterator[measure.Sample]:
        with small() as of_small, large() as of_large:
            yield lambda: of_large() / of_small()

    return ready


def _hops(
    run: Callable[[int], AbstractContextManager[Callable[[], list[int]]]], low: int, high: int, least: int
) -> measure.Open:
    """Open a sample of the seconds per hop between so many operations and so many, for a group of messages."""

    @contextmanager
    def ready() -> Iterator[measure.Sample]:
        repeats = max(1, least // high)
        with run(low) as short, run(high) as long:

            def sample(go: Callable[[], list[int]], count: int) -> float:
                check = measure.equal_to([[x + count for x in range(TOGETHER)]] * repeats)
                return measure.timed(lambda: [go() for _ in range(repeats)], check, repeats * TOGETHER)()

            yield lambda: (sample(long, high) - sample(short, low)) / (high - low)

    return ready


@contextmanager
def flow_of(count: int) -> Iterator[Callable[[], list[int]]]:
    """Send a group of messages through a chain of so many operations."""
    with work.chain(work.functions(count)) as runtime:
        yield lambda: runtime.process_many(".in", range(TOGETHER)).values(TIMEOUT)


@contextmanager
def loop_of(count: int) -> Iterator[Callable[[], list[int]]]:
    """Send them through as many functions, by hand."""
    stages, data = work.functions(count), list(range(TOGETHER))
    yield lambda: work.deque_loop(stages, data)


def operations(scale: measure.Scale) -> measure.Row:
    high, least = scale(10_000, 60), scale(2_000)
    loop = "bare deque loop over as many functions"
    ways = {"flowrt": flow_of, loop: loop_of}
    return measure.Row(
        "operations",
        f"growth of the cost of a hop, from 10 operations to {high:,}",
        "times",
        tuple(
            measure.Contender(name, grown(_hops(run, 10, 30, 3 * least), _hops(run, 10, high, least)))
            for name, run in ways.items()
        ),
        (measure.Claim("flowrt", loop, 1.1, "≤ 1.1 ×"), *(measure.Claim(name) for name in ways)),
    )


def _live(run: Callable[[int], AbstractContextManager[Callable[[], list[int]]]], least: int) -> Cost:
    """Return how to open a sample of the seconds per hop with so many messages live."""

    @contextmanager
    def of(count: int) -> Iterator[measure.Sample]:
        repeats = max(1, least // count)
        with run(count) as go:
            check = measure.equal_to([[x + STAGES for x in range(count)]] * repeats)
            yield measure.timed(lambda: [go() for _ in range(repeats)], check, repeats * count * STAGES)

    return of


@contextmanager
def _expanded(count: int) -> Iterator[Callable[[], list[int]]]:
    with FlowRuntime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_action("expand", work.expand))
        runtime.add_stream(".many", "expand")
        work.add_chain(runtime, work.functions(STAGES), source="expand")
        runtime.process(".many", 1).wait(TIMEOUT)
        yield lambda: runtime.process(".many", count).values(TIMEOUT)


@contextmanager
def _queued(count: int) -> Iterator[Callable[[], list[int]]]:
    stages: list[Function] = work.functions(STAGES)
    yield lambda: work.deque_loop(stages, list(range(count)))


def live_costs(least: int) -> dict[str, Cost]:
    """Return the ways to have many messages live at once."""
    return {"flowrt": _live(_expanded, least), "bare deque loop": _live(_queued, least)}


def live(scale: measure.Scale) -> measure.Row:
    high = scale(1_000_000, 2_000)
    low = min(1_000, high // 10)
    costs = live_costs(50 * low)
    return measure.Row(
        "live",
        f"growth of the cost of a hop, from {low:,} live messages to {high:,}",
        "times",
        tuple(
            measure.Contender(name, grown(partial(of, low), partial(of, high))) for name, of in costs.items()
        ),
        (
            measure.Claim("flowrt", "bare deque loop", 1.1, "≤ 1.1 ×"),
            *(measure.Claim(name) for name in costs),
        ),
    )


# -- tiny flows

TINY = list(range(10))
TINY_RESULT = [x + 3 for x in TINY]


def _tiny_flow() -> list[int]:
    with FlowRuntime() as runtime:
        work.add_chain(runtime, work.functions(3))
        return runtime.process_many(".in", TINY).values(TIMEOUT)


async def _tiny_tasks() -> list[int]:
    queues: list[asyncio.Queue[int | None]] = [asyncio.Queue() for _ in range(4)]

    async def stage(
        function: Function, source: asyncio.Queue[int | None], target: asyncio.Queue[int | None]
    ) -> None:
        while (x := await source.get()) is not None:
            await target.put(function(x))
        await target.put(None)

    tasks = [
        asyncio.create_task(stage(function, *queues[number : number + 2]))
        for number, function in enumerate(work.functions(3))
    ]
    for x in TINY:
        await queues[0].put(x)
    await queues[0].put(None)
    out = []
    while (x_out := await queues[3].get()) is not None:
        out.append(x_out)
    await asyncio.gather(*tasks)
    return out


def _tiny_thread() -> list[int]:
    source: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    out: list[int] = []
    thread = threading.Thread(target=lambda: out.extend(x + 3 for x in source.get()))
    thread.start()
    source.put(TINY)
    thread.join()
    return out


def tiny(scale: measure.Scale) -> measure.Row:
    flows = scale(1_000, 3)
    check = measure.equal_to([TINY_RESULT] * flows)

    def each(once: Callable[[], list[int]]) -> measure.Open:
        return measure.plainly(measure.timed(lambda: [once() for _ in range(flows)], check, flows))

    async def all_in_one() -> list[list[int]]:
        return [await _tiny_tasks() for _ in range(flows)]

    loops, one = "asyncio with queues, `asyncio.run` each", "asyncio with queues, one loop for all"
    floor = "floor: start and join a thread"
    return measure.Row(
        "tiny",
        f"{flows:,} tiny flows built, run and closed, a runtime each",
        "s per flow",
        (
            measure.Contender("flowrt", each(_tiny_flow)),
            measure.Contender(loops, each(lambda: asyncio.run(_tiny_tasks()))),
            measure.Contender(
                one, measure.plainly(measure.timed(lambda: asyncio.run(all_in_one()), check, flows))
            ),
            measure.Contender(floor, each(_tiny_thread)),
        ),
        (
            measure.Claim("flowrt", loops, 2.0, "≤ 2 ×"),
            measure.Claim("flowrt", one),
            measure.Claim(floor, loops),
        ),
    )
