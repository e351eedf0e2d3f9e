"""What travels, and on whose behalf: messages, their contexts and ways, the scopes of lists and runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context as ContextVariables
from functools import reduce
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol

from attrs import define, field, setters

from flowrt import users
from flowrt.ports import Port
from flowrt.shown import Shown

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # in `typing` one has no default before Python 3.13

    Data = TypeVar("Data", default=Any)
else:
    from typing import TypeVar

    Data = TypeVar("Data")

DELIVERED = "delivered"
ABSORBED = "absorbed"
FAILED = "failed"
UNCONNECTED = "unconnected"
DISCARDED = "discarded"
ENDS = (DELIVERED, ABSORBED, FAILED, UNCONNECTED, DISCARDED)


CHUNK_SIZE = 1024  # messages. Longer gains nothing measurable (docs/design.md, "Chunks": 14 calls a hop at 1, 1.5 at 64)
EXCEPTION_PRIORITY = 99  # the ancestor's (B126): error messages overtake what waits
TRAIL_LENGTH = 64  # ports; arbitrary. Beyond it a way is cut to its last half
TRAILS_KEPT = 10_000  # arbitrary; a flow has few different ways, a loop inside a loop has many


class Spot(Protocol):
    """An operation's place, as far as what travels knows it: a key, with a name, the operation (and its extras), and what that keeps there."""

    name: str
    operation: Any
    extras: Any
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


@define(eq=False, repr=False)
class Causality:
    """An open exception scope: where errors go, and the context they arrive in (its causality is the next outer one)."""

    place: Any
    context: Context


class Trail:
    """The way a message came, as the out-ports it left: a trie shared by all messages that came the same way."""

    __slots__ = ("depth", "nexts", "previous", "route", "trunk")

    def __init__(self, trunk: Trunk, route: Way | None = None, previous: Trail | None = None) -> None:
        self.trunk: Trunk = trunk
        self.route: Way | None = route
        self.previous: Trail | None = previous
        self.depth: int = previous.depth + 1 if previous is not None else 0
        self.nexts: dict[Way, Trail] = {}

    def step(self, route: Way) -> Trail:
        """Return the way that goes on through `route`."""
        return self.nexts.get(route) or self.trunk.grow(self, route)

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
        self.root: Trail = Trail(self)
        self.size: int = 0

    def trail_of(self, scope: Scope) -> Trail:
        """Return the way that the list of a scope came; of a run there is none."""
        return scope.trail if scope.trail is not None else self.root

    def grow(self, trail: Trail, route: Way) -> Trail:
        if self.size >= TRAILS_KEPT:
            self.root = Trail(self)  # trails in use live on until their messages have ended
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
            known = trail.nexts[route] = Trail(self, route, trail)
            self.size += 1
        return known


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
class Message(Shown, Generic[Data]):
    """One datum on its way.

    Results, what taps and handlers get and what errors carry are plain data: they can be pickled and copied, and keep nothing of the runtime
    alive. What an operation of your own is handed has a `scope`, too; a copy of it has none.

    Args:
        port: where it is; a text is parsed.
        data: what it carries; shared by everybody it is delivered to, so treat it as read-only.
        correlation_id: kept by everything it leads to.
        priority: a higher one goes first, and so does everything it leads to.
        scope: the list or the run it belongs to, where an operation of your own gets it; else None.
        position: where it stands in its list, or among the inputs of its run: an int, followed in a tuple by the order of emission where an
            operation made several of one; None for what has no place there, as a count.
    """

    _inner: ClassVar = frozenset({"context"})

    port: Port = field(converter=_port, repr=lambda port: repr(port.fullname))
    data: Data = None  # type: ignore[assignment]
    correlation_id: object = None
    priority: int = 0
    scope: Scope | None = field(default=None, repr=False, kw_only=True)
    position: Any = field(default=None, repr=False, kw_only=True)
    context: Context | None = field(default=None, repr=False, kw_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _bare, (type(self), self.port, self.data, self.correlation_id, self.priority, self.position)


def _bare(
    kind: type[Message], port: Port, data: Any, correlation_id: object, priority: int, position: Any
) -> Message:
    return kind(port, data, correlation_id, priority, position=position)


def bare(message: Message) -> Message:
    """Return a message as plain data: it belongs to no run, and keeps nothing of the engine alive."""
    return _bare(
        Message, message.port, message.data, message.correlation_id, message.priority, message.position
    )


@define(eq=False, repr=False)
class Correlated:
    """An emission that brings its own correlation id."""

    data: Any
    correlation_id: object


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
        if one.scope is not other.scope or one.correlation_id is not other.correlation_id:
            return False
        if one.priority != other.priority:
            return False
        first, second = one.causality, other.causality
    return True


MISSING_KEPT = 1_000_000  # records. A list whose every item is lost is named whole; beyond that only counted


@define(eq=False, repr=False)
class SourceWindow:
    """How many live descendants the open iterators of one source may have together.

    Invariant: `live` is the sum over its scopes of what is live in them plus their active child scopes. What is held is in neither.
    `asked` is what pulls under way may bring yet.
    """

    limit: int
    live: int = 0
    asked: int = 0
    paused: bool = False

    def open(self) -> bool:
        """Say whether its source may go on: it stops when full and goes on below half."""
        if self.paused:
            self.paused = 2 * self.live >= self.limit
        elif self.live >= self.limit:
            self.paused = True
        return not self.paused

    @property
    def room(self) -> int:
        """How many more may be asked for."""
        return self.limit - self.live - self.asked


@define(eq=False, repr=False)
class Missing:
    """Items of a scattered list that will not reach its gather."""

    positions: Positions | None
    what: str
    where: str
    reason: str = ""
    error: BaseException | None = None
    also: tuple[BaseException, ...] = ()  # more errors behind it, where an inner list is missing

    def at(self, positions: Positions) -> Missing:
        """Return the same of other items."""
        return Missing(positions, self.what, self.where, self.reason, self.error, self.also)

    def __str__(self) -> str:
        return f"{self.what} at {self.where}" + (f" ({self.reason})" if self.reason else "")


@define(eq=False)
class Part:
    """A message an operator holds. It is given back by merging or releasing it.

    `scope` is None once the run has ended without it: its value may still be used, it is in nobody's books any more.
    """

    data: Any
    position: Any = None
    correlation_id: object = None
    causality: Any = None
    priority: int = 0
    scope: Scope | None = field(default=None, repr=False)


class Scope:
    """Everything caused by one scattered list, by one input of a generator, or (the root) by one input of the runtime.

    Invariants: `home` is the nearest scope that stands for a list or a run; only homes hold or gather. A scope is active
    iff `live + tokens + active_children > 0` once `Books.settle` has returned.
    Called on: the engine's thread.
    """

    __slots__ = (
        "active",
        "active_children",
        "answered",
        "closed",
        "cut_short",
        "depth",
        "failed_source",
        "gathered",
        "gathers",
        "held",
        "home",
        "left_to_gathers",
        "live",
        "missing",
        "open_children",
        "origin",
        "owing",
        "parent",
        "parts",
        "position",
        "queued",
        "run",
        "stream",
        "tokens",
        "trail",
        "window",
    )

    def __init__(
        self, run: RunBooks | None, parent: Scope | None, window: SourceWindow | None, *, home: bool
    ) -> None:
        self.run: RunBooks = run if run is not None else self  # type: ignore[assignment]
        self.parent: Scope | None = parent
        self.window: SourceWindow | None = window
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.home: Scope = self if home or parent is None else parent.home
        self.live: int = 0
        self.tokens: int = 0
        self.active: bool = False
        self.active_children: int = 0
        self.open_children: int = 0
        self.queued: bool = False
        self.closed: bool = False
        self.cut_short: bool = False  # it ends without a list
        self.held: int = 0
        self.parts: dict[Spot, dict[Part, None]] | None = None
        self.gathered: dict[Spot, int] | None = None
        self.gathers: tuple[Spot, ...] = ()
        self.answered: tuple[Spot, ...] = ()
        self.missing: list[Missing] | None = None
        self.failed_source: BaseException | None = None
        self.left_to_gathers: tuple[tuple[Any, Context], ...] = ()
        self.origin: Context | None = None
        self.owing: dict[Spot, Context] | None = None
        self.position: Any = 0
        self.trail: Trail | None = None
        self.stream: Way | None = None

    def lose(self, missing: Missing) -> None:
        """Remember items that will not reach the gathers of this scope."""
        if self.missing is None:
            self.missing = []
        if len(self.missing) < MISSING_KEPT:
            self.missing.append(missing)

    def owe(self, place: Spot, context: Context) -> None:
        """Remember that a place is to be told when this scope has gone quiet, and the context of what it is owed for."""
        if self.owing is None:
            self.owing = {}
        self.owing[place] = context

    def next_owing(self) -> tuple[Spot, Context]:
        """Take out who is to be told next: the first first, for what it emits may go to the others."""
        owing: dict[Spot, Context] = self.owing or {}
        place = next(iter(owing))
        return place, owing.pop(place)

    def lists_around(self) -> list[Scope]:
        """Return the list or run that this is of, and all those around it."""
        found = [self.home]
        while (parent := found[-1].parent) is not None:
            found.append(parent.home)
        return found

    def within(self, place: Spot) -> Scope | None:
        """Return the innermost scope around that `place` gathers."""
        scope: Scope | None = self.home
        while scope is not None:
            if place in scope.gathers:
                return scope
            scope = scope.parent.home if scope.parent is not None else None
        return None


NO_FIGURES: dict[str, int] = MappingProxyType({})  # type: ignore[assignment]
NO_SCOPES: set[Scope] = frozenset()  # type: ignore[assignment]
# Most runs are of one message and never need theirs. Nobody can write into these.


class RunBooks(Scope):
    """The root scope of a run, with the run's figures."""

    __slots__ = (
        "accepted",
        "births",
        "ended",
        "ends",
        "handle",
        "holding",
        "number",
        "open_scopes",
        "opened",
        "outrun",
        "unfinished",
        "variables",
    )

    with_variables: ClassVar[bool] = (
        False  # whether any run ever had some: else nobody looks for them, message by message
    )

    def __init__(self, window: SourceWindow | None, handle: Any = None, opened: float = 0.0) -> None:
        super().__init__(None, None, window, home=True)
        self.opened: float = opened  # when
        self.number: int = handle.number if handle is not None else 0
        self.handle: Any = handle
        self.variables: ContextVariables | None = None  # set where it was started
        if handle is not None and handle.variables is not None:
            self.variables = handle.variables
            if (
                not RunBooks.with_variables
            ):  # writing to a class has the interpreter forget what it knows of it
                RunBooks.with_variables = True
        self.accepted: dict[str, int] = NO_FIGURES
        self.births: dict[str, int] = NO_FIGURES  # messages by where
        self.ends: dict[tuple[str, str, str], int] = {}  # messages by what, where, reason
        self.open_scopes: set[Scope] = NO_SCOPES  # every one not yet closed, itself aside
        self.holding: set[Scope] = NO_SCOPES
        self.ended: bool = False
        self.outrun: bool = False  # its results come faster than they are read: its sources wait
        self.unfinished: BaseException | None = None  # why it will not have brought all it might


def lost_list(scope: Scope, where: str, error: BaseException | None = None) -> Missing:
    """Say that a list scattered inside a list will not come back to that, and which errors are behind it."""
    errors = [error, scope.failed_source]
    for record in scope.missing or ():
        errors += [record.error, *record.also]
    known = tuple(dict.fromkeys(each for each in errors if each is not None))
    if known:
        return Missing([scope.position], "failed", where, "its list stayed incomplete", known[0], known[1:])
    return Missing([scope.position], "absorbed", where, "its list went elsewhere")


def missing_text(missing: Sequence[Missing]) -> str:
    """Say where the missing items of a list went, without repeating a place."""
    return "; ".join(dict.fromkeys(str(record) for record in missing))


def missing_rows(missing: list[Missing]) -> list[tuple[int | None, Missing]]:
    """List each missing item once, by position, with the first that was heard of it; what has no position comes last."""
    rows: dict[int, Missing] = {}
    unplaced: list[tuple[int | None, Missing]] = []
    for record in missing:
        if record.positions is None:
            unplaced.append((None, record))
        else:
            for position in record.positions:
                rows.setdefault(position, record)
    return [*sorted(rows.items(), key=itemgetter(0)), *unplaced]


def missing_errors(missing: list[Missing]) -> tuple[tuple[int | None, str, BaseException | None], ...]:
    """List each missing item once, and once more for each further error that was left to the gather."""
    listed: list[tuple[int | None, str, BaseException | None]] = [
        (position, str(record), record.error) for position, record in missing_rows(missing)
    ]
    told = {id(error) for _, _, error in listed}
    for record in missing:
        for error in (record.error, *record.also):
            if error is not None and id(error) not in told:
                told.add(id(error))
                listed += [(position, str(record), error) for position in record.positions or (None,)]
    return tuple(sorted(listed, key=lambda row: (row[0] is None, row[0] or 0)))


def common_context(first: Context, second: Context) -> Context:
    """Return the context of what is owed for messages with these: the id that both have, what causalities they share, the higher priority."""
    if first is second:
        return first
    same = users.alike(first.correlation_id, second.correlation_id)
    return Context(
        first.scope.home,
        first.correlation_id if same else None,
        max(first.priority, second.priority),
        shared_causality(first.causality, second.causality),
    )


def held_context(scope: Scope, place: Spot) -> Context:
    """Return the context that all have in common what a place holds of a scope."""
    parts = (scope.parts or {}).get(place, ())
    contexts = [Context(scope, part.correlation_id, part.priority, part.causality) for part in parts]
    return reduce(common_context, contexts) if contexts else Context(scope)


def merged_context(context: Context, origins: Sequence[Part], parts: Sequence[Part]) -> Context:
    """Return the context of what is made of `origins`: with the correlation id that all have, and the causalities that all share.

    It has the highest priority of those that go into it, `parts`: what leads to something leads there as quickly as it may. Raises what
    comparing two ids raises.
    """
    if not origins:
        return context
    correlation_id, causality, priority = origins[0].correlation_id, origins[0].causality, context.priority
    for part in origins:
        if not users.are_equal(part.correlation_id, correlation_id):
            correlation_id = None
        if part.causality is not causality:
            causality = shared_causality(causality, part.causality)
    for part in parts:
        priority = max(priority, part.priority)
    same = correlation_id is context.correlation_id and causality is context.causality
    if same and priority == context.priority:
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
    around = deepest.lists_around()
    if all(scope in around for scope in stands):
        scope, position = deepest, stands[deepest]
    else:
        common = set.intersection(*(set(scope.lists_around()) for scope in stands))
        scope = own
        while scope not in common and scope.parent is not None:
            scope, position = scope.parent.home, scope.position
    return (context if scope is own else Context(scope, context.correlation_id, context.priority)), position


def correlated(context: Context, emitted: Any) -> tuple[Context, Any]:
    """Return the context of what was emitted, with the id that it brings if there is none yet, and its data."""
    if type(emitted) is not Correlated:
        return context, emitted
    if context.correlation_id is None:
        context = Context(context.scope, emitted.correlation_id, context.priority, context.causality)
    return context, emitted.data


def popped(context: Context) -> Context | None:
    """Return the context outside the innermost causality."""
    causality = context.causality
    if causality is None:
        return None
    outer = causality.context
    same = outer.scope is context.scope and outer.correlation_id is context.correlation_id
    if same and outer.priority == context.priority:
        return outer
    return Context(context.scope, context.correlation_id, context.priority, outer.causality)
