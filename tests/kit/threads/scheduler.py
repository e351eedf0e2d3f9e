"""Runs real threads one at a time, and changes between them at any opcode of the files under watch. See tests/schedules.py."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from flowrt.executors.seams import Seams
from tests.kit.threads import stand_ins
from tests.kit.threads.orders import TIME, Moment, Order, default
from tests.kit.threads.stand_ins import (
    ScheduledEvent,
    ScheduledLock,
    ScheduledQueue,
    ScheduledRLock,
    SteppedClock,
)

SOON = (
    0.3  # seconds; an order may let so much time pass though somebody can run: a look at work, never a drain
)
LIMIT = 150_000  # steps of one schedule, opcodes and operations: past it something spins
OURS = (__file__, stand_ins.__file__, threading.__file__)
PATIENCE = 20.0  # real seconds; only what blocks outside the scheduler gets there

Program = Callable[["Scheduler"], None]
Trace = Callable[[FrameType, str, Any], Any]


class Stopped(BaseException):
    """Unwinds a thread whose schedule is over."""


class DeadlockError(AssertionError):
    """Nobody can run any more."""


class EndlessError(AssertionError):
    """It does not come to an end."""


class BlockedError(AssertionError):
    """A thread waits for something that the scheduler does not know."""


# --- threads


class Strand:
    """A thread of the schedule; to a runtime it is what `spawn` returns."""

    def __init__(self, scheduler: Scheduler, index: int, work: Callable[[], object], name: str) -> None:
        self._scheduler = scheduler
        self.index = index
        self.name = name
        self.baton = threading.Lock()
        self.baton.acquire()
        self.finished = False
        self.steps = 0  # its own, up to when it ran last
        self.ready: Callable[[], bool] | None = None  # while it waits: whether it need not any more
        self.what = ""
        self.deadline: float | None = None
        self.thread = threading.Thread(target=scheduler._run, args=(self, work), name=name, daemon=True)

    @property
    def ident(self) -> int | None:
        return self.thread.ident

    def join(self, timeout: float | None = None) -> None:
        self._scheduler.wait(f'the end of thread "{self.name}"', lambda: self.finished, timeout)

    def is_alive(self) -> bool:
        return not self.finished


class Scheduler:
    """Runs one program in one order.

    Attributes:
        count: opcodes and operations so far.
        strands: its threads, in order of their starts.
        trace: every change of threads: from where to whom.
        deviations: what makes up the order, for `Deviations`.
        waits_out: how often time had to pass because nobody could run. Where no operation takes time that is a lost wake-up, which a
            timed wait has hidden.
    """

    def __init__(self, order: Order, watch: Iterable[str | None] = ()) -> None:
        self.order = order
        self.count = 0
        self.trace: list[str] = []
        self.deviations: dict[tuple[int, int], int] = {}
        self.waits_out = 0
        self.clock = SteppedClock(self)
        self._chooser = order.begin()
        self._since = 0  # the count when the running thread began to
        self._stop = min(self._chooser.next_stop(Moment(0, 0, 0)), LIMIT)
        self._watched = frozenset(str(file) for file in watch)
        self.strands: list[Strand] = []
        self._running: Strand | None = None
        self._over = False
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()
        self._follow = self._make_trace()

    # -- for the test

    def run(self, program: Program) -> None:
        """Run a program to the end of its last thread; raise the first error of any, DeadlockError or EndlessError."""
        collecting = gc.isenabled()
        gc.disable()  # finalizers at their own time would be another scheduler
        try:
            main = self._add(lambda: program(self), "main")
            self._running = main
            main.baton.release()
            if not self._done.acquire(timeout=PATIENCE):
                self._error = BlockedError(f"a thread blocks outside the scheduler:\n{self._whereabouts()}")
        finally:
            self._clean_up()
            if collecting:
                gc.enable()
        if self._error is not None:
            raise self._error

    def seams(self) -> Seams:
        """Make what a whole runtime is made of."""
        made: dict[str, Any] = {
            "queue": self.queue,
            "lock": self.lock,
            "rlock": self.rlock,
            "event": self.event,
        }
        return Seams(clock=self.clock, spawn=self.spawn, rng=random.Random(0), **made)

    def spawn(self, work: Callable[[], object], name: str) -> Strand:
        """Start a thread."""
        strand = self._add(work, name)
        self.point()
        return strand

    def together(self, *works: Callable[[], object], **named: Callable[[], object]) -> None:
        """Run functions at once, each on a thread of its own, and wait for them."""
        numbered = [(f"thread {number}", work) for number, work in enumerate(works, 1)]
        strands = [self._add(work, name) for name, work in [*numbered, *named.items()]]
        for strand in strands:
            strand.join()

    def sleep(self, seconds: float) -> None:
        """Let time pass for this thread."""
        self.wait(f"{seconds} s to pass", lambda: False, seconds)

    def lock(self) -> ScheduledLock:
        return ScheduledLock(self)

    def rlock(self) -> ScheduledRLock:
        return ScheduledRLock(self)

    def event(self) -> ScheduledEvent:
        return ScheduledEvent(self)

    def queue(self) -> ScheduledQueue:
        return ScheduledQueue(self)

    # -- for what the scheduler makes

    def me(self) -> Strand | None:
        """Return the running thread; None for one outside the schedule, such as the test's own."""
        running = self._running
        return running if running is not None and running.ident == threading.get_ident() else None

    def point(self) -> None:
        """Let the order change threads here."""
        if self.me() is not None:
            self.count += 1
            self._decide()

    def wait(self, what: str, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let others run until `ready()`, or until the time has come; say whether it is ready."""
        me = self.me()
        if me is None:
            if not ready() and timeout is None:
                raise BlockedError(f"waiting for {what} outside the schedule would never end")
            return ready()
        me.what, me.ready = what, ready
        me.deadline = None if timeout is None else self.clock.now() + timeout
        self.count += 1
        self._decide()
        me.ready = me.deadline = None
        return ready()

    # -- the baton

    def _add(self, work: Callable[[], object], name: str) -> Strand:
        if self._over:
            raise Stopped
        strand = Strand(self, len(self.strands), work, name)
        self.strands.append(strand)
        strand.thread.start()
        return strand

    def _run(self, strand: Strand, work: Callable[[], object]) -> None:
        before = sys.gettrace()  # coverage's, maybe
        strand.baton.acquire()
        try:
            if not self._over:
                sys.settrace(self._enter)
                work()
        except Stopped:
            pass
        except BaseException as error:
            self._end(error)
        finally:
            sys.settrace(before)
            self._finish(strand)

    def _finish(self, strand: Strand) -> None:
        strand.finished = True
        if self._over:
            return
        if all(each.finished for each in self.strands):
            self._end(None)
            return
        self.count += 1
        with contextlib.suppress(Stopped):
            self._hand_over(self._pick())

    def _decide(self) -> None:
        if self._over:
            raise Stopped
        picked = self._pick()
        me = self._running
        if picked is me:
            self._set_stop()
        else:
            self._hand_over(picked)
            me.baton.acquire()  # type: ignore[union-attr]
            if self._over:
                raise Stopped

    def _hand_over(self, to: Strand) -> None:
        running = self._running
        place = "its end" if running is None or running.finished else _place(sys._getframe())
        self.trace.append(f"{running.name if running else ''} at {place} -> {to.name}")
        if running is not None:
            running.steps += self.count - self._since
        self._since = self.count
        self._running = to
        self._set_stop()
        to.baton.release()

    def _set_stop(self) -> None:
        self._stop = min(self._chooser.next_stop(self._moment()), LIMIT)

    def _pick(self) -> Strand:
        """Choose who runs next. Time passes when nobody can, and where the order says so."""
        while True:
            if self.count >= LIMIT:
                self._end(EndlessError(f"no end after {self.count} steps:\n{self._whereabouts()}"))
                raise Stopped
            now = self.clock.now()
            alive = [strand for strand in self.strands if not strand.finished]
            able = [strand.index for strand in alive if _can_run(strand, now)]
            moments = [each.deadline for each in alive if each.deadline is not None and each.deadline > now]
            picked = TIME
            if able:
                moment = self._moment()
                timed = bool(moments) and min(moments) <= now + SOON
                picked = self._chooser.choose(moment, able, timed=timed)
                if picked != default(able, moment.running):
                    self.deviations[moment.running, moment.own] = picked
            elif not moments:
                self._end(DeadlockError(f"nobody can run any more:\n{self._whereabouts()}"))
                raise Stopped
            if picked != TIME:
                return self.strands[picked]
            self.waits_out += not able
            self.trace.append(
                f"time passes: {min(moments) - now:.6f} s" + (", for nobody can run" * (not able))
            )
            self.clock.jump_to(min(moments))
            self.count += 1

    def _moment(self) -> Moment:
        running = self._running
        if running is None:
            return Moment(self.count, 0, 0)
        return Moment(self.count, running.index, running.steps + self.count - self._since)

    # -- the opcodes

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename not in self._watched:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._follow

    def _make_trace(self) -> Trace:
        def follow(_frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "opcode":
                self.count = count = self.count + 1
                if count >= self._stop:
                    self._decide()
            return follow

        return follow

    # -- the end

    def _end(self, error: BaseException | None) -> None:
        if not self._over:
            self._over = True
            self._error = error
            self._done.release()

    def _clean_up(self) -> None:
        """Unwind the threads one after another; the one that is running unwinds by itself."""
        self._over = True
        left = []
        for strand in sorted(self.strands, key=lambda each: each is not self._running):
            if strand.baton.locked():
                strand.baton.release()
            strand.thread.join(PATIENCE / 4)
            if strand.thread.is_alive():
                left.append(f"{strand.name} at {_place_of(strand)}")
        if left:
            self._error = self._error or BlockedError("threads that cannot be ended")
            self._error.add_note(f"left behind: {', '.join(left)}")

    def _whereabouts(self) -> str:
        alive = [strand for strand in self.strands if not strand.finished]
        return "\n".join(
            f"  {strand.name} waits for {strand.what}, at {_place_of(strand)}"
            if strand.ready is not None
            else f"  {strand.name} is at {_place_of(strand)}"
            for strand in alive
        )


def _can_run(strand: Strand, now: float) -> bool:
    ready, deadline = strand.ready, strand.deadline
    return ready is None or ready() or (deadline is not None and deadline <= now)


def _place_of(strand: Strand) -> str:
    frame = sys._current_frames().get(strand.ident or 0)
    return _place(frame) if frame is not None else "its end"


def _place(frame: FrameType | None) -> str:
    while frame is not None and frame.f_code.co_filename in OURS:
        frame = frame.f_back
    if frame is None:
        return "its start"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
