"""Faults of flowrt itself and of what it stands on: a bug in the engine, threads that cannot be started, broken contracts, forks, exits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flowrt import (
    FlowError,
    FlowInternalError,
    FlowOperationContainer,
    FlowOverloadError,
    FlowRuntime,
    FlowStalledError,
    FlowStoppedError,
    FlowTimeoutError,
    Operation,
    Scatter,
)
from flowrt.clock import Clock
from flowrt.engine.fusion import Fusion
from flowrt.engine.ledger import Books
from flowrt.engine.outcomes import Outcomes
from flowrt.engine.sources import Sources
from flowrt.engine.traffic import Traffic
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.seams import MonotonicClock, Seams, ThreadLike, spawn_thread
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.runtime import closing
from flowrt.runtime.closing import CloseReport, die_with_fork
from flowrt.runtime.loop import Loop
from flowrt.runtime.run import Run
from flowrt.testing import FakeClock, simulated
from tests.kit.faulty import Bug, plant
from tests.kit.flows import SECONDS, Gate, Keeper, arrived, assert_ledger, flow_of, refuse, same
from tests.kit.programs import PREAMBLE, run_script

ROOT = Path(__file__).parents[2]

SCHEDULES = ("breadth_first", "depth_first", "sync", "simulated")
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
MODES = ("sync", "async", "parallel")
every_mode = pytest.mark.parametrize("mode", MODES)


def runtime_of(
    schedule: str, operations: FlowOperationContainer, *chains: str, **options: Any
) -> FlowRuntime:
    if schedule == "simulated":
        schedule, options["seams"] = "breadth_first", simulated(0)
    chains = chains or (".in -> work -> .out",)
    return FlowRuntime(flow_of("", *chains, operations=operations), schedule=schedule, **options)


def work(mode: str, function: Callable[..., Any] = same) -> FlowOperationContainer:
    container = FlowOperationContainer().add_func("work", function)
    if mode == "async":
        container.make_async()
    if mode == "parallel":
        container.make_parallel(4)
    return container


BUGS = [
    pytest.param(Traffic, "emit", 1, id="an input"),
    pytest.param(Traffic, "emit", 2, id="an output"),
    pytest.param(Traffic, "leave", 1, id="a result"),
    pytest.param(Books, "due", 1, id="settling"),
    pytest.param(Books, "_finish", 1, id="the end of a run"),
    pytest.param(Outcomes, "take", 1, id="an outcome"),
]


# --- a bug in the engine


@pytest.mark.parametrize(("owner", "method", "nth"), BUGS)
@every_mode
@every_schedule
def test_a_bug_is_told_to_whoever_waits_and_stops_the_runtime(
    monkeypatch: pytest.MonkeyPatch, schedule: str, mode: str, owner: type, method: str, nth: int
) -> None:
    runtime = runtime_of(schedule, work(mode), name="buggy")
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
    runtime = runtime_of("breadth_first", operations, ".gate -> gate -> work -> .out")
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
    operations = work("sync").add_operation(Scatter("scatter"))
    runtime = runtime_of(schedule, operations, ".in -> scatter", "scatter.stream -> work")
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
    runtime = runtime_of(schedule, operations)
    plant(monkeypatch, Sources, "take")

    with pytest.raises(FlowError):
        runtime.process(".in", 10).wait(SECONDS)
    close_quietly(runtime)

    assert runtime.close().abandoned == ()


def test_a_bug_on_a_worker_stops_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*_: Any) -> None:
        raise Bug

    runtime = runtime_of("breadth_first", work("async"))
    monkeypatch.setattr("flowrt.executors.threads.perform", buggy)

    with pytest.raises(FlowError) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    close_quietly(runtime)

    assert isinstance(caught.value, FlowInternalError)
    assert isinstance(caught.value.__cause__, Bug)


def test_a_bug_that_nobody_waited_for_is_raised_by_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_of("breadth_first", work("sync"))
    plant(monkeypatch, Traffic, "emit")

    with pytest.raises(FlowInternalError) as caught, runtime:
        runtime.process(".in", 1)

    assert isinstance(caught.value.__cause__, Bug)


def close_quietly(runtime: FlowRuntime) -> None:
    """Close a runtime of which the failure is known."""
    try:
        runtime.close()
    except (FlowError, ExceptionGroup):
        assert runtime.close() is not None


# --- what comes while it stops


def leaving(gate: Gate) -> Callable[[Any], None]:
    """Wait at the gate, then stop the runtime."""

    def leave(data: Any) -> None:
        gate(data)
        raise SystemExit(3)

    return leave


def test_input_that_came_before_the_stop_and_after_its_cause_is_refused_not_lost() -> None:
    gate = Gate()
    runtime = runtime_of("breadth_first", work("sync", leaving(gate)), ".in -> work", ".other -> .out")
    first = runtime.process(".in", 1)
    arrived(gate.entered)
    one = runtime.process(".other", 2)
    many = runtime.process_many(".other", [3, 4])
    gate.open()

    for run in (first, one, many):
        with pytest.raises(SystemExit):
            run.wait(SECONDS)
        assert run.done
    assert_ledger(first, accepted=1, failed=1)
    assert_ledger(one)
    assert_ledger(many)
    assert runtime.close().clean


def test_what_goes_wrong_while_it_stops_does_not_hide_why_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    plant(monkeypatch, Loop, "_take_inputs", 2)
    runtime = runtime_of("breadth_first", work("sync", leaving(gate)), ".in -> work", ".other -> .out")
    first = runtime.process(".in", 1)
    arrived(gate.entered)
    second = runtime.process(".other", 2)
    gate.open()

    with pytest.raises(SystemExit):
        first.wait(SECONDS)
    with pytest.raises((FlowStoppedError, SystemExit)):
        second.wait(SECONDS)
    assert runtime.close().abandoned == ()


def test_an_iterable_is_pulled_no_further_when_its_run_has_ended() -> None:
    pulled: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    runtime = runtime_of("breadth_first", work("parallel"), ".in -> work -> scatter", max_live=50)
    runtime.add_operation(Keeper("keeper"))
    runtime.add_operations(FlowOperationContainer().add_action("scatter", spread))
    runtime.add_stream("scatter", "keeper")

    run = runtime.process_many(".in", endless(), timeout=SECONDS)
    with pytest.raises(FlowOverloadError, match=r"max_live=50 live messages"):
        run.wait(SECONDS)
    close_quietly(runtime)

    assert pulled
    assert (run.ledger.live, run.ledger.held, run.ledger.balanced) == (0, 0, True)


def spread(_data: Any, emit: Callable[[Any], None]) -> None:
    for number in range(100):
        emit(number)


def test_a_wait_under_sync_has_its_limit_while_another_thread_is_the_engine() -> None:
    gate = Gate()
    runtime = runtime_of("sync", work("sync", gate))
    worker = threading.Thread(target=runtime.process, args=(".in", 1))
    worker.start()
    arrived(gate.entered)

    with pytest.raises(FlowTimeoutError):
        runtime.wait_for_result(timeout=0.01)
    with pytest.raises(FlowTimeoutError):
        runtime.wait_idle(timeout=0.01)
    gate.open()
    worker.join(SECONDS)

    assert runtime.wait_for_result(SECONDS).data == 1
    assert runtime.close().clean


def test_who_waits_under_sync_is_told_when_another_thread_stops_the_engine() -> None:
    gate = Gate()
    left: list[object] = []
    runtime = runtime_of("sync", work("sync", leaving(gate)))

    def process() -> None:
        try:
            runtime.process(".in", 1)
        except SystemExit as stop:
            left.append(stop.code)

    worker = threading.Thread(target=process)
    worker.start()
    arrived(gate.entered)
    opener = threading.Timer(0.02, gate.open)
    opener.start()
    with pytest.raises((FlowStoppedError, SystemExit)):
        runtime.wait_for_result(SECONDS)
    worker.join(SECONDS)
    opener.join(SECONDS)

    assert left in ([3], [])  # raised once, to one of both
    assert runtime.close().abandoned == ()


# --- threads that cannot be started


def seams_without(*refused: int) -> tuple[Seams, list[str]]:
    """Seams under which the threads of these numbers cannot be started, and the names of all that were asked for."""
    asked: list[str] = []

    def spawn(call: Callable[[], None], name: str) -> ThreadLike:
        asked.append(name)
        if len(asked) in refused:
            raise FlowError(f'thread "{name}" cannot be started')
        return spawn_thread(call, name)

    return Seams(spawn=spawn), asked


@pytest.mark.parametrize("send", ["process", "process_many", "process_many, from an iterator"])
def test_what_was_sent_to_an_engine_that_could_not_be_started_is_taken_back(send: str) -> None:
    seams, asked = seams_without(1, 2)
    with FlowRuntime(name="flow", seams=seams, capacity=3) as runtime:
        runtime.add_stream(".in", ".out")

        with pytest.raises(FlowError, match=r'^thread "flow/engine" cannot be started$'):
            if send == "process":
                runtime.process(".in", 0)
            else:
                runtime.process_many(".in", iter([0, 0]) if "iterator" in send else [0, 0])
        if asked == ["flow/engine"]:
            with pytest.raises(FlowError, match=r'^thread "flow/engine" cannot be started$'):
                runtime.wait_idle(timeout=SECONDS)
        runtime.process_many(".in", [1, 2, 3, 4])
        runtime.wait_idle(timeout=SECONDS)

        assert [message.data for message in runtime.results()] == [1, 2, 3, 4]


def test_an_engine_that_cannot_be_started_is_told_to_who_needs_it() -> None:
    seams, asked = seams_without(1)
    runtime = runtime_of("breadth_first", work("sync"), name="flow", seams=seams)

    with pytest.raises(FlowError, match=r'^thread "flow/engine" cannot be started$'):
        runtime.process(".in", 1)

    assert runtime.process(".in", 1).values(SECONDS) == [1]  # the second start succeeds
    assert asked == ["flow/engine", "flow/engine"]
    assert runtime.close().clean


def test_a_runtime_whose_engine_never_started_can_be_closed() -> None:
    seams, _ = seams_without(1)
    runtime = runtime_of("breadth_first", work("sync"), seams=seams)
    with pytest.raises(FlowError, match="cannot be started"):
        runtime.process(".in", 1)

    assert runtime.close().clean


@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_worker_that_cannot_be_started_stops_the_runtime_with_its_error(schedule: str, mode: str) -> None:
    seams, _ = seams_without(*range(2 if schedule == "breadth_first" else 1, 20))
    runtime = runtime_of(schedule, work(mode), name="flow", seams=seams)

    with pytest.raises(FlowError) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    close_quietly(runtime)

    assert isinstance(caught.value, FlowStoppedError)
    assert 'thread "flow/work' in str(caught.value.__cause__)
    assert "cannot be started" in str(caught.value.__cause__)
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)


def test_with_one_worker_at_least_the_work_goes_on() -> None:
    seams, asked = seams_without(*range(3, 50))
    runtime = runtime_of("breadth_first", work("parallel"), name="flow", seams=seams)

    values = runtime.process_many(".in", range(2_000)).values(SECONDS)

    assert sorted(values) == list(range(2_000))
    assert asked[:2] == ["flow/engine", "flow/work-1"]
    assert runtime.close().clean


def test_a_thread_that_the_system_refuses_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_to_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse_to_start)
        with pytest.raises(FlowError) as caught:
            spawn_thread(lambda: None, "flow/work")

    assert str(caught.value) == (
        'thread "flow/work" cannot be started (can\'t start new thread). The limit of threads of this process or user is '
        "reached (ulimit -u): use fewer workers, or named pools that operations share."
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


# --- contracts that are broken


class Twice(Keeper):
    """Gives what it holds away, and then once more."""

    def drained(self, state: list[Part], _scope: Any, emit: Emitter) -> None:
        for part in state:
            emit.merge([part], part.data)
            emit.merge([part], part.data)


@every_schedule
def test_what_can_never_move_fails_with_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """An engine that forgets what it took from the schedule: nothing is ready, nothing under way, and one message is live."""
    forgotten: list[Any] = []
    monkeypatch.setattr(
        "flowrt.executors.inline.InlineExecutor.submit", lambda *arguments: forgotten.append(arguments)
    )
    monkeypatch.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
    runtime = runtime_of(schedule, work("sync"))

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


@every_schedule
def test_a_stalled_run_says_who_holds_parts_of_it(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    monkeypatch.setattr("flowrt.engine.acts.Acts.take", lambda *_: None)

    class Swallow(Operation):
        def handle_many(self, _state: Any, _batch: Any, _emit: Emitter) -> None: ...

    operations = FlowOperationContainer().add_operation(Keeper("work")).add_operation(Swallow("swallow"))
    runtime = runtime_of(schedule, operations, ".in -> work", ".in -> swallow")

    run = runtime.process(".in", 1)
    with pytest.raises(FlowStalledError, match=r"waiting for time; work hold parts\. This is a bug"):
        run.wait(SECONDS)

    assert_ledger(run, accepted=1, born=1, discarded=2)
    assert runtime.close().clean


@every_schedule
def test_a_stalled_run_stops_no_other(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    runtime = runtime_of(schedule, work("sync"))
    with monkeypatch.context() as patched:
        patched.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
        patched.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
        with pytest.raises(FlowStalledError):
            runtime.process(".in", 1).wait(SECONDS)

    assert runtime.process(".in", 2).values(SECONDS) == [2]
    assert runtime.close().clean


@every_schedule
def test_a_part_given_away_twice_counts_once_and_the_second_message_is_born(schedule: str) -> None:
    operations = FlowOperationContainer().add_operation(Twice("work"))
    with runtime_of(schedule, operations) as runtime:
        run = runtime.process(".in", 1)

        assert run.values(SECONDS) == [1, 1]
    assert_ledger(run, accepted=1, born=1, delivered=2)


# --- forks


FORKS = (
    PREAMBLE
    + """
operations = FlowOperationContainer().add_func("work", lambda number: number + 1)
if sys.argv[1] != "sync":
    operations.make_parallel(2)
runtime = FlowRuntime(name="forked", schedule=sys.argv[2])
runtime.add_stream(".in", "work").add_stream("work", ".out").add_operations(operations)
tell(before=runtime.process(".in", 1).values(10))
parent = os.getpid()
child = os.fork()
if child == 0:
    tell(process=told(lambda: runtime.process(".in", 2)).replace(str(parent), "PARENT"))
    tell(process_many=told(lambda: runtime.process_many(".in", [2])).replace(str(parent), "PARENT"))
    tell(wait=told(lambda: runtime.wait_for_result(10)).replace(str(parent), "PARENT"))
    with FlowRuntime(name="new") as new:
        new.add_stream(".in", "work").add_stream("work", ".out").add_operations(operations)
        tell(new=new.process(".in", 5).values(10))
    os._exit(7)
_, status = os.waitpid(child, 0)
tell(child=os.waitstatus_to_exitcode(status), after=runtime.process(".in", 2).values(10))
tell(closed=str(runtime.close()), threads=[t.name for t in threading.enumerate() if t is not threading.main_thread()])
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    ("mode", "schedule"), [("sync", "breadth_first"), ("parallel", "depth_first"), ("parallel", "sync")]
)
def test_a_fork_is_told_at_once_and_the_parent_goes_on(mode: str, schedule: str) -> None:
    ended = run_script(FORKS, mode, schedule)

    refused = (
        'FlowStoppedError: runtime "forked" was started in process PARENT, and this is a fork of it without its threads. '
        "Make a new one here."
    )
    assert ended.code == 0, ended.errors
    assert ended.lines == [
        {"before": [2]},
        {"process": refused},
        {"process_many": refused},
        {"wait": refused},
        {"new": [6]},
        {"child": 7, "after": [3]},
        {"closed": "closed; nothing was left", "threads": []},
    ]


def test_a_runtime_that_is_a_copy_in_a_forked_process_says_so() -> None:
    runtime = runtime_of("sync", work("sync"), name="forked")
    assert runtime.process(".in", 1).values(SECONDS) == [1]

    die_with_fork(runtime, 4711)

    refused = '^runtime "forked" was started in process 4711, and this is a fork of it without its threads'
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.process(".in", 2)
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.process_many(".in", [2])
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.wait_for_result(SECONDS)


# --- the end


class InterruptingClock:
    """The real clock, which on one thread can be made to raise KeyboardInterrupt, once."""

    def __init__(self) -> None:
        self.interrupts: int | None = None  # the ident of the thread

    def now(self) -> float:
        if self.interrupts == threading.get_ident():
            self.interrupts = None
            raise KeyboardInterrupt
        return time.monotonic()


def test_an_interrupt_while_closing_gives_up_at_once() -> None:
    gate = Gate()
    clock = InterruptingClock()
    runtime = runtime_of("breadth_first", work("async", gate), name="flow", seams=Seams(clock=clock))
    run = runtime.process(".in", 1)
    arrived(gate.entered)

    clock.interrupts = threading.get_ident()
    with pytest.raises(KeyboardInterrupt):
        runtime.close()
    report = runtime.close()
    gate.open()

    assert report.abandoned == ('operation "work" on thread "flow/work"',)
    assert report.discarded == 1
    with pytest.raises(FlowStoppedError, match=r"worked off: it was interrupted while closing\.$"):
        run.wait(SECONDS)


@pytest.mark.parametrize(
    ("failing", "told"),
    [(0, "(closed; nothing was left)"), (1, '(operation "work"'), (2, "had 2 errors nobody saw")],
)
def test_the_end_of_the_interpreter_drains_what_is_still_open(failing: int, told: str) -> None:
    runtime = runtime_of("breadth_first", work("async", refuse if failing else same), name="forgotten")
    runs = [runtime.process(".in", number) for number in range(failing or 1)]

    with pytest.warns(ResourceWarning, match=r'^flow runtime "forgotten" was still open when') as warned:
        closing._drain_all()

    assert told in str(warned[0].message)
    assert all(run.done for run in runs)
    assert runtime.close().clean


def test_an_inline_executor_has_nothing_to_wait_for() -> None:
    with runtime_of("breadth_first", work("sync")) as runtime:
        runtime.process(".in", 1).wait(SECONDS)
        executor = InlineExecutor(runtime._owner.engine, FakeClock())

        executor.stop()
        left = (executor.in_work(), executor.unreported(), executor.thread_idents(), executor.join(SECONDS))

    assert left == ([], [], [], ())


@pytest.mark.parametrize("clock", [MonotonicClock(), FakeClock()], ids=lambda clock: type(clock).__name__)
def test_a_clock_never_steps_back(clock: Clock) -> None:
    looks = [clock.now() for _ in range(100)]

    assert looks == sorted(looks)


@pytest.mark.parametrize(
    ("report", "text", "clean"),
    [
        (CloseReport(), "closed; nothing was left", True),
        (CloseReport(pending=True), "closing; what is live drains first", False),
        (CloseReport(discarded=1), "closed; 1 message discarded", False),
        (CloseReport(discarded=2), "closed; 2 messages discarded", False),
        (CloseReport(abandoned=("a", "b")), "closed; abandoned, since they did not return: a, b", False),
        (
            CloseReport(discarded=3, abandoned=("a",)),
            "closed; 3 messages discarded; abandoned, since they did not return: a",
            False,
        ),
    ],
)
def test_a_report_says_what_was_left(report: CloseReport, text: str, clean: bool) -> None:
    assert str(report) == text
    assert report.clean is clean


def test_a_report_names_the_operation_that_holds_a_worker_up() -> None:
    gate = Gate()
    runtime = runtime_of("breadth_first", work("async", gate), name="flow")
    run = runtime.process_many(".in", [1, 2])
    arrived(gate.entered)

    report = runtime.close(drain=0.05, deadline=0.1)
    gate.open()

    assert report.abandoned == ('operation "work" on thread "flow/work"',)
    assert str(report) == (
        'closed; 2 messages discarded; abandoned, since they did not return: operation "work" on thread "flow/work"'
    )
    with pytest.raises(FlowStoppedError, match=r'^runtime "flow" was closed before this was worked off: '):
        run.wait(SECONDS)
    assert_ledger(run, accepted=2, discarded=2)


@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_closing_from_inside_is_pending_and_then_done(schedule: str) -> None:
    """B185 (BUG)."""
    reports: list[CloseReport] = []
    runtime = runtime_of(schedule, work("sync", lambda _: reports.append(runtime.close())))

    runtime.process(".in", 1).wait(SECONDS)
    last = runtime.close()

    assert [str(report) for report in reports] == ["closing; what is live drains first"]
    assert last.clean


LEFT_OPEN = (
    PREAMBLE
    + """
def fail(number):
    raise LookupError(number)

runtime = FlowRuntime(name="forgotten")
runtime.add_stream(".in", "fail").add_operations(FlowOperationContainer().add_action("fail", fail))
for number in range(int(sys.argv[1])):
    runtime.process(".in", number)
"""
)


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ("1", 'operation "fail" (declared at'),
        ("3", 'runtime "forgotten" had 3 errors nobody saw (3 sub-exceptions)'),
    ],
)
def test_what_nobody_saw_is_told_when_the_interpreter_exits(failures: str, told: str) -> None:
    ended = run_script(LEFT_OPEN, failures)

    assert ended.code == 0
    assert (
        'ResourceWarning: flow runtime "forgotten" was still open when the interpreter exited ('
        in ended.errors
    )
    assert told in ended.errors


@pytest.mark.parametrize("hook", ["on_message", "on_result", "on_exception"])
def test_a_subscriber_must_be_callable(hook: str) -> None:
    with runtime_of("breadth_first", work("sync")) as runtime, pytest.raises(FlowError) as caught:
        getattr(runtime, hook)(5)

    assert str(caught.value) == f"{hook} takes a function of one argument, got int."


@every_schedule
def test_a_subscriber_may_be_removed_any_number_of_times(schedule: str) -> None:
    seen: list[Any] = []
    with runtime_of(schedule, work("sync")) as runtime:
        remove = runtime.on_result(lambda message: seen.append(message.data))
        runtime.process(".in", 1).wait(SECONDS)
        remove()
        remove()

        assert runtime.process(".in", 2).values(SECONDS) == [2]
    assert seen == [1]


@every_schedule
def test_a_subscriber_that_comes_late_gets_what_waits_first(schedule: str) -> None:
    """B190, B193."""
    seen: list[Any] = []
    with runtime_of(schedule, work("sync")) as runtime:
        for number in range(3):
            runtime.process(".in", number).wait(SECONDS)
        runtime.on_result(lambda message: seen.append(message.data))
        runtime.process(".in", 3).wait(SECONDS)

    assert seen == [0, 1, 2, 3]


@every_schedule
def test_a_run_and_its_ledger_show_what_became_of_it(schedule: str) -> None:
    runtime = runtime_of(schedule, work("sync", refuse), name="shown")
    run = runtime.process(".in", 1)
    with pytest.raises(FlowError):
        run.wait(SECONDS)
    runtime.close()

    assert repr(run) == "<run 1 of shown (failed)>"
    assert str(run.ledger).splitlines()[0] == "run 1 of shown (failed): in 1 + born 0 = failed 1"
    assert repr(run.ledger) == str(run.ledger)


@every_schedule
def test_a_handler_that_removes_itself_leaves_the_rest_to_be_read(schedule: str) -> None:
    """B191."""
    seen: list[Any] = []

    def take_two(message: Any) -> None:
        seen.append(message.data)
        if len(seen) == 2:
            remove()

    with runtime_of(schedule, work("sync")) as runtime:
        remove = runtime.on_result(take_two)
        run = runtime.process_many(".in", range(5))

        assert run.values(SECONDS) == [2, 3, 4]
    assert seen == [0, 1]


def test_a_run_whose_sender_could_not_say_that_its_input_has_ended_ends_by_itself() -> None:
    runtime = FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=work("sync")), seams=simulated(deviations={})
    )
    runtime.process(".in", 1).wait()
    run = Run(runtime._owner)
    runtime._owner.inbox.post(runtime._owner.engine.runs.start, run)
    while runtime._owner.one_step():
        pass
    assert not run.done

    runtime._owner.room.left_open.append(run)
    while runtime._owner.one_step():
        pass

    assert run.done
    assert run.failures == []
    assert runtime.close().clean
