"""A flow as SVG, drawn by flowrt alone: no binary, no script, no style sheet, so that it can stand in any page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from flowrt.errors import FlowBuildError
from flowrt.flow.diagrams.graph import graph_of
from flowrt.flow.diagrams.labels import COMMENTS, INPUTS, NAMES, PORTS, TITLES
from flowrt.flow.diagrams.layout import TooMuchToDrawError
from flowrt.flow.diagrams.plan import PADDING, POINT, TITLE, plan, swing

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Drawable, Edge, Graph, Node
    from flowrt.flow.diagrams.labels import Lettering
    from flowrt.flow.diagrams.layout import Vertex, Wire
    from flowrt.flow.diagrams.plan import Level


NODES_DRAWN = 2_000  # more of them nobody reads, and crossings take their time
BENDS_DRAWN = 40_000
ARROW = 7.0
SLANT = 8.0
# Nodes bring their own ground; what is drawn on the page's is readable on white and on black (contrast above 4.5 on both).
LINES = "#757575"
INK = "#1b2330"
FILLS = {
    "operation": ("#e8f0fc", "#3f6fb5"),
    "scatter": ("#e3f4e8", "#2f8550"),
    "gather": ("#e3f4e8", "#2f8550"),
    "flow": ("#fbf1dc", "#a8741a"),
    "elsewhere": ("#eeeeee", "#757575"),
}
UNKNOWN = ("#fde9e7", "#c0392b")


def to_svg(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> str:
    """Return an SVG picture; arguments as of `to_mermaid`.

    Raises:
        FlowBuildError: there is no such flow in it, or more than 2,000 nodes, which is more than a picture can show.
    """
    graph = graph_of(flow, subflow, boxes=boxes)
    count = sum(len(each.nodes) for each in graph.with_boxes())
    if count > NODES_DRAWN:
        raise FlowBuildError(_too_much(graph, f"{count} nodes; at most {NODES_DRAWN} are"))
    try:
        level = plan(graph, BENDS_DRAWN)
    except TooMuchToDrawError:
        raise FlowBuildError(_too_much(graph, "streams that pass too many others to be")) from None
    return "\n".join(_Canvas(level).lines()) + "\n"


def _too_much(graph: Graph, what: str) -> str:
    name = f'flow "{graph.name}"' if graph.name else "the flow"
    instead = "Draw one of the flows inside it (subflow=), or leave it to GraphViz"
    return f"{name} has {what} drawn as SVG. {instead}: to_dot(flow) and `dot -Tsvg`."


class _Canvas:
    """Boxes lie at the bottom, streams above them, nodes and texts on top."""

    def __init__(self, level: Level) -> None:
        self._boxes: list[str] = []
        self._nodes: list[str] = []
        self._texts: list[str] = []
        self._paths: dict[int, tuple[Edge, list[str], list[str]]] = {}
        self._heads: set[str] = set()
        self._level = level
        self._draw(level, -level.left, -level.top)

    def lines(self) -> Iterator[str]:
        level = self._level
        width, height = _number(level.right - level.left), _number(level.bottom - level.top)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
            'font-family="Helvetica, Arial, &quot;Liberation Sans&quot;, sans-serif">'
        )
        yield f"<title>{_escaped(level.graph.name or 'flow')}</title>"
        yield from self._boxes
        yield f'<g fill="none" stroke="{LINES}" stroke-width="1.3">'
        for edge, pieces, _ in self._paths.values():
            yield f'<path class="flowrt-stream" d="{" ".join(pieces)}"><title>{_escaped(_stream_title(edge))}</title></path>'
        yield "</g>"
        heads = [head for _, _, each in self._paths.values() for head in each]
        if heads:
            yield f'<path fill="{LINES}" d="{" ".join(heads)}"/>'
        yield f'<g fill="{LINES}">'
        yield from self._texts
        yield "</g>"
        yield from self._nodes
        yield "</svg>"

    def _draw(self, level: Level, dx: float, dy: float) -> None:
        for piece, wire in level.wires.items():
            _, paths, heads = self._paths.setdefault(id(piece.edge), (piece.edge, [], []))
            paths.append(_path(level, wire, dx, dy))
            if piece.is_last:
                x, y = wire.target.x - wire.target.width / 2 + dx, wire.target.y + wire.into.y + dy
                target = piece.target
                if target.inner is not None or (target.kind == "out" and target.box is not None):
                    x -= POINT
                head = f"M{_at(x - ARROW, y - 3.5)}L{_at(x, y)}L{_at(x - ARROW, y + 3.5)}Z"
                if head not in self._heads:
                    self._heads.add(head)
                    heads.append(head)
            for bend in wire.bends:
                if bend.has_text:
                    y = bend.y - bend.height / 2 + COMMENTS.size + dy
                    style = 'text-anchor="middle" font-style="italic"'
                    self._texts += _rows(COMMENTS, piece.comment, bend.x + dx, y, style)
        for node in level.nodes:
            vertex = level.vertices[node]
            inner = level.inner.get(node)
            if inner is not None:
                left, top = vertex.x - vertex.width / 2 + dx, vertex.y - vertex.height / 2 + dy
                self._box(node, vertex, left, top)
                self._draw(inner, left - inner.left, top - inner.top)
            elif node.is_point:
                self._point(node, vertex, dx, dy)
            else:
                self._node(node, vertex, vertex.x + dx, vertex.y + dy)
                self._ports(vertex, dx, dy)

    def _box(self, node: Node, vertex: Vertex, left: float, top: float) -> None:
        _, stroke = FILLS["flow"]
        self._boxes.append(
            f'<g class="flowrt-box"><title>{_escaped(node.title)}</title>'
            f'<rect x="{_number(left)}" y="{_number(top)}" width="{_number(vertex.width)}" height="{_number(vertex.height)}" rx="8" '
            f'fill="{stroke}" fill-opacity="0.06" stroke="{stroke}"/></g>'
        )
        style = f'font-weight="bold" fill="{stroke}"'
        self._texts += _rows(TITLES, node.name, left + PADDING, top + TITLE - 9, style)

    def _point(self, node: Node, vertex: Vertex, dx: float, dy: float) -> None:
        if not node.name:
            return  # where a stream crosses the border of a box
        x, y = vertex.x + dx, vertex.y + dy
        if node.box is None:
            side, anchor = (1, "end") if node.kind == "in" else (-1, "start")
            x += side * (vertex.width / 2 - POINT)
            style = f'text-anchor="{anchor}"'
            self._texts += _rows(INPUTS, node.name, x - side * (POINT + 4), y + 4, style)
        else:
            self._ports(vertex, dx, dy)
        self._nodes.append(
            f'<g class="flowrt-port"><title>{_escaped(node.name)}</title>'
            f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(POINT)}" fill="{LINES}"/></g>'
        )

    def _node(self, node: Node, vertex: Vertex, x: float, y: float) -> None:
        fill, stroke = FILLS[node.kind] if node.known else UNKNOWN
        dashed = ' stroke-dasharray="5 3"' if not node.known or node.kind == "elsewhere" else ""
        style = f'fill="{fill}" stroke="{stroke}"{dashed}'
        width, height = vertex.width / 2, vertex.height / 2
        parts = [f'<g class="flowrt-node"><title>{_escaped(node.title)}</title>']
        parts.append(_outline(node, x, y, width, height, style))
        if node.kind == "flow":
            parts.append(_rectangle(x, y, width - 3, height - 3, 2, f'fill="none" stroke="{stroke}"'))
        first = y - (NAMES.height_of(node.name) - NAMES.line) / 2 + NAMES.size * 0.35
        parts += _rows(NAMES, node.name, x, first, f'text-anchor="middle" fill="{INK}"')
        for number, dot in enumerate(node.dots):
            filling, ring = (stroke, fill) if dot == "●" else (fill, stroke)
            parts.append(
                f'<circle cx="{_number(x + width - 9 - number * 10)}" cy="{_number(y - height)}" r="4" fill="{filling}" stroke="{ring}"/>'
            )
        self._nodes.append("".join([*parts, "</g>"]))

    def _ports(self, vertex: Vertex, dx: float, dy: float) -> None:
        for slots, side, anchor in ((vertex.ins, -1, "end"), (vertex.outs, 1, "start")):
            for slot in slots:
                if slot.name:
                    x = vertex.x + side * (vertex.width / 2 + 7) + dx
                    y = vertex.y + slot.y + dy - 5
                    self._texts += _rows(PORTS, slot.name, x, y, f'text-anchor="{anchor}"')


def _path(level: Level, wire: Wire, dx: float, dy: float) -> str:
    """Draw a stream: level through the layers, curved between them."""
    borders = level.layout.borders
    x, y = wire.source.x + wire.source.width / 2, wire.source.y + wire.out.y
    steps = [f"M{_at(x + dx, y + dy)}"]

    def level_to(to: float) -> None:
        nonlocal x
        if abs(to - x) > 0.05:
            x = to
            if steps[-1].startswith("H"):
                steps.pop()
            steps.append(f"H{_number(x + dx)}")

    def curve_to(to_x: float, to_y: float, turn: float) -> None:
        nonlocal x, y
        if abs(to_y - y) < 0.05 and not turn:
            level_to(to_x)
        else:
            by = turn or (to_x - x) / 2
            controls = f"{_at(x + by + dx, y + dy)} {_at(to_x - by + 2 * turn + dx, to_y + dy)}"
            x, y = to_x, to_y
            steps.append(f"C{controls} {_at(x + dx, y + dy)}")

    # The border of a layer where a stream leaves it, and where it enters it.
    near, far = (0, 1) if wire.is_back else (1, 0)
    level_to(borders[wire.source.layer][1])
    for number, bend in enumerate(wire.bends):
        height = bend.y + bend.ins[0].y
        curve_to(borders[bend.layer][far], height, swing(height - y) if wire.is_back and not number else 0.0)
        level_to(borders[bend.layer][near])
    height = wire.target.y + wire.into.y
    curve_to(borders[wire.target.layer][0], height, -swing(height - y) if wire.is_back else 0.0)
    level_to(wire.target.x - wire.target.width / 2)
    return "".join(steps)


def _outline(node: Node, x: float, y: float, width: float, height: float, style: str) -> str:
    if node.kind not in {"scatter", "gather"}:
        return _rectangle(x, y, width, height, 4, style)
    left, right = (SLANT, 0.0) if node.kind == "scatter" else (0.0, SLANT)
    corners = (
        (x - width, y - height + left),
        (x + width, y - height + right),
        (x + width, y + height - right),
        (x - width, y + height - left),
    )
    return f'<polygon points="{" ".join(_at(*corner) for corner in corners)}" {style}/>'


def _rectangle(x: float, y: float, width: float, height: float, round_: float, style: str) -> str:
    return (
        f'<rect x="{_number(x - width)}" y="{_number(y - height)}" width="{_number(2 * width)}" height="{_number(2 * height)}" '
        f'rx="{_number(round_)}" {style}/>'
    )


def _rows(lettering: Lettering, text: str, x: float, y: float, style: str) -> list[str]:
    """Write a text, its first row at a height."""
    size = _number(lettering.size)
    return [
        f'<text x="{_number(x)}" y="{_number(y + number * lettering.line)}" font-size="{size}" {style}>{_escaped(row)}</text>'
        for number, row in enumerate(lettering.rows_of(text))
    ]


def _stream_title(edge: Edge) -> str:
    ends = ((edge.source, edge.source_port), (edge.target, edge.target_port))
    names = " → ".join(f"{node.name}.{port}" if port else node.name for node, port in ends)
    return f"{names} // {edge.comment}" if edge.comment else names


def _escaped(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _at(x: float, y: float) -> str:
    return f"{_number(x)} {_number(y)}"


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")
