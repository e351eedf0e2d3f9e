"""Pictures of flows: Mermaid and DOT text, and SVG that needs nothing but flowrt. Drawing runs and imports nothing of the flow."""

from flowrt.diagrams.dot import to_dot
from flowrt.diagrams.graph import flow_names
from flowrt.diagrams.mermaid import to_mermaid
from flowrt.diagrams.picture import Picture, picture
from flowrt.diagrams.svg import to_svg

__all__ = ["Picture", "flow_names", "picture", "to_dot", "to_mermaid", "to_svg"]
