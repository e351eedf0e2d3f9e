"""Stage 3, guarded: a causality around the counting, so that a file that cannot be read is reported and left out."""

from __future__ import annotations

from flowrt import Flow, FlowOperationContainer, Gather, PopCausality, PushCausality, Scatter
from samples.word_count.operations import count_words, find_files, report_unreadable, total


def guarded_operations() -> FlowOperationContainer:
    """Say what there is to do, and where."""
    return (
        FlowOperationContainer()
        .add_func("find_files", find_files)
        .make_async()
        .add_operation(Scatter("scatter"))
        .add_operation(PushCausality("guard"))
        .add_func("count_words", count_words)
        .make_parallel(4)
        .add_operation(PopCausality("unguard"))
        .add_func("report_unreadable", report_unreadable)
        .add_operation(Gather("gather", on_missing="skip"))
        .add_func("total", total)
    )


def word_count() -> Flow:
    """Build the flow: a folder enters at `.in`, its `Total` leaves at `.out`, each `Unreadable` at `.unreadable`."""
    return (
        Flow()
        .add_operations(guarded_operations())
        .add_stream(".in", "find_files")
        .add_stream("find_files", "scatter")
        .add_stream("scatter.stream", "guard")
        .add_stream("guard", "count_words")
        .add_stream("guard.exception", "report_unreadable")
        .add_stream("report_unreadable", ".unreadable")
        .add_stream("count_words", "unguard")
        .add_stream("unguard", "gather.stream")
        .add_stream("scatter.count", "gather.count")
        .add_stream("gather", "total")
        .add_stream("total", ".out")
    )
