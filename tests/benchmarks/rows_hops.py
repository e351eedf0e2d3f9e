"""Rows: what a hop costs, and a list that is scattered and gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from flowrt import Message
from tests.benchmarks import measure, peers, work
from tests.benchmarks.work import TIMEOUT, Function, increment

NESTED = "nested plain calls"
FUSED = "floor: fused loop"
CHUNKS = "floor: loop over chunks"
MAP = "floor: map over chunks"
LOW, HIGH = 5, 25  # stages, for slopes

Run = Callable[[list[Function], list[int]], list[int]]


def _stages(count: int) -> list[Function]:
    return [increment] * count


def _by_hand(
    run: Callable[[int], Run], items: int
) -> Callable[[int], AbstractContextManager[measure.Sample]]:
    """Return how to open a loop of so many stages."""

    def of(count: int) -> AbstractContextManager[measure.Sample]:
        function, stages, data = run(count), _stages(count), list(range(items))
        function(stages, data[:1])  # imports what it needs; the chains of flowrt have had a message too
        check = measure.equal_to([x + count for x in data])
        return measure.plainly(measure.timed(lambda: function(stages, data), check, items))()

    return of


def _any_length(run: Run) -> Callable[[int], Run]:
    return lambda _: run


def _nested(count: int) -> Run:
    loop = work.nested_calls(count)
    return lambda stages, data: loop(stages[0], data)


def _floors(
    items: int, open_as: Callable[[Callable[[int], AbstractContextManager[measure.Sample]]], measure.Open]
) -> list[measure.Contender]:
    ways: dict[str, Callable[[int], Run]] = {
        NESTED: _nested,
        FUSED: work.fused_loop,
        CHUNKS: _any_length(work.loop_over_chunks),
        MAP: _any_length(work.map_over_chunks),
    }
    return [measure.Contender(name, open_as(_by_hand(run, items))) for name, run in ways.items()]


def _streamed(items: int, schedule: str) -> Callable[[int], AbstractContextManager[measure.Sample]]:
    """Return how to open a chain of so many operations, fed by `process_many` and read by `values`."""

    @contextmanager
    def of(count: int) -> Iterator[measure.Sample]:
        data = list(range(items))
        with work.chain(_stages(count), schedule) as runtime:
            check = measure.equal_to([x + count for x in data])
            yield measure.timed(lambda: runtime.process_many(".in", data).values(TIMEOUT), check, items)

    return of


def _hop(name: str, schedule: str, limit: float, scale: measure.Scale) -> measure.Row:
    items = scale(50_000, 20)
    word = schedule.replace("_", "-")

    def sloped(of: Callable[[int], AbstractContextManager[measure.Sample]]) -> measure.Open:
        return measure.slope(of, LOW, HIGH)

    return measure.Row(
        name,
        f"hop, streamed, slope from {LOW} to {HIGH} stages, {word}",
        "s per hop",
        (measure.Contender("flowrt", sloped(_streamed(items, schedule))), *_floors(items, sloped)),
        (
            measure.Claim("flowrt", NESTED, limit, f"≤ {limit} ×"),
            *(measure.Claim(floor, NESTED) for floor in (FUSED, CHUNKS, MAP)),
        ),
    )


def hop_depth(scale: measure.Scale) -> measure.Row:
    return _hop("hop-depth", "depth_first", 1.2, scale)


def hop_breadth(scale: measure.Scale) -> measure.Row:
    return _hop("hop-breadth", "breadth_first", 1.6, scale)


def hop_peers(scale: measure.Scale) -> measure.Row:
    """Ten stages, whole: what each costs that opens its pipeline anew is the same for a million items."""
    items, count = scale(50_000, 20), 10
    own = [
        measure.Contender(name, partial(_streamed(items, schedule), count))
        for name, schedule in (("flowrt", "breadth_first"), ("flowrt, depth-first", "depth_first"))
    ]
    others = [
        measure.Contender(name, partial(_by_hand(_any_length(run), items), count), peers.PEERS[name])
        for name, run in peers.PIPELINES.items()
    ]
    pushing = [name for name in peers.PIPELINES if name not in peers.PULL]
    return measure.Row(
        "hop-peers",
        f"{count} stages, streamed, breadth-first, whole",
        "s per item",
        (*own, measure.Contender(NESTED, partial(_by_hand(_nested, items), count)), *others),
        (
            *measure.claims("flowrt", peers.PULL, 1.3, "≤ 1.3 ×"),
            *measure.claims("flowrt", pushing, 1.0, "ahead"),
            measure.Claim("flowrt", NESTED),
            measure.Claim("flowrt, depth-first", NESTED),
        ),
    )


def on_result(scale: measure.Scale) -> measure.Row:
    items, count = scale(50_000, 20), 10

    @contextmanager
    def handled() -> Iterator[measure.Sample]:
        data = list(range(items))
        out: list[int] = []

        def take(message: Message) -> None:
            out.append(message.data)

        def send() -> list[int]:
            runtime.process_many(".in", data).wait(TIMEOUT)
            return out

        with work.chain(_stages(count)) as runtime:
            runtime.on_result(take)
            yield measure.timed(send, measure.equal_to([x + count for x in data]), items)

    return measure.Row(
        "on-result",
        f"{count} stages, streamed, breadth-first, through `on_result`",
        "s per item",
        (
            measure.Contender("flowrt", handled),
            measure.Contender(NESTED, partial(_by_hand(_nested, items), count)),
        ),
        (measure.Claim("flowrt", NESTED, 3.0, "≤ 3 ×"),),
    )


# -- single messages


def _single(name: str, count: int, scale: measure.Scale) -> measure.Row:
    items = scale(5_000, 10)
    data = list(range(items))
    check = measure.equal_to([x + count for x in data])

    def sender(schedule: str) -> measure.Open:
        """Results go to a handler, as they do from a Subject."""

        @contextmanager
        def ready() -> Iterator[measure.Sample]:
            out: list[int] = []

            def send() -> list[int]:
                for x in data:
                    runtime.process(".in", x)
                runtime.wait_idle(TIMEOUT)
                return out

            with work.chain(_stages(count), schedule) as runtime:
                runtime.on_result(lambda message: out.append(message.data))
                yield measure.timed(send, check, items)

        return ready

    @contextmanager
    def asked() -> Iterator[measure.Sample]:
        def send() -> list[int]:
            runs = [runtime.process(".in", x) for x in data]
            return [run.result(TIMEOUT).data for run in runs]

        with work.chain(_stages(count)) as runtime:
            yield measure.timed(send, check, items)

    def loop(stages: list[Function], take: Callable[[int], None]) -> Callable[[int], None]:
        return partial(work.PortLoop(stages, take).process, ".in")

    @contextmanager
    def pushed(
        build: Callable[[list[Function], Callable[[int], None]], Callable[[int], None]],
    ) -> Iterator[measure.Sample]:
        out: list[int] = []
        push = build(_stages(count), out.append)

        def send() -> list[int]:
            for x in data:
                push(x)
            return out

        yield measure.timed(send, check, items)

    subject, by_hand = "reactivex.Subject", "deque loop with port lookup"
    return measure.Row(
        name,
        f"one message per `process()`, {count} stages",
        "s per message",
        (
            measure.Contender("flowrt", sender("breadth_first")),
            measure.Contender("flowrt, `run.result()` each", asked),
            measure.Contender('flowrt, schedule="sync"', sender("sync")),
            measure.Contender(subject, partial(pushed, peers.subject), "reactivex"),
            measure.Contender(by_hand, partial(pushed, loop)),
        ),
        (
            *measure.claims("flowrt", (subject, by_hand), 1.0, "ahead"),
            measure.Claim("flowrt, `run.result()` each", subject),
            measure.Claim('flowrt, schedule="sync"', subject),
        ),
    )


def single_5(scale: measure.Scale) -> measure.Row:
    return _single("single-5", 5, scale)


def single_25(scale: measure.Scale) -> measure.Row:
    return _single("single-25", 25, scale)


# -- a list


def scatter(scale: measure.Scale) -> measure.Row:
    items, lists = scale(10_000, 20), scale(20)
    data = list(range(items))
    check = measure.equal_to([sum(data) + items] * lists)

    def scattered(schedule: str) -> measure.Open:
        @contextmanager
        def ready() -> Iterator[measure.Sample]:
            with work.scattering(schedule) as runtime:
                yield repeated(lambda: runtime.process(".in", data).result(TIMEOUT).data)

        return ready

    def repeated(once: Callable[[], int]) -> measure.Sample:
        return measure.timed(lambda: [once() for _ in range(lists)], check, lists * items)

    listed = "list comprehension and sum"
    sync = 'flowrt, schedule="sync"'

    @contextmanager
    def summed(run: Callable[[Function, list[int]], int]) -> Iterator[measure.Sample]:
        run(increment, data[:1])  # imports what it needs
        yield repeated(lambda: run(increment, data))

    others = [
        measure.Contender(name, partial(summed, run), peers.PEERS[name]) for name, run in peers.SUMS.items()
    ]
    return measure.Row(
        "scatter",
        f"scatter {items:,} → f → gather → sum",
        "s per item",
        (
            measure.Contender("flowrt", scattered("breadth_first")),
            measure.Contender(sync, scattered("sync")),
            measure.Contender(listed, measure.plainly(repeated(lambda: sum([increment(x) for x in data])))),
            *others,
        ),
        (
            measure.Claim("flowrt", listed, 2.0, "≤ 2 ×"),
            *measure.claims("flowrt", ("reactivex", "streamable"), 1.0, "ahead"),
            measure.Claim(sync, "fpstreams", 1.0, "ahead"),
            measure.Claim("flowrt", "fpstreams"),
            measure.Claim(sync, listed),
        ),
    )
