"""What a check finds, where, and what it leaves alone."""

from __future__ import annotations

import inspect
import io
import json
import random
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Operation, in_port, out_port
from flowrt.errors import FlowBuildError, FlowError
from flowrt.flow.checks import CODES, Finding, check, findings_of
from flowrt.flow.faults import definition_of
from flowrt.standard import AutoResetJoin, Correlator, Gather, Latest, PopCausality, Scatter, Switch, Zip
from samples.out_of_order.flow import book
from samples.telegram.flow import telegram
from samples.word_count import stage1_lists, stage2_scattered, stage3_guarded
from tests.flow.broken_operations import add_operations
from tests.kit.graphs.notes import Notes
from tests.kit.graphs.shapes import Builder, draw_graph

HERE = Path(__file__).parent


def planted() -> list[tuple[str, int, str]]:
    """Return what the comments in the broken flow announce: file, line and code."""
    found = []
    for name in ("broken.flow", "broken_operations.py"):
        lines = (HERE / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            found += [(name, number, code) for code in re.findall(r"planted: (F\d+)", line)]
    return sorted(found)


def test_every_planted_fault_is_found_where_it_is_and_nothing_else() -> None:
    flow = Flow.from_file(HERE / "broken.flow").add_operations(add_operations())

    found = check(flow)

    places = sorted((Path(each.where[0]).name, each.where[1], each.code) for each in found)
    assert places == planted(), "\n".join(map(str, found))
    assert len(planted()) > 20


# --- what is found, code by code


class Door:
    opened = out_port()

    def __init__(self) -> None:
        raise_if_checking()

    @in_port(name="", mode="async")
    def open(self) -> None: ...

    @in_port
    def knock(self, times: int) -> None: ...


def raise_if_checking() -> None:
    assert not any(frame.function == "check" for frame in inspect.stack()), "nothing is made"


def codes(flow: Flow, **options: Any) -> list[str]:
    return [finding.code for finding in check(flow, **options)]


def flow_with(operations: FlowOperationContainer, *chains: str, name: str = "") -> Flow:
    """Make a flow of chains of ports: ".in a .out"."""
    flow = Flow(name).add_operations(operations)
    for chain in chains:
        ports = chain.split()
        for source, target in pairwise(ports):
            flow.add_stream(source, target)
    return flow


def functions(*names: str) -> FlowOperationContainer:
    operations = FlowOperationContainer()
    for name in names:
        operations.add_func(name, str)
    return operations


def test_a_flow_without_faults_has_no_findings() -> None:
    assert check(flow_with(functions("a", "b"), ".in a b .out")) == []


def test_an_empty_flow_has_no_findings() -> None:
    assert check(Flow()) == []


def test_b045_the_same_stream_twice_is_found() -> None:
    """B045: it delivers twice; that is hardly meant."""
    flow = flow_with(functions("a"), ".in a .out", ".IN A")

    assert codes(flow) == ["F107"]


def test_b088_an_operation_and_a_flow_of_one_name_are_found() -> None:
    """B088: the operation wins."""
    flow = flow_with(functions("a"), ".in a .out").add_flow(flow_with(functions(), ".in .out", name="A"))

    assert codes(flow) == ["F108"]


def test_b046_an_output_nobody_takes_is_found() -> None:
    """B046: it is dropped, which is legal; a check lists it."""
    assert codes(flow_with(functions("a"), ".in a")) == ["F201"]
    (found,) = check(flow_with(functions("a"), ".in a"), strict=True)
    assert (found.code, found.severity) == ("F201", "error")


def test_the_count_of_a_scatter_need_not_be_taken() -> None:
    operations = functions("a").add_operation(Scatter("s")).add_operation(Gather("g"))

    assert check(flow_with(operations, ".in s", "s.stream a g.stream", "g .out")) == []


def test_of_a_correlator_only_the_side_that_is_used_counts() -> None:
    operations = FlowOperationContainer().add_operation(Correlator("c"))

    assert check(flow_with(operations, ".in c.encode", "c.encoded .out")) == []
    assert codes(flow_with(operations, ".in c.encode", "c.decoded .out")) == ["F201"]


def test_a_dead_part_is_told_of_where_it_begins_and_only_there() -> None:
    flow = flow_with(functions("a", "b", "c", "d"), "a b c .out", "b .b", ".in d .d")

    (found,) = check(flow)

    assert (found.code, '"a"' in found.text) == ("F205", True)


def test_a_circle_that_nothing_leads_into_is_a_dead_part() -> None:
    flow = flow_with(functions("a", "b", "c"), "a b a", "b c .out")

    assert codes(flow) == ["F205"]


def test_an_active_operation_needs_nothing_that_leads_to_it() -> None:
    class Pulse(Operation):
        in_ports = ()

        def activate(self, emit: Any) -> None:
            raise AssertionError("nothing is run")

    operations = functions("a").add_operation(Pulse("pulse"))

    assert check(flow_with(operations, "pulse a .out")) == []


def test_a_component_may_emit_of_its_own_accord() -> None:
    operations = functions("a").add_component("door", Door)

    assert check(flow_with(operations, "door.opened a .out")) == []
    assert check(flow_with(operations, ".in door", "door.opened a .out")) == []
    found = codes(flow_with(functions("a").add_component("door", Door()), ".in door.knock", "a .out"))
    assert sorted(found) == ["F201", "F205"]


def test_a_loop_with_somebody_who_decides_is_fine() -> None:
    operations = functions("a").add_operation(Switch("again", str, ports=["yes", "no"]))

    assert check(flow_with(operations, ".in a again", "again.yes a", "again.no .out")) == []


def test_a_loop_of_functions_is_found_through_the_borders_of_flows() -> None:
    inner = flow_with(functions("b"), ".in b .out", name="inner")
    flow = flow_with(functions("a"), ".in a inner.in", "inner.out a", "inner.out .out").add_flow(inner)

    assert codes(flow) == ["F208"]


def test_a_way_out_of_a_flow_that_is_taken_in_one_place_is_missed_in_the_other() -> None:
    inner = flow_with(functions("b"), ".in b .out", "b .more", name="inner")
    flow = flow_with(functions(), ".in inner.in", "inner .out", "inner.more .more").add_flow(inner)
    flow.add_stream(".other", "inner#2.in").add_stream("inner#2.out", ".other")
    flow.add_stream("inner.out", ".out")

    (found,) = check(flow, ignore=["F104"])

    assert (found.code, '"inner#2.more"' in found.text) == ("F206", True)


def test_a_stream_that_crosses_borders_counts_on_both_sides() -> None:
    inner = flow_with(functions("b", "c"), ".in b", "c .out", name="inner")
    flow = flow_with(functions(), ".in inner.in", "inner.out .out").add_flow(inner)
    flow.add_stream("inner/b", "inner/c")

    assert check(flow) == []


def test_a_misspelt_name_hides_nothing_and_breeds_nothing() -> None:
    flow = flow_with(functions("parse", "save"), ".in pars", "parse save .out")

    assert codes(flow) == ["F101"]


def test_a_path_that_is_only_a_context_is_fine() -> None:
    """B091."""
    assert check(flow_with(functions("x"), ".in A/B/C/D/x", "A/B/C/D/x .out")) == []


# --- lists and joins


def bracket(*chains: str, count: bool = True, **others: Any) -> Flow:
    operations = functions("a", "b").add_operation(Scatter("s")).add_operation(Gather("g"))
    for name, operation in others.items():
        operations.add_operation(operation) if operation is not None else operations.add_func(name, str)
    flow = flow_with(operations, ".in s", "g .out", *chains)
    return flow.add_stream("s.count", "g.count") if count else flow


def test_an_item_that_comes_on_two_ways_is_found_if_the_list_is_counted() -> None:
    ways = ("s.stream a g.stream", "s.stream b g.stream")

    assert codes(bracket(*ways)) == ["F403"]
    assert codes(bracket(*ways, count=False)) == []


def test_a_count_of_another_list_is_found() -> None:
    operations = (
        functions().add_operation(Scatter("s")).add_operation(Scatter("t")).add_operation(Gather("g"))
    )
    chains = (".in s", ".in t", "s.stream g.stream", "t.count g.count", "t.stream .items", "g .out")

    assert codes(flow_with(operations, *chains)) == ["F402"]
    assert codes(flow_with(operations, *chains, "s.count g.count")) == []


@pytest.mark.parametrize(
    ("code", "flow"),
    [
        ("F401", flow_with(FlowOperationContainer().add_operation(Gather("g")), ".in g.stream", "g .out")),
        ("F403", bracket("s.stream a g.stream", "s.stream b g.stream")),
        ("F405", flow_with(FlowOperationContainer().add_operation(PopCausality("p")), ".in p .out")),
    ],
    ids=["F401", "F403", "F405"],
)
def test_what_is_found_does_fail(code: str, flow: Flow) -> None:
    assert codes(flow) == [code]
    with FlowRuntime(flow) as runtime, pytest.raises(FlowError):
        runtime.process(".in", [1, 2]).wait()


def test_an_item_that_comes_on_one_way_or_the_other_is_fine() -> None:
    switch = Switch("way", str, ports=["one", "two"])
    flow = bracket("s.stream way", "way.one a g.stream", "way.two b g.stream", way=switch)

    assert check(flow) == []


def test_a_list_inside_a_list_is_fine() -> None:
    inner: dict[str, Any] = {"s2": Scatter("s2"), "g2": Gather("g2")}
    flow = bracket("s.stream s2", "s2.stream a g2.stream", "s2.count g2.count", "g2 b g.stream", **inner)

    assert check(flow) == []


def test_a_gather_behind_the_gather_of_the_list_has_no_list() -> None:
    flow = bracket("s.stream a g.stream", "g g2.stream", "g2 b .more", g2=Gather("g2"))

    assert codes(flow) == ["F401"]


def test_a_gather_by_correlation_id_needs_no_scatter() -> None:
    operations = FlowOperationContainer().add_operation(Gather("g"))

    assert check(flow_with(operations, ".items g.stream", ".count g.count", "g .out")) == []


@pytest.mark.parametrize(
    ("join", "slow", "expected"),
    [
        (AutoResetJoin("j"), {}, ["F404"]),
        (AutoResetJoin("j", by="run"), {}, []),
        (AutoResetJoin("j"), {"ordered": True}, []),
        (AutoResetJoin("j"), {"by_key": "port"}, []),
        (Zip("j", ["in0", "in1"]), {}, ["F404"]),
        (Latest("j", ["in0", "in1"]), {}, []),
    ],
    ids=["correlation", "run", "ordered", "keyed", "zip", "latest"],
)
def test_a_join_of_branches_of_which_one_mixes_up(
    join: Any, slow: dict[str, Any], expected: list[str]
) -> None:
    operations = functions("fork", "a").add_func("slow", str).make_parallel(4, **slow).add_operation(join)
    flow = flow_with(operations, ".in fork a j.in0", "fork slow j.in1", "j .out")

    assert codes(flow) == expected


def test_what_mixes_up_in_front_of_the_fork_does_a_join_no_harm() -> None:
    operations = functions("a", "b").add_func("slow", str).make_parallel(4).add_operation(AutoResetJoin("j"))
    flow = flow_with(operations, ".in slow a j.in0", "slow b j.in1", "j .out")

    assert check(flow) == []


def test_every_code_has_its_place_in_the_docs_and_an_example_of_it() -> None:
    page = (HERE.parents[1] / "docs" / "checks.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"(?ms)^### (F\d+)$(.+?)(?=^##|\Z)", page))

    assert list(examples) == list(CODES)
    for code, text in examples.items():
        assert f"{CODES[code][1:]}.**" in text, code
        assert re.search(rf"(error|warning) {code}: ", text), code


# --- what is to be ignored


def test_a_stream_an_operation_and_a_call_may_ignore_findings() -> None:
    flow = flow_with(functions("a"), ".in a")
    assert check(flow, ignore="F201") == []
    assert check(flow, ignore=["f201", "F203"]) == []

    assert check(Flow().add_operations(functions("a").ignore("F201")).add_stream(".in", "a")) == []
    assert check(Flow().add_operations(functions("a")).add_stream(".in", "a", ignore="F201")) == []


def test_a_stream_that_is_written_with_a_path_ignores_too() -> None:
    inner = flow_with(functions("b", "c"), ".in b .out", name="inner")
    flow = flow_with(functions(), ".in inner.in", "inner.out .out").add_flow(inner)
    flow.add_stream("inner/b", "inner/c", ignore=["F201"])

    assert check(flow) == []


def test_an_unknown_code_is_refused_in_a_call() -> None:
    with pytest.raises(FlowBuildError) as caught:
        check(Flow(), ignore=["F21"])

    assert str(caught.value).startswith("check(ignore=...): there is no finding 'F21'. Did you mean \"F2")


@pytest.mark.parametrize("code", [3, None, b"F201"], ids=range(3))
def test_what_is_ignored_is_a_text(code: Any) -> None:
    flow, container = Flow(), functions("a")["a"]
    for ignore in (
        lambda: check(flow, ignore=[code]),
        lambda: check(flow, ignore=code),
        lambda: flow.add_stream("a", "b", ignore=[code]),
        lambda: flow.add_stream("a", "b", ignore=code),
        lambda: container.ignore("F201", code),
    ):
        with pytest.raises(
            FlowBuildError, match=r'named by its code, such as "F201", not by a value of type'
        ):
            ignore()

    assert flow.streams == ()
    assert [each.ignore for each in container] == [()]


def test_only_a_flow_can_be_checked() -> None:
    with pytest.raises(FlowBuildError, match=r"^check takes a Flow, got str\.$"):
        check("flow")  # type: ignore[arg-type]


# --- findings


def test_a_finding_is_a_line_and_data() -> None:
    (found,) = check(Flow.from_text("// nothing\n.in, a\n").add_operations(functions("b")), ignore=["F203"])

    assert str(found) == (
        '<flow text>:2:6: error F101: stream ".in -> a": there is no operation or flow "a". There are: b.'
    )
    assert found.title == CODES["F101"]
    assert found.as_dict() == {
        "code": "F101",
        "title": "unknown operation or flow",
        "severity": "error",
        "text": 'stream ".in -> a": there is no operation or flow "a".',
        "remedy": "There are: b.",
        "place": "<flow text>:2:6",
        "file": "<flow text>",
        "line": 2,
        "column": 6,
    }
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a.py:12", ("a.py", 12, 0)),
        ("a.flow:3:5", ("a.flow", 3, 5)),
        ("C:\\a.py:12", ("C:\\a.py", 12, 0)),
        ("a.flow", ("a.flow", 0, 0)),
        ("", ("", 0, 0)),
    ],
)
def test_a_place_is_taken_apart(place: str, expected: tuple[str, int, int]) -> None:
    assert Finding("F201", "", place).where == expected


def test_errors_are_what_a_runtime_refuses_in_the_same_words() -> None:
    flow = Flow.from_file(HERE / "broken.flow").add_operations(add_operations())
    with FlowRuntime(flow) as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(".in")

    refused = findings_of(caught.value)
    assert sorted(map(str, refused)) == sorted(str(each) for each in check(flow) if each.severity == "error")


def test_the_faults_of_a_text_are_findings() -> None:
    with pytest.raises(FlowBuildError) as caught:
        Flow.from_text(".in, , b\n")

    (found,) = findings_of(caught.value)
    assert (found.code, found.where[1], found.severity) == ("F001", 1, "error")


def test_a_runtime_checks_its_flow_as_it_is() -> None:
    with FlowRuntime(strict=True) as runtime:
        runtime.add_operations(functions("a")).add_stream(".in", "a")
        (found,) = runtime.check()
        assert (found.code, found.severity) == ("F201", "error")
        assert runtime.check(ignore=["F201"]) == []
        runtime.add_stream("a", ".out")
        assert runtime.check() == []


# --- nothing is run


def test_a_check_makes_and_calls_nothing() -> None:
    made: list[str] = []

    class Own(Operation):
        def create(self) -> Any:
            made.append("state")

    def factory() -> Own:
        made.append("operation")
        return Own("own")

    def function(data: Any) -> None:
        made.append("function")

    function.__annotations__ = {"data": "made.append('annotation')", "return": "unknown[made.pop()]"}
    operations = FlowOperationContainer().add_operation("own", factory).add_func("f", function)
    flow = flow_with(operations, ".in own f .out", "f own#2 .out")
    made.clear()

    assert check(flow) == []
    assert made == []


# --- large, deep and recursive flows


def test_a_large_flow_is_checked_without_recursion() -> None:
    names = [f"f{number}" for number in range(3_000)]
    flow = flow_with(functions(*names), " ".join([".in", *names, ".out"]))

    assert check(flow) == []


def test_flows_nested_deep_are_checked_without_recursion() -> None:
    flow = flow_with(functions("a"), ".in a .out", name="f300")
    for number in range(299, 0, -1):
        flow = flow_with(
            functions(), f".in f{number + 1}.in", f"f{number + 1}.out .out", name=f"f{number}"
        ).add_flow(flow)

    assert check(flow) == []


def test_a_recursive_flow_is_checked_to_an_end() -> None:
    def decide(number: int, on_more: Callable[[int], None], on_done: Callable[[int], None]) -> None:
        (on_more if number else on_done)(number)

    inner = Flow("inner").add_operations(FlowOperationContainer().add_action("decide", decide))
    inner.add_stream(".in", "decide").add_stream("decide.on_done", ".out")
    inner.add_stream("decide.on_more", "inner.in").add_stream("inner.out", ".out").add_flow(inner)

    assert check(flow_with(functions(), ".in inner.in", "inner.out .out").add_flow(inner)) == []


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.flow.checks.reach.STREAMS_LIMIT", 500)
    monkeypatch.setattr("flowrt.flow.faults.WAYS_LIMIT", 200)


@pytest.mark.usefixtures("_small_limits")
def test_flows_shared_by_many_are_checked_to_an_end() -> None:
    """Expanded in full, twenty levels of two uses each were a million flows."""
    flow = flow_with(functions("a"), ".in a .out", name="f20")
    for number in range(19, 0, -1):
        below = f"f{number + 1}"
        flow = flow_with(
            functions(),
            f".in {below}#1.in",
            f"{below}#1.out {below}#2.in",
            f"{below}#2.out .out",
            name=f"f{number}",
        ).add_flow(flow)
    whole = flow_with(functions(), ".in f1.in", "f1.out .out").add_flow(flow)

    assert check(whole) == []


@pytest.mark.usefixtures("_small_limits")
def test_flows_that_call_each_other_are_checked_to_an_end() -> None:
    flows = [Flow(f"f{number}") for number in range(6)]
    for flow in flows:
        flow.add_stream(".in", ".out")
        for other in flows:
            flow.add_flow(other).add_stream(".in", f"{other.name}.in").add_stream(f"{other.name}.out", ".out")
    whole = Flow().add_flow(flows[0]).add_stream(".in", "f0.in").add_stream("f0.out", ".out")

    assert check(whole) == []


# --- flows that are as they should be

SAMPLES: list[Flow] = [
    *(stage.word_count() for stage in (stage1_lists, stage2_scattered, stage3_guarded)),
    telegram(30, io.StringIO()),
    book(ordered=True),
]


@pytest.mark.parametrize("flow", SAMPLES, ids=range(len(SAMPLES)))
def test_nothing_is_found_in_the_samples(flow: Flow) -> None:
    assert check(flow) == []


@pytest.mark.parametrize(
    "path", sorted((HERE.parents[1] / "samples").rglob("*.flow")), ids=lambda path: path.stem
)
def test_nothing_is_found_in_the_flow_files_of_the_samples(path: Path) -> None:
    unknown = ["F101", "F204"]  # the operations are not with it
    assert check(Flow.from_file(path), ignore=unknown) == []


@pytest.mark.parametrize("seed", range(30))
def test_in_drawn_flows_only_what_was_drawn_is_found(seed: int) -> None:
    """Streams are drawn twice, and lists on two ways; what is not connected is never joined."""
    with FlowRuntime() as runtime:
        Builder(runtime, Notes()).build(draw_graph(random.Random(seed), 20))

        found = runtime.check()

        assert {finding.code for finding in found} <= {"F107", "F201", "F206", "F403"}, found
        assert runtime.check() == found


def drawn(rng: random.Random) -> Flow:
    """Draw flows of names that may be anything: operations, flows, both, or nothing."""
    names = ["a", "b", "f", "g", "h", "scatter", "gather", "join", "pop", "door"]
    ends = ["", ".in", ".out", ".stream", ".count", ".in0", ".in1", ".opened", "#1", "#1.in"]
    flows = [Flow(), Flow("f"), Flow("g"), Flow("h"), Flow("a")]

    def port() -> str:
        path = rng.choice(["", "", "", "", "", "/", "f/", "f#1/g/", "h/", "x/"])
        return path + rng.choice([".in", ".out", rng.choice(names) + rng.choice(ends), rng.choice(names)])

    for flow in flows:
        for _ in range(rng.randrange(8)):
            flow.add_stream(port(), port(), ignore=rng.sample(list(CODES), rng.randrange(2)))
        for other in rng.sample(flows[1:], rng.randrange(4)):
            flow.add_flow(other)
    operations = functions("b").add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    operations.add_func("a", str).make_parallel(2).ignore("F201")
    operations.add_operation(AutoResetJoin("join")).add_operation(PopCausality("pop")).add_component(
        "door", Door
    )
    flows[0].add_operations(operations)
    return flows[0]


@pytest.mark.parametrize("seed", range(150))
def test_of_any_flow_the_errors_are_what_a_runtime_refuses(seed: int) -> None:
    flow = drawn(random.Random(seed))
    refused: tuple[str, ...] = ()
    try:
        definition_of(flow, strict=False)
    except FlowBuildError as error:
        refused = error.faults

    ignored = [stream.ignore for each in (flow, *flow.flows) for stream in each.streams]
    found = check(flow)

    assert found == check(flow)
    assert check(flow, ignore=CODES) == []
    if not any(ignored):
        assert len([each for each in found if each.severity == "error"]) == len(refused)
    assert all(each.severity == "warning" for each in found) or refused


def test_a_count_is_followed_through_the_borders_of_flows() -> None:
    inner = flow_with(functions(), ".items g.stream", ".number g.count", "g .", name="inner")
    inner.add_operations(FlowOperationContainer().add_operation(Gather("g")))
    operations = functions("a", "b").add_operation(Scatter("s"))
    chains = (".in s", "s.stream a inner.items", "s.count inner.number", "inner .out")

    assert check(flow_with(operations, *chains).add_flow(inner), ignore=["F203"]) == []
    twice = flow_with(operations, *chains, "s.stream b inner.items").add_flow(inner)
    assert codes(twice) == ["F403"]
    made = flow_with(
        functions().add_func("n", len).add_operation(Scatter("s")),
        ".in s",
        "s.stream inner.items",
        "s.stream inner.items",
        ".n n inner.number",
        "s.count .n",
        "inner .out",
    )
    assert codes(made.add_flow(inner)) == ["F107"]
