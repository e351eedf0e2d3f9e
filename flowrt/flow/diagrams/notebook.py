"""What a flow shows of itself in a notebook: its picture, and what is wrong with it. That never raises."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from flowrt import users
from flowrt.errors import Fault, FlowBuildError, counted
from flowrt.flow.definition import define_flow
from flowrt.flow.diagrams.svg import to_svg
from flowrt.flow.faults import faults_of
from flowrt.operations.declarations import mode_faults

if TYPE_CHECKING:
    from flowrt.flow.flow import Flow


FRAME = '<div style="overflow-x:auto;margin:4px 0">{}</div>'
FAULTS_SHOWN = 10  # below a picture; arbitrary


def svg_shown(flow: Flow) -> str | None:
    """Return the picture of a flow; None if it cannot be drawn: `html_shown` says why."""
    try:
        return to_svg(flow)
    except Exception:
        return None


def html_shown(flow: Flow) -> str:
    """Return the picture of a flow and, below it, its faults; of one that cannot be drawn the faults alone."""
    try:
        parts = [FRAME.format(to_svg(flow))]
        faults: list[str] = _faults_of(flow)
    except FlowBuildError as error:
        parts, faults = [], [users.text_of(fault) for fault in error.faults]
    except Exception as error:  # what is made of a user's objects may be anything
        parts, faults = [], [f"it cannot be drawn: {users.name_of_type(error)}: {users.text_of(error)}"]
    if faults:
        lines = [f"{users.told(flow)}: {counted(len(faults), 'fault')}", *faults[:FAULTS_SHOWN]]
        if len(faults) > FAULTS_SHOWN:
            lines.append(f"and {len(faults) - FAULTS_SHOWN} more")
        text = escape("\n".join(lines))
        parts.append(f'<pre style="white-space:pre-wrap">{text}</pre>')
    return "\n".join(parts)


def _faults_of(flow: Flow) -> list[str]:
    faults: list[Fault] = []
    definition = define_flow(flow, faults)
    operations = definition.all_operations()
    if operations:  # as long as there are none, nothing is missing: the flow is being written
        faults += faults_of(definition, strict=False)
        faults += mode_faults(operations)
    return list(faults)
