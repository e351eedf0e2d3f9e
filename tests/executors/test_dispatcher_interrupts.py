"""An interrupt on the thread of a dispatcher, at each moment at which one can come while that makes calls."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Run
from flowrt.errors import FlowStoppedError, FlowTimeoutError, OperationError
from flowrt.executors import dispatched, dispatchers, workers
from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.runtime import waiting as dispatching
from tests.kit.flows import wire
from tests.kit.functions import SECONDS, increment, on_thread

pytestmark = pytest.mark.no_cover

FILES = (dispatched.__file__, dispatchers.__file__, dispatching.__file__, workers.__file__)
# Behind these the interpreter looks whether there was a signal.
LOOKS = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}


@contextmanager
def interrupted(moment: int) -> Iterator[list[str]]:
    """Interrupt this thread once, at the so many-th of these moments; give where."""
    where: list[str] = []
    count = 0

    def enter(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in FILES or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        code, before = frame.f_code.co_code, ""

        def step(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal before, count
            if event == "opcode":
                last, before = before, dis.opname[code[frame.f_lasti]]
                count += last in LOOKS
                if last in LOOKS and count == moment:
                    sys.settrace(None)
                    where.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                    raise KeyboardInterrupt
            return step

        return step

    known = sys.gettrace()
    sys.settrace(enter)
    try:
        with suppress(KeyboardInterrupt):
            yield where
    finally:
        sys.settrace(known)


def wait(run: Run, _dispatcher: MainThreadDispatcher, seconds: float = SECONDS) -> None:
    with suppress(OperationError, FlowStoppedError):  # since the interrupt came in between
        run.wait(seconds)


def run_pending(run: Run, dispatcher: MainThreadDispatcher) -> None:
    for _ in range(400):
        if run.done:
            return
        if dispatcher.wait_pending(SECONDS / 400):
            dispatcher.run_pending()
            with suppress(FlowTimeoutError):  # it was a call of the other run
                on_thread(wait, run, dispatcher, SECONDS / 400)


@pytest.mark.parametrize(
    ("schedule", "work"),
    [("breadth_first", wait), ("breadth_first", run_pending), ("sync", wait)],
    ids=["wait", "run_pending", "sync"],
)
def test_an_interrupt_at_any_moment_leaves_nobody_waiting_and_the_thread_free(
    schedule: Any, work: Callable[[Run, MainThreadDispatcher], None]
) -> None:
    """Whoever goes on after it is served or refused, and closing does not wait for what nobody will do."""
    moment, where = 0, ["not yet"]
    while where:
        moment += 1
        dispatcher = MainThreadDispatcher()
        operations = FlowOperationContainer().add_func("work", increment).make_sync(dispatcher)
        runtime = FlowRuntime(schedule=schedule).add_operations(operations)
        wire(runtime, ".in -> work -> .out")
        runs: list[Run] = []
        with interrupted(moment) as where:
            runs.append(runtime.process(".in", 1))
            work(runs[0], dispatcher)
        with suppress(FlowStoppedError, KeyboardInterrupt):
            runs.append(runtime.process(".in", 2))
            work(runs[-1], dispatcher)
        with suppress(KeyboardInterrupt, OperationError):
            runtime.close()
        report = runtime.close()

        assert str(report) == "closed; nothing was left", where
        assert all(run.done for run in runs), where

    assert moment > 40
