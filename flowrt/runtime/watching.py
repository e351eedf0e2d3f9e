"""What the runtime is doing, asked for or when it stalls."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from flowrt.engine.contract import PullTask, Task
from flowrt.errors import FlowBuildError, FlowStallWarning

if TYPE_CHECKING:
    from flowrt.executors.seams import ThreadLike
    from flowrt.observe.explain import Explanation
    from flowrt.runtime.input import Intake
    from flowrt.runtime.loop import Driver
    from flowrt.runtime.results import Results


PATIENCE = 1.0  # seconds to wait for the engine between two of its calls; arbitrary: it answers within milliseconds, or is in one that is long


class Doctor:
    """Explains one runtime. Called on: any thread."""

    def __init__(self, driver: Driver, intake: Intake, results: Results, max_results: int) -> None:
        self._driver = driver
        self._intake = intake
        self._results = results
        self._max_results = max_results
        driver.explain = self._on_stall

    def explain(self) -> Explanation:
        """Have the engine take a picture; take one without it if it is in a call that does not return."""
        driver = self._driver
        if driver.is_engine() or driver.at_rest():
            return self._picture(answered=True)
        taken: list[Explanation] = []

        def take() -> None:
            taken.append(self._picture(answered=True))
            driver.changed.wake()

        driver.post(take)
        if driver.wait_until(lambda: bool(taken), PATIENCE) and taken:
            return taken[0]
        return self._picture(answered=False)

    def _picture(self, *, answered: bool) -> Explanation:
        from flowrt.observe.facts import Around, explanation_of  # noqa: PLC0415 - most programs never ask

        driver = self._driver
        around = Around(
            driver.name,
            callers=len(driver.room.enlisted),
            dropped=self._intake.dropped,
            outside=self._intake.waiting,
            unread=self._results.unread,
            max_results=self._max_results,
            engine=driver.engine_ident,
            answered=answered,
        )
        return explanation_of(driver.engine, driver.seams.clock.now(), around)

    def _on_stall(self) -> Explanation | None:
        """Engine's thread: explain what cannot go on. The error it is for comes first: what goes wrong here is nobody's business."""
        try:
            return self._picture(answered=True)
        except Exception:
            return None


LOOKS = 4  # per `stall_after`, so that a stall is told of at most a quarter later
SHORTEST, LONGEST = 0.005, 1.0  # seconds between two looks; arbitrary

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

    def __init__(self, driver: Driver, doctor: Doctor, stall_after: float) -> None:
        if not isinstance(stall_after, int | float) or stall_after <= 0:
            raise FlowBuildError(
                f"FlowRuntime: stall_after is {stall_after!r}; it takes seconds, more than 0, or None."
            )
        self._driver = driver
        self._doctor = doctor
        self._watch = Watch(stall_after)
        self._interval = min(max(stall_after / LOOKS, SHORTEST), LONGEST)

    def start(self) -> ThreadLike | None:
        """Begin to look; return the thread, where there is one."""
        driver = self._driver
        if driver.seams.simulation is not None:
            driver.after_step = self.look
            return None
        return driver.seams.spawn(self._run, f"{driver.name}/watchdog")

    def _run(self) -> None:
        driver = self._driver
        while not driver.stopped:
            event = driver.ended.enlist()
            try:
                if not driver.stopped:
                    event.wait(self._interval)
            finally:
                driver.ended.leave(event)
            if not driver.stopped:
                self.look()

    def look(self) -> None:
        """Warn of what has got stuck."""
        for who, seconds in self._watch.look(self._driver.seams.clock.now(), self._at_work()):
            text, ident = self._words(who, seconds)
            self._warn(text, ident)

    def _at_work(self) -> Iterator[Seen]:
        from flowrt.observe.calls import place_in_code  # noqa: PLC0415 - likewise
        from flowrt.observe.facts import (  # noqa: PLC0415 - only where somebody watches
            call_in_hand,
            tasks_of,
            tried,
        )

        driver, engine = self._driver, self._driver.engine
        now = driver.seams.clock.now()
        tasks: list[Any] = tried(lambda: list(tasks_of(engine)), [])
        for task in tasks:
            yield Seen(task, len(task.results), task.started or now)
        for executor in driver.executors.all():
            since: float | None = getattr(executor, "waits_since", None)
            if since is not None:
                yield Seen(cast("Hashable", executor), since, since)
        ident, progress = driver.engine_ident, driver.progress
        if ident is not None and place_in_code(ident):
            in_hand = tried(lambda: call_in_hand(engine, ident), None)
            yield Seen(ENGINE, progress, in_hand[1] if in_hand is not None else now)
        elif driver.inbox.waiting and engine.books.live:
            on_its_way = (
                tasks or engine.under_way or engine.timers or engine.not_before or engine.runs.feeding
            )
            if not on_its_way:
                yield Seen(FLOW, progress, now)

    def _words(self, who: Any, seconds: float) -> tuple[str, int | None]:
        from flowrt.observe.calls import thread_names  # noqa: PLC0415 - likewise
        from flowrt.observe.explain import seconds_text  # noqa: PLC0415 - only for stalls
        from flowrt.observe.facts import call_in_hand, tried  # noqa: PLC0415 - likewise

        driver, time = self._driver, seconds_text(seconds)
        if isinstance(who, Task | PullTask):
            place = who.place
            name = thread_names().get(who.ident) if who.ident is not None else None
            on = f' on thread "{name}"' if name is not None else ""
            return (
                f'runtime "{driver.name}": operation "{place.name}" has not returned for {time}{on}.',
                who.ident,
            )
        if hasattr(who, "waits_since"):
            return (
                f'runtime "{driver.name}": {who} has waited for dispatcher {who.dispatcher} for {time}.',
                None,
            )
        if who == ENGINE:
            ident = driver.engine_ident
            in_hand = tried(lambda: call_in_hand(driver.engine, ident), None)
            whose = f'operation "{in_hand[0]}"' if in_hand is not None else "a handler, a tap or an iterable"
            text = f'runtime "{driver.name}": {whose} has had the engine\'s thread for {time}, and nothing else moves meanwhile.'
            return text, ident
        text = f'runtime "{driver.name}": nothing has moved for {time}, and messages are live.'
        return f"{text}\n{self._doctor.explain()}", None

    def _warn(self, text: str, ident: int | None) -> None:
        from flowrt.observe.calls import line_of, stack_of  # noqa: PLC0415 - only for stalls

        stack = stack_of(ident) if ident is not None else ""
        file, line = line_of(ident) if ident is not None else (__file__, 1)
        text = f"{text} It stands at:\n{stack.rstrip()}" if stack else text
        try:  # without a registry: the same operation may stall again, and that is news
            warnings.warn_explicit(text, FlowStallWarning, file, line)
        except FlowStallWarning as error:  # whoever makes errors of warnings gets this one from close()
            self._driver.engine.failures.keep_stray(error)
