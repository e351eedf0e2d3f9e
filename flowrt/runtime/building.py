"""`Building`: the flow of a runtime, which may change while it runs; a change is swapped in whole or not at all."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

from flowrt.errors import FlowBuildError
from flowrt.flow.definition import Definition
from flowrt.flow.faults import definition_of, refuse_end
from flowrt.flow.flow import Flow
from flowrt.flow.sites import FlowSite
from flowrt.operations.declarations import parts_of, shared
from flowrt.ports import Behind, Port

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flowrt.flow.checks import Finding
    from flowrt.operations.declarations import Declaration
    from flowrt.runtime.activation import Activations
    from flowrt.runtime.life import Life
    from flowrt.runtime.owner import Owner


# By id, with the operation itself, which so keeps its id: own operations need be neither hashable nor weakly referable.
_owners: dict[int, tuple[object, weakref.ref[Life]]] = {}


def claim_operations(definition: Definition, life: Life) -> None:
    """Claim the own operations of a flow for a runtime; `FlowBuildError` if another one is running one of them."""
    own = [
        (declaration, owned)
        for declaration in definition.all_operations()
        if (owned := _owned_by(declaration)) is not None
    ]
    for declaration, owned in own:
        claimed = _owners.get(id(owned))
        other = claimed[1]() if claimed is not None else None
        if other is not None and other is not life and not other.stopped:
            kind = type(owned).__name__
            what, remedy = ("operation", "with a factory: add_operation")
            if declaration.component is not None:
                what, remedy = ("component", "as a class: add_component")
            raise FlowBuildError(
                f'{what} "{declaration.name}" ({kind}) is already in use by runtime "{other.name}": two engines would enter it at once. '
                f'Add it {remedy}("{declaration.name}", {kind}).'
            )
    for _, owned in own:
        _owners[id(owned)] = (owned, weakref.ref(life))


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


def release_operations(life: Life) -> None:
    """Give up what a runtime has claimed: it is over."""
    for key, (_, owner) in list(_owners.items()):
        if owner() in (life, None):
            _owners.pop(key, None)


class Building:
    """The flow as it was declared, and as the engine has it.

    Called on: any thread.

    Attributes:
        changed: whether the engine has not been given what was declared last.

    Args:
        sharing: operations that are sync and keep no state share threads: the "parallel" schedule.
        activations: tell components where what they emit of their own accord goes.
    """

    def __init__(
        self,
        flow: Flow | None,
        owner: Owner,
        activations: Activations,
        *,
        strict: bool,
        sharing: bool,
    ) -> None:
        if flow is not None and not isinstance(flow, Flow):
            raise FlowBuildError(f"FlowRuntime takes a Flow, got {type(flow).__name__}. {_remedy(flow)}")
        self.flow: Flow[Any] = Flow()
        if flow is not None:
            self.flow.reset(flow.contents())
        self.changed: bool = True
        self._built: Any = None
        self._names = FlowSite(
            Definition("")
        )  # of what was compiled last, for looking names up on any thread
        self.ways_in: set[tuple[str, ...]] = set()  # the keys of ports that input is known to enter at
        self._owner = owner
        self._life = owner.life
        self._lock: AbstractContextManager[Any] = owner.seams.rlock()
        self._strict = strict
        self._sharing = sharing
        self._activations = activations

    def change(self, change: Callable[[Flow], Any]) -> None:
        """Change what is declared; `FlowStoppedError` if the runtime is closed."""
        self._life.check_open()
        with self._lock:
            change(self.flow)
            self.changed = True

    def check(self, ignore: Iterable[str]) -> list[Finding]:
        """Look at what is declared; see `flowrt.checks`."""
        from flowrt.flow.checks import check  # noqa: PLC0415 - who does not ask need not import it

        with self._lock:
            return check(self.flow, ignore=ignore, strict=self._strict)

    def find_way_in(self, port: Port, what: str) -> None:
        """`FlowBuildError`, for the call that names it, if input cannot enter at a port, of the flow or of an operation."""
        with self._lock:
            refuse_end(self._names, port, what, entering=True)
            self.ways_in.add(port.key)

    def way_behind(self, port: Port, what: str) -> Port:
        """Return an out-port of an operation, as what leaves there is sent; `FlowBuildError` if there is none."""
        with self._lock:
            refuse_end(self._names, port, what, entering=False)
        return Behind.of(port)

    def compile(self) -> None:
        """Give the engine what is declared; `FlowBuildError` if that is faulty, and a runtime that had a flow goes on with it."""
        with self._lock:
            if not self.changed:
                return
            try:
                definition = definition_of(self.flow, strict=self._strict)
                if self._sharing:  # after the faults were looked for, which are the same under every schedule
                    for each in definition.all_flows():
                        each.operations = {key: shared(found) for key, found in each.operations.items()}
                claim_operations(definition, self._life)
                bind_components = self._activations.binding(definition)
            except FlowBuildError as error:
                if self._built is not None:
                    self.flow.reset(self._built)
                    self.changed = False
                    error.add_note("The change was not made; the flow goes on as it was.")
                raise
            owner = self._owner
            if owner.waits.dispatching.know(parts_of(definition.all_operations())):
                owner.waits.wake_all()
            owner.inbox.post(owner.engine.change, definition)
            bind_components()
            self._names, self.ways_in = FlowSite(definition), set()
            self._built = self.flow.contents()
            self.changed = False  # last: what was not posted is compiled again


def _remedy(given: object) -> str:
    if isinstance(given, str | PathLike):
        return "Read a file with Flow.from_file(path), a text with Flow.from_text(text)."
    return "Add a container with add_operations."
