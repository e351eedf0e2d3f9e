"""A display for windows: Xvfb, started by the test itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

REQUIRED = os.environ.get("CI", "").casefold() == "true"


def lacking() -> str:
    """Say what is not here that a window needs; empty if nothing."""
    if find_spec("_tkinter") is None:
        return "this Python has no tkinter"
    if shutil.which("Xvfb") is None:
        return "there is no Xvfb (apt-get install xvfb)"
    return ""


def check_lacking() -> None:
    """Skip the test where there can be no window; where CI=true is in the environment, fail it."""
    reason = lacking()
    if reason and REQUIRED:
        pytest.fail(f"{reason}, and CI=true asks for it")
    if reason:
        pytest.skip(reason)


@contextmanager
def display() -> Iterator[str]:
    """Start a virtual display; give its name, such as ":1"."""
    check_lacking()
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(
        command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        if not number:
            pytest.fail("Xvfb did not start")
        yield f":{number}"
    finally:
        server.kill()
        server.wait()
