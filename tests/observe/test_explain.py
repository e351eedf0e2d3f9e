"""What a runtime says about itself: who is busy, who waits for whom, what is held, what limits it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, FlowStalledError, Message, Part, in_port
from flowrt.observe.explain import Explanation, OperationFacts
from flowrt.observe.facts import Load, bottleneck_of
from flowrt.operations.contract import Emitter
from flowrt.standard import Gather, Scatter
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import Bench, Keeper, every_mode, every_schedule_on_one_thread, flow_of, real_queues
from tests.kit.functions import SECONDS, Gate, arrived, increment, same

LIST = (
    ".in -> scatter",
    "scatter.stream -> work -> gather.stream",
    "scatter.count -> gather.count",
    "gather -> .out",
)


def facts_of(explanation: Explanation, name: str) -> OperationFacts:
    (found,) = (each for each in explanation.operations if each.name == name)
    return found


def text_of(explanation: Explanation) -> str:
    """The text, with every span of time as T, and what is measured left out."""
    lines = [line for line in str(explanation).splitlines() if "bottleneck" not in line]
    text = re.sub(r"\d+(\.\d+)? s\b", "T", "\n".join(lines))
    return re.sub(r"at [\w.]+:\d+ in", "at FILE in", text)


def after(runtime: FlowRuntime, messages: int, *ports: str) -> threading.Event:
    """An event that is set when so many messages have come to these ports."""
    there, seen = threading.Event(), []

    def count(message: Message) -> None:
        if str(message.port) in ports:
            seen.append(message)
            if len(seen) == messages:
                there.set()

    runtime.on_message(count)
    return there


def taking(clock: FakeClock, seconds: float) -> Callable[[Any], Any]:
    def work(data: Any) -> Any:
        clock.sleep(seconds)
        return data

    return work


# --- who is busy, who waits


def test_a_runtime_with_nothing_to_do_says_so() -> None:
    operations = FlowOperationContainer().add_func("work", increment)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations), name="demo") as runtime:
        assert str(runtime.explain()) == 'runtime "demo": no run is under way'

        runtime.process(".in", 1).wait(SECONDS)

        explanation = runtime.explain()
    assert explanation.idle
    assert text_of(explanation) == (
        'runtime "demo": no run is under way\n'
        "  results: 1 of max_results=1000000 are unread\n"
        "  nothing to do: work"
    )
    assert facts_of(explanation, "work").calls == 1


def test_a_closed_runtime_can_be_asked() -> None:
    operations = FlowOperationContainer().add_func("work", increment)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations), name="demo") as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [2]

    assert text_of(runtime.explain()) == 'runtime "demo": no run is under way\n  nothing to do: work'


def test_a_full_window_is_named_with_who_fills_it() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    operations.add_operation(Scatter("scatter", window=4)).add_operation(Gather("gather"))
    with FlowRuntime(flow_of("", *LIST, operations=operations), name="demo") as runtime:
        run = runtime.process(".in", list(range(9)))
        arrived(gate.entered)
        explanation = runtime.explain()
        gate.open()
        run.wait(SECONDS)

    assert text_of(explanation) == (
        'runtime "demo": 1 run under way, the oldest (run 1) for T; 5 messages live, 0 held\n'
        "  work (async): 1 of 1 worker busy, 1 message in work, 3 messages waiting, the oldest of run 1, which began T ago\n"
        "    demo/work: in a call for T (run 1), at FILE in __call__\n"
        "  scatter: 4 of 9 items out; paused, since its window is full (4 of 4 live: 4 at work); goes on below half\n"
        "  gather: holds 0 messages of run 1; missing: 0, 1, 2, 3; waits for 4 at work, scatter to end"
    )
    (source,) = explanation.sources
    assert (source.given, source.total, source.live, source.limit, source.paused) == (4, 9, 4, 4, True)


def test_a_gather_says_which_items_it_waits_for_and_which_will_not_come() -> None:
    gate = Gate()

    def work(number: int, on_number: Callable[[int], None]) -> None:
        if number == 3:
            gate(number)
        if number != 1:
            on_number(number)

    operations = FlowOperationContainer().add_action("work", work).make_parallel(4)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing="skip"))
    with FlowRuntime(flow_of("", *LIST, operations=operations), name="demo") as runtime:
        there = after(runtime, 4, "gather.stream", "gather.count")
        run = runtime.process(".in", [0, 1, 2, 3, 4])
        arrived(gate.entered)
        arrived(there)
        explanation = runtime.explain()
        gate.open()
        assert run.values(SECONDS) == [[0, 2, 4, 3]]

    (held,) = explanation.waiting
    assert (held.name, held.run, held.messages, held.announced) == ("gather", 1, 3, 5)
    assert (held.missing, held.missing_count) == ((3,), 1)
    assert held.held_up_by == ("1 at work",)
    assert held.lost == "1 (absorbed at work)"
    assert (
        "  gather: holds 3 messages of run 1; 3 of 5 have arrived; missing: 3; waits for 1 at work; will not come: 1 (absorbed at work)\n"
        in f"{explanation}\n"
    )


def test_who_waits_for_room_is_counted() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), name="demo", capacity=2
    ) as runtime:
        runtime.process(".in", 1)
        runtime.process(".in", 2)
        sender = threading.Thread(target=runtime.process, args=(".in", 3))
        sender.start()
        while not (explanation := runtime.explain()).input.callers:
            sender.join(0.001)
        gate.open()
        sender.join(SECONDS)
        runtime.wait_idle(SECONDS)

    assert "  input: 1 caller of process waits for room; 2 live of capacity=2: 2 at work" in str(explanation)
    assert explanation.input.filled_by[0].place == "work"


class Explained(Keeper):
    """Holds every message until its run has drained, and says so."""

    def explain(self, state: list[Part]) -> str:
        return f"keeps {len(state)} until the end"

    def drained(self, state: list[Part], _scope: Any, emit: Emitter) -> None:
        parts, state[:] = state[:], []
        emit.merge(parts, [part.data for part in parts])


def explained_inside(runtime: FlowRuntime, gate: Gate, there: threading.Event) -> Explanation:
    """What the runtime says of itself when an input is held at a gate, and what comes of it is there."""
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    arrived(there)
    explanation = runtime.explain()
    gate.open()
    run.wait(SECONDS)
    return explanation


def test_an_operation_that_holds_messages_may_say_what_they_wait_for() -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_operation(Explained("keep")).add_func("work", gate).make_async()
    chains = (".in -> keep -> .out", ".in -> work -> keep")
    with FlowRuntime(flow_of("", *chains, operations=operations), name="demo") as runtime:
        there = after(runtime, 1, "keep.in", "keep")
        explanation = explained_inside(runtime, gate, there)

    assert (
        "  keep: holds 1 message of run 1; keeps 1 until the end; waits for 1 at work\n" in f"{explanation}\n"
    )


def test_what_waits_under_correlation_ids_is_told_though_its_runs_are_over() -> None:
    operations = FlowOperationContainer().add_operation(Gather("gather"))
    chains = (".in -> gather.stream", ".n -> gather.count", "gather -> .out")
    with FlowRuntime(flow_of("", *chains, operations=operations), name="demo") as runtime:
        runtime.process(".n", 3, correlation_id="x").wait(SECONDS)
        runtime.process(".in", 1, correlation_id="x").wait(SECONDS)

        assert "1 of 3 announced wait under 1 correlation ids" in str(runtime.explain())


# --- the engine


@real_queues
def test_an_operation_may_ask_in_every_mode(bench: Bench) -> None:
    seen: list[Explanation] = []

    def ask(data: Any) -> Any:
        seen.append(runtime.explain())
        return data

    with bench.wired(".in -> ask -> .out", name="demo", funcs={"ask": ask}) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    (explanation,) = seen
    assert explanation.engine.answered
    assert (explanation.runs, explanation.live) == (1, 1)
    if bench.on_engine_thread:
        assert explanation.engine.operation == "ask"
        assert facts_of(explanation, "ask").busy == 1
    else:
        assert facts_of(explanation, "ask").in_work == 1


@every_mode
def test_asking_changes_nothing(bench: Bench) -> None:
    with bench.wired(".in -> work -> .out", name="demo", funcs={"work": increment}) as runtime:
        runtime.explain()
        run = runtime.process_many(".in", range(5))
        runtime.explain()

        assert bench.arranged(run.values(SECONDS)) == [1, 2, 3, 4, 5]
        assert runtime.explain().idle


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
def test_an_engine_in_a_call_that_does_not_return_is_told_with_the_operation(
    monkeypatch: pytest.MonkeyPatch, schedule: Any
) -> None:
    monkeypatch.setattr("flowrt.runtime.watching.PATIENCE", 0.05)
    gate = Gate()
    operations = FlowOperationContainer().add_func("first", increment).add_func("second", gate)
    flow = flow_of("", ".in -> first -> second -> .out", operations=operations)
    with FlowRuntime(flow, name="demo", schedule=schedule) as runtime:
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        explanation = runtime.explain()
        gate.open()
        run.wait(SECONDS)

    assert not explanation.engine.answered
    assert explanation.engine.operation == "second"
    assert (
        "  engine: in a call of second for T, at FILE in __call__; it did not answer, so the figures are what could be read meanwhile\n"
        "  second (sync): in a call on the engine's thread\n"
    ) in text_of(explanation)


def test_an_engine_in_a_component_that_does_not_return_is_told_with_the_component(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flowrt.runtime.watching.PATIENCE", 0.05)
    gate = Gate()

    class Waits:
        @in_port
        def take(self, number: int) -> None:
            gate(number)

    operations = FlowOperationContainer().add_component("waits", Waits())
    with FlowRuntime(flow_of("", ".in -> waits.take", operations=operations), name="demo") as runtime:
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        explanation = runtime.explain()
        gate.open()
        run.wait(SECONDS)

    assert explanation.engine.operation == "waits.take"
    assert "  engine: in a call of waits.take for T, at FILE in take; it did" in text_of(explanation)


def test_an_engine_in_a_handler_that_does_not_return_is_told_with_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flowrt.runtime.watching.PATIENCE", 0.05)
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", increment)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations), name="demo") as runtime:
        runtime.on_result(lambda message: gate(message) and None)
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        explanation = runtime.explain()
        gate.open()
        run.wait(SECONDS)

    assert "  engine: did not answer, at FILE in " in text_of(explanation)
    assert explanation.engine.operation == ""


def test_a_source_that_does_not_bring_its_next_item_is_told() -> None:
    gate = Gate()

    def produce(number: int) -> Any:
        yield number
        gate(number)

    operations = FlowOperationContainer().add_generator("produce", produce).make_async()
    with FlowRuntime(flow_of("", ".in -> produce -> .out", operations=operations), name="demo") as runtime:
        there = after(runtime, 1, ".out")
        explanation = explained_inside(runtime, gate, there)

    assert "  produce: 1 items out; waits for the next one" in str(explanation)
    assert [call.operation for call in explanation.calls] == ["produce"]


def test_in_a_simulation_the_calls_under_way_are_told_in_fake_time() -> None:
    seams = simulated(deviations={})
    clock = seams.clock
    assert isinstance(clock, FakeClock)
    operations = FlowOperationContainer().add_func("work", taking(clock, 5)).make_parallel(2)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, name="demo", seams=seams) as runtime:
        runtime.process_many(".in", range(3))
        for _ in range(4):
            runtime._owner.one_step()
        explanation = runtime.explain()
        runtime.wait_idle()

    assert facts_of(explanation, "work").busy == 2
    assert facts_of(explanation, "work").backlog == 1


# --- stalls


@every_schedule_on_one_thread
def test_the_error_of_a_stalled_run_explains(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    monkeypatch.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
    monkeypatch.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
    operations = bench.operations(funcs={"work": same})
    runtime = bench.make_runtime(flow_of("", ".in -> work -> .out", operations=operations), name="demo")

    with pytest.raises(FlowStalledError) as caught:
        runtime.process(".in", 1).wait(SECONDS)

    explanation = caught.value.explanation
    assert isinstance(explanation, Explanation)
    assert str(caught.value).endswith(f"\n{explanation}")
    assert (explanation.runs, explanation.live) == (1, 1)
    runtime.close()


def test_an_explanation_that_fails_hides_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
    monkeypatch.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
    monkeypatch.setattr("flowrt.observe.facts.explanation_of", lambda *_: 1 / 0)
    operations = FlowOperationContainer().add_func("work", same)
    runtime = FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations), name="demo")

    with pytest.raises(
        FlowStalledError, match=r"or in an operation that keeps messages without holding them\.$"
    ):
        runtime.process(".in", 1).wait(SECONDS)

    runtime.close()


# --- the bottleneck


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([], None),
        ([Load("a", "sync", 0.0, 1, on_engine=True)], None),
        ([Load("a", "async", 5.0, 1)], ("a", 0.5, None, None, "the engine's thread")),
        # The second limits what more workers bring: 8 s on one, against 2 s on each of two.
        ([Load("a", "async", 8.0, 1), Load("b", "parallel(2)", 4.0, 2)], ("a", 0.8, 4.0, 4, "b")),
        # On the engine's thread all count together; what stays there limits.
        (
            [Load("a", "sync", 6.0, 1, on_engine=True), Load("b", "sync", 3.0, 1, on_engine=True)],
            ("a", 0.6, 3.0, 2, "the engine's thread"),
        ),
        (
            [Load("a", "sync", 2.0, 1, on_engine=True), Load("b", "parallel(4)", 20.0, 4)],
            ("b", 0.5, 2.5, 10, "the engine's thread"),
        ),
    ],
)
def test_the_bound_on_more_workers_is_what_comes_second(loads: list[Load], expected: Any) -> None:
    found = bottleneck_of(loads, 10.0)

    assert (found and (found.name, found.share, found.bound, found.workers, found.next)) == expected


def test_the_bottleneck_is_found_in_a_flow_in_fake_time() -> None:
    seams = simulated(deviations={})
    clock = seams.clock
    assert isinstance(clock, FakeClock)

    operations = FlowOperationContainer()
    operations.add_func("quick", taking(clock, 1)).make_async().add_func(
        "slow", taking(clock, 6)
    ).make_parallel(2)
    flow = flow_of("", ".in -> quick -> slow -> .out", operations=operations)
    with FlowRuntime(flow, name="demo", seams=seams) as runtime:
        runtime.process_many(".in", range(10)).wait()
        found = runtime.explain().bottleneck

    assert found is not None
    assert (found.name, found.bound, found.workers, found.next) == ("slow", 3.0, 6, "quick")
