"""User code, for type checkers: mypy --strict and pyright must find nothing wrong with it, and must find what is marked.

Nothing here is run. What is marked `type: ignore` is an error that they have to see: one that is not needed is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import flowrt
from flowrt import (
    CloseReport,
    Emit,
    Flow,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Gathered,
    Ledger,
    Message,
    OperationError,
    Port,
    Run,
    Scatter,
    Stream,
    current,
    in_port,
    operation,
    out_port,
    parallel,
)
from flowrt.standard import Batch, Distinct, Filter, Reduce


def find_files(folder: str) -> list[str]:
    return [folder]


def count_words(text: str) -> int:
    return 0 if current().cancelled else len(text.split())


def lines(text: str) -> Iterator[str | Emit]:
    yield from text.splitlines()
    yield Emit("rejected", text)


@operation(name="shout", mode=parallel(4))
def shout(text: str) -> str:
    return text.upper()


class Alarm:
    rung = out_port()

    @in_port
    def set(self, hour: int) -> None:
        self.rung(hour)


def may_be_tried_again(error: BaseException) -> bool:
    return not isinstance(error, FileNotFoundError)


def retry_after(attempt: int, error: BaseException) -> float:
    return float(getattr(error, "seconds", attempt))


def containers() -> FlowOperationContainer:
    operations = (
        FlowOperationContainer()
        .add_func("find_files", find_files).make_async().timeout(5.0).retry(3, retry_after, on=may_be_tried_again)
        .add_func("count_words", count_words).make_parallel(4, ordered=True).retry(3, 0.5, on=(OSError, ValueError))
        .add_generator("lines", lines)
        .add_func("fetch", shout).rate(5, burst=2, per=lambda address: address.partition("/")[0]).on_error("skip")
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather", on_missing="collect", expire=60.0))
        .add_operation(Distinct("distinct", max_keys=None))
        .add_operation(Filter("filter", bool))
        .add_operation(Batch("batch", 10))
        .add_operation(Reduce("sum", lambda total, item: total + item, 0))
        .add_component("alarm", Alarm())
    )  # fmt: skip
    operations.on_error("drop")  # type: ignore[arg-type]
    return operations


def results(flow: Flow) -> None:
    with FlowRuntime(flow, schedule="depth_first", overflow="drop_oldest") as runtime:
        run = runtime.process(".in", "books", priority=1, deadline=5.0)
        assert_type(run, Run)
        message = run.result(timeout=5)
        assert_type(message, Message)
        assert_type(message.port, Port)
        assert_type(message.priority, int)
        assert_type(run.ledger, Ledger)
        assert_type(run.ledger.balanced, bool)
        values = run.values()
        assert_type(values, list[Any])
        for each in runtime.process_many(".in", ["a", "b"]).results(timeout=1.0):
            assert_type(each, Message)
        try:
            run.wait()
        except OperationError as error:
            assert_type(error.operation, str)
            print(error.message.data, error.__cause__)
        remove = runtime.on_result(lambda result: print(result.data))
        remove()
        assert_type(runtime.close(), CloseReport)
    FlowRuntime(schedule="breadth-first")  # type: ignore[arg-type]
    FlowRuntime(overflow="drop")  # type: ignore[arg-type]
    Gather("gather", on_missing="ignore")  # type: ignore[arg-type]


def names() -> None:
    assert_type(Port.parse("find_files.out").name, str)
    assert_type(Stream(".in", "find_files").source, Port)
    assert_type(flowrt.__version__, str)
    for position, reason, error in Gathered([], ()).failures:
        assert_type(position, int | None)
        assert_type(reason, str)
        assert_type(error, BaseException | None)


def chains_of_functions() -> None:
    flow = flowrt.chain(find_files, len)
    assert_type(flow.run("."), int)
    flow.run(3)  # type: ignore[arg-type]
    with FlowRuntime(flow, schedule="sync") as runtime:
        run = runtime.process(".in", ".")
        assert_type(run, Run[int])
        assert_type(run.result(), Message[int])
        assert_type(run.result().data, int)
        assert_type(run.values(), list[int])
        assert_type([message.data for message in runtime.stream(".in", ["."])], list[int])
    assert_type(flowrt.chain(find_files, Scatter(), parallel(count_words, 4), Gather(), sum).run("."), Any)
    with FlowRuntime() as other:
        assert_type(other.process(".in").result().data, Any)
        assert_type(other.emit_from("sum", 3).values(), list[Any])
