"""Components: methods as in-ports, attributes as out-ports, and whose message an emission belongs to."""

from __future__ import annotations

import contextvars
import functools
import gc
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from flowrt import (
    Flow,
    FlowOperationContainer,
    FlowRuntime,
    Message,
    Run,
    current,
    in_port,
    operation,
    out_port,
    parallel,
)
from flowrt.errors import FlowBuildError, FlowStoppedError, OperationError
from flowrt.flow.checks import check
from flowrt.operations import components as components_module
from flowrt.testing import assert_same_in_all_modes, drive, simulated
from tests.kit.flows import SCHEDULES, Bench, assert_ledger, every_mode, few_modes, flow_of, wire
from tests.kit.functions import SECONDS, input_of, on_thread, refuse, same

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


class Counter:
    """Counts, and tells."""

    changed = out_port()
    was_reset = out_port("Zero")

    def __init__(self, start: int = 0) -> None:
        self.start = self.count = start

    @in_port
    def add(self, number: int) -> str:
        self.count += number
        self.changed(self.count)
        return "ignored"

    @in_port(name="clear")
    def reset(self) -> None:
        self.count = self.start
        self.was_reset()

    def plain(self, number: int) -> None:
        self.changed(number)

    @property
    def double(self) -> int:
        return 2 * self.count


class Echo:
    """Says what it gets, on its default ports."""

    said = out_port("")
    aside = out_port()

    @in_port(name="")
    def say(self, data: Any) -> None:
        self.said(data)


def with_component(bench: Bench, name: str, component: Any, **options: Any) -> FlowRuntime:
    runtime = bench.make_runtime(**options)
    runtime.add_operations(bench.apply_mode(FlowOperationContainer().add_component(name, component)))
    return runtime


def started(schedule: Any, component: Any, *chains: str, name: str = "it", **options: Any) -> FlowRuntime:
    runtime = FlowRuntime(schedule=schedule, **options)
    runtime.add_operations(FlowOperationContainer().add_component(name, component))
    runtime.add_operations(FlowOperationContainer().add_func("same", same).add_func("refuse", refuse))
    wire(runtime, *chains)
    return runtime


class Faulty:
    @in_port
    def two(self, left: int, right: int) -> None: ...

    @in_port
    async def later(self, data: int) -> None: ...

    @in_port
    def items(self, data: int) -> Any:
        yield data

    @in_port(name="same")
    def one(self, data: int) -> None: ...

    @in_port(name="SAME")
    def other(self, data: int) -> None: ...


# --- ports


@every_mode
def test_methods_are_in_ports_and_attributes_are_out_ports(bench: Bench) -> None:
    """B280, B281, B289: in every mode of the whole component; names ignore case."""
    with with_component(bench, "Counter", Counter(10)) as runtime:
        wire(
            runtime,
            ".add -> counter.ADD",
            ".reset -> counter.clear",
            "counter.Changed -> .changed",
            "counter.zero -> .zero",
        )

        (added,) = runtime.process(".add", 5).results(SECONDS)
        (zero,) = runtime.process(".reset", "anything").results(SECONDS)

    assert (added.port.fullname, added.data) == (".changed", 15)
    assert (zero.port.fullname, zero.data) == (".zero", None)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_component_is_driven_alone_through_its_ports(seed: int | None) -> None:
    for given in (Counter, Counter()):
        found = drive(given, 1, Message(".clear"), 2, port="add", seed=seed)

        assert [message.port.name for message in found] == ["changed", "Zero", "changed"]


def test_a_component_may_have_default_ports() -> None:
    container = FlowOperationContainer().add_component("echo", Echo())

    assert [(message.port.fullname, message.data) for message in drive(container, 1, 2)] == [
        ("echo", 1),
        ("echo", 2),
    ]


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("counter.subtract", '"counter" has no in-port ".subtract"'),
        ("counter", '"counter" has no'),
        ("counter.plain", '"counter" has no in-port ".plain"'),
        ("counter.double", '"counter" has no in-port ".double"'),
        ("counter.reset", '"counter" has no in-port ".reset"'),
    ],
)
def test_an_unknown_in_port_is_a_fault_before_anything_runs(stream: str, text: str) -> None:
    """B280, B281, B288: what is not marked is no port, and a port must be given."""
    with FlowRuntime() as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.add_operations(FlowOperationContainer().add_component("counter", Counter()))
        wire(runtime, f".in -> {stream}")
        runtime.start()

    assert text in str(caught.value)
    assert ".add" in str(caught.value)


def test_an_unknown_out_port_is_a_fault_too() -> None:
    """B288."""
    with (
        FlowRuntime() as runtime,
        pytest.raises(FlowBuildError, match=r'has no out-port "\.chnged".*\.changed'),
    ):
        runtime.add_operations(FlowOperationContainer().add_component("counter", Counter()))
        wire(runtime, "counter.chnged -> .out")
        runtime.start()


def test_two_names_for_one_out_port_are_a_build_error() -> None:
    class Twice:
        left = right = out_port()
        up = out_port("end")
        down = out_port("End")

    class Renamed(Counter):
        other = Counter.changed

    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_component("twice", Twice)
    assert [fault.partition(". ")[0] for fault in caught.value.faults] == [
        'component "twice": left and right are both out-port ".left"',
        'component "twice": up and down are both out-port ".End"',
    ]
    with pytest.raises(FlowBuildError, match="changed and other are both out-port"):
        FlowOperationContainer().add_component("renamed", Renamed)
    (counter,) = FlowOperationContainer().add_component("counter", Counter())
    assert "changed" in (counter.out_ports or ())


@every_schedule
def test_components_give_the_same_in_all_modes(schedule: Any) -> None:
    """B280, B289."""
    del schedule  # all are run

    def flow() -> Flow:
        operations = FlowOperationContainer().add_component("first", Echo).add_component("second", Echo())
        return flow_of("f", ".in -> first -> second -> .out", operations=operations)

    assert_same_in_all_modes(flow, [(".in", number) for number in range(5)])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (object, "class object has no ports"),
        (lambda: same, 'component "c" is a function'),
        (lambda: types, 'component "c" is a module'),
        (lambda: functools.partial(same, 1), 'component "c" is a partial'),
        (Faulty, "2 arguments (left, right)"),
        (Faulty, "is an async def"),
        (Faulty, "is a generator function"),
        (Faulty, 'are both in-port ".SAME"'),
    ],
)
def test_what_cannot_be_a_component_is_refused_with_all_its_faults(
    make: Callable[[], Any], text: str
) -> None:
    """B280: there, other shapes are left out silently."""
    container = FlowOperationContainer()

    with pytest.raises(FlowBuildError) as caught:
        container.add_component("c", make())

    assert text in str(caught.value)
    assert len(container) == 0


def test_an_in_port_that_cannot_be_named_so_is_refused_where_it_is_marked() -> None:
    with pytest.raises(FlowBuildError, match=r"'a\.b' cannot name an in-port"):
        in_port(name="a.b")


def test_ports_are_inherited_and_a_method_that_overrides_an_in_port_is_one() -> None:
    class Slower(Counter):
        def add(self, number: int) -> str:
            return super().add(number + 1)

        reset = None  # type: ignore[assignment]

        @in_port
        @staticmethod
        def still(_data: int) -> None: ...

    (declaration,) = FlowOperationContainer().add_component("slower", Slower())

    assert declaration.in_ports == ("add", "still")
    assert declaration.out_ports == ("changed", "Zero")


def test_calling_a_method_stays_what_it_was() -> None:
    counter = Counter(1)
    told: list[int] = []
    counter.changed = told.append

    assert counter.add(2) == "ignored"
    assert told == [3]


# --- context


class Relay:
    """Emits during the call, on the same thread or, in the context handed on, another."""

    out = out_port()

    def __init__(self, way: str = "same") -> None:
        self.way = way

    @in_port
    def take(self, data: Any) -> None:
        if self.way == "same":
            self.out(data)
        else:
            context = contextvars.copy_context()
            on_thread(lambda: context.run(self.out, data))


@every_mode
@pytest.mark.parametrize("way", ["same", "other"])
def test_what_is_emitted_in_a_call_has_the_context_of_its_message(bench: Bench, way: str) -> None:
    """B282, B28A: run, correlation id, causality and path; also on a thread the component starts with its context."""
    with with_component(bench, "relay", Relay(way)) as runtime:
        flow = flow_of("inner", ".in -> relay.take", "relay.out -> .out")
        runtime.add_flow(flow)
        wire(runtime, ".in -> inner.in", "inner.out -> .out")
        runs = [
            runtime.process(".in", number, correlation_id=f"id {number}", priority=3) for number in range(5)
        ]
        for number, run in enumerate(runs):
            (message,) = run.results(SECONDS)
            assert (message.data, message.correlation_id, message.priority) == (number, f"id {number}", 3)
            assert_ledger(run, accepted=1, delivered=1)


@few_modes
def test_an_error_behind_a_component_reaches_the_causality_of_its_message(bench: Bench) -> None:
    """B282."""
    from flowrt import PushCausality

    with with_component(bench, "relay", Relay()) as runtime:
        runtime.add_operations(bench.operations(PushCausality("push"), funcs={"refuse": refuse}))
        wire(runtime, ".in -> push -> relay.take", "relay.out -> refuse -> .out", "push.exception -> .caught")
        (message,) = runtime.process(".in", 1).results(SECONDS)

    assert message.port.fullname == ".caught"


@every_mode
def test_chains_of_components_keep_their_contexts_apart(bench: Bench) -> None:
    """B284, B285: one triggers the other, which has never received anything before."""
    first, second = Relay(), Relay()
    container = bench.apply_mode(FlowOperationContainer().add_component("first", first))
    bench.apply_mode(container.add_component("second", second))
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(
            runtime,
            ".in -> first.take",
            "first.out -> second.take",
            "second.out -> .out",
            "first.out -> .first",
        )
        runs = [runtime.process(".in", number, correlation_id=number) for number in range(10)]
        for number, run in enumerate(runs):
            found = [(m.data, m.correlation_id) for m in run.results(SECONDS)]
            assert found == [(number, number)] * 2


@every_schedule
def test_components_of_two_runtimes_on_one_thread_keep_their_contexts_apart(schedule: Any) -> None:
    """B285: one sends into the other's runtime from inside its call."""
    inner, outer = Relay(), Relay()
    with started("sync", inner, ".in -> it.take", "it.out -> .out") as within:

        class Nesting(Relay):
            @in_port
            def take(self, data: Any) -> None:
                within.process(".in", f"{data} within")
                self.out(data)

        outer = Nesting()
        with started(schedule, outer, ".in -> it.take", "it.out -> .out") as runtime:
            assert runtime.process(".in", "data").values(SECONDS) == ["data"]
        assert within.wait_for_result(SECONDS).data == "data within"


@every_schedule
def test_an_event_of_another_component_is_not_of_the_message_in_hand(schedule: Any) -> None:
    """B284, B285: it is the other's, of its own accord."""
    other = Counter()

    class Poking(Relay):
        @in_port
        def take(self, data: Any) -> None:
            other.changed(data)
            self.out(data)

    container = FlowOperationContainer().add_component("other", other).add_component("it", Poking())
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> it.take", "it.out -> .out", "other.changed -> .other")
        run = runtime.process(".in", 1, correlation_id="id")
        assert [(each.port.name, each.correlation_id) for each in run.results(SECONDS)] == [("out", "id")]
        late = runtime.wait_for_result(SECONDS)

    assert (late.port.name, late.data, late.correlation_id) == ("other", 1, None)


def test_an_id_given_to_an_emission_counts_only_where_the_message_has_none() -> None:
    class Naming(Relay):
        @in_port
        def take(self, data: Any) -> None:
            self.out(data, correlation_id="given")

    with started("breadth_first", Naming(), ".in -> it.take", "it.out -> .out") as runtime:
        found = [runtime.process(".in", 1, correlation_id=given).result(SECONDS) for given in (None, "own")]

    assert [message.correlation_id for message in found] == ["given", "own"]


class Keeper:
    """Keeps the context of its last call, to emit in later."""

    out = out_port()

    def __init__(self) -> None:
        self.context = contextvars.Context()

    @in_port
    def keep(self, _data: Any) -> None:
        self.context = contextvars.copy_context()


@every_mode
@pytest.mark.parametrize("given", [None, "given"])
def test_an_emission_after_the_call_starts_a_run_with_the_path_id_and_priority_of_its_message(
    bench: Bench, given: str | None
) -> None:
    """B065, B282, B28A."""
    keeper = Keeper()
    with with_component(bench, "keeper", keeper) as runtime:
        runtime.add_flow(flow_of("inner", ".in -> keeper.keep", "keeper.out -> .out"))
        runtime.add_operations(FlowOperationContainer().add_func("which", lambda data: (data, current().run)))
        wire(runtime, ".in -> inner.in", "inner.out -> which -> .out")
        run = runtime.process(".in", 1, correlation_id=None if given else "id", priority=2)
        assert run.values(SECONDS) == []

        on_thread(lambda: keeper.context.run(keeper.out, "late", correlation_id=given))
        message = runtime.wait_for_result(SECONDS)

    data, number = message.data
    assert (data, message.correlation_id, message.priority) == ("late", given or "id", 2)
    assert number != run.number
    with pytest.raises(FlowStoppedError):
        keeper.context.run(keeper.out, "too late")


# --- of their own accord


@every_schedule
def test_behind_a_call_the_thread_that_made_it_is_in_none(schedule: Any) -> None:
    """B283, B28A: also where that is the thread of the engine, or of the caller."""
    counter = Counter()

    def ring(data: Any) -> Any:
        counter.was_reset("rung")
        return data

    with started(
        schedule, counter, "it.changed -> ring -> .out", ".in -> it.add", "it.Zero -> .zero"
    ) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("ring", ring))
        run = runtime.process(".in", 1, correlation_id="id")
        assert [message.port.name for message in run.results(SECONDS)] == ["out"]
        counter.was_reset("here")
        found = [runtime.wait_for_result(SECONDS) for _ in range(2)]

    assert [(message.data, message.correlation_id) for message in found] == [("rung", None), ("here", None)]


@every_schedule
def test_events_of_its_own_accord_start_runs_of_their_own(schedule: Any) -> None:
    """B283, B281: without a message in hand, on any thread; without a correlation id unless one is given."""
    counter = Counter()
    with started(schedule, counter, "it.changed -> .out", ".in -> it.add") as runtime:
        runtime.start()
        counter.changed(1)
        on_thread(counter.changed, 2)
        counter.changed(3, correlation_id="id")
        counter.plain(4)
        runtime.wait_idle(SECONDS)
        found = [runtime.wait_for_result(SECONDS) for _ in range(4)]

    assert [(message.data, message.correlation_id) for message in found] == [
        (1, None),
        (2, None),
        (3, "id"),
        (4, None),
    ]


@every_schedule
def test_events_of_its_own_accord_leave_at_each_of_its_places(schedule: Any) -> None:
    """B283, B28A: also in nested flows, where the ancestor's came out at the root."""
    counter = Counter()
    inner = flow_of("inner", "it.changed -> .out")
    chains = [
        "inner.out -> which#1 -> .inner",
        "inner#2.out -> which#2 -> .second",
        "it#b.changed -> which#3 -> .root",
    ]
    with started(schedule, counter, *chains) as runtime:
        runtime.add_operations(FlowOperationContainer().add_func("which", lambda _: current().run))
        runtime.add_flow(inner)
        runtime.start()
        counter.changed(1)
        runtime.wait_idle(SECONDS)
        found = [runtime.wait_for_result(SECONDS) for _ in range(3)]

    assert sorted(message.port.fullname for message in found) == [".inner", ".root", ".second"]
    assert len({message.data for message in found}) == 3


@every_schedule
def test_an_event_that_nobody_takes_is_a_run_that_ends_unconnected(schedule: Any) -> None:
    counter = Counter()
    runs: list[Run] = []

    def noted(*given: Any) -> Run:
        runs.append(Run(*given))
        return runs[-1]

    with started(schedule, counter, ".in -> same -> .out") as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowrt.runtime.input.Run", noted)
        runtime.start()
        counter.changed(1)
        runtime.wait_idle(SECONDS)
    assert_ledger(runs[0], accepted=1, unconnected=1)
    with pytest.raises(FlowBuildError, match="strict"), started(schedule, counter, ".in -> it.add", strict=True) as runtime:  # fmt: skip
        runtime.start()


class Ringer:
    """Rings on a thread of its own."""

    rung = out_port()
    made: ClassVar[list[Ringer]] = []

    def __init__(self, sound: str = "ding") -> None:
        self.sound = sound
        self.made.append(self)

    @in_port
    def ring(self) -> None:
        thread = threading.Thread(target=lambda: self.rung(self.sound))
        thread.start()
        thread.join(SECONDS)


@every_schedule
@pytest.mark.parametrize("kind", ["object", "class", "class with arguments"])
def test_a_thread_of_its_own_without_the_context_starts_a_run_at_its_place(schedule: Any, kind: str) -> None:
    """B28A."""
    given = {
        "object": Ringer("dong"),
        "class": Ringer,
        "class with arguments": functools.partial(Ringer, "dong"),
    }[kind]
    inner = flow_of("inner", ".in -> it.ring", "it.rung -> .out")
    with started(schedule, given, ".in -> inner.in", "inner.out -> .out") as runtime:
        runtime.add_flow(inner)
        run = runtime.process(".in", 1)
        message = runtime.wait_for_result(SECONDS)
        run.wait(SECONDS)

    assert message.data == ("ding" if kind == "class" else "dong")


@every_schedule
def test_of_a_class_each_place_has_an_instance_of_its_own(schedule: Any) -> None:
    """B072, B28B: so one container may serve several runtimes, and each place is a source of its own."""
    container = FlowOperationContainer().add_component("ringer", Ringer).add_component("counter", Counter)
    Ringer.made.clear()
    chains = ["ringer#1.rung -> .one", "ringer#2.rung -> .two", ".a -> counter#a.add", ".b -> counter#b.add"]
    chains += ["counter#a.changed -> .out", "counter#b.changed -> .out"]
    with FlowRuntime(schedule=schedule) as first, FlowRuntime(schedule=schedule) as second:
        for runtime in (first, second):
            runtime.add_operations(container)
            wire(runtime, *chains)
            runtime.start()
        assert len(Ringer.made) == 4
        for ringer in list(Ringer.made):
            ringer.rung(1)
        for runtime in (first, second):
            runtime.wait_idle(SECONDS)
            assert sorted(runtime.wait_for_result(SECONDS).port.fullname for _ in range(2)) == [
                ".one",
                ".two",
            ]
            assert [runtime.process(port, 1).values(SECONDS) for port in (".a", ".a", ".b")] == [
                [1],
                [2],
                [1],
            ]
    Ringer.made.clear()


@every_schedule
def test_a_class_that_cannot_be_made_is_told_of(schedule: Any) -> None:
    class Needy(Relay):
        def __init__(self) -> None:
            raise ValueError("no")

    with started(schedule, Needy, ".in -> it.take", "it.out -> .out") as runtime:
        runtime.start()
        with pytest.raises(FlowBuildError, match="could not be made for its place"):
            runtime.wait_for_result(SECONDS)


# --- before and after


def test_an_event_before_there_is_a_runtime_is_an_error_that_says_what_to_do() -> None:
    """B28B."""
    counter = Counter()
    for _ in range(2):
        with pytest.raises(
            FlowBuildError, match=r"Counter\.was_reset was called.*add_component.*runtime\.start"
        ):
            counter.was_reset(1)
        FlowOperationContainer().add_component("counter", counter)


@every_schedule
def test_an_event_after_the_end_is_refused_and_a_new_runtime_takes_them_again(schedule: Any) -> None:
    """B28B."""
    counter = Counter()
    for number in range(2):
        with started(schedule, counter, "it.changed -> .out", name="it") as runtime:
            runtime.start()
            counter.changed(number)
            assert runtime.wait_for_result(SECONDS).data == number
        with pytest.raises(FlowStoppedError, match="is closed"):
            counter.changed(5)


def test_two_runtimes_cannot_share_one_component() -> None:
    """B28B."""
    counter = Counter()
    with started("breadth_first", counter, "it.changed -> .out") as first, started("sync", counter, "it.changed -> .out") as second:  # fmt: skip
        first.start()
        with pytest.raises(
            FlowBuildError,
            match=r'component "it" \(Counter\) is already in use.*add_component\("it", Counter\)',
        ):
            second.start()


def test_one_component_under_two_names_emits_at_both() -> None:
    counter = Counter()
    with started("breadth_first", counter, "it.changed -> .it") as runtime:
        runtime.add_operations(FlowOperationContainer().add_component("other", counter))
        wire(runtime, "other.changed -> .other", ".in -> other.add")
        runtime.start()
        counter.changed(1)
        assert sorted(runtime.wait_for_result(SECONDS).port.fullname for _ in range(2)) == [".it", ".other"]
        assert [m.port.fullname for m in runtime.process(".in", 1).results(SECONDS)] == [".other"]


class Slotted:
    """Can neither be referred to weakly nor take attributes, and is equal to others."""

    __slots__ = ("number",)
    out = out_port()

    def __init__(self) -> None:
        self.number = 1

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    @in_port
    def take(self, data: int) -> None:
        self.out(data + self.number)


@every_schedule
def test_a_component_need_be_neither_hashable_nor_weakly_referable(schedule: Any) -> None:
    slotted, other = Slotted(), Slotted()
    with started(schedule, slotted, ".in -> it.take", "it.out -> .out") as runtime:
        assert runtime.process(".in", 1).values(SECONDS) == [2]
        slotted.out(5)
        assert runtime.wait_for_result(SECONDS).data == 5
        with pytest.raises(FlowBuildError):
            other.out(1)
    with pytest.raises(FlowBuildError):
        slotted.out(1)
    assert id(slotted) not in components_module._ways


def test_nothing_is_kept_of_components_threads_and_runtimes() -> None:
    """B28C: contexts are the threads' own, so there is nothing to forget."""
    counter = Counter()
    runtime = started("breadth_first", counter, ".in -> it.add", "it.changed -> .out")
    with runtime:
        runtime.on_result(lambda _: None)
        runtime.start()
        gc.collect()  # what other tests left goes now, and not while this one counts
        before = len(components_module._ways)
        for _ in range(50):
            on_thread(counter.changed, 1)
            runtime.process(".in", 1)
        runtime.wait_idle(SECONDS)
        assert (
            len(components_module._ways) <= before
        )  # less, if what another test left is collected meanwhile
    engine = weakref.ref(runtime._owner.engine)
    del runtime
    gc.collect()
    assert engine() is None
    key = id(counter)
    del counter
    gc.collect()
    assert key not in components_module._ways


# --- modes and errors


class Mixed:
    """Its methods say where they run, but for one."""

    done = out_port()

    def __init__(self) -> None:
        self.threads: dict[str, set[str]] = {}
        self.places: set[str] = set()

    def _note(self, port: str, data: Any) -> None:
        self.threads.setdefault(port, set()).add(threading.current_thread().name)
        self.places.add(current().operation)
        self.done((port, data))

    @in_port
    def plain(self, data: Any) -> None:
        self._note("plain", data)

    @in_port(mode="sync")
    def synced(self, data: Any) -> None:
        self._note("synced", data)

    @in_port(mode="async")
    def alone(self, data: Any) -> None:
        self._note("alone", data)

    @in_port(mode=parallel(3, "several"))
    def several(self, data: Any) -> None:
        self._note("several", data)


PORTS = ("plain", "synced", "alone", "several")


def mixed(schedule: Any, component: Any, mode: str, name: str = "mixed") -> FlowRuntime:
    container = FlowOperationContainer().add_component("mixed", component)
    if mode == "async":
        container.make_async()
    elif mode == "parallel":
        container.make_parallel(2)
    runtime = FlowRuntime(schedule=schedule, name=name).add_operations(container)
    wire(runtime, *(f".{port} -> mixed.{port}" for port in PORTS), "mixed.done -> .out")
    return runtime


@every_schedule
@pytest.mark.parametrize("mode", ["sync", "async", "parallel"])
def test_a_mode_applies_to_the_whole_component_and_a_marker_to_its_method(schedule: Any, mode: str) -> None:
    """B286, B289, B306: neither turns it off; B176, B180: pools have the name and the number that is asked for."""
    component = Mixed()
    with mixed(schedule, component, mode) as runtime:
        for port in PORTS:
            runs = [runtime.process(f".{port}", number) for number in range(20)]
            found = [run.result(SECONDS).data for run in runs]
            assert found == [(port, number) for number in range(20)]
    own = threading.current_thread().name if schedule == "sync" else "mixed/engine"
    threads = component.threads
    assert threads["synced"] == {own}
    assert (
        threads["plain"] == {own}
        if mode == "sync"
        else all(each.startswith("mixed/mixed") for each in threads["plain"])
    )
    assert threads["alone"] == {"mixed/mixed"}
    assert {each.rpartition("-")[0] for each in threads["several"]} == {"mixed/several"}
    assert component.places == {f"mixed.{port}" for port in PORTS}


@every_schedule
def test_a_component_made_async_has_one_thread_for_all_its_methods(schedule: Any) -> None:
    """B289: no two calls overlap, and the order of arrival is kept over its ports."""
    order: list[Any] = []

    class Ordered:
        done = out_port()

        @in_port
        def first(self, data: Any) -> None:
            order.append(("first", data, threading.current_thread().name))

        @in_port
        def second(self, data: Any) -> None:
            order.append(("second", data, threading.current_thread().name))

    with FlowRuntime(schedule=schedule, name="one") as runtime:
        runtime.add_operations(FlowOperationContainer().add_component("ordered", Ordered()).make_async())
        wire(runtime, ".first -> ordered.first", ".second -> ordered.second")
        for number in range(100):
            runtime.process(".first" if number % 2 else ".second", number)
        runtime.wait_idle(SECONDS)

    assert len({thread for _, _, thread in order}) == 1
    for port in ("first", "second"):
        mine = [number for name, number, _ in order if name == port]
        assert mine == sorted(mine)


@pytest.mark.parametrize("schedule", ["breadth_first", "depth_first", "round_robin", "parallel"])
def test_two_thousand_messages_through_async_and_parallel_methods_keep_their_contexts(schedule: Any) -> None:
    """B286."""
    with mixed(schedule, Mixed(), "sync") as runtime:
        found: list[tuple[object, Any]] = []
        runtime.on_result(lambda message: found.append((message.correlation_id, message.data)))
        for number in range(1000):
            runtime.process(".alone", number, correlation_id=("alone", number))
            runtime.process(".several", number, correlation_id=("several", number))
        runtime.wait_idle(SECONDS)

    assert len(found) == 2000
    assert all(correlation_id == data for correlation_id, data in found)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_component_in_a_mode_emits_of_its_own_accord_all_the_same(schedule: Any, mode: str) -> None:
    """B283, B289 (BUG): there, a mode turns the whole component off."""
    counter = Counter()
    container = FlowOperationContainer().add_component("it", counter)
    getattr(container, f"make_{mode}")()
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> it.add", "it.changed -> .out")
        runtime.start()
        on_thread(counter.changed, "by itself")

        assert runtime.wait_for_result(SECONDS).data == "by itself"
        assert runtime.process(".in", 5).result(SECONDS).data == 5


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_mode_of_a_method_counts_however_its_port_is_spelt(schedule: Any) -> None:
    """B281, B286."""

    class Speller:
        out = out_port()

        @in_port(name="Load", mode="async")
        def load(self, _data: Any) -> None:
            self.out(threading.current_thread().name)

    with started(schedule, Speller(), ".in -> it.LOAD", ".in -> it.load", "it.out -> .out") as runtime:
        names = runtime.process(".in", 1).values(SECONDS)

    assert len(names) == 2
    assert all(name.startswith(f"{runtime.name}/it") for name in names)


@every_mode
def test_an_error_in_a_method_arrives_as_it_was_raised(bench: Bench) -> None:
    """B287."""

    class Failing(Relay):
        @in_port
        def take(self, data: Any) -> None:
            self.out("before")
            raise KeyError(data)

    with with_component(bench, "failing", Failing()) as runtime:
        wire(runtime, ".in -> failing.take", "failing.out -> .out")
        run = runtime.process(".in", 7)
        with pytest.raises(
            OperationError,
            match=r'operation "failing\.take" \(declared at .*had emitted .*when it raised KeyError',
        ) as caught:
            run.wait(SECONDS)
        with pytest.raises(OperationError):
            run.values(SECONDS)

    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code is Failing.take.__code__
    assert input_of(caught.value) == 7
    assert_ledger(run, accepted=1, born=1, delivered=1, failed=1)


def test_sys_exit_in_a_method_stops_the_runtime() -> None:
    class Leaving(Relay):
        @in_port
        def take(self, data: Any) -> None:
            raise SystemExit(data)

    with pytest.raises(SystemExit), started("breadth_first", Leaving(), ".in -> it.take") as runtime:
        runtime.process(".in", 3).wait(SECONDS)


def test_policies_apply_to_each_method() -> None:
    calls: list[int] = []

    class Flaky(Relay):
        @in_port(mode="async")
        def take(self, data: Any) -> None:
            calls.append(data)
            self.out(len(calls))
            if len(calls) < 3:
                raise ValueError

    container = FlowOperationContainer().add_component("flaky", Flaky()).retry(3, 0.001).timeout(SECONDS)
    with FlowRuntime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> flaky.take", "flaky.out -> .out")

        assert runtime.process(".in", 1).values(SECONDS) == [3]


def test_faults_of_modes_are_found_in_methods_too() -> None:
    container = FlowOperationContainer().add_component("mixed", Mixed()).make_async().timeout(1.0)
    container.add_func("same", same).make_parallel(2, "several")
    with FlowRuntime() as runtime, pytest.raises(FlowBuildError) as caught:
        runtime.add_operations(container)
        wire(runtime, ".in -> same")
        runtime.start()

    assert 'pool "several" is asked for as parallel(3)' in str(caught.value)
    assert 'operation "mixed" ' in str(caught.value)
    assert "has a timeout and runs on the engine's thread" in str(caught.value)


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_of_events_each_emission_belongs_to_its_message(seed: int) -> None:
    """B282, B286."""

    class Twice(Relay):
        @in_port(mode=parallel(3))
        def take(self, data: Any) -> None:
            self.out(data)
            self.out(-data)

    with started(
        "breadth_first", Twice(), ".in -> it.take", "it.out -> .out", seams=simulated(seed, group=3)
    ) as runtime:
        runs = [runtime.process(".in", number, correlation_id=number) for number in range(1, 9)]
        for number, run in enumerate(runs, 1):
            assert run.values() == [number, -number]
            assert_ledger(run, accepted=1, born=1, delivered=2)


def test_meters_tell_of_each_method_and_of_nothing_else() -> None:
    with mixed("breadth_first", Mixed, "sync") as runtime:
        runtime.process(".plain", 1).wait(SECONDS)
        runtime.process(".several", 1).wait(SECONDS)

        assert [(row.place, row.mode, row.calls) for row in runtime.meters()] == [
            ("mixed.plain", "sync", 1),
            ("mixed.several", "parallel(3)", 1),
        ]


def test_a_check_knows_that_a_component_may_emit_of_its_own_accord() -> None:
    for given in (Counter, Counter()):
        operations = FlowOperationContainer().add_component("counter", given)
        flow = flow_of("", "counter.changed -> .out", "counter.zero -> .zero", operations=operations)
        assert check(flow) == []


def test_a_module_gives_its_components_under_the_names_of_their_classes() -> None:
    """B308."""
    module = types.ModuleType("made")
    vars(module).update(Counter=Counter, double=operation(lambda data: 2 * data))
    Counter.__module__, kept = "made", Counter.__module__
    module.double.__module__ = "made"
    try:
        container = FlowOperationContainer().add_module(module)
    finally:
        Counter.__module__ = kept

    assert sorted(declaration.name for declaration in container) == ["Counter", "double"]
    with FlowRuntime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> Counter.add", "Counter.changed -> double -> .out")
        assert runtime.process(".in", 4).values(SECONDS) == [8]


def test_a_class_with_ports_that_is_added_once_more_beside_its_module_is_named_with_the_reason() -> None:
    module = types.ModuleType("bells")
    vars(module)["Bell"] = type("Bell", (Ringer,), {"__module__": "bells"})
    container = FlowOperationContainer().add_component("bell", Ringer)

    with pytest.raises(
        FlowBuildError, match=r'two operations "Bell".* A module brings its classes with ports itself\.'
    ):
        container.add_module(module)
