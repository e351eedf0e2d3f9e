"""A flow in the DOT language of GraphViz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowrt.flow.diagrams.graph import graph_of

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Drawable, Graph


ATTRIBUTES = {
    "operation": "",
    "scatter": ", shape=trapezium, orientation=90",
    "gather": ", shape=trapezium, orientation=270",
    "flow": ", peripheries=2",
    "elsewhere": ", shape=plaintext",
}


def to_dot(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> str:
    """Return the text of a digraph in the DOT language; arguments and errors as of `to_mermaid`."""
    graph = graph_of(flow, subflow, boxes=boxes)
    lines = [
        f"digraph {_quoted(graph.name or 'flow')} {{",
        "  rankdir=LR;",
        '  node [shape=box, fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.7];',
        *_nodes(graph, "  "),
    ]
    for edge in graph.all_edges():
        texts = {"taillabel": edge.source_port, "headlabel": edge.target_port, "label": edge.comment}
        labels = ", ".join(f"{name}={_quoted(text)}" for name, text in texts.items() if text)
        lines.append(f"  {edge.source.id} -> {edge.target.id}{f' [{labels}]' if labels else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def _nodes(graph: Graph, indent: str) -> Iterator[str]:
    for node in graph.nodes.values():
        if node.inner is not None:
            yield f"{indent}subgraph cluster_{node.id} {{"
            yield f'{indent}  label={_quoted(node.label)}; fontname="Helvetica"; fontsize=11; style=rounded;'
            yield from _nodes(node.inner, indent + "  ")
            yield f"{indent}}}"
        elif node.is_point:
            yield f"{indent}{node.id} [shape=point, width=0.1, xlabel={_quoted(node.label)}];"
        else:
            dashed = "" if node.known else ", style=dashed"
            yield f"{indent}{node.id} [label={_quoted(node.label)}{ATTRIBUTES[node.kind]}{dashed}];"


def _quoted(text: str) -> str:
    r"""Quote a text: `\` starts an escape of GraphViz (`\N` is the node's name), `&` an entity."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{escaped}"'
