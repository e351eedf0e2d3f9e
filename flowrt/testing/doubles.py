"""Stand-ins for what surrounds the operation or flow under test: probes, sources, and functions that fail or take time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import define

from flowrt.errors import FlowBuildError, FlowError, FlowTimeoutError, counted
from flowrt.messages import Message
from flowrt.operations.contract import Emitter, Operation
from flowrt.ports import Port
from flowrt.runtime.runtime import FlowRuntime
from flowrt.testing.clock import IN_USE
from flowrt.testing.comparing import same
from flowrt.testing.inside import is_target, refuse_wait, wait_until, wake_waiting

if TYPE_CHECKING:
    from flowrt.testing.clock import FakeClock


class _Collect(Operation):
    """Keeps every message it gets."""

    def __init__(self, name: str, keep: Callable[[Message], None]) -> None:
        super().__init__(name)
        self._keep = keep

    def handle(self, _state: Any, message: Message, _emit: Emitter) -> None:
        self._keep(message)


class Probe:
    """Collects what leaves a port, beside whatever else the port is connected to.

        probe = Probe(runtime, "scatter.stream")
        runtime.process(".in", [1, 2, 3])
        assert probe.wait_for(3) == [1, 2, 3]

    It is an operation of its own at the end of a stream of its own, so every message it gets is born and absorbed in the ledger.

    Args:
        runtime: a runtime, running or not.
        port: where a stream may start: an operation's out-port, a scatter's `.stream`, `.in`.

    Attributes:
        messages: so far, in order of arrival.
    """

    _numbers = count(1)

    def __init__(self, runtime: FlowRuntime, port: str | Port) -> None:
        self.port: Port = Port.parse(port)
        self.messages: list[Message] = []
        self._runtime = runtime
        if not self.port.has_operation and is_target(runtime, self.port):
            raise FlowBuildError(
                f'"{self.port}" is where streams lead, and a probe listens where they start. Name the out-port in front of it; results are read '
                "with run.results() or runtime.on_result()."
            )
        name = f"probe {next(self._numbers)}"
        runtime.add_operation(_Collect(name, self._keep))
        runtime.add_stream(self.port, name)

    def __repr__(self) -> str:
        return f'<probe of "{self.port}": {counted(len(self.messages), "message")}>'

    def _keep(self, message: Message) -> None:
        self.messages.append(message)
        wake_waiting(self._runtime)

    @property
    def data(self) -> list[Any]:
        """What the messages so far carried."""
        return [message.data for message in list(self.messages)]

    def wait_for(self, number: int, timeout: float = 5.0) -> list[Any]:
        """Wait until `number` messages have come; return the data of all that have.

        It sleeps until something comes; in a simulation, and under the sync schedule, it works instead.

        Args:
            number: of messages, counted from the first.
            timeout: seconds; in a simulation of fake time.

        Raises:
            FlowTimeoutError: they did not come in time, or before the runtime was closed.
            FlowStalledError: it is called on the engine's thread or a worker's, where it would wait for itself.
        """
        refuse_wait(self._runtime, f"for messages of a probe of {self.port}", timeout)
        if not wait_until(self._runtime, lambda: len(self.messages) >= number, timeout):
            raise FlowTimeoutError(
                f'"{self.port}" gave {counted(len(self.messages), "message")} within {timeout} s; waited for {number}. See probe.messages, and '
                "run.ledger for where the others are."
            )
        return self.data


class Source:
    """An iterable that knows what was taken of it: to scatter, to give to `process_many`, or to return from a generator operation.

        source = Source(range(100))
        runtime.process(".in", source)        # .in -> scatter
        assert source.pulled <= window

    Args:
        items: what it gives.
        error: raised after the last item instead of ending.

    Attributes:
        pulled: how many items were taken.
        exhausted: whether it was asked for more than there were.
        closed: whether it was closed before its end, as open sources are on `cancel` and `close`.
    """

    def __init__(self, items: Iterable[Any] = (), error: BaseException | None = None) -> None:
        self._items = iter(items)
        self._error = error
        self.pulled: int = 0
        self.exhausted: bool = False
        self.closed: bool = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else "exhausted" if self.exhausted else "open"
        return f"<source: {counted(self.pulled, 'item')} pulled, {state}>"

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.closed:
            raise StopIteration
        try:
            item = next(self._items)
        except StopIteration:
            self.exhausted = True
            if self._error is not None:
                raise self._error from None
            raise
        self.pulled += 1
        return item

    def close(self) -> None:
        """End it."""
        self.closed = self.closed or not self.exhausted


class Failing:
    """A function that raises at some of its calls. Calls are counted over all threads, from 1.

        operations.add_func("parse", Failing(parse, at=3))

    Args:
        function: what it does otherwise; by default it returns what it is given.
        at: the number of a call, or several.
        error: what it raises, or makes it: an exception, or its class.

    Attributes:
        calls: how many there were.
    """

    def __init__(
        self,
        function: Callable[[Any], Any] = same,
        at: int | Collection[int] = 1,
        error: BaseException | type[BaseException] = RuntimeError,
    ) -> None:
        numbers = [at] if isinstance(at, int) else list(at)
        if not all(isinstance(number, int) and number >= 1 for number in numbers):
            raise FlowError(f"Failing counts calls from 1; at={at!r} is none of them.")
        self._function = function
        self._at = frozenset(numbers)
        self._error = error
        self._lock = Lock()
        self.calls: int = 0

    def __call__(self, data: Any) -> Any:
        with self._lock:
            self.calls += 1
            number = self.calls
        if number not in self._at:
            return self._function(data)
        if isinstance(self._error, type):
            raise self._error(f"call {number} was to fail")
        raise self._error


@define(eq=False, repr=False)
class Slow:
    """A function that takes fake time: in a simulation beside other calls, elsewhere by moving a clock.

        operations.add_func("fetch", Slow(fetch, 2.0)).make_parallel(4)

    Args:
        function: what it does; by default it returns what it is given.
        seconds: how long a call takes, or a function of the data that says so.
        clock: to move; by default that of the simulation in which it is called.

    Raises:
        FlowError: (when called) there is neither a clock nor a simulation.
    """

    _function: Callable[[Any], Any] = same
    _seconds: float | Callable[[Any], float] = 1.0
    _clock: FakeClock | None = None

    def __call__(self, data: Any) -> Any:
        clock = self._clock or IN_USE.clock
        if clock is None:
            raise FlowError(
                "Slow takes fake time, and there is none here: run the flow in a simulation (run_flow(..., seed=1), explore, simulated()), or "
                "give Slow the FakeClock it is to move."
            )
        clock.sleep(self._seconds(data) if callable(self._seconds) else self._seconds)
        return self._function(data)
