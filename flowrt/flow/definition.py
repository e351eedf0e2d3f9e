"""Flow → definition: what a flow is made of, looked up by folded names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve, fields

from flowrt.errors import Fault
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, Stream, folded, port_of

if TYPE_CHECKING:
    from flowrt.flow.flow import Flow


SourceKey = tuple[str, str, str]
"""Operation, instance and port, folded; a flow's own port has no operation."""

Path = tuple[tuple[str, str], ...]
"""The (name, instance) of each flow on a path, folded, outermost first."""


class Definition:
    """What a flow is made of, looked up by folded names.

    Attributes:
        outs: (path, source) -> the streams that start there, in order of declaration; the path leads to a flow below, or is empty.
        sources_of: (operation, instance) -> the out-ports that streams start from.
        fed: (path, operation, instance) -> the names of the in-ports that streams lead to.
        deepest: the length of the longest path in these.
        ways_in: the flow's own ports that streams start at: folded name -> name.
        ways_out: those that streams end at.
    """

    def __init__(self, name: str, operations: dict[str, Declaration] | None = None) -> None:
        self.name = name
        self.operations: dict[str, Declaration] = operations or {}
        self.flows: dict[str, Definition] = {}
        self.outs: dict[tuple[Path, SourceKey], list[Stream]] = {}
        self.sources_of: dict[tuple[str, str], dict[SourceKey, None]] = {}
        self.fed: dict[tuple[Path, str, str], set[str]] = {}
        self.deepest: int = 0
        self.ways_in: dict[str, str] = {}
        self.ways_out: dict[str, str] = {}

    def add(self, stream: Stream) -> None:
        source, target = stream.source, stream.target
        key, (operation, instance, name) = source_key(source), source_key(target)
        self.deepest = max(self.deepest, len(source.segments), len(target.segments))
        self.outs.setdefault((path_of(source), key), []).append(stream)
        self.sources_of.setdefault(key[:2], {})[key] = None
        if not target.is_rooted:
            self.fed.setdefault((path_of(target), operation, instance), set()).add(name)
        if not (source.path or source.operation):
            self.ways_in.setdefault(key[2], source.name)
        if not (target.path or target.operation):
            self.ways_out.setdefault(name, target.name)

    def input_ports(self) -> list[str]:
        """Return the ports of its environment that streams start from."""
        return [each[0].source.fullname for (path, key), each in self.outs.items() if not (path or key[0])]

    def output_ports(self) -> list[str]:
        """Return the ports of its environment that results may leave by, also straight from a flow in it."""
        return list(
            {key: f".{name}" for each in self.all_flows() for key, name in each.ways_out.items()}.values()
        )

    def has_output(self, port: Port) -> bool:
        """Say whether results may leave by a port."""
        _, operation, instance, name = port.key
        return not (port.segments or operation or instance) and any(
            name in each.ways_out for each in self.all_flows()
        )

    def all_flows(self) -> Iterator[Definition]:
        """Iterate over this flow and all flows in it."""
        seen: set[int] = set()
        pending = [self]
        while pending:
            definition = pending.pop()
            if id(definition) not in seen:
                seen.add(id(definition))
                yield definition
                pending += definition.flows.values()

    def all_operations(self) -> list[Declaration]:
        """Return the operations of this flow and of all flows in it."""
        return [each for definition in self.all_flows() for each in definition.operations.values()]

    def streams(self) -> Iterator[Stream]:
        """Iterate over all streams of this flow, nested flows aside: those that start in flows below come last."""
        for _, streams in sorted(self.outs.items(), key=lambda each: bool(each[0][0])):
            yield from streams


def path_of(port: Port) -> Path:
    """Return a port's path as it is compared."""
    return tuple((folded(name), folded(instance)) for name, instance in port.segments)


def source_key(port: Port) -> SourceKey:
    """Return a port without its path, as routes look it up."""
    _, operation, instance, name = port.key
    return operation, instance, name


def define_flow(root: Flow, faults: list[Fault]) -> Definition:
    """Make the definition of a root flow and of every flow in it; flows added to themselves are met again, not repeated.

    Streams that have no place in any of them are left out, and told of in `faults`.
    """
    made: dict[int, Definition] = {}
    pending: list[Flow] = []

    def definition_of(flow: Flow) -> Definition:
        known = made.get(id(flow))
        if known is None:
            known = made[id(flow)] = Definition(flow.name, {folded(d.name): d for d in flow.operations})
            pending.append(flow)
        return known

    whole = definition_of(root)
    for flow in pending:
        for nested in flow.flows:
            made[id(flow)].flows[folded(nested.name)] = definition_of(nested)
    returning: list[tuple[Stream, Definition]] = []
    for flow in pending:  # which names there are is known now
        definition = made[id(flow)]
        for stream in flow.streams:
            if stream.source.is_rooted and not (stream.target.is_rooted or definition is whole):
                returning.append((stream, definition))
            else:
                _place_stream(stream, whole if stream.source.is_rooted else definition, whole)
    for stream, definition in returning:  # where flows are used is known now
        fault = _place_returning(stream, definition, whole)
        if fault is not None:
            faults.append(fault)
    return whole


class Outward(Stream):
    """A stream from outside a nested flow to the way out of it that it names, not to a way in."""


def _place_returning(stream: Stream, definition: Definition, root: Definition) -> Fault | None:
    """Put a stream of a nested flow that starts at the root there: it leads to the one place where that flow is used."""
    target = stream.target
    outward = not (target.path or target.operation)
    if outward:
        definition.ways_out.setdefault(target.key[3], target.name)
    uses = _uses(definition, root)
    if len(uses) != 1:
        where = (
            f"in {len(uses)} places ({', '.join(uses[:3])}{', …' if len(uses) > 3 else ''})"
            if uses
            else "nowhere"
        )
        says = f'it starts at the root, and flow "{definition.name}" is used {where}, so it does not say where it would lead.'
        return Fault.of_stream("F105", stream, says, "Lead the messages in through the flow's own ports.")
    path = f"{uses[0]}/{target.path}" if target.path else uses[0]
    moved = evolve(stream, source=_unrooted(stream.source), target=evolve(target, path=path))
    if outward:
        moved = Outward(**{each.name: getattr(moved, each.name) for each in fields(Stream)})
    root.add(moved)
    return None


def _uses(wanted: Definition, root: Definition) -> list[str]:
    """Return the paths from the root at which streams use a flow; inside itself it is not looked for."""
    found: dict[str, None] = {}
    pending: list[tuple[tuple[Definition, ...], str]] = [((root,), "")]
    seen: set[tuple[Path, int]] = set()
    while pending:
        around, path = pending.pop()
        for port in (port for stream in around[-1].streams() for port in (stream.source, stream.target)):
            at, here = ((root,), "") if port.is_rooted else (around, path)
            for name, instance in (*port.segments, (port.operation, port.instance)):
                nested = _found(at, folded(name))
                if not isinstance(nested, Definition) or nested in at:
                    break
                own = f"{nested.name}#{instance}" if instance else nested.name
                at, here = (*at, nested), f"{here}/{own}" if here else own
                if nested is wanted:
                    found[here] = None
                if (key := (path_of(port_of(here, "", "", "")), id(nested))) not in seen:
                    seen.add(key)
                    pending.append((at, here))
    return list(found)


def _found(around: tuple[Definition, ...], name: str) -> Declaration | Definition | None:
    """Find an operation or a flow by its folded name, as a message would: in the innermost of flows inside each other, else around it."""
    return next(
        (found for each in reversed(around) if (found := each.operations.get(name) or each.flows.get(name))),
        None,
    )


def _place_stream(stream: Stream, definition: Definition, root: Definition) -> None:
    """Put a stream into the flow it belongs to: that of both its ends if they share a path, else where it was written."""
    source, target = stream.source, stream.target
    if not (source.path or target.path):
        definition.add(stream)
        return
    if definition is root:
        source, target = _unrooted(source), _unrooted(target)
    if source.path and source.key[0] == target.key[0]:
        owner = _owner(source, definition, root)
        owner.add(evolve(stream, source=evolve(source, path=""), target=evolve(target, path="")))
    else:
        definition.add(evolve(stream, source=source, target=target))


def _owner(port: Port, definition: Definition, root: Definition) -> Definition:
    """Return the flow that a path leads to, found as a message would find it; one that nobody added is made here, by its name."""
    here = root if port.is_rooted else definition
    around = [root, here]
    owner: Definition | None = None
    for segment, _ in port.segments:
        name = folded(segment)
        owner = next((flow.flows[name] for flow in reversed(around) if name in flow.flows), None)
        if owner is not None:
            around.append(owner)
    if owner is None:
        segment = port.segments[-1][0]
        owner = here.flows[folded(segment)] = Definition(segment)
    return owner


def _unrooted(port: Port) -> Port:
    return evolve(port, path=port.path.removeprefix("/")) if port.is_rooted else port
