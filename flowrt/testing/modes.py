"""One flow in every mode and schedule: what comes out must not depend on where its operations run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from flowrt import users
from flowrt.engine.schedules import PARALLEL, SCHEDULES, ScheduleName
from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.flow.flow import Flow
from flowrt.messages import Message
from flowrt.operations.bodies import GeneratorBody
from flowrt.operations.declarations import Declaration
from flowrt.operations.modes import SYNC, Mode
from flowrt.testing.comparing import same, same_contents
from flowrt.testing.execution import checked_inputs, made, run_flow

if TYPE_CHECKING:
    from flowrt.testing.execution import FlowOrMaker, Inputs


SIMULATIONS = 10  # of modes whose order is open; arbitrary
TO_CALLER = "dispatched"
PARALLEL_CALLS = "parallel(4)"
MODE_NAMED: dict[str, Mode | None] = {
    "as declared": None,
    "sync": SYNC,
    "async": Mode("async"),
    TO_CALLER: None,  # to the thread that runs the flow, which waits for it and so makes the calls
    "parallel(4, ordered=True)": Mode("parallel", 4, ordered=True),
    PARALLEL_CALLS: Mode("parallel", 4),
}
CHARACTERS_SHOWN = 300  # of differing results; arbitrary


@frozen
class _Way:
    """One way to run the flow."""

    mode: str
    schedule: ScheduleName
    seed: int | None = None

    def __str__(self) -> str:
        simulated = "" if self.seed is None else f", simulated with seed {self.seed}"
        return f"{self.mode}, {self.schedule}{simulated}"


def assert_same_in_all_modes(
    flow: FlowOrMaker, inputs: Inputs, *, normal: Callable[[Any], Any] | None = None
) -> None:
    """Run a flow of pure operations in every mode and schedule there is, and compare the results.

    Every operation is run as declared, sync, async, dispatched to the calling thread, parallel with the order restored, and parallel, as far as
    it may be (operations that keep state are never made parallel, those with a timer stay where they are), under every schedule; the last
    also in a simulation. Compared is what the results carry, port by port; in order, where the flow promises one: where no streams merge, no
    source (generator or Scatter) is open to several inputs, all inputs have one priority, and no mode emits in order of completion.
    A timeout holds where a call can be given up: not on the thread of the engine or of a dispatcher.

    Args:
        flow: a `Flow`, or a function that makes one.
        inputs: `(port, data)` each, or a `Message`.
        normal: makes results comparable, such as `sorted` for lists of which only the contents matter.

    Raises:
        AssertionError: two ways to run it give different results; it names both.
        OperationError: what nobody in the flow took, run sync.
    """
    messages = checked_inputs(inputs)
    alike = len({message.priority for message in messages}) < 2
    keeps_order = alike and _keeps_order(made(flow), len(messages))
    expected: dict[str, list[Any]] = {}
    first = _Way("sync", "breadth_first")
    for way in _ways(first):
        results = _by_port(_run(flow, messages, way), normal or same)
        if way is first:
            expected = results
        ordered = keeps_order and not _emits_as_completed(way, made(flow))
        if not _alike(expected, results, ordered=ordered):
            raise AssertionError(_differ(first, expected, way, results))


def _ways(first: _Way) -> Iterator[_Way]:
    yield first
    for mode in MODE_NAMED:
        for schedule in SCHEDULES:
            # Where all is handed to workers, nothing is left to share out.
            differs = schedule != PARALLEL or mode in ("as declared", "sync")
            if differs and (mode, schedule) != (first.mode, first.schedule):
                yield _Way(mode, schedule)
    for seed in range(SIMULATIONS):
        yield _Way(PARALLEL_CALLS, first.schedule, seed)


def _run(flow: FlowOrMaker, messages: list[Message], way: _Way) -> list[Message]:
    mode = Mode(dispatcher=MainThreadDispatcher()) if way.mode == TO_CALLER else MODE_NAMED[way.mode]
    variant = with_mode(made(flow), mode)
    try:
        return run_flow(variant, messages, schedule=way.schedule, seed=way.seed)
    except Exception as error:
        users.note(error, f"the flow ran {way}")
        raise


def with_mode(flow: Flow, mode: Mode | None) -> Flow:
    """Return a copy of a flow whose operations, as far as they may, run in a mode; None: as declared."""
    made: dict[Flow, Flow] = {}

    def copy_of(flow: Flow) -> Flow:
        known = made.get(flow)
        if known is None:
            known = made[flow] = Flow(flow.name)
            streams, operations, flows, remarks = flow.contents()
            changed = {name: _in_mode(each, mode) for name, each in operations.items()}
            known.reset((streams, changed, {name: copy_of(each) for name, each in flows.items()}, remarks))
        return known

    return copy_of(flow)


def _in_mode(declaration: Declaration, mode: Mode | None) -> Declaration:
    if mode is None or declaration.extras.on_the_engine:
        return declaration
    if declaration.stateful and mode.kind == "parallel":
        mode = Mode("async")
    policies = declaration.policies
    if mode.kind == "sync":  # there no call can be given up
        policies = evolve(policies, timeout=None)
    return evolve(declaration, mode=mode, policies=policies)


def _flows_of(flow: Flow) -> list[Flow]:
    found = [flow]
    for known in found:
        found += [each for each in known.flows if each not in found]
    return found


def _keeps_order(flow: Flow, inputs: int) -> bool:
    """Say whether results at one port come in the order of the inputs, in every mode that keeps the order of one operation."""
    entered: set[object] = set()
    for each in _flows_of(flow):
        for declaration in each.operations:
            if inputs > 1 and (declaration.bracket > 0 or isinstance(declaration.body, GeneratorBody)):
                return False
        for stream in each.streams:
            key = (id(each), stream.target.key)
            if key in entered:
                return False
            entered.add(key)
    return True


def _emits_as_completed(way: _Way, flow: Flow) -> bool:
    mode = SYNC if way.mode == TO_CALLER else MODE_NAMED[way.mode]
    modes = [mode] if mode is not None else [d.mode for each in _flows_of(flow) for d in each.operations]
    return any(mode.kind == "parallel" and not mode.ordered for mode in modes)


def _by_port(messages: list[Message], normal: Callable[[Any], Any]) -> dict[str, list[Any]]:
    ports: dict[str, list[Any]] = {}
    for message in messages:
        ports.setdefault(message.port.fullname, []).append(normal(message.data))
    return ports


def _alike(expected: dict[str, list[Any]], results: dict[str, list[Any]], *, ordered: bool) -> bool:
    if ordered:
        return expected == results
    return expected.keys() == results.keys() and all(
        same_contents(expected[port], results[port]) for port in expected
    )


def _differ(first: _Way, expected: dict[str, list[Any]], way: _Way, results: dict[str, list[Any]]) -> str:
    texts = [repr(results) for results in (expected, results)]
    known, found = [text[:CHARACTERS_SHOWN] + "…" * (len(text) > CHARACTERS_SHOWN) for text in texts]
    return (
        f"the results depend on where and when operations run.\n  {first}: {known}\n  {way}: {found}\n"
        "Lists in another order come of an unordered Gather: Gather(ordered=True), or normal=sorted if their order does not matter. Else look "
        "for a function that keeps something between calls."
    )
