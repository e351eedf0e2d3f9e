"""Scatter turns a list into a stream; Gather turns the stream back into a list."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from attrs import Factory, define, field, frozen

from flowrt import users
from flowrt.errors import (
    FlowBuildError,
    FlowOverloadError,
    GatherIncompleteError,
    check_count,
    check_items,
    check_seconds,
)
from flowrt.messages import (
    ABSORBED,
    MISSING_KEPT,
    Missing,
    Part,
    first_position,
    missing_errors,
    missing_rows,
    missing_text,
    position_key,
    shared_causality,
)
from flowrt.operations.contract import Emitter, MessageBatch, Operation, name_of_class
from flowrt.ports import folded
from flowrt.standard.keeping import Bucket, Buckets, data_of, drop_run, without

if TYPE_CHECKING:
    from flowrt.messages import Message, RunBooks, Scope


OnMissing = Literal["fail", "skip", "collect"]
POSITIONS_SHOWN = 10  # arbitrary: more than that nobody reads


class Scatter(Operation):
    """Turn an iterable into a stream of its items, so that they are worked on one by one.

    Ports:
        in  any name  an iterable; no str, bytes or mapping. It is read as there is room, not copied: a list that changes length meanwhile fails
        out .stream   each item, in order, in a new scope with its position
        out .count    int, the number of items, once, after the last item; not if producing an item raised

    Args:
        name: of the operation; by default `scatter`.
        window: how many live descendants the items may have at once (messages); items are taken as there is room.

    Runs on: the engine thread; so does the iterable.
    """

    out_ports: tuple[str, ...] | None = ("stream", "count")
    bracket = 1
    way_out = "stream"
    across = "count"

    def __init__(self, name: str | None = None, *, window: int = 1024) -> None:
        super().__init__(name)
        self.window: int = check_count(f'Scatter "{self.name}"', "window", window)

    def handle(self, _state: Any, message: Message, emit: Emitter) -> None:
        """Open a scope for the list; `FlowBuildError` as the cause if it is none."""
        data = message.data
        check_items(f'Scatter "{self.name}"', data)
        emit.scatter(data, "stream", "count", self.window)


@frozen
class Gathered:
    """What a `Gather(on_missing="collect")` emits.

    Attributes:
        items: what arrived.
        failures: (position in the scattered list, reason, error or None) of each item that did not, and once more for each further error
            of it; the position is None where unknown, as when the iterable itself raised.
    """

    items: list[Any]
    failures: tuple[tuple[int | None, str, BaseException | None], ...]


@define(eq=False, repr=False)
class _List:
    """The list owed to one scope, growing."""

    causality: Any
    announced: int | None = None
    items: list[Any] = Factory(list)
    stretches: list[Any] = Factory(list)  # of positions

    def positions(self) -> list[Any]:
        return [position for stretch in self.stretches for position in stretch]

    def arrived(self) -> set[int | None]:
        """Return the positions of the items that are here, in the list that was scattered."""
        return set(map(first_position, self.positions()))


@define(eq=False, repr=False)
class _Bucket(Bucket):
    """What waits under one correlation id, outside of any scope."""

    parts: deque[Part] = Factory(deque)
    announced: int | None = None


@define(eq=False, repr=False)
class _Waiting:
    buckets: Buckets[_Bucket]
    lists: dict[Scope, _List] = Factory(dict)
    answered: dict[Scope, None] = Factory(dict)

    def owed(self, scope: Scope) -> _List:
        """Return the list of a scope; a new one, if nothing of it has come."""
        found = self.lists.get(scope)
        if found is None:
            causality = scope.origin.causality if scope.origin is not None else None
            found = self.lists[scope] = _List(causality)
        return found


@define(eq=False)
class Gather(Operation):
    """Turn the items of a scattered list back into a list.

    Ports:
        in  .stream  the items, any order
        in  .count   int >= 0, before, between or after them; leave it unconnected to gather until the scope has drained
        out .        list of the items, in order of arrival; once per list, in the context in which it was scattered

    Items that belong to no scope this place gathers are gathered by correlation id: `count` of them make a list.

    Args:
        name: of the operation; by default `gather`.
        on_missing: what to do when items are missing at the end: "fail" (`GatherIncompleteError`; none if every missing item
            failed with an error that already reached someone), "skip" (the list without them) or "collect" (`Gathered`). With a count,
            an item that an operation absorbed is missing; without one it is not.
        ordered: order by position in the scattered list, then by emission.
        expire: seconds without an item or a count under a correlation id after which what waits under it is given up: its items end as
            discarded, and there is no list, whatever `on_missing` says. A run that has nothing else to do does not wait for that.
            Scattered lists need none, for they always end.
        max_open: correlation ids, waiting at once.
        max_waiting: items, waiting under one correlation id.

    Raises:
        GatherIncompleteError: see `on_missing`.
        FlowOverloadError: past `max_open` or `max_waiting`; the run fails.

    Guarantees: at most one list per scope, never a partial one without being asked for it.
    Runs on: the engine thread.
    Source: NPantaRhei's Gather, without the lists it loses and repeats.
    """

    name: str = field(default=Factory(name_of_class, takes_self=True))
    on_missing: OnMissing = field(default="fail", kw_only=True)
    ordered: bool = field(default=False, kw_only=True)
    expire: float | None = field(default=None, kw_only=True)
    max_open: int = field(default=10_000, kw_only=True)
    max_waiting: int = field(default=100_000, kw_only=True)

    in_ports: tuple[str, ...] | None = ("stream", "count")
    bracket = -1
    way_in = "stream"
    across = "count"

    def __attrs_post_init__(self) -> None:
        owner = f'Gather "{self.name}"'
        self.max_open = check_count(owner, "max_open", self.max_open)
        self.max_waiting = check_count(owner, "max_waiting", self.max_waiting)
        self.expire = None if self.expire is None else check_seconds(owner, "expire", self.expire)
        if self.on_missing not in ("fail", "skip", "collect"):
            raise FlowBuildError(
                f'Gather "{self.name}": on_missing is {self.on_missing!r}. Choose "fail", "skip" or "collect".'
            )

    def create(self) -> _Waiting:
        remedy = "Send the counts they wait for, let them expire (expire=)"
        return _Waiting(Buckets(f'Gather "{self.name}"', self.max_open, _Bucket, remedy))

    def handle_many(self, state: _Waiting, batch: MessageBatch, emit: Emitter) -> None:
        """Take items or counts of one context."""
        scope = batch.gathering_scope()
        counts = batch.port != "stream" and folded(batch.port) == "count"
        if scope is not None:
            if counts:
                self._announce(state, scope, batch, emit)
            else:
                self._collect(state, scope, batch, emit)
        elif not emit.is_fed("count"):
            emit.fail(
                FlowBuildError(
                    f'Gather "{self.name}" got an item that belongs to no list scattered towards it, and no stream leads to its '
                    f'count port. Scatter the list in front of it, or connect "{self.name}.count".'
                ),
                0,
                len(batch.data),
            )
        elif counts:
            self._announce_id(state, batch, emit)
        else:
            self._collect_id(state, batch, emit)

    def keeps(self, state: _Waiting, port: str, scope: Scope, messages: int) -> bool:
        """Say whether so many items more of a list are only kept: it is complete with the last of them at the earliest."""
        if (port != "stream" and folded(port) == "count") or scope in state.answered:
            return False
        owed = state.lists.get(scope)
        return owed is None or owed.announced is None or owed.announced - len(owed.items) >= messages

    def owes(self, state: _Waiting, scope: Scope) -> tuple[int | None, set[int | None]]:
        """Say how many items of a list were announced, and the positions of those that are here."""
        owed = state.lists.get(scope)
        return (owed.announced, owed.arrived()) if owed is not None else (None, set())

    def explain(self, state: _Waiting) -> str:
        """Say what waits under correlation ids."""
        buckets = state.buckets
        waiting, announced = sum(len(b.parts) for b in buckets), sum(b.announced or 0 for b in buckets)
        told = f"{waiting} of {announced} announced" if announced else str(waiting)
        return f"{told} wait under {len(buckets)} correlation ids" if buckets else ""

    # -- lists of scopes

    def _collect(self, state: _Waiting, scope: Scope, batch: MessageBatch, emit: Emitter) -> None:
        if scope in state.answered:
            emit.fail(self._too_late(), 0, len(batch.data))
            return
        owed = state.owed(scope)
        data, positions = batch.data, batch.positions
        room = len(data) if owed.announced is None else owed.announced - len(owed.items)
        if room < len(data):
            emit.fail(self._too_late(), max(room, 0), len(data) - max(room, 0))
            data, positions = data[:room], positions[:room]
        if owed.items:
            owed.items += data
        else:
            owed.items = data  # it was the chunk's own, which is done with it
        owed.stretches.append(positions)
        owed.causality = shared_causality(owed.causality, batch.causality)
        emit.keep_for(scope)
        self._complete(state, scope, owed, emit)

    def _announce(self, state: _Waiting, scope: Scope, batch: MessageBatch, emit: Emitter) -> None:
        for number in self._counts(batch, emit):
            if scope in state.answered:
                continue
            owed = state.owed(scope)
            owed.announced = number
            self._fail_surplus(scope, owed, emit)
            self._complete(state, scope, owed, emit)

    def _counts(self, batch: MessageBatch, emit: Emitter) -> Iterator[int]:
        """Go through the counts, one by one; what is none fails when its turn comes."""
        for index, number in enumerate(batch.data):
            count = users.count_of(number)
            if count is not None and count >= 0:
                yield count
                continue
            came = f"a {users.name_of_type(number)}" if count is None else "a negative number"
            error = FlowBuildError(
                f'Gather "{self.name}" got {came} as a count; it takes an int of 0 or more. Connect the count port of a '
                "Scatter, or send the number of items."
            )
            emit.fail(error, index)

    def _complete(self, state: _Waiting, scope: Scope, owed: _List, emit: Emitter) -> None:
        if owed.announced is not None and len(owed.items) >= owed.announced:
            del state.lists[scope]
            state.answered[scope] = None  # forgotten when the scope has drained
            emit.gather(scope, self._whole(self._in_order(owed)), owed.causality)

    def _fail_surplus(self, scope: Scope, owed: _List, emit: Emitter) -> None:
        """Fail what has come beyond the number announced, as if the count had been here first."""
        number = owed.announced or 0
        if len(owed.items) > number:
            positions = owed.positions()
            surplus = list(zip(positions[number:], owed.items[number:], strict=True))
            del owed.items[number:]
            owed.stretches = [positions[:number]]
            emit.fail_kept(scope, surplus, self._too_late())

    def _whole(self, items: list[Any]) -> Any:
        """Return what leaves for a list of which nothing is missing."""
        return Gathered(items, ()) if self.on_missing == "collect" else items

    def _too_late(self) -> FlowBuildError:
        return FlowBuildError(
            f'Gather "{self.name}" got an item after its list was complete: more items arrive here than were announced. '
            "An operation between the scatter and here emits more than one message per item: leave the count stream out, and the "
            "list closes when the scope has drained."
        )

    def _in_order(self, owed: _List) -> list[Any]:
        if not self.ordered:
            return owed.items
        keys = owed.positions()
        if any(type(key) is tuple for key in keys):
            keys = [position_key(key) for key in keys]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return [owed.items[index] for index in order]

    def drained(self, state: _Waiting, scope: Scope, emit: Emitter) -> None:
        """Emit the list of a scope in which nothing is live any more, as `on_missing` says."""
        if scope in state.answered:
            del state.answered[scope]
            return
        if scope.origin is None and scope not in state.lists:
            return  # a run: what waits under correlation ids stays there, for other runs to complete
        owed = state.owed(scope)
        del state.lists[scope]
        missing = self._missing(scope, owed, counted=emit.is_fed("count"))
        items = self._in_order(owed)
        if self.on_missing == "collect":
            emit.gather(scope, Gathered(items, missing_errors(missing)), owed.causality, missing)
        elif not missing or self.on_missing == "skip":
            emit.gather(scope, items, owed.causality, missing)
        else:
            errors = [record.error for record in missing]
            # Where every error has reached someone, there is no second one.
            told = all(e is not None and getattr(e, "left_to", None) is not scope for e in errors)
            emit.give_up(scope, None if told else self._incomplete(scope, missing, owed))

    def _missing(self, scope: Scope, owed: _List, *, counted: bool) -> list[Missing]:
        records = list(scope.missing or ())
        if not counted:
            records = [record for record in records if record.what != ABSORBED]
        if scope.failed_source is not None:
            records.append(
                Missing(None, "never produced", _source(scope), "the iterable raised", scope.failed_source)
            )
        elif counted and owed.announced is None and not records:
            records.append(Missing(None, "never counted", f"{self.name}.count", "its count never came"))
        arrived = owed.arrived() if records else set()
        left = []
        for record in records:
            if record.positions is None:
                left.append(record)
                continue
            known = dict.fromkeys(map(first_position, record.positions))
            absent = [p for p in known if p is not None and p not in arrived]
            if absent:
                left.append(record.at(absent))
        if counted and owed.announced is not None and not left and len(owed.items) < owed.announced:
            here = owed.arrived()
            few = owed.announced <= MISSING_KEPT
            absent = [p for p in range(owed.announced) if p not in here] if few else []
            left.append(
                Missing(absent or None, "gone", "another gather or a result port", "it never came here")
            )
        return left

    def _incomplete(self, scope: Scope, missing: list[Missing], owed: _List) -> GatherIncompleteError:
        rows = missing_rows(missing)
        positions = [position for position, _ in rows if position is not None]
        announced = "an unknown number of" if owed.announced is None else owed.announced
        shown = ", ".join(map(str, positions[:POSITIONS_SHOWN]))
        more = f" and {len(positions) - POSITIONS_SHOWN} more" if len(positions) > POSITIONS_SHOWN else ""
        which = f" (positions {shown}{more})" if positions else ""
        return GatherIncompleteError(
            f'Gather "{self.name}" got {len(owed.items)} of {announced} items of a list scattered at {_source(scope)}; '
            f"missing{which}: {missing_text(missing)}. Let every item arrive, leave the count stream out if operations may absorb "
            'items, or choose on_missing="skip" or "collect".',
            self.name,
            tuple((position, str(record)) for position, record in rows),
        )

    # -- correlation ids

    def _collect_id(self, state: _Waiting, batch: MessageBatch, emit: Emitter) -> None:
        bucket = state.buckets.of(None, state.buckets.key_of(batch.correlation_id), emit)
        if len(bucket.parts) + len(batch.data) > self.max_waiting:
            raise FlowOverloadError(
                f'Gather "{self.name}" would hold more than max_waiting={self.max_waiting} items under one correlation id. Send the count '
                "they wait for, or raise max_waiting."
            )
        parts = [
            Part(data, position, batch.correlation_id, batch.causality)
            for data, position in zip(batch.data, batch.positions, strict=True)
        ]
        bucket.parts += parts
        emit.hold(parts)
        self._expire_later(bucket, emit)
        self._complete_id(state, bucket, emit)

    def _announce_id(self, state: _Waiting, batch: MessageBatch, emit: Emitter) -> None:
        for number in self._counts(batch, emit):
            bucket = state.buckets.of(None, state.buckets.key_of(batch.correlation_id), emit)
            bucket.announced = number
            self._expire_later(bucket, emit)
            self._complete_id(state, bucket, emit)

    def _expire_later(self, bucket: _Bucket, emit: Emitter) -> None:
        if self.expire is not None:
            emit.wake(self.expire, bucket)

    def timer(self, state: _Waiting, bucket: _Bucket, emit: Emitter) -> None:
        """Give up what waits under a correlation id that nothing has come for in a while."""
        if state.buckets.drop(bucket):
            emit.release(bucket.parts, f"nothing more came within {self.expire:g} s")

    def _complete_id(self, state: _Waiting, bucket: _Bucket, emit: Emitter) -> None:
        if bucket.announced is None or len(bucket.parts) < bucket.announced:
            return
        parts = [bucket.parts.popleft() for _ in range(bucket.announced)]
        bucket.announced = None
        if not bucket.parts:
            state.buckets.drop(bucket)
            if self.expire is not None:
                emit.wake(None, bucket)
        if self.ordered:
            parts.sort(key=lambda part: position_key(part.position))
        emit.merge(parts, self._whole(data_of(parts)))

    def cancelled(self, state: _Waiting, run: RunBooks) -> None:
        """Forget the lists and the parts of a run, and only those."""
        drop_run(state.lists, run)
        drop_run(state.answered, run)
        for bucket in state.buckets:
            bucket.parts = without(bucket.parts, run)
            if not bucket.parts and bucket.announced is None:
                state.buckets.drop(bucket)


def _source(scope: Scope) -> str:
    if scope.stream is None:
        return "an unknown place"
    return scope.stream.port.fullname.removesuffix(".stream")
