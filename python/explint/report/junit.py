"""``junit``: XML as JUnit's Ant task wrote it, for CI systems that show test results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from xml.sax.saxutils import escape as escape_markup

from explint.model import Finding, PackageReport, Rule, Severity, State, Summary, ToolInfo
from explint.regex import regex
from explint.report.base import Places, ReportOptions, SourceText, clean
from explint.report.terminal import Terminal
from explint.report.text import escape

# No notation at all can carry these in XML 1.0 (https://www.w3.org/TR/xml/#charsets).
_ILLEGAL = regex("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# A parser would change these, or a terminal or a log that shows the document act on them.
_UNSAFE = regex("[\t\n\r\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]|(?<=##)\\[")


class JunitReporter:
    """A suite per package, a case per finding; a package without findings passes one case.

    An open error or warning is a *failure*, an info passes and says what it has to say; suppressed
    and baseline findings are *skipped*. What could not be judged is an *error*.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._places = Places(options.root)

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Opens the document."""
        self._write('<?xml version="1.0" encoding="utf-8"?>')
        self._write(f"<testsuites name={self._attribute(tool.name)}>")

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Writes the suite of one package."""
        package = clean(package)
        cases: list[str] = []
        failures = skipped = 0
        for f in package.findings:
            failures += f.state is State.OPEN and f.severity is not Severity.INFO
            skipped += f.state is not State.OPEN
            cases.append(self._finding(package, f))
        for failed in package.unnamed_failures():
            path = str(self._places.of(package.source, failed.path))
            cases.append(self._problem(path, "file", failed.reason))
        if not cases:
            case = f"{self._attribute(package.id)} name={self._attribute('no findings')}"
            cases.append(f"<testcase classname={case}/>")
        errors = len(package.unnamed_failures())
        self._suite(package.id, cases, failures, errors, skipped)

    def finish(self, summary: Summary) -> None:
        """Writes a suite of the inputs that gave no package, and closes the document."""
        inputs = clean(summary).input_errors
        if inputs:
            cases = [
                self._problem(e.location, "input", f"{e.message} {e.help}".strip()) for e in inputs
            ]
            self._suite("inputs", cases, 0, len(cases), 0)
        self._write("</testsuites>")

    def _suite(self, name: str, cases: list[str], failures: int, errors: int, skipped: int) -> None:
        self._write(
            f'  <testsuite name={self._attribute(name)} tests="{len(cases)}" '
            f'failures="{failures}" errors="{errors}" skipped="{skipped}">'
        )
        for case in cases:
            self._write(f"    {case}")
        self._write("  </testsuite>")

    def _finding(self, package: PackageReport, f: Finding) -> str:
        path = str(self._places.of(package.source, f.path))
        name = f"{f.rule} {f.line}:{f.column}"
        head = (
            f"<testcase classname={self._attribute(path)} name={self._attribute(name)} "
            f'file={self._attribute(path)} line="{f.line}">'
        )
        message = self._attribute(f.message)
        if f.state is not State.OPEN:
            reason = f"{f.state}: {f.reason}" if f.reason else str(f.state)
            return f"{head}<skipped message={self._attribute(reason)}/></testcase>"
        text = self._text(f"{path}:{f.line}:{f.column}: {f.message}\n{f.help}")
        if f.severity is Severity.INFO:
            return f"{head}<system-out>{text}</system-out></testcase>"
        kind = self._attribute(str(f.severity))
        return f"{head}<failure type={kind} message={message}>{text}</failure></testcase>"

    def _problem(self, path: str, what: str, reason: str) -> str:
        head = f"<testcase classname={self._attribute(path)} name={self._attribute(what)}>"
        message = self._attribute(reason)
        return f'{head}<error type="unreadable" message={message}/></testcase>'

    def _write(self, line: str) -> None:
        if not self._unicode:
            line = line.encode("ascii", "xmlcharrefreplace").decode()
        self._sink.write(line + "\n")

    def _text(self, text: str) -> str:
        legal = _ILLEGAL.sub(lambda match: escape(match.group()), text)
        marked = escape_markup(legal, {'"': "&quot;"})
        return _UNSAFE.sub(lambda match: f"&#{ord(match.group())};", marked)

    def _attribute(self, text: str) -> str:
        return f'"{self._text(text)}"'


REPORTER = JunitReporter
