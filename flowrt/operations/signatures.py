"""What a callable takes: its data or nothing, continuations, what nobody would pass; asked of the object that is called, not of what it wraps."""

from __future__ import annotations

import functools
import inspect
import re
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from flowrt import users
from flowrt.errors import FlowBuildError

# They call what they wrap with what they are given, and have no signature of their own.
PASSING_ON = (functools._lru_cache_wrapper, staticmethod)


class Shape(NamedTuple):
    """How a callable wants to be called."""

    required: tuple[str, ...]  # its positional parameters without a default
    stuck: tuple[str, ...]  # its keyword-only ones without a default, which nobody would pass
    takes_data: bool  # one positional argument at least, with or without a default
    generates: bool  # it is a generator function
    suspends: bool  # it is an `async def`


def shape_of(kind: str, name: str, function: Any) -> Shape:
    """Look at a signature once; `FlowBuildError` for what cannot be an operation."""
    if not callable(function):
        raise FlowBuildError(
            f'{kind} "{name}" needs something that can be called, got {type(function).__name__}. Pass the function itself, without calling it.'
        )
    called = function
    while type(called) in PASSING_ON:
        called = called.__wrapped__
    # A signature costs ten times what the code says, unless something else was said in its place.
    plain = type(called) is FunctionType and not _says_otherwise(called)
    shape = _shape_of_code(called) if plain else _shape_of_signature(called)
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


def _says_otherwise(function: FunctionType) -> bool:
    """Say whether a function has a signature that is not its code's. One that `functools.wraps` copied is that of what it wraps."""
    said, wrapped = function.__dict__.get("__signature__"), function.__dict__.get("__wrapped__")
    copied = type(wrapped) is FunctionType and wrapped.__dict__.get("__signature__") is said
    return said is not None and not copied


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
        takes_data=bool(positional or flags & inspect.CO_VARARGS),
        generates=bool(flags & inspect.CO_GENERATOR),
        suspends=bool(flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
        or (bool(function.__dict__) and inspect.iscoroutinefunction(function)),  # marked as one
    )


def _shape_of_signature(function: Any) -> Shape:
    suspends = generates = False
    for candidate in (function, type(function).__call__):
        try:
            suspends = suspends or inspect.iscoroutinefunction(candidate)
            suspends = suspends or inspect.isasyncgenfunction(candidate)
            generates = generates or inspect.isgeneratorfunction(candidate)
        except Exception:  # noqa: S112 - an object that raises where it is asked for an attribute says nothing
            continue
    parameters = _parameters_of(function)
    if parameters is None:  # int, str and other built-ins have no signature
        takes_data = not _documented_without_arguments(function)
        return Shape(("data",) * takes_data, (), takes_data, generates, suspends)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return Shape(
        tuple(p.name for p in positional if p.default is p.empty),
        tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty),
        takes_data=bool(positional) or any(p.kind is p.VAR_POSITIONAL for p in parameters),
        generates=generates,
        suspends=suspends,
    )


def only_begins(function: Any) -> bool:
    """Say whether a call of this gives an iterator of which nothing has been done yet: it is a generator function. Never raises."""
    try:
        return inspect.isgeneratorfunction(function)
    except users.STOPS:
        raise
    except BaseException:  # an object that raises where it is asked for an attribute
        return False


def _parameters_of(function: Any) -> list[inspect.Parameter] | None:
    """Return what a callable takes, itself and not what it wraps; None if nothing says so."""
    try:
        return list(inspect.signature(function, follow_wrapped=False).parameters.values())
    except Exception:  # noqa: S110 - it has none, or an attribute of it that is asked for raises or is no signature
        pass
    call = type(function).__call__
    if type(call) is FunctionType:  # its class knows, whatever the object makes up
        parameters = list(inspect.signature(call, follow_wrapped=False).parameters.values())
        itself = parameters and parameters[0].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        return parameters[1:] if itself else parameters
    return None


def _documented_without_arguments(function: Any) -> bool:
    """Say whether a built-in without a signature is one as `time.time`, of which its text says `time() -> ...` and nothing else."""
    if type(function) is not BuiltinFunctionType or function.__doc__ is None:
        return False
    return re.findall(rf"^{re.escape(function.__name__)}\((.*?)\)", function.__doc__, re.MULTILINE) == [""]
