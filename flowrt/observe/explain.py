"""What a runtime is doing, as plain data that says itself in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from flowrt.errors import counted

LISTS = "lists scattered"  # each takes the place of one message in the window around it, until it is gathered
NEARLY_ALL = (
    20.0  # times; arbitrary: where one operation takes so much more than the next, the bound says nothing
)
DISPATCHED = "dispatched"
SHOWN = 10  # arbitrary: more of one kind than that nobody reads


@frozen
class Share:
    """So many messages at one place."""

    place: str
    messages: int


@frozen
class CallInWork:
    """A call (or a group of short ones) that has not returned.

    Attributes:
        operation: its place.
        thread: the name of its thread.
        seconds: since when.
        run: the number of the run its first message belongs to.
        at: where in the operation's code the thread is: file, line, function.
    """

    operation: str
    thread: str
    seconds: float
    run: int
    at: str = ""


@frozen
class OperationFacts:
    """What one operation has to do.

    Attributes:
        name: of its place.
        mode: "sync", "async", "parallel(4)", "dispatched".
        workers: of its executor, which others may share.
        busy: so many of them are in its calls.
        backlog: messages that wait for it.
        in_work: messages its workers have.
        oldest_run: of all these messages, the run that began first.
        oldest: seconds since then.
        calls: so far.
        busy_seconds: spent in its calls, all threads together, those under way included.
        backing_off: messages of the backlog that wait for their next attempt.
        retried: attempts beyond the first so far; `timed_out`: calls given up for their time.
        waits_for: the dispatcher that has not come to its calls, with since when; empty if it waits for none.
    """

    name: str
    mode: str
    workers: int
    busy: int
    backlog: int
    in_work: int
    oldest_run: int | None
    oldest: float | None
    calls: int
    busy_seconds: float
    backing_off: int = 0
    retried: int = 0
    timed_out: int = 0
    waits_for: str = ""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not (self.backlog or self.in_work or self.busy)


@frozen
class SourceFacts:
    """The open iterators of one place: scattered lists, generators.

    Attributes:
        name: of the place.
        iterators: how many are open.
        given: items they have brought so far.
        total: items there are, where they are lists in memory.
        live: messages in its window, and `limit`: how many may be.
        paused: it waits for its window to be half empty.
        pulled: an item is being waited for.
        filled_by: where the messages in its window are.
    """

    name: str
    iterators: int
    given: int
    total: int | None
    live: int
    limit: int
    paused: bool
    pulled: bool
    filled_by: tuple[Share, ...]


@frozen
class HeldFacts:
    """What an operation holds of one run or list, and what that waits for.

    Attributes:
        name: of its place.
        run: the number of the run; 0: of no run, or of several.
        messages: how many it holds.
        announced: of how many, where that is known.
        missing: positions in the list that have not come, the first ten.
        missing_count: how many have not.
        held_up_by: where what has not come is: messages, and sources not at their end.
        lost: what will not come any more, and why.
        waits_for: the operation's own words, where it has some.
    """

    name: str
    run: int
    messages: int
    announced: int | None = None
    missing: tuple[int, ...] = ()
    missing_count: int = 0
    held_up_by: tuple[str, ...] = ()
    lost: str = ""
    waits_for: str = ""


@frozen
class EngineFacts:
    """What the engine's thread is doing.

    Attributes:
        operation: whose call it is in; empty if in none.
        seconds: since when.
        answered: it took this picture itself, between two calls; else all figures are what could be read while it was busy.
        at: where in user code it is, if it did not answer.
    """

    operation: str = ""
    seconds: float = 0.0
    answered: bool = True
    at: str = ""


@frozen
class InputFacts:
    """The way in.

    Attributes:
        live: messages in all.
        capacity: past so many live messages `process` waits.
        callers: threads that wait in `process` or `process_many` for room.
        open: runs whose inputs are still coming.
        waiting: inputs that wait to enter, where the oldest of them makes room for a new one.
        dropped: inputs that were given up because there was no room.
        filled_by: where the live messages are.
    """

    live: int
    capacity: int
    callers: int
    open: int
    waiting: int
    dropped: int
    filled_by: tuple[Share, ...]


@frozen
class Bottleneck:
    """What limits the flow most, by the seconds its workers were busy.

    Attributes:
        name: the operation.
        mode: of it.
        share: how much of the time since the first input each of its workers was busy, 0 to 1.
        bound: at most so many times as fast the flow would be with any number of workers more; None: nothing measured sets a bound.
        workers: with so many that would be reached; None as above.
        next: what would then limit it.
    """

    name: str
    mode: str
    share: float
    bound: float | None
    workers: int | None
    next: str


@frozen(repr=False)
class Explanation:
    """What a runtime was doing at one moment. `str()` says it in words.

    Attributes:
        runtime: its name.
        seconds: since its first input.
        runs: under way; `oldest_run` is the number of the one that began first, `oldest` seconds ago.
        live: messages on their way.
        held: messages that operations hold.
        unread: results that nobody has read, of `max_results`.
        engine: what its thread does.
        operations: each that was needed so far.
        calls: those on workers, the longest first.
        sources: open iterators, by place.
        waiting: what operations hold and what they wait for, oldest run first; at most a hundred.
        input: the way in.
        bottleneck: the busiest operation; None if nothing was measured.
    """

    runtime: str
    seconds: float
    runs: int
    oldest_run: int | None
    oldest: float
    live: int
    held: int
    unread: int
    max_results: int
    engine: EngineFacts
    operations: tuple[OperationFacts, ...]
    calls: tuple[CallInWork, ...]
    sources: tuple[SourceFacts, ...]
    waiting: tuple[HeldFacts, ...]
    input: InputFacts
    bottleneck: Bottleneck | None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.runs

    def __repr__(self) -> str:
        return f'<explanation of "{self.runtime}": {counted(self.runs, "run")} under way>'

    def __str__(self) -> str:
        lines = [_heading(self), *_engine_lines(self.engine)]
        for each in self.operations:
            if not each.idle:
                lines.append(_operation_line(each))
                lines += _shortened([_call_line(call) for call in self.calls if call.operation == each.name])
        lines += [_source_line(each) for each in self.sources]
        lines += _shortened([_held_line(each) for each in self.waiting])
        lines += _input_lines(self.input)
        if self.unread:
            full = "; process raises until they are read" if self.unread >= self.max_results else ""
            lines.append(f"  results: {self.unread} of max_results={self.max_results} are unread{full}")
        told = {each.name for each in self.sources} | {each.name for each in self.waiting}
        idle = [each.name for each in self.operations if each.idle and each.name not in told]
        if idle:
            more = f" and {len(idle) - SHOWN} more" if len(idle) > SHOWN else ""
            lines.append(f"  nothing to do: {', '.join(idle[:SHOWN])}{more}")
        if self.bottleneck is not None:
            lines.append(_bottleneck_line(self.bottleneck))
        return "\n".join(lines)


def seconds_text(seconds: float) -> str:
    """Write a span of time down, as exactly as somebody who waits wants to know."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def shares_text(shares: Iterable[Share]) -> str:
    """Say where messages are."""
    listed = list(shares)
    more = f" and {len(listed) - SHOWN} more places" if len(listed) > SHOWN else ""
    texts = [f"{each.messages} {'' if each.place == LISTS else 'at '}{each.place}" for each in listed[:SHOWN]]
    return ", ".join(texts) + more


def _shortened(lines: Sequence[str]) -> list[str]:
    more = [f"    and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def _heading(facts: Explanation) -> str:
    title = f'runtime "{facts.runtime}"'
    if facts.idle:
        return f"{title}: no run is under way"
    oldest = (
        f", the oldest (run {facts.oldest_run}) for {seconds_text(facts.oldest)}" if facts.oldest_run else ""
    )
    return f"{title}: {counted(facts.runs, 'run')} under way{oldest}; {counted(facts.live, 'message')} live, {facts.held} held"


def _engine_lines(engine: EngineFacts) -> list[str]:
    at = f", at {engine.at}" if engine.at else ""
    if engine.operation:
        late = (
            "" if engine.answered else "; it did not answer, so the figures are what could be read meanwhile"
        )
        return [f"  engine: in a call of {engine.operation} for {seconds_text(engine.seconds)}{at}{late}"]
    if not engine.answered:
        return [f"  engine: did not answer{at}; the figures are what could be read meanwhile"]
    return []


def _operation_line(facts: OperationFacts) -> str:
    said = []
    if facts.mode == DISPATCHED:
        if facts.waits_for or facts.busy:
            said.append(f"waiting for {facts.waits_for}" if facts.waits_for else "in a call")
    elif facts.mode != "sync":
        said.append(f"{facts.busy} of {counted(facts.workers, 'worker')} busy")
    elif facts.busy:
        said.append("in a call on the engine's thread")
    if facts.in_work:
        said.append(f"{counted(facts.in_work, 'message')} in work")
    if facts.backlog:
        said.append(f"{counted(facts.backlog, 'message')} waiting")
    if facts.backing_off:
        said.append(f"{facts.backing_off} of them for their next attempt")
    if facts.retried:
        said.append(f"{facts.retried} retried so far")
    if facts.timed_out:
        said.append(f"{counted(facts.timed_out, 'call')} given up for their time")
    if facts.oldest_run and facts.oldest is not None:
        said.append(f"the oldest of run {facts.oldest_run}, which began {seconds_text(facts.oldest)} ago")
    return f"  {facts.name} ({facts.mode}): " + ", ".join(said)


def _call_line(call: CallInWork) -> str:
    at = f", at {call.at}" if call.at else ""
    return f"    {call.thread}: in a call for {seconds_text(call.seconds)} (run {call.run}){at}"


def _source_line(facts: SourceFacts) -> str:
    many = f" of {facts.iterators} open iterators" if facts.iterators > 1 else ""
    of = f" of {facts.total}" if facts.total is not None else ""
    text = f"  {facts.name}: {facts.given}{of} items out{many}"
    filled = f": {shares_text(facts.filled_by)}" if facts.filled_by else ""
    if facts.paused:
        return f"{text}; paused, since its window is full ({facts.live} of {facts.limit} live{filled}); goes on below half"
    if facts.pulled:
        return f"{text}; waits for the next one"
    return f"{text}; {facts.live} of {facts.limit} live in its window"


def _held_line(facts: HeldFacts) -> str:
    of = f" of run {facts.run}" if facts.run else ""
    text = f"  {facts.name}: holds {counted(facts.messages, 'message')}{of}"
    if facts.announced is not None:
        text += f"; {facts.messages} of {facts.announced} have arrived"
    if facts.missing:
        more = (
            f" and {facts.missing_count - len(facts.missing)} more"
            if facts.missing_count > len(facts.missing)
            else ""
        )
        text += f"; missing: {', '.join(map(str, facts.missing))}{more}"
    if facts.waits_for:
        text += f"; {facts.waits_for}"
    if facts.held_up_by:
        text += f"; waits for {', '.join(facts.held_up_by)}"
    if facts.lost:
        text += f"; will not come: {facts.lost}"
    return text


def _input_lines(facts: InputFacts) -> list[str]:
    lines = []
    if facts.callers:
        filled = f": {shares_text(facts.filled_by)}" if facts.filled_by else ""
        wait = "waits" if facts.callers == 1 else "wait"
        lines.append(
            f"  input: {counted(facts.callers, 'caller')} of process {wait} for room; {facts.live} live of capacity={facts.capacity}{filled}"
        )
    if facts.open:
        lines.append(f"  input: of {counted(facts.open, 'run')} the inputs are still coming (process_many)")
    if facts.waiting:
        lines.append(
            f"  input: {facts.waiting} wait to enter; {facts.live} live of capacity={facts.capacity}"
        )
    if facts.dropped:
        lines.append(f"  input: {facts.dropped} dropped so far, for there was no room")
    return lines


def _bottleneck_line(facts: Bottleneck) -> str:
    inline = facts.mode in ("sync", DISPATCHED)
    each, remedy = ("", "on threads of its own") if inline else ("each worker ", "with more workers")
    text = f"  bottleneck: {facts.name} ({facts.mode}), {each}busy {facts.share:.0%} of the time"
    if facts.bound is None or facts.workers is None or facts.bound >= NEARLY_ALL:
        gain = "if it gets threads of its own" if inline else "by each worker more"
        return f"{text}; nothing else is nearly as busy, so that the flow gains {gain}"
    many = f"; {counted(facts.workers, 'worker')} would be enough" if not inline else ""
    return f"{text}; {remedy} the flow would be at most {facts.bound:.1f} times as fast, then it waits for {facts.next}{many}"
