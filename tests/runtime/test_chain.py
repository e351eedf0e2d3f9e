"""`chain(...)` makes a flow from `.in` to `.out`, and `run` runs it once."""

from __future__ import annotations

from typing import Any

import pytest

from flowrt import (
    Flow,
    FlowBuildError,
    FlowError,
    FlowRuntime,
    FlowTimeoutError,
    Gather,
    OperationError,
    Scatter,
    chain,
    check,
    parallel,
)
from tests.kit.flows import SCHEDULES
from tests.kit.functions import SECONDS, Gate, double, increment, refuse, thrice


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_chain_runs_as_it_stands(schedule: Any) -> None:
    flow = chain(list, Scatter(), parallel(double, 4), Gather(ordered=True), sum)

    assert flow.run(range(4), timeout=SECONDS, schedule=schedule) == 12
    assert flow.run([], timeout=SECONDS, schedule=schedule) == 0  # again, in a runtime of its own


def test_a_chain_is_a_flow_like_any_other() -> None:
    flow = chain(double, increment)

    assert flow.to_text().splitlines() == [".in, double", "double, increment", "increment, .out"]
    assert check(flow) == []
    with FlowRuntime(flow) as runtime:
        assert runtime.process(".in", 2).values(timeout=SECONDS) == [5]
    inner = Flow("inner").add_chain(".in", double, ".out")
    assert chain(inner, increment).run(1, timeout=SECONDS) == 3


def test_what_an_operation_raises_comes_out_of_run() -> None:
    with pytest.raises(OperationError):
        chain(refuse).run(1, timeout=SECONDS)


def test_run_returns_one_result() -> None:
    with pytest.raises(FlowError, match="this flow gave 3 results"):
        chain(thrice).run(1, timeout=SECONDS)
    with pytest.raises(FlowError, match="nothing left it by a result port"):
        chain(nothing).run(1, timeout=SECONDS)


def nothing(_data: Any) -> Any:
    yield from ()


def test_run_waits_no_longer_than_it_was_told() -> None:
    never = Gate()

    def waits(_data: Any) -> bool:
        return never.opened.wait(0.2)

    with pytest.raises(
        FlowTimeoutError, match=r"^run\(\) waited 0\.01 s for its end, and what has not begun is"
    ) as caught:
        chain(parallel(waits, 1)).run(1, timeout=0.01)
    assert "waits (parallel(1))" in caught.value.__notes__[0]


def test_a_chain_of_nothing_leads_straight_through() -> None:
    assert chain().run(7, timeout=SECONDS) == 7
    with pytest.raises(FlowBuildError):
        chain(7)
