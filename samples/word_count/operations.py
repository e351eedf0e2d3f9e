"""What the word count does, as plain functions: none of them knows of flows or threads, so each is tested alone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowrt import OperationError

LETTERS = r"[^\W\d_]+"  # `re` has no class for letters: \w without digits and the underscore
WORD = re.compile(rf"{LETTERS}(?:'{LETTERS})*")


class Total(NamedTuple):
    """What was counted; `busiest` holds the ten most frequent words, those of equal count in alphabetical order."""

    files: int
    words: int
    busiest: list[tuple[str, int]]

    def __str__(self) -> str:
        lines = [f"files: {self.files}, words: {self.words:,}, the busiest of them:"]
        lines += [f"  {word:<12}{count:>8,}" for word, count in self.busiest]
        return "\n".join(lines)


class Unreadable(NamedTuple):
    """A file that could not be counted."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path.name} could not be read: {self.reason}"


def find_files(folder: Path | str) -> list[Path]:
    """List what is called *.txt in `folder`, by name."""
    return sorted(Path(folder).glob("*.txt"))


def words_in(text: str) -> list[str]:
    """Split `text` into words: runs of letters, lower-cased, with apostrophes (' or ’) between two letters only."""
    return WORD.findall(text.lower().replace("’", "'"))


def count_words(path: Path) -> Counter[str]:
    """Count each word of a file that is UTF-8 text."""
    return Counter(words_in(path.read_text(encoding="utf-8")))


def count_each(paths: Iterable[Path]) -> list[Counter[str]]:
    """Count the words of several files, one file after another."""
    return [count_words(path) for path in paths]


def total(counts: list[Counter[str]]) -> Total:
    """Add up the counts of all files; their order makes no difference."""
    together: Counter[str] = Counter()
    for count in counts:
        together.update(count)
    busiest = sorted(together.items(), key=lambda entry: (-entry[1], entry[0]))[:10]
    return Total(len(counts), together.total(), busiest)


def report_unreadable(error: OperationError) -> Unreadable:
    """Say which file `count_words` failed on, and why."""
    assert error.message is not None, "count_words has an input, and so has its error"
    return Unreadable(error.message.data, str(error.__cause__))
