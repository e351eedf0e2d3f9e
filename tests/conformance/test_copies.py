"""Messages, errors, ledgers and reports are data: they can be pickled and copied, and keep nothing of the engine alive."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import (
    FlowOperationContainer,
    FlowRuntime,
    FlowStalledError,
    Gather,
    GatherIncompleteError,
    Message,
    OperationError,
    OperationTimeoutError,
    Scatter,
)
from flowrt.errors import CauseLeftBehindError, FlowError, OwnAccordError
from flowrt.operations.contract import Operation
from flowrt.testing import simulated
from tests.kit.flows import Bench, few_modes, flow_of
from tests.kit.functions import SECONDS, refuse, same


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


by_each_way = pytest.mark.parametrize("way", [pickled, copy.deepcopy, copy.copy])
Way = Callable[[Any], Any]


class HoldsALock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class TakesTwo(Exception):
    """Pickled by default, it cannot be loaded: its constructor is called with the text alone."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")


class RaisesWhenReduced(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


class Unsaid(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Coded(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = 404


def error_of(raised: BaseException, **policies: Any) -> OperationError:
    def fail(_data: Any) -> None:
        raise raised

    operations = FlowOperationContainer().add_func("work", fail)
    with FlowRuntime(flow_of("", ".in -> work -> .out", operations=operations)) as runtime:
        with pytest.raises(OperationError) as caught:
            runtime.process(".in", {"number": 1}, correlation_id="id", priority=2).wait(SECONDS)
        return caught.value


@few_modes
@by_each_way
def test_a_result_can_be_copied(bench: Bench, way: Way) -> None:
    with bench.wired(".in -> work -> .out", funcs={"work": same}) as runtime:
        run = runtime.process(".in", [1], correlation_id="id", priority=3)
        message = run.result(SECONDS)
        copied = way(message)
        ledger = way(run.ledger)

        assert (copied.port, copied.data, copied.correlation_id, copied.priority, copied.position) == (
            message.port, [1], "id", 3, 0,
        )  # fmt: skip
        assert (str(ledger), ledger.balanced) == (str(run.ledger), True)
        assert runtime.process(".in", copied.data).values(SECONDS) == [[1]]


@few_modes
@by_each_way
def test_what_taps_and_handlers_get_can_be_copied(bench: Bench, way: Way) -> None:
    shown: list[Message] = []
    with bench.wired(".in -> work -> .out", funcs={"work": same}) as runtime:
        runtime.on_message(shown.append)
        runtime.on_result(shown.append)
        runtime.process(".in", 1).wait(SECONDS)

    assert [way(message).data for message in shown] == [1, 1, 1]


@by_each_way
def test_the_message_that_an_operation_of_ones_own_gets_can_be_copied(way: Way) -> None:
    copies: list[Message] = []

    class Own(Operation):
        def handle(self, state: Any, message: Message, emit: Any) -> None:
            copies.append(way(message))

    with FlowRuntime(
        flow_of("", ".in -> own", operations=FlowOperationContainer().add_operation(Own("own")))
    ) as runtime:
        runtime.process(".in", 1).wait(SECONDS)

    assert [(message.data, message.scope, message.context) for message in copies] == [(1, None, None)]


@by_each_way
def test_an_error_can_be_copied_with_its_message_its_notes_and_its_cause(way: Way) -> None:
    error = error_of(ValueError("odd", 3))
    copied = way(error)

    assert (type(copied), str(copied), copied.operation) == (OperationError, str(error), "work")
    assert copied.__notes__ == error.__notes__ == [".in -> work"]
    assert (type(copied.__cause__), copied.__cause__.args) == (ValueError, ("odd", 3))
    message = copied.message
    assert (message.data, message.correlation_id, message.priority) == ({"number": 1}, "id", 2)


PLAIN = [
    OSError(2, "nothing there", "file"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
    Coded("gone"),
    KeyError("key"),
]


@by_each_way
@pytest.mark.parametrize("cause", PLAIN, ids=repr)
def test_a_cause_of_plain_data_comes_along(way: Way, cause: Exception) -> None:
    copied = way(error_of(cause))

    assert (type(copied.__cause__), str(copied.__cause__)) == (type(cause), str(cause))
    assert getattr(copied.__cause__, "code", None) == getattr(cause, "code", None)


def local_error() -> Exception:
    class Local(Exception):
        pass

    return Local("here")


UNFIT = [HoldsALock("held"), TakesTwo(1, "why"), RaisesWhenReduced("r"), local_error(), ValueError(object())]


@by_each_way
@pytest.mark.parametrize("cause", UNFIT, ids=lambda cause: type(cause).__name__)
def test_a_cause_that_does_not_fit_into_a_copy_leaves_its_type_and_text(way: Way, cause: Exception) -> None:
    error = error_of(cause)
    copied = way(error)

    assert str(copied) == str(error)
    assert isinstance(copied.__cause__, CauseLeftBehindError)
    assert copied.__cause__.kind == type(cause).__qualname__
    assert str(way(copied)) == str(error)  # and again


@by_each_way
def test_an_error_raised_over_an_error_can_be_copied(way: Way) -> None:
    inner = error_of(HoldsALock("held"))
    error = error_of(inner)

    assert str(way(error)) == str(error)
    assert isinstance(way(error).__cause__, OperationError)


@by_each_way
def test_an_error_that_takes_other_arguments_can_be_copied(way: Way) -> None:
    class_of_mine = OwnAccordError('operation "x" raised', "x")
    class_of_mine.__cause__ = ValueError("no")
    late = GatherIncompleteError("text", "gather", ((1, "gone"),))
    stalled = FlowStalledError("nothing moves", "explained")
    for error in (class_of_mine, late, stalled, OperationTimeoutError("slow", "x", Message(".in", 1))):
        copied = way(error)
        assert (type(copied), str(copied)) == (type(error), str(error))
        assert copied.__dict__.keys() == error.__dict__.keys()


@by_each_way
def test_what_is_left_to_a_gather_keeps_no_list_alive_in_its_copy(way: Way) -> None:
    operations = (
        FlowOperationContainer()
        .add_operation(Scatter("scatter"))
        .add_func("work", refuse)
        .add_operation(Gather("gather", on_missing="collect"))
    )
    chains = (
        ".in -> scatter",
        "scatter.stream -> work -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
    )
    with FlowRuntime(flow_of("", *chains, operations=operations)) as runtime:
        run = runtime.process(".in", [1, 2])
        gathered = run.result(SECONDS).data
        copied = way(gathered)

    assert [(position, str(error)) for position, _, error in copied.failures] == [
        (position, str(error)) for position, _, error in gathered.failures
    ]


@by_each_way
def test_reports_and_explanations_can_be_copied(way: Way) -> None:
    with FlowRuntime(flow_of("", ".in -> .out"), seams=simulated(1)) as runtime:
        runtime.process(".in", 1).wait()
        explanation = runtime.explain()
        assert str(way(explanation)) == str(explanation)
    report = runtime.close()
    assert way(report) == report


def test_a_kept_message_or_error_keeps_no_engine_alive() -> None:
    """But for its traceback, whose frames keep what Python has them keep."""
    shown: list[Any] = []

    def use() -> Iterator[weakref.ref[Any]]:
        operations = FlowOperationContainer().add_func("work", same).add_func("bad", refuse)
        with FlowRuntime(flow_of("", ".in -> work -> .out", ".bad -> bad", operations=operations)) as runtime:
            removed = runtime.on_message(shown.append)
            shown.append(runtime.process(".in", 1).result(SECONDS))
            removed()
            run = runtime.process(".bad", 1)
            try:
                run.wait(SECONDS)
            except FlowError as error:
                assert error.__cause__ is not None
                error.__cause__.__traceback__ = None
                shown.append(error.with_traceback(None))
            shown.append(run.ledger)
            yield weakref.ref(runtime)
            yield weakref.ref(run)

    references = list(use())
    gc.collect()

    assert len(shown) == 5
    assert [reference() for reference in references] == [None, None]


@pytest.mark.parametrize(
    ("cause", "ending"),
    [
        (ValueError("why"), "raised ValueError: why"),
        (ValueError(), "raised ValueError"),
        (KeyError("key"), "raised KeyError: 'key'"),
        (ValueError("x" * 201), f"raised ValueError: {'x' * 200}..."),
        (ValueError("x" * 200), f"raised ValueError: {'x' * 200}"),
        (Unsaid(), "raised Unsaid"),
        (ValueError(Unsaid()), "raised ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_text_of_an_operation_error_ends_in_its_cause(cause: Exception, ending: str) -> None:
    assert str(error_of(cause)).endswith(f") {ending}")


def test_flowrts_own_texts_can_be_printed_on_any_console() -> None:
    """K13: "→" in notes fails where the standard output is cp1252."""
    error = error_of(ValueError("why"))
    with FlowRuntime(flow_of("", ".in -> nowhere")) as runtime, pytest.raises(FlowError) as refused:
        runtime.process(".in", 1)

    "".join([str(error), *error.__notes__, str(refused.value)]).encode("ascii")
