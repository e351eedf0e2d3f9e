"""Rows: operations on threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import dummy
from statistics import median
from typing import Any

from flowrt import FlowOperationContainer, FlowRuntime, RunCancelledError
from tests.benchmarks import measure, work
from tests.benchmarks.work import TIMEOUT, Function, compute, increment, rest

Declare = Callable[[FlowOperationContainer], Any]
BEHIND = 1_024  # calls that a message of high priority overtakes


def _parallel(function: Function, data: list[int], workers: int, **how: Any) -> measure.Open:
    """Open a stream of items through one parallel operation, read by `values`."""

    def declare(operations: FlowOperationContainer) -> None:
        operations.add_func("work", function).make_parallel(workers, **how)

    return _through(declare, data, in_order=bool(how.get("ordered")))


def _through(declare: Declare, data: list[int], *, in_order: bool = False) -> measure.Open:
    @contextmanager
    def ready() -> Iterator[measure.Sample]:
        with work.one_operation(declare) as runtime:
            first = runtime.process(".in", data[0]).result(TIMEOUT).data
            plus = first - data[0]
            expected = [x + plus for x in data]
            yield measure.timed(
                lambda: runtime.process_many(".in", data).values(TIMEOUT),
                measure.equal_to(expected) if in_order else measure.same_items(sorted(expected)),
                len(data),
            )

    return ready


def _bare(threads: int, function: Function, data: list[int], plus: int = 0) -> measure.Open:
    expected = sorted(x + plus for x in data)
    return measure.plainly(
        measure.timed(
            lambda: work.bare_threads(threads, function, data), measure.same_items(expected), len(data)
        )
    )


def cheap(scale: measure.Scale) -> measure.Row:
    data = list(range(scale(100_000, 100)))
    few = data[: max(1, len(data) // 10)]  # the pool of futures needs as long for these
    check = measure.equal_to([x + 1 for x in data])

    @contextmanager
    def futures() -> Iterator[measure.Sample]:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, few[:4]))
            yield measure.timed(
                lambda: list(pool.map(increment, few)), measure.equal_to([x + 1 for x in few]), len(few)
            )

    @contextmanager
    def pool_of_threads(*, ordered: bool = False) -> Iterator[measure.Sample]:
        with dummy.Pool(4) as pool:
            go = pool.imap if ordered else pool.imap_unordered
            list(go(increment, data[:4]))
            yield measure.timed(
                lambda: list(go(increment, data, chunksize=64)),
                check if ordered else measure.same_items([x + 1 for x in data]),
                len(data),
            )

    variants = {
        "flowrt": _parallel(increment, data, 4),
        "flowrt, ordered=True": _parallel(increment, data, 4, ordered=True),
        "flowrt, by_key": _parallel(increment, data, 4, by_key=_key),
        "flowrt, shared pool": _parallel(increment, data, 4, pool="shared"),
        "flowrt, async": _through(
            lambda each: each.add_func("work", increment).make_async(), data, in_order=True
        ),
    }
    map_, unordered, imap = (
        "ThreadPoolExecutor.map",
        "dummy.Pool.imap_unordered(chunksize=64)",
        "dummy.Pool.imap(chunksize=64)",
    )
    return measure.Row(
        "cheap",
        "cheap operation, 4 threads",
        "s per item",
        (
            *(measure.Contender(name, ready) for name, ready in variants.items()),
            measure.Contender(map_, futures),
            measure.Contender(unordered, pool_of_threads),
            measure.Contender(imap, partial(pool_of_threads, ordered=True)),
        ),
        (
            measure.Claim("flowrt", map_, 1 / 40, "≤ 0.025 × (40 × faster)"),
            measure.Claim("flowrt", unordered, 1 / 1.2, "≤ 0.833 × (1.2 × faster)"),
            measure.Claim("flowrt, ordered=True", imap, 1 / 1.2, "≤ 0.833 × (1.2 × faster)"),
            *(measure.Claim(name, "flowrt") for name in variants if name != "flowrt"),
        ),
    )


def _key(x: int) -> int:
    return x % 16


def blocking(scale: measure.Scale) -> measure.Row:
    data = list(range(scale(2_000, 32)))
    bare = "16 bare threads on one iterator"
    return measure.Row(
        "blocking",
        "blocking operation (2 ms), 16 threads",
        "s per item",
        (
            measure.Contender("flowrt", _parallel(rest, data, 16)),
            measure.Contender("flowrt, ordered=True", _parallel(rest, data, 16, ordered=True)),
            measure.Contender(
                "flowrt, by_key of 1,000 keys", _parallel(rest, data, 16, by_key=lambda x: x % 1_000)
            ),
            measure.Contender(bare, _bare(16, rest, data)),
        ),
        (
            measure.Claim("flowrt", bare, 1.03, "≤ 1.03 ×"),
            measure.Claim("flowrt, ordered=True", bare),
            measure.Claim("flowrt, by_key of 1,000 keys", bare),
        ),
    )


def _mixed(name: str, what: str, data: list[int], slow: set[int], limit: float) -> measure.Row:
    def some_are_slow(x: int) -> int:
        if x in slow:
            time.sleep(work.SLOW)
        return x + 1

    bare = "4 bare threads on one iterator"
    assert data[0] not in slow, "the first, which finds out what is added, is a cheap one"
    return measure.Row(
        name,
        f"{what}, 4 threads",
        "s per item",
        (
            measure.Contender("flowrt", _parallel(some_are_slow, data, 4)),
            measure.Contender("flowrt, ordered=True", _parallel(some_are_slow, data, 4, ordered=True)),
            measure.Contender(bare, _bare(4, some_are_slow, data, plus=1)),
        ),
        (measure.Claim("flowrt", bare, limit, f"≤ {limit} ×"), measure.Claim("flowrt, ordered=True", bare)),
    )


def _some(data: list[int], part: float) -> set[int]:
    return set(random.Random(4).sample(data[1:], max(1, round(len(data) * part))))


def slow_10(scale: measure.Scale) -> measure.Row:
    data = list(range(scale(5_000, 50)))
    return _mixed("slow-10", "10 % slow items (2 ms) among cheap ones", data, _some(data, 0.1), 1.2)


def slow_1(scale: measure.Scale) -> measure.Row:
    data = list(range(scale(20_000, 100)))
    return _mixed("slow-1", "1 % slow items (2 ms) among cheap ones", data, _some(data, 0.01), 1.5)


def turning(scale: measure.Scale) -> measure.Row:
    before, after = scale(20_000, 100), scale(400, 10)
    data = list(range(before + after))
    return _mixed(
        "turning", f"{before:,} cheap items, then {after:,} slow ones (2 ms)", data, set(data[before:]), 1.3
    )


def overlap(scale: measure.Scale) -> measure.Row:
    """The port `.in` has two targets: one sleeps on threads, one computes on the engine's thread."""
    data = list(range(scale(1_000, 32)))
    expected = sorted([*data, *map(compute, data)])

    @contextmanager
    def together() -> Iterator[measure.Sample]:
        operations = FlowOperationContainer().add_func("rest", rest).make_parallel(16)
        operations.add_func("compute", compute)
        with FlowRuntime() as runtime:
            runtime.add_stream(".in", "rest").add_stream("rest", ".out")
            runtime.add_stream(".in", "compute").add_stream("compute", ".out").add_operations(operations)
            runtime.process(".in", 0).wait(TIMEOUT)
            yield measure.timed(
                lambda: runtime.process_many(".in", data).values(TIMEOUT),
                measure.same_items(expected),
                len(data),
            )

    def one_then_the_other() -> list[int]:
        return [*work.bare_threads(16, rest, data), *map(compute, data)]

    def both_at_once() -> list[int]:
        computed: list[int] = []
        thread = threading.Thread(target=lambda: computed.extend(map(compute, data)))
        thread.start()
        rested = work.bare_threads(16, rest, data)
        thread.join()
        return rested + computed

    alone, floor = "the sleeps alone + the CPU work alone", "floor: bare threads, at once"
    return measure.Row(
        "overlap",
        f"{len(data):,} × 2 ms on 16 threads beside a CPU-bound sync operation",
        "s per item",
        (
            measure.Contender("flowrt", together),
            measure.Contender(
                alone,
                measure.plainly(measure.timed(one_then_the_other, measure.same_items(expected), len(data))),
            ),
            measure.Contender(
                floor, measure.plainly(measure.timed(both_at_once, measure.same_items(expected), len(data)))
            ),
        ),
        (measure.Claim("flowrt", alone, 0.9, "≤ 0.9 ×"), measure.Claim(floor, alone)),
    )


def priority(scale: measure.Scale) -> measure.Row:
    variants: dict[str, Declare] = {
        "flowrt, sync": lambda each: each.make_sync(),
        "flowrt, async": lambda each: each.make_async(),
        "flowrt, 4 threads": lambda each: each.make_parallel(4),
    }
    behind = scale(BEHIND, 30)
    return measure.Row(
        "priority",
        f"high-priority message behind {behind:,} calls of 1 ms",
        "calls' time",
        tuple(measure.Contender(name, partial(_urgent, mode, behind)) for name, mode in variants.items()),
        tuple(measure.Claim(name, "", 20.0, "≤ 20 calls’ time") for name in variants),
    )


@contextmanager
def _urgent(mode: Declare, behind: int) -> Iterator[measure.Sample]:
    """Measure from `process` to the result, once the calls are under way; in the time that one of the calls takes."""
    begun = threading.Event()
    lengths: list[float] = []

    def call(x: int) -> int:
        started = time.perf_counter()
        begun.set()
        time.sleep(0.001)
        lengths.append(time.perf_counter() - started)
        return x

    with work.one_operation(lambda each: mode(each.add_func("work", call))) as runtime:
        runtime.process(".in", 0).wait(TIMEOUT)

        def sample() -> float:
            begun.clear()
            bulk = runtime.process_many(".in", range(behind))
            assert begun.wait(TIMEOUT)
            started = time.perf_counter()
            found = runtime.process(".in", -1, priority=1).result(TIMEOUT).data
            taken = time.perf_counter() - started
            measure.verify((found, bulk.done), (-1, False))
            bulk.cancel()
            try:
                bulk.wait(TIMEOUT)
            except RunCancelledError:
                return taken / median(lengths)
            raise AssertionError("unreachable: the run was cancelled")

        yield sample
