"""Flow text ↔ streams, with the place of each in the text.

    // A comment: at the start of a line, or after blank space.
    .in, split, lines.in    // streams: from each port to the next
    lines.out, .out

    lines                   // a headline: what follows is the flow "lines"
        .in, trim, .out

A text becomes sections, a headline and its lines each; `Flow` makes flows of them, and sections of flows to write them.
Reading imports and runs nothing.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Protocol

from attrs import Factory, define

from flowrt.errors import Fault, FlowBuildError
from flowrt.ports import (
    UNNAMED,
    Port,
    Stream,
    did_you_mean,
    folded,
    is_control,
    odd_character,
    one_line,
    quoted,
)

if TYPE_CHECKING:
    from os import PathLike

    from flowrt.flow.flow import Flow


BYTES_LIMIT = 1 << 20  # of a text, as UTF-8: a hundred times what anybody writes by hand
LINES_LIMIT = 10_000  # likewise; streams too
GUESSED = 20  # names at most, of which it is said where commas are missing; arbitrary
INDENT = "    "
ALIGNED = 60  # characters: behind a longer line its comment follows after two blanks, and no other line is drawn out for it

# Compiled when they are first used: importing flowrt is to cost little.
_COMMENT = r"(?:(?<=\s)|^)//"
_MARK = r"(?:(?<=\s)|^)(?:#\s*)?(?i:flowrt:\s*ignore)\b(?:\s*\[([^\]]*)\])?"
_CODE = r"[\w-]+"
_ARROWS = ("->", "=>", "→")
_NO_COMMA = r"->|=>|→|;|\|"  # what may stand between two ports where a comma was meant; else blanks do
_A_STREAM = 'A stream is "source, target", and a line may go on: "source, operation, target".'
_HOW_TO_IGNORE = 'Write "// flowrt: ignore[CODE]" behind a stream, with the codes that check() reports.'


class Reader(Protocol):
    """What text can be read from: an open text file, for one."""

    def read(self, size: int, /) -> str: ...


Text = str | Iterable[str] | Reader
TextLine = Stream | str | None
"""A stream; a comment that has a line of its own; a blank line."""


@define(eq=False)
class Section:
    """A headline and what stands below it, up to the next; what stands above the first has none.

    Attributes:
        headline: the name of a flow; "/" or "" for the flow that the text is read into.
        declared_at: file:line:column of the headline.
        comment: behind the headline.
        above: the comments on the lines right above it.
    """

    headline: str = ""
    declared_at: str = ""
    comment: str = ""
    above: list[str] = Factory(list)
    lines: list[TextLine] = Factory(list)

    @property
    def name(self) -> str:
        return "" if self.headline == "/" else self.headline


# -- reading


def read_text(text: Text, source: str = UNNAMED) -> list[Section]:
    """Read a flow text; `FlowBuildError` with all its faults, or at once if it is larger than the limits."""
    reading = _Reading(source)
    for line in _lines_of(text, source):
        reading.take(line)
    if reading.faults:
        raise FlowBuildError(*reading.faults)
    for section in reading.sections:
        section.lines = tidied(section.lines)
    return reading.sections


def _lines_of(text: Text, source: str) -> list[str]:
    whole = _whole_of(text, source)
    _check_size(whole, source)
    lines = whole.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) - (not lines[-1]) > LINES_LIMIT:
        raise _too_large(source, f"more than {LINES_LIMIT:,} lines")
    return lines


def _check_size(text: str, source: str) -> None:
    if len(text) > BYTES_LIMIT or len(text.encode("utf-8", "surrogatepass")) > BYTES_LIMIT:
        raise _too_large(source, f"more than {BYTES_LIMIT:,} bytes (1 MiB)")


def _too_large(source: str, size: str) -> FlowBuildError:
    remedy = "Write several texts: add_streams_from() adds them up."
    return _refusal(source, f"the flow text has {size}, which is the limit. {remedy}")


def _refusal(place: str, text: str) -> FlowBuildError:
    return FlowBuildError(Fault(f"{place}: {text}", place))


def _whole_of(text: Text, source: str) -> str:
    """Put a text together, and stop as soon as it is too large."""
    if isinstance(text, str):
        return text
    pieces: Iterator[object]
    end = ""
    if hasattr(text, "read"):
        pieces = iter(lambda: text.read(BYTES_LIMIT), "")
    elif isinstance(text, Iterable) and not isinstance(text, bytes | bytearray):
        pieces, end = iter(text), "\n"
    else:
        given = type(text).__qualname__
        what = f"a flow text is a str, lines or an open text file, not of type {given}. Flow.from_file() takes the path of a file."
        raise _refusal(source, what)
    whole: list[str] = []
    size = 0
    try:
        for piece in pieces:
            if not isinstance(piece, str):
                given = type(piece).__qualname__
                what = f'flow text is made of str, and this holds {given}. Open the file as text, with encoding="utf-8".'
                raise _refusal(source, what)
            whole.append(piece.removesuffix("\n").removesuffix("\r") + end if end else piece)
            size += len(whole[-1])
            if size > BYTES_LIMIT:
                break  # the caller tells of it
    except UnicodeDecodeError as error:
        what = f'the text is not {error.encoding}. Open the file with encoding="utf-8".'
        raise _refusal(source, what) from error
    return "".join(whole)


class _Reading:
    """Sections and faults, as far as a text has been read."""

    def __init__(self, source: str) -> None:
        self.sections = [Section()]
        self.faults: list[Fault] = []
        self._source = source
        self._number = 0
        self._streams = 0

    def take(self, line: str) -> None:
        self._number += 1
        found = re.search(_COMMENT, line)
        start = found.end() if found else len(line)
        code = line[: found.start()] if found else line
        comment = one_line(line[start:])
        if "\ufeff" in line:
            text = "a byte order mark (U+FEFF) stands inside the text, where nobody sees it. Leave it out; it may only stand at the start."
            self._fault(line.index("\ufeff"), text)
        if not line.isprintable():
            control = next((each for each in line[start:] if is_control(each) and each != "\t"), "")
            if control:
                text = f"the comment has the control character U+{ord(control):04X} in it. Leave it out: comments are shown as they are."
                self._fault(line.index(control, start), text)
        if "," in code:
            self._stream(code, comment, start)
            return
        if found and (mark := re.match(_MARK, comment)):
            where = "behind a headline" if code.strip() else "on a line of its own"
            text = f'"flowrt: ignore" {where} ignores nothing. {_HOW_TO_IGNORE}'
            self._fault(max(line.find(mark[0], start), 0), text)
        if code.strip():
            self._headline(code, comment)
        else:
            self.sections[-1].lines.append(comment if found else None)

    def _at(self, index: int) -> str:
        """Return file:line:column of a character of the line."""
        return f"{self._source}:{self._number}:{index + 1}"

    def _fault(self, index: int, text: str) -> None:
        place = self._at(index)
        self.faults.append(Fault(f"{place}: {text}", place))

    def _headline(self, code: str, comment: str) -> None:
        """Begin a section; a fault if no stream could reach a flow of that name."""
        name = code.replace("*", "").replace("\\", "/").strip()
        is_arrow = any(arrow in name for arrow in _ARROWS)
        if name != "/" and (not name or odd_character(name) or is_arrow):
            given = quoted(code.strip())
            text = f"no stream could reach a flow named {given}: a line without a comma is a headline, which names a flow."
            last = name.rpartition("/")[2].strip()
            ports = ports_without_commas(name)
            stream = with_commas(ports) if ports else ""
            if name.startswith("#"):
                remedy = 'If it is a comment, start it with "//".'
            elif is_arrow:
                remedy = stream or 'If it is a stream, write a comma: "source, target".'
            elif name.endswith(".flow"):
                remedy = "If it is a file, Flow.from_file() reads it."
            elif "/" in name and last and not odd_character(last):
                bare = 'a flow is known by its bare name in the whole text; "/" alone leads back to the root.'
                remedy = f"Write {quoted(last)}: {bare} {stream}".rstrip()
            elif stream:
                remedy = stream
            else:
                odd = odd_character(code.strip())
                remedy = f'Leave . / \\ # * and control characters out of its name ({odd}); or write a stream: "source, target".'
            self._fault(_start(code), f"{text} {remedy}")
        lines, above = self.sections[-1].lines, list[str]()
        while lines and isinstance(line := lines[-1], str):
            above.insert(0, line)
            lines.pop()
        self.sections.append(Section(name, self._at(_start(code)), comment, above))

    def _stream(self, code: str, comment: str, comment_at: int) -> None:
        """Add the streams of a line, from each port to the next, or its faults."""
        count = len(self.faults)
        columns = _columns(code)
        self._streams += len(columns) - 1
        if self._streams > LINES_LIMIT:
            raise _too_large(self._source, f"more than {LINES_LIMIT:,} streams")
        ports = self._ports(code, columns)
        said, codes = self._marked(comment, comment_at)
        if len(self.faults) > count:
            return
        places = [self._at(index) for index, _ in columns]
        ends = zip(pairwise(ports), pairwise(places), strict=True)
        for (source, target), (source_at, target_at) in ends:
            self.sections[-1].lines.append(Stream(source, target, source_at, said, codes, target_at))
            said = ""  # it is said of the line, and pictures are to show it once

    def _ports(self, code: str, columns: list[tuple[int, str]]) -> list[Port]:
        if not any(name for _, name in columns):
            self._fault(code.index(","), f"a comma without names. {_A_STREAM}")
            return []
        ports: list[Port] = []
        for number, (index, name) in enumerate(columns):
            if not name:
                first, last = number == 0, number == len(columns) - 1
                side = (
                    "in front of the comma" if first else "after the comma" if last else "between two commas"
                )
                comma = code.index(",") if first else code.rindex(",", 0, index)
                self._fault(comma, f"no name stands {side}. {_A_STREAM}")
                continue
            try:
                ports.append(Port.parse(name))
            except FlowBuildError as error:
                is_glued = "//" in name and "://" not in name
                glued = ' A comment starts with "//" after blank space.' if is_glued else ""
                self._fault(index, f"{error}{glued}")
        return ports

    def _marked(self, comment: str, index: int) -> tuple[str, tuple[str, ...]]:
        """Take the codes of "flowrt: ignore[...]" out of a comment."""
        found = re.search(_MARK, comment)
        if found is None:
            return comment, ()
        before, behind = comment[: found.start()].strip(), comment[found.end() :].strip()
        codes = [code.strip() for code in (found[1] or "").strip().removesuffix(",").split(",")]
        if not all(re.fullmatch(_CODE, code) for code in codes):
            self._fault(index, f'"flowrt: ignore" without codes in brackets. {_HOW_TO_IGNORE}')
        elif (before and behind) or re.search(_MARK, behind):
            text = '"flowrt: ignore[...]" stands in the middle of a comment. Write it once, at its start or at its end.'
            self._fault(index, text)
        return before or behind, tuple(codes)


def _columns(code: str) -> list[tuple[int, str]]:
    """Take a line apart at its commas: where each name starts, and the name; two at least, and empty ones at the end mean nothing."""
    columns: list[tuple[int, str]] = []
    index = 0
    *parts, last = code.split(",", LINES_LIMIT + 1)  # of more names it is refused
    for column in (*parts, last if last.replace(",", "").strip() else ""):
        columns.append((index + _start(column), column.strip()))
        index += len(column) + 1
    while len(columns) > 2 and not columns[-1][1]:
        columns.pop()
    return columns


def ports_without_commas(line: str) -> list[Port]:
    """Return the ports of a stream that lacks its commas; none if what stands there are no ports, or a single one."""
    parts = re.split(_NO_COMMA, line, maxsplit=GUESSED)
    if len(parts) == 1:
        parts = line.split(maxsplit=GUESSED)
        if "." in parts[1:-1]:  # "a . b" is one port
            return []
    try:
        return [Port.parse(part) for part in parts] if 1 < len(parts) <= GUESSED else []
    except FlowBuildError:
        return []


def with_commas(ports: list[Port]) -> str:
    """Say how a stream is written that lacks its commas."""
    what = "the comma" if len(ports) == 2 else "the commas"
    return f"If it is a stream, write {what}: {quoted(', '.join(port.fullname for port in ports))}."


def _start(text: str) -> int:
    """Return the index of the first character that is not blank."""
    return len(text) - len(text.lstrip())


def tidied(lines: list[TextLine]) -> list[TextLine]:
    """Leave one blank line of several, and none at the start and the end."""
    tidy: list[TextLine] = []
    for line in lines:
        if line is not None or (tidy and tidy[-1] is not None):
            tidy.append(line)
    if tidy and tidy[-1] is None:
        tidy.pop()
    return tidy


# -- writing


def format_text(text: Text, source: str = UNNAMED) -> str:
    """Return a flow text in the normal layout; it means the same, and every comment stays.

    One blank behind the comma, streams below a headline indented, comments of consecutive streams aligned, one blank line before a
    headline and no more than one elsewhere; asterisks, backslashes and blanks in names as they are read.

    Raises:
        FlowBuildError: the text is faulty, or would be larger than the limits.
    """
    return write_text(read_text(text, source), source)


def write_text(sections: Iterable[Section], source: str = UNNAMED) -> str:
    """Write sections in the normal layout; `FlowBuildError` if they come to more than the limits of a text."""
    sections = list(sections)
    if sum(isinstance(line, Stream) for section in sections for line in section.lines) > LINES_LIMIT:
        raise _too_large(source, f"more than {LINES_LIMIT:,} streams")
    blocks = [block for section in sections if (block := list(_written(section)))]
    if sum(map(len, blocks)) + len(blocks) - 1 > LINES_LIMIT:
        raise _too_large(source, f"more than {LINES_LIMIT:,} lines when it is written")
    text = "\n\n".join("\n".join(block) for block in blocks)
    text += "\n" if text else ""
    _check_size(text, source)
    return text


def _written(section: Section) -> Iterator[str]:
    yield from (_comment(text) for text in section.above)
    if section.headline:
        yield section.headline + (f"  {_comment(section.comment)}" if section.comment else "")
    indent = INDENT if section.headline else ""
    for kind, lines in groupby(section.lines, type):
        if kind is Stream:
            yield from _streams([line for line in lines if isinstance(line, Stream)], indent)
        else:
            yield from (indent + _comment(line) if isinstance(line, str) else "" for line in lines)


def _streams(streams: list[Stream], indent: str) -> Iterator[str]:
    """Write consecutive streams, their comments aligned; those that were read off one line stand on one again."""
    lines = [
        (f"{indent}{first.source.fullname}, {', '.join(names)}", comment_of(first))
        for first, names in _as_read(streams)
    ]
    width = max((len(line) for line, comment in lines if comment and len(line) <= ALIGNED), default=0)
    for line, comment in lines:
        yield f"{line:<{width}}  {_comment(comment)}" if comment else line


def _as_read(streams: list[Stream]) -> Iterator[tuple[Stream, list[str]]]:
    """Put streams together that were read off one line: the first, and the targets of all."""
    before: Stream | None = None
    line: tuple[Stream, list[str]] | None = None
    for stream in streams:
        if before is None or line is None or not _goes_on(before, stream) or stream.ignore != line[0].ignore:
            if line is not None:
                yield line
            line = stream, []
        line[1].append(stream.target.fullname)
        before = stream
    if line is not None:
        yield line


def _goes_on(before: Stream, stream: Stream) -> bool:
    """Say whether a stream starts with the same name, at the same place in a text, with which the one before ends."""
    if not before.target_at or stream.declared_at != before.target_at or stream.comment:
        return False
    return stream.source.fullname == before.target.fullname


def comment_of(stream: Stream) -> str:
    """Return the comment of a stream as it is written, with the codes it ignores."""
    if not stream.ignore:
        return stream.comment
    mark = f"flowrt: ignore[{', '.join(stream.ignore)}]"
    return f"{stream.comment}  # {mark}" if stream.comment else mark


def reads_back(line: Section | Stream) -> bool:
    """Say whether a headline or a stream that was made in Python is the same one when it has been written and read."""
    (text,) = _written(line) if isinstance(line, Section) else _streams([line], "")
    reading = _Reading(UNNAMED)
    reading.take(text)
    if reading.faults:
        return False
    if isinstance(line, Section):
        section = reading.sections[-1]
        return (section.headline, section.comment) == (line.headline, line.comment)
    again = reading.sections[0].lines
    return len(again) == 1 and isinstance(again[0], Stream) and as_written(again[0]) == as_written(line)


def as_written(stream: Stream) -> tuple[object, ...]:
    """Return what flow text tells of a stream."""
    return stream.source.fullname, stream.target.fullname, stream.comment, stream.ignore


def _comment(text: str) -> str:
    return f"// {text}" if text and not text.startswith("/") else f"//{text}"


# -- flows


def sections_of(root: Flow) -> list[Section]:
    """Return what a flow and all flows in it are written as; `FlowBuildError` if text would mean something else."""
    flows: dict[str, Flow] = {}
    faults: list[Fault] = []
    twins: list[tuple[Flow, Flow]] = []
    holders: defaultdict[int, list[Flow]] = defaultdict(list)
    found = [root]
    for holder in found:  # grows while it is gone through
        for flow in holder.flows:
            holders[id(flow)].append(holder)
            if len(holders[id(flow)]) > 1:
                continue
            if folded(flow.name) == folded(root.name):
                which = "itself" if flow is root else "another flow of its own name"
                why = f"holds {which}. Add it to a root flow without a name, and write that"
                faults.append(_unwritable(flow, why))
                continue
            known = flows.setdefault(folded(flow.name), flow)
            if known is not flow:
                twins.append((known, flow))
            found.append(flow)
    faults += _different(twins, found)
    faults += _hidden(found, flows, holders)
    for stream in (each for flow in found for each in flow.streams):
        if not reads_back(stream):
            at = stream.declared_at
            text = f'stream "{stream}" at {at} cannot be written as flow text: it would not be read as what it is.'
            remedy = 'Leave commas out of its names, and "flowrt: ignore" out of its comment.'
            faults.append(Fault(f"{text} {remedy}", at))
    for flow in flows.values():
        if not reads_back(Section(flow.name, comment=one_line(flow.comment))):
            remedy = 'Leave commas and arrows out of its name, and "flowrt: ignore" out of its comment'
            faults.append(_unwritable(flow, f"would not be read as a headline. {remedy}"))
    if faults:
        raise FlowBuildError(*dict.fromkeys(faults))
    said = [one_line(root.comment), None] if root.comment else []  # it has no headline to stand behind
    first = Section(lines=tidied([*said, *_lines(root)]))
    return [first, *(_section(flow) for flow in flows.values())]


def _unwritable(flow: Flow, why: str) -> Fault:
    at = flow.declared_at
    return Fault(f'flow "{flow.name}", made at {at}, cannot be written as flow text: it {why}.', at)


def _section(flow: Flow) -> Section:
    return Section(flow.name, flow.declared_at, one_line(flow.comment), flow.comments_above, _lines(flow))


def _lines(flow: Flow) -> list[TextLine]:
    """Return the streams of a flow, with its comments and blank lines between them."""
    lines: list[TextLine] = []
    written = 0
    for index, remark in flow.remarks:
        lines += flow.streams[written:index]
        lines.append(remark)
        written = index
    return tidied([*lines, *flow.streams[written:]])


def _different(twins: list[tuple[Flow, Flow]], everything: list[Flow]) -> Iterator[Fault]:
    """Find two flows of one name that are not made alike, or become different by streams on their path."""
    by_path = {
        folded(stream.source.segments[-1][0])
        for flow in everything
        for stream in (flow.streams if twins else ())
        if stream.source.segments and stream.source.key[0] == stream.target.key[0]
    }
    for one, other in twins:
        alike = list(map(as_written, one.streams)) == list(map(as_written, other.streams))
        if not alike or folded(one.name) in by_path:
            where = f"is not the one made at {one.declared_at}, and in a text a name is one flow."
            yield _unwritable(other, f"{where} Give one of them another name")


def _hidden(found: list[Flow], flows: dict[str, Flow], holders: dict[int, list[Flow]]) -> Iterator[Fault]:
    """Find names that mean nothing where they are used, but would mean a flow that stands deeper: a text has all flows in its root."""
    root, *below = found
    inner = {folded(nested.name) for flow in below for nested in flow.flows} & flows.keys()
    for name in sorted(inner & {folded(operation.name) for operation in root.operations}):
        why = "has the name of an operation of the root flow, which would win. Give it another name"
        yield _unwritable(flows[name], why)
    deep = inner - {folded(flow.name) for flow in root.flows}
    if not deep:
        return
    for name in sorted(deep):
        for stream in flows[name].streams:
            if stream.source.is_rooted:
                by = f'stream "{stream}" at {stream.declared_at}'
                why = f"is not used in the root flow itself, and would be by {by}. Add it to the root flow"
                yield _unwritable(flows[name], why)
    own = {id(flow): deep & {folded(nested.name) for nested in flow.flows} for flow in found}
    seen = {id(flow): own[id(flow)] if flow is root else deep for flow in found}
    changed = True
    while changed:  # what all holders of a flow see, it sees as well
        changed = False
        # Holders come first, but for circles and short cuts: a pass or two do.
        for key in map(id, below):
            sight = own[key] | deep.intersection(*(seen[id(holder)] for holder in holders[key]))
            changed |= sight != seen[key]
            seen[key] = sight
    for flow in found:
        for stream in flow.streams:
            for port in (stream.source, stream.target):
                sight = seen[id(root if port.is_rooted else flow)]
                for name in [*(folded(name) for name, _ in port.segments), port.key[1]]:
                    if name in deep - sight:
                        by = f'stream "{stream}" at {stream.declared_at}'
                        why = f"is not seen by {by}, which has its name, and would be. Give it another name"
                        yield _unwritable(flows[name], why)
                    if name in flows:
                        sight = sight | seen[id(flows[name])]


# -- files


NEIGHBOURS_READ = 1_000  # files of a folder that are looked at for a name that was probably meant; arbitrary


def read_flow_file(path: str | PathLike[str]) -> str:
    """Read a file of UTF-8; a little more than the limit of a text at most.

    Raises:
        FlowBuildError: it does not exist, cannot be read, or is not UTF-8.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(name := os.fspath(path), str):
        raise FlowBuildError(f"the path of a flow file is a str or a Path, got {type(path).__qualname__}.")
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - importing pathlib costs more than this
            content = file.read(BYTES_LIMIT + 4)  # with a byte order mark, and one more to be too large
    except FileNotFoundError as error:
        text = f'there is no flow file "{name}".{_neighbours(*os.path.split(name))}'
        raise FlowBuildError(Fault(text, name)) from error
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise FlowBuildError(Fault(f"the flow file {name!r} cannot be read: {why}.", name)) from error
    return decoded(content, name)


def decoded(content: bytes, name: str) -> str:
    """Return what was read of a flow text, up to a little more than its limit; `FlowBuildError` if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(content) > BYTES_LIMIT:  # it may just be cut; what is read is too large anyway
            return content.decode("utf-8", "replace")
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        text = f"the byte 0x{content[error.start]:02X} is not UTF-8. Save the file as UTF-8."
        raise _refusal(f"{name}:{line}:{column}", text) from error


def _neighbours(folder: str, base: str) -> str:
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry, _ in zip(entries, range(NEIGHBOURS_READ), strict=False)]
    except OSError:
        return f' There is no folder "{folder}" either.'
    suffix = os.path.splitext(base)[1]  # noqa: PTH122 - as above
    return did_you_mean(base, [name for name in names if name.endswith(suffix or ".flow")])
