"""What belongs to a user: how it is compared, counted, iterated over and told, wherever it comes in."""

from __future__ import annotations

import math
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import attrs
import pytest

from flowrt import (
    FlowBuildError,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Message,
    Operation,
    OperationError,
    Scatter,
    in_port,
    operation,
    out_port,
    users,
)
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.standard import Batch, Distinct, Reduce
from tests.kit.flows import Bench, few_modes, wire
from tests.kit.functions import SECONDS, same


class Index:
    """What stands for an int, as NumPy's do."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Vague:
    """Its `==` gives something that is neither true nor false, as an array's does."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise ValueError("the truth of an array is ambiguous")


class Frame:
    """A table, which goes by the names of its columns."""

    columns = ("name", "count")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def keys(self) -> tuple[str, ...]:
        return self.columns


class Rows:
    """Nothing but `__getitem__`."""

    def __getitem__(self, index: int) -> int:
        return (1, 2, 3)[index]


class Series:
    """An array with labels: it has `keys()`, and gives its values."""

    dtype = "int"

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2, 3))

    def keys(self) -> range:
        return range(3)


# -- K2: one and the same, or equal


@few_modes
def test_an_id_that_cannot_be_compared_is_the_same_as_itself(bench: Bench) -> None:
    """K2: `Reduce(add)` on 1, 10, 100 in a run whose id is an array gave 111, and two errors."""
    reduce = Reduce("reduce", lambda total, item: (total or 0) + item)
    with bench.wired(".in -> reduce -> .out", others=[reduce]) as runtime:
        run = runtime.process_many(".in", [1, 10, 100], correlation_id=Vague())

        assert run.values(timeout=SECONDS) == [111]
        assert run.ledger.balanced


class Labels(Operation):
    """Gives each message an id of its own."""

    in_ports = out_ports = ("",)

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit(message.data, correlation_id=Vague())


@few_modes
def test_ids_that_cannot_be_compared_fail_what_is_made_of_both(bench: Bench) -> None:
    with bench.wired(
        ".in -> labels -> batch -> .out", others=[Labels("labels"), Batch("batch", 2)]
    ) as runtime:
        run = runtime.process_many(".in", [1, 2])
        with pytest.raises(OperationError, match="ambiguous"):
            run.wait(timeout=SECONDS)

        assert run.ledger.failed == 2
        assert run.ledger.balanced
        assert runtime.process(".in", 3).values(timeout=SECONDS) == [[3]]


@attrs.define
class Handler:
    """Equal to every other that has heard the same."""

    heard: list[Any]

    def __call__(self, thing: Any) -> None:
        self.heard.append(thing)


@pytest.mark.parametrize("hook", ["on_message", "on_result", "on_exception"])
def test_of_two_equal_handlers_the_one_that_is_meant_is_removed(hook: str) -> None:
    def fail(_data: Any) -> Any:
        raise LookupError

    first, second = Handler([]), Handler([])
    assert first == second
    operations = FlowOperationContainer().add_func("f", same).add_func("fail", fail)
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out", ".bad -> fail -> .out")
        runtime.add_operations(operations)
        getattr(runtime, hook)(first)
        getattr(runtime, hook)(second)()
        runtime.on_exception(lambda _error: None)
        runtime.process(".in", 1).wait(timeout=SECONDS)
        runtime.process(".bad", 1).wait(timeout=SECONDS)

    assert first.heard
    assert not second.heard


class Empty(Exception):
    def __len__(self) -> int:
        return 0


@few_modes
def test_an_exception_without_a_length_is_an_exception_like_any_other(bench: Bench) -> None:
    """K2: the reason given was "(OperationError)"."""

    def fail(_data: Any) -> Any:
        raise Empty

    with bench.wired(".in -> fail -> .out", funcs={"fail": fail}) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)

    assert isinstance(caught.value.__cause__, Empty)
    assert "(Empty)" in str(run.ledger)


@attrs.frozen
class FrozenError(Exception):
    code: int = 7


@few_modes
def test_an_exception_that_takes_no_notes_is_told_with_its_way(bench: Bench) -> None:
    """K1: under retry the note on it stopped the runtime."""

    def fail(_data: Any) -> Any:
        raise FrozenError

    operations = bench.operations(funcs={"fail": fail}).retry(2, backoff=0.0)
    with bench.make_runtime() as runtime:
        wire(runtime, ".in -> fail -> .out")
        runtime.add_operations(operations)
        with pytest.raises(OperationError) as caught:
            runtime.process(".in", 1).wait(timeout=SECONDS)

    cause = caught.value.__cause__
    assert isinstance(cause, FrozenError)
    assert any("attempt 2" in note for note in cause.__notes__)


def test_an_exception_that_takes_no_notes_leaves_the_with_block_as_itself() -> None:
    def fail(_data: Any) -> Any:
        raise LookupError

    with pytest.raises(FrozenError) as caught, FlowRuntime() as runtime:
        wire(runtime, ".in -> fail -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("fail", fail))
        runtime.process(".in", 1)
        runtime.wait_idle(timeout=SECONDS)
        raise FrozenError

    assert any("LookupError" in note for note in caught.value.__notes__)


# -- K1: parts


class Holding(Operation):
    in_ports = out_ports = ("",)

    def __init__(self, ask: Callable[[Message, Emitter], None]) -> None:
        super().__init__("holding")
        self._ask = ask

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        self._ask(message, emit)


def _hold_one_twice(message: Message, emit: Emitter) -> None:
    part = Part(message.data)
    emit.hold([part])
    emit.hold([part])


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda message, emit: emit.hold([message.data]), "emit.hold takes parts, got int"),
        (lambda message, emit: emit.merge([message.data], 1), "emit.merge takes parts, got int"),
        (lambda message, emit: emit.release("ab", "no"), "emit.release takes parts, got str"),
        (lambda message, emit: emit.absorb([None]), "emit.absorb takes parts, got NoneType"),
        (lambda message, emit: emit.hold([Part(1), Part(2)]), "asked to hold 2 parts for 1 message in hand"),
        (lambda message, emit: emit.hold([Part(1)] * 2), "asked to hold a part that is held already"),
    ],
)
@few_modes
def test_what_is_no_part_to_keep_fails_its_message(bench: Bench, ask: Any, text: str) -> None:
    with bench.wired(".in -> holding -> .out", others=[Holding(ask)]) as runtime:
        run = runtime.process_many(".in", [1, 2])
        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)

        assert text in str(caught.value.__cause__)
        assert run.ledger.failed == 2
        assert run.ledger.balanced


@few_modes
def test_a_part_held_twice_is_told_and_its_message_ends_once(bench: Bench) -> None:
    """K1: the ledger said "-4 messages are live"."""
    with bench.wired(".in -> holding -> .out", others=[Holding(_hold_one_twice)]) as runtime:
        run = runtime.process_many(".in", [1, 2])
        with pytest.raises(Exception, match="held already"):
            run.wait(timeout=SECONDS)

        assert run.ledger.balanced
        assert len(run.failures) == 2


# -- K10: numbers


@pytest.mark.parametrize(
    ("given", "number"), [(3, 3), (Index(3), 3), (True, None), (3.0, None), ("3", None), (None, None)]
)
def test_what_counts(given: Any, number: int | None) -> None:
    assert users.count_of(given) == number


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (0, 0.0),
        (math.inf, math.inf),
        (10**400, math.inf),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
        (Index(3), 3.0),
        (-1, None),
        (-(10**400), None),
        (math.nan, None),
        (True, None),
        ("3", None),
        (b"3", None),
        (None, None),
        (1j, None),
    ],
)
def test_what_is_a_number_of_seconds(given: Any, seconds: float | None) -> None:
    assert users.seconds_of(given) == seconds


def test_a_priority_and_a_count_may_be_what_stands_for_an_int() -> None:
    operations = FlowOperationContainer().add_func("f", same).make_parallel(cast("int", Index(2)))
    with FlowRuntime(capacity=cast("int", Index(5))) as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(operations)
        run = runtime.process(".in", 1, priority=cast("int", Index(9)))

        (result,) = run.results(timeout=SECONDS)
    assert result.priority == 9
    assert type(result.priority) is int


def test_a_runtime_may_have_all_the_time_there_is_to_close() -> None:
    """K10: `close(deadline=math.inf)` was an OverflowError."""
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> f -> .out")
        runtime.add_operations(FlowOperationContainer().add_func("f", same).make_async())
        run = runtime.process(".in", 1)

        assert runtime.close(drain=math.inf, deadline=math.inf).clean
        assert run.values() == [1]


# -- K10: iterables


ITEMS: dict[str, Callable[[], Any]] = {
    "list": lambda: [1, 2, 3],
    "tuple": lambda: (1, 2, 3),
    "range": lambda: range(1, 4),
    "rows": Rows,
    "series": Series,
    "deque": lambda: deque((1, 2, 3)),
    "iterator": lambda: iter((1, 2, 3)),
}


@few_modes
@pytest.mark.parametrize("kind", list(ITEMS))
def test_one_rule_says_what_has_items(bench: Bench, kind: str) -> None:
    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> f -> gather.stream",
        "gather -> .out",
        ".many -> g -> .each",
        funcs={"f": same, "g": same},
        others=[Scatter("scatter"), Gather("gather", ordered=True)],
        counted=True,
    ) as runtime:
        assert runtime.process(".in", ITEMS[kind]()).values(timeout=SECONDS) == [[1, 2, 3]]
        assert sorted(runtime.process_many(".many", ITEMS[kind]()).values(timeout=SECONDS)) == [1, 2, 3]


@pytest.mark.parametrize(
    "given", ["text", b"bytes", {"a": 1}, UserDict(a=1), OrderedDict(a=1), Frame(), 7, None, int]
)
def test_one_rule_says_what_has_none(given: Any) -> None:
    with FlowRuntime() as runtime:
        operations = FlowOperationContainer().add_operation(Scatter("scatter")).add_func("f", same)
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> .out",
            "scatter.count -> .count",
            ".many -> f -> .each",
        )
        runtime.add_operations(operations)
        with pytest.raises(OperationError, match="takes a list or another iterable"):
            runtime.process(".in", given).wait(timeout=SECONDS)
        with pytest.raises(FlowBuildError, match="process_many takes a list or another iterable"):
            runtime.process_many(".many", given)

        assert runtime.process_many(".many", [1]).values(timeout=SECONDS) == [1]


# -- K10: classes


def test_methods_marked_in_a_class_made_by_exec_are_found() -> None:
    names: dict[str, Any] = {"operation": operation}
    exec("class Ops:\n    @operation\n    def double(self, number):\n        return 2 * number\n", names)

    assert "double" in FlowOperationContainer().add_instance_operations(names["Ops"]())


def test_a_function_may_stand_in_for_an_out_port_of_a_class_with_slots() -> None:
    class Alarm:
        __slots__ = ()
        rung = out_port()

        @in_port
        def at(self, time: str) -> None:
            self.rung(time)

    alarm, other = Alarm(), Alarm()
    calls: list[str] = []
    alarm.rung = calls.append  # type: ignore[misc]
    alarm.at("seven")

    assert calls == ["seven"]
    with pytest.raises(FlowBuildError, match="no part of a flow"):
        other.at("eight")


# -- keys


def test_a_key_stands_for_what_it_was_made_of() -> None:
    assert users.as_key("a") == "a"
    assert users.as_key(("a", 1, None)) == ("a", 1, None)
    assert users.as_key(Fraction(1, 2)) == users.as_key(Fraction(2, 4))
    assert users.as_key(Fraction(1, 2)) != users.as_key(Fraction(1, 3))
    with pytest.raises(TypeError):
        users.as_key([])
    with pytest.raises(ValueError, match="ambiguous"):
        users.as_key(Vague())


@few_modes
def test_keys_are_told_apart_by_what_they_are(bench: Bench) -> None:
    distinct = Distinct("distinct", key=lambda number: Fraction(number % 3))
    with bench.wired(".in -> distinct -> .out", others=[distinct]) as runtime:
        assert runtime.process_many(".in", range(7)).values(timeout=SECONDS) == [0, 1, 2]
