"""The `Operation` contract, used by operations of one's own: what they emit, keep, owe and refuse, and what the ledger says of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Emit, FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowOverloadError,
    OperationError,
    OwnAccordError,
    RunCancelledError,
)
from flowrt.messages import Part, Scope
from flowrt.operations.contract import Emitter, checked_port
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from flowrt.testing import drive
from tests.kit.flows import (
    Bench,
    Keeper,
    assert_ledger,
    benches,
    failure_of,
    real_workers,
    results_of,
    text_of,
    wire,
)
from tests.kit.functions import SECONDS, Gate, arrived, input_of, refuse, same

# An operation with state is entered by one thread at a time: it may be sync or async.
own_modes = benches(lambda bench: bench.mode.name in {"sync", "async", "simulated_async"})
# What takes many messages at once runs on the engine's thread; a schedule that goes by single messages hands it single ones.
in_batches = benches(lambda bench: str(bench) == "sync-breadth_first")

State = list[Part]


def nothing(_state: Any, _message: Message, _emit: Emitter) -> None:
    """Take a message and emit nothing for it."""


class Own(Operation):
    """An operation made of functions; its state is a list of parts."""

    in_ports: tuple[str, ...] | None = None
    out_ports: tuple[str, ...] | None = None

    def __init__(
        self,
        name: str = "own",
        handle: Callable[[State, Message, Emitter], None] = nothing,
        *,
        drained: Callable[[State, Scope, Emitter], None] | None = None,
        cancelled: Callable[[State, Any], None] | None = None,
        bracket: int = 0,
    ) -> None:
        super().__init__(name)
        self._handle = handle
        self._drained = drained
        self._cancelled = cancelled
        self.bracket = bracket

    def create(self) -> State:
        return []

    def handle(self, state: State, message: Message, emit: Emitter) -> None:
        self._handle(state, message, emit)

    def drained(self, state: State, scope: Scope, emit: Emitter) -> None:
        if self._drained is not None:
            self._drained(state, scope, emit)

    def cancelled(self, state: State, run: Any) -> None:
        if self._cancelled is not None:
            self._cancelled(state, run)


class OwnMany(Own):
    """The same, given consecutive messages at once."""

    def __init__(self, many: Callable[[State, Any, Emitter], None], **options: Any) -> None:
        super().__init__(**options)
        self._many = many

    def handle_many(self, state: State, batch: Any, emit: Emitter) -> None:
        self._many(state, batch, emit)


def running(bench: Bench, own: Operation, *chains: str, others: tuple[Any, ...] = ()) -> FlowRuntime:
    """A runtime for the chains, with the operation in the bench's mode."""
    runtime = bench.make_runtime()
    operations = bench.operations(*others, funcs={"same": same, "refuse": refuse})
    if isinstance(own, OwnMany):
        operations.add_operation(own)
    else:
        bench.apply_mode(operations.add_operation(own))
    runtime.add_operations(operations)
    wire(runtime, *(chains or (".in -> own -> .out",)))
    return runtime


def held(state: State, message: Message, emit: Emitter) -> Part:
    part = Part(message.data)
    emit.hold([part])
    state.append(part)
    return part


def hold(state: State, message: Message, emit: Emitter) -> None:
    held(state, message, emit)


def merge_owed(state: State, _scope: Scope, emit: Emitter) -> None:
    """Emit one message of everything held."""
    emit.merge(list(state), [part.data for part in state])
    state.clear()


# --- one in, some out


@own_modes
def test_a_message_for_which_nothing_is_emitted_ends_as_absorbed(bench: Bench) -> None:
    with running(bench, Own()) as runtime:
        run = runtime.process(".in", 1)
        run.wait(SECONDS)

    assert_ledger(run, accepted=1, absorbed=1)


@own_modes
def test_a_message_for_which_one_is_emitted_goes_on_as_it(bench: Bench) -> None:
    with running(bench, Own(handle=lambda _, message, emit: emit(message.data + 1))) as runtime:
        run = runtime.process(".in", 1)

        assert run.values(SECONDS) == [2]
    assert_ledger(run, accepted=1, delivered=1)


@own_modes
def test_emissions_on_several_ports_are_counted_target_by_target(bench: Bench) -> None:
    """B067."""

    def spread(_state: State, message: Message, emit: Emitter) -> None:
        emit(message.data, ".left")
        emit(message.data, "right")
        emit(message.data, "nowhere")
        emit()

    with running(
        bench,
        Own(handle=spread),
        ".in -> own -> .out",
        "own.left -> .left",
        "own.left -> .also",
        "own.right -> .right",
    ) as runtime:
        run = runtime.process(".in", 7)
        run.wait(SECONDS)

        arrived_at = {(message.port.name, message.data) for message in run.results()}
    assert arrived_at == {("left", 7), ("also", 7), ("right", 7), ("out", None)}
    assert_ledger(run, accepted=1, born=4, delivered=4, unconnected=1)


@own_modes
def test_emissions_keep_their_order_in_an_ordered_gather(bench: Bench) -> None:
    def both(_state: State, message: Message, emit: Emitter) -> None:
        emit((message.data, "first"))
        emit((message.data, "second"))

    with running(
        bench,
        Own(handle=both),
        ".in -> scatter",
        "scatter.stream -> own -> own#2 -> gather.stream",
        "gather -> .out",
        others=(Scatter("scatter"), Gather("gather", ordered=True)),
    ) as runtime:
        run = runtime.process(".in", [1, 2])

        values = run.values(SECONDS)
    assert values == [
        [((number, a), b) for number in (1, 2) for a in ("first", "second") for b in ("first", "second")]
    ]


@own_modes
def test_an_id_given_to_an_emission_counts_only_where_the_message_has_none(bench: Bench) -> None:
    with running(bench, Own(handle=lambda _, message, emit: emit(message.data, "", "given"))) as runtime:
        without = runtime.process(".in", 1).result(SECONDS)
        with_one = runtime.process(".in", 2, correlation_id="mine").result(SECONDS)

    assert (without.data, without.correlation_id) == (1, "given")
    assert (with_one.data, with_one.correlation_id) == (2, "mine")


@own_modes
def test_emissions_with_and_without_an_id_leave_side_by_side(bench: Bench) -> None:
    def some(_state: State, message: Message, emit: Emitter) -> None:
        emit("plain")
        emit("named", correlation_id=message.data)

    with running(bench, Own(handle=some)) as runtime:
        run = runtime.process(".in", "id", priority=3)
        run.wait(SECONDS)

        found = [(result.data, result.correlation_id, result.priority) for result in run.results()]
    assert found == [("plain", None, 3), ("named", "id", 3)]
    assert_ledger(run, accepted=1, born=1, delivered=2)


@own_modes
def test_a_message_tells_its_own_operation_port_id_and_priority(bench: Bench) -> None:
    """B100."""
    seen: list[tuple[str, object, int]] = []

    def look(_state: State, message: Message, _emit: Emitter) -> None:
        seen.append((message.port.fullname, message.correlation_id, message.priority))

    with running(bench, Own(handle=look), ".in -> own.left") as runtime:
        runtime.process(".in", 1, correlation_id="id", priority=5).wait(SECONDS)

    assert seen == [("own.left", "id", 5)]


@own_modes
def test_an_operation_knows_which_of_its_ports_are_fed(bench: Bench) -> None:
    def ask(_state: State, _message: Message, emit: Emitter) -> None:
        emit([emit.is_fed("LEFT"), emit.is_fed("right"), emit.is_fed("")])

    with running(bench, Own(handle=ask), ".in -> own.left", "own -> .out") as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [[True, False, False]]


# --- names of ports


@pytest.mark.parametrize(
    "name", ["", "left", ".left", "on valid", "1", "größe", "<else>", "می\u200cخواهم", "a\u00a0b"]
)
def test_the_dot_of_an_out_port_may_be_left_out(name: str) -> None:
    assert checked_port(name) == name.removeprefix(".")
    assert Emit(name).port == name.removeprefix(".")


@pytest.mark.parametrize("name", ["a.b", "..", "a/b", "a\\b", "a#1", "a*", " a", "a ", "a\nb", None, 1, b"a"])
def test_what_cannot_name_an_out_port_is_refused_where_it_is_used(name: Any) -> None:
    with pytest.raises(
        FlowBuildError, match=r"cannot name an out-port[.:].* A port's name is a text without"
    ):
        Emit(name)


@own_modes
def test_an_emission_on_an_impossible_port_fails_the_message(bench: Bench) -> None:
    def misname(_state: State, message: Message, emit: Emitter) -> None:
        emit("before")
        emit(message.data, "a.b")

    with running(bench, Own(handle=misname)) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

        assert [message.data for message in results_of(run)] == ["before"]
    assert isinstance(error.__cause__, FlowBuildError)
    assert input_of(error) == 1
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


@own_modes
def test_a_merged_message_on_an_impossible_port_fails_the_message_in_hand(bench: Bench) -> None:
    def misname(state: State, message: Message, emit: Emitter) -> None:
        if message.data == 1:
            hold(state, message, emit)
        else:
            emit.merge(list(state), "both", "a/b")

    with running(bench, Own(handle=misname)) as runtime:
        run = runtime.process_many(".in", [1, 2])
        error = failure_of(run)

    assert isinstance(error.__cause__, FlowBuildError)
    assert input_of(error) == 2
    assert_ledger(run, accepted=2, absorbed=1, failed=1)


# --- what raises


@own_modes
def test_an_operation_without_a_handle_of_its_own_fails_its_messages(bench: Bench) -> None:
    class Half(Operation):
        pass

    with running(bench, Half("own")) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

    assert isinstance(error.__cause__, TypeError)
    assert str(error.__cause__) == 'operation "own" (Half) has no handle(state, message, emit) of its own'
    assert_ledger(run, accepted=1, failed=1)


def test_an_operation_has_no_state_and_owes_nothing_by_default() -> None:
    class Plain(Operation):
        def handle(self, state: Any, message: Message, emit: Emitter) -> None:
            emit((state, message.data))

    assert [message.data for message in drive(Plain("plain"), 1, 2)] == [(None, 1), (None, 2)]


@own_modes
def test_what_was_emitted_before_raising_has_happened(bench: Bench) -> None:
    def emit_and_raise(_state: State, message: Message, emit: Emitter) -> None:
        emit(message.data)
        emit(message.data)
        raise LookupError

    with running(bench, Own(handle=emit_and_raise)) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

        assert [message.data for message in results_of(run)] == [1, 1]
    assert text_of(error) == (
        'operation "own" (declared at HERE) had emitted 2 messages when it raised LookupError'
    )
    assert_ledger(run, accepted=1, born=2, delivered=2, failed=1)


@own_modes
def test_one_of_many_that_raises_fails_alone(bench: Bench) -> None:
    def choosy(_state: State, message: Message, emit: Emitter) -> None:
        if message.data % 3 == 0:
            raise ValueError
        emit(message.data)

    with running(bench, Own(handle=choosy)) as runtime:
        run = runtime.process_many(".in", range(30))
        with pytest.raises(OperationError):
            run.wait(SECONDS)

        assert sorted(message.data for message in results_of(run)) == [n for n in range(30) if n % 3]
    assert [input_of(error) for error in run.failures] == list(range(0, 30, 3))
    assert_ledger(run, accepted=30, delivered=20, failed=10)


@own_modes
def test_raising_after_hold_fails_the_run_and_ends_the_message_once(bench: Bench) -> None:
    def hold_and_raise(state: State, message: Message, emit: Emitter) -> None:
        hold(state, message, emit)
        raise LookupError

    with running(bench, Own(handle=hold_and_raise)) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

    assert isinstance(error.__cause__, LookupError)
    assert_ledger(run, accepted=1, absorbed=1)


@own_modes
def test_a_message_is_failed_by_an_error_handed_over(bench: Bench) -> None:
    refused = FlowError("not today")

    with running(bench, Own(handle=lambda _, __, emit: emit.fail(refused))) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

    assert error.__cause__ is refused
    assert (error.operation, input_of(error)) == ("own", 1)
    assert_ledger(run, accepted=1, failed=1)


@own_modes
def test_an_error_handed_over_reaches_the_causality_of_its_message(bench: Bench) -> None:
    refused = FlowError("not today")

    with running(
        bench,
        Own(handle=lambda _, __, emit: emit.fail(refused)),
        ".in -> push -> own -> .out",
        "push.exception -> .failed",
        others=(PushCausality("push"),),
    ) as runtime:
        run = runtime.process(".in", 1)
        result = run.result(SECONDS)
        run.wait(SECONDS)

    assert result.port.name == "failed"
    assert result.data.__cause__ is refused
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


@own_modes
def test_what_is_emitted_beside_an_error_handed_over_is_born(bench: Bench) -> None:
    def emit_and_fail(_state: State, message: Message, emit: Emitter) -> None:
        emit(message.data)
        emit.fail(FlowError("not today"))
        emit(message.data)

    with running(bench, Own(handle=emit_and_fail)) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError):
            run.wait(SECONDS)

        assert len(results_of(run)) == 2
    assert_ledger(run, accepted=1, born=2, delivered=2, failed=1)


@own_modes
def test_sys_exit_in_an_operation_with_state_stops_the_runtime(bench: Bench) -> None:
    def leave(_state: State, _message: Message, _emit: Emitter) -> None:
        raise SystemExit(3)

    with running(bench, Own(handle=leave)) as runtime, pytest.raises(SystemExit) as caught:
        runtime.process(".in", 1).wait(SECONDS)

    assert caught.value.code == 3


# --- holding and merging


def pairing(*, hold_both: bool) -> Callable[[State, Message, Emitter], None]:
    """Make pairs of what arrives; the second of each is held first, or goes on as the pair."""

    def pair(state: State, message: Message, emit: Emitter) -> None:
        if not state:
            hold(state, message, emit)
            return
        first = state.pop()
        parts = [first]
        if hold_both:
            parts.append(held(state, message, emit))
            state.clear()
        emit.merge(parts, (first.data, message.data), "pairs")

    return pair


@pytest.mark.parametrize("hold_both", [False, True], ids=["unheld", "held"])
@own_modes
def test_of_the_parts_of_a_merged_message_all_but_one_end_as_absorbed(bench: Bench, hold_both: bool) -> None:
    with running(
        bench, Own(handle=pairing(hold_both=hold_both)), ".in -> own.left", "own.pairs -> .out"
    ) as runtime:
        run = runtime.process_many(".in", range(6))

        assert run.values(SECONDS) == [(0, 1), (2, 3), (4, 5)]
    assert_ledger(run, accepted=6, absorbed=3, delivered=3)


@pytest.mark.parametrize("hold_both", [False, True], ids=["unheld", "held"])
@own_modes
def test_a_part_without_a_partner_ends_as_absorbed_when_the_run_is_done(
    bench: Bench, hold_both: bool
) -> None:
    with running(
        bench, Own(handle=pairing(hold_both=hold_both)), ".in -> own", "own.pairs -> .out"
    ) as runtime:
        run = runtime.process_many(".in", range(3))

        assert run.values(SECONDS) == [(0, 1)]
    assert_ledger(run, accepted=3, absorbed=2, delivered=1)
    assert [
        (row.place, row.count) for row in run.ledger.places if row.reason == "held until the run was done"
    ] == [("own", 1)]


@pytest.mark.parametrize("hold_both", [False, True], ids=["unheld", "held"])
@own_modes
def test_a_merged_message_that_nobody_takes_ends_as_unconnected(bench: Bench, hold_both: bool) -> None:
    with running(bench, Own(handle=pairing(hold_both=hold_both)), ".in -> own") as runtime:
        run = runtime.process_many(".in", [1, 2])
        run.wait(SECONDS)

    assert_ledger(run, accepted=2, absorbed=1, unconnected=1)


@pytest.mark.parametrize("hold_both", [False, True], ids=["unheld", "held"])
@own_modes
def test_a_merged_message_goes_to_every_target(bench: Bench, hold_both: bool) -> None:
    with running(
        bench,
        Own(handle=pairing(hold_both=hold_both)),
        ".in -> own",
        "own.pairs -> .out",
        "own.pairs -> .log",
    ) as runtime:
        run = runtime.process_many(".in", [1, 2])

        assert run.values(SECONDS) == [(1, 2), (1, 2)]
    assert_ledger(run, accepted=2, born=1, absorbed=1, delivered=2)


@pytest.mark.parametrize("hold_both", [False, True], ids=["unheld", "held"])
@real_workers
def test_a_message_merged_of_two_runs_belongs_to_the_one_that_completed_it(
    bench: Bench, hold_both: bool
) -> None:
    gate = Gate()
    runtime = bench.make_runtime()
    operations = FlowOperationContainer().add_func("gate", gate).make_async()
    operations.add_operation(Own(handle=pairing(hold_both=hold_both)))
    runtime.add_operations(operations)
    wire(runtime, ".in -> own", ".in -> gate -> .log", ".other -> own", "own.pairs -> .out")
    with runtime:
        try:
            first = runtime.process(".in", 1)
            arrived(gate.entered)
            second = runtime.process(".other", 2)
            assert second.values(SECONDS) == [(1, 2)]
        finally:
            gate.open()
        assert first.values(SECONDS) == [1]

    assert_ledger(first, accepted=1, born=1, absorbed=1, delivered=1)
    assert_ledger(second, accepted=1, delivered=1)


@own_modes
def test_a_part_whose_run_is_over_costs_nothing_when_it_is_merged(bench: Bench) -> None:
    with running(bench, Own(handle=pairing(hold_both=False)), ".in -> own", "own.pairs -> .out") as runtime:
        first = runtime.process(".in", 1)
        first.wait(SECONDS)
        second = runtime.process(".in", 2)

        assert second.values(SECONDS) == [(1, 2)]
    assert_ledger(first, accepted=1, absorbed=1)
    assert_ledger(second, accepted=1, delivered=1)


@own_modes
def test_a_message_made_only_of_parts_of_other_runs_is_born(bench: Bench) -> None:
    def swap(state: State, message: Message, emit: Emitter) -> None:
        earlier = list(state)
        state.clear()
        hold(state, message, emit)
        if earlier:
            emit.merge(earlier, [part.data for part in earlier])

    with running(bench, Own(handle=swap)) as runtime:
        first = runtime.process(".in", 1)
        first.wait(SECONDS)
        second = runtime.process(".in", 2)

        assert second.values(SECONDS) == [[1]]
    assert_ledger(first, accepted=1, absorbed=1)
    assert_ledger(second, accepted=1, born=1, absorbed=1, delivered=1)


@own_modes
def test_released_parts_end_as_discarded_with_their_reason(bench: Bench) -> None:
    def release(state: State, message: Message, emit: Emitter) -> None:
        if message.data:
            hold(state, message, emit)
        else:
            emit.release(list(state), "too old")
            state.clear()

    with running(bench, Own(handle=release)) as runtime:
        run = runtime.process_many(".in", [1, 2, 0, 3])
        run.wait(SECONDS)

    assert_ledger(run, accepted=4, absorbed=2, discarded=2)
    assert [row.count for row in run.ledger.places if (row.what, row.reason) == ("discarded", "too old")] == [
        2
    ]


@own_modes
def test_a_message_held_and_released_at_once_ends_once(bench: Bench) -> None:
    def drop(state: State, message: Message, emit: Emitter) -> None:
        emit.release([held(state, message, emit)], "unwanted")

    with running(bench, Own(handle=drop)) as runtime:
        run = runtime.process(".in", 1)
        run.wait(SECONDS)

    assert_ledger(run, accepted=1, discarded=1)


# --- what is owed at the end


@own_modes
def test_what_is_owed_is_emitted_when_nothing_of_the_run_is_live(bench: Bench) -> None:
    with running(bench, Own(handle=hold, drained=merge_owed)) as runtime:
        run = runtime.process_many(".in", range(5))

        assert run.values(SECONDS) == [[0, 1, 2, 3, 4]]
    assert_ledger(run, accepted=5, absorbed=4, delivered=1)


@own_modes
def test_what_is_owed_may_lead_to_more_that_is_owed(bench: Bench) -> None:
    with running(bench, Own(handle=hold, drained=merge_owed), ".in -> own -> own#2 -> .out") as runtime:
        run = runtime.process_many(".in", range(3))

        assert run.values(SECONDS) == [[[0, 1, 2]]]
    assert_ledger(run, accepted=3, absorbed=2, delivered=1)


@own_modes
def test_what_is_emitted_for_parts_that_stay_held_is_born(bench: Bench) -> None:
    with running(bench, Own(handle=hold, drained=lambda state, _, emit: emit(len(state)))) as runtime:
        run = runtime.process_many(".in", range(3))

        assert run.values(SECONDS) == [3]
    assert_ledger(run, accepted=3, born=1, absorbed=3, delivered=1)


@own_modes
def test_what_is_held_in_a_scattered_list_is_owed_to_that_list(bench: Bench) -> None:
    def of_scope(state: State, scope: Scope, emit: Emitter) -> None:
        mine = [part for part in state if part.scope is scope]
        state[:] = [part for part in state if part.scope is not scope]
        emit.merge(mine, sum(part.data for part in mine))

    with running(
        bench,
        Own(handle=hold, drained=of_scope),
        ".in -> outer",
        "outer.stream -> inner",
        "inner.stream -> own -> cells.stream",
        "cells -> rows.stream",
        "rows -> .out",
        others=(Scatter("outer"), Scatter("inner"), Gather("cells"), Gather("rows", ordered=True)),
    ) as runtime:
        run = runtime.process(".in", [[1, 2, 3], [10, 20], [100]])

        assert run.values(SECONDS) == [[[6], [30], [100]]]
    # 1 + 3 lists, each with a count that nobody takes; 6 items merged into 3; 3 lists of one; one list of 3.
    assert_ledger(run, accepted=1, born=2 + 3 + 4, absorbed=3 + 2, unconnected=4, delivered=1)


@own_modes
def test_what_raises_instead_of_emitting_what_it_owes_fails_the_run(bench: Bench) -> None:
    def break_down(_state: State, _scope: Scope, _emit: Emitter) -> None:
        raise LookupError

    with running(bench, Own(handle=hold, drained=break_down)) as runtime:
        run = runtime.process_many(".in", range(2))
        with pytest.raises(OwnAccordError, match="raised LookupError") as caught:
            run.wait(SECONDS)

    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.operation == "own"
    assert_ledger(run, accepted=2, absorbed=2)


@own_modes
def test_what_was_emitted_of_what_is_owed_before_raising_has_happened(bench: Bench) -> None:
    def break_down(state: State, scope: Scope, emit: Emitter) -> None:
        merge_owed(state, scope, emit)
        raise LookupError

    with running(bench, Own(handle=hold, drained=break_down)) as runtime:
        run = runtime.process_many(".in", range(2))
        with pytest.raises(OwnAccordError):
            run.wait(SECONDS)

        assert [message.data for message in results_of(run)] == [[0, 1]]
    assert_ledger(run, accepted=2, absorbed=1, delivered=1)


@own_modes
def test_sys_exit_instead_of_what_is_owed_stops_the_runtime(bench: Bench) -> None:
    def leave(_state: State, _scope: Scope, _emit: Emitter) -> None:
        raise SystemExit(4)

    with running(bench, Own(handle=hold, drained=leave)) as runtime, pytest.raises(SystemExit) as caught:
        runtime.process(".in", 1).wait(SECONDS)

    assert caught.value.code == 4


@own_modes
def test_what_is_owed_may_be_given_up_instead(bench: Bench) -> None:
    with running(
        bench, Own(handle=hold, drained=lambda state, _, emit: emit.release(list(state), "the day is over"))
    ) as runtime:
        run = runtime.process_many(".in", range(3))
        run.wait(SECONDS)

    assert_ledger(run, accepted=3, discarded=3)


# --- runs that end early


@real_workers
def test_a_cancelled_run_is_forgotten_and_its_parts_are_discarded(bench: Bench) -> None:
    gate = Gate()
    forgotten: list[Any] = []

    def forget(state: State, run: Any) -> None:
        forgotten.extend(part.data for part in state if part.scope is not None and part.scope.run is run)

    runtime = bench.make_runtime()
    operations = FlowOperationContainer().add_func("gate", gate).make_async()
    operations.add_operation(Own(handle=hold, cancelled=forget))
    runtime.add_operations(operations)
    wire(runtime, ".in -> own", ".in -> gate")
    with runtime:
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)
        gate.open()

    assert forgotten == [1]
    assert_ledger(run, accepted=1, born=1, discarded=2)


@pytest.mark.parametrize("subscribed", [True, False])
@real_workers
def test_an_operation_that_raises_when_a_run_is_cancelled_keeps_nobody_from_ending_it(
    bench: Bench, subscribed: bool
) -> None:
    gate = Gate()
    heard: list[BaseException] = []

    def break_down(_state: State, _run: Any) -> None:
        raise LookupError

    runtime = bench.make_runtime()
    operations = FlowOperationContainer().add_func("gate", gate).make_async()
    operations.add_operation(Own(handle=hold, cancelled=break_down))
    runtime.add_operations(operations)
    wire(runtime, ".in -> own", ".in -> gate -> .out")
    if subscribed:
        runtime.on_exception(heard.append)
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.wait(SECONDS)
    gate.open()
    try:
        runtime.close()
    except FlowError as error:
        heard.append(error)

    assert [type(error.__cause__) for error in heard] == [LookupError]
    assert 'the end of a run in operation "own"' in str(heard[0])
    assert_ledger(run, accepted=1, born=1, discarded=2)


# --- causalities and lists of one's own


@own_modes
def test_an_operation_may_open_a_causality_of_its_own(bench: Bench) -> None:
    pushing = Own(handle=lambda _, __, emit: emit.push())
    with running(bench, pushing, ".in -> own -> refuse", "own.exception -> .failed") as runtime:
        run = runtime.process_many(".in", range(3))
        run.wait(SECONDS)

        found = [(message.port.name, input_of(message.data), message.priority) for message in run.results()]
    assert sorted(found) == [("failed", 0, 99), ("failed", 1, 99), ("failed", 2, 99)]
    assert_ledger(run, accepted=3, born=3, delivered=3, failed=3)


@own_modes
def test_an_operation_may_close_a_causality(bench: Bench) -> None:
    popping = Own(handle=lambda _, __, emit: emit.pop())
    chains = (".in -> push -> own -> refuse", "push.exception -> .failed")
    with running(bench, popping, *chains, others=(PushCausality("push"),)) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError):
            run.wait(SECONDS)

    assert_ledger(run, accepted=1, failed=1)


@own_modes
def test_closing_a_causality_that_is_not_there_fails_the_message(bench: Bench) -> None:
    with running(bench, Own(handle=lambda _, __, emit: emit.pop())) as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

    assert isinstance(error.__cause__, FlowBuildError)
    assert "is in no causality" in str(error.__cause__)
    assert_ledger(run, accepted=1, failed=1)


@own_modes
def test_a_causality_opened_and_closed_leaves_the_id_and_the_priority(bench: Bench) -> None:
    def name_it(_state: State, message: Message, emit: Emitter) -> None:
        emit(message.data, correlation_id="inside")

    with running(
        bench,
        Own(handle=name_it),
        ".in -> push -> own -> pop -> .out",
        others=(PushCausality("push"), PopCausality("pop")),
    ) as runtime:
        result = runtime.process(".in", 1, priority=2).result(SECONDS)

    assert (result.data, result.correlation_id, result.priority) == (1, "inside", 2)


def scattering(items: Callable[[Any], Any]) -> Own:
    def scatter(_state: State, message: Message, emit: Emitter) -> None:
        emit.scatter(items(message.data), "stream", "count", 4)

    return Own(handle=scatter, bracket=1)


SCATTERING = (
    ".in -> own",
    "own.stream -> same -> gather.stream",
    "own.count -> gather.count",
    "gather -> .out",
)


@pytest.mark.parametrize("items", [list, iter], ids=["list", "iterator"])
@own_modes
def test_an_operation_may_scatter_a_list_of_its_own(bench: Bench, items: Callable[[Any], Any]) -> None:
    with running(bench, scattering(items), *SCATTERING, others=(Gather("gather"),)) as runtime:
        run = runtime.process(".in", range(10))

        assert run.values(SECONDS) == [list(range(10))]
    assert_ledger(run, accepted=1, born=10, absorbed=1 + 9, delivered=1)


@own_modes
def test_a_list_of_ones_own_may_be_empty(bench: Bench) -> None:
    with running(bench, scattering(list), *SCATTERING, others=(Gather("gather"),)) as runtime:
        run = runtime.process(".in", [])

        assert run.values(SECONDS) == [[]]
    assert_ledger(run, accepted=1, born=1, absorbed=1, delivered=1)


@own_modes
def test_what_cannot_be_iterated_fails_its_message_and_owes_no_list(bench: Bench) -> None:
    with running(bench, scattering(same), *SCATTERING, others=(Gather("gather"),)) as runtime:
        run = runtime.process(".in", 5)
        error = failure_of(run)

    assert isinstance(error.__cause__, TypeError)
    assert_ledger(run, accepted=1, failed=1)


@own_modes
def test_an_iterable_that_raises_midway_fails_its_message_and_owes_no_list(bench: Bench) -> None:
    def broken(_data: Any) -> Iterator[int]:
        yield from range(3)
        raise LookupError

    with running(bench, scattering(broken), *SCATTERING, others=(Gather("gather"),)) as runtime:
        run = runtime.process(".in", None)
        error = failure_of(run)

    assert isinstance(error.__cause__, LookupError)
    assert_ledger(run, accepted=1, born=3, discarded=3, failed=1)


@own_modes
def test_a_message_may_be_kept_for_the_list_around(bench: Bench) -> None:
    def keep(state: State, message: Message, emit: Emitter) -> None:
        state.append(message.data)
        assert message.scope is not None
        emit.keep_for(message.scope)
        emit.owe()

    def give(state: State, scope: Scope, emit: Emitter) -> None:
        if state:
            emit.gather(scope, list(state), None)
            state.clear()

    own = Own(handle=keep, drained=give)
    with running(
        bench, own, ".in -> scatter", "scatter.stream -> own -> .out", others=(Scatter("scatter"),)
    ) as runtime:
        run = runtime.process(".in", [1, 2, 3])

        assert [sorted(each) for each in run.values(SECONDS)] == [[1, 2, 3]]
    assert_ledger(run, accepted=1, born=3, absorbed=2, unconnected=1, delivered=1)


# --- many at once


def of_batch(bench: Bench, many: Callable[[State, Any, Emitter], None], **options: Any) -> FlowRuntime:
    """A runtime for `.in -> scatter -> own -> .out`: the operation is given whole lists."""
    return running(
        bench,
        OwnMany(many, **options),
        ".in -> scatter",
        "scatter.stream -> own -> .out",
        "own.other -> .other",
        others=(Scatter("scatter"),),
    )


@in_batches
def test_messages_of_one_context_are_handed_over_together(bench: Bench) -> None:
    seen: list[list[int]] = []
    with of_batch(bench, lambda _, batch, __: seen.append(list(batch.data))) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        run.wait(SECONDS)

    assert seen == [[1, 2, 3]]
    assert_ledger(run, accepted=1, born=3, absorbed=3, unconnected=1)


@in_batches
def test_what_is_emitted_for_many_is_born_and_the_many_are_absorbed(bench: Bench) -> None:
    def sums(_state: State, batch: Any, emit: Emitter) -> None:
        emit(sum(batch.data))
        emit(len(batch.data), "other")

    with of_batch(bench, sums) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        run.wait(SECONDS)

        assert [(message.port.name, message.data) for message in run.results()] == [("out", 6), ("other", 3)]
    assert_ledger(run, accepted=1, born=3 + 2, absorbed=3, unconnected=1, delivered=2)


@in_batches
def test_what_is_emitted_for_many_may_bring_an_id(bench: Bench) -> None:
    with of_batch(bench, lambda _, batch, emit: emit(batch.data, "", "theirs")) as runtime:
        run = runtime.process(".in", [1, 2, 3])

        assert [(message.data, message.correlation_id) for message in results_of(run)] == [
            ([1, 2, 3], "theirs")
        ]


@in_batches
def test_many_fail_one_by_one_when_their_operation_raises(bench: Bench) -> None:
    def emit_and_raise(_state: State, batch: Any, emit: Emitter) -> None:
        emit(batch.data[0])
        raise LookupError

    with of_batch(bench, emit_and_raise) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        with pytest.raises(OperationError):
            run.wait(SECONDS)

        assert [message.data for message in results_of(run)] == [1]
    assert [input_of(error) for error in run.failures] == [1, 2, 3]
    assert_ledger(run, accepted=1, born=3 + 1, failed=3, unconnected=1, delivered=1)


@in_batches
def test_some_of_many_may_be_failed(bench: Bench) -> None:
    def fail_some(_state: State, batch: Any, emit: Emitter) -> None:
        emit.fail(FlowError("odd"), 1, 2)
        emit(batch.data[0])

    with of_batch(bench, fail_some) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        with pytest.raises(OperationError):
            run.wait(SECONDS)

        assert [message.data for message in results_of(run)] == [1]
    assert [input_of(error) for error in run.failures] == [2, 3]
    assert_ledger(run, accepted=1, born=3 + 1, absorbed=1, failed=2, unconnected=1, delivered=1)


@in_batches
def test_many_may_be_held_and_merged(bench: Bench) -> None:
    def hold_all(state: State, batch: Any, emit: Emitter) -> None:
        parts = [Part(data) for data in batch.data]
        emit.hold(parts)
        emit.merge(parts[:2], [part.data for part in parts[:2]])
        emit.release(parts[2:3], "one too many")

    with of_batch(bench, hold_all) as runtime:
        run = runtime.process(".in", [1, 2, 3, 4])

        assert run.values(SECONDS) == [[1, 2]]
    # of four: two make one, one is released, one is held until the end
    assert_ledger(run, accepted=1, born=4, absorbed=1 + 1, discarded=1, unconnected=1, delivered=1)


@in_batches
def test_a_bound_that_many_exceed_ends_the_run(bench: Bench) -> None:
    full = FlowOverloadError("full")

    def refuse_all(_state: State, _batch: Any, _emit: Emitter) -> None:
        raise full

    with of_batch(bench, refuse_all) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        with pytest.raises(FlowOverloadError) as caught:
            run.wait(SECONDS)

    assert caught.value is full
    assert run.ledger.balanced
    assert (run.ledger.live, run.ledger.held) == (0, 0)


@in_batches
def test_messages_of_many_contexts_are_handed_over_context_by_context(bench: Bench) -> None:
    seen: list[tuple[object, list[int]]] = []

    def look(_state: State, batch: Any, emit: Emitter) -> None:
        seen.append((batch.correlation_id, list(batch.data)))
        emit(batch.data)

    with running(bench, OwnMany(look), ".in -> name -> own -> .out") as runtime:
        runtime.add_operation(Own("name", lambda _, message, emit: emit(message.data, "", message.data)))
        run = runtime.process_many(".in", [1, 2, 3])

        assert sorted(run.values(SECONDS)) == [[1], [2], [3]]
    assert sorted(seen, key=str) == [(1, [1]), (2, [2]), (3, [3])]
    assert_ledger(run, accepted=3, born=3, absorbed=3, delivered=3)


@in_batches
def test_what_many_owe_is_emitted_at_the_end_of_their_list(bench: Bench) -> None:
    def hold_all(state: State, batch: Any, emit: Emitter) -> None:
        parts = [Part(data) for data in batch.data]
        emit.hold(parts)
        state.extend(parts)

    with of_batch(bench, hold_all, drained=merge_owed) as runtime:
        run = runtime.process(".in", [1, 2, 3])

        assert run.values(SECONDS) == [[1, 2, 3]]
    assert_ledger(run, accepted=1, born=3, absorbed=2, unconnected=1, delivered=1)


# --- sources


@own_modes
def test_what_a_generator_yields_leaves_on_the_port_it_names(bench: Bench) -> None:
    def sort(numbers: list[int]) -> Iterator[Any]:
        for number in numbers:
            yield number if number % 2 else Emit(".even", number)

    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(generators={"sort": sort}))
    wire(runtime, ".in -> sort -> .odd", "sort.even -> .even")
    with runtime:
        run = runtime.process(".in", [1, 2, 3, 4])
        run.wait(SECONDS)

        found = sorted((message.port.name, message.data) for message in run.results())
    assert found == [("even", 2), ("even", 4), ("odd", 1), ("odd", 3)]
    assert_ledger(run, accepted=1, born=3, delivered=4)


class Unclosable:
    """An endless iterator that raises when it is closed."""

    def __iter__(self) -> Unclosable:
        return self

    def __next__(self) -> int:
        return 1

    def close(self) -> None:
        raise LookupError


@own_modes
def test_an_iterator_that_raises_when_it_is_closed_is_contained(bench: Bench) -> None:
    heard: list[BaseException] = []
    runtime = bench.make_runtime(capacity=10)
    runtime.add_operations(bench.operations(generators={"items": lambda _: Unclosable()}))
    wire(runtime, ".in -> items -> .out")
    runtime.on_exception(heard.append)
    runs = []
    taken = 0

    def stop(_message: Message) -> None:
        nonlocal taken
        taken += 1
        if taken == 10:
            runtime.close()

    runtime.on_result(stop)
    runs.append(runtime.process(".in", 1))
    with contextlib.suppress(FlowError):
        runs[0].wait(SECONDS)
    runtime.close()

    assert [type(error.__cause__) for error in heard] == [LookupError]
    assert 'the end of generator "items"' in str(heard[0])
    assert runs[0].ledger.discarded == 1
    assert runs[0].ledger.balanced


@pytest.mark.parametrize("window", [1, 2, 1024])
@own_modes
def test_a_generator_that_feeds_itself_cannot_lock_itself_out(bench: Bench, window: int) -> None:
    def branch(depth: int) -> Iterator[Any]:
        if depth:
            yield Emit("again", depth - 1)
            yield Emit("again", depth - 1)
        else:
            yield "leaf"

    runtime = bench.make_runtime()
    operations = FlowOperationContainer().add_generator("branch", branch, window=window)
    runtime.add_operations(bench.apply_mode(operations))
    wire(runtime, ".in -> branch -> .out", "branch.again -> branch")
    with runtime:
        run = runtime.process(".in", 4)

        assert run.values(SECONDS) == ["leaf"] * 16
    assert_ledger(run, accepted=1, born=15, delivered=16)


# --- keys


@pytest.mark.parametrize(
    "key", [lambda number: [][number], lambda number: [number]], ids=["raises", "unhashable"]
)
@real_workers
def test_a_key_that_cannot_be_had_fails_its_message_alone(bench: Bench, key: Callable[[int], Any]) -> None:
    def only_of_three(number: int) -> Any:
        return key(number) if number == 3 else number % 2

    runtime = bench.make_runtime()
    runtime.add_operations(
        FlowOperationContainer().add_func("work", same).make_parallel(2, by_key=only_of_three)
    )
    wire(runtime, ".in -> work -> .out")
    with runtime:
        run = runtime.process_many(".in", range(6))
        error = failure_of(run)

        values = [message.data for message in results_of(run)]
    assert input_of(error) == 3
    assert sorted(values) == [0, 1, 2, 4, 5]
    assert [number for number in values if number % 2] == [1, 5]
    assert_ledger(run, accepted=6, delivered=5, failed=1)


# --- when the call is over


@own_modes
def test_an_emission_after_the_call_is_refused(bench: Bench) -> None:
    kept: list[Emitter] = []

    with running(bench, Own(handle=lambda _, __, emit: kept.append(emit))) as runtime:
        run = runtime.process(".in", 1)
        run.wait(SECONDS)
        for late in (lambda: kept[0]("late"), lambda: kept[0].hold([Part(1)]), kept[0].push):
            with pytest.raises(FlowError):
                late()
        runtime.wait_idle(SECONDS)

    assert_ledger(run, accepted=1, absorbed=1)


@own_modes
def test_an_emission_after_the_end_of_a_run_is_refused(bench: Bench) -> None:
    kept: list[Emitter] = []

    with running(bench, Own(handle=hold, drained=lambda _, __, emit: kept.append(emit))) as runtime:
        run = runtime.process(".in", 1)
        run.wait(SECONDS)
        with pytest.raises(FlowError):
            kept[0]("late")

    assert_ledger(run, accepted=1, absorbed=1)


@own_modes
def test_an_operation_that_knows_its_ports_emits_on_no_other(bench: Bench) -> None:
    class Narrow(Own):
        out_ports = ("", "rejected")

    def misname(_state: State, message: Message, emit: Emitter) -> None:
        emit(message.data, "Rejected")
        emit(message.data, "rejcted")

    with running(bench, Narrow(handle=misname), ".in -> own -> .out", "own.rejected -> .rejected") as runtime:
        run = runtime.process(".in", 1)
        error = failure_of(run)

        assert [message.port.name for message in results_of(run)] == ["rejected"]
    assert str(error.__cause__) == (
        'the operation has no out-port ".rejcted" to emit on. Did you mean ".rejected"? There are: .rejected, the default one.'
    )
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


@own_modes
def test_sys_exit_in_an_action_stops_the_runtime(bench: Bench) -> None:
    def leave(data: Any, emit: Callable[[Any], None]) -> None:
        emit(data)
        raise SystemExit(5)

    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(actions={"leave": leave}))
    wire(runtime, ".in -> leave -> .out")
    with runtime, pytest.raises(SystemExit) as caught:
        runtime.process_many(".in", [1, 2, 3]).wait(SECONDS)

    assert caught.value.code == 5


class PopAll(Operation):
    """Takes many messages at once, and sends them on outside a causality they may not be in."""

    def handle_many(self, _state: Any, _batch: Any, emit: Emitter) -> None:
        emit.pop()


def test_an_own_operation_that_pops_outside_any_causality_fails_its_messages() -> None:
    with FlowRuntime() as runtime:
        runtime.add_operation(PopAll("pop")).add_stream(".in", "pop").add_stream("pop", ".out")

        run = runtime.process_many(".in", [1, 2])
        with pytest.raises(OperationError, match=r'"pop".*in no causality'):
            run.wait(timeout=SECONDS)

    assert len(run.failures) == 2
    assert_ledger(run, accepted=2, failed=2)


@pytest.mark.parametrize("ids", [("id", "id"), ("id", None), (None, None)])
def test_what_is_merged_of_parts_with_one_correlation_id_has_it(ids: tuple[object, object]) -> None:
    class Pack(Keeper):
        """Keeps all, and gives it away when nothing more comes."""

        def drained(self, state: list[Part], scope: Any, emit: Emitter) -> None:
            mine = [part for part in state if part.scope is scope]
            if mine:
                emit.merge(mine, [part.data for part in mine])

    def send(_: object, emit: Any) -> None:
        for number, correlation_id in enumerate(ids):
            emit(number, correlation_id=correlation_id)

    class Send(Operation):
        def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
            send(message.data, emit)

    operations = FlowOperationContainer().add_operation(Send("send")).add_operation(Pack("pack"))
    with FlowRuntime(schedule="sync") as runtime:
        wire(runtime, ".in -> send -> pack -> .out")
        runtime.add_operations(operations)
        (result,) = runtime.process(".in", None).results(SECONDS)

    assert result.data == [0, 1]
    assert result.correlation_id == (ids[0] if ids[0] == ids[1] else None)


def test_each_message_of_a_batch_that_is_held_by_itself_keeps_its_position() -> None:
    def many(state: State, batch: Any, emit: Emitter) -> None:
        for data in batch.data:
            state.append(Part(data))
            emit.hold(state[-1:])

    positions: list[Any] = []

    def tell(state: State, _scope: Any, emit: Emitter) -> None:
        positions.extend((part.data, part.position) for part in state)
        merge_owed(state, _scope, emit)

    with FlowRuntime() as runtime:
        runtime.add_operation(OwnMany(many, drained=tell))
        wire(runtime, ".in -> own -> .out")
        run = runtime.process_many(".in", list("abc"))
        assert run.values(SECONDS) == [["a", "b", "c"]]
    assert positions == [("a", 0), ("b", 1), ("c", 2)]
    assert_ledger(run, accepted=3, delivered=1, absorbed=2)


def test_each_message_of_a_batch_is_scattered_from_its_own_place() -> None:
    def many(_state: State, batch: Any, emit: Emitter) -> None:
        for data in batch.data:
            emit.scatter(data, "stream", "count", 10)

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError

    with FlowRuntime() as runtime:
        runtime.add_operation(OwnMany(many))
        wire(runtime, ".in -> own", "own.stream -> .out", "own.count -> .count")
        first, second = [1, 2], broken()
        run = runtime.process_many(".in", [first, second])
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)
        assert caught.value.message.data is second
    assert run.ledger.balanced


@pytest.mark.parametrize("first", [1, 7])
def test_an_error_that_names_no_message_in_hand_fails_what_is(first: int) -> None:
    def refuse_another(_state: State, _message: Message, emit: Emitter) -> None:
        emit.fail(FlowError("refused"), first)

    with FlowRuntime() as runtime:
        runtime.add_operation(Own(handle=refuse_another))
        wire(runtime, ".in -> own -> .out")
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)
    assert str(caught.value.__cause__) == "refused"
    assert_ledger(run, accepted=1, failed=1)


def test_what_an_operation_says_of_itself_after_it_was_added_counts() -> None:
    gather = Gather("gather")
    operations = FlowOperationContainer().add_func("check", lambda number: 1 // number)
    operations.add_operation(Scatter("scatter")).add_operation(gather)
    gather.on_missing = "skip"
    with FlowRuntime() as runtime:
        runtime.add_operations(operations)
        wire(runtime, ".in -> scatter", "scatter.stream -> check -> gather.stream", "gather -> .out")
        wire(runtime, "scatter.count -> gather.count")
        assert runtime.process(".in", [1, 0]).values(SECONDS) == [[1]]
