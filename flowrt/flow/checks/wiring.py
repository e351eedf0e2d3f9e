"""What is connected to what: outputs nobody takes, parts nothing leads to, what is declared and not used, loops."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from flowrt.errors import KNOWN_NAMES_SHOWN, Fault
from flowrt.flow.checks.findings import by_place
from flowrt.flow.checks.reach import components, spread
from flowrt.flow.faults import HINTS_LIMIT, comma_hint, outputs_of, untaken
from flowrt.operations.declarations import Declaration
from flowrt.ports import folded
from flowrt.standard import AutoResetJoin, Gather, Latest, ManualResetJoin, Scan, Zip

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.reach import Pin, Ports, Reach
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
            nested = known.flows.get(folded(flow.name))
            if id(flow) not in seen and nested is not None:
                seen[id(flow)] = (flow, nested)
                pending.append((flow, nested))
    return list(seen.values())


class Wiring:
    """Looks at the streams of a flow.

    Attributes:
        reached: the ports that something may come to.
    """

    def __init__(self, reach: Reach, report: Report, faults: list[Fault]) -> None:
        self.reach = reach
        self.report = report
        self._meant = _meant_by(faults, reach)
        self._cut_off = any(fault.code == "F106" for fault in faults)
        self._excused = {
            place
            for place, ports in reach.places.items()
            if place.flow not in reach.flows
            or folded(place.declaration.name) in self._meant
            or _has_faulty_port(place, ports)
        }
        self.reached: dict[Pin, None] = self._reached()

    def check(self, flows: Iterable[tuple[Flow, Definition]]) -> None:
        self._twice()
        self._not_used(flows)
        self._untaken_outputs()
        self._lacking_inputs()
        self._ways_out()
        self._dead_parts()
        self._endless_loops()

    # -- what can be reached

    def _reached(self) -> dict[Pin, None]:
        reach = self.reach
        starts = [pin for pin in reach.pins.values() if pin.is_input]
        starts += reach.lost
        for place, ports in reach.places.items():
            if emits_alone(place.declaration) or place in self._excused:
                starts += ports.outs.values()
                starts += ports.ins.values() if place in self._excused else ()
        for pin in reach.pins.values():  # ways that a faulty stream names
            if pin.side == "out" and not pin.place and not pin.arriving and not self._has_way(pin):
                starts.append(pin)
        return dict.fromkeys(spread(starts, reach.all_successors))

    def _has_way(self, pin: Pin) -> bool:
        """Say whether a flow has the way in or out that a pin stands for."""
        if not pin.key[0]:
            return pin.name in pin.flow.definition.ways_in
        nested = pin.flow.children.get(pin.key[:2])
        return nested is None or pin.name in nested.definition.ways_out

    # -- names

    def _twice(self) -> None:
        for flow in self.reach.flows:
            seen: dict[Any, Any] = {}
            for stream in flow.definition.streams():
                first = seen.setdefault((stream.source, stream.target), stream)
                if first is not stream:
                    text = f'stream "{stream}" is there twice, first at {first.declared_at}: every message arrives twice.'
                    at = stream.declared_at
                    self.report.add("F107", at, text, at, "Take one away.", [stream])

    def _not_used(self, flows: Iterable[tuple[Flow, Definition]]) -> None:
        if self._cut_off:
            return
        for flow, definition in flows:
            operations = {folded(declaration.name): declaration for declaration in flow.operations}
            for nested in flow.flows:
                name = folded(nested.name)
                both, inner = operations.get(name), definition.flows.get(name)
                if both is not None:
                    text = f'operation "{both.name}" has the name of a flow beside it; the operation wins, so no stream leads into the flow.'
                    remedy = "Give one of them another name."
                    self.report.add("F108", id(both), text, both.declared_at, remedy, [both])
                elif inner is not None and not self.reach.is_used(inner) and name not in self._meant:
                    text = f'flow "{nested.name}" is not used: no stream leads into it or out of it.'
                    remedy = (
                        f'Connect it where it belongs ("{nested.name}.in"), or take it away.{_comma(nested)}'
                    )
                    self.report.add("F204", id(nested), text, nested.declared_at, remedy, ())
            for name, declaration in operations.items():
                if id(declaration) not in self.reach.used and name not in self._meant:
                    text = f'operation "{declaration.name}" is not used: no stream leads to it or from it.'
                    remedy, at = "Connect it, or take it away.", declaration.declared_at
                    self.report.add("F203", id(declaration), text, at, remedy, [declaration])

    # -- ends

    def _untaken_outputs(self) -> None:
        for place, ports in self.reach.places.items():
            declaration = place.declaration
            if place in self._excused or not (ports.ins or emits_alone(declaration)):
                continue
            optional = set(declaration.extras.optional_ports)
            if declaration.bracket > 0:
                optional.add("count")  # a gather does without
            for port in outputs_of(declaration, ports.ins):
                name = folded(port)
                if name not in optional and name not in ports.outs:
                    fault = untaken("", place.port(port).fullname, declaration)
                    commas = (comma_hint(place.flow, place.port(fed)) for fed in ports.ins)
                    remedy = fault.remedy + next(filter(None, commas), "")
                    self.report.add_at("F201", place, name, fault.says, remedy, ports.arriving())

    def _lacking_inputs(self) -> None:
        for place, ports in self.reach.places.items():
            if place in self._excused or not ports.ins:
                continue  # where nothing leads at all is told of elsewhere
            for port in map(place.port, needed_ports(place.declaration)):
                name = port.key[3]
                if name not in ports.ins:
                    text = f'nothing leads to "{port}", so "{place.name}" never has what it needs.'
                    self.report.add_at("F202", place, name, text, "Lead a stream there.", ports.arriving())

    def _ways_out(self) -> None:
        for flow in self.reach.flows:
            uses = sorted(self.reach.uses.get(flow, ()), key=by_place)
            if flow.parent not in self.reach.flows or not uses or (flow, "out") in self.reach.misnamed:
                continue
            for way, name in flow.definition.ways_out.items():
                pin = self.reach.way_out(flow, way)
                if pin is None or pin.leaving or not pin.arriving:
                    continue
                label = _label(flow, name)
                text = f'no stream takes what leaves flow "{flow.name}" at "{label}".'
                key = (id(flow.parent.definition), *pin.key)
                about = [*uses, *(hop.stream for hop in pin.arriving)]
                self.report.add("F206", key, text, uses[0].declared_at, f'Connect "{label}".', about)

    # -- parts

    def _dead_parts(self) -> None:
        """Report where each part begins that nothing leads to, and no more of it."""
        dead = [pin for pin in self.reach.pins.values() if pin not in self.reached]
        covered: set[Pin] = set()
        for part, _ in components(dead, self._dead_successors):
            if part[0] not in covered:
                covered.update(spread(part, self._dead_successors))
                self._report_dead(next((pin for pin in part if pin.place is not None), part[0]))

    def _dead_successors(self, pin: Pin) -> list[Pin]:
        return [after for after in self.reach.successors(pin) if after not in self.reached]

    def _report_dead(self, pin: Pin) -> None:
        place, flow = pin.place, pin.flow
        if place is not None:
            ports = self.reach.places[place]
            coming = ports.arriving()
            streams = sorted([*coming, *ports.leaving()], key=by_place)
            text = (
                f'nothing leads to "{place.name}" from any input of the flow: it only gets what it sends itself.'
                if coming
                else f'nothing leads to "{place.name}", so nothing ever leaves it.'
            )
            remedy = "Lead a stream to it, or take it away with its streams."
            at = streams[0].declared_at if streams else ""
            self.report.add_at("F205", place, "", text, remedy, streams, at)
        elif pin.leaving and not pin.key[0] and (flow, "in") not in self.reach.misnamed:
            uses = sorted(self.reach.uses.get(flow, ()), key=by_place)
            streams = [*uses, *(hop.stream for hop in pin.leaving)]
            label = _label(flow, flow.definition.ways_in.get(pin.name, pin.name))
            text = f'nothing leads to "{label}", so what flow "{flow.name}" does with it is never done.'
            around = id(flow.parent.definition) if flow.parent else 0
            key = (around, folded(flow.name), flow.instance, pin.name)
            remedy = f'Lead a stream to "{label}".'
            self.report.add("F207", key, text, streams[0].declared_at, remedy, streams)

    def _endless_loops(self) -> None:
        """Report circles of functions that hand on every message: none ever ends."""
        parts = components(self.reach.pins.values(), lambda pin: self.reach.passed_on(pin, hands_on))
        for part, circle in parts:
            places = [pin.place for pin in part if pin.place is not None]
            if not circle or not places or part[0] not in self.reached:
                continue
            members = set(part)
            streams = [hop.stream for pin in part for hop in pin.leaving if hop.target in members]
            back = max(streams, key=by_place).declared_at
            unique = list(dict.fromkeys(f'"{place.name}"' for place in places))
            more = len(unique) - KNOWN_NAMES_SHOWN
            names = ", ".join(unique[:KNOWN_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
            text = f"what enters the loop of {names} never ends: every function in it sends on what it gets."
            remedy = "Let an action or a Switch in it decide who leaves."
            about = [*streams, *(place.declaration for place in places)]
            self.report.add("F208", back, text, back, remedy, about)


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
    return declaration.kind == "function" or isinstance(declaration.operation, Scan)


def _has_faulty_port(place: Site, ports: Ports) -> bool:
    sides = ((place.declaration.in_ports, ports.ins), (place.declaration.out_ports, ports.outs))
    return any(known is not None and not used.keys() <= set(map(folded, known)) for known, used in sides)


def _meant_by(faults: list[Fault], reach: Reach) -> set[str]:
    """Return the names that misspelt ones probably stand for: of these nothing can be said."""
    lost = [fault.about[0] for fault in faults if fault.code == "F105"]
    unplaced = {port.key[1] for stream in lost for port in (stream.source, stream.target)}
    streams = [fault.about[0] for fault in faults if fault.code == "F101"]
    wrong = {port.key[1] for stream in streams for port in (stream.source, stream.target)}
    names = [folded(declaration.name) for declaration in reach.root.definition.all_operations()]
    known = dict.fromkeys((*names, *(folded(flow.name) for flow in reach.flows)))
    meant = [get_close_matches(name, known, n=1) for name in sorted(wrong - set(known))[:HINTS_LIMIT]]
    return unplaced.union(*meant)


def _comma(flow: Flow) -> str:
    """Say that the headline of a flow may be a stream without its commas."""
    if not flow.is_read or " " not in flow.name:
        return ""
    from flowrt.flow.text import ports_without_commas, with_commas  # noqa: PLC0415 - there is a text

    ports = ports_without_commas(flow.name)
    return f" {with_commas(ports)}" if ports else ""


def _label(flow: FlowSite, name: str) -> str:
    own = f"{flow.name}#{flow.instance}" if flow.instance else flow.name
    return f"{own}.{name}" if name else own
