"""The trip of one message stays as short as it is."""

import subprocess
import sys

import pytest

from tests.house.listing import PAGE
from tests.house.source import ROOT

# Calls for one message on its way `.in → f → .out`, and how many of them enter another package. Whoever adds one says here why.
LIMITS = {
    "sync": (105, 17),  # on the thread that waits, as a chain of functions
    "breadth_first": (128, 28),  # on the engine's own thread, through the executor
}


def trip(schedule: str, boxes: int = 1) -> list[str]:
    arguments = [sys.executable, "-m", "tests.house.trip", schedule, str(boxes)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def length(way: list[str]) -> tuple[int, int]:
    """Return the number of calls, and of those from one package of flowrt into another."""
    packages = [[name.partition(".")[0] for name in line.split()[1:3]] for line in way]
    return len(way), sum(one != other for one, other in packages if one != "__main__")


@pytest.mark.parametrize("schedule", LIMITS)
def test_one_message_takes_no_more_calls_than_it_did(schedule: str) -> None:
    way = trip(schedule)
    calls, crossings = length(way)
    most_calls, most_crossings = LIMITS[schedule]

    assert any("Run.tell_finished" in line for line in way), "the trip is not whole"
    assert calls <= most_calls, "\n".join(way)
    assert crossings <= most_crossings, "\n".join(way)


def test_the_page_says_how_many_there_are() -> None:
    calls, crossings = LIMITS["breadth_first"]
    fewer, crossing = LIMITS["sync"]

    assert (
        f"That is at most {calls} calls, of which {crossings} lead into another package; under the schedule `sync` it is {fewer} and {crossing}.\n"
    ) in PAGE.read_text(encoding="utf-8")


def test_a_longer_way_is_noticed() -> None:
    calls, crossings = length(trip("breadth_first", boxes=2))

    assert calls > LIMITS["breadth_first"][0]
    assert crossings > LIMITS["breadth_first"][1]


def test_only_calls_into_another_package_cross() -> None:
    way = [
        "MainThread  __main__         runtime.runtime FlowRuntime.process",
        "MainThread  runtime.runtime  ports Port.parse",
        "MainThread  runtime.runtime  runtime.run Run.__init__",
    ]

    assert length(way) == (3, 1)
