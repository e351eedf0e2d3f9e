"""`check(flow)`: what is wrong with a flow, or looks like it, before it runs. Nothing is imported, made or called for it.

Begin with `check` below, then `reach`: the ports of all flows and the streams between them. `wiring`, `lists` and `data` put their
questions to it and tell `findings` what they find; for `data`, `hints` reads annotations and `fitting` compares types.
It imports from the drawing (`flow`), the operators of `standard` and what is below them, and nothing that runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowrt.errors import Fault, FlowBuildError
from flowrt.flow.checks.data import Data
from flowrt.flow.checks.findings import CODES, Finding, Report, findings_of
from flowrt.flow.checks.lists import Lists
from flowrt.flow.checks.reach import Reach
from flowrt.flow.checks.wiring import Wiring, flows_of
from flowrt.flow.definition import define_flow
from flowrt.flow.faults import faults_of
from flowrt.flow.flow import Flow
from flowrt.operations.declarations import mode_faults

__all__ = ["CODES", "Finding", "check", "findings_of"]


def check(flow: Flow, *, ignore: Iterable[str] = (), strict: bool = False) -> list[Finding]:
    """Look at a flow, and return what is to be corrected, by place; an empty list if all is well.

    Errors are what a runtime would refuse, warnings what it would run although it can hardly be meant. No function, factory or `create()` is
    called, nothing is imported. It takes about 0.1 ms per stream; a flow that is used in very many places is looked at in some of them.

    Args:
        flow: the whole flow, with its operations and flows.
        ignore: codes not to report. What single streams and operations ignore they say themselves: `add_stream(..., ignore="F201")`,
            `container[name].ignore("F201")`, `// flowrt: ignore[F201]` behind a stream of flow text.
        strict: whether outputs that no stream takes are errors, as for `FlowRuntime(strict=True)`.

    Raises:
        FlowBuildError: `ignore` holds a code that there is not, or `flow` is none.
    """
    if not isinstance(flow, Flow):
        raise FlowBuildError(f"check takes a Flow, got {type(flow).__name__}.")
    report = Report(ignore)
    faults: list[Fault] = []
    definition = define_flow(flow, faults)
    faults += faults_of(definition, strict=strict)
    faults += mode_faults(definition.all_operations())
    for fault in faults:
        report.add_fault(fault)
    reach = Reach(definition)
    flows = flows_of(flow, definition)
    wiring = Wiring(reach, report, faults)
    wiring.check(flows)
    Lists(reach, report, wiring.reached).check()
    Data(reach, report).check()
    streams = [stream for _, each in flows if reach.is_used(each) for stream in each.streams()]
    operations = [declaration for each, _ in flows for declaration in each.operations]
    return report.close([*streams, *operations])
