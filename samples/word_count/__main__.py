"""`python -m samples.word_count [FOLDER] [--stage 1|2|3|4]`: count the words of a folder's texts and print them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowrt import FlowRuntime, OperationError
from samples.word_count import stage1_lists, stage2_scattered, stage3_guarded, stage4_text
from samples.word_count.operations import find_files
from samples.word_count.progress import progress_line

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOKS = Path(__file__).parent / "books"
STAGES = {1: stage1_lists, 2: stage2_scattered, 3: stage3_guarded, 4: stage4_text}


def main() -> int:
    """Count and print; the exit code is 1 if a file that cannot be read ended the count (stages 1 and 2)."""
    arguments = parse_arguments()
    flow = STAGES[arguments.stage].word_count()
    with FlowRuntime(flow) as runtime:
        run = runtime.process(".in", arguments.folder)
        try:
            with progress_line(runtime, sys.stderr):
                results = run.values()
        except OperationError as error:
            print(f"{error}: {error.__cause__}. With --stage 3 it is left out.", file=sys.stderr)
            return 1
        for result in results:
            print(result)
        print()
        print("\n".join(report_times(runtime)))
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line; without a folder of texts the program ends here, with exit code 2 and the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.word_count", description="Count the words of all .txt files in a folder."
    )
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=folder_of_texts,
        default=BOOKS,
        help="default: the books that come along",
    )
    parser.add_argument(
        "--stage",
        type=int,
        choices=STAGES,
        default=3,
        help="1: lists, 2: scattered, 3: guarded (default), 4: the same as flow text",
    )
    return parser.parse_args()


def folder_of_texts(name: str) -> Path:
    """Take a folder's name from the command line, if there is something to count in it."""
    folder = Path(name)
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise argparse.ArgumentTypeError(
            f'"{name}" {found}. Name a folder with .txt files, or none for the books.'
        )
    if not find_files(folder):
        raise argparse.ArgumentTypeError(
            f'"{name}" holds no .txt files. Name another folder, or none for the books.'
        )
    return folder


def report_times(runtime: FlowRuntime) -> Iterator[str]:
    """Say in lines where each operation ran, and how long it was busy, on all its threads together."""
    yield f"{'operation':<20}{'mode':<14}{'calls':>8}{'busy':>10}"
    for meter in runtime.meters():
        yield f"{meter.place:<20}{meter.mode:<14}{meter.calls:>8}{meter.busy:>8.3f} s"


if __name__ == "__main__":
    sys.exit(main())
