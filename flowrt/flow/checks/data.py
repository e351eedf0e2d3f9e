"""What travels on the streams, as far as annotations tell: types that do not fit, mutable data for several."""

from __future__ import annotations

import collections
import collections.abc
import types
import typing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from flowrt.errors import OperationError
from flowrt.flow.checks.fitting import TEXTS, class_of, is_any, items_of, may_fit, members, shown, union
from flowrt.flow.checks.graph import components
from flowrt.flow.checks.hints import hints_of, result_of
from flowrt.flow.checks.wiring import needed_ports
from flowrt.operations.declarations import Declaration
from flowrt.operations.policies import ERROR_PORT
from flowrt.ports import Stream
from flowrt.standard import (
    AutoResetJoin,
    Batch,
    Correlator,
    Debounce,
    Distinct,
    Envelope,
    Filter,
    Gather,
    Gathered,
    Latest,
    ManualResetJoin,
    Metronome,
    PopCausality,
    PushCausality,
    Reduce,
    Scan,
    Scatter,
    Switch,
    Ticker,
    Zip,
)

if TYPE_CHECKING:
    from flowrt.flow.checks.findings import Report
    from flowrt.flow.checks.graph import Edge, Graph, Node
    from flowrt.flow.checks.hints import Hints
    from flowrt.flow.sites import Site


PASSES = 10  # through a circle, until it is known what goes round in it; arbitrary
SOURCES_LIMIT = 100  # ports that a list is followed back over, to know all that is in it; arbitrary
KINDS_LIMIT = 8  # types that one port is followed with; of more, nothing is known
PASSING = (Debounce, Distinct, Filter, PopCausality, PushCausality, Switch)
MUTABLE = (
    list,
    dict,
    set,
    bytearray,
    collections.deque,
    collections.defaultdict,
    collections.OrderedDict,
    collections.Counter,
)
MADE = {
    (Correlator, "decoded"): Envelope,
    (Metronome, ""): int,
    (Scatter, "count"): int,
    (Ticker, "now"): datetime,
}
READING = (
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Container,
    collections.abc.Sequence,
    collections.abc.Mapping,
    collections.abc.Set,
    collections.abc.Sized,
    collections.abc.Reversible,
    collections.abc.Hashable,
)


@frozen
class Origin:
    """Where something of a type comes from: the operation that emits it, and the stream by which to name its way."""

    place: Site
    node: Node
    stream: Stream | None = None
    depth: int = 0


Kinds = dict[Any, Origin]


class Data:
    """Follows the types of what operations emit to those who take it."""

    def __init__(self, graph: Graph, report: Report) -> None:
        self.graph = graph
        self.report = report
        self._hints: dict[int, Hints] = {}
        self._kinds: dict[Node, Kinds] = {}

    def check(self) -> None:
        """Report what is not as it should be."""
        for part, circle in components(self.graph.nodes.values(), self.graph.successors):
            for _ in range(PASSES if circle else 1):
                before = sum(len(self._kinds.get(node, ())) for node in part)
                for node in part:
                    self._kinds[node] = self._kinds_at(node, circle=circle)
                if not circle or before == sum(len(self._kinds[node]) for node in part):
                    break
            else:
                self._kinds.update((node, {}) for node in part)
        for node in self.graph.nodes.values():
            if node.entering and node.place is not None:
                self._types_at(node, node.place)
            elif node.place is not None:
                self._mutable(node, node.place)

    def hints(self, declaration: Declaration) -> Hints:
        """Return what the annotations of an operation say, looked at once."""
        found = self._hints.get(id(declaration))
        if found is None:
            found = self._hints[id(declaration)] = hints_of(declaration)
        return found

    # -- following

    def _kinds_at(self, node: Node, *, circle: bool) -> Kinds:
        if node.place is not None and not node.entering:
            return self._emitted(node, node.place, circle=circle)
        kinds: Kinds = {}
        for edge in node.arriving:
            for kind, origin in self._kinds.get(edge.source, {}).items():
                if kind not in kinds:
                    kinds[kind] = _along(edge, origin)
                if len(kinds) > KINDS_LIMIT:
                    return {}
        return kinds

    def _emitted(self, node: Node, place: Site, *, circle: bool) -> Kinds:
        declaration, operation = place.declaration, place.declaration.operation
        here = Origin(place, node)
        if node.name == ERROR_PORT and declaration.policies.on_error == "route":
            return {OperationError: here}
        if operation is None:
            return _known(self.hints(declaration).emitted.get(node.name, Any), here)
        if isinstance(operation, PASSING):
            if node.name == "exception" and isinstance(operation, PushCausality):
                return {OperationError: here}
            return dict(self._entering(place))
        if isinstance(operation, Scan | Reduce):
            return _known(result_of(operation.f), here)
        if circle and type(operation) is not Scatter:
            return {}
        return _known(self._made(place, operation, node.name), here)

    def _made(self, place: Site, operation: Any, port: str) -> Any:
        """Return the type of what an operator makes of what it takes."""
        ins = self.graph.places[place].ins
        fixed = MADE.get((type(operation), port))
        if fixed is not None:
            return fixed
        if type(operation) is Scatter:
            return items_of(self._whole(place))
        if type(operation) is Gather:
            if operation.on_missing == "collect":
                return Gathered
            stream = ins.get("stream")
            return types.GenericAlias(list, (self._all(stream),))
        if type(operation) is Batch:
            return types.GenericAlias(list, (self._whole(place),))
        if type(operation) in (AutoResetJoin, Latest, ManualResetJoin, Zip):
            parts = tuple(self._all(ins.get(each.casefold())) for each in needed_ports(place.declaration))
            return types.GenericAlias(tuple, parts)
        return Any

    def _entering(self, place: Site) -> Kinds:
        kinds: Kinds = {}
        for node in self.graph.places[place].ins.values():
            for kind, origin in self._kinds.get(node, {}).items():
                kinds.setdefault(kind, origin)
        return kinds if len(kinds) <= KINDS_LIMIT else {}

    def _whole(self, place: Site) -> Any:
        return union([self._all(node) for node in self.graph.places[place].ins.values()])

    def _all(self, node: Node | None) -> Any:
        """Return the type of all that comes to a port; `Any` if something comes of which nothing is known."""
        kinds = self._kinds.get(node, {}) if node is not None else {}
        if node is None or not kinds or not self._whole_known(node):
            return Any
        return union(list(kinds))

    def _whole_known(self, node: Node) -> bool:
        """Say whether the types of all that comes to a port are known."""
        graph = self.graph
        seen = {node}
        pending = [node]
        while pending:
            current = pending.pop()
            place = current.place
            if not self._kinds.get(current) or current in graph.lost or len(seen) > SOURCES_LIMIT:
                return False
            if place is None or current.entering:
                before = [edge.source for edge in current.arriving]
            elif isinstance(place.operation, PASSING):
                before = list(graph.places[place].ins.values())
            else:
                continue
            pending += [each for each in before if each not in seen]
            seen.update(before)
        return True

    # -- types

    def _types_at(self, node: Node, place: Site) -> None:
        declaration = place.declaration
        if type(declaration.operation) is Scatter:
            self._scattered(node, place)
            return
        wanted = self.hints(declaration).taken(node.name) if declaration.operation is None else Any
        if type(declaration.operation) is Gather and node.name == "count":
            wanted = int
        if type(declaration.operation) is Correlator and node.name == "encode":
            wanted = Envelope
        if is_any(wanted):
            return
        for kind, origin in self._kinds.get(node, {}).items():
            if not may_fit(kind, wanted):
                self._misfit(node, kind, origin, f"takes {shown(wanted)}")

    def _scattered(self, node: Node, place: Site) -> None:
        for kind, origin in self._kinds.get(node, {}).items():
            kinds = [class_of(member) for member in members(kind)]
            lists = [
                each is None
                or (
                    may_fit(each, collections.abc.Iterable)
                    and not issubclass(each, (*TEXTS, collections.abc.Mapping))
                )
                for each in kinds
            ]
            if not any(lists) and not is_any(kind):
                self._misfit(node, kind, origin, "takes a list or another iterable, no text or mapping")

    def _misfit(self, node: Node, kind: Any, origin: Origin, takes: str) -> None:
        stream = origin.stream
        assert stream is not None, "it has come by a stream"
        assert node.place is not None, "only operations take certain types"
        text = f'"{origin.node.port}" emits {shown(kind)}, but "{node.port}" {takes}.'
        remedy = "Connect what fits, put an operation between that turns the one into the other, or correct the annotation."
        about = [
            stream,
            *(edge.stream for edge in node.arriving),
            origin.place.declaration,
            node.place.declaration,
        ]
        key = (
            stream.declared_at,
            id(origin.place.declaration),
            id(node.place.declaration),
            node.name,
            shown(kind),
        )
        self.report.add("F301", key, text, stream.declared_at, remedy, about)

    # -- mutable data

    def _mutable(self, node: Node, place: Site) -> None:
        declaration = place.declaration
        if declaration.operation is not None or len(node.leaving) < 1:
            return
        kind = next(
            (
                each
                for each in members(self.hints(declaration).emitted.get(node.name, Any))
                if _is_mutable(each)
            ),
            None,
        )
        if kind is None:
            return
        ends = _ends(node)
        changing = [
            each.place
            for each in ends
            if each.place is not None and self._may_change(each, each.place.declaration)
        ]
        if len(ends) < 2 or not changing:
            return
        streams = [edge.stream for edge in node.leaving]
        text = f'{len(ends)} targets get one and the same {shown(kind)} that leaves at "{node.port}", and "{changing[0].name}" may change it.'
        remedy = "Emit what cannot be changed (a tuple, a frozen class), or annotate those who only read it with Sequence, Mapping or Iterable."
        key = (id(place.flow.definition), id(declaration), place.instance.casefold(), node.name)
        about = [declaration, *streams]
        self.report.add("F302", key, text, declaration.declared_at, remedy, about)

    def _may_change(self, node: Node, declaration: Declaration) -> bool:
        if declaration.operation is not None:
            return not type(declaration.operation).__module__.startswith("flowrt.")
        for member in members(self.hints(declaration).taken(node.name)):
            kind = class_of(member)
            if member is Any or kind not in (*READING, tuple, frozenset, str, bytes):
                return _takes_data(declaration)
        return False


def _takes_data(declaration: Declaration) -> bool:
    if declaration.function is None:
        return True
    from flowrt.operations.bodies import shape_of  # noqa: PLC0415

    return shape_of(declaration.kind, declaration.name, declaration.function).takes_data


def _is_mutable(kind: Any) -> bool:
    found = class_of(kind)
    if found is None:
        return False
    if found in MUTABLE:
        return True
    parameters = vars(found).get("__dataclass_params__")
    return parameters is not None and not parameters.frozen


def _known(kind: Any, origin: Origin) -> Kinds:
    return {} if is_any(kind) or kind in (typing.NoReturn, typing.Never) else {kind: origin}


def _along(edge: Edge, origin: Origin) -> Origin:
    """Follow a stream. Of a way through several flows the last stream of the outermost one is told."""
    depth = edge.source.flow.depth
    if origin.stream is None or depth <= origin.depth:
        return Origin(origin.place, origin.node, edge.stream, depth)
    return origin


def _ends(node: Node) -> list[Node]:
    """Return the in-ports and results that a port leads to, through the borders of flows."""
    found: dict[Node, None] = {}
    seen = {node}
    pending = [node]
    while pending:
        for edge in pending.pop().leaving:
            after = edge.target
            if after.place is not None or after.result:
                found[after] = None
            elif after not in seen:
                seen.add(after)
                pending.append(after)
    return list(found)
