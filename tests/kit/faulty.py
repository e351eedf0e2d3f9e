"""Seams of which the n-th call fails, once or from then on, and bugs in the engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import attrs
import pytest

from flowrt.clock import Clock
from flowrt.engine.schedules import BreadthFirst, DepthFirst, Schedule
from flowrt.executors.seams import Seams, ThreadLike, spawn_thread
from flowrt.executors.threads import thread_pools
from flowrt.testing import simulated


class Injected(Exception):
    """Raised by no one but a plan."""


class NoMemory(Injected, MemoryError): ...


class NoClock(Injected, OSError): ...


class NoThread(Injected, RuntimeError): ...


class Plan:
    """Says which calls of a seam fail: the n-th, and where `persistent` all that follow, until it is healed."""

    def __init__(self, nth: int, *, persistent: bool, error: type[Injected] = NoMemory) -> None:
        self.nth = nth
        self.persistent = persistent
        self.error = error
        self.raised: list[Injected] = []
        self.healed = False
        self._calls = count(1)

    def hit(self) -> None:
        number = next(self._calls)
        if not self.healed and (number == self.nth or (self.persistent and number > self.nth)):
            self.raised.append(self.error("injected"))
            raise self.raised[-1]

    @property
    def injected(self) -> int:
        """How many calls have failed."""
        return len(self.raised)

    def failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function behind the plan."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.hit()
            return function(*arguments, **options)

        return call

    def failing_class(self, kind: Any, methods: str) -> Any:
        """The class with these methods behind the plan."""

        def behind(name: str) -> Callable[..., Any]:
            original = getattr(kind, name)

            def method(this: Any, *arguments: Any, **options: Any) -> Any:
                self.hit()
                return original(this, *arguments, **options)

            return method

        return type(f"Faulty{kind.__name__}", (kind,), {name: behind(name) for name in methods.split()})


class FaultyClock:
    """A clock that cannot always tell the time."""

    def __init__(self, clock: Clock, plan: Plan) -> None:
        self._clock = clock
        self._plan = plan

    def now(self) -> float:
        self._plan.hit()
        return self._clock.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


def points_of_failure() -> list[str]:
    """What can fail: a seam, or methods of what it makes."""
    return [
        "clock",
        "spawn",
        "lock",
        "rlock",
        "event",
        "event.set",
        "event.clear",
        "event.wait",
        "queue",
        "queue.put",
        "queue.get get_nowait",
        "schedule",
        "schedule.put put_input",
        "schedule.take",
        "schedule.put_back",
        "schedule.clear __iter__",
        "executors",
        "executors.executor_for",
        "executors.all",
        "executor.submit",
        "executor.pull",
        "executor.unreported",
        "executor.in_work",
        "executor.thread_idents",
        "executor.stop",
        "executor.join",
        "rng",
    ]


class Ground:
    """What a runtime of one schedule stands on; `threads` lists the threads it has started."""

    def __init__(self, point: str, schedule: str, plan: Plan) -> None:
        self.threads: list[ThreadLike] = []
        self.schedule: Any = "breadth_first" if schedule == "simulated" else schedule
        self._plan = plan
        base = simulated(3) if schedule == "simulated" else Seams()
        base = attrs.evolve(base, spawn=self._spawn)
        seam, _, methods = point.partition(".")
        self.seams = getattr(self, f"_faulty_{seam}")(base, methods)

    def _spawn(self, work: Callable[[], None], name: str) -> ThreadLike:
        thread = spawn_thread(work, name)
        self.threads.append(thread)
        return thread

    def _faulty_clock(self, base: Seams, _: str) -> Seams:
        self._plan.error = NoClock
        return attrs.evolve(base, clock=FaultyClock(base.clock, self._plan))

    def _faulty_spawn(self, base: Seams, _: str) -> Seams:
        self._plan.error = NoThread
        return attrs.evolve(base, spawn=self._plan.failing(self._spawn))

    def _faulty_lock(self, base: Seams, _: str) -> Seams:
        return attrs.evolve(base, lock=self._plan.failing(base.lock))

    def _faulty_rlock(self, base: Seams, _: str) -> Seams:
        return attrs.evolve(base, rlock=self._plan.failing(base.rlock))

    def _faulty_event(self, base: Seams, methods: str) -> Seams:
        return attrs.evolve(base, event=self._factory(threading.Event, methods))

    def _faulty_queue(self, base: Seams, methods: str) -> Seams:
        return attrs.evolve(base, queue=self._factory(queue.SimpleQueue, methods))

    def _faulty_schedule(self, base: Seams, methods: str) -> Seams:
        kind: type[Schedule] = DepthFirst if self.schedule == "sync" else BreadthFirst
        return attrs.evolve(base, schedule=self._factory(kind, methods))

    def _factory(self, kind: Any, methods: str) -> Any:
        return self._plan.failing_class(kind, methods) if methods else self._plan.failing(kind)

    def _faulty_rng(self, base: Seams, _: str) -> Seams:
        simulation: Any = base.simulation
        simulation._choose = self._plan.failing(simulation._choose)
        return base

    def _faulty_executors(self, base: Seams, methods: str) -> Seams:
        make = base.executors or thread_pools
        if not methods:
            return attrs.evolve(base, executors=self._plan.failing(make))

        def executors(*arguments: Any, **options: Any) -> Any:
            pools = make(*arguments, **options)
            setattr(pools, methods, self._plan.failing(getattr(pools, methods)))
            return pools

        return attrs.evolve(base, executors=executors)

    def _faulty_executor(self, base: Seams, methods: str) -> Seams:
        make = base.executors or thread_pools

        def executors(*arguments: Any, **options: Any) -> Any:
            pools: Any = make(*arguments, **options)
            original, known = pools.executor_for, set()

            def executor_for(declaration: Any) -> Any:
                executor = original(declaration)
                if id(executor) not in known:
                    known.add(id(executor))
                    setattr(executor, methods, self._plan.failing(getattr(executor, methods)))
                return executor

            pools.executor_for = executor_for
            return pools

        return attrs.evolve(base, executors=executors)


class Bug(Exception):
    """What a bug in the engine raises."""


def plant(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, nth: int = 1) -> None:
    """Have the n-th call of a method of the engine raise a `Bug`, once."""
    calls = count(1)
    original = getattr(owner, method)

    def buggy(*arguments: Any, **options: Any) -> Any:
        if next(calls) == nth:
            raise Bug
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, buggy)


def numbers(closely: int = 20) -> Iterator[int]:
    """1, 2, 3 ... and from `closely` on in growing steps."""
    number = 1
    while True:
        yield number
        number += 1 if number < closely else 1 + number // 7


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and what is in it."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions
