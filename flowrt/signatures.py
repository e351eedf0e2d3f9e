"""How plain callables become operations: their signatures, looked at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from flowrt.bodies import ActionBody, FunctionBody, GeneratorBody
from flowrt.errors import FlowBuildError


class Shape:
    """How a callable wants to be called.

    Attributes:
        required: its positional parameters without a default.
        stuck: its keyword-only ones without a default, which nobody would pass.
        takes_data: whether it takes any data.
        generates: whether it is a generator function.
        suspends: whether it is an `async def`.
    """

    __slots__ = ("generates", "required", "stuck", "suspends", "takes_data")

    def __init__(
        self,
        required: tuple[str, ...],
        stuck: tuple[str, ...] = (),
        *,
        takes_data: bool,
        generates: bool = False,
        suspends: bool = False,
    ) -> None:
        self.required = required
        self.stuck = stuck
        self.takes_data = takes_data
        self.generates = generates
        self.suspends = suspends


def shape_of(kind: str, name: str, function: Any) -> Shape:
    """Look at a signature once; `FlowBuildError` for what cannot be an operation."""
    if not callable(function):
        raise FlowBuildError(
            f'{kind} "{name}" needs something that can be called, got {type(function).__name__}. '
            "Pass the function itself, without calling it."
        )
    # A signature costs ten times what the code says of a function that nothing was hung on (`__wrapped__`, `__signature__`).
    plain = type(function) is FunctionType and not function.__dict__
    shape = _shape_of_code(function) if plain else _shape_of_signature(function)
    if shape.suspends:
        raise FlowBuildError(
            f'{kind} "{name}" is an async def, and this version of flowrt runs no event loop for operations. Make it a plain '
            "function (it may call asyncio.run) and give it a thread with make_async() or make_parallel(n)."
        )
    if shape.stuck:
        raise FlowBuildError(
            f'{kind} "{name}" has keyword-only parameters without a default ({", ".join(shape.stuck)}), which nobody would pass. '
            "Give them defaults, or bind them with functools.partial."
        )
    return shape


def _shape_of_code(function: FunctionType) -> Shape:
    code = function.__code__
    flags, positional = code.co_flags, code.co_argcount
    required = code.co_varnames[: max(positional - len(function.__defaults__ or ()), 0)]
    stuck: tuple[str, ...] = ()
    if code.co_kwonlyargcount:
        given = function.__kwdefaults__ or {}
        keywords = code.co_varnames[positional : positional + code.co_kwonlyargcount]
        stuck = tuple(keyword for keyword in keywords if keyword not in given)
    return Shape(
        required,
        stuck,
        takes_data=bool(required or code.co_posonlyargcount or flags & inspect.CO_VARARGS),
        generates=bool(flags & inspect.CO_GENERATOR),
        suspends=bool(flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)),
    )


def _shape_of_signature(function: Any) -> Shape:
    suspends = any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (function, type(function).__call__)
    )
    generates = inspect.isgeneratorfunction(function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # int, str and other built-ins have none
        return Shape(("data",), takes_data=True, generates=generates, suspends=suspends)
    needed = [p for p in parameters if p.default is p.empty]
    required = tuple(p.name for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    # Parameters with defaults are left alone; but the only one of a built-in such as float(x=0, /) is its data.
    optional = any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in parameters)
    return Shape(
        required,
        tuple(p.name for p in needed if p.kind is p.KEYWORD_ONLY),
        takes_data=bool(required) or optional,
        generates=generates,
        suspends=suspends,
    )


def _given_data(function: Any, shape: Shape) -> Callable[..., Any]:
    if shape.takes_data:
        return function  # type: ignore[no-any-return]

    def without_data(_data: Any) -> Any:
        return function()

    return without_data


def function_body(name: str, function: Any) -> FunctionBody:
    """Turn `f(data)` or `f()` into a body; `FlowBuildError` if it needs more."""
    shape = shape_of("function", name, function)
    if shape.generates:
        raise FlowBuildError(
            f'function "{name}" is a generator function. Add it with add_generator("{name}", ...), which emits each item it yields.'
        )
    hint = f" If {shape.required[-1]} is what it emits through, use add_action." if shape.required else ""
    _at_most_one(f'function "{name}"', shape, hint)
    return FunctionBody(_given_data(function, shape))


def generator_body(name: str, function: Any) -> GeneratorBody:
    """Turn a generator function (or any that returns an iterable) into a body."""
    shape = shape_of("generator", name, function)
    _at_most_one(f'generator "{name}"', shape, "")
    return GeneratorBody(_given_data(function, shape))


def action_body(
    name: str, function: Any, *, signal: bool
) -> tuple[FunctionBody | ActionBody, tuple[str, ...]]:
    """Turn an action into a body and its out-ports: one per continuation; its own for one, or for a signal; else none."""
    shape = shape_of("action", name, function)
    continuations = shape.required[1:]
    if signal and continuations:
        raise FlowBuildError(
            f'action "{name}" has continuations ({", ".join(continuations)}) and signal=True. A signal is for actions that emit nothing '
            "themselves: drop signal=True, or call a continuation when done."
        )
    if shape.generates:
        raise FlowBuildError(
            f'action "{name}" is a generator function. Add it with add_generator("{name}", ...).'
        )
    if not continuations:
        body = FunctionBody(_signalling(_given_data(function, shape)))
        return body, ("",) if signal else ()
    ports = ("",) if len(continuations) == 1 else continuations
    return ActionBody(function, ports), ports


def _signalling(function: Callable[..., Any]) -> Callable[..., None]:
    def call(data: Any) -> None:
        function(data)

    return call


def _at_most_one(what: str, shape: Shape, hint: str) -> None:
    if len(shape.required) > 1:
        raise FlowBuildError(
            f"{what} needs {len(shape.required)} arguments ({', '.join(shape.required)}), but an operation gets one: its data. "
            f"Pass a tuple and unpack it inside, or bind the others with functools.partial.{hint}"
        )
