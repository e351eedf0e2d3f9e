"""A package → its flow: the resource `root.flow`, with what its modules mark as operations."""

from __future__ import annotations

import importlib
import importlib.resources
import pkgutil
from types import ModuleType

from flowrt.errors import FlowBuildError, describe
from flowrt.flow.container import FlowOperationContainer
from flowrt.flow.flow import Flow
from flowrt.flow.text import read_flow_file
from flowrt.operations.registration import package_operations

ROOT_FLOW = "root.flow"


def flow_of_package(name: str | ModuleType) -> Flow:
    """Make the flow of a package, importing it and the modules directly in it whose names do not begin with an underscore.

    Raises:
        FlowBuildError: it cannot be imported, is no package, has no `root.flow` or no marked operations; or one of these is faulty.
    """
    package = name if isinstance(name, ModuleType) else _imported(name)
    if not hasattr(package, "__path__"):
        raise FlowBuildError(
            f'"{package.__name__}" is a module, not a package. Make it a folder with an __init__.py and, beside that, its flow as {ROOT_FLOW}.'
        )
    flow = _root_flow(package)
    names = [
        f"{package.__name__}.{found.name}"
        for found in pkgutil.iter_modules(package.__path__)
        if not (found.ispkg or found.name.startswith("_"))
    ]
    modules = [package, *map(_imported, names)]
    declarations = package_operations(modules)
    if not declarations:
        where = ", ".join(module.__name__ for module in modules)
        raise FlowBuildError(
            f'package "{package.__name__}" has no operations: nothing written in {where} is marked. Mark functions and methods with @operation, or '
            "the methods of components with @in_port. Subpackages, and modules whose names begin with an underscore, are left out."
        )
    return flow.add_operations(FlowOperationContainer()._add_all(declarations))


def _imported(name: str) -> ModuleType:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise FlowBuildError(
            f'from_package takes the name of a package as it is imported, such as "word_count", got {name!r}.'
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise FlowBuildError(
                f'there is no package "{name}" to import: "{error.name}" was not found. Install it, or start Python where its folder is.'
            ) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> FlowBuildError:
    return FlowBuildError(
        f'"{name}" could not be imported: it raised {describe(error)}, the cause of this error. Its flow runs when "import {name}" does.'
    )


def _root_flow(package: ModuleType) -> Flow:
    resource = importlib.resources.files(package) / ROOT_FLOW
    if not resource.is_file():
        raise FlowBuildError(
            f'package "{package.__name__}" has no {ROOT_FLOW}: looked for {resource}. Put the text of its flow there; where the package is installed '
            "from a wheel, see that the wheel holds it."
        )
    with importlib.resources.as_file(resource) as path:
        return Flow.from_text(read_flow_file(path), source=str(resource))
