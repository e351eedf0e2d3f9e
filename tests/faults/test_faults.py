"""The table of faults, by their numbers: which test shows each, or with what it comes.

The tests stand with their topics; their names begin with the number (`grep -rn test_f19 tests`). Where the design decides otherwise than
the table does, the design is tested, and a line says so.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

# What is not built yet; a fault without tests must name one of these.
PROCESSES = "comes with worker processes"
COROUTINES = "comes with the event loop's executor"
REMOTE = "comes with hosted flows"
POLICIES = "comes with the policies of operations"
OBSERVERS = "comes with traces and their sinks"
FLOW_FILES = "comes with flow files"
JOINS = "comes with joins"
LIMITS = "comes with warnings of slow operations and eviction by age"
SESSIONS = "comes with many runtimes in one program"

TO_COME = {
    6: PROCESSES,
    7: PROCESSES,
    8: PROCESSES,
    9: PROCESSES,
    10: PROCESSES,
    11: PROCESSES,
    12: PROCESSES,
    13: PROCESSES,
    14: LIMITS,
    17: LIMITS,
    24: POLICIES,
    25: POLICIES,
    29: PROCESSES,
    33: OBSERVERS,
    34: OBSERVERS,
    37: FLOW_FILES,
    39: JOINS,
    43: COROUTINES,
    44: COROUTINES,
    46: REMOTE,
    47: REMOTE,
    48: SESSIONS,
}

# One test for each row, the first to look at; the others of a row begin with the same number.
SHOWN = {
    1: "test_f01_an_operation_that_raises_fails_its_run_and_names_itself",
    2: "test_f02_what_ends_programs_stops_the_runtime_and_is_raised_in_a_caller",
    3: "test_f03_an_error_of_a_handler_goes_one_causality_out_and_keeps_what_it_was_about",
    4: "test_f04_what_fails_while_it_closes_is_raised_together_in_order",
    5: "test_f05_what_a_generator_yielded_before_it_raised_is_delivered",
    15: "test_f15_a_cycle_through_full_windows_does_not_lock_up",
    16: "test_f16_upstream_is_told_when_downstream_stops_everything",
    18: "test_f18_the_first_results_leave_before_the_last_are_made",
    19: "test_f19_the_end_in_the_midst_of_a_list_gives_no_partial_list",
    20: "test_f20_closing_from_everywhere_at_once_is_one_end",
    21: "test_f21_f22_a_signal_discards_what_has_not_begun_and_leaves_with_its_code",
    22: "test_f22_without_a_handler_of_the_program_sigterm_ends_it_as_it_ends_any_other",  # more comes with the command line
    23: "test_f23_flows_alive_at_the_exit_are_drained_and_warned_of",
    26: "test_f26_input_from_inside_is_queued_and_neither_nested_nor_held_back",
    27: "test_f27_a_wait_inside_is_refused_at_once_and_says_what_to_do",
    28: "test_f28_a_fork_in_the_midst_of_work_is_refused_everything_and_the_parent_goes_on",
    30: "test_f30_threads_that_the_system_refuses_cost_speed_or_are_a_named_error",
    31: "test_f31_an_operation_that_runs_out_of_memory_fails_its_message_and_no_other",
    32: "test_f32_a_bug_of_ours_is_named_stops_everything_and_touches_no_other_runtime",
    35: "test_f35_every_stream_to_nowhere_is_found_before_anything_runs_with_a_suggestion",
    36: "test_f36_a_name_twice_is_an_error_that_says_where_both_are",
    38: "test_f38_lists_that_share_an_id_are_gathered_apart_and_get_it_back",
    40: "test_f40_a_higher_priority_goes_first_strictly_and_the_lower_is_not_lost",
    41: "test_f41_the_same_object_goes_to_every_receiver",
    42: "test_f42_an_hour_of_sleep_makes_nothing_happen_twice_or_all_at_once",
    45: "test_f45_the_stack_does_not_grow_with_the_chain_and_an_error_at_its_end_is_short",
}


@functools.cache
def numbered_tests() -> dict[str, str]:
    """The names of the tests that begin with a number, each with its file."""
    return {
        node.name: path.name
        for path in Path(__file__).parents[1].rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name[:7].removeprefix("test_f").isdigit()
    }


@pytest.mark.parametrize("number", range(1, 49))
def test_every_fault_is_shown_or_comes_with_something(number: int) -> None:
    assert (number in SHOWN) != (number in TO_COME)
    if number in SHOWN:
        assert SHOWN[number].startswith(f"test_f{number:02}_") or f"_f{number:02}_" in SHOWN[number]
        assert SHOWN[number] in numbered_tests()


def test_no_test_has_the_number_of_a_fault_that_is_still_to_come() -> None:
    assert {int(name[6:8]) for name in numbered_tests()} == set(SHOWN)
