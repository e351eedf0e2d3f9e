"""An iterable goes in and results come out, both on the thread that reads: neither gets far ahead of the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flowrt.runtime.input import BATCH, batches_of
from flowrt.runtime.run import UNREAD_MOST, Run
from flowrt.runtime.waiting import EitherWakers

if TYPE_CHECKING:
    from flowrt.messages import Message
    from flowrt.ports import Port
    from flowrt.runtime.input import Input
    from flowrt.runtime.owner import Owner


def streamed(
    owner: Owner,
    way_in: Input,
    run: Run,
    port: Port,
    iterable: Iterable[Any],
    correlation_id: object,
    priority: int,
    timeout: float | None,
) -> Generator[Message, None, None]:
    """Send the items of an iterable as one run, and yield its results as they come; see `FlowRuntime.stream`."""
    owner.refuse_wait("for the results of a stream", None)
    ahead = min(UNREAD_MOST, owner.room.capacity)
    failed: list[Exception] = []
    batches = _until_it_raises(batches_of(iter(iterable), min(BATCH, ahead), owner.seams.clock), failed)
    sent, more = 0, True
    changes = EitherWakers(run._wakers(for_end=False), owner.waits.room)

    def may_go_on() -> bool:
        return run._behind > 0 or run.done or (more and owner.room.load < ahead)

    way_in.open(run)
    try:
        while True:
            while more and run._behind < ahead and owner.room.load < ahead and not run.done:
                batch = next(batches, None)
                if batch is None:
                    more = False
                    way_in.end(run)
                    break
                way_in.feed(run, port, correlation_id, priority, batch, sent)
                sent += len(batch)
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


def _until_it_raises(batches: Iterator[list[Any]], failed: list[Exception]) -> Iterator[list[Any]]:
    """Go through batches; keep what raises there for later, after the results of what came before."""
    try:
        yield from batches
    except Exception as error:
        failed.append(error)
