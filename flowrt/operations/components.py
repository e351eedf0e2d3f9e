"""Components: objects whose marked methods are in-ports, and whose out-ports are attributes that are called to emit.

What is emitted during the call of a method belongs to its message, also on other threads that run in its context
(`contextvars.copy_context`), and as a run of its own after the call; everything else goes the way the component was bound to.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, overload

from flowrt.errors import Fault, FlowBuildError
from flowrt.messages import Correlated
from flowrt.operations.contract import checked_port
from flowrt.operations.marks import IN_PORT, marker_of
from flowrt.operations.signatures import shape_of
from flowrt.operations.unfinished import refuse
from flowrt.operations.variables import copy_at
from flowrt.ports import folded

if TYPE_CHECKING:
    from flowrt.operations.bodies import Group
    from flowrt.operations.modes import Mode


WayOut = Callable[[str, Any, object], None]
"""Emits on a port, given data and correlation id, without a message in hand."""


# Of the call of a component's method that is being made: the component, the group and the index.
_in_hand: ContextVar[tuple[object, Group, int] | None]
_in_hand = ContextVar("flowrt_call_of_a_component", default=None)


class OutPort:
    """An out-port of a component, as its class declares it. On an instance it is a function that emits."""

    def __init__(self, name: str | None) -> None:
        self.name: str = "" if name is None else checked_port(name)
        self.attribute: str = ""
        self._named = name is not None

    def __set_name__(self, owner: type, attribute: str) -> None:
        if self.attribute:
            return  # one more name for it: it stays the port of its first
        self.attribute = attribute
        if not self._named:
            self.name = checked_port(attribute)
        if not any("__dict__" in vars(base) for base in owner.__mro__):
            self.__class__ = _OutPortBesideSlots

    @overload
    def __get__(self, instance: None, owner: type) -> OutPort: ...

    # So a test may put a function there.
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., None]: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> OutPort | Callable[..., None]:
        return self if instance is None else Outlet(instance, self)


class _OutPortBesideSlots(OutPort):
    """An out-port of objects without a `__dict__`: a function put in its place is kept here."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        known = _put.get((id(instance), self.attribute))
        return Outlet(instance, self) if known is None or known[0]() is not instance else known[1]

    def __set__(self, instance: Any, function: Callable[..., object]) -> None:
        key = id(instance), self.attribute
        try:
            held: Callable[[], object] = weakref.ref(instance, lambda _gone: _put.pop(key, None))
        except TypeError:  # nor has it a place for weak references: it stays
            held = lambda: instance  # noqa: E731
        _put[key] = held, function


# By id and attribute, as `_ways`.
_put: dict[tuple[int, str], tuple[Callable[[], object], Callable[..., object]]] = {}


def out_port(name: str | None = None) -> OutPort:
    """Declare an out-port of a component.

    In its class, `changed = out_port()`; in its methods, `self.changed(data)` emits, on any thread.

    During the call of an `@in_port` method, on its thread or on one that was handed its context (`contextvars.copy_context`), what is emitted
    belongs to the message in hand; after the call it starts a run of its own, with the path, correlation id and priority of that message.
    Called otherwise it starts a run of its own at each place of the component.

    To test a component without a flow, put a function in its place: `alarm.rung = calls.append`.

    Args:
        name: of the port; by default the attribute's, and "" is the component's default port.
    """
    return OutPort(name)


class Outlet:
    """An out-port of one component."""

    __slots__ = ("_component", "_port")

    def __init__(self, component: object, port: OutPort) -> None:
        self._component = component
        self._port = port

    def __repr__(self) -> str:
        return f"<out-port {type(self._component).__qualname__}.{self._port.attribute}>"

    def __call__(self, data: Any = None, *, correlation_id: object = None) -> None:
        """Emit. An id counts only where the message in hand has none.

        Raises:
            FlowBuildError: there is no message in hand, and the component is no part of a flow that was started.
            FlowStoppedError: the runtime is closed; without a message in hand, or closing.
            FlowOverloadError: without a message in hand, as for `process`.
        """
        call = _in_hand.get()
        if call is None or call[0] is not self._component:
            _way_of(self._component, self._port)(self._port.name, data, correlation_id)
            return
        _, group, index = call
        argument = data if correlation_id is None else Correlated(data, correlation_id)
        group.log.append((index, self._port.name, argument))
        if group.collect is not None:
            group.collect(group)


class ComponentBody:
    """Calls methods of a component, which emit through its out-ports. `methods`: attribute and whether it takes data, by folded in-port."""

    __slots__ = ("methods",)

    def __init__(self, methods: Mapping[str, tuple[str, bool]]) -> None:
        self.methods: Mapping[str, tuple[str, bool]] = methods

    def perform(self, group: Group) -> None:
        component = group.state
        attribute, takes_data = self.methods.get(group.port) or self.methods[folded(group.port)]
        for index, item in enumerate(group.data):
            token = _in_hand.set((component, group, index))
            raised: BaseException | None = None
            try:
                method = getattr(component, attribute)
                if group.variables is not None and (own := copy_at(group.variables, index)) is not None:
                    own.run(_in_hand.set, (component, group, index))
                    method = partial(own.run, method)
                found = method(item) if takes_data else method()
                if found is not None:
                    refuse(found)
            except BaseException as error:
                raised = error
            _in_hand.reset(token)
            if not group.goes_on_behind(index, raised):
                break


class Component:
    """A component as it was declared."""

    def __init__(self, name: str, given: Any) -> None:
        """Find the ports of an object, of a class, or of a class with arguments (`functools.partial`); `FlowBuildError` with all faults."""
        kind = given.func if isinstance(given, partial) else given
        made = isinstance(kind, type)
        if isinstance(given, partial | FunctionType | MethodType | ModuleType) and not made:
            raise FlowBuildError(
                f'component "{name}" is a {type(given).__name__}; give an object, or a class, of which an instance is made per place '
                "(functools.partial gives it arguments)."
            )
        owner = kind if isinstance(kind, type) else type(given)
        faults: list[Fault | str] = []
        in_ports: dict[str, str] = {}
        methods: dict[str, tuple[str, bool]] = {}
        modes: dict[str, Mode] = {}
        for attribute, port, mode in _in_ports_of(owner):
            if folded(port) in methods:
                other = methods[folded(port)][0]
                faults.append(
                    f'component "{name}": {other} and {attribute} are both in-port ".{port}". Give one of them another name.'
                )
                continue
            try:
                in_ports[attribute] = checked_port(port)
                methods[folded(port)] = attribute, _takes_data(owner, attribute)
            except FlowBuildError as error:
                faults += [f'component "{name}", in-port ".{port}": {fault}' for fault in error.faults]
            if mode is not None:
                modes[folded(port)] = mode
        out_ports: dict[str, tuple[str, str]] = {}
        for attribute, out in _out_ports_of(owner):
            other, _ = out_ports.setdefault(folded(out.name), (attribute, out.name))
            if other != attribute:
                faults.append(
                    f'component "{name}": {other} and {attribute} are both out-port ".{out.name}". Give each an out_port() and a name of its own.'
                )
        if not (in_ports or out_ports or faults):
            faults.append(
                f'component "{name}": class {owner.__qualname__} has no ports. Mark methods with @in_port, and declare out-ports: '
                "changed = out_port()."
            )
        if faults:
            raise FlowBuildError(*faults)
        self.instance: Any = None if made else given
        self.factory: Callable[[], Any] | None = given if made else None  # makes an instance per place
        self.in_ports: tuple[str, ...] = tuple(in_ports.values())
        self.out_ports: tuple[str, ...] = tuple(port for _, port in out_ports.values())
        self.modes = modes  # of the methods that say one, by folded in-port
        self.body: ComponentBody = ComponentBody(methods)

    def make(self) -> Any:
        """Return the object of a place."""
        return self.instance if self.factory is None else self.factory()


def is_component(owner: type) -> bool:
    """Say whether a class has ports."""
    return bool(_in_ports_of(owner) or _out_ports_of(owner))


def _members(owner: type) -> dict[str, Any]:
    return {name: value for base in reversed(owner.__mro__) for name, value in vars(base).items()}


def _in_ports_of(owner: type) -> list[tuple[str, str, Mode | None]]:
    """Return (attribute, port, mode) of the marked methods; one that overrides a marked one is marked like it."""
    markers: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        for attribute, value in vars(base).items():
            if (marker := marker_of(value, IN_PORT)) is not None:
                markers[attribute] = marker
    members = _members(owner)
    return [
        (attribute, attribute if marker.name is None else marker.name, marker.mode)
        for attribute, marker in markers.items()
        if callable(members[attribute]) or isinstance(members[attribute], staticmethod | classmethod)
    ]


def _out_ports_of(owner: type) -> list[tuple[str, OutPort]]:
    return [(name, value) for name, value in _members(owner).items() if isinstance(value, OutPort)]


def _takes_data(owner: type, attribute: str) -> bool:
    """Look at the signature of an in-port's method; `FlowBuildError` for what cannot be one."""
    plain = _members(owner)[attribute]
    static = isinstance(plain, staticmethod | classmethod)
    shape = shape_of("method", attribute, getattr(owner, attribute) if static else MethodType(plain, owner))
    if shape.generates:
        raise FlowBuildError(
            f'method "{attribute}" is a generator function. A method of a component emits by calling an out-port: self.changed(item).'
        )
    if len(shape.required) > 1:
        raise FlowBuildError(
            f'method "{attribute}" needs {len(shape.required)} arguments ({", ".join(shape.required)}), but an in-port gets one: its data. Pass a '
            "tuple and unpack it inside."
        )
    return shape.takes_data


# -- without a message in hand

# By id, for components need be neither hashable nor weakly referable.
_ways: dict[int, tuple[Callable[[], object], WayOut]] = {}


def bind(component: Any, emit: WayOut) -> None:
    """Have what a component emits without a message in hand go this way, for as long as it lives."""
    key = id(component)

    def forget(gone: Callable[[], object]) -> None:
        if (known := _ways.get(key)) is not None and known[0] is gone:
            del _ways[key]

    try:
        _ways[key] = weakref.ref(component, forget), emit
    except TypeError:  # it has __slots__: it stays until it is unbound
        _ways[key] = lambda: component, emit


def unbind(component: Any, emit: WayOut, instead: WayOut) -> None:
    """Have what a component emits from now on go another way, if it still went this one."""
    known = _ways.get(id(component))
    if known is not None and known[1] is emit:
        if isinstance(known[0], weakref.ref):
            _ways[id(component)] = known[0], instead
        else:
            del _ways[id(component)]


def _way_of(component: object, port: OutPort) -> WayOut:
    known = _ways.get(id(component))
    if known is None or known[0]() is not component:
        kind = type(component).__qualname__
        raise FlowBuildError(
            f"{kind}.{port.attribute} was called, and this {kind} is no part of a flow that was started: nobody would take what it emits. "
            "Add it with add_component, and call runtime.start() before it emits of itself; in a test without a flow, put a function in its place: "
            f"component.{port.attribute} = calls.append."
        )
    return known[1]


CALLS_OPERATIONS = {ComponentBody.perform.__code__: "group"}  # as in operations/bodies.py
