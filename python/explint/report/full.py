"""``full``: findings with code frames, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from explint.model import (
    CRITERIA,
    Change,
    Comparison,
    CriterionState,
    Evidence,
    Finding,
    PackageReport,
    SourceInfo,
    State,
    Summary,
    Undecided,
)
from explint.report.base import (
    OneOrMany,
    Places,
    ReportOptions,
    SourceText,
    about_whole_file,
    counted,
    severities,
)
from explint.report.frame import code_frame
from explint.report.terminal import Painter, Terminal
from explint.report.text import GLUE, cells, cut, printable, sentence, wrap

WIDEST_PROSE = 100
"""Sentences are wrapped here even on a wider terminal; code frames use all of it."""

SHOWN_FILES = 5
"""Skipped and failed files named in a summary; the rest is counted."""

SHOWN_POINTS = 4
"""Points of a verdict in a summary: the findings above it say the rest."""

NARROWEST_MESSAGE = 24
"""Cells a message needs beside its rule; with fewer it begins below."""

LABEL = 11
"""Cells of the labels in a summary."""

_MARKS = {
    CriterionState.VIOLATED: "error",
    CriterionState.UNKNOWN: "warning",
    CriterionState.MET: "good",
}


class FullReporter(OneOrMany):
    """Packages as they come, each with its verdict; sums over all of them at the end.

    No line is wider than the terminal, except where a path has to stay in one piece.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        super().__init__(sink, terminal, options)
        self._painter = Painter(terminal)
        self._glyphs = self._painter.glyphs
        self._prose = min(terminal.width, WIDEST_PROSE)
        self._places = Places()
        self._listing = False

    def package(self, package: PackageReport, sources: SourceText, *, several: bool) -> None:
        """Writes one package; one that is ready and clean takes a single line among several."""
        if several and _uneventful(package):
            self._one_line(package)
            return
        self._end_listing()
        if several or package.source.kind != "folder":
            self._package_header(package)
        for finding in package.counted():
            self._finding(package, finding, sources)
        self._package_summary(package, several=several)

    def end(self, summary: Summary, *, several: bool) -> None:
        """Writes the sums over several packages, and the inputs that gave none."""
        self._end_listing()
        if several:
            self._totals(summary)
        for error in summary.input_errors:
            self._write()
            where = printable(self._places.location(error.location), self._unicode)
            self._text(f"error: {where}: {self._say(error.message)}", first_style="error", label=5)
            if error.help:
                self._labelled("help", error.help)
        if summary.packages == 0 and not summary.input_errors:
            self._write("Nothing was checked.")
        if summary.interrupted:
            self._write()
            self._write(self._painter.paint("Interrupted: the report is incomplete.", "warning"))

    @property
    def _unicode(self) -> bool:
        return self.terminal.unicode

    def _say(self, text: str) -> str:
        return sentence(text, self._unicode)

    def _write(self, line: str = "") -> None:
        self.sink.write(line + "\n")

    def _text(self, text: str, *, first_style: str, label: int) -> None:
        """Wrapped text whose first ``label`` cells are styled."""
        first, *rest = wrap(text, self._prose - 2, self._prose)
        self._write(self._painter.paint(first[:label], first_style) + first[label:])
        for line in rest:
            self._write("  " + line)

    # Findings

    def _finding(self, package: PackageReport, finding: Finding, sources: SourceText) -> None:
        painter = self._painter
        self._heading(finding)
        where = printable(self._path(package, finding.path), self._unicode)
        lines = sources.lines(finding.path)
        frame = lines and code_frame(
            lines,
            finding,
            width=self.terminal.width,
            unicode=self._unicode,
            glyphs=self._glyphs,
        )
        corner = painter.paint(self._glyphs.corner, "label")
        bar = painter.paint(self._glyphs.bar, "label")
        if not about_whole_file(finding):
            where = f"{where}:{finding.line}:{finding.column}"
        indent = " "
        if frame:
            digits, rows = frame
            indent = " " * (digits + 1)
            self._write(f"{indent}{corner} {where}")
            for row in rows:
                self._write(painter.line(row))
            self._write(f"{indent}{bar}")
        else:
            self._write(f"{indent}{corner} {where}")
        self._labelled("help", finding.help, indent)
        for place in finding.related:
            there = printable(self._path(package, place.path), self._unicode)
            self._labelled("related", f"{there}:{place.line}: {place.message}", indent)
        if finding.runs:
            self._labelled("runs", ", ".join(finding.runs), indent)
        if finding.modes:
            self._labelled("modes", ", ".join(finding.modes), indent)
        comparison = package.comparison
        if comparison and comparison.base is not None and finding.change is Change.NEW:
            self._labelled("new", f"not in {comparison.against}", indent)
        self._write()

    def _path(self, package: PackageReport, path: str) -> str:
        """A path to open; inside a container, which the package's header names, the inner one."""
        folder = package.source.kind in ("folder", "file")
        return self._places.of(package.source, path).file if folder else path

    def _heading(self, finding: Finding) -> None:
        """The rule, then the message: bold, beside it or, where the room is narrow, below it."""
        painter, severity = self._painter, str(finding.severity)
        rule, code = (printable(text, self._unicode) for text in (finding.rule, finding.code))
        message = self._say(finding.message)
        page = self.options.page(finding.rule)
        head = (
            painter.paint(f"{severity}[", severity)
            + painter.link(rule, page, severity)
            + painter.paint("]", severity)
        )
        used = cells(f"{severity}[{rule}]")
        if code and used + 1 + cells(code) <= self._prose:
            head += painter.paint(f" {code}", "dim")
            used += 1 + cells(code)
        elif code:
            message = f"{code}: {message}"
        room = self._prose - used - 2
        if room < NARROWEST_MESSAGE:
            self._write(head)
            rest = wrap(message, self._prose - 2)
        else:
            first, *rest = wrap(message, self._prose - 2, room)
            self._write(f"{head}: {painter.paint(first, 'bold')}")
        for line in rest:
            self._write("  " + painter.paint(line, "bold"))

    def _labelled(self, label: str, text: str, indent: str = "  ") -> None:
        """``= help: text``, wrapped under its own beginning."""
        text = self._say(text)
        if not text:
            return
        lead = f"{indent}= {label}: "
        hang = min(len(lead), 12)
        first, *rest = wrap(text, self._prose - hang, self._prose - len(lead))
        equals = self._painter.paint("=", "label")
        name = self._painter.paint(f"{label}:", "bold")
        self._write(f"{indent}{equals} {name} {first}")
        for line in rest:
            self._write(" " * hang + line)

    # Packages

    def _end_listing(self) -> None:
        """An empty line after the packages that took a line each."""
        if self._listing:
            self._write()
        self._listing = False

    def _package_header(self, package: PackageReport) -> None:
        name = printable(package.id, self._unicode)
        origin = self._origin(package)
        painter, rule = self._painter, self._glyphs.rule
        title = cut(name, self.terminal.width - 8, self._glyphs.ellipsis)
        filler = rule * max(self.terminal.width - cells(title) - 5, 3)
        self._write(
            f"{painter.paint(rule * 3, 'label')} {painter.paint(title, 'bold')} "
            f"{painter.paint(filler, 'label')}"
        )
        if origin:
            for line in wrap(origin, self._prose - 4):
                self._write("    " + painter.paint(line, "dim"))
        self._write()

    def _origin(self, package: PackageReport) -> str:
        """Where the package came from, unless its name says that already."""
        source: SourceInfo = package.source
        parts = [f"{source.kind} {source.location}"]
        if source.member:
            parts.append(f"member {source.member}")
        if source.rev:
            parts.append(f"revision {source.rev}")
        if len(parts) == 1 and source.location == package.id and source.kind == "folder":
            return ""
        origin = ", ".join(parts)
        if source.kind not in ("folder", "file", "git"):
            origin += "; lines are those of the files inside"
        return printable(origin, self._unicode)

    def _one_line(self, package: PackageReport) -> None:
        mark = self._painter.paint(self._glyphs.met, "good")
        name = printable(package.id, self._unicode)
        files = counted(package.coverage.scanned, "file")
        profile = printable(package.profile.name, self._unicode)
        tail = f"  {files}, {profile}"
        open_criteria = len({u.criterion for u in package.verdict.undecided})
        if open_criteria:
            tail += f", {open_criteria} of {len(CRITERIA)} criteria undecided"
        room = self.terminal.width - 8 - cells(tail)
        if room < 16:
            tail, room = "", self.terminal.width - 8
        shown = cut(name, room, self._glyphs.ellipsis)
        self._write(f"{mark} ready {shown}{self._painter.paint(tail, 'dim')}")
        for note in package.notes:
            first, *rest = wrap(f"note: {self._say(note)}", self._prose - 8)
            for line in (first, *rest):
                self._write(self._painter.paint(f"        {line}", "dim"))
        self._listing = True

    def _package_summary(self, package: PackageReport, *, several: bool) -> None:
        if not several:
            self._write(self._painter.paint(self._glyphs.rule * self.terminal.width, "label"))
        coverage = package.coverage
        self._files(coverage.scanned, len(coverage.skipped), len(coverage.failed))
        self._listed("failed", [(f.path, f.reason) for f in coverage.failed], "error")
        by_reason: dict[str, list[str]] = {}
        for skipped in coverage.skipped:
            by_reason.setdefault(skipped.reason, []).append(skipped.path)
        self._listed("skipped", [(_some(p), r) for r, p in by_reason.items()], "dim")
        sums = Summary()
        sums.add(package)
        self._findings(sums)
        if package.comparison is not None:
            self._comparison(package.comparison, new=len(package.new()), fixed=sums.fixed or 0)
        profile = f"{package.profile.name} {self._glyphs.dash} {package.profile.reason}"
        self._row("profile", self._say(profile))
        if package.runs:
            self._row("runs", self._say(", ".join(package.runs)))
        self._verdict(package)
        self._write()

    def _verdict(self, package: PackageReport) -> None:
        verdict, glyphs = package.verdict, self._glyphs
        if verdict.is_code_ready:
            open_criteria = len({u.criterion for u in verdict.undecided})
            told = (
                f"ready as far as decided: no error, {open_criteria} of {len(CRITERIA)} criteria "
                "undecided"
                if open_criteria
                else "ready"
            )
            self._row("verdict", told, f"{glyphs.met} ", "good")
        else:
            self._row("verdict", "not ready", f"{glyphs.violated} ", "error")
        if verdict.code_issue:
            self._issue(verdict.code_issue.split("\n"))
        label = "criteria"
        for state, style in _MARKS.items():
            numbers = [n for n in sorted(verdict.criteria) if verdict.criteria[n] is state]
            if not numbers:
                continue
            mark = getattr(glyphs, state.value)
            names = [self._say(_criterion(n)).replace(" ", GLUE) for n in numbers]
            self._row(label, f"{GLUE}{glyphs.dot} ".join(names), f"{mark} {state.value:<8} ", style)
            label = ""
        if self.options.verdict_detail:
            self._evidence(verdict.evidence)
        self._undecided(verdict.undecided)
        for note in package.notes:
            self._row("note", self._say(note))
        if not package.complete:
            text = "the report is incomplete: an input could not be read whole, or a rule crashed"
            self._row("note", text)

    def _issue(self, lines: Sequence[str]) -> None:
        """The first points of a verdict, each under its heading; in detail all of them."""
        if self.options.verdict_detail:
            for line in lines:
                self._row("", self._say(line))
            return
        points = 0
        for line in lines:
            points += line[:1].isdecimal() or len(lines) == 1
            if points > SHOWN_POINTS:
                break
            if line[:1].isdecimal() or len(lines) == 1:
                self._row("", self._say(line), limit=4 if len(lines) == 1 else 2)
            elif points < SHOWN_POINTS:
                self._row("", self._say(line))
        more = sum(line[:1].isdecimal() for line in lines) - SHOWN_POINTS
        if more > 0:
            self._row("", f"{self._glyphs.ellipsis} and {counted(more, 'more point')}")

    def _evidence(self, evidence: Mapping[str, Sequence[Evidence]]) -> None:
        """The findings behind every violated criterion, those of one rule in one row."""
        label = "violated"
        for number in sorted(evidence):
            by_rule: dict[str, list[str]] = {}
            for e in evidence[number]:
                by_rule.setdefault(e.rule, []).append(f"{e.path}:{e.line}")
            for rule, places in by_rule.items():
                self._row(label, self._say(f"{rule} {_some(places)}"), f"{number} ", "error")
                label = ""

    def _undecided(self, undecided: Sequence[Undecided]) -> None:
        if not undecided:
            return
        if self.options.verdict_detail:
            label = "undecided"
            for entry in undecided:
                tail = f" (decided by {entry.decided_by})" if entry.decided_by else ""
                self._row(label, self._say(entry.reason + tail), f"{entry.criterion} ", "warning")
                label = ""
            return
        by: dict[str, list[str]] = {}
        for entry in undecided:
            what = f"until {entry.decided_by}" if entry.decided_by else entry.reason
            numbers = by.setdefault(what, [])
            if str(entry.criterion) not in numbers:
                numbers.append(str(entry.criterion))
        label = "undecided"
        for what, numbers in by.items():
            self._row(label, self._say(what), f"{', '.join(numbers)} ", "warning")
            label = ""

    def _comparison(self, comparison: Comparison, *, new: int, fixed: int) -> None:
        if comparison.base is None:
            text = f"with {comparison.against}: {comparison.problem}; all findings count as new"
            self._row("compared", self._say(text), "! ", "warning")
            return
        parts = [(f"{new:,} new", "warning" if new else "good"), (f"{fixed:,} fixed", "dim")]
        against = self._say(f"since {comparison.against} at {comparison.base[:10]}")
        self._joined("compared", [*parts, (against, "")])
        for finding in comparison.fixed[:SHOWN_FILES]:
            self._row("", self._say(f"{finding.path}: {finding.rule}"), "fixed    ", "dim")
        more = comparison.fixed[SHOWN_FILES:]
        if more:
            self._row("", f"{self._glyphs.ellipsis} and {len(more):,} more", "fixed    ", "dim")

    # Summary rows

    def _row(
        self, label: str, text: str, mark: str = "", style: str = "", limit: int | None = None
    ) -> None:
        """A labelled row of printable text, wrapped under its own beginning.

        Longer than ``limit`` lines, it ends in an ellipsis.
        """
        hang = LABEL + 1 + (cells(mark) if len(mark) <= 4 else 2)
        room = self._prose - LABEL - 1 - cells(mark)
        lines = wrap(text, max(self._prose - hang, 8), max(room, 8))
        if limit is not None and len(lines) > limit:
            tail = f" {self._glyphs.ellipsis}"
            lines = lines[:limit]
            lines[-1] = cut(lines[-1], self._prose - hang - cells(tail), "") + tail
        painted = self._painter.paint(f" {label:<{LABEL}}", "bold" if label else "")
        self._write((painted + self._painter.paint(mark, style) + lines[0]).rstrip(" "))
        for line in lines[1:]:
            self._write(" " * hang + line)

    def _files(self, scanned: int, skipped: int, failed: int) -> None:
        parts = [f"{scanned:,} scanned", f"{skipped:,} skipped", f"{failed:,} failed"]
        self._row("files", f" {self._glyphs.dot} ".join(parts))

    def _listed(self, what: str, entries: Sequence[tuple[str, str]], style: str) -> None:
        for path, reason in entries[:SHOWN_FILES]:
            self._row("", self._say(f"{path}: {reason}"), f"{what:<8}", style)
        more = len(entries) - SHOWN_FILES
        if more > 0:
            self._row("", f"{self._glyphs.ellipsis} and {more:,} more", " " * 8)

    def _findings(self, sums: Summary) -> None:
        parts = list(severities(sums.errors, sums.warnings, sums.infos)) or [("none", "good")]
        for number, name in (
            (sums.suppressed, "suppressed"),
            (sums.baseline, "in the baseline"),
            (sums.hidden, "hidden"),
        ):
            if number:
                parts.append((f"{number:,} {name}", "dim"))
        self._joined("findings", parts)

    def _joined(self, label: str, parts: Iterable[tuple[str, str]]) -> None:
        """A row of short parts, each in its style, broken between parts only."""
        dot = f" {self._glyphs.dot} "
        line, used = self._painter.paint(f" {label:<{LABEL}}", "bold"), LABEL + 1
        fresh = True
        for text, style in parts:
            size = cells(text) + (0 if fresh else len(dot))
            if not fresh and used + size > self._prose:
                self._write(line)
                line, used, fresh, size = " " * (LABEL + 1), LABEL + 1, True, cells(text)
            line += ("" if fresh else dot) + self._painter.paint(text, style)
            used, fresh = used + size, False
        self._write(line)

    def _totals(self, summary: Summary) -> None:
        painter, rule = self._painter, self._glyphs.rule
        self._write(painter.paint(rule * self.terminal.width, "label"))
        self._joined(
            "packages",
            [
                (f"{summary.packages:,} checked", ""),
                (f"{summary.ready:,} ready", "good" if summary.ready else ""),
                *(
                    [(f"{summary.incomplete:,} incomplete", "warning")]
                    if summary.incomplete
                    else ()
                ),
            ],
        )
        self._files(summary.scanned, summary.skipped, summary.failed)
        self._findings(summary)
        if summary.new is not None:
            self._joined(
                "compared", [(f"{summary.new:,} new", ""), (f"{summary.fixed:,} fixed", "")]
            )


def _uneventful(package: PackageReport) -> bool:
    return (
        package.verdict.is_code_ready
        and package.complete
        and not package.coverage.failed
        and all(f.state is not State.OPEN for f in package.findings)
    )


def _some(paths: Sequence[str]) -> str:
    """The first few of many paths; the JSON report lists them all."""
    more = len(paths) - SHOWN_FILES
    return ", ".join(paths[:SHOWN_FILES]) + (f" and {more:,} more" if more > 0 else "")


def _criterion(number: str) -> str:
    criterion = CRITERIA.get(int(number)) if number.isdecimal() else None
    return f"{number} {criterion.title}" if criterion else number


REPORTER = FullReporter
