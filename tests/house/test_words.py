"""One word per thing: no two packages define the same name at the top of a module; and one function says which names are the same."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.house.source import Module, modules, nodes, planted

# Names that two packages may both define, and why.
SAME_WORD = {
    "CALLS_HANDLERS": "a module says it of itself, to observe.calls",
    "CALLS_OPERATIONS": "likewise",
}


def defined(module: Module) -> Iterator[str]:
    """Name what the body of a module defines for others."""
    for statement in module.tree.body:
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def ambiguous(of: Iterable[Module]) -> dict[str, list[str]]:
    """Return the names that several packages define, with the modules that do."""
    where: dict[str, list[Module]] = defaultdict(list)
    for module in of:
        for name in sorted(set(defined(module))):
            if not name.startswith("_"):
                where[name].append(module)
    return {
        name: [each.name for each in found]
        for name, found in where.items()
        if len({each.package for each in found}) > 1
    }


def test_no_name_is_defined_by_two_packages() -> None:
    found = ambiguous(modules())
    new = {name: where for name, where in found.items() if name not in SAME_WORD}

    assert not new, "give one of them another name, or say in SAME_WORD why both may have it"
    assert SAME_WORD.keys() - found.keys() == set(), "no longer so: take it off the list"


def test_a_name_in_two_packages_is_noticed() -> None:
    here = planted("engine.here", "class Door: ...\n_KEY, (BELL, LIGHT) = 1, (2, 3)\ndef knock(): ...\n")
    near = planted("engine.near", "def knock(): ...\n")
    far = planted("runtime.far", "Door: type = int\nBELL = 4\n_KEY = 1\nif BELL:\n    knock = 5\n")

    assert ambiguous([here, near, far]) == {
        "Door": ["engine.here", "runtime.far"],
        "BELL": ["engine.here", "runtime.far"],
    }


def folding(of: Iterable[Module]) -> list[str]:
    """Return the modules that fold the case of texts."""
    return [
        module.name
        for module in of
        if any(isinstance(node, ast.Attribute) and node.attr == "casefold" for node in nodes(module))
    ]


def test_which_names_are_the_same_is_said_in_one_place() -> None:
    assert folding(modules()) == ["ports"], "names are compared as `folded` of ports.py has them"


def test_a_module_that_folds_names_itself_is_found() -> None:
    assert folding([planted("flow.more", "keys = map(str.casefold, names)")]) == ["flow.more"]
