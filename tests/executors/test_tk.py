"""`TkDispatcher` with a real tkinter window, on a virtual display. Each test is a program of its own: a window belongs to its main thread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from flowrt import FlowBuildError, FlowOperationContainer
from flowrt.executors.dispatchers import TkDispatcher
from tests.kit.display import check_lacking, display

ROOT = Path(__file__).parents[2]
POLLING = "import flowrt.executors.dispatchers as d; d._can_watch_files = lambda _: False"
WAYS = pytest.mark.parametrize("way", ["", POLLING], ids=["woken", "polling"])
SETTING = """
    import os, threading, tkinter
    from flowrt import FlowError, FlowOperationContainer, FlowRuntime, OperationError
    from flowrt.executors.dispatchers import TkDispatcher

    root = tkinter.Tk()
    label = tkinter.Label(root)
    label.pack()
    threads = set()

    def show(number):
        threads.add(threading.current_thread().name)
        label["text"] = str(number)
        return number

    def flow(dispatcher, **options):
        runtime = FlowRuntime(**options)
        runtime.add_operations(FlowOperationContainer().add_func("show", show).make_sync(dispatcher))
        return runtime.add_stream(".in", "show").add_stream("show", ".out")

    def failure_of(run):
        try:
            run.wait(8)
        except OperationError as error:
            return str(error).partition("its dispatcher ")[2].partition(".")[0]
"""


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    with display() as name:
        yield name


def run_in_window(screen: str, program: str, way: str = "") -> list[str]:
    """Run a program with a window; return the lines it prints."""
    text = f"{way}\n{dedent(SETTING)}\n{dedent(program)}"
    environment = {**os.environ, "DISPLAY": screen, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@WAYS
def test_a_window_makes_the_calls_on_its_thread_and_goes_on_between_them(screen: str, way: str) -> None:
    """B270, B273: what is sent before its loop runs is shown too; other events of the window come between."""
    program = """
        with flow(TkDispatcher(label)) as runtime:
            run = runtime.process_many(".in", range(3_000))
            ticks = []

            def tick():
                ticks.append(label["text"])
                root.after(1, tick) if not run.done else root.quit()

            root.after(0, tick)
            root.mainloop()
            print(run.values() == list(range(3_000)), label["text"], *threads, len(ticks) > 1)
        root.destroy()
    """

    assert run_in_window(screen, program, way) == ["True 2999 MainThread True"]


@WAYS
def test_a_wait_on_the_windows_thread_makes_the_calls_itself(screen: str, way: str) -> None:
    program = """
        dispatcher = TkDispatcher(root)
        with flow(dispatcher, capacity=1) as runtime:
            print(runtime.process(".in", 1).result(8).data)
            for number in range(100):
                runtime.process(".in", number, timeout=8)
            runtime.wait_idle(8)
            print(label["text"])
            root.after(0, lambda: (print(runtime.process(".in", 7).result(8).data), root.quit()))  # as a button would
            root.mainloop()
            last = runtime.process(".in", 8)
        print(last.done, len(dispatcher._calls) <= 1)
        root.destroy()
    """

    assert run_in_window(screen, program, way) == ["1", "99", "7", "True True"]


@WAYS
def test_a_window_that_is_destroyed_fails_what_it_was_to_call_and_what_comes(screen: str, way: str) -> None:
    program = """
        files = set(os.listdir("/proc/self/fd"))
        runtime = flow(TkDispatcher(root))
        frame = tkinter.Frame(root)
        frame.destroy()  # not the window itself
        print(runtime.process(".in", 1).result(8).data)
        run = runtime.process(".in", 2)
        while "waiting for dispatcher" not in str(runtime.explain()):
            pass
        root.destroy()
        print(failure_of(run))
        print(failure_of(runtime.process(".in", 3)))
        print(runtime.close().clean, set(os.listdir("/proc/self/fd")) - files)
    """

    assert run_in_window(screen, program, way) == [
        "1",
        "TkDispatcher did not have it called, it let go of the call without making it",
        "TkDispatcher did not have it called, dispatch() raised RuntimeError",
        "True set()",
    ]


@WAYS
def test_while_an_operation_shows_a_dialog_other_operations_are_called(screen: str, way: str) -> None:
    """B272: a dialog is a loop of its own inside the call; of the operation itself one call at a time is made all the same."""
    program = """
        def ask(number):
            dialog = tkinter.Toplevel(root)
            threading.Thread(target=lambda: answers.append(runtime.process(".in", number).result(8).data)).start()

            def look():
                dialog.destroy() if len(answers) == number else dialog.after(1, look)

            look()
            dialog.wait_window()
            order.append(number)
            return number

        answers, order = [], []
        dispatcher = TkDispatcher(root)
        with flow(dispatcher) as runtime:
            runtime.add_operations(FlowOperationContainer().add_func("ask", ask).make_sync(dispatcher))
            runtime.add_stream(".ask", "ask").add_stream("ask", ".answer")
            run = runtime.process_many(".ask", [1, 2])
            root.after(1, quit_when := lambda: root.quit() if run.done else root.after(1, quit_when))
            root.mainloop()
            print(answers, order)
        root.destroy()
    """

    assert run_in_window(screen, program, way) == ["[1, 2] [1, 2]"]


def test_a_window_itself_is_refused_with_what_to_wrap_it_in(screen: str) -> None:
    program = """
        try:
            FlowOperationContainer().add_func("show", show).make_sync(root)
        except FlowError as error:
            print(error)
        root.destroy()
    """

    assert run_in_window(screen, program) == [
        'operation "show": make_sync(dispatcher) takes an object with dispatch(callable), got Tk. Wrap the window: TkDispatcher(root).'
    ]


def test_what_is_no_window_is_refused() -> None:
    with pytest.raises(
        FlowBuildError, match="TkDispatcher takes a tkinter window, got FlowOperationContainer"
    ):
        TkDispatcher(FlowOperationContainer())  # type: ignore[arg-type]


def test_without_a_display_tests_are_skipped_unless_ci_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kit.display.lacking", lambda: "there is no Xvfb")
    monkeypatch.setattr("tests.kit.display.REQUIRED", False)
    with pytest.raises(pytest.skip.Exception, match="there is no Xvfb"):
        check_lacking()
    monkeypatch.setattr("tests.kit.display.REQUIRED", True)
    with pytest.raises(pytest.fail.Exception, match="there is no Xvfb, and CI=true asks for it"):
        check_lacking()
