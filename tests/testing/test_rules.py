"""What comes with flowrt keeps the rules that it asks of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Emit, FlowOperationContainer, FlowRuntime, Message
from flowrt.executors.inline import InlineExecutor
from flowrt.executors.pools import ExecutorPools
from flowrt.executors.seams import Seams
from flowrt.executors.threads import ThreadPool
from flowrt.standard import Gather, PopCausality, PushCausality, Scatter
from flowrt.testing import simulated
from flowrt.testing.rules import check_executor, check_operation

SEEDS = range(6)


def inline(
    _name: str, seams: Seams, reports: Any, _post: Any, _crash: Any, *, parallelism: bool
) -> ExecutorPools:
    def no_pool(_name: str, _workers: int) -> Any:
        raise AssertionError("nothing is parallel here")

    assert parallelism
    return ExecutorPools(InlineExecutor(reports, seams.clock), no_pool, parallelism=False)


# --- executors


def test_threads_keep_the_rules() -> None:
    check_executor(Seams)


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", SEEDS)
def test_the_simulated_executor_keeps_the_rules(seed: int) -> None:
    check_executor(lambda: simulated(seed))


def test_the_simulated_executor_keeps_the_rules_first_in_first_out() -> None:
    check_executor(lambda: simulated(deviations={}))


# From 15 on: an executor that kept a call whose group had been looked at whole.
@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [1, 15, 19, 20, 25])
def test_the_simulated_executor_keeps_the_rules_when_it_takes_groups(seed: int) -> None:
    check_executor(lambda: simulated(seed, group=3))


def test_the_inline_executor_keeps_the_rules() -> None:
    check_executor(lambda: Seams(executors=inline))


class Bare:
    """Has what is asked of every executor, and does not derive from the contract."""

    def __init__(self, pool: ThreadPool) -> None:
        names = "submit pull unreported in_work thread_idents abandon hurry stop given_up join"
        for name in names.split():
            setattr(self, name, getattr(pool, name))


def test_an_executor_that_does_not_derive_from_the_contract_may_lack_what_only_some_have() -> None:
    def bare(
        name: str, seams: Seams, reports: Any, post: Any, crash: Any, *, parallelism: bool
    ) -> ExecutorPools:
        def make(pool: str, workers: int) -> Any:
            return Bare(ThreadPool(f"{name}/{pool}", workers, seams, reports, post, crash))

        return ExecutorPools(InlineExecutor(reports, seams.clock), make, parallelism=parallelism)

    operations = FlowOperationContainer().add_func("work", lambda _: str(runtime.explain())).make_async()
    with FlowRuntime(seams=Seams(executors=bare), stall_after=60) as runtime:
        runtime.add_stream(".in", "work").add_stream("work", ".out").add_operations(operations)
        told = runtime.process(".in", 1).result(60).data
    assert "work (async): 1 of 1 worker busy" in told


# --- functions, actions, generators


def reciprocal(number: int) -> float:
    return 1 / number


def words_of(text: str, on_word: Callable[[str], None]) -> None:
    for word in text.split():
        on_word(word)


def divide(number: int, even: Callable[[int], None], odd: Callable[[int], None]) -> None:
    (odd if number % 2 else even)(number)
    if number > 5:
        raise ValueError


def count_to(number: int) -> Iterator[Any]:
    yield from range(number)
    yield Emit("done", number)
    if number > 2:
        raise ValueError


CALLABLES = {
    "function": (lambda: reciprocal, [1, 2, 0, 4]),
    "function of nothing": (lambda: lambda: 7, [None, 1]),
    "built-in": (lambda: len, [[1, 2], "abc", 5]),
    "action": (lambda: words_of, ["a few words", "", "one"]),
    "action with two ports": (lambda: divide, [1, 2, 6, 7]),
    "generator": (lambda: count_to, [0, 1, 2, 3]),
    "signal": (lambda: FlowOperationContainer().add_action("tell", str, signal=True), [1, 2]),
    "parallel function": (
        lambda: FlowOperationContainer().add_func("work", reciprocal).make_parallel(2),
        [1, 0],
    ),
}


@pytest.mark.parametrize(("factory", "inputs"), CALLABLES.values(), ids=list(CALLABLES))
def test_plain_callables_keep_the_rules(factory: Callable[[], Any], inputs: list[Any]) -> None:
    check_operation(factory, inputs)


# --- the operators that come with flowrt

LISTS = [[1, 2, 3], [], [[4]], "no list"]
COUNTED = {"stream": "stream", "count": "count"}


def scatter() -> Scatter:
    return Scatter("scatter")


def push() -> PushCausality:
    return PushCausality("push")


def test_scatter_keeps_the_rules() -> None:
    check_operation(scatter, LISTS)


@pytest.mark.parametrize("streams", [COUNTED, {"stream": "stream"}], ids=["counted", "drained"])
@pytest.mark.parametrize("on_missing", ["fail", "skip", "collect"])
@pytest.mark.parametrize("ordered", [False, True])
def test_gather_behind_a_scatter_keeps_the_rules(
    streams: dict[str, str], on_missing: Any, ordered: bool
) -> None:
    check_operation(
        lambda: Gather("gather", on_missing=on_missing, ordered=ordered), LISTS, behind=(scatter, streams)
    )


def test_gather_by_correlation_id_keeps_the_rules() -> None:
    messages = [
        Message(".stream", ["a"]),
        Message(".stream", ["x"], "other"),
        Message(".stream", ["b"]),
        Message(".count", -1),
        Message(".count", 2),
        Message(".count", 1, "other"),
        Message(".stream", ["too late"], "other"),
    ]

    check_operation(lambda: Gather("gather"), messages)


def test_gather_without_a_scatter_and_without_a_count_keeps_the_rules() -> None:
    check_operation(lambda: Gather("gather"), [1, 2], port="stream")


def test_push_causality_keeps_the_rules() -> None:
    check_operation(push, [1, [2], "three"])


def test_pop_causality_keeps_the_rules() -> None:
    check_operation(lambda: PopCausality("pop"), [1, [2]], behind=(push, {"": ""}))


def test_pop_causality_without_a_push_keeps_the_rules() -> None:
    check_operation(lambda: PopCausality("pop"), [1, [2]])
