"""What keeps a flow from being built: names and ports of streams that are not there (did you mean?), outputs nobody takes under strict."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from flowrt import standard
from flowrt.errors import Fault, FlowBuildError
from flowrt.flow.definition import Definition, Outward, define_flow
from flowrt.flow.sites import UNKNOWN_FLOW, FlowSite
from flowrt.operations.declarations import Declaration, mode_faults
from flowrt.ports import Port, Stream, did_you_mean, folded, port_of

if TYPE_CHECKING:
    from flowrt.flow.flow import Flow


# Both arbitrary: of more faults it is not said what was probably meant, which takes long in a large flow; and of flows
# nested in more ways than that, those met already are not checked anew.
HINTS_LIMIT = 100
WAYS_LIMIT = 10_000
IN, OUT = (
    frozenset({"in", "input"}),
    frozenset({"out", "output", "result", "results"}),
)  # what ports of flows are usually called
UNREGISTERED = " Nothing is registered here: add_operations(container) or add_flow(flow) does that."

Wrong = tuple[str, str, str]
"""Of an end of a stream: the code, what is said of it, what to do."""


def faults_of(root: Definition, *, strict: bool) -> list[Fault]:
    """Check every stream against what is registered; each flow once per way it is nested, recursive ones once."""
    faults: dict[Fault, None] = {}
    told: set[tuple[str, str]] = set()
    seen: set[tuple[int, ...]] = set()
    known: set[int] = set()
    pending: list[tuple[FlowSite, tuple[int, ...]]] = [(FlowSite(root), (id(root),))]
    while pending:
        flow, chain = pending.pop()
        if chain in seen or (len(seen) > WAYS_LIMIT and chain[-1] in known):
            continue
        seen.add(chain)
        known.add(chain[-1])
        for stream in flow.definition.streams():
            hinting = len(faults) < HINTS_LIMIT
            for port, entering in ((stream.source, False), (stream.target, True)):
                fault, nested = _end_fault(flow, stream, port, entering=entering, hinting=hinting)
                if fault is not None and not _is_told(fault, port, told):
                    faults[fault] = None
                if nested is not None and id(nested.definition) not in chain:
                    pending.append((nested, (*chain, id(nested.definition))))
        if strict:
            faults.update(dict.fromkeys(_unconnected(flow)))
    return list(faults)


def _is_told(fault: Fault, port: Port, told: set[tuple[str, str]]) -> bool:
    """Say whether an unknown name was told of as the end of the stream before, on the same line of a text."""
    if fault.code != "F101" or not fault.about[0].target_at:
        return False
    key = fault.place, port.key[1]
    if key in told:
        return True
    told.add(key)
    return False


def _end_fault(
    flow: FlowSite, stream: Stream, port: Port, *, entering: bool, hinting: bool
) -> tuple[Fault | None, FlowSite | None]:
    """Check one end of a stream; return what is wrong with it, and the flow it leads into."""
    nested: FlowSite | None = None
    wrong: Wrong | None = None
    try:
        base = flow.descend(port)
        found = base.lookup(port.key[1]) if port.operation else None
        if isinstance(found, Declaration):
            wrong = _wrong_port(base, found, port, entering=entering)
        elif isinstance(found, Definition):
            nested = base.child(port.operation, port.instance)
            wrong = _wrong_way(nested, port, entering=entering)
        elif port.operation:
            hint = _hint(base, port, entering=entering) if hinting else ""
            wrong = "F101", f'there is no operation or flow "{port.operation}".', hint
        elif base is not flow:
            nested = base
            lost = (
                entering
                and not isinstance(stream, Outward)
                and base.parent is not None
                and not base.leads_on(("", "", port.key[3]))
            )
            if lost and base.definition is UNKNOWN_FLOW:
                name = port.segments[-1][0]
                wrong = "F101", f'there is no flow "{name}".', did_you_mean(name, _known_names(flow))
            elif lost:
                wrong = _wrong_way(base, port, entering=True)
    except FlowBuildError as error:  # nested too deep
        place = (entering and stream.target_at) or stream.declared_at
        return Fault(str(error), place, "F106", about=(stream,)), None
    return Fault.of_stream(wrong[0], stream, *wrong[1:], at_target=entering) if wrong else None, nested


def refuse_end(root: FlowSite, port: Port, what: str, *, entering: bool) -> None:
    """`FlowBuildError` if messages cannot be sent into a port of the flow or of an operation, or (not entering) out of an operation's."""
    wrong = _wrong_end(root, port, entering=entering)
    if wrong is not None:
        says, hint = wrong
        raise FlowBuildError(f'{what}("{port}"): {says} {hint.strip()}'.rstrip())


def _wrong_end(root: FlowSite, port: Port, *, entering: bool) -> tuple[str, str] | None:
    base = root.descend(port)
    if base.definition is UNKNOWN_FLOW:
        name = port.segments[-1][0]
        return f'there is no flow "{name}".', did_you_mean(name, _known_names(root))
    found = base.lookup(port.key[1]) if port.operation else base.definition
    if isinstance(found, Declaration):
        wrong = _wrong_port(base, found, port, entering=entering)
        return wrong and wrong[1:]
    if not entering:
        names = [each.name for each in base.definition.operations.values()]
        says = f'there is no operation "{port.operation}".' if port.operation else "it names no operation."
        return says, did_you_mean(port.operation, names)
    if found is None:
        return f'there is no operation or flow "{port.operation}".', _hint(base, port, entering=False)
    if port.key[3] in found.ways_in:
        return None
    name = f'flow "{found.name}"' if base is not root or port.operation else "the flow"
    known = [f".{each}" if each else "the default one" for each in found.ways_in.values()]
    side = _no_port("way in", port.name)
    glued = next((each for each in known if folded(each).startswith(folded(f".{port.name} "))), "")
    if glued:  # ".in f, .out" is read as a port ".in f"
        return f"{name} has {side}.", f'There is "{glued}", where a comma may be missing.'
    return f"{name} has {side}.", did_you_mean(
        f".{port.name}", known
    ) or "No stream starts at a port of it: connect it with add_stream or add_chain."


def _hint(flow: FlowSite, port: Port, *, entering: bool) -> str:
    """Say what an unknown name probably stands for: a port of the flow without its dot, several ports without commas, another name."""
    if port.fullname == port.operation and _is_way(flow, port.key[1], entering=entering):
        return f'Did you mean ".{port.operation}"? The name of a port of the flow itself starts with a dot.'
    if " " in port.fullname:
        from flowrt.flow.text import ports_without_commas, with_commas  # noqa: PLC0415 - for an error

        ports = ports_without_commas(port.fullname)
        if ports and not any(
            each.path or (each.operation and not flow.lookup(each.key[1])) for each in ports
        ):
            return with_commas(ports)
    return did_you_mean(port.operation, _known_names(flow)) or UNREGISTERED


def _is_way(flow: FlowSite, key: str, *, entering: bool) -> bool:
    """Say whether a folded name is that of a port of the flow where streams go, or the usual one."""
    if entering:
        return key in OUT or key in flow.definition.ways_out
    return key in IN or key in flow.definition.ways_in


def _wrong_port(flow: FlowSite, found: Declaration, port: Port, *, entering: bool) -> Wrong | None:
    ports = found.in_ports if entering else found.out_ports
    if ports is None or port.key[3] in ports or port.key[3] in {folded(name) for name in ports}:
        return None
    side = _no_port("in-port" if entering else "out-port", port.name)
    code = "F102" if entering else "F103"
    hint = _ports_hint(port.name, ports, found) + (comma_hint(flow, port) if entering else "")
    return code, f'operation "{found.name}" has {side}.', hint


def _wrong_way(nested: FlowSite, port: Port, *, entering: bool) -> Wrong | None:
    definition = nested.definition
    ports = definition.ways_in if entering else definition.ways_out
    if port.key[3] in ports:
        return None
    side = _no_port("way in" if entering else "way out", port.name)
    known = [f".{name}" if name else "the default one" for name in ports.values()]
    nothing = f"No stream of it {'starts' if entering else 'ends'} at a port of the flow."
    hint = (did_you_mean(f".{port.name}", known) or nothing).strip()
    comma = comma_hint(nested.parent or nested, port) if entering else ""
    return "F104", f'flow "{definition.name}" has {side}.', hint + comma


def comma_hint(flow: FlowSite, port: Port) -> str:
    """Say that what is named as an in-port may be the way out of the flow: ".in, f .out" is read as f.out."""
    if not port.operation or not _is_way(flow, port.key[3], entering=True):
        return ""
    return f' If a comma is missing, write "{port.operation}, .{port.name}".'


def _no_port(side: str, name: str) -> str:
    return f'no {side} ".{name}"' if name else f"no default {side}"


def _ports_hint(name: str, ports: tuple[str, ...], declaration: Declaration) -> str:
    if not ports:
        return " It emits nothing: give it a continuation, or signal=True."
    if ports == ("",):
        return f' Its only port is the default one: write "{declaration.name}".'
    return did_you_mean(f".{name}", [f".{port}" if port else declaration.name for port in ports])


def _known_names(flow: FlowSite) -> Iterator[str]:
    for level in flow.levels():
        yield from (declaration.name for declaration in level.definition.operations.values())
        yield from (definition.name for definition in level.definition.flows.values())


def _unconnected(flow: FlowSite) -> Iterator[Fault]:
    for (path, operation, instance), fed in flow.definition.fed.items():
        declaration = flow.lookup(operation)
        if path or not isinstance(declaration, Declaration):
            continue
        optional = declaration.extras.optional_ports
        for port in outputs_of(declaration, fed):
            key = folded(port)
            if key not in optional and not flow.leads_on((operation, instance, key)):
                name = port_of(flow.path, declaration.name, instance, port).fullname
                yield untaken("strict: ", name, declaration)


def outputs_of(declaration: Declaration, fed: Collection[str]) -> Iterator[str]:
    """Iterate over the out-ports on which an operation may emit, as far as that is known, if these in-ports are fed."""
    for port in declaration.out_ports or ():
        if isinstance(declaration.operation, standard.Correlator) and port.removesuffix("d") not in fed:
            continue  # it opens envelopes, or closes them, or both
        yield port


def untaken(prefix: str, port: str, declaration: Declaration) -> Fault:
    """Say that no stream takes what leaves at a port."""
    text, place = f'no stream takes what leaves at "{port}"', declaration.declared_at
    by_action = ", or add it with add_action if its result is not wanted"
    remedy = f"Connect it{by_action if declaration.kind == 'function' else ''}."
    whole = f"{prefix}{text} (declared at {place}). {remedy}"
    return Fault(whole, place, "F201", f"{text}.", remedy, (declaration,))


def definition_of(flow: Flow, *, strict: bool) -> Definition:
    """Make a flow's definition, whole; `FlowBuildError` with all faults at once."""
    faults: list[Fault] = []
    definition = define_flow(flow, faults)
    faults += faults_of(definition, strict=strict)
    faults += mode_faults(definition.all_operations())
    if faults:
        raise FlowBuildError(*faults)
    return definition
