"""What stands around the engine: executors, where operations run and outcomes come back as data, never as a raised exception; and the host."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flowrt.engine.chunks import variables_of
from flowrt.errors import FlowBuildError
from flowrt.operations.bodies import Group, Pull

if TYPE_CHECKING:
    from random import Random

    from flowrt.engine.chunks import Chunk
    from flowrt.engine.places import Place
    from flowrt.engine.runs import RunHandle
    from flowrt.errors import FlowError
    from flowrt.operations.declarations import Declaration
    from flowrt.operations.variables import Variables
    from flowrt.ports import Port


class Reorder:
    """Restores the order of arrival: outcomes wait here for their predecessors.

    Called on: the engine's thread.
    """

    __slots__ = ("_early", "_next")

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, tuple[int, Callable[[], None]]] = {}

    def add(self, sequence: int, messages: int, settle: Callable[[], None]) -> None:
        """Take in what became of `messages` from number `sequence` on; settle all whose turn has come."""
        self._early[sequence] = (messages, settle)
        while self._next in self._early:
            messages, settle = self._early.pop(self._next)
            self._next += messages
            settle()


class Task(Group):
    """A group of one place on its way through an executor and back.

    `reported`, `counted` and `log_read` say how far the engine has taken its results and its log into account; engine's thread only.
    """

    __slots__ = (
        "busy",
        "calls_ended",
        "chunk",
        "counted",
        "emitted",
        "ident",
        "kept",
        "limit",
        "log_read",
        "lost",
        "nudged",
        "place",
        "reorder",
        "reported",
        "sequence",
        "settled",
        "started",
        "whereabouts",
        "worker",
    )

    def __init__(self, place: Place, chunk: Chunk, collect: Callable[[Group], None] | None = None) -> None:
        super().__init__(chunk.data, collect)
        self.variables: Variables = variables_of(chunk)
        self.place: Place = place
        self.chunk: Chunk = chunk
        self.reorder: Reorder | None = None  # where its results wait for what came before
        self.sequence: int = 0  # the number of its first message there
        self.started: float = 0.0
        self.busy: float = 0.0
        self.worker: int = 0
        self.limit: int = len(chunk.data)  # what comes behind was taken back; under the pool's lock
        self.settled: bool = (
            False  # a guard let its outcome count: not if the call is made again, nor before its turn
        )
        self.lost: bool = False  # it was given up: what its worker still brings counts for nothing
        self.whereabouts: str = ""  # of a call that was given up: what its thread was doing
        self.ident: int | None = None  # of the worker's thread
        self.nudged: bool = False
        self.reported: int = 0
        self.counted: int = 0
        self.log_read: int = 0
        self.emitted: dict[Any, int] = {}  # by index; where positions are asked for, by (index, port) too
        self.calls_ended: set[int] = set()
        self.kept: set[int] = set()

    def count_calls(self) -> None:
        """Count the calls that are over; engine's thread, before what they lead to, which may be the end of the run."""
        calls = len(self.results)
        self.place.meter.calls += calls - self.counted
        self.counted = calls


class PullTask(Pull):
    """A pull of one source on its way through an executor and back."""

    __slots__ = ("busy", "first", "ident", "place", "reported", "source", "started", "worker")

    def __init__(self, source: Any, iterator: Iterator[Any], quota: int) -> None:
        super().__init__(iterator, quota)
        self.source: Any = source
        self.place: Place = source.place
        self.started: float = 0.0
        self.busy: float = 0.0
        self.ident: int | None = None  # of the worker's thread
        self.worker: int = 0  # its number: of that which made the steps before, then of that which made these
        self.first: bool = False  # of its source
        self.reported: int = 0


class Reports(Protocol):
    """What an executor tells the engine. From another thread it says so through `post`."""

    def collect(self, group: Group) -> None:
        """Called by emissions; decides whether they must be fetched now. Any thread."""

    def report(self, task: Task, *, final: bool = True) -> None:
        """Take into account what a task has brought forth so far; `final`: it is over. Engine's thread."""

    def report_pull(self, pull: PullTask, *, final: bool = True) -> None:
        """Take the items a pull has brought so far. Engine's thread."""

    def pass_on(self, place: Place, chunk: Chunk, results: list[Any], seconds: float) -> None:
        """Take one result for each message of an inline chunk. Engine's thread."""

    def give_back(self, chunk: Chunk) -> None:
        """Take the rest of an inline chunk back, in front of its queue. Engine's thread."""

    def handed(self) -> None:
        """A dispatcher was given calls: have who waits on its thread look. Any thread."""


class Executor(Protocol):
    """Where an operation runs. All methods are called on the engine's thread and (`join` aside) return at once.

    What has a body here is how it is where nothing goes on but in `submit` and `pull`; who derives from this has to write these two.

    Attributes:
        inline: it performs in `submit` and `pull`, on the engine's thread.
        dispatcher: the type of the dispatcher that makes its calls; empty where none does.
    """

    inline: bool = False
    dispatcher: str = ""

    def submit(self, place: Place, chunk: Chunk) -> None:
        """Perform a chunk's messages, in groups; report each group once, in any order unless the mode keeps one."""

    def pull(self, pull: PullTask) -> None:
        """Pull a source; report it once."""

    @property
    def began(self) -> float | None:
        """When what it performs inline, or has performed last, began."""
        return None

    @property
    def waits_since(self) -> float | None:
        """When its dispatcher was given what it has not come to; None if there is nothing. Any thread."""
        return None

    def run_here(self) -> bool:
        """Any thread: make the calls that wait for a dispatcher, if this is its thread; say whether there were any."""
        return False

    def thread_idents(self) -> Container[int]:
        """Return the idents of its threads; any thread may ask, at each input."""
        return ()

    def unreported(self) -> list[tuple[str, Chunk, int]]:
        """Return (place, chunk, index of its first message) of all that waits or is worked on."""
        return []

    def in_work(self) -> list[Task | PullTask]:
        """Return what is being performed right now, elsewhere."""
        return []

    def doing(self) -> list[Task | PullTask]:
        """Return all that is being performed, to be looked at and left alone."""
        return self.in_work()

    def abandon(self, chunk: Chunk, seconds: float) -> Task | float:
        """Give the call up that has been at this one message for so many seconds, and replace its worker.

        Returns: its task, of which nothing more comes; or in how many seconds to ask again, where it has not begun or has time left.
        """
        return seconds

    def hurry(self) -> None:
        """Let nothing wait for what has not come to an end since the last call, if it need not."""
        return

    def stop(self) -> None:
        """Start nothing any more, and let the workers go when they are done."""
        return

    def given_up(self) -> tuple[str, ...]:
        """Return the names of the workers still inside a call that was abandoned."""
        return ()

    def join(self, seconds: float) -> tuple[str, ...]:
        """Wait for the workers; return the names of those that did not come back, with what they are doing."""
        return ()


def completed(executor: Any) -> Executor:
    """Return an executor that need not derive from `Executor`, with what it lacks of what only some have."""
    kind = type(executor).__name__
    dispatcher = kind if hasattr(executor, "run_here") else ""
    lacking: dict[str, Any] = {"inline": False, "dispatcher": dispatcher, "began": None, "waits_since": None}
    lacking |= {"run_here": lambda: False, "doing": executor.in_work}
    for name, value in lacking.items():
        if not hasattr(executor, name):
            try:
                setattr(executor, name, value)
            except AttributeError:
                raise FlowBuildError(
                    f'executor {kind} has no "{name}" and takes none. Derive it from flowrt.engine.contract.Executor, which has what it lacks.'
                ) from None
    found: Executor = executor
    return found


class Executors(Protocol):
    """Makes the executors of one runtime."""

    def executor_for(self, declaration: Declaration) -> Executor:
        """Return the executor of an operation; operations that name one pool share it."""

    def all(self) -> Sequence[Executor]:
        """Return every executor made so far."""


class Host(Protocol):
    """What the engine may ask of what is around it. On the engine's thread, but for `fetch`."""

    def new_handle(self) -> RunHandle:
        """Make a handle for a run that an operation started."""

    def deliver(self, chunk: Chunk) -> None:
        """Take results."""

    def rng(self) -> Random:
        """Return what chance decides with."""

    def executor_for(self, place: Place) -> Executor:
        """Return where a place runs."""

    def activate(self, place: Place | FlowError) -> None:
        """Have an active operation activated at a place that has come into being, or tell why it could not."""

    def bind(self, component: Any, port: Port) -> None:
        """Have a component that was made for its place bound to what is around the engine."""
        ...

    def fetch(self, task: Group, *, late: bool) -> None:
        """Any thread: have the engine look at a task; `late`: something came after its call had ended."""

    def delivers_singly(self) -> bool:
        """Say whether somebody takes each result as it comes."""

    def is_wanted(self) -> bool:
        """Say whether somebody has called the engine meanwhile."""

    def handed(self) -> None:
        """Any thread: wake those who may make calls that a dispatcher was given."""
