"""Drives the engine: on a thread of its own, or (the sync schedule, the test kit) on whatever thread waits for something."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from flowrt.engine.contract import Task
from flowrt.engine.meters import QUANTUM
from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowInternalError,
    FlowStalledError,
    FlowStoppedError,
    internal_error,
)
from flowrt.executors.seams import Seams, ThreadLike
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.waiting import SIGNAL_SLICE, Dispatching, Wakers, slice_of

if TYPE_CHECKING:
    from flowrt.engine.contract import Executors
    from flowrt.engine.engine import Engine
    from flowrt.engine.runs import RunHandle


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
            self.engine.runs.abandon_all(f"the runtime was stopped by {type(error).__qualname__}", reason)
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
            self._do_each(partial(self.engine.runs.abandon_all, "the runtime was given up", None))

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


CALLS_PER_STEP = 1_000  # of the inbox between two turns, so that a flood of input cannot hold messages up
FIRST_LOOK = 0.002  # seconds: by then groups in work are asked for what they have (DESIGN.md, section 5, "taking back")
LATEST_LOOK = 0.02  # seconds; arbitrary: and by then they are asked though calls keep coming
LOOKS_GROW = 4  # times longer until the next look, while nothing comes
LONGEST_LOOK = 0.25  # seconds; arbitrary: so long an emission of a call that then falls silent may wait
GIVE_WAY = 1e-6  # seconds; the system makes some 60 us of it, the least there is


class Driver(Ending):
    """Owns the engine's thread, its inbox and the waiting for both.

    Guarded by: `_owner`, the lock of whoever is the engine.
    """

    def __init__(self, name: str, seams: Seams, *, own_thread: bool) -> None:
        super().__init__(name, seams)
        self.seams = seams
        self.dispatching = Dispatching(seams)
        self.next_number = count(1).__next__  # of a run
        self.has_room: Callable[[], bool] = lambda: True
        self.left_open: deque[RunHandle] = deque()  # of senders that could not say that their input has ended
        self.after_step: Callable[[], None] | None = None  # in a simulation
        self._own_thread = own_thread
        # Has the engine make a call; any thread, also a signal handler.
        self.post: Callable[..., None] = self.inbox.post if own_thread else self._post_to_borrower
        self._owner = seams.lock()
        self._owner_ident: int | None = None
        self._borrowers: set[int] = set()  # threads that are the engine for a while, or about to be
        self._thread: ThreadLike | None = None
        self.begun = not own_thread  # there is an engine that makes calls
        self._look = FIRST_LOOK
        self._looked = seams.clock.now()  # at work elsewhere, or when there last was none
        self._worked_since = 0.0
        self._starting = False
        # Its holder may take it again: a signal handler may send, or close, on the thread that starts the engine.
        self._lock = seams.rlock()

    # -- posting

    def start(self, undo: Callable[[], None] | None = None) -> None:
        """Start the engine's thread, where it has one of its own; where there can be none, call `undo` before anybody else tries."""
        if not self.begun:
            with self._lock:
                if not (self.begun or self.stopped or self._starting):
                    self._starting = True
                    try:
                        self._thread = self.seams.spawn(self._run, f"{self.name}/engine")
                        self.begun = True
                    except BaseException:
                        if (
                            undo is not None and not self.begun
                        ):  # else it runs, and only who started it was interrupted
                            undo()
                        raise
                    finally:
                        self._starting = False

    @property
    def threaded(self) -> bool:
        """Whether the engine has a thread of its own."""
        return self._own_thread

    def _post_to_borrower(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.inbox.post(call, *arguments)
        self.changed.wake()  # it may be waiting there for another thread to stop being the engine

    def is_engine(self) -> bool:
        """Say whether this thread is the engine."""
        return threading.get_ident() == self._owner_ident

    def at_rest(self) -> bool:
        """Say whether nobody is the engine just now, and nobody will be by himself."""
        return self.stopped or not self.begun or not (self._own_thread or self._owner.locked())

    @property
    def engine_ident(self) -> int | None:
        """The thread that is the engine, if one is."""
        return self._owner_ident

    def inside(self) -> bool:
        """Say whether this thread is the engine's, or a worker's; of a fork there is none."""
        if self.forked_from is not None:
            return False
        ident = threading.get_ident()
        if ident == self._owner_ident or ident in self._borrowers:
            return True
        for executor in self.executors.all():  # noqa: SIM110 - any() would cost a generator at each input
            if ident in executor.thread_idents():
                return True
        return False

    # -- the loop

    def _run(self) -> None:
        self.begun = True  # who started this thread may see it last
        with self._owner:
            self._owner_ident = threading.get_ident()
            try:
                while not self.stopped:
                    if not self.step() and not self.stopped:
                        self._rest(None)
                self._write_off()
            finally:
                self._owner_ident = None

    def step(self) -> bool:
        """Make waiting calls and one turn; say whether there was anything to do. Engine's thread."""
        return self._guarded(self._step)

    def _guarded(self, work: Callable[[], bool]) -> bool:
        """Do a part of the engine's work; what goes wrong in it stops the runtime, and whoever waits is told."""
        try:
            return work()
        except (KeyboardInterrupt, SystemExit) as error:  # only on a borrowed thread
            self.halt(error)
            self.fatal_seen = self.fatal_seen or self.fatal is error
            raise
        except BaseException as error:
            self.halt(internal_error(error))
        return False

    def _step(self) -> bool:
        worked = False
        self.engine.let_go()
        left = CALLS_PER_STEP
        while left > 0 and (made := self.inbox.work()):
            left -= made
            worked = True
            if self.stopped:
                return False
        engine = self.engine
        if engine.timers and engine.timers.fire():
            worked = True
        if self.enter is not None and self.enter():
            worked = True
        if worked:
            engine.settle()
        if not engine.held_back():
            worked = engine.turn() or worked
        if engine.failures.fatal is not None:
            self.halt(engine.failures.fatal)
            return False
        if self.room and self.has_room():
            self.room.wake()
        if not worked:
            return self._nothing_to_do()
        if engine.under_way and self._own_thread:
            self._give_way()
        return True

    def _give_way(self) -> None:
        """After a turn's work: a thread back from I/O waits for the GIL until its holder lets it go, for 5 ms otherwise."""
        now = self.seams.clock.now()
        if now - self._worked_since > QUANTUM / 2:  # half: a turn ends at a quantum, or just before
            self.seams.pause(GIVE_WAY)
            for executor in self.executors.all():
                executor.hurry()
            if now - self._looked > LATEST_LOOK:
                self._look_at_work()
            self._worked_since = self.seams.clock.now()

    def _nothing_to_do(self) -> bool:
        """Tell who waits for that; say whether it gave the engine something to do."""
        engine = self.engine
        if engine.not_before is not None:
            return False
        if self.left_open:
            left = self.left_open.popleft()
            if left.books is not None:
                engine.runs.end_input(left.books)
                engine.settle()  # or the run that has just ended would be taken for one that cannot
            return True
        if engine.books.runs:
            if not (self.inbox.empty() and engine.stalled()):
                return False
            engine.runs.fail_stalled(self.explain())
            return True
        told = bool(self._idle_waiters)  # that is something to have done: no time needs to pass for it
        self._tell_idle()
        # A call whose results were seen may still emit: whoever emits before the end is heard.
        if self.draining and not (engine.under_way > 0 or engine.sources.pulls_under_way > 0):
            with self.last_word:
                if not self.inbox.empty():
                    return True
                self.stopped = engine.over = True
            self.finish()
        return told

    def _rest(self, timeout: float | None) -> None:
        """Wait for a call, for the time to go on, or to look what workers have."""
        self._guarded(lambda: self._take_rest(timeout))

    def _take_rest(self, timeout: float | None) -> bool:
        engine = self.engine
        waits = [] if timeout is None else [timeout]
        moment = engine.next_moment
        if moment is not None:
            waits.append(max(moment - self.seams.clock.now(), 0.0))
        handed_over = engine.under_way or engine.sources.pulls_under_way
        if handed_over:
            waits.append(self._look)
        if not self._own_thread:
            waits.append(SIGNAL_SLICE)
        called = self.inbox.wait(min(waits) if waits else None)
        now = self._worked_since = self.seams.clock.now()
        if not handed_over:
            self._looked = now
        elif not called or now - self._looked > LATEST_LOOK:
            self._look_at_work()
        self._look = FIRST_LOOK if called else min(self._look * LOOKS_GROW, LONGEST_LOOK)
        return called

    def _look_at_work(self) -> None:
        """Take what groups in work have so far, and ask them to stop after the current message.

        What was posted before comes first: a group that is in work now began after its predecessor had been posted.
        """
        self._looked = self.seams.clock.now()
        in_work = [task for executor in self.executors.all() for task in executor.in_work()]
        while self.inbox.work():
            pass
        for task in in_work:
            task.ask_to_stop()
            if isinstance(task, Task):
                self.engine.report(task, final=False)
            else:
                self.engine.report_pull(task, final=False)
        self.engine.settle()
        for executor in self.executors.all():
            executor.hurry()

    def finish_unstarted(self) -> None:
        """Any thread: where no input ever came there is no engine, and nothing to drain."""
        with self._lock:
            unstarted = not (self.begun or self.stopped or self._starting)
            if unstarted:
                self.stopped = True
        if unstarted:
            self.finish()

    def take_late(self) -> None:
        """Once all threads have ended, or been abandoned: take what they posted last, so that what is open is closed and nothing is kept."""
        while not self.inbox.empty() and self._owner.acquire(blocking=False):
            try:
                self._owner_ident = threading.get_ident()
                self._do_each(self._take_the_rest)
            finally:
                self._owner_ident = None
                self._owner.release()

    def crash(self, error: BaseException) -> None:
        """Any thread: stop at once, for a fault in flowrt itself, or since the program is to end."""
        if not isinstance(error, FlowError | SystemExit | KeyboardInterrupt):
            error = internal_error(error)
        try:
            self.post(self.halt, error)
        except BaseException:
            self.fatal = self.fatal or error
            self.give_up(error if isinstance(error, FlowError) else internal_error(error))

    # -- waiting

    def wait_until(
        self,
        ready: Callable[[], bool],
        timeout: float | None,
        wakers: Wakers | None = None,
        *,
        helps: bool = False,
    ) -> bool:
        """Wait until `ready()` or until everything has stopped; say whether it is ready. On a borrowed thread: by working.

        `helps`: meanwhile the calls are made that dispatchers were given for this very thread.
        """
        clock = self.seams.clock
        try:
            deadline = None if timeout is None else clock.now() + timeout
        except TypeError:
            msg = f"a timeout is a number of seconds, or None to wait as long as it takes; got {timeout!r}."
            raise FlowBuildError(msg) from None
        if self._own_thread:
            return self._wait(ready, deadline, self.changed if wakers is None else wakers, helps=helps)
        while not ready():
            if self.stopped:
                return ready()
            if deadline is not None and clock.now() >= deadline:
                return ready()
            if not self._work(ready, deadline, helps=helps):  # somebody else is the engine just now
                look = clock.now() + LONGEST_LOOK
                self._wait(
                    lambda: ready() or not self._owner.locked(),
                    look if deadline is None else min(look, deadline),
                    self.changed,
                    helps=helps,
                )
        return True

    def _wait(
        self, ready: Callable[[], bool], deadline: float | None, wakers: Wakers, *, helps: bool
    ) -> bool:
        while not ready():
            event = wakers.enlist()
            self.ended.enlist(event)
            helping = helps and bool(self.dispatching.dispatchers)
            if helping:
                self.dispatching.handed.enlist(event)
            try:
                if ready():  # what it has seen is what it says: room comes and goes
                    return True
                made = helping and not self.stopped and self.dispatching.make_calls()
                remaining = None if deadline is None else deadline - self.seams.clock.now()
                if self.stopped or (remaining is not None and remaining <= 0):
                    return ready()
                if not made:
                    event.wait(slice_of(remaining))
            finally:
                wakers.leave(event)
                self.ended.leave(event)
                if helping:
                    self.dispatching.handed.leave(event)
        return True

    def _work(self, ready: Callable[[], bool], deadline: float | None, *, helps: bool = False) -> bool:
        """Be the engine until `ready()`; say whether that was possible."""
        ident = threading.get_ident()
        try:
            # First: a signal handler may come between, and must not wait for the thread it interrupts.
            self._borrowers.add(ident)
            if not self._owner.acquire(blocking=False):
                return False
            try:
                self._owner_ident = ident
                self._work_until(ready, deadline, helps=helps)
                if self.stopped:
                    self._write_off()
            finally:
                self._owner_ident = None
                self._owner.release()
        finally:
            self._borrowers.discard(ident)
        self.changed.wake()  # another waiter may have to be the engine now
        if self.seams.simulation is None and not self.inbox.empty() and not self.stopped:
            # A signal handler has posted just before the engine was given up.
            self._work(self.inbox.empty, deadline)
        if self.unattended and ident not in self._attending:
            self.attend()
        return True

    def attend(self) -> None:
        """Sync schedule, any thread: work off runs that somebody has sent and left, unless a thread is the engine, which does so before it goes on.

        Who sends must not wait for that thread: it may be in a call that waits for him.
        """
        self._attending.add(ident := threading.get_ident())
        try:
            while self.unattended and not (self._owner.locked() or self.stopped):
                try:
                    run = self.unattended.popleft()
                except IndexError:  # another thread was faster
                    break
                if not self._work(partial(getattr, run, "done"), None):
                    self.unattended.append(run)
        finally:
            self._attending.discard(ident)

    def _work_until(self, ready: Callable[[], bool], deadline: float | None, *, helps: bool) -> None:
        while not ready() and not self.stopped:
            worked = self.one_step() or (helps and self.dispatching.make_calls())
            now = self.seams.clock.now()
            if (deadline is not None and now >= deadline) or ready() or self.stopped:
                return
            if worked:
                continue
            if self.seams.simulation is None:
                self._rest(None if deadline is None else deadline - now)
            elif deadline is not None:
                self._skip_to(deadline)
                return
            else:
                raise FlowStalledError(
                    f'runtime "{self.name}" has nothing left to do, and what is waited for has not come. Send what should lead '
                    "to it, or give the wait a timeout.",
                    self.explain(),
                )

    def one_step(self) -> bool:
        """One step of the engine, or of the simulation around it."""
        simulation = self.seams.simulation
        if simulation is None:
            return self.step()
        worked = simulation.step(self.step, self.next_moment, self._look_at_work)
        if self.after_step is not None:
            self.after_step()
        return worked

    def next_moment(self) -> float | None:
        """Return when the engine has something to do, if that is only a matter of time."""
        return self.engine.next_moment

    def _skip_to(self, deadline: float) -> None:
        advance = getattr(self.seams.clock, "advance_to", None)
        if advance is not None:
            advance(deadline)

    def join(self, seconds: float) -> tuple[str, ...]:
        """Wait for the threads; return what those are doing that did not come back. In a forked child there are none."""
        if self.forked_from is not None:
            return ()
        clock = self.seams.clock
        deadline = clock.now() + seconds
        left: list[str] = []
        if self._thread is not None and self._thread.ident != threading.get_ident():
            self._thread.join(max(deadline - clock.now(), 0.0))
            if self._thread.is_alive():
                place = self.engine.in_work or self.engine.fusion.in_work
                doing = f'operation "{place.name}" on ' if place is not None else ""
                left.append(f'{doing}thread "{self._thread.name}"')
        for helper in self.helpers:
            helper.join(max(deadline - clock.now(), 0.0))
        for executor in self.executors.all():
            left += executor.join(max(deadline - clock.now(), 0.0))
        return tuple(left)

    @property
    def progress(self) -> tuple[int, int]:
        """Return figures that change whenever a call has returned."""
        return self.engine.turns, self.engine.returned
