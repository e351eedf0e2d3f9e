"""The rule kit: operations, executors and schedules, checked against numbered rules."""

from flowrt.testing.rules.executors import check_executor
from flowrt.testing.rules.operations import check_operation
from flowrt.testing.rules.rules import RULES, Rule, RuleViolation
from flowrt.testing.rules.schedules import check_schedule

__all__ = ["RULES", "Rule", "RuleViolation", "check_executor", "check_operation", "check_schedule"]
