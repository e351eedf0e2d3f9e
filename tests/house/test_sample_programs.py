"""The smaller samples print what they say, and their flows are as they should be."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message
from flowrt.flow.checks import check
from flowrt.testing import check_operation
from samples.alarm_clock import __main__ as alarm_clock_program
from samples.alarm_clock.flow import alarm_clock, compare
from samples.alarm_clock.script import Script
from samples.csv_viewer import __main__ as csv_viewer_program
from samples.csv_viewer.pager import Page, Pager
from samples.csv_viewer.steps import parse, table
from samples.hello import operations as hello_operations
from samples.own_operation import by_hand, component
from samples.own_operation.__main__ import STREAMS
from samples.to_dictionary import __main__ as to_dictionary_program
from samples.to_dictionary.operations import operations as of_dictionary
from samples.tracing.trace import at, of, traced
from samples.word_count import stage4_text
from tests.kit.display import display

CHECKOUT = Path(__file__).parents[2]
SAMPLES = CHECKOUT / "samples"
SECONDS = 20.0  # the limit of every wait; only a test that fails gets there


def console_blocks():
    """Find `$ python -m samples.…` in the samples' READMEs, with what is said to be printed."""
    for readme in sorted(SAMPLES.glob("*/README.md")):
        for block in re.findall(r"(?s)```console\n(.*?)```", readme.read_text(encoding="utf-8")):
            command, _, printed = block.partition("\n")
            yield pytest.param(command, printed, id=command.removeprefix("$ python -m "))


def run_program(command, monkeypatch, capsys, typed=""):
    """Run a program as its command line does, but for the process of its own; return what it prints."""
    python, option, module, *arguments = shlex.split(command.removeprefix("$ "))
    assert (python, option) == ("python", "-m")
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    code = import_module(f"{module}.__main__").main()
    printed = capsys.readouterr()
    assert (code or 0, printed.err) == (0, "")
    return printed.out


@pytest.mark.parametrize(("command", "printed"), list(console_blocks()))
def test_a_sample_prints_what_its_readme_says(command, printed, monkeypatch, capsys):
    assert run_program(command, monkeypatch, capsys) == printed


FLOWS: dict[str, Callable[[], Any]] = {
    "alarm_clock/alarm_clock": lambda: alarm_clock(Script()),
    "csv_viewer/root": lambda: csv_viewer_program.viewer(8),
    "hello/hello": lambda: FlowOperationContainer().add_module(hello_operations),
    "to_dictionary/flat": lambda: of_dictionary,
    "to_dictionary/nested": lambda: of_dictionary,
    "word_count/root": lambda: stage4_text.operations,
}


def test_every_flow_file_of_the_samples_is_tested():
    found = {file.relative_to(SAMPLES).with_suffix("").as_posix() for file in SAMPLES.glob("*/*.flow")}

    assert found == set(FLOWS)


@pytest.mark.parametrize("name", FLOWS)
def test_flow_files_are_tidy_and_nothing_is_found_in_them(name):
    file = SAMPLES / f"{name}.flow"
    made = FLOWS[name]()
    flow = made if isinstance(made, Flow) else Flow.from_file(file).add_operations(made)

    assert check(flow) == []
    assert Flow.from_file(file).to_text().strip() == file.read_text(encoding="utf-8").strip()


# --- to dictionary ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", ["flat", "nested"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("a=1;;a=2;", {"a": "2"}),
        ("a==1;b=", {"a": "=1", "b": ""}),
        ("a/b=1;a/c/d=2;e=3", {"a": {"b": "1", "c": {"d": "2"}}, "e": "3"}),
    ],
)
def test_a_text_becomes_the_same_dictionary_in_both_arrangements(text, expected, arrangement):
    assert to_dictionary_program.to_dictionary(text, arrangement) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "an entry is key=value, got 'a'"),
        ("=1", "an entry is key=value, got '=1'"),
        ("a=1;a/b=2", "'a' is a value and cannot hold 'b'"),
    ],
)
def test_what_is_no_dictionary_ends_the_program_with_the_reason(text, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["to_dictionary", text])

    assert to_dictionary_program.main() == 1

    assert capsys.readouterr() == ("", f"{reason}\n")


# --- tracing ------------------------------------------------------------------------------------------------------


def test_a_trace_shows_what_is_wanted_until_its_block_ends():
    out = io.StringIO()
    flow = Flow.from_file(SAMPLES / "to_dictionary" / "nested.flow").add_operations(of_dictionary)
    with FlowRuntime(flow, schedule="sync") as runtime:
        with traced(runtime, out, at("parse/*"), of("x")):
            runtime.process(".in", "a=1", correlation_id="x")
            runtime.process(".in", "a=2", correlation_id="y")
        runtime.process(".in", "a=3", correlation_id="x")

    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert all(line.startswith("x  parse/") for line in lines)


# --- csv viewer ---------------------------------------------------------------------------------------------------


def test_without_a_display_the_alarm_clock_says_how_it_runs_without(monkeypatch):
    tkinter = pytest.importorskip("tkinter")
    monkeypatch.setattr(tkinter, "Tk", partial(fail_with, tkinter.TclError("no display name")))

    with pytest.raises(
        SystemExit, match=r"no display name\. Without one: python -m samples\.alarm_clock --headless"
    ):
        alarm_clock_program.run_window()


def fail_with(error):
    raise error


@pytest.mark.parametrize("option", ["", "--one-step"])
def test_the_viewer_shows_the_expected_pages_whether_it_loads_by_a_flow_or_by_an_operation(
    option, monkeypatch, capsys
):
    expected = (SAMPLES / "csv_viewer" / "expected_output.txt").read_text(encoding="utf-8")

    shown = run_program(
        f"python -m samples.csv_viewer {option}", monkeypatch, capsys, "n\nl\nn\n3\np\n?\nf\ne\n"
    )

    assert shown == expected


def test_the_viewer_ends_where_nobody_types_any_more(monkeypatch, capsys):
    assert "page 1 of 39" in run_program("python -m samples.csv_viewer", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), ("", "the file holds no rows")]
)
def test_a_file_that_cannot_be_shown_ends_the_viewer_with_the_reason(
    content, reason, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "some.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["csv_viewer", str(file)])

    assert csv_viewer_program.main() == 1

    assert reason in capsys.readouterr().err


def test_a_page_without_rows_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["csv_viewer", "--rows", "0"])

    with pytest.raises(SystemExit):
        csv_viewer_program.main()

    assert "a page has 1 row or more, not 0" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [0, 1, 3, 4])
def test_every_row_stands_on_one_page_and_the_pager_stays_on_the_last(rows):
    body = [[str(number)] for number in range(rows)]
    pager = Pager(3)
    page = pager.first([["number"], *body])
    found = list(page.rows)

    while page.number < page.pages:
        page = pager.next()
        found += page.rows

    assert found == body
    assert pager.next() == pager.last() == page
    assert pager.page(-1) == pager.first(None)


def test_quoted_cells_keep_their_commas_and_long_ones_are_cut():
    rows = parse('a,b\n"1,2",' + "x" * 40 + "\n\nlonely")

    lines, *_ = table(Page(rows[0], rows[1:], 1, 1))

    assert rows == [["a", "b"], ["1,2", "x" * 40], ["lonely"]]
    assert lines == ["a       b", "------  " + "-" * 30, "1,2     " + "x" * 29 + "…", "lonely"]


# --- an operation of your own -------------------------------------------------------------------------------------


def test_the_operation_written_by_hand_keeps_the_rules():
    numbers = [Message(".", 1), Message(".", 3), Message(".reset"), Message(".", 2), Message(".", 1.5)]

    check_operation(lambda: by_hand.Trend("trend"), numbers)


def test_the_component_is_tested_by_putting_functions_in_place_of_its_ports():
    trend, told = component.Trend(), []
    trend.up = told.append
    trend.down = lambda number: told.append(-number)

    for number in (1, 3, 3, 2):
        trend.number(number)
    trend.reset(None)
    trend.number(9)

    assert told == [2, -1]


def test_the_flow_of_both_has_no_findings():
    operations = FlowOperationContainer().add_operation(by_hand.Trend("by_hand"))
    operations.add_component("component", component.Trend)

    assert check(Flow.from_text(STREAMS).add_operations(operations)) == []


# --- alarm clock --------------------------------------------------------------------------------------------------

SEVEN = datetime(2026, 1, 2, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "to_go", "reached"),
    [
        (SEVEN - timedelta(seconds=1), [timedelta(seconds=1)], []),
        (SEVEN, [], [SEVEN]),
        (SEVEN + timedelta(seconds=9), [], [SEVEN]),
    ],
)
def test_an_alarm_is_to_come_or_has_come(now, to_go, reached):
    found = [], []

    compare((now, SEVEN), found[0].append, found[1].append)

    assert found == (to_go, reached)


@pytest.mark.parametrize(
    ("text", "day", "shown"),
    [("07:00:01", 2, "07:00:01"), (" 06:59", 3, "06:59:00"), ("07:00", 3, "07:00:00")],
)
def test_an_alarm_is_set_to_the_next_time_that_the_clock_shows_it(text, day, shown, capsys):
    dialog, alarms = Script(), []
    dialog.alarm_set = alarms.append
    dialog.time(SEVEN)

    dialog.set_alarm(text)

    assert [(alarm.day, f"{alarm:%H:%M:%S}") for alarm in alarms] == [(day, shown)]
    assert capsys.readouterr().out == f"07:00:00\n          set to {shown}\n"


def test_the_window_shows_the_time_rings_and_stops():
    """A real window on a virtual display, used as by hand; the clock is looked at more often than every second."""
    program = """
        import datetime
        from samples.alarm_clock import __main__ as program, window

        class Used(window.Window):
            steps = ("set", "stop", "close")

            def __init__(self, root):
                super().__init__(root)
                self.after = root.after
                self.look()

            def look(self):
                showing, state = self.clock["text"], self.state["text"]
                if self.steps[0] == "set" and showing:
                    self.entry.delete(0, "end")
                    self.entry.insert(0, "noon")
                    self.set_button.invoke()
                    print(self.state["text"])
                    soon = datetime.datetime.combine(self._now, self._now.time()) + datetime.timedelta(seconds=1)
                    self.entry.delete(0, "end")
                    self.entry.insert(0, f"{soon:%H:%M:%S}")
                    self.set_button.invoke()
                    self.steps = self.steps[1:]
                elif self.steps[0] == "stop" and state.startswith("ring"):
                    print(state, self.state["foreground"], showing >= self.entry.get())
                    self.stop_button.invoke()
                    print(self.state["text"])
                    self.steps = self.steps[1:]
                elif self.steps[0] == "close":
                    self.closed()
                    return
                self.after(10, self.look)

        window.Window = Used
        program.run_window(period=0.05)
    """
    with display() as screen:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", dedent(program)],
            cwd=CHECKOUT,
            env={**os.environ, "DISPLAY": screen, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "'noon' is no time; 07:30 is one",
        "ring, ring! #c0392b True",
        "no alarm",
    ]
