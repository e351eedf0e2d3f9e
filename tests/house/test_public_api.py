"""The public names: any change of the surface is a change of this file."""

import inspect
from pathlib import Path

import pytest

import flowrt
import flowrt.testing
from tests.kit.programs import printed

NAMES = """
    CloseReport Current Emit Flow FlowBuildError FlowError FlowInternalError FlowOperationContainer FlowOverloadError FlowRuntime
    FlowStalledError FlowStallWarning FlowStoppedError FlowTimeoutError Gather GatherIncompleteError Gathered Ledger Message Operation
    OperationError OperationTimeoutError OwnAccordError Part PopCausality Port PushCausality Run RunCancelledError Scatter Stream
    WorkerLostError chain check current in_port operation out_port parallel picture
""".split()
NAMES_AT_MOST = 40  # what a reader of one page can take in (docs/design.md)
TESTING = """
    Explored Failing FakeClock LedgerWatch Probe RULES Rule RuleViolation Seams SimulatedError SimulatedExecutor Simulation Slow Source
    assert_same_in_all_modes check_executor check_operation check_schedule drive explore run_flow simulated
""".split()


def test_flowrt_exports_these_names_and_no_others() -> None:
    assert sorted(flowrt.__all__) == sorted(NAMES)
    assert len(NAMES) <= NAMES_AT_MOST


def test_the_test_kit_exports_these_names_and_no_others() -> None:
    assert sorted(flowrt.testing.__all__) == sorted(TESTING)


def test_nothing_else_looks_public() -> None:
    assert callable(flowrt.check)  # these two are imported when they are asked for
    assert callable(flowrt.picture)
    found = {
        name
        for name, value in vars(flowrt).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }

    assert found == set(NAMES)


def test_completion_offers_the_public_names_alone() -> None:
    assert set(dir(flowrt)) == {*NAMES, "__version__"}


def test_the_version_is_that_which_is_installed() -> None:
    assert isinstance(flowrt.__version__, str)
    assert printed("import sys, flowrt; print('importlib.metadata' in sys.modules, bool(flowrt.__version__))") == (
        "False True\n", "",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(flowrt, name))


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("Error")])
def test_every_error_is_a_flow_error(name: str) -> None:
    assert issubclass(getattr(flowrt, name), flowrt.FlowError)


def test_importing_flowrt_starts_nothing_and_loads_neither_loguru_nor_janus() -> None:
    code = (
        "import sys, threading, flowrt; "
        "print(threading.active_count(), {'asyncio', 'janus', 'loguru', 'multiprocessing'} & set(sys.modules), "
        "{'flowrt.flow.text', 'flowrt.flow.checks', 'flowrt.standard.joins', 'flowrt.executors.dispatched'} & set(sys.modules))"
    )

    assert printed(code) == ("1 set() set()\n", "")


def test_the_types_are_part_of_the_package() -> None:
    assert (Path(flowrt.__file__).parent / "py.typed").is_file()
