"""``concise``: one line per finding, in the form editors and grep know."""

from __future__ import annotations

from typing import TextIO

from explint.model import Change, PackageReport, Summary
from explint.report.base import OneOrMany, Places, ReportOptions, SourceText, counted, severities
from explint.report.terminal import Painter, Terminal
from explint.report.text import printable, sentence


class ConciseReporter(OneOrMany):
    """``path:line:col: error[rule] CODE message``, and one line of sums.

    Packages in folders are told apart by their paths; any other package among several, by its id
    before the path.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        super().__init__(sink, terminal, options)
        self._painter = Painter(terminal)
        self._places = Places()
        self._verdict = ""

    def package(self, package: PackageReport, sources: SourceText, *, several: bool) -> None:
        """Writes the open findings of one package."""
        state = "ready" if package.verdict.is_code_ready else "not ready"
        self._verdict = f"{state} ({package.profile.name})"
        folder = package.source.kind in ("folder", "file")
        prefix = f"{self._show(package.id)}: " if several and not folder else ""
        for note in package.notes:
            self._note(self._show(package.id), note)
        if package.comparison is not None and package.comparison.base is None:
            what = f"not compared with {package.comparison.against}: {package.comparison.problem}"
            self._note(self._show(package.id), what)
        for failed in package.unnamed_failures():
            path = self._places.of(package.source, failed.path).file if folder else failed.path
            self._error(f"{prefix}{self._show(path)}", failed.reason)
        for f in package.counted():
            path = self._places.of(package.source, f.path).file if folder else f.path
            severity = str(f.severity)
            rule = self._painter.link(self._show(f.rule), self.options.page(f.rule), severity)
            label = self._painter.paint(f"{severity}[", severity)
            close = self._painter.paint("]", severity)
            code = self._painter.paint(self._show(f.code), "dim")
            message = sentence(f.message, self.terminal.unicode)
            if f.change is Change.NEW:
                message += " (new)"
            self.sink.write(
                f"{prefix}{self._show(path)}:{f.line}:{f.column}: "
                f"{label}{rule}{close} {code} {message}\n"
            )

    def end(self, summary: Summary, *, several: bool) -> None:
        """Writes the inputs that gave no package, then the line of sums."""
        for error in summary.input_errors:
            text = sentence(error.message, self.terminal.unicode)
            if error.help:
                text += f" ({sentence(error.help, self.terminal.unicode)})"
            self._error(self._show(self._places.location(error.location)), text)
        kinds = severities(summary.errors, summary.warnings, summary.infos)
        parts = [", ".join(text for text, _ in kinds) or "no findings"]
        if summary.suppressed or summary.baseline or summary.hidden:
            kept = (
                (summary.suppressed, "suppressed"),
                (summary.baseline, "in the baseline"),
                (summary.hidden, "hidden"),
            )
            parts.append(", ".join(f"{n:,} {name}" for n, name in kept if n))
        if summary.new is not None:
            parts.append(f"{summary.new:,} new, {summary.fixed:,} fixed")
        parts.append(
            f"{counted(summary.scanned, 'file')} scanned, "
            f"{summary.skipped:,} skipped, {summary.failed:,} failed"
        )
        if several:
            packages = counted(summary.packages, "package")
            parts.append(f"{summary.ready:,} of {packages} ready")
        elif self._verdict:
            parts.append(self._show(self._verdict))
        if summary.interrupted:
            parts.append("interrupted")
        self.sink.write("; ".join(parts) + "\n")

    def _show(self, text: str) -> str:
        return printable(text, self.terminal.unicode)

    def _error(self, where: str, message: str) -> None:
        label = self._painter.paint("error:", "error")
        self.sink.write(f"{where}: {label} {sentence(message, self.terminal.unicode)}\n")

    def _note(self, where: str, message: str) -> None:
        label = self._painter.paint("note:", "info")
        self.sink.write(f"{where}: {label} {sentence(message, self.terminal.unicode)}\n")


REPORTER = ConciseReporter
