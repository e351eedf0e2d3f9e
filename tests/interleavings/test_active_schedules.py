"""Operations and components that emit of their own accord, in orders of opcodes that no stress brings about."""

from __future__ import annotations

import contextlib
import contextvars
from typing import Any

import pytest

from flowrt import FlowBuildError, FlowOperationContainer, FlowStoppedError, Operation, in_port, out_port
from flowrt.operations import components
from flowrt.runtime import activation, building, host, owner
from flowrt.standard import Ticker
from tests.kit import effort
from tests.kit.flows import wire
from tests.kit.functions import same
from tests.kit.threads.scheduled_flows import WATCHED, each_of, opened
from tests.kit.threads.scheduler import Program, Scheduler
from tests.kit.threads.schedules import explore, interrupt_everywhere

pytestmark = pytest.mark.no_cover


class Source(Operation):
    """Keeps its emitter."""

    emit: activation.ActiveEmitter

    def activate(self, emit: activation.ActiveEmitter) -> None:
        self.emit = emit


class Relay:
    """Emits on a thread of its own, which has the context of the call."""

    out = out_port()

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.threads: list[Any] = []
        self.refused: list[int] = []

    def emit(self, data: int) -> None:
        try:
            self.out(data)
        except FlowStoppedError:
            self.refused.append(data)

    @in_port
    def take(self, data: int) -> None:
        context = contextvars.copy_context()
        self.threads.append(self.scheduler.spawn(lambda: context.run(self.emit, data + 10), f"relay {data}"))
        self.emit(data)


def emitters_and_a_closer(scheduler: Scheduler) -> None:
    """What is emitted is either refused or delivered, and start() returns when the source is active."""
    refused: list[int] = []
    source = Source("source")

    def emit(first: int) -> None:
        for number in (first, first + 1):
            try:
                source.emit(number)
            except FlowStoppedError:
                refused.append(number)

    operations = FlowOperationContainer().add_operation(source).add_func("work", same).make_async()
    with opened(scheduler, "source -> work -> .out", operations=operations) as runtime:
        runtime.start()
        scheduler.together(lambda: emit(0), lambda: emit(10), closer=runtime.close)
    found = [message.data for message in runtime.results()]
    assert sorted(found + refused) == [0, 1, 10, 11]


def sync_from_a_source_and_a_sender(scheduler: Scheduler) -> None:
    """Whoever is the engine works off what was emitted meanwhile: nothing is left lying when both have returned."""
    source = Source("source")
    seen: list[int] = []
    operations = FlowOperationContainer().add_operation(source).add_func("work", seen.append)
    with opened(
        scheduler, "source -> work", ".in -> work", operations=operations, schedule="sync"
    ) as runtime:
        runtime.start()
        scheduler.together(lambda: runtime.process(".in", 1), lambda: source.emit(2), lambda: source.emit(3))
        assert sorted(seen) == [1, 2, 3]
        assert runtime._owner.unattended == type(runtime._owner.unattended)()


def sync_from_a_late_continuation_and_a_sender(scheduler: Scheduler) -> None:
    """An emission that comes when its call is over is worked off by who brings it, or by who is the engine just then."""
    seen: list[int] = []
    kept: list[Any] = []

    def keep(data: int, emit: Any) -> None:
        kept.append(emit)
        emit(data)

    operations = FlowOperationContainer().add_action("keep", keep).add_func("work", seen.append)
    with opened(scheduler, ".in -> keep -> work", operations=operations, schedule="sync") as runtime:
        runtime.process(".in", 1)
        late = kept[0]
        scheduler.together(lambda: late(10), lambda: runtime.process(".in", 2), lambda: late(20))
        assert sorted(seen) == [1, 2, 10, 20]
        assert not runtime._owner.unattended


def a_component_with_threads(scheduler: Scheduler) -> None:
    """Each emission belongs to its run, or comes late as one of its own, or is refused; none is lost."""
    relay = Relay(scheduler)
    operations = FlowOperationContainer().add_component("relay", relay).make_async()
    with opened(scheduler, ".in -> relay.take", "relay.out -> .out", operations=operations) as runtime:
        runtime.process_many(".in", [1, 2])
        scheduler.together(runtime.close)
        for thread in relay.threads:
            thread.join()
    found = [message.data for message in runtime.results()]
    assert sorted(found + relay.refused) == [1, 2, 11, 12]


class Woken(Operation):
    """Emits when it is woken."""

    out_ports = ("",)

    def activate(self, emit: activation.ActiveEmitter) -> None:
        emit.wake(0.0)

    def timer(self, _state: object, _about: None, emit: activation.ActiveEmitter) -> None:
        emit(1)


def woken_and_a_closer(scheduler: Scheduler) -> None:
    """It may be about to emit when the runtime is closed: that is nobody's error."""
    operations = FlowOperationContainer().add_operation(Woken("woken"))
    operations.add_operation(Ticker("ticker"))
    with opened(scheduler, "woken -> .out", "ticker.now -> .out", operations=operations) as runtime:
        runtime.start()
        runtime.close()


class Herald:
    """Emits as soon as it is part of a flow, without being told."""

    out = out_port()

    def __init__(self) -> None:
        self.sent = 0

    def emit(self) -> None:
        for _ in range(20):
            with contextlib.suppress(FlowBuildError):  # not yet
                self.out(1)
                self.sent += 1


def a_component_that_emits_while_it_is_added(scheduler: Scheduler) -> None:
    """What it emits comes behind the change that brings its place."""
    herald = Herald()
    operations = FlowOperationContainer().add_component("herald", herald)
    with opened(scheduler, ".in -> .out") as runtime:
        runtime.start()
        emitter = scheduler.spawn(herald.emit, "herald")
        wire(runtime, "herald.out -> .out")
        runtime.add_operations(operations)
        runtime.start()
        emitter.join()
    assert len(list(runtime.results())) == herald.sent


FLOWS = (
    woken_and_a_closer,
    a_component_that_emits_while_it_is_added,
    emitters_and_a_closer,
    sync_from_a_source_and_a_sender,
    sync_from_a_late_continuation_and_a_sender,
    a_component_with_threads,
)
HERE = [activation.__file__, building.__file__, components.__file__]


@pytest.mark.slow
@each_of(FLOWS)
def test_what_is_emitted_is_never_lost_in_any_order(program: Program) -> None:
    """B261, B282, B283, B28A."""
    explore(program, effort.of(40), [*WATCHED, *HERE, __file__])


@pytest.mark.slow
@each_of([sync_from_a_source_and_a_sender, sync_from_a_late_continuation_and_a_sender])
def test_nothing_emitted_under_sync_is_left_lying_wherever_a_thread_is_interrupted_once(
    program: Program,
) -> None:
    """B261."""
    assert interrupt_everywhere(program, [owner.__file__, host.__file__, *HERE], 150) > 50
