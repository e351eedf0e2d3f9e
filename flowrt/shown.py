"""What `dir()` shows of a class that users meet: what is meant for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class _Shown(type):
    _inner: frozenset[str]

    def __dir__(cls) -> Iterable[str]:
        return _for_users(super().__dir__(), cls._inner)


class Shown(metaclass=_Shown):
    """Leaves what is for other modules of flowrt out of `dir()`: names with an underscore, and those in `_inner`.

    They stay public for flowrt, which type checkers and linters see to; completion in a notebook or an editor is for users.
    """

    __slots__ = ()
    _inner: ClassVar[frozenset[str]] = frozenset()

    def __dir__(self) -> Iterable[str]:
        return _for_users(super().__dir__(), type(self)._inner)


def _for_users(names: Iterable[str], inner: frozenset[str]) -> list[str]:
    return [name for name in names if name not in inner and (name.startswith("__") or name[:1] != "_")]
