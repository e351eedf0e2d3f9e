"""One flow being executed: the way in, the loop around the engine, the way out, and the end.

It may import everything but `testing` and `cli`. Begin with `runtime.FlowRuntime`, the verbs; `wiring.wired` makes the parts
and says who knows whom; then in a message's order: `input`, `room`, `inbox`, `loop` (a step), `owner` (whose thread takes it), `results`, `run`.
"""
