"""The reports of ``explint judge``: ``text`` for people, ``json`` for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

import msgspec

from explint.model import CRITERIA, Finding, ToolInfo
from explint.model.judgement import (
    JUDGEMENT_VERSION,
    Claim,
    ClaimKind,
    ClaimState,
    Evidence,
    JudgedPackage,
    JudgementSummary,
    Point,
    Tally,
)
from explint.report.base import clean, counted
from explint.report.terminal import Painter, Part, Terminal
from explint.report.text import cells, cut, printable, safe_json, sentence, wrap

FORMATS = ("text", "json")

WIDEST = 100
"""Cells of a line, even on a wider terminal."""

CLAIM_LINES, EVIDENCE_LINES = 4, 3
"""Lines that a claim, and a piece of evidence, may take; the JSON report has them whole."""

SHOWN_EVIDENCE = 2
"""Pieces of evidence shown of a point; the rest is counted."""

_LABEL = 11
_STYLES = {
    ClaimState.CONFIRMED: "good",
    ClaimState.REFUTED: "error",
    ClaimState.UNDECIDED: "warning",
}


class JudgementReporter(Protocol):
    """Writes one report: ``start`` once, ``add`` for each package, ``finish`` once."""

    def start(self, tool: ToolInfo) -> None:
        """Begins the report."""
        ...

    def add(self, package: JudgedPackage) -> None:
        """Reports one package."""
        ...

    def finish(self, summary: JudgementSummary) -> None:
        """Ends the report with the tables."""
        ...


def create(
    format: str, sink: TextIO, terminal: Terminal, *, tables_only: bool
) -> JudgementReporter:
    """A reporter of one of ``FORMATS``; ``tables_only`` leaves the packages out of a text."""
    if format == "json":
        return JsonJudgement(sink, terminal)
    return TextJudgement(sink, terminal, tables_only=tables_only)


class JsonJudgement:
    """A ``Judgement`` as JSON, a package on a line of its own, the summary last."""

    def __init__(self, sink: TextIO, terminal: Terminal) -> None:
        self._sink = sink
        self._unicode = terminal.unicode
        self._separator = "\n"

    def start(self, tool: ToolInfo) -> None:
        """Writes the head of the document."""
        head = f'{{"schema_version":{JUDGEMENT_VERSION},"tool":{self._encoded(tool)}'
        self._sink.write(f'{head},\n"packages":[')

    def add(self, package: JudgedPackage) -> None:
        """Writes one package."""
        self._sink.write(self._separator + self._encoded(package))
        self._separator = ",\n"

    def finish(self, summary: JudgementSummary) -> None:
        """Writes the sums and closes the document."""
        self._sink.write(f'\n],\n"summary":{self._encoded(summary)}}}\n')

    def _encoded(self, value: msgspec.Struct) -> str:
        return safe_json(msgspec.json.encode(clean(value)).decode(), self._unicode)


class TextJudgement:
    """Each package with its claims and what was missed, then the tables."""

    def __init__(self, sink: TextIO, terminal: Terminal, *, tables_only: bool) -> None:
        self._sink = sink
        self._painter = Painter(terminal)
        self._glyphs = self._painter.glyphs
        self._unicode = terminal.unicode
        self._width = min(terminal.width, WIDEST)
        self._tables_only = tables_only

    def start(self, tool: ToolInfo) -> None:
        """Writes nothing: the first line is that of the first package."""

    def add(self, package: JudgedPackage) -> None:
        """Writes the claims of one package."""
        if self._tables_only:
            return
        package = clean(package)
        self._line(
            (f"{self._glyphs.rule * 2} ", "dim"), (printable(package.id, self._unicode), "bold")
        )
        self._line(
            ("judge ", ""), self._verdict(package.judge_ready),
            (f" {self._glyphs.dot} explint ", ""), self._verdict(package.explint_ready),
        )  # fmt: skip
        for number, claim in enumerate(package.claims, 1):
            self._claim(number, claim)
        self._missed(package.missed)
        self._sink.write("\n")

    def finish(self, summary: JudgementSummary) -> None:
        """Writes the tables."""
        summary = clean(summary)
        without = summary.without_verdict
        rest = f", {counted(without, 'package')} without one" if without else ""
        self._line((f"{counted(summary.packages, 'package')} with a verdict{rest}", "bold"))
        if summary.packages:
            self._agreement(summary)
            self._claims(summary)
            self._criteria(summary)
            self._rules(summary)
        for error in summary.input_errors:
            told = f"error: {error.location}: {error.message}"
            self._wrapped("", "error", sentence(told, self._unicode), lines=EVIDENCE_LINES)
        if summary.interrupted:
            self._line(("interrupted: this is what was compared so far", "warning"))

    def _verdict(self, ready: bool) -> Part:
        glyphs = self._glyphs
        return (
            (f"{glyphs.met} ready", "good") if ready else (f"{glyphs.violated} not ready", "error")
        )

    def _claim(self, number: int, claim: Claim) -> None:
        label = "in part" if claim.partial else str(claim.state)
        text = f"{number}. {sentence(claim.text, self._unicode)}"
        if claim.kind is ClaimKind.CONCESSION:
            text = f"{text} (a concession)"
        self._wrapped(label, _STYLES[claim.state], text, lines=CLAIM_LINES)
        told: set[Evidence] = set()
        for point in claim.points:
            if point.state is not ClaimState.UNDECIDED:
                self._evidence(point, told)
        open_points = [p for p in claim.points if p.state is ClaimState.UNDECIDED]
        if claim.state is ClaimState.UNDECIDED or claim.partial:
            why: dict[str, list[str]] = {}
            for point in open_points:
                why.setdefault(point.reason, []).append(point.topic)
            for reason, topics in why.items():
                self._wrapped(
                    "", "dim", f"open: {', '.join(topics)}: {reason}", lines=2, inner="dim"
                )

    def _evidence(self, point: Point, told: set[Evidence]) -> None:
        """What speaks for or against a point, and was not told of another point of its claim."""
        new = [e for e in point.evidence if e not in told]
        told.update(new)
        for e in new[:SHOWN_EVIDENCE]:
            self._place(e, refutes=point.state is ClaimState.REFUTED)
        self._more(len(new) - SHOWN_EVIDENCE)

    def _place(self, e: Evidence, *, refutes: bool) -> None:
        rule = "" if e.rule is None else f" ({e.rule})"
        lead = "but " if refutes else ""
        text = f"{lead}{e.path}:{e.line}: {e.text}{rule}"
        self._wrapped("", "", sentence(text, self._unicode), lines=EVIDENCE_LINES, inner="dim")

    def _more(self, number: int) -> None:
        if number > 0:
            self._wrapped("", "", f"and {number:,} more", lines=1, inner="dim")

    def _missed(self, missed: Sequence[Finding]) -> None:
        by_rule: dict[str, list[Finding]] = {}
        for finding in missed:
            by_rule.setdefault(finding.rule, []).append(finding)
        for rule, findings in by_rule.items():
            first = findings[0]
            more = f" and {len(findings) - 1:,} more" if len(findings) > 1 else ""
            text = f"{rule} at {first.path}:{first.line}{more}: {first.message}"
            self._wrapped("missed", "error", sentence(text, self._unicode), lines=EVIDENCE_LINES)

    def _agreement(self, summary: JudgementSummary) -> None:
        a = summary.agreement
        self._table(
            ("verdicts", "explint: ready", "explint: not ready"),
            [
                ("judge: ready", a.both_ready, a.only_judge_ready),
                ("judge: not ready", a.only_explint_ready, a.both_not_ready),
            ],
        )

    def _claims(self, summary: JudgementSummary) -> None:
        rows: list[tuple[str, *tuple[int, ...]]] = []
        for title, tally in (("problems", summary.claims), ("concessions", summary.concessions)):
            rows.append((title, tally.confirmed, tally.refuted, tally.undecided))
        self._table(("claims of", "confirmed", "refuted", "undecided"), rows)
        told = (
            f"{summary.partial:,} of the confirmed in part only; "
            f"{summary.claims.missed:,} errors that no claim speaks of"
        )
        self._line((told, "dim"))

    def _criteria(self, summary: JudgementSummary) -> None:
        rows = [
            (f"{number} {CRITERIA[int(number)].title}", *_numbers(tally), tally.missed)
            for number, tally in summary.by_criterion.items()
        ]
        self._table(("criterion", "confirmed", "refuted", "undecided", "missed"), rows)

    def _rules(self, summary: JudgementSummary) -> None:
        ordered = sorted(
            summary.by_rule.items(),
            key=lambda item: (-item[1].missed, -item[1].confirmed, item[0]),
        )
        rows = [(name, t.confirmed, t.refuted, t.missed) for name, t in ordered]
        self._table(("rule (packages)", "confirmed", "refuted", "missed"), rows)

    def _table(self, head: Sequence[str], rows: Iterable[tuple[str, *tuple[int, ...]]]) -> None:
        table = [(title, *(f"{n:,}" for n in numbers)) for title, *numbers in rows]
        widths = [max(len(row[i]) for row in [head, *table]) for i in range(1, len(head))]
        room = self._width - sum(widths) - 2 * len(widths)
        first = min(max(cells(row[0]) for row in [head, *table]), room)
        self._sink.write("\n")
        for number, row in enumerate([tuple(head), *table]):
            title = cut(printable(row[0], self._unicode), first, self._glyphs.ellipsis)
            line = title + " " * (first - cells(title))
            line += "".join(f"  {c:>{w}}" for c, w in zip(row[1:], widths, strict=True))
            self._line((line, "" if number else "bold"))

    def _wrapped(self, label: str, style: str, text: str, *, lines: int, inner: str = "") -> None:
        """Text beside a label; what goes beyond ``lines`` lines is cut."""
        told = wrap(text, self._width - _LABEL)
        if len(told) > lines:
            rest = " ".join(told[lines - 1 :])
            shortened = cut(rest, self._width - _LABEL, self._glyphs.ellipsis)
            told = [*told[: lines - 1], shortened]
        for number, line in enumerate(told):
            head = label if number == 0 else ""
            self._line((f"{head:<{_LABEL}}", style), (line, inner))

    def _line(self, *parts: Part) -> None:
        self._sink.write(self._painter.line(parts) + "\n")


def _numbers(tally: Tally) -> tuple[int, int, int]:
    return (tally.confirmed, tally.refuted, tally.undecided)
