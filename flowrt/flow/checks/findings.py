"""`Finding`: what a check says; `CODES`: all it can say; `Report`: what it has found, without what was to be ignored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from flowrt.errors import Fault, FlowBuildError
from flowrt.ports import Stream, codes_of, did_you_mean, folded

if TYPE_CHECKING:
    from flowrt.flow.sites import Site


Severity = Literal["error", "warning"]

CODES = {
    # names
    "F001": "what cannot be built",
    "F101": "unknown operation or flow",
    "F102": "unknown in-port",
    "F103": "unknown out-port",
    "F104": "unknown port of a flow",
    "F105": "a stream without a place",
    "F106": "nested too deep",
    "F107": "the same stream twice",
    "F108": "an operation and a flow of one name",
    # connections
    "F201": "an output nobody takes",
    "F202": "an input nothing leads to",
    "F203": "an operation that is not used",
    "F204": "a flow that is not used",
    "F205": "a part nothing leads to",
    "F206": "a flow's way out nobody takes",
    "F207": "a flow's way in nothing leads to",
    "F208": "a loop without an end",
    # data
    "F301": "types that do not fit",
    "F302": "mutable data for several",
    # lists and joins
    "F401": "a gather without a scatter",
    "F402": "a count of another list",
    "F403": "more items than counted",
    "F404": "a join that may mix up",
    "F405": "a pop without a push",
    # where operations run
    "F501": "a pool of two kinds",
    "F502": "a timeout on the engine's thread",
    "F503": "a timeout for a generator",
    # what is to be ignored
    "F901": "an unknown code",
    "F902": "nothing to ignore",
}
"""What a check can find: code → title. Codes are stable; the first digit groups them."""


@frozen
class Finding:
    """One thing that a check has found.

    Attributes:
        code: a key of `CODES`.
        text: what it is, naming the thing.
        place: where that was declared: `file:line`, in flow text `file:line:column`.
        remedy: what to do.
        severity: "error" for what a runtime would refuse, else "warning".

    `str()` is one line.
    """

    code: str
    text: str
    place: str
    remedy: str = ""
    severity: Severity = "warning"

    def __str__(self) -> str:
        return f"{self.place or '?'}: {self.severity} {self.code}: {self.text} {self.remedy}".rstrip()

    @property
    def title(self) -> str:
        """What findings of this code have in common."""
        return CODES[self.code]

    @property
    def where(self) -> tuple[str, int, int]:
        """File, line and column; 0 where that is not known."""
        return place_of(self.place)

    def as_dict(self) -> dict[str, str | int]:
        """Return it as data for JSON, every time the same keys."""
        names = ("code", "title", "severity", "text", "remedy", "place")
        where = zip(("file", "line", "column"), self.where, strict=True)
        return {name: getattr(self, name) for name in names} | dict(where)


def place_of(place: str) -> tuple[str, int, int]:
    """Take `file:line` or `file:line:column` apart."""
    file, _, last = place.rpartition(":")
    if not last.isdecimal():
        return place, 0, 0
    before, _, line = file.rpartition(":")
    if line.isdecimal():
        return before, int(line), int(last)
    return file, int(last), 0


def by_place(stream: Stream) -> tuple[str, int, int]:
    """Return what to sort streams by."""
    return place_of(stream.declared_at)


def findings_of(error: FlowBuildError) -> list[Finding]:
    """Return what an error says as findings: of a flow text that cannot be read, say."""
    return [_finding_of(fault if isinstance(fault, Fault) else Fault(fault)) for fault in error.faults]


def _finding_of(fault: Fault) -> Finding:
    text = fault.says.removeprefix(f"{fault.place}: ")
    return Finding(fault.code or "F001", text, fault.place, fault.remedy, "error")


class Report:
    """What has been found so far. Streams and declarations may ignore findings about them."""

    def __init__(self, ignore: Iterable[str]) -> None:
        self._everywhere = set[str]()
        for code in codes_of(ignore):
            if code.upper() not in CODES:
                hint = did_you_mean(code, CODES)
                raise FlowBuildError(f"check(ignore=...): there is no finding {code!r}.{hint}")
            self._everywhere.add(code.upper())
        self._found: dict[tuple[Any, ...], tuple[Finding, tuple[Any, ...]]] = {}

    def add(self, code: str, key: object, text: str, place: str, remedy: str, about: Iterable[Any]) -> None:
        """Remember a warning, once per code and key; `about` are the streams and declarations whose `ignore` counts."""
        self._found.setdefault((code, key), (Finding(code, text, place, remedy), tuple(about)))

    def add_at(
        self, code: str, place: Site, port: str, text: str, remedy: str, about: Iterable[Any], at: str = ""
    ) -> None:
        """Remember a warning of an operation, or a port of it: once for all spots at which its flow is used."""
        declaration = place.declaration
        key = (id(place.flow.definition), id(declaration), folded(place.instance), port)
        self.add(code, key, text, at or declaration.declared_at, remedy, [declaration, *about])

    def add_fault(self, fault: Fault) -> None:
        """Remember what a runtime would refuse."""
        self._found.setdefault((fault.code, str(fault)), (_finding_of(fault), fault.about))

    def close(self, things: Iterable[Any]) -> list[Finding]:
        """Return the findings, by place.

        Args:
            things: all streams and declarations that may ignore something.
        """
        used: set[tuple[str, str]] = set()
        kept: dict[Finding, None] = {}
        found = list(self._found.values())
        errors = {(finding.code, finding.text) for finding, _ in found if finding.severity == "error"}
        for finding, about in found:
            ignoring = [thing for thing in about if finding.code in _codes_of(thing)]
            used.update((_named(thing), finding.code) for thing in ignoring)
            told = finding.severity == "warning" and (finding.code, finding.text) in errors
            if not ignoring and not told:
                kept[finding] = None
        said: set[tuple[str, str]] = set()
        kept.update(dict.fromkeys(useless for thing in things for useless in _useless(thing, used, said)))
        left = (finding for finding in kept if finding.code not in self._everywhere)
        return sorted(left, key=lambda finding: (*finding.where, finding.code, finding.text))


def _codes_of(thing: Any) -> list[str]:
    return [code.upper() for code in thing.ignore]


def _named(thing: Any) -> str:
    """Name a stream or a declaration, which may have copies; streams on one line of a text have what they ignore in common."""
    file, line, column = place_of(thing.declared_at)
    if column:
        return f"{file}:{line}"
    what = f'stream "{thing}"' if isinstance(thing, Stream) else f'operation "{thing.name}"'
    return f"{what} at {thing.declared_at}"


def _useless(thing: Any, used: set[tuple[str, str]], said: set[tuple[str, str]]) -> Iterator[Finding]:
    """Find what a thing ignores for nothing, and was not said yet of the line it stands on."""
    named, codes = _named(thing), _codes_of(thing)
    for code in codes:
        if (named, code) in said:
            continue
        said.add((named, code))
        what = f'stream "{thing}"' if isinstance(thing, Stream) else f'operation "{thing.name}"'
        if code not in CODES:
            hint = did_you_mean(code, CODES).strip()
            yield Finding("F901", f'{what} ignores "{code}", which no finding has.', thing.declared_at, hint)
        elif (named, code) not in used and code != "F902" and "F902" not in codes:
            text = f"{what} ignores {code} ({CODES[code]}), which was not found there."
            yield Finding("F902", text, thing.declared_at, "Take the code away.")
