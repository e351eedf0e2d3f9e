"""Fixtures for pytest.

One line in the topmost conftest.py turns them on:

    pytest_plugins = ["flowrt.testing.plugin"]

`ledger_check` is for all tests of a module with `pytestmark = pytest.mark.usefixtures("ledger_check")`, and for all tests there are with
`flowrt_check_ledgers = true` in the configuration of pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from flowrt.flow.flow import Flow
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.clock import FakeClock
from flowrt.testing.ledgers import LedgerWatch

if TYPE_CHECKING:
    from flowrt.executors.seams import Seams


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the setting known."""
    parser.addini(
        "flowrt_check_ledgers", "check the books of every flow in every test", type="bool", default=False
    )


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that moves when told to, for functions that ask for the time or sleep: `Slow(f, 2.0, fake_clock)`, `f(sleep=fake_clock.sleep)`."""
    return FakeClock()


@pytest.fixture
def ledger_check() -> Iterator[None]:
    """Fail the test if a run ends in it whose books do not balance."""
    with LedgerWatch():
        yield


@pytest.fixture(autouse=True)
def _flowrt_check_ledgers(request: pytest.FixtureRequest) -> None:
    if request.config.getini("flowrt_check_ledgers"):
        request.getfixturevalue("ledger_check")


@pytest.fixture
def flow_runtime(request: pytest.FixtureRequest) -> Iterator[Callable[..., FlowRuntime]]:
    """Make runtimes that are closed when the test is over.

        runtime = flow_runtime(flow, schedule="sync")

    It takes what `FlowRuntime` takes. Errors that nobody saw, messages that had to be discarded, and books that do not balance fail the test.
    """
    request.getfixturevalue("ledger_check")  # first, for it ends last: when the runtimes are closed
    with ExitStack() as runtimes:

        def make(flow: Flow | None = None, *, seams: Seams | None = None, **options: Any) -> FlowRuntime:
            return runtimes.enter_context(FlowRuntime(flow, seams=seams, **options))

        yield make
