"""``jsonl``: one package a line, in the shape it has in the ``json`` report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from explint.model import SCHEMA_VERSION, PackageReport, Rule, Summary, ToolInfo
from explint.report.base import ReportOptions, SourceText
from explint.report.json import encode
from explint.report.terminal import Terminal


class JsonlReporter:
    """Lines of packages, each with the schema's version; sums and input errors have no line."""

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Writes nothing: every line is a package."""

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes one package."""
        members = encode(package, self._unicode).removeprefix("{")
        self._sink.write(f'{{"schema_version":{SCHEMA_VERSION},{members}\n')

    def finish(self, summary: Summary) -> None:
        """Writes nothing: every line is a package."""


REPORTER = JsonlReporter
