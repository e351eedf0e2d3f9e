"""What a call returns is looked at: a coroutine fails its message, a generator is pulled (FOUND K4)."""

# ruff: noqa: PLW0108, C416 - lambdas and lists that call something are what is looked at

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowOperationContainer,
    FlowRuntime,
    Operation,
    OperationError,
    Run,
    RunCancelledError,
    in_port,
    out_port,
)
from flowrt.operations.unfinished import BUILT_IN, FINISHED, TYPES_KEPT, is_unfinished, makes_calls

SCHEDULES = ["breadth_first", "depth_first", "round_robin", "parallel", "sync"]
Made = Callable[[FlowOperationContainer], Any]
MODES: dict[str, Made] = {
    "sync": lambda container: container.make_sync(),
    "async": lambda container: container.make_async(),
    "parallel": lambda container: container.make_parallel(3),
    "ordered": lambda container: container.make_parallel(3, ordered=True),
    "retried": lambda container: container.make_async().retry(2),
}


async def fetch(x: int) -> int:
    return x


@types.coroutine
def old_fetch(x: int) -> Any:
    yield x


async def stream(x: int) -> Any:
    yield x


class Promise:
    def __await__(self) -> Any:
        raise AssertionError("nobody awaits it")


def upto(x: int) -> Iterator[int]:
    yield from range(x)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


@pytest.fixture(autouse=True)
def _nothing_is_left_to_await() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


def _flow(schedule: Any, make: Made, function: Any) -> FlowRuntime:
    """A function of that kind between two that make no calls."""
    container = FlowOperationContainer().add_func("before", lambda x: x)
    make(container.add_func("f", function))
    container.add_func("after", lambda x: x)
    runtime = FlowRuntime(schedule=schedule)
    for source, target in [(".in", "before"), ("before", "f"), ("f", "after"), ("after", ".out")]:
        runtime.add_stream(source, target)
    runtime.add_operations(container)
    return runtime


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_coroutine_fails_its_message_and_no_other(schedule: Any, mode: str) -> None:
    with _flow(schedule, MODES[mode], lambda x: fetch(x) if x % 3 == 1 else x) as runtime:
        run = runtime.process_many(".in", range(7))
        with pytest.raises(OperationError, match=r'something to await \(coroutine of "fetch"\)') as told:
            run.wait(5)
        assert told.value.operation == "f"
        assert told.value.message is not None
        assert len(run.failures) == 2
        found: list[int] = []
        with pytest.raises(OperationError):
            found.extend(message.data for message in run.results())
        assert sorted(found) == [0, 2, 3, 5, 6]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_generator_out_of_a_function_is_pulled(schedule: Any, mode: str) -> None:
    with _flow(schedule, MODES[mode], logged(upto)) as runtime:
        assert sorted(runtime.process_many(".in", [2, 0, 3]).values(5)) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_also_where_only_some_calls_return_one(schedule: Any, mode: str) -> None:
    """Not the first alone is looked at."""
    with _flow(schedule, MODES[mode], lambda x: upto(x) if x == 5 else str(x)) as runtime:
        found = runtime.process_many(".in", [1, 2, 5, 3]).values(5)
    assert sorted(map(repr, found)) == sorted(map(repr, ["1", "2", 0, 1, 2, 3, 4, "3"]))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: fetch(x),
        lambda x: old_fetch(x),
        lambda x: stream(x),
        lambda _x: Promise(),
        logged(fetch),
        functools.partial(logged(lambda _first, x: fetch(x)), 1),
    ],
)
def test_whatever_waits_to_be_awaited_is_refused(function: Any) -> None:
    with (
        _flow("breadth_first", MODES["sync"], function) as runtime,
        pytest.raises(OperationError, match="nothing awaits it"),
    ):
        runtime.process(".in", 1).wait(5)


def test_a_future_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    with (
        _flow("breadth_first", MODES["sync"], lambda _x: next(iter([future]))) as runtime,
        pytest.raises(OperationError, match=r"something to await \(Future\)"),
    ):
        runtime.process(".in", 1).wait(5)
    assert not future.done()
    loop.close()


class _Handling(Operation):
    def handle(self, _state: Any, message: Any, _emit: Any) -> Any:
        return fetch(message.data)


class _Component:
    out = out_port("")

    @in_port(name="")
    def take(self, x: int) -> Any:
        return fetch(x)


@pytest.mark.parametrize(
    "add",
    [
        lambda container: container.add_action("f", logged(fetch)),
        lambda container: container.add_action("f", lambda x: logged(upto)(x)),
        lambda container: container.add_action("f", lambda x, emit: fetch(emit(x))),
        lambda container: container.add_generator("f", lambda x: fetch(x)),
        lambda container: container.add_operation(_Handling("f")),
        lambda container: container.add_component("f", _Component()),
    ],
)
def test_also_where_a_return_value_is_ignored(add: Made) -> None:
    container = FlowOperationContainer()
    add(container)
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "f").add_operations(container)
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError, match="the call returned"):
            run.wait(5)


def test_a_chain_of_functions_tells_which_one_returned_it() -> None:
    """Depth-first they are one function."""
    container = FlowOperationContainer().add_func("a", lambda x: x + 1).add_func("b", lambda x: fetch(x))
    container.add_func("c", lambda x: x).add_func("d", lambda x: logged(upto)(x))
    with FlowRuntime(schedule="depth_first") as runtime:
        runtime.add_stream(".in", "a").add_stream("a", "b").add_stream("b", "c").add_stream("c", ".out")
        runtime.add_stream(".other", "c").add_stream("c", "d").add_stream("d", ".items")
        runtime.add_operations(container)
        with pytest.raises(OperationError) as told:
            runtime.process(".in", 1).wait(5)
        assert told.value.operation == "b"
        assert told.value.message is not None
        assert told.value.message.data == 2
        found = [(str(m.port), m.data) for m in runtime.process(".other", 2).results()]
    assert sorted(found) == [(".items", 0), (".items", 1), (".out", 2)]


def test_a_run_that_is_cancelled_closes_what_was_returned() -> None:
    closed: list[str] = []
    runs: list[Run] = []
    known = threading.Event()

    def endless(_x: int) -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append("closed")

    def cancel(_x: int) -> None:
        known.wait(5)
        runs[0].cancel()

    operations = FlowOperationContainer().add_func("f", logged(endless)).add_action("g", cancel)
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "f").add_stream("f", "g").add_operations(operations)
        runs.append(runtime.process(".in", 1))
        known.set()
        with pytest.raises(RunCancelledError):
            runs[0].wait(5)
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + 1, False),
        (lambda x: {"a": x, "b": (x, [x])}, False),
        (int, False),
        (functools.partial(int, base=2), False),
        (lambda x: str(x), True),
        (lambda x: x.attribute, True),
        (lambda x: [y for y in upto(x)], True),
        (logged(upto), True),
        (Promise, True),
        (len, True),
    ],
)
def test_a_function_that_makes_no_call_is_not_looked_at(function: Any, expected: bool) -> None:
    assert makes_calls(function) is expected


def test_types_that_were_seen_are_kept_within_a_bound() -> None:
    for number in range(TYPES_KEPT + 10):
        assert not is_unfinished(type(f"Made{number}", (), {})())
    assert len(FINISHED) <= TYPES_KEPT + len(BUILT_IN) + 1
    assert is_unfinished(upto(1))
