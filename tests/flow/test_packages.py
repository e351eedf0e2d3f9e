"""`FlowRuntime.from_package`: the package's `root.flow` and what its modules mark."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowrt import FlowBuildError, FlowRuntime
from tests.kit.flows import SCHEDULES
from tests.kit.functions import SECONDS

FLOW = """
.in, split       // the words
split, count
count, .out
say.said, .said
"""
INIT = """
from flowrt import operation
from {name}.words import count

@operation
def split(line, emit):
    for word in line.split():
        emit(word)
"""
WORDS = """
from flowrt import in_port, operation, out_port, parallel

@operation(mode=parallel(2, ordered=True))
def count(word):
    return len(word)

class say:
    said = out_port()

    @in_port
    def it(self, data):
        self.said(data)
"""


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., str]]:
    """Make packages to import; each has a name of its own, for modules are imported once."""
    made: list[str] = []
    before = set(sys.modules)

    def make(**files: str) -> str:
        name = f"made_for_a_test_{abs(hash(request.node.name)) % 10**9}_{len(made)}"
        made.append(name)
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            path = folder / ("root.flow" if file == "flow" else f"{file}.py")
            path.write_text(content.replace("{name}", name), encoding="utf-8")
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for name in set(sys.modules) - before:
        if name.startswith("made_for_a_test"):
            del sys.modules[name]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_package_gives_its_flow_and_its_operations(package: Callable[..., str], schedule: str) -> None:
    """B308, B309: operations where they are written, once, though __init__ imports them; components by their class."""
    name = package(__init__=INIT, words=WORDS, flow=FLOW)

    with FlowRuntime.from_package(name, schedule=schedule, name="mine") as runtime:
        assert runtime.name == "mine"
        assert runtime.process(".in", "the quick fox").values(SECONDS) == [3, 5, 3]


def test_a_package_may_be_given_as_it_is_imported(package: Callable[..., str]) -> None:
    import importlib

    name = package(__init__=INIT, words=WORDS, flow=FLOW)

    with FlowRuntime.from_package(importlib.import_module(name)) as runtime:
        assert runtime.process(".in", "fox").values(SECONDS) == [3]


def test_modules_with_an_underscore_and_subpackages_are_not_imported(
    package: Callable[..., str], tmp_path: Path
) -> None:
    name = package(__init__=INIT, words=WORDS, flow=FLOW, __main__="raise SystemExit", _private="1 / 0")
    (tmp_path / name / "tests").mkdir()
    (tmp_path / name / "tests" / "__init__.py").write_text("1 / 0", encoding="utf-8")

    FlowRuntime.from_package(name).close()


def test_a_package_in_a_zip_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_for_a_test/__init__.py", INIT.replace("{name}", "zipped_for_a_test"))
        file.writestr("zipped_for_a_test/words.py", WORDS)
        file.writestr("zipped_for_a_test/root.flow", FLOW)
    monkeypatch.syspath_prepend(str(archive))

    with FlowRuntime.from_package("zipped_for_a_test") as runtime:
        assert runtime.process(".in", "fox").values(SECONDS) == [3]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"__init__": INIT, "words": WORDS}, "has no root.flow: looked for"),
        ({"__init__": "", "flow": FLOW}, "has no operations: nothing written in made_for"),
        ({"__init__": "import nowhere_at_all", "flow": FLOW}, "could not be imported: it raised ModuleNotFoundError"),
        ({"__init__": INIT, "words": "1 / 0", "flow": FLOW}, "could not be imported: it raised ZeroDivisionError"),
        ({"__init__": "", "words": WORDS, "broken": "(", "flow": FLOW}, '.broken" could not be imported: it raised SyntaxError'),
        ({"__init__": INIT, "words": WORDS, "again": WORDS, "flow": FLOW}, 'there are two operations "count"'),
        ({"__init__": INIT, "words": WORDS, "flow": "in, a, b, c\n"}, "root.flow:1:"),
        ({"__init__": INIT, "words": WORDS, "flow": ".in, splitt\n"}, 'root.flow:1:6: there is no operation or flow "splitt"'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_package_is_said(
    package: Callable[..., str], files: dict[str, str], text: str
) -> None:
    """B309: which the ancestor said only of a missing Program class."""
    with pytest.raises(FlowBuildError) as caught, FlowRuntime.from_package(package(**files)) as runtime:
        runtime.start()

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "no_such_package",
            'there is no package "no_such_package" to import: "no_such_package" was not found',
        ),
        ("xml.no_such_package", '"xml.no_such_package" was not found'),
        ("textwrap", '"textwrap" is a module, not a package'),
        ("xml", 'package "xml" has no root.flow'),
        (".relative", "as it is imported"),
        ("", "as it is imported"),
        (5, "got 5"),
    ],
)
def test_what_is_no_package_is_refused(name: Any, text: str) -> None:
    """B309."""
    with pytest.raises(FlowBuildError) as caught:
        FlowRuntime.from_package(name)

    assert text in str(caught.value)
