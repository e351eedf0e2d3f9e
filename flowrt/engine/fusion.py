"""Depth-first fusion: consecutive one-to-one functions as one function over a chunk, a call a line.

    def fused(data, results, f0, f1, f2):
        for x0 in data:
            x1 = f0(x0)
            x2 = f1(x1)
            results.append(f2(x2))

Where a call raises, the number of the line says which it was, and the local of that number what it was given, at no cost to the others. One such
function is compiled per number of calls, and of these to look at: `type(x1) in finished or look_at(x1)` follows on the line of a call that may
return a generator, or what waits to be awaited.

Many messages go through at once where nobody can see the difference: what follows is a result port, and nobody takes each result as it comes; or
what follows is an operation that will only keep them (a gather whose list is not complete before the last of them), to which they go at once.
Else they go singly. Under a tap or a throttle nothing is fused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from flowrt import users
from flowrt.engine.acts import may_keep
from flowrt.engine.chunks import Chunk, message_of, variables_of
from flowrt.engine.meters import QUANTUM, shared_meter
from flowrt.engine.schedules import DepthFirst
from flowrt.messages import CHUNK_SIZE
from flowrt.operations.bodies import SLICE, FunctionBody
from flowrt.operations.unfinished import FINISHED, is_unfinished
from flowrt.operations.variables import beyond_ours, seeing

if TYPE_CHECKING:
    from types import TracebackType

    from flowrt.clock import Clock
    from flowrt.engine.acts import Acts
    from flowrt.engine.contract import Host
    from flowrt.engine.meters import Meter
    from flowrt.engine.outcomes import Outcomes
    from flowrt.engine.places import Handler, Place, Route
    from flowrt.engine.routes import Routes
    from flowrt.engine.schedules import StreamKey
    from flowrt.engine.sources import OpenSource
    from flowrt.engine.traffic import Contexts, Traffic
    from flowrt.messages import Trail
    from flowrt.operations.variables import Variables


LONGEST_CHAIN = 64  # calls in one function; a longer chain goes on with another
LONGEST_SLICE = 4 * SLICE  # items between two looks at the clock, while they are quick
FUSED = "<fused operations>"  # where tracebacks say that their code is
FIRST_CALL = 3  # the line of the first call

Fused = Callable[..., None]


class Chain:
    """Consecutive places of one-to-one functions."""

    def __init__(
        self, places: tuple[Place, ...], routes: tuple[Route, ...], inner: tuple[StreamKey, ...]
    ) -> None:
        self.places = places
        self.routes = routes
        last = routes[-1]
        targets = last.targets
        # Nothing follows but result ports, or just one; or what may only keep messages, or just one of these.
        self.ends: bool = bool(targets) and all(target.place is None for target in targets)
        alone = targets[0] if len(targets) == 1 else None
        self.exit: Handler | None = alone if self.ends and alone is not None and not alone.dead else None
        self.keepers: tuple[Handler] | tuple[Handler, ...] | tuple[()] = (
            targets if all(may_keep(target) for target in targets) else ()
        )
        self.keeper: Handler | None = alone if self.keepers else None
        # The streams between the places, and those to the keepers.
        self.inner: tuple[StreamKey | tuple[Route, Handler], ...] = (
            *inner,
            *((last, keeper) for keeper in self.keepers),
        )
        bodies: list[Any] = [place.declaration.body for place in places]
        self.functions: tuple[Callable[[Any], Any], ...] = tuple(body.function for body in bodies)
        self.call: Fused = _fused(tuple(body.looked_at for body in bodies))
        self.calling: bool = any(body.calls for body in bodies)
        self.meter: Meter = shared_meter(tuple(place.meter for place in places))
        # A way that came, and how it goes on inside; most are the same as the last.
        self.passed: tuple[Trail, Trail] | None = None

    @property
    def name(self) -> str:
        """The names of its operations, for whoever asks what the engine is doing."""
        return " -> ".join(place.name for place in self.places)

    def trail(self, came: Trail) -> Trail:
        """Return the way to the last place of one that came to the first."""
        if self.passed is None or self.passed[0] is not came:
            trail = came
            for route in self.routes[:-1]:
                trail = trail.step(route)
            self.passed = came, trail
        return self.passed[1]


class Fusion:
    """Takes messages through chains, where nobody watches.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, acts: Acts, outcomes: Outcomes, clock: Clock, host: Host) -> None:
        self._traffic = traffic
        self._failures = traffic.failures
        self._acts = acts
        self._outcomes = outcomes
        self._clock = clock
        self._host = host
        self._depth_first = traffic.schedule if type(traffic.schedule) is DepthFirst else None
        self.in_work: Chain | None = None  # whose functions are being called
        self.began: float = 0.0  # since when, or when they were called last

    # -- chunks

    def at_once(self, chunk: Chunk) -> bool:
        """Say whether a chunk may go whole to its place though messages are taken singly: nothing comes of it before the last."""
        handler = chunk.handler
        if handler.place is None:  # results: nothing comes of them
            return True
        if self._depth_first is None:
            return False
        return handler.place.handed_over or self._acts.only_keeps(handler, chunk.context, len(chunk.data))

    def take(self, chunk: Chunk) -> bool:
        """Perform a chunk's messages, for about a millisecond or up to the first that fails; give the rest back.

        Returns: whether it was done. It is not breadth-first, and not if something waits on a stream inside the chain, which goes first.
        """
        schedule, place = self._depth_first, chunk.handler.place
        if schedule is None or place is None:
            return False
        chain = self.chain_of(place)
        if chain is None or schedule.waits_on(chunk.priority, chain.inner):
            return False
        if self._traffic.books.cut_short and not chunk.leave_out_ended():
            return True
        messages = len(chunk.data)
        kept = self._only_kept(chain, chunk.context, messages)
        if messages > 1:
            at_once = kept or (chain.ends and not self._host.delivers_singly())
            quota = place.pace.quota(messages) if at_once else 1
            if quota < messages:
                head = chunk.cut(quota)
                schedule.put_back(chunk)
                chunk = head
        variables = variables_of(chunk) if chain.calling else None
        results, raised = self._call(chain, chunk.data, 0, len(chunk.data), variables)
        head, failed = chunk, None
        if len(results) < len(chunk.data):
            head = chunk.cut(len(results))
            failed = chunk.cut(1) if raised is not None else None
            if chunk.data:
                schedule.put_back(chunk)
        if results:
            self._pass_on(chain, head, results, kept=kept)
        if failed is not None and raised is not None:
            self._fail(chain, failed, raised)
        return True

    # -- sources

    def pull(self, source: OpenSource, most: int) -> None:
        """Let up to so many items of a list in memory go straight to where they are kept or leave, if their calls are known to be quick.

        For about a millisecond, or until the engine is wanted: nothing waits while a source is pulled. They are never live together, so that
        there is room for all. Breadth-first that is done only where one function makes the order the same.
        """
        route = self._traffic.routes.out(source.place, source.stream or "")
        place = route.targets[0].place if len(route.targets) == 1 else None
        chain = self.chain_of(place) if place is not None else None
        if place is None or chain is None or (self._depth_first is None and len(chain.places) > 1):
            return
        items: Sequence[Any] = source.items  # type: ignore[assignment]
        if len(items) <= SLICE:
            items = items[:]  # its owner may change it meanwhile
        first = source.given
        most = min(most, len(items) - first)
        if place.pace.quota(most) < min(most, CHUNK_SIZE):
            return
        kept = chain.keeper is not None and self._only_kept(chain, source.context, most)
        if not kept and (self._depth_first is None or not chain.ends or self._host.delivers_singly()):
            return
        results, raised = self._call(chain, items, first, first + most, source.scope.run.variables)
        done = first + len(results)
        source.given = done + (raised is not None)
        self._traffic.books.born(source.scope, source.given - first, source.place.name)
        handler, trail = route.targets[0], source.trail.step(route)
        if results:
            chunk = Chunk(handler, results, source.context, range(first, done), trail)
            self._pass_on(chain, chunk, results, kept=kept)
        if raised is not None:
            failed = Chunk(handler, [None], source.context, range(done, done + 1), trail)
            self._fail(chain, failed, raised)

    # -- both

    def chain_of(self, place: Place) -> Chain | None:
        """Return the chain that begins at a place; None if fusing gains nothing there."""
        if place.chain is None:
            place.chain = (_chain_from(place, self._traffic.routes),)
        chain: Chain | None = place.chain[0]
        return chain

    def _only_kept(self, chain: Chain, contexts: Contexts, messages: int) -> bool:
        """Say whether all that comes of messages will only be kept by what follows."""
        keepers = chain.keepers
        return bool(keepers) and all(self._acts.only_keeps(each, contexts, messages) for each in keepers)

    def _call(
        self, chain: Chain, items: Sequence[Any], first: int, end: int, variables: Variables
    ) -> tuple[list[Any], BaseException | None]:
        """Call the functions with items from `first` to `end`; return what came of them up to the first that failed, and why it did."""
        results: list[Any] = []
        functions = chain.functions
        if variables is not None and chain.calling:
            functions = tuple(seeing(function, variables, results) for function in functions)
        raised: BaseException | None = None
        now = self._clock.now
        self.in_work = chain
        started = self.began = now()
        try:
            if end - first == len(items) <= SLICE:
                chain.call(items, results, *functions)
            else:
                self._call_sliced(chain.call, functions, items, first, end, results, started)
        except BaseException as error:
            if _stage(chain, error) is None or len(results) == end - first:  # an interrupt, between two calls
                raise
            raised = error
        finally:
            self.in_work = None
        done, busy = len(results), now() - started
        pace, meter = chain.places[0].pace, chain.meter
        if done > 1 or raised is not None or busy > pace.estimate:  # one that is quicker shows little
            pace.took(done + (raised is not None), busy)
        meter.calls += done
        meter.busy += busy / len(chain.functions)
        return results, raised

    def _call_sliced(
        self,
        call: Fused,
        functions: tuple[Callable[[Any], Any], ...],
        items: Sequence[Any],
        first: int,
        end: int,
        results: list[Any],
        started: float,
    ) -> None:
        now = self._clock.now
        start, size, time = first, SLICE, started
        while start < end:
            call(items[start : min(start + size, end)], results, *functions)
            start += size
            before, time = time, now()
            if time - started > QUANTUM or (start - first >= CHUNK_SIZE and self._host.is_wanted()):
                return
            size = min(size * 2, LONGEST_SLICE) if time - before < QUANTUM / 16 else SLICE

    def _pass_on(self, chain: Chain, chunk: Chunk, results: list[Any], *, kept: bool) -> None:
        trail = chain.trail(chunk.trail)
        last = chain.routes[-1]
        follower = chain.keeper if kept else chain.exit
        if follower is None:  # several, or what is to go on by its turn
            self._traffic.emit(last, results, chunk.context, chunk.positions, trail)
            return
        chunk.handler, chunk.data, chunk.trail = follower, results, trail.step(last)
        if kept:
            self._acts.take(chunk)
        else:
            self._traffic.leave(chunk)

    def _fail(self, chain: Chain, chunk: Chunk, raised: BaseException) -> None:
        """Fail the one message of a chunk at the place whose line raised; it has passed those before."""
        stage, trace = _stage(chain, raised) or (0, None)
        value = trace.tb_frame.f_locals[f"x{stage}"] if trace is not None else None
        if trace is not None and trace.tb_next is not None:  # without the frames of flowrt
            BaseException.with_traceback(raised, beyond_ours(trace))
        for passed, place in enumerate(chain.places[: stage + 1]):
            place.meter.calls += 1
            if passed:
                chunk.trail = chunk.trail.step(chain.routes[passed - 1])
        if stage:
            chunk.handler = chain.routes[stage - 1].targets[0]
        chunk.data = [value]
        if type(raised) is _Unfinished:
            message = message_of(chunk, 0)
            self._outcomes.take_unfinished(chain.places[stage], message, chunk.trail, raised.found)
        elif not chunk.context_at(
            0
        ).scope.run.ended:  # the results before it may have overloaded what keeps them
            self._failures.fail(chain.places[stage], message_of(chunk, 0), chunk.trail, raised)


def _stage(chain: Chain, raised: BaseException) -> tuple[int, TracebackType] | None:
    """Return which call raised, and where in the traceback it was made; None if it was none."""
    trace = users.traceback_of(raised)
    while trace is not None and trace.tb_frame.f_code is not chain.call.__code__:
        trace = trace.tb_next
    if trace is None or trace.tb_lineno < FIRST_CALL:
        return None
    return trace.tb_lineno - FIRST_CALL, trace


def _is_lean(place: Place) -> bool:
    """Say whether a place is that of a function on the engine's thread, with one result a message."""
    declaration = place.declaration
    return (
        type(declaration.body) is FunctionBody
        and declaration.out_ports == ("",)
        and not (place.handed_over or place.guard)
    )


def _chain_from(place: Place, routes: Routes) -> Chain | None:
    if not _is_lean(place):
        return None
    places = [place]
    outs = [routes.out(place, "")]
    inner: list[StreamKey] = []
    while len(places) < LONGEST_CHAIN:
        targets = outs[-1].targets
        if len(targets) != 1 or targets[0].dead:
            break
        following = targets[0].place
        if following is None or following.executor is None or not _is_lean(following) or following in places:
            break
        inner.append((outs[-1], targets[0]))
        places.append(following)
        outs.append(routes.out(following, ""))
    chain = Chain(tuple(places), tuple(outs), tuple(inner))
    return chain if chain.ends or chain.keepers or len(places) > 1 else None


class _Unfinished(Exception):  # noqa: N818 - it leaves the loop, and is no error
    """A call returned a generator, or what waits to be awaited."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


def _look_at(found: Any) -> None:
    if is_unfinished(found):
        raise _Unfinished(found)


@cache
def _fused(looked_at: tuple[bool, ...]) -> Fused:
    """Make a function that makes so many calls, one behind the other, for each item; it looks at the results of some."""
    parameters = ", ".join(f"f{number}" for number in range(len(looked_at)))
    lines = [f"def fused(data, results, {parameters}):", " for x0 in data:"]
    for number, look in enumerate(looked_at):
        result = f"x{number + 1}"
        check = f"; type({result}) in finished or look_at({result})" if look else ""
        lines.append(f"  {result} = f{number}(x{number}){check}")
    last = len(looked_at)
    if looked_at[-1]:
        lines[-1] += f"; results.append(x{last})"
    else:
        lines[-1] = f"  results.append(f{last - 1}(x{last - 1}))"
    made: dict[str, Any] = {"CALLS_OPERATIONS": {}, "finished": FINISHED, "look_at": _look_at}
    exec(compile("\n".join(lines), FUSED, "exec"), made)  # noqa: S102 - nothing in it comes from outside
    fused: Fused = made["fused"]
    return fused
