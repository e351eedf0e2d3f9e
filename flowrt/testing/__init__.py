"""The test kit: time and chance under control, and operations on their own."""

from flowrt.testing.clock import FakeClock
from flowrt.testing.drive import drive
from flowrt.testing.simulation import SimulatedExecutor, Simulation, simulated

__all__ = ["FakeClock", "SimulatedExecutor", "Simulation", "drive", "simulated"]
