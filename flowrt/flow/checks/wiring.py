"""What is connected to what: outputs nobody takes, parts nothing leads to, what is declared and not used, loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from flowrt.errors import KNOWN_NAMES_SHOWN, Fault
from flowrt.flow.checks.findings import place_of
from flowrt.flow.checks.graph import components
from flowrt.flow.faults import HINTS_LIMIT, outputs_of, untaken
from flowrt.operations.declarations import Declaration
from flowrt.standard import AutoResetJoin, Gather, Latest, ManualResetJoin, Scan, Zip

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.graph import Edge, Graph, Node, Ports
    from flowrt.flow.definition import Definition
    from flowrt.flow.flow import Flow
    from flowrt.flow.sites import FlowSite, Site


def flows_of(root: Flow, definition: Definition) -> list[tuple[Flow, Definition]]:
    """Return a flow and all flows in it, each once, with their definitions."""
    seen = {id(root): (root, definition)}
    pending = [(root, definition)]
    while pending:
        around, known = pending.pop()
        for flow in around.flows:
            nested = known.flows.get(flow.name.casefold())
            if id(flow) not in seen and nested is not None:
                seen[id(flow)] = (flow, nested)
                pending.append((flow, nested))
    return list(seen.values())


class Wiring:
    """Looks at the streams of a flow.

    Attributes:
        reached: the ports that something may come to.
    """

    def __init__(self, graph: Graph, report: Report, faults: list[Fault]) -> None:
        self.graph = graph
        self.report = report
        self._meant = _meant_by(faults, graph)
        self._cut_off = any(fault.code == "F106" for fault in faults)
        self._excused = {
            place
            for place, ports in graph.places.items()
            if not graph.is_open(place.flow)
            or place.declaration.name.casefold() in self._meant
            or _has_faulty_port(place, ports)
        }
        self.reached = self._reach()

    def check(self, flows: Iterable[tuple[Flow, Definition]]) -> None:
        """Report what is not as it should be."""
        self._twice()
        self._not_used(flows)
        self._untaken_outputs()
        self._lacking_inputs()
        self._ways_out()
        self._dead_parts()
        self._endless_loops()

    # -- what can be reached

    def _reach(self) -> dict[Node, None]:
        graph = self.graph
        starts = [node for node in graph.nodes.values() if node.is_input]
        starts += graph.lost
        for place, ports in graph.places.items():
            if emits_alone(place.declaration) or place in self._excused:
                starts += ports.outs.values()
                starts += ports.ins.values() if place in self._excused else ()
        for node in graph.nodes.values():  # ways that a faulty stream names
            if node.place is None and not node.result and not node.arriving and not self._has_way(node):
                starts.append(node)
        reached: dict[Node, None] = dict.fromkeys(starts)
        pending = list(reached)
        while pending:
            node = pending.pop()
            for after in (*graph.successors(node), *graph.again.get(node, ())):
                if after not in reached:
                    reached[after] = None
                    pending.append(after)
        return reached

    def _has_way(self, node: Node) -> bool:
        """Say whether a flow has the way in or out that a node stands for."""
        if not node.key[0]:
            return node.name in node.flow.definition.ways_in
        nested = node.flow.children.get(node.key[:2])
        return nested is None or node.name in nested.definition.ways_out

    # -- names

    def _twice(self) -> None:
        for flow in self.graph.flows:
            seen: dict[Any, Any] = {}
            for stream in flow.definition.streams():
                first = seen.setdefault((stream.source, stream.target), stream)
                if first is not stream:
                    text = f'stream "{stream}" is there twice, first at {first.declared_at}: every message arrives twice.'
                    remedy = "Take one away."
                    self.report.add("F107", stream.declared_at, text, stream.declared_at, remedy, [stream])

    def _not_used(self, flows: Iterable[tuple[Flow, Definition]]) -> None:
        if self._cut_off:
            return
        for flow, definition in flows:
            operations = {declaration.name.casefold(): declaration for declaration in flow.operations}
            for nested in flow.flows:
                both = operations.get(nested.name.casefold())
                if both is not None:
                    text = f'operation "{both.name}" has the name of a flow beside it; the operation wins, so no stream leads into the flow.'
                    self.report.add(
                        "F108", id(both), text, both.declared_at, "Give one of them another name.", [both]
                    )
                elif (
                    not self._entered(definition.flows.get(nested.name.casefold()))
                    and nested.name.casefold() not in self._meant
                ):
                    text = f'flow "{nested.name}" is not used: no stream leads into it or out of it.'
                    remedy = f'Connect it where it belongs ("{nested.name}.in"), or take it away.'
                    self.report.add("F204", id(nested), text, nested.declared_at, remedy, ())
            for declaration in operations.values():
                if id(declaration) not in self.graph.used and declaration.name.casefold() not in self._meant:
                    text = f'operation "{declaration.name}" is not used: no stream leads to it or from it.'
                    remedy = "Connect it, or take it away."
                    self.report.add(
                        "F203", id(declaration), text, declaration.declared_at, remedy, [declaration]
                    )

    def _entered(self, definition: Definition | None) -> bool:
        return definition is None or self.graph.entered(definition)

    # -- ends

    def _untaken_outputs(self) -> None:
        for place, ports in self.graph.places.items():
            declaration = place.declaration
            if place in self._excused or not (ports.ins or emits_alone(declaration)):
                continue
            optional = {port.casefold() for port in getattr(declaration.operation, "optional_ports", ())}
            if declaration.bracket > 0:
                optional.add("count")  # a gather does without
            for port in outputs_of(declaration, ports.ins):
                if port.casefold() not in optional and port.casefold() not in ports.outs:
                    fault = untaken("", place.port(port).fullname, declaration)
                    self._add_of("F201", place, ports, fault.says, fault.remedy, port.casefold())

    def _lacking_inputs(self) -> None:
        for place, ports in self.graph.places.items():
            if place in self._excused or not (ports.ins or ports.outs):
                continue
            if not ports.ins:
                continue  # nothing leads there at all, which is told of elsewhere
            for port in needed_ports(place.declaration):
                if port.casefold() not in ports.ins:
                    text = (
                        f'nothing leads to "{place.port(port)}", so "{place.name}" never has what it needs.'
                    )
                    self._add_of("F202", place, ports, text, "Lead a stream there.", port.casefold())

    def _add_of(self, code: str, place: Site, ports: Ports, text: str, remedy: str, port: str) -> None:
        about = (place.declaration, *(edge.stream for node in ports.ins.values() for edge in node.arriving))
        key = (id(place.flow.definition), id(place.declaration), place.instance.casefold(), port)
        self.report.add(code, key, text, place.declaration.declared_at, remedy, about)

    def _ways_out(self) -> None:
        for flow in self.graph.flows:
            if flow.parent is None or flow.parent not in self.graph.flows:
                continue
            own = (flow.name.casefold(), flow.instance.casefold())
            uses = _uses(self.graph, flow)
            if not uses or (flow, "out") in self.graph.misnamed:
                continue
            for folded, name in flow.definition.ways_out.items():
                node = self.graph.nodes.get((id(flow.parent), (*own, folded), "out"))
                if node is None or node.leaving or not node.arriving:
                    continue
                label = _label(flow, name)
                text = f'no stream takes what leaves flow "{flow.name}" at "{label}".'
                streams = [edge.stream for edge in node.arriving]
                key = (id(flow.parent.definition), own, folded)
                about = [*uses, *streams]
                self.report.add("F206", key, text, uses[0].declared_at, f'Connect "{label}".', about)

    # -- parts

    def _dead_parts(self) -> None:
        """Report where each part begins that nothing leads to, and no more of it."""
        dead = [node for node in self.graph.nodes.values() if node not in self.reached]
        covered: set[Node] = set()
        for part, _ in components(dead, self._dead_successors):
            first = part[0]
            if first in covered:
                continue
            pending = list(part)
            covered.update(part)
            while pending:
                for after in self._dead_successors(pending.pop()):
                    if after not in covered:
                        covered.add(after)
                        pending.append(after)
            self._report_dead(next((node for node in part if node.place is not None), first))

    def _dead_successors(self, node: Node) -> list[Node]:
        return [after for after in self.graph.successors(node) if after not in self.reached]

    def _report_dead(self, node: Node) -> None:
        place = node.place
        if place is not None:
            ports = self.graph.places[place]
            about = [place.declaration, *_streams_of(ports)]
            circle = any(port.arriving for port in ports.ins.values())
            text = (
                f'nothing leads to "{place.name}" from any input of the flow: it only gets what it sends itself.'
                if circle
                else f'nothing leads to "{place.name}", so nothing ever leaves it.'
            )
            key = (id(place.flow.definition), id(place.declaration), place.instance.casefold())
            remedy = "Lead a stream to it, or take it away with its streams."
            stream = min((edge.stream for edge in _edges_of(ports)), key=_by_place, default=None)
            where = stream.declared_at if stream is not None else place.declaration.declared_at
            self.report.add("F205", key, text, where, remedy, about)
        elif node.leaving and not node.key[0]:
            flow, name = node.flow, node.flow.definition.ways_in.get(node.name, node.name)
            uses = _uses(self.graph, flow)
            label = _label(flow, name)
            if (flow, "in") in self.graph.misnamed:
                return
            streams = [edge.stream for edge in node.leaving]
            text = f'nothing leads to "{label}", so what flow "{flow.name}" does with it is never done.'
            where = (uses or streams)[0].declared_at
            way = (
                id(flow.parent.definition) if flow.parent else 0,
                flow.name.casefold(),
                flow.instance,
                node.name,
            )
            self.report.add("F207", way, text, where, f'Lead a stream to "{label}".', [*uses, *streams])

    def _endless_loops(self) -> None:
        """Report circles of functions that hand on every message: none ever ends."""

        def onwards(node: Node) -> list[Node]:
            place = node.place
            if node.entering and place is not None:
                out = self.graph.places[place].outs.get("")
                return [out] if out is not None and hands_on(place.declaration) else []
            return [edge.target for edge in node.leaving]

        for part, circle in components(self.graph.nodes.values(), onwards):
            places = [node.place for node in part if node.place is not None]
            if not circle or not places or part[0] not in self.reached:
                continue
            members = set(part)
            edges = [edge for node in part for edge in node.leaving if edge.target in members]
            back = max(edges, key=lambda edge: _by_place(edge.stream))
            unique = list(dict.fromkeys(f'"{place.name}"' for place in places))
            more = len(unique) - KNOWN_NAMES_SHOWN
            names = ", ".join(unique[:KNOWN_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
            text = f"what enters the loop of {names} never ends: every function in it sends on what it gets."
            remedy = "Let an action or a Switch in it decide who leaves."
            about = [*(edge.stream for edge in edges), *(place.declaration for place in places)]
            self.report.add("F208", back.stream.declared_at, text, back.stream.declared_at, remedy, about)


# -- what is known of operations


def emits_alone(declaration: Declaration) -> bool:
    """Say whether an operation may emit without having got anything: it is active, or a component, which may call its out-ports at any time."""
    return declaration.active or declaration.component is not None


def needed_ports(declaration: Declaration) -> tuple[str, ...]:
    """Return the in-ports without which an operation cannot work."""
    operation = declaration.operation
    if isinstance(operation, Gather):
        return ("stream",)
    if isinstance(operation, ManualResetJoin):
        return tuple(port for port in operation.in_ports or () if port != "reset")
    if isinstance(operation, AutoResetJoin | Latest | Zip):
        return operation.in_ports or ()
    return ()


def hands_on(declaration: Declaration) -> bool:
    """Say whether each message that enters leads to exactly one on the default port."""
    if declaration.kind == "function":
        return True
    return isinstance(declaration.operation, Scan)


def _has_faulty_port(place: Site, ports: Ports) -> bool:
    declaration = place.declaration
    for known, used in ((declaration.in_ports, ports.ins), (declaration.out_ports, ports.outs)):
        if known is not None and not set(used) <= {port.casefold() for port in known}:
            return True
    return False


def _meant_by(faults: list[Fault], graph: Graph) -> set[str]:
    """Return the names that misspelt ones probably stand for: of these nothing can be said."""
    wrong = {
        port.key[1]
        for fault in faults
        if fault.code == "F101"
        for port in (fault.about[0].source, fault.about[0].target)
    }
    unplaced = {fault.about[0].target.key[1] for fault in faults if fault.code == "F105"}
    if not wrong:
        return unplaced
    names = [declaration.name.casefold() for declaration in graph.root.definition.all_operations()]
    names += [flow.name.casefold() for flow in graph.flows]
    known = dict.fromkeys(names)
    return unplaced | {
        match
        for name in sorted(wrong - set(known))[:HINTS_LIMIT]
        for match in get_close_matches(name, known, n=1)
    }


def _streams_of(ports: Ports) -> list[Any]:
    return [edge.stream for edge in _edges_of(ports)]


def _edges_of(ports: Ports) -> Iterator[Edge]:
    for node in ports.ins.values():
        yield from node.arriving
    for node in ports.outs.values():
        yield from node.leaving


def _by_place(stream: Any) -> tuple[str, int, int]:
    return place_of(stream.declared_at)


def _uses(graph: Graph, flow: FlowSite) -> list[Any]:
    """Return the streams that lead into a flow or out of it, from around it, by place."""
    return sorted(graph.uses.get(flow, ()), key=_by_place)


def _label(flow: FlowSite, name: str) -> str:
    own = f"{flow.name}#{flow.instance}" if flow.instance else flow.name
    return f"{own}.{name}" if name else own
