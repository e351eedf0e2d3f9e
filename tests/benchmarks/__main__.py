"""Measures flowrt beside other packages and beside the same work by hand; prints Markdown.

    pip install -e ".[bench]"
    python -m tests.benchmarks [ROW ...] [--quick] [--json FILE]

Leave the machine alone meanwhile: what else runs on it is measured too.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import tables
from tests.benchmarks.curves import trace
from tests.benchmarks.measure import Scale, measure
from tests.benchmarks.suite import CURVES, ROWS

ROUNDS, QUICK_ROUNDS, CURVE_ROUNDS = 7, 3, 3
QUICK = 0.1  # of the work


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*ROWS, *CURVES]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all without any: {', '.join(names)}")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work, fewer rounds: only to try it"
    )
    parser.add_argument("--part", type=float, help="so much of the work, of 1")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.rows if name not in names]:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(names)}")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    scale = Scale(options.part or (QUICK if options.quick else 1.0))

    wanted = options.rows or names
    measured, traced = [], []
    for name in wanted:
        started = time.perf_counter()
        if name in ROWS:
            measured.append(measure(ROWS[name](scale), rounds))
        else:
            traced.append(trace(CURVES[name](scale), min(rounds, CURVE_ROUNDS)))
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)

    facts = tables.machine()
    print(f"{facts['python']}, {facts['cores']} cores, {facts['machine']}, {facts['system']}.")
    print(", ".join(f"{name} {version}" for name, version in facts["packages"].items()) + ".")
    print(f"Medians of {rounds} interleaved rounds; {scale.part:g} of the work.")
    if measured:
        met = [verdict.met for each in measured for verdict in each.verdicts() if verdict.met is not None]
        print(
            f"\n{tables.ratios(measured)}\n\n{met.count(True)} of {len(met)} reached.\n\n{tables.figures(measured)}"
        )
    if traced:
        print(f"\n{tables.growth(traced)}")
    if options.json is not None:
        found = tables.as_json(rounds, scale.part, measured, traced)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
