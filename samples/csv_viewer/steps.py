"""The steps of loading and of showing, as functions; and loading in one step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from flowrt import operation

if TYPE_CHECKING:
    from samples.csv_viewer.pager import Page, Row

Shown = tuple[list[str], int, int]
WIDEST = 30  # characters of a column


@operation
def read(path: Path | str) -> str:
    """Read a file that is UTF-8 text."""
    return Path(path).read_text(encoding="utf-8")


@operation
def parse(text: str) -> list[Row]:
    """Take the text of a CSV file apart; the first row is the header.

    Raises:
        ValueError: there is not even a header.
    """
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows:
        raise ValueError("the file holds no rows")
    return rows


@operation
def table(page: Page) -> Shown:
    """Write the rows of a page below each other, column by column; what is too long for its column is cut."""
    rows = [page.header, *page.rows]
    columns = max(map(len, rows))
    cells = [[cut(cell) for cell in row] + [""] * (columns - len(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines, page.number, page.pages


@operation
def footer(shown: Shown) -> str:
    """Say below the rows where that was."""
    lines, number, pages = shown
    return "\n".join([*lines, f"page {number} of {pages}"])


def cut(cell: str) -> str:
    """Cut a cell where it is too long."""
    return cell if len(cell) <= WIDEST else cell[: WIDEST - 1] + "…"


def load(path: Path | str) -> list[Row]:
    """Do at once what the flow `load` does step by step."""
    return parse(read(path))
