"""The benchmarks run, each row and curve in a tiny size: they verify what they measure, and their tables have the right shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from tests.benchmarks import tables
from tests.benchmarks.__main__ import main
from tests.benchmarks.curves import Curve, trace
from tests.benchmarks.measure import (
    Claim,
    Contender,
    Row,
    Scale,
    WrongResultError,
    equal_to,
    measure,
    plainly,
    timed,
)
from tests.benchmarks.suite import CURVES, ROWS
from tests.benchmarks.work import (
    PortLoop,
    bare_threads,
    deque_loop,
    fused_loop,
    increment,
    loop_over_chunks,
    map_over_chunks,
    nested_calls,
)
from tests.kit import effort

pytestmark = pytest.mark.no_cover

TINY = Scale(0.001)


def cells(table: str) -> list[list[str]]:
    return [line.strip("|").split("|") for line in table.splitlines()]


def a_row(*figures: float, limit: float | None = None, beside: str = "other", peer: str = "") -> Row:
    given = iter(figures)
    return Row(
        "name",
        "work",
        "s per item",
        (
            Contender("flowrt", plainly(lambda: next(given))),
            Contender("other", plainly(lambda: 2.0), peer),
        ),
        (Claim("flowrt", beside, limit, "must"),),
    )


@pytest.mark.parametrize("name", effort.share(ROWS, "rows"))
def test_a_row_runs_and_judges_what_it_claims(name: str) -> None:
    row = ROWS[name](TINY)

    measured = measure(row, 1)

    assert row.name == name
    names = [contender.name for contender in row.contenders]
    assert [*measured.samples, *measured.missing] == sorted(
        names, key=lambda each: (each in measured.missing, names.index(each))
    )
    assert all(len(samples) == 1 for samples in measured.samples.values())
    assert all({claim.mine, claim.beside or claim.mine} <= set(names) for claim in row.claims)
    assert any(claim.limit for claim in row.claims)
    for verdict in measured.verdicts():
        absent = {verdict.claim.mine, verdict.claim.beside} & set(measured.missing)
        assert (verdict.ratio is None) == bool(absent)
        assert (verdict.met is None) == (bool(absent) or verdict.claim.limit is None)


@pytest.mark.parametrize("name", effort.share(CURVES, "curves"))
def test_a_curve_runs_over_its_sizes(name: str) -> None:
    curve = CURVES[name](TINY)

    grown = trace(curve, 1)

    assert curve.name == name
    assert len(curve.sizes) >= 2
    for series in curve.series:
        assert [size for size, _ in grown.figures(series)] == list(curve.sizes)
        assert all(figure > 0 for _, figure in grown.figures(series))


@pytest.mark.parametrize(
    ("name", "smallest", "largest"),
    [
        ("curve-compile", 10, 10_000),
        ("curve-hops", 10, 10_000),
        ("curve-live", 1, 1_000_000),
        ("curve-workers", 1, 64),
        ("curve-backlog", 1, 1_000_000),
        ("curve-lists", 1_000, 100_000),
    ],
)
def test_a_whole_curve_spans_what_is_promised(name: str, smallest: int, largest: int) -> None:
    curve = CURVES[name](Scale())

    assert (curve.sizes[0], curve.sizes[-1]) == (smallest, largest)


def test_a_wrong_result_is_refused() -> None:
    row = evolve(a_row(), contenders=(Contender("flowrt", plainly(timed(lambda: 41, equal_to(42)))),))

    with pytest.raises(WrongResultError, match="expected 42, found 41"):
        measure(row, 1)


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    (verdict,) = measure(a_row(2.0, 10.0, 4.0), 3).verdicts()

    assert (verdict.ratio, verdict.least, verdict.most) == (2.0, 1.0, 5.0)


@pytest.mark.parametrize(("limit", "met"), [(2.0, True), (1.9, False), (None, None)])
def test_a_claim_is_met_up_to_its_limit(limit: float | None, met: bool | None) -> None:
    (verdict,) = measure(a_row(4.0, limit=limit), 1).verdicts()

    assert verdict.met is met


def test_a_figure_may_be_claimed_alone() -> None:
    (verdict,) = measure(a_row(4.0, limit=10.0, beside=""), 1).verdicts()

    assert (verdict.ratio, verdict.met) == (4.0, True)


def test_contenders_take_turns_in_another_order_each_round() -> None:
    order: list[str] = []

    def noting(name: str) -> Contender:
        def sample() -> float:
            order.append(name)
            return 1.0

        return Contender(name, plainly(sample))

    measure(evolve(a_row(), contenders=tuple(map(noting, "abc")), claims=()), 3)

    assert "".join(order) == "abcbcacab"


def test_a_peer_that_is_not_installed_is_said_to_be_so() -> None:
    measured = measure(a_row(4.0, limit=1.0, peer="a_module_that_nobody_has"), 1)

    assert measured.missing == ("other",)
    assert "| flowrt | other | not installed | – | must | – |" in tables.ratios([measured])
    assert "| other | not installed | – | s per item |" in tables.figures([measured])


def test_the_tables_have_a_line_for_each_claim_contender_and_size() -> None:
    measured = [measure(a_row(4.0, limit=1.0), 1), measure(a_row(1e-7), 1)]
    curve = Curve("name", "sizes", "s per item", (1, 10), {"a": lambda _: plainly(lambda: 0.002)()})

    ratios, figures, growth = (
        cells(tables.ratios(measured)),
        cells(tables.figures(measured)),
        cells(tables.growth([trace(curve, 1)])),
    )

    assert [len(line) for line in ratios] == [len(tables.RATIOS)] * (2 + 2)
    assert [len(line) for line in figures] == [len(tables.FIGURES)] * (2 + 4)
    assert [len(line) for line in growth] == [len(tables.GROWTH)] * (2 + 2)
    assert [cell.strip() for cell in ratios[2]] == [
        "name: work",
        "flowrt",
        "other",
        "2 ×",
        "2 … 2",
        "must",
        "**no**",
    ]
    assert growth[-1][-2:] == [" 2 ms per item ", " 1 × "]


def test_growth_is_seen_from_the_cheapest_size_on() -> None:
    costs = {1: 4.0, 10: 1.0, 100: 3.0}
    curve = Curve(
        "name", "sizes", "s per item", (1, 10, 100), {"a": lambda size: plainly(lambda: costs[size])()}
    )

    assert [line[-1].strip() for line in cells(tables.growth([trace(curve, 1)]))[2:]] == ["1 ×", "1 ×", "3 ×"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2.0, "2 s per hop"), (0.0021, "2.1 ms per hop"), (3.5e-6, "3.5 µs per hop"), (42e-9, "42 ns per hop")],
)
def test_seconds_are_shown_in_a_unit_that_reads_well(value: float, shown: str) -> None:
    factor, unit = tables.readable(value, "s per hop")

    assert f"{tables.number(value * factor)} {unit}" == shown


@pytest.mark.parametrize(
    "run",
    [
        lambda stages, data: nested_calls(len(stages))(stages[0], data),
        lambda stages, data: fused_loop(len(stages))(stages, data),
        loop_over_chunks,
        map_over_chunks,
        deque_loop,
    ],
    ids=["nested", "fused", "chunks", "map", "deque"],
)
def test_the_loops_by_hand_do_the_same_work(run: Callable[..., list[int]]) -> None:
    assert run([increment] * 3, list(range(2_000))) == list(range(3, 2_003))


def test_the_loop_with_port_lookup_hands_on_its_results() -> None:
    out: list[int] = []
    loop = PortLoop([increment] * 3, out.append)

    loop.process(".in", 1)
    loop.process(".in", 2)

    assert out == [4, 5]


def test_bare_threads_take_each_item_once() -> None:
    assert sorted(bare_threads(4, increment, list(range(1_000)))) == list(range(1, 1_001))


def test_the_command_prints_the_tables_and_writes_all_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"

    main(["hop-breadth", "curve-compile", "--part", "0.001", "--rounds", "2", "--json", str(file)])

    printed = capsys.readouterr().out
    assert all(
        f"| {' | '.join(heads)} |" in printed for heads in (tables.RATIOS, tables.FIGURES, tables.GROWTH)
    )
    found = json.loads(file.read_text("utf-8"))
    assert {"cores", "python", "packages"} <= set(found["machine"])
    assert "reactivex" in found["machine"]["packages"]
    assert [row["name"] for row in found["rows"]] == ["hop-breadth"]
    assert [len(samples) for samples in found["rows"][0]["samples"].values()] == [2] * 5
    assert [curve["name"] for curve in found["curves"]] == ["curve-compile"]


def test_the_command_refuses_a_row_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hops"])

    assert "there is no hops; there are: hop-depth" in capsys.readouterr().err
