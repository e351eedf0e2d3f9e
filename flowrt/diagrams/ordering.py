"""The order of nodes within the layers of a picture, and of ports at the sides of nodes, against crossings."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.diagrams.layout import Link, Slot, Vertex

SWEEPS = (
    24  # at most; each sorts every layer by where its neighbours in the layer before (then: behind) stand
)
PATIENCE = 6  # sweeps without fewer crossings
SWITCHES = 8  # rounds of exchanging neighbours at most
SWITCHED_VERTICES = 4_000  # in larger pictures exchanging takes too long
SLOT_DISTANCE = 18.0


def order_layers(layers: list[list[Vertex]]) -> None:
    """Order each layer so that few streams cross."""
    best, fewest, tried = [list(layer) for layer in layers], crossings(layers), 0
    for sweep in range(SWEEPS):
        if not fewest or tried == PATIENCE:
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


def _sort(layer: list[Vertex], layers: list[list[Vertex]], *, downwards: bool, flips: bool) -> None:
    """Sort a layer by the mean position of each vertex's neighbours; `flips`: equal ones change their order."""
    beside = layers[layer[0].layer + (-1 if downwards else 1)]
    scale = len(beside) / len(layer)
    keys: dict[int, float] = {}
    for vertex in layer:
        links = vertex.before if downwards else vertex.after
        if links:
            positions = [
                _position(link.source, link.out) if downwards else _position(link.target, link.into)
                for link in links
            ]
            keys[id(vertex)] = sum(positions) / len(positions)
        else:
            keys[id(vertex)] = vertex.order * scale
    for vertex in layer:
        if vertex.anchor is not None and not (vertex.before if downwards else vertex.after):
            keys[id(vertex)] = keys[id(vertex.anchor)] + 0.01
    if flips:
        layer.reverse()
    layer.sort(key=lambda vertex: keys[id(vertex)])
    _number(layer)


def _number(layer: list[Vertex]) -> None:
    for order, vertex in enumerate(layer):
        vertex.order = order


def _position(vertex: Vertex, slot: Slot) -> float:
    """Return where a link ends: ports that stay where they are count, others can go where their streams do."""
    return vertex.order + (slot.y / (vertex.height + 1) * 0.9 if vertex.is_fixed else 0.0)


def crossings(layers: list[list[Vertex]]) -> int:
    """Count the pairs of links that cross."""
    count = 0
    for layer in layers:
        ends = sorted(
            (_position(vertex, link.out), _position(link.target, link.into))
            for vertex in layer
            for link in vertex.after
        )
        passed: list[float] = []
        for _, end in ends:
            count += len(passed) - bisect_right(passed, end)
            insort(passed, end)
    return count


def _switch(layers: list[list[Vertex]]) -> None:
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
    return _inversions(
        [_position(link.source, link.out) for link in upper.before],
        [_position(link.source, link.out) for link in lower.before],
    ) + _inversions(
        [_position(link.target, link.into) for link in upper.after],
        [_position(link.target, link.into) for link in lower.after],
    )


def _inversions(above: list[float], below: list[float]) -> int:
    if not above or not below:
        return 0
    above.sort()
    return sum(len(above) - bisect_right(above, position) for position in below)


# -- ports


def order_slots(layers: list[list[Vertex]]) -> None:
    """Order the ports of each node by where their streams lead, and space them evenly."""
    backwards = _backward_slots(layers)
    for layer in layers:
        for vertex in layer:
            if not vertex.is_fixed:
                _space(vertex.outs, _ends(vertex.after, backwards, leaving=True))
    for layer in layers:
        for vertex in layer:
            if not vertex.is_fixed:
                _space(vertex.ins, _ends(vertex.before, backwards, leaving=False))


def _backward_slots(layers: list[list[Vertex]]) -> dict[int, list[float]]:
    """Say for the slots of streams that run backwards on which side they turn around."""
    found: dict[int, list[float]] = {}
    for layer in layers:
        for bend in layer:
            if bend.anchor is not None and bend.wire is not None:
                side = float(len(layer) if bend.order > bend.anchor.order else -1)
                if bend is bend.wire.bends[0]:
                    found.setdefault(id(bend.wire.out), []).append(side)
                if bend is bend.wire.bends[-1]:
                    found.setdefault(id(bend.wire.into), []).append(side)
    return found


def _ends(links: list[Link], backwards: dict[int, list[float]], *, leaving: bool) -> dict[int, list[float]]:
    ends: dict[int, list[float]] = {}
    for link in links:
        vertex, slot, own = (
            (link.target, link.into, link.out) if leaving else (link.source, link.out, link.into)
        )
        ends.setdefault(id(own), []).append(vertex.order + slot.y / (vertex.height + 1) * 0.9)
    return {**backwards, **ends}


def _space(slots: list[Slot], ends: dict[int, list[float]]) -> None:
    def mean(slot: Slot) -> float:
        positions = ends.get(id(slot), [0.0])
        return sum(positions) / len(positions)

    slots.sort(key=mean)
    for number, slot in enumerate(slots):
        slot.y = (number - (len(slots) - 1) / 2) * SLOT_DISTANCE
