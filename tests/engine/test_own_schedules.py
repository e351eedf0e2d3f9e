"""Schedules of one's own: what they may decide, what they must not, and what becomes of a runtime whose schedule does."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import FlowBuildError, FlowInternalError, FlowOperationContainer, FlowRuntime, FlowStoppedError
from flowrt.engine.chunks import Chunk
from flowrt.engine.schedules import SCHEDULES, BreadthFirst, DepthFirst, RoundRobin, Schedule, stream_of
from flowrt.testing import RULES, RuleViolation, check_schedule, explore, run_flow
from tests.kit.flows import flow_of, wire
from tests.kit.functions import SECONDS, double, same


class Drawn:
    """Serves a stream drawn by lot, of those with the highest priority."""

    step = 3

    def __init__(self) -> None:
        self.lines: dict[int, dict[Any, deque[Chunk]]] = {}
        self.rng = random.Random(7)

    def line(self, chunk: Chunk) -> deque[Chunk]:
        return self.lines.setdefault(chunk.priority, {}).setdefault(stream_of(chunk), deque())

    def put(self, chunk: Chunk) -> None:
        line = self.line(chunk)
        if not (line and line[-1].extend(chunk)):
            line.append(chunk)

    def put_input(self, chunk: Chunk) -> None:
        self.put(chunk)

    def put_back(self, chunk: Chunk) -> None:
        self.line(chunk).appendleft(chunk)

    def take(self) -> Chunk | None:
        if not self.lines:
            return None
        priority = max(self.lines)
        lines = self.lines[priority]
        stream = self.rng.choice(list(lines))
        chunk = lines[stream].popleft()
        if not lines[stream]:
            del lines[stream]
            if not lines:
                del self.lines[priority]
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        for lines in self.lines.values():
            for line in lines.values():
                yield from line

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        kept = [chunk for chunk in self if not unwanted(chunk)]
        self.lines = {}
        for chunk in kept:
            self.line(chunk).append(chunk)


def around(number: int, again: Callable[[int], None]) -> None:
    if number:
        again(number - 1)


def test_a_schedule_of_ones_own_decides_what_comes_next() -> None:
    """B165."""
    operations = FlowOperationContainer().add_func("f", same).add_action("around", around)
    operations.add_func("double", double).make_parallel(2, ordered=True)
    made: list[Drawn] = []

    def make() -> Drawn:
        made.append(Drawn())
        return made[-1]

    with FlowRuntime(schedule=make) as runtime:
        wire(runtime, ".in -> f -> around -> f", "f -> double -> .out")
        runtime.add_operations(operations)
        runs = [runtime.process(".in", 50, priority=number) for number in range(3)]

        assert [run.values(SECONDS) for run in runs] == [[2 * n for n in range(50, -1, -1)]] * 3
    assert len(made) == 1
    assert list(made[0]) == []


def test_a_schedule_of_ones_own_works_in_simulations_and_is_named_in_what_replays() -> None:
    """B165."""
    flow = flow_of("", ".in -> f -> .out", operations=FlowOperationContainer().add_func("f", double))

    assert [message.data for message in run_flow(flow, [(".in", 4)], seed=3, schedule=Drawn)] == [8]
    with pytest.raises(AssertionError) as caught:
        explore(flow, [(".in", 4)], _refuse, schedule=Drawn)
    assert "schedule=Drawn" in "\n".join(caught.value.__notes__)


def _refuse(_results: Any) -> None:
    raise AssertionError


KNOWN: list[Any] = [BreadthFirst, DepthFirst, RoundRobin]


# --- what is none is refused


class Bare:
    step = 1

    def put(self, chunk: Chunk) -> None: ...

    def take(self) -> None: ...


class NoStep(Drawn):
    step = 0


class Full(Drawn):
    def __iter__(self) -> Iterator[Any]:
        yield "something"


class Blind(Drawn):
    def __iter__(self) -> Iterator[Any]:
        raise LookupError


def cannot() -> Schedule:
    raise LookupError("nothing here")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (7, "schedule is a int. Give a name, or the class or function that makes one. There are: breadth_first,"),
        (Drawn(), "schedule is a Drawn. One schedule serves one runtime, so give what makes a new one: its class, or a function."),
        (Bare, "what Bare() makes as a schedule (Bare) lacks put_input, put_back, clear, __iter__ of the contract flowrt.engine.schedules.Schedule."),
        (NoStep, "what NoStep() makes as a schedule (NoStep) has step=0; it says how many messages of a chunk are taken at once"),
        (Blind, "what Blind() makes as a schedule (Blind) cannot be looked at: __iter__() raised LookupError"),
        (Full, "what Full() makes as a schedule (Full) holds messages already"),
        (cannot, "the schedule could not be made: cannot() raised LookupError"),
        (None, "schedule is a NoneType."),
        ("round-robin", 'there is no schedule "round-robin". Did you mean "round_robin"?'),
    ],
    ids=["number", "instance", "lacking", "step", "blind", "full", "raises", "none", "name"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_before_anything_runs(given: Any, text: str) -> None:
    """B165."""
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(schedule=given)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("made", KNOWN)
def test_the_class_of_a_schedule_that_comes_with_flowrt_will_do(made: Any) -> None:
    with FlowRuntime(schedule=made) as runtime:
        wire(runtime, ".in -> .out")

        assert runtime.process(".in", 1).values(SECONDS) == [1]


# --- one that breaks its contract


class Losing(Drawn):
    def put(self, chunk: Chunk) -> None:
        if chunk.data[0] != 3:
            super().put(chunk)


class Doubling(Drawn):
    """Gives a chunk out a second time, as it was."""

    again: Chunk | None = None

    def take(self) -> Chunk | None:
        if self.again is not None:
            again, self.again = self.again, None
            return again
        chunk = super().take()
        if chunk is not None:
            self.again = Chunk(chunk.handler, chunk.data[:], chunk.context, chunk.positions, chunk.trail)
        return chunk


class Raising(Drawn):
    def take(self) -> Chunk | None:
        if self.lines:
            raise LookupError("secret")
        return None


class Lying(Drawn):
    def take(self) -> Any:
        return "chunk" if self.lines else None


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (Losing, "take() gave nothing though 1 message must be waiting there"),
        (Doubling, "take() gave what had been taken before, or was never put there"),
        (Raising, "take() raised LookupError"),
        (Lying, "take() gave a str, not a chunk or None"),
    ],
)
def test_a_schedule_that_breaks_its_contract_is_named_and_stops_the_runtime(made: Any, what: str) -> None:
    """B165: nothing is lost without a word, and nobody waits for ever."""
    runtime = FlowRuntime(schedule=made, name="own")
    wire(runtime, ".in -> around -> around", "around -> .out")
    runtime.add_operations(FlowOperationContainer().add_action("around", around))
    run = runtime.process(".in", 5)
    with pytest.raises(FlowInternalError) as caught:
        run.wait(SECONDS)

    text = str(caught.value)
    assert text.startswith(
        f'the schedule "{made.__name__}" breaks its contract: {what}. The runtime was stopped'
    )
    assert "bug in flowrt" not in text
    assert "secret" not in text
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 1)
    runtime.close()
    assert run.ledger.balanced


class Shy(Drawn):
    looked_at = 0

    def __iter__(self) -> Iterator[Chunk]:
        self.looked_at += 1
        if self.looked_at > 1:  # the first time was when it was made
            raise LookupError("secret")
        return super().__iter__()


def test_a_schedule_that_cannot_be_looked_at_is_named() -> None:
    runtime = FlowRuntime(schedule=Shy).add_operations(FlowOperationContainer().add_func("work", same))
    wire(runtime, ".in -> work -> .out")
    runtime.throttle(0.001)  # it looks whether something waits
    with pytest.raises(FlowInternalError) as caught:
        runtime.process(".in", 1).wait(SECONDS)

    assert str(caught.value).startswith(
        'the schedule "Shy" breaks its contract: __iter__() raised LookupError.'
    )
    runtime.close()


# --- the check of the contract


@pytest.mark.parametrize("made", [*KNOWN, Drawn])
def test_schedules_keep_the_rules(made: Any) -> None:
    """B165."""
    check_schedule(made)
    assert set(KNOWN) == set(SCHEDULES.values())


class LastFirst(Drawn):
    """Within a stream, too."""

    def take(self) -> Chunk | None:
        for priority in sorted(self.lines, reverse=True):
            for line in self.lines[priority].values():
                if line:
                    return line.pop()
        return None


class Impartial(BreadthFirst):
    def _level(self, _priority: int) -> deque[Chunk]:
        return super()._level(0)


class RestBehind(RoundRobin):
    def put_back(self, chunk: Chunk) -> None:
        self._line(chunk).append(chunk)


class Hiding(Drawn):
    def __iter__(self) -> Iterator[Chunk]:
        return iter([])


class Clinging(Drawn):
    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        for chunk in self:
            unwanted(chunk)


class Sleepy(Drawn):
    def take(self) -> Chunk | None:
        return super().take() if self.rng.randrange(20) else None


BROKEN = {
    "loses a message": (Losing, "R2"),
    "lets what it is given fall": (type("Deaf", (Drawn,), {"put_input": lambda self, chunk: None}), "R2"),
    "gives it twice": (Doubling, "R2"),
    "raises": (Raising, "R5"),
    "has something and gives nothing": (Sleepy, "R5"),
    "gives something else": (Lying, "R2"),
    "lacks a method": (Bare, "R8"),
    "turns a stream round": (LastFirst, "R10"),
    "puts the rest behind": (RestBehind, "R10"),
    "knows no priority": (Impartial, "R25"),
    "hides what waits": (Hiding, "R2"),
    "clears nothing": (Clinging, "R19"),
}


@pytest.mark.parametrize(("made", "rule"), BROKEN.values(), ids=list(BROKEN))
def test_a_schedule_that_breaks_a_rule_is_rejected_by_its_number(made: Any, rule: str) -> None:
    """B165."""
    with pytest.raises(RuleViolation) as caught:
        check_schedule(made)

    assert caught.value.rule == rule


def test_every_rule_of_schedules_is_seen_broken() -> None:
    assert {rule for _, rule in BROKEN.values()} == {
        rule.number for rule in RULES if "check_schedule" in rule.checked_by
    }


def test_a_schedule_that_only_a_flow_shows_to_be_broken_is_rejected() -> None:
    """It keeps chunks that nobody expects in a trial without a flow: those of an error, say, or here of a result."""

    class OutLast(Drawn):
        def put(self, chunk: Chunk) -> None:
            if chunk.handler.port.operation != "gather":
                super().put(chunk)

    with pytest.raises(RuleViolation) as caught:
        check_schedule(OutLast)

    assert caught.value.rule == "R5"
    assert "OutLast" in str(caught.value)


def test_a_rule_may_be_left_out_and_what_makes_nothing_is_refused() -> None:
    check_schedule(Impartial, leave_out=["R25"])
    with pytest.raises(FlowBuildError, match="check_schedule takes a function that makes a schedule"):
        check_schedule(Drawn())  # type: ignore[arg-type]
