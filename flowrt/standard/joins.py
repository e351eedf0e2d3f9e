"""Operators that bring together what comes in at several ports: Zip, Latest, AutoResetJoin, ManualResetJoin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.errors import FlowOverloadError, check_count, check_seconds
from flowrt.messages import Part, branch_position, first_position
from flowrt.operations.contract import Emitter
from flowrt.standard.keeping import (
    MAX_IDS,
    MAX_OPEN,
    MAX_WAITING,
    Bucket,
    Buckets,
    Holder,
    Keeper,
    check_in_ports,
    data_of,
    home_of,
    index_of,
    without,
)

if TYPE_CHECKING:
    from flowrt.messages import Message, RunBooks, Scope
    from flowrt.standard.keeping import By, ByList, JoinedBy


UNPAIRED = "nothing came at another port to go with it"


@define(eq=False)
class _JoinPart(Part):
    """A message held; in `expires_in` it has a time of its own to be joined in."""

    expires_in: Any = None  # a _JoinBucket


class _Queues(list[deque[Part]]):
    """The messages held at each port of a join, oldest first."""

    def parts(self) -> list[Part]:
        return [part for queue in self for part in queue]

    def forget(self, run: RunBooks) -> None:
        """Forget what belongs to a run."""
        self[:] = [without(queue, run) for queue in self]


class _Joining(Holder):
    """What joins that hold messages have in common."""

    def __init__(
        self, name: str | None, ports: tuple[str, ...], by: Any, max_open: int, max_waiting: int
    ) -> None:
        super().__init__(name, by, max_open)
        self._joined: tuple[str, ...] = ports
        self.in_ports: tuple[str, ...] | None = ports
        self.max_waiting: int = check_count(self._owner, "max_waiting", max_waiting)
        self._index = index_of(ports)

    def make_kept(self) -> _Queues:
        return _Queues(deque() for _ in self._index)

    def _add(self, queues: _Queues, message: Message, emit: Emitter) -> _JoinPart:
        """Hold a message as the last of its port."""
        queue = queues[self._index[message.port.key[3]]]
        if len(queue) >= self.max_waiting:
            raise FlowOverloadError(
                f'{self._owner} would hold more than max_waiting={self.max_waiting} messages of its port "{message.port.name}". Send as many to '
                "its other ports, or raise max_waiting."
            )
        part = _JoinPart(message.data)
        emit.hold([part])
        queue.append(part)
        return part


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
        super().__init__(name, check_in_ports(f'Zip "{name}"', ports), by, max_open, max_waiting)

    def handle(self, state: ByList[_Queues], message: Message, emit: Emitter) -> None:
        queues = state.of(message, emit)
        self._add(queues, message, emit)
        if all(queues):
            parts = [waiting.popleft() for waiting in queues]
            emit.merge(parts, tuple(data_of(parts)))

    def drained(self, state: ByList[_Queues], scope: Scope, emit: Emitter) -> None:
        queues = state.take_own(scope)
        if queues is not None and any(queues):
            emit.release(queues.parts(), UNPAIRED)


class Latest(Keeper):
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
        super().__init__(name, by, max_open)
        self.in_ports: tuple[str, ...] | None = check_in_ports(self._owner, ports)
        self._index = index_of(self.in_ports)

    def make_kept(self) -> dict[int, Any]:
        return {}

    def handle(self, state: ByList[dict[int, Any]], message: Message, emit: Emitter) -> None:
        latest = state.of(message, emit)
        latest[self._index[message.port.key[3]]] = message.data
        if len(latest) == len(self._index):
            emit(tuple(latest[index] for index in range(len(latest))))


@define(eq=False, repr=False)
class _JoinBucket(Bucket):
    """What waits to be joined under one correlation id, or at one position."""

    queues: _Queues
    ready: bool = False  # every port has had a message, and what it had last is kept


_Buckets = Buckets[_JoinBucket]


class _ResetJoin(_Joining):
    """What the joins by correlation id have in common."""

    ways: tuple[str, str] = ("correlation", "run")
    remedy: str
    more_ports: tuple[str, ...] = ()
    position_of: Callable[[Any], Any] = staticmethod(
        first_position
    )  # where a position stands that is to be joined by run

    def __init__(
        self,
        name: str | None = None,
        inputs: int = 2,
        by: JoinedBy = "correlation",
        *,
        expire: float | None = None,
        max_open: int = MAX_IDS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        number = check_count(
            type(self).__name__ if name is None else f'{type(self).__name__} "{name}"',
            "inputs",
            inputs,
            "in-ports",
        )
        super().__init__(name, tuple(f"in{index}" for index in range(number)), by, max_open, max_waiting)
        self.in_ports: tuple[str, ...] | None = (*self._joined, *self.more_ports)
        self.expire: float | None = None if expire is None else check_seconds(self._owner, "expire", expire)

    def create(self) -> _Buckets:
        make = lambda among, key: _JoinBucket(among, key, self.make_kept())  # noqa: E731
        return Buckets(self._owner, self.max_open, make, self.remedy)

    def _where(self, state: _Buckets, message: Message) -> tuple[Scope | None, Hashable]:
        """Return under what a message waits: its position in its list or run, or its correlation id."""
        if self.by == "run":
            return home_of(message), self.position_of(message.position)
        return None, state.key_of(message.correlation_id)

    def explain(self, state: _Buckets) -> str:
        """Say what waits at which port."""
        waiting = [each for each in state if not each.ready]
        numbers = [sum(len(each.queues[index]) for each in waiting) for index in range(len(self._joined))]
        told = ", ".join(f"{number} of {port}" for port, number in zip(self._joined, numbers, strict=True))
        what = "positions" if self.by == "run" else "correlation ids"
        return f"{told} wait under {len(waiting)} {what}" if waiting else ""

    def drained(self, state: _Buckets, scope: Scope, emit: Emitter) -> None:
        """Give back what is left over in a list or run, by run; what waits under a correlation id stays there, for other runs."""
        for left in state.take(scope):
            rest = left.queues.parts()
            emit.absorb(rest, UNPAIRED)
            if self.expire is not None:
                emit.wake(None, left)
                for part in rest:
                    emit.wake(None, part)

    def cancelled(self, state: _Buckets, run: RunBooks) -> None:
        """Forget the messages of a run, and only those."""
        for gone in state.take_all(run):
            gone.queues.clear()  # it may still be waited for to expire
        for waiting in state:
            waiting.queues.forget(run)
            waiting.ready = waiting.ready and all(waiting.queues)
            if not any(waiting.queues):
                state.drop(waiting)


class AutoResetJoin(_ResetJoin):
    """Join the messages of several ports that have one correlation id: the oldest of each, as soon as every port has one.

    Ports:
        in  .in0, .in1, …  any object
        out .              a tuple, in the order of the ports

    Messages of all runs are joined; no correlation id is one like any other. With `by="run"`, messages are joined that stand at the same
    position of the same list (or run), whatever their ids: what a fork over parallel branches needs; of several that operations emit for one
    message, the first on each branch, the second, and so on. A tuple made of messages of one run
    leaves in the deepest of their lists if these lie in each other, else in the nearest list around all of them; of several runs,
    in the run, list and position of the message that completed it. It has the correlation id that all its messages have, is in the
    causalities that all are in, and has the highest of their priorities.
    What is left over waits for other runs, while its own run ends without it, as absorbed; by run it ends as absorbed when its list or run
    has gone quiet.

    Args:
        name: of the operation.
        inputs: how many in-ports.
        by: "correlation", or "run".
        expire: seconds that a message waits for those of other ports; then it ends as discarded. A run that has nothing else to do does
            not wait for that.
        max_open: correlation ids (or positions) under which something waits, at once.
        max_waiting: messages that wait at one port under one id.

    Raises:
        FlowBuildError: (as the cause of an `OperationError`) an id that cannot be hashed.
        FlowOverloadError: past `max_open` or `max_waiting`; the run fails.

    Runs on: the engine thread.
    Source: NPantaRhei's AutoResetJoin.
    """

    remedy = "Send what they wait for, let it expire (expire=)"
    position_of: Callable[[Any], Any] = staticmethod(branch_position)

    @property
    def by_position(self) -> bool:
        """Have the engine tell apart what is emitted for one item."""
        return self.by == "run"

    def handle(self, state: _Buckets, message: Message, emit: Emitter) -> None:
        waiting = state.of(*self._where(state, message), emit)
        part = self._add(waiting.queues, message, emit)
        if all(waiting.queues):
            parts = [queue.popleft() for queue in waiting.queues]
            for each in parts if self.expire is not None else ():
                if each is not part:
                    emit.wake(None, each)
            if not any(waiting.queues):
                state.drop(waiting)
            emit.merge(parts, tuple(data_of(parts)))
        elif self.expire is not None:
            part.expires_in = waiting
            emit.wake(self.expire, part)

    def timer(self, state: _Buckets, part: _JoinPart, emit: Emitter) -> None:
        """Give up a message that has waited too long: the oldest of its port."""
        waiting = part.expires_in
        for queue in waiting.queues:
            if queue and queue[0] is part:
                queue.popleft()
                emit.release([part], f"nothing came to go with it within {self.expire:g} s")
        if not any(waiting.queues):
            state.drop(waiting)


class ManualResetJoin(_ResetJoin):
    """Join the messages of several ports that have one correlation id, again and again, with what came last at the other ports.

    Ports:
        in  .in0, .in1, …  any object
        in  .reset         anything: what has come under its correlation id (by run, at its position) is forgotten
        out .              a tuple, in the order of the ports

    Until every port has had a message, all are kept. Then the backlog is worked off: the oldest of each port leave as a tuple, and the first
    port that has more than one loses its oldest, until each has one left. From then on a message takes the place of the one before
    at its port and leaves with the latest of the others, in its own context.
    A tuple has the correlation id that all its messages have, and is in the causalities that all are in. Which messages meet, and in what
    context the backlog leaves, is as with `AutoResetJoin`. A message that has left in a tuple counts until another takes its place, also if
    its run is over or cancelled.

    Args:
        name: of the operation.
        inputs: how many in-ports, `.reset` aside.
        by: "correlation", or "run".
        expire: seconds without a message under an id (or at a position) after which what has come under it is forgotten, as by `.reset`.
        max_open: correlation ids (or positions) under which something is kept, at once.
        max_waiting: messages that wait at one port under one id.

    Raises:
        FlowBuildError: (as the cause of an `OperationError`) an id that cannot be hashed.
        FlowOverloadError: past `max_open` or `max_waiting`; the run fails.

    Runs on: the engine thread.
    Source: NPantaRhei's ManualResetJoin.
    """

    more_ports: tuple[str, ...] = ("reset",)
    remedy = "Reset those that are done with (.reset), let them expire (expire=)"

    def handle(self, state: _Buckets, message: Message, emit: Emitter) -> None:
        """Keep the message, and emit what it makes complete; or forget what was kept."""
        port = message.port.key[3]
        if port == "reset":
            kept = state.find(*self._where(state, message))
            if kept is not None:
                self._forget(state, kept, emit, "the join was reset")
                if self.expire is not None:
                    emit.wake(None, kept)
            return
        kept = state.of(*self._where(state, message), emit)
        if kept.ready:
            kept.queues[self._index[port]].clear()
        part = self._add(kept.queues, message, emit)
        if self.expire is not None:
            emit.wake(self.expire, kept)
        if kept.ready:
            newest = [queue[0] for queue in kept.queues]
            emit.merge([part], tuple(data_of(newest)), made_of=newest)
        elif all(kept.queues):
            kept.ready = True
            self._work_off(kept.queues, emit)

    def _work_off(self, queues: _Queues, emit: Emitter) -> None:
        while True:
            oldest = [queue[0] for queue in queues]
            longer = next((queue for queue in queues if len(queue) > 1), None)
            done = oldest if longer is None else [longer.popleft()]
            emit.merge(done, tuple(data_of(oldest)), made_of=oldest)
            if longer is None:
                return

    def _forget(self, state: _Buckets, kept: _JoinBucket, emit: Emitter, reason: str) -> None:
        if state.drop(kept):
            emit.release(kept.queues.parts(), reason)

    def timer(self, state: _Buckets, kept: _JoinBucket, emit: Emitter) -> None:
        """Forget what nothing has come for in a while."""
        self._forget(state, kept, emit, f"nothing more came within {self.expire:g} s")
