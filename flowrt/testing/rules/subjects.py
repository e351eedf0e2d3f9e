"""An operation under check: made anew, fed with copies of the inputs, watched at what it does beside what the engine sees."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define

from flowrt.errors import FlowBuildError, FlowError, describe
from flowrt.flow.container import FlowOperationContainer
from flowrt.messages import Message, Part
from flowrt.operations.contract import Emitter
from flowrt.operations.declarations import Declaration
from flowrt.ports import Port, each_once
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.drive import container_of, entry

Note = Callable[[str, str, str], BaseException]

STATE = "a state"  # of a place
LATE = "the operation used its emitter after the call it was handed to had returned."
KEPT_EMITTER = "Emit during the call; what is to come later is held, and merged or emitted in a later call or in drained()."
FAILED_TWICE = "Raise, or call emit.fail(error): each fails the message in hand."


class Loans:
    """What one operation had in hand, and may not keep; and which rules it broke on the way.

    Args:
        note: takes a violation: its rule, what was seen, what to do.
    """

    def __init__(self, note: Note) -> None:
        self.note = note
        self._lent: list[tuple[str, weakref.ref[Any]]] = []

    def lend(self, what: str, thing: Any) -> None:
        """Remember something that is to be let go, if it can be watched."""
        try:
            self._lent.append((what, weakref.ref(thing)))
        except TypeError:
            pass  # an int, a tuple: nothing tells when it goes

    def still_there(self) -> list[str]:
        """Say what has not been let go."""
        return sorted(what for what, thing in self._lent if thing() is not None)


class _TooLate:
    """Stands for the log of a call that has returned."""

    def __init__(self, note: Note) -> None:
        self._note = note

    def append(self, _entry: object) -> None:
        raise FlowError(LATE) from self._note("R2", LATE, KEPT_EMITTER)


class WatchedEmitter(Emitter):
    """Writes to the log of another emitter, and notes what is not in it."""

    __slots__ = ("_loans", "failed")

    def __init__(self, emit: Emitter, loans: Loans) -> None:
        super().__init__(*emit.made_of())
        self._loans = loans
        self.failed: int = 0

    def end(self) -> None:
        self._log = _TooLate(self._loans.note)  # type: ignore[assignment]

    def hold(self, parts: Sequence[Part]) -> None:
        """Keep the messages in hand, as before."""
        for part in parts:
            self._loans.lend("a part", part)
        super().hold(parts)

    def fail(self, error: FlowError, first: int = 0, messages: int = 1) -> None:
        """Fail messages in hand, as before."""
        self.failed += 1
        super().fail(error, first, messages)


class WatchedOperation:
    """Stands for an own operation. What it has besides the contract is asked of that."""

    def __init__(self, operation: Any, loans: Loans) -> None:
        self._operation = operation
        self._loans = loans

    def __getattr__(self, name: str) -> Any:
        if name == "handle_many":  # it is optional, and decides where the operation may run
            return self._watched(self._operation.handle_many)
        return getattr(self._operation, name)

    def create(self) -> Any:
        state = self._operation.create()
        self._loans.lend(STATE, state)
        return state

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        self._loans.lend("a message", message)
        watched = WatchedEmitter(emit, self._loans)
        raised = False
        try:
            self._operation.handle(state, message, watched)
        except BaseException:
            raised = True
            raise
        finally:
            watched.end()
            if watched.failed + raised > 1:
                seen = f"the operation failed one message {watched.failed + raised} times."
                self._loans.note("R4", seen, FAILED_TWICE)

    def drained(self, state: Any, scope: Any, emit: Emitter) -> None:
        self._watched(self._operation.drained)(state, scope, emit)

    def _watched(self, method: Callable[..., None]) -> Callable[..., None]:
        def call(state: Any, what: Any, emit: Emitter) -> None:
            watched = WatchedEmitter(emit, self._loans)
            try:
                method(state, what, watched)
            finally:
                watched.end()

        return call


@define(eq=False)
class Subject:
    """The operation under check, the inputs it gets, and what stands in front of it.

    Args:
        factory: makes the operation, or the container that holds it.
        inputs: data for `port`, or messages.
        port: the in-port.
        behind: makes an operation to put in front, and says which of its out-ports lead to which in-ports.
    """

    factory: Callable[[], Any]
    _inputs: Sequence[Any]
    _port: str
    _behind: tuple[Callable[[], Any], dict[str, str]] | None

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def is_own(self) -> bool:
        """Whether it is an operation with state, and not a plain callable."""
        return next(iter(self.container())).operation is not None

    def container(self, loans: Loans | None = None) -> FlowOperationContainer:
        """Make the operation anew, and put it into a container; watched, if it is an own one."""
        try:
            made = self.factory()
        except Exception as error:
            raise FlowBuildError(
                f"the factory raised {describe(error)}. It is called without arguments and makes the operation; is it the operation itself? "
                "Put `lambda:` in front of it."
            ) from error
        if loans is not None and hasattr(made, "handle"):
            made = WatchedOperation(made, loans)
        return container_of(made)

    def declaration(self, container: FlowOperationContainer) -> Declaration:
        """Return the operation under check as it was declared."""
        return next(iter(container))

    def connect(
        self, runtime: FlowRuntime, container: FlowOperationContainer, places: Iterable[str] = ("",)
    ) -> list[Port]:
        """Lead streams to the places of the operation, through what stands in front, which is added; return where they start."""
        name = front = self.declaration(container).name
        between: dict[str, str] = {}
        if self._behind is not None:
            make, between = self._behind
            before = container_of(make())
            front = self.declaration(before).name
            runtime.add_operations(before)
        starts = []
        for place in places:
            for port in each_once(message.port.name for message in self.messages()):
                starts.append(entry(port, place))
                runtime.add_stream(starts[-1], Port(operation=front, instance=place, name=port))
            for out, port in between.items():
                source = Port(operation=front, instance=place, name=out)
                runtime.add_stream(source, Port(operation=name, instance=place, name=port))
        return starts

    def messages(self) -> list[Message]:
        """Return the inputs, as copies where they can be copied; those without a correlation id get one."""
        made = []
        for given in self._inputs:
            message = given if isinstance(given, Message) else Message(Port(name=self._port), given)
            correlation_id = "rule kit" if message.correlation_id is None else message.correlation_id
            port = Port(name=message.port.name)
            made.append(Message(port, copied(message.data), correlation_id, message.priority))
        return made


def copied(data: Any) -> Any:
    """Copy data, deeply; what cannot be copied is itself."""
    try:
        return copy.deepcopy(data)
    except Exception:
        return data


# Of these types themselves nothing tells when one goes.
_WATCHABLE: dict[type, type] = {kind: type(kind.__name__, (kind,), {}) for kind in (list, dict, set, str)}


def watchable(data: Any) -> Any:
    """Return the data as something whose end can be seen, where there is such a thing."""
    kind = _WATCHABLE.get(type(data))
    return data if kind is None else kind(data)
