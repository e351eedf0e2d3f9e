"""The flows that are measured, and the same work by hand. Nothing here is tuned: this is what the README shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowrt import FlowOperationContainer, FlowRuntime, Gather, Scatter

TIMEOUT = 120  # seconds: a hang ends the run of the benchmarks instead of stopping it
CHUNK = 1_024
SLOW = 0.002  # seconds of a blocking call

Function = Callable[[int], int]


def increment(x: int) -> int:
    """Do next to nothing: what is measured is the way there."""
    return x + 1


def rest(x: int) -> int:
    """Block, as I/O does."""
    time.sleep(SLOW)
    return x


def compute(x: int) -> int:
    """Keep the processor busy in Python, for about as long as a blocking call takes of one of sixteen threads."""
    total = x
    for number in range(5_000):
        total += number
    return total


def functions(count: int) -> list[Function]:
    """Make functions of their own, as the operations of a large flow are."""

    def made() -> Function:
        return lambda x: x + 1

    return [made() for _ in range(count)]


@contextmanager
def chain(stages: list[Function], schedule: Any = "breadth_first") -> Iterator[FlowRuntime]:
    """Run a flow of one operation behind the other; compiled and started when it is handed out."""
    with FlowRuntime(schedule=schedule) as runtime:
        add_chain(runtime, stages)
        assert runtime.process(".in", 0).result(TIMEOUT).data == len(stages)
        yield runtime


def add_chain(runtime: FlowRuntime, stages: list[Function], source: str = ".in") -> None:
    """Add operations one behind the other, up to `.out`."""
    operations = FlowOperationContainer()
    for number, function in enumerate(stages):
        operations.add_func(f"stage{number}", function)
        runtime.add_stream(source, f"stage{number}")
        source = f"stage{number}"
    runtime.add_stream(source, ".out").add_operations(operations)


@contextmanager
def one_operation(declare: Callable[[FlowOperationContainer], Any]) -> Iterator[FlowRuntime]:
    """Run a flow of one operation, `work`, declared by the caller."""
    operations = FlowOperationContainer()
    declare(operations)
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "work").add_stream("work", ".out").add_operations(operations)
        yield runtime


@contextmanager
def scattering(
    schedule: Any, declare: Callable[[FlowOperationContainer], Any] | None = None
) -> Iterator[FlowRuntime]:
    """Run a flow that scatters a list, increments each item, gathers them and sums them up; `declare` adds another operation `f`."""
    operations = FlowOperationContainer()
    if declare is None:
        operations.add_func("f", increment)
    else:
        declare(operations)
    operations.add_operation(Scatter("scatter")).add_operation(Gather("gather")).add_func("sum", sum)
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_stream(".in", "scatter").add_stream("scatter.stream", "f")
        runtime.add_stream("scatter.count", "gather.count").add_stream("f", "gather.stream")
        runtime.add_stream("gather", "sum").add_stream("sum", ".out").add_operations(operations)
        runtime.process(".in", [1]).wait(TIMEOUT)
        yield runtime


def expand(count: int, emit: Callable[[int], None]) -> None:
    """Make many messages of one: all of them are live at once."""
    for number in range(count):
        emit(number)


# -- by hand


def generated(source: str) -> Any:
    """Compile source text and return its function `run`."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["run"]


def nested_calls(stages: int) -> Callable[[Function, list[int]], list[int]]:
    """Return a loop of nested plain calls: `append(f(f(f(x))))`."""
    call = "f(" * stages + "x" + ")" * stages
    lines = (
        "def run(f, data):",
        "    out = []",
        "    append = out.append",
        "    for x in data:",
        f"        append({call})",
        "    return out",
    )
    run: Callable[[Function, list[int]], list[int]] = generated("\n".join(lines))
    return run


def fused_loop(stages: int) -> Callable[[list[Function], list[int]], list[int]]:
    """Return a loop with a call a line, over chunks: what fusion is at best."""
    names = [f"f{number}" for number in range(stages)]
    lines = (
        f"def run({', '.join(names)}, data, append, failed):",
        "    for x in data:",
        "        try:",
        *(f"            x = {name}(x)" for name in names),
        "        except Exception as error:",
        "            failed(error)",
        "        else:",
        "            append(x)",
    )
    loop = generated("\n".join(lines))

    def run(functions: list[Function], data: list[int]) -> list[int]:
        out: list[int] = []
        failed: list[BaseException] = []
        for start in range(0, len(data), CHUNK):
            loop(*functions, data[start : start + CHUNK], out.append, failed.append)
        assert not failed
        return out

    return run


def loop_over_chunks(stages: list[Function], data: list[int]) -> list[int]:
    """Run stage by stage over chunks: what breadth-first is at best."""
    out: list[int] = []
    failed: list[BaseException] = []
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        for function in stages:
            done: list[int] = []
            append = done.append
            for x in chunk:
                try:
                    append(function(x))
                except Exception as error:
                    failed.append(error)
            chunk = done
        out += chunk
    assert not failed
    return out


def map_over_chunks(stages: list[Function], data: list[int]) -> list[int]:
    """Run stage by stage over chunks with `map`."""
    out: list[int] = []
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        for function in stages:
            chunk = list(map(function, chunk))
        out += chunk
    return out


def deque_loop(stages: list[Function], data: list[int]) -> list[int]:
    """Run messages through functions with nothing but a queue."""
    out: list[int] = []
    queue = deque((0, x) for x in data)
    last = len(stages) - 1
    while queue:
        index, x = queue.popleft()
        x = stages[index](x)
        if index < last:
            queue.append((index + 1, x))
        else:
            out.append(x)
    return out


class PortLoop:
    """What one writes by hand for a flow: operations and streams by the names of their ports, and one queue."""

    def __init__(self, stages: list[Function], on_result: Callable[[int], None]) -> None:
        self.operations: dict[str, tuple[Callable[[int], Any], str]] = {}
        self.streams: dict[str, list[str]] = {}
        self.queue: deque[tuple[str, int]] = deque()
        source = ".in"
        for number, function in enumerate(stages):
            self.streams[source] = [f"stage{number}.in"]
            source = f"stage{number}.out"
            self.operations[f"stage{number}.in"] = function, source
        self.streams[source] = [".out"]
        self.on_result = on_result

    def process(self, port: str, data: int) -> None:
        queue = self.queue
        queue.append((port, data))
        while queue:
            port, data = queue.popleft()
            for target in self.streams[port]:
                if target == ".out":
                    self.on_result(data)
                    continue
                function, out_port = self.operations[target]
                queue.append((out_port, function(data)))


def bare_threads(count: int, function: Function, data: list[int]) -> list[int]:
    """Let threads pull from one iterator: the least that can be done."""
    out: list[int] = []
    items = iter(data)

    def pull() -> None:
        for x in items:
            out.append(function(x))  # noqa: PERF401 - one at a time, as they come

    threads = [threading.Thread(target=pull) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out
