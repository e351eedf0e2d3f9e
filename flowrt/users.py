"""What belongs to a user, and may do anything when it is asked: how it is compared, counted, iterated over and named.

Whoever asks knows which message or call is in hand: what is raised here fails that, and nothing else. What says "never raises" is for
where nobody is to blame, as in the text of an error. An interrupt and `sys.exit()` come through everywhere: they are meant for the runtime.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeGuard, TypeVar

Sort = TypeVar("Sort")
STOPS = (SystemExit, KeyboardInterrupt)

# Comparing and hashing these runs no code of anybody's.
PLAIN = frozenset({str, int, bytes, bool, float, complex, type(None)})


def are_equal(one: object, other: object) -> bool:
    """Say whether two ids are one and the same, or equal. Raises what `==` and the truth of its result raise."""
    return one is other or bool(one == other)


def alike(one: object, other: object) -> bool:
    """Say whether two ids are one and the same, or equal; those that cannot be compared are not. Never raises."""
    try:
        return are_equal(one, other)
    except STOPS:
        raise
    except BaseException:
        return False


class Key:
    """Stands in a dictionary for a key of the user's: it is equal to what that is equal to, and comparing it never raises."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: Hashable) -> None:
        self.value: Hashable = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if type(other) is not Key:
            return NotImplemented
        # They met by chance, before another message's eyes; its own were told when it came.
        return alike(self.value, other.value)

    def __repr__(self) -> str:
        return f"Key({text_of(self.value, repr)})"


def is_plain(value: object) -> bool:
    """Say whether comparing and hashing a value runs no code of the user's. Never raises."""
    kind = type(value)
    return kind in PLAIN or (kind is tuple and all(map(is_plain, value)))  # type: ignore[call-overload]


def as_key(value: Any) -> Hashable:
    """Return what stands for a key or an id in a dictionary. Raises what the value raises when it is hashed, or compared with itself."""
    if is_plain(value):
        hashable: Hashable = value
        return hashable
    key = Key(value)
    bool(value == value)  # noqa: PLR0124 - whether it can be compared at all
    return key


# -- numbers, iterables, callables


def count_of(value: Any) -> int | None:
    """Return the int that a value stands for, one of NumPy as well; None if it is none. A bool is none: it is surely not meant."""
    if type(value) is int:
        return value
    if is_a(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return None
    try:
        return operator.index(value)
    except STOPS:
        raise
    except BaseException:
        return None


def seconds_of(value: Any) -> float | None:
    """Return a number of seconds, 0 or more and perhaps without an end; None if it is none."""
    if type(value) is not float and type(value) is not int:
        if is_a(value, (bool, str, bytes)) or type(value).__name__ in ("bool", "bool_"):
            return None
        if not hasattr(type(value), "__float__") and not hasattr(type(value), "__index__"):
            return None
    try:
        seconds = float(value)
    except OverflowError:  # an int beyond every float
        return math.inf if value > 0 else None
    except STOPS:
        raise
    except BaseException:
        return None
    return seconds if seconds >= 0 else None


def why_no_items(value: Any) -> str:
    """Say what to do with a value that cannot be taken apart, or whose items are surely not meant; nothing if it can."""
    if is_a(value, str):
        return "Its characters are hardly meant: send [text], or text.splitlines()."
    if is_a(value, (bytes, bytearray, memoryview)):
        return "Its bytes are hardly meant: send [data]."
    if _goes_by_names(value):
        return "Send a list or another iterable; of a mapping its .items(), .keys() or .values(), of a table its rows."
    return "" if can_iterate(value) else "Send a list or another iterable."


def can_iterate(value: Any) -> bool:
    """Say whether `iter()` takes a value: by `__iter__`, or by `__getitem__` alone. Runs nothing of it."""
    kind = type(value)
    if hasattr(kind, "__iter__"):
        return kind.__iter__ is not None
    return hasattr(kind, "__getitem__")


def _goes_by_names(value: Any) -> bool:
    """Say whether iterating over a value gives names of what it holds, or columns: that of mappings and of data frames does.

    What has `keys()` and a `dtype` is an array with labels, and gives its values.
    """
    kind = type(value)
    return (
        issubclass(kind, Mapping)
        or hasattr(kind, "columns")
        or (hasattr(kind, "keys") and not hasattr(kind, "dtype"))
    )


def is_a(value: object, kinds: type[Sort] | tuple[type[Sort], ...]) -> TypeGuard[Sort]:
    """Say what `isinstance` says by the type of a value; its `__class__`, which may lie or raise, is not asked."""
    return issubclass(type(value), kinds)


# -- names and texts: never raise


def name_of_type(value: object) -> str:
    """Return the name of a value's type."""
    try:
        return str.__str__(type(value).__qualname__)
    except STOPS:
        raise
    except BaseException:
        return "object"


def module_of(value: object) -> str:
    """Return the name of the module that a value's type is of."""
    return text_of(type(value), lambda kind: kind.__module__)


def text_of(value: object, tell: Callable[[Any], str] = str) -> str:
    """Return what a value says of itself; nothing if it raises."""
    try:
        return str.__str__(tell(value))
    except STOPS:
        raise
    except BaseException:
        return ""


def told(value: object) -> str:
    """Return the repr of an argument for the text of an error; where it has none, what type it is of."""
    return text_of(value, repr) or f"<{name_of_type(value)}>"


# -- exceptions: their own attributes are read past what their class makes of attributes

cause_of: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__cause__"].__get__
context_of: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__context__"].__get__
traceback_of: Callable[[BaseException], Any] = BaseException.__dict__["__traceback__"].__get__


def behind(error: BaseException) -> BaseException:
    """Return the cause of an exception, or itself where it has none."""
    cause = cause_of(error)
    return error if cause is None else cause


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an exception."""
    try:
        notes = object.__getattribute__(error, "__notes__")
    except STOPS:
        raise
    except BaseException:
        return []
    return [note for note in notes if type(note) is str] if type(notes) is list else []


def note(error: BaseException, text: str) -> None:
    """Add a note to an exception, a frozen one too; one that cannot have any goes without."""
    try:
        notes = [*notes_of(error), text]
        object.__setattr__(error, "__notes__", notes)
    except STOPS:
        raise
    except BaseException:  # noqa: S110 - the error itself counts
        pass


def discard(handlers: list[Any], handler: object) -> None:
    """Take a handler out of a list, once, if it is there: this one, not one that is equal to it."""
    for at, known in enumerate(handlers):
        if known is handler:
            del handlers[at]
            return
