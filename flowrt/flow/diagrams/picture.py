"""Pictures of flows as objects: they show themselves in notebooks and save themselves to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from flowrt.errors import FlowBuildError
from flowrt.flow.diagrams.graph import flow_names, graph_of
from flowrt.flow.diagrams.labels import shown
from flowrt.flow.diagrams.markup import to_dot, to_mermaid
from flowrt.flow.diagrams.notebook import FRAME
from flowrt.flow.diagrams.svg import to_svg

if TYPE_CHECKING:
    from flowrt.flow.diagrams.graph import Drawable


WRITERS = {".svg": to_svg, ".mmd": to_mermaid, ".mermaid": to_mermaid, ".dot": to_dot, ".gv": to_dot}
NESTED_SHOWN = 30  # pictures of nested flows below that of a flow; arbitrary


class Picture:
    """A picture of a flow, drawn anew whenever it is shown or saved. Notebooks show it as it is, with the flows inside it below."""

    def __init__(self, flow: Drawable, subflow: str = "", *, boxes: bool = False) -> None:
        graph_of(flow, subflow)  # a name that is none is told of here, not where the picture is shown
        self._flow = flow
        self._subflow = subflow
        self._boxes = boxes

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, in the form that its suffix names: .svg, .html, .mmd (Mermaid), .dot or .gv.

        Raises:
            FlowBuildError: another suffix, or too large a flow for SVG.
            OSError: as writing a file raises it.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix == ".html":
            text = f'<!doctype html>\n<meta charset="utf-8">\n{self._page()}\n'
        elif suffix in WRITERS:
            text = WRITERS[suffix](self._flow, self._subflow, boxes=self._boxes)
        else:
            says = f'a picture cannot be saved as "{shown(file.name)}": the suffix says how it is written. Use one of .html, {", ".join(WRITERS)}.'
            raise FlowBuildError(says)
        file.write_text(text, encoding="utf-8", newline="\n")
        return file

    def _repr_svg_(self) -> str:
        return to_svg(self._flow, self._subflow, boxes=self._boxes)

    def _repr_html_(self) -> str:
        try:
            return self._page()
        except FlowBuildError as error:
            return f"<pre>{escape(str(error))}</pre>"

    def _page(self) -> str:
        parts = [FRAME.format(self._repr_svg_())]
        if not self._subflow and not self._boxes:
            names = flow_names(self._flow)
            for name in names[:NESTED_SHOWN]:
                drawn = FRAME.format(to_svg(self._flow, name))
                parts.append(f"<details><summary>{escape(shown(name))}</summary>\n{drawn}</details>")
            if len(names) > NESTED_SHOWN:
                parts.append(f"<p>and {len(names) - NESTED_SHOWN} flows more</p>")
        return "\n".join(parts)


def picture(flow: Drawable, subflow: str = "", *, boxes: bool = False) -> Picture:
    """Return a picture that shows itself in notebooks and can be saved; arguments and errors as of `to_mermaid`."""
    return Picture(flow, subflow, boxes=boxes)
