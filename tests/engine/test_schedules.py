"""What comes next: each schedule's order, its priorities, and that it loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import Flow, FlowBuildError, FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.engine.chunks import Chunk
from flowrt.engine.ledger import Books
from flowrt.engine.places import Handler, Route
from flowrt.engine.schedules import BreadthFirst, DepthFirst, RoundRobin, Schedule, schedule_of
from flowrt.messages import CHUNK_SIZE, Context, Trunk
from flowrt.operations.contract import Emitter
from flowrt.ports import Port
from tests.kit.flows import ONE_BY_ONE, SCHEDULES, wire
from tests.kit.functions import SECONDS, same

ROOT = Trunk().root
RUN = Books(1000).open_run()
HANDLERS = {name: Handler(Port.parse(name), None) for name in "abcdefgh"}


def chunk(text: str, priority: int = 0) -> Chunk:
    """A chunk for the handler its first letter names; every letter and digit behind it is a message."""
    return Chunk(HANDLERS[text[0]], list(text), Context(RUN, None, priority), range(len(text)), ROOT)


def taken(schedule: Schedule) -> list[str]:
    return ["".join(chunk.data) for chunk in iter(schedule.take, None)]


OUTS = {name: ROOT.step(Route(Port.parse(f"x.{name}"), (), {})) for name in "pqr"}


def left(port: str, text: str, priority: int = 0) -> Chunk:
    """A chunk that left a port; every letter and digit is a message."""
    return Chunk(HANDLERS["a"], list(text), Context(RUN, None, priority), range(len(text)), OUTS[port])


def singly(schedule: Schedule) -> list[str]:
    """What comes out when, as in the engine, one message is taken at a time."""
    found = []
    for chunk in iter(schedule.take, None):
        found += chunk.cut(1).data
        if chunk.data:
            schedule.put_back(chunk)
    return found


every_kind = pytest.mark.parametrize("make", [BreadthFirst, DepthFirst, RoundRobin])


def test_breadth_first_takes_chunks_in_order() -> None:
    schedule = BreadthFirst()
    schedule.put_input(chunk("a"))
    schedule.put(chunk("b"))
    schedule.put_input(chunk("c"))

    assert taken(schedule) == ["a", "b", "c"]


def test_depth_first_takes_what_was_emitted_before_what_waited() -> None:
    schedule = DepthFirst()
    schedule.put_input(chunk("a"))
    schedule.put_input(chunk("b"))
    seen = []
    leads_to = {"a": "cd", "c": "e", "d": "f"}
    while (current := schedule.take()) is not None:
        seen.append(current.handler.port.fullname)
        for name in leads_to.get(seen[-1], ""):
            schedule.put(chunk(name))

    assert seen == ["a", "c", "e", "d", "f", "b"]


def test_depth_first_takes_outputs_in_order_of_emission() -> None:
    schedule = DepthFirst()
    for name in "bac":
        schedule.put(chunk(name))

    assert taken(schedule) == ["b", "a", "c"]


def test_depth_first_keeps_a_fifo_of_inputs_from_outside() -> None:
    schedule = DepthFirst()
    for name in "cab":
        schedule.put_input(chunk(name))
    schedule.put(chunk("h"))

    assert taken(schedule) == ["h", "c", "a", "b"]


def test_round_robin_serves_the_ports_in_turn_one_message_each() -> None:
    """B153."""
    schedule = RoundRobin()
    for chunk in (left("p", "12345"), left("q", "a"), left("r", "xyz")):
        schedule.put(chunk)

    assert singly(schedule) == ["1", "a", "x", "2", "y", "3", "z", "4", "5"]


def test_round_robin_serves_a_port_that_has_had_nothing_behind_those_that_have() -> None:
    """B153."""
    schedule = RoundRobin()
    schedule.put(left("p", "12"))
    schedule.put(left("q", "ab"))
    first = schedule.take()
    assert first is not None
    first.cut(1)
    schedule.put_back(first)
    schedule.put(left("r", "x"))

    assert singly(schedule) == ["a", "2", "x", "b"]


def test_round_robin_forgets_a_port_that_has_nothing_more() -> None:
    """B153: queues come and go with their messages."""
    schedule = RoundRobin()
    for turn in range(3):
        for port in "pqr":
            schedule.put(left(port, "1", priority=turn))
    assert len(singly(schedule)) == 9

    assert not schedule._rings


def test_round_robin_lets_a_higher_priority_overtake_over_all_ports() -> None:
    """B160, B161, B163 (LIMIT): there, priority only orders within one port."""
    schedule = RoundRobin()
    schedule.put(left("p", "12"))
    schedule.put(left("q", "a", 99))
    schedule.put(left("r", "x", 99))
    schedule.put(left("p", "3", 1))
    schedule.put(left("q", "b", 99))

    assert singly(schedule) == ["a", "x", "b", "3", "1", "2"]


def test_round_robin_keeps_inputs_that_enter_at_one_port_in_order_and_each_port_has_its_turn() -> None:
    """B153."""
    schedule = RoundRobin()
    schedule.put_input(left("p", "12"))
    schedule.put_input(left("q", "ab"))
    schedule.put_input(left("p", "3"))

    assert singly(schedule) == ["1", "a", "2", "b", "3"]


@every_kind
def test_a_higher_priority_goes_first(make: Callable[[], Schedule]) -> None:
    schedule = make()
    for name, priority in (("a", 0), ("b", 2), ("c", -1), ("d", 99)):
        schedule.put_input(chunk(name, priority))

    assert taken(schedule) == ["d", "b", "a", "c"]


@every_kind
def test_what_is_put_back_comes_next(make: Callable[[], Schedule]) -> None:
    schedule = make()
    schedule.put_input(chunk("abc"))
    schedule.put_input(chunk("d"))
    first = schedule.take()
    assert first is not None
    first.cut(1)
    schedule.put_back(first)

    assert taken(schedule) == ["bc", "d"]


@every_kind
def test_a_higher_priority_goes_before_what_is_put_back(make: Callable[[], Schedule]) -> None:
    schedule = make()
    schedule.put_input(chunk("abc"))
    first = schedule.take()
    assert first is not None
    first.cut(1)
    schedule.put_back(first)
    schedule.put_input(chunk("d", 1))

    assert taken(schedule) == ["d", "bc"]


def test_messages_to_one_port_in_one_context_travel_together() -> None:
    schedule = BreadthFirst()
    context = Context(RUN)
    for number in range(3):
        schedule.put(Chunk(HANDLERS["a"], [number], context, range(number, number + 1), ROOT))
    merged = schedule.take()

    assert merged is not None
    assert merged.data == [0, 1, 2]
    assert merged.positions == range(3)
    assert schedule.take() is None


def test_messages_to_different_ports_or_of_different_priority_do_not() -> None:
    schedule = BreadthFirst()
    for each in (chunk("a"), chunk("b"), chunk("a", 1), chunk("a")):
        schedule.put(each)

    assert taken(schedule) == ["a", "a", "b", "a"]


def test_a_chunk_does_not_outgrow_its_size() -> None:
    schedule = BreadthFirst()
    context = Context(RUN)
    for _ in range(CHUNK_SIZE + 1):
        schedule.put(Chunk(HANDLERS["a"], [1], context, range(1), ROOT))

    assert [len(chunk.data) for chunk in iter(schedule.take, None)] == [CHUNK_SIZE, 1]


def test_round_robin_drops_the_unwanted_and_keeps_the_turns() -> None:
    schedule = RoundRobin()
    for chunk in (left("p", "1"), left("q", "a"), left("r", "x"), left("q", "b"), left("p", "2")):
        schedule.put(chunk)
    schedule.clear(lambda chunk: chunk.data == ["x"])

    assert singly(schedule) == ["1", "a", "2", "b"]


@every_kind
def test_the_unwanted_are_dropped_and_nothing_else(make: Callable[[], Schedule]) -> None:
    schedule = make()
    schedule.put_input(chunk("a"))
    schedule.put_input(chunk("b", 1))
    schedule.put(chunk("c"))
    schedule.put(chunk("d", 1))

    schedule.clear(lambda chunk: chunk.data[0] in "bc")

    assert sorted(taken(schedule)) == ["a", "d"]


@every_kind
@given(st.lists(st.tuples(st.sampled_from(["put", "put_input", "take", "put_back"]), st.integers(-1, 2))))
def test_every_message_comes_out_once_and_the_highest_priority_first(
    make: Callable[[], Schedule], steps: list[tuple[str, int]]
) -> None:
    schedule = make()
    waiting: dict[int, int] = {}  # number -> priority
    out: list[int] = []

    def take() -> Chunk | None:
        current = schedule.take()
        if current is not None:
            assert current.priority == max(waiting.values())
            for number in current.data:
                del waiting[number]
        return current

    for number, (step, priority) in enumerate(steps):
        if step.startswith("take") or step == "put_back":
            current = take()
            if current is None:
                assert not waiting
            elif step == "put_back":
                waiting.update(dict.fromkeys(current.data, current.priority))
                schedule.put_back(current)
            else:
                out += current.data
        else:
            waiting[number] = priority
            new = Chunk(HANDLERS["a"], [number], Context(RUN, None, priority), range(1), ROOT)
            getattr(schedule, step)(new)
        assert sorted(number for chunk in schedule for number in chunk.data) == sorted(waiting)
    while (current := take()) is not None:
        out += current.data

    assert sorted(out) == [number for number, (step, _) in enumerate(steps) if step in {"put", "put_input"}]


def test_a_schedule_nobody_knows_is_refused_with_a_guess() -> None:
    with pytest.raises(FlowBuildError) as caught:
        schedule_of("breadth-first")

    assert str(caught.value).startswith('there is no schedule "breadth-first".')
    assert "breadth_first" in str(caught.value)


# --- in a runtime


def visits(schedule: Any, numbers: int) -> list[str]:
    """The order in which two inputs pass a flow: a doubles, b and c follow."""
    seen: list[str] = []

    def seeing(name: str) -> Callable[[int], int]:
        def see(number: int) -> int:
            seen.append(f"{name}{number}")
            return number

        return see

    def twice(number: int, on_number: Callable[[int], None]) -> None:
        seen.append(f"a{number}")
        on_number(10 * number)
        on_number(10 * number + 1)

    operations = FlowOperationContainer().add_action("a", twice)
    operations.add_func("b", seeing("b")).add_func("c", seeing("c"))
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> a -> b -> c -> .out")
        runtime.add_operations(operations)
        runtime.process_many(".in", range(1, numbers + 1)).wait(SECONDS)
    return seen


def test_breadth_first_works_level_by_level() -> None:
    assert visits("breadth_first", 1) == ["a1", "b10", "b11", "c10", "c11"]


@pytest.mark.parametrize("schedule", ["depth_first", "sync"])
def test_depth_first_works_each_message_to_its_end(schedule: Any) -> None:
    assert visits(schedule, 2) == ["a1", "b10", "c10", "b11", "c11", "a2", "b20", "c20", "b21", "c21"]


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
def test_what_a_priority_message_leads_to_stays_in_front(schedule: Any) -> None:
    """B160, B162 (LIMIT), B163 (LIMIT), B164."""
    seen: list[tuple[str, int]] = []

    def start(number: int, on_number: Callable[[int], None]) -> None:
        # On the engine's thread nothing is worked on until this returns.
        runtime.process(".low", 0)
        runtime.process(".low", 1)
        runtime.process(".high", 9, priority=1)

    def see(name: str) -> Callable[[int], int]:
        def visit(number: int) -> int:
            seen.append((name, number))
            return number

        return visit

    operations = FlowOperationContainer().add_action("start", start)
    operations.add_func("first", see("first")).add_func("second", see("second"))
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> start", ".low -> first -> second -> .out", ".high -> first")
        runtime.add_operations(operations)
        runtime.process(".in", None)
        runtime.wait_idle(SECONDS)

    assert seen[:2] == [("first", 9), ("second", 9)]
    assert sorted(seen[2:]) == [("first", 0), ("first", 1), ("second", 0), ("second", 1)]


def test_under_the_sync_schedule_process_returns_when_the_run_is_done() -> None:
    with FlowRuntime(schedule="sync") as runtime:
        wire(runtime, ".in -> a -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("a", same).make_parallel(2))

        assert runtime.process(".in", 1).done


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_generator_is_pulled_only_when_nothing_else_is_ready(schedule: Any) -> None:
    alive: list[int] = []
    most = []

    def count(number: int) -> Iterator[int]:
        for each in range(number):
            alive.append(each)
            most.append(len(alive))
            yield each

    def end(number: int) -> None:
        alive.remove(number)

    operations = FlowOperationContainer().add_generator("count", count, window=4).add_func("pass on", same)
    operations.add_action("end", end)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> count -> pass on -> end")
        runtime.add_operations(operations)
        runtime.process(".in", 500).wait(SECONDS)

    assert not alive
    assert len(most) == 500
    assert max(most) <= 5  # the window, and the one being made


# --- streams keep their order, whatever leads back to them


def around(n: int, again: Callable[[int], None]) -> None:
    if n:
        again(n - 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "chains", [(".in -> f -> around -> f", "f -> .out"), ("f -> .out", ".in -> f -> around -> f")]
)
def test_a_stream_that_leaves_a_loop_keeps_its_order(schedule: Any, chains: tuple[str, ...]) -> None:
    operations = FlowOperationContainer().add_func("f", same).add_action("around", around)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, *chains)
        runtime.add_operations(operations)

        assert runtime.process(".in", 5).values(SECONDS) == [5, 4, 3, 2, 1, 0]


@pytest.mark.no_cover
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_many_rounds_on_a_stream_that_waits_cost_no_more_each(schedule: Any) -> None:
    operations = FlowOperationContainer().add_func("f", same).add_action("around", around)
    seen: list[int] = []
    operations.add_action("see", seen.append)
    rounds = 20_000 if schedule in ONE_BY_ONE else 4_000  # two threads take turns three times a round
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> f -> around -> f", "f -> see")
        runtime.add_operations(operations)
        runtime.process(".in", rounds).wait(4 * SECONDS)

    assert seen == list(range(rounds, -1, -1))


def test_what_is_emitted_on_a_stream_goes_behind_what_waits_on_it() -> None:
    """As when an error of priority 99 completes a list while the one before still waits (random graphs, seed 25152)."""
    schedule = DepthFirst()
    for emitted in ("a1", "b1"):
        schedule.put(chunk(emitted))
    urgent = chunk("h", priority=99)
    schedule.put_input(urgent)
    assert schedule.take() is urgent
    schedule.put(chunk("b2"))
    schedule.put(chunk("c1"))

    assert taken(schedule) == ["c1", "a1", "b1", "b2"]


def test_what_is_emitted_on_a_stream_goes_behind_what_waits_among_the_inputs() -> None:
    schedule = DepthFirst()
    for text in ("a1", "b1"):
        schedule.put_input(chunk(text))
    assert "".join(schedule.take().data) == "a1"  # type: ignore[union-attr]
    schedule.put(chunk("b2"))
    schedule.put(chunk("c1"))

    assert taken(schedule) == ["c1", "b1", "b2"]


def test_the_rest_of_a_chunk_goes_before_what_was_emitted_later_on_its_stream() -> None:
    schedule = DepthFirst()
    schedule.put(chunk("a123"))
    taken_first = schedule.take()
    assert taken_first is not None
    head = taken_first.cut(2)
    schedule.put_back(taken_first)
    schedule.put(chunk("a4"))

    assert "".join(head.data) == "a1"
    assert taken(schedule) == ["23", "a4"]


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
def test_a_stream_keeps_its_order_while_the_flow_is_changed(schedule: Any) -> None:
    seen: list[str] = []

    def emit_three_or_one(number: int, emit: Callable[[str], None]) -> None:
        for text in ("first", "second", "third") if number == 0 else ("last",):
            emit(text)

    def change_and_go_round(text: str, again: Callable[[int], None]) -> None:
        seen.append(text)
        if text == "first":
            runtime.add_stream(".other", "a")
            runtime.process(".other", 1)  # swaps it in, behind this call
            again(1)

    operations = FlowOperationContainer().add_action("a", emit_three_or_one)
    operations.add_action("b", change_and_go_round)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> a -> b -> a")
        runtime.add_operations(operations)
        runtime.process(".in", 0)
        runtime.wait_idle(SECONDS)

    assert seen == ["first", "second", "third", "last", "last"]


# --- parallel


class Meeting:
    """Calls that return only once so many are made at a time."""

    def __init__(self, calls: int) -> None:
        self._barrier = threading.Barrier(calls)
        self.threads: set[int] = set()

    def __call__(self, number: int) -> int:
        self.threads.add(threading.get_ident())
        self._barrier.wait(SECONDS)
        return number


@pytest.mark.parametrize("kind", ["function", "action", "generator"])
def test_parallel_makes_calls_of_sync_operations_at_once_and_keeps_their_order(kind: str) -> None:
    """B154: with flowrt one engine, and workers that share what keeps no state; inputs do not overtake each other."""
    meet = Meeting(4)
    operations = FlowOperationContainer()
    if kind == "function":
        operations.add_func("meet", meet)
    elif kind == "action":
        operations.add_action("meet", lambda number, emit: emit(meet(number)))
    else:
        operations.add_generator("meet", lambda number: [meet(number)])
    with FlowRuntime(schedule="parallel", name="shared out") as runtime:
        wire(runtime, ".in -> meet -> .out")
        runtime.add_operations(operations)
        values = runtime.process_many(".in", range(12)).values(SECONDS)

        assert {row.mode for row in runtime.meters()} == {"parallel(4)"}
    assert (sorted(values) if kind == "generator" else values) == list(range(12))
    assert len(meet.threads) == 4
    assert threading.get_ident() not in meet.threads


def test_parallel_has_four_threads_for_all_sync_operations_together() -> None:
    """B154, B177: the ancestor's unnamed operations share four."""
    threads: set[str] = set()

    def note(number: int) -> int:
        threads.add(threading.current_thread().name)
        return number

    operations = FlowOperationContainer()
    for name in "abcdef":
        operations.add_func(name, note)
    with FlowRuntime(schedule="parallel", name="six") as runtime:
        wire(runtime, ".in -> a -> b -> c -> d -> e -> f -> .out")
        runtime.add_operations(operations)
        assert runtime.process_many(".in", range(500)).values(SECONDS) == list(range(500))

    assert threads <= {f"six/shared-{number}" for number in range(1, 5)}


@pytest.mark.parametrize("name", ["shared", " shared ", "SHARED"])
def test_parallel_shares_its_threads_with_no_pool_of_that_name(name: str) -> None:
    threads: dict[str, set[int]] = {"own": set(), "plain": set()}

    def note(where: str) -> Callable[[int], int]:
        def here(number: int) -> int:
            threads[where].add(threading.get_ident())
            return number

        return here

    operations = FlowOperationContainer().add_func("own", note("own")).make_async(pool=name)
    operations.add_func("plain", note("plain"))
    with FlowRuntime(schedule="parallel") as runtime:
        wire(runtime, ".in -> own -> plain -> .out")
        runtime.add_operations(operations)
        assert runtime.process_many(".in", range(100)).values(SECONDS) == list(range(100))

    assert len(threads["own"]) == 1
    assert threads["own"].isdisjoint(threads["plain"])


class Summing(Operation):
    """Keeps a sum, and notes on which threads it is entered."""

    def __init__(self) -> None:
        super().__init__("sum")
        self.threads: set[int] = set()

    def create(self) -> list[int]:
        return [0]

    def handle(self, state: list[int], message: Message, emit: Emitter) -> None:
        self.threads.add(threading.get_ident())
        state[0] += message.data
        emit(state[0])


def test_parallel_leaves_operations_with_state_on_the_thread_of_the_engine() -> None:
    """B159, B219, B238: no operator is entered by two threads, whatever runs before it."""
    engine: set[int] = set()
    summing = Summing()
    with FlowRuntime(schedule="parallel") as runtime:
        wire(runtime, ".in -> pass on -> sum -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("pass on", same).add_operation(summing))
        runtime.on_message(lambda _message: engine.add(threading.get_ident()))
        run = runtime.process_many(".in", range(100))

        assert run.values(SECONDS) == [sum(range(number + 1)) for number in range(100)]
    assert summing.threads == engine
    assert len(engine) == 1


def test_parallel_without_parallelism_runs_everything_on_the_thread_of_the_engine() -> None:
    """B157: as under the other schedules, all sync operations run on one thread."""
    threads: set[int] = set()

    def note(number: int) -> int:
        threads.add(threading.get_ident())
        return number

    operations = FlowOperationContainer().add_func("a", note).add_func("b", note).make_parallel(3)
    with FlowRuntime(schedule="parallel", parallelism=False) as runtime:
        wire(runtime, ".in -> a -> b -> .out")
        runtime.add_operations(operations)
        runtime.on_message(lambda _message: threads.add(threading.get_ident()))
        assert runtime.process_many(".in", range(50)).values(SECONDS) == list(range(50))

        assert [row.mode for row in runtime.meters()] == ["sync", "parallel(3)"]
    assert len(threads) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_wrong_with_a_flow_is_wrong_under_every_schedule(schedule: Any) -> None:
    """Under parallel it has a thread that could be given up; a flow is not to depend on that."""
    operations = FlowOperationContainer().add_func("slow", same).timeout(1.0)
    runtime = FlowRuntime(schedule=schedule).add_operations(operations)
    wire(runtime, ".in -> slow -> .out")

    with pytest.raises(FlowBuildError, match=r"runs on the engine's thread, where a call cannot be given up"):
        runtime.process(".in", 1)


def test_parallel_keeps_the_policies_of_what_it_shares_out() -> None:
    attempts: list[int] = []

    def fail_once(number: int) -> int:
        attempts.append(number)
        if attempts.count(number) < 2:
            raise ValueError
        return number

    operations = FlowOperationContainer().add_func("work", fail_once).retry(3, backoff=0.0)
    with FlowRuntime(schedule="parallel") as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(operations)

        assert runtime.process_many(".in", range(20)).values(SECONDS) == list(range(20))


def test_parallel_shares_out_what_is_added_while_it_runs_and_in_nested_flows() -> None:
    meet = Meeting(4)
    inner = Flow("inner").add_operations(FlowOperationContainer().add_func("meet", meet))
    wire(inner, ".in -> meet -> .out")
    with FlowRuntime(schedule="parallel") as runtime:
        wire(runtime, ".in -> inner.in", "inner.out -> .out")
        runtime.add_flow(inner)
        assert runtime.process_many(".in", range(4)).values(SECONDS) == [0, 1, 2, 3]
        runtime.add_operations(FlowOperationContainer().add_func("late", meet))
        wire(runtime, ".late -> late -> .out")

        assert runtime.process_many(".late", range(4)).values(SECONDS) == [0, 1, 2, 3]
        assert len(meet.threads) <= 4


def test_what_was_emitted_goes_before_what_came_from_workers_later_on_its_stream() -> None:
    schedule = DepthFirst()
    schedule.put(chunk("a1"))
    schedule.put_input(chunk("a2"))

    assert taken(schedule) == ["a1", "a2"]
