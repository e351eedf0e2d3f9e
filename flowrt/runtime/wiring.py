"""What a runtime is made of, and how it hangs together: the one function that knows all parts, and ties the knots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.engine.engine import Engine
from flowrt.engine.schedules import PARALLEL, schedule_of
from flowrt.executors.threads import thread_pools
from flowrt.flow.definition import Definition
from flowrt.runtime.activation import Activations
from flowrt.runtime.building import Building, release_operations
from flowrt.runtime.closing import Closer
from flowrt.runtime.host import RuntimeHost
from flowrt.runtime.inbox import BorrowersInbox, Inbox
from flowrt.runtime.input import Input
from flowrt.runtime.life import Life
from flowrt.runtime.loop import Loop
from flowrt.runtime.owner import Owner
from flowrt.runtime.results import Reading, Results, Subscribers
from flowrt.runtime.room import Overflow, Room
from flowrt.runtime.run import Run
from flowrt.runtime.waiting import Waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowrt.engine.schedules import Schedule, ScheduleName
    from flowrt.executors.seams import Seams
    from flowrt.flow.flow import Flow
    from flowrt.runtime.watching import Watchdog


@define(eq=False, repr=False)
class Parts:
    """The parts of one runtime that somebody asks directly; the others hang on these."""

    life: Life
    owner: Owner
    input: Input
    subscribers: Subscribers
    reading: Reading
    activations: Activations
    building: Building
    closer: Closer
    watchdog: Watchdog | None


def wired(
    name: str,
    flow: Flow | None,
    seams: Seams,
    *,
    schedule: ScheduleName | Callable[[], Schedule],
    parallelism: bool,
    strict: bool,
    capacity: int,
    max_live: int,
    max_results: int,
    overflow: Overflow,
    stall_after: float | None,
) -> Parts:
    """Make the parts of a runtime, each of those above it. Two knots: the host gets what is made of the engine, and the end what was made."""
    decided = schedule_of(schedule)
    attended = schedule != "sync"
    own_thread = attended and seams.simulation is None
    life = Life(name, seams)
    waits = Waits(life, seams)
    inbox = Inbox(seams) if own_thread else BorrowersInbox(seams, waits.changed)
    results = Results(seams.rlock())
    host = RuntimeHost(life, inbox, seams)
    engine = Engine(
        Definition(""),
        seams.schedule() if seams.schedule is not None else decided,
        seams.clock,
        host,
        capacity=capacity,
        max_live=max_live,
        strict=strict,
    )
    room = Room(
        life,
        inbox,
        results,
        engine,
        seams,
        capacity=capacity,
        max_live=max_live,
        max_results=max_results,
        overflow=overflow,
    )
    make = seams.executors or thread_pools
    loop = Loop(
        life,
        inbox,
        waits,
        room,
        engine,
        seams,
        lambda post, crash: make(name, seams, engine, post, crash, parallelism=parallelism),
        own_thread=own_thread,
    )
    owner = Owner(loop, seams, own_thread=own_thread, attended=attended)
    subscribers = Subscribers(owner)
    way_in = Input(owner)
    activations = Activations(owner, way_in)
    sharing = schedule == PARALLEL and parallelism
    building = Building(flow, owner, activations, strict=strict, sharing=sharing)
    watchdog = None
    if stall_after is not None:
        from flowrt.runtime.watching import Watchdog  # noqa: PLC0415 - few runtimes have one

        watchdog = Watchdog(owner, stall_after)
    host.tie(owner, activations, subscribers)
    life.at_end(room.close, lambda: release_operations(life), activations.release)
    return Parts(
        life,
        owner,
        way_in,
        subscribers,
        Reading(owner),
        activations,
        building,
        Closer(owner, activations),
        watchdog,
    )


def inner_parts(runtime: Any) -> Parts:
    """Return what a runtime is made of: for the command line and the test kit, which look inside."""
    parts: Parts = runtime._parts
    return parts


def owner_of(run: Run) -> Owner:
    """Return who has the steps taken that a run waits for; likewise."""
    return run._owner
