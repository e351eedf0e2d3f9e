"""The source of flowrt as trees, for what is said about all of it at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

from attrs import frozen

ROOT = Path(__file__).parents[2]
FLOWRT = ROOT / "flowrt"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@frozen
class Module:
    """A module of flowrt; `name` leaves that out: "engine.traffic", and "engine" for the package itself."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def file(self) -> str:
        return self.name.replace(".", "/") + ("/" if self.is_package else ".py")

    @property
    def package(self) -> str:
        """The package at the top that it belongs to, or itself if it is in none."""
        return self.name.partition(".")[0]

    @property
    def says(self) -> str:
        """The first line of its docstring."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0]


@cache
def modules() -> tuple[Module, ...]:
    return tuple(_read(FLOWRT))


def _read(package: Path) -> Iterator[Module]:
    for path in sorted(package.rglob("*.py")):
        is_package = path.name == "__init__.py"
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if is_package else parts) or package.name
        yield Module(name, ast.parse(path.read_text(encoding="utf-8"), path), is_package)


@cache
def nodes(module: Module) -> tuple[ast.AST, ...]:
    """Return all of its tree."""
    return tuple(ast.walk(module.tree))


def planted(name: str, text: str) -> Module:
    """Return a module that is in no file, to see whether a check notices what is in it."""
    return Module(name, ast.parse(dedent(text)))


def is_own(node: ast.expr) -> bool:
    """Say whether an expression is the object or class whose method it stands in."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def methods(of: ast.ClassDef) -> set[str]:
    """Return the names that a class defines as methods; what is looked at as an attribute is none."""
    return {each.name for each in of.body if isinstance(each, Function) and not _is_property(each)}


def _is_property(function: Function) -> bool:
    decorators = {ast.unparse(each) for each in function.decorator_list}
    return bool(decorators & {"property", "cached_property", "functools.cached_property"})
