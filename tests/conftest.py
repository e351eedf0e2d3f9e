"""What holds for every test: how many examples hypothesis tries, where coverage is measured, and that nothing is left behind."""

import gc
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests.kit import effort
from tests.kit.flows import Bench, few_of
from tests.kit.leftovers import nothing_left_behind

# No deadline: it would measure the machine. The same examples every time, so that a red run is red again;
# `--hypothesis-profile=nightly` looks for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=5_000, print_blob=True)
hypothesis.settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background so, and every program that a test starts and interrupts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run every test in every mode under every schedule that it can run in, and the whole of hunts and large flows",
    )


def pytest_configure(config: pytest.Config) -> None:
    effort.full = config.getoption("full")


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the benches it is for; without `--full` on a few of them, unless its subject is the mode or the schedule."""
    marker = metafunc.definition.get_closest_marker("benches")
    if marker is not None:
        chosen: list[Bench] = marker.args[0]
        whole = (
            marker.kwargs["all_of_them"] or metafunc.definition.get_closest_marker("each_bench") is not None
        )
        if not (whole or effort.full):
            chosen = few_of(chosen, metafunc.definition.name)
        metafunc.parametrize("bench", chosen, ids=str)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage of the hundredth example: it takes twice the time."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.no_cover)


def pytest_collection_finish() -> None:
    """Have collections of garbage pass over ten thousand tests: what tests collect is then what they made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield
