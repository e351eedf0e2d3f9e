"""Flow text: what is read, what is refused and how, and what it does when it runs."""

from __future__ import annotations

import contextlib
import io
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from flowrt import Flow, FlowBuildError, FlowOperationContainer, FlowRuntime, check
from flowrt.flow.text import BYTES_LIMIT, LINES_LIMIT, format_text
from tests.kit.flows import Bench, every_mode, every_schedule, flow_of, wire
from tests.kit.functions import SECONDS, double, increment

Written = list[tuple[str, ...]]


def written(flow: Flow) -> dict[str, Written]:
    """What a text says: per flow (the root is "") its streams, with comments and codes to ignore."""
    flows = {"": _streams_of(flow)}
    pending = list(flow.flows)
    for nested in pending:
        if nested.name not in flows:
            flows[nested.name] = _streams_of(nested)
            pending += nested.flows
    return flows


def _streams_of(flow: Flow) -> Written:
    return [
        (stream.source.fullname, stream.target.fullname, stream.comment, *stream.ignore)
        for stream in flow.streams
    ]


def plain(flow: Flow) -> dict[str, list[str]]:
    """As `written`, with `a → b` for each stream."""
    return {name: [f"{each[0]} -> {each[1]}" for each in streams] for name, streams in written(flow).items()}


def faults(text: Any, source: str = "x.flow") -> list[str]:
    with pytest.raises(FlowBuildError) as caught:
        Flow.from_text(text, source=source)
    assert all(
        text.startswith(f"{place}: ")
        for text, place in zip(caught.value.faults, caught.value.places, strict=True)
    )
    return list(caught.value.faults)


# --- what is read


def test_every_line_is_a_stream() -> None:
    """B020."""
    flow = Flow.from_text(".in, parse\nparse.text,save#2.line\n  save#2   ,   .out  ")

    assert plain(flow) == {"": [".in -> parse", "parse.text -> save#2.line", "save#2 -> .out"]}


def test_comments_start_at_the_start_of_a_line_or_behind_blank_space() -> None:
    """B021."""
    flow = Flow.from_text(
        "// on its own\n  \t// so is this, with a comma\n.in, a // behind\na, .out\t//tabbed\n//"
    )

    assert written(flow) == {"": [(".in", "a", "behind"), ("a", ".out", "tabbed")]}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\n \t\n\n"])
def test_blank_lines_and_white_space_around_names_mean_nothing(ends: str) -> None:
    """B022."""
    text = ends.join(["", "  .in ,a ", "\ta\t,  .out", "", " my flow ", " .in , .out", ""])

    assert plain(Flow.from_text(text)) == {"": [".in -> a", "a -> .out"], "my flow": [".in -> .out"]}


@every_schedule
def test_a_text_that_is_read_under_a_name_belongs_to_the_flow_of_that_name(bench: Bench) -> None:
    """B023."""
    flow = Flow.from_text(".in, double\ndouble, .out", "x")
    with bench.make_runtime() as runtime:
        runtime.add_flow(flow).add_operations(bench.operations(funcs={"double": double}))
        wire(runtime, ".in -> x.in", "x.out -> .out")
        seen: list[str] = []
        runtime.on_message(lambda message: seen.append(message.port.fullname))

        assert runtime.process(".in", 2).values(timeout=SECONDS) == [4]

    assert flow.name == "x"
    assert seen == ["x/.in", "x/double", "x/.out", ".out"]


def test_a_line_without_a_comma_is_a_headline() -> None:
    """B024."""
    flow = Flow.from_text(
        ".in, my flow.in\nmy flow.out, .out\n  my flow  // which doubles, twice\n.in, double\n"
    )

    (nested,) = flow.flows
    assert (nested.name, nested.comment) == ("my flow", "which doubles, twice")
    assert plain(flow) == {"": [".in -> my flow.in", "my flow.out -> .out"], "my flow": [".in -> double"]}


@pytest.mark.parametrize("root", ["/", " / // back", "\\", "/*"])
def test_the_headline_slash_leads_back_to_the_root(root: str) -> None:
    """B025."""
    flow = Flow.from_text(f".in, a\nf\n.in, b\n{root}\na, .out")

    assert plain(flow) == {"": [".in -> a", "a -> .out"], "f": [".in -> b"]}


@pytest.mark.parametrize("line", [".in, a,", ".in, a, ", ".in, a,,,  , // note"])
def test_empty_columns_behind_the_second_mean_nothing(line: str) -> None:
    """B026."""
    assert plain(Flow.from_text(line)) == {"": [".in -> a"]}


def test_one_text_holds_several_flows_in_any_order() -> None:
    """B027."""
    flow = Flow.from_text("a, b\nf\nc, d\ng\ne, h\n/\nb, i", "start")

    assert flow.name == "start"
    assert plain(flow) == {"": ["a -> b", "b -> i"], "f": ["c -> d"], "g": ["e -> h"]}


def test_a_headline_with_the_name_of_the_flow_itself_is_that_flow() -> None:
    """B027, B033."""
    flow = Flow.from_text("a, b\nf\nc, d\nSTART\nb, i", "start")

    assert plain(flow) == {"": ["a -> b", "b -> i"], "f": ["c -> d"]}


@every_mode
def test_ports_of_a_flow_have_names_or_none(bench: Bench) -> None:
    """B028, B029, B080."""
    text = """
        .in, f
        f, .whole
        f.half, .half

        f
            ., double
            double, .
            ., .half
    """
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text).add_operations(bench.operations(funcs={"double": double}))

        messages = list(runtime.process(".in", 3).results(timeout=SECONDS))

    assert sorted((message.port.name, message.data) for message in messages) == [("half", 3), ("whole", 6)]


@every_mode
def test_a_slash_in_front_means_the_root_from_everywhere(bench: Bench) -> None:
    """B030, B034."""
    text = """
        /.in, f.in
        /double, /g/increment.x
        g/increment, .again

        f
            .in, /double
            .in, /.copy
            .in, /g.in
            /double, /.rooted

        g
            .in, increment#2
            increment#2, /.g
    """
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text)
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))

        messages = list(runtime.process(".in", 5).results(timeout=SECONDS))

    assert sorted((message.port.fullname, message.data) for message in messages) == [
        (".again", 11),
        (".copy", 5),
        (".g", 6),
        (".rooted", 10),
    ]


@every_schedule
def test_a_path_inside_a_flow_starts_in_that_flow(bench: Bench) -> None:
    """B031."""
    text = ".in, f.in\nf.out, .out\nf\n.in, x/y/double\nx/y/double, .out"
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text).add_operations(bench.operations(funcs={"double": double}))
        seen: list[str] = []
        runtime.on_message(lambda message: seen.append(message.port.fullname))

        assert runtime.process(".in", 2).values(timeout=SECONDS) == [4]

    assert seen == ["f/.in", "f/x/y/double", "f/.out", ".out"]


@pytest.mark.parametrize("name", ["./a", "../a", "x/../a", "./.in"])
def test_dots_are_no_way_to_say_here_or_above(name: str) -> None:
    """B031."""
    dots = ".." if ".." in name else "."

    assert faults(f"f\n  {name}, b") == [
        (
            f'x.flow:2:3: "{name}" has "{dots}" where a name belongs: names are no file names, "." and ".." lead nowhere. '
            'Write the name of the flow, or "/" in front to start from the root flow.'
        )
    ]


TEXT = ".in, a\n\nf // ü\n  .in, b"


class OnlyReads:
    """A reader that is nothing else, and gives a few characters at a time."""

    def __init__(self, text: str) -> None:
        self._file = io.StringIO(text)

    def read(self, size: int, /) -> str:
        return self._file.read(min(size, 3))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "\ufeff" + TEXT,
        TEXT.split("\n"),
        tuple(TEXT.splitlines(keepends=True)),
        (line + "\r\n" for line in TEXT.split("\n")),
        io.StringIO(TEXT),
        OnlyReads(TEXT),
        io.TextIOWrapper(io.BytesIO(TEXT.encode()), encoding="utf-8"),
    ],
    ids=[
        "str",
        "byte order mark",
        "lines",
        "lines with ends",
        "generator",
        "file in memory",
        "reader",
        "file",
    ],
)
def test_text_comes_as_a_str_as_lines_or_from_a_reader(text: Any) -> None:
    """B032."""
    flow = Flow.from_text(text)

    assert plain(flow) == {"": [".in -> a"], "f": [".in -> b"]}
    assert flow.flows[0].comment == "ü"
    assert [nested.streams[0].declared_at for nested in flow.flows] == ["<flow text>:4:3"]


def test_text_is_read_from_a_file(tmp_path: Path) -> None:
    """B032."""
    path = tmp_path / "root.flow"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())

    for flow in (Flow.from_file(path), Flow.from_file(str(path), "named")):
        assert plain(flow) == {"": [".in -> a"], "f": [".in -> b"]}
        assert flow.streams[0].declared_at == f"{path}:1:1"
    assert Flow.from_file(path, "named").name == "named"


def test_text_that_is_added_starts_in_the_flow_itself() -> None:
    """B032."""
    flow = Flow("x").add_streams_from("a, b\nf\nc, d").add_streams_from("b, e")

    assert plain(flow) == {"": ["a -> b", "b -> e"], "f": ["c -> d"]}


def test_a_headline_that_comes_again_adds_to_its_flow() -> None:
    """B033."""
    flow = Flow.from_text("f\na, b\n/\nx, y\nF\nb, c").add_streams_from("f\nc, d")

    assert plain(flow) == {"": ["x -> y"], "f": ["a -> b", "b -> c", "c -> d"]}


def test_what_a_second_text_adds_reaches_no_other_runtime() -> None:
    flow = Flow.from_text(".in, f.in\nf.out, .out\nf\n.in, .out")
    with FlowRuntime(flow) as one, FlowRuntime(flow) as other:
        one.add_streams_from("f\n.in, .out")

        assert one.process(".in", 1).values(timeout=SECONDS) == [1, 1]
        assert other.process(".in", 1).values(timeout=SECONDS) == [1]
    assert plain(flow)["f"] == [".in -> .out"]


def test_a_running_flow_goes_back_if_the_text_that_was_added_does_not_check_out() -> None:
    flow = Flow.from_text(".in, f.in\nf.out, .out\nf\n.in, .out")
    with FlowRuntime(flow) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [1]
        runtime.add_streams_from("f\n.in, nowhere\n.in, .out")
        with pytest.raises(
            FlowBuildError, match=r'at <flow text>:2:6: there is no operation or flow "nowhere"'
        ):
            runtime.process(".in", 2)

        assert runtime.process(".in", 3).values(timeout=SECONDS) == [3]


def test_a_flow_without_streams_is_a_flow() -> None:
    assert plain(Flow.from_text("f\n\ng")) == {"": [], "f": [], "g": []}
    assert plain(Flow.from_text("")) == {"": []}


def test_streams_and_flows_know_their_line_and_column() -> None:
    flow = Flow.from_text(["", "  a ,  b // c", "\tmy flow", "x,y"], source="my.flow")

    (stream,), (nested,) = flow.streams, flow.flows
    assert (stream.declared_at, stream.target_at) == ("my.flow:2:3", "my.flow:2:8")
    assert nested.declared_at == "my.flow:3:2"
    assert (nested.streams[0].declared_at, nested.streams[0].target_at) == ("my.flow:4:1", "my.flow:4:3")


# --- several ports on one line


def test_a_line_of_several_ports_is_a_stream_from_each_to_the_next() -> None:
    flow = Flow.from_text("  .in, parse.x ,show#2,  .out, // why", source="x.flow")

    assert written(flow) == {
        "": [(".in", "parse.x", "why"), ("parse.x", "show#2", ""), ("show#2", ".out", "")]
    }
    assert [(each.declared_at, each.target_at) for each in flow.streams] == [
        ("x.flow:1:3", "x.flow:1:8"),
        ("x.flow:1:8", "x.flow:1:17"),
        ("x.flow:1:17", "x.flow:1:26"),
    ]


@every_mode
def test_a_line_of_several_ports_runs_as_a_chain_in_any_flow(bench: Bench) -> None:
    text = ".in, double, f.in\nf.out, .out\nf\n.in, increment, double, increment#2, .out"
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text)
        runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))

        assert runtime.process(".in", 3).values(timeout=SECONDS) == [15]


def test_the_mark_of_a_line_is_for_all_its_streams_and_its_comment_is_said_once() -> None:
    flow = Flow.from_text("a, b, c // why  # flowrt: ignore[F201]")

    assert written(flow) == {"": [("a", "b", "why", "F201"), ("b", "c", "", "F201")]}


@pytest.mark.no_cover
def test_a_text_has_at_most_ten_thousand_streams_however_many_stand_on_a_line() -> None:
    within = ", ".join(["a"] * (LINES_LIMIT + 1))

    assert len(Flow.from_text(within + ",,").streams) == LINES_LIMIT
    assert (
        faults(f"{within}, a")
        == faults(f"{within}\na, a")
        == [
            "x.flow: the flow text has more than 10,000 streams, which is the limit. Write several texts: add_streams_from() adds them up."
        ]
    )


def test_a_code_on_a_line_is_for_nothing_only_if_none_of_its_streams_needs_it() -> None:
    container = FlowOperationContainer().add_func("double", double)
    text = ".in, double, double#2{}  // flowrt: ignore[F201]"

    assert check(Flow.from_text(text.format("")).add_operations(container)) == []
    (found,) = check(Flow.from_text(text.format(", .out")).add_operations(container))
    assert (found.code, found.place) == ("F902", "<flow text>:1:1")


# --- names without their dot or their comma


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (".in f", ".in, f"),
        ("f .out", "f, .out"),
        ("check.on_text\t.texts", "check.on_text, .texts"),
        (".in parse  show .out", ".in, parse, show, .out"),
        (". read", "., read"),
        ("a.b; c d", "a.b, c d"),
        ("read it => show it -> .out", "read it, show it, .out"),
        ("a.b|c", "a.b, c"),
    ],
)
def test_a_headline_that_is_a_stream_without_commas_says_so(line: str, meant: str) -> None:
    (fault,) = faults(line)

    which = "the comma" if meant.count(",") == 1 else "the commas"
    assert fault.endswith(f'{HEADLINE} If it is a stream, write {which}: "{meant}".')


@pytest.mark.parametrize(
    "line",
    ["a . b/", "f #1", ".in;", "a.b c/../d", "./a b", "a.b " * 300_000, "a" + " " * 1_000_000 + ".b ."],
)
def test_what_is_no_stream_with_commas_either_is_not_called_one(line: str) -> None:
    (fault,) = faults(line)

    assert "comma:" not in fault


def build_error(text: str) -> str:
    container = FlowOperationContainer().add_func("double", double).add_func("increment", increment)
    with (
        FlowRuntime(Flow.from_text(text).add_operations(container)) as runtime,
        pytest.raises(FlowBuildError) as caught,
    ):
        runtime.process(".in", 1)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "meant"),
    [
        ("in, double, .out", "1:1", ".in"),
        ("IN, double", "1:1", ".IN"),
        (".in, double, out", "1:14", ".out"),
        (".in, double\ndouble, results", "2:9", ".results"),
        (".clock, double\nclock, increment", "2:1", ".clock"),
        (".in, double, .odd\n.in, odd", "2:6", ".odd"),
        ("f\nin, double", "2:1", ".in"),
    ],
)
def test_a_port_of_the_flow_without_its_dot_is_told_what_was_meant(text: str, place: str, meant: str) -> None:
    error = build_error(text if not text.startswith("f") else f".in, f.in\n{text}\n.in, double")

    place = place if not text.startswith("f") else "3:1"
    assert (
        f'at <flow text>:{place}: there is no operation or flow "{meant[1:]}". Did you mean "{meant}"?'
        in error
    )


def test_names_that_lack_a_comma_between_them_are_told_so_once() -> None:
    assert build_error(".in, double increment, .out") == (
        'stream ".in -> double increment" at <flow text>:1:6: there is no operation or flow "double increment". '
        'If it is a stream, write the comma: "double, increment".'
    )


def test_an_out_port_of_the_flow_that_became_an_in_port_for_want_of_a_comma_is_told_so() -> None:
    flow = Flow.from_text(".in, double .out\nincrement again")
    flow.add_operations(FlowOperationContainer().add_func("double", double))
    found = {finding.code: finding.remedy for finding in check(flow)}

    assert found["F201"].endswith('If a comma is missing, write "double, .out".')
    assert found["F204"].endswith('If it is a stream, write the comma: "increment, again".')


def test_a_run_that_led_nowhere_for_want_of_a_comma_is_told_so() -> None:
    with FlowRuntime(Flow.from_text(".in double, .out")) as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(".IN", 1)

    assert 'There is ".in double", where a comma may be missing.' in str(caught.value)


# --- comments and marks


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("plain", ("plain",)),
        ("flowrt: ignore[F201]", ("", "F201")),
        ("#flowrt:ignore[ F201 , my-code, ]", ("", "F201", "my-code")),
        ("why  # flowrt: ignore[F201, F202]", ("why", "F201", "F202")),
        ("Flowrt: Ignore[F201] because", ("because", "F201")),
        ("see flowrt: the engine", ("see flowrt: the engine",)),
        ("flowrt: ignored", ("flowrt: ignored",)),
        ("http://x", ("http://x",)),
    ],
)
def test_a_comment_belongs_to_its_stream_and_may_say_what_a_check_ignores(
    comment: str, expected: tuple[str, ...]
) -> None:
    assert written(Flow.from_text(f"a, b // {comment}")) == {"": [("a", "b", *expected)]}


@pytest.mark.parametrize(
    "mark", ["flowrt: ignore", "flowrt: ignore[]", "flowrt: ignore[F201", "# flowrt:ignore[a b]"]
)
def test_a_mark_without_codes_is_a_fault(mark: str) -> None:
    assert faults(f"a, b  // {mark}") == [
        (
            'x.flow:1:9: "flowrt: ignore" without codes in brackets. Write "// flowrt: ignore[CODE]" behind a stream, with the codes that '
            "check() reports."
        )
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "a flowrt: ignore[A] b",
        "flowrt: ignore[A] flowrt: ignore[B]",
        "a # flowrt: ignore[A] # flowrt: ignore[B]",
    ],
)
def test_a_mark_stands_alone_at_one_end_of_the_comment(comment: str) -> None:
    assert faults(f"a, b // {comment}") == [
        'x.flow:1:8: "flowrt: ignore[...]" stands in the middle of a comment. Write it once, at its start or at its end.'
    ]


@pytest.mark.parametrize(
    ("line", "column", "where"),
    [("f // flowrt: ignore[A]", 6, "behind a headline"), ("// flowrt: ignore[A]", 4, "on a line of its own")],
)
def test_a_mark_that_belongs_to_no_stream_is_a_fault(line: str, column: int, where: str) -> None:
    assert faults(line) == [
        (
            f'x.flow:1:{column}: "flowrt: ignore" {where} ignores nothing. Write "// flowrt: ignore[CODE]" behind a stream, with the codes that '
            "check() reports."
        )
    ]


def test_the_comment_of_a_stream_made_in_python_is_one_line() -> None:
    flow = Flow().add_stream("a", "b", comment=" two\nlines\t", ignore="F201, F202")

    assert written(flow) == {"": [("a", "b", "two lines", "F201", "F202")]}
    with pytest.raises(FlowBuildError) as caught:
        flow.add_stream("a", "b", comment=None)  # type: ignore[arg-type]
    assert str(caught.value) == "a comment is a str, not of type NoneType."


# --- faults

NO_STREAM = 'A stream is "source, target", and a line may go on: "source, operation, target".'
HEADLINE = "a line without a comma is a headline, which names a flow."
NAME_RULE = 'Leave . / \\ # * and control characters out of its name (its character {}); or write a stream: "source, target".'
COMMA = "If it is a stream, write the comma:"
DOT, SHARP, STAR = '2 is "." (U+002E)', '2 is "#" (U+0023)', '1 is "*" (U+002A)'
NULL = "2 is the control character U+0000"
BARE = 'a flow is known by its bare name in the whole text; "/" alone leads back to the root.'


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        (",", 1, f"a comma without names. {NO_STREAM}"),
        (" ,, , // x", 2, f"a comma without names. {NO_STREAM}"),
        (" a ,", 4, f"no name stands after the comma. {NO_STREAM}"),
        ("  , a", 3, f"no name stands in front of the comma. {NO_STREAM}"),
        ("a, b, , c // x", 5, f"no name stands between two commas. {NO_STREAM}"),
        (
            "a, b, ../c, d",
            7,
            (
                '"../c" has ".." where a name belongs: names are no file names, "." and ".." lead nowhere. '
                'Write the name of the flow, or "/" in front to start from the root flow.'
            ),
        ),
        ("/f", 1, f'no stream could reach a flow named "/f": {HEADLINE} Write "f": {BARE}'),
        (" f/g ", 2, f'no stream could reach a flow named "f/g": {HEADLINE} Write "g": {BARE}'),
        (
            "a.b",
            1,
            f'no stream could reach a flow named "a.b": {HEADLINE} {NAME_RULE.format(DOT)}',
        ),
        (
            "f#1",
            1,
            f'no stream could reach a flow named "f#1": {HEADLINE} {NAME_RULE.format(SHARP)}',
        ),
        (
            "**",
            1,
            f'no stream could reach a flow named "**": {HEADLINE} {NAME_RULE.format(STAR)}',
        ),
        ("a\tb", 1, f'no stream could reach a flow named "a\\tb": {HEADLINE} {COMMA} "a, b".'),
        (
            "f\x00",
            1,
            f'no stream could reach a flow named "f\\x00": {HEADLINE} {NAME_RULE.format("2 is the control character U+0000")}',
        ),
        (
            "# a",
            1,
            f'no stream could reach a flow named "# a": {HEADLINE} If it is a comment, start it with "//".',
        ),
        (
            "a -> b",
            1,
            f'no stream could reach a flow named "a -> b": {HEADLINE} {COMMA} "a, b".',
        ),
        (
            "root.flow",
            1,
            f'no stream could reach a flow named "root.flow": {HEADLINE} If it is a file, Flow.from_file() reads it.',
        ),
        (
            "a, *",
            4,
            '"*" names no port. Write an operation ("parse"), a port of one ("parse.text") or a port of the flow (".in").',
        ),
        (
            "a, http://x",
            4,
            '"http://x" has an empty name in its path. Write one "/" between two names, and none in front but to start from the root flow.',
        ),
        (
            "a, b//c",
            4,
            (
                '"b//c" has an empty name in its path. Write one "/" between two names, and none in front but to start from the root flow. '
                'A comment starts with "//" after blank space.'
            ),
        ),
        (
            "a, b // \x1b[0m",
            9,
            "the comment has the control character U+001B in it. Leave it out: comments are shown as they are.",
        ),
        (
            "a, b\x1b",
            4,
            '"b\\x1b" has the control character U+001B in it, as character 2. Leave it out: names are shown in errors and written to flow files.',
        ),
    ],
)
def test_a_fault_says_where_it_is_what_came_and_what_to_do(line: str, column: int, expected: str) -> None:
    """B021, B034."""
    assert faults(f"// the first line\n{line}\nx, y") == [f"x.flow:2:{column}: {expected}"]


def test_one_error_holds_every_fault() -> None:
    """B034."""
    found = faults("./a, b//c, ../d\n/f\nok, fine\n,\n a,")

    assert [fault.split(": ")[0] for fault in found] == [
        f"x.flow:{place}" for place in ("1:1", "1:6", "1:12", "2:1", "4:1", "5:3")
    ]


def test_the_places_of_faults_survive_pickling() -> None:
    with pytest.raises(FlowBuildError) as caught:
        Flow.from_text(",\na,", source="x.flow")

    copied = pickle.loads(pickle.dumps(caught.value))

    assert str(copied) == str(caught.value)
    assert copied.places == ("x.flow:1:1", "x.flow:2:2")


def test_of_a_faulty_text_nothing_is_added() -> None:
    flow = Flow.from_text("a, b\nf\nc, d")
    with pytest.raises(FlowBuildError):
        flow.add_streams_from("b, c\nf\nd, e\ng\n,")

    assert plain(flow) == {"": ["a -> b"], "f": ["c -> d"]}


def test_a_text_adds_nothing_to_a_flow_that_was_added_in_python() -> None:
    flow = Flow().add_flow(flow_of("f", "a -> b"))
    with pytest.raises(FlowBuildError) as caught:
        flow.add_streams_from("x, y\n F // again\nb, c", "my.flow")

    assert str(caught.value) == (
        'my.flow:2:2: there are two flows "F" in one flow. Give one of them another name, or add its streams to the other.'
    )
    assert caught.value.places == ("my.flow:2:2",)
    assert plain(flow) == {"": [], "f": ["a -> b"]}


@pytest.mark.parametrize(
    ("port", "column", "expected"),
    [
        (
            ".in, duble",
            6,
            'there is no operation or flow "duble". Did you mean "double"? There are: double, f.',
        ),
        (
            "duble, .out",
            1,
            'there is no operation or flow "duble". Did you mean "double"? There are: double, f.',
        ),
        (
            "double.x, .out",
            1,
            'operation "double" has no out-port ".x". Its only port is the default one: write "double".',
        ),
        (".in, f.input", 6, 'flow "f" has no way in ".input". Did you mean ".in"? There are: .in.'),
    ],
)
def test_what_is_found_when_the_flow_is_used_names_the_place_in_the_text(
    port: str, column: int, expected: str
) -> None:
    flow = Flow.from_text(f"{port}\nf\n.in, double", source="x.flow")
    flow.add_operations(FlowOperationContainer().add_func("double", double))
    with FlowRuntime(flow) as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(".in", 1)

    stream = port.replace(", ", " -> ")
    assert str(caught.value) == f'stream "{stream}" at x.flow:1:{column}: {expected}'
    assert caught.value.places == (f"x.flow:1:{column}",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            5,
            "a flow text is a str, lines or an open text file, not of type int. Flow.from_file() takes the path of a file.",
        ),
        (
            b"a, b",
            "a flow text is a str, lines or an open text file, not of type bytes. Flow.from_file() takes the path of a file.",
        ),
        (Path("x"), None),
        (
            io.BytesIO(b"a, b"),
            'flow text is made of str, and this holds bytes. Open the file as text, with encoding="utf-8".',
        ),
        (
            ["a, b", None],
            'flow text is made of str, and this holds NoneType. Open the file as text, with encoding="utf-8".',
        ),
        (
            io.TextIOWrapper(io.BytesIO(b"a, \xe4"), encoding="utf-8"),
            'the text is not utf-8. Open the file with encoding="utf-8".',
        ),
    ],
)
def test_what_is_no_text_is_refused(text: Any, expected: str | None) -> None:
    (fault,) = faults(text)

    assert expected is None or fault == f"x.flow: {expected}"


# --- limits


@pytest.mark.no_cover
def test_a_text_has_at_most_ten_thousand_lines() -> None:
    within = ["a, b"] * LINES_LIMIT

    assert len(Flow.from_text(within).streams) == LINES_LIMIT
    assert len(Flow.from_text("a, b\n" * LINES_LIMIT).streams) == LINES_LIMIT
    assert (
        faults([*within, ""])
        == faults("a, b\n" * (LINES_LIMIT + 1))
        == [
            "x.flow: the flow text has more than 10,000 lines, which is the limit. Write several texts: add_streams_from() adds them up."
        ]
    )


def endless() -> Any:
    while True:
        yield "a, b"


class EndlessReader:
    def read(self, size: int) -> str:
        return "," * size


@pytest.mark.parametrize(
    "text",
    [
        "," * (BYTES_LIMIT + 1),
        "ä" * (BYTES_LIMIT // 2 + 1),
        ["," * BYTES_LIMIT, "a, b"],
        endless(),
        EndlessReader(),
    ],
    ids=["characters", "bytes", "lines", "endless", "reader"],
)
def test_a_text_that_is_too_large_is_refused_at_once(text: Any) -> None:
    assert faults(text) == [
        (
            "x.flow: the flow text has more than 1,048,576 bytes (1 MiB), which is the limit. Write several texts: add_streams_from() adds "
            "them up."
        )
    ]


@pytest.mark.no_cover
@pytest.mark.no_cover
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        ",",
        "a,b\n",
        " ",
        "//",
        " //",
        "/",
        "#",
        "flowrt: ignore[",
        "flowrt: ignore[A] ",
        "# ",
        "\t",
        ".",
        "\x00",
        "->",
        "\r",
        "*",
    ],
)
@pytest.mark.parametrize("start", ["", "a, b // ", "f // ", "// "])
def test_a_text_of_a_million_characters_is_read_or_refused_in_linear_time(unit: str, start: str) -> None:
    # Anything quadratic would take minutes here: the test's timeout is the bound.
    text = (start + unit * (BYTES_LIMIT // len(unit)))[:BYTES_LIMIT]
    try:
        Flow.from_text(text)
    except FlowBuildError as error:
        assert len(str(error)) < 8 * BYTES_LIMIT


@pytest.mark.no_cover
@pytest.mark.parametrize("line", [",", "./a, ../b", "f", "a, b // c", "/f", "//\x1b", "a" * 100 + ", b"])
def test_reading_takes_no_more_memory_than_forty_times_the_largest_text(line: str) -> None:
    one_line = line * (BYTES_LIMIT // len(line))
    many = "\n".join([line] * min(LINES_LIMIT, BYTES_LIMIT // (len(line) + 1)))
    tracemalloc.start()
    try:
        for text in (one_line, many):
            with contextlib.suppress(FlowBuildError):
                Flow.from_text(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 40 * BYTES_LIMIT


# --- files


def test_a_file_that_is_not_there_is_named_with_its_neighbours(tmp_path: Path) -> None:
    """B032."""
    for name in ("root.flow", "import.flow", "words.txt"):
        (tmp_path / name).touch()

    assert file_error(tmp_path / "rot.flow") == (
        f'there is no flow file "{tmp_path / "rot.flow"}". Did you mean "root.flow"? There are: import.flow, root.flow.'
    )
    assert file_error(tmp_path / "no" / "root.flow") == (
        f'there is no flow file "{tmp_path / "no" / "root.flow"}". There is no folder "{tmp_path / "no"}" either.'
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert file_error(tmp_path).startswith(f"the flow file {str(tmp_path)!r} cannot be read: ")
    assert file_error("a\x00b").startswith(r"the flow file 'a\x00b' cannot be read: embedded null ")
    assert file_error(5) == "the path of a flow file is a str or a Path, got int."
    assert file_error(b"x") == "the path of a flow file is a str or a Path, got bytes."


def test_a_file_that_is_not_utf_8_is_named_with_the_place_of_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.flow"
    path.write_bytes("ä, b\n".encode() + "a, ü".encode("latin-1"))

    assert file_error(path) == f"{path}:2:4: the byte 0xFC is not UTF-8. Save the file as UTF-8."


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.flow"
    path.write_bytes(b"a" + "ä".encode() * BYTES_LIMIT)  # what is read of it ends inside a letter

    assert file_error(path).startswith(f"{path}: the flow text has more than 1,048,576 bytes (1 MiB)")


def file_error(path: Any) -> str:
    with pytest.raises(FlowBuildError) as caught:
        Flow.from_file(path)
    return str(caught.value)


def test_reading_a_flow_file_imports_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    (tmp_path / "root.flow").write_text(
        ".in, evil\nevil, .out\nevil.py, os.system\n__import__('evil'), eval\n"
    )
    code = (
        "import sys; from flowrt import Flow; import flowrt.flow.text, os; before = set(sys.modules); "
        "flow = Flow.from_file('root.flow'); flow.to_text(); "
        "print({name for name in set(sys.modules) - before if not name.startswith('flowrt.')}, len(flow.streams))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("set() 4\n", "")


# --- when it runs


@every_mode
def test_flow_and_operation_may_take_each_others_place(bench: Bench) -> None:
    """B088."""
    text = ".in, work\nwork, .out\n"
    as_flow = "work\n., double\ndouble, increment\nincrement, .\n"
    funcs = {"double": double, "increment": increment}
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text).add_operations(
            bench.operations(funcs={"work": lambda number: number * 2 + 1, **funcs})
        )
        assert runtime.process(".in", 3).values(timeout=SECONDS) == [7]
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text + as_flow).add_operations(bench.operations(funcs=funcs))
        assert runtime.process(".in", 3).values(timeout=SECONDS) == [7]
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text + as_flow)
        runtime.add_operations(bench.operations(funcs={"work": lambda _: "the operation wins", **funcs}))
        assert runtime.process(".in", 3).values(timeout=SECONDS) == ["the operation wins"]


@every_mode
def test_flows_of_one_text_use_each_other_and_themselves(bench: Bench) -> None:
    """B080, B084, B085, B086, B087, B089, B092."""
    text = """
        .in, outer#1.in
        outer#1.out, .out
        .other, A/inner.in
        A/inner.out, .out

        outer
            .in, inner.in       // found in the root: flow names are those of the whole text
            inner.out, count
            count.again, outer.in
            outer.out, .out
            count.done, .out

        inner
            .in, /helper.in
            .in, increment
            increment, .out

        helper
            .in, /.log
    """

    def count(number: int, again: Any, done: Any) -> None:
        (again if number < 3 else done)(number)

    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text)
        runtime.add_operations(bench.operations(funcs={"increment": increment}, actions={"count": count}))

        messages = list(runtime.process(".in", 0).results(timeout=SECONDS))
        others = list(runtime.process(".other", 7).results(timeout=SECONDS))

    assert sorted((message.port.name, message.data) for message in messages) == [
        ("log", 0),
        ("log", 1),
        ("log", 2),
        ("out", 3),
    ]
    assert sorted((message.port.name, message.data) for message in others) == [("log", 7), ("out", 8)]


@every_schedule
def test_instances_of_operations_and_flows_stand_in_a_text(bench: Bench) -> None:
    """B003, B070, B086."""
    text = """
        .left, f#1.in
        f#1.out, .left
        .right, f#2.in
        f#2.out, .right
        f
            .in, double#a
            double#a, double#b
            double#b, .out
    """
    with bench.make_runtime() as runtime:
        runtime.add_streams_from(text).add_operations(bench.operations(funcs={"double": double}))

        for port in ("left", "right"):
            (message,) = runtime.process(f".{port}", 1).results(timeout=SECONDS)
            assert (message.port.name, message.data) == (port, 4)


class Lines(Flow):
    """A flow class: streams and operations that are added as a unit."""

    def __init__(self, name: str = "lines", *, factor: int = 2) -> None:
        super().__init__(name)
        self.add_streams_from(".in, grow\ngrow, next\nnext, .out")
        self.add_operations(
            FlowOperationContainer()
            .add_func("grow", lambda number: number * factor)
            .add_func("next", increment)
        )


@every_schedule
def test_a_flow_class_is_added_as_a_unit(bench: Bench) -> None:
    """B30A."""
    with bench.make_runtime() as runtime:
        runtime.add_flow(Lines()).add_flow(Lines("tens", factor=10))
        runtime.add_streams_from(".in, lines.in\nlines.out, tens.in\ntens.out, .out")

        assert runtime.process(".in", 1).values(timeout=SECONDS) == [31]
    assert format_text(Lines().to_text()) == ".in, grow\ngrow, next\nnext, .out\n"
