"""Which gathers belong to which scatter: a walk over the places, as brackets are matched in a text."""

from __future__ import annotations

from flowrt.flow import SourceKey
from flowrt.places import FlowPlace, OperationPlace, Places

STREAM_PORT = "stream"


def matched_gathers(places: Places, scatter: OperationPlace) -> tuple[OperationPlace, ...]:
    """Return the gathers that `scatter` leads to with no other list open between them, in the order they are met.

    A scatter on the way opens a bracket, a gather closes one, and a gather met with none open is matched and ends that way. Each place is
    visited once per depth; a recursive flow is entered once more than it is around the scatter.
    """
    found: dict[OperationPlace, None] = {}
    seen: set[tuple[OperationPlace, int]] = set()
    around = _definitions(scatter.flow)
    pending: list[tuple[FlowPlace, SourceKey, int]] = [(scatter.flow, scatter.source(STREAM_PORT), 0)]
    while pending:
        flow, source, depth = pending.pop()
        for target in places.targets(flow, source):
            place = target.place
            if place is None or _recursing(place.flow, around):
                continue
            bracket = place.declaration.bracket
            if bracket < 0 and target.port.key[3] != STREAM_PORT:
                continue
            if bracket < 0 and depth == 0:
                found[place] = None
                continue
            if (place, depth) in seen:
                continue
            seen.add((place, depth))
            pending += [(place.flow, key, depth + bracket) for key in out_sources(place)]
    return tuple(found)


def out_sources(place: OperationPlace) -> list[SourceKey]:
    """Return the keys of a place's out-ports that streams start from."""
    operation, instance, _ = place.source("")
    keys: dict[SourceKey, None] = {}
    flow: FlowPlace | None = place.flow
    while flow is not None:
        keys.update(flow.definition.sources_of.get((operation, instance), {}))
        flow = flow.parent
    return list(keys)


def _definitions(flow: FlowPlace) -> dict[int, int]:
    counts: dict[int, int] = {}
    here: FlowPlace | None = flow
    while here is not None:
        counts[id(here.definition)] = counts.get(id(here.definition), 0) + 1
        here = here.parent
    return counts


def _recursing(flow: FlowPlace, around: dict[int, int]) -> bool:
    return any(number > around.get(definition, 0) + 1 for definition, number in _definitions(flow).items())
