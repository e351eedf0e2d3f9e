"""One operation on its own."""

from __future__ import annotations

from typing import Any

from flowrt.errors import FlowBuildError
from flowrt.flow.container import FlowOperationContainer
from flowrt.messages import Message
from flowrt.operations.components import is_component
from flowrt.operations.declarations import Declaration
from flowrt.operations.signatures import shape_of
from flowrt.ports import Port, each_once
from flowrt.runtime.run import Run
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.inside import capture_outputs
from flowrt.testing.simulation import simulated


def drive(operation: Any, *inputs: Any, port: str = "", seed: int | None = None) -> list[Message]:
    """Run one operation alone, on this thread, and return the messages it emits, in order.

    Args:
        operation: a function, a generator function or an action (told apart by its signature), an `Operation`, a component, or a
            container that holds just one.
        inputs: data for the in-port `port`, or whole `Message`s, whose port says which in-port they are for.
        port: the in-port.
        seed: None takes one input after the other and leaves the operation's mode aside; with a seed all inputs are sent at once, and the
            operation works on them in its mode, in the order of events of `simulated(seed)`.

    Raises:
        OperationError: what the operation raises, as in a flow; the messages before it are lost to the caller.
    """
    container = container_of(operation)
    declarations = list(container)
    if len(declarations) != 1:
        raise FlowBuildError(
            f"drive runs one operation alone; the container holds {len(declarations)}. Select by making one of its own."
        )
    declaration = declarations[0]
    messages = [
        given if isinstance(given, Message) else Message(_in_port(declaration, port), given)
        for given in inputs
    ]
    emitted: list[Message] = []
    with _runtime(seed) as runtime:
        capture_outputs(runtime)
        runtime.add_operations(container)
        for name in each_once([*(declaration.in_ports or ()), *(message.port.name for message in messages)]):
            runtime.add_stream(entry(name), _in_port(declaration, name))
        runtime.on_result(emitted.append)
        runs = []
        for message in messages:
            runs.append(send(runtime, message))
            if seed is None:
                runs[-1].wait()
        for run in runs:
            run.wait()
    return emitted


def _runtime(seed: int | None) -> FlowRuntime:
    if seed is None:
        return FlowRuntime(schedule="sync", parallelism=False, name="drive")
    return FlowRuntime(name="drive", seams=simulated(seed))


def _in_port(declaration: Declaration, name: str) -> Port:
    return Port(operation=declaration.name, name=name.removeprefix("."))


def entry(port: str, place: str = "") -> Port:
    """Return the port of the environment from where a stream leads to an in-port."""
    return Port(name=f"in {port} {place}".strip())


def send(runtime: FlowRuntime, message: Message, place: str = "") -> Run:
    """Send a message, whose port says which in-port it is for."""
    port = entry(message.port.name, place)
    return runtime.process(Message(port, message.data, message.correlation_id, message.priority))


def container_of(operation: Any) -> FlowOperationContainer:
    """Return a container that holds the operation; of a function by what its signature says it is."""
    if isinstance(operation, FlowOperationContainer):
        return operation
    container = FlowOperationContainer()
    if hasattr(operation, "handle"):
        return container.add_operation(operation)
    name = _name_of(operation)
    if is_component(operation if isinstance(operation, type) else type(operation)):
        return container.add_component(name, operation)
    shape = shape_of("function", name, operation)
    if shape.generates:
        return container.add_generator(name, operation)
    if len(shape.required) > 1:
        return container.add_action(name, operation)
    return container.add_func(name, operation)


def _name_of(operation: Any) -> str:
    name = getattr(operation, "__name__", type(operation).__name__)
    return name if name.isidentifier() else "operation"
