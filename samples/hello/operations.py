"""What the flow of this folder is made of."""

from flowrt import operation


@operation
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@operation
def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()
