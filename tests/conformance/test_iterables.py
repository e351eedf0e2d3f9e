"""Iterables that a run is made of: each item goes in before the next is pulled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from flowrt import FlowRuntime
from flowrt.engine.schedules import SCHEDULES
from tests.kit.flows import by_queued_schedule
from tests.kit.functions import SECONDS, increment

Ways = dict[str, Callable[[FlowRuntime, Iterator[int]], object]]

WAYS: Ways = {
    "process_many": lambda runtime, items: runtime.process_many(".in", items),
    "with a key": lambda runtime, items: runtime.process_many(".in", items, key=str),
    "with a priority": lambda runtime, items: runtime.process_many(".in", items, priority=lambda n: n % 2),
    "stream": lambda runtime, items: list(runtime.stream(".in", items)),
}
every_way = pytest.mark.parametrize("way", WAYS)


class Bursts:
    """Gives some items at once, then waits until the last of them was seen to come out."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes
        self.seen = Event()
        self.awaited = -1
        self.late: list[int] = []
        self.values: list[int] = []

    def note(self, value: int) -> None:
        self.values.append(value)
        if value == self.awaited:
            self.seen.set()

    def __iter__(self) -> Iterator[int]:
        number = 0
        for size in self.sizes:
            for _ in range(size):
                self.seen.clear()
                self.awaited = number + 1  # what comes out of it
                yield number
                number += 1
            if not self.seen.wait(SECONDS):
                self.late.append(number - 1)


@every_way
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_item_waits_for_the_next_one_to_be_pulled(schedule: Any, way: str) -> None:
    bursts = Bursts(1, 2, 1, 9, 70, 2)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".in", increment, ".out")
        runtime.add_chain("increment", bursts.note)
        WAYS[way](runtime, iter(bursts))
        runtime.wait_idle(SECONDS)
    assert bursts.late == []
    assert sorted(bursts.values) == list(range(1, 86))


@every_way
def test_under_sync_an_iterable_that_was_quick_for_long_is_worked_off_in_parts(way: str) -> None:
    out: list[int] = []
    most = 0

    def items() -> Iterator[int]:
        nonlocal most
        for number in range(1_000):
            most = max(most, number - len(out))
            yield number

    with FlowRuntime(schedule="sync") as runtime:
        runtime.add_chain(".in", increment, ".out")
        runtime.add_chain("increment", out.append)
        WAYS[way](runtime, items())
    assert len(out) == 1_000
    assert most <= 64


@by_queued_schedule
def test_what_was_pulled_before_a_key_that_raises_is_worked_off(schedule: Any) -> None:
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".in", increment, ".out")
        with pytest.raises(ZeroDivisionError):
            runtime.process_many(".in", [3, 2, 1, 0, 5], key=lambda n: 6 // n)
        assert sorted(message.data for message in runtime.results(timeout=SECONDS)) == [2, 3, 4]
