"""Finds an order of events under which a flow does not do what it should, and makes it as short as it gets."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen

from flowrt import users
from flowrt.engine.schedules import Schedule, ScheduleName
from flowrt.errors import FlowBuildError, FlowError, counted
from flowrt.messages import Message
from flowrt.testing.execution import checked_inputs, rehearse
from flowrt.testing.simulation import Simulation, as_told, check_faults

if TYPE_CHECKING:
    from flowrt.testing.execution import FlowOrMaker, Inputs, Rehearsal


Check = Callable[[list[Message]], object]
Errors = type[BaseException] | tuple[type[BaseException], ...]

SMALL = 6  # calls on workers: the orders of their beginnings and ends are at most 10,395 (1 · 3 · 5 · 7 · 9 · 11, if all may be under way at once)
MOST_ORDERS = 11_000  # to go through; where calls sleep, emit before they end or are made to fail there may be more than that
NOT_THE_SAME = (
    "the flow does not do the same in the same order of events: its functions keep something from one run to the next, or depend on time or "
    "chance. Give explore a function that makes the flow with new functions, and seed what is random."
)
# Of pytest and unittest: they say that a test is not to go on.
NO_FAILURES = {"Skipped", "SkipTest", "XFailed", "Exit"}
FIRST_STEPS = 200_000  # of the undisturbed order, some four seconds
STEPS_TO_SPARE = 10_000  # beyond twenty times those of the undisturbed order: past that a flow is taken to go round for ever
LONGER = 200  # steps beyond ten times those of the undisturbed order: past that time goes on beside a call, as with a Ticker, and would for ever
STEPS_SHOWN = 60  # arbitrary: a longer order nobody reads


@frozen
class Explored:
    """What `explore` has tried.

    Attributes:
        schedules: how many different orders of events.
        exhaustive: whether they include every order in which calls on workers can begin, emit and end while the engine keeps up with them and
            all inputs have come before. Orders in which it does not, or inputs come in between, are among those drawn.
        why: why they do not; "" if they do.
    """

    schedules: int
    exhaustive: bool
    why: str = field(default="", eq=False)


def explore(
    flow: FlowOrMaker,
    inputs: Inputs,
    check: Check,
    *,
    schedules: int = 300,
    seed: int = 0,
    replay: Mapping[int, int] | None = None,
    faults: int = 0,
    tolerate: Errors = (),
    schedule: ScheduleName | Callable[[], Schedule] = "breadth_first",
) -> Explored:
    """Run a flow in many orders of events, and raise what goes wrong in the shortest of those in which something does.

    The flow runs in a simulation: on this thread, in fake time, its modes and limits as declared. First in first out comes first; then, for a
    flow that hands at most six calls over to workers, every order in which they can begin, emit and end while the engine keeps up (up to 11,000
    of them); then orders drawn by hypothesis, as deviations from the first, in which anything may be late. A failing one is shrunk to as
    few deviations as possible.

    Args:
        flow: a `Flow`; or a function that makes one, for functions that keep something between calls.
        inputs: `(port, data)` each, or a `Message`; each starts a run of its own.
        check: is given the list of results (Messages, in order of arrival) and asserts what must hold in every order.
        schedules: how many orders to draw; 0 draws none, and needs no hypothesis.
        seed: of the drawing; the same one draws the same orders.
        replay: the deviations of one order to run instead, as printed with an error.
        faults: up to so many calls on workers are made to fail with `SimulatedError`, where the order says so.
        tolerate: types of errors that operations may raise without anybody in the flow taking them: those are no finding, and `check` is given the
            results all the same. With `faults`, usually `SimulatedError`.
        schedule: as for `FlowRuntime`.

    Raises:
        AssertionError: the one of `check` itself, with the order of events, the seed and what replays it as notes. Other errors of `check`,
            and what nobody in the flow took, likewise.
        FlowError: the flow does different things in the same order of events.
    """
    messages = checked_inputs(inputs)
    if not messages:
        raise FlowBuildError(
            "without inputs nothing happens that could be checked. Give explore a list of (port, data)."
        )
    tolerated = tolerate if isinstance(tolerate, tuple) else (tolerate,)
    trial = _Trial(flow, messages, check, check_faults(faults), tolerated, schedule, FIRST_STEPS)
    if not isinstance(schedules, int) or isinstance(schedules, bool) or schedules < 0:
        raise FlowBuildError(f"schedules says how many orders to draw, 0 or more; got {schedules!r}.")
    if replay is not None:
        return _replayed(trial, replay)
    if schedules:
        _hypothesis()  # before the search: it is wanted in any case, but where something is found
    widths: list[int] = []
    undisturbed = trial.run_chosen(partial(_first, widths))
    trial.raise_if(undisturbed, "undisturbed: first in, first out")
    if faults and not undisturbed.calls:
        raise FlowBuildError(
            "faults= makes calls on workers fail, and this flow has none: make the operations that are to fail async or parallel, or have them "
            "raise by Failing."
        )
    trial.most_steps = STEPS_TO_SPARE + 20 * len(undisturbed.trace)
    why = _search(trial, undisturbed)
    found = _drawn(trial, widths, schedules, seed) if schedules else None
    if found is not None:
        drawn = f"seed {seed}, order {trial.failed_at} of up to {schedules} drawn"
        _raise_shortest(trial, trial.run(found), drawn)
    return Explored(len(trial.orders), not why, why)


def _replayed(trial: _Trial, replay: Mapping[int, int]) -> Explored:
    """Run the one order that deviations say."""
    if not isinstance(replay, Mapping) or not all(
        isinstance(each, int) for pair in replay.items() for each in pair
    ):
        raise FlowBuildError(
            f"replay takes the deviations of an order, such as {{11: 2}}; got {type(replay).__name__}."
        )
    rehearsal = trial.run(replay)
    trial.raise_if(rehearsal, f"replayed: {dict(replay)}")
    if any(step >= len(rehearsal.trace) for step in replay):
        raise FlowBuildError(
            f"the replayed order has {len(rehearsal.trace)} steps, and replay={dict(replay)} deviates at a later one: these are deviations of "
            "another flow, or of other inputs. Explore anew."
        )
    return Explored(1, exhaustive=False, why="one order was replayed.")


def _search(trial: _Trial, undisturbed: Rehearsal) -> str:
    """Go through all orders of the calls; say why that was not possible, if it was not."""
    if undisturbed.calls > SMALL:
        return (
            f"{undisturbed.calls} calls were handed over to workers, and every order is gone through of {SMALL} at most. Give it fewer inputs, or "
            "make fewer operations async or parallel."
        )
    longest = LONGER + 10 * len(undisturbed.trace)
    for number, rehearsal in enumerate(_all_orders(trial), 1):
        if rehearsal.error is not None:
            _raise_shortest(trial, rehearsal, f"order {number} of an exhaustive search")
        if number >= MOST_ORDERS:
            return (
                f"there are {MOST_ORDERS} orders or more, which is the limit. Calls that take time, emit before they end or are made to fail "
                "have more than others: give it fewer inputs."
            )
        if len(rehearsal.trace) > longest:
            return (
                f"an order had {len(rehearsal.trace)} steps, since time goes on beside the calls, as with a Ticker: there is no end of orders. Leave "
                "out what asks to be woken again and again."
            )
    return ""


@define(eq=False)
class _Trial:
    """Runs the flow in one order after another, and checks what comes out."""

    flow: FlowOrMaker
    messages: list[Message]
    check: Check
    faults: int
    tolerate: tuple[type[BaseException], ...]
    schedule: ScheduleName | Callable[[], Schedule]
    most_steps: int
    orders: set[int] = Factory(set)  # hashes of traces
    drawn: int = 0
    failed_at: int = 0
    failed_with: type | None = None

    def run(self, deviations: Mapping[int, int]) -> Rehearsal:
        return self.run_chosen(partial(as_told, deviations))

    def run_chosen(self, choose: Callable[[int, int], int], *, eager: bool = False) -> Rehearsal:
        simulation = Simulation(choose, faults=self.faults, eager=eager, most_steps=self.most_steps)
        try:
            rehearsal = rehearse(self.flow, self.messages, simulation, self.schedule)
        except SystemExit as error:
            users.note(error, _order_text(simulation.trace))
            raise
        if rehearsal.error is not None and _is_tolerated(rehearsal.error, self.tolerate):
            rehearsal.error = None
        if rehearsal.error is None:
            try:
                _refuse_answer(self.check(rehearsal.messages))
            except (KeyboardInterrupt, SystemExit, GeneratorExit, FlowBuildError):
                raise
            except BaseException as error:  # pytest.fail raises no Exception
                if type(error).__name__ in NO_FAILURES:
                    raise
                rehearsal.error = error
        self.orders.add(hash(tuple(rehearsal.trace)))
        return rehearsal

    def fails(self, deviations: Mapping[int, int]) -> bool:
        self.drawn += 1
        error = self.run(deviations).error
        if error is None:
            return False
        if self.failed_with is None:
            self.failed_at, self.failed_with = self.drawn, type(error)
        return type(error) is self.failed_with  # what is shrunk stays the same failure

    def raise_if(self, rehearsal: Rehearsal, found: str) -> None:
        """Raise the error of a rehearsal, with how to come by it again."""
        error = rehearsal.error
        if error is None:
            return
        options = f", faults={self.faults}" if self.faults else ""
        if self.schedule != "breadth_first":
            options += f", schedule={getattr(self.schedule, '__name__', '') or repr(self.schedule)}"
        if self.tolerate:
            names = ", ".join(kind.__name__ for kind in self.tolerate)
            options += f", tolerate={names if len(self.tolerate) == 1 else f'({names})'}"
        users.note(error, _order_text(rehearsal.trace))
        users.note(error, found)
        users.note(
            error,
            f"replay it: explore(flow, inputs, check, replay={dict(sorted(rehearsal.deviations.items()))}{options})",
        )
        raise error


def _order_text(trace: Sequence[str]) -> str:
    steps = [name for name in trace if name != "engine"]
    more = f", and {len(steps) - STEPS_SHOWN} more" if len(steps) > STEPS_SHOWN else ""
    return f"in this order: {', '.join(steps[:STEPS_SHOWN])}{more}"


def _is_tolerated(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_tolerated(each, kinds) for each in error.exceptions)
    return isinstance(error, kinds) or (isinstance(error, FlowError) and isinstance(error.__cause__, kinds))


def _refuse_answer(answer: object) -> None:
    if isinstance(answer, bool):
        raise FlowBuildError(
            f"check says what must hold by asserting it; it returned {answer}, at which nobody looks. Write: assert ..."
        )


def _all_orders(trial: _Trial) -> Iterator[Rehearsal]:
    """Run every order in which the calls can begin, emit and end while the engine keeps up, depth first, each from the start."""
    path: list[int] = []
    while True:
        widths: list[int] = []
        yield trial.run_chosen(partial(_along, path, widths), eager=True)
        del path[len(widths) :]
        while path and path[-1] + 1 >= widths[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def _along(path: list[int], widths: list[int], _step: int, possibilities: int) -> int:
    """Choose as a path says, and the first possibility where it ends, which is then a part of it; write down how many there were."""
    if len(widths) == len(path):
        path.append(0)
    widths.append(possibilities)
    return path[len(widths) - 1]


def _first(widths: list[int], step: int, possibilities: int) -> int:
    """Choose the first possibility, and write down how many there were."""
    widths += [1] * (step - len(widths)) + [possibilities]
    return 0


def _drawn(trial: _Trial, widths: list[int], schedules: int, seed: int) -> Mapping[int, int] | None:
    """Have hypothesis draw deviations from an order with so many possibilities at each step; return some that fail, shrunk."""
    hypothesis = _hypothesis()
    some = hypothesis.strategies
    # What is late makes an order longer than the undisturbed one: as much again, with the same possibilities, is enough to draw from.
    choices = [(step, choice) for step, width in enumerate(widths + widths) for choice in range(1, width)]
    if not choices:
        return None
    deviations = some.lists(some.sampled_from(choices), unique_by=lambda each: each[0]).map(dict)
    checks = list(hypothesis.HealthCheck)
    settings = hypothesis.settings(
        max_examples=schedules, database=None, deadline=None, suppress_health_check=checks
    )
    rng = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    try:
        found: Mapping[int, int] = hypothesis.find(deviations, trial.fails, settings=settings, random=rng)
    except hypothesis.errors.NoSuchExample:
        return None
    except hypothesis.errors.Flaky as error:
        raise FlowError(NOT_THE_SAME) from error
    return found


def _hypothesis() -> Any:
    try:
        import hypothesis  # noqa: PLC0415 - only who explores needs it
        import hypothesis.strategies  # noqa: PLC0415
    except ImportError as error:
        raise FlowError(
            "explore draws orders of events with hypothesis, which is not installed: pip install hypothesis; or give schedules=0."
        ) from error
    return hypothesis


def _raise_shortest(trial: _Trial, failed: Rehearsal, found: str) -> None:
    shortest = _shortest(trial, dict(failed.deviations), type(failed.error))
    number = counted(len(shortest), "deviation")
    rehearsal = trial.run(shortest)
    if shortest:  # without any it is the undisturbed order, which had passed
        trial.raise_if(rehearsal, f"{found}; shrunk to {number} from first in, first out")
    raise FlowError(NOT_THE_SAME) from (rehearsal.error or failed.error)


def _shortest(trial: _Trial, deviations: dict[int, int], kind: type) -> dict[int, int]:
    """Leave out and lower deviations as long as the order still fails with that kind of error."""
    shrunk = True
    while shrunk:
        shrunk = False
        for step in sorted(deviations, reverse=True):
            fewer = {other: choice for other, choice in deviations.items() if other != step}
            lower = [{**deviations, step: choice} for choice in range(1, deviations[step])]
            for candidate in (fewer, *lower):
                if type(trial.run(candidate).error) is kind:
                    deviations = candidate
                    shrunk = True
                    break
    return deviations
