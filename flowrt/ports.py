"""`Port` and `Stream`: the grammar of names, and which names are the same.

    path/operation#instance.name        import/parse#2.text

Every part is optional. The last "/" ends the path, the last "." behind it starts the name of the port, the first "#"
between them starts the instance. The segments of a path may carry instances too: `import#1/parse.text`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from attrs import field, frozen

from flowrt.errors import KNOWN_NAMES_SHOWN, FlowBuildError

RESERVED = frozenset("./\\#*")  # what the names of ports are made up with
PORTS_REMEMBERED = 4096  # parsed names, some 3 MB of them: a flow of ordinary size is parsed once
NAME_REMEMBERED = 1_000  # characters: a few thousand names that are longer would fill the memory
UNNAMED = "<flow text>"  # what errors call a flow text that is no file
TEXT_SHOWN = 200  # characters of an offending name that an error repeats; arbitrary


# -- names: which are the same, which can be


def folded(name: str) -> str:
    """Return a name as names are compared, everywhere in flowrt: those that Unicode calls the same, in any case, are one name.

    Composed or decomposed makes no difference ("ü" may be one character or two, as file systems have it), nor does the case, with the foldings of
    every language but Turkish: that is what Unicode calls canonical caseless matching. A folded name folds to itself.
    """
    if name.isascii():  # as nearly all are
        return name.casefold()
    import unicodedata  # noqa: PLC0415 - only for such names, and importing flowrt is to cost little

    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def each_once(names: Iterable[str]) -> tuple[str, ...]:
    """Return the different ones of some names, each as it is spelled first."""
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(folded(name), name)
    return tuple(spelled.values())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, and which there are; starts with a blank, or is empty."""
    names = sorted(set(known), key=folded)
    if not names:
        return ""
    import difflib  # noqa: PLC0415 - only for errors, and importing flowrt is to cost little

    spelled = {folded(candidate): candidate for candidate in names}
    close = difflib.get_close_matches(folded(name), spelled, n=1)
    hint = f' Did you mean "{spelled[close[0]]}"?' if close else ""
    shown = ", ".join(names[:KNOWN_NAMES_SHOWN])
    more = f" and {len(names) - KNOWN_NAMES_SHOWN} more" if len(names) > KNOWN_NAMES_SHOWN else ""
    return f"{hint} There are: {shown}{more}."


def check_name(name: object, owner: str = "an operation") -> str:
    """Return the name of an operation or a flow without the blanks around it; `FlowBuildError` if it is not what a port has as its operation."""
    if not isinstance(name, str):
        raise FlowBuildError(
            f"{owner}'s name is a text, got {type(name).__name__}. The name comes first: add_func(name, function)."
        )
    plain = name.strip()
    if not plain:
        raise FlowBuildError(
            f"{owner} cannot be named {quoted(name)}: no stream could reach it. Give it a name."
        )
    if found := odd_character(plain):
        remedy = r"Leave . / \ # * and control characters out of its name."
        raise FlowBuildError(
            f"{owner} cannot be named {quoted(name)}: no stream could reach it, for {found}. {remedy}"
        )
    return plain


def odd_character(name: str) -> str:
    """Say which character keeps a name from being an operation's, a flow's or a port's: its place, and its code point; nothing if none does."""
    if RESERVED.isdisjoint(name) and name.isprintable():
        return ""
    for number, character in enumerate(name, 1):
        if is_control(character):
            return f"its character {number} is the control character U+{ord(character):04X}"
        if character in RESERVED:
            return f'its character {number} is "{character}" (U+{ord(character):04X})'
    return ""


def _checked(part: str) -> str:
    if not isinstance(part, str):
        kind = type(part).__qualname__
        raise FlowBuildError(
            f"a part of a port must be a str, not of type {kind}. Use Port.parse() for whole names."
        )
    return part


@frozen(kw_only=True, repr=False)
class Port:
    """Name a place where messages enter or leave an operation, a flow or the flow's environment.

    `Port.parse("import/parse#2.text")` makes one of a whole name; the constructor takes the parts, by keyword.
    Two ports are equal if their names are, ignoring case, composed or decomposed letters (see `folded`) and a leading "/".
    A port keeps the spelling it was given, without the blanks around its parts.

    Attributes:
        path: the flow that holds the operation, seen from the root: `import`, `/import`, `import#1/lines`, or "".
        operation: the operation's name, or "" for a port of the flow itself (`.in`, `import/.in`).
        instance: which of several places of one operation in one flow, or "".
        name: the port's own name, or "" for the default port.
        fullname: the whole name; `Port.parse` makes an equal port of it.
        key: the parts as they are compared.

    Raises:
        FlowBuildError: the parts given to the constructor do not make up the name of a port.
    """

    path: str = field(default="", eq=False, converter=_checked)
    operation: str = field(default="", eq=False, converter=_checked)
    instance: str = field(default="", eq=False, converter=_checked)
    name: str = field(default="", eq=False, converter=_checked)
    fullname: str = field(init=False, eq=False)
    key: tuple[str, str, str, str] = field(init=False)

    @fullname.default
    def _join(self) -> str:
        flow = self.path if self.path in ("", "/") else self.path + "/"
        place = f"{self.operation}#{self.instance}" if self.instance else self.operation
        # Without its "." the unnamed port of `a.b` would read as port b of `a`, and that of the environment as nothing.
        dot = "." if self.name or "." in place or not (place or flow.strip("/")) else ""
        return flow + place + dot + self.name

    @key.default
    def _fold(self) -> tuple[str, str, str, str]:
        path = self.path.removeprefix("/")
        return folded(path), folded(self.operation), folded(self.instance), folded(self.name)

    def __attrs_post_init__(self) -> None:
        """Refuse parts that read back as other parts: `operation="a/b"` would be operation b of flow a."""
        if self.operation and f"{self.path}{self.operation}{self.instance}{self.name}".isidentifier():
            return  # names of letters, digits and "_" alone
        if (self.path, self.operation, self.instance, self.name) != _split(self.fullname):
            raise FlowBuildError(
                f"the parts of a port make up {quoted(self.fullname)}, which reads as another port's name. "
                'Leave "/", "#", ".", "*" and blanks around them out of the parts, or give the name to Port.parse().'
            )

    @staticmethod
    def parse(text: str | Port) -> Port:
        r"""Make a port of a name; a port is returned as it is.

        Blanks around the parts and "*" are ignored, "\" is read as "/".

        Raises:
            FlowBuildError: the name does not fit the grammar, or is no str.
        """
        if isinstance(text, Port):
            return text
        if not isinstance(text, str):
            raise FlowBuildError(
                f'a port is named by a str or a Port, not by a value of type {type(text).__qualname__}. Write its name, such as "parse.text".'
            )
        return _parsed(text) if len(text) <= NAME_REMEMBERED else _parsed.__wrapped__(text)

    @property
    def is_rooted(self) -> bool:
        """Whether the name was given with a leading "/", which means the root flow from wherever it is written."""
        return self.path.startswith("/")

    @property
    def has_operation(self) -> bool:
        """Whether this is a port of an operation, not one of a flow or of the environment."""
        return bool(self.operation)

    @property
    def segments(self) -> tuple[tuple[str, str], ...]:
        """The (name, instance) of each flow on the path, outermost first."""
        flows = self.path.removeprefix("/")
        return tuple(map(_halves, flows.split("/"))) if flows else ()

    def __str__(self) -> str:
        return self.fullname

    def __repr__(self) -> str:
        return f"Port.parse({self.fullname!r})"


def _port(text: str | Port) -> Port:
    return Port.parse(text)


class Behind(Port):
    """An out-port of an operation, as what leaves there is sent: the same name as a place to send to means the way into the operation."""

    @classmethod
    @functools.lru_cache(maxsize=PORTS_REMEMBERED)
    def of(cls, port: Port) -> Behind:
        return cls(path=port.path, operation=port.operation, instance=port.instance, name=port.name)


def codes_of(ignore: str | Iterable[str]) -> tuple[str, ...]:
    """Return the codes of findings that are to be ignored; `FlowBuildError` if they are no texts."""
    if ignore == ():  # as nearly always
        return ()
    codes = ignore.split(",") if isinstance(ignore, str) else ignore
    if not isinstance(codes, Iterable):
        codes = [codes]
    found = []
    for code in codes:
        if not isinstance(code, str):
            raise FlowBuildError(
                f'what is ignored is named by its code, such as "F201", not by a value of type {type(code).__qualname__}.'
            )
        found.append(code.strip())
    return tuple(filter(None, found))


def one_line(comment: str) -> str:
    """Return a comment as it is kept: on one line, without blanks around it."""
    if not isinstance(comment, str):
        raise FlowBuildError(f"a comment is a str, not of type {type(comment).__qualname__}.")
    if not comment:
        return comment
    if not comment.isprintable():
        comment = "".join(" " if is_control(character) else character for character in comment)
    return comment.strip()


@frozen
class Stream:
    """Connect a port to a port: what leaves at `source` enters at `target`.

    Attributes:
        source: a `Port`, or the name of one.
        target: likewise.
        declared_at: where it was declared, for errors: `file:line`, in flow text `file:line:column`. Streams are equal without it, and
            without what follows.
        comment: what is said of it, for pictures and flow text; on one line.
        ignore: codes of findings that `check` does not report about it.
        target_at: in flow text, where its target stands: `file:line:column`; else "".

    Raises:
        FlowBuildError: a name does not fit the grammar of ports.
    """

    source: Port = field(converter=_port)
    target: Port = field(converter=_port)
    declared_at: str = field(default="", eq=False)
    comment: str = field(default="", eq=False, converter=one_line)
    ignore: tuple[str, ...] = field(default=(), eq=False, converter=codes_of)
    target_at: str = field(default="", eq=False)

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


@functools.lru_cache(maxsize=PORTS_REMEMBERED)
def _parsed(text: str) -> Port:
    parts = _split(text)
    return port_of(*parts) if len(text) <= NAME_REMEMBERED else port_of.__wrapped__(*parts)


@functools.lru_cache(maxsize=PORTS_REMEMBERED)
def port_of(path: str, operation: str, instance: str, name: str) -> Port:
    """Make a port of its parts, once; `FlowBuildError` as the constructor."""
    return Port(path=path, operation=operation, instance=instance, name=name)


def _split(text: str) -> tuple[str, str, str, str]:
    """Take a name apart into path, operation, instance and port name, in a few passes over it."""
    plain = text.replace("*", "").replace("\\", "/").strip()
    if not plain:
        raise FlowBuildError(
            f'{quoted(text)} names no port. Write an operation ("parse"), a port of one ("parse.text") or a port of the flow (".in").'
        )
    if plain == "/":
        raise FlowBuildError(
            f'{quoted(text)} names no port, nor a flow. Write "/parse" for an operation of the root flow, "/.in" for one of its ports.'
        )
    path, _, rest = plain.rpartition("/")
    place, _, name = rest.rpartition(".") if "." in rest else (rest, "", "")
    root = "/" if plain.startswith("/") else ""
    # "/a" and "a" have no flow in their path; "//a" has one without a name.
    flows = path.removeprefix("/").split("/") if path else []
    split_flows = [_place(flow, text) for flow in flows]
    if ("", "") in split_flows:
        raise FlowBuildError(
            f'{quoted(text)} has an empty name in its path. Write one "/" between two names, and none in front but to start from the root flow.'
        )
    operation, instance = _place(place, text)
    name = name.strip()
    path = root + "/".join(f"{flow}#{number}" if number else flow for flow, number in split_flows)
    parts = path, operation, instance, name
    whole = "".join(parts)
    control = "" if whole.isprintable() else next(filter(is_control, whole), "")
    if control:
        raise FlowBuildError(
            f"{quoted(text)} has the control character U+{ord(control):04X} in it, as character {text.index(control) + 1}. Leave it out: names are "
            "shown in errors and written to flow files."
        )
    return parts


def _place(text: str, whole: str) -> tuple[str, str]:
    """Take the name of an operation or flow and its instance apart."""
    name, instance = _halves(text)
    if "#" in text and not instance:
        raise FlowBuildError(
            f'{quoted(whole)} has a "#" without an instance behind it. Write the instance ("parse#1") or leave out the "#".'
        )
    if instance and not name:
        raise FlowBuildError(
            f"{quoted(whole)} has the instance {quoted('#' + instance)} of nothing. Write the name before it: {quoted('parse#' + instance)}."
        )
    if name in {".", ".."}:
        raise FlowBuildError(
            f'{quoted(whole)} has "{name}" where a name belongs: names are no file names, "." and ".." lead nowhere. '
            'Write the name of the flow, or "/" in front to start from the root flow.'
        )
    return name, instance


def _halves(text: str) -> tuple[str, str]:
    name, _, instance = text.partition("#")
    return name.strip(), instance.strip()


def is_control(character: str) -> bool:
    """Say whether a character is of the Unicode categories Cc, Cs, Zl or Zp: those that break lines or encodings."""
    return (
        character < " "
        or "\x7f" <= character <= "\x9f"
        or character in "\u2028\u2029"
        or "\ud800" <= character <= "\udfff"
    )


def quoted(text: str) -> str:
    """Return the start of a text as errors repeat it."""
    shown = text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "…"
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return f'"{shown}"'
