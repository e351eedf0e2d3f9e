"""Which call a thread is in, read off its frames: `current()`, and where operations stand."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from flowrt.engine.contract import PullTask, Task
from flowrt.engine.fusion import FIRST_CALL, FUSED, Fusion
from flowrt.errors import frames_of, is_ours
from flowrt.executors.inline import InlineExecutor
from flowrt.messages import first_position

if TYPE_CHECKING:
    from flowrt.engine.chunks import Chunk
    from flowrt.messages import Context, RunBooks


def thread_names() -> dict[int, str]:
    """Return the names of all threads, by ident."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}


def place_in_code(ident: int | None) -> str:
    """Say where in an operation's code (or a handler's) a thread is: file, line, function. Empty if it is in none."""
    frame, _ = _standing(ident)
    if frame is None:
        return ""
    code = frame.f_code
    name = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name}:{frame.f_lineno} in {code.co_name}"


def stack_of(ident: int) -> str:
    """Write down the stack of a thread, from the operation's own code on."""
    import traceback  # noqa: PLC0415 - only for stalls, and importing flowrt is to cost little

    outermost, _ = _standing(ident)
    frames: list[tuple[FrameType, int]] = []
    for frame in frames_of(ident):
        frames.append((frame, frame.f_lineno))
        if frame is outermost:
            break
    return "".join(traceback.StackSummary.extract(iter(reversed(frames))).format())


def line_of(ident: int) -> tuple[str, int]:
    """Return file and line of an operation's code (or a handler's) where a thread is; of this file if it is in none."""
    frame, _ = _standing(ident)
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else (__file__, 1)


def fused_call(ident: int | None) -> int | None:
    """Say the how-manieth of its calls a fused function is in; None if the thread is in none."""
    return next((_call_of(frame) for frame in frames_of(ident) if frame.f_code.co_filename == FUSED), None)


def _call_of(fused: FrameType) -> int | None:
    call = fused.f_lineno - FIRST_CALL  # a call a line
    return call if call >= 0 else None


def is_in_operation(ident: int) -> bool:
    """Say whether a thread is in the code of an operation, and not in that of a handler or a tap."""
    return _standing(ident)[1]


def _standing(ident: int | None) -> tuple[FrameType | None, bool]:
    """Return the frame of the operation or handler that was called last, and whether it is an operation's.

    A module that calls operations says so by `CALLS_OPERATIONS`; one that calls handlers, taps or keys by `CALLS_HANDLERS`.
    """
    inner: FrameType | None = None
    handler: FrameType | None = None
    for frame in frames_of(ident):
        if inner is not None and not is_ours(inner):
            if "CALLS_OPERATIONS" in frame.f_globals:
                return (inner, True) if handler is None else (handler, False)
            if handler is None and "CALLS_HANDLERS" in frame.f_globals:
                handler = inner
        inner = frame
    return handler, False


@frozen
class Current:
    """The call that an operation is in; or, outside of a flow, a stand-in that is in no run and is never cancelled.

    Attributes:
        run: the number of the run its message belongs to, from 1; 0 outside of a flow.
        operation: the full name of its place; "" outside of a flow.
        position: where its message stands in its list, or among the inputs of its run; None for what has no place there.
        correlation_id: of its message.
        remaining: seconds until the deadline of the run, never less than 0; None if it has none.
        cancelled: whether the run has ended meanwhile, so that what comes of this call will be dropped.
    """

    run: int
    operation: str
    position: int | None
    correlation_id: object
    _books: RunBooks | None = field(default=None, repr=False)
    _handle: Any = field(default=None, repr=False)

    @property
    def remaining(self) -> float | None:
        return self._handle.remaining if self._handle is not None else None

    @property
    def cancelled(self) -> bool:
        return self._books is not None and self._books.ended


def current() -> Current:
    """Say what call this is made in: in a function, an action, a generator or an operation of your own, in every mode.

    On the thread of the call. Anywhere else it says so (run 0, no operation, not cancelled, no deadline), so that a function that asks can be
    called and tested as any other.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        calls = frame.f_globals.get("CALLS_OPERATIONS", {})
        look = _fused if frame.f_code.co_filename == FUSED else _LOOKS.get(calls.get(frame.f_code, ""))
        found = look(frame) if look is not None else None
        if found is not None:
            return found
        frame = frame.f_back
    return _OUTSIDE


_OUTSIDE = Current(0, "", None, None)


def _told(place: Any, context: Context, position: Any) -> Current:
    books = context.scope.run
    return Current(
        books.number, place.name, first_position(position), context.correlation_id, books, books.handle
    )


def _in_chunk(place: Any, chunk: Chunk, index: int) -> Current:
    return _told(place, chunk.context_at(index), chunk.positions[index])


def _group(frame: FrameType) -> Current | None:
    group = frame.f_locals["group"]
    index = len(group.results)  # one for each call that is over
    if isinstance(group, Task):
        return _in_chunk(group.place, group.chunk, index)
    around = _variables_at(frame, InlineExecutor, "chunk")
    return _in_chunk(around["place"], around["chunk"], index) if around else None


def _pull(frame: FrameType) -> Current | None:
    pull = frame.f_locals["self"]
    if not isinstance(pull, PullTask):
        return None
    source = pull.source
    return _told(source.place, source.input, source.position)


def _batch(frame: FrameType) -> Current:
    batch = frame.f_locals["batch"]
    return _told(batch.place, batch.context, batch.positions[0])


def _scope(frame: FrameType) -> Current:
    place, scope = frame.f_locals["place"], frame.f_locals["scope"]
    run = scope.run
    correlation_id = scope.origin.correlation_id if scope.origin is not None else None
    return Current(run.number, place.name, None, correlation_id, run, run.handle)


def _fused(frame: FrameType) -> Current | None:
    stage, call = _call_of(frame), _variables_at(frame, Fusion, "chain")
    if not call or stage is None:
        return None
    chain, index = call["chain"], call["first"] + len(call["results"])
    taken = _variables_at(frame, Fusion, "chunk", "source")
    if "source" in taken:
        return _told(chain.places[stage], taken["source"].context, index)
    return _in_chunk(chain.places[stage], taken["chunk"], index)


def _variables_at(frame: FrameType | None, owner: type, *names: str) -> dict[str, Any]:
    """Return the variables of the next frame below, in the module of a class, that has one of these; none if there is no such frame."""
    while frame is not None:
        if frame.f_globals.get("__name__") == owner.__module__ and any(
            name in frame.f_locals for name in names
        ):
            return frame.f_locals
        frame = frame.f_back
    return {}


_LOOKS: dict[str, Callable[[FrameType], Current | None]] = {
    "group": _group,
    "self": _pull,
    "batch": _batch,
    "scope": _scope,
}
