"""Plants a bug: applies one of the patches beside this file to a copy of flowrt, for another interpreter to run.

Nothing is guessed: the lines a patch takes out, and those around them, must be there exactly, and only once. Where a file has changed so that they
are not, the patch is to be made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import Factory, define, frozen

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class PatchError(Exception):
    """A patch cannot be read, or does not apply any more."""


@define
class Hunk:
    """Consecutive lines before and after."""

    before: list[str] = Factory(list)
    after: list[str] = Factory(list)


@frozen
class Patch:
    """What a file plants, and how.

    Attributes:
        told: its first lines: what it plants.
        files: path under the root -> hunks, in order.
    """

    name: str
    told: str
    files: dict[str, list[Hunk]]


def names() -> list[str]:
    """Return the names of all patches."""
    return sorted(path.stem for path in HERE.glob("*.patch"))


def read(name: str) -> Patch:
    """Read a patch."""
    path = HERE / f"{name}.patch"
    if not path.exists():
        raise PatchError(f"there is no patch {name}; there are {', '.join(names())}")
    return parsed(name, path.read_text(encoding="utf-8"))


def parsed(name: str, text: str) -> Patch:
    """Read the text of a patch."""
    told: list[str] = []
    files: dict[str, list[Hunk]] = {}
    hunks: list[Hunk] | None = None
    left_before = left_after = 0
    for number, line in enumerate(text.splitlines(), 1):
        if left_before or left_after:
            assert hunks is not None  # a hunk has begun
            kind, rest = line[:1] or " ", line[1:]
            if kind not in " -+":
                raise PatchError(f"{name}.patch, line {number}: a hunk is shorter than its head says")
            if kind in " -":
                hunks[-1].before.append(rest)
                left_before -= 1
            if kind in " +":
                hunks[-1].after.append(rest)
                left_after -= 1
        elif line.startswith("+++ b/"):
            hunks = files.setdefault(line.removeprefix("+++ b/"), [])
        elif (head := HUNK.match(line)) is not None and hunks is not None:
            left_before, left_after = (int(size or 1) for size in head.groups())
            hunks.append(Hunk())
        elif hunks is None and not line.startswith("--- "):
            told.append(line)
        elif line and not line.startswith("--- "):
            raise PatchError(f"{name}.patch, line {number}: neither a file nor a hunk begins here")
    if not any(files.values()) or left_before or left_after:
        raise PatchError(f"{name}.patch holds no whole hunk")
    return Patch(name, " ".join(told).strip(), files)


def applied(patch: Patch, path: str, text: str) -> str:
    """Return the text of one file, patched; `PatchError` where it is not what the patch was made for."""
    lines = text.splitlines()
    start = 0
    for number, hunk in enumerate(patch.files[path], 1):
        found = list(_places(lines, hunk.before, start))
        if len(found) != 1:
            times = f"{len(found)} times" if found else "not at all"
            raise PatchError(
                f"{patch.name}.patch no longer applies: the lines of its hunk {number} stand in {path} {times}. Plant the bug anew by hand, and "
                f"keep the difference (git diff -U1). The lines:\n"
                + "\n".join(f"    {line}" for line in hunk.before)
            )
        lines[found[0] : found[0] + len(hunk.before)] = hunk.after
        start = found[0] + len(hunk.after)
    return "\n".join(lines) + "\n"


def _places(lines: Sequence[str], wanted: Sequence[str], start: int) -> Iterator[int]:
    for index in range(start, len(lines) - len(wanted) + 1):
        if lines[index : index + len(wanted)] == list(wanted):
            yield index


def plant(folder: Path, *names: str, root: Path = ROOT) -> Path:
    """Copy flowrt into a folder, with one bug or several in it; return the folder."""
    changed: dict[str, str] = {}
    for name in names:
        patch = read(name)
        for path in patch.files:
            text = changed[path] if path in changed else (root / path).read_text(encoding="utf-8")
            changed[path] = applied(patch, path, text)
    shutil.copytree(root / "flowrt", folder / "flowrt", symlinks=True)
    for path, text in changed.items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of an interpreter that finds the copy in `folder` first, and the tests behind it."""
    path = os.pathsep.join(map(str, (folder, ROOT)))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}


def run_planted(folder: Path, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with the copy in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
