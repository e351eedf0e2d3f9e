"""Which thread makes and uses what belongs to one thread, and which context variables a call sees (FOUND K5)."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Operation, OperationError

SCHEDULES = ["breadth_first", "depth_first", "round_robin", "parallel", "sync"]


class Counting(Operation):
    """Keeps a connection that only the thread may use that made it."""

    def create(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.execute("create table seen (x)")
        return connection

    def handle(self, state: sqlite3.Connection, message: Any, emit: Any) -> None:
        state.execute("insert into seen values (?)", (message.data,))
        emit(state.execute("select sum(x) from seen").fetchone()[0])


@pytest.mark.parametrize("parallelism", [True, False])
@pytest.mark.parametrize("mode", ["sync", "async", "pool"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_state_is_made_by_the_thread_that_uses_it(schedule: str, mode: str, parallelism: bool) -> None:
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
