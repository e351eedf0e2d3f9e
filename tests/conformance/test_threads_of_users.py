"""Which thread makes and uses what belongs to one thread, and which context variables a call sees (FOUND K5)."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from itertools import product
from typing import Any

import pytest

from flowrt import (
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Operation,
    OperationError,
    Run,
    Scatter,
    in_port,
    out_port,
)
from tests.kit import effort

# Nothing closes what `create` made, until operations have resources; Python 3.13 warns of each connection left to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a test leaves to the collector is its own."""
    yield
    gc.collect()


SCHEDULES: Any = ["breadth_first", "depth_first", "round_robin", "parallel", "sync"]


class Counting(Operation):
    """Keeps a connection that only the thread may use that made it."""

    def create(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.execute("create table seen (x)")
        return connection

    def handle(self, state: sqlite3.Connection, message: Any, emit: Any) -> None:
        state.execute("insert into seen values (?)", (message.data,))
        emit(state.execute("select sum(x) from seen").fetchone()[0])


@pytest.mark.parametrize(
    ("schedule", "mode", "parallelism"),
    effort.share(product(SCHEDULES, ["sync", "async", "pool"], [True, False]), "state"),
)
def test_state_is_made_by_the_thread_that_uses_it(schedule: Any, mode: str, parallelism: bool) -> None:
    operations = FlowOperationContainer().add_operation(Counting("count"))
    if mode != "sync":
        operations.make_async(pool="db" if mode == "pool" else None)
    with FlowRuntime(schedule=schedule, parallelism=parallelism) as runtime:
        runtime.add_stream(".in", "count").add_stream("count", ".out").add_operations(operations)
        assert runtime.process_many(".in", [1, 2, 3]).values(5) == [1, 3, 6]
        assert runtime.process_many(".in", [4]).values(5) == [10]


def test_each_place_has_a_state_of_its_own_made_where_it_is_used() -> None:
    made: list[int] = []

    class Where(Operation):
        def create(self) -> int:
            made.append(threading.get_ident())
            return made[-1]

        def handle(self, state: int, _message: Any, emit: Any) -> None:
            emit(state == threading.get_ident())

    operations = FlowOperationContainer().add_operation("where", lambda: Where("where")).make_async()
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "where#1").add_stream("where#1", "where#2").add_stream("where#2", ".out")
        runtime.add_operations(operations)
        assert runtime.process_many(".in", range(5)).values(5) == [True] * 5
    assert len(made) == 2


def test_a_state_that_cannot_be_made_fails_the_message_in_hand_and_is_tried_again() -> None:
    attempts: list[int] = []

    class Shaky(Operation):
        def create(self) -> str:
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError("no connection yet")
            return "made"

        def handle(self, state: str, _message: Any, emit: Any) -> None:
            emit(state)

    operations = FlowOperationContainer().add_operation(Shaky("shaky")).make_async()
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "shaky").add_stream("shaky", ".out").add_operations(operations)
        with pytest.raises(OperationError) as told:
            runtime.process(".in", 1).wait(5)
        assert isinstance(told.value.__cause__, OSError)
        assert runtime.process(".in", 2).result(5).data == "made"
        assert runtime.process(".in", 3).result(5).data == "made"
    assert len(attempts) == 2


def test_a_run_that_is_cancelled_before_there_is_a_state_is_nothing_to_forget() -> None:
    forgotten: list[Any] = []

    class Forgetful(Operation):
        def handle(self, _state: Any, _message: Any, _emit: Any) -> None:
            pass

        def cancelled(self, state: Any, _run: Any) -> None:
            forgotten.append(state)

    entered, go_on = threading.Event(), threading.Event()

    def wait(x: int) -> int:
        entered.set()
        go_on.wait(5)
        return x

    operations = FlowOperationContainer().add_func("wait", wait).make_async()
    operations.add_operation(Forgetful("forgetful")).make_async()
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "wait").add_stream("wait", "forgetful").add_operations(operations)
        runtime.start()
        run = runtime.process(".in", 1)
        assert entered.wait(5)
        run.cancel()
        go_on.set()
        runtime.wait_idle(5)
    assert forgotten == []


# -- context variables

TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")
MODES: dict[str, Any] = {
    "sync": lambda container: container.make_sync(),
    "async": lambda container: container.make_async(),
    "parallel": lambda container: container.make_parallel(3),
    "ordered": lambda container: container.make_parallel(2, ordered=True),
    "guarded": lambda container: container.make_async().retry(2),
}


def tagged(x: Any) -> Any:
    """Say who is seen, and leave something that nobody else is to see."""
    seen = TENANT.get()
    TENANT.set(f"left by {x}")
    return (seen, x)


class Tagging(Operation):
    def handle(self, _state: Any, message: Any, emit: Any) -> None:
        emit(tagged(message.data))


class Component:
    out = out_port("")

    @in_port(name="")
    def take(self, x: Any) -> None:
        self.out(tagged(x))


def tagging(x: Any) -> Iterator[Any]:
    seen = TENANT.get()
    TENANT.set("the generator's own")
    yield (seen, x)
    assert TENANT.get() == "the generator's own"


KINDS: dict[str, Any] = {
    "function": lambda container: container.add_func("f", tagged),
    "action": lambda container: container.add_action("f", lambda x, emit: emit(tagged(x))),
    "generator": lambda container: container.add_generator("f", tagging),
    "disguised": lambda container: container.add_func("f", lambda x: (tagging)(x)),  # noqa: PLW0108 - nothing says that it generates
    "operation": lambda container: container.add_operation(Tagging("f")),
    "component": lambda container: container.add_component("f", Component()),
}


@pytest.mark.parametrize(
    ("schedule", "mode", "kind"), effort.share(product(SCHEDULES, MODES, KINDS), "what was set")
)
def test_a_call_sees_what_was_set_where_its_run_was_started(schedule: Any, mode: str, kind: str) -> None:
    if kind == "operation" and mode in ("parallel", "ordered"):
        pytest.skip("it keeps state")
    operations = FlowOperationContainer()
    MODES[mode](KINDS[kind](operations))
    operations.add_func("second", tagged)

    def send(tenant: str) -> list[Run]:
        TENANT.set(tenant)
        runs = [runtime.process(".in", number) for number in range(3)]
        return [*runs, runtime.process_many(".in", range(3, 6))]

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_stream(".in", "f").add_stream("f", "second").add_stream("second", ".out")
        runtime.add_operations(operations)
        both = [(tenant, run) for tenant in "abc" for run in copy_context().run(send, tenant)]
        for tenant, run in both:
            values = run.values(5)
            assert {(second, first) for second, (first, _) in values} == {(tenant, tenant)}
    assert TENANT.get() == "nobody"


def test_an_error_in_such_a_call_keeps_its_way() -> None:
    def fail(x: int) -> None:
        raise ValueError(str(x))

    def send(runtime: FlowRuntime) -> Run:
        TENANT.set("somebody")
        return runtime.process(".in", 1)

    for schedule in SCHEDULES:
        operations = FlowOperationContainer().add_func("before", tagged).add_func("f", fail)
        with FlowRuntime(schedule=schedule) as runtime:
            runtime.add_stream(".in", "before").add_stream("before", "f").add_stream("f", ".out")
            runtime.add_operations(operations)
            with pytest.raises(OperationError) as told:
                copy_context().run(send, runtime).wait(5)
        cause = told.value.__cause__
        assert isinstance(cause, ValueError)
        assert cause.__traceback__ is not None
        assert cause.__traceback__.tb_frame.f_code.co_name == "fail", schedule


def test_a_late_emission_and_a_gathered_list_see_it_too() -> None:
    kept: list[Any] = []
    operations = FlowOperationContainer().add_action("keep", lambda _x, emit: kept.append(emit))
    operations.add_func("late", tagged).add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_func("each", tagged).add_func("total", tagged)

    def send() -> Run:
        TENANT.set("somebody")
        runtime.process(".in", 1).wait(5)
        return runtime.process(".list", [1, 2])

    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "keep").add_stream("keep", "late").add_stream("late", ".out")
        runtime.add_stream(".list", "scatter").add_stream("scatter.stream", "each")
        runtime.add_stream("each", "gather.stream").add_stream("scatter.count", "gather.count")
        runtime.add_stream("gather", "total").add_stream("total", ".total").add_operations(operations)
        run = copy_context().run(send)
        assert run.result(5).data == ("somebody", [("somebody", 1), ("somebody", 2)])
        kept[0]("later")
        assert runtime.wait_for_result(5).data == ("somebody", "later")


# -- generators


def rows(number: int) -> Iterator[int]:
    """Go through rows on a connection that only the thread may use that made it."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table numbers (x)")
    connection.executemany("insert into numbers values (?)", [(number,)] * 50)
    try:
        for (x,) in connection.execute("select x from numbers"):
            yield x
    finally:
        connection.close()  # raises on another thread


def cursor(number: int) -> Any:
    """Open what is gone through, instead of generating."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table numbers (x)")
    connection.executemany("insert into numbers values (?)", [(number,)] * 50)
    return (x for (x,) in connection.execute("select x from numbers"))


@pytest.mark.parametrize(
    ("schedule", "mode", "function"), effort.share(product(SCHEDULES, MODES, [rows, cursor]), "steps")
)
def test_one_generator_is_stepped_by_one_thread(schedule: Any, mode: str, function: Any) -> None:
    operations = FlowOperationContainer()
    MODES[mode](operations.add_generator("rows", function, window=8))
    operations.add_func("slow", str).make_parallel(2)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_stream(".in", "rows").add_stream("rows", "slow").add_stream("slow", ".out")
        runtime.add_operations(operations)
        values = runtime.process_many(".in", range(8)).values(10)
    assert sorted(values) == sorted(str(number) for number in range(8) for _ in range(50))


def test_generators_beside_each_other_have_a_thread_each() -> None:
    """Each waits for the others in every step, also after the first."""
    barrier = threading.Barrier(3, timeout=10)

    def steps(x: int) -> Iterator[int]:
        for _ in range(5):
            barrier.wait()
            yield x

    operations = FlowOperationContainer().add_generator("steps", steps).make_parallel(3)
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "steps").add_stream("steps", ".out").add_operations(operations)
        assert sorted(runtime.process_many(".in", range(3)).values(20)) == [0] * 5 + [1] * 5 + [2] * 5


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_a_generator_is_closed_by_the_thread_that_stepped_it(end: str) -> None:
    threads: list[int] = []
    begun, ended = threading.Event(), threading.Event()

    def endless(x: int) -> Iterator[int]:
        threads.append(threading.get_ident())
        try:
            while True:
                begun.set()
                yield x
        finally:
            threads.append(threading.get_ident())
            ended.set()

    operations = FlowOperationContainer().add_generator("endless", endless, window=4).make_parallel(3)
    operations.add_action("take", lambda _x: None)
    runtime = FlowRuntime()
    runtime.add_stream(".in", "endless").add_stream("endless", "take").add_operations(operations)
    run = runtime.process(".in", 1)
    assert begun.wait(5)
    if end == "cancel":
        run.cancel()
        assert ended.wait(5)
    runtime.close()
    assert ended.wait(5)
    assert len(threads) == 2
    assert threads[0] == threads[1] != threading.get_ident()
