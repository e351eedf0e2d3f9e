"""What the operators share: what they keep by list or run, with bounds, and checks of what they are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from flowrt.errors import FlowBuildError, FlowOverloadError
from flowrt.operations import Emitter, checked_port
from flowrt.scopes import Part

if TYPE_CHECKING:
    from flowrt.messages import Message
    from flowrt.scopes import RunBooks, Scope

By = Literal["all", "run"]
MAX_OPEN = 100_000  # lists and runs; arbitrary, some 50 MB
MAX_WAITING = 100_000  # messages; arbitrary, as the gather's

Kept = TypeVar("Kept")


class Pools(Generic[Kept]):
    """What an operation keeps at one place: apart for each scattered list; of what is in no list for all runs together, or for each run apart."""

    __slots__ = ("_by_run", "_kept", "_limit", "_make", "_owner")

    def __init__(self, owner: str, by: By, limit: int, make: Callable[[], Kept]) -> None:
        self._owner = owner
        self._by_run = by == "run"
        self._limit = limit
        self._make = make
        self._kept: dict[Scope | None, Kept] = {}

    def _key(self, scope: Scope) -> Scope | None:
        return scope if self._by_run or scope.parent is not None else None

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def find(self, scope: Scope) -> Kept | None:
        """Return what is kept for the messages of a scope, if anything is."""
        return self._kept.get(self._key(scope))

    def of(self, message: Message, emit: Emitter) -> Kept:
        """Return what is kept for a message and its like; made, if it is the first, and owed to its list or run.

        Raises:
            FlowOverloadError: there would be too many at once.
        """
        key = self._key(home_of(message))
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._limit:
                raise FlowOverloadError(
                    f"{self._owner} already keeps something for max_open={self._limit} lists or runs. Let some of them end first, or raise "
                    "max_open."
                )
            kept = self._kept[key] = self._make()
            if key is not None:
                emit.owe()
        return kept

    def take(self, scope: Scope) -> Kept | None:
        """Forget what is kept for the messages of a scope, and return it."""
        return self._kept.pop(self._key(scope), None)

    def take_own(self, scope: Scope) -> Kept | None:
        """The same, unless it is kept for other runs too."""
        return None if self._key(scope) is None else self._kept.pop(scope, None)

    def forget(self, run: RunBooks) -> None:
        """Forget what is kept for a run, and for lists in it, alone."""
        for key in [key for key in self._kept if key is not None and key.run is run]:
            del self._kept[key]


class Pool:
    """Messages held until something is made of them, in order of arrival."""

    __slots__ = ("_held", "homes")

    def __init__(self) -> None:
        self._held: deque[tuple[Part, Scope]] = deque()
        self.homes: dict[Scope, None] = {}  # the lists or runs that they belong to

    def __len__(self) -> int:
        return len(self._held)

    @property
    def parts(self) -> list[Part]:
        return [part for part, _ in self._held]

    def add(self, message: Message, emit: Emitter) -> bool:
        """Hold a message; say whether it is the first of its list or run."""
        part, home = Part(message.data), home_of(message)
        emit.hold([part])
        self._held.append((part, home))
        if home in self.homes:
            return False
        self.homes[home] = None
        emit.owe()
        return True

    def take(self, number: int) -> list[Part]:
        """Take the oldest out, so many."""
        taken = [part for part, _ in islice(self._held, number)]
        if number >= len(self._held):
            self._held.clear()
            self.homes.clear()
            return taken
        for _ in taken:
            self._held.popleft()
        left = {home for _, home in self._held}
        self.homes = {home: None for home in self.homes if home in left}
        return taken

    def stay(self, run: RunBooks) -> list[bool]:
        """Say of each message, oldest first, whether it stays when a run is forgotten."""
        return [home.run is not run for _, home in self._held]

    def forget(self, run: RunBooks) -> None:
        """Forget what belongs to a run: it is over."""
        if any(home.run is run for home in self.homes):
            self._held = deque(entry for entry in self._held if entry[1].run is not run)
            self.homes = {home: None for home in self.homes if home.run is not run}


def home_of(message: Message) -> Scope:
    """Return the list or run that a message belongs to."""
    if message.scope is None:
        raise AssertionError("unreachable: the engine hands messages over with their scope")
    return message.scope


def data_of(parts: Sequence[Part]) -> list[Any]:
    """Return what parts carry."""
    return [part.data for part in parts]


# -- checks of what operators are made with


def check_by(owner: str, by: Any) -> By:
    """Return how messages are pooled; `FlowBuildError` if that cannot be."""
    if by not in ("all", "run"):
        raise FlowBuildError(f'{owner}: by is {by!r}. Choose "all" or "run".')
    found: By = by
    return found


def check_seconds(owner: str, name: str, seconds: Any) -> float:
    """Return a time; `FlowBuildError` if it is no number above 0."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not seconds > 0
        or not isfinite(seconds)
    ):
        raise FlowBuildError(
            f"{owner}: {name} is {seconds!r}; it is a time in seconds, so give a number above 0."
        )
    return seconds


def check_function(owner: str, name: str, function: Any) -> Callable[..., Any]:
    """Return a function that an operator is to call itself; `FlowBuildError` if it cannot."""
    if not callable(function):
        raise FlowBuildError(f"{owner}: {name} is of type {type(function).__name__}; give a function.")
    if iscoroutinefunction(function) or isasyncgenfunction(function) or isgeneratorfunction(function):
        raise FlowBuildError(
            f"{owner}: {name} is an async or generator function, and what it returns is taken as it is. Give a plain function; work that waits "
            "belongs into an operation of its own in front."
        )
    found: Callable[..., Any] = function
    return found


def check_in_ports(owner: str, ports: Any) -> tuple[str, ...]:
    """Return the names of in-ports; `FlowBuildError` if they are not two or more different ones."""
    if isinstance(ports, str) or not isinstance(ports, Sequence):
        raise FlowBuildError(
            f'{owner}: ports is of type {type(ports).__name__}. Give their names, such as ["left", "right"].'
        )
    names = tuple(checked_port(port) for port in ports)
    if len(names) < 2 or len({name.casefold() for name in names}) < len(names):
        raise FlowBuildError(
            f'{owner}: ports is {list(names)!r}. Give two or more different names, such as ["left", "right"]; upper and lower case are the same.'
        )
    return names
