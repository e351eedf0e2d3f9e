"""Every message accounted for: the exact numbers of small flows, and the places named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pytest

from flowrt import Emit, FlowBuildError, FlowError, FlowRuntime, Message, Run, RunCancelledError
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from tests.kit.flows import (
    Bench,
    assert_ledger,
    counters,
    every_mode,
    every_schedule_on_one_thread,
    flow_of,
    guarded_bracket,
    real_workers,
    wire,
)
from tests.kit.functions import SECONDS, Gate, arrived, increment, refuse, same


def absorb(data: Any) -> None:
    pass


def repeat(times: int, on_data: Callable[[int], None]) -> None:
    for index in range(times):
        on_data(index)


def repeat_and_raise(times: int, on_data: Callable[[int], None]) -> None:
    repeat(times, on_data)
    raise ValueError("at the end")


def sort_out(number: int, odd: Callable[[int], None], even: Callable[[int], None]) -> None:
    (odd if number % 2 else even)(number)


def both(data: Any, left: Callable[[Any], None], right: Callable[[Any], None]) -> None:
    left(data)
    right(data)


def count(limit: int) -> Iterator[int]:
    yield from range(limit)


def count_and_raise(limit: int) -> Iterator[int]:
    yield from range(limit)
    raise ValueError("at the end")


def alternate(limit: int) -> Iterator[Any]:
    for index in range(limit):
        yield Emit("odd", index) if index % 2 else index


def refuse_odd(number: int) -> int:
    if number % 2:
        raise ValueError("odd")
    return number


FUNCS = {"same": same, "same 2": same, "refuse": refuse, "refuse odd": refuse_odd}
ACTIONS: dict[str, Callable[..., Any]] = {
    "absorb": absorb,
    "repeat": repeat,
    "repeat and raise": repeat_and_raise,
    "sort": sort_out,
    "both": both,
}
GENERATORS = {"count": count, "count and raise": count_and_raise, "alternate": alternate}


@attrs.frozen
class Case:
    """A flow, its inputs on `.in` (one run), and what its ledger must show beside zeros."""

    name: str
    chains: tuple[str, ...]
    inputs: tuple[Any, ...]
    expected: Mapping[str, int]
    others: tuple[Callable[[], Any], ...] = ()
    fails: bool = False


def case(
    name: str,
    *chains: str,
    inputs: tuple[Any, ...] = (1,),
    others: Any = (),
    fails: bool = False,
    **expected: int,
) -> Case:
    return Case(name, chains, inputs, expected, tuple(others), fails)


def bracket_cases(
    name: str, work: str, *lists: list[Any], on_missing: Any = "fail", fails: bool = False, **rest: int
) -> list[Case]:
    """`.in -> scatter -> work -> gather -> .out`, with a count stream and without; `rest` leaves the count out.

    With the stream the gather absorbs the count of each list on arrival, without it the count is unconnected.
    """
    chains = (".in -> scatter", f"scatter.stream -> {work} -> gather.stream", "gather -> .out")
    others = (lambda: Scatter("scatter"), lambda: Gather("gather", on_missing=on_missing))
    counted = rest | {"absorbed": rest.get("absorbed", 0) + len(lists)}
    return [
        Case(f"{name}, counted", (*chains, "scatter.count -> gather.count"), lists, counted, others, fails),
        Case(f"{name}, drained", chains, lists, rest | {"unconnected": len(lists)}, others, fails),
    ]


CASES = [
    # One in, one out: the same message goes on.
    case("straight through", ".in -> .out", accepted=1, delivered=1),
    case("a function", ".in -> same -> .out", inputs=(1, 2, 3), accepted=3, delivered=3),
    case("a chain", ".in -> same -> same 2 -> same#1 -> .out", inputs=(1, 2), accepted=2, delivered=2),
    case("no input", ".in -> same -> .out", inputs=()),
    # Ends.
    case("absorbed", ".in -> absorb", inputs=(1, 2), accepted=2, absorbed=2),
    case("failed", ".in -> refuse -> .out", inputs=(1, 2), accepted=2, failed=2, fails=True),
    case("some failed", ".in -> refuse odd -> .out", inputs=(1, 2, 3, 4), accepted=4, failed=2, delivered=2, fails=True),
    case("unconnected output", ".in -> same", inputs=(1, 2), accepted=2, unconnected=2),
    case("one port unconnected", ".in -> sort", "sort.odd -> .out", inputs=(1, 2, 3), accepted=3, delivered=2, unconnected=1),
    # Births: m - 1 for m messages, each emission at least one.
    case("fan-out of the input", ".in -> same -> .out", ".in -> .raw", accepted=1, born=1, delivered=2),
    case("fan-out of an output", ".in -> same -> .a", "same -> .b", "same -> .c", inputs=(1, 2), accepted=2, born=4, delivered=6),
    case("a stream twice", ".in -> same -> .out", "same -> .out", accepted=1, born=1, delivered=2),
    case("fan-out to an end", ".in -> same -> .out", "same -> absorb", accepted=1, born=1, delivered=1, absorbed=1),
    case("several emissions", ".in -> repeat -> .out", inputs=(3,), accepted=1, born=2, delivered=3),
    case("no emission", ".in -> repeat -> .out", inputs=(0,), accepted=1, absorbed=1),
    case("emissions by targets", ".in -> repeat -> .a", "repeat -> .b", inputs=(3, 0), accepted=2, born=5, delivered=6, absorbed=1),
    case("emissions without targets", ".in -> repeat", inputs=(3,), accepted=1, born=2, unconnected=3),
    case("two ports", ".in -> both", "both.left -> .a", "both.left -> .b", inputs=(1,), accepted=1, born=2, delivered=2, unconnected=1),
    case(
        "emissions before a failure", ".in -> repeat and raise -> .out", inputs=(2, 0), accepted=2, born=2, delivered=2, failed=2, fails=True
    ),
    # Generators.
    case("a generator", ".in -> count -> .out", inputs=(3, 1), accepted=2, born=2, delivered=4),
    case("an empty generator", ".in -> count -> .out", inputs=(0,), accepted=1, absorbed=1),
    case("a generator with two targets", ".in -> count -> .a", "count -> .b", inputs=(3,), accepted=1, born=5, delivered=6),
    case("a generator without targets", ".in -> count", inputs=(3,), accepted=1, born=2, unconnected=3),
    case("a generator's ports", ".in -> alternate -> .out", inputs=(5,), accepted=1, born=4, delivered=3, unconnected=2),
    case("a raising generator", ".in -> count and raise -> .out", inputs=(3,), accepted=1, born=3, delivered=3, failed=1, fails=True),
    case("a generator that raises at once", ".in -> count and raise -> .out", inputs=(0,), accepted=1, failed=1, fails=True),
    case("a long generator", ".in -> count -> same -> absorb", inputs=(2000,), accepted=1, born=1999, absorbed=2000),
    # Scattered lists: n items and the count make n births; a list of k items ends k - 1.
    *bracket_cases("a list", "same", [1, 2, 3], accepted=1, born=3, delivered=1, absorbed=2),
    *bracket_cases("an empty list", "same", [], accepted=1, born=1, delivered=1),
    *bracket_cases("three lists", "same", [1], [], [1, 2], accepted=3, born=4, delivered=3, absorbed=1),
    *bracket_cases(
        "failed items skipped", "refuse odd", [1, 2, 3, 4, 5], on_missing="skip", accepted=1, born=5, failed=3, absorbed=1, delivered=1
    ),
    *bracket_cases(
        "failed items collected", "refuse odd", [1, 2, 3, 4, 5], on_missing="collect", accepted=1, born=5, failed=3, absorbed=1, delivered=1
    ),
    *bracket_cases("a list given up", "refuse odd", [1, 2, 3, 4, 5], fails=True, accepted=1, born=5, failed=3, discarded=2),
    *bracket_cases("a wholly failed list skipped", "refuse", [1, 2], on_missing="skip", accepted=1, born=3, failed=2, delivered=1),
    case(
        "a list filtered with a count, skipped", ".in -> scatter", "scatter.stream -> sort", "sort.odd -> gather.stream", "sort.even -> absorb",
        "scatter.count -> gather.count", "gather -> .out",
        inputs=([1, 2, 3, 4, 5],), others=(lambda: Scatter("scatter"), lambda: Gather("gather", on_missing="skip")),
        accepted=1, born=5, absorbed=2 + 1 + 2, delivered=1,
    ),
    case(
        "two gathers of one scatter", ".in -> scatter", "scatter.stream -> a.stream", "scatter.stream -> same -> b.stream",
        "scatter.count -> a.count", "scatter.count -> b.count", "a -> .a", "b -> .b",
        inputs=([1, 2, 3],), others=(lambda: Scatter("scatter"), lambda: Gather("a"), lambda: Gather("b")),
        accepted=1, born=7, absorbed=2 + 2 + 2, delivered=2,
    ),
    case(
        "nested lists", ".in -> rows", "rows.stream -> cells", "cells.stream -> same -> row.stream", "cells.count -> row.count",
        "row -> matrix.stream", "rows.count -> matrix.count", "matrix -> .out",
        inputs=([[1, 2, 3], [4]],),
        others=(lambda: Scatter("rows"), lambda: Scatter("cells"), lambda: Gather("row"), lambda: Gather("matrix")),
        # rows: 2 births; cells: 3 + 1; three counts; rows of 3 and 1, a matrix of 2.
        accepted=1, born=6, absorbed=3 + 2 + 0 + 1, delivered=1,
    ),
    case(
        "a string scattered", ".in -> scatter", "scatter.stream -> .out", inputs=("text",), others=(lambda: Scatter("scatter"),),
        accepted=1, failed=1, fails=True,
    ),
    # Causalities: the error at the exception port is born.
    case(
        "a causality passed", ".in -> push -> same -> pop -> .out", others=(lambda: PushCausality("push"), lambda: PopCausality("pop")),
        accepted=1, delivered=1,
    ),
    case(
        "a handled error", ".in -> push -> refuse -> .out", "push.exception -> .error", others=(lambda: PushCausality("push"),),
        inputs=(1, 2), accepted=2, born=2, failed=2, delivered=2,
    ),
    case(
        "an error handled twice", ".in -> push -> refuse -> .out", "push.exception -> .error", "push.exception -> absorb",
        others=(lambda: PushCausality("push"),), accepted=1, born=2, failed=1, delivered=1, absorbed=1,
    ),
    case(
        "an error nobody handles", ".in -> push -> refuse -> .out", others=(lambda: PushCausality("push"),),
        accepted=1, failed=1, fails=True,
    ),
    case("a pop without a push", ".in -> pop -> .out", others=(lambda: PopCausality("pop"),), accepted=1, failed=1, fails=True),
]  # fmt: skip


@every_mode
@pytest.mark.parametrize("each", CASES, ids=lambda each: each.name)
def test_the_ledger_of_a_flow_shows_what_became_of_every_message(bench: Bench, each: Case) -> None:
    with bench.make_runtime() as runtime:
        runtime.add_operations(
            bench.operations(
                *(make() for make in each.others), funcs=FUNCS, actions=ACTIONS, generators=GENERATORS
            )
        )
        wire(runtime, *each.chains)

        run = runtime.process_many(".in", each.inputs)
        if each.fails:
            with pytest.raises(FlowError):
                run.wait(timeout=SECONDS)
        else:
            run.wait(timeout=SECONDS)

    assert_ledger(run, **{name: int(number) for name, number in each.expected.items()})


@every_mode
def test_a_flow_border_is_no_end_and_no_birth(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> same -> .out", ".in -> .raw")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs=FUNCS))
        wire(runtime, ".in -> inner.in", "inner.out -> .a", "inner.out -> .b")

        run = runtime.process(".in", 1)
        run.wait(timeout=SECONDS)

    # Two branches inside; one leaves twice, the other leaves the flow towards nothing.
    assert_ledger(run, accepted=1, born=2, delivered=2, unconnected=1)


@every_mode
def test_the_rows_of_the_ledger_name_the_places_and_add_up(bench: Bench) -> None:
    inner = flow_of("inner", ".in -> sort", "sort.odd -> absorb", "sort.even -> .out")
    with bench.make_runtime() as runtime:
        runtime.add_flow(inner).add_operations(bench.operations(funcs=FUNCS, actions=ACTIONS))
        wire(runtime, ".in -> inner#2.in", "inner#2.out -> refuse#1 -> .out", ".in -> same", ".in -> .raw")

        run = runtime.process_many(".in", range(5))
        with pytest.raises(FlowError):
            run.wait(timeout=SECONDS)

    ended = {
        (place, what): number
        for place, what, _, number in rows(run)
        if what in {"delivered", "absorbed", "failed", "unconnected", "discarded"}
    }
    assert ended == {
        (".raw", "delivered"): 5,
        ("inner#2/absorb", "absorbed"): 2,
        ("refuse#1", "failed"): 3,
        ("same", "unconnected"): 5,
    }
    assert_ledger(run, accepted=5, born=10, delivered=5, absorbed=2, failed=3, unconnected=5)


def rows(run: Any) -> list[tuple[str, str, str, int]]:
    return [(str(row.place), str(row.what), str(row.reason), row.count) for row in run.ledger.places]


@every_mode
def test_the_printed_ledger_shows_every_number_and_place(bench: Bench) -> None:
    with bench.wired(
        ".in -> sort", "sort.odd -> .out", "sort.even -> refuse", ".in -> same", funcs=FUNCS, actions=ACTIONS
    ) as runtime:
        run = runtime.process_many(".in", range(23))
        with pytest.raises(FlowError):
            run.wait(timeout=SECONDS)

    text = str(run.ledger)
    for expected in (
        "in 23",
        "born 23",
        "delivered 11",
        "failed 12",
        "unconnected 23",
        ".out",
        "refuse",
        "same",
    ):
        assert expected in text
    assert len(text.splitlines()) > 3


@every_mode
def test_failures_are_listed_with_their_kind_and_without_data(bench: Bench) -> None:
    with bench.wired(".in -> refuse -> .out", funcs=FUNCS) as runtime:
        run = runtime.process(".in", "secret data")
        with pytest.raises(FlowError):
            run.wait(timeout=SECONDS)

    (row,) = [row for row in rows(run) if row[1] == "failed"]
    assert row[0] == "refuse"
    assert "ValueError" in row[2]
    assert "secret data" not in str(run.ledger)
    assert "refused" not in str(run.ledger)


@real_workers
def test_the_ledger_of_a_run_at_work_shows_what_is_live_and_held(bench: Bench) -> None:
    gate = Gate()
    with bench.wired(
        ".in -> scatter",
        "gather -> .out",
        "scatter.count -> gather.count",
        "scatter.stream -> gather.stream",
        "scatter.stream -> gate -> .end",
        funcs={"gate": gate},
    ) as runtime:
        run = runtime.process(".in", [1, 2, 3])
        arrived(gate.entered)

        try:
            ledger = run.ledger
            assert ledger.balanced
            assert ledger.live >= 3
            assert ledger.accepted == 1
        finally:
            gate.open()

        run.wait(timeout=SECONDS)
    assert_ledger(run, accepted=1, born=6, delivered=4, absorbed=3)


@real_workers
def test_what_a_cancelled_run_leaves_behind_is_discarded_with_a_reason(bench: Bench) -> None:
    gate = Gate()
    with bench.wired(".in -> gate -> .out", funcs={"gate": gate}) as runtime:
        run = runtime.process_many(".in", range(5))
        arrived(gate.entered)

        run.cancel()
        gate.open()
        with pytest.raises(RunCancelledError):
            run.wait(timeout=SECONDS)

    numbers = counters(run)
    assert (numbers["accepted"], numbers["live"], numbers["held"], numbers["delivered"]) == (5, 0, 0, 0)
    assert numbers["discarded"] == 5
    assert run.ledger.balanced
    assert any("cancel" in reason for _, what, reason, _ in rows(run) if what == "discarded")


@every_mode
def test_two_runs_have_ledgers_of_their_own(bench: Bench) -> None:
    with bench.wired(".in -> repeat -> .out", actions=ACTIONS) as runtime:
        first, second = runtime.process(".in", 3), runtime.process(".in", 0)
        first.wait(timeout=SECONDS)
        second.wait(timeout=SECONDS)

    assert_ledger(first, accepted=1, born=2, delivered=3)
    assert_ledger(second, accepted=1, absorbed=1)


# --- Strict runtimes


@every_mode
@pytest.mark.parametrize(
    "chains", [(".in -> same",), (".in -> both -> .x", "both.left -> .out")], ids=["func", "action"]
)
def test_strict_makes_an_unconnected_output_an_error(bench: Bench, chains: tuple[str, ...]) -> None:
    with pytest.raises(FlowError, match=r"same|both\.right"), bench.make_runtime(strict=True) as runtime:
        runtime.add_operations(bench.operations(funcs={"same": same}, actions={"both": both}))
        wire(runtime, *chains)

        runtime.process(".in", 1).wait(timeout=SECONDS)


@every_mode
def test_strict_makes_input_on_an_unconnected_port_an_error(bench: Bench) -> None:
    with pytest.raises(FlowError, match=r"\.elsewhere"), bench.make_runtime(strict=True) as runtime:
        wire(runtime, ".in -> .out")

        runtime.process(".elsewhere", 1).wait(timeout=SECONDS)


@every_mode
def test_strict_leaves_a_wholly_connected_flow_alone(bench: Bench) -> None:
    with bench.wired(
        *guarded_bracket("push -> scatter", "work", "pop -> .out"),
        counted=True,
        strict=True,
        funcs={"work": increment},
    ) as runtime:
        assert runtime.process(".in", [1]).values(timeout=SECONDS) == [[2]]


# --- An oracle beside the ledger


@every_mode
def test_the_ledger_agrees_with_what_taps_and_operations_counted(bench: Bench) -> None:
    entered: dict[str, int] = {}
    calls: dict[str, list[Any]] = {"spread": [], "check": [], "keep": []}

    def spread(number: int) -> Iterator[int]:
        calls["spread"].append(number)
        yield from range(number)

    def check(number: int) -> int:
        calls["check"].append(number)
        return refuse_odd(number)

    def keep(number: int, on_number: Callable[[int], None]) -> None:
        calls["keep"].append(number)
        if number % 4 == 0:
            on_number(number)

    def count_message(message: Message) -> None:
        name = message.port.operation or message.port.name
        entered[name] = entered.get(name, 0) + 1

    with bench.wired(
        ".in -> spread -> check -> keep -> .out",
        "spread -> .raw",
        funcs={"check": check},
        actions={"keep": keep},
        generators={"spread": spread},
    ) as runtime:
        runtime.on_message(count_message)
        failures: list[Any] = []
        runtime.on_exception(failures.append)

        run = runtime.process_many(".in", range(8))
        values = run.values(timeout=SECONDS)

    items = sum(range(8))
    assert entered["spread"] == len(calls["spread"]) == 8
    assert entered["check"] == len(calls["check"]) == entered["raw"] == items
    assert entered["keep"] == len(calls["keep"]) == items - len(failures)
    kept = sum(1 for number in calls["keep"] if number % 4 == 0)
    assert entered["out"] == kept
    assert len(values) == kept + items
    assert_ledger(
        run,
        accepted=8,
        # 0 yields nothing; the others two messages per item.
        born=2 * items - 7,
        absorbed=1 + len(calls["keep"]) - kept,
        failed=len(failures),
        delivered=kept + items,
    )


def test_a_flow_that_does_not_check_out_accepts_nothing() -> None:
    seen: list[Message] = []
    with FlowRuntime() as runtime:
        wire(runtime, ".in -> nowhere", ".in -> .out")
        runtime.on_message(seen.append)

        with pytest.raises(FlowBuildError):
            runtime.process(".in", 1)

    assert seen == []


def unended(run: Run) -> list[tuple[str, str, int]]:
    return [(row.place, row.what, row.count) for row in run.ledger.places if row.what in {"live", "held"}]


@real_workers
def test_of_a_run_under_way_the_ledger_says_where_its_messages_are(bench: Bench) -> None:
    gate = Gate()
    scatter = Scatter("scatter", window=3)
    with bench.make_runtime(name="demo") as runtime:
        runtime.add_operations(bench.operations(scatter, Gather("gather"), funcs={"wait": gate}))
        wire(runtime, ".in -> scatter", "scatter.stream -> wait -> gather.stream", "gather -> .out")
        run = runtime.process(".in", list(range(9)))
        arrived(gate.entered)

        assert unended(run) == [("wait", "live", 3), ("scatter", "live", 1)]
        assert str(run.ledger).startswith("run 1 of demo (under way): in 1 + born 3 = live 4\n")
        assert run.ledger.balanced

        gate.open()
        run.wait(SECONDS)
    assert unended(run) == []


@every_schedule_on_one_thread
def test_the_ledger_says_what_is_held_and_why_while_an_operation_looks(bench: Bench) -> None:
    looks: list[str] = []

    def look(number: int) -> int:
        if number == 2:
            (books,) = runtime._owner.engine.books.runs
            looks.append(str(books.handle.ledger))
        return number

    with bench.wired(
        ".in -> scatter",
        "scatter.stream -> look -> gather.stream",
        "gather -> .out",
        name="demo",
        others=[Scatter("scatter", window=1)],
        funcs={"look": look},
    ) as runtime:
        runtime.process(".in", iter(range(3))).wait(SECONDS)

    assert looks == [
        (
            "run 1 of demo (under way): in 1 + born 3 = live 2 + held 2\n"
            "  .in         in 1\n"
            "  scatter     born 3\n"
            "  scatter     live 1\n"
            "  on its way  live 1\n"
            "  gather      held 2 (its list is not complete)"
        )
    ]
