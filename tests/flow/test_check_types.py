"""Which types are found not to fit: only what certainly does not."""
# ruff: noqa: UP007, UP045 - users write both spellings of a union

from __future__ import annotations

import collections
import collections.abc
import datetime as dt
import decimal
import enum
import functools
import io
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import pytest
from attrs import frozen

from flowrt import Emit, Flow, FlowOperationContainer, OperationError, in_port, out_port
from flowrt.flow.checks import check
from flowrt.flow.checks.fitting import may_fit, type_text
from flowrt.flow.checks.hints import result_of
from flowrt.standard import (
    AutoResetJoin,
    Batch,
    Correlator,
    Envelope,
    Filter,
    Gather,
    PushCausality,
    Scan,
    Scatter,
    Switch,
    Zip,
)

T = TypeVar("T")
Several: Any = tuple[int, *typing.TypeVarTuple("Ts")]  # type: ignore[misc]
UserId = NewType("UserId", int)


class Animal: ...


class Dog(Animal): ...


class Stone: ...


class Colour(enum.Enum):
    RED = 1


class Point(typing.NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    name: str


class Speaks(Protocol):
    def speak(self) -> str: ...


class Box(Generic[T]): ...


class Names(list[str]): ...


FITS: list[tuple[Any, Any]] = [
    (int, int),
    (int, float),
    (float, int),
    (bool, int),
    (int, bool),
    (int, Any),
    (Any, int),
    (object, int),
    (int, object),
    (int, Optional[int]),
    (Optional[int], int),
    (Optional[int], None),
    (int | str, str | bytes),
    (Union[int, None], Union[str, None]),
    (Dog, Animal),
    (Animal, Dog),
    (Stone, Speaks),
    (Speaks, Stone),
    (Literal["a"], str),
    (str, Literal["a"]),
    (Literal["a", "b"], Literal["b", "c"]),
    (typing.Annotated[int, "metres"], int),
    (UserId, int),
    (int, UserId),
    (T, int),
    (int, T),
    (list, list[int]),
    (list[int], list),
    (list[int], list[float]),
    (list[int], Sequence[int]),
    (list[Any], list[int]),
    (list[int | str], list[str]),
    (list[int], Iterable[Any]),
    (str, Sequence[str]),
    (str, Iterable[str]),
    (bytes, Iterable[int]),
    (bytes, bytearray),
    (dict[str, int], Mapping[str, int]),
    (dict[str, int], Iterable[str]),
    (collections.Counter[str], dict[str, int]),
    (tuple[int, str], tuple[int, str]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, int], tuple[int, ...]),
    (tuple[int, str], tuple[Any, ...]),
    (tuple[int, int], Sequence[int]),
    (Point, tuple[int, int]),
    (Point, tuple),
    (Row, dict[str, str]),
    (Row, Mapping[str, str]),
    (Names, list[str]),
    (Names, Sequence[str]),
    (Box[int], Box[int]),
    (Box, Box[int]),
    (Colour, Colour),
    (type[int], type),
    (type[int], Callable[[str], int]),
    (Callable[[int], str], Callable[[str], int]),
    (len, Callable),
    (Generator[int, None, None], Iterator[int]),
    (Sequence[int], list[int]),
    (Sequence[int], str),
    (Iterable[int], str | list[int]),
    (dt.datetime, dt.date),
    (Path, collections.abc.Hashable),
    ("unresolved", int),
    (typing.ForwardRef("Nowhere"), int),
    (io.StringIO, typing.TextIO),
    (typing.IO[bytes], io.BytesIO),
    (tuple[int, *tuple[str, ...]], tuple[int, str, str]),
    (tuple[int, str, str], Several),
    (tuple[str, *tuple[str, ...]], Iterable[str]),
]
FITS_NOT: list[tuple[Any, Any]] = [
    (int, str),
    (str, int),
    (None, int),
    (int, None),
    (int | float, str | bytes),
    (Optional[int], str),
    (Stone, Animal),
    (Stone, int),
    (int, Stone),
    (Path, str),
    (str, Path),
    (str, bytes),
    (decimal.Decimal, str),
    (Literal["a"], int),
    (Literal["a"], Literal["b"]),
    (Literal[1], Literal[True]),
    (typing.Annotated[int, "metres"], str),
    (UserId, str),
    (int, list[int]),
    (list[int], int),
    (list[int], list[str]),
    (list[int], Sequence[str]),
    (list[list[int]], list[list[str]]),
    (set[int], list[int]),
    (str, Sequence[int]),
    (str, list[str]),
    (list[str], str),
    (int, Iterable[int]),
    (Iterable[int], int),
    (dict[str, int], dict[str, str]),
    (dict[str, int], Mapping[int, int]),
    (dict[str, int], Iterable[int]),
    (dict[str, int], list[str]),
    (tuple[int, str], tuple[int, int]),
    (tuple[int], tuple[int, int]),
    (tuple[int, ...], tuple[str, ...]),
    (tuple[int, str], Sequence[int]),
    (tuple[int, int], list[int]),
    (Row, list[str]),
    (Row, int),
    (Box[int], Box[str]),
    (Box[int], int),
    (Colour, int),
    (Colour, str),
    (int, Callable[[int], int]),
    (Stone, Iterable[Stone]),
    (dt.date, str),
    (type[int], int),
    (typing.TextIO, str),
    (int, typing.BinaryIO),
]


@pytest.mark.parametrize(("value", "wanted"), FITS, ids=range(len(FITS)))
def test_these_fit(value: Any, wanted: Any) -> None:
    assert may_fit(value, wanted)


@pytest.mark.parametrize(("value", "wanted"), FITS_NOT, ids=range(len(FITS_NOT)))
def test_these_do_not_fit(value: Any, wanted: Any) -> None:
    assert not may_fit(value, wanted)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (int, "int"),
        (None, "None"),
        (Any, "Any"),
        (Optional[int], "int | None"),
        (list[dict[str, Any]], "list[dict[str, Any]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (Path, "Path"),
    ],
    ids=range(9),
)
def test_a_type_is_shown_as_it_was_written(found: Any, text: str) -> None:
    assert type_text(found) == text


# --- where the types come from


def number(_: Any) -> int:
    return 1


def numbers(_: Any) -> list[int]:
    return [1]


def text_taken(text: str) -> None: ...


def number_taken(number: int) -> None: ...


def numbers_taken(numbers: Sequence[int]) -> None: ...


def texts_taken(texts: list[str]) -> None: ...


def pair_taken(pair: tuple[int, str]) -> None: ...


def error_taken(error: OperationError) -> None: ...


def lines(_: Any) -> Iterator[int]:
    yield 1


def tagged(_: Any) -> Iterator[int | Emit]:
    yield Emit("more", "text")


def emits_text(_: Any, out: Callable[[str], None]) -> None: ...


def emits_both(_: Any, on_text: Callable[[str], None], on_number: Callable[[int], Any]) -> None: ...


def emits_anything(_: Any, out: Callable[..., None]) -> None: ...


def emits_nothing(_: Any, out: Callable[[], None]) -> None: ...


def same(data: T) -> T:
    return data


def unresolvable(_: Nowhere) -> NowhereElse:  # type: ignore[name-defined] # noqa: F821
    return None


class Counter:
    def count(self, text: str) -> int:
        return len(text)

    def __call__(self, text: str) -> int:
        return len(text)

    @classmethod
    def make(cls, text: str) -> Counter:
        return cls()

    @staticmethod
    def add(text: str) -> int:
        return 1


def scaled(factor: int, number: int) -> float:
    return factor * number


@functools.lru_cache
def cached(text: str) -> int:
    return len(text)


@functools.wraps(number)
def wrapping(_: Any) -> str:
    return ""


@frozen
class Parsed:
    text: str


TAKERS: dict[str, Callable[..., Any]] = {
    "text": text_taken,
    "number": number_taken,
    "numbers": numbers_taken,
    "texts": texts_taken,
    "pair": pair_taken,
    "error": error_taken,
    "counts": Counter().count,
    "nothing": lambda: None,
    "list": list,
    "parsed": Parsed,
}


def added(kind: str, subject: Any) -> FlowOperationContainer:
    operations = FlowOperationContainer()
    getattr(operations, f"add_{kind}")("from", subject)
    for name, function in TAKERS.items():
        operations.add_action(name, function)
    return operations


@pytest.mark.parametrize(
    ("kind", "subject", "source", "fits", "fits_not"),
    [
        ("func", number, "from", "number nothing list parsed", "text numbers counts"),
        ("func", numbers, "from", "numbers", "text texts number"),
        ("func", same, "from", "text number", ""),
        ("func", unresolvable, "from", "text number", ""),
        ("func", Counter().count, "from", "number", "text"),
        ("func", Counter(), "from", "number", "text"),
        ("func", Counter.make, "from", "", "text number"),
        ("func", Counter.add, "from", "number", "text"),
        ("func", functools.partial(scaled, 2), "from", "number", "text"),
        ("func", cached, "from", "number", "text"),
        ("func", wrapping, "from", "text number", ""),
        ("func", str, "from", "text", "number"),
        ("func", Parsed, "from", "", "text number"),
        ("func", Path, "from", "text", ""),
        ("func", len, "from", "text number", ""),
        ("func", text_taken, "from", "nothing", "text number"),
        ("generator", lines, "from", "number", "text numbers"),
        ("generator", tagged, "from", "number", "text"),
        ("generator", tagged, "from.more", "text number", ""),
        ("action", emits_text, "from", "text", "number"),
        ("action", emits_both, "from.on_text", "text", "number"),
        ("action", emits_both, "from.On_Number", "number", "text"),
        ("action", emits_anything, "from", "text number", ""),
        ("action", emits_nothing, "from", "nothing", "text number"),
    ],
    ids=range(24),
)
def test_annotations_tell(kind: str, subject: Any, source: str, fits: str, fits_not: str) -> None:
    for target in (*fits.split(), *fits_not.split()):
        flow = Flow().add_operations(added(kind, subject)).add_stream(".in", "from")
        flow.add_stream(source, target)

        found = check(flow, ignore=["F203", "F201"])

        assert bool(found) == (target in fits_not.split()), (target, found)


def line(*chains: str, **operations: Any) -> list[str]:
    """Check a flow of chains of ports; return the texts of what is found about its types."""
    container = FlowOperationContainer()
    for name, operation in operations.items():
        if isinstance(operation, type(number)):
            container.add_func(name, operation)
        else:
            container.add_operation(operation)
    flow = Flow().add_operations(container)
    for chain in chains:
        ports = chain.split()
        for source, target in pairwise(ports):
            flow.add_stream(source, target)
    return [finding.text for finding in check(flow) if finding.code == "F301"]


def test_a_scattered_list_becomes_items_and_a_list_again() -> None:
    chains = (".in a s", "s.stream g.stream", "s.count g.count", "g b .out")
    parts = {"a": numbers, "s": Scatter("s"), "g": Gather("g")}

    assert line(*chains, **parts, b=numbers_taken) == []
    assert line(*chains, **parts, b=texts_taken) == ['"g" emits list[int], but "b" takes list[str].']
    assert line(".in a s", "s.stream b .out", **parts, b=text_taken) == [
        '"s.stream" emits int, but "b" takes str.'
    ]
    assert line(".in a s", "s.count b .out", **parts, b=text_taken) == [
        '"s.count" emits int, but "b" takes str.'
    ]


def test_only_lists_can_be_scattered() -> None:
    parts = {"s": Scatter("s")}

    (found,) = line(".in a s", "s.stream .out", a=number, **parts)
    assert found == '"a" emits int, but "s" takes a list or another iterable, no text or mapping.'

    def texts(_: Any) -> str | dict[str, int]:
        return ""

    assert len(line(".in a s", "s.stream .out", a=texts, **parts)) == 1


def test_what_passes_an_operator_keeps_its_type() -> None:
    for operator in (Filter("o", bool), PushCausality("o")):
        assert line(".in a o b .out", a=number, o=operator, b=number_taken) == []
        assert line(".in a o b .out", a=number, o=operator, b=text_taken) == [
            '"a" emits int, but "b" takes str.'
        ]
    switch = Switch("o", str)
    assert len(line(".in a o", "o.any b .out", a=number, o=switch, b=text_taken)) == 1


def test_what_is_brought_together_has_the_types_of_all() -> None:
    chains = (".in a z.in0", ".in b z.in1", "z c .out")
    for join in (Zip("z", ["in0", "in1"]), AutoResetJoin("z")):
        assert line(*chains, a=number, b=str_made, z=join, c=pair_taken) == []
        assert line(*chains, a=str_made, b=str_made, z=join, c=pair_taken) != []
    assert line(".in a b c .out", a=number, b=Batch("b", 2), c=numbers_taken) == []
    assert line(".in a b c .out", a=number, b=Batch("b", 2), c=texts_taken) != []
    assert line(".in a b c .out", ".x x b", a=number, x=str_made, b=Batch("b", 2), c=texts_taken) == []


def str_made(_: Any) -> str:
    return ""


def step(before: int, data: str) -> int:
    return before


def test_other_operators_tell_what_they_make() -> None:
    scan = Scan("s", step, 0)
    assert line(".in a s b .out", a=str_made, s=scan, b=text_taken) == ['"s" emits int, but "b" takes str.']

    correlator = {"c": Correlator("c")}
    assert line(".in a c.encode", "c.encoded .out", a=number, **correlator) != []
    assert line(".in c.decode", "c.decoded b .out", b=text_taken, **correlator) != []

    def envelope(_: Any) -> Envelope:
        return Envelope(1)

    assert line(".in a c.encode", "c.encoded b .out", a=envelope, b=text_taken, **correlator) == []
    push = {"p": PushCausality("p")}
    assert line(".in p .out", "p.exception b .e", b=error_taken, **push) == []
    assert line(".in p .out", "p.exception b .e", b=text_taken, **push) != []


def test_the_error_port_has_errors() -> None:
    operations = FlowOperationContainer().add_func("a", number).on_error("route").add_func("b", text_taken)
    flow = Flow().add_operations(operations).add_stream(".in", "a").add_stream("a", ".out")
    flow.add_stream("a.error", "b").add_stream("b", ".out")

    assert [finding.text for finding in check(flow)] == ['"a.error" emits OperationError, but "b" takes str.']


def test_several_that_do_not_fit_are_told_of_one_by_one() -> None:
    found = line(".in a c .out", ".in b c", a=number, b=numbers, c=text_taken)

    assert found == ['"a" emits int, but "c" takes str.', '"b" emits list[int], but "c" takes str.']


def test_in_a_circle_types_are_followed_once() -> None:
    switch = Switch("again", str, ports=["yes", "no"])

    assert line(
        ".in a s again.x",
        "again.yes s",
        "again.no b .out",
        a=number,
        s=Filter("s", bool),
        again=switch,
        b=text_taken,
    ) == ['"a" emits int, but "b" takes str.']


class Door:
    opened = out_port()

    @in_port
    def knock(self, times: int) -> None: ...

    @in_port
    @staticmethod
    def call(name: str) -> None: ...

    @in_port
    @classmethod
    def enter(cls, name: str) -> None: ...

    @in_port
    def leave(self) -> None: ...


@pytest.mark.parametrize(
    "component", [Door(), Door, functools.partial(Door)], ids=["object", "class", "partial"]
)
def test_the_methods_of_a_component_tell_what_they_take(component: Any) -> None:
    operations = FlowOperationContainer().add_func("a", number).add_component("door", component)
    flow = Flow().add_operations(operations).add_stream(".in", "a").add_stream("door.opened", ".out")
    for port in ("knock", "call", "enter", "leave"):
        flow.add_stream("a", f"door.{port}")

    assert [finding.text for finding in check(flow)] == [
        '"a" emits int, but "door.call" takes str.',
        '"a" emits int, but "door.enter" takes str.',
    ]


# --- mutable data


@dataclass
class Order:
    lines: int


@dataclass(frozen=True)
class Paid:
    lines: int


def fanned(kind: Any, *taking: Any) -> bool:
    def make(_: Any) -> Any:
        return None

    make.__annotations__["return"] = kind
    operations = FlowOperationContainer().add_func("make", make)
    flow = Flow().add_operations(operations).add_stream(".in", "make")
    container = FlowOperationContainer()
    for index, taken in enumerate(taking):

        def take(data: Any) -> None: ...

        take.__annotations__ = {"data": taken}
        container.add_action(f"take{index}", take)
        flow.add_stream("make", f"take{index}")
    return any(finding.code == "F302" for finding in check(flow.add_operations(container)))


def test_mutable_data_for_several_is_found_if_one_of_them_may_change_it() -> None:
    assert fanned(list[int], list[int], list[int])
    assert fanned(dict[str, int] | None, Any, Mapping[str, int])
    assert fanned(Order, Order, Order)
    assert not fanned(list[int], list[int])
    assert not fanned(list[int], Sequence[int], Iterable[int])
    assert not fanned(tuple[int, ...], Any, Any)
    assert not fanned(Paid, Paid, Paid)
    assert not fanned(Any, list[int], list[int])


# --- annotations that are texts


RUN: list[str] = []  # what was run of the user's


class Loud(type):
    def __getitem__(cls, _: Any) -> Any:
        RUN.append("Trap[]")

    def __getattribute__(cls, name: str) -> Any:
        if name == "sentinel":
            RUN.append("Trap.sentinel")
        return super().__getattribute__(name)


class Trap(metaclass=Loud): ...


class Chosen(type):
    def __getitem__(cls, _: Any) -> Any:
        RUN.append("Choice[]")


class Choice(metaclass=Chosen): ...


class Made:
    def __class_getitem__(cls, _: Any) -> Any:
        RUN.append("Made[]")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("int", int),
        ("dt.date", dt.date),
        ("'int'", int),
        ("list['int']", list[int]),
        ("int | None", Optional[int]),
        ("Optional[int]", Optional[int]),
        ("Literal['a', 1]", Literal["a", 1]),
        ("typing.Annotated[int, print('run')]", int),
        ("tuple[int, ...]", tuple[int, ...]),
        ("Callable[[int], None]", Callable[[int], None]),
        ("None", None),
        ("Box[int]", Box[int]),
        ("nowhere.Nothing", Any),
        ("Nothing", Any),
        ("print('run')", Any),
        ("Trap['run']", Any),
        ("Trap.sentinel", Any),
        ("Choice['run']", Any),
        ("Made[int]", Any),
        ("TAKERS['text']", Any),
        ("1 +", Any),
        ("dt.nothing", Any),
    ],
    ids=range(22),
)
def test_a_text_is_looked_up_and_never_run(text: str, found: Any) -> None:
    def function(data: Any) -> Any:
        raise AssertionError("nothing of the user's is run")

    function.__annotations__ = {"return": text}

    assert result_of(function) == found
    assert RUN == []


def test_a_local_class_is_found_if_the_function_uses_it() -> None:
    class Local: ...

    def uses_it(_: Any) -> Local:
        return Local()

    assert result_of(uses_it) is Local


@pytest.mark.parametrize(
    "strange",
    [3, None, object(), type("Odd", (), {"__call__": len})(), functools.partial(int)],
    ids=range(5),
)
def test_of_what_cannot_tell_nothing_is_known(strange: Any) -> None:
    assert result_of(strange) in (Any, int)


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ([int], Any),
        ({"rows": int}, Any),
        (typing.Annotated[int, {"unit": "m"}], int),
        (typing.Annotated[list[int], ["note"]], list[int]),
        (list[typing.Annotated[int, []]], Any),
    ],
    ids=range(5),
)
def test_an_annotation_may_be_anything(annotation: Any, found: Any) -> None:
    def made(_: Any) -> Any: ...

    def taken(data: Any) -> Any: ...

    made.__annotations__ = {"return": annotation}
    taken.__annotations__ = {"data": annotation}
    operations = FlowOperationContainer().add_func("made", made).add_func("taken", taken)
    flow = Flow().add_operations(operations).add_stream(".in", "made").add_stream("made", "taken")

    assert check(flow.add_stream("taken", ".out")) == []
    assert result_of(made) == found


def test_annotations_that_are_declared_not_to_be_types_are_left_alone() -> None:
    @typing.no_type_check
    def made(_: Any) -> "metres":  # noqa: F821, UP037
        ...

    made.__annotations__["return"] = int

    assert result_of(made) is Any


def test_a_list_that_leads_to_what_takes_its_items_wants_a_scatter() -> None:
    def many(text: str) -> list[int]:
        return [len(text)]

    def one(number: int) -> int:
        return number

    (found,) = check(Flow().add_chain(".in", many, one, ".out"))

    assert found.code == "F301"
    assert "Put a Scatter between" in found.remedy
