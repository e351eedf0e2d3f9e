"""How far a run of the tests goes: a person's looks whether what is known still holds, with `--full` it searches for more."""

full = False  # set by conftest.py, before any test is imported


def of(number: int) -> int:
    """So many with `--full`; a quarter of them without."""
    return number if full else max(1, number // 4)
