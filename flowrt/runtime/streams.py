"""An iterable goes in and results come out, both on the thread that reads: neither gets far ahead of the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from flowrt.runtime.input import Pouring
from flowrt.runtime.run import UNREAD_MOST, Run
from flowrt.runtime.waiting import EitherWakers

if TYPE_CHECKING:
    from flowrt.messages import Message
    from flowrt.ports import Port
    from flowrt.runtime.input import Input, Label
    from flowrt.runtime.owner import Owner


PULL_MOST = 64  # items pulled between two looks for results; arbitrary: a look costs a microsecond
PULL_SECONDS = (
    0.000_1  # pulls that take longer are made one by one, so that no result waits for more than one
)


def streamed(
    _runtime: object,  # is not dropped while its results are read
    owner: Owner,
    way_in: Input,
    run: Run,
    port: Port,
    iterable: Iterable[Any],
    label: Label,
    timeout: float | None,
    deadline: float | None,
) -> Generator[Message, None, None]:
    """Send the items of an iterable as one run, and yield its results as they come; see `FlowRuntime.stream`."""
    owner.refuse_wait("for the results of a stream", None)
    ahead = min(UNREAD_MOST, owner.room.capacity)
    failed: list[Exception] = []
    items = iter(iterable)
    pouring, more, pull = Pouring(way_in, run, port, label), True, 1
    changes = EitherWakers(run._wakers(for_end=False), owner.waits.room)
    clock = owner.seams.clock

    def may_go_on() -> bool:
        return run._behind > 0 or run.done or (more and owner.room.load < ahead)

    if deadline is not None:
        run.end_within(deadline)
        owner.inbox.post(run.watch_deadline, deadline)
    way_in.open(run)
    try:
        while True:
            while more and run._behind < ahead and owner.room.load < ahead and not run.done:
                started = clock.now()
                try:
                    more = pouring.take(items, pull)
                except Exception as error:  # for later: results of what came before are first
                    failed.append(error)
                    more = False
                if not more:
                    way_in.end(run)
                pull = min(pull * 8, PULL_MOST) if clock.now() - started < PULL_SECONDS else 1
                if run._behind > 0:  # the next item may be long in coming
                    break
            finished = run.done  # before the look
            message = run._next_unread()
            if message is not None:
                yield message
            elif finished:
                break
            else:
                run._wait_for(may_go_on, timeout, "for a result", wakers=changes)
        run.wait()
        if failed:
            raise failed[0]
    finally:
        if more:
            way_in.end(run)
        if not run.done:  # whoever reads has gone away
            run.cancel()
