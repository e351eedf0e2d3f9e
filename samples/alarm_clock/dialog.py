"""What all dialogs of the alarm clock have in common: a component that says when an alarm is set, and when it is stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, time, timedelta

from flowrt import in_port, out_port


class Dialog(ABC):
    """Shows the time of day, and what the alarm does; is told by its user what to do."""

    alarm_set = out_port()
    stopped = out_port()
    closed = out_port()

    def __init__(self) -> None:
        self.alarm: datetime | None = None
        self._now: datetime | None = None

    # -- what the flow tells

    @in_port
    def time(self, now: datetime) -> None:
        """Show the time of day."""
        self._now = now
        self.show_time(f"{now:%H:%M:%S}")

    @in_port
    def to_go(self, left: timedelta) -> None:
        """Show how long it is to the alarm."""
        if self.alarm is not None:  # it was not stopped meanwhile
            self.show_state(f"{left} to go")

    @in_port
    def ring(self, _: datetime) -> None:
        """Ring, once more each time."""
        if self.alarm is not None:
            self.show_state("ring, ring!")

    # -- what the user tells

    def set_alarm(self, text: str) -> None:
        """Set the alarm to the next time that the clock shows `text`, such as 07:30 or 07:30:15; `ValueError` if that is no time."""
        now = self._now
        if now is None:
            return
        self.alarm = datetime.combine(now, time.fromisoformat(text.strip()), now.tzinfo)
        if self.alarm <= now:
            self.alarm += timedelta(days=1)
        self.show_state(f"set to {self.alarm:%H:%M:%S}")
        self.alarm_set(self.alarm)

    def stop(self) -> None:
        """Stop the alarm, whether it rings yet or not."""
        self.alarm = None
        self.show_state("no alarm")
        self.stopped()

    # -- what it looks like

    @abstractmethod
    def show_time(self, text: str) -> None:
        """Show the time."""

    @abstractmethod
    def show_state(self, text: str) -> None:
        """Show what the alarm does."""
