"""Calls under watch: how often an operation is called, how many calls there are at once, how deep in the stack; and a gate to hold them at."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowrt.testing.rules.rules import RuleViolation

TAKE_ONCE = "Take what is performed out of the backlog in one step."


class Calls:
    """Watches the calls of one operation: of what data, how many at once, how deep in the stack.

    Args:
        at_once: how many calls there may be at a time (of one key).
        key: says which key a call's data has.

    Guarded by: `_lock`.
    """

    def __init__(self, at_once: int = 1, key: Callable[[Any], Any] | None = None) -> None:
        self.at_once = at_once
        self.keyed: bool = key is not None
        self.made: Counter[Any] = Counter()
        self.most: int = 0
        self.depths: list[int] = []
        self.entered: threading.Event = threading.Event()
        self.full: threading.Event = threading.Event()  # as many at once as there may be
        self.crowded: threading.Event = threading.Event()  # one more
        self._key = key or (lambda _data: None)
        self._now: Counter[Any] = Counter()
        self._lock = threading.Lock()

    def of(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """Return the function, watched."""

        def watched(data: Any) -> Any:
            with self.call(data):
                return function(data)

        return watched

    @contextmanager
    def call(self, data: Any) -> Iterator[None]:
        """Watch one call."""
        key = self._key(data)
        with self._lock:
            self.made[data] += 1
            self.depths.append(_depth())
            self._now[key] += 1
            self.most = max(self.most, self._now[key])
            self.entered.set()
            if self._now[key] >= self.at_once:
                self.full.set()
            if self._now[key] > self.at_once:
                self.crowded.set()
        try:
            yield
        finally:
            with self._lock:
                self._now[key] -= 1

    @property
    def number(self) -> int:
        return self.made.total()

    def check(self) -> None:
        """Raise what they show of too many at once, and of too many in all."""
        if self.most > self.at_once:
            rule, what = "R3", "one key" if self.keyed else "an async operation"
            if self.at_once > 1:
                rule, what = "R1", f"a parallel({self.at_once}) operation"
            remedy = "Let a worker take work only when fewer than that are busy with it."
            raise RuleViolation(rule, f"{self.most} calls of {what} at once.", remedy)
        twice = sum(times > 1 for times in self.made.values())
        if twice:
            seen = f"{twice} of {len(self.made)} messages were performed more than once."
            raise RuleViolation("R2", seen, TAKE_ONCE)


def _depth() -> int:
    depth, frame = 0, sys._getframe(1).f_back
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


class Gate:
    """A function whose calls wait inside until it is opened."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._opened = threading.Event()

    def __call__(self, data: Any) -> Any:
        self._opened.wait(4 * self._patience)  # longer than anybody waits for it
        return data

    def open(self) -> None:
        self._opened.set()
