"""Pictures of flows: Mermaid and DOT text, and SVG that needs nothing but flowrt. Drawing runs and imports nothing of the flow."""

from flowrt.flow.diagrams.dot import to_dot
from flowrt.flow.diagrams.graph import flow_names
from flowrt.flow.diagrams.mermaid import to_mermaid
from flowrt.flow.diagrams.picture import Picture, picture
from flowrt.flow.diagrams.svg import to_svg

__all__ = ["Picture", "flow_names", "picture", "to_dot", "to_mermaid", "to_svg"]
