"""Streams, taps and changes of the flow, as far as no other test shows the behaviour in all schedules and modes."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, FlowRuntime, Gather, Message
from flowrt.standard import Zip
from flowrt.testing import simulated
from tests.kit.flows import (
    SCHEDULES,
    SECONDS,
    Bench,
    assert_ledger,
    double,
    every_mode,
    every_schedule,
    increment,
    one_thread,
    refuse,
    same,
    wire,
)


@every_mode
def test_an_output_without_a_stream_is_counted_and_nothing_else_is_lost(bench: Bench) -> None:
    """B046."""

    def sort(number: int, odd: Any, even: Any) -> None:
        (odd if number % 2 else even)(number)

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"sort": sort}))
        wire(runtime, ".in -> sort", "sort.odd -> .out")

        run = runtime.process_many(".in", range(5))

        assert sorted(run.values(timeout=SECONDS)) == [1, 3]
    assert_ledger(run, accepted=5, delivered=2, unconnected=3)


@every_schedule
def test_a_stream_to_nobody_is_told_before_anything_runs(bench: Bench) -> None:
    """B048."""
    calls: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_action("count", calls.append))
        wire(runtime, ".in -> count", ".in -> cuont")

        with pytest.raises(FlowBuildError, match='Did you mean "count"'):
            runtime.process(".in", 1)
    assert calls == []


@every_mode
def test_a_stream_takes_only_what_leaves_at_exactly_its_port(bench: Bench) -> None:
    """B051, B070."""

    def emit(number: int, left: Any, right: Any) -> None:
        left(number)

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"a": emit}, funcs={"b": increment}))
        wire(runtime, ".in -> a", "a.right -> .right", "a#1.left -> .instance", "f/a.left -> .path")
        wire(runtime, "a.left -> b.whatever", "b#1 -> .instance", "f/b -> .path", "B -> .exactly")

        messages = list(runtime.process(".in", 1).results())

    assert [(message.port.fullname, message.data) for message in messages] == [(".exactly", 2)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_hop_takes_as_many_steps_in_a_large_flow_as_in_a_small_one(schedule: str) -> None:
    """B052."""

    def steps(others: int) -> int:
        """How many calls a message through ten operations takes, beside so many others."""
        made = 0

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal made
            made += event == "call"

        operations = FlowOperationContainer()
        with FlowRuntime(schedule=schedule, seams=simulated(0)) as runtime:  # on this thread
            for number in range(others):
                operations.add_func(f"other{number}", same)
                wire(runtime, f".in{number} -> other{number} -> .out{number}")
            for number in range(10):
                operations.add_func(f"a{number}", same)
            wire(runtime, ".in -> " + " -> ".join(f"a{number}" for number in range(10)) + " -> .out")
            runtime.add_operations(operations)
            runtime.process(".in", 0).wait(SECONDS)  # compiles
            before = sys.getprofile()
            sys.setprofile(count)
            try:
                runtime.process(".in", 1).wait(SECONDS)
            finally:
                sys.setprofile(before)
        return made

    assert steps(200) < steps(0) + 100  # not once more for each of the others, neither at a hop nor in all


@every_schedule
def test_a_runtime_may_be_changed_by_another_thread_while_messages_move(bench: Bench) -> None:
    """B054."""
    changes = 20
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("first", same))
        wire(runtime, ".in -> first -> .out")

        def change() -> None:
            for number in range(changes):
                runtime.add_operations(FlowOperationContainer().add_func(f"more{number}", same))
                wire(runtime, f"first -> more{number} -> .more")

        changing = threading.Thread(target=change)
        changing.start()
        runs = [runtime.process(".in", number) for number in range(100)]
        changing.join(SECONDS)
        ports = [[message.port.name for message in run.results(timeout=SECONDS)] for run in runs]
        after = list(runtime.process(".in", 0).results(timeout=SECONDS))

    assert all(each.count("out") == 1 for each in ports)
    assert [len(each) for each in ports] == sorted(len(each) for each in ports)
    assert sorted(message.port.name for message in after) == ["more"] * changes + ["out"]


@one_thread
def test_a_tap_is_called_on_the_thread_that_works_on_the_message(bench: Bench) -> None:
    """B055."""
    threads: list[threading.Thread] = []

    def work(data: Any) -> Any:
        threads.append(threading.current_thread())
        return data

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": work}))
        wire(runtime, ".in -> work -> .out")
        runtime.on_message(lambda message: threads.append(threading.current_thread()))

        runtime.process(".in", 1).wait(SECONDS)

    assert len(threads) == 3
    assert len(set(threads)) == 1


@every_mode
def test_a_tap_is_not_shown_what_no_stream_takes(bench: Bench) -> None:
    """B056."""
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": double}))
        wire(runtime, ".in -> a")
        runtime.on_message(seen.append)

        runtime.process(".in", 1).wait(SECONDS)
        runtime.process(".elsewhere", 2).wait(SECONDS)
        runtime.process_many(".in", [3]).wait(SECONDS)

    assert [(message.port.fullname, message.data) for message in seen] == [("a", 1), ("a", 3)]


@every_mode
def test_every_tap_and_every_handler_is_told(bench: Bench) -> None:
    """B055, B130."""
    taps: list[list[Message]] = [[], []]
    told: list[list[Any]] = [[], []]
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"a": refuse}))
        wire(runtime, ".in -> a -> .out")
        for tap, errors in zip(taps, told, strict=True):
            runtime.on_message(tap.append)
            runtime.on_exception(errors.append)

        runtime.process(".in", 1).wait(SECONDS)

    assert [[message.data for message in tap] for tap in taps] == [[1], [1]]
    assert [len(errors) for errors in told] == [1, 1]
    assert told[0] == told[1]


@every_schedule
def test_operators_at_two_instances_do_not_feed_each_other(bench: Bench) -> None:
    """B072."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(Zip("zip", ("left", "right")))
            .add_operation(Gather("gather"))
        )
        for number in (1, 2):
            wire(
                runtime,
                f".left{number} -> zip#{number}.left",
                f".right{number} -> zip#{number}.right",
                f"zip#{number} -> .pair{number}",
                f".item{number} -> gather#{number}.stream",
                f".count{number} -> gather#{number}.count",
                f"gather#{number} -> .list{number}",
            )
        inputs = {".left1": "A", ".right2": "b", ".item1": "one", ".count2": 1, ".item2": "two", ".count1": 1}
        for port, data in inputs.items():
            runtime.process(port, data, correlation_id="id")
        runtime.process(".right1", "a", correlation_id="id")
        runtime.process(".left2", "B", correlation_id="id")
        messages = list(runtime.results(timeout=SECONDS))

    assert [(message.port.name, message.data) for message in messages] == [
        ("list2", ["two"]),
        ("list1", ["one"]),
        ("pair1", ("A", "a")),
        ("pair2", ("B", "b")),
    ]
