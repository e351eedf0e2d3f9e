"""Bugs planted on purpose, which runs on real threads hardly ever show: each is found by a seed, and the seed is right without it.

By default the seed recorded for each bug is replayed. Where that does not show the bug, since the engine takes its steps otherwise now or the
bytecode is another, the finder searches within its bound, in the same scenario first. FLOWRT_MUTANTS=search has it search for all of them
from the start. See tests/faults/mutants/README.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.mutants import hunt, planted
from tests.faults.mutants.finder import SCENARIOS, failure

SEARCH = os.environ.get("FLOWRT_MUTANTS") == "search"
NAMES = planted.names()
RECORDED = hunt.recorded()
SOURCE = "one\ntwo\nthree\ntwo\nfour\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_planted_bug_is_found_by_a_seed_that_passes_without_it(name: str) -> None:
    found = None
    if not SEARCH:
        known = RECORDED[name]
        found = hunt.find(name, known.scenario, str(known.seed)) or hunt.find(name, known.scenario)
    if found is None:
        found = hunt.find(name)

    assert found is not None, f"no scenario shows {name} within its bound of seeds"
    assert failure(found.scenario, found.seed) is None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_found_where_nothing_is_planted(scenario: str) -> None:
    assert [what for seed in range(12) if (what := failure(scenario, seed)) is not None] == []


def test_every_planted_bug_is_told_and_recorded() -> None:
    table = (planted.HERE / "README.md").read_text(encoding="utf-8")

    assert len(NAMES) >= 14
    assert sorted(RECORDED) == NAMES
    for name in NAMES:
        assert planted.read(name).told, name
        assert f"| `{name}` |" in table, name


def made(hunk: str) -> planted.Patch:
    return planted.parsed("some", f"What it plants.\n\n--- a/file.py\n+++ b/file.py\n{hunk}")


def test_a_patch_replaces_exactly_the_lines_it_names() -> None:
    patch = made("@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n@@ -4,2 +4,3 @@\n two\n+more\n four\n")

    assert patch.told == "What it plants."
    assert planted.applied(patch, "file.py", SOURCE) == "one\nTWO\nthree\ntwo\nmore\nfour\n"


@pytest.mark.parametrize(("line", "times"), [("five", "not at all"), ("two", "2 times")])
def test_a_patch_that_does_not_fit_says_which_lines_are_missing(line: str, times: str) -> None:
    with pytest.raises(planted.PatchError) as raised:
        planted.applied(made(f"@@ -2 +2 @@\n-{line}\n+other\n"), "file.py", SOURCE)

    assert str(raised.value) == (
        f"some.patch no longer applies: the lines of its hunk 1 stand in file.py {times}. Plant the bug anew by hand, and keep the difference "
        f"(git diff -U1). The lines:\n    {line}"
    )


@pytest.mark.parametrize(
    "hunk", ["", "@@ -1,2 +1 @@\n one\n", "@@ -1 +1 @@\n?one\n", "@@ -1 +1 @@\n-one\n+1\nmore\n"]
)
def test_a_patch_that_cannot_be_read_is_refused(hunk: str) -> None:
    with pytest.raises(planted.PatchError):
        made(hunk)


def test_only_known_patches_are_planted(tmp_path: Path) -> None:
    with pytest.raises(planted.PatchError):
        planted.plant(tmp_path, "nothing")
