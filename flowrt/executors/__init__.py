"""Where calls are made: on the engine's thread, on threads of workers, by dispatchers.

Begin with `pools`, who gets which, then `inline`, the simplest. With workers: `workers`, what they share, `backlog`, what waits, `threads` and
`dispatched`. `seams` is what tests put their own in place of. It may import `engine` and what is below it; `engine.contract` is what an
executor keeps.
"""
