"""What the engine does next: the calls that were posted, a turn, a rest; and how that comes to its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.contract import Task
from flowrt.engine.meters import QUANTUM
from flowrt.errors import FlowError, FlowInternalError, FlowStoppedError, internal_error
from flowrt.executors.seams import SIGNAL_SLICE

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.engine.contract import Executors
    from flowrt.engine.engine import Engine
    from flowrt.engine.runs import Sent
    from flowrt.executors.seams import Seams
    from flowrt.observe.explain import Explanation
    from flowrt.runtime.inbox import Inbox
    from flowrt.runtime.life import Life
    from flowrt.runtime.room import Room
    from flowrt.runtime.waiting import Waits


CALLS_PER_STEP = 1_000  # of the inbox between two turns, so that a flood of input cannot hold messages up
FIRST_LOOK = 0.002  # seconds: by then groups in work are asked for what they have (docs/design.md, "Handing over to threads")
LATEST_LOOK = 0.02  # seconds; arbitrary: and by then they are asked though calls keep coming
LOOKS_GROW = 4  # times longer until the next look, while nothing comes
LONGEST_LOOK = 0.25  # seconds; arbitrary: so long an emission of a call that then falls silent may wait
GIVE_WAY = 1e-6  # seconds; the system makes some 60 us of it, the least there is


class Loop:
    """The steps of one engine. It knows no thread: whoever is the engine takes them (`Owner`).

    Called on: the engine's thread, but for `crash` and `give_up`.

    Args:
        make_executors: given what posts to the engine, and what stops it for a fault.
        own_thread: the engine has a thread of its own.
    """

    def __init__(
        self,
        life: Life,
        inbox: Inbox,
        waits: Waits,
        room: Room,
        engine: Engine,
        seams: Seams,
        make_executors: Callable[[Callable[..., None], Callable[[BaseException], None]], Executors],
        *,
        own_thread: bool,
    ) -> None:
        self.life = life
        self.inbox = inbox
        self.waits = waits
        self.room = room
        self.engine = engine
        self.executors: Executors = make_executors(inbox.post, self.crash)
        self.clock: Clock = seams.clock
        self._pause = seams.pause
        self._own_thread = own_thread
        self._look = FIRST_LOOK
        self._looked = seams.clock.now()  # at work elsewhere, or when there last was none
        self._worked_since = 0.0

    # -- a step

    def step(self) -> bool:
        """Make waiting calls and one turn; say whether there was anything to do."""
        return self._guarded(self._step)

    def _guarded(self, work: Callable[..., bool], *arguments: Any) -> bool:
        """Do a part of the engine's work; what goes wrong in it stops the runtime, and whoever waits is told."""
        try:
            return work(*arguments)
        except (KeyboardInterrupt, SystemExit) as error:  # only on a borrowed thread
            self.halt(error)
            self.life.fatal_seen = self.life.fatal_seen or self.life.fatal is error
            raise
        except BaseException as error:
            self.halt(internal_error(error))
        return False

    def _step(self) -> bool:
        engine, life, room = self.engine, self.life, self.room
        worked = False
        engine.let_go()
        left = CALLS_PER_STEP
        while left > 0 and (made := self.inbox.work(self._take_inputs)):
            left -= made
            worked = True
            if life.stopped:
                return False
        if engine.timers and engine.timers.fire():
            worked = True
        if room.waiting is not None and room.waiting.enter():
            worked = True
        if worked:
            engine.settle()
        if not engine.held_back():
            worked = engine.turn() or worked
        if engine.failures.fatal is not None:
            self.halt(engine.failures.fatal)
            return False
        if self.waits.room.enlisted and room.half_empty():
            self.waits.room.wake()
        if not worked:
            return self._nothing_to_do()
        if engine.under_way and self._own_thread:
            self._give_way()
        return True

    def _take_inputs(self, inputs: list[Sent]) -> None:
        try:
            if not self.life.stopped:
                self.engine.books.look_at_clock(self.clock.now())
                self.engine.take_inputs(inputs)
                return
            for run, *_ in inputs:
                if run.books is None:  # else an interrupt came while it was being taken in, and it was told
                    run.tell_finished(self.life.stopped_error())
        finally:  # last: so long they count twice, and nobody sees room that is not there
            self.room.taken += len(inputs)

    def _give_way(self) -> None:
        """After a turn's work: a thread back from I/O waits for the GIL until its holder lets it go, for 5 ms otherwise."""
        now = self.clock.now()
        if now - self._worked_since > QUANTUM / 2:  # half: a turn ends at a quantum, or just before
            self._pause(GIVE_WAY)
            for executor in self.executors.all():
                executor.hurry()
            if now - self._looked > LATEST_LOOK:
                self.look_at_work()
            self._worked_since = self.clock.now()

    def _nothing_to_do(self) -> bool:
        """Tell who waits for that; say whether it gave the engine something to do."""
        engine, life = self.engine, self.life
        if engine.not_before is not None:
            return False
        if self.room.left_open:
            left = self.room.left_open.popleft()
            if left.books is not None:
                engine.runs.end_input(left.books)
                engine.settle()  # or the run that has just ended would be taken for one that cannot
            return True
        if engine.books.runs:
            if not (self.inbox.empty() and engine.stalled()):
                return False
            engine.runs.fail_stalled(self.explain())
            return True
        told = self.waits.tell_idle()  # that is something to have done: no time needs to pass for it
        # A call whose results were seen may still emit: whoever emits before the end is heard.
        if life.draining and not (engine.under_way > 0 or engine.sources.pulls_under_way > 0):
            with life.last_word:
                if not self.inbox.empty():
                    return True
                life.stopped = engine.over = True
            self.finish()
        return told

    def explain(self) -> Explanation | None:
        """Explain what cannot go on. The error it is for comes first: what goes wrong here is nobody's business."""
        from flowrt.runtime.watching import explained  # noqa: PLC0415 - most programs never ask

        try:
            return explained(self, get_ident(), answered=True)
        except Exception:
            return None

    # -- a rest

    def rest(self, timeout: float | None) -> None:
        """Wait for a call, for the time to go on, or to look what workers have."""
        self._guarded(self._take_rest, timeout)

    def _take_rest(self, timeout: float | None) -> bool:
        engine = self.engine
        waits = [] if timeout is None else [timeout]
        moment = engine.next_moment
        if moment is not None:
            waits.append(max(moment - self.clock.now(), 0.0))
        handed_over = engine.under_way or engine.sources.pulls_under_way
        if handed_over:
            waits.append(self._look)
        if not self._own_thread:
            waits.append(SIGNAL_SLICE)
        called = self.inbox.wait(min(waits) if waits else None)
        now = self._worked_since = self.clock.now()
        if not handed_over:
            self._looked = now
        elif not called or now - self._looked > LATEST_LOOK:
            self.look_at_work()
        self._look = FIRST_LOOK if called else min(self._look * LOOKS_GROW, LONGEST_LOOK)
        return called

    def look_at_work(self) -> None:
        """Take what groups in work have so far, and ask them to stop after the current message.

        What was posted before comes first: a group that is in work now began after its predecessor had been posted.
        """
        self._looked = self.clock.now()
        in_work = [task for executor in self.executors.all() for task in executor.in_work()]
        while self.inbox.work(self._take_inputs):
            pass
        for task in in_work:
            task.ask_to_stop()
            if isinstance(task, Task):
                self.engine.report(task, final=False)
            else:
                self.engine.report_pull(task, final=False)
        self.engine.settle()
        for executor in self.executors.all():
            executor.hurry()

    @property
    def progress(self) -> tuple[int, int]:
        """Return figures that change whenever a call has returned."""
        return self.engine.turns, self.engine.returned

    # -- the end

    def crash(self, error: BaseException) -> None:
        """Any thread: stop at once, for a fault in flowrt itself, or since the program is to end."""
        if not users.is_a(error, (FlowError, *users.STOPS)):
            error = internal_error(error)
        try:
            self.inbox.post(self.halt, error)
        except BaseException:
            self.life.fatal = error if self.life.fatal is None else self.life.fatal
            self.give_up(error if users.is_a(error, FlowError) else internal_error(error))

    def halt(self, error: BaseException) -> None:
        """Stop at once, for a reason that whoever waits gets raised."""
        life = self.life
        if life.stopped:
            return
        life.fatal = error if life.fatal is None else life.fatal
        kind = type(error).__qualname__
        reason: FlowError = FlowStoppedError(f'runtime "{life.name}" was stopped by {kind}.')
        reason.__cause__ = error
        if users.is_a(error, FlowInternalError):
            reason = error
        try:
            self.engine.runs.abandon_all(f"the runtime was stopped by {kind}", reason)
        except BaseException:
            self.give_up(reason)
        finally:
            self.finish()

    def finish(self) -> None:
        """End the loop, let the workers go, wake everybody; each of it, whatever the rest raises."""
        self.life.stopped = self.engine.over = True
        self.life.do_each(
            self._take_the_rest,
            self._stop_executors,
            self.life.end,
            self.waits.tell_idle,
            self.engine.forget,
            *self.waits.wakes,
        )

    def _stop_executors(self) -> None:
        self.life.do_each(*(executor.stop for executor in self.executors.all()))

    def take_late(self) -> None:
        """Once the loop has ended: take what was posted since, so that input is refused, not lost."""
        self.life.do_each(self._take_the_rest)

    def _take_the_rest(self) -> None:
        failed: BaseException | None = None
        while not self.inbox.empty():
            try:
                self.inbox.work(self._take_inputs)
            except BaseException as error:
                failed = error if failed is None else failed
                self.inbox.drop()
        if failed is not None:
            raise failed

    def give_up(self, reason: FlowError) -> int:
        """Any thread: the engine does not return, or cannot go through its books; tell whoever waits. Return what it still had."""
        self.life.stopped = self.engine.books.cut_short = True
        given_up = 0
        for run in list(self.engine.books.runs):
            given_up += sum(scope.live + scope.held for scope in (run, *list(run.open_scopes)))
            run.ended = True
            handle, run.handle = run.handle, None
            if handle is not None:
                handle.tell_finished(reason)
        self.life.do_each(self._stop_executors, self.life.end, *self.waits.wakes)
        return given_up

    def write_off(self) -> None:
        """As the engine's last act: end what it had when it was given up."""
        if self.engine.books.runs:
            self.life.do_each(partial(self.engine.runs.abandon_all, "the runtime was given up", None))
