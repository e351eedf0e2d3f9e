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

from flowrt import Emit, Flow, FlowOperationContainer, FlowRuntime, OperationError
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from tests.kit.graphs.shapes import draw_graph

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
# Mostly few, so that failures are small; sometimes enough to move in chunks and to be cut.
inputs = st.one_of(
    st.lists(st.integers(0, 20), max_size=5), st.lists(st.integers(0, 20), min_size=20, max_size=60)
)
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
    """What a node does.

    `shape` is func, action, branch or generator; or one of two small flows around a function in the node's mode:
    a bracket scatters the list of a number, works on its items, gathers them ("skip") and sums them up; a guard is
    a causality whose handler makes another number of the one that failed.
    """

    name: str
    shape: str
    emissions: Callable[[int], list[Emission]]
    out_ports: tuple[str, ...] = ("",)


KINDS = (
    Kind("increment", "func", _increment),
    Kind("keep_even", "action", _keep_even),
    Kind("twice", "action", _twice),
    Kind("branch", "branch", _branch, ("on_even", "on_odd")),
    Kind("count", "generator", _count, ("", "odd")),
    Kind("refuse_fives", "func", _refuse_fives),
    Kind("bracket", "bracket", _increment),
    Kind("guard", "guard", _refuse_fives),
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


def _rescued(number: int) -> int:
    return number * 7 + 1


def _rescue(error: OperationError) -> int:
    assert error.message is not None
    return _rescued(error.message.data)


@attrs.frozen
class Node:
    kind: Kind
    mode: int
    counted: bool  # a bracket with a count stream
    flow: (
        str | None
    )  # the instance of a flow of its own that it is wrapped in; None: it stands in the root flow


OUT = -1  # the target of a stream that leaves the flow

Calls = list[tuple[str, int]]  # node and number; appended to from any thread


@attrs.frozen
class Graph:
    """Nodes in an order in which streams only lead forward; `streams[-1, ""]` are those of `.in`."""

    nodes: tuple[Node, ...]
    streams: dict[tuple[int, str], tuple[int, ...]]

    def targets(self, node: int, port: str) -> tuple[int, ...]:
        return self.streams.get((node, port), ())

    def build(self, runtime: FlowRuntime, calls: Calls, *, as_text: bool = False) -> None:
        """Add streams (`as_text`: by flow text) and operations to the runtime; every call is noted in `calls`."""
        container = FlowOperationContainer()
        for index, node in enumerate(self.nodes):
            _add_operations(container, f"n{index}", node, calls)
        if as_text:
            flow = Flow()
            self._add_streams(flow)
            runtime.add_streams_from(flow.to_text())
        else:
            self._add_streams(runtime)
        runtime.add_operations(container)

    def _add_streams(self, flow: Flow | FlowRuntime) -> None:
        for index, node in enumerate(self.nodes):
            _add_inner_streams(flow, f"n{index}", node)
        for (source, port), targets in self.streams.items():
            for target in targets:
                for name in self._sources(source, port):
                    flow.add_stream(name, ".out" if target == OUT else self._entry(target))

    def _entry(self, index: int) -> str:
        flow = self.nodes[index].flow
        return _entry_of(f"n{index}", self.nodes[index]) if flow is None else f"{_flow_name(index, flow)}.in"

    def _sources(self, index: int, port: str) -> list[str]:
        if index == -1:
            return [".in"]
        flow = self.nodes[index].flow
        if flow is None:
            return _exits_of(f"n{index}", self.nodes[index], port)
        return [f"{_flow_name(index, flow)}.{port or 'out'}"]


def _flow_name(index: int, instance: str) -> str:
    return f"f{index}#{instance}" if instance else f"f{index}"


def _entry_of(name: str, node: Node) -> str:
    return {"bracket": f"{name} list", "guard": f"{name} push"}.get(node.kind.shape, name)


def _exits_of(name: str, node: Node, port: str) -> list[str]:
    match node.kind.shape:
        case "bracket":
            return [f"{name} sum"]
        case "guard":
            return [f"{name} pop", f"{name} rescue"]
        case _:
            return [f"{name}.{port}" if port else name]


def _add_inner_streams(runtime: Flow | FlowRuntime, name: str, node: Node) -> None:
    target: Flow | FlowRuntime = runtime
    if node.flow is not None:
        target = Flow(name.replace("n", "f"))
        target.add_stream(".in", _entry_of(name, node))
        for port in node.kind.out_ports:
            for source in _exits_of(name, node, port):
                target.add_stream(source, f".{port or 'out'}")
    if node.kind.shape == "bracket":
        target.add_stream(f"{name} list", f"{name} scatter")
        target.add_stream(f"{name} scatter.stream", f"{name} work")
        target.add_stream(f"{name} work", f"{name} gather.stream")
        target.add_stream(f"{name} gather", f"{name} sum")
        if node.counted:
            target.add_stream(f"{name} scatter.count", f"{name} gather.count")
    if node.kind.shape == "guard":
        target.add_stream(f"{name} push", f"{name} work")
        target.add_stream(f"{name} work", f"{name} pop")
        target.add_stream(f"{name} push.exception", f"{name} rescue")
    if isinstance(target, Flow) and target is not runtime:
        runtime.add_flow(target)


def _add_operations(container: FlowOperationContainer, name: str, node: Node, calls: Calls) -> None:
    emissions = node.kind.emissions

    def func(number: int) -> int:
        calls.append((name, number))
        ((_, result),) = emissions(number)
        return result

    def action(number: int, on_number: Callable[[int], None]) -> None:
        calls.append((name, number))
        for _, result in emissions(number):
            on_number(result)

    def branch(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        calls.append((name, number))
        for port, result in emissions(number):
            (on_odd if port == "on_odd" else on_even)(result)

    def generator(number: int) -> Iterator[Any]:
        calls.append((name, number))
        for port, result in emissions(number):
            yield Emit(port, result) if port else result

    def work_on_item(number: int) -> int:
        calls.append((name, number))
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
            set_mode(container.add_func(f"{name} work", work_on_item))
            container.add_operation(Gather(f"{name} gather", on_missing="skip")).add_func(f"{name} sum", sum)
        case "guard":
            container.add_operation(PushCausality(f"{name} push")).add_operation(PopCausality(f"{name} pop"))
            set_mode(container.add_func(f"{name} work", func))
            container.add_func(f"{name} rescue", _rescue)


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 4) -> Graph:
    nodes = draw(
        st.lists(
            st.builds(
                Node,
                kind=st.sampled_from(KINDS),
                mode=st.integers(0, len(MODES) - 1),
                counted=st.booleans(),
                flow=st.sampled_from([None, "", "2"]),
            ),
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
            streams[source, port] = tuple(
                draw(st.lists(st.sampled_from(later), min_size=source < 0, max_size=2))
            )
    return Graph(tuple(nodes), streams)


# Flows of any shape: regions within regions, with an oracle that asks the notes of operations (`tests/graph_oracles.py`).
wired_graphs = st.builds(draw_graph, st.randoms(use_true_random=False))


# --- The oracle


COUNTERS = ("accepted", "born", "delivered", "absorbed", "failed", "unconnected", "discarded", "live", "held")


@attrs.define
class Outcome:
    """What a run over a graph must come to."""

    results: Counter[int] = attrs.Factory(Counter)
    calls: Counter[tuple[str, int]] = attrs.Factory(Counter)
    failures: Counter[int] = attrs.Factory(Counter)  # inputs of the calls that failed the run
    entered: Counter[str] = attrs.Factory(Counter)  # messages a tap sees, by operation ("" is a result)
    ledger: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(COUNTERS, 0))

    def step(self, messages: int) -> None:
        """An input became so many messages: those beyond one are born; of none, the input was absorbed."""
        if messages:
            self.ledger["born"] += messages - 1
        else:
            self.ledger["absorbed"] += 1


def outcome(graph: Graph, numbers: list[int]) -> Outcome:
    expected = Outcome()
    expected.ledger["accepted"] = len(numbers)
    for number in numbers:
        expected.step(_emit(graph, expected, -1, "", number))
    return expected


def _emit(graph: Graph, expected: Outcome, source: int, port: str, number: int) -> int:
    """Follow one emission; return how many messages it became (an unconnected one counts)."""
    targets = graph.targets(source, port)
    for target in targets:
        if target == OUT:
            expected.results[number] += 1
            expected.entered[""] += 1
            expected.ledger["delivered"] += 1
        else:
            through = {"bracket": _through_bracket, "guard": _through_guard}.get(
                graph.nodes[target].kind.shape, _through
            )
            through(graph, expected, target, number)
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
    expected.step(sum(_emit(graph, expected, node, port, result) for port, result in emissions))


def _through_bracket(graph: Graph, expected: Outcome, node: int, number: int) -> None:
    name, counted = f"n{node}", graph.nodes[node].counted
    items = _list_of(number)
    worked = [item for item in items if item != 1]
    for item in items:
        expected.calls[name, item] += 1
    expected.entered.update([f"{name} list", f"{name} scatter", f"{name} sum"])
    expected.entered.update({f"{name} work": len(items), f"{name} gather": len(worked) + counted})
    # The scatter: an item each, and the count.
    expected.step(len(items) + 1)
    expected.ledger["absorbed" if counted else "unconnected"] += 1
    expected.ledger["failed"] += len(items) - len(worked)
    # The gather: one list of what arrived.
    if worked:
        expected.ledger["absorbed"] += len(worked) - 1
    else:
        expected.ledger["born"] += 1
    expected.step(_emit(graph, expected, node, "", sum(worked)))


def _through_guard(graph: Graph, expected: Outcome, node: int, number: int) -> None:
    name = f"n{node}"
    expected.calls[name, number] += 1
    expected.entered.update([f"{name} push", f"{name} work"])
    try:
        ((_, result),) = graph.nodes[node].kind.emissions(number)
        expected.entered[f"{name} pop"] += 1
    except Refused:
        result = _rescued(number)
        expected.entered[f"{name} rescue"] += 1
        # The input failed; the error at the exception port was born.
        expected.ledger["failed"] += 1
        expected.ledger["born"] += 1
    expected.step(_emit(graph, expected, node, "", result))
