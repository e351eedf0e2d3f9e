"""The `Operation` contract, and the bodies that perform operations.

A body performs a group of consecutive inputs: one loop, with the `try` inside, wherever it runs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from flowrt.errors import FlowBuildError, FlowError, did_you_mean

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.messages import Message, Positions
    from flowrt.scopes import Missing, Part, Scope

SLICE = 16  # calls between two looks at the clock: some 5 ns a call, and a cheap function that turns slow is noticed in time
END_OF_CALL = 0  # in a group's log: what follows from this call comes late


def checked_port(name: Any) -> str:
    """Return the name of an out-port without its dot; `FlowBuildError`, in the operation that uses it, if it cannot be one."""
    if isinstance(name, str):
        plain = name.removeprefix(".")
        if (
            plain.isidentifier()
            or not plain
            or (plain.isprintable() and not set("./\\#*") & set(plain) and plain.strip() == plain)
        ):
            return plain
    raise FlowBuildError(
        f"{name!r} cannot name an out-port. A port's name is a text without . / \\ # * and blanks around it."
    )


@frozen
class Emit:
    """What a generator yields to send `data` out of a port of its own name: `yield Emit("rejected", line)`."""

    port: str = field(converter=checked_port)
    data: Any = None


class Failure:
    """Stands in a group's results for a call that raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        trace = error.__traceback__
        self.error = error
        if (
            trace is not None and trace.tb_next is not None
        ):  # without our own frame; an error's own method might raise
            BaseException.with_traceback(error, trace.tb_next)


class Group:
    """Consecutive inputs performed in one go by one thread.

    Invariants: `results[i]` belongs to `data[i]`; both are only appended to by the thread that performs. `log` is appended to
    by any thread; the order of its entries is the order of the events. `failed` is set before a `Failure` is among the results, for the
    engine may look at them while the group is performed.
    `finished` is set before the outcome is posted. An emission appends first and looks at `finished` then, so it is either
    collected with the outcome or asks for another collection: none is lost, and no lock is needed.
    """

    __slots__ = (
        "clock",
        "collect",
        "data",
        "failed",
        "fed",
        "finished",
        "log",
        "messages",
        "operation",
        "results",
        "state",
        "stop",
        "until",
    )

    def __init__(self, data: list[Any], collect: Callable[[Group], None] | None = None) -> None:
        self.data = data
        self.results: list[Any] = []
        self.log: list[tuple[int, Any, Any]] = []
        self.failed = False
        self.finished = False
        self.stop = False
        self.collect = collect
        self.messages: Sequence[Message] = ()  # these four: only for an operation with state
        self.operation: Any = None
        self.state: Any = None
        self.fed: frozenset[str] = frozenset()
        self.clock: Clock | None = None  # where the engine itself performs: it stops at `until`
        self.until = 0.0

    def over(self) -> bool:
        """Say whether to stop after the call that has just returned."""
        return self.stop or (self.clock is not None and self.clock.now() > self.until)


class Body(Protocol):
    """What performs an operation's calls."""

    def perform(self, group: Group) -> None:
        """Perform the group's inputs one after another until all are done or `group.stop` is set; never raises."""
        ...


@frozen
class FunctionBody:
    """One result per input."""

    function: Callable[[Any], Any]

    def perform(self, group: Group) -> None:
        function = self.function
        append = group.results.append
        data = group.data
        for start in range(0, len(data), SLICE):
            for item in data[start : start + SLICE]:
                try:
                    append(function(item))
                except BaseException as error:
                    group.failed = True
                    append(Failure(error))
                    if isinstance(error, (SystemExit, KeyboardInterrupt)):
                        return
                if group.stop:
                    return
            if group.over():
                return


class Continuation:
    """What an action calls to emit; any number of times, on any thread, until the action returns and, as a run of its own, after."""

    __slots__ = ("_group", "_index", "_port")

    def __init__(self, group: Group, index: int, port: str) -> None:
        self._group = group
        self._index = index
        self._port = port

    def __call__(self, data: Any = None) -> None:
        group = self._group
        group.log.append((self._index, self._port, data))
        collect = group.collect
        if collect is not None:
            collect(group)


@frozen
class ActionBody:
    """Emits through its continuations, on `ports`."""

    function: Callable[..., Any]
    ports: tuple[str, ...]

    def perform(self, group: Group) -> None:
        function, ports, log = self.function, self.ports, group.log
        append = group.results.append
        for index, item in enumerate(group.data):
            try:
                function(item, *[Continuation(group, index, port) for port in ports])
            except BaseException as error:
                log.append((index, END_OF_CALL, None))
                group.failed = True
                append(Failure(error))
                if isinstance(error, (SystemExit, KeyboardInterrupt)):
                    break
            else:
                log.append((index, END_OF_CALL, None))
                append(None)
            if group.over():
                break


@frozen
class GeneratorBody:
    """Opens an iterator per input; the engine decides when it is pulled."""

    function: Callable[[Any], Iterable[Any]]

    def perform(self, group: Group) -> None:
        for item in group.data:
            try:
                group.results.append(iterator_of(self.function(item)))
            except BaseException as error:
                group.failed = True
                group.results.append(Failure(error))
            if group.over():
                break


def iterator_of(found: Any) -> Iterator[Any]:
    """Open what a generator operation returned; `FlowBuildError` in its call if that cannot be."""
    if not isinstance(found, Iterable) and not hasattr(found, "__getitem__"):
        raise FlowBuildError(
            f"a generator operation returned {type(found).__name__}, which cannot be iterated. Yield the items or return an iterable; a "
            "function whose result is one message is added with add_func."
        )
    return iter(found)


class Pull(Group):
    """Up to `quota` items of an iterator: `results` holds them, `exhausted` or `failure` says why there will be no more."""

    __slots__ = ("exhausted", "failure", "iterator", "quota")

    def __init__(self, iterator: Iterator[Any], quota: int) -> None:
        super().__init__([])
        self.iterator = iterator
        self.quota = quota
        self.exhausted = False
        self.failure: Failure | None = None

    def perform(self) -> None:
        append = self.results.append
        pull = self.iterator.__next__
        for _ in range(self.quota):
            try:
                append(pull())
            except StopIteration:
                self.exhausted = True
                break
            except BaseException as error:
                self.failure = Failure(error)
                break
            if self.over():
                break


def close_iterator(iterator: Any) -> BaseException | None:
    """Close a generator or whatever else can be closed; return what that raised."""
    try:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
    except BaseException as error:
        return error
    return None


# -- operations with state


class Act(enum.Enum):
    """What an operation asks for besides emitting; entries of a group's log."""

    HOLD = enum.auto()
    MERGE = enum.auto()
    RELEASE = enum.auto()
    SCATTER = enum.auto()
    GATHER = enum.auto()
    GIVE_UP = enum.auto()
    SURPLUS = enum.auto()
    PUSH = enum.auto()
    POP = enum.auto()
    FAIL = enum.auto()


class Batch(Protocol):
    """Consecutive messages of one context, as `handle_many` gets them."""

    port: str
    data: list[Any]
    positions: Positions
    scope: Scope
    correlation_id: object
    causality: Any

    def gathering_scope(self) -> Scope | None:
        """Return the innermost scope of these messages that this place gathers."""
        ...


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
        self,
        log: list[tuple[int, Any, Any]],
        index: int,
        fed: frozenset[str],
        ports: tuple[str, ...] | None = None,
    ) -> None:
        self._log: list[tuple[int, Any, Any]] | _Over = log
        self._index = index
        self._fed = fed
        self._ports = ports

    def end(self) -> None:
        """The call is over."""
        self._log = _OVER

    def __call__(self, data: Any = None, port: str = "", correlation_id: object = None) -> None:
        """Emit on a port, in the context of the message in hand. An id counts only where the message has none.

        Raises:
            FlowBuildError: the operation knows its out-ports, and this is none of them.
        """
        name = checked_port(port)
        if self._ports is not None and name.casefold() not in {known.casefold() for known in self._ports}:
            known = [f".{each}" if each else "the default one" for each in self._ports]
            raise FlowBuildError(
                f'the operation has no out-port ".{name}" to emit on.{did_you_mean("." + name, known)}'
            )
        argument = data if correlation_id is None else Correlated(data, correlation_id)
        self._log.append((self._index, name, argument))

    def is_fed(self, port: str) -> bool:
        """Say whether a stream leads to this in-port."""
        return port.casefold() in self._fed

    def hold(self, parts: Sequence[Part]) -> None:
        """Keep the messages in hand: as these parts, one each."""
        self._log.append((self._index, Act.HOLD, tuple(parts)))

    def merge(self, parts: Sequence[Part], data: Any, port: str = "") -> None:
        """Emit one message made of parts held, in the context of the message in hand (in `drained`: of the scope)."""
        self._log.append((self._index, Act.MERGE, (tuple(parts), data, checked_port(port))))

    def release(self, parts: Sequence[Part], reason: str) -> None:
        """Give up parts held: they end as discarded."""
        self._log.append((self._index, Act.RELEASE, (tuple(parts), reason)))

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

    def push(self) -> None:
        """Send the messages in hand on, inside a new causality of this place."""
        self._log.append((self._index, Act.PUSH, None))

    def pop(self) -> None:
        """Send the messages in hand on, outside their innermost causality."""
        self._log.append((self._index, Act.POP, None))

    def fail(self, error: FlowError, first: int = 0, messages: int = 1) -> None:
        """Fail messages in hand: `messages` of them, from `first` on."""
        self._log.append((self._index, Act.FAIL, (error, first, messages)))


_OVER = _Over()


@frozen
class Correlated:
    """An emission that brings its own correlation id."""

    data: Any
    correlation_id: object


class Operation:
    """A unit of work with named ports and, per place in the flow, a state of its own.

    A class to start from; whatever has the same members will do.

    `in_ports` and `out_ports` are tuples of names, "" for the default port; None means any. Two things are optional: the method
    `handle_many(state, batch, emit)` takes consecutive messages of one context at once, instead of `handle`; the attribute `bracket` is 1
    for an operation that opens a scope for a list, -1 for one that gathers it.

    Runs on: one thread at a time; the engine's, unless made async.
    """

    in_ports: tuple[str, ...] | None = None
    out_ports: tuple[str, ...] | None = ("",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self.name}">'

    def create(self) -> Any:
        """Make the state of one place. By default there is none."""
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


@frozen
class OperationBody:
    """Hands messages to an operation with state, one by one."""

    def perform(self, group: Group) -> None:
        handle, log = group.operation.handle, group.log
        append = group.results.append
        for index, message in enumerate(group.messages):
            emit = Emitter(log, index, group.fed, group.operation.out_ports)
            try:
                handle(group.state, message, emit)
            except BaseException as error:
                group.failed = True
                append(Failure(error))
                if isinstance(error, (SystemExit, KeyboardInterrupt)):
                    break
            else:
                append(None)
            emit.end()
            log.append((index, END_OF_CALL, None))
            if group.over():
                break
