"""`python -m samples.tracing [--at PORTS] [--of ID]`: turn two texts into dictionaries, and show some of what passes meanwhile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowrt import Flow, FlowRuntime
from samples.to_dictionary.operations import operations
from samples.tracing.trace import at, of, traced

FLOW = Path(__file__).parents[1] / "to_dictionary" / "nested.flow"
TEXTS = {"one": "a=1;b=2", "two": "server/port=80"}


def main() -> None:
    """Print the trace, and the dictionaries behind it."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.tracing", description="Show what passes in a flow."
    )
    parser.add_argument(
        "--at", metavar="PORTS", default="*", help="only at such ports, for example 'parse/split/*'"
    )
    parser.add_argument("--of", metavar="ID", help=f"only with this correlation id: {' or '.join(TEXTS)}")
    arguments = parser.parse_args()
    wanted = [at(arguments.at)]
    if arguments.of is not None:
        wanted.append(of(arguments.of))

    # In this schedule one text is done before the next comes, so that the trace is the same each time.
    with FlowRuntime(Flow.from_file(FLOW).add_operations(operations), schedule="sync") as runtime:
        with traced(runtime, sys.stdout, *wanted):
            runs = [runtime.process(".in", text, correlation_id=name) for name, text in TEXTS.items()]
        for run in runs:
            print(run.result().data)


if __name__ == "__main__":
    main()
