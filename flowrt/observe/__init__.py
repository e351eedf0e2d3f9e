"""What there is to say of a runtime: figures of what became of messages, and what is going on, in words.

Begin with `explain`, what is said, then `facts`, where it comes from; `calls` reads the frames of threads, `figures` the ledgers and meters. It
looks and changes nothing. It may import `executors` and what is below it; `runtime` asks it, so it cannot ask `runtime`.
"""
