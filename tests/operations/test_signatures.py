"""What a callable's code, or else its signature, says of how it wants to be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from flowrt.operations.bodies import _shape_of_code, _shape_of_signature, shape_of


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


def test_what_a_decorator_left_behind_is_asked_for_its_signature() -> None:
    assert shape_of("function", "f", _decorated(lambda x, y: (x, y))).required == ("x", "y")
