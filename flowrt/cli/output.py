"""What the command line says: results and data on the standard output, findings and errors on the other one, or all as JSON lines."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from flowrt import users
from flowrt.cli.exits import FAULTY, UNREAD
from flowrt.errors import FlowBuildError, OperationError, OwnAccordError, describe, is_ours
from flowrt.flow.checks import Finding, findings_of

ERRORS_SHOWN = 20  # of a flow that runs; the rest is counted


class UnreadError(Exception):
    """The standard output leads nowhere any more, which has been told. `code`: what the process ends with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Paper(io.StringIO):
    """What is written with the colours that a stream can show, and is not written to it yet."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()


class Output:
    """Called on: any thread."""

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.failures: int = 0
        self._verbose = verbose
        self._lock = threading.Lock()
        self._lines: dict[str, list[str]] = {}

    def show_lines_of(self, name: str, text: str) -> None:
        """Have findings in a flow text shown with the line they are about."""
        self._lines[name] = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")

    # -- the standard output

    def write(self, text: str) -> None:
        """Write text as it is, and see to it that it leaves; `UnreadError` if it cannot."""
        if sys.stdout is None:  # it was closed before the process was started
            self._give_up(os.strerror(errno.EBADF))
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
            raise UnreadError(UNREAD) from None
        except OSError as error:  # the disk is full, say
            self._give_up(error.strerror)

    def _give_up(self, why: str | None) -> NoReturn:
        discard_output()
        self.error(f"the standard output cannot be written: {why}.")
        raise UnreadError(FAULTY) from None

    def write_json(self, data: Mapping[str, Any]) -> None:
        """Write a line of JSON."""
        self.write(_encodable(json_of(data), sys.stdout) + "\n")

    def write_result(self, port: str, data: Any, correlation_id: object, *, named: bool) -> None:
        """Write a result, with its port where there is more than one; one that cannot say itself is told of as an error."""
        try:
            if self.as_json:
                line: dict[str, Any] = {"port": port, "data": data}
                if correlation_id is not None:
                    line["correlation_id"] = correlation_id
                text = _encodable(json_of(line), sys.stdout)
            else:
                text = f"{port}\t{data!s}" if named else str(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as raised:  # the data is the user's
            with self._lock:
                self.failures += 1
            self.error(
                f'a result at "{port}" cannot be written: its data, of type {describe(data)}, raised {describe(raised)} when asked for its text.'
            )
            return
        self.write(text + "\n")

    # -- the other one

    def note(self, text: str) -> None:
        """Say something beside the matter."""
        if not self.as_json:
            self._say(Text.assemble(("flowrt: ", "dim"), text))

    def error(self, text: str) -> None:
        """Say why there is nothing else to say."""
        if self.as_json:
            self._say_json({"error": text})
        else:
            self._say(Text.assemble(("error: ", "bold red"), text))

    def finding(self, finding: Finding, *, as_result: bool = False) -> None:
        """Show a finding with the line it is about, a caret below it, and the remedy; `as_result`: on the standard output."""
        if self.as_json:
            if as_result:
                self.write_json(finding.as_dict())
            else:
                self._say_json({"error": str(finding), **finding.as_dict()})
            return
        colour = "bold red" if finding.severity == "error" else "bold yellow"
        place = f"{finding.place}: " if finding.place else ""
        shown = Text.assemble((place, "bold"), (f"{finding.severity} {finding.code}: ", colour), finding.text)
        file, line, column = finding.where
        if 0 < line <= len(self._lines.get(file, ())):
            text = _visible(self._lines[file][line - 1])
            shown.append(f"\n    {text}")
            if column:
                shown.append("\n    " + " " * cell_len(text[: column - 1])).append("^", colour)
        if finding.remedy:
            shown.append(f"\n  {finding.remedy}")
        if as_result:
            self.write(_rendered(shown, to_errors=False))
        else:
            self._say(shown)

    def build_error(self, error: FlowBuildError) -> None:
        """Show all faults that an error lists."""
        for finding in findings_of(error):
            self.finding(finding)

    def failure(self, error: BaseException) -> None:
        """Show what failed while a flow ran: whose fault, on what way, for what reason."""
        with self._lock:
            self.failures += 1
            number = self.failures
        if self.as_json:
            self._say_json(_facts_of(error))
        elif number <= ERRORS_SHOWN:
            self._say(Text.assemble(("error: ", "bold red"), _described(error, verbose=self._verbose)))

    def close(self) -> None:
        """Say how much was not shown."""
        if self.failures > ERRORS_SHOWN and not self.as_json:
            self.note(f"and {self.failures - ERRORS_SHOWN} errors more")

    def _say(self, text: Text) -> None:
        self._say_plainly(_rendered(text, to_errors=True))

    def _say_json(self, data: Mapping[str, Any]) -> None:
        self._say_plainly(_encodable(json_of(data), sys.stderr) + "\n")

    def _say_plainly(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError):  # nobody can know
            if sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()


def _encodable(line: str, stream: TextIO | None) -> str:
    """Return a line of JSON with JSON's own escapes if a stream cannot encode it: those that the stream writes are Python's."""
    try:
        line.encode(stream.encoding if stream is not None else "utf-8")
    except (UnicodeEncodeError, TypeError):  # or it is no stream of bytes
        return json.dumps(json.loads(line))
    return line


def _rendered(text: Text, *, to_errors: bool) -> str:
    """Return a text with the colours that its stream can show; NO_COLOR and what is no terminal are rich's care."""
    paper = _Paper(sys.stderr if to_errors else sys.stdout)
    # No markup and no highlighting: names and texts are shown as they are.
    console = Console(file=paper, markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(text)
    return paper.getvalue()


def discard_output() -> None:
    """Have what is still written to the standard output go nowhere: Python writes the rest of its buffer when it ends."""
    try:
        number = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):  # it has no file, as in tests
        pass


def json_of(data: Mapping[str, Any]) -> str:
    """Write data as a line of JSON; what JSON cannot hold is written as the text that `repr` gives of it."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False, default=repr)
    except (ValueError, TypeError, RecursionError):  # a loop, a number that is none, a key that is no text
        return json.dumps({key: _plain(value) for key, value in data.items()}, ensure_ascii=False)


def _plain(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return repr(value)
    return value


def _described(error: BaseException, *, verbose: bool) -> str:
    if verbose:
        return "".join(traceback.format_exception(error)).rstrip()
    text = users.text_of(error)
    own = users.module_of(error).startswith("flowrt.") or users.is_a(error, BaseExceptionGroup)
    parts = [
        text if own and text else f"{describe(error)}: {text}".removesuffix(": "),
        *(f"  {note}" for note in users.notes_of(error)),
    ]
    if users.is_a(error, BaseExceptionGroup):
        parts += [f"- {_described(each, verbose=False)}" for each in error.exceptions]
    cause = users.cause_of(error)
    if cause is not None:
        told = f"{describe(cause)}: {users.text_of(cause)}".removesuffix(": ")
        place = _raised_at(cause)
        if not text.endswith(told):
            parts.append(f"  {told}" + (f" ({place})" if place else ""))
        elif place:
            parts.append(f"  raised at {place}")
    return "\n".join(parts)


def _raised_at(error: BaseException) -> str:
    """Say in which line of the user's code something was raised."""
    place = ""
    trace = users.traceback_of(error)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not (is_ours(trace.tb_frame) or file.startswith("<frozen") or file == importlib.__file__):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _facts_of(error: BaseException) -> dict[str, Any]:
    facts: dict[str, Any] = {"error": users.text_of(error), "type": describe(error)}
    if users.is_a(error, OperationError) or users.is_a(error, OwnAccordError):
        facts["operation"] = error.operation
    if notes := users.notes_of(error):
        facts["notes"] = notes
    cause = users.cause_of(error)
    if cause is not None:
        facts["cause"] = f"{describe(cause)}: {users.text_of(cause)}".removesuffix(": ")
    return facts


def _visible(line: str) -> str:
    """Put signs for what would steer a terminal, one for one."""
    return "".join(each if each.isprintable() else " " if each == "\t" else "\ufffd" for each in line)
