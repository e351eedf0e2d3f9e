"""Input from outside where there is no room: it waits, fails, or something is given up for it, and the books say so."""

from __future__ import annotations

from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Run
from flowrt.errors import FlowBuildError, FlowError, FlowOverloadError, FlowStoppedError, RunCancelledError
from tests.kit.flows import Bench, assert_ledger, every_mode, flow_of
from tests.kit.functions import SECONDS, Gate, arrived, same

DROPS = ("drop_oldest", "drop_newest")
every_drop = pytest.mark.parametrize("overflow", DROPS)


def runtime_of(gate: Gate, overflow: Any, **options: Any) -> FlowRuntime:
    operations = FlowOperationContainer().add_func("work", gate).make_async()
    options = {"capacity": 2, **options}
    return FlowRuntime(
        flow_of("", ".in -> work -> .out", operations=operations), name="demo", overflow=overflow, **options
    )


def dropped(run: Run) -> bool:
    return run.done and run.ledger.discarded == 1


def test_fail_raises_at_once_and_sends_nothing() -> None:
    gate = Gate()
    with runtime_of(gate, "fail") as runtime:
        runs = [runtime.process(".in", number) for number in range(2)]
        with pytest.raises(FlowOverloadError) as caught:
            runtime.process(".in", 2)
        gate.open()

        assert [run.values(SECONDS) for run in runs] == [[0], [1]]
        assert runtime.process(".in", 3).values(SECONDS) == [3]
    assert str(caught.value) == (
        'runtime "demo": there is no room for input: capacity=2 messages are live, and overflow="fail" was asked for. Send it later, raise '
        "capacity, or speed the slowest operation up: runtime.explain() says which it is."
    )


def test_fail_lets_of_many_inputs_go_in_what_there_is_room_for() -> None:
    gate = Gate()
    with runtime_of(gate, "fail") as runtime:
        with pytest.raises(FlowOverloadError):
            runtime.process_many(".in", range(5))
        gate.open()
        runtime.wait_idle(SECONDS)

        assert [runtime.wait_for_result(SECONDS).data for _ in range(2)] == [0, 1]


def test_drop_newest_gives_the_new_input_up_and_its_run_is_over() -> None:
    gate = Gate()
    with runtime_of(gate, "drop_newest") as runtime:
        runs = [runtime.process(".in", number) for number in range(5)]

        assert [dropped(run) for run in runs] == [False, False, True, True, True]
        assert str(runs[2].ledger) == (
            "run 3 of demo (done): in 1 + born 0 = discarded 1\n  .in  in 1\n  .in  discarded 1 (overflow)"
        )
        assert runtime.explain().input.dropped == 3
        assert "  input: 3 dropped so far, for there was no room" in str(runtime.explain())
        runs[2].wait(SECONDS)
        with pytest.raises(FlowError, match=r"discarded 1 \(overflow\)"):
            runs[2].result(SECONDS)
        gate.open()
        assert [run.values(SECONDS) for run in runs] == [[0], [1], [], [], []]


def test_drop_oldest_gives_up_what_has_waited_longest_to_enter() -> None:
    gate = Gate()
    with runtime_of(gate, "drop_oldest", capacity=4) as runtime:
        first = [runtime.process(".in", number) for number in range(2)]
        arrived(gate.entered)
        assert runtime.explain().input.live == 2  # the engine has let both in
        runs = first + [runtime.process(".in", number) for number in range(2, 7)]

        assert [dropped(run) for run in runs] == [False, False, True, True, True, False, False]
        explanation = runtime.explain()
        assert (explanation.input.waiting, explanation.input.dropped) == (2, 3)
        assert "  input: 2 wait to enter; 2 live of capacity=4" in str(explanation)
        gate.open()
        assert [run.values(SECONDS) for run in runs] == [[0], [1], [], [], [], [5], [6]]


@every_drop
def test_of_many_inputs_what_is_given_up_is_in_the_books_of_their_run(overflow: Any) -> None:
    gate = Gate()
    with runtime_of(gate, overflow, capacity=4) as runtime:
        run = runtime.process_many(".in", range(100))
        gate.open()
        values = run.values(SECONDS)
        ledger = run.ledger

    assert len(values) == ledger.delivered
    assert ledger.discarded == 100 - len(values) == runtime.explain().input.dropped
    assert len(values) < 100
    assert ledger.accepted == 100
    assert ledger.balanced
    assert values == sorted(values)
    if overflow == "drop_oldest":
        assert values[-2:] == [98, 99]
    else:
        assert values[:4] == [0, 1, 2, 3]


@every_drop
@every_mode
def test_where_there_is_room_nothing_is_given_up(bench: Bench, overflow: Any) -> None:
    with bench.wired(".in -> work -> .out", funcs={"work": same}, overflow=overflow) as runtime:
        runs = [runtime.process(".in", number) for number in range(5)]
        many = runtime.process_many(".in", range(5))

        assert [run.values(SECONDS) for run in runs] == [[number] for number in range(5)]
        assert bench.arranged(many.values(SECONDS)) == list(range(5))
        assert_ledger(many, accepted=5, delivered=5)


@pytest.mark.parametrize("overflow", ["fail", *DROPS])
def test_from_inside_nothing_is_given_up(overflow: Any) -> None:
    def work(number: int) -> int:
        if number < 5:
            runtime.process(".in", number + 1)
            runtime.process(".in", 9)
        return number

    operations = FlowOperationContainer().add_func("work", work)
    flow = flow_of("", ".in -> work -> .out", operations=operations)
    with FlowRuntime(flow, capacity=1, overflow=overflow) as runtime:
        runtime.process(".in", 0).wait(SECONDS)
        runtime.wait_idle(SECONDS)

        assert sorted(message.data for message in runtime.results(SECONDS)) == [
            0,
            1,
            2,
            3,
            4,
            5,
            9,
            9,
            9,
            9,
            9,
        ]


def test_closing_works_off_what_waits_to_enter() -> None:
    gate = Gate()
    with runtime_of(gate, "drop_oldest") as runtime:
        runs = [runtime.process(".in", number) for number in range(2)]
        gate.open()

    assert [run.values(SECONDS) for run in runs] == [[0], [1]]


def test_closing_that_is_given_up_tells_who_waits_to_enter() -> None:
    gate = Gate()
    runtime = runtime_of(gate, "drop_oldest")
    first = runtime.process(".in", 0)
    arrived(gate.entered)
    second = runtime.process(".in", 1)

    report = runtime.close(drain=0.01)
    gate.open()

    assert report.discarded == 2
    for run in (first, second):
        with pytest.raises(FlowStoppedError):
            run.wait(SECONDS)


def test_a_run_that_waits_to_enter_can_be_cancelled() -> None:
    gate = Gate()
    with runtime_of(gate, "drop_oldest") as runtime:
        first = runtime.process(".in", 0)
        arrived(gate.entered)
        second = runtime.process(".in", 1)
        second.cancel()

        with pytest.raises(RunCancelledError):
            second.wait(SECONDS)
        gate.open()
        assert first.values(SECONDS) == [0]
    assert_ledger(second, accepted=1, discarded=1)


def test_what_is_none_of_them_is_refused() -> None:
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime(overflow="drop_latest")  # type: ignore[arg-type]

    assert str(caught.value) == (
        "there is no overflow='drop_latest'. Did you mean \"drop_oldest\"? There are: drop_newest, drop_oldest, fail, wait."
    )
