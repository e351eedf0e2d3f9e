"""Chains: ports and operations in a row become streams and what they stand for, and what cannot be one says what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    Flow,
    FlowBuildError,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Operation,
    PopCausality,
    Port,
    PushCausality,
    Scatter,
    in_port,
    operation,
    out_port,
    parallel,
)
from flowrt.messages import Message
from flowrt.operations.contract import Emitter
from flowrt.operations.marks import AnyMode
from flowrt.operations.modes import InMode
from flowrt.standard import AutoResetJoin, Debounce, Distinct, Ticker
from tests.kit.flows import Bench, few_modes, one_thread
from tests.kit.functions import SECONDS, double, increment, thrice


def streams_of(flow: Flow) -> list[str]:
    return [str(stream) for stream in flow.streams]


def modes_of(flow: Flow) -> dict[str, str]:
    return {each.name: str(each.mode) for each in flow.operations}


class Shout(Operation):
    """An own operation without anything but what the contract asks for."""

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit(str(message.data).upper())


class Doorbell:
    rung = out_port()

    @in_port
    def press(self, data: Any) -> None:
        self.rung(data)


def tell(data: Any, emit: Callable[[Any], None]) -> None:
    emit(data)


def sort_out(data: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
    (on_odd if data % 2 else on_even)(data)


def swallow(data: object) -> None:
    """Return nothing, and say so."""


# --- What a chain leads to


@few_modes
def test_a_list_goes_through_a_chain_of_functions_and_operations(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_chain(".in", range, Scatter(), parallel(double, 4), Gather(ordered=True), sum, ".out")

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [20]


@one_thread
def test_lists_of_lists_are_matched_as_brackets(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_chain(".in", Scatter(), Scatter(), double, Gather(), Gather(), ".out")

        assert runtime.process(".in", [[1], [], [2, 3]]).values(timeout=SECONDS) == [[[2], [], [4, 6]]]


@few_modes
def test_a_chain_is_added_to_a_flow_that_runs(bench: Bench) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_chain(".in", double, ".out")
        before = runtime.process(".in", 1).values(timeout=SECONDS)
        runtime.add_chain("double", increment, ".out")

        assert (before, sorted(runtime.process(".in", 1).values(timeout=SECONDS))) == ([2], [2, 3])


def test_a_stream_leads_from_each_port_to_the_next() -> None:
    flow = Flow().add_chain(".in", "find", "scatter.stream", Port.parse("lines/count"), ".out")

    assert streams_of(flow) == [
        ".in -> find",
        "find -> scatter.stream",
        "scatter.stream -> lines/count",
        "lines/count -> .out",
    ]
    assert flow.operations == ()


def test_the_count_goes_straight_across_and_only_where_a_gather_closes() -> None:
    assert streams_of(Flow().add_chain(Scatter(), str, Gather("all"), ".out")) == [
        "scatter.stream -> str",
        "str -> all.stream",
        "all -> .out",
        "scatter.count -> all.count",
    ]
    assert "count" not in " ".join(streams_of(Flow().add_chain(".in", Gather(), Scatter(), ".out")))


def test_own_operations_say_how_a_chain_goes_through_them() -> None:
    class Sieve(Operation):
        in_ports = ("", "mesh")
        out_ports = ("fine", "coarse")
        way_in = "mesh"
        way_out = "coarse"

    assert streams_of(Flow().add_chain(".in", Sieve(), ".out")) == [
        ".in -> sieve.mesh",
        "sieve.coarse -> .out",
    ]


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (double, [".in -> double", "double -> .out"]),
        (str.upper, [".in -> upper", "upper -> .out"]),
        (int, [".in -> int", "int -> .out"]),
        (functools.partial(divmod, 7), [".in -> divmod", "divmod -> .out"]),
        (operation(name="named")(lambda data: data), [".in -> named", "named -> .out"]),
        (Doorbell(), [".in -> doorbell.press", "doorbell.rung -> .out"]),
        (Doorbell, [".in -> doorbell.press", "doorbell.rung -> .out"]),
        (Shout(), [".in -> shout", "shout -> .out"]),
        (PushCausality(), [".in -> push_causality", "push_causality -> .out"]),
        (thrice, [".in -> thrice", "thrice -> .out"]),
        (tell, [".in -> tell", "tell -> .out"]),
    ],
)
def test_things_are_called_what_they_are_called(thing: Any, expected: list[str]) -> None:
    assert streams_of(Flow().add_chain(".in", thing, ".out")) == expected


@pytest.mark.parametrize(
    ("thing", "kind"), [(double, "function"), (thrice, "generator"), (tell, "action"), (swallow, "action")]
)
def test_the_signature_says_what_a_function_is(thing: Any, kind: str) -> None:
    (declaration,) = Flow().add_chain(".in", thing).operations

    assert declaration.kind == kind


def test_operators_that_were_given_no_name_have_that_of_their_class() -> None:
    made = [Scatter(), Gather(), PopCausality(), AutoResetJoin(), Debounce(), Distinct(), Ticker()]

    names = "scatter gather pop_causality auto_reset_join debounce distinct ticker"
    assert [each.name for each in made] == names.split()


def test_a_flow_is_entered_by_its_in_and_left_by_its_out() -> None:
    inner = Flow("twice").add_chain(".in", double, ".out").add_chain(".else", "double")
    only = Flow("once").add_chain(".start", increment, ".end")
    flow = Flow().add_chain(".in", inner, only, inner, ".out")

    assert streams_of(flow) == [
        ".in -> twice.in",
        "twice.out -> once.start",
        "once.end -> twice#2.in",
        "twice#2.out -> .out",
    ]
    with FlowRuntime(flow, schedule="sync") as runtime:
        assert runtime.process(".in", 1).values() == [6]


# --- The same thing again


def test_what_comes_again_in_a_chain_is_another_place_of_it() -> None:
    flow = Flow().add_chain(".in", parallel(double, 1), double, double, ".out")
    assert streams_of(flow)[1:3] == ["double -> double#2", "double#2 -> double#3"]
    assert modes_of(flow) == {"double": "parallel(1)"}


def test_what_comes_again_in_another_chain_is_the_same_place() -> None:
    flow = Flow().add_chain(".in", double, ".out").add_chain(".more", double)

    assert streams_of(flow) == [".in -> double", "double -> .out", ".more -> double"]
    assert len(flow.operations) == 1


def test_methods_of_two_objects_are_two_operations() -> None:
    class Adder:
        def add(self, data: int) -> int:
            return data

    adder = Adder()
    Flow().add_chain(".in", adder.add, adder.add, ".out")
    with pytest.raises(FlowBuildError, match='there are two operations "add"'):
        Flow().add_chain(".in", adder.add, Adder().add, ".out")


def test_operations_without_a_name_of_their_own_are_numbered() -> None:
    flow = Flow().add_chain(".a", Scatter(), Shout(), Gather(), ".out")
    flow.add_chain(".b", Scatter(), Shout(), Gather(), ".out")

    names = [each.name for each in flow.operations]
    assert names == ["scatter", "shout", "gather", "scatter_2", "shout_2", "gather_2"]
    assert streams_of(flow)[-1] == "scatter_2.count -> gather_2.count"


def test_a_container_s_entry_brings_its_mode_and_policies() -> None:
    operations = FlowOperationContainer().add_func("a", double).make_parallel(2).add_func("b", increment)
    flow = Flow().add_chain(".in", operations["a"], operations["b"].retry(3), ".out")
    alone = Flow().add_chain(".in", FlowOperationContainer().add_func(double).make_async(), ".out")

    assert streams_of(flow) == [".in -> a", "a -> b", "b -> .out"]
    assert modes_of(flow) == {"a": "parallel(2)", "b": "sync"}
    assert modes_of(alone) == {"double": "async"}
    with pytest.raises(FlowBuildError, match=r'2 operations stands where one .* container\["name"\]'):
        Flow().add_chain(".in", operations, ".out")


def test_a_function_stands_for_the_entry_that_the_flow_has_of_it() -> None:
    flow = Flow().add_operations(FlowOperationContainer().add_func(double, parallel(2)))
    flow.add_chain(".in", double, parallel(double, 2), ".out")

    assert modes_of(flow) == {"double": "parallel(2)"}
    with pytest.raises(
        FlowBuildError, match=r"already, as parallel\(2\) .* asks for parallel\(3\)\. Say its mode once"
    ):
        flow.add_chain(".x", parallel(double, 3))


# --- What cannot be a chain


def two_of_one_name() -> tuple[Any, Any]:
    def count(data: object) -> object:
        return data

    first = count

    def count(data: object) -> object:  # type: ignore[no-redef]
        return data

    return first, count


@pytest.mark.parametrize(
    ("things", "says"),
    [
        (
            [lambda data: data],
            'a lambda .* has no name .* add_func\\("name", f\\), and in a chain write "name"',
        ),
        ([Scatter], "number 2 of the chain is the class Scatter itself; pass an instance"),
        ([5], "number 2 of it is of type int"),
        ([None], "number 2 of it is of type NoneType"),
        ([[double, increment]], r"number 2 of it is of type list. Write \*things"),
        (two_of_one_name(), 'there are two operations "count": .*add_func\\("other", count\\)'),
        ([Scatter("a"), Scatter("A")], 'there are two operations "A"'),
        (
            [sort_out],
            'leaves operation "sort_out", whose out-ports are "sort_out.on_even", "sort_out.on_odd"',
        ),
        ([AutoResetJoin()], 'enters operation "auto_reset_join", whose in-ports are "auto_reset_join.in0"'),
        (
            [swallow],
            'leaves operation "swallow", which has no out-port. It emits nothing: give it a continuation',
        ),
        ([Ticker()], 'enters operation "ticker", which has no in-port. Let the chain begin with it'),
        ([Flow()], "a flow in a chain needs a name"),
        ([Flow("empty")], 'enters flow "empty", which has no in-port'),
        ([InMode(Scatter(), parallel(4))], "keeps state, so only one thread"),
        ([" "], "names no port"),
    ],
)
def test_what_cannot_stand_in_a_chain_says_what_to_do_and_adds_nothing(things: list[Any], says: str) -> None:
    flow = Flow()
    with pytest.raises(FlowBuildError, match=says):
        flow.add_chain(".in", *things, ".out")

    assert (flow.streams, flow.operations, flow.flows) == ((), (), ())


@pytest.mark.parametrize("things", [[], [".in"], [".in, parse, .out"]])
def test_a_chain_has_two_members_at_least(things: list[str]) -> None:
    with pytest.raises(FlowBuildError, match="a chain leads from one port or operation to another"):
        Flow().add_chain(*things)


# --- Names and modes of what is added to a container


@pytest.mark.parametrize("verb", ["add_func", "add_action", "add_generator"])
def test_the_name_may_be_left_out_and_a_mode_may_stand_beside(verb: str) -> None:
    def work(data: int) -> Iterator[int]:
        return iter([data])

    ways: list[tuple[Any, ...]] = [
        (work, parallel(2)),
        (parallel(work, 2),),
        ("work", work, parallel(2)),
        ("work", parallel(work, 2)),
    ]
    for way in ways:
        (found,) = getattr(FlowOperationContainer(), verb)(*way)
        assert (found.name, str(found.mode)) == ("work", "parallel(2)")
    (found,) = getattr(FlowOperationContainer(), verb)(work)
    assert (found.name, str(found.mode)) == ("work", "sync")


@pytest.mark.parametrize(
    ("mode", "expected"), [("async", "async"), ("parallel", "parallel(4)"), ("sync", "sync")]
)
def test_modes_have_names(mode: AnyMode, expected: str) -> None:
    (found,) = FlowOperationContainer().add_func(double, mode)

    assert str(found.mode) == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((lambda data: data,), "a lambda .* has no name"),
        ((double, "twice"), r'the name comes first: add_func\("twice", f\)'),
        ((double, increment), "The name comes first"),
        ((5,), "needs something that can be called"),
        (("name",), "needs something that can be called"),
        ((double, parallel(2), parallel(3)), "takes one function"),
        (("name", parallel(double, 2), parallel(3)), "the mode is given twice"),
    ],
)
def test_what_cannot_be_added_says_what_to_do(arguments: tuple[Any, ...], says: str) -> None:
    container = FlowOperationContainer()
    with pytest.raises(FlowBuildError, match=says):
        container.add_func(*arguments)

    assert len(container) == 0
