"""`python -m samples.own_operation`: run both in one flow, on the same numbers."""

from __future__ import annotations

from flowrt import Flow, FlowOperationContainer, FlowRuntime
from samples.own_operation import by_hand, component

STREAMS = """
.in, by_hand
.in, component
.reset, by_hand.reset
.reset, component.reset

by_hand.up, .by_hand_up
by_hand.down, .by_hand_down
component.up, .component_up
component.down, .component_down
"""


def main() -> None:
    """Print what each says, as it leaves."""
    operations = (
        FlowOperationContainer()
        .add_operation(by_hand.Trend("by_hand"))
        .add_component("component", component.Trend)
    )
    with FlowRuntime(Flow.from_text(STREAMS).add_operations(operations), schedule="sync") as runtime:
        for number in (3, 5, 5, 1):
            show(runtime, ".in", number)
        show(runtime, ".reset")
        show(runtime, ".in", 9)
        show(runtime, ".in", 10)


def show(runtime: FlowRuntime, port: str, number: int | None = None) -> None:
    """Send a number, and print what it leads to."""
    said = [f"{result.port.name} {result.data}" for result in runtime.process(port, number).results()]
    print(f"{number or 'reset'}: {', '.join(said) or 'nothing'}")


if __name__ == "__main__":
    main()
