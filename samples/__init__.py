"""Programs that show flowrt at work; run each from the checkout with `python -m samples.NAME`."""
