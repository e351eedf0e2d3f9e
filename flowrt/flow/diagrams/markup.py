"""A flow as text that others draw: Mermaid for GitHub, GitLab, notebooks and many editors, DOT for GraphViz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowrt.flow.diagrams.graph import graph_of

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Drawable, Edge, Graph


SHAPES = {  # in Mermaid
    "operation": ('["', '"]'),
    "scatter": ('[/"', '"\\]'),
    "gather": ('[\\"', '"/]'),
    "flow": ('[["', '"]]'),
    "in": ('(("', '"))'),
    "out": ('(("', '"))'),
    "elsewhere": ('>"', '"]'),
}
EDGES_DRAWN = 500  # Mermaid's own default of maxEdges
# Within quotes, letters, digits and these stand for themselves; all else is written as a code: what Mermaid would read as a
# quote, HTML, an entity, an icon, a formula or a statement. Checked with mermaid 11.17.2 in a browser, security levels "strict" and
# "loose": each of some hundred odd names, ports and comments (keywords, quotes, tags, entities, Markdown, directives, scripts beside
# the Latin one) and those of 250 random flows, boxes included, are drawn as they are written, and nothing of them becomes an element.
_PLAIN = frozenset(" .,/-_→●○…")
ATTRIBUTES = {  # in DOT
    "operation": "",
    "scatter": ", shape=trapezium, orientation=90",
    "gather": ", shape=trapezium, orientation=270",
    "flow": ", peripheries=2",
    "elsewhere": ", shape=plaintext",
}


def to_mermaid(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> str:
    """Return the text of a Mermaid flowchart.

    Args:
        flow: what is drawn; nothing in it is run.
        subflow: the name or path of a flow in it that is drawn instead.
        boxes: draw the flows inside it as boxes with what is in them, not as single nodes.

    Raises:
        FlowBuildError: there is no such flow in it.
    """
    graph = graph_of(flow, subflow, boxes=boxes)
    lines = ["flowchart LR"]
    if len(graph.edges) > EDGES_DRAWN:
        lines.append(f"%% {len(graph.edges)} streams: Mermaid must be initialised with maxEdges above that")
    unknown: list[str] = []
    lines += _mermaid_nodes(graph, "  ", unknown)
    lines += [f"  {edge.source.id} -->{_label(edge)} {edge.target.id}" for edge in graph.all_edges()]
    if unknown:
        lines += ["  classDef unknown stroke-dasharray: 5 4", f"  class {','.join(unknown)} unknown"]
    return "\n".join(lines) + "\n"


def _mermaid_nodes(graph: Graph, indent: str, unknown: list[str]) -> Iterator[str]:
    for node in graph.nodes.values():
        if node.inner is not None:
            yield f'{indent}subgraph {node.id}["{_escaped(node.label)}"]'
            yield f"{indent}  direction LR"
            yield from _mermaid_nodes(node.inner, indent + "  ", unknown)
            yield f"{indent}end"
        else:
            before, after = SHAPES[node.kind]
            yield f"{indent}{node.id}{before}{_escaped(node.label)}{after}"
        if not node.known:
            unknown.append(node.id)


def _label(edge: Edge) -> str:
    texts = [_escaped(text) for text in (edge.ports, edge.comment) if text]
    return f'|"{"<br/>".join(texts)}"|' if texts else ""


def _escaped(text: str) -> str:
    return "".join(each if each.isalnum() or each in _PLAIN else f"#{ord(each)};" for each in text)


def to_dot(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> str:
    """Return the text of a digraph in the DOT language; arguments and errors as of `to_mermaid`."""
    graph = graph_of(flow, subflow, boxes=boxes)
    lines = [
        f"digraph {_quoted(graph.name or 'flow')} {{",
        "  rankdir=LR;",
        '  node [shape=box, fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, arrowsize=0.7];',
        *_dot_nodes(graph, "  "),
    ]
    for edge in graph.all_edges():
        texts = {"taillabel": edge.source_port, "headlabel": edge.target_port, "label": edge.comment}
        labels = ", ".join(f"{name}={_quoted(text)}" for name, text in texts.items() if text)
        lines.append(f"  {edge.source.id} -> {edge.target.id}{f' [{labels}]' if labels else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_nodes(graph: Graph, indent: str) -> Iterator[str]:
    for node in graph.nodes.values():
        if node.inner is not None:
            yield f"{indent}subgraph cluster_{node.id} {{"
            yield f'{indent}  label={_quoted(node.label)}; fontname="Helvetica"; fontsize=11; style=rounded;'
            yield from _dot_nodes(node.inner, indent + "  ")
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
