"""Filter, Switch, Distinct, Scan, Reduce, Zip, Latest: what they let pass, remember and bring together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.errors import FlowBuildError, FlowOverloadError, OperationError, RunCancelledError
from flowrt.standard import Distinct, Filter, Latest, PushCausality, Reduce, Scan, Scatter, Switch, Zip
from flowrt.testing import check_operation, drive, run_flow, simulated
from tests.kit.flows import assert_ledger, flow_of, results_of, wire
from tests.kit.functions import SECONDS
from tests.kit.operators import (
    around,
    books,
    cancelled_after,
    every_schedule,
    in_lists,
    results_of_runs,
    rows,
    values,
)

__all__ = ["books"]


def odd(number: int) -> bool:
    return number % 2 == 1


def inverse_is_big(number: int) -> bool:
    return 1 / number > 0.4


def add(total: float, number: float) -> float:
    return total + number


def add_inverse(total: float, number: int) -> float:
    return total + 1 / number


def size_of(number: int) -> str:
    return "big" if number > 10 else "small"


def emitted(operation: Operation, *inputs: Any) -> list[tuple[str, Any]]:
    return [(message.port.name, message.data) for message in drive(operation, *inputs)]


def left(data: Any, **options: Any) -> Message:
    return Message(".left", data, **options)


def right(data: Any, **options: Any) -> Message:
    return Message(".right", data, **options)


def zipped(**options: Any) -> Zip:
    return Zip("zip", ["left", "right"], **options)


def latest(**options: Any) -> Latest:
    return Latest("latest", ["left", "right"], **options)


# --- one operator alone: what comes in, what goes out


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (Filter("f", odd), [1, 2, 3], [("", 1), ("rejected", 2), ("", 3)]),
        (Filter("f", bool), [0, "", [1]], [("rejected", 0), ("rejected", ""), ("", [1])]),
        (Switch("s", size_of), [1, 11], [("small", 1), ("big", 11)]),
        (Switch("s", size_of, ["small", "BIG"]), [1, 11], [("small", 1), ("big", 11)]),
        (Switch("s", lambda _: ""), [1], [("", 1)]),
        (Switch("s", lambda _: ".port"), [1], [("port", 1)]),
        (Distinct("d"), [1, 1, 2, 1, 3, 2], [("", 1), ("", 2), ("", 3)]),
        (Distinct("d", abs), [1, -1, 2], [("", 1), ("", 2)]),
        (Distinct("d", by="run"), [1, 1], [("", 1), ("", 1)]),
        (Scan("s", add, 0), [1, 2, 3], [("", 1), ("", 3), ("", 6)]),
        (Scan("s", add, 0, by="run"), [1, 2, 3], [("", 1), ("", 2), ("", 3)]),
        (Reduce("r", add, 0), [1, 2, 3], [("", 1), ("", 2), ("", 3)]),
        (zipped(), [left(1), left(2), right("a"), right("b")], [("", (1, "a")), ("", (2, "b"))]),
        (zipped(), [right("a"), left(1), left(2)], [("", (1, "a"))]),
        (zipped(by="run"), [left(1), right("a")], []),
        (latest(), [left(1), left(2), right("a"), left(3)], [("", (2, "a")), ("", (3, "a"))]),
        (latest(by="run"), [left(1), right("a")], []),
    ],
    ids=repr,
)
def test_each_input_in_a_run_of_its_own_leads_to(
    operation: Operation, inputs: list[Any], expected: list[Any]
) -> None:
    assert emitted(operation, *inputs) == expected


@every_schedule
@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        (lambda: Filter("f", odd), [1, 2, 3], [1, 3]),
        (lambda: Distinct("d"), [1, 1, 2, 1], [1, 2]),
        (lambda: Distinct("d", by="run"), [1, 1, 2, 1], [1, 2]),
        (lambda: Scan("s", add, 0), [1, 2, 3], [1, 3, 6]),
        (lambda: Scan("s", add, 0, by="run"), [1, 2, 3], [1, 3, 6]),
        (lambda: Reduce("r", add, 0), [1, 2, 3], [6]),
        (lambda: Reduce("r", add, 0), [], []),
    ],
)
def test_one_run_of_several_inputs_leads_to(
    schedule: Any, operation: Callable[[], Operation], inputs: list[Any], expected: list[Any]
) -> None:
    assert values(around(operation()), inputs, schedule) == expected


@every_schedule
@pytest.mark.parametrize(
    ("operation", "lists", "expected"),
    [
        (lambda: Filter("f", odd), [[1, 2, 3], [2, 4], []], [[1, 3], [], []]),
        (lambda: Distinct("d"), [[1, 1, 2], [2, 2, 1]], [[1, 2], [2, 1]]),
        (lambda: Scan("s", add, 0), [[1, 2, 3], [10, 20]], [[1, 3, 6], [10, 30]]),
        (lambda: Reduce("r", add, 0), [[1, 2, 3], [10, 20], []], [[6], [30], []]),
    ],
)
def test_each_scattered_list_is_taken_for_itself(
    schedule: Any, operation: Callable[[], Operation], lists: list[Any], expected: list[Any]
) -> None:
    assert sorted(values(in_lists(operation()), lists, schedule)) == sorted(expected)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("operation", "lists", "expected"),
    [
        (lambda: Filter("op", odd), [[1, 2, 3], [2, 4]], [[], [1, 3]]),
        (lambda: Distinct("op"), [[1, 1, 2], [2, 2, 1]], [[1, 2], [1, 2]]),
        (lambda: Reduce("op", add, 0), [[1, 2, 3], [10, 20]], [[6], [30]]),
    ],
)
def test_lists_stay_apart_in_every_order_of_events(
    seed: int, operation: Callable[[], Operation], lists: list[Any], expected: list[Any]
) -> None:
    def flow() -> Flow:
        made = in_lists(operation())
        made.add_operations(FlowOperationContainer().add_func("work", lambda data: data).make_parallel(3))
        wire(made, ".lists -> scatter", ".other -> work -> .out")
        return made

    results = run_flow(flow, [(".lists", each) for each in lists] + [(".other", [0])], seed=seed)

    assert sorted(sorted(message.data) for message in results) == sorted([*expected, [0]])


# --- what becomes of messages


@every_schedule
def test_what_a_filter_rejects_is_absorbed_unless_a_stream_takes_it(schedule: Any) -> None:
    flow = around(Filter("filter", odd))
    with FlowRuntime(flow, schedule=schedule, strict=True) as runtime:
        run = runtime.process_many(".in", range(5))
        assert run.values(timeout=SECONDS) == [1, 3]
        assert ("filter.rejected", "absorbed", "", 3) in rows(run)

    flow = around(Filter("filter", odd))
    wire(flow, "filter.rejected -> .even")
    with FlowRuntime(flow, schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(5))
        assert sorted(run.values(timeout=SECONDS)) == [0, 1, 2, 3, 4]
        assert_ledger(run, accepted=5, delivered=5)


def test_what_a_switch_sends_where_no_stream_starts_is_unconnected() -> None:
    flow = around(Switch("switch", size_of))
    wire(flow, "switch.big -> .out")
    with FlowRuntime(flow) as runtime:
        run = runtime.process_many(".in", [1, 100])
        assert run.values(timeout=SECONDS) == [100]
        assert ("switch.small", "unconnected", "", 1) in rows(run)


@every_schedule
def test_a_value_reduced_is_one_of_its_messages_and_the_others_are_absorbed(schedule: Any) -> None:
    with FlowRuntime(around(Reduce("reduce", add, 0)), schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(10), correlation_id="id", priority=3)
        (result,) = run.results(timeout=SECONDS)

        assert (result.data, result.correlation_id, result.priority) == (45, "id", 3)
        assert_ledger(run, accepted=10, absorbed=9, delivered=1)


def test_a_value_reduced_of_messages_with_different_ids_has_none() -> None:
    class Tag(Operation):
        def handle(self, state: Any, message: Message, emit: Any) -> None:
            emit(message.data, correlation_id=message.data % self.ids)

        ids = 2

    tag = Tag("tag")
    flow = around(Reduce("reduce", add, 0))
    flow.add_operations(FlowOperationContainer().add_operation(tag))
    wire(flow, ".tagged -> tag -> reduce")
    with FlowRuntime(flow) as runtime:
        (mixed,) = runtime.process_many(".tagged", range(4)).results(timeout=SECONDS)
        tag.ids = 1
        (same,) = runtime.process_many(".tagged", range(4)).results(timeout=SECONDS)

    assert (mixed.correlation_id, same.correlation_id) == (None, 0)


def test_reducing_keeps_one_message_however_many_come() -> None:
    held: list[int] = []

    def note(total: int, number: int) -> int:
        held.extend(run.held for run in runtime._owner.engine.books.runs)
        return total + number

    with FlowRuntime(around(Reduce("reduce", note, 0))) as runtime:
        run = runtime.process_many(".in", range(5_000))
        assert run.values(timeout=SECONDS) == [sum(range(5_000))]
    assert max(held) == 1
    assert_ledger(run, accepted=5_000, absorbed=4_999, delivered=1)


@every_schedule
def test_a_pair_is_one_of_its_messages_and_the_other_is_absorbed(schedule: Any) -> None:
    with FlowRuntime(around(zipped(), "left", "right"), schedule=schedule) as runtime:
        waiting = runtime.process(".left", 1, correlation_id="id")
        assert waiting.values(timeout=SECONDS) == []
        completing = runtime.process(".right", "a", correlation_id="id")
        (result,) = completing.results(timeout=SECONDS)

        assert (result.data, result.correlation_id) == ((1, "a"), "id")
        assert_ledger(waiting, accepted=1, absorbed=1)
        assert_ledger(completing, accepted=1, delivered=1)


@every_schedule
def test_a_pair_of_different_ids_has_none(schedule: Any) -> None:
    with FlowRuntime(around(zipped(), "left", "right"), schedule=schedule) as runtime:
        runtime.process(".left", 1, correlation_id="a").wait(timeout=SECONDS)
        (result,) = runtime.process(".right", 2, correlation_id="b").results(timeout=SECONDS)

    assert result.correlation_id is None


def forked(operator: Operation) -> Flow:
    """Each item of a list goes both ways: `left` gets those that are odd, `right` all."""
    flow = Flow("forked")
    operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(operator)
    operations.add_operation(Filter("odd", odd))
    flow.add_operations(operations)
    name = operator.name
    wire(flow, ".in -> scatter", f"scatter.stream -> odd -> {name}.left", f"scatter.stream -> {name}.right")
    wire(flow, f"{name} -> .out")
    return flow


@every_schedule
def test_what_is_left_over_in_a_list_is_discarded_when_the_list_has_gone_quiet(schedule: Any) -> None:
    with FlowRuntime(forked(zipped()), schedule=schedule) as runtime:
        run = runtime.process_many(".in", [[1, 2, 3], [5, 6]])

        assert sorted(run.values(timeout=SECONDS)) == [(1, 1), (3, 2), (5, 5)]
        assert ("zip", "discarded", "nothing came at another port to go with it", 2) in rows(run)


@every_schedule
def test_the_latest_of_a_list_is_forgotten_with_it(schedule: Any) -> None:
    with FlowRuntime(forked(latest()), schedule=schedule) as runtime:
        first = runtime.process(".in", [1]).values(timeout=SECONDS)
        second = runtime.process(".in", [2]).values(timeout=SECONDS)

    assert (first, second) == ([(1, 1)], [])


def test_an_error_of_a_value_reduced_goes_to_the_causality_that_all_its_messages_were_in() -> None:
    def refuse(data: Any) -> None:
        raise ValueError

    operations = FlowOperationContainer().add_operation(PushCausality("push")).add_func("refuse", refuse)
    flow = Flow("causal")
    flow.add_operations(operations.add_operation(Reduce("reduce", add, 0)))
    wire(flow, ".in -> push -> reduce -> refuse -> .out", "push.exception -> .errors")
    with FlowRuntime(flow) as runtime:
        run = runtime.process_many(".in", [1, 2])
        (result,) = run.results(timeout=SECONDS)

    assert isinstance(result.data, OperationError)


# --- errors of functions


@every_schedule
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda: Filter("op", inverse_is_big), [1, 2]),
        (lambda: Distinct("op", lambda number: 1 // number), [1, 2]),
        (lambda: Scan("op", add_inverse, 0), [1.0, 1.5]),
        (lambda: Reduce("op", add_inverse, 0), [1.5]),
    ],
)
def test_a_message_of_which_the_function_raises_fails_and_changes_nothing(
    schedule: Any, operation: Callable[[], Operation], expected: list[Any]
) -> None:
    with FlowRuntime(around(operation()), schedule=schedule) as runtime:
        run = runtime.process_many(".in", [1, 0, 2])
        with pytest.raises(OperationError) as raised:
            run.wait(timeout=SECONDS)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        assert [message.data for message in results_of(run)] == expected
        assert run.ledger.failed == 1


@pytest.mark.parametrize(
    ("operation", "data", "text"),
    [
        (Switch("op", lambda _: None), 1, 'Switch "op": choose returned NoneType'),  # type: ignore[arg-type,return-value]
        (Switch("op", lambda _: "c", ["", "b"]), 1, r'no out-port "\.c"'),
        (Switch("op", lambda _: "a/b"), 1, "cannot name an out-port"),
        (Distinct("op"), [1], 'Distinct "op" remembers keys, and a list cannot be hashed'),
    ],
)
def test_what_a_function_may_not_return_fails_the_message_and_says_why(
    operation: Operation, data: Any, text: str
) -> None:
    with FlowRuntime(around(operation)) as runtime, pytest.raises(OperationError, match=text):
        runtime.process(".in", data).wait(timeout=SECONDS)


def test_each_fold_starts_with_a_copy() -> None:
    def append(items: list[Any], item: Any) -> list[Any]:
        items.append(item)
        return items

    initial: list[Any] = []
    lists = [[1, 2], [3]]

    assert sorted(values(in_lists(Reduce("reduce", append, initial)), lists)) == [[[1, 2]], [[3]]]
    assert initial == []


# --- bounds


def test_past_max_waiting_the_run_fails_and_what_comes_later_is_not_disturbed() -> None:
    with FlowRuntime(around(zipped(max_waiting=2), "left", "right")) as runtime:
        run = runtime.process_many(".left", [1, 2, 3])
        with pytest.raises(FlowOverloadError, match=r'^Zip "zip" would hold more than max_waiting=2'):
            run.wait(timeout=SECONDS)
        assert run.ledger.balanced
        left = runtime.process_many(".left", [4, 5])
        assert runtime.process_many(".right", list("abc")).values(timeout=SECONDS) == [(4, "a"), (5, "b")]
        left.wait(timeout=SECONDS)


@pytest.mark.parametrize(
    "operator",
    [
        lambda: Distinct("op", by="run", max_open=1),
        lambda: Scan("op", add, 0, by="run", max_open=1),
        lambda: Reduce("op", add, 0, max_open=1),
    ],
)
def test_past_max_open_the_run_fails(operator: Callable[[], Operation]) -> None:
    failed = 0
    for seed in range(20):  # in some of these orders both runs are open at once
        operations = FlowOperationContainer().add_func("pass", lambda x: x).make_parallel(2)
        flow = flow_of("", ".in -> pass -> op -> .out", operations=operations.add_operation(operator()))
        with FlowRuntime(flow, seams=simulated(seed)) as runtime:
            for run in [runtime.process_many(".in", [1, 2]) for _ in range(2)]:
                try:
                    run.wait()
                except FlowOverloadError as error:
                    assert "max_open=1" in str(error)
                    failed += 1
                assert run.ledger.balanced
    assert 0 < failed < 40


def test_without_a_bound_no_key_is_forgotten() -> None:
    inputs = [*range(500), *range(500)]
    assert values(around(Distinct("distinct", max_keys=None)), inputs) == list(range(500))


def test_past_max_keys_the_one_that_has_not_come_for_longest_is_forgotten() -> None:
    inputs = [1, 2, 1, 3, 1, 2]  # 2 is forgotten when 3 comes, for 1 has come since

    assert values(around(Distinct("distinct", max_keys=2)), inputs) == [1, 2, 3, 2]


# --- cancelling


@pytest.mark.parametrize("seed", range(20))
def test_a_cancelled_run_takes_only_its_own_messages_out_of_a_zip(seed: int) -> None:
    with FlowRuntime(around(zipped(), "left", "right"), seams=simulated(seed)) as runtime:
        runtime.process(".left", "stays").wait()
        cancelled = runtime.process_many(".left", ["goes", "goes too"])
        cancelled.cancel()
        with pytest.raises(RunCancelledError):
            cancelled.wait()
        runtime.process(".left", "follows").wait()

        assert runtime.process_many(".right", [1, 2]).values() == [("stays", 1), ("follows", 2)]


@pytest.mark.parametrize("steps", range(1, 12))
@pytest.mark.parametrize(
    "operator",
    [
        lambda: Reduce("op", add, 0),
        lambda: Distinct("op", by="run"),
        lambda: Scan("op", add, 0, by="run"),
        lambda: Zip("op", ["", "other"], by="run"),
        lambda: Latest("op", ["", "other"], by="run"),
    ],
)
def test_a_run_cancelled_in_the_middle_leaves_nothing_in_the_operator(
    operator: Callable[[], Operation], steps: int
) -> None:
    flow = around(operator())
    with FlowRuntime(flow, seams=simulated(steps)) as runtime:
        cancelled_after(runtime, steps, (".in", None), (".in", None))
        (place,) = runtime._owner.engine.routes.all_places()
        assert list(place.state) == []


# --- what they cannot be made of


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Filter("op", None), 'Filter "op": predicate is of type NoneType; give a function'),  # type: ignore[arg-type]
        (lambda: Switch("op", "small"), 'Switch "op": choose is of type str; give a function'),  # type: ignore[arg-type]
        (lambda: Switch("op", size_of, "small"), r'Switch "op": ports is \'small\'. Give the names'),
        (lambda: Switch("op", size_of, []), r'Switch "op": ports is \[\]'),
        (lambda: Switch("op", size_of, ["a/b"]), "cannot name an out-port"),
        (lambda: Distinct("op", 3), 'Distinct "op": key is of type int'),  # type: ignore[arg-type]
        (lambda: Distinct("op", by="list"), 'Distinct "op": by is \'list\'. Choose "all" or "run"'),  # type: ignore[arg-type]
        (lambda: Distinct("op", max_keys=0), 'Distinct "op": max_keys is 0'),
        (lambda: Scan("op", 3, 0), 'Scan "op": f is of type int'),  # type: ignore[arg-type]
        (lambda: Scan("op", add, 0, max_open=0), 'Scan "op": max_open is 0'),
        (lambda: Reduce("op", add, (n for n in [])), r'Reduce "op": initial \(generator\) cannot be copied'),
        (lambda: Zip("op", "ab"), 'Zip "op": ports is of type str'),
        (lambda: Zip("op", ["a"]), r"Zip \"op\": ports is \['a'\]. Give two or more different names"),
        (lambda: Zip("op", ["a", "A"]), "two or more different names"),
        (lambda: Zip("op", ["a", "b"], max_waiting=0), 'Zip "op": max_waiting is 0'),
        (lambda: Latest("op", ["a", 1]), "cannot name"),  # type: ignore[list-item]
    ],
)
def test_an_operator_refuses_what_cannot_be_meant_and_says_what_can(
    make: Callable[[], Operation], text: str
) -> None:
    with pytest.raises(FlowBuildError, match=text):
        make()


def test_a_predicate_that_is_a_coroutine_function_is_refused() -> None:
    async def wanted(data: Any) -> bool:
        return False

    with pytest.raises(FlowBuildError, match="async or generator function"):
        Filter("filter", wanted)


def test_a_stream_from_a_port_that_a_switch_does_not_have_is_refused() -> None:
    flow = around(Switch("switch", size_of, ["small", "big"]))
    wire(flow, "switch.medium -> .medium")

    with pytest.raises(FlowBuildError, match="medium"):
        FlowRuntime(flow).process(".in", 1)


# --- models


keys = st.integers(0, 5)


@given(inputs=st.lists(st.lists(keys, max_size=6), max_size=6), max_keys=st.integers(1, 4))
def test_distinct_does_what_a_plain_model_says(inputs: list[list[int]], max_keys: int) -> None:
    known: list[int] = []
    expected: list[list[int]] = []
    for run in inputs:
        expected.append([])
        for key in run:
            if key in known:
                known.remove(key)
            else:
                expected[-1].append(key)
            known = [*known, key][-max_keys:]
    with FlowRuntime(around(Distinct("op", max_keys=max_keys)), schedule="sync") as runtime:
        assert [runtime.process_many(".in", run).values() for run in inputs] == expected


@given(inputs=st.lists(st.lists(st.integers(), max_size=6), max_size=6), by=st.sampled_from(["all", "run"]))
def test_scan_and_reduce_do_what_a_plain_model_says(inputs: list[list[int]], by: Any) -> None:
    total, scanned, reduced = 0, [], []
    for run in inputs:
        total = 0 if by == "run" else total
        scanned.append([total := total + number for number in run])
        reduced.append([sum(run)] if run else [])
    for operator, expected in ((Scan("op", add, 0, by=by), scanned), (Reduce("op", add, 0), reduced)):
        with FlowRuntime(around(operator), schedule="sync") as runtime:
            assert [runtime.process_many(".in", run).values() for run in inputs] == expected


messages = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers()), max_size=20)


@given(script=messages)
def test_zip_and_latest_do_what_a_plain_model_says(script: list[tuple[str, int]]) -> None:
    queues: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    newest: dict[str, int] = {}
    pairs: list[list[Any]] = []
    combined: list[list[Any]] = []
    for port, number in script:
        queues[port].append(number)
        newest[port] = number
        pairs.append([tuple(queue.pop(0) for queue in queues.values())] if all(queues.values()) else [])
        combined.append([(newest["a"], newest["b"], newest["c"])] if len(newest) == 3 else [])
    inputs = [Message(f".{port}", number) for port, number in script]

    for operator, expected in (
        (Zip("op", ["a", "b", "c"]), pairs),
        (Latest("op", ["a", "b", "c"]), combined),
    ):
        assert results_of_runs(around(operator, "a", "b", "c"), inputs, "sync") == expected


# --- the rule kit


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: Filter("op", inverse_is_big), [1, 5, 0, 2]),
        (lambda: Switch("op", lambda number: size_of(10 // number)), [1, 5, 0, 2]),
        (lambda: Distinct("op", len), ["a", "b", 3, "cc"]),
        (lambda: Distinct("op", by="run"), ["a", "a", [], "cc"]),
        (lambda: Scan("op", add, ""), ["a", "b", 3, "cc"]),
        (lambda: Scan("op", add, "", by="run"), ["a", "b", 3, "cc"]),
        (lambda: Reduce("op", add, ""), ["a", "b", 3, "cc"]),
        (zipped, [left("a"), left("b"), right("c"), left("d"), right("e")]),
        (lambda: zipped(by="run"), [left("a"), left("b"), right("c"), left("d"), right("e")]),
        (latest, [left("a"), left("b"), right("c"), left("d"), right("e")]),
        (lambda: latest(by="run"), [left("a"), left("b"), right("c")]),
    ],
)
def test_an_operator_keeps_the_rules(make: Callable[[], Operation], inputs: list[Any]) -> None:
    check_operation(make, inputs)
