"""The heights of nodes within the layers of a picture: streams straight where they can be, nodes in the middle of their neighbours.

The way of Brandes and Köpf: four assignments, each of which lines nodes up with a median neighbour, beginning left or right, above
or below; the middle of the four is taken. Lined up are the ports that a stream connects, not the middles of the nodes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.diagrams.layout import Link, Vertex

NODE_DISTANCE = 26.0
BEND_DISTANCE = 14.0  # between two streams that pass side by side
KINK = 10.0  # a stream that climbs less looks as if it should not climb at all
STRAIGHTENINGS = 2  # rounds
STRAIGHT = 0.05


def set_heights(layers: list[list[Vertex]]) -> None:
    """Set `y`, the middle of each vertex; it grows downwards and starts anywhere."""
    conflicts = _conflicts(layers)
    found: list[dict[int, float]] = []
    for rightwards in (True, False):
        for downwards in (True, False):
            ordered = layers if rightwards else layers[::-1]
            if not downwards:
                ordered = [layer[::-1] for layer in ordered]
            found.append(
                _Assignment(ordered, conflicts, rightwards=rightwards, downwards=downwards).heights()
            )
    _line_up(found)
    for layer in layers:
        for vertex in layer:
            values = sorted(each[id(vertex)] for each in found)
            vertex.y = (values[1] + values[2]) / 2
    for _ in range(STRAIGHTENINGS):
        _straighten(layers)


def _conflicts(layers: list[list[Vertex]]) -> set[int]:
    """Return the links that cross a stretch between two bends: the stretch is to be straight, so they are not."""
    found: set[int] = set()
    for layer in layers[1:]:
        stretches = [
            link for vertex in layer for link in vertex.before if vertex.is_bend and link.source.is_bend
        ]
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
                    found.add(id(link))
    return found


class _Assignment:
    """One of the four. It works downwards; upwards is the same with everything turned over."""

    def __init__(
        self, layers: list[list[Vertex]], conflicts: set[int], *, rightwards: bool, downwards: bool
    ) -> None:
        self._layers = layers
        self._conflicts = conflicts
        self._rightwards = rightwards
        self._sign = 1.0 if downwards else -1.0
        self._root: dict[int, int] = {}
        self._shift: dict[int, float] = {}  # of a vertex, from the root of its block

    def heights(self) -> dict[int, float]:
        self._align()
        blocks = self._compact()
        return {key: self._sign * (blocks[root] + self._shift[key]) for key, root in self._root.items()}

    def _align(self) -> None:
        """Make blocks of vertices that are to be on one line: each with the middle one of its neighbours, if nothing is crossed."""
        positions = {id(vertex): at for layer in self._layers for at, vertex in enumerate(layer)}
        followed: set[int] = set()
        for layer in self._layers:
            last = -1
            for vertex in layer:
                key = id(vertex)
                self._root[key], self._shift[key] = key, 0.0
                for link in self._middle(vertex, positions):
                    neighbour = link.source if self._rightwards else link.target
                    at = positions[id(neighbour)]
                    if at <= last or id(neighbour) in followed or id(link) in self._conflicts:
                        continue
                    lean = (link.out.y - link.into.y) * (1 if self._rightwards else -1) * self._sign
                    self._root[key] = self._root[id(neighbour)]
                    self._shift[key] = self._shift[id(neighbour)] + lean
                    followed.add(id(neighbour))
                    last = at
                    break

    def _middle(self, vertex: Vertex, positions: dict[int, int]) -> list[Link]:
        links = vertex.before if self._rightwards else vertex.after

        def place(link: Link) -> tuple[int, float]:
            end, slot = (link.source, link.out) if self._rightwards else (link.target, link.into)
            return positions[id(end)], slot.y * self._sign

        ordered = sorted(links, key=place)
        count = len(ordered)
        return ordered[(count - 1) // 2 : count // 2 + 1]

    def _compact(self) -> dict[int, float]:
        """Put the blocks as close as their distances allow, then each as near to those below it as it can be."""
        below: dict[int, dict[int, float]] = {root: {} for root in self._root.values()}
        for layer in self._layers:
            for upper, lower in pairwise(layer):
                one, other = self._root[id(upper)], self._root[id(lower)]
                distance = self._shift[id(upper)] + _distance(upper, lower) - self._shift[id(lower)]
                below[one][other] = max(below[one].get(other, distance), distance)
        order = _sorted_blocks(below)
        heights = dict.fromkeys(order, 0.0)
        above: dict[int, float] = {}
        for block in order:
            heights[block] = above.get(block, 0.0)
            for other, distance in below[block].items():
                above[other] = max(above.get(other, -1e18), heights[block] + distance)
        for block in reversed(order):
            if below[block]:
                room = min(heights[other] - distance for other, distance in below[block].items())
                heights[block] = max(heights[block], room)
        return heights


def _sorted_blocks(below: dict[int, dict[int, float]]) -> list[int]:
    """Sort the blocks from top to bottom."""
    missing = dict.fromkeys(below, 0)
    for lowers in below.values():
        for lower in lowers:
            missing[lower] += 1
    order = [block for block, count in missing.items() if not count]
    for block in order:  # grows while it is gone through
        for lower in below[block]:
            missing[lower] -= 1
            if not missing[lower]:
                order.append(lower)
    return order


def _distance(upper: Vertex, lower: Vertex) -> float:
    bends = upper.is_bend and lower.is_bend
    return (upper.height + lower.height) / 2 + (BEND_DISTANCE if bends else NODE_DISTANCE)


def _line_up(found: list[dict[int, float]]) -> None:
    """Move the four assignments onto the narrowest of them: by the upper edge those made downwards, by the lower edge the others."""
    spans = [(min(each.values()), max(each.values())) for each in found]
    top, bottom = min(spans, key=lambda span: span[1] - span[0])
    for number, (each, span) in enumerate(zip(found, spans, strict=True)):
        by = top - span[0] if number % 2 == 0 else bottom - span[1]
        for key in each:
            each[key] += by


def _straighten(layers: list[list[Vertex]]) -> None:
    """Take small kinks out: move a node, or all bends of a stream, where that makes more streams straight than it bends."""
    seen: set[int] = set()
    for layer in layers:
        for vertex in layer:
            moved = vertex.wire.bends if vertex.wire is not None else [vertex]
            if id(moved[0]) in seen:
                continue
            seen.add(id(moved[0]))
            group = {id(each) for each in moved}
            kinks = [
                _climb(link) * (-1 if id(link.target) in group else 1)
                for each in moved
                for link in (*each.before, *each.after)
                if not (id(link.source) in group and id(link.target) in group)
            ]
            straight = sum(abs(kink) < STRAIGHT for kink in kinks)
            for by in (kink for kink in kinks if STRAIGHT <= abs(kink) < KINK):
                if sum(abs(kink - by) < STRAIGHT for kink in kinks) > straight and _has_room(
                    moved, by, layers
                ):
                    for each in moved:
                        each.y += by
                    break


def _climb(link: Link) -> float:
    return link.target.y + link.into.y - link.source.y - link.out.y


def _has_room(moved: list[Vertex], by: float, layers: list[list[Vertex]]) -> bool:
    for vertex in moved:
        layer = layers[vertex.layer]
        if by < 0 and vertex.order:
            upper = layer[vertex.order - 1]
            if vertex.y + by - upper.y < _distance(upper, vertex):
                return False
        if by > 0 and vertex.order + 1 < len(layer):
            lower = layer[vertex.order + 1]
            if lower.y - vertex.y - by < _distance(vertex, lower):
                return False
    return True
