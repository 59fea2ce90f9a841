"""``json``: the whole report as one document, written package by package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import msgspec

from explint.model import SCHEMA_VERSION, PackageReport, Rule, Summary, ToolInfo
from explint.report.base import ReportOptions, SourceText, clean
from explint.report.terminal import Terminal
from explint.report.text import safe_json


def encode(value: PackageReport | Summary | ToolInfo, unicode: bool) -> str:
    """One struct as JSON on one line."""
    return safe_json(msgspec.json.encode(clean(value)).decode(), unicode)


class JsonReporter:
    """A ``Report`` as JSON: one package on a line of its own, the summary last."""

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._separator = "\n"

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Writes the head of the document."""
        head = f'{{"schema_version":{SCHEMA_VERSION},"tool":{encode(tool, self._unicode)}'
        self._sink.write(f'{head},\n"packages":[')

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes one package."""
        self._sink.write(self._separator + encode(package, self._unicode))
        self._separator = ",\n"

    def finish(self, summary: Summary) -> None:
        """Writes the sums and closes the document."""
        self._sink.write(f'\n],\n"summary":{encode(summary, self._unicode)}}}\n')


REPORTER = JsonReporter
