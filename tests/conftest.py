"""What holds for every test: how many examples hypothesis tries, where coverage is measured, and that nothing is left behind."""

import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests.kit.flows import FEW, Bench
from tests.kit.leftovers import nothing_left_behind

# No deadline: it would measure the machine. The same examples every time, so that a red run is red again;
# `--hypothesis-profile=nightly` looks for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=5_000, print_blob=True)
hypothesis.settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background so, and every program that a test starts and interrupts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


COVERED = FEW | {"sync-breadth_first"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage of the hundredth example, nor of a test that runs elsewhere in a few modes already: it takes twice the time."""
    for item in items:
        bench = item.callspec.params.get("bench") if hasattr(item, "callspec") else None
        repeats = isinstance(bench, Bench) and str(bench) not in COVERED
        if repeats or getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield
