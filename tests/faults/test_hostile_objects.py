"""An object of the user's raises from each special method in turn, at every spot where one of the user's objects can stand.

Whatever becomes of the message or the call it belongs to: the runtime goes on, nobody calls it a bug in flowrt, the run beside it gives its result,
and the books balance.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest

from flowrt import (
    Flow,
    FlowInternalError,
    FlowOperationContainer,
    FlowRuntime,
    Gather,
    Message,
    Operation,
    Run,
    Scatter,
)
from flowrt.errors import FlowError
from flowrt.messages import Part
from flowrt.operations.contract import Emitter
from flowrt.standard import (
    AutoResetJoin,
    Batch,
    Debounce,
    Distinct,
    Filter,
    Latest,
    ManualResetJoin,
    Reduce,
    Scan,
    Switch,
    Window,
    Zip,
)
from tests.kit import effort
from tests.kit.flows import Bench, few_modes, wire
from tests.kit.functions import SECONDS, increment, same

pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # __del__ may raise
]


class Hostile(Exception):
    """What a hostile object raises."""


METHODS = """
    __eq__ __ne__ __lt__ __gt__ __hash__ __bool__ __len__ __str__ __repr__ __format__ __iter__ __next__ __contains__ __getitem__ __getattr__
    __getattribute__ __setattr__ __delattr__ __class__ __reduce__ __reduce_ex__ __getstate__ __copy__ __deepcopy__ __del__ __call__ __index__
    __int__ __float__ __add__ __enter__ __exit__ __await__ __instancecheck__ __get__ __sizeof__ __dir__ add_note __notes__ __cause__
    __context__ __traceback__ with_traceback keys columns close port data name dispatch
""".split()
PROPERTIES = {
    "__class__",
    "__notes__",
    "__cause__",
    "__context__",
    "__traceback__",
    "columns",
    "port",
    "data",
    "name",
}


def _raise(*_arguments: Any, **_options: Any) -> Any:
    raise Hostile


def hostile(method: str, base: type = object, **members: Any) -> Any:
    """A class of objects that raise from this method, or from whatever reads this attribute."""
    value = property(_raise, _raise, _raise) if method in PROPERTIES else _raise
    kept = {"__hash__": base.__hash__} if method == "__eq__" else {}
    return type("Mean", (base,), {**kept, **members, method: value})


class Beside(Exception):
    """An ordinary error, where the hostile object is to be something else."""


def add(total: Any, item: Any) -> Any:
    return (total or 0) + item


class Keeping(Operation):
    """Keeps what comes, asks to be woken about it, and gives it back when its run has gone quiet."""

    in_ports = out_ports = ("",)

    def create(self) -> list[Part]:
        return []

    def handle(self, state: list[Part], message: Message, emit: Emitter) -> None:
        part = Part(message.data)
        emit.hold([part])
        emit.wake(0.0, message.data)
        state.append(part)

    def timer(self, state: list[Part], about: Any, emit: Emitter) -> None:
        pass

    def drained(self, state: list[Part], scope: Any, emit: Emitter) -> None:
        parts = [part for part in state if part.scope is scope]
        state[:] = [part for part in state if part.scope is not scope]
        if parts:
            emit.merge(parts, [part.data for part in parts])


class HoldsData(Operation):
    in_ports = out_ports = ("",)

    def handle(self, state: Any, message: Message, emit: Emitter) -> None:
        emit.hold([message.data])


class Spot:
    """A flow with a hostile object somewhere, and an ordinary way beside it."""

    def __init__(self, bench: Bench, method: str) -> None:
        self.bench = bench
        self.method = method
        self.runs: list[Run] = []
        self.errors: list[BaseException] = []

    def mean(self, base: type = object, **members: Any) -> Any:
        return hostile(self.method, base, **members)

    def one(self, base: type = object, **members: Any) -> Any:
        return self.mean(base, **members)()

    def operations(self, *others: Any, **options: Any) -> FlowOperationContainer:
        return self.bench.operations(*others, **options)

    def tried(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What a call gives; it may refuse the object, and lets through what the object raises in the caller's own call."""
        try:
            return call(*arguments, **options)
        except (FlowError, Hostile, TypeError, ValueError) as error:
            self.errors.append(error)
            return None

    def send(self, runtime: FlowRuntime, *data: Any, port: str = ".in", **options: Any) -> None:
        for each in data:
            run = self.tried(runtime.process, port, each, **options)
            if run is not None:
                self.runs.append(run)


Scenario = Callable[[Spot], Iterator[FlowRuntime]]


def flow_around(spot: Spot, operations: FlowOperationContainer, *chains: str, **options: Any) -> FlowRuntime:
    runtime = spot.bench.make_runtime(Flow(), **options)
    spot.bench.apply_mode(operations.add_func("plain", increment))
    wire(runtime, *chains, ".other -> plain -> .beside")
    return runtime.add_operations(operations)


def as_data(spot: Spot) -> Iterator[FlowRuntime]:
    """Through functions, actions, generators and every operator that looks at messages."""
    operations = spot.operations(
        Zip("zip", ["a", "b"]),
        Latest("latest", ["a", "b"]),
        Keeping("keeping"),
        HoldsData("holds"),
        Batch("batch", 2),
        Window("window", count=2),
        Debounce("debounce", 0.001),
        Distinct("distinct"),
        Reduce("reduce", lambda total, item: [*(total or []), item]),
        Scatter("scatter"),
        Gather("gather"),
        funcs={"f": same},
        actions={"act": lambda data, emit: emit(data)},
        generators={"items": lambda data: [data, data]},
    )
    runtime = flow_around(
        spot,
        operations,
        ".in -> f -> act -> items -> .out",
        ".in -> zip.a",
        ".in -> zip.b",
        "zip -> .zipped",
        ".in -> latest.a",
        ".in -> latest.b",
        "latest -> .latest",
        ".in -> keeping -> .kept",
        ".in -> holds -> .held",
        ".in -> batch -> .batched",
        ".in -> window -> .windows",
        ".in -> debounce -> .quiet",
        ".in -> distinct -> .distinct",
        ".in -> reduce -> .reduced",
        ".in -> scatter",
        "scatter.stream -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .list",
    )
    yield runtime
    spot.send(runtime, spot.one(), spot.one())


def as_items(spot: Spot) -> Iterator[FlowRuntime]:
    """In a scattered list, as its count, and as what an iterable of `process_many` gives."""
    operations = spot.operations(
        Scatter("scatter"), Gather("gather", on_missing="collect"), funcs={"f": same}
    )
    runtime = flow_around(
        spot,
        operations,
        ".in -> scatter",
        "scatter.stream -> f -> gather.stream",
        "scatter.count -> gather.count",
        ".count -> gather.count",
        "gather -> .out",
    )
    yield runtime
    spot.send(runtime, [spot.one(), spot.one()])
    spot.send(runtime, spot.one(), port=".count")
    run = spot.tried(lambda: runtime.process_many(".in", [[spot.one()], [spot.one()]]))
    if run is not None:
        spot.runs.append(run)


def as_iterable(spot: Spot) -> Iterator[FlowRuntime]:
    """A list, an iterator and whatever may be gone through otherwise; scattered, returned by a generator, given to `process_many`."""
    operations = spot.operations(
        Scatter("scatter"), Gather("gather", on_missing="skip"), generators={"items": same}
    )
    runtime = flow_around(
        spot,
        operations,
        ".in -> scatter",
        "scatter.stream -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .out",
        ".in -> items -> .items",
    )
    yield runtime
    iterator = {"__iter__": lambda self: self, "__next__": lambda self: math.nan}
    for made in (
        lambda: spot.one(list, __len__=lambda self: 3),
        lambda: spot.mean(tuple)((1, 2)),
        lambda: spot.mean(dict)(a=1),
        lambda: spot.mean(str)("text"),
        lambda: spot.one(object, __getitem__=lambda self, index: [1, 2][index]),
        lambda: iter(spot.one(object, **{**iterator, "__next__": lambda self: next(iter(()))})),
    ):
        data = spot.tried(made)
        spot.send(runtime, data)
        run = spot.tried(runtime.process_many, ".in", data)
        if run is not None:
            spot.runs.append(run)


def as_correlation_id(spot: Spot) -> Iterator[FlowRuntime]:
    """Two ids that meet wherever ids meet."""
    operations = spot.operations(
        Zip("zip", ["a", "b"]),
        Batch("batch", 2),
        Window("window", count=2),
        AutoResetJoin("auto"),
        ManualResetJoin("manual"),
        Reduce("reduce", add),
        Scan("scan", add),
        Gather("gather"),
        Debounce("debounce", 0.001),
        funcs={"f": same},
    )
    runtime = flow_around(
        spot,
        operations,
        ".in -> f -> batch -> .batched",
        ".in -> zip.a",
        ".right -> zip.b",
        "zip -> .zipped",
        ".in -> window -> .windows",
        ".in -> auto.in0",
        ".right -> auto.in1",
        "auto -> .auto",
        ".in -> manual.in0",
        ".right -> manual.in1",
        "manual -> .manual",
        ".in -> reduce -> .reduced",
        ".in -> scan -> .scanned",
        ".in -> debounce -> .quiet",
        ".in -> gather.stream",
        ".count -> gather.count",
        "gather -> .list",
    )
    yield runtime
    for port in (".in", ".right", ".in", ".count", ".right"):
        spot.send(runtime, 1, port=port, correlation_id=spot.one())


def as_emitted_id(spot: Spot) -> Iterator[FlowRuntime]:
    """An id that an operation gives what it emits: in one run they differ."""

    class Labels(Operation):
        in_ports = out_ports = ("",)

        def handle(self, state: Any, message: Message, emit: Emitter) -> None:
            emit(message.data, correlation_id=spot.one())

    operations = spot.operations(
        Labels("labels"), Batch("batch", 2), Reduce("reduce", add), Zip("zip", ["a", "b"])
    )
    runtime = flow_around(
        spot,
        operations,
        ".in -> labels -> batch -> .batched",
        "labels -> reduce -> .reduced",
        "labels -> zip.a",
        "labels -> zip.b",
        "zip -> .zipped",
    )
    yield runtime
    run = runtime.process_many(".in", [1, 10, 100])
    spot.runs.append(run)


def as_key(spot: Spot) -> Iterator[FlowRuntime]:
    """What `by_key`, `key=` and a switch give."""
    operations = FlowOperationContainer()
    operations.add_func("keyed", same).make_parallel(2, by_key=lambda _data: spot.one())
    operations.add_func("guarded", same).make_parallel(2, by_key=lambda _data: spot.one()).retry(
        2, backoff=0.0
    )
    operations.add_operation(Distinct("distinct", key=lambda _data: spot.one()))
    operations.add_operation(Switch("switch", lambda _data: spot.tried(lambda: spot.mean(str)("out"))))
    operations.add_operation(Filter("filter", lambda _data: spot.one()))
    runtime = flow_around(
        spot,
        operations,
        ".in -> keyed -> .keyed",
        ".in -> guarded -> .guarded",
        ".in -> distinct -> .distinct",
        ".in -> switch",
        "switch.out -> .switched",
        ".in -> filter -> .filtered",
        "filter.rejected -> .rejected",
    )
    yield runtime
    run = runtime.process_many(".in", range(6))
    spot.runs.append(run)


def as_exception(spot: Spot) -> Iterator[FlowRuntime]:
    """Raised by every kind of operation, under every policy."""

    def fail(_data: Any) -> Any:
        raise spot.tried(spot.mean(Exception)) or Beside

    def fail_later(data: Any) -> Iterator[Any]:
        yield data
        fail(data)

    class Owing(Operation):
        in_ports = out_ports = ("",)

        def create(self) -> dict[Any, None]:
            return {}

        def handle(self, state: dict[Any, None], message: Message, emit: Emitter) -> None:
            emit.owe()

        def drained(self, state: dict[Any, None], scope: Any, emit: Emitter) -> None:
            fail(scope)

        def cancelled(self, state: dict[Any, None], run: Any) -> None:
            fail(run)

    operations = spot.operations(
        Owing("owing"),
        Reduce("reduce", lambda _total, item: fail(item)),
        Scatter("scatter"),
        Gather("gather", on_missing="collect"),
        funcs={"f": fail, "in_list": fail},
        actions={"act": lambda data, emit: fail(data)},
        generators={"items": fail_later},
    )
    spot.bench.apply_mode(operations.add_func("again", fail)).retry(2, backoff=0.0)
    spot.bench.apply_mode(operations.add_func("skipped", fail)).on_error("skip")
    spot.bench.apply_mode(operations.add_func("routed", fail)).on_error("route")
    runtime = flow_around(
        spot,
        operations,
        ".in -> f -> .out",
        ".in -> act -> .acts",
        ".in -> items -> .items",
        ".in -> again -> .again",
        ".in -> skipped -> .skipped",
        ".in -> routed -> .routed",
        "routed.error -> .errors",
        ".in -> owing -> .owed",
        ".in -> reduce -> .reduced",
        ".in -> scatter",
        "scatter.stream -> in_list -> gather.stream",
        "scatter.count -> gather.count",
        "gather -> .list",
    )
    yield runtime
    spot.send(runtime, [1, 2], [3])


def as_handler(spot: Spot) -> Iterator[FlowRuntime]:
    """Handlers of all hooks: objects that can be called, added twice and removed."""
    operations = spot.operations(funcs={"f": same, "fails": lambda _data: [].pop()})
    runtime = flow_around(spot, operations, ".in -> f -> .out", ".bad -> fails -> .out")
    yield runtime
    for hook in (runtime.on_message, runtime.on_result, runtime.on_exception):
        handlers = [spot.tried(lambda: spot.one(object, __call__=lambda self, thing: None)) for _ in range(2)]
        removers = [spot.tried(hook, each) for each in handlers]
        spot.send(runtime, 1)
        spot.send(runtime, 1, port=".bad")
        for run in spot.runs:
            spot.tried(run.wait, timeout=SECONDS)
        for remove in removers:
            if remove is not None:
                spot.tried(remove)


def as_callable(spot: Spot) -> Iterator[FlowRuntime]:
    """What is added as an operation, a factory, an instance, a component; and what policies call."""
    calls = {"__call__": lambda self, *arguments: 1}
    operations = spot.operations(funcs={"plain_one": same})
    names = []
    for number, add_it in enumerate(
        (
            lambda name: operations.add_func(name, spot.one(object, **calls)),
            lambda name: operations.add_action(name, spot.one(object, **calls), signal=True),
            lambda name: operations.add_generator(name, spot.one(object, __call__=lambda self, data: [data])),
            lambda name: operations.add_operation(
                name, spot.one(object, __call__=lambda self: Keeping("made"))
            ),
            lambda name: operations.add_operation(
                name, lambda: spot.one(Operation, __init__=lambda self: None)
            ),
            lambda name: operations.add_func(name, Beside).retry(3, backoff=spot.one(object, **calls)),
            lambda name: operations.add_func(name, same).make_parallel(2, by_key=spot.one(object, **calls)),
            lambda name: operations.add_operation(Filter(name, spot.one(object, **calls))),
            lambda name: operations.add_operation(Reduce(name, spot.one(object, **calls))),
            lambda name: operations.add_component(name, spot.one()),
        )
    ):
        name = f"op{number}"
        if spot.tried(add_it, name) is not None:
            names.append(name)
    runtime = flow_around(
        spot, operations, *(f".in -> {name} -> .out" for name in names), ".in -> plain_one -> .out"
    )
    yield runtime
    spot.send(runtime, 1, 2)


def as_number(spot: Spot) -> Iterator[FlowRuntime]:
    """Priorities, times, counts and names that users' own classes stand for."""
    operations = spot.operations(funcs={"f": same})
    runtime = flow_around(spot, operations, ".in -> f -> .out")
    yield runtime
    for made in (
        spot.one,
        lambda: spot.mean(int)(3),
        lambda: spot.mean(float)(3.0),
        lambda: spot.mean(str)(".in"),
    ):
        odd = spot.tried(made)
        for call in (
            lambda odd=odd: runtime.process(".in", 1, priority=odd),
            lambda odd=odd: runtime.process(".in", 1, timeout=odd),
            lambda odd=odd: runtime.process(".in", 1, deadline=odd),
            lambda odd=odd: runtime.process(odd, 1),
            lambda odd=odd: runtime.process(Message(".in", 1, priority=odd)),
            lambda odd=odd: runtime.process_many(".in", [1], priority=odd),
            lambda odd=odd: runtime.wait_idle(timeout=odd),
            lambda odd=odd: FlowOperationContainer().add_func("f", same).make_parallel(odd),
            lambda odd=odd: FlowOperationContainer().add_func("f", same).retry(odd),
            lambda odd=odd: FlowOperationContainer().add_func("f", same).retry(2, backoff=odd, on=odd),
            lambda odd=odd: FlowOperationContainer().add_func("f", same).timeout(odd),
            lambda odd=odd: FlowOperationContainer().add_func("f", same).rate(odd),
            lambda odd=odd: FlowOperationContainer().add_func(odd, same),
            lambda odd=odd: FlowRuntime(capacity=odd).close(),
            lambda odd=odd: FlowRuntime(max_results=odd).close(),
            lambda odd=odd: FlowRuntime(name=odd).close(),
            lambda odd=odd: FlowRuntime(schedule=odd).close(),
            lambda odd=odd: FlowRuntime().close(drain=odd, deadline=odd),
            lambda odd=odd: Batch("b", odd),
            lambda odd=odd: Flow(odd),
        ):
            run = spot.tried(call)
            if isinstance(run, Run):
                spot.runs.append(run)


SCENARIOS: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        as_data,
        as_items,
        as_iterable,
        as_correlation_id,
        as_emitted_id,
        as_key,
        as_exception,
        as_handler,
        as_callable,
        as_number,
    )
}


@few_modes
@pytest.mark.parametrize("scenario", list(SCENARIOS) if effort.full else list(SCENARIOS)[::2])
def test_an_object_that_raises_harms_nobody_else(bench: Bench, scenario: str) -> None:
    """K1. Each of the modes and schedules takes a quarter of the methods, so that with all of them each is met several times."""
    first = crc32(f"{bench} {scenario}".encode()) % 4
    for method in METHODS[first::4]:
        try:
            _play(Spot(bench, method), SCENARIOS[scenario])
        except BaseException as error:
            error.add_note(f"the object raised from {method}")
            raise


def _play(spot: Spot, scenario: Scenario) -> None:
    steps = scenario(spot)
    runtime = next(steps)
    beside = runtime.process(".other", 1)
    for _ in steps:
        raise AssertionError("a scenario has one stop")
    for run in spot.runs:
        spot.tried(run.wait, timeout=SECONDS)
        assert run.done
        spot.errors += run.failures

    later = runtime.process(".other", 2)
    for run in (beside, later):  # a handler may have taken the result
        run.wait(timeout=SECONDS)
        assert run.ledger.delivered == 1
    assert not any(_internal(error) for error in spot.errors)
    assert all(run.ledger.balanced for run in [*spot.runs, beside])
    try:
        report = runtime.close()
    except (Exception, ExceptionGroup) as error:  # what subscribers raised, and failures that nobody has seen
        assert not _internal(error)
    else:
        assert report.clean


def _internal(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_internal, error.exceptions))
    return isinstance(error, FlowInternalError)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Hostile `__del__` is to raise in the test it belongs to."""
    yield
    gc.collect()


def test_objects_are_hostile() -> None:
    for method in METHODS:
        kind = hostile(method)
        assert method in vars(kind)
    with pytest.raises(Hostile):
        bool(hostile("__bool__")())
    with pytest.raises(Hostile):
        _ = hostile("__class__")().__class__
