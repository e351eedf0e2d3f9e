"""Objects, classes and modules → declarations: what `@operation` marks in them, or what is public."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from flowrt.errors import Fault, FlowBuildError, describe
from flowrt.operations.bodies import action_body, function_body, generator_body, shape_of
from flowrt.operations.components import component_of, is_component
from flowrt.operations.declarations import Declaration, declared_at
from flowrt.operations.marks import OPERATION, Marker, marker_of
from flowrt.operations.modes import SYNC

WINDOW = 1024  # messages: how many live descendants all open generators of one operation may have together
NOT_MARKED = Marker()

Found = tuple[str, Any, Marker]
"""The name of an operation, what is called, and what its author said of it."""


def instance_operations(instance: Any) -> list[Declaration]:
    """Declare the methods of an object: those marked, or every public one of its class and of the classes of users it inherits from."""
    if isinstance(instance, type | ModuleType):
        kind, verb = (
            ("module", "add_module")
            if isinstance(instance, ModuleType)
            else ("class", "add_static_operations")
        )
        raise FlowBuildError(
            f"add_instance_operations takes an object, got the {kind} {instance.__name__}. Make an instance, or use {verb}."
        )
    owner = type(instance)
    marked, public = _members(owner, static=False)
    found = [(name, getattr(instance, attribute), marker) for name, attribute, marker in marked or public]
    if not found or (not marked and _members(owner, static=True)[0]):
        raise _nothing_found(owner, "instance method", "add_instance_operations")
    return _declared(owner.__qualname__, found)


def static_operations(owner: Any) -> list[Declaration]:
    """Declare the static and class methods of a class: those marked, or every public one."""
    if not isinstance(owner, type):
        raise FlowBuildError(
            f"add_static_operations takes a class, got an object of type {type(owner).__name__}. Its methods are added with "
            "add_instance_operations."
        )
    marked, public = _members(owner, static=True)
    found = [(name, getattr(owner, attribute), marker) for name, attribute, marker in marked or public]
    if not found or (not marked and _members(owner, static=False)[0]):
        raise _nothing_found(owner, "static or class method", "add_static_operations")
    return _declared(owner.__qualname__, found)


def module_operations(module: Any, *, needed: bool = True) -> list[Declaration]:
    """Declare what is marked in a module and was written in it (of a package: in it or in one of its modules).

    Of classes: their static and class methods; the methods of an instance made without arguments. `FlowBuildError` if there is nothing of
    the kind, unless it is not `needed`.
    """
    if not isinstance(module, ModuleType):
        raise FlowBuildError(f"add_module takes a module, got {type(module).__name__}. Import it first.")
    imported: dict[str, None] = {}
    declarations = _marked_in([module], imported, below=True)
    if needed and not declarations:
        elsewhere = (
            f" What it imports is added where it was written: {', '.join(imported)}." if imported else ""
        )
        raise FlowBuildError(
            f'module "{module.__name__}" has no operations: nothing written in it is marked with @operation or @in_port.{elsewhere}'
        )
    return declarations


def package_operations(modules: list[ModuleType]) -> list[Declaration]:
    """Declare what is marked in the modules of a package, as for a single one; each where it was written."""
    return _marked_in(modules, {}, below=False)


def _marked_in(modules: list[ModuleType], imported: dict[str, None], *, below: bool) -> list[Declaration]:
    """Declare what is marked and was written in modules, or (`below`) in modules of them; note where else what they hold was written."""
    found: list[Found] = []
    faults: list[Fault | str] = []
    components: list[Declaration] = []
    seen: set[int] = set()
    for module in modules:
        for attribute, value in list(vars(module).items()):
            if not _has_operations(value) or id(value) in seen:
                continue
            home = _home_of(value, module)
            if home != module.__name__ and not (below and home.startswith(f"{module.__name__}.")):
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
    owner: type, found: list[Found], components: list[Declaration], faults: list[Fault | str]
) -> None:
    if is_component(owner):
        try:
            components.append(
                declare_component(owner.__name__, owner, f"{owner.__module__}.{owner.__qualname__}")
            )
        except FlowBuildError as error:
            faults += error.faults
    found += [
        (name, getattr(owner, attribute), marker)
        for name, attribute, marker in _members(owner, static=True)[0]
    ]
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
    found += [(name, getattr(instance, attribute), marker) for name, attribute, marker in methods]


def _members(
    owner: type, *, static: bool
) -> tuple[list[tuple[str, str, Marker]], list[tuple[str, str, Marker]]]:
    """Return (name of the operation, attribute, marker) of the methods that are marked, and of those that are public.

    A method that overrides a marked one is marked like it, unless it is marked itself.
    """
    markers: dict[str, Marker] = {}
    methods: dict[str, bool] = {}
    for base in reversed(owner.__mro__):
        theirs = base.__module__.partition(".")[0] in sys.stdlib_module_names
        for attribute, value in vars(base).items():
            kind = _kind_of(value)
            if kind is None or theirs:
                methods.pop(attribute, None)
                continue
            methods[attribute] = kind is staticmethod
            if (marker := marker_of(value, OPERATION)) is not None:
                markers[attribute] = marker
    wanted = [attribute for attribute, is_static in methods.items() if is_static == static]
    marked = [(markers[a].name or a, a, markers[a]) for a in wanted if a in markers]
    return marked, [(a, a, NOT_MARKED) for a in wanted if not a.startswith("_")]


def _kind_of(value: Any) -> type | None:
    """Return staticmethod for static and class methods, FunctionType for methods, None for anything else in a class."""
    if isinstance(value, staticmethod | classmethod):
        return staticmethod
    if isinstance(value, FunctionType | functools.partialmethod):
        return FunctionType
    # What functools.cache and the like make of a method.
    return FunctionType if callable(value) and hasattr(value, "__wrapped__") else None


def _declared(owner: str, found: list[Found], faults: list[Fault | str] | None = None) -> list[Declaration]:
    """Declare what was found, all of it or (`FlowBuildError`) none."""
    faults = list(faults or ())
    declarations = []
    for name, function, marker in found:
        where = written_at(function)
        try:
            declarations.append(declare(name, function, marker, where))
        except FlowBuildError as error:
            faults += [f'{owner}, "{name}" at {where}: {fault}' for fault in error.faults]
    if faults:
        raise FlowBuildError(*faults)
    return declarations


def declare(name: str, function: Callable[..., Any], marker: Marker, where: str) -> Declaration:
    """Declare a callable as what its signature says: a generator, an action, or a function."""
    shape = shape_of("operation", name, function)
    mode = marker.mode or SYNC
    if shape.generates:
        body = generator_body(name, function)
        return Declaration(name, body, None, None, where, mode, WINDOW, kind="generator", function=function)
    if len(shape.required) > 1 or marker.signal or _returns_nothing(function):
        action, ports = action_body(name, function, signal=marker.signal)
        return Declaration(name, action, None, ports, where, mode, kind="action", function=function)
    plain = function_body(name, function)
    return Declaration(name, plain, None, ("",), where, mode, kind="function", function=function)


def declare_component(name: str, component: Any, where: str) -> Declaration:
    """Declare an object, or a class, with ports."""
    found = component_of(name, component)
    return Declaration(
        name, found.body, found.in_ports, found.out_ports, where, kind="component", component=found
    )


def _returns_nothing(function: Any) -> bool:
    """Say whether a signature ends in `-> None`."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - a module of 3.14

        found = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    else:
        found = getattr(function, "__annotations__", {})
    return "return" in found and found["return"] in (None, "None")


def written_at(function: Any) -> str:
    """Return file:line of a function's definition; of what has none, of the caller outside flowrt."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else declared_at()


def _nothing_found(owner: type, what: str, verb: str) -> FlowBuildError:
    there = {static: _members(owner, static=static) for static in (False, True)}
    marked = [attribute for found, _ in there.values() for _, attribute, _ in found]
    if marked:
        return FlowBuildError(
            f"{verb}: class {owner.__qualname__} marks {', '.join(marked)} with @operation, and no {what}; of a class that marks some, the others "
            "are left out. Mark those that are meant."
        )
    return FlowBuildError(
        f"{verb}: class {owner.__qualname__} has no {what} that is public or marked with @operation."
    )
