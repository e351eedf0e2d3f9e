"""How a runtime comes to its end: told to stop, for a fault, or given up because its engine does not return."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flowrt.errors import FlowError, FlowInternalError, FlowStoppedError, internal_error
from flowrt.inbox import Inbox, Seams, ThreadLike, Wakers

if TYPE_CHECKING:
    from flowrt.contract import Executors
    from flowrt.engine import Engine, RunHandle


class Ending:
    """The end of a driver, and what remains to be said after it.

    Guarded by: nothing. `closing` and `stopped` are set once, by the engine's thread or by who gives it up.
    """

    engine: Engine
    executors: Executors

    def __init__(self, name: str, seams: Seams) -> None:
        self.name = name
        self.inbox = Inbox(seams)
        self.changed = Wakers(seams)  # a result of any run, idleness
        self.room = Wakers(seams)
        self.ended = Wakers(seams)
        self._wakes = self.changed.wake, self.room.wake, self.ended.wake
        self.closing = False  # no input is taken any more
        self.draining = False  # the engine ends when nothing is left to do
        self.stopped = False
        self.last_word = seams.rlock()  # held by who emits late, and by the engine while it decides to end
        self.fatal: BaseException | None = None
        self.fatal_seen = False
        self.forked_from: int | None = None
        self.explain: Callable[[], object | None] = lambda: None  # what is going on, for an error
        self.enter: Callable[[], bool] | None = (
            None  # lets inputs in that wait outside; says whether there were any
        )
        self.take_out: Callable[[RunHandle, str, FlowError], None] = lambda *_: (
            None
        )  # ends a run that waits outside
        self.unentered = 0  # inputs that still waited there at the end
        self.helpers: list[ThreadLike] = []  # threads that look on; they end by themselves
        self.on_stop: Callable[[], None] = lambda: None
        self._idle_waiters: list[Callable[[], None]] = []
        self._attending: set[int] = set()  # threads that work those off
        self.unattended: deque[RunHandle] = (
            deque()
        )  # sent by who could not be the engine, and does not wait for them

    def halt(self, error: BaseException) -> None:
        """Engine's thread: stop at once, for a reason that whoever waits gets raised."""
        if self.stopped:
            return
        self.fatal = self.fatal or error
        reason: FlowError = FlowStoppedError(
            f'runtime "{self.name}" was stopped by {type(error).__qualname__}.'
        )
        reason.__cause__ = error
        if isinstance(error, FlowInternalError):
            reason = error
        try:
            self.engine.abandon_all(f"the runtime was stopped by {type(error).__qualname__}", reason)
        except BaseException:
            self.give_up(reason)
        finally:
            self.finish()

    def finish(self) -> None:
        """Engine's thread: end the loop, let the workers go, wake everybody; each of it, whatever the rest raises."""
        self.stopped = self.engine.over = True
        self._do_each(
            self._take_the_rest,
            self._stop_executors,
            self.on_stop,
            self._tell_idle,
            self.engine.forget,
            *self._wakes,
        )

    def _stop_executors(self) -> None:
        self._do_each(*(executor.stop for executor in self.executors.all()))

    def _do_each(self, *steps: Callable[[], object]) -> None:
        """Take all steps of an end, whatever some of them raise."""
        for step in steps:
            try:
                step()
            except (KeyboardInterrupt, SystemExit) as error:
                self.fatal = self.fatal or error
            except BaseException as error:
                self.fatal = self.fatal or internal_error(error)

    def _take_the_rest(self) -> None:
        """Make the calls that were posted while nobody had told yet: input is refused, not lost."""
        failed: BaseException | None = None
        while not self.inbox.empty():
            try:
                self.inbox.work()
            except BaseException as error:
                failed = failed or error
                self.inbox.drop()
        if failed is not None:
            raise failed

    def give_up(self, reason: FlowError) -> int:
        """Any thread: the engine does not return, or cannot go through its books; tell whoever waits. Return what it still had."""
        self.stopped = self.engine.books.cut_short = True
        given_up = 0
        for run in list(self.engine.books.runs):
            given_up += sum(scope.live + scope.held for scope in (run, *list(run.open_scopes)))
            run.ended = True
            handle, run.handle = run.handle, None
            if handle is not None:
                handle.tell_finished(reason)
        self._do_each(self._stop_executors, self.on_stop, *self._wakes)
        return given_up

    def _write_off(self) -> None:
        """Engine's thread, as its last act: end what it had when it was given up."""
        if self.engine.books.runs:
            self._do_each(partial(self.engine.abandon_all, "the runtime was given up", None))

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

    def wake_all(self) -> None:
        for wake in self._wakes:
            wake()

    def _tell_idle(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            waiter()

    def no_more(self, waiter: Callable[[], None]) -> None:
        """Engine's thread: do not call `waiter` any more."""
        if waiter in self._idle_waiters:
            self._idle_waiters.remove(waiter)

    def when_idle(self, waiter: Callable[[], None]) -> None:
        """Engine's thread: call `waiter` as soon as nothing is left to do."""
        self._idle_waiters.append(waiter)
