"""Operators that make one value of many, step by step: Scan, Reduce."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from flowrt import users
from flowrt.errors import FlowBuildError
from flowrt.messages import Part, shared_causality
from flowrt.operations.contract import Emitter
from flowrt.standard.keeping import MAX_OPEN, Keeper, check_function

if TYPE_CHECKING:
    from flowrt.messages import Message, Scope
    from flowrt.standard.keeping import By, ByList


@define(eq=False, repr=False)
class _Fold:
    """A value on its way, and the message that stands for all it is made of."""

    value: Any
    messages: int = 0
    part: Part = Factory(lambda: Part(None))
    correlation_id: object = None
    causality: Any = None


class _Folding(Keeper):
    """What Scan and Reduce have in common."""

    def __init__(
        self,
        name: str,
        f: Callable[[Any, Any], Any],
        initial: Any = None,
        *,
        by: By = "all",
        max_open: int = MAX_OPEN,
    ) -> None:
        super().__init__(name, by, max_open)
        self.f: Callable[..., Any] = check_function(self._owner, "f", f)
        try:
            deepcopy(initial)
        except Exception as error:
            raise FlowBuildError(
                f"{self._owner}: initial ({type(initial).__name__}) cannot be copied, and each fold starts with a copy of it. Start with None, and "
                "make the first value in f."
            ) from error
        self.initial = initial

    def make_kept(self) -> _Fold:
        return _Fold(deepcopy(self.initial))


class Scan(_Folding):
    """Emit for each message what has come so far: `value = f(value, data)`.

    Ports:
        in  any name  any object
        out .         the value after each message, in order

    Items of a scattered list have a value of their own, which starts with the list; other messages go on with that of all runs before.
    A message of which `f` raises fails, and the value stays as it was.

    Args:
        name: of the operation.
        f: makes the next value of the one before and the data. It returns a new value: the one before has been emitted.
        initial: the value to start with; a copy of it.
        by: "all", or "run" to start anew with each run.
        max_open: lists (or runs), at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Runs on: the engine thread; so does `f`.
    """

    def handle(self, state: ByList[_Fold], message: Message, emit: Emitter) -> None:
        fold = state.of(message, emit)
        fold.value = self.f(fold.value, message.data)
        emit(fold.value)


class Reduce(_Folding):
    """Make one value of all messages of a run, or of a scattered list: `value = f(value, data)`, emitted when it has gone quiet.

    Ports:
        in  any name  any object
        out .         the value, once per run or list of which messages came; none if none came

    The value has the correlation id that all messages had, and is in the causalities that all were in.
    A message of which `f` raises fails; the value goes on as `f` has left it, which is made of the others unless `f` changes it before it raises.

    Args:
        name: of the operation.
        f: makes the next value of the one before and the data. It may change the one before and return it; what it had changed before it raised
            stays changed, so do first what may raise.
        initial: the value to start with; a copy of it.
        max_open: lists and runs, at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Memory: one message per list or run, however many come.
    Runs on: the engine thread; so does `f`.
    """

    def __init__(
        self, name: str, f: Callable[[Any, Any], Any], initial: Any = None, *, max_open: int = MAX_OPEN
    ) -> None:
        super().__init__(name, f, initial, by="run", max_open=max_open)

    def handle(self, state: ByList[_Fold], message: Message, emit: Emitter) -> None:
        """Take one step; of all messages one is held."""
        fold = state.of(message, emit)
        same = not fold.messages or users.are_equal(fold.correlation_id, message.correlation_id)
        fold.value = self.f(fold.value, message.data)
        context = message.context
        causality = context.causality if context is not None else None
        if not fold.messages:
            emit.hold([fold.part])
            fold.correlation_id, fold.causality = message.correlation_id, causality
        else:
            if not same:
                fold.correlation_id = None
            fold.causality = shared_causality(fold.causality, causality)
        fold.messages += 1

    def drained(self, state: ByList[_Fold], scope: Scope, emit: Emitter) -> None:
        fold = state.take(scope)
        if fold is not None and fold.messages:
            fold.part.correlation_id, fold.part.causality = fold.correlation_id, fold.causality
            emit.merge([fold.part], fold.value)
