"""Where chunks go: handlers and routes, and what each place has while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.errors import FlowBuildError
from flowrt.flow.sites import Site, not_made
from flowrt.operations.bodies import Unmade
from flowrt.operations.contract import extras_of
from flowrt.operations.declarations import Declaration
from flowrt.operations.modes import SYNC
from flowrt.ports import Port

if TYPE_CHECKING:
    from flowrt.engine.contract import Executor
    from flowrt.engine.meters import Meter, Pace
    from flowrt.flow.sites import FlowSite
    from flowrt.messages import SourceWindow
    from flowrt.operations.contract import Extras


class Handler:
    """What takes the messages of one in-port: a place, or (None) the results."""

    __slots__ = ("dead", "in_port", "key", "place", "port")

    def __init__(self, port: Port, place: Place | None, *, dead: bool = False) -> None:
        self.port: Port = port
        self.place: Place | None = place
        self.dead: bool = dead  # a flow's port from where nothing leads on
        self.in_port: str = port.name
        self.key: str = port.key[3]  # the same, as names are compared

    def __repr__(self) -> str:
        return f"<handler {self.port}>"


@define(eq=False, repr=False)
class Route:
    """A compiled out-port: its handlers, in the order their streams were declared, and the flow ports crossed to each."""

    port: Port
    targets: tuple[Handler, ...]
    borders: dict[Handler, tuple[Port, ...]]
    fault: FlowBuildError | None = (
        None  # why it could not be compiled: only in recursions too deep to be expanded
    )
    optional: bool = False  # what leaves here need not be taken

    @property
    def connected(self) -> bool:
        """Whether what leaves here gets anywhere."""
        return any(not handler.dead for handler in self.targets)

    def __repr__(self) -> str:
        return f"<route {self.port}>"


class Place(Site):
    """A site with what it is given at run time, which lives as long as the runtime.

    Called on: the engine's thread, except `name` and `declaration`, which never change.
    """

    __slots__ = (
        "batches",
        "chain",
        "executor",
        "extras",
        "fed",
        "guard",
        "handed_over",
        "handlers",
        "matched",
        "memo",
        "meter",
        "ordered",
        "outs",
        "pace",
        "pulls",
        "state",
        "window",
    )

    def __init__(self, flow: FlowSite, declaration: Declaration, instance: str, in_port: str = "") -> None:
        super().__init__(flow, declaration, instance, in_port)
        self.state: Any
        if declaration.component is not None:
            self.operation, self.state = None, flow.component(declaration, instance)
        else:
            try:
                made = declaration.factory() if declaration.factory is not None else declaration.operation
                self.operation: Any = made
                # State is made by the thread that uses it.
                elsewhere = made is not None and declaration.mode != SYNC
                self.state = Unmade(self) if elsewhere else made.create() if made is not None else None
            except Exception as error:
                raise not_made(self.name, declaration, error) from error
        self.extras: Extras = extras_of(
            self.operation
        )  # anew: what it says of itself may have changed since it was declared
        self.batches: bool = self.extras.handle_many is not None
        self.outs: dict[str, Route] = {}
        self.chain: Any = None  # that begins here, once it was asked for
        self.handlers: dict[str, Handler] = {}
        self.fed: frozenset[str] = frozenset()
        self.matched: tuple[Place, ...] | None = None
        self.executor: Executor | None = None
        self.handed_over: bool = False  # to threads; else performed on the engine's
        self.guard: Any = None  # `engine.attempts.Guard`, of a place with policies
        self.window: SourceWindow | None = None
        self.pace: Pace
        self.pulls: Pace
        self.meter: Meter
        self.ordered: bool = False  # what its workers bring goes on in the order of its inputs
        self.memo: Any = None  # what its operation's executor or outcome remembers of the last message
