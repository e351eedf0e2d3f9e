"""flowrt: a flow-based-programming runtime."""

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
from flowrt.runtime.closing import CloseReport
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.standard.causality import PopCausality, PushCausality
from flowrt.standard.scatter_gather import Gather, Gathered, Scatter

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
    "Part",
    "PopCausality",
    "Port",
    "PushCausality",
    "Run",
    "RunCancelledError",
    "Scatter",
    "Stream",
    "WorkerLostError",
    "current",
    "in_port",
    "operation",
    "out_port",
    "parallel",
]
