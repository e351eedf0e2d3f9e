"""Setting correlation ids, and asking for them: Correlator, Envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from flowrt.errors import FlowBuildError
from flowrt.operations.contract import Emitter, Operation

if TYPE_CHECKING:
    from flowrt.messages import Message


@frozen
class Envelope:
    """Data with the correlation id it is to have, or had."""

    correlation_id: object
    data: Any = None


class Correlator(Operation):
    """Give messages the correlation id that comes with their data; or put it with their data.

    Ports:
        in  .encode   `Envelope`
        in  .decode   any object
        out .encoded  the data of each envelope, with the correlation id of the envelope; a message that has an id already keeps its own
        out .decoded  each object in an `Envelope`, with the correlation id of its message

    Raises:
        FlowBuildError: (as the cause of an `OperationError`) what came to be encoded is no `Envelope`.

    Runs on: the engine thread.
    Source: NPantaRhei's Correlator, also for flows inside flows.
    """

    in_ports: tuple[str, ...] | None = ("encode", "decode")
    out_ports: tuple[str, ...] | None = ("encoded", "decoded")

    def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
        if message.port.key[3] == "decode":
            emit(Envelope(message.correlation_id, message.data), "decoded")
            return
        envelope = message.data
        if not isinstance(envelope, Envelope):
            raise FlowBuildError(
                f'Correlator "{self.name}" encodes an Envelope(correlation_id, data), and got {type(envelope).__name__}. Make one in the '
                "operation in front."
            )
        emit(envelope.data, "encoded", correlation_id=envelope.correlation_id)
