"""The trip of one message: every call of flowrt's that is made for it, in order.

    python -m tests.house.trip SCHEDULE BOXES     a line for each: its thread, the module that calls, the function that is called

Run as a program of its own: nothing else is traced, and no other thread is there.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from types import FrameType
from typing import Any

from flowrt import FlowOperationContainer, FlowRuntime

WARM = 50  # messages; by then routes are compiled, threads are there and times are known
TRACED = 20  # messages; the shortest trip is taken, for where a clock decides others are a call or two longer
REST = 0.005  # seconds; an engine with a thread of its own has come to rest by then

Call = tuple[str, str, str]  # thread, calling module, function


def shortest(schedule: Any, boxes: int) -> list[Call]:
    """Return the calls that one message costs on its way through some boxes, `.in → f1 → f2 → .out`."""
    calls: list[Call] = []
    tracing = False

    def profile(frame: FrameType, event: str, _: object) -> None:
        if tracing and event == "call" and _module(frame).startswith("flowrt."):
            calls.append(
                (
                    threading.current_thread().name,
                    _module(frame.f_back),
                    f"{_module(frame)} {frame.f_code.co_qualname}",
                )
            )

    threading.setprofile(profile)
    sys.setprofile(profile)
    names = [f"f{number}" for number in range(boxes)]
    operations, runtime, trips = FlowOperationContainer(), FlowRuntime(schedule=schedule), []
    for name in names:
        operations.add_func(name, lambda x: x + 1)
    for start, end in itertools.pairwise([".in", *names, ".out"]):
        runtime.add_stream(start, end)
    with runtime.add_operations(operations):
        for number in range(WARM + TRACED):
            tracing = number >= WARM
            runtime.process(".in", number).result(5)
            time.sleep(REST)
            tracing = False
            trips.append(calls[:])
            calls.clear()
    sys.setprofile(None)
    threading.setprofile(None)
    return min(trips[WARM:], key=len)


def _module(frame: FrameType | None) -> str:
    return frame.f_globals.get("__name__", "") if frame is not None else ""


if __name__ == "__main__":
    for thread, caller, called in shortest(sys.argv[1], int(sys.argv[2])):
        print(f"{thread:18}{caller.removeprefix('flowrt.'):24}{called.removeprefix('flowrt.')}")
