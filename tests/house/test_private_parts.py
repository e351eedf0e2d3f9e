"""What begins with an underscore belongs to its package: nobody outside it looks at that, or imports it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.house.source import Module, is_own, modules, nodes, planted

PUBLIC = {
    "_asdict",
    "_fields",
    "_make",
    "_replace",
}  # of named tuples: the underscore keeps clear of their fields

# Private parts of others that are used, and why they may be.
STAY = {
    "cli.signals: os._exit": "the documented way to end a process at once",
    "executors.dispatchers: module._get_running_loop": "documented, for those who ask from any thread and want no exception",
    "errors: sys._current_frames": "documented; nothing else says where another thread stands",
    "observe.calls: sys._getframe": "documented; nothing else says who calls",
    "operations.declarations: sys._getframe": "documented; nothing else says who calls",
    "operations.signatures: functools._lru_cache_wrapper": "the class of what `functools.cache` makes has no other name",
    "testing.rules.calls: sys._getframe": "documented; nothing else says who calls",
}


def defined(module: Module) -> Iterator[str]:
    """Name what a module defines with an underscore: at its top, in a class, on an object of its own."""
    for node in nodes(module):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):  # also the fields of classes
                yield name
            case ast.Attribute(value=owner, attr=name, ctx=ast.Store()) if is_own(owner):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=slots):
                yield from (str(each.value) for each in ast.walk(slots) if isinstance(each, ast.Constant))


def used(module: Module) -> Iterator[tuple[str, str]]:
    """Say what private parts a module uses of something that is not `self`: the name, and how it is written."""
    for node in nodes(module):
        match node:
            case ast.Attribute(value=owner, attr=name) if is_private(name) and not is_own(owner):
                yield name, ast.unparse(node)
            case ast.ImportFrom(module=source, names=names):
                for each in names:
                    if is_private(each.name):
                        yield each.name, f"from {source} import {each.name}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def others_private_parts(of: Iterable[Module]) -> set[str]:
    of = list(of)
    own: dict[str, set[str]] = defaultdict(set)
    for module in of:
        own[module.package].update(defined(module))
    return {
        f"{module.name}: {text}"
        for module in of
        for name, text in used(module)
        if name not in own[module.package]
    }


def test_nobody_uses_private_parts_of_another_package() -> None:
    found = others_private_parts(modules())

    assert found - STAY.keys() == set(), "give it a public name, or move it to where it is used"
    assert STAY.keys() - found == set(), "no longer so: take it off the list"


def test_private_parts_of_another_package_are_noticed() -> None:
    engine = planted(
        "engine.here",
        """
        class Engine:
            __slots__ = ("_books", "_turns")
            def _step(self, other):
                self._turn = other._turns, other._step, self._anything, super()._anything
        """,
    )
    near = planted(
        "engine.near", "from flowrt.engine.here import _sign\n_sign = engine._books, engine._turn\n"
    )
    far = planted(
        "runtime.far",
        """
        from flowrt.engine.near import _sign, public
        def look(engine):
            engine.books._own = engine._turn
            return engine._asdict(), engine.__class__, engine._step()
        """,
    )

    assert others_private_parts([engine, near, far]) == {
        "runtime.far: from flowrt.engine.near import _sign",
        "runtime.far: engine.books._own",
        "runtime.far: engine._turn",
        "runtime.far: engine._step",
    }
