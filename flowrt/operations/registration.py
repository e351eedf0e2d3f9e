"""Objects, classes and modules → declarations: what `@operation` marks in them, or what is public."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from flowrt.errors import Fault, FlowBuildError, describe
from flowrt.operations.bodies import body_of
from flowrt.operations.components import Component, is_component
from flowrt.operations.contract import snake
from flowrt.operations.declarations import Declaration, declared_at
from flowrt.operations.marks import OPERATION, Marker, marker_of
from flowrt.operations.modes import SYNC
from flowrt.operations.signatures import shape_of

WINDOW = 1024  # messages: how many live descendants all open generators of one operation may have together
NOT_MARKED = Marker()

Member = tuple[str, Any, Marker]
"""The name of an operation, what is called (of a class: its attribute), and what its author said of it."""


def instance_operations(instance: Any) -> list[Declaration]:
    """Declare the methods of an object: those marked, or every public one of its class and of the classes of users it inherits from."""
    if isinstance(instance, type | ModuleType):
        kind, verb = "class", "add_static_operations"
        if isinstance(instance, ModuleType):
            kind, verb = "module", "add_module"
        raise FlowBuildError(
            f"add_instance_operations takes an object, got the {kind} {instance.__name__}. Make an instance, or use {verb}."
        )
    return _methods_of(instance, type(instance), static=False)


def static_operations(owner: Any) -> list[Declaration]:
    """Declare the static and class methods of a class: those marked, or every public one."""
    if not isinstance(owner, type):
        raise FlowBuildError(
            f"add_static_operations takes a class, got an object of type {type(owner).__name__}. Its methods are added with add_instance_operations."
        )
    return _methods_of(owner, owner, static=True)


def _methods_of(given: Any, owner: type, *, static: bool) -> list[Declaration]:
    """Declare the methods of a class or of an object of it; none are declared if only those of the other kind are marked."""
    marked, public = _members(owner, static=static)
    others = [attribute for _, attribute, _ in _members(owner, static=not static)[0]]
    found = _bound(given, marked or public)
    if found and (marked or not others):
        return _declared(owner.__qualname__, found)
    what = "static or class method" if static else "instance method"
    verb = "add_static_operations" if static else "add_instance_operations"
    if others:
        raise FlowBuildError(
            f"{verb}: class {owner.__qualname__} marks {', '.join(others)} with @operation, and no {what}; of a class that marks some, the others "
            "are left out. Mark those that are meant."
        )
    raise FlowBuildError(
        f"{verb}: class {owner.__qualname__} has no {what} that is public or marked with @operation."
    )


def _bound(given: Any, members: list[Member]) -> list[Member]:
    return [(name, getattr(given, attribute), marker) for name, attribute, marker in members]


def module_operations(module: Any, *, needed: bool = True) -> list[Declaration]:
    """Declare what is marked in a module and was written in it (of a package: in it or in one of its modules).

    Of classes: their static and class methods; the methods of an instance made without arguments. `FlowBuildError` if there is nothing of
    the kind, unless it is not `needed`.
    """
    if not isinstance(module, ModuleType):
        raise FlowBuildError(f"add_module takes a module, got {type(module).__name__}. Import it first.")
    imported: dict[str, None] = {}
    declarations = package_operations([module], imported, below=True)
    if needed and not declarations:
        hint = " What it imports is added where it was written: "
        elsewhere = f"{hint}{', '.join(imported)}." if imported else ""
        raise FlowBuildError(
            f'module "{module.__name__}" has no operations: nothing written in it is marked with @operation or @in_port.{elsewhere}'
        )
    return declarations


def package_operations(
    modules: list[ModuleType], imported: dict[str, None] | None = None, *, below: bool = False
) -> list[Declaration]:
    """Declare what is marked and was written in modules, or (`below`) in modules of them.

    Where else what they hold was written is noted in `imported`.
    """
    found: list[Member] = []
    faults: list[Fault | str] = []
    components: list[Declaration] = []
    seen: set[int] = set()
    for module in modules:
        for attribute, value in list(vars(module).items()):
            if not _has_operations(value) or id(value) in seen:
                continue
            home = _home_of(value, module)
            if home != module.__name__ and not (below and home.startswith(f"{module.__name__}.")):
                if imported is not None:
                    imported[home] = None
                continue
            seen.add(id(value))
            if isinstance(value, type):
                _find_in_class(value, found, components, faults)
            else:
                marker = marker_of(value) or NOT_MARKED
                found.append((marker.name or attribute, value, marker))
    owner = modules[0].__name__
    return _declared(owner, found, faults) + components


def _home_of(value: Any, module: ModuleType) -> str:
    """Return the module something was written in; what does not say so, such as a partial, was written where it is."""
    home = getattr(value, "__module__", None) if hasattr(value, "__qualname__") else None
    return home if isinstance(home, str) else module.__name__


def _has_operations(value: Any) -> bool:
    if not isinstance(value, type):
        return callable(value) and marker_of(value) is not None
    if inspect.isabstract(value):
        return False
    return is_component(value) or any(_members(value, static=each)[0] for each in (True, False))


def _find_in_class(
    owner: type, found: list[Member], components: list[Declaration], faults: list[Fault | str]
) -> None:
    if is_component(owner):
        where = f"{owner.__module__}.{owner.__qualname__}"
        try:
            components.append(declare_component(owner.__name__, owner, where))
        except FlowBuildError as error:
            faults += error.faults
    found += _bound(owner, _members(owner, static=True)[0])
    methods = _members(owner, static=False)[0]
    if not methods:
        return
    try:
        instance = owner()
    except Exception as error:
        faults.append(
            f"class {owner.__qualname__} of module {owner.__module__} has operations, and could not be made without arguments "
            f"({describe(error)}). Make it yourself and add it with add_instance_operations."
        )
        return
    found += _bound(instance, methods)


def _members(owner: type, *, static: bool) -> tuple[list[Member], list[Member]]:
    """Return the methods that are marked, and those that are public.

    A method that overrides a marked one is marked like it, unless it is marked itself.
    """
    markers: dict[str, Marker] = {}
    methods: dict[str, bool] = {}
    for base in reversed(owner.__mro__):
        theirs = base is not owner and _is_of_python(base)
        for attribute, value in vars(base).items():
            is_method, is_static = _is_method(value), isinstance(value, staticmethod | classmethod)
            if theirs or not (is_method or is_static):
                methods.pop(attribute, None)
                continue
            methods[attribute] = is_static
            if (marker := marker_of(value, OPERATION)) is not None:
                markers[attribute] = marker
    wanted = [attribute for attribute, is_static in methods.items() if is_static == static]
    marked = [(markers[a].name or a, a, markers[a]) for a in wanted if a in markers]
    return marked, [(a, a, NOT_MARKED) for a in wanted if not a.startswith("_")]


def _is_of_python(owner: type) -> bool:
    """Say whether a class is one of the standard library's; a module of the user's may have a name from there, or a class none."""
    name = owner.__module__
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return False
    return getattr(sys.modules.get(name), owner.__qualname__.partition(".")[0], None) is not None


def _is_method(value: Any) -> bool:
    """Say whether something in a class is an instance method, also as functools.cache and the like make one."""
    plain = isinstance(value, FunctionType | functools.partialmethod)
    return plain or (callable(value) and hasattr(value, "__wrapped__"))


def _declared(owner: str, found: list[Member], faults: list[Fault | str] | None = None) -> list[Declaration]:
    """Declare what was found, all of it or (`FlowBuildError`) none."""
    faults = list(faults or ())
    declarations = []
    for name, function, marker in found:
        where = written_at(function)
        try:
            kind = kind_of(name, function, marker)
            declarations.append(declare(kind, name, function, where, marker))
        except FlowBuildError as error:
            faults += [f'{owner}, "{name}" at {where}: {fault}' for fault in error.faults]
    if faults:
        raise FlowBuildError(*faults)
    return declarations


def kind_of(name: str, function: Callable[..., Any], marker: Marker | None = None) -> str:
    """Return what a callable is, as its signature says it: a generator, an action, or a function."""
    marker = marker or marker_of(function) or NOT_MARKED
    shape = shape_of("operation", name, function)
    if shape.generates:
        return "generator"
    is_action = len(shape.required) > 1 or marker.signal or _returns_nothing(function)
    return "action" if is_action else "function"


def name_of(function: Any) -> str:
    """Return what a callable is called: by its marker, by itself or, of an object, by its class; `FlowBuildError` if it has no name."""
    called = function.func if type(function) is functools.partial else function
    marker = marker_of(function) or marker_of(called) or NOT_MARKED
    name = marker.name
    if name is None:
        try:
            name = called.__name__
        except Exception:  # most objects have none, and others cannot be asked
            name = snake(type(called).__name__)
    if not isinstance(name, str) or name.startswith("<"):
        what = f"a {name[1:-1]}" if isinstance(name, str) else f"something of type {type(function).__name__}"
        raise FlowBuildError(
            f'{what} (at {written_at(called)}) has no name to be an operation\'s. Give it one: add_func("name", f), and in a chain write "name"; or '
            "make it a def."
        )
    return name


def declare(
    kind: str,
    name: str,
    function: Callable[..., Any],
    where: str,
    marker: Marker | None = None,
    *,
    signal: bool = False,
    window: int = WINDOW,
) -> Declaration:
    """Declare a callable as a function, an action or a generator; `FlowBuildError` if its signature does not allow that."""
    marker = marker or marker_of(function) or NOT_MARKED
    body, ports = body_of(kind, name, function, signal=signal or marker.signal)
    if kind == "action":
        window = 0  # a function may turn out to return a generator
    mode = marker.mode or SYNC
    return Declaration(name, body, None, ports, where, mode, window, kind=kind, function=function)


def declare_component(name: str, component: Any, where: str) -> Declaration:
    """Declare an object, or a class, with ports."""
    found = Component(name, component)
    ports = found.in_ports, found.out_ports
    return Declaration(name, found.body, *ports, where, kind="component", component=found)


def _returns_nothing(function: Any) -> bool:
    """Say whether a signature ends in `-> None`."""
    function = getattr(function, "__func__", function)
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - a module of 3.14

        found = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    else:
        found = getattr(function, "__annotations__", {})
    return "return" in found and found["return"] in (None, "None")


def written_at(function: Any) -> str:
    """Return file:line of a function's definition; of what has none, of the caller outside flowrt."""
    try:
        code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    except Exception:  # an object may raise where it is asked for an attribute, or make up what it wraps
        code = None
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else declared_at()
