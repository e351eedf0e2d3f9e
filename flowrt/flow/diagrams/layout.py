"""Where the nodes of a picture stand: in layers from left to right, with few crossings and long streams straight.

The way of Sugiyama, Tagawa and Toda: streams that close a loop are set aside, nodes are put into layers, a stream that passes a
layer gets a bend in it, layers are ordered against crossings, and heights are given. Own code, because
what PyPI has is either under a copyleft licence, or compiled and young, or knows neither ports nor labels.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from itertools import pairwise

from attrs import Factory, define

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

    def room(self, slots: list[Slot]) -> float:
        """Return how far it reaches from its middle to a side, with the names of the ports there."""
        return self.width / 2 + max((slot.width for slot in slots), default=0.0)

    def links(self, *, back: bool) -> list[Link]:
        return self.before if back else self.after

    def positions(self, *, back: bool) -> list[float]:
        """Return where its links to one side end."""
        if back:
            return [_position(link.source, link.out) for link in self.before]
        return [_position(link.target, link.into) for link in self.after]


Layers = list[list[Vertex]]
Heights = dict[Vertex, float]


@define(eq=False)
class Link:
    """A stream, or a part of one between two neighbouring layers."""

    source: Vertex
    out: Slot
    target: Vertex
    into: Slot

    def beyond(self, *, back: bool) -> tuple[Vertex, Slot, Slot]:
        """Return where it comes from (back) or leads to: the vertex and its slot, and the slot at this end."""
        return (self.source, self.out, self.into) if back else (self.target, self.into, self.out)


@define(eq=False)
class Wire(Link):
    """A stream to be laid out. `text`: width and height of its comment. `bends`: those on its way, from source to target."""

    text: tuple[float, float] | None = None
    bends: list[Vertex] = Factory(list)
    is_back: bool = False


@define(eq=False)
class Layout:
    """The layers, with what stands in each from top to bottom; `borders`: where the room of each layer begins and ends."""

    layers: Layers
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
    outs: defaultdict[Vertex, list[Wire]] = defaultdict(list)
    for wire in wires:
        outs[wire.source].append(wire)
    fed = {wire.target for wire in wires if wire.source is not wire.target}
    met: dict[Vertex, bool] = {}  # and whether it is on the way that is walked
    way: list[tuple[Vertex, Iterator[Wire]]] = []

    def enter(vertex: Vertex) -> None:
        met[vertex] = True
        way.append((vertex, iter(outs[vertex])))

    for start in sorted(vertices, key=lambda vertex: vertex in fed):
        if start not in met:
            enter(start)
        while way:
            vertex, rest = way[-1]
            following = next(rest, None)
            if following is None:
                met[vertex] = False
                way.pop()
                continue
            following.is_back = met.get(following.target, False)
            if following.target not in met:
                enter(following.target)
    return [wire for wire in wires if not wire.is_back]


def _set_layers(vertices: list[Vertex], wires: list[Wire]) -> None:
    """Put each vertex as far left as its inputs allow, then those that only lead on as far right as their targets allow."""
    outs: dict[Vertex, list[Wire]] = {vertex: [] for vertex in vertices}
    ins: dict[Vertex, list[Wire]] = {vertex: [] for vertex in vertices}
    for wire in wires:
        outs[wire.source].append(wire)
        ins[wire.target].append(wire)
    ordered = _in_order({vertex: [wire.target for wire in outs[vertex]] for vertex in vertices})
    for vertex in ordered:
        vertex.layer = max((wire.source.layer + _length(wire) for wire in ins[vertex]), default=0)
    for _ in range(TIGHTENINGS):
        for vertex in reversed(ordered):
            if len(outs[vertex]) > len(ins[vertex]):
                vertex.layer = min(wire.target.layer - _length(wire) for wire in outs[vertex])
        for vertex in ordered:
            if len(ins[vertex]) > len(outs[vertex]):
                vertex.layer = max(wire.source.layer + _length(wire) for wire in ins[vertex])
    if any(vertex.pinned for vertex in vertices):
        _pin(vertices, wires)
    first = min(vertex.layer for vertex in vertices)
    for vertex in vertices:
        vertex.layer -= first


def _in_order(after: Mapping[Vertex, Iterable[Vertex]]) -> list[Vertex]:
    """Sort vertices so that each stands before those behind it."""
    sorter: TopologicalSorter[Vertex] = TopologicalSorter(dict.fromkeys(after, ()))
    for before, following in after.items():
        for vertex in following:
            sorter.add(vertex, before)
    return list(sorter.static_order())


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
        wire.bends = [
            Vertex(0.0, 2.0, [Slot("")], [Slot("")], is_fixed=True, wire=wire, layer=layer)
            for layer in layers
        ]
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


def _layers(vertices: list[Vertex], wires: list[Wire]) -> Layers:
    """Sort what there is into layers, in the order of a walk along the streams; empty layers are left out."""
    found: dict[int, list[Vertex]] = {}
    seen: set[Vertex] = set()
    back: dict[Vertex, list[Wire]] = {}
    for wire in wires:
        if wire.is_back:
            back.setdefault(wire.source, []).append(wire)
    pending = sorted(vertices, key=lambda vertex: vertex.layer)[::-1]
    while pending:
        vertex = pending.pop()
        if vertex in seen:
            continue
        seen.add(vertex)
        found.setdefault(vertex.layer, []).append(vertex)
        for wire in back.get(vertex, ()):
            pending += [bend for bend in reversed(wire.bends) if bend not in seen]
        pending += [link.target for link in reversed(vertex.after) if link.target not in seen]
    layers = [found[layer] for layer in sorted(found)]
    for number, layer in enumerate(layers):
        _number(layer)
        for vertex in layer:
            vertex.layer = number
    return layers


def _set_columns(layout: Layout) -> None:
    """Set the layers side by side: names of ports have their room, and steep streams have some more."""
    x = 0.0
    for number, layer in enumerate(layout.layers):
        left = max(vertex.room(vertex.ins) for vertex in layer)
        right = max(vertex.room(vertex.outs) for vertex in layer)
        if number:
            climbs = (abs(_climb(link)) for vertex in layer for link in vertex.before)
            x += min(GAP + STEEP * max(climbs, default=0.0), WIDEST_GAP)
        for vertex in layer:
            vertex.x = x + left
        layout.borders.append((x, x + left + right))
        x += left + right


# -- the order in a layer


# At most; each sorts every layer by where its neighbours in the layer before (then: behind) stand.
SWEEPS = 24
IDLE_SWEEPS = 6  # without fewer crossings
SWITCHES = 8  # rounds of exchanging neighbours at most
SWITCHED_VERTICES = 4_000  # in larger pictures exchanging takes too long
SLOT_DISTANCE = 18.0


def order_layers(layers: Layers) -> None:
    """Order each layer so that few streams cross."""
    best, fewest, tried = [list(layer) for layer in layers], crossings(layers), 0
    for sweep in range(SWEEPS):
        if not fewest or tried == IDLE_SWEEPS:
            break
        downwards = sweep % 2 == 0
        for layer in layers[1:] if downwards else layers[-2::-1]:
            _sort(layer, layers, downwards=downwards, flips=sweep % 4 > 1)
        count = crossings(layers)
        tried += 1
        if count < fewest:
            best, fewest, tried = [list(layer) for layer in layers], count, 0
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered
        _number(layer)
    if fewest and sum(map(len, layers)) <= SWITCHED_VERTICES:
        _switch(layers)


def _sort(layer: list[Vertex], layers: Layers, *, downwards: bool, flips: bool) -> None:
    """Sort a layer by the mean position of each vertex's neighbours; `flips`: equal ones change their order."""
    beside = layers[layer[0].layer + (-1 if downwards else 1)]
    scale = len(beside) / len(layer)
    keys: Heights = {}
    for vertex in layer:
        positions = vertex.positions(back=downwards)
        keys[vertex] = _mean(positions) if positions else vertex.order * scale
    for vertex in layer:
        if vertex.anchor is not None and not vertex.links(back=downwards):
            keys[vertex] = keys[vertex.anchor] + 0.01
    if flips:
        layer.reverse()
    layer.sort(key=keys.__getitem__)
    _number(layer)


def _number(layer: list[Vertex]) -> None:
    for order, vertex in enumerate(layer):
        vertex.order = order


def _position(vertex: Vertex, slot: Slot) -> float:
    """Return where a link ends: ports that stay where they are count, others can go where their streams do."""
    return _exactly(vertex, slot) if vertex.is_fixed else vertex.order


def _exactly(vertex: Vertex, slot: Slot) -> float:
    return vertex.order + slot.y / (vertex.height + 1) * 0.9


def _mean(positions: list[float]) -> float:
    return sum(positions) / len(positions)


def crossings(layers: Layers) -> int:
    """Count the pairs of links that cross."""
    count = 0
    for layer in layers:
        links = (link for vertex in layer for link in vertex.after)
        ends = sorted((_position(link.source, link.out), _position(link.target, link.into)) for link in links)
        passed: list[float] = []
        for _, end in ends:
            count += len(passed) - bisect_right(passed, end)
            insort(passed, end)
    return count


def _switch(layers: Layers) -> None:
    """Exchange neighbours in a layer as long as that saves crossings."""
    for _ in range(SWITCHES):
        saved = 0
        for layer in layers:
            for upper in range(len(layer) - 1):
                one, other = layer[upper], layer[upper + 1]
                now = _crossed(one, other)
                if now and (then := _crossed(other, one)) < now:
                    layer[upper], layer[upper + 1] = other, one
                    one.order, other.order = upper + 1, upper
                    saved += now - then
        if not saved:
            return


def _crossed(upper: Vertex, lower: Vertex) -> int:
    """Count the crossings between the links of two vertices of one layer if the first stands above the second."""
    count = 0
    for back in (True, False):
        above = sorted(upper.positions(back=back))
        count += sum(len(above) - bisect_right(above, position) for position in lower.positions(back=back))
    return count


# -- ports


def order_slots(layers: Layers) -> None:
    """Order the ports of each node by where their streams lead, and space them evenly."""
    turning: defaultdict[Slot, list[float]] = defaultdict(list)  # to the side on which a stream turns around
    for bend in (each for layer in layers for each in layer):
        if bend.anchor is not None and bend.wire is not None:
            side = float(len(layers[bend.layer]) if bend.order > bend.anchor.order else -1)
            if bend is bend.wire.bends[0]:
                turning[bend.wire.out].append(side)
            if bend is bend.wire.bends[-1]:
                turning[bend.wire.into].append(side)
    vertices = [vertex for layer in layers for vertex in layer if not vertex.is_fixed]
    for vertex in vertices:
        _space(vertex, turning, leaving=True)
    for vertex in vertices:
        _space(vertex, turning, leaving=False)


def _space(vertex: Vertex, turning: dict[Slot, list[float]], *, leaving: bool) -> None:
    ends: dict[Slot, list[float]] = {}
    for link in vertex.links(back=not leaving):
        other, slot, own = link.beyond(back=not leaving)
        ends.setdefault(own, []).append(_exactly(other, slot))
    slots = vertex.outs if leaving else vertex.ins
    slots.sort(key=lambda slot: _mean(ends.get(slot) or turning.get(slot) or [0.0]))
    for number, slot in enumerate(slots):
        slot.y = (number - (len(slots) - 1) / 2) * SLOT_DISTANCE


# -- heights


NODE_DISTANCE = 26.0
BEND_DISTANCE = 14.0  # between two streams that pass side by side
KINK = 10.0  # a stream that climbs less looks as if it should not climb at all
STRAIGHTENINGS = 2  # rounds
STRAIGHT = 0.05


def set_heights(layers: Layers) -> None:
    """Set `y`, the middle of each vertex; it grows downwards and starts anywhere."""
    conflicts = _conflicts(layers)
    found = [
        _assign(layers, conflicts, rightwards=rightwards, downwards=downwards)
        for rightwards in (True, False)
        for downwards in (True, False)
    ]
    _line_up(found)
    for layer in layers:
        for vertex in layer:
            values = sorted(each[vertex] for each in found)
            vertex.y = (values[1] + values[2]) / 2
    for _ in range(STRAIGHTENINGS):
        _straighten(layers)


def _conflicts(layers: Layers) -> set[Link]:
    """Return the links that cross a stretch between two bends: the stretch is to be straight, so they are not."""
    found: set[Link] = set()
    for layer in layers[1:]:
        links = [link for vertex in layer for link in vertex.before]
        stretches = [link for link in links if link.source.is_bend and link.target.is_bend]
        if not stretches:
            continue
        upper, at = -1, 0
        for vertex in layer:
            while at < len(stretches) and stretches[at].target.order < vertex.order:
                upper = max(upper, stretches[at].source.order)
                at += 1
            lower = stretches[at].source.order if at < len(stretches) else len(layers[vertex.layer - 1])
            for link in vertex.before:
                is_stretch = vertex.is_bend and link.source.is_bend
                if not is_stretch and not upper <= link.source.order <= lower:
                    found.add(link)
    return found


def _assign(layers: Layers, conflicts: set[Link], *, rightwards: bool, downwards: bool) -> Heights:
    """Give heights, working in one of four directions. Upwards is downwards with everything turned over."""
    sign = 1.0 if downwards else -1.0
    ordered = layers if rightwards else layers[::-1]
    ordered = ordered if downwards else [layer[::-1] for layer in ordered]
    root, shift = _align(ordered, conflicts, sign, rightwards=rightwards)
    blocks = _compact(ordered, root, shift)
    return {vertex: sign * (blocks[root[vertex]] + shift[vertex]) for vertex in root}


def _align(
    layers: Layers, conflicts: set[Link], sign: float, *, rightwards: bool
) -> tuple[dict[Vertex, Vertex], Heights]:
    """Make blocks of vertices that are to be on one line: each with the middle one of its neighbours, if nothing is crossed.

    Return the root of each vertex's block, and how far from it the vertex is.
    """
    positions = {vertex: at for layer in layers for at, vertex in enumerate(layer)}
    root: dict[Vertex, Vertex] = {}
    shift: Heights = {}
    followed: set[Vertex] = set()

    def place(link: Link) -> tuple[int, float]:
        neighbour, slot, _ = link.beyond(back=rightwards)
        return positions[neighbour], slot.y * sign

    for layer in layers:
        last = -1
        for vertex in layer:
            root[vertex], shift[vertex] = vertex, 0.0
            links = sorted(vertex.links(back=rightwards), key=place)
            for link in links[(len(links) - 1) // 2 : len(links) // 2 + 1]:  # the middle one, or both
                neighbour, slot, own = link.beyond(back=rightwards)
                at = positions[neighbour]
                if at > last and neighbour not in followed and link not in conflicts:
                    root[vertex] = root[neighbour]
                    shift[vertex] = shift[neighbour] + (slot.y - own.y) * sign
                    followed.add(neighbour)
                    last = at
                    break
    return root, shift


def _compact(layers: Layers, root: dict[Vertex, Vertex], shift: Heights) -> Heights:
    """Put the blocks as close as their distances allow, then each as near to those below it as it can be."""
    below: dict[Vertex, dict[Vertex, float]] = {block: {} for block in root.values()}
    for layer in layers:
        for upper, lower in pairwise(layer):
            distances, other = below[root[upper]], root[lower]
            distance = shift[upper] + _distance(upper, lower) - shift[lower]
            distances[other] = max(distances.get(other, distance), distance)
    order = _in_order(below)
    heights = dict.fromkeys(order, 0.0)
    above: Heights = {}
    for block in order:
        heights[block] = above.get(block, 0.0)
        for other, distance in below[block].items():
            above[other] = max(above.get(other, -1e18), heights[block] + distance)
    for block in reversed(order):
        if below[block]:
            room = min(heights[other] - distance for other, distance in below[block].items())
            heights[block] = max(heights[block], room)
    return heights


def _distance(upper: Vertex, lower: Vertex) -> float:
    bends = upper.is_bend and lower.is_bend
    return (upper.height + lower.height) / 2 + (BEND_DISTANCE if bends else NODE_DISTANCE)


def _line_up(found: list[Heights]) -> None:
    """Move the four assignments onto the narrowest of them: by the upper edge those made downwards, by the lower edge the others."""
    spans = [(min(each.values()), max(each.values())) for each in found]
    top, bottom = min(spans, key=lambda span: span[1] - span[0])
    for number, (each, span) in enumerate(zip(found, spans, strict=True)):
        by = top - span[0] if number % 2 == 0 else bottom - span[1]
        for key in each:
            each[key] += by


def _straighten(layers: Layers) -> None:
    """Take small kinks out: move a node, or all bends of a stream, where that makes more streams straight than it bends."""
    seen: set[Vertex] = set()
    for layer in layers:
        for vertex in layer:
            moved = vertex.wire.bends if vertex.wire is not None else [vertex]
            if moved[0] in seen:
                continue
            seen.add(moved[0])
            group = set(moved)
            kinks = [
                _climb(link) * (-1 if link.target in group else 1)
                for each in moved
                for link in (*each.before, *each.after)
                if not (link.source in group and link.target in group)
            ]
            straight = sum(abs(kink) < STRAIGHT for kink in kinks)
            for by in (kink for kink in kinks if STRAIGHT <= abs(kink) < KINK):
                straightened = sum(abs(kink - by) < STRAIGHT for kink in kinks)
                if straightened > straight and _has_room(moved, by, layers):
                    for each in moved:
                        each.y += by
                    break


def _climb(link: Link) -> float:
    return link.target.y + link.into.y - link.source.y - link.out.y


def _has_room(moved: list[Vertex], by: float, layers: Layers) -> bool:
    side = 1 if by > 0 else -1
    for vertex in moved:
        layer, order = layers[vertex.layer], vertex.order + side
        if 0 <= order < len(layer):
            other = layer[order]
            if (other.y - vertex.y - by) * side < _distance(vertex, other):
                return False
    return True
