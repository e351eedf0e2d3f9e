"""Random flows of any shape, drawn from a `random.Random`: regions within regions, each a graph of nodes whose streams lead forward.

A node is one operation (function, action, branch, generator, or an action that keeps its continuation), or a border around a region of its own: a
scattered list, a causality, a flow, a feedback loop. `tests/graph_notes.py` says what operations do and note down; `build` connects them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, cast

import attrs

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Gather, PopCausality, PushCausality, Scatter
from tests.kit.graphs import notes as graph_notes
from tests.kit.graphs.notes import OUT, Notes

MODES: dict[str, Callable[[FlowOperationContainer], Any]] = {
    "sync": lambda operations: operations.make_sync(),
    "async": lambda operations: operations.make_async(),
    "shared": lambda operations: operations.make_async("shared"),
    "parallel": lambda operations: operations.make_parallel(2),
    "ordered": lambda operations: operations.make_parallel(3, ordered=True),
    "keyed": lambda operations: operations.make_parallel(2, by_key=graph_notes.key_of),
}
LIMITS = {"async": 1, "shared": 1, "parallel": 2, "ordered": 3, "keyed": 2, "spread": 4}
# What is sync and runs on the threads that all share, under the schedule "parallel".
SPREAD = {"function", "action", "branch", "generator", "caller", "keeper", "loop"}
LEAVES = {
    "function": 6,
    "action": 3,
    "branch": 2,
    "generator": 3,
    "keeper": 1,
    "caller": 1,
}  # kinds of nodes: how likely
BORDERS = {"bracket": 5, "guard": 3, "flow": 2, "loop": 2}
DEEPEST = 3  # regions within regions
MOST_NODES = 9
PORTS = {"branch": ("on_odd", "on_even"), "generator": ("", "odd"), "loop": ("done",)}

Targets = tuple[int, ...]


@attrs.frozen
class GatherSpec:
    policy: str
    ordered: bool
    counted: bool


@attrs.frozen
class Node:
    """One node. `inner` is what a border is around; `gathers`, `lazy` and `window` are those of a bracket."""

    name: str
    kind: str
    mode: str
    second_mode: str
    flag: bool  # a guard's exception port is connected; a list is produced while it is scattered; a generator uses two ports
    window: int
    gathers: tuple[GatherSpec, ...] = ()
    inner: Region | None = None

    @property
    def out_ports(self) -> tuple[str, ...]:
        return PORTS.get(self.kind, ("",))


@attrs.frozen
class Region:
    """Nodes, and where the out-ports of each lead: to later nodes, or (-1) out of the region. Node -1 is the way in."""

    nodes: tuple[Node, ...]
    streams: dict[tuple[int, str], Targets]


# --- drawing


class _Drawing:
    def __init__(self, rng: random.Random, most_nodes: int) -> None:
        self._rng = rng
        self._left = rng.randint(1, most_nodes)
        self._number = 0

    def region(self, depth: int, *, rooted: bool) -> Region:
        """Draw a region; `rooted`: it is in no list and no causality, so that a late emission is at home there."""
        rng = self._rng
        nodes: list[Node] = []
        for _ in range(rng.choice([1, 1, 2, 2, 3] if depth else [1, 2, 3, 4])):
            nodes += [self._node(depth, rooted=rooted)] if self._left else []
        streams = {(-1, ""): self._targets(-1, len(nodes))}
        for index, node in enumerate(nodes):
            for port in node.out_ports:
                streams[index, port] = self._targets(index, len(nodes))
        for index in range(len(nodes)):
            if not any(index in targets for targets in streams.values()):
                source = rng.choice([key for key in streams if key[0] < index])
                streams[source] += (index,)
        if depth and not any(OUT_OF_REGION in targets for targets in streams.values()):
            streams[rng.choice(list(streams))] += (OUT_OF_REGION,)  # a flow must have a way out
        return Region(tuple(nodes), streams)

    def _targets(self, source: int, nodes: int) -> Targets:
        rng = self._rng
        number = rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 2, 2]) if source >= 0 else rng.choice([1, 1, 1, 2])
        # Mostly to the next one: chains are longer so.
        later = [*range(source + 1, nodes), OUT_OF_REGION]
        return tuple(later[0] if rng.random() < 0.5 else rng.choice(later) for _ in range(number))

    def _node(self, depth: int, *, rooted: bool) -> Node:
        rng = self._rng
        kinds = dict(LEAVES)
        if depth < DEEPEST:
            kinds |= BORDERS
        if not rooted:
            del kinds["keeper"]
        (kind,) = rng.choices(list(kinds), list(kinds.values()))
        self._left -= 1
        self._number += 1
        node = Node(
            f"{kind}{self._number}",
            kind,
            rng.choice(list(MODES)),
            rng.choice(["sync", "async", "shared"]),
            rng.random() < 0.7,
            rng.choice([1, 2, 1024]),
        )
        if kind == "bracket":
            specs = [
                GatherSpec(rng.choice(["fail", "skip", "collect"]), rng.random() < 0.4, rng.random() < 0.5)
                for _ in range(rng.choice([1, 1, 1, 1, 2]))
            ]
            node = attrs.evolve(node, gathers=tuple(specs))
        if kind in BORDERS:
            inner = self.region(depth + 1, rooted=rooted and kind in {"flow", "loop"})
            node = attrs.evolve(node, inner=inner)
        return node


OUT_OF_REGION = -1


def draw_graph(rng: random.Random, most_nodes: int = MOST_NODES) -> Region:
    return _Drawing(rng, most_nodes).region(0, rooted=True)


def nodes_of(region: Region) -> Iterator[Node]:
    """All nodes, those of inner regions too."""
    for node in region.nodes:
        yield node
        if node.inner is not None:
            yield from nodes_of(node.inner)


# --- building

Ends = list[tuple[str, str, str]]  # a port as a stream names it, the operation, its port


@attrs.frozen
class Around:
    """What a region stands in: flow, guards with a connected handler (innermost last), scatters, gathers."""

    target: Flow | FlowRuntime
    guards: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


class Builder:
    """Builds a region into a runtime, and notes what is connected to what."""

    def __init__(self, runtime: FlowRuntime, notes: Notes) -> None:
        self._runtime = runtime
        self._notes = notes
        self._operations = FlowOperationContainer()

    def build(self, region: Region) -> None:
        self._region(region, Around(self._runtime), [(".in", ".in", "")], [(".out", OUT, "")])
        self._runtime.add_operations(self._operations)

    def _region(self, region: Region, around: Around, ways_in: Ends, ways_out: Ends) -> None:
        """Connect a region: what comes from `ways_in` goes through it to `ways_out`."""
        borders = [self._node(node, around) for node in region.nodes]
        for (source, port), targets in region.streams.items():
            sources = ways_in if source == -1 else borders[source][1][port]
            for target in targets:
                sinks = ways_out if target == OUT_OF_REGION else [borders[target][0]]
                for begin in sources:
                    for end in sinks:
                        self._connect(around, begin, end)

    def _connect(self, around: Around, source: tuple[str, str, str], target: tuple[str, str, str]) -> None:
        around.target.add_stream(source[0], target[0])
        self._notes.wires.setdefault(source[1:], []).append(target[1])

    def _node(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        """Make the operations of a node; return its way in and its ways out."""
        make: Callable[[Node, Around], Any] = getattr(self, f"_{node.kind}", self._leaf)
        found: tuple[tuple[str, str, str], dict[str, Ends]] = make(node, around)
        return found

    def _note(self, name: str, kind: str, mode: str, around: Around) -> None:
        """Set the mode of the operation added last, and note all about it."""
        MODES[mode](self._operations)
        if mode == "sync" and kind in SPREAD and self._notes.spreads:
            mode = "spread"
        self._notes.ops[name] = graph_notes.Op(name, kind, mode, around.guards, around.lists)

    def _leaf(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        name, notes = node.name, self._notes
        mode = node.mode
        match node.kind:
            case "function":
                self._operations.add_func(name, graph_notes.a_function(notes, name))
            case "action":
                self._operations.add_action(name, graph_notes.an_action(notes, name))
            case "branch":
                self._operations.add_action(name, graph_notes.a_branch(notes, name))
            case "caller":
                self._operations.add_func(name, graph_notes.a_caller(notes, name))
            case "keeper":
                self._operations.add_action(name, graph_notes.a_keeper(notes, name))
            case "generator":
                body = graph_notes.a_generator(notes, name, two_ports=node.flag)
                self._operations.add_generator(name, body, window=node.window)
                mode = "parallel" if mode in {"keyed", "ordered"} else mode
        self._note(name, node.kind, mode, around)
        ways_out = {port: [(f"{name}.{port}" if port else name, name, port)] for port in node.out_ports}
        return (name, name, ""), ways_out

    def _loop(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        name = node.name
        self._operations.add_action(name, graph_notes.a_loop(self._notes, name))
        self._note(name, "loop", node.mode, around)
        assert node.inner is not None
        self._region(node.inner, around, [(f"{name}.again", name, "again")], [(name, name, "")])
        return (name, name, ""), {"done": [(f"{name}.done", name, "done")]}

    def _flow(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        flow = Flow(node.name)
        way_in, way_out = f"{node.name}.in", f"{node.name}.out"
        self._notes.passing.update([way_in, way_out])
        assert node.inner is not None
        self._region(
            node.inner,
            attrs.evolve(around, target=flow),
            [(".in", way_in, "")],
            [(".out", way_out, "")],
        )
        self._runtime.add_flow(flow)
        instance = f"{node.name}#2" if node.flag else node.name
        return (f"{instance}.in", way_in, ""), {"": [(f"{instance}.out", way_out, "")]}

    def _guard(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        push, pop, handler = (f"{node.name} {part}" for part in ("push", "pop", "handler"))
        self._operations.add_operation(PushCausality(push)).add_operation(PopCausality(pop))
        self._notes.passing.update([push, pop])
        assert node.inner is not None
        inside = attrs.evolve(around, guards=(*around.guards, handler)) if node.flag else around
        self._region(node.inner, inside, [(push, push, "")], [(pop, pop, "")])
        ways_out = [(pop, pop, "")]
        if node.flag:
            self._operations.add_operation(graph_notes.Handler(handler, self._notes))
            self._note(handler, "handler", node.second_mode, around)
            around.target.add_stream(f"{push}.exception", handler)
            ways_out.append((handler, handler, ""))
        return (push, push, ""), {"": ways_out}

    def _bracket(self, node: Node, around: Around) -> tuple[tuple[str, str, str], dict[str, Ends]]:
        name, notes = node.name, self._notes
        lister, scatter = f"{name} list", f"{name} scatter"
        self._operations.add_operation(graph_notes.Lister(lister, scatter, notes, lazy=node.flag))
        self._note(lister, "list", node.second_mode, around)
        self._operations.add_operation(Scatter(scatter, window=node.window))
        notes.ops[scatter] = graph_notes.Op(scatter, "scatter", "sync", around.guards, around.lists)
        self._connect(around, (lister, lister, ""), (scatter, scatter, ""))
        ways_out = []
        gathers: Ends = []
        for number, spec in enumerate(node.gathers):
            gather, total = f"{name} gather{number}", f"{name} total{number}"
            self._operations.add_operation(
                Gather(gather, on_missing=cast("Any", spec.policy), ordered=spec.ordered)
            )
            notes.ops[gather] = graph_notes.Op(gather, "gather", "sync", around.guards, around.lists)
            notes.gathers[gather] = graph_notes.GatherFacts(
                gather, scatter, spec.policy, len(around.lists), ordered=spec.ordered, counted=spec.counted
            )
            notes.gathered_by.setdefault(scatter, []).append(gather)
            self._operations.add_operation(graph_notes.Total(total, gather, notes))
            self._note(total, "total", node.second_mode if number else "sync", around)
            around.target.add_stream(gather, total)
            if spec.counted:
                around.target.add_stream(f"{scatter}.count", f"{gather}.count")
            gathers.append((f"{gather}.stream", gather, ""))
            ways_out.append((total, total, ""))
        inside = attrs.evolve(around, lists=(*around.lists, scatter))
        assert node.inner is not None
        self._region(node.inner, inside, [(f"{scatter}.stream", scatter, "stream")], gathers)
        return (lister, lister, ""), {"": ways_out}
