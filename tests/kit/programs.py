"""Programs that a test starts in processes of their own: it hears what they tell, and may send them signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 25.0  # seconds; a process that takes longer hangs
HANGS = 20.0  # seconds after which a process shows where it hangs, and ends

# A test that limits the memory of its programs.
linux_only = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs RLIMIT_AS and /proc")

PREAMBLE = f"""
import faulthandler, json, os, signal, sys, threading, time
faulthandler.dump_traceback_later({HANGS}, exit=True)
from flowrt import *

def tell(**what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

def told(call):
    try:
        found = call()
    except BaseException as error:
        return f"{{type(error).__name__}}: {{error}}"
    return str(found)
"""


@attrs.frozen
class Ended:
    code: int
    lines: list[dict[str, Any]]
    errors: str

    def event(self, name: str) -> dict[str, Any]:
        found = [line for line in self.lines if line["event"] == name]
        assert len(found) == 1, (self.lines, self.errors)
        return found[0]


def printed(code: str) -> tuple[str, str]:
    """What a process of its own prints when it runs the code, and what it complains of."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout, result.stderr


def run_script(
    script: str,
    *arguments: str,
    at: Callable[[dict[str, Any], subprocess.Popen[str]], None] | None = None,
    options: Sequence[str] = ("-X", "dev", "-W", "default"),
) -> Ended:
    """Run the script in a process of its own; `at` sees each line it prints, and may send signals. A hang is a failure."""
    process = subprocess.Popen(
        [sys.executable, *options, "-c", script, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    killer = threading.Timer(LIMIT, process.kill)
    killer.start()
    errors: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    stderr = process.stderr
    reader = threading.Thread(target=lambda: errors.append(stderr.read()))
    reader.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(json.loads(line))
            if at is not None:
                at(lines[-1], process)
        process.wait(LIMIT)
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()
        killer.join()
    text = "".join(errors)
    assert "Timeout (" not in text, f"it hung:\n{text}"
    assert process.returncode != -getattr(signal, "SIGKILL", 9), f"it had to be killed:\n{text}"
    return Ended(process.returncode, lines, text)
