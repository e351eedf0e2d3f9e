"""Messages and what they carry: run, scope, causalities, correlation, priority, and the way they came.

Inside the engine messages travel as chunks; a `Message` is made only where somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, setters

from flowrt.ports import Port

if TYPE_CHECKING:
    from flowrt.routes import Handler
    from flowrt.scopes import Scope

CHUNK_SIZE = (
    1024  # messages. Longer ones gain nothing measurable (DESIGN.md: 14 plain calls a hop at 1, 1.5 at 64)
)
EXCEPTION_PRIORITY = 99  # the ancestor's (B126): error messages overtake what waits
TRAIL_LENGTH = 64  # ports; arbitrary. Beyond it a way is cut to its last half
TRAILS_KEPT = 10_000  # arbitrary; a flow has few different ways, a loop inside a loop has many


class Spot(Protocol):
    """An operation's place, as far as what travels knows it: a key, with a name, the operation, and what that keeps there."""

    name: str
    operation: Any
    state: Any


class Way(Protocol):
    """An out-port that messages leave by, as far as what travels knows it."""

    port: Port
    borders: dict[Any, tuple[Port, ...]]


Positions = Sequence[Any]
"""Where the messages of a chunk stand in their scope: a `range` while they are neighbours, else a list of int or tuple."""


@define(eq=False, repr=False)
class Context:
    """What a message has in common with those that caused it."""

    scope: Scope
    correlation_id: object = None
    priority: int = 0
    causality: Causality | None = None


class Causality:
    """An open exception scope: where errors go, and the context they arrive in (its causality is the next outer one)."""

    __slots__ = ("context", "place")

    def __init__(self, place: Any, context: Context) -> None:
        self.place = place
        self.context = context


class Trail:
    """The way a message came, as the out-ports it left: a trie shared by all messages that came the same way."""

    __slots__ = ("depth", "nexts", "previous", "route", "trunk")

    def __init__(
        self, route: Way | None = None, previous: Trail | None = None, trunk: Trunk | None = None
    ) -> None:
        self.route = route
        self.previous = previous
        self.depth: int = previous.depth + 1 if previous is not None else 0
        self.nexts: dict[Way, Trail] = {}
        self.trunk: Trunk = trunk or (previous.trunk if previous is not None else Trunk())

    def step(self, route: Way) -> Trail:
        """Return the way that goes on through `route`."""
        known = self.nexts.get(route)
        if known is None:
            known = self.trunk.grow(self, route)
        return known

    def routes(self) -> list[Way]:
        """Return the out-ports passed, oldest first."""
        found = []
        trail: Trail | None = self
        while trail is not None and trail.route is not None:
            found.append(trail.route)
            trail = trail.previous
        return found[::-1]


class Trunk:
    """Keeps a trie of trails bounded: it starts anew where a way or the whole gets too long."""

    __slots__ = ("root", "size")

    def __init__(self) -> None:
        self.root = Trail(trunk=self)
        self.size = 0

    def grow(self, trail: Trail, route: Way) -> Trail:
        if self.size >= TRAILS_KEPT:
            self.root = Trail(trunk=self)  # trails in use live on until their messages have ended
            self.size = 0
        if trail.depth >= TRAIL_LENGTH:
            recent = trail.routes()[-TRAIL_LENGTH // 2 :]
            trail = self.root
            for passed in recent:
                trail = self._next(trail, passed)
        return self._next(trail, route)

    def _next(self, trail: Trail, route: Way) -> Trail:
        known = trail.nexts.get(route)
        if known is None:
            known = trail.nexts[route] = Trail(route, trail)
            self.size += 1
        return known


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


def joined_positions(first: Positions, second: Positions) -> Positions:
    """Put two stretches of positions one behind the other."""
    if type(first) is range and type(second) is range and first.stop == second.start:
        return range(first.start, second.stop)
    if type(first) is list:  # it belongs to the chunk that grows
        first += second
        return first
    return [*first, *second]


def numbered(position: Any, number: int, of_port: int) -> tuple[Any, ...]:
    """Add the order of emission to a position: among all that a call emitted, and on its port alone."""
    return (*(position if type(position) is tuple else (position,)), (number, of_port))


def position_key(position: Any) -> tuple[Any, ...]:
    """Make a position comparable: by place in the scattered list, then by emission."""
    return position if type(position) is tuple else (position,)


def branch_position(position: Any) -> Any:
    """Return what messages have in common that went different ways from one on: its place, and on each way their order of emission.

    The first that a call emits on a port stands where its input stood.
    """
    if type(position) is not tuple:
        return position
    steps = [of_port for _, of_port in position[1:]]
    while steps and not steps[-1]:
        steps.pop()
    return (position[0], *steps) if steps else position[0]


def first_position(position: Any) -> int | None:
    """Return the place in the scattered list, without the order of emission; None for what has none, as a count."""
    found: int | None = position[0] if type(position) is tuple else position
    return found


def _port(name: str | Port) -> Port:
    return Port.parse(name)


@define(eq=False, on_setattr=setters.NO_OP)  # one is made per result that is looked at
class Message:
    """One datum on its way.

    Args:
        port: where it is; a text is parsed.
        data: what it carries; shared by everybody it is delivered to, so treat it as read-only.
        correlation_id: kept by everything it leads to.
        priority: a higher one goes first, and so does everything it leads to.
    """

    port: Port = field(converter=_port)
    data: Any = None
    correlation_id: object = None
    priority: int = 0
    scope: Scope | None = field(default=None, repr=False, kw_only=True)
    position: Any = field(default=None, repr=False, kw_only=True)
    context: Context | None = field(default=None, repr=False, kw_only=True)


def message_of(chunk: Chunk, index: int) -> Message:
    """Make the message at `index` of a chunk visible."""
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


def messages_of(chunk: Chunk) -> Iterator[Message]:
    """Make the messages of a chunk visible, one by one as they are asked for."""
    contexts, positions = chunk.context, chunk.positions
    if type(contexts) is list:
        for index in range(len(chunk.data)):
            yield message_of(chunk, index)
        return
    context: Context = contexts  # type: ignore[assignment]
    port, home = chunk.handler.port, context.scope.home
    correlation_id, priority = context.correlation_id, context.priority
    for data, position in zip(chunk.data, positions, strict=True):
        message = _blank(Message)
        message.port = port
        message.data = data
        message.correlation_id = correlation_id
        message.priority = priority
        message.scope = home
        message.position = position
        message.context = context
        yield message


_blank = object.__new__
