"""Names: however Unicode spells one, composed or decomposed and in any case, it is the same name everywhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import (
    Emit,
    Flow,
    FlowBuildError,
    FlowOperationContainer,
    FlowRuntime,
    Message,
    Operation,
    Port,
    check,
    in_port,
    out_port,
    parallel,
)
from flowrt.flow.diagrams import to_mermaid
from flowrt.operations.contract import Emitter
from flowrt.ports import did_you_mean, folded
from flowrt.standard import Switch, Zip
from flowrt.testing import drive
from tests.kit.flows import Bench, few_modes
from tests.kit.functions import SECONDS, double, same

COMPOSED = "pr\u00fcfen"
DECOMPOSED = "pru\u0308fen"
SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    str.lower,
    str.title,
    str.swapcase,
    str.casefold,
    partial(unicodedata.normalize, "NFC"),
    partial(unicodedata.normalize, "NFD"),
]

# Marks that are drawn over letters, in any order; letters whose case is several letters; joiners; syllables that are composed.
letters = st.sampled_from(
    "aZ_9 \u00fc\u00c5\u212bßẞŉǰΐᾴῼΣς\u0301\u0345\u0327\u0308\u200c\u200d가한\u1100\u1161ﬁ€>\u0338-"
) | st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="./\\#*,\ufeffı")
names = st.text(letters, min_size=1, max_size=8).map(str.strip).filter(bool)


@st.composite
def spelled(draw: st.DrawFn, count: int) -> tuple[str, ...]:
    """Draw a name in several spellings."""
    name = draw(names)
    found = []
    for _ in range(count):
        spelling = name
        for change in draw(st.lists(st.sampled_from(SPELLINGS), max_size=3)):
            spelling = change(spelling)
        found.append(spelling.strip())
    return (name, *found)


@given(spelled(1))
def test_every_spelling_of_a_name_folds_to_one(spellings: tuple[str, str]) -> None:
    name, other = spellings

    assert folded(name) == folded(other) == folded(folded(name))
    assert Port.parse(name) == Port.parse(other) == Port(operation=other)
    assert hash(Port.parse(f"x/{name}#1.{other}")) == hash(Port.parse(f"X/{other}#1.{name}"))


@given(names)
def test_an_operation_takes_every_name_that_a_port_takes(name: str) -> None:
    assert Port.parse(name).operation == name
    assert name in FlowOperationContainer().add_func(name, same)
    assert Flow(name).name == name


@given(st.text(max_size=8))
def test_an_operation_takes_no_name_that_a_port_does_not_take(name: str) -> None:
    try:
        port: Port | None = Port.parse(name)
    except FlowBuildError:
        port = None
    reached = port is not None and (port.path, port.operation, port.instance, port.name) == (
        "",
        name.strip(),
        "",
        "",
    )
    for named in (lambda: FlowOperationContainer().add_func(name, same), lambda: Flow().add_flow(Flow(name))):
        if reached:
            named()
        else:
            with pytest.raises(FlowBuildError):
                named()


@given(spelled(9))
def test_a_name_is_found_in_every_spelling(spellings: tuple[str, ...]) -> None:
    name, *others = spellings
    a, b, c, d, e, f, g, h, i = others
    operations = FlowOperationContainer().add_func(name, double, parallel(2, pool=h))
    assert a in operations
    assert operations[b].entry().name == name
    with pytest.raises(FlowBuildError, match=r"there are two operations"):
        operations.add_func(c, same)

    flow = Flow.from_text(
        f".{a}, {b}\n{c}, flow {d}.{e}\nflow {f}.{g}, .{h}\nflow {i}\n.{a}, {b}#x\n{c}#X, .{d}"
    )
    flow.add_operations(operations)
    assert check(flow) == []
    assert to_mermaid(flow, subflow=f"flow {h}")
    with FlowRuntime(flow, schedule="sync", parallelism=False) as runtime:
        run = runtime.process(f".{i}", 3)
        assert run.result(SECONDS, port=f".{g}").data == 12
        assert run.values(SECONDS, port=f".{f}") == [12]


@given(spelled(4))
def test_the_ports_of_operations_are_found_in_every_spelling(spellings: tuple[str, ...]) -> None:
    name, a, b, c, d = spellings

    class Own(Operation):
        in_ports = (name,)
        out_ports = (a, "x" + a)

        def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
            emit(message.data, b)
            emit(emit.is_fed(c), "x" + d)

    assert [
        message.data for message in drive(Own("own"), Message(f"own.{b}", 1), Message(f"own.{d}", 2))
    ] == [1, True, 2, True]
    assert [message.data for message in drive(Switch("choose", lambda _: c, [name]), 1)] == [1]
    pairs = drive(Zip("zip", [name, "x" + name]), Message(f"zip.{a}", 1), Message(f"zip.x{b}", 2))
    assert [message.data for message in pairs] == [(1, 2)]

    class Component:
        changed = out_port(d)

        @in_port(name=name)
        def take(self, data: int) -> None:
            self.changed(data)

    assert [message.data for message in drive(Component(), 5, port=a)] == [5]


@few_modes
def test_flow_text_in_decomposed_letters_finds_operations_in_composed_ones(bench: Bench) -> None:
    def split(data: int) -> Any:
        yield Emit(COMPOSED, data)

    operations = bench.operations(funcs={COMPOSED: double})
    operations.add_generator("split", split)
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(f".in, {DECOMPOSED.upper()}, split\nsplit.{DECOMPOSED}, .{DECOMPOSED}")
        runtime.add_operations(operations)

        assert runtime.process(".in", 3).values(SECONDS, port=f".{COMPOSED.upper()}") == [6]


def test_what_is_meant_is_found_in_other_letters_too() -> None:
    assert did_you_mean(DECOMPOSED + "d", [COMPOSED]) == f' Did you mean "{COMPOSED}"? There are: {COMPOSED}.'


def test_one_pool_is_one_in_every_spelling() -> None:
    operations = FlowOperationContainer().add_func("a", same, parallel(2, pool=COMPOSED))
    operations.add_func("b", same, parallel(3, pool=DECOMPOSED.title()))

    (found,) = check(Flow().add_operations(operations).add_chain(".in", "a", "b", ".out"))
    assert found.code == "F501"
