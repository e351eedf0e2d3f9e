"""The operation by hand: ports are names, a message says at which one it came, and the state is a value of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowrt import Operation

if TYPE_CHECKING:
    from flowrt import Message
    from flowrt.operations.contract import Emitter


class Trend(Operation):
    """Say by how much a number is above or below the one before.

    Ports:
        in  .       a number
        in  .reset  anything: the next number is the first again
        out .up     by how much it went up
        out .down   by how much it went down
    """

    in_ports = ("", "reset")
    out_ports = ("up", "down")

    def create(self) -> list[float]:
        return []  # holds the number before, once there is one

    def handle(self, state: list[float], message: Message, emit: Emitter) -> None:
        if message.port.name == "reset":
            state.clear()
            return
        if state and message.data > state[0]:
            emit(message.data - state[0], "up")
        elif state and message.data < state[0]:
            emit(state[0] - message.data, "down")
        state[:] = [message.data]
