"""Looks for what is wrong with the flowrt it runs on: scenarios in seeded orders of events, until one fails.

    python -m tests.faults.mutants.finder                      # every scenario, seed by seed, up to its bound
    python -m tests.faults.mutants.finder SCENARIO [SEED]      # one of them; exactly this order of events

Prints scenario, seed, the number of schedules it took, and what went wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

from attrs import asdict, frozen

import flowrt
from tests.faults.mutants import scenarios, threaded

Scenario = Callable[[int], None]

SIMULATED: dict[str, Scenario] = {each.__name__: each for each in scenarios.SCENARIOS}
THREADED: dict[str, Scenario] = {each.__name__: each for each in threaded.SCENARIOS}
SCENARIOS = SIMULATED | THREADED
BOUND_SIMULATED = 300  # seeds, for each scenario
BOUND_THREADED = 400  # likewise; orders of opcodes


@frozen
class Found:
    """A seed that shows a bug."""

    scenario: str
    seed: int
    schedules: int  # tried until then, this one included
    what: str = ""


def bound_of(scenario: str) -> int:
    """Return how many seeds to try."""
    return BOUND_SIMULATED if scenario in SIMULATED else BOUND_THREADED


def failure(scenario: str, seed: int) -> str | None:
    """Run one order of events; return what went wrong."""
    try:
        SCENARIOS[scenario](seed)
    except Exception as error:
        text = str(error).partition("\n")[0]
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return None


def search(names: Sequence[str] = ()) -> Found | None:
    """Try one seed after another, each with every scenario whose bound is not reached."""
    tried = 0
    chosen = {name: bound_of(name) for name in SCENARIOS if not names or name in names}
    for seed in range(max(chosen.values())):
        for name, bound in chosen.items():
            if seed < bound:
                tried += 1
                what = failure(name, seed)
                if what is not None:
                    return Found(name, seed, tried, what)
    return None


def replay(scenario: str, seed: int) -> Found | None:
    """Try just this."""
    what = failure(scenario, seed)
    return None if what is None else Found(scenario, seed, 1, what)


def main(arguments: Sequence[str]) -> None:
    """Print what was found as JSON, with where flowrt came from."""
    found = (
        replay(arguments[0], int(arguments[1]))
        if len(arguments) == 2 and arguments[1].isdecimal()
        else search(arguments)
    )
    print(json.dumps({"flowrt": flowrt.__file__, "found": asdict(found) if found is not None else None}))


if __name__ == "__main__":
    main(sys.argv[1:])
