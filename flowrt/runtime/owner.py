"""Whose thread is the engine: its own, or (the sync schedule, the test kit) that of whoever waits for something."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from flowrt.errors import FlowStalledError
from flowrt.executors.seams import still_runs
from flowrt.runtime.loop import LONGEST_LOOK

if TYPE_CHECKING:
    from flowrt.engine.engine import Engine
    from flowrt.engine.runs import RunHandle
    from flowrt.executors.seams import Seams, ThreadLike
    from flowrt.runtime.inbox import Inbox
    from flowrt.runtime.life import Life
    from flowrt.runtime.loop import Loop
    from flowrt.runtime.results import Results
    from flowrt.runtime.room import Room
    from flowrt.runtime.waiting import Waits, Wakers

Answer = TypeVar("Answer")


class Owner:
    """Has the loop's steps taken, by one thread at a time, and has others wait for what they lead to.

    Guarded by: `_owner`, the lock of whoever is the engine.

    Args:
        own_thread: the engine has a thread of its own; else whoever waits is the engine meanwhile.
        attended: there is an engine without anybody's waiting: all but the "sync" schedule.

    Attributes:
        begun: there is an engine that takes steps.
        helpers: threads that look on; they end by themselves.
        onlookers: called after each step of a simulation.
        unattended: runs sent by who could not be the engine, and does not wait for them.
    """

    def __init__(self, loop: Loop, seams: Seams, *, own_thread: bool, attended: bool) -> None:
        self.loop = loop
        self.seams = seams
        self.life: Life = loop.life
        self.inbox: Inbox = loop.inbox
        self.waits: Waits = loop.waits
        self.room: Room = loop.room
        self.results: Results = loop.room.results
        self.engine: Engine = loop.engine
        self.threaded = own_thread
        self.attended = attended
        self.begun: bool = not own_thread
        self.fails_fast = False  # every run
        self.idlers = 0  # who wait until nothing is left to do: for them sources go on that wait for a reader
        self.helpers: list[ThreadLike] = []
        self.onlookers: list[Callable[[], None]] = []
        self.unattended: deque[RunHandle] = deque()
        self._attending: set[int] = set()  # threads that work those off
        self._owner = seams.lock()
        self._owner_ident: int | None = None
        self._borrowers: set[int] = set()  # threads that are the engine for a while, or about to be
        self._thread: ThreadLike | None = None
        self._starting = False
        # Its holder may take it again: a signal handler may send, or close, on the thread that starts the engine.
        self._lock = seams.rlock()

    # -- who it is

    def is_engine(self) -> bool:
        """Say whether this thread is the engine."""
        return get_ident() == self._owner_ident

    @property
    def engine_ident(self) -> int | None:
        """The thread that is the engine, if one is."""
        return self._owner_ident

    def has_threads(self) -> bool:
        """Say whether threads were started that have not been told to end: the engine's, or workers."""
        return (self.threaded and self.begun) or any(
            each.thread_idents() for each in self.loop.executors.all()
        )

    def at_rest(self) -> bool:
        """Say whether nobody is the engine just now, and nobody will be by himself."""
        return self.life.stopped or not self.begun or not (self.threaded or self._owner.locked())

    def inside(self) -> bool:
        """Say whether this thread is the engine's, or a worker's; of a fork there is none."""
        if self.life.forked_from is not None:
            return False
        ident = get_ident()
        if ident == self._owner_ident or ident in self._borrowers:
            return True
        for executor in self.loop.executors.all():  # noqa: SIM110 - any() would cost a generator at each input
            if ident in executor.thread_idents():
                return True
        return False

    # -- a thread of its own

    def start(self, undo: Callable[[], None] | None = None) -> None:
        """Start the engine's thread, where it has one of its own; where there can be none, call `undo` before anybody else tries."""
        if self.begun:
            return
        with self._lock:
            if self.begun or self.life.stopped or self._starting:
                return
            self._starting = True
            try:
                self._thread = self.seams.spawn(self._run, f"{self.life.name}/engine")
                self.begun = True
            except BaseException:
                if (
                    undo is not None and not self.begun
                ):  # else it runs, and only who started it was interrupted
                    undo()
                raise
            finally:
                self._starting = False

    def _run(self) -> None:
        self.begun = True  # who started this thread may see it last
        loop, life = self.loop, self.life
        with self._owner:
            self._owner_ident = get_ident()
            try:
                while not life.stopped:
                    if not loop.step() and not life.stopped:
                        loop.rest(None)
                loop.write_off()
            finally:
                self._owner_ident = None

    def finish_unstarted(self) -> None:
        """Any thread: where no input ever came there is no engine, and nothing to drain."""
        with self._lock:
            unstarted = not (self.begun or self.life.stopped or self._starting)
            if unstarted:
                self.life.stopped = True
        if unstarted:
            self.loop.finish()

    def take_late(self) -> None:
        """Once all threads have ended, or been abandoned: take what they posted last, so that what is open is closed and nothing is kept."""
        while not self.inbox.empty() and self._owner.acquire(blocking=False):
            try:
                self._owner_ident = get_ident()
                self.loop.take_late()
            finally:
                self._owner_ident = None
                self._owner.release()

    def join(self, seconds: float) -> tuple[str, ...]:
        """Wait for the threads; return what those are doing that did not come back. In a forked child there are none."""
        if self.life.forked_from is not None:
            return ()
        clock = self.seams.clock
        deadline = clock.now() + seconds
        left: list[str] = []
        if self._thread is not None and self._thread.ident != get_ident():
            self._thread.join(max(deadline - clock.now(), 0.0))
            if still_runs(self._thread):
                place = self.engine.in_work or self.engine.fusion.in_work
                doing = f'operation "{place.name}" on ' if place is not None else ""
                left.append(f'{doing}thread "{self._thread.name}"')
        for helper in self.helpers:
            helper.join(max(deadline - clock.now(), 0.0))
        for executor in self.loop.executors.all():
            left += executor.join(max(deadline - clock.now(), 0.0))
        return tuple(left)

    # -- waiting

    def refuse_wait(self, what: str, timeout: float | None) -> None:
        """`FlowStalledError` where a wait would wait for itself: inside, or on the thread of an event loop that the flow uses."""
        if self.inside():
            raise FlowStalledError(
                f"an operation, a handler or a tap waited {what}: it would wait for itself, since nothing moves until it returns. Emit a message "
                "instead of waiting, or wait outside the flow."
            )
        if self.waits.dispatching.dispatchers and timeout != 0 and not self.life.stopped:
            self.waits.dispatching.refuse_wait(self.life.name, what)

    def ask(
        self, call: Callable[[], Answer], patience: float | None, *, behind: bool = False
    ) -> list[Answer]:
        """Have the engine make a call between two of its own, and wait up to `patience` seconds; return what came of it, or nothing.

        `behind`: behind what the calls that wait already will post themselves.
        """
        answer: list[Answer] = []

        def make() -> None:
            answer.append(call())
            self.waits.changed.wake()

        if behind:
            self.inbox.post(self.inbox.post, make)
        else:
            self.inbox.post(make)
        self.wait_until(lambda: bool(answer), patience)
        return answer

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
        clock, waits = self.seams.clock, self.waits
        deadline = None if timeout is None else waits.deadline_of(timeout)
        if self.threaded:
            return waits.wait(ready, deadline, waits.changed if wakers is None else wakers, helps=helps)
        while not ready():
            if self.life.stopped:
                return ready()
            if deadline is not None and clock.now() >= deadline:
                return ready()
            if not self._be_engine(
                partial(self._work_until, ready, deadline, helps=helps)
            ):  # somebody else is the engine just now
                look = clock.now() + LONGEST_LOOK
                waits.wait(
                    lambda: ready() or not self._owner.locked(),
                    look if deadline is None else min(look, deadline),
                    waits.changed,
                    helps=helps,
                )
        return True

    def catch_up(self) -> None:
        """Sync schedule, any thread but one inside: do what can be done now, unless another thread is the engine, which does it."""
        if not self._owner.locked():
            self._be_engine(self._work_off)

    def bring_in(self) -> None:
        """Sync schedule, any thread: have what was posted taken in, and what it led to that nobody waits for worked off."""
        if not self._owner.locked():
            self._work(self.inbox.empty)

    def _work_off(self) -> None:
        while not self.life.stopped and self.loop.step():
            pass

    def _work(self, ready: Callable[[], bool]) -> bool:
        """Be the engine until `ready()`; say whether that was possible."""
        return self._be_engine(partial(self._work_until, ready, None, helps=False))

    def _be_engine(self, work: Callable[[], None]) -> bool:
        """Work as the engine; say whether that was possible."""
        ident = get_ident()
        try:
            # First: a signal handler may come between, and must not wait for the thread it interrupts.
            self._borrowers.add(ident)
            if not self._owner.acquire(blocking=False):
                return False
            try:
                self._owner_ident = ident
                work()
                if self.life.stopped:
                    self.loop.write_off()
            finally:
                self._owner_ident = None
                self._owner.release()
        finally:
            self._borrowers.discard(ident)
        self.waits.changed.wake()  # another waiter may have to be the engine now
        if self.seams.simulation is None and not self.inbox.empty() and not self.life.stopped:
            # A signal handler has posted just before the engine was given up.
            self._work(self.inbox.empty)
        if self.unattended and ident not in self._attending:
            self.attend()
        return True

    def attend(self) -> None:
        """Sync schedule, any thread: work off runs that somebody has sent and left, unless a thread is the engine, which does so before it goes on.

        Who sends must not wait for that thread: it may be in a call that waits for him.
        """
        self._attending.add(ident := get_ident())
        try:
            while self.unattended and not (self._owner.locked() or self.life.stopped):
                try:
                    run: Any = self.unattended.popleft()
                except IndexError:  # another thread was faster
                    break
                if not self._work(partial(getattr, run, "done")):
                    self.unattended.append(run)
        finally:
            self._attending.discard(ident)

    def _work_until(self, ready: Callable[[], bool], deadline: float | None, *, helps: bool) -> None:
        while not ready() and not self.life.stopped:
            worked = self.one_step() or (helps and self.waits.dispatching.make_calls())
            now = self.seams.clock.now()
            if (deadline is not None and now >= deadline) or ready() or self.life.stopped:
                return
            if worked:
                continue
            if self.seams.simulation is None:
                self.loop.rest(None if deadline is None else deadline - now)
            elif deadline is not None:
                self._skip_to(deadline)
                return
            else:
                raise FlowStalledError(
                    f'runtime "{self.life.name}" has nothing left to do, and what is waited for has not come. Send what should lead '
                    "to it, or give the wait a timeout.",
                    self.loop.explain(),
                )

    def one_step(self) -> bool:
        """One step of the engine, or of the simulation around it."""
        simulation = self.seams.simulation
        if simulation is None:
            return self.loop.step()
        worked = simulation.step(self.loop.step, self._next_moment, self.loop.look_at_work)
        for look in self.onlookers:
            look()
        return worked

    def _next_moment(self, *, under_way: bool) -> float | None:
        """When the engine has something to do; limits of calls count only where such are under way that have not returned yet."""
        return self.engine.next_moment if under_way else self.engine.next_moment_but_limits

    def _skip_to(self, deadline: float) -> None:
        advance = getattr(self.seams.clock, "advance_to", None)
        if advance is not None:
            advance(deadline)
