"""`check_schedule`: a schedule on its own and in small flows, rule by rule."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

from flowrt.engine.chunks import Chunk
from flowrt.engine.ledger import Books
from flowrt.engine.places import Handler, Route
from flowrt.engine.schedules import Schedule, schedule_of
from flowrt.errors import FlowBuildError, FlowError, describe
from flowrt.flow.container import FlowOperationContainer
from flowrt.flow.flow import Flow
from flowrt.messages import Context, Message, Trunk
from flowrt.ports import Port
from flowrt.standard import Gather, Scatter
from flowrt.testing.execution import run_flow
from flowrt.testing.rules.rules import RuleViolation, check_factory, checked_numbers

ATTEMPTS = 20  # arbitrary; what is wrong with a schedule shows in the first few
STEPS = 120  # of the engine, in each
PRIORITIES = (0, 0, 0, 0, 5, -1, 99)

ONCE = "Keep each chunk until it is taken, and let go of it then; extend() leaves nothing of the other chunk to be kept."
IN_ORDER = "Keep a line for each stream_of(chunk): put adds behind it, put_back in front of it."
HIGHEST = "Look at the highest chunk.priority that waits first."

Line = tuple[Any, int]


class _Trial:
    """One schedule as the engine uses it, beside what must wait in it: numbers, a line for each stream and priority."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self.schedule = schedule
        self.rng = random.Random(seed)  # noqa: S311 - to be repeatable is the point
        self.waiting: dict[Line, deque[int]] = {}
        self.numbers = iter(range(10**9))
        root, run = Trunk().root, Books(1000).open_run()
        ways = [root.step(Route(Port.parse(name), (), {})) for name in (".in", "a", "b.out")]
        self.ends = [(Handler(Port.parse(name), None), way) for name in ("c", "d") for way in ways]
        self.run = run
        self.contexts = {priority: Context(run, None, priority) for priority in PRIORITIES}

    def attempt(self) -> None:
        """Take a number of steps as the engine does, then all that is left."""
        for _ in range(STEPS):
            for _ in range(self.rng.randrange(3)):
                self.put(self.schedule.put_input)
            self.turn()
            if not self.rng.randrange(10):
                self.look()
            if not self.rng.randrange(40):
                self.clear()
        while self.waiting:
            self.turn(quietly=True)
        if self.schedule.take() is not None:
            raise RuleViolation("R2", "take() gave a chunk when all had been taken.", ONCE)
        self.look()

    def put(self, put: Callable[[Chunk], None]) -> None:
        handler, way = self.rng.choice(self.ends)
        priority = self.rng.choice(PRIORITIES)
        data = [next(self.numbers) for _ in range(self.rng.randint(1, 4))]
        if self.rng.randrange(2):  # what has another context stays a chunk of its own
            self.contexts[priority] = Context(self.run, None, priority)
        chunk = Chunk(handler, data[:], self.contexts[priority], range(data[0], data[-1] + 1), way)
        self.waiting.setdefault(_line(chunk), deque()).extend(data)
        put(chunk)

    def turn(self, *, quietly: bool = False) -> None:
        """Take a chunk, as far as the schedule says or not even so far, and put what comes of it."""
        chunk = self.schedule.take()
        if chunk is None:
            if self.waiting:
                self.look()
                raise RuleViolation("R5", "take() gave nothing though something waits.", ONCE)
            return
        self.taken(chunk)
        limit = min(self.schedule.step, len(chunk.data))
        if not self.rng.randrange(3):
            limit = self.rng.randint(1, limit)
        if limit < len(chunk.data):
            chunk.cut(limit)
            self.waiting.setdefault(_line(chunk), deque()).extendleft(reversed(chunk.data))
            self.schedule.put_back(chunk)
        if not quietly:
            for _ in range(self.rng.randrange(3)):
                self.put(self.schedule.put)

    def taken(self, chunk: Chunk) -> None:
        if type(chunk) is not Chunk or not chunk.data:
            raise RuleViolation("R2", f"take() gave {type(chunk).__qualname__} without messages.", ONCE)
        line = self.waiting.get(_line(chunk), deque())
        if not set(chunk.data) <= set(line) or len(set(chunk.data)) < len(chunk.data):
            seen = "take() gave what does not wait: it was taken before, or dropped."
            raise RuleViolation("R2", seen, ONCE)
        if [*line][: len(chunk.data)] != chunk.data:
            seen = "take() gave the messages of one stream in another order than they came."
            raise RuleViolation("R10", seen, IN_ORDER)
        highest = max(priority for _, priority in self.waiting)
        for _ in chunk.data:
            line.popleft()
        if not line:
            del self.waiting[_line(chunk)]
        if chunk.priority != highest:
            self.look()
            seen = f"take() gave priority {chunk.priority} while {highest} waited."
            raise RuleViolation("R25", seen, HIGHEST)

    def look(self) -> None:
        """Iterate over what waits."""
        found = Counter(number for chunk in self.schedule for number in chunk.data)
        if found != Counter(number for line in self.waiting.values() for number in line):
            seen = "what it was given is lost, or there twice, as iterating over it shows."
            raise RuleViolation("R2", seen, ONCE)

    def clear(self) -> None:
        """Drop some of it."""
        dropped: set[int] = set()

        def unwanted(chunk: Chunk) -> bool:
            if self.rng.randrange(3):
                return False
            dropped.update(chunk.data)
            return True

        self.schedule.clear(unwanted)
        kept = {line: [n for n in numbers if n not in dropped] for line, numbers in self.waiting.items()}
        self.waiting = {line: deque(numbers) for line, numbers in kept.items() if numbers}
        try:
            self.look()
        except RuleViolation:
            seen = "clear() dropped something else than it was told to."
            raise RuleViolation("R19", seen, "Drop each chunk for which unwanted(chunk) is true.") from None


def _line(chunk: Chunk) -> Line:
    return (chunk.trail, chunk.handler), chunk.priority


# -- in flows


def _around(number: int, again: Callable[[int], None], out: Callable[[int], None]) -> None:
    out(number)
    if number:
        again(number - 1)


def _count_to(number: int) -> Iterator[int]:
    yield from range(number)


def _loop() -> Flow:
    flow = Flow.from_text(".in, around\naround.again, around\naround.out, .out")
    return flow.add_operations(FlowOperationContainer().add_action("around", _around))


def _lists() -> Flow:
    operations = FlowOperationContainer().add_operation(Scatter("scatter"))
    operations.add_operation(Gather("gather", ordered=True)).add_generator("count to", _count_to)
    operations.add_func("work", abs).make_parallel(2).add_func("more", abs)
    return Flow.from_text(
        """
        .in, scatter
        scatter.stream, work
        scatter.count, gather.count
        work, more
        more, gather.stream
        gather, .out
        .number, count to
        count to, more
        """
    ).add_operations(operations)


THREE_LISTS = [Message(".in", [3, -1, 2] * 5, priority=priority) for priority in (0, 2, 0)]
FLOWS: tuple[tuple[str, Callable[[], Flow], list[Message]], ...] = (
    ("a feedback loop", _loop, [Message(".in", 100)]),
    ("lists and a generator", _lists, [*THREE_LISTS, Message(".number", 0)]),
)


def _works_in_flows(factory: Callable[[], Schedule]) -> None:
    for what, make, inputs in FLOWS:
        for seed in (0, 1):
            expected = run_flow(make, inputs, seed=seed)
            try:
                results = run_flow(make, inputs, seed=seed, schedule=factory)
            except (FlowError, AssertionError, ExceptionGroup) as error:
                seen = f"{what} ended with {type(error).__qualname__}."
                raise RuleViolation("R5", seen, f"It says: {error}") from error
            if sorted(map(_shown, results)) != sorted(map(_shown, expected)):
                raise RuleViolation("R2", f"{what} gave something else than breadth-first.", ONCE)


def _shown(message: Message) -> str:
    return f"{message.port} {message.data!r}"


def check_schedule(
    factory: Callable[[], Schedule], *, seed: int = 0, leave_out: Collection[str] = ()
) -> None:
    """Check a schedule of your own against the rules; return if none is broken.

    It is used as the engine does, with messages on six streams in a seeded order: whether it fulfils the contract (R8), gives back all that
    it was given, once (R2), while there is something (R5), the highest priority first (R25), each stream in order, with what is put back in
    front (R10), and drops what it is told to (R19). Then it runs small flows, in a simulation.

    Args:
        factory: makes a new one: its class, or a function.
        seed: of the order.
        leave_out: numbers of rules that it may break.

    Raises:
        RuleViolation: the first rule that is broken.
        FlowBuildError: the arguments cannot be meant.
    """
    check_factory("check_schedule", factory, "a schedule")
    left_out = checked_numbers(leave_out)
    try:
        try:
            schedule_of(factory)
        except FlowBuildError as error:
            raise RuleViolation("R8", str(error), "See flowrt.engine.schedules.Schedule.") from error
        for number in range(ATTEMPTS):
            _attempt(factory, seed * ATTEMPTS + number)
        _works_in_flows(factory)
    except RuleViolation as violation:
        if violation.rule not in left_out:
            raise


def _attempt(factory: Callable[[], Schedule], seed: int) -> None:
    trial = _Trial(factory(), seed)
    try:
        trial.attempt()
    except RuleViolation:
        raise
    except Exception as error:
        raise RuleViolation("R5", f"it raised {describe(error)}.", "A schedule raises nothing.") from error
