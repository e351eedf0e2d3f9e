"""A wait that is very short ends: of the engine for its inbox, of a main loop for calls."""

from __future__ import annotations

import pytest

from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.executors.seams import Seams
from flowrt.runtime.inbox import Inbox

very_short = pytest.mark.parametrize("timeout", [0.0, 1e-9, 1e-8, 1e-6])
TIMES = 2_000  # without the mend one in some hundred had no end


@very_short
def test_a_very_short_wait_of_the_engine_ends_also_after_its_bell_was_rung(timeout: float) -> None:
    """`queue.SimpleQueue.get` has no end there up to Python 3.12: a retry that was due in a microsecond never came."""
    inbox = Inbox(Seams())
    for _ in range(TIMES):
        inbox._bell.put(None)
        assert not inbox.wait(timeout)


@very_short
def test_a_very_short_wait_for_calls_ends_also_after_some_were_made(timeout: float) -> None:
    dispatcher = MainThreadDispatcher()
    for _ in range(TIMES):
        dispatcher.dispatch(lambda: None)
        assert dispatcher.run_pending() == 1
        assert not dispatcher.wait_pending(timeout)
