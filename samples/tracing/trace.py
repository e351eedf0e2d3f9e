"""A trace: what passes, written down; only what somebody wants to see."""

from __future__ import annotations

from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowrt import FlowRuntime, Message


def at(pattern: str) -> Callable[[Message], bool]:
    """Want messages at ports whose full name is like `parse/*`."""
    return lambda message: fnmatchcase(message.port.fullname, pattern)


def of(correlation_id: str) -> Callable[[Message], bool]:
    """Want messages with a correlation id."""
    return lambda message: message.correlation_id == correlation_id


@contextmanager
def traced(runtime: FlowRuntime, out: TextIO, *wanted: Callable[[Message], bool]) -> Iterator[None]:
    """While the block runs, write a line for each message that all of `wanted` want, as it is about to enter its port."""

    def tap(message: Message) -> None:
        if all(wants(message) for wants in wanted):
            out.write(f"{message.correlation_id}  {message.port.fullname:<20}  {message.data!r}\n")

    remove = runtime.on_message(tap)
    try:
        yield
    finally:
        remove()
