"""The test kit: time and chance under control, operations on their own, and flows in every order of events.

It may import everything below it, which is all but the command line; nothing of flowrt imports it. Begin with `simulation`: a whole runtime on
one thread. `execution` runs a flow in it, `exploration` in many orders of events, `modes` in every mode, `drive` one operation; `doubles` stand
in for what surrounds it. `rules` checks operations, executors and schedules of your own. What the kit needs of a runtime beyond its face is in
`inside`, and nowhere else.
"""

from flowrt.executors.seams import Seams
from flowrt.testing.clock import FakeClock
from flowrt.testing.doubles import Failing, Probe, Slow, Source
from flowrt.testing.drive import drive
from flowrt.testing.execution import run_flow
from flowrt.testing.exploration import Explored, explore
from flowrt.testing.ledgers import LedgerWatch
from flowrt.testing.modes import assert_same_in_all_modes
from flowrt.testing.rules import RULES, Rule, RuleViolation, check_executor, check_operation, check_schedule
from flowrt.testing.simulation import SimulatedError, SimulatedExecutor, Simulation, simulated

__all__ = [
    "RULES",
    "Explored",
    "Failing",
    "FakeClock",
    "LedgerWatch",
    "Probe",
    "Rule",
    "RuleViolation",
    "Seams",
    "SimulatedError",
    "SimulatedExecutor",
    "Simulation",
    "Slow",
    "Source",
    "assert_same_in_all_modes",
    "check_executor",
    "check_operation",
    "check_schedule",
    "drive",
    "explore",
    "run_flow",
    "simulated",
]
