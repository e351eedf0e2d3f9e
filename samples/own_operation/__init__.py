"""One operation with ports and a memory, written twice: against the contract of operations, and as a component."""
