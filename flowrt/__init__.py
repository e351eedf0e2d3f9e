"""flowrt: a flow-based-programming runtime.

These names are what a program needs; more operators come from `flowrt.standard`, dispatchers from `flowrt.executors.dispatchers`, the test kit is
`flowrt.testing`. Each package says in its `__init__` what it holds and where to begin reading; docs/design.md begins with the whole house.
"""

import typing

from flowrt.errors import (
    FlowBuildError,
    FlowError,
    FlowInternalError,
    FlowOverloadError,
    FlowStalledError,
    FlowStallWarning,
    FlowStoppedError,
    FlowTimeoutError,
    GatherIncompleteError,
    OperationError,
    OperationTimeoutError,
    OwnAccordError,
    RunCancelledError,
    WorkerLostError,
)
from flowrt.flow.container import FlowOperationContainer
from flowrt.flow.flow import Flow
from flowrt.messages import Message, Part
from flowrt.observe.calls import Current, current
from flowrt.observe.figures import Ledger
from flowrt.operations.components import out_port
from flowrt.operations.contract import Emit, Operation
from flowrt.operations.marks import in_port, operation, parallel
from flowrt.ports import Port, Stream
from flowrt.runtime.chain import chain
from flowrt.runtime.closing import CloseReport
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.standard.causality import PopCausality, PushCausality
from flowrt.standard.scatter_gather import Gather, Gathered, Scatter

if typing.TYPE_CHECKING:
    from flowrt.flow.checks import check
    from flowrt.flow.diagrams import picture

    __version__: str

__all__ = [
    "CloseReport",
    "Current",
    "Emit",
    "Flow",
    "FlowBuildError",
    "FlowError",
    "FlowInternalError",
    "FlowOperationContainer",
    "FlowOverloadError",
    "FlowRuntime",
    "FlowStallWarning",
    "FlowStalledError",
    "FlowStoppedError",
    "FlowTimeoutError",
    "Gather",
    "GatherIncompleteError",
    "Gathered",
    "Ledger",
    "Message",
    "Operation",
    "OperationError",
    "OperationTimeoutError",
    "OwnAccordError",
    "Part",
    "PopCausality",
    "Port",
    "PushCausality",
    "Run",
    "RunCancelledError",
    "Scatter",
    "Stream",
    "WorkerLostError",
    "chain",
    "check",
    "current",
    "in_port",
    "operation",
    "out_port",
    "parallel",
    "picture",
]


def __getattr__(name: str) -> typing.Any:
    """Import what looks at a flow without running it when it is first asked for: importing flowrt is to cost little."""
    if name == "check":
        from flowrt.flow.checks import check as found  # noqa: PLC0415
    elif name == "picture":
        from flowrt.flow.diagrams import picture as found  # type: ignore[assignment]  # noqa: PLC0415
    elif name == "__version__":
        found = _version()  # type: ignore[assignment]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _version() -> str:
    """Say which version is installed; of a checkout that is not, it is not known."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - importing flowrt is to cost little

    try:
        return version("flowrt")
    except PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    """Say what is for users; what flowrt is made of is imported by its full name."""
    return [*__all__, "__version__"]
