"""The tree of a run: its scopes, what is live, held and gathered in each, and the windows of their sources.

A run is a tree of scopes. Each counts what is *live* in it (on its way), what is *held* (an operator took it and owes an
output for it) and what its matched gathers have *gathered*. A scope is *active* while something in it or below it is live,
or may still bring forth something (a token: an open source).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from flowrt.messages import Context, Positions, Spot, Trail, Way

MISSING_KEPT = 1_000_000  # records. A list whose every item is lost is named whole; beyond that only counted


class Window:
    """How many live descendants the open iterators of one source may have together.

    Invariant: `live` is the sum over its scopes of what is live in them plus their active child scopes. What is held is in neither.
    `asked` is what pulls under way may bring yet.
    """

    __slots__ = ("asked", "limit", "live", "paused")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.live = 0
        self.asked = 0
        self.paused = False

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


class Missing:
    """Items of a scattered list that will not reach its gather."""

    __slots__ = ("also", "error", "positions", "reason", "what", "where")

    def __init__(
        self,
        positions: Positions | None,
        what: str,
        where: str,
        reason: str = "",
        error: BaseException | None = None,
        also: tuple[BaseException, ...] = (),
    ) -> None:
        self.positions = positions
        self.what = what
        self.where = where
        self.reason = reason
        self.error = error
        self.also = also  # more errors behind it, where an inner list is missing

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
        self, run: RunBooks | None, parent: Scope | None, window: Window | None, *, home: bool
    ) -> None:
        self.run: RunBooks = run if run is not None else self  # type: ignore[assignment]
        self.parent = parent
        self.window = window
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.home: Scope = self if home or parent is None else parent.home
        self.live = 0
        self.tokens = 0
        self.active = False
        self.active_children = 0
        self.open_children = 0
        self.queued = False
        self.closed = False
        self.cut_short = False  # it ends without a list
        self.held = 0
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
    """The root scope of a run, with the run's figures.

    Attributes:
        ends: (what, where, reason) -> messages.
        births: where -> messages.
        open_scopes: every scope of the run not yet closed, itself aside.
        opened: when it began.
    """

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
        "unfinished",
    )

    def __init__(self, window: Window | None, handle: Any = None, opened: float = 0.0) -> None:
        super().__init__(None, None, window, home=True)
        self.opened = opened
        self.number: int = handle.number if handle is not None else 0
        self.handle = handle
        self.accepted = NO_FIGURES
        self.births = NO_FIGURES
        self.ends: dict[tuple[str, str, str], int] = {}
        self.open_scopes = NO_SCOPES
        self.holding = NO_SCOPES
        self.ended = False
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
