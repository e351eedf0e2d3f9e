"""What every executor does with a task before and after performing it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from flowrt.bodies import Failure, OperationBody
from flowrt.contract import Task
from flowrt.handover import Waiting
from flowrt.messages import Chunk, message_of

if TYPE_CHECKING:
    from flowrt.contract import Reports
    from flowrt.places import OperationPlace


def waiting_of(place: OperationPlace, chunk: Chunk, reports: Reports) -> list[Waiting]:
    """Make a chunk ready for a backlog: numbered where the order is to be restored, split by key where one is asked for."""
    by_key = place.declaration.mode.by_key
    if by_key is None:
        sequence = 0
        if place.reorder is not None:
            sequence = place.reorder.handed
            place.reorder.handed += len(chunk.data)
        return [Waiting(place, chunk, sequence)]
    if not callable(by_key):
        return [Waiting(place, chunk, 0, (place, chunk.handler.in_port.casefold()))]
    return _by_key(place, chunk, by_key, reports)


def _by_key(
    place: OperationPlace, chunk: Chunk, by_key: Callable[[Any], Any], reports: Reports
) -> list[Waiting]:
    """Split a chunk by key; what has one key stays in order, which is all that is promised."""
    found: dict[Hashable, list[int]] = {}
    for index, item in enumerate(chunk.data):
        try:
            found.setdefault((place, by_key(item)), []).append(index)
        except BaseException as error:  # of the function, or of a key that cannot be hashed
            refused = Task(place, picked(chunk, [index]))
            refused.results, refused.failed = [Failure(error)], True
            reports.report(refused)
    return [Waiting(place, picked(chunk, indexes), 0, key) for key, indexes in found.items()]


def picked(chunk: Chunk, indexes: list[int]) -> Chunk:
    """Make a chunk of some messages of a chunk."""
    context = chunk.context
    return Chunk(
        chunk.handler,
        [chunk.data[index] for index in indexes],
        [context[index] for index in indexes] if type(context) is list else context,
        [chunk.positions[index] for index in indexes],
        chunk.trail,
    )


def prepare(task: Task) -> Task:
    """Give an operation with state what it needs: its messages, its state, which of its ports are fed."""
    place = task.place
    if type(place.declaration.body) is OperationBody:
        task.messages = [message_of(task.chunk, index) for index in range(len(task.data))]
        task.state = place.state
        task.operation = place.operation
        task.fed = place.fed
    return task


def perform(task: Task, waiting: Waiting) -> None:
    """Perform a task on a worker; inputs whose runs had ended when they were taken are not begun."""
    if waiting.ended:
        task.results = [None] * len(task.data)
    else:
        task.place.declaration.body.perform(task)


def rest_of(task: Task) -> Chunk | None:
    """Return what a task that was asked to stop has not begun. The task's own chunk stays whole: the engine may be reading it."""
    done, chunk = len(task.results), task.chunk
    if done >= len(chunk.data):
        return None
    context = chunk.context
    return Chunk(
        chunk.handler,
        chunk.data[done:],
        context[done:] if type(context) is list else context,
        chunk.positions[done:],
        chunk.trail,
    )
