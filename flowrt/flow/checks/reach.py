"""How far messages reach: every port of a flow and of the flows in it, within a limit, and the streams between; nothing is made or called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from attrs import Factory, define

from flowrt.errors import FlowBuildError
from flowrt.flow.definition import Definition, source_key
from flowrt.flow.sites import UNKNOWN_FLOW, FlowSite
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, Stream, folded, port_of

if TYPE_CHECKING:
    from flowrt.flow.definition import SourceKey
    from flowrt.flow.sites import Site


STREAMS_LIMIT = 20_000  # arbitrary: past so many, flows that were expanded somewhere are not expanded anew
Side = Literal["in", "out", "result"]


@define(eq=False)
class Hop:
    """A stream at one spot of the flow."""

    stream: Stream
    source: Pin
    target: Pin


@define(eq=False)
class Pin:
    """A port at one spot: of a place, of a flow (a way in or out), or where results leave.

    Attributes:
        flow: where it is.
        key: operation, instance and port, folded.
        place: whose port it is, if it is an operation's.
        side: "in" for an in-port, "result" where results leave; "out" for all that streams start from.
    """

    flow: FlowSite
    key: SourceKey
    place: Site | None
    side: Side
    leaving: list[Hop] = Factory(list)
    arriving: list[Hop] = Factory(list)

    @property
    def name(self) -> str:
        """The port's own name, folded."""
        return self.key[2]

    @property
    def is_input(self) -> bool:
        """Whether inputs enter here from outside."""
        return self.flow.parent is None and not self.key[0] and self.side != "result"

    @property
    def taker(self) -> Site | None:
        """The place whose in-port it is."""
        return self.place if self.side == "in" else None

    @property
    def emitter(self) -> Site | None:
        """The place whose out-port it is."""
        return self.place if self.side == "out" else None

    @property
    def port(self) -> Port:
        """Its name; that of a flow's way in or out in lower case."""
        return self.place.port(self.name) if self.place is not None else port_of(self.flow.path, *self.key)

    @property
    def sources(self) -> list[Pin]:
        return [hop.source for hop in self.arriving]

    @property
    def targets(self) -> list[Pin]:
        return [hop.target for hop in self.leaving]

    def __repr__(self) -> str:
        return f"<pin {self.port}>"


Onwards = Callable[[Pin], Iterable[Pin]]


@define(eq=False)
class Ports:
    """The ports of a place that streams lead to or start from, by folded names."""

    ins: dict[str, Pin] = Factory(dict)
    outs: dict[str, Pin] = Factory(dict)

    def arriving(self) -> list[Stream]:
        return [hop.stream for pin in self.ins.values() for hop in pin.arriving]

    def leaving(self) -> list[Stream]:
        return [hop.stream for pin in self.outs.values() for hop in pin.leaving]


class Reach:
    """The ports of a flow and of all flows in it.

    A recursive flow is expanded once more than it is around itself. `again` says where it goes on from there: pairs of pins, which
    are no streams and hold for what can be reached, not for a single way.

    Attributes:
        pins: in the order in which they are met from the root, breadth first.
        places: the operations at their spots, with their ports.
        lost: where streams end that start at something unknown.
        flows: those of which all that they hold is here.
        used: ids of the declarations that streams lead to or from.
        uses: the streams around a flow that lead into it or out of it.
        misnamed: flows of which a stream asks for a way in ("in") or out ("out") that they do not have.
    """

    def __init__(self, root: Definition) -> None:
        self.root: FlowSite = FlowSite(root)
        self.pins: dict[tuple[int, SourceKey, Side], Pin] = {}
        self.places: dict[Site, Ports] = {}
        self.again: dict[Pin, list[Pin]] = {}
        self.lost: dict[Pin, None] = {}
        self.flows: dict[FlowSite, None] = {}
        self.used: set[int] = set()
        self.uses: dict[FlowSite, list[Stream]] = {}
        self.misnamed: set[tuple[FlowSite, Side]] = set()
        self._first: dict[int, FlowSite] = {}  # by definition
        self._closed: dict[FlowSite, None] = {}
        self._pending: list[FlowSite] = []
        self._walked = 0
        self._enter(self.root)
        for flow in self._pending:  # grows while it is gone through
            self._expand(flow)
        for closed in self._closed:
            self._go_on(closed)

    def is_used(self, definition: Definition) -> bool:
        """Say whether any stream leads into a flow or out of it."""
        return id(definition) in self._first

    def successors(self, pin: Pin) -> list[Pin]:
        """Return the ports that what comes to one may come to next, through operations too."""
        taker = pin.taker
        return pin.targets if taker is None else list(self.places[taker].outs.values())

    def all_successors(self, pin: Pin) -> list[Pin]:
        return [*self.successors(pin), *self.again.get(pin, ())]

    def passed_on(self, pin: Pin, passes: Callable[[Declaration], bool]) -> list[Pin]:
        """Return where all goes that comes to a port; through an operation only if it `passes` on everything, at its default port."""
        if pin.taker is None:
            return pin.targets
        out = self.places[pin.taker].outs.get("")
        return [out] if out is not None and passes(pin.taker.declaration) else []

    # -- expanding

    def _enter(self, flow: FlowSite) -> None:
        if flow in self.flows or flow in self._closed:
            return
        if flow.parent is not None:
            self._enter(flow.parent)
        full = self._walked > STREAMS_LIMIT and id(flow.definition) in self._first
        same = sum(each.definition is flow.definition for each in flow.levels())
        again = flow.definition is not UNKNOWN_FLOW and same > 2
        if again or full or flow.parent in self._closed:
            self._closed[flow] = None
            return
        self._first.setdefault(id(flow.definition), flow)
        self.flows[flow] = None
        self._pending.append(flow)

    def _expand(self, flow: FlowSite) -> None:
        for stream in flow.definition.streams():
            self._walked += 1
            source, target = self._source(flow, stream), self._target(flow, stream)
            if source is not None and target is not None:
                hop = Hop(stream, source, target)
                source.leaving.append(hop)
                target.arriving.append(hop)
            elif target is not None:
                self.lost[target] = None

    def _source(self, flow: FlowSite, stream: Stream) -> Pin | None:
        port = stream.source
        try:
            base = flow.descend(port)
            self._enter(base)
            key = source_key(port)
            found = base.lookup(key[0]) if key[0] else None
            if isinstance(found, Declaration):
                return self._port_of(base.place(found, port.instance), port, "out")
            if isinstance(found, Definition):
                nested = base.child(port.operation, port.instance)
                self._enter(nested)
                self._use(nested, stream, "out", known=key[2] in found.ways_out)
            elif key[0]:
                return None
            return self._pin("out", base, key)
        except FlowBuildError:  # nested too deep, which is told of elsewhere
            return None

    def _target(self, flow: FlowSite, stream: Stream) -> Pin | None:
        try:
            end = flow.end_of(stream)
        except FlowBuildError:
            return None
        if end is None:
            return None
        at, key, place = end
        self._enter(at)
        if place is not None:
            return self._port_of(place, stream.target, "in")
        if at.parent is None and not key[0]:
            return self._pin("result", at, key)
        if not key[0]:
            self._use(at, stream, "in", known=key[2] in at.definition.ways_in)
        return self._pin("out", at, key)

    def _use(self, nested: FlowSite, stream: Stream, side: Side, *, known: bool) -> None:
        self.uses.setdefault(nested, []).append(stream)
        if not known:
            self.misnamed.add((nested, side))

    def _port_of(self, place: Site, port: Port, side: Side) -> Pin:
        self.used.add(id(place.declaration))
        ports = self.places.setdefault(place, Ports())
        name = port.key[3]
        pin = self._pin(side, place.flow, place.source(name), place)
        (ports.ins if side == "in" else ports.outs)[name] = pin
        return pin

    def _pin(self, side: Side, flow: FlowSite, key: SourceKey, place: Site | None = None) -> Pin:
        found = self.pins.get((id(flow), key, side))
        if found is None:
            found = self.pins[id(flow), key, side] = Pin(flow, key, place, side)
        return found

    def _go_on(self, closed: FlowSite) -> None:
        """Let what enters a flow that is not expanded go on where it is, and come back from there."""
        around = (each for each in closed.levels() if each.definition is closed.definition)
        like = next((each for each in around if each in self.flows), self._first.get(id(closed.definition)))
        if like is None:
            return
        leads: list[tuple[Pin | None, Pin | None]] = []
        for name in closed.definition.ways_in:
            key = ("", "", name)
            leads.append((self.pins.get((id(closed), key, "out")), self.pins.get((id(like), key, "out"))))
        for name in closed.definition.ways_out:
            left = self.way_out(like, name) or self.pins.get((id(like), ("", "", name), "result"))
            leads.append((left, self.way_out(closed, name)))
        for before, after in leads:
            if before is not None and after is not None:
                self.again.setdefault(before, []).append(after)

    def way_out(self, flow: FlowSite, name: str) -> Pin | None:
        """Return a way out of a flow, as the flow around it has it."""
        key = (folded(flow.name), folded(flow.instance), name)
        return self.pins.get((id(flow.parent), key, "out")) if flow.parent is not None else None


def spread(starts: Iterable[Pin], onwards: Onwards) -> Iterator[Pin]:
    """Iterate over the pins that can be reached from some, these first, each when it is met."""
    seen = dict.fromkeys(starts)
    yield from seen
    pending = list(seen)
    while pending:
        for after in onwards(pending.pop()):
            if after not in seen:
                seen[after] = None
                pending.append(after)
                yield after


def components(pins: Iterable[Pin], successors: Onwards) -> list[tuple[list[Pin], bool]]:
    """Return the strongly connected parts, each behind those that lead to it, and whether it goes round; Tarjan's, without recursion."""
    index: dict[Pin, int] = {}
    low: dict[Pin, int] = {}
    stack: list[Pin] = []
    standing: set[Pin] = set()
    work: list[tuple[Pin, Iterator[Pin]]] = []
    found: list[tuple[list[Pin], bool]] = []

    def enter(pin: Pin) -> None:
        index[pin] = low[pin] = len(index)
        stack.append(pin)
        standing.add(pin)
        work.append((pin, iter(successors(pin))))

    for start in pins:
        if start not in index:
            enter(start)
        while work:
            pin, following = work[-1]
            for after in following:
                if after not in index:
                    enter(after)
                    break
                if after in standing:
                    low[pin] = min(low[pin], index[after])
            else:
                work.pop()
                if work:
                    before = work[-1][0]
                    low[before] = min(low[before], low[pin])
                if low[pin] == index[pin]:
                    part: list[Pin] = []
                    while pin in standing:
                        part.append(stack.pop())
                        standing.discard(part[-1])
                    found.append((part[::-1], len(part) > 1 or pin in successors(pin)))
    return found[::-1]
