"""`python -m samples.alarm_clock [--headless]`: an alarm clock in a window, or a night of nine seconds that passes at once."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC

from flowrt import FlowRuntime
from samples.alarm_clock.flow import alarm_clock


def main() -> None:
    """Run until the window is closed."""
    parser = argparse.ArgumentParser(prog="python -m samples.alarm_clock", description="An alarm clock.")
    parser.add_argument("--headless", action="store_true", help="without a window, and without waiting")
    if parser.parse_args().headless:
        run_script()
    else:
        run_window()


def run_script() -> None:
    """Let a script use the clock, in simulated time."""
    from flowrt.testing import simulated  # noqa: PLC0415 - the window has no use for it
    from samples.alarm_clock.script import Script  # noqa: PLC0415 - likewise

    with FlowRuntime(alarm_clock(Script(), zone=UTC), seams=simulated(deviations={})) as runtime:
        runtime.wait_for_result()


def run_window(period: float = 1.0) -> None:
    """Show the window; `period`: seconds between two looks at the time."""
    import tkinter as tk  # noqa: PLC0415 - without a window nobody needs it

    from flowrt.executors.dispatchers import TkDispatcher  # noqa: PLC0415 - likewise
    from samples.alarm_clock.window import Window  # noqa: PLC0415 - likewise

    try:
        root = tk.Tk()
    except tk.TclError as error:
        sys.exit(f"there can be no window: {error}. Without one: python -m samples.alarm_clock --headless")
    dispatcher = TkDispatcher(root)
    flow = alarm_clock(Window(root), dispatcher=dispatcher, period=period)
    with FlowRuntime(flow) as runtime:
        runtime.on_result(lambda _: dispatcher.dispatch(root.quit))  # the window is closed
        runtime.start()
        root.mainloop()
    root.destroy()


if __name__ == "__main__":
    main()
