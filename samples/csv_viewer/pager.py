"""What the keys do: operations that share a table, and where in it the viewer is."""

from __future__ import annotations

from typing import NamedTuple

from flowrt import operation

Row = list[str]


class Page(NamedTuple):
    """Some rows of a table, below its header; pages are counted from 1."""

    header: Row
    rows: list[Row]
    number: int
    pages: int


class Pager:
    """Turns pages; behind the last and before the first there is none, so it stays there."""

    def __init__(self, rows_per_page: int) -> None:
        self._rows_per_page = rows_per_page
        self._header: Row = []
        self._rows: list[Row] = []
        self._number = 1

    @operation
    def first(self, table: list[Row] | None) -> Page:
        """Turn to the first page, of a new table if there is one."""
        if table is not None:
            self._header, *self._rows = table
        return self._turn_to(1)

    @operation
    def last(self) -> Page:
        """Turn to the last page."""
        return self._turn_to(self._pages)

    @operation
    def next(self) -> Page:
        """Turn one page on."""
        return self._turn_to(self._number + 1)

    @operation
    def previous(self) -> Page:
        """Turn one page back."""
        return self._turn_to(self._number - 1)

    @operation
    def page(self, number: int) -> Page:
        """Turn to a page."""
        return self._turn_to(number)

    @property
    def _pages(self) -> int:
        return max(1, -(-len(self._rows) // self._rows_per_page))

    def _turn_to(self, number: int) -> Page:
        self._number = min(max(number, 1), self._pages)
        begin = (self._number - 1) * self._rows_per_page
        return Page(self._header, self._rows[begin : begin + self._rows_per_page], self._number, self._pages)
