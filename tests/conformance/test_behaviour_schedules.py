"""Schedules, threads and results, as far as no other test shows the behaviour in all schedules and modes."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, ClassVar
from weakref import WeakSet

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, FlowTimeoutError
from flowrt.engine.chunks import Chunk
from flowrt.engine.places import Route
from flowrt.engine.schedules import BreadthFirst, DepthFirst, RoundRobin, Schedule
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from flowrt.messages import Context, Trail
from flowrt.ports import Port
from tests.engine.test_schedules import HANDLERS, OUTS, ROOT, RUN
from tests.kit.flows import (
    ONE_BY_ONE,
    SCHEDULES,
    SECONDS,
    Bench,
    Gate,
    arrived,
    benches,
    every_mode,
    flow_of,
    increment,
    on_thread,
    refuse,
    same,
    wire,
)

WAYS = tuple(OUTS.values())
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


# --- where operations run


class Where:
    """Notes on which threads something runs."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __call__(self, data: Any) -> Any:
        self.threads.add(threading.get_ident())
        return data


@pytest.mark.parametrize("schedule", [each for each in ONE_BY_ONE if each != "sync"])
def test_whatever_runs_elsewhere_its_outputs_come_back_to_the_thread_of_the_engine(schedule: str) -> None:
    """B159 (QUIRK), B172: there, what follows runs where that ran, at the same time as the runtime's own."""
    engine, behind = Where(), Where()
    later: list[Callable[[int], None]] = []

    def keep(number: int, emit: Callable[[int], None]) -> None:
        later.append(emit)

    def generate(number: int) -> Iterator[int]:
        yield from range(number)

    operations = FlowOperationContainer().add_func("async", same).make_async()
    operations.add_func("parallel", same).make_parallel(4)
    operations.add_generator("generator", generate).make_parallel(2)
    operations.add_action("keep", keep).add_func("behind", behind).add_func("engine", engine)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> async -> behind", ".in -> parallel -> behind", ".many -> generator -> behind")
        wire(runtime, ".late -> keep -> behind -> .out", ".engine -> engine")
        runtime.process_many(".in", range(100)).wait(SECONDS)
        runtime.process(".many", 100).wait(SECONDS)
        runtime.process(".late", 1).wait(SECONDS)
        late = threading.Thread(target=later[0], args=(7,))
        late.start()
        late.join(SECONDS)
        runtime.process(".engine", 1)
        runtime.wait_idle(SECONDS)
        told = Where()
        runtime.on_result(told)
        wire(runtime, "parallel -> .out")
        runtime.process_many(".in", range(100)).wait(SECONDS)

    assert behind.threads == engine.threads == told.threads
    assert len(engine.threads) == 1


@every_schedule
def test_messages_of_one_port_go_one_by_one_and_those_of_others_beside_them(schedule: str) -> None:
    """B175: the ancestor's serial operations."""
    in_call: dict[str, int] = {"left": 0, "right": 0}
    overlaps: list[str] = []
    together = threading.Barrier(2, timeout=SECONDS)
    seen: dict[str, list[int]] = {"left": [], "right": []}

    def work(item: tuple[str, int]) -> None:
        port, number = item
        in_call[port] += 1
        if in_call[port] > 1:
            overlaps.append(port)
        seen[port].append(number)
        together.wait()  # for the call of the other port: the ports overlap
        in_call[port] -= 1

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, by_key="port")
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".left -> work.left", ".right -> work.right")
        if schedule == "sync":  # else process would return only when the calls have met
            wire(runtime, ".both -> spread", "spread.left -> work.left", "spread.right -> work.right")
            runtime.add_operations(FlowOperationContainer().add_action("spread", spread))
            runtime.process_many(".both", range(10)).wait(SECONDS)
        else:
            for number in range(10):
                runtime.process(".left", ("left", number))
                runtime.process(".right", ("right", number))
            runtime.wait_idle(SECONDS)

    assert overlaps == []
    assert seen == {"left": list(range(10)), "right": list(range(10))}


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES if each != "sync"])
def test_a_call_that_ends_at_one_port_lets_nothing_pass_at_another(schedule: str) -> None:
    """B175."""
    gate = Gate()
    begun: list[tuple[str, int]] = []

    def work(item: tuple[str, int]) -> tuple[str, int]:
        begun.append(item)
        return gate(item) if item == ("left", 0) else item

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, by_key="port")
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".left -> work.left", ".right -> work.right")
        runtime.process(".left", ("left", 0))
        arrived(gate.entered)
        for number in range(5):
            runtime.process(".right", ("right", number)).wait(SECONDS)
            runtime.process(".left", ("left", number + 1))
        before = list(begun)
        gate.open()
        runtime.wait_idle(SECONDS)

    assert before == [("left", 0), *(("right", number) for number in range(5))]
    assert begun[6:] == [("left", number) for number in range(1, 6)]


def spread(number: int, left: Callable[[Any], None], right: Callable[[Any], None]) -> None:
    left(("left", number))
    right(("right", number))


# --- pools


@every_schedule
def test_pools_belong_to_a_runtime_and_begin_with_its_work(schedule: str) -> None:
    """B179 (BUG), B183: there they begin with the configuration, which shares them among runtimes and never ends them."""
    before = set(threading.enumerate())
    here = {name: Where() for name in ("first", "second")}
    current = "first"

    def work(number: int) -> int:
        return int(here[current](number))

    operations = FlowOperationContainer().add_func("work", work).make_parallel(2, pool="shared")
    operations.add_func("unused", same).make_async(pool="never")
    first, second = (
        FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations), schedule=schedule, name=name)
        for name in ("first", "second")
    )
    assert set(threading.enumerate()) == before  # declared, made, and nothing has been started

    first.process_many(".in", range(20)).wait(SECONDS)
    current = "second"
    second.process_many(".in", range(20)).wait(SECONDS)
    assert not any("never" in thread.name for thread in threading.enumerate())
    assert here["first"].threads.isdisjoint(here["second"].threads)
    first.close()

    second.process_many(".in", range(20)).wait(SECONDS)  # the end of one silences no other
    second.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES if each != "sync"])
def test_waits_that_are_over_leave_nothing_behind(schedule: str) -> None:
    """B195 (BUG): there, what a wait has subscribed to results stays subscribed."""
    events: WeakSet[threading.Event] = WeakSet()

    def make_event() -> threading.Event:
        event = threading.Event()
        events.add(event)
        return event

    gate = Gate()
    with FlowRuntime(schedule=schedule, seams=Seams(event=make_event)) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("work", gate).make_async())
        wire(runtime, ".in -> work -> .out")
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        left = []
        for number in range(10):
            waits: list[Callable[[float], Any]] = [
                run.wait,
                run.result,
                runtime.wait_for_result,
                runtime.wait_idle,
            ]
            for wait in waits:
                with pytest.raises(FlowTimeoutError):
                    wait(0.0001)
            if number in {0, 9}:
                gc.collect()
                left.append(len(events))
        gate.open()

    assert left[1] == left[0]


class Watched(threading.Event):
    """Tells how long who waits for it means to wait."""

    limits: ClassVar[list[tuple[str, float | None]]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.limits.append((threading.current_thread().name, timeout))
        return super().wait(timeout)


@every_schedule
def test_idle_workers_wait_to_be_woken_and_look_at_nothing_by_themselves(schedule: str) -> None:
    """B174 (BUG), B186 (BUG): there they look once a second, and a pool takes as long to end."""
    Watched.limits.clear()
    operations = FlowOperationContainer().add_func("a", same).make_parallel(2)
    operations.add_func("b", same).make_async()
    pauses: list[float] = []
    seams = Seams(event=Watched, pause=pauses.append)
    with FlowRuntime(schedule=schedule, name="idle", seams=seams) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> a -> b -> .out")
        for _ in range(3):
            runtime.process_many(".in", range(20)).wait(SECONDS)
    waits = [limit for name, limit in Watched.limits if name.startswith("idle/")]

    assert waits
    assert set(waits) == {None}
    assert max(pauses, default=0.0) < 0.001  # nor does the end take its time


@every_schedule
def test_a_worker_that_starts_late_finds_what_came_before_it(schedule: str) -> None:
    """B182 (BUG): there, a thread that finds work before it is known to run ends, and is never started again."""
    held: list[Callable[[], None]] = []
    started = threading.Event()

    def spawn(work: Callable[[], None], name: str) -> ThreadLike:
        def late() -> None:
            arrived(started)
            work()

        held.append(work)
        return spawn_thread(late if "/engine" not in name else work, name)

    operations = FlowOperationContainer().add_func("work", increment).make_parallel(3)
    with FlowRuntime(schedule=schedule, seams=Seams(spawn=spawn)) as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> work -> .out")
        if schedule == "sync":
            threading.Timer(0.0, started.set).start()
            run = runtime.process_many(".in", range(50))
        else:
            run = runtime.process_many(".in", range(50))
            started.set()

        assert sorted(run.values(SECONDS)) == list(range(1, 51))


# --- queues


def lines_for(make: Callable[[], Schedule], messages: int, ways: Sequence[Trail] = WAYS) -> int:
    """How many lines of flowrt are passed to put so many messages of three priorities and take them all, in chunks that cannot be merged."""
    schedule = make()
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "flowrt" in frame.f_code.co_filename else None

    chunks = [
        Chunk(HANDLERS["abcdefgh"[n % 8]], [n, n], Context(RUN, None, n % 3), range(2), ways[n % len(ways)])
        for n in range(messages)
    ]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for chunk in chunks:
            schedule.put(chunk)
        taken = 0
        while (current := schedule.take()) is not None:
            taken += len(current.data)
            if len(current.data) > 1:
                current.cut(1)
                taken -= 1
                schedule.put_back(current)
    finally:
        sys.settrace(before)
    assert taken == 2 * messages
    return count


@pytest.mark.no_cover
@pytest.mark.parametrize("make", [BreadthFirst, DepthFirst, RoundRobin])
def test_a_message_costs_the_same_however_many_wait(make: Callable[[], Schedule]) -> None:
    """B181 (BUG): there, a message costs the more the more are waiting."""
    assert lines_for(make, 4_000) < 1.1 * 8 * lines_for(make, 500)


@pytest.mark.no_cover
def test_a_step_of_round_robin_costs_the_same_however_many_ports_there_are() -> None:
    """B153."""

    def lines(ports: int) -> int:
        ways = [ROOT.step(Route(Port.parse(f"x.p{number}"), (), {})) for number in range(ports)]
        return lines_for(RoundRobin, 4_000, ways)

    assert lines(1_000) < 1.2 * lines(10)


# --- closing


@every_schedule
@pytest.mark.parametrize("where", ["operation", "on_result", "on_message", "on_exception"])
def test_closing_from_wherever_flowrt_calls_marks_and_returns(schedule: str, where: str) -> None:
    """B185 (BUG): there, a thread waits for itself."""
    closed: list[Any] = []

    def close(_: Any) -> None:
        if not closed:
            closed.append(runtime.close())

    operations = FlowOperationContainer().add_func("work", close if where == "operation" else same)
    operations.add_func("refuse", refuse)
    runtime = FlowRuntime(schedule=schedule).add_operations(operations)
    wire(runtime, ".in -> work -> .out", ".refuse -> refuse")
    if where != "operation":
        getattr(runtime, where)(close)
    run = runtime.process(".refuse" if where == "on_exception" else ".in", 1)
    run.wait(SECONDS)

    assert len(closed) == 1
    assert closed[0].pending
    assert not runtime.close().pending


# --- results


@every_mode
def test_results_are_buffered_again_when_the_last_subscriber_has_gone_and_a_second_gets_the_new_ones(
    bench: Bench,
) -> None:
    """B190, B191."""
    first: list[int] = []
    second: list[int] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": same}))
        wire(runtime, ".in -> work -> .out")

        def send(number: int) -> None:
            runtime.process(".in", number)
            runtime.wait_idle(SECONDS)

        send(1)
        remove_first = runtime.on_result(lambda message: first.append(message.data))
        send(2)
        remove_second = runtime.on_result(lambda message: second.append(message.data))
        send(3)
        remove_first()
        send(4)
        remove_second()
        send(5)

        assert runtime.wait_for_result(SECONDS).data == 5
    assert first == [1, 2, 3]
    assert second == [3, 4]


@every_mode
def test_a_wait_that_is_over_takes_nothing_from_the_next(bench: Bench) -> None:
    """B192, B195 (BUG): there, what comes between a send and the second wait goes to the handler of the first."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": same}))
        wire(runtime, ".in -> work -> .out")
        if not bench.mode.simulated:  # a simulation knows at once that nothing can come
            with pytest.raises(FlowTimeoutError):
                runtime.wait_for_result(0.01)
        for number in range(5):
            runtime.process(".in", number)

            assert runtime.wait_for_result(SECONDS).data == number
            assert runtime.process(".in", -number).result(SECONDS).data == -number


@benches(lambda bench: bench.mode.parallelism and not bench.mode.simulated and bench.schedule != "sync")
def test_a_wait_for_a_run_is_ended_by_no_result_of_another(bench: Bench) -> None:
    """B196 (LIMIT): there, any result ends any wait."""
    gate = Gate()
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("gate", gate).make_async())
        runtime.add_operations(bench.operations(funcs={"quick": same}))
        wire(runtime, ".slow -> gate -> .out", ".quick -> quick -> .out")
        slow = runtime.process(".slow", "slow")
        arrived(gate.entered)
        try:
            quick = runtime.process(".quick", "quick")
            quick.wait(SECONDS)
            for wait in (slow.result, slow.wait, lambda limit: next(slow.results(limit))):
                with pytest.raises(FlowTimeoutError):
                    wait(0.01)
            assert quick.result(SECONDS).data == "quick"
        finally:
            gate.open()

        assert slow.result(SECONDS).data == "slow"


@every_mode
def test_send_and_wait_with_and_without_data_and_limits(bench: Bench) -> None:
    """B194."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": same}))
        wire(runtime, ".in -> work -> .out")

        assert runtime.process(".in").result().data is None
        assert runtime.process(".in", 1).result().data == 1
        assert runtime.process(".in", 2).result(SECONDS).data == 2
        runtime.process(".in", 3).wait(SECONDS)


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES if each != "sync"])
def test_each_way_to_wait_has_a_limit(schedule: str) -> None:
    """B192, B194: none waits for longer, and nothing is lost by that."""
    gate = Gate()
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("work", gate).make_async())
        wire(runtime, ".in -> work -> .out")
        run = runtime.process(".in", 1)
        waits: list[Callable[[float], Any]] = [
            run.result,
            run.wait,
            run.values,
            lambda limit: next(run.results(limit)),
            runtime.wait_for_result,
            runtime.wait_idle,
            lambda limit: next(runtime.results(limit)),
        ]
        for wait in waits:
            with pytest.raises(FlowTimeoutError):
                on_thread(wait, 0.001)  # one without a limit would not come back
        gate.open()

        assert run.result(SECONDS).data == 1


@every_schedule
def test_no_result_is_stuck_between_who_subscribes_and_who_sends(schedule: str) -> None:
    """B197 (BUG): there, a result may be put away just after the last look for one. In every order: test_caller_schedules.py."""
    got: list[int] = []
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> .out")
        sender = threading.Thread(target=lambda: [runtime.process(".in", number) for number in range(500)])
        sender.start()
        for _ in range(50):
            remove = runtime.on_result(lambda message: got.append(message.data))
            remove()
        sender.join(SECONDS)
        runtime.wait_idle(SECONDS)
        runtime.on_result(lambda message: got.append(message.data))
        runtime.wait_idle(SECONDS)

        assert got == list(range(500))


@every_schedule
def test_an_event_processor_sends_from_any_thread_with_or_without_data(schedule: str) -> None:
    """B198."""
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> .out")
        send = runtime.event_processor(".in")
        for arguments in ((), (5,)):
            caller = threading.Thread(target=send, args=arguments)
            caller.start()
            caller.join(SECONDS)

        assert [runtime.wait_for_result(SECONDS).data for _ in range(2)] == [None, 5]


# --- what is dispatched


def test_parallel_leaves_what_is_dispatched_to_its_dispatcher() -> None:
    """B154, B270."""
    here = Where()
    dispatched: list[Callable[[], None]] = []

    class Here:
        def dispatch(self, call: Callable[[], None]) -> None:
            dispatched.append(call)
            call()

    operations = FlowOperationContainer().add_func("form", here).make_sync(Here())
    with FlowRuntime(schedule="parallel") as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> form -> .out")

        assert runtime.process(".in", 1).values(SECONDS) == [1]
    assert dispatched
