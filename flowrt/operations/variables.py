"""Context variables: a call sees those that were set where its run was started, and what it sets nobody else sees."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import Any

# As in operations/bodies.py: here stands nobody who is to be named.
CALLS_OPERATIONS: dict[object, str] = {}

Variables = Context | list[Context | None] | None
"""What the messages of a group were sent with: one for all, one for each, or nothing."""


def copy_at(variables: Variables, index: int) -> Context | None:
    """Return a context for the call of one message of a group; None if nothing was set where it was sent."""
    own: Any = variables[index] if type(variables) is list else variables
    copied: Context | None = own.copy() if own is not None else None
    return copied


def seeing(function: Callable[..., Any], variables: Variables, results: list[Any]) -> Callable[..., Any]:
    """Return a function, each call of which is made in a context of its own: that of the next message without a result."""
    if variables is None:
        return function
    if isinstance(variables, list):

        def call_next(data: Any, *more: Any) -> Any:
            own = copy_at(variables, len(results))
            return function(data, *more) if own is None else own.run(function, data, *more)

        return call_next
    copy = variables.copy

    def call(
        data: Any, *more: Any
    ) -> Any:  # most take one argument, and to pass on any number takes four times as long
        return copy().run(function, data, *more) if more else copy().run(function, data)

    return call


def call_within(variables: Context | None, call: Callable[..., Any], *arguments: Any) -> Any:
    """Make one call in a copy of these variables; as it is if there are none."""
    return call(*arguments) if variables is None else variables.copy().run(call, *arguments)


def beyond_ours(trace: TracebackType) -> TracebackType:
    """Return a traceback without its first frame, which is flowrt's, and without that of who made the call in its context."""
    inner = trace.tb_next or trace
    if inner.tb_frame.f_globals is globals() and inner.tb_next is not None:
        return inner.tb_next
    return inner
