"""Which runtime runs an own operation: two engines must not enter one at once."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from flowrt.errors import FlowBuildError

if TYPE_CHECKING:
    from flowrt.declarations import Declaration
    from flowrt.driver import Driver
    from flowrt.flow import Definition

# By id, with the operation itself, which so keeps its id: own operations need be neither hashable nor weakly referable.
_owners: dict[int, tuple[object, weakref.ref[Driver]]] = {}


def claim_operations(definition: Definition, driver: Driver) -> None:
    """Claim the own operations of a flow for a runtime; `FlowBuildError` if another one is running one of them."""
    own = [
        (declaration, owned)
        for declaration in definition.all_operations()
        if (owned := _owned_by(declaration)) is not None
    ]
    for declaration, owned in own:
        claimed = _owners.get(id(owned))
        other = claimed[1]() if claimed is not None else None
        if other is not None and other is not driver and not other.stopped:
            kind = type(owned).__name__
            what, remedy = ("operation", "with a factory: add_operation")
            if declaration.component is not None:
                what, remedy = ("component", "as a class: add_component")
            raise FlowBuildError(
                f'{what} "{declaration.name}" ({kind}) is already in use by runtime "{other.name}": two engines would enter it at once. '
                f'Add it {remedy}("{declaration.name}", {kind}).'
            )
    for _, owned in own:
        _owners[id(owned)] = (owned, weakref.ref(driver))


def _owned_by(declaration: Declaration) -> object | None:
    """Return the user's object that a declaration brings along; None where one is made per place."""
    owned: object
    if declaration.component is not None:
        owned = declaration.component.instance
        return owned
    owned = declaration.operation
    if owned is None or declaration.factory is not None or type(owned).__module__.startswith("flowrt."):
        return None
    return owned


def release_operations(driver: Driver) -> None:
    """Give up what a runtime has claimed: it is over."""
    for key, (_, owner) in list(_owners.items()):
        if owner() in (driver, None):
            _owners.pop(key, None)
