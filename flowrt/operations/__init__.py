"""What a box of a flow does: its contract, plain callables, components; where each runs, and what becomes of its calls.

Begin with `contract.py`, what an operation is, and `bodies.py`, what performs the calls of one. `declarations.py` is what is known of an
operation once it was added; `registration.py` makes declarations of whatever a user gives.
Of flowrt, only the ground is imported: `messages`, `ports`, `clock`, `errors`. No thread and no I/O.
"""
