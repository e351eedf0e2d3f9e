"""Flow text that is written: `to_text` says what the flow is, `format_text` says what the text said."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

import flowrt.flow.sites
from flowrt import Flow, FlowBuildError, FlowOperationContainer, FlowRuntime
from flowrt.flow.definition import define_flow
from flowrt.flow.sites import FlowSite
from flowrt.flow.text import ALIGNED, BYTES_LIMIT, LINES_LIMIT, format_text
from tests.kit.flows import Bench, every_schedule, flow_of, results_of, text_of
from tests.kit.functions import SECONDS, double, increment
from tests.kit.strategies import Calls, Graph, graphs, outcome


def text_after(text: str) -> str:
    return Flow.from_text(text).to_text()


def test_a_flow_is_written_in_the_normal_layout() -> None:
    text = """
        // What the whole does.

        .in,find   // a folder
        find, scatter // more, or none  # flowrt: ignore[F201, F202]
        scatter . stream, count words,
        scatter.count, total.count*   //


        // The last step:
        total, /.out //// odd
        // reads and counts
        // one file
        Count Words //   on threads
          .,  read
        \tread,//glued
    """.replace(",//glued", ", .")
    normal = """\
// What the whole does.

.in, find      // a folder
find, scatter  // more, or none  # flowrt: ignore[F201, F202]
scatter.stream, count words
scatter.count, total.count

// The last step:
total, /.out  //// odd

// reads and counts
// one file
Count Words  // on threads
    ., read
    read, .
"""

    assert format_text(text) == normal
    assert text_after(text) == normal


def test_what_stood_on_one_line_stays_on_one() -> None:
    text = ".in,a , b.x,.out,   // why\na, c // flowrt: ignore[F201]\n  c,d , c // on"
    normal = (
        ".in, a, b.x, .out  // why\na, c               // flowrt: ignore[F201]\nc, d, c            // on\n"
    )

    assert format_text(text) == normal
    assert text_after(text) == normal


def test_what_was_added_stream_by_stream_is_written_stream_by_stream() -> None:
    flow = Flow.from_text("a, b").add_streams_from("   b, c").add_chain("c", "d", "e")

    assert flow.to_text() == "a, b\n\nb, c\nc, d\nd, e\n"


def test_streams_of_two_texts_at_one_place_are_not_taken_for_a_line() -> None:
    flow = Flow().add_streams_from("a, b").add_streams_from("   c, d")

    assert flow.to_text() == "a, b\n\nc, d\n"


@pytest.mark.no_cover
def test_streams_of_several_texts_that_come_to_more_than_a_text_may_have_are_not_written() -> None:
    flow = Flow().add_streams_from(", ".join(["a"] * (LINES_LIMIT + 1))).add_streams_from("a, b")

    with pytest.raises(FlowBuildError, match="more than 10,000 streams"):
        flow.to_text()


def test_a_long_line_draws_out_no_other() -> None:
    long = "x" * ALIGNED

    assert format_text(f"a, {long} // one\na, b // two\ncc, dd // three") == (
        f"a, {long}  // one\na, b    // two\ncc, dd  // three\n"
    )


def test_formatting_leaves_sections_where_they_are_and_writing_puts_them_together() -> None:
    text = (
        "f // the first\na, b\n// back to the root\n/ // again\nc, d\n// more of it\nF // the second\ne, g\n"
    )

    assert format_text(text) == (
        "f  // the first\n    a, b\n\n// back to the root\n/  // again\n    c, d\n\n// more of it\nF  // the second\n    e, g\n"
    )
    assert text_after(text) == (
        "// back to the root\n// again\nc, d\n\nf  // the first\n    a, b\n\n    // more of it\n    // the second\n    e, g\n"
    )


def test_what_is_added_later_is_written_behind() -> None:
    flow = Flow.from_text("// top\na, b // one\n\n// middle\nb, c\n// end\n").add_stream(
        "c", "d", comment="in Python"
    )
    flow.add_streams_from("// more\nd, e")

    assert flow.to_text() == (
        "// top\na, b  // one\n\n// middle\nb, c\n// end\nc, d  // in Python\n\n// more\nd, e\n"
    )


def test_a_running_flow_can_be_written_too() -> None:
    flow = Flow.from_text("// top\n.in, .out // through\nf // below\n.in, .out")
    with FlowRuntime(flow) as runtime:
        runtime.add_streams_from("f\n.in, .copy")
        runtime.process(".in", 1).wait(SECONDS)

        assert flow.to_text() == "// top\n.in, .out  // through\n\nf  // below\n    .in, .out\n"


def test_a_change_that_is_taken_back_takes_its_comments_along() -> None:
    text = "// top\na, b  // one\n"
    flow = Flow.from_text(text)
    contents = flow.contents()

    flow.add_streams_from("// more\nb, c\nf // new\na, b").reset(contents)

    assert flow.to_text() == text


@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff"])
def test_an_empty_text_stays_empty(text: str) -> None:
    assert format_text(text) == text_after(text) == ""


def test_a_text_of_comments_keeps_them() -> None:
    text = "// one\n//\n\n// two\n"

    assert format_text(text) == text_after(text) == text


def test_formatting_a_faulty_text_says_what_is_wrong() -> None:
    with pytest.raises(FlowBuildError) as caught:
        format_text("a,\n,b", "x.flow")

    assert caught.value.places == ("x.flow:1:2", "x.flow:2:1")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("f\n" * LINES_LIMIT, "10,000 lines when it is written"),
        ("f\n" + "a,b\n" * 2 + "// " + "x" * (BYTES_LIMIT - 16), "1,048,576 bytes (1 MiB)"),
    ],
    ids=["lines", "bytes"],
)
def test_a_text_that_would_be_too_large_is_not_written(text: str, size: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        format_text(text, "x.flow")

    assert str(caught.value) == (
        f"x.flow: the flow text has more than {size}, which is the limit. Write several texts: add_streams_from() adds them up."
    )


# --- flows made in Python


@every_schedule
def test_flows_in_flows_are_written_side_by_side(bench: Bench) -> None:
    """B033, B080."""
    inner = flow_of("inner", ".in -> double -> .out")
    middle = flow_of("middle", ".in -> inner.in", "inner.out -> .out", flows=[inner])
    flow = flow_of("", ".in -> outer.in", "outer.out -> .out")
    flow.add_flow(
        flow_of(
            "outer",
            ".in -> middle#1.in",
            "middle#1.out -> inner.in",
            "inner.out -> .out",
            flows=[middle, inner],
        )
    )
    flow.flows[0].comment = "twice"

    text = flow.to_text()

    assert text == (
        ".in, outer.in\nouter.out, .out\n\n"
        "outer  // twice\n    .in, middle#1.in\n    middle#1.out, inner.in\n    inner.out, .out\n\n"
        "middle\n    .in, inner.in\n    inner.out, .out\n\n"
        "inner\n    .in, double\n    double, .out\n"
    )
    for each in (flow, Flow.from_text(text)):
        with bench.make_runtime(each) as runtime:
            runtime.add_operations(bench.operations(funcs={"double": double}))
            assert runtime.process(".in", 1).values(timeout=SECONDS) == [4]


def test_a_flow_that_contains_itself_is_written_below_a_root() -> None:
    loop = flow_of("loop", ".in -> a -> loop.in", "loop.out -> .out")
    loop.add_flow(loop)

    assert flow_of("", ".in -> loop.in", flows=[loop]).to_text() == (
        ".in, loop.in\n\nloop\n    .in, a\n    a, loop.in\n    loop.out, .out\n"
    )
    with pytest.raises(FlowBuildError) as caught:
        loop.to_text()
    assert text_of(caught.value) == (
        'flow "loop", made at HERE, cannot be written as flow text: it holds itself. Add it to a root flow without a name, and write that.'
    )


def test_what_is_said_of_the_root_flow_stands_on_a_line_of_its_own() -> None:
    flow = flow_of("", "a -> b", flows=[flow_of("f")])
    flow.comment = "the\nwhole"
    text = "// the whole\n\na, b\n\nf\n"

    assert flow.to_text() == text
    assert text_after(text) == text


def refused(flow: Flow) -> list[str]:
    with pytest.raises(FlowBuildError) as caught:
        flow.to_text()
    assert all(place in fault for fault, place in zip(caught.value.faults, caught.value.places, strict=True))
    return [text_of(FlowBuildError(fault)) for fault in caught.value.faults]


UNWRITABLE = 'flow "inner", made at HERE, cannot be written as flow text: it'


def test_two_flows_of_one_name_cannot_be_written() -> None:
    one = flow_of("one", "inner -> a", flows=[flow_of("inner", ".in -> a")])
    two = flow_of("two", "inner -> a", flows=[flow_of("inner", ".in -> b")])
    twin = flow_of("two", "inner -> a", flows=[flow_of("INNER", ".in -> a")])

    assert refused(flow_of("", flows=[one, two])) == [
        f"{UNWRITABLE} is not the one made at HERE, and in a text a name is one flow. Give one of them another name."
    ]
    assert flow_of("", flows=[one, twin]).to_text().count("inner\n    .in, a\n") == 1
    assert len(refused(flow_of("", "one/inner/a -> one/inner/b", flows=[one, twin]))) == 1


@pytest.mark.parametrize("also_in_the_root", [True, False])
def test_a_flow_that_an_operation_would_hide_cannot_be_written(also_in_the_root: bool) -> None:
    inner = flow_of("inner", ". -> a")
    outer = flow_of("outer", ".in -> inner", flows=[inner])
    operations = FlowOperationContainer().add_func("Inner", increment)
    flow = flow_of(
        "", ".in -> outer.in", flows=[outer, inner] if also_in_the_root else [outer], operations=operations
    )

    assert refused(flow) == [
        f"{UNWRITABLE} has the name of an operation of the root flow, which would win. Give it another name."
    ]


def test_a_flow_that_others_would_see_cannot_be_written() -> None:
    outer = flow_of("outer", ".in -> inner", flows=[flow_of("inner", ". -> a")])

    assert refused(flow_of("", ".in -> outer.in", ".in -> inner/a", flows=[outer])) == [
        f'{UNWRITABLE} is not seen by stream ".in -> inner/a" at HERE, which has its name, and would be. Give it another name.'
    ]
    assert flow_of("", ".in -> outer/inner/a", flows=[outer]).to_text()


def test_a_flow_that_would_start_to_be_used_in_the_root_cannot_be_written() -> None:
    outer = flow_of("outer", ".in -> inner", flows=[flow_of("inner", "/.in -> a")])

    assert refused(flow_of("", ".in -> outer.in", flows=[outer])) == [
        f'{UNWRITABLE} is not used in the root flow itself, and would be by stream "/.in -> a" at HERE. Add it to the root flow.'
    ]


def test_a_flow_of_the_name_of_the_root_cannot_be_written() -> None:
    assert refused(flow_of("inner", flows=[flow_of("inner", ". -> a")])) == [
        f"{UNWRITABLE} holds another flow of its own name. Add it to a root flow without a name, and write that."
    ]


def test_names_that_would_not_be_read_as_they_are_cannot_be_written() -> None:
    flow = (
        Flow()
        .add_stream("a", "b.x,y")
        .add_stream("a", "b", comment="# flowrt: ignore[A]")
        .add_stream("a", "b", ignore=["a b"])
    )
    flow.add_flow(flow_of("a -> b"))
    why = (
        'cannot be written as flow text: it would not be read as what it is. Leave commas out of its names, and "flowrt: ignore" out of '
        "its comment."
    )

    assert refused(flow) == [
        f'stream "a -> b.x,y" at HERE {why}',
        f'stream "a -> b" at HERE {why}',
        f'stream "a -> b" at HERE {why}',
        (
            'flow "a -> b", made at HERE, cannot be written as flow text: it would not be read as a headline. '
            'Leave commas and arrows out of its name, and "flowrt: ignore" out of its comment.'
        ),
    ]


@given(graphs(), st.lists(st.integers(0, 20), max_size=5))
def test_a_graph_does_as_text_what_it_must_do(graph: Graph, numbers: list[int]) -> None:
    calls: Calls = []
    expected = outcome(graph, numbers)
    runtime = FlowRuntime(schedule="sync", parallelism=False)
    graph.build(runtime, calls, as_text=True)
    run = runtime.process_many(".in", numbers)

    assert Counter(message.data for message in results_of(run)) == expected.results
    assert Counter(calls) == expected.calls
    assert run.ledger.balanced
    with contextlib.suppress(BaseException):  # the failures that are expected
        runtime.close()


# --- whatever is given

texts = (
    st.lists(
        st.sampled_from(
            [
                *"ab,. \n\n/#*\\\t",
                "//",
                " //",
                "\r\n",
                "\n/\n",
                "\nf\n",
                "F // c\n",
                "a, b",
                ".in, f",
                "// flowrt: ignore[A]",
                "\x00",
                "\u2028",
                "ß",
                "\ufeff",
                "->",
                "f/a.x",
            ]
        ),
        max_size=40,
    ).map("".join)
    | st.text()
)
lines = st.sampled_from(
    [
        ".in, a",
        " a.x,f.in ,",
        "f . out, .out// x",
        "f/a, f/b",
        "/a, ./",
        "",
        "",
        "f",
        "G",
        "/",
        "f // c",
        "// whole",
        "a, b // c",
        "a, b /// c // d",
        "bb, c // flowrt: ignore[A,B]",
        "//",
        "\ta#1 , b #2\\c*",
        ".in,a , b.x,.out,  // c",
        "/a,b,f/c // flowrt: ignore[A]",
    ]
)


@given(texts)
@example("a, b // flowrt: flowrt: ignore[A] ignore[B]")
@example("a, b // flowrt: ignore#flowrt: ignore[A]")
@example("//\x0b//\nf")
def test_any_text_is_read_or_refused_with_places(text: str) -> None:
    """B034."""
    try:
        flow = Flow.from_text(text, source="x")
    except FlowBuildError as error:
        assert all(
            fault.startswith(f"{place}: ") for fault, place in zip(error.faults, error.places, strict=True)
        )
        assert all(place.startswith("x:") for place in error.places)
        str(error).encode()
    else:
        assert_kept(text, flow)


@given(st.lists(lines, max_size=12).map("\n".join))
def test_a_text_of_whole_lines_is_kept_when_it_is_written(text: str) -> None:
    try:
        flow = Flow.from_text(text)
    except FlowBuildError:
        return
    assert_kept(text, flow)


def assert_kept(text: str, flow: Flow) -> None:
    normal, whole = format_text(text), flow.to_text()

    assert format_text(normal) == normal
    assert text_after(normal) == whole
    assert text_after(whole) == whole
    assert format_text(whole) == whole
    assert content(Flow.from_text(normal)) == content(Flow.from_text(whole)) == content(flow)
    comments = sorted(comment.strip() for comment in comments_of(text))
    assert sorted(comments_of(normal)) == sorted(comments_of(whole)) == comments


def comments_of(text: str) -> list[str]:
    """Every comment, found another way than the module does; marks and empty ones aside."""
    found = []
    for line in text.removeprefix("\ufeff").replace("\r", "\n").split("\n"):
        starts = [
            i for i in range(len(line)) if line.startswith("//", i) and (i == 0 or line[i - 1].isspace())
        ]
        comment = line[starts[0] + 2 :].replace("\t", " ").strip() if starts else ""
        if comment and "flowrt:" not in comment:
            found.append(comment)
    return found


def content(flow: Flow) -> dict[str, Any]:
    """What the streams of a flow and its flows say; flows are known by their names."""
    flows = [flow]
    for each in flows:
        flows += [nested for nested in each.flows if nested not in flows]
    return {
        each.name.casefold(): [
            (str(stream.source), str(stream.target), stream.comment, stream.ignore) for stream in each.streams
        ]
        for each in flows
    }


# Flows in flows, of few names and ports, so that they meet.
ports = st.sampled_from(
    [
        ".in",
        ".out",
        ".",
        "a",
        "a.x",
        "b#1",
        "f",
        "f.out",
        "f#1.in",
        "g.in",
        "G",
        "h",
        "h.out",
        "/a",
        "/.in",
        "/f.in",
        "f/a",
        "f/.in",
        "g/h/a",
        "h/a",
        "h/.out",
        "/g/a",
        "x/h/a",
        "x/y/b",
    ]
)
comments = st.sampled_from(["", "", "why"])
codes = st.sampled_from([(), (), ("A1",), ("A1", "B2")])
streams = st.lists(st.tuples(ports, ports, comments, codes), min_size=2, max_size=8)


@st.composite
def nests(draw: st.DrawFn) -> Flow:
    """Draw a flow with flows in it, each in one that came before and at times in others and in itself.

    Operations "a" and "b", at times "h", are known in the root.
    """
    names = draw(st.sampled_from(["", "f", "fg", "gh", "fgh", "fgh", "fgh", "fhH"]))
    flows = [Flow(), *map(Flow, names)]
    for index, flow in enumerate(flows):
        for source, target, comment, ignore in draw(streams):
            flow.add_stream(source, target, comment=comment, ignore=ignore)
        holders = [flows[draw(st.integers(0, index - 1))]] if index else []
        holders += draw(st.lists(st.sampled_from(flows), max_size=2)) if draw(st.booleans()) else []
        for holder in holders:
            with contextlib.suppress(FlowBuildError):  # two of one name in one flow, or one without a name
                holder.add_flow(flow)
    known = ["a", "b", *draw(st.sampled_from([[], [], ["h"]]))]
    return flows[0].add_operations(operations(known))


def operations(names: list[str]) -> FlowOperationContainer:
    container = FlowOperationContainer()
    for name in names:
        container.add_func(name, increment)
    return container


@given(nests())
def test_any_flow_is_written_as_what_it_is_or_refused(flow: Flow) -> None:
    try:
        text = flow.to_text()
    except FlowBuildError as error:
        assert all(error.places)
        return
    note(text)
    again = Flow.from_text(text)

    assert content(again) == content(flow)
    assert again.to_text() == text
    again.add_operations(operations([operation.name for operation in flow.operations]))
    assert ways(again) == ways(flow)


@pytest.fixture(scope="module", autouse=True)
def _shallow() -> Iterator[None]:
    """A recursion without an end ends soon: what is drawn holds many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flowrt.flow.sites, "NESTING_LIMIT", 8)
        yield


def ways(flow: Flow) -> list[Any]:
    """Where messages would go, as far as some places: for each port of the flow and of the places that are reached, its targets."""
    root = FlowSite(define_flow(flow, []))
    found: list[Any] = []
    pending = [(root, ("", "", name)) for name in ("in", "", "out")]
    pending += [root.source(stream.source) for stream in flow.streams]
    for flow_place, source in islice(pending, 60):
        try:
            targets = flow_place.targets(source)
        except FlowBuildError as error:
            found.append((flow_place.path.casefold(), source, str(error)))
            continue
        for target in targets:
            found.append((flow_place.path.casefold(), source, str(target.port).casefold(), target.dead))
            if target.place is not None:
                pending += [(target.place.flow, target.place.source(name)) for name in ("", "x")]
    return found


def test_flows_nested_deep_are_written_in_few_passes() -> None:
    depth = 300
    flow = flow_of("f0", ".in -> a -> .out")
    for number in range(1, depth):
        flow = flow_of(f"f{number}", f".in -> f{number - 1}.in", f"f{number - 1}.out -> .out", flows=[flow])
    seen: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda _, event, found: seen.append(found.__name__) if event == "c_call" else None)
    try:
        text = flow.to_text()
    finally:
        sys.setprofile(before)

    assert seen.count("intersection") <= 3 * depth
    assert Flow.from_text(text, flow.name).to_text() == text
