"""``agent``: compact Markdown for a coding agent that has to repair the package."""

from __future__ import annotations

import re
from typing import TextIO

from explint.model import CRITERIA, Change, Finding, PackageReport, Summary
from explint.regex import regex
from explint.report.base import OneOrMany, ReportOptions, SourceText, about_whole_file, severities
from explint.report.terminal import Terminal
from explint.report.text import glyphs, sentence

LONGEST_SNIPPET = 160
"""Characters of the offending line that are quoted."""

_CODE_SPAN = regex(r"(?<!`)`[^`]+`(?!`)")
_SPECIAL = regex(
    r"[\\`*\[\]<~|]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|^[#>+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]"
)


class AgentReporter(OneOrMany):
    """The verdict in a line; then the findings file by file, the most blocking first.

    Only open findings are listed. Text of the package stands in code spans or is escaped, so that
    it cannot add headings, fences, links or HTML of its own.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        super().__init__(sink, terminal, options)
        self._blocks = 0

    def package(self, package: PackageReport, sources: SourceText, *, several: bool) -> None:
        """Writes one package."""
        if self._blocks:
            self._write("")
        self._blocks += 1
        findings = package.counted()
        state = "ready" if package.verdict.is_code_ready else "not ready"
        counts = [0, 0, 0]
        for f in findings:
            counts[f.severity.rank] += 1
        found = ", ".join(text for text, _ in severities(*counts)) or "nothing to repair"
        name = f"{self._code(package.id)} is {state}" if several else state.capitalize()
        self._write(f"# {name}: {found} (profile {self._code(package.profile.name)})")
        if findings:
            self._write("")
        for f in _ordered(findings):
            self._finding(f, sources)
        for note in package.notes:
            self._write(f"\nNote: {_ended(self._prose(note))}")
        comparison = package.comparison
        if comparison is not None and comparison.base is None:
            problem = f"Not compared with {comparison.against}: {comparison.problem}"
            self._write(f"\nNote: {_ended(self._prose(problem))} All findings count as new.")
        failed = package.coverage.failed
        if failed:
            self._write("\n## Files that could not be read\n")
            for entry in failed:
                self._write(f"- {self._code(entry.path)}: {self._prose(entry.reason)}")
        if package.verdict.undecided:
            self._write("\n## Undecided\n")
            alike: dict[tuple[str, str], list[str]] = {}
            for u in package.verdict.undecided:
                criterion = CRITERIA.get(u.criterion)
                title = f"{u.criterion} {criterion.title}" if criterion else str(u.criterion)
                alike.setdefault((u.reason, u.decided_by), []).append(title)
            for (reason, decided_by), titles in alike.items():
                by = f" Decided by: {self._prose(decided_by)}" if decided_by else ""
                self._write(f"- {', '.join(titles)}: {_ended(self._prose(reason))}{by}")

    def end(self, summary: Summary, *, several: bool) -> None:
        """Writes the inputs that gave no package."""
        if summary.input_errors:
            self._write("\n# Inputs that could not be checked\n" if self._blocks else
                        "# Inputs that could not be checked\n")  # fmt: skip
            for error in summary.input_errors:
                text = _ended(self._prose(f"{error.message}"))
                tail = f" {self._prose(error.help)}" if error.help else ""
                self._write(f"- {self._code(error.location)}: {text}{tail}")

    def _finding(self, f: Finding, sources: SourceText) -> None:
        what = _ended(self._prose(f.message))
        how = f" Fix: {self._prose(f.help)}" if f.help else ""
        place = self._code(f"{f.path}:{f.line}")
        new = "new " if f.change is Change.NEW else ""
        self._write(f"- {place} {new}{f.severity} {self._code(f.rule)}: {what}{how}")
        lines = None if about_whole_file(f) else sources.lines(f.path)
        if lines and 1 <= f.line <= len(lines):
            line = lines[f.line - 1].rstrip("\r\n")
            start = max(f.column - LONGEST_SNIPPET // 2, 0) if len(line) > LONGEST_SNIPPET else 0
            snippet = line[start : start + LONGEST_SNIPPET].strip()
            if snippet:
                self._write(f"  code: {self._code(snippet)}")
        for r in f.related:
            self._write(f"  see: {self._code(f'{r.path}:{r.line}')} {self._prose(r.message)}")
        applies = [*(f.runs and (f"runs {', '.join(f.runs)}",))]
        applies += [*(f.modes and (f"modes {', '.join(f.modes)}",))]
        if applies:
            self._write(f"  in: {self._prose('; '.join(applies))}")

    def _write(self, line: str) -> None:
        self.sink.write(line + "\n")

    def _code(self, text: str) -> str:
        """A code span (CommonMark 6.1), with a fence longer than any run of backticks in it."""
        text = "".join(glyphs(text, self.terminal.unicode))
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * (longest + 1)
        stuffed = text.startswith("`") or text.endswith("`") or not text.strip(" ")
        padding = " " if stuffed or (text.startswith(" ") and text.endswith(" ")) else ""
        return f"{fence}{padding}{text}{padding}{fence}"

    def _prose(self, text: str) -> str:
        """A sentence whose own code spans stay; whatever else Markdown would act on is escaped."""
        text = sentence(text, self.terminal.unicode)
        out: list[str] = []
        at = 0
        for span in _CODE_SPAN.finditer(text):
            out.append(_SPECIAL.sub(r"\\\g<0>", text[at : span.start()]))
            out.append(span.group())
            at = span.end()
        out.append(_SPECIAL.sub(r"\\\g<0>", text[at:]))
        return "".join(out)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?", "…")) else sentence + "."


def _ordered(findings: tuple[Finding, ...]) -> list[Finding]:
    """Findings file by file, the worst first; so are the files, those with more errors earlier."""
    groups: dict[str, list[Finding]] = {}
    for f in findings:
        groups.setdefault(f.path, []).append(f)
    for group in groups.values():
        group.sort(key=lambda f: (f.severity.rank, f.line, f.column, f.code))

    def blocking(path: str) -> tuple[int, int, int, str]:
        ranks = [f.severity.rank for f in groups[path]]
        return (ranks[0], -ranks.count(0), -len(ranks), path)

    return [f for path in sorted(groups, key=blocking) for f in groups[path]]


REPORTER = AgentReporter
