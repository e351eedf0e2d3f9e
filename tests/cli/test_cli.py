"""The command line: what each command takes, says and ends with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from flowrt.cli import main
from flowrt.cli.inputs import InputError, InputOption, parse_input
from flowrt.cli.output import json_of
from flowrt.ports import Port

ROOT = Path(__file__).parents[2]

HELLO = """\
// says hello
.in, greet
greet, shout  // politely
shout, .out
"""

OPERATIONS = """\
from flowrt import FlowOperationContainer, Gather, Scatter, operation

print("imported", end="")

@operation
def greet(name):
    return f"hello {name}"

@operation
def shout(text):
    return text.upper()

@operation
def fail(data):
    raise ValueError(f"not {data}")

@operation
def same(data):
    return data

class Unsayable:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__

class UnsayableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")

@operation
def unsayable(data):
    return Unsayable()

@operation
def fail_unsayably(data):
    raise UnsayableError

lists = FlowOperationContainer().add_operation(Scatter("scatter")).add_operation(Gather("gather"))
"""


@frozen
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def flowrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the command line in a folder with a flow and its operations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "hello.flow").write_text(HELLO)
    module = f"operations_{os.urandom(6).hex()}"
    (tmp_path / f"{module}.py").write_text(OPERATIONS.replace('print("imported", end="")', ""))

    def call(*arguments: str, stdin: str | bytes = "") -> Said:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        code = main([module if each == "OPERATIONS" else each for each in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield call
    sys.modules.pop(module, None)


def write(text: str, name: str = "other.flow") -> str:
    Path(name).write_text(text)
    return name


# --- run


def test_a_flow_is_run_and_its_results_are_printed(flowrt) -> None:
    said = flowrt(
        "run", "hello.flow", "--operations", "OPERATIONS", "--input", ".in=you", "--input", ".in=all"
    )

    assert said == Said(0, "HELLO YOU\nHELLO ALL\n", "")


def test_names_on_the_command_line_are_found_in_composed_and_decomposed_letters(flowrt) -> None:
    name = write(
        ".gru\u0308\u00dfe, f\u00fcr alle.in\nfu\u0308r alle.out, .out\nf\u00dcR Alle\n.in, greet, .out"
    )

    assert flowrt("run", name, "-m", "OPERATIONS", "-i", ".GR\u00dcSSE=you").out == "hello you\n"
    assert "greet" in flowrt("draw", name, "--subflow", "FU\u0308R ALLE").out


@pytest.mark.parametrize(
    "options", [("--schedule", "sync"), ("--schedule", "parallel"), ("--no-parallelism", "--strict")]
)
def test_a_flow_is_run_as_the_options_say(flowrt, options) -> None:
    assert flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=you", *options).out == "HELLO YOU\n"


def test_results_of_several_ports_are_printed_with_their_port(flowrt) -> None:
    name = write(".in, same\nsame, .one\nsame, .two\n")

    assert flowrt("run", name, "-m", "OPERATIONS", "-i", ".in=x").out == ".one\tx\n.two\tx\n"


def test_the_lines_of_a_file_are_messages(flowrt) -> None:
    write("Ann\n\nBo", "names.txt")

    from_file = flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=@names.txt")
    from_stdin = flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=@-", stdin="Ann\n\nBo")

    assert from_file == from_stdin == Said(0, "HELLO ANN\nHELLO \nHELLO BO\n", "")


def test_containers_of_a_module_are_its_operations_too(flowrt) -> None:
    name = write(".in, scatter\nscatter.stream, same\nsame, gather.stream\ngather, .out\n")

    assert flowrt("run", name, "-m", "OPERATIONS", "-i", ".in:=[1, 2]").out == "[1, 2]\n"


def test_results_are_written_as_json(flowrt) -> None:
    name = write(".in, same\nsame, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", '.in:={"é": [null]}', "-i", ".in", "--json")

    assert said.data == [{"port": ".out", "data": {"é": [None]}}, {"port": ".out", "data": None}]


def test_what_json_cannot_hold_is_written_as_its_repr() -> None:
    assert json_of({"data": {1, 2}}) == '{"data": "{1, 2}"}'
    assert json_of({"data": float("nan")}) == '{"data": "nan"}'
    assert json_of({"data": {(1, 2): 3}}) == '{"data": "{(1, 2): 3}"}'
    loop: list[object] = []
    loop.append(loop)
    assert json_of({"port": ".out", "data": loop}) == '{"port": ".out", "data": "[[...]]"}'


def test_an_error_is_told_and_the_rest_goes_on(flowrt) -> None:
    name = write(".bad, fail\nfail, .out\n.in, same\nsame, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=x", "-i", ".in=y")

    assert (said.code, said.out) == (1, "y\n")
    assert 'error: operation "fail" (declared at ' in said.err
    assert "raised ValueError: not x\n  .bad -> fail\n  raised at " in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("options", [(), ("--json",), ("--schedule", "sync"), ("-v",)])
def test_a_result_that_cannot_be_printed_is_told_by_type_and_port(flowrt, options) -> None:
    """K9: not as "a subscriber of on_result raised"."""
    name = write(".bad, unsayable\nunsayable, .out\n.in, same\nsame, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=x", "-i", ".in=y", *options)

    assert said.code == 1
    assert "y" in said.out
    assert 'a result at \\".out\\"' in said.err if "--json" in options else 'a result at ".out"' in said.err
    assert "of type Unsayable, raised RuntimeError" in said.err
    assert "subscriber" not in said.err


@pytest.mark.parametrize("options", [(), ("--json",), ("--schedule", "sync"), ("-v",)])
def test_an_error_that_cannot_be_printed_is_told_by_type_and_operation(flowrt, options) -> None:
    """K9: not as "a subscriber of on_exception raised"."""
    name = write(".bad, fail_unsayably\nfail_unsayably, .out\n.in, same\nsame, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=x", "-i", ".in=y", *options)

    assert said.code == 1
    assert "y" in said.out
    assert "fail_unsayably" in said.err
    assert "UnsayableError" in said.err
    assert "subscriber" not in said.err


AS_JSON = '{"port": ".out", "data": "\\u2192 \\ud83d\\ude00"}\n'


@pytest.mark.parametrize(
    ("options", "shown"), [((), "\\u2192 \\U0001f600\n"), (("--json",), AS_JSON)], ids=["text", "json"]
)
def test_what_the_console_cannot_encode_is_written_as_its_number(tmp_path: Path, options, shown) -> None:
    """K13: on Windows a standard output that is no console is often cp1252."""
    (tmp_path / "same.flow").write_text(".in, same\nsame, .out\n")
    (tmp_path / "ops.py").write_text(OPERATIONS.replace('print("imported", end="")', ""))
    said = subprocess.run(
        [sys.executable, "-m", "flowrt", "run", "same.flow", "-m", "ops.py", "-i", ".in=→ 😀", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252:strict"},
        capture_output=True,
        check=False,
    )

    assert (said.returncode, said.stdout.decode("cp1252").replace("\r", ""), said.stderr) == (0, shown, b"")


def test_the_whole_traceback_is_shown_if_asked_for(flowrt) -> None:
    name = write(".bad, fail\nfail, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=x", "-v")

    assert 'raise ValueError(f"not {data}")' in said.err


def test_errors_are_written_as_json(flowrt) -> None:
    name = write(".bad, fail\nfail, .out\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=x", "--json")

    error = json.loads(said.err)
    assert (said.code, said.out) == (1, "")
    assert (error["type"], error["operation"], error["cause"], error["notes"]) == (
        "OperationError",
        "fail",
        "ValueError: not x",
        [".bad -> fail"],
    )


def test_of_many_errors_some_are_told_and_the_rest_is_counted(flowrt) -> None:
    name = write(".bad, fail\nfail, .out\n")
    write("x\n" * 25, "lines.txt")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", ".bad=@lines.txt")

    assert said.err.count("error: ") == 20
    assert said.err.endswith("flowrt: and 5 errors more\n")


def test_a_faulty_flow_is_shown_line_by_line_and_not_run(flowrt) -> None:
    said = flowrt("run", write("  .in, gret\ngreet, .out\n"), "-m", "OPERATIONS", "-i", ".in=x")

    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(
        'other.flow:1:8: error F101: stream ".in -> gret": there is no operation or flow "gret".\n'
        "      .in, gret\n"
        "           ^\n"
        '  Did you mean "greet"?'
    )


def test_operations_that_were_not_named_are_asked_for(flowrt) -> None:
    said = flowrt("run", "hello.flow", "-i", ".in=x")

    assert said.code == 1
    assert said.err == (
        "error: the flow needs operations, and none were given: --operations (-m) names the module that holds them.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("-i", ".inn=x"),
            'error: no stream of the flow starts at ".inn". Did you mean ".in"? There are: .in.\n',
        ),
        (
            (),
            "error: nothing would happen: there is no --input and no active operation. The flow's ports are: .in.\n",
        ),
        (("-m", "no.such", "-i", ".in=x"), 'error: there is no module "no.such", neither installed nor in '),
        (
            ("-m", "such.py", "-i", ".in=x"),
            'error: there is no file "such.py". Modules are named as they are ',
        ),
        (("-i", "in=x"), 'error: no stream of the flow starts at "in". Did you mean ".in"?'),
        (("-i", "greet.odd=x"), 'error: no stream of the flow starts at "greet.odd". There are: .in.\n'),
        (("-i", "no/flow=x"), 'error: no stream of the flow starts at "no/flow". There are: .in.\n'),
        (
            ("-i", ".in=x", "-i", ".in=@no.txt"),
            'error: the input file "no.txt" cannot be read: No such file or directory.\n',
        ),
        (("-i", ".in=@."), 'error: the input file "." cannot be read: Is a directory.\n'),
        (("-i", ".in=@-", "-i", ".in=@"), "Error: the standard input can be read once: "),
        (("--timeout", "nan"), "Invalid value for '--timeout'"),
        (("-i", ".in:={"), "the input of .in, column 2: this is no JSON: Expecting property name"),
        (("-i", "=x"), "An input is PORT=TEXT, PORT:=JSON or PORT=@FILE."),
        (("--schedule", "odd"), "Invalid value for '--schedule'"),
        (("--timeout", "0"), "Invalid value for '--timeout'"),
    ],
)
def test_a_wrong_command_line_is_told_and_ends_with_2(flowrt, arguments, text) -> None:
    said = flowrt("run", "hello.flow", "-m", "OPERATIONS", *arguments)

    assert said.code == 2
    assert text in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", ["run", "check", "draw", "format"])
def test_a_flow_file_that_is_not_there_ends_with_2(flowrt, command) -> None:
    assert flowrt(command, "helo.flow") == Said(
        2,
        "",
        'error: there is no flow file "helo.flow". Did you mean "hello.flow"? There are: hello.flow.\n',
    )


def test_an_input_file_with_something_wrong_in_it_ends_with_1(flowrt) -> None:
    write("1\n[\n", "rows.jsonl")
    Path("latin.txt").write_bytes(b"caf\xe9\n")

    said = flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in:=@rows.jsonl")
    latin = flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=@latin.txt")
    piped = flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=@-", stdin=b"caf\xe9\n")

    assert said == Said(
        1, "HELLO 1\n", "error: line 2 of rows.jsonl, column 2: this is no JSON: Expecting value.\n"
    )
    assert latin == Said(1, "", 'error: the input file "latin.txt" is not utf-8. Save it as UTF-8.\n')
    assert piped == Said(1, "", 'error: the input file "-" is not utf-8. Save it as UTF-8.\n')


def test_messages_may_be_sent_to_whatever_a_stream_starts_at(flowrt) -> None:
    name = write(".in, f\nf, .out\nf\n  ., same\n  same, .\n")

    said = flowrt("run", name, "-m", "OPERATIONS", "-i", "f/same=inside", "-i", "f=behind", "-i", "f/=into")

    assert said == Said(0, "inside\nbehind\ninto\n", "")


@pytest.mark.parametrize(
    ("flow", "named"),
    [
        (".in, f/.in\nf, .out\nf\n  .in, same\n  same, .\n", False),
        (".in, f/.in\nf, .out\nf\n  .in, same\n  same, .\n  same, /.more\n", True),
        (".in, same\nsame, .out\nsame, .OUT\n", False),
    ],
    ids=range(3),
)
def test_results_are_named_where_there_are_several_ports_they_leave_by(flowrt, flow, named) -> None:
    said = flowrt("run", write(flow), "-m", "OPERATIONS", "-i", ".in=x")

    assert (said.code, set(said.out.splitlines())) == (0, {".out\tx", ".more\tx"} if named else {"x"})


def test_a_module_that_is_named_twice_counts_once(flowrt) -> None:
    assert flowrt("run", "hello.flow", "-m", "OPERATIONS", "-m", "OPERATIONS", "-i", ".in=you").code == 0


@pytest.mark.parametrize("command", [("run", "-i", ".in=x"), ("check",), ("draw",), ("format",)])
def test_a_flow_at_the_standard_input_is_read_like_a_file(flowrt, command) -> None:
    faulty = flowrt(command[0], "-", *command[1:], stdin=b".in, caf\xe9\n")
    large = flowrt(command[0], "-", *command[1:], stdin=b"\xef\xbb\xbf" + b"//\n" * 500_000)

    assert faulty == Said(1, "", "error: -:1:9: the byte 0xE9 is not UTF-8. Save the file as UTF-8.\n")
    assert "the flow text has more than 1,048,576 bytes" in large.out + large.err
    assert large.code == 1


def test_the_standard_input_is_not_both_the_flow_and_its_input(flowrt) -> None:
    said = flowrt("run", "-", "-m", "OPERATIONS", "-i", ".in=@-", stdin=HELLO)

    assert (said.code, said.out) == (2, "")
    assert "Error: the standard input can be read once" in said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize(
    "command",
    [
        "run {} -m OPERATIONS -i .in=x",
        "run {} -m OPERATIONS -i .in=x --json",
        "check {} --json",
        "check {}",
        "draw {}",
    ],
)
def test_an_output_that_cannot_be_written_is_told(flowrt, monkeypatch, command) -> None:
    name = write("  .in, same\nsame, .out\nsame, .out\n")
    monkeypatch.setattr("flowrt.cli.output.discard_output", lambda: None)  # it is the test's

    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        said = flowrt(*command.format(name).split())

    assert said.code == 1
    assert "the standard output cannot be written: No space left on device." in said.err
    assert said.err.count("error") == 1


def test_there_may_be_no_standard_streams_at_all(flowrt, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    assert (
        flowrt("draw", "hello.flow").err
        == "error: the standard output cannot be written: Bad file descriptor.\n"
    )
    assert flowrt("run", "hello.flow", "-m", "OPERATIONS", "-i", ".in=x").code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such pipes")
def test_a_pipe_is_written_to_and_stays_one(flowrt) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)

    said = flowrt("draw", "hello.flow", "-o", "pipe")

    assert said == Said(0, "", "")
    assert os.read(reader, 100).startswith(b"flowchart")
    assert Path("pipe").is_fifo()
    os.close(reader)


def test_what_is_drawn_to_a_dash_is_printed(flowrt) -> None:
    assert flowrt("draw", "hello.flow", "-o", "-").out.startswith("flowchart")
    assert not Path("-").exists()


def test_a_module_that_cannot_be_imported_is_told_with_its_reason(flowrt) -> None:
    write("1 / 0\n", "broken.py")
    write("import not_there_at_all\n", "needs.py")
    write("raise SystemExit(0)\n", "leaves.py")

    said = [
        flowrt("run", "hello.flow", "-m", each, "-i", ".in=x") for each in ("broken.py", "needs", "leaves.py")
    ]

    assert [each.code for each in said] == [2, 2, 2]
    assert (
        'error: module "broken.py" cannot be imported.\n  ZeroDivisionError: division by zero ('
        in said[0].err
    )
    assert "ModuleNotFoundError: No module named 'not_there_at_all'" in said[1].err
    assert "SystemExit: 0" in said[2].err


def test_of_a_module_that_is_no_python_its_own_place_is_told(flowrt) -> None:
    write("def (", "no_python.py")

    said = flowrt("run", "hello.flow", "-m", "no_python", "-i", ".in=x")

    assert said.code == 2
    assert said.err.endswith("  SyntaxError: invalid syntax (no_python.py, line 1)\n")


def test_an_operation_that_ends_the_program_is_told(flowrt) -> None:
    name = write(".in, leave\nleave, .out\n")
    write(
        "from flowrt import operation\n\n@operation\ndef leave(data):\n    raise SystemExit(7)\n",
        "leaving.py",
    )

    assert flowrt("run", name, "-m", "leaving.py", "-i", ".in=x") == Said(1, "", "error: SystemExit: 7\n")
    sys.modules.pop("leaving")


def test_a_file_does_not_take_the_place_of_a_module_of_its_name(flowrt) -> None:
    import numbers

    name = write(".in, one\none, .out\n")
    write("from flowrt import operation\n\n@operation\ndef one(data):\n    return 1\n", "numbers.py")

    assert flowrt("run", name, "-m", "numbers.py", "-i", ".in") == Said(0, "1\n", "")
    assert flowrt("run", name, "-m", "./numbers.py", "-i", ".in").out == "1\n"
    assert sys.modules["numbers"] is numbers
    for each in [each for each in sys.modules if each.startswith("numbers_")]:
        del sys.modules[each]


def test_the_sample_is_run(flowrt, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)

    said = flowrt("run", "samples/hello/hello.flow", "-m", "samples.hello.operations", "--input", ".in=World")

    assert said == Said(0, "HELLO WORLD\n", "")


def test_a_module_without_operations_is_told(flowrt) -> None:
    write("x = 1\n", "empty_module.py")

    said = flowrt("run", "hello.flow", "-m", "empty_module.py", "-i", ".in=x")

    assert said.code == 1
    assert 'module "empty_module" has no operations' in said.err


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are for the main thread"
)
@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_a_signal_lets_what_is_under_way_finish(flowrt, schedule) -> None:
    name = write(".in, stop\nstop, .out\n")
    write(
        "import signal\nfrom flowrt import operation\n\n@operation\ndef stop(data):\n"
        "    signal.raise_signal(signal.SIGTERM)\n    return data\n",
        "stopping.py",
    )
    before = signal.getsignal(signal.SIGTERM)

    said = flowrt("run", name, "-m", "stopping.py", "-i", ".in=x", "--schedule", schedule)

    assert (said.code, said.out) == (143, "x\n")
    assert signal.getsignal(signal.SIGTERM) is before
    sys.modules.pop("stopping")


# --- inputs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".in", InputOption(Port.parse(".in"))),
        (".in=", InputOption(Port.parse(".in"), "")),
        (".in=a=b", InputOption(Port.parse(".in"), "a=b")),
        (".in=:x", InputOption(Port.parse(".in"), ":x")),
        (".in:=1.5", InputOption(Port.parse(".in"), 1.5)),
        ("a#1.b:=null", InputOption(Port.parse("a#1.b"), None)),
        (".in=@@x", InputOption(Port.parse(".in"), "@x")),
        (".in=@x.txt", InputOption(Port.parse(".in"), file="x.txt")),
        (".in=@", InputOption(Port.parse(".in"), file="-")),
        (".in:=@-", InputOption(Port.parse(".in"), file="-", is_json=True)),
    ],
)
def test_an_input_is_text_or_json_or_a_file(text: str, expected: InputOption) -> None:
    assert parse_input(text) == expected


@pytest.mark.parametrize("text", ["", "=", ":=1", "a//b=x", ".in:=", ".in:=nan x", ".in:=" + "[" * 100_000])
def test_an_input_that_is_none_is_told(text: str) -> None:
    with pytest.raises(InputError):
        parse_input(text)


# --- check


def test_a_flow_in_order_has_no_findings(flowrt) -> None:
    # The module has more operations than the flow uses.
    said = flowrt("check", "hello.flow", "-m", "OPERATIONS", "--ignore", "F203")

    assert said == Said(0, "", "flowrt: no findings in 1 flow\n")


def test_without_operations_only_the_file_is_checked(flowrt) -> None:
    assert flowrt("check", "hello.flow") == Said(
        0,
        "",
        "flowrt: no findings in 1 flow; without --operations, so not whether there are such operations\n",
    )


def test_findings_are_printed_with_the_line_a_caret_and_the_remedy(flowrt) -> None:
    said = flowrt("check", write(".in, , b\n"), "hello.flow")

    assert said.code == 1
    assert said.out == (
        'other.flow:1:4: error F001: no name stands between two commas. A stream is "source, target", and a line may go on: '
        '"source, operation, target".\n'
        "    .in, , b\n"
        "       ^\n"
    )
    assert said.err.startswith("flowrt: 1 finding in 2 flows")


def test_findings_are_written_as_json(flowrt) -> None:
    said = flowrt("check", write(".in, nobody\n"), "-m", "OPERATIONS", "--json")

    assert said.code == 1
    found = {each["code"]: each for each in said.data}
    assert (found["F101"]["line"], found["F101"]["column"]) == (1, 6)
    assert said.err == ""


def test_findings_can_be_ignored(flowrt) -> None:
    name = write(".in, greet\ngreet, .out\n")
    found = {each["code"] for each in flowrt("check", name, "-m", "OPERATIONS", "--json").data}

    said = flowrt("check", name, "-m", "OPERATIONS", *(f"--ignore={code}" for code in found))

    assert found
    assert said == Said(0, "", "flowrt: no findings in 1 flow\n")


def test_a_line_that_would_steer_a_terminal_is_shown_without_that(flowrt) -> None:
    said = flowrt("check", write(".in, \x1b[31ma, b\n"))

    assert "\x1b" not in said.out
    assert "    .in, \ufffd[31ma, b\n" in said.out


def test_colours_are_for_those_who_want_them(flowrt, monkeypatch) -> None:
    name = write("a, , c\n")

    plain = flowrt("check", name).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = flowrt("check", name).out
    monkeypatch.setenv("NO_COLOR", "1")
    bold = flowrt("check", name).out

    assert "\x1b" not in plain
    assert "\x1b[1;31merror F001" in coloured
    assert "31m" not in bold


# --- draw


def test_a_flow_is_drawn(flowrt) -> None:
    said = flowrt("draw", "hello.flow")

    assert said.code == 0
    assert said.out.startswith('flowchart LR\n  n1((".in"))\n  n2["greet"]\n')
    assert flowrt("draw", "hello.flow", "--format", "dot").out.startswith("digraph")
    assert flowrt("draw", "-", "--format", "svg", stdin=HELLO).out.startswith("<svg ")


@pytest.mark.parametrize(("name", "start"), [("f.svg", "<svg "), ("f.gv", "digraph"), ("f.txt", "flowchart")])
def test_a_picture_is_written_to_a_file_as_its_suffix_says(flowrt, name, start) -> None:
    assert flowrt("draw", "hello.flow", "-o", name) == Said(0, "", "")
    assert Path(name).read_text("utf-8").startswith(start)
    assert sorted(path.suffix for path in Path().iterdir() if path.name.startswith(".")) == []


def test_a_flow_inside_is_drawn_by_its_name(flowrt) -> None:
    name = write(".in, lines.in\nlines\n    .in, trim\n    trim, .out\n")

    assert "trim" in flowrt("draw", name, "--subflow", "LINES").out
    assert "subgraph" in flowrt("draw", name, "--boxes").out
    assert flowrt("draw", name, "--subflow", "line") == Said(
        1, "", 'error F001: there is no flow "line" to draw. Did you mean "lines"? There are: lines.\n'
    )


def test_a_picture_is_written_as_json(flowrt) -> None:
    (facts,) = flowrt("draw", "hello.flow", "--json").data

    assert facts.pop("text").startswith("flowchart")
    assert facts == {"flow": "hello.flow", "subflow": "", "format": "mermaid", "flows": []}


def test_a_file_that_cannot_be_written_is_told(flowrt) -> None:
    said = flowrt("draw", "hello.flow", "-o", "no/such/folder.svg")

    assert said == Said(2, "", 'error: "no/such/folder.svg" cannot be written: No such file or directory.\n')


# --- format

UNTIDY = "a,b // first\n\n\n  b ,c\n"
TIDY = "a, b  // first\n\nb, c\n"


def test_flow_files_are_brought_into_the_normal_layout(flowrt) -> None:
    name = write(UNTIDY)
    Path(name).chmod(0o640)

    assert flowrt("format", name, "hello.flow") == Said(0, "", "flowrt: other.flow was changed\n")

    assert Path(name).read_text() == TIDY
    assert Path(name).stat().st_mode & 0o777 == 0o640
    assert flowrt("format", name, "--check") == Said(0, "", "")


def test_the_standard_input_is_formatted_to_the_output(flowrt) -> None:
    assert flowrt("format", "-", stdin=UNTIDY) == Said(0, TIDY, "")


def test_what_formatting_would_change_can_be_asked_for(flowrt) -> None:
    name = write(UNTIDY)

    checked = flowrt("format", "--check", name)
    diff = flowrt("format", "--diff", name)

    assert checked == Said(1, "", "flowrt: other.flow would be changed\n")
    assert (diff.code, diff.err) == (1, "")
    assert diff.out.startswith(
        "--- other.flow\n+++ other.flow\n@@ -1,4 +1,3 @@\n-a,b // first\n+a, b  // first\n"
    )
    assert flowrt("format", "--check", "--json", name).data == [{"flow": "other.flow", "changed": True}]
    assert Path(name).read_text() == UNTIDY


def test_a_faulty_flow_is_not_formatted_and_others_are(flowrt) -> None:
    name = write("a, , c\n")
    other = write(UNTIDY, "untidy.flow")

    said = flowrt("format", name, other)

    assert said.code == 1
    assert "other.flow:1:2: error F001" in said.err
    assert Path(other).read_text() == TIDY


# --- the program


def python(*arguments: str, **environment: str) -> Said:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_it_is_a_module_too() -> None:
    said = python("-m", "flowrt", "--help")

    assert said.code == 0
    assert said.out.startswith("Usage: flowrt [OPTIONS] COMMAND")
    assert "141 as nobody read the output" in said.out


def test_without_its_packages_it_says_how_to_install_them() -> None:
    said = python(
        "-c", "import sys; sys.modules['click'] = None; from flowrt.cli import main; sys.exit(main())"
    )

    assert said == Said(
        2,
        "",
        'flowrt: the command line needs click and rich, which are not installed: pip install "flowrt[cli]"\n',
    )


def test_importing_flowrt_imports_nothing_of_the_command_line() -> None:
    said = python("-c", "import sys, flowrt; print({'click', 'rich', 'flowrt.cli'} & set(sys.modules))")

    assert said.out == "set()\n"


@pytest.mark.parametrize("command", ["check", "draw", "format"])
def test_checking_drawing_and_formatting_import_nothing_that_a_flow_names(flowrt, command) -> None:
    write("raise SystemExit('imported')", "greet.py")

    assert flowrt(command, "hello.flow").code == 0
    assert "greet" not in sys.modules


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    flow = tmp_path / "hello.flow"
    flow.write_text(".in, größe\n", encoding="utf-8")

    said = python("-m", "flowrt", "draw", str(flow), PYTHONIOENCODING="ascii")

    assert said.code == 0
    assert 'n2["gr\\xf6\\xdfe"]' in said.out


def test_ctrl_c_while_the_command_line_is_loaded_ends_it_quietly(monkeypatch) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "flowrt.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "flowrt.cli.commands", raising=False)
    monkeypatch.delattr("flowrt.cli.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])

    assert main([]) == 130


# -- what is looked at together, and what nobody would see


def test_an_operation_that_one_of_several_flows_uses_is_used(flowrt, tmp_path: Path) -> None:
    """N6: each flow warned of what only the other used."""
    (tmp_path / "ops.py").write_text(
        "from flowrt import operation\n\n"
        + "".join(f"@operation\ndef {name}(data):\n    return data\n\n" for name in ("left", "right", "none"))
    )
    (tmp_path / "a.flow").write_text(".in, left\nleft, .out\n")
    (tmp_path / "b.flow").write_text(".in, right\nright, .out\n")

    said = flowrt("check", "a.flow", "b.flow", "-m", "ops")

    assert said.code == 1
    assert said.out.count("F203") == 1
    assert '"none"' in said.out


def test_run_says_what_ended_unconnected(flowrt, tmp_path: Path) -> None:
    (tmp_path / "left_only.py").write_text(
        "from flowrt import operation\n\n@operation\ndef left(data):\n    return data\n"
    )
    (tmp_path / "a.flow").write_text(".in, left\n")

    said = flowrt("run", "a.flow", "-m", "left_only", "-i", ".in=1")

    assert said.code == 0
    assert said.out == ""
    assert '1 message of "left" ended there: no stream takes them' in said.err
    assert "the flow has no result port" in said.err


def test_draw_refuses_an_ending_that_it_cannot_write(flowrt, tmp_path: Path) -> None:
    (tmp_path / "a.flow").write_text(".in, .out\n")

    said = flowrt("draw", "a.flow", "-o", "x.png")

    assert said.code == 2
    assert "draw writes .txt, .svg, .dot, .gv, .mmd, .mermaid" in said.err
    assert not (tmp_path / "x.png").exists()
