"""`flowrt run` as a process: signals, exit codes, and readers that go away. Nothing here waits but for a line of output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX"),
]

ROOT = Path(__file__).parents[2]
LIMIT = 30  # seconds; a process that takes longer hangs

OPERATIONS = '''\
import os, signal, sys, threading
from flowrt import FlowOperationContainer, operation
from flowrt.standard import Ticker

def tell(text):
    sys.stderr.write(text + "\\n")
    sys.stderr.flush()

def wait_for(number):
    """Return when that many signals have come; they are counted by a pipe that Python writes to."""
    seen = 0
    while seen < number:
        seen += len(os.read(SIGNALS, 1))

SIGNALS, written = os.pipe()
os.set_blocking(written, False)
signal.set_wakeup_fd(written)

@operation
def until_stopped(data):
    tell("working")
    wait_for(1)
    return f"{data} finished"

@operation
def for_ever(data):
    tell("working")
    threading.Event().wait()

@operation
def same(data):
    return data

clock = FlowOperationContainer().add_operation(Ticker("clock", 0.01))
'''


class Process:
    """A `flowrt run` under way."""

    def __init__(self, folder: Path, flow: str, *arguments: str) -> None:
        (folder / "ops.py").write_text(OPERATIONS)
        (folder / "f.flow").write_text(flow)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flowrt", "run", "f.flow", "-m", "ops", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def see(self, text: str) -> None:
        """Wait for a line on the standard error that has the text in it."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if text in line:
                return
        raise AssertionError("".join(seen))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, errors = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(flow: str, *arguments: str) -> Process:
        started.append(Process(tmp_path, flow, *arguments))
        return started[-1]

    yield begin
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            each.process.kill()
        each.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("schedule", ["breadth_first", "sync"])
def test_a_first_signal_lets_what_is_under_way_finish(start, number, code, schedule) -> None:
    run = start(".in, until_stopped\nuntil_stopped, .out\n", "-i", ".in=it", "--schedule", schedule)
    run.see("working")

    run.signal(number)

    assert run.end() == (
        code,
        "it finished\n",
        f"flowrt: {number.name}: no more input, what is under way is finished; once more to kill it\n",
    )


def test_a_second_signal_kills(start) -> None:
    run = start(".in, for_ever\nfor_ever, .out\n", "-i", ".in=it")
    run.see("working")

    run.signal(signal.SIGTERM)
    run.see("no more input")
    run.signal(signal.SIGINT)
    code, out, errors = run.end()

    assert (code, out) == (143, "")
    assert errors.startswith("flowrt: killed\n")
    assert "abandoned, since they did not return" in errors


def test_a_signal_ends_the_reading_of_the_standard_input(start) -> None:
    run = start(".in, same\nsame, .out\n", "-i", ".in=@-")
    assert run.process.stdin is not None
    assert run.process.stdout is not None
    run.process.stdin.write("one\n" * 2)
    run.process.stdin.flush()

    both = (
        run.process.stdout.readline() + run.process.stdout.readline()
    )  # else the signal may come before the second is read
    run.signal(signal.SIGINT)

    run.see("no more input")
    assert run.process.wait(LIMIT) == 130
    assert both == "one\n" * 2
    assert run.process.stdout.read() == ""


def test_a_flow_with_active_operations_runs_until_it_is_stopped(start) -> None:
    run = start("clock.now, .tick\n")
    assert run.process.stdout is not None
    assert run.process.stdout.readline()
    assert run.process.stdout.readline()

    run.signal(signal.SIGTERM)
    code, _, errors = run.end()

    assert code == 143
    assert errors.count("\n") == 1


def test_a_flow_with_active_operations_ends_with_its_time(start) -> None:
    code, out, errors = start("clock.now, .tick\n", "--timeout", "0.3").end()

    assert (code, errors) == (0, "")
    assert out


def test_what_is_not_done_in_time_is_given_up(start) -> None:
    code, out, errors = start(".in, for_ever\nfor_ever, .out\n", "-i", ".in=it", "--timeout", "0.3").end()

    assert (code, out) == (1, "")
    assert "error: not done within 0.3 s; what was under way is given up\n" in errors


def test_a_reader_that_is_not_there_is_told_by_the_exit_code(tmp_path) -> None:
    flow = tmp_path / "long.flow"
    flow.write_text("".join(f"a{number}, a{number + 1}\n" for number in range(5000)))
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [sys.executable, "-m", "flowrt", "draw", str(flow)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_goes_away_ends_the_flow(start) -> None:
    run = start("clock.now, .tick\n")
    assert run.process.stdout is not None
    assert run.process.stdout.readline()

    run.process.stdout.close()

    assert run.process.wait(LIMIT) == 141
    assert run.process.stderr is not None
    assert run.process.stderr.read() == ""
