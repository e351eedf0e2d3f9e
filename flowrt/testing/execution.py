"""One flow, run to its end on given inputs: as it is, or under the simulation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define

from flowrt.engine.schedules import Schedule, ScheduleName
from flowrt.errors import FlowBuildError
from flowrt.flow.flow import Flow
from flowrt.messages import Message
from flowrt.ports import Port
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.inside import wait_until
from flowrt.testing.ledgers import balances
from flowrt.testing.simulation import Possibility, Simulation, seams_of, simulated

Inputs = Iterable[tuple[str | Port, Any] | Message]
FlowOrMaker = Flow | Callable[[], Flow]

TIMEOUT = 10.0  # seconds; arbitrary: a test that takes longer is not about one flow and a few inputs


@define
class Rehearsal:
    """What came of one run through a flow.

    Attributes:
        messages: the results, in order of arrival.
        error: what nobody in the flow took, or what a check said.
        trace: the simulation's, step by step.
        deviations: what replays it.
        calls: how many calls were handed to workers.
    """

    messages: list[Message] = Factory(list)
    error: BaseException | None = None
    trace: Sequence[str] = ()
    deviations: Mapping[int, int] = Factory(dict)
    calls: int = 0


def run_flow(
    flow: FlowOrMaker,
    inputs: Inputs,
    *,
    seed: int | None = None,
    deviations: Mapping[int, int] | None = None,
    schedule: ScheduleName | Callable[[], Schedule] = "breadth_first",
    parallelism: bool = True,
    timeout: float = TIMEOUT,
) -> list[Message]:
    """Run a flow on some inputs until nothing is left to do, and return its results in order of arrival.

    Args:
        flow: a `Flow`, or a function that makes one.
        inputs: `(port, data)` each, or a `Message`; each starts a run of its own.
        seed: given, the flow runs in a simulation, on this thread and in fake time; else as it is declared, on threads.
        deviations: likewise, in the order of events they say: see `simulated`.
        schedule: as for `FlowRuntime`.
        parallelism: as for `FlowRuntime`.
        timeout: seconds to wait for the end, on threads; a simulation ends after a million steps.

    Raises:
        OperationError: what nobody in the flow took (or another error of the flow); several as an `ExceptionGroup`.
        FlowTimeoutError: it has not ended within `timeout`.
        AssertionError: the books of a run do not balance.
    """
    messages = checked_inputs(inputs)
    simulation: Any = None
    if seed is not None or deviations is not None:
        simulation = simulated(seed, deviations=deviations).simulation
    rehearsal = rehearse(flow, messages, simulation, schedule, parallelism=parallelism, timeout=timeout)
    if rehearsal.error is not None:
        raise rehearsal.error
    return rehearsal.messages


def rehearse(
    flow: FlowOrMaker,
    messages: list[Message],
    simulation: Simulation | None,
    schedule: ScheduleName | Callable[[], Schedule] = "breadth_first",
    *,
    parallelism: bool = True,
    timeout: float | None = None,
) -> Rehearsal:
    """Run a flow on threads, for so long; or in a simulation, where inputs come when that chooses them."""
    rehearsal = Rehearsal()
    runs: list[Run] = []
    name, seams = ("run_flow", None) if simulation is None else ("simulated", seams_of(simulation))
    options: dict[str, Any] = {"schedule": schedule, "parallelism": parallelism, "seams": seams}
    try:
        with FlowRuntime(made(flow), name=name, **options) as runtime:
            runtime.on_result(rehearsal.messages.append)
            inputs = [
                Possibility(f"input {message.port}#{number}", partial(_send, runtime, message, runs))
                for number, message in enumerate(messages)
            ]
            if simulation is None:
                for each in inputs:
                    each.happen()
                runtime.wait_idle(timeout)
            else:
                simulation.inputs.extend(inputs)
                try:
                    wait_until(runtime, lambda: not simulation.inputs, None)
                finally:
                    simulation.inputs.clear()  # after an error none is to come while the runtime closes
                runtime.wait_idle()
            rehearsal.error = error_of(runs)
        check_ledgers(runs)
    except FlowBuildError:
        raise
    except Exception as error:
        rehearsal.error = error
    if simulation is not None:
        rehearsal.trace, rehearsal.deviations = simulation.trace, simulation.deviations
        rehearsal.calls = simulation.calls_begun
    return rehearsal


def _send(runtime: FlowRuntime, message: Message, runs: list[Run]) -> None:
    runs.append(runtime.process(message))


def error_of(runs: Iterable[Run]) -> Exception | None:
    """Take what nobody in the flow took, of all runs: None, the one error, or all of them as a group."""
    errors: list[Exception] = []
    for run in runs:
        failures = [each for each in run.failures if isinstance(each, Exception)]
        errors += failures
        if failures:
            with contextlib.suppress(type(failures[0])):
                run.wait()  # it is seen now
    if len(errors) < 2:
        return errors[0] if errors else None
    return ExceptionGroup(f"the flow had {len(errors)} errors that nobody in it took", errors)


def check_ledgers(runs: Iterable[Run]) -> None:
    """Raise an AssertionError if the books of a run that is over do not balance, or something is left in it."""
    for run in runs:
        ledger = run.ledger
        if not ledger.balanced or (run.done and not balances(ledger)):
            raise AssertionError(f"the books of a run do not balance:\n{ledger}")


def made(flow: FlowOrMaker) -> Flow:
    """Return the flow, or what makes it makes."""
    found = flow if isinstance(flow, Flow) else flow() if callable(flow) else flow
    if not isinstance(found, Flow):
        raise FlowBuildError(
            f"a Flow is wanted, or a function that makes one; got {type(found).__name__}. Of a runtime, give the flow it runs."
        )
    return found


def checked_inputs(inputs: Inputs) -> list[Message]:
    """Make a message of every input; `FlowBuildError` if one is none."""
    messages = []
    for given in inputs:
        if isinstance(given, Message):
            messages.append(given)
        elif isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | Port):
            messages.append(Message(*given))
        else:
            raise FlowBuildError(
                f'inputs are a list of (port, data), such as [(".in", 1)], or of Messages; one of them is of type {type(given).__name__}.'
            )
    return messages
