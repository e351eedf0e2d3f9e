"""What a callable's code, or else its signature, says of how it wants to be called."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import Mock

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, FlowRuntime
from flowrt.operations.signatures import _shape_of_code, _shape_of_signature, shape_of


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


async def _suspending(_x: Any) -> None: ...


async def _asynchronous(_x: Any) -> Any:
    yield


def _generating(x: Any) -> Any:
    yield x


@pytest.mark.parametrize(
    "function",
    [
        lambda: 0,
        lambda x: x,
        lambda x, y: (x, y),
        lambda x, y=1: (x, y),
        lambda x=1: x,
        lambda *xs: xs,
        lambda **xs: xs,
        lambda x, /: x,
        lambda x=1, /: x,
        lambda x, *, key: (x, key),
        lambda x, *, key=1: (x, key),
        lambda x, *rest, key, other=2, **more: (x, rest, key, other, more),
        _suspending,
        _asynchronous,
        _generating,
    ],
)
def test_the_code_of_a_plain_function_says_what_its_signature_says(function: Any) -> None:
    assert _shape_of_code(function) == _shape_of_signature(function)


def _injecting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function("injected", *args)

    return inner


@functools.singledispatch
def _dispatching(x: Any) -> Any:
    return x


@dataclass
class _Defaults:
    x: Any = 0
    y: int = 1


class _Callable:
    def __call__(self, x: Any = 0) -> Any:
        return x

    def method(self, x: Any = 0, *more: Any) -> Any:
        return x, more


class _Raising(_Callable):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class _MadeUp(_Callable):
    def __getattr__(self, _name: str) -> Any:
        return self


class _WrongSignature(_Callable):
    __signature__ = "none"


def _result(function: Any, data: Any) -> Any:
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "f").add_stream("f", ".out")
        runtime.add_operations(FlowOperationContainer().add_func("f", function))
        return runtime.process(".in", data).result(5).data


@pytest.mark.parametrize(
    ("function", "data", "expected"),
    [
        (os.path.basename, "a/b", "b"),
        (Decimal, "19.90", Decimal("19.90")),
        (Fraction, "1/2", Fraction(1, 2)),
        (complex, "1j", 1j),
        (int, "7", 7),
        (_Defaults, 3, _Defaults(3)),
        ("a,b".split, ",", ["a", "b"]),
        (lambda x=0: x, 4, 4),
        (lambda *xs: xs, 4, (4,)),
        (lambda x=0, /, *, key=1: (x, key), 4, (4, 1)),
        (functools.partial(lambda a, b=0: (a, b), 1), 4, (1, 4)),
        (functools.partial(int, base=2), "11", 3),
        (functools.lru_cache(lambda x=0: x), 4, 4),
        (_dispatching, 4, 4),
        (_Callable(), 4, 4),
        (_Callable().method, 4, (4, ())),
        (Mock(side_effect=lambda x: x), 4, 4),
        (_injecting(lambda connection, x: (connection, x)), 4, ("injected", 4)),
        (_decorated(lambda x: x), 4, 4),
    ],
)
def test_who_can_take_one_positional_argument_gets_the_data(function: Any, data: Any, expected: Any) -> None:
    """FOUND K3: with or without a default, whatever kind of callable it is and whatever it wraps."""
    assert _result(function, data) == expected


@pytest.mark.parametrize("kind", [_Raising, _MadeUp, _WrongSignature])
def test_an_object_that_lies_about_its_signature_is_asked_by_way_of_its_class(kind: Any) -> None:
    assert _result(kind(), 4) == 4


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: "called", "called"),
        (lambda *, key=1: key, 1),
        (lambda **named: named, {}),
        (functools.partial(lambda a: a, "given"), "given"),
        (functools.partial(lambda a, b=2: (a, b), a="given"), ("given", 2)),
        (functools.cache(lambda: "kept"), "kept"),
        pytest.param(os.getpid, os.getpid(), id="getpid"),
    ],
)
def test_who_can_take_none_is_called_without(function: Any, expected: Any) -> None:
    assert _result(function, "data") == expected


def test_a_builtin_without_a_signature_is_called_as_its_documentation_says() -> None:
    assert isinstance(_result(time.monotonic, "data"), float)


@pytest.mark.parametrize(
    "function", [lambda x=0, *, key: (x, key), functools.partial(lambda a, b: (a, b), a=1)]
)
def test_a_keyword_that_nobody_would_pass_is_refused(function: Any) -> None:
    with pytest.raises(FlowBuildError, match=r'function "f" has keyword-only parameters without a default'):
        FlowOperationContainer().add_func("f", function)


def test_the_signature_is_that_of_the_object_called_not_of_what_it_wraps() -> None:
    assert shape_of("function", "f", _injecting(lambda connection, x: (connection, x))).required == ()
    assert shape_of("function", "f", functools.lru_cache(lambda x, y: (x, y))).required == ("x", "y")


def test_a_decorator_that_says_what_its_wrapper_takes_is_believed() -> None:
    def check(x: Any, emit: Any) -> None:
        emit(x)

    wrapper = _decorated(check)
    wrapper.__signature__ = inspect.signature(check)  # type: ignore[attr-defined]
    assert shape_of("action", "check", wrapper).required == ("x", "emit")
    # Not what was copied along from what it wraps.
    assert shape_of("action", "check", _injecting(wrapper)).required == ()


def test_an_object_that_generates_is_a_generator() -> None:
    class Generating:
        def __call__(self, x: Any) -> Any:
            yield x

    with pytest.raises(FlowBuildError, match="is a generator function"):
        FlowOperationContainer().add_func("f", Generating())
