"""Operators that bring together what comes in at several ports: Zip, Latest."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrt.errors import FlowOverloadError, check_count
from flowrt.operations import Emitter, Operation
from flowrt.scopes import Part
from flowrt.standard.pools import (
    MAX_OPEN,
    MAX_WAITING,
    By,
    Pools,
    check_by,
    check_in_ports,
    data_of,
    home_of,
)

if TYPE_CHECKING:
    from flowrt.messages import Message
    from flowrt.scopes import RunBooks, Scope

Queues = list[deque[tuple[Part, "Scope"]]]
UNPAIRED = "nothing came at another port to go with it"


class _Joining(Operation):
    """What Zip and Latest have in common."""

    def __init__(self, name: str, ports: Sequence[str], by: By, max_open: int) -> None:
        super().__init__(name)
        owner = f'{type(self).__name__} "{name}"'
        self.in_ports = check_in_ports(owner, ports)
        self.by = check_by(owner, by)
        self.max_open = check_count(owner, "max_open", max_open)
        self._index = {port.casefold(): index for index, port in enumerate(self.in_ports)}


class Zip(_Joining):
    """Pair the messages of several ports: the first of each, the second of each, and so on.

    Ports:
        in  those in `ports`  any object
        out .                 a tuple, in the order of `ports`, as soon as it is complete

    Items of a scattered list are paired within their list, other messages with those of all runs. A tuple leaves in the run, list and
    position of the message that completed it, with the correlation id that all its messages have, and in the causalities that all are in.
    What is left over in a list (or, by run, in a run) when that has gone quiet ends as discarded; what is left over outside waits for
    other runs, while its own run ends without it.

    Args:
        name: of the operation.
        ports: the names of two in-ports or more.
        by: "all", or "run" to pair messages with those of their own run alone.
        max_open: lists (or runs), at once.
        max_waiting: messages, waiting at one port for those of another.

    Raises:
        FlowOverloadError: past `max_open` or `max_waiting`; the run fails.

    Runs on: the engine thread.
    """

    def __init__(
        self,
        name: str,
        ports: Sequence[str],
        *,
        by: By = "all",
        max_open: int = MAX_OPEN,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__(name, ports, by, max_open)
        self.max_waiting = check_count(f'Zip "{name}"', "max_waiting", max_waiting)

    def create(self) -> Pools[Queues]:
        number = len(self._index)
        return Pools(f'Zip "{self.name}"', self.by, self.max_open, lambda: [deque() for _ in range(number)])

    def handle(self, state: Pools[Queues], message: Message, emit: Emitter) -> None:
        """Hold the message, and emit the tuple that it completes."""
        queues = state.of(message, emit)
        queue = queues[self._index[message.port.name.casefold()]]
        if len(queue) >= self.max_waiting:
            raise FlowOverloadError(
                f'Zip "{self.name}" would hold more than max_waiting={self.max_waiting} messages of its port "{message.port.name}". Send as '
                "many to its other ports, or raise max_waiting."
            )
        part = Part(message.data)
        emit.hold([part])
        queue.append((part, home_of(message)))
        if all(queues):
            parts = [waiting.popleft()[0] for waiting in queues]
            emit.merge(parts, tuple(data_of(parts)))

    def drained(self, state: Pools[Queues], scope: Scope, emit: Emitter) -> None:
        """Give up what is left over in a list."""
        rest = [part for queue in state.take_own(scope) or () for part, _ in queue]
        if rest:
            emit.release(rest, UNPAIRED)

    def cancelled(self, state: Pools[Queues], run: RunBooks) -> None:
        """Forget the messages of a run, and only those."""
        state.forget(run)
        for queues in state:
            for index, queue in enumerate(queues):
                queues[index] = deque(entry for entry in queue if entry[1].run is not run)


class Latest(_Joining):
    """Emit the latest data of all ports whenever a message comes at one of them.

    Ports:
        in  those in `ports`  any object
        out .                 a tuple, in the order of `ports`, for each message once every port has had one; those before end as absorbed

    Items of a scattered list are combined within their list, other messages with those of all runs, also of runs that are over or cancelled.
    A tuple leaves in the context of the message that came.

    Args:
        name: of the operation.
        ports: the names of two in-ports or more.
        by: "all", or "run" to combine messages with those of their own run alone.
        max_open: lists (or runs), at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Memory: the latest data of each port, per list (or run).
    Runs on: the engine thread.
    """

    def __init__(self, name: str, ports: Sequence[str], *, by: By = "all", max_open: int = MAX_OPEN) -> None:
        super().__init__(name, ports, by, max_open)

    def create(self) -> Pools[dict[int, Any]]:
        return Pools(f'Latest "{self.name}"', self.by, self.max_open, dict)

    def handle(self, state: Pools[dict[int, Any]], message: Message, emit: Emitter) -> None:
        """Remember the data, and emit it with that of the other ports."""
        latest = state.of(message, emit)
        latest[self._index[message.port.name.casefold()]] = message.data
        if len(latest) == len(self._index):
            emit(tuple(latest[index] for index in range(len(latest))))

    def drained(self, state: Pools[dict[int, Any]], scope: Scope, _emit: Emitter) -> None:
        """Forget the data of a list."""
        state.take_own(scope)

    def cancelled(self, state: Pools[dict[int, Any]], run: RunBooks) -> None:
        """Forget the data of the lists of a run."""
        state.forget(run)
