"""Forks of a program with a runtime: the child is refused everything, and the parent goes on."""

from __future__ import annotations

import os

import pytest

from flowrt import FlowStoppedError
from flowrt.runtime.wiring import inner_parts
from tests.kit.flows import runtime_of, work_of
from tests.kit.functions import SECONDS
from tests.kit.programs import PREAMBLE, run_script

# --- Forks

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
    runtime = runtime_of(work_of("sync"), schedule="sync", name="forked")
    assert runtime.process(".in", 1).values(SECONDS) == [1]

    inner_parts(runtime).closer.die_with_fork(4711)

    refused = '^runtime "forked" was started in process 4711, and this is a fork of it without its threads'
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.process(".in", 2)
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.process_many(".in", [2])
    with pytest.raises(FlowStoppedError, match=refused):
        runtime.wait_for_result(SECONDS)


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
