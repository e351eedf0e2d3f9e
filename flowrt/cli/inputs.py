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
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from attrs import frozen

from flowrt.errors import FlowBuildError
from flowrt.ports import Port

STANDARD_INPUT = "-"

Waiting = Callable[[], AbstractContextManager[Any]]


class InputError(Exception):
    """What stands behind `--input`, or in a file it names, is not what it should be."""


@frozen
class Input:
    """What one `--input` says. `file`: where its messages come from, one a line; else `data` is the only one."""

    port: Port
    data: Any = None
    file: str = ""
    is_json: bool = False

    def lines(self, waiting: Waiting) -> Iterator[Any]:
        """Yield the messages of the file; what `waiting` returns is entered while the next line is waited for."""
        with _opened(self.file) as file:
            number = 0
            while True:
                with waiting():
                    line = self._next_line(file)
                if not line:
                    return
                number += 1
                text = line.removesuffix("\n")
                yield _json(text, f"line {number} of {self.file}") if self.is_json else text

    def check_file(self) -> None:
        """Refuse a file that cannot be there to read; nothing is opened, for it may be a pipe."""
        if self.file == STANDARD_INPUT and sys.stdin is None:  # it was closed before the process was started
            raise _unreadable(self.file, os.strerror(errno.EBADF))
        if self.file in ("", STANDARD_INPUT):
            return
        path = Path(self.file)
        if not path.exists():
            raise _unreadable(self.file, os.strerror(errno.ENOENT))
        if path.is_dir():
            raise _unreadable(self.file, os.strerror(errno.EISDIR))
        if not os.access(path, os.R_OK):
            raise _unreadable(self.file, os.strerror(errno.EACCES))

    def _next_line(self, file: TextIO) -> str:
        try:
            return file.readline()
        except UnicodeDecodeError as error:
            raise InputError(
                f'the input file "{self.file}" is not {error.encoding}. Save it as UTF-8.'
            ) from None
        except OSError as error:
            raise _unreadable(self.file, error.strerror) from None


def parse_input(text: str) -> Input:
    """Read one `--input`; `InputError` if it names no port, or its JSON is none."""
    name, equals, value = text.partition("=")
    is_json = name.endswith(":") and bool(equals)
    try:
        port = Port.parse(name.removesuffix(":") if is_json else name)
    except FlowBuildError as error:
        raise InputError(f"{error} An input is PORT=TEXT, PORT:=JSON or PORT=@FILE.") from None
    if not equals:
        return Input(port)
    if value.startswith("@@"):
        value = value[1:]
    elif value.startswith("@"):
        return Input(port, file=value[1:] or STANDARD_INPUT, is_json=is_json)
    return Input(port, _json(value, f"the input of {port}") if is_json else value)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        at = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{what}{at}: this is no JSON: {why}.") from None
    except RecursionError:
        raise InputError(f"{what}: this JSON is nested too deep.") from None


class _Standing:
    """The standard input, which is not ours to close."""

    def __enter__(self) -> TextIO:
        return sys.stdin

    def __exit__(self, *_: object) -> None:
        pass


def _opened(name: str) -> AbstractContextManager[TextIO]:
    if name == STANDARD_INPUT:
        return _Standing()
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise _unreadable(name, error.strerror) from None


def _unreadable(name: str, why: str | None) -> InputError:
    return InputError(f'the input file "{name}" cannot be read: {why}.')
