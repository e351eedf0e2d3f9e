"""Which operation limits a flow, and what more workers for it would bring at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from typing import TYPE_CHECKING

from attrs import frozen

from flowrt.observe.explain import Bottleneck, OperationFacts

if TYPE_CHECKING:
    from flowrt.engine import Engine


@frozen
class Load:
    """How busy what can be busy was: an operation with its workers, or one that shares the engine's thread."""

    name: str
    mode: str
    busy: float
    workers: int
    on_engine: bool = False

    @property
    def each(self) -> float:
        """Seconds that each worker was busy."""
        return self.busy / self.workers


def loads_of(engine: Engine, operations: Iterable[OperationFacts]) -> Iterator[Load]:
    """Say how busy each operation's workers were; of a pool that several share, all of them together."""
    places = engine.routes.all_places()
    pools: dict[int, Load] = {}
    for place, facts in zip(places, operations, strict=False):
        if not place.handed_over:
            yield Load(facts.name, "sync", facts.busy_seconds, 1, on_engine=True)
            continue
        key = id(place.executor)
        known = pools.get(key)
        own = Load(facts.name, facts.mode, facts.busy_seconds, facts.workers)
        if known is not None:
            first = max(known, own, key=lambda load: load.busy)
            own = Load(first.name, first.mode, known.busy + own.busy, max(known.workers, own.workers))
        pools[key] = own
    yield from pools.values()


def bottleneck_of(loads: Iterable[Load], seconds: float) -> Bottleneck | None:
    """Say which operation limits the flow, and what more workers for it would bring at most.

    With b(i) the seconds that operation i was busy and w(i) its workers, the flow takes at least the largest b(i)/w(i). Operations
    that share the engine's thread count as one worker there, with the sum of their b. The bottleneck is the operation behind the
    largest; on the engine's thread the busiest there. With any number of workers for it, what comes second remains, so that

        bound = largest / second, reached with b / second workers.

    Of an operation that leaves the engine's thread, second is the larger of what remains there and of what comes second elsewhere.
    It is a bound, not a promise: what computes in Python shares one interpreter lock, and the engine's own work is not in it.
    """
    known = [load for load in loads if load.busy > 0]
    if not known or seconds <= 0:
        return None
    inline = sorted((load for load in known if load.on_engine), key=lambda load: -load.busy)
    engine = sum(load.busy for load in inline)
    elsewhere = sorted((load for load in known if not load.on_engine), key=lambda load: -load.each)
    if inline and (not elsewhere or engine >= elsewhere[0].each):
        first, largest, rest = inline[0], engine, engine - inline[0].busy
        others = elsewhere
    else:
        first, largest, rest = elsewhere[0], elsewhere[0].each, engine
        others = elsewhere[1:]
    second, following = rest, "the engine's thread"
    if others and others[0].each > second:
        second, following = others[0].each, others[0].name
    bound = largest / second if second > 0 else None
    workers = ceil(first.busy / second) if second > 0 else None
    return Bottleneck(first.name, first.mode, min(first.each / seconds, 1.0), bound, workers, following)
