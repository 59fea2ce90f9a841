"""The words of the house: findings, rules, verdicts, coverage, reports. Imports nothing of ours."""

from explint.model.coverage import Coverage, Failed, Skipped
from explint.model.criteria import CRITERIA, Criterion
from explint.model.finding import Change, Confidence, Finding, Related, Severity, State
from explint.model.report import (
    SCHEMA_VERSION,
    Comparison,
    InputError,
    PackageReport,
    ProfileChoice,
    Report,
    SourceInfo,
    Summary,
    ToolInfo,
)
from explint.model.rule import Implementation, Rule, RuleStatus
from explint.model.verdict import CriterionState, Evidence, Undecided, Verdict

__all__ = [
    "CRITERIA",
    "SCHEMA_VERSION",
    "Change",
    "Comparison",
    "Confidence",
    "Coverage",
    "Criterion",
    "CriterionState",
    "Evidence",
    "Failed",
    "Finding",
    "Implementation",
    "InputError",
    "PackageReport",
    "ProfileChoice",
    "Related",
    "Report",
    "Rule",
    "RuleStatus",
    "Severity",
    "Skipped",
    "SourceInfo",
    "State",
    "Summary",
    "ToolInfo",
    "Undecided",
    "Verdict",
]
