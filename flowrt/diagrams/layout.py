"""Where the nodes of a picture stand: in layers from left to right, with few crossings and long streams straight.

The way of Sugiyama, Tagawa and Toda: streams that close a loop are set aside, nodes are put into layers, a stream that passes a
layer gets a bend in it, layers are ordered against crossings (`ordering`), and heights are given (`heights`). Own code, because
what PyPI has is either under a copyleft licence, or compiled and young, or knows neither ports nor labels.
"""

from __future__ import annotations

from itertools import pairwise

from attrs import Factory, define

from flowrt.diagrams.heights import set_heights
from flowrt.diagrams.ordering import order_layers, order_slots

GAP = 34.0  # between two layers, in the units of the picture (pixels, at its natural size)
STEEP = 0.12  # so much wider for each unit that the steepest stream between two layers climbs
WIDEST_GAP = 130.0
TIGHTENINGS = 2  # rounds; a third one hardly ever moves anything


@define(eq=False)
class Slot:
    """A port at a vertex's side. `width`: of its label, 0 without one. `y`: from the middle of the vertex, set here."""

    name: str
    width: float = 0.0
    y: float = 0.0


@define(eq=False)
class Vertex:
    """A node, or a bend of a stream.

    Attributes:
        ins: the ports at its left side; `outs` likewise at its right.
        is_fixed: its slots stay where they are; else they are ordered, evenly spaced.
        pinned: -1 for the left border of a box, 1 for the right one, else 0.
        wire: of a bend, the stream it belongs to. `has_text`: it keeps room for the comment.
        anchor: of the ends of a stream that runs backwards, the node beside them.
    """

    width: float
    height: float
    ins: list[Slot] = Factory(list)
    outs: list[Slot] = Factory(list)
    is_fixed: bool = False
    pinned: int = 0
    wire: Wire | None = None
    has_text: bool = False
    anchor: Vertex | None = None
    layer: int = 0
    order: int = 0
    x: float = 0.0
    y: float = 0.0
    before: list[Link] = Factory(list)
    after: list[Link] = Factory(list)

    @property
    def is_bend(self) -> bool:
        return self.wire is not None

    def left(self) -> float:
        return self.width / 2 + max((slot.width for slot in self.ins), default=0.0)

    def right(self) -> float:
        return self.width / 2 + max((slot.width for slot in self.outs), default=0.0)


@define(eq=False)
class Link:
    """A part of a stream between two neighbouring layers."""

    source: Vertex
    out: Slot
    target: Vertex
    into: Slot


@define(eq=False)
class Wire:
    """A stream to be laid out. `text`: width and height of its comment. `bends`: those on its way, from source to target."""

    source: Vertex
    out: Slot
    target: Vertex
    into: Slot
    text: tuple[float, float] | None = None
    bends: list[Vertex] = Factory(list)
    is_back: bool = False


@define(eq=False)
class Layout:
    """The layers, with what stands in each from top to bottom; `borders`: where the room of each layer begins and ends."""

    layers: list[list[Vertex]]
    borders: list[tuple[float, float]] = Factory(list)


class TooMuchToDrawError(Exception):
    """A layout would take more bends than was allowed."""


def lay_out(vertices: list[Vertex], wires: list[Wire], most_bends: int) -> Layout:
    """Give every vertex its place, and every wire its bends."""
    forward = _without_loops(vertices, wires)
    _set_layers(vertices, forward)
    _add_bends(wires, most_bends)
    layout = Layout(_layers(vertices, wires))
    order_layers(layout.layers)
    order_slots(layout.layers)
    set_heights(layout.layers)
    _set_columns(layout)
    return layout


def _without_loops(vertices: list[Vertex], wires: list[Wire]) -> list[Wire]:
    """Mark the wires that lead back to where a walk from the inputs came from; return the others."""
    outs: dict[int, list[Wire]] = {id(vertex): [] for vertex in vertices}
    fed: set[int] = set()
    for wire in wires:
        outs[id(wire.source)].append(wire)
        if wire.source is not wire.target:
            fed.add(id(wire.target))
    state: dict[int, int] = {}  # 1: on the way that is walked, 2: left
    for start in sorted(vertices, key=lambda vertex: id(vertex) in fed):
        if id(start) in state:
            continue
        state[id(start)] = 1
        way = [(start, iter(outs[id(start)]))]
        while way:
            vertex, rest = way[-1]
            following = next(rest, None)
            if following is None:
                state[id(vertex)] = 2
                way.pop()
                continue
            target = following.target
            seen = state.get(id(target))
            following.is_back = seen == 1
            if seen is None:
                state[id(target)] = 1
                way.append((target, iter(outs[id(target)])))
    return [wire for wire in wires if not wire.is_back]


def _set_layers(vertices: list[Vertex], wires: list[Wire]) -> None:
    """Put each vertex as far left as its inputs allow, then those that only lead on as far right as their targets allow."""
    outs: dict[int, list[Wire]] = {id(vertex): [] for vertex in vertices}
    ins: dict[int, list[Wire]] = {id(vertex): [] for vertex in vertices}
    for wire in wires:
        outs[id(wire.source)].append(wire)
        ins[id(wire.target)].append(wire)
    missing = {key: len(incoming) for key, incoming in ins.items()}
    ready = [vertex for vertex in vertices if not missing[id(vertex)]]
    for vertex in ready:  # grows while it is gone through
        vertex.layer = max((wire.source.layer + _length(wire) for wire in ins[id(vertex)]), default=0)
        for wire in outs[id(vertex)]:
            missing[id(wire.target)] -= 1
            if not missing[id(wire.target)]:
                ready.append(wire.target)
    for _ in range(TIGHTENINGS):
        for vertex in reversed(ready):
            leaving = outs[id(vertex)]
            if leaving and len(leaving) > len(ins[id(vertex)]):
                vertex.layer = min(wire.target.layer - _length(wire) for wire in leaving)
        for vertex in ready:
            coming = ins[id(vertex)]
            if coming and len(coming) > len(outs[id(vertex)]):
                vertex.layer = max(wire.source.layer + _length(wire) for wire in coming)
    if any(vertex.pinned for vertex in vertices):
        _pin(vertices, wires)
    first = min(vertex.layer for vertex in vertices)
    for vertex in vertices:
        vertex.layer -= first


def _length(wire: Wire) -> int:
    return 2 if wire.text else 1


def _pin(vertices: list[Vertex], wires: list[Wire]) -> None:
    """Put the ports of a box at its borders, with a layer between where a comment needs it."""
    inner = [vertex.layer for vertex in vertices if not vertex.pinned] or [0]
    first = min(inner) - max((_length(wire) for wire in wires if wire.source.pinned < 0), default=1)
    last = max(inner) + max((_length(wire) for wire in wires if wire.target.pinned > 0), default=1)
    for vertex in vertices:
        if vertex.pinned:
            vertex.layer = first if vertex.pinned < 0 else last


def _add_bends(wires: list[Wire], most: int) -> None:
    """Give each wire a bend in every layer it passes; one that runs backwards also in those where it begins and ends."""
    count = 0
    for wire in wires:
        first, last = wire.source.layer, wire.target.layer
        layers = range(first, last - 1, -1) if wire.is_back else range(first + 1, last)
        count += len(layers)
        if count > most:
            raise TooMuchToDrawError
        wire.bends = [_bend(wire, layer) for layer in layers]
        if wire.is_back:
            wire.bends[0].anchor = wire.source
            wire.bends[-1].anchor = wire.target
        if wire.text and wire.bends:
            middle = wire.bends[len(wire.bends) // 2]
            middle.width, height = wire.text
            middle.height = height + 8
            middle.ins[0].y = middle.outs[0].y = middle.height / 2 - 3
            middle.has_text = True
        _link(wire)


def _bend(wire: Wire, layer: int) -> Vertex:
    bend = Vertex(0.0, 2.0, [Slot("")], [Slot("")], is_fixed=True, wire=wire)
    bend.layer = layer
    return bend


def _link(wire: Wire) -> None:
    ends = [(bend.ins[0], bend, bend.outs[0]) for bend in wire.bends]
    if wire.is_back:
        ends.reverse()
    else:
        ends = [(wire.out, wire.source, wire.out), *ends, (wire.into, wire.target, wire.into)]
    for (_, source, out), (into, target, _) in pairwise(ends):
        link = Link(source, out, target, into)
        source.after.append(link)
        target.before.append(link)


def _layers(vertices: list[Vertex], wires: list[Wire]) -> list[list[Vertex]]:
    """Sort what there is into layers, in the order of a walk along the streams; empty layers are left out."""
    found: dict[int, list[Vertex]] = {}
    seen: set[int] = set()
    back: dict[int, list[Wire]] = {}
    for wire in wires:
        if wire.is_back:
            back.setdefault(id(wire.source), []).append(wire)
    pending = sorted(vertices, key=lambda vertex: vertex.layer)
    pending.reverse()
    while pending:
        vertex = pending.pop()
        if id(vertex) in seen:
            continue
        seen.add(id(vertex))
        found.setdefault(vertex.layer, []).append(vertex)
        for wire in back.get(id(vertex), ()):
            pending += [bend for bend in reversed(wire.bends) if id(bend) not in seen]
        pending += [link.target for link in reversed(vertex.after) if id(link.target) not in seen]
    layers = [found[layer] for layer in sorted(found)]
    for number, layer in enumerate(layers):
        for order, vertex in enumerate(layer):
            vertex.layer, vertex.order = number, order
    return layers


def _set_columns(layout: Layout) -> None:
    """Set the layers side by side: names of ports have their room, and steep streams have some more."""
    x = 0.0
    for number, layer in enumerate(layout.layers):
        left = max(vertex.left() for vertex in layer)
        right = max(vertex.right() for vertex in layer)
        if number:
            climbs = (
                abs(link.target.y + link.into.y - link.source.y - link.out.y)
                for vertex in layer
                for link in vertex.before
            )
            x += min(GAP + STEEP * max(climbs, default=0.0), WIDEST_GAP)
        for vertex in layer:
            vertex.x = x + left
        layout.borders.append((x, x + left + right))
        x += left + right
