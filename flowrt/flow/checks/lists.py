"""Lists and joins: gathers without a scatter, counts of other lists, items that arrive twice, joins that mix up, pops without a push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from flowrt.flow.checks.findings import by_place
from flowrt.flow.checks.reach import components, spread
from flowrt.flow.checks.wiring import emits_alone, hands_on
from flowrt.operations.declarations import Declaration
from flowrt.standard import AutoResetJoin, Correlator, Gather, PopCausality, PushCausality, Zip

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.reach import Pin, Ports, Reach
    from flowrt.flow.sites import Site


Change = Callable[[Declaration, str, str], int | None]
"""Of an operation, an in-port and an out-port: by how much what leaves is deeper; None for any number."""
LISTS_DEEP = 8  # lists inside lists that are told apart; what is deeper counts as any depth
ANY_DEPTH = (1 << (LISTS_DEEP + 1)) - 1
STEPS_PER_PIN = 50  # arbitrary: how far lists are followed before large flows of very many are left alone


class Lists:
    """Looks at what happens to scattered lists, and at what comes together again."""

    def __init__(self, reach: Reach, report: Report, reached: dict[Pin, None]) -> None:
        self.reach = reach
        self.report = report
        self.reached = reached
        self._steps = STEPS_PER_PIN * len(reach.pins) + 10_000

    def check(self) -> None:
        declarations = {id(place.declaration): place.declaration for place in self.reach.places}
        if any(each.bracket for each in declarations.values()):
            self._gathers_without_scatter()
            self._counts()
        if any(isinstance(each.operation, PopCausality) for each in declarations.values()):
            self._pops_without_push()
        if any(_pairs(each) for each in declarations.values()):
            self._mixing_joins()

    # -- how deep in lists or causalities something may be

    def _depths(self, change: Change) -> dict[Pin, int]:
        """Return for each port the depths that messages may have there, as bits."""
        depths: dict[Pin, int] = {}
        for pin in self.reached:
            if not self._explained(pin):
                depths[pin] = ANY_DEPTH
            elif pin.is_input or (pin.emitter is not None and emits_alone(pin.emitter.declaration)):
                depths[pin] = 1
        pending = list(depths)
        while pending:
            pin = pending.pop()
            for after, deeper in self._after(pin, change):
                known = depths.get(after, 0)
                depths[after] = _shifted(depths[pin], deeper) | known
                if depths[after] != known:
                    pending.append(after)
        return depths

    def _after(self, pin: Pin, change: Change) -> Iterator[tuple[Pin, int | None]]:
        for after in (*pin.targets, *self.reach.again.get(pin, ())):
            yield after, 0
        if pin.taker is not None:
            for name, out in self.reach.places[pin.taker].outs.items():
                yield out, change(pin.taker.declaration, pin.name, name)

    def _explained(self, pin: Pin) -> bool:
        """Say whether it is known what comes to a port."""
        if pin in self.reach.lost:
            return False
        if pin.place is None:
            return True
        if pin.place.flow not in self.reach.flows:
            return False
        if pin.side == "in":
            return bool(pin.arriving)
        return bool(self.reach.places[pin.place].ins) or emits_alone(pin.place.declaration)

    def _gathers_without_scatter(self) -> None:
        depths = self._depths(_deeper_in_lists)
        for place, ports in self.reach.places.items():
            stream = ports.ins.get("stream")
            if not isinstance(place.operation, Gather) or stream is None or "count" in ports.ins:
                continue
            if depths.get(stream) == 1:
                text = f'"{place.name}" gathers what no scatter has scattered, and gets no count: every item will fail.'
                remedy = f'Lead what leaves at ".stream" of a Scatter there, or a count to "{place.port("count")}".'
                self.report.add_at("F401", place, "", text, remedy, ports.arriving())

    def _pops_without_push(self) -> None:
        depths = self._depths(_deeper_in_causalities)
        for place, ports in self.reach.places.items():
            if not isinstance(place.operation, PopCausality) or not ports.ins:
                continue
            if all(depths.get(pin) == 1 for pin in ports.ins.values()):
                text = f'"{place.name}" closes a causality, and nothing that comes there is in one: every message will fail.'
                remedy = "Put a PushCausality on the way there."
                self.report.add_at("F405", place, "", text, remedy, ports.arriving())

    # -- counts

    def _counts(self) -> None:
        matched: dict[Site, list[Site]] = {}
        for place, ports in self.reach.places.items():
            if place.declaration.bracket > 0 and "stream" in ports.outs:
                for gather in self._matched(ports.outs["stream"]):
                    matched.setdefault(gather, []).append(place)
        for gather, scatters in matched.items():
            counting = self._counting(gather)
            if self._steps <= 0:  # not all is known
                return
            if counting is None:
                continue
            if counting and not any(scatter in scatters for scatter in counting):
                text = f'"{gather.name}" gets the items of "{scatters[0].name}" and the count of "{counting[0].name}": its lists are not counted.'
                remedy = f'Lead "{scatters[0].port("count")}" to "{gather.port("count")}".'
                self._report_last("F402", gather, "count", text, remedy)
            for scatter in scatters:
                if scatter in counting and self._copies(scatter, gather) > 1:
                    text = (
                        f'every item of "{scatter.name}" comes to "{gather.port("stream")}" more than once, but its count counts it once: '
                        "the list is full before all are there."
                    )
                    remedy = "Let each item come by one way, bring the ways together in a join first, or give each a gather of its own."
                    self._report_last("F403", gather, "stream", text, remedy)

    def _report_last(self, code: str, place: Site, port: str, text: str, remedy: str) -> None:
        """Report at the last stream that leads to a port."""
        arriving = self.reach.places[place].ins[port].arriving
        streams = sorted((hop.stream for hop in arriving), key=by_place)
        self.report.add_at(code, place, port, text, remedy, streams, streams[-1].declared_at)

    def _matched(self, start: Pin) -> list[Site]:
        """Return the gathers that a scatter's stream leads to with no other list open; see `brackets`."""
        found: dict[Site, None] = {}
        seen = {(start, 0)}
        pending = [(start, 0)]
        while pending and self._steps > 0:
            self._steps -= 1
            pin, depth = pending.pop()
            for after, deeper in self._after(pin, _deeper_in_lists):
                place = after.taker
                if place is not None and place.declaration.bracket < 0:
                    if after.name != "stream":
                        continue
                    if depth == 0:
                        found[place] = None
                        continue
                state = (after, depth + (deeper or 0))
                if state not in seen and 0 <= state[1] <= LISTS_DEEP:
                    seen.add(state)
                    pending.append(state)
        return list(found)

    def _counting(self, gather: Site) -> list[Site] | None:
        """Return the scatters whose count comes to a gather as it is; None if it gets another count, or none."""
        pin = self.reach.places[gather].ins.get("count")
        if pin is None:
            return None
        found: dict[Site, None] = {}
        for before in spread([pin], lambda each: each.sources):
            if before.emitter is not None:
                if before.emitter.declaration.bracket <= 0 or before.name != "count":
                    return None
                found[before.emitter] = None
            elif before is not pin and (before.is_input or not before.arriving):
                return None
        return list(found)

    def _copies(self, scatter: Site, gather: Site) -> int:
        """Count how often an item certainly comes to a gather, up to twice, on the ways through operations that hand on everything."""
        visits: dict[Pin, int] = {}
        wanted = self.reach.places[gather].ins["stream"]
        pending = [self.reach.places[scatter].outs["stream"]]
        while pending and self._steps > 0:
            self._steps -= 1
            pin = pending.pop()
            visits[pin] = visits.get(pin, 0) + 1
            if pin is not wanted and visits[pin] <= 2:
                pending += self.reach.passed_on(pin, _keeps_number)
        return visits.get(wanted, 0)

    # -- joins

    def _mixing_joins(self) -> None:
        """Report joins that pair by order what came on several ways from one place, of which some do not keep the order."""
        places = self.reach.places
        bits: dict[Pin, int] = {}  # of places that mix up, of forks, and of correlators
        names: list[Site | None] = []
        mixing = forking = correlating = 0
        for part, _ in components(self.reach.pins.values(), self.reach.successors):
            own = 0
            for pin in part:
                place = pin.emitter
                for before in places[place].ins.values() if place is not None else pin.sources:
                    own |= bits.get(before, 0)
            for pin in part:
                place = pin.emitter
                mixes = place is not None and _mixes_up(place.declaration)
                corrects = place is not None and isinstance(place.operation, Correlator)
                forks = len(self.reach.successors(pin)) > 1
                if mixes or corrects or forks:
                    bit = 1 << len(names)
                    names.append(place)
                    own |= bit
                    mixing |= bit if mixes else 0
                    correlating |= bit if corrects else 0
                    forking |= bit if forks else 0
            bits.update(dict.fromkeys(part, own))
        for place, ports in places.items():
            if _pairs(place.declaration) and len(ports.ins) > 1:
                ways = [bits[pin] for pin in ports.ins.values()]
                common, some = reduce(and_, ways), reduce(or_, ways)
                guilty = some & ~common & mixing
                if guilty and common & forking and not some & correlating:
                    one = names[(guilty & -guilty).bit_length() - 1]
                    assert one is not None, "only places mix up"
                    self._report_mixing(place, ports, one)

    def _report_mixing(self, place: Site, ports: Ports, guilty: Site) -> None:
        text = (
            f'"{place.name}" pairs by order, but "{guilty.name}" ({guilty.declaration.mode}) on one way there does not keep it: '
            "what belongs together may be parted."
        )
        own = "" if isinstance(place.operation, Zip) else f'Give "{place.name}" by="run", or '
        remedy = f'{own}make "{guilty.name}" ordered=True.'
        about = [*ports.arriving(), guilty.declaration]
        self.report.add_at("F404", place, "", text, remedy[0].upper() + remedy[1:], about)


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
        return ((mask << 1) & ANY_DEPTH) | (mask & (1 << LISTS_DEEP))
    if deeper < 0:
        return (mask >> 1) | (mask & 1) | (mask & (1 << LISTS_DEEP))
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
