"""``sarif``: SARIF 2.1.0, as code scanning services read it.

Section numbers below are those of the OASIS standard, Static Analysis Results Interchange Format
(SARIF) Version 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TextIO
from urllib.parse import quote

from explint.model import (
    Confidence,
    Finding,
    PackageReport,
    Rule,
    Severity,
    State,
    Summary,
    ToolInfo,
)
from explint.regex import regex
from explint.report.base import Place, Places, ReportOptions, SourceText, clean
from explint.report.terminal import Terminal
from explint.report.text import safe_json

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "explint/v1"

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_PRECISION = {
    Confidence.HIGH: "very-high",
    Confidence.MEDIUM: "high",
    Confidence.LOW: "medium",
}
_PROBLEM = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "recommendation",
}
_SUPPRESSION = {State.SUPPRESSED: "inSource", State.BASELINE: "external"}
_LINK = regex(r"\[(?=[^\]]*\]\()")


class SarifReporter:
    """One run with a result per finding, suppressed ones included.

    Results are written as packages come. Files inside a record or an archive are artifacts nested
    in it (3.24.4), so that no consumer looks for them on disk; their list, like the notifications
    about unreadable files and inputs, follows the results.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._options = options
        self._places = Places(options.root)
        self._rules: dict[str, int] = {}
        self._artifacts: dict[tuple[str, str | None], int] = {}
        self._nested: list[dict[str, Any]] = []
        self._notifications: list[dict[str, Any]] = []
        self._complete = True
        self._separator = "\n"

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Writes the tool with its rules."""
        self._rules = {rule.name: index for index, rule in enumerate(rules)}
        driver = {
            "name": tool.name,
            "version": tool.version,
            "semanticVersion": tool.version,
            "properties": {"rulesVersion": tool.rules_version},
            "rules": [self._rule(rule) for rule in rules],
        }
        root = {"description": {"text": "The root of the checked source tree."}}
        self._sink.write(
            f'{{"$schema":{self._json(SCHEMA_URI)},"version":"2.1.0","runs":[{{'
            f'"tool":{self._json({"driver": driver})},\n'
            f'"columnKind":"unicodeCodePoints",'
            f'"originalUriBaseIds":{self._json({"%SRCROOT%": root})},\n'
            f'"results":['
        )

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes the results of one package."""
        package = clean(package)
        self._complete = self._complete and package.complete
        for finding in package.findings:
            result = self._result(package, finding)
            self._sink.write(self._separator + self._json(result))
            self._separator = ",\n"
        for finding in package.comparison.fixed if package.comparison else ():
            result = {**self._result(package, finding), "baselineState": "absent"}
            self._sink.write(self._separator + self._json(result))
            self._separator = ",\n"
        if package.comparison is not None and package.comparison.base is None:
            why = f"Not compared with {package.comparison.against}: {package.comparison.problem}"
            text = _plain(f"{why}. All results count as new.")
            self._notifications.append({"level": "note", "message": {"text": text}})
        for failed in package.coverage.failed:
            place = self._places.of(package.source, failed.path)
            self._notify(f"The file could not be read: {failed.reason}", place)

    def finish(self, summary: Summary) -> None:
        """Writes artifacts and notifications, and closes the document."""
        for error in clean(summary).input_errors:
            text = f"{error.message} {error.help}".strip()
            self._notify(text, Place(self._places.location(error.location)))
        unread = any(n["level"] == "error" for n in self._notifications)
        successful = not summary.interrupted and not unread and self._complete
        invocation = {
            "executionSuccessful": successful,
            "toolExecutionNotifications": self._notifications,
        }
        artifacts = f',\n"artifacts":{self._json(self._nested)}' if self._nested else ""
        self._sink.write(f'\n]{artifacts},\n"invocations":{self._json([invocation])}}}]}}\n')

    def _json(self, value: Any) -> str:  # noqa: ANN401 - any tree of builtins
        return safe_json(
            json.dumps(value, ensure_ascii=False, separators=(",", ":")), self._unicode
        )

    def _rule(self, rule: Rule) -> dict[str, Any]:
        page = self._options.page(rule.name)
        summary = rule.summary or rule.name
        return {
            "id": rule.name,
            "name": rule.code,
            "shortDescription": {"text": summary},
            "fullDescription": {"text": summary},
            "help": {"text": rule.doc or summary, "markdown": rule.doc or summary},
            **({"helpUri": page} if page else {}),
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
            "properties": {
                "tags": [rule.family, *(f"criterion-{n}" for n in rule.criteria)],
                "criteria": list(rule.criteria),
                "code": rule.code,
                "precision": _PRECISION[rule.confidence],
                "problem.severity": _PROBLEM[rule.severity],
                "status": str(rule.status),
            },
        }

    def _result(self, package: PackageReport, f: Finding) -> dict[str, Any]:
        result: dict[str, Any] = {"ruleId": f.rule}
        if f.rule in self._rules:
            result["ruleIndex"] = self._rules[f.rule]
        result["level"] = _LEVELS[f.severity]
        result["message"] = {"text": _plain(f"{f.message} {f.help}".strip())}
        place = self._places.of(package.source, f.path)
        region = {
            "startLine": f.line,
            "startColumn": f.column,
            "endLine": f.end_line,
            "endColumn": f.end_column,
        }
        result["locations"] = [{"physicalLocation": self._physical(place, region)}]
        if f.related:
            result["relatedLocations"] = [
                {
                    "id": number,
                    "message": {"text": _plain(r.message)},
                    "physicalLocation": self._physical(
                        self._places.of(package.source, r.path), {"startLine": r.line}
                    ),
                }
                for number, r in enumerate(f.related, 1)
            ]
        if f.fingerprint:
            result["partialFingerprints"] = {FINGERPRINT: f.fingerprint}
        if f.change is not None:
            result["baselineState"] = str(f.change)
        # An empty array says that a result is known not to be suppressed (3.27.23).
        result["suppressions"] = []
        if f.state is not State.OPEN:
            suppression = {"kind": _SUPPRESSION[f.state], "status": "accepted"}
            if f.reason:
                suppression["justification"] = f.reason
            result["suppressions"].append(suppression)
        result["properties"] = {
            "package": package.id,
            "code": f.code,
            "confidence": str(f.confidence),
            "criteria": list(f.criteria),
            "message": f.message,
            "help": f.help,
            "runs": list(f.runs),
            "modes": list(f.modes),
        }
        return result

    def _physical(self, place: Place, region: dict[str, int] | None) -> dict[str, Any]:
        physical: dict[str, Any] = {"artifactLocation": self._artifact(place)}
        if region:
            physical["region"] = region
        return physical

    def _artifact(self, place: Place) -> dict[str, Any]:
        if place.inner is None:
            return _location(place.file)
        nested = {"uri": "/" + _uri(place.inner)}
        key = (place.file, place.inner)
        if key not in self._artifacts:
            outer = (place.file, None)
            if outer not in self._artifacts:
                self._artifacts[outer] = len(self._nested)
                self._nested.append({"location": _location(place.file)})
            self._artifacts[key] = len(self._nested)
            self._nested.append({"location": nested, "parentIndex": self._artifacts[outer]})
        return {**nested, "index": self._artifacts[key]}

    def _notify(self, text: str, place: Place) -> None:
        self._notifications.append(
            {
                "level": "error",
                "message": {"text": _plain(text)},
                "locations": [{"physicalLocation": self._physical(place, None)}],
            }
        )


def _uri(path: str) -> str:
    return quote(path, safe="/")


def _location(path: str) -> dict[str, str]:
    if PurePath(path).is_absolute():
        return {"uri": PurePath(path).as_uri()}
    return {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}


def _plain(text: str) -> str:
    """Message text in which no consumer finds an embedded link (3.11.6)."""
    return _LINK.sub(r"\\[", text)


REPORTER = SarifReporter
