"""Active operations: given an emitter when the runtime starts, and woken when they ask for it; and components, bound to their runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.failures import own_accord_error
from flowrt.errors import FlowBuildError, FlowStoppedError, check_seconds
from flowrt.flow.sites import FlowSite, sites
from flowrt.operations.components import WayOut, bind, unbind
from flowrt.operations.contract import checked_port
from flowrt.ports import Port, did_you_mean, folded, port_of
from flowrt.runtime.input import checked_priority
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from datetime import datetime

    from flowrt.engine.engine import Engine
    from flowrt.engine.places import Place
    from flowrt.flow.definition import Definition
    from flowrt.runtime.input import Input
    from flowrt.runtime.owner import Owner


Send = Callable[[Port, Any, object, int], None]
"""`Input.emit`: has data leave a port, with its correlation id and priority."""


class ActiveEmitter:
    """What an active operation emits with; valid until the runtime is closed. Called on: any thread, at any time."""

    def __init__(self, place: Place, owner: Owner, send: Send, woken: Callable[[], None]) -> None:
        self._place = place
        self._owner = owner
        self._send = send
        self._woken = woken
        known = place.declaration.out_ports
        self._known = None if known is None else {folded(port): port for port in known}

    def __repr__(self) -> str:
        return f"<emitter of {self._place.name}>"

    def __call__(
        self, data: Any = None, port: str = "", *, correlation_id: object = None, priority: int = 0
    ) -> None:
        """Emit on a port, as a run of its own. It waits for room as `process` does, from outside.

        Raises:
            FlowBuildError: the operation has no such out-port.
            FlowStoppedError: the runtime is closed or closing; nothing was sent.
            FlowOverloadError: as for `process`; nothing was sent.
        """
        name = checked_port(port)
        if self._known is not None and folded(name) not in self._known:
            known = [f".{each}" if each else "the default one" for each in self._known.values()]
            raise FlowBuildError(
                f'operation "{self._place.name}" has no out-port ".{name}" to emit on.{did_you_mean("." + name, known)}'
            )
        self._send(self._place.port(name), data, correlation_id, checked_priority(priority))

    def wake(self, seconds: float | None) -> None:
        """Have `timer(state, None, emit)` called after so many seconds, instead of when it was asked for before; None: not at all.

        On the engine's thread, and not any more once the runtime is closing. Nobody waits for it.
        """
        if seconds is not None:
            seconds = check_seconds("emit.wake", "seconds", seconds, zero=True, endless=True)
        owner, wakes = self._owner, self._owner.engine.wakes
        if owner.is_engine():
            wakes.ask(self._place, None, seconds, self._woken)
        else:
            owner.inbox.post(wakes.ask, self._place, None, seconds, self._woken)

    def now(self) -> float:
        """Return the seconds of the runtime's clock."""
        return self._owner.seams.clock.now()

    def time(self) -> datetime:
        """Return the date and time, in UTC."""
        return self._owner.seams.time()

    def has_room(self) -> bool:
        """Say whether there is room for input: fewer than `capacity` messages live, fewer than `max_results` results unread."""
        return self._owner.room.is_free()


class Doors:
    """The way for what a component emits of its own accord: out of each of its places, as a run of its own."""

    def __init__(self, send: Send, places: list[Port]) -> None:
        self._send = send
        self._places = places

    def __call__(self, port: str, data: Any, correlation_id: object) -> None:
        for place in self._places:
            self._send(port_of(place.path, place.operation, place.instance, port), data, correlation_id, 0)


class Activations:
    """Activates places as they are entered, and wakes them; binds components.

    Called on: the engine's thread, but for `begin` and `binding`.
    """

    def __init__(self, owner: Owner, input: Input) -> None:  # noqa: A002 - what it is
        self._owner = owner
        self._life = owner.life
        self._engine: Engine = owner.engine
        self._send = input.emit
        self._emitters: dict[Place, ActiveEmitter] = {}
        # By id, with the component itself, which so keeps its id.
        self._bound: dict[int, tuple[Any, Doors]] = {}

    @property
    def may_emit(self) -> bool:
        """Whether an operation or a component may emit of its own accord; any thread."""
        return bool(self._emitters or self._bound)

    def begin(self) -> None:
        """Any thread: start the engine, and return when all that is entered so far was activated; from inside at once."""
        owner = self._owner
        if owner.inside():
            return
        owner.start()
        if not owner.ask(lambda: True, None, behind=True):  # what a change has posted posts the activations
            self._life.raise_fatal()
            raise self._life.stopped_error()

    def binding(self, definition: Definition) -> Callable[[], None]:
        """Any thread: return what binds the components of a flow that were given as objects; those that a class makes are when they are made.

        To be called once the engine has been given the flow, or what they emit might come before the places it leaves from.
        """
        places: dict[int, tuple[Any, list[Port], str]] = {}
        for declaration in definition.all_operations():
            component = declaration.component
            if component is not None and component.instance is not None:
                places.setdefault(id(component.instance), (component.instance, [], declaration.name))
        for flow, declaration, instance in sites(FlowSite(definition)) if places else ():
            if declaration.component is not None and declaration.component.instance is not None:
                own = places[id(declaration.component.instance)][1]
                own.append(port_of(flow.path, declaration.name, instance, ""))

        def bind_all() -> None:
            for component, own, name in places.values():
                self._bind(
                    component, own or [port_of("", name, "", "")]
                )  # else no stream names it, and nobody takes it

        return bind_all

    def bind_made(self, component: Any, place: Port) -> None:
        """Bind a component that was made for its place; engine's thread."""
        self._bind(component, [place])

    def _bind(self, component: Any, places: list[Port]) -> None:
        doors = Doors(self._send, places)
        self._bound[id(component)] = component, doors
        bind(component, doors)

    def release(self) -> None:
        """The runtime is over: what its components still emit is refused."""
        bound, self._bound = self._bound, {}
        for component, doors in bound.values():
            unbind(component, doors, refusing(self._life.name))

    def activate(self, place: Place) -> None:
        """Activate a place that was entered. An error fails a run of its own, so that whoever waits for results is told."""
        if not (self._life.closing or self._life.stopped):
            emitter = ActiveEmitter(place, self._owner, self._send, lambda: self._wake(place))
            self._emitters[place] = emitter
            self._call(place, lambda: place.operation.activate(emitter))

    @property
    def any(self) -> bool:
        """Whether any operation was activated."""
        return bool(self._emitters)

    def _wake(self, place: Place) -> None:
        emitter = self._emitters[place]
        self._call(place, lambda: place.operation.timer(place.state, None, emitter))

    def _call(self, place: Place, call: Callable[[], object]) -> None:
        engine = self._engine
        engine.in_work = place
        try:
            call()
        except (SystemExit, KeyboardInterrupt) as raised:
            engine.failures.fatal = raised if engine.failures.fatal is None else engine.failures.fatal
        except BaseException as raised:
            if users.is_a(raised, FlowStoppedError) and self._life.closing:
                return  # another thread closes: what was to be emitted came too late, which is nobody's error
            self.fail(own_accord_error(place, raised))
        finally:
            engine.in_work = None

    def fail(self, error: BaseException) -> None:
        """Tell of an error that belongs to no message."""
        engine = self._engine
        if engine.failures.subscribers:
            engine.failures.notify(error)
            return
        run = engine.runs.start(Run(self._owner))
        run.handle.tell_failed(error)
        engine.runs.end_input(run)


def refusing(name: str) -> WayOut:
    """Return what components emit to once their runtime is closed; it keeps nothing of that alive."""

    def refuse(_port: str, _data: Any, _correlation_id: object) -> None:
        raise FlowStoppedError(
            f'runtime "{name}" is closed: nobody takes any more what a component of it emits.'
        )

    return refuse
