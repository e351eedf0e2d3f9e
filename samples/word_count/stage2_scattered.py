"""Stage 2, scattered: the list becomes a stream of files, counted by four threads, and their counts a list again."""

from __future__ import annotations

from flowrt import Flow, FlowOperationContainer, Gather, Scatter
from samples.word_count.operations import count_words, find_files, total


def word_count() -> Flow:
    """Build the flow: a folder enters at `.in`, its `Total` leaves at `.out`; an unreadable file fails the run."""
    operations = (
        FlowOperationContainer()
        .add_func("find_files", find_files)
        .make_async()
        .add_operation(Scatter("scatter"))
        .add_func("count_words", count_words)
        .make_parallel(4)
        .add_operation(Gather("gather"))
        .add_func("total", total)
    )
    return (
        Flow()
        .add_operations(operations)
        .add_stream(".in", "find_files")
        .add_stream("find_files", "scatter")
        .add_stream("scatter.stream", "count_words")
        .add_stream("scatter.count", "gather.count")
        .add_stream("count_words", "gather.stream")
        .add_stream("gather", "total")
        .add_stream("total", ".out")
    )
