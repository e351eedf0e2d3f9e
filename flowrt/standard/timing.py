"""Operators that let time decide: Debounce, Ticker, Metronome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from flowrt.errors import FlowOverloadError, check_count, check_seconds
from flowrt.messages import Part
from flowrt.operations.contract import Emitter, Operation
from flowrt.standard.keeping import MAX_OPEN, Held, Holder, drop_run, home_of

if TYPE_CHECKING:
    from flowrt.messages import Message, RunBooks, Scope
    from flowrt.operations.contract import OwnAccord
    from flowrt.standard.keeping import By, ByList


class Debounce(Holder):
    """Let a message pass once no other has come for so long: of many in short succession, the last.

    Ports:
        in  any name  any object
        out .         the same object; what another one follows too soon ends as absorbed

    Items of a scattered list are compared within their list, other messages with those of all runs. A run does not go quiet while a message
    of it waits; when the runtime is closed, nobody waits, and the message passes.

    Args:
        name: of the operation.
        seconds: without another message.
        by: "all", or "run" to look at each run alone.
        max_open: lists (or runs), at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Memory: one message, per list (or run).
    Runs on: the engine thread.
    """

    def __init__(
        self, name: str | None = None, seconds: float = 0.5, *, by: By = "all", max_open: int = MAX_OPEN
    ) -> None:
        super().__init__(name, by, max_open)
        self.seconds: float = check_seconds(self._owner, "seconds", seconds)

    def make_kept(self) -> Held:
        return Held()

    def handle(self, state: ByList[Held], message: Message, emit: Emitter) -> None:
        held = state.of(message, emit)
        homes = list(held.homes)
        before = held.take(1)
        held.add(message, emit)
        emit.wake(self.seconds)
        if before:
            emit.absorb(before, f"another one came within {self.seconds:g} s")
        for home in homes:
            if home is not home_of(message):
                emit.wake(None, home)

    def drained(self, state: ByList[Held], scope: Scope, emit: Emitter) -> None:
        """Let a message pass, for no other can come."""
        held = state.find(scope)
        if held is not None and scope in held.homes:
            parts = held.take(1)
            emit.merge(parts, parts[0].data)
        state.take_own(scope)

    timer = drained


@define(eq=False)
class _Grid:
    """When the next tick of a place is due."""

    due: float | None = None


class Ticker(Operation):
    """Emit the date and time every so many seconds, from the start of the runtime to its end.

    Ports:
        in  none
        out .now      datetime, in UTC: the first at once

    Each tick is a run of its own. Ticks are due at whole periods after the first; those that are missed, because the engine was busy or
    there was no room for input, are left out. Nobody waits for the next tick: between two the runtime is idle.

    Args:
        name: of the operation.
        period: seconds from one tick to the next.

    Runs on: the engine thread, by the runtime's clock.
    """

    in_ports: tuple[str, ...] | None = ()
    out_ports: tuple[str, ...] | None = ("now",)

    def __init__(self, name: str | None = None, period: float = 1.0) -> None:
        super().__init__(name)
        self.period: float = check_seconds(f'Ticker "{self.name}"', "period", period)

    def create(self) -> _Grid:
        return _Grid()

    def activate(self, emit: OwnAccord) -> None:
        emit.wake(0.0)

    def timer(self, state: _Grid, _scope: None, emit: OwnAccord) -> None:
        now = emit.now()
        due = now if state.due is None else state.due
        state.due = due + self.period * (1 + max(0.0, now - due) // self.period)
        emit.wake(max(0.0, state.due - now))
        if emit.has_room():
            emit(emit.time(), "now")


@define(eq=False, repr=False)
class _Ticking:
    part: Part
    number: int = 0


class Metronome(Operation):
    """Count ticks for a message: one every so many seconds once it has come.

    Ports:
        in  any name  any object: it starts the ticks
        out .         int: 0, 1, 2, … in the context of the message that started them; the first after `seconds`

    A run (or a scattered list) has one row of ticks at a time: another message in it starts anew. Without `times` a run goes on until it is
    cancelled or the runtime is closed; send the message in a run of its own and keep that, to cancel it.

    Args:
        name: of the operation.
        seconds: from one tick to the next.
        times: how many ticks there are.
        max_open: runs and lists that have ticks, at once.

    Raises:
        FlowOverloadError: past `max_open`; the run fails.

    Runs on: the engine thread.
    """

    def __init__(
        self, name: str, seconds: float, times: int | None = None, *, max_open: int = MAX_OPEN
    ) -> None:
        super().__init__(name)
        owner = f'Metronome "{name}"'
        self.seconds: float = check_seconds(owner, "seconds", seconds)
        self.times: int | None = None if times is None else check_count(owner, "times", times)
        self.max_open: int = check_count(owner, "max_open", max_open)

    def create(self) -> dict[Scope, _Ticking]:
        return {}

    def handle(self, state: dict[Scope, _Ticking], message: Message, emit: Emitter) -> None:
        home = home_of(message)
        before = state.get(home)
        if before is None and len(state) >= self.max_open:
            raise FlowOverloadError(
                f'Metronome "{self.name}" already ticks for max_open={self.max_open} runs or lists. Let some of them end first, or raise max_open.'
            )
        ticking = state[home] = _Ticking(Part(None))
        emit.hold([ticking.part])
        emit.wake(self.seconds)
        if before is not None:
            emit.absorb([before.part], "another message started anew")

    def timer(self, state: dict[Scope, _Ticking], scope: Scope, emit: Emitter) -> None:
        ticking = state.get(scope)
        if ticking is None:
            return
        last = ticking.number + 1 == self.times
        emit.merge([ticking.part] if last else [], ticking.number, made_of=[ticking.part])
        ticking.number += 1
        if last:
            del state[scope]
        else:
            emit.wake(self.seconds)

    def drained(self, state: dict[Scope, _Ticking], scope: Scope, emit: Emitter) -> None:
        """There will be no more ticks: the runtime is closed."""
        ticking = state.pop(scope, None)
        if ticking is not None:
            emit.absorb([ticking.part], "the ticks were stopped")

    def cancelled(self, state: dict[Scope, _Ticking], run: RunBooks) -> None:
        drop_run(state, run)
