"""A graph laid out: sizes of nodes, streams cut at the borders of boxes, each box laid out for itself, the inner ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import Factory, define

from flowrt.flow.diagrams.graph import Node
from flowrt.flow.diagrams.labels import COMMENTS, INPUTS, NAMES, PORTS, TITLES
from flowrt.flow.diagrams.layout import SLOT_DISTANCE, Layout, Slot, Vertex, Wire, lay_out
from flowrt.ports import folded

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Edge, Graph


PADDING = 14.0
POINT = 5.0  # radius
TITLE = 26.0  # room for the name of a box
MARGIN = 16.0
TURN = 34.0  # how far a stream that runs backwards swings out at most: as far as to the next layer


@define(eq=False)
class Piece:
    """The part of a stream that lies in one flow. `is_last`: it ends where the stream does. `comment`: what is written at this part."""

    edge: Edge
    source: Node
    out: str
    target: Node
    into: str
    is_last: bool
    comment: str = ""


@define(eq=False)
class Level:
    """One flow, laid out. `left`, `top`, `right`, `bottom`: what it covers, in its own measure."""

    graph: Graph
    nodes: list[Node]
    inner: dict[Node, Level] = Factory(dict)
    pieces: list[Piece] = Factory(list)
    vertices: dict[Node, Vertex] = Factory(dict)
    wires: dict[Piece, Wire] = Factory(dict)
    layout: Layout = Factory(lambda: Layout([]))
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


def plan(graph: Graph, most_bends: int) -> Level:
    """Lay a graph out, with all boxes in it."""
    levels: dict[Node | None, Level] = {}
    pending = [graph]
    while pending:
        part = pending.pop()
        level = levels[part.box] = Level(part, list(part.nodes.values()))
        if part.box is not None:
            levels[part.box.box].inner[part.box] = level
        pending += [node.inner for node in level.nodes if node.inner is not None]
    for level in levels.values():
        for edge in level.graph.edges:
            _cut(levels, edge)
    for level in reversed(levels.values()):
        _lay_out(level, most_bends)
    return levels[None]


# -- streams, cut at the borders they cross


def _cut(levels: dict[Node | None, Level], edge: Edge) -> None:
    leaving, entering = _boxes(edge.source), _boxes(edge.target)
    # Boxes at whose own port it begins or ends: that is as it is seen around them, even if it comes from inside.
    reached = [node.box for node, kind in ((edge.source, "out"), (edge.target, "in")) if node.kind == kind]
    common: Node | None = None
    while leaving and entering and leaving[0] is entering[0] and leaving[0] not in reached:
        common = leaving.pop(0)
        del entering[0]
    source, out = edge.source, edge.source_port
    for box in reversed(leaving):
        if source.kind != "out" or source.box is not box:
            border = _border(levels[box], box, "out")
            levels[box].pieces.append(Piece(edge, source, out, border, "", is_last=False))
            source = border
        source, out = box, source.id
    target, into, is_last = edge.target, edge.target_port, True
    for box in reversed(entering):
        if target.kind != "in" or target.box is not box:
            border = _border(levels[box], box, "in")
            levels[box].pieces.append(Piece(edge, border, "", target, into, is_last))
            target, is_last = border, False
        target, into = box, target.id
    levels[common].pieces.append(Piece(edge, source, out, target, into, is_last, edge.comment))


def _boxes(node: Node) -> list[Node]:
    """Return the boxes around a node, the outermost first."""
    return [] if node.box is None else [*_boxes(node.box), node.box]


def _border(level: Level, box: Node, kind: Literal["in", "out"]) -> Node:
    """Make a point without a name at the border of a box, where a stream crosses it past the flow's own ports."""
    point = Node(f"{box.id}x{len(level.nodes)}", kind, "", box=box)
    level.nodes.append(point)
    return point


# -- sizes


Slots = dict[tuple[Node, str, str], Slot]
"""The slots of nodes, by side and name."""


def _lay_out(level: Level, most_bends: int) -> None:
    ports: Slots = {}
    for node in level.nodes:
        level.vertices[node] = _vertex_of(level, node, ports)
    for piece in level.pieces:
        out = _slot(level, ports, piece.source, "out", piece.out)
        into = _slot(level, ports, piece.target, "in", piece.into)
        text = (COMMENTS.width_of(piece.comment) + 8, COMMENTS.height_of(piece.comment))
        source, target = level.vertices[piece.source], level.vertices[piece.target]
        level.wires[piece] = Wire(source, out, target, into, text if piece.comment else None)
    for vertex in level.vertices.values():
        if not vertex.is_fixed:
            most = max(len(vertex.ins), len(vertex.outs))
            vertex.height = max(vertex.height, most * SLOT_DISTANCE + 8)
    if level.nodes:
        level.layout = lay_out(list(level.vertices.values()), list(level.wires.values()), most_bends)
    _measure(level)


def _vertex_of(level: Level, node: Node, ports: Slots) -> Vertex:
    if node in level.inner:
        return _box_of(node, level.inner[node], ports)
    if node.is_point and node.box is None:
        return Vertex(INPUTS.width_of(node.name) + 4 + 2 * POINT, 2 * POINT + 6)
    if node.is_point:
        vertex = Vertex(0.0, 2 * POINT + 6, pinned=-1 if node.kind == "in" else 1)
        side, slots = ("out", vertex.outs) if node.kind == "in" else ("in", vertex.ins)
        slots.append(_named_slot(node.name))
        ports[node, side, ""] = slots[0]
        return vertex
    slanted = 8 if node.kind in {"scatter", "gather"} else 0
    width = NAMES.width_of(node.name) + 2 * PADDING + slanted
    return Vertex(max(width, 40.0), NAMES.height_of(node.name) + 18)


def _box_of(node: Node, inner: Level, ports: Slots) -> Vertex:
    box = Vertex(inner.right - inner.left, inner.bottom - inner.top, is_fixed=True)
    middle = (inner.top + inner.bottom) / 2
    for point in inner.nodes:
        if point.is_point:
            slot = Slot("", 0.0, inner.vertices[point].y - middle)
            (box.ins if point.kind == "in" else box.outs).append(slot)
            ports[node, point.kind, point.id] = slot
    return box


def _slot(level: Level, ports: Slots, node: Node, side: str, port: str) -> Slot:
    key = (node, side, folded(port))
    if key not in ports:
        ports[key] = _named_slot(port)
        vertex = level.vertices[node]
        (vertex.ins if side == "in" else vertex.outs).append(ports[key])
    return ports[key]


def _named_slot(port: str) -> Slot:
    (name,) = PORTS.rows_of(port)
    return Slot(name, PORTS.width_of(port) + 14 if name else 0.0)


def swing(height: float) -> float:
    """Say how far a stream swings out that turns around and comes back so much higher or lower: the wider outside the narrower."""
    return min(14 + abs(height) * 0.09, TURN)


def _measure(level: Level) -> None:
    """Set what a level covers; the borders of a box go through the ports of its flow."""
    vertices = [vertex for layer in level.layout.layers for vertex in layer]
    if not vertices:
        level.right, level.bottom = TITLE * 4, TITLE
        return
    turns = [wire for wire in level.wires.values() if wire.is_back]
    first = min((wire.target.layer for wire in turns), default=1)
    last = max((wire.source.layer for wire in turns), default=-1)
    borders = level.layout.borders
    left = borders[0][0] - (TURN if first == 0 else 0) - MARGIN
    right = borders[-1][1] + (TURN if last == len(borders) - 1 else 0) + MARGIN
    level.top = min(vertex.y - vertex.height / 2 for vertex in vertices) - MARGIN
    level.bottom = max(vertex.y + vertex.height / 2 for vertex in vertices) + MARGIN
    if level.graph.box is not None:
        left = min((vertex.x for vertex in vertices if vertex.pinned < 0), default=left)
        name = left + (TITLES.width_of(level.graph.box.name) + 2 * PADDING)
        right = max((vertex.x for vertex in vertices if vertex.pinned > 0), default=max(right, name))
        level.top -= TITLE - MARGIN / 2
    level.left, level.right = left, right
