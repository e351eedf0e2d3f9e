"""The n-th call of what users hand to the runtime raises: functions, keys, iterables, hooks of operations, subscribers.

For n = 1, 2, 3 ... until a run is untouched, once and from then on. Each of these errors reaches exactly one place: a run, a causality, the caller
or `close()`; what does not fail gives its result; the books balance; and the next input works as if nothing had been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Message, Operation, Run, Scatter
from flowrt.errors import FlowError, RunCancelledError
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from tests.kit import effort
from tests.kit.faulty import Injected, Plan, causes_of, numbers
from tests.kit.flows import Bench, few_modes, wire
from tests.kit.functions import SECONDS, increment, same

pytestmark = pytest.mark.no_cover


class Items:
    """An iterable of which the iterator can be closed."""

    def __init__(self, hooks: Hooks, upto: int) -> None:
        self._hooks = hooks
        self._numbers = iter(range(upto))

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self._hooks.hit("item")
        return next(self._numbers)

    def close(self) -> None:
        self._hooks.hit("closing an iterable")


class Keeper(Operation):
    """Holds what comes until its run has drained, and passes it on then."""

    def __init__(self, hooks: Hooks) -> None:
        super().__init__("keeper")
        self._hooks = hooks

    def create(self) -> list[Part]:
        self._hooks.hit("create")
        return []

    def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
        self._hooks.hit("handle")
        part = Part(message.data)
        state.append(part)
        emit.hold([part])

    def drained(self, state: list[Part], scope: Any, emit: Emitter) -> None:
        mine = [part for part in state if part.scope is scope]
        self._hooks.hit("drained")
        for part in mine:
            state.remove(part)
            emit.merge([part], part.data)

    def cancelled(self, state: list[Part], run: Any) -> None:
        state[:] = [part for part in state if part.scope is not None and part.scope.run is not run]
        self._hooks.hit("cancelled")


class Hooks:
    """Which of the users' calls is behind the plan."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.need_a_cancelled_run = name in HOOKS_OF_CANCELLING
        self._name = name
        self._plan = plan

    def hit(self, name: str) -> None:
        if name == self._name:
            self._plan.hit()

    def behind(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._plan.failing(function) if name == self._name else function

    def operations(self, bench: Bench) -> FlowOperationContainer:
        def generate(upto: int) -> Iterator[int]:
            for number in range(upto):
                self.hit("generator")
                yield number

        def act(number: int, emit: Callable[[int], None]) -> None:
            emit(number)
            self.hit("action")

        container = bench.operations(
            Scatter("scatter"),
            Gather("gather", ordered=True),
            Keeper(self),
            funcs={"work": self.behind("function", increment)},
            actions={"act": act},
            generators={"generate": generate, "open": self.behind("opening a generator", range)},
        )
        return container.add_func("keyed", same).make_parallel(2, by_key=self.behind("key", same))


SUBSCRIBERS = ("on_message", "on_result", "on_exception")
HOOKS_OF_CANCELLING = ("closing an iterable", "cancelled")
HOOKS = (
    "function",
    "action",
    "generator",
    "opening a generator",
    "key",
    "item",
    "create",
    "handle",
    "drained",
    *HOOKS_OF_CANCELLING,
    *SUBSCRIBERS,
)


def raise_anew(_message: Message) -> None:
    raise LookupError("refused")


class Told:
    """Where errors arrived."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.errors: list[BaseException] = []

    def call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except RunCancelledError:
            return None
        except (FlowError, Injected, ExceptionGroup) as error:
            self.errors += error.exceptions if isinstance(error, ExceptionGroup) else [error]
        return None

    def assert_each_once(self) -> None:
        by_cause = Counter(
            id(cause)
            for error in {id(error): error for error in self.errors}.values()
            for cause in causes_of(error)
            if isinstance(cause, Injected)
        )
        assert by_cause == Counter(map(id, self._plan.raised)), [repr(error) for error in self.errors]
        for error in self.errors:
            assert str(error)
            assert any(isinstance(cause, Injected) for cause in causes_of(error)), repr(error)


def flow_for(bench: Bench, hooks: Hooks) -> FlowRuntime:
    runtime = bench.make_runtime(name="users")
    runtime.add_operations(hooks.operations(bench))
    wire(
        runtime,
        ".in -> keyed -> act -> keeper -> .out",
        ".upto -> generate -> .out",
        ".upto -> open -> .out",
        ".list -> scatter",
        "scatter.stream -> .seen",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
    )
    return runtime


def live(runtime: FlowRuntime, hooks: Hooks, told: Told) -> None:
    """Send a bit of everything, and look at each run."""
    runs: list[Run | None] = [
        told.call(lambda: runtime.process_many(".in", Items(hooks, 4))),
        told.call(lambda: runtime.process(".upto", 3)),
        told.call(lambda: runtime.process(".list", Items(hooks, 3))),
        told.call(lambda: runtime.process(".in", 1)),
    ]
    for run in runs:
        look_at(run, told)
    if hooks.need_a_cancelled_run:
        endless = runtime.process(".list", Items(hooks, 10**9))
        endless.result(SECONDS)
        endless.cancel()
        look_at(endless, told)


def look_at(run: Run | None, told: Told) -> None:
    if run is not None:
        told.call(lambda: run.wait(SECONDS))
        told.errors += run.failures
        assert run.done
        assert run.ledger.balanced, run.ledger
        assert (run.ledger.live, run.ledger.held) == (0, 0), run.ledger


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("hook", effort.share(HOOKS, "hooks"))
@few_modes
def test_what_the_nth_call_of_a_hook_raises_reaches_one_place(
    bench: Bench, hook: str, persistent: bool
) -> None:
    if hook in HOOKS_OF_CANCELLING and bench.schedule == "sync":
        pytest.skip("whoever could cancel a run waits for it")
    for nth in numbers(6):
        plan = Plan(nth, persistent=persistent)
        hooks, told = Hooks(hook, plan), Told(plan)
        runtime = flow_for(bench, hooks)
        try:
            if hook in SUBSCRIBERS:
                getattr(runtime, hook)(plan.failing(lambda _: None))
            if hook == "on_exception":  # needs something to be told of
                runtime.on_result(raise_anew)
            live(runtime, hooks, told)
            plan.healed = True
            runtime.process(".list", [1, 2]).wait(SECONDS)
        finally:
            told.call(runtime.close)

        told.assert_each_once()
        if not plan.injected:
            break
    assert nth > 1, "the hook is never called: the case tests nothing"
