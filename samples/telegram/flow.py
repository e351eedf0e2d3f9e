"""The telegram problem as a flow: read lines, split them into words, assemble new lines, write them."""

from __future__ import annotations

from io import StringIO
from typing import TextIO

from flowrt import Flow, FlowOperationContainer, FlowRuntime
from samples.telegram.operations import LineAssembler, LineWriter, read_lines, split_words


def telegram(width: int, out: TextIO) -> Flow:
    """Build a flow that takes texts at `.in`, one after another, and writes their words in lines to `out`."""
    operations = (
        FlowOperationContainer()
        .add_generator("read_lines", read_lines)
        .add_action("split_words", split_words)
        .add_action("assemble_lines", LineAssembler(width).assemble)
        .add_action("write_line", LineWriter(out).write)
    )
    return (
        Flow()
        .add_operations(operations)
        .add_stream(".in", "read_lines")
        .add_stream("read_lines", "split_words")
        .add_stream("split_words", "assemble_lines")
        .add_stream("assemble_lines", "write_line")
    )


def reformat(text: str, width: int) -> str:
    """Return the words of `text` in lines of at most `width` characters, separated by one blank.

    Line breaks and blank lines of `text` are blanks like any other. A word longer than `width` stands whole on a line
    of its own. Each line ends with a line break; a text without words gives the empty string.

    Raises:
        ValueError: `width` is less than 1.
    """
    out = StringIO()
    with FlowRuntime(telegram(width, out)) as runtime:
        runtime.process(".in", text).wait()
    return out.getvalue()
