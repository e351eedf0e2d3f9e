"""The room that decides: what goes where, what is next, who is told. It knows no thread, no queue and no clock of its own.

It may import the flow's description (`flow`) and what that stands on, for types too; not `executors`, `observe` or `runtime`.
Begin in `engine.py` with the turn, then go down: fusion, outcomes, acts, runs, sources, traffic, failures, attempts, routes, schedules, ledger,
wakes, and the nouns: contract, chunks, places, meters. Each uses only what follows; types may go any way.
"""
