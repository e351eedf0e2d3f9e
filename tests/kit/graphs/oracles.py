"""What a random graph must have done, judged by the notes of its operations alone: see `tests/graph_notes.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from tests.kit.graphs.evidence import Evidence, Sent
from tests.kit.graphs.notes import OUT, UNCONNECTED, Call, GatherFacts, ListCame, ListMade, Op, key_of_error


@attrs.define(eq=False)
class Judge(Evidence):
    """Holds what came of a flow against the notes."""

    def judge(self) -> None:
        self._sort_errors()
        self.every_emission_arrives_once()
        self.gathers_emit_what_came()
        self.streams_keep_their_order()
        self.limits_are_kept()
        self.every_error_has_one_place()
        for sent in self.sent:
            if sent.tag in self.whole:
                self.the_ledger_says_what_happened(sent)

    # -- errors

    def _sort_errors(self) -> None:
        for place, error in [
            *(("run", error) for error in self.run_failures),
            *(("told", error) for error in self.notes.told),
            *((handler, error) for handler, error in self.notes.handled),
        ]:
            key = key_of_error(error)
            self.places.setdefault(key, []).append(place)
            self.errors[key] = error
        for key in self.errors:
            if isinstance(key, tuple) and key[0] == "surplus":
                assert key[1].rpartition("/")[2] in self.notes.gathers, self.errors[key]
                assert "after its list was complete" in str(self.errors[key].__cause__), self.errors[key]

    def every_error_has_one_place(self) -> None:
        notes = self.notes
        collected = Counter((gather, key_of_error(error)) for gather, error in notes.collected)
        assert not collected or max(collected.values()) == 1, collected
        for key, places in self.places.items():
            if isinstance(key, tuple) and key[0] != "surplus":
                assert len(places) == 1, (key, places)
        known = set()
        for call in notes.calls:
            if call.ending not in {"raised", "fault"}:
                continue
            key = (
                ("fault", f"{call.fault} was made to fail")
                if call.ending == "fault"
                else ("call", call.number)
            )
            known.add(key)
            places = self.places.get(key, [])
            assert len(places) <= 1, (key, places)
            if call.tag in self.whole:
                self._judge_place(call, key, places)
        self._judge_errors_of_gathers()
        strays = [key for key in self.errors if isinstance(key, tuple) and key[0] in {"fault", "call"}]
        assert set(strays) <= known

    def _judge_place(self, call: Call, key: object, places: list[str]) -> None:
        op = self.notes.ops[call.operation]
        lenient = self._lenient(op)
        if op.guards:
            assert places == [op.guards[-1]], (call, places)
        elif self.subscribed:
            assert places == ["told"], (call, places)
        elif not lenient:
            assert places == ["run"], (call, places)
        elif not any(gather.counted for gather in lenient):
            # A position of which something else arrived is not missing: its error is the run's.
            assert places in ([], ["run"]), (call, places)
            if not places and all(gather.policy == "collect" for gather in lenient):
                assert key in {key_of_error(error) for _, error in self.notes.collected}, call

    def _judge_errors_of_gathers(self) -> None:
        """Gathers fail what comes beyond the count, and lists that stay incomplete."""
        notes = self.notes
        beyond: Counter[tuple[str, int]] = Counter()
        lists: Counter[str] = Counter()
        for key, places in self.places.items():
            if not isinstance(key, tuple) or key[0] not in {"surplus", "incomplete"}:
                continue
            gather = key[1].rpartition("/")[2]
            op = notes.ops[gather]
            tag = None if key[0] == "incomplete" else self.fact(key[2]).tag
            if key[0] == "incomplete":
                lists[gather] += 1
            else:
                assert tag is not None
                beyond[gather, tag] += len(places)
            for place in places:
                assert place == (op.guards[-1] if op.guards else "told" if self.subscribed else "run")
        for (gather, tag), number in self.surplus.items():
            if tag in self.whole - self.vague:
                op = notes.ops[gather]
                home = op.guards or self.subscribed or not self._lenient(op)
                found = beyond[gather, tag]
                assert found == number if home else found <= number, (gather, tag, found, number)
        if {sent.tag for sent in self.sent} | self.late <= self.whole:
            for gather, number in lists.items():
                lacking = sum(lists for (name, _), lists in self.lacking.items() if name == gather)
                assert number <= lacking, (gather, number, lacking)

    def _lenient(self, op: Op) -> list[GatherFacts]:
        """The gathers around that can do without an item."""
        around = [*op.lists]
        if op.kind == "scatter":
            around.append(op.name)
        elif op.kind == "gather":
            around.append(self.notes.gathers[op.name].scatter)
        found = [self.notes.gathers[name] for scatter in around for name in self.notes.gathered_by[scatter]]
        return [gather for gather in found if gather.policy != "fail"]

    # -- conservation

    def every_emission_arrives_once(self) -> None:
        """Each datum is taken by each operation its port leads to exactly once, and by nobody else."""
        notes = self.notes
        due: Counter[tuple[str, int]] = Counter()
        for call in notes.calls:
            for port, serial in call.emitted:
                due.update((taker, serial) for taker in notes.takers(call.operation, port))
        for serials in notes.inputs.values():
            for serial in serials:
                due.update((taker, serial) for taker in notes.takers(".in", ""))
        taken: Counter[tuple[str, int]] = Counter()
        for operation, serials in notes.taken.items():
            taken.update((operation, serial) for serial in serials)
        for serials in self.results.values():
            taken.update((OUT, serial) for serial in serials)
        for came in notes.came:
            taken.update((came.gather, serial) for serial in came.serials)
        self.arrived_at_gathers = Counter(
            {key: number for key, number in due.items() if key[0] in notes.gathers}
        )
        assert not taken - due, f"taken, and never sent: {self._told(taken - due)}"
        lost = {
            key: number
            for key, number in (due - taken).items()
            if self.fact(key[1]).tag in self.whole and key[0] != UNCONNECTED and key[0] not in notes.gathers
        }
        assert not lost, f"sent, and never taken: {self._told(lost)}"

    def _told(self, found: Iterable[tuple[str, int]]) -> list[str]:
        return [f"{operation}: {serial} of run {self.fact(serial).tag}" for operation, serial in found]

    # -- gathers

    def gathers_emit_what_came(self) -> None:
        notes = self.notes
        for gather in sorted(notes.gathers.values(), key=lambda each: -each.depth):
            arrivals: dict[int | None, list[int]] = {}
            for (name, serial), number in self.arrived_at_gathers.items():
                if name == gather.name:
                    home = self.fact(serial).lineage[gather.depth][0]
                    arrivals.setdefault(home, []).extend([serial] * number)
                    if home is None:
                        self.vague.add(self.fact(serial).tag)
            made = [each for each in notes.lists.values() if each.scatter == gather.scatter]
            for tag in {each.tag for each in made} & self.whole:
                self._judge_lists(
                    gather,
                    [each for each in made if each.tag == tag],
                    [each for each in notes.came if each.gather == gather.name and each.tag == tag],
                    arrivals,
                )
            for came in notes.came:
                if came.gather == gather.name:
                    self._judge_list(gather, came)

    def _judge_list(self, gather: GatherFacts, came: ListCame) -> None:
        items = [self.fact(serial) for serial in came.serials]
        homes = {item.lineage[gather.depth][0] for item in items} - {None}
        assert len(homes) <= 1, (gather, came)
        assert all(item.tag == came.tag for item in items)
        if gather.ordered:
            positions = [item.lineage[gather.depth][1] for item in items]
            known = [position for position in positions if position is not None]
            assert known == sorted(known), (gather, positions)

    def _judge_lists(
        self,
        gather: GatherFacts,
        made: list[ListMade],
        came: list[ListCame],
        arrivals: dict[int | None, list[int]],
    ) -> None:
        assert len(came) <= len(made), (gather, made, came)
        by_list = Counter(each.number for each in came if each.number is not None)
        assert not by_list or max(by_list.values()) == 1, (gather, by_list)
        tag = made[0].tag
        fails = self._failures_in(tag)
        self.lacking[gather.name, tag] += len(made) - len(came)
        self._count_left_out(gather, tag, came)
        if tag in self.vague:
            if gather.policy != "fail":
                assert len(came) == len(made), (gather, made, came)
            return
        unknown = sum(each.number is None for each in came)
        least, most = 0, 0  # of lists that came, and that no item told apart
        for each in made:
            here = arrivals.get(each.number, [])
            mine = [one.serials for one in came if one.number == each.number]
            full = gather.counted and each.length is not None and len(here) >= each.length
            certain = self._comes(gather, each, here, fails)
            if full and each.length:
                assert mine, (gather, each, here)
                assert len(mine[0]) == each.length, (gather, each, mine)
                assert not Counter(mine[0]) - Counter(here)
                self.surplus[gather.name, tag] += len(here) - each.length
            elif mine:
                assert certain is not False, (gather, each)
                assert Counter(mine[0]) == Counter(here), (gather, each, mine, here)
            elif here:
                assert certain is not True, (gather, each, here)
            else:
                least += certain is True or full
                most += certain is not False or full
        assert least <= unknown <= most, (gather, made, came, least, most)

    def _count_left_out(self, gather: GatherFacts, tag: int, came: list[ListCame]) -> None:
        arrived = sum(
            number
            for (name, serial), number in self.arrived_at_gathers.items()
            if name == gather.name and self.fact(serial).tag == tag
        )
        self.left_out[tag] += arrived - sum(len(each.serials) for each in came)

    def _failures_in(self, tag: int) -> list[tuple[int | None, int | None]]:
        """Places in lists (list, position) of what failed, or left unconnected."""
        notes = self.notes
        found: list[tuple[int | None, int | None]] = []
        for call in notes.calls:
            if call.tag == tag:
                if call.ending in {"raised", "fault"}:
                    found += call.lineage
                for port, serial in call.emitted:
                    if UNCONNECTED in notes.takers(call.operation, port):
                        found += self.fact(serial).lineage
        return found

    def _comes(
        self,
        gather: GatherFacts,
        made: ListMade,
        here: list[int],
        fails: list[tuple[int | None, int | None]],
    ) -> bool | None:
        """Whether a list that is not full comes: surely, surely not, or nobody can say without asking the ledger."""
        if gather.policy != "fail":
            return True
        if gather.counted:
            return False
        if made.length is None:
            return False
        positions = {self.fact(serial).lineage[gather.depth][1] for serial in here}
        inner = [name for name in self.notes.gathers if gather.scatter in self.notes.ops[name].lists]
        if len(positions) < made.length and any(self.lacking[name, made.tag] for name in inner):
            return None  # an inner list that did not come is an item that did not come
        lossy = {position for number, position in fails if number in {made.number, None}}
        return None if lossy - positions else True

    # -- the ledger

    def the_ledger_says_what_happened(self, sent: Sent) -> None:
        expected = self.expected_ledger(sent)
        ledger = sent.run.ledger
        actual = {what: getattr(ledger, what) for what in expected}
        if sent.tag in self.vague:  # what a gather left out was too late, or its list was given up
            for figures in (expected, actual):
                figures["discarded"] += figures.pop("failed")
        assert actual == dict(expected), f"{ledger}"

    def expected_ledger(self, sent: Sent) -> dict[str, int]:
        notes, tag = self.notes, sent.tag
        books = Counter(dict.fromkeys(("born", "absorbed", "failed", "unconnected", "discarded"), 0))
        emitted = [(".in", "", serial) for serial in notes.inputs.get(tag, ())]
        for call in notes.calls:
            if call.tag != tag:
                continue
            op = notes.ops[call.operation]
            emitted += [(call.operation, port, serial) for port, serial in call.emitted]
            messages = len(call.emitted)
            if call.ending != "returned":
                books["failed"] += 1
                books["born"] += messages
            elif op.kind == "scatter":
                books["born"] += messages
                counts = sum(notes.gathers[gather].counted for gather in notes.gathered_by[op.name])
                books["born"] += max(counts - 1, 0)
                books["absorbed"] += counts
                books["unconnected"] += not counts
            else:
                books["born" if messages else "absorbed"] += messages - 1 if messages else 1
        for operation, port, _ in emitted:
            takers = notes.takers(operation, port)
            books["born"] += len(takers) - 1
            books["unconnected"] += takers.count(UNCONNECTED)
        surplus = sum(number for (_, owner), number in self.surplus.items() if owner == tag)
        books["failed"] += surplus
        books["discarded"] += self.left_out[tag] - surplus
        for came in notes.came:
            if came.tag == tag:
                books["absorbed"] += max(len(came.serials) - 1, 0)
                books["born"] += not came.serials
        books["born"] += sum(
            handled.tag == tag for handled in notes.calls if notes.ops[handled.operation].kind == "handler"
        )
        return {**books, "accepted": sent.accepted, "delivered": len(self.results.get(tag, []))}
