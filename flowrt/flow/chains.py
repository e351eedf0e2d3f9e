"""Chains: what stands in `add_chain`, ports and operations in a row → what is added, and the streams between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

from attrs import define, evolve

from flowrt.errors import FlowBuildError
from flowrt.flow.container import FlowOperationContainer
from flowrt.operations.components import is_component
from flowrt.operations.contract import NameOfClass, snake
from flowrt.operations.declarations import Declaration, check_contract, declared_at, same_name
from flowrt.operations.modes import SYNC, InMode
from flowrt.operations.registration import kind_of, name_of
from flowrt.ports import Port, Stream, folded, port_of

if TYPE_CHECKING:
    from flowrt.flow.flow import Flow


@define(eq=False)
class Link:
    """One thing in a chain.

    Attributes:
        name: of the operation or flow; of a port that was given as such, the port's.
        ins: the ports it may be entered at; None: any.
        outs: the ports it may be left by.
        way_in: the one that a chain prefers.
        way_out: likewise.
        port: the port that was given as such, which is taken as it is.
        declaration: the operation to be added.
        flow: the flow to be added.
        bracket: 1 if it opens a list, -1 if it gathers one.
        across: the port by which the number of a list leaves its scatter, or arrives at its gather.
        free: its name may be changed: nobody has said it.
    """

    name: str
    ins: tuple[str, ...] | None = None
    outs: tuple[str, ...] | None = None
    way_in: str = ""
    way_out: str = ""
    port: Port | None = None
    declaration: Declaration | None = None
    flow: Flow | None = None
    bracket: int = 0
    across: str = ""
    free: bool = False
    instance: str = ""

    def entered(self) -> Port:
        """Return the port by which a chain comes in; `FlowBuildError` if there is no one such."""
        return self.port or self.at(_way(self, "enters", "in-port", self.ins, self.way_in))

    def left(self) -> Port:
        """Return the port by which a chain goes on; `FlowBuildError` if there is no one such."""
        return self.port or self.at(_way(self, "leaves", "out-port", self.outs, self.way_out))

    def at(self, name: str) -> Port:
        return port_of("", self.name, self.instance, name)


def _way(link: Link, verb: str, side: str, ports: tuple[str, ...] | None, wished: str) -> str:
    known = None if ports is None else {folded(port) for port in ports}
    if known is None or folded(wished) in known:
        return wished
    if ports is not None and len(ports) == 1:
        return ports[0]
    what = "flow" if link.flow is not None else "operation"
    if not ports:
        if verb == "leaves" and link.flow is None:
            remedy = "It emits nothing: give it a continuation, or signal=True, or let the chain end with it."
        else:
            remedy = f"Let the chain {'begin' if verb == 'enters' else 'end'} with it."
        raise FlowBuildError(f'the chain {verb} {what} "{link.name}", which has no {side}. {remedy}')
    shown = ", ".join(f'"{link.name}.{port}"' for port in ports)
    raise FlowBuildError(
        f'the chain {verb} {what} "{link.name}", whose {side}s are {shown}, and none of them is the default. Let one chain end and another '
        f"begin there, with the port you mean as a text."
    )


def link_of(thing: Any, number: int) -> Link:
    """Say what stands at a place of a chain, counted from 1; `FlowBuildError` if it can be neither a port nor an operation."""
    kind = type(thing)  # what an object itself says of its class may be anything
    if issubclass(kind, str | Port):
        port = Port.parse(thing)
        return Link(port.fullname, port=port)
    declaration = thing if kind is Declaration else _declared(thing, number)
    extras = declaration.extras
    given = declaration.operation.name if declaration.operation is not None else None
    return Link(
        declaration.name,
        declaration.in_ports,
        declaration.out_ports,
        _text(extras.way_in),
        _text(extras.way_out),
        declaration=declaration,
        bracket=declaration.bracket,
        across=_text(extras.across),
        free=isinstance(given, NameOfClass) and given == declaration.name,
    )


def _text(port: object) -> str:
    return port if isinstance(port, str) else ""


def _declared(thing: Any, number: int) -> Declaration:
    """Declare what stands in a chain itself."""
    if issubclass(type(thing), FlowOperationContainer):
        return cast("FlowOperationContainer", thing).entry()
    mode = None
    if type(thing) is InMode:
        thing, mode = thing.operation, thing.mode
        if issubclass(type(thing), FlowOperationContainer | Declaration):
            raise FlowBuildError(
                "a container says itself where its operations run: container[name].make_parallel(4). Put the entry into the chain without a mode."
            )
    container = FlowOperationContainer()
    owner = thing if issubclass(type(thing), type) else type(thing)
    if _has(thing, "handle") and (_has(thing, "in_ports") or not callable(thing)):
        check_contract(thing, f"number {number} of the chain")
        container.add_operation(thing)
    elif is_component(owner):
        container.add_component(snake(owner.__name__), thing)
    elif callable(thing):
        name = name_of(thing)
        declared = kind_of(name, thing)
        if declared == "action":
            container.add_action(name, thing)
        elif declared == "generator":
            container.add_generator(name, thing)
        else:
            container.add_func(name, thing)
    else:
        remedy = ""
        if type(thing) in (list, tuple):
            remedy = " Write *things for those in a list."
        raise FlowBuildError(
            f"a chain is made of ports, functions, operations and flows, and number {number} of it is of type {owner.__qualname__}.{remedy}"
        )
    if mode is not None:
        container.make(mode)
    return container.entry()


def _has(thing: Any, name: str) -> bool:
    try:
        return hasattr(thing, name)
    except Exception:  # an object that cannot be asked is called, and no more
        return False


def laid(links: list[Link], known: Mapping[str, Declaration]) -> tuple[list[Declaration], list[Stream]]:
    """Say what a chain adds to a flow that has these operations: those it lacks, and the streams.

    What stands in a chain for the second time is another place of the same: `double#2`. Raises `FlowBuildError`.
    """
    where = declared_at()
    added: dict[str, Declaration] = {}
    used: Counter[int] = Counter()
    for link in links:
        if link.declaration is not None:
            link.declaration = _kept(link, {**known, **added})
            link.name = link.declaration.name
            added.setdefault(folded(link.name), link.declaration)
        whole = link.declaration or link.flow
        if whole is not None:
            used[id(whole)] += 1
            link.instance = str(used[id(whole)]) if used[id(whole)] > 1 else ""
    streams = [Stream(one.left(), other.entered(), where) for one, other in pairwise(links)]
    streams += [
        Stream(opening.at(opening.across), closing.at(closing.across), where)
        for opening, closing in _brackets(links)
        if opening.across and closing.across
    ]
    return [each for key, each in added.items() if key not in known], streams


def _kept(link: Link, known: Mapping[str, Declaration]) -> Declaration:
    """Return the operation of this name that the flow has, if it is the same one; else the new one."""
    new = link.declaration
    assert new is not None, "the caller has looked"
    number = 1
    while (earlier := known.get(folded(new.name))) is not None:
        if earlier is new:
            return new
        if _same(earlier, new):
            if new.mode not in (SYNC, earlier.mode):
                raise FlowBuildError(
                    f'operation "{new.name}" is in this flow already, as {earlier.mode} (declared at {earlier.declared_at}), and the chain asks for '
                    f"{new.mode}. Say its mode once."
                )
            return earlier
        if not link.free:
            raise FlowBuildError(
                same_name(earlier, new)
                + f' A function gets one by FlowOperationContainer().add_func("other", {link.name}), an operation where it is made.'
            )
        number += 1
        new = evolve(new, name=f"{link.name}_{number}")
    return new


def _same(earlier: Declaration, later: Declaration) -> bool:
    """Say whether two declarations are of one function, one object or one component."""
    if later.component is not None or earlier.component is not None:
        one, other = earlier.component, later.component
        if one is None or other is None:
            return False
        return one.instance is other.instance and one.factory is other.factory
    if later.operation is not None:
        return earlier.operation is later.operation
    known, new = earlier.function, later.function
    if isinstance(known, MethodType) and isinstance(new, MethodType):
        return known.__self__ is new.__self__ and known.__func__ is new.__func__
    return known is not None and known is new


def _brackets(links: list[Link]) -> Iterable[tuple[Link, Link]]:
    """Match those that open a list with those that gather it, as brackets in a text."""
    opened: list[Link] = []
    for link in links:
        if link.bracket > 0:
            opened.append(link)
        elif link.bracket < 0 and opened:
            yield opened.pop(), link
