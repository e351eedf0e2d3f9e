"""What the telegram problem needs: two functions, and two small classes that remember what they were given.

`None` behind the last line means the end of the text; it travels the same streams, so nothing overtakes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def read_lines(text: str) -> Iterator[str | None]:
    """Read a text line by line, and say where it ends."""
    yield from text.splitlines()
    yield None


def split_words(line: str | None, on_word: Callable[[str | None], None]) -> None:
    """Hand on the words of a line one by one, and the end of the text as it is."""
    if line is None:
        on_word(None)
    else:
        for word in line.split():
            on_word(word)


class LineAssembler:
    """Assembles words to lines of at most `width` characters; a longer word stands whole on a line of its own."""

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError(f"a line must be at least 1 character wide, not {width}")
        self._width = width
        self._line = ""  # so far; it may still grow

    def assemble(self, word: str | None, on_line: Callable[[str], None]) -> None:
        """Take one word, or the end of the text; hand on the line so far once nothing more goes into it."""
        longer = f"{self._line} {word}".lstrip()
        if word is not None and len(longer) <= self._width:
            self._line = longer
            return
        if self._line:
            on_line(self._line)
        self._line = word or ""


class LineWriter:
    """Writes lines to `out`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, line: str) -> None:
        """Write one line, and end it."""
        self._out.write(f"{line}\n")
