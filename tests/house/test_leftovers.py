"""The check behind every test finds what it is there to find."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.kit.leftovers import FILES, Belongings, nothing_left_behind


def test_a_block_that_leaves_nothing_passes() -> None:
    with nothing_left_behind(patience=0):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


def test_a_thread_that_is_ending_is_waited_for() -> None:
    go = threading.Event()
    with nothing_left_behind():
        waiting = threading.Thread(target=go.wait)
        waiting.start()
        go.set()

    assert not waiting.is_alive()


def test_a_thread_left_behind_is_named_with_the_place_where_it_stands() -> None:
    go = threading.Event()
    waiting = threading.Thread(target=go.wait, name="forgotten")
    try:
        with (
            pytest.raises(
                AssertionError, match=r"(?s)0\.01 s after the end:\nthread forgotten, at\n.*in wait"
            ),
            nothing_left_behind(patience=0.01),
        ):
            waiting.start()
    finally:
        go.set()
        waiting.join()


def test_a_child_process_left_behind_is_found() -> None:
    children: list[subprocess.Popen[bytes]] = []
    try:
        with (
            pytest.raises(AssertionError, match=r"child process \d+"),
            nothing_left_behind(patience=0.01),
        ):
            children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    finally:
        for child in children:
            child.communicate(b"\n")


@pytest.mark.skipif(not Path(FILES).is_dir(), reason="files are compared by /proc, which is not here")
def test_a_pipe_left_open_is_found() -> None:
    ends: tuple[int, ...] = ()
    try:
        with (
            pytest.raises(AssertionError, match=r"file descriptor \d+: pipe:"),
            nothing_left_behind(patience=0.01),
        ):
            ends = os.pipe()
    finally:
        for end in ends:
            os.close(end)


def test_what_was_there_before_counts_for_nothing() -> None:
    before = Belongings.now()

    assert not Belongings.now().since(before)
