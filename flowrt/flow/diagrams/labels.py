"""The texts of a picture: what is shown of a name, how wide it is, and where it is broken into lines."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
JOINERS = "\u200c\u200d"  # hold together what is one sign in some scripts, and in emoji
# Widths in thousandths of the size of the letters, those of Helvetica and what has its measures (Arial, Liberation Sans).
_NARROW = dict.fromkeys("ijl'|", 222) | dict.fromkeys(" .,:;!/\\ftI[]", 278) | dict.fromkeys("r()-`{}", 333)
_WIDE = dict.fromkeys("mMW%@", 944) | dict.fromkeys("wABEKPSVXYCDHNRUGOQ&", 740)
_LETTER, _FULL = 556, 1000
_BREAKS = " _-./:,;"


def shown(text: str) -> str:
    """Return a text as one line of printable characters: others are written as escapes, so that nothing hides in a picture."""
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(
        each if each.isprintable() or each in JOINERS else each.encode("unicode_escape").decode()
        for each in words
    )


def width_of(text: str, size: float) -> float:
    """Estimate how wide a line is: exact for Latin letters in the usual fonts, rather too much for others."""
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


def shortened(text: str, most: int) -> str:
    """Cut the middle out of a text of more than `most` characters: names often differ at their end."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return text[:head] + ELLIPSIS + text[len(text) - (most - 1 - head) :]


def lines_of(text: str, most: int, rows: int) -> list[str]:
    """Break a text into at most `rows` lines of at most `most` characters, behind blanks, underscores and the like where it can be."""
    rest = text
    lines: list[str] = []
    while len(rest) > most and len(lines) < rows - 1:
        at = max(rest.rfind(each, most // 3, most) for each in _BREAKS) + 1 or _hump(rest, most) or most
        lines.append(rest[:at].strip())
        rest = rest[at:].strip()
    return [line for line in (*lines, shortened(rest, most)) if line] or [""]


def _hump(text: str, most: int) -> int:
    """Return where the last word of a camelCase name within `most` characters starts, or 0."""
    return next((at for at in range(most, most // 3, -1) if text[at].isupper() and text[at - 1].islower()), 0)
