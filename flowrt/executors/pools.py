"""Which executor an operation gets, by its mode: the engine's thread, a dispatcher, a pool by name or of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flowrt.ports import folded

if TYPE_CHECKING:
    from flowrt.engine.contract import Executor
    from flowrt.executors.inline import InlineExecutor
    from flowrt.operations.declarations import Declaration


class ExecutorPools:
    """Makes a pool when an operation first needs it.

    Args:
        inline: for operations made sync.
        make: makes a pool, given its name and how many workers it has.
        parallelism: False runs every operation inline, but for the dispatched ones: a dispatcher says where, not how many.
        dispatched: makes the executor of an operation with a dispatcher; None: `make` does, with one worker.
    """

    def __init__(
        self,
        inline: InlineExecutor,
        make: Callable[[str, int], Executor],
        *,
        parallelism: bool,
        dispatched: Callable[[Declaration], Executor] | None = None,
    ) -> None:
        self._inline = inline
        self._make = make
        self._parallelism = parallelism
        self._dispatched = dispatched
        self._pools: dict[object, Executor] = {}
        self._all: list[Executor] = []

    def executor_for(self, declaration: Declaration) -> Executor:
        mode = declaration.mode
        if mode.dispatcher is None and (mode.kind == "sync" or not self._parallelism):
            return self._inline
        key: object = folded(mode.pool) if mode.pool is not None else declaration
        pool = self._pools.get(key)
        if pool is None:
            if mode.dispatcher is not None and self._dispatched is not None:
                pool = self._dispatched(declaration)
            else:
                pool = self._make((mode.pool or declaration.name).strip(), mode.workers)
            self._pools[key] = pool
            self._all.append(pool)
        return pool

    def all(self) -> Sequence[Executor]:
        return self._all
