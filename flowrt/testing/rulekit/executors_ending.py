"""Little flows that show whether an executor ends as it must, with what is around it: for `check_executor`."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

from flowrt.container import FlowOperationContainer
from flowrt.errors import FlowBuildError, FlowError, FlowStoppedError, FlowTimeoutError
from flowrt.messages import Message
from flowrt.runtime import FlowRuntime
from flowrt.testing.rulekit.calls import Calls
from flowrt.testing.rulekit.executors_at_work import MODES, WAKE_ALL, WORKERS, calls_in, few_calls, same
from flowrt.testing.rulekit.rules import RuleViolation
from flowrt.testing.rulekit.trials import HELPER, Trial, Trials, in_time

STOP = (
    "When stop() was called, or waiting.ended is set, start nothing any more; join() waits for the workers."
)
NO_NUMBERS: tuple[Any, ...] = (0, -1, True, 1.5, "4", None)


def subscribers_may_act(trials: Trials) -> None:
    """R11: subscribers may call process() and close()."""
    with trials.new() as trial:
        runtime = trial.run_flow(_work(), ".in -> work -> .out")
        seen: list[Any] = []

        def go_on(message: Message) -> None:
            seen.append(message.data)
            if message.data:
                runtime.process(".in", message.data - 1)
            else:
                runtime.close()

        runtime.on_result(go_on)
        runtime.process(".in", 3)
        try:
            runtime.wait_idle(trial.patience)
        except FlowStoppedError:
            pass  # closed before anybody waited
        except FlowTimeoutError as error:
            trial.check()
            raise RuleViolation(
                "R11", "behind a subscriber that sent input, all stood still.", STOP
            ) from error
        report = trial.close("R11", drain=trial.patience)
        if not report.clean or seen != [3, 2, 1, 0]:
            raise RuleViolation(
                "R11",
                f"of 4 results, 3 of which a subscriber had asked for, {len(seen)} came: {report}.",
                STOP,
            )


def subscribers_may_raise(trials: Trials) -> None:
    """R13: a subscriber that raises is contained."""
    with trials.new() as trial:
        runtime = trial.run_flow(_work(), ".in -> work -> .out")
        told: list[BaseException] = []

        def refuse(_message: Message) -> None:
            raise LookupError

        runtime.on_exception(told.append)
        runtime.on_result(refuse)
        run = runtime.process_many(".in", range(5))
        trial.done(run, "R13", "behind a subscriber that raised, the flow stood still.", "Contain it.")
        if len(told) != 5 or run.failures:
            raise RuleViolation(
                "R13",
                f"a subscriber raised 5 times, and on_exception was told {len(told)} times.",
                "Tell it.",
            )


def holds_on_to_what_is_in_flight(trials: Trials) -> None:
    """R12: what is in flight when the runtime is closed comes out; what is cancelled leaves the others alone."""
    for mode in ("async", "parallel"):
        calls = calls_in(mode)
        with trials.new() as trial:

            def close(number: int, trial: Trial = trial) -> int:
                trial.runtime.close()  # from inside it marks and returns; this very call is in flight then
                return number

            operations = MODES[mode](FlowOperationContainer().add_func("work", calls.of(close)))
            runtime = trial.run_flow(operations, ".in -> work -> .out")
            run = runtime.process(".in", 1)
            report = trial.close("R12", drain=trial.patience)
            if not report.clean or not run.done or run.ledger.delivered != 1:
                raise RuleViolation(
                    "R12",
                    f"a {mode} call was in flight when the runtime was closed, and its result did not come out: {report}.",
                    "Post every outcome, also after stop(), before join() returns.",
                )
            trial.nothing_more(report)
        _leaves_the_others_alone(trials, mode)


def _leaves_the_others_alone(trials: Trials, mode: str) -> None:
    calls = calls_in(mode)
    with trials.new() as trial:
        gate = trial.gate()

        def work(number: int) -> int:
            if trials.can_block and number < WORKERS:
                gate(number)
            return number

        operations = MODES[mode](FlowOperationContainer().add_func("work", calls.of(work)))
        operations.add_func("quick", same)
        runtime = trial.run_flow(operations, ".in -> work -> .out", ".quick -> quick -> .out")
        runs = [runtime.process(".in", number) for number in range(3 * WORKERS)]
        # What came first was submitted first: some of it waits for workers when runs are cancelled.
        trial.done(runtime.process(".quick"), "R15", "a sync operation got no turn.", "Do not wait.", calls)
        for run in runs[::2]:
            run.cancel()
        trial.done(runtime.process(".quick"), "R15", "a sync operation got no turn.", "Do not wait.", calls)
        gate.open()
        for run in runs:
            trial.done(
                run, "R12", "beside runs that were cancelled, another did not end.", "Report all.", calls
            )
        lost = [run for run in runs[1::2] if run.values() != [runs.index(run)]]
        if lost:
            raise RuleViolation(
                "R12",
                f"cancelling some runs cost {len(lost)} others their result.",
                "Look at each run's own.",
            )
        if not all(run.ledger.balanced for run in runs):
            raise RuleViolation("R12", "the ledger of a cancelled run does not balance.", "Report all.")


def starts_nothing_after_the_end(trials: Trials) -> None:
    """R6, R7: once runs are given up no call starts, and once close() has returned nothing happens at all."""
    calls = Calls(WORKERS)
    given_up = threading.Event()
    late: list[int] = []

    def work(number: int, _gate: Callable[[Any], Any]) -> int:
        if given_up.is_set():
            late.append(number)
        elif trials.can_block:
            _gate(number)
        return number

    with trials.new() as trial:
        gate = trial.gate()
        watched = calls.of(lambda number: work(number, gate))
        operations = MODES["parallel"](FlowOperationContainer().add_func("work", watched))
        runtime = trial.run_flow(operations, ".in -> work -> .out")
        runs = [runtime.process(".in", number) for number in range(3 * WORKERS)]
        if trials.can_block:
            trial.came(calls.full, "R1", few_calls(calls), WAKE_ALL, calls)

        def let_go() -> None:
            try:
                runs[-1].wait(trial.patience)
            except FlowError:
                given_up.set()
            gate.open()

        helper = threading.Thread(target=let_go, name=HELPER, daemon=True)
        if trials.can_block:
            helper.start()
        report = trial.close("R7", drain=0.0, deadline=0.0)
        given_up.set()
        if trials.can_block:
            helper.join(trial.patience)
        trial.nothing_more(report)
        if late:
            raise RuleViolation("R7", f"{len(late)} calls started after their runs had been given up.", STOP)
        calls.check()


def closes_once_for_all(trials: Trials) -> None:
    """R16, R17: closing again, also at once from many threads, changes nothing; what comes then is refused."""
    calls = Calls()
    with trials.new() as trial:
        runtime = trial.run_flow(_work(calls), ".in -> work -> .out")
        runs = [runtime.process(".in", number) for number in range(5)]
        reports: list[Any] = []
        closers = 1 if trial.simulated else 3
        in_time(
            trial.patience,
            RuleViolation("R16", f"of {closers} threads that closed at once, one did not come back.", STOP),
            *[lambda: reports.append(runtime.close())] * closers,
        )
        reports.append(trial.close())
        if any(report is not reports[0] for report in reports):
            raise RuleViolation("R16", "closing twice gave two different reports.", STOP)
        trial.nothing_more(reports[0])
        if not all(run.done for run in runs):
            raise RuleViolation("R5", "close() came back before a run was done.", STOP)
        made = calls.number
        try:
            runtime.process(".in", 9, timeout=trial.patience)
        except FlowStoppedError:
            pass
        else:
            raise RuleViolation("R17", "process() after close() was not refused.", "Raise FlowStoppedError.")
        if calls.number != made:
            raise RuleViolation("R17", "what was sent after close() was performed.", STOP)


def refuses_numbers(trials: Trials) -> None:
    """R18: numbers that cannot be meant are refused, by name."""
    for number in NO_NUMBERS:
        attempts: list[tuple[str, Callable[[], Any]]] = [
            ("workers", lambda number=number: _work().make_parallel(number)),  # type: ignore[misc]
            ("capacity", lambda number=number: FlowRuntime(capacity=number, seams=trials.seams())),  # type: ignore[misc]
        ]
        for name, attempt in attempts:
            try:
                attempt()
            except FlowBuildError as error:
                if name in str(error):
                    continue
                seen = f"{name}={number!r} was refused with a text that does not name it: {error}"
            else:
                seen = f"{name}={number!r} was taken."
            raise RuleViolation("R18", seen, f"Refuse it with a FlowBuildError that names {name}.")


class _Datum:
    """Something that shows whether anybody holds it."""

    __slots__ = ("__weakref__",)


def forgets(trials: Trials) -> None:
    """R19: after close() nothing holds a message, while the runtime itself is still there."""
    with trials.new() as trial:
        held = _watch_data(trial)
        trial.forget()
        gc.collect()
        left = sum(datum() is not None for datum in held)
        if left:
            raise RuleViolation(
                "R19",
                f"after close() {left} of {len(held)} messages were still held by something.",
                "Let go of a task when it was reported, and of what waits when stop() is called.",
            )


def _watch_data(trial: Trial) -> list[weakref.ref[_Datum]]:
    held: list[weakref.ref[_Datum]] = []

    def make(_number: int) -> _Datum:
        datum = _Datum()
        held.append(weakref.ref(datum))
        return datum

    def refuse(_datum: _Datum) -> None:
        raise LookupError

    operations = FlowOperationContainer().add_func("make", make).make_async()
    for name in ("work", "refuse"):
        operations.add_func(name, same if name == "work" else refuse).make_parallel(WORKERS)
    runtime = trial.run_flow(operations, ".in -> make -> work -> .out", ".bad -> make#2 -> refuse -> .out")
    for port in (".in", ".bad"):
        run = runtime.process_many(port, range(5))
        trial.done(run, "R5", "a run did not end.", "Report everything.")
        try:
            run.values()
        except FlowError:
            pass
    trial.close()
    return held


def names_what_stays(trials: Trials) -> None:
    """R7: a call that does not come back is named by close()."""
    if not trials.can_block:
        return
    calls = Calls()
    with trials.new() as trial:
        gate = trial.gate()
        operations = FlowOperationContainer().add_func("stuck", calls.of(gate)).make_async()
        runtime = trial.run_flow(operations, ".in -> stuck -> .out")
        runtime.process(".in", 1)
        trial.came(calls.entered, "R5", "a message was never performed.", "Perform it.", calls)
        report = trial.close("R16", drain=0.0, deadline=0.0)
        if not any("stuck" in name for name in report.abandoned):
            raise RuleViolation(
                "R7",
                f"a call had not returned when the runtime was closed, and the report named {list(report.abandoned)}.",
                "join(seconds) returns the names of the threads that did not end, with what they are doing.",
            )


def _work(calls: Calls | None = None) -> FlowOperationContainer:
    return FlowOperationContainer().add_func("work", (calls or Calls()).of(same)).make_async()
