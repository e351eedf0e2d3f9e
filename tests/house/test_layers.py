"""The contracts of the house hold, are whole, and notice what breaks them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.listing import PAGE, contract, imports_at_run_time, layers, listing_of, order_of, upward
from tests.house.source import ROOT, modules

# Of the packages that decide, all but these must be pure: no thread, clock, queue, log, I/O or import system, so that a
# whole runtime can be simulated. Flow text is read from files, packages are imported, a picture is written to a file.
DECIDE = "users shown errors clock ports messages operations standard flow engine".split()
IMPURE = {"flow.text", "flow.packages", "flow.diagrams"}


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
    assert {module.package for module in modules()} - {"flowrt"} - set(layers()) == set()


def test_all_that_must_be_pure_is_held_to_it() -> None:
    sources = {source.removeprefix("flowrt.") for source in contract("pure")["source_modules"]}
    inside = {f"flow.{path.stem}" for path in ROOT.glob("flowrt/flow/*") if not path.stem.startswith("__")}

    assert sources == {*DECIDE, *inside} - IMPURE - {"flow"}, "correct source_modules in pyproject.toml"


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


def test_inside_a_package_modules_import_one_way() -> None:
    order = order_of(listing_of(PAGE.read_text(encoding="utf-8")))

    found = upward(imports_at_run_time(), order)

    assert found == set(), "at run time a module imports those that stand below it in docs/design.md"


def test_an_import_at_run_time_counts_and_one_for_types_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shed = tmp_path / "shed" / "tools"
    shed.mkdir(parents=True)
    for path in (shed.parent, shed):
        (path / "__init__.py").touch()
    (tmp_path / "shed" / "nails.py").write_text("from shed.tools import saw\n")
    (shed / "saw.py").write_text("def late():\n    from shed.tools.hammer import head\n")
    (shed / "hammer.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shed.tools.saw import late\nhead = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    imports = imports_at_run_time("shed")

    assert imports == {("tools.saw", "tools.hammer")}
    assert upward(imports, ["tools", "tools.saw", "tools.hammer"]) == set()
    assert upward(imports, ["tools", "tools.hammer", "tools.saw"]) == imports
