"""The commands, as click has them: what they take, and which exit code they end with."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flowrt.cli.exits import FAULTY, INTERRUPTED, USAGE
from flowrt.cli.inputs import STANDARD_INPUT, InputError, parse_input
from flowrt.cli.output import Output, UnreadError
from flowrt.cli.running import RunCommand
from flowrt.engine.schedules import SCHEDULES, ScheduleName
from flowrt.errors import FlowBuildError, counted
from flowrt.flow.checks import Finding, check, findings_of
from flowrt.flow.container import FlowOperationContainer
from flowrt.flow.diagrams import flow_names, to_dot, to_mermaid, to_svg
from flowrt.flow.flow import Flow
from flowrt.flow.packages import ModuleError, operations_of
from flowrt.flow.text import BYTES_LIMIT, decoded, format_text, read_flow_file

if TYPE_CHECKING:
    from flowrt.cli.inputs import InputOption


FORMATS = {"mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}
SUFFIXES = {
    ".txt": "mermaid",
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
}

EXIT_CODES = """\b
Exit codes:
  0    all is well
  1    the flow failed or is faulty; something was found, or would be changed
  2    the command line is wrong: a file, module, port or option that is not there
  130  stopped by Ctrl-C; 143 by SIGTERM; 141 as nobody read the output
"""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

operations_option: Decorator = click.option(
    "--operations",
    "-m",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module (or .py file) and use its operations. May be given several times.",
)
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, one object a line."
)
flow_argument: Decorator = click.argument("flow", metavar="FLOW")
flows_argument: Decorator = click.argument("flows", metavar="FLOW...", nargs=-1, required=True)


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's way
    if asked:
        from importlib import metadata  # noqa: PLC0415 - it takes its time

        try:
            version = metadata.version("flowrt")
        except metadata.PackageNotFoundError:  # it runs from a checkout
            version = "(not installed)"
        click.echo(f"flowrt {version}")
        context.exit()


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def cli() -> None:
    """Run, check, draw and format flows. FLOW is a file of flow text, or - for the standard input."""


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal without the letter is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        return cli.main(arguments, prog_name="flowrt", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except UnreadError as error:
        return error.code


def _read_inputs(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[InputOption, ...]:
    try:
        return tuple(parse_input(value) for value in values)
    except InputError as error:
        raise click.BadParameter(str(error)) from None


def _read_timeout(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not value < math.inf:
        raise click.BadParameter(f"{value} is no number of seconds.")
    return value


@cli.command(epilog=EXIT_CODES)
@flow_argument
@operations_option
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    callback=_read_inputs,
    metavar="PORT=VALUE",
    help="Send a message: PORT=TEXT, PORT:=JSON, PORT alone without data; PORT=@FILE one for each line of a file (@- is the standard "
    "input), PORT:=@FILE for each line of JSON. PORT=@@TEXT is a text that starts with @.",
)
@click.option(
    "--schedule",
    type=click.Choice(list(SCHEDULES)),
    default="breadth_first",
    show_default=True,
    help="What comes next.",
)
@click.option("--no-parallelism", is_flag=True, help="Run every operation on the engine's thread.")
@click.option("--strict", is_flag=True, help="Refuse a flow with outputs that no stream takes.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    callback=_read_timeout,
    metavar="S",
    help="Give up what is not done after S seconds; a flow with active operations ends then.",
)
@click.option("--verbose", "-v", is_flag=True, help="Show whole tracebacks.")
@json_option
def run(
    *,
    flow: str,
    modules: tuple[str, ...],
    inputs: tuple[InputOption, ...],
    schedule: ScheduleName,
    no_parallelism: bool,
    strict: bool,
    timeout: float | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run a flow until it is done, and print its results, one a line.

    With a single result port the data alone, else the port, a tab and the data. Errors are told as they happen and do not stop the
    rest. A flow with active operations runs until it is stopped.

    Ctrl-C and SIGTERM end the input and let what is under way finish; a second one kills.
    """
    if sum([flow == STANDARD_INPUT, *(each.file == STANDARD_INPUT for each in inputs)]) > 1:
        raise click.UsageError(
            "the standard input can be read once: as the flow, or as the messages of one --input."
        )
    output = Output(as_json=as_json, verbose=verbose)
    text = _text_of(flow, output)
    parallelism = not no_parallelism
    try:
        whole = _with_operations(Flow.from_text(text, source=flow), _imported(modules, output))
        command = RunCommand(
            whole, output, timeout, schedule, name=Path(flow).stem, parallelism=parallelism, strict=strict
        )
        code = command.run(inputs)
    except FlowBuildError as error:
        if not modules and all(each.code == "F101" for each in findings_of(error)):
            output.error(
                "the flow needs operations, and none were given: --operations (-m) names the module that holds them."
            )
        else:
            output.build_error(error)
        code = FAULTY
    except InputError as error:
        output.error(str(error))
        code = USAGE
    _end(code)


@cli.command("check", epilog=EXIT_CODES)
@flows_argument
@operations_option
@click.option("--ignore", multiple=True, metavar="CODE", help="Do not report findings of this code.")
@click.option("--strict", is_flag=True, help="Outputs that no stream takes are errors.")
@json_option
def check_command(
    *, flows: tuple[str, ...], modules: tuple[str, ...], ignore: tuple[str, ...], strict: bool, as_json: bool
) -> None:
    """Say what is wrong with flows, or looks like it. Nothing of them is run.

    Without --operations only the files are looked at: whether there are such operations is not known then, and no finding.
    """
    output = Output(as_json=as_json)
    containers = _imported(modules, output)
    found_in: list[list[Finding]] = []
    for name in flows:
        text = _text_of(name, output)
        try:
            flow = _with_operations(Flow.from_text(text, source=name), containers)
            ignored = ignore if modules else (*ignore, "F101")
            found_in.append(list(check(flow, ignore=ignored, strict=strict)))
        except FlowBuildError as error:
            found_in.append(list(findings_of(error)))
    count = 0
    for finding in _of_all(found_in):
        output.finding(finding, as_result=True)
        count += 1
    found = counted(count, "finding") if count else "no findings"
    unknown = "" if modules else "; without --operations, so not whether there are such operations"
    output.note(f"{found} in {counted(len(flows), 'flow')}{unknown}")
    _end(FAULTY if count else 0)


def _of_all(found_in: list[list[Finding]]) -> Iterator[Finding]:
    """Go through the findings of several flows; an operation is not used if none of them uses it, and that is told once."""
    unused = [{str(each) for each in found if each.code == "F203"} for found in found_in]
    nowhere = set.intersection(*unused) if unused else set()
    for found in found_in:
        for each in found:
            if each.code != "F203":
                yield each
            elif str(each) in nowhere:
                nowhere.discard(str(each))
                yield each


@cli.command(epilog=EXIT_CODES)
@flow_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="Default: what the suffix of -o says, else mermaid.",
)
@click.option(
    "--output", "-o", "target", metavar="FILE", help="Write to a file; else to the standard output."
)
@click.option(
    "--subflow", default="", metavar="NAME", help="Draw a flow inside it, such as lines or import/lines."
)
@click.option("--boxes", is_flag=True, help="Draw the flows inside it as boxes with what is in them.")
@json_option
def draw(
    *, flow: str, form: str | None, target: str | None, subflow: str, boxes: bool, as_json: bool
) -> None:
    """Draw a flow as Mermaid, DOT or SVG. Nothing of it is imported or run."""
    output = Output(as_json=as_json)
    text = _text_of(flow, output)
    suffix = Path(target or "").suffix.lower()
    if form is None and suffix and suffix not in SUFFIXES:
        raise click.UsageError(
            f'draw writes {", ".join(SUFFIXES)}, and "{target}" is none of them. Choose one, or say which form it is to have: --format.'
        )
    form = form or SUFFIXES.get(suffix, "mermaid")
    try:
        whole = Flow.from_text(text, source=flow)
        drawn = FORMATS[form](whole, subflow, boxes=boxes)
    except FlowBuildError as error:
        output.build_error(error)
        _end(FAULTY)
    target = None if target == STANDARD_INPUT else target
    if target is not None:
        _write(Path(target), drawn, output)
    if as_json:
        facts = {"flow": flow, "subflow": subflow, "format": form, "flows": flow_names(whole)}
        output.write_json({**facts, "file": target} if target is not None else {**facts, "text": drawn})
    elif target is None:
        output.write(drawn)


@cli.command("format", epilog=EXIT_CODES)
@flows_argument
@click.option(
    "--check", "only_check", is_flag=True, help="Change nothing; the exit code is 1 if something would be."
)
@click.option("--diff", is_flag=True, help="Change nothing; print what would be.")
@json_option
def format_command(*, flows: tuple[str, ...], only_check: bool, diff: bool, as_json: bool) -> None:
    """Bring flow files into the normal layout; they mean the same, and comments stay. The standard input is written to the output."""
    output = Output(as_json=as_json)
    changed, faulty = 0, False
    for name in flows:
        text = _text_of(name, output)
        try:
            formatted = format_text(text, name)
        except FlowBuildError as error:
            output.build_error(error)
            faulty = True
            continue
        changed += formatted != text
        if name == STANDARD_INPUT and not (only_check or diff):
            output.write_json({"flow": name, "text": formatted}) if as_json else output.write(formatted)
            continue
        if diff and not as_json:
            output.write(_difference(name, text, formatted))
        if formatted != text and not (only_check or diff):
            _write(Path(name), formatted, output)
        if as_json:
            output.write_json({"flow": name, "changed": formatted != text})
        elif formatted != text and not diff:
            output.note(f"{name} {'would be' if only_check else 'was'} changed")
    _end(FAULTY if faulty or (changed and (only_check or diff)) else 0)


def _difference(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n" for line in lines)


def _text_of(name: str, output: Output) -> str:
    """Read a flow file, or the standard input; a file that is not there ends the program."""
    try:
        text = _standard_input() if name == STANDARD_INPUT else read_flow_file(name)
    except FlowBuildError as error:
        output.error(str(error))
        _end(FAULTY if name == STANDARD_INPUT or Path(name).is_file() else USAGE)
    output.show_lines_of(name, text)
    return text


def _standard_input() -> str:
    if sys.stdin is None:  # it was closed before the process was started
        return ""
    content = sys.stdin.buffer.read(BYTES_LIMIT + 4)  # with a byte order mark, and one more to be too large
    return decoded(content, STANDARD_INPUT)


def _with_operations(flow: Flow, containers: Iterable[FlowOperationContainer]) -> Flow:
    for container in containers:
        flow.add_operations(container)
    return flow


def _imported(modules: tuple[str, ...], output: Output) -> list[FlowOperationContainer]:
    try:
        return operations_of(modules)
    except ModuleError as error:
        if error.__cause__ is None:
            output.error(str(error))
        else:
            output.failure(error)
        _end(USAGE)


def _write(file: Path, text: str, output: Output) -> None:
    """Write a file whole or not at all: another one first, which then takes its name, and its mode; a device or pipe as it is."""
    real = Path(os.path.realpath(file))  # a link stays one
    new = real.with_name(f".{real.name}.{os.getpid()}.new")
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8", newline="\n")
            return
        try:
            new.write_text(text, encoding="utf-8", newline="\n")
            if real.exists():
                new.chmod(real.stat().st_mode & 0o7777)
            new.replace(real)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        output.error(f'"{file}" cannot be written: {error.strerror}.')
        _end(USAGE)


def _end(code: int) -> NoReturn:
    click.get_current_context().exit(code)
