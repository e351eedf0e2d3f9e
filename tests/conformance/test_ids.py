"""Correlation ids and priorities: what they go to, who may set them, and the Correlator."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from flowrt import FlowOperationContainer, Gather, Message, Operation, PushCausality, Scatter
from flowrt.errors import FlowBuildError, OperationError
from flowrt.standard import AutoResetJoin, Batch, Correlator, Debounce, Envelope, ManualResetJoin, Reduce
from flowrt.testing import drive
from tests.kit import flows
from tests.kit.functions import SECONDS, arrived, double, refuse, same, thrice, twice
from tests.kit.operators import books

__all__ = ["books"]


# --- Correlation ids


class Label(Operation):
    """Gives each message a correlation id made from its data."""

    in_ports = None
    out_ports = None

    def handle(self, state: None, message: Message, emit: Callable[..., None]) -> None:
        emit(message.data, correlation_id=f"id {message.data}")


@flows.every_mode
def test_the_correlation_id_goes_to_everything_a_message_leads_to(bench: flows.Bench) -> None:
    """B101."""
    inner = flows.flow_of("inner", ".in -> double -> .out")
    seen: list[Message] = []
    with bench.wired(
        ".in -> twice -> thrice -> inner.in",
        "inner.out -> to list -> scatter",
        "scatter.stream -> double",
        "scatter.count -> gather.count",
        "double -> gather.stream",
        "gather -> total -> .out",
        flows=[inner],
        others=[Scatter("scatter"), Gather("gather")],
        funcs={"double": double, "to list": lambda data: [data, data], "total": sum},
        actions={"twice": twice},
        generators={"thrice": thrice},
    ) as runtime:
        runtime.on_message(seen.append)

        runs = {number: runtime.process(".in", number, correlation_id=f"id {number}") for number in (1, 10)}
        results = {number: list(run.results()) for number, run in runs.items()}

    for number, messages in results.items():
        assert [(message.data, message.correlation_id) for message in messages] == [
            (number * 8, f"id {number}")
        ] * 6
    assert {message.correlation_id for message in seen} == {"id 1", "id 10"}


@flows.few_modes
@pytest.mark.parametrize(("given_id", "expected"), [(None, "id 5"), ("mine", "mine"), (0, 0)])
@pytest.mark.parametrize("place", ["label", "label#2", "inner.in", "inner#2.in"])
def test_an_operation_may_set_a_correlation_id_where_there_was_none(
    bench: flows.Bench, given_id: Any, expected: Any, place: str
) -> None:
    """B104, B105."""
    inner = flows.flow_of("inner", ".in -> label -> .out")
    out = place.replace(".in", ".out")
    with bench.wired(
        f".in -> {place}",
        f"{out} -> pass -> .out",
        flows=[inner],
        others=[Label("label")],
        funcs={"pass": same},
    ) as runtime:
        message = runtime.process(".in", 5, correlation_id=given_id).result(timeout=SECONDS)

    assert (message.data, message.correlation_id) == (5, expected)


class Tally(Operation):
    """Says how many messages a run or list had, when that has gone quiet; and what was last, when some time has passed."""

    in_ports = ("",)
    out_ports = ("", "late")

    def create(self) -> dict[Any, list[Any]]:
        return {}

    def handle(self, state: dict[Any, list[Any]], message: Message, emit: Any) -> None:
        state.setdefault(message.scope, []).append(message.data)
        emit.owe()
        emit.wake(0.001)

    def timer(self, state: dict[Any, list[Any]], scope: Any, emit: Any) -> None:
        emit(state[scope][-1], "late")

    def drained(self, state: dict[Any, list[Any]], scope: Any, emit: Any) -> None:
        emit(len(state.pop(scope)))

    def cancelled(self, state: dict[Any, list[Any]], run: Any) -> None:
        for scope in [scope for scope in state if scope.run is run]:
            del state[scope]


def test_a_message_has_no_id_and_no_priority_unless_it_is_given_some() -> None:
    """B100."""
    message = Message(".in", 1)

    assert (str(message.port), message.data, message.correlation_id, message.priority) == (".in", 1, None, 0)


@flows.every_mode
def test_id_and_priority_go_to_all_that_a_message_leads_to(bench: flows.Bench) -> None:
    """B101, B162."""
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        container = bench.operations(
            Scatter("scatter"),
            Gather("gather"),
            AutoResetJoin("join"),
            ManualResetJoin("latest"),
            Reduce("reduce", lambda total, data: total + 1, 0),
            Batch("batch", 2, by="run"),
            Debounce("debounce", 0.001, by="run"),
            Tally("tally"),
            funcs={"pass": same, "to list": lambda data: [data, data]},
            actions={"twice": twice},
            generators={"thrice": thrice},
        )
        bench.apply_mode(container.add_action("signal", lambda data: None, signal=True))
        runtime.add_operations(container)
        flows.wire(
            runtime,
            ".in -> twice -> thrice -> pass -> join.in0",
            "twice -> join.in1",
            ".in -> signal -> latest.in1",
        )
        flows.wire(
            runtime, "join -> latest.in0", "latest -> to list -> scatter", "scatter.stream -> gather.stream"
        )
        flows.wire(runtime, "scatter.count -> gather.count", "gather -> reduce -> batch -> debounce -> .out")
        flows.wire(runtime, "pass -> tally -> .tally", "tally.late -> .late")
        runtime.on_message(seen.append)
        runs = [runtime.process(".in", 1, correlation_id=each, priority=each) for each in (7, -2)]
        for each, run in zip((7, -2), runs, strict=True):
            results = list(run.results(timeout=SECONDS))
            assert {(m.correlation_id, m.priority) for m in results} == {(each, each)}
            assert {m.port.name for m in results} == {"out", "tally", "late"}

    assert {(message.correlation_id, message.priority) for message in seen} == {(7, 7), (-2, -2)}


@flows.every_mode
def test_an_error_message_has_the_id_of_what_failed(bench: flows.Bench) -> None:
    """B101."""
    with bench.wired(
        ".in -> pass -> push -> refuse -> .out",
        "push.exception -> pass#1 -> .errors",
        others=[PushCausality("push")],
        funcs={"refuse": refuse, "pass": same},
    ) as runtime:
        runs = {number: runtime.process(".in", number, correlation_id=number) for number in range(5)}

        for number, run in runs.items():
            (error,) = run.results(timeout=SECONDS)
            assert (error.correlation_id, error.priority, error.data.message.data) == (number, 99, number)
            assert error.data.message.correlation_id == number


@flows.real_threads
def test_what_an_action_emits_late_has_the_id_of_its_own_input(bench: flows.Bench) -> None:
    """B102."""
    kept: dict[int, Callable[[Any], None]] = {}
    all_there = threading.Event()

    def keep(number: int, emit: Callable[[Any], None]) -> None:
        kept[number] = emit
        if len(kept) == 8:
            all_there.set()

    with bench.wired(".in -> keep -> pass -> .out", actions={"keep": keep}, funcs={"pass": same}) as runtime:
        runs = [
            runtime.process(".in", number, correlation_id=f"id {number}", priority=number)
            for number in range(8)
        ]
        for run in runs:
            run.wait(timeout=SECONDS)
        arrived(all_there)
        threads = [threading.Thread(target=emit, args=(number,)) for number, emit in kept.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        found = list(runtime.results(timeout=SECONDS))

    assert sorted((m.data, m.correlation_id, m.priority) for m in found) == [
        (n, f"id {n}", n) for n in range(8)
    ]


# --- The Correlator


@flows.every_schedule
def test_a_correlator_sets_ids_and_tells_them(bench: flows.Bench) -> None:
    """B103, B104."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_operation(Correlator("ids")))
        flows.wire(
            runtime,
            ".encode -> ids.encode",
            ".decode -> ids.DECODE",
            "ids.encoded -> .out",
            "ids.decoded -> .decoded",
        )
        for given, expected in [(None, "x"), ("mine", "mine"), (0, 0)]:
            out = runtime.process(".encode", Envelope("x", 1), correlation_id=given).result(timeout=SECONDS)
            assert (out.port.name, out.data, out.correlation_id) == ("out", 1, expected)
        for given in (None, "mine", 0):
            out = runtime.process(".decode", [1], correlation_id=given).result(timeout=SECONDS)
            assert (out.port.name, out.data, out.correlation_id) == ("decoded", Envelope(given, [1]), given)


@flows.every_mode
@pytest.mark.parametrize("kind", ["funcs", "actions", "generators"])
def test_of_messages_that_travel_together_each_keeps_its_own_id(bench: flows.Bench, kind: str) -> None:
    """B101, B102: with many inputs in flight."""
    passing: dict[str, Any] = {
        "funcs": same,
        "actions": lambda data, emit: emit(data),
        "generators": lambda data: [data],
    }
    runs = []
    with bench.make_runtime() as runtime:

        def send(count: int) -> None:  # from inside, so that they wait and go on together
            runs.extend(
                runtime.process(".each", number, correlation_id=f"id {number}") for number in range(count)
            )

        runtime.add_operations(bench.operations(**{kind: {"pass": passing[kind]}}))
        runtime.add_operations(FlowOperationContainer().add_action("send", send))
        flows.wire(runtime, ".in -> send", ".each -> pass -> pass#2 -> .out")
        runtime.process(".in", 20)
        runtime.wait_idle(SECONDS)
        found = [message for run in runs for message in run.results()]

    assert [(message.data, message.correlation_id) for message in found] == [
        (number, f"id {number}") for number in range(20)
    ]


@flows.every_mode
@pytest.mark.parametrize("place", ["ids", "ids#2", "inner", "inner#1", "outer"])
def test_a_correlator_works_in_flows_and_instances(bench: flows.Bench, place: str) -> None:
    """B105 (BUG)."""
    inner = flows.flow_of("inner", ".encode -> pass -> ids.encode", "ids.encoded -> .encoded")
    outer = flows.flow_of("outer", ".encode -> inner#3.encode", "inner#3.encoded -> pass#1 -> .encoded")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_flow(outer)
        runtime.add_operations(
            bench.operations(Correlator("ids"), AutoResetJoin("join"), funcs={"pass": same})
        )
        flows.wire(
            runtime, f".in -> {place}.encode", f"{place}.encoded -> pass#7 -> join.in0", ".other -> join.in1"
        )
        flows.wire(runtime, "join -> .out")
        runtime.process(".in", Envelope("a", 1))
        runtime.process(".in", Envelope("b", 2))
        runtime.process(".other", 10, correlation_id="b")
        runtime.process(".other", 20, correlation_id="a")
        found = list(runtime.results(timeout=SECONDS))

    assert sorted((message.data, message.correlation_id) for message in found) == [
        ((1, 20), "a"),
        ((2, 10), "b"),
    ]


@flows.every_schedule
@pytest.mark.parametrize("port", ["ids", "ids.encoded", "ids.code"])
def test_another_port_of_a_correlator_is_refused_by_name(bench: flows.Bench, port: str) -> None:
    """B106."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_operation(Correlator("ids")))
        flows.wire(runtime, f".in -> {port}")
        with pytest.raises(FlowBuildError, match=r'operation "ids" has no .*There are: \.decode, \.encode'):
            runtime.process(".in", Envelope("a", 1))


@pytest.mark.parametrize("data", [1, ("id", 1), None])
def test_what_is_no_envelope_fails_with_what_was_expected(data: Any) -> None:
    """B106."""
    with pytest.raises(
        OperationError, match=rf"Envelope\(correlation_id, data\), and got {type(data).__name__}"
    ):
        drive(Correlator("ids"), data, port="encode")


# --- Priorities


@flows.every_mode
def test_the_priority_goes_to_everything_a_message_leads_to(bench: flows.Bench) -> None:
    seen: list[Message] = []
    with bench.wired(
        ".in -> twice -> thrice -> double -> .out",
        funcs={"double": double},
        actions={"twice": twice},
        generators={"thrice": thrice},
    ) as runtime:
        runtime.on_message(seen.append)

        runs = [runtime.process(".in", number, priority=number) for number in (0, 9, -5)]
        results = [list(run.results()) for run in runs]

    assert [{message.priority for message in messages} for messages in results] == [{0}, {9}, {-5}]
    assert Counter(message.priority for message in seen) == dict.fromkeys((0, 9, -5), 1 + 2 + 6 + 6)


@flows.every_schedule
@pytest.mark.parametrize("kind", ["scatter", "generator"])
def test_the_items_of_a_list_overtake_what_waits_with_a_lower_priority(bench: flows.Bench, kind: str) -> None:
    """B160, B162."""
    calls: list[Any] = []
    operations = FlowOperationContainer()

    def start(data: Any) -> None:
        for number in range(3):
            runtime.process(".single", number)
        runtime.process(".list", ["low"] * 3)
        runtime.process(".list", ["high 1", "high 2", "high 3"], priority=5)
        runtime.process(".single", "lowest", priority=-1)
        runtime.process(".single", 3)

    with bench.make_runtime() as runtime:
        operations.add_func("start", start).add_operation(Tally("last"))
        if kind == "scatter":
            operations.add_operation(Scatter("many"))
        else:
            operations.add_generator("many", iter).make_sync()
        runtime.add_operations(operations)
        runtime.add_operations(FlowOperationContainer().add_func("note", calls.append))
        flows.wire(runtime, ".start -> start", ".single -> note#1", ".list -> many")
        flows.wire(runtime, ("many.stream" if kind == "scatter" else "many") + " -> note")
        runtime.process(".start").wait(timeout=SECONDS)
        runtime.wait_idle(timeout=SECONDS)

    high = [call for call in calls if str(call).startswith("high")]
    assert high == ["high 1", "high 2", "high 3"]
    if bench.schedule != "parallel":  # there the functions run beside each other
        assert calls[:3] == high
        assert calls[-1] == "lowest"


@flows.every_schedule
def test_lists_of_different_priorities_share_a_window_without_standing_still(bench: flows.Bench) -> None:
    """B162."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(Scatter("scatter", window=2))
            .add_func("pass", same)
            .make_parallel(2)
            .add_operation(Gather("gather", ordered=True))
        )
        flows.wire(runtime, ".in -> scatter", "scatter.stream -> pass -> gather.stream", "gather -> .out")
        runs = [runtime.process(".in", range(20), priority=number % 3) for number in range(6)]

        assert [run.values(timeout=SECONDS) for run in runs] == [[list(range(20))]] * 6
        for run in runs:
            flows.assert_ledger(run, accepted=1, born=20, absorbed=19, unconnected=1, delivered=1)
