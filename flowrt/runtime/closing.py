"""`close()`: sources stop, it waits until what is live has drained, and gives up by name what does not come to an end."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from attrs import frozen

from flowrt import users
from flowrt.errors import FlowStalledError, FlowStoppedError, counted, describe, with_text
from flowrt.runtime.waiting import LONGEST_WAIT

if TYPE_CHECKING:
    from flowrt.runtime.life import Life
    from flowrt.runtime.owner import Owner


DRAIN = 5.0  # seconds without any call returning; after the design, arbitrary
DEADLINE = 60.0  # seconds in all; likewise
GRACE = 1.0  # seconds that the engine and idle workers get to notice that they are given up; arbitrary
EXIT_DRAIN = 5.0  # seconds at the interpreter's exit; arbitrary


@frozen
class CloseReport:
    """What `close()` had to leave undone.

    Attributes:
        discarded: messages that were accepted and not worked off.
        abandoned: threads that did not come back, with what they are doing; they hold their message until they do. Also operations whose
            dispatcher had been given calls and did not come to them.
        pending: closing has only begun, since an operation, a handler or a tap asked for it from inside.
        given_up: threads still inside a call whose `timeout` had passed; whoever was to know has been told of each.
    """

    discarded: int = 0
    abandoned: tuple[str, ...] = ()
    pending: bool = False
    given_up: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything was worked off and every thread came back, but for calls given up before."""
        return not (self.discarded or self.abandoned or self.pending)

    def __str__(self) -> str:
        if self.pending:
            return "closing; what is live drains first"
        if self.clean and not self.given_up:
            return "closed; nothing was left"
        parts = []
        if self.discarded:
            parts.append(f"{counted(self.discarded, 'message')} discarded")
        if self.abandoned:
            parts.append(f"abandoned, since they did not return: {', '.join(self.abandoned)}")
        if self.given_up:
            parts.append(f"still inside a call that was given up for its time: {', '.join(self.given_up)}")
        return "closed; " + "; ".join(parts)


class Closer:
    """Brings one runtime to its end, once, for whoever asks first.

    Guarded by: `_lock`, among those who close from outside.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._life = owner.life
        self._lock = owner.seams.lock()
        self.grace = GRACE
        self.report: CloseReport | None = None
        self._discarded = 0
        self._closing_thread: int | None = None

    def begin(self) -> None:
        """Any thread: have the engine stop its sources, and end when what is live has drained."""
        self._life.closing = True
        self._owner.inbox.post(self._begin)

    def _begin(self) -> None:
        if not self._life.stopped:
            engine = self._owner.engine
            engine.sources.stop()
            engine.wakes.stop()
            engine.runs.end_inputs(
                lambda run: FlowStoppedError(
                    f"run {run.number} was cut short: the runtime was closed while its inputs were coming."
                )
            )
            engine.traffic.delay, engine.not_before = 0.0, None
            self._life.draining = True

    def close(self, drain: float, deadline: float, left_by: BaseException | None = None) -> CloseReport:
        """Close from outside; return what had to be left.

        `left_by`: what has been raised in the `with` block. Then nothing drains: what has not begun is discarded, and calls under way have
        `drain` seconds to return, as in a task group.
        """
        # A signal handler may close, too, on the thread that it interrupts while that is closing.
        if self._closing_thread == threading.get_ident():
            return CloseReport(pending=True)
        with self._lock:
            if self.report is None:
                self._closing_thread = threading.get_ident()
                try:
                    self.report = self._close(drain, deadline, left_by)
                except KeyboardInterrupt:
                    self.report = self._give_up("it was interrupted while closing")
                    raise
                finally:
                    self._closing_thread = None
            return self.report

    def _close(self, drain: float, deadline: float, left_by: BaseException | None) -> CloseReport:
        owner, life, clock = self._owner, self._life, self._owner.seams.clock
        self.begin()
        owner.finish_unstarted()
        if left_by is not None and not life.stopped:
            return self._give_up(
                f"the with block was left by {describe(left_by)}", max(min(drain, deadline), GRACE)
            )
        end = clock.now() + deadline
        try:
            while not life.stopped:
                before, now = owner.loop.progress, clock.now()
                owner.wait_until(lambda: life.stopped, max(min(drain, end - now), 0.0), helps=True)
                if not life.stopped and (clock.now() >= end or owner.loop.progress == before):
                    in_time = clock.now() < end
                    return self._give_up(
                        f"no call had returned for {drain} s" if in_time else f"{deadline} s had passed"
                    )
        except FlowStalledError:
            return self._give_up("nothing could go on")
        return self._report(max(end - clock.now(), self.grace))

    def _give_up(self, why: str, patience: float | None = None) -> CloseReport:
        owner, life = self._owner, self._life
        patience = self.grace if patience is None else patience
        text = f'runtime "{life.name}" was closed before this was worked off: {why}.'
        owner.inbox.post(self._abandon, text)
        owner.wait_until(lambda: life.stopped, patience)
        if (
            not life.stopped
        ):  # an operation on the engine's thread does not return: whoever waits is told from here
            self._discarded += owner.loop.give_up(FlowStoppedError(text))
        return self._report(patience)

    def _abandon(self, text: str) -> None:
        if not self._life.stopped:
            runs = self._owner.engine.runs
            self._discarded += runs.abandon_all("the runtime was closed", FlowStoppedError(text))
            self._owner.loop.finish()

    def _report(self, patience: float) -> CloseReport:
        owner = self._owner
        executors = owner.loop.executors.all()
        for executor in executors:  # again: an interrupt may have hit whoever did it first
            executor.stop()
        abandoned = owner.join(min(patience, LONGEST_WAIT))
        if abandoned:  # what they bring when they come back is put away by themselves
            owner.inbox.leave_to(owner.take_late)
        owner.take_late()
        return CloseReport(
            self._discarded + owner.engine.sources.stopped + owner.room.unentered,
            abandoned,
            given_up=tuple(name for executor in executors for name in executor.given_up()),
        )


def unseen_errors(owner: Owner) -> list[BaseException]:
    """Take every error that nobody has seen: failures of runs, what subscribers raised, what stopped the runtime."""
    failures, life = owner.engine.failures, owner.life
    stray = failures.stray
    unseen = [*owner.results.unseen_failures(), *stray]
    if more := failures.strays - len(stray):
        users.note(stray[-1], f"and {counted(more, 'more error')} of subscribers")
    failures.strays = 0
    stray.clear()
    if life.fatal is not None and not life.fatal_seen:
        life.fatal_seen = True
        unseen.append(life.fatal)
    return unseen


def raise_unseen(name: str, errors: list[BaseException], body: BaseException | None) -> None:
    """Raise what nobody saw: itself, or several as a group; where the `with` body has raised, note it there."""
    if not errors:
        return
    if body is not None:
        for error in errors:
            users.note(body, f'runtime "{name}" also had an error nobody saw: {with_text(error)}')
        return
    if len(errors) == 1:
        raise errors[0]
    raise BaseExceptionGroup(f'runtime "{name}" had {len(errors)} errors nobody saw', errors)


_open: weakref.WeakSet[Any] = weakref.WeakSet()


def drain_at_exit(runtime: Any) -> None:
    """See to it that a runtime still open when the interpreter exits is drained, and known for dead in a forked child."""
    _watch_the_process()
    _open.add(runtime)


@functools.cache
def _watch_the_process() -> None:
    """Once, and not before the first runtime starts: importing flowrt starts nothing."""
    atexit.register(_drain_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_die_in_child)


def _die_in_child() -> None:
    for runtime in list(_open):
        die_with_fork(runtime, os.getppid())
    _open.clear()


def die_with_fork(runtime: Any, parent: int) -> None:
    """In a forked child: the threads of a runtime are not here."""
    life: Life = runtime._parts.life
    life.forked_from = parent
    life.closing = life.stopped = True
    closed_in_time(runtime)


def closed_in_time(runtime: Any) -> None:
    """Forget a runtime that was closed."""
    _open.discard(runtime)


def _drain_all() -> None:
    """Drain all runtimes together: what one waits for may be another's, and they have one time between them."""
    runtimes = list(_open)
    for runtime in runtimes:
        closer: Closer = runtime._parts.closer
        closer.grace = GRACE / len(runtimes)
        closer.begin()
    end = time.monotonic() + EXIT_DRAIN
    for runtime in runtimes:
        left = max(end - time.monotonic(), 0.0)
        try:
            report: object = runtime.close(drain=left, deadline=left)
        except BaseException as error:
            report = error
            import traceback  # noqa: PLC0415 - only here, and importing flowrt is to cost little

            traceback.print_exception(error)  # nobody is left to raise it to
        warnings.warn(
            f'flow runtime "{runtime.name}" was still open when the interpreter exited ({report}). Use "with", or call close().',
            ResourceWarning,
            stacklevel=1,
        )
