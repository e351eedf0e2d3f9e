"""How much memory a stream from a generator takes: run in a process of its own, prints megabytes and items.

python -m tests.benchmarks.memory ITEMS
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from flowrt import FlowOperationContainer, FlowRuntime

STATUS = Path("/proc/self/status")
KIB = 1_024


def resident(what: str) -> float:
    """Return the memory this process has now ("VmRSS") or has had at most ("VmHWM"), in bytes; elsewhere than on Linux the most.

    On Linux `ru_maxrss` may be that of the parent, which is kept over the start of a child.
    """
    if STATUS.exists():
        for line in STATUS.read_text("ascii").splitlines():
            if line.startswith(f"{what}:"):
                return float(line.split()[1]) * KIB
    import resource  # not on every system

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * KIB)


def main(items: int) -> None:
    """Measure from where the flow is idle, once it has done a little."""
    consumed = 0

    def numbers(count: int) -> Iterator[int]:
        yield from range(count)

    def consume(x: int) -> None:
        nonlocal consumed
        for _ in range(20):  # slower than the generator
            x += 1
        consumed += 1

    operations = FlowOperationContainer().add_generator("numbers", numbers)
    operations.add_action("consume", consume).make_async()
    with FlowRuntime() as runtime:
        runtime.add_stream(".in", "numbers").add_stream("numbers", "consume").add_operations(operations)
        runtime.process(".in", 1).wait()
        consumed, idle = 0, resident("VmRSS")
        runtime.process(".in", items).wait()
        print(json.dumps([(resident("VmHWM") - idle) / 1e6, consumed]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
