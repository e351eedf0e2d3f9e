"""What the operations of tests are made of: small functions, a gate; and how long to wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from flowrt import OperationError

# The limit of every wait, in seconds. Only a test that fails gets there.
SECONDS = 8.0

Function = Callable[..., Any]  # what an operation is made of


def increment(number: int) -> int:
    return number + 1


def double(number: int) -> int:
    return number * 2


def same(data: Any) -> Any:
    return data


def refuse(data: Any) -> Any:
    raise ValueError("refused")


def twice(data: Any, on_data: Callable[[Any], None]) -> None:
    on_data(data)
    on_data(data)


def thrice(data: Any) -> Iterator[Any]:
    yield from [data] * 3


def countdown(number: int, again: Callable[[int], None], done: Callable[[str], None]) -> None:
    if number:
        again(number - 1)
    else:
        done("liftoff")


def input_of(error: BaseException) -> Any:
    """The data of the message an operation failed at."""
    assert isinstance(error, OperationError)
    assert error.message is not None
    return error.message.data


class Gate:
    """A function for an operation: every call waits inside until the gate is opened, then returns its data."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, data: Any) -> Any:
        self.entered.set()
        arrived(self.opened)
        return data

    def open(self) -> None:
        self.opened.set()


def arrived(event: threading.Event) -> None:
    """Wait for the event, and fail with a word when it does not come."""
    if not event.wait(SECONDS):
        raise AssertionError("the event did not arrive in time")


def on_thread(function: Function, *arguments: Any) -> None:
    """Call the function on a thread of its own and wait until it has returned; what it raises is raised here."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function(*arguments)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        raise AssertionError("the call did not return in time")
    if raised:
        raise raised[0]
