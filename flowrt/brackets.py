"""Which gathers belong to which scatter: a walk over the places, as brackets are matched in a text."""

from __future__ import annotations

from typing import Any

from flowrt.flow import SourceKey
from flowrt.places import FlowPlace, Places, Site

STREAM_PORT = "stream"


def matched_gathers(places: Places, scatter: Site) -> tuple[Any, ...]:
    """Return the gathers that `scatter` leads to with no other list open between them, in the order they are met.

    A scatter on the way opens a bracket, a gather closes one, and a gather met with none open is matched and ends that way. Each place is
    visited once per depth, and no deeper than there are scatters on the way: a scatter in a loop opens brackets without end. A
    recursive flow is entered once more than it is around the scatter.
    """
    around = _definitions(scatter.flow)
    deepest = _scatters_on_the_way(places, scatter, around)
    found: dict[Site, None] = {}
    seen: set[tuple[Site, int]] = set()
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
            elif (place, depth) not in seen and depth + bracket <= deepest:
                seen.add((place, depth))
                pending += [(place.flow, key, depth + bracket) for key in out_sources(place)]
    return tuple(found)


def _scatters_on_the_way(places: Places, scatter: Site, around: dict[int, int]) -> int:
    """Count the scatters that can be reached at all."""
    seen: dict[Site, None] = {}
    pending: list[tuple[FlowPlace, SourceKey]] = [(scatter.flow, scatter.source(STREAM_PORT))]
    while pending:
        flow, source = pending.pop()
        for target in places.targets(flow, source):
            place = target.place
            if place is not None and place not in seen and not _recursing(place.flow, around):
                seen[place] = None
                pending += [(place.flow, key) for key in out_sources(place)]
    return sum(place.declaration.bracket > 0 for place in seen)


def out_sources(place: Site) -> list[SourceKey]:
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
