"""Depth-first fusion: consecutive one-to-one functions as one function over a chunk, a call a line.

    def fused(data, append, f0, f1, f2):
        for x0 in data:
            x1 = f0(x0)
            x2 = f1(x1)
            append(f2(x2))

Where a call raises, the number of the line says which it was, and the local of that number what it was given, at no cost to the others. One such
function is compiled per number of calls. Under a tap or a throttle nothing is fused; where something but a result port follows, or somebody
takes each result as it comes, messages go through singly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from flowrt.bodies import SLICE, FunctionBody
from flowrt.handover import QUANTUM
from flowrt.messages import Chunk, message_of

if TYPE_CHECKING:
    from flowrt.clock import Clock
    from flowrt.failures import Failures
    from flowrt.places import OperationPlace
    from flowrt.routes import Route, Routes
    from flowrt.schedules import DepthFirst, StreamKey
    from flowrt.traffic import Traffic

LONGEST = 64  # calls in one function; a longer chain goes on with another
FIRST_CALL = 3  # the line of the first call

Fused = Callable[..., None]


class Chain:
    """Consecutive places of one-to-one functions.

    Attributes:
        ends: nothing follows but result ports: messages need not go singly.
        inner: the streams between the places.
    """

    __slots__ = ("call", "ends", "functions", "inner", "places", "routes")

    def __init__(
        self,
        places: tuple[OperationPlace, ...],
        routes: tuple[Route, ...],
        inner: tuple[StreamKey, ...],
        functions: tuple[Callable[[Any], Any], ...],
        call: Fused,
        *,
        ends: bool,
    ) -> None:
        self.places = places
        self.routes = routes
        self.inner = inner
        self.functions = functions
        self.call = call
        self.ends = ends

    @property
    def name(self) -> str:
        """The names of its operations, for whoever asks what the engine is doing."""
        return " → ".join(place.name for place in self.places)


class Fusion:
    """Takes chunks through chains.

    Called on: the engine's thread.
    """

    def __init__(self, traffic: Traffic, failures: Failures, clock: Clock) -> None:
        self._traffic = traffic
        self._failures = failures
        self._clock = clock

    def chain_of(self, place: OperationPlace) -> Chain | None:
        """Return the chain that begins at a place; None if fusing gains nothing there."""
        if not is_lean(place):
            return None
        if place.chain is None:
            place.chain = _chain_from(place, self._traffic.routes)
        chain: Chain = place.chain
        return chain if chain.ends or len(chain.places) > 1 else None

    def take(self, chain: Chain, chunk: Chunk, schedule: DepthFirst, *, singly: bool) -> bool:
        """Perform a chunk's messages, for about a millisecond or up to the first that fails; give the rest back.

        Returns: whether it was done; not if something waits on a stream inside the chain, which goes first.
        """
        if schedule.waits_on(chunk.priority, chain.inner):
            return False
        first = chain.places[0]
        quota = 1 if singly or not chain.ends else first.pace.quota(len(chunk.data))
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
        self._pass_on(chain, head, results)
        if failed is not None and raised is not None:
            self._fail(chain, failed, raised)
        return True

    def _call(self, chain: Chain, data: list[Any], results: list[Any], until: float) -> BaseException | None:
        call, functions, append = chain.call, chain.functions, results.append
        try:
            for start in range(0, len(data), SLICE):
                call(data[start : start + SLICE], append, *functions)
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

    def _pass_on(self, chain: Chain, chunk: Chunk, results: list[Any]) -> None:
        if not results:
            return
        for route in chain.routes[:-1]:
            chunk.trail = chunk.trail.step(route)
        self._traffic.emit(chain.routes[-1], results, chunk.context, chunk.positions, chunk.trail)

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
    ends = bool(outs[-1].targets) and all(target.place is None for target in outs[-1].targets)
    functions = tuple(each.declaration.body.function for each in places)  # type: ignore[attr-defined]
    return Chain(tuple(places), tuple(outs), tuple(inner), functions, _fused(len(places)), ends=ends)


@cache
def _fused(calls: int) -> Fused:
    """Make a function that makes so many calls, one behind the other, for each item."""
    parameters = ", ".join(f"f{number}" for number in range(calls))
    lines = [f"def fused(data, append, {parameters}):", " for x0 in data:"]
    lines += [f"  x{number + 1} = f{number}(x{number})" for number in range(calls - 1)]
    lines.append(f"  append(f{calls - 1}(x{calls - 1}))")
    made: dict[str, Any] = {}
    exec(compile("\n".join(lines), "<fused operations>", "exec"), made)  # noqa: S102 - nothing in it comes from outside
    fused: Fused = made["fused"]
    return fused
