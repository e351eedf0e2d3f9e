"""Plants one bug after another and has the finder look for it.

python -m tests.faults.mutants.hunt [NAME ...]     # looks for them from seed 0 on, and writes what was found into seeds.txt
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from attrs import frozen

from tests.faults.mutants.finder import Found
from tests.faults.mutants.planted import HERE, names, plant, run_planted

SEEDS = HERE / "seeds.txt"
PATIENCE = 50.0  # seconds for one search; arbitrary, several times what it takes


@frozen
class Recorded:
    """A line of seeds.txt: what shows a bug, and how many schedules it took to find that."""

    name: str
    scenario: str
    seed: int
    schedules: int

    def __str__(self) -> str:
        return f"{self.name} {self.scenario} {self.seed} {self.schedules}"


def recorded() -> dict[str, Recorded]:
    """Read seeds.txt."""
    found = {}
    for line in SEEDS.read_text(encoding="utf-8").splitlines() if SEEDS.exists() else ():
        if line and not line.startswith("#"):
            name, scenario, seed, schedules = line.split()
            found[name] = Recorded(name, scenario, int(seed), int(schedules))
    return found


def find(name: str, *what: str) -> Found | None:
    """Run the finder over a planted bug; `what`: its arguments, by default everything from seed 0 on."""
    with tempfile.TemporaryDirectory() as made:
        folder = plant(Path(made).resolve(), name)
        ran = run_planted(folder, "tests.faults.mutants.finder", *what, timeout=PATIENCE)
        if ran.returncode:
            raise AssertionError(f"the finder ended with {ran.returncode} over {name}:\n{ran.stderr}")
        told = json.loads(ran.stdout.splitlines()[-1])
        if not Path(told["flowrt"]).is_relative_to(folder):
            raise AssertionError(f"the finder ran on {told['flowrt']}, which has no bug planted")
    return Found(**told["found"]) if told["found"] is not None else None


def main(wanted: list[str]) -> None:
    """Look for some or all, and record what was found."""
    known = recorded()
    for name in wanted or names():
        found = find(name)
        print(name, found, flush=True)
        if found is not None:
            known[name] = Recorded(name, found.scenario, found.seed, found.schedules)
    lines = [
        "# patch, scenario, seed, schedules that the finder took: written by python -m tests.faults.mutants.hunt"
    ]
    lines += [str(known[name]) for name in names() if name in known]
    SEEDS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
