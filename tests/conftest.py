"""What holds for every test: how many examples hypothesis tries, and that nothing is left behind."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.leftovers import nothing_left_behind

# No deadline: it would measure the machine. The same examples every time, so that a red run is red again;
# `--hypothesis-profile=nightly` looks for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=5_000, print_blob=True)
hypothesis.settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield
