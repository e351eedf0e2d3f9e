"""`flowrt run`: a flow with its operations and inputs, from its start to its end, and what the process then says of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrt.cli.exits import FAULTY, STOPPED_BY
from flowrt.cli.inputs import InputError
from flowrt.cli.output import UnreadError
from flowrt.cli.signals import Signals, StoppedError
from flowrt.errors import FlowBuildError, FlowError, FlowStoppedError, FlowTimeoutError, counted
from flowrt.flow.definition import Definition, define_flow
from flowrt.flow.flow import Flow
from flowrt.flow.sites import FlowSite
from flowrt.messages import UNCONNECTED, Message
from flowrt.ports import did_you_mean
from flowrt.runtime.closing import DEADLINE, DRAIN
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.runtime.wiring import inner_parts

if TYPE_CHECKING:
    from flowrt.cli.inputs import InputOption
    from flowrt.cli.output import Output
    from flowrt.engine.schedules import ScheduleName


KILLED_WITHIN = 0.0  # seconds that live messages get after a second signal, and past --timeout


class RunCommand:
    """One flow that runs.

    Called on: the main thread, but for the handlers, which the engine's thread calls: results are written there, so that a reader who
    is slower than the flow slows it down.
    """

    def __init__(
        self, flow: Flow, output: Output, timeout: float | None, schedule: ScheduleName, **options: Any
    ) -> None:
        """Make it; `options`: further ones of its `FlowRuntime`."""
        self._output = output
        self._timeout = timeout
        self._schedule = schedule
        self._unread = 0  # the exit code, once the standard output leads nowhere any more
        self._runtime = FlowRuntime(flow, schedule=schedule, **options)
        self._definition = define_flow(flow, [])
        self._named = len(_result_ports(self._definition)) > 1
        self._signals = Signals(inner_parts(self._runtime).closer.begin)
        self._end: float | None = None
        self._runs: list[Run] = []

    def run(self, inputs: Sequence[InputOption]) -> int:
        """Run it to its end; return the exit code.

        Raises:
            FlowBuildError: the flow is faulty; nothing was run.
            InputError: an input cannot be used.
        """
        if self._timeout is not None:
            self._end = time.monotonic() + self._timeout
        self._check(inputs)
        with self._signals:
            try:
                return self._run(inputs)
            except KeyboardInterrupt:  # the second signal
                return self._close(KILLED_WITHIN)

    def _check(self, inputs: Sequence[InputOption]) -> None:
        """Refuse inputs that would lead nowhere, and files that are not there: whoever types a name can mistype it."""
        places = FlowSite(self._definition)
        for each in inputs:
            flow, source = places.source(each.port)
            if not flow.leads_on(source):
                known = self._definition.input_ports()
                hint = did_you_mean(each.port.fullname, known) or " It has no ports of its own."
                raise InputError(f'no stream of the flow starts at "{each.port}".{hint}')
            each.check_file()

    def _run(self, inputs: Sequence[InputOption]) -> int:
        runtime = self._runtime
        runtime.on_result(self._show)
        runtime.on_exception(self._output.failure)
        drain = DRAIN
        try:
            runtime.start()
        except FlowBuildError:
            runtime.close()
            raise
        is_active = inner_parts(runtime).activations.any
        if not inputs and not is_active:
            runtime.close()
            known = ", ".join(sorted(self._definition.input_ports())) or "none"
            raise InputError(
                f"nothing would happen: there is no --input and no active operation. The flow's ports are: {known}."
            )
        try:
            self._feed(inputs)
            with self._signals.waiting():
                if is_active:
                    self._wait_for_the_end()
                else:
                    runtime.wait_idle(self._remaining())
        except (StoppedError, FlowStoppedError):
            pass  # what is live drains
        except FlowTimeoutError:
            self._output.error(f"not done within {self._timeout:g} s; what was under way is given up")
            self._output.failures += 1
            drain = KILLED_WITHIN
        except (FlowError, InputError, SystemExit) as error:
            self._output.failure(error)
        return self._close(drain)

    def _feed(self, inputs: Sequence[InputOption]) -> None:
        runtime = self._runtime
        for each in inputs:
            remaining = self._remaining()
            if each.file:
                lines = each.lines(self._signals.waiting, self._signals.until_readable)
                run = runtime.process_many(each.port, lines, timeout=remaining)
            elif self._schedule == "sync":  # it works the run off before it returns
                run = runtime.process(each.port, each.data, deadline=remaining)
            else:
                run = runtime.process(each.port, each.data, timeout=remaining)
            self._runs.append(run)

    def _tell_unconnected(self) -> None:
        """Say what came to its end because no stream takes it: nothing else shows it."""
        ended = Counter[str]()
        for run in self._runs:
            ended.update({row.place: row.count for row in run.ledger.places if row.what == UNCONNECTED})
        for place, messages in ended.items():
            self._output.note(
                f'{counted(messages, "message")} of "{place}" ended there: no stream takes them'
            )
        if not _result_ports(self._definition) and self._runs:
            self._output.note(
                "the flow has no result port, so nothing is printed; a stream to .out shows what comes"
            )

    def _wait_for_the_end(self) -> None:
        """Active operations may emit at any time: wait for a signal, or for the time to be over, which is no failure then."""
        inner_parts(self._runtime).owner.wait_until(lambda: False, self._remaining(), helps=True)
        inner_parts(self._runtime).life.raise_fatal()

    def _remaining(self) -> float | None:
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def _show(self, message: Message) -> None:
        if self._unread:
            return
        try:
            self._output.write_result(
                message.port.fullname, message.data, message.correlation_id, named=self._named
            )
        except UnreadError as error:
            self._unread = error.code
            inner_parts(self._runtime).closer.begin()

    def _close(self, drain: float) -> int:
        report: Any = None
        try:
            try:
                report = self._runtime.close(drain, DEADLINE if drain else KILLED_WITHIN)
            except KeyboardInterrupt:  # the second signal, while it was draining
                report = self._runtime.close(KILLED_WITHIN, KILLED_WITHIN)
        except (Exception, BaseExceptionGroup) as error:
            self._output.failure(error)
        self._output.close()
        if not self._unread:
            self._tell_unconnected()
        if report is not None and not report.clean and not self._unread:
            self._output.error(str(report))
            self._output.failures += 1
        if self._signals.number:
            return STOPPED_BY + self._signals.number
        if self._unread:
            return self._unread
        return FAULTY if self._output.failures else 0


def _result_ports(root: Definition) -> set[str]:
    """Return the ports of a flow that results leave by: its own, and those its inner flows name from the root."""
    return {
        stream.target.key[3]
        for definition in root.all_flows()
        for stream in definition.streams()
        if not stream.target.operation
        and (stream.target.path == "/" or (definition is root and not stream.target.path))
    }
