"""`Explanation`: what a runtime is doing, as plain data that says itself in words."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from flowrt.errors import counted

LISTS = "lists scattered"  # each takes the place of one message in the window around it, until it is gathered
NEARLY_ALL = (
    20.0  # times; arbitrary: where one operation takes so much more than the next, a bound says nothing
)
BY_DISPATCHER = "dispatched"
MOST_SHOWN = 10  # arbitrary: more of one kind than that nobody reads


@frozen
class Share:
    """So many messages at one place."""

    place: str
    messages: int


@frozen
class CallInWork:
    """A call (or a group of short ones) that has not returned."""

    operation: str  # its place
    thread: str  # the name of it
    seconds: float  # since when
    run: int  # the number of the run its first message belongs to
    at: str = ""  # where in the operation's code the thread is: file, line, function


@frozen
class OperationFacts:
    """What one operation has to do."""

    name: str  # of its place
    mode: str  # "sync", "async", "parallel(4)", "dispatched"
    workers: int  # of its executor, which others may share
    busy: int  # so many of them are in its calls
    backlog: int  # messages that wait for it
    in_work: int  # messages its workers have
    oldest_run: int | None  # of all these messages, the run that began first
    oldest: float | None  # seconds since then
    calls: int  # so far
    busy_seconds: float  # spent in its calls, all threads together, those under way included
    backing_off: int = 0  # messages of the backlog that wait for their next attempt
    retried: int = 0  # attempts beyond the first so far
    timed_out: int = 0  # calls given up for their time
    waits_for: str = ""  # the dispatcher that has not come to its calls, with since when; empty without one

    @property
    def idle(self) -> bool:
        return not (self.backlog or self.in_work or self.busy)


@frozen
class SourceFacts:
    """The open iterators of one place: scattered lists, generators."""

    name: str  # of the place
    iterators: int  # how many are open
    given: int  # items they have brought so far
    total: int | None  # items there are, where they are lists in memory
    live: int  # messages in its window
    limit: int  # how many may be there
    paused: bool  # it waits for its window to be half empty
    pulled: bool  # an item is being waited for
    filled_by: tuple[Share, ...]  # where the messages in its window are


@frozen
class HeldFacts:
    """What an operation holds of one run or list, and what that waits for."""

    name: str  # of its place
    run: int  # the number of the run; 0: of no run, or of several
    messages: int  # how many it holds
    announced: int | None = None  # of how many, where that is known
    missing: tuple[int, ...] = ()  # positions in the list that have not come, the first ten
    missing_count: int = 0  # how many have not
    held_up_by: tuple[str, ...] = ()  # where what has not come is: messages, and sources not at their end
    lost: str = ""  # what will not come any more, and why
    waits_for: str = ""  # the operation's own words, where it has some


@frozen
class EngineFacts:
    """What the engine's thread is doing."""

    operation: str = ""  # whose call it is in; empty if in none
    seconds: float = 0.0  # since when
    answered: bool = True  # it took this picture itself, between two calls; else all figures are what could be read while it was busy
    at: str = ""  # where in user code it is, if it did not answer


@frozen
class InputFacts:
    """The way in."""

    live: int  # messages in all
    capacity: int  # past so many live messages `process` waits
    callers: int  # threads that wait in `process` or `process_many` for room
    open: int  # runs whose inputs are still coming
    waiting: int  # inputs that wait to enter, where the oldest of them makes room for a new one
    dropped: int  # inputs that were given up because there was no room
    filled_by: tuple[Share, ...]  # where the live messages are


@frozen
class Bottleneck:
    """What limits the flow most, by the seconds its workers were busy."""

    name: str  # the operation
    mode: str  # of it
    share: float  # how much of the time since the first input each of its workers was busy, 0 to 1
    # At most so many times as fast the flow would be with any number of workers more; None: nothing measured sets one.
    bound: float | None
    workers: int | None  # with so many that would be reached; None as above
    next: str  # what would then limit it


@frozen(repr=False)
class Explanation:
    """What a runtime was doing at one moment. `str()` says it in words."""

    runtime: str  # its name
    seconds: float  # since its first input
    runs: int  # under way
    oldest_run: int | None  # the number of the one that began first
    oldest: float  # so many seconds ago
    live: int  # messages on their way
    held: int  # messages that operations hold
    unread: int  # results that nobody has read
    max_results: int  # how many there may be
    engine: EngineFacts  # what its thread does
    operations: tuple[OperationFacts, ...]  # each that was needed so far
    calls: tuple[CallInWork, ...]  # those on workers, the longest first
    sources: tuple[SourceFacts, ...]  # open iterators, by place
    waiting: tuple[HeldFacts, ...]  # what is held and waited for, oldest run first; at most a hundred
    input: InputFacts  # the way in
    bottleneck: Bottleneck | None  # the busiest operation; None if nothing was measured
    outrun: int = 0  # runs whose sources wait until more of their results are read
    leaving: int = 0  # results whose turn to leave has not come
    throttle: float = 0.0  # seconds that each message waits in slow motion

    @property
    def idle(self) -> bool:
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
        if self.leaving:
            lines.append(f"  results: {self.leaving} have yet to leave")
        if self.throttle:
            lines.append(f"  throttle: each message waits {self.throttle:g} s")
        if self.unread:
            full = "; process raises until they are read" if self.unread >= self.max_results else ""
            if self.outrun:
                full += f"; the sources of {counted(self.outrun, 'run')} wait for whoever reads them"
            lines.append(f"  results: {self.unread} of max_results={self.max_results} are unread{full}")
        told = {each.name for each in self.sources} | {each.name for each in self.waiting}
        idle = [each.name for each in self.operations if each.idle and each.name not in told]
        if idle:
            more = f" and {len(idle) - MOST_SHOWN} more" if len(idle) > MOST_SHOWN else ""
            lines.append(f"  nothing to do: {', '.join(idle[:MOST_SHOWN])}{more}")
        if self.bottleneck is not None:
            lines.append(_bottleneck_line(self.bottleneck))
        return "\n".join(lines)


def seconds_text(seconds: float) -> str:
    """Write a span of time down, as exactly as somebody who waits wants to know."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _filled(shares: Sequence[Share]) -> str:
    """Say where messages are; empty if there are none."""
    more = f" and {len(shares) - MOST_SHOWN} more places" if len(shares) > MOST_SHOWN else ""
    texts = [
        f"{each.messages} {'' if each.place == LISTS else 'at '}{each.place}" for each in shares[:MOST_SHOWN]
    ]
    return f": {', '.join(texts)}{more}" if shares else ""


def _shortened(lines: Sequence[str]) -> list[str]:
    more = [f"    and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
    return [*lines[:MOST_SHOWN], *more]


def _heading(facts: Explanation) -> str:
    title = f'runtime "{facts.runtime}"'
    if facts.idle:
        return f"{title}: no run is under way"
    since = seconds_text(facts.oldest)
    oldest = f", the oldest (run {facts.oldest_run}) for {since}" if facts.oldest_run else ""
    return f"{title}: {counted(facts.runs, 'run')} under way{oldest}; {counted(facts.live, 'message')} live, {facts.held} held"


def _engine_lines(engine: EngineFacts) -> list[str]:
    at = f", at {engine.at}" if engine.at else ""
    if engine.operation:
        told = "; it did not answer, so the figures are what could be read meanwhile"
        late = "" if engine.answered else told
        return [f"  engine: in a call of {engine.operation} for {seconds_text(engine.seconds)}{at}{late}"]
    if not engine.answered:
        return [f"  engine: did not answer{at}; the figures are what could be read meanwhile"]
    return []


def _operation_line(facts: OperationFacts) -> str:
    said = []
    if facts.mode == BY_DISPATCHER:
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
    if facts.paused:
        filled = _filled(facts.filled_by)
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
        unlisted = facts.missing_count - len(facts.missing)
        more = f" and {unlisted} more" if unlisted else ""
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
        wait = "waits" if facts.callers == 1 else "wait"
        live = f"{facts.live} live of capacity={facts.capacity}{_filled(facts.filled_by)}"
        lines.append(f"  input: {counted(facts.callers, 'caller')} of process {wait} for room; {live}")
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
    inline = facts.mode in ("sync", BY_DISPATCHER)
    each, remedy = ("", "on threads of its own") if inline else ("each worker ", "with more workers")
    text = f"  bottleneck: {facts.name} ({facts.mode}), {each}busy {facts.share:.0%} of the time"
    if facts.bound is None or facts.workers is None or facts.bound >= NEARLY_ALL:
        gain = "if it gets threads of its own" if inline else "by each worker more"
        return f"{text}; nothing else is nearly as busy, so that the flow gains {gain}"
    many = f"; {counted(facts.workers, 'worker')} would be enough" if not inline else ""
    return f"{text}; {remedy} the flow would be at most {facts.bound:.1f} times as fast, then it waits for {facts.next}{many}"
