"""Page through a CSV file in the terminal, by a flow of nested flows."""
