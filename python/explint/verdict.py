"""From findings and open questions to the judge's answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum

import msgspec

from explint.model import (
    CRITERIA,
    CriterionState,
    Evidence,
    Finding,
    Rule,
    Severity,
    Undecided,
    Verdict,
)

TRIAL_RUN = "a trial run"
"""What decides a question that reading cannot."""


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
    settled: Collection[int] = (),
) -> Verdict:
    """The verdict over every finding of a package, shown, suppressed or not.

    ``findings`` carry their rules' own severities. ``missing`` are required files without contents,
    whether or not a finding says so: the package cannot be called ready without them. A criterion
    is violated by an error finding, unknown while a rule of it could not decide or explint has no
    rule for a part of it, else met. Of the criteria ``settled`` a trial run has decided what only
    it could.
    """
    errors = [f for f in findings if f.severity is Severity.ERROR]
    evidence: dict[str, list[Evidence]] = {}
    for f in errors:
        for number in f.criteria:
            found = Evidence(rule=f.rule, path=f.path, line=f.line)
            evidence.setdefault(str(number), []).append(found)
    asked: dict[int, list[OpenQuestion]] = {}
    for question in questions:
        for number in question.rule.criteria:
            if number in settled and question.decided_by == TRIAL_RUN:
                continue
            asked.setdefault(number, []).append(question)
    states: dict[str, CriterionState] = {}
    undecided: list[Undecided] = []
    for number, criterion in CRITERIA.items():
        if str(number) in evidence:
            states[str(number)] = CriterionState.VIOLATED
            continue
        why = _why(number, asked.get(number, ()))
        if criterion.undecided and number not in settled:
            why.append(
                Undecided(criterion=number, reason=criterion.undecided, decided_by=TRIAL_RUN)
            )
        states[str(number)] = CriterionState.UNKNOWN if why else CriterionState.MET
        undecided.extend(why)
    return Verdict(
        is_code_ready=not errors and not missing,
        code_issue=describe(errors) if errors else _unseen(missing),
        criteria=states,
        undecided=tuple(undecided),
        evidence={number: tuple(evidence[number]) for number in sorted(evidence)},
    )


def _why(number: int, questions: Iterable[OpenQuestion]) -> list[Undecided]:
    """What keeps a criterion open, one entry for each thing that would decide it."""
    by: dict[str, dict[str, dict[str, None]]] = {}
    for question in questions:
        where = question.path or ""
        known = not where or where in question.reason
        reason = question.reason if known else f"{where}: {question.reason}"
        by.setdefault(question.decided_by, {}).setdefault(reason, {})[question.rule.name] = None
    return [
        Undecided(
            criterion=number,
            reason="; ".join(f"{reason} ({', '.join(rules)})" for reason, rules in reasons.items()),
            decided_by=decided_by,
        )
        for decided_by, reasons in by.items()
    ]


class Stage(IntEnum):
    """How far a defect lets the experiment come; the earlier it ends, the more it blocks."""

    START = 0
    RUN = 1
    RESULTS = 2
    PROTOCOL = 3


_HEADINGS = {
    Stage.START: "It does not start:",
    Stage.RUN: "It stops on the way:",
    Stage.RESULTS: "Its results do not mean what they say:",
    Stage.PROTOCOL: "It breaks the protocol:",
}

STAGES: dict[str, Stage] = {
    "structure/": Stage.START,
    "structure/unexpected-file": Stage.PROTOCOL,
    "structure/module-shim": Stage.PROTOCOL,
    "env/": Stage.START,
    "complete/syntax-error": Stage.START,
    "complete/truncated-code": Stage.START,
    "complete/unresolved-import": Stage.START,
    "complete/": Stage.RUN,
    "complete/todo-marker": Stage.PROTOCOL,
    "complete/placeholder-body": Stage.PROTOCOL,
    "complete/omission-note": Stage.PROTOCOL,
    "hydra/": Stage.RUN,
    "hydra/no-entry-point": Stage.START,
    "hydra/no-config-name": Stage.START,
    "hydra/composition-error": Stage.START,
    "hydra/invalid-run-config": Stage.START,
    "hydra/unsafe-run-id": Stage.START,
    "hydra/missing-section": Stage.PROTOCOL,
    "cli/": Stage.START,
    "cli/child-process": Stage.RUN,
    "env/api-not-in-version": Stage.RUN,
    "wandb/": Stage.PROTOCOL,
    "wandb/metric-mismatch": Stage.RESULTS,
    "wandb/disjoint-history-keys": Stage.RESULTS,
    "wandb/run-id-mismatch": Stage.RUN,
    "wandb/unserialisable": Stage.RUN,
    "optuna/": Stage.RESULTS,
    "optuna/never-run": Stage.PROTOCOL,
    "optuna/invalid-search-space": Stage.RUN,
    "optuna/wrong-suggest-call": Stage.RUN,
    "evaluate/": Stage.PROTOCOL,
    "evaluate/config-location": Stage.RUN,
    "evaluate/fabricated-figure": Stage.RESULTS,
    "trial/": Stage.PROTOCOL,
    "trial/crashes": Stage.RUN,
    "data/": Stage.RESULTS,
    "data/no-cache-dir": Stage.PROTOCOL,
    "data/cache-dir-ignored": Stage.PROTOCOL,
    "model/": Stage.RESULTS,
    "results/": Stage.RESULTS,
    "run/": Stage.RUN,
    "run/not-bounded": Stage.PROTOCOL,
    "run/wandb-online": Stage.PROTOCOL,
    "run/forbidden-output": Stage.PROTOCOL,
    "run/evaluate-output": Stage.RESULTS,
}
"""The stage of a rule, or of its family where the rule is not named itself; of one stage, what
stands first blocks most."""

_ORDER = {name: number for number, name in enumerate(STAGES)}

_KIN = {
    "structure/missing-file": "files",
    "structure/empty-file": "files",
    "complete/syntax-error": "source:{path}",
    "complete/truncated-code": "source:{path}",
    "complete/todo-marker": "unfinished:{path}",
    "complete/placeholder-body": "unfinished:{path}",
    "complete/omission-note": "unfinished:{path}",
    "env/undeclared-dependency": "dependencies",
    "wandb/no-project": "project",
    "data/no-cache-dir": "cache",
    "data/cache-dir-ignored": "cache",
    "evaluate/no-api": "source of results",
    "evaluate/reads-local-file": "source of results",
    "evaluate/missing-artifact": "outputs",
    "evaluate/no-derived-metric": "outputs",
    "evaluate/no-significance-test": "outputs",
    "evaluate/figure-name": "figure names",
    "evaluate/figure-outside-evaluate": "figures outside",
}
"""Rules whose findings in one package (in one file, with ``{path}``) have one root cause: one piece
of work that was left out, told in several places."""

SHOWN_POINTS = 24
SHOWN_MESSAGES = 6
SHOWN_PLACES = 8
"""How many points, messages of a point and places of a message are told; the rest is counted."""


def describe(errors: Sequence[Finding]) -> str:
    """The blocking findings as a reviewer would list them: one numbered point per root cause under
    a heading for how far the experiment comes, the most blocking first. Each point says where, what
    is wrong and what to write instead, and names the rules behind it."""
    points = causes(errors)
    if len(points) == 1:
        return _point(points[0])
    lines = []
    stage = None
    for number, point in enumerate(points[:SHOWN_POINTS], 1):
        if _stage(point) is not stage:
            stage = _stage(point)
            lines.append(_HEADINGS[stage])
        lines.append(f"{number}. {_point(point)}")
    if (more := len(points) - SHOWN_POINTS) > 0:
        lines.append(f"And {more:,} more.")
    return "\n".join(lines)


def _unseen(missing: Sequence[str]) -> str:
    """Why a package without an error is not ready."""
    if not missing:
        return ""
    return f"No error was found, but {_listed(_coded(missing))} could not be seen."


def causes(errors: Sequence[Finding]) -> list[list[Finding]]:
    """The error findings by root cause, the most blocking first: those that say the same, those at
    one line, and kin."""
    return sorted(_causes(errors), key=_blocking)


def _causes(errors: Sequence[Finding]) -> list[list[Finding]]:
    causes: list[list[Finding]] = []
    known: dict[tuple[str, ...], list[Finding]] = {}
    for f in errors:
        keys: list[tuple[str, ...]] = [("says", *_saying(f))]
        if f.rule in _KIN:
            keys.append(("kin", _KIN[f.rule].format(path=f.path)))
        if not _is_about_file(f):
            keys.append(("at", f.path, str(f.line)))
        group = next((known[key] for key in keys if key in known), None)
        if group is None:
            group = []
            causes.append(group)
        group.append(f)
        for key in keys:
            known.setdefault(key, group)
    return causes


def _is_about_file(finding: Finding) -> bool:
    """Whether a finding stands at the top of its file because it has no line of its own."""
    return finding.line == 1 and finding.column == 1


def _stage(point: Sequence[Finding]) -> Stage:
    return min(_stage_of(f) for f in point)


def _stage_of(finding: Finding) -> Stage:
    return STAGES.get(_entry(finding), Stage.RUN)


def _entry(finding: Finding) -> str:
    """What of ``STAGES`` a finding falls under."""
    rule = finding.rule
    return rule if rule in STAGES else rule.partition("/")[0] + "/"


def _blocking(point: Sequence[Finding]) -> tuple[int, bool, int]:
    """The order of points: by stage, what training meets before what only evaluation meets."""
    late = all(f.path.endswith("evaluate.py") for f in point)
    rank = min(_ORDER.get(_entry(f), len(_ORDER)) for f in point)
    return _stage(point), late, rank


def _saying(finding: Finding) -> tuple[str, str]:
    """What a finding says, without the name of the file that it says it of."""
    if _names_its_file(finding):
        return (
            finding.message.removeprefix(f"`{finding.path}` "),
            finding.help.replace(f"`{finding.path}`", "\0"),
        )
    return finding.message, finding.help


def _point(group: Sequence[Finding]) -> str:
    """One root cause. Findings that say the same of different files or lines are told once, and so
    is advice that several share."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for f in sorted(group, key=_stage_of):
        alike.setdefault(_saying(f), []).append(f)
    told = list(alike.items())[:SHOWN_MESSAGES]
    sentences = []
    for number, ((_, help), same) in enumerate(told):
        sentences.append(_sentence(same))
        following = told[number + 1][0][1] if number + 1 < len(told) else None
        if help != following:
            sentences.append(_advice(help, same))
    if more := sum(len(same) for same in alike.values()) - sum(len(same) for _, same in told):
        sentences.append(f"And {more:,} more.")
    rules = dict.fromkeys(f.rule for _, same in told for f in same)
    return f"{' '.join(sentences)} ({', '.join(rules)})"


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
