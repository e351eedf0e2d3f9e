"""What calls whom can be read where it is made: no callback comes later, and no base class is only there to be in another file."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.house.source import Function, Module, is_own, methods, modules, nodes, planted

WIRING = "runtime.wiring"  # the one module that may tie a knot

# Callbacks that are assigned from outside after construction, and why they may stay.
STAY = {
    "testing.ledgers: Run.tell_finished = tell_finished": "watches every run of a stretch of a test, whoever makes it",
    "testing.rules.trials: threading.excepthook = self._escaped": "how Python hands out errors of threads",
}

# Base classes with one subclass that are never made themselves, and why they may stay.
ONE_SUBCLASS = {
    "flow.sites.Site": "what a flow knows of a spot; `Place` adds what the engine has there, and pictures need only this",
    "operations.bodies.Pull": "what a body knows of a pull; the engine's `PullTask` adds whose it is",
}


class LateCallbacks(ast.NodeVisitor):
    """Finds `x.y = f`, where `x` is not the object itself and `f` a function, a lambda or a method."""

    def __init__(self, callables: set[str]) -> None:
        self._callables = callables  # names of attributes that are methods, and nothing else anywhere
        self._functions: list[set[str]] = []  # by scope: names that are functions
        self._own: set[str] = set()
        self.found: list[str] = []

    def visit_Module(self, node: ast.Module) -> None:
        self._within(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._within(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self._own = self._own, methods(node)
        self.generic_visit(node)
        self._own = before

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assigned(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assigned(node.target, node.value)

    def _within(self, scope: ast.Module | Function) -> None:
        self._functions.append({each.name for each in scope.body if isinstance(each, Function)})
        self.generic_visit(scope)
        self._functions.pop()

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple):
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
            for each, its_value in zip(target.elts, values, strict=True):
                self._assigned(each, its_value)
        elif isinstance(target, ast.Attribute) and not is_own(target.value) and self._is_callback(value):
            self.found.append(f"{ast.unparse(target)} = {ast.unparse(value)}")

    def _is_callback(self, value: ast.expr) -> bool:
        match value:
            case ast.Lambda():
                return True
            case ast.Name(id=name):
                return any(name in functions for functions in self._functions)
            case ast.Attribute(value=owner, attr=name):
                return name in self._callables or (is_own(owner) and name in self._own)
            case ast.IfExp(body=one, orelse=other):
                return self._is_callback(one) or self._is_callback(other)
        return False


def classes(of: Iterable[Module]) -> Iterator[tuple[Module, ast.ClassDef]]:
    for module in of:
        for node in nodes(module):
            if isinstance(node, ast.ClassDef):
                yield module, node


def only_methods(of: Iterable[Module]) -> set[str]:
    """Return what is a method in some class, and no attribute in any."""
    of = list(of)
    called = {name for _, each in classes(of) for name in methods(each)}
    kept: set[str] = set()
    for _, each in classes(of):
        kept |= {node.name for node in each.body if isinstance(node, Function)} - methods(each)
        kept |= {node.target.id for node in each.body if _is_field(node)}  # type: ignore[attr-defined]
    for module in of:
        for node in nodes(module):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
                kept.add(node.attr)
    return called - kept


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def late_callbacks(of: Iterable[Module]) -> set[str]:
    of = list(of)
    callables = only_methods(of)
    found = set()
    for module in of:
        visitor = LateCallbacks(callables)
        visitor.visit(module.tree)
        if module.name != WIRING:
            found |= {f"{module.name}: {each}" for each in visitor.found}
    return found


def lone_bases(of: Iterable[Module]) -> dict[str, str]:
    """Return the base classes that have one subclass and are never made, each with that."""
    of = list(of)
    home = {each.name: f"{module.name}.{each.name}" for module, each in classes(of)}
    subclasses: dict[str, list[str]] = defaultdict(list)
    for _, each in classes(of):
        for base in each.bases:
            subclasses[_last_name(base)].append(home[each.name])
    made = set()  # also by whoever is given the class
    for module in of:
        for node in nodes(module):
            if isinstance(node, ast.Call):
                made |= {_last_name(each) for each in (node.func, *node.args)}
    return {
        home[base]: under[0]
        for base, under in subclasses.items()
        if base in home and len(under) == 1 and base not in made
    }


def _last_name(expression: ast.expr) -> str:
    if isinstance(expression, ast.Subscript):
        return _last_name(expression.value)
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


def test_no_callback_comes_after_construction() -> None:
    found = late_callbacks(modules())

    assert found - STAY.keys() == set(), "give it to the constructor; a knot is tied in runtime/wiring.py"
    assert STAY.keys() - found == set(), "no longer so: take it off the list"


def test_no_base_class_is_there_to_be_in_another_file() -> None:
    found = lone_bases(modules())

    assert found.keys() - ONE_SUBCLASS.keys() == set(), "one class, or a reason in ONE_SUBCLASS"
    assert ONE_SUBCLASS.keys() - found.keys() == set(), "no longer so: take it off the list"


def test_late_callbacks_are_noticed() -> None:
    text = """
    def at_last(): ...

    class Bell:
        volume: int
        def ring(self): ...
        @property
        def loud(self): ...

    class Door:
        def __init__(self, bell, house):
            self.opened = self.open
            bell.rung = self.open
            bell.volume, bell.after = 3, at_last
            house.bell.name = lambda: "a bell" if bell else None
            house.visited = bell.ring if house else None
            house.volume, house.noisy = bell.volume, bell.loud
            def late(): ...
            self.house.late = late
        def open(self): ...
    """

    found = late_callbacks([planted("runtime.door", text)])

    assert found == {
        "runtime.door: bell.rung = self.open",
        "runtime.door: bell.after = at_last",
        "runtime.door: house.bell.name = lambda: 'a bell' if bell else None",
        "runtime.door: house.visited = bell.ring if house else None",
        "runtime.door: self.house.late = late",
    }
    assert late_callbacks([planted(WIRING, text)]) == set()


def test_a_base_class_with_one_subclass_is_noticed() -> None:
    bases = planted(
        "engine.bases",
        "class Half: ...\nclass Made: ...\nclass Given: ...\nclass Two: ...\nmake(Made(), Given)\n",
    )
    rest = planted(
        "engine.rest",
        "class Whole(bases.Half[int]): ...\nclass A(Made, Given, Two): ...\nclass B(Two): ...\n",
    )

    assert lone_bases([bases, rest]) == {"engine.bases.Half": "engine.rest.Whole"}
