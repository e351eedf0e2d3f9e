"""The grammar of names: what it reads, what it refuses, and that it takes no more time than the name is long."""

import copy
import pickle

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowrt.errors import FlowBuildError
from flowrt.ports import NAME_REMEMBERED, PORTS_REMEMBERED, Port, Stream

GRAMMAR = "/.#*\\ ab\tßS\n\x00"  # what the grammar knows, and a little of what it does not


def parts(port: Port) -> tuple[str, str, str, str]:
    return port.path, port.operation, port.instance, port.name


def error_of(text: object) -> str:
    with pytest.raises(FlowBuildError) as caught:
        Port.parse(text)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected", "fullname"),
    [
        ("count", ("", "count", "", ""), "count"),
        ("count.stream", ("", "count", "", "stream"), "count.stream"),
        ("count#1", ("", "count", "1", ""), "count#1"),
        ("count#1.stream", ("", "count", "1", "stream"), "count#1.stream"),
        ("f/count#1.stream", ("f", "count", "1", "stream"), "f/count#1.stream"),
        ("f/g/count.stream", ("f/g", "count", "", "stream"), "f/g/count.stream"),
        ("f#1/count.stream", ("f#1", "count", "", "stream"), "f#1/count.stream"),
        (".in", ("", "", "", "in"), ".in"),
        ("f/.in", ("f", "", "", "in"), "f/.in"),
        ("f/", ("f", "", "", ""), "f/"),
        ("f/.", ("f", "", "", ""), "f/"),
        (".", ("", "", "", ""), "."),
        ("count.", ("", "count", "", ""), "count"),
        ("/count", ("/", "count", "", ""), "/count"),
        ("/f/count", ("/f", "count", "", ""), "/f/count"),
        ("/.in", ("/", "", "", "in"), "/.in"),
        ("/.", ("/", "", "", ""), "/."),
        ("/f/", ("/f", "", "", ""), "/f/"),
    ],
)
def test_a_name_is_read_part_by_part(text: str, expected: tuple[str, str, str, str], fullname: str) -> None:
    """B001, B002, B004."""
    port = Port.parse(text)

    assert parts(port) == expected
    assert port.fullname == fullname


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.c", ("", "a.b", "", "c")),
        ("f.g/a", ("f.g", "a", "", "")),
        ("f.g/a.b.c", ("f.g", "a.b", "", "c")),
        ("a.b.", ("", "a.b", "", "")),
        ("a..c", ("", "a.", "", "c")),
    ],
)
def test_the_last_dot_behind_the_last_slash_starts_the_port(
    text: str, expected: tuple[str, str, str, str]
) -> None:
    """B008."""
    assert parts(Port.parse(text)) == expected


def test_the_first_number_sign_starts_the_instance() -> None:
    """B003."""
    assert parts(Port.parse("op#1#2.q")) == ("", "op", "1#2", "q")
    assert parts(Port.parse("a.b#1.5.q")) == ("", "a.b", "1.5", "q")
    assert Port.parse("f#1#2/a").segments == (("f", "1#2"),)


def test_an_unnamed_port_keeps_its_dot_where_the_name_would_read_otherwise_without_it() -> None:
    assert Port.parse("a.b.").fullname == "a.b."
    assert Port.parse("a#1.5.").fullname == "a#1.5."
    assert Port.parse("a.").fullname == "a"


def test_blanks_around_parts_are_trimmed_and_blanks_inside_names_stay() -> None:
    """B007."""
    port = Port.parse("  my flow # 1 / Alarm switched  on # 2 . at night\t")

    assert parts(port) == ("my flow#1", "Alarm switched  on", "2", "at night")
    assert port.fullname == "my flow#1/Alarm switched  on#2.at night"


def test_asterisks_are_removed_wherever_they_stand() -> None:
    """B005."""
    assert Port.parse("*f*/co**unt#*1.str*eam**").fullname == "f/count#1.stream"


def test_backslashes_read_as_slashes() -> None:
    """B005."""
    assert Port.parse(r"\f\g/count.stream").fullname == "/f/g/count.stream"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Count.Stream", "cOUNT.sTREAM"),
        ("F#A/count#B.c", "f#a/COUNT#b.C"),
        ("straße.in", "STRASSE.IN"),
        ("İ", "i̇"),  # casefold, not the locale: Turkish is no special case
        ("/a", "a"),
        ("/f/a.b", "F/A.B"),
        ("/.in", ".in"),
        (" a . b ", "a.b"),
        (r"f\a*", "f/a"),
        ("a.", "a"),
        ("f/.", "f/"),
    ],
)
def test_ports_of_one_name_are_equal_however_it_is_spelt(one: str, other: str) -> None:
    """B007, B043 (QUIRK: there by the culture of the thread)."""
    assert Port.parse(one) == Port.parse(other)
    assert hash(Port.parse(one)) == hash(Port.parse(other))
    assert Port.parse(one).key == Port.parse(other).key
    assert len({Port.parse(one), Port.parse(other)}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", ".a"), ("a", "a#1"), ("a.b", "a.c"), ("f/a", "a"), ("f#1/a", "f/a"), ("f/.a", "f/a"), ("i", "ı")],
)
def test_ports_of_different_names_differ(one: str, other: str) -> None:
    assert Port.parse(one) != Port.parse(other)


def test_a_port_is_no_string() -> None:
    port: object = Port.parse("a")

    assert port != "a"


def test_a_port_keeps_the_spelling_it_was_given() -> None:
    """B007."""
    assert str(Port.parse("Count.Stream")) == "Count.Stream"
    assert str(Port.parse("COUNT.stream")) == "COUNT.stream"
    assert str(Port.parse("/Count")) == "/Count"


def test_a_leading_slash_makes_a_port_rooted() -> None:
    """B006."""
    assert [Port.parse(text).is_rooted for text in ("/a", "/f/a", "/.in", r"\a", " * /a")] == [True] * 5
    assert [Port.parse(text).is_rooted for text in ("a", "f/a", ".in", "f/")] == [False] * 4


def test_only_a_port_with_the_name_of_an_operation_has_one() -> None:
    """B004."""
    assert [Port.parse(text).has_operation for text in ("a", "a.b", "f/a", "/a#1")] == [True] * 4
    assert [Port.parse(text).has_operation for text in (".in", ".", "f/", "f/.in", "/.")] == [False] * 5


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a", ()),
        ("/a", ()),
        (".in", ()),
        ("f/a", (("f", ""),)),
        ("/f/a", (("f", ""),)),
        ("f # 1 / g / a", (("f", "1"), ("g", ""))),
        ("f/", (("f", ""),)),
    ],
)
def test_segments_are_the_flows_of_the_path_with_their_instances(
    text: str, segments: tuple[tuple[str, str], ...]
) -> None:
    assert Port.parse(text).segments == segments


def test_a_port_shows_itself_as_what_makes_it() -> None:
    assert repr(Port.parse("f/a#1.x")) == "Port.parse('f/a#1.x')"
    assert eval(repr(Port.parse("/F/a"))) == Port.parse("/f/A")


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\t\n", "*", " ** "])
def test_an_empty_name_is_refused(text: str) -> None:
    """B008."""
    shown = text.replace("\t", r"\t").replace("\n", r"\n")

    assert error_of(text) == (
        f'"{shown}" names no port. '
        'Write an operation ("parse"), a port of one ("parse.text") or a port of the flow (".in").'
    )


@pytest.mark.parametrize("text", ["/", " / ", "*/", "\\"])
def test_a_lone_slash_is_refused(text: str) -> None:
    """B008."""
    assert error_of(text) == (
        f'"{text}" names no port, nor a flow. '
        'Write "/parse" for an operation of the root flow, "/.in" for one of its ports.'
    )


@pytest.mark.parametrize("text", ["a//b", "//a", "//", "a/ /b", "/ /a", "a/*/b", "a//", " //.in", "f\\\\a"])
def test_an_empty_name_in_a_path_is_refused(text: str) -> None:
    """B008."""
    assert error_of(text) == (
        f'"{text}" has an empty name in its path. '
        'Write one "/" between two names, and none in front but to start from the root flow.'
    )


@pytest.mark.parametrize(
    ("text", "dots"),
    [
        ("./a", "."),
        ("../a", ".."),
        ("/../a", ".."),
        ("f/./a", "."),
        ("f/../g/a.x", ".."),
        (" .. /a", ".."),
        ("..#1/a", ".."),
        ("..", "."),
        ("...", ".."),
        ("f/..", "."),
        ("..x", "."),
        (".#1.x", "."),
    ],
)
def test_dots_in_the_place_of_a_name_are_refused(text: str, dots: str) -> None:
    """B008."""
    assert error_of(text) == (
        f'"{text}" has "{dots}" where a name belongs: names are no file names, "." and ".." lead nowhere. '
        'Write the name of the flow, or "/" in front to start from the root flow.'
    )


@pytest.mark.parametrize(
    ("text", "instance"), [("#1.x", "1"), ("#1", "1"), ("f/#1.x", "1"), ("#a/b", "a"), (" # 1#2 ", "1#2")]
)
def test_an_instance_of_nothing_is_refused(text: str, instance: str) -> None:
    """B008."""
    assert error_of(text) == (
        f'"{text}" has the instance "#{instance}" of nothing. Write the name before it: "parse#{instance}".'
    )


@pytest.mark.parametrize("text", ["a#", "a#.x", "f#/a", "f# /a.x", "#", "#/a"])
def test_an_empty_instance_is_refused(text: str) -> None:
    assert error_of(text) == (
        f'"{text}" has a "#" without an instance behind it. '
        'Write the instance ("parse#1") or leave out the "#".'
    )


@pytest.mark.parametrize(
    ("text", "shown", "code", "number"),
    [
        ("a\x00b", r"a\x00b", "U+0000", 2),
        ("a\nb", r"a\nb", "U+000A", 2),
        ("a\tb.c", r"a\tb.c", "U+0009", 2),
        ("a\x7f", r"a\x7f", "U+007F", 2),
        ("f\x85g/a", r"f\x85g/a", "U+0085", 2),
        ("a#\x1b1", r"a#\x1b1", "U+001B", 3),
        ("a.b\u2028c", r"a.b\u2028c", "U+2028", 4),
        ("f#1\x07/a", r"f#1\x07/a", "U+0007", 4),
        ("\ud800", r"\ud800", "U+D800", 1),
        ("\u200e\x00", r"\u200e\x00", "U+0000", 2),
    ],
)
def test_control_characters_inside_names_are_refused(text: str, shown: str, code: str, number: int) -> None:
    assert error_of(text) == (
        f'"{shown}" has the control character {code} in it, as character {number}. '
        "Leave it out: names are shown in errors and written to flow files."
    )


def test_letters_and_signs_of_any_script_are_legal() -> None:
    for name in ("größe", "数える", "می‌خواهم", "👩‍🔬", "a\u00a0b", "a,b", "->", "x:y", "€ 5"):
        assert Port.parse(name).operation == name


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "NoneType"), (5, "int"), (b"a", "bytes"), (["a"], "list"), ({}, "dict")]
)
def test_what_is_no_name_is_refused_by_its_type(value: object, kind: str) -> None:
    assert error_of(value) == (
        f"a port is named by a str or a Port, not by a value of type {kind}. "
        'Write its name, such as "parse.text".'
    )


def test_an_error_repeats_no_more_than_the_start_of_a_long_name() -> None:
    assert error_of("a//" + "x" * 10_000) == (
        f'"a//{"x" * 197}…" has an empty name in its path. '
        'Write one "/" between two names, and none in front but to start from the root flow.'
    )


# --- made of parts --------------------------------------------------------------------------------


def test_a_port_made_of_parts_equals_the_one_made_of_its_name() -> None:
    port = Port(path="/f#1/g", operation="a", instance="2", name="x")

    assert port == Port.parse("f#1/g/a#2.x")
    assert port.fullname == "/f#1/g/a#2.x"
    assert attrs.evolve(port, path="h").fullname == "h/a#2.x"
    assert Port() == Port.parse(".")


@pytest.mark.parametrize(
    ("given_parts", "shown"),
    [
        ({"operation": "a/b"}, "a/b"),
        ({"operation": "a#1"}, "a#1"),
        ({"name": "a.b"}, ".a.b"),
        ({"operation": " a"}, " a"),
        ({"operation": "a*"}, "a*"),
    ],
)
def test_parts_that_would_read_otherwise_are_refused(given_parts: dict[str, str], shown: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        Port(**given_parts)

    assert str(caught.value) == (
        f'the parts of a port make up "{shown}", which reads as another port\'s name. '
        'Leave "/", "#", ".", "*" and blanks around them out of the parts, or give the name to Port.parse().'
    )


@pytest.mark.parametrize(
    ("given_parts", "name"),
    [
        ({"path": "f#", "name": "x"}, "f#/.x"),
        ({"path": "f/", "operation": "a"}, "f//a"),
        ({"operation": ".."}, "..."),
    ],
)
def test_parts_that_make_up_no_name_are_refused_as_that_name_is(
    given_parts: dict[str, str], name: str
) -> None:
    with pytest.raises(FlowBuildError) as caught:
        Port(**given_parts)

    assert str(caught.value) == error_of(name)


def test_a_part_that_is_no_text_is_refused_by_its_type() -> None:
    with pytest.raises(FlowBuildError) as caught:
        Port(operation=5)  # type: ignore[arg-type]

    assert str(caught.value) == (
        "a part of a port must be a str, not of type int. Use Port.parse() for whole names."
    )


def test_a_port_is_never_made_of_a_whole_name_by_accident() -> None:
    with pytest.raises(TypeError):
        Port("count.stream")  # type: ignore[call-arg]


def test_a_port_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Port.parse("a").name = "b"  # type: ignore[misc]


def test_a_port_survives_copying_and_pickling() -> None:
    port = Port.parse("/F#1/a b#2.x")

    for twin in (copy.copy(port), copy.deepcopy(port), pickle.loads(pickle.dumps(port))):
        assert twin == port
        assert hash(twin) == hash(port)
        assert str(twin) == str(port)


# --- parsed once ----------------------------------------------------------------------------------


def test_a_name_is_parsed_once() -> None:
    assert Port.parse("parsed/once#1.x") is Port.parse("parsed/once#1.x")


def test_a_port_parses_to_itself() -> None:
    port = Port.parse("a.b")

    assert Port.parse(port) is port


def test_no_more_names_are_remembered_than_the_bound_says() -> None:
    first = Port.parse("remembered")

    for number in range(PORTS_REMEMBERED):
        Port.parse(f"forgetful{number}")

    assert Port.parse("remembered") is not first
    assert Port.parse("remembered") == first


def test_a_long_name_is_not_remembered() -> None:
    name = "x" * NAME_REMEMBERED + "y"

    assert Port.parse(name) == Port.parse(name)
    assert Port.parse(name) is not Port.parse(name)
    assert Port.parse(name).fullname == name


def test_a_refused_name_is_refused_again() -> None:
    assert error_of("a//b") == error_of("a//b")


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["/", ".", "#", "*", " ", "a/", "a#1/", ". ", "\\", "a.", "\x00", "# "])
def test_a_name_of_a_million_characters_is_read_or_refused_in_linear_time(unit: str) -> None:
    # Anything quadratic would take minutes here: the test's timeout is the bound.
    try:
        Port.parse(unit * 1_000_000 + "x")
    except FlowBuildError as error:
        assert len(str(error)) < 1_500


# --- streams --------------------------------------------------------------------------------------


def test_a_stream_takes_names_and_ports() -> None:
    stream = Stream("a.x", Port.parse("f/b"))

    assert stream.source == Port.parse("a.x")
    assert stream.target == Port.parse("f/b")
    assert stream.declared_at == ""


def test_streams_are_equal_wherever_they_were_declared() -> None:
    assert Stream("a", ".out", declared_at="x.py:1") == Stream("A", "/.OUT", declared_at="y.py:2")
    assert hash(Stream("a", ".out", declared_at="x.py:1")) == hash(Stream("a", ".out"))
    assert Stream("a", "b") != Stream("b", "a")
    assert Stream("a", "b", declared_at="x.py:1").declared_at == "x.py:1"


def test_a_stream_reads_from_source_to_target() -> None:
    assert str(Stream("scatter.stream", "f/count")) == "scatter.stream -> f/count"


def test_a_stream_of_what_is_no_name_is_refused() -> None:
    with pytest.raises(FlowBuildError) as caught:
        Stream("a", "")

    assert str(caught.value) == (
        '"" names no port. Write an operation ("parse"), a port of one ("parse.text") or a port of the flow (".in").'
    )


# --- whatever is given ----------------------------------------------------------------------------

texts = st.text(alphabet=st.sampled_from(GRAMMAR), max_size=20) | st.text(max_size=12)


@given(texts)
@example("...")
@example("a.b.")
@example("a#1.")
@example("/f/.")
@example("a . . b")
def test_any_text_is_a_port_that_reads_back_or_an_error_that_fits_a_line(text: str) -> None:
    try:
        port = Port.parse(text)
    except FlowBuildError as error:
        assert "\n" not in str(error)
        str(error).encode()
    else:
        again = Port.parse(port.fullname)
        assert again == port
        assert hash(again) == hash(port)
        assert parts(again) == parts(port)
        assert again.fullname == port.fullname == str(port)
        assert Port(path=port.path, operation=port.operation, instance=port.instance, name=port.name) == port
        assert "*" not in port.fullname
        assert "\\" not in port.fullname
        assert port.is_rooted == port.fullname.startswith("/")
        assert port.has_operation == (port.operation != "")


names = st.text(alphabet="ab ß1,", min_size=1, max_size=5).map(str.strip).filter(bool)
instances = st.just("") | names
places = st.tuples(names, instances)


@given(st.booleans(), st.lists(places, max_size=4), places | st.just(("", "")), st.just("") | names)
def test_a_name_made_of_parts_reads_as_these_parts(
    rooted: bool, path: list[tuple[str, str]], place: tuple[str, str], name: str
) -> None:
    operation, instance = place
    flows = [f" {flow} # {number} " if number else f" {flow}" for flow, number in path]
    text = "/".join(
        ([""] if rooted else []) + flows + [f"{operation} # {instance}" if instance else operation]
    )

    port = Port.parse(f"{text} . {name}")

    assert port.is_rooted == rooted
    assert port.segments == tuple(path)
    assert (port.operation, port.instance, port.name) == (operation, instance, name)


@given(texts, texts)
def test_two_names_are_equal_exactly_if_they_are_the_same_parts_ignoring_case(one: str, other: str) -> None:
    try:
        first, second = Port.parse(one), Port.parse(other)
    except FlowBuildError:
        return

    same = [(port.segments, port.operation, port.instance, port.name) for port in (first, second)]
    assert (first == second) == (repr(same[0]).casefold() == repr(same[1]).casefold())
