"""The rule kit rejects what breaks a rule, by the number of that rule."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt.bodies import Failure
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import Pools
from flowrt.executors.threads import ThreadPool
from flowrt.handover import Waiting
from flowrt.inbox import Seams
from flowrt.messages import Chunk
from flowrt.testing.rules import RuleViolation
from flowrt.testing.rules_of_executors import check_executor

PATIENCE = 0.5  # seconds: as long as a broken executor that hangs holds the test up


def seams_of(kind: type[ThreadPool]) -> Callable[[], Seams]:
    """Seams whose workers are of a kind."""

    def pools(
        name: str, seams: Seams, reports: Any, post: Any, crash: Any, *, parallelism: bool
    ) -> Pools[ThreadPool]:
        def make(pool: str, workers: int) -> ThreadPool:
            return kind(f"{name}/{pool}", workers, seams, reports, post, crash)

        return Pools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    return lambda: Seams(executors=pools)


def violation_of(factory: Callable[[], Seams], **options: Any) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        check_executor(factory, patience=PATIENCE, **options)
    return caught.value


# --- executors of threads that break a rule


class Overlapping(ThreadPool):
    """Makes two calls of an async operation at once."""

    def __init__(self, name: str, workers: int, *others: Any) -> None:
        super().__init__(name, workers + (workers == 1), *others)


class Greedy(ThreadPool):
    """Makes more calls at once than parallel(n) allows."""

    def __init__(self, name: str, workers: int, *others: Any) -> None:
        super().__init__(name, workers + (workers > 1), *others)


class Lazy(ThreadPool):
    """Makes one call at a time, whatever parallel(n) says."""

    def __init__(self, name: str, _workers: int, *others: Any) -> None:
        super().__init__(name, 1, *others)


class Mixing(ThreadPool):
    """Lets a key go while one of its calls is under way."""

    def _perform(self, waiting: Waiting, number: int) -> None:
        if waiting.key is not None:
            with self._lock:
                self._backlog.release(waiting.key)
            self._wake()
            waiting.key = None
        super()._perform(waiting, number)


class Losing(ThreadPool):
    """Loses what it takes third."""

    taken = 0

    def _perform(self, waiting: Waiting, number: int) -> None:
        self.taken += 1
        if self.taken != 3:
            super()._perform(waiting, number)


class Silent(ThreadPool):
    """Performs everything, and does not report one group."""

    reported = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_some

    def _tell_some(self, report: Any, task: Any) -> None:
        self.reported += 1
        if self.reported != 3:
            self._tell(report, task)


class Repeating(ThreadPool):
    """Performs a chunk twice."""

    def submit(self, place: Any, chunk: Chunk) -> None:
        context = chunk.context[:] if isinstance(chunk.context, list) else chunk.context
        again = Chunk(chunk.handler, chunk.data[:], context, chunk.positions, chunk.trail)
        super().submit(place, chunk)
        super().submit(place, again)


class Stuttering(ThreadPool):
    """Reports every group twice."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_twice

    def _tell_twice(self, report: Any, task: Any) -> None:
        self._tell(report, task)
        self._tell(report, task)


class Reordering(ThreadPool):
    """Puts the first of several messages behind the others."""

    def submit(self, place: Any, chunk: Chunk) -> None:
        if len(chunk.data) > 1:
            first = chunk.cut(1)
            super().submit(place, chunk)
            chunk = first
        super().submit(place, chunk)


class Swallowing(ThreadPool):
    """Makes a result of None out of what a call raised."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_results

    def _tell_results(self, report: Any, task: Any) -> None:
        task.results = [None if type(result) is Failure else result for result in task.results]
        self._tell(report, task)


class DeafToExit(ThreadPool):
    """Makes an ordinary error out of SystemExit."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_errors

    def _tell_errors(self, report: Any, task: Any) -> None:
        for result in task.results:
            if type(result) is Failure and isinstance(result.error, SystemExit):
                result.error = RuntimeError()
        self._tell(report, task)


class LosingErrors(ThreadPool):
    """Does not report groups in which a call raised."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_good

    def _tell_good(self, report: Any, task: Any) -> None:
        if not getattr(task, "failed", False):
            self._tell(report, task)


class Meddling(ThreadPool):
    """Has the engine's books written by its workers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_directly

    def _tell_directly(self, report: Any, task: Any) -> None:
        report(task)
        self._tell(int)  # the engine wakes up


class Raising(ThreadPool):
    """Raises in its worker, once what it performed has been reported."""

    def _perform(self, waiting: Waiting, number: int) -> None:
        super()._perform(waiting, number)
        raise RuntimeError


class Leaking(ThreadPool):
    """Raises in a thread that nobody watches."""

    def _perform(self, waiting: Waiting, number: int) -> None:
        thread = threading.Thread(target=[].pop)
        thread.start()
        thread.join()
        super()._perform(waiting, number)


class Recursing(ThreadPool):
    """Takes the next piece of work before it returns from the last."""

    def _perform(self, waiting: Waiting, number: int) -> None:
        super()._perform(waiting, number)
        with self._lock:
            following = self._backlog.take()
        if following is not None:
            self._perform(following, number)


class Blocking(ThreadPool):
    """Waits in submit() until the work is done."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._done = threading.Semaphore(0)

    def submit(self, place: Any, chunk: Chunk) -> None:
        super().submit(place, chunk)
        self._done.acquire(timeout=20 * PATIENCE)

    def _perform(self, waiting: Waiting, number: int) -> None:
        super()._perform(waiting, number)
        self._done.release()


class Forgetful(ThreadPool):
    """Drops all that waits when some of it is asked for, because one run is cancelled."""

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        found = super().unreported()
        while self._backlog.take() is not None:
            pass
        return found


class Unstoppable(ThreadPool):
    """Goes on with what has been given up."""

    def _perform(self, waiting: Waiting, number: int) -> None:
        waiting.ended = False
        super()._perform(waiting, number)


class Late(ThreadPool):
    """Reports what it performed while being stopped when all is over."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tell, self._post = self._post, self._tell_late

    def _tell_late(self, *report: Any) -> None:
        if self._stopping:
            threading.Timer(PATIENCE / 2, self._tell, report).start()
        else:
            self._tell(*report)


class Lingering(ThreadPool):
    """Leaves a thread behind, of which it says nothing."""

    over: threading.Event

    def stop(self) -> None:
        if not self._stopping:
            threading.Thread(target=self.over.wait, name="lingering", daemon=True).start()
        super().stop()


class Discreet(ThreadPool):
    """Does not say which threads have not come back."""

    def join(self, seconds: float) -> tuple[str, ...]:
        super().join(seconds)
        return ()


class Endless(ThreadPool):
    """Waits in join() as long as it takes, and that is long."""

    over: threading.Event

    def join(self, seconds: float) -> tuple[str, ...]:
        self.over.wait()
        return super().join(seconds)


class Hoarding(ThreadPool):
    """Keeps every chunk it has got."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept: list[Any] = []

    def submit(self, place: Any, chunk: Chunk) -> None:
        self.kept.append(chunk.data)
        super().submit(place, chunk)


BROKEN_POOLS = {
    Overlapping: "R3",
    Greedy: "R1",
    Lazy: "R1",
    Mixing: "R3",
    Losing: "R5",
    Silent: "R5",
    Repeating: "R2",
    Stuttering: "R2",
    Reordering: "R10",
    Swallowing: "R4",
    DeafToExit: "R4",
    LosingErrors: "R4",
    Meddling: "R3",
    Raising: "R12",
    Leaking: "R12",
    Recursing: "R14",
    Blocking: "R15",
    Forgetful: "R12",
    Unstoppable: "R7",
    Late: "R6",
    Lingering: "R7",
    Discreet: "R7",
    Endless: "R16",
    Hoarding: "R19",
}


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is: then the threads of the worst executors end too."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize(("kind", "rule"), BROKEN_POOLS.items(), ids=[kind.__name__ for kind in BROKEN_POOLS])
def test_a_broken_pool_of_threads_is_rejected_by_its_rule(
    kind: type[ThreadPool], rule: str, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "over", over, raising=False)

    assert violation_of(seams_of(kind)).rule == rule
