"""`python -m samples.to_dictionary TEXT [--flow flat|nested]`: print the dictionary that a text stands for."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from flowrt import Flow, FlowRuntime, OperationError
from samples.to_dictionary.operations import operations

HERE = Path(__file__).parent


def to_dictionary(text: str, flow: str = "flat") -> dict[str, object]:
    """Return the dictionary that `a=1;server/port=80` stands for; `flow` names the file that says how."""
    with FlowRuntime(Flow.from_file(HERE / f"{flow}.flow").add_operations(operations)) as runtime:
        found: dict[str, object] = runtime.process(".in", text).result().data
        return found


def main() -> int:
    """Print the dictionary as JSON; the exit code is 1 if the text is none, and the reason is told."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.to_dictionary", description="Turn a=1;b=2 into a dictionary."
    )
    parser.add_argument("text", metavar="TEXT", help="such as a=1;server/port=80")
    parser.add_argument("--flow", choices=("flat", "nested"), default="flat", help="how the flow is arranged")
    arguments = parser.parse_args()
    try:
        print(json.dumps(to_dictionary(arguments.text, arguments.flow), indent=2))
    except OperationError as error:
        print(error.__cause__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
