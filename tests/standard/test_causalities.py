"""Errors inside a causality go to its own port: PushCausality and PopCausality."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Gathered, Message, OperationError, PushCausality
from tests.kit.flows import (
    Bench,
    assert_ledger,
    counted_or_not,
    every_mode,
    failure_of,
    flow_of,
    guarded_bracket,
    one_thread,
    wire,
)
from tests.kit.functions import SECONDS, Function, increment, input_of, refuse, same


def refuse_negative(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


def describe(error: OperationError) -> tuple[str, Any]:
    """An exception handler inside the flow: what failed, and at what."""
    return error.operation, input_of(error)


def broken_handler(error: OperationError) -> Any:
    raise LookupError("the handler is broken too")


FUNCTIONS: dict[str, Function] = {
    "check": refuse_negative,
    "describe": describe,
    "handler": broken_handler,
    "pass": same,
    "refuse": refuse,
}


def guarded(
    bench: Bench, *chains: str, funcs: Mapping[str, Any] | None = None, **options: Any
) -> FlowRuntime:
    """A runtime of these streams; what FUNCTIONS names needs no other word."""
    used = set(re.findall(r"\w+", " ".join(chains)))
    known = {name: function for name, function in FUNCTIONS.items() if name in used}
    return bench.wired(*chains, funcs=known | dict(funcs or {}), **options)


def guarded_list(
    bench: Bench, start: str, items: str, end: str = ".out", error: str = ".error", **options: Any
) -> FlowRuntime:
    """A runtime of a bracket in a causality."""
    return guarded(bench, *guarded_bracket(start, items, end, error), **options)


# --- The error's own port


@every_mode
def test_an_error_behind_a_push_arrives_at_its_exception_port(bench: Bench) -> None:
    """B121, B122, B126, B133."""
    with guarded(bench, ".in -> push -> check -> .out", "push.exception -> .error") as runtime:
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
    with guarded(
        bench,
        ".in -> push -> before -> check.it",
        "push.exception -> .error",
        "check -> .out",
        funcs={"before": increment},
    ) as runtime:
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
    with guarded(bench, ".in -> push -> check -> pop -> .out", "push.exception -> .error") as runtime:
        message = runtime.process(".in", 5, correlation_id="id", priority=3).result(timeout=SECONDS)

    assert (message.port.name, message.data) == ("out", 5)
    assert (message.correlation_id, message.priority) == ("id", 3)


@every_mode
@pytest.mark.parametrize("in_port", ["push", "push.in", "push.anything"])
def test_a_push_emits_on_its_default_port_whatever_port_it_was_fed_on(bench: Bench, in_port: str) -> None:
    """B120."""
    with guarded(
        bench,
        f".in -> {in_port}",
        "push -> check",
        f"check -> {in_port.replace('push', 'pop')}",
        "pop -> .out",
        "push.exception -> describe -> .error",
    ) as runtime:
        assert runtime.process(".in", 5).values(timeout=SECONDS) == [5]
        assert runtime.process(".in", -5).values(timeout=SECONDS) == [("check", -5)]


@every_mode
def test_a_causality_covers_every_branch_behind_the_push(bench: Bench) -> None:
    """B120."""
    with guarded(
        bench,
        ".in -> push -> a -> .out",
        "push -> b -> c -> .out",
        "push.exception -> describe -> .error",
        funcs={"a": refuse, "b": increment, "c": refuse},
    ) as runtime:
        values = runtime.process(".in", 1).values(timeout=SECONDS)

    assert sorted(values) == [("a", 1), ("c", 2)]


@every_mode
def test_a_push_covers_only_what_comes_behind_it(bench: Bench) -> None:
    with (
        guarded(
            bench, ".in -> check -> push -> .out", ".beside -> check", "push.exception -> .error"
        ) as runtime,
        pytest.raises(OperationError),
    ):
        runtime.process(".in", -1).wait(timeout=SECONDS)


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
@pytest.mark.parametrize(
    ("way", "connected", "port"),
    [
        pytest.param("outer -> inner", ["outer", "inner"], "inner", id="the innermost"),
        pytest.param(
            "outer -> inner -> pop", ["outer", "inner"], "outer", id="a pop ends only the innermost"
        ),
        pytest.param(
            "outer -> inner", ["outer"], "outer", id="an unconnected port leaves it to the next outer one"
        ),
    ],
)
def test_the_innermost_open_causality_with_a_connected_port_gets_the_error(
    bench: Bench, way: str, connected: list[str], port: str
) -> None:
    """B124, B129."""
    ports = [f"{push}.exception -> .{push}" for push in connected]
    with guarded(bench, f".in -> {way} -> refuse -> .out", *ports) as runtime:
        run = runtime.process(".in", 1)
        (message,) = run.results()

    assert (message.port.name, message.data.operation) == (port, "refuse")
    assert_ledger(run, accepted=1, born=1, failed=1, delivered=1)


@every_mode
def test_a_pop_inside_a_list_leaves_the_outer_causality_of_the_list_open(bench: Bench) -> None:
    """B123, B124."""
    with guarded(
        bench,
        ".in -> outer -> inner -> scatter",
        "scatter.stream -> pop -> refuse -> .out",
        "outer.exception -> .outer",
        "inner.exception -> .inner",
    ) as runtime:
        messages = list(runtime.process(".in", [1, 2]).results())

    assert [(message.port.name, input_of(message.data)) for message in messages] in (
        [("outer", 1), ("outer", 2)],
        [("outer", 2), ("outer", 1)],
    )


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
def test_an_error_of_the_handler_goes_to_the_next_outer_causality(bench: Bench) -> None:
    """B127."""
    with guarded(
        bench,
        ".in -> outer -> inner -> refuse -> .out",
        "inner.exception -> handler -> .handled",
        "outer.exception -> .outer",
    ) as runtime:
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
def test_a_causality_comes_before_the_exception_handlers_of_the_runtime(bench: Bench) -> None:
    taken: list[Any] = []
    with guarded(bench, ".in -> push -> refuse -> .out", "push.exception -> .error") as runtime:
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
    with guarded(bench, ".in -> push -> pass -> refuse -> .out", "push.exception -> .error") as runtime:
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
    with guarded(
        bench, ".in -> push -> refuse -> .out", "push.exception -> log", actions={"log": calls.append}
    ) as runtime:
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

    with bench.wired(
        ".in -> push -> work -> .out",
        "push.exception -> again -> push",
        funcs={"work": fails_twice, "again": input_of},
    ) as runtime:
        assert runtime.process(".in", 7).values(timeout=SECONDS) == [7]
    assert attempts == [7, 7, 7]


@every_mode
def test_every_failing_message_gets_to_the_exception_port(bench: Bench) -> None:
    with guarded(
        bench, ".in -> push -> pass -> check -> .out", "push.exception -> describe -> .error"
    ) as runtime:
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


# --- What no causality takes


# Streams, the operation whose error nobody takes, and how many messages fail.
UNTAKEN = {
    "behind a pop": ([".in -> push -> pop -> check -> .out", "push.exception -> .error"], "check", 1),
    "no port is connected": ([".in -> outer -> inner -> refuse -> .out"], "refuse", 1),
    "of the outermost handler": (
        [".in -> push -> refuse", "push.exception -> handler -> .handled"],
        "handler",
        2,
    ),
    "a pop without a push": ([".in -> pass -> pop -> .out"], "pop", 1),
    "one pop too many": ([".in -> push -> pop#1 -> pop#2 -> .out", "push.exception -> .error"], "pop#2", 1),
}


@every_mode
@pytest.mark.parametrize(
    ("chains", "operation", "failed"),
    UNTAKEN.values(),
    ids=UNTAKEN,
)
def test_an_error_that_no_causality_takes_fails_the_run(
    bench: Bench, chains: list[str], operation: str, failed: int
) -> None:
    """B123, B129, B135."""
    with guarded(bench, *chains) as runtime:
        run = runtime.process(".in", -1)

        error = failure_of(run, f'"{operation}"')
    assert error.operation == operation
    assert_ledger(run, accepted=1, born=failed - 1, failed=failed)


# --- Scattered lists


@every_mode
@counted_or_not
def test_a_push_in_front_of_a_scatter_takes_the_errors_of_its_items(bench: Bench, counted: bool) -> None:
    with guarded_list(
        bench, "push -> scatter", "check", error="describe -> .error", counted=counted
    ) as runtime:
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
    with guarded_list(
        bench, "push -> scatter", "check", counted=counted, gather={"on_missing": on_missing, "ordered": True}
    ) as runtime:
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
    with guarded_list(
        bench,
        "scatter",
        "push -> check -> pop",
        error="replace -> gather.stream",
        counted=counted,
        gather={"ordered": True},
        funcs={"replace": lambda error: input_of(error) * 100},
    ) as runtime:
        run = runtime.process(".in", [1, -2, 3, -4, 5])

        assert run.values(timeout=SECONDS) == [[1, -200, 3, -400, 5]]
        assert run.failure is None


@every_mode
@counted_or_not
def test_a_gathered_list_is_still_inside_the_causality_its_items_share(bench: Bench, counted: bool) -> None:
    with guarded_list(bench, "push -> scatter", "pass", "refuse -> .out", counted=counted) as runtime:
        (message,) = runtime.process(".in", [1, 2]).results()

    assert message.port.name == "error"
    assert sorted(input_of(message.data)) == [1, 2]


@every_mode
@counted_or_not
def test_a_push_around_an_inner_list_puts_the_replacement_at_the_place_of_that_list(
    bench: Bench, counted: bool
) -> None:
    with guarded(
        bench,
        ".in -> rows",
        "rows.stream -> push -> cells",
        "cells.stream -> check -> row.stream",
        "row -> pop -> matrix.stream",
        "push.exception -> replace -> matrix.stream",
        "matrix -> .out",
        counted=counted,
        gather={"ordered": True},
        funcs={"replace": input_of},
    ) as runtime:
        run = runtime.process(".in", [[1, 2], [3, -4, 5], [6], [-7], []])

        assert run.values(timeout=SECONDS) == [[[1, 2], -4, [6], -7, []]]
        assert run.failure is None


@every_mode
@counted_or_not
@pytest.mark.parametrize(
    ("start", "items"),
    [
        pytest.param("push -> scatter", "pop -> pass", id="its items have left it"),
        # No pop: each item is in a causality of its own when it is gathered.
        pytest.param("scatter", "push -> pass", id="each item is in one of its own"),
    ],
)
def test_a_gathered_list_is_only_in_causalities_that_its_items_share(
    bench: Bench, counted: bool, start: str, items: str
) -> None:
    """B123."""
    with guarded_list(bench, start, items, "refuse -> .out", counted=counted) as runtime:
        run = runtime.process(".in", [1, 2])

        error = failure_of(run)
    assert error.operation == "refuse"


@every_mode
@counted_or_not
def test_an_incomplete_list_is_an_error_for_the_causality_around_its_gather(
    bench: Bench, counted: bool
) -> None:
    def drop_even(number: int, odd: Callable[[int], None], even: Callable[[int], None]) -> None:
        (odd if number % 2 else even)(number)

    with bench.wired(
        ".in -> push -> scatter",
        "scatter.stream -> drop",
        "drop.odd -> gather.stream",
        "gather -> .out",
        "push.exception -> .error",
        counted=counted,
        actions={"drop": drop_even},
    ) as runtime:
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

    with guarded(
        bench, ".in -> push -> scatter", "scatter.stream -> pass -> .out", "push.exception -> .error"
    ) as runtime:
        messages = list(runtime.process(".in", broken()).results())

    by_port = {message.port.name: message.data for message in messages}
    assert by_port["out"] == 1
    assert by_port["error"].operation == "scatter"
    assert isinstance(by_port["error"].__cause__, LookupError)


# --- Taps


@every_mode
def test_a_tap_sees_the_error_on_its_way_to_the_handler(bench: Bench) -> None:
    seen: list[Message] = []
    with guarded(
        bench,
        ".in -> push -> refuse -> .out",
        "push.exception -> handle -> .error",
        funcs={"handle": describe},
    ) as runtime:
        runtime.on_message(seen.append)

        runtime.process(".in", 1).wait(timeout=SECONDS)

    assert [(message.port.operation or message.port.name, message.priority) for message in seen] == [
        ("push", 0),
        ("refuse", 0),
        ("handle", 99),
        ("error", 99),
    ]
