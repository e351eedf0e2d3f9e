"""What every executor does with a task before and after performing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrt.messages import Chunk, message_of
from flowrt.operations import OperationBody

if TYPE_CHECKING:
    from flowrt.contract import Task


def prepare(task: Task) -> Task:
    """Give an operation with state what it needs: its messages, its state, which of its ports are fed."""
    place = task.place
    if type(place.declaration.body) is OperationBody:
        task.messages = [message_of(task.chunk, index) for index in range(len(task.data))]
        task.state = place.state
        task.operation = place.operation
        task.fed = place.fed
    return task


def perform(task: Task) -> None:
    """Perform a task on a worker; inputs of runs that have ended are not begun."""
    if task.chunk.context_at(0).scope.run.ended:
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
