"""The dialog as a window."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk

from samples.alarm_clock.dialog import Dialog

RINGING = "#c0392b"


class Window(Dialog):
    """A window with the time, a field for the alarm, and two buttons."""

    def __init__(self, root: tk.Tk) -> None:
        super().__init__()
        root.title("Alarm clock")
        root.resizable(width=False, height=False)
        root.protocol("WM_DELETE_WINDOW", self.closed)  # the program ends when that has come out of the flow
        frame = ttk.Frame(root, padding=20)
        frame.grid()
        self.clock = ttk.Label(frame, font=("TkFixedFont", 40), width=8, anchor="center")
        self.clock.grid(columnspan=4, pady=(0, 12))
        ttk.Label(frame, text="alarm at").grid(row=1, column=0, padx=(0, 6))
        self.entry = ttk.Entry(frame, width=9)
        self.entry.insert(0, "07:30")
        self.entry.grid(row=1, column=1)
        self.set_button = ttk.Button(frame, text="Set", command=self._set)
        self.set_button.grid(row=1, column=2, padx=6)
        self.stop_button = ttk.Button(frame, text="Stop", command=self.stop)
        self.stop_button.grid(row=1, column=3)
        self.state = ttk.Label(frame, text="no alarm", anchor="center")
        self.state.grid(row=2, columnspan=4, pady=(12, 0))

    def _set(self) -> None:
        try:
            self.set_alarm(self.entry.get())
        except ValueError:
            self.show_state(f"{self.entry.get()!r} is no time; 07:30 is one")

    def show_time(self, text: str) -> None:
        self.clock["text"] = text

    def show_state(self, text: str) -> None:
        self.state["text"] = text
        self.state["foreground"] = RINGING if text.startswith("ring") else ""
