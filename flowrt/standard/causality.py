"""Causalities: exception scopes that travel with the messages."""

from __future__ import annotations

from typing import Any

from flowrt.operations.contract import Emitter, MessageBatch, Operation


class PushCausality(Operation):
    """Open an exception scope around every message that passes, and around all it leads to.

    Ports:
        in  any name    any object
        out .           the same object, in order
        out .exception  `OperationError`, once per failure inside the scope, with priority 99, in the context the message
                        had before it passed: outer causalities and the correlation id are in force

    Runs on: the engine thread.
    Source: NPantaRhei's PushCausality, after the causalities of Microsoft's CCR.
    """

    out_ports: tuple[str, ...] | None = ("", "exception")

    def handle_many(self, _state: Any, _batch: MessageBatch, emit: Emitter) -> None:
        emit.push()


class PopCausality(Operation):
    """Close the innermost exception scope of every message that passes.

    Ports:
        in  any name  any object, inside at least one causality
        out .         the same object, in order

    Raises:
        FlowBuildError: (as the cause of an `OperationError`) a message that is in no causality.

    Runs on: the engine thread.
    """

    def handle_many(self, _state: Any, _batch: MessageBatch, emit: Emitter) -> None:
        emit.pop()
