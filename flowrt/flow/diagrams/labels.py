"""The texts of a picture: what is shown of a name, how large it is, and where it is broken into rows."""

from __future__ import annotations

import unicodedata

from attrs import frozen

ELLIPSIS = "…"
JOINERS = "\u200c\u200d"  # hold together what is one sign in some scripts, and in emoji
LINE = 1.25  # height of a row, in sizes of its letters
# Widths in thousandths of the size of the letters, those of Helvetica and what has its measures (Arial, Liberation Sans).
_NARROW = dict.fromkeys("ijl'|", 222) | dict.fromkeys(" .,:;!/\\ftI[]", 278) | dict.fromkeys("r()-`{}", 333)
_WIDE = dict.fromkeys("mMW%@", 944) | dict.fromkeys("wABEKPSVXYCDHNRUGOQ&", 740)
_LETTER, _FULL = 556, 1000
_BREAKS = " _-./:,;"


@frozen
class Lettering:
    """How texts of one kind are written: letters of a size in pixels, and how many of them in a row, in how many rows."""

    size: float
    most: int
    rows: int = 1

    @property
    def line(self) -> float:
        return self.size * LINE

    def rows_of(self, text: str) -> list[str]:
        return wrapped(text, self.most, self.rows)

    def width_of(self, text: str) -> float:
        return max(width_of(row, self.size) for row in self.rows_of(text))

    def height_of(self, text: str) -> float:
        return len(self.rows_of(text)) * self.line


NAMES = Lettering(13.0, 26, 3)
TITLES = Lettering(13.0, 52)  # of boxes
INPUTS = Lettering(11.0, 24)  # and results, beside their points
PORTS = Lettering(10.5, 24)
COMMENTS = Lettering(11.0, 30, 3)


def shown(text: str) -> str:
    """Return a text as one line of printable characters: others are written as escapes, so that nothing hides in a picture."""
    words = " ".join(text.split())
    return "".join(
        each if each.isprintable() or each in JOINERS else each.encode("unicode_escape").decode()
        for each in words
    )


def width_of(text: str, size: float) -> float:
    """Estimate how wide a row is: exact for Latin letters in the usual fonts, rather too much for others."""
    return sum(_width(each) for each in text) * size / 1000


def _width(character: str) -> int:
    known = _NARROW.get(character) or _WIDE.get(character)
    if known is not None:
        return known
    if character < "\x7f":
        return _LETTER
    if unicodedata.combining(character) or character in JOINERS:
        return 0
    return _FULL if unicodedata.east_asian_width(character) in "WFA" else 780


def wrapped(text: str, most: int, rows: int) -> list[str]:
    """Break a text into at most `rows` rows of at most `most` characters, behind blanks, underscores and the like where it can be.

    What is too long for the last row loses its middle: names often differ at their end.
    """
    rest = text
    lines: list[str] = []
    while len(rest) > most and len(lines) < rows - 1:
        at = max(rest.rfind(each, most // 3, most) for each in _BREAKS) + 1 or _hump(rest, most) or most
        lines.append(rest[:at].strip())
        rest = rest[at:].strip()
    if len(rest) > most:
        head = (most - 1) * 2 // 3
        rest = rest[:head] + ELLIPSIS + rest[len(rest) - (most - 1 - head) :]
    return [line for line in (*lines, rest) if line] or [""]


def _hump(text: str, most: int) -> int:
    """Return where the last word of a camelCase name within `most` characters starts, or 0."""
    return next((at for at in range(most, most // 3, -1) if text[at].isupper() and text[at - 1].islower()), 0)
