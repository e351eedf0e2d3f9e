"""The command line: `flowrt run`, `check`, `draw` and `format`. The one place that handles signals.

Begin with `commands.py`, what is asked for and with which exit code it ends; `running.py` is `flowrt run`. Everything of flowrt but the test
kit may be imported, and nothing of flowrt imports this; click and rich are an extra, so this module does without them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flowrt.cli.exits import INTERRUPTED, USAGE

INSTALL = 'flowrt: the command line needs click and rich, which are not installed: pip install "flowrt[cli]"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: the script `flowrt`, and `python -m flowrt`."""
    try:
        from flowrt.cli import commands  # noqa: PLC0415 - click and rich are an extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"click", "rich"}:
            raise
        print(INSTALL, file=sys.stderr)  # noqa: T201 - there is nothing else to say it with
        return USAGE
    except KeyboardInterrupt:  # importing them takes its time
        return INTERRUPTED
    return commands.run_command_line(arguments)
