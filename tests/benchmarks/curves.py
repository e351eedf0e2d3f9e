"""Growth: the same work in sizes from one to a million, and what a piece of it costs in each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median

from attrs import frozen

from flowrt import FlowOperationContainer, FlowRuntime
from tests.benchmarks import work
from tests.benchmarks.measure import Sample, Scale, equal_to, same_items, timed, verify
from tests.benchmarks.rows_whole import TOGETHER, flow_of, live_costs, loop_of
from tests.benchmarks.work import TIMEOUT, Function, increment, rest

Of = Callable[[int], AbstractContextManager[Sample]]


@frozen
class Curve:
    """What a piece of work costs, over sizes."""

    name: str
    over: str
    unit: str
    sizes: tuple[int, ...]
    series: dict[str, Of]


@frozen
class Grown:
    """A curve with its samples: by series, by size, in order of the rounds."""

    curve: Curve
    samples: dict[str, dict[int, list[float]]]

    def figures(self, series: str) -> list[tuple[int, float]]:
        return [(size, median(samples)) for size, samples in self.samples[series].items()]


def trace(curve: Curve, rounds: int) -> Grown:
    """Measure every series in every size, one after the other, in each round."""
    samples: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in curve.sizes} for name in curve.series
    }
    for _ in range(rounds):
        for size in curve.sizes:
            for name, of in curve.series.items():
                with of(size) as sample:
                    gc.collect()
                    samples[name][size].append(sample())
    return Grown(curve, samples)


def sizes(smallest: int, largest: int, step: int, scale: Scale) -> tuple[int, ...]:
    """Return the sizes up to the largest, or to the part of it that is tried; two at least."""
    found = [smallest]
    while found[-1] < largest and (len(found) < 2 or found[-1] * step <= largest * scale.part):
        found.append(found[-1] * step)
    return tuple(found)


def compiled(scale: Scale) -> Curve:
    """From the first declaration to the first result."""

    @contextmanager
    def first(count: int) -> Iterator[Sample]:
        stages = work.functions(count)

        def sample() -> float:
            started = time.perf_counter()
            with FlowRuntime() as runtime:
                work.add_chain(runtime, stages)
                found = runtime.process(".in", 0).result(TIMEOUT).data
                taken = time.perf_counter() - started
            verify(found, count)
            return taken / count

        yield sample

    return Curve(
        "curve-compile",
        "operations: declared, compiled and the first message through",
        "s per operation",
        sizes(10, 10_000, 10, scale),
        {"flowrt": first},
    )


def hops(scale: Scale) -> Curve:
    def through(run: Callable[[int], AbstractContextManager[Callable[[], list[int]]]]) -> Of:
        @contextmanager
        def of(count: int) -> Iterator[Sample]:
            repeats = max(1, scale(10_000, 10) // count)
            check = equal_to([[x + count for x in range(TOGETHER)]] * repeats)
            with run(count) as go:
                yield timed(lambda: [go() for _ in range(repeats)], check, repeats * TOGETHER * count)

        return of

    return Curve(
        "curve-hops",
        f"operations: {TOGETHER} messages through all of them",
        "s per hop",
        sizes(10, 10_000, 10, scale),
        {"flowrt": through(flow_of), "bare deque loop": through(loop_of)},
    )


def live(scale: Scale) -> Curve:
    return Curve(
        "curve-live",
        "live messages",
        "s per hop",
        sizes(1, 1_000_000, 10, scale),
        dict(live_costs(scale(1_000))),
    )


def workers(scale: Scale) -> Curve:
    def through(function: Function, items: Callable[[int], int]) -> Of:
        @contextmanager
        def of(count: int) -> Iterator[Sample]:
            data, plus = list(range(items(count))), function(0)
            expected = [x + plus for x in data]
            with work.one_operation(
                lambda operations: operations.add_func("work", function).make_parallel(count)
            ) as runtime:
                runtime.process(".in", 0).wait(TIMEOUT)
                yield timed(
                    lambda: runtime.process_many(".in", data).values(TIMEOUT),
                    same_items(expected),
                    len(data),
                )

        return of

    @contextmanager
    def times_ideal(count: int) -> Iterator[Sample]:
        calls = scale(100, 4)
        with through(rest, lambda workers: workers * calls)(count) as sample:
            yield lambda: sample() * count

    @contextmanager
    def bare(count: int) -> Iterator[Sample]:
        data = list(range(count * scale(100, 4)))
        sample = timed(lambda: work.bare_threads(count, rest, data), same_items(data), len(data))
        yield lambda: sample() * count

    return Curve(
        "curve-workers",
        "workers of a cheap operation, and one that blocks for 2 ms (times the workers: 2 ms is ideal)",
        "s per item",
        sizes(1, 64, 2, scale),
        {
            "cheap": through(increment, lambda _: scale(50_000, 64)),
            "blocking": times_ideal,
            "blocking, bare threads": bare,
        },
    )


def backlog(scale: Scale) -> Curve:
    """Messages made at once by one call, before four workers that each take what they can."""

    @contextmanager
    def of(count: int) -> Iterator[Sample]:
        repeats = max(1, scale(1_000) // count)
        operations = FlowOperationContainer().add_action("expand", work.expand)
        operations.add_func("work", increment).make_parallel(4)
        check: list[int] = [x + 1 for x in range(count)]
        with FlowRuntime() as runtime:
            runtime.add_stream(".in", "expand").add_stream("expand", "work").add_stream("work", ".out")
            runtime.add_operations(operations)
            runtime.process(".in", 1).wait(TIMEOUT)

            def sample() -> float:
                go = timed(lambda: runtime.process(".in", count).values(TIMEOUT), same_items(check), count)
                return sum(go() for _ in range(repeats)) / repeats

            yield sample

    return Curve(
        "curve-backlog",
        "messages waiting before a parallel operation, 4 threads",
        "s per message",
        sizes(1, 1_000_000, 10, scale),
        {"flowrt": of},
    )


def lists(scale: Scale) -> Curve:
    """Lists that are scattered and gathered: through a function, and through an action, which takes its items singly."""

    def through(schedule: str, declare: Callable[[FlowOperationContainer], object] | None = None) -> Of:
        @contextmanager
        def of(count: int) -> Iterator[Sample]:
            data = list(range(count))
            repeats = max(1, scale(20_000) // count)
            check = equal_to([sum(data) + count] * repeats)
            with work.scattering(schedule, declare) as runtime:
                yield timed(
                    lambda: [runtime.process(".in", data).result(TIMEOUT).data for _ in range(repeats)],
                    check,
                    repeats * count,
                )

        return of

    def as_action(operations: FlowOperationContainer) -> None:
        def step(x: int, emit: Callable[[int], None]) -> None:
            emit(x + 1)

        operations.add_action("f", step)

    return Curve(
        "curve-lists",
        "items of a list: scattered, worked on, gathered",
        "s per item",
        sizes(1_000, 100_000, 10, scale),
        {
            "breadth-first": through("breadth_first"),
            "depth-first": through("depth_first"),
            "sync": through("sync"),
            "sync, an action": through("sync", as_action),
        },
    )
