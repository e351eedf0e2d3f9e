"""Rows: the memory of a stream, and what flowrt makes of its own for a message."""

from __future__ import annotations

import gc
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flowrt import FlowRuntime
from tests.benchmarks import work
from tests.benchmarks.measure import Claim, Contender, Open, Row, Sample, Scale, plainly, verify
from tests.benchmarks.rows_whole import child
from tests.benchmarks.work import TIMEOUT

# Our own: a slot in a list and a little; a dozen objects for what may be waited for, cancelled and accounted for by itself.
LIMITS = ((16.0, "≤ 16 bytes"), (1_000.0, "≤ 1,000 bytes"), (None, "–"), (None, "–"))
Send = Callable[[FlowRuntime, list[int]], object]


def memory(scale: Scale) -> Row:
    """In a process of its own, so that nothing else counts."""
    items = scale(1_000_000, 2_000)

    def sample() -> float:
        grown, consumed = json.loads(child("-m", "tests.benchmarks.memory", str(items)))
        verify(consumed, items)
        return float(grown)

    return Row(
        "memory",
        f"{items:,} items from a generator through a slower consumer on a thread",
        "MB more than the idle program",
        (Contender("flowrt", plainly(sample)),),
        (Claim("flowrt", "", 10.0, "≤ + 10 MB"),),
    )


def _streamed(runtime: FlowRuntime, data: list[int]) -> object:
    return runtime.process_many(".in", data)


def _singly(runtime: FlowRuntime, data: list[int]) -> object:
    return [runtime.process(".in", x) for x in data]


def _waiting(send: Send, items: int) -> Open:
    """Open a sample of the bytes in use per message while all of them wait for an operation that does not return."""

    @contextmanager
    def ready() -> Iterator[Sample]:
        begun, go_on = threading.Event(), threading.Event()
        data = list(range(items))  # not of flowrt's making, so not counted

        def hold(x: int) -> int:
            begun.set()
            go_on.wait(TIMEOUT)
            return x

        def sample() -> float:
            tracemalloc.start()
            try:
                before = _in_use()
                sent = send(runtime, data)
                begun.wait(TIMEOUT)
                runtime.process(".look", None).wait(TIMEOUT)  # behind them at the inbox: now all are taken in
                used = _in_use() - before
            finally:
                tracemalloc.stop()
                go_on.set()
            runtime.wait_idle(TIMEOUT)
            verify(sent is not None, expected=True)
            return used / items

        with work.one_operation(lambda operations: operations.add_func("work", hold).make_async()) as runtime:
            runtime.add_stream(".look", ".seen")
            runtime.process(".look", None).wait(TIMEOUT)
            yield sample

    return ready


def _read(read: Callable[[FlowRuntime, list[int]], object], items: int) -> Open:
    """Open a sample of the bytes per result that a reader holds."""

    @contextmanager
    def ready() -> Iterator[Sample]:
        data = list(range(items))
        with work.chain([work.increment]) as runtime:

            def sample() -> float:
                tracemalloc.start()
                try:
                    before = _in_use()
                    held = read(runtime, data)
                    used = _in_use() - before
                finally:
                    tracemalloc.stop()
                verify(held is not None, expected=True)
                return used / items

            yield sample

    return ready


def _in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def allocation(scale: Scale) -> Row:
    """What waits, and what is held: flowrt's own objects, the data aside (of results: an int of 28 bytes, and 8 in the list)."""
    items = scale(8_192, 64)
    ways = {
        "streamed, waiting": _waiting(_streamed, items),
        "one per `process()`, waiting, its `Run` kept": _waiting(_singly, items),
        "results as data (`run.values()`)": _read(
            lambda runtime, data: runtime.process_many(".in", data).values(TIMEOUT), items
        ),
        "results as messages (`run.results()`)": _read(
            lambda runtime, data: list(runtime.process_many(".in", data).results(TIMEOUT)), items
        ),
    }
    return Row(
        "allocation",
        "memory per message",
        "bytes",
        tuple(Contender(name, way) for name, way in ways.items()),
        tuple(Claim(name, "", limit, must) for name, (limit, must) in zip(ways, LIMITS, strict=True)),
    )
