"""Operators that let messages pass, one by one, or not: Filter, Switch, Distinct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.errors import FlowBuildError, check_count
from flowrt.operations.contract import Emitter, Operation, checked_port
from flowrt.standard.keeping import MAX_OPEN, Keeper, check_function

if TYPE_CHECKING:
    from flowrt.messages import Message
    from flowrt.standard.keeping import By, ByList


MAX_KEYS = 100_000  # arbitrary; some 10 MB of short texts


class Filter(Operation):
    """Let the messages pass of which `predicate(data)` is true.

    Ports:
        in  any name   any object
        out .          the same object, in order
        out .rejected  the others; those that no stream takes end as absorbed

    A message of which the predicate raises fails.
    Runs on: the engine thread; so does the predicate.
    """

    out_ports: tuple[str, ...] | None = ("", "rejected")
    optional_ports: tuple[str, ...] = ("rejected",)

    def __init__(self, name: str, predicate: Callable[[Any], Any]) -> None:
        super().__init__(name)
        self.predicate: Callable[..., Any] = check_function(f'Filter "{name}"', "predicate", predicate)

    def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
        emit(message.data, "" if self.predicate(message.data) else "rejected")


class Switch(Operation):
    """Send each message out of the port that `choose(data)` names.

    Ports:
        in  any name  any object
        out           the same object, in order; any port, or those in `ports`. "" is the default port

    A message of which `choose` raises, or names no port or none of `ports`, fails.

    Args:
        name: of the operation.
        choose: returns the name of an out-port for the data.
        ports: the out-ports there are. Given, streams from others are refused when the flow is built.

    Runs on: the engine thread; so does `choose`.
    """

    out_ports: tuple[str, ...] | None = None

    def __init__(self, name: str, choose: Callable[[Any], str], ports: Sequence[str] | None = None) -> None:
        super().__init__(name)
        self.choose: Callable[..., Any] = check_function(f'Switch "{name}"', "choose", choose)
        if ports is None:
            return
        if isinstance(ports, str) or not isinstance(ports, Sequence) or not ports:
            raise FlowBuildError(
                f'Switch "{name}": ports is {ports!r}. Give the names of its out-ports, such as ["big", "small"].'
            )
        self.out_ports = tuple(checked_port(port) for port in ports)

    def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
        port = self.choose(message.data)
        if not isinstance(port, str):
            raise FlowBuildError(
                f'Switch "{self.name}": choose returned {type(port).__name__}. Return the name of an out-port, also for what is not wanted.'
            )
        emit(message.data, port)


class Distinct(Keeper):
    """Let only the first message of each key pass.

    Ports:
        in  any name  any object; its key can be hashed
        out .         the same object, in order; what has come before ends as absorbed

    Items of a scattered list are compared within their list, other messages with those of all runs. What a cancelled run has brought counts.
    A message of which `key` raises fails, and is not remembered.

    Args:
        name: of the operation.
        key: what is compared; without it, the data itself.
        by: "all", or "run" to compare messages with those of their own run alone.
        max_keys: so many are remembered; then the one that has not come for longest is forgotten, without a word, and would pass again.
            None: all are, and memory grows with their number.
        max_open: lists (or runs), at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Runs on: the engine thread; so does `key`.
    """

    def __init__(
        self,
        name: str | None = None,
        key: Callable[[Any], Any] | None = None,
        *,
        by: By = "all",
        max_keys: int | None = MAX_KEYS,
        max_open: int = MAX_OPEN,
    ) -> None:
        super().__init__(name, by, max_open)
        self.key: Callable[..., Any] | None = None if key is None else check_function(self._owner, "key", key)
        self.max_keys: int | None = (
            None if max_keys is None else check_count(self._owner, "max_keys", max_keys)
        )

    def make_kept(self) -> dict[Any, None]:
        return {}

    def handle(self, state: ByList[dict[Any, None]], message: Message, emit: Emitter) -> None:
        key = message.data if self.key is None else self.key(message.data)
        try:
            key = users.as_key(key)
        except TypeError:
            raise FlowBuildError(
                f'Distinct "{self.name}" remembers keys, and a {users.name_of_type(key)} cannot be hashed. Give key=, a function that returns a str, '
                "an int or a tuple of such."
            ) from None
        seen = state.of(message, emit)
        known = key in seen
        if known:
            del seen[key]
        elif self.max_keys is not None and len(seen) >= self.max_keys:
            del seen[next(iter(seen))]
        seen[key] = None
        if not known:
            emit(message.data)
