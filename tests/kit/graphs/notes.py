"""What the operations of a random graph do to a datum, and what they note down of it: the oracle asks nobody else.

Notes name data by their serial numbers and keep none of them, so that a test can see whether flowrt does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import attrs

from flowrt import Emit, Gathered, GatherIncompleteError, Message, OperationError, OwnAccordError
from flowrt.messages import EXCEPTION_PRIORITY

OUT = ".out"
MODULUS, REFUSED, BROKEN = 7, 5, 3  # an operation refuses what leaves this rest; a list breaks off at its end
MANY_HOPS = 10  # who has come so far is no longer multiplied, and leaves loops
MANY_DATA = 150  # likewise, when there are so many in all
REMEMBERED = 5  # of so many data, one is watched

Lineage = tuple[tuple[int | None, int | None], ...]  # number of the list (None: not known) and position in it


@attrs.define(eq=False)
class Datum:
    """One message: whose it is, what it is worth, what lists it is an item of (the innermost last)."""

    tag: int
    value: int
    serial: int
    lineage: Lineage
    priority: int
    hops: int


@attrs.frozen
class Fact:
    """What is known of a datum."""

    tag: int
    lineage: Lineage
    priority: int


class Items:
    """A list that is produced while it is scattered."""

    def __init__(self, produce: Callable[[], Iterator[Datum]], datum: Datum) -> None:
        self._produce = produce
        self.datum = datum

    def __iter__(self) -> Iterator[Datum]:
        return self._produce()


class Refused(Exception):
    """What operations raise; its argument is the number of the call."""


@attrs.frozen
class Op:
    """An operation: where it runs, and what it stands in (guards by their handlers, lists by their scatters)."""

    name: str
    kind: str
    mode: str
    guards: tuple[str, ...]
    lists: tuple[str, ...]


@attrs.frozen
class GatherFacts:
    name: str
    scatter: str
    policy: str
    depth: int  # of the lists around
    ordered: bool
    counted: bool


@attrs.define(eq=False)
class Call:
    operation: str
    number: int
    tag: int
    serial: int | None  # of its input; an error has none
    lineage: Lineage
    priority: int
    value: int
    step: str  # the call of the simulation in which its body ran last; none on the engine's thread
    emitted: list[tuple[str, int]] = attrs.Factory(list)
    ending: str = "open"  # returned, raised, fault, closed, late
    fault: str = ""  # the call of the simulation that was made to fail


@attrs.define(eq=False)
class ListMade:
    """A scattered list: what is known of it when its last item is out."""

    number: int
    scatter: str
    tag: int
    length: int | None = None  # None: it broke off, or was never produced whole


@attrs.define(eq=False)
class ListCame:
    """A list a gather emitted."""

    gather: str
    tag: int
    serials: list[int]
    number: int | None  # of the scattered list, if an item tells


@attrs.define
class Notes:
    """How operations are connected, and everything they have seen and done, in order."""

    ops: dict[str, Op] = attrs.Factory(dict)
    wires: dict[tuple[str, str], list[str]] = attrs.Factory(dict)
    passing: set[str] = attrs.Factory(set)  # what hands on what it gets: borders of flows and causalities
    gathers: dict[str, GatherFacts] = attrs.Factory(dict)
    gathered_by: dict[str, list[str]] = attrs.Factory(dict)  # by scatter

    facts: dict[int, Fact] = attrs.Factory(dict)  # by serial
    inputs: dict[int, list[int]] = attrs.Factory(dict)  # serials by tag
    calls: list[Call] = attrs.Factory(list)
    taken: dict[str, list[int]] = attrs.Factory(dict)  # serials by operation, in order of calls
    lists: dict[int, ListMade] = attrs.Factory(dict)
    came: list[ListCame] = attrs.Factory(list)
    handled: list[tuple[str, BaseException]] = attrs.Factory(list)
    told: list[BaseException] = attrs.Factory(list)
    collected: list[tuple[str, BaseException]] = attrs.Factory(list)  # gather, error
    kept: list[tuple[Call, Callable[[Datum], None]]] = attrs.Factory(list)  # continuations, and from where
    tags: dict[int, int] = attrs.Factory(dict)  # by number of a run
    watched: list[weakref.ref[Datum]] = attrs.Factory(list)
    spreads: bool = False  # sync operations without state share threads
    step: Callable[[], str] = lambda: ""
    outside: Callable[[int], None] = lambda _number: None  # do something that the outside may do as well
    # From any thread.
    _next_serial: Callable[[], int] = attrs.Factory(lambda: count().__next__)
    _next_number: Callable[[], int] = attrs.Factory(lambda: count().__next__)

    # -- what operations note

    def datum(self, tag: int, value: int, lineage: Lineage, priority: int, hops: int = 0) -> Datum:
        datum = Datum(tag, value, self._next_serial(), lineage, priority, hops)
        self.facts[datum.serial] = Fact(tag, lineage, priority)
        if datum.serial % REMEMBERED == 0:
            self.watched.append(weakref.ref(datum))
        return datum

    def begin(self, operation: str, datum: Datum) -> Call:
        self.taken.setdefault(operation, []).append(datum.serial)
        return self.open(operation, datum.tag, datum.serial, datum.lineage, datum.priority, value=datum.value)

    def open(
        self,
        operation: str,
        tag: int,
        serial: int | None,
        lineage: Lineage,
        priority: int,
        *,
        value: int = 0,
    ) -> Call:
        call = Call(operation, self._next_number(), tag, serial, lineage, priority, value, self.step())
        self.calls.append(call)
        return call

    def emit(self, call: Call, value: int, hops: int, port: str = "") -> Datum:
        datum = self.datum(call.tag, value, call.lineage, call.priority, hops + 1)
        call.emitted.append((port, datum.serial))
        return datum

    def few(self, datum: Datum) -> bool:
        """Whether there are enough of them, and no more are to be made."""
        return datum.hops > MANY_HOPS or len(self.facts) > MANY_DATA

    def emit_late(self, number: int, tag: int, value: int) -> None:
        """Call a continuation that was kept from call `number`: that is a run of its own."""
        early, keep = self.kept[number % len(self.kept)]
        call = self.open(early.operation, tag, None, (), early.priority)
        call.ending, call.step = "late", ""
        keep(self.emit(call, value, 0))

    def fail(self, operation: str, name: str, data: Any) -> None:
        """The simulation has made a call fail, in place of what its body brought last."""
        found = [call for call in self.calls if call.operation == operation and call.step == name]
        if self.ops[operation].kind == "generator" and not found and isinstance(data, Datum):
            found = [self.begin(operation, data)]  # before its body began
        if not found:
            return  # its run was over, and its body not called
        found[-1].ending, found[-1].fault = "fault", name
        if self.ops[operation].kind in {"function", "caller"}:
            found[-1].emitted.clear()

    # -- what they are connected to

    def takers(self, operation: str, port: str) -> list[str]:
        """Who gets what a port emits, borders aside; the port itself where nobody does."""
        found: list[str] = []
        for target in self.wires.get((operation, port), ()):
            found += self.takers(target, "") if target in self.passing else [target]
        return found or [UNCONNECTED]


UNCONNECTED = "nobody"


def key_of(datum: Datum) -> int:
    return datum.value % 2


def refuse_some(call: Call) -> None:
    if call.value % MODULUS == REFUSED:
        call.ending = "raised"
        raise Refused(call.number)


def a_function(notes: Notes, name: str) -> Callable[[Datum], Datum]:
    def function(datum: Datum) -> Datum:
        call = notes.begin(name, datum)
        refuse_some(call)
        call.ending = "returned"
        return notes.emit(call, datum.value + 1, datum.hops)

    return function


def a_caller(notes: Notes, name: str) -> Callable[[Datum], Datum]:
    def caller(datum: Datum) -> Datum:
        call = notes.begin(name, datum)
        if not notes.few(datum):
            notes.outside(datum.value)
        call.ending = "returned"
        return notes.emit(call, datum.value + 1, datum.hops)

    return caller


def an_action(notes: Notes, name: str) -> Callable[..., None]:
    def action(datum: Datum, on_datum: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum)
        for number in range(1 if notes.few(datum) else datum.value % 3):
            on_datum(notes.emit(call, datum.value + number, datum.hops))
        refuse_some(call)
        call.ending = "returned"

    return action


def a_branch(notes: Notes, name: str) -> Callable[..., None]:
    def branch(datum: Datum, on_odd: Callable[[Datum], None], on_even: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum)
        if datum.value % 2:
            on_odd(notes.emit(call, datum.value // 2, datum.hops, "on_odd"))
        else:
            on_even(notes.emit(call, datum.value // 2, datum.hops, "on_even"))
        call.ending = "returned"

    return branch


def a_keeper(notes: Notes, name: str) -> Callable[..., None]:
    def keeper(datum: Datum, on_datum: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum)
        notes.kept.append((call, on_datum))
        if datum.value % 2:
            on_datum(notes.emit(call, datum.value, datum.hops))
        call.ending = "returned"

    return keeper


def a_loop(notes: Notes, name: str) -> Callable[..., None]:
    def loop(datum: Datum, again: Callable[[Datum], None], done: Callable[[Datum], None]) -> None:
        call = notes.begin(name, datum)
        if datum.value % 3 and not notes.few(datum):
            again(notes.emit(call, datum.value - 1, datum.hops, "again"))
        else:
            done(notes.emit(call, datum.value + 2, datum.hops, "done"))
        call.ending = "returned"

    return loop


def a_generator(notes: Notes, name: str, *, two_ports: bool) -> Callable[[Datum], Iterator[Any]]:
    def generator(datum: Datum) -> Iterator[Any]:
        call = notes.begin(name, datum)
        try:
            for number in range(1 if notes.few(datum) else datum.value % 4):
                call.step = notes.step()
                port = "odd" if two_ports and number % 2 else ""
                item = notes.emit(call, datum.value + number, datum.hops, port)
                yield Emit(port, item) if port else item
            call.step = notes.step()
            refuse_some(call)
        except GeneratorExit:
            call.ending = "closed" if call.ending == "open" else call.ending
            raise
        call.ending = "returned"

    return generator


class Plain:
    """An operation of a class, as it is for whoever needs the message itself."""

    in_ports = ("",)
    out_ports = ("",)

    def __init__(self, name: str, notes: Notes) -> None:
        self.name = name
        self._notes = notes

    def create(self) -> None:
        return None

    def drained(self, state: None, scope: Any, emit: Any) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass

    def _tag(self, message: Message) -> int:
        """Whose a message is that no datum tells it of."""
        assert message.scope is not None
        return self._notes.tags[message.scope.run.number]


class Lister(Plain):
    """Makes a list of a datum, whole or to be produced while it is scattered."""

    def __init__(self, name: str, scatter: str, notes: Notes, *, lazy: bool) -> None:
        super().__init__(name, notes)
        self._scatter = scatter
        self._lazy = lazy

    def handle(self, state: None, message: Message, emit: Any) -> None:
        datum: Datum = message.data
        notes = self._notes
        call = notes.begin(self.name, datum)
        assert message.scope is not None
        notes.tags[message.scope.run.number] = datum.tag
        whole = notes.emit(call, datum.value, datum.hops)
        items = Items(lambda: self._items(whole), whole)
        emit(items if self._lazy else list(items))
        call.ending = "returned"

    def _items(self, datum: Datum) -> Iterator[Datum]:
        notes = self._notes
        call = notes.begin(self._scatter, datum)
        made = notes.lists[call.number] = ListMade(call.number, self._scatter, datum.tag)
        length = min(datum.value % 4, 1) if notes.few(datum) else datum.value % 4
        try:
            for position in range(length):
                call.step = notes.step()
                lineage = (*datum.lineage, (call.number, position))
                item = notes.datum(datum.tag, datum.value + position, lineage, datum.priority, datum.hops + 1)
                call.emitted.append(("stream", item.serial))
                yield item
            call.step = notes.step()
            if self._lazy and datum.value % MODULUS == BROKEN:
                call.ending = "raised"
                raise Refused(call.number)
        except GeneratorExit:
            call.ending = "closed" if call.ending == "open" else call.ending
            raise
        made.length = length
        call.ending = "returned"


class Total(Plain):
    """Counts the items of a list."""

    def __init__(self, name: str, gather: str, notes: Notes) -> None:
        super().__init__(name, notes)
        self._gather = gather

    def handle(self, state: None, message: Message, emit: Any) -> None:
        notes, items = self._notes, message.data
        if isinstance(items, Gathered):
            notes.collected += [(self._gather, error) for _, _, error in items.failures if error is not None]
            items = items.items
        depth = notes.gathers[self._gather].depth
        lineage, number = unknown(depth), None
        for item in items:
            lineage = known(lineage, item.lineage[:depth])
            number = item.lineage[depth][0] if number is None else number
        tag = self._tag(message)
        notes.came.append(ListCame(self._gather, tag, [item.serial for item in items], number))
        call = notes.open(self.name, tag, None, lineage, message.priority)
        emit(notes.emit(call, len(items), max((item.hops for item in items), default=0)))
        call.ending = "returned"


class Handler(Plain):
    """Takes the errors of a causality, and refuses some."""

    def handle(self, state: None, message: Message, emit: Any) -> None:
        notes, error = self._notes, message.data
        assert message.priority == EXCEPTION_PRIORITY
        notes.handled.append((self.name, error))
        depth = len(notes.ops[self.name].lists)
        datum = data_of(error)
        tag = self._tag(message) if datum is None else datum.tag
        lineage = unknown(depth) if datum is None else datum.lineage[:depth]
        call = notes.open(self.name, tag, None, lineage, message.priority, value=len(notes.handled))
        refuse_some(call)
        emit(notes.emit(call, 1, 0 if datum is None else datum.hops))
        call.ending = "returned"


def data_of(error: BaseException | None) -> Datum | None:
    """The datum an operation failed at, if it is known."""
    while isinstance(error, OperationError):
        data = error.message.data
        if isinstance(data, Items):
            return data.datum
        if isinstance(data, Datum):
            return data
        error = data if isinstance(data, BaseException) else None
    return None


def unknown(depth: int) -> Lineage:
    return ((None, None),) * depth


def known(first: Lineage, second: Lineage) -> Lineage:
    """What of two lineages of one list is known."""
    return tuple(a if a[0] is not None else b for a, b in zip(first, second, strict=True))


def key_of_error(error: BaseException) -> Any:
    """What an error is about: the call that raised, the fault, or itself."""
    cause = error.__cause__ if isinstance(error, OperationError | OwnAccordError) else error
    if isinstance(cause, Refused):
        return ("call", cause.args[0])
    if type(cause).__name__ == "SimulatedError":
        return ("fault", str(cause))
    if isinstance(error, GatherIncompleteError):
        return ("incomplete", error.operation, id(error))
    datum = data_of(error)
    return ("surplus", getattr(error, "operation", ""), None if datum is None else datum.serial, str(cause))
