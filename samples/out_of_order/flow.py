"""Chapters are scattered, set in parallel, gathered and bound."""

from __future__ import annotations

from flowrt import Flow, FlowOperationContainer, Gather, Scatter


def set_chapter(title: str) -> str:
    """Set one chapter; a function to test as a function."""
    return title.strip().upper()


def bind(chapters: list[str]) -> str:
    """Bind chapters in the order they are given in."""
    return " / ".join(chapters)


def book(*, ordered: bool) -> Flow:
    """Build a flow that takes a list of titles at `.in` and gives the bound book at `.out`.

    With `ordered=False` it has a bug: `Gather` keeps the order of arrival, `bind` takes it for that of the book. It gives the right book
    almost always.
    """
    operations = (
        FlowOperationContainer()
        .add_operation(Scatter("chapters"))
        .add_func("set", set_chapter)
        .make_parallel(4)
        .add_operation(Gather("collect", ordered=ordered))
        .add_func("bind", bind)
    )
    return (
        Flow()
        .add_operations(operations)
        .add_stream(".in", "chapters")
        .add_stream("chapters.stream", "set")
        .add_stream("set", "collect.stream")
        .add_stream("chapters.count", "collect.count")
        .add_stream("collect", "bind")
        .add_stream("bind", ".out")
    )
