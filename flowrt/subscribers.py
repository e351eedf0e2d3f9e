"""Who is told of results as they leave, instead of their being kept; and how subscribing reaches the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.errors import FlowBuildError
from flowrt.messages import Chunk, Message, messages_of

if TYPE_CHECKING:
    from flowrt.driver import Driver
    from flowrt.runs import Results


class Subscribers:
    """The handlers of `on_result`.

    Called on: `subscribe` any thread; the rest the engine's.
    """

    def __init__(self, driver: Driver, results: Results) -> None:
        self._driver = driver
        self._results = results
        self._handlers: tuple[
            Callable[[Message], None], ...
        ] = ()  # a new one at each change: it may be gone through meanwhile

    @property
    def any(self) -> bool:
        """Whether there are handlers of `on_result`."""
        return bool(self._handlers)

    def subscribe(self, add: Callable[[], None], remove: Callable[[], None]) -> Callable[[], None]:
        """Have the engine add something; return a function that has it removed."""
        self._on_engine(add)
        return lambda: self._on_engine(remove)

    def subscribe_to_results(self, handler: Callable[[Message], None]) -> Callable[[], None]:
        """Have results handed to `handler`, those that wait already first."""
        check_handler("on_result", handler)
        return self.subscribe(lambda: self._add(handler), lambda: self._remove(handler))

    def _on_engine(self, call: Callable[[], None]) -> None:
        driver = self._driver
        if driver.is_engine() or driver.stopped:
            call()
            return
        made: list[bool] = []

        def make_call() -> None:
            call()
            made.append(True)

        driver.post(make_call)
        if not (driver.threaded or driver.inside()):  # nobody else would be the engine
            driver.wait_until(lambda: bool(made), None)

    def _add(self, handler: Callable[[Message], None]) -> None:
        waiting = [] if self._handlers else self._results.take_messages()
        for run, message in waiting:
            run.tell_passed_on(1)
            try:
                handler(message)
            except BaseException as error:
                self._driver.engine.failures.contain("on_result", error)
        self._handlers = (*self._handlers, handler)

    def _remove(self, handler: Callable[[Message], None]) -> None:
        left = list(self._handlers)
        discard(left, handler)
        self._handlers = tuple(left)

    def deliver(self, chunk: Chunk) -> None:
        """Take results: for the handlers, or to be kept for whoever reads them."""
        rest = self._hand_out(chunk) if self._handlers else 0
        contexts, data, positions = chunk.context, chunk.data, chunk.positions
        if not isinstance(contexts, list):
            if rest:  # a handler may have removed the last one
                chunk = Chunk(chunk.handler, data[rest:], contexts, positions[rest:], chunk.trail)
            if chunk.data:
                contexts.scope.run.handle.tell_arrived(chunk)
            return
        for index in range(rest, len(data)):
            context = contexts[index]
            part = Chunk(chunk.handler, [data[index]], context, positions[index : index + 1], chunk.trail)
            context.scope.run.handle.tell_arrived(part)

    def _hand_out(self, chunk: Chunk) -> int:
        """Hand results to the handlers, each to all before the next; return how many were handed to somebody."""
        handed = 0
        for message in messages_of(chunk):
            handlers = self._handlers
            if not handlers:
                break
            for handler in handlers:
                try:
                    handler(message)
                except BaseException as error:
                    self._driver.engine.failures.contain("on_result", error)
            handed += 1
        contexts = chunk.context
        if isinstance(contexts, list):
            for context in contexts[:handed]:
                context.scope.run.handle.tell_passed_on(1)
        else:
            contexts.scope.run.handle.tell_passed_on(handed)
        return handed


def check_handler(hook: str, handler: object) -> None:
    """Refuse what cannot be called."""
    if not callable(handler):
        raise FlowBuildError(f"{hook} takes a function of one argument, got {type(handler).__name__}.")


def discard(handlers: list[Any], handler: Any) -> None:
    """Remove a handler, if it is there."""
    if handler in handlers:
        handlers.remove(handler)
