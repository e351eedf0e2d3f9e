"""Chunks: consecutive messages on one stream, moved together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.messages import CHUNK_SIZE, Message, RunBooks

if TYPE_CHECKING:
    from flowrt.engine.places import Handler
    from flowrt.messages import Context, Positions, Trail
    from flowrt.operations.variables import Variables


@define(eq=False, repr=False)
class Chunk:
    """Consecutive messages on one stream, moved together. `context` is one for all, or a list parallel to `data`.

    Invariants: `data`, a list as `context` and a list as `positions` belong to this chunk alone (fan-out copies them),
    so that a chunk still waiting may be extended. All contexts have the same priority.
    """

    handler: Handler
    data: list[Any]
    context: Context | list[Context]
    positions: Positions
    trail: Trail

    @property
    def priority(self) -> int:
        context = self.context
        return (context[0] if type(context) is list else context).priority  # type: ignore[union-attr]

    def context_at(self, index: int) -> Context:
        context = self.context
        return context[index] if type(context) is list else context  # type: ignore[return-value]

    def cut(self, size: int) -> Chunk:
        """Take the first `size` messages out as a chunk of their own."""
        context = self.context
        head = Chunk(
            self.handler,
            self.data[:size],
            context[:size] if type(context) is list else context,
            self.positions[:size],
            self.trail,
        )
        del self.data[:size]
        if type(context) is list:
            del context[:size]
        if type(self.positions) is list:
            del self.positions[:size]
        else:
            self.positions = self.positions[size:]
        return head

    def extend(self, other: Chunk) -> bool:
        """Take in the messages of `other` if they may travel together; say whether they do."""
        if self.handler is not other.handler or self.trail is not other.trail:
            return False
        if len(self.data) + len(other.data) > CHUNK_SIZE:
            return False
        if self.context is not other.context and not self._mix_contexts(other):
            return False
        self.positions = joined_positions(self.positions, other.positions)
        self.data += other.data
        return True

    def _mix_contexts(self, other: Chunk) -> bool:
        mine, theirs = self.context, other.context
        mixable = (type(mine) is list or len(self.data) == 1) and (
            type(theirs) is list or len(other.data) == 1
        )
        if not mixable or self.priority != other.priority:
            return False
        contexts = mine if type(mine) is list else [mine]
        contexts += theirs if type(theirs) is list else [theirs]
        self.context = contexts  # type: ignore[assignment]
        return True

    def leave_out_ended(self) -> bool:
        """Leave out the messages of runs that have ended; say whether any is left."""
        context = self.context
        if not isinstance(context, list):
            return not context.scope.run.ended
        live = [index for index, each in enumerate(context) if not each.scope.run.ended]
        if len(live) < len(context):
            self.data = [self.data[index] for index in live]
            self.positions = [self.positions[index] for index in live]
            self.context = [context[index] for index in live]
        return bool(live)


@define(eq=False, repr=False)
class Crossing(Chunk):
    """One message that is shown at each border of a flow it crosses: `crossed` says how many are behind it. Nothing joins it meanwhile."""

    crossed: int

    @classmethod
    def of(cls, chunk: Chunk, crossed: int) -> Crossing:
        return cls(chunk.handler, chunk.data, chunk.context, chunk.positions, chunk.trail, crossed)

    def landed(self) -> Chunk:
        """Return it as a chunk like others."""
        return Chunk(self.handler, self.data, self.context, self.positions, self.trail)

    def extend(self, other: Chunk) -> bool:
        return False


def joined_positions(first: Positions, second: Positions) -> Positions:
    """Put two stretches of positions one behind the other."""
    if type(first) is range and type(second) is range and first.stop == second.start:
        return range(first.start, second.stop)
    if type(first) is list:  # it belongs to the chunk that grows
        first += second
        return first
    return [*first, *second]


def variables_of(chunk: Chunk) -> Variables:
    """Return the context variables that the messages of a chunk were sent with."""
    context = chunk.context
    if type(context) is not list:
        return context.scope.run.variables  # type: ignore[union-attr]
    if not RunBooks.with_variables:
        return None
    found = [each.scope.run.variables for each in context]
    return found if any(each is not None for each in found) else None


def message_of(chunk: Chunk, index: int) -> Message:
    """Make the message at `index` of a chunk, as the engine and operations with state need it."""
    context = chunk.context_at(index)
    message = _blank(Message)  # without its converter: here a port is a port
    message.port = chunk.handler.port
    message.data = chunk.data[index]
    message.correlation_id = context.correlation_id
    message.priority = context.priority
    message.scope = context.scope.home
    message.position = chunk.positions[index]
    message.context = context
    return message


def shown_message(chunk: Chunk, index: int) -> Message:
    """Make the message at `index` of a chunk visible: as plain data, which keeps nothing of the engine alive."""
    context = chunk.context_at(index)
    message = _blank(Message)
    message.port = chunk.handler.port
    message.data = chunk.data[index]
    message.correlation_id = context.correlation_id
    message.priority = context.priority
    message.position = chunk.positions[index]
    message.scope = message.context = None
    return message


def shown_messages(chunk: Chunk) -> Iterator[Message]:
    """Make the messages of a chunk visible, one by one as they are asked for."""
    contexts, positions = chunk.context, chunk.positions
    if type(contexts) is list:
        for index in range(len(chunk.data)):
            yield shown_message(chunk, index)
        return
    context: Context = contexts  # type: ignore[assignment]
    port, correlation_id, priority = chunk.handler.port, context.correlation_id, context.priority
    for data, position in zip(chunk.data, positions, strict=True):
        message = _blank(Message)
        message.port = port
        message.data = data
        message.correlation_id = correlation_id
        message.priority = priority
        message.position = position
        message.scope = message.context = None
        yield message


_blank = object.__new__
