"""From findings and open questions to the judge's answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from explint.model import (
    CRITERIA,
    CriterionState,
    Finding,
    Rule,
    Severity,
    Undecided,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A rule that could not decide on this package."""

    rule: Rule
    reason: str
    decided_by: str
    path: str | None = None


def build_verdict(
    findings: Sequence[Finding],
    questions: Iterable[OpenQuestion],
    *,
    all_required_present: bool,
) -> Verdict:
    """The verdict over every finding of a package, shown, suppressed or not.

    ``findings`` carry their rules' own severities. A criterion is violated by an error finding,
    unknown while a rule of it could not decide or explint has no rule for a part of it, else met.
    """
    errors = [f for f in findings if f.severity is Severity.ERROR]
    violated = {number for f in errors for number in f.criteria}
    open_by_criterion: dict[int, OpenQuestion] = {}
    for question in questions:
        for number in question.rule.criteria:
            open_by_criterion.setdefault(number, question)
    states: dict[str, CriterionState] = {}
    undecided = []
    for number, criterion in CRITERIA.items():
        if number in violated:
            states[str(number)] = CriterionState.VIOLATED
            continue
        asked = open_by_criterion.get(number)
        if asked is None and not criterion.undecided:
            states[str(number)] = CriterionState.MET
            continue
        states[str(number)] = CriterionState.UNKNOWN
        if asked is None:
            reason, decided_by = criterion.undecided, "a trial run"
        else:
            where = f"{asked.path}: " if asked.path else ""
            reason = f"{where}{asked.reason} ({asked.rule.name})"
            decided_by = asked.decided_by
        undecided.append(Undecided(criterion=number, reason=reason, decided_by=decided_by))
    return Verdict(
        is_code_ready=not errors and all_required_present,
        code_issue=describe(errors),
        criteria=states,
        undecided=tuple(undecided),
    )


def describe(errors: Sequence[Finding]) -> str:
    """The blocking findings as a reviewer would list them: one numbered point per violated rule,
    the most blocking first."""
    if not errors:
        return ""
    points = []
    for rule, group in _grouped(errors):
        what = " ".join(f"{_place(f)}{f.message}" for f in group)
        helps = dict.fromkeys(f.help for f in group)
        advice = f" {next(iter(helps))}" if len(helps) == 1 else ""
        points.append(f"{what}{advice} ({rule})")
    if len(points) == 1:
        return points[0]
    return "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))


# What stops the package first comes first: files that are not there, then code that does not
# compile, then code that is not finished.
_BLOCKING_ORDER = (
    "structure/",
    "complete/syntax-error",
    "complete/truncated-code",
    "complete/",
    "",
)


def _grouped(errors: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    groups: dict[str, list[Finding]] = {}
    for finding in errors:
        groups.setdefault(finding.rule, []).append(finding)

    def blocking(item: tuple[str, list[Finding]]) -> tuple[int, str]:
        rule = item[0]
        rank = next(i for i, prefix in enumerate(_BLOCKING_ORDER) if rule.startswith(prefix))
        return rank, item[1][0].code

    return sorted(groups.items(), key=blocking)


def _place(finding: Finding) -> str:
    """Where, for findings whose message does not name the file by itself."""
    if finding.line == 1 and finding.path in finding.message:
        return ""
    return f"{finding.path}:{finding.line}: "
