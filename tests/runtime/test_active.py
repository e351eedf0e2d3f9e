"""Active operations: activated when the runtime starts, they emit of their own accord until it closes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Operation, current
from flowrt.errors import (
    FlowBuildError,
    FlowOverloadError,
    FlowStalledError,
    FlowStoppedError,
    FlowTimeoutError,
    OperationError,
    OwnAccordError,
)
from flowrt.runtime.activation import ActiveEmitter
from flowrt.standard import Debounce, PushCausality, Ticker
from flowrt.testing import FakeClock, Seams, Slow, simulated
from tests.kit.flows import ONE_BY_ONE, SCHEDULES, assert_ledger, by_schedule, flow_of, wire
from tests.kit.functions import SECONDS, Gate, arrived, on_thread, refuse, same
from tests.kit.operators import Timeline


class Source(Operation):
    """Keeps the emitters it is given, and sends on what it gets."""

    in_ports = ("",)
    out_ports = ("", "odd")

    def __init__(self, name: str = "source", then: Callable[[Any], object] = same) -> None:
        super().__init__(name)
        self.emitters: list[ActiveEmitter] = []
        self.places: list[str] = []
        self.thread = ""
        self._then = then

    @property
    def emit(self) -> ActiveEmitter:
        (emitter,) = self.emitters
        return emitter

    def activate(self, emit: ActiveEmitter) -> None:
        self.emitters.append(emit)
        self.places.append(repr(emit))
        self.thread = threading.current_thread().name
        self._then(emit)

    def handle(self, _state: Any, message: Message, emit: Any) -> None:
        emit(message.data)


MODES: dict[str, Callable[[FlowOperationContainer], object]] = {
    "sync": lambda container: container.make_sync(),
    "async": lambda container: container.make_async(),
    "async in a pool": lambda container: container.make_async("pool"),
    "parallelism off": lambda container: container.make_async(),
    "simulated": lambda container: container.make_async(),
}
WAYS = [(mode, schedule) for mode in MODES for schedule in SCHEDULES]
every_way = pytest.mark.parametrize(("mode", "schedule"), WAYS, ids=[", ".join(way) for way in WAYS])


def runtime_of(operation: Operation, *chains: str, mode: str = "sync", **options: Any) -> FlowRuntime:
    container = FlowOperationContainer().add_operation(operation)
    MODES[mode](container)
    if mode == "simulated":
        options["seams"] = simulated(1)
    runtime = FlowRuntime(parallelism=mode != "parallelism off", **options)
    runtime.add_operations(container.add_func("same", same).add_func("refuse", refuse))
    wire(runtime, *(chains or ("source -> same -> .out", ".in -> source")))
    return runtime


# --- when and where


@every_way
def test_an_active_operation_is_activated_when_the_runtime_starts(mode: str, schedule: Any) -> None:
    """B260, B262: whatever mode wraps it, once, on the engine's thread."""
    source = Source()
    with runtime_of(source, mode=mode, schedule=schedule, name="here") as runtime:
        assert source.emitters == []

        assert runtime.start() is runtime
        assert len(source.emitters) == 1
        assert runtime.process(".in", 5).values(SECONDS) == [5]

    assert len(source.emitters) == 1
    threaded = schedule != "sync" and mode != "simulated"
    assert source.thread == ("here/engine" if threaded else threading.current_thread().name)


@by_schedule
@pytest.mark.parametrize("begin", ["process", "wait_idle", "wait_for_result"])
def test_the_first_input_or_wait_starts_it_too(schedule: Any, begin: str) -> None:
    """B183, B260."""
    source = Source(then=lambda emit: emit("first"))
    with runtime_of(source, schedule=schedule) as runtime:
        if begin == "process":
            runtime.process(".in", "input").wait(SECONDS)
        elif begin == "wait_idle":
            runtime.wait_idle(SECONDS)

        assert runtime.wait_for_result(SECONDS).data in ("first", "input")
        assert len(source.emitters) == 1


@every_way
def test_it_emits_from_any_thread_at_any_time_each_time_as_a_run(mode: str, schedule: Any) -> None:
    """B261, B262: without input, and without a correlation id unless one is given."""
    source = Source()
    with runtime_of(source, mode=mode, schedule=schedule) as runtime:
        wire(runtime, "source.odd -> .odd")
        runtime.start()
        on_thread(source.emit, 1)
        source.emit(2, correlation_id="id", priority=3)
        source.emit(3, "odd")
        source.emit()
        runtime.wait_idle(SECONDS)
        found = [runtime.wait_for_result(SECONDS) for _ in range(4)]

    assert sorted((str(m.data), m.port.fullname, m.correlation_id, m.priority) for m in found) == [
        ("1", ".out", None, 0),
        ("2", ".out", "id", 3),
        ("3", ".odd", None, 0),
        ("None", ".out", None, 0),
    ]


@by_schedule
def test_each_emission_is_a_run_whose_books_balance(schedule: Any) -> None:
    """B261."""
    source = Source()
    with runtime_of(source, "source -> which -> .out", schedule=schedule) as runtime:
        runs: list[Any] = []
        runtime.add_operations(FlowOperationContainer().add_func("which", lambda _: current().run))
        runtime.on_result(lambda message: runs.append(message.data))
        runtime.start()
        for number in range(3):
            source.emit(number)
        runtime.wait_idle(SECONDS)

    assert len(set(runs)) == 3


@by_schedule
def test_many_threads_may_emit_at_once_and_nothing_is_lost(schedule: Any) -> None:
    """B261."""
    source = Source()
    with runtime_of(source, schedule=schedule, capacity=10) as runtime:
        values: list[int] = []
        runtime.on_result(lambda message: values.append(message.data))
        runtime.start()

        def emit(first: int) -> None:
            for number in range(first, first + 100):
                source.emit(number)

        threads = [threading.Thread(target=emit, args=(first,)) for first in range(0, 400, 100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        runtime.wait_idle(SECONDS)

    assert sorted(values) == list(range(400))
    by_thread = [[each for each in values if each // 100 == number] for number in range(4)]
    assert by_thread == [sorted(each) for each in by_thread]


@by_schedule
def test_what_it_emits_leaves_at_its_place_in_nested_flows(schedule: Any) -> None:
    """B260, B261: at each of its places, also where nothing has entered their flow yet; the ancestor's came out at the root."""
    source = Source()
    inner = flow_of("inner", "source -> .out", "source#b -> .out", ".in -> .x")
    outer = flow_of("outer", "inner.out -> .out", "inner#2.out -> .second", flows=[inner])
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_flow(outer).add_operation(source)
        wire(runtime, "outer.out -> .out", "outer.second -> .second", "source -> .root")
        runtime.start()
        expected = {
            "source": ".root",
            "outer/inner/source": ".out",
            "outer/inner/source#b": ".out",
            "outer/inner#2/source": ".second",
            "outer/inner#2/source#b": ".second",
        }
        assert sorted(source.places) == sorted(f"<emitter of {place}>" for place in expected)
        for emit in source.emitters:
            emit(repr(emit))
        runtime.wait_idle(SECONDS)
        found = [runtime.wait_for_result(SECONDS) for _ in expected]

    assert {message.data: message.port.fullname for message in found} == {
        f"<emitter of {place}>": port for place, port in expected.items()
    }


@by_schedule
def test_in_a_flow_inside_itself_it_is_activated_as_its_places_are_entered(schedule: Any) -> None:
    """B260."""
    source = Source()

    def deeper(number: int, again: Callable[[int], None], out: Callable[[int], None]) -> None:
        (again if number else out)(number - 1)

    operations = FlowOperationContainer().add_operation(source).add_action("deeper", deeper)
    flow = flow_of(
        "flow", ".in -> deeper", "deeper.again -> flow.in", "deeper.out -> source -> .out", "flow.out -> .out"
    )
    flow.add_operations(operations).add_flow(flow)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_flow(flow)
        wire(runtime, ".in -> flow.in", "flow.out -> .out")
        runtime.start()
        assert source.places == ["<emitter of flow/source>"]

        assert runtime.process(".in", 2).values(SECONDS) == [-1]
        runtime.wait_idle(SECONDS)

    assert source.places == ["<emitter of flow/source>", "<emitter of flow/flow/flow/source>"]


@by_schedule
def test_one_added_while_the_runtime_runs_is_activated_with_the_change(schedule: Any) -> None:
    """B260."""
    first, second = Source(), Source("second")
    with runtime_of(first, schedule=schedule) as runtime:
        runtime.start()
        runtime.add_operation(second)
        wire(runtime, "second -> .second")
        assert second.emitters == []

        runtime.start()
        second.emit(1)

        assert runtime.wait_for_result(SECONDS).port.fullname == ".second"
    assert len(first.emitters) == len(second.emitters) == 1


def test_start_is_refused_once_the_runtime_is_closed() -> None:
    runtime = runtime_of(Source())
    runtime.close()

    with pytest.raises(FlowStoppedError):
        runtime.start()


def test_start_may_be_called_from_inside_and_again() -> None:
    with runtime_of(Source(), "source -> same -> .out") as runtime:
        runtime.add_operations(
            FlowOperationContainer().add_func("start", lambda _: runtime.start() is runtime)
        )
        wire(runtime, ".in -> start -> .out")

        assert runtime.process(".in").values(SECONDS) == [True]
        runtime.start().start()


def test_start_says_what_is_wrong_with_the_flow() -> None:
    with runtime_of(Source(), "source -> nowhere") as runtime, pytest.raises(FlowBuildError, match="nowhere"):
        runtime.start()


def test_under_sync_who_emits_does_not_wait_for_a_call_that_waits_for_him() -> None:
    """B261: the run is worked off by the thread that is the engine, before it goes on."""
    source = Source()
    order: list[Any] = []

    def join(data: Any) -> Any:
        on_thread(source.emit, "emitted")
        order.append("joined")
        return data

    with runtime_of(source, "source -> note", ".in -> join -> .out", schedule="sync") as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("join", join).add_func("note", order.append))
        run = runtime.process(".in", 1)

        assert order == ["joined", "emitted"]
        assert run.values() == [1]


def test_under_sync_emitting_is_refused_where_working_the_run_off_would_wait_for_that_thread() -> None:
    """B261, B270: as `process` is."""

    class Loop:
        def dispatch(self, call: Callable[[], None]) -> None:
            call()

        def must_not_wait(self) -> str:
            return "Send from another thread."

    source = Source()
    with runtime_of(source, "source -> there -> .out", schedule="sync") as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("there", same).make_sync(Loop()))
        runtime.start()
        with pytest.raises(FlowOverloadError, match="Send from another thread"):
            source.emit(1)


# --- the end


@every_way
def test_after_the_end_emitting_raises_and_nobody_waited_for_the_source(mode: str, schedule: Any) -> None:
    """B261."""
    source = Source()
    with runtime_of(source, mode=mode, schedule=schedule) as runtime:
        runtime.start()

    with pytest.raises(FlowStoppedError, match="is closed"):
        source.emit(1)


def test_while_the_runtime_drains_emitting_raises() -> None:
    source, gate, raised = Source(), Gate(), list[BaseException]()
    with runtime_of(source) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("gate", gate).make_async())
        wire(runtime, ".gate -> gate -> .out")
        runtime.start()
        runtime.process(".gate", 1)
        arrived(gate.entered)

        def late() -> None:
            while not runtime._life.draining:
                threading.Event().wait(0.001)
            try:
                source.emit(1)
            except FlowStoppedError as error:
                raised.append(error)
            gate.open()

        thread = threading.Thread(target=late)
        thread.start()
        runtime.close()
        thread.join(SECONDS)

    assert len(raised) == 1


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first"])
def test_an_emission_without_room_does_what_any_input_does(schedule: Any) -> None:
    """B261: here it fails; from the engine's thread it never waits."""
    source, gate = Source(), Gate()
    with runtime_of(
        source, "source -> gate -> .out", schedule=schedule, capacity=1, overflow="fail"
    ) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("gate", gate).make_async())
        runtime.start()
        source.emit(1)
        with pytest.raises(FlowOverloadError):
            source.emit(2)
        gate.open()

        assert runtime.wait_for_result(SECONDS).data == 1


# --- errors


@by_schedule
def test_an_error_while_activating_is_told_to_who_waits_for_results(schedule: Any) -> None:
    """B260."""
    with runtime_of(Source(then=refuse), schedule=schedule) as runtime:
        runtime.start()
        with pytest.raises(
            OwnAccordError, match=r'operation "source" \(declared at .*\) raised ValueError: refused$'
        ) as caught:
            runtime.wait_for_result(SECONDS)

    assert str(caught.value.__cause__) == "refused"


@by_schedule
def test_an_error_while_activating_that_nobody_sees_is_raised_at_the_end(schedule: Any) -> None:
    with pytest.raises(OwnAccordError, match="raised ValueError"), runtime_of(Source(then=refuse), schedule=schedule) as runtime:  # fmt: skip
        runtime.start()


@by_schedule
def test_an_error_while_activating_is_told_to_subscribers(schedule: Any) -> None:
    told: list[BaseException] = []
    with runtime_of(Source(then=refuse), schedule=schedule) as runtime:
        runtime.on_exception(told.append)
        runtime.start()
        runtime.wait_idle(SECONDS)

    assert [type(error) for error in told] == [OwnAccordError]


def test_sys_exit_while_activating_stops_the_runtime() -> None:
    def leave(_emit: Any) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit), runtime_of(Source(then=leave)) as runtime:
        runtime.start()
        runtime.wait_idle(SECONDS)


@by_schedule
def test_one_that_cannot_be_made_for_its_place_is_told_likewise(schedule: Any) -> None:
    made: list[int] = []

    def make() -> Source:
        made.append(1)
        if len(made) > 1:
            raise ValueError("not again")
        return Source()

    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operation("source", make)
        wire(runtime, "source -> .out")
        runtime.start()
        with pytest.raises(FlowBuildError, match="could not be made for its place"):
            runtime.wait_for_result(SECONDS)


@by_schedule
def test_a_failure_behind_an_emission_is_told_like_any_other(schedule: Any) -> None:
    source = Source()
    with runtime_of(source, "source -> refuse -> .out", schedule=schedule) as runtime:
        runtime.start()
        source.emit(1)

        with pytest.raises(OperationError, match="refuse"):
            runtime.wait_for_result(SECONDS)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((1, "even"), 'has no out-port ".even" to emit on'), ((1, "a.b"), "cannot name an out-port")],
)
def test_an_emission_on_a_port_that_is_not_there_is_refused_where_it_is_made(
    arguments: tuple[Any, ...], text: str
) -> None:
    source = Source()
    with runtime_of(source) as runtime:
        runtime.start()

        with pytest.raises(FlowBuildError) as caught:
            source.emit(*arguments)
        with pytest.raises(FlowBuildError, match="priority"):
            source.emit(1, priority="high")  # type: ignore[arg-type]

    assert text in str(caught.value)


def test_under_strict_an_optional_port_of_it_needs_no_stream() -> None:
    class Optional(Source):
        optional_ports = ("odd",)

    source = Optional()
    with runtime_of(source, strict=True) as runtime:
        runtime.start()
        source.emit(1, "odd")
        runtime.wait_idle(SECONDS)


# --- time


class Waker(Source):
    """Notes when it is woken."""

    def __init__(self, *seconds: float | None) -> None:
        super().__init__(then=self._ask)
        self._seconds = seconds
        self.woken: list[tuple[float, Any]] = []

    def create(self) -> list[float]:
        return []

    def _ask(self, emit: ActiveEmitter) -> None:
        for seconds in self._seconds:
            emit.wake(seconds)

    def timer(self, state: list[float], scope: None, emit: ActiveEmitter) -> None:
        assert scope is None
        state.append(emit.now())
        self.woken.append((emit.now(), list(state)))
        emit(emit.now())


@by_schedule
@pytest.mark.parametrize(
    ("seconds", "woken"), [([2.0], [(2.0, [2.0])]), ([2.0, 1.0], [(1.0, [1.0])]), ([1.0, None], []), ([], [])]
)
def test_it_is_woken_once_when_it_asked_for_it_last(
    schedule: Any, seconds: list[float | None], woken: list[Any]
) -> None:
    waker = Waker(*seconds)
    with runtime_of(waker, schedule=schedule, seams=simulated(0)) as runtime:
        found: list[Any] = []
        runtime.on_result(lambda message: found.append(message.data))
        runtime.start()
        with pytest.raises(FlowTimeoutError):
            runtime.wait_for_result(timeout=10.0)

    assert waker.woken == woken
    assert found == [when for when, _ in woken]


def test_it_may_ask_to_be_woken_on_any_thread() -> None:
    waker = Waker()
    with runtime_of(waker) as runtime:
        runtime.start()
        on_thread(waker.emit.wake, 0.0)
        runtime.wait_for_result(SECONDS)
        with pytest.raises(FlowBuildError, match="seconds of 0 or more"):
            waker.emit.wake(-1.0)


def test_an_error_when_it_is_woken_fails_a_run_of_its_own() -> None:
    class Failing(Waker):
        def timer(self, state: list[float], scope: None, emit: ActiveEmitter) -> None:
            raise ValueError("woken")

    with runtime_of(Failing(1.0), seams=simulated(0)) as runtime:
        with pytest.raises(OwnAccordError, match="ValueError"):
            runtime.wait_for_result()
        assert runtime.process(".in", 1).values() == [1]


@by_schedule
def test_who_is_to_be_woken_keeps_nothing_from_being_told_that_it_has_stalled(
    monkeypatch: pytest.MonkeyPatch, schedule: Any
) -> None:
    """An engine that forgets what it took from the schedule."""
    monkeypatch.setattr("flowrt.executors.inline.InlineExecutor.submit", lambda *_: None)
    monkeypatch.setattr("flowrt.engine.fusion.Fusion.chain_of", lambda *_: None)
    with runtime_of(Waker(3600.0), schedule=schedule) as runtime:
        run = runtime.process(".in", 1)
        with pytest.raises(FlowStalledError, match="cannot go on"):
            run.wait(SECONDS)


# --- Ticker


START = datetime(1970, 1, 1, tzinfo=UTC)


def ticking(
    ticker: Operation, *chains: str, **options: Any
) -> tuple[FlowRuntime, list[tuple[float, Any]], Any]:
    """A runtime in a simulation, what it gives when, and its clock."""
    seams = simulated(deviations={})
    runtime = FlowRuntime(seams=seams, **options)
    runtime.add_operations(FlowOperationContainer().add_operation(ticker).add_func("same", same))
    wire(runtime, *(chains or ("ticker.now -> same -> .out",)))
    ticks: list[tuple[float, Any]] = []
    runtime.on_result(lambda message: ticks.append((seams.clock.now(), message.data)))
    return runtime, ticks, seams.clock


def pass_time(runtime: FlowRuntime, seconds: float) -> None:
    with pytest.raises(FlowTimeoutError):
        runtime.wait_for_result(timeout=seconds)


@by_schedule
def test_a_ticker_tells_the_time_at_once_and_then_each_second(schedule: Any) -> None:
    """B263, B264: from the start of the runtime to its end."""
    runtime, ticks, clock = ticking(Ticker("ticker"), schedule=schedule)
    with runtime:
        clock.advance(5.0)
        runtime.start()
        pass_time(runtime, 3.5)
    clock.advance(10.0)

    assert ticks == [(at, START + timedelta(seconds=at)) for at in (5.0, 6.0, 7.0, 8.0)]


@by_schedule
def test_between_two_ticks_the_runtime_is_idle_and_it_closes_at_once(schedule: Any) -> None:
    """B263, B264."""
    runtime, ticks, clock = ticking(Ticker("ticker", 10.0), schedule=schedule)
    with runtime:
        runtime.start()
        runtime.wait_idle()
        assert list(runtime.results()) == []
        assert runtime.close().clean

    assert clock.now() == 0.0
    assert len(ticks) == 1


@pytest.mark.parametrize("schedule", ONE_BY_ONE)
def test_ticks_that_are_missed_coalesce_and_the_others_keep_their_time(schedule: Any) -> None:
    """B263: the first call takes 3.5 periods."""
    slow = [3.5]
    runtime, ticks, clock = ticking(Ticker("ticker", 2.0), "ticker.now -> slow -> .out", schedule=schedule)
    work = Slow(seconds=lambda _: slow.pop() * 2.0 if slow else 0.0, clock=clock)
    with runtime:
        runtime.add_operations(FlowOperationContainer().add_func("slow", work))
        runtime.start()
        pass_time(runtime, 11.0)

    assert [(at, tick.timestamp()) for at, tick in ticks] == [
        (7.0, 0.0),
        (7.0, 7.0),
        (8.0, 8.0),
        (10.0, 10.0),
    ]


def test_ticks_without_room_are_left_out() -> None:
    runtime, ticks, _ = ticking(Ticker("ticker", 1.0), "ticker.now -> slow -> .out", capacity=2)
    with runtime:
        slow = Slow(seconds=4.3)
        runtime.add_operations(FlowOperationContainer().add_func("slow", slow).make_async())
        runtime.start()
        pass_time(runtime, 9.5)

    assert [tick.timestamp() for _, tick in ticks[:4]] == [0.0, 1.0, 5.0, 9.0]


def test_a_ticker_in_nested_flows_and_in_two_runtimes_ticks_at_each_place() -> None:
    """B263."""
    ticker = Ticker("ticker")
    inner = flow_of("inner", "ticker.now -> .tick", operations=FlowOperationContainer().add_operation(ticker))
    for _ in range(2):
        with FlowRuntime(seams=simulated(0)) as first, FlowRuntime(seams=simulated(0)) as second:
            for runtime in (first, second):
                runtime.add_flow(inner)
                wire(runtime, "inner.tick -> .a", "inner#2.tick -> .b")
                runtime.start()
                ports = [runtime.wait_for_result().port.fullname for _ in range(4)]
                assert sorted(ports) == [".a", ".a", ".b", ".b"]


def test_a_ticker_ticks_on_the_real_clock_too() -> None:
    """B263: on threads, with the date and time of the system."""
    before = datetime.now(UTC)
    with FlowRuntime() as runtime:
        runtime.add_operation(Ticker("ticker", 0.001))
        wire(runtime, "ticker.now -> .out")
        ticks = [runtime.wait_for_result(SECONDS).data for _ in range(3)]

    assert before <= ticks[0] < ticks[1] < ticks[2]


def test_the_time_told_is_that_of_the_clock_if_it_tells_one() -> None:
    class Own:
        def now(self) -> float:
            return 0.0

    assert Seams(clock=FakeClock(86_400.0)).time() == START + timedelta(days=1)
    assert Seams(clock=Own()).time().tzinfo is UTC


@pytest.mark.parametrize("period", [0, -1.0, "1"])
def test_a_ticker_refuses_a_period_that_cannot_be(period: Any) -> None:
    with pytest.raises(FlowBuildError, match='Ticker "ticker": period is'):
        Ticker("ticker", period)


def test_nothing_can_be_sent_to_a_ticker_nor_can_it_run_elsewhere() -> None:
    """B262, B263: a stream to it is a fault, instead of input that is ignored; its mode cannot turn it off."""
    with FlowRuntime() as runtime, pytest.raises(FlowBuildError, match='operation "ticker" has no'):
        runtime.add_operation(Ticker("ticker"))
        wire(runtime, ".in -> ticker")
        runtime.start()
    with pytest.raises(FlowBuildError, match="has a timer"):
        FlowOperationContainer().add_operation(Ticker("ticker")).make_async()


# --- Debounce, slow motion


@by_schedule
def test_a_debounce_lets_the_last_of_a_burst_pass_after_half_a_second_of_silence(schedule: Any) -> None:
    """B252: on its default port, whatever port it came by."""
    timeline = Timeline(lambda: Debounce("op"), schedule)
    timeline.one_run((0.0, "a"), (0.4, "b"), (0.8, "c"), (2.0, "d"))

    assert [(round(at, 3), data) for at, data in timeline.out] == [(1.3, "c"), (2.5, "d")]


@by_schedule
def test_what_a_debounce_lets_pass_has_its_own_context_and_errors_behind_it_are_told(schedule: Any) -> None:
    """B253, B254: id and causality are those of the last message, not of the first."""
    flow = Flow().add_operation(Debounce("debounce", 1.0))
    flow.add_operations(FlowOperationContainer().add_func("refuse", refuse).add_func("same", same))
    wire(flow, ".in -> debounce", "debounce -> same -> .out", "debounce -> refuse -> .never")
    with FlowRuntime(flow, schedule=schedule, seams=simulated(deviations={})) as runtime:
        told: list[Any] = []
        runtime.on_exception(told.append)
        ids = (
            ["first", "last"] if schedule != "sync" else ["last"]
        )  # where the first would be waited for alone
        runs = [runtime.process(".in", each, correlation_id=each) for each in ids]
        message = runtime.wait_for_result()
        runtime.wait_idle()

    assert message.correlation_id == "last"
    assert [error.message.correlation_id for error in told] == ["last"]
    assert_ledger(runs[-1], accepted=1, born=1, delivered=1, failed=1)


@by_schedule
def test_an_error_behind_a_debounce_goes_to_the_causality_of_the_message_that_passed(schedule: Any) -> None:
    """B253, B254."""
    flow = Flow().add_operation(Debounce("debounce", 1.0)).add_operation(PushCausality("push"))

    def send(
        _data: Any,
    ) -> None:  # from inside, so that no schedule waits for the first before the last is sent
        for name in ("first", "last"):
            runtime.process(f".{name}", name, correlation_id=name)

    flow.add_operations(FlowOperationContainer().add_func("refuse", refuse).add_action("send", send))
    wire(flow, ".go -> send", "debounce -> refuse -> .never")
    for name in ("first", "last"):
        wire(flow, f".{name} -> push#{name} -> debounce", f"push#{name}.exception -> .{name}")
    with FlowRuntime(flow, schedule=schedule, seams=simulated(deviations={})) as runtime:
        runtime.process(".go")
        (message,) = runtime.results()

    assert (message.port.name, message.correlation_id) == ("last", "last")
    assert message.data.message.data == "last"
