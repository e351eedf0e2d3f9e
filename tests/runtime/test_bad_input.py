"""What users get wrong: each has a specific error that names the thing and says what to do.

The texts are compared whole, as `text_of` gives them: `HERE` stands for the file and line of a declaration.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, Port
from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowOverloadError,
    FlowStalledError,
    FlowStoppedError,
    FlowTimeoutError,
    OperationError,
)
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from tests.kit.flows import (
    Bench,
    assert_ledger,
    every_mode,
    failure_of,
    few_modes,
    flow_of,
    real_queues,
    runtime_of,
    text_of,
    wire,
)
from tests.kit.functions import SECONDS, arrived, double, increment, refuse, same


class Own(Operation):
    """An operation of a user's own."""

    in_ports = None
    out_ports = None

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        return None

    def handle(self, state: None, message: Message, emit: Callable[..., None]) -> None:
        emit(message.data)

    def drained(self, state: None, scope: Any, emit: Callable[..., None]) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass


def functions(**named: Callable[..., Any]) -> FlowOperationContainer:
    container = FlowOperationContainer()
    for name, function in named.items():
        container.add_func(name, function)
    return container


def build_error(runtime: FlowRuntime, port: str = ".in") -> str:
    """The text of the error at the first use of a flow that does not check out."""
    with runtime, pytest.raises(FlowBuildError) as caught:
        runtime.process(port, 1)
    return text_of(caught.value)


# --- Names

WHAT_TO_WRITE = 'Write an operation ("parse"), a port of one ("parse.text") or a port of the flow (".in").'
ROOT_FLOW = 'Write "/parse" for an operation of the root flow, "/.in" for one of its ports.'
NO_FILE_NAMES = (
    'names are no file names, "." and ".." lead nowhere. '
    'Write the name of the flow, or "/" in front to start from the root flow.'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f'"" names no port. {WHAT_TO_WRITE}'),
        (" ", f'" " names no port. {WHAT_TO_WRITE}'),
        ("*", f'"*" names no port. {WHAT_TO_WRITE}'),
        ("/", f'"/" names no port, nor a flow. {ROOT_FLOW}'),
        (" / ", f'" / " names no port, nor a flow. {ROOT_FLOW}'),
        ("\\", f'"\\" names no port, nor a flow. {ROOT_FLOW}'),
        (
            "a//b",
            (
                '"a//b" has an empty name in its path. '
                'Write one "/" between two names, and none in front but to start from the root flow.'
            ),
        ),
        ("./a", f'"./a" has "." where a name belongs: {NO_FILE_NAMES}'),
        ("../a", f'"../a" has ".." where a name belongs: {NO_FILE_NAMES}'),
        ("a/../b", f'"a/../b" has ".." where a name belongs: {NO_FILE_NAMES}'),
        ("#1.x", '"#1.x" has the instance "#1" of nothing. Write the name before it: "parse#1".'),
    ],
)
def test_a_name_that_names_nothing_is_a_build_error_with_the_offending_text(text: str, expected: str) -> None:
    with pytest.raises(FlowBuildError) as parsing:
        Port.parse(text)
    with FlowRuntime() as runtime, pytest.raises(FlowBuildError) as processing:
        runtime.process(text, 1)

    assert str(parsing.value) == str(processing.value) == expected


@pytest.mark.parametrize("container", [Flow, FlowRuntime])
@pytest.mark.parametrize(("source", "target"), [("", "a"), ("a", ""), ("a", "/"), ("../a", "b")])
def test_a_stream_without_a_source_or_target_is_a_build_error(
    container: Any, source: str, target: str
) -> None:
    with pytest.raises(FlowBuildError):
        container().add_stream(source, target)


# --- Unknown names


def test_a_misspelt_operation_is_a_build_error_with_a_suggestion() -> None:
    """B048."""
    runtime = FlowRuntime()
    runtime.add_operations(functions(find_files=same, count_words=same))
    wire(runtime, ".in -> fnid_files", "find_files -> count_words -> .out")

    assert build_error(runtime) == (
        'stream ".in -> fnid_files" at HERE: there is no operation or flow "fnid_files". '
        'Did you mean "find_files"? There are: count_words, find_files.'
    )


def test_a_misspelt_flow_is_a_build_error_with_a_suggestion() -> None:
    runtime = FlowRuntime()
    runtime.add_flow(flow_of("import", ".in -> .out"))
    wire(runtime, ".in -> improt.in", "import.out -> .out")

    assert build_error(runtime) == (
        'stream ".in -> improt.in" at HERE: there is no operation or flow "improt". '
        'Did you mean "import"? There are: import.'
    )


def test_a_target_in_a_flow_without_any_operation_is_a_build_error() -> None:
    runtime = FlowRuntime()
    runtime.add_stream(".in", "missing")

    assert build_error(runtime) == (
        'stream ".in -> missing" at HERE: there is no operation or flow "missing". '
        "Nothing is registered here: add_operations(container) or add_flow(flow) does that."
    )


def test_a_fault_says_where_the_stream_was_declared() -> None:
    runtime = FlowRuntime()
    runtime.add_stream(".in", "missing")

    with runtime, pytest.raises(FlowBuildError, match=r"test_bad_input\.py:\d+: there is no"):
        runtime.process(".in", 1)


@pytest.mark.parametrize(
    ("operation", "stream", "expected"),
    [
        (
            Gather("gather"),
            ".in -> gather.strem",
            'operation "gather" has no in-port ".strem". Did you mean ".stream"? There are: .count, .stream.',
        ),
        (
            Gather("gather"),
            ".in -> gather",
            'operation "gather" has no default in-port. There are: .count, .stream.',
        ),
        (
            Gather("gather"),
            "gather.out -> .out",
            'operation "gather" has no out-port ".out". Its only port is the default one: write "gather".',
        ),
        (
            Scatter("scatter"),
            "scatter.strem -> .out",
            'operation "scatter" has no out-port ".strem". Did you mean ".stream"? There are: .count, .stream.',
        ),
        (
            PushCausality("push"),
            "push.exceptoin -> .out",
            'operation "push" has no out-port ".exceptoin". Did you mean ".exception"? There are: .exception, push.',
        ),
    ],
)
def test_an_unknown_port_is_a_build_error_with_a_suggestion(
    operation: Operation, stream: str, expected: str
) -> None:
    runtime = FlowRuntime()
    runtime.add_operation(operation)
    wire(runtime, stream)

    assert build_error(runtime) == f'stream "{stream}" at HERE: {expected}'


def no_emission(data: Any) -> None: ...


def two_ways(data: Any, on_ok: Callable[[Any], None], on_bad: Callable[[Any], None]) -> None: ...


@pytest.mark.parametrize(
    ("action", "source", "expected"),
    [
        (
            two_ways,
            "check.on_okay",
            'no out-port ".on_okay". Did you mean ".on_ok"? There are: .on_bad, .on_ok.',
        ),
        (two_ways, "check", "no default out-port. There are: .on_bad, .on_ok."),
        (
            no_emission,
            "check",
            "no default out-port. It emits nothing: give it a continuation, or signal=True.",
        ),
    ],
)
def test_an_unknown_port_of_an_action_is_a_build_error(action: Any, source: str, expected: str) -> None:
    runtime = runtime_of(FlowOperationContainer().add_action("check", action), f"{source} -> .out")

    assert build_error(runtime) == f'stream "{source} -> .out" at HERE: operation "check" has {expected}'


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (".in -> inner.inn", 'flow "inner" has no way in ".inn". Did you mean ".in"? There are: .in.'),
        ("inner.uot -> .out", 'flow "inner" has no way out ".uot". Did you mean ".out"? There are: .out.'),
        (".in -> inner", 'flow "inner" has no default way in. There are: .in.'),
        (".in -> inner/.inn", 'flow "inner" has no way in ".inn". Did you mean ".in"? There are: .in.'),
        (".in -> inner#2/.out", 'flow "inner" has no way in ".out". There are: .in.'),
        (".in -> iner/.in", 'there is no flow "iner". Did you mean "inner"? There are: inner.'),
    ],
)
def test_an_unknown_port_of_a_flow_is_a_build_error(stream: str, expected: str) -> None:
    runtime = FlowRuntime()
    runtime.add_flow(flow_of("inner", ".in -> .out"))
    wire(runtime, stream)

    assert build_error(runtime) == f'stream "{stream}" at HERE: {expected}'


def test_a_way_into_a_flow_may_be_used_by_streams_around_it_alone() -> None:
    inner, outer = (
        flow_of("inner", ".other -> .out"),
        flow_of("outer", ".in -> inner/.in", "inner/.in -> .out"),
    )

    with FlowRuntime(
        flow_of("", ".in -> outer.in", "outer.out -> .out").add_flow(outer.add_flow(inner))
    ) as runtime:
        assert [message.port.fullname for message in runtime.process(".in", 1).results()] == [".out"]


def test_all_faults_of_a_flow_are_in_one_error() -> None:
    inner = flow_of("inner", ".in -> misspelt")
    runtime = FlowRuntime()
    runtime.add_flow(inner).add_operations(functions(parse=same, save=same).add_operation(Gather("gather")))
    wire(runtime, ".in -> pars", "parse -> gather.strem", "nowhere -> save -> inner.in")

    assert build_error(runtime) == (
        "the flow has 4 faults:\n"
        '  1. stream ".in -> pars" at HERE: there is no operation or flow "pars". '
        'Did you mean "parse"? There are: gather, inner, parse, save.\n'
        '  2. stream "parse -> gather.strem" at HERE: operation "gather" has no in-port ".strem". '
        'Did you mean ".stream"? There are: .count, .stream.\n'
        '  3. stream "nowhere -> save" at HERE: there is no operation or flow "nowhere". '
        "There are: gather, inner, parse, save.\n"
        '  4. stream ".in -> misspelt" at HERE: there is no operation or flow "misspelt". '
        "There are: gather, inner, parse, save."
    )


def test_a_fault_inside_a_nested_flow_is_found_before_anything_runs() -> None:
    calls: list[Any] = []
    inner = flow_of("inner", ".in -> misspelt -> .out")
    runtime = FlowRuntime()
    runtime.add_flow(inner).add_operations(FlowOperationContainer().add_func("first", calls.append))
    wire(runtime, ".in -> first -> inner.in", "inner.out -> .out")

    assert '"misspelt"' in build_error(runtime)
    assert calls == []


def test_a_change_that_does_not_check_out_is_not_swapped_in() -> None:
    """B054."""
    with runtime_of(functions(a=increment), ".in -> a -> .out") as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]
        wire(runtime, ".in -> b -> .out")

        with pytest.raises(FlowBuildError) as caught:
            runtime.process(".in", 1)

        assert caught.value.__notes__ == ["The change was not made; the flow goes on as it was."]
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]
        runtime.add_operations(functions(b=double))
        wire(runtime, ".in -> b -> .out")
        assert sorted(runtime.process(".in", 4).values(timeout=SECONDS)) == [5, 8]


# --- Declarations


@pytest.mark.parametrize("second", ["parse", "PARSE"])
def test_two_operations_of_one_name_are_a_build_error(second: str) -> None:
    container = functions(parse=same)

    with pytest.raises(FlowBuildError) as caught:
        container.add_func(second, increment)

    assert text_of(caught.value) == (
        f'there are two operations "{second}": at HERE and at HERE. '
        "Names ignore case; give one of them another name."
    )


def test_of_a_container_with_a_name_twice_nothing_is_added() -> None:
    """B054."""
    with runtime_of(functions(parse=increment), ".in -> parse -> .out") as runtime:
        with pytest.raises(FlowBuildError, match='"parse"'):
            runtime.add_operations(functions(other=same, parse=double))

        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]
        # Were "other" there already, this would be a name twice.
        runtime.add_operations(functions(other=same))


@pytest.mark.parametrize(
    ("name", "shown", "what"),
    [
        ("a/b", "a/b", '2 is "/" (U+002F)'),
        ("a.b", "a.b", '2 is "." (U+002E)'),
        ("/", "/", '1 is "/" (U+002F)'),
        ("bcd#1", "bcd#1", '4 is "#" (U+0023)'),
        ("a\nb", r"a\nb", "2 is the control character U+000A"),
        ("\u200e\u2028a", r"\u200e\u2028a", "2 is the control character U+2028"),
        ("a\ud800", r"a\ud800", "2 is the control character U+D800"),
    ],
)
@pytest.mark.parametrize("named", [lambda name: FlowOperationContainer().add_func(name, same), Flow])
def test_a_name_no_stream_could_reach_is_a_build_error(name: str, shown: str, what: str, named: Any) -> None:
    """B053."""
    with pytest.raises(FlowBuildError) as caught:
        named(name)

    owner = "a flow" if named is Flow else "an operation"
    assert text_of(caught.value) == (
        f'{owner} cannot be named "{shown}": no stream could reach it, for its character {what}. '
        r"Leave . / \ # * and control characters out of its name."
    )


@pytest.mark.parametrize("name", ["", " "])
def test_an_operation_needs_a_name(name: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_func(name, same)

    assert text_of(caught.value) == (
        f'an operation cannot be named "{name}": no stream could reach it. Give it a name.'
    )


@pytest.mark.parametrize(("name", "kind"), [(None, "NoneType"), (5, "int"), (same, "function")])
def test_a_name_that_is_no_text_is_a_build_error(name: Any, kind: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_func(name, same)

    assert text_of(caught.value) == (
        f"an operation's name is a text, got {kind}. The name comes first: add_func(name, function)."
    )


def two_required(first: Any, second: Any) -> None: ...


def required_keyword(data: Any, *, factor: int) -> None: ...


async def coroutine(data: Any) -> None: ...


async def async_generator(data: Any) -> Any:
    yield data


def items(data: Any) -> Iterator[Any]:
    yield data


KEYWORD_ONLY = (
    "has keyword-only parameters without a default (factor), which nobody would pass. "
    "Give them defaults, or bind them with functools.partial."
)
TWO_ARGUMENTS = (
    "needs 2 arguments (first, second), but an operation gets one: its data. "
    "Pass a tuple and unpack it inside, or bind the others with functools.partial."
)
NOT_CALLABLE = "needs something that can be called, got {}. Pass the function itself, without calling it."
ASYNC_DEF = (
    "is an async def, and this version of flowrt runs no event loop for operations. Make it a plain function "
    "(it may call asyncio.run) and give it a thread with make_async() or make_parallel(n)."
)


@pytest.mark.parametrize(
    ("kind", "function", "expected"),
    [
        ("func", two_required, TWO_ARGUMENTS + " If second is what it emits through, use add_action."),
        ("generator", two_required, TWO_ARGUMENTS),
        ("func", required_keyword, KEYWORD_ONLY),
        ("action", required_keyword, KEYWORD_ONLY),
        ("generator", required_keyword, KEYWORD_ONLY),
        ("func", 5, NOT_CALLABLE.format("int")),
        ("action", "text", NOT_CALLABLE.format("str")),
        ("generator", None, NOT_CALLABLE.format("NoneType")),
        ("func", coroutine, ASYNC_DEF),
        ("action", coroutine, ASYNC_DEF),
        ("generator", coroutine, ASYNC_DEF),
        ("func", async_generator, ASYNC_DEF),
        ("generator", async_generator, ASYNC_DEF),
        ("func", items, 'is a generator function. Add it with add_generator("work", ...), which emits each item it yields.'),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_what_cannot_be_an_operation_is_a_build_error(kind: str, function: Any, expected: str) -> None:
    """B064."""
    with pytest.raises(FlowBuildError) as caught:
        getattr(FlowOperationContainer(), f"add_{kind}")("work", function)

    assert text_of(caught.value) == f'{"function" if kind == "func" else kind} "work" {expected}'


def test_the_name_of_a_flow_is_a_text() -> None:
    for make in (Flow, lambda name: Flow.from_text("a, b", name)):
        with pytest.raises(FlowBuildError, match=r"^a flow is named by a str, not by a value of type int\.$"):
            make(3)  # type: ignore[arg-type]


def test_what_does_not_fulfil_the_contract_is_no_operation() -> None:
    class Nothing:
        name = "nothing"

    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_operation(Nothing())

    assert text_of(caught.value) == (
        "the operation (Nothing) lacks in_ports, out_ports, create, handle, drained, cancelled of the Operation "
        "contract. Add plain callables with add_func or add_action."
    )


@pytest.mark.parametrize("workers", [0, -1, 1.5, "four", None, True], ids=repr)
def test_workers_must_be_a_whole_number_of_one_or_more(workers: Any) -> None:
    container = functions(parse=same)

    with pytest.raises(FlowBuildError) as caught:
        container.make_parallel(workers)

    assert text_of(caught.value) == (
        f'operation "parse": make_parallel(workers={workers!r}) cannot run anything; '
        "give a number of threads from 1 to 10000."
    )


@pytest.mark.parametrize("make", [Gather, Scatter, PushCausality, PopCausality, Own])
def test_an_operation_with_state_cannot_be_made_parallel(make: Callable[[str], Operation]) -> None:
    """B159, B238 (BUG): there, several threads enter it at once."""
    container = FlowOperationContainer().add_operation(make("stateful"))

    with pytest.raises(FlowBuildError) as caught:
        container.make_parallel()

    assert text_of(caught.value) == (
        f'operation "stateful" ({make.__name__}) keeps state, so only one thread at a time may enter it; '
        "make_parallel is for functions, actions and generators. "
        "Leave it sync and make the operations around it parallel."
    )


def test_parallel_cannot_be_ordered_and_keyed_at_once() -> None:
    with pytest.raises(FlowBuildError) as caught:
        functions(parse=same).make_parallel(2, ordered=True, by_key=len)

    assert text_of(caught.value) == (
        'operation "parse": ordered=True restores the order of all messages, by_key only of those with one key. '
        "Choose one."
    )


@pytest.mark.parametrize("by_key", ["stream", 5])
def test_a_key_is_port_or_a_function(by_key: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        functions(parse=same).make_parallel(2, by_key=by_key)

    assert text_of(caught.value) == (
        f'operation "parse": by_key is {by_key!r}; give "port", or a function of the data.'
    )


@pytest.mark.parametrize("mode", ["make_sync", "make_async", "make_parallel"])
def test_a_mode_without_an_operation_is_a_build_error(mode: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        getattr(FlowOperationContainer(), mode)()

    assert text_of(caught.value) == (
        f"{mode}() has no operation to apply to. Add one first, or select one: container[name].{mode}()."
    )


def test_selecting_an_unknown_operation_says_which_there_are() -> None:
    container = functions(parse=same, save=same)

    with pytest.raises(FlowBuildError) as caught:
        container["pars"]

    assert text_of(caught.value) == (
        'there is no operation "pars" to select. Did you mean "parse"? There are: parse, save.'
    )


@pytest.mark.parametrize(
    ("first", "second", "named", "kinds"),
    [
        (
            lambda c: c.make_async("pool"),
            lambda c: c.make_parallel(4, "pool"),
            "pool",
            ("async", "parallel(4)"),
        ),
        (
            lambda c: c.make_parallel(4, "pool"),
            lambda c: c.make_async("POOL"),
            "POOL",
            ("parallel(4)", "async"),
        ),
        (
            lambda c: c.make_parallel(4, "pool"),
            lambda c: c.make_parallel(5, "pool"),
            "pool",
            ("parallel(4)", "parallel(5)"),
        ),
        (
            lambda c: c.make_async("pool"),
            lambda c: c.make_parallel(1, "pool"),
            "pool",
            ("async", "parallel(1)"),
        ),
    ],
    ids=["async then parallel", "parallel then async", "another size", "another kind of one size"],
)
def test_a_pool_has_one_kind_and_size(
    first: Callable[..., Any], second: Callable[..., Any], named: str, kinds: tuple[str, str]
) -> None:
    """B178 (QUIRK): there, the first decides, silently."""
    container = FlowOperationContainer()
    first(container.add_func("a", same))
    second(container.add_func("b", same))
    runtime = runtime_of(container, ".in -> a -> b -> .out")

    assert build_error(runtime) == (
        f'pool "{named}" is asked for as {kinds[0]} by operation "a" (declared at HERE) and as {kinds[1]} by '
        'operation "b" (declared at HERE). A pool belongs to one kind and size: use another name.'
    )


@pytest.mark.parametrize("window", [0, -1, 1.5, "many", True], ids=repr)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda window: Scatter("source", window=window), "Scatter"),
        (lambda window: FlowOperationContainer().add_generator("source", items, window=window), "generator"),
    ],
    ids=["scatter", "generator"],
)
def test_a_window_is_a_whole_number_of_one_or_more(make: Callable[..., Any], name: str, window: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        make(window)

    assert text_of(caught.value) == (
        f'{name} "source": window is {window!r}; it counts messages, so give an int of 1 or more.'
    )


def test_on_missing_knows_three_words() -> None:
    with pytest.raises(FlowBuildError) as caught:
        Gather("gather", on_missing="skipp")  # type: ignore[arg-type]

    assert text_of(caught.value) == (
        'Gather "gather": on_missing is \'skipp\'. Choose "fail", "skip" or "collect".'
    )


@pytest.mark.parametrize("bound", ["max_open", "max_waiting"])
@pytest.mark.parametrize("value", [0, -1, "many", True], ids=repr)
def test_the_bounds_of_a_gather_are_whole_numbers(bound: str, value: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        Gather("gather", **{bound: value})

    assert text_of(caught.value).startswith(f'Gather "gather": {bound} is {value!r};')


def test_an_unknown_schedule_is_a_build_error_with_a_suggestion() -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(schedule="breadth_frist")  # type: ignore[arg-type]

    assert text_of(caught.value) == (
        'there is no schedule "breadth_frist". Did you mean "breadth_first"? '
        "There are: breadth_first, depth_first, parallel, round_robin, sync."
    )


@pytest.mark.parametrize("bound", ["capacity", "max_live", "max_results"])
@pytest.mark.parametrize("value", [0, -1, "many"], ids=repr)
def test_the_bounds_of_a_runtime_are_whole_numbers(bound: str, value: Any) -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(**{bound: value})

    assert (
        text_of(caught.value)
        == f"FlowRuntime: {bound} is {value!r}; it counts messages, so give an int of 1 or more."
    )


def test_an_instance_of_an_operation_serves_one_runtime_at_a_time() -> None:
    container = FlowOperationContainer().add_operation(Own("own"))
    with runtime_of(container, ".in -> own -> .out", name="first") as first:
        first.process(".in", 1).wait(timeout=SECONDS)
        second = runtime_of(container, ".in -> own -> .out")

        assert build_error(second) == (
            'operation "own" (Own) is already in use by runtime "first": two engines would enter it at once. '
            'Add it with a factory: add_operation("own", Own).'
        )


def test_a_factory_serves_any_number_of_runtimes() -> None:
    container = FlowOperationContainer().add_operation("own", lambda: Own("own"))
    with FlowRuntime() as first, FlowRuntime() as second:
        for runtime in (first, second):
            runtime.add_operations(container)
            wire(runtime, ".in -> own -> .out")

            assert runtime.process(".in", 1).values(timeout=SECONDS) == [1]


# --- Data


@every_mode
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("canary", "got str. Its characters are hardly meant: send [text], or text.splitlines()."),
        (b"canary", "got bytes. Its bytes are hardly meant: send [data]."),
        (
            {"canary": 1},
            "got dict. Send a list or another iterable; of a mapping its .items(), .keys() or .values(), of a table its rows.",
        ),
    ],
    ids=["str", "bytes", "dict"],
)
def test_a_string_given_to_scatter_is_an_error_with_its_remedy(
    bench: Bench, data: Any, expected: str
) -> None:
    """B230."""
    with bench.wired(
        ".in -> scatter", "scatter.stream -> work -> .out", others=[Scatter("scatter")], funcs={"work": same}
    ) as runtime:
        run = runtime.process(".in", data)
        error = failure_of(run)

    assert text_of(error) == (
        'operation "scatter" (declared at HERE) raised FlowBuildError: '
        f'Scatter "scatter" takes a list or another iterable, {expected}'
    )
    assert_ledger(run, accepted=1, failed=1)


@every_mode
def test_an_error_text_holds_no_payload_data_but_what_its_cause_says(bench: Bench) -> None:
    def fails(data: Any) -> Any:
        raise ValueError(f"the cause may say what it likes: {data}")

    with (
        bench.wired(".in -> work -> .out", funcs={"work": fails}) as runtime,
        pytest.raises(OperationError) as caught,
    ):
        runtime.process(".in", "canary-4711", correlation_id="id").wait(timeout=SECONDS)

    assert text_of(caught.value) == (
        'operation "work" (declared at HERE) raised ValueError: the cause may say what it likes: canary-4711'
    )
    assert all("canary-4711" not in note for note in caught.value.__notes__)


@every_mode
def test_an_operation_that_cannot_take_its_data_fails_like_any_other(bench: Bench) -> None:
    """B066."""
    with bench.wired(".in -> number -> .out", funcs={"number": int}) as runtime:
        run = runtime.process(".in", "no number")
        error = failure_of(run)

    assert text_of(error) == f'operation "number" (declared at HERE) raised ValueError: {error.__cause__}'
    assert isinstance(error.__cause__, ValueError)
    assert_ledger(run, accepted=1, failed=1)


@every_mode
def test_a_raising_generator_says_how_far_it_came(bench: Bench) -> None:
    def three(data: Any) -> Iterator[int]:
        yield from range(3)
        raise LookupError("no fourth")

    with (
        bench.wired(".in -> three -> .out", generators={"three": three}) as runtime,
        pytest.raises(OperationError) as caught,
    ):
        runtime.process(".in").wait(timeout=SECONDS)

    assert text_of(caught.value) == (
        'operation "three" (declared at HERE) had emitted 3 messages when it raised LookupError: no fourth'
    )


@few_modes
@pytest.mark.parametrize(
    ("count", "came"),
    [(-1, "a negative number"), (1.5, "a float"), ("3", "a str"), (None, "a NoneType"), (True, "a bool")],
    ids=repr,
)
def test_a_count_that_is_no_whole_number_is_an_error_of_the_gather(
    bench: Bench, count: Any, came: str
) -> None:
    """B23A."""
    with bench.wired(
        ".count -> gather.count", ".stream -> gather.stream", "gather -> .out", others=[Gather("gather")]
    ) as runtime:
        with pytest.raises(OperationError) as caught:
            runtime.process(".count", count).wait(timeout=SECONDS)

        # The gather goes on.
        runtime.process(".stream", "item")
        runtime.process(".count", 1)
        assert runtime.wait_for_result(timeout=SECONDS).data == ["item"]
    assert text_of(caught.value) == (
        f'operation "gather" (declared at HERE) raised FlowBuildError: Gather "gather" got {came} as a count; '
        "it takes an int of 0 or more. Connect the count port of a Scatter, or send the number of items."
    )


@every_mode
def test_a_pop_without_a_push_is_an_error_with_its_remedy(bench: Bench) -> None:
    with (
        bench.wired(".in -> pop -> .out", others=[PopCausality("pop")]) as runtime,
        pytest.raises(OperationError) as caught,
    ):
        runtime.process(".in", 1).wait(timeout=SECONDS)

    assert text_of(caught.value) == (
        'operation "pop" (declared at HERE) raised FlowBuildError: PopCausality "pop" got a message that is in no '
        "causality. Put a PushCausality in front of it on every way that leads here."
    )


# --- Operations that do what they must not


@every_mode
def test_sys_exit_in_an_operation_stops_the_runtime_and_is_raised_in_the_caller(bench: Bench) -> None:
    def leave(data: Any) -> None:
        sys.exit(3)

    with pytest.raises(SystemExit) as caught, bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"leave": leave}))
        wire(runtime, ".in -> leave -> .out")

        runtime.process(".in", 1).wait(timeout=SECONDS)

    assert caught.value.code == 3
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 2)


@every_mode
def test_sys_exit_is_raised_at_the_close_when_nobody_waited(bench: Bench) -> None:
    def leave(data: Any) -> None:
        sys.exit(4)

    with pytest.raises(SystemExit) as caught, bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(funcs={"leave": leave}))
        wire(runtime, ".in -> leave -> .out")

        runtime.process(".in", 1)

    assert caught.value.code == 4


class Odd(BaseException):
    """Neither an Exception nor one that ends a program."""


@few_modes
@pytest.mark.parametrize(
    "error", [GeneratorExit, Odd, StopIteration, StopAsyncIteration, MemoryError, RecursionError]
)
def test_any_other_exception_fails_its_message_and_no_other(bench: Bench, error: type[BaseException]) -> None:
    def raises(number: int) -> int:
        if number == 2:
            raise error
        return number

    with bench.wired(".in -> work -> .out", funcs={"work": raises}) as runtime:
        run = runtime.process_many(".in", range(5))
        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)

        assert text_of(caught.value) == f'operation "work" (declared at HERE) raised {error.__name__}'
        assert isinstance(caught.value.__cause__, error)
        assert_ledger(run, accepted=5, delivered=4, failed=1)
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [1]


@every_mode
def test_an_operation_may_close_its_own_runtime(bench: Bench) -> None:
    closed = threading.Event()
    runtime = bench.make_runtime(name="demo")

    def close(data: Any) -> str:
        runtime.close()
        closed.set()
        return "returned"

    runtime.add_operations(bench.operations(funcs={"close": close}))
    wire(runtime, ".in -> close -> .out")

    run = runtime.process(".in", 1)

    # What was live when it closed drains.
    assert run.values(timeout=SECONDS) == ["returned"]
    arrived(closed)
    with pytest.raises(FlowStoppedError):
        runtime.process(".in", 2)
    runtime.close()


@every_mode
def test_input_after_the_close_is_refused(bench: Bench) -> None:
    with bench.make_runtime(name="demo") as runtime:
        wire(runtime, ".in -> .out")
        runtime.process(".in", 1).wait(timeout=SECONDS)
        post = runtime.event_processor(".in")

    for late in (
        lambda: runtime.process(".in", 2),
        lambda: runtime.process(Message(".in", 2)),
        lambda: runtime.process_many(".in", [2]),
        lambda: post(2),
    ):
        with pytest.raises(FlowStoppedError) as caught:
            late()
        assert text_of(caught.value) == (
            'runtime "demo" is closed. Send input, and wait for results, before it is; or make a new one.'
        )


@every_mode
def test_a_wait_inside_an_operation_is_an_error_that_says_so(bench: Bench) -> None:
    with bench.make_runtime() as runtime:

        def waits(data: Any) -> Any:
            return runtime.process(".other", data).result()

        runtime.add_operations(bench.operations(funcs={"waits": waits}))
        wire(runtime, ".in -> waits -> .out", ".other -> .end")

        run = runtime.process(".in", 1)
        error = failure_of(run)

    assert isinstance(error.__cause__, FlowStalledError)
    assert (
        text_of(error)
        == f'operation "waits" (declared at HERE) raised FlowStalledError: {text_of(error.__cause__)}'
    )
    assert text_of(error.__cause__) == (
        "an operation, a handler or a tap waited for run N: it would wait for itself, since nothing moves until it "
        "returns. Emit a message instead of waiting, or wait outside the flow."
    )
    assert_ledger(run, accepted=1, failed=1)


@every_mode
def test_a_run_without_a_result_says_what_became_of_its_messages(bench: Bench) -> None:
    with (
        bench.wired(".in -> keep", actions={"keep": no_emission}, name="demo") as runtime,
        pytest.raises(FlowError) as caught,
    ):
        runtime.process(".in", 1).result(timeout=SECONDS)

    assert text_of(caught.value) == (
        "run N is done and has no result to give: nothing left it by a result port.\n"
        "run N of demo (done): in 1 + born 0 = absorbed 1\n"
        "  .in   in 1\n"
        "  keep  absorbed 1"
    )


@every_mode
def test_a_run_whose_results_were_read_elsewhere_says_so(bench: Bench) -> None:
    with bench.make_runtime(name="demo") as runtime:
        wire(runtime, ".in -> .out")
        run = runtime.process_many(".in", [1, 2])
        assert [message.data for message in runtime.results(timeout=SECONDS)] == [1, 2]

        with pytest.raises(FlowError) as caught:
            run.result(timeout=SECONDS)

    assert text_of(caught.value).splitlines()[0] == (
        "run N is done and has no result to give: 2 results left it, and all were read by the runtime's readers."
    )


class Hoarder(Own):
    """Keeps what it may emit with only during the call."""

    def handle(self, state: None, message: Message, emit: Callable[..., None]) -> None:
        self.emit = emit


@every_mode
def test_an_emitter_used_after_its_call_says_so(bench: Bench) -> None:
    hoarder = Hoarder("hoarder")
    with bench.make_runtime() as runtime:
        runtime.add_operation(hoarder)
        wire(runtime, ".in -> hoarder -> .out")
        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

        with pytest.raises(FlowError) as caught:
            hoarder.emit("late")

    assert text_of(caught.value) == (
        "an operation used its emitter after the call it was handed to had returned: nobody would take what it emits. "
        "Emit during the call; an action's continuations may be kept and called later."
    )
    assert_ledger(run, accepted=1, absorbed=1)


# --- Bounds


@every_mode
def test_unread_results_past_their_bound_make_further_input_an_overload(bench: Bench) -> None:
    with bench.make_runtime(name="demo", max_results=3) as runtime:
        wire(runtime, ".in -> .out")
        for number in range(3):
            runtime.process(".in", number)
            runtime.wait_idle(timeout=SECONDS)

        with pytest.raises(FlowOverloadError) as caught:
            runtime.process(".in", 3)

        assert [message.data for message in runtime.results(timeout=SECONDS)] == [0, 1, 2]
        assert runtime.process(".in", 9).values(timeout=SECONDS) == [9]
    assert text_of(caught.value) == (
        'runtime "demo" holds max_results=3 unread results. Read them (wait_for_result, run.results), or subscribe '
        "with on_result, which keeps none."
    )


@every_mode
def test_more_live_messages_than_allowed_fail_the_run_that_makes_them(bench: Bench) -> None:
    def explode(number: int, on_number: Callable[[int], None]) -> None:
        for _ in range(number):
            on_number(number)

    with bench.wired(
        ".in -> explode -> work -> .out", actions={"explode": explode}, funcs={"work": same}, max_live=1000
    ) as runtime:
        with pytest.raises(FlowOverloadError) as caught:
            runtime.process(".in", 5000).wait(timeout=SECONDS)

        runtime.wait_idle(timeout=SECONDS)
        assert len(runtime.process(".in", 3).values(timeout=SECONDS)) == 3
    assert text_of(caught.value) == (
        '"explode" brought the runtime to more than max_live=1000 live messages. Emit from a generator or a Scatter, '
        "which wait for room, instead of all at once; or raise max_live."
    )


@real_queues
def test_input_past_the_capacity_waits_and_times_out(bench: Bench) -> None:
    release = threading.Event()

    def hold(number: int) -> int:
        arrived(release)
        return number

    with bench.wired(".in -> hold -> .out", funcs={"hold": hold}, name="demo", capacity=2) as runtime:
        try:
            runtime.process(".in", 1)
            runtime.process(".in", 2)
            with pytest.raises(FlowTimeoutError) as caught:
                runtime.process(".in", 3, timeout=0.02)
        finally:
            release.set()

        values = sorted(message.data for message in runtime.results(timeout=SECONDS))

    assert values == [1, 2]
    assert text_of(caught.value) == (
        'runtime "demo": no room for input within 0.02 s: capacity=2 messages are live. Nothing more was sent; '
        "wait longer, raise capacity, or speed the slowest operation up."
    )


# --- Subscribers


@every_mode
def test_an_exception_handler_that_raises_is_contained_and_reported_at_the_close(bench: Bench) -> None:
    def broken(error: Any) -> None:
        raise LookupError("broken handler")

    runtime = bench.wired(".in -> refuse -> .out", ".ok -> .out", funcs={"refuse": refuse})
    runtime.on_exception(broken)

    with pytest.raises(BaseException) as caught, runtime:
        runtime.process(".in", 1)
        assert runtime.process(".ok", 2).values(timeout=SECONDS) == [2]

    errors = caught.value.exceptions if isinstance(caught.value, BaseExceptionGroup) else (caught.value,)
    texts = {text_of(error): type(error.__cause__) for error in errors}
    expected = "a subscriber of on_exception raised LookupError; the flow went on. Catch what it may raise inside it."
    assert texts[expected] is LookupError


def test_a_timeout_that_is_no_number_is_refused_by_every_wait() -> None:
    go_on = threading.Event()
    operations = FlowOperationContainer().add_func("wait", lambda x: go_on.wait(SECONDS) and x)
    with FlowRuntime(flow_of("", ".in -> wait -> .out", operations=operations)) as runtime:
        run = runtime.process(".in", 1)
        for wait in (run.wait, run.result, run.values, runtime.wait_for_result, runtime.wait_idle):
            with pytest.raises(FlowBuildError) as error:
                wait("5")  # type: ignore[arg-type]
            assert (
                str(error.value)
                == "a timeout is a number of seconds, or None to wait as long as it takes; got '5'."
            )
        go_on.set()
        assert run.values(SECONDS) == [1]


# --- F35, F36: names that lead nowhere, and names twice


def test_f35_every_stream_to_nowhere_is_found_before_anything_runs_with_a_suggestion() -> None:
    calls: list[Any] = []
    inner = flow_of(
        "inner", ".in -> lodad -> .out", operations=FlowOperationContainer().add_func("load", same)
    )
    runtime = FlowRuntime(name="f35", strict=True)
    runtime.add_flow(inner)
    runtime.add_operations(
        FlowOperationContainer()
        .add_action("check", lambda data, on_good, on_bad: calls.append(data))
        .add_operation(Scatter("scatter"))
        .add_operation(Gather("gather"))
        .add_func("lonely", same)
    )
    wire(
        runtime,
        ".in -> chekc",
        "check.on_godo -> gather.strem",
        "scatter.stram -> inner.inn",
        ".in -> lonely",
    )

    with pytest.raises(FlowBuildError) as caught:
        runtime.process(".in", 1)
    text = text_of(caught.value)

    for fault in (
        'there is no operation or flow "chekc". Did you mean "check"?',
        'operation "check" has no out-port ".on_godo". Did you mean ".on_good"?',
        'operation "gather" has no in-port ".strem". Did you mean ".stream"?',
        'operation "scatter" has no out-port ".stram". Did you mean ".stream"?',
        'there is no operation or flow "lodad". Did you mean "load"?',
        'strict: no stream takes what leaves at "lonely"',
    ):
        assert fault in text
    assert calls == []
    assert runtime.close().clean


@pytest.mark.parametrize("other", ["parse", "PARSE", "Parse"])
def test_f36_a_name_twice_is_an_error_that_says_where_both_are(other: str) -> None:
    container = FlowOperationContainer().add_func("parse", same)
    runtime = FlowRuntime().add_operations(container)
    with pytest.raises(FlowBuildError) as caught:
        runtime.add_operations(FlowOperationContainer().add_func(other, increment))
        wire(runtime, ".in -> parse -> .out")
        runtime.process(".in", 1)

    first, second = [each for each in str(caught.value).split() if ".py:" in each]
    assert first != second
    assert text_of(caught.value).startswith(
        f'there are two operations "{other}": at HERE and at HERE. Names ignore case'
    )
    assert runtime.close().clean


@pytest.mark.parametrize("other", ["load", "LOAD"])
def test_f36_an_operation_wins_over_a_flow_of_its_name_and_two_flows_of_one_are_an_error(other: str) -> None:
    runtime = FlowRuntime().add_operations(FlowOperationContainer().add_func("load", increment))
    runtime.add_flow(flow_of(other, ".in -> .out"))
    wire(runtime, ".in -> load -> .out")
    assert runtime.process(".in", 1).values(SECONDS) == [2]

    with pytest.raises(FlowBuildError, match=r'(?i)there are two flows "load" in one flow'):
        runtime.add_flow(flow_of(other.lower(), ".in -> .out"))
        runtime.process(".in", 1)
    assert runtime.process(".in", 3).values(SECONDS) == [4]
    assert runtime.close().clean
