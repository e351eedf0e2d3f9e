"""Closing: from everywhere, any number of times; what is live drains, what hangs is named, and nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import attrs
import pytest

from flowrt import CloseReport, FlowOperationContainer, FlowRuntime, Message, Run
from flowrt.errors import (
    FlowError,
    FlowOverloadError,
    FlowStoppedError,
    FlowTimeoutError,
    OperationError,
    RunCancelledError,
)
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from flowrt.runtime.loop import Loop
from flowrt.standard import Gather, PushCausality, Scatter
from flowrt.testing import FakeClock, simulated
from tests.kit.faulty import plant
from tests.kit.flows import (
    IN_MODE,
    Bench,
    Keeper,
    assert_ledger,
    by_schedule,
    close_quietly,
    every_mode,
    nested,
    real_queues,
    results_of,
    runtime_of,
    wire,
    work_of,
)
from tests.kit.functions import SECONDS, Gate, arrived, on_thread, refuse, same

SHORT = 0.1  # seconds; how long a close waits for an operation that will not return

MODES = IN_MODE | {"keyed": lambda operations: operations.make_parallel(3, by_key=str)}
each_mode = pytest.mark.parametrize("mode", MODES)
threaded = pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "sync"])


def one_operation(mode: str, function: Callable[..., Any]) -> FlowOperationContainer:
    operations = FlowOperationContainer().add_func("work", function)
    MODES[mode](operations)
    return operations


def closed(runtime: FlowRuntime, **options: Any) -> Any:
    """Close on another thread, so that a close that hangs fails the test instead of holding it up."""
    reports: list[Any] = []
    on_thread(lambda: reports.append(runtime.close(**options)))
    return reports[0]


def keep_error(call: Callable[[], Any], raised: list[BaseException]) -> None:
    """Make the call of a thread of its own; what flowrt raises there is kept."""
    try:
        call()
    except FlowError as error:
        raised.append(error)


# --- any number of times, from anywhere


@by_schedule
def test_closing_drains_what_is_live_and_reports_nothing_left(schedule: Any) -> None:
    """B184: there, what waits is dropped."""
    runtime = runtime_of(one_operation("parallel", same), schedule=schedule)
    run = runtime.process_many(".in", range(100))
    report = closed(runtime)

    assert report.clean
    assert (report.discarded, report.abandoned) == (0, ())
    assert str(report) == "closed; nothing was left"
    assert sorted(run.values(SECONDS)) == list(range(100))


def test_closing_twice_gives_the_same_report() -> None:
    """B184."""
    runtime = runtime_of(one_operation("async", same))
    runtime.process(".in", 1)

    assert closed(runtime) is closed(runtime)


def test_closing_from_many_threads_at_once_gives_the_same_report() -> None:
    gate = Gate()
    runtime = runtime_of(one_operation("async", gate))
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(runtime.close())) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join(SECONDS)

    assert len(reports) == 4
    assert len({id(report) for report in reports}) == 1
    assert run.values(SECONDS) == [1]


@by_schedule
def test_a_runtime_that_never_ran_can_be_closed(schedule: Any) -> None:
    runtime = FlowRuntime(schedule=schedule)

    assert closed(runtime).clean
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)


@by_schedule
def test_an_empty_with_block_leaves_nothing(schedule: Any) -> None:
    with FlowRuntime(schedule=schedule):
        pass


@pytest.mark.parametrize("place", ["operation", "generator", "tap", "on_result", "on_exception"])
@each_mode
def test_closing_from_inside_marks_and_returns(mode: str, place: str) -> None:
    """B185 (BUG): there, a thread waits for itself."""
    returned: list[Any] = []

    def close(_: Any = None) -> None:
        returned.append(runtime.close())

    def work(number: int) -> int:
        if place == "operation" and number == 1:
            close()
        if place == "on_exception" and number == 1:
            raise ValueError
        return number

    def items(number: int) -> Iterator[int]:
        for each in range(number):
            if place == "generator" and each == 1:
                close()
            yield each

    operations = one_operation(mode, work).add_generator("items", items)
    MODES[mode](operations)
    runtime = runtime_of(operations, ".in -> items -> work -> .out")
    if place == "tap":
        runtime.on_message(close)
    if place == "on_result":
        runtime.on_result(close)
    if place == "on_exception":
        runtime.on_exception(close)
    run = runtime.process(".in", 3)
    try:
        run.wait(SECONDS)
    except FlowStoppedError:
        pass  # the generator was stopped before it was exhausted: allowed, and said

    closed(runtime)
    assert returned
    assert run.done
    assert run.ledger.balanced
    assert run.ledger.live == 0
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)


@each_mode
def test_what_was_accepted_before_an_operation_closes_is_worked_off(mode: str) -> None:
    seen: list[int] = []

    def work(number: int) -> int:
        if number == 0:
            runtime.close()
        seen.append(number)
        return number

    runtime = runtime_of(one_operation(mode, work))
    run = runtime.process_many(".in", range(20)) if mode == "sync" else runtime.process(".in", 0)
    run.wait(SECONDS)
    report = closed(runtime)

    assert report.clean
    assert sorted(seen) == list(range(20) if mode == "sync" else range(1))


def test_closing_the_outer_runtime_from_an_operation_of_an_inner_one() -> None:
    """B185 (BUG)."""
    outer = runtime_of(one_operation("async", same))
    outer.process(".in", 1).wait(SECONDS)

    def work(number: int) -> int:
        return number if outer.close().clean else -1

    with runtime_of(one_operation("async", work)) as inner:
        assert inner.process(".in", 5).values(SECONDS) == [5]


# --- input and waits after the end


@by_schedule
@pytest.mark.parametrize("verb", ["process", "process_many", "event_processor"])
def test_input_after_the_end_is_refused(schedule: Any, verb: str) -> None:
    """B187 (QUIRK): there, it is queued for ever."""
    with runtime_of(one_operation("sync", same), schedule=schedule, name="demo") as runtime:
        runtime.process(".in", 1).wait(SECONDS)
        send = runtime.event_processor(".in")

    with pytest.raises(FlowStoppedError) as caught:
        match verb:
            case "process":
                runtime.process(".in", 1)
            case "process_many":
                runtime.process_many(".in", [1])
            case _:
                send(1)
    assert 'runtime "demo" is closed' in str(caught.value)


@by_schedule
def test_input_is_refused_as_soon_as_somebody_inside_has_closed(schedule: Any) -> None:
    """B187 (QUIRK): also while what is live drains."""
    refused: list[str] = []

    def close(_data: Any) -> None:
        runtime.close()
        for send in (
            lambda: runtime.process(".in", 1),
            lambda: runtime.process_many(".in", [1]),
            runtime.event_processor(".in"),
        ):
            with pytest.raises(FlowStoppedError) as caught:
                send()
            refused.append(str(caught.value))

    with runtime_of(one_operation("sync", close), schedule=schedule) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    assert len(refused) == 3


def test_an_iterable_that_nobody_may_send_is_not_pulled() -> None:
    pulled: list[int] = []

    def items() -> Iterator[int]:
        pulled.append(1)
        yield 1

    with runtime_of(one_operation("sync", same)) as runtime:
        runtime.process(".in", 1).wait(SECONDS)
    with pytest.raises(FlowStoppedError):
        runtime.process_many(".in", items())

    assert not pulled


@by_schedule
def test_results_can_be_read_after_the_end(schedule: Any) -> None:
    with runtime_of(one_operation("sync", same), schedule=schedule) as runtime:
        run = runtime.process_many(".in", range(4))

    assert run.result(SECONDS).data == 0
    assert runtime.wait_for_result(SECONDS).data == 1
    assert [message.data for message in runtime.results(SECONDS)] == [2, 3]
    assert run.values(SECONDS) == [0]
    with pytest.raises(FlowStoppedError):
        runtime.wait_for_result(SECONDS)
    runtime.wait_idle(SECONDS)
    assert run.ledger.delivered == 4


def test_who_waits_for_the_next_result_is_woken_by_the_end() -> None:
    runtime = runtime_of(one_operation("sync", same))
    runtime.process(".in", 1).values(SECONDS)
    raised: list[BaseException] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        runtime.wait_for_result(SECONDS)

    thread = threading.Thread(target=keep_error, args=(wait, raised))
    thread.start()
    arrived(waiting)
    closed(runtime)
    thread.join(SECONDS)

    assert [type(error) for error in raised] == [FlowStoppedError]


def test_process_that_waits_for_room_is_woken_by_the_end() -> None:
    gate = Gate()
    runtime = runtime_of(one_operation("async", gate), capacity=1)
    first = runtime.process(".in", 1)
    arrived(gate.entered)
    outcomes: list[str] = []

    def feed() -> None:
        try:
            outcomes.append(str(runtime.process(".in", 2).values(SECONDS)))
        except FlowStoppedError:
            outcomes.append("stopped")

    feeder = threading.Thread(target=feed)
    feeder.start()
    report = closed(runtime, drain=SHORT)
    feeder.join(SECONDS)
    gate.open()

    assert not feeder.is_alive()
    assert outcomes == ["stopped"]
    assert report.abandoned
    with pytest.raises(FlowStoppedError):
        first.wait(SECONDS)


# --- sources in progress


@attrs.define
class Endless:
    """A generator function that never ends by itself, and tells how it went."""

    begun: threading.Event = attrs.Factory(threading.Event)
    closed: threading.Event = attrs.Factory(threading.Event)
    given: int = 0

    def __call__(self, _: Any) -> Iterator[int]:
        try:
            while True:
                self.given += 1
                yield self.given
                self.begun.set()
        finally:
            self.closed.set()


@each_mode
def test_a_generator_in_progress_is_closed_and_its_run_told(mode: str) -> None:
    endless = Endless()
    seen: list[int] = []
    operations = FlowOperationContainer().add_generator("items", endless)
    MODES[mode](operations)
    runtime = runtime_of(operations.add_action("drop", seen.append), ".in -> items -> drop")
    run = runtime.process(".in", 1)
    arrived(endless.begun)
    report = closed(runtime)

    arrived(endless.closed)
    assert report.discarded == 1
    assert report.abandoned == ()
    assert str(report) == "closed; 1 message discarded"
    with pytest.raises(FlowStoppedError):
        run.wait(SECONDS)
    # What it had given was worked off: every item was seen or was never sent.
    ledger = run.ledger
    assert ledger.balanced
    assert (ledger.accepted, ledger.discarded, ledger.live) == (1, 1, 0)
    assert ledger.absorbed == len(seen)
    assert seen == list(range(1, len(seen) + 1))


def test_leaving_the_with_block_says_what_had_to_be_discarded() -> None:
    endless = Endless()
    operations = FlowOperationContainer().add_generator("items", endless)
    operations.add_action("drop", lambda _: None)
    with (
        pytest.raises(FlowStoppedError) as caught,
        runtime_of(operations, ".in -> items -> drop", name="demo") as runtime,
    ):
        runtime.process(".in", 1)
        arrived(endless.begun)

    report: Any = caught.value.report
    assert report.discarded == 1
    assert str(caught.value) == f'runtime "demo": {report}.'


def test_a_list_in_memory_is_worked_off_however_long() -> None:
    gate = Gate()
    operations = one_operation("async", gate)
    operations.add_operation(Scatter("scatter", window=4)).add_operation(Gather("gather"))
    runtime = runtime_of(
        operations,
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
    )
    run = runtime.process(".in", list(range(100)))
    arrived(gate.entered)
    gate.open()

    assert closed(runtime).clean
    assert run.values(SECONDS) == [list(range(100))]


@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@pytest.mark.parametrize("counted", [True, False])
def test_an_endless_list_ends_without_a_list(on_missing: Any, counted: bool) -> None:
    endless = Endless()
    operations = one_operation("parallel", same)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing=on_missing))
    chains = [".in -> scatter", "scatter.stream -> work -> gather.stream", "gather -> .out"]
    if counted:
        chains.append("scatter.count -> gather.count")
    runtime = runtime_of(operations, *chains)
    run = runtime.process(".in", endless(None))
    arrived(endless.begun)
    report = closed(runtime)

    arrived(endless.closed)
    assert not report.clean
    with pytest.raises(FlowStoppedError):
        run.wait(SECONDS)
    assert run.ledger.delivered == 0
    assert run.ledger.balanced
    assert run.ledger.held == run.ledger.live == 0


def test_an_iterable_given_to_process_many_is_pulled_no_further() -> None:
    gate = threading.Event()
    raised: list[BaseException] = []

    def items() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            if number == 5:
                gate.set()

    def feed() -> None:
        try:
            runtime.process_many(".in", items())
        except FlowStoppedError as error:
            raised.append(error)

    runtime = runtime_of(FlowOperationContainer().add_action("work", lambda _: None), ".in -> work")
    feeder = threading.Thread(target=feed)
    feeder.start()
    arrived(gate)
    closed(runtime)
    feeder.join(SECONDS)

    assert not feeder.is_alive()
    assert len(raised) == 1


# --- what never returns


@threaded
def test_a_worker_that_never_returns_is_abandoned_by_name(mode: str) -> None:
    gate = Gate()
    runtime = runtime_of(one_operation(mode, gate), name="demo")
    run = runtime.process(".in", 1)
    other = runtime.process(".in", 2)
    arrived(gate.entered)
    try:
        report = closed(runtime, drain=SHORT)

        assert not report.clean
        assert report.discarded == 2
        assert 1 <= len(report.abandoned) <= 2
        assert all('operation "work" on thread "demo/work' in name for name in report.abandoned)
        assert report.abandoned[0] in str(report)
        for each in (run, other):
            with pytest.raises(FlowStoppedError):
                each.wait(SECONDS)
            assert each.ledger.balanced
            assert each.ledger.discarded == 1
    finally:
        gate.open()


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
def test_an_operation_that_never_returns_to_the_engine_is_abandoned_by_name(schedule: Any) -> None:
    gate = Gate()
    runtime = runtime_of(one_operation("sync", gate), name="demo", schedule=schedule)
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    behind = runtime.process(".in", 2)
    raised: list[BaseException] = []
    waiter = threading.Thread(target=keep_error, args=(lambda: run.wait(SECONDS), raised))
    waiter.start()
    try:
        report = closed(runtime, drain=SHORT)
        waiter.join(SECONDS)

        assert not waiter.is_alive()
        assert [type(error) for error in raised] == [FlowStoppedError]
        assert len(report.abandoned) == 1
        assert '"work"' in report.abandoned[0]
        assert report.discarded >= 1
        with pytest.raises(FlowStoppedError):
            behind.wait(SECONDS)
        with pytest.raises(FlowStoppedError):
            runtime.process(".in", 3)
    finally:
        gate.open()


def test_a_generator_that_never_yields_is_abandoned_by_name() -> None:
    gate = Gate()

    def items(number: int) -> Iterator[int]:
        yield gate(number)

    operations = FlowOperationContainer().add_generator("items", items).make_async()
    runtime = runtime_of(operations, ".in -> items -> .out", name="demo")
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    try:
        report = closed(runtime, drain=SHORT)

        assert len(report.abandoned) == 1
        assert '"items"' in report.abandoned[0]
        with pytest.raises(FlowStoppedError):
            run.wait(SECONDS)
        assert run.ledger.balanced
    finally:
        gate.open()


def test_the_deadline_ends_what_goes_on_for_ever() -> None:
    def step(number: int, again: Callable[[int], None]) -> None:
        again(number + 1)

    runtime = runtime_of(FlowOperationContainer().add_action("work", step), ".in -> work -> work")
    run = runtime.process(".in", 0)
    report = closed(runtime, drain=SECONDS, deadline=SHORT)

    assert report.discarded == 1
    assert report.abandoned == ()
    with pytest.raises(FlowStoppedError):
        run.wait(SECONDS)
    assert run.ledger.balanced


def test_leaving_the_with_block_raises_what_an_earlier_close_reported() -> None:
    gate = Gate()
    try:
        with (
            pytest.raises(FlowStoppedError) as caught,
            runtime_of(one_operation("async", gate)) as runtime,
        ):
            runtime.process(".in", 1)
            arrived(gate.entered)
            report = runtime.close(drain=SHORT)
        assert caught.value.report is report
        assert "abandoned" in str(caught.value)
    finally:
        gate.open()


def test_what_an_abandoned_worker_brings_late_changes_nothing() -> None:
    gate = Gate()
    done = threading.Event()

    def work(number: int, on_number: Callable[[int], None]) -> None:
        on_number(number)
        gate(number)
        on_number(number)
        done.set()

    seen: list[int] = []
    operations = FlowOperationContainer().add_action("work", work).make_async()
    runtime = runtime_of(operations, ".in -> work -> .out")
    runtime.on_result(lambda message: seen.append(message.data))
    run = runtime.process(".in", 1)
    arrived(gate.entered)
    closed(runtime, drain=SHORT)
    before, ledger = len(seen), str(run.ledger)
    gate.open()
    arrived(done)

    assert len(seen) == before
    assert str(run.ledger) == ledger


def test_an_operation_does_not_start_after_the_close_has_returned() -> None:
    gate = Gate()
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        gate(number)
        return number

    runtime = runtime_of(one_operation("async", work))
    run = runtime.process_many(".in", range(10))
    arrived(gate.entered)
    closed(runtime, drain=SHORT)
    before = list(started)
    gate.open()
    with pytest.raises(FlowStoppedError):
        run.wait(SECONDS)
    for thread in threading.enumerate():
        if thread.name.startswith(runtime.name):
            thread.join(SECONDS)

    assert started == before


# --- nothing left behind


@attrs.define(eq=False)
class Thing:
    """Something that can be weakly referred to."""

    number: int = 0


def references_after(schedule: Any, mode: str, work: Callable[..., Any]) -> list[Any]:
    """Run things through a flow, close it, and return what of them is still alive."""
    alive: list[weakref.ref[Thing]] = []
    runtime = runtime_of(
        one_operation(mode, work)
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather", on_missing="skip")),
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "gather -> .out",
        schedule=schedule,
    )
    things = [Thing(number) for number in range(50)]
    alive += [weakref.ref(thing) for thing in things]
    run = runtime.process(".in", things)
    del things
    run.wait(SECONDS)
    run.values(SECONDS)
    del run  # which keeps what was read of it
    on_thread(runtime.close)
    gc.collect()
    return [reference() for reference in alive if reference() is not None]


@by_schedule
@each_mode
def test_a_closed_runtime_refers_to_no_message(schedule: Any, mode: str) -> None:
    assert references_after(schedule, mode, same) == []


@each_mode
def test_an_open_runtime_refers_to_no_message_that_has_ended(mode: str) -> None:
    runtime = runtime_of(one_operation(mode, same))
    thing = Thing()
    alive = weakref.ref(thing)
    run = runtime.process(".in", thing)
    del thing
    run.values(SECONDS)
    del run  # which keeps what was read of it
    runtime.wait_idle(SECONDS)
    # The worker gives its last message up when it goes back to waiting.
    with runtime:
        for _ in range(100):
            gc.collect()
            if alive() is None:
                break
            threading.Event().wait(0.01)
        assert alive() is None


@each_mode
def test_a_stored_error_keeps_only_its_own_message_alive(mode: str) -> None:
    def refuse_fives(thing: Thing) -> int:
        if thing.number == 5:
            raise ValueError("five")
        return thing.number

    alive: list[weakref.ref[Thing]] = []
    runtime = runtime_of(one_operation(mode, refuse_fives))

    def things() -> list[Thing]:
        made = [Thing(number) for number in range(20)]
        alive.extend(weakref.ref(thing) for thing in made)
        return made

    run = runtime.process_many(".in", things())
    with pytest.raises(OperationError):
        run.wait(SECONDS)
    on_thread(runtime.close)
    (error,) = run.failures
    gc.collect()

    left = [thing.number for reference in alive if (thing := reference()) is not None]
    assert set(left) <= {5}
    assert isinstance(error, OperationError)
    assert error.message is not None
    assert error.message.data.number == 5
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.__traceback__ is not None  # the line is kept, its locals are not


def test_a_runtime_that_nobody_refers_to_can_be_collected() -> None:
    with runtime_of(one_operation("parallel", same)) as runtime:
        runtime.process(".in", 1).values(SECONDS)
    alive = weakref.ref(runtime)
    del runtime
    gc.collect()

    assert alive() is None


@threaded
def test_no_thread_is_left(mode: str) -> None:
    """B179 (BUG), B186 (BUG): pools start with their work and end with their runtime."""
    before = set(threading.enumerate())
    with runtime_of(one_operation(mode, same)) as runtime:
        runtime.process_many(".in", range(50)).values(SECONDS)
        assert set(threading.enumerate()) > before

    assert set(threading.enumerate()) == before


# --- what nobody saw


def test_a_failure_that_nobody_saw_is_raised_by_the_end() -> None:
    with pytest.raises(OperationError) as caught, runtime_of(one_operation("sync", refuse)) as runtime:
        run = runtime.process(".in", 1)
        runtime.wait_idle(SECONDS)

    assert caught.value is run.failure


def test_several_failures_that_nobody_saw_are_raised_as_a_group() -> None:
    with pytest.raises(ExceptionGroup) as caught, runtime_of(one_operation("async", refuse)) as runtime:
        runs = [runtime.process(".in", number) for number in range(3)]

    assert list(caught.value.exceptions) == [run.failure for run in runs]
    assert all(isinstance(error, OperationError) for error in caught.value.exceptions)


def test_a_failure_that_somebody_saw_is_not_raised_again() -> None:
    with runtime_of(one_operation("async", refuse)) as runtime:
        first, second, third = (runtime.process(".in", number) for number in range(3))
        with pytest.raises(OperationError):
            first.wait(SECONDS)
        with pytest.raises(OperationError):
            first.values(SECONDS)
        seen = []
        for _ in range(2):
            with pytest.raises(OperationError) as caught:
                runtime.wait_for_result(SECONDS)
            seen.append(caught.value)

    assert seen == [second.failure, third.failure]


def test_close_raises_what_nobody_saw_once() -> None:
    runtime = runtime_of(one_operation("async", refuse))
    runtime.process(".in", 1)
    with pytest.raises(OperationError):
        runtime.close()

    assert runtime.close().clean


def test_the_error_of_the_body_is_not_masked() -> None:
    body = LookupError("of the body")
    with (
        pytest.raises(LookupError) as caught,
        runtime_of(one_operation("async", refuse), name="demo") as runtime,
    ):
        runtime.process(".in", 1)
        runtime.wait_idle(SECONDS)
        raise body

    assert caught.value is body
    (note,) = caught.value.__notes__
    assert note.startswith('runtime "demo" also had an error nobody saw: OperationError: operation "work"')


def test_the_error_of_the_body_that_is_the_failure_gets_no_note_of_itself() -> None:
    with pytest.raises(OperationError) as caught, runtime_of(one_operation("async", refuse)) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    assert not [note for note in caught.value.__notes__ if "nobody saw" in note]


def test_a_body_that_fails_discards_what_has_not_begun() -> None:
    """N4: it drained."""
    gate = Gate()
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    with pytest.raises(LookupError), runtime_of(operations, ".in -> work") as runtime:
        run = runtime.process_many(".in", range(100))
        arrived(gate.entered)
        gate.open()
        raise LookupError

    assert run.ledger.discarded
    assert run.ledger.balanced


# --- what stops the interpreter stops the runtime

STOPPERS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
}
both_stoppers = pytest.mark.parametrize("stopper", STOPPERS)


@by_schedule
@each_mode
@both_stoppers
def test_what_stops_the_interpreter_is_raised_to_who_waits(schedule: Any, mode: str, stopper: str) -> None:
    error = STOPPERS[stopper]()

    def stop(_: Any) -> None:
        raise error

    runtime = runtime_of(one_operation(mode, stop), schedule=schedule)
    with pytest.raises(type(error)) as caught:
        runtime.process(".in", 1).wait(SECONDS)
    assert caught.value is error

    closed(runtime)  # it has been seen
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 2)


@each_mode
@both_stoppers
def test_what_stops_the_interpreter_is_raised_by_the_end_if_nobody_waited(mode: str, stopper: str) -> None:
    error = STOPPERS[stopper]()
    raised = threading.Event()

    def stop(_: Any) -> None:
        raised.set()
        raise error

    runtime = runtime_of(one_operation(mode, stop))
    runtime.process(".in", 1)
    arrived(raised)
    with pytest.raises(type(error)) as caught:
        runtime.close()

    assert caught.value is error
    assert closed(runtime) is not None


@threaded
@both_stoppers
def test_what_stops_the_interpreter_wakes_all_who_wait(mode: str, stopper: str) -> None:
    gate = Gate()
    error = STOPPERS[stopper]()
    outcomes: Counter[str] = Counter()

    def work(number: int) -> int:
        if number == 0:
            raise error
        gate(number)
        return number

    operations = one_operation(mode, work).add_func("stop", work).make_async()
    runtime = runtime_of(operations, ".in -> work -> .out", ".stop -> stop")
    held = runtime.process(".in", 1)
    arrived(gate.entered)

    def wait(run: Run) -> None:
        try:
            run.wait(SECONDS)
        except BaseException as raised:
            outcomes[type(raised).__name__] += 1

    waiters = [threading.Thread(target=wait, args=(held,)) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    try:
        with pytest.raises(type(error)):
            runtime.process(".stop", 0).wait(SECONDS)
        for waiter in waiters:
            waiter.join(SECONDS)
        assert not any(waiter.is_alive() for waiter in waiters)
    finally:
        gate.open()
    on_thread(runtime.close)

    assert outcomes.total() == 3
    assert set(outcomes) <= {stopper, "FlowStoppedError"}
    assert held.ledger.balanced


@pytest.mark.parametrize("hook", ["on_result", "on_message", "on_exception"])
def test_what_stops_the_interpreter_stops_it_from_a_subscriber_too(hook: str) -> None:
    def stop(_: Any) -> None:
        raise SystemExit(3)

    runtime = runtime_of(one_operation("async", refuse if hook == "on_exception" else same))
    getattr(runtime, hook)(stop)
    runtime.process(".in", 1)
    with pytest.raises(SystemExit):
        runtime.close()


# --- subscribers that raise


@pytest.mark.parametrize("hook", ["on_result", "on_message"])
def test_a_subscriber_that_raises_is_reported_to_on_exception(hook: str) -> None:
    told: list[BaseException] = []

    def fail(_: Any) -> None:
        raise ValueError("in a subscriber")

    with runtime_of(one_operation("async", same)) as runtime:
        runtime.on_exception(told.append)
        getattr(runtime, hook)(fail)
        run = runtime.process(".in", 1)
        run.wait(SECONDS)

    assert run.ledger.delivered == 1
    assert {str(error.__cause__) for error in told} == {"in a subscriber"}


@pytest.mark.parametrize("hook", ["on_result", "on_message"])
def test_a_subscriber_that_raises_is_reported_by_the_end(hook: str) -> None:
    def fail(message: Any) -> None:
        if message.port.name == "out":
            raise ValueError("in a subscriber")

    with pytest.raises(FlowError) as caught, runtime_of(one_operation("async", same)) as runtime:
        getattr(runtime, hook)(fail)
        run = runtime.process(".in", 1)
        run.wait(SECONDS)

    assert str(caught.value) == (
        f"a subscriber of {hook} raised ValueError; the flow went on. Catch what it may raise inside it."
    )
    assert run.ledger.delivered == 1


def test_a_removed_subscriber_hears_no_more() -> None:
    seen: list[int] = []
    with runtime_of(one_operation("async", same)) as runtime:
        remove = runtime.on_result(lambda message: seen.append(message.data))
        runtime.process(".in", 1).wait(SECONDS)
        remove()
        assert runtime.process(".in", 2).values(SECONDS) == [2]

    assert seen == [1]


# --- cancelling


@each_mode
def test_a_cancelled_run_is_over_at_once_and_alone(mode: str) -> None:
    gate = Gate()
    runtime = runtime_of(
        one_operation(mode, same).add_func("hold", gate).make_async(),
        ".in -> work -> .out",
        ".held -> hold -> .out",
    )
    with runtime:
        run = runtime.process(".held", 1)
        arrived(gate.entered)
        run.cancel()
        run.cancel()
        with pytest.raises(RunCancelledError):
            run.wait(SECONDS)
        assert run.ledger.discarded == 1
        assert run.ledger.balanced
        assert runtime.process(".in", 5).values(SECONDS) == [5]
        gate.open()
        runtime.wait_idle(SECONDS)
        assert list(runtime.results(SECONDS)) == []


def test_cancelling_after_the_end_changes_nothing() -> None:
    with runtime_of(one_operation("sync", same)) as runtime:
        run = runtime.process(".in", 1)
        assert run.values(SECONDS) == [1]
        run.cancel()
        runtime.wait_idle(SECONDS)
    run.cancel()
    run.wait(SECONDS)

    assert run.ledger.delivered == 1


# --- many threads send while it closes


@pytest.mark.parametrize("capacity", [1, 2, 1000])
@each_mode
def test_input_from_many_threads_while_closing_is_refused_or_accounted_for(mode: str, capacity: int) -> None:
    """No call hangs, and every run that was accepted ends: with its result, or with an error that says why not."""
    runtime = runtime_of(one_operation(mode, same), capacity=capacity)
    runs: list[Run] = []
    refused: list[int] = []
    sent = threading.Semaphore(0)

    def feed(first: int) -> None:
        for number in range(first, first + 1000):
            try:
                runs.append(runtime.process(".in", number))
            except FlowStoppedError:
                refused.append(number)
                return
            finally:
                sent.release()

    feeders = [threading.Thread(target=feed, args=(10_000 * number,)) for number in range(4)]
    for feeder in feeders:
        feeder.start()
    for _ in range(40):
        assert sent.acquire(timeout=SECONDS)
    report = closed(runtime)
    for feeder in feeders:
        feeder.join(SECONDS)

    assert not any(feeder.is_alive() for feeder in feeders)
    assert report.abandoned == ()
    delivered = 0
    for run in runs:
        assert run.done
        assert run.ledger.balanced
        if run.ledger.accepted:
            assert run.values(SECONDS) != []
            delivered += 1
        else:
            with pytest.raises(FlowStoppedError):
                run.wait(SECONDS)
    assert delivered >= 36


@pytest.mark.parametrize("capacity", [1, 2])
def test_process_many_from_many_threads_while_closing_loses_nothing(capacity: int) -> None:
    seen: list[int] = []
    runtime = runtime_of(
        FlowOperationContainer().add_action("work", seen.append).make_async(),
        ".in -> work",
        capacity=capacity,
    )
    pulled: list[int] = []
    enough = threading.Semaphore(0)

    def items(first: int) -> Iterator[int]:
        for number in range(first, first + 100_000):
            pulled.append(number)
            enough.release()
            yield number

    def feed(first: int) -> None:
        with pytest.raises(FlowStoppedError):
            runtime.process_many(".in", items(first))

    feeders = [threading.Thread(target=feed, args=(1_000_000 * number,)) for number in range(3)]
    for feeder in feeders:
        feeder.start()
    for _ in range(60):
        assert enough.acquire(timeout=SECONDS)
    closed(runtime)
    for feeder in feeders:
        feeder.join(SECONDS)

    assert not any(feeder.is_alive() for feeder in feeders)
    assert len(seen) == len(set(seen))
    # What was pulled and not seen is the one batch a thread had in hand, which was refused.
    assert len(pulled) - len(seen) <= 3 * 2 * max(capacity, 1)


# --- an interrupt inside the engine that a caller's thread has become


class InterruptedEvent(threading.Event):
    """Setting it is interrupted when the countdown of the class is over."""

    countdown = 0

    def set(self) -> None:
        cls = InterruptedEvent
        cls.countdown -= 1
        if cls.countdown == 0:
            raise KeyboardInterrupt
        super().set()


@pytest.mark.parametrize("nth", range(1, 9))
def test_an_interrupt_while_a_worker_is_woken_leaves_no_worker_asleep(nth: int) -> None:
    InterruptedEvent.countdown = 0
    seams = Seams(event=InterruptedEvent)
    runtime = runtime_of(one_operation("parallel", same), schedule="sync", seams=seams)
    runtime.process_many(".in", range(5)).wait(SECONDS)
    InterruptedEvent.countdown = nth
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(20):
            runtime.process(".in", number)
    InterruptedEvent.countdown = 0

    with contextlib.suppress(KeyboardInterrupt):
        assert closed(runtime).abandoned == ()


# --- what cannot be started


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_thread_that_cannot_be_started_is_a_named_error(nth: int, persistent: bool) -> None:
    """The N-th start fails, for every N: the work is done all the same, or whoever waits is told; and no thread is left."""
    starts = count(1)

    def spawn(work: Callable[[], None], name: str) -> ThreadLike:
        number = next(starts)
        if number == nth or (persistent and number > nth):
            raise FlowError(f'thread "{name}" cannot be started')
        return spawn_thread(work, name)

    operations = one_operation("async", same).add_func("more", same).make_parallel(3)
    runtime = runtime_of(operations, ".in -> work -> more -> .out", seams=Seams(spawn=spawn))
    try:
        values = runtime.process_many(".in", range(30)).values(SECONDS)
    except FlowError as error:
        told = error if error.__cause__ is None else error.__cause__
        assert "cannot be started" in str(told)
    else:
        assert sorted(values) == list(range(30))
    with contextlib.suppress(FlowError):
        on_thread(runtime.close)


# --- a simulated runtime closes like any other


@pytest.mark.parametrize("seed", range(20))
def test_a_simulated_runtime_drains(seed: int) -> None:
    operations = one_operation("parallel", same).add_operation(PushCausality("push"))
    with runtime_of(operations, ".in -> push -> work -> .out", seams=simulated(seed)) as runtime:
        run = runtime.process_many(".in", range(20))

    assert run.done
    assert sorted(run.values()) == list(range(20))


@pytest.mark.parametrize("seed", range(20))
def test_a_simulated_generator_in_progress_is_stopped(seed: int) -> None:
    endless = Endless()
    operations = FlowOperationContainer().add_generator("items", endless).make_async()
    operations.add_func("work", same).make_parallel(2)
    runtime = runtime_of(operations, ".in -> items -> work -> .out", seams=simulated(seed))
    run = runtime.process(".in", 1)
    run.result()
    report = runtime.close()

    assert endless.closed.is_set()
    assert report.discarded == 1
    with pytest.raises(FlowStoppedError):
        run.wait()
    assert run.ledger.balanced


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_what_keeps_returning_is_drained_however_long_it_takes(mode: str) -> None:
    def slow(number: int) -> int:
        threading.Event().wait(0.02)
        return number

    runtime = runtime_of(one_operation(mode, slow))
    run = runtime.process_many(".in", range(60))

    report = runtime.close(drain=0.3, deadline=SECONDS)

    assert report.clean, str(report)
    assert sorted(run.values()) == list(range(60))


def test_of_many_errors_of_subscribers_the_first_are_raised_and_the_others_counted() -> None:
    def refuse(message: Message) -> None:
        raise LookupError(message.port.fullname)

    runtime = runtime_of(one_operation("sync", same))
    runtime.on_result(refuse)
    runtime.process_many(".in", range(150)).wait(SECONDS)

    with pytest.raises(ExceptionGroup) as caught:
        runtime.close()

    assert len(caught.value.exceptions) == 100
    assert caught.value.exceptions[-1].__notes__ == ["and 50 more errors of subscribers"]


# --- F19: the end comes in the midst of a scattered list


class Numbers:
    """Endless; knows how often it was closed."""

    def __init__(self) -> None:
        self.given = threading.Event()
        self.closed = 0
        self._number = count()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        number = next(self._number)
        if number > 100:
            self.given.set()
        return number

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@real_queues
def test_f19_the_end_in_the_midst_of_a_list_gives_no_partial_list(bench: Bench, on_missing: Any) -> None:
    """The table lets the list finish within the drain; by the design sources stop at once, and what they gave drains."""
    numbers = Numbers()
    seen: list[int] = []

    def work(number: int) -> int:
        seen.append(number)
        return number

    runtime = nested(bench, work, counted=True, on_missing=on_missing)
    run = runtime.process(".in", [[1], numbers])
    arrived(numbers.given)
    reports: list[CloseReport] = []
    on_thread(lambda: reports.append(runtime.close()))

    assert numbers.closed == 1
    assert results_of(run) == []
    with pytest.raises(FlowStoppedError):
        run.wait(SECONDS)
    assert reports[0].discarded >= 1
    assert reports[0].abandoned == ()
    assert (run.ledger.live, run.ledger.held, run.ledger.balanced) == (0, 0, True)
    assert sorted(seen) == sorted([1, *range(len(seen) - 1)])  # what the list gave was worked off, and once


# --- F20: the end from anywhere, any number of times


@every_mode
def test_f20_closing_from_everywhere_at_once_is_one_end(bench: Bench) -> None:
    """From an operation, from handlers, before any input, twice: inside it marks and returns; outside all get the same report."""
    inside: list[CloseReport] = []

    def close(data: Any) -> Any:
        inside.append(runtime.close())
        inside.append(runtime.close())
        return data

    def hear(message: Any) -> None:
        inside.append(runtime.close())

    runtime = bench.wired(".in -> close -> after -> .out", funcs={"close": close, "after": same})
    runtime.on_message(hear)
    run = runtime.process(".in", 1)
    run.wait(SECONDS)

    outside: list[CloseReport] = []
    if bench.mode.simulated:
        outside = [runtime.close() for _ in range(3)]
    else:
        threads = [threading.Thread(target=lambda: outside.append(runtime.close())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in threads)
    assert run.values(SECONDS) == [1]  # what was live drained
    assert len(inside) >= 4
    assert all(report.pending for report in inside[:2])
    assert all(report == outside[0] for report in outside)
    assert outside[0].clean
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 2)


@every_mode
def test_f20_closing_before_anything_has_begun_is_clean(bench: Bench) -> None:
    runtime = bench.wired(".in -> work -> .out", funcs={"work": same})

    assert runtime.close().clean
    assert runtime.close().clean
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)
    with pytest.raises(FlowStoppedError):
        runtime.add_stream(".other", "work")
    assert list(runtime.results(SECONDS)) == []


@by_schedule
@pytest.mark.parametrize("where", ["operation", "on_result", "on_message", "on_exception"])
def test_closing_from_wherever_flowrt_calls_marks_and_returns(schedule: Any, where: str) -> None:
    """B185 (BUG): there, a thread waits for itself."""
    closed: list[Any] = []

    def close(_: Any) -> None:
        if not closed:
            closed.append(runtime.close())

    operations = FlowOperationContainer().add_func("work", close if where == "operation" else same)
    operations.add_func("refuse", refuse)
    runtime = FlowRuntime(schedule=schedule).add_operations(operations)
    wire(runtime, ".in -> work -> .out", ".refuse -> refuse")
    if where != "operation":
        getattr(runtime, where)(close)
    run = runtime.process(".refuse" if where == "on_exception" else ".in", 1)
    run.wait(SECONDS)

    assert len(closed) == 1
    assert closed[0].pending
    assert not runtime.close().pending


@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_closing_from_inside_is_pending_and_then_done(schedule: Any) -> None:
    """B185 (BUG)."""
    reports: list[CloseReport] = []
    runtime = runtime_of(work_of("sync", lambda _: reports.append(runtime.close())), schedule=schedule)

    runtime.process(".in", 1).wait(SECONDS)
    last = runtime.close()

    assert [str(report) for report in reports] == ["closing; what is live drains first"]
    assert last.clean


# --- F16: downstream is dead, upstream waits for room


@pytest.mark.parametrize("death", [SystemExit, KeyboardInterrupt])
@real_queues
def test_f16_upstream_is_told_when_downstream_stops_everything(
    bench: Bench, death: type[BaseException]
) -> None:
    """By the design an operation that raises is not dead: only what ends the program ends the consumer for good."""
    pulled: list[int] = []
    ended: list[BaseException] = []

    def consume(number: int) -> None:
        if number == 50:
            raise death(1)

    def endless() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    runtime = bench.wired(".in -> consume -> .out", funcs={"consume": consume}, name="f16", capacity=4)
    runtime.on_result(lambda _: None)

    def feed() -> None:
        try:
            runtime.process_many(".in", endless())
        except (FlowError, SystemExit, KeyboardInterrupt) as error:
            ended.append(error)

    on_thread(feed)  # returns at all

    assert isinstance(ended[0], FlowStoppedError | death)
    assert 50 < len(pulled) < 50 + 300  # at most a batch more than there was room for
    with pytest.raises((FlowStoppedError, death)):
        runtime.process(".in", 1)
    try:
        assert runtime.close().abandoned == ()
    except death:
        assert runtime.close().abandoned == ()


# --- what comes while it stops


def leaving(gate: Gate) -> Callable[[Any], None]:
    """Wait at the gate, then stop the runtime."""

    def leave(data: Any) -> None:
        gate(data)
        raise SystemExit(3)

    return leave


def test_input_that_came_before_the_stop_and_after_its_cause_is_refused_not_lost() -> None:
    gate = Gate()
    runtime = runtime_of(work_of("sync", leaving(gate)), ".in -> work", ".other -> .out")
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
    runtime = runtime_of(work_of("sync", leaving(gate)), ".in -> work", ".other -> .out")
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

    runtime = runtime_of(work_of("parallel"), ".in -> work -> scatter", max_live=50)
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
    runtime = runtime_of(work_of("sync", gate), schedule="sync")
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
    runtime = runtime_of(work_of("sync", leaving(gate)), schedule="sync")

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


# --- what is said of the end


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
    runtime = runtime_of(work_of("async", gate), name="flow", seams=Seams(clock=clock))
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


def test_an_inline_executor_has_nothing_to_wait_for() -> None:
    with runtime_of(work_of("sync")) as runtime:
        runtime.process(".in", 1).wait(SECONDS)
        executor = InlineExecutor(runtime._owner.engine, FakeClock())

        executor.stop()
        left = (executor.in_work(), executor.unreported(), executor.thread_idents(), executor.join(SECONDS))

    assert left == ([], [], (), ())


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
    runtime = runtime_of(work_of("async", gate), name="flow")
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
