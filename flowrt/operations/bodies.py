"""What performs the calls of an operation: functions, actions, generators, operations with state; which of them a signature allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flowrt import users
from flowrt.errors import FlowBuildError
from flowrt.operations.contract import Emitter, Log
from flowrt.operations.signatures import shape_of
from flowrt.operations.unfinished import is_unfinished, makes_calls, refuse, refused
from flowrt.operations.variables import Variables, beyond_ours, seeing

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.messages import Message
SLICE = 64  # calls between two looks at the clock: some 4 ns a call, and a cheap function that turns slow is noticed in time
END_OF_CALL = 0  # in a group's log: what follows from this call comes late


class Failure:
    """Stands in a group's results for a call that raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        trace = users.traceback_of(error)
        self.error: BaseException = error
        # Without our own frame; an error's own method might raise.
        if trace is not None and trace.tb_next is not None:
            BaseException.with_traceback(error, beyond_ours(trace))


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
        "port",
        "results",
        "state",
        "stop",
        "until",
        "variables",
        "work",
    )

    def __init__(self, data: list[Any], collect: Callable[[Group], None] | None = None) -> None:
        self.data: list[Any] = data
        self.results: list[Any] = []
        self.log: Log = []
        self.failed: bool = False
        self.finished: bool = False
        self.stop: bool = False
        self.work: list[Any] | None = None
        self.collect: Callable[[Group], None] | None = collect
        self.messages: Sequence[Message] = ()  # these five: only for an operation or component with state
        self.operation: Any = None
        self.state: Any = None
        self.fed: frozenset[str] = frozenset()
        self.port: str = ""
        self.variables: Variables = None  # context variables that its calls are to see
        self.clock: Clock | None = None  # where the engine itself performs: it stops at `until`
        self.until: float = 0.0

    def work_on(self, items: list[Any]) -> Iterable[Any]:
        """Return the items to go through. Asked to stop, that list is emptied, which ends a loop over it: a flag looked at per item, at no cost."""
        work = self.work = items[:]
        if self.stop:  # before there was a list to empty
            work.clear()
        return work

    def ask_to_stop(self) -> None:
        """Any thread: have it end after the call that is being made."""
        self.stop = True
        if self.work is not None:
            self.work.clear()

    def over(self) -> bool:
        """Say whether to stop after the call that has just returned."""
        return self.stop or (self.clock is not None and self.clock.now() > self.until)

    def goes_on_behind(self, index: int, raised: BaseException | None) -> bool:
        """Note how a call that has no result of its own ended; say whether to make the next."""
        self.log.append((index, END_OF_CALL, None))
        if raised is None:
            self.results.append(None)
        else:
            self.failed = True
            self.results.append(Failure(raised))
            if users.is_a(raised, users.STOPS):
                return False
        return not self.over()


class Body(Protocol):
    """What performs an operation's calls."""

    def perform(self, group: Group) -> None:
        """Perform the group's inputs one after another until all are done or `group.stop` is set; never raises."""


class FunctionBody:
    """One result per input.

    `calls`: the function makes calls, so it may see context variables. `looked_at`: a result may be a generator or wait to be awaited, so
    the engine looks at each.
    """

    __slots__ = ("calls", "function", "looked_at")

    def __init__(self, function: Callable[[Any], Any], *, looked_at: bool | None = None) -> None:
        self.function: Callable[[Any], Any] = function
        self.calls: bool = makes_calls(function)
        self.looked_at: bool = self.calls if looked_at is None else looked_at

    def perform(self, group: Group) -> None:
        data, clock = group.data, group.clock
        if clock is None:
            results = group.results  # of a call that was given up the group's are others by now
            self._each(group, group.work_on(data))
            if not results:  # it was asked to stop at once; it goes on by one at least
                self._each(group, data[:1])
            return
        for start in range(0, len(data), SLICE):
            if not self._each(group, data[start : start + SLICE]) or clock.now() > group.until:
                return

    def _each(self, group: Group, items: Iterable[Any]) -> bool:
        """Call the function with each item; say whether it may go on."""
        function = self.function
        # Its method is looked up each time: for that the interpreter has an instruction of its own.
        results = group.results
        if group.variables is not None and self.calls:
            function = seeing(function, group.variables, results)
        for item in items:
            try:
                results.append(function(item))
            except BaseException as error:
                group.failed = True
                results.append(Failure(error))
                if users.is_a(error, users.STOPS):
                    return False
        return True


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


class ActionBody:
    """Emits through its continuations, on `ports`."""

    __slots__ = ("function", "ports")

    def __init__(self, function: Callable[..., Any], ports: tuple[str, ...]) -> None:
        self.function: Callable[..., Any] = function
        self.ports: tuple[str, ...] = ports

    def perform(self, group: Group) -> None:
        function, ports, log = self.function, self.ports, group.log
        append = group.results.append
        if group.variables is not None:
            function = seeing(function, group.variables, group.results)
        for index, item in enumerate(group.data):
            try:
                found = function(item, *[Continuation(group, index, port) for port in ports])
                if found is not None:
                    refuse(found)
            except BaseException as error:
                log.append((index, END_OF_CALL, None))
                group.failed = True
                append(Failure(error))
                if users.is_a(error, users.STOPS):
                    break
            else:
                log.append((index, END_OF_CALL, None))
                append(None)
            if group.over():
                break


class GeneratorBody:
    """Opens an iterator per input; the engine decides when it is pulled."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Iterable[Any]]) -> None:
        self.function: Callable[[Any], Iterable[Any]] = function

    def perform(self, group: Group) -> None:
        function = self.function
        if group.variables is not None:
            function = seeing(function, group.variables, group.results)
        for item in group.data:
            try:
                group.results.append(iterator_of(function(item)))
            except BaseException as error:
                group.failed = True
                group.results.append(Failure(error))
            if group.over():
                break


def iterator_of(found: Any) -> Iterator[Any]:
    """Open what a generator operation returned; `FlowBuildError` in its call if that cannot be."""
    if is_unfinished(found) and (error := refused(found)) is not None:
        raise error
    if not users.can_iterate(found):
        raise FlowBuildError(
            f"a generator operation returned {users.name_of_type(found)}, which cannot be iterated. Yield the items or return an iterable; a "
            "function whose result is one message is added with add_func."
        )
    return iter(found)


class Pull(Group):
    """Up to `quota` items of an iterator: `results` holds them, `exhausted` or `failure` says why there will be no more.

    `closes`: it is no pull, but the end of one that was begun and is not wanted any more.
    """

    __slots__ = ("closes", "exhausted", "failure", "iterator", "quota")

    def __init__(self, iterator: Iterator[Any], quota: int) -> None:
        super().__init__([])
        self.iterator: Iterator[Any] = iterator
        self.quota: int = quota
        self.closes: bool = False
        self.exhausted: bool = False
        self.failure: Failure | None = None

    def perform(self) -> None:
        """Pull; all steps of one iterator are made in one context."""
        variables = self.variables
        if variables is None:
            self._step()
        else:
            variables.run(self._step)  # type: ignore[union-attr]  # a pull is of one message

    def _step(self) -> None:
        if self.closes:
            error = close_iterator(self.iterator)
            self.failure = Failure(error) if error is not None else None
            return
        append = self.results.append
        try:
            pull = self.iterator.__next__
        except BaseException as error:
            self.failure = Failure(error)
            return
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


class Unmade:
    """Stands for the state of an operation until the thread that uses it has made it, in its first call."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def make(self) -> Any:
        """Make the state, and have its owner keep it; what `create()` raises is the error of the call it was made for."""
        owner = self._owner
        if owner.state is self:  # else it was made in an earlier call of a group
            owner.state = owner.operation.create()
        return owner.state


class OperationBody:
    """Hands messages to an operation with state, one by one."""

    __slots__ = ()

    def perform(self, group: Group) -> None:
        handle, log, state = group.operation.handle, group.log, group.state
        if group.variables is not None:
            handle = seeing(handle, group.variables, group.results)
        for index, message in enumerate(group.messages):
            emit = Emitter(log, index, group.fed, group.operation.out_ports)
            raised: BaseException | None = None
            try:
                if type(state) is Unmade:
                    state = state.make()
                found = handle(state, message, emit)
                if found is not None:
                    refuse(found)
            except BaseException as error:
                raised = error
            emit.end()
            if not group.goes_on_behind(index, raised):
                break


def body_of(
    kind: str, name: str, function: Any, *, signal: bool = False
) -> tuple[Body, tuple[str, ...] | None]:
    """Turn a callable into the body of a function, an action or a generator, and say on which ports it emits.

    A function emits on its default port, a generator on any; an action on one port per continuation, on its own for a single one or for a
    signal, else on none. `FlowBuildError` if the signature does not allow that.
    """
    shape = shape_of(kind, name, function)
    more = shape.required[1:]
    if kind == "action" and signal and more:
        raise FlowBuildError(
            f'action "{name}" has continuations ({", ".join(more)}) and signal=True. A signal is for actions that emit nothing '
            "themselves: drop signal=True, or call a continuation when done."
        )
    if shape.generates and kind != "generator":
        hint = ", which emits each item it yields" if kind == "function" else ""
        raise FlowBuildError(
            f'{kind} "{name}" is a generator function. Add it with add_generator("{name}", ...){hint}.'
        )
    if more and kind != "action":
        hint = f" If {more[-1]} is what it emits through, use add_action." if kind == "function" else ""
        raise FlowBuildError(
            f'{kind} "{name}" needs {len(shape.required)} arguments ({", ".join(shape.required)}), but an operation gets one: its data. '
            f"Pass a tuple and unpack it inside, or bind the others with functools.partial.{hint}"
        )
    if more:
        ports = ("",) if len(more) == 1 else more
        return ActionBody(function, ports), ports
    call = function if shape.takes_data else _without_data(function)
    if kind == "generator":
        return GeneratorBody(call), None
    if kind == "function":
        return FunctionBody(call), ("",)
    return FunctionBody(_without_result(call), looked_at=False), ("",) if signal else ()


def _without_data(function: Callable[[], Any]) -> Callable[[Any], Any]:
    def call(_data: Any) -> Any:
        return function()

    return call


def _without_result(function: Callable[[Any], Any]) -> Callable[[Any], None]:
    def call(data: Any) -> None:
        found = function(data)
        if found is not None:
            refuse(found)

    return call


# Which functions do, and the variable by which observe/calls.py finds what is in hand there.
CALLS_OPERATIONS = {
    FunctionBody._each.__code__: "group",
    ActionBody.perform.__code__: "group",
    GeneratorBody.perform.__code__: "group",
    OperationBody.perform.__code__: "group",
    Pull.perform.__code__: "self",
}
