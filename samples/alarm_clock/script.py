"""The dialog without a window: it prints what there is to see, and a script is its user."""

from __future__ import annotations

from samples.alarm_clock.dialog import Dialog


class Script(Dialog):
    """Sets an alarm after two seconds, lets it ring twice, stops it, and closes the dialog two seconds later."""

    def __init__(self) -> None:
        super().__init__()
        self._rings = 0

    def show_time(self, text: str) -> None:
        print(text)
        if text == "00:00:02":
            self.set_alarm("00:00:05")
        if text == "00:00:08":
            self.closed()

    def show_state(self, text: str) -> None:
        print(f"          {text}")
        if text.startswith("ring"):
            self._rings += 1
            if self._rings == 2:
                self.stop()
