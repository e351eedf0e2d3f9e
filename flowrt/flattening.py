"""Flows in flows → the sections of one flow text, which has all of them side by side; and why that may not be possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from flowrt.errors import Fault, FlowBuildError
from flowrt.flowtext import Section, as_written, reads_back, tidied
from flowrt.ports import Stream, one_line


class Drawn(Protocol):
    """What of a flow is written down."""

    name: str
    comment: str
    declared_at: str

    @property
    def streams(self) -> tuple[Stream, ...]: ...

    @property
    def operations(self) -> tuple[Any, ...]: ...

    @property
    def flows(self) -> tuple[Any, ...]: ...

    @property
    def remarks(self) -> tuple[tuple[int, str | None], ...]: ...

    @property
    def comments_above(self) -> list[str]: ...


def sections_of(root: Drawn) -> list[Section]:
    """Return what a flow and all flows in it are written as; `FlowBuildError` if text would mean something else."""
    flows: dict[str, Drawn] = {}
    faults: list[Fault] = []
    twins: list[tuple[Drawn, Drawn]] = []
    pending = [root]
    holders: dict[int, list[Drawn]] = {}
    everything: dict[int, Drawn] = {id(root): root}
    for holder in pending:
        for flow in holder.flows:
            holders.setdefault(id(flow), []).append(holder)
            if id(flow) in everything and flow is not root:
                continue
            if flow.name.casefold() == root.name.casefold():
                which = "itself" if flow is root else "another flow of its own name"
                faults.append(
                    _unwritable(flow, f"holds {which}. Add it to a root flow without a name, and write that")
                )
                continue
            known = flows.setdefault(flow.name.casefold(), flow)
            if known is not flow:
                twins.append((known, flow))
            everything[id(flow)] = flow
            pending.append(flow)
    faults += _different(twins, everything)
    faults += _hidden(root, flows, everything, holders)
    for flow in everything.values():
        faults += [
            Fault(
                f'stream "{stream}" at {stream.declared_at} cannot be written as flow text: it would not be read as what it is. Leave commas out of '
                'its names, and "flowrt: ignore" out of its comment.',
                stream.declared_at,
            )
            for stream in flow.streams
            if not reads_back(stream)
        ]
    faults += [
        _unwritable(
            flow,
            'would not be read as a headline. Leave arrows out of its name, and "flowrt: ignore" out of its comment',
        )
        for flow in flows.values()
        if not reads_back(Section(flow.name, comment=one_line(flow.comment)))
    ]
    if faults:
        raise FlowBuildError(*dict.fromkeys(faults))
    said = [one_line(root.comment), None] if root.comment else []  # it has no headline to stand behind
    return [Section(lines=tidied([*said, *_lines(root)])), *(_section(flow) for flow in flows.values())]


def _unwritable(flow: Drawn, why: str) -> Fault:
    place = flow.declared_at
    return Fault(
        f'flow "{flow.name}", made at {place}, cannot be written as flow text: it {why}.',
        place,
    )


def _section(flow: Drawn) -> Section:
    return Section(flow.name, flow.declared_at, one_line(flow.comment), flow.comments_above, _lines(flow))


def _lines(flow: Drawn) -> list[Stream | str | None]:
    """Return the streams of a flow, with its comments and blank lines between them."""
    lines: list[Stream | str | None] = []
    written = 0
    for index, remark in flow.remarks:
        lines += flow.streams[written:index]
        lines.append(remark)
        written = index
    return tidied([*lines, *flow.streams[written:]])


def _different(twins: list[tuple[Drawn, Drawn]], everything: dict[int, Drawn]) -> Iterator[Fault]:
    """Find two flows of one name that are not made alike, or become different by streams on their path."""
    by_path = {
        stream.source.segments[-1][0].casefold()
        for flow in everything.values()
        for stream in (flow.streams if twins else ())
        if stream.source.segments and stream.source.key[0] == stream.target.key[0]
    }
    for one, other in twins:
        alike = list(map(as_written, one.streams)) == list(map(as_written, other.streams))
        if not alike or one.name.casefold() in by_path:
            yield _unwritable(
                other,
                f"is not the one made at {one.declared_at}, and in a text a name is one flow. Give one of them another name",
            )


def _hidden(
    root: Drawn, flows: dict[str, Drawn], everything: dict[int, Drawn], holders: dict[int, list[Drawn]]
) -> Iterator[Fault]:
    """Find names that mean nothing where they are used, but would mean a flow that stands deeper: a text has all flows in its root."""
    inner = {
        nested.name.casefold() for flow in everything.values() if flow is not root for nested in flow.flows
    }
    inner &= flows.keys()
    for name in sorted(inner & {operation.name.casefold() for operation in root.operations}):
        yield _unwritable(
            flows[name],
            "has the name of an operation of the root flow, which would win. Give it another name",
        )
    deep = inner - {flow.name.casefold() for flow in root.flows}
    if not deep:
        return
    for name in sorted(deep):
        for stream in flows[name].streams:
            if stream.source.is_rooted:
                yield _unwritable(
                    flows[name],
                    f'is not used in the root flow itself, and would be by stream "{stream}" at {stream.declared_at}. Add it to the root flow',
                )
    own = {key: deep & {flow.name.casefold() for flow in each.flows} for key, each in everything.items()}
    seen = {key: own[key] if each is root else deep for key, each in everything.items()}
    changed = True
    while changed:  # what all holders of a flow see, it sees as well
        changed = False
        for key in list(everything)[
            1:
        ]:  # holders come first, but for circles and short cuts: a pass or two do
            sight = own[key] | set(deep).intersection(*(seen[id(holder)] for holder in holders[key]))
            changed |= sight != seen[key]
            seen[key] = sight
    for key, flow in everything.items():
        for stream in flow.streams:
            for port in (stream.source, stream.target):
                sight = seen[id(root)] if port.is_rooted else seen[key]
                for name in [*(name.casefold() for name, _ in port.segments), port.key[1]]:
                    if name in deep - sight:
                        where = f'stream "{stream}" at {stream.declared_at}'
                        yield _unwritable(
                            flows[name],
                            f"is not seen by {where}, which has its name, and would be. Give it another name",
                        )
                    if name in flows:
                        sight = sight | seen[id(flows[name])]
