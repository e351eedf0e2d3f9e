"""Stage 4, text: what is connected stands in `root.flow`, and here is what the operations are."""

from __future__ import annotations

from pathlib import Path

from flowrt import Flow
from samples.word_count.stage3_guarded import guarded_operations

operations = guarded_operations()  # where `flowrt run -m` finds them


def word_count() -> Flow:
    """Read the flow: a folder enters at `.in`, its `Total` leaves at `.out`, each `Unreadable` at `.unreadable`."""
    return Flow.from_file(Path(__file__).with_name("root.flow")).add_operations(operations)
