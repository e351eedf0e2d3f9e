"""Large numbers: deep chains, long loops, wide fans, endless sources. Stack and memory stay constant; bounds are named errors."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Gather, Message, Run, Scatter
from flowrt.errors import (
    FlowBuildError,
    FlowOverloadError,
    FlowTimeoutError,
    OperationError,
    RunCancelledError,
)
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from tests.kit import effort
from tests.kit.flows import (
    Bench,
    assert_ledger,
    benches,
    by_schedule,
    chain_of,
    failure_of,
    flow_of,
    runtime_of,
    wire,
    work_of,
)
from tests.kit.functions import SECONDS, Gate, arrived, refuse, same
from tests.kit.programs import PREAMBLE, linux_only, run_script

pytestmark = pytest.mark.no_cover

LONG = 50.0  # seconds; the limit of a wait for something large
ROOT = Path(__file__).parents[2]


def in_a_process(script: str, *arguments: str) -> Any:
    """Run the script in an interpreter of its own, and return the JSON it prints last."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        timeout=LONG,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# --- length


@pytest.mark.slow
@by_schedule
def test_ten_thousand_operations_in_a_chain(schedule: Any) -> None:
    """B156 (BUG): there, the stack overflows."""
    length = effort.of(10_000)
    operations, chain = chain_of(length)
    with runtime_of(operations, f".in -> {chain} -> .out", schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(3))

        assert run.values(LONG) == [length, length + 1, length + 2]
        assert (run.ledger.accepted, run.ledger.born, run.ledger.delivered) == (3, 0, 3)


@pytest.mark.slow
def test_a_thousand_operations_in_a_chain_on_one_thread_of_a_pool() -> None:
    length = 1_000
    operations, chain = chain_of(length)
    for operation in operations:
        operations[operation.name].make_async("shared")
    with runtime_of(operations, f".in -> {chain} -> .out") as runtime:
        assert runtime.process(".in", 0).result(LONG).data == length


@by_schedule
def test_twenty_thousand_rounds_of_a_feedback_loop(schedule: Any) -> None:
    """B155, B156 (BUG): there, the stack overflows."""
    rounds = effort.of(20_000)

    def step(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        (again if number < rounds else done)(number + 1)

    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> step", "step.again -> step", "step.done -> .out")
        runtime.add_operations(FlowOperationContainer().add_action("step", step))
        run = runtime.process(".in", 0)

        assert run.result(LONG).data == rounds + 1
        assert str(run.ledger).count("\n") < 20  # one line a place, not one a round


@pytest.mark.slow
def test_twenty_thousand_rounds_through_a_thread() -> None:
    rounds = effort.of(20_000)

    def step(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        (again if number < rounds else done)(number + 1)

    with FlowRuntime() as runtime:
        wire(runtime, ".in -> step", "step.again -> step", "step.done -> .out")
        runtime.add_operations(FlowOperationContainer().add_action("step", step).make_async())

        assert runtime.process(".in", 0).result(LONG).data == rounds + 1


@pytest.mark.slow
def test_twenty_thousand_rounds_of_re_entrant_input() -> None:
    rounds = effort.of(20_000)
    seen: list[int] = []

    def step(number: int) -> None:
        seen.append(number)
        if number < rounds:
            runtime.process(".in", number + 1)

    with runtime_of(
        FlowOperationContainer().add_action("step", step), ".in -> step", schedule="sync"
    ) as runtime:
        runtime.process(".in", 0)
        runtime.wait_idle(LONG)

    assert seen == list(range(rounds + 1))


# --- width


@pytest.mark.slow
def test_a_fan_out_of_ten_thousand_streams() -> None:
    width = 10_000
    names = [f"o{number}" for number in range(width)]
    operations = FlowOperationContainer()
    for name in names:
        operations.add_func(name, same)
    with runtime_of(operations, *(f".in -> {name} -> .out" for name in names)) as runtime:
        run = runtime.process(".in", 7)

        assert run.values(LONG) == [7] * width
        assert (run.ledger.accepted, run.ledger.born, run.ledger.delivered) == (1, width - 1, width)


def test_ten_thousand_streams_into_one_port() -> None:
    width = 10_000
    with FlowRuntime() as runtime:
        wire(runtime, *(f".in{number} -> count" for number in range(width)), "count -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("count", same))
        for number in range(0, width, 1000):
            runtime.process(f".in{number}", number)
        runtime.wait_idle(LONG)

        assert sorted(message.data for message in runtime.results(LONG)) == list(range(0, width, 1000))


@pytest.mark.slow
def test_twenty_thousand_runs_leave_nothing_in_the_books() -> None:
    with runtime_of(work_of("sync"), ".in -> work -> .out", max_results=10) as runtime:
        seen = []
        runtime.on_result(lambda message: seen.append(message.data))
        for number in range(20_000):
            runtime.process(".in", number)
        runtime.wait_idle(LONG)

        assert seen == list(range(20_000))
        assert not runtime._owner.engine.books.runs


# --- sources

FIVE_MILLION = """
import json, resource, sys
from flowrt import FlowOperationContainer, FlowRuntime

seen = [0]

def items(number):
    yield from range(number)

def count(item):
    seen[0] += 1

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

operations = FlowOperationContainer().add_generator("items", items).add_action("count", count)
if sys.argv[2] == "async":
    operations["count"].make_async()
with FlowRuntime() as runtime:
    runtime.add_stream(".in", "items").add_stream("items", "count").add_operations(operations)
    runtime.process(".in", 10_000).wait(50)
    before = memory()
    run = runtime.process(".in", int(sys.argv[1]))
    run.wait(50)
    grown = memory() - before
    ledger = run.ledger
print(json.dumps([seen[0], ledger.accepted, ledger.born, ledger.absorbed, ledger.balanced, grown]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "mode"), [(5_000_000, "sync"), (200_000, "async")])
def test_a_generator_of_five_million_items_needs_constant_memory(number: int, mode: str) -> None:
    pytest.importorskip("resource")
    seen, accepted, born, absorbed, balanced, grown = in_a_process(FIVE_MILLION, str(number), mode)

    assert seen == number + 10_000
    assert (accepted, born, absorbed, balanced) == (1, number - 1, number, True)
    assert grown < 10  # megabytes; the items alone would be some 150


TEN_MILLION = """
import json, resource, sys
from flowrt import FlowOperationContainer, FlowRuntime, Scatter

seen = [0]

def consume(item):
    for _ in range(3):  # slower than the lists
        item += 1
    seen[0] += 1

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

number = int(sys.argv[1])
operations = FlowOperationContainer().add_operation(Scatter("outer")).add_operation(Scatter("inner"))
operations.add_action("consume", consume).make_async()
with FlowRuntime() as runtime:
    runtime.add_stream(".in", "outer").add_stream("outer.stream", "inner").add_stream("inner.stream", "consume")
    runtime.add_operations(operations)
    runtime.process(".in", [range(5_000)]).wait(100)
    before = memory()
    run = runtime.process(".in", (range(number) for _ in range(number)))
    run.wait(100)
    grown = memory() - before
print(json.dumps([seen[0], run.ledger.absorbed, run.ledger.balanced, grown]))
"""


@pytest.mark.slow
def test_nested_lists_of_ten_million_items_over_a_slow_consumer_need_constant_memory() -> None:
    pytest.importorskip("resource")
    side = 3163 if effort.full else 1000
    seen, absorbed, balanced, grown = in_a_process(TEN_MILLION, str(side))

    assert seen == side * side + 5_000
    assert (absorbed, balanced) == (side * side, True)
    assert grown < 10  # megabytes


def test_an_endless_generator_ends_with_its_run() -> None:
    closed = threading.Event()
    begun = threading.Event()

    def items(number: int) -> Iterator[int]:
        try:
            while True:
                number += 1
                yield number
                begun.set()
        finally:
            closed.set()

    with FlowRuntime() as runtime:
        wire(runtime, ".in -> items -> drop")
        operations = FlowOperationContainer().add_generator("items", items)
        runtime.add_operations(operations.add_action("drop", lambda _: None))
        run = runtime.process(".in", 0)
        arrived(begun)
        run.cancel()
        arrived(closed)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "parallel"])
def test_nested_scatters_stay_within_their_windows(mode: str) -> None:
    outer, inner, window = 300, 300, 16
    lock = threading.Lock()
    now = [0, 0]  # how many items of each level have left their iterable and not arrived
    most = [0, 0]

    def leaves(level: int, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            with lock:
                now[level] += 1
                most[level] = max(most[level], now[level])
            yield item

    class Once:
        """An iterable; a generator, once returned, would be pulled by the operation itself."""

        def __init__(self, items: Iterator[Any]) -> None:
            self._items = items

        def __iter__(self) -> Iterator[Any]:
            return self._items

    def outer_list(number: int) -> Once:
        return Once(leaves(0, iter(range(number))))

    def inner_list(number: int) -> Once:
        return Once(leaves(1, ((number, each) for each in range(inner))))

    def work(item: tuple[int, int]) -> int:
        with lock:
            now[1] -= 1
        return sum(item)

    def total(items: list[int]) -> int:
        with lock:
            now[0] -= 1
        return sum(items)

    operations = FlowOperationContainer().add_func("outer", outer_list).add_func("inner", inner_list)
    operations.add_func("work", work).add_func("total", total).add_func("sum", sum)
    if mode == "parallel":
        operations["work"].make_parallel(2)
    for name in ("1", "2"):
        operations.add_operation(Scatter(f"scatter {name}", window=window))
        operations.add_operation(Gather(f"gather {name}"))
    with FlowRuntime() as runtime:
        wire(
            runtime,
            ".in -> outer -> scatter 1",
            "scatter 1.stream -> inner -> scatter 2",
            "scatter 2.stream -> work -> gather 2.stream",
            "scatter 2.count -> gather 2.count",
            "gather 2 -> total -> gather 1.stream",
            "scatter 1.count -> gather 1.count",
            "gather 1 -> sum -> .out",
        )
        runtime.add_operations(operations)
        run = runtime.process(".in", outer)

        assert run.result(LONG).data == sum(a + b for a in range(outer) for b in range(inner))
        assert run.ledger.balanced
    # Each open iterator may have one item out when the window of its place is full.
    assert most[0] <= window + 1
    assert most[1] <= window + most[0] + 1


# --- depth


def a_recursive_flow(step: Callable[..., None]) -> Flow:
    inner = flow_of(
        "deeper",
        ".in -> step",
        "step.done -> .out",
        operations=FlowOperationContainer().add_action("step", step),
    )
    inner.add_stream("step.again", "deeper.in").add_stream("deeper.out", ".out")
    outer = Flow().add_stream(".in", "deeper.in").add_stream("deeper.out", ".out")
    return outer.add_flow(inner)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_a_flow_may_enter_itself_nine_hundred_times(schedule: Any) -> None:
    def step(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        (again if number < depth else done)(number + 1)

    depth = effort.of(900)
    with FlowRuntime(a_recursive_flow(step), schedule=schedule) as runtime:
        assert runtime.process(".in", 0).result(LONG).data == depth + 1


@pytest.mark.slow
def test_a_recursion_without_an_end_is_a_named_error() -> None:
    def step(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        again(number + 1)

    with FlowRuntime(a_recursive_flow(step)) as runtime:
        run = runtime.process(".in", 0)
        with pytest.raises(FlowBuildError) as caught:
            run.wait(LONG)
        assert run.ledger.failed == 1
        assert run.ledger.balanced

    assert str(caught.value) == (
        'flow "deeper" is nested 1000 deep, which looks like a recursion without an end. Let an operation in it decide when to leave, '
        "instead of always entering the flow again."
    )


# --- bounds


def explode(number: int, on_number: Callable[[int], None]) -> None:
    for each in range(number):
        on_number(each)


@by_schedule
def test_the_run_that_goes_past_max_live_fails_and_no_other(schedule: Any) -> None:
    with FlowRuntime(schedule=schedule, max_live=100) as runtime:
        wire(runtime, ".in -> explode -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_action("explode", explode).add_func("work", same))
        run = runtime.process(".in", 101)
        with pytest.raises(FlowOverloadError) as caught:
            run.wait(SECONDS)
        assert run.ledger.balanced
        assert run.ledger.live == 0
        assert run.ledger.discarded > 0
        assert sorted(runtime.process(".in", 100).values(SECONDS)) == list(range(100))

    assert '"explode"' in str(caught.value)
    assert "max_live=100" in str(caught.value)


def test_reading_results_makes_room_for_input() -> None:
    with FlowRuntime(max_results=3) as runtime:
        wire(runtime, ".in -> .out")
        runs = [runtime.process_many(".in", range(2)) for _ in range(2)]
        runtime.wait_idle(SECONDS)

        with pytest.raises(FlowOverloadError):
            runtime.process(".in", 0)
        with pytest.raises(FlowOverloadError):
            runtime.process_many(".in", [0])
        assert runs[0].values(SECONDS) == [0, 1]
        assert runtime.process(".in", 5).values(SECONDS) == [5]
        assert runs[1].values(SECONDS) == [0, 1]


def test_unread_results_do_not_hold_a_run_back() -> None:
    """B190."""
    with runtime_of(
        FlowOperationContainer().add_action("explode", explode), ".in -> explode -> .out", max_results=3
    ) as runtime:
        assert len(runtime.process(".in", 100).values(SECONDS)) == 100


@by_schedule
def test_unread_results_hold_no_input_back(schedule: Any) -> None:
    """B190: not the capacity, but only `max_results` bounds them."""
    with FlowRuntime(schedule=schedule, capacity=2) as runtime:
        wire(runtime, ".in -> pass -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("pass", same))

        for number in range(10):
            runtime.process(".in", number, timeout=SECONDS)
        runtime.process_many(".in", range(10, 20), timeout=SECONDS)

        assert [runtime.wait_for_result(SECONDS).data for _ in range(20)] == list(range(20))


def test_process_waits_at_the_capacity_and_goes_on_when_there_is_room() -> None:
    """B181 (BUG): there, nothing is bounded."""
    gate = Gate()
    accepted: list[int] = []
    first_three = threading.Event()
    stuck = threading.Event()

    def feed() -> None:
        for number in range(8):
            if number == 4:
                stuck.set()
            runtime.process(".in", number)
            accepted.append(number)
            if number == 3:
                first_three.set()

    with runtime_of(work_of("async", gate), ".in -> work -> .out", capacity=4) as runtime:
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            arrived(first_three)
            arrived(stuck)
            with pytest.raises(FlowTimeoutError):
                runtime.process(".in", 99, timeout=0.05)
            assert accepted == [0, 1, 2, 3]
        finally:
            gate.open()
            feeder.join(SECONDS)
        assert not feeder.is_alive()
        assert [message.data for message in runtime.results(SECONDS)] == list(range(8))


def test_process_many_waits_at_the_capacity_and_pulls_no_further() -> None:
    gate = Gate()
    pulled: list[int] = []
    done = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            pulled.append(number)
            yield number

    def feed() -> None:
        runtime.process_many(".in", items())
        done.set()

    with runtime_of(work_of("async", gate), ".in -> work -> .out", capacity=4) as runtime:
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            arrived(gate.entered)
            with pytest.raises(FlowTimeoutError):
                runtime.process(".in", 99, timeout=0.05)
            assert not done.is_set()
            assert len(pulled) <= 8  # what is live, and the batch that waits
        finally:
            gate.open()
            arrived(done)
            feeder.join(SECONDS)
        assert [message.data for message in runtime.results(SECONDS)] == list(range(100))


def test_a_time_limit_without_a_result_has_sent_nothing() -> None:
    gate = Gate()
    with runtime_of(work_of("async", gate), ".in -> work -> .out", capacity=1) as runtime:
        run = runtime.process(".in", 0)
        with pytest.raises(FlowTimeoutError) as caught:
            runtime.process(".in", 1, timeout=0.0)
        gate.open()

        assert run.values(SECONDS) == [0]
        runtime.wait_idle(SECONDS)
        assert list(runtime.results(SECONDS)) == []
    assert "capacity=1" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_many_threads_share_the_room_and_lose_nothing(capacity: int) -> None:
    def feed(first: int) -> None:
        for number in range(first, first + 50):
            runtime.process(".in", number)

    with FlowRuntime(capacity=capacity) as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("work", same).make_parallel(2))
        feeders = [threading.Thread(target=feed, args=(1000 * number,)) for number in range(4)]
        for feeder in feeders:
            feeder.start()
        for feeder in feeders:
            feeder.join(SECONDS)
        assert not any(feeder.is_alive() for feeder in feeders)
        runtime.wait_idle(SECONDS)
        values = sorted(message.data for message in runtime.results(SECONDS))

    assert values == [1000 * feeder + number for feeder in range(4) for number in range(50)]


def test_input_sent_by_a_signal_handler_while_the_engine_is_being_started() -> None:
    sent = []

    def spawn(work: Callable[[], None], name: str) -> ThreadLike:
        if not sent:
            sent.append(None)
            sent[0] = runtime.process(".in", 1)  # as a handler does, on the thread it interrupts
        return spawn_thread(work, name)

    with FlowRuntime(seams=Seams(spawn=spawn)) as runtime:
        wire(runtime, ".in -> .out")

        assert runtime.process(".in", 2).values(SECONDS) == [2]
        assert sent[0].values(SECONDS) == [1]


def test_an_interrupt_while_the_engine_is_being_started_costs_no_room() -> None:
    running = threading.Event()

    def spawn(work: Callable[[], None], name: str) -> ThreadLike:
        owner.inbox.post(running.set)  # behind the input
        thread = spawn_thread(work, name)
        arrived(running)
        if interrupts:
            raise interrupts.pop()
        return thread

    interrupts = [KeyboardInterrupt()]
    with FlowRuntime(seams=Seams(spawn=spawn)) as runtime:
        owner = runtime._owner
        wire(runtime, ".in -> .out")

        with pytest.raises(KeyboardInterrupt):
            runtime.process(".in", 1)
        assert runtime.process(".in", 2).values(SECONDS) == [2]
        assert runtime._owner.room.load == 0


@by_schedule
def test_inputs_that_are_taken_together_keep_their_priorities(schedule: Any) -> None:
    def send(_: Any) -> None:
        for priority in (0, 0, 1, 2, 1):
            runtime.process(".in", priority, priority=priority)

    operations = FlowOperationContainer().add_action("send", send).add_func("work", same)
    with runtime_of(operations, ".go -> send", ".in -> work -> .out", schedule=schedule) as runtime:
        runtime.process(".go").wait(SECONDS)
        runtime.wait_idle(SECONDS)

        assert [message.data for message in runtime.results(SECONDS)] == [2, 1, 1, 0, 0]


def test_of_inputs_taken_together_the_last_ones_are_too_many() -> None:
    runs: list[Run] = []

    def send(_: Any) -> None:
        runs.extend(runtime.process(".in", number) for number in range(6))

    with FlowRuntime(max_live=10) as runtime:
        wire(runtime, ".go -> send", ".in -> work -> .out", ".in -> work", ".in -> work")
        runtime.add_operations(FlowOperationContainer().add_action("send", send).add_func("work", same))
        runtime.process(".go").wait(SECONDS)
        runtime.wait_idle(SECONDS)

        assert [isinstance(run.failure, FlowOverloadError) for run in runs] == [False] * 3 + [True] * 3
        for run in runs[3:]:
            with pytest.raises(FlowOverloadError):
                run.wait(SECONDS)


def test_input_from_inside_is_held_to_max_live_where_that_is_less_than_the_capacity() -> None:
    def send(_: Any) -> None:
        for number in range(20):
            runtime.process(".in", number)

    with FlowRuntime(capacity=1_000, max_live=10) as runtime:
        wire(runtime, ".go -> send", ".in -> .out")
        runtime.add_operations(FlowOperationContainer().add_action("send", send))

        with pytest.raises(OperationError) as caught:
            runtime.process(".go").wait(SECONDS)
    assert isinstance(caught.value.__cause__, FlowOverloadError)


@pytest.mark.parametrize("priority", [None, "", "high", 1.5, False])
def test_what_is_no_priority_is_refused_and_disturbs_nothing(priority: Any) -> None:
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> .out")

        with pytest.raises(FlowBuildError, match="a priority is an int"):
            runtime.process(".in", 1, priority=priority)
        with pytest.raises(FlowBuildError, match="a priority is an int"):
            runtime.process_many(".in", [1], priority=priority)
        assert runtime.process(".in", 2).values(SECONDS) == [2]


@pytest.mark.parametrize("place", ["operation", "worker", "tap", "on_result"])
def test_input_from_inside_never_waits_for_room(place: str) -> None:
    begun = [False]

    def flood(_: Any) -> None:
        if not begun[0]:
            begun[0] = True
            for number in range(20):
                runtime.process(".side", number)
            runtime.process_many(".side", range(20, 40))

    def work(number: int) -> int:
        if place in {"operation", "worker"}:
            flood(number)
        return number

    operations = FlowOperationContainer().add_func("work", work)
    if place == "worker":
        operations.make_parallel(2)
    with runtime_of(operations, ".in -> work -> .out", ".side -> .seen", capacity=1) as runtime:
        seen: list[int] = []

        def see(message: Any) -> None:
            if message.port.name == "seen":
                seen.append(message.data)
            elif place == "on_result":
                flood(message)

        runtime.on_result(see)
        if place == "tap":
            runtime.on_message(flood)
        runtime.process(".in", 0).wait(SECONDS)
        runtime.wait_idle(SECONDS)

    assert sorted(seen) == list(range(40))


@by_schedule
def test_input_from_inside_is_bounded_and_never_waits(schedule: Any) -> None:
    sent: list[int] = []

    def flood(_: object) -> None:
        for number in range(10_000):
            runtime.process(".side", number)
            sent.append(number)

    operations = FlowOperationContainer().add_action("flood", flood).add_func("work", same)
    runtime = FlowRuntime(name="flow", schedule=schedule, capacity=10, max_live=100)
    with runtime:
        wire(runtime, ".in -> flood", ".side -> work -> .out")
        runtime.add_operations(operations)
        run = runtime.process(".in", None)
        error = failure_of(run)
        runtime.wait_idle(SECONDS)
        values = [message.data for message in runtime.results(SECONDS)]

    assert isinstance(error.__cause__, FlowOverloadError)
    assert str(error.__cause__).startswith(
        'runtime "flow" already has max_live=100 inputs live or waiting, and from inside nobody can wait for room.'
    )
    assert len(sent) == 99  # and the input that floods
    assert values == sent


# --- F18: one message makes ten millions

ENORMOUS = 10_000_000


@pytest.mark.parametrize("kind", ["generator", "list"])
@benches(lambda bench: bench.schedule != "sync")  # there process() returns when all is done
def test_f18_the_first_results_leave_before_the_last_are_made(bench: Bench, kind: str) -> None:
    """And no more is pulled ahead than a window."""
    pulled: list[int] = []

    def numbers(_: Any = None) -> Iterator[int]:
        for number in range(ENORMOUS):
            pulled[:] = [number]
            yield number

    with bench.wired(
        ".generator -> generate -> work",
        ".list -> scatter",
        "scatter.stream -> work -> .out",
        others=[Scatter("scatter")],
        funcs={"work": same},
        generators={"generate": numbers},
    ) as runtime:
        gate = Gate()

        def stop_at_a_result(message: Message) -> None:
            if message.port.name == "out":
                gate(None)

        remove = runtime.on_message(stop_at_a_result)
        run = runtime.process(f".{kind}", numbers() if kind == "list" else None)
        if not bench.mode.one_thread:
            arrived(gate.entered)
            assert pulled[0] < 5_000
        gate.open()
        remove()
        assert run.result(SECONDS).data >= 0
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)

        assert pulled[0] < ENORMOUS - 1
        assert run.ledger.balanced


# --- F45: long and wide


def depth_of_stack() -> int:
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


@pytest.mark.parametrize("length", [100, 1_000])
@by_schedule
def test_f45_the_stack_does_not_grow_with_the_chain_and_an_error_at_its_end_is_short(
    schedule: Any, length: int
) -> None:
    depths: list[int] = []

    def note(number: int) -> int:
        depths.append(depth_of_stack())
        return number

    operations, chain = chain_of(length, note)
    operations.add_func("last", refuse)
    with runtime_of(operations, f".in -> {chain} -> last -> .out", schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(2))
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

    assert len(depths) == 2 * length
    assert max(depths) - min(depths) <= 2
    way = caught.value.__notes__[0]
    assert way.split(" (")[0].endswith("-> last")
    assert len(way) < 2_000  # the trail is bounded
    assert_ledger(run, accepted=2, failed=2)


@by_schedule
def test_f45_the_engine_works_in_proportion_to_the_chain(schedule: Any) -> None:
    turns = {}
    for length in (200, 2_000):
        operations, chain = chain_of(length)
        with runtime_of(operations, f".in -> {chain} -> .out", schedule=schedule) as runtime:
            assert runtime.process(".in", 0).values(SECONDS) == [length]
            turns[length] = runtime._owner.engine.turns

    assert turns[2_000] < 15 * turns[200]


# --- F31: the system has no more memory

GREEDY = (
    PREAMBLE
    + """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def greedy(size):
    return len(bytearray(size))

def generate(size):
    yield 1
    yield len(bytearray(size))

operations = FlowOperationContainer().add_func("greedy", greedy).add_generator("generate", generate)
if sys.argv[1] != "sync":
    operations["greedy"].make_parallel(2)
    operations["generate"].make_async()
runtime = FlowRuntime(name="greedy").add_operations(operations)
runtime.add_stream(".in", "greedy").add_stream("greedy", ".out").add_stream(".many", "generate").add_stream("generate", ".out")
tell(warm=runtime.process(".in", 8).values(5))
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.getrlimit(resource.RLIMIT_AS)[1]))
for port in (".in", ".many"):
    run = runtime.process_many(port, [16, 4 << 30, 32])
    error = None
    try:
        run.wait(5)
    except FlowError as raised:
        error = raised
    tell(error=type(error).__name__, text=str(error).split(" (declared")[0], cause=type(error.__cause__).__name__,
         ledger=[run.ledger.delivered, run.ledger.failed], left=len(run.failures))
tell(after=runtime.process(".in", 8).values(5))
list(runtime.results(5))
tell(closed=str(runtime.close()))
"""
)


@linux_only
@pytest.mark.parametrize("mode", ["sync", "parallel"])
def test_f31_an_operation_that_runs_out_of_memory_fails_its_message_and_no_other(mode: str) -> None:
    ended = run_script(GREEDY, mode, options=())

    assert ended.code == 0, ended.errors
    facts = ended.lines
    assert facts[0] == {"warm": [8]}
    assert facts[1] == {
        "error": "OperationError",
        "text": 'operation "greedy"',
        "cause": "MemoryError",
        "ledger": [2, 1],
        "left": 1,
    }
    assert facts[2] == facts[1] | {"text": 'operation "generate"', "ledger": [5, 1]}
    assert facts[3:] == [{"after": [8]}, {"closed": "closed; nothing was left"}]
