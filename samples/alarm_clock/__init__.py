"""An alarm clock: a flow between a clock and a dialog, which is a window or, headless, a script."""
