"""What was measured, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from statistics import median
from typing import Any

from tests.benchmarks import peers
from tests.benchmarks.curves import Grown
from tests.benchmarks.measure import NOT_INSTALLED, Claim, Measured, Verdict

RATIOS = ("row", "measured", "beside", "ratio", "min … max", "must reach", "met?")
FIGURES = ("row", "measured", "figure", "min … max", "unit")
GROWTH = ("curve", "measured", "size", "figure", "growth")


def machine() -> dict[str, Any]:
    """Say where it was measured."""
    packages = {name: metadata.version(name) for name in ("attrs", "janus", "loguru")}
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": packages | peers.versions(),
    }


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Lay out a table; what stands in the first column is said once."""
    shown = []
    before = ""
    for first, *cells in lines:
        shown.append(["" if first == before else first, *cells])
        before = first
    rows = [heads, ["---"] * len(heads), *shown]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def ratios(measured: Sequence[Measured]) -> str:
    """Lay out what was claimed, beside what was found."""
    return markdown(RATIOS, [_ratio_line(each, verdict) for each in measured for verdict in each.verdicts()])


def _ratio_line(each: Measured, verdict: Verdict) -> list[str]:
    claim = verdict.claim
    head = [f"{each.row.name}: {each.row.work}", claim.mine, claim.beside or "–"]
    if verdict.ratio is None or verdict.least is None or verdict.most is None:
        return [*head, NOT_INSTALLED, "–", claim.must, "–"]
    sign = "×" if claim.beside or each.row.unit == "times" else each.row.unit
    met = {None: "–", True: "yes", False: "**no**"}[verdict.met]
    return [
        *head,
        f"{number(verdict.ratio)} {sign}",
        spread(verdict.least, verdict.most),
        claim.must,
        met,
    ]


def figures(measured: Sequence[Measured]) -> str:
    """Lay out the figures that the ratios are made of."""
    lines = []
    for each in measured:
        for contender in each.row.contenders:
            samples = each.samples.get(contender.name)
            if samples is None:
                lines.append([each.row.name, contender.name, NOT_INSTALLED, "–", each.row.unit])
                continue
            factor, unit = readable(median(samples), each.row.unit)
            shown = [number(value * factor) for value in (median(samples), min(samples), max(samples))]
            lines.append([each.row.name, contender.name, shown[0], " … ".join(shown[1:]), unit])
    return markdown(FIGURES, lines)


def growth(curves: Sequence[Grown]) -> str:
    """Lay out what a piece of work costs in each size, and how many times as much as in the cheapest size up to there."""
    lines = []
    for each in curves:
        for series in each.curve.series:
            points = each.figures(series)
            cheapest = points[0][1]
            for size, figure in points:
                cheapest = min(cheapest, figure)
                factor, unit = readable(figure, each.curve.unit)
                lines.append(
                    [
                        f"{each.curve.name}: {each.curve.over}",
                        series,
                        f"{size:,}",
                        f"{number(figure * factor)} {unit}",
                        f"{number(figure / cheapest)} ×",
                    ]
                )
    return markdown(GROWTH, lines)


def readable(value: float, unit: str) -> tuple[float, str]:
    """Choose ms, µs or ns where the unit is seconds: what to multiply by, and the unit."""
    if unit.split(maxsplit=1)[0] != "s":
        return 1.0, unit
    for factor, prefix in ((1.0, ""), (1e3, "m"), (1e6, "µ")):
        if abs(value) * factor >= 1:
            return factor, prefix + unit
    return 1e9, "n" + unit


def spread(least: float, most: float) -> str:
    """Show from where to where."""
    return f"{number(least)} … {number(most)}"


def number(value: float) -> str:
    """Show three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def as_json(
    rounds: int, part: float, measured: Sequence[Measured], curves: Sequence[Grown]
) -> dict[str, Any]:
    """Collect all of it, samples included."""
    return {
        "machine": machine(),
        "rounds": rounds,
        "part": part,
        "rows": [
            {
                "name": each.row.name,
                "work": each.row.work,
                "unit": each.row.unit,
                "samples": each.samples,
                "missing": list(each.missing),
                "claims": [_claim(verdict.claim, verdict) for verdict in each.verdicts()],
            }
            for each in measured
        ],
        "curves": [
            {
                "name": each.curve.name,
                "over": each.curve.over,
                "unit": each.curve.unit,
                "samples": each.samples,
            }
            for each in curves
        ],
    }


def _claim(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    return {
        "mine": claim.mine,
        "beside": claim.beside,
        "must": claim.must,
        "limit": claim.limit,
        "ratio": verdict.ratio,
        "least": verdict.least,
        "most": verdict.most,
        "met": verdict.met,
    }
