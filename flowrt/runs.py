"""`Run`: everything caused by one input; and the store that results and failures wait in until somebody reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowStalledError,
    FlowTimeoutError,
    RunCancelledError,
    counted,
)
from flowrt.inbox import Wakers
from flowrt.messages import Chunk, Message, message_of
from flowrt.observe.balance import Ledger, ledger_of, whereabouts_of
from flowrt.scopes import RunBooks

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.engine import RunHandle
    from flowrt.timers import Timer

CANCELLED = "the run was cancelled"
FAILURES_KEPT = 1_000  # per run; arbitrary. The ledger counts them all
LEDGER_PATIENCE = 1.0  # seconds to wait for the engine between two of its calls, for a picture that is exact


class Arrived:
    """Results that left together, from `start` on; `failure` instead, for a run that failed."""

    __slots__ = ("chunk", "failure", "run", "start")

    def __init__(self, run: RunHandle, chunk: Chunk | None, failure: BaseException | None = None) -> None:
        self.run = run
        self.chunk = chunk
        self.failure = failure
        self.start = 0

    def next_message(self) -> Message:
        """Hand the next result out; with the last the chunk is let go."""
        if self.chunk is None:
            raise AssertionError("unreachable: only asked while something is left")
        chunk, index = self.chunk, self.start
        self.start = index + 1  # first: a signal handler may read here too
        if self.start == len(chunk.data):
            self.chunk = None
        return message_of(chunk, index)

    @property
    def left(self) -> int:
        """How many of its messages (or its failure) nobody has read."""
        if self.chunk is None:
            return 0 if self.failure is None else 1
        return len(self.chunk.data) - self.start


class Results:
    """Results and unhandled failures, in order of arrival; each goes to one reader.

    Guarded by: `lock`, which its holder may take again: a signal handler may read on the thread it interrupts.
    """

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self._arrived: deque[Arrived] = deque()
        self._handed_out = 0
        self._added = 0

    @property
    def unread(self) -> int:
        return self._added - self._handed_out

    def add(self, arrived: Arrived, mine: deque[Arrived] | None = None) -> None:
        """Engine's thread: take in an entry, for readers of all runs and for those of its own (`mine`); counted before anybody can read it."""
        with self.lock:
            self._added += arrived.left
            self._arrived.append(arrived)
            if mine is not None:
                mine.append(arrived)

    def take(self) -> Arrived | Message | None:
        """Take the next result of any run, or a failure."""
        with self.lock:
            while self._arrived:
                first = self._arrived[0]
                if not first.left:
                    self._arrived.popleft()
                    continue
                self._handed_out += 1
                if first.failure is not None:
                    self._arrived.popleft()
                    return first
                message = first.next_message()
                if not first.left:
                    self._arrived.popleft()
                return message
        return None

    def take_of(self, mine: deque[Arrived] | None) -> Message | None:
        """Take the next result of one run."""
        with self.lock:
            while mine:
                first = mine[0]
                if first.chunk is not None and first.left:
                    message = first.next_message()
                    self._handed_out += 1
                    if not first.left:
                        mine.popleft()
                    self._forget_read()
                    return message
                mine.popleft()
        return None

    def take_values(self, mine: deque[Arrived] | None) -> list[Any]:
        """Take the data of all results of one run."""
        values: list[Any] = []
        with self.lock:
            while mine:
                first = mine.popleft()
                if first.chunk is not None and first.left:
                    self._handed_out += first.left
                    values += first.chunk.data[first.start :] if first.start else first.chunk.data
                    first.chunk = None
            self._forget_read()
        return values

    def take_messages(self) -> list[tuple[RunHandle, Message]]:
        """Take every result there is, with its run."""
        messages = []
        with self.lock:
            for entry in self._arrived:
                if entry.chunk is not None:
                    self._handed_out += entry.left
                    messages += [
                        (entry.run, message_of(entry.chunk, i))
                        for i in range(entry.start, len(entry.chunk.data))
                    ]
                    entry.chunk = None
            self._forget_read()
        return messages

    def take_failure(self, entry: Arrived | None) -> None:
        """Take a run's failure off the queue: somebody is having it raised."""
        with self.lock:
            if entry is not None and entry.failure is not None:
                entry.failure = None
                self._handed_out += 1
                self._forget_read()

    def unseen_failures(self) -> list[BaseException]:
        """Take every failure nobody has seen."""
        with self.lock:
            entries = [entry for entry in self._arrived if entry.failure is not None]
        failures = [entry.failure for entry in entries]
        for entry in entries:
            self.take_failure(entry)
        return [failure for failure in failures if failure is not None]

    def _forget_read(self) -> None:
        # What was read through a run leaves empty entries behind; they go when they are at the front, or when they are most.
        arrived = self._arrived
        while arrived and not arrived[0].left:
            arrived.popleft()
        if len(arrived) > 64 and len(arrived) > 2 * (self._added - self._handed_out):
            self._arrived = deque(entry for entry in arrived if entry.left)


class Run:
    """Everything caused by one `process` or `process_many`.

    Its waits may be called on any thread but the engine's and the workers' (there they raise `FlowStalledError` at once), any
    number of times; each result goes to one reader, and what is read here is taken from the runtime's queue too.
    """

    # Most runs of one message need none of these: what is not written costs nothing.
    _mine: deque[Arrived] | None = None
    _failure_entry: Arrived | None = None
    _failures: tuple[BaseException, ...] = ()
    _failed = 0
    _reason: BaseException | None = None
    _finished = False
    _first: Message | None = None
    _delivered = 0
    _taken_elsewhere = 0
    _waiting: Wakers | None = None
    _waiting_for_end: Wakers | None = None  # apart: to be woken at each result costs more than the result
    books: RunBooks | None = None
    deadline: float | None = None  # a moment on the engine's clock
    _timer: Timer | None = None  # while it has not passed

    def __init__(self, driver: Driver, results: Results) -> None:
        self._driver = driver
        self._results = results
        self.number: int = driver.next_number()

    def __repr__(self) -> str:
        return f"<{self._title}>"

    @property
    def _title(self) -> str:
        state = "under way"
        if self._finished:
            state = "failed" if self._failed else "cut short" if self._reason is not None else "done"
        return f"run {self.number} of {self._driver.name} ({state})"

    # -- what the engine tells

    def tell_failed(self, error: BaseException) -> None:
        """Engine's thread: take an error that nobody else took."""
        self._failed += 1
        if len(self._failures) < FAILURES_KEPT:
            self._failures = (*self._failures, error)
        if self._failure_entry is None:
            self._failure_entry = Arrived(self, None, error)
            self._results.add(self._failure_entry)

    def tell_arrived(self, chunk: Chunk) -> None:
        """Engine's thread: take results."""
        self._delivered += len(chunk.data)
        if self._mine is None:
            self._mine = deque()
        self._results.add(Arrived(self, chunk), self._mine)
        self._wake(self._waiting)

    def tell_passed_on(self, messages: int) -> None:
        """Engine's thread: results went to `on_result` instead."""
        self._taken_elsewhere += messages

    def tell_finished(self, reason: BaseException | None) -> None:
        """Engine's thread: the run has ended."""
        if self._timer is not None:
            self._driver.engine.timers.cancel(self._timer)
        self._reason = reason
        self._finished = True
        self._wake(self._waiting_for_end)
        self._wake(self._waiting)

    def _wake(self, waiting: Wakers | None) -> None:
        if waiting is not None:
            waiting.wake()
        changed = self._driver.changed
        if changed.enlisted:
            changed.wake()

    # -- what users ask

    @property
    def done(self) -> bool:
        """Whether everything it caused has ended."""
        return self._finished

    @property
    def failure(self) -> BaseException | None:
        """The first error that nobody in the flow took; None if there was none (so far)."""
        return self._failures[0] if self._failures else None

    @property
    def failures(self) -> list[BaseException]:
        """All errors that nobody in the flow took; at most the first thousand."""
        return list(self._failures)

    @property
    def ledger(self) -> Ledger:
        """What became of every message, place by place; of a run under way as of now, with where its messages are."""
        driver, books = self._driver, self.books
        if books is None or not (self._finished or driver.inside() or driver.stopped):
            pictures: list[Ledger] = []

            def take_picture() -> None:
                pictures.append(self._picture())
                driver.changed.wake()

            driver.post(take_picture)
            if driver.wait_until(lambda: bool(pictures), LEDGER_PATIENCE) and pictures:
                return pictures[0]
        return self._picture()

    def _picture(self) -> Ledger:
        if self.books is None:
            return Ledger(self._title, (), 0, 0)
        driver = self._driver
        found = whereabouts_of(driver.engine, self.books) if driver.is_engine() and not self._finished else ()
        return ledger_of(self.books, self._title, found)

    def cancel(self) -> None:
        """End it now: what is queued is discarded, its open iterators are closed, what workers still bring is dropped.

        Returns at once; waiters get `RunCancelledError`. Any thread, any number of times.
        """
        self._driver.post(self._cancel)

    def _cancel(self) -> None:
        self._end_early(
            CANCELLED, RunCancelledError(f"run {self.number} of {self._driver.name} was cancelled.")
        )

    def _end_early(self, why: str, error: RunCancelledError) -> None:
        if self.books is None:
            self._driver.take_out(self, why, error)
        elif not self._finished:
            self._driver.engine.abandon(self.books, why, error)

    def end_within(self, seconds: float) -> None:
        """Have it cancelled so many seconds after now, unless it is done by then; `watch_deadline` does it."""
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
            raise FlowBuildError(f"process takes a deadline in seconds, more than 0, got {seconds!r}.")
        self.deadline = self._driver.seams.clock.now() + seconds

    def watch_deadline(self, seconds: float) -> None:
        """Engine's thread, once its input has been sent."""
        if not self._finished and self.deadline is not None:
            error = RunCancelledError(
                f"run {self.number} of {self._driver.name} was cancelled: its deadline of {seconds} s had passed."
            )
            end = partial(self._end_early, "its deadline had passed", error)
            self._timer = self._driver.engine.timers.at(self.deadline, end)

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline, never less than 0; None if it has none."""
        if self.deadline is None:
            return None
        return max(self.deadline - self._driver.seams.clock.now(), 0.0)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done.

        Args:
            timeout: seconds; None: as long as it takes.

        Raises:
            OperationError: it failed (or another error of the flow: the first of `failures`).
            RunCancelledError: it was cancelled.
            FlowStoppedError: the runtime was closed before it was done.
            FlowTimeoutError: `timeout` has passed; the run goes on.
        """
        self._wait_for(lambda: self._finished, timeout, "to be done", for_end=True)
        self._raise_failure()

    def result(self, timeout: float | None = None) -> Message:
        """Wait for its first result, and take it; the same one however often it is called.

        Raises as `wait` does if it failed without a result, and `FlowError` if it is done without one.
        """
        if self._first is None:
            self._first = self._next(timeout)
        if self._first is None:
            self._raise_failure()
            raise FlowError(self._no_result())
        return self._first

    def _next(self, timeout: float | None) -> Message | None:
        """Wait for a result and take it; None if it is done, and none is left."""
        taken: list[Message] = []

        def ready() -> bool:
            finished = self._finished  # before the look: what arrives later arrived before the end
            message = self._results.take_of(self._mine) if not taken else None
            if message is not None:
                taken.append(message)
            return bool(taken) or finished

        self._wait_for(ready, timeout, "for a result")
        return taken[0] if taken else None

    def results(self, timeout: float | None = None) -> Iterator[Message]:
        """Iterate over its results until it is done, taking them; then raise as `wait` does. `timeout`: seconds for each."""
        while (message := self._next(timeout)) is not None:
            yield message
        self._raise_failure()

    def values(self, timeout: float | None = None) -> list[Any]:
        """Wait until it is done and take the data of all its results, in order of arrival; raises as `wait` does."""
        self.wait(timeout)
        return self._results.take_values(self._mine)

    def _wait_for(
        self, ready: Callable[[], bool], timeout: float | None, what: str, *, for_end: bool = False
    ) -> None:
        if ready():
            return
        driver = self._driver
        if driver.inside():
            raise FlowStalledError(waiting_inside(f"for run {self.number}"))
        if driver.dispatching.dispatchers and timeout != 0:
            driver.dispatching.refuse_wait(driver.name, f"for run {self.number}")
        if driver.wait_until(ready, timeout, self._wakers(for_end=for_end), helps=True) or self._finished:
            return
        if driver.fatal is not None:
            driver.fatal_seen = True
            raise driver.fatal
        if driver.stopped:
            raise driver.stopped_error()
        raise FlowTimeoutError(
            f"run {self.number} of {driver.name}: waited {timeout} s {what}. It goes on; wait longer, or look "
            "at runtime.explain() for what it waits for, at run.ledger for where its messages are."
        )

    def _wakers(self, *, for_end: bool) -> Wakers:
        with self._results.lock:
            if self._waiting is None:
                self._waiting_for_end, self._waiting = Wakers(self._driver.seams), Wakers(self._driver.seams)
            found = self._waiting_for_end if for_end else self._waiting
        assert found is not None  # they are made together
        return found

    def _raise_failure(self) -> None:
        fatal = self._driver.fatal or self._reason  # the run may be over before the runtime is
        if isinstance(fatal, SystemExit | KeyboardInterrupt) and self._reason is not None:
            self._driver.fatal_seen = True
            raise fatal
        if self._failures:
            self._results.take_failure(self._failure_entry)
            error = self._failures[0]
            others = self._failed - 1
            note = f"{others} more of the run's messages failed: see run.failures"
            if others and note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise error
        if self._reason is not None:
            if self._reason is self._driver.fatal:
                self._driver.fatal_seen = True
            raise self._reason

    def _no_result(self) -> str:
        if self._taken_elsewhere:
            what = f"{self._taken_elsewhere} went to the handlers of on_result"
        elif self._delivered:
            what = f"{counted(self._delivered, 'result')} left it, and all were read"
        else:
            what = "nothing left it by a result port"
            what += self._driver.engine.routes.hint_for_inputs(
                self.books.accepted if self.books is not None else ()
            )
        return f"run {self.number} is done and has no result to give: {what.removesuffix('.')}.\n{self._picture()}"


def waiting_inside(what: str) -> str:
    """Say that a wait would wait for itself."""
    return (
        f"an operation, a handler or a tap waited {what}: it would wait for itself, since nothing moves until it returns. Emit a message "
        "instead of waiting, or wait outside the flow."
    )
