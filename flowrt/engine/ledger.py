"""The ledger: births and ends of messages, per run and scope; exact completion.

When a scope is no longer active it is closed, and its gathers are told; when nothing in a run is active, whoever holds something of it
is told, innermost scope first; then the run is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flowrt.messages import (
    ABSORBED,
    DELIVERED,
    DISCARDED,
    NO_SCOPES,
    Missing,
    Part,
    RunBooks,
    Scope,
    SourceWindow,
    lost_list,
)

if TYPE_CHECKING:
    from flowrt.engine.places import Place
    from flowrt.messages import Context, Positions, Spot


Due = tuple[Any, Scope, Any]
"""A place that is to be told of a scope, and in which context; no place: what was left to the gathers of the scope is to be told."""


class Books:
    """The ledger of a runtime: the one place where births and ends are written down.

    Called on: the engine's thread. Other threads may read `live` and the window's figures.
    """

    def __init__(self, capacity: int) -> None:
        self.live: int = 0
        self.outside: SourceWindow = SourceWindow(capacity)
        self.runs: set[RunBooks] = set()
        self.cut_short: bool = False  # whether a run has ever ended before its messages had
        self.moment: float = 0.0  # when inputs were taken in last
        self.began: float | None = None  # when the first were
        self.quiet: list[Scope] = []  # scopes that may have come to rest since `due` was last gone through
        self._single: dict[str, dict[str, int]] = {}  # what a run of one input has accepted, by port

    # -- runs and scopes

    def look_at_clock(self, now: float) -> None:
        """Remember when inputs are being taken in: once for many runs, for a look at the clock each would cost as much as a hop."""
        self.moment = now
        if self.began is None:
            self.began = now

    def open_run(self, handle: Any = None) -> RunBooks:
        run = RunBooks(self.outside, handle, self.moment)
        self.runs.add(run)
        return run

    def open_with_input(self, handle: Any, where: str) -> RunBooks:
        """Open a run for one input, and book that."""
        run = RunBooks(self.outside, handle, self.moment)
        run.accepted = self._single.get(where) or self._single.setdefault(where, {where: 1})
        # Shared: `accept` makes another one.
        run.live = 1
        run.active = True
        self.live += 1
        self.outside.live += 1
        self.runs.add(run)
        return run

    def accept(self, run: RunBooks, where: str, messages: int) -> None:
        """Book inputs from outside."""
        run.accepted = {**run.accepted, where: run.accepted.get(where, 0) + messages}
        self.move(run, messages)

    def open_scope(self, parent: Scope, window: SourceWindow | None, *, home: bool) -> Scope:
        """Open a scope with a token, so that it cannot end before its source has."""
        scope = Scope(parent.run, parent, window, home=home)
        parent.open_children += 1
        run = parent.run
        run.open_scopes = run.open_scopes or set()
        run.open_scopes.add(scope)
        self.hold_open(scope)
        return scope

    def hold_open(self, scope: Scope) -> None:
        """Take a token: something may still be born in this scope."""
        scope.tokens += 1
        if not scope.active:
            self._activate(scope)

    def let_go(self, scope: Scope) -> None:
        """Give the token back."""
        scope.tokens -= 1
        self._look_at(scope)

    # -- messages

    def move(self, scope: Scope, messages: int) -> None:
        """Change what is live in a scope."""
        scope.live += messages
        self.live += messages
        window = scope.window
        if window is not None:
            window.live += messages
        if scope.live == 0:
            self._look_at(scope)
        elif not scope.active:
            self._activate(scope)

    def born(self, scope: Scope, messages: int, where: str) -> None:
        """Book messages that come in addition (or, negative, that turn out to continue another)."""
        births = scope.run.births
        if births:
            births[where] = births.get(where, 0) + messages
        else:
            scope.run.births = {where: messages}
        self.move(scope, messages)

    def write(self, run: RunBooks, what: str, messages: int, where: str, reason: str = "") -> None:
        """Write an end down without touching what is live."""
        key = (what, where, reason)
        run.ends[key] = run.ends.get(key, 0) + messages

    def end(
        self,
        scope: Scope,
        what: str,
        messages: int,
        where: str,
        reason: str = "",
        positions: Positions | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.write(scope.run, what, messages, where, reason)
        home = scope.home
        if positions is not None and what is not DELIVERED and home.parent is not None:
            home.lose(Missing(positions, what, where, reason, error))
        self.move(scope, -messages)

    def deliver(self, contexts: list[Context], where: str) -> None:
        """End messages of many runs as delivered, one of each context."""
        key = (DELIVERED, where, "")
        quiet = self.quiet
        for context in contexts:
            scope = context.scope
            run = scope.run
            if run.ended:
                continue
            ends = run.ends
            ends[key] = ends.get(key, 0) + 1
            self.live -= 1
            scope.live -= 1
            window = scope.window
            if window is not None:
                window.live -= 1
            if not (scope.live or scope.queued):
                scope.queued = True
                quiet.append(scope)

    # -- held and gathered

    def hold(self, scope: Scope, place: Place, parts: Sequence[Part]) -> None:
        """Turn live messages into held ones."""
        home = scope.home
        home.held += len(parts)
        if home.parts is None:
            home.parts = {}
        home.parts.setdefault(place, {}).update(dict.fromkeys(parts))
        if home.run.holding:
            home.run.holding.add(home)
        else:
            home.run.holding = {home}
        for part in parts:
            part.scope = home
        self.move(scope, -len(parts))

    def give_back(self, place: Spot, parts: Iterable[Part]) -> list[Scope]:
        """Take parts out of the books of whoever held them; return the home of each that still was in one.

        For the list that a part belongs to it is an item absorbed here, unless its gather gets what it is made into.
        """
        homes = []
        for part in parts:
            home = part.scope
            if home is None:
                continue
            part.scope = None
            home.held -= 1
            if home.parts is not None:
                mine = home.parts[place]
                del mine[part]
                if not mine:
                    del home.parts[place]
            if not home.held:
                home.run.holding.discard(home)
            homes.append(home)
            if home.parent is not None:
                home.lose(Missing([part.position], ABSORBED, place.name))
            self._look_at(home)
        return homes

    def gather(self, scope: Scope, home: Scope, place: Place, messages: int) -> None:
        """Turn live messages of a scope into gathered ones of its gather's scope."""
        if home.gathered is None:
            home.gathered = {}
        home.gathered[place] = home.gathered.get(place, 0) + messages
        self.move(scope, -messages)

    def answer(self, home: Scope, place: Place) -> int:
        """Close a scope for one of its gathers; return how many messages it had gathered."""
        home.answered = (*home.answered, place)
        return home.gathered.pop(place, 0) if home.gathered else 0

    # -- completion

    def due(self) -> Iterator[RunBooks | Due]:
        """Close every scope that can be closed; on the way, what is to be done before going on: a run that is done, or who is to be told."""
        quiet = self.quiet
        while quiet:
            scope = quiet.pop()
            scope.queued = False
            run = scope.run
            if run.ended or scope.closed or scope.live or scope.tokens or scope.active_children:
                continue
            if scope.owing and not scope.open_children:
                place, context = scope.next_owing()
                yield place, scope, context
                self._look_at(scope)
            elif not scope.held and not scope.open_children:
                if scope is run and not (run.gathers or run.gathered or run.left_to_gathers):
                    run.closed = True
                    self._finish(run)
                    yield run
                else:
                    yield from self._close(scope)
            elif scope.active:
                self._deactivate(scope)
            elif scope is run:
                yield from self._drain_held(run)

    def _close(self, scope: Scope) -> Iterator[RunBooks | Due]:
        for place in scope.gathers:  # one that has answered is told too, so that it can forget
            yield place, scope, None
        if scope.run.ended:  # an operator's error may have ended the whole run
            return
        if scope.live or scope.tokens or scope.held or scope.open_children:
            self._look_at(scope)
            return
        if scope.left_to_gathers:
            yield None, scope, None
        scope.closed = True
        self._discard_gathered(scope, "its list was given up")
        parent = scope.parent
        if parent is None:
            self._finish(scope.run)
            yield scope.run
            return
        scope.run.open_scopes.discard(scope)
        if scope.home is scope and not scope.gathers and parent.home.parent is not None:
            # A list scattered inside a list, gathered nowhere: for the outer list it is an item that did not come back.
            parent.home.lose(lost_list(scope, scope.stream.port.fullname if scope.stream is not None else ""))
        parent.open_children -= 1
        if scope.active:
            self._deactivate(scope)
        self._look_at(parent)

    def _drain_held(self, run: RunBooks) -> Iterator[RunBooks | Due]:
        """Tell who holds something of the innermost scope; what is still held then ends as absorbed."""
        if not run.holding:
            return
        scope = max(run.holding, key=lambda held: held.depth)
        for place in list(scope.parts or ()):
            yield place, scope, None
            rest = scope.parts.get(place) if scope.parts else None
            if rest:
                self.write(run, ABSORBED, len(rest), place.name, "held until the run was done")
                self.give_back(place, list(rest))
        self._look_at(scope)

    def _activate(self, scope: Scope) -> None:
        node: Scope | None = scope
        while node is not None and not node.active:
            node.active = True
            node = node.parent
            if node is not None:
                node.active_children += 1
                if node.window is not None:
                    node.window.live += 1

    def _deactivate(self, scope: Scope) -> None:
        scope.active = False
        parent = scope.parent
        if parent is not None:
            parent.active_children -= 1
            if parent.window is not None:
                parent.window.live -= 1
            self._look_at(parent)
        else:
            self._look_at(scope)

    def _look_at(self, scope: Scope) -> None:
        if not scope.queued:
            scope.queued = True
            self.quiet.append(scope)

    def _finish(self, run: RunBooks) -> None:
        run.ended = True
        self.runs.discard(run)

    def abandon(self, run: RunBooks, found: Iterable[tuple[str, int]], reason: str) -> int:
        """End everything of a run at once; `found` says where its live messages are. Return how many there were.

        What is taken from a queue later, or comes back from a worker, belongs to a run that has ended and is dropped.
        """
        self.cut_short = True
        scopes = [run, *run.open_scopes]
        live = sum(scope.live for scope in scopes)
        total = live
        for where, messages in (*found, ("on its way", live)):
            known = min(messages, live)
            if known:
                self.write(run, DISCARDED, known, where, reason)
                live -= known
        total += sum(self._abandon_scope(scope, reason) for scope in scopes)
        run.open_scopes = run.holding = NO_SCOPES
        self._finish(run)
        return total

    def _discard_gathered(self, scope: Scope, reason: str) -> int:
        gathered, scope.gathered = scope.gathered or {}, None
        for place, messages in gathered.items():
            if messages:
                self.write(scope.run, DISCARDED, messages, place.name, reason)
        return sum(gathered.values())

    def _abandon_scope(self, scope: Scope, reason: str) -> int:
        kept = 0
        for place, parts in (scope.parts or {}).items():
            self.write(scope.run, DISCARDED, len(parts), place.name, reason)
            kept += len(parts)
            for part in parts:
                part.scope = None
        kept += self._discard_gathered(scope, reason)
        self.live -= scope.live
        if scope.window is not None:
            scope.window.live -= scope.live + scope.active_children
        scope.live = scope.tokens = scope.held = scope.open_children = scope.active_children = 0
        scope.parts = scope.owing = None
        scope.closed = True
        return kept
