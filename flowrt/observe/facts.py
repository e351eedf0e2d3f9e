"""The facts behind an explanation, gathered from the engine and its executors.

Called on: the engine's thread, between two calls. Where the engine does not come to that, any thread may try: what it reads may then change
under its hands, and it looks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from flowrt.contract import PullTask, Task
from flowrt.observe.bottleneck import bottleneck_of, loads_of
from flowrt.observe.explain import (
    CallInWork,
    EngineFacts,
    Explanation,
    InputFacts,
    OperationFacts,
    seconds_text,
)
from flowrt.observe.stacks import fused_call, is_in_operation, place_in_code, thread_names
from flowrt.observe.waiting import held_facts, held_in, source_facts
from flowrt.observe.whereabouts import Whereabouts, filling, look_around, open_lists, tasks_of

if TYPE_CHECKING:
    from flowrt.engine import Engine
    from flowrt.places import OperationPlace
    from flowrt.scopes import RunBooks, Window
    from flowrt.sources import Source

TRIES = 5  # arbitrary: who reads what is changing under his hands looks again

Found = TypeVar("Found")


@frozen
class Around:
    """What the engine does not know: figures of the runtime around it."""

    name: str
    callers: int = 0
    dropped: int = 0
    outside: int = 0
    unread: int = 0
    max_results: int = 0
    engine: int | None = None  # the ident of its thread
    answered: bool = True


def explanation_of(engine: Engine, now: float, around: Around) -> Explanation:
    """Take a picture of what a runtime is doing."""
    books = engine.books
    lists: Counter[Window] = tried(lambda: open_lists(engine), Counter())
    tasks: tuple[Task | PullTask, ...] = tried(lambda: tuple(tasks_of(engine)), ())
    names = thread_names()
    where = tried(lambda: look_around(engine, tasks), Whereabouts())
    runs: list[RunBooks] = tried(lambda: sorted(books.runs, key=lambda run: (run.opened, run.number)), [])
    seconds = now - books.began if books.began is not None else 0.0
    in_hand = tried(lambda: call_in_hand(engine, around.engine), None)
    sources: list[Source] = tried(lambda: list(engine.sources), [])
    operations = tuple(
        operation_facts(place, tasks, where, now, in_hand) for place in engine.routes.all_places()
    )
    return Explanation(
        runtime=around.name,
        seconds=seconds,
        runs=len(runs),
        oldest_run=runs[0].number if runs else None,
        oldest=now - runs[0].opened if runs else 0.0,
        live=books.live,
        held=tried(lambda: sum(map(held_in, runs)), 0),
        unread=around.unread,
        max_results=around.max_results,
        engine=engine_facts(in_hand, now, around),
        operations=operations,
        calls=tuple(
            sorted((call_in_work(task, now, names) for task in tasks), key=lambda call: -call.seconds)
        ),
        sources=tuple(source_facts(sources, where, lists)),
        waiting=tuple(tried(lambda: list(held_facts(engine, runs, sources, where)), [])),
        input=InputFacts(
            live=books.outside.live,
            capacity=books.outside.limit,
            callers=around.callers,
            open=len(engine.feeding),
            waiting=around.outside,
            dropped=around.dropped,
            filled_by=filling(books.outside, where, lists),
        ),
        bottleneck=bottleneck_of(tried(lambda: list(loads_of(engine, operations)), []), seconds),
    )


def tried(look: Callable[[], Found], otherwise: Found) -> Found:
    """Return what there is to see; what changes while it is looked at is looked at again, a few times."""
    for _ in range(TRIES):
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
        number = fused_call(ident) if ident is not None else None
        name = chain.places[number].name if number is not None else chain.name
        return name, engine.fusion.began
    place = engine.in_work
    if place is not None:
        began = engine.batches.began if place.batches else getattr(place.executor, "began", None)
        return (place.name, began) if began is not None else None
    for source in engine.sources:
        began = getattr(source.place.executor, "began", None)
        if source.pull is not None and began is not None:
            return source.place.name, began
    return None


def engine_facts(in_hand: tuple[str, float] | None, now: float, around: Around) -> EngineFacts:
    """Say what the engine's thread is doing."""
    at = "" if around.answered or around.engine is None else place_in_code(around.engine)
    if in_hand is None:
        return EngineFacts(answered=around.answered, at=at)
    return EngineFacts(in_hand[0], now - in_hand[1], around.answered, at)


def call_in_work(task: Task | PullTask, now: float, names: dict[int, str]) -> CallInWork:
    """Say what one worker is doing."""
    place = task.place
    context = task.source.context if isinstance(task, PullTask) else task.chunk.context_at(0)
    ident = task.ident
    thread = names.get(ident, "a worker") if ident is not None else "a worker"
    at = place_in_code(ident) if ident is not None else ""
    return CallInWork(
        place.name,
        thread,
        now - task.started,
        context.scope.run.number,
        at,
    )


def operation_facts(
    place: OperationPlace,
    tasks: Iterable[Task | PullTask],
    where: Whereabouts,
    now: float,
    in_hand: tuple[str, float] | None,
) -> OperationFacts:
    """Say what one operation has to do."""
    mode = place.declaration.mode
    mine = [task for task in tasks if task.place is place]
    calls, busy = place.meter.total()
    busy += sum(now - task.started for task in mine)
    here = in_hand is not None and in_hand[0] == place.name
    if in_hand is not None and here:
        busy += now - in_hand[1]
    oldest = where.oldest.get(place.name)
    return OperationFacts(
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
        backing_off=place.guard.backing_off if place.guard is not None else 0,
        retried=place.guard.retried if place.guard is not None else 0,
        timed_out=place.guard.timed_out if place.guard is not None else 0,
        waits_for=_dispatcher_waited_for(place, now),
    )


def _dispatcher_waited_for(place: OperationPlace, now: float) -> str:
    since: float | None = getattr(place.executor, "waits_since", None)
    if since is None:
        return ""
    name: str = getattr(place.executor, "dispatcher", "")
    return f"dispatcher {name} for {seconds_text(now - since)}"
