"""What operations owe a list or a run: they are told when it has gone quiet."""

from __future__ import annotations

from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Part
from flowrt.errors import FlowError, OperationError
from flowrt.standard import Gather, PushCausality, Scatter
from flowrt.testing import simulated
from tests.kit.flows import Bench, Keeper, assert_ledger, every_schedule, flow_of
from tests.kit.functions import SECONDS
from tests.kit.operators import books

__all__ = ["books"]


class Tally(Operation):
    """Counts the messages of each list or run, and says how many there were when it has gone quiet."""

    in_ports = ("",)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[Any] = []

    def create(self) -> dict[Any, int]:
        return {}

    def handle(self, state: dict[Any, int], message: Message, emit: Any) -> None:
        if message.data == "bad":
            raise ValueError
        state[message.scope] = state.get(message.scope, 0) + 1
        emit.owe()

    def drained(self, state: dict[Any, int], scope: Any, emit: Any) -> None:
        self.told.append(scope)
        number = state.pop(scope, 0)
        if number:
            emit(number, correlation_id="tally")

    def cancelled(self, state: dict[Any, int], run: Any) -> None:
        for scope in [scope for scope in state if scope.run is run]:
            del state[scope]


class Shelf(Keeper):
    """Holds what comes, and gives it back when it is told that the run has gone quiet: absorbed, or as one message."""

    in_ports = ("",)
    out_ports = ("", "spare")
    optional_ports = ("spare",)

    def __init__(self, name: str, *, absorbing: bool = False) -> None:
        super().__init__(name)
        self.absorbing = absorbing

    def handle(self, state: list[Part], message: Message, emit: Any) -> None:
        super().handle(state, message, emit)
        emit(message.data, "spare")

    def drained(self, state: list[Part], scope: Any, emit: Any) -> None:
        parts = state[:]
        state.clear()
        if self.absorbing:
            emit.absorb(parts, "not wanted")
        elif parts:
            emit.merge(parts, [part.data for part in parts])

    def cancelled(self, state: list[Part], run: Any) -> None:
        state.clear()


def scattered(tally: Tally, *after: str) -> Flow:
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_operation(tally)
    return flow_of(
        "scattered",
        ".in -> scatter",
        "scatter.stream -> tally -> gather.stream",
        "gather -> .out",
        operations=operations,
    )


@every_schedule
def test_who_owes_a_list_something_is_told_when_the_list_has_gone_quiet(bench: Bench) -> None:
    with bench.make_runtime(scattered(Tally("tally"))) as runtime:
        run = runtime.process_many(".in", [["a"] * 3, ["b"] * 2])

        assert run.values(timeout=SECONDS) == [[3], [2]]
        assert run.ledger.balanced


class Later(Operation):
    """Asks to be woken about an object of its own, and then does as told."""

    def __init__(self, name: str, then: Any) -> None:
        super().__init__(name)
        self.then = then
        self.woken: list[Any] = []

    def handle(self, state: None, message: Message, emit: Any) -> None:
        emit.wake(5.0, message.data)

    def timer(self, state: None, about: Any, emit: Any) -> None:
        self.woken.append(about)
        self.then(emit)

    def drained(self, state: None, scope: Any, emit: Any) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (lambda emit: None, None),
        (lambda emit: emit.release([Part(1)], "given up"), None),
        (lambda emit: emit(1), 'operation "later" was woken about an object of its own'),
        (lambda emit: emit.owe(), "there is no run for it"),
    ],
)
def test_no_run_waits_for_a_call_about_an_object_and_it_cannot_emit(then: Any, told: str | None) -> None:
    later, seams, reported = Later("later", then), simulated(deviations={}), list[FlowError]()
    clock: Any = seams.clock
    flow = flow_of("", ".in -> later -> .out", operations=FlowOperationContainer().add_operation(later))
    with FlowRuntime(flow, seams=seams) as runtime:
        runtime.on_exception(reported.append)
        runtime.process(".in", "thing").wait()
        assert (clock.now(), later.woken) == (0.0, [])
        clock.advance(5.0)
        runtime.process(".in", "other").wait()

        assert later.woken == ["thing"]
        assert [told in str(error) or told in str(error.__cause__) for error in reported if told] == [
            True
        ] * bool(told)


def test_what_cannot_be_hashed_is_nothing_to_be_woken_about() -> None:
    flow = flow_of(
        "", ".in -> later -> .out", operations=FlowOperationContainer().add_operation(Later("later", None))
    )
    with FlowRuntime(flow) as runtime, pytest.raises(OperationError, match="TypeError"):
        runtime.process(".in", []).wait(timeout=SECONDS)


def test_a_list_need_not_wait_for_the_rest_of_its_run() -> None:
    seen: list[list[int]] = []

    def inputs() -> Any:
        yield ["a"] * 3
        runtime.wait_for_result(timeout=SECONDS)
        seen.append([3])
        yield ["b"] * 2

    with FlowRuntime(scattered(Tally("tally"))) as runtime:
        run = runtime.process_many(".in", inputs())

        assert run.values(timeout=SECONDS) == [[2]]
    assert seen == [[3]]


@every_schedule
def test_who_owes_a_run_something_is_told_when_the_run_has_gone_quiet(bench: Bench) -> None:
    tally = Tally("tally")
    flow = flow_of("plain", ".in -> tally -> .out", operations=FlowOperationContainer().add_operation(tally))
    with bench.make_runtime(flow) as runtime:
        run = runtime.process_many(".in", ["a", "b"])
        (result,) = run.results(timeout=SECONDS)

        assert (result.data, result.correlation_id) == (2, "tally")
        assert_ledger(run, accepted=2, absorbed=2, born=1, delivered=1)
        assert len(tally.told) == 1, "told once"


@every_schedule
def test_what_one_emits_when_told_goes_its_way_before_the_next_is_told(bench: Bench) -> None:
    operations = FlowOperationContainer()
    operations.add_operation(Tally("first")).add_operation(Tally("second"))
    flow = flow_of("chain", ".in -> first -> second -> .out", ".in -> second", operations=operations)
    with bench.make_runtime(flow) as runtime:
        run = runtime.process_many(".in", ["a", "b"])

        assert run.values(timeout=SECONDS) in ([3], [2, 1])  # whoever got something first is told first
        assert run.ledger.balanced


@every_schedule
def test_a_run_has_not_gone_quiet_while_a_list_in_it_may_still_bring_something(bench: Bench) -> None:
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_operation(Shelf("shelf")).add_operation(Tally("tally"))
    flow = flow_of(
        "inner",
        ".in -> tally -> .out",
        ".in -> scatter",
        "scatter.stream -> shelf -> gather.stream",
        "gather -> tally",
        operations=operations,
    )
    with bench.make_runtime(flow) as runtime:
        assert runtime.process(".in", [1, 2]).values(timeout=SECONDS) == [2]


@every_schedule
def test_what_is_absorbed_by_who_held_it_says_why(bench: Bench) -> None:
    operations = FlowOperationContainer().add_operation(Shelf("shelf", absorbing=True))
    with bench.make_runtime(flow_of("shelf", ".in -> shelf -> .out", operations=operations)) as runtime:
        run = runtime.process_many(".in", [1, 2])
        run.wait(timeout=SECONDS)

    assert ("shelf", "absorbed", "not wanted", 2) in [
        (row.place, row.what, row.reason, row.count) for row in run.ledger.places
    ]


@every_schedule
@pytest.mark.parametrize("strict", [False, True])
def test_what_leaves_at_an_optional_port_without_a_stream_is_absorbed(bench: Bench, strict: bool) -> None:
    operations = FlowOperationContainer().add_operation(Shelf("shelf"))
    with bench.make_runtime(
        flow_of("shelf", ".in -> shelf -> .out", operations=operations), strict=strict
    ) as runtime:
        run = runtime.process_many(".in", [1, 2])

        assert run.values(timeout=SECONDS) == [[1, 2]]
        assert not run.failures
        assert_ledger(run, accepted=2, born=2, absorbed=3, delivered=1)


@every_schedule
def test_what_is_made_of_parts_has_the_id_they_all_have_and_the_causalities_they_all_share(
    bench: Bench,
) -> None:
    def refuse(data: Any) -> None:
        raise ValueError

    operations = FlowOperationContainer().add_operation(Shelf("shelf")).add_func("refuse", refuse)
    operations.add_operation(PushCausality("outer")).add_operation(PushCausality("inner"))
    flow = flow_of(
        "causal",
        ".in -> outer -> shelf -> refuse -> .out",
        "outer -> inner -> shelf",
        "outer.exception -> .outer",
        "inner.exception -> .inner",
        operations=operations,
    )
    with bench.make_runtime(flow) as runtime:
        (result,) = runtime.process(".in", 1, correlation_id="id").results(timeout=SECONDS)

        assert isinstance(result.data, OperationError)
        assert result.port.name == "outer", "one part was in the inner causality, both in the outer one"
        assert result.correlation_id == "id"
