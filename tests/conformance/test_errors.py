"""Errors of operations and handlers: to whom they are told, and what goes on, in all modes and schedules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Emit, FlowOperationContainer, Message, Operation, Run
from flowrt.errors import FlowBuildError, FlowStoppedError, GatherIncompleteError, OperationError
from flowrt.operations.contract import Emitter
from flowrt.standard import Gather, Gathered, PopCausality, PushCausality, Scatter
from tests.kit.flows import (
    Bench,
    assert_ledger,
    every_mode,
    every_schedule,
    few_modes,
    flow_of,
    gathering,
    guarded_bracket,
    one_thread,
    real_queues,
    results_of,
    text_of,
    wire,
)
from tests.kit.functions import SECONDS, Gate, arrived, increment, input_of, refuse, same

# --- Failures


@every_mode
def test_stop_iteration_from_a_function_fails_only_its_item(bench: Bench) -> None:
    def pick(number: int) -> int:
        if number == 3:
            raise StopIteration
        return number

    with bench.wired(".in -> pick -> pass -> .out", funcs={"pick": pick, "pass": same}) as runtime:
        run = runtime.process_many(".in", range(8))
        values = [message.data for message in results_of(run)]

    assert sorted(values) == [0, 1, 2, 4, 5, 6, 7]
    assert [type(error.__cause__) for error in run.failures] == [StopIteration]
    assert input_of(run.failures[0]) == 3
    assert_ledger(run, accepted=8, delivered=7, failed=1)


@every_mode
def test_a_failed_item_leaves_the_order_of_the_others_alone(bench: Bench) -> None:
    def odd_only(number: int) -> int:
        if number % 2 == 0:
            raise ValueError("even")
        return number

    with bench.wired(".in -> odd -> pass -> .out", funcs={"odd": odd_only, "pass": same}) as runtime:
        run = runtime.process_many(".in", range(100))
        values = [message.data for message in results_of(run)]

    assert bench.arranged(values) == bench.arranged(range(1, 100, 2))
    assert sorted(input_of(error) for error in run.failures) == list(range(0, 100, 2))


@every_mode
def test_an_operation_error_says_where_and_keeps_the_original(bench: Bench) -> None:
    """B133."""
    with bench.wired(".in -> pass -> refuse -> .out", funcs={"pass": same, "Refuse": refuse}) as runtime:
        run = runtime.process(".in", 5, correlation_id="an id", priority=3)
        with pytest.raises(OperationError, match="Refuse") as caught:
            run.result(timeout=SECONDS)

    error = caught.value
    assert error.operation.casefold() == "refuse"
    assert error.message is not None
    assert (error.message.data, error.message.correlation_id, error.message.priority) == (5, "an id", 3)
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.args == ("refused",)
    assert any(".in -> pass -> " in note.casefold() for note in error.__notes__)


@every_mode
def test_the_failure_of_one_run_does_not_stop_another(bench: Bench) -> None:
    def check(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number

    with bench.wired(".in -> check -> pass -> .out", funcs={"check": check, "pass": same}) as runtime:
        runs = [runtime.process(".in", number) for number in (1, -1, 2, -2, 3)]
        outcomes = [outcome_of(run) for run in runs]

    assert outcomes == [[1], ValueError, [2], ValueError, [3]]


def outcome_of(run: Run) -> Any:
    try:
        return run.values(timeout=SECONDS)
    except OperationError as error:
        return type(error.__cause__)


@every_mode
def test_what_an_action_emitted_before_it_raised_goes_on(bench: Bench) -> None:
    def two_then_raise(data: int, on_data: Callable[[int], None]) -> None:
        on_data(data)
        on_data(data + 1)
        raise ValueError("no third")

    with bench.wired(
        ".in -> two -> pass -> .out", actions={"two": two_then_raise}, funcs={"pass": same}
    ) as runtime:
        run = runtime.process(".in", 5)
        values = [message.data for message in results_of(run)]

    assert bench.arranged(values) == [5, 6]
    assert_ledger(run, accepted=1, born=2, delivered=2, failed=1)


@every_mode
def test_wait_for_result_gives_results_and_raises_failures(bench: Bench) -> None:
    """B192."""
    with bench.wired(".in -> .out", ".bad -> refuse", funcs={"refuse": refuse}) as runtime:
        for port in (".in", ".bad", ".in"):
            runtime.process(port, port)
            runtime.wait_idle(timeout=SECONDS)

        assert runtime.wait_for_result(timeout=SECONDS).data == ".in"
        with pytest.raises(OperationError):
            runtime.wait_for_result(timeout=SECONDS)
        assert runtime.wait_for_result(timeout=SECONDS).data == ".in"


@every_mode
def test_a_failure_nobody_read_is_raised_when_the_runtime_closes(bench: Bench) -> None:
    """B132."""
    runtime = bench.wired(".in -> refuse -> .out", funcs={"refuse": refuse})

    with pytest.raises(OperationError) as caught, runtime:
        runtime.process(".in", 1)

    assert isinstance(caught.value.__cause__, ValueError)


@every_mode
def test_several_failures_nobody_read_are_raised_as_a_group(bench: Bench) -> None:
    runtime = bench.wired(".in -> refuse -> .out", funcs={"refuse": refuse})

    with pytest.raises(ExceptionGroup) as caught, runtime:
        runtime.process(".in", 1)
        runtime.process(".in", 2)

    assert sorted(input_of(error) for error in caught.value.exceptions) == [1, 2]


@every_mode
def test_a_failure_somebody_saw_is_not_raised_again_at_the_close(bench: Bench) -> None:
    with (
        bench.wired(".in -> refuse -> .out", funcs={"refuse": refuse}) as runtime,
        pytest.raises(OperationError),
    ):
        runtime.process(".in", 1).wait(timeout=SECONDS)


@every_mode
def test_an_exception_handler_takes_the_failures_so_that_the_run_does_not_fail(bench: Bench) -> None:
    """B130, B136."""
    taken: list[OperationError] = []
    with bench.wired(".in -> refuse -> .out", ".in -> .through", funcs={"refuse": refuse}) as runtime:
        runtime.on_exception(taken.append)

        run = runtime.process(".in", 1)
        values = run.values(timeout=SECONDS)

    assert values == [1]
    assert (run.failure, list(run.failures)) == (None, [])
    assert [(error.operation, input_of(error)) for error in taken] == [("refuse", 1)]
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


@every_mode
def test_a_removed_exception_handler_takes_no_more(bench: Bench) -> None:
    taken: list[OperationError] = []
    with bench.wired(".in -> refuse -> .out", funcs={"refuse": refuse}) as runtime:
        remove = runtime.on_exception(taken.append)
        runtime.process(".in", 1).wait(timeout=SECONDS)

        remove()

        with pytest.raises(OperationError):
            runtime.process(".in", 2).wait(timeout=SECONDS)
    assert [input_of(error) for error in taken] == [1]


class Mishap(Exception): ...


@every_mode
def test_f16_an_operation_that_fails_each_time_never_holds_upstream_back(bench: Bench) -> None:
    def fail(_: Any) -> None:
        raise Mishap

    heard: list[BaseException] = []
    with bench.make_runtime(capacity=2) as runtime:
        runtime.on_exception(heard.append)
        runtime.add_operations(bench.operations(funcs={"fail": fail}))
        wire(runtime, ".in -> fail -> .out")
        run = runtime.process_many(".in", range(100), timeout=SECONDS)
        run.wait(SECONDS)

        assert_ledger(run, accepted=100, failed=100)
        assert len(heard) == 100


# --- Causalities, handlers, and nobody


def check(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


@every_mode
def test_behind_a_handled_error_the_next_messages_go_on(bench: Bench) -> None:
    """B131, B136."""
    taken: list[OperationError] = []
    with bench.wired(
        ".in -> check -> increment -> .out", funcs={"check": check, "increment": increment}
    ) as runtime:
        runtime.on_exception(taken.append)

        many = runtime.process_many(".in", [1, -2, 3, -4, 5])
        one = runtime.process(".in", 6)

        assert sorted(many.values(timeout=SECONDS)) == [2, 4, 6]
        assert one.values(timeout=SECONDS) == [7]
    assert sorted((error.operation, input_of(error)) for error in taken) == [("check", -4), ("check", -2)]
    assert_ledger(many, accepted=5, delivered=3, failed=2)


@every_mode
def test_with_nobody_listening_the_run_fails_and_the_runtime_goes_on(bench: Bench) -> None:
    """B132."""
    with bench.wired(".in -> check -> .out", funcs={"check": check}) as runtime:
        failed = runtime.process(".in", -1)  # raises nothing itself

        with pytest.raises(OperationError) as caught:
            failed.result(timeout=SECONDS)
        assert isinstance(caught.value.__cause__, ValueError)
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [1]


@every_mode
@pytest.mark.parametrize("where", ["at once", "in a flow"])
def test_an_error_never_runs_back_through_who_emitted(bench: Bench, where: str) -> None:
    """B134."""
    caught: list[BaseException] = []

    def upstream(number: int, emit: Callable[[int], None]) -> None:
        try:
            emit(number)
        except BaseException as error:
            caught.append(error)
            raise

    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(actions={"upstream": upstream}, funcs={"refuse": refuse}))
        if where == "at once":
            wire(runtime, ".in -> upstream -> refuse -> .out")
        else:
            runtime.add_flow(flow_of("inner", ".in -> refuse -> .out"))
            wire(runtime, ".in -> upstream -> inner.in", "inner.out -> .out")

        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as raised:
            run.wait(SECONDS)

    assert caught == []
    assert raised.value.operation.endswith("refuse")
    assert run.failures == [raised.value]


@one_thread
def test_a_handler_may_send_input_that_overtakes_what_waits(bench: Bench) -> None:
    """B138."""
    calls: list[Any] = []

    def work(number: int) -> None:
        calls.append(number)
        check(number)

    with bench.make_runtime() as runtime:

        def start() -> None:
            for number in (1, -2, 3, 4):
                runtime.process(".work", number)

        runtime.add_operations(
            FlowOperationContainer()
            .add_action("start", start)
            .add_action("work", work)
            .add_action("stop", lambda: calls.append("stop"))
        )
        wire(runtime, ".start -> start", ".work -> work", ".stop -> stop")

        def stop(_error: OperationError) -> None:
            runtime.process(".stop", priority=100)

        runtime.on_exception(stop)
        runtime.on_message(lambda message: None)  # with a tap, messages are looked at singly

        runtime.process(".start").wait(SECONDS)
        runtime.wait_idle(SECONDS)

    assert calls == [1, -2, "stop", 3, 4]


class Misnaming(Operation):
    """Emits on a port that cannot be."""

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit(message.data, "no/such.port")


@every_schedule
def test_a_wiring_fault_noticed_late_goes_to_the_causality(bench: Bench) -> None:
    """B139."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(PushCausality("push"))
            .add_operation(Misnaming("misnaming"))
        )
        wire(runtime, ".in -> push -> misnaming -> .out", "push.exception -> .error")

        run = runtime.process(".in", 1)
        (message,) = run.results()

    assert message.port.name == "error"
    assert message.data.operation == "misnaming"  # itself, and nobody upstream
    assert isinstance(message.data.__cause__, FlowBuildError)
    assert run.failure is None


@every_schedule
def test_a_recursion_without_an_end_goes_to_the_causality_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B139: its ways are only looked for when a message comes by."""
    monkeypatch.setattr("flowrt.flow.sites.NESTING_LIMIT", 8)
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"pass": same}))
        runtime.add_flow(flow_of("loop", ".in -> pass -> loop.in"))
        wire(runtime, ".in -> push -> loop.in", "push.exception -> .error")

        run = runtime.process(".in", 1)
        (message,) = run.results(SECONDS)

    assert message.port.name == "error"
    assert "nested 8 deep" in str(message.data)
    assert run.failure is None


@every_schedule
def test_what_strict_does_not_let_pass_goes_to_the_causality_too(bench: Bench) -> None:
    """B139: on which ports a generator emits is only known when it does."""
    generators = {"emits": lambda data: [data, Emit("nowhere", data)]}
    with bench.wired(
        ".in -> push -> emits -> .out",
        "push.exception -> .error",
        others=[PushCausality("push")],
        generators=generators,
        strict=True,
    ) as runtime:
        run = runtime.process(".in", 1)
        found = {message.port.name: message.data for message in run.results(SECONDS)}

    assert found["out"] == 1
    assert "emits.nowhere" in str(found["error"])
    assert run.failure is None


@every_schedule
def test_an_unknown_in_port_is_told_before_anything_runs(bench: Bench) -> None:
    """B139."""
    calls: list[Any] = []

    class Taking(Operation):
        in_ports = ("known",)

        def handle(self, state: Any, message: Message, emit: Emitter) -> None: ...

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("first", calls.append).add_operation(Taking("taking"))
        )
        wire(runtime, ".in -> first -> taking.knwon")

        with pytest.raises(FlowBuildError, match="knwon"):
            runtime.process(".in", 1)
    assert calls == []


def fail_at_once(data: Any) -> Iterator[Any]:
    raise ValueError("refused")


def fail_midway(data: Any) -> Iterator[Any]:
    yield data
    raise ValueError("refused")


def fail_having_emitted(data: Any, emit: Callable[[Any], None]) -> None:
    emit(data)
    raise ValueError("refused")


FAILING: list[tuple[str, Callable[..., Any], int]] = [
    ("funcs", refuse, 0),
    ("actions", fail_having_emitted, 1),
    ("generators", fail_at_once, 0),
    ("generators", fail_midway, 1),
]


@every_mode
@pytest.mark.parametrize(("kind", "failing", "emitted"), FAILING, ids=["func", "action", "call", "midway"])
@pytest.mark.parametrize("listener", ["causality", "handler", "nobody"])
def test_errors_of_every_kind_of_operation_are_told(
    bench: Bench, kind: str, failing: Callable[..., Any], emitted: int, listener: str
) -> None:
    """B121, B125, B130, B132, B136: once for each message; what it had emitted before goes on."""
    told: list[Any] = []
    operations: dict[str, Any] = {kind: {"fails": failing}}
    with bench.wired(".in -> push -> fails -> .out", others=[PushCausality("push")], **operations) as runtime:
        if listener == "causality":
            wire(runtime, "push.exception -> .error")
        elif listener == "handler":
            runtime.on_exception(told.append)
        run = runtime.process_many(".in", range(3))
        found = results_of(run)
        told += [message.data for message in found if message.port.name == "error"]
        if listener == "nobody":
            told += run.failures

    assert [message.port.name for message in found].count("out") == 3 * emitted
    assert sorted(input_of(error) for error in told) == [0, 1, 2]
    assert {type(error.__cause__) for error in told} == {ValueError}
    assert (run.failure is None) is (listener != "nobody")


@every_mode
def test_a_causality_crosses_lists_and_generators(bench: Bench) -> None:
    """B120, B125."""
    with bench.wired(
        *guarded_bracket("push -> scatter", "check", "each -> refuse -> .never"),
        others=[PushCausality("push"), Scatter("scatter"), Gather("gather", on_missing="skip")],
        funcs={"check": check, "refuse": refuse},
        generators={"each": iter},
    ) as runtime:
        messages = list(runtime.process(".in", [1, -2, 3]).results(SECONDS))

    assert {message.port.name for message in messages} == {"error"}
    assert sorted((error.data.operation, input_of(error.data)) for error in messages) == [
        ("check", -2),
        ("refuse", 1),
        ("refuse", 3),
    ]


# --- F1: an operation raises


class Catastrophe(BaseException): ...


def notes_of(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def odd_fails(number: int) -> int:
    if number % 2:
        raise Mishap(f"secret {number}")
    return number


@every_mode
def test_f01_an_operation_that_raises_fails_its_run_and_names_itself(bench: Bench) -> None:
    """The causality, `on_exception` and the run each get the errors that are theirs, and nothing else stops."""
    heard: list[BaseException] = []
    runtime = bench.wired(
        ".covered -> push -> covered -> .out",
        "push.exception -> handle -> .out",
        ".bare -> bare -> .out",
        others=[PushCausality("push")],
        funcs={"covered": odd_fails, "bare": odd_fails, "handle": input_of},
        name="f1",
    )

    covered = runtime.process_many(".covered", [2, 1, 4])
    assert sorted(covered.values(SECONDS)) == [1, 2, 4]
    assert (covered.failure, covered.ledger.failed) == (None, 1)

    bare = runtime.process_many(".bare", [3, 6, 5])
    with pytest.raises(OperationError) as caught:
        bare.wait(SECONDS)
    assert text_of(caught.value) == (
        f'operation "bare" (declared at HERE) raised Mishap: {caught.value.__cause__}'
    )
    assert isinstance(caught.value.__cause__, Mishap)
    assert (caught.value.operation, input_of(caught.value) in {3, 5}) == ("bare", True)
    assert notes_of(caught.value)[0].startswith(".bare -> bare")
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
    runtime = bench.wired(".in -> work -> .out", funcs={"work": odd_fails})
    with runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

    assert "secret" not in "".join([*caught.value.args, *notes_of(caught.value), str(run.ledger), repr(run)])
    assert str(caught.value).endswith(str(caught.value.__cause__))
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

    with bench.wired(
        ".in -> work -> .out",
        ".many -> generate -> .out",
        funcs={"work": strike},
        generators={"generate": generate},
    ) as runtime:
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

    runtime = bench.wired(".in -> leave -> .out", funcs={"leave": leave}, name="f2", capacity=1)
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

    runtime = bench.wired(".in -> fail -> .out", funcs={"fail": fail}, name="f4")
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
    with bench.wired(".in -> generate -> .out", generators={"generate": three_then}) as runtime:
        run = runtime.process(".in", None)
        with pytest.raises(OperationError) as caught:
            run.wait(SECONDS)

        assert (
            text_of(caught.value)
            == 'operation "generate" (declared at HERE) had emitted 3 messages when it raised Mishap'
        )
        assert sorted(message.data for message in results_of(run)) == [0, 1, 2]
        assert_ledger(run, accepted=1, born=3, delivered=3, failed=1)


@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@every_mode
def test_f05_a_gather_does_not_wait_for_what_a_list_did_not_bring(bench: Bench, on_missing: Any) -> None:
    with gathering(bench, increment, counted=True, ordered=True, on_missing=on_missing) as runtime:
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
    with gathering(bench, odd_fails, counted=True) as runtime:
        run = runtime.process(".in", [0, 1, 2, 3])
        with pytest.raises(OperationError):
            run.wait(SECONDS)

    assert [type(error) for error in run.failures] == [OperationError, OperationError]
    assert not any(isinstance(error, GatherIncompleteError) for error in run.failures)


# --- F1 to F5 at once


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

    with bench.wired(
        ".in -> generate -> scatter",
        "scatter.stream -> push -> work -> pop -> gather.stream",
        "push.exception -> handle -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
        others=[
            PushCausality("push"),
            PopCausality("pop"),
            Scatter("scatter"),
            Gather("gather", ordered=True, on_missing="skip"),
        ],
        funcs={"work": odd_fails, "handle": handle},
        generators={"generate": generate},
        name="all",
    ) as runtime:
        run = runtime.process(".in", 4)
        results = [message.data for message in results_of(run)]

        assert len(results) == 4  # a list for each that was scattered
        assert sorted(map(sorted, results)) == [[-1, 0], [-1, 2], [2], [4]]
        assert len(run.failures) == 1  # the generator's
        assert "had emitted 4 messages when it raised" in str(run.failures[0])
        assert (run.ledger.live, run.ledger.held, run.ledger.balanced) == (0, 0, True)
        assert run.ledger.failed == 1 + 4 + 2
