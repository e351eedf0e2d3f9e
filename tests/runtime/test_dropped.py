"""Runtimes that nobody closes: they end when nobody has them any more and nothing is left to do."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowrt import FlowOperationContainer, FlowRuntime, Operation, Run, out_port, parallel
from flowrt.runtime.activation import ActiveEmitter
from flowrt.runtime.closing import _open
from flowrt.runtime.wiring import inner_parts, owner_of
from tests.kit.flows import by_schedule
from tests.kit.functions import SECONDS, Gate, arrived, increment, same

TOLD = 'flow runtime "lost" was dropped without being closed. Use "with", or call close().'


def lost(schedule: Any = "breadth_first", *operations: Any) -> FlowRuntime:
    """A runtime with threads that the caller drops."""
    chain = operations or (increment, parallel(same, 2))
    return FlowRuntime(name="lost", schedule=schedule).add_chain(".in", *chain, ".out")


@contextmanager
def told() -> Iterator[list[str]]:
    """What is dropped inside tells of it; the texts are there afterwards."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
        gc.collect()
    texts += [str(each.message) for each in caught if each.category is ResourceWarning]


def others() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


def all_ended(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(SECONDS)
    return not any(thread.is_alive() for thread in threads)


@by_schedule
def test_a_runtime_that_is_dropped_warns_and_ends_its_threads(schedule: Any) -> None:
    before = set(others())
    runtimes = [lost(schedule) for _ in range(3)]
    for runtime in runtimes:
        assert runtime.process(".in", 1).values(SECONDS) == [2]
    threads = [thread for thread in others() if thread not in before]
    assert threads

    with told() as texts:
        del runtimes, runtime

    assert texts == [TOLD] * 3
    assert all_ended(threads)
    assert not [closer for closer in _open if closer.name == "lost"]


@by_schedule
def test_one_without_threads_is_dropped_without_a_word(schedule: Any) -> None:
    runtime = lost(schedule, increment)
    if schedule == "sync":
        assert runtime.process(".in", 1).values(SECONDS) == [2]
    with told() as texts:
        del runtime
    assert not texts
    assert not [closer for closer in _open if closer.name == "lost"]


def test_one_that_was_closed_is_dropped_without_a_word() -> None:
    with told() as texts:
        with lost() as runtime:
            runtime.process(".in", 1)
        del runtime
    assert not texts


def test_runs_under_way_go_on_to_their_end() -> None:
    gate = Gate()

    def begin() -> Run:
        return lost("breadth_first", parallel(gate, 2), increment).process_many(".in", range(10))

    with told() as texts:
        run = begin()
    assert texts == [TOLD]
    arrived(gate.entered)
    gate.open()

    assert sorted(run.values(SECONDS)) == list(range(1, 11))
    assert run.ledger.balanced
    assert owner_of(run).join(SECONDS) == ()


@by_schedule
def test_one_that_is_being_read_is_not_dropped(schedule: Any) -> None:
    with told() as texts:
        data = sorted(message.data for message in lost(schedule).stream(".in", range(3_000)))
    assert texts == [TOLD]
    assert data == list(range(1, 3_001))


class Herald(Operation):
    """Emits when it is told to."""

    emit: ActiveEmitter

    def activate(self, emit: ActiveEmitter) -> None:
        self.emit = emit


class Voice:
    out = out_port()


def test_who_may_emit_of_its_own_accord_goes_on_doing_so() -> None:
    seen: list[int] = []
    done = threading.Event()

    def take(number: int) -> None:
        seen.append(number)
        done.set()

    herald, voice = Herald("herald"), Voice()
    runtime = FlowRuntime(name="lost")
    runtime.add_operations(FlowOperationContainer().add_operation(herald).add_component("voice", voice))
    runtime.add_chain("herald", take).add_stream("voice.out", "take").start()
    closer = inner_parts(runtime).closer
    with told() as texts:
        del runtime
    assert texts == [TOLD]

    herald.emit(1)
    arrived(done)
    done.clear()
    voice.out(2)
    arrived(done)

    assert seen == [1, 2]
    assert closer in _open  # so that it is drained at the interpreter's exit
    assert closer.close(SECONDS, SECONDS).clean
    assert closer not in _open
