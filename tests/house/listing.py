"""The listing of flowrt as docs/design.md has it: package by package, each module with the first line of its docstring.

    python -m tests.house.listing             prints it
    python -m tests.house.listing --write     puts it into the page

The packages stand in the order of the contract `layers`. Within a package the page's own order counts, as long as each module uses only
those below it; what would break that moves down, and what is new comes last.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from typing import Any

import grimp

from tests.house.source import ROOT, Module, modules

PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- python -m tests.house.listing --write -->", "<!-- end of the listing -->"
Imports = frozenset[tuple[str, str]]  # who imports, what is imported


def contract(name: str) -> dict[str, Any]:
    """Return a contract of import-linter's, as pyproject.toml has it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any]
    (found,) = (each for each in settings["tool"]["importlinter"]["contracts"] if each["id"] == name)
    return found


def layers() -> list[str]:
    """Return the packages and the modules on the ground, from the top."""
    return [name for layer in contract("layers")["layers"] for name in layer.split(" : ")]


def imports_at_run_time(package: str = "flowrt") -> Imports:
    """Return who imports whom inside the same package, late imports counted, those for types alone not."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    names = {module: module.removeprefix(f"{package}.") for module in graph.modules}
    pairs = ((one, other) for one in names for other in graph.find_modules_directly_imported_by(one))
    return frozenset(
        (names[one], names[other]) for one, other in pairs if _top(names[one]) == _top(names[other])
    )


def _top(name: str) -> str:
    return name.partition(".")[0]


def listing_of(page: str) -> str:
    """Return what stands in a page between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def order_of(listing: str) -> list[str]:
    """Return the modules that a listing names, from the top."""
    files = re.findall(r"^\| `([\w/.]+)` \|", listing, re.MULTILINE)
    return [file.removesuffix(".py").strip("/").replace("/", ".") for file in files]


def upward(imports: Imports, order: list[str]) -> Imports:
    """Return the imports of what stands higher in its package than who imports it."""
    rank = {name: at for at, name in enumerate(order)}
    return frozenset((one, other) for one, other in imports if rank.get(one, 0) > rank.get(other, 0))


def in_order(names: Iterable[str], imports: Imports, before: list[str]) -> list[str]:
    """Return modules in the order they had before, but none above one that imports it, unless in a circle."""
    rank = {name: at for at, name in enumerate(before)}
    left = sorted(names, key=lambda name: (rank.get(name, len(rank)), name))
    done: list[str] = []
    while left:
        free = (name for name in left if not any((other, name) in imports for other in left if other != name))
        done.append(next(free, left[0]))
        left.remove(done[-1])
    return done


def listing(of: Iterable[Module], imports: Imports, before: list[str]) -> str:
    """Return the tables of all packages, each headed by the package itself."""
    named = {module.name: module for module in of}
    ground = [name for name in layers() if name in named and not named[name].is_package]
    tables = [
        [package, *in_order((name for name in named if name.startswith(f"{package}.")), imports, before)]
        for package in layers()
        if package not in ground
    ]
    rows = {name: f"| `{module.file}` | {module.says} |" for name, module in named.items()}
    return "\n\n".join(
        "\n".join([rows[head], "|---|---|", *(rows[name] for name in table)])
        for head, *table in [*tables, ["flowrt", *ground]]
    )


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    text = listing(modules(), imports_at_run_time(), order_of(listing_of(page)))
    if "--write" in sys.argv:
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
