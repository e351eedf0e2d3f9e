"""What a box of a flow does: the contract, plain callables, components; where each runs, and what becomes of its calls."""
