"""Scatter and gather, as far as no other test shows the behaviour in all schedules."""

from __future__ import annotations

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, Gather, Scatter
from tests.kit.flows import SECONDS, Bench, every_schedule, wire


@every_schedule
def test_of_an_empty_list_only_its_number_leaves(bench: Bench) -> None:
    """B232."""
    with bench.make_runtime() as runtime:
        runtime.add_operation(Scatter("scatter"))
        wire(runtime, ".in -> scatter", "scatter.stream -> .items", "scatter.count -> .count")

        messages = list(runtime.process(".in", []).results())

    assert [(message.port.name, message.data) for message in messages] == [("count", 0)]


@every_schedule
def test_a_gather_has_no_other_ports(bench: Bench) -> None:
    """B23A."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_operation(Gather("gather")))
        wire(runtime, ".in -> gather.item", "gather -> .out")

        with pytest.raises(FlowBuildError, match=r"\.item"):
            runtime.process(".in", 1)


@every_schedule
def test_items_without_a_count_keep_no_run_from_ending_and_wait_for_one(bench: Bench) -> None:
    """B23A, B236."""
    with bench.make_runtime() as runtime:
        runtime.add_operations(FlowOperationContainer().add_operation(Gather("gather")))
        wire(runtime, ".item -> gather.stream", ".count -> gather.count", "gather -> .out")

        waiting = runtime.process_many(".item", range(3))
        assert waiting.values(timeout=SECONDS) == []

        assert runtime.process(".count", 2).values(timeout=SECONDS) == [[0, 1]]
        assert runtime.process(".count", 1).values(timeout=SECONDS) == [[2]]
