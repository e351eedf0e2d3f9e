"""Who gets an error: nobody or the `error` port, where `on_error` says so; else a causality, the subscribers, a lenient gather, the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.errors import (
    CallTimedOutError,
    FlowError,
    FlowStalledError,
    NoAnswerError,
    NotDispatchedError,
    OperationError,
    OperationTimeoutError,
    OwnAccordError,
    counted,
    describe,
)
from flowrt.messages import (
    DISCARDED,
    EXCEPTION_PRIORITY,
    FAILED,
    Context,
    Message,
    Trail,
    bare,
    first_position,
)
from flowrt.operations.policies import ERROR_PORT

if TYPE_CHECKING:
    from flowrt.engine.chunks import Chunk
    from flowrt.engine.ledger import Books
    from flowrt.engine.places import Place
    from flowrt.engine.routes import Routes
    from flowrt.messages import Causality, RunBooks, Scope, Trunk


CALLS_HANDLERS = True  # or taps, keys, iterables: for observe/calls.py, which sees its frames
STRAYS_KEPT = 100  # arbitrary: a subscriber that raises does so for every message
Subscriber = Callable[[Any], None]


class Failures:
    """Wraps what operations raise and brings it to exactly one place.

    Called on: the engine's thread.
    """

    def __init__(self, routes: Routes, books: Books, trunk: Trunk, emit: Callable[..., None]) -> None:
        self._routes = routes
        self._books = books
        self._trunk = trunk
        self._emit = emit
        self.subscribers: list[Subscriber] = []
        # The first of what subscribers raised and nobody subscribed to hear of.
        self.stray: list[BaseException] = []
        self.strays: int = 0  # all of them
        self.fatal: BaseException | None = None
        self.kept: list[BaseException] = []  # their frames are released when the turn is over

    def fail(
        self,
        place: Place,
        message: Message,
        trail: Trail,
        raised: BaseException,
        *,
        by: str = "",
        after: int = 0,
        owed: Scope | None = None,
    ) -> OperationError:
        """Fail one live message of a place: end it, and tell whoever is to know. Return the error as it was told.

        `by`: who did the work, for the note ("async", "parallel, worker 2"); `after`: how many messages the call had emitted; `owed`: the
        scope of the list that could not be produced whole, whose gathers are asked first.
        """
        context: Context = message.context  # type: ignore[assignment]  # inside the engine it has one
        position = message.position
        error = operation_error(place, message, raised, after)
        users.note(error, way_text(trail, context.scope, position, place.name + (f" ({by})" if by else "")))
        self.kept.append(error)
        if users.is_a(raised, users.STOPS):
            self._end_one(context, place.name, position, error)
            self._stop(context, raised)
        elif not self._settled_by_policy(place, message, trail, error, raised):
            self._end_one(context, place.name, position, error)
            self.tell(error, context, position, owed)
        return error

    def _stop(self, context: Context, raised: BaseException) -> None:
        """Have the runtime stop; nobody in the flow is asked."""
        self.fatal = raised if self.fatal is None else self.fatal
        context.scope.run.unfinished = raised

    def _settled_by_policy(
        self, place: Place, message: Message, trail: Trail, error: OperationError, raised: BaseException
    ) -> bool:
        """Do with a failed message what its operation was told to; say whether nobody else is to know."""
        context: Context = message.context  # type: ignore[assignment]
        decision, position = place.declaration.policies.on_error, message.position
        if decision == "skip":
            reason = f"skipped, {describe(users.behind(error))}"
            self._books.end(context.scope, DISCARDED, 1, place.name, reason, [position])
            return True
        if decision == "route":
            route = self._routes.out(place, ERROR_PORT)
            if route.connected:
                self._emit(route, [error], context, [position], trail)
                return True
        return False

    def fail_owing(
        self,
        place: Place,
        context: Context,
        position: Any,
        trail: Trail,
        raised: BaseException,
        message: Message | None = None,
    ) -> None:
        """Tell of an error that ends no message: the operation had kept it, or (without one) was to emit what it owes."""
        if users.is_a(raised, users.STOPS):
            self._stop(context, raised)
            return
        error: FlowError = (
            operation_error(place, message, raised)
            if message is not None
            else own_accord_error(place, raised)
        )
        users.note(error, way_text(trail, context.scope, position, place.name))
        self.kept.append(error)
        self.tell(error, context, position)

    def fail_list(self, place: Place, error: FlowError, scope: Scope) -> None:
        """Tell of a list that stayed incomplete, in the context in which it was scattered."""
        origin = scope.origin
        if origin is None:
            raise AssertionError("unreachable: only a scattered list is owed")
        trail = self._trunk.trail_of(scope)
        if scope.stream is not None:
            trail = trail.step(scope.stream)
        users.note(error, way_text(trail, origin.scope, scope.position, place.name))
        self.kept.append(error)
        self.tell(error, origin, scope.position)

    def fail_lost(self, error: FlowError, chunk: Chunk) -> None:
        """Fail messages whose way on cannot be found."""
        for index in range(len(chunk.data)):
            context = chunk.context_at(index)
            if not context.scope.run.ended:
                self._end_one(context, chunk.handler.port.fullname, chunk.positions[index], error)
                self.tell(error, context, chunk.positions[index])

    def tell(self, error: FlowError, context: Context, position: Any, owed: Scope | None = None) -> None:
        """Bring an error to the one place that is to get it."""
        causality = context.causality
        while causality is not None:
            route = self._routes.out(causality.place, "exception")
            if route.connected:
                self._emit_error(error, causality, position_within(causality.context, context, position))
                return
            causality = causality.context.causality
        if self.subscribers:
            self.notify(error)
        elif (home := _gathering_home(owed or context.scope)) is not None:
            error.left_to = home
            home.left_to_gathers += ((error, context),)
        else:
            self._fail_run(context.scope.run, error)

    def _fail_run(self, run: RunBooks, error: BaseException) -> None:
        if run.handle is None:
            self.stray.append(error)
        else:
            run.handle.tell_failed(error)

    def _end_one(self, context: Context, where: str, position: Any, error: BaseException) -> None:
        reason = describe(users.behind(error))
        self._books.end(context.scope, FAILED, 1, where, reason, [position], error)

    def tell_unreached(self, scope: Scope) -> None:
        """Fail the run with what was left to the gathers of a scope, and none of them missed."""
        for error, context in scope.left_to_gathers:
            if error.left_to is not None:
                error.left_to = None
                self._fail_run(context.scope.run, error)
        scope.left_to_gathers = ()

    def _emit_error(self, error: FlowError, causality: Causality, position: Any) -> None:
        pushed = causality.context
        scope = pushed.scope
        while scope.closed and scope.parent is not None:
            scope = scope.parent
        route = self._routes.out(causality.place, "exception")
        context = Context(scope, pushed.correlation_id, EXCEPTION_PRIORITY, pushed.causality)
        self._books.born(scope, 1, route.port.fullname)
        self._emit(route, [error], context, [position], self._trunk.root)

    def notify(self, error: BaseException) -> None:
        """Tell the subscribers of `on_exception`; what they raise themselves goes to `close()`."""
        for subscriber in list(self.subscribers):
            try:
                subscriber(error)
            except (SystemExit, KeyboardInterrupt) as raised:
                self.fatal = raised if self.fatal is None else self.fatal
            except BaseException as raised:
                self.keep_stray(_subscriber_error("on_exception", raised))

    def refuse(self, error: FlowError, chunk: Chunk) -> None:
        """Tell of messages that left where strict does not let them; they have ended as unconnected. Once for each run."""
        told: set[RunBooks] = set()
        for index in range(len(chunk.data)):
            context = chunk.context_at(index)
            run = context.scope.run
            if run not in told and not run.ended:
                told.add(run)
                self.tell(error, context, chunk.positions[index])

    def keep_stray(self, error: BaseException) -> None:
        """Keep what a subscriber raised and nobody takes, for `close()` to raise. Any thread."""
        self.strays += 1
        if len(self.stray) < STRAYS_KEPT:
            self.stray.append(error)

    def contain(self, hook: str, raised: BaseException) -> None:
        """Report what a subscriber of `hook` raised: to `on_exception`, else by `close()`."""
        if users.is_a(raised, users.STOPS):
            self.fatal = raised if self.fatal is None else self.fatal
            return
        error = _subscriber_error(hook, raised)
        self.kept.append(error)
        if self.subscribers:
            self.notify(error)
        else:
            self.keep_stray(error)


def operation_error(place: Place, message: Message, raised: BaseException, after: int = 0) -> OperationError:
    """Wrap what an operation raised over a message."""
    kind, cause, asked, about = OperationError, raised, "", ""
    if type(raised) is CallTimedOutError:
        kind = OperationTimeoutError
        says = (
            f"did not return within {raised.seconds:g} s. Its thread was given up and replaced; what it still does is lost. Give the operation "
            "more time, or let what it waits for have a time limit of its own."
        )
    elif type(raised) is NotDispatchedError:
        cause = users.behind(raised)
        says = (
            f"was not called: its dispatcher {raised.dispatcher} did not have it called, {raised.why}. Close the runtime before what the "
            "dispatcher belongs to: the event loop, the window, the main loop."
        )
    elif type(raised) is NoAnswerError:
        asked, about = f"{raised.asked} of ", raised.about
        cause = users.behind(raised)
        says = "raised"
    else:
        says = f"had emitted {counted(after, 'message')} when it raised" if after else "raised"
    error = kind(f"{asked}{_named(place)}{about} {says}", place.name, bare(message))
    error.__cause__ = cause
    return error


def own_accord_error(place: Place, raised: BaseException) -> OwnAccordError:
    """Wrap what an operation raised in a call that was about no message."""
    error = OwnAccordError(f"{_named(place)} raised", place.name)
    error.__cause__ = raised
    return error


def _named(place: Place) -> str:
    return f'operation "{place.name}" (declared at {place.declaration.declared_at})'


def way_text(trail: Trail, scope: Scope, position: Any, end: str) -> str:
    """Write the way of a message down: the out-ports it left, with its position in each scattered list, and where it ended."""
    steps = []
    home: Scope | None = scope.home
    for route in reversed(trail.routes()):
        text = route.port.fullname
        if home is not None and home.stream is route:
            text += f"[{first_position(position)}]"
            position = home.position
            home = home.parent.home if home.parent is not None else None
        steps.append(text)
    return " -> ".join([*reversed(steps), end])


def is_ours_by_kind(place: Place) -> bool:
    """Say whether a place is that of an operator that comes with flowrt."""
    return type(place.operation).__module__.startswith("flowrt.")


def position_within(pushed: Context, failed: Context, position: Any) -> Any:
    """Return where the message stood that entered a causality: the failed one's place in its list, or that of the list around."""
    home: Scope | None = failed.scope.home
    while home is not None and home is not pushed.scope.home:
        position = home.position
        home = home.parent.home if home.parent is not None else None
    return position


def _subscriber_error(hook: str, raised: BaseException) -> FlowError:
    error = FlowError(
        f"a subscriber of {hook} raised {describe(raised)}; the flow went on. Catch what it may raise inside it."
    )
    error.__cause__ = raised
    return error


def _gathering_home(scope: Scope) -> Scope | None:
    """Return the innermost scope around one of whose gathers can do without an item, and still waits."""
    for home in scope.lists_around():
        waiting = [place for place in home.gathers if place not in home.answered]
        if not home.cut_short and any(place.extras.on_missing != "fail" for place in waiting):
            return home
    return None


def stalled_error(run: RunBooks, explanation: object) -> FlowStalledError:
    """Say that a run has live messages that can never move, and who holds parts of it."""
    scopes = (run, *run.open_scopes)
    live = sum(scope.live for scope in scopes)
    are = "message is" if live == 1 else "messages are"
    held = {place.name for scope in scopes for place in scope.parts or ()}
    return FlowStalledError(
        f"run {run.number} cannot go on: {live} {are} live and nothing is ready, under way or waiting for time"
        + (f"; {', '.join(sorted(held))} hold parts" if held else "")
        + ". This is a bug in flowrt, or in an operation that keeps messages without holding them.",
        explanation,
    )
