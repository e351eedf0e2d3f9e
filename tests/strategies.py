"""What hypothesis draws: names, ports, priorities, lists, and small flows with an oracle of their own.

A `Graph` is a flow without cycles whose operations work on small integers. `outcome` says what it must do by
walking it message by message, without flowrt: results, calls, failures and the numbers of the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from hypothesis import strategies as st

from flowrt import Emit, FlowOperationContainer, FlowRuntime, Gather, Scatter

# --- Names and ports

_WORD = st.text("abcXYZ_0é", min_size=1, max_size=4)
# Blanks inside a name are legal.
names = st.lists(_WORD, min_size=1, max_size=2).map(" ".join)


@attrs.frozen
class PortParts:
    """The parts a port is spelt from; an empty one is left out."""

    path: str
    operation: str
    instance: str
    name: str

    @property
    def text(self) -> str:
        path = f"{self.path}/" if self.path else ""
        instance = f"#{self.instance}" if self.instance else ""
        name = f".{self.name}" if self.name else ""
        return f"{path}{self.operation}{instance}{name}"


def _port_parts(path: list[str], operation: str, instance: str, name: str) -> PortParts:
    return PortParts(
        "/".join(path), operation, instance if operation else "", name if operation or name else "in"
    )


ports = st.builds(
    _port_parts,
    path=st.lists(names, max_size=3),
    operation=st.one_of(st.just(""), names),
    instance=st.one_of(st.just(""), st.sampled_from(["1", "2", "left", "1#2"])),
    name=st.one_of(st.just(""), names),
)

# --- Messages

priorities = st.integers(-3, 99)
correlation_ids = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "b"]))
inputs = st.lists(st.integers(0, 20), max_size=5)
lists = st.lists(st.integers(0, 20), max_size=12)
nested_lists = st.lists(lists, max_size=5)
seeds = st.integers(0, 2**16)

# --- Operations of a graph: what each does to a number, once for flowrt and once for the oracle

Emission = tuple[str, int]  # the port ("" is the default one) and the number


class Refused(Exception):
    """What the operations of a graph raise."""


def _increment(number: int) -> list[Emission]:
    return [("", number + 1)]


def _keep_even(number: int) -> list[Emission]:
    return [] if number % 2 else [("", number)]


def _twice(number: int) -> list[Emission]:
    return [("", number), ("", number + 100)]


def _branch(number: int) -> list[Emission]:
    return [("on_odd" if number % 2 else "on_even", number)]


def _count(number: int) -> list[Emission]:
    return [("odd" if index % 2 else "", number + index) for index in range(number % 4)]


def _refuse_fives(number: int) -> list[Emission]:
    if number % 5 == 0:
        raise Refused
    return [("", number + 1)]


@attrs.frozen
class Kind:
    name: str
    shape: str  # func, action, branch, generator
    emissions: Callable[[int], list[Emission]]
    out_ports: tuple[str, ...] = ("",)


KINDS = (
    Kind("increment", "func", _increment),
    Kind("keep_even", "action", _keep_even),
    Kind("twice", "action", _twice),
    Kind("branch", "branch", _branch, ("on_even", "on_odd")),
    Kind("count", "generator", _count, ("", "odd")),
    Kind("refuse_fives", "func", _refuse_fives),
    # Five operations: the list of a number is scattered, worked on, gathered ("skip") and summed up.
    Kind("bracket", "bracket", _increment),
)

MODES: tuple[Callable[[FlowOperationContainer], FlowOperationContainer], ...] = (
    lambda container: container,
    lambda container: container.make_async(),
    lambda container: container.make_parallel(2),
    lambda container: container.make_parallel(2, ordered=True),
    lambda container: container.make_async(pool="shared"),
)


def _list_of(number: int) -> list[int]:
    return list(range(number % 4))


def _refuse_ones(number: int) -> int:
    if number == 1:
        raise Refused
    return number


@attrs.frozen
class Node:
    kind: Kind
    mode: int
    counted: bool  # a bracket with a count stream


OUT = -1  # the target of a stream that leaves the flow


@attrs.frozen
class Graph:
    """Nodes in an order in which streams only lead forward; `streams[-1, ""]` are those of `.in`."""

    nodes: tuple[Node, ...]
    streams: dict[tuple[int, str], tuple[int, ...]]

    def targets(self, node: int, port: str) -> tuple[int, ...]:
        return self.streams.get((node, port), ())

    def build(self, runtime: FlowRuntime, calls: Counter[tuple[str, int]]) -> None:
        """Add streams and operations to the runtime; every call is counted in `calls` by name and number."""
        container = FlowOperationContainer()
        for index, node in enumerate(self.nodes):
            _add(container, runtime, f"n{index}", node, calls)
        for (source, port), targets in self.streams.items():
            for target in targets:
                runtime.add_stream(
                    _source(self, source, port), ".out" if target == OUT else _entry(self, target)
                )
        runtime.add_operations(container)


def _entry(graph: Graph, node: int) -> str:
    return f"n{node} list" if graph.nodes[node].kind.shape == "bracket" else f"n{node}"


def _source(graph: Graph, node: int, port: str) -> str:
    if node == -1:
        return ".in"
    name = f"n{node} sum" if graph.nodes[node].kind.shape == "bracket" else f"n{node}"
    return f"{name}.{port}" if port else name


def _add(
    container: FlowOperationContainer,
    runtime: FlowRuntime,
    name: str,
    node: Node,
    calls: Counter[tuple[str, int]],
) -> None:
    emissions = node.kind.emissions

    def func(number: int) -> int:
        calls[name, number] += 1
        ((_, result),) = emissions(number)
        return result

    def action(number: int, on_number: Callable[[int], None]) -> None:
        calls[name, number] += 1
        for _, result in emissions(number):
            on_number(result)

    def branch(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        calls[name, number] += 1
        for port, result in emissions(number):
            (on_odd if port == "on_odd" else on_even)(result)

    def generator(number: int) -> Iterator[Any]:
        calls[name, number] += 1
        for port, result in emissions(number):
            yield Emit(port, result) if port else result

    def work(number: int) -> int:
        calls[name, number] += 1
        return _refuse_ones(number)

    set_mode = MODES[node.mode]
    match node.kind.shape:
        case "func":
            set_mode(container.add_func(name, func))
        case "action":
            set_mode(container.add_action(name, action))
        case "branch":
            set_mode(container.add_action(name, branch))
        case "generator":
            set_mode(container.add_generator(name, generator))
        case "bracket":
            container.add_func(f"{name} list", _list_of).add_operation(Scatter(f"{name} scatter"))
            set_mode(container.add_func(f"{name} work", work))
            container.add_operation(Gather(f"{name} gather", on_missing="skip")).add_func(f"{name} sum", sum)
            for source, target in _bracket_streams(name, counted=node.counted):
                runtime.add_stream(source, target)


def _bracket_streams(name: str, *, counted: bool) -> Iterator[tuple[str, str]]:
    yield f"{name} list", f"{name} scatter"
    yield f"{name} scatter.stream", f"{name} work"
    yield f"{name} work", f"{name} gather.stream"
    if counted:
        yield f"{name} scatter.count", f"{name} gather.count"
    yield f"{name} gather", f"{name} sum"


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 4) -> Graph:
    nodes = draw(
        st.lists(
            st.builds(Node, st.sampled_from(KINDS), st.integers(0, len(MODES) - 1), st.booleans()),
            max_size=max_nodes,
        )
    )
    streams = {}
    for source, out_ports in [
        (-1, ("",)),
        *((index, node.kind.out_ports) for index, node in enumerate(nodes)),
    ]:
        later = [*range(source + 1, len(nodes)), OUT]
        for port in out_ports:
            streams[source, port] = tuple(draw(st.lists(st.sampled_from(later), max_size=2)))
    return Graph(tuple(nodes), streams)


# --- The oracle


@attrs.define
class Outcome:
    """What a run over a graph must come to."""

    results: Counter[int] = attrs.Factory(Counter)
    calls: Counter[tuple[str, int]] = attrs.Factory(Counter)  # by node and number; of a bracket: its work
    failures: Counter[int] = attrs.Factory(Counter)  # inputs of the calls that failed the run
    entered: Counter[str] = attrs.Factory(Counter)  # messages a tap sees, by operation ("" is a result)
    ledger: dict[str, int] = attrs.Factory(
        lambda: dict.fromkeys(
            (
                "accepted",
                "born",
                "delivered",
                "absorbed",
                "failed",
                "unconnected",
                "discarded",
                "live",
                "held",
            ),
            0,
        )
    )


def outcome(graph: Graph, numbers: list[int]) -> Outcome:
    expected = Outcome()
    expected.ledger["accepted"] = len(numbers)
    for number in numbers:
        messages = _emit(graph, expected, -1, "", number)
        expected.ledger["born"] += messages - 1
    return expected


def _emit(graph: Graph, expected: Outcome, source: int, port: str, number: int) -> int:
    """Follow one emission; return how many messages it became (an unconnected one counts)."""
    targets = graph.targets(source, port)
    for target in targets:
        if target == OUT:
            expected.results[number] += 1
            expected.entered[""] += 1
            expected.ledger["delivered"] += 1
        elif graph.nodes[target].kind.shape == "bracket":
            _through_bracket(graph, expected, target, number)
        else:
            _through(graph, expected, target, number)
    if not targets:
        expected.ledger["unconnected"] += 1
    return max(1, len(targets))


def _through(graph: Graph, expected: Outcome, node: int, number: int) -> None:
    expected.calls[f"n{node}", number] += 1
    expected.entered[f"n{node}"] += 1
    try:
        emissions = graph.nodes[node].kind.emissions(number)
    except Refused:
        expected.failures[number] += 1
        expected.ledger["failed"] += 1
        return
    messages = sum(_emit(graph, expected, node, port, result) for port, result in emissions)
    _count_step(expected, messages)


def _through_bracket(graph: Graph, expected: Outcome, node: int, number: int) -> None:
    name, counted = f"n{node}", graph.nodes[node].counted
    items = _list_of(number)
    worked = [item for item in items if item != 1]
    for item in items:
        expected.calls[name, item] += 1
    expected.entered.update([f"{name} list", f"{name} scatter", f"{name} sum"])
    expected.entered.update({f"{name} work": len(items), f"{name} gather": len(worked) + counted})
    expected.entered += Counter()  # without the zeros
    # The scatter: an item each, and the count.
    _count_step(expected, len(items) + 1)
    expected.ledger["absorbed" if counted else "unconnected"] += 1
    expected.ledger["failed"] += len(items) - len(worked)
    # The gather: one list of what arrived.
    if worked:
        expected.ledger["absorbed"] += len(worked) - 1
    else:
        expected.ledger["born"] += 1
    _count_step(expected, _emit(graph, expected, node, "", sum(worked)))


def _count_step(expected: Outcome, messages: int) -> None:
    """An input became so many messages: those beyond one are born, none is an absorbed input."""
    if messages:
        expected.ledger["born"] += messages - 1
    else:
        expected.ledger["absorbed"] += 1
