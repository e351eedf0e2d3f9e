"""The interpreter exits while runtimes are open: they are drained, and what nobody saw is told. In processes of their own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime
from flowrt.runtime import closing
from tests.kit.flows import by_mode, runtime_of, work_of
from tests.kit.functions import SECONDS, refuse, same
from tests.kit.programs import PREAMBLE, run_script

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(sys.platform == "win32", reason="tried on POSIX only")

AT_ONCE = 4  # subprocesses

EXITS = (
    PREAMBLE
    + """
seen = []

def work(number):
    time.sleep(0.001)
    seen.append(number)
    if number == 49:
        tell(event="worked", numbers=len(seen))

runtime = FlowRuntime(name="forgotten")
runtime.add_stream(".in", "work")
runtime.add_operations(FlowOperationContainer().add_action("work", work).make_async())
runtime.process_many(".in", range(50))
if sys.argv[1] == "error":
    raise LookupError("of the program")
if sys.argv[1] != "0":
    sys.exit(int(sys.argv[1]))
"""
)


@posix
def test_a_runtime_left_open_is_drained_when_the_interpreter_exits() -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        cases = ["0", "7", "error"]
        all_ended = list(pool.map(lambda case: run_script(EXITS, case), cases))

    for case, ended in zip(cases, all_ended, strict=True):
        assert ended.event("worked")["numbers"] == 50
        assert ended.code == {"0": 0, "7": 7, "error": 1}[case]
        assert (
            'ResourceWarning: flow runtime "forgotten" was still open when the interpreter exited'
            in ended.errors
        )
        assert 'Use "with", or call close()' in ended.errors
        assert ("LookupError: of the program" in ended.errors) == (case == "error")
        assert ended.errors.count("Traceback") == (case == "error")


EXITS_HANGING = (
    PREAMBLE
    + """
entered = threading.Event()

def hang(number):
    entered.set()
    threading.Event().wait()

runtime = FlowRuntime(name="forgotten")
runtime.add_stream(".in", "hang")
operations = FlowOperationContainer().add_action("hang", hang)
if sys.argv[1] == "async":
    operations.make_async()
runtime.add_operations(operations)
runtime.process(".in", 1)
entered.wait(5)
tell(event="ready")
sys.exit(3)
"""
)


@posix
def test_an_operation_that_hangs_does_not_keep_the_interpreter_from_exiting() -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        all_ended = list(pool.map(lambda mode: run_script(EXITS_HANGING, mode), ["async", "sync"]))

    for ended in all_ended:
        assert ended.code == 3
        assert 'operation "hang"' in ended.errors
        assert "Traceback" not in ended.errors


EXITS_CLOSED = (
    PREAMBLE
    + """
with FlowRuntime() as runtime:
    runtime.add_stream(".in", "work").add_stream("work", ".out")
    runtime.add_operations(FlowOperationContainer().add_func("work", str).make_parallel(2))
    tell(event="over", values=sorted(runtime.process_many(".in", range(3)).values(10)))
never_run = FlowRuntime()
"""
)


@posix
def test_a_closed_runtime_and_one_that_never_ran_exit_in_silence() -> None:
    ended = run_script(EXITS_CLOSED)

    assert ended.event("over")["values"] == ["0", "1", "2"]
    assert (ended.code, ended.errors) == (0, "")


EXIT_FROM_OPERATION = (
    PREAMBLE
    + """
def leave(number):
    sys.exit(9)

operations = FlowOperationContainer().add_func("leave", leave)
if sys.argv[1] == "async":
    operations.make_async()
with FlowRuntime() as runtime:
    runtime.add_stream(".in", "leave").add_stream("leave", ".out").add_operations(operations)
    if sys.argv[2] == "wait":
        runtime.process(".in", 1).wait(10)
    else:
        runtime.process(".in", 1)
"""
)


@posix
def test_sys_exit_in_an_operation_ends_the_program_with_its_code() -> None:
    cases = [(mode, wait) for mode in ("sync", "async") for wait in ("wait", "close")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        all_ended = list(pool.map(lambda case: run_script(EXIT_FROM_OPERATION, *case), cases))

    for ended in all_ended:
        assert ended.code == 9, ended.errors
        assert ended.errors == ""


# --- F23: flows alive at the exit

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
@by_mode
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


@pytest.mark.parametrize(
    ("failing", "told"),
    [(0, "(closed; nothing was left)"), (1, '(operation "work"'), (2, "had 2 errors nobody saw")],
)
def test_the_end_of_the_interpreter_drains_what_is_still_open(failing: int, told: str) -> None:
    runtime = runtime_of(work_of("async", refuse if failing else same), name="forgotten")
    runs = [runtime.process(".in", number) for number in range(failing or 1)]

    with pytest.warns(ResourceWarning, match=r'^flow runtime "forgotten" was still open when') as warned:
        closing._drain_all()

    assert told in str(warned[0].message)
    assert all(run.done for run in runs)
    assert runtime.close().clean


def test_the_end_of_the_interpreter_drains_all_that_is_open_together() -> None:
    """K12: they were drained one after the other. Here the call of each returns when the source of the other is stopped."""
    stopped = [threading.Event(), threading.Event()]
    open_ones = []

    def endless(mine: threading.Event) -> Any:
        def items(_data: Any) -> Iterator[int]:
            try:
                yield from iter(int, 1)
            finally:
                mine.set()

        return items

    for mine, other in (stopped, stopped[::-1]):
        runtime = FlowRuntime()
        operations = FlowOperationContainer().add_generator("items", endless(mine)).add_func("drop", same)
        operations.add_func("wait", lambda _data, other=other: other.wait(SECONDS)).make_async()
        runtime.add_operations(operations).add_chain(".in", "items", "drop").add_chain(
            ".wait", "wait", ".out"
        )
        open_ones.append((runtime, runtime.process(".wait", 1)))
        runtime.process(".in", 1)

    with pytest.warns(ResourceWarning):
        closing._drain_all()

    assert [run.values() for _, run in open_ones] == [[True], [True]]
    assert [runtime.close().abandoned for runtime, _ in open_ones] == [(), ()]


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
