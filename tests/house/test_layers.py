"""The contracts of the house hold, are whole, and notice what breaks them."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Of the rooms that decide, all but these must be pure: no thread, clock, queue, log, I/O or import system, so that a
# whole runtime can be simulated. Flow text is read from files, packages are imported, a picture is written to a file.
ROOMS = "errors clock ports messages operations standard flow engine".split()
IMPURE = {"flow.text", "flow.packages", "flow.diagrams"}


def contract(name: str) -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any]
    (found,) = (c for c in settings["tool"]["importlinter"]["contracts"] if c["id"] == name)
    return found


def modules() -> set[str]:
    return {path.parent.name for path in ROOT.glob("flowrt/*/__init__.py")} | {
        path.stem for path in ROOT.glob("flowrt/*.py") if path.name != "__init__.py"
    }


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    arguments = [sys.executable, "-c", command, "--no-cache"]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "flowrt", tmp_path / "flowrt", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(folder: Path, module: str, line: str) -> None:
    with (folder / "flowrt" / f"{module}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_both_contracts_hold() -> None:
    result = lint(ROOT)

    assert "Contracts: 2 kept, 0 broken." in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


def test_every_module_is_a_layer() -> None:
    layers = {name for layer in contract("layers")["layers"] for name in layer.split(" : ")}

    assert modules() - layers == set()


def test_all_that_must_be_pure_is_held_to_it() -> None:
    sources = {source.removeprefix("flowrt.") for source in contract("pure")["source_modules"]}
    inside = {f"flow.{path.stem}" for path in ROOT.glob("flowrt/flow/*") if not path.stem.startswith("__")}

    assert sources == {*ROOMS, *inside} - IMPURE - {"flow"}, "correct source_modules in pyproject.toml"


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("errors", "import flowrt.ports", "flowrt.errors is not allowed to import flowrt.ports"),
        ("errors", "def late():\n    import threading", "flowrt.errors is not allowed to import threading"),
        ("engine/traffic", "from queue import Queue", "flowrt.engine is not allowed to import queue"),
        (
            "errors",
            "if TYPE_CHECKING:\n    import flowrt.ports",
            "flowrt.errors is not allowed to import flowrt.ports",
        ),
        ("__init__", "import time\nimport flowrt.ports", None),
        ("plumbing", "import time", "flowrt.plumbing"),
    ],
)
def test_a_contract_notices_what_breaks_it(
    house: Path, module: str, line: str, complaint: str | None
) -> None:
    plant(house, module, line)

    result = lint(house)

    assert (result.returncode != 0) == (complaint is not None), result.stdout
    assert (complaint or "0 broken") in result.stdout


def test_an_indirect_import_counts(house: Path) -> None:
    plant(house, "ports", "import flowrt.errors")
    plant(house, "errors", "import time")

    result = lint(house)

    assert "flowrt.ports is not allowed to import time" in result.stdout
