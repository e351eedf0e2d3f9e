"""Places → compiled routes: what leaves a port goes to these handlers. No name is looked at per message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowrt.engine.places import Handler, Place, Route
from flowrt.errors import FlowBuildError
from flowrt.flow.definition import Definition, SourceKey, source_key
from flowrt.flow.sites import FlowSite, Target, matched_gathers, sites
from flowrt.operations.declarations import Declaration
from flowrt.ports import Behind, Port, folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowrt.engine.contract import Executor


class Routes:
    """The routes of one runtime, compiled on first use and forgotten when the flow changes.

    Called on: the engine's thread.
    """

    def __init__(
        self,
        definition: Definition,
        equip: Callable[[Place], None],
        bind: Callable[[Any, Port], None] | None = None,
    ) -> None:
        self.places: FlowSite = FlowSite(definition, make=Place, bind=bind)
        self._equip = equip
        self.ordered: bool = asks_for_positions(definition)
        self.capture = False  # what no stream takes leaves as a result, under its own port: for running an operation alone
        self._results: dict[Port, Handler] = {}
        self._dead_ends: dict[Port, Handler] = {}
        self._entries: dict[Port, Route] = {}
        self._known: dict[tuple[Place | None, Port], Route] = {}
        self._equipped: dict[Place, None] = {}

    def all_places(self) -> list[Place]:
        return list(self._equipped)

    def all_executors(self) -> list[Executor]:
        """Return every executor of these places, once."""
        found = {id(place.executor): place.executor for place in self._equipped}
        return [executor for executor in found.values() if executor is not None]

    def swap(self, definition: Definition) -> None:
        """Go over to a changed flow; places that stay keep their state."""
        root = self.places
        root.definition = definition
        self.ordered = self.ordered or asks_for_positions(definition)
        self._entries.clear()
        for flow in root.walk():
            for child in flow.children.values():
                found = flow.lookup(folded(child.name))
                if isinstance(found, Definition):
                    child.definition = found
        for place in self._equipped:
            place.outs.clear()
            place.chain = None
            place.matched = None
            place.fed = _fed(place)

    def enter_active(self, failed: Callable[[FlowBuildError], None]) -> None:
        """Enter the places of active operations before anything is sent there; tell of those that cannot be."""
        root = self.places
        if any(declaration.active for declaration in root.definition.all_operations()):
            for flow, declaration, instance in sites(root):
                if declaration.active:
                    try:
                        if declaration.component is not None:
                            flow.component(declaration, instance)
                        else:
                            self._outfit(flow.place(declaration, instance))
                    except FlowBuildError as fault:
                        failed(fault)

    def entry(self, port: Port) -> Route:
        """Return the route of what comes from outside: in at a port of the flow, into an operation, or (`Behind`) out of its out-port."""
        route = self._entries.get(port)
        if route is None:
            route = self._entries[port] = self._behind(port) if type(port) is Behind else self._into(port)
        return route

    def _behind(self, port: Port) -> Route:
        flow, key = self.places.source(port)
        route = self._compile(None, port, flow, key)
        found = flow.lookup(key[0])
        if isinstance(found, Declaration):
            route.optional = key[2] in found.extras.optional_ports
        return route

    def _into(self, port: Port) -> Route:
        root = self.places
        end = root.end_at(port) if port.path or port.operation else (root, source_key(port), None)
        if end is None:  # a change took it away meanwhile
            return self._compile(None, port, root, source_key(port))
        flow, key, place = end
        if place is None:
            return self._compile(None, port, flow, key)
        found = Route(port, (self._handler(Target(place, place.port(port.name), ())),), {})
        return self._known.setdefault((None, port), found)

    def out(self, place: Place, name: str) -> Route:
        route = place.outs.get(name)
        if route is None:
            try:
                port = place.port(name)
            except FlowBuildError as fault:  # a name that an operation made up
                return Route(place.port(""), (), {}, fault)
            route = place.outs[name] = self._compile(place, port, place.flow, place.source(name))
            route.optional = folded(name) in place.extras.optional_ports
        return route

    def gathers_of(self, place: Place) -> tuple[Place, ...]:
        if place.matched is None:
            place.matched = matched_gathers(place)
            for gather in place.matched:
                self._outfit(gather)
        return place.matched

    def _compile(self, place: Place | None, port: Port, flow: FlowSite, key: SourceKey) -> Route:
        """Find where a port leads. After a change it keeps its route, by which schedules know what waits on its streams."""
        found = self._found(port, flow, key)
        route = self._known.setdefault((place, port), found)
        if route is not found:
            route.targets, route.borders, route.fault = found.targets, found.borders, found.fault
        return route

    def _found(self, port: Port, flow: FlowSite, key: SourceKey) -> Route:
        try:
            targets = flow.targets(key)
        except FlowBuildError as fault:
            return Route(port, (), {}, fault)
        if not targets and self.capture:
            targets = [Target(None, port, ())]
        handlers = tuple(self._handler(target) for target in targets)
        borders = {handler: target.borders for handler, target in zip(handlers, targets, strict=True)}
        return Route(port, handlers, borders)

    def _handler(self, target: Target) -> Handler:
        place = target.place
        if place is None:
            ends = self._dead_ends if target.dead else self._results
            return ends.setdefault(target.port, Handler(target.port, None, dead=target.dead))
        self._outfit(place)
        handler: Handler = place.handlers.setdefault(target.port.key[3], Handler(target.port, place))
        return handler

    def _outfit(self, place: Place) -> None:
        if place not in self._equipped:
            self._equipped[place] = None
            place.fed = _fed(place)
            self._equip(place)


def _fed(place: Place) -> frozenset[str]:
    """Return the in-ports of a place that streams lead to, from its own flow or from one around it."""
    operation, instance, _ = place.source("")
    ways = place.flow.ways_here()
    found = [flow.definition.fed.get((path, operation, instance), ()) for flow, path in ways]
    return frozenset[str]().union(*found)


def asks_for_positions(definition: Definition) -> bool:
    """Say whether what operations emit for one item must be told apart: for an ordered gather, or a join of branches."""
    extras = [declaration.extras for declaration in definition.all_operations()]
    return any(each.ordered or each.by_position for each in extras)
