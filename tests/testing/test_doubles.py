"""What stands around the operation under test: probes, sources, functions that fail or take time; the plugin; all modes at once."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, Message, Run
from flowrt.engine.ledger import Books
from flowrt.errors import FlowBuildError, FlowError, FlowStalledError, FlowTimeoutError, OperationError
from flowrt.standard import Gather, Scatter
from flowrt.testing import (
    Failing,
    FakeClock,
    LedgerWatch,
    Probe,
    Slow,
    Source,
    assert_same_in_all_modes,
    drive,
    simulated,
)
from tests.kit.flows import SCHEDULES, wire
from tests.kit.functions import SECONDS, double, increment, same


def flow_of(operations: FlowOperationContainer, *chains: str) -> Flow:
    flow = Flow().add_operations(operations)
    wire(flow, *chains)
    return flow


def chain(mode: str = "make_async") -> Flow:
    operations = FlowOperationContainer().add_func("increment", increment)
    getattr(operations, mode)()
    operations.add_func("double", double)
    return flow_of(operations, ".in -> increment -> double -> .out")


# --- probes


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("simulation", [None, 1, 2])
def test_a_probe_collects_what_leaves_a_port(schedule: Any, simulation: int | None) -> None:
    seams = None if simulation is None else simulated(simulation)
    with FlowRuntime(chain(), schedule=schedule, seams=seams) as runtime:
        probe = Probe(runtime, "increment")
        run = runtime.process_many(".in", range(3))

        assert probe.wait_for(3, SECONDS) == [1, 2, 3]
        assert run.values(SECONDS) == [2, 4, 6]
        assert run.ledger.balanced
    assert [message.data for message in probe.messages] == probe.data


def test_a_probe_waits_without_the_message_leaving_the_flow() -> None:
    gate = threading.Event()
    operations = FlowOperationContainer().add_func("increment", increment).make_async()
    operations.add_func("held", lambda number: gate.wait(SECONDS) and number).make_async()
    with FlowRuntime(flow_of(operations, ".in -> increment -> held -> .out")) as runtime:
        probe = Probe(runtime, "increment")
        run = runtime.process(".in", 1)

        assert probe.wait_for(1, SECONDS) == [2]
        assert not run.done
        gate.set()
        assert run.values(SECONDS) == [2]


def test_a_probe_of_an_input_port_sees_what_enters() -> None:
    with FlowRuntime(chain()) as runtime:
        probe = Probe(runtime, ".in")
        runtime.process(".in", 5).wait(SECONDS)

        assert probe.wait_for(1, SECONDS) == [5]


def test_a_probe_added_while_the_flow_runs_sees_what_comes_then() -> None:
    with FlowRuntime(chain()) as runtime:
        runtime.process(".in", 1).wait(SECONDS)
        probe = Probe(runtime, "double")
        runtime.process(".in", 2).wait(SECONDS)

        assert probe.wait_for(1, SECONDS) == [6]


def test_what_does_not_come_is_an_error_that_says_what_came() -> None:
    with FlowRuntime(chain(), seams=simulated()) as runtime:
        probe = Probe(runtime, "increment")
        runtime.process(".in", 1)

        with pytest.raises(FlowTimeoutError) as caught:
            probe.wait_for(2, timeout=3600.0)

    assert str(caught.value).startswith('"increment" gave 1 message within 3600.0 s; waited for 2.')
    assert repr(probe) == '<probe of "increment": 1 message>'


def test_a_probe_is_not_waited_for_from_inside() -> None:
    caught: list[BaseException] = []

    def wait(message: Message) -> None:
        try:
            probe.wait_for(5)
        except FlowStalledError as error:
            caught.append(error)

    with FlowRuntime(chain()) as runtime:
        probe = Probe(runtime, "increment")
        runtime.on_result(wait)
        runtime.process(".in", 1).wait(SECONDS)

    assert "it would wait for itself" in str(caught[0])


@pytest.mark.parametrize("port", [".out", ".OUT"])
def test_a_probe_of_a_result_port_says_where_to_listen(port: str) -> None:
    with (
        FlowRuntime(chain()) as runtime,
        pytest.raises(FlowBuildError, match="a probe listens where they start"),
    ):
        Probe(runtime, port)


# --- sources


def test_a_source_knows_what_was_taken() -> None:
    source = Source("ab")

    assert (next(source), source.pulled, source.exhausted) == ("a", 1, False)
    assert (list(source), source.pulled, source.exhausted, source.closed) == (["b"], 2, True, False)
    assert repr(source) == "<source: 2 items pulled, exhausted>"


def test_a_source_may_end_with_an_error() -> None:
    error = OSError("gone")
    source = Source([1], error)

    assert next(source) == 1
    with pytest.raises(OSError, match="gone") as caught:
        next(source)
    assert caught.value is error


def test_a_closed_source_gives_nothing_more() -> None:
    source = Source([1, 2])
    next(source)
    source.close()

    assert (list(source), source.closed) == ([], True)
    assert repr(source) == "<source: 1 item pulled, closed>"


def test_a_source_shows_how_far_a_window_lets_it_go() -> None:
    source = Source(range(1000))
    gate = threading.Event()
    operations = FlowOperationContainer().add_operation(Scatter("scatter", window=10))
    operations.add_func("held", lambda number: gate.wait(SECONDS) and number).make_async()
    with FlowRuntime(flow_of(operations, ".in -> scatter", "scatter.stream -> held -> .out")) as runtime:
        probe = Probe(runtime, "scatter.stream")
        run = runtime.process(".in", source)
        probe.wait_for(1, SECONDS)
        assert source.pulled <= 20  # two messages an item: one held, one of the probe
        run.cancel()
        gate.set()
    assert source.closed


# --- failing, slow


def test_failing_raises_at_the_calls_it_is_told() -> None:
    failing = Failing(increment, at=[2, 3], error=LookupError("mine"))

    assert failing(1) == 2
    for _ in range(2):
        with pytest.raises(LookupError, match="mine"):
            failing(1)
    assert failing(1) == 2
    assert failing.calls == 4


def test_failing_makes_the_error_of_its_class() -> None:
    with pytest.raises(OperationError) as caught:
        drive(Failing(error=OSError), 1)

    assert str(caught.value.__cause__) == "call 1 was to fail"


def test_failing_counts_over_all_threads() -> None:
    failing = Failing(at=500)
    operations = FlowOperationContainer().add_func("work", failing).make_parallel(8)
    errors: list[Any] = []
    with FlowRuntime(flow_of(operations, ".in -> work -> .out")) as runtime:
        runtime.on_exception(errors.append)
        values = runtime.process_many(".in", range(1000)).values(SECONDS)

    assert (len(values), len(errors), failing.calls) == (999, 1, 1000)


@pytest.mark.parametrize("at", [0, -1, [1, 0], ["1"]])
def test_failing_counts_from_one(at: Any) -> None:
    with pytest.raises(FlowError, match="counts calls from 1"):
        Failing(at=at)


def test_slow_moves_the_clock_it_is_given() -> None:
    clock = FakeClock()

    assert [message.data for message in drive(Slow(increment, 2.0, clock), 1, 2)] == [2, 3]
    assert clock.now() == 4.0


def test_slow_without_fake_time_says_what_to_do() -> None:
    with pytest.raises(FlowError, match=r"run the flow in a simulation \(run_flow\(\.\.\., seed=1\)"):
        Slow()(1)


# --- drive with a seed


def test_drive_with_a_seed_runs_the_operation_in_its_mode() -> None:
    container = FlowOperationContainer().add_func("work", same).make_parallel(3)
    orders = {tuple(message.data for message in drive(container, 1, 2, 3, seed=seed)) for seed in range(30)}

    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {(1, 2, 3)}
    first, again = (drive(container, 1, 2, 3, seed=5) for _ in range(2))
    assert [message.data for message in first] == [message.data for message in again]


def test_drive_with_a_seed_raises_what_the_operation_raises() -> None:
    with pytest.raises(OperationError):
        drive(FlowOperationContainer().add_func("work", Failing(at=2)).make_async(), 1, 2, seed=1)


# --- all modes


def gathered(*, ordered: bool) -> Flow:
    operations = FlowOperationContainer().add_func("work", same)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather", ordered=ordered))
    return flow_of(operations, ".in -> scatter", "scatter.stream -> work -> gather.stream", "gather -> .out")


def test_a_pure_flow_gives_the_same_in_all_modes() -> None:
    assert_same_in_all_modes(chain(), [(".in", number) for number in range(20)])
    assert_same_in_all_modes(gathered(ordered=True), [(".in", list("abcd")), (".in", [])])


def test_lists_in_another_order_are_told_with_both_ways() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_same_in_all_modes(gathered(ordered=False), [(".in", list("abcd"))])

    lines = str(caught.value).splitlines()
    assert lines[0] == "the results depend on where and when operations run."
    assert lines[1] == "  sync, breadth_first: {'.out': [['a', 'b', 'c', 'd']]}"
    assert lines[2].startswith("  parallel(4), ")
    assert_same_in_all_modes(gathered(ordered=False), [(".in", list("abcd"))], normal=sorted)


def test_an_order_that_is_promised_is_compared() -> None:
    answers = itertools.chain(
        [1, 2], itertools.cycle([2, 1])
    )  # the same numbers in another order from the second run on
    operations = FlowOperationContainer().add_func("work", lambda _: next(answers))

    with pytest.raises(AssertionError, match="the results depend on"):
        assert_same_in_all_modes(flow_of(operations, ".in -> work -> .out"), [(".in", 1), (".in", 2)])


def test_an_order_that_is_not_promised_is_not_compared() -> None:
    """Two streams that merge come in any order."""
    answers = itertools.chain([1, 2], itertools.cycle([2, 1]))
    operations = FlowOperationContainer().add_func("work", lambda _: next(answers))
    operations.add_func("left", same).add_func("right", same)
    flow = flow_of(operations, ".in -> left -> work -> .out", ".in -> right -> work")

    assert_same_in_all_modes(flow, [(".in", 1)])


def test_inputs_of_several_priorities_have_no_order_to_compare() -> None:
    inputs = [Message(".in", number, priority=number % 3) for number in range(12)]

    assert_same_in_all_modes(chain(), inputs)


def test_nested_flows_and_flows_that_hold_themselves_are_run_in_all_modes() -> None:
    inner = flow_of(FlowOperationContainer().add_func("work", increment), ".in -> work -> .out")
    inner.name = "inner"
    outer = Flow().add_flow(inner)
    wire(outer, ".in -> inner.in", "inner.out -> .out")

    assert_same_in_all_modes(outer, [(".in", 1), (".in", 2)])
    threads: set[int] = set()
    watched = flow_of(
        FlowOperationContainer().add_func("work", lambda _: threads.add(threading.get_ident())),
        ".in -> work -> .out",
    )
    watched.name = "inner"
    outer = Flow().add_flow(watched)
    wire(outer, ".in -> inner.in", "inner.out -> .out")
    assert_same_in_all_modes(outer, [(".in", 1)])
    assert len(threads) > 1


def test_a_failure_says_in_which_mode_it_was() -> None:
    with pytest.raises(OperationError) as caught:
        assert_same_in_all_modes(
            flow_of(FlowOperationContainer().add_func("work", Failing()), ".in -> work -> .out"), [(".in", 1)]
        )

    assert caught.value.__notes__[-1] == "the flow ran sync, breadth_first"


# --- ledgers


def test_a_run_whose_books_do_not_balance_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Books.open_with_input

    def open_with_two(books: Books, handle: Any, where: str) -> Any:
        run = usual(books, handle, where)
        run.accepted = {where: 2}
        return run

    monkeypatch.setattr(Books, "open_with_input", open_with_two)
    with (
        pytest.raises(AssertionError, match="the books of a run do not balance:\nrun 1 of "),
        LedgerWatch(),
        FlowRuntime(chain()) as runtime,
    ):
        runtime.process(".in", 1).wait(SECONDS)


def test_a_watch_leaves_nothing_behind_and_hides_no_error() -> None:
    usual = Run.tell_finished
    with pytest.raises(LookupError), LedgerWatch(), FlowRuntime(chain()) as runtime:
        runtime.process(".in", 1).wait(SECONDS)
        raise LookupError

    assert Run.tell_finished is usual


# --- the plugin

CONFTEST = 'pytest_plugins = ["flowrt.testing.plugin"]\n'
TESTS = """
from flowrt import FlowOperationContainer
from flowrt.engine.ledger import Books

def flow_in(runtime):
    operations = FlowOperationContainer().add_func("work", lambda number: number + 1).make_async()
    return runtime.add_operations(operations).add_stream(".in", "work").add_stream("work", ".out")

def test_passes(flow_runtime, fake_clock):
    runtime = flow_in(flow_runtime(name="mine"))
    fake_clock.advance(5)
    assert runtime.process(".in", fake_clock.now()).values(10) == [6.0]

def test_fails_with_what_nobody_saw(flow_runtime):
    flow_in(flow_runtime()).process(".in", "text")

def open_with_two(books, handle, where):
    run = usual(books, handle, where)
    run.accepted = {where: 2}
    return run

usual = Books.open_with_input

def test_fails_by_its_books(flow_runtime, monkeypatch):
    monkeypatch.setattr(Books, "open_with_input", open_with_two)
    flow_in(flow_runtime()).process(".in", 1).wait(10)

def test_makes_its_own(monkeypatch):
    from flowrt import FlowRuntime
    monkeypatch.setattr(Books, "open_with_input", open_with_two)
    with FlowRuntime() as runtime:
        flow_in(runtime).process(".in", 1).wait(10)
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            *arguments,
            str(folder),
        ],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ended.stdout


def test_the_plugin_makes_runtimes_and_fails_tests_by_their_books(tmp_path: Path) -> None:
    output = run_pytest(tmp_path)

    assert "4 passed, 2 errors" in output
    assert "ERROR test_it.py::test_fails_with_what_nobody_saw - flowrt.errors.OperationError" in output
    assert (
        "ERROR test_it.py::test_fails_by_its_books - AssertionError: the books of a run do not balance"
        in output
    )


def test_a_setting_checks_the_books_of_every_test(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "-o", "flowrt_check_ledgers=true")

    assert "4 passed, 3 errors" in output
    assert "ERROR test_it.py::test_makes_its_own - AssertionError" in output
