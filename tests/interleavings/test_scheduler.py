"""The scheduler of threads: it finds planted races, names deadlocks, repeats itself, and leaves nothing behind."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from tests.kit.threads.orders import Deviations, Order, Pct, Walk
from tests.kit.threads.scheduler import BlockedError, DeadlockError, EndlessError, Program, Scheduler, Strand
from tests.kit.threads.schedules import explore, failures_of, interrupt_everywhere, run_once

HERE = [__file__]

# Of 300 orders 50, 27 and 96 show the three races below, and 31 the deadlock. So a hundred orders miss the rarest with a probability of
# 0.91 ** 100, less than one in ten thousand. One interruption is enough for each, so all orders of one interruption always show it.
ENOUGH = 100


# --- planted races, each with its mended version


def update(scheduler: Scheduler, *, lock: Any = None) -> None:
    total = [0]

    def increment() -> None:
        if lock is None:
            seen = total[0]
            total[0] = seen + 1
        else:
            with lock:
                total[0] += 1

    scheduler.together(increment, increment)
    assert total == [2]


def updated_with_a_lock(scheduler: Scheduler) -> None:
    update(scheduler, lock=scheduler.lock())


def gathered_twice(scheduler: Scheduler) -> None:
    """Two workers bring the parts of one list; whoever sees that all are there passes it on."""
    parts, passed_on = [], []

    def bring(part: int) -> None:
        parts.append(part)
        if len(parts) == 2:
            passed_on.append(list(parts))

    scheduler.together(lambda: bring(1), lambda: bring(2))
    assert len(passed_on) == 1


def gathered_once(scheduler: Scheduler) -> None:
    parts, passed_on = [], []
    missing = [None, None]

    def bring(part: int) -> None:
        parts.append(part)
        missing.pop()  # one of the two calls of pop is the last
        with lock:
            if not missing and not passed_on:
                passed_on.append(list(parts))

    lock = scheduler.lock()
    scheduler.together(lambda: bring(1), lambda: bring(2))
    assert len(passed_on) == 1


def made_twice(scheduler: Scheduler) -> None:
    made: list[object] = []
    kept: dict[str, object] = {}

    def get() -> None:
        if "it" not in kept:
            made.append(object())
            kept["it"] = made[-1]

    scheduler.together(get, get)
    assert len(made) == 1


def made_once(scheduler: Scheduler) -> None:
    made: list[object] = []
    kept: dict[str, object] = {}
    lock = scheduler.lock()

    def get() -> None:
        if "it" not in kept:
            with lock:
                if "it" not in kept:
                    made.append(object())
                    kept["it"] = made[-1]

    scheduler.together(get, get)
    assert len(made) == 1


def locked_crosswise(scheduler: Scheduler) -> None:
    one, other = scheduler.lock(), scheduler.lock()

    def first() -> None:
        with one, other:
            pass

    def second() -> None:
        with other, one:
            pass

    scheduler.together(first, second)


def locked_alike(scheduler: Scheduler) -> None:
    one, other = scheduler.lock(), scheduler.rlock()

    def take() -> None:
        with one, other, other:
            pass

    scheduler.together(take, take)


@pytest.mark.parametrize("program", [update, gathered_twice, made_twice])
def test_a_planted_race_is_found(program: Program) -> None:
    found = [error for _, error in failures_of(program, ENOUGH, HERE)]

    assert all(type(error) is AssertionError for error in found)
    assert len(found) > ENOUGH // 20
    with pytest.raises(AssertionError):
        interrupt_everywhere(program, HERE)


@pytest.mark.parametrize("program", [updated_with_a_lock, gathered_once, made_once, locked_alike])
def test_what_is_right_is_right_in_every_order(program: Program) -> None:
    explore(program, ENOUGH, HERE)

    assert interrupt_everywhere(program, HERE) > 20


def test_a_deadlock_is_found_and_says_who_waits_where_for_what() -> None:
    with pytest.raises(DeadlockError) as caught:
        explore(locked_crosswise, ENOUGH, HERE)

    nobody, main, *others = str(caught.value).splitlines()
    assert nobody == "nobody can run any more:"
    assert 'main waits for the end of thread "thread 1", at test_scheduler.py:' in main
    assert "thread 1 waits for a lock that thread 2 holds, at test_scheduler.py:" in others[0]
    assert "thread 2 waits for a lock that thread 1 holds, at test_scheduler.py:" in others[1]


def test_what_is_found_is_told_as_the_shortest_order_that_shows_it() -> None:
    with pytest.raises(AssertionError) as caught:
        explore(update, ENOUGH, HERE)

    deviations: Deviations = caught.value.__dict__["deviations"]
    assert len(deviations.at) == 1
    assert repr(deviations) in caught.value.__notes__[0]
    with pytest.raises(AssertionError) as again:
        run_once(update, deviations, HERE)
    assert again.value.__dict__["trace"] == caught.value.__dict__["trace"]


@pytest.mark.parametrize("order", [Pct(3, 4, 100), Walk(5, stride=10), Deviations({(1, 4): 2})], ids=repr)
def test_the_same_order_gives_the_same_trace(order: Order) -> None:
    traces = [run_once(made_once, order, HERE).trace for _ in range(10)]

    assert len(traces[0]) > 3
    assert traces == [traces[0]] * 10


def test_what_an_order_did_is_the_same_as_deviations() -> None:
    for seed in range(20):
        walked = run_once(made_once, Walk(seed, stride=10), HERE)
        repeated = run_once(made_once, Deviations(walked.deviations, walked.order.tick), HERE)

        assert repeated.trace == walked.trace


# --- waiting


def test_a_timed_wait_ends_when_nobody_can_run_and_the_next_moment_comes_first() -> None:
    woken = []

    def program(scheduler: Scheduler) -> None:
        def wait(seconds: float) -> None:
            assert not scheduler.event().wait(seconds)
            woken.append((seconds, scheduler.clock.now()))

        scheduler.together(lambda: wait(3.0), lambda: wait(1.0), lambda: scheduler.sleep(2.0))

    assert run_once(program, Deviations()).waits_out == 3
    assert woken == [(1.0, 1.0), (3.0, 3.0)]


def test_a_wait_that_is_over_in_time_takes_no_time() -> None:
    def program(scheduler: Scheduler) -> None:
        event, items = scheduler.event(), scheduler.queue()

        def tell() -> None:
            items.put(7)
            event.set()

        scheduler.spawn(tell, "other")
        assert event.wait(1.0)
        assert items.get(timeout=1.0) == 7
        assert items.empty()
        assert scheduler.clock.now() == 0.0

    run_once(program, Deviations(), HERE)


def test_what_spins_is_ended() -> None:
    def program(scheduler: Scheduler) -> None:
        event = scheduler.event()
        while not event.is_set():
            pass

    with pytest.raises(EndlessError, match="no end after 150000 steps:\n  main is at test_scheduler"):
        run_once(program, Deviations(), HERE)


def test_what_blocks_for_real_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kit.threads.scheduler.PATIENCE", 0.2)
    real = threading.Event()

    def program(scheduler: Scheduler) -> None:
        real.wait()

    try:
        with pytest.raises(BlockedError, match=r"main is at test_scheduler.py:") as caught:
            run_once(program, Deviations())
        assert "left behind: main at test_scheduler.py:" in caught.value.__notes__[0]
    finally:
        real.set()


# --- what is left behind


def test_the_first_error_of_any_thread_is_raised_and_the_others_are_ended() -> None:
    ended = []

    def program(scheduler: Scheduler) -> None:
        def wait() -> None:
            try:
                scheduler.event().wait()
            finally:
                ended.append(True)

        def fail() -> None:
            raise LookupError

        scheduler.together(wait, wait, fail)

    before = threading.active_count()
    with pytest.raises(LookupError):
        run_once(program, Deviations(), HERE)
    assert ended == [True, True]
    assert threading.active_count() == before


def test_the_trace_functions_of_others_are_left_alone() -> None:
    seen: list[Any] = []

    def trace(*_arguments: Any) -> None:
        return None

    class Watched(Scheduler):
        def _finish(self, strand: Strand) -> None:
            seen.append(sys.gettrace())
            super()._finish(strand)

    before, before_of_threads = sys.gettrace(), threading.gettrace()
    threading.settrace(trace)
    try:
        Watched(Deviations(), HERE).run(lambda _scheduler: seen.append(sys.gettrace()))
        assert threading.gettrace() is trace
    finally:
        threading.settrace(before_of_threads)
    assert sys.gettrace() is before
    assert seen[0] is not trace
    assert seen[1] is trace
