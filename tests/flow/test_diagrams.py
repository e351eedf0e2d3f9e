"""Pictures of flows: what they show, that their texts are well formed whatever names are in them, and that nothing overlaps."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import Flow, FlowBuildError, FlowOperationContainer, FlowRuntime, Gather, Operation, Scatter
from flowrt.flow.diagrams import flow_names, picture, to_dot, to_mermaid, to_svg
from flowrt.flow.diagrams.graph import Graph, graph_of
from flowrt.flow.diagrams.labels import shown, width_of, wrapped
from flowrt.flow.diagrams.layout import crossings
from flowrt.flow.diagrams.plan import Level, plan

WRITERS = [to_mermaid, to_dot, to_svg]
SVG = "{http://www.w3.org/2000/svg}"


def flow_of(*streams: str, name: str = "") -> Flow:
    """Make a flow of streams written `a -> b // comment`."""
    flow = Flow(name)
    for stream in streams:
        ends, _, comment = stream.partition(" // ")
        source, _, target = ends.partition(" -> ")
        flow.add_stream(source, target, comment=comment)
    return flow


def word_count() -> Flow:
    operations = (
        FlowOperationContainer()
        .add_func("find_files", str)
        .make_async()
        .add_func("count_words", str)
        .make_parallel(4)
        .add_func("total", str)
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather"))
    )
    return flow_of(
        ".in -> find_files",
        "find_files -> scatter",
        "scatter.stream -> count_words // one per book",
        "scatter.count -> gather.count",
        "count_words -> gather.stream",
        "gather -> total",
        "total -> .out",
    ).add_operations(operations)


def nested() -> Flow:
    lines = flow_of(
        ".in -> split", "split.line -> trim", "split.error -> .error", "trim -> .out", name="lines"
    )
    return flow_of(
        ".in -> lines.in",
        "lines.out -> lines#2.in",
        "lines#2.out -> .out",
        "lines.error -> log",
        "lines#2.error -> log",
    ).add_flow(lines)


def titles(svg: str, kind: str) -> list[str]:
    """Return the titles of what is drawn of a kind: node, port, box, stream."""
    root = ET.fromstring(svg)
    return [each.findtext(f"{SVG}title", "") for each in root.iter() if each.get("class") == f"flowrt-{kind}"]


# --- what a picture shows


def test_a_small_flow_as_mermaid() -> None:
    assert to_mermaid(word_count()) == (
        "flowchart LR\n"
        '  n1((".in"))\n'
        '  n2["● find_files"]\n'
        '  n3[/"scatter"\\]\n'
        '  n4["●● count_words"]\n'
        '  n5[\\"gather"/]\n'
        '  n6["total"]\n'
        '  n7((".out"))\n'
        "  n1 --> n2\n"
        "  n2 --> n3\n"
        '  n3 -->|"stream →<br/>one per book"| n4\n'
        '  n3 -->|"count → count"| n5\n'
        '  n4 -->|"→ stream"| n5\n'
        "  n5 --> n6\n"
        "  n6 --> n7\n"
    )


def test_a_small_flow_as_dot() -> None:
    """B330, B331: a digraph with an edge for each stream, port names at both ends, boxes, and points for the flow's own ports."""
    assert to_dot(word_count()) == (
        'digraph "flow" {\n'
        "  rankdir=LR;\n"
        '  node [shape=box, fontname="Helvetica", fontsize=11];\n'
        '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.7];\n'
        '  n1 [shape=point, width=0.1, xlabel=".in"];\n'
        '  n2 [label="● find_files"];\n'
        '  n3 [label="scatter", shape=trapezium, orientation=90];\n'
        '  n4 [label="●● count_words"];\n'
        '  n5 [label="gather", shape=trapezium, orientation=270];\n'
        '  n6 [label="total"];\n'
        '  n7 [shape=point, width=0.1, xlabel=".out"];\n'
        "  n1 -> n2;\n"
        "  n2 -> n3;\n"
        '  n3 -> n4 [taillabel="stream", label="one per book"];\n'
        '  n3 -> n5 [taillabel="count", headlabel="count"];\n'
        '  n4 -> n5 [headlabel="stream"];\n'
        "  n5 -> n6;\n"
        "  n6 -> n7;\n"
        "}\n"
    )


def test_a_small_flow_as_svg() -> None:
    svg = to_svg(flow_of(".in -> shout", "shout.loud -> .out", name="tiny"))

    assert svg == GOLDEN


def test_every_stream_is_one_edge_with_the_names_of_its_ports_at_both_ends() -> None:
    """B330."""
    flow = flow_of("a -> b", "a.x -> b", "a -> b.y", "a.x -> b.y", "a.x -> b.y")

    edges = [(edge.source_port, edge.target_port) for edge in graph_of(flow).edges]

    assert sorted(edges) == sorted([("", ""), ("x", ""), ("", "y"), ("x", "y"), ("x", "y")])
    assert titles(to_svg(flow), "stream") == ["a → b", "a → b.y", "a.x → b", "a.x → b.y", "a.x → b.y"]
    assert [line.strip() for line in to_mermaid(flow).splitlines() if "-->" in line] == [
        "n1 --> n2",
        'n1 -->|"→ y"| n2',
        'n1 -->|"x →"| n2',
        'n1 -->|"x → y"| n2',
        'n1 -->|"x → y"| n2',
    ]


def test_nodes_are_operations_without_their_ports_and_instances_stay_separate() -> None:
    """B331."""
    flow = flow_of(".in -> join#1.in0", "join#1.out -> join#2.in0", "join#2 -> join", "join -> .in")

    nodes = [(node.kind, node.name) for node in graph_of(flow).nodes.values()]

    assert nodes == [
        ("in", ".in"),
        ("operation", "join#1"),
        ("operation", "join#2"),
        ("operation", "join"),
        ("out", ".in"),
    ]
    assert titles(to_svg(flow), "port") == [".in", ".in"]


def test_names_ignore_case_as_the_runtime_does() -> None:
    """B332: the ancestor's viewer took `Parse` and `parse` for two nodes, and left streams out for the look of their line."""
    flow = flow_of(".IN -> Parse.Text", "PARSE -> .out", "parse -> lines", ".in -> log").add_operations(
        FlowOperationContainer().add_func("parse", str).add_func("log", str)
    )
    flow.add_flow(flow_of(".in -> log", name="Lines"))

    graph = graph_of(flow)

    assert [node.name for node in graph.nodes.values()] == [".IN", "parse", "log", ".out", "Lines"]
    assert len(graph.edges) == 4
    assert graph_of(flow, "LINES").name == "Lines"


def test_flows_are_listed_and_found_by_name() -> None:
    """B333: the ancestor's viewer compared names exactly, and said -1 for one that was not there."""
    flow = nested()
    flow.flows[0].add_flow(flow_of(".in -> .out", name="words").add_flow(flow.flows[0]))

    assert flow_names(flow) == ("lines", "lines/words")
    assert graph_of(flow, "words").name == "words"
    assert graph_of(flow, "/Lines\\WORDS").name == "words"
    with pytest.raises(
        FlowBuildError,
        match=r'^there is no flow "linse" to draw\. Did you mean "lines"\? There are: lines, lines/words\.$',
    ):
        to_dot(flow, "linse")
    with pytest.raises(
        FlowBuildError, match=r'^there is no flow "a" to draw\. There are no flows in it at all\.$'
    ):
        to_svg(flow_of("a -> b"), "a")
    with pytest.raises(FlowBuildError, match=r"^subflow is the name of a flow, such as a/b, got int\.$"):
        picture(flow, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("write", WRITERS)
def test_the_picture_of_a_nested_flow_shows_its_streams_and_no_others(write) -> None:
    """B334."""
    text = write(nested(), "lines")

    assert "split" in text
    assert "log" not in text
    assert len(graph_of(nested(), "lines").edges) == 4
    assert write(nested(), "lines") == write(nested().flows[0])


def test_the_picture_of_a_flow_of_a_text_shows_what_stands_from_its_headline_to_the_next() -> None:
    """B334, B333: also where the text comes back to a headline."""
    flow = Flow.from_text(
        """
        .in, lines.in
        lines
            .in, split    // as it came
            split, .out
        words
            .in, count
        /
            lines.out, words.in
        """
    )

    assert flow_names(flow) == ("lines", "words")
    assert titles(to_svg(flow, "lines"), "stream") == [".in → split // as it came", "split → .out"]
    assert titles(to_svg(flow, "Words"), "stream") == [".in → count"]
    assert titles(to_svg(flow), "stream") == [".in → lines.in", "lines.out → words.in"]


def test_streams_written_with_the_path_of_a_flow_belong_to_its_picture() -> None:
    """B334: the flow of a stream is the one both of its ends lie in, wherever the stream was written."""
    flow = nested().add_stream("lines/trim.rest", "lines/split.again")

    ports = [edge.source_port for edge in graph_of(flow, "lines").edges]
    assert sorted(ports) == ["", "", "error", "line", "rest"]
    assert len(graph_of(flow).edges) == 5


@pytest.mark.parametrize("write", WRITERS)
def test_modes_are_marked_with_dots(write) -> None:
    class Dispatcher:
        def dispatch(self, call):
            call()

    operations = FlowOperationContainer().add_func("a", str).add_func("b", str).make_async()
    operations.add_func("c", str).make_parallel(3)
    flow = flow_of("a -> b", "b -> c").add_operations(operations)

    text = write(flow)

    assert text.count("●") + text.count('r="4"') == 3


def test_the_title_of_a_node_tells_its_mode() -> None:
    assert titles(to_svg(word_count()), "node") == [
        "find_files: async",
        "scatter: sync",
        "count_words: parallel(4)",
        "gather: sync",
        "total: sync",
    ]


@pytest.mark.parametrize(("write", "mark"), [(to_mermaid, "unknown"), (to_dot, "dashed"), (to_svg, "dash")])
def test_what_nobody_registered_is_marked(write, mark) -> None:
    flow = flow_of(".in -> known", "known -> unknwon").add_operations(
        FlowOperationContainer().add_func("known", str)
    )

    assert mark in write(flow)
    assert "unknwon" in write(flow)


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_is_marked_as_unregistered_where_nothing_is_registered(write) -> None:
    assert "dash" not in write(nested())


def test_nested_flows_are_told_from_operations() -> None:
    assert '[["lines"]]' in to_mermaid(nested())
    assert 'label="lines", peripheries=2' in to_dot(nested())
    assert titles(to_svg(nested()), "node") == ["lines: flow", "lines#2: flow", "log: operation"]


def test_nested_flows_can_be_drawn_as_boxes() -> None:
    svg = to_svg(nested(), boxes=True)

    assert titles(svg, "box") == ["lines: flow", "lines#2: flow"]
    assert sorted(titles(svg, "node")) == [
        "log: operation",
        *["split: operation"] * 2,
        *["trim: operation"] * 2,
    ]
    assert len(titles(svg, "stream")) == 5 + 2 * 4
    assert to_mermaid(nested(), boxes=True).count("subgraph") == 2
    assert to_dot(nested(), boxes=True).count("subgraph cluster_") == 2


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("boxes", [False, True])
def test_pictures_of_recursive_flows_end(write, boxes) -> None:
    walk = flow_of(".in -> visit", "visit.again -> walk.in", "walk.out -> .out", "visit -> turn", name="walk")
    turn = flow_of(".in -> walk.in", "walk.out -> .out", name="turn").add_flow(walk)
    flow = flow_of(".in -> walk.in").add_flow(walk.add_flow(walk).add_flow(turn))

    text = write(flow, boxes=boxes)

    assert text.count("visit") == (0 if not boxes else text.count("visit") or 1)
    assert graph_of(flow, "walk/walk/walk").edges


def test_a_stream_into_a_box_past_its_ports_crosses_its_border() -> None:
    flow = nested().add_stream("lines/split.debug", "log.debug").add_stream("log.more", "lines#2/trim.more")
    flow.flows[0].add_stream("trim.late", "/log.late")

    svg = to_svg(flow, boxes=True)

    streams = titles(svg, "stream")
    assert "split.debug → log.debug" in streams
    assert "log.more → trim.more" in streams
    assert streams.count("trim.late → log.late") == 2
    assert len(streams) == 5 + 2 + 2 * 5
    assert [node.name for node in graph_of(flow, "lines").nodes.values() if node.kind == "elsewhere"] == [
        "/log"
    ]
    single = {(edge.source.name, edge.source_port, edge.target.name) for edge in graph_of(flow).edges}
    assert ("lines", "split.debug", "log") in single


@pytest.mark.parametrize("write", WRITERS)
def test_a_flow_without_streams_is_drawn(write) -> None:
    assert write(Flow("empty"))
    assert write(flow_of("empty.x -> .out").add_flow(Flow("empty")), boxes=True)


@pytest.mark.parametrize("write", WRITERS)
def test_a_runtime_is_drawn_as_its_flow(write) -> None:
    with FlowRuntime(word_count()) as runtime:
        assert write(runtime) == write(word_count())


def test_only_flows_are_drawn() -> None:
    with pytest.raises(
        FlowBuildError, match=r"^what is drawn is a Flow, or the FlowRuntime of one, got str\.$"
    ):
        to_mermaid("a -> b")  # type: ignore[arg-type]


def test_drawing_makes_no_state_and_runs_nothing() -> None:
    made: list[str] = []

    class Noticed(Operation):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            made.append("operation")

        def create(self):
            made.append("state")

    flow = flow_of(".in -> a", "a -> a#2").add_operation("a", lambda: Noticed("a"))
    before = list(made)

    for write in WRITERS:
        write(flow, boxes=True)
    picture(flow)._repr_html_()

    assert made == before


# --- size


@pytest.mark.no_cover
@pytest.mark.parametrize("write", [to_mermaid, to_dot])
def test_ten_thousand_operations_are_written(write) -> None:
    flow = flow_of(*(f"op{number} -> op{number + 1}" for number in range(10_000)))

    assert write(flow).count("op9999") == 1


@pytest.mark.no_cover
def test_a_flow_too_large_for_a_picture_is_refused() -> None:
    flow = flow_of(*(f"op{number} -> op{number + 1}" for number in range(2_000)), name="long")
    ladder = flow_of(*(f"op{number} -> op{number + 1}" for number in range(1_900)), name="ladder")
    for number in range(900):
        ladder.add_stream(f"op{number}.far", f"op{1_899 - number}")

    with pytest.raises(FlowBuildError) as caught:
        to_svg(flow)
    with pytest.raises(FlowBuildError, match="streams that pass too many others to be drawn as SVG"):
        to_svg(ladder)

    assert str(caught.value) == (
        'flow "long" has 2001 nodes; at most 2000 are drawn as SVG. Draw one of the flows inside it (subflow=), '
        "or leave it to GraphViz: to_dot(flow) and `dot -Tsvg`."
    )
    assert "at most 2000" in picture(flow)._repr_html_()


def test_mermaid_is_told_of_many_streams() -> None:
    assert "%% 501 streams" in to_mermaid(flow_of(*(f"a.p{number} -> b" for number in range(501))))


# --- notebooks and files


def test_a_picture_shows_itself_and_the_flows_inside_it() -> None:
    html = picture(nested())._repr_html_()

    assert html.count("<svg ") == 2
    assert "<summary>lines</summary>" in html
    assert picture(nested(), boxes=True)._repr_html_().count("<svg ") == 1
    assert picture(nested(), "lines")._repr_svg_() == to_svg(nested(), "lines")


def test_a_flow_shows_itself_in_a_notebook() -> None:
    flow = word_count()

    assert flow._repr_svg_() == to_svg(flow)
    html = flow._repr_html_()
    assert html.count("<svg ") == 1
    assert "<pre" not in html


def test_a_flow_that_is_being_written_shows_what_there_is_of_it() -> None:
    assert "<svg " in Flow()._repr_html_()
    assert "<pre" not in Flow().add_stream(".in", "find")._repr_html_()


def test_below_the_picture_of_a_faulty_flow_stand_its_faults() -> None:
    flow = word_count().add_stream("totl", ".<b>")
    for number in range(20):
        flow.add_stream(f"nothing{number}", ".out")

    html = flow._repr_html_()

    assert flow._repr_svg_() is not None
    assert 'there is no operation or flow "totl". Did you mean "total"?' in html
    assert "21 faults" in html
    assert "and 11 more" in html
    assert "<b>" not in html


def test_of_a_flow_that_cannot_be_drawn_a_notebook_shows_why() -> None:
    inner = flow_of("/.in -> a", name="inner")
    lost = Flow("lost").add_flow(Flow("outer").add_flow(inner)).add_stream(".in", "outer")
    long = flow_of(*(f"n{number} -> n{number + 1}" for number in range(2_000)), name="long")

    for flow, why in ((lost, "is used nowhere"), (long, "at most 2000 are drawn")):
        assert flow._repr_svg_() is None
        assert why in flow._repr_html_()
        assert "<svg" not in flow._repr_html_()


def test_a_flow_that_lies_to_a_notebook_raises_nothing() -> None:
    class Lying(Flow):
        broken = False

        @property
        def streams(self):
            if self.broken:
                raise ZeroDivisionError
            return super().streams

    flow = Lying("odd")
    flow.broken = True

    assert flow._repr_svg_() is None
    assert "it cannot be drawn: ZeroDivisionError" in flow._repr_html_()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("f.svg", "<svg "),
        ("f.mmd", "flowchart LR"),
        ("F.DOT", "digraph"),
        ("f.gv", "digraph"),
        ("f.html", "<!doctype"),
    ],
)
def test_a_picture_is_saved_as_its_suffix_says(tmp_path: Path, name: str, start: str) -> None:
    saved = picture(word_count()).save(tmp_path / name)

    assert saved == tmp_path / name
    assert saved.read_text(encoding="utf-8").startswith(start)


def test_a_picture_is_not_saved_as_what_it_is_not(tmp_path: Path) -> None:
    with pytest.raises(FlowBuildError) as caught:
        picture(word_count()).save(tmp_path / "flow.png")

    assert str(caught.value) == (
        'a picture cannot be saved as "flow.png": the suffix says how it is written. '
        "Use one of .html, .svg, .mmd, .mermaid, .dot, .gv."
    )


def test_many_nested_flows_are_told_of() -> None:
    flow = flow_of("a -> b")
    for number in range(32):
        flow.add_flow(flow_of("a -> b", name=f"f{number}"))

    assert picture(flow)._repr_html_().endswith("<p>and 2 flows more</p>")


# --- whatever the names are

_ODD = st.sampled_from(
    [
        'say "hi"',
        "<script>alert(1)<",
        "<b>",
        "&amp;",
        "end",
        "subgraph",
        "a--b",
        "]]>",
        "--!>",
        "漢字",
        "👩\u200d👧",
        "`x`",
        "%%{init}%%",
        "\\N",
        "$$x$$",
        "'",
        "a;b",
        "{x}",
        "(y)",
        "|p|",
        "x:::y",
        "\u202eevil",
        "e\u0301",
        "graph",
        "javascript:alert(1)",
        "A" * 70,
        "ﷺ",
        "\ue000",
    ]
)
_ANY = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
_names = st.one_of(_ODD, _ANY, st.sampled_from("abcd"))
_comments = st.one_of(st.just(""), _ODD, st.text(max_size=40))


@st.composite
def _ports(draw: st.DrawFn) -> str:
    name = draw(st.one_of(st.just(""), st.just("x"), _names))
    operation = draw(st.one_of(st.sampled_from("abcdefg"), _names, st.just("")))
    return f"{operation}.{name}" if name or not operation else operation


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw a flow with flows inside, themselves included, loops, instances and the oddest names."""
    found = [Flow(), Flow("one"), Flow("two")]
    for _ in range(draw(st.integers(0, 12))):
        flow = draw(st.sampled_from(found))
        prefix = draw(st.sampled_from(["", "", "", "", "one/", "one#2/two/", "/"]))
        instance = draw(st.sampled_from(["", "", "one.", "two#1."]))
        source, target = draw(_ports()), draw(_ports())
        try:
            if draw(st.booleans()):
                flow.add_stream(
                    instance + "x" if instance else source, prefix + target, comment=draw(_comments)
                )
            else:
                flow.add_stream(
                    prefix + source, instance + "y" if instance else target, comment=draw(_comments)
                )
        except FlowBuildError:
            continue  # no name
    found[0].add_flow(found[1])
    draw(st.sampled_from(found)).add_flow(found[2])
    draw(st.sampled_from(found)).add_flow(found[1])
    return found[0]


def drawn_streams(graph: Graph) -> int:
    return len(graph.edges) + sum(drawn_streams(node.inner) for node in graph.nodes.values() if node.inner)


_TEXT = r'"[^"<>&]*"'
_MERMAID = re.compile(
    r"flowchart LR|  direction LR|end"
    rf"|n\d+(\(\({_TEXT}\)\)|\[{_TEXT}\]|\[\[{_TEXT}\]\]|\[[/\\]{_TEXT}[/\\]\]|>{_TEXT}\])|subgraph n\d+\[{_TEXT}\]"
    rf'|n\d+ -->(\|"[^"<>&]*(<br/>[^"<>&]*)?"\|)? n\d+|direction LR'
    r"|classDef unknown stroke-dasharray: 5 4|class n[\dn,]* unknown"
)
_QUOTED = r'"(?:[^"\\]|\\["\\])*"'
_ATTRIBUTES = rf"\[\w+=(\w[\w.]*|{_QUOTED})(, \w+=(\w[\w.]*|{_QUOTED}))*\]"
_DOT = re.compile(
    rf"digraph {_QUOTED} {{|}}|rankdir=LR;|(node|edge|n\d+|n\d+ -> n\d+)( {_ATTRIBUTES})?;|subgraph cluster_n\d+ {{"
    rf"|label={_QUOTED}; fontname={_QUOTED}; fontsize=11; style=rounded;"
)


@settings(max_examples=60, deadline=None)
@given(flows(), st.booleans())
def test_every_picture_is_well_formed_and_holds_every_stream_once(flow: Flow, boxes: bool) -> None:
    try:
        streams = drawn_streams(graph_of(flow, boxes=boxes))
    except FlowBuildError:
        return  # a stream from the root in a flow that is not used, or twice

    mermaid, dot, svg = (write(flow, boxes=boxes) for write in WRITERS)

    for line in mermaid.splitlines():
        assert _MERMAID.fullmatch(line.strip()), line
    for line in dot.splitlines():
        assert _DOT.fullmatch(line.strip()), line
    assert mermaid.count(" -->") == dot.count(" -> ") == len(titles(svg, "stream")) == streams
    for element in ET.fromstring(svg).iter():
        assert element.tag.removeprefix(SVG) in {
            "svg",
            "title",
            "g",
            "path",
            "rect",
            "polygon",
            "circle",
            "text",
        }
        assert not any(name.startswith("on") or name == "href" for name in element.attrib)
    assert [write(flow, boxes=boxes) for write in WRITERS] == [mermaid, dot, svg]
    assert "<script" not in picture(flow, boxes=boxes)._repr_html_()


@settings(max_examples=60, deadline=None)
@given(flows(), st.booleans())
def test_no_two_nodes_overlap_and_every_label_is_inside_the_picture(flow: Flow, boxes: bool) -> None:
    try:
        level = plan(graph_of(flow, boxes=boxes), 10_000)
    except FlowBuildError:
        return

    check_apart(level)
    svg = ET.fromstring(to_svg(flow, boxes=boxes))
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    for text in svg.iter(f"{SVG}text"):
        size, x, y = (float(text.attrib[name]) for name in ("font-size", "x", "y"))
        length = width_of(text.text or "", size)
        left = x - {"end": length, "middle": length / 2}.get(text.get("text-anchor", ""), 0.0)
        assert -0.2 <= left <= left + length <= width + 0.2, text.text
        assert size * 0.8 <= y <= height, text.text


def test_streams_cross_only_where_they_must() -> None:
    crossed = [f"a{number} -> b{5 - number}" for number in range(6)]
    tree = [f"n{number // 3} -> n{number}" for number in range(1, 40)]
    ring = [f"a{number} -> b{number}" for number in range(6)] + [
        f"a{number} -> b{(number + 1) % 6}" for number in range(6)
    ]

    assert [
        crossings(plan(graph_of(flow_of(*streams)), 100).layout.layers) for streams in (crossed, tree)
    ] == [0, 0]
    # A ring of twelve in two layers: one stream leads back past the others, whose ends it crosses.
    assert crossings(plan(graph_of(flow_of(*ring)), 100).layout.layers) <= 7


def test_streams_between_neighbours_in_a_chain_are_straight() -> None:
    flow = flow_of(".in -> a", "a.x -> b.y", "a.far -> c", "b -> c.z", "c -> .out")

    level = plan(graph_of(flow), 100)

    chain = [level.vertices[node] for node in level.nodes if node.name in {".in", "a"}]
    assert len({vertex.y for vertex in chain}) == 1


def check_apart(level: Level) -> None:
    spots = [vertex for layer in level.layout.layers for vertex in layer]
    for one, other in combinations(spots, 2):
        beside = abs(one.x - other.x) + 0.01 >= (one.width + other.width) / 2
        below = abs(one.y - other.y) + 0.01 >= (one.height + other.height) / 2
        assert (beside and one.layer != other.layer) or below
    for inner in level.inner.values():
        check_apart(inner)


@given(st.text(max_size=80), st.integers(8, 30), st.integers(1, 4))
def test_a_text_is_broken_into_lines_that_fit(text: str, most: int, rows: int) -> None:
    lines = wrapped(shown(text), most, rows)

    assert 1 <= len(lines) <= rows
    assert all(len(line) <= most for line in lines)
    if len(shown(text)) <= most:
        assert lines == [shown(text)]


def test_names_are_broken_where_words_end() -> None:
    assert wrapped("read_all_the_files", 12, 3) == ["read_all_", "the_files"]
    assert wrapped("computeTheAverage", 12, 3) == ["computeThe", "Average"]
    assert wrapped("a" * 30, 12, 2) == ["a" * 12, "aaaaaaa…aaaa"]


def test_what_cannot_be_seen_is_written_as_an_escape() -> None:
    assert shown("a\u202eb\x00\n c\ud800") == "a\\u202eb\\x00 c\\ud800"
    assert shown("👩\u200d👧") == "👩\u200d👧"


GOLDEN = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="252.3" height="66.2" viewBox="0 0 252.3 66.2" role="img" font-family="Helvetica, Arial, &quot;Liberation Sans&quot;, sans-serif">\n'  # noqa: E501
    "<title>tiny</title>\n"
    '<g fill="none" stroke="#757575" stroke-width="1.3">\n'
    '<path class="flowrt-stream" d="M41.6 33.1H75.6"><title>.in → shout</title></path>\n'
    '<path class="flowrt-stream" d="M136.1 33.1H204"><title>shout.loud → .out</title></path>\n'
    "</g>\n"
    '<path fill="#757575" d="M68.6 29.6L75.6 33.1L68.6 36.6Z M197 29.6L204 33.1L197 36.6Z"/>\n'
    '<g fill="#757575">\n'
    '<text x="27.6" y="37.1" font-size="11" text-anchor="end">.in</text>\n'
    '<text x="143.1" y="28.1" font-size="10.5" text-anchor="start">loud</text>\n'
    '<text x="218" y="37.1" font-size="11" text-anchor="start">.out</text>\n'
    "</g>\n"
    '<g class="flowrt-port"><title>.in</title><circle cx="36.6" cy="33.1" r="5" fill="#757575"/></g>\n'
    '<g class="flowrt-node"><title>shout: operation</title><rect x="75.6" y="16" width="60.5" height="34.2" rx="4" fill="#e8f0fc" stroke="#3f6fb5"/><text x="105.9" y="37.7" font-size="13" text-anchor="middle" fill="#1b2330">shout</text></g>\n'  # noqa: E501
    '<g class="flowrt-port"><title>.out</title><circle cx="209" cy="33.1" r="5" fill="#757575"/></g>\n'
    "</svg>\n"
)
