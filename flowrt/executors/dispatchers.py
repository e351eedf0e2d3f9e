"""The dispatchers for users: asyncio, tkinter, the main thread.

`make_sync(dispatcher)` takes any object with

    dispatch(call)        from any thread, without waiting: see to it that `call()` is called once, later, on your thread; what it raises
                          (SystemExit and KeyboardInterrupt alone) ends whatever runs that thread

(and so does the mark `@operation(mode=dispatcher)`), and uses, where there are any,

    is_here() -> bool     whether this is that thread. Without it flowrt goes by the thread that made the last call.
    must_not_wait() -> str    why this thread must not be blocked, as what to do instead; empty where it may.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt.errors import FlowBuildError, FlowError
from flowrt.executors.seams import SIGNAL_SLICE, silence

if TYPE_CHECKING:
    import asyncio
    import tkinter as tk


POLL = 15  # milliseconds between two looks where a window cannot be woken (Windows); arbitrary: below what an eye notices
BREATH = 1  # milliseconds: with 0 a window would come to calls only, never to being drawn
READABLE = 2  # tkinter.READABLE


class AsyncioDispatcher:
    """Has operations called on the thread of an asyncio event loop, between its other callbacks.

    On that thread a blocking wait for the flow raises `FlowStalledError`, and `process` raises `FlowOverloadError` instead of waiting for room:
    use `await asyncio.to_thread(run.result)`. Closing the runtime there makes the calls that wait.

    Args:
        loop: None: the one that runs on the thread that makes this.

    Raises:
        FlowBuildError: no loop was given, and none runs here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if loop is None:
            loop = _running_loop()
            if loop is None:
                raise FlowBuildError(
                    "AsyncioDispatcher() takes the event loop that runs on the thread that makes it, and none does. Make it inside a coroutine, or "
                    "give the loop."
                )
        if not callable(getattr(loop, "call_soon_threadsafe", None)):
            raise FlowBuildError(f"AsyncioDispatcher takes an event loop, got {type(loop).__name__}.")
        self._loop = loop

    def dispatch(self, call: Callable[[], None]) -> None:
        """Have a call made soon; any thread. `RuntimeError` if the loop is closed."""
        self._loop.call_soon_threadsafe(call)

    def is_here(self) -> bool:
        """Say whether the loop runs on this thread."""
        return _running_loop() is self._loop

    def must_not_wait(self) -> str:
        """Say what to do instead of blocking the loop's thread."""
        if not self.is_here():
            return ""
        return "Wait on another thread: await asyncio.to_thread(run.result), or asyncio.to_thread(runtime.process, ...)."


def _running_loop() -> asyncio.AbstractEventLoop | None:
    module = sys.modules.get("asyncio")  # where it was not imported there is no loop
    found: asyncio.AbstractEventLoop | None = module._get_running_loop() if module is not None else None
    return found


def _forget_spent(calls: deque[Callable[[], None]]) -> None:
    """Drop the calls at the front that a wait has made meanwhile; any thread, while others do so and the dispatcher's own takes them."""
    try:
        while getattr(first := calls[0], "spent", False):
            calls.remove(first)  # and no other, though that has been taken by now
    except (IndexError, ValueError):
        return


def _next_of(calls: deque[Callable[[], None]]) -> Callable[[], None] | None:
    """Take the next call; None if there is none."""
    try:
        return calls.popleft()
    except IndexError:  # also since what was spent was dropped just now
        return None


class MainThreadDispatcher:
    """Has operations called where a loop of your own calls `run_pending()`: on the thread that made this, the main thread or another.

    On that thread the waits of the runtime (`run.result`, `wait_for_result`, `process` for room, `close`) make the calls too.
    """

    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._calls: deque[Callable[[], None]] = deque()
        # Re-entrant, for a signal handler may send what leads to a call while the thread it interrupts looks for calls.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def dispatch(self, call: Callable[[], None]) -> None:
        """Keep a call for `run_pending`; any thread."""
        _forget_spent(self._calls)
        self._calls.append(call)
        if self._bell.empty():
            self._bell.put(None)

    def is_here(self) -> bool:
        """Say whether this is the thread that made it."""
        return threading.current_thread() is self._thread

    def run_pending(self, limit: int | None = None) -> int:
        """Make the calls that wait, each of about a millisecond at most; not those that come meanwhile.

        Args:
            limit: so many at most.

        Returns: how many it made.

        Raises:
            FlowError: this is not the thread that made the dispatcher.
        """
        self._check_thread("run_pending")
        silence(self._bell)
        calls, made = self._calls, 0
        for _ in range(len(calls)):
            if made == limit or (call := _next_of(calls)) is None:
                break
            if not getattr(call, "spent", False):  # else a wait has made it
                made += 1
                call()
        if calls and self._bell.empty():
            self._bell.put(None)
        return made

    def wait_pending(self, timeout: float | None = None) -> bool:
        """Wait until there is a call to make; say whether there is, after `timeout` seconds at most.

        Raises:
            FlowError: this is not the thread that made the dispatcher.
        """
        self._check_thread("wait_pending")
        left = timeout
        while not self._calls:
            slice_of = SIGNAL_SLICE if left is None else min(left, SIGNAL_SLICE)
            try:
                self._bell.get(timeout=max(slice_of, 0.0))
            except queue.Empty:
                if left is not None:
                    left -= slice_of
                    if left <= 0:
                        break
        return bool(self._calls)

    def _check_thread(self, verb: str) -> None:
        if not self.is_here():
            raise FlowError(
                f'{verb}() was called on thread "{threading.current_thread().name}", and this MainThreadDispatcher belongs to thread '
                f'"{self._thread.name}", which made it: operations are to be called there. Make it on the thread that runs the loop.'
            )


class TkDispatcher:
    """Has operations called on the thread of a tkinter window, by its event loop.

    Make it on that thread. On it the waits of the runtime make the calls too, while the window stands still. When the window is destroyed, the
    messages that waited for it fail, and so do those that come.

    Source: tkinter is not to be called from other threads: without a running `mainloop` that raises, and a Tcl without threads breaks. So a
    call is left in a queue, and the window is woken through a pipe that Tcl watches; on Windows, which cannot, it looks every 15 ms.

    Args:
        root: the window, or any widget of it.

    Raises:
        FlowBuildError: that is no widget.
    """

    def __init__(self, root: tk.Misc) -> None:
        if not callable(getattr(root, "after", None)) or not callable(getattr(root, "winfo_toplevel", None)):
            raise FlowBuildError(f"TkDispatcher takes a tkinter window, got {type(root).__name__}.")
        window = root.winfo_toplevel()
        self._thread = threading.current_thread()
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()  # of the two that follow, and of the pipe
        self._window: tk.Tk | tk.Toplevel | None = window  # None: it was destroyed
        self._awake = False  # it will look by itself
        self._timer = ""
        self._pipe: tuple[int, int] | None = None
        if _can_watch_files(window):
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[0], False)
            window.tk.createfilehandler(self._pipe[0], READABLE, self._woken)
        else:
            self._awake = True
            self._look_in(window, POLL)
        window.bind("<Destroy>", self._closed, add=True)

    def dispatch(self, call: Callable[[], None]) -> None:
        """Have the window make a call; any thread. `RuntimeError` if it was destroyed."""
        _forget_spent(self._calls)
        with self._lock:
            if self._window is None:
                raise RuntimeError("the window was destroyed")
            self._calls.append(call)
            if not self._awake and self._pipe is not None:
                self._awake = True
                os.write(self._pipe[1], b"\0")

    def is_here(self) -> bool:
        """Say whether this is the window's thread, while there is a window."""
        return self._window is not None and threading.current_thread() is self._thread

    def _look_in(self, window: tk.Misc, milliseconds: int) -> None:
        self._timer = window.after(milliseconds, self._look)

    def _woken(self, *_: Any) -> None:
        if self._pipe is not None:
            try:
                os.read(self._pipe[0], 64)
            except BlockingIOError:
                pass
            self._make_calls()

    def _look(self) -> None:
        with self._lock:
            if self._window is None:
                return
            if not self._calls:
                self._awake = self._pipe is None
                if self._awake:
                    self._look_in(self._window, POLL)
                return
        self._make_calls()

    def _make_calls(self) -> None:
        """Make the calls that wait; those that come meanwhile after a breath, in which the window draws itself."""
        if self._window is not None:  # first: a call may open a dialog, in whose loop others are to be made
            self._look_in(self._window, BREATH)
        for _ in range(len(self._calls)):
            call = _next_of(self._calls)
            if call is None:  # the window was destroyed by one of them, or a dialog has made them
                break
            call()

    def _closed(self, event: tk.Event[Any]) -> None:
        window = self._window
        if window is None or event.widget is not window:  # else it is a widget inside it
            return
        with self._lock:
            self._window = None
            pipe, self._pipe = self._pipe, None
        if self._timer:
            window.after_cancel(self._timer)
        if pipe is not None:
            window.tk.deletefilehandler(pipe[0])
            os.close(pipe[0])
            os.close(pipe[1])
        self._calls.clear()  # whoever waits for them is told


def _can_watch_files(root: Any) -> bool:
    """Say whether Tcl can watch a file here: everywhere but on Windows."""
    return hasattr(root.tk, "createfilehandler") and sys.platform != "win32"
