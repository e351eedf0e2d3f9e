"""The rule kit: operations, executors and schedules, checked against numbered rules.

Begin with `rules`, the table of them. `operations`, `executors` and `schedules` each have scenarios and the function that goes through them;
`trials` is how a scenario runs a little flow under watch, `calls` and `subjects` what it watches. It imports what the test kit may, and no test
framework.
"""

from flowrt.testing.rules.executors import check_executor
from flowrt.testing.rules.operations import check_operation
from flowrt.testing.rules.rules import RULES, Rule, RuleViolation
from flowrt.testing.rules.schedules import check_schedule

__all__ = ["RULES", "Rule", "RuleViolation", "check_executor", "check_operation", "check_schedule"]
