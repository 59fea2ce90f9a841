"""``verdict``: the answer in the judge's form, ``{"is_code_ready": …, "code_issue": "…"}``."""

from __future__ import annotations

import json
from typing import Any

from explint.model import PackageReport, Summary
from explint.report.base import OneOrMany, SourceText
from explint.report.text import safe_json


class VerdictReporter(OneOrMany):
    """One object for one package; for several, a line each that begins with the package's id."""

    def package(self, package: PackageReport, sources: SourceText, *, several: bool) -> None:
        """Writes one verdict."""
        verdict = package.verdict
        answer: dict[str, Any] = {"id": package.id} if several else {}
        answer["is_code_ready"] = verdict.is_code_ready
        answer["code_issue"] = verdict.code_issue
        if self.options.verdict_detail:
            answer["criteria"] = {n: str(verdict.criteria[n]) for n in sorted(verdict.criteria)}
            answer["evidence"] = {
                n: [{"rule": e.rule, "path": e.path, "line": e.line} for e in verdict.evidence[n]]
                for n in sorted(verdict.evidence)
            }
            answer["undecided"] = [
                {"criterion": u.criterion, "reason": u.reason, "decided_by": u.decided_by}
                for u in verdict.undecided
            ]
        document = json.dumps(answer, ensure_ascii=False)
        self.sink.write(safe_json(document, self.terminal.unicode) + "\n")

    def end(self, summary: Summary, *, several: bool) -> None:
        """Writes nothing: every line is a verdict."""


REPORTER = VerdictReporter
