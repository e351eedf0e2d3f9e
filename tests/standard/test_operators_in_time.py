"""Batch, Window, Debounce, Metronome: what they wait for, on a clock that moves when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import FlowOperationContainer, FlowRuntime, Message, Operation
from flowrt.errors import FlowBuildError, FlowOverloadError, RunCancelledError
from flowrt.standard import Batch, Debounce, Metronome, Window
from flowrt.testing import check_operation, simulated
from tests.kit import strategies
from tests.kit.flows import assert_ledger, wire
from tests.kit.functions import SECONDS
from tests.kit.operators import Timeline, around, books, every_schedule, in_lists, rows, values

__all__ = ["books"]

Events = list[tuple[int, int]]
Out = list[tuple[Any, Any]]

# Messages come at whole seconds; no multiple of this below 100 is one, so that nothing happens at the same time.
ODD = 0.37

# --- by number


@every_schedule
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (lambda: Batch("op", 3), [[0, 1, 2], [3, 4, 5], [6]]),
        (lambda: Batch("op", 7), [[0, 1, 2, 3, 4, 5, 6]]),
        (lambda: Batch("op", 1), [[0], [1], [2], [3], [4], [5], [6]]),
        (lambda: Batch("op", 3, by="run"), [[0, 1, 2], [3, 4, 5], [6]]),
        (lambda: Batch("op", 3, 1_000.0), [[0, 1, 2], [3, 4, 5], [6]]),
        (lambda: Window("op", count=3), [[0, 1, 2], [3, 4, 5], [6]]),
        (lambda: Window("op", count=3, every=2), [[0, 1, 2], [2, 3, 4], [4, 5, 6]]),
        (lambda: Window("op", count=3, every=1), [[n, n + 1, n + 2] for n in range(5)]),
        (lambda: Window("op", count=2, every=3), [[0, 1], [3, 4], [6]]),
        (lambda: Window("op", count=4, every=3), [[0, 1, 2, 3], [3, 4, 5, 6]]),
        (lambda: Window("op", count=8, every=1), [[0, 1, 2, 3, 4, 5, 6]]),
    ],
)
def test_seven_messages_of_one_run_lead_to(
    schedule: Any, operator: Callable[[], Operation], expected: list[Any]
) -> None:
    seams = simulated(deviations={})
    with FlowRuntime(around(operator()), schedule=schedule, seams=seams) as runtime:
        run = runtime.process_many(".in", range(7))
        assert run.values() == expected
        assert_ledger(run, accepted=7, delivered=len(expected), absorbed=7 - len(expected))


@every_schedule
@pytest.mark.parametrize(
    "operator", [lambda: Batch("op", 2), lambda: Window("op", count=2), lambda: Batch("op", 2, 10.0)]
)
def test_lists_are_batched_each_for_itself_and_gathered_in_order(
    schedule: Any, operator: Callable[[], Operation]
) -> None:
    flow = in_lists(operator())
    with FlowRuntime(flow, schedule=schedule, seams=simulated(deviations={})) as runtime:
        run = runtime.process_many(".in", [[1, 2, 3], [4], [], [5, 6]])

        assert sorted(run.values()) == [[], [[1, 2], [3]], [[4]], [[5, 6]]]
        assert run.ledger.balanced


def test_what_has_been_in_its_windows_is_absorbed_and_says_so() -> None:
    with FlowRuntime(around(Window("window", count=3, every=1))) as runtime:
        run = runtime.process_many(".in", range(5))
        assert run.values(timeout=SECONDS) == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
        assert ("window", "absorbed", "it was in all its windows", 2) in rows(run)


@given(size=st.integers(1, 5), every=st.integers(1, 7), number=st.integers(0, 20), at_once=st.booleans())
def test_windows_by_count_are_what_a_plain_model_says(
    size: int, every: int, number: int, at_once: bool
) -> None:
    expected, start = [], 0
    while start < number:
        if not expected or expected[-1][-1] < number - 1:  # something in it is new
            expected.append(list(range(start, min(start + size, number))))
        start += every

    schedule = "sync" if at_once else "breadth_first"
    assert values(around(Window("op", count=size, every=every)), range(number), schedule) == expected


# --- by time: one run


def timed(make: Callable[[], Operation], events: Iterable[Any], *, runs: bool = False) -> Out:
    timeline = Timeline(make)
    events = list(events)
    if runs:
        timeline.runs(*events)
    else:
        timeline.one_run(*events)
    return [(pytest.approx(moment), data) for moment, data in timeline.out]


EVENTS = [(0, "a"), (1, "b"), (2.5, "c"), (5, "d"), (5.5, "e"), (6.1, "f"), (7, "g")]


@pytest.mark.parametrize("runs", [False, True], ids=["one run", "a run each"])
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (lambda: Batch("op", 3, 2.0), [(2.0, "ab"), (4.5, "c"), (6.1, "def"), (9.0, "g")]),
        (lambda: Batch("op", 2, 100.0), [(1.0, "ab"), (5.0, "cd"), (6.1, "ef"), (107.0, "g")]),
        (lambda: Window("op", seconds=4), [(4.0, "abc"), (9.0, "defg")]),
        (
            lambda: Window("op", seconds=4, every=2),
            [(2.0, "ab"), (4.0, "abc"), (6.0, "cde"), (8.0, "defg"), (10.0, "fg")],
        ),
        (lambda: Window("op", gap=1.6), [(4.1, "abc"), (8.6, "defg")]),
        (lambda: Window("op", gap=1.1), [(2.1, "ab"), (3.6, "c"), (8.1, "defg")]),
        (lambda: Debounce("op", 1.6), [(4.1, "c"), (8.6, "g")]),
        (
            lambda: Debounce("op", 0.55),
            [(0.55, "a"), (1.55, "b"), (3.05, "c"), (6.05, "e"), (6.65, "f"), (7.55, "g")],
        ),
    ],
)
def test_messages_that_come_at_times_leave_at_times(
    operator: Callable[[], Operation], expected: Out, runs: bool
) -> None:
    out = timed(operator, EVENTS, runs=runs)

    assert [(moment, "".join(data)) for moment, data in out] == expected


@every_schedule
def test_a_run_does_not_end_while_it_waits_for_time(schedule: Any) -> None:
    timeline = Timeline(lambda: Batch("batch", 10, 5.0), schedule)
    run = timeline.one_run((0, 1))

    assert timeline.out == [(5.0, [1])]
    assert_ledger(run, accepted=1, delivered=1)


def test_by_run_no_run_waits_for_another() -> None:
    events = [(0, 1), (1, 2), (2, 3)]

    assert timed(lambda: Batch("op", 2, 5.0), events, runs=True) == [(1, [1, 2]), (7, [3])]
    assert timed(lambda: Batch("op", 2, 5.0, by="run"), events, runs=True) == [(5, [1]), (6, [2]), (7, [3])]
    assert timed(lambda: Debounce("op", 5.0, by="run"), events, runs=True) == [(5, 1), (6, 2), (7, 3)]
    assert timed(lambda: Window("op", gap=5.0, by="run"), events, runs=True) == [(5, [1]), (6, [2]), (7, [3])]


def test_runs_that_are_batched_together_end_when_the_batch_leaves() -> None:
    timeline = Timeline(lambda: Batch("batch", 10, 5.0))
    first, second = timeline.runs((0, 1), (3, 2))

    assert timeline.out == [(5.0, [1, 2])]
    assert timeline.seams.clock.now() == 5.0, "nobody waits for the second one's time"
    assert_ledger(first, accepted=1, delivered=1)
    assert_ledger(second, accepted=1, absorbed=1)


def test_a_window_over_several_runs_has_their_id_if_they_have_one() -> None:
    for ids, expected in ((["a", "a"], "a"), (["a", "b"], None)):
        timeline = Timeline(lambda: Window("window", seconds=5))
        with timeline.runtime as runtime:
            found: list[Message] = []
            runtime.on_result(found.append)
            for number, correlation_id in enumerate(ids):
                runtime.process(".in", (number, number), correlation_id=correlation_id, priority=number)
            runtime.wait_idle()
        assert [(message.data, message.correlation_id, message.priority) for message in found] == [
            ([0, 1], expected, 1)
        ]


# --- models


def batches(events: Events, size: int, seconds: float) -> Out:
    out: Out = []
    waiting: Events = []
    for moment, data in [*events, (10**9, -1)]:
        if waiting and waiting[0][0] + seconds < moment:
            out.append((waiting[0][0] + seconds, [each for _, each in waiting]))
            waiting = []
        waiting.append((moment, data))
        if len(waiting) == size:
            out.append((moment, [each for _, each in waiting]))
            waiting = []
    return [entry for entry in out if entry[1] != [-1]]


def sliding(events: Events, stretch: float, number: int) -> Out:
    out: Out = []
    left = list(events)
    waiting: Events = []
    while left:
        waiting = [left.pop(0)]
        tick = waiting[0][0] + stretch
        while waiting:
            while left and left[0][0] < tick:
                waiting.append(left.pop(0))
            out.append((tick, [data for _, data in waiting]))
            tick += stretch
            waiting = [each for each in waiting if each[0] > tick - number * stretch - 1e-6]
    return out


def sessions(events: Events, gap: float) -> Out:
    out: Out = []
    for moment, data in events:
        if out and moment < out[-1][0]:
            out[-1] = (moment + gap, [*out[-1][1], data])
        else:
            out.append((moment + gap, [data]))
    return out


def last_of(events: Events, out: Out) -> list[Any]:
    """When each message has left for the last time, or one before it, if that is later."""
    moments: list[float] = []
    for _, item in events:
        left = max(moment for moment, data in out if item in data)
        moments.append(max([left, *moments[-1:]]))
    return [pytest.approx(moment) for moment in moments]


moments = st.lists(st.integers(0, 30), unique=True, max_size=12).map(sorted)


@given(moments=moments, whole=st.integers(0, 6), number=st.integers(1, 4), runs=st.booleans())
@settings(deadline=None)
def test_what_waits_for_time_leaves_as_a_plain_model_says(
    moments: list[int], whole: int, number: int, runs: bool
) -> None:
    events = [(moment, index) for index, moment in enumerate(moments)]
    seconds = whole + ODD
    in_sessions = sessions(events, seconds)

    make: Callable[[], Operation]
    for make, expected in (
        (lambda: Batch("op", number, seconds), batches(events, number, seconds)),
        (lambda: Window("op", gap=seconds), in_sessions),
        (lambda: Window("op", seconds=number * seconds, every=seconds), sliding(events, seconds, number)),
    ):
        assert timed(make, events, runs=runs) == expected
        timeline = Timeline(make)
        timeline.runs(*events)
        assert timeline.ended == last_of(events, expected), "no run lasts longer than its messages"
    assert timed(lambda: Debounce("op", seconds), events, runs=runs) == [
        (moment, data[-1]) for moment, data in in_sessions
    ]


@given(
    moments=moments,
    numbers=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    whole=st.integers(0, 4),
    number=st.integers(1, 4),
)
@settings(deadline=None)
def test_how_messages_are_spread_over_runs_changes_nothing(
    moments: list[int], numbers: list[int], whole: int, number: int
) -> None:
    events = [(moment, index) for index, moment in enumerate(moments)]
    spread = [(moment, run, index) for (moment, index), run in zip(events, numbers, strict=False)]
    seconds = whole + ODD
    make: Callable[[], Operation]
    for make, expected in (
        (lambda: Batch("op", number, seconds), batches(events, number, seconds)),
        (lambda: Window("op", gap=seconds), sessions(events, seconds)),
        (lambda: Window("op", seconds=number * seconds, every=seconds), sliding(events, seconds, number)),
    ):
        timeline = Timeline(make)
        timeline.grouped(spread)
        out = [(pytest.approx(moment), data) for moment, data in timeline.out]
        if "Batch" in repr(make()):  # a run has one timer, which its first message started
            assert [item for _, data in out for item in data] == list(range(len(events)))
        else:
            assert out == expected


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "come", "come", "stop"]), st.integers(0, 3)), max_size=14
    ),
    size=st.integers(1, 4),
    every=st.integers(1, 5),
)
@settings(deadline=None)
def test_runs_that_are_cancelled_leave_windows_by_count_as_a_plain_model_says(
    steps: list[tuple[str, int]], size: int, every: int
) -> None:
    events, stops, expected = [], {}, []
    held: list[tuple[int, int, list[bool]]] = []
    to_skip = 0
    for moment, (what, run) in enumerate(steps):
        if run in stops:
            continue
        if what == "stop":
            if any(number == run for _, number, _ in events):
                stops[run] = moment
                held = [each for each in held if each[1] != run]
            continue
        events.append((moment, run, moment))
        if to_skip:
            to_skip -= 1
            continue
        held.append((moment, run, []))
        if len(held) == size:
            expected.append([item for item, _, _ in held])
            for _, _, seen in held:
                seen.append(True)
            held = held[min(every, size) :]
            to_skip = max(every - size, 0)
    if any(not seen for _, _, seen in held):
        expected.append([item for item, _, _ in held])
    timeline = Timeline(lambda: Window("op", count=size, every=every))
    timeline.grouped(
        events,
        [(moment, run) for run, moment in stops.items()],
        {run: 50.0 for _, run, _ in events},
    )

    assert [data for _, data in timeline.out] == expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (lambda: Window("op", seconds=4, every=2), [(2, "ac"), (4, "acd"), (6, "d")]),
        (lambda: Window("op", gap=2.5), [(5.5, "acd")]),
        (lambda: Batch("op", 9, 4.0), [(4, "acd")]),
        (lambda: Debounce("op", 1.0), [(4, "d")]),
    ],
)
def test_who_is_cancelled_leaves_the_time_of_the_others_as_it_was(
    operator: Callable[[], Operation], expected: Out
) -> None:
    timeline = Timeline(operator)
    timeline.grouped([(0, 0, "a"), (0.5, 1, "b"), (1, 2, "c"), (3, 3, "d")], [(1.2, 1)])

    assert [(moment, "".join(data)) for moment, data in timeline.out if data != "c"] == expected


def test_where_the_newest_of_a_session_is_cancelled_the_pause_is_counted_from_another() -> None:
    timeline = Timeline(lambda: Window("op", gap=2.0))
    timeline.grouped([(0, 0, "a"), (1, 1, "b")], [(1.5, 1)])

    assert timeline.out == [(2.0, ["a"])]


def test_a_run_whose_message_another_one_follows_is_over_then() -> None:
    timeline = Timeline(lambda: Debounce("op", 5.0))
    timeline.runs((0, "a"), (1, "b"), (2, "c"))

    assert timeline.ended == [1.0, 2.0, 7.0]


def test_a_run_that_ends_takes_nothing_along_that_waits_for_others() -> None:
    timeline = Timeline(lambda: Batch("op", 2, 9.0))
    # 0 and 1 leave together; when run 1 has gone quiet, at 3, the message of run 2 still has time.
    timeline.grouped([(0, 0, 0), (1, 1, 1), (2, 2, 2)], until={1: 3.0})

    assert timeline.out == [(1.0, [0, 1]), (11.0, [2])]


def test_who_is_further_up_the_stream_is_told_first_that_a_run_has_gone_quiet() -> None:
    flow = around(Batch("pairs", 2))
    flow.add_operations(FlowOperationContainer().add_operation(Batch("threes", 3)))
    wire(flow, ".threes -> threes -> pairs")
    with FlowRuntime(flow) as runtime:
        run = runtime.process_many(".threes", range(4))
        assert run.values(timeout=SECONDS) == [[[0, 1, 2], [3]]]


OPERATORS: dict[str, Callable[[], Operation]] = {
    "batch": lambda: Batch("op", 3),
    "batch in time": lambda: Batch("op", 3, 2.0),
    "count": lambda: Window("op", count=3),
    "sliding count": lambda: Window("op", count=3, every=2),
    "time": lambda: Window("op", seconds=3),
    "sliding time": lambda: Window("op", seconds=4, every=2),
    "session": lambda: Window("op", gap=2),
    "debounce": lambda: Debounce("op", 2.0),
    "ticker": lambda: Metronome("op", 1.0, 3),
}
LISTS = [name for name in OPERATORS if name not in ("debounce", "ticker")]


@given(
    name=st.sampled_from(LISTS),
    numbers=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    schedule=st.sampled_from(["breadth_first", "depth_first", "sync"]),
    seed=strategies.seeds,
)
def test_no_message_is_lost_or_out_of_order_in_any_order_of_events(
    name: str, numbers: list[int], schedule: Any, seed: int
) -> None:
    flow = around(OPERATORS[name]())
    with FlowRuntime(flow, seams=simulated(seed), schedule=schedule) as runtime:
        found: list[Message] = []
        runtime.on_result(found.append)
        for run, number in enumerate(numbers):
            runtime.process_many(".in", [(run, index) for index in range(number)])
        runtime.wait_idle()
    sent = {(run, index) for run, number in enumerate(numbers) for index in range(number)}
    together = [item for message in found for item in message.data]

    assert set(together) == sent
    if "sliding" not in name:
        assert len(together) == len(sent)
    for message in found:
        assert message.data == sorted(message.data) or schedule != "sync"


# --- cancelling and closing


@given(
    name=st.sampled_from(list(OPERATORS)),
    events=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=6),
    when=st.integers(0, 12),
)
@settings(deadline=None)
def test_a_cancelled_run_takes_what_is_its_own_and_only_that(
    name: str, events: list[tuple[int, bool]], when: int
) -> None:
    def look(runtime: FlowRuntime) -> None:
        for place in runtime._owner.engine.routes.all_places():
            if place.name == "op":
                waiting = list(place.state) if name == "ticker" else [pool.homes for pool in place.state]
                assert not any(waiting), "nothing waits any more"
        assert not runtime._owner.engine.timers, "nor is anybody woken"

    timeline = Timeline(OPERATORS[name])
    timeline.grouped(
        [(moment, index, index) for index, (moment, _) in enumerate(events)],
        [(when + ODD, index) for index, (_, wanted) in enumerate(events) if not wanted],
        at_end=look,
    )
    if name in LISTS:
        lists = [data for _, data in timeline.out]
        wanted_ones = {index for index, (_, wanted) in enumerate(events) if wanted}
        late = {index for index, (moment, _) in enumerate(events) if moment > when}
        seen = {item for data in lists for item in data}
        assert wanted_ones <= seen
        assert not (late - wanted_ones) & seen


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in ("ticker", "sliding count")])
def test_closing_waits_for_no_time_and_loses_nothing(name: str) -> None:
    timeline = Timeline(OPERATORS[name])
    runtime = timeline.runtime
    runs = [runtime.process(".now", number) for number in range(2)]
    report = runtime.close()

    assert report.clean
    assert timeline.seams.clock.now() == 0.0
    assert [run.done for run in runs] == [True, True]
    assert timeline.out
    data = timeline.out[-1][1]
    assert data == 1 if name == "debounce" else data[-1] == 1


def test_with_an_endless_ticker_closing_ends_the_run_and_says_what_became_of_its_message() -> None:
    timeline = Timeline(lambda: Metronome("ticker", 1.0))
    with timeline.runtime as runtime:
        run = runtime.process(".now")
        other = runtime.process(".in", (3.5, None))
        while len(timeline.out) < 3:
            runtime._owner.wait_until(lambda: len(timeline.out) >= 3, None)
        other.cancel()
    assert [data for _, data in timeline.out] == [0, 1, 2]
    assert ("ticker", "absorbed", "the ticks were stopped", 1) in rows(run)


# --- the ticker


@every_schedule
def test_a_ticker_ticks_so_many_times_for_the_message_that_started_it(schedule: Any) -> None:
    timeline = Timeline(lambda: Metronome("ticker", 2.0, 3), schedule)
    with timeline.runtime as runtime:
        found: list[Message] = []
        runtime.on_result(found.append)
        run = runtime.process(".now", "go", correlation_id="id", priority=2)
        run.wait()

    assert timeline.out == [(2.0, 0), (4.0, 1), (6.0, 2)]
    assert {(message.correlation_id, message.priority) for message in found} == {("id", 2)}
    assert_ledger(run, accepted=1, born=2, delivered=3)


def test_each_run_has_ticks_of_its_own_and_in_a_run_the_newest_message_counts() -> None:
    assert timed(lambda: Metronome("op", 2.0, 2), [(0, ""), (1, "")], runs=True) == [
        (2, 0),
        (3, 0),
        (4, 1),
        (5, 1),
    ]
    timeline = Timeline(lambda: Metronome("ticker", 2.0, 2))
    run = timeline.one_run((0, ""), (3, ""))
    assert timeline.out == [(2.0, 0), (5.0, 0), (7.0, 1)]
    assert ("ticker", "absorbed", "another message started anew", 1) in rows(run)


def test_an_endless_ticker_ticks_until_its_run_is_cancelled() -> None:
    timeline = Timeline(lambda: Metronome("ticker", 1.0))
    with timeline.runtime as runtime:
        run = runtime.process(".now")
        runtime.on_result(lambda message: run.cancel() if message.data == 5 else None)
        with pytest.raises(RunCancelledError):
            run.wait()
    assert [data for _, data in timeline.out] == [0, 1, 2, 3, 4, 5]


# --- bounds


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (lambda: Window("op", seconds=9, max_waiting=2), "max_waiting=2"),
        (lambda: Window("op", gap=9, max_waiting=2), "max_waiting=2"),
    ],
)
def test_past_max_waiting_the_run_fails(operator: Callable[[], Operation], text: str) -> None:
    with FlowRuntime(around(operator()), seams=simulated(deviations={})) as runtime:
        run = runtime.process_many(".in", [1, 2, 3])

        with pytest.raises(FlowOverloadError, match=text):
            run.wait()
        assert run.ledger.balanced
        assert runtime.process_many(".in", [4, 5]).values() == [[4, 5]]


@pytest.mark.parametrize(
    "operator",
    [
        lambda: Batch("op", 5, 9.0, by="run", max_open=2),
        lambda: Window("op", gap=9, by="run", max_open=2),
        lambda: Debounce("op", 9, by="run", max_open=2),
        lambda: Metronome("op", 9, 1, max_open=2),
    ],
)
def test_past_max_open_the_run_fails_and_the_others_go_on(operator: Callable[[], Operation]) -> None:
    timeline = Timeline(operator)
    with timeline.runtime as runtime:
        runs = [runtime.process(".in", (number, number)) for number in range(3)]
        runtime.wait_idle()
        failed = [run for run in runs if run.failure is not None]
        with pytest.raises(FlowOverloadError, match="max_open=2"):
            failed[0].wait()
    assert len(failed) == 1
    assert len(timeline.out) == 2


# --- what they cannot be made of


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Batch("op", 0), 'Batch "op": size is 0'),
        (
            lambda: Batch("op", 1, 0),
            'Batch "op": seconds is 0; give a number of seconds above 0',
        ),
        (lambda: Batch("op", 1, True), 'Batch "op": seconds is True'),
        (lambda: Batch("op", 1, float("nan")), 'Batch "op": seconds is nan'),
        (lambda: Batch("op", 1, by="list"), "Batch \"op\": by is 'list'"),  # type: ignore[arg-type]
        (lambda: Batch("op", 1, max_open=0), 'Batch "op": max_open is 0'),
        (lambda: Window("op"), 'Window "op": give one of count=, seconds= and gap='),
        (lambda: Window("op", count=1, seconds=1), "give one of count=, seconds= and gap="),
        (lambda: Window("op", gap=1, every=1), "give one of count=, seconds= and gap="),
        (lambda: Window("op", count=3, every=1.5), 'Window "op": every is 1.5; it counts messages'),
        (
            lambda: Window("op", seconds=3, every=2),
            "seconds is 3 and every is 2; a window is open for a whole number",
        ),
        (lambda: Window("op", seconds=2, every=3), "a window is open for a whole number"),
        (lambda: Window("op", gap=-1), 'Window "op": gap is -1'),
        (lambda: Window("op", gap=1, max_waiting=0), 'Window "op": max_waiting is 0'),
        (lambda: Debounce("op", "1"), "Debounce \"op\": seconds is '1'"),  # type: ignore[arg-type]
        (lambda: Metronome("op", 0), 'Metronome "op": seconds is 0'),
        (lambda: Metronome("op", 1, 0), 'Metronome "op": times is 0'),
    ],
)
def test_an_operator_refuses_what_cannot_be_meant_and_says_what_can(
    make: Callable[[], Operation], text: str
) -> None:
    with pytest.raises(FlowBuildError, match=text):
        make()


@pytest.mark.parametrize("seconds", [1.0, 0.3, 7])
@pytest.mark.parametrize("number", [1, 3, 10, 60])
def test_a_window_may_be_any_whole_number_of_stretches(seconds: float, number: int) -> None:
    Window("window", seconds=seconds, every=seconds / number)
    Window("window", seconds=number * seconds, every=seconds)


# --- the rule kit


@pytest.mark.parametrize(
    "make",
    [
        lambda: Batch("op", 3),
        lambda: Batch("op", 3, 0.001),
        lambda: Batch("op", 3, by="run"),
        lambda: Window("op", count=3, every=2),
        lambda: Window("op", seconds=0.002),
        lambda: Window("op", seconds=0.002, every=0.001),
        lambda: Window("op", gap=0.001),
        lambda: Debounce("op", 0.001),
        lambda: Metronome("op", 0.001, 2),
    ],
)
def test_an_operator_keeps_the_rules(make: Callable[[], Operation]) -> None:
    check_operation(make, ["a", "b", "c", "d"])
