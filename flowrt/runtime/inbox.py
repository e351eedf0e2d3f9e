"""The one door into the engine."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.runtime.waiting import LONGEST_WAIT

if TYPE_CHECKING:
    from flowrt.executors.seams import Seams


TOGETHER = 256  # calls; arbitrary: by then what each costs alone is all there is
Call = list[Any]
"""What to call, and its arguments as a tuple."""


class Inbox:
    """Calls for the engine to make, in order of posting.

    A deque, and a bell to wait for. Both are re-entrant, so that a signal handler may post while the code it interrupted is posting
    (`queue.Queue` and janus stop for ever there: RELIABILITY M1). A call is taken off when it has been made: what a queue returns is lost where a
    signal handler raises just then, on a thread that is the engine itself.

    Guarded by: the atomicity of deque operations. Called on: `post` any thread; the rest the engine's.
    """

    def __init__(self, seams: Seams) -> None:
        self._calls: deque[Call] = deque()
        self._bell: Any = seams.queue()
        self._waiting = False
        self._alike: Callable[..., Any] | None = None
        self._together: Callable[[list[tuple[Any, ...]]], Any] = _nothing

    def join_up(self, call: Callable[..., Any], together: Callable[[list[tuple[Any, ...]]], Any]) -> None:
        """Have calls of `call` that wait one behind the other made as one of `together`, with the arguments of each."""
        self._alike, self._together = call, together

    def empty(self) -> bool:
        return not self._calls

    @property
    def waiting(self) -> bool:
        """Whether the engine waits for a call; any thread."""
        return self._waiting

    def post(self, call: Callable[..., Any], *arguments: Any) -> None:
        entry = [call, arguments]
        self._calls.append(entry)
        if self._waiting:  # looked at after appending, as `wait` sets it before it looks
            try:
                self._bell.put(None)
            except BaseException:
                entry[0] = _nothing  # whoever posts is told, so it must not be made
                raise

    def work(self) -> int:
        """Make the next call, or the next ones that are made together; say how many there were. If it raises they stay where they are."""
        calls = self._calls
        if not calls:
            return 0
        call, arguments = calls[0]
        if call is not self._alike:
            call(*arguments)
            calls.popleft()
            return 1
        several = [arguments]
        for index in range(1, min(len(calls), TOGETHER)):
            call, arguments = calls[index]
            if call is not self._alike:
                break
            several.append(arguments)
        self._together(several)
        for _ in several:
            calls.popleft()
        return len(several)

    def take_back(self, first: object) -> None:
        """Have no call made that has this as its first argument, and keep nothing of it. Only where nobody makes calls yet, or any more."""
        for entry in list(self._calls):
            if entry[1] and entry[1][0] is first:
                entry[:] = _nothing, ()

    def leave_to(self, take: Callable[[], object]) -> None:
        """Nobody waits here any more: have `take` called by whoever posts something."""
        self._bell = _Late(take)
        self._waiting = True

    def drop(self) -> None:
        """Take the next call off."""
        self._calls.popleft()

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds (None: as long as it takes) for a call; say whether there is one."""
        self._waiting = True
        try:
            while not self._bell.empty():  # rung for calls that have been made since
                self._bell.get_nowait()
            if not self._calls:
                self._bell.get(timeout=None if timeout is None else min(max(timeout, 0.0), LONGEST_WAIT))
        except queue.Empty:
            pass
        finally:
            self._waiting = False
        return bool(self._calls)


class _Late:
    """Is rung in place of the bell, once nobody listens to that."""

    def __init__(self, take: Callable[[], object]) -> None:
        self._take = take

    def put(self, _nothing: None) -> None:
        self._take()


def _nothing(*_arguments: Any) -> None:
    """Stands for a call that could not be posted."""
