"""What a user names → its flow, its operations: the only place of flowrt that imports such a thing.

Of a package, the flow is its resource `root.flow` with what its modules mark as operations.
"""

from __future__ import annotations

import importlib
import importlib.resources
import importlib.util
import os
import pkgutil
import sys
from itertools import count
from pathlib import Path
from types import ModuleType

from flowrt.errors import FlowBuildError, describe
from flowrt.flow.container import FlowOperationContainer
from flowrt.flow.flow import Flow
from flowrt.flow.text import read_flow_file
from flowrt.operations.registration import module_operations, package_operations

ROOT_FLOW = "root.flow"


class ModuleError(Exception):
    """A module is not there, or cannot be imported (then `__cause__` is what it raised)."""


def flow_of_package(name: str | ModuleType) -> Flow:
    """Make the flow of a package, importing it and the modules directly in it whose names do not begin with an underscore.

    Raises:
        FlowBuildError: it cannot be imported, is no package, has no `root.flow` or no marked operations; or one of these is faulty.
    """
    package = name if isinstance(name, ModuleType) else _imported_package(name)
    if not hasattr(package, "__path__"):
        says = f'"{package.__name__}" is a module, not a package. Make it a folder with an __init__.py and, beside that, its flow as {ROOT_FLOW}.'
        raise FlowBuildError(says)
    flow = _root_flow(package)
    names = [
        f"{package.__name__}.{found.name}"
        for found in pkgutil.iter_modules(package.__path__)
        if not (found.ispkg or found.name.startswith("_"))
    ]
    modules = [package, *map(_imported_package, names)]
    declarations = package_operations(modules)
    if not declarations:
        where = ", ".join(module.__name__ for module in modules)
        raise FlowBuildError(
            f'package "{package.__name__}" has no operations: nothing written in {where} is marked. Mark functions and methods with @operation, or '
            "the methods of components with @in_port. Subpackages, and modules whose names begin with an underscore, are left out."
        )
    return flow.add_operations(FlowOperationContainer()._add_all(declarations))


def _imported_package(name: str) -> ModuleType:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        takes = 'from_package takes the name of a package as it is imported, such as "word_count"'
        raise FlowBuildError(f"{takes}, got {name!r}.")
    try:
        return importlib.import_module(name)
    except Exception as error:
        if missing := _missing(name, error):
            says = f'there is no package "{name}" to import: "{missing}" was not found. Install it, or start Python where its folder is.'
            raise FlowBuildError(says) from error
        says = f'"{name}" could not be imported: it raised {describe(error)}, the cause of this error. Its flow runs when "import {name}" does.'
        raise FlowBuildError(says) from error


def _missing(name: str, error: BaseException) -> str | None:
    """Return what is not there: the module itself, or a package around it; None if it is there, and raised."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return missing if missing is not None and f"{name}.".startswith(f"{missing}.") else None


def _root_flow(package: ModuleType) -> Flow:
    resource = importlib.resources.files(package) / ROOT_FLOW
    if not resource.is_file():
        raise FlowBuildError(
            f'package "{package.__name__}" has no {ROOT_FLOW}: looked for {resource}. Put the text of its flow there; where the package is installed '
            "from a wheel, see that the wheel holds it."
        )
    with importlib.resources.as_file(resource) as path:
        return Flow.from_text(read_flow_file(path), source=str(resource))


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
    except ModuleError:
        raise
    except (Exception, SystemExit) as error:
        if _missing(name, error):
            says = f'there is no module "{name}", neither installed nor in {folder}. A file is named with its folder and its suffix, .py.'
            raise ModuleError(says) from None
        raise ModuleError(f'module "{name}" cannot be imported.') from error


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        says = f'there is no file "{path}". Modules are named as they are imported ("package.module"), files with their suffix.'
        raise ModuleError(says)
    if path.suffix != ".py":
        raise ModuleError(f'"{path}" is no Python file: its name would end in .py.')
    real = str(path.resolve())
    name = path.stem
    for number in count(2):
        known = sys.modules.get(name)
        if known is None and name not in sys.stdlib_module_names:
            break
        if getattr(known, "__file__", None) == real:
            return sys.modules[name]
        # A file called numbers.py does not take the place of Python's.
        name = f"{path.stem}_{number}"
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
