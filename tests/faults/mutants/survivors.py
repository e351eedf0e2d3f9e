"""Runs ordinary tests, on real threads, a hundred times over planted bugs: does stress find them?

    python -m tests.faults.mutants.survivors [-n RUNS] NAME ...

Several are planted together: where nothing fails, none of them was found. The tests are those of two parts of the suite that run their
operations async or parallel, on threads, by the default schedule. The first failure ends it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.mutants.planted import ROOT, plant

RUNS = 100
TESTS = ("conformance/test_*.py", "standard/test_scatter_gather.py")
SELECTED = "breadth_first and (async or parallel or ordered or keyed) and not (simulated or parallelism_off)"


class Repeated:
    """Runs all that was collected again and again, until something fails."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.survived = 0
        self.tests = 0

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        self.tests = len(items)
        for run in range(self.runs):
            started = time.monotonic()
            for index, item in enumerate(items):
                following = items[index + 1] if index + 1 < len(items) else None
                item._initrequest()  # type: ignore[attr-defined]  # so that its fixtures are made anew
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return True
            self.survived += 1
            print(f"run {run + 1}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
        return True


def survived(names: Sequence[str], runs: int) -> Repeated:
    """Plant bugs, and run the tests until one fails."""
    with tempfile.TemporaryDirectory() as made:
        folder = plant(Path(made).resolve(), *names)
        repeated = Repeated(runs)
        files = [str(path) for pattern in TESTS for path in sorted((ROOT / "tests").glob(pattern))]
        options = ["-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider", "--timeout=60", "--tb=short"]
        paths = ["-o", f"pythonpath={folder} {ROOT}", "--rootdir", str(ROOT)]
        pytest.main([*options, *paths, "-k", SELECTED, *files], plugins=[repeated])
        import flowrt  # the one that the tests have used

        assert Path(flowrt.__file__).is_relative_to(folder), flowrt.__file__
    return repeated


def main() -> None:
    """Tell how often the tests passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants.survivors")
    parser.add_argument("-n", type=int, default=RUNS, dest="runs")
    parser.add_argument("names", nargs="*", metavar="NAME")
    asked = parser.parse_args()
    found = survived(asked.names, asked.runs)
    planted = " + ".join(asked.names) or "nothing planted"
    print(f"{planted}: {found.survived} of {found.runs} runs of {found.tests} tests passed")


if __name__ == "__main__":
    main()
