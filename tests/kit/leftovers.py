"""What a test may leave behind: nothing. Threads, child processes and open files are compared before and after it."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator

from attrs import frozen

PATIENCE = 5.0  # seconds for what is on its way out; a thread that was told to end needs milliseconds
TASKS = "/proc/self/task"
FILES = "/proc/self/fd"


@frozen
class Belongings:
    """What this process has now."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    files: frozenset[tuple[str, str]]

    @classmethod
    def now(cls) -> Belongings:
        return cls(frozenset(threading.enumerate()), frozenset(_children()), frozenset(_files()))

    def since(self, before: Belongings) -> Belongings:
        """Return what is here now and was not before."""
        return Belongings(
            self.threads - before.threads, self.children - before.children, self.files - before.files
        )

    def __bool__(self) -> bool:
        return bool(self.threads or self.children or self.files)

    def __str__(self) -> str:
        lines = [f"thread {thread.name}, at\n{_where(thread)}" for thread in self.threads]
        lines += [f"child process {pid}" for pid in self.children]
        lines += [f"file descriptor {number}: {target}" for number, target in self.files]
        return "\n".join(sorted(lines))


@contextlib.contextmanager
def nothing_left_behind(patience: float = PATIENCE) -> Iterator[None]:
    """Raise an AssertionError if the block leaves a thread, a child process or an open file behind.

    What is still ending gets `patience` seconds. Where there is no /proc, files are not compared.
    """
    before = Belongings.now()
    yield
    deadline = time.monotonic() + patience
    left = Belongings.now().since(before)
    while left and time.monotonic() < deadline:
        for thread in left.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if left.children or left.files:
            gc.collect()  # an error's traceback may hold them in a cycle
            threading.Event().wait(0.005)
        left = Belongings.now().since(before)
    assert not left, f"left behind, {patience} s after the end:\n{left}"


def _children() -> Iterator[int]:
    try:
        threads = os.listdir(TASKS)  # noqa: PTH208 - a Path costs four times as much, and each test asks twice
    except OSError:
        yield from (child.pid for child in multiprocessing.active_children() if child.pid is not None)
        return
    for thread in threads:
        with contextlib.suppress(OSError), open(f"{TASKS}/{thread}/children", encoding="ascii") as children:  # noqa: PTH123 - likewise
            yield from map(int, children.read().split())


def _files() -> Iterator[tuple[str, str]]:
    with contextlib.suppress(OSError):
        for file in os.listdir(FILES):  # noqa: PTH208 - likewise
            with contextlib.suppress(OSError):  # the one that listed them, closed by now
                yield file, os.readlink(f"{FILES}/{file}")  # noqa: PTH115 - likewise


def _where(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame else "  (it just ended)"
