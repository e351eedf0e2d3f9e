"""The executors of one runtime: its engine's thread, and pools by name or by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from flowrt.contract import Executor

if TYPE_CHECKING:
    from flowrt.declarations import Declaration
    from flowrt.executors.inline import InlineExecutor

Pool = TypeVar("Pool", bound=Executor)


class Pools(Generic[Pool]):
    """Makes a pool when an operation first needs it.

    Args:
        inline: for operations made sync.
        make: makes a pool, given its name and how many workers it has.
        parallelism: False runs every operation inline.
    """

    def __init__(
        self, inline: InlineExecutor, make: Callable[[str, int], Pool], *, parallelism: bool
    ) -> None:
        self._inline = inline
        self._make = make
        self._parallelism = parallelism
        self._pools: dict[object, Pool] = {}
        self._all: list[Pool] = []

    def executor_for(self, declaration: Declaration) -> Executor:
        mode = declaration.mode
        if mode.kind == "sync" or not self._parallelism:
            return self._inline
        key: object = mode.pool.casefold() if mode.pool is not None else declaration
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._make((mode.pool or declaration.name).strip(), mode.workers)
            self._all.append(pool)
        return pool

    def all(self) -> Sequence[Pool]:
        return self._all
