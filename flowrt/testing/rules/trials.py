"""A trial: one runtime at a little flow, under watch. What the rule kit sees by.

factory ──► Seams ──► Trial ──► FlowRuntime ──► executors under check
                        ▲                           │ posts, reports, crashes, threads
                        └───────────────────────────┘
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, frozen

from flowrt.engine.contract import Executors, PullTask, Reports, Task
from flowrt.errors import FlowError, FlowStalledError, FlowTimeoutError
from flowrt.executors.threads import thread_pools
from flowrt.flow.container import FlowOperationContainer
from flowrt.runtime.closing import CloseReport
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.comparing import same
from flowrt.testing.inside import break_off, fatal_of, is_engine
from flowrt.testing.ledgers import balances
from flowrt.testing.rules.calls import Calls, Gate
from flowrt.testing.rules.rules import RuleViolation

if TYPE_CHECKING:
    from types import TracebackType

    from flowrt.executors.seams import Seams
    from flowrt.messages import Message
    from flowrt.runtime.run import Run


_Post = Callable[..., None]
_Crash = Callable[[BaseException], None]

GLANCE = 0.02  # seconds to look for what must not happen: time enough for an idle thread to do it
USUAL_PATIENCE = 5.0  # seconds for what must happen
CLOSING = 2.0  # seconds, in addition: what close() itself gives threads that are late
HELPER = "rule kit"  # the name of the kit's own threads

WORKERS = 3
KEYS = 3
TRIED_MODES = ("async", "parallel", "ordered", "keyed")  # what scenarios call them
THROUGH_WORK = ".in -> work -> .out"

ESCAPED = "Catch BaseException around everything a thread does; a worker brings it back as an outcome."


def key_of(number: int) -> int:
    """Return the key of a number in keyed flows."""
    return number % KEYS


def in_mode(mode: str, operations: FlowOperationContainer) -> FlowOperationContainer:
    """Have the operation that was added last run in one of `TRIED_MODES`."""
    if mode == "async":
        return operations.make_async()
    key = key_of if mode == "keyed" else None
    return operations.make_parallel(WORKERS, ordered=mode == "ordered", by_key=key)


def calls_in(mode: str) -> Calls:
    """Watch the calls of an operation in one of `TRIED_MODES`."""
    if mode == "keyed":
        return Calls(key=key_of)
    return Calls(1 if mode == "async" else WORKERS)


def results_of(run: Run) -> list[Message]:
    """Return the results of a run up to its failure, if it has one."""
    results = []
    try:
        for message in run.results():
            results.append(message)  # noqa: PERF402 - what comes before the failure is kept
    except FlowError:
        pass
    return results


class _Reports:
    """Hears what an executor reports, and passes it on."""

    def __init__(self, reports: Reports, trial: Trial) -> None:
        self._reports = reports
        self._trial = trial
        self.collect = reports.collect
        self.pass_on = reports.pass_on
        self.give_back = reports.give_back
        self.handed = reports.handed

    def report(self, task: Task, *, final: bool = True) -> None:
        if final:
            self._trial.hear(task)
        self._reports.report(task, final=final)

    def report_pull(self, pull: PullTask, *, final: bool = True) -> None:
        if final:
            self._trial.hear(pull)
        self._reports.report_pull(pull, final=final)


class Trial:
    """One runtime under watch: what is posted and reported, what escapes from threads, which of them stay.

    A context manager; leaving it closes the runtime, whatever state that is in.

    Called on: the thread of the kit; `hear` on the engine's, what it gives the executors on any.
    """

    def __init__(self, seams: Seams, patience: float) -> None:
        self.patience = patience
        self.simulation: Any = seams.simulation
        self.closed: bool = False  # set by `close`: nothing may come any more
        self._make = seams.executors or thread_pools
        self._seams = evolve(seams, executors=self._executors)
        self._runtime: FlowRuntime | None = None
        self._gates: list[Gate] = []
        self._heard: dict[int, Task | PullTask] = {}
        self._noted: list[RuleViolation] = []
        self._before = set(threading.enumerate())
        self._hook = threading.excepthook

    # -- what is watched

    def _executors(
        self, name: str, seams: Seams, reports: Reports, post: _Post, crash: _Crash, *, parallelism: bool
    ) -> Executors:
        def heard_post(call: Callable[..., Any], *arguments: Any) -> None:
            if self.closed:
                self.note("R6", "an outcome was posted after close().", "Post it before join() returns.")
            post(call, *arguments)

        def heard_crash(error: BaseException) -> None:
            self._note_escape(error)
            crash(error)

        spy = _Reports(reports, self)
        return self._make(name, seams, spy, heard_post, heard_crash, parallelism=parallelism)

    def hear(self, task: Task | PullTask) -> None:
        """Take note of an outcome."""
        if id(task) in self._heard:
            self.note("R2", "one outcome was reported twice.", "Report every task once.")
        if self._runtime is not None and not is_engine(self._runtime):
            seen = "an outcome was reported on another thread than the engine's."
            self.note("R3", seen, "From workers use post(reports.report, task).")
        if isinstance(task, Task) and len(task.results) > len(task.data):
            self.note("R2", "a task came back with more results than inputs.", "Report one for each.")
        self._heard[id(task)] = task

    def note(self, rule: str, seen: str, remedy: str) -> RuleViolation:
        """Keep a violation until somebody looks; any thread."""
        violation = RuleViolation(rule, seen, remedy)
        self._noted.append(violation)
        return violation

    def _note_escape(self, error: BaseException) -> None:
        if isinstance(error.__cause__, RuleViolation):
            return  # known, and by a better name
        seen = f"{type(error).__qualname__} was raised in a thread that began meanwhile."
        self.note("R12", seen, ESCAPED).__cause__ = error

    def _escaped(self, escape: threading.ExceptHookArgs) -> None:
        if escape.thread in self._before:
            self._hook(escape)
        else:
            self._note_escape(escape.exc_value or escape.exc_type())

    def check(self, *calls: Calls) -> None:
        """Raise what was noted: what escaped first, for much may follow from that."""
        noted = sorted(self._noted, key=lambda violation: violation.rule != "R12")
        if noted:
            raise noted[0]
        for each in calls:
            each.check()

    def forget(self) -> None:
        """Hold no outcome any more."""
        self._heard.clear()
        self._noted.clear()

    # -- the runtime

    def gate(self) -> Gate:
        """Make a gate that is open at the latest when the trial is over."""
        gate = Gate(self.patience)
        self._gates.append(gate)
        return gate

    @property
    def runtime(self) -> FlowRuntime:
        """The runtime of this trial."""
        assert self._runtime is not None  # it is asked for when a flow runs
        return self._runtime

    def run_flow(self, operations: FlowOperationContainer, *chains: str, **options: Any) -> FlowRuntime:
        """Make the runtime, for a flow given as `port -> operation -> port` chains."""
        runtime = self._runtime = FlowRuntime(seams=self._seams, **options)
        for chain in chains:
            ports = [port.strip() for port in chain.split("->")]
            for source, target in pairwise(ports):
                runtime.add_stream(source, target)
        return runtime.add_operations(operations)

    def run_work(self, mode: str, function: Callable[[Any], Any], **options: Any) -> FlowRuntime:
        """Make the runtime for one function, called in a mode, from `.in` to `.out`; beside it `.quick` leads to one that needs no worker."""
        operations = in_mode(mode, FlowOperationContainer().add_func("work", function))
        chains = (THROUGH_WORK, ".quick -> quick -> .out")
        return self.run_flow(operations.add_func("quick", same), *chains, **options)

    def done(self, run: Run, rule: str, seen: str, remedy: str, *calls: Calls) -> None:
        """Wait until a run is done, failed or not; `rule` is broken if that does not come."""
        try:
            run.wait(self.patience)
        except FlowTimeoutError as error:
            self.check(*calls)
            raise RuleViolation(rule, seen, remedy) from error
        except (FlowError, SystemExit, KeyboardInterrupt):
            pass  # of interest to whoever made it fail; looked at in `run.failures`
        self.check(*calls)
        fatal = fatal_of(run)
        if isinstance(fatal, FlowError):
            stopped = f"the engine was stopped by {type(fatal).__qualname__}."
            raise RuleViolation("R5", stopped, remedy) from fatal
        for failure in run.failures:
            if isinstance(failure, FlowStalledError):
                raise RuleViolation(rule, seen, remedy) from failure

    def check_books(self, run: Run, remedy: str) -> None:
        """See the ledger of a run that is done balance."""
        ledger = run.ledger
        if not balances(ledger):
            seen = f"the ledger of a run that is done does not balance:\n{ledger}"
            raise RuleViolation("R5", seen, remedy)

    def came(self, event: threading.Event, rule: str, seen: str, remedy: str, *calls: Calls) -> None:
        """Wait for an event; `rule` is broken if it does not come."""
        if not event.wait(self.patience):
            self.check(*calls)
            raise RuleViolation(rule, seen, remedy)

    def close(self, rule: str = "R16", *, grace: float | None = None, **limits: float) -> CloseReport:
        """Close the runtime; `rule` is broken if that takes longer than there is patience. Failures are left aside."""
        runtime = self.runtime
        reports: list[CloseReport] = []

        def close() -> None:
            try:
                reports.append(runtime.close(**limits))
            except BaseException:  # failures nobody saw: they are told once
                reports.append(runtime.close())

        remedy = "stop() and join(seconds) must not wait for work."
        late = RuleViolation(rule, "close() did not come back.", remedy)
        in_time(self.patience + (CLOSING if grace is None else grace), late, close)
        self.check()
        return reports[0]

    def nothing_more(self, report: CloseReport) -> None:
        """After close(): see the threads off, and what they still do."""
        self.closed = not report.abandoned  # such a thread may still report, to nobody
        for thread in self._left(report):
            thread.join(self.patience)
        left = sorted({thread.name for thread in self._left(report) if thread.is_alive()})
        if left:
            seen = f"after close() there was still {', '.join(map(repr, left))}, not named in its report."
            remedy = "join(seconds) waits for every thread, and returns the names of those that did not end."
            raise RuleViolation("R7", seen, remedy)
        self.check()

    def _left(self, report: CloseReport) -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._before
            and thread.name != HELPER
            and not any(f'"{thread.name}"' in named for named in report.abandoned)
        ]

    def __enter__(self) -> Self:
        threading.excepthook = self._escaped
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self.give_up()
            elif self._runtime is not None:
                self._open_gates()
                self.close(grace=0.0, drain=self.patience)
        finally:
            if self._runtime is not None:
                break_off(self._runtime)
            threading.excepthook = self._hook
        if isinstance(error, FlowError):  # it may well follow from something else
            self.check()

    def give_up(self) -> None:
        """End the runtime as far as it lets itself be ended."""
        self._open_gates()
        if self._runtime is not None:
            with suppress(BaseException):  # it broke a rule already
                self.close(drain=0.0, deadline=0.0)
            break_off(self._runtime)  # a simulation may be going round and round

    def _open_gates(self) -> None:
        for gate in self._gates:
            gate.open()


class Trials:
    """Makes one trial after the other of what a factory makes, and knows what can be tried with it.

    Args:
        factory: makes the seams of a runtime.
        patience: seconds for each wait for what must happen.
    """

    def __init__(self, factory: Callable[[], Seams], patience: float) -> None:
        self.seams = factory
        self.patience = patience
        self.can_block = True  # a call may wait for something: it runs on another thread than the engine
        self.began: float = time.monotonic()  # the last trial
        self._last: Trial | None = None

    def new(self, seams: Seams | None = None) -> Trial:
        self.began = time.monotonic()
        self._last = Trial(seams or self.seams(), self.patience)
        return self._last

    def give_up(self) -> None:
        """End the trial that did not come to an end."""
        if self._last is not None:
            self._last.give_up()


@frozen
class Scenario:
    """What is tried, and the rules it is there for; `hung`: the one that is broken if it never comes back."""

    attempt: Callable[[Any], None]
    rules: tuple[str, ...]
    hung: str

    def attempt_on(self, trials: Trials, leave_out: Collection[str]) -> None:
        """Try it; raise the rule that is broken, unless that one is left out."""
        what = f'"{self.attempt.__name__.replace("_", " ")}"'
        hung = RuleViolation(self.hung, f"{what} did not come back.", "Nothing but join() may wait for work.")
        try:
            seconds = 3 * trials.patience + CLOSING
            in_time(seconds, hung, partial(self.attempt, trials), since=lambda: trials.began)
        except RuleViolation as violation:
            if violation is hung:
                trials.give_up()
            if violation.rule not in leave_out:
                raise
        except FlowError as error:
            if self.hung not in leave_out:
                ended = f"{what} was ended by {type(error).__qualname__}."
                raise RuleViolation(self.hung, ended, f"It says: {error}") from error


def in_time(
    seconds: float, otherwise: RuleViolation, *works: Callable[[], Any], since: Callable[[], float] = float
) -> None:
    """Do something, each on a thread of its own; raise what it raises, or `otherwise` when it does not come back.

    `seconds` count from the start, or from `since()` where that is later.
    """
    raised: list[BaseException] = []

    def do(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=do, args=(work,), name=HELPER, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    for thread in threads:
        while thread.is_alive() and (left := max(started, since()) + seconds - time.monotonic()) > 0:
            thread.join(left)
    if raised:
        raise raised[0]
    if any(thread.is_alive() for thread in threads):
        raise otherwise
