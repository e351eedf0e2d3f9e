"""`FlowRuntime`: the verbs of one flow being executed; its parts come from `wiring`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Self

from flowrt import users
from flowrt.errors import (
    FlowBuildError,
    FlowStoppedError,
    FlowTimeoutError,
    check_count,
    check_items,
    check_seconds,
)
from flowrt.executors.seams import Seams
from flowrt.flow.flow import Flow
from flowrt.messages import Data, Message
from flowrt.observe.figures import MeterRow, row_of
from flowrt.ports import UNNAMED, Port
from flowrt.runtime.closing import DEADLINE, DRAIN, CloseReport, end_in_time
from flowrt.runtime.input import checked_priority, label_of
from flowrt.runtime.results import check_handler
from flowrt.runtime.run import Run
from flowrt.runtime.streams import streamed
from flowrt.runtime.watching import explain
from flowrt.runtime.wiring import wired
from flowrt.shown import Shown

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from flowrt.engine.schedules import Schedule, ScheduleName
    from flowrt.flow.checks import Finding
    from flowrt.flow.container import FlowOperationContainer
    from flowrt.flow.text import Text
    from flowrt.observe.explain import Explanation
    from flowrt.runtime.room import Overflow


_numbers = count(1)


class FlowRuntime(Shown, Generic[Data]):
    """Executes one flow on one engine. A context manager: leaving it drains and closes.

    Args:
        flow: what to run; more can be added with the `add_` methods, also while it runs.
        name: in errors and in the names of threads.
        schedule: "breadth_first"; "depth_first" (each input is worked off to its end before the next); "round_robin" (the out-ports that have
            work in turn, one message each); "parallel" (breadth-first, and sync operations that keep no state share four threads, their
            results in order); or "sync" (depth-first on the thread that calls `process`, which returns when the run is done). Or what makes one
            of your own: see `flowrt.engine.schedules.Schedule`.
        parallelism: False runs every operation on the engine's thread, for debugging.
        strict: an output that no stream takes is an error.
        capacity: `process` waits while so many messages are live.
        max_live: past so many live messages a run fails.
        max_results: past so many unread results `process` raises `FlowOverloadError`.
        overflow: what `process` does from outside where there is no room: "wait"; "fail" (`FlowOverloadError`); "drop_newest" (the new input ends
            as discarded); "drop_oldest" (the one that has waited longest to enter does).
        fail_fast: the first error of a run that nobody takes cancels that run; whoever waits for it gets the error.
        stall_after: seconds after which a call that has not returned is warned of (`FlowStallWarning`), with where it stands; None: never.
        seams: clock, threads, queues, locks, for tests.

    Guarantees: see README, "What it promises".
    """

    def __init__(
        self,
        flow: Flow[Data] | None = None,
        *,
        name: str | None = None,
        schedule: ScheduleName | Callable[[], Schedule] = "breadth_first",
        parallelism: bool = True,
        strict: bool = False,
        capacity: int = 10_000,
        max_live: int = 10_000_000,
        max_results: int = 1_000_000,
        overflow: Overflow = "wait",
        fail_fast: bool = False,
        stall_after: float | None = None,
        seams: Seams | None = None,
    ) -> None:
        self.name: str = name or f"flow-{next(_numbers)}"
        self._parts = wired(
            self.name,
            flow,
            seams or Seams(),
            schedule=schedule,
            parallelism=parallelism,
            strict=strict,
            capacity=check_count("FlowRuntime", "capacity", capacity),
            max_live=check_count("FlowRuntime", "max_live", max_live),
            max_results=check_count("FlowRuntime", "max_results", max_results),
            overflow=overflow,
            stall_after=stall_after,
        )
        self._life = self._parts.life
        self._owner = self._parts.owner
        self._owner.fails_fast = bool(fail_fast)
        self._building = self._parts.building
        self._started = False

    @classmethod
    def from_package(cls, package: str | ModuleType, **options: Any) -> Self:
        """Make a runtime for a package: the flow in its resource `root.flow`, with what its modules mark as operations.

        It imports the package and the modules directly in it, but those whose names begin with an underscore. `options`: as for `FlowRuntime`.
        `FlowBuildError` if it cannot be imported, has no `root.flow` or no marked operations, or one of these is faulty.
        """
        from flowrt.flow.packages import flow_of_package  # noqa: PLC0415 - the one way in that imports

        return cls(flow_of_package(package), **options)

    def __repr__(self) -> str:
        return f'<flow runtime "{self.name}">'

    # -- building

    def add_stream(
        self,
        source: str | Port,
        target: str | Port,
        *,
        comment: str = "",
        ignore: str | Iterable[str] = (),
    ) -> Self:
        """Connect two ports; see `Flow.add_stream`."""
        return self._change(lambda flow: flow.add_stream(source, target, comment=comment, ignore=ignore))

    def add_chain(self, *ports_or_operations: Any) -> Self:
        """Add a stream from each of these to the next, and the operations among them; see `Flow.add_chain`."""
        return self._change(lambda flow: flow.add_chain(*ports_or_operations))

    def add_streams_from(self, text: Text, source: str = UNNAMED) -> Self:
        """Add the streams and flows of a flow text; see `Flow.add_streams_from`."""
        return self._change(lambda flow: flow.add_streams_from(text, source))

    def add_operations(self, operations: FlowOperationContainer) -> Self:
        """Add the operations of a container; see `Flow.add_operations`."""
        return self._change(lambda flow: flow.add_operations(operations))

    def add_operation(self, operation: Any, factory: Callable[[], Any] | None = None) -> Self:
        """Add one operation with state; see `FlowOperationContainer.add_operation`."""
        return self._change(lambda flow: flow.add_operation(operation, factory))

    def add_flow(self, flow: Flow) -> Self:
        """Add a flow to be used by its name; see `Flow.add_flow`."""
        return self._change(lambda root: root.add_flow(flow))

    def _change(self, change: Callable[[Flow], Any]) -> Self:
        self._building.change(change)
        return self

    def _build(self) -> None:
        """Swap a changed flow in, whole or not at all. The engine starts with the first input, or when it is waited for."""
        if self._life.closing or self._life.stopped:
            self._life.raise_fatal()
            raise self._life.stopped_error()
        if self._building.changed:
            self._building.compile()
        if not self._started:
            self._started = True
            end_in_time(self, self._parts.closer)
            watchdog = self._parts.watchdog
            if watchdog is not None and (thread := watchdog.start()) is not None:
                self._owner.helpers.append(thread)

    def start(self) -> Self:
        """Start now, without waiting for the first input: active operations are activated when it returns (called from inside, later).

        Raises:
            FlowBuildError: the flow is faulty.
            FlowStoppedError: the runtime is closed or closing.
        """
        self._build()
        self._parts.activations.begin()
        return self

    # -- input

    def process(
        self,
        port: str | Port | Message,
        data: Any = None,
        *,
        correlation_id: object = None,
        priority: int = 0,
        timeout: float | None = None,
        deadline: float | None = None,
        fail_fast: bool = False,
    ) -> Run[Data]:
        """Send one message into the flow; it starts a run.

        From outside it waits while `capacity` messages are live; on the engine's thread, on a worker, in a handler or tap it never
        waits. Under the "sync" schedule it returns when the run is done, unless called from inside.

        Args:
            port: a way into the flow, `.in`; or into an operation, `parse` or `gather.stream`; or a whole `Message`.
            data: what it carries.
            correlation_id: kept by everything it leads to.
            priority: a higher one goes first, and so does everything it leads to.
            timeout: seconds to wait for room.
            deadline: seconds from now after which the run is cancelled, if it is not done: whoever waits gets `RunCancelledError`.
            fail_fast: its first error that nobody takes cancels it, and whoever waits gets that error.

        Raises:
            FlowBuildError: the flow, or a change to it, is faulty; or there is no such way in.
            FlowTimeoutError: no room within `timeout`; nothing was sent.
            FlowOverloadError: nobody reads the results; or, from inside, `max_live` inputs are live or waiting. Nothing was sent.
            FlowStoppedError: the runtime is closed or closing; nothing was sent.
        """
        if isinstance(port, Message):
            message = port
            if data is not None or correlation_id is not None or priority:
                raise FlowBuildError(
                    "process(message) takes data, correlation_id and priority from the message: leave them out."
                )
            port, data = message.port, message.data
            correlation_id, priority = message.correlation_id, message.priority
        where = Port.parse(port)
        if type(priority) is not int:  # which nearly all are
            priority = checked_priority(priority)
        self._build()
        if where.key not in self._building.ways_in:
            self._building.find_way_in(where, "process")
        return self._send(where, data, correlation_id, priority, timeout, deadline, fail_fast=fail_fast)

    def emit_from(
        self,
        port: str | Port,
        data: Any = None,
        *,
        correlation_id: object = None,
        priority: int = 0,
        timeout: float | None = None,
        deadline: float | None = None,
        fail_fast: bool = False,
    ) -> Run[Data]:
        """Have data leave an operation as if that had emitted it, as a run of its own: it goes where the streams of the port go.

        Args:
            port: an out-port of an operation, `parse` or `scatter.count`.
            data: what is emitted.
            correlation_id: as for `process`.
            priority: likewise.
            timeout: likewise.
            deadline: likewise.
            fail_fast: likewise.

        Raises: as `process`; `FlowBuildError` also if there is no such operation, or it has no such out-port.
        """
        where, priority = Port.parse(port), checked_priority(priority)
        self._build()
        where = self._building.way_behind(where, "emit_from")
        return self._send(where, data, correlation_id, priority, timeout, deadline, fail_fast=fail_fast)

    def _send(
        self,
        where: Port,
        data: Any,
        correlation_id: object,
        priority: int,
        timeout: float | None,
        deadline: float | None,
        *,
        fail_fast: bool,
    ) -> Run[Data]:
        if self._owner.waits.dispatching.dispatchers:
            self._refuse_blocking()
        run: Run[Data] = Run(self._owner)
        if fail_fast:
            run.fails_fast = True
        if deadline is not None:
            deadline = run.end_within(deadline)
            timeout = deadline if timeout is None else min(timeout, deadline)
        self._parts.input.send(run, where, data, correlation_id, priority, timeout)
        if deadline is not None:
            self._owner.inbox.post(run.watch_deadline, deadline)
        if not self._owner.attended:
            self._work_off(run)
        return run

    def process_many(
        self,
        port: str | Port,
        iterable: Iterable[Any],
        *,
        correlation_id: object = None,
        key: Callable[[Any], object] | None = None,
        priority: int | Callable[[Any], int] = 0,
        timeout: float | None = None,
        deadline: float | None = None,
        fail_fast: bool = False,
    ) -> Run[Data]:
        """Send the items of an iterable into the flow, as one run; return when the last is accepted.

        The iterable is pulled on the calling thread, as there is room, and each item is sent before the next is pulled (under the "sync" schedule:
        worked off, alone or, of an iterable that has been quick for long, 64 together). What it raises is raised here; the items accepted
        before are worked off. Arguments and errors otherwise as for `process`; `timeout`: seconds for each wait for room.

        `key(item)` gives each item a correlation id of its own, `priority(item)` a priority; on the calling thread, too.
        """
        where, label = Port.parse(port), label_of("process_many", correlation_id, key, priority)
        check_items("process_many", iterable)
        self._build()
        if where.key not in self._building.ways_in:
            self._building.find_way_in(where, "process_many")
        if self._owner.waits.dispatching.dispatchers:
            self._refuse_blocking()
        run: Run[Data] = Run(self._owner)
        run.fails_fast = bool(fail_fast)
        if deadline is not None:
            deadline = run.end_within(deadline)
            timeout = deadline if timeout is None else min(timeout, deadline)
            self._owner.inbox.post(run.watch_deadline, deadline)
        self._parts.input.send_many(run, where, iterable, label, timeout)
        if not self._owner.attended:
            self._work_off(run)
        return run

    def stream(
        self,
        port: str | Port,
        iterable: Iterable[Any],
        *,
        correlation_id: object = None,
        key: Callable[[Any], object] | None = None,
        priority: int | Callable[[Any], int] = 0,
        timeout: float | None = None,
        deadline: float | None = None,
        fail_fast: bool = False,
    ) -> Generator[Message[Data], None, None]:
        """Send the items of an iterable, as one run, and yield its results as they come.

        The iterable is pulled on the thread that reads, as results are read: at most about a thousand items are under way and as many results
        unread, so neither has to fit into memory. What was yielded is not kept: the run cannot be read again. An item that fails is told when all
        results are there, as by `Run.results()`, unless a handler, a causality or the operation's policy took it; so is what the iterable raises.
        Who stops reading cancels the run.

        Args:
            port: where they go, as for `process`.
            iterable: what they come from.
            correlation_id: of all of them.
            key: as for `process_many`.
            priority: likewise.
            timeout: seconds for each wait for a result.
            deadline: seconds after which the run is cancelled, from when its first result is asked for.
            fail_fast: the first error that nobody takes ends it.

        Raises:
            FlowBuildError: the iterable is none, or the flow is faulty; before anything is sent.
            FlowTimeoutError: no result came within `timeout`; the run is cancelled.
            RunCancelledError: the deadline has passed.
            OperationError: an item failed; the first error.
        """
        where, label = Port.parse(port), label_of("stream", correlation_id, key, priority)
        check_items("stream", iterable)
        self._build()
        if where.key not in self._building.ways_in:
            self._building.find_way_in(where, "stream")
        if deadline is not None:
            deadline = check_seconds("stream", "deadline", deadline, endless=True)
        run: Run[Data] = Run(self._owner)
        run.fails_fast = bool(fail_fast)
        way_in = self._parts.input
        return streamed(self, self._owner, way_in, run, where, iterable, label, timeout, deadline)

    def event_processor(self, port: str | Port) -> Callable[..., None]:
        """Return a callable that sends its argument (or None) to a port: for timers, dialogs and other sources of events."""
        where = Port.parse(port)

        def send(data: Any = None) -> None:
            self.process(where, data)

        return send

    def _refuse_blocking(self) -> None:
        """Refuse to work a run off on a thread that a dispatcher of the flow needs."""
        if not (self._owner.attended or self._owner.inside()):
            self._owner.waits.dispatching.refuse_process(self.name, 'schedule="sync" works it off at once')

    def _work_off(self, run: Run) -> None:
        if not self._owner.inside():
            self._owner.wait_until(lambda: run.done, None, helps=True)
            if self._life.fatal is not None and users.is_a(self._life.fatal, users.STOPS):
                self._life.raise_fatal()

    # -- results

    def wait_for_result(self, timeout: float | None = None) -> Message[Data]:
        """Wait for the next result of any run, and take it; the next unhandled failure is raised instead.

        Raises:
            FlowTimeoutError: none came within `timeout` seconds.
            FlowStoppedError: the runtime is closed, and there is none left.
        """
        self._start_if_open()
        found = self._parts.reading.next_result(timeout, until_idle=False)
        if found is None:
            raise FlowTimeoutError(f'runtime "{self.name}": no result came within {timeout} s.')
        return found

    def results(self, timeout: float | None = None) -> Iterator[Message[Data]]:
        """Iterate over the results of all runs, taking them, until nothing is left to do; failures are raised.

        Args:
            timeout: seconds for each result; `FlowTimeoutError` past it.
        """
        self._start_if_open()
        while (found := self._parts.reading.next_result(timeout, until_idle=True)) is not None:
            yield found

    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until every run is done. `FlowTimeoutError` past `timeout` seconds; failures stay where they are."""
        self._start_if_open()
        self._parts.reading.wait_idle(timeout)

    def _start_if_open(self) -> None:
        if not (self._life.closing or self._life.stopped or self._owner.inside()):
            self._build()
            self._owner.start()

    # -- subscribers

    def on_result(self, handler: Callable[[Message], None]) -> Callable[[], None]:
        """Have every result handed to `handler` instead of being kept; those that wait already come first.

        Runs on: the engine's thread. What it raises is reported to `on_exception`, else by `close()`; the flow goes on.
        Returns: a function that removes it.
        """
        return self._parts.subscribers.subscribe_to_results(handler)

    def on_message(self, handler: Callable[[Message], None]) -> Callable[[], None]:
        """Have every message shown to `handler` as it is about to enter an in-port, or to leave as a result.

        Runs on: the engine's thread, before the message is worked on. What it raises is contained, as for `on_result`.
        Returns: a function that removes it.
        """
        check_handler("on_message", handler)
        taps = self._owner.engine.taps
        return self._parts.subscribers.subscribe(lambda: taps.add(handler), lambda: taps.remove(handler))

    def on_exception(self, handler: Callable[[Any], None]) -> Callable[[], None]:
        """Have errors that no causality took handed to `handler`; the run they belong to then does not fail.

        Runs on: the engine's thread. What it raises itself is raised by `close()`.
        Returns: a function that removes it.
        """
        check_handler("on_exception", handler)
        handlers = self._owner.engine.failures.subscribers
        return self._parts.subscribers.subscribe(
            lambda: handlers.append(handler), lambda: users.discard(handlers, handler)
        )

    def throttle(self, seconds: float) -> None:
        """Slow motion: wait so long before each message; 0 ends it."""
        seconds = check_seconds("throttle", "seconds", seconds, zero=True)
        self._owner.inbox.post(self._set_delay, seconds)

    def _set_delay(self, seconds: float) -> None:
        self._owner.engine.traffic.delay = seconds
        self._owner.engine.not_before = None

    # -- looking at it

    def check(self, *, ignore: Iterable[str] = ()) -> list[Finding]:
        """Return what is wrong with the flow, or looks like it, by place; see `flowrt.flow.checks.check`."""
        return self._building.check(ignore)

    def meters(self) -> list[MeterRow]:
        """Say how busy each operation was so far, in the order in which they were first needed."""
        return [row_of(place) for place in self._owner.engine.routes.all_places()]

    def explain(self) -> Explanation:
        """Say what every operation is doing, who waits for whom, and what limits the flow; `str()` of it is the text.

        Any thread, also from inside. The engine takes the picture between two of its calls; if it does not come to that within a second,
        the picture says whose call it is in and since when, and what could be read meanwhile.
        """
        return explain(self._owner)

    # -- the end

    def close(self, drain: float = DRAIN, deadline: float = DEADLINE) -> CloseReport:
        """Stop the sources, let what is live drain, end all threads; any thread, any number of times.

        From inside an operation or a handler it marks and returns at once.

        Args:
            drain: seconds without any call returning, after which the rest is given up: its messages are discarded, threads that do
                not return are abandoned and named.
            deadline: seconds after which the rest is given up in any case; `math.inf`: never.

        Raises:
            OperationError: a failure that nobody saw; several as an `ExceptionGroup`.
        """
        report = self._close(drain, deadline)
        self._parts.closer.raise_unseen(None)
        return report

    def _close(self, drain: float, deadline: float, left_by: BaseException | None = None) -> CloseReport:
        drain = check_seconds("close", "drain", drain, zero=True, endless=True)
        deadline = check_seconds("close", "deadline", deadline, zero=True, endless=True)
        if self._owner.inside():
            self._parts.closer.begin()
            return CloseReport(pending=True)
        return self._parts.closer.close(drain, deadline, left_by)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, body: BaseException | None, trace: TracebackType | None
    ) -> None:
        report = self._close(DRAIN, DEADLINE, body)
        left = () if report.clean else (FlowStoppedError(f'runtime "{self.name}": {report}.', report),)
        self._parts.closer.raise_unseen(body, *left)
