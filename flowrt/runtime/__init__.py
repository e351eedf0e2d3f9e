"""One flow being executed: the way in, the loop around the engine, the way out, and the end."""
