"""What the operators share: what they keep by list or run, with bounds, and checks of what they are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from attrs import define, field

from flowrt import users
from flowrt.errors import FlowBuildError, FlowOverloadError, check_count, describe
from flowrt.messages import Part
from flowrt.operations.contract import Emitter, Operation, checked_port
from flowrt.ports import folded

if TYPE_CHECKING:
    from flowrt.messages import Message, RunBooks, Scope


By = Literal["all", "run"]
JoinedBy = Literal["correlation", "run"]
MAX_OPEN = 100_000  # lists and runs; arbitrary, some 50 MB
MAX_IDS = 10_000  # correlation ids; arbitrary, as the gather's
MAX_WAITING = 100_000  # messages; arbitrary, as the gather's

Kept = TypeVar("Kept")


@define(eq=False, repr=False)
class ByList(Generic[Kept]):
    """What an operation keeps at one place: apart for each scattered list; of what is in no list for all runs together, or for each run apart."""

    _owner: str
    _by_run: bool
    _limit: int
    _make: Callable[[], Kept]
    _kept: dict[Scope | None, Kept] = field(factory=dict, init=False)

    def _key(self, scope: Scope) -> Scope | None:
        return scope if self._by_run or scope.parent is not None else None

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def find(self, scope: Scope) -> Kept | None:
        """Return what is kept for the messages of a scope, if anything is."""
        return self._kept.get(self._key(scope))

    def of(self, message: Message, emit: Emitter) -> Kept:
        """Return what is kept for a message and its like; made, unless there are too many, if it is the first, and owed to its list or run."""
        key = self._key(home_of(message))
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._limit:
                raise _full(self._owner, self._limit, "lists or runs", "Let some of them end first")
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
        drop_run(self._kept, run)


class Keeper(Operation):
    """An operation that keeps something for each list, and of what is in no list for all runs together, or for each run apart.

    `make_kept` makes it. Unless a subclass knows better, it is forgotten when its list has gone quiet, or its run is cancelled.
    """

    ways: tuple[str, str] = ("all", "run")  # `by` may be one of them

    def __init__(self, name: str | None, by: Any, max_open: int) -> None:
        super().__init__(name)
        self._owner = f'{type(self).__name__} "{self.name}"'
        if by not in self.ways:
            raise FlowBuildError(f'{self._owner}: by is {by!r}. Choose "{self.ways[0]}" or "{self.ways[1]}".')
        self.by: str = by
        self.max_open: int = check_count(self._owner, "max_open", max_open)

    def make_kept(self) -> Any:
        raise NotImplementedError

    def create(self) -> Any:
        return ByList(self._owner, self.by == "run", self.max_open, self.make_kept)

    def drained(self, state: Any, scope: Scope, emit: Emitter) -> None:
        """Forget what is kept for a list."""
        state.take_own(scope)

    def cancelled(self, state: Any, run: RunBooks) -> None:
        """Forget what is kept for a run and its lists."""
        state.forget(run)


class Holder(Keeper):
    """A keeper whose `make_kept` makes what holds messages, and has `forget(run)`."""

    def cancelled(self, state: Any, run: RunBooks) -> None:
        """Forget the messages of a run, and only those."""
        state.forget(run)
        for held in state:
            held.forget(run)


@define(eq=False, repr=False)
class Bucket:
    """What is kept under one correlation id, or for one position; `among` the others, under `key`."""

    among: dict[object, Any]
    key: object


AnyBucket = TypeVar("AnyBucket", bound=Bucket)


@define(eq=False, repr=False)
class Buckets(Generic[AnyBucket]):
    """What an operation keeps at one place by correlation id, for all runs together; or by position in each list or run.

    The home of a correlation id is None, that of a position its list or run.
    """

    _owner: str
    _limit: int
    _make: Callable[[dict[object, Any], object], AnyBucket]
    _remedy: str
    _number: int = field(default=0, init=False)
    _kept: dict[Scope | None, dict[object, AnyBucket]] = field(factory=lambda: {None: {}}, init=False)

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[AnyBucket]:
        for buckets in list(self._kept.values()):
            yield from list(buckets.values())

    def key_of(self, correlation_id: object) -> Hashable:
        """Return what an id is kept under; `FlowBuildError` if it cannot be hashed or compared."""
        try:
            return users.as_key(correlation_id)
        except users.STOPS:
            raise
        except BaseException as error:
            why = (
                "hashed"
                if users.is_a(error, TypeError)
                else f"hashed and compared: it raised {describe(error)}"
            )
            raise FlowBuildError(
                f"{self._owner} goes by the correlation id, and this one cannot be {why} ({users.name_of_type(correlation_id)}). Use a str, an int "
                "or a tuple."
            ) from error

    def find(self, home: Scope | None, key: Hashable) -> AnyBucket | None:
        """Return what is kept under a correlation id (as `key_of` gives it) or for a position, if anything is."""
        return self._kept.get(home, {}).get(key)

    def of(self, home: Scope | None, key: object, emit: Emitter) -> AnyBucket:
        """Return the same; made, unless there are too many, if it is the first, and owed to its list or run."""
        bucket = self.find(home, key)
        if bucket is None:
            if self._number >= self._limit:
                what = "correlation ids" if home is None else "positions in lists and runs"
                raise _full(self._owner, self._limit, what, self._remedy)
            if home not in self._kept:
                self._kept[home] = {}
                emit.owe()
            among = self._kept[home]
            bucket = among[key] = self._make(among, key)
            self._number += 1
        return bucket

    def drop(self, bucket: AnyBucket) -> bool:
        """Forget one; say whether it was there."""
        if bucket.among.get(bucket.key) is not bucket:
            return False
        del bucket.among[bucket.key]
        self._number -= 1
        return True

    def take(self, scope: Scope) -> list[AnyBucket]:
        """Forget what is kept for the positions of a list or run, and return it."""
        among = self._kept.pop(scope, {})
        found = list(among.values())
        among.clear()
        self._number -= len(found)
        return found

    def take_all(self, run: RunBooks) -> list[AnyBucket]:
        """Forget what is kept for the positions of a run and of lists in it, and return it."""
        scopes = [scope for scope in self._kept if scope is not None and scope.run is run]
        return [bucket for scope in scopes for bucket in self.take(scope)]


@define(eq=False, repr=False)
class Held:
    """Messages held until something is made of them, in order of arrival."""

    _held: deque[tuple[Part, Scope]] = field(factory=deque, init=False)
    homes: dict[Scope, None] = field(factory=dict, init=False)  # the lists or runs that they belong to

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

    def leave(self, emit: Emitter, reason: str = "") -> None:
        """Emit all of them as one list, or give them back for a reason; nobody is woken for them any more."""
        homes, parts = list(self.homes), self.take(len(self))
        if reason:
            emit.absorb(parts, reason)
        else:
            emit.merge(parts, data_of(parts))
        for home in homes:
            emit.wake(None, home)

    def stay(self, run: RunBooks) -> list[bool]:
        """Say of each message, oldest first, whether it stays when a run is forgotten."""
        return [home.run is not run for _, home in self._held]

    def forget(self, run: RunBooks) -> None:
        """Forget what belongs to a run: it is over."""
        if any(home.run is run for home in self.homes):
            self._held = deque(entry for entry in self._held if entry[1].run is not run)
            self.homes = {home: None for home in self.homes if home.run is not run}


def drop_run(kept: dict[Any, Any], run: RunBooks) -> None:
    """Take what belongs to a run out of what is kept by scope, None being that of no run."""
    for scope in [scope for scope in kept if scope is not None and scope.run is run]:
        del kept[scope]


def without(parts: deque[Part], run: RunBooks) -> deque[Part]:
    """Return parts held without those of a run."""
    return deque(part for part in parts if part.scope is None or part.scope.run is not run)


def _full(owner: str, limit: int, what: str, remedy: str) -> FlowOverloadError:
    return FlowOverloadError(
        f"{owner} already keeps something for max_open={limit} {what}. {remedy}, or raise max_open."
    )


def home_of(message: Message) -> Scope:
    """Return the list or run that a message belongs to."""
    assert message.scope is not None  # the engine hands messages over with their scope
    return message.scope


def index_of(ports: Sequence[str]) -> dict[str, int]:
    """Return the number of each port, by its folded name."""
    return {folded(port): index for index, port in enumerate(ports)}


def data_of(parts: Sequence[Part]) -> list[Any]:
    """Return what parts carry."""
    return [part.data for part in parts]


# -- checks of what operators are made with


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
    if len(names) < 2 or len({folded(name) for name in names}) < len(names):
        raise FlowBuildError(
            f'{owner}: ports is {list(names)!r}. Give two or more different names, such as ["left", "right"]; names ignore case.'
        )
    return names
