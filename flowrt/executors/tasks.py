"""What every executor does with a task before and after performing it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.chunks import Chunk, message_of
from flowrt.engine.contract import Task
from flowrt.errors import no_answer
from flowrt.executors.backlog import NO_KEYS, picked
from flowrt.operations.bodies import Failure, OperationBody
from flowrt.operations.components import ComponentBody

if TYPE_CHECKING:
    from flowrt.engine.contract import Reports
    from flowrt.engine.places import Place
    from flowrt.executors.backlog import Keyed, Taken


CALLS_HANDLERS = True  # or taps, keys, iterables: for observe/calls.py, which sees its frames


def with_keys(place: Place, chunk: Chunk, reports: Reports) -> tuple[Chunk, Keyed]:
    """Return what of a chunk can be put into a backlog: where a key is asked for, with the keys, and without what has none."""
    by_key = place.declaration.mode.by_key
    if by_key is None or place.guard is not None:  # which sees to the keys itself
        return chunk, NO_KEYS
    if not callable(by_key):
        port = chunk.handler.key
        return chunk, ([port] * len(chunk.data), {port: None})
    keys: list[Hashable] = []
    refused: dict[int, BaseException] = {}
    while len(keys) < len(chunk.data):
        _add_keys(chunk.data, by_key, keys, refused)
    if not users.PLAIN.issuperset(map(type, keys)):
        keys = _kept_by(keys, refused)
    if not refused:
        return chunk, (keys, dict.fromkeys(keys))
    for index, error in refused.items():
        task = Task(place, picked(chunk, [index]))
        task.results, task.failed = [Failure(no_answer("by_key", error))], True
        reports.report(task)
    left = [index for index in range(len(keys)) if index not in refused]
    keys = [keys[index] for index in left]
    return picked(chunk, left), (keys, dict.fromkeys(keys))


def _add_keys(
    data: list[Any], by_key: Callable[[Any], Any], keys: list[Hashable], refused: dict[int, BaseException]
) -> None:
    """Go on with the keys of messages, up to the first that has none."""
    append = keys.append
    try:
        for item in data[len(keys) :] if keys else data:
            append(by_key(item))
    except BaseException as error:
        refused[len(keys)] = error
        append(None)


def _kept_by(keys: list[Any], refused: dict[int, BaseException]) -> list[Hashable]:
    """Return what stands for keys in the lines of a lane; refuse those that cannot be hashed or compared."""
    found: list[Hashable] = []
    for index, key in enumerate(keys):
        try:
            found.append(users.as_key(key))
        except BaseException as error:
            refused[index] = error
            found.append(None)
    return found


def task_of(taken: Taken, reports: Reports) -> Task:
    """Make what is performed of what was taken from a backlog."""
    lane = taken.lane
    task = prepare(Task(lane.place, taken.chunk, reports.collect))
    task.reorder, task.sequence = lane.reorder, taken.sequence
    return task


def prepare(task: Task) -> Task:
    """Give an operation with state what it needs: its messages, its state, which of its ports are fed."""
    place = task.place
    if type(place.declaration.body) is OperationBody:
        task.messages = [message_of(task.chunk, index) for index in range(len(task.data))]
        task.state = place.state
        task.operation = place.operation
        task.fed = place.fed
    elif type(place.declaration.body) is ComponentBody:
        task.state, task.port = place.state, task.chunk.handler.in_port
    return task


def perform(task: Task, taken: Taken) -> None:
    """Perform a task on a worker; inputs whose runs had ended when they were taken are not begun."""
    if taken.ended:
        task.results = [None] * len(task.data)
    else:
        task.place.declaration.body.perform(task)


def rest_of(task: Task) -> Chunk | None:
    """Return what a task that was asked to stop has not begun. The task's own chunk stays whole: the engine may be reading it."""
    return part_of(task.chunk, len(task.results), task.limit)


def part_of(chunk: Chunk, first: int, end: int) -> Chunk | None:
    """Return the messages from `first` on and before `end` as a chunk of their own, or None if there are none. The chunk itself stays whole."""
    if first >= end:
        return None
    context = chunk.context
    return Chunk(
        chunk.handler,
        chunk.data[first:end],
        context[first:end] if type(context) is list else context,
        chunk.positions[first:end],
        chunk.trail,
    )


def take_back(task: Task) -> Chunk | None:
    """Take from a group that was asked to stop what it cannot have begun: all but the message it may be at.

    Its worker begins nothing any more, and is at most at the one behind its results.
    """
    end = len(task.results) + 1
    rest = part_of(task.chunk, end, task.limit)
    task.limit = min(task.limit, end)
    return rest
