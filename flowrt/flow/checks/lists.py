"""Lists and joins: gathers without a scatter, counts of other lists, items that arrive twice, joins that mix up, pops without a push."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flowrt.flow.checks.findings import place_of
from flowrt.flow.checks.graph import components
from flowrt.flow.checks.wiring import emits_alone, hands_on
from flowrt.operations.declarations import Declaration
from flowrt.standard import AutoResetJoin, Correlator, Gather, PopCausality, PushCausality, Zip

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.graph import Graph, Node, Ports
    from flowrt.flow.sites import Site


DEEPEST = 8  # lists inside lists that are told apart; what is deeper counts as any depth
ANY_DEPTH = (1 << (DEEPEST + 1)) - 1
STEPS_PER_NODE = (
    50  # arbitrary: how far lists are followed before large flows of very many lists are left alone
)


class Lists:
    """Looks at what happens to scattered lists, and at what comes together again."""

    def __init__(self, graph: Graph, report: Report, reached: dict[Node, None]) -> None:
        self.graph = graph
        self.report = report
        self.reached = reached
        self._steps = STEPS_PER_NODE * len(graph.nodes) + 10_000

    def check(self) -> None:
        """Report what is not as it should be."""
        declarations = {id(place.declaration): place.declaration for place in self.graph.places}
        if any(each.bracket for each in declarations.values()):
            self._gathers_without_scatter()
            self._counts()
        if any(isinstance(each.operation, PopCausality) for each in declarations.values()):
            self._pops_without_push()
        if any(_pairs(each) for each in declarations.values()):
            self._mixing_joins()

    # -- how deep in lists or causalities something may be

    def _depths(self, change: Callable[[Declaration, str, str], int | None]) -> dict[Node, int]:
        """Return for each port the depths that messages may have there, as bits.

        Args:
            change: of an operation, an in-port and an out-port: by how much what leaves is deeper; None for any number.
        """
        depths: dict[Node, int] = {}
        for node in self.reached:
            active = node.place is not None and not node.entering and emits_alone(node.place.declaration)
            if node.is_input or active:
                depths[node] = 1
        lost = [node for node in self.reached if not self._explained(node)]
        depths.update(dict.fromkeys(lost, ANY_DEPTH))
        pending = list(depths)
        while pending:
            node = pending.pop()
            mask = depths[node]
            for after, deeper in self._after(node, change):
                more = _shifted(mask, deeper) | depths.get(after, 0)
                if more != depths.get(after, 0):
                    depths[after] = more
                    pending.append(after)
        return depths

    def _after(
        self, node: Node, change: Callable[[Declaration, str, str], int | None]
    ) -> Iterable[tuple[Node, int | None]]:
        for edge in node.leaving:
            yield edge.target, 0
        for again in self.graph.again.get(node, ()):
            yield again, 0
        if node.entering and node.place is not None:
            for name, out in self.graph.places[node.place].outs.items():
                yield out, change(node.place.declaration, node.name, name)

    def _explained(self, node: Node) -> bool:
        """Say whether it is known what comes to a port."""
        if node in self.graph.lost:
            return False
        if node.place is None:
            return True
        if not self.graph.is_open(node.place.flow):
            return False
        ports = self.graph.places[node.place]
        return (
            bool(node.arriving) if node.entering else bool(ports.ins) or emits_alone(node.place.declaration)
        )

    def _gathers_without_scatter(self) -> None:
        depths = self._depths(_deeper_in_lists)
        for place, ports in self.graph.places.items():
            stream = ports.ins.get("stream")
            if (
                isinstance(place.operation, Gather)
                and stream is not None
                and "count" not in ports.ins
                and depths.get(stream) == 1
            ):
                text = f'"{place.name}" gathers what no scatter has scattered, and gets no count: every item will fail.'
                remedy = f'Lead what leaves at ".stream" of a Scatter there, or a count to "{place.port("count")}".'
                _report_place(self.report, "F401", place, ports, text, remedy)

    def _pops_without_push(self) -> None:
        depths = self._depths(_deeper_in_causalities)
        for place, ports in self.graph.places.items():
            if not isinstance(place.operation, PopCausality) or not ports.ins:
                continue
            if all(depths.get(node) == 1 for node in ports.ins.values()):
                text = f'"{place.name}" closes a causality, and nothing that comes there is in one: every message will fail.'
                _report_place(
                    self.report, "F405", place, ports, text, "Put a PushCausality on the way there."
                )

    # -- counts

    def _counts(self) -> None:
        matched: dict[Site, list[Site]] = {}
        for place, ports in self.graph.places.items():
            if place.declaration.bracket > 0 and "stream" in ports.outs:
                for gather in self._matched(ports.outs["stream"]):
                    matched.setdefault(gather, []).append(place)
        for gather, scatters in matched.items():
            counting = self._counting(gather)
            if self._steps <= 0:  # not all is known
                return
            if counting is None:
                continue
            ports = self.graph.places[gather]
            foreign = [scatter for scatter in counting if scatter not in scatters]
            if foreign and not any(scatter in scatters for scatter in counting):
                text = f'"{gather.name}" gets the items of "{scatters[0].name}" and the count of "{foreign[0].name}": its lists are not counted.'
                remedy = f'Lead "{scatters[0].port("count")}" to "{gather.port("count")}".'
                _report_port(self.report, "F402", gather, ports, "count", text, remedy)
            for scatter in scatters:
                if scatter in counting and self._copies(scatter, gather) > 1:
                    text = (
                        f'every item of "{scatter.name}" comes to "{gather.port("stream")}" more than once, but its count counts it once: '
                        "the list is full before all are there."
                    )
                    remedy = "Let each item come by one way, bring the ways together in a join first, or give each a gather of its own."
                    _report_port(self.report, "F403", gather, ports, "stream", text, remedy)

    def _matched(self, start: Node) -> list[Site]:
        """Return the gathers that a scatter's stream leads to with no other list open; see `brackets`."""
        found: dict[Site, None] = {}
        seen = {(start, 0)}
        pending = [(start, 0)]
        while pending and self._steps > 0:
            self._steps -= 1
            node, depth = pending.pop()
            for after, deeper in self._after(node, _deeper_in_lists):
                place = after.place
                if place is not None and after.entering and place.declaration.bracket < 0:
                    if after.name != "stream":
                        continue
                    if depth == 0:
                        found[place] = None
                        continue
                state = (after, depth + (deeper or 0))
                if state not in seen and 0 <= state[1] <= DEEPEST:
                    seen.add(state)
                    pending.append(state)
        return list(found)

    def _counting(self, gather: Site) -> list[Site] | None:
        """Return the scatters whose count comes to a gather as it is; None if it gets another count, or none."""
        node = self.graph.places[gather].ins.get("count")
        if node is None:
            return None
        found: dict[Site, None] = {}
        seen = {node}
        pending = [node]
        while pending:
            for edge in pending.pop().arriving:
                before = edge.source
                place = before.place
                if place is not None:
                    if place.declaration.bracket <= 0 or before.name != "count":
                        return None
                    found[place] = None
                elif before.is_input or not before.arriving:
                    return None
                elif before not in seen:
                    seen.add(before)
                    pending.append(before)
        return list(found)

    def _copies(self, scatter: Site, gather: Site) -> int:
        """Count how often an item certainly comes to a gather, up to twice, on the ways through operations that hand on everything."""
        visits: dict[Node, int] = {}
        wanted = self.graph.places[gather].ins["stream"]
        pending = [self.graph.places[scatter].outs["stream"]]
        while pending and self._steps > 0:
            self._steps -= 1
            node = pending.pop()
            visits[node] = visits.get(node, 0) + 1
            if node is wanted or visits[node] > 2:
                continue
            place = node.place
            if node.entering and place is not None:
                out = self.graph.places[place].outs.get("")
                if out is not None and _keeps_number(place.declaration):
                    pending.append(out)
            else:
                pending += [edge.target for edge in node.leaving]
        return visits.get(wanted, 0)

    # -- joins

    def _mixing_joins(self) -> None:
        """Report joins that pair by order what came on several ways from one place, of which some do not keep the order."""
        graph = self.graph
        bits: dict[Node, int] = {}  # of places that mix up, of forks, and of correlators
        names: list[Site] = []
        mixing = forking = correlating = 0
        for part, _ in components(graph.nodes.values(), graph.successors):
            own = 0
            for node in part:
                for edge in node.arriving:
                    own |= bits.get(edge.source, 0)
                place = node.place
                if place is not None and not node.entering:
                    for before in graph.places[place].ins.values():
                        own |= bits.get(before, 0)
            for node in part:
                place = node.place
                mixes = place is not None and not node.entering and _mixes_up(place.declaration)
                corrects = place is not None and not node.entering and isinstance(place.operation, Correlator)
                forks = len(node.leaving) > 1 or (
                    place is not None and node.entering and len(graph.places[place].outs) > 1
                )
                if mixes or corrects or forks:
                    bit = 1 << len(names)
                    names.append(place)  # type: ignore[arg-type]
                    own |= bit
                    mixing |= bit if mixes else 0
                    correlating |= bit if corrects else 0
                    forking |= bit if forks else 0
            bits.update(dict.fromkeys(part, own))
        for place, ports in graph.places.items():
            if _pairs(place.declaration) and len(ports.ins) > 1:
                ways = [bits[node] for node in ports.ins.values()]
                common = ways[0]
                for way in ways:
                    common &= way
                some = 0
                for way in ways:
                    some |= way
                guilty = some & ~common & mixing
                if guilty and common & forking and not some & correlating:
                    self._report_mixing(place, ports, names[(guilty & -guilty).bit_length() - 1])

    def _report_mixing(self, place: Site, ports: Ports, guilty: Site) -> None:
        text = (
            f'"{place.name}" pairs by order, but "{guilty.name}" ({guilty.declaration.mode}) on one way there does not keep it: '
            "what belongs together may be parted."
        )
        own = "" if isinstance(place.operation, Zip) else f'Give "{place.name}" by="run", or '
        remedy = f'{own}make "{guilty.name}" ordered=True.'
        _report_place(
            self.report, "F404", place, ports, text, remedy[0].upper() + remedy[1:], guilty.declaration
        )


def _deeper_in_lists(declaration: Declaration, entering: str, leaving: str) -> int | None:
    bracket = declaration.bracket
    if bracket > 0:
        return 1 if leaving == "stream" else 0
    if bracket < 0:
        return -1 if entering == "stream" else 0
    return 0 if declaration.operation is None or len(declaration.in_ports or ()) < 2 else None


def _deeper_in_causalities(declaration: Declaration, _entering: str, leaving: str) -> int | None:
    operation = declaration.operation
    if isinstance(operation, PushCausality):
        return 1 if not leaving else 0
    if isinstance(operation, PopCausality):
        return -1
    return 0 if operation is None else None


def _shifted(mask: int, deeper: int | None) -> int:
    """Return the depths that are so much deeper. The deepest stands for all that are deeper still; none is above 0."""
    if deeper is None:  # as they are, or nearer the top
        return (1 << mask.bit_length()) - 1
    if deeper > 0:
        return ((mask << 1) & ANY_DEPTH) | (mask & (1 << DEEPEST))
    if deeper < 0:
        return (mask >> 1) | (mask & 1) | (mask & (1 << DEEPEST))
    return mask


def _keeps_number(declaration: Declaration) -> bool:
    return hands_on(declaration) or isinstance(declaration.operation, PushCausality | PopCausality)


def _mixes_up(declaration: Declaration) -> bool:
    mode = declaration.mode
    return mode.kind == "parallel" and mode.workers > 1 and not mode.ordered and mode.by_key is None


def _pairs(declaration: Declaration) -> bool:
    """Say whether an operation pairs messages by the order in which they come."""
    operation = declaration.operation
    return isinstance(operation, AutoResetJoin | Zip) and operation.by != "run"


# -- reporting


def _report_place(
    report: Report, code: str, place: Site, ports: Ports, text: str, remedy: str, *more: Any
) -> None:
    about = [
        place.declaration,
        *more,
        *(edge.stream for node in ports.ins.values() for edge in node.arriving),
    ]
    key = (id(place.flow.definition), id(place.declaration), place.instance.casefold())
    report.add(code, key, text, place.declaration.declared_at, remedy, about)


def _report_port(
    report: Report, code: str, place: Site, ports: Ports, name: str, text: str, remedy: str
) -> None:
    """Report at the last stream that leads to a port."""
    streams = sorted(
        (edge.stream for edge in ports.ins[name].arriving), key=lambda each: place_of(each.declared_at)
    )
    key = (id(place.flow.definition), id(place.declaration), place.instance.casefold())
    report.add(code, key, text, streams[-1].declared_at, remedy, [*streams, place.declaration])
