"""The test kit: time and chance under control, operations on their own, and flows in every order of events."""

from flowrt.testing.clock import FakeClock
from flowrt.testing.drive import drive
from flowrt.testing.execution import run_flow
from flowrt.testing.explore import Explored, explore
from flowrt.testing.simulation import SimulatedError, SimulatedExecutor, Simulation, simulated

__all__ = [
    "Explored",
    "FakeClock",
    "SimulatedError",
    "SimulatedExecutor",
    "Simulation",
    "drive",
    "explore",
    "run_flow",
    "simulated",
]
