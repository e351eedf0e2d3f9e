"""The telegram problem: reformat text to lines of a given width."""

from samples.telegram.flow import reformat

__all__ = ["reformat"]
