"""Threads that cannot be started: the work goes on with fewer, or whoever needs one is told by name."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from flowrt import FlowError, FlowRuntime, FlowStoppedError
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from tests.kit.flows import close_quietly, runtime_of, work_of
from tests.kit.functions import SECONDS
from tests.kit.programs import PREAMBLE, linux_only, run_script


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
    runtime = runtime_of(work_of("sync"), name="flow", seams=seams)

    with pytest.raises(FlowError, match=r'^thread "flow/engine" cannot be started$'):
        runtime.process(".in", 1)

    assert runtime.process(".in", 1).values(SECONDS) == [1]  # the second start succeeds
    assert asked == ["flow/engine", "flow/engine"]
    assert runtime.close().clean


def test_a_runtime_whose_engine_never_started_can_be_closed() -> None:
    seams, _ = seams_without(1)
    runtime = runtime_of(work_of("sync"), seams=seams)
    with pytest.raises(FlowError, match="cannot be started"):
        runtime.process(".in", 1)

    assert runtime.close().clean


@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_worker_that_cannot_be_started_stops_the_runtime_with_its_error(schedule: str, mode: str) -> None:
    seams, _ = seams_without(*range(2 if schedule == "breadth_first" else 1, 20))
    runtime = runtime_of(work_of(mode), schedule=schedule, name="flow", seams=seams)

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
    runtime = runtime_of(work_of("parallel"), name="flow", seams=seams)

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


# --- F30: the system refuses threads

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
