"""Ctrl-C at any moment, what a signal leaves behind, and signal handlers that send input: real signals, own processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.kit import effort
from tests.kit.programs import HANGS, PREAMBLE, Ended, run_script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX"),
]

MOMENTS = effort.of(50)
AT_ONCE = 4  # subprocesses
INTERRUPTED = 130  # what a process says it ends with when KeyboardInterrupt leaves it

# A word count over lists of words, with an async and a parallel operation. It prints "ready" when the first result is there, and
# the books of every run when it is over, however it ended.
WORD_COUNT = (
    PREAMBLE
    + """
def find(number):
    return [f"{number} {page}" for page in range(20)]

def pages(text):
    for line in range(5):
        yield f"{text} {line} one two three"

def pages_at_once(text, on_page):
    for page in pages(text):
        on_page(page)

def count(line):
    time.sleep(0.0002)
    return len(line.split())

operations = (
    FlowOperationContainer()
    .add_func("find", find).make_async()
    .add_operation(Scatter("scatter", window=8))
    .add_func("count", count).make_parallel(3)
    .add_operation(Gather("gather"))
    .add_func("total", sum)
)
if sys.argv[2] == "generator":
    operations.add_generator("pages", pages).make_async()
else:
    operations.add_action("pages", pages_at_once).make_async()

def books(runs):
    return [
        {name: getattr(run.ledger, name) for name in
         ("accepted", "born", "delivered", "absorbed", "failed", "unconnected", "discarded", "live", "held")}
        | {"balanced": run.ledger.balanced, "done": run.done}
        for run in runs
    ]

runs = []
seen = "nothing"
code = 0
try:
    with FlowRuntime(schedule=sys.argv[1], capacity=4) as runtime:
        for source, target in [
            (".in", "find"), ("find", "scatter"), ("scatter.stream", "pages"), ("pages", "count"),
            ("count", "gather.stream"), ("gather", "total"), ("total", ".out"),
        ]:
            runtime.add_stream(source, target)
        runtime.add_operations(operations)
        runs.append(runtime.process(".in", 0))
        assert runs[0].result(10).data == 600
        tell(event="ready")
        number = 0
        while number < 10_000:
            number += 1
            runs.append(runtime.process(".in", number))
            if number % 3 == 0:
                runs[-1].values(10)
except KeyboardInterrupt:
    seen = "KeyboardInterrupt"
    code = 130
except BaseException as error:
    seen = f"{type(error).__name__}: {error}"
    code = 1
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
tell(event="over", seen=seen, runs=books(runs), threads=threads)
sys.exit(code)
"""
)


def interrupted_after(seconds: float, schedule: str, pages: str) -> Ended:
    """The word count, with SIGINT so long after its first result."""
    timers: list[threading.Timer] = []

    def at(line: dict[str, Any], process: subprocess.Popen[str]) -> None:
        if line["event"] == "ready":
            timers.append(threading.Timer(seconds, process.send_signal, [signal.SIGINT]))
            timers[0].start()

    try:
        return run_script(WORD_COUNT, schedule, pages, at=at)
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()


def judge_books(ended: Ended) -> None:
    over = ended.event("over")
    assert over["threads"] == []
    for books in over["runs"]:
        assert books["balanced"], over
        assert (books["live"], books["held"]) == (0, 0), over
        assert books["done"] or books["accepted"] == 0, over
        ends = sum(
            books[end]
            for end in ("delivered", "absorbed", "failed", "unconnected", "discarded", "live", "held")
        )
        assert books["accepted"] + books["born"] == ends


def test_an_interrupt_at_any_of_fifty_moments_is_seen_and_leaves_nothing() -> None:
    chance = random.Random(20)
    moments = [
        (
            chance.uniform(0.0, 0.12),
            "sync" if number % 10 == 9 else "breadth_first",
            "generator" if number % 2 else "action",
        )
        for number in range(MOMENTS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        all_ended = list(pool.map(lambda moment: interrupted_after(*moment), moments))

    for ended in all_ended:
        over = ended.event("over")
        assert over["seen"] == "KeyboardInterrupt", ended
        assert ended.code == INTERRUPTED
        judge_books(ended)
        assert "Traceback" not in ended.errors, ended.errors


# --- while something is waited for

HOLD = """
release = threading.Event()
entered = threading.Event()

def hold(number):
    entered.set()
    release.wait(60)
    return number
"""

WAITING = (
    PREAMBLE
    + HOLD
    + """
def wait(kind, runtime, run):
    if kind == "run":
        run.wait(15)
    elif kind == "result":
        run.result()
    elif kind == "values":
        run.values(15)
    elif kind == "next":
        runtime.wait_for_result()
    elif kind == "idle":
        runtime.wait_idle()
    elif kind == "room":
        runtime.process(".in", 2)
    elif kind == "many":
        runtime.process_many(".in", iter(int, 1))

seen = "nothing"
run = None
try:
    with FlowRuntime(capacity=1) as runtime:
        runtime.add_stream(".in", "hold").add_stream("hold", ".out")
        runtime.add_operations(FlowOperationContainer().add_func("hold", hold).make_async())
        run = runtime.process(".in", 1)
        entered.wait(5)
        try:
            tell(event="ready")
            wait(sys.argv[1], runtime, run)
        except KeyboardInterrupt:
            tell(event="interrupted")
            release.set()
            raise
except KeyboardInterrupt:
    seen = "KeyboardInterrupt"
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
tell(event="over", seen=seen, delivered=run.ledger.delivered, balanced=run.ledger.balanced, threads=threads)
"""
)


def interrupt_when(event: str) -> Callable[[dict[str, Any], subprocess.Popen[str]], None]:
    def at(line: dict[str, Any], process: subprocess.Popen[str]) -> None:
        if line["event"] == event:
            process.send_signal(signal.SIGINT)

    return at


def test_an_interrupt_ends_every_wait_and_what_has_not_ended_is_discarded() -> None:
    kinds = ["run", "result", "values", "next", "idle", "room", "many"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        all_ended = list(pool.map(lambda kind: run_script(WAITING, kind, at=interrupt_when("ready")), kinds))

    for ended in all_ended:
        ended.event("interrupted")
        over = ended.event("over")
        assert (over["seen"], over["delivered"], over["balanced"]) == ("KeyboardInterrupt", 0, True)
        assert over["threads"] == []


# --- while it closes

CLOSING = (
    PREAMBLE
    + HOLD
    + """
operations = FlowOperationContainer().add_func("hold", hold)
if sys.argv[1] == "async":
    operations.make_async()
seen = "nothing"
report = ""
notes = []
runtime = FlowRuntime(name="demo")
try:
    with runtime:
        runtime.add_stream(".in", "hold").add_stream("hold", ".out").add_operations(operations)
        run = runtime.process(".in", 1)
        entered.wait(5)
        try:
            tell(event="ready")
            run.wait()
        finally:
            tell(event="closing")
except KeyboardInterrupt as error:
    seen = "KeyboardInterrupt"
try:
    run.wait(5)
except FlowStoppedError:
    report = str(runtime.close())
release.set()
tell(event="over", seen=seen, report=report, done=run.done, balanced=run.ledger.balanced)
"""
)


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_a_second_interrupt_gives_the_rest_up(mode: str) -> None:
    """The first leaves the `with` body, which gives the call under way its time; the second ends that, and names what hangs."""
    second: list[threading.Timer] = []

    def at(line: dict[str, Any], process: subprocess.Popen[str]) -> None:
        if line["event"] == "ready":
            process.send_signal(signal.SIGINT)
        if line["event"] == "closing":
            second.append(threading.Timer(0.3, process.send_signal, [signal.SIGINT]))
            second[0].start()

    ended = run_script(CLOSING, mode, at=at)
    second[0].join()

    over = ended.event("over")
    assert over["seen"] == "KeyboardInterrupt"
    assert over["done"]
    assert 'operation "hold"' in over["report"]
    assert "1 message discarded" in over["report"]
    assert ended.code == 0
    if mode == "async":
        assert over["balanced"]


# --- signal handlers that use the runtime

HANDLERS = (
    PREAMBLE
    + """
fired = []
runs = []
cancelled = []

def on_alarm(number, frame):
    fired.append(1)
    if sys.argv[1] == "process":
        runs.append(runtime.process(".in", -1, timeout=5))
    elif sys.argv[1] == "cancel" and runs:
        runs[-1].cancel()
        cancelled.append(runs[-1])
    signal.setitimer(signal.ITIMER_REAL, 0.0005)  # the next one, after this

def work(number):
    return number

with FlowRuntime(schedule=sys.argv[2]) as runtime:
    runtime.add_stream(".in", "work").add_stream("work", ".out")
    operations = FlowOperationContainer().add_func("work", work)
    if sys.argv[2] != "sync":
        operations.make_async()
    runtime.add_operations(operations)
    runs.append(runtime.process(".in", 0))
    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    end = time.monotonic() + 20
    while len(fired) < 300 and time.monotonic() < end:
        runs.append(runtime.process(".in", 1))
        if len(runs) % 50 == 0:
            try:
                runs[-1].wait(10)
            except RunCancelledError:
                pass
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    runtime.wait_idle(10)
    ended = [run.done and run.ledger.balanced for run in runs]
    delivered = sum(run.ledger.delivered for run in runs)
    discarded = sum(run.ledger.discarded for run in runs)
tell(event="over", fired=len(fired), runs=len(runs), ended=all(ended), delivered=delivered, discarded=discarded)
"""
)


def test_a_signal_handler_may_send_and_cancel_whatever_it_interrupts() -> None:
    cases = [("process", "breadth_first"), ("cancel", "breadth_first"), ("process", "sync")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        all_ended = list(pool.map(lambda case: run_script(HANDLERS, *case), cases))

    for (what, _), ended in zip(cases, all_ended, strict=True):
        assert ended.code == 0, ended.errors
        over = ended.event("over")
        assert over["fired"] >= 300
        assert over["ended"]
        assert over["delivered"] + over["discarded"] == over["runs"]
        if what == "process":
            assert over["discarded"] == 0


def test_no_signal_handler_is_installed() -> None:
    script = (
        PREAMBLE
        + """
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
with FlowRuntime() as runtime:
    runtime.add_stream(".in", ".out")
    runtime.process(".in", 1).values(10)
    changed = [int(number) for number, was in before.items() if signal.getsignal(number) is not was]
tell(event="over", changed=changed)
"""
    )

    assert run_script(script).event("over")["changed"] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_test_process_that_hangs_is_reported() -> None:
    """The harness itself: a script that never ends is shown, not waited for."""
    script = PREAMBLE.replace(str(HANGS), "0.5") + "threading.Event().wait()"

    with pytest.raises(AssertionError, match="it hung"):
        run_script(script)


# --- F21, F22: what is live drains, and the program ends with its code

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
def test_f21_f22_a_signal_discards_what_has_not_begun_and_leaves_with_its_code(
    kind: str, number: int, code: int
) -> None:
    """What has not begun is discarded, the endless source is closed, calls under way return. The table drains; by the design nothing does.

    The command line turns signals into a drain; here the program itself turns SIGTERM into an exit, and the library discards.
    """
    ended = signalled(SIGNALLED, number, kind)

    assert ended.code == code, ended
    assert ended.lines[1:] == [
        {
            "list": ended.lines[1]["list"],
            "endless": ended.lines[1]["endless"],
            "closed": True,
            "books": [[0, 0, True], [0, 0, True]],
            "threads": [],
        }
    ], ended
    assert "the with block was left by" in ended.lines[1]["list"]
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
