"""Names in flows inside flows: rooted ones, paths, streams across borders, circles; and what is refused before anything runs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Run, check
from flowrt.errors import FlowBuildError, OperationError
from flowrt.operations.contract import Emitter
from flowrt.standard import Gather, Scatter
from flowrt.testing import drive
from tests.kit.flows import Bench, assert_ledger, every_schedule, failure_of, flow_of, text_of, wire
from tests.kit.functions import SECONDS, double, increment, same


def runtime_of(bench: Bench, *chains: str, flows: tuple[Flow, ...] = (), **options: Any) -> FlowRuntime:
    """A runtime for the chains; `double` and `increment` are known at the root."""
    runtime = bench.make_runtime(**options)
    runtime.add_operations(bench.operations(funcs={"double": double, "increment": increment}))
    for flow in flows:
        runtime.add_flow(flow)
    wire(runtime, *chains)
    return runtime


def results(run: Run) -> list[tuple[str, Any]]:
    run.wait(SECONDS)
    return [(message.port.fullname, message.data) for message in run.results()]


# --- "/x" means the root, wherever it is written


@every_schedule
def test_a_rooted_target_in_a_flow_is_an_operation_of_the_root(bench: Bench) -> None:
    inner = flow_of(
        "inner",
        ".in -> double -> /increment",
        operations=FlowOperationContainer().add_func("increment", lambda _: "the flow's own"),
    )
    with runtime_of(bench, ".in -> inner.in", "increment -> .out", flows=(inner,)) as runtime:
        run = runtime.process(".in", 5)

        assert results(run) == [(".out", 11)]
    assert_ledger(run, accepted=1, delivered=1)


@every_schedule
def test_a_rooted_port_in_a_flow_is_a_result_port(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> double -> /.out")
    outer = flow_of("outer", ".in -> inner.in", flows=[inner])
    with runtime_of(bench, ".in -> outer.in", flows=(outer,)) as runtime:
        run = runtime.process(".in", 5)

        assert results(run) == [(".out", 10)]
    assert_ledger(run, accepted=1, delivered=1)


@every_schedule
def test_a_rooted_source_in_a_flow_is_an_input_of_the_root(bench: Bench) -> None:
    inner = flow_of("inner", "/.in -> double -> .out")
    with runtime_of(bench, ".in -> .copy", "inner.out -> .out", flows=(inner,)) as runtime:
        run = runtime.process(".in", 5)

        assert sorted(results(run)) == [(".copy", 5), (".out", 10)]
    assert_ledger(run, accepted=1, born=1, delivered=2)


@every_schedule
def test_a_rooted_operation_in_a_flow_may_be_a_source(bench: Bench) -> None:
    inner = flow_of("inner", "/double -> increment -> .out")
    with runtime_of(bench, ".in -> double", "inner.out -> .out", flows=(inner,)) as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 11)]


@every_schedule
def test_both_ends_of_a_stream_may_be_rooted(bench: Bench) -> None:
    inner = flow_of("inner", "/.in -> /double -> /.out")
    with runtime_of(bench, flows=(inner,)) as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 10)]


@every_schedule
def test_a_rooted_name_reaches_another_flow(bench: Bench) -> None:
    first = flow_of("first", ".in -> /second.in", ".in -> /second/increment")
    second = flow_of("second", ".in -> double -> .out", "increment -> .more")
    with runtime_of(
        bench, ".in -> first.in", "second.out -> .out", "second.more -> .more", flows=(first, second)
    ) as runtime:
        assert sorted(results(runtime.process(".in", 5))) == [(".more", 6), (".out", 10)]


@every_schedule
def test_in_the_root_a_rooted_name_is_the_name_itself(bench: Bench) -> None:
    with runtime_of(bench, "/.in -> /double", "double -> /.out") as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 10)]
        assert results(runtime.process("/.in", 6)) == [(".out", 12)]


# --- paths


@every_schedule
def test_a_path_without_a_flow_is_a_context_of_its_own(bench: Bench) -> None:
    """B091."""
    with runtime_of(
        bench, ".in -> A/B/double -> A/B/increment -> .out", ".other -> double -> .elsewhere"
    ) as runtime:
        run = runtime.process(".in", 5)

        assert results(run) == [(".out", 11)]
        assert results(runtime.process(".other", 5)) == [(".elsewhere", 10)]
    assert_ledger(run, accepted=1, delivered=1)


@every_schedule
def test_the_same_operation_on_two_paths_is_two_places(bench: Bench) -> None:
    """B053."""
    with runtime_of(bench, ".left -> A/double -> .left_out", ".right -> a#1/double -> .right_out") as runtime:
        assert results(runtime.process(".left", 1)) == [(".left_out", 2)]
        assert results(runtime.process(".right", 2)) == [(".right_out", 4)]


@every_schedule
def test_an_operation_of_a_flow_may_be_fed_from_outside(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> increment -> double -> .out")
    with runtime_of(bench, ".in -> inner/double", "inner.out -> .out", flows=(inner,)) as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 10)]


@every_schedule
def test_what_leaves_inside_a_flow_may_be_taken_outside_too(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> double -> .out")
    outer = flow_of("outer", ".in -> inner.in", "inner.out -> .out", flows=[inner])
    with runtime_of(
        bench, ".in -> outer.in", "outer.out -> .out", "outer/inner/double -> .log", flows=(outer,)
    ) as runtime:
        run = runtime.process(".in", 5)

        assert sorted(results(run)) == [(".log", 10), (".out", 10)]
    assert_ledger(run, accepted=1, born=1, delivered=2)


@every_schedule
def test_a_list_may_be_gathered_across_a_border(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> scatter", "scatter.stream -> double")
    with runtime_of(
        bench,
        ".in -> inner.in",
        "inner/double -> gather.stream",
        "inner/scatter.count -> gather.count",
        "gather -> .out",
        flows=(inner,),
    ) as runtime:
        runtime.add_operation(Scatter("scatter")).add_operation(Gather("gather"))
        run = runtime.process(".in", [1, 2, 3])

        assert results(run) == [(".out", [2, 4, 6])]
    assert_ledger(run, accepted=1, born=3, absorbed=1 + 2, delivered=1)


@every_schedule
def test_a_gather_in_a_flow_knows_that_its_count_comes_from_outside(bench: Bench) -> None:
    inner = flow_of("inner", ".items -> gather.stream", "gather -> .out")
    with runtime_of(
        bench,
        ".in -> scatter",
        "scatter.stream -> drop -> inner.items",
        "scatter.count -> inner/gather.count",
        "inner.out -> .out",
        flows=(inner,),
    ) as runtime:

        def drop_twos(number: int, keep: Callable[[int], None]) -> None:
            if number != 2:
                keep(number)

        runtime.add_operations(FlowOperationContainer().add_action("drop", drop_twos))
        runtime.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing="collect"))
        gathered = runtime.process(".in", [1, 2, 3]).result(SECONDS).data

    # With a count, an absorbed item is missing; without one it would not be.
    assert gathered.items == [1, 3]
    assert [(position, reason) for position, reason, _ in gathered.failures] == [(1, "absorbed at drop")]


@every_schedule
def test_a_stream_on_a_path_belongs_to_the_flow_a_message_would_find_there(bench: Bench) -> None:
    """B092."""
    inner = flow_of("inner", ".in -> double -> .out")
    outer = flow_of("outer", ".in -> inner.in", "inner.out -> .out", flows=[inner])
    with runtime_of(
        bench,
        ".in -> outer.in",
        "outer.out -> .out",
        "outer/inner/double -> outer/inner/increment -> outer/inner/.more",
        "outer/inner.more -> .more",
        flows=(outer,),
    ) as runtime:
        run = runtime.process(".in", 5)

        assert sorted(results(run)) == [(".more", 11), (".out", 10)]
    assert_ledger(run, accepted=1, born=1, delivered=2)


@every_schedule
def test_a_stream_on_a_path_inside_a_flow_hides_no_flow_of_the_root(bench: Bench) -> None:
    """B092."""
    helper = flow_of("helper", ".in -> double -> .out")
    user = flow_of("user", ".in -> helper.in", "helper.out -> .out", "helper/double -> helper/.copy")
    with runtime_of(
        bench, ".in -> user.in", "user.out -> .out", "user/helper.copy -> .copy", flows=(helper, user)
    ) as runtime:
        assert sorted(results(runtime.process(".in", 5))) == [(".copy", 10), (".out", 10)]


@every_schedule
def test_a_stream_on_a_path_belongs_to_the_innermost_of_two_flows_of_one_name(bench: Bench) -> None:
    """B092."""
    inner = flow_of("helper", ".in -> double -> .out")
    user = flow_of("user", ".in -> helper.in", "helper.out -> .out", flows=[inner])
    other = flow_of("helper", ".in -> increment -> .out")
    with runtime_of(
        bench,
        ".in -> user.in",
        "user.out -> .out",
        "user/helper/double -> user/helper/.copy",
        "user/helper.copy -> .copy",
        flows=(other, user),
    ) as runtime:
        assert sorted(results(runtime.process(".in", 5))) == [(".copy", 10), (".out", 10)]


# --- circles of nothing but ports


@every_schedule
def test_what_only_circles_through_the_ports_of_flows_ends_as_unconnected(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> .out")
    with runtime_of(bench, ".in -> inner.in", "inner.out -> inner.in", flows=(inner,)) as runtime:
        run = runtime.process(".in", 5)

        assert results(run) == []
    assert_ledger(run, accepted=1, unconnected=1)


@every_schedule
def test_a_way_out_of_a_circle_is_taken_once(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> .out")
    with runtime_of(
        bench, ".in -> inner.in", "inner.out -> inner.in", "inner.out -> double -> .out", flows=(inner,)
    ) as runtime:
        run = runtime.process(".in", 5)

        assert results(run) == [(".out", 10)]
    assert_ledger(run, accepted=1, born=1, delivered=1, unconnected=1)


@every_schedule
def test_strict_refuses_what_circles_at_run_time(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> .out")
    with runtime_of(
        bench, ".in -> inner.in", "inner.out -> inner.in", flows=(inner,), strict=True
    ) as runtime:
        run = runtime.process(".in", 5)
        with pytest.raises(FlowBuildError, match=r"^strict: a message "):
            run.wait(SECONDS)

    assert_ledger(run, accepted=1, unconnected=1)


# --- strict


@pytest.mark.parametrize(
    ("inner", "outer", "place"),
    [
        ((".in -> double -> .out",), (".in -> double", ".in -> f.in", "f.out -> .out"), "double"),
        ((".in -> double", ".in -> increment -> .out"), (".in -> f.in", "f.out -> .out"), "f/double"),
        ((".in -> double#2", ".in -> increment -> .out"), (".in -> f.in", "f.out -> .out"), "f/double#2"),
    ],
)
def test_strict_refuses_an_unconnected_output_before_anything_runs(
    inner: tuple[str, ...], outer: tuple[str, ...], place: str
) -> None:
    operations = FlowOperationContainer().add_func("double", double).add_func("increment", increment)
    flow = flow_of("", *outer, operations=operations, flows=[flow_of("f", *inner)])

    with FlowRuntime(flow, strict=True) as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(".in", 1)

    assert text_of(caught.value) == (
        f'strict: no stream takes what leaves at "{place}" (declared at HERE). Connect it, or add it with add_action '
        "if its result is not wanted."
    )


@every_schedule
def test_strict_lets_a_whole_flow_run(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> double -> /increment")
    with runtime_of(bench, ".in -> inner.in", "increment -> .out", flows=(inner,), strict=True) as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 11)]


# --- adding flows


@pytest.mark.parametrize("flow", [None, "inner", FlowRuntime, Flow])
def test_only_a_flow_is_added_as_a_flow(flow: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        Flow().add_flow(flow)

    assert str(caught.value) == f"add_flow takes a Flow, got {type(flow).__name__}."


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("root.flow", "Flow.from_file(path)"),
        (FlowOperationContainer(), "Add a container with add_operations."),
    ],
)
def test_a_runtime_that_is_given_no_flow_says_what_makes_one(given: Any, remedy: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(given)

    assert str(caught.value).startswith(f"FlowRuntime takes a Flow, got {type(given).__name__}.")
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", ["", " "])
def test_a_flow_in_a_flow_needs_a_name(name: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        Flow("outer").add_flow(Flow(name))

    assert str(caught.value) == 'a flow inside a flow needs a name to be used by: Flow("name").'


def test_two_flows_of_one_name_in_a_flow_are_refused_whatever_their_case() -> None:
    first, second = Flow("inner"), Flow("INNER")
    outer = Flow("outer").add_flow(first).add_flow(first)

    with pytest.raises(FlowBuildError) as caught:
        outer.add_flow(second)

    assert str(caught.value) == (
        'there are two flows "INNER" in one flow. Give one of them another name, or add its streams to the other.'
    )
    assert outer.flows == (first,)


def test_a_flow_shows_what_was_added_to_it() -> None:
    inner = Flow(" inner ")
    outer = flow_of("outer", ".in -> double -> .out").add_flow(inner)
    outer.add_operations(FlowOperationContainer().add_func("double", double))

    assert inner.name == "inner"
    assert [str(stream) for stream in outer.streams] == [".in -> double", "double -> .out"]
    assert [declaration.name for declaration in outer.operations] == ["double"]
    assert outer.flows == (inner,)


@every_schedule
def test_a_nested_flow_may_be_changed_while_the_runtime_runs(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> double -> .out")
    with runtime_of(bench, ".in -> inner.in", "inner.out -> .out", flows=(inner,)) as runtime:
        assert results(runtime.process(".in", 5)) == [(".out", 10)]

        wire(inner, "double -> increment -> .out")
        wire(runtime, "inner.out -> .more")

        assert sorted(results(runtime.process(".in", 5))) == [
            (".more", 10),
            (".more", 11),
            (".out", 10),
            (".out", 11),
        ]


# --- places that cannot be made


class Broken(Operation):
    """Its state cannot be made."""

    def create(self) -> None:
        raise LookupError


class Fine(Operation):
    def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
        emit(message.data)


@every_schedule
def test_an_operation_whose_state_cannot_be_made_fails_what_would_reach_it(bench: Bench) -> None:
    with runtime_of(bench, ".in -> double -> broken -> .out") as runtime:
        runtime.add_operation(Broken("broken"))
        run = runtime.process(".in", 5)
        with pytest.raises(FlowBuildError) as caught:
            run.wait(SECONDS)

    assert isinstance(caught.value.__cause__, LookupError)
    assert text_of(caught.value) == (
        'operation "broken" (declared at HERE) could not be made for its place: its factory or create() raised LookupError.'
    )
    assert_ledger(run, accepted=1, failed=1)


@every_schedule
def test_a_factory_that_raises_later_fails_only_what_would_reach_its_place(bench: Bench) -> None:
    made: list[Fine] = []

    def make() -> Fine:
        if len(made) == 2:
            raise LookupError
        made.append(Fine("fine"))
        return made[-1]

    with runtime_of(bench, ".in -> fine#1 -> .out", ".other -> fine#2 -> .out") as runtime:
        runtime.add_operation("fine", make)
        assert results(runtime.process(".in", 5)) == [(".out", 5)]
        failing = runtime.process(".other", 6)
        with pytest.raises(FlowBuildError) as caught:
            failing.wait(SECONDS)
        assert results(runtime.process(".in", 7)) == [(".out", 7)]

    assert isinstance(caught.value.__cause__, LookupError)
    assert 'operation "fine#2"' in str(caught.value)
    assert_ledger(failing, accepted=1, failed=1)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (5, 'operation "made": the factory (int) cannot be called.'),
        (
            dict,
            (
                'what the factory of "made" makes (dict) lacks name, in_ports, out_ports, create, handle, drained, cancelled '
                "of the Operation contract. Add plain callables with add_func or add_action."
            ),
        ),
        (
            lambda: Fine,
            'what the factory of "made" makes is the class Fine itself; pass an instance, or a name and the class as factory.',
        ),
    ],
    ids=["no callable", "makes something else", "makes a class"],
)
def test_a_factory_makes_operations(factory: Any, expected: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_operation("made", factory)

    assert str(caught.value) == expected


def test_the_class_of_an_operation_is_none_itself() -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_operation(Fine)

    assert str(caught.value) == (
        "the operation is the class Fine itself; pass an instance, or a name and the class as factory."
    )


@every_schedule
def test_a_scatter_that_leads_to_a_place_that_cannot_be_made_fails_its_message(bench: Bench) -> None:
    with runtime_of(
        bench, ".in -> scatter", "scatter.stream -> broken -> gather.stream", "gather -> .out"
    ) as runtime:
        runtime.add_operation(Scatter("scatter")).add_operation(Gather("gather")).add_operation(
            Broken("broken")
        )
        run = runtime.process(".in", [1, 2])
        error = failure_of(run)

    assert error.operation == "scatter"
    assert isinstance(error.__cause__, FlowBuildError)
    assert_ledger(run, accepted=1, failed=1)


# --- signatures


def items(data: Any) -> Iterator[Any]:
    yield data


def with_continuation(_data: Any, _on_done: Callable[[], None]) -> None: ...


def without_data() -> str:
    return "always"


def defaults(data: Any, factor: int = 2, *, offset: int = 1) -> Any:
    return data * factor + offset


def any_number(*data: Any) -> int:
    return len(data)


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (
            lambda container: container.add_action("work", with_continuation, signal=True),
            (
                'action "work" has continuations (_on_done) and signal=True. A signal is for actions that emit nothing themselves: '
                "drop signal=True, or call a continuation when done."
            ),
        ),
        (
            lambda container: container.add_action("work", items),
            'action "work" is a generator function. Add it with add_generator("work", ...).',
        ),
        (
            lambda container: container.add_func("work", items),
            (
                'function "work" is a generator function. Add it with add_generator("work", ...), which emits each item it '
                "yields."
            ),
        ),
    ],
    ids=["signal with continuations", "generator as action", "generator as function"],
)
def test_a_callable_of_another_kind_is_refused_with_its_remedy(
    add: Callable[[FlowOperationContainer], Any], expected: str
) -> None:
    with pytest.raises(FlowBuildError) as caught:
        add(FlowOperationContainer())

    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (without_data, "always"),
        (defaults, 7),
        (functools.partial(defaults, factor=3, offset=0), 9),
        (any_number, 1),
        (float, 3.0),
        (str, "3"),
        (max, None),
        (same, 3),
    ],
)
def test_a_function_is_called_with_its_data_if_it_takes_any(function: Any, expected: Any) -> None:
    if expected is None:  # max(3) is an error of its own: it was called with the data all the same
        with pytest.raises(OperationError) as caught:
            drive(function, 3)
        assert isinstance(caught.value.__cause__, TypeError)
    else:
        assert [message.data for message in drive(function, 3)] == [expected]


def test_a_generator_may_be_any_callable_that_returns_an_iterable() -> None:
    container = FlowOperationContainer().add_generator("items", range)

    assert [message.data for message in drive(container, 3)] == [0, 1, 2]


def test_a_generator_without_parameters_is_called_without_the_data() -> None:
    container = FlowOperationContainer().add_generator("items", lambda: "ab")

    assert [message.data for message in drive(container, None)] == ["a", "b"]


def test_what_returns_no_iterable_fails_as_a_generator() -> None:
    container = FlowOperationContainer().add_generator("items", same)

    with pytest.raises(OperationError) as caught:
        drive(container, 5)

    assert isinstance(caught.value.__cause__, FlowBuildError)
    assert "returned int, which cannot be iterated" in str(caught.value.__cause__)


def test_names_show_themselves_when_debugging() -> None:
    with FlowRuntime(name="shown") as runtime:
        wire(runtime, ".in -> .out")
        run = runtime.process(".in", 1)
        run.wait(SECONDS)

        assert repr(runtime) == '<flow runtime "shown">'
        assert repr(run) == "<run 1 of shown (done)>"


def test_strict_counts_a_stream_that_crosses_the_border_of_a_flow() -> None:
    inner = flow_of("f", ".in -> double")
    with FlowRuntime(strict=True) as runtime:
        runtime.add_flow(inner).add_operations(
            FlowOperationContainer().add_func("double", lambda number: 2 * number)
        )
        runtime.add_stream(".in", "f.in").add_stream("f/double", ".out")

        assert runtime.process(".in", 5).values(timeout=SECONDS) == [10]


CALLS = """
{wiring}

inner
.in, /g.x
/g.y, {back}

g
.x, double
double, .y
"""
DEPTHS = {
    "in the root": ".in, inner.in\ninner.out, .out",
    "one deeper": ".in, outer.in\nouter.out, .out\nouter\n.in, inner.in\ninner.out, .out",
    "two deeper, by instances": ".in, a#1.in\na#1.out, .out\na\n.in, outer#z.in\nouter#z.out, .out\nouter\n.in, inner#2.in\ninner#2.out, .out",
}


@every_schedule
@pytest.mark.parametrize("back", [".out", "increment\nincrement, .out"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_what_a_nested_flow_sends_to_one_in_the_root_comes_back_to_it(
    bench: Bench, depth: str, back: str
) -> None:
    """B087."""
    text = CALLS.format(wiring=DEPTHS[depth], back=back)
    functions = FlowOperationContainer().add_func("double", double).add_func("increment", increment)
    more = back != ".out"

    assert {each.code for each in check(Flow.from_text(text).add_operations(functions))} <= {"F203"}
    with runtime_of(bench) as runtime:
        runtime.add_streams_from(text)
        run = runtime.process_many(".in", [1, 2, 3])
        assert bench.arranged(run.values(timeout=SECONDS)) == bench.arranged([2 + more, 4 + more, 6 + more])
        assert_ledger(run, accepted=3, delivered=3)


@pytest.mark.parametrize(
    ("wiring", "told"),
    [
        (".in, inner#1.in\ninner#1.out, inner#2.in\ninner#2.out, .out", "in 2 places (inner#1, inner#2)"),
        (
            ".in, inner.in\ninner.out, .out\n.in, outer.in\nouter.out, .out\nouter\n.in, inner.in\ninner.out, .out",
            "in 2 places (inner, outer/inner)",
        ),
        (".in, double\ndouble, .out", "nowhere"),
    ],
    ids=["two instances", "at two depths", "nowhere"],
)
def test_a_stream_from_the_root_must_know_to_which_use_of_its_flow_it_leads(wiring: str, told: str) -> None:
    functions = FlowOperationContainer().add_func("double", double)
    flow = Flow.from_text(CALLS.format(wiring=wiring, back=".out")).add_operations(functions)

    with pytest.raises(
        FlowBuildError,
        match=rf'^stream "/g\.y -> \.out" at .+: it starts at the root, and flow "inner" is used {re.escape(told)}, '
        r"so it does not say where it would lead\. Lead the messages in through the flow's own ports\.$",
    ):
        FlowRuntime(flow).start()


def test_both_ends_of_a_stream_may_be_rooted_in_a_flow_that_is_used_twice() -> None:
    text = ".in, f#1.in\n.in, f#2.in\nf\n.in, /double\n/double, /.out"
    flow = Flow.from_text(text).add_operations(FlowOperationContainer().add_func("double", double))
    with FlowRuntime(flow) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2, 2]
