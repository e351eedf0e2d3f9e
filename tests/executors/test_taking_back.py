"""What waits in a group behind a call that does not return goes to other workers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime
from tests.kit.flows import flow_of
from tests.kit.functions import SECONDS

MODES: dict[str, Any] = {
    "parallel": {},
    "ordered": {"ordered": True},
    "by key": {"by_key": lambda x: x},
}


@pytest.mark.parametrize("stuck_at", [2, 50, 199])
@pytest.mark.parametrize("mode", MODES)
def test_one_call_that_does_not_return_holds_nothing_else_back(mode: str, stuck_at: int) -> None:
    go_on, begun = threading.Event(), threading.Event()
    lock = threading.Lock()
    made: list[int] = []
    others_made = threading.Event()

    def work(x: int) -> int:
        if x == stuck_at:
            begun.set()
            go_on.wait(SECONDS)
        with lock:
            made.append(x)
            if len(made) == 199:
                others_made.set()
        return x

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, **MODES[mode])
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime:
        run = runtime.process_many(".in", range(200))
        assert begun.wait(SECONDS)
        assert others_made.wait(SECONDS), "calls wait behind one that does not return"
        go_on.set()
        values = run.values(timeout=SECONDS)
        assert run.ledger.balanced
    assert sorted(values) == list(range(200))
    assert sorted(made) == list(range(200))
    assert mode != "ordered" or values == list(range(200))


def test_what_is_taken_back_keeps_the_order_of_its_key() -> None:
    go_on, begun = threading.Event(), threading.Event()
    lock = threading.Lock()
    made: list[int] = []
    free_made = threading.Event()

    def work(x: int) -> int:
        if x == 20:
            begun.set()
            go_on.wait(SECONDS)
        with lock:
            made.append(x)
            if sum(1 for each in made if each % 2) == 100:
                free_made.set()
        return x

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, by_key=lambda x: x % 2)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime:
        run = runtime.process_many(".in", range(200))
        assert begun.wait(SECONDS)
        assert free_made.wait(SECONDS), "another key waits behind a call that does not return"
        assert [x for x in made if not x % 2] == list(range(0, 20, 2))
        go_on.set()
        values = run.values(timeout=SECONDS)
    assert [x for x in values if x % 2] == list(range(1, 200, 2))
    assert [x for x in values if not x % 2] == list(range(0, 200, 2))
