"""What there is to see of a runtime: its ledgers, and what it is doing."""
