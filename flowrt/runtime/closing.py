"""`close()`: sources stop, it waits until what is live has drained, and gives up by name what does not come to an end."""

from __future__ import annotations

import _thread
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
    from flowrt.runtime.activation import Activations
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

    def __init__(self, owner: Owner, activations: Activations) -> None:
        self._owner = owner
        self._activations = activations
        self._life = owner.life
        self._lock = owner.seams.lock()
        self.grace = GRACE
        self.report: CloseReport | None = None
        self._discarded = 0
        self._closing_thread: int | None = None
        self._runtime: weakref.ref[Any] | None = None
        self._life.at_end(self.forget)

    @property
    def name(self) -> str:
        return self._life.name

    def watch(self, runtime: Any) -> None:
        """End the runtime when nobody has it any more."""
        self._runtime = weakref.ref(runtime, self._dropped)

    def forget(self) -> None:
        """It has ended, or cannot in this process: nothing is to be seen to any more."""
        self._runtime = None
        _open.discard(self)

    def _dropped(self, _runtime: object) -> None:
        """Any thread, between any two steps of it, so without a lock: let the runtime end when nothing is left to do; else it does at exit."""
        owner, life = self._owner, self._life
        if not owner.has_threads():
            self.forget()
            return
        if life.closing or life.stopped:
            return
        if not self._activations.may_emit:
            self.begin()
            if not owner.attended:  # not a Thread: to start one takes a lock
                _thread.start_new_thread(
                    owner.wait_until, (functools.partial(getattr, life, "stopped"), DRAIN)
                )
        warnings.warn(
            f'flow runtime "{self.name}" was dropped without being closed. Use "with", or call close().',
            ResourceWarning,
            stacklevel=2,
        )

    def die_with_fork(self, parent: int) -> None:
        """In a forked child: the threads of the runtime are not here."""
        life = self._life
        life.forked_from = parent
        life.closing = life.stopped = True
        self.forget()

    def raise_unseen(self, body: BaseException | None, *more: BaseException) -> None:
        """Raise what nobody saw: itself, or several as a group; where the `with` body has raised, note it there."""
        raise_unseen(self.name, [*unseen_errors(self._owner), *more], body)

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
                self.forget()
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


_open: set[Closer] = set()  # of runtimes that have been started


def end_in_time(runtime: Any, closer: Closer) -> None:
    """See to it that a runtime ends: when it is dropped, or else the interpreter exits; and that it is known for dead in a forked child."""
    _watch_the_process()
    _open.add(closer)
    closer.watch(runtime)


@functools.cache
def _watch_the_process() -> None:
    """Once, and not before the first runtime starts: importing flowrt starts nothing."""
    atexit.register(_drain_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_die_in_child)


def _die_in_child() -> None:
    for closer in list(_open):
        closer.die_with_fork(os.getppid())


def _drain_all() -> None:
    """Drain all runtimes together: what one waits for may be another's, and they have one time between them."""
    closers = list(_open)
    for closer in closers:
        closer.grace = GRACE / len(closers)
        closer.begin()
    end = time.monotonic() + EXIT_DRAIN
    for closer in closers:
        left = max(end - time.monotonic(), 0.0)
        try:
            report: object = closer.close(left, left)
            closer.raise_unseen(None)
        except BaseException as error:
            report = error
            import traceback  # noqa: PLC0415 - only here, and importing flowrt is to cost little

            traceback.print_exception(error)  # nobody is left to raise it to
        warnings.warn(
            f'flow runtime "{closer.name}" was still open when the interpreter exited ({report}). Use "with", or call close().',
            ResourceWarning,
            stacklevel=1,
        )
