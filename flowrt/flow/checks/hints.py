"""What the annotations of a callable say. Nothing is imported or called for it; what cannot be told is `Any`."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import functools
import sys
import types
import typing
from inspect import getattr_static, getmro
from typing import Any

from attrs import Factory, frozen

from flowrt.flow.checks.fitting import class_of, items_of, members, union
from flowrt.operations.components import Component
from flowrt.operations.contract import Emit
from flowrt.operations.declarations import Declaration
from flowrt.operations.signatures import PASSING_ON, shape_of
from flowrt.ports import folded


@frozen
class Hints:
    """The types of an operation's data.

    Attributes:
        data: of what it takes; `Any` also if it takes nothing.
        emitted: of what leaves, by the folded name of the out-port.
        methods: of what the methods of a component take, by the folded name of the in-port.
    """

    data: Any = Any
    emitted: dict[str, Any] = Factory(dict)
    methods: dict[str, Any] = Factory(dict)

    def taken(self, port: str) -> Any:
        """Return the type of what is taken at an in-port."""
        return self.methods.get(port, Any) if self.methods else self.data


def hints_of(declaration: Declaration) -> Hints:
    """Look at the callable of a function, an action or a generator."""
    function = declaration.function
    if declaration.component is not None:
        return Hints(methods=_methods_of(declaration.component))
    if function is None:
        return Hints()
    try:
        names, annotations = _annotations(function)
        shape = shape_of(declaration.kind, declaration.name, function)
    except Exception:  # a callable that only calling can tell of
        return Hints()
    data = annotations.get(names[0], Any) if shape.takes_data and names else Any
    result = annotations.get("return", Any)
    if declaration.kind == "function":
        return Hints(data, {"": result})
    if declaration.kind == "generator":
        return Hints(data, {"": _yielded(result)})
    continuations = shape.required[1:]
    if not continuations:
        return Hints(data, {"": type(None)})
    emitted = {folded(name): _accepted(annotations.get(name, Any)) for name in continuations}
    return Hints(data, {"": next(iter(emitted.values()))} if len(emitted) == 1 else emitted)


def _methods_of(component: Component) -> dict[str, Any]:
    made = component.factory
    while isinstance(made, functools.partial):
        made = made.func
    owner = made if isinstance(made, type) else type(component.instance)
    found = {}
    for port, (attribute, takes_data) in component.body.methods.items():
        method = getattr_static(owner, attribute, None)
        bound = isinstance(method, types.FunctionType | classmethod)
        plain = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        names, annotations = _annotations(plain) if isinstance(plain, types.FunctionType) else ([], {})
        if takes_data and len(names) > bound:
            found[port] = annotations.get(names[bound], Any)
    return found


def result_of(function: Any) -> Any:
    """Return the type that a plain callable returns."""
    try:
        return _annotations(function)[1].get("return", Any)
    except Exception:
        return Any


def _yielded(result: Any) -> Any:
    """Return what a generator function yields, `Emit` aside, which names a port of its own."""
    return union([kind for kind in members(items_of(result)) if class_of(kind) is not Emit])


def _accepted(continuation: Any) -> Any:
    """Return what a continuation takes: X of `Callable[[X], None]`."""
    if typing.get_origin(continuation) is not collections.abc.Callable:
        return Any
    parameters = typing.get_args(continuation)[0]
    if not isinstance(parameters, list):
        return Any
    return parameters[0] if parameters else type(None)


def _annotations(function: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the positional parameters that are still to be given, and all annotations, resolved."""
    given, named = 0, set[str]()
    while isinstance(function, functools.partial):
        given += len(function.args)
        named |= set(function.keywords)
        function = function.func
    if type(function) in PASSING_ON:
        function = function.__wrapped__
    if isinstance(function, type):
        made = function if type(function) is type and not _made_elsewhere(function) else Any
        return [], {"return": made}
    if isinstance(function, types.MethodType):
        given, function = given + 1, function.__func__
    elif not isinstance(function, types.FunctionType):
        given, function = given + 1, getattr_static(type(function), "__call__", None)
    if not isinstance(function, types.FunctionType) or hasattr(function, "__no_type_check__"):
        return [], {}
    if hasattr(function, "__wrapped__"):
        return [], {}  # what a decorator makes of it, it may make differently
    code = function.__code__
    names = [name for name in code.co_varnames[given : code.co_argcount] if name not in named]
    resolve = _Resolver(function)
    found = {name: _usable(resolve(annotation)) for name, annotation in function.__annotations__.items()}
    return names, found


def _usable(found: Any) -> Any:
    """Return a type that can be a key. An annotation may be anything: a list, or a type with a list noted on it."""
    while typing.get_origin(found) is typing.Annotated:
        found = typing.get_args(found)[0]
    try:
        hash(found)
    except Exception:
        return Any
    return found


def _made_elsewhere(kind: type) -> bool:
    """Say whether calling a class may give something else: it has a `__new__` of its own."""
    return any("__new__" in vars(each) and each.__module__ != "builtins" for each in kind.__mro__)


class _Resolver:
    """Turns annotations that are texts into what they name, as far as plain names, subscripts and unions go."""

    def __init__(self, function: types.FunctionType) -> None:
        self._names = {**vars(builtins), **function.__globals__}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                self._names[name] = cell.cell_contents
            except ValueError:  # not filled yet
                continue

    def __call__(self, annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        try:
            return self._value(ast.parse(annotation.strip(), mode="eval").body)
        except Exception:
            return Any

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() as text):
                return self(text)
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._names.get(name, Any)
            case ast.Attribute(value=owner, attr=name):
                return _member(self._value(owner), name)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return typing.Union[self._value(left), self._value(right)]  # noqa: UP007 - made of what is found
            case ast.List(elts=elements):
                return [self._value(element) for element in elements]
            case ast.Subscript(value=generic, slice=inner):
                return self._generic(self._value(generic), inner)
        return Any

    def _generic(self, generic: Any, inner: ast.expr) -> Any:
        elements = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if generic is typing.Literal:
            return typing.Literal[tuple(ast.literal_eval(element) for element in elements)]
        if generic is typing.Annotated and isinstance(inner, ast.Tuple):
            return self._value(elements[0])
        arguments = tuple(self._value(element) for element in elements)
        if type(generic).__module__ in ("typing", "types") or _is_safe_to_subscript(generic):
            return generic[arguments if len(arguments) != 1 else arguments[0]]
        return Any


def _is_safe_to_subscript(generic: Any) -> bool:
    """Say whether `generic[...]` runs no code of a user."""
    if not isinstance(generic, type) or type(generic).__getattribute__ is not type.__getattribute__:
        return False
    if any("__getitem__" in vars(each) for each in getmro(type(generic))):
        return False
    owner = next((each for each in generic.__mro__ if "__class_getitem__" in vars(each)), None)
    return owner is not None and owner.__module__.partition(".")[0] in sys.stdlib_module_names


def _member(owner: Any, name: str) -> Any:
    """Return an attribute of a module or class, without running code that would make one."""
    if isinstance(owner, types.ModuleType):
        return vars(owner).get(name, Any)
    if isinstance(owner, type):
        return getattr_static(owner, name, Any)
    return Any
