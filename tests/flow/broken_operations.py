"""The operations of tests/flow/broken.flow, each with the faults that the comments behind them name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flowrt import FlowOperationContainer, Gather, PopCausality, Scatter
from flowrt.standard import AutoResetJoin, Zip


def greet(name: str) -> str:
    return name


def sort_out(line: str, on_text: Callable[[str], None], on_number: Callable[[int], None]) -> None:
    """Emits nothing here: it is never called."""


def count(text: str) -> int:
    return len(text)


def double(number: int) -> int:
    return 2 * number


def upper(text: str) -> str:
    return text.upper()


def words(text: str) -> Iterator[str]:
    yield from text.split()


def listing(folder: str) -> list[str]:
    return [folder]


def add_operations() -> FlowOperationContainer:
    operations = FlowOperationContainer()
    operations.add_func("greet", greet)
    operations.add_operation(Zip("zip", ["left", "right"]))
    operations.add_action("sort_out", sort_out)
    operations.add_func("load", upper)
    operations.add_func("echo", upper)
    operations.add_func("both", upper)  # planted: F108
    operations.add_func("forget", upper)  # planted: F201
    operations.add_operation(AutoResetJoin("join"))  # planted: F202
    operations.add_func("unused", upper)  # planted: F203
    operations.add_func("excused", upper).ignore("F203")
    operations.add_func("orphan", upper)
    operations.add_func("first", double)
    operations.add_func("second", double)
    operations.add_func("count", count)
    operations.add_func("upper", upper)
    operations.add_func("listing", listing)  # planted: F302
    operations.add_func("longest", lambda names: max(names, key=len))
    operations.add_func("sorted", lambda names: names.sort())
    operations.add_operation(Gather("alone"))  # planted: F401
    for number in "123":
        operations.add_operation(Scatter(f"scatter{number}"))
    operations.add_operation(Gather("gather1"))
    operations.add_operation(Gather("gather3"))
    operations.add_func("double", double)
    operations.add_func("quick", double)
    operations.add_func("slow", double).make_parallel(4)
    operations.add_operation(AutoResetJoin("mixed"))  # planted: F404
    operations.add_operation(PopCausality("pop"))  # planted: F405
    operations.add_func("pooled", upper).make_async("books")
    operations.add_func("crowded", upper).make_parallel(2, "books")  # planted: F501
    operations.add_func("hasty", upper).timeout(1)  # planted: F502
    operations.add_generator("words", words).make_async().timeout(1)  # planted: F503
    return operations
