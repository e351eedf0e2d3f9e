"""`python -m samples.csv_viewer [FILE] [--rows 8] [--one-step]`: page through a CSV file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, OperationError
from samples.csv_viewer import steps
from samples.csv_viewer.pager import Pager

HERE = Path(__file__).parent
KEYS = {"n": ".next", "p": ".previous", "f": ".first", "l": ".last"}
PROMPT = "n(ext, p(revious, f(irst, l(ast, a number, or e(xit: "


def viewer(rows_per_page: int, *, one_step: bool = False) -> Flow:
    """Build the flow; `one_step`: with an operation `load`, which goes before the flow of that name."""
    operations = FlowOperationContainer().add_instance_operations(Pager(rows_per_page)).add_module(steps)
    if one_step:
        operations.add_func("load", steps.load)
    return Flow.from_file(HERE / "root.flow").add_operations(operations)


def main() -> int:
    """Show pages as they are asked for; the exit code is 1 if the file cannot be shown."""
    arguments = parse_arguments()
    with FlowRuntime(viewer(arguments.rows, one_step=arguments.one_step)) as runtime:
        runtime.on_result(show)
        try:
            runtime.process(".open", arguments.file).wait()
        except OperationError as error:
            print(error.__cause__, file=sys.stderr)
            return 1
        while (key := ask()) != "e":
            if key.isdecimal():
                runtime.process(".page", int(key)).wait()
            elif key in KEYS:
                runtime.process(KEYS[key]).wait()
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.csv_viewer", description="Page through a CSV file."
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=HERE / "time_zones.csv",
        help="default: the time zones that come along",
    )
    parser.add_argument("--rows", type=int, default=8, help="of a page (default: 8)")
    parser.add_argument("--one-step", action="store_true", help="load by an operation instead of a flow")
    arguments = parser.parse_args()
    if arguments.rows < 1:
        parser.error(f"argument --rows: a page has 1 row or more, not {arguments.rows}")
    return arguments


def show(message: Message) -> None:
    """Print a page."""
    print(f"\n{message.data}")


def ask() -> str:
    """Ask for a key; where nobody answers any more, that is the end."""
    print(PROMPT, end="", flush=True)
    answer = sys.stdin.readline()
    if not sys.stdin.isatty():
        print(answer.strip())
    return answer.strip().lower()[:4] if answer else "e"


if __name__ == "__main__":
    sys.exit(main())
