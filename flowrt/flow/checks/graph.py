"""The flow as a graph of ports, for looking at it: every flow expanded, within a limit, and nothing made or called."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flowrt.errors import FlowBuildError
from flowrt.flow.definition import Definition, source_key
from flowrt.flow.sites import UNKNOWN_FLOW, FlowSite, Sites
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, Stream, port_of

if TYPE_CHECKING:
    from flowrt.flow.definition import SourceKey
    from flowrt.flow.sites import Site


STREAMS_LIMIT = 20_000  # arbitrary: past so many, flows that were expanded somewhere are not expanded anew


class Edge:
    """A stream at one spot of the flow."""

    __slots__ = ("source", "stream", "target")

    def __init__(self, stream: Stream, source: Node, target: Node) -> None:
        self.stream = stream
        self.source = source
        self.target = target


class Node:
    """A port at one spot: of a place, of a flow (a way in or out), or where results leave.

    Attributes:
        flow: where it is.
        key: operation, instance and port, folded.
        place: whose port it is, if it is an operation's.
        entering: whether it is an in-port.
        leaving: the streams from it.
        arriving: the streams to it.
    """

    __slots__ = ("arriving", "entering", "flow", "key", "leaving", "place", "result")

    def __init__(self, flow: FlowSite, key: SourceKey, place: Site | None, *, entering: bool) -> None:
        self.flow = flow
        self.key = key
        self.place = place
        self.entering = entering
        self.result = False
        self.leaving: list[Edge] = []
        self.arriving: list[Edge] = []

    @property
    def name(self) -> str:
        """The port's own name, folded."""
        return self.key[2]

    @property
    def is_input(self) -> bool:
        """Whether inputs enter here from outside."""
        return self.flow.parent is None and not self.key[0] and not self.result

    @property
    def port(self) -> Port:
        """Its name; that of a flow's way in or out in lower case."""
        return self.place.port(self.name) if self.place is not None else port_of(self.flow.path, *self.key)

    def __repr__(self) -> str:
        return f"<node {self.port}>"


class Ports:
    """The ports of a place that streams lead to or start from, by folded names."""

    __slots__ = ("ins", "outs")

    def __init__(self) -> None:
        self.ins: dict[str, Node] = {}
        self.outs: dict[str, Node] = {}


class Graph:
    """The ports of a flow and of all flows in it.

    A recursive flow is expanded once more than it is around itself. `again` says where it goes on from there: pairs of nodes, which
    are no streams and hold for what can be reached, not for a single way.

    Attributes:
        nodes: in the order in which they are met from the root, breadth first.
        places: the operations at their spots, with their ports.
        lost: where streams end that start at something unknown.
        used: ids of the declarations that streams lead to or from.
        uses: the streams around a flow that lead into it or out of it.
        misnamed: flows of which a stream asks for a way in ("in") or out ("out") that they do not have.
    """

    def __init__(self, root: Definition) -> None:
        self.root = FlowSite(root)
        self.nodes: dict[tuple[int, SourceKey, str], Node] = {}
        self.places: dict[Site, Ports] = {}
        self.edges: list[Edge] = []
        self.again: dict[Node, list[Node]] = {}
        self.lost: dict[Node, None] = {}
        self.flows: dict[FlowSite, None] = {}
        self.used: set[int] = set()
        self.uses: dict[FlowSite, list[Stream]] = {}
        self.misnamed: set[tuple[FlowSite, str]] = set()
        self._first: dict[int, FlowSite] = {}  # by definition
        self._closed: dict[FlowSite | None, None] = {}
        self._pending: deque[FlowSite] = deque()
        self._places = Sites(self.root)
        self._walked = 0
        self._enter(self.root)
        while self._pending:
            self._expand(self._pending.popleft())
        for closed in self._closed:
            if closed is not None:
                self._go_on(closed)

    def is_open(self, flow: FlowSite) -> bool:
        """Say whether all that a flow holds is in the graph."""
        return flow in self.flows

    def entered(self, definition: Definition) -> bool:
        """Say whether a flow is used at all."""
        return id(definition) in self._first

    def successors(self, node: Node) -> Iterator[Node]:
        """Iterate over the ports that what comes to one may come to next, through operations too."""
        for edge in node.leaving:
            yield edge.target
        if node.entering and node.place is not None:
            yield from self.places[node.place].outs.values()

    # -- expanding

    def _enter(self, flow: FlowSite) -> None:
        if flow in self.flows or flow in self._closed:
            return
        if flow.parent is not None:
            self._enter(flow.parent)
        known = self._first.get(id(flow.definition))
        full = self._walked > STREAMS_LIMIT and known is not None
        again = flow.definition is not UNKNOWN_FLOW and _same_around(flow) > 1
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
                edge = Edge(stream, source, target)
                source.leaving.append(edge)
                target.arriving.append(edge)
                self.edges.append(edge)
            elif target is not None:
                self.lost[target] = None

    def _source(self, flow: FlowSite, stream: Stream) -> Node | None:
        try:
            base = flow.descend(stream.source, self.root)
            self._enter(base)
            key = source_key(stream.source)
            if not key[0]:
                return self._node("out", base, key, None)
            found = base.lookup(key[0])
            if isinstance(found, Declaration):
                return self._port_of(base.place(found, stream.source.instance), stream.source, entering=False)
            if isinstance(found, Definition):
                nested = base.child(stream.source.operation, stream.source.instance)
                self._enter(nested)
                self._use(nested, stream, "out", key[2] in found.ways_out)
                return self._node("out", base, key, None)
        except FlowBuildError:  # nested too deep, which is told of elsewhere
            pass
        return None

    def _target(self, flow: FlowSite, stream: Stream) -> Node | None:
        try:
            end = self._places.end_of(stream, flow)
        except FlowBuildError:
            return None
        if end is None:
            return None
        at, key, place = end
        self._enter(at)
        if place is not None:
            return self._port_of(place, stream.target, entering=True)
        if at.parent is None and not key[0]:
            node = self._node("result", at, key, None)
            node.result = True
            return node
        if not key[0]:
            self._use(at, stream, "in", key[2] in at.definition.ways_in)
        return self._node("out", at, key, None)

    def _use(self, nested: FlowSite, stream: Stream, side: str, known: bool) -> None:  # noqa: FBT001 - a fact
        self.uses.setdefault(nested, []).append(stream)
        if not known:
            self.misnamed.add((nested, side))

    def _port_of(self, place: Site, port: Port, *, entering: bool) -> Node:
        self.used.add(id(place.declaration))
        ports = self.places.setdefault(place, Ports())
        names = ports.ins if entering else ports.outs
        name = port.key[3]
        node = names.get(name)
        if node is None:
            key = place.source(name)
            side = "in" if entering else "out"
            node = names[name] = self._node(side, place.flow, key, place)
            node.entering = entering
        return node

    def _node(self, side: str, flow: FlowSite, key: SourceKey, place: Site | None) -> Node:
        found = self.nodes.get((id(flow), key, side))
        if found is None:
            found = self.nodes[id(flow), key, side] = Node(flow, key, place, entering=side == "in")
        return found

    def _go_on(self, closed: FlowSite) -> None:
        """Let what enters a flow that is not expanded go on where it is, and come back from there."""
        parent, like = closed.parent, self._like(closed)
        if parent is None or like is None:
            return
        own = (closed.name.casefold(), closed.instance.casefold())
        for name in closed.definition.ways_in:
            entry = self.nodes.get((id(closed), ("", "", name), "out"))
            inside = self.nodes.get((id(like), ("", "", name), "out"))
            if entry is not None and inside is not None:
                self.again.setdefault(entry, []).append(inside)
        for name in closed.definition.ways_out:
            outside = self.nodes.get((id(parent), (*own, name), "out"))
            if outside is None:
                continue
            if like.parent is None:
                left = self.nodes.get((id(like), ("", "", name), "result"))
            else:
                key = (like.name.casefold(), like.instance.casefold(), name)
                left = self.nodes.get((id(like.parent), key, "out"))
            if left is not None:
                self.again.setdefault(left, []).append(outside)

    def _like(self, closed: FlowSite) -> FlowSite | None:
        above = closed.parent
        while above is not None:
            if above.definition is closed.definition and above in self.flows:
                return above
            above = above.parent
        return self._first.get(id(closed.definition))


def _same_around(flow: FlowSite) -> int:
    """Count the flows around one that are the same."""
    number = 0
    above = flow.parent
    while above is not None:
        number += above.definition is flow.definition
        above = above.parent
    return number


def components(
    nodes: Iterable[Node], successors: Callable[[Node], Iterable[Node]]
) -> list[tuple[list[Node], bool]]:
    """Return the strongly connected parts, each behind those that lead to it, and whether it goes round; Tarjan's, without recursion."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    stack: list[Node] = []
    standing: set[Node] = set()
    found: list[tuple[list[Node], bool]] = []
    for start in nodes:
        if start in index:
            continue
        index[start] = low[start] = len(index)
        stack.append(start)
        standing.add(start)
        work = [(start, iter(successors(start)))]
        while work:
            node, following = work[-1]
            for after in following:
                if after not in index:
                    index[after] = low[after] = len(index)
                    stack.append(after)
                    standing.add(after)
                    work.append((after, iter(successors(after))))
                    break
                if after in standing:
                    low[node] = min(low[node], index[after])
            else:
                work.pop()
                if work:
                    before = work[-1][0]
                    low[before] = min(low[before], low[node])
                if low[node] == index[node]:
                    part = []
                    while True:
                        member = stack.pop()
                        standing.discard(member)
                        part.append(member)
                        if member is node:
                            break
                    part.reverse()
                    found.append((part, len(part) > 1 or node in set(successors(node))))
    found.reverse()
    return found
