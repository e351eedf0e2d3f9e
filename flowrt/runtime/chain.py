"""A chain of operations from `.in` to `.out`: the shortest way to write a flow, and to run it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, overload

from flowrt.errors import FlowError, FlowTimeoutError, counted
from flowrt.flow.flow import Flow
from flowrt.runtime.runtime import FlowRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeVar  # in `typing` one has no default before Python 3.13

    In = TypeVar("In", default=Any)
    Out = TypeVar("Out", default=Any)
    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
else:
    from typing import TypeVar

    In, Out = TypeVar("In"), TypeVar("Out")


class ChainedFlow(Flow[Out], Generic[In, Out]):
    """A flow that leads from `.in` to `.out`, and may be run by itself. Type checkers know what goes in and comes out of a chain of functions."""

    def run(self, data: In = None, *, timeout: float | None = None, **options: Any) -> Out:  # type: ignore[assignment]
        """Run it on one input, in a runtime of its own; return the data of its result.

        Args:
            data: what goes in at `.in`.
            timeout: seconds to wait for the end; past it what has not begun is discarded.
            options: of the `FlowRuntime`: `schedule="sync"`, `parallelism=False` and so on.

        Raises:
            OperationError: an operation failed; or another error of the flow.
            FlowError: nothing came out at a result port, and the text says what became of it; or more than one result did.
            FlowTimeoutError: it was not done within `timeout`.
        """
        with FlowRuntime(self, **options) as runtime:
            run = runtime.process(".in", data)
            try:
                values = run.values(timeout)
            except FlowTimeoutError:
                late = FlowTimeoutError(
                    f"run() waited {timeout} s for its end, and what has not begun is discarded. Give it longer; below is what it waited for."
                )
                late.add_note(str(runtime.explain()))
                raise late from None
            if len(values) > 1:
                raise FlowError(
                    f"run() returns one result, and this flow gave {counted(len(values), 'result')}. Gather them, or use a FlowRuntime: its "
                    "process(...).values() has them all, its stream(...) one after the other."
                )
            return values[0] if values else run.result().data


@overload
def chain(first: Callable[[In], Out], /) -> ChainedFlow[In, Out]: ...
@overload
def chain(first: Callable[[In], A], second: Callable[[A], Out], /) -> ChainedFlow[In, Out]: ...
@overload
def chain(
    first: Callable[[In], A], second: Callable[[A], B], third: Callable[[B], Out], /
) -> ChainedFlow[In, Out]: ...
@overload
def chain(
    first: Callable[[In], A], second: Callable[[A], B], third: Callable[[B], C], fourth: Callable[[C], Out], /
) -> ChainedFlow[In, Out]: ...
@overload
def chain(first: Callable[[In], Any], /, *operations: Any) -> ChainedFlow[In, Any]: ...
@overload
def chain(*operations: Any) -> ChainedFlow[Any, Any]: ...
def chain(*operations: Any) -> ChainedFlow[Any, Any]:
    """Make a flow of operations in a row, from `.in` to `.out`: `chain(find_files, Scatter(), parallel(count_words, 4), Gather(), total)`.

    What may stand there, and how it is named and connected, is as for `Flow.add_chain`.

    Raises:
        FlowBuildError: as `Flow.add_chain`.
    """
    return ChainedFlow().add_chain(".in", *operations, ".out")
