"""`Flow`: streams, operations and flows in it, as users add them or a text says them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from flowrt.errors import Fault, FlowBuildError, counted
from flowrt.flow.chains import Link, laid, link_of
from flowrt.flow.container import FlowOperationContainer
from flowrt.messages import Data
from flowrt.operations.declarations import Declaration, declared_at, same_name
from flowrt.ports import UNNAMED, Port, Stream, check_name, each_once, folded
from flowrt.shown import Shown

if TYPE_CHECKING:
    from os import PathLike

    from flowrt.flow.text import Section, Text


Remark = tuple[int, str | None]
"""In front of which stream of a flow a comment stands that has a line of its own; None is a blank line."""

Contents = tuple[list[Stream], dict[str, Declaration], "dict[str, Flow]", list[Remark]]


class Flow(Shown, Generic[Data]):
    """Streams, the operations they connect, and nested flows. Every `add_` method returns the flow.

    Names are relative to the flow: `Flow("lines").add_stream(".in", "split")`. A flow used in another one is addressed like an
    operation: `lines.in`, `lines#1.in`. Names of operations and flows are looked up in the flow itself first, then in the flow
    around it, up to the root; within one flow an operation wins over a flow of the same name. One flow may be added to
    several others, and to itself.

    Attributes:
        name: what it is used by in another flow.
        comment: what is said of it; in flow text, behind its headline.
        declared_at: where it was made: `file:line`; a headline of flow text: `file:line:column`.
    """

    _inner: ClassVar[frozenset[str]] = frozenset(
        {"comments_above", "contents", "is_read", "remarks", "reset"}
    )

    def __init__(self, name: str = "") -> None:
        if not isinstance(name, str):
            kind = type(name).__qualname__
            raise FlowBuildError(f"a flow is named by a str, not by a value of type {kind}.")
        self.name: str = check_name(name, "a flow") if name.strip() else ""
        self.comment = ""
        self.declared_at: str = declared_at()
        self._streams: list[Stream] = []
        self._operations: dict[str, Declaration] = {}
        self._flows: dict[str, Flow] = {}
        self._remarks: list[Remark] = []
        self._above: list[str] = []  # comments on the lines above its headline
        self._is_read = False  # made of a headline; a text may add to it

    def __repr__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f"<flow{name}: {counted(len(self._operations), 'operation')}, {counted(len(self._streams), 'stream')}>"

    def _repr_svg_(self) -> str | None:
        """Show a notebook the picture of it; None if it cannot be drawn."""
        from flowrt.flow.diagrams.notebook import svg_shown  # noqa: PLC0415 - for notebooks

        return svg_shown(self)

    def _repr_html_(self) -> str:
        """Show a notebook the picture of it, and below that its faults."""
        from flowrt.flow.diagrams.notebook import html_shown  # noqa: PLC0415 - for notebooks

        return html_shown(self)

    @property
    def streams(self) -> tuple[Stream, ...]:
        return tuple(self._streams)

    @property
    def operations(self) -> tuple[Declaration, ...]:
        return tuple(self._operations.values())

    @property
    def flows(self) -> tuple[Flow, ...]:
        return tuple(self._flows.values())

    def add_stream(
        self, source: str | Port, target: str | Port, *, comment: str = "", ignore: str | Iterable[str] = ()
    ) -> Self:
        """Connect two ports.

        Args:
            source: where messages leave: an operation's out-port, or an in-port of the flow.
            target: where they enter.
            comment: shown in pictures of the flow, and written into flow text.
            ignore: codes of findings that `check` is not to report about this stream.

        Raises:
            FlowBuildError: a name does not fit the grammar.
        """
        stream = Stream(source, target, declared_at(), comment, ignore)
        self._streams.append(stream)
        return self

    def add_chain(self, *ports_or_operations: Any) -> Self:
        """Add a stream from each of these to the next, and what they bring along: `add_chain(".in", Scatter(), parallel(f, 4), Gather(), ".out")`.

        A text or a `Port` is a port, taken as it is. Anything else stands for an operation or a flow, which is added if it is not there yet:

        - a function, also as `parallel(f, 4)`: named as it is, and an action or a generator if its signature says so, as for `add_module`;
        - an operation such as `Scatter()`, or a component;
        - what a container has of it: `container["count_words"]`, with its mode and its policies;
        - a flow, by its name.

        Those are entered at the default port and left by the default one; if there is none, by the only one; a `Scatter` is left by `.stream`, a
        `Gather` entered by `.stream`, and the count goes straight across, between those that match as brackets do.
        What stands in a chain for the second time is a place of its own, `double#2`; in another chain it is the first place again. Of two
        operations that were given no name, the second is `scatter_2`.

        Raises:
            FlowBuildError: with nothing added: a name does not fit the grammar; different operations have one name; a lambda has none; an operation
                has several ports and none is the default.
        """
        if len(ports_or_operations) < 2:
            what = "a chain leads from one port or operation to another"
            is_text = any(isinstance(each, str) and "," in each for each in ports_or_operations)
            remedy = (
                ' Write each name as a text of its own: add_chain(".in", "parse", ".out").' if is_text else ""
            )
            members = counted(len(ports_or_operations), "member")
            raise FlowBuildError(f"{what}, and this one has {members}.{remedy}")
        links = [
            _link_of_flow(each) if issubclass(type(each), Flow) else link_of(each, number)
            for number, each in enumerate(ports_or_operations, 1)
        ]
        declarations, streams = laid(links, self._operations)
        contents = self.contents()
        try:
            for link in links:
                if link.flow is not None:
                    self.add_flow(link.flow)
        except FlowBuildError:
            self.reset(contents)
            raise
        self._operations.update({folded(each.name): each for each in declarations})
        self._streams += streams
        return self

    def add_operations(self, operations: FlowOperationContainer) -> Self:
        """Add all operations of a container, or (if a name is taken) none: `FlowBuildError`."""
        if not isinstance(operations, FlowOperationContainer):
            kind = type(operations).__name__
            raise FlowBuildError(f"add_operations takes a FlowOperationContainer, got {kind}.")
        declarations = list(operations)
        faults = [fault for declaration in declarations if (fault := self._taken(declaration))]
        if faults:
            raise FlowBuildError(*faults)
        self._operations.update({folded(d.name): d for d in declarations})
        return self

    def add_operation(self, operation: Any, factory: Callable[[], Any] | None = None) -> Self:
        """Add one operation with state, as `FlowOperationContainer.add_operation` does."""
        return self.add_operations(FlowOperationContainer().add_operation(operation, factory))

    def add_flow(self, flow: Flow) -> Self:
        """Add a flow to be used in this one by its name."""
        if not isinstance(flow, Flow):
            raise FlowBuildError(f"add_flow takes a Flow, got {type(flow).__name__}.")
        if not flow.name:
            raise FlowBuildError('a flow inside a flow needs a name to be used by: Flow("name").')
        key = folded(flow.name)
        if self._flows.get(key, flow) is not flow:
            raise FlowBuildError(_two_flows(flow.name))
        self._flows[key] = flow
        return self

    # -- flow text

    @staticmethod
    def from_text(text: Text, name: str = "", source: str = UNNAMED) -> Flow:
        """Make a flow of a text: its streams up to the first headline, and below the headline "/"; other headlines name flows in it.

        Args:
            text: a str, lines, or a file that is open as text.
            name: of the flow. A headline of this name is the flow itself.
            source: what errors call the text: the path of its file.

        Raises:
            FlowBuildError: with every fault of the text, each with its line and column.
        """
        return Flow(name).add_streams_from(text, source)

    @staticmethod
    def from_file(path: str | PathLike[str], name: str = "") -> Flow:
        """Make a flow of a file of flow text, in UTF-8; see `from_text`. `FlowBuildError` also if it cannot be read."""
        from flowrt.flow.text import read_flow_file  # noqa: PLC0415 - the one who needs a file system

        return Flow.from_text(read_flow_file(path), name, str(path))

    def add_streams_from(self, text: Text, source: str = UNNAMED) -> Self:
        """Add the streams and flows of a text, or (if it is faulty) nothing; a headline that another text had adds to that flow.

        Raises:
            FlowBuildError: with every fault of the text; or a headline names a flow that was added by `add_flow`.
        """
        from flowrt.flow.text import read_text  # noqa: PLC0415 - for those who have a text

        sections = read_text(text, source)
        faults = [
            Fault(f"{section.declared_at}: {_two_flows(section.name)}", section.declared_at)
            for section in sections
            if (known := self._named(section.name)) is not None and not (known is self or known._is_read)
        ]
        if faults:
            raise FlowBuildError(*faults)
        touched: set[str] = set()
        for section in sections:
            flow = self._named(section.name)
            opens = flow is None
            if flow is None:
                flow = self._flows[folded(section.name)] = Flow(section.name)
                flow._is_read, flow.declared_at = True, section.declared_at
                flow.comment, flow._above = section.comment, section.above
            elif flow is not self and folded(section.name) not in touched:
                # It may be in another runtime too, and this one may have to go back: what is added is added to a copy.
                flow = self._flows[folded(section.name)] = copy(flow)
                flow.reset(flow.contents())
            touched.add(folded(section.name))
            flow._extend(section, opens=opens)
        return self

    def to_text(self) -> str:
        """Write the streams, comments and flows as flow text, which `from_text` makes the same flow of. Operations are not part of it.

        Raises:
            FlowBuildError: it cannot be written so that it means the same: two flows have one name, or a name holds a comma.
        """
        from flowrt.flow.text import sections_of, write_text  # noqa: PLC0415 - for those who write one

        return write_text(sections_of(self))

    def _named(self, name: str) -> Flow | None:
        key = folded(name)
        return self if key in {"", folded(self.name)} else self._flows.get(key)

    def _extend(self, section: Section, *, opens: bool) -> None:
        """Take in what stands in a section; the comments of a headline that opens nothing become lines of their own."""
        here = len(self._streams)
        if self._streams or self._remarks:
            self._remarks.append((here, None))
        if not opens:
            self._remarks += [(here, remark) for remark in section.above]
            self._remarks += [(here, section.comment)] if section.comment else []
        for line in section.lines:
            if isinstance(line, Stream):
                self._streams.append(line)
            else:
                self._remarks.append((len(self._streams), line))

    def _taken(self, declaration: Declaration) -> str | None:
        earlier = self._operations.get(folded(declaration.name))
        if earlier is None:
            return None
        if earlier is declaration:
            return (
                f'operation "{declaration.name}" (declared at {declaration.declared_at}) is in this flow already: a container is added once. '
                "Put what is new into a container of its own."
            )
        return same_name(earlier, declaration)

    # -- for the runtime, which changes flows in whole or not at all

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """The comments that have lines of their own, for flow text."""
        return tuple(self._remarks)

    @property
    def is_read(self) -> bool:
        """Whether it was made of a headline of flow text."""
        return self._is_read

    @property
    def comments_above(self) -> list[str]:
        """The comments on the lines above its headline, for flow text."""
        return list(self._above)

    def contents(self) -> Contents:
        """Return a copy of what the flow holds."""
        return list(self._streams), dict(self._operations), dict(self._flows), list(self._remarks)

    def reset(self, contents: Contents) -> None:
        """Go back to what `contents` returned earlier."""
        streams, operations, flows, remarks = contents
        self._streams, self._operations = list(streams), dict(operations)
        self._flows, self._remarks = dict(flows), list(remarks)


def _link_of_flow(flow: Flow) -> Link:
    """Say how a chain goes through a flow: by `.in` and `.out`, its default ports, or the only ones there are."""
    if not flow.name:
        raise FlowBuildError(
            'a flow in a chain needs a name to be used by: Flow("name"), chain(..., name="name").'
        )
    ins = [each.source.name for each in flow.streams if not (each.source.path or each.source.operation)]
    outs = [each.target.name for each in flow.streams if not (each.target.path or each.target.operation)]
    return Link(
        flow.name,
        each_once(ins),
        each_once(outs),
        _way(ins, "in"),
        _way(outs, "out"),
        flow=flow,
    )


def _way(names: list[str], usual: str) -> str:
    """Return the usual name of a flow's port if it has that, else the default one."""
    return usual if usual in {folded(name) for name in names} else ""


def _two_flows(name: str) -> str:
    return f'there are two flows "{name}" in one flow. Give one of them another name, or add its streams to the other.'
