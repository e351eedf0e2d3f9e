"""How far a run of the tests goes: a person's looks whether what is known still holds, with `--full` it searches for more."""

from collections.abc import Iterable
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

full = False  # set by conftest.py, before any test is imported


def of(number: int) -> int:
    """So many with `--full`; a quarter of them without."""
    return number if full else max(1, number // 4)


def share(cases: Iterable[T], *key: object) -> list[T]:
    """All cases with `--full`; a quarter of them without, not the same for each key."""
    return list(cases) if full else list(cases)[crc32(repr(key).encode()) % 4 :: 4]
