"""The executor of dispatched operations: their calls are handed to a dispatcher, and what came of them is reported.

engine ── submit ──► backlog        dispatcher.dispatch(turn) ──► its thread, when it comes to it: turn()
                        └── take ◄── about a millisecond's work ── perform ── post ──► inbox ──► engine: report

A turn is what a dispatcher is given: a callable that makes the calls that wait, for about a millisecond, and has itself dispatched again if
more wait. So its thread is never blocked for long, and of one operation one call is made at a time, in order.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.contract import PullTask, Reports, Task
from flowrt.engine.meters import QUANTUM
from flowrt.errors import NotDispatchedError
from flowrt.executors.tasks import perform, prepare
from flowrt.executors.workers import Crash, Post, Workers
from flowrt.operations.bodies import Failure

if TYPE_CHECKING:
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Place
    from flowrt.executors.backlog import Taken
    from flowrt.executors.seams import Seams


LAST_TURN = 1.0  # seconds a dispatcher has, once the runtime is over, to come to what it was given; arbitrary
REFUSED = "dispatch() raised {}"
DROPPED = "it let go of the call without making it"


class DispatchedTask(Task):
    """A group that ends when the turn's time is over, or when it is asked to: looked at after each call."""

    __slots__ = ("end", "now")
    now: Callable[[], float]
    end: float

    def work_on(self, items: list[Any]) -> Iterator[Any]:
        for item in items:
            yield item
            if self.stop or self.now() > self.end:
                return

    def over(self) -> bool:
        return self.stop or self.now() > self.end


class Turn:
    """What a dispatcher is given. Called again, or after the runtime's end, it does nothing; dropped, its messages fail."""

    __slots__ = ("_executor", "number")

    def __init__(self, executor: DispatchedExecutor, number: int) -> None:
        self._executor = executor
        self.number: int = number

    def __call__(self) -> None:
        self._executor.run(self.number)

    def __repr__(self) -> str:
        return f"<a call for {self._executor}>"

    @property
    def spent(self) -> bool:
        """Whether there is nothing for it to do any more."""
        return self._executor.expected != self.number

    def __del__(self) -> None:
        self._executor.dropped(self.number)


class DispatchedExecutor(Workers):
    """Has one operation's calls made by a dispatcher.

    Guarded by `_lock`: `expected` and `_busy`, too. It is not held while anything of the user's is called.
    Invariants: at most one turn is expected or under way. `expected` is the number of the turn that was dispatched and not called; what is called
    with another number does nothing.
    Called on: the engine's thread; `run` and what it calls on the dispatcher's; `dropped` on any.
    """

    def __init__(
        self, name: str, dispatcher: Any, seams: Seams, reports: Reports, post: Post, crash: Crash
    ) -> None:
        super().__init__(1, seams.lock(), seams.clock, reports, post, crash)
        self.dispatcher: str = type(dispatcher).__name__
        self._name = name
        self._dispatcher = dispatcher
        self._quiet = seams.event()
        self._number = 0
        self.expected: int = 0
        self._busy = False  # a turn is under way
        self._since = 0.0  # when the expected turn was dispatched
        self._thread: weakref.ref[threading.Thread] | None = None  # that made calls last
        self._handing: set[int] = set()  # threads inside dispatch()
        self._in_place: set[int] = set()  # of these, where it called the turn
        self._exit: BaseException | None = None  # SystemExit or KeyboardInterrupt, out of the last turn

    def __repr__(self) -> str:
        return f'operation "{self._name}"'

    # -- engine's side

    def submit(self, place: Place, chunk: Chunk) -> None:
        with self._lock:
            self._backlog.put(place, chunk)
            turn = self._next_turn()
        self._hand_over(turn)

    def pull(self, pull: PullTask) -> None:
        with self._lock:
            self._pulls.append(pull)
            turn = self._next_turn()
        self._hand_over(turn)

    @property
    def waits_since(self) -> float | None:
        return self._since if self.expected else None

    def abandon(self, _chunk: Chunk, seconds: float) -> Task | float:
        return seconds  # its thread is not ours to replace

    def stop(self) -> None:
        with self._lock:
            super().stop()
            if not (self.expected or self._busy):
                self._quiet.set()

    def join(self, seconds: float) -> tuple[str, ...]:
        expected = self.expected
        if expected and self.is_here():  # it cannot come to it while this thread waits
            return ()
        if self._quiet.wait(min(seconds, LAST_TURN) if expected else seconds):
            return ()
        if not self._current:
            return (f'operation "{self._name}", which waited for dispatcher {self.dispatcher}',)
        thread = self._thread() if self._thread is not None else None
        return (f'operation "{self._name}" on thread "{thread.name if thread is not None else "?"}"',)

    # -- handing over

    def _next_turn(self) -> Turn | None:
        """Expect a turn, if there is work for one and none is expected or under way. Holds the lock."""
        if self.expected or self._busy or self._stopping or not (self._pulls or self._backlog.ready):
            return None
        self._number += 1
        self.expected = self._number
        self._since = self._clock.now()
        return Turn(self, self._number)

    def _hand_over(self, turn: Turn | None) -> None:
        """Give the dispatcher a turn. One that calls it in place gets the next one when it has returned, or the stack would grow."""
        ident = threading.get_ident()
        while turn is not None:
            try:
                self._handing.add(ident)
                self._dispatcher.dispatch(turn)
            except BaseException as error:
                self._in_place.discard(ident)
                self._fail_all(turn.number, REFUSED.format(type(error).__qualname__), error)
                return
            finally:
                self._handing.discard(ident)
            if ident not in self._in_place:
                self._reports.handed()
                return
            self._in_place.discard(ident)
            turn = self._make_calls(turn.number)

    def dropped(self, number: int) -> None:
        """Any thread, wherever memory is freed: nobody will call this turn any more. If it was called, nothing is expected of it."""
        if self.expected != number:
            return
        if self._stopping:
            self.expected = 0
            self._quiet.set()
        else:
            self._post(self._fail_all, number, DROPPED, None)

    def _fail_all(self, number: int, why: str, cause: BaseException | None) -> None:
        """Fail what waits, unless the turn of this number was called all the same."""
        with self._lock:
            if self.expected != number:
                return
            self.expected = 0
        if users.is_a(cause, users.STOPS):
            error: BaseException = cause
        else:
            error = NotDispatchedError(self.dispatcher, why)
            error.__cause__ = cause
        while True:
            with self._lock:
                taken = self._next()
            if taken is None:
                return
            if isinstance(taken, PullTask):
                taken.failure = Failure(error)
                self._post(self._reports.report_pull, taken)
            else:
                task = Task(taken.lane.place, taken.chunk)
                task.failed, task.results = True, [Failure(error) for _ in task.data]
                self._bring(taken, task)

    # -- dispatcher's side

    def run(self, number: int) -> None:
        """Make the calls that wait, as the dispatcher; what was called before, or is too late, does nothing."""
        ident = threading.get_ident()
        if ident in self._handing:
            if number == self.expected:  # else an earlier one is called again
                self._in_place.add(ident)
            return
        self._exit = None
        self._hand_over(self._make_calls(number))
        if self._exit is not None:  # whoever runs the dispatcher's thread is to end too
            raise self._exit

    def is_here(self) -> bool:
        """Say whether this is the thread that is to make the calls: by the dispatcher's word, or since it made the last ones."""
        asked: Callable[[], bool] | None = getattr(self._dispatcher, "is_here", None)
        if asked is not None:
            return asked()
        return self._thread is not None and self._thread() is threading.current_thread()

    def run_here(self) -> bool:
        number = self.expected
        if not number or not self.is_here():
            return False
        self._hand_over(self._make_calls(number))
        return True

    def _make_calls(self, number: int) -> Turn | None:
        """Make calls for about a millisecond; return the next turn, if there is more."""
        ident = threading.get_ident()
        nested, mine, turn = ident in self._idents, False, None
        try:
            self._idents.add(ident)  # first: a signal handler must not wait here for the thread it interrupts
            try:
                with self._lock:
                    if self.expected != number:
                        return None
                    mine = self._busy = True  # in this order: an interrupt must leave nobody busy
                    self.expected = 0
                self._thread = weakref.ref(threading.current_thread())
                end = self._clock.now() + QUANTUM
                while not self._stopping and self._make_next(end):
                    pass
            finally:
                if mine:
                    with self._lock:
                        self._busy = False
                        turn = self._next_turn()
                        if self._stopping:
                            self._quiet.set()  # who joins may go
        except BaseException as error:
            self._exit = error if users.is_a(error, users.STOPS) else None
            self._crash(error)
        finally:
            if not nested:
                self._idents.discard(ident)
        return turn

    def _make_next(self, end: float) -> bool:
        """Perform what is next; say whether there is time for more."""
        with self._lock:
            taken = self._next()
        if taken is None:
            return False
        if isinstance(taken, PullTask):
            taken.clock, taken.until = self._clock, end
            self._perform_pull(taken, 1)
        else:
            self._perform(taken, end)
        return self._clock.now() < end

    def _perform(self, taken: Taken, end: float) -> None:
        clock, place = self._clock, taken.lane.place
        task = DispatchedTask(place, taken.chunk, self._reports.collect)
        task.now, task.end = clock.now, end
        prepare(task)
        task.worker, task.ident, task.started = 1, threading.get_ident(), clock.now()
        self._current[1] = task
        try:
            perform(task, taken)
        finally:
            del self._current[1]
        last = task.results[-1]
        if type(last) is Failure and users.is_a(last.error, users.STOPS):
            self._exit = last.error
        task.busy = clock.now() - task.started
        place.pace.took(len(task.results), task.busy)
        self._bring(taken, task)
