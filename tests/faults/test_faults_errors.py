"""What operations and handlers do wrong, and where each error arrives: F1-F5 of the table of faults.

Where the design decides otherwise than the table does, the design is tested, and a line says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowStoppedError,
    Gather,
    Gathered,
    GatherIncompleteError,
    OperationError,
    Scatter,
)
from flowrt.standard import PopCausality, PushCausality
from tests.kit.flows import (
    FEW,
    SECONDS,
    Bench,
    Gate,
    arrived,
    assert_ledger,
    benches,
    every_mode,
    increment,
    input_of,
    real_queues,
    results_of,
    text_of,
    wire,
)

few_modes = benches(lambda bench: str(bench) in FEW)


class Mishap(Exception): ...


class Catastrophe(BaseException): ...


def notes_of(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def odd_fails(number: int) -> int:
    if number % 2:
        raise Mishap(f"secret {number}")
    return number


# --- F1: an operation raises


@every_mode
def test_f01_an_operation_that_raises_fails_its_run_and_names_itself(bench: Bench) -> None:
    """The causality, `on_exception` and the run each get the errors that are theirs, and nothing else stops."""
    heard: list[BaseException] = []
    runtime = bench.make_runtime(name="f1")
    runtime.add_operations(
        bench.operations(
            PushCausality("push"), funcs={"covered": odd_fails, "bare": odd_fails, "handle": input_of}
        )
    )
    wire(
        runtime,
        ".covered -> push -> covered -> .out",
        "push.exception -> handle -> .out",
        ".bare -> bare -> .out",
    )

    covered = runtime.process_many(".covered", [2, 1, 4])
    assert sorted(covered.values(SECONDS)) == [1, 2, 4]
    assert (covered.failure, covered.ledger.failed) == (None, 1)

    bare = runtime.process_many(".bare", [3, 6, 5])
    with pytest.raises(OperationError) as caught:
        bare.wait(SECONDS)
    assert text_of(caught.value) == 'operation "bare" (declared at HERE) raised Mishap'
    assert isinstance(caught.value.__cause__, Mishap)
    assert (caught.value.operation, input_of(caught.value) in {3, 5}) == ("bare", True)
    assert notes_of(caught.value)[0].startswith(".bare → bare")
    assert notes_of(caught.value)[1] == "1 more of the run's messages failed: see run.failures"
    assert sorted(input_of(error) for error in bare.failures) == [3, 5]
    assert [message.data for message in results_of(bare)] == [6]
    assert_ledger(bare, accepted=3, delivered=1, failed=2)

    runtime.on_exception(heard.append)
    third = runtime.process(".bare", 7)
    third.wait(SECONDS)  # the handlers took it: the run does not fail
    assert [input_of(error) for error in heard] == [7]
    assert runtime.close().clean


@few_modes
def test_f01_the_error_shows_no_payload_but_in_its_cause(bench: Bench) -> None:
    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(funcs={"work": odd_fails}))
    wire(runtime, ".in -> work -> .out")
    with runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

    assert "secret" not in "".join([str(caught.value), *notes_of(caught.value), str(run.ledger), repr(run)])
    assert "secret" in str(caught.value.__cause__)


# --- F2: an operation raises what is no Exception


@pytest.mark.parametrize("kind", [GeneratorExit, Catastrophe, StopIteration, StopAsyncIteration, MemoryError])
@every_mode
def test_f02_what_does_not_end_programs_counts_as_any_other_error(
    bench: Bench, kind: type[BaseException]
) -> None:
    def strike(number: int) -> int:
        if number == 1:
            raise kind("struck")
        return number

    def generate(number: int) -> Iterator[int]:
        yield number
        if number == 1:
            raise kind("struck")

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"work": strike}, generators={"generate": generate}))
        wire(runtime, ".in -> work -> .out", ".many -> generate -> .out")
        for port, delivered in ((".in", 2), (".many", 3)):
            run = runtime.process_many(port, [0, 1, 2])
            with pytest.raises(OperationError) as caught:
                run.wait(SECONDS)
            cause: BaseException | None = caught.value.__cause__
            if isinstance(cause, RuntimeError):  # what Python makes of a StopIteration inside a generator
                cause = cause.__cause__
            assert isinstance(cause, kind)
            assert (run.ledger.delivered, run.ledger.failed) == (delivered, 1)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@real_queues
def test_f02_what_ends_programs_stops_the_runtime_and_is_raised_in_a_caller(
    capfd: pytest.CaptureFixture[str], bench: Bench, kind: type[BaseException]
) -> None:
    """Never in silence, and never on the standard error of a thread: whoever waits gets it, or learns that the runtime was stopped."""
    gate = Gate()
    told: list[BaseException] = []

    def leave(data: Any) -> None:
        gate(data)
        raise kind(3)

    runtime = bench.make_runtime(name="f2", capacity=1)
    runtime.add_operations(bench.operations(funcs={"leave": leave}))
    wire(runtime, ".in -> leave -> .out")
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    waits: list[Callable[[], Any]] = [
        run.wait,
        run.result,
        runtime.wait_for_result,
        runtime.wait_idle,
        lambda: runtime.process(".in", 2),  # waits for room
    ]

    def wait(what: Callable[[], Any]) -> None:
        try:
            what()
        except BaseException as error:
            told.append(error)

    threads = [threading.Thread(target=wait, args=(each,)) for each in waits]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join(SECONDS)

    assert not any(thread.is_alive() for thread in threads)
    assert all(isinstance(error, kind | FlowStoppedError) for error in told)
    assert any(isinstance(error, kind) for error in told)
    assert run.done
    assert runtime.close().abandoned == ()
    assert capfd.readouterr().err == ""


# --- F3: a handler of errors raises


@every_mode
def test_f03_an_error_of_a_handler_goes_one_causality_out_and_keeps_what_it_was_about(bench: Bench) -> None:
    """The table chains both exceptions; by the design the handler's error carries its input, which is the first error."""
    runtime = bench.make_runtime()
    pushes = [PushCausality(f"push{depth}") for depth in range(3)]

    def handle(error: OperationError) -> None:
        raise Mishap("the handler")

    handlers = {f"handler{depth}": handle for depth in range(3)}
    runtime.add_operations(bench.operations(*pushes, funcs={"work": odd_fails, **handlers}))
    wire(runtime, ".in -> push0 -> push1 -> push2 -> work -> .out")
    wire(runtime, *(f"push{depth}.exception -> handler{depth} -> .out" for depth in range(3)))

    run = runtime.process(".in", 1)
    with pytest.raises(OperationError) as caught:
        run.wait(SECONDS)

    path = []
    error: Any = caught.value
    while isinstance(error, OperationError):
        path.append(error.operation)
        assert isinstance(error.__cause__, Mishap)
        error = input_of(error)
    assert path == ["handler0", "handler1", "handler2", "work"]  # one hop each: no loop
    assert error == 1
    assert len(run.failures) == 1
    assert_ledger(run, accepted=1, born=3, failed=4)
    assert runtime.close().clean


# --- F4: several operations fail while it stops


@real_queues
def test_f04_what_fails_while_it_closes_is_raised_together_in_order(bench: Bench) -> None:
    gate = Gate()

    def fail(data: Any) -> None:
        gate(data)
        raise Mishap(data)

    runtime = bench.make_runtime(name="f4")
    runtime.add_operations(bench.operations(funcs={"fail": fail}))
    wire(runtime, ".in -> fail -> .out")
    raised: list[BaseException] = []
    leaving = threading.Event()

    def leave() -> None:
        try:
            with runtime:
                for number in range(3):
                    runtime.process(".in", number)
                arrived(gate.entered)
                leaving.set()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    arrived(leaving)
    gate.open()
    thread.join(SECONDS)

    (group,) = raised
    assert isinstance(group, ExceptionGroup)
    assert group.message == 'runtime "f4" had 3 errors nobody saw'
    assert bench.arranged(input_of(error) for error in group.exceptions) == [0, 1, 2]
    assert all(isinstance(error.__cause__, Mishap) for error in group.exceptions)
    assert runtime.close().clean


# --- F5: a generator raises in its midst


def three_then(_: Any) -> Iterator[int]:
    yield from range(3)
    raise Mishap


@every_mode
def test_f05_what_a_generator_yielded_before_it_raised_is_delivered(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(generators={"generate": three_then}))
        wire(runtime, ".in -> generate -> .out")
        run = runtime.process(".in", None)
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

        assert (
            text_of(caught.value)
            == 'operation "generate" (declared at HERE) raised Mishap after it had emitted 3 messages'
        )
        assert sorted(message.data for message in results_of(run)) == [0, 1, 2]
        assert_ledger(run, accepted=1, born=3, delivered=3, failed=1)


@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@every_mode
def test_f05_a_gather_does_not_wait_for_what_a_list_did_not_bring(bench: Bench, on_missing: Any) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                Scatter("scatter"),
                Gather("gather", ordered=True, on_missing=on_missing),
                funcs={"work": increment},
            )
        )
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> work -> gather.stream",
            "scatter.count -> gather.count",
        )
        wire(runtime, "gather -> .out")
        run = runtime.process(".in", three_then(None))
        results = [message.data for message in results_of(run)]

        assert run.done
        assert run.ledger.balanced
        if on_missing == "fail":
            assert results == []
            assert len(run.failures) == 1  # the scatter's; no second error for the list
        elif on_missing == "skip":
            assert results == [[1, 2, 3]]
        else:
            (gathered,) = results
            assert isinstance(gathered, Gathered)
            assert (gathered.items, len(gathered.failures)) == ([1, 2, 3], 1)
        again = runtime.process(".in", [1])
        assert again.done or again.result(SECONDS) is not None  # the next list is gathered as ever
        again.wait(SECONDS)


@few_modes
def test_f05_a_list_without_an_item_that_failed_is_one_error(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(Scatter("scatter"), Gather("gather"), funcs={"work": odd_fails})
        )
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> work -> gather.stream",
            "scatter.count -> gather.count",
        )
        wire(runtime, "gather -> .out")
        run = runtime.process(".in", [0, 1, 2, 3])
        with pytest.raises(OperationError):
            run.wait(SECONDS)

    assert [type(error) for error in run.failures] == [OperationError, OperationError]
    assert not any(isinstance(error, GatherIncompleteError) for error in run.failures)


# --- and all at once


@few_modes
def test_f01_to_f05_at_once_leave_books_that_balance(bench: Bench) -> None:
    """A generator that breaks off, items that fail inside a causality whose handler fails, a list that stays incomplete."""

    def generate(upto: int) -> Iterator[list[int]]:
        for number in range(upto):
            yield [number, number + 1]
        raise Mishap

    def handle(error: OperationError) -> int:
        if input_of(error) == 3:
            raise Mishap
        return -1

    with bench.make_runtime(name="all") as runtime:
        runtime.add_operations(
            bench.operations(
                PushCausality("push"),
                PopCausality("pop"),
                Scatter("scatter"),
                Gather("gather", ordered=True, on_missing="skip"),
                funcs={"work": odd_fails, "handle": handle},
                generators={"generate": generate},
            )
        )
        wire(
            runtime,
            ".in -> generate -> scatter",
            "scatter.stream -> push -> work -> pop -> gather.stream",
            "push.exception -> handle -> gather.stream",
            "scatter.count -> gather.count",
            "gather -> .out",
        )
        run = runtime.process(".in", 4)
        results = [message.data for message in results_of(run)]

        assert len(results) == 4  # a list for each that was scattered
        assert sorted(map(sorted, results)) == [[-1, 0], [-1, 2], [2], [4]]
        assert len(run.failures) == 1  # the generator's
        assert "after it had emitted 4 messages" in str(run.failures[0])
        assert (run.ledger.live, run.ledger.held, run.ledger.balanced) == (0, 0, True)
        assert run.ledger.failed == 1 + 4 + 2
