"""Whether a runtime is open, closing or over, and why."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from flowrt.errors import FlowStoppedError, internal_error

if TYPE_CHECKING:
    from typing import Any

    from flowrt.executors.seams import Seams


class Life:
    """The life of one runtime.

    Attributes:
        closing: no input is taken any more.
        draining: the engine ends when nothing is left to do.
        stopped: the engine makes no call any more, or was given up.
        last_word: a lock, held by who emits late, and by the engine while it decides to end.
        fatal: what stopped it before its time; `fatal_seen`: somebody had that raised.
        forked_from: in a forked child, the process that has its threads.

    Guarded by: nothing. `closing` and `stopped` are set once, by the engine's thread or by who gives it up.
    """

    def __init__(self, name: str, seams: Seams) -> None:
        self.name = name
        self.closing = False
        self.draining = False
        self.stopped = False
        self.last_word: Any = seams.rlock()
        self.fatal: BaseException | None = None
        self.fatal_seen: bool = False
        self.forked_from: int | None = None
        self.next_number: Callable[[], int] = count(1).__next__  # of a run
        self._at_end: list[Callable[[], object]] = []

    def at_end(self, *steps: Callable[[], object]) -> None:
        """Have these called when it is over; where it is given up, perhaps twice."""
        self._at_end += steps

    def end(self) -> None:
        """It is over: let go of what it had."""
        self.do_each(*self._at_end)

    def do_each(self, *steps: Callable[[], object]) -> None:
        """Take all steps of an end, whatever some of them raise."""
        for step in steps:
            try:
                step()
            except (KeyboardInterrupt, SystemExit) as error:
                self.fatal = error if self.fatal is None else self.fatal
            except BaseException as error:
                self.fatal = self.fatal or internal_error(error)

    def check_open(self) -> None:
        """`FlowStoppedError` if nothing can be sent any more."""
        if self.closing or self.stopped:
            raise self.stopped_error()

    def stopped_error(self) -> FlowStoppedError:
        """Make the error of whoever came too late."""
        if self.forked_from is not None:
            return FlowStoppedError(
                f'runtime "{self.name}" was started in process {self.forked_from}, and this is a fork of it without its threads. Make a new one here.'
            )
        error = FlowStoppedError(
            f'runtime "{self.name}" is closed. Send input, and wait for results, before it is; or make a new one.'
        )
        error.__cause__ = self.fatal
        return error

    def raise_fatal(self) -> None:
        """Raise what stopped the runtime, to the first who asks."""
        if self.fatal is not None and not self.fatal_seen:
            self.fatal_seen = True
            raise self.fatal
