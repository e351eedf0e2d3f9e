"""What travels on the streams, as far as annotations tell: types that do not fit, mutable data for several."""

from __future__ import annotations

import functools
import types
import typing
from collections import Counter, OrderedDict, abc, defaultdict, deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from flowrt import standard
from flowrt.errors import OperationError
from flowrt.flow.checks.fitting import TEXTS, class_of, is_any, items_of, may_fit, members, type_text, union
from flowrt.flow.checks.hints import hints_of, result_of
from flowrt.flow.checks.reach import components, spread
from flowrt.flow.checks.wiring import needed_ports
from flowrt.operations.policies import ERROR_PORT
from flowrt.operations.signatures import shape_of
from flowrt.ports import Stream, folded

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.reach import Hop, Pin, Reach
    from flowrt.flow.sites import Site


PASSES = 10  # through a circle, until it is known what goes round in it; arbitrary
SOURCES_LIMIT = 100  # ports that a list is followed back over, to know all that is in it; arbitrary
KINDS_LIMIT = 8  # types that one port is followed with; of more, nothing is known
PASSING = (
    standard.Debounce,
    standard.Distinct,
    standard.Filter,
    standard.PopCausality,
    standard.PushCausality,
    standard.Switch,
)
JOINS = (standard.AutoResetJoin, standard.Latest, standard.ManualResetJoin, standard.Zip)
MADE: dict[tuple[type, str], type] = {
    (standard.Correlator, "decoded"): standard.Envelope,
    (standard.Metronome, ""): int,
    (standard.Scatter, "count"): int,
    (standard.Ticker, "now"): datetime,
}
TAKEN: dict[tuple[type, str], type] = {
    (standard.Gather, "count"): int,
    (standard.Correlator, "encode"): standard.Envelope,
}
MUTABLE = (list, dict, set, bytearray, deque, defaultdict, OrderedDict, Counter)
READING = (abc.Iterable, abc.Collection, abc.Container, abc.Sized, abc.Reversible, abc.Hashable)
UNCHANGING = (abc.Sequence, abc.Mapping, abc.Set, tuple, frozenset, str, bytes)


@frozen
class Origin:
    """Where something of a type comes from: the operation that emits it, and the stream by which to name its way."""

    place: Site
    pin: Pin
    stream: Stream | None = None
    depth: int = 0


Kinds = dict[Any, Origin]


class Data:
    """Follows the types of what operations emit to those who take it."""

    def __init__(self, reach: Reach, report: Report) -> None:
        self.reach = reach
        self.report = report
        self._hints = functools.cache(hints_of)
        self._kinds: dict[Pin, Kinds] = {}

    def check(self) -> None:
        for part, circle in components(self.reach.pins.values(), self.reach.successors):
            for _ in range(PASSES if circle else 1):
                before = sum(len(self._kinds.get(pin, ())) for pin in part)
                for pin in part:
                    self._kinds[pin] = self._kinds_at(pin, circle=circle)
                if not circle or before == sum(len(self._kinds[pin]) for pin in part):
                    break
            else:
                self._kinds.update((pin, {}) for pin in part)
        for pin in self.reach.pins.values():
            if pin.taker is not None:
                self._types_at(pin, pin.taker)
            elif pin.emitter is not None:
                self._mutable(pin, pin.emitter)

    # -- following

    def _kinds_at(self, pin: Pin, *, circle: bool) -> Kinds:
        if pin.emitter is not None:
            return self._emitted(pin, pin.emitter, circle=circle)
        found = ((hop, self._kinds.get(hop.source, {})) for hop in pin.arriving)
        return _merged({kind: _along(hop, origin) for kind, origin in each.items()} for hop, each in found)

    def _emitted(self, pin: Pin, place: Site, *, circle: bool) -> Kinds:
        declaration, operation = place.declaration, place.declaration.operation
        kind: Any = Any
        if pin.name == ERROR_PORT and declaration.policies.on_error == "route":
            kind = OperationError
        elif operation is None:
            kind = self._hints(declaration).emitted.get(pin.name, Any)
        elif isinstance(operation, standard.PushCausality) and pin.name == "exception":
            kind = OperationError
        elif isinstance(operation, PASSING):
            return _merged(self._kinds.get(each, {}) for each in self.reach.places[place].ins.values())
        elif isinstance(operation, standard.Scan | standard.Reduce):
            kind = result_of(operation.f)
        elif not circle or type(operation) is standard.Scatter:
            kind = self._made(place, operation, pin.name)
        return {} if is_any(kind) or kind in (typing.NoReturn, typing.Never) else {kind: Origin(place, pin)}

    def _made(self, place: Site, operation: Any, port: str) -> Any:
        """Return the type of what an operator makes of what it takes."""
        ins = self.reach.places[place].ins
        fixed = MADE.get((type(operation), port))
        if fixed is not None:
            return fixed
        if type(operation) is standard.Scatter:
            return items_of(self._whole(place))
        if type(operation) is standard.Gather and operation.on_missing == "collect":
            return standard.Gathered
        if type(operation) is standard.Gather:
            return types.GenericAlias(list, (self._all(ins.get("stream")),))
        if type(operation) is standard.Batch:
            return types.GenericAlias(list, (self._whole(place),))
        if type(operation) in JOINS:
            parts = tuple(self._all(ins.get(folded(each))) for each in needed_ports(place.declaration))
            return types.GenericAlias(tuple, parts)
        return Any

    def _whole(self, place: Site) -> Any:
        return union([self._all(pin) for pin in self.reach.places[place].ins.values()])

    def _all(self, pin: Pin | None) -> Any:
        """Return the type of all that comes to a port; `Any` if something comes of which nothing is known."""
        return union(list(self._kinds[pin])) if pin is not None and self._is_all_known(pin) else Any

    def _is_all_known(self, pin: Pin) -> bool:
        """Say whether the types of all that comes to a port are known."""
        for number, before in enumerate(spread([pin], self._before)):
            if not self._kinds.get(before) or before in self.reach.lost or number == SOURCES_LIMIT:
                return False
        return True

    def _before(self, pin: Pin) -> list[Pin]:
        """Return the ports from which something comes to one as it is."""
        if pin.emitter is None:
            return pin.sources
        passes = isinstance(pin.emitter.operation, PASSING)
        return list(self.reach.places[pin.emitter].ins.values()) if passes else []

    # -- types

    def _types_at(self, pin: Pin, place: Site) -> None:
        operation = place.declaration.operation
        if type(operation) is standard.Scatter:
            takes, fits = "a list or another iterable, no text or mapping", _may_be_scattered
        else:
            wanted = TAKEN.get((type(operation), pin.name), Any)
            if operation is None:
                wanted = self._hints(place.declaration).taken(pin.name)
            if is_any(wanted):
                return
            takes, fits = type_text(wanted), functools.partial(may_fit, wanted=wanted)
        for kind, origin in self._kinds.get(pin, {}).items():
            if not fits(kind):
                self._misfit(pin, place, kind, origin, takes)

    def _misfit(self, pin: Pin, place: Site, kind: Any, origin: Origin, takes: str) -> None:
        stream, source, target = origin.stream, origin.place.declaration, place.declaration
        assert stream is not None, "it has come by a stream"
        text = f'"{origin.pin.port}" emits {type_text(kind)}, but "{pin.port}" takes {takes}.'
        remedy = "Connect what fits, put an operation between that turns the one into the other, or correct the annotation."
        if type_text(kind) in (
            f"list[{takes}]",
            f"Sequence[{takes}]",
            f"Iterable[{takes}]",
            f"tuple[{takes}, ...]",
        ):
            remedy = "Put a Scatter between, which sends the items one by one; or connect what fits, or correct the annotation."
        about = [stream, *(hop.stream for hop in pin.arriving), source, target]
        key = (stream.declared_at, id(source), id(target), pin.name, type_text(kind))
        self.report.add("F301", key, text, stream.declared_at, remedy, about)

    # -- mutable data

    def _mutable(self, pin: Pin, place: Site) -> None:
        declaration = place.declaration
        if declaration.operation is not None or not pin.leaving:
            return
        emitted = members(self._hints(declaration).emitted.get(pin.name, Any))
        kind = next(filter(_is_mutable, emitted), None)
        if kind is None:
            return
        # Where it leads to, through the borders of flows.
        found = list(spread([pin], lambda each: each.targets))
        ends = [each for each in found if each.side == "result" or each.taker is not None]
        takers = [(each.taker, each.name) for each in ends if each.taker is not None]
        changing = next((taker.name for taker, port in takers if self._may_change(taker, port)), None)
        if len(ends) < 2 or changing is None:
            return
        text = f'{len(ends)} targets get one and the same {type_text(kind)} that leaves at "{pin.port}", and "{changing}" may change it.'
        remedy = "Emit what cannot be changed (a tuple, a frozen class), or annotate those who only read it with Sequence, Mapping or Iterable."
        self.report.add_at("F302", place, pin.name, text, remedy, [hop.stream for hop in pin.leaving])

    def _may_change(self, place: Site, port: str) -> bool:
        declaration = place.declaration
        if declaration.operation is not None:
            return not type(declaration.operation).__module__.startswith("flowrt.")
        kinds = [class_of(member) for member in members(self._hints(declaration).taken(port))]
        if all(kind in (*READING, *UNCHANGING) for kind in kinds):
            return False
        function = declaration.function
        return function is None or shape_of(declaration.kind, declaration.name, function).takes_data


def _may_be_scattered(kind: Any) -> bool:
    classes = [class_of(member) for member in members(kind)]
    return is_any(kind) or any(
        each is None or (may_fit(each, abc.Iterable) and not issubclass(each, (*TEXTS, abc.Mapping)))
        for each in classes
    )


def _is_mutable(kind: Any) -> bool:
    found = class_of(kind)
    if found is None:
        return False
    if found in MUTABLE:
        return True
    parameters = vars(found).get("__dataclass_params__")
    return parameters is not None and not parameters.frozen


def _merged(found: abc.Iterable[Kinds]) -> Kinds:
    """Put kinds together, of each the first origin; none if there are too many to follow."""
    kinds: Kinds = {}
    for each in found:
        kinds |= {kind: origin for kind, origin in each.items() if kind not in kinds}
    return kinds if len(kinds) <= KINDS_LIMIT else {}


def _along(hop: Hop, origin: Origin) -> Origin:
    """Follow a stream. Of a way through several flows the last stream of the outermost one is told."""
    depth = hop.source.flow.depth
    if origin.stream is None or depth <= origin.depth:
        return Origin(origin.place, origin.pin, hop.stream, depth)
    return origin
