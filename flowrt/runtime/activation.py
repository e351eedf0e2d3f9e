"""Active operations: given an emitter when the runtime starts, and woken when they ask for it; and components, bound to their runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.engine.failures import operation_error
from flowrt.errors import FlowBuildError, FlowStoppedError, did_you_mean
from flowrt.flow.sites import FlowSite, sites
from flowrt.operations.components import Emit, bind, unbind
from flowrt.operations.contract import checked_port
from flowrt.ports import Port, port_of
from flowrt.runtime.input import checked_priority
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from datetime import datetime

    from flowrt.engine.places import Place
    from flowrt.flow.definition import Definition
    from flowrt.runtime.input import Intake
    from flowrt.runtime.loop import Driver
    from flowrt.runtime.results import Results


class Emissions:
    """The way in for what is emitted without a message in hand: each starts a run, and is input like any other.

    Called on: any thread.
    """

    def __init__(self, driver: Driver, intake: Intake, results: Results, *, attended: bool) -> None:
        self.driver = driver
        self.intake = intake
        self._results = results
        self._attended = attended  # there is an engine without anybody's being it

    def send(self, port: Port, data: Any, correlation_id: object, priority: int) -> None:
        """Have a message leave a port.

        Raises:
            FlowStoppedError: the runtime is closed or closing.
            FlowOverloadError: as for `process`.
        """
        if self.driver.closing or self.driver.stopped:
            raise self.driver.stopped_error()
        run = Run(self.driver, self._results)
        alone = not (self._attended or self.driver.inside())
        if alone:
            self.driver.dispatching.refuse_process(self.driver.name, 'schedule="sync" works it off at once')
        self.intake.send(run, port, data, correlation_id, priority, None)
        if alone:
            self.driver.unattended.append(run)
            self.driver.attend()


class ActiveEmitter:
    """What an active operation emits with; valid until the runtime is closed. Called on: any thread, at any time."""

    def __init__(self, place: Place, emissions: Emissions, woken: Callable[[], None]) -> None:
        self._place = place
        self._emissions = emissions
        self._woken = woken
        known = place.declaration.out_ports
        self._known = None if known is None else {port.casefold(): port for port in known}

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
        if self._known is not None and name.casefold() not in self._known:
            known = [f".{each}" if each else "the default one" for each in self._known.values()]
            raise FlowBuildError(
                f'operation "{self._place.name}" has no out-port ".{name}" to emit on.{did_you_mean("." + name, known)}'
            )
        self._emissions.send(self._place.port(name), data, correlation_id, checked_priority(priority))

    def wake(self, seconds: float | None) -> None:
        """Have `timer(state, None, emit)` called after so many seconds, instead of when it was asked for before; None: not at all.

        On the engine's thread, and not any more once the runtime is closing. Nobody waits for it.
        """
        if seconds is not None and not (isinstance(seconds, int | float) and seconds >= 0):
            raise FlowBuildError(f"emit.wake takes seconds, 0 or more, or None; got {seconds!r}.")
        driver = self._emissions.driver
        if driver.is_engine():
            driver.engine.wakes.ask(self._place, None, seconds, self._woken)
        else:
            driver.post(driver.engine.wakes.ask, self._place, None, seconds, self._woken)

    def now(self) -> float:
        """Return the seconds of the runtime's clock."""
        return self._emissions.driver.seams.clock.now()

    def time(self) -> datetime:
        """Return the date and time, in UTC."""
        return self._emissions.driver.seams.time()

    def has_room(self) -> bool:
        """Say whether there is room for input: fewer than `capacity` messages live, fewer than `max_results` results unread."""
        return self._emissions.intake.has_room()


class Doors:
    """The way for what a component emits of its own accord: out of each of its places, as a run of its own."""

    def __init__(self, emissions: Emissions, places: list[Port]) -> None:
        self._emissions = emissions
        self._places = places

    def __call__(self, port: str, data: Any, correlation_id: object) -> None:
        for place in self._places:
            self._emissions.send(
                port_of(place.path, place.operation, place.instance, port), data, correlation_id, 0
            )


class Activations:
    """Activates places as they are entered, and wakes them; binds components.

    Called on: the engine's thread, but for `begin` and `binding`.
    """

    def __init__(self, emissions: Emissions) -> None:
        self._emissions = emissions
        self._driver = emissions.driver
        self._emitters: dict[Place, ActiveEmitter] = {}
        self._bound: dict[
            int, tuple[Any, Doors]
        ] = {}  # by id, with the component itself, which so keeps its id
        self._driver.engine.routes.places.root.bind = self._bind_made

    def begin(self) -> None:
        """Any thread: start the engine, and return when all that is entered so far was activated; from inside at once."""
        driver, made = self._driver, list[bool]()

        def tell() -> None:
            made.append(True)
            driver.changed.wake()

        driver.post(driver.post, tell)  # twice: behind what the change, which was posted before, posts itself
        if not driver.inside():
            driver.start()
            driver.wait_until(lambda: bool(made), None)
            if not made:
                driver.raise_fatal()
                raise driver.stopped_error()

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
                )  # no stream names it: so nobody takes it

        return bind_all

    def _bind_made(self, component: Any, place: Port) -> None:
        self._bind(component, [place])

    def _bind(self, component: Any, places: list[Port]) -> None:
        doors = Doors(self._emissions, places)
        self._bound[id(component)] = component, doors
        bind(component, doors)

    def release(self) -> None:
        """The runtime is over: what its components still emit is refused."""
        bound, self._bound = self._bound, {}
        for component, doors in bound.values():
            unbind(component, doors, refusing(self._driver.name))

    def activate(self, place: Place) -> None:
        """Activate a place that was entered. An error fails a run of its own, so that whoever waits for results is told."""
        if not (self._driver.closing or self._driver.stopped):
            emitter = self._emitters[place] = ActiveEmitter(place, self._emissions, lambda: self._wake(place))
            self._call(place, lambda: place.operation.activate(emitter))

    def _wake(self, place: Place) -> None:
        emitter = self._emitters[place]
        self._call(place, lambda: place.operation.timer(place.state, None, emitter))

    def _call(self, place: Place, call: Callable[[], object]) -> None:
        engine = self._driver.engine
        engine.in_work = place
        try:
            call()
        except (SystemExit, KeyboardInterrupt) as raised:
            engine.failures.fatal = engine.failures.fatal or raised
        except BaseException as raised:
            if isinstance(raised, FlowStoppedError) and self._driver.closing:
                return  # another thread closes: what was to be emitted came too late, which is nobody's error
            self.fail(operation_error(place, None, raised))
        finally:
            engine.in_work = None

    def fail(self, error: BaseException) -> None:
        """Tell of an error that belongs to no message."""
        engine = self._driver.engine
        if engine.failures.subscribers:
            engine.failures.notify(error)
            return
        run = engine.runs.start(engine._host.new_handle())
        run.handle.tell_failed(error)
        engine.runs.end_input(run)


def refusing(name: str) -> Emit:
    """Return what components emit to once their runtime is closed; it keeps nothing of that alive."""

    def refuse(_port: str, _data: Any, _correlation_id: object) -> None:
        raise FlowStoppedError(
            f'runtime "{name}" is closed: nobody takes any more what a component of it emits.'
        )

    return refuse
