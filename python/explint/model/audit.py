"""The sums over an audit, and what two audits differ in.

Imported where it is needed, not with the other words of the house: only ``explint audit`` speaks of
audits.
"""

from __future__ import annotations

import msgspec

from explint.model.report import ToolInfo

AUDIT_SUMMARY_VERSION = 1


class GroupSum(msgspec.Struct, frozen=True, kw_only=True):
    """Packages that have something in common, by what became of them."""

    name: str
    packages: int
    ready: int
    unready: int
    failed: int
    errors: int
    warnings: int


class RuleSum(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule fired: ``packages`` that have it, ``findings``, root ``causes`` of errors,
    and packages whose most blocking root cause it is (``first``)."""

    rule: str
    code: str
    severity: str
    packages: int
    findings: int
    causes: int
    first: int


class CriterionSum(msgspec.Struct, frozen=True, kw_only=True):
    """Judged packages by the state of a criterion."""

    number: int
    title: str
    met: int
    violated: int
    unknown: int


class FailureSum(msgspec.Struct, frozen=True, kw_only=True):
    """Packages that could not be judged, by kind."""

    kind: str
    packages: int


class JudgeSum(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts of an LLM judge against the code, over the packages that carry one."""

    packages: int
    both_ready: int
    both_not_ready: int
    only_judge_ready: int
    only_explint_ready: int
    claims_confirmed: int
    claims_refuted: int
    claims_undecided: int
    claims_missed: int


class RuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of a rule that are new, and that are gone, in the packages of both audits."""

    rule: str
    new: int
    fixed: int


class AuditChange(msgspec.Struct, frozen=True, kw_only=True):
    """An audit against an older one.

    Packages are the same by their id, findings by their fingerprint. ``other_rules`` says that the
    two audits were made by other rules or other settings, so that differences may come from these.
    ``turned_ready`` and ``turned_unready`` hold at most 20 ids each.
    """

    against: str
    other_rules: bool
    packages_added: int
    packages_gone: int
    packages_common: int
    ready_before: int
    ready_now: int
    became_ready: int
    became_unready: int
    turned_ready: list[str]
    turned_unready: list[str]
    findings_new: int
    findings_fixed: int
    rules: list[RuleChange]


class AuditSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``explint audit summary -o json`` writes.

    ``complete`` is false for an audit that has not come to its end. Lists stand in the order of
    their frequency, criteria in that of their numbers. ``judge`` is None where no package carries a
    verdict, ``change`` where nothing was compared.
    """

    schema_version: int = AUDIT_SUMMARY_VERSION
    tool: ToolInfo
    audit: str
    complete: bool
    seconds: float
    total: GroupSum
    infos: int
    suppressed: int
    incomplete: int
    failures: list[FailureSum]
    rules: list[RuleSum]
    criteria: list[CriterionSum]
    profiles: list[GroupSum]
    sources: list[GroupSum]
    judge: JudgeSum | None = None
    change: AuditChange | None = None
