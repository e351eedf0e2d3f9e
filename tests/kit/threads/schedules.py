"""Threads under a seeded scheduler: real ones, of which exactly one runs at a time, changed between any two opcodes of the files under watch.

    def program(scheduler): ...  # runs as the thread "main"; makes locks, events, queues and threads with it
    explore(program, 200, watch=[inbox.__file__])

Every lock, event, queue, thread and clock of the program must come from the scheduler (`seams()` makes a whole runtime's): what waits in
one of these gives the baton away, so that no thread ever blocks for real. Time stands still, but for a tick per step where the order
says so; a timed wait ends when nobody can run, and now and then before, as on a slow machine.

What fails is told as its few deviations from the order in which each thread runs until it waits (tests/orders.py).
FLOWRT_SCHEDULES=20 in the environment runs twenty times as many orders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from tests.kit.threads.orders import Deviations, Order, Pct, Recorder, orders
from tests.kit.threads.scheduler import EndlessError, Program, Scheduler

SHRINKS = 150  # runs to spend on making a found order shorter
MULTIPLIER = int(os.environ.get("FLOWRT_SCHEDULES", "1"))  # so many times the schedules, for a nightly run


def run_once(program: Program, order: Order, watch: Iterable[str | None] = ()) -> Scheduler:
    """Run a program in one order; what it raises says by which line to replay it."""
    scheduler = Scheduler(order, watch)
    try:
        scheduler.run(program)
    except BaseException as error:
        error.__dict__["deviations"] = Deviations(scheduler.deviations, order.tick)
        error.__dict__["trace"] = scheduler.trace
        raise
    return scheduler


def failures_of(
    program: Program, schedules: int, watch: Iterable[str | None] = (), seed: int = 0
) -> Iterator[tuple[Order, BaseException]]:
    """Run a program in many orders, and tell those that make it fail."""
    watch = list(watch)
    length = 1_000
    for order in [Deviations(), *orders(schedules, 0, seed)]:
        if isinstance(order, Pct):
            order = Pct(order.seed, order.depth, length)  # noqa: PLW2901 - how long it is shows the first run
        try:
            count = run_once(program, order, watch).count
        except Exception as error:
            yield order, error
        else:
            length = count if isinstance(order, Deviations) else length


def explore(program: Program, schedules: int, watch: Iterable[str | None] = (), seed: int = 0) -> None:
    """Run a program in many orders; raise the first error, with the order as the shortest that shows it."""
    watch = list(watch)
    for order, error in failures_of(program, schedules * MULTIPLIER, watch, seed):
        raise told(shrunk(program, error, watch), order)


def interrupt_everywhere(program: Program, watch: Iterable[str | None] = (), limit: int | None = None) -> int:
    """Interrupt a program once, at each of its opcodes for each other thread: all orders of one change. Return how many there were.

    Args:
        limit: no more orders than this, evenly spread.
    """
    watch = list(watch)
    recorder = Recorder()
    run_once(program, recorder, watch)
    every = 1 if limit is None else max(1, len(recorder.others) // (limit * MULTIPLIER))
    changes = recorder.others[::every]
    for thread, step, other in changes:
        order = Deviations({(thread, step): other})
        try:
            run_once(program, order, watch)
        except Exception as error:
            raise told(error, order) from None
    return len(changes)


def shrunk(program: Program, error: BaseException, watch: Iterable[str | None]) -> BaseException:
    """Leave deviations out as long as the same kind of error comes. What never ends takes too long for that."""
    if isinstance(error, EndlessError):
        return error
    found: Deviations = error.__dict__["deviations"]
    size = max(len(found.at) // 2, 1)
    start = runs = 0
    while runs < SHRINKS and size:
        keys = list(found.at)
        if start >= len(keys):
            start, size = 0, size // 2
            continue
        runs += 1
        kept = {key: found.at[key] for key in keys[:start] + keys[start + size :]}
        try:
            run_once(program, Deviations(kept, found.tick), watch)
        except Exception as other:
            if type(other) is type(error) and len(other.__dict__["deviations"].at) < len(keys):
                error, found = other, other.__dict__["deviations"]
                continue
        start += size
    return error


def told(error: BaseException, order: Order) -> BaseException:
    """Note on an error how it came about."""
    deviations, trace = error.__dict__["deviations"], error.__dict__["trace"]
    error.add_note(
        f"found by {order}; replay with run_once(program, {deviations}, watch); the changes of threads:"
    )
    for line in trace[-60:]:
        error.add_note(f"  {line}")
    return error
