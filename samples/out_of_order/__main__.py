"""`python -m samples.out_of_order`: find the order of events in which the book is bound wrongly, and show that the mended flow has none."""

from __future__ import annotations

from time import perf_counter

from flowrt import Message
from flowrt.testing import explore, run_flow
from samples.out_of_order.flow import book

TITLES = ["Loomings", "The Carpet-Bag", "The Spouter-Inn"]
INPUTS = [(".in", TITLES)]
REHEARSALS = 100


def check(results: list[Message]) -> None:
    """The chapters stand in the order of the titles, once each."""
    assert [result.data for result in results] == ["LOOMINGS / THE CARPET-BAG / THE SPOUTER-INN"]


def right_on_threads() -> int:
    """Run the flow with the bug on real threads; count how often it gives the right book."""
    right = 0
    for _ in range(REHEARSALS):
        (result,) = run_flow(book(ordered=False), INPUTS)
        right += result.data == "LOOMINGS / THE CARPET-BAG / THE SPOUTER-INN"
    return right


def main() -> None:
    """Print what a hundred runs on threads show, what `explore` finds, and what it finds in the mended flow."""
    print(f"on threads: the right book in {right_on_threads()} of {REHEARSALS} runs")
    started = perf_counter()
    try:
        explore(book(ordered=False), INPUTS, check)
    except AssertionError as error:
        print(f"explored: a wrong book, found and shrunk in {perf_counter() - started:.3f} s")
        for note in error.__notes__:
            print(f"  {note}")
    explored = explore(book(ordered=True), INPUTS, check)
    print(f"mended: the right book in all of {explored.schedules} orders")


if __name__ == "__main__":
    main()
