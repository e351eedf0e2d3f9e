"""`Run`: everything caused by one input, for whoever sent it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context as ContextVariables
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from flowrt import users
from flowrt.engine.chunks import Chunk, shown_message
from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowTimeoutError,
    RunCancelledError,
    check_seconds,
    counted,
)
from flowrt.messages import CHUNK_SIZE, Data, Message, RunBooks
from flowrt.observe.figures import Ledger, ledger_of, whereabouts_of
from flowrt.ports import Port, did_you_mean
from flowrt.runtime.results import Arrived, check_handler
from flowrt.runtime.waiting import Wakers
from flowrt.shown import Shown

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

    from flowrt.clock import Timer
    from flowrt.runtime.owner import Owner


CANCELLED = "the run was cancelled"
FAILED_FAST = "an error, and the run is to fail fast"
UNREAD_MOST = (
    CHUNK_SIZE  # results that a reader is behind before the sources wait for it; as the window of a source
)
RESULTS_KEPT = 10_000  # of those read singly, to be read again; arbitrary. Who reads as they come is to need bounded memory
FAILURES_KEPT = 1_000  # per run; arbitrary. The ledger counts them all
LEDGER_PATIENCE = 1.0  # seconds to wait for the engine between two of its calls, for a picture that is exact


class Run(Shown, Generic[Data]):
    """Everything caused by one `process` or `process_many`.

    Its waits may be called on any thread but the engine's and the workers' (there they raise `FlowStalledError` at once), any
    number of times. What is read here is taken from the runtime's queue too, and is kept to be read here again: all that `values()`
    took, and of what was read singly up to ten thousand results. Past that they are let go as they are read, and reading the run
    from its start again raises `FlowError`. What the runtime's own readers took is gone from here.
    """

    _inner: ClassVar[frozenset[str]] = frozenset(
        {
            "books",
            "end_within",
            "fails_fast",
            "tell_arrived",
            "tell_failed",
            "tell_finished",
            "tell_passed_on",
            "variables",
            "watch_deadline",
        }
    )

    # Most runs of one message need none of these: what is not written costs nothing.
    _mine: deque[Arrived] | None = None
    _failure_entry: Arrived | None = None
    _failures: tuple[BaseException, ...] = ()
    _failed = 0
    _reason: BaseException | None = None
    _finished = False
    _first: Message | None = None
    _read: list[Message | Chunk] | None = None  # in the order of reading; guarded by the lock of the results
    _read_singly = 0
    _let_go = 0  # how many of those read are not kept any more
    _trace: TracebackType | None = None  # of the failure or the reason, before anybody had it raised
    _delivered = 0
    _taken_elsewhere = 0
    _readers = 0  # who go through its results now: what they have not read holds its sources back
    _fetched = (
        0  # results that nobody waits to read any more: as many as were read, and all whenever none is left
    )
    _awaited = 0  # who wait for its end: for them its sources go on
    _resuming = False
    _waiting: Wakers | None = None
    _waiting_for_end: Wakers | None = None  # apart: to be woken at each result costs more than the result
    books: RunBooks | None = None
    deadline: float | None = None  # a moment on the engine's clock
    _timer: Timer | None = None  # while it has not passed
    fails_fast = False
    _callbacks: tuple[Callable[[Run], object], ...] = ()  # guarded by the lock of the results

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.number: int = owner.life.next_number()
        self.variables: ContextVariables | None = (
            copy_context() or None
        )  # what its calls see; empty, it is nothing

    def __repr__(self) -> str:
        return f"<{self._title}>"

    @property
    def _title(self) -> str:
        state = "under way"
        if self._finished:
            state = "failed" if self._failed else "cut short" if self._reason is not None else "done"
        return f"run {self.number} of {self._owner.life.name} ({state})"

    # -- what the engine tells

    def tell_failed(self, error: BaseException) -> None:
        """Engine's thread: take an error that nobody else took."""
        self._failed += 1
        if len(self._failures) < FAILURES_KEPT:
            self._failures = (*self._failures, error)
        if self._failure_entry is None:
            self._trace = error.__traceback__
            self._failure_entry = Arrived(self, None, error)
            self._owner.results.add(self._failure_entry)
            if self.fails_fast or self._owner.fails_fast:  # not now: the engine is in the middle of something
                why = f"run {self.number} of {self._owner.life.name} was cancelled at its first error, as fail_fast says."
                self._owner.inbox.post(self._end_early, FAILED_FAST, RunCancelledError(why))

    def tell_arrived(self, chunk: Chunk) -> None:
        """Engine's thread: take results."""
        self._delivered += len(chunk.data)
        if self._mine is None:
            self._mine = deque()
        self._owner.results.add(Arrived(self, chunk), self._mine)
        if (
            self._readers
            and not (self._awaited or self._owner.idlers)
            and self._behind >= UNREAD_MOST
            and self.books is not None
        ):
            self.books.outrun = True
        self._wake(self._waiting)

    def tell_passed_on(self, messages: int) -> None:
        """Engine's thread: results went to `on_result` instead."""
        self._taken_elsewhere += messages

    def tell_finished(self, reason: BaseException | None) -> None:
        """Engine's thread: the run has ended."""
        if self._timer is not None:
            self._owner.engine.timers.cancel(self._timer)
        if reason is not None and not self._failures:
            self._trace = reason.__traceback__
        self._reason = reason
        self._finished = True
        self._wake(self._waiting_for_end)
        self._wake(self._waiting)
        if self._callbacks:
            self._call_back()

    def _wake(self, waiting: Wakers | None) -> None:
        if waiting is not None:
            waiting.wake()
        changed = self._owner.waits.changed
        if changed.enlisted:
            changed.wake()

    def _call_back(self) -> None:
        with self._owner.results.lock:
            callbacks, self._callbacks = self._callbacks, ()
        for call in callbacks:
            try:
                call(self)
            except BaseException as error:
                self._owner.engine.failures.contain("add_done_callback", error)

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
        owner, books = self._owner, self.books
        if books is None or not (self._finished or owner.inside() or owner.life.stopped):
            for picture in owner.ask(self._picture, LEDGER_PATIENCE):
                return picture
        return self._picture()

    def _picture(self) -> Ledger:
        if self.books is None:
            return Ledger(self._title, (), 0, 0)
        owner = self._owner
        found = whereabouts_of(owner.engine, self.books) if owner.is_engine() and not self._finished else ()
        return ledger_of(self.books, self._title, found)

    def add_done_callback(self, call: Callable[[Run], object]) -> None:
        """Have `call(run)` called once it is done: on the engine's thread, or here and now if it is done already.

        It must not wait there. What it raises is contained, as for `on_result`.
        """
        check_handler("add_done_callback", call)
        with self._owner.results.lock:
            self._callbacks = (*self._callbacks, call)
        if (
            self._finished
        ):  # only now: between the two it may have come to its end, and whoever takes it out calls it
            self._call_back()

    def future(self) -> Future[Data]:
        """Return a `concurrent.futures.Future` of the data of its first result, or of the error that `result()` raises.

        It is done when the run is; `cancel()` cancels the run.
        """
        from flowrt.runtime.futures import future_of  # noqa: PLC0415 - importing flowrt is to cost little

        return future_of(self)

    def cancel(self) -> None:
        """End it now: what is queued is discarded, its open iterators are closed, what workers still bring is dropped.

        Returns at once; waiters get `RunCancelledError`. Any thread, any number of times.
        """
        self._owner.inbox.post(self._cancel)

    def _cancel(self) -> None:
        self._end_early(
            CANCELLED, RunCancelledError(f"run {self.number} of {self._owner.life.name} was cancelled.")
        )

    def _end_early(self, why: str, error: RunCancelledError) -> None:
        if self.books is None:
            self._owner.room.take_out(self, why, error)
        elif not self._finished:
            self._owner.engine.runs.abandon(self.books, why, error)

    def end_within(self, seconds: float) -> float:
        """Have it cancelled so many seconds after now, unless it is done by then; `watch_deadline` does it. Return the seconds."""
        seconds = check_seconds("process", "deadline", seconds, endless=True)
        self.deadline = self._owner.seams.clock.now() + seconds
        return seconds

    def watch_deadline(self, seconds: float) -> None:
        """Engine's thread, once its input has been sent."""
        if not self._finished and self.deadline is not None:
            error = RunCancelledError(
                f"run {self.number} of {self._owner.life.name} was cancelled: its deadline of {seconds:g} s had passed."
            )
            end = partial(self._end_early, "its deadline had passed", error)
            self._timer = self._owner.engine.timers.at(self.deadline, end)

    @property
    def remaining(self) -> float | None:
        """Seconds until its deadline, never less than 0; None if it has none."""
        if self.deadline is None:
            return None
        return max(self.deadline - self._owner.seams.clock.now(), 0.0)

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
        if not self._finished:
            self._wait_for_end(timeout)
        self._raise_failure()

    def _wait_for_end(self, timeout: float | None) -> None:
        lock = self._owner.results.lock
        with lock:
            self._awaited += 1
        try:
            if self.books is not None and self.books.outrun:
                self._let_sources_go_on()
            self._wait_for(lambda: self._finished, timeout, "to be done", for_end=True)
        finally:
            with lock:
                self._awaited -= 1

    def result(self, timeout: float | None = None, port: str | Port | None = None) -> Message[Data]:
        """Wait for its first result (of `port`, if one is named), and take it; the same one however often it is called.

        Raises as `wait` does if it failed without a result, `FlowError` if it is done without one or has let it go, and
        `FlowBuildError` if no stream leads to `port`.
        """
        if port is None:
            if self._first is None and self._read is None:
                self._read_first(timeout)
            if self._first is not None:
                return self._first
        for message in self._reading(timeout, None if port is None else self._result_port(port)):
            if port is None:
                self._first = message
            return message
        self._raise_failure()
        raise FlowError(self._no_result(port))

    def _read_first(self, timeout: float | None) -> None:
        """Wait for the first result, where nothing has been read yet: as `_reading` would, at a third of its price."""
        results = self._owner.results

        def ready() -> bool:
            finished = self._finished
            with results.lock:
                if self._read is not None:  # another thread was quicker
                    return True
                message = results.take_of(self._mine, None)
                if message is None:
                    return finished
                self._read, self._first = [message], message
                self._read_singly, self._fetched = 1, self._fetched + 1
            return True

        self._wait_for(ready, timeout, "for a result")

    def results(
        self, timeout: float | None = None, port: str | Port | None = None
    ) -> Iterator[Message[Data]]:
        """Iterate over its results until it is done, from the first, also what was read before; then raise as `wait` does.

        While somebody does, its sources (generators, scattered lists, an iterable that another thread sends) are held back where a thousand
        results or so are unread, unless somebody waits for its end.

        Args:
            timeout: seconds for each.
            port: only what left by this one.
        """
        return self._reading(timeout, None if port is None else self._result_port(port), raises=True)

    def values(self, timeout: float | None = None, port: str | Port | None = None) -> list[Data]:
        """Wait until it is done and return the data of all its results, those that were read before first; raises as `wait` does.

        Otherwise they are in order of arrival, and the same list each time.

        Args:
            timeout: seconds.
            port: only what left by this one.
        """
        where = self._result_port(port)
        self.wait(timeout)
        with self._owner.results.lock:
            if self._let_go:
                raise self._gone()
            read = self._read
            if read is None:
                read = self._read = []
            read += self._owner.results.take_chunks(self._mine, where)
            values: list[Any] = []
            for part in read:
                if where is not None and _port_of(part) != where:
                    continue
                if isinstance(part, Chunk):
                    values += part.data
                else:
                    values.append(part.data)
        return values

    def _result_port(self, port: str | Port | None) -> Port | None:
        """Return the port to read; `FlowBuildError` if nothing can leave by it."""
        if port is None:
            return None
        where = Port.parse(port)
        owner, routes = self._owner, self._owner.engine.routes
        if routes.capture or routes.places.definition.has_output(where):
            return where
        if not (owner.inside() or owner.life.stopped):  # a change to the flow may be on its way to the engine
            owner.ask(lambda: None, LEDGER_PATIENCE)
        definition = routes.places.definition
        if not definition.has_output(where):
            raise FlowBuildError(
                f'run {self.number}: no stream leads to "{where.fullname}", so no result leaves by it.'
                f"{did_you_mean(where.fullname, definition.output_ports())}"
            )
        return where

    def _reading(
        self, timeout: float | None, port: Port | None, *, raises: bool = False
    ) -> Iterator[Message]:
        """Go through its results, those that were read first; end when it is done, and none is left. `raises`: then raise as `wait` does."""
        part = within = 0  # numbers the parts ever read, and the messages of one

        def ready() -> bool:
            nonlocal part, within
            finished = self._finished  # before the look: what arrives later arrived before the end
            with self._owner.results.lock:
                while not found:
                    if part < self._let_go:
                        raise self._gone()
                    read = self._read or ()
                    index = part - self._let_go
                    if index < len(read):
                        again = read[index]
                        skipped = port is not None and _port_of(again) != port
                        if not isinstance(again, Chunk):
                            part += 1
                        elif within < len(again.data) and not skipped:
                            again = shown_message(again, within)
                            within += 1
                        else:
                            part, within, skipped = part + 1, 0, True
                        if not skipped:
                            found.append(again)
                        continue
                    message = self._owner.results.take_of(self._mine, port)
                    self._note_read(message)
                    if message is None:
                        break
                    if self._read is None:
                        self._read = []
                    self._read.append(message)
                    self._read_singly += 1
                    if (
                        self._read_singly > RESULTS_KEPT
                    ):  # whoever has read the last before it goes on either way
                        self._let_go += len(self._read) - 1
                        del self._read[:-1]  # but the last, which its reader is about to fetch
            return bool(found) or finished

        with self._owner.results.lock:
            self._readers += 1
        try:
            while True:
                found: list[Any] = []
                self._wait_for(ready, timeout, "for a result")
                if not found:
                    break
                yield found.pop()
        finally:
            with self._owner.results.lock:
                self._readers -= 1
            if not self._readers and self.books is not None and self.books.outrun:
                self._let_sources_go_on()
        if raises:
            self._raise_failure()

    @property
    def _behind(self) -> int:
        """How many results its reader has yet to read, about: what others have read is left out when there is none."""
        return self._delivered - self._fetched

    def _next_unread(self) -> Message | None:
        """Take its next result, and keep nothing of it."""
        message = self._owner.results.take_of(self._mine, None)
        self._note_read(message)
        return message

    def _note_read(self, message: Message | None) -> None:
        """Note that somebody has looked for its next result: the sources go on when few are left."""
        self._fetched = self._delivered if message is None else self._fetched + 1
        if (
            self.books is not None
            and self.books.outrun
            and self._behind <= UNREAD_MOST // 2
            and not self._resuming
        ):
            self._let_sources_go_on()

    def _let_sources_go_on(self) -> None:
        """Any thread: have the sources of the run go on, which waited for its readers."""
        self._resuming = True
        self._owner.inbox.post(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self.books is not None:
            self.books.outrun = False
        self._owner.waits.room.wake()

    def _gone(self) -> FlowError:
        return FlowError(
            f"run {self.number} cannot be read from its start again: {counted(self._read_singly, 'result')} were read singly, and "
            f"past {RESULTS_KEPT} they are not kept. Read it once, keep what you need, or take the whole with values()."
        )

    def _wait_for(
        self,
        ready: Callable[[], bool],
        timeout: float | None,
        what: str,
        *,
        for_end: bool = False,
        wakers: Wakers | None = None,
    ) -> None:
        if ready():
            return
        owner, life = self._owner, self._owner.life
        owner.refuse_wait(f"for run {self.number}", timeout)
        wakers = self._wakers(for_end=for_end) if wakers is None else wakers
        if owner.wait_until(ready, timeout, wakers, helps=True) or self._finished:
            return
        if life.fatal is not None:
            life.fatal_seen = True
            raise life.fatal
        if life.stopped:
            raise life.stopped_error()
        raise FlowTimeoutError(
            f"run {self.number} of {life.name}: waited {timeout} s {what}. It goes on; wait longer, or look "
            "at runtime.explain() for what it waits for, at run.ledger for where its messages are."
        )

    def _wakers(self, *, for_end: bool) -> Wakers:
        with self._owner.results.lock:
            if self._waiting is None:
                self._waiting_for_end, self._waiting = Wakers(self._owner.seams), Wakers(self._owner.seams)
            found = self._waiting_for_end if for_end else self._waiting
        assert found is not None  # they are made together
        return found

    def _raise_failure(self) -> None:
        life = self._owner.life
        fatal = (
            self._reason if life.fatal is None else life.fatal
        )  # the run may be over before the runtime is
        if users.is_a(fatal, users.STOPS) and self._reason is not None:
            life.fatal_seen = True
            raise fatal
        if self._failures:
            self._owner.results.take_failure(self._failure_entry)
            error = self._failures[0]
            others = self._failed - 1
            note = f"{others} more of the run's messages failed: see run.failures"
            if others and note not in users.notes_of(error):
                users.note(error, note)
            raise error.with_traceback(self._trace)  # as it came: not one longer each time it is raised
        if self._reason is not None:
            if self._reason is life.fatal:
                life.fatal_seen = True
            raise self._reason.with_traceback(self._trace)

    def _no_result(self, port: str | Port | None) -> str:
        if self._taken_elsewhere:
            what = f"{self._taken_elsewhere} went to the handlers of on_result"
        elif self._delivered:
            what = f"{counted(self._delivered, 'result')} left it, "
            what += (
                f'none by "{Port.parse(port).fullname}"'
                if port is not None
                else "and all were read by the runtime's readers"
            )
        else:
            what = "nothing left it by a result port"
        return f"run {self.number} is done and has no result to give: {what.removesuffix('.')}.\n{self._picture()}"


def _port_of(part: Message | Chunk) -> Port:
    return part.handler.port if isinstance(part, Chunk) else part.port
