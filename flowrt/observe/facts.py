"""What `explain()` tells, gathered: what each worker, operation and source is doing, and what is held.

Called on: the engine's thread, between two calls. Where the engine does not come to that, any thread may try: what it reads may then change
under its hands, and it looks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import ceil
from typing import TYPE_CHECKING, TypeVar

from attrs import field, frozen

from flowrt.engine.contract import PullTask, Task
from flowrt.messages import MISSING_KEPT, first_position, missing_text
from flowrt.observe import explain
from flowrt.observe.calls import fused_call, is_in_operation, place_in_code, thread_names
from flowrt.observe.figures import held_in
from flowrt.operations.bodies import Unmade

if TYPE_CHECKING:
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.engine import Engine
    from flowrt.engine.places import Place
    from flowrt.engine.sources import OpenSource
    from flowrt.messages import Context, RunBooks, Scope, SourceWindow, Spot


RESULTS = "the result ports"


@frozen
class Whereabouts:
    """Where live messages are."""

    backlog: Counter[str] = field(factory=Counter)
    in_work: Counter[str] = field(factory=Counter)
    oldest: dict[str, RunBooks] = field(factory=dict)
    windows: dict[SourceWindow, Counter[str]] = field(factory=dict)
    scopes: dict[Scope, Counter[str]] = field(factory=dict)

    def add(self, name: str, counter: Counter[str], context: Context, messages: int) -> None:
        """Count messages of one context at a place, also in everything around them."""
        counter[name] += messages
        scope: Scope | None = context.scope
        run = context.scope.run
        if name not in self.oldest or run.opened < self.oldest[name].opened:
            self.oldest[name] = run
        if scope is not None and scope.window is not None:
            self.windows.setdefault(scope.window, Counter())[name] += messages
        while scope is not None and (scope.parent is not None or run.holding):
            self.scopes.setdefault(scope, Counter())[name] += messages
            scope = scope.parent


def tasks_of(engine: Engine) -> Iterator[Task | PullTask]:
    """Iterate over what workers are performing."""
    for executor in engine.routes.all_executors():
        yield from executor.doing()


def look_around(engine: Engine, tasks: Iterable[Task | PullTask]) -> Whereabouts:
    """Look at everything that waits or is in work."""
    where = Whereabouts()
    in_work = {id(task.chunk) for task in tasks if isinstance(task, Task)}
    for chunk in engine.traffic.waiting():
        place = chunk.handler.place
        _add(where, place.name if place is not None else RESULTS, where.backlog, chunk, 0)
    for executor in engine.routes.all_executors():
        for name, chunk, first in executor.unreported():
            _add(where, name, where.in_work if id(chunk) in in_work else where.backlog, chunk, first)
    for place in engine.routes.all_places():
        if place.guard is not None:
            for chunk in place.guard.unreported():
                _add(where, place.name, where.backlog, chunk, 0)
    for source in engine.sources:
        where.add(source.place.name, Counter(), source.input, 1)
    return where


def _add(where: Whereabouts, name: str, counter: Counter[str], chunk: Chunk, first: int) -> None:
    contexts = chunk.context
    if isinstance(contexts, list):
        for context in contexts[first:]:
            where.add(name, counter, context, 1)
    elif len(chunk.data) > first:
        where.add(name, counter, contexts, len(chunk.data) - first)


def open_lists(engine: Engine) -> Counter[SourceWindow]:
    """Count the lists that take the place of one message each in the window around them."""
    found: Counter[SourceWindow] = Counter()
    for run in list(engine.books.runs):
        for scope in list(run.open_scopes):
            if scope.active and scope.parent is not None and scope.parent.window is not None:
                found[scope.parent.window] += 1
    return found


def filling(
    window: SourceWindow, where: Whereabouts, lists: Counter[SourceWindow]
) -> tuple[explain.Share, ...]:
    """Say what is live in a window, most first."""
    inside = where.windows.get(window, Counter()) + Counter({explain.LISTS: lists[window]})
    return tuple(explain.Share(name, messages) for name, messages in inside.most_common())


LISTED = 100  # lists and runs whose held messages are explained; arbitrary, more than that nobody reads


def source_facts(
    sources: list[OpenSource], where: Whereabouts, lists: Counter[SourceWindow]
) -> Iterator[explain.SourceFacts]:
    """Say of each place with open iterators how far they are, and what fills its window."""
    by_place: dict[Place, list[OpenSource]] = {}
    for source in sources:
        by_place.setdefault(source.place, []).append(source)
    for place, siblings in by_place.items():
        window = siblings[0].window
        sizes = [len(source.items) for source in siblings if isinstance(source.items, list | tuple)]
        yield explain.SourceFacts(
            name=place.name,
            iterators=len(siblings),
            given=sum(source.given for source in siblings),
            total=sum(sizes) if len(sizes) == len(siblings) else None,
            live=window.live,
            limit=window.limit,
            paused=window.live >= window.limit or (window.paused and 2 * window.live >= window.limit),
            pulled=any(source.pull is not None for source in siblings),
            filled_by=filling(window, where, lists),
        )


def held_facts(
    engine: Engine, runs: list[RunBooks], sources: list[OpenSource], where: Whereabouts
) -> Iterator[explain.HeldFacts]:
    """Say what operations hold and what they wait for."""
    listed = 0
    for run in runs:
        for scope in (run, *sorted(run.open_scopes, key=lambda scope: scope.depth)):
            for place in scope.gathers:
                if place not in scope.answered and not scope.cut_short:
                    yield _owed(place, scope, sources, where)
                    listed += 1
            for place, parts in (scope.parts or {}).items():
                if place not in scope.gathers:
                    by, words = _held_up_by(scope, sources, where), _own_words(place)
                    yield explain.HeldFacts(
                        place.name, run.number, len(parts), held_up_by=by, waits_for=words
                    )
                    listed += 1
            if listed >= LISTED:
                return
    known = {place for run in runs for scope in (run, *run.open_scopes) for place in scope.parts or ()}
    for place in engine.routes.all_places():
        words = _own_words(place) if place not in known else ""
        if words:
            yield explain.HeldFacts(place.name, 0, 0, waits_for=words)


def _own_words(place: Spot) -> str:
    """Let an operation say what it waits for, if it can."""
    says = place.extras.explain
    return str(says(place.state)) if says is not None and type(place.state) is not Unmade else ""


def _owed(place: Spot, scope: Scope, sources: list[OpenSource], where: Whereabouts) -> explain.HeldFacts:
    """Say what a gather has of a list, and where the rest is."""
    gathered = (scope.gathered or {}).get(place, 0)
    owes = place.extras.owes
    announced, arrived = owes(place.state, scope) if owes is not None else (None, set())
    end = announced
    if end is None:
        end = next((source.given for source in sources if source.scope is scope), 0)
    known = end if end <= MISSING_KEPT else 0
    records = [record for record in scope.missing or () if record.positions is not None]
    lost = {first_position(position) for record in records for position in record.positions or ()} - arrived
    missing = [position for position in range(known) if position not in arrived and position not in lost]
    return explain.HeldFacts(
        place.name,
        scope.run.number,
        gathered,
        announced,
        tuple(missing[: explain.MOST_SHOWN]),
        len(missing),
        _held_up_by(scope, sources, where),
        f"{len(lost)} ({missing_text(records)})" if lost else "",
    )


def _held_up_by(scope: Scope, sources: list[OpenSource], where: Whereabouts) -> tuple[str, ...]:
    """Say what of a list or run is still to come."""
    live = Counter(where.scopes.get(scope, {}))
    ends = dict.fromkeys(source.place.name for source in sources if _is_within(source.scope, scope))
    for name in ends:
        live.pop(name, None)
    texts = [f"{messages} at {name}" for name, messages in live.most_common(explain.MOST_SHOWN)]
    return (*texts, *(f"{name} to end" for name in ends))


def _is_within(inner: Scope, outer: Scope) -> bool:
    scope: Scope | None = inner
    while scope is not None and scope is not outer:
        scope = scope.parent
    return scope is outer


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


def loads_of(engine: Engine, operations: Iterable[explain.OperationFacts]) -> Iterator[Load]:
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


def bottleneck_of(loads: Iterable[Load], seconds: float) -> explain.Bottleneck | None:
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
    return explain.Bottleneck(
        first.name, first.mode, min(first.each / seconds, 1.0), bound, workers, following
    )


MOST_LOOKS = 5  # arbitrary: who reads what is changing under his hands looks again

Sight = TypeVar("Sight")


def explanation_of(
    engine: Engine,
    now: float,
    name: str,
    ident: int | None,
    *,
    answered: bool,
    callers: int,
    dropped: int,
    outside: int,
    unread: int,
    max_results: int,
) -> explain.Explanation:
    """Take a picture of what a runtime is doing; what the engine does not know of it is given. `ident`: of the engine's thread."""
    books = engine.books
    lists: Counter[SourceWindow] = tried(lambda: open_lists(engine), Counter())
    tasks: tuple[Task | PullTask, ...] = tried(lambda: tuple(tasks_of(engine)), ())
    names = thread_names()
    where = tried(lambda: look_around(engine, tasks), Whereabouts())
    runs: list[RunBooks] = tried(lambda: sorted(books.runs, key=lambda run: (run.opened, run.number)), [])
    seconds = now - books.began if books.began is not None else 0.0
    in_hand = tried(lambda: call_in_hand(engine, ident), None)
    sources: list[OpenSource] = tried(lambda: list(engine.sources), [])
    places = engine.routes.all_places()
    operations = tuple(operation_facts(place, tasks, where, now, in_hand) for place in places)
    calls = [call_in_work(task, now, names) for task in tasks]
    return explain.Explanation(
        runtime=name,
        seconds=seconds,
        runs=len(runs),
        oldest_run=runs[0].number if runs else None,
        oldest=now - runs[0].opened if runs else 0.0,
        live=books.live,
        held=tried(lambda: sum(map(held_in, runs)), 0),
        unread=unread,
        max_results=max_results,
        outrun=sum(run.outrun for run in runs),
        leaving=tried(lambda: sum(len(chunk.data) for chunk in engine.traffic.leaving), 0),
        throttle=engine.traffic.delay,
        engine=engine_facts(in_hand, now, ident, answered=answered),
        operations=operations,
        calls=tuple(sorted(calls, key=lambda call: -call.seconds)),
        sources=tuple(source_facts(sources, where, lists)),
        waiting=tuple(tried(lambda: list(held_facts(engine, runs, sources, where)), [])),
        input=explain.InputFacts(
            live=books.outside.live,
            capacity=books.outside.limit,
            callers=callers,
            open=len(engine.runs.feeding),
            waiting=outside,
            dropped=dropped,
            filled_by=filling(books.outside, where, lists),
        ),
        bottleneck=bottleneck_of(tried(lambda: list(loads_of(engine, operations)), []), seconds),
    )


def tried(look: Callable[[], Sight], otherwise: Sight) -> Sight:
    """Return what there is to see; what changes while it is looked at is looked at again, a few times."""
    for _ in range(MOST_LOOKS):
        try:
            return look()
        except (RuntimeError, LookupError, AttributeError, TypeError):
            continue
    return otherwise


def call_in_hand(engine: Engine, ident: int | None) -> tuple[str, float] | None:
    """Return whose call the engine's thread is in, and when it (or the first of a group of short ones) began."""
    if ident is not None and not is_in_operation(ident):
        return None
    chain = engine.fusion.in_work
    if chain is not None:
        number = fused_call(ident)
        name = chain.places[number].name if number is not None else chain.name
        return name, engine.fusion.began
    place = engine.in_work
    if place is not None:
        began = engine.acts.began if place.batches or place.executor is None else place.executor.began
        return (place.name, began) if began is not None else None
    for source in engine.sources:
        began = source.place.executor.began if source.place.executor is not None else None
        if source.pull is not None and began is not None:
            return source.place.name, began
    return None


def engine_facts(
    in_hand: tuple[str, float] | None, now: float, ident: int | None, *, answered: bool
) -> explain.EngineFacts:
    """Say what the engine's thread is doing."""
    at = "" if answered else place_in_code(ident)
    name, began = in_hand if in_hand is not None else ("", now)
    return explain.EngineFacts(name, now - began, answered, at)


def call_in_work(task: Task | PullTask, now: float, names: dict[int, str]) -> explain.CallInWork:
    """Say what one worker is doing."""
    place = task.place
    context = task.source.context if isinstance(task, PullTask) else task.chunk.context_at(0)
    thread, at = names.get(task.ident or 0, "a worker"), place_in_code(task.ident)
    return explain.CallInWork(place.name, thread, now - task.started, context.scope.run.number, at)


def operation_facts(
    place: Place,
    tasks: Iterable[Task | PullTask],
    where: Whereabouts,
    now: float,
    in_hand: tuple[str, float] | None,
) -> explain.OperationFacts:
    """Say what one operation has to do."""
    mode = place.declaration.mode
    mine = [task for task in tasks if task.place is place]
    calls, busy = place.meter.total()
    busy += sum(now - task.started for task in mine)
    here = in_hand is not None and in_hand[0] == place.name
    if in_hand is not None and here:
        busy += now - in_hand[1]
    oldest, guard, executor, waits_for = where.oldest.get(place.name), place.guard, place.executor, ""
    if executor is not None and (since := executor.waits_since) is not None:
        waits_for = f"dispatcher {executor.dispatcher} for {explain.seconds_text(now - since)}"
    return explain.OperationFacts(
        name=place.name,
        mode=str(mode) if place.handed_over else "sync",
        workers=mode.workers if place.handed_over else 1,
        busy=len(mine) + here,
        backlog=where.backlog[place.name],
        in_work=where.in_work[place.name],
        oldest_run=oldest.number if oldest is not None else None,
        oldest=now - oldest.opened if oldest is not None else None,
        calls=calls,
        busy_seconds=busy,
        backing_off=guard.backing_off if guard is not None else 0,
        retried=guard.retried if guard is not None else 0,
        timed_out=guard.timed_out if guard is not None else 0,
        waits_for=waits_for,
    )
