"""The contexts of what operations emit: with an id of its own, made of several messages, outside of a causality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrt.messages import Context
from flowrt.operations import Correlated
from flowrt.standard.causality import shared_causality

if TYPE_CHECKING:
    from flowrt.messages import Spot
    from flowrt.scopes import Part, Scope


def common_context(first: Context, second: Context) -> Context:
    """Return the context of what is owed for messages with these: the id that both have, what causalities they share, the higher priority."""
    if first is second:
        return first
    same = first.correlation_id is second.correlation_id or first.correlation_id == second.correlation_id
    return Context(
        first.scope.home,
        first.correlation_id if same else None,
        max(first.priority, second.priority),
        shared_causality(first.causality, second.causality),
    )


def held_context(scope: Scope, place: Spot) -> Context:
    """Return the context that all have in common what a place holds of a scope."""
    common: Context | None = None
    for part in (scope.parts or {}).get(place, ()):
        own = Context(scope, part.correlation_id, part.priority, part.causality)
        common = own if common is None else common_context(common, own)
    return common if common is not None else Context(scope)


def merged_context(context: Context, origins: Sequence[Part], parts: Sequence[Part]) -> Context:
    """Return the context of what is made of `origins`: with the correlation id that all have, and the causalities that all share.

    It has the highest priority of those that go into it, `parts`: what leads to something leads there as quickly as it may.
    """
    if not origins:
        return context
    correlation_id, causality, priority = origins[0].correlation_id, origins[0].causality, context.priority
    for part in origins:
        if part.correlation_id is not correlation_id and part.correlation_id != correlation_id:
            correlation_id = None
        if part.causality is not causality:
            causality = shared_causality(causality, part.causality)
    for part in parts:
        priority = max(priority, part.priority)
    if (
        correlation_id is context.correlation_id
        and causality is context.causality
        and priority == context.priority
    ):
        return context
    return Context(context.scope, correlation_id, priority, causality)


def meeting_point(context: Context, position: Any, parts: Sequence[Part]) -> tuple[Context, Any]:
    """Return the scope, as a context, and the position of what is made of a message in hand and parts of the same run.

    On one line it is the deepest, for siblings the nearest list or run around; with parts of other runs, where the message in hand is.
    """
    own = context.scope.home
    if all(part.scope is own for part in parts):
        return context, position
    stands: dict[Scope, Any] = {own: position}
    for part in parts:
        if part.scope is None or part.scope.run is not own.run:
            return context, position
        stands.setdefault(part.scope, part.position)
    deepest = max(stands, key=lambda scope: scope.depth)
    around = _lists_around(deepest)
    if all(scope in around for scope in stands):
        scope, position = deepest, stands[deepest]
    else:
        common = set.intersection(*(set(_lists_around(scope)) for scope in stands))
        scope = own
        while scope not in common and scope.parent is not None:
            scope, position = scope.parent.home, scope.position
    return (context if scope is own else Context(scope, context.correlation_id, context.priority)), position


def _lists_around(scope: Scope) -> list[Scope]:
    """Return a list or run and all those around it."""
    found = [scope]
    while scope.parent is not None:
        scope = scope.parent.home
        found.append(scope)
    return found


def correlated(context: Context, item: Any) -> Context:
    """Give a context an id of its own, if it has none."""
    if type(item) is not Correlated or context.correlation_id is not None:
        return context
    return Context(context.scope, item.correlation_id, context.priority, context.causality)


def popped(context: Context) -> Context | None:
    """Return the context outside the innermost causality."""
    causality = context.causality
    if causality is None:
        return None
    if (
        causality.context.scope is context.scope
        and causality.context.correlation_id is context.correlation_id
    ):
        outer = causality.context
        if outer.priority == context.priority:
            return outer
    return Context(context.scope, context.correlation_id, context.priority, causality.context.causality)
