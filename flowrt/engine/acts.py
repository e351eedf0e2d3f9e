"""What operations with state ask for: batches, lists, merged messages, causalities, being woken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.chunks import message_of
from flowrt.errors import ContractError, FlowBuildError, FlowError, FlowOverloadError, counted, describe
from flowrt.messages import (
    ABSORBED,
    DISCARDED,
    FAILED,
    Causality,
    Context,
    Message,
    Missing,
    Part,
    Positions,
    Scope,
    Trail,
    common_context,
    correlated,
    held_context,
    lost_list,
    merged_context,
    popped,
)
from flowrt.operations.contract import Act, Emitter, LogEntry
from flowrt.operations.unfinished import refuse
from flowrt.operations.variables import call_within

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Handler, Place
    from flowrt.engine.runs import Runs
    from flowrt.engine.sources import Sources
    from flowrt.engine.traffic import Contexts, Traffic
    from flowrt.engine.wakes import Wakes


class InHand:
    """What an operation has in hand when it asks for something. This: nothing, for it was told of a scope, or woken."""

    __slots__ = ("about", "by", "chunk", "context", "data", "first", "place", "positions", "rest", "trail")

    def __init__(self, place: Place, context: Context, trail: Trail, about: Any) -> None:
        self.place: Place = place
        self.context: Context = context
        self.trail: Trail = trail
        self.about: Any = about  # what it is woken about if it does not say
        self.chunk: Chunk | None = None  # whose messages these are, from number `first` on
        self.first: int = 0
        self.by: str = ""  # who performs, for the note on an error
        self.data: list[Any] = []
        self.positions: Positions = (0,)  # where stands what is emitted
        self.rest: int = 0  # messages of which nothing has become yet

    @property
    def next(self) -> int:
        """Which of its messages is the first of which nothing has become yet: they are taken in order."""
        return len(self.positions) - self.rest

    def meeting(self, origins: Sequence[Part], port: str) -> tuple[Context, Any]:
        """Return the context and the position of what is made of parts."""
        context = self.context
        if not origins:
            return context, None
        priority = max(part.priority for part in origins)
        return Context(context.scope, None, priority, context.causality), origins[-1].position


class BatchInHand(InHand):
    """Consecutive messages of one context, handed to an operation that takes many at once."""

    __slots__ = ("causality", "correlation_id", "port", "scope")

    def __init__(self, place: Place, chunk: Chunk, context: Context) -> None:
        self.place = place
        self.chunk: Chunk = chunk
        self.first = 0
        self.port: str = chunk.handler.in_port
        self.data: list[Any] = chunk.data
        self.positions: Positions = chunk.positions
        self.context = context
        self.trail: Trail = chunk.trail
        self.scope: Scope = context.scope.home
        self.about: Scope = self.scope
        self.correlation_id: object = context.correlation_id
        self.causality: Causality | None = context.causality
        self.by = ""
        self.rest: int = len(chunk.data)

    def gathering_scope(self) -> Scope | None:
        """Return the innermost scope of these messages that this place gathers."""
        return self.context.scope.within(self.place)

    def meeting(self, origins: Sequence[Part], port: str) -> tuple[Context, Any]:
        position = self.positions[-1]  # of a count there is none
        return super().meeting(origins, port) if position is None else (self.context, position)


class Acts:
    """Hands batches to operations, and does what operations ask for.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, sources: Sources, runs: Runs, wakes: Wakes, clock: Clock) -> None:
        self._traffic = traffic
        self._failures = traffic.failures
        self._sources = sources
        self._runs = runs
        self._wakes = wakes
        self._clock = clock
        self.began: float = 0.0  # when the last chunk was taken

    # -- what is asked for

    def act(self, hand: InHand, action: Act, argument: Any) -> None:
        """Do what an operation asks for; what it asks for messages in hand is nothing where there are none."""
        place = hand.place
        if action is Act.HOLD:
            if hand.chunk is not None:
                self._hold(hand, hand.chunk, argument)
        elif action is Act.MERGE:
            self._merge(hand, *argument)
        elif action is Act.GATHER:
            self._gather(place, *argument)
        elif action is Act.RELEASE:
            self._release(hand, *argument)
        elif action is Act.WAKE:
            seconds, about = argument
            self._ask(place, hand.about if about is None else about, seconds, hand.context)
        elif action is Act.OWE:
            context, home = hand.context, hand.context.scope.home
            known = home.owing.get(place) if home.owing else None
            home.owe(place, context if known is None else common_context(known, context))
        elif action is Act.GIVE_UP:
            self._give_up(place, *argument)
        elif action is Act.SURPLUS:
            self._fail_kept(place, hand.trail, *argument)
        elif hand.chunk is None:
            return
        elif action is Act.SCATTER:
            message = message_of(hand.chunk, hand.first + min(hand.next, len(hand.positions) - 1))
            hand.rest -= 1
            self._sources.open_scattered(place, message, hand.trail, argument)
        elif action is Act.FAIL:
            self._fail(hand, hand.chunk, *argument)
        elif action is Act.PUSH:
            self._traffic.uneven = True  # an error of what it leads to is more urgent than the rest
            self._send_on(hand, hand.chunk, self._pushed(place, hand.context))
        elif action is Act.POP:
            self._send_on(hand, hand.chunk, popped(hand.context))

    def _hold(self, hand: InHand, chunk: Chunk, kept: Scope | tuple[Part, ...]) -> None:
        books, context = self._traffic.books, hand.context
        if isinstance(kept, Scope):
            books.gather(context.scope, kept, hand.place, hand.rest)
            hand.rest = 0
            return
        if any(part.scope is not None for part in kept) or len(set(map(id, kept))) < len(kept):
            self._refuse(hand, _held_twice(hand.place))
            return
        if len(kept) > hand.rest:
            self._refuse(hand, _too_many(hand.place, len(kept), max(hand.rest, 0)))
            return
        for number, part in enumerate(kept, hand.next):
            if part.position is None:
                part.position = hand.positions[min(number, len(hand.positions) - 1)]
            if part.correlation_id is None:
                part.correlation_id = context.correlation_id
            part.causality = context.causality
            part.priority = context.priority
        books.hold(context.scope, hand.place, kept)
        hand.rest -= len(kept)

    def _fail(self, hand: InHand, chunk: Chunk, error: BaseException, first: int, messages: int) -> None:
        indexes = range(hand.first, hand.first + len(hand.positions))
        named = indexes[first : first + messages]
        for index in named or indexes[hand.next :]:  # where it names none, what is left: no error is lost
            hand.rest -= 1
            if hand.context.scope.run.ended:
                return
            self._failures.fail(hand.place, message_of(chunk, index), hand.trail, error, by=hand.by)

    def _send_on(self, hand: InHand, chunk: Chunk, context: Context | None) -> None:
        if context is None:
            error = FlowBuildError(
                f'PopCausality "{hand.place.declaration.name}" got a message that is in no causality. Put a PushCausality in front of it on '
                "every way that leads here."
            )
            self._fail(hand, chunk, error, 0, hand.rest)
            return
        hand.rest = 0
        route = self._traffic.routes.out(hand.place, "")
        self._traffic.emit(route, hand.data, context, hand.positions, hand.trail)

    def _pushed(self, place: Place, context: Context) -> Context:
        # One context in is one context out, so that what travelled together goes on doing so.
        last = place.memo
        if last is None or last[0] is not context:
            pushed = Context(
                context.scope, context.correlation_id, context.priority, Causality(place, context)
            )
            last = place.memo = (context, pushed)
        result: Context = last[1]
        return result

    def _refuse(self, hand: InHand, raised: BaseException) -> None:
        """Fail the message that something was asked for that cannot be; where none is left in hand, tell of it all the same."""
        if hand.context.scope.run.ended:
            return
        if hand.chunk is not None and hand.rest > 0:
            self._fail(hand, hand.chunk, raised, hand.next, 1)
            return
        message, at = None, min(hand.next, len(hand.positions) - 1)
        if hand.chunk is not None:
            message = message_of(hand.chunk, hand.first + at)
        self._failures.fail_owing(hand.place, hand.context, hand.positions[at], hand.trail, raised, message)

    def _are_ours(self, hand: InHand, parts: Sequence[Part]) -> bool:
        """Say whether nobody else holds some of the parts that an operation asks for something with; else refuse it."""
        place = hand.place
        for part in parts:
            home = part.scope
            if home is not None and (home.parts is None or part not in home.parts.get(place, ())):
                self._refuse(hand, _not_held_here(place))
                return False
        return True

    def _release(self, hand: InHand, parts: Sequence[Part], reason: str, what: str) -> None:
        place = hand.place
        if not self._are_ours(hand, parts):
            return
        for home in self._traffic.books.give_back(place, parts):
            self._traffic.books.write(home.run, what, 1, place.name, reason)

    def _merge(
        self, hand: InHand, parts: Sequence[Part], data: Any, port: str, origins: Sequence[Part]
    ) -> None:
        """Emit one message made of held parts: one of them goes on as it, the others end as absorbed."""
        books, place = self._traffic.books, hand.place
        if not self._are_ours(hand, parts):
            return
        context, position = hand.meeting(origins, port)
        try:
            context = merged_context(context, origins, parts)
        except BaseException as error:  # two ids could not be compared
            self._release(hand, parts, describe(error), FAILED)
            self._refuse(hand, error)
            return
        homes = books.give_back(place, parts)
        own = next((home for home in homes if home.run is context.scope.run), None)
        if own is None:
            books.born(context.scope, 1, place.name)
        else:
            homes.remove(own)
            books.move(context.scope, 1)
        for home in homes:
            books.write(home.run, ABSORBED, 1, place.name)
        self._traffic.emit(self._traffic.routes.out(place, port), [data], context, [position], hand.trail)

    def _apply(self, hand: InHand, log: list[LogEntry]) -> None:
        """Do in order what an operation did in a call that is over."""
        for _, action, argument in log:
            if hand.context.scope.run.ended:
                return
            if type(action) is not str:
                self.act(hand, action, argument)
                continue
            self._traffic.books.born(hand.context.scope, 1, hand.place.name)
            context, data = correlated(hand.context, argument)
            route = self._traffic.routes.out(hand.place, action)
            self._traffic.emit(route, [data], context, [hand.positions[0]], hand.trail)

    # -- batches

    def only_keeps(self, handler: Handler, contexts: Contexts, messages: int) -> bool:
        """Say whether nothing would come of handing so many messages over before the last of them."""
        place = handler.place
        if place is None or not place.batches or place.extras.keeps is None or isinstance(contexts, list):
            return False
        scope = contexts.scope.within(place)
        return scope is not None and place.extras.keeps(place.state, handler.in_port, scope, messages)

    def take(self, chunk: Chunk) -> None:
        """Hand a chunk to the operation it has come to, one that takes many at once."""
        place = chunk.handler.place
        if place is None:
            raise AssertionError("unreachable: results are delivered at once")
        place.meter.calls += len(chunk.data)
        self.began = self._clock.now()
        started = self.began
        self._by_context(place, chunk)
        place.meter.busy += self._clock.now() - started

    def _by_context(self, place: Place, chunk: Chunk) -> None:
        if not isinstance(chunk.context, list):
            self._handle_batch(place, chunk, chunk.context)
            return
        while chunk.data:
            contexts: list[Context] = chunk.context
            context = contexts[0]
            size = next((i for i, other in enumerate(contexts) if other is not context), len(contexts))
            head = chunk.cut(size)
            head.context = context
            if not context.scope.run.ended:
                self._handle_batch(place, head, context)

    def _handle_batch(self, place: Place, chunk: Chunk, context: Context) -> None:
        batch = BatchInHand(place, chunk, context)
        log: list[LogEntry] = []
        emit = Emitter(log, 0, place.fed, place.operation.out_ports)
        try:
            handle_many = place.operation.handle_many
            found = call_within(context.scope.run.variables, handle_many, place.state, batch, emit)
            if found is not None:
                refuse(found)
        except FlowOverloadError as error:
            self._runs.overload(context.scope.run, error)
            return
        except BaseException as error:
            self._apply(batch, log)
            self._fail(batch, chunk, error, 0, batch.rest)
            return
        finally:
            emit.end()
        self._apply(batch, log)
        if batch.rest > 0 and not context.scope.run.ended:
            self._traffic.books.end(context.scope, ABSORBED, batch.rest, place.name)

    # -- what is owed to scopes

    def _ask(self, place: Place, about: Any, seconds: float | None, context: Context | None) -> None:
        self._wakes.ask(place, about, seconds, lambda: self.wake(place, about, context))

    def drain(self, place: Place, scope: Scope, owed: Context | None) -> None:
        """Tell an operation that nothing more will come of a scope; `owed`: the context of what it owes the scope something for."""
        self._call_for(place, scope, "drained", owed)

    def wake(self, place: Place, about: Any, asked_in: Context | None) -> None:
        """Tell an operation that the time has come that it asked for, in a context: for a scope, or about an object of its own."""
        if isinstance(about, Scope):
            self._call_for(place, about, "timer", asked_in)
            return
        hand = InHand(place, None, self._traffic.trunk.root, about)  # type: ignore[arg-type]
        log: list[LogEntry] = []
        emit = Emitter(log, 0, place.fed, place.operation.out_ports)
        try:
            place.operation.timer(place.state, about.value if type(about) is users.Key else about, emit)
            for _, action, argument in log:
                self._act_for_nobody(hand, action, argument)
        except BaseException as error:  # no run is there to fail
            self._failures.contain(f'the timer of operation "{place.name}"', error)
        finally:
            emit.end()

    def _act_for_nobody(self, hand: InHand, action: Any, argument: Any) -> None:
        if action not in (Act.RELEASE, Act.WAKE):
            raise FlowError(
                f'operation "{hand.place.name}" was woken about an object of its own and asked for more than giving parts up and waking: there '
                "is no run for it. Wake for a scope instead: emit.wake(seconds)."
            )
        self.act(hand, action, argument)

    def _call_for(self, place: Place, scope: Scope, call: str, known: Context | None) -> None:
        log: list[LogEntry] = []
        context = scope.origin
        if context is None:  # a run: what is emitted for it has the context of what it is emitted for
            context = known if known is not None and known.scope.home is scope else held_context(scope, place)
        trail = self._traffic.trunk.trail_of(scope)
        emit = Emitter(log, 0, place.fed, place.operation.out_ports)
        try:
            asked = getattr(place.operation, call)
            call_within(scope.run.variables, asked, place.state, scope, emit)
        except BaseException as error:
            self._failures.fail_owing(place, context, scope.position, trail, error)
        finally:
            emit.end()
        if scope.cut_short:  # the operation has forgotten the list; it is owed to nobody
            return
        inner = Context(scope, context.correlation_id, context.priority, context.causality)
        self._apply(InHand(place, inner, trail, scope.home), log)

    def _gather(
        self, place: Place, scope: Scope, data: Any, causality: Any, missing: Sequence[Missing]
    ) -> None:
        origin = scope.origin
        if origin is None or place in scope.answered:
            raise AssertionError("unreachable: a list is owed once, and to the scope of a scattered list")
        books = self._traffic.books
        for record in missing:
            for error in (record.error, *record.also):
                if users.is_a(error, FlowError):
                    error.left_to = None
        gathered = books.answer(scope, place)
        if gathered:
            if gathered > 1:
                books.write(scope.run, ABSORBED, gathered - 1, place.name)
            books.move(origin.scope, 1)
        else:
            books.born(origin.scope, 1, place.name)
        context = origin
        if causality is not origin.causality:
            context = Context(origin.scope, origin.correlation_id, origin.priority, causality)
        trail = self._traffic.trunk.trail_of(scope)
        self._traffic.emit(self._traffic.routes.out(place, ""), [data], context, [scope.position], trail)

    def _fail_kept(
        self,
        place: Place,
        trail: Trail,
        scope: Scope,
        items: Sequence[tuple[Any, Any]],
        error: FlowError,
    ) -> None:
        if scope.gathered:
            scope.gathered[place] -= len(items)
        origin = scope.origin or Context(scope)
        context = Context(scope, origin.correlation_id, origin.priority, origin.causality)
        for position, data in items:
            self._traffic.books.write(scope.run, FAILED, 1, place.name, describe(error))
            message = Message(
                place.port("stream"),
                data,
                context.correlation_id,
                context.priority,
                scope=scope,
                position=position,
            )
            self._failures.fail_owing(place, context, position, trail, error, message)

    def _give_up(self, place: Place, scope: Scope, error: Any) -> None:
        books = self._traffic.books
        gathered = books.answer(scope, place)
        if gathered:
            books.write(scope.run, DISCARDED, gathered, place.name, "the list stayed incomplete")
        origin = scope.origin
        if origin is None:
            return
        home = origin.scope.home
        if home.parent is not None:
            home.lose(lost_list(scope, place.name, error))
        if error is not None:
            self._failures.fail_list(place, error, scope)


def _too_many(place: Place, parts: int, messages: int) -> ContractError:
    return ContractError(
        f'operation "{place.name}" asked to hold {counted(parts, "part")} for {counted(messages, "message")} in hand. Hold one for each message of '
        "which nothing else has become; what is to be more than one is emitted as more than one."
    )


def _held_twice(place: Place) -> ContractError:
    return ContractError(
        f'operation "{place.name}" asked to hold a part that is held already. A part stands for one message: make a Part for each.'
    )


def _not_held_here(place: Place) -> ContractError:
    return ContractError(
        f'operation "{place.name}" asked for something with a part that another operation holds. Parts are those of the place that holds them; '
        "emit the data instead."
    )


def may_keep(handler: Handler) -> bool:
    """Say whether messages go to an operation that can tell whether it only keeps them."""
    place = handler.place
    return place is not None and place.batches and place.extras.keeps is not None


# As in operations/bodies.py.
CALLS_OPERATIONS = {Acts._handle_batch.__code__: "batch", Acts._call_for.__code__: "scope"}
