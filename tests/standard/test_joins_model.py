"""The joins beside plain models of them, in random scripts, orders of events, schedules and modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Gather, Run, RunCancelledError, Scatter
from flowrt.standard import AutoResetJoin, ManualResetJoin
from flowrt.testing import LedgerWatch, simulated
from tests.kit import strategies
from tests.kit.flows import SCHEDULES, wire
from tests.kit.functions import SECONDS

Tuples = list[tuple[Any, Any]]  # the tuple, the correlation id

ids = st.sampled_from([None, "a", 1])
places = st.sampled_from(["join", "join#1", "inner/join"])
schedules = st.sampled_from(SCHEDULES)


class AutoModel:
    """Buckets by id: a queue for each input."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.buckets: dict[Any, list[list[Any]]] = {}

    def take(self, port: int, value: Any, key: Any) -> list[Any]:
        queues = self.buckets.setdefault(key, [[] for _ in range(self.inputs)])
        queues[port].append(value)
        return [tuple(queue.pop(0) for queue in queues)] if all(queues) else []

    def forget(self, values: set[Any]) -> None:
        for queues in self.buckets.values():
            for queue in queues:
                queue[:] = [value for value in queue if value not in values]

    def waiting(self) -> int:
        return sum(any(queues) for queues in self.buckets.values())


class ManualModel(AutoModel):
    """The same, until each has had one; then what was last at each. Port `inputs` is the reset."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs)
        self.ready: dict[Any, list[Any]] = {}

    def take(self, port: int, value: Any, key: Any) -> list[Any]:
        if port == self.inputs:
            self.ready.pop(key, None)
            self.buckets.pop(key, None)
            return []
        if key in self.ready:
            self.ready[key][port] = value
            return [tuple(self.ready[key])]
        queues = self.buckets.setdefault(key, [[] for _ in range(self.inputs)])
        queues[port].append(value)
        if not all(queues):
            return []
        found = [tuple(queue[0] for queue in queues)]
        while longer := [queue for queue in queues if len(queue) > 1]:
            del longer[0][0]
            found.append(tuple(queue[0] for queue in queues))
        self.ready[key] = [queue[0] for queue in queues]
        del self.buckets[key]
        return found

    def waiting(self) -> int:
        return super().waiting() + len(self.ready)


def flow_around(manual: bool, inputs: int, **options: Any) -> Flow:
    """One join at three places: `.join_in0 -> join.in0` and so on, results at `.join`, `.join_1` and `.inner`."""
    join = (ManualResetJoin if manual else AutoResetJoin)("join", inputs, **options)
    inner = Flow("inner")
    flow = Flow().add_flow(inner)
    for port in join.in_ports or ():
        wire(inner, f".{port} -> join.{port}")
        for source, target in (("join", "join"), ("join_1", "join#1"), ("inner", "inner")):
            wire(flow, f".{source}_{port} -> {target}.{port}")
    wire(inner, "join -> .out")
    wire(flow, "join -> .join", "join#1 -> .join_1", "inner.out -> .inner")
    return flow.add_operations(FlowOperationContainer().add_operation(join))


SOURCE = {"join": "join", "join#1": "join_1", "inner/join": "inner"}


def port_of(place: str, port: int, inputs: int) -> str:
    return f".{SOURCE[place]}_{'reset' if port == inputs else f'in{port}'}"


def results_of(run: Run) -> list[tuple[str, Any, Any]]:
    return [
        (message.port.name, message.data, message.correlation_id) for message in run.results(timeout=SECONDS)
    ]


@st.composite
def scripts(draw: Callable[[Any], Any]) -> tuple[bool, int, list[tuple[str, int, Any]]]:
    manual, inputs = draw(st.booleans()), draw(st.integers(1, 3))
    ports = st.integers(0, inputs if manual else inputs - 1)
    return manual, inputs, draw(st.lists(st.tuples(places, ports, ids), max_size=25))


@given(script=scripts(), schedule=schedules, at_once=st.booleans(), seed=strategies.seeds)
@settings(max_examples=150)
def test_a_join_does_what_a_plain_model_says(
    script: tuple[bool, int, list[tuple[str, int, Any]]], schedule: Any, at_once: bool, seed: int
) -> None:
    """B072, B210, B212, B214, B215, B216, B217, B218."""
    manual, inputs, entries = script
    models = {place: (ManualModel if manual else AutoModel)(inputs) for place in SOURCE}
    expected = [
        [(SOURCE[place], found, key) for found in models[place].take(port, number, key)]
        for number, (place, port, key) in enumerate(entries)
    ]
    # Inputs of one priority keep their order, so it is the same whether or not each is waited for; but round robin takes ports in turn.
    at_once = at_once and schedule != "round_robin"
    with (
        LedgerWatch(),
        FlowRuntime(flow_around(manual, inputs), schedule=schedule, seams=simulated(seed)) as runtime,
    ):
        runs = []
        for number, (place, port, key) in enumerate(entries):
            run = runtime.process(port_of(place, port, inputs), number, correlation_id=key)
            runs.append(run)
            if not at_once:
                run.wait(timeout=SECONDS)
        assert [results_of(run) for run in runs] == expected
        runtime.wait_idle()
        for used in runtime._owner.engine.routes.all_places():
            assert len(used.state) == models[used.name].waiting()


@given(
    entries=st.lists(st.tuples(st.integers(0, 1), ids, st.integers(0, 4)), max_size=25),
    schedule=schedules,
)
@settings(max_examples=60)
def test_what_is_older_than_expire_is_joined_no_more(
    entries: list[tuple[int, Any, int]], schedule: Any
) -> None:
    """B219: each entry comes so many seconds after the one before; a message of one port expires after five."""
    model, now = AutoModel(2), 0
    arrived: dict[int, int] = {}
    seams = simulated(deviations={})
    clock: Any = seams.clock
    with (
        LedgerWatch(),
        FlowRuntime(flow_around(False, 2, expire=5.0), schedule=schedule, seams=seams) as runtime,
    ):
        for number, (port, key, seconds) in enumerate(entries):
            now += seconds
            clock.advance_to(now)
            arrived[number] = now
            model.forget({value for value, moment in arrived.items() if now - moment >= 5})
            run = runtime.process(port_of("join", port, 2), number, correlation_id=key)
            assert run.values() == model.take(port, number, key)
        assert runtime._owner.engine.wakes.loose == sum(
            len(queue) for queues in model.buckets.values() for queue in queues
        )


@given(
    entries=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), ids), max_size=20),
    cancelled=st.sets(st.integers(0, 2)),
    schedule=st.sampled_from([schedule for schedule in SCHEDULES if schedule != "sync"]),
    manual=st.booleans(),
    expire=st.sampled_from([None, 1e9]),
)
@settings(max_examples=100)
def test_of_cancelled_runs_a_join_keeps_nothing_and_of_the_others_all(
    entries: list[tuple[int, int, Any]],
    cancelled: set[int],
    schedule: Any,
    manual: bool,
    expire: float | None,
) -> None:
    """What three runs have brought when some are cancelled: all at port 0 and 1 of a join of three, so that nothing is complete."""
    model = (ManualModel if manual else AutoModel)(3)
    for number, (_, port, key) in enumerate(entries):
        model.take(min(port, 1), number, key)
    model.forget({number for number, (run, _, _) in enumerate(entries) if run in cancelled})
    flow = flow_around(manual, 3, expire=expire)
    operations = FlowOperationContainer().add_func("hold", lambda data: stop.sleep(1.0)).make_async()
    wire(
        flow.add_operations(operations), ".hold -> hold -> .held", ".spread -> spread", "spread.hold -> hold"
    )

    def spread(
        mine: list[tuple[int, int, Any]], hold: Callable[[Any], None], in0: Callable[[Any], None], in1: Any
    ) -> None:
        hold(None)
        for number, port, _key in mine:
            (in0 if port == 0 else in1)(number)

    flow.add_operations(FlowOperationContainer().add_action("spread", spread))
    wire(flow, "spread.in0 -> join.in0", "spread.in1 -> join.in1")
    seams = simulated(deviations={})
    stop: Any = seams.clock
    with LedgerWatch(), FlowRuntime(flow, schedule=schedule, seams=seams) as runtime:
        by_run: dict[tuple[int, Any], list[tuple[int, int, Any]]] = {}
        for number, (whose, port, key) in enumerate(entries):
            by_run.setdefault((whose, key), []).append((number, min(port, 1), key))
        runs = {
            each: runtime.process(".spread", mine, correlation_id=each[1]) for each, mine in by_run.items()
        }
        runtime.process(".join_in2", -1, correlation_id="another").wait()
        for (number, _), run in runs.items():
            if number in cancelled:
                run.cancel()
        for (number, _), run in runs.items():
            try:
                run.wait()
            except RunCancelledError:
                assert number in cancelled
        (place,) = (place for place in runtime._owner.engine.routes.all_places() if place.name == "join")
        kept = Counter(part.data for bucket in place.state for queue in bucket.queues for part in queue)
        expected = [value for queues in model.buckets.values() for queue in queues for value in queue]
        assert kept == Counter([*expected, -1])


@given(
    items=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=8),
    schedule=schedules,
    seed=strategies.seeds,
    generators=st.booleans(),
)
@settings(max_examples=100)
def test_by_run_what_comes_of_an_item_meets_what_comes_of_it_elsewhere(
    items: list[tuple[int, int]], schedule: Any, seed: int, generators: bool
) -> None:
    """Each item gives so many messages on one branch and so many on the other; the first of them meet, the second, and so on."""

    def left(item: tuple[int, tuple[int, int]], emit: Callable[[Any], None]) -> None:
        for number in range(item[1][0]):
            emit((item[0], number))

    def right(item: tuple[int, tuple[int, int]], emit: Callable[[Any], None]) -> None:
        for number in range(item[1][1]):
            emit((item[0], number))

    operations = FlowOperationContainer().add_operation(Scatter("scatter"))
    operations.add_operation(Gather("gather")).add_auto_reset_join("join", by="run")
    operations.add_action("left", left).make_parallel(3).add_action("right", right).make_parallel(3)
    if generators:
        operations = FlowOperationContainer().add_operation(Scatter("scatter"))
        operations.add_operation(Gather("gather")).add_auto_reset_join("join", by="run")
        operations.add_generator("left", lambda item: [(item[0], n) for n in range(item[1][0])])
        operations.add_generator("right", lambda item: [(item[0], n) for n in range(item[1][1])])
    operations.add_func("slow", lambda data: data).make_parallel(4)
    flow = Flow().add_operations(operations)
    wire(
        flow,
        ".in -> scatter",
        "scatter.stream -> left -> slow -> join.in0",
        "scatter.stream -> right -> join.in1",
    )
    wire(flow, "join -> gather.stream", "gather -> .out")
    lists = [list(enumerate(items)), list(enumerate(items, 100))]
    with LedgerWatch(), FlowRuntime(flow, schedule=schedule, seams=simulated(seed)) as runtime:
        runs = [runtime.process(".in", each) for each in lists]
        for run, each in zip(runs, lists, strict=True):
            pairs = [((index, n), (index, n)) for index, (a, b) in each for n in range(min(a, b))]
            (found,) = run.values(timeout=SECONDS)
            assert sorted(found) == pairs
        runtime.wait_idle()
        for place in runtime._owner.engine.routes.all_places():
            assert place.name != "join" or len(place.state) == 0
