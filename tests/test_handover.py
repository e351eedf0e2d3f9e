"""How much is handed to whom: nothing is lost, doubled or reordered on the way through backlog and reorder."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flowrt.handover import GROWTH, QUANTUM, Backlog, Pace, Reorder, Waiting, alike
from flowrt.ledger import Books
from flowrt.messages import CHUNK_SIZE, Chunk, Context, Trunk
from flowrt.ports import Port
from flowrt.routes import Handler

ROOT = Trunk().root
HANDLER = Handler(Port.parse("operation"), None)


def run_books() -> Any:
    return Books(1000).open_run()


def chunk_of(data: list[Any], context: Context | list[Context]) -> Chunk:
    return Chunk(HANDLER, data, context, range(len(data)), ROOT)


def place_with(estimate: float = 0.0, allowed: int = 1) -> Any:
    pace = Pace()
    pace.estimate, pace.allowed = estimate, allowed
    return SimpleNamespace(pace=pace)


# --- how much


def test_nothing_known_means_one_message() -> None:
    assert Pace().quota(10_000) == 1


def test_a_group_is_about_a_millisecond_of_work() -> None:
    pace = place_with(estimate=QUANTUM / 100, allowed=CHUNK_SIZE).pace

    assert pace.quota(10_000, workers=4) == 100


def test_a_short_backlog_is_spread_over_the_workers() -> None:
    pace = place_with(estimate=QUANTUM / 100, allowed=CHUNK_SIZE).pace

    assert pace.quota(120, workers=4) == 30


def test_a_group_is_never_so_small_that_handing_over_costs_more() -> None:
    pace = place_with(estimate=QUANTUM / 100, allowed=CHUNK_SIZE).pace

    assert pace.quota(4, workers=4) == 20


def test_a_slow_operation_gets_one_message_at_a_time() -> None:
    pace = place_with(estimate=1.0, allowed=CHUNK_SIZE).pace

    assert pace.quota(10_000, workers=4) == 1


def test_a_group_grows_at_most_eightfold() -> None:
    pace = Pace()
    sizes = []
    for _ in range(5):
        size = pace.quota(1_000_000)
        sizes.append(size)
        pace.took(size, 1e-9 * size)

    assert sizes == [1, GROWTH, GROWTH**2, GROWTH**3, CHUNK_SIZE]


def test_the_estimate_jumps_up_at_once_and_decays_by_three_tenths() -> None:
    pace = Pace()
    pace.took(1, 0.001)
    pace.took(1, 1.0)
    assert pace.estimate == 1.0

    pace.took(1, 0.0)
    assert 0.69 < pace.estimate < 0.71


def test_a_group_that_took_no_measurable_time_teaches_no_zero() -> None:
    pace = Pace()
    pace.took(10, 0.0)
    pace.took(0, 0.5)

    assert pace.quota(1_000_000) == GROWTH * 10


@given(
    st.floats(0.0, 10.0),
    st.integers(1, 5_000),
    st.integers(1, 100_000),
    st.integers(1, 64),
)
def test_a_quota_is_between_one_and_a_chunk(
    estimate: float, allowed: int, backlog: int, workers: int
) -> None:
    assert 1 <= place_with(estimate, allowed).pace.quota(backlog, workers) <= min(allowed, CHUNK_SIZE)


# --- chunks of several runs


def test_messages_are_alike_whose_runs_have_all_ended_or_all_not() -> None:
    one, two, three = run_books(), run_books(), run_books()
    one.ended = two.ended = True
    contexts = [Context(run) for run in (one, two, three, one)]

    assert alike(chunk_of([1, 2, 3, 4], contexts)) == (2, True)
    assert alike(chunk_of([3, 4], contexts[2:])) == (1, False)
    assert alike(chunk_of([1, 2], contexts[:2])) == (2, True)
    assert alike(chunk_of([1, 2, 3], contexts[0])) == (3, True)


def test_a_worker_does_not_mix_runs_that_have_ended_with_others() -> None:
    ended, open_run = run_books(), run_books()
    ended.ended = True
    backlog = Backlog(1)
    contexts = [Context(ended), Context(ended), Context(open_run)]
    backlog.put(Waiting(place_with(1e-6, 1000), chunk_of(["a", "b", "c"], contexts), 0))

    taken = list(iter(backlog.take, None))

    assert [waiting.chunk.data for waiting in taken] == [["a", "b"], ["c"]]
    assert [waiting.sequence for waiting in taken] == [0, 2]


# --- the backlog, worked by several workers


def test_a_higher_priority_is_taken_first() -> None:
    run = run_books()
    backlog = Backlog(1)
    place = place_with()
    for priority in (0, 5, -1, 5):
        backlog.put(Waiting(place, chunk_of([priority], Context(run, None, priority)), 0))

    assert [waiting.chunk.data for waiting in iter(backlog.take, None)] == [[5], [5], [0], [-1]]


def test_what_a_stopped_group_has_not_begun_goes_first_again() -> None:
    run = run_books()
    backlog = Backlog(1)
    place = place_with(1e-6, 3)
    backlog.put(Waiting(place, chunk_of([1, 2, 3, 4, 5], Context(run)), 0))
    first = backlog.take()
    assert first is not None
    assert first.chunk.data == [1, 2, 3]

    rest = Waiting(place, chunk_of([2, 3], Context(run)), 1)
    backlog.put_back(rest)

    assert [waiting.chunk.data for waiting in iter(backlog.take, None)] == [[2, 3], [4, 5]]
    assert backlog.size == 0


def test_a_key_in_work_is_not_taken_by_another_worker() -> None:
    run = run_books()
    backlog = Backlog(2)
    place = place_with()
    for data, key in ((1, "a"), (2, "a"), (3, "b")):
        backlog.put(Waiting(place, chunk_of([data], Context(run)), 0, key))

    first, second = backlog.take(), backlog.take()
    assert first is not None
    assert second is not None
    assert (first.chunk.data, second.chunk.data) == ([1], [3])
    assert backlog.take() is None
    assert backlog.first_place() is None

    assert backlog.release("a")
    third = backlog.take()
    assert third is not None
    assert third.chunk.data == [2]
    assert not backlog.release("b")
    assert not backlog.release("a")


def test_a_forgotten_key_costs_nothing() -> None:
    run = run_books()
    backlog = Backlog(1)
    for key in range(100):
        backlog.put(Waiting(place_with(), chunk_of([key], Context(run)), 0, key))
        assert backlog.take() is not None
        backlog.release(key)

    assert not backlog._keyed
    assert not backlog._turns


@define(eq=False)
class Worker:
    waiting: Waiting
    data: list[int] = field(factory=list)


class BacklogMachine(RuleBasedStateMachine):
    """Any mixture of putting, taking, stopping halfway and reporting: each number passes once, each stream of work in order."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = 3
        self.backlog = Backlog(self.workers)
        self.run = run_books()
        self.place = place_with()
        self.next = 0
        self.in_work: list[Worker] = []
        # (key, priority) -> what was put, and what was taken to its end
        self.put_in: dict[tuple[Any, int], list[int]] = {}
        self.begun: dict[tuple[Any, int], list[int]] = {}

    @rule(
        count=st.integers(1, 6),
        key=st.sampled_from([None, "a", "b", 3]),
        priority=st.sampled_from([0, 0, 7]),
    )
    def put(self, count: int, key: Any, priority: int) -> None:
        if key is not None:
            priority = 0  # what has one key has one stream, so that its order can be told
        data = list(range(self.next, self.next + count))
        self.next += count
        self.put_in.setdefault((key, priority), []).extend(data)
        self.backlog.put(Waiting(self.place, chunk_of(data, Context(self.run, None, priority)), data[0], key))

    @rule(estimate=st.sampled_from([0.0, 1e-6, 1e-3]), allowed=st.integers(1, 5))
    def the_pace_changes(self, estimate: float, allowed: int) -> None:
        self.place.pace.estimate, self.place.pace.allowed = estimate, allowed

    @precondition(lambda self: len(self.in_work) < self.workers)
    @rule()
    def a_worker_takes(self) -> None:
        expected = self.backlog.first_place() is not None
        waiting = self.backlog.take()
        assert (waiting is not None) == expected
        if waiting is None:
            return
        assert waiting.sequence == waiting.chunk.data[0]  # every number is its own place in the order
        if waiting.key is not None:
            assert waiting.key not in [worker.waiting.key for worker in self.in_work]
        self.in_work.append(Worker(waiting))

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def a_worker_reports(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.in_work))
        waiting = worker.waiting
        key = (waiting.key, waiting.chunk.priority)
        # Without a key several workers have parts of one stream: what they have begun is compared unordered.
        done = data.draw(st.integers(1, len(waiting.chunk.data)))
        self.begun.setdefault(key, []).extend(waiting.chunk.data[:done])
        rest = waiting.chunk.data[done:]
        self.in_work.remove(worker)
        if rest:
            back = Waiting(
                self.place, chunk_of(rest, waiting.chunk.context), waiting.sequence + done, waiting.key
            )
            self.backlog.put_back(back)
        if waiting.key is not None:
            self.backlog.release(waiting.key)

    @invariant()
    def every_number_is_in_one_place(self) -> None:
        waiting = [number for each in self.backlog for number in each.chunk.data]
        in_work = [number for worker in self.in_work for number in worker.waiting.chunk.data]
        begun = [number for numbers in self.begun.values() for number in numbers]
        assert sorted(waiting + in_work + begun) == list(range(self.next))
        assert self.backlog.size == len(waiting)

    def teardown(self) -> None:
        while self.in_work or self.backlog.first_place() is not None:
            for worker in list(self.in_work):
                key = (worker.waiting.key, worker.waiting.chunk.priority)
                self.begun.setdefault(key, []).extend(worker.waiting.chunk.data)
                self.in_work.remove(worker)
                if worker.waiting.key is not None:
                    self.backlog.release(worker.waiting.key)
            self.a_worker_takes()
        for key, numbers in self.put_in.items():
            if key[0] is None:
                assert sorted(self.begun[key]) == numbers
            else:
                assert self.begun[key] == numbers


TestBacklog = BacklogMachine.TestCase


@given(st.lists(st.integers(1, 5), max_size=20))
def test_one_worker_takes_everything_in_order(sizes: list[int]) -> None:
    run = run_books()
    backlog = Backlog(1)
    numbers = iter(range(1000))
    for size in sizes:
        data = [next(numbers) for _ in range(size)]
        backlog.put(Waiting(place_with(1e-4, 3), chunk_of(data, Context(run)), 0))

    taken = [number for waiting in iter(backlog.take, None) for number in waiting.chunk.data]

    assert taken == list(range(sum(sizes)))


# --- the reorder buffer


def shuffled_groups() -> st.SearchStrategy[list[tuple[int, int]]]:
    """Groups of a sequence as (first number, size), in any order."""

    def groups(sizes: list[int]) -> list[tuple[int, int]]:
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        return list(zip(starts, sizes, strict=True))

    return st.lists(st.integers(1, 4), max_size=12).map(groups).flatmap(st.permutations)


@given(shuffled_groups())
def test_outcomes_leave_in_the_order_of_arrival(groups: list[tuple[int, int]]) -> None:
    reorder = Reorder()
    settled: list[int] = []
    for arrived, (first, size) in enumerate(groups, 1):
        reorder.add(first, size, partial(settled.extend, range(first, first + size)))
        # What has left is always a beginning of the sequence, and nothing waits that could leave.
        assert settled == list(range(len(settled)))
        assert len(settled) not in {start for start, _ in groups[:arrived]}

    assert settled == list(range(sum(size for _, size in groups)))


def test_each_outcome_is_settled_once() -> None:
    reorder = Reorder()
    calls: Counter[int] = Counter()
    for number in (2, 0, 1, 3):
        reorder.add(number, 1, partial(calls.update, [number]))

    assert calls == Counter([0, 1, 2, 3])


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), max_size=8), st.data())
def test_backlog_and_reorder_together_keep_the_order_of_any_workers(
    batches: list[list[int]], data: st.DataObject
) -> None:
    """Workers take, stop halfway and report in any order; what leaves is what was put, in its order."""
    backlog, reorder, run = Backlog(2), Reorder(), run_books()
    place = place_with(1e-4, 3)
    for batch in batches:
        backlog.put(Waiting(place, chunk_of(list(batch), Context(run)), reorder.handed))
        reorder.handed += len(batch)
    out: list[int] = []
    in_work: deque[Waiting] = deque()

    def report(waiting: Waiting) -> None:
        done = data.draw(st.integers(1, len(waiting.chunk.data)))
        begun, rest = waiting.chunk.data[:done], waiting.chunk.data[done:]
        if rest:
            backlog.put_back(Waiting(place, chunk_of(rest, Context(run)), waiting.sequence + done))
        reorder.add(waiting.sequence, done, lambda: out.extend(begun))

    def may_take() -> Iterator[Waiting]:
        while len(in_work) < 2 and (waiting := backlog.take()) is not None:
            yield waiting

    while backlog.first_place() is not None or in_work:
        for waiting in may_take():
            in_work.append(waiting)
        index = data.draw(st.integers(0, len(in_work) - 1))
        waiting = in_work[index]
        del in_work[index]
        report(waiting)

    assert out == [number for batch in batches for number in batch]
