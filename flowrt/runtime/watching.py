"""`explain()`, asked for; and the watchdog, which asks when nothing moves."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from flowrt.engine.contract import PullTask, Task, completed
from flowrt.errors import FlowStallWarning, check_seconds

if TYPE_CHECKING:
    from flowrt.executors.seams import ThreadLike
    from flowrt.observe.explain import Explanation
    from flowrt.runtime.loop import Loop
    from flowrt.runtime.owner import Owner


PATIENCE = 1.0  # seconds to wait for the engine between two of its calls; arbitrary: it answers within milliseconds, or is in one that is long


def explain(owner: Owner) -> Explanation:
    """Any thread: have the engine take a picture; take one without it if it is in a call that does not return."""
    loop = owner.loop
    if owner.is_engine() or owner.at_rest():
        return explained(loop, owner.engine_ident, answered=True)
    for found in owner.ask(lambda: explained(loop, owner.engine_ident, answered=True), PATIENCE):
        return found
    return explained(loop, owner.engine_ident, answered=False)


def explained(loop: Loop, engine_ident: int | None, *, answered: bool) -> Explanation:
    """Say what every operation is doing. `answered`: on the engine's thread, or where there is none at work."""
    from flowrt.observe.facts import explanation_of  # noqa: PLC0415 - most programs never ask

    room = loop.room
    return explanation_of(
        loop.engine,
        loop.clock.now(),
        loop.life.name,
        engine_ident,
        answered=answered,
        callers=len(loop.waits.room.enlisted),
        dropped=room.dropped,
        outside=room.outside,
        unread=room.results.unread,
        max_results=room.max_results,
    )


LOOKS = 4  # per `stall_after`, so that a stall is told of at most a quarter later
SOONEST, LATEST = 0.005, 1.0  # seconds between two looks; arbitrary

ENGINE, FLOW = "the engine's thread", "the flow"


@frozen
class Seen:
    """Something that is at work, as it was seen at one look.

    Attributes:
        who: the same at every look.
        progress: changes whenever it gets on.
        since: when it began.
    """

    who: Hashable
    progress: Hashable
    since: float


class Watch:
    """Decides, from looks at what is at work, what has not got on for so long that somebody should hear of it. Each stall is told of once."""

    def __init__(self, stall_after: float) -> None:
        self._stall_after = stall_after
        self._known: dict[Hashable, Seen] = {}
        self._told: set[Hashable] = set()

    def look(self, now: float, at_work: Iterable[Seen]) -> Iterator[tuple[Hashable, float]]:
        """Take in what is at work; return who has got stuck since the last look, and for how many seconds."""
        known, self._known = self._known, {}
        told, self._told = self._told, set()
        for seen in at_work:
            before = known.get(seen.who)
            if before is None or before.progress == seen.progress:
                since = seen.since if before is None else before.since
                stuck = seen.who in told
            else:
                since, stuck = now, False
            self._known[seen.who] = Seen(seen.who, seen.progress, since)
            if stuck or now - since >= self._stall_after:
                self._told.add(seen.who)
                if not stuck:
                    yield seen.who, now - since


class Watchdog:
    """Looks at one runtime every now and then, on a thread of its own; in a simulation, after each step.

    Called on: its thread, but for `start` and `stop`.
    """

    def __init__(self, owner: Owner, stall_after: float) -> None:
        stall_after = check_seconds("FlowRuntime", "stall_after", stall_after)
        self._owner = owner
        self._watch = Watch(stall_after)
        self._interval = min(max(stall_after / LOOKS, SOONEST), LATEST)

    def start(self) -> ThreadLike | None:
        """Begin to look; return the thread, where there is one."""
        owner = self._owner
        if owner.seams.simulation is not None:
            owner.onlookers.append(self.look)
            return None
        return owner.seams.spawn(self._run, f"{owner.life.name}/watchdog")

    def _run(self) -> None:
        life, ended = self._owner.life, self._owner.waits.ended
        while not life.stopped:
            event = ended.enlist()
            try:
                if not life.stopped:
                    event.wait(self._interval)
            finally:
                ended.leave(event)
            if not life.stopped:
                self.look()

    def look(self) -> None:
        """Warn of what has got stuck."""
        for who, seconds in self._watch.look(self._owner.seams.clock.now(), self._at_work()):
            text, ident = self._words(who, seconds)
            self._warn(text, ident)

    def _at_work(self) -> Iterator[Seen]:
        from flowrt.observe.calls import place_in_code  # noqa: PLC0415 - likewise
        from flowrt.observe.facts import (  # noqa: PLC0415 - only where somebody watches
            call_in_hand,
            tasks_of,
            tried,
        )

        owner, engine = self._owner, self._owner.engine
        now = owner.seams.clock.now()
        tasks: list[Any] = tried(lambda: list(tasks_of(engine)), [])
        for task in tasks:
            yield Seen(task, len(task.results), task.started or now)
        for executor in owner.loop.executors.all():
            if (since := completed(executor).waits_since) is not None:
                yield Seen(cast("Hashable", executor), since, since)
        ident, progress = owner.engine_ident, owner.loop.progress
        if ident is not None and place_in_code(ident):
            in_hand = tried(lambda: call_in_hand(engine, ident), None)
            yield Seen(ENGINE, progress, in_hand[1] if in_hand is not None else now)
        elif owner.inbox.waiting and engine.books.live:
            on_its_way = (
                tasks or engine.under_way or engine.timers or engine.not_before or engine.runs.feeding
            )
            if not on_its_way:
                yield Seen(FLOW, progress, now)

    def _words(self, who: Any, seconds: float) -> tuple[str, int | None]:
        from flowrt.observe.calls import thread_names  # noqa: PLC0415 - likewise
        from flowrt.observe.explain import seconds_text  # noqa: PLC0415 - only for stalls
        from flowrt.observe.facts import call_in_hand, tried  # noqa: PLC0415 - likewise

        name, time = self._owner.life.name, seconds_text(seconds)
        if isinstance(who, Task | PullTask):
            place = who.place
            thread = thread_names().get(who.ident) if who.ident is not None else None
            on = f' on thread "{thread}"' if thread is not None else ""
            return (
                f'runtime "{name}": operation "{place.name}" has not returned for {time}{on}.',
                who.ident,
            )
        if not isinstance(who, str):
            return (
                f'runtime "{name}": {who} has waited for dispatcher {who.dispatcher} for {time}.',
                None,
            )
        if who == ENGINE:
            ident = self._owner.engine_ident
            in_hand = tried(lambda: call_in_hand(self._owner.engine, ident), None)
            whose = f'operation "{in_hand[0]}"' if in_hand is not None else "a handler, a tap or an iterable"
            text = f'runtime "{name}": {whose} has had the engine\'s thread for {time}, and nothing else moves meanwhile.'
            return text, ident
        text = f'runtime "{name}": nothing has moved for {time}, and messages are live.'
        return f"{text}\n{explain(self._owner)}", None

    def _warn(self, text: str, ident: int | None) -> None:
        from flowrt.observe.calls import line_of, stack_of  # noqa: PLC0415 - only for stalls

        stack = stack_of(ident) if ident is not None else ""
        file, line = line_of(ident) if ident is not None else (__file__, 1)
        text = f"{text} It stands at:\n{stack.rstrip()}" if stack else text
        try:  # without a registry: the same operation may stall again, and that is news
            warnings.warn_explicit(text, FlowStallWarning, file, line)
        except FlowStallWarning as error:  # whoever makes errors of warnings gets this one from close()
            self._owner.engine.failures.keep_stray(error)
