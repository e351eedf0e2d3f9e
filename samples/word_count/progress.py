"""The progress line of the word count."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowrt import FlowRuntime, Message

REDRAW = "\r\x1b[K"  # to the start of the line, and erase it (ECMA-48; any terminal of today)


@contextmanager
def progress_line(runtime: FlowRuntime, terminal: TextIO) -> Iterator[None]:
    """Show on `terminal` how many files are counted while the block runs; erase it then. In a file or pipe: nothing."""
    if not terminal.isatty():
        yield
        return
    counted = 0
    found = 0

    def show(message: Message) -> None:
        nonlocal counted, found
        match message.port.fullname:
            case "count_each":
                found = len(message.data)
            case "gather.count":
                found = message.data
            case "gather.stream":
                counted += 1
            case _:
                return  # nothing to show has changed
        of_all = f" of {found}" if found else ""
        terminal.write(f"{REDRAW}{counted}{of_all} files counted")
        terminal.flush()

    remove = runtime.on_message(show)
    try:
        yield
    finally:
        remove()
        terminal.write(REDRAW)
        terminal.flush()
