"""Random flows, inputs, faults, cancels and closes in random orders of events, all from one seed; judged without the ledger.

`FLOWRT_SEEDS=50000 python -m pytest tests/simulation/test_simulated_graphs.py` looks at so many; `--full` at 2,000, else it is 500.
A seed that fails is replayed for ever once it is a line of `tests/simulation/recordings/seeds.txt`.
"""

from __future__ import annotations

import ast
import gc
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings

from tests.kit import effort, strategies
from tests.kit.graphs.player import NO_ORDER_OF_BEGIN, Player, plan_of, play_seed, run_seed
from tests.kit.graphs.shapes import Region

pytestmark = pytest.mark.no_cover

SEEDS = int(os.environ.get("FLOWRT_SEEDS", effort.of(2000)))
PARTS = 20
RECORDED = Path(__file__).parent / "recordings" / "seeds.txt"


def judged(seed: int, deviations: Mapping[int, int] | None = None) -> Player:
    """As `run_seed`; an error says how to see it again, and how to keep it."""
    try:
        return run_seed(seed, deviations)
    except BaseException as error:
        line = f"{datetime.now(UTC):%Y-%m-%d} {seed} {'-' if deviations is None else dict(deviations)} what it found"
        error.add_note(
            f'seed {seed} failed; see it again with run_seed({seed}), and keep it: add "{line}" to tests/recordings/seeds.txt'
        )
        raise


def recorded() -> list[tuple[int, Mapping[int, int] | None]]:
    found: list[tuple[int, Mapping[int, int] | None]] = []
    for line in RECORDED.read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"\d{4}-\d\d-\d\d (\d+) (-|\{[\d:, ]*\}) \S.*", line)
            assert match is not None, (
                f"tests/recordings/seeds.txt: {line!r} is no date, seed, order, what it found"
            )
            found.append((int(match[1]), None if match[2] == "-" else ast.literal_eval(match[2])))
    return found


@pytest.mark.timeout(60 * max(SEEDS // 2000, 1))
@pytest.mark.parametrize("part", range(PARTS))
def test_any_flow_does_under_any_order_of_events_what_its_operations_say(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        judged(seed)


def test_seeds_that_found_something_stay_found() -> None:
    for seed, deviations in recorded():
        judged(seed, deviations)


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(0, min(SEEDS, 2000), 40):
        first, second = play_seed(seed), play_seed(seed)

        assert first.simulation.trace == second.simulation.trace
        assert first.results == second.results


def test_the_deviations_of_a_seed_replay_it() -> None:
    for seed in range(7, min(SEEDS, 2000), 80):
        drawn = play_seed(seed)
        told = judged(seed, drawn.simulation.deviations)

        assert told.simulation.trace == drawn.simulation.trace


def test_nothing_of_a_message_is_kept_after_the_end() -> None:
    for seed in range(3, min(SEEDS, 2000), 80):
        player = play_seed(seed)
        notes = player.notes
        # An error holds the message it is about, and whoever holds the error or a run with one holds that.
        for held in (player.sent, player.late_runs, player.unseen, notes.told, notes.handled):
            held.clear()
        player._read_of.clear()
        notes.collected.clear()
        notes.kept.clear()
        gc.collect()

        assert notes.watched
        left = [ref() for ref in notes.watched]
        assert not any(left), f"seed {seed}: {[datum for datum in left if datum is not None]}"


@given(graph=strategies.wired_graphs, seed=strategies.seeds)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_flow_does_on_real_threads_what_its_operations_say(graph: Region, seed: int) -> None:
    plan = plan_of(seed)
    posts = tuple(action for action in plan.actions if action.kind.startswith("post"))
    plan = attrs.evolve(
        plan, graph=graph, actions=posts, inside=False, calm=False, group=NO_ORDER_OF_BEGIN, faults=0
    )
    player = Player(plan, lambda _step, _possibilities: 0, real_threads=True)
    player.notes.step = str
    player.play()
    player.judge()
