"""Who is shown every message as it is about to enter an in-port, or to leave as a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flowrt.messages import Chunk, Message, message_of

if TYPE_CHECKING:
    from flowrt.failures import Failures
    from flowrt.traffic import Traffic

Tap = Callable[[Message], None]


class Taps:
    """The handlers of `on_message`. While there is one, the engine takes messages singly.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, failures: Failures) -> None:
        self._traffic = traffic
        self._failures = failures
        self._taps: list[Tap] = []

    def __bool__(self) -> bool:
        return bool(self._taps)

    def add(self, tap: Tap) -> None:
        self._taps.append(tap)
        self._traffic.tap = self.show

    def remove(self, tap: Tap) -> None:
        if tap in self._taps:
            self._taps.remove(tap)
        if not self._taps:
            self._traffic.tap = None

    def show(self, chunk: Chunk) -> None:
        """Show messages, at the borders of flows they have crossed and at the port they are about to enter."""
        route = chunk.trail.route
        borders = route.borders.get(chunk.handler, ()) if route is not None else ()
        for index in range(len(chunk.data)):
            for port in (*borders, chunk.handler.port):
                message = message_of(chunk, index)
                message.port = port
                for tap in list(self._taps):
                    try:
                        tap(message)
                    except BaseException as error:
                        self._failures.contain("on_message", error)
