"""A graph laid out: sizes of nodes, streams cut at the borders of boxes, each box laid out for itself, the inner ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import Factory, define

from flowrt.flow.diagrams.graph import Node
from flowrt.flow.diagrams.labels import lines_of, shortened, width_of
from flowrt.flow.diagrams.layout import SLOT_DISTANCE, Layout, Slot, Vertex, Wire, lay_out

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Edge, Graph


NODE_SIZE = 13.0  # of letters, in pixels
PORT_SIZE = 10.5
COMMENT_SIZE = 11.0
LINE = 1.25  # height of a line, in sizes of its letters
NAME_WIDTH, NAME_ROWS = 26, 3  # characters, lines
COMMENT_WIDTH, COMMENT_ROWS = 30, 3
PORT_WIDTH = 24
PADDING = 14.0
POINT = 5.0  # radius
TITLE = 26.0  # room for the name of a box
MARGIN = 16.0
TURN = 34.0  # how far a stream that runs backwards swings out at most: as far as to the next layer


@define(eq=False)
class Piece:
    """The part of a stream that lies in one flow. `is_last`: it ends where the stream does.

    `has_comment`: it is the outermost, where the comment is written.
    """

    edge: Edge
    source: Node
    out: str
    target: Node
    into: str
    is_last: bool
    has_comment: bool = False
    wire: Wire | None = None


@define(eq=False)
class Level:
    """One flow, laid out. `left`, `top`, `right`, `bottom`: what it covers, in its own measure."""

    graph: Graph
    nodes: list[Node]
    pieces: list[Piece] = Factory(list)
    vertices: dict[int, Vertex] = Factory(dict)
    layout: Layout = Factory(lambda: Layout([]))
    inner: dict[int, Level] = Factory(dict)
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def vertex(self, node: Node) -> Vertex:
        return self.vertices[id(node)]


def plan(graph: Graph, most_bends: int) -> Level:
    """Lay a graph out, with all boxes in it."""
    level = _levels(graph)
    _cut(level)
    _lay_out(level, most_bends)
    return level


def _levels(graph: Graph) -> Level:
    level = Level(graph, list(graph.nodes.values()))
    for node in level.nodes:
        if node.inner is not None:
            level.inner[id(node)] = _levels(node.inner)
    return level


# -- streams, cut at the borders they cross


def _cut(top: Level) -> None:
    pending = [top]
    while pending:
        level = pending.pop()
        for edge in level.graph.edges:
            _cut_edge(top, edge)
        pending += level.inner.values()


def _cut_edge(top: Level, edge: Edge) -> None:
    leaving, entering = _boxes(edge.source), _boxes(edge.target)
    common: Node | None = None
    while leaving and entering and leaving[0] is entering[0]:
        if _is_reached_from_outside(edge, leaving[0]):
            break
        common = leaving.pop(0)
        del entering[0]
    source, out = edge.source, edge.source_port
    for box in reversed(leaving):
        if source.kind != "out" or source.box is not box:
            border = _border(top, box, "out")
            _level(top, box).pieces.append(Piece(edge, source, out, border, "", is_last=False))
            source = border
        source, out = box, source.id
    target, into, is_last = edge.target, edge.target_port, True
    for box in reversed(entering):
        if target.kind != "in" or target.box is not box:
            border = _border(top, box, "in")
            _level(top, box).pieces.append(Piece(edge, border, "", target, into, is_last))
            target, is_last = border, False
        target, into = box, target.id
    _level(top, common).pieces.append(
        Piece(edge, source, out, target, into, is_last, has_comment=bool(edge.comment))
    )


def _is_reached_from_outside(edge: Edge, box: Node) -> bool:
    """Say whether a stream begins or ends at a port of a box as it is seen around it, even if it comes from inside."""
    return (edge.source.kind == "out" and edge.source.box is box) or (
        edge.target.kind == "in" and edge.target.box is box
    )


def _boxes(node: Node) -> list[Node]:
    """Return the boxes around a node, the outermost first."""
    boxes: list[Node] = []
    box = node.box
    while box is not None:
        boxes.insert(0, box)
        box = box.box
    return boxes


def _level(top: Level, box: Node | None) -> Level:
    if box is None:
        return top
    level = top
    for each in (*_boxes(box), box):
        level = level.inner[id(each)]
    return level


def _border(top: Level, box: Node, kind: str) -> Node:
    """Make a point without a name at the border of a box, where a stream crosses it past the flow's own ports."""
    level = _level(top, box)
    point = Node(f"{box.id}x{len(level.nodes)}", "in" if kind == "in" else "out", "", box=box)
    level.nodes.append(point)
    return point


# -- sizes


def _lay_out(level: Level, most_bends: int) -> None:
    for inner in level.inner.values():
        _lay_out(inner, most_bends)
    ports: dict[tuple[int, str, str], Slot] = {}
    for node in level.nodes:
        level.vertices[id(node)] = _vertex_of(level, node, ports)
    for piece in level.pieces:
        out = _slot(level, ports, piece.source, "out", piece.out)
        into = _slot(level, ports, piece.target, "in", piece.into)
        text = _text_size(piece.edge.comment) if piece.has_comment else None
        piece.wire = Wire(level.vertex(piece.source), out, level.vertex(piece.target), into, text)
    for vertex in level.vertices.values():
        if not vertex.is_fixed:
            most = max(len(vertex.ins), len(vertex.outs))
            vertex.height = max(vertex.height, most * SLOT_DISTANCE + 8)
    wires = [piece.wire for piece in level.pieces if piece.wire is not None]
    if level.nodes:
        level.layout = lay_out(list(level.vertices.values()), wires, most_bends)
    _measure(level)


def _vertex_of(level: Level, node: Node, ports: dict[tuple[int, str, str], Slot]) -> Vertex:
    inner = level.inner.get(id(node))
    if inner is not None:
        return _box_of(node, inner, ports)
    if node.kind in {"in", "out"}:
        if node.box is None:
            text = width_of(shortened(node.name, PORT_WIDTH), COMMENT_SIZE) + 4
            return Vertex(text + 2 * POINT, 2 * POINT + 6)
        vertex = Vertex(0.0, 2 * POINT + 6, pinned=-1 if node.kind == "in" else 1)
        name = shortened(node.name, PORT_WIDTH)
        side, slots = ("out", vertex.outs) if node.kind == "in" else ("in", vertex.ins)
        slot = Slot(name, width_of(name, PORT_SIZE) + 14 if name else 0.0)
        slots.append(slot)
        ports[id(node), side, ""] = slot
        return vertex
    rows = lines_of(node.name, NAME_WIDTH, NAME_ROWS)
    width = max(width_of(row, NODE_SIZE) for row in rows) + 2 * PADDING
    if node.kind in {"scatter", "gather"}:
        width += 8
    return Vertex(max(width, 40.0), len(rows) * NODE_SIZE * LINE + 18)


def _box_of(node: Node, inner: Level, ports: dict[tuple[int, str, str], Slot]) -> Vertex:
    box = Vertex(inner.right - inner.left, inner.bottom - inner.top, is_fixed=True)
    middle = (inner.top + inner.bottom) / 2
    for point in inner.nodes:
        if point.kind in {"in", "out"}:
            slot = Slot("", 0.0, inner.vertex(point).y - middle)
            (box.ins if point.kind == "in" else box.outs).append(slot)
            ports[id(node), point.kind, point.id] = slot
    return box


def _slot(level: Level, ports: dict[tuple[int, str, str], Slot], node: Node, side: str, port: str) -> Slot:
    key = (id(node), side, port.casefold())
    slot = ports.get(key)
    if slot is None:
        name = shortened(port, PORT_WIDTH)
        slot = ports[key] = Slot(name, width_of(name, PORT_SIZE) + 14 if name else 0.0)
        vertex = level.vertex(node)
        (vertex.ins if side == "in" else vertex.outs).append(slot)
    return slot


def comment_lines(comment: str) -> list[str]:
    """Break a comment into the lines in which it is drawn."""
    return lines_of(comment, COMMENT_WIDTH, COMMENT_ROWS)


def _text_size(comment: str) -> tuple[float, float]:
    rows = comment_lines(comment)
    return max(width_of(row, COMMENT_SIZE) for row in rows) + 8, len(rows) * COMMENT_SIZE * LINE


def swing(height: float) -> float:
    """Say how far a stream swings out that turns around and comes back so much higher or lower: the wider outside the narrower."""
    return min(14 + abs(height) * 0.09, TURN)


def _measure(level: Level) -> None:
    """Set what a level covers; the borders of a box go through the ports of its flow."""
    vertices = [vertex for layer in level.layout.layers for vertex in layer]
    if not vertices:
        level.right, level.bottom = TITLE * 4, TITLE
        return
    turns = [piece.wire for piece in level.pieces if piece.wire is not None and piece.wire.is_back]
    first = min((wire.target.layer for wire in turns), default=1)
    last = max((wire.source.layer for wire in turns), default=-1)
    layers = level.layout.layers
    left = level.layout.borders[0][0] - (TURN if first == 0 else 0)
    right = level.layout.borders[-1][1] + (TURN if last == len(layers) - 1 else 0)
    level.top = min(vertex.y - vertex.height / 2 for vertex in vertices) - MARGIN
    level.bottom = max(vertex.y + vertex.height / 2 for vertex in vertices) + MARGIN
    if level.graph.box is None:
        level.left, level.right = left - MARGIN, right + MARGIN
        return
    pinned = [vertex for vertex in vertices if vertex.pinned]
    level.left = min((vertex.x for vertex in pinned if vertex.pinned < 0), default=left - MARGIN)
    level.right = max((vertex.x for vertex in pinned if vertex.pinned > 0), default=right + MARGIN)
    name = width_of(shortened(level.graph.box.name, 2 * NAME_WIDTH), NODE_SIZE) + 2 * PADDING
    level.right = (
        max(level.right, level.left + name) if not any(v.pinned > 0 for v in pinned) else level.right
    )
    level.top -= TITLE - MARGIN / 2
