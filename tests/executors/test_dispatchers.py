"""Dispatchers: operations whose calls are made on an event loop's thread, on the main thread, on whatever thread somebody else runs."""

from __future__ import annotations

import asyncio
import gc
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from attrs import evolve

from flowrt import (
    FlowOperationContainer,
    FlowRuntime,
    Message,
    Operation,
    current,
    errors,
    in_port,
    operation,
    out_port,
)
from flowrt.executors.dispatched import DispatchedExecutor
from flowrt.executors.dispatchers import AsyncioDispatcher, MainThreadDispatcher
from flowrt.executors.pools import ExecutorPools
from flowrt.executors.seams import Seams
from flowrt.executors.threads import thread_pools
from flowrt.standard import Debounce, Gather
from flowrt.testing import assert_same_in_all_modes, check_executor
from tests.kit.flows import SCHEDULES, flow_of, wire
from tests.kit.functions import SECONDS, Gate, arrived, increment, same


class OwnLoop:
    """A dispatcher of one's own: a thread that calls what it finds in a queue. Nothing but `dispatch`."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.run, name="own loop", daemon=True)
        self.left: list[BaseException] = []
        self.thread.start()

    def dispatch(self, call: Callable[[], None]) -> None:
        self.calls.put(call)

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            try:
                call()
            except BaseException as error:
                self.left.append(error)
            call = None

    def close(self) -> None:
        self.calls.put(None)
        self.thread.join(SECONDS)


@pytest.fixture
def own_loop() -> Iterator[OwnLoop]:
    loop = OwnLoop()
    yield loop
    loop.close()


class Kept:
    """A dispatcher that only keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def dispatch(self, call: Callable[[], None]) -> None:
        self.calls.append(call)


class InPlace:
    """A dispatcher that calls at once, on whatever thread asks it to."""

    def dispatch(self, call: Callable[[], None]) -> None:
        call()


def wait_until(ready: Callable[[], bool]) -> None:
    while not ready():
        threading.Event().wait(0.005)


def wait_for_a_call(kept: Kept, runtime: FlowRuntime) -> None:
    """Until the dispatcher was given one; the engine takes each picture when it has gone on."""
    while not kept.calls:
        runtime.explain()


def where() -> str:
    return threading.current_thread().name


def showing(dispatcher: Any, show: Callable[[Any], Any], **options: Any) -> FlowRuntime:
    """A runtime for `.in -> show -> .out`, `show` being dispatched."""
    runtime = FlowRuntime(name="shown", **options)
    runtime.add_operations(FlowOperationContainer().add_func("show", show).make_sync(dispatcher))
    wire(runtime, ".in -> show -> .out")
    return runtime


@contextmanager
def asyncio_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="event loop")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


# --- where calls are made


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("parallelism", [True, False])
def test_a_dispatched_operation_runs_on_the_dispatchers_thread_in_order(
    own_loop: OwnLoop, schedule: Any, *, parallelism: bool
) -> None:
    """B270, B273: any object with `dispatch` will do; the operation knows its call; what is around it stays where it is."""
    seen: list[tuple[str, str]] = []

    def show(number: int) -> int:
        seen.append((where(), current().operation))
        return number

    with FlowRuntime(schedule=schedule, parallelism=parallelism) as runtime:
        operations = FlowOperationContainer().add_func("show", show).make_sync(own_loop)
        runtime.add_operations(operations.add_func("thread", lambda _: where()))
        wire(runtime, ".in -> show -> .out", "show -> thread -> .thread")
        results = list(runtime.process_many(".in", range(2_000)).results(SECONDS))

    assert [message.data for message in results if message.port.name == "out"] == list(range(2_000))
    assert set(seen) == {("own loop", "show")}
    assert "own loop" not in {message.data for message in results if message.port.name == "thread"}


@contextmanager
def main_loop() -> Iterator[MainThreadDispatcher]:
    """A dispatcher of a thread of its own, with a loop that makes the calls."""
    made: queue.SimpleQueue[MainThreadDispatcher] = queue.SimpleQueue()
    over = threading.Event()

    def serve() -> None:
        dispatcher = MainThreadDispatcher()
        made.put(dispatcher)
        while not over.is_set():
            if dispatcher.wait_pending(0.05):
                dispatcher.run_pending()

    thread = threading.Thread(target=serve, name="main loop", daemon=True)
    thread.start()
    yield made.get()
    over.set()
    thread.join(SECONDS)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", ["asyncio", "main thread"])
def test_the_dispatchers_that_come_with_flowrt_call_on_their_threads(schedule: Any, kind: str) -> None:
    """B273: see test_tk.py for windows."""
    seen: list[str] = []

    def show(number: int) -> int:
        seen.append(where())
        return number

    with ExitStack() as stack:
        if kind == "asyncio":
            dispatcher: Any = AsyncioDispatcher(stack.enter_context(asyncio_loop()))
        else:
            dispatcher = stack.enter_context(main_loop())
        with showing(dispatcher, show, schedule=schedule) as runtime:
            assert runtime.process(".in", 1).result(SECONDS).data == 1
            assert runtime.process_many(".in", range(100)).values(SECONDS) == list(range(100))

    assert set(seen) == {"event loop" if kind == "asyncio" else "main loop"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_two_dispatchers_and_two_runtimes_do_not_mix(schedule: Any) -> None:
    """B274: a dispatcher belongs to one operation, not to the process, and what counts is the thread it was made for, not where a flow is built."""
    loops = [OwnLoop(), OwnLoop()]
    for number, loop in enumerate(loops):
        loop.thread.name = f"loop {number}"
    operations = FlowOperationContainer()
    for number, loop in enumerate(loops):
        operations.add_func(f"thread{number}", lambda _: where()).make_sync(loop)
    for _ in range(2):
        with FlowRuntime(schedule=schedule) as runtime:
            wire(runtime.add_operations(operations), ".in -> thread0 -> .out", ".in -> thread1 -> .out")
            assert sorted(runtime.process(".in", 1).values(SECONDS)) == ["loop 0", "loop 1"]
    operations["thread1"].make_sync(loops[0])["thread0"].make_sync()  # and it can be replaced
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime.add_operations(operations), ".in -> thread0 -> .out", ".in -> thread1 -> .out")
        values = runtime.process(".in", 1).values(SECONDS)
    for loop in loops:
        loop.close()

    assert "loop 0" in values
    assert "loop 1" not in values


def test_actions_generators_and_operations_with_state_can_be_dispatched(own_loop: OwnLoop) -> None:
    class Count(Operation):
        in_ports = out_ports = ("",)

        def create(self) -> list[int]:
            return [0]

        def handle(self, state: list[int], message: Message, emit: Any) -> None:
            state[0] += message.data
            emit((where(), state[0]))

    def each(text: str) -> Iterator[tuple[str, str]]:
        for letter in text:
            yield where(), letter

    def both(data: Any, on_one: Callable[[Any], None], on_two: Callable[[Any], None]) -> None:
        on_one((where(), data))
        on_two((where(), data))

    operations = FlowOperationContainer().add_operation(Count("count")).make_sync(own_loop)
    operations.add_generator("each", each).make_sync(own_loop).add_action("both", both).make_sync(own_loop)
    with FlowRuntime() as runtime:
        runtime.add_operations(operations)
        wire(
            runtime,
            ".in -> count -> .out",
            ".text -> each -> .out",
            ".both -> both.on_one -> .out",
            "both.on_two -> .out",
        )
        counted = runtime.process_many(".in", [1, 2, 3]).values(SECONDS)
        letters = runtime.process(".text", "ab").values(SECONDS)
        twice = runtime.process(".both", 1).values(SECONDS)

    assert counted == [("own loop", 1), ("own loop", 3), ("own loop", 6)]
    assert letters == [("own loop", "a"), ("own loop", "b")]
    assert twice == [("own loop", 1)] * 2


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_mark_of_a_function_or_of_a_components_method_says_that_it_is_dispatched(
    own_loop: OwnLoop, schedule: Any
) -> None:
    """B272."""

    @operation(mode=own_loop)
    def show(_: Any) -> str:
        return where()

    class Display:
        shown = out_port()

        @in_port(mode=own_loop)
        def show(self) -> None:
            self.shown(where())

    operations = FlowOperationContainer().add_func("show", show).add_component("display", Display)
    with FlowRuntime(schedule=schedule) as runtime:
        wire(
            runtime.add_operations(operations),
            ".in -> show -> .out",
            ".in -> display.show",
            "display.shown -> .out",
        )
        assert runtime.process(".in").values(SECONDS) == ["own loop"] * 2


# --- one call at a time, and not for long


def test_calls_of_one_operation_do_not_overlap_though_the_dispatcher_has_many_threads() -> None:
    """B270: also where the dispatcher would call two at once."""

    class Threads:
        def dispatch(self, call: Callable[[], None]) -> None:
            thread = threading.Thread(target=call)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    inside = threading.Lock()

    def show(number: int) -> int:
        assert inside.acquire(blocking=False)
        threading.Event().wait(0.0003)
        inside.release()
        return number

    with showing(Threads(), show) as runtime:
        runs = [runtime.process(".in", number) for number in range(200)]
        values = [run.result(SECONDS).data for run in runs]
    for thread in threads:
        thread.join(SECONDS)

    assert values == list(range(200))
    assert len(threads) > 1


def test_while_a_call_is_made_the_dispatcher_is_given_no_other_of_that_operation() -> None:
    """B270."""
    calls: list[Callable[[], None]] = []
    gate = Gate()

    class Threads:
        def dispatch(self, call: Callable[[], None]) -> None:
            calls.append(call)
            threading.Thread(target=call, daemon=True).start()

    with showing(Threads(), gate) as runtime:
        runtime.add_stream(".past", ".out")
        first = runtime.process(".in", 1)
        arrived(gate.entered)
        others = [runtime.process(".in", number) for number in range(2, 10)]
        runtime.process(".past").wait(SECONDS)  # the engine has been at the others, too
        runtime.explain()
        given = len(calls)
        gate.open()

        assert [run.result(SECONDS).data for run in (first, *others)] == list(range(1, 10))
    assert given == 1


def test_a_dispatcher_is_given_about_a_millisecond_at_a_time_and_gets_its_thread_back_in_between() -> None:
    """Cheap calls come in groups, long ones alone, also when cheap ones turn long."""
    kept = Kept()
    clock = Seams().clock
    now = [0.0]

    class Clock:
        def now(self) -> float:
            return now[0] or clock.now()

    made: list[int] = []

    def show(number: int) -> int:
        now[0] += 0.000_01 if number < 1_000 else 0.002
        made.append(number)
        return number

    groups: list[list[int]] = []
    runtime = showing(kept, show, seams=evolve(Seams(), clock=Clock()))
    now[0] = 1.0
    run = runtime.process_many(".in", range(1_020))
    while not run.done:
        if kept.calls:
            made.clear()
            kept.calls.pop(0)()
            groups.append(list(made))
    runtime.close()

    assert [number for group in groups for number in group] == list(range(1_020))
    cheap = [group for group in groups if group[-1] < 1_000]
    assert max(map(len, cheap)) > 50
    assert all(len([number for number in group if number >= 1_000]) <= 1 for group in groups)


def test_while_a_dispatcher_takes_its_time_the_engine_goes_on(own_loop: OwnLoop) -> None:
    gate = Gate()
    operations = (
        FlowOperationContainer().add_func("show", gate).make_sync(own_loop).add_func("add", increment)
    )
    with FlowRuntime(capacity=10) as runtime:
        wire(runtime.add_operations(operations), ".in -> show -> .out", ".add -> add -> .out")
        run = runtime.process(".in", 1)
        arrived(gate.entered)
        assert runtime.process(".add", 1).result(SECONDS).data == 2
        said = str(runtime.explain())
        gate.open()
        run.wait(SECONDS)

    assert "show (dispatched): in a call, 1 message in work" in said
    assert "own loop: in a call for" in said


def test_inside_a_dispatched_call_process_does_not_wait_and_waits_are_refused(own_loop: OwnLoop) -> None:
    refused: list[str] = []

    def show(number: int) -> int:
        if number:
            nested = runtime.process(".in", number - 1)
            with pytest.raises(errors.FlowStalledError, match="it would wait for itself"):
                nested.wait(SECONDS)
            refused.append(where())
        return number

    with showing(own_loop, show, capacity=1) as runtime:
        runtime.process(".in", 5)
        runtime.wait_idle(SECONDS)

    assert refused == ["own loop"] * 5


def test_a_dispatcher_that_calls_in_place_is_served_in_place_without_a_deeper_stack() -> None:
    """B270: without a thread to go to it runs where it is."""
    depths: list[int] = []

    def show(number: int) -> int:
        frame, depth = sys._getframe(), 0
        while frame.f_back is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        return number

    with showing(InPlace(), show) as runtime:
        runs = [runtime.process(".in", number) for number in range(100)]
        runs.append(runtime.process_many(".in", range(5_000)))
        for run in runs:
            run.wait(SECONDS)

    assert max(depths) - min(depths) < 10


# --- errors


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_errors_of_dispatched_calls_are_reported_as_usual(own_loop: OwnLoop, schedule: Any) -> None:
    """B271."""

    def show(number: int) -> float:
        return 1 / number

    with showing(own_loop, show, schedule=schedule) as runtime:
        run = runtime.process_many(".in", [1, 0, 2])
        with pytest.raises(
            errors.OperationError, match=r'operation "show" .* raised ZeroDivisionError'
        ) as caught:
            run.wait(SECONDS)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.__notes__[0] == ".in -> show (dispatched)"
    assert (run.ledger.delivered, run.ledger.failed) == (2, 1)


def test_policies_apply_to_dispatched_calls(own_loop: OwnLoop) -> None:
    """Retried in order; a timeout is refused, since a call on somebody else's thread cannot be given up."""
    tries: list[int] = []

    def show(number: int) -> int:
        tries.append(number)
        if number == 1 and tries.count(1) < 3:
            raise LookupError
        return number

    operations = FlowOperationContainer().add_func("show", show).make_sync(own_loop).retry(3, backoff=0.001)
    with FlowRuntime() as runtime:
        wire(runtime.add_operations(operations), ".in -> show -> .out")
        assert runtime.process_many(".in", [0, 1, 2]).values(SECONDS) == [0, 1, 2]
    assert tries == [0, 1, 1, 1, 2]

    with FlowRuntime() as runtime:
        wire(runtime.add_operations(operations["show"].timeout(1)), ".in -> show -> .out")
        with pytest.raises(
            errors.FlowBuildError, match="called by a dispatcher, on whose thread a call cannot be given up"
        ):
            runtime.process(".in", 1)


def fails_with(runtime: FlowRuntime, kind: type[BaseException]) -> None:
    run = runtime.process(".in", 1)
    with pytest.raises(kind):
        run.wait(SECONDS)
    runtime.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_stops_the_runtime_and_ends_the_dispatchers_loop(
    own_loop: OwnLoop, kind: type[BaseException]
) -> None:
    def leave(_: Any) -> None:
        raise kind(3)

    runtime = showing(own_loop, leave)
    fails_with(runtime, kind)
    own_loop.close()

    assert [type(error) for error in own_loop.left] == [kind]


def test_a_dispatcher_that_raises_fails_the_message_and_is_asked_again() -> None:
    class Moody(OwnLoop):
        broken = True

        def dispatch(self, call: Callable[[], None]) -> None:
            if self.broken:
                raise RuntimeError("the loop is closed")
            super().dispatch(call)

    moody = Moody()
    told: list[errors.OperationError] = []
    with showing(moody, increment) as runtime:
        runs = [runtime.process(".in", number) for number in range(3)]
        for run in runs:
            with pytest.raises(errors.OperationError) as caught:
                run.wait(SECONDS)
            told.append(caught.value)
        moody.broken = False
        assert runtime.process(".in", 1).result(SECONDS).data == 2
    moody.close()

    text = str(told[0])
    assert text.startswith('operation "show" (declared at ')
    assert text.endswith(
        "was not called: its dispatcher Moody did not have it called, dispatch() raised RuntimeError. Close the runtime before what the "
        f"dispatcher belongs to: the event loop, the window, the main loop. RuntimeError: {told[0].__cause__}"
    )
    assert [type(error.__cause__) for error in told] == [RuntimeError] * 3


def test_a_call_that_a_dispatcher_drops_fails_its_messages() -> None:
    """A loop that is closed forgets what it was to call; nobody waits for ever."""
    kept = Kept()
    with showing(kept, increment) as runtime:
        run = runtime.process_many(".in", [1, 2])
        wait_for_a_call(kept, runtime)
        kept.calls.clear()
        with pytest.raises(
            errors.OperationError,
            match="Kept did not have it called, it let go of the call without making it",
        ):
            run.wait(SECONDS)

    assert run.ledger.failed == 2


def test_a_call_made_twice_or_after_the_end_does_nothing_and_holds_no_message() -> None:
    shown: list[Any] = []
    with showing(kept := Kept(), shown.append) as runtime:
        run = runtime.process(".in", 1)
        wait_for_a_call(kept, runtime)
        kept.calls[0]()
        kept.calls[0]()
        run.wait(SECONDS)
    runtime = showing(late := Kept(), shown.append)
    datum = MainThreadDispatcher()  # anything that can be referred to weakly
    held = weakref.ref(datum)
    run = runtime.process(".in", datum)
    wait_for_a_call(late, runtime)
    report = runtime.close(drain=0.0)
    late.calls[0]()
    del datum
    gc.collect()

    assert shown == [1]
    assert run.done
    assert report.discarded == 1
    assert held() is None


def test_a_source_whose_dispatcher_fails_it_ends_with_the_error() -> None:
    """What it has given before counts."""

    class Once(OwnLoop):
        allowed = 2

        def dispatch(self, call: Callable[[], None]) -> None:
            self.allowed -= 1
            if self.allowed < 0:
                raise LookupError
            super().dispatch(call)

    def count(number: int) -> Iterator[int]:
        for each in range(number):
            threading.Event().wait(0.002)  # longer than a turn
            yield each

    once = Once()
    with FlowRuntime() as runtime:
        operations = FlowOperationContainer().add_generator("count", count).make_sync(once)
        wire(runtime.add_operations(operations), ".in -> count -> .out")
        run = runtime.process(".in", 5)
        with pytest.raises(
            errors.OperationError, match=r"Once did not have it called, dispatch\(\) raised LookupError"
        ):
            run.wait(SECONDS)
    once.close()

    assert run.ledger.balanced
    assert run.ledger.delivered == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_dispatcher_that_raises_what_ends_programs_stops_the_runtime(kind: type[BaseException]) -> None:
    class Leaving:
        def dispatch(self, _call: Callable[[], None]) -> None:
            raise kind

    runtime = showing(Leaving(), increment)
    run = runtime.process(".in", 1)
    with pytest.raises(kind):
        run.wait(SECONDS)
    runtime.close()


@pytest.mark.parametrize(
    ("raised", "told"), [(LookupError, errors.FlowInternalError), (KeyboardInterrupt,) * 2]
)
def test_what_goes_wrong_in_flowrt_itself_on_a_dispatchers_thread_stops_the_runtime(
    own_loop: OwnLoop,
    monkeypatch: pytest.MonkeyPatch,
    raised: type[BaseException],
    told: type[BaseException],
) -> None:
    def buggy(*_: Any) -> None:
        raise raised

    monkeypatch.setattr("flowrt.executors.dispatched.perform", buggy)
    runtime = showing(own_loop, increment)
    fails_with(runtime, told)
    own_loop.close()

    assert [type(error) for error in own_loop.left] == ([raised] if raised is told else [])


@pytest.mark.parametrize("what", ["calls in place and raises", "calls an earlier one again"])
def test_what_a_dispatcher_once_called_in_place_does_not_take_later_calls_off_its_thread(what: str) -> None:
    class Confused(OwnLoop):
        earlier: Callable[[], None] | None = None

        def dispatch(self, call: Callable[[], None]) -> None:
            earlier, self.earlier = self.earlier, call
            if what == "calls in place and raises" and earlier is None:
                call()
                raise LookupError
            if what == "calls an earlier one again" and earlier is not None:
                earlier()
            super().dispatch(call)

    confused = Confused()
    threads: list[str] = []
    with showing(confused, lambda _: threads.append(threading.current_thread().name)) as runtime:
        for number in range(3):
            with suppress(errors.OperationError):
                runtime.process(".in", number).wait(SECONDS)
    confused.close()

    assert set(threads) == {"own loop"}


@pytest.mark.parametrize("in_place_first", [False, True])
def test_calls_do_not_overlap_though_a_dispatcher_makes_them_elsewhere_and_in_place(
    in_place_first: bool,
) -> None:
    gate = Gate()

    class Everywhere(OwnLoop):
        def dispatch(self, call: Callable[[], None]) -> None:
            if in_place_first:
                call()
            super().dispatch(call)
            assert gate.entered.wait(SECONDS)
            if not in_place_first:
                call()

    everywhere = Everywhere()
    threads: list[str] = []

    def show(number: int) -> None:
        threads.append(threading.current_thread().name)
        gate(number)

    with showing(everywhere, show) as runtime:
        run = runtime.process_many(".in", range(3))
        assert gate.entered.wait(SECONDS)
        runtime.emit_from("show").wait(SECONDS)  # the engine is back from dispatch()
        assert threads == ["own loop"]
        gate.open()
        run.wait(SECONDS)
    everywhere.close()


def test_messages_of_a_cancelled_run_are_not_begun() -> None:
    dispatcher = MainThreadDispatcher()
    shown: list[int] = []
    with showing(dispatcher, shown.append) as runtime:
        runs = [runtime.process(".in", number) for number in range(3)]
        while "3 messages waiting" not in str(runtime.explain()):
            pass
        runs[1].cancel()
        while not runs[1].done:
            runtime.explain()
        runs[2].wait(SECONDS)
        with pytest.raises(errors.RunCancelledError):
            runs[1].wait(SECONDS)

    assert shown == [0, 2]


# --- a dispatcher that does not come to it


def test_closing_over_a_dispatcher_that_never_calls_ends_and_names_it() -> None:
    runtime = showing(Kept(), increment)
    run = runtime.process(".in", 1)
    report = runtime.close(drain=0.05)

    assert report.abandoned == ('operation "show", which waited for dispatcher Kept',)
    assert str(report) == (
        'closed; 1 message discarded; abandoned, since they did not return: operation "show", which waited for dispatcher Kept'
    )
    with pytest.raises(errors.FlowStoppedError):
        run.result(SECONDS)


def test_what_a_close_without_patience_leaves_on_its_own_thread_is_not_the_dispatchers_fault() -> None:
    runtime = showing(MainThreadDispatcher(), lambda _: threading.Event().wait(0.002))  # longer than a turn
    run = runtime.process_many(".in", range(9))
    while "waiting for dispatcher" not in str(runtime.explain()):
        pass
    report = runtime.close(drain=0.0, deadline=0.0)

    assert report.discarded
    assert report.abandoned == ()
    assert run.done


@pytest.mark.parametrize("where", ["on a worker", "on a dispatcher's thread"])
def test_a_call_that_was_abandoned_keeps_its_message_until_it_returns_and_no_longer(
    own_loop: OwnLoop, where: str
) -> None:
    gate = Gate()
    operations = FlowOperationContainer().add_func("hold", gate)
    if where == "on a worker":
        operations.make_async()
    else:
        operations.make_sync(own_loop)
    runtime = FlowRuntime(name="left").add_operations(operations)
    wire(runtime, ".in -> hold -> .out")
    datum = MainThreadDispatcher()  # anything that can be referred to weakly
    held = weakref.ref(datum)
    runtime.process(".in", datum)
    del datum
    arrived(gate.entered)
    assert len(runtime.close(drain=0.0).abandoned) == 1
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("left/hold")]
    gate.open()
    for worker in workers:
        worker.join(SECONDS)
    own_loop.close()
    gc.collect()

    assert held() is None


def test_explain_and_the_watchdog_say_what_is_waited_for() -> None:
    kept = Kept()
    runtime = showing(kept, increment, stall_after=0.02)
    run = runtime.process(".in", 1)
    with pytest.warns(
        errors.FlowStallWarning, match=r'operation "show" has waited for dispatcher Kept for \d'
    ) as warned:
        wait_until(lambda: bool(warned.list))
    said = str(runtime.explain())
    (facts,) = runtime.explain().operations
    kept.calls.pop()()
    run.wait(SECONDS)
    runtime.close()

    assert "show (dispatched): waiting for dispatcher Kept for " in said
    assert facts.waits_for.startswith("dispatcher Kept for ")


# --- MainThreadDispatcher


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_wait_on_the_dispatchers_own_thread_makes_the_calls_itself(schedule: Any) -> None:
    """B270, B273: so a program that waits on its main thread does not wait for itself: for a result, for all, for room, when closing."""
    dispatcher = MainThreadDispatcher()
    threads: list[str] = []

    def show(number: int) -> int:
        threads.append(where())
        return number

    with showing(dispatcher, show, schedule=schedule, capacity=2) as runtime:
        assert runtime.process(".in", 1).result(SECONDS).data == 1
        runtime.process(".in", 2)
        assert runtime.wait_for_result(SECONDS).data == 2
        for number in range(5):
            runtime.process(".in", number, timeout=SECONDS)
        assert [message.data for message in runtime.results(SECONDS)] == list(range(5))
        runtime.process_many(".in", range(5), timeout=SECONDS)
        runtime.wait_idle(SECONDS)
        last = runtime.process(".in", 9)

    assert last.done
    assert set(threads) == {where()}
    assert dispatcher.run_pending() == 0


def test_a_wait_looks_out_for_calls_of_operations_that_were_added_meanwhile() -> None:
    """B054: they may be the first that are dispatched, and so may be gone again."""
    dispatcher, gate = MainThreadDispatcher(), Gate()
    with FlowRuntime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("wait", gate).make_async())
        wire(runtime, ".in -> wait -> .out")
        run = runtime.process(".in", 1)
        arrived(gate.entered)

        def change() -> None:
            runtime.add_operations(
                FlowOperationContainer().add_action("show", lambda _: gate.open()).make_sync(dispatcher)
            )
            wire(runtime, ".show -> show")
            runtime.process(".show")

        changing = threading.Thread(target=change)
        changing.start()
        assert run.result(SECONDS).data == 1
        changing.join(SECONDS)


def test_a_wait_that_makes_calls_ends_in_time_though_more_keep_coming() -> None:
    dispatcher = MainThreadDispatcher()
    operations = FlowOperationContainer().add_func("show", same).make_sync(dispatcher)
    runtime = FlowRuntime()
    wire(runtime.add_operations(operations), ".in -> show -> show")  # for ever
    run = runtime.process(".in", 1)
    with pytest.raises(errors.FlowTimeoutError):
        run.wait(0.01)
    report = runtime.close(drain=0.01, deadline=0.02)

    assert report.discarded == 1


def test_run_pending_makes_what_waits_and_no_more_than_asked_for() -> None:
    dispatcher = MainThreadDispatcher()
    shown: list[str] = []
    operations = FlowOperationContainer()
    for name in ("a", "b", "c"):
        operations.add_action(name, shown.append).make_sync(dispatcher)
    with FlowRuntime() as runtime:
        wire(runtime.add_operations(operations), ".in -> a", ".in -> b", ".in -> c")
        assert not dispatcher.wait_pending(0)
        run = runtime.process(".in", "x")
        assert dispatcher.wait_pending(SECONDS)
        while len(dispatcher._calls) < 3:
            runtime.explain()
        assert dispatcher.run_pending(0) == 0
        assert dispatcher.run_pending(1) == 1
        assert shown == ["x"]
        assert dispatcher.run_pending() == 2
        assert dispatcher.run_pending() == 0
        run.wait(SECONDS)

    assert shown == ["x"] * 3


def test_what_comes_while_pending_calls_are_made_waits_for_the_next_time() -> None:
    dispatcher = MainThreadDispatcher()
    made: list[int] = []

    def again() -> None:
        made.append(1)
        dispatcher.dispatch(again)

    dispatcher.dispatch(again)

    assert dispatcher.run_pending() == 1
    assert dispatcher.wait_pending(0)
    assert made == [1]


def test_pending_calls_are_made_on_the_thread_that_made_the_dispatcher_only() -> None:
    dispatcher = MainThreadDispatcher()
    told: list[str] = []

    def ask() -> None:
        for call in (dispatcher.run_pending, dispatcher.wait_pending):
            try:
                call()
            except errors.FlowError as error:
                told.append(str(error))

    thread = threading.Thread(target=ask, name="other")
    thread.start()
    thread.join(SECONDS)

    assert told == [
        f'{verb}() was called on thread "other", and this MainThreadDispatcher belongs to thread "{where()}", which made it: operations are to '
        "be called there. Make it on the thread that runs the loop."
        for verb in ("run_pending", "wait_pending")
    ]


def test_waiting_elsewhere_leaves_the_calls_to_the_dispatchers_thread() -> None:
    dispatcher = MainThreadDispatcher()
    threads: list[str] = []
    with showing(dispatcher, lambda _: threads.append(where())) as runtime:
        run = runtime.process(".in", 1)
        waiting = threading.Thread(target=run.wait, args=(SECONDS,), name="waiting")
        waiting.start()
        while not run.done:
            dispatcher.wait_pending(0.1)
            dispatcher.run_pending()
        waiting.join(SECONDS)

    assert threads == [where()]


def test_a_wait_leaves_no_calls_behind_that_it_has_made() -> None:
    dispatcher = MainThreadDispatcher()
    with showing(dispatcher, lambda _: threading.Event().wait(0.0005)) as runtime:
        runtime.process_many(".in", range(200)).wait(SECONDS)

    assert len(dispatcher._calls) <= 2


def test_a_wait_on_the_thread_of_a_dispatcher_of_ones_own_makes_its_calls_once_that_is_known() -> None:
    """Without `is_here` that is the thread which made the last calls."""
    kept = Kept()
    with showing(kept, increment) as runtime:
        run = runtime.process(".in", 1)
        wait_for_a_call(kept, runtime)
        kept.calls.pop()()
        assert run.result(SECONDS).data == 2
        assert runtime.process(".in", 2).result(SECONDS).data == 3


def test_a_signal_ends_the_program_while_its_main_thread_makes_calls() -> None:
    """KeyboardInterrupt inside a dispatched call leaves `run_pending`, and the `with` block ends."""
    program = (
        "import _thread\n"
        "from flowrt import FlowOperationContainer, FlowRuntime\n"
        "from flowrt.executors.dispatchers import MainThreadDispatcher\n"
        "dispatcher = MainThreadDispatcher()\n"
        "def show(data):\n"
        "    print('shown', flush=True)\n"
        "    _thread.interrupt_main()\n"
        "    while True:\n"
        "        pass\n"
        "try:\n"
        "    with FlowRuntime() as runtime:\n"
        "        runtime.add_operations(FlowOperationContainer().add_func('show', show).make_sync(dispatcher))\n"
        "        runtime.add_stream('.in', 'show').add_stream('show', '.out')\n"
        "        runtime.process('.in', 1)\n"
        "        while dispatcher.wait_pending():\n"
        "            dispatcher.run_pending()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout.split() == ["shown", "interrupted"], done.stderr


# --- asyncio


def test_an_event_loop_calls_operations_on_its_thread_between_its_other_callbacks() -> None:
    """B270: with the loop running around them, so that they may start tasks."""

    async def main() -> list[Any]:
        seen: list[Any] = []
        between: list[int] = []

        def show(number: int) -> int:
            loop = asyncio.get_running_loop()
            seen.append((where(), loop))
            if number == 0:
                loop.call_soon(lambda: between.append(len(seen)))
            return number

        with showing(AsyncioDispatcher(), show, capacity=30_000) as runtime:
            run = runtime.process_many(".in", range(20_000))
            values: list[Any] = await asyncio.to_thread(run.values, SECONDS)
        assert set(seen) == {(where(), asyncio.get_running_loop())}
        assert between[0] < 20_000
        return values

    assert asyncio.run(main()) == list(range(20_000))


def test_blocking_the_loops_thread_is_refused_with_a_remedy() -> None:
    async def main() -> list[str]:
        told = []
        with showing(AsyncioDispatcher(), increment, capacity=1) as runtime:
            run = runtime.process(".in", 1)
            waits: list[Callable[[], Any]] = [
                run.wait,
                run.result,
                runtime.wait_for_result,
                runtime.wait_idle,
                lambda: next(runtime.results()),
            ]
            for wait in waits:
                try:
                    wait()
                except errors.FlowStalledError as error:
                    told.append(str(error))
            with pytest.raises(
                errors.FlowOverloadError,
                match=r"cannot wait on the thread of dispatcher AsyncioDispatcher.*Nothing was sent",
            ):
                runtime.process(".in", 2)
            with pytest.raises(errors.FlowOverloadError, match="capacity=1 messages are live"):
                runtime.process_many(".in", [2])
            assert (await asyncio.to_thread(run.result, SECONDS)).data == 2
            assert run.values() == [2]  # what is there already is had for nothing
        return told

    told = asyncio.run(main())

    assert len(told) == 5
    assert told[0].startswith(
        'runtime "shown": somebody waited for run 1 on the thread of dispatcher AsyncioDispatcher'
    )
    assert all("await asyncio.to_thread(run.result)" in text for text in told)


def test_the_sync_schedule_is_refused_on_the_loops_thread_before_anything_is_sent() -> None:
    async def main() -> list[int]:
        with showing(AsyncioDispatcher(), increment, schedule="sync") as runtime:
            with pytest.raises(errors.FlowOverloadError, match='schedule="sync" works it off at once'):
                runtime.process(".in", 1)
            run = await asyncio.to_thread(runtime.process, ".in", 2)
            return run.values()

    assert asyncio.run(main()) == [3]


def test_closing_on_the_loops_thread_makes_the_calls_that_wait() -> None:
    async def main() -> tuple[Any, list[int]]:
        runtime = showing(AsyncioDispatcher(), increment)
        run = await asyncio.to_thread(runtime.process_many, ".in", range(100))
        return runtime.close(), run.values()

    report, values = asyncio.run(main())

    assert report.clean
    assert values == list(range(1, 101))


def test_a_loop_that_is_closed_fails_what_it_was_to_call_and_what_comes() -> None:
    with asyncio_loop() as loop:
        runtime = showing(AsyncioDispatcher(loop), increment)
        assert runtime.process(".in", 1).result(SECONDS).data == 2
    runs = [runtime.process(".in", 1)]
    for run in runs:
        with pytest.raises(
            errors.OperationError,
            match=r"AsyncioDispatcher did not have it called, dispatch\(\) raised RuntimeError",
        ):
            run.wait(SECONDS)
    assert runtime.close().clean


def test_a_loop_that_is_closed_with_calls_in_it_fails_them() -> None:
    loop = asyncio.new_event_loop()  # and nobody runs it
    with showing(AsyncioDispatcher(loop), increment) as runtime:
        run = runtime.process(".in", 1)
        while "waiting for dispatcher" not in str(runtime.explain()):
            pass
        loop.close()
        with pytest.raises(errors.OperationError, match="it let go of the call without making it"):
            run.wait(SECONDS)


def test_an_asyncio_dispatcher_needs_a_loop() -> None:
    with pytest.raises(
        errors.FlowBuildError,
        match="takes the event loop that runs on the thread that makes it, and none does",
    ):
        AsyncioDispatcher()
    with pytest.raises(errors.FlowBuildError, match="AsyncioDispatcher takes an event loop, got int"):
        AsyncioDispatcher(3)  # type: ignore[arg-type]


# --- what is refused when the flow is declared


@pytest.mark.parametrize(
    ("dispatcher", "complaint"),
    [
        (
            3,
            r'operation "show": make_sync\(dispatcher\) takes an object with dispatch\(callable\), got int.$',
        ),
        (
            OwnLoop,
            r'operation "show": make_sync\(dispatcher\) got the class OwnLoop itself; pass an instance.$',
        ),
        (print, r"got builtin_function_or_method.$"),
    ],
)
def test_what_cannot_dispatch_is_refused(dispatcher: Any, complaint: str) -> None:
    with pytest.raises(errors.FlowBuildError, match=complaint):
        FlowOperationContainer().add_func("show", str).make_sync(dispatcher)


def test_a_loop_itself_is_refused_with_what_to_wrap_it_in() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(errors.FlowBuildError, match=r"got \w+. Wrap the loop: AsyncioDispatcher\(loop\).$"):
        FlowOperationContainer().add_func("show", str).make_sync(loop)
    loop.close()


@pytest.mark.parametrize("operator", [Gather("g"), Debounce("d", 1)])
def test_operations_that_work_with_the_engine_cannot_be_dispatched(operator: Any) -> None:
    with pytest.raises(errors.FlowBuildError, match="make the operations around it async or dispatched"):
        FlowOperationContainer().add_operation(operator).make_sync(Kept())


# --- the suites


def test_dispatched_operations_keep_the_rules_of_executors(own_loop: OwnLoop) -> None:
    """Every operation made async is dispatched, and must not be told from one on a thread of its own."""

    class Dispatched(ExecutorPools):
        make: Callable[[Any], Any]

        def executor_for(self, declaration: Any) -> Any:
            if declaration.mode.kind == "async":
                key = declaration.name
                found = self._pools.get(key)
                if found is None:
                    found = self._pools[key] = self.make(declaration)
                    self._all.append(found)
                return found
            return super().executor_for(declaration)

    def executors(name: str, seams: Seams, reports: Any, post: Any, crash: Any, *, parallelism: bool) -> Any:
        usual: Any = thread_pools(name, seams, reports, post, crash, parallelism=parallelism)
        pools = Dispatched(usual._inline, usual._make, parallelism=parallelism)
        pools.make = lambda declaration: DispatchedExecutor(
            declaration.name, own_loop, seams, reports, post, crash
        )
        return pools

    check_executor(lambda: Seams(executors=executors))


def test_dispatched_operations_give_the_same_results_as_in_other_modes() -> None:
    """The kit's comparison of modes has them dispatched to the thread that runs it."""

    def twice(number: int, emit: Callable[[int], None]) -> None:
        emit(number)
        emit(-number)

    operations = FlowOperationContainer().add_func("add", increment).add_action("twice", twice)
    flow = flow_of("", ".in -> add -> twice -> .out", operations=operations)

    assert_same_in_all_modes(flow, [(".in", number) for number in range(20)])


def test_importing_dispatchers_loads_neither_asyncio_nor_tkinter() -> None:
    program = "import sys, flowrt.executors.dispatchers as d; d.MainThreadDispatcher(); print({'asyncio', 'tkinter'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.strip() == "set()"
