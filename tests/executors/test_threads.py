"""Interleavings of worker and engine that stress does not find, each brought about on purpose."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Message, Part, Scatter
from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Task
from flowrt.engine.meters import Pace
from flowrt.engine.places import Place
from flowrt.executors.backlog import Backlog
from flowrt.executors.seams import Seams
from flowrt.executors.tasks import perform
from flowrt.messages import Context, RunBooks
from flowrt.operations.bodies import ActionBody, Failure, FunctionBody, GeneratorBody, Group, Pull
from flowrt.operations.contract import Emitter
from flowrt.runtime.loop import GIVE_WAY, Loop
from flowrt.testing import FakeClock
from tests.kit.flows import SCHEDULES, Keeper, flow_of, wire
from tests.kit.functions import SECONDS, Gate, arrived, double


def refuse(_number: Any, *_continuations: Any) -> Any:
    raise LookupError


class Watched(list[Any]):
    """Results that note what the engine would see of their group at each append."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group
        self.seen: list[bool] = []

    def append(self, result: Any) -> None:
        super().append(result)
        if isinstance(result, Failure):
            self.seen.append(self.group.failed)


@pytest.mark.parametrize(
    "body",
    [FunctionBody(refuse), ActionBody(refuse, ("",)), GeneratorBody(refuse)],
    ids=["function", "action", "generator"],
)
def test_a_group_is_known_to_have_failed_before_a_failure_is_among_its_results(body: Any) -> None:
    group = Group([1, 2])
    group.results = watched = Watched(group)

    body.perform(group)

    assert watched.seen == [True, True]


def test_what_ends_a_pull_is_never_among_its_items() -> None:
    def one_then_raise() -> Iterator[int]:
        yield 1
        raise LookupError

    pull = Pull(one_then_raise(), 10)

    pull.perform()

    assert pull.results == [1]
    assert pull.failure is not None
    assert isinstance(pull.failure.error, LookupError)


def test_a_group_taken_before_one_of_its_runs_ended_is_performed() -> None:
    ended, going = RunBooks(None), RunBooks(None)
    place: Any = Place.__new__(Place)
    place.declaration, place.pace = SimpleNamespace(body=FunctionBody(double)), Pace()
    place.ordered = False
    place.pace.took(100, 0.0)
    trail: Any = None
    chunk = Chunk(place, [10, 21], [Context(ended), Context(going)], [0, 0], trail)
    backlog = Backlog(1)
    backlog.put(place, chunk)
    waiting = backlog.take()
    assert waiting is not None
    ended.ended = True

    task = Task(place, waiting.chunk)
    perform(task, waiting)

    assert task.results == [20, 42]


def late_queue(look: threading.Event) -> Callable[[], queue.SimpleQueue[Any]]:
    """A queue whose first wait times out only when `look` is set, and does not see what was put meanwhile."""

    class Late(queue.SimpleQueue[Any]):
        waited = False

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if timeout is not None and not self.waited:
                self.waited = True
                assert look.wait(SECONDS)
                raise queue.Empty
            return super().get(block, timeout)

    return Late


def test_what_a_group_in_work_has_so_far_comes_after_what_was_posted_before_it_began() -> None:
    second_group_has_a_result, gate = threading.Event(), threading.Event()

    def work(number: int) -> int:
        if number == 2:
            second_group_has_a_result.set()
            assert gate.wait(SECONDS)
        return number

    operations = (
        FlowOperationContainer().add_func("work", work).make_async().add_operation(Scatter("scatter"))
    )
    with FlowRuntime(seams=Seams(queue=late_queue(second_group_has_a_result))) as runtime:
        runtime.add_operations(operations)
        runtime.add_stream(".in", "scatter").add_stream("scatter.stream", "work").add_stream("work", ".out")

        results = runtime.process(".in", [0, 1, 2, 3]).results(timeout=SECONDS)
        first = [next(results).data, next(results).data]
        gate.set()

        assert first + [message.data for message in results] == [0, 1, 2, 3]


class PausingPairs(Keeper):
    """Pairs messages; between holding the second and merging both it waits until the engine has looked."""

    def __init__(self, pause: Callable[[], None]) -> None:
        super().__init__("pairs")
        self._pause = pause

    def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
        super().handle(state, message, emit)
        if len(state) == 2:
            self._pause()
            emit.merge(state, [part.data for part in state])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_an_operation_does_takes_effect_when_its_call_is_over(
    schedule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine looks between hold and merge: were the part held already, nothing of the run would be live, and it would end."""
    pausing, looked = threading.Event(), threading.Event()
    usual = Loop.look_at_work

    def look(loop: Loop) -> None:
        seen = pausing.is_set()
        usual(loop)
        if seen:
            looked.set()

    def pause() -> None:
        pausing.set()
        arrived(looked)

    monkeypatch.setattr(Loop, "look_at_work", look)
    operations = FlowOperationContainer().add_operation(PausingPairs(pause)).make_async()
    with FlowRuntime(schedule=schedule) as runtime:
        wire(runtime, ".in -> pairs -> .out")
        runtime.add_operations(operations)

        assert runtime.process_many(".in", [1, 2]).values(SECONDS) == [[1, 2]]


def test_the_engine_gives_way_while_workers_hold_work() -> None:
    """After about a millisecond of its own work, and only then."""
    gate = Gate()
    pauses: list[float] = []
    clock = FakeClock()

    def slow(number: int) -> int:
        clock.advance(0.002)
        return number

    operations = FlowOperationContainer().add_func("held", gate).make_async().add_func("slow", slow)
    with FlowRuntime(seams=Seams(clock=clock, pause=pauses.append)) as runtime:
        wire(runtime, ".held -> held -> .out", ".slow -> slow -> .out")
        runtime.add_operations(operations)
        assert runtime.process_many(".slow", range(5)).values(SECONDS) == list(range(5))
        assert pauses == []
        held = runtime.process(".held", 1)
        arrived(gate.entered)
        assert runtime.process_many(".slow", range(5)).values(SECONDS) == list(range(5))
        gate.open()
        held.wait(SECONDS)

    assert set(pauses) == {GIVE_WAY}
    assert 1 <= len(pauses) <= 12


@pytest.mark.parametrize(
    "mode", [{}, {"ordered": True}, {"by_key": lambda number: number % 8}], ids=["plain", "ordered", "by key"]
)
def test_a_cheap_operation_that_is_held_up_once_holds_up_no_other_worker(mode: dict[str, Any]) -> None:
    """Nobody is woken for what is soon done; when it is not, the engine sees to it."""
    held, seen = Gate(), threading.Event()

    def work(number: int) -> int:
        if number == 8_000:
            held(number)
        if number == 8_001 + 1_024:
            seen.set()
        return number

    operations = FlowOperationContainer().add_func("work", work).make_parallel(4, **mode)
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> work -> .out")
        runtime.add_operations(operations)
        runtime.process_many(".in", range(8_000)).wait(SECONDS)
        first = runtime.process(".in", 8_000)
        arrived(held.entered)
        others = runtime.process_many(".in", range(8_001, 8_001 + 2_048))
        try:
            arrived(seen)
        finally:
            held.open()

        assert first.result(SECONDS).data == 8_000
        assert sorted(others.values(SECONDS)) == list(range(8_001, 8_001 + 2_048))


def test_what_a_group_has_finished_is_taken_though_input_keeps_coming() -> None:
    """A slow item holds back what came before it in its group only until the engine looks, and it looks though it is never left in peace."""
    stuck, go_on = threading.Event(), threading.Event()

    def work(x: int) -> int:
        if x == 500:
            stuck.set()
            go_on.wait(60)
        return x

    operations = FlowOperationContainer().add_func("work", work).make_async().add_func("beside", lambda x: x)
    with FlowRuntime(
        flow_of("", ".in -> work -> .out", ".other -> beside", operations=operations)
    ) as runtime:
        runtime.process_many(".in", range(400)).wait(60)  # by now groups are large
        got: list[int] = []
        run = runtime.process_many(".in", range(400, 501))
        assert stuck.wait(60)
        for _ in range(4_000):  # a fraction of a second
            if len(got) == 100:
                break
            runtime.process(".other", 1).wait(60)  # the inbox is never silent for two milliseconds
            got += [
                data for chunk in runtime._owner.results.take_chunks(run._mine, None) for data in chunk.data
            ]
        assert got == list(range(400, 500))
        go_on.set()
        assert run.values(timeout=60) == [500]
