"""``gitlab``: a Code Quality report, as GitLab's merge request widget reads it.

The format is described at https://docs.gitlab.com/ci/testing/code_quality/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TextIO

from explint.model import PackageReport, Rule, Severity, Summary, ToolInfo
from explint.report.base import Place, Places, ReportOptions, SourceText, clean
from explint.report.terminal import Terminal
from explint.report.text import safe_json

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


class GitlabReporter:
    """One entry per open finding, unreadable file and input error.

    GitLab drops entries that share a fingerprint, so it is made of the package, the finding's own
    fingerprint and the number of earlier entries with both.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._places = Places(options.root)
        self._separator = "\n"

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Opens the array."""
        self._sink.write("[")

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes the entries of one package."""
        package = clean(package)
        seen: dict[str, int] = {}
        for f in package.counted():
            own = f.fingerprint or "\0".join((f.rule, f.path, f.message))
            seen[own] = seen.get(own, -1) + 1
            key = (package.id, own, str(seen[own]))
            place = self._places.of(package.source, f.path)
            text = f"{f.message} {f.help}".strip()
            self._entry(f.rule, _SEVERITIES[f.severity], text, place, f.line, key)
        for failed in package.unnamed_failures():
            place = self._places.of(package.source, failed.path)
            text = f"The file could not be read: {failed.reason}"
            key = (package.id, "failed", failed.path)
            self._entry("failed-file", "critical", text, place, 1, key)

    def finish(self, summary: Summary) -> None:
        """Writes the inputs that gave no package and closes the array."""
        for number, error in enumerate(clean(summary).input_errors):
            place = Place(self._places.location(error.location))
            text = f"{error.message} {error.help}".strip()
            key = ("input", error.location, str(number))
            self._entry("input-error", "critical", text, place, 1, key)
        self._sink.write("\n]\n")

    def _entry(
        self, check: str, severity: str, text: str, place: Place, line: int, key: tuple[str, ...]
    ) -> None:
        if place.inner is not None:
            text, line = f"{place.inner}:{line}: {text}", 1
        entry: dict[str, Any] = {
            "description": text,
            "check_name": check,
            "fingerprint": hashlib.sha256("\0".join(key).encode()).hexdigest(),
            "severity": severity,
            "location": {"path": place.file, "lines": {"begin": line}},
        }
        document = safe_json(json.dumps(entry, ensure_ascii=False), self._unicode)
        self._sink.write(self._separator + document)
        self._separator = ",\n"


REPORTER = GitlabReporter
