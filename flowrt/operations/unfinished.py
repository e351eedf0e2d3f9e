"""What a call may return instead of a result: a coroutine or the like, which nobody awaits, or a generator; and which functions may do so."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Iterable
from functools import partial
from opcode import opmap
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any

from flowrt.errors import FlowBuildError

TELLS_NO_DATA = True  # the texts of what is raised here hold none; see engine/failures.py
TYPES_KEPT = 1_000  # arbitrary: a program has fewer, unless it makes them as it goes

BUILT_IN = frozenset(each for each in vars(builtins).values() if type(each) is type)
FINISHED: set[type] = {type(None), *BUILT_IN}
"""Types of results that were looked at and found to be finished. It grows and is looked up where calls are made; any thread."""

# Without these a function has nothing to get a coroutine or generator from but what it was given.
_CALLING = frozenset(
    number
    for name, number in opmap.items()
    if any(part in name for part in ("CALL", "ATTR", "METHOD", "WITH", "SPECIAL", "IMPORT"))
)


def makes_calls(function: Any) -> bool:
    """Say whether a callable calls anything, or asks for an attribute, which may; a function of operators alone and a built-in type do not."""
    while type(function) is partial:
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    if type(function) is FunctionType:
        return not _CALLING.isdisjoint(function.__code__.co_code[::2])
    return type(function) is not type or function not in BUILT_IN


def is_unfinished(found: Any) -> bool:
    """Say whether something is a generator or waits to be awaited."""
    kind = type(found)
    if kind in FINISHED:
        return False
    if kind is GeneratorType or _is_awaitable(found):
        return True
    if len(FINISHED) >= TYPES_KEPT + len(BUILT_IN):
        FINISHED.intersection_update(BUILT_IN)
    FINISHED.add(kind)
    return False


def any_unfinished(results: Iterable[Any]) -> bool:
    """Say whether any of these is unfinished; some 20 ns each while all are of types that are known."""
    if FINISHED.issuperset(map(type, results)):
        return False
    return any(map(is_unfinished, results))


def _is_awaitable(found: Any) -> bool:
    kind = type(found)
    if kind is GeneratorType:
        return bool(found.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    if kind is CoroutineType or kind is AsyncGeneratorType:
        return True
    # Where classes keep it, and not by getattr: a class may raise there, or make it up.
    return any("__await__" in vars(base) for base in type.mro(kind))


def refused(found: Any) -> FlowBuildError | None:
    """Return the error of a call that returned this, if nobody awaits it, and close it; None for a generator, which can be pulled."""
    if not _is_awaitable(found):
        return None
    kind = type(found)
    if kind is CoroutineType or kind is GeneratorType:
        found.close()  # else the interpreter warns that it was never awaited
    of = f' of "{found.__qualname__}"' if kind is CoroutineType or kind is AsyncGeneratorType else ""
    return FlowBuildError(
        f"the call returned something to await ({kind.__name__}{of}), and this version of flowrt runs no event loop for operations: nothing awaits "
        "it. Have the function await it (asyncio.run does) and give it a thread with make_async() or make_parallel(n)."
    )


def refuse(found: Any) -> None:
    """Raise `FlowBuildError` for what was returned where a return value is ignored, if something was to come of it."""
    if not is_unfinished(found):
        return
    error = refused(found)
    if error is None:
        found.close()
        error = FlowBuildError(
            "the call returned a generator where a return value is ignored, so nothing of it would run. A generator function, or a function that "
            "returns a generator, is added with add_generator; in a method loop over it."
        )
    raise error
