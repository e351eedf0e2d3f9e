"""The way out: results and failures until somebody reads them, or the handlers that take them as they leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.chunks import Chunk, shown_message, shown_messages
from flowrt.errors import FlowBuildError, FlowTimeoutError, counted
from flowrt.messages import Message

if TYPE_CHECKING:
    from flowrt.engine.runs import RunHandle
    from flowrt.ports import Port
    from flowrt.runtime.owner import Owner


CALLS_HANDLERS = True  # or taps, keys, iterables: for observe/calls.py, which sees its frames


class Arrived:
    """Results that left together, from `start` on; `failure` instead, for a run that failed."""

    __slots__ = ("chunk", "failure", "run", "start")

    def __init__(self, run: RunHandle, chunk: Chunk | None, failure: BaseException | None = None) -> None:
        self.run: RunHandle = run
        self.chunk = chunk
        self.failure: BaseException | None = failure
        self.start: int = 0

    def next_message(self) -> Message:
        """Hand the next result out; with the last the chunk is let go."""
        if self.chunk is None:
            raise AssertionError("unreachable: only asked while something is left")
        chunk, index = self.chunk, self.start
        self.start = index + 1  # first: a signal handler may read here too
        if self.start == len(chunk.data):
            self.chunk = None
        return shown_message(chunk, index)

    @property
    def left(self) -> int:
        """How many of its messages (or its failure) nobody has read."""
        if self.chunk is None:
            return 0 if self.failure is None else 1
        return len(self.chunk.data) - self.start


def _rest_of(chunk: Chunk, start: int) -> Chunk:
    context = chunk.context
    return Chunk(
        chunk.handler,
        chunk.data[start:],
        context[start:] if isinstance(context, list) else context,
        chunk.positions[start:],
        chunk.trail,
    )


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

    def take_of(self, mine: deque[Arrived] | None, port: Port | None) -> Message | None:
        """Take the next result of one run; of one `port`, if it is named."""
        with self.lock:
            while mine and not (mine[0].chunk is not None and mine[0].left):
                mine.popleft()
            for entry in mine or ():
                if entry.chunk is None or (port is not None and entry.chunk.handler.port != port):
                    continue
                message = entry.next_message()
                self._handed_out += 1
                self._forget_read()
                return message
        return None

    def take_chunks(self, mine: deque[Arrived] | None, port: Port | None) -> list[Chunk]:
        """Take all results of one run; of one `port`, if it is named. Nothing is copied."""
        chunks: list[Chunk] = []
        others: list[Arrived] = []
        with self.lock:
            while mine:
                first = mine.popleft()
                chunk, start = first.chunk, first.start
                if chunk is None:
                    continue
                if port is not None and chunk.handler.port != port:
                    others.append(first)
                    continue
                self._handed_out += first.left
                first.chunk = None
                chunks.append(chunk if not start else _rest_of(chunk, start))
            if mine is not None:
                mine.extend(others)
            self._forget_read()
        return chunks

    def take_messages(self) -> list[tuple[RunHandle, Message]]:
        """Take every result there is, with its run."""
        messages = []
        with self.lock:
            for entry in self._arrived:
                if entry.chunk is not None:
                    self._handed_out += entry.left
                    messages += [
                        (entry.run, shown_message(entry.chunk, i))
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


class Subscribers:
    """The handlers of `on_result`.

    Called on: `subscribe` any thread; the rest the engine's.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        # A new one at each change: it may be gone through meanwhile.
        self._handlers: tuple[Callable[[Message], None], ...] = ()

    @property
    def any(self) -> bool:
        """Whether there are handlers of `on_result`."""
        return bool(self._handlers)

    def subscribe(self, add: Callable[[], None], remove: Callable[[], None]) -> Callable[[], None]:
        """Have the engine add something; return a function that has it removed."""
        self._on_engine(add)
        return lambda: self._on_engine(remove)

    def subscribe_to_results(self, handler: Callable[[Message], None]) -> Callable[[], None]:
        """Have results handed to `handler`, those that wait already first."""
        check_handler("on_result", handler)
        return self.subscribe(lambda: self._add(handler), lambda: self._remove(handler))

    def _on_engine(self, call: Callable[[], None]) -> None:
        owner = self._owner
        if owner.is_engine() or owner.life.stopped:
            call()
        elif owner.threaded or owner.inside():
            owner.inbox.post(call)
        else:  # nobody else would be the engine
            owner.ask(call, None)

    def _add(self, handler: Callable[[Message], None]) -> None:
        waiting = [] if self._handlers else self._owner.results.take_messages()
        for run, message in waiting:
            run.tell_passed_on(1)
            try:
                handler(message)
            except BaseException as error:
                self._owner.engine.failures.contain("on_result", error)
        self._handlers = (*self._handlers, handler)

    def _remove(self, handler: Callable[[Message], None]) -> None:
        left = list(self._handlers)
        users.discard(left, handler)
        self._handlers = tuple(left)

    def deliver(self, chunk: Chunk) -> None:
        """Take results: for the handlers, or to be kept for whoever reads them."""
        rest = self._hand_out(chunk) if self._handlers else 0
        contexts, data, positions = chunk.context, chunk.data, chunk.positions
        if not isinstance(contexts, list):
            if rest:  # a handler may have removed the last one
                chunk = Chunk(chunk.handler, data[rest:], contexts, positions[rest:], chunk.trail)
            if chunk.data:
                contexts.scope.run.handle.tell_arrived(chunk)
            return
        for index in range(rest, len(data)):
            context = contexts[index]
            part = Chunk(chunk.handler, [data[index]], context, positions[index : index + 1], chunk.trail)
            context.scope.run.handle.tell_arrived(part)

    def _hand_out(self, chunk: Chunk) -> int:
        """Hand results to the handlers, each to all before the next; return how many were handed to somebody."""
        handed = 0
        for message in shown_messages(chunk):
            handlers = self._handlers
            if not handlers:
                break
            for handler in handlers:
                try:
                    handler(message)
                except BaseException as error:
                    self._owner.engine.failures.contain("on_result", error)
            handed += 1
        contexts = chunk.context
        if isinstance(contexts, list):
            for context in contexts[:handed]:
                context.scope.run.handle.tell_passed_on(1)
        else:
            contexts.scope.run.handle.tell_passed_on(handed)
        return handed


def check_handler(hook: str, handler: object) -> None:
    """Refuse what cannot be called."""
    if not callable(handler):
        raise FlowBuildError(f"{hook} takes a function of one argument, got {type(handler).__name__}.")


class Reading:
    """The waits of the runtime itself; those of one run are the run's.

    Called on: any thread but the engine's and the workers', which would wait for themselves.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def next_result(self, timeout: float | None, *, until_idle: bool) -> Message | None:
        """Take the next result, or raise the next failure; None past the timeout, or (`until_idle`) when there will be none."""
        owner, life = self._owner, self._owner.life
        taken: list[Arrived | Message] = []
        idle: list[bool] = []

        def ready() -> bool:
            was_idle = bool(idle)  # before the look
            if not taken:
                found = owner.results.take()
                if found is not None:
                    taken.append(found)
            return bool(taken) or was_idle

        if not ready():
            owner.refuse_wait("for a result", timeout)
            forget = self._tell_when_idle(idle) if until_idle else None
            try:
                owner.wait_until(ready, timeout, helps=True)
            finally:
                if forget is not None:
                    forget()
        if taken:
            return _given(taken[0])
        life.raise_fatal()
        if until_idle and (idle or life.stopped):
            return None
        if life.stopped:
            raise life.stopped_error()
        if until_idle:
            raise FlowTimeoutError(
                f'runtime "{life.name}": no result came within {timeout} s, and there is still work under way.'
            )
        return None

    def wait_idle(self, timeout: float | None) -> None:
        """Wait until every run is done."""
        owner, life = self._owner, self._owner.life
        idle: list[bool] = []
        owner.refuse_wait("until the runtime is idle", timeout)
        if life.stopped:
            return
        forget = self._tell_when_idle(idle)
        try:
            owner.wait_until(lambda: bool(idle), timeout, helps=True)
        finally:
            forget()
        if not idle and not life.stopped:
            live = counted(owner.engine.books.live, "message")
            raise FlowTimeoutError(f'runtime "{life.name}" was not idle within {timeout} s: {live} live.')
        life.raise_fatal()

    def _tell_when_idle(self, idle: list[bool]) -> Callable[[], None]:
        """Have the engine say when nothing is left to do; return what ends that."""
        owner = self._owner
        post, waits = owner.inbox.post, owner.waits

        def tell() -> None:
            owner.idlers -= 1
            idle.append(True)
            waits.changed.wake()

        def begin() -> None:
            owner.idlers += (
                1  # nobody else would: whoever goes through a run's results may be the one who waits here
            )
            for run in owner.engine.books.runs:
                run.outrun = False
            waits.when_idle(tell)

        def give_up() -> None:
            if not idle:
                owner.idlers -= 1
                waits.no_more(tell)

        post(begin)
        return lambda: None if idle else post(give_up)


def _given(found: Arrived | Message) -> Message:
    if not isinstance(found, Arrived):
        return found
    if found.failure is None:
        raise AssertionError("unreachable: an entry without messages is a failure")
    raise found.failure
