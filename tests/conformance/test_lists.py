"""Lists: scattered and gathered, in all modes and schedules. More is in standard/test_scatter_gather.py."""

from __future__ import annotations

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, Gather, Scatter
from tests.kit.flows import Bench, at_ports, every_mode, every_schedule, nested, wire
from tests.kit.functions import SECONDS, same


@every_schedule
def test_of_an_empty_list_only_its_number_leaves(bench: Bench) -> None:
    """B232."""
    with bench.make_runtime() as runtime:
        runtime.add_operation(Scatter("scatter"))
        wire(runtime, ".in -> scatter", "scatter.stream -> .items", "scatter.count -> .count")

        messages = list(runtime.process(".in", []).results())

    assert at_ports(messages) == [("count", 0)]


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


@pytest.mark.parametrize("ordered", [True, False])
@every_mode
def test_f38_lists_that_share_an_id_are_gathered_apart_and_get_it_back(bench: Bench, ordered: bool) -> None:
    """Nested, at once, of all lengths, all under the id 7: scopes, not ids, keep them apart."""
    matrices: list[list[list[int]]] = [
        [],
        [[]],
        [[1], []],
        [[1, 2, 3], [4], [5, 6]],
        [[number] * number for number in range(6)],
    ]
    with nested(bench, same, counted=True, ordered=ordered) as runtime:
        runs = [runtime.process(".in", matrix, correlation_id=7) for matrix in matrices]
        together = runtime.process_many(".in", matrices, correlation_id=7)
        for run, matrix in zip(runs, matrices, strict=True):
            result = run.result(SECONDS)
            assert result.correlation_id == 7
            assert arranged(result.data, ordered=ordered) == arranged(matrix, ordered=ordered)
        gathered = [arranged(message.data, ordered=ordered) for message in together.results(SECONDS)]
        assert sorted(gathered) == sorted(arranged(matrix, ordered=ordered) for matrix in matrices)


def arranged(matrix: list[list[int]], *, ordered: bool) -> list[list[int]]:
    return matrix if ordered else sorted(sorted(row) for row in matrix)
