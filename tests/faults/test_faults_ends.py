"""Ends: stopping from anywhere, signals, the interpreter's exit, forks, limits of the system. F19-F23, F28, F30, F31 of the table of faults.

Where the design decides otherwise than the table does, the design is tested, and a line says so.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flowrt import (
    CloseReport,
    FlowStoppedError,
    Gather,
    Scatter,
)
from tests.kit.flows import (
    SECONDS,
    Bench,
    arrived,
    every_mode,
    on_thread,
    real_queues,
    results_of,
    same,
    wire,
)
from tests.kit.programs import PREAMBLE, Ended, run_script

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

    runtime = bench.make_runtime()
    runtime.add_operations(
        bench.operations(
            Scatter("rows"),
            Scatter("cells"),
            Gather("row", on_missing=on_missing),
            Gather("all", on_missing=on_missing),
            funcs={"work": work},
        )
    )
    wire(
        runtime,
        ".in -> rows",
        "rows.stream -> cells",
        "rows.count -> all.count",
        "cells.stream -> work -> row.stream",
        "cells.count -> row.count",
        "row -> all.stream",
        "all -> .out",
    )
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

    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(funcs={"close": close, "after": same}))
    wire(runtime, ".in -> close -> after -> .out")
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
    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(funcs={"work": same}))
    wire(runtime, ".in -> work -> .out")

    assert runtime.close().clean
    assert runtime.close().clean
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)
    with pytest.raises(FlowStoppedError):
        runtime.add_stream(".other", "work")
    assert list(runtime.results(SECONDS)) == []


# --- F21, F22: signals

SIGNALLED = (
    PREAMBLE
    + """
kind = sys.argv[1]
if kind == "exit":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
entered, begun, closed = threading.Event(), threading.Event(), threading.Event()

def slow(number):
    entered.set()
    time.sleep(0.02)
    return number

def endless():
    try:
        begun.set()
        yield from iter(int, 1)
    finally:
        closed.set()

operations = FlowOperationContainer().add_func("slow", slow).make_parallel(3)
operations.add_generator("generate", lambda _: endless()).make_async().add_action("drop", lambda _: None).make_async()
operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", ordered=True))
runtime = FlowRuntime(name="signalled")
runtime.add_operations(operations).add_stream(".in", "scatter").add_stream("scatter.stream", "slow")
runtime.add_stream("slow", "gather.stream").add_stream("scatter.count", "gather.count").add_stream("gather", ".out")
runtime.add_stream(".endless", "generate").add_stream("generate", "drop")
runs = []
try:
    with runtime:
        runs = [runtime.process(".in", [*range(40)]), runtime.process(".endless")]
        entered.wait(5)
        begun.wait(5)  # a generator that has not begun has nothing to close
        tell(ready=True)
        runs[1].wait()
finally:
    tell(
        list=told(lambda: runs[0].values(0) == [[*range(40)]]),
        endless=told(lambda: runs[1].wait(0)),
        closed=closed.is_set(),
        books=[[run.ledger.live, run.ledger.held, run.ledger.balanced] for run in runs],
        threads=[thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
    )
"""
)


def signalled(script: str, number: int, *arguments: str) -> Ended:
    """Run the script, with this signal as soon as it has told that it is ready."""
    return run_script(
        script, *arguments, at=lambda line, process: process.send_signal(number) if "ready" in line else None
    )


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [("interrupt", signal.SIGINT, -signal.SIGINT), ("exit", signal.SIGTERM, 128 + signal.SIGTERM)],
    ids=["f21", "f22"],
)
def test_f21_f22_a_signal_drains_what_is_live_and_leaves_with_its_code(
    kind: str, number: int, code: int
) -> None:
    """The list under way is gathered whole, the endless source is closed. The table drains 2 s; by the design as long as calls return.

    The command line will turn SIGTERM into an exit; here the program itself does, and the library drains.
    """
    ended = signalled(SIGNALLED, number, kind)

    assert ended.code == code, ended
    assert ended.lines[1:] == [
        {
            "list": "True",
            "endless": ended.lines[1]["endless"],
            "closed": True,
            "books": [[0, 0, True], [0, 0, True]],
            "threads": [],
        }
    ], ended
    assert ended.lines[1]["endless"].startswith(("FlowStoppedError", "KeyboardInterrupt"))
    assert ("KeyboardInterrupt" in ended.errors) == (kind == "interrupt")


OWN_ENGINE = (
    PREAMBLE
    + """
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

def endless():
    tell(ready=True)
    yield from iter(int, 1)

operations = FlowOperationContainer().add_generator("generate", lambda _: endless()).make_async()
operations.add_action("drop", lambda _: None).make_async()
runtime = FlowRuntime(schedule="sync").add_operations(operations)
runtime.add_stream(".in", "generate").add_stream("generate", "drop")
try:
    with runtime:
        runtime.process(".in")
finally:
    tell(threads=threading.active_count())
"""
)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)],
    ids=["f21", "f22"],
)
def test_f21_f22_a_signal_reaches_a_thread_that_is_the_engine_itself(number: int, code: int) -> None:
    ended = signalled(OWN_ENGINE, number)

    assert ended.code == code, ended
    assert [sorted(line) for line in ended.lines] == [["ready"], ["threads"]]  # it left the `with` block


def test_f22_without_a_handler_of_the_program_sigterm_ends_it_as_it_ends_any_other() -> None:
    ended = signalled(SIGNALLED, signal.SIGTERM, "default")

    assert (ended.code, len(ended.lines)) == (-signal.SIGTERM, 1)


# --- F23: the interpreter exits while flows are alive

ALIVE = (
    PREAMBLE
    + """
import atexit
mode, code = sys.argv[1], int(sys.argv[2])
done = []
atexit.register(lambda: tell(done=len(done), runs=[run.done for run in runs]))  # called after flowrt's own

def work(number):
    time.sleep(0.005)
    done.append(number)

def hang(_):
    threading.Event().wait()

operations = FlowOperationContainer().add_action("work", work)
if mode != "sync":
    getattr(operations, f"make_{mode}")()
runtimes = []
runs = []
for name in ("one", "two"):
    runtime = FlowRuntime(name=name).add_stream(".in", "work").add_operations(operations)
    runs.append(runtime.process_many(".in", range(20)))
    runtimes.append(runtime)
if code:
    sys.exit(code)
"""
)


@pytest.mark.parametrize("code", ["0", "7"])
@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_f23_flows_alive_at_the_exit_are_drained_and_warned_of(mode: str, code: str) -> None:
    ended = run_script(ALIVE, mode, code)

    assert ended.code == int(code)
    assert ended.lines == [{"done": 40, "runs": [True, True]}]
    for name in ("one", "two"):
        assert (
            f'ResourceWarning: flow runtime "{name}" was still open when the interpreter exited (closed; nothing was left). '
            'Use "with", or call close().'
        ) in ended.errors
    assert "Traceback" not in ended.errors


# --- F28: forks

FORKED = (
    PREAMBLE
    + """
def in_child(name, runtime, run):
    calls = {
        "process": lambda: runtime.process(".in", 1),
        "process_many": lambda: runtime.process_many(".in", [1]),
        "add_stream": lambda: runtime.add_stream(".x", "work"),
        "wait": lambda: run.wait(5),
        "next": lambda: runtime.wait_for_result(5),
        "close": lambda: runtime.close(),
    }
    tell(at=name, **{key: told(call).replace(str(parent), "PARENT") for key, call in calls.items()})
    with FlowRuntime(name="fresh") as fresh:
        fresh.add_stream(".in", "plus").add_stream("plus", ".out")
        fresh.add_operations(FlowOperationContainer().add_func("plus", lambda n: n + 1).make_parallel(2))
        tell(at=name, fresh=fresh.process(".in", 1).values(5))
    sys.stdout.flush()
    os._exit(5)

def fork(name, runtime, run):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            in_child(name, runtime, run)
        finally:
            os._exit(6)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

parent = os.getpid()
gate, entered = threading.Event(), threading.Event()

def work(number):
    entered.set()
    gate.wait(10)
    return number

def forking(number):
    return fork("inside", runtime, runs[0])

operations = FlowOperationContainer().add_func("work", work).make_async().add_func("forking", forking).make_parallel(2)
runtime = FlowRuntime(name="forked").add_operations(operations)
runtime.add_stream(".in", "work").add_stream("work", ".out").add_stream(".fork", "forking").add_stream("forking", ".out")
runs = [runtime.process(".in", 1)]
waiter = threading.Thread(target=lambda: tell(waiter=runs[0].result(10).data))
waiter.start()
entered.wait(5)
if sys.argv[1] == "outside":
    codes = [fork("outside", runtime, runs[0])]
else:
    codes = runtime.process(".fork", 1).values(10)
gate.set()
waiter.join(10)
tell(codes=codes, again=runtime.process(".in", 2).values(5), closed=str(runtime.close()))
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("place", ["outside", "inside"])
def test_f28_a_fork_in_the_midst_of_work_is_refused_everything_and_the_parent_goes_on(place: str) -> None:
    """While an operation works and a thread waits; `inside`: it is an operation that forks. No call of the child hangs."""
    ended = run_script(FORKED, place)

    calls, child, *others = ended.lines
    refused = (
        'FlowStoppedError: runtime "forked" was started in process PARENT, and this is a fork of it without its threads. '
        "Make a new one here."
    )
    assert ended.code == 0, ended.errors
    assert child == {"at": place, "fresh": [2]}
    assert {"waiter": 1} in others
    assert {"codes": [5], "again": [2], "closed": "closed; nothing was left"} in others
    for call in ("process", "process_many", "add_stream", "wait", "next"):
        assert calls[call] == refused, calls
    assert calls["close"] == "closed; nothing was left"


# --- F30, F31: limits of the system

LIMITED = (
    PREAMBLE
    + """
import resource
threading.stack_size(64 << 20)  # address space that each thread takes: few fit below the limit
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def limit(room):
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.getrlimit(resource.RLIMIT_AS)[1]))

def settle():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))

threads = int(sys.argv[1])
meet = threading.Barrier(2)

def work(number):
    return number * 2

operations = FlowOperationContainer().add_func("work", work).make_parallel(8).add_func("other", work).make_async()
limit(threads * (72 << 20))
runtime = FlowRuntime(name="limited").add_operations(operations)
runtime.add_stream(".in", "work").add_stream("work", ".out").add_stream(".other", "other").add_stream("other", ".out")
first = told(lambda: sorted(runtime.process_many(".in", range(2000)).values(10)) == [*range(0, 4000, 2)])
second = told(lambda: runtime.process(".other", 1).values(10))
third = told(lambda: runtime.process(".in", 1).values(10))
settle()
tell(first=first, second=second, third=third, closed=told(runtime.close), again=told(runtime.close), left=threading.active_count())
with FlowRuntime(name="fresh") as fresh:
    fresh.add_operations(operations).add_stream(".in", "work").add_stream("work", ".out")
    tell(fresh=fresh.process(".in", 1).values(5))
"""
)

linux_only = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs RLIMIT_AS and /proc")


@linux_only
@pytest.mark.parametrize("threads", range(7))
def test_f30_threads_that_the_system_refuses_cost_speed_or_are_a_named_error(threads: int) -> None:
    """The table starts all or nothing; by the design a pool works with those it got, and what has none stops the runtime by name."""
    ended = run_script(LIMITED, str(threads), options=())

    assert ended.code == 0, ended.errors
    found, fresh = ended.lines
    refused = ("FlowError: thread ", "FlowStoppedError: runtime ")
    for what, right in (("first", "True"), ("second", "[2]"), ("third", "[2]")):
        assert found[what] == right or found[what].startswith(refused), found
    if threads == 0:
        assert found["first"].startswith(
            'FlowError: thread "limited/engine" cannot be started (can\'t start new thread). '
        )
    if threads == 6:
        assert found["first"] == "True"
    assert "abandoned" not in found["again"]
    assert found["left"] == 1
    assert fresh == {"fresh": [2]}
    assert "Traceback" not in ended.errors


GREEDY = (
    PREAMBLE
    + """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def greedy(size):
    return len(bytearray(size))

def generate(size):
    yield 1
    yield len(bytearray(size))

operations = FlowOperationContainer().add_func("greedy", greedy).add_generator("generate", generate)
if sys.argv[1] != "sync":
    operations["greedy"].make_parallel(2)
    operations["generate"].make_async()
runtime = FlowRuntime(name="greedy").add_operations(operations)
runtime.add_stream(".in", "greedy").add_stream("greedy", ".out").add_stream(".many", "generate").add_stream("generate", ".out")
tell(warm=runtime.process(".in", 8).values(5))
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.getrlimit(resource.RLIMIT_AS)[1]))
for port in (".in", ".many"):
    run = runtime.process_many(port, [16, 4 << 30, 32])
    error = None
    try:
        run.wait(5)
    except FlowError as raised:
        error = raised
    tell(error=type(error).__name__, text=str(error).split(" (declared")[0], cause=type(error.__cause__).__name__,
         ledger=[run.ledger.delivered, run.ledger.failed], left=len(run.failures))
tell(after=runtime.process(".in", 8).values(5))
list(runtime.results(5))
tell(closed=str(runtime.close()))
"""
)


@linux_only
@pytest.mark.parametrize("mode", ["sync", "parallel"])
def test_f31_an_operation_that_runs_out_of_memory_fails_its_message_and_no_other(mode: str) -> None:
    ended = run_script(GREEDY, mode, options=())

    assert ended.code == 0, ended.errors
    facts = ended.lines
    assert facts[0] == {"warm": [8]}
    assert facts[1] == {
        "error": "OperationError",
        "text": 'operation "greedy"',
        "cause": "MemoryError",
        "ledger": [2, 1],
        "left": 1,
    }
    assert facts[2] == facts[1] | {"text": 'operation "generate"', "ledger": [5, 1]}
    assert facts[3:] == [{"after": [8]}, {"closed": "closed; nothing was left"}]
