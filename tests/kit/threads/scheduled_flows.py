"""Whole runtimes on the threads of a seeded scheduler, and operations that know how they were called."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime
from flowrt.engine import contract, meters
from flowrt.executors import backlog, tasks, threads, workers
from flowrt.operations import bodies
from flowrt.runtime import closing, inbox, loop, owner, results, room, run, waiting
from flowrt.runtime import input as way_in
from flowrt.runtime.closing import _watch_the_process
from flowrt.runtime.wiring import inner_parts
from tests.kit.flows import wire
from tests.kit.functions import same
from tests.kit.threads.scheduler import Program, Scheduler

# Where threads meet: they are changed between any two opcodes of these, and of what else a test adds.
WATCHED = [
    module.__file__
    for module in (
        backlog,
        bodies,
        closing,
        contract,
        inbox,
        way_in,
        loop,
        meters,
        owner,
        results,
        room,
        run,
        tasks,
        threads,
        waiting,
        workers,
    )
]


_watch_the_process()  # once per process: not in the middle of the first schedule


@contextlib.contextmanager
def opened(scheduler: Scheduler, *chains: str, **options: Any) -> Iterator[FlowRuntime]:
    """A runtime on the scheduler's threads; closing it leaves nothing."""
    operations = options.pop("operations", FlowOperationContainer())
    waits = options.pop("waits", False)
    runtime = FlowRuntime(seams=scheduler.seams(), name="flow", **options)
    try:
        wire(runtime, *chains)
        runtime.add_operations(operations)
        yield runtime
        report = runtime.close()
        assert report.clean, report
        assert waits or not scheduler.waits_out, "a wake-up was lost, and a timed wait has hidden it"
    finally:
        inner_parts(runtime).closer.forget()


class Calls:
    """A function for an operation that knows how often it was called with what, and how many calls there were at once."""

    def __init__(self, function: Callable[[Any], Any] = same) -> None:
        self.function = function
        self.made: Counter[Any] = Counter()
        self.inside: Counter[Any] = Counter()
        self.most = 0
        self.order: list[Any] = []

    def key(self, item: Any) -> Any:
        return None

    def __call__(self, item: Any) -> Any:
        key = self.key(item)
        self.inside[key] += 1
        self.most = max(self.most, self.inside[key])
        self.made[item] += 1
        self.order.append(item)
        result = self.function(item)
        self.inside[key] -= 1
        return result


class KeyedCalls(Calls):
    def key(self, item: Any) -> Any:
        return item % 2


def once_each(items: Any) -> Counter[Any]:
    return Counter(items)


def each_of(programs: Iterable[Program]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("program", programs, ids=lambda program: program.__name__)
