"""The rule kit: operations, executors and schedules, checked against numbered rules."""

from flowrt.testing.rulekit.executors import check_executor
from flowrt.testing.rulekit.operations import check_operation
from flowrt.testing.rulekit.rules import RULES, Rule, RuleViolation
from flowrt.testing.rulekit.schedules import check_schedule

__all__ = ["RULES", "Rule", "RuleViolation", "check_executor", "check_operation", "check_schedule"]
