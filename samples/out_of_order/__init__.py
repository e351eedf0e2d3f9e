"""A book whose chapters are set by four hands at once, and bound in the order in which they come back: a bug to find."""

from samples.out_of_order.flow import book

__all__ = ["book"]
