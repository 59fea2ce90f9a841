"""From findings and open questions to the judge's answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from explint.model import (
    CRITERIA,
    CriterionState,
    Finding,
    Rule,
    Severity,
    Undecided,
    Verdict,
)


class OpenQuestion(msgspec.Struct, frozen=True):
    """A rule that could not decide on this package."""

    rule: Rule
    reason: str
    decided_by: str
    path: str | None = None


def build_verdict(
    findings: Sequence[Finding],
    questions: Iterable[OpenQuestion],
    *,
    missing: Sequence[str] = (),
) -> Verdict:
    """The verdict over every finding of a package, shown, suppressed or not.

    ``findings`` carry their rules' own severities. ``missing`` are required files without contents,
    whether or not a finding says so: the package cannot be called ready without them. A criterion
    is violated by an error finding, unknown while a rule of it could not decide or explint has no
    rule for a part of it, else met.
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
        is_code_ready=not errors and not missing,
        code_issue=describe(errors) if errors else _unseen(missing),
        criteria=states,
        undecided=tuple(undecided),
    )


SHOWN_MESSAGES = 6
SHOWN_PLACES = 8
"""How many messages of a rule, and places of a message, are spelt out; the rest is counted."""


def describe(errors: Sequence[Finding]) -> str:
    """The blocking findings as a reviewer would list them: one numbered point per violated rule,
    the most blocking first, with every place that shows the same defect in one sentence."""
    points = [f"{_point(group)} ({rule})" for rule, group in _grouped(errors)]
    if len(points) == 1:
        return points[0]
    return "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))


def _unseen(missing: Sequence[str]) -> str:
    """Why a package without an error is not ready."""
    if not missing:
        return ""
    return f"No error was found, but {_listed(_coded(missing))} could not be seen."


def _point(group: Sequence[Finding]) -> str:
    """One rule's findings. Those that say the same of different files or lines are told once."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for f in group:
        if _names_its_file(f):
            key = (f.message.removeprefix(f"`{f.path}` "), f.help.replace(f"`{f.path}`", "\0"))
        else:
            key = (f.message, f.help)
        alike.setdefault(key, []).append(f)
    told = list(alike.items())[:SHOWN_MESSAGES]
    one_help = len({help for _, help in alike}) == 1
    sentences = []
    for (_, help), same in told:
        sentences.append(_sentence(same))
        if not one_help:
            sentences.append(_advice(help, same))
    if more := sum(len(same) for same in alike.values()) - sum(len(same) for _, same in told):
        sentences.append(f"And {more:,} more.")
    if one_help:
        sentences.append(_advice(told[0][0][1], group))
    return " ".join(sentences)


def _sentence(same: Sequence[Finding]) -> str:
    first = same[0]
    if _names_its_file(first):
        if len(same) == 1:
            return first.message
        rest = first.message.removeprefix(f"`{first.path}` ")
        each = (
            rest.replace("is not", "none is", 1) if rest.startswith("is not ") else f"each {rest}"
        )
        return f"{_listed(_coded(f.path for f in same))}: {each}"
    places: dict[str, list[str]] = {}
    for f in same[:SHOWN_PLACES]:
        places.setdefault(f.path, []).append(str(f.line))
    where = "; ".join(f"{path}:{', '.join(dict.fromkeys(lines))}" for path, lines in places.items())
    more = len(same) - SHOWN_PLACES
    return f"{where}{f' and {more:,} more' if more > 0 else ''}: {first.message}"


def _advice(help: str, same: Sequence[Finding]) -> str:
    return help.replace("\0", f"`{same[0].path}`" if len(same) == 1 else "each of them")


def _names_its_file(finding: Finding) -> bool:
    """Whether a finding is about its whole file, and its message begins with it."""
    return finding.line == 1 and finding.message.startswith(f"`{finding.path}` ")


def _coded(paths: Iterable[str]) -> list[str]:
    return [f"`{path}`" for path in paths]


def _listed(words: Sequence[str]) -> str:
    more = len(words) - SHOWN_PLACES
    if more > 0:
        return f"{', '.join(words[:SHOWN_PLACES])} and {more:,} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


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
