"""Results leave by their turn: the more urgent first, under a throttle each by itself, and across the borders of flows one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, FlowTimeoutError, Message, OperationError
from flowrt.standard import PushCausality
from flowrt.testing import simulated
from tests.kit.flows import assert_ledger, by_queued_schedule, by_schedule
from tests.kit.functions import SECONDS, Gate, arrived, increment, same

ONE_BY_ONE = ("depth_first", "round_robin", "sync")


@by_queued_schedule
def test_of_results_that_wait_the_more_urgent_leave_first(schedule: Any) -> None:
    gate = Gate()
    out: list[int] = []

    def take(message: Message) -> None:
        if message.port.name == "held":
            gate(None)
        else:
            out.append(message.data)

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".hold", ".held")
        runtime.add_chain(".in", ".out")
        runtime.on_result(take)
        runtime.process(".hold", 1)
        arrived(gate.entered)  # the engine's thread is in the handler
        runs = [runtime.process(".in", priority, priority=priority) for priority in (0, 5, 9, 5)]
        gate.open()
        for run in runs:
            run.wait(SECONDS)
            assert_ledger(run, accepted=1, delivered=1)
    assert out == [9, 5, 5, 0]


@by_schedule
def test_a_result_waits_for_what_is_more_urgent_and_for_nothing_else(schedule: Any) -> None:
    """What an action emits before it raises is no exception."""
    seen: list[Any] = []
    seams = simulated(1)

    def work(number: int, emit: Callable[[int], None]) -> None:
        seen.append(("work", number))
        emit(number)
        if number == 0:
            urgent.append(runtime.process(".urgent", "now", priority=3))
        raise ValueError(number)

    def ask(text: str) -> str:
        seen.append(("ask", text))
        return text

    urgent: list[Any] = []
    with FlowRuntime(schedule=schedule, seams=seams) as runtime:
        runtime.add_operations(FlowOperationContainer().add_action("work", work).add_func("ask", ask))
        runtime.add_chain(".in", "work", ".out")
        runtime.add_chain(".urgent", "ask", ".answer")
        runtime.on_exception(lambda error: seen.append(type(error)))
        runtime.on_result(lambda message: seen.append(message.data))
        runtime.process_many(".in", range(2)).wait()
        runtime.wait_idle()

    assert sorted(map(str, seen)) == sorted(
        map(
            str,
            [("work", 0), 0, OperationError, ("work", 1), 1, OperationError, ("ask", "now"), "now"],
        )
    )
    if schedule in ONE_BY_ONE:
        assert seen.index(0) < seen.index(("work", 1))  # it leads to nothing, so it lets nothing wait
        assert seen.index("now") < seen.index(1)


@by_schedule
def test_a_tap_sees_a_message_at_one_border_after_the_other_each_by_its_turn(schedule: Any) -> None:
    seams = simulated(1)
    times: list[tuple[str, float]] = []
    inner = Flow("inner").add_chain(".in", increment, ".out")
    outer = Flow("outer").add_chain(".in", inner, ".out")
    with FlowRuntime(schedule=schedule, seams=seams) as runtime:
        runtime.add_chain(".in", outer, ".out")
        runtime.on_message(lambda message: times.append((message.port.fullname, seams.clock.now() - begin)))
        runtime.throttle(2.0)
        begin = seams.clock.now()
        assert runtime.process(".in", 1).values(100.0) == [2]

    assert [port for port, _ in times] == [
        "outer/.in",
        "outer/inner/.in",
        "outer/inner/increment",
        "outer/inner/.out",
        "outer/.out",
        ".out",
    ]
    assert [at for _, at in times] == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]


@by_queued_schedule
def test_a_run_cancelled_while_its_results_wait_has_none(schedule: Any) -> None:
    seams = simulated(1)
    with FlowRuntime(schedule=schedule, seams=seams) as runtime:
        runtime.add_chain(".in", ".out")
        runtime.throttle(1000.0)
        run = runtime.process_many(".in", range(3))
        with pytest.raises(FlowTimeoutError):
            run.wait(1.0)
        text = str(runtime.explain())
        assert "  results: 3 have yet to leave\n  throttle: each message waits 1000 s" in text
        run.cancel()
        runtime.throttle(0)
        other = runtime.process(".in", 7)
        assert other.values(60.0) == [7]
        assert run.done
        assert run.ledger.balanced
        assert run.ledger.delivered == 0


@by_schedule
def test_many_results_of_several_runs_and_priorities_all_leave(schedule: Any) -> None:
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_chain(".in", same, ".out")
        runtime.add_chain(".in", ".out")
        runs = [
            runtime.process_many(".in", range(3_000), priority=lambda number: number % 7) for _ in range(3)
        ]
        for run in runs:
            assert sorted(run.values(timeout=SECONDS)) == sorted([*range(3_000), *range(3_000)])
            assert_ledger(run, accepted=3_000, born=3_000, delivered=6_000)


def test_an_on_result_handler_sees_results_of_one_priority_in_the_order_of_their_stream() -> None:
    seen: list[Message] = []
    with FlowRuntime() as runtime:
        runtime.add_chain(".in", ".out")
        runtime.on_result(seen.append)
        runtime.process_many(".in", range(2_000), priority=lambda number: number % 2).wait()
        odd = [message.data for message in seen if message.priority]
        even = [message.data for message in seen if not message.priority]
    assert odd == list(range(1, 2_000, 2))
    assert even == list(range(0, 2_000, 2))
    assert len(seen) == 2_000


@by_schedule
def test_what_was_emitted_before_an_error_waits_for_that_which_is_more_urgent(schedule: Any) -> None:
    """Under a causality: it has priority 99."""

    def work(number: int, emit: Callable[[int], None]) -> None:
        emit(number)
        raise ValueError(number)

    seen: list[str] = []
    operations = FlowOperationContainer().add_operation(PushCausality("push")).add_action("work", work)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(operations).add_chain(".in", "push", "work", ".out")
        runtime.add_stream("push.exception", ".failed")
        runtime.on_result(lambda message: seen.append(message.port.name))
        run = runtime.process(".in", 1)
        run.wait(SECONDS)
        assert_ledger(run, accepted=1, born=2, failed=1, delivered=2)
    assert seen == ["failed", "out"]
