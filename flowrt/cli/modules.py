"""Modules named on the command line → their operations. The only place of flowrt that imports what a user names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

from flowrt.flow.container import FlowOperationContainer
from flowrt.operations.registration import module_operations


class ModuleError(Exception):
    """A module is not there, or cannot be imported (then `__cause__` is what it raised)."""


def operations_of(names: tuple[str, ...]) -> list[FlowOperationContainer]:
    """Import modules and return their operations: what `@operation` marks in them, and the containers they hold as globals.

    Args:
        names: importable names (the current folder counts), or paths that end in .py.

    Raises:
        ModuleError: as above.
        FlowBuildError: what is marked is no operation, or there is nothing of the kind.
    """
    found: dict[int, FlowOperationContainer] = {}
    for module in {id(each): each for each in map(_imported, names)}.values():
        containers = [each for each in vars(module).values() if isinstance(each, FlowOperationContainer)]
        if marked := module_operations(module, needed=not containers):
            containers.append(FlowOperationContainer()._add_all(marked))
        found.update((id(each), each) for each in containers)
    return list(found.values())


def _imported(name: str) -> ModuleType:
    is_path = name.endswith(".py") or os.sep in name
    folder = str(Path(name).resolve().parent) if is_path else str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return _loaded(Path(name)) if is_path else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ModuleError(
                f'there is no module "{name}", neither installed nor in {folder}. A file is named with its folder and its suffix, .py.'
            ) from None
        raise ModuleError(f'module "{name}" cannot be imported.') from error
    except ModuleError:
        raise
    except (Exception, SystemExit) as error:
        raise ModuleError(f'module "{name}" cannot be imported.') from error


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModuleError(
            f'there is no file "{path}". Modules are named as they are imported ("package.module"), files with their suffix.'
        )
    if path.suffix != ".py":
        raise ModuleError(f'"{path}" is no Python file: its name would end in .py.')
    real = str(path.resolve())
    for name in _names(path.stem):
        known = sys.modules.get(name)
        if known is None and name not in sys.stdlib_module_names:
            break
        if getattr(known, "__file__", None) == real:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, real)
    assert spec is not None, "the suffix is .py"
    assert spec.loader is not None, "likewise"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _names(stem: str) -> Iterator[str]:
    """Yield names for a module, so that a file called numbers.py does not take the place of Python's."""
    yield stem
    for number in count(2):
        yield f"{stem}_{number}"
