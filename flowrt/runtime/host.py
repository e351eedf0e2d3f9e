"""What the engine asks of the runtime around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowrt.engine.contract import Task, completed
from flowrt.errors import FlowError
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from random import Random

    from flowrt.engine.chunks import Chunk
    from flowrt.engine.contract import Executor
    from flowrt.engine.places import Place
    from flowrt.executors.seams import Seams
    from flowrt.operations.bodies import Group
    from flowrt.ports import Port
    from flowrt.runtime.activation import Activations
    from flowrt.runtime.inbox import Inbox
    from flowrt.runtime.life import Life
    from flowrt.runtime.owner import Owner
    from flowrt.runtime.results import Subscribers


class RuntimeHost:
    """Connects the engine with the runtime's executors, runs and subscribers. Called on: the engine's thread, but for `fetch`."""

    def __init__(self, life: Life, inbox: Inbox, seams: Seams) -> None:
        self._life = life
        self._inbox = inbox
        self._seams = seams
        self._owner: Owner
        self._activations: Activations
        self._subscribers: Subscribers

    def tie(self, owner: Owner, activations: Activations, subscribers: Subscribers) -> None:
        """Take in what is made of the engine, and so after it; before the engine's first call."""
        self._owner, self._activations, self._subscribers = owner, activations, subscribers

    def deliver(self, chunk: Chunk) -> None:
        self._subscribers.deliver(chunk)

    def delivers_singly(self) -> bool:
        """Say whether there are handlers of `on_result`."""
        return self._subscribers.any

    def is_wanted(self) -> bool:
        """Say whether somebody has posted a call."""
        return not self._inbox.empty()

    def handed(self) -> None:
        """Wake who waits, and may be on a dispatcher's thread."""
        self._owner.waits.dispatching.handed.wake()

    def rng(self) -> Random:
        """Return what chance decides with: made when it is first needed, for seeding it takes time."""
        if self._seams.rng is None:
            from random import Random  # noqa: PLC0415 - importing flowrt is to cost little

            self._seams.rng = Random()  # noqa: S311 - it spreads retries
        return self._seams.rng

    def new_handle(self) -> Run:
        """Make the run of an emission that came after its call had ended; it waits for nobody to wait for it."""
        run = Run(self._owner)
        if not self._owner.attended:
            self._owner.unattended.append(run)
        return run

    def activate(self, place: Place | FlowError) -> None:
        failed = isinstance(place, FlowError)
        self._inbox.post(self._activations.fail if failed else self._activations.activate, place)

    def bind(self, component: Any, port: Port) -> None:
        self._activations.bind_made(component, port)

    def executor_for(self, place: Place) -> Executor:
        executor = completed(self._owner.loop.executors.executor_for(place.declaration))
        if executor.dispatcher:
            self._owner.waits.dispatching.add(executor)
        return executor

    def fetch(self, task: Group, *, late: bool) -> None:
        """Any thread: have the engine look at a task. What comes late is refused once the runtime is over; until then it is drained.

        Under the "sync" schedule the thread that brings what comes late works it off, unless the flow needs it for something else.
        """
        owner, fetch = self._owner, self._owner.engine.fetch
        if not late:
            self._inbox.post(fetch, task)
            return
        with self._life.last_word:
            if not self._life.stopped:
                self._inbox.post(fetch, task)
            elif isinstance(task, Task) and task.log_read < len(task.log):  # nobody will look at it any more
                raise self._life.stopped_error()
        if not (owner.attended or owner.inside() or owner.waits.dispatching.needed_here()):
            owner.bring_in()
