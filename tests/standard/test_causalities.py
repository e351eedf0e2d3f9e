"""Errors inside a causality go to its own port: PushCausality and PopCausality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowOperationContainer,
    Gather,
    Gathered,
    Message,
    OperationError,
    PopCausality,
    PushCausality,
    Scatter,
)
from tests.kit.flows import (
    SECONDS,
    Bench,
    assert_ledger,
    every_mode,
    flow_of,
    increment,
    input_of,
    one_thread,
    refuse,
    same,
    wire,
)

counted_or_not = pytest.mark.parametrize("counted", [True, False], ids=["counted", "drained"])


def refuse_negative(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


def describe(error: OperationError) -> tuple[str, Any]:
    """An exception handler inside the flow: what failed, and at what."""
    return error.operation, input_of(error)


# --- The error's own port


@every_mode
def test_an_error_behind_a_push_arrives_at_its_exception_port(bench: Bench) -> None:
    """B121, B122, B126, B133."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"check": refuse_negative}))
        wire(runtime, ".in -> push -> check -> .out", "push.exception -> .error")

        run = runtime.process(".in", -1, correlation_id="id")
        (message,) = run.results()

    error = message.data
    assert (message.port.name, message.correlation_id, message.priority) == ("error", "id", 99)
    assert isinstance(error, OperationError)
    assert (error.operation, input_of(error)) == ("check", -1)
    assert error.message is not None
    assert error.message.correlation_id == "id"
    assert isinstance(error.__cause__, ValueError)
    assert run.failure is None
    assert_ledger(run, accepted=1, born=1, failed=1, delivered=1)


@every_mode
def test_each_error_has_the_message_that_failed_and_no_other_of_its_group(bench: Bench) -> None:
    """B122, and B130: what a causality has taken is not told to the runtime's handlers."""
    told: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"before": increment, "check": refuse_negative})
        )
        wire(runtime, ".in -> push -> before -> check.it", "push.exception -> .error")
        wire(runtime, "check -> .out")
        runtime.on_exception(told.append)

        messages = list(
            runtime.process_many(".in", [0, -3, 2, -5, -6, 5], correlation_id="id").results(SECONDS)
        )

    errors = [message.data for message in messages if message.port.name == "error"]
    assert sorted(message.data for message in messages if message.port.name == "out") == [1, 3, 6]
    assert sorted(input_of(error) for error in errors) == [-5, -4, -2]
    assert {
        (error.operation, error.message.port.fullname, error.message.correlation_id) for error in errors
    } == {("check", "check.it", "id")}
    assert told == []


@every_mode
def test_what_does_not_fail_passes_a_causality_as_it_is(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), PopCausality("pop"), funcs={"check": refuse_negative})
        )
        wire(runtime, ".in -> push -> check -> pop -> .out", "push.exception -> .error")

        message = runtime.process(".in", 5, correlation_id="id", priority=3).result(timeout=SECONDS)

    assert (message.port.name, message.data) == ("out", 5)
    assert (message.correlation_id, message.priority) == ("id", 3)


@every_mode
@pytest.mark.parametrize("in_port", ["push", "push.in", "push.anything"])
def test_a_push_emits_on_its_default_port_whatever_port_it_was_fed_on(bench: Bench, in_port: str) -> None:
    """B120."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), PopCausality("pop"), funcs={"check": refuse_negative})
        )
        wire(
            runtime,
            f".in -> {in_port}",
            "push -> check",
            f"check -> {in_port.replace('push', 'pop')}",
            "pop -> .out",
        )
        wire(runtime, "push.exception -> describe -> .error")
        runtime.add_operations(FlowOperationContainer().add_func("describe", describe))

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [5]
        assert runtime.process(".in", -5).values(timeout=SECONDS) == [("check", -5)]


@every_mode
def test_a_causality_covers_every_branch_behind_the_push(bench: Bench) -> None:
    """B120."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"), funcs={"a": refuse, "b": increment, "c": refuse, "describe": describe}
            )
        )
        wire(
            runtime,
            ".in -> push -> a -> .out",
            "push -> b -> c -> .out",
            "push.exception -> describe -> .error",
        )

        values = runtime.process(".in", 1).values(timeout=SECONDS)

    assert sorted(values) == [("a", 1), ("c", 2)]


@every_mode
def test_a_push_covers_only_what_comes_behind_it(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"check": refuse_negative}))
        wire(runtime, ".in -> check -> push -> .out", ".beside -> check", "push.exception -> .error")

        with pytest.raises(OperationError):
            runtime.process(".in", -1).wait(timeout=SECONDS)


@every_mode
def test_behind_a_pop_errors_are_unhandled_again(bench: Bench) -> None:
    """B123."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), PopCausality("pop"), funcs={"check": refuse_negative})
        )
        wire(runtime, ".in -> push -> pop -> check -> .out", "push.exception -> .error")

        run = runtime.process(".in", -1)

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "check"
    assert_ledger(run, accepted=1, failed=1)


@every_mode
@pytest.mark.parametrize("kind", ["func", "action", "generator"])
def test_what_was_emitted_before_the_error_goes_on(bench: Bench, kind: str) -> None:
    def act(data: int, on_data: Callable[[int], None]) -> None:
        on_data(data)
        raise ValueError("after one")

    def generate(data: int) -> Iterator[int]:
        yield data
        raise ValueError("after one")

    container = {
        "func": bench.operations(funcs={"work": refuse}),
        "action": bench.operations(actions={"work": act}),
        "generator": bench.operations(generators={"work": generate}),
    }[kind]
    with bench.make_runtime() as runtime:
        runtime.add_operations(container.add_operation(PushCausality("push")))
        wire(runtime, ".in -> push -> work -> .out", "push.exception -> .error")

        messages = list(runtime.process(".in", 1).results())

    ports = sorted(message.port.name for message in messages)
    assert ports == (["error"] if kind == "func" else ["error", "out"])


# --- Nesting


@every_mode
def test_the_innermost_causality_gets_the_error(bench: Bench) -> None:
    """B124."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("outer"), PushCausality("inner"), funcs={"refuse": refuse})
        )
        wire(
            runtime,
            ".in -> outer -> inner -> refuse -> .out",
            "outer.exception -> .outer",
            "inner.exception -> .inner",
        )

        (message,) = runtime.process(".in", 1).results()

    assert message.port.name == "inner"


@every_mode
def test_a_pop_ends_only_the_innermost_causality(bench: Bench) -> None:
    """B124."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("outer"), PushCausality("inner"), PopCausality("pop"), funcs={"refuse": refuse}
            )
        )
        wire(runtime, ".in -> outer -> inner -> pop -> refuse -> .out")
        wire(runtime, "outer.exception -> .outer", "inner.exception -> .inner")

        (message,) = runtime.process(".in", 1).results()

    assert message.port.name == "outer"


@every_mode
def test_a_pop_inside_a_list_leaves_the_outer_causality_of_the_list_open(bench: Bench) -> None:
    """B123, B124."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("outer"),
                PushCausality("inner"),
                Scatter("scatter"),
                PopCausality("pop"),
                funcs={"refuse": refuse},
            )
        )
        wire(runtime, ".in -> outer -> inner -> scatter", "scatter.stream -> pop -> refuse -> .out")
        wire(runtime, "outer.exception -> .outer", "inner.exception -> .inner")

        messages = list(runtime.process(".in", [1, 2]).results())

    assert [(message.port.name, input_of(message.data)) for message in messages] in (
        [("outer", 1), ("outer", 2)],
        [("outer", 2), ("outer", 1)],
    )


@every_mode
def test_an_unconnected_exception_port_leaves_the_error_to_the_next_outer_one(bench: Bench) -> None:
    """B129."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("outer"), PushCausality("inner"), funcs={"refuse": refuse})
        )
        wire(runtime, ".in -> outer -> inner -> refuse -> .out", "outer.exception -> .outer")

        run = runtime.process(".in", 1)
        (message,) = run.results()

    assert (message.port.name, message.data.operation) == ("outer", "refuse")
    assert_ledger(run, accepted=1, born=1, failed=1, delivered=1)


@every_mode
@pytest.mark.parametrize("outer", [True, False])
def test_an_exception_port_that_leads_out_of_a_flow_to_nobody_is_unconnected(
    bench: Bench, outer: bool
) -> None:
    """B129 (BUG): there, the error vanishes."""
    guarded = flow_of("guarded", ".in -> inner -> refuse -> .out", "inner.exception -> .nowhere")
    with bench.make_runtime() as runtime:
        runtime.add_flow(guarded).add_operations(
            bench.operations(PushCausality("outer"), PushCausality("inner"), funcs={"refuse": refuse})
        )
        wire(runtime, ".in -> outer -> guarded.in", "guarded.out -> .out")
        if outer:
            wire(runtime, "outer.exception -> .outer")

        run = runtime.process(".in", 1)
        if outer:
            assert [message.port.name for message in run.results(SECONDS)] == ["outer"]
        else:
            with pytest.raises(OperationError):
                run.wait(SECONDS)


@every_mode
def test_without_any_connected_exception_port_the_run_fails(bench: Bench) -> None:
    """B129."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("outer"), PushCausality("inner"), funcs={"refuse": refuse})
        )
        wire(runtime, ".in -> outer -> inner -> refuse -> .out")

        run = runtime.process(".in", 1)

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "refuse"
    assert_ledger(run, accepted=1, failed=1)


def broken_handler(error: OperationError) -> Any:
    raise LookupError("the handler is broken too")


@every_mode
def test_an_error_of_the_handler_goes_to_the_next_outer_causality(bench: Bench) -> None:
    """B127."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("outer"),
                PushCausality("inner"),
                funcs={"refuse": refuse, "handler": broken_handler},
            )
        )
        wire(runtime, ".in -> outer -> inner -> refuse -> .out", "inner.exception -> handler -> .handled")
        wire(runtime, "outer.exception -> .outer")

        run = runtime.process(".in", 1)
        (message,) = run.results()

    error = message.data
    assert message.port.name == "outer"
    assert error.operation == "handler"
    assert isinstance(error.__cause__, LookupError)
    # The error it failed at is its input: nothing is forgotten.
    assert input_of(error).operation == "refuse"
    assert run.failure is None
    assert_ledger(run, accepted=1, born=2, failed=2, delivered=1)


@every_mode
def test_an_error_of_the_outermost_handler_fails_the_run(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"refuse": refuse, "handler": broken_handler})
        )
        wire(runtime, ".in -> push -> refuse -> .out", "push.exception -> handler -> .handled")

        run = runtime.process(".in", 1)

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "handler"
    assert_ledger(run, accepted=1, born=1, failed=2)


@every_mode
def test_a_causality_comes_before_the_exception_handlers_of_the_runtime(bench: Bench) -> None:
    taken: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"refuse": refuse}))
        wire(runtime, ".in -> push -> refuse -> .out", "push.exception -> .error")
        runtime.on_exception(taken.append)

        (message,) = runtime.process(".in", 1).results()

    assert message.port.name == "error"
    assert taken == []


# --- The context of the push


@every_mode
@pytest.mark.parametrize("instance", ["", "#1"])
def test_the_handler_runs_in_the_flow_of_the_push(bench: Bench, instance: str) -> None:
    """B125, B128."""
    deep = flow_of("deep", ".in -> refuse -> .out")
    middle = flow_of("middle", ".in -> deep.in", "deep.out -> .out", flows=[deep])
    guarded = flow_of(
        "guarded",
        ".in -> push -> middle.in",
        "middle.out -> .out",
        "push.exception -> describe -> .error",
        flows=[middle],
    )
    with bench.make_runtime() as runtime:
        runtime.add_flow(guarded).add_operations(
            bench.operations(PushCausality("push"), funcs={"refuse": refuse, "describe": describe})
        )
        wire(
            runtime,
            f".a -> guarded{instance}.in",
            f"guarded{instance}.error -> .error_a",
            f"guarded{instance}.out -> .out_a",
        )
        wire(runtime, ".b -> guarded#2.in", "guarded#2.error -> .error_b", "guarded#2.out -> .out_b")

        (a,) = runtime.process(".a", 1, correlation_id="a").results()
        (b,) = runtime.process(".b", 2, correlation_id="b").results()

    assert (a.port.name, a.data[1], a.correlation_id) == ("error_a", 1, "a")
    assert (b.port.name, b.data[1], b.correlation_id) == ("error_b", 2, "b")
    assert a.data[0].endswith("deep/refuse")


@every_mode
def test_a_causality_crosses_the_border_of_a_flow_outwards(bench: Bench) -> None:
    """B125."""
    opening = flow_of("opening", ".in -> push -> .out", "push.exception -> .error")
    with bench.make_runtime() as runtime:
        runtime.add_flow(opening).add_operations(
            bench.operations(PushCausality("push"), funcs={"refuse": refuse})
        )
        wire(runtime, ".in -> opening.in", "opening.out -> refuse -> .out", "opening.error -> .error")

        (message,) = runtime.process(".in", 1).results()

    assert (message.port.name, message.data.operation) == ("error", "refuse")


@every_mode
def test_instances_of_a_push_have_ports_of_their_own(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"refuse": refuse}))
        for number in (1, 2):
            wire(
                runtime,
                f".in{number} -> push#{number} -> refuse",
                f"push#{number}.exception -> .error{number}",
            )

        (first,) = runtime.process(".in1", 1).results()
        (second,) = runtime.process(".in2", 1).results()

    assert (first.port.name, second.port.name) == ("error1", "error2")


@every_mode
def test_the_handler_has_the_correlation_id_the_push_received(bench: Bench) -> None:
    """B101, B125."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"pass": same, "refuse": refuse})
        )
        wire(runtime, ".in -> push -> pass -> refuse -> .out", "push.exception -> .error")

        messages = [
            message
            for run in [runtime.process(".in", number, correlation_id=number) for number in range(10)]
            for message in run.results()
        ]

    assert [(message.correlation_id, input_of(message.data)) for message in messages] == [
        (number, number) for number in range(10)
    ]


@every_mode
def test_what_the_handler_leads_to_is_part_of_the_run(bench: Bench) -> None:
    calls: list[Any] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"refuse": refuse}, actions={"log": calls.append})
        )
        wire(runtime, ".in -> push -> refuse -> .out", "push.exception -> log")

        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    assert [input_of(error) for error in calls] == [1]
    assert_ledger(run, accepted=1, born=1, failed=1, absorbed=1)


@every_mode
def test_the_handler_may_send_the_input_round_again(bench: Bench) -> None:
    attempts: list[int] = []

    def fails_twice(number: int) -> int:
        attempts.append(number)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return number

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"work": fails_twice, "again": input_of})
        )
        wire(runtime, ".in -> push -> work -> .out", "push.exception -> again -> push")

        assert runtime.process(".in", 7).values(timeout=SECONDS) == [7]
    assert attempts == [7, 7, 7]


@every_mode
def test_every_failing_message_gets_to_the_exception_port(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"), funcs={"check": refuse_negative, "pass": same, "describe": describe}
            )
        )
        wire(runtime, ".in -> push -> pass -> check -> .out", "push.exception -> describe -> .error")

        run = runtime.process_many(".in", [number if number % 3 else -number - 1 for number in range(60)])
        messages = list(run.results())

    failed = [-number - 1 for number in range(0, 60, 3)]
    assert sorted(message.data[1] for message in messages if message.port.name == "error") == sorted(failed)
    assert sorted(message.data for message in messages if message.port.name == "out") == [
        n for n in range(60) if n % 3
    ]
    assert run.failure is None


# --- Priority


@one_thread
def test_an_error_overtakes_the_messages_that_wait(bench: Bench) -> None:
    """B126."""
    calls: list[tuple[str, Any]] = []

    def work(number: int) -> int:
        calls.append(("work", number))
        return refuse_negative(number)

    def last(number: int) -> int:
        calls.append(("last", number))
        return number

    with bench.make_runtime() as runtime:

        def start(data: Any) -> None:
            for number in (1, -2, 3, 4, 5):
                runtime.process(".work", number)

        runtime.add_operations(
            FlowOperationContainer()
            .add_action("start", start)
            .add_func("work", work)
            .add_func("last", last)
            .add_action("handle", lambda error: calls.append(("handle", input_of(error))))
            .add_operation(PushCausality("push"))
        )
        wire(runtime, ".start -> start", ".work -> push -> work -> last -> .out", "push.exception -> handle")
        # A tap has every message looked at singly.
        runtime.on_message(lambda message: None)

        runtime.process(".start").wait(timeout=SECONDS)
        runtime.wait_idle(timeout=SECONDS)

    assert calls.index(("handle", -2)) == calls.index(("work", -2)) + 1


# --- Pop without push


@every_mode
def test_a_pop_without_a_push_is_an_error_of_the_pop(bench: Bench) -> None:
    """B135."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PopCausality("pop"), funcs={"pass": same}))
        wire(runtime, ".in -> pass -> pop -> .out")

        run = runtime.process(".in", 1)

        with pytest.raises(OperationError, match='"pop"') as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "pop"
    assert_ledger(run, accepted=1, failed=1)


@every_mode
def test_one_pop_too_many_is_not_covered_by_the_causality_it_popped(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), PopCausality("pop")))
        wire(runtime, ".in -> push -> pop#1 -> pop#2 -> .out", "push.exception -> .error")

        run = runtime.process(".in", 1)

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "pop#2"


# --- Scattered lists


@every_mode
@counted_or_not
def test_a_push_in_front_of_a_scatter_takes_the_errors_of_its_items(bench: Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                Scatter("scatter"),
                Gather("gather"),
                funcs={"check": refuse_negative, "describe": describe},
            )
        )
        wire(runtime, ".in -> push -> scatter", "scatter.stream -> check -> gather.stream", "gather -> .out")
        wire(runtime, "push.exception -> describe -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        run = runtime.process(".in", [1, -2, 3, -4])
        messages = list(run.results())

    # Every missing item failed with an error that reached someone: the gather adds none, and gives no list.
    assert sorted((message.port.name, message.data) for message in messages) == [
        ("error", ("check", -4)),
        ("error", ("check", -2)),
    ]
    assert run.failure is None


@every_mode
@counted_or_not
@pytest.mark.parametrize("on_missing", ["skip", "collect"])
def test_a_gather_may_still_give_the_items_whose_siblings_failed_into_a_causality(
    bench: Bench, counted: bool, on_missing: Any
) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                Scatter("scatter"),
                Gather("gather", on_missing=on_missing, ordered=True),
                funcs={"check": refuse_negative},
            )
        )
        wire(runtime, ".in -> push -> scatter", "scatter.stream -> check -> gather.stream", "gather -> .out")
        wire(runtime, "push.exception -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        messages = list(runtime.process(".in", [1, -2, 3]).results())

    by_port = {message.port.name: message.data for message in messages}
    gathered = by_port["out"]
    assert (gathered.items if isinstance(gathered, Gathered) else gathered) == [1, 3]
    assert isinstance(gathered, Gathered) == (on_missing == "collect")
    if on_missing == "collect":
        ((position, _, _),) = gathered.failures
        assert position == 1
    assert input_of(by_port["error"]) == -2
    assert len(messages) == 2


@every_mode
@counted_or_not
def test_a_push_inside_a_bracket_puts_the_replacement_at_the_place_of_the_item(
    bench: Bench, counted: bool
) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                PopCausality("pop"),
                Scatter("scatter"),
                Gather("gather", ordered=True),
                funcs={"check": refuse_negative, "replace": lambda error: input_of(error) * 100},
            )
        )
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> push -> check -> pop -> gather.stream",
            "gather -> .out",
        )
        wire(runtime, "push.exception -> replace -> gather.stream")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        run = runtime.process(".in", [1, -2, 3, -4, 5])

        assert run.values(timeout=SECONDS) == [[1, -200, 3, -400, 5]]
        assert run.failure is None


@every_mode
@counted_or_not
def test_a_gathered_list_is_still_inside_the_causality_its_items_share(bench: Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                Scatter("scatter"),
                Gather("gather"),
                funcs={"pass": same, "refuse": refuse},
            )
        )
        wire(
            runtime,
            ".in -> push -> scatter",
            "scatter.stream -> pass -> gather.stream",
            "gather -> refuse -> .out",
        )
        wire(runtime, "push.exception -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        (message,) = runtime.process(".in", [1, 2]).results()

    assert message.port.name == "error"
    assert sorted(input_of(message.data)) == [1, 2]


@every_mode
@counted_or_not
def test_a_push_around_an_inner_list_puts_the_replacement_at_the_place_of_that_list(
    bench: Bench, counted: bool
) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                PopCausality("pop"),
                Scatter("rows"),
                Scatter("cells"),
                Gather("row", ordered=True),
                Gather("matrix", ordered=True),
                funcs={"check": refuse_negative, "replace": input_of},
            )
        )
        wire(runtime, ".in -> rows", "rows.stream -> push -> cells", "cells.stream -> check -> row.stream")
        wire(
            runtime,
            "row -> pop -> matrix.stream",
            "push.exception -> replace -> matrix.stream",
            "matrix -> .out",
        )
        if counted:
            wire(runtime, "cells.count -> row.count", "rows.count -> matrix.count")

        run = runtime.process(".in", [[1, 2], [3, -4, 5], [6], [-7], []])

        assert run.values(timeout=SECONDS) == [[[1, 2], -4, [6], -7, []]]
        assert run.failure is None


@every_mode
@counted_or_not
def test_a_gathered_list_is_outside_a_causality_that_its_items_have_left(bench: Bench, counted: bool) -> None:
    """B123."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                PopCausality("pop"),
                Scatter("scatter"),
                Gather("gather"),
                funcs={"pass": same, "refuse": refuse},
            )
        )
        wire(runtime, ".in -> push -> scatter", "scatter.stream -> pop -> pass -> gather.stream")
        wire(runtime, "gather -> refuse -> .out", "push.exception -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        run = runtime.process(".in", [1, 2])

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "refuse"


@every_mode
@counted_or_not
def test_a_gathered_list_is_outside_the_causality_of_a_single_item(bench: Bench, counted: bool) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                Scatter("scatter"),
                Gather("gather"),
                funcs={"pass": same, "refuse": refuse},
            )
        )
        # No pop: each item is in a causality of its own when it is gathered.
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> push -> pass -> gather.stream",
            "gather -> refuse -> .out",
        )
        wire(runtime, "push.exception -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        run = runtime.process(".in", [1, 2])

        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
    assert caught.value.operation == "refuse"


@every_mode
@counted_or_not
def test_an_incomplete_list_is_an_error_for_the_causality_around_its_gather(
    bench: Bench, counted: bool
) -> None:
    def drop_even(number: int, odd: Callable[[int], None], even: Callable[[int], None]) -> None:
        (odd if number % 2 else even)(number)

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"), Scatter("scatter"), Gather("gather"), actions={"drop": drop_even}
            )
        )
        wire(
            runtime,
            ".in -> push -> scatter",
            "scatter.stream -> drop",
            "drop.odd -> gather.stream",
            "gather -> .out",
        )
        wire(runtime, "push.exception -> .error")
        if counted:
            wire(runtime, "scatter.count -> gather.count")

        run = runtime.process(".in", [1, 2, 3])
        (message,) = run.results()

    assert (message.port.name, message.priority) == ("error", 99)
    assert "gather" in str(message.data)
    assert run.failure is None


@every_mode
def test_a_raising_list_goes_to_the_causality_of_the_scatter(bench: Bench) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no second")

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), Scatter("scatter"), funcs={"pass": same})
        )
        wire(runtime, ".in -> push -> scatter", "scatter.stream -> pass -> .out", "push.exception -> .error")

        messages = list(runtime.process(".in", broken()).results())

    by_port = {message.port.name: message.data for message in messages}
    assert by_port["out"] == 1
    assert by_port["error"].operation == "scatter"
    assert isinstance(by_port["error"].__cause__, LookupError)


# --- Taps


@every_mode
def test_a_tap_sees_the_error_on_its_way_to_the_handler(bench: Bench) -> None:
    seen: list[Message] = []
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(PushCausality("push"), funcs={"refuse": refuse, "handle": describe})
        )
        wire(runtime, ".in -> push -> refuse -> .out", "push.exception -> handle -> .error")
        runtime.on_message(seen.append)

        runtime.process(".in", 1).wait(timeout=SECONDS)

    assert [(message.port.operation or message.port.name, message.priority) for message in seen] == [
        ("push", 0),
        ("refuse", 0),
        ("handle", 99),
        ("error", 99),
    ]
