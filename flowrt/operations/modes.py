"""Modes, as data: sync, async (a thread of its own), parallel, dispatched. A new mode begins here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from attrs import field, frozen

from flowrt import users
from flowrt.errors import FlowBuildError

ModeKind = Literal["sync", "async", "parallel"]
DEFAULT_WORKERS = 4  # the ancestor's fixed number (B180), here only a default
WORKERS_LIMIT = 10_000  # arbitrary: nobody means more threads than that


class CanDispatch(Protocol):
    """What hands calls to a thread that is not flowrt's; see `flowrt.executors.dispatchers`."""

    def dispatch(self, callable: Callable[[], object], /) -> object:  # noqa: A002 - what it is
        """Have it called once, later; return at once."""


@frozen
class Mode:
    """Where an operation runs. `pool` None: threads of its own. `dispatcher`: what hands its calls to a thread that is not flowrt's."""

    kind: ModeKind = "sync"
    workers: int = 1
    pool: str | None = None
    ordered: bool = False
    by_key: str | Callable[[Any], Any] | None = None
    dispatcher: Any = field(default=None, eq=id)

    def __str__(self) -> str:
        if self.dispatcher is not None:
            return "dispatched"
        return f"parallel({self.workers})" if self.kind == "parallel" else self.kind


@frozen(eq=False)
class InMode:
    """A function or an operation with the mode it is to run in, for chains and for `add_func`: what `parallel(f, 4)` returns."""

    operation: Any
    mode: Mode


SYNC = Mode()
# What the "parallel" schedule makes of sync operations without state. No user's pool begins with a blank: names are stripped.
SHARED = Mode("parallel", DEFAULT_WORKERS, " shared", ordered=True)


def parallel_mode(owner: str, workers: Any, pool: Any, *, ordered: bool, by_key: Any) -> Mode:
    """Return a parallel mode; `FlowBuildError`, with `owner` in front, for numbers and wishes that cannot be."""
    number = users.count_of(workers)
    if number is None or not 1 <= number <= WORKERS_LIMIT:
        raise FlowBuildError(
            f"{owner}(workers={users.told(workers)}) cannot run anything; give a number of threads from 1 to {WORKERS_LIMIT}."
        )
    where = owner.removesuffix(": make_parallel")
    if ordered and by_key is not None:
        raise FlowBuildError(
            f"{where}: ordered=True restores the order of all messages, by_key only of those with one key. Choose one."
        )
    if not (by_key is None or callable(by_key) or (users.is_a(by_key, str) and by_key == "port")):
        raise FlowBuildError(
            f'{where}: by_key is {users.told(by_key)}; give "port", or a function of the data.'
        )
    return Mode("parallel", number, pool_name(pool), ordered, by_key)


def pool_name(pool: Any) -> str | None:
    """Return the name of a pool without blanks around it; None: threads of its own."""
    if pool is None:
        return None
    if not isinstance(pool, str) or not pool.strip():
        raise FlowBuildError(f"a pool is named by a text, got {users.told(pool)}.")
    return pool.strip()


def checked_dispatcher(where: str, dispatcher: Any) -> Any:
    """Return what is to call an operation; `FlowBuildError` if it cannot."""
    if not callable(getattr(dispatcher, "dispatch", None)):
        hint = ""
        if hasattr(dispatcher, "winfo_toplevel"):
            hint = " Wrap the window: TkDispatcher(root)."
        elif hasattr(dispatcher, "call_soon_threadsafe"):
            hint = " Wrap the loop: AsyncioDispatcher(loop)."
        raise FlowBuildError(
            f"{where} takes an object with dispatch(callable), got {type(dispatcher).__name__}.{hint}"
        )
    if isinstance(dispatcher, type):
        raise FlowBuildError(f"{where} got the class {dispatcher.__name__} itself; pass an instance.")
    return dispatcher
