"""A gather outside of any scope collects by correlation id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import (
    FlowBuildError,
    FlowOperationContainer,
    FlowOverloadError,
    FlowRuntime,
    Gathered,
    Message,
    OperationError,
    Run,
)
from flowrt.standard import Gather, Scatter
from flowrt.testing import simulated
from tests.kit import strategies
from tests.kit.flows import (
    Bench,
    assert_ledger,
    counted_or_not,
    counters,
    every_mode,
    every_schedule,
    flow_of,
    gathering,
    queued_schedules,
    real_workers,
    wire,
)
from tests.kit.functions import SECONDS, Gate, arrived, input_of, same

# --- Items that belong to no scope: by correlation id


class Feed:
    """Emits what a script of (port, data, correlation id) says."""

    in_ports = None
    out_ports = ("stream", "count")

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        return None

    def handle(self, state: None, message: Message, emit: Callable[..., None]) -> None:
        for port, data, correlation_id in message.data:
            emit(data, port, correlation_id=correlation_id)

    def drained(self, state: None, scope: Any, emit: Callable[..., None]) -> None:
        pass

    def cancelled(self, state: None, run: Any) -> None:
        pass


def fed(bench: Bench, **options: Any) -> FlowRuntime:
    runtime = bench.make_runtime()
    runtime.add_operations(bench.operations(Feed("feed"), Gather("gather", **options), funcs={"pass": same}))
    wire(
        runtime,
        ".in -> feed",
        "feed.stream -> pass -> gather.stream",
        "feed.count -> gather.count",
        "gather -> .out",
    )
    wire(runtime, ".stream -> gather.stream", ".count -> gather.count")
    return runtime


def gathered_of(run: Run) -> list[tuple[Any, list[Any]]]:
    """The lists of a run with their correlation ids, in the order they left."""
    return [(message.correlation_id, sorted(message.data)) for message in run.results()]


def items_of(correlation_id: Any, *items: Any) -> list[tuple[str, Any, Any]]:
    return [("stream", item, correlation_id) for item in items]


def count_of(correlation_id: Any, count: Any) -> list[tuple[str, Any, Any]]:
    return [("count", count, correlation_id)]


@every_mode
@pytest.mark.parametrize(
    "script",
    [
        count_of("a", 3) + items_of("a", 1, 2, 3),
        items_of("a", 1, 2, 3) + count_of("a", 3),
        items_of("a", 1) + count_of("a", 3) + items_of("a", 2, 3),
        items_of(None, 1) + count_of(None, 3) + items_of(None, 2, 3),
    ],
    ids=["count first", "count last", "count between", "no id"],
)
def test_items_without_a_scope_are_gathered_by_correlation_id(bench: Bench, script: list[Any]) -> None:
    """B233, B234."""
    with fed(bench) as runtime:
        run = runtime.process(".in", script)

        assert gathered_of(run) == [(script[0][2], [1, 2, 3])]


@every_mode
def test_a_list_by_correlation_id_is_one_message_made_of_its_items(bench: Bench) -> None:
    with fed(bench) as runtime:
        run = runtime.process(".in", items_of("a", 1, 2, 3) + count_of("a", 3))
        run.wait(timeout=SECONDS)

    # The count is absorbed, and so are all items but the one that goes on as the list.
    assert_ledger(run, accepted=1, born=3, absorbed=1 + 2, delivered=1)


@every_schedule
def test_a_run_whose_item_waits_for_another_run_is_over(bench: Bench) -> None:
    """B23A."""
    with fed(bench) as runtime:
        waiting = runtime.process(".stream", 1, correlation_id="a")
        waiting.wait(timeout=SECONDS)
        counting = runtime.process(".count", 2, correlation_id="a")
        counting.wait(timeout=SECONDS)
        completing = runtime.process(".stream", 2, correlation_id="a")

        assert completing.values(timeout=SECONDS) == [[1, 2]]
        assert_ledger(waiting, accepted=1, absorbed=1)
        assert_ledger(counting, accepted=1, absorbed=1)
        assert_ledger(completing, accepted=1, delivered=1)


@every_mode
def test_a_count_of_zero_gives_an_empty_list_at_once(bench: Bench) -> None:
    """B232."""
    with fed(bench) as runtime:
        assert gathered_of(runtime.process(".in", count_of("a", 0))) == [("a", [])]


@every_schedule
def test_buckets_of_interleaved_correlation_ids_are_kept_apart(bench: Bench) -> None:
    """B235."""
    script = [
        *items_of("a", 1),
        *items_of("b", 10),
        *count_of("b", 2),
        *items_of("a", 2),
        *items_of(None, 100),
        *count_of("a", 3),
        *items_of("b", 20),
        *count_of(None, 1),
        *items_of("a", 3),
    ]
    with fed(bench) as runtime:
        run = runtime.process(".in", script)

        assert sorted(gathered_of(run), key=repr) == [("a", [1, 2, 3]), ("b", [10, 20]), (None, [100])]


@every_schedule
def test_items_and_count_of_different_runs_meet_by_correlation_id(bench: Bench) -> None:
    """B235."""
    with fed(bench) as runtime:
        runtime.process(".stream", 1, correlation_id="a").wait(timeout=SECONDS)
        runtime.process(".stream", 10, correlation_id="b").wait(timeout=SECONDS)
        runtime.process(".count", 2, correlation_id="a").wait(timeout=SECONDS)
        runtime.process(".stream", 2, correlation_id="A").wait(timeout=SECONDS)

        runtime.process(".stream", 2, correlation_id="a")
        message = runtime.wait_for_result(timeout=SECONDS)

        assert (message.data, message.correlation_id) == ([1, 2], "a")
        assert list(runtime.results(timeout=SECONDS)) == []


@every_schedule
def test_surplus_items_wait_for_a_further_count(bench: Bench) -> None:
    """B236."""
    with fed(bench) as runtime:
        assert [
            list(m.data)
            for m in drain(runtime, (".stream", 1), (".stream", 2), (".stream", 3), (".count", 2))
        ] == [[1, 2]]
        # The count is used up: a further item alone completes nothing.
        assert drain(runtime, (".stream", 4)) == []
        assert [list(m.data) for m in drain(runtime, (".count", 2))] == [[3, 4]]


def drain(runtime: FlowRuntime, *inputs: tuple[str, Any]) -> list[Message]:
    for port, data in inputs:
        runtime.process(port, data, correlation_id="id")
    return list(runtime.results(timeout=SECONDS))


@every_schedule
def test_a_second_count_before_completion_replaces_the_first(bench: Bench) -> None:
    """B234."""
    with fed(bench) as runtime:
        assert drain(runtime, (".count", 3), (".stream", 1), (".stream", 2)) == []

        assert [list(m.data) for m in drain(runtime, (".count", 2))] == [[1, 2]]


@every_schedule
def test_the_bucket_is_emptied_before_the_list_goes_out(bench: Bench) -> None:
    """B239."""
    lists: list[list[int]] = []

    def again(numbers: list[int], on_data: Callable[[Any], None]) -> None:
        lists.append(list(numbers))
        if len(lists) < 5:
            on_data(numbers)

    with fed(bench) as runtime:
        runtime.add_operations(
            FlowOperationContainer()
            .add_action("again", again)
            .add_func(
                "script",
                lambda numbers: count_of("a", 2) + items_of("a", *(number + 1 for number in numbers)),
            )
        )
        wire(runtime, "gather -> again -> script -> feed")

        runtime.process(".in", items_of("a", 1, 2) + count_of("a", 2)).wait(timeout=SECONDS)

    assert [sorted(each) for each in lists] == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]


@every_mode
def test_an_item_without_a_scope_at_a_gather_without_a_count_stream_is_an_error_at_once(bench: Bench) -> None:
    """B23A."""
    with bench.wired(".in -> pass -> gather.stream", "gather -> .out", funcs={"pass": same}) as runtime:
        run = runtime.process(".in", 1)

        with pytest.raises(OperationError, match="count") as caught:
            run.wait(timeout=SECONDS)

    assert caught.value.operation == "gather"
    assert_ledger(run, accepted=1, failed=1)


@queued_schedules
def test_an_item_after_closing_is_an_error_of_the_gather(bench: Bench) -> None:
    gate = Gate()
    with bench.make_runtime() as runtime:
        container = FlowOperationContainer().add_func("detour", gate).make_async()
        runtime.add_operations(container.add_operation(Scatter("scatter")).add_operation(Gather("gather")))
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> gather.stream",
            "scatter.stream -> detour -> gather.stream",
        )
        wire(runtime, "scatter.count -> gather.count", "gather -> .out")
        results: list[Message] = []

        def listen(message: Message) -> None:
            results.append(message)
            gate.open()

        runtime.on_result(listen)
        run = runtime.process(".in", [1, 2, 3])
        with pytest.raises(OperationError) as caught:
            run.wait(timeout=SECONDS)

    assert [message.data for message in results] == [[1, 2, 3]]
    assert caught.value.operation == "gather"
    assert sorted(input_of(error) for error in run.failures) == [1, 2, 3]


@given(
    script=st.lists(
        st.tuples(st.sampled_from(["stream", "count"]), st.integers(0, 3), st.sampled_from([None, "a", 1])),
        max_size=25,
    ),
    at_once=st.booleans(),
    seed=strategies.seeds,
)
@settings(max_examples=200)
def test_any_items_and_counts_are_gathered_as_a_plain_model_says(
    script: list[tuple[str, int, Any]], at_once: bool, seed: int
) -> None:
    runtime = FlowRuntime(seams=simulated(seed))
    runtime.add_operations(
        FlowOperationContainer().add_operation(Feed("feed")).add_operation(Gather("gather"))
    )
    wire(
        runtime, ".in -> feed", "feed.stream -> gather.stream", "feed.count -> gather.count", "gather -> .out"
    )
    with runtime:
        if at_once:
            runtime.process(".in", script)
        else:
            for entry in script:
                runtime.process(".in", [entry]).wait(timeout=SECONDS)
        gathered = [(message.correlation_id, message.data) for message in runtime.results(timeout=SECONDS)]

    # Streams are served one after the other: within a run all items of a chunk may come before all counts.
    if not at_once:
        assert gathered == model_of(script)
    for correlation_id in (None, "a", 1):
        items = [data for port, data, of in script if port == "stream" and of == correlation_id]
        lists = [data for of, data in gathered if of == correlation_id]
        assert [item for each in lists for item in each] == items[: sum(map(len, lists))]


def model_of(script: list[tuple[str, int, Any]]) -> list[tuple[Any, list[int]]]:
    """Buckets by correlation id: surplus items wait, a second count replaces the first, a count is used once."""
    waiting: dict[Any, list[int]] = {}
    counts: dict[Any, int] = {}
    lists = []
    for port, data, correlation_id in script:
        items = waiting.setdefault(correlation_id, [])
        if port == "stream":
            items.append(data)
        else:
            counts[correlation_id] = data
        if correlation_id in counts and len(items) >= counts[correlation_id]:
            count = counts.pop(correlation_id)
            lists.append((correlation_id, items[:count]))
            del items[:count]
    return lists


# --- Bounds


@every_schedule
def test_more_open_correlation_ids_than_allowed_fail_the_run(bench: Bench) -> None:
    """B23A: what waits is bounded."""
    with fed(bench, max_open=2) as runtime:
        run = runtime.process(".in", [*items_of("a", 1), *items_of("b", 1), *items_of("c", 1)])

        with pytest.raises(FlowOverloadError, match=r'"gather".*max_open'):
            run.wait(timeout=SECONDS)


@every_schedule
def test_more_waiting_values_than_allowed_fail_the_run(bench: Bench) -> None:
    """B23A."""
    with fed(bench, max_waiting=3) as runtime:
        run = runtime.process(".in", items_of("a", 1, 2, 3, 4))

        with pytest.raises(FlowOverloadError, match=r'"gather".*max_waiting'):
            run.wait(timeout=SECONDS)


@every_schedule
def test_completed_correlation_ids_are_forgotten(bench: Bench) -> None:
    with fed(bench, max_open=2) as runtime:
        for number in range(10):
            run = runtime.process(".in", count_of(number, 1) + items_of(number, number))
            assert gathered_of(run) == [(number, [number])]


# --- State per place


@every_mode
def test_instances_of_a_gather_do_not_mix(bench: Bench) -> None:
    """B072."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(bench.operations(Feed("feed"), Gather("gather"), funcs={"pass": same}))
        for number in (1, 2):
            wire(
                runtime,
                f".in{number} -> feed#{number}",
                f"feed#{number}.stream -> pass#{number} -> gather#{number}.stream",
                f"feed#{number}.count -> gather#{number}.count",
                f"gather#{number} -> .out{number}",
            )

        runtime.process(".in1", items_of("a", 1)).wait(timeout=SECONDS)
        runtime.process(".in2", items_of("a", 2)).wait(timeout=SECONDS)
        runtime.process(".in2", count_of("a", 1)).wait(timeout=SECONDS)
        runtime.process(".in1", count_of("a", 1)).wait(timeout=SECONDS)
        messages = list(runtime.results(timeout=SECONDS))

    assert [(message.port.name, message.data) for message in messages] == [("out2", [2]), ("out1", [1])]


# --- Cancelling


@real_workers
@counted_or_not
def test_cancelling_a_run_ends_its_scopes_without_a_list(bench: Bench, counted: bool) -> None:
    gate = Gate()
    results: list[Message] = []
    with gathering(bench, gate, counted=counted) as runtime:
        runtime.on_result(results.append)
        run = runtime.process(".in", [1, 2, 3])
        arrived(gate.entered)

        run.cancel()
        gate.open()
        with pytest.raises(Exception, match="cancel"):
            run.wait(timeout=SECONDS)
        other = runtime.process(".in", [4])
        other.wait(timeout=SECONDS)

    assert [message.data for message in results] == [[4]]
    numbers = counters(run)
    assert (numbers["live"], numbers["held"], numbers["delivered"]) == (0, 0, 0)
    assert numbers["discarded"] > 0
    assert run.ledger.balanced


@queued_schedules
def test_cancelling_a_run_removes_only_its_items_from_the_buckets(bench: Bench) -> None:
    gate = Gate()
    with fed(bench) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("gate", gate).make_async())
        wire(runtime, ".gated -> gate -> .end", ".gated -> gather.stream")
        runtime.process(".stream", 1, correlation_id="a").wait(timeout=SECONDS)
        cancelled = runtime.process(".gated", 2, correlation_id="a")
        arrived(gate.entered)

        cancelled.cancel()
        gate.open()
        runtime.wait_idle(timeout=SECONDS)
        runtime.process(".stream", 3, correlation_id="a")
        runtime.process(".count", 2, correlation_id="a")
        message = runtime.wait_for_result(timeout=SECONDS)

    assert message.data == [1, 3]


# --- what waits for a count that does not come


def simulated_gather(schedule: Any, **options: Any) -> FlowRuntime:
    operations = FlowOperationContainer().add_operation(Gather("gather", **options))
    flow = flow_of(
        "", ".stream -> gather.stream", ".count -> gather.count", "gather -> .out", operations=operations
    )
    return FlowRuntime(flow, schedule=schedule, seams=simulated(deviations={}))


@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
def test_what_nothing_more_comes_for_expires_and_makes_room(schedule: Any, on_missing: Any) -> None:
    with simulated_gather(schedule, expire=5.0, max_open=2, on_missing=on_missing) as runtime:
        clock: Any = runtime._owner.seams.clock
        for item in range(4):  # one every three seconds keeps what is there
            runtime.process(".stream", item, correlation_id="kept").wait()
            clock.advance(3.0)
        assert data_in(runtime.process(".count", 4, correlation_id="kept").result()) == [0, 1, 2, 3]

        runtime.process(".stream", "lost", correlation_id="a").wait()
        runtime.process(".count", 2, correlation_id="b").wait()
        clock.advance(6.0)
        for id_ in ("c", "d"):  # a and b are gone, else there were too many
            runtime.process(".stream", id_, correlation_id=id_).wait()
        for id_ in ("c", "d"):
            assert data_in(runtime.process(".count", 1, correlation_id=id_).result()) == [id_]
        runtime.process(".stream", "new", correlation_id="a").wait()
        assert data_in(runtime.process(".count", 1, correlation_id="a").result()) == ["new"]


def data_in(message: Message) -> list[Any]:
    data = message.data
    items: list[Any] = data.items if isinstance(data, Gathered) else data
    return items


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
def test_a_run_does_not_wait_for_its_items_to_expire(schedule: Any) -> None:
    with simulated_gather(schedule, expire=1e6) as runtime:
        run = runtime.process(".stream", 1, correlation_id="a")
        run.wait()
        assert run.ledger.balanced
        assert runtime._owner.seams.clock.now() < 1.0


def test_what_expires_of_a_run_that_was_cancelled_is_gone_already() -> None:
    with simulated_gather("breadth_first", expire=5.0) as runtime:
        run = runtime.process_many(".stream", [1, 2], correlation_id="a")
        run.cancel()
        runtime.process(".stream", 3, correlation_id="a")
        runtime.process(".count", 1, correlation_id="a")
        assert runtime.wait_for_result().data == [3]


@pytest.mark.parametrize("expire", [0, -1.0, "1", True, float("inf")])
def test_a_time_to_expire_is_a_number_above_0(expire: Any) -> None:
    with pytest.raises(FlowBuildError, match=r'Gather "gather": expire is'):
        Gather("gather", expire=expire)
