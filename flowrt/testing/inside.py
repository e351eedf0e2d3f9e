"""What the test kit knows of a runtime's inside: all it asks of the parts of one, to change in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flowrt.runtime.wiring import inner_parts, owner_of

if TYPE_CHECKING:
    from flowrt.ports import Port
    from flowrt.runtime.run import Run
    from flowrt.runtime.runtime import FlowRuntime


def capture_outputs(runtime: FlowRuntime) -> None:
    """Have what no stream takes leave as a result, under its own port; before the first stream is added."""
    inner_parts(runtime).owner.engine.routes.capture = True


def is_target(runtime: FlowRuntime, port: Port) -> bool:
    """Say whether a stream of the root flow, as it was added, ends at a port."""
    return any(stream.target == port for stream in inner_parts(runtime).building.flow.streams)


def wait_until(runtime: FlowRuntime, ready: Callable[[], bool], timeout: float | None) -> bool:
    """Wait on this thread, or work where there is no engine's, until `ready`; say whether it came in time."""
    return inner_parts(runtime).owner.wait_until(ready, timeout)


def refuse_wait(runtime: FlowRuntime, what: str, timeout: float | None) -> None:
    """`FlowStalledError` where a wait would wait for itself."""
    inner_parts(runtime).owner.refuse_wait(what, timeout)


def wake_waiting(runtime: FlowRuntime) -> None:
    """Have whoever waits in `wait_until` ask again; on the engine's thread."""
    inner_parts(runtime).owner.waits.changed.wake()


def is_engine(runtime: FlowRuntime) -> bool:
    """Say whether this thread is the engine's."""
    return inner_parts(runtime).owner.is_engine()


def break_off(runtime: FlowRuntime) -> None:
    """Have the engine take no step any more, whatever it is at, and nobody wait for it."""
    parts = inner_parts(runtime)
    parts.life.stopped = True
    parts.owner.waits.wake_all()


def is_inside(run: Run) -> bool:
    """Say whether this thread is the engine's or a worker's."""
    return owner_of(run).inside()


def fatal_of(run: Run) -> BaseException | None:
    """Return what stopped the runtime of a run."""
    return owner_of(run).life.fatal
