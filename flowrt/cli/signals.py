"""Ctrl-C and SIGTERM: the first one has the flow drain, the second one ends it, a third one ends the process."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from flowrt.cli.exits import STOPPED_BY

THIRD = 3


class StoppedError(BaseException):
    """A first signal came while the main thread was waiting."""


class Signals:
    """Takes over the two signals while a flow runs.

    Called on: the main thread, where handlers run too, between any two of its steps; elsewhere no signal is taken over. So a handler
    only does what may be done at any moment: it counts, writes by a system call, and has the runtime begin to close, which is one `put`
    into a queue made for that.

    Attributes:
        number: the first signal that came; 0 without one.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.number: int = 0
        self._begin = begin
        self._count = 0
        self._waits = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the first signal end what the main thread waits for inside: `StoppedError`."""
        self._waits = True
        try:
            if self.number:
                raise StoppedError
            yield
        finally:
            self._waits = False

    def until_readable(self, file: int) -> None:
        """Wait until something can be read from a file; a signal that comes meanwhile is handled.

        Python handles a signal between two of its own steps, so one that comes just before a read blocks would wait for what is read. But a
        byte is written at once to the file that is set for that: it ends the wait.
        """
        if not self._before:
            return
        bell, rung = os.pipe()
        os.set_blocking(bell, False)
        os.set_blocking(rung, False)
        before = signal.set_wakeup_fd(rung)
        try:
            while file not in select.select([file, bell], [], [])[0]:
                _pass_on(bell, before)
        finally:
            signal.set_wakeup_fd(before)
            _pass_on(bell, before)
            os.close(bell)
            os.close(rung)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= THIRD:
            os._exit(STOPPED_BY + self.number)
        if self._count > 1:
            _tell_at_once("killed")
            raise KeyboardInterrupt
        self.number = number
        name = signal.Signals(number).name
        _tell_at_once(f"{name}: no more input, what is under way is finished; once more to kill it")
        self._begin()
        if self._waits:
            raise StoppedError


def _pass_on(bell: int, to: int) -> None:
    """Hand the numbers of signals on to whoever had them written to a file before; -1: to nobody."""
    try:
        numbers = os.read(bell, 64)
        if to >= 0:
            os.write(to, numbers)
    except OSError:  # there are none, or nobody reads
        pass


def _tell_at_once(text: str) -> None:
    """Write to the standard error by a system call: a buffered write may be what was interrupted."""
    try:
        os.write(2, f"flowrt: {text}\n".encode())
    except OSError:
        pass
