"""`python -m samples.telegram FILE [--width 40]`: print a text in lines of at most that width."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from samples.telegram.flow import reformat


def main() -> None:
    """Print the reformatted text; a file or width that cannot be ends the program with exit code 2 and the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m samples.telegram", description="Reformat a text to lines of a given width."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="UTF-8 text")
    parser.add_argument("--width", type=int, default=40, help="of a line, in characters (default: 40)")
    arguments = parser.parse_args()
    try:
        text = reformat(arguments.file.read_text(encoding="utf-8"), arguments.width)
    except OSError as error:
        parser.error(f'cannot read "{arguments.file}": {error.strerror}')
    except ValueError as error:  # the width, or bytes that are no UTF-8
        parser.error(str(error))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
