"""The rules that operations, executors and schedules keep, by number; and what is raised when one is broken.

`check_operation`, `check_executor` and `check_schedule` check them; they need no test framework. The numbers are those of the project's list of
rules, which follows Reactive Streams: a number is never used again for something else.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from flowrt.errors import FlowBuildError
from flowrt.ports import did_you_mean


@frozen
class Rule:
    """One rule.

    Attributes:
        number: "R1" and so on.
        sentence: what holds.
        checked_by: the functions of the kit that look whether it does.
        why_not: for a rule that none checks: why, or what it comes with.
    """

    number: str
    sentence: str
    checked_by: tuple[str, ...] = ()
    why_not: str = ""


_SENTENCES = {
    "R1": "Never more at once than was asked for: process() waits while `capacity` messages are live, and parallel(n) makes n calls at a time "
    "while there is work for n.",
    "R2": "Every message is performed and reported once; what an operation emits leaves during its call, in the context of the message that "
    "caused it.",
    "R3": "Calls of an operation that is not parallel, or of one key, never overlap, and only the engine's thread takes outcomes.",
    "R4": "A call that raises fails its message, once, and what it emitted before goes on; SystemExit and KeyboardInterrupt stop the runtime and "
    "are raised to the caller.",
    "R5": "What was put in comes to an end: its run is done, its ledger balances, and nothing is live or held.",
    "R6": "Nothing is reported once close() has returned.",
    "R7": "No call starts once its run was given up or close() has returned; a thread that has not come back by then is named in the report, and "
    "no other is left.",
    "R8": "A flow is built whole, of operations that fulfil the contract, or one FlowBuildError lists all its faults.",
    "R9": "An operation keeps its state per place, and one object works in one running runtime at a time.",
    "R10": "Messages arrive in the order their mode promises; every receiver of a stream gets the same, and nobody changes it.",
    "R11": "Subscribers may call process() and close().",
    "R12": "What is in flight when a run is cancelled or a runtime closed is delivered or discarded, and forgotten; other runs go on; nothing is "
    "ever raised in a thread of a worker.",
    "R13": "A subscriber that raises is contained: on_exception is told, else whoever closes, and the flow goes on.",
    "R14": "Nothing nests: process() inside a call is queued, and the depth of the stack depends on no number of messages.",
    "R15": "submit() returns at once: the engine goes on while all workers are busy.",
    "R16": "close() may be called any number of times, from any thread, also at once; it comes back within its deadline.",
    "R17": "process() after close() raises FlowStoppedError at once, and nothing is performed.",
    "R18": "A number of workers or messages below 1, or that is none, is refused where it is given, with a text that says so.",
    "R19": "After close() nothing holds a message or the state of an operation.",
    "R20": "Counters never overflow.",
    "R21": "Workers start all or not at all, and each has a deadline of its own to stop.",
    "R22": "A worker that dies is replaced, but not without end.",
    "R23": "Failures make room: what comes before an operation that fails does not wait for what will never come.",
    "R24": "An operation brings forth the same on every executor.",
    "R25": "No message is taken while one of a higher priority waits.",
}

CHECKED_BY = {
    "check_operation": "R2 R4 R5 R7 R8 R9 R10 R12 R19 R24".split(),
    "check_executor": "R1 R2 R3 R4 R5 R6 R7 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R23".split(),
    "check_schedule": "R2 R5 R8 R10 R19 R25".split(),
}

_WHY_NOT = {
    "R20": "Untested: they are Python's ints, which have no end.",
    "R21": "Comes with worker processes; of threads, R7 and R16 say what there is to say.",
    "R22": "Comes with worker processes: a thread does not die of what it performs.",
}

RULES = tuple(
    Rule(
        number,
        sentence,
        tuple(check for check, numbers in CHECKED_BY.items() if number in numbers),
        _WHY_NOT.get(number, ""),
    )
    for number, sentence in _SENTENCES.items()
)


class RuleViolation(AssertionError):  # noqa: N818 - it is one of a rule, and says which; `error` is what caused it
    """An operation, an executor or a schedule breaks a rule. It is an `AssertionError`, so that any test framework counts it as a failure.

    Attributes:
        rule: its number, "R3".
        seen: what was seen.
        remedy: what to do about it.
    """

    def __init__(self, rule: str, seen: str, remedy: str) -> None:
        super().__init__(f"{rule} is broken. {_SENTENCES[rule]} Seen: {seen} {remedy}")
        self.rule = rule
        self.seen = seen
        self.remedy = remedy


def checked_numbers(numbers: Collection[str]) -> frozenset[str]:
    """Return numbers of rules; `FlowBuildError` if one of them is none."""
    found = frozenset([numbers] if isinstance(numbers, str) else numbers)
    for number in sorted(found - _SENTENCES.keys(), key=repr):
        raise FlowBuildError(
            f"leave_out: there is no rule {number!r}.{did_you_mean(str(number), _SENTENCES)}"
        )
    return found


def check_factory(function: str, factory: object, makes: str) -> None:
    """Refuse what makes nothing."""
    if not callable(factory):
        raise FlowBuildError(
            f"{function} takes a function that makes {makes}, new in every call, got {type(factory).__name__}. Put `lambda:` in front of what "
            "makes it."
        )
