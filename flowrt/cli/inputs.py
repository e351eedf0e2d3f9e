"""What `--input` says: which port gets which messages.

.in=text          one message: the text
.in:=[1, 2]       one message: what the JSON says
.in=@names.txt    a message for each line of a file, as one run; `@-` is the standard input
.in:=@rows.jsonl  likewise, each line JSON
.in=@@home        a text that starts with @
.in               one message without data
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen

from flowrt.errors import FlowBuildError
from flowrt.ports import Port

STANDARD_INPUT = "-"

Waiting = Callable[[], AbstractContextManager[Any]]
UntilReadable = Callable[[int], None]


class InputError(Exception):
    """What stands behind `--input`, or in a file it names, is not what it should be."""


@frozen
class InputOption:
    """What one `--input` says. `file`: where its messages come from, one a line; else `data` is the only one."""

    port: Port
    data: Any = None
    file: str = ""
    is_json: bool = False

    def lines(self, waiting: Waiting, until_readable: UntilReadable) -> Iterator[Any]:
        """Yield the messages of the file; what `waiting` returns is entered while the next line is waited for."""
        with _opened(self.file, until_readable) as file:
            for number in count(1):
                with waiting():
                    line = self._next_line(file)
                if not line:
                    return
                text = line.removesuffix("\n")
                yield _json(text, f"line {number} of {self.file}") if self.is_json else text

    def check_file(self) -> None:
        """Refuse a file that cannot be there to read; nothing is opened, for it may be a pipe."""
        path, why = Path(self.file), 0
        if self.file == STANDARD_INPUT:
            why = errno.EBADF if sys.stdin is None else 0  # it was closed before the process was started
        elif self.file and not path.exists():
            why = errno.ENOENT
        elif self.file and path.is_dir():
            why = errno.EISDIR
        elif self.file and not os.access(path, os.R_OK):
            why = errno.EACCES
        if why:
            raise _unreadable(self.file, os.strerror(why))

    def _next_line(self, file: TextIO) -> str:
        try:
            return file.readline()
        except UnicodeDecodeError as error:
            says = f'the input file "{self.file}" is not {error.encoding}. Save it as UTF-8.'
            raise InputError(says) from None
        except OSError as error:
            raise _unreadable(self.file, error.strerror) from None


def parse_input(text: str) -> InputOption:
    """Read one `--input`; `InputError` if it names no port, or its JSON is none."""
    name, equals, value = text.partition("=")
    is_json = name.endswith(":") and bool(equals)
    try:
        port = Port.parse(name.removesuffix(":") if is_json else name)
    except FlowBuildError as error:
        raise InputError(f"{error} An input is PORT=TEXT, PORT:=JSON or PORT=@FILE.") from None
    if not equals:
        return InputOption(port)
    if value.startswith("@@"):
        value = value[1:]
    elif value.startswith("@"):
        return InputOption(port, file=value[1:] or STANDARD_INPUT, is_json=is_json)
    return InputOption(port, _json(value, f"the input of {port}") if is_json else value)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        why, at = "a number is too long", ""
        if isinstance(error, json.JSONDecodeError):
            why, at = error.msg, f", column {error.colno}"
        raise InputError(f"{what}{at}: this is no JSON: {why}.") from None
    except RecursionError:
        raise InputError(f"{what}: this JSON is nested too deep.") from None


class _StandardInput(io.RawIOBase):
    """The standard input, which is not ours to close; its reads do not block before there is something to read."""

    def __init__(self, until_readable: UntilReadable) -> None:
        self._file = sys.stdin.fileno()
        self._until_readable = until_readable

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._until_readable(self._file)
        data = os.read(self._file, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _opened(name: str, until_readable: UntilReadable) -> AbstractContextManager[TextIO]:
    if name == STANDARD_INPUT:
        try:
            raw = _StandardInput(until_readable)
        except io.UnsupportedOperation:  # it is no file of the system's
            raw = None
        if raw is None or os.name != "posix":  # elsewhere only sockets can be waited for
            return nullcontext(sys.stdin)
        return io.TextIOWrapper(io.BufferedReader(raw), sys.stdin.encoding, sys.stdin.errors)
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise _unreadable(name, error.strerror) from None


def _unreadable(name: str, why: str | None) -> InputError:
    return InputError(f'the input file "{name}" cannot be read: {why}.')
