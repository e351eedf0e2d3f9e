"""`@operation` and `@in_port`: what the author of a function or method says about it where it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple, TypeVar, overload

from flowrt.errors import FlowBuildError
from flowrt.operations.contract import checked_port
from flowrt.operations.modes import (
    DEFAULT_WORKERS,
    SYNC,
    CanDispatch,
    InMode,
    Mode,
    ModeKind,
    checked_dispatcher,
    parallel_mode,
)
from flowrt.ports import check_name, did_you_mean

MODES_BY_NAME = {"sync": SYNC, "async": Mode("async"), "parallel": Mode("parallel", DEFAULT_WORKERS)}
# Dispatchers, and what there are dispatchers for.
DISPATCHES = ("dispatch", "call_soon_threadsafe", "winfo_toplevel")
OPERATION = "__flowrt_operation__"
IN_PORT = "__flowrt_in_port__"

Marked = TypeVar("Marked")
AnyMode = Mode | CanDispatch | ModeKind | None
"""How a mode may be given: what `parallel(...)` returns, its name, or what is to hand calls to a thread; None: not said."""


class Marker(NamedTuple):
    """What is known of a marked function. `name` and `mode` None: not said."""

    name: str | None = None
    mode: Mode | None = None
    signal: bool = False


@overload
def operation(f: Marked, /) -> Marked: ...


@overload
def operation(
    *, name: str | None = None, mode: Mode | str | Any | None = None, signal: bool = False
) -> Callable[[Marked], Marked]: ...


def operation(
    f: Any = None, /, *, name: str | None = None, mode: Mode | str | Any | None = None, signal: bool = False
) -> Any:
    """Mark a function or method as an operation, for `add_module`, `add_instance_operations` and `add_static_operations`.

    `@operation`, or `@operation(name="count", mode=parallel(4))`. Calling what is marked stays what it was. `add_func`, `add_action` and
    `add_generator` heed the mode too; a `make_` method behind them has the last word.

    Args:
        f: what is marked, also a static or class method.
        name: of the operation; by default the function's own.
        mode: "sync", "async", "parallel", what `parallel(...)` returns, or something with `dispatch(callable)`.
        signal: an action without continuations emits None when done.
    """
    marker = Marker(_checked_name(name), mode_of("operation", mode), signal=bool(signal))
    mark = partial(_mark, OPERATION, "operation", marker)
    return mark if f is None else mark(f)


@overload
def in_port(f: Marked, /) -> Marked: ...


@overload
def in_port(
    *, name: str | None = None, mode: Mode | str | Any | None = None
) -> Callable[[Marked], Marked]: ...


def in_port(f: Any = None, /, *, name: str | None = None, mode: Mode | str | Any | None = None) -> Any:
    """Mark a method as an in-port of a component: it is called with each message that arrives there, or with nothing if it takes nothing.

    What it returns is ignored; it emits by calling an `out_port()`. Calling it yourself stays what it was.

    Args:
        f: the method.
        name: of the port; by default the method's own, and "" is the component's default port.
        mode: as for `operation`; it counts before the mode of the whole component.
    """
    name = None if name is None else checked_port(name, "in")
    mark = partial(_mark, IN_PORT, "in_port", Marker(name, mode_of("in_port", mode)))
    return mark if f is None else mark(f)


@overload
def parallel(
    workers: int = ...,
    pool: str | None = None,
    *,
    ordered: bool = False,
    by_key: str | Callable[[Any], Any] | None = None,
) -> Mode: ...


@overload
def parallel(
    f: Callable[..., Any],
    workers: int = ...,
    pool: str | None = None,
    *,
    ordered: bool = False,
    by_key: str | Callable[[Any], Any] | None = None,
) -> InMode: ...


def parallel(  # noqa: D417 - what the two overloads name
    f: Any = None,
    /,
    *numbers: Any,
    ordered: bool = False,
    by_key: str | Callable[[Any], Any] | None = None,
    **named: Any,
) -> Any:
    """Return the mode that `make_parallel` gives with the same arguments; or a function with that mode, where the function comes first.

    The mode alone is for `@operation(mode=parallel(4))` and `add_func(f, parallel(4))`, the function with it for chains:
    `chain(parallel(find_files, 1), ...)`. `parallel(f, 1)` is a thread of its own, as with `make_async`.

    Args:
        f: what is to run in parallel; it may be left out.
        workers: how many threads.
        pool: operations that name the same pool, with the same number, share its threads.
        ordered: restore the order of arrival.
        by_key: keep the order, and one call at a time, per key: "port" for the in-port, or a function of the data.
    """
    if f is None or not (callable(f) or hasattr(f, "handle") or hasattr(f, "body")):
        numbers, f = (numbers if f is None else (f, *numbers)), None
    mode = _parallel(*numbers, ordered=ordered, by_key=by_key, **named)
    return mode if f is None else InMode(f, mode)


def _parallel(
    workers: int = DEFAULT_WORKERS,
    pool: str | None = None,
    *,
    ordered: bool,
    by_key: str | Callable[[Any], Any] | None,
) -> Mode:
    return parallel_mode("parallel", workers, pool, ordered=ordered, by_key=by_key)


def mode_of(where: str, mode: Any) -> Mode | None:
    """Return a mode given in whatever form; `FlowBuildError` if it is none."""
    if mode is None or isinstance(mode, Mode):
        return mode
    given, hint = f"of type {type(mode).__name__}", ""
    if isinstance(mode, str):
        if mode in MODES_BY_NAME:
            return MODES_BY_NAME[mode]
        given, hint = repr(mode), did_you_mean(mode, MODES_BY_NAME)
    elif any(hasattr(mode, name) for name in DISPATCHES):
        return Mode(dispatcher=checked_dispatcher(f"{where}: mode", mode))
    raise FlowBuildError(
        f'{where}: mode is {given}; give "sync", "async", "parallel", or parallel(workers).{hint}'
    )


def marker_of(function: Any, kind: str = OPERATION) -> Marker | None:
    """Return the marker of a function, method, static or class method; None if it has none."""
    if type(function) is FunctionType:  # as most are
        found = getattr(function, kind, None)
    else:
        if issubclass(type(function), MethodType | staticmethod | classmethod):  # its `__class__` may raise
            function = function.__func__
        # A module may hold objects that make up attributes, or raise.
        found = inspect.getattr_static(function, kind, None)
    return found if isinstance(found, Marker) else None


def _checked_name(name: Any) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise FlowBuildError(f"operation: name is of type {type(name).__name__}, and a name is a text.")
    return check_name(name)


def _mark(kind: str, verb: str, marker: Marker, function: Any) -> Any:
    is_class = isinstance(function, type)
    what = f"the class {function.__name__}" if is_class else f"something of type {type(function).__name__}"
    if is_class or not (callable(function) or isinstance(function, staticmethod | classmethod)):
        raise FlowBuildError(
            f'@{verb} marks functions and methods, not {what}. Give other arguments by name: @{verb}(name="..."); of a class mark the methods.'
        )
    try:
        setattr(getattr(function, "__func__", function), kind, marker)
    except (AttributeError, TypeError):
        raise FlowBuildError(
            f"@{verb} cannot mark {what}, which takes no attributes. Mark a function that calls it."
        ) from None
    return function
