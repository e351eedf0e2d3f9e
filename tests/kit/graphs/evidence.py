"""What is known of a played graph, and what holds of the order of its events: streams keep theirs, modes keep their limits."""

from __future__ import annotations

from collections import Counter

import attrs

from flowrt import Run
from tests.kit.graphs.notes import OUT, UNCONNECTED, Call, Fact, Notes, Op
from tests.kit.graphs.shapes import LIMITS


@attrs.define(eq=False)
class Sent:
    """A run, and what its caller knows."""

    tag: int
    run: Run
    accepted: int


@attrs.define(eq=False)
class Evidence:
    """What came of a flow, to be held against the notes.

    `whole` are the tags of runs that nobody cut short; `late` those of late emissions; `results` serials by tag, in order of reading.
    """

    notes: Notes
    sent: list[Sent]
    late: set[int]
    whole: set[int]
    results: dict[int, list[int]]
    trace: list[str]
    subscribed: bool
    group: int
    run_failures: list[BaseException]
    vague: set[int] = attrs.Factory(set)  # tags of which not every item tells its list
    places: dict[object, list[str]] = attrs.Factory(dict)  # of errors, by what they are about
    errors: dict[object, BaseException] = attrs.Factory(dict)
    arrived_at_gathers: Counter[tuple[str, int]] = attrs.Factory(Counter)  # gather and serial
    surplus: Counter[tuple[str, int]] = attrs.Factory(Counter)  # by gather and tag: items beyond the count
    left_out: Counter[int] = attrs.Factory(Counter)  # by tag: items that came to a gather and into no list
    lacking: Counter[tuple[str, int]] = attrs.Factory(Counter)  # by gather and tag: lists that did not come

    def fact(self, serial: int) -> Fact:
        return self.notes.facts[serial]

    # -- order

    def streams_keep_their_order(self) -> None:
        """What leaves a port arrives in order of emission, where its operation keeps one and the other end takes in order."""
        notes = self.notes
        for source, port in list(notes.wires):
            if source in notes.passing:
                continue
            stretches = self._given(source, port)
            for target in set(notes.takers(source, port)) - {UNCONNECTED}:
                for taken in self._taken_in_order(target):
                    index = {serial: place for place, serial in reversed(list(enumerate(taken)))}
                    for stretch in stretches:
                        places = [index[serial] for serial in dict.fromkeys(stretch) if serial in index]
                        assert places == sorted(places), (source, port, target, stretch, taken)

    def _given(self, source: str, port: str, *behind: str) -> list[list[int]]:
        """What a port emitted, in stretches that keep their order."""
        notes = self.notes
        if source == ".in":
            stretches = list(notes.inputs.values())
            if not any(op.kind == "caller" for op in notes.ops.values()):  # else one may come amid another
                stretches = [[serial for stretch in stretches for serial in stretch]]
        else:
            op = notes.ops[source]
            calls = [call for call in notes.calls if call.operation == source and call.tag not in self.late]
            if op.kind in {"generator", "scatter"} or op.mode in {"parallel", "keyed"}:
                groups = [[call] for call in calls]
            elif op.mode in {"ordered", "spread"} and self.group > 1:
                groups = self._in_order_of_arrival(op, calls, (*behind, source))
            else:
                groups = [calls]
            stretches = [
                [serial for call in group for at, serial in call.emitted if at == port] for group in groups
            ]
        return [
            [serial for serial in stretch if self.fact(serial).priority == priority]
            for stretch in stretches
            for priority in {self.fact(serial).priority for serial in stretch}
        ]

    def _in_order_of_arrival(self, op: Op, calls: list[Call], behind: tuple[str, ...]) -> list[list[Call]]:
        """The calls as their inputs came, stream by stream: of groups that are taken back, bodies begin in another order."""
        if len(set(behind)) < len(behind):
            return [[call] for call in calls]
        times = Counter(call.serial for call in calls)
        by_serial = {call.serial: call for call in calls if times[call.serial] == 1}
        return [
            [by_serial[serial] for serial in stretch if serial in by_serial]
            for source, port in list(self.notes.wires)
            if source not in self.notes.passing and op.name in self.notes.takers(source, port)
            for stretch in self._given(source, port, *behind)
        ]

    def _taken_in_order(self, target: str) -> list[list[int]]:
        notes = self.notes
        if target == OUT:
            return list(self.results.values())
        if target in notes.gathers:
            came = [each.serials for each in notes.came if each.gather == target]
            return [] if notes.gathers[target].ordered else came
        op = notes.ops[target]
        if op.kind in {"generator", "scatter"}:
            return []  # a body begins when it is first pulled
        if op.mode in {"parallel", "ordered", "spread"} and self.group > 1:
            return []  # what is taken back of a group begins after what another worker has begun meanwhile
        calls = [call for call in notes.calls if call.operation == target and call.serial is not None]
        if op.mode != "keyed":
            return [[call.serial for call in calls if call.serial is not None]]
        return [
            [call.serial for call in calls if call.serial is not None and call.value % 2 == key]
            for key in (0, 1)
        ]

    # -- one at a time

    def limits_are_kept(self) -> None:
        notes = self.notes
        keys = {
            call.step: (call.operation, call.value % 2)
            for call in notes.calls
            if notes.ops[call.operation].mode == "keyed"
        }
        now: set[str] = set()
        busy: Counter[object] = Counter()
        for step in self.trace:
            what, _, name = step.partition(" ")
            if what not in {"start", "finish", "fail"}:
                continue
            operation = name.rpartition("#")[0].rpartition("/")[2]
            op = notes.ops[operation]
            pool = op.mode if op.mode in {"shared", "spread"} else operation
            change = 1 if what == "start" else -1
            assert (name in now) == (what != "start")
            (now.add if what == "start" else now.discard)(name)
            busy[pool] += change
            assert busy[pool] <= LIMITS[op.mode], (step, op)
            if name in keys:
                busy[keys[name]] += change
                assert busy[keys[name]] <= 1, (step, op)
