"""Depth-first fusion: consecutive one-to-one functions as one function over a chunk, a call a line.

    def fused(data, results, f0, f1, f2):
        for x0 in data:
            x1 = f0(x0)
            x2 = f1(x1)
            results.append(f2(x2))

Where a call raises, the number of the line says which it was, and the local of that number what it was given, at no cost to the others. One such
function is compiled per number of calls.

Many messages go through at once where nobody can see the difference: what follows is a result port, and nobody takes each result as it comes; or
what follows is an operation that will only keep them (a gather whose list is not complete before the last of them), to which they go at once.
Else they go singly. Under a tap or a throttle nothing is fused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from flowrt.batches import may_keep
from flowrt.bodies import SLICE, FunctionBody
from flowrt.handover import QUANTUM
from flowrt.messages import Chunk, message_of

if TYPE_CHECKING:
    from flowrt.batches import Batches
    from flowrt.clock import Clock
    from flowrt.failures import Failures
    from flowrt.places import OperationPlace
    from flowrt.routes import Handler, Route, Routes
    from flowrt.schedules import DepthFirst, StreamKey
    from flowrt.traffic import Traffic

LONGEST = 64  # calls in one function; a longer chain goes on with another
FIRST_CALL = 3  # the line of the first call

Fused = Callable[..., None]


class Chain:
    """Consecutive places of one-to-one functions.

    Attributes:
        inner: the streams between the places, and the one to the keeper.
        ends: nothing follows but result ports.
        keeper: what follows instead, where it may be one that only keeps messages.
    """

    __slots__ = ("call", "ends", "functions", "inner", "keeper", "places", "routes")

    def __init__(
        self, places: tuple[OperationPlace, ...], routes: tuple[Route, ...], inner: tuple[StreamKey, ...]
    ) -> None:
        self.places = places
        self.routes = routes
        last = routes[-1]
        targets = last.targets
        self.ends = bool(targets) and all(target.place is None for target in targets)
        self.keeper: Handler | None = targets[0] if len(targets) == 1 and may_keep(targets[0]) else None
        self.inner = inner if self.keeper is None else (*inner, (last, self.keeper))
        self.functions: tuple[Callable[[Any], Any], ...] = tuple(
            each.declaration.body.function  # type: ignore[attr-defined]
            for each in places
        )
        self.call = _fused(len(places))

    @property
    def name(self) -> str:
        """The names of its operations, for whoever asks what the engine is doing."""
        return " → ".join(place.name for place in self.places)


class Fusion:
    """Takes chunks through chains.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, failures: Failures, batches: Batches, clock: Clock) -> None:
        self._traffic = traffic
        self._failures = failures
        self._batches = batches
        self._clock = clock

    def chain_of(self, place: OperationPlace) -> Chain | None:
        """Return the chain that begins at a place; None if fusing gains nothing there."""
        if not is_lean(place):
            return None
        if place.chain is None:
            place.chain = _chain_from(place, self._traffic.routes)
        chain: Chain = place.chain
        return chain if chain.ends or chain.keeper is not None or len(chain.places) > 1 else None

    def take(self, chain: Chain, chunk: Chunk, schedule: DepthFirst, *, singly: bool) -> bool:
        """Perform a chunk's messages, for about a millisecond or up to the first that fails; give the rest back.

        Returns: whether it was done; not if something waits on a stream inside the chain, which goes first.
        """
        if schedule.waits_on(chunk.priority, chain.inner):
            return False
        first, kept = chain.places[0], self._is_kept(chain, chunk)
        quota = first.pace.quota(len(chunk.data)) if kept or (chain.ends and not singly) else 1
        if quota < len(chunk.data):
            head = chunk.cut(quota)
            schedule.put_back(chunk)
            chunk = head
        results: list[Any] = []
        started = self._clock.now()
        raised = self._call(chain, chunk.data, results, started + QUANTUM)
        busy = self._clock.now() - started
        done = len(results)
        first.pace.took(done + (raised is not None), busy)
        self._count(chain, done, busy)
        head, failed = chunk, None
        if done < len(chunk.data):
            head = chunk.cut(done)
            failed = chunk.cut(1) if raised is not None else None
            if chunk.data:
                schedule.put_back(chunk)
        self._pass_on(chain, head, results, kept=kept)
        if failed is not None and raised is not None:
            self._fail(chain, failed, raised)
        return True

    def _is_kept(self, chain: Chain, chunk: Chunk) -> bool:
        """Say whether all that comes of a chunk will only be kept by what follows."""
        keeper = chain.keeper
        return keeper is not None and self._batches.only_keeps(keeper, chunk.context, len(chunk.data))

    def _call(self, chain: Chain, data: list[Any], results: list[Any], until: float) -> BaseException | None:
        call, functions = chain.call, chain.functions
        try:
            for start in range(0, len(data), SLICE):
                call(data[start : start + SLICE], results, *functions)
                if self._clock.now() > until:
                    break
        except BaseException as error:
            return error
        return None

    def _count(self, chain: Chain, messages: int, busy: float) -> None:
        share = busy / len(chain.places)
        for place in chain.places:
            place.meter.calls += messages
            place.meter.busy += share

    def _pass_on(self, chain: Chain, chunk: Chunk, results: list[Any], *, kept: bool) -> None:
        if not results:
            return
        trail = chunk.trail
        for route in chain.routes[:-1]:
            trail = trail.step(route)
        last = chain.routes[-1]
        if not kept or chain.keeper is None:
            self._traffic.emit(last, results, chunk.context, chunk.positions, trail)
            return
        chunk.handler, chunk.data, chunk.trail = chain.keeper, results, trail.step(last)
        self._batches.take(chunk)

    def _fail(self, chain: Chain, chunk: Chunk, raised: BaseException) -> None:
        """Fail the one message of a chunk at the place whose line raised; it has passed those before."""
        trace = raised.__traceback__
        while trace is not None and trace.tb_frame.f_code is not chain.call.__code__:
            trace = trace.tb_next
        if trace is None:
            raise AssertionError("unreachable: it was raised inside the fused function") from raised
        stage = trace.tb_lineno - FIRST_CALL
        value = trace.tb_frame.f_locals[f"x{stage}"]
        if trace.tb_next is not None:  # without the frames of flowrt
            BaseException.with_traceback(raised, trace.tb_next)
        for passed, place in enumerate(chain.places[: stage + 1]):
            place.meter.calls += 1
            if passed:
                chunk.trail = chunk.trail.step(chain.routes[passed - 1])
        if stage:
            chunk.handler = chain.routes[stage - 1].targets[0]
        chunk.data = [value]
        context, position = chunk.context_at(0), chunk.positions[0]
        self._failures.fail(chain.places[stage], message_of(chunk, 0), context, position, chunk.trail, raised)


def is_lean(place: OperationPlace) -> bool:
    """Say whether a place is that of a function on the engine's thread, with one result a message."""
    declaration = place.declaration
    return type(declaration.body) is FunctionBody and declaration.out_ports == ("",) and not place.handed_over


def _chain_from(place: OperationPlace, routes: Routes) -> Chain:
    places = [place]
    outs = [routes.out(place, "")]
    inner: list[StreamKey] = []
    while len(places) < LONGEST:
        targets = outs[-1].targets
        if len(targets) != 1 or targets[0].dead:
            break
        following = targets[0].place
        if following is None or following.executor is None or not is_lean(following) or following in places:
            break
        inner.append((outs[-1], targets[0]))
        places.append(following)
        outs.append(routes.out(following, ""))
    return Chain(tuple(places), tuple(outs), tuple(inner))


@cache
def _fused(calls: int) -> Fused:
    """Make a function that makes so many calls, one behind the other, for each item."""
    parameters = ", ".join(f"f{number}" for number in range(calls))
    lines = [f"def fused(data, results, {parameters}):", " for x0 in data:"]
    lines += [f"  x{number + 1} = f{number}(x{number})" for number in range(calls - 1)]
    lines.append(f"  results.append(f{calls - 1}(x{calls - 1}))")
    made: dict[str, Any] = {}
    exec(compile("\n".join(lines), "<fused operations>", "exec"), made)  # noqa: S102 - nothing in it comes from outside
    fused: Fused = made["fused"]
    return fused
