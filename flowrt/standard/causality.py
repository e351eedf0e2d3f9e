"""Causalities: exception scopes that travel with the messages."""

from __future__ import annotations

from typing import Any

from flowrt.errors import FlowBuildError
from flowrt.operations import Batch, Emitter, Operation


class PushCausality(Operation):
    """Open an exception scope around every message that passes, and around all it leads to.

    Ports:
        in  any name    any object
        out .           the same object, in order
        out .exception  `OperationError`, once per failure inside the scope, with priority 99, in the context the message
                        had before it passed: outer causalities and the correlation id are in force

    Runs on: the engine thread.
    Source: NPantaRhei's PushCausality, after the causalities of Microsoft's CCR.
    """

    out_ports = ("", "exception")

    def handle_many(self, _state: Any, _batch: Batch, emit: Emitter) -> None:
        """Send the messages on inside one causality of this place."""
        emit.push()


class PopCausality(Operation):
    """Close the innermost exception scope of every message that passes.

    Ports:
        in  any name  any object, inside at least one causality
        out .         the same object, in order

    Raises:
        FlowBuildError: (as the cause of an `OperationError`) a message that is in no causality.

    Runs on: the engine thread.
    """

    def handle_many(self, _state: Any, _batch: Batch, emit: Emitter) -> None:
        """Send the messages on outside their innermost causality."""
        emit.pop()


def nothing_to_pop(name: str) -> FlowBuildError:
    """Say that a message is in no causality."""
    return FlowBuildError(
        f'PopCausality "{name}" got a message that is in no causality. Put a PushCausality in front of it on every way that leads here.'
    )


def shared_causality(first: Any, second: Any) -> Any:
    """Return the innermost causality that both chains have in common."""
    if first is second:
        return first
    around = []
    while first is not None:
        around.append(first)
        first = first.context.causality
    while second is not None and not any(_is_same(second, causality) for causality in around):
        second = second.context.causality
    return second


def _is_same(first: Any, second: Any) -> bool:
    """Say whether errors go to the same place in the same context, also where the messages passed the push one after the other."""
    while first is not second:
        if first is None or second is None or first.place is not second.place:
            return False
        one, other = first.context, second.context
        if one is other:
            return True
        if (
            one.scope is not other.scope
            or one.priority != other.priority
            or one.correlation_id is not other.correlation_id
        ):
            return False
        first, second = one.causality, other.causality
    return True
