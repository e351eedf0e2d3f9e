"""Which runtime runs an own operation: two engines must not enter one at once."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from flowrt.errors import FlowBuildError

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.flow import Definition

# By id, with the operation itself, which so keeps its id: own operations need be neither hashable nor weakly referable.
_owners: dict[int, tuple[object, weakref.ref[Driver]]] = {}


def claim_operations(definition: Definition, driver: Driver) -> None:
    """Claim the own operations of a flow for a runtime; `FlowBuildError` if another one is running one of them."""
    own = [d for d in definition.all_operations() if d.operation is not None and d.factory is None]
    own = [d for d in own if not type(d.operation).__module__.startswith("flowrt.")]
    for declaration in own:
        claimed = _owners.get(id(declaration.operation))
        other = claimed[1]() if claimed is not None else None
        if other is not None and other is not driver and not other.stopped:
            kind = type(declaration.operation).__name__
            raise FlowBuildError(
                f'operation "{declaration.name}" ({kind}) is already in use by runtime "{other.name}": two engines would enter it at once. '
                f'Add it with a factory: add_operation("{declaration.name}", {kind}).'
            )
    for declaration in own:
        _owners[id(declaration.operation)] = (declaration.operation, weakref.ref(driver))


def release_operations(driver: Driver) -> None:
    """Give up what a runtime has claimed: it is over."""
    for key, (_, owner) in list(_owners.items()):
        if owner() in (driver, None):
            _owners.pop(key, None)
