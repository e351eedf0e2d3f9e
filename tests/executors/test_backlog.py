"""How much is handed to whom: nothing is lost, doubled or reordered on the way through backlog and reorder."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flowrt.engine.chunks import Chunk
from flowrt.engine.contract import Reorder
from flowrt.engine.ledger import Books
from flowrt.engine.meters import AHEAD, GROUPS_AHEAD, GROWTH, QUANTUM, Pace
from flowrt.engine.places import Handler
from flowrt.executors.backlog import Backlog, KeyedLane, Taken, ended_alike
from flowrt.messages import CHUNK_SIZE, Context, Trunk
from flowrt.ports import Port

ROOT = Trunk().root
HANDLER = Handler(Port.parse("operation"), None)


def run_books() -> Any:
    return Books(1000).open_run()


def chunk_of(data: list[Any], context: Context | list[Context]) -> Chunk:
    return Chunk(HANDLER, data, context, range(len(data)), ROOT)


@define(eq=False)
class Place:
    """What a backlog asks of an operation's place."""

    pace: Pace = Factory(Pace)
    ordered: bool = False


def place_with(estimate: float = 0.0, allowed: int = 1, *, ordered: bool = False) -> Any:
    place = Place(ordered=ordered)
    place.pace.estimate, place.pace.allowed = estimate, allowed
    return place


def keyed(*keys: Any) -> tuple[list[Any], dict[Any, None]]:
    return list(keys), dict.fromkeys(keys)


def take(backlog: Backlog) -> Taken:
    taken = backlog.take()
    assert taken is not None
    return taken


def take_all(backlog: Backlog) -> list[Taken]:
    """Take group after group, each finished before the next."""
    found = []
    while (taken := backlog.take()) is not None:
        backlog.finish(taken, len(taken.chunk.data))
        found.append(taken)
    return found


def data_of(taken: list[Taken]) -> list[list[Any]]:
    return [each.chunk.data for each in taken]


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


def test_workers_may_be_ahead_by_a_chunk_or_by_some_groups_each() -> None:
    slow = place_with(estimate=1.0, allowed=CHUNK_SIZE).pace
    cheap = place_with(estimate=1e-8, allowed=CHUNK_SIZE).pace

    assert Pace().ahead(64) == slow.ahead(64) == AHEAD
    assert cheap.ahead(4) == GROUPS_AHEAD * 4 * CHUNK_SIZE


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

    assert ended_alike(chunk_of([1, 2, 3, 4], contexts), 9) == (2, True)
    assert ended_alike(chunk_of([3, 4], contexts[2:]), 9) == (1, False)
    assert ended_alike(chunk_of([1, 2], contexts[:2]), 9) == (2, True)
    assert ended_alike(chunk_of([1, 2, 3], contexts[0]), 9) == (3, True)
    assert ended_alike(chunk_of([1, 2, 3], contexts[0]), 2) == (2, True)
    assert ended_alike(chunk_of([1, 2, 3, 4], contexts), 1) == (1, True)


def test_a_worker_does_not_mix_runs_that_have_ended_with_others() -> None:
    ended, open_run = run_books(), run_books()
    ended.ended = True
    backlog = Backlog(1)
    contexts = [Context(ended), Context(ended), Context(open_run)]
    backlog.put(place_with(1e-6, 1000, ordered=True), chunk_of(["a", "b", "c"], contexts))

    taken = take_all(backlog)

    assert data_of(taken) == [["a", "b"], ["c"]]
    assert [each.sequence for each in taken] == [0, 2]
    assert [each.ended for each in taken] == [True, False]


def test_a_worker_does_not_mix_runs_that_have_ended_with_others_of_the_same_keys() -> None:
    ended, open_run = run_books(), run_books()
    ended.ended = True
    backlog = Backlog(1)
    contexts = [Context(ended), Context(open_run), Context(ended), Context(open_run)]
    backlog.put(place_with(1e-6, 1000), chunk_of([0, 1, 2, 3], contexts), keyed("a", "a", "b", "c"))

    taken = take_all(backlog)

    assert [(each.chunk.data, each.ended) for each in taken] == [([0], True), ([2], True), ([3, 1], False)]


# --- the backlog, worked by several workers


def test_a_higher_priority_is_taken_first() -> None:
    """B160: by workers, too."""
    run = run_books()
    backlog = Backlog(1)
    place = place_with()
    for priority in (0, 5, -1, 5):
        backlog.put(place, chunk_of([priority], Context(run, None, priority)))

    assert data_of(take_all(backlog)) == [[5], [5], [0], [-1]]


def test_what_a_stopped_group_has_not_begun_goes_first_again() -> None:
    """B171."""
    run = run_books()
    backlog = Backlog(1)
    backlog.put(place_with(1e-6, 3), chunk_of([1, 2, 3, 4, 5], Context(run)))
    first = take(backlog)
    assert first.chunk.data == [1, 2, 3]

    backlog.put_back(first, 1, chunk_of([2, 3], Context(run)))
    backlog.finish(first, 1)

    assert data_of(take_all(backlog)) == [[2, 3], [4, 5]]
    assert backlog.size == 0


def test_operations_of_one_pool_take_turns() -> None:
    run = run_books()
    backlog = Backlog(1)
    one, other = place_with(1e-6, 2), place_with(1e-6, 2)
    backlog.put(one, chunk_of([1, 2, 3, 4, 5], Context(run)))
    backlog.put(other, chunk_of([10, 11, 12], Context(run)))

    assert data_of(take_all(backlog)) == [[1, 2], [10, 11], [3, 4], [12], [5]]


# --- in order, within a window


@pytest.fixture
def window_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "ahead", lambda self, workers: 3)


@pytest.mark.usefixtures("window_of_three")
def test_workers_run_ahead_of_the_oldest_unfinished_message_no_farther_than_the_window() -> None:
    backlog = Backlog(9)
    place = place_with(1.0, ordered=True)
    backlog.put(place, chunk_of(list(range(9)), Context(run_books())))
    slow, *others = (take(backlog) for _ in range(3))

    assert not backlog.ready
    assert backlog.take() is None
    for each in others:
        backlog.finish(each, 1)
    assert backlog.take() is None
    assert backlog.first_place() is None
    backlog.finish(slow, 1)
    assert data_of([take(backlog) for _ in range(3)]) == [[3], [4], [5]]
    assert backlog.take() is None


@pytest.mark.usefixtures("window_of_three")
def test_a_group_ends_where_the_window_does() -> None:
    backlog = Backlog(2)
    backlog.put(place_with(1e-6, 1000, ordered=True), chunk_of(list(range(9)), Context(run_books())))

    assert data_of(take_all(backlog)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.usefixtures("window_of_three")
def test_what_is_not_in_order_goes_on_beside_a_full_window() -> None:
    backlog = Backlog(9)
    run = run_books()
    full, other, plain = place_with(1.0, ordered=True), place_with(1.0, ordered=True), place_with(1.0)
    backlog.put(full, chunk_of([0, 1, 2, 3], Context(run)))
    for _ in range(3):
        take(backlog)
    backlog.put(plain, chunk_of(["plain"], Context(run)))
    backlog.put(other, chunk_of(["ordered"], Context(run)))

    assert data_of([take(backlog), take(backlog)]) == [["plain"], ["ordered"]]
    assert backlog.take() is None


@pytest.mark.usefixtures("window_of_three")
def test_a_message_of_another_priority_has_a_window_and_an_order_of_its_own() -> None:
    backlog = Backlog(9)
    run = run_books()
    place = place_with(1.0, ordered=True)
    backlog.put(place, chunk_of([0, 1, 2, 3], Context(run)))
    below = [take(backlog) for _ in range(3)]
    backlog.put(place, chunk_of(["urgent"], Context(run, None, 5)))

    urgent = take(backlog)
    assert urgent.chunk.data == ["urgent"]
    assert urgent.sequence == 0
    assert urgent.lane.reorder is not below[0].lane.reorder
    assert backlog.take() is None


@pytest.mark.usefixtures("window_of_three")
def test_rests_come_back_in_order_whichever_comes_first() -> None:
    """The oldest message must be the first to be taken: it is the only one that moves the window."""
    run = run_books()
    backlog = Backlog(2)
    place = place_with(1e-6, 2, ordered=True)
    backlog.put(place, chunk_of([0, 1, 2, 3], Context(run)))
    one, other = take(backlog), take(backlog)
    assert data_of([one, other]) == [[0, 1], [2]]

    backlog.put_back(one, 1, chunk_of([1], Context(run)))
    backlog.put_back(other, 0, chunk_of([2], Context(run)))
    backlog.finish(other, 0)
    backlog.finish(one, 1)

    assert [(each.sequence, each.chunk.data) for each in take_all(backlog)] == [(1, [1]), (2, [2]), (3, [3])]


def test_a_lane_is_forgotten_when_nothing_of_it_waits_or_is_in_work() -> None:
    run = run_books()
    backlog = Backlog(1)
    for place in (place_with(), place_with(ordered=True)):
        for priority in range(5):
            backlog.put(place, chunk_of([1], Context(run, None, priority)))
    taken = [take(backlog) for _ in range(10)]
    assert len(backlog._lanes) == 10

    for each in taken:
        backlog.finish(each, 1)
    assert not backlog._lanes
    assert not backlog._turns


# --- by key


def test_a_key_in_work_is_not_taken_by_another_worker() -> None:
    backlog = Backlog(2)
    backlog.put(place_with(), chunk_of([1, 2, 3], Context(run_books())), keyed("a", "a", "b"))

    first, second = take(backlog), take(backlog)
    assert data_of([first, second]) == [[1], [3]]
    assert backlog.take() is None
    assert backlog.first_place() is None

    backlog.finish(first, 1)
    assert take(backlog).chunk.data == [2]
    backlog.finish(second, 1)
    assert backlog.take() is None


def test_a_key_in_work_is_not_taken_with_another_priority_either() -> None:
    run = run_books()
    backlog = Backlog(3)
    place = place_with()
    for priority in (0, 5):
        data = [(priority, "a"), (priority, "b")]
        backlog.put(place, chunk_of(data, Context(run, None, priority)), keyed("a", "b"))

    high = [take(backlog), take(backlog)]
    assert data_of(high) == [[(5, "a")], [(5, "b")]]
    assert backlog.take() is None
    backlog.finish(high[1], 1)
    assert take(backlog).chunk.data == [(0, "b")]
    assert backlog.take() is None


def test_one_worker_takes_a_chunk_of_many_keys_that_is_no_more_than_a_group() -> None:
    backlog = Backlog(2)
    place = place_with(1e-6, 100)
    data = list(range(60))
    backlog.put(place, chunk_of(data, Context(run_books())), keyed(*(number % 7 for number in data)))

    assert data_of(take_all(backlog)) == [data]


def test_a_worker_takes_as_many_keys_as_make_a_group() -> None:
    backlog = Backlog(2)
    place = place_with(1e-4, 100)
    data = list(range(60))
    backlog.put(place, chunk_of(data, Context(run_books())), keyed(*(number % 12 for number in data)))

    first, second = take(backlog), take(backlog)
    assert first.chunk.data == [0, 12, 24, 36, 48, 1, 13, 25, 37, 49]
    assert list(first.chunk.positions) == first.chunk.data
    assert second.chunk.data == [2, 14, 26, 38, 50, 3, 15, 27, 39, 51]


def test_chunks_of_different_runs_stay_apart_and_those_of_one_run_come_together() -> None:
    one, other = run_books(), run_books()
    backlog = Backlog(1)
    place = place_with(1e-6, 10)
    backlog.put(place, chunk_of([0], Context(one)), keyed("a"))
    first = take(backlog)
    for number, run in enumerate((one, one, other), 1):
        backlog.put(place, chunk_of([number], Context(run)), keyed("a"))
    backlog.finish(first, 1)

    taken = take_all(backlog)

    assert data_of(taken) == [[1, 2], [3]]
    assert [each.chunk.context_at(0).scope for each in taken] == [one, other]


def test_a_key_does_not_wait_for_ever_for_a_call_with_another() -> None:
    """A chunk that was thought to be cheap waits whole for one of its keys; when that does not come to its end, the others go on."""
    run = run_books()
    backlog = Backlog(2)
    place = place_with(1e-6, 100)
    backlog.put(place, chunk_of([0, 1], Context(run)), keyed("slow", "b"))
    backlog.put(place, chunk_of([2, 3], Context(run)), keyed("slow", "c"))
    stuck = take(backlog)
    assert backlog.take() is None

    backlog.hurry()
    assert backlog.take() is None, "it may just have begun"
    backlog.hurry()
    assert take(backlog).chunk.data == [3]
    assert backlog.take() is None
    backlog.finish(stuck, 2)
    assert take(backlog).chunk.data == [2]


def test_what_moves_is_not_hurried() -> None:
    run = run_books()
    backlog = Backlog(2)
    place = place_with(1e-6, 100)
    for number in range(4):
        backlog.put(place, chunk_of([number, number], Context(run)), keyed("a", "b"))
    for number in range(4):
        taken = take(backlog)
        assert taken.chunk.data == [number, number]
        backlog.hurry()
        assert backlog.take() is None
        backlog.finish(taken, 2)


def test_a_key_that_is_worked_off_costs_nothing() -> None:
    run = run_books()
    backlog = Backlog(1)
    place = place_with()
    backlog.put(place, chunk_of([0], Context(run)), keyed("stays"))
    stays = take(backlog)
    for key in range(100):
        backlog.put(place, chunk_of([key], Context(run)), keyed(key))
        backlog.finish(take(backlog), 1)

    lane = stays.lane
    assert isinstance(lane, KeyedLane)
    assert not lane._lines
    assert lane.keys.busy == {"stays"}
    backlog.finish(stays, 1)
    assert not backlog._keys
    assert not backlog._lanes


# --- any mixture


@define(eq=False)
class Stream:
    """What goes one way: of one place with one priority, and with one key, where there are keys."""

    put: list[int] = Factory(list)
    begun: list[int] = Factory(list)


class BacklogMachine(RuleBasedStateMachine):
    """Any mixture of putting, taking, stopping halfway and reporting: each number passes once, in the order that is promised."""

    WINDOW = 4

    def __init__(self) -> None:
        super().__init__()
        self.workers = 3
        self.backlog = Backlog(self.workers)
        self.run = run_books()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Pace, "ahead", lambda pace, workers: self.WINDOW)
        self.places = {kind: place_with(ordered=kind == "ordered") for kind in ("plain", "ordered", "keyed")}
        self.streams: dict[tuple[str, int, Any], Stream] = {}
        self.settled: dict[int, list[int]] = {}
        self.next = 0
        self.in_work: list[Taken] = []

    def stream(self, kind: str, priority: int, number: int) -> Stream:
        key = self.key(number) if kind == "keyed" else None
        return self.streams.setdefault((kind, priority, key), Stream())

    @staticmethod
    def key(number: int) -> int:
        return number % 3

    @rule(
        kind=st.sampled_from(["plain", "ordered", "keyed"]),
        numbers=st.lists(st.integers(0, 2), min_size=1, max_size=6),
        priority=st.sampled_from([0, 0, 7]),
    )
    def put(self, kind: str, numbers: list[int], priority: int) -> None:
        data = []
        for number in numbers:
            self.next += 1
            data.append(3 * self.next + number)
            self.stream(kind, priority, data[-1]).put.append(data[-1])
        keys = keyed(*map(self.key, data)) if kind == "keyed" else None
        chunk = chunk_of(data, Context(self.run, None, priority))
        if keys is None:
            self.backlog.put(self.places[kind], chunk)
        else:
            self.backlog.put(self.places[kind], chunk, keys)

    @rule(
        kind=st.sampled_from(["plain", "ordered", "keyed"]),
        estimate=st.sampled_from([0.0, 1e-6, 3e-4, 1e-3]),
        allowed=st.integers(1, 5),
    )
    def the_pace_changes(self, kind: str, estimate: float, allowed: int) -> None:
        pace = self.places[kind].pace
        pace.estimate, pace.allowed = estimate, allowed

    @rule()
    def the_engine_looks(self) -> None:
        self.backlog.hurry()

    def kind_of(self, taken: Taken) -> str:
        return next(kind for kind, place in self.places.items() if place is taken.lane.place)

    @precondition(lambda self: len(self.in_work) < self.workers)
    @rule()
    def a_worker_takes(self) -> None:
        expected = self.backlog.ready
        assert (self.backlog.first_place() is not None) == expected
        taken = self.backlog.take()
        assert (taken is not None) == expected
        if taken is None:
            return
        if self.kind_of(taken) == "keyed":
            mine = {self.key(number) for number in taken.chunk.data}
            assert mine == set(taken.keys[1])
            for other in self.in_work:
                assert mine.isdisjoint(other.keys[1])
        self.in_work.append(taken)

    @precondition(lambda self: self.in_work)
    @rule(data=st.data())
    def a_worker_reports(self, data: st.DataObject) -> None:
        taken = data.draw(st.sampled_from(self.in_work))
        self.report(taken, data.draw(st.integers(1, len(taken.chunk.data))))

    def report(self, taken: Taken, done: int) -> None:
        kind, priority = self.kind_of(taken), taken.chunk.priority
        begun, rest = taken.chunk.data[:done], taken.chunk.data[done:]
        self.in_work.remove(taken)
        if rest:
            self.backlog.put_back(taken, done, chunk_of(rest, taken.chunk.context))
        if kind == "ordered":
            reorder = taken.lane.reorder
            assert reorder is not None
            reorder.add(taken.sequence, done, lambda: self.settled.setdefault(priority, []).extend(begun))
        for number in begun:
            self.stream(kind, priority, number).begun.append(number)
        self.backlog.finish(taken, done)

    @invariant()
    def every_number_is_in_one_place(self) -> None:
        waiting = [number for _, chunk in self.backlog for number in chunk.data]
        in_work = [number for taken in self.in_work for number in taken.chunk.data]
        begun = [number for stream in self.streams.values() for number in stream.begun]
        put = [number for stream in self.streams.values() for number in stream.put]
        assert sorted(waiting + in_work + begun) == sorted(put)
        assert self.backlog.size == len(waiting)

    @invariant()
    def what_has_left_in_order_is_a_beginning(self) -> None:
        for priority, numbers in self.settled.items():
            assert self.streams["ordered", priority, None].put[: len(numbers)] == numbers

    @invariant()
    def nobody_is_ahead_of_the_window(self) -> None:
        for priority in (0, 7):
            stream = self.streams.get(("ordered", priority, None), Stream())
            taken = [
                number
                for each in self.in_work
                if self.kind_of(each) == "ordered" and each.chunk.priority == priority
                for number in each.chunk.data
            ]
            unfinished = [number for number in stream.put if number not in stream.begun]
            if taken:
                ahead = stream.put.index(max(taken)) - stream.put.index(unfinished[0])
                assert ahead < self.WINDOW

    @invariant()
    def nothing_is_stuck(self) -> None:
        if self.backlog.size:
            assert self.backlog.ready or self.in_work

    def teardown(self) -> None:
        while self.in_work or self.backlog.ready:
            for taken in list(self.in_work):
                self.report(taken, len(taken.chunk.data))
            self.a_worker_takes()
        for (kind, priority, _), stream in self.streams.items():
            if kind == "plain":
                assert sorted(stream.begun) == stream.put
            elif kind == "keyed":
                assert stream.begun == stream.put
            else:
                assert self.settled[priority] == stream.put
        assert not self.backlog._lanes
        assert not self.backlog._keys
        assert not self.backlog._turns
        self.patch.undo()


TestBacklog = BacklogMachine.TestCase


@given(st.lists(st.integers(1, 5), max_size=20))
def test_one_worker_takes_everything_in_order(sizes: list[int]) -> None:
    run = run_books()
    backlog = Backlog(1)
    place = place_with(1e-4, 3)
    numbers = iter(range(1000))
    for size in sizes:
        data = [next(numbers) for _ in range(size)]
        backlog.put(place, chunk_of(data, Context(run)))

    taken = [number for each in take_all(backlog) for number in each.chunk.data]

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


# --- whom to wake


def test_one_worker_is_woken_for_each_long_call_and_none_for_what_is_soon_done() -> None:
    """B174 (BUG)."""
    run = run_books()
    for estimate, wanted in ((0.0, 1), (1e-9, 0), (1e-4, 1), (1.0, 6)):
        backlog = Backlog(9)
        backlog.put(place_with(estimate, 1), chunk_of(list(range(6)), Context(run)))
        assert backlog.wanted() == wanted
        backlog.put(place_with(1.0, 1, ordered=True), chunk_of([1], Context(run, None, 5)))
        assert backlog.wanted() == 1


def test_a_worker_that_comes_back_soon_wakes_nobody() -> None:
    backlog = Backlog(9)
    place = place_with(1e-6, 8)
    backlog.put(place, chunk_of(list(range(1_000)), Context(run_books())))
    assert backlog.wanted() == 1

    taken = take(backlog)

    assert len(taken.chunk.data) == 8
    assert backlog.wanted(taken) == 0
    place.pace.estimate = 1e-3
    assert backlog.wanted(taken) > 1


def test_nobody_is_woken_for_nothing() -> None:
    assert Backlog(9).wanted() == 0
    assert Backlog(9).first_place() is None
