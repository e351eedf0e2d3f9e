"""Small flows with oracles, for the simulation: whatever the order of events, each must do what it says.

What is asked for is written down here, not taken from the ledger: which calls are made, which results come and in which order, each error once. Then
the books must balance and nothing may be left anywhere.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, cast

from flowrt import FlowOperationContainer, FlowRuntime, Message, OperationError, Run
from flowrt.messages import EXCEPTION_PRIORITY
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from flowrt.testing import Simulation, simulated
from flowrt.testing.simulation import Possibility

GROUPS = 3  # workers take one, two or three messages at most
PORTIONS = 4


class Refused(Exception):
    """What operations raise."""


class Bench:
    """A runtime in the simulation, with what came of it."""

    def __init__(self, seed: int, runtime: FlowRuntime, simulation: Simulation) -> None:
        self.seed = seed
        self.runtime = runtime
        self.runs: list[Run] = []
        self.results: list[Message] = []
        self.told: list[OperationError] = []
        self._simulation = simulation

    @property
    def values(self) -> list[Any]:
        """The data of the results, as they came."""
        return [message.data for message in self.results]

    def values_of(self, run: Run) -> list[Any]:
        """The data of the results of one run, of those sent with `labelled=True`."""
        label = ("run", self.runs.index(run))
        return [m.data for m in self.results if m.correlation_id == label]

    def later(self, name: str, call: Callable[[], Any]) -> None:
        """Something from outside, when the simulation chooses it; in the order in which it is named."""
        self._simulation.inputs.append(Possibility(name, lambda: call() and None))

    def send(self, *data: Any, port: str = ".in", labelled: bool = False, **options: Any) -> None:
        """One run for each datum, sent at moments that the simulation chooses. `labelled`: each with a correlation id of its own."""
        for each in data:
            self.later(f"send {each}", partial(self._send, port, each, options, labelled=labelled))

    def _send(self, port: str, data: Any, options: dict[str, Any], *, labelled: bool) -> None:
        if labelled:
            options = {"correlation_id": ("run", len(self.runs)), **options}
        self.runs.append(self.runtime.process(port, data, **options))

    def let_all_in(self) -> None:
        """Go on until everything has come from outside."""
        self.runtime._owner.wait_until(lambda: not self._simulation.inputs, None)

    def settle(self) -> None:
        """Let everything happen."""
        self.let_all_in()
        self.runtime.wait_idle()


@contextlib.contextmanager
def opened(seed: int, operations: FlowOperationContainer, *chains: str, **options: Any) -> Iterator[Bench]:
    """A bench for a flow; in the end its books must balance, and nothing be left."""
    seams = simulated(seed, group=1 + seed % GROUPS)
    schedule = ("breadth_first", "depth_first")[seed // GROUPS % 2]
    runtime = FlowRuntime(seams=seams, name="planted", **{"schedule": schedule, **options})
    try:
        for chain in chains:
            ends = chain.split(" -> ")
            for source, target in pairwise(ends):
                runtime.add_stream(source, target)
        runtime.add_operations(operations)
        bench = Bench(seed, runtime, cast("Simulation", seams.simulation))
        runtime.on_result(bench.results.append)
        runtime.on_exception(bench.told.append)
        yield bench
        bench.settle()
        check_idle(runtime, bench.runs)
    finally:
        report = runtime.close()
    assert not report.abandoned


def check_idle(runtime: FlowRuntime, runs: Iterable[Run]) -> None:
    """Nothing is left, in no book and no window."""
    for run in runs:
        ledger = run.ledger
        assert run.done, ledger
        assert ledger.balanced, ledger
        assert not ledger.live, ledger
        assert all(row.count >= 0 for row in ledger.places if row.what != "born"), ledger
    engine = runtime._owner.engine
    assert engine.books.live == 0
    assert not engine.books.runs
    assert engine.books.outside.live == 0
    assert engine.under_way >= 0  # a worker may still be on its way to say that it has finished
    assert engine.sources.count == 0
    windows = {place.name: place.window for place in engine.routes.all_places()}
    assert all(window is None or window.live == 0 for window in windows.values()), windows


class Calls:
    """A function that knows what it was called with, in which order."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.made: list[Any] = []

    def __call__(self, data: Any) -> Any:
        self.made.append(data)
        return self.function(data)


def same(data: Any) -> Any:
    return data


def refuse_threes(number: int) -> int:
    if number % 3 == 0:
        raise Refused(number)
    return number


# --- order


def a_chain_in_order(seed: int) -> None:
    """Async and ordered operations keep the order of their inputs, and make each call once."""
    first, second, third = Calls(same), Calls(same), Calls(same)
    operations = FlowOperationContainer().add_func("first", first).make_async()
    operations.add_func("second", second).make_parallel(3, ordered=True)
    operations.add_func("third", third).make_async()
    numbers = list(
        range(12)
    )  # sent by an iterator: of a list there would be one chunk, and less that can go wrong
    with opened(seed, operations, ".in -> first -> second -> third -> .out") as bench:
        bench.later("send", lambda: bench.runs.append(bench.runtime.process_many(".in", iter(numbers))))
        bench.send(12, 13)
    assert bench.values == list(range(14))
    assert first.made == third.made == list(range(14))
    assert sorted(second.made) == list(range(14))


def send_many(bench: Bench, numbers: range) -> None:
    bench.runs.append(bench.runtime.process_many(".in", numbers))


def ports_in_turn(seed: int) -> None:
    """Round-robin, ports take turns and each keeps its order."""
    operations = FlowOperationContainer().add_func("first", same).add_func("second", same).make_async()
    chains = ".in -> first -> second -> .out", ".other -> second"
    with opened(seed, operations, *chains, schedule="round_robin") as bench:
        for start in (0, 10, 20):
            bench.later("send", partial(send_many, bench, range(start, start + 4)))
            bench.send(start + 100, port=".other")
    assert [number for number in bench.values if number < 100] == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert [number for number in bench.values if number >= 100] == [100, 110, 120]


def shared_out_in_order(seed: int) -> None:
    """Parallel, what is sync keeps the order of its inputs, whoever of the four performs it."""
    first, second = Calls(same), Calls(same)
    operations = FlowOperationContainer().add_func("first", first).add_func("second", second)
    with opened(seed, operations, ".in -> first -> second -> .out", schedule="parallel") as bench:
        bench.send(*range(8))
    assert bench.values == list(range(8))
    assert sorted(first.made) == sorted(second.made) == list(range(8))


def one_key_at_a_time(seed: int) -> None:
    """What has one key stays in order, and each call is made once."""
    work = Calls(same)
    operations = FlowOperationContainer().add_func("work", work)
    operations.make_parallel(3, by_key=lambda number: number // 3 % 2)  # three of one key in a row
    with opened(seed, operations, ".in -> work -> .out") as bench:
        bench.later("send", lambda: bench.runs.append(bench.runtime.process_many(".in", iter(range(9)))))
        bench.send(9, 10, 11)
    for key in (0, 1):
        expected = [number for number in range(12) if number // 3 % 2 == key]
        assert [number for number in work.made if number in expected] == expected
        assert [number for number in bench.values if number in expected] == expected


def failures_in_order(seed: int) -> None:
    """An ordered operation that fails goes on with the next, in order, and each error is told once."""
    operations = FlowOperationContainer().add_func("work", refuse_threes)
    operations.make_parallel(2, ordered=True).add_func("last", same).make_async()
    with opened(seed, operations, ".in -> work -> last -> .out") as bench:
        bench.later("send", lambda: bench.runs.append(bench.runtime.process_many(".in", iter(range(10)))))
    assert bench.values == [number for number in range(10) if number % 3]
    check_told(bench, [0, 3, 6, 9])


# --- failures


def cause_of(error: BaseException) -> int:
    """The number that was refused."""
    assert isinstance(error.__cause__, Refused), error
    number: int = error.__cause__.args[0]
    return number


def check_told(bench: Bench, expected: Iterable[Any]) -> None:
    """Each error came to exactly one place."""
    assert Counter(map(cause_of, bench.told)) == Counter(expected)
    assert not any(run.failures for run in bench.runs)


def failures_each_once(seed: int) -> None:
    """Each failure is told once, and disturbs no other message."""
    operations = FlowOperationContainer().add_func("work", refuse_threes).make_async()
    operations.add_func("more", same).make_parallel(2)
    with opened(seed, operations, ".in -> work -> more -> .out") as bench:
        bench.later("send", lambda: bench.runs.append(bench.runtime.process_many(".in", iter(range(8)))))
        bench.send(8, 9)
    assert sorted(bench.values) == [1, 2, 4, 5, 7, 8]
    check_told(bench, [0, 3, 6, 9])


def failures_behind_branches(seed: int) -> None:
    """The note on an error tells the way that its message came."""

    def part(number: int, on_even: Callable[[int], None], on_odd: Callable[[int], None]) -> None:
        (on_odd if number % 2 else on_even)(number)

    def refuse(number: int) -> None:
        raise Refused(number)

    operations = FlowOperationContainer().add_action("part", part)
    operations.add_func("even", same).make_parallel(2).add_func("odd", same).make_parallel(2)
    operations.add_func("refuse", refuse)
    chains = (
        ".in -> part",
        "part.on_even -> even -> refuse",
        "part.on_odd -> odd -> refuse",
        "refuse -> .out",
    )
    with opened(seed, operations, *chains) as bench:
        bench.send(*range(6))
    check_told(bench, range(6))
    for error in bench.told:
        name = "odd" if cause_of(error) % 2 else "even"
        assert f"part.on_{name} -> {name} -> refuse" in "\n".join(error.__notes__), error.__notes__


def an_error_leaves_two_causalities(seed: int) -> None:
    """The error of an inner causality goes first wherever it goes, also when it has left the outer one."""
    handled: list[int] = []

    def handle(error: OperationError) -> int:
        handled.append(cause_of(error))
        return handled[-1]

    operations = FlowOperationContainer()
    for operation in (PushCausality("outer"), PushCausality("inner"), PopCausality("pop")):
        operations.add_operation(operation)
    operations.add_func("work", refuse_threes).make_parallel(2).add_func("handle", handle).make_async()
    operations.add_func("last", same).make_async()
    chains = (".in -> outer -> inner -> work -> .done", "inner.exception -> handle -> pop -> last -> .failed")
    with opened(seed, operations, *chains, "outer.exception -> .lost") as bench:
        bench.send(*range(6))
    assert sorted(handled) == [0, 3]
    ports = Counter(str(message.port) for message in bench.results)
    assert ports == {".done": 4, ".failed": 2}, ports
    failed = [message for message in bench.results if str(message.port) == ".failed"]
    assert all(message.priority == EXCEPTION_PRIORITY for message in failed)
    assert not bench.told


def errors_go_first(seed: int) -> None:
    """What handles an error comes before whatever else waits, of any priority."""
    entered: list[tuple[str, int]] = []

    def enter(message: Message) -> None:  # a runtime with a tap takes messages singly
        data = message.data
        number = cause_of(data) if isinstance(data, OperationError) else data
        entered.append((message.port.operation, number))

    operations = FlowOperationContainer().add_operation(PushCausality("push"))
    operations.add_func("work", refuse_threes).add_func("handle", cause_of)
    chains = (".in -> push -> work -> .done", "push.exception -> handle -> .failed")
    with opened(seed, operations, *chains) as bench:
        bench.runtime.on_message(enter)
        for number in range(9):
            bench.send(number, priority=5 * (number // 2 % 3))
    for number in (0, 3, 6):
        assert entered[entered.index(("work", number)) + 1] == ("handle", number), entered


# --- lists and sources


def generated_once_each(seed: int) -> None:
    """What generators yield comes once each, in order for each input, however small the window."""

    def count(number: int) -> Iterator[tuple[int, int]]:
        for index in range(PORTIONS):
            yield number, index

    operations = FlowOperationContainer().add_generator("count", count, window=3).make_parallel(2)
    operations.add_func("work", same).make_async()
    with opened(seed, operations, ".in -> count -> work -> .out") as bench:
        bench.send(0, 1, 2)
    for number in range(3):
        expected = [(number, index) for index in range(PORTIONS)]
        assert [value for value in bench.values if value[0] == number] == expected
    assert len(bench.values) == 3 * PORTIONS


def in_two_lists(window: int, work: str) -> tuple[FlowOperationContainer, tuple[str, ...]]:
    """A scatter for the items of another and the gathers of both, and their streams, with `work` in the middle."""
    operations = FlowOperationContainer()
    operations.add_operation(Scatter("scatter", window=window))
    operations.add_operation(Scatter("inner", window=window))
    operations.add_operation(Gather("gather", ordered=True))
    operations.add_operation(Gather("close", ordered=True))
    chains = (
        ".in -> scatter",
        "scatter.stream -> inner",
        f"inner.stream -> {work} -> close.stream",
        "close -> gather.stream",
        "gather -> .out",
    )
    return operations, chains


def lists_in_lists(seed: int) -> None:
    """Each list is gathered once, whole, with the inner lists inside."""
    operations, chains = in_two_lists(2, "work")
    operations.add_func("work", same).make_parallel(3)
    lists = [[[1, 2, 3], [], [4]], [[5, 6]], []]
    with opened(seed, operations, *chains, "inner.count -> close.count") as bench:
        bench.send(*lists)
    assert sorted(map(str, bench.values)) == sorted(map(str, lists))


def counts_by_correlation_id(seed: int) -> None:
    """Each count makes one list of so many items, in whatever order items and counts come."""
    operations = FlowOperationContainer().add_operation(Gather("gather"))
    operations.add_func("item", same).make_parallel(3).add_func("count", same).make_async()
    with opened(
        seed,
        operations,
        ".items -> item -> gather.stream",
        ".counts -> count -> gather.count",
        "gather -> .out",
    ) as bench:
        bench.send(0, 1, 2, port=".items", correlation_id="list")
        bench.send(2, port=".counts", correlation_id="list")
        bench.send(3, port=".items", correlation_id="list")
        bench.settle()
        assert len(bench.values) == 1
        bench.send(2, port=".counts", correlation_id="list")
    assert [len(value) for value in bench.values] == [2, 2], bench.values
    assert sorted(item for value in bench.values for item in value) == [0, 1, 2, 3]


# --- several runs


def copies_of_several_runs(seed: int) -> None:
    """What is copied belongs to the run it came from."""
    operations = FlowOperationContainer().add_func("first", same)
    operations.add_func("left", same).make_parallel(2).add_func("right", same).make_async()
    chains = (".in -> first", "first -> left -> .out", "first -> right -> .out")
    with opened(seed, operations, *chains) as bench:
        bench.send(*range(5), labelled=True)
    for number, run in enumerate(bench.runs):
        assert bench.values_of(run) == [number, number]
        assert (run.ledger.accepted, run.ledger.born, run.ledger.delivered) == (1, 1, 2)


def one_run_is_cancelled(seed: int) -> None:
    """A run cancelled at any moment leaves nothing behind, and the others as they are."""

    def repeat(number: int, emit: Callable[[int], None]) -> None:
        emit(number)

    operations, chains = in_two_lists(4, "repeat")
    operations.add_action("repeat", repeat).make_parallel(2)
    kept = [[[1, 2], [3]], [[4]]]
    with opened(seed, operations, *chains) as bench:
        bench.send(kept[0], [[7, 8, 9], [7, 8]], kept[1], labelled=True)
        for _ in range(seed % 7):
            bench.later("wait", lambda: None)
        bench.later("cancel", lambda: bench.runs[1].cancel())  # noqa: PLW0108 - which is there only then
    cancelled = bench.runs[1]
    assert bench.values_of(bench.runs[0]) == [kept[0]]
    assert bench.values_of(bench.runs[2]) == [kept[1]]
    assert cancelled.ledger.delivered == len(bench.values_of(cancelled)) <= 1
    assert not bench.told


def closed_while_sources_are_open(seed: int) -> None:
    """Closing stops the sources, lets go on what is live, and ends by itself."""

    def count(number: int) -> Iterator[int]:
        yield from range(100)

    operations = FlowOperationContainer().add_generator("count", count, window=4).make_async()
    operations.add_func("work", same).make_parallel(2)
    with opened(seed, operations, ".in -> count -> work -> .out") as bench:
        bench.send(0, 1, labelled=True)
        for _ in range(seed % 5):
            bench.later("wait", lambda: None)
        bench.let_all_in()
        report = bench.runtime.close()
        assert report.discarded <= 2, report  # the inputs of the generator, which were not worked off
    for run in bench.runs:
        assert sorted(bench.values_of(run)) == list(range(len(bench.values_of(run))))


SCENARIOS = (
    a_chain_in_order,
    one_key_at_a_time,
    failures_in_order,
    failures_each_once,
    failures_behind_branches,
    an_error_leaves_two_causalities,
    errors_go_first,
    generated_once_each,
    lists_in_lists,
    counts_by_correlation_id,
    copies_of_several_runs,
    one_run_is_cancelled,
    closed_while_sources_are_open,
    ports_in_turn,
    shared_out_in_order,
)
