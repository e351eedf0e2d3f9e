"""`assert_same_in_all_modes`, at flows that it once refused."""

from __future__ import annotations

import pytest

from flowrt import FlowOperationContainer
from flowrt.testing import assert_same_in_all_modes
from tests.kit.flows import flow_of
from tests.kit.functions import same


@pytest.mark.parametrize("mode", ["async", "parallel"])
def test_a_flow_with_a_timeout_is_run_in_every_mode(mode: str) -> None:
    operations = FlowOperationContainer().add_func("work", same)
    operations = operations.make_async() if mode == "async" else operations.make_parallel(2, ordered=True)
    operations.timeout(60.0).retry(2)

    assert_same_in_all_modes(
        flow_of("", ".in -> work -> .out", operations=operations), [(".in", n) for n in range(3)]
    )
