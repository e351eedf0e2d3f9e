"""The exceptions and their texts.

Subclasses of `FlowError` say who must act. Every text names the thing, what was expected and what came, and what to
do; none of them holds payload data.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from typing import TYPE_CHECKING, Any, Self

from flowrt import users

if TYPE_CHECKING:
    from types import FrameType


_SUSPENDABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
KNOWN_NAMES_SHOWN = 10  # arbitrary: more than that nobody reads
CAUSE_SHOWN = 200  # characters of a cause's own text


class FlowError(Exception):
    """The root of everything flowrt raises.

    It can be pickled and copied, with its notes and its cause. A copy holds nothing of the runtime and no traceback; a cause
    that does not fit into a copy is a `CauseLeftBehindError` there.
    """

    left_to: Any = None  # the scope whose gathers may turn out to cope with it; nobody else has got it yet

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {key: value for key, value in self.__dict__.items() if key != "left_to"}
        return _restored, (type(self), self.args, facts, _portable(self.__cause__))


class Fault(str):
    """The text of a fault, as `FlowBuildError` says it, with what a check says of it."""

    __slots__ = ("about", "code", "place", "remedy", "says")
    place: str  # `file:line`, in flow text `file:line:column`; "" where that is not known
    code: str  # a key of `flowrt.flow.checks.CODES`; "" for what only a call can see
    says: str  # what is wrong, without the place and the remedy
    remedy: str  # what to do
    about: tuple[Any, ...]  # the streams and declarations it is about

    def __new__(
        cls,
        text: str,
        place: str = "",
        code: str = "",
        says: str = "",
        remedy: str = "",
        about: tuple[Any, ...] = (),
    ) -> Self:
        fault = super().__new__(cls, text)
        fault.place, fault.code = place, code
        fault.says, fault.remedy = says or text, remedy
        fault.about = about
        return fault

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes all but what it is about, which need not have a copy there."""
        return type(self), (str(self), self.place, self.code, self.says, self.remedy)

    @classmethod
    def of_stream(cls, code: str, stream: Any, says: str, remedy: str, *, at_target: bool = False) -> Self:
        """Say what is wrong with a stream; `at_target`: with its target."""
        place, remedy = (at_target and stream.target_at) or stream.declared_at, remedy.strip()
        text = f'stream "{stream}" at {place}: {says} {remedy}'.rstrip()
        return cls(text, place, code, f'stream "{stream}": {says}', remedy, (stream,))

    @classmethod
    def of_operation(cls, code: str, declaration: Any, says: str, remedy: str) -> Self:
        """Say what is wrong with the declaration of an operation."""
        subject, place = f'operation "{declaration.name}"', declaration.declared_at
        text = f"{subject} (declared at {place}) {says} {remedy}"
        return cls(text, place, code, f"{subject} {says}", remedy, (declaration,))


class FlowBuildError(FlowError):
    """The author of the flow must act, before it runs. One error lists all faults (`faults`, texts; `places`, where they are)."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    @property
    def places(self) -> tuple[str, ...]:
        """For each fault the `file:line` it is about, in flow text `file:line:column`; "" where that is not known."""
        return tuple(getattr(fault, "place", "") for fault in self.faults)

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return self.faults[0]
        lines = [f"the flow has {len(self.faults)} faults:"]
        lines += [f"  {number}. {fault}" for number, fault in enumerate(self.faults, 1)]
        return "\n".join(lines)


class ContractError(FlowBuildError):
    """An operation of your own asked its emitter for what cannot be: to hold a part twice, more parts than messages, what another holds."""


class _TellsCauseError(FlowError):
    """An error whose text ends in that of its cause, which is asked for it whenever somebody reads it."""

    def __str__(self) -> str:
        text, cause = super().__str__(), self.__cause__
        if cause is None:
            return text
        link = "" if not text else " " if text.endswith((".", " raised")) else ": "
        return f"{text}{link}{with_text(cause)}"


class OperationError(_TellsCauseError):
    """The author of the operation must act. `__cause__` is what the operation raised; its type and text end this one's.

    Attributes:
        operation: the full name of the place in the flow, e.g. `import/parse#1`.
        message: the `Message` it was working on, as plain data: it belongs to no run any more.
    """

    def __init__(self, text: str, operation: str, message: Any) -> None:
        super().__init__(text)
        self.operation = operation
        self.message = message


class OwnAccordError(_TellsCauseError):
    """The author of the operation must act: it raised in a call that was about no message. `__cause__` is what it raised.

    That is `drained`, `timer` or `activate` of an operation with state; what is raised over a message is an `OperationError`.

    Attributes:
        operation: the full name of the place in the flow.
    """

    def __init__(self, text: str, operation: str) -> None:
        super().__init__(text)
        self.operation = operation


class CauseLeftBehindError(Exception):
    """Stands in the copy of an error for its cause, where that could not be copied.

    Attributes:
        kind: the name of the type of the cause; `str()` of this is the text of the cause.
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class OperationTimeoutError(OperationError):
    """A call took longer than its operation's policy allows. `__cause__` says what its thread was doing."""


class CallTimedOutError(TimeoutError):
    """What stands for the outcome of a call that was given up."""

    def __init__(self, seconds: float, whereabouts: str) -> None:
        super().__init__(f"no return within {seconds:g} s{whereabouts}")
        self.seconds = seconds


class NotDispatchedError(Exception):
    """What stands for the outcome of a call that its dispatcher did not make."""

    def __init__(self, dispatcher: str, why: str) -> None:
        super().__init__(f"dispatcher {dispatcher}: {why}")
        self.dispatcher = dispatcher
        self.why = why


class NoAnswerError(Exception):
    """What stands for the outcome of a call where something of the user's that is asked beside it raised: a key, a predicate, a wait.

    `__cause__` is what it raised, `asked` names it.
    """

    def __init__(self, asked: str, about: str = "") -> None:
        super().__init__(f"{asked} raised")
        self.asked = asked
        self.about = about


class WorkerLostError(OperationError):
    """The worker process died while it held this message."""


class GatherIncompleteError(FlowError):
    """A scattered list could not be gathered whole.

    Attributes:
        operation: the full name of the gather.
        missing: (position in the scattered list, reason) of each missing item; the position is None where unknown.
    """

    def __init__(
        self,
        text: str,
        operation: str = "",
        missing: tuple[tuple[object, str], ...] = (),
        message: Any = None,
    ) -> None:
        super().__init__(text)
        self.operation = operation
        self.missing = missing
        self.message = message


class FlowTimeoutError(FlowError, TimeoutError):
    """The caller waited as long as it asked for."""


class FlowOverloadError(FlowError):
    """A bound was reached; the operator of the flow must raise it, slow the input down or read the results."""


class FlowStoppedError(FlowError):
    """The caller came too late: the runtime is closed or closing.

    Attributes:
        report: what `close()` returned, where there is one.
    """

    def __init__(self, text: str, report: object = None) -> None:
        super().__init__(text)
        self.report = report


class RunCancelledError(FlowError):
    """Somebody cancelled the run that was waited for."""


class FlowStalledError(FlowError):
    """Nothing can move: the author of the flow must act. The text says who waits for whom.

    Attributes:
        explanation: what `runtime.explain()` returned when it was noticed, where there is one; also part of the text.
    """

    def __init__(self, text: str, explanation: object = None) -> None:
        super().__init__(text if explanation is None else f"{text}\n{explanation}")
        self.explanation = explanation


class FlowStallWarning(RuntimeWarning):
    """A call has not returned for `stall_after` seconds. The text says which, and where it stands."""


class FlowInternalError(FlowError):
    """A bug in flowrt: we must act. Or one in a schedule of your own, which the text names then."""


def check_count(owner: str, name: str, value: Any, noun: str = "messages", least: int = 1) -> int:
    """Return a bound that counts messages, or something else; `FlowBuildError` if it is no int of `least` or more."""
    count = users.count_of(value)
    if count is None or count < least:
        raise FlowBuildError(
            f"{owner}: {name} is {users.told(value)}; it counts {noun}, so give an int of {least} or more."
        )
    return count


def check_seconds(where: str, what: str, value: Any, *, zero: bool = False, endless: bool = False) -> float:
    """Return a number of seconds, above 0 unless `zero` will do, with an end unless `endless`; `FlowBuildError` if it is none."""
    seconds = users.seconds_of(value)
    if seconds is None or not (zero or seconds) or (seconds == math.inf and not endless):
        bound = "of 0 or more" if zero else "above 0"
        end = "" if endless or seconds != math.inf else ", and not without an end"
        raise FlowBuildError(
            f"{where}: {what} is {users.told(value)}; give a number of seconds {bound}{end}."
        )
    return seconds


def check_items(owner: str, value: Any) -> None:
    """`FlowBuildError` for what has no items, or none that are meant."""
    if why := users.why_no_items(value):
        raise FlowBuildError(
            f"{owner} takes a list or another iterable, got {users.name_of_type(value)}. {why}"
        )


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: 1 message, 2 messages."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def describe(error: object) -> str:
    """Name an exception (or other data) by its type alone: its text may hold payload data, and it is chained as the cause anyway."""
    return users.name_of_type(error)


def with_text(error: BaseException) -> str:
    """Name an exception by its type and its own text, cut where it gets long; by its type alone if it cannot say its text."""
    kind = error.kind if users.is_a(error, CauseLeftBehindError) else describe(error)
    text = users.text_of(error)
    if users.is_a(error, CallTimedOutError):
        text = text.partition("\n")[0]  # without the stack of its thread
    if len(text) > CAUSE_SHOWN and not users.is_a(error, FlowError):  # ours end in the remedy
        text = text[:CAUSE_SHOWN] + "..."
    return f"{kind}: {text}" if text else kind


def no_answer(asked: str, raised: BaseException, about: str = "") -> BaseException:
    """Return what stands for the outcome where something asked beside a call has raised; what ends programs stays what it is."""
    if users.is_a(raised, users.STOPS):
        return raised
    error = NoAnswerError(asked, about)
    error.__cause__ = raised
    return error


def _restored(
    kind: type[FlowError], args: tuple[Any, ...], facts: dict[str, Any], cause: tuple[Any, ...] | None
) -> FlowError:
    """Make the copy of an error; its constructor is not asked, for that may take other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    if cause is not None:
        error.__cause__ = _rebuilt(*cause)
    return error


def _portable(cause: BaseException | None) -> tuple[Any, ...] | None:
    """Return what makes a copy of a cause: how it would be pickled, where that is plain data and has been seen to work."""
    if cause is None:
        return None
    if users.is_a(cause, FlowError):
        return cause.__reduce__()
    try:
        made_by = cause.__reduce_ex__(2)
        if (
            isinstance(made_by, tuple)
            and made_by[0] is type(cause)
            and _is_known(type(cause))
            and _is_plain(made_by[1:])
        ):
            again = _rebuilt(*made_by)
            if type(again) is type(cause) and users.text_of(again) == users.text_of(cause):
                return made_by
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: S110 - it is the user's, and need not be able to
        pass
    return CauseLeftBehindError, (users.text_of(cause), describe(cause))


def _rebuilt(make: Any, arguments: tuple[Any, ...], facts: dict[str, Any] | None = None) -> BaseException:
    made: BaseException = make(*arguments)
    made.__dict__.update(facts or {})
    return made


def _is_known(kind: type) -> bool:
    """Say whether a class is found by its name, as unpickling does."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _is_plain(data: Any, depth: int = 10) -> bool:
    """Say whether data is of nothing but Python's own plain types."""
    if depth and type(data) in (tuple, list, set, frozenset):
        return all(_is_plain(each, depth - 1) for each in data)
    if depth and type(data) is dict:
        return all(_is_plain(each, depth - 1) for each in data.items())
    return data is None or type(data) in (bool, int, float, complex, str, bytes)


def release_frames(error: BaseException) -> None:
    """Clear the locals of flowrt's own finished frames that a kept exception would keep alive.

    An exception holds its traceback, that the frame of the user's function, and that the frames that called it: ours,
    with whole chunks in their locals. Frames still running are left alone, and so are the user's.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        pending += [users.cause_of(current), users.context_of(current)]
        trace = users.traceback_of(current)
        while trace is not None:
            _clear_ours(trace.tb_frame)
            trace = trace.tb_next


def is_ours(frame: FrameType) -> bool:
    """Say whether a frame is of flowrt's own code."""
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and (name.startswith("flowrt.") or name == "flowrt")


def frames_of(ident: int | None) -> Iterator[FrameType]:
    """Iterate over the frames of a thread, the innermost first."""
    frame = sys._current_frames().get(ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _clear_ours(frame: FrameType | None) -> None:
    while frame is not None:
        # Clearing a suspended generator would end it.
        if is_ours(frame) and not frame.f_code.co_flags & _SUSPENDABLE:
            try:
                frame.clear()
            except RuntimeError:  # still running: its locals are in use
                pass
        frame = frame.f_back


def internal_error(error: BaseException) -> FlowInternalError:
    """Say that flowrt itself is at fault."""
    if users.is_a(error, FlowInternalError):
        return error
    internal = FlowInternalError(
        f"this is a bug in flowrt ({type(error).__qualname__} in its engine): the runtime was stopped, and nothing it still held was worked on. "
        "Please report it with the traceback of its cause."
    )
    internal.__cause__ = error
    return internal
