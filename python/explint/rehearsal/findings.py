"""A rehearsal's findings: RUN008 where evaluation ends with an error, RUN009 for its outputs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from explint.model import Finding, PackageReport
from explint.package import Package
from explint.protocol.profile import Profile
from explint.rehearsal.outputs import Problem
from explint.rehearsal.rehearse import Rehearsal
from explint.rules.table import rules_by_name
from explint.trial.events import Observation, Place
from explint.trial.findings import findings as run_findings

RULE = "run/evaluate-output"


def findings(
    package: Package,
    rehearsal: Rehearsal,
    static: PackageReport,
    profile: Profile,
    *,
    prepared: bool = False,
) -> list[Finding]:
    """What a rehearsal says of the package, in order of place.

    Nothing is said of training, which the rehearsal may have held back, and nothing of an
    evaluation that the stand-in could not serve. ``prepared`` is that of ``trial.findings``.
    """
    done = rehearsal.evaluation
    if done is None or not rehearsal.decided:
        return []
    found = run_findings(
        package,
        # What evaluation had to work with is what training logged in that mode.
        msgspec.structs.replace(done.outcome, mode=rehearsal.mode or None),
        done.observation,
        static,
        profile=profile,
        job="evaluate",
        prepared=prepared,
    )
    found += _outputs(package, rehearsal, profile, done.observation)
    return sorted(found, key=lambda f: f.sort_key)


def _outputs(
    package: Package, rehearsal: Rehearsal, profile: Profile, seen: Observation
) -> Iterator[Finding]:
    row = rules_by_name()[RULE]
    for problem in rehearsal.problems:
        place = _writer(problem, seen, package, profile.evaluation.module or "src/evaluate.py")
        line = place.line
        file = package.files.get(place.path)
        lines = ((file.text if file else None) or "").splitlines()
        text = lines[line - 1] if 0 < line <= len(lines) and place.function else ""
        column = len(text) - len(text.lstrip()) + 1
        yield Finding(
            rule=row.name,
            code=row.code,
            severity=problem.severity or profile.severity.get(row.name, row.severity),
            confidence=row.confidence,
            message=problem.message,
            help=problem.help,
            path=place.path,
            line=line,
            column=column,
            end_line=line,
            end_column=max(column, len(text.rstrip()) + 1) if text else 1,
            criteria=row.criteria,
            runs=problem.runs,
            modes=(rehearsal.mode,) if rehearsal.mode else (),
        )


def _writer(problem: Problem, seen: Observation, package: Package, module: str) -> Place:
    """The line that wrote the output, where that was seen; else the start of evaluation."""
    for event in (*seen.figures, *seen.written):
        written = str(event.details.get("path", event.what)).replace("\\", "/")
        here = event.place
        if here is not None and here.path in package.files and _names(written, problem.path):
            return here
    return Place(module, 1)


def _names(written: str, path: str) -> bool:
    return written == path or written.endswith(f"/{path}")
