"""Pictures of flows: Mermaid and DOT text, and SVG that needs nothing but flowrt. Drawing runs and imports nothing of the flow.

Begin with `graph`, which says what a picture shows, then `markup`, which writes that as it is. For `svg`, `plan` gives the
nodes their sizes, by the texts in them (`labels`), and cuts streams at the borders of boxes; `layout` gives them their places.
It imports from the drawing (`flow`) and what is below it; of a `FlowRuntime` it knows that it has a flow.
"""

from flowrt.flow.diagrams.graph import flow_names
from flowrt.flow.diagrams.markup import to_dot, to_mermaid
from flowrt.flow.diagrams.picture import Picture, picture
from flowrt.flow.diagrams.svg import to_svg

__all__ = ["Picture", "flow_names", "picture", "to_dot", "to_mermaid", "to_svg"]
