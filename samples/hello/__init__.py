"""The smallest flow: a file of flow text, and a module with its operations, run from the command line."""
