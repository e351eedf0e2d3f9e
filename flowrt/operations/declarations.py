"""`Declaration`: an operation as it was declared, with its mode; and what is wrong with one, or with several together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from attrs import Factory, evolve, field, frozen

from flowrt.errors import Fault, FlowBuildError, is_ours
from flowrt.operations.bodies import GeneratorBody
from flowrt.operations.contract import Extras, extras_of
from flowrt.operations.modes import SHARED, SYNC
from flowrt.operations.policies import NO_POLICIES
from flowrt.ports import folded

if TYPE_CHECKING:
    from flowrt.operations.bodies import Body
    from flowrt.operations.components import Component
    from flowrt.operations.modes import Mode
    from flowrt.operations.policies import Policies


@frozen(eq=False)
class Declaration:
    """An operation as it was declared: what performs it, its ports, its mode, and where it stands in the source.

    `kind`: "function", "action", "generator" or "operation"; `function`: the callable as it was given.
    """

    name: str
    body: Body
    in_ports: tuple[str, ...] | None
    out_ports: tuple[str, ...] | None
    declared_at: str
    mode: Mode = SYNC
    window: int = 0
    operation: Any = None
    factory: Callable[[], Any] | None = None
    policies: Policies = NO_POLICIES
    ignore: tuple[str, ...] = ()  # codes of findings that `check` does not report about it
    kind: str = "operation"
    function: Any = None
    component: Component | None = None
    extras: Extras = field(
        default=Factory(lambda self: extras_of(self.operation), takes_self=True), init=False, repr=False
    )
    _parts: dict[str, Declaration] = field(factory=dict, init=False, repr=False)

    def at(self, in_port: str) -> Declaration:
        """Return the declaration of what an in-port leads to: of a component, its method with a mode of its own; else itself."""
        key = folded(in_port)
        mode = self.component.modes.get(key) if self.component is not None else None
        if mode is None:
            return self
        return self._parts.get(key) or self._parts.setdefault(key, evolve(self, mode=mode))

    def parts(self) -> list[Declaration]:
        """Return the declarations of all it consists of, which differ in their modes."""
        if self.component is None or not self.component.in_ports:
            return [self]
        return list(dict.fromkeys(self.at(port) for port in self.component.in_ports))

    @property
    def stateful(self) -> bool:
        """Return whether it keeps something between calls, as far as flowrt knows; what a component keeps is its own business."""
        return self.operation is not None or self.component is not None

    @property
    def active(self) -> bool:
        """Return whether it may emit of its own accord."""
        return self.extras.activate is not None or bool(self.component and self.component.out_ports)

    @property
    def bracket(self) -> int:
        """Return 1 for an operation that opens a scope, -1 for one that gathers it, else 0."""
        return self.extras.bracket


def shared(declaration: Declaration) -> Declaration:
    """Have an operation performed by the threads that all share under the "parallel" schedule, if it is sync and keeps no state."""
    mode = declaration.mode
    if mode.kind != "sync" or mode.dispatcher is not None or declaration.stateful:
        return declaration
    return evolve(declaration, mode=SHARED)


def declared_at() -> str:
    """Return file:line of the nearest caller outside flowrt; who calls this is inside."""
    frame = sys._getframe(2)
    while frame.f_back is not None and is_ours(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def same_name(earlier: Declaration, later: Declaration) -> str:
    """Say that two operations have one name."""
    both = earlier.kind == later.kind == "component"
    known = " A module brings its classes with ports itself." if both else ""
    return (
        f'there are two operations "{later.name}": at {earlier.declared_at} and at {later.declared_at}. Names ignore case; '
        f"give one of them another name.{known}"
    )


def mode_faults(declarations: Iterable[Declaration]) -> list[Fault]:
    """Say what is wrong with where operations run, with each or with several together."""
    parts = parts_of(declarations)
    return _pool_faults(parts) + _policy_faults(parts)


def parts_of(declarations: Iterable[Declaration]) -> list[Declaration]:
    """Return the declarations of all that operations consist of, which differ in their modes."""
    return [part for each in declarations for part in each.parts()]


def _pool_faults(parts: Iterable[Declaration]) -> list[Fault]:
    """Say which pools are asked for in different kinds or sizes."""
    faults = []
    pools: dict[str, Declaration] = {}
    for declaration in parts:
        mode = declaration.mode
        if mode.pool is None:
            continue
        first = pools.setdefault(folded(mode.pool), declaration)
        if str(first.mode) != str(mode):
            text = (
                f'pool "{mode.pool}" is asked for as {first.mode} by operation "{first.name}" (declared at {first.declared_at}) and as {mode} by '
                f'operation "{declaration.name}"'
            )
            place, remedy = declaration.declared_at, "A pool belongs to one kind and size: use another name."
            whole = f"{text} (declared at {place}). {remedy}"
            faults.append(Fault(whole, place, "F501", f"{text}.", remedy, (first, declaration)))
    return faults


def _policy_faults(parts: Iterable[Declaration]) -> list[Fault]:
    """Say where policies ask for what cannot be done."""
    faults = []
    for declaration in parts:
        if declaration.policies.timeout is None:
            continue
        if declaration.mode.kind == "sync":
            where = "runs on the engine's thread, where"
            if declaration.mode.dispatcher is not None:
                where = "is called by a dispatcher, on whose thread"
            says = f"has a timeout and {where} a call cannot be given up."
            faults.append(Fault.of_operation("F502", declaration, says, "Make it async or parallel."))
        elif type(declaration.body) is GeneratorBody:
            says = "is a generator and has a timeout: its items come one by one, each in its own time."
            remedy = "Put what may take long into a function."
            faults.append(Fault.of_operation("F503", declaration, says, remedy))
    return faults


def check_contract(operation: Any, what: str) -> None:
    """Refuse what lacks something of the `Operation` contract: `FlowBuildError`."""
    needed = ("name", "in_ports", "out_ports", "create", "handle", "drained", "cancelled")
    lacking = [member for member in needed if not hasattr(operation, member)]
    if isinstance(operation, type):
        raise FlowBuildError(
            f"{what} is the class {operation.__name__} itself; pass an instance, or a name and the class as factory."
        )
    for side in ("in_ports", "out_ports"):
        ports = getattr(operation, side, None)
        if ports is not None and (isinstance(ports, str) or not all(isinstance(port, str) for port in ports)):
            raise FlowBuildError(
                f'{what} ({type(operation).__name__}): {side} is {ports!r}; give a tuple of names, such as ("",), or None for any.'
            )
    if lacking:
        raise FlowBuildError(
            f"{what} ({type(operation).__name__}) lacks {', '.join(lacking)} of the Operation contract. Add plain callables with add_func or "
            "add_action."
        )


def made_by(name: Any, factory: Callable[[], Any]) -> Any:
    """Make an operation by its factory, to know its ports; `FlowBuildError` if it is none."""
    if not callable(factory):
        raise FlowBuildError(f'operation "{name}": the factory ({type(factory).__name__}) cannot be called.')
    operation = factory()
    check_contract(operation, f'what the factory of "{name}" makes')
    return operation
