"""The alarm clock as a flow: the streams stand in `alarm_clock.flow`."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowrt import Flow, FlowOperationContainer
from flowrt.standard import Filter, ManualResetJoin, Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

    from samples.alarm_clock.dialog import Dialog


def compare(
    times: tuple[datetime, datetime],
    on_to_go: Callable[[timedelta], None],
    on_reached: Callable[[datetime], None],
) -> None:
    """Say how long it is to the alarm, or that its time has come."""
    now, alarm = times
    if now < alarm:
        on_to_go(alarm - now)
    else:
        on_reached(alarm)


def alarm_clock(
    dialog: Dialog, *, dispatcher: Any = None, zone: tzinfo | None = None, period: float = 1.0
) -> Flow:
    """Build the flow around a dialog; it begins when its runtime starts, and one message leaves at `.closed`.

    Args:
        dialog: shows the time, and lets somebody set the alarm and stop it.
        dispatcher: has the dialog called on its own thread.
        zone: of the time shown; None: that of this computer.
        period: seconds between two looks at the time.
    """
    operations = (
        FlowOperationContainer()
        .add_operation(Ticker("clock", period))
        .add_func("local", lambda now: now.astimezone(zone).replace(microsecond=0))
        .add_operation(Filter("while_set", lambda _: dialog.alarm is not None))
        .add_operation(ManualResetJoin("pair"))
        .add_action("compare", compare)
        .add_component("dialog", dialog)
        .make_sync(dispatcher)
    )
    return Flow.from_file(Path(__file__).with_name("alarm_clock.flow")).add_operations(operations)
