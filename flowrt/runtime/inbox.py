"""The one door into the engine: inputs and calls of other threads wait here."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.runtime.waiting import LONGEST_WAIT

if TYPE_CHECKING:
    from flowrt.engine.runs import Sent
    from flowrt.executors.seams import Seams
    from flowrt.runtime.waiting import Wakers


TOGETHER = 256  # inputs; arbitrary: by then what each costs alone is all there is
Entry = list[Any]
"""What to call, and its arguments as a tuple; or None, and an input."""


class Inbox:
    """Calls for the engine to make and inputs for it to take, in order of posting.

    A deque, and a bell to wait for. Both are re-entrant, so that a signal handler may post while the code it interrupted is posting
    (`queue.Queue` and janus stop for ever there). An entry is taken off when it has been worked on: what a queue returns is lost
    where a signal handler raises just then, on a thread that is the engine itself.

    Guarded by: the atomicity of deque operations. Called on: `post` any thread; the rest the engine's.
    """

    def __init__(self, seams: Seams) -> None:
        self._entries: deque[Entry] = deque()
        self._bell: Any = seams.queue()
        self._waiting = False

    def empty(self) -> bool:
        return not self._entries

    @property
    def waiting(self) -> bool:
        """Whether the engine waits for a call; any thread."""
        return self._waiting

    def post(self, call: Callable[..., Any] | None, *arguments: Any) -> None:
        """Have a call made; None: have the arguments taken as the one input of a run."""
        entry = [call, arguments]
        self._entries.append(entry)
        if self._waiting:  # looked at after appending, as `wait` sets it before it looks
            try:
                self._bell.put(None)
            except BaseException:
                entry[:] = _nothing, ()  # whoever posts is told, so it must not be made
                raise

    def work(self, take: Callable[[list[Sent]], object]) -> int:
        """Make the next call, or have the next inputs taken; say how many there were. If that raises they stay where they are."""
        entries = self._entries
        if not entries:
            return 0
        call, arguments = entries[0]
        if call is not None:
            call(*arguments)
            entries.popleft()
            return 1
        inputs = [arguments]
        for index in range(1, min(len(entries), TOGETHER)):
            call, arguments = entries[index]
            if call is not None:
                break
            inputs.append(arguments)
        take(inputs)
        for _ in inputs:
            entries.popleft()
        return len(inputs)

    def take_back(self, first: object) -> None:
        """Make nothing of entries that have this as their first argument, and keep nothing of it. Only where nobody takes any yet, or any more."""
        for entry in list(self._entries):
            arguments = entry[1]  # read once: another sender may take the same entry back meanwhile
            if arguments and arguments[0] is first:
                entry[:] = _nothing, ()

    def leave_to(self, take: Callable[[], object]) -> None:
        """Nobody waits here any more: have `take` called by whoever posts something."""
        self._bell = _Late(take)
        self._waiting = True

    def drop(self) -> None:
        """Take the next entry off."""
        self._entries.popleft()

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds (None: as long as it takes) for an entry; say whether there is one."""
        self._waiting = True
        try:
            try:
                while True:  # as `silence` does, without its call: it was rung for entries that have been worked on since
                    self._bell.get_nowait()
            except queue.Empty:
                pass
            if not self._entries:
                self._bell.get(timeout=None if timeout is None else min(max(timeout, 0.0), LONGEST_WAIT))
        except queue.Empty:
            pass
        finally:
            self._waiting = False
        return bool(self._entries)


class BorrowersInbox(Inbox):
    """The inbox of an engine without a thread of its own: who waits for another one to stop being the engine is woken, too."""

    def __init__(self, seams: Seams, changed: Wakers) -> None:
        super().__init__(seams)
        self._changed = changed

    def post(self, call: Callable[..., Any] | None, *arguments: Any) -> None:
        super().post(call, *arguments)
        self._changed.wake()


class _Late:
    """Is rung in place of the bell, once nobody listens to that."""

    def __init__(self, take: Callable[[], object]) -> None:
        self._take = take

    def put(self, _nothing: None) -> None:
        self._take()


def _nothing(*_arguments: Any) -> None:
    """Stands for an entry that could not be posted, or was taken back."""
