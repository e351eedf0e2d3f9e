"""Definition → sites: nested flows expanded where they are used, where streams lead, which gather belongs to which scatter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.errors import FlowBuildError, describe
from flowrt.flow.definition import Definition, Outward, source_key
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, Stream, folded, port_of

if TYPE_CHECKING:
    from flowrt.flow.definition import Path, SourceKey


NESTING_LIMIT = 1_000  # flows inside flows; a recursion deeper than that is taken for one without an end
UNKNOWN_FLOW = Definition("")  # a path that only names a context (B091)


class Site:
    """An operation at one spot of a flow. It never changes."""

    __slots__ = ("declaration", "flow", "instance", "name", "operation")

    def __init__(self, flow: FlowSite, declaration: Declaration, instance: str, in_port: str = "") -> None:
        self.flow: FlowSite = flow
        self.declaration: Declaration = declaration
        self.instance: str = instance
        self.name: str = port_of(flow.path, declaration.name, instance, in_port).fullname
        self.operation: Any = declaration.operation

    def port(self, name: str) -> Port:
        return port_of(self.flow.path, self.declaration.name, self.instance, name)

    def source(self, name: str) -> SourceKey:
        """Return the key of one of this place's out-ports within its flow."""
        return folded(self.declaration.name), folded(self.instance), folded(name)

    def __repr__(self) -> str:
        return f"<place {self.name}>"


class FlowSite:
    """A flow at one spot of another; the root has no parent. Operations and nested flows are expanded on first entry.

    Attributes:
        make: makes what stands for an operation here. A `Site` is enough for looking at a flow: no factory and no `create()` is called.
        bind: told of a component that was made for a place, with its default port.
    """

    def __init__(
        self,
        definition: Definition,
        parent: FlowSite | None = None,
        name: str = "",
        instance: str = "",
        *,
        make: Callable[[FlowSite, Declaration, str, str], Site] = Site,
        bind: Callable[[Any, Port], None] | None = None,
    ) -> None:
        self.definition = definition
        self.make = make
        self.parent = parent
        self.root: FlowSite = parent.root if parent is not None else self
        self.name = name
        self.instance = instance
        self.depth: int = parent.depth + 1 if parent is not None else 0
        own = f"{name}#{instance}" if instance else name
        self.path: str = f"{parent.path}/{own}" if parent is not None and parent.path else own
        self.children: dict[tuple[str, str], FlowSite] = {}
        self.operations: dict[tuple[str, str, str], Site] = {}
        self.components: dict[tuple[str, str], Any] = {}
        self.bind = bind

    def lookup(self, name: str) -> Declaration | Definition | None:
        """Find an operation or a flow by its folded name: here, else in the flow around, up to the root."""
        for flow in self.levels():
            found = flow.definition.operations.get(name) or flow.definition.flows.get(name)
            if found is not None:
                return found
        return None

    def levels(self) -> Iterator[FlowSite]:
        """Iterate over this flow and those around it, up to the root."""
        flow: FlowSite | None = self
        while flow is not None:
            yield flow
            flow = flow.parent

    def ways_here(self) -> Iterator[tuple[FlowSite, Path]]:
        """Iterate over this flow and those around it whose streams may name what is here, each with the path from there."""
        path: Path = ()
        for flow in self.levels():
            if len(path) <= flow.definition.deepest:  # else hashing long paths would be most of the work
                yield flow, path
            path = ((folded(flow.name), folded(flow.instance)), *path)

    def child(self, name: str, instance: str) -> FlowSite:
        """Return the flow used here under a name, expanded on first entry; `FlowBuildError` past the nesting limit."""
        key = (folded(name), folded(instance))
        known = self.children.get(key)
        if known is None:
            if self.depth >= NESTING_LIMIT:
                raise FlowBuildError(
                    f'flow "{name}" is nested {NESTING_LIMIT} deep, which looks like a recursion without an end. Let an operation in '
                    "it decide when to leave, instead of always entering the flow again."
                )
            found = self.lookup(key[0])
            definition = found if isinstance(found, Definition) else UNKNOWN_FLOW
            known = self.children[key] = FlowSite(
                definition, self, definition.name or name, instance, make=self.make, bind=self.bind
            )
        return known

    def descend(self, port: Port) -> FlowSite:
        """Follow the path of a port as it is seen from this flow."""
        if not port.path:  # which is so for nearly all
            return self
        flow = self.root if port.is_rooted else self
        for name, instance in port.segments:
            flow = flow.child(name, instance)
        return flow

    def repeats_itself(self) -> bool:
        """Say whether it is nested in itself."""
        return any(flow.definition is self.definition for flow in self.levels() if flow is not self)

    def streams_from(self, source: SourceKey) -> Iterator[tuple[Stream, FlowSite]]:
        """Iterate over the streams that start at a port of this flow or of an operation in it, each with the flow it is in."""
        for flow, path in self.ways_here():
            for stream in flow.definition.outs.get((path, source), ()):
                yield stream, flow

    def leads_on(self, source: SourceKey) -> bool:
        """Say whether any stream starts at a port."""
        return any(True for _ in self.streams_from(source))

    def place(self, declaration: Declaration, instance: str, in_port: str = "") -> Any:
        """Return what was made for an operation here; of a component that of one in-port, for each has its own mode."""
        sketch = self.make is Site
        if declaration.component is None or sketch:
            in_port = ""
        key = (folded(declaration.name), folded(instance), folded(in_port))
        known = self.operations.get(key)
        if known is None:
            part = declaration if sketch else declaration.at(in_port)
            known = self.operations[key] = self.make(self, part, instance, in_port)
        return known

    def component(self, declaration: Declaration, instance: str) -> Any:
        """Return the component of a place here, which its in-ports share; `FlowBuildError` if it cannot be made."""
        key = (folded(declaration.name), folded(instance))
        if key not in self.components:
            assert declaration.component is not None, "the caller has looked"
            port = port_of(self.path, declaration.name, instance, "")
            try:
                self.components[key] = declaration.component.make()
            except Exception as error:
                raise not_made(port.fullname, declaration, error) from error
            if self.bind is not None and declaration.component.factory is not None:
                self.bind(self.components[key], port)
        return self.components[key]

    def source(self, port: Port) -> tuple[FlowSite, SourceKey]:
        """Say which flow's port, or which operation's, a name means that is used here."""
        return self.descend(port), source_key(port)

    def targets(self, source: SourceKey) -> list[Target]:
        """Follow all streams from a port to the operations and results they lead to, through the borders of flows."""
        found: list[Target] = []
        pending: list[Target | Border] = [Border(self, source, (), None)]
        while pending:
            step = pending.pop()
            if isinstance(step, Target):
                found.append(step)
            elif step.closes_a_circle():
                # Of flow ports, with no operation in it: nothing ever arrives from there.
                found.append(Target(None, step.port, step.crossed, dead=True))
            else:
                streams = step.flow.streams_from(step.source)
                ends = [base._follow(stream, step) for stream, base in streams]
                pending += [end for end in reversed(ends) if end is not None]
                if not ends and step.came_from is not None:
                    found.append(Target(None, step.port, step.crossed, dead=True))
        return found

    def end_of(self, stream: Stream) -> tuple[FlowSite, SourceKey, Site | None] | None:
        """Say where a stream of this flow ends: at a place, or (None) at a way in or out of a flow, the root's results among them."""
        return self.end_at(stream.target, outward=isinstance(stream, Outward))

    def end_at(
        self, target: Port, *, outward: bool = False
    ) -> tuple[FlowSite, SourceKey, Site | None] | None:
        """Say where what is sent to a port ends, as it is named in this flow; `outward`: from inside a flow that it names."""
        base = self.descend(target)
        _, operation, _, name = target.key
        if not operation:
            inward = base is not self and not outward
            if base.parent is None or inward:  # a nested flow's port named from outside: its way in
                return base, ("", "", name), None
            return base.parent, (folded(base.name), folded(base.instance), name), None
        found = base.lookup(operation)
        if isinstance(found, Declaration):
            place = base.place(found, target.instance, target.name)
            return base, place.source(name), place
        if isinstance(found, Definition):
            return base.child(target.operation, target.instance), ("", "", name), None
        return None

    def _follow(self, stream: Stream, came_from: Border) -> Target | Border | None:
        end = self.end_of(stream)
        if end is None:
            return None
        at, key, place = end
        borders, name = came_from.crossed, stream.target.name
        if place is not None:
            return Target(place, place.port(name), borders)
        inside = at.children[key[:2]] if key[0] else at
        crossed = port_of(inside.path, "", "", name)
        if inside.parent is None:
            return Target(None, crossed, borders)
        return Border(at, key, (*borders, crossed), came_from)

    def forget(self) -> None:
        """Let go of the components that stand here and below."""
        for flow in self.walk():
            flow.components.clear()

    def walk(self) -> Iterator[FlowSite]:
        """Iterate over this flow and all that are expanded below it."""
        pending = [self]
        while pending:
            flow = pending.pop()
            yield flow
            pending += flow.children.values()


def not_made(name: str, declaration: Declaration, error: Exception) -> FlowBuildError:
    """Say that what stands for an operation at its place could not be made."""
    return FlowBuildError(
        f'operation "{name}" (declared at {declaration.declared_at}) could not be made for its place: its factory or create() '
        f"raised {describe(error)}."
    )


def sites(root: FlowSite) -> Iterator[tuple[FlowSite, Declaration, str]]:
    """Find where operations stand: flow, operation and instance; of a flow inside itself only in the outermost."""
    pending = [root]
    seen: set[FlowSite] = set()
    while pending:
        flow = pending.pop()
        if flow in seen:
            continue
        seen.add(flow)
        found: dict[tuple[FlowSite, Declaration, str], str] = {}
        for stream in flow.definition.streams():
            for port in (stream.source, stream.target):
                base = flow.descend(port)
                at = base.lookup(port.key[1]) if port.operation else None
                nested = base.child(port.operation, port.instance) if isinstance(at, Definition) else base
                if not nested.repeats_itself():
                    pending.append(nested)
                if isinstance(at, Declaration):
                    found.setdefault((base, at, port.key[2]), port.instance)
        for (base, declaration, _), instance in found.items():
            yield base, declaration, instance


@define(eq=False)
class Target:
    """Where a stream ends: at a place's in-port, or (no place) at a result port. `borders`: the flow ports crossed.

    `dead`: at a flow's port from where nothing leads on.
    """

    place: Any
    port: Port
    borders: tuple[Port, ...]
    dead: bool = False


@define(eq=False)
class Border:
    """A port of a flow, or the name a nested flow's port has outside, from where streams lead on."""

    flow: FlowSite
    source: SourceKey
    crossed: tuple[Port, ...]
    came_from: Border | None

    @property
    def port(self) -> Port:
        operation, instance, name = self.source
        return port_of(self.flow.path, operation, instance, name)

    def closes_a_circle(self) -> bool:
        """Say whether the way here came by here before."""
        earlier = self.came_from
        while earlier is not None and not (earlier.flow is self.flow and earlier.source == self.source):
            earlier = earlier.came_from
        return earlier is not None


STREAM_PORT = "stream"


def matched_gathers(scatter: Site) -> tuple[Any, ...]:
    """Return the gathers that `scatter` leads to with no other list open between them, in the order they are met.

    A scatter on the way opens a bracket, a gather closes one, and a gather met with none open is matched and ends that way. Each place is
    visited once per depth, and no deeper than there are scatters on the way: a scatter in a loop opens brackets without end. A
    recursive flow is entered once more than it is around the scatter.
    """
    around = _definitions(scatter.flow)
    deepest = _scatters_on_the_way(scatter, around)
    found: dict[Site, None] = {}
    seen: set[tuple[Site, int]] = set()
    pending: list[tuple[FlowSite, SourceKey, int]] = [(scatter.flow, scatter.source(STREAM_PORT), 0)]
    while pending:
        flow, source, depth = pending.pop()
        for target in flow.targets(source):
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


def _scatters_on_the_way(scatter: Site, around: Counter[int]) -> int:
    """Count the scatters that can be reached at all."""
    seen: dict[Site, None] = {}
    pending: list[tuple[FlowSite, SourceKey]] = [(scatter.flow, scatter.source(STREAM_PORT))]
    while pending:
        flow, source = pending.pop()
        for target in flow.targets(source):
            place = target.place
            if place is not None and place not in seen and not _recursing(place.flow, around):
                seen[place] = None
                pending += [(place.flow, key) for key in out_sources(place)]
    return sum(place.declaration.bracket > 0 for place in seen)


def out_sources(place: Site) -> list[SourceKey]:
    """Return the keys of a place's out-ports that streams start from."""
    operation, instance, _ = place.source("")
    keys: dict[SourceKey, None] = {}
    for flow in place.flow.levels():
        keys.update(flow.definition.sources_of.get((operation, instance), {}))
    return list(keys)


def _definitions(flow: FlowSite) -> Counter[int]:
    return Counter(id(level.definition) for level in flow.levels())


def _recursing(flow: FlowSite, around: Counter[int]) -> bool:
    return any(number > around[definition] + 1 for definition, number in _definitions(flow).items())
