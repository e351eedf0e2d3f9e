"""The same work with other packages, as their own documentation has it. Each is imported when it is measured."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

from tests.benchmarks.work import CHUNK, Function

# As distributions are called, and their modules.
PEERS = {
    "bytewax": "bytewax",
    "fpstreams": "fpstreams",
    "pyfunctional": "functional",
    "pypeln": "pypeln",
    "reactivex": "reactivex",
    "streamable": "streamable",
    "streamz": "streamz",
}


def versions() -> dict[str, str]:
    """Say which peers are here."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def bytewax(stages: list[Function], data: list[int]) -> list[int]:
    """Run the flow in one worker, with batches of our size: with its default of one item it is slower."""
    op, dataflow, testing = map(import_module, ("bytewax.operators", "bytewax.dataflow", "bytewax.testing"))
    out: list[int] = []
    flow = dataflow.Dataflow("flow")
    stream = op.input("in", flow, testing.TestingSource(data, batch_size=CHUNK))
    for number, function in enumerate(stages):
        stream = op.map(f"stage{number}", stream, function)
    op.output("out", stream, testing.TestingSink(out))
    testing.run_main(flow)
    return out


def fpstreams(stages: list[Function], data: list[int]) -> list[int]:
    stream = import_module("fpstreams").Stream(data)
    for function in stages:
        stream = stream.map(function)
    return list(stream.to_list())


def pyfunctional(stages: list[Function], data: list[int]) -> list[int]:
    stream = import_module("functional").seq(data)
    for function in stages:
        stream = stream.map(function)
    return list(stream.to_list())


def pypeln(stages: list[Function], data: list[int]) -> list[int]:
    """Use its stages without threads, the fastest of its kinds here."""
    sync = import_module("pypeln").sync
    stream: Any = data
    for function in stages:
        stream = sync.map(function, stream)
    return list(stream)


def reactivex(stages: list[Function], data: list[int]) -> list[int]:
    package, operators = import_module("reactivex"), import_module("reactivex.operators")
    out: list[int] = []
    package.from_iterable(data).pipe(*map(operators.map, stages)).subscribe(out.append)
    return out


def streamable(stages: list[Function], data: list[int]) -> list[int]:
    stream = import_module("streamable").stream(data)
    for function in stages:
        stream = stream.map(function)
    return list(stream)


def streamz(stages: list[Function], data: list[int]) -> list[int]:
    source = stream = import_module("streamz").Stream()
    out: list[int] = []
    for function in stages:
        stream = stream.map(function)
    stream.sink(out.append)
    for x in data:
        source.emit(x)
    return out


Pipeline = Callable[[list[Function], list[int]], list[int]]
PIPELINES: dict[str, Pipeline] = {
    "fpstreams": fpstreams,
    "streamable": streamable,
    "pyfunctional": pyfunctional,
    "bytewax": bytewax,
    "reactivex": reactivex,
    "streamz": streamz,
    "pypeln": pypeln,
}
PULL = ("fpstreams", "streamable", "pyfunctional")  # without ports, modes or accounting


def subject(stages: list[Function], on_result: Callable[[int], None]) -> Callable[[int], None]:
    """Return what sends one message into a reactivex.Subject behind which the stages stand."""
    package, operators = import_module("reactivex.subject"), import_module("reactivex.operators")
    source = package.Subject()
    source.pipe(*map(operators.map, stages)).subscribe(on_result)
    send: Callable[[int], None] = source.on_next
    return send


def reactivex_sum(function: Function, data: list[int]) -> int:
    package, operators = import_module("reactivex"), import_module("reactivex.operators")
    out: list[int] = []
    package.from_iterable(data).pipe(operators.map(function), operators.sum()).subscribe(out.append)
    return out[0]


def streamable_sum(function: Function, data: list[int]) -> int:
    return sum(import_module("streamable").stream(data).map(function))


def fpstreams_sum(function: Function, data: list[int]) -> int:
    return int(import_module("fpstreams").Stream(data).map(function).sum())


SUMS: dict[str, Callable[[Function, list[int]], int]] = {
    "reactivex": reactivex_sum,
    "streamable": streamable_sum,
    "fpstreams": fpstreams_sum,
}
