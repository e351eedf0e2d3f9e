"""`check_executor`: an executor at small flows, rule by rule.

One piece, though it is long: nineteen scenarios, each to be read alone, in the order of `SCENARIOS` at the end; what they share comes first.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from flowrt.errors import FlowBuildError, FlowError, FlowStoppedError, FlowTimeoutError, OperationError
from flowrt.flow.container import FlowOperationContainer
from flowrt.messages import Message
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.comparing import same
from flowrt.testing.inside import is_engine
from flowrt.testing.rules.calls import TAKE_ONCE, Calls
from flowrt.testing.rules.rules import RuleViolation, check_factory, checked_numbers
from flowrt.testing.rules.trials import (
    GLANCE,
    HELPER,
    KEYS,
    THROUGH_WORK,
    TRIED_MODES,
    USUAL_PATIENCE,
    WORKERS,
    Scenario,
    Trials,
    calls_in,
    in_mode,
    in_time,
    key_of,
    results_of,
)

if TYPE_CHECKING:
    from flowrt.executors.seams import Seams
    from flowrt.testing.rules.trials import Trial


MESSAGES = 40  # arbitrary: several groups for each of a few workers
ROUNDS = 200  # deep enough for a stack to show, and to overflow if it takes five frames a round
FRAMES = 30  # by how much the stack may differ between two calls: a continuation, an emitter, a generator
NO_NUMBERS: tuple[Any, ...] = (0, -1, True, 1.5, "4", None)

REPORT_ALL = "Perform every message that was submitted, and report every group that was performed."
WAKE_ALL = "Wake a worker for each piece of work, as long as there are workers."
LEAVE_FAILURE = "Leave what was raised in its place among the results, as a Failure."
KEEP_ORDER = (
    "Take work in the order in which it was submitted, and report it in the order in which it was taken."
)
STOP = (
    "When stop() was called, or waiting.ended is set, start nothing any more; join() waits for the workers."
)


def _done(trial: Trial, run: Run, *calls: Calls) -> None:
    seen = "a run did not end: a message was not performed, or what became of it not reported."
    trial.done(run, "R5", seen, REPORT_ALL, *calls)


def _as_many_as_asked(trial: Trial, calls: Calls) -> None:
    """Wait until there are as many calls at once as there may be."""
    seen = f"a parallel({calls.at_once}) operation, with more than that waiting, made {calls.most} calls at a time."
    trial.came(calls.full, "R1", seen, WAKE_ALL, calls)


def _needs_no_worker(trial: Trial, seen: str, remedy: str, *calls: Calls) -> None:
    """See a sync operation do its work, whatever the workers are at."""
    trial.done(trial.runtime.process(".quick"), "R15", seen, remedy, *calls)


def _same_items(found: list[int], expected: list[int], what: str) -> None:
    more, less = Counter(found) - Counter(expected), Counter(expected) - Counter(found)
    if more:
        seen = f"{more.total()} results of {what} came more often than they should."
        raise RuleViolation("R2", seen, "Report a group once.")
    if less:
        seen = f"{less.total()} of {len(expected)} results of {what} never came."
        raise RuleViolation("R5", seen, REPORT_ALL)


def rest(data: Any) -> Any:
    """Take long enough to be handed over alone."""
    time.sleep(0.001)
    return data


# -- the scenarios


def stays_free(trials: Trials) -> None:
    """R15: while all workers are busy, the engine does what needs none."""
    if not trials.can_block:
        return
    for mode in ("async", "parallel"):
        calls = calls_in(mode)
        with trials.new() as trial:
            gate = trial.gate()
            runtime = trial.run_work(mode, calls.of(gate))
            runs = [runtime.process(".in", number) for number in range(2 * WORKERS)]
            trial.came(calls.entered, "R5", "a message was never performed.", REPORT_ALL, calls)
            _as_many_as_asked(trial, calls)
            seen = f"while every worker of a {mode} operation was busy, a sync operation got no turn."
            remedy = "submit() puts the work into a backlog and returns; workers take it from there."
            _needs_no_worker(trial, seen, remedy, calls)
            gate.open()
            for run in runs:
                _done(trial, run, calls)


def one_at_a_time(trials: Trials) -> None:
    """R3: calls of an async operation do not overlap."""
    _do_not_overlap(trials, "async", list(range(3)))


def one_of_a_key_at_a_time(trials: Trials) -> None:
    """R3: calls of one key do not overlap."""
    _do_not_overlap(trials, "keyed", [0, KEYS, 2 * KEYS, 1])


def _do_not_overlap(trials: Trials, mode: str, numbers: list[int]) -> None:
    calls = calls_in(mode)

    def wait_for_another(number: int) -> int:
        if trials.can_block:
            calls.crowded.wait(GLANCE)
        return number

    with trials.new() as trial:
        _done(trial, trial.run_work(mode, calls.of(wait_for_another)).process_many(".in", numbers), calls)
        if mode == "async":
            _check_trace(trial, 1)


def calls_as_many_as_asked(trials: Trials) -> None:
    """R1: parallel(n) makes n calls at a time, and `capacity` messages are the most that are let in."""
    calls = calls_in("parallel")

    def gather_round(number: int) -> int:
        if trials.can_block and calls.full.wait(trials.patience):
            calls.crowded.wait(GLANCE)
        return number

    with trials.new() as trial:
        run = trial.run_work("parallel", calls.of(gather_round)).process_many(".in", range(2 * WORKERS + 1))
        if trials.can_block:
            _as_many_as_asked(trial, calls)
        _done(trial, run, calls)
        _check_trace(trial, WORKERS)
    if trials.can_block:
        _lets_in_no_more_than_capacity(trials)


def _lets_in_no_more_than_capacity(trials: Trials) -> None:
    with trials.new() as trial:
        gate = trial.gate()
        runtime = trial.run_work("async", gate, capacity=2)
        runs = [runtime.process(".in", number) for number in range(2)]
        try:
            runtime.process(".in", 2, timeout=GLANCE)
        except FlowTimeoutError:
            pass
        else:
            remedy = "Report a message when it is done, not before."
            raise RuleViolation("R1", "capacity=2 let a third message in.", remedy)
        gate.open()
        for run in runs:
            _done(trial, run)


def _check_trace(trial: Trial, at_once: int) -> None:
    """In a simulation calls overlap when one starts before another has finished."""
    busy = most = 0
    for step in getattr(trial.simulation, "trace", ()):
        what, _, which = step.partition(" ")
        if which.startswith("work#"):
            busy += {"start": 1, "finish": -1, "fail": -1}.get(what, 0)
            most = max(most, busy)
    if most > at_once:
        seen = f"{most} calls of an operation that may have {at_once} at a time were under way at once."
        remedy = "Start a call only when fewer than that are under way."
        raise RuleViolation("R3" if at_once == 1 else "R1", seen, remedy)


def performs_all_once_and_in_order(trials: Trials) -> None:
    """R2, R5, R10: every message once, in the order the mode promises, the same to every receiver."""
    for mode in TRIED_MODES:
        calls = calls_in(mode)
        with trials.new() as trial:
            runtime = trial.run_work(mode, calls.of(same)).add_stream("work", ".copy")
            run = runtime.process_many(".in", range(MESSAGES))
            _done(trial, run, calls)
            ports: dict[str, list[int]] = {"out": [], "copy": []}
            for message in run.results():
                ports[message.port.name].append(message.data)
            out = ports["out"]
            _same_items(out, list(range(MESSAGES)), f"a {mode} operation")
            trial.check_books(run, REPORT_ALL)
            if out != ports["copy"]:
                seen = f"two receivers of a {mode} operation got its results in different orders."
                raise RuleViolation("R10", seen, "Report a group once, and do not change what was reported.")
            if not _in_order(out, mode):
                seen = f"the results of a {mode} operation left in another order than its inputs came."
                raise RuleViolation("R10", seen, KEEP_ORDER)


def _in_order(numbers: list[int], mode: str) -> bool:
    if mode == "parallel":
        return True
    if mode == "keyed":
        by_key = [[number for number in numbers if key_of(number) == key] for key in range(KEYS)]
        return all(of_key == sorted(of_key) for of_key in by_key)
    return numbers == sorted(numbers)


def performs_actions_and_generators(trials: Trials) -> None:
    """R2, R5: what actions emit and generators yield arrives, once."""

    def twice(number: int, emit: Callable[[int], None]) -> None:
        emit(number)
        emit(number)

    def several(number: int) -> Iterator[int]:
        for _ in range(5):
            yield number

    for mode in ("async", "parallel"):
        with trials.new() as trial:
            operations = FlowOperationContainer()
            in_mode(mode, operations.add_action("twice", twice))
            in_mode(mode, operations.add_generator("several", several))
            run = trial.run_flow(operations, ".in -> twice -> several -> .out").process_many(".in", range(10))
            _done(trial, run)
            expected = [number for number in range(10) for _ in range(10)]
            _same_items(run.values(), expected, f"{mode} operations")
            trial.check_books(run, REPORT_ALL)


def fails_what_raises(trials: Trials) -> None:
    """R4: one failure for each call that raises, and everything else goes on."""
    inputs = range(MESSAGES)
    bad = [number for number in inputs if number % 5 == 3]

    def refuse_some(number: int, emit: Callable[[int], None]) -> None:
        emit(number)
        if number in bad:
            raise LookupError

    def refuse(number: int) -> int:
        if number in bad:
            raise LookupError
        return number

    for mode in ("async", "parallel", "ordered"):
        for operation in ("function", "action"):
            calls = calls_in(mode)
            with trials.new() as trial:
                operations = FlowOperationContainer()
                if operation == "function":
                    operations.add_func("work", calls.of(refuse))
                else:
                    operations.add_action("work", refuse_some)
                run = trial.run_flow(in_mode(mode, operations), THROUGH_WORK).process_many(".in", inputs)
                seen = "a call that raised was never reported."
                trial.done(run, "R4", seen, "Report it like any other.", calls)
                _all_failed(run, bad, mode)
                results = sorted(message.data for message in results_of(run) if message.data is not None)
                expected = list(inputs) if operation == "action" else [n for n in inputs if n not in bad]
                if results != expected:
                    seen = f"beside {len(bad)} calls that raised, {len(results)} messages left a {mode} {operation} and not {len(expected)}."
                    raise RuleViolation("R4", seen, "Leave the results and the log of a group alone.")
                trial.check_books(run, REPORT_ALL)


def _all_failed(run: Run, bad: list[int], mode: str) -> None:
    failed = Counter[Any]()
    for error in run.failures:
        told = isinstance(error, OperationError) and isinstance(error.__cause__, LookupError)
        if not told:
            seen = f"a call raised LookupError, and the run got {type(error).__qualname__} from {type(error.__cause__).__qualname__}."
            raise RuleViolation("R4", seen, LEAVE_FAILURE)
        failed[error.message.data] += 1  # type: ignore[attr-defined]
    if failed != Counter(bad):
        seen = f"{len(bad)} calls of a {mode} operation raised, and {failed.total()} failures of {len(failed)} messages were told."
        raise RuleViolation("R4", seen, LEAVE_FAILURE)


def stops_at_system_exit(trials: Trials) -> None:
    """R4: SystemExit stops the runtime and is raised to who waits."""

    def leave(_number: int) -> None:
        raise SystemExit(3)

    for mode in ("async", "parallel"):
        with trials.new() as trial:
            run = trial.run_work(mode, leave).process(".in", 1)
            came = "nothing was"
            try:
                run.wait(trial.patience)
            except SystemExit:
                trial.check()
                continue
            except FlowError as error:
                came = f"{type(error).__qualname__} was"
            trial.check()
            seen = f"a {mode} call raised SystemExit, and {came} raised to who waited."
            remedy = "Catch BaseException around each call, and leave it among the results as a Failure."
            raise RuleViolation("R4", seen, remedy)


def keeps_the_stack_flat(trials: Trials) -> None:
    """R14: neither many messages, nor a long way, nor process() inside a call makes the stack deep."""
    calls = Calls(WORKERS)
    with trials.new() as trial:
        work = FlowOperationContainer().add_func("work", calls.of(rest)).make_parallel(WORKERS, by_key=same)
        run = trial.run_flow(work, THROUGH_WORK).process_many(".in", range(ROUNDS))
        _flat(trial, run, calls, "messages of different keys")

    rounds = Calls()

    def count_down(number: int, again: Callable[[int], None], done: Callable[[int], None]) -> None:
        with rounds.call(number):
            (again if number else done)(number - 1)

    with trials.new() as trial:
        loop = FlowOperationContainer().add_action("loop", count_down).make_async()
        runtime = trial.run_flow(loop, ".in -> loop", "loop.again -> loop", "loop.done -> .out")
        _flat(trial, runtime.process(".in", ROUNDS), rounds, "rounds of a feedback loop")

    nested = Calls()
    over = threading.Event()
    with trials.new() as trial:

        def start_another(number: int) -> int:
            with nested.call(number):
                if number:
                    runtime.process(".in", number - 1)
                else:
                    over.set()
            return number

        runtime = trial.run_work("async", start_another)
        run = runtime.process(".in", ROUNDS)
        _flat(trial, run, nested, "inputs, each sent from inside the call before")
        made = -1
        while made < nested.number and not over.is_set():  # as long as it goes on, however slowly
            made = nested.number
            with contextlib.suppress(FlowTimeoutError):
                runtime.wait_idle(trial.patience)
        trial.check(nested)
        if not over.is_set():
            raise RuleViolation("R5", "an input sent from inside a call was never performed.", REPORT_ALL)
        _flat(trial, run, nested, "inputs, each sent from inside the call before")


def _flat(trial: Trial, run: Run, calls: Calls, what: str) -> None:
    _done(trial, run, calls)
    deepest = max(calls.depths) - min(calls.depths)
    if deepest > FRAMES:
        seen = f"within {calls.number} {what} the stack grew by {deepest} frames."
        remedy = "A worker loops: it returns from one piece of work before it takes the next."
        raise RuleViolation("R14", seen, remedy)


def makes_room_for_what_failed(trials: Trials) -> None:
    """R23: messages that fail make room for those that follow."""

    def refuse(_number: int) -> None:
        raise LookupError

    with trials.new() as trial:
        runtime = trial.run_work("async", refuse, capacity=2)
        remedy = "Report calls that raised like others."
        try:
            run = runtime.process_many(".in", range(20), timeout=trial.patience)
        except FlowTimeoutError as error:
            trial.check()
            seen = "behind messages that failed, input waited for room without end."
            raise RuleViolation("R23", seen, remedy) from error
        trial.done(run, "R23", "a run whose messages all failed did not end.", remedy)


def subscribers_may_act(trials: Trials) -> None:
    """R11: subscribers may call process() and close()."""
    with trials.new() as trial:
        runtime = trial.run_work("async", same)
        came: list[Any] = []

        def go_on(message: Message) -> None:
            came.append(message.data)
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
            still = "behind a subscriber that sent input, all stood still."
            raise RuleViolation("R11", still, STOP) from error
        report = trial.close("R11", drain=trial.patience)
        if not report.clean or came != [3, 2, 1, 0]:
            seen = f"of 4 results, 3 of which a subscriber had asked for, {len(came)} came: {report}."
            raise RuleViolation("R11", seen, STOP)


def subscribers_may_raise(trials: Trials) -> None:
    """R13: a subscriber that raises is contained."""
    with trials.new() as trial:
        runtime = trial.run_work("async", same)
        told: list[BaseException] = []

        def refuse(_message: Message) -> None:
            raise LookupError

        runtime.on_exception(told.append)
        runtime.on_result(refuse)
        run = runtime.process_many(".in", range(5))
        trial.done(run, "R13", "behind a subscriber that raised, the flow stood still.", "Contain it.")
        if len(told) != 5 or run.failures:
            seen = f"a subscriber raised 5 times, and on_exception was told {len(told)} times."
            raise RuleViolation("R13", seen, "Tell it.")


def holds_on_to_what_is_in_flight(trials: Trials) -> None:
    """R12: what is in flight when the runtime is closed comes out; what is cancelled leaves the others alone."""
    for mode in ("async", "parallel"):
        calls = calls_in(mode)
        with trials.new() as trial:

            def close(number: int, trial: Trial = trial) -> int:
                trial.runtime.close()  # from inside it marks and returns; this very call is in flight then
                return number

            run = trial.run_work(mode, calls.of(close)).process(".in", 1)
            report = trial.close("R12", drain=trial.patience)
            if not report.clean or not run.done or run.ledger.delivered != 1:
                seen = f"a {mode} call was in flight when the runtime was closed, and its result did not come out: {report}."
                remedy = "Post every outcome, also after stop(), before join() returns."
                raise RuleViolation("R12", seen, remedy)
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

        runtime = trial.run_work(mode, calls.of(work))
        runs = [runtime.process(".in", number) for number in range(3 * WORKERS)]
        # What came first was submitted first: some of it waits for workers when runs are cancelled.
        _needs_no_worker(trial, "a sync operation got no turn.", "Do not wait.", calls)
        for run in runs[::2]:
            run.cancel()
        _needs_no_worker(trial, "a sync operation got no turn.", "Do not wait.", calls)
        gate.open()
        for run in runs:
            seen = "beside runs that were cancelled, another did not end."
            trial.done(run, "R12", seen, "Report all.", calls)
        lost = [run for run in runs[1::2] if run.values() != [runs.index(run)]]
        if lost:
            seen = f"cancelling some runs cost {len(lost)} others their result."
            raise RuleViolation("R12", seen, "Look at each run's own.")
        if not all(run.ledger.balanced for run in runs):
            raise RuleViolation("R12", "the ledger of a cancelled run does not balance.", "Report all.")


def starts_nothing_after_the_end(trials: Trials) -> None:
    """R6, R7: once runs are given up no call starts, and once close() has returned nothing happens at all."""
    calls = Calls(WORKERS)
    given_up = threading.Event()
    late: list[int] = []
    with trials.new() as trial:
        gate = trial.gate()

        def work(number: int) -> int:
            if given_up.is_set():
                late.append(number)
            elif trials.can_block:
                gate(number)
            return number

        runtime = trial.run_work("parallel", calls.of(work))
        runs = [runtime.process(".in", number) for number in range(3 * WORKERS)]
        if trials.can_block:
            _as_many_as_asked(trial, calls)

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
        runtime = trial.run_work("async", calls.of(same))
        runs = [runtime.process(".in", number) for number in range(5)]
        reports: list[Any] = []
        closers = 3 if trial.simulation is None else 1
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
        work = FlowOperationContainer().add_func("work", same)
        attempts: list[tuple[str, Callable[[], Any]]] = [
            ("workers", partial(work.make_parallel, number)),
            ("capacity", partial(FlowRuntime, capacity=number, seams=trials.seams())),
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
            seen = f"after close() {left} of {len(held)} messages were still held by something."
            remedy = "Let go of a task when it was reported, and of what waits when stop() is called."
            raise RuleViolation("R19", seen, remedy)


def _watch_data(trial: Trial) -> list[weakref.ref[_Datum]]:
    held: list[weakref.ref[_Datum]] = []

    def make(_number: int) -> _Datum:
        datum = _Datum()
        held.append(weakref.ref(datum))
        return datum

    def refuse(_datum: _Datum) -> None:
        raise LookupError

    operations = FlowOperationContainer().add_func("make", make).make_async()
    in_mode("parallel", operations.add_func("work", same))
    in_mode("parallel", operations.add_func("refuse", refuse))
    runtime = trial.run_flow(operations, ".in -> make -> work -> .out", ".bad -> make#2 -> refuse -> .out")
    for port in (".in", ".bad"):
        run = runtime.process_many(port, range(5))
        trial.done(run, "R5", "a run did not end.", "Report everything.")
        results_of(run)
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
            seen = f"a call had not returned when the runtime was closed, and the report named {list(report.abandoned)}."
            remedy = (
                "join(seconds) returns the names of the threads that did not end, with what they are doing."
            )
            raise RuleViolation("R7", seen, remedy)


def look(trials: Trials) -> None:
    """See whether a call may wait for another: not if it is made on the engine's thread."""
    calls: list[bool] = []
    with trials.new() as trial:
        run = trial.run_work("async", lambda _data: calls.append(is_engine(trial.runtime))).process(".in")
        try:
            trial.done(run, "R5", "the one message of a run was not performed, or not reported.", REPORT_ALL)
        except RuleViolation:
            if len(calls) > 1:
                seen = "the one message of a run was performed more than once."
                raise RuleViolation("R2", seen, TAKE_ONCE) from None
            raise
        trials.can_block = not any(calls)


# In this order: what makes later ones meaningless comes first, what takes longest last.
SCENARIOS = (
    Scenario(look, ("R5",), "R5"),
    Scenario(stays_free, ("R15",), "R15"),
    Scenario(one_at_a_time, ("R3",), "R5"),
    Scenario(one_of_a_key_at_a_time, ("R3",), "R5"),
    Scenario(calls_as_many_as_asked, ("R1",), "R5"),
    Scenario(performs_all_once_and_in_order, ("R2", "R5", "R10"), "R5"),
    Scenario(performs_actions_and_generators, ("R2", "R5"), "R5"),
    Scenario(fails_what_raises, ("R4",), "R4"),
    Scenario(stops_at_system_exit, ("R4",), "R4"),
    Scenario(keeps_the_stack_flat, ("R14",), "R14"),
    Scenario(makes_room_for_what_failed, ("R23",), "R23"),
    Scenario(subscribers_may_act, ("R11",), "R11"),
    Scenario(subscribers_may_raise, ("R13",), "R13"),
    Scenario(holds_on_to_what_is_in_flight, ("R12",), "R12"),
    Scenario(starts_nothing_after_the_end, ("R6", "R7"), "R7"),
    Scenario(closes_once_for_all, ("R16", "R17"), "R16"),
    Scenario(refuses_numbers, ("R18",), "R18"),
    Scenario(forgets, ("R19",), "R19"),
    Scenario(names_what_stays, ("R7",), "R16"),
)


def check_executor(
    factory: Callable[[], Seams], *, patience: float = USUAL_PATIENCE, leave_out: Collection[str] = ()
) -> None:
    """Check the executors that `factory` gives a runtime against the rules, at small flows; return if none is broken.

    `RULES` says which those are, and what they say. What needs a call to wait for another is left out where calls are made on the engine's
    thread: inline, and in a simulation.

    Args:
        factory: makes fresh `Seams`: `Seams` itself for threads, `lambda: simulated(7)`, `lambda: Seams(executors=my_executors)`.
        patience: seconds to wait for what must happen; how soon an executor that hangs is found.
        leave_out: numbers of rules that it may break.

    Raises:
        RuleViolation: the first rule that is broken.
        FlowBuildError: the arguments cannot be meant.

    Runs on: threads of its own, all of which end, unless what is checked keeps them. Threads that anybody starts meanwhile are taken for
    those of the executors.
    """
    check_factory("check_executor", factory, "Seams")
    left_out = checked_numbers(leave_out)
    trials = Trials(factory, patience)
    for scenario in SCENARIOS:
        scenario.attempt_on(trials, left_out)
