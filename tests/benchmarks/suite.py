"""All rows and curves, by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks import curves, rows_hops, rows_memory, rows_threads, rows_whole
from tests.benchmarks.curves import Curve
from tests.benchmarks.measure import Row, Scale

ROWS: dict[str, Callable[[Scale], Row]] = {
    "hop-depth": rows_hops.hop_depth,
    "hop-breadth": rows_hops.hop_breadth,
    "hop-peers": rows_hops.hop_peers,
    "on-result": rows_hops.on_result,
    "single-5": rows_hops.single_5,
    "single-25": rows_hops.single_25,
    "scatter": rows_hops.scatter,
    "cheap": rows_threads.cheap,
    "blocking": rows_threads.blocking,
    "slow-10": rows_threads.slow_10,
    "slow-1": rows_threads.slow_1,
    "turning": rows_threads.turning,
    "overlap": rows_threads.overlap,
    "priority": rows_threads.priority,
    "memory": rows_memory.memory,
    "allocation": rows_memory.allocation,
    "operations": rows_whole.operations,
    "live": rows_whole.live,
    "tiny": rows_whole.tiny,
    "import": rows_whole.import_time,
}
CURVES: dict[str, Callable[[Scale], Curve]] = {
    "curve-compile": curves.compiled,
    "curve-hops": curves.hops,
    "curve-live": curves.live,
    "curve-workers": curves.workers,
    "curve-backlog": curves.backlog,
    "curve-lists": curves.lists,
}
