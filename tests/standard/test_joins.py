"""AutoResetJoin and ManualResetJoin: what they bring together, and what becomes of what they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.errors import FlowBuildError, FlowOverloadError, OperationError, RunCancelledError
from flowrt.standard import AutoResetJoin, Filter, Gather, ManualResetJoin, PushCausality, Scatter, Switch
from flowrt.testing import check_operation, simulated
from tests.kit import flows
from tests.kit.functions import SECONDS, double, increment, refuse, same
from tests.kit.operators import books, cancelled_after, rows

__all__ = ["books"]

both = pytest.mark.parametrize("kind", [AutoResetJoin, ManualResetJoin])


def joining(join: Operation, *others: Operation) -> Flow:
    """`.in0 -> join.in0` and so on for each of its in-ports; `join -> .out`."""
    flow = Flow("joining")
    operations = FlowOperationContainer().add_operation(join)
    for other in others:
        operations.add_operation(other)
    flow.add_operations(operations)
    for port in join.in_ports or ():
        flows.wire(flow, f".{port} -> {join.name}.{port}")
    flows.wire(flow, f"{join.name} -> .out")
    return flow


def sent(runtime: FlowRuntime, *inputs: tuple[str, Any] | tuple[str, Any, Any]) -> list[Any]:
    """What comes of inputs (port, data, correlation id), each in a run of its own, one after the other."""
    found = []
    for port, data, *correlation_id in inputs:
        run = runtime.process(port, data, correlation_id=correlation_id[0] if correlation_id else None)
        found += run.values(timeout=SECONDS)
    return found


# --- auto-reset


@flows.every_schedule
def test_as_soon_as_every_input_has_a_value_the_oldest_are_joined_and_the_others_wait(
    bench: flows.Bench,
) -> None:
    """B210."""
    with bench.make_runtime(joining(AutoResetJoin("join"))) as runtime:
        assert sent(runtime, (".in0", 1), (".in0", 2), (".in0", 3)) == []
        assert sent(runtime, (".in1", "a")) == [(1, "a")]
        assert sent(runtime, (".in1", "b"), (".in1", "c"), (".in1", "d")) == [(2, "b"), (3, "c")]
        assert sent(runtime, (".in0", 4)) == [(4, "d")]


@flows.every_schedule
def test_two_inputs_sent_before_anybody_waits_are_joined(bench: flows.Bench) -> None:
    """B210."""
    operations = FlowOperationContainer().add_auto_reset_join("join")
    with bench.make_runtime(
        flows.flow_of("", ".a -> join.in0", ".b -> join.in1", "join -> .out", operations=operations)
    ) as runtime:
        first = runtime.process(".a", 1)
        second = runtime.process(".b", 2)

        assert runtime.wait_for_result(timeout=SECONDS).data == (1, 2)
        assert list(runtime.results(timeout=SECONDS)) == []
        flows.assert_ledger(first, accepted=1, absorbed=1)
        flows.assert_ledger(second, accepted=1, delivered=1)
    assert ("join", "absorbed", "held until the run was done", 1) in rows(first)


@flows.every_mode
def test_the_branches_of_a_fork_are_joined_in_one_run(bench: flows.Bench) -> None:
    """B210."""
    with bench.wired(
        ".in -> double -> join.in0",
        ".in -> increment -> join.in1",
        "join -> .out",
        others=[AutoResetJoin("join")],
        funcs={"double": double, "increment": increment},
    ) as runtime:
        runs = [runtime.process(".in", number, correlation_id=number) for number in range(20)]

        assert [run.values(timeout=SECONDS) for run in runs] == [[(n * 2, n + 1)] for n in range(20)]
        for run in runs:
            flows.assert_ledger(run, accepted=1, born=1, absorbed=1, delivered=1)


@flows.every_schedule
@pytest.mark.parametrize("inputs", [1, 2, 3, 12])
def test_there_may_be_any_number_of_inputs_and_their_names_ignore_case(
    bench: flows.Bench, inputs: int
) -> None:
    """B211."""
    operations = FlowOperationContainer().add_auto_reset_join("join", inputs)
    flow = flows.flow_of("", "JOIN -> .out", operations=operations)
    for number in range(inputs):
        flows.wire(flow, f".{number} -> Join.IN{number}")
    with bench.make_runtime(flow) as runtime:
        found = sent(runtime, *((f".{number}", number * 10) for number in reversed(range(inputs))))

    assert found == [tuple(number * 10 for number in range(inputs))]


@flows.every_schedule
def test_each_correlation_id_is_joined_for_itself_and_none_is_one_like_any_other(bench: flows.Bench) -> None:
    """B212."""
    with bench.make_runtime(joining(AutoResetJoin("join"))) as runtime:
        assert sent(runtime, (".in0", 1, "a"), (".in0", 2, None), (".in1", 3, "b"), (".in0", 4, 7)) == []
        found = []
        for data, correlation_id in [(10, None), (20, 7), (30, "a")]:
            found += runtime.process(".in1", data, correlation_id=correlation_id).results(timeout=SECONDS)

    assert [(message.data, message.correlation_id) for message in found] == [
        ((2, 10), None),
        ((4, 20), 7),
        ((1, 30), "a"),
    ]


@flows.every_schedule
@pytest.mark.parametrize(
    ("kind", "port", "text"),
    [
        (AutoResetJoin, "join.in2", r'operation "join" has no in-port "\.in2".*There are: \.in0, \.in1'),
        (AutoResetJoin, "join.stream", r'operation "join" has no in-port "\.stream"'),
        (AutoResetJoin, "join", r'operation "join" has no default in-port\. There are: \.in0, \.in1'),
        (AutoResetJoin, "join.reset", r'operation "join" has no in-port "\.reset"'),
        (ManualResetJoin, "join.in2", r"There are: \.in0, \.in1, \.reset"),
    ],
)
def test_a_stream_to_another_port_is_refused_and_what_waits_is_unharmed(
    bench: flows.Bench, kind: type[Operation], port: str, text: str
) -> None:
    """B213."""
    with bench.make_runtime(joining(kind("join"))) as runtime:
        assert sent(runtime, (".in0", 1)) == []
        runtime.add_stream(".other", port)
        with pytest.raises(FlowBuildError, match=text):
            runtime.process(".other", 2)

        assert sent(runtime, (".in1", "a")) == [(1, "a")]


@flows.every_schedule
def test_a_message_that_cannot_be_joined_fails_and_what_waits_is_unharmed(bench: flows.Bench) -> None:
    """B213."""
    with bench.make_runtime(joining(AutoResetJoin("join"))) as runtime:
        assert sent(runtime, (".in0", 1)) == []
        bad = runtime.process(".in1", 2, correlation_id=[1])
        with pytest.raises(OperationError, match=r'AutoResetJoin "join" .* cannot be hashed \(list\)'):
            bad.wait(timeout=SECONDS)

        assert sent(runtime, (".in1", "a")) == [(1, "a")]
        flows.assert_ledger(bad, accepted=1, failed=1)


# --- manual-reset

TABLE = [(".in0", "A1"), (".in0", "A2"), (".in1", "B1"), (".in1", "B2"), (".in1", "B3"), (".in2", "C1")]
BACKLOG = [("A1", "B1", "C1"), ("A2", "B1", "C1"), ("A2", "B2", "C1"), ("A2", "B3", "C1")]


@flows.every_schedule
def test_a_manual_reset_join_works_off_its_backlog_when_it_is_complete(bench: flows.Bench) -> None:
    """B214, B215."""
    with bench.make_runtime(joining(ManualResetJoin("join", 3))) as runtime:
        assert sent(runtime, *TABLE[:-1]) == []
        assert sent(runtime, TABLE[-1]) == BACKLOG


@flows.every_schedule
def test_a_backlog_goes_every_way_in_order(bench: flows.Bench) -> None:
    """B158, B215: what one call emits bit by bit keeps its order on each of several streams."""
    got: dict[str, list[Any]] = {"left": [], "right": []}
    operations = FlowOperationContainer().add_operation(ManualResetJoin("join", 3))
    operations.add_func("left", same).add_func("right", same)
    flow = flows.flow_of("", "join -> left -> .left", "join -> right -> .right", operations=operations)
    flows.wire(flow, ".in0 -> join.in0", ".in1 -> join.in1", ".in2 -> join.in2")
    with bench.make_runtime(flow) as runtime:
        for port, data in TABLE:
            runtime.process(port, data, correlation_id="id")
        for message in runtime.results(timeout=SECONDS):
            got[message.port.name].append(message.data)

    assert got == {"left": BACKLOG, "right": BACKLOG}


@flows.every_schedule
def test_it_then_keeps_firing_with_every_message(bench: flows.Bench) -> None:
    """B216."""
    with bench.make_runtime(joining(ManualResetJoin("join", 3))) as runtime:
        sent(runtime, *TABLE)

        assert sent(runtime, (".in2", "C2")) == [("A2", "B3", "C2")]
        assert sent(runtime, (".in0", "A3"), (".in0", "A4")) == [("A3", "B3", "C2"), ("A4", "B3", "C2")]


@flows.every_schedule
def test_a_reset_forgets_everything_of_its_correlation_id(bench: flows.Bench) -> None:
    """B217, B218."""
    table = [(port, data, each) for port, data in TABLE for each in ("one", "two", None)]
    with bench.make_runtime(joining(ManualResetJoin("join", 3))) as runtime:
        assert sent(runtime, *table) == BACKLOG * 3
        assert sent(runtime, (".reset", None, "one"), (".reset", None, "unknown")) == []

        assert sent(runtime, (".in0", "A5", "one"), (".in0", "A6", "two")) == [("A6", "B3", "C1")]
        assert sent(runtime, (".in1", "B5", "one"), (".in2", "C5", None)) == [("A2", "B3", "C5")]
        assert sent(runtime, (".in2", "C6", "one")) == [("A5", "B5", "C6")]


@flows.every_schedule
def test_a_reset_discards_what_was_not_complete(bench: flows.Bench) -> None:
    """B217."""
    operations = FlowOperationContainer().add_manual_reset_join("join")
    operations.add_action("both", lambda data, first, then: (first(data), then(data)))
    chains = [".in -> both", "both.first -> join.in0", "both.then -> join.reset", ".in1 -> join.in1"]
    with bench.make_runtime(flows.flow_of("", *chains, "join -> .out", operations=operations)) as runtime:
        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

        assert sent(runtime, (".in1", 2)) == []
        assert ("join", "discarded", "the join was reset", 1) in rows(run)
        flows.assert_ledger(run, accepted=1, born=1, absorbed=1, discarded=1)


@flows.every_mode
def test_a_backlog_is_made_of_its_messages_and_what_no_tuple_needs_is_absorbed(bench: flows.Bench) -> None:
    """B215."""

    def table(_data: Any, in0: Callable[[Any], None], in1: Callable[[Any], None], in2: Any) -> None:
        for port, data in TABLE:
            {".in0": in0, ".in1": in1, ".in2": in2}[port](data)

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(ManualResetJoin("join", 3), actions={"table": table}))
        for number in range(3):
            flows.wire(runtime, f"table.in{number} -> join.in{number}")
        flows.wire(runtime, ".in -> table", "join -> .out")
        run = runtime.process(".in", None)

        assert run.values(timeout=SECONDS) == BACKLOG
        flows.assert_ledger(run, accepted=1, born=5, delivered=4, absorbed=2)


@flows.every_schedule
@pytest.mark.parametrize("number", [1, 4])
def test_a_manual_reset_join_with_other_numbers_of_inputs(bench: flows.Bench, number: int) -> None:
    """B211, B215, B216."""
    with bench.make_runtime(joining(ManualResetJoin("join", number))) as runtime:
        found = sent(runtime, *((f".in{index}", index) for index in range(number)), (".in0", "new"))

    newest = tuple(range(number))
    assert found == [newest, ("new", *newest[1:])]


# --- state, bounds, expiry


@flows.every_schedule
@both
def test_instances_and_flows_keep_their_own_state(bench: flows.Bench, kind: Any) -> None:
    """B072, B219."""
    inner = flows.flow_of("inner", ".in0 -> join.in0", ".in1 -> join.in1", "join -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(FlowOperationContainer().add_operation(kind("join")))
        places = ["join", "join#1", "join#2", "inner", "inner#1"]
        for number, place in enumerate(places):
            port = "" if place.startswith("join") else "/"
            flow, _, instance = place.partition("#")
            target = f"{place}.in%d" if not port else f"{flow}{'#' + instance if instance else ''}.in%d"
            flows.wire(runtime, f".{number}/0".replace("/", "_") + f" -> {target % 0}")
            flows.wire(runtime, f".{number}/1".replace("/", "_") + f" -> {target % 1}")
            flows.wire(runtime, f"{place}{'.out' if port else ''} -> .out{number}")

        for number in range(len(places)):
            assert sent(runtime, (f".{number}_0", number)) == []
        for number in reversed(range(len(places))):
            assert sent(runtime, (f".{number}_1", "x")) == [(number, "x")]


@flows.every_schedule
@both
def test_past_max_open_the_run_fails_and_what_waits_of_others_stays(bench: flows.Bench, kind: Any) -> None:
    """B219."""
    with bench.make_runtime(joining(kind("join", max_open=2))) as runtime:
        sent(runtime, (".in0", 1, "a"), (".in0", 2, "b"))
        run = runtime.process(".in0", 3, correlation_id="c")
        with pytest.raises(
            FlowOverloadError, match=r'"join" already keeps something for max_open=2 correlation'
        ):
            run.wait(timeout=SECONDS)

        assert run.ledger.balanced
        assert sent(runtime, (".in1", "x", "b"), (".in1", "y", "a")) == [(2, "x"), (1, "y")]


@flows.every_schedule
def test_correlation_ids_that_are_done_with_make_room(bench: flows.Bench) -> None:
    """B219."""
    with bench.make_runtime(joining(AutoResetJoin("join", max_open=1))) as runtime:
        for number in range(5):
            assert sent(runtime, (".in0", 0, number), (".in1", 1, number)) == [(0, 1)]
    with bench.make_runtime(joining(ManualResetJoin("join", max_open=1))) as runtime:
        for number in range(5):
            assert sent(runtime, (".in0", 0, number), (".in1", 1, number), (".reset", 0, number)) == [(0, 1)]


@flows.every_schedule
@both
def test_past_max_waiting_the_run_fails_and_takes_its_own_messages_along(
    bench: flows.Bench, kind: Any
) -> None:
    """B219."""
    with bench.make_runtime(joining(kind("join", max_waiting=3))) as runtime:
        sent(runtime, (".in0", "stays"))
        run = runtime.process_many(".in0", range(5))
        with pytest.raises(FlowOverloadError, match=r'"join" would hold more than max_waiting=3 .*"in0"'):
            run.wait(timeout=SECONDS)

        assert run.ledger.balanced
        assert sent(runtime, (".in1", "x"))[0] == ("stays", "x")
        (place,) = runtime._owner.engine.routes.all_places()
        assert len(place.state) == (kind is ManualResetJoin)


@pytest.mark.parametrize("schedule", flows.SCHEDULES)
def test_what_waits_too_long_expires_and_the_oldest_first(schedule: Any) -> None:
    """B219."""
    seams = simulated(deviations={})
    clock: Any = seams.clock
    with FlowRuntime(joining(AutoResetJoin("join", expire=10.0)), schedule=schedule, seams=seams) as runtime:
        assert sent(runtime, (".in0", 1)) == []
        clock.advance(6.0)
        assert sent(runtime, (".in0", 2)) == []
        clock.advance(3.9)
        assert sent(runtime, (".in1", "a")) == [(1, "a")]
        clock.advance(6.2)  # 2 is older than ten seconds by now
        assert sent(runtime, (".in1", "b")) == []
        clock.advance(9.9)
        assert sent(runtime, (".in0", 3)) == [(3, "b")]
        assert (len(state_of(runtime)), runtime._owner.engine.wakes.loose) == (0, 0)


@pytest.mark.parametrize("schedule", flows.SCHEDULES)
def test_a_run_does_not_wait_for_its_messages_to_expire(schedule: Any) -> None:
    """B219."""
    seams = simulated(deviations={})
    with FlowRuntime(joining(AutoResetJoin("join", expire=1e6)), schedule=schedule, seams=seams) as runtime:
        run = runtime.process(".in0", 1)
        run.wait()

        assert seams.clock.now() == 0.0
        flows.assert_ledger(run, accepted=1, absorbed=1)


@pytest.mark.parametrize("schedule", flows.SCHEDULES)
def test_a_message_that_expires_while_its_run_goes_on_ends_as_discarded(schedule: Any) -> None:
    """B219."""
    seams = simulated(deviations={})
    clock: Any = seams.clock

    def linger(data: Any) -> Any:
        clock.sleep(5.0)
        return data

    operations = FlowOperationContainer().add_auto_reset_join("join", expire=2.0)
    operations.add_func("linger", linger).make_async()
    chains = [".in -> join.in0", ".in -> linger -> join.in1", "join -> .out"]
    flow = flows.flow_of("", *chains, operations=operations)
    with FlowRuntime(flow, schedule=schedule, seams=seams) as runtime:
        run = runtime.process(".in", 1)

        assert run.values() == []
        assert ("join", "discarded", "nothing came to go with it within 2 s", 1) in rows(run)
        flows.assert_ledger(run, accepted=1, born=1, discarded=1, absorbed=1)


@pytest.mark.parametrize("schedule", flows.SCHEDULES)
def test_a_manual_reset_join_forgets_what_nothing_comes_for(schedule: Any) -> None:
    """B219."""
    seams = simulated(deviations={})
    clock: Any = seams.clock
    with FlowRuntime(
        joining(ManualResetJoin("join", expire=10.0)), schedule=schedule, seams=seams
    ) as runtime:
        assert sent(runtime, (".in0", 1, "a"), (".in1", 2, "a"), (".in0", 1, "b")) == [(1, 2)]
        for _ in range(5):
            clock.advance(9.0)
            assert sent(runtime, (".in1", 3, "a")) == [(1, 3)]
        assert len(state_of(runtime)) == 1
        clock.advance(10.0)
        assert sent(runtime, (".in1", 4, "a"), (".in1", 4, "b")) == []
        assert sent(runtime, (".in0", 5, "a")) == [(5, 4)]
        sent(runtime, (".reset", None, "a"), (".reset", None, "b"))
        assert (len(state_of(runtime)), runtime._owner.engine.wakes.loose) == (0, 0)


def state_of(runtime: FlowRuntime) -> Any:
    (place,) = (place for place in runtime._owner.engine.routes.all_places() if place.name == "join")
    return place.state


@pytest.mark.parametrize("schedule", flows.SCHEDULES)
def test_a_join_is_entered_by_one_thread_at_a_time(schedule: Any) -> None:
    """B219."""
    operations = FlowOperationContainer().add_auto_reset_join("join")
    operations.add_func("left", same).make_parallel(4).add_func("right", same).make_parallel(4)
    flow = flows.flow_of(
        "", ".in -> left -> join.in0", ".in -> right -> join.in1", "join -> .out", operations=operations
    )
    with FlowRuntime(flow, schedule=schedule) as runtime:
        found = runtime.process_many(".in", range(2_000)).values(timeout=SECONDS)

    assert sorted(left for left, _ in found) == sorted(right for _, right in found) == list(range(2_000))


@both
def test_a_join_cannot_be_made_async_or_parallel(kind: Any) -> None:
    """B219."""
    operations = FlowOperationContainer().add_operation(kind("join"))
    for make in (operations.make_async, operations.make_parallel):
        with pytest.raises(FlowBuildError, match=r'operation "join"'):
            make()


# --- by run


@flows.few_modes
@pytest.mark.parametrize("counted", [True, False])
def test_by_run_the_branches_of_each_item_meet_again(bench: flows.Bench, counted: bool) -> None:
    """B210."""
    with bench.make_runtime() as runtime:
        operations = bench.operations(
            Scatter("scatter"),
            Gather("gather", ordered=True),
            AutoResetJoin("join", by="run"),
            funcs={"double": double, "increment": increment},
        )
        runtime.add_operations(operations)
        flows.wire(runtime, ".in -> scatter", "scatter.stream -> double -> join.in0", "gather -> .out")
        flows.wire(runtime, "scatter.stream -> increment -> join.in1", "join -> gather.stream")
        if counted:
            flows.wire(runtime, "scatter.count -> gather.count")
        runs = [runtime.process(".in", range(first, first + 50)) for first in (0, 100, 200)]
        expected = [[[(n * 2, n + 1) for n in range(first, first + 50)]] for first in (0, 100, 200)]

        assert [run.values(timeout=SECONDS) for run in runs] == expected


@flows.every_mode
def test_by_run_inputs_of_one_run_and_of_several_are_kept_apart(bench: flows.Bench) -> None:
    """B210."""
    with bench.make_runtime() as runtime:
        operations = bench.operations(
            AutoResetJoin("join", by="run"), funcs={"double": double, "increment": increment}
        )
        runtime.add_operations(operations)
        flows.wire(runtime, ".in -> double -> join.in0", ".in -> increment -> join.in1", "join -> .out")
        runs = [runtime.process_many(".in", range(first, first + 20)) for first in (0, 50)]

        for first, run in zip((0, 50), runs, strict=True):
            found = sorted(run.values(timeout=SECONDS))
            assert found == [(n * 2, n + 1) for n in range(first, first + 20)]


@flows.every_mode
def test_by_run_what_lacks_its_other_half_is_absorbed_when_its_list_has_gone_quiet(
    bench: flows.Bench,
) -> None:
    def odd(number: int, emit: Callable[[int], None]) -> None:
        if number % 2:
            emit(number)

    with bench.make_runtime() as runtime:
        operations = bench.operations(
            Scatter("scatter"),
            Gather("gather", ordered=True),
            AutoResetJoin("join", by="run"),
            funcs={"double": double},
            actions={"odd": odd},
        )
        runtime.add_operations(operations)
        flows.wire(runtime, ".in -> scatter", "scatter.stream -> double -> join.in0", "gather -> .out")
        flows.wire(runtime, "scatter.stream -> odd -> join.in1", "join -> gather.stream")
        run = runtime.process_many(".in", [range(5), [1], []])

        assert sorted(run.values(timeout=SECONDS)) == [[], [(2, 1)], [(2, 1), (6, 3)]]
        assert ("join", "absorbed", "nothing came at another port to go with it", 3) in rows(run)
        assert len(state_of(runtime)) == 0


@flows.every_schedule
@both
def test_by_run_nothing_waits_for_another_run(bench: flows.Bench, kind: Any) -> None:
    with bench.make_runtime(joining(kind("join", by="run"))) as runtime:
        waiting = runtime.process(".in0", 1)
        waiting.wait(timeout=SECONDS)

        assert sent(runtime, (".in1", 2)) == []
        assert ("join", "absorbed", "nothing came at another port to go with it", 1) in rows(waiting)
        assert len(state_of(runtime)) == 0


def test_by_run_a_reset_is_one_of_its_own_item() -> None:
    """B217."""
    operations = FlowOperationContainer().add_manual_reset_join("join", by="run").add_func("pass", same)
    operations.add_operation(Filter("first", lambda number: number == 0))
    chains = [".in -> join.in0", ".in -> join.in1", ".in -> first -> join.reset"]
    late = ".in -> pass#1 -> pass#2 -> pass#3 -> join.in1"
    with FlowRuntime(flows.flow_of("", *chains, late, "join -> .out", operations=operations)) as runtime:
        run = runtime.process_many(".in", range(3))

        assert sorted(run.values(timeout=SECONDS)) == [(0, 0), (1, 1), (1, 1), (2, 2), (2, 2)]
        assert len(state_of(runtime)) == 0
        flows.assert_ledger(run, accepted=3, born=9, delivered=5, absorbed=7)


# --- the context of what is joined


class Where(Operation):
    """Passes messages on, and notes where they stand."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[Message] = []

    def handle(self, state: Any, message: Message, emit: Any) -> None:
        self.seen.append(message)
        emit(message.data)


@flows.every_schedule
@pytest.mark.parametrize("late", [True, False])
def test_of_messages_in_lists_inside_each_other_the_deepest_says_where_the_tuple_belongs(
    bench: flows.Bench, late: bool
) -> None:
    """B210."""
    join, where = AutoResetJoin("join"), Where("where")
    with bench.make_runtime() as runtime:
        operations = bench.operations(Scatter("scatter"), Gather("gather"), join, where, funcs={"pass": same})
        runtime.add_operations(operations)
        longer, shorter = ("pass -> pass#1 -> pass#2 -> join", "join") if late else ("join", "pass -> join")
        flows.wire(runtime, f".head -> {longer}.in0", ".list -> scatter", f"scatter.stream -> {shorter}.in1")
        flows.wire(runtime, "join -> where -> gather.stream", "gather -> .out", ".in -> .head -> .x")
        runtime.add_operations(
            FlowOperationContainer().add_func("head", same).add_func("list", lambda x: [x])
        )
        flows.wire(runtime, ".both -> head -> " + f"{longer}.in0", ".both -> list -> scatter")
        run = runtime.process(".both", 1, correlation_id="id")

        assert run.values(timeout=SECONDS) == [[(1, 1)]]
        assert [(message.scope.depth, message.position) for message in where.seen if message.scope] == [
            (1, 0)
        ]


@flows.every_schedule
def test_messages_of_sibling_lists_meet_in_the_nearest_list_around_both(bench: flows.Bench) -> None:
    """B210."""
    where = Where("where")
    with bench.make_runtime() as runtime:
        choose = Switch("choose", lambda data: data[0])
        runtime.add_operations(
            bench.operations(
                Scatter("outer"), Scatter("left"), Scatter("right"), choose, AutoResetJoin("join"), where
            )
        )
        flows.wire(runtime, ".in -> outer", "outer.stream -> choose", "choose.l -> left", "choose.r -> right")
        flows.wire(runtime, "left.stream -> join.in0", "right.stream -> join.in1", "join -> where -> .out")
        run = runtime.process(".in", [["x"], ["l"], ["r"]])

        assert run.values(timeout=SECONDS) == [("l", "r")]
    (seen,) = where.seen
    assert seen.scope is not None
    assert (seen.scope.depth, seen.position in (1, 2)) == (1, True)


@flows.every_schedule
def test_messages_of_different_runs_meet_in_that_of_the_last(bench: flows.Bench) -> None:
    """B210."""
    where = Where("where")
    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> join.in0",
        ".one -> join.in1",
        "join -> where -> .out",
        others=[AutoResetJoin("join"), where],
    ) as runtime:
        runtime.process(".one", "x").wait(timeout=SECONDS)
        run = runtime.process(".in", [1])
        assert run.values(timeout=SECONDS) == [(1, "x")]
        runtime.process(".in", [2]).wait(timeout=SECONDS)
        last = runtime.process(".one", "y")
        assert last.values(timeout=SECONDS) == [(2, "y")]

    assert [message.scope.depth for message in where.seen if message.scope] == [1, 0]


@flows.every_schedule
@pytest.mark.parametrize(("deep", "other"), [("in0", "in1"), ("in1", "in0")])
def test_a_tuple_is_in_the_causalities_that_all_its_messages_share(
    bench: flows.Bench, deep: str, other: str
) -> None:
    """B13A."""
    with bench.make_runtime() as runtime:
        operations = bench.operations(
            PushCausality("outer"), PushCausality("inner"), AutoResetJoin("join"), funcs={"refuse": refuse}
        )
        runtime.add_operations(operations)
        flows.wire(
            runtime,
            f".in -> outer -> inner -> join.{deep}",
            f"outer -> join.{other}",
            f".alone -> join.{other}",
        )
        flows.wire(runtime, ".within -> inner", "join -> refuse -> .out")
        flows.wire(runtime, "outer.exception -> .outer", "inner.exception -> .inner")

        (shared,) = runtime.process(".in", 1, correlation_id="id").results(timeout=SECONDS)
        assert (shared.port.name, shared.data.message.data, shared.correlation_id) == ("outer", (1, 1), "id")

        runtime.process(".within", 1).wait(timeout=SECONDS)
        with pytest.raises(OperationError):  # the message that came last is in none: nobody handles the error
            runtime.process(".alone", 2).wait(timeout=SECONDS)
        # The other way round the ancestor took the causality of the last.
        runtime.process(".alone", 2).wait(timeout=SECONDS)
        with pytest.raises(OperationError):
            runtime.process(".within", 1).wait(timeout=SECONDS)


@flows.every_schedule
def test_messages_that_passed_a_push_one_after_the_other_share_its_causality(bench: flows.Bench) -> None:
    """B13A."""
    with bench.make_runtime() as runtime:
        operations = bench.operations(
            PushCausality("push"),
            ManualResetJoin("join"),
            funcs={"refuse": refuse, "pass": same},
        )
        runtime.add_operations(operations)
        flows.wire(runtime, ".in -> pass -> push", ".in -> push", "push -> join.in0", "push -> join.in1")
        flows.wire(runtime, "join -> refuse -> .out", "push.exception -> .errors")
        runs = [runtime.process(".in", number, correlation_id=number) for number in range(2)]

        for run in runs:
            assert {message.port.name for message in run.results(timeout=SECONDS)} == {"errors"}


@flows.every_schedule
def test_a_tuple_has_the_highest_priority_of_its_messages(bench: flows.Bench) -> None:
    """B162."""
    with bench.make_runtime(joining(AutoResetJoin("join"))) as runtime:
        for first, second in [(9, 1), (1, 9), (-3, -5)]:
            runtime.process(".in0", 1, priority=first).wait(timeout=SECONDS)
            (joined,) = runtime.process(".in1", 1, priority=second).results(timeout=SECONDS)
            assert joined.priority == max(first, second)
    with bench.make_runtime(joining(ManualResetJoin("join"))) as runtime:
        runtime.process(".in0", 1, priority=9).wait(timeout=SECONDS)
        found = [runtime.process(".in1", 1, priority=2).result(timeout=SECONDS).priority for _ in range(2)]
        assert found == [9, 2]  # a message that only stays does not hurry those that come


# --- the end of runs, and of the runtime


@pytest.mark.parametrize("schedule", [schedule for schedule in flows.SCHEDULES if schedule != "sync"])
@pytest.mark.parametrize("expire", [None, 100.0])
@both
def test_a_cancelled_run_takes_its_messages_along_and_only_those(
    schedule: Any, expire: float | None, kind: Any
) -> None:
    with FlowRuntime(
        joining(kind("join", expire=expire)), schedule=schedule, seams=simulated(deviations={})
    ) as runtime:
        runtime.process(".in0", "stays", correlation_id="a").wait()
        runtime.process(".in0", "stays too", correlation_id="b").wait()
        cancelled = runtime.process_many(".in0", ["goes", "goes too"], correlation_id="a")
        other = runtime.process_many(".in0", ["gone"], correlation_id="c")
        cancelled.cancel()
        other.cancel()
        for run in (cancelled, other):
            with pytest.raises(RunCancelledError):
                run.wait()
        runtime.process(".in0", "follows", correlation_id="a").wait()
        assert len(state_of(runtime)) == 2

        found = [
            run.values()
            for run in [
                runtime.process_many(".in1", [1, 2], correlation_id="a"),
                runtime.process(".in1", 3, correlation_id="b"),
                runtime.process(".in1", 4, correlation_id="c"),
            ]
        ]
    pairs = [("stays", 1), ("follows", 2)]
    if kind is ManualResetJoin:
        pairs = [("stays", 1), ("follows", 1), ("follows", 2)]
    assert found == [pairs, [("stays too", 3)], []]


@pytest.mark.parametrize("by", ["correlation", "run"])
@pytest.mark.parametrize("steps", range(1, 12))
@both
def test_a_run_cancelled_in_the_middle_leaves_nothing_in_the_join(kind: Any, steps: int, by: Any) -> None:
    flow = joining(kind("join", by=by, expire=1.0))
    with FlowRuntime(flow, seams=simulated(steps)) as runtime:
        cancelled_after(runtime, steps, (".in0", "id"), (".in1", "other"))
        seams_clock: Any = runtime._owner.seams.clock
        seams_clock.advance(2.0)
        runtime.process(".in1", 0, correlation_id="last").wait()
        assert len(state_of(runtime)) == (by == "correlation")


@flows.every_schedule
@both
def test_closing_with_half_filled_buckets_leaves_nothing(bench: flows.Bench, kind: Any) -> None:
    runtime = bench.make_runtime(joining(kind("join", expire=1_000.0)))
    with runtime:
        runs = [runtime.process(".in0", each, correlation_id=each) for each in range(5)]
        many = runtime.process_many(".in1", [1, 2], correlation_id=7)
    for run in (*runs, many):
        assert run.done
        assert run.ledger.balanced
        assert (run.ledger.held, run.ledger.live) == (0, 0)


def test_explain_says_what_waits() -> None:
    with FlowRuntime(joining(AutoResetJoin("join", 3)), schedule="sync") as runtime:
        sent(runtime, (".in0", 1, "a"), (".in0", 2, "a"), (".in1", 3, "b"))

        assert "2 of in0, 1 of in1, 0 of in2 wait under 2 correlation ids" in str(runtime.explain())


# --- what they cannot be made of


@both
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inputs": 0}, "inputs is 0; it counts in-ports"),
        ({"inputs": True}, "inputs is True"),
        ({"by": "all"}, r'by is \'all\'. Choose "correlation" or "run"'),
        ({"expire": 0}, "expire is 0"),
        ({"expire": "1"}, "expire is '1'"),
        ({"max_open": 0}, "max_open is 0"),
        ({"max_waiting": -1}, "max_waiting is -1"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(FlowBuildError, match=f'{kind.__name__} "join": {text}'):
        kind("join", **options)


# --- the rule kit


def inputs_of(ports: Iterable[str]) -> list[Any]:
    return [Message(f".{port}", number) for number, port in enumerate(ports)]


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: AutoResetJoin("op"), inputs_of(["in0", "in0", "in1", "in0", "in1", "in1"])),
        (lambda: AutoResetJoin("op", by="run"), inputs_of(["in0", "in1", "in0"])),
        (lambda: AutoResetJoin("op", expire=1.0), inputs_of(["in0", "in0", "in1"])),
        (lambda: ManualResetJoin("op"), inputs_of(["in0", "in0", "in1", "in0", "reset", "in1", "in0"])),
        (lambda: ManualResetJoin("op", by="run", expire=1.0), inputs_of(["in0", "in1", "reset"])),
    ],
)
def test_a_join_keeps_the_rules(make: Callable[[], Operation], inputs: list[Any]) -> None:
    check_operation(make, inputs)
