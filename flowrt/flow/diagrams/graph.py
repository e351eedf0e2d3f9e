"""What a picture of a flow shows: nodes, the streams between them, and nested flows as boxes with a graph of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from attrs import Factory, define, evolve

from flowrt.errors import Fault, FlowBuildError
from flowrt.flow.definition import Definition, define_flow
from flowrt.flow.diagrams.labels import shown
from flowrt.flow.sites import FlowSite
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, did_you_mean, folded

if TYPE_CHECKING:
    from flowrt.flow.flow import Flow


Kind = Literal["operation", "scatter", "gather", "flow", "in", "out", "elsewhere"]
BRACKETS: dict[int, Kind] = {1: "scatter", 0: "operation", -1: "gather"}
DOTS = {"async": "●", "parallel": "●●", "dispatched": "○"}  # the ancestor's notation, and one for dispatchers
BOXES_DEEP = 20  # boxes inside boxes; arbitrary: nobody reads further in
BOXED_NODES = 20_000  # arbitrary: shared flows inside shared flows would be drawn in all combinations


class Running(Protocol):
    """A `FlowRuntime`, which is above: what is drawn of it is the flow it is built of."""

    _building: Any


Drawable: TypeAlias = "Flow | Running"


@define(eq=False)
class Node:
    """An operation, a flow inside the flow, or one of the flow's own ports (`in`, `out`).

    Attributes:
        id: unique within the picture, of letters and digits.
        kind: `elsewhere` is what lies outside of the flow that is drawn.
        name: as it was declared, with the instance.
        mode: how its operation runs; empty for all else, and for what nobody registered.
        known: False for a name that nothing is registered for.
        inner: of a flow that is drawn as a box.
        box: the flow's node whose inner graph holds this one.
    """

    id: str
    kind: Kind
    name: str
    mode: str = ""
    known: bool = True
    inner: Graph | None = None
    box: Node | None = None

    @property
    def is_point(self) -> bool:
        return self.kind in {"in", "out"}

    @property
    def dots(self) -> str:
        return DOTS.get(self.mode.partition("(")[0], "")

    @property
    def label(self) -> str:
        """The name with the marks of its mode, for pictures that are texts."""
        marked = f"{self.dots} {self.name}" if self.dots else self.name
        return marked if self.known else f"{marked} ?"

    @property
    def title(self) -> str:
        """What is said of the node where there is room."""
        return f"{self.name}: {(self.mode or self.kind) if self.known else 'not registered'}"


@define(eq=False)
class Edge:
    """A stream. A port that has no name, and those of points, are empty texts."""

    source: Node
    source_port: str
    target: Node
    target_port: str
    comment: str

    @property
    def ports(self) -> str:
        """The names of the ports at both ends, on one line."""
        named = self.source_port or self.target_port
        return f"{self.source_port} → {self.target_port}".strip() if named else ""


@define(eq=False)
class Graph:
    """A flow as it is drawn. Nodes and edges are in the order in which streams name them."""

    name: str
    place: FlowSite
    box: Node | None = None
    nodes: dict[tuple[str, str, str], Node] = Factory(dict)
    edges: list[Edge] = Factory(list)

    def with_boxes(self) -> Iterator[Graph]:
        """Iterate over it and the graphs in its boxes."""
        yield self
        for node in self.nodes.values():
            if node.inner is not None:
                yield from node.inner.with_boxes()

    def all_edges(self) -> list[Edge]:
        return [edge for graph in self.with_boxes() for edge in graph.edges]


def graph_of(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> Graph:
    """Say what a picture of a flow shows; `FlowBuildError` if there is no flow of that name in it."""
    root = _root_of(flow)
    return _Sketch(_subflow(root, subflow), root, boxes=boxes).graph


def flow_names(flow: Drawable) -> tuple[str, ...]:
    """Return the names of all flows inside a flow, those of flows inside these with their path; each flow once."""
    return tuple(_paths(_root_of(flow).definition))


def _root_of(flow: Drawable) -> FlowSite:
    whole = flow if _is_flow(flow) else getattr(getattr(flow, "_building", None), "flow", None)
    if not _is_flow(whole):
        kind = type(flow).__name__
        raise FlowBuildError(f"what is drawn is a Flow, or the FlowRuntime of one, got {kind}.")
    faults: list[Fault] = []
    definition = define_flow(cast("Flow", whole), faults)
    if faults:  # streams that belong to no flow
        raise FlowBuildError(*faults)
    return FlowSite(definition)


def _is_flow(thing: object) -> bool:
    """Say whether something has what is drawn; `Flow` itself stands above, for it shows a picture of itself."""
    return all(hasattr(type(thing), name) for name in ("streams", "operations", "flows"))


def _paths(root: Definition) -> Iterator[str]:
    seen = {id(root)}
    pending = [("", root)]
    for path, definition in pending:  # grows while it is gone through
        for nested in definition.flows.values():
            if id(nested) not in seen:
                seen.add(id(nested))
                yield path + nested.name
                pending.append((f"{path}{nested.name}/", nested))


def _subflow(root: FlowSite, subflow: str) -> FlowSite:
    if not isinstance(subflow, str):
        raise FlowBuildError(f"subflow is the name of a flow, such as a/b, got {type(subflow).__name__}.")
    wanted = subflow.replace("\\", "/").strip().strip("/")
    if not wanted:
        return root
    found = _follow(root, wanted)
    if found is None:
        # A flow text has flows side by side, so a name alone says enough, wherever the flow is.
        end = f"/{folded(wanted)}"
        below = (path for path in _paths(root.definition) if folded(path).endswith(end))
        found = _follow(root, next(below, ""))
    if found is None:
        known = did_you_mean(wanted, _paths(root.definition)) or " There are no flows in it at all."
        raise FlowBuildError(f'there is no flow "{shown(subflow)}" to draw.{known}')
    return found


def _follow(root: FlowSite, path: str) -> FlowSite | None:
    place = root
    for segment in path.split("/"):
        name, _, instance = (part.strip() for part in segment.partition("#"))
        if not isinstance(place.lookup(folded(name)), Definition):
            return None
        place = place.child(name, instance)
    return place


class _Sketch:
    """One picture in the making."""

    def __init__(self, place: FlowSite, root: FlowSite, *, boxes: bool) -> None:
        self._root = root
        self._boxes = boxes
        self._count = 0
        # A flow file without operations is drawn for its own sake: there, nothing is amiss.
        self._knows_operations = bool(root.definition.all_operations())
        self._graphs: list[Graph] = []
        self.graph = self._new_graph(place)
        for graph in self._graphs:  # grows while it is gone through
            self._draw(graph)

    def _new_graph(self, place: FlowSite, box: Node | None = None) -> Graph:
        graph = Graph(shown(place.definition.name), place, box)
        self._graphs.append(graph)
        return graph

    def _draw(self, graph: Graph) -> None:
        for stream in graph.place.definition.streams():
            source, source_port = self._end(graph, stream.source, entering=False)
            target, target_port = self._end(graph, stream.target, entering=True)
            edge = Edge(source, shown(source_port), target, shown(target_port), shown(stream.comment))
            graph.edges.append(edge)

    def _end(self, graph: Graph, port: Port, *, entering: bool) -> tuple[Node, str]:
        """Return where a stream ends in the picture, and what is written there."""
        here, segments = graph, port.segments
        if port.is_rooted:
            if self.graph.place is not self._root:
                name = (evolve(port, name="") if port.operation else port).fullname
                return self._node(graph, "elsewhere", name), port.name if port.operation else ""
            here = self.graph
        for depth, (name, instance) in enumerate(segments):
            nested = self._node(here, "flow", name, instance)
            if nested.inner is None:
                inside = "/".join(f"{flow}#{at}" if at else flow for flow, at in segments[depth + 1 :])
                return nested, evolve(port, path=inside).fullname if inside or port.operation else port.name
            here = nested.inner
        if not port.operation:
            from_inside = not segments  # a flow's own way out is a target, a nested flow's is a source
            return self._node(here, "out" if entering == from_inside else "in", f".{port.name}"), ""
        if not isinstance(here.place.lookup(port.key[1]), Definition):
            return self._node(here, "operation", port.operation, port.instance), port.name
        nested = self._node(here, "flow", port.operation, port.instance)
        if nested.inner is None:
            return nested, port.name
        return self._node(nested.inner, "in" if entering else "out", f".{port.name}"), ""

    def _node(self, graph: Graph, kind: Kind, name: str, instance: str = "") -> Node:
        key = (kind, folded(name), folded(instance))
        node = graph.nodes.get(key)
        if node is None:
            self._count += 1
            node = graph.nodes[key] = Node(f"n{self._count}", kind, name, box=graph.box)
            found = graph.place.lookup(key[1])
            if kind == "operation" and isinstance(found, Declaration):
                node.name, node.kind = found.name, BRACKETS[found.bracket]
                node.mode = "dispatched" if found.mode.dispatcher is not None else str(found.mode)
            elif kind == "operation":
                node.known = not self._knows_operations
            elif kind == "flow" and isinstance(found, Definition):
                node.name = found.name
                if self._is_boxed(graph.place, found):
                    node.inner = self._new_graph(graph.place.child(name, instance), node)
            node.name = shown(f"{node.name}#{instance}" if instance else node.name)
        return node

    def _is_boxed(self, flow: FlowSite, definition: Definition) -> bool:
        if not self._boxes or self._count > BOXED_NODES or not definition.outs:
            return False
        around = [each for each in flow.levels() if each.depth >= self.graph.place.depth]
        is_in_itself = any(each.definition is definition for each in around)  # it was drawn here already
        return not is_in_itself and len(around) <= BOXES_DEEP
