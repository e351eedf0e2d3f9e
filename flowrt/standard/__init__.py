"""The operators that come with flowrt. They use nothing but the `Operation` contract."""

from flowrt.standard.causality import PopCausality, PushCausality
from flowrt.standard.scatter_gather import Gather, Gathered, Scatter

__all__ = ["Gather", "Gathered", "PopCausality", "PushCausality", "Scatter"]
