"""`check_executor`: an executor at small flows, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from flowrt.container import FlowOperationContainer
from flowrt.testing.rulekit.executors_at_work import (
    REPORT_ALL,
    calls_as_many_as_asked,
    fails_what_raises,
    keeps_the_stack_flat,
    makes_room_for_what_failed,
    one_at_a_time,
    one_of_a_key_at_a_time,
    performs_actions_and_generators,
    performs_all_once_and_in_order,
    stays_free,
    stops_at_system_exit,
)
from flowrt.testing.rulekit.executors_ending import (
    closes_once_for_all,
    forgets,
    holds_on_to_what_is_in_flight,
    names_what_stays,
    refuses_numbers,
    starts_nothing_after_the_end,
    subscribers_may_act,
    subscribers_may_raise,
)
from flowrt.testing.rulekit.rules import RuleViolation, check_factory, checked_numbers
from flowrt.testing.rulekit.trials import PATIENCE, Scenario, Trials

if TYPE_CHECKING:
    from flowrt.inbox import Seams


def look(trials: Trials) -> None:
    """See whether a call may wait for another."""
    calls: list[object] = []
    with trials.new() as trial:
        work = FlowOperationContainer().add_func("work", calls.append).make_async()
        run = trial.run_flow(work, ".in -> work -> .out").process(".in")
        try:
            trial.done(run, "R5", "the one message of a run was not performed, or not reported.", REPORT_ALL)
        except RuleViolation:
            if len(calls) > 1:
                seen = "the one message of a run was performed more than once."
                raise RuleViolation(
                    "R2", seen, "Take what is performed out of the backlog in one step."
                ) from None
            raise
        trials.can_block = not (trial.inline or trial.simulated)


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
    factory: Callable[[], Seams], *, patience: float = PATIENCE, leave_out: Collection[str] = ()
) -> None:
    """Check the executors that `factory` gives a runtime against the rules, at small flows; return if none is broken.

    What is checked: every message is performed and reported once (R2, R5), calls overlap as their mode says (R1, R3) and keep its order
    (R10), what raises fails its message (R4), failures make room (R23), the stack stays flat (R14), submit() does not wait (R15),
    subscribers may act and raise (R11, R13), closing ends everything and names what stays (R6, R7, R12, R16, R17), bad numbers are refused
    (R18), nothing is held afterwards (R19). What needs a call to wait for another is left out where calls are made on the engine's
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
