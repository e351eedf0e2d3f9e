"""The `Operation` contract: what an operation is, and what it emits with."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, fields, frozen

from flowrt import users
from flowrt.errors import ContractError, FlowBuildError, FlowError, check_seconds
from flowrt.messages import ABSORBED, DISCARDED, Correlated, Part, Scope
from flowrt.ports import did_you_mean, folded, odd_character

if TYPE_CHECKING:
    from datetime import datetime

    from flowrt.messages import Message, Missing, Positions


def checked_port(name: Any, side: str = "out") -> str:
    """Return the name of a port without its dot; `FlowBuildError`, in the operation that uses it, if it cannot be one."""
    if isinstance(name, str):
        plain = name.removeprefix(".")
        if plain.isidentifier() or not plain:
            return plain
        why = odd_character(plain)
        if not why and plain.strip() == plain:
            return plain
        why = f": {why}" if why else ""
    else:
        why = ""
    raise FlowBuildError(
        f"{name!r} cannot name an {side}-port{why}. A port's name is a text without . / \\ # *, control characters and blanks around it."
    )


@frozen
class Emit:
    """What a generator yields to send `data` out of a port of its own name: `yield Emit("rejected", line)`."""

    port: str = field(converter=checked_port)
    data: Any = None


class Act(enum.Enum):
    """What an operation asks for besides emitting; entries of a group's log."""

    HOLD = 1
    MERGE = 2
    RELEASE = 3
    SCATTER = 4
    GATHER = 5
    GIVE_UP = 6
    SURPLUS = 7
    PUSH = 8
    POP = 9
    FAIL = 10
    WAKE = 11
    OWE = 12


LogEntry = tuple[int, Any, Any]
"""What a call did: the number of its input; a port and data, or an `Act` and what it is about."""
Log = list[LogEntry]  # in order


class MessageBatch(Protocol):
    """Consecutive messages of one context, as `handle_many` gets them."""

    port: str
    data: list[Any]
    positions: Positions
    scope: Scope
    correlation_id: object
    causality: Any

    def gathering_scope(self) -> Scope | None:
        """Return the innermost scope of these messages that this place gathers."""


class OwnAccord(Protocol):
    """What an active operation emits with, from its activation to the end of the runtime; any thread, at any time."""

    def __call__(
        self, data: Any = None, port: str = "", *, correlation_id: object = None, priority: int = 0
    ) -> None:
        """Emit on a port, as a run of its own."""

    def wake(self, seconds: float | None) -> None:
        """Have `timer(state, None, emit)` called after so many seconds; None: not at all."""

    def now(self) -> float:
        """Return the seconds of the runtime's clock."""

    def time(self) -> datetime:
        """Return the date and time, in UTC."""

    def has_room(self) -> bool:
        """Say whether there is room for input."""


class _Over:
    """Stands for the log of a call that has returned."""

    def append(self, _entry: object) -> None:
        raise FlowError(
            "an operation used its emitter after the call it was handed to had returned: nobody would take what it emits. Emit during "
            "the call; an action's continuations may be kept and called later."
        )


class Emitter:
    """What an operation emits with, and how it tells the ledger what it keeps.

    Valid during the call it is handed to; `FlowError` after it. What is done with it takes effect in order, when the call has
    returned or raised.
    """

    __slots__ = ("_fed", "_index", "_log", "_ports")

    def __init__(
        self, log: Log, index: int, fed: frozenset[str], ports: tuple[str, ...] | None = None
    ) -> None:
        self._log: Log | _Over = log
        self._index = index
        self._fed = fed
        self._ports = ports

    def made_of(self) -> tuple[Any, int, frozenset[str], tuple[str, ...] | None]:
        """Return what makes another emitter on the same log, for who stands between an operation and its own."""
        return self._log, self._index, self._fed, self._ports

    def end(self) -> None:
        """The call is over."""
        self._log = _OVER

    def __call__(self, data: Any = None, port: str = "", correlation_id: object = None) -> None:
        """Emit on a port, in the context of the message in hand. An id counts only where the message has none.

        Raises:
            FlowBuildError: the operation knows its out-ports, and this is none of them.
        """
        name = checked_port(port)
        if (
            self._ports is not None
            and name not in self._ports
            and folded(name) not in map(folded, self._ports)
        ):
            known = [f".{each}" if each else "the default one" for each in self._ports]
            raise FlowBuildError(
                f'the operation has no out-port ".{name}" to emit on.{did_you_mean("." + name, known)}'
            )
        argument = data if correlation_id is None else Correlated(data, correlation_id)
        self._log.append((self._index, name, argument))

    def is_fed(self, port: str) -> bool:
        """Say whether a stream leads to this in-port."""
        return port in self._fed or folded(port) in self._fed

    def hold(self, parts: Sequence[Part]) -> None:
        """Keep the messages in hand: as these parts, one each.

        Parts beyond that, and a part that is held already, fail the message.
        """
        self._log.append((self._index, Act.HOLD, _parts_of(parts, "hold")))

    def owe(self) -> None:
        """Have `drained` called when the list or run of the message in hand has gone quiet, also if nothing of it is held.

        Who owes a scope something for that scope alone is told as soon as that is quiet; who only holds parts, which messages of
        other lists may still complete, when the whole run is.
        """
        self._log.append((self._index, Act.OWE, None))

    def merge(
        self, parts: Sequence[Part], data: Any, port: str = "", *, made_of: Sequence[Part] | None = None
    ) -> None:
        """Emit one message made of parts held, in the context of the message in hand (in `drained`: of the scope).

        It has the correlation id that all parts have, and the causalities that all share; of the parts in `made_of`, if some of them stay.
        """
        parts = _parts_of(parts, "merge")
        origins = parts if made_of is None else _parts_of(made_of, "merge")
        self._log.append((self._index, Act.MERGE, (parts, data, checked_port(port), origins)))

    def release(self, parts: Sequence[Part], reason: str) -> None:
        """Give up parts held: they end as discarded."""
        self._log.append((self._index, Act.RELEASE, (_parts_of(parts, "release"), reason, DISCARDED)))

    def absorb(self, parts: Sequence[Part], reason: str = "") -> None:
        """Give parts held back, for nothing more is to come of them: they end as absorbed."""
        self._log.append((self._index, Act.RELEASE, (_parts_of(parts, "absorb"), reason, ABSORBED)))

    def scatter(self, items: Iterable[Any], stream: str, count: str, window: int) -> None:
        """Open a scope and send the items out on one port, as windows allow, then their number on another."""
        self._log.append((self._index, Act.SCATTER, (items, stream, count, window)))

    def keep_for(self, scope: Scope) -> None:
        """Keep the messages in hand for the list this place owes `scope`."""
        self._log.append((self._index, Act.HOLD, scope))

    def gather(self, scope: Scope, data: Any, causality: Any, missing: Sequence[Missing] = ()) -> None:
        """Emit what this place owes `scope`, once, in the context in which the list arrived at its scatter; it copes without `missing`."""
        self._log.append((self._index, Act.GATHER, (scope, data, causality, missing)))

    def give_up(self, scope: Scope, error: FlowError | None) -> None:
        """Owe `scope` nothing any more; the error, if any, is one of the list."""
        self._log.append((self._index, Act.GIVE_UP, (scope, error)))

    def fail_kept(self, scope: Scope, items: Sequence[tuple[Any, Any]], error: FlowError) -> None:
        """Fail messages kept for `scope`, given as (position, data): they do not belong to its list."""
        self._log.append((self._index, Act.SURPLUS, (scope, tuple(items), error)))

    def wake(self, seconds: float | None, about: Any = None) -> None:
        """Have `timer` called after so many seconds; None: not any more.

        It is called for the scope of the message in hand, or for `about`: another scope, or an object of your own that can be hashed. There is
        one such call at most per place and scope or object: asking again moves it. Until it has been made the scope is not drained; when the
        runtime is closed it is not waited for. Nobody waits for a call about an object of your own; it may come when the runs are over, and can
        give parts up and wake, but not emit.
        """
        if seconds is not None:
            seconds = check_seconds("emit.wake", "seconds", seconds, zero=True, endless=True)
        if not (about is None or users.is_a(about, (Scope, Part))):
            about = users.as_key(about)
        self._log.append((self._index, Act.WAKE, (seconds, about)))

    def push(self) -> None:
        """Send the messages in hand on, inside a new causality of this place."""
        self._log.append((self._index, Act.PUSH, None))

    def pop(self) -> None:
        """Send the messages in hand on, outside their innermost causality; those that are in none fail."""
        self._log.append((self._index, Act.POP, None))

    def fail(self, error: FlowError, first: int = 0, messages: int = 1) -> None:
        """Fail messages in hand: `messages` of them, from `first` on."""
        self._log.append((self._index, Act.FAIL, (error, first, messages)))


_OVER = _Over()


def _parts_of(given: Iterable[Part], verb: str) -> tuple[Part, ...]:
    parts = tuple(given)
    for part in parts:
        if not users.is_a(part, Part):
            raise ContractError(
                f"emit.{verb} takes parts, got {users.name_of_type(part)}. Make a flowrt.Part(data) of each message, and keep that."
            )
    return parts


class NameOfClass(str):
    """The name of an operation that was given none: of two in one flow, the second is free to take a number."""

    __slots__ = ()


def name_of_class(operation: object) -> NameOfClass:
    """Return what an operation is called that was given no name: its class, in lower snake case."""
    return NameOfClass(snake(type(operation).__name__))


def snake(name: str) -> str:
    """Return a name of several words as functions are named: `PushCausality` is `push_causality`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().strip("_")


class Operation:
    """A unit of work with named ports and, per place in the flow, a state of its own.

    A class to start from; whatever has the same members will do.

    `in_ports` and `out_ports` are tuples of names, "" for the default port; None means any. Six things are optional: the method
    `activate(emit)` is called once per place when the runtime starts, on the engine's thread, and makes the operation an active one: `emit`
    (an `ActiveEmitter`) may be used on any thread until the runtime is closed, and each emission is a run of its own. The method
    `timer(state, scope, emit)` is called when the time has come that was asked for by `emit.wake(seconds)`, `scope` being the list or run of the
    message in hand then, or what the call was asked for about (None for the emitter of `activate`, and `emit` is that one then); such an
    operation runs on the engine's thread. The method
    `handle_many(state, batch, emit)` takes consecutive messages of one context at once, instead of `handle`; with it, the method
    `keeps(state, port, scope, messages)` says whether so many more messages of a scope that it gathers lead to nothing before the last of
    them, so that a depth-first schedule may hand them over at once too; the attribute `bracket` is 1 for an operation that opens a scope
    for a list, -1 for one that gathers it. And `optional_ports` names out-ports that need no stream: what leaves there ends as absorbed.

    Three attributes say how a chain (`Flow.add_chain`) goes through: it enters at `way_in` and leaves by `way_out`, by default the default
    port, or the only one; from the `across` of an operation with `bracket` 1 a stream goes to the `across` of the one that closes it.

    Args:
        name: by default the name of the class in lower snake case, `PushCausality` being `push_causality`.

    Runs on: one thread at a time; the engine's, unless made async.
    """

    in_ports: tuple[str, ...] | None = None
    out_ports: tuple[str, ...] | None = ("",)
    optional_ports: tuple[str, ...] = ()

    def __init__(self, name: str | None = None) -> None:
        self.name: str = name_of_class(self) if name is None else name

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self.name}">'

    def create(self) -> Any:
        """Make the state of one place. By default there is none.

        Runs on: the thread that `handle` is called on, before its first call; what it raises there fails the message in hand, and the next
        one has it tried again. Of an operation on the engine's thread it is called when the place is made, and a failure is a `FlowBuildError`.
        `drained` and `cancelled` are called on the engine's thread.
        """
        return None

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        """Work on one message; a message for which nothing is emitted, and which is not held, ends here."""
        raise TypeError(
            f'operation "{self.name}" ({type(self).__name__}) has no handle(state, message, emit) of its own'
        )

    def drained(self, state: Any, scope: Scope, emit: Emitter) -> None:
        """Emit what is owed for a scope: nothing more will come of it. By default nothing is."""

    def cancelled(self, state: Any, run: Any) -> None:
        """Forget what belongs to a run: it is over. By default there is nothing."""


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(folded(name) for name in names)


@frozen(eq=False)
class Extras:
    """What an operation may have besides what the contract asks of all: see `Operation`. Looked up once, where it is declared or made.

    `ordered` and `by_position` say that it asks where messages stand; `on_missing`, what it does about items that will not come. For
    `explain()`: `owes(state, scope)` says how many items a list has and which are here, `explain(state)` what else it waits for.
    """

    activate: Callable[..., None] | None = None
    timer: Callable[..., None] | None = None
    handle_many: Callable[..., None] | None = None
    keeps: Callable[..., bool] | None = None
    bracket: int = 0
    way_in: str = ""
    way_out: str = ""
    across: str = ""
    optional_ports: frozenset[str] = field(default=(), converter=_folded)
    ordered: bool = False
    by_position: bool = False
    on_missing: str = "fail"
    owes: Callable[..., tuple[int | None, set[int | None]]] | None = None
    explain: Callable[..., object] | None = None

    @property
    def on_the_engine(self) -> bool:
        """Whether it can run nowhere but on the engine's thread."""
        return self.handle_many is not None or self.timer is not None


NO_EXTRAS = Extras()


def extras_of(operation: Any) -> Extras:
    """Look up what an operation has besides what the contract asks for; None has nothing."""
    if operation is None:
        return NO_EXTRAS
    found: list[Any] = [getattr(operation, each.name, each.default) for each in fields(Extras)]
    return Extras(*found)
