"""What `runtime.meters()` counts."""

from __future__ import annotations

import threading
from typing import Any

from attrs import define

from flowrt import FlowOperationContainer, FlowRuntime
from tests.kit.flows import flow_of
from tests.kit.functions import SECONDS


@define
class HeldUp:
    """A clock that keeps one thread, the next time it asks."""

    clock: Any
    until: threading.Event
    ident: int | None = None

    def now(self) -> float:
        if threading.get_ident() == self.ident:
            self.until.wait(SECONDS)
        now: float = self.clock.now()
        return now


def test_the_calls_of_a_run_that_is_done_are_counted_though_their_worker_has_not_come_to_report_them() -> (
    None
):
    go_on = threading.Event()
    clocks: list[HeldUp] = []

    def double(x: int) -> int:
        for clock in clocks:
            clock.ident = threading.get_ident()
        return 2 * x

    operations = FlowOperationContainer().add_func("double", double).make_parallel(1)
    with FlowRuntime(flow_of("", ".in -> double -> .out", operations=operations)) as runtime:
        assert runtime.process(".in", 1).result(SECONDS).data == 2
        pool: Any
        (pool,) = (
            executor for executor in runtime._owner.loop.executors.all() if hasattr(executor, "_idents")
        )
        clocks.append(HeldUp(pool._clock, go_on))
        pool._clock = clocks[0]
        run = runtime.process(".in", 2)
        try:
            run.wait(SECONDS)
            calls = [row.calls for row in runtime.meters()]
        finally:
            go_on.set()
        assert calls == [2]
        assert run.values() == [4]
    assert [row.calls for row in runtime.meters()] == [2]
