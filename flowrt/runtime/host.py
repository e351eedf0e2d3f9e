"""What the engine asks of the runtime around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrt.engine.contract import Task
from flowrt.errors import FlowError
from flowrt.runtime.run import Run

if TYPE_CHECKING:
    from random import Random

    from flowrt.engine.chunks import Chunk
    from flowrt.engine.contract import Executor
    from flowrt.engine.places import Place
    from flowrt.operations.bodies import Group
    from flowrt.runtime.activation import Activations
    from flowrt.runtime.loop import Driver
    from flowrt.runtime.results import Results, Subscribers


class RuntimeHost:
    """Connects the engine with the runtime's executors, runs and subscribers. Called on: the engine's thread, but for `fetch`."""

    def __init__(self, driver: Driver, results: Results, subscribers: Subscribers) -> None:
        self.activations: Activations
        self._driver = driver
        self._results = results
        self._subscribers = subscribers

    def deliver(self, chunk: Chunk) -> None:
        """Take results."""
        self._subscribers.deliver(chunk)

    def delivers_singly(self) -> bool:
        """Say whether there are handlers of `on_result`."""
        return self._subscribers.any

    def is_wanted(self) -> bool:
        """Say whether somebody has posted a call."""
        return not self._driver.inbox.empty()

    def rng(self) -> Random:
        """Return what chance decides with: made when it is first needed, for seeding it takes time."""
        seams = self._driver.seams
        if seams.rng is None:
            from random import Random  # noqa: PLC0415 - importing flowrt is to cost little

            seams.rng = Random()  # noqa: S311 - it spreads retries
        return seams.rng

    def new_handle(self) -> Run:
        """Make the run of an emission that came after its call had ended."""
        return Run(self._driver, self._results)

    def activate(self, place: Place | FlowError) -> None:
        """Have an active operation activated at a place that has come into being, or tell why it could not."""
        driver = self._driver
        if isinstance(place, FlowError):
            driver.post(self.activations.fail, place)
        else:
            driver.post(self.activations.activate, place)

    def executor_for(self, place: Place) -> Executor:
        """Return where a place runs."""
        executor = self._driver.executors.executor_for(place.declaration)
        if hasattr(executor, "run_here"):
            self._driver.dispatching.add(executor)
        return executor

    def fetch(self, task: Group, *, late: bool) -> None:
        """Any thread: have the engine look at a task. What comes late is refused once the runtime is over; until then it is drained."""
        driver = self._driver
        if not late:
            driver.post(driver.engine.fetch, task)
            return
        with driver.last_word:
            if not driver.stopped:
                driver.post(driver.engine.fetch, task)
            elif isinstance(task, Task) and task.log_read < len(task.log):  # nobody will look at it any more
                raise driver.stopped_error()
