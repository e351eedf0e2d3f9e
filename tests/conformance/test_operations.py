"""What operations are made of: functions, actions, generators and objects with state, in all modes and schedules."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Emit, FlowOperationContainer, FlowStoppedError, Gather, Message, Operation, OperationError
from flowrt.standard import Zip
from tests.kit.flows import (
    Bench,
    assert_ledger,
    at_ports,
    every_mode,
    every_schedule,
    few_modes,
    flow_of,
    results_of,
    wire,
)
from tests.kit.functions import SECONDS, double, input_of, on_thread, refuse, same

# --- Functions and actions


@few_modes
@pytest.mark.parametrize("data", [None, [], [1, [2]], (), {}, ""], ids=repr)
def test_none_and_lists_are_data_like_any_other(bench: Bench, data: Any) -> None:
    received = []

    def keep(value: Any) -> Any:
        received.append(value)
        return value

    with bench.wired(".in -> keep -> pass -> .out", funcs={"keep": keep, "pass": same}) as runtime:
        values = runtime.process(".in", data).values(timeout=SECONDS)

    assert values == [data]
    assert received == [data]


@every_mode
def test_a_function_without_parameters_is_called_without_the_data(bench: Bench) -> None:
    """B064."""
    with bench.wired(".in -> a -> .out", funcs={"a": lambda: "done"}) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == ["done"]


def with_default(data: int, step: int = 5) -> int:
    return data + step


def with_keyword(data: int, *, step: int = 6) -> int:
    return data + step


class Adder:
    def __init__(self, step: int) -> None:
        self.step = step

    def add(self, data: int) -> int:
        return data + self.step

    def __call__(self, data: int) -> int:
        return data + self.step


@few_modes
@pytest.mark.parametrize(
    ("function", "data", "expected"),
    [
        pytest.param(int, "12", 12, id="int"),
        pytest.param(str, 12, "12", id="str"),
        pytest.param(list, "ab", ["a", "b"], id="list"),
        pytest.param(len, "abc", 3, id="len"),
        pytest.param(str.upper, "abc", "ABC", id="method of a builtin type"),
        pytest.param(operator.itemgetter(1), "abc", "b", id="itemgetter"),
        pytest.param(with_default, 1, 6, id="default"),
        pytest.param(with_keyword, 1, 7, id="keyword-only"),
        pytest.param(functools.partial(with_default, step=9), 1, 10, id="partial"),
        pytest.param(Adder(3).add, 1, 4, id="bound method"),
        pytest.param(Adder(4), 1, 5, id="callable object"),
    ],
)
def test_any_callable_that_takes_the_data_is_a_function(
    bench: Bench, function: Callable[..., Any], data: Any, expected: Any
) -> None:
    """B064."""
    with bench.wired(".in -> a -> .out", funcs={"a": function}) as runtime:
        assert runtime.process(".in", data).values(timeout=SECONDS) == [expected]


@every_mode
def test_an_action_without_continuations_emits_nothing(bench: Bench) -> None:
    """B063."""
    seen = []
    with bench.wired(".in -> keep", actions={"keep": seen.append}) as runtime:
        values = runtime.process_many(".in", range(5)).values(timeout=SECONDS)

    assert values == []
    assert sorted(seen) == [0, 1, 2, 3, 4]


@every_mode
def test_an_action_with_a_signal_emits_none_when_it_is_done(bench: Bench) -> None:
    """B063: the signal has no data, whatever the action returns."""
    seen = []

    def keep(data: int) -> int:
        seen.append(data)
        return data

    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.apply_mode(FlowOperationContainer().add_action("keep", keep, signal=True))
        )
        wire(runtime, ".in -> keep -> .out")

        values = runtime.process_many(".in", range(5)).values(timeout=SECONDS)

    assert values == [None] * 5
    assert sorted(seen) == [0, 1, 2, 3, 4]


@every_mode
@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_an_action_emits_as_often_as_it_calls_its_continuation(bench: Bench, times: int) -> None:
    """B060."""

    def repeat(data: int, on_data: Callable[[Any], None]) -> str:
        for index in range(times):
            on_data((data, index))
        return "ignored"

    with bench.wired(".in -> repeat -> .out", actions={"repeat": repeat}) as runtime:
        values = runtime.process_many(".in", range(4)).values(timeout=SECONDS)

    assert bench.arranged(values) == [(data, index) for data in range(4) for index in range(times)]


@every_mode
def test_two_continuations_emit_on_ports_named_after_the_parameters(bench: Bench) -> None:
    """B061."""

    def check(
        number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None], *, modulus: int = 2
    ) -> None:
        (on_odd if number % modulus else on_even)(number)

    with bench.wired(
        ".in -> check", "check.on_even -> .even", "check.ON_ODD -> .odd", actions={"check": check}
    ) as runtime:
        run = runtime.process_many(".in", range(6))
        messages = list(run.results())

    by_port = {
        name: sorted(message.data for message in messages if message.port.name == name)
        for name in ("even", "odd")
    }
    assert by_port == {"even": [0, 2, 4], "odd": [1, 3, 5]}


@every_mode
def test_an_action_with_three_continuations_has_three_ports(bench: Bench) -> None:
    """B064."""

    def spread(
        data: int, small: Callable[[Any], None], middle: Callable[[Any], None], large: Callable[[Any], None]
    ) -> None:
        small(data)
        middle(data * 10)
        large(data * 100)

    with bench.wired(
        ".in -> spread",
        "spread.small -> .a",
        "spread.middle -> .b",
        "spread.large -> .c",
        actions={"spread": spread},
    ) as runtime:
        messages = list(runtime.process(".in", 1).results())

    assert sorted(at_ports(messages)) == [("a", 1), ("b", 10), ("c", 100)]


@every_mode
def test_parameters_with_defaults_are_no_continuations(bench: Bench) -> None:
    def act(data: int, on_data: Callable[[Any], None], step: int = 3, *, factor: int = 2) -> None:
        on_data((data + step) * factor)

    with bench.wired(".in -> act -> .out", actions={"act": act}) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [8]


@every_mode
def test_continuations_may_be_called_from_threads_the_operation_starts(bench: Bench) -> None:
    """B065."""

    def fan(data: int, on_data: Callable[[Any], None], on_more: Callable[[Any], None]) -> None:
        both = threading.Barrier(2, timeout=SECONDS)

        def emit(continuation: Callable[[Any], None]) -> None:
            both.wait()
            for index in range(10):
                continuation((data, index))

        threads = [threading.Thread(target=emit, args=(continuation,)) for continuation in (on_data, on_more)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)

    with bench.wired(
        ".in -> fan", "fan.on_data -> .data", "fan.on_more -> .more", actions={"fan": fan}
    ) as runtime:
        run = runtime.process_many(".in", range(5))
        messages = list(run.results())

    expected = [(data, index) for data in range(5) for index in range(10)]
    for name in ("data", "more"):
        assert sorted(message.data for message in messages if message.port.name == name) == expected
    assert_ledger(run, accepted=5, born=95, delivered=100)


# --- Signatures, ports and data

Out = Callable[..., None]


def nothing() -> None: ...


def value(data: int) -> None: ...


def output(data: int, emit: Out) -> None:
    emit(data + 1)


def signal(data: int, done: Out) -> None:
    done()


def two(data: int, emit: Out, done: Out) -> None:
    emit(data + 1)
    emit(data + 2)
    done()


@few_modes
@pytest.mark.parametrize(
    ("action", "with_signal", "expected"),
    [
        (nothing, False, []),
        (nothing, True, [("act", None)]),
        (value, False, []),
        (value, True, [("act", None)]),
        (output, False, [("act", 2)]),
        (signal, False, [("act", None)]),
        (two, False, [("act.emit", 2), ("act.emit", 3), ("act.done", None)]),
    ],
)
def test_an_action_emits_what_its_signature_says(
    bench: Bench, action: Callable[..., None], with_signal: bool, expected: list[tuple[str, Any]]
) -> None:
    """B060, B061, B063, B064."""
    container = FlowOperationContainer().add_action("act", action, signal=with_signal)
    ports = {port for port, _ in expected}
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.apply_mode(container))
        wire(runtime, ".in -> act", *(f"{port} -> .{port.partition('.')[2] or 'act'}" for port in ports))

        messages = list(runtime.process(".in", 1).results())

    found = at_ports(messages)
    assert found == [(port.partition(".")[2] or "act", data) for port, data in expected]


@every_mode
@pytest.mark.parametrize("port", ["act", "act.in", "act.act", "act#1.x"])
def test_whatever_in_port_is_used_output_leaves_at_the_default_port(bench: Bench, port: str) -> None:
    """B062, B071."""
    with bench.wired(
        f".in -> {port}", f"{port.partition('.')[0]} -> .out", actions={"act": output}
    ) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [2]


def add_one(data: int) -> int:
    return data + 1


@every_mode
@pytest.mark.parametrize("data", ["1", None, [1]])
def test_data_is_handed_over_as_it_is_and_what_cannot_take_it_fails(bench: Bench, data: Any) -> None:
    """B066."""
    with (
        bench.wired(
            ".in -> pass -> add -> .out", funcs={"pass": lambda each: each, "add": add_one}
        ) as runtime,
        pytest.raises(OperationError) as caught,
    ):
        runtime.process(".in", data).wait(SECONDS)

    assert caught.value.operation == "add"
    assert isinstance(caught.value.__cause__, TypeError)
    assert input_of(caught.value) is data


# --- Late continuations


class Keeper:
    """An action that keeps its continuation, for the test to call after the action returned."""

    def __init__(self) -> None:
        self.continuations: list[Callable[[Any], None]] = []

    def __call__(self, data: Any, on_data: Callable[[Any], None]) -> None:
        self.continuations.append(on_data)


def at_once(function: Callable[..., Any], *arguments: Any) -> None:
    function(*arguments)


callers = pytest.mark.parametrize("call", [at_once, on_thread], ids=["this thread", "another thread"])


@every_mode
@callers
def test_a_late_continuation_starts_a_run_of_its_own_with_the_context_of_its_input(
    bench: Bench, call: Callable[..., None]
) -> None:
    """B065, B102."""
    keeper = Keeper()
    with bench.wired(
        ".in -> keep -> double -> .out", actions={"keep": keeper}, funcs={"double": double}
    ) as runtime:
        run = runtime.process(".in", "first", correlation_id="an id", priority=7)
        run.wait(timeout=SECONDS)

        call(keeper.continuations[0], 21)
        message = runtime.wait_for_result(timeout=SECONDS)

        assert (message.data, message.correlation_id, message.priority) == (42, "an id", 7)
        assert run.values(timeout=SECONDS) == []
        assert_ledger(run, accepted=1, absorbed=1)


@every_mode
@callers
def test_a_late_continuation_goes_on_in_the_flow_of_its_input(
    bench: Bench, call: Callable[..., None]
) -> None:
    """B065, B102."""
    keeper = Keeper()
    inner = flow_of("inner", ".in -> keep -> double -> .out")
    with bench.wired(
        ".one -> inner#1.in",
        "inner#1.out -> .first",
        ".two -> inner#2.in",
        "inner#2.out -> .second",
        flows=[inner],
        actions={"keep": keeper},
        funcs={"double": double},
    ) as runtime:
        runtime.process(".two", None, correlation_id="two").wait(timeout=SECONDS)
        runtime.process(".one", None, correlation_id="one").wait(timeout=SECONDS)

        call(keeper.continuations[0], 1)
        first = runtime.wait_for_result(timeout=SECONDS)
        call(keeper.continuations[1], 2)
        second = runtime.wait_for_result(timeout=SECONDS)

    assert (first.port.name, first.data, first.correlation_id) == ("second", 2, "two")
    assert (second.port.name, second.data, second.correlation_id) == ("first", 4, "one")


@every_mode
def test_a_failure_after_a_late_continuation_does_not_touch_the_first_run(bench: Bench) -> None:
    keeper = Keeper()
    with bench.wired(
        ".in -> keep -> refuse -> .out", actions={"keep": keeper}, funcs={"refuse": refuse}
    ) as runtime:
        run = runtime.process(".in", "first")
        run.wait(timeout=SECONDS)

        keeper.continuations[0]("late")

        with pytest.raises(OperationError):
            runtime.wait_for_result(timeout=SECONDS)
        assert run.failure is None


@every_mode
def test_a_continuation_called_after_the_runtime_closed_is_told_so(bench: Bench) -> None:
    keeper = Keeper()
    with bench.wired(".in -> keep -> .out", actions={"keep": keeper}) as runtime:
        runtime.process(".in").wait(timeout=SECONDS)

    with pytest.raises(FlowStoppedError):
        keeper.continuations[0]("late")


@every_mode
def test_late_output_has_the_id_of_its_own_input_though_others_are_in_flight(bench: Bench) -> None:
    """B065, B102."""
    kept: dict[int, Out] = {}

    def keep(data: int, emit: Out) -> None:
        kept[data] = emit

    with bench.wired(
        ".in -> inner.in",
        "inner.out -> .out",
        flows=[flow_of("inner", ".in -> keep -> .out")],
        actions={"keep": keep},
    ) as runtime:
        for number in range(5):
            runtime.process(".in", number, correlation_id=f"id {number}")
        runtime.wait_idle(SECONDS)

        for number in (3, 0, 4, 1, 2):
            kept[number](number)
        messages = list(runtime.results(timeout=SECONDS))

    assert sorted((message.data, message.correlation_id) for message in messages) == [
        (number, f"id {number}") for number in range(5)
    ]


# --- Generators


@every_mode
@pytest.mark.parametrize("length", [0, 1, 3, 100])
def test_every_item_a_generator_yields_is_a_message_of_its_own(bench: Bench, length: int) -> None:
    def count(data: int) -> Iterator[tuple[int, int]]:
        for index in range(length):
            yield data, index

    with bench.wired(".in -> count -> .out", generators={"count": count}) as runtime:
        run = runtime.process_many(".in", range(3))
        values = run.values(timeout=SECONDS)

    # Outputs of different inputs may interleave, those of one input keep their order.
    for data in range(3):
        assert [index for owner, index in values if owner == data] == list(range(length))
    assert len(values) == 3 * length


@every_mode
def test_a_generator_may_yield_none_and_lists(bench: Bench) -> None:
    def produce(data: Any) -> Iterator[Any]:
        yield None
        yield []
        yield [data]

    with bench.wired(".in -> produce -> .out", generators={"produce": produce}) as runtime:
        assert runtime.process(".in", 1).values(timeout=SECONDS) == [None, [], [1]]


@every_mode
def test_a_generator_emits_on_other_ports_with_emit(bench: Bench) -> None:
    def sort(numbers: list[int]) -> Iterator[Any]:
        for number in numbers:
            yield Emit("odd", number) if number % 2 else Emit("EVEN", number)
        yield "done"

    with bench.wired(
        ".in -> sort -> .out", "sort.odd -> .odd", "sort.even -> .even", generators={"sort": sort}
    ) as runtime:
        messages = list(runtime.process(".in", [1, 2, 3, 4]).results())

    by_port = {
        name: [each.data for each in messages if each.port.name == name] for name in ("out", "odd", "even")
    }
    assert by_port == {"out": ["done"], "odd": [1, 3], "even": [2, 4]}


@every_mode
def test_what_a_generator_yielded_before_it_raised_has_happened(bench: Bench) -> None:
    def three(data: Any) -> Iterator[int]:
        yield from range(3)
        raise ValueError("no fourth")

    with bench.wired(".in -> three -> .out", generators={"three": three}) as runtime:
        run = runtime.process(".in", "start")
        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)
        values = [message.data for message in results_of(run)]

    assert values == [0, 1, 2]
    assert caught.value.operation == "three"
    assert input_of(caught.value) == "start"
    assert isinstance(caught.value.__cause__, ValueError)
    assert_ledger(run, accepted=1, born=3, delivered=3, failed=1)


@every_mode
def test_a_generator_feeds_a_chain_behind_it(bench: Bench) -> None:
    def count(limit: int) -> Iterator[int]:
        yield from range(limit)

    with bench.wired(
        ".in -> count -> double -> .out", generators={"count": count}, funcs={"double": double}
    ) as runtime:
        values = runtime.process(".in", 3000).values(timeout=SECONDS)

    assert bench.arranged(values) == bench.arranged(range(0, 6000, 2))


# --- Operations of one's own, and instances


class Summing:
    """Emits the sum so far, per place."""

    in_ports: tuple[str, ...] | None = ("number", "reset")
    out_ports: tuple[str, ...] | None = ("", "done")

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> list[int]:
        return [0]

    def handle(self, state: list[int], message: Message, emit: Callable[..., None]) -> None:
        if message.port.name == "reset":
            state[0] = 0
            emit("reset", "done")
        else:
            state[0] += message.data
            emit(state[0])

    def drained(self, state: list[int], scope: Any, emit: Callable[..., None]) -> None:
        pass

    def cancelled(self, state: list[int], run: Any) -> None:
        pass


class Inheriting(Operation):
    """The same, by the exported contract."""

    in_ports = Summing.in_ports
    out_ports = Summing.out_ports
    create = Summing.create
    handle = Summing.handle
    drained = Summing.drained
    cancelled = Summing.cancelled

    def __init__(self, name: str) -> None:
        self.name = name


@every_mode
@pytest.mark.parametrize("make", [Summing, Inheriting], ids=lambda make: make.__name__)
@pytest.mark.parametrize("by", ["instance", "factory"])
def test_an_operation_of_ones_own_keeps_its_state_per_place(bench: Bench, make: type[Any], by: str) -> None:
    """B067, B072."""
    with bench.make_runtime() as runtime:
        if by == "instance":
            runtime.add_operation(make("sum"))
        else:
            runtime.add_operation("sum", lambda: make("sum"))
        for number in (1, 2):
            wire(
                runtime,
                f".in{number} -> sum#{number}.number",
                f"sum#{number} -> .out",
                f".reset{number} -> sum#{number}.reset",
            )
        wire(runtime, "sum#1.done -> .done")

        first = [runtime.process(".in1", number).result(timeout=SECONDS).data for number in (1, 2, 3)]
        second = runtime.process(".in2", 10).result(timeout=SECONDS).data
        reset = runtime.process(".reset1").result(timeout=SECONDS)
        again = runtime.process(".in1", 7).result(timeout=SECONDS).data

    assert (first, second, again) == ([1, 3, 6], 10, 7)
    assert (reset.port.name, reset.data) == ("done", "reset")


@every_schedule
def test_operators_at_two_instances_do_not_feed_each_other(bench: Bench) -> None:
    """B072."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_operation(Zip("zip", ("left", "right")))
            .add_operation(Gather("gather"))
        )
        for number in (1, 2):
            wire(
                runtime,
                f".left{number} -> zip#{number}.left",
                f".right{number} -> zip#{number}.right",
                f"zip#{number} -> .pair{number}",
                f".item{number} -> gather#{number}.stream",
                f".count{number} -> gather#{number}.count",
                f"gather#{number} -> .list{number}",
            )
        inputs = {".left1": "A", ".right2": "b", ".item1": "one", ".count2": 1, ".item2": "two", ".count1": 1}
        for port, data in inputs.items():
            runtime.process(port, data, correlation_id="id")
        runtime.process(".right1", "a", correlation_id="id")
        runtime.process(".left2", "B", correlation_id="id")
        messages = list(runtime.results(timeout=SECONDS))

    assert at_ports(messages) == [
        ("list2", ["two"]),
        ("list1", ["one"]),
        ("pair1", ("A", "a")),
        ("pair2", ("B", "b")),
    ]
