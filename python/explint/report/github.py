"""``github``: workflow commands that GitHub Actions turns into annotations.

The runner reads a command from one line and unescapes ``%25``, ``%0D``, ``%0A`` in its message and
``%3A``, ``%2C`` besides in its properties (actions/runner, ``ActionCommand``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from explint.model import PackageReport, Rule, Severity, Summary, ToolInfo
from explint.report.base import Place, Places, ReportOptions, SourceText, clean, counted
from explint.report.terminal import Terminal
from explint.report.text import glyphs

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


class GithubReporter:
    """One command per open finding, unreadable file and input error, and a line of sums."""

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._places = Places(options.root)

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Writes nothing."""

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes the commands of one package."""
        package = clean(package)
        for f in package.counted():
            place = self._places.of(package.source, f.path)
            text = f"{f.message}\n{f.help}" if f.help else f.message
            where = {"line": f.line, "col": f.column, "endLine": f.end_line}
            # The runner rejects a command whose end column stands on another line.
            if f.end_line == f.line and f.end_column > f.column:
                where["endColumn"] = f.end_column
            self._command(_COMMANDS[f.severity], place, where, f"{f.rule} ({f.code})", text)
        for failed in package.unnamed_failures():
            place = self._places.of(package.source, failed.path)
            self._command("error", place, {"line": 1, "col": 1}, "file not read", failed.reason)

    def finish(self, summary: Summary) -> None:
        """Writes the inputs that gave no package, then the sums."""
        for error in clean(summary).input_errors:
            place = Place(self._places.location(error.location))
            text = f"{error.message}\n{error.help}" if error.help else error.message
            self._command("error", place, {}, "input not read", text)
        self._sink.write(
            f"explint: {counted(summary.errors, 'error')}, {counted(summary.warnings, 'warning')}, "
            f"{counted(summary.infos, 'info')}; {counted(summary.scanned, 'file')} scanned, "
            f"{summary.skipped:,} skipped, {summary.failed:,} failed; "
            f"{summary.ready:,} of {counted(summary.packages, 'package')} ready\n"
        )

    def _command(
        self, name: str, place: Place, where: dict[str, int], title: str, text: str
    ) -> None:
        if place.inner is not None:
            at = f":{where['line']}:{where['col']}" if where else ""
            text, where = f"{place.inner}{at}: {text}", {}
        properties = [("file", place.file), *where.items(), ("title", title)]
        listed = ",".join(f"{key}={self._property(str(value))}" for key, value in properties)
        self._sink.write(f"::{name} {listed}::{self._data(text)}\n")

    def _data(self, text: str) -> str:
        # Escape sequences would act on the log; line breaks survive as %0A and %0D.
        lines = text.split("\n")
        shown = "\n".join(
            "\r".join("".join(glyphs(part, self._unicode)) for part in line.split("\r"))
            for line in lines
        )
        return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def _property(self, text: str) -> str:
        return self._data(text).replace(":", "%3A").replace(",", "%2C")


REPORTER = GithubReporter
