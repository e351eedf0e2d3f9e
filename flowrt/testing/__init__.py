"""The test kit: time and chance under control, operations on their own, and flows in every order of events."""

from flowrt.testing.clock import FakeClock
from flowrt.testing.doubles import Failing, Probe, Slow, Source
from flowrt.testing.drive import drive
from flowrt.testing.execution import run_flow
from flowrt.testing.explore import Explored, explore
from flowrt.testing.ledgers import LedgerWatch
from flowrt.testing.modes import assert_same_in_all_modes
from flowrt.testing.simulation import SimulatedError, SimulatedExecutor, Simulation, simulated

__all__ = [
    "Explored",
    "Failing",
    "FakeClock",
    "LedgerWatch",
    "Probe",
    "SimulatedError",
    "SimulatedExecutor",
    "Simulation",
    "Slow",
    "Source",
    "assert_same_in_all_modes",
    "drive",
    "explore",
    "run_flow",
    "simulated",
]
