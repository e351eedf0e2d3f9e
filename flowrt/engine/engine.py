"""The engine's turn.

    process()                                                                      results, subscribers, Run
        │                                                                                    ▲
        ▼                                                                                    │
      inbox ──► engine: schedule ──► chunk ──► handler ──► executor ──► outcome ──► route ───┤
        ▲          ▲                                          │                      │       │
        │          │ when nothing is ready                    │ threads              ▼       ▼
        │       sources (open iterators) ◄────────────────────┼──────────────── schedule   result port
        └─────────────────────────────────────────────────────┘

One thread at a time is the engine: it alone touches routes, books, sources and the state of operations. What comes from elsewhere is posted
to the inbox as a call for it to make. A turn takes one chunk and performs it, or hands it over; or, when nothing is ready, pulls
a source. This module knows no thread, no queue and no clock but the one it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowrt.clock import Timers
from flowrt.engine.acts import Acts
from flowrt.engine.attempts import Guard
from flowrt.engine.chunks import Chunk, Crossing
from flowrt.engine.contract import Task
from flowrt.engine.fusion import Fusion
from flowrt.engine.ledger import Books
from flowrt.engine.meters import QUANTUM, Meter, Pace
from flowrt.engine.outcomes import Outcomes
from flowrt.engine.routes import Routes
from flowrt.engine.runs import Runs
from flowrt.engine.sources import Sources
from flowrt.engine.traffic import Taps, Traffic, borders_before
from flowrt.engine.wakes import Wakes
from flowrt.errors import FlowOverloadError, release_frames
from flowrt.messages import Context, RunBooks

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.engine.contract import Host, PullTask
    from flowrt.engine.failures import Failures
    from flowrt.engine.places import Place
    from flowrt.engine.runs import Sent
    from flowrt.engine.schedules import Schedule
    from flowrt.flow.definition import Definition
    from flowrt.operations.bodies import Group
    from flowrt.ports import Port


class Engine:
    """Moves every message of one runtime.

    Called on: the engine's thread, whichever that is at the moment; `collect` by any.
    Invariants: while it runs, `under_way` counts the messages handed to workers and not yet reported. Between two turns every scope that could
    be closed is.
    """

    def __init__(
        self,
        definition: Definition,
        schedule: Schedule,
        clock: Clock,
        host: Host,
        *,
        capacity: int,
        max_live: int,
        strict: bool,
    ) -> None:
        self._clock = clock
        self._host = host
        self._max_live = max_live
        self.schedule = schedule
        self.books: Books = Books(capacity)
        self.routes: Routes = Routes(definition, self._equip, host.bind)
        self.traffic: Traffic = Traffic(self.routes, self.books, schedule, host.deliver, strict=strict)
        self.failures: Failures = self.traffic.failures
        self.taps: Taps = self.traffic.taps
        self.timers: Timers = Timers(clock)
        self.wakes: Wakes = Wakes(self.books, self.timers)
        self.sources: Sources = Sources(self.traffic)
        self.runs: Runs = Runs(self.traffic, self.sources, self.wakes, host.new_handle)
        self.acts: Acts = Acts(self.traffic, self.sources, self.runs, self.wakes, clock)
        self.outcomes: Outcomes = Outcomes(self.traffic, self.sources, self.runs, self.acts)
        self.under_way: int = 0
        self.turns: int = 0
        self.returned: int = 0  # calls and pulls that are over, wherever they were made
        self.not_before: float | None = None  # when the throttle lets the next message go
        self.over = False  # reports only close what is to be closed
        self.fusion: Fusion = Fusion(self.traffic, self.acts, self.outcomes, clock, host)
        self.in_work: Place | None = None

    # -- places

    def _equip(self, place: Place) -> None:
        place.pace, place.pulls, place.meter = Pace(), Pace(), Meter()
        place.executor = self._host.executor_for(place)
        place.handed_over = not place.executor.inline
        if place.declaration.policies.guarded:
            clock, timers, rng, settle = self._clock, self.timers, self._host.rng, self.outcomes.take
            put_back = self.schedule.put_back
            place.guard = Guard(place, clock, timers, rng, self._submit, self.report, settle, put_back)
        elif place.declaration.mode.ordered and place.handed_over:
            place.ordered = True
        if place.extras.activate is not None:
            self._host.activate(place)

    def change(self, definition: Definition) -> None:
        self.routes.swap(definition)
        self.routes.enter_active(self._host.activate)

    # -- inputs

    def feed(
        self, run: RunBooks, port: Port, data: list[Any], first: int, correlation_id: object, priority: int
    ) -> None:
        """Take inputs of a run, the first of which is its input number `first`."""
        if run.ended:
            return
        context = Context(run, correlation_id, priority)
        self.books.accept(run, port.fullname, len(data))
        self.traffic.uneven = self.traffic.uneven or bool(priority)
        route, positions = self.routes.entry(port), range(first, first + len(data))
        self.traffic.emit(route, data, context, positions, self.traffic.trunk.root, outside=True)
        self._check_live(run, port.fullname)

    def take_inputs(self, inputs: list[Sent]) -> None:
        """Open a run for each of these; neighbours that enter at one port with one priority are moved together."""
        _, port, _, _, priority = inputs[0]
        data: list[Any] = []
        contexts: list[Context] = []
        for handle, to, value, correlation_id, urgency in inputs:
            if to is not port or urgency != priority:
                self._enter(port, data, contexts)
                data, contexts, port, priority = [], [], to, urgency
            run = handle.books = self.books.open_with_input(handle, to.fullname)
            data.append(value)
            contexts.append(Context(run, correlation_id, urgency))
        self._enter(port, data, contexts)

    def _enter(self, port: Port, data: list[Any], contexts: list[Context]) -> None:
        traffic = self.traffic
        together: Context | list[Context] = contexts if len(data) > 1 else contexts[0]
        route = self.routes.entry(port)
        self.traffic.uneven = self.traffic.uneven or bool(contexts[0].priority)
        traffic.emit(route, data, together, [0] * len(data), traffic.trunk.root, outside=True)
        if self.books.live > self._max_live:
            for context in contexts[::-1]:
                self._check_live(context.scope.run, port.fullname)

    # -- the turn

    @property
    def next_moment(self) -> float | None:
        """When it has something to do, if that is only a matter of time."""
        due = self.timers.next_due
        if due is None or self.not_before is None:
            return self.not_before if due is None else due
        return min(due, self.not_before)

    @property
    def next_moment_but_limits(self) -> float | None:
        """When it has something to do though no call is under way that could be given up, if that is only a matter of time."""
        due = self.timers.next_but_limits()
        return min((each for each in (due, self.not_before) if each is not None), default=None)

    def held_back(self) -> bool:
        """Say whether the throttle holds the next message back; it does so from when it is the next."""
        if not self.traffic.delay:
            return False
        now = self._clock.now()
        if self.not_before is None:
            if next(self.traffic.waiting(), None) is None:
                return False
            self.not_before = now + self.traffic.delay
        if now < self.not_before:
            return True
        self.not_before = None
        return False

    def turn(self) -> bool:
        """Do one step; say whether there was one to do."""
        chunk = self.traffic.next_chunk() if self.traffic.any_leaving else self.schedule.take()
        self.traffic.in_turn = True
        worked = True
        if chunk is None:
            quiet = not self.under_way and not self.sources.pulls_under_way
            straight = None if self.taps.handlers or self.traffic.delay else self.fusion.pull
            worked = bool(self.sources.count) and self.sources.advance(straight, nothing_under_way=quiet)
        elif self.traffic.uneven and (source := self.sources.before(chunk.priority)) is not None:
            self.traffic.put_back(chunk)
            self.sources.go_on(source, None)
        else:
            self._step(chunk)
        if worked:
            self.turns += 1
            self.settle()
        self.traffic.in_turn = False
        return worked

    def _step(self, chunk: Chunk) -> None:
        watched = self.taps.handlers or self.traffic.delay
        run, place = chunk.context_at(0).scope.run, chunk.handler.place
        if not watched and self.fusion.take(chunk):
            self._check_live(run, chunk.handler.port.fullname)
            return
        limit = 1 if watched else self.schedule.step
        if len(chunk.data) > limit and (watched or not self.fusion.at_once(chunk)):
            head = chunk.cut(limit)
            self.traffic.put_back(chunk)
            chunk = head
        if self.books.cut_short and not chunk.leave_out_ended():
            return
        if watched:
            across = self._across(chunk)
            if across is None:
                return
            chunk = across
        if self.taps.handlers:
            self.taps.show(chunk)
            if self.books.cut_short and not chunk.leave_out_ended():  # the tap may have cancelled a run
                return
        if place is None:
            self.traffic.leave(chunk, by_turn=True)
            return
        run = chunk.context_at(0).scope.run
        if place.guard is not None:
            if not (place.handed_over or place.guard.busy) and len(chunk.data) > 1:
                head = chunk.cut(1)
                self.schedule.put_back(chunk)
                chunk = head
            place.guard.take(chunk)
        else:
            self._submit(place, chunk)
        self._check_live(run, place.name)

    def _across(self, chunk: Chunk) -> Chunk | None:
        """Return a message that somebody follows when no border of a flow is before it; else let it cross one, as a step of its own."""
        borders = borders_before(chunk)
        crossed = 0
        if isinstance(chunk, Crossing):
            crossed, chunk = chunk.crossed, chunk.landed()
        if crossed == len(borders):
            return chunk
        if self.taps.handlers:
            self.taps.show_border(chunk, borders[crossed])
        self.traffic.put_back(Crossing.of(chunk, crossed + 1))
        return None

    def _submit(self, place: Place, chunk: Chunk) -> None:
        self.in_work = place
        if place.batches:
            self.acts.take(chunk)
        elif place.executor is not None:
            if place.handed_over:
                self.under_way += len(chunk.data)
            place.executor.submit(place, chunk)
        self.in_work = None

    def settle(self) -> None:
        """Close what can be closed, and tell whoever is to know."""
        books = self.books
        if not books.quiet:
            return
        for due in books.due():
            if type(due) is RunBooks:
                self.runs.tell_finished(due, due.unfinished)
                continue
            place, scope, context = due  # type: ignore[misc]
            if place is None:
                self.failures.tell_unreached(scope)
            else:
                self.acts.drain(place, scope, context)

    def let_go(self) -> None:
        """Let go of what failures keep alive: their frames are over only when the turn that made them is."""
        kept = self.failures.kept
        if kept:
            for error in kept:
                release_frames(error)
            kept.clear()

    def forget(self) -> None:
        """Drop every message that is still somewhere: the runtime is over."""
        self.schedule.clear(lambda _chunk: True)
        self.traffic.leaving.clear(lambda _chunk: True)
        self.timers.clear()
        self.routes.places.forget()
        for place in self.routes.all_places():
            place.state = place.memo = None
            if place.guard is not None:
                place.guard.clear()

    def _check_live(self, run: RunBooks, where: str) -> None:
        if self.books.live > self._max_live and not run.ended:
            self.runs.overload(
                run,
                FlowOverloadError(
                    f'"{where}" brought the runtime to more than max_live={self._max_live} live messages. Emit from a generator or a '
                    "Scatter, which wait for room, instead of all at once; or raise max_live."
                ),
            )

    def stalled(self) -> bool:
        """Say whether messages are live and nothing can ever move again: nothing ready, nothing under way."""
        due = len(self.timers) > self.wakes.loose
        on_its_way = self.under_way or self.sources.pulls_under_way or self.runs.feeding or due
        return bool(self.books.runs) and not on_its_way and not any(run.outrun for run in self.books.runs)

    # -- what executors report

    def collect(self, group: Group) -> None:
        """Any thread: called by emissions; a call that is over, or takes long, has the engine fetch them."""
        if group.finished:
            self._host.fetch(group, late=True)
        elif (
            isinstance(group, Task)
            and group.worker
            and not group.nudged
            and self._clock.now() - group.started > QUANTUM
        ):
            group.nudged = True
            self._host.fetch(group, late=False)

    def report(self, task: Task, *, final: bool = True) -> None:
        place, run = task.place, task.chunk.context_at(0).scope.run
        if final:
            self.returned += 1
            task.finished = True
            if place.handed_over:
                self.under_way -= len(task.results)
            place.meter.busy += task.busy
        task.count_calls()
        if self.over:
            self.outcomes.drop(task)
            return
        task.nudged = False
        if place.guard is not None:
            if final:
                place.guard.report(task)
            elif not place.guard.waits_for_the_end:
                self.outcomes.take(task, final=False)
        elif task.reorder is None:
            self.outcomes.take(task, final=final)
        elif final:
            task.reorder.add(task.sequence, len(task.results), lambda: self.outcomes.take(task, final=True))
        self._check_live(run, place.name)

    def pass_on(self, place: Place, chunk: Chunk, results: list[Any], seconds: float) -> None:
        """Send what a function made of each message of a chunk on its way: the lean one, for most messages go it."""
        self.returned += 1
        meter = place.meter
        meter.calls += len(results)
        meter.busy += seconds
        self.outcomes.pass_on(place, chunk, results)
        if self.books.live > self._max_live:
            self._check_live(chunk.context_at(0).scope.run, place.name)

    def fetch(self, task: Task) -> None:
        """Take what a call has emitted so far, or after it had ended."""
        if self.over or task.lost:
            return
        task.nudged = False
        guard = task.place.guard
        if guard is not None and guard.waits_for_the_end and not task.settled:
            return
        if task.reorder is None or not task.results:
            task.count_calls()
            self.outcomes.take(task, final=False)
            self._check_live(task.chunk.context_at(0).scope.run, task.place.name)

    def report_pull(self, pull: PullTask, *, final: bool = True) -> None:
        self.returned += final
        self.sources.take(pull, final=final)

    def give_back(self, chunk: Chunk) -> None:
        self.schedule.put_back(chunk)

    def handed(self) -> None:
        self._host.handed()
