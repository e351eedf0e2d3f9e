"""Where threads are in the code of operations."""

from __future__ import annotations

import sys
import threading
from types import FrameType

from flowrt.errors import is_ours
from flowrt.fusion import FIRST_CALL, FUSED

PERFORMS = {"flowrt.bodies", "flowrt.batches", "flowrt.testing.workers"}  # the modules that call operations
HANDS_OUT = {
    "flowrt.subscribers",
    "flowrt.taps",
    "flowrt.failures",
    "flowrt.executors.tasks",
    "flowrt.sources",
}  # handlers, taps, keys


def thread_names() -> dict[int, str]:
    """Return the names of all threads, by ident."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}


def place_in_code(ident: int) -> str:
    """Say where in an operation's code (or a handler's) a thread is: file, line, function. Empty if it is in none."""
    frame = _users_frame(ident)
    if frame is None:
        return ""
    code = frame.f_code
    name = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name}:{frame.f_lineno} in {code.co_name}"


def stack_of(ident: int) -> str:
    """Write down the stack of a thread, from the operation's own code on."""
    import traceback  # noqa: PLC0415 - only for stalls, and importing flowrt is to cost little

    outermost = _users_frame(ident)
    frame = sys._current_frames().get(ident)
    if frame is None:
        return ""
    frames: list[tuple[FrameType, int]] = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        if frame is outermost:
            break
        frame = frame.f_back
    return "".join(traceback.StackSummary.extract(iter(reversed(frames))).format())


def line_of(ident: int) -> tuple[str, int]:
    """Return file and line of an operation's code (or a handler's) where a thread is; of this file if it is in none."""
    frame = _users_frame(ident)
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else (__file__, 1)


def fused_call(ident: int) -> int | None:
    """Say the how-manieth of its calls a fused function is in; None if the thread is in none."""
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if frame.f_code.co_filename == FUSED:
            return frame.f_lineno - FIRST_CALL if frame.f_lineno >= FIRST_CALL else None
        frame = frame.f_back
    return None


def is_in_operation(ident: int) -> bool:
    """Say whether a thread is in the code of an operation, and not in that of a handler or a tap."""
    return _standing(ident)[1]


def _users_frame(ident: int) -> FrameType | None:
    return _standing(ident)[0]


def _standing(ident: int) -> tuple[FrameType | None, bool]:
    """Return the frame of the operation or handler that was called last, and whether it is an operation's."""
    frame = sys._current_frames().get(ident)
    inner: FrameType | None = None
    handler: FrameType | None = None
    while frame is not None:
        if inner is not None and not is_ours(inner):
            if _performs(frame):
                return (inner, True) if handler is None else (handler, False)
            if handler is None and is_ours(frame) and _hands_out(frame):
                handler = inner
        inner, frame = frame, frame.f_back
    return handler, False


def _performs(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in PERFORMS or frame.f_code.co_filename == FUSED


def _hands_out(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in HANDS_OUT
