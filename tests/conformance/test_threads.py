"""Where operations run: the engine's thread, threads of their own, pools and dispatchers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from flowrt import FlowOperationContainer, FlowRuntime
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from tests.kit.flows import (
    ONE_BY_ONE,
    Bench,
    benches,
    by_mode,
    by_queued_schedule,
    by_schedule,
    flow_of,
    real_threads,
    real_workers,
    runtime_of,
    wire,
)
from tests.kit.functions import SECONDS, Gate, arrived, increment, same

pytestmark = pytest.mark.each_bench

# --- Threads


class Where:
    """Notes on which threads something runs."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def __call__(self, data: Any) -> Any:
        self.threads.add(threading.get_ident())
        return data


def meeting(calls: int, action: Callable[[], None] | None = None) -> Callable[[Any], Any]:
    """A function of which so many calls return together."""
    together = threading.Barrier(calls, action, SECONDS)

    def meet(data: Any) -> Any:
        together.wait()
        return data

    return meet


@benches(lambda bench: not bench.mode.simulated and bench.schedule in ONE_BY_ONE)
def test_exactly_one_sync_operation_runs_at_a_time(bench: Bench) -> None:
    """B157, B159 (QUIRK): there, four at a time behind a parallel one."""
    running: list[str] = []
    overlaps: list[list[str]] = []

    def alone(data: int) -> int:
        running.append("sync")
        if len(running) > 1:
            overlaps.append(list(running))
        running.remove("sync")
        return data

    container = bench.operations(funcs={"work": increment}).add_func("one", alone).add_func("two", alone)
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> work -> one -> two -> .out")

        values = runtime.process_many(".in", range(300)).values(timeout=SECONDS)

    assert overlaps == []
    assert sorted(values) == list(range(1, 301))


@real_threads
def test_operations_run_on_the_threads_their_mode_says(bench: Bench) -> None:
    """B150, B157, B170, B172, B177: what is unnamed has threads of its own."""
    threads: dict[str, set[int]] = {"work": set(), "other": set(), "sync": set()}

    def here(name: str, data: Any) -> Any:
        threads[name].add(threading.get_ident())
        return data

    container = bench.operations(funcs={name: functools.partial(here, name) for name in ("work", "other")})
    container.add_func("sync", functools.partial(here, "sync"))
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> work -> other -> sync -> .out")

        runtime.process_many(".in", range(100)).wait(timeout=SECONDS)

    if bench.schedule == "parallel":
        shared = threads["work"] | threads["other"] | threads["sync"]
        assert len(shared) <= 4
        assert threading.get_ident() not in shared
        return
    assert len(threads["sync"]) == 1
    if bench.schedule == "sync":
        assert threads["sync"] == {threading.get_ident()}
    if bench.on_engine_thread:
        assert threads["work"] == threads["other"] == threads["sync"]
        return
    assert threads["work"].isdisjoint(threads["sync"])
    assert threads["work"].isdisjoint(threads["other"])
    assert 1 <= len(threads["work"]) <= (1 if bench.mode.name == "async" else 4)


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
@by_mode
def test_operations_of_every_kind_run_where_their_mode_says(schedule: Any, mode: str) -> None:
    """B157, B170, B173."""
    threads: dict[str, set[int]] = {"function": set(), "action": set(), "generator": set(), "engine": set()}

    def here(name: str, data: Any) -> Any:
        threads[name].add(threading.get_ident())
        return data

    def generate(data: Any) -> Iterator[Any]:
        yield here("generator", data)
        yield here("generator", data)

    container = FlowOperationContainer().add_func("function", functools.partial(here, "function"))
    container.add_action("action", lambda data, emit: emit(here("action", data)))
    container.add_generator("generator", generate)
    for name in ("function", "action", "generator"):
        if mode == "async":
            container[name].make_async()
        elif mode == "parallel":
            container[name].make_parallel(3)
    container.add_func("engine", functools.partial(here, "engine"))
    with runtime_of(
        container, ".in -> function -> action -> generator -> engine -> .out", schedule=schedule
    ) as runtime:
        values = runtime.process_many(".in", range(50)).values(timeout=SECONDS)

    assert sorted(values) == sorted([*range(50)] * 2)
    engine = threads.pop("engine")
    assert len(engine) == 1
    for kind, found in threads.items():
        if mode == "sync":
            assert found == engine, kind
        else:
            assert 1 <= len(found) <= (1 if mode == "async" else 3), kind
    if mode != "sync":
        assert len(set.union(engine, *threads.values())) == 1 + sum(map(len, threads.values()))


@real_workers
def test_async_operations_of_one_pool_share_its_thread(bench: Bench) -> None:
    """B176."""
    here = Where()
    container = (
        FlowOperationContainer().add_func("a", here).make_async(pool="p").add_func("b", here).make_async("P")
    )
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> a -> b -> .out")

        runtime.process_many(".in", range(20)).wait(timeout=SECONDS)

    assert len(here.threads) == 1


@by_schedule
@pytest.mark.parametrize("workers", [1, 4, 7])
@pytest.mark.parametrize("ordered", [False, True])
def test_as_many_calls_run_at_once_as_there_are_workers(schedule: Any, workers: int, ordered: bool) -> None:
    """B173, B174 (BUG): there, wake-ups get lost, and fewer are used. B180 (LIMIT): of any number."""
    container = FlowOperationContainer().add_func("meet", meeting(workers))
    container.make_parallel(workers, ordered=ordered)
    with runtime_of(container, ".in -> meet -> .out", schedule=schedule) as runtime:
        for _ in range(3):  # the second time they have been idle, and all are woken
            values = runtime.process_many(".in", range(workers)).values(timeout=SECONDS)
            assert (values if ordered else sorted(values)) == list(range(workers))


@by_schedule
def test_workers_wake_each_other_while_the_engine_is_in_a_call(schedule: Any) -> None:
    """B174 (BUG): there, whoever takes a message puts the others to sleep."""
    met = threading.Event()
    container = FlowOperationContainer().add_func("meet", meeting(4, met.set)).make_parallel(4)
    container.add_action("hold", lambda _: arrived(met))
    with runtime_of(container, ".in -> meet -> .out", ".in -> hold", schedule=schedule) as runtime:
        assert sorted(runtime.process_many(".in", range(4)).values(timeout=SECONDS)) == [0, 1, 2, 3]


@by_schedule
def test_parallel_operations_of_one_pool_share_its_workers(schedule: Any) -> None:
    """B176, B180 (LIMIT): of any size."""
    here = Where()
    container = FlowOperationContainer()
    for name in ("a", "b", "c"):
        container.add_func(name, here).make_parallel(2, pool="shared")
    with runtime_of(container, ".in -> a -> b -> c -> .out", schedule=schedule) as runtime:
        values = runtime.process_many(".in", range(100)).values(timeout=SECONDS)

    assert sorted(values) == list(range(100))
    assert 1 <= len(here.threads) <= 2


@pytest.mark.parametrize("schedule", [each for each in ONE_BY_ONE if each != "sync"])
def test_whatever_runs_elsewhere_its_outputs_come_back_to_the_thread_of_the_engine(schedule: Any) -> None:
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


@by_schedule
def test_messages_of_one_port_go_one_by_one_and_those_of_others_beside_them(schedule: Any) -> None:
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
    with runtime_of(operations, ".left -> work.left", ".right -> work.right", schedule=schedule) as runtime:
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


@by_queued_schedule
def test_a_call_that_ends_at_one_port_lets_nothing_pass_at_another(schedule: Any) -> None:
    """B175."""
    gate = Gate()
    begun: list[tuple[str, int]] = []

    def work(item: tuple[str, int]) -> tuple[str, int]:
        begun.append(item)
        return gate(item) if item == ("left", 0) else item

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, by_key="port")
    with runtime_of(operations, ".left -> work.left", ".right -> work.right", schedule=schedule) as runtime:
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


# --- Pools


@by_schedule
def test_pools_belong_to_a_runtime_and_begin_with_its_work(schedule: Any) -> None:
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


class Watched(threading.Event):
    """Tells how long who waits for it means to wait."""

    limits: ClassVar[list[tuple[str, float | None]]] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.limits.append((threading.current_thread().name, timeout))
        return super().wait(timeout)


@by_schedule
def test_idle_workers_wait_to_be_woken_and_look_at_nothing_by_themselves(schedule: Any) -> None:
    """B174 (BUG), B186 (BUG): there they look once a second, and a pool takes as long to end."""
    Watched.limits.clear()
    operations = FlowOperationContainer().add_func("a", same).make_parallel(2)
    operations.add_func("b", same).make_async()
    pauses: list[float] = []
    seams = Seams(event=Watched, pause=pauses.append)
    with runtime_of(
        operations, ".in -> a -> b -> .out", schedule=schedule, name="idle", seams=seams
    ) as runtime:
        for _ in range(3):
            runtime.process_many(".in", range(20)).wait(SECONDS)
    waits = [limit for name, limit in Watched.limits if name.startswith("idle/")]

    assert waits
    assert set(waits) == {None}
    assert max(pauses, default=0.0) < 0.001  # nor does the end take its time


@by_schedule
def test_a_worker_that_starts_late_finds_what_came_before_it(schedule: Any) -> None:
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
    with runtime_of(
        operations, ".in -> work -> .out", schedule=schedule, seams=Seams(spawn=spawn)
    ) as runtime:
        if schedule == "sync":
            threading.Timer(0.0, started.set).start()
            run = runtime.process_many(".in", range(50))
        else:
            run = runtime.process_many(".in", range(50))
            started.set()

        assert sorted(run.values(SECONDS)) == list(range(1, 51))


# --- What is dispatched


def test_parallel_leaves_what_is_dispatched_to_its_dispatcher() -> None:
    """B154, B270."""
    here = Where()
    dispatched: list[Callable[[], None]] = []

    class Here:
        def dispatch(self, call: Callable[[], None]) -> None:
            dispatched.append(call)
            call()

    operations = FlowOperationContainer().add_func("form", here).make_sync(Here())
    with runtime_of(operations, ".in -> form -> .out", schedule="parallel") as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [1]
    assert dispatched
