"""flowrt: a flow-based-programming runtime."""

from flowrt.calls import Current, current
from flowrt.closing import CloseReport
from flowrt.components import out_port
from flowrt.container import FlowOperationContainer
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
from flowrt.flow import Flow
from flowrt.markers import in_port, operation, parallel
from flowrt.messages import Message
from flowrt.observe.balance import Ledger
from flowrt.operations import Emit, Operation
from flowrt.ports import Port, Stream
from flowrt.runs import Run
from flowrt.runtime import FlowRuntime
from flowrt.scopes import Part
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
