"""Stage 1, lists: three functions in a row, each of which hands on its whole result."""

from __future__ import annotations

from flowrt import Flow, FlowOperationContainer
from samples.word_count.operations import count_each, find_files, total


def word_count() -> Flow:
    """Build the flow: a folder enters at `.in`, its `Total` leaves at `.out`; an unreadable file fails the run."""
    operations = (
        FlowOperationContainer()
        .add_func("find_files", find_files)
        .add_func("count_each", count_each)
        .add_func("total", total)
    )
    return (
        Flow()
        .add_operations(operations)
        .add_stream(".in", "find_files")
        .add_stream("find_files", "count_each")
        .add_stream("count_each", "total")
        .add_stream("total", ".out")
    )
