"""Depth-first, many at once or singly: what can be seen happens in the same order.

Under a tap every message goes singly, unfused: that is what the rest is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Scatter
from flowrt.executors.seams import Seams
from flowrt.messages import CHUNK_SIZE
from flowrt.testing import FakeClock, simulated
from tests.kit.flows import wire
from tests.kit.functions import SECONDS

STAGES = ("note", "refuse", "emit", "tee", "more", "note")
EARLY_COUNT = 3  # announced before the items, whatever their number


@attrs.frozen
class Plan:
    """A list that is scattered, worked on stage by stage, and gathered; perhaps as the item of another."""

    stages: tuple[str, ...]
    items: int
    counted: bool
    counted_early: bool
    nested: bool
    pulled: bool
    listening: bool
    twice: bool


plans = st.builds(
    Plan,
    stages=st.lists(st.sampled_from(STAGES), max_size=4).map(tuple),
    items=st.integers(0, 12),
    counted=st.booleans(),
    counted_early=st.booleans(),
    nested=st.booleans(),
    pulled=st.booleans(),
    listening=st.booleans(),
    twice=st.booleans(),
)


class Player:
    """Runs a plan and writes down what can be seen."""

    def __init__(self, plan: Plan, schedule: Any) -> None:
        self.plan = plan
        self.seen: list[str] = []
        self.asked = False
        self.operations = FlowOperationContainer()
        self.runtime = FlowRuntime(schedule=schedule, seams=Seams(clock=FakeClock()))

    def note(self, name: str) -> Callable[[Any], Any]:
        def noting(data: Any) -> Any:
            self.seen.append(f"{name} {data}")
            return data

        return noting

    def _stage(self, name: str, kind: str) -> None:
        note = self.note(name)

        def refuse(data: int) -> int:
            if data % 5 == 2:
                raise LookupError(note(data))
            return int(note(data))

        def emit(data: int, on_item: Callable[[int], None]) -> None:
            for _ in range(data % 3):
                on_item(note(data))

        def more(data: int) -> int:
            if data == 1 and not self.asked:
                self.asked = True
                self.runtime.process(".more", data)
            return int(note(data))

        if kind == "emit":
            self.operations.add_action(name, emit)
        else:
            self.operations.add_func(name, {"refuse": refuse, "more": more}.get(kind, note))
        if kind == "tee":
            self.operations.add_func(f"{name}-tee", self.note(f"{name}-tee"))
            wire(self.runtime, f"{name} -> {name}-tee -> .out")

    def build(self) -> None:
        plan, runtime = self.plan, self.runtime
        for scatter, gather in (("outer", "all"), ("scatter", "gather")):
            self.operations.add_operation(Scatter(scatter))
            self.operations.add_operation(Gather(gather, on_missing="collect"))
        self.operations.add_func("end", lambda gathered: self.note("end")(gathered.items))
        self.operations.add_func("over", lambda gathered: self.note("over")(gathered.items))
        self.operations.add_func("more", self.note("more"))
        self.operations.add_func("early", lambda _item: EARLY_COUNT)
        wire(runtime, ".more -> more -> .out")
        if plan.counted_early:
            wire(runtime, "scatter.stream -> early -> gather.count")
        elif plan.counted:
            wire(runtime, "scatter.count -> gather.count")
        names = [f"{kind}{number}" for number, kind in enumerate(plan.stages)]
        for name, kind in zip(names, plan.stages, strict=True):
            self._stage(name, kind)
        wire(runtime, " -> ".join(["scatter.stream", *names, "gather.stream"]), "gather -> end")
        if plan.twice:
            self.operations.add_operation(Gather("second", on_missing="collect"))
            self.operations.add_func("last", lambda gathered: self.note("last")(gathered.items))
            wire(runtime, f"{['scatter.stream', *names][-1]} -> second.stream", "second -> last")
        if plan.nested:
            wire(
                runtime, ".in -> outer", "outer.stream -> scatter", "end -> all.stream", "all -> over -> .out"
            )
        else:
            wire(runtime, ".in -> scatter", "end -> .out")
        runtime.add_operations(self.operations)

    def play(self, *, watched: bool) -> tuple[list[str], list[tuple[Any, ...]]]:
        plan = self.plan
        self.build()
        with self.runtime as runtime:
            runtime.on_exception(lambda error: self.seen.append(f"told {error.operation}"))
            if plan.listening:
                runtime.on_result(lambda message: self.seen.append(f"out {message.data}"))
            if watched:
                runtime.on_message(lambda _message: None)
            items: Any = pulled(plan.items) if plan.pulled else list(range(plan.items))
            run = runtime.process(".in", [items, [1, 2]] if plan.nested else items)
            run.wait(SECONDS)
            runtime.wait_idle(SECONDS)
            assert run.ledger.balanced
            results = [] if plan.listening else [message.data for message in runtime.results(SECONDS)]
            rows = sorted((row.place, row.what, row.reason, row.count) for row in run.ledger.places)
            return [*self.seen, *map(str, results)], list(rows)


def pulled(items: int) -> Iterator[int]:
    yield from range(items)


@given(plans, st.sampled_from(("depth_first", "sync")))
def test_what_can_be_seen_comes_in_the_same_order_many_at_once_or_singly(plan: Plan, schedule: Any) -> None:
    """B150, B151, B158."""
    assert Player(plan, schedule).play(watched=False) == Player(plan, schedule).play(watched=True)


@pytest.mark.parametrize("schedule", ["depth_first", "sync"])
@pytest.mark.parametrize("announced", [1, 3, 10])
def test_a_list_that_is_complete_before_its_items_goes_on_before_the_next(
    schedule: Any, announced: int
) -> None:
    seen: list[str] = []

    def work(number: int) -> int:
        seen.append(f"work {number}")
        return number

    operations = FlowOperationContainer().add_func("work", work).add_func("early", lambda _item: announced)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> scatter", "scatter.stream -> early -> gather.count")
        wire(runtime, "scatter.stream -> work -> gather.stream", "gather -> .out")
        runtime.add_operations(operations)
        runtime.on_result(lambda message: seen.append(f"gathered {len(message.data)}"))
        runtime.on_exception(lambda _error: seen.append("too late"))
        runtime.process(".in", list(range(10))).wait(SECONDS)

    worked = [[f"work {number}"] for number in range(10)]
    worked[announced - 1].append(f"gathered {announced}")
    for late in worked[announced:]:
        late.append("too late")
    assert seen == [entry for entries in worked for entry in entries]


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
def test_lists_side_by_side_take_turns_however_quick_their_items_are(schedule: Any) -> None:
    seen: list[tuple[int, int]] = []
    items = [[(number, index) for index in range(2_000)] for number in range(2)]

    def work(item: tuple[int, int]) -> tuple[int, int]:
        seen.append(item)
        return item

    operations = FlowOperationContainer().add_func("work", work)
    operations.add_operation(Scatter("outer")).add_operation(Scatter("scatter"))
    operations.add_operation(Gather("gather")).add_operation(Gather("all"))
    with FlowRuntime(schedule=schedule, seams=Seams(clock=FakeClock())) as runtime:
        wire(runtime, ".in -> outer", "outer.stream -> scatter", "scatter.stream -> work -> gather.stream")
        wire(runtime, "gather -> all.stream", "all -> .out")
        runtime.add_operations(operations)
        runtime.process(".in", items).wait(SECONDS)
        seen.clear()  # from now on their calls are known to be quick
        results = runtime.process(".in", items).values(SECONDS)

    assert [sorted(gathered) for gathered in results] == [items]
    assert [number for number, index in seen if index % CHUNK_SIZE == 0] == [0, 1, 0, 1]


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "sync"])
@pytest.mark.parametrize("failing", [(), (0,), (1_999,), (700, 701, 1_500)])
def test_quick_items_of_a_list_fail_one_by_one(schedule: Any, failing: tuple[int, ...]) -> None:
    clock = FakeClock()
    told: list[int] = []

    def work(number: int) -> int:
        if number in failing:
            raise LookupError(number)
        return number

    operations = FlowOperationContainer().add_func("work", work)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", on_missing="skip"))
    with FlowRuntime(schedule=schedule, seams=Seams(clock=clock)) as runtime:
        wire(
            runtime,
            ".in -> scatter",
            "scatter.stream -> work -> gather.stream",
            "scatter.count -> gather.count",
        )
        wire(runtime, "gather -> .out")
        runtime.add_operations(operations)
        runtime.on_exception(lambda error: told.append(error.message.data))
        for _ in range(2):
            told.clear()
            run = runtime.process(".in", list(range(2_000)))
            (gathered,) = run.values(SECONDS)

            assert told == list(failing)
            assert gathered == [number for number in range(2_000) if number not in failing]
            assert run.ledger.balanced
        calls = {row.place: row.calls for row in runtime.meters()}
    assert calls["work"] == 4_000


def test_items_of_a_list_that_turn_slow_let_a_higher_priority_go_first() -> None:
    clock = FakeClock()
    order: list[str] = []
    slow = [False]

    def work(number: int) -> int:
        if slow[0]:
            clock.advance(0.01)
            order.append(str(number))
            if number == 3:
                runtime.process(".urgent", "urgent", priority=9)
        return number

    operations = FlowOperationContainer().add_func("work", work).add_func("note", order.append)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather"))
    with FlowRuntime(schedule="sync", seams=Seams(clock=clock)) as runtime:
        wire(runtime, ".in -> scatter", "scatter.stream -> work -> gather.stream", "gather -> .out")
        wire(runtime, ".urgent -> note -> .noted")
        runtime.add_operations(operations)
        for _ in range(2):
            runtime.process(".in", list(range(2_000))).wait(SECONDS)
        slow[0] = True
        runtime.process(".in", list(range(200))).wait(SECONDS)

    assert order.index("urgent") < 70
    assert len(order) == 201


@pytest.mark.parametrize("schedule", ["depth_first", "sync"])
@pytest.mark.parametrize("way", ["tap", "throttle"])
def test_a_chain_goes_singly_from_the_next_chunk_on_where_somebody_watches(schedule: Any, way: str) -> None:
    seen: list[str] = []
    moments: list[float] = []
    seams = simulated()

    def first(number: int) -> int:
        moments.append(seams.clock.now())
        seen.append(f"first {number}")
        if number == 3 and way == "tap":
            removals.append(runtime.on_message(lambda message: seen.append(f"{message.port} {message.data}")))
        elif number == 3:
            runtime.throttle(1.0)
        return number

    def second(number: int) -> int:
        moments.append(seams.clock.now())
        seen.append(f"second {number}")
        return number

    removals: list[Callable[[], None]] = []
    operations = FlowOperationContainer().add_func("first", first).add_func("second", second)
    operations.add_operation(Scatter("scatter", window=8)).add_operation(Gather("gather"))
    with FlowRuntime(schedule=schedule, seams=seams) as runtime:
        wire(
            runtime, ".in -> scatter", "scatter.stream -> first -> second -> gather.stream", "gather -> .out"
        )
        runtime.add_operations(operations)
        numbers = [*range(100, 140), *range(20)]
        run = runtime.process(".in", numbers)
        assert run.values(timeout=600.0) == [numbers]  # by the clock of the simulation
        watched = seen[seen.index("first 13") :]
        steps = [later - earlier for earlier, later in pairwise(moments[-20:])]
        runtime.throttle(0)
        for remove in removals:
            remove()
        seen.clear()
        assert runtime.process(".in", [50, 51]).values(SECONDS) == [[50, 51]]

    assert seen == ["first 50", "second 50", "first 51", "second 51"]
    if way == "tap":
        assert watched[:5] == ["first 13", "first 13", "second 13", "second 13", "gather.stream 13"]
    else:
        assert all(step >= 1.0 for step in steps)
