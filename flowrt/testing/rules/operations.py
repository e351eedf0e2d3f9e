"""`check_operation`: one operation in real runtimes, rule by rule."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.errors import ContractError, FlowBuildError
from flowrt.executors.seams import Seams
from flowrt.flow.container import FlowOperationContainer
from flowrt.messages import Message
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.comparing import same_contents, same_data
from flowrt.testing.drive import send
from flowrt.testing.inside import capture_outputs, fatal_of
from flowrt.testing.rules.rules import RuleViolation, check_factory, checked_numbers
from flowrt.testing.rules.subjects import STATE, Loans, Subject, copied, watchable
from flowrt.testing.rules.trials import USUAL_PATIENCE, Scenario, Trials, in_mode, results_of
from flowrt.testing.simulation import simulated

if TYPE_CHECKING:
    from flowrt.operations.declarations import Declaration
    from flowrt.testing.rules.trials import Trial


SEEDS = range(5)  # arbitrary: orders of events that each mode is tried in
GATE = "rule kit gate"
QUICK = "rule kit quick"

END = "Return from every call, end every generator, and merge or release what was held when drained() is called."
PER_PLACE = "Keep it in what create() returns, which each place gets of its own."
REPEATABLE = "If that is chance or time, and meant so, say repeatable=False."


Outcome = tuple[list[tuple[str, Any]], int]
"""What came of one input: results as (out-port, data), and how many failures."""


class OperationTrials(Trials):
    """Trials of one operation, on threads unless a trial asks for other seams."""

    def __init__(self, subject: Subject, patience: float, *, repeatable: bool) -> None:
        super().__init__(Seams, patience)
        self.subject = subject
        self.repeatable = repeatable


def fulfils_the_contract(trials: OperationTrials) -> None:
    """R8, R9: it can be added to a flow, and is made anew each time."""
    subject = trials.subject
    try:
        declared = list(subject.container())
        runtime = FlowRuntime()
        container = subject.container()
        subject.connect(runtime, container)
        with runtime.add_operations(container):
            runtime.start()
    except FlowBuildError as error:
        raise RuleViolation("R8", str(error), "See the Operation contract.") from error
    if len(declared) != 1:
        raise RuleViolation("R8", f"the container holds {len(declared)} operations.", "Check one at a time.")
    operation = declared[0].operation
    if operation is not None and operation is subject.declaration(subject.container()).operation:
        remedy = "Make a new one in every call of it."
        raise RuleViolation("R9", "the factory gave the same operation twice.", remedy)


def works_off_what_it_gets(trials: OperationTrials) -> None:
    """R2, R4, R5, R7, R10, R12: every input comes to an end, and stays what it was."""
    with trials.new() as trial:
        loans = Loans(trial.note)
        messages = trials.subject.messages()
        before = [copied(message.data) for message in messages]
        _observe(trials, trial, trials.subject.container(loans), {"": messages})
        for number, (message, data) in enumerate(zip(messages, before, strict=True)):
            if not same_data(message.data, data):
                seen = f"input number {number} was changed by the operation."
                remedy = "Messages are shared by all who get them: make a copy, and change that."
                raise RuleViolation("R10", seen, remedy)
        trial.nothing_more(trial.close())


def keeps_state_per_place(trials: OperationTrials) -> None:
    """R9: two new ones, and two places of one, bring forth the same; one object works in one runtime."""
    subject = trials.subject
    first, second = _outcomes(trials), _outcomes(trials)
    if not trials.repeatable:
        return
    if not same_data(first, second):
        seen = "two operations, both new, brought forth different things from the same inputs."
        remedy = f"What is kept outside of them is shared by all. {PER_PLACE} {REPEATABLE}"
        raise RuleViolation("R9", seen, remedy)
    container = subject.container()
    with trials.new() as trial:
        inputs = {"1": subject.messages(), "2": subject.messages()}
        for place, outcomes in zip(inputs, _observe(trials, trial, container, inputs), strict=True):
            if not same_data(first, outcomes):
                seen = f"beside another place of the same operation, place #{place} brought forth something else than alone."
                remedy = f"What is kept in the operation itself is shared by its places. {PER_PLACE}"
                raise RuleViolation("R9", seen, remedy)
    _works_in_one_runtime(trials)


def _works_in_one_runtime(trials: OperationTrials) -> None:
    container = trials.subject.container()
    declaration = trials.subject.declaration(container)
    operation = declaration.operation
    ours = type(operation).__module__.startswith("flowrt.")
    if operation is None or declaration.factory is not None or ours:
        return
    with FlowRuntime() as one, FlowRuntime() as other:
        one.add_operations(container).start()
        try:
            other.add_operations(container).start()
        except FlowBuildError:
            return
    raise RuleViolation("R9", "two running runtimes took one object.", "Refuse it with a FlowBuildError.")


def brings_forth_the_same_everywhere(trials: OperationTrials) -> None:
    """R24: in every mode, in several orders of events, it brings forth what it does alone on the engine's thread."""
    if not trials.repeatable:
        return
    expected = _outcomes(trials)
    for mode in _modes_of(trials.subject.declaration(trials.subject.container())):
        for seed in (None, *SEEDS):
            container = trials.subject.container()
            in_mode(mode, container[trials.subject.declaration(container).name])
            with trials.new(Seams() if seed is None else simulated(seed)) as trial:
                inputs = {"": trials.subject.messages()}
                (found,) = _observe(trials, trial, container, inputs, at_once=not trials.subject.is_own)
            if not _same_in_all(expected, found):
                where = "on threads" if seed is None else f"in the simulation with seed {seed}"
                seen = f"as {mode}, {where}, the operation brought forth something else than on the engine's thread."
                raise RuleViolation("R24", seen, f"Let no call depend on what another has done. {REPEATABLE}")


def _modes_of(declaration: Declaration) -> Sequence[str]:
    if declaration.extras.on_the_engine:
        return ()
    return ("async",) if declaration.operation is not None else ("async", "parallel", "ordered")


def _same_in_all(expected: list[Outcome], found: list[Outcome]) -> bool:
    """Say whether two rows of outcomes have as many failures and the same results, whichever input they came of."""
    if sum(failures for _, failures in expected) != sum(failures for _, failures in found):
        return False
    first, second = ([each for results, _ in some for each in results] for some in (expected, found))
    return same_contents(first, second, same_data)


def forgets_what_was_cancelled(trials: OperationTrials) -> None:
    """R12: of a cancelled run it keeps nothing, while the runtime goes on."""
    if not trials.subject.is_own:
        return
    with trials.new() as trial:
        loans = Loans(trial.note)
        container = trials.subject.container(loans)
        gate = trial.gate()
        container.add_func(GATE, gate).make_async().add_func(QUICK, str)
        runtime = trial.run_flow(container, f".quick -> {QUICK}", f".last -> {GATE}")
        for start in trials.subject.connect(runtime, container):
            runtime.add_stream(start, GATE)
        runtime.on_result(lambda _message: None)
        runtime.on_exception(lambda _error: None)
        held = _cancel_some(trials, trial, loans)
        gate.open()
        for port in (".last", ".quick"):  # behind all that the gate held up, and what follows from that
            trial.done(runtime.process(port), "R12", "the runtime stood still.", END)
        trial.forget()
        gc.collect()
        left = [what for what in loans.still_there() if what != STATE]
        if left and held:  # what it remembers of messages that were over is its own business, until R19
            seen = f"of runs that were cancelled the operation still had {', '.join(left)}."
            remedy = "cancelled(state, run) drops every part whose `part.scope.run` is that run, and what belongs to it."
            raise RuleViolation("R12", seen, remedy)
        run = send(runtime, trials.subject.messages()[-1])
        trial.done(run, "R12", "after runs were cancelled, another one did not end.", END)


def _cancel_some(trials: OperationTrials, trial: Trial, loans: Loans) -> int:
    """Cancel runs under way; return how many messages were held in them."""
    runtime = trial.runtime
    messages = trials.subject.messages()
    runs = []
    for message in messages[:-1] or messages:  # the last may be what completes what is held
        _lend(loans, message)
        runs.append(send(runtime, message))
    trial.done(runtime.process(".quick"), "R5", "a call did not return.", END)
    held = sum(run.ledger.held for run in runs)
    for run in runs:
        run.cancel()
        trial.done(run, "R12", "a run that was cancelled did not end.", END)
    return held


def _lend(loans: Loans, message: Message) -> None:
    """Give a message data that can be watched, where there are such."""
    data = watchable(message.data)
    if data is not message.data:
        loans.lend("an input", data)
        message.data = data


def forgets_what_is_over(trials: OperationTrials) -> None:
    """R19: once the runtime is closed, it holds no message, no input and no state."""
    with trials.new() as trial:
        loans = Loans(trial.note)
        container = trials.subject.container(loans)
        messages = trials.subject.messages()
        for message in messages:
            _lend(loans, message)
        del message
        _observe(trials, trial, container, {"": messages})
        messages.clear()
        trial.close()
        trial.forget()
        gc.collect()
        left = loans.still_there()
        if left:
            remedy = f'Keep nothing of a message in the operation or around it. {PER_PLACE} A cache that is meant so: leave_out=["R19"].'
            raise RuleViolation("R19", f"after close() there was still {', '.join(left)}.", remedy)


# -- what comes of inputs


def _outcomes(trials: OperationTrials) -> list[Outcome]:
    with trials.new() as trial:
        return _observe(trials, trial, trials.subject.container(), {"": trials.subject.messages()})[0]


def _observe(
    trials: OperationTrials,
    trial: Trial,
    container: FlowOperationContainer,
    inputs: Mapping[str, list[Message]],
    *,
    at_once: bool = False,
) -> list[list[Outcome]]:
    """Send messages to each place, in turn, as runs of their own, one after the other or all at once; see what comes of them."""
    runtime = trial.run_flow(container)
    capture_outputs(runtime)
    trials.subject.connect(runtime, container, inputs)
    runs: dict[str, list[Run]] = {place: [] for place in inputs}
    for row in zip(*inputs.values(), strict=True):
        for place, message in zip(inputs, row, strict=True):
            runs[place].append(send(runtime, message, place))
            if not at_once:
                _done(trial, runs[place][-1])
    return [
        [_outcome(trial, run, message) for run, message in zip(runs[place], messages, strict=True)]
        for place, messages in inputs.items()
    ]


def _done(trial: Trial, run: Run) -> None:
    trial.done(run, "R5", f"within {trial.patience} s an input did not come to an end.", END)
    fatal = fatal_of(run)
    if users.is_a(fatal, users.STOPS):
        seen = f"the operation raised {type(fatal).__qualname__}, which stops the whole runtime."
        raise RuleViolation("R4", seen, "Raise an Exception: it fails the message in hand.")


def _outcome(trial: Trial, run: Run, message: Message) -> Outcome:
    _done(trial, run)
    trial.check_books(run, END)
    for failure in run.failures:
        if users.is_a(failure.__cause__, ContractError):
            raise RuleViolation("R5", str(failure.__cause__), "Keep to the contract of flowrt.Operation.")
    results = results_of(run)
    if any(result.correlation_id != message.correlation_id for result in results):
        seen = "a result left with another correlation id than its input came with."
        raise RuleViolation("R2", seen, "Leave it.")
    return [(result.port.name, result.data) for result in results], len(run.failures)


SCENARIOS = (
    Scenario(fulfils_the_contract, ("R8",), "R8"),
    Scenario(works_off_what_it_gets, ("R2", "R4", "R5", "R7", "R10"), "R5"),
    Scenario(keeps_state_per_place, ("R9",), "R5"),
    Scenario(forgets_what_was_cancelled, ("R12",), "R12"),
    Scenario(brings_forth_the_same_everywhere, ("R24",), "R5"),
    Scenario(forgets_what_is_over, ("R19",), "R19"),
)


def check_operation(
    factory: Callable[[], Any],
    inputs: Iterable[Any],
    *,
    port: str = "",
    behind: tuple[Callable[[], Any], dict[str, str]] | None = None,
    repeatable: bool = True,
    patience: float = USUAL_PATIENCE,
    leave_out: Collection[str] = (),
) -> None:
    """Check an operation against the rules, in real runtimes, on threads and in simulations; return if none is broken.

    It breaks one if it emits after its call (R2); fails a message twice, or stops the runtime (R4); comes to no end, or leaves the ledger
    unbalanced (R5); leaves a thread behind (R7); lacks something of the contract (R8); shares its state between places (R9); changes its
    inputs (R10); keeps what was cancelled, or raises in a thread of its own (R12); holds on to messages after close() (R19); brings forth
    something else on another executor (R24).

    Args:
        factory: makes the operation anew: anything that fulfils the `Operation` contract, a function, an action, a generator
            function, or a container that holds just one.
        inputs: data for the in-port `port`, or `Message`s, whose port says which in-port they are for. Each starts a run of its own.
            They are copied before each use, where they can be. Choose such as make it raise, too.
        port: the in-port.
        behind: where the operation only makes sense behind another: a function that makes that one, and which of its out-ports lead to
            which in-ports, as in `(lambda: Scatter("scatter"), {"stream": "stream", "count": "count"})`. The inputs are for that one.
        repeatable: whether the same inputs bring forth the same. False leaves out what compares.
        patience: seconds to wait for what must happen.
        leave_out: numbers of rules that it may break.

    Raises:
        RuleViolation: the first rule that is broken.
        FlowBuildError: the arguments cannot be meant.

    Runs on: threads of its own, all of which end, unless the operation keeps them.
    """
    check_factory("check_operation", factory, "the operation")
    left_out = checked_numbers(leave_out)
    subject = Subject(factory, list(inputs), port, behind)
    if not len(subject):
        raise FlowBuildError(
            "check_operation got no inputs: nothing would be seen. Give a few, also such as make it raise."
        )
    trials = OperationTrials(subject, patience, repeatable=repeatable)
    for scenario in SCENARIOS:
        scenario.attempt_on(trials, left_out)
