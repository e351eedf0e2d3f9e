"""How plain callables become operations: their signatures, looked at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from attrs import frozen

from flowrt.bodies import ActionBody, FunctionBody, GeneratorBody
from flowrt.errors import FlowBuildError


@frozen
class Shape:
    """How a callable wants to be called: its positional parameters without a default, and whether it takes any data."""

    required: tuple[str, ...]
    takes_data: bool


def shape_of(kind: str, name: str, function: Any) -> Shape:
    """Look at a signature once; `FlowBuildError` for what cannot be an operation."""
    if not callable(function):
        raise FlowBuildError(
            f'{kind} "{name}" needs something that can be called, got {type(function).__name__}. '
            "Pass the function itself, without calling it."
        )
    _refuse_coroutines(kind, name, function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # int, str and other built-ins have none
        return Shape(("data",), takes_data=True)
    stuck = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if stuck:
        raise FlowBuildError(
            f'{kind} "{name}" has keyword-only parameters without a default ({", ".join(stuck)}), which nobody would pass. '
            "Give them defaults, or bind them with functools.partial."
        )
    required = [p.name for p in parameters if _positional(p) and p.default is p.empty]
    # Parameters with defaults are left alone; but the only one of a built-in such as float(x=0, /) is its data.
    optional = any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in parameters)
    return Shape(tuple(required), takes_data=bool(required) or optional)


def _positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _refuse_coroutines(kind: str, name: str, function: Any) -> None:
    for candidate in (function, type(function).__call__):
        if inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise FlowBuildError(
                f'{kind} "{name}" is an async def, and this version of flowrt runs no event loop for operations. Make it a plain '
                "function (it may call asyncio.run) and give it a thread with make_async() or make_parallel(n)."
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
    if inspect.isgeneratorfunction(function):
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
    if inspect.isgeneratorfunction(function):
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
