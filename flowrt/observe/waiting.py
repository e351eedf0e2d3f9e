"""Who waits for whom: sources for their windows, and operations that hold messages for what is to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowrt.messages import first_position
from flowrt.observe.explain import SHOWN, HeldFacts, SourceFacts
from flowrt.observe.whereabouts import Whereabouts, filling
from flowrt.scopes import MISSING_KEPT, missing_text

if TYPE_CHECKING:
    from flowrt.engine import Engine
    from flowrt.messages import Spot
    from flowrt.places import OperationPlace
    from flowrt.scopes import RunBooks, Scope, Window
    from flowrt.sources import Source

LISTED = 100  # lists and runs whose held messages are explained; arbitrary, more than that nobody reads


def source_facts(sources: list[Source], where: Whereabouts, lists: Counter[Window]) -> Iterator[SourceFacts]:
    """Say of each place with open iterators how far they are, and what fills its window."""
    by_place: dict[OperationPlace, list[Source]] = {}
    for source in sources:
        by_place.setdefault(source.place, []).append(source)
    for place, siblings in by_place.items():
        window = siblings[0].window
        sizes = [len(source.items) for source in siblings if isinstance(source.items, list | tuple)]
        yield SourceFacts(
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


def held_in(run: RunBooks) -> int:
    """Count what operations hold of a run."""
    return sum(scope.held + sum((scope.gathered or {}).values()) for scope in (run, *run.open_scopes))


def held_facts(
    engine: Engine, runs: list[RunBooks], sources: list[Source], where: Whereabouts
) -> Iterator[HeldFacts]:
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
                    yield HeldFacts(
                        place.name,
                        run.number,
                        len(parts),
                        held_up_by=_held_up_by(scope, sources, where),
                        waits_for=_own_words(place),
                    )
                    listed += 1
            if listed >= LISTED:
                return
    known = {place for run in runs for scope in (run, *run.open_scopes) for place in scope.parts or ()}
    for place in engine.routes.all_places():
        words = _own_words(place) if place not in known else ""
        if words:
            yield HeldFacts(place.name, 0, 0, waits_for=words)


def _own_words(place: Spot) -> str:
    """Let an operation say what it waits for, if it can."""
    explain = getattr(place.operation, "explain", None)
    return str(explain(place.state)) if explain is not None else ""


def _owed(place: Spot, scope: Scope, sources: list[Source], where: Whereabouts) -> HeldFacts:
    """Say what a gather has of a list, and where the rest is."""
    gathered = (scope.gathered or {}).get(place, 0)
    owes = getattr(place.operation, "owes", None)
    announced, arrived = owes(place.state, scope) if owes is not None else (None, set())
    end = announced
    if end is None:
        end = next((source.given for source in sources if source.scope is scope), 0)
    known = end if end <= MISSING_KEPT else 0
    records = [record for record in scope.missing or () if record.positions is not None]
    lost = {first_position(position) for record in records for position in record.positions or ()} - arrived
    missing = [position for position in range(known) if position not in arrived and position not in lost]
    return HeldFacts(
        place.name,
        scope.run.number,
        gathered,
        announced,
        tuple(missing[:SHOWN]),
        len(missing),
        _held_up_by(scope, sources, where),
        f"{len(lost)} ({missing_text(records)})" if lost else "",
    )


def _held_up_by(scope: Scope, sources: list[Source], where: Whereabouts) -> tuple[str, ...]:
    """Say what of a list or run is still to come."""
    live = Counter(where.scopes.get(scope, {}))
    ends = {
        source.place.name: live.pop(source.place.name, 0)
        for source in sources
        if _is_within(source.scope, scope)
    }
    texts = [f"{messages} at {name}" for name, messages in live.most_common(SHOWN)]
    return (*texts, *(f"{name} to end" for name in ends))


def _is_within(inner: Scope, outer: Scope) -> bool:
    scope: Scope | None = inner
    while scope is not None and scope is not outer:
        scope = scope.parent
    return scope is outer
