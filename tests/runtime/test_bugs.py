"""Bugs of flowrt itself, and contracts that are broken: they are named, stop what they must, and touch no other runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Operation, Scatter
from flowrt.engine.fusion import Fusion
from flowrt.engine.ledger import Books
from flowrt.engine.outcomes import Outcomes
from flowrt.engine.schedules import BreadthFirst
from flowrt.engine.sources import Sources
from flowrt.engine.traffic import Traffic
from flowrt.errors import FlowError, FlowInternalError, FlowStalledError, FlowStoppedError
from flowrt.executors.seams import Seams
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from tests.kit.faulty import Bug, plant
from tests.kit.flows import (
    Keeper,
    assert_ledger,
    by_mode,
    by_schedule_or_simulated,
    close_quietly,
    runtime_of,
    wire,
    work_of,
)
from tests.kit.functions import SECONDS, Gate, arrived, same

# --- A bug in the engine

BUGS = [
    pytest.param(Traffic, "emit", 1, id="an input"),
    pytest.param(Traffic, "emit", 2, id="an output"),
    pytest.param(Traffic, "leave", 1, id="a result"),
    pytest.param(Books, "due", 1, id="settling"),
    pytest.param(Books, "_finish", 1, id="the end of a run"),
    pytest.param(Outcomes, "take", 1, id="an outcome"),
]


@pytest.mark.parametrize(("owner", "method", "nth"), BUGS)
@by_mode
@by_schedule_or_simulated
def test_a_bug_is_told_to_whoever_waits_and_stops_the_runtime(
    monkeypatch: pytest.MonkeyPatch, schedule: str, mode: str, owner: type, method: str, nth: int
) -> None:
    runtime = runtime_of(work_of(mode), schedule=schedule, name="buggy")
    if owner is Outcomes and mode == "sync":  # the lean ways of functions on the engine's thread
        owner, method = (Fusion, "_pass_on") if schedule in {"depth_first", "sync"} else (Outcomes, "pass_on")
    if (owner, nth) == (Traffic, 2) and mode == "sync" and schedule in {"depth_first", "sync"}:
        owner, method, nth = Traffic, "leave", 1  # there an output is a result at once
    plant(monkeypatch, owner, method, nth)

    with pytest.raises(FlowError) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    errors = [caught.value]
    try:
        report = runtime.close()
    except FlowError as error:
        errors.append(error)
        report = runtime.close()

    internal = next(
        each for error in errors for each in (error, error.__cause__) if isinstance(each, FlowInternalError)
    )
    assert isinstance(internal.__cause__, Bug)
    assert str(internal) == (
        "this is a bug in flowrt (Bug in its engine): the runtime was stopped, and nothing it still held was worked on. "
        "Please report it with the traceback of its cause."
    )
    assert report.abandoned == ()
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 2)


@pytest.mark.parametrize(("owner", "method", "nth"), BUGS)
def test_a_bug_wakes_all_who_wait(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, nth: int
) -> None:
    gate = Gate()
    raised: list[BaseException] = []
    operations = FlowOperationContainer().add_func("gate", gate).make_async().add_func("work", same)
    runtime = runtime_of(operations, ".gate -> gate -> work -> .out")
    held_up = runtime.process(".gate", 1)
    arrived(gate.entered)

    def wait(what: Callable[[float], Any]) -> None:
        try:
            what(SECONDS)
        except FlowError as error:
            raised.append(error)

    waits: list[Callable[[float], Any]] = [held_up.wait, held_up.result, runtime.wait_for_result]
    threads = [threading.Thread(target=wait, args=(each,)) for each in waits]
    for thread in threads:
        thread.start()
    plant(monkeypatch, owner, method, nth)
    gate.open()
    for thread in threads:
        thread.join(SECONDS)
    close_quietly(runtime)

    assert not any(thread.is_alive() for thread in threads)
    assert len(raised) >= 2  # a result may have left before, to one reader
    assert all(isinstance(error, FlowStoppedError | FlowInternalError) for error in raised)


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "simulated"])
def test_a_bug_discards_what_is_left_and_the_ledger_still_balances(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    operations = work_of("sync").add_operation(Scatter("scatter"))
    runtime = runtime_of(operations, ".in -> scatter", "scatter.stream -> work", schedule=schedule)
    plant(monkeypatch, Outcomes, "take", 1)

    run = runtime.process(".in", range(5_000))
    with pytest.raises(FlowError):
        run.wait(SECONDS)
    close_quietly(runtime)

    assert run.done
    assert run.ledger.discarded >= 1
    assert (run.ledger.live, run.ledger.held, run.ledger.balanced) == (0, 0, True)


@pytest.mark.parametrize("schedule", ["breadth_first", "sync", "simulated"])
def test_a_bug_in_a_source_stops_the_runtime(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    operations = FlowOperationContainer().add_generator("work", range).make_async()
    runtime = runtime_of(operations, schedule=schedule)
    plant(monkeypatch, Sources, "take")

    with pytest.raises(FlowError):
        runtime.process(".in", 10).wait(SECONDS)
    close_quietly(runtime)

    assert runtime.close().abandoned == ()


def test_a_bug_on_a_worker_stops_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*_: Any) -> None:
        raise Bug

    runtime = runtime_of(work_of("async"))
    monkeypatch.setattr("flowrt.executors.threads.perform", buggy)

    with pytest.raises(FlowError) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    close_quietly(runtime)

    assert isinstance(caught.value, FlowInternalError)
    assert isinstance(caught.value.__cause__, Bug)


def test_a_bug_that_nobody_waited_for_is_raised_by_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_of(work_of("sync"))
    plant(monkeypatch, Traffic, "emit")

    with pytest.raises(FlowInternalError) as caught, runtime:
        runtime.process(".in", 1)

    assert isinstance(caught.value.__cause__, Bug)


# --- F32: flowrt itself is at fault


class Forgetful(BreadthFirst):
    """A schedule with a bug that shows late."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def take(self) -> Any:
        self._taken += 1
        if self._taken > 5:
            raise IndexError("of ours")
        return super().take()


@by_mode
def test_f32_a_bug_of_ours_is_named_stops_everything_and_touches_no_other_runtime(mode: str) -> None:
    """The table attaches the last events; by the design the cause is chained, and a runtime that met a bug goes no further."""
    seen: list[int] = []

    def note(number: int) -> int:
        seen.append(number)
        return number

    operations = FlowOperationContainer().add_func("note", note)
    if mode != "sync":
        getattr(operations, f"make_{mode}")()
    healthy = FlowRuntime(name="healthy").add_operations(operations)
    faulty = FlowRuntime(name="faulty", seams=Seams(schedule=Forgetful)).add_operations(operations)
    wire(healthy, ".in -> note -> .out")
    wire(faulty, ".in -> note -> .out")
    runs = []
    with pytest.raises(FlowError) as caught:
        for number in range(100):
            runs.append(faulty.process(".in", number))
            runs[-1].wait(SECONDS)
    before = len(seen)

    errors: list[BaseException] = [caught.value]
    while errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__)
    assert isinstance(errors[-1], IndexError)
    assert isinstance(errors[-2], FlowInternalError)
    assert str(errors[-2]).startswith(
        "this is a bug in flowrt (IndexError in its engine): the runtime was stopped"
    )
    with pytest.raises(FlowStoppedError):
        faulty.process(".in", 1)
    assert faulty.close().abandoned == ()
    assert len(seen) == before
    assert all(run.done or run.books is None for run in runs)
    assert healthy.process(".in", 7).values(SECONDS) == [7]
    assert healthy.close().clean


# --- Contracts that are broken


class Twice(Keeper):
    """Gives what it holds away, and then once more."""

    def drained(self, state: list[Part], _scope: Any, emit: Emitter) -> None:
        for part in state:
            emit.merge([part], part.data)
            emit.merge([part], part.data)


@by_schedule_or_simulated
def test_what_can_never_move_fails_with_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """An engine that forgets what it took from the schedule: nothing is ready, nothing under way, and one message is live."""
    forgotten: list[Any] = []
    monkeypatch.setattr(
        "flowrt.executors.inline.InlineExecutor.submit", lambda *arguments: forgotten.append(arguments)
    )
    monkeypatch.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
    runtime = runtime_of(work_of("sync"), schedule=schedule)

    run = runtime.process(".in", 1)
    with pytest.raises(FlowStalledError) as caught:
        run.wait(SECONDS)
    runtime.wait_idle(SECONDS)

    assert str(caught.value).startswith(
        "run 1 cannot go on: 1 message is live and nothing is ready, under way or waiting for time. This is a bug in flowrt, "
        f'or in an operation that keeps messages without holding them.\nruntime "{runtime.name}": 1 run under way'
    )
    assert_ledger(run, accepted=1, discarded=1)
    assert runtime.close().clean


@by_schedule_or_simulated
def test_a_stalled_run_says_who_holds_parts_of_it(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    monkeypatch.setattr("flowrt.engine.acts.Acts.take", lambda *_: None)

    class Swallow(Operation):
        def handle_many(self, _state: Any, _batch: Any, _emit: Emitter) -> None: ...

    operations = FlowOperationContainer().add_operation(Keeper("work")).add_operation(Swallow("swallow"))
    runtime = runtime_of(operations, ".in -> work", ".in -> swallow", schedule=schedule)

    run = runtime.process(".in", 1)
    with pytest.raises(FlowStalledError, match=r"waiting for time; work hold parts\. This is a bug"):
        run.wait(SECONDS)

    assert_ledger(run, accepted=1, born=1, discarded=2)
    assert runtime.close().clean


@by_schedule_or_simulated
def test_a_stalled_run_stops_no_other(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    runtime = runtime_of(work_of("sync"), schedule=schedule)
    with monkeypatch.context() as patched:
        patched.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
        patched.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
        with pytest.raises(FlowStalledError):
            runtime.process(".in", 1).wait(SECONDS)

    assert runtime.process(".in", 2).values(SECONDS) == [2]
    assert runtime.close().clean


@by_schedule_or_simulated
def test_a_part_given_away_twice_counts_once_and_the_second_message_is_born(schedule: str) -> None:
    operations = FlowOperationContainer().add_operation(Twice("work"))
    with runtime_of(operations, schedule=schedule) as runtime:
        run = runtime.process(".in", 1)

        assert run.values(SECONDS) == [1, 1]
    assert_ledger(run, accepted=1, born=1, delivered=2)
