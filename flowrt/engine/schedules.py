"""What comes next. A schedule is one object that decides, so that the test kit can put its own in its place."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from flowrt.engine.chunks import Chunk
from flowrt.errors import FlowBuildError, FlowInternalError, counted, describe
from flowrt.messages import CHUNK_SIZE
from flowrt.ports import did_you_mean

if TYPE_CHECKING:
    from flowrt.messages import Way


class Schedule(Protocol):
    """Messages waiting for the engine, in chunks: what a schedule is. `FlowRuntime(schedule=MySchedule)` takes one of your own.

    A chunk holds consecutive messages of one stream, all of one priority, on their way into an operation: results leave without it, by their
    priority. What a schedule may look at: `chunk.priority`, a higher goes first;
    `stream_of(chunk)`, a hashable name of its stream; `chunk.trail.route`, of the out-port it left, or at which it entered;
    `chunk.handler.port.fullname`, where it goes; `len(chunk.data)`, how many messages it is. It changes a chunk only by `chunk.extend(other)`,
    which takes the messages of another one in if the two may travel together, and says whether it did: then the other is over.

    What a schedule promises:
        Every message that was put in comes out of `take` once, at the latest when nothing else is put in any more.
        Nothing comes out while something of a higher priority waits.
        The messages of one stream and one priority come out in the order they were put in; what is put back is in front of them.
        It calls nobody, waits for nothing, and keeps no chunk that was taken.
    All other order is its own decision.

    All is called on the engine's thread; `__iter__` may be called from any, to explain a runtime whose engine does not answer. What it raises,
    or loses, stops the runtime with a `FlowInternalError` that names it.

    Attributes:
        step: how many messages the engine may take from a chunk at once; the rest is put back. 1: each message for itself.
    """

    step: int

    def put(self, chunk: Chunk) -> None:
        """Add what the message in work led to."""

    def put_input(self, chunk: Chunk) -> None:
        """Add what came from outside, or from workers: between two steps of the engine."""

    def put_back(self, chunk: Chunk) -> None:
        """Return what was taken and could not be worked on yet, before anything that came of it is put. It goes first on its stream."""

    def take(self) -> Chunk | None:
        """Take the next chunk; None if nothing waits."""

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over all that waits, in no particular order."""

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        """Drop the unwanted chunks; the others keep their order."""


_What = TypeVar("_What")


class _ByPriority(Generic[_What]):
    """What waits, by priority."""

    def __init__(self, empty: Callable[[], _What]) -> None:
        self._empty = empty
        self._levels: dict[int, _What] = {0: empty()}
        self._order = [0]  # priorities, lowest first

    def _level(self, priority: int) -> _What:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = self._empty()
            insort(self._order, priority)
        return level


class BreadthFirst(_ByPriority[deque[Chunk]]):
    """A FIFO of chunks: all that one message led to directly goes before what that leads to."""

    step = CHUNK_SIZE

    def __init__(self) -> None:
        super().__init__(deque)

    def put(self, chunk: Chunk) -> None:
        level = self._level(chunk.priority)
        if not (level and level[-1].extend(chunk)):
            level.append(chunk)

    put_input = put

    def put_back(self, chunk: Chunk) -> None:
        self._level(chunk.priority).appendleft(chunk)

    def take(self) -> Chunk | None:
        for priority in reversed(self._order):
            level = self._levels[priority]
            if level:
                return level.popleft()
        if len(self._order) > 1:
            self._levels, self._order = {0: deque()}, [0]
        return None

    def __iter__(self) -> Iterator[Chunk]:
        for level in self._levels.values():
            yield from level

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        for priority, level in self._levels.items():
            self._levels[priority] = deque(chunk for chunk in level if not unwanted(chunk))


StreamKey = tuple[object, object]


class _Level:
    """What waits at one priority: a stack of streams (the top one last), and a FIFO of inputs."""

    __slots__ = ("inputs", "inputs_of", "stack", "streams")

    def __init__(self) -> None:
        self.stack: list[tuple[StreamKey, deque[Chunk]]] = []
        # Of those on the stack, where what is emitted next belongs.
        self.streams: dict[StreamKey, deque[Chunk]] = {}
        self.inputs: deque[Chunk] = deque()
        self.inputs_of: dict[StreamKey, int] = {}

    def put_input(self, chunk: Chunk) -> None:
        if self.inputs and self.inputs[-1].extend(chunk):
            return
        self.inputs.append(chunk)
        key = stream_of(chunk)
        self.inputs_of[key] = self.inputs_of.get(key, 0) + 1

    def push(self, key: StreamKey, waiting: deque[Chunk]) -> None:
        self.stack.append((key, waiting))
        self.streams.setdefault(key, waiting)

    def take(self) -> Chunk | None:
        if self.stack:
            key, waiting = self.stack[-1]
            chunk = waiting.popleft()
            if not waiting:
                self.stack.pop()
                if self.streams.get(key) is waiting:
                    del self.streams[key]
            return chunk
        if not self.inputs:
            return None
        chunk = self.inputs.popleft()
        key = stream_of(chunk)
        left = self.inputs_of[key] - 1
        if left:
            self.inputs_of[key] = left
        else:
            del self.inputs_of[key]
        return chunk


def stream_of(chunk: Chunk) -> StreamKey:
    """Return which stream a chunk is on: the port it left, and where it goes."""
    return chunk.trail.route, chunk.handler


class DepthFirst(_ByPriority[_Level]):
    """A stack: what a message led to is worked off to its end before its neighbour; inputs from outside keep a FIFO.

    Messages are taken singly: only so does the order hold that each goes to its end before the next. What is emitted on a stream on which
    something still waits goes behind that, so that every stream keeps its order: in a cycle, and where a high priority led back to a lower one.
    """

    step = 1

    def __init__(self) -> None:
        super().__init__(_Level)
        self._fresh: list[Chunk] = []  # emitted by the message in work; the first of them is to be on top

    def put(self, chunk: Chunk) -> None:
        if not (self._fresh and self._fresh[-1].extend(chunk)):
            self._fresh.append(chunk)

    def put_input(self, chunk: Chunk) -> None:
        if self._fresh:  # the message they came of is worked off, and they may be on the same stream
            self._stack_fresh()
        self._level(chunk.priority).put_input(chunk)

    def put_back(self, chunk: Chunk) -> None:
        level, key = self._level(chunk.priority), stream_of(chunk)
        level.push(key, deque((chunk,)))

    def waits_on(self, priority: int, streams: tuple[StreamKey, ...]) -> bool:
        """Say whether something of a priority waits on one of these streams."""
        level = self._levels.get(priority)
        if level is None or not (level.streams or level.inputs_of):
            return False
        return any(key in level.streams or key in level.inputs_of for key in streams)

    def take(self) -> Chunk | None:
        if self._fresh:
            self._stack_fresh()
        if len(self._order) == 1:
            return self._levels[self._order[0]].take()
        for priority in reversed(self._order):
            chunk = self._levels[priority].take()
            if chunk is not None:
                return chunk
        return None

    def _stack_fresh(self) -> None:
        pushed: list[tuple[_Level, StreamKey, deque[Chunk]]] = []
        for chunk in self._fresh:
            level, key = self._level(chunk.priority), stream_of(chunk)
            if key in level.inputs_of:
                level.put_input(chunk)
                continue
            waiting = level.streams.get(key)
            if waiting is None:
                waiting = level.streams[key] = deque()
                pushed.append((level, key, waiting))
            waiting.append(chunk)
        self._fresh.clear()
        for level, key, waiting in reversed(pushed):
            level.push(key, waiting)

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._fresh
        for level in self._levels.values():
            for _, waiting in level.stack:
                yield from waiting
            yield from level.inputs

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        self._fresh = [chunk for chunk in self._fresh if not unwanted(chunk)]
        for priority, level in self._levels.items():
            left = self._levels[priority] = _Level()
            for key, waiting in level.stack:
                kept = deque(chunk for chunk in waiting if not unwanted(chunk))
                if kept:
                    left.push(key, kept)
            for chunk in level.inputs:
                if not unwanted(chunk):
                    left.put_input(chunk)


class _Ring:
    """What waits at one priority: the ports that have something, in the order of their turns."""

    __slots__ = ("lines", "turns")

    def __init__(self) -> None:
        self.lines: dict[Way | None, deque[Chunk]] = {}
        self.turns: deque[Way | None] = deque()

    def line(self, port: Way | None) -> deque[Chunk]:
        line = self.lines.get(port)
        if line is None:
            line = self.lines[port] = deque()
            self.turns.append(port)
        return line

    def take(self) -> Chunk:
        port = self.turns.popleft()
        line = self.lines[port]
        chunk = line.popleft()
        if line:
            self.turns.append(port)
        else:
            del self.lines[port]
        return chunk


class RoundRobin:
    """A queue for each out-port that has work, served in turn, one message each; one for each port at which inputs enter, too.

    A port whose message was taken has its next turn behind those that have work by then; one that has had nothing comes last. A step costs
    the same however many ports there are.
    """

    step = 1

    def __init__(self) -> None:
        self._rings: dict[int, _Ring] = {}  # by priority; none is empty

    def put(self, chunk: Chunk) -> None:
        line = self._line(chunk)
        if not (line and line[-1].extend(chunk)):
            line.append(chunk)

    put_input = put

    def put_back(self, chunk: Chunk) -> None:
        self._line(chunk).appendleft(chunk)

    def _line(self, chunk: Chunk) -> deque[Chunk]:
        ring = self._rings.get(chunk.priority)
        if ring is None:
            ring = self._rings[chunk.priority] = _Ring()
        return ring.line(chunk.trail.route)

    def take(self) -> Chunk | None:
        rings = self._rings
        if not rings:
            return None
        priority = max(rings)
        ring = rings[priority]
        chunk = ring.take()
        if not ring.lines:
            del rings[priority]
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        for ring in self._rings.values():
            for line in ring.lines.values():
                yield from line

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        rings, self._rings = self._rings, {}
        for ring in rings.values():
            for port in ring.turns:
                for chunk in ring.lines[port]:
                    if not unwanted(chunk):
                        self._line(chunk).append(chunk)


PARALLEL: Literal["parallel"] = "parallel"  # breadth-first, and operations without state share threads
ScheduleName = Literal["breadth_first", "depth_first", "round_robin", "parallel", "sync"]

SCHEDULES: dict[ScheduleName, Callable[[], Schedule]] = {
    "breadth_first": BreadthFirst,
    "depth_first": DepthFirst,
    "round_robin": RoundRobin,
    PARALLEL: BreadthFirst,
    "sync": DepthFirst,
}


METHODS = ("put", "put_input", "put_back", "take", "clear", "__iter__")


class OwnSchedule:
    """Stands before a schedule of the user's. It counts what waits there, so that nothing is lost without a word.

    Raises: `FlowInternalError`, naming the schedule, where that raises or gives back something else than it was given; the engine stops.
    """

    def __init__(self, own: Schedule) -> None:
        self.step: int = own.step
        self._own = own
        self._waiting = 0  # messages

    def put(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put", chunk)

    def put_input(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put_input", chunk)

    def put_back(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put_back", chunk)

    def take(self) -> Chunk | None:
        chunk: Chunk | None = self._call("take")
        if chunk is None:
            if self._waiting:
                raise self._broken(
                    f"take() gave nothing though {counted(self._waiting, 'message')} must be waiting there"
                )
            return None
        if not isinstance(chunk, Chunk):
            raise self._broken(f"take() gave a {type(chunk).__qualname__}, not a chunk or None")
        self._waiting -= len(chunk.data)
        if self._waiting < 0 or not chunk.data:
            raise self._broken("take() gave what had been taken before, or was never put there")
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        try:
            yield from self._own
        except (
            RuntimeError
        ):  # it changes under the hands of whoever looks from another thread, and looks again
            raise
        except Exception as error:
            raise self._broken(f"__iter__() raised {type(error).__qualname__}") from error

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        self._call("clear", unwanted)
        self._waiting = sum(len(chunk.data) for chunk in self._own)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._own, name)(*arguments)
        except Exception as error:
            raise self._broken(f"{name}() raised {type(error).__qualname__}") from error

    def _broken(self, what: str) -> FlowInternalError:
        return FlowInternalError(
            f'the schedule "{type(self._own).__qualname__}" breaks its contract: {what}. The runtime was stopped, and nothing it still held was '
            "worked on. flowrt.testing.check_schedule shows what is wrong with it."
        )


def schedule_of(given: str | Callable[[], Schedule]) -> Schedule:
    """Make the schedule of a runtime, given its name or what makes one; `FlowBuildError` if it is none."""
    if isinstance(given, str):
        if given not in SCHEDULES:
            raise FlowBuildError(f'there is no schedule "{given}".{did_you_mean(given, SCHEDULES)}')
        return SCHEDULES[given]()
    if not callable(given):
        remedy = "Give a name, or the class or function that makes one."
        if hasattr(given, "take"):
            remedy = (
                "One schedule serves one runtime, so give what makes a new one: its class, or a function."
            )
        raise FlowBuildError(
            f"schedule is a {type(given).__qualname__}. {remedy}{did_you_mean('', SCHEDULES)}"
        )
    try:
        made: Any = given()
    except Exception as error:
        raise FlowBuildError(
            f"the schedule could not be made: {_named(given)}() raised {describe(error)}."
        ) from error
    _check(made, _named(given))
    return made if given in SCHEDULES.values() else OwnSchedule(made)


def _named(given: Any) -> str:
    return getattr(given, "__qualname__", type(given).__qualname__)


def _check(made: Any, maker: str) -> None:
    what = f"what {maker}() makes as a schedule ({type(made).__qualname__})"
    lacking = [name for name in METHODS if not callable(getattr(made, name, None))]
    if not hasattr(made, "step"):
        lacking.append("step")
    if lacking:
        raise FlowBuildError(
            f"{what} lacks {', '.join(lacking)} of the contract flowrt.engine.schedules.Schedule."
        )
    if type(made.step) is not int or made.step < 1:
        raise FlowBuildError(
            f"{what} has step={made.step!r}; it says how many messages of a chunk are taken at once: 1, or more."
        )
    try:
        holds_some = next(iter(made), None) is not None
    except Exception as error:
        raise FlowBuildError(
            f"{what} cannot be looked at: __iter__() raised {describe(error)}. Have it iterate over all that waits, nothing at first."
        ) from error
    if holds_some:
        raise FlowBuildError(
            f"{what} holds messages already: it was given to another runtime. Make a new one in every call."
        )
