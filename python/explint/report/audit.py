"""The sums over an audit: ``text`` for people, ``json`` for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from explint.model.audit import AuditChange, AuditSummary, GroupSum, JudgeSum
from explint.report.base import clean, counted
from explint.report.table import lines
from explint.report.terminal import Painter, Part, Terminal
from explint.report.text import printable, safe_json, wrap

FORMATS = ("text", "json")

WIDEST = 100
"""Cells of a line, even on a wider terminal."""

SHOWN_RULES, SHOWN_GROUPS, SHOWN_PACKAGES = 15, 8, 5
"""Rules, groups and packages that the text names; the JSON report has all."""

_BAR = 12
"""Cells of a bar."""


def write(format: str, summary: AuditSummary, sink: TextIO, terminal: Terminal) -> None:
    """Writes a summary in one of ``FORMATS``."""
    summary = clean(summary)
    if format == "json":
        document = msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()
        sink.write(safe_json(document, terminal.unicode) + "\n")
        return
    _Text(sink, terminal).write(summary)


class _Text:
    def __init__(self, sink: TextIO, terminal: Terminal) -> None:
        terminal = msgspec.structs.replace(terminal, width=min(terminal.width, WIDEST))
        self._sink = sink
        self._painter = Painter(terminal)
        self._unicode = terminal.unicode
        self._width = terminal.width

    def write(self, summary: AuditSummary) -> None:
        """All tables, the changes last."""
        self._head(summary)
        self._rules(summary)
        self._causes(summary)
        self._criteria(summary)
        self._groups("profile", summary.profiles)
        self._groups("source", summary.sources)
        if summary.judge is not None:
            self._judge(summary.judge)
        if summary.change is not None:
            self._change(summary.change)

    def _head(self, summary: AuditSummary) -> None:
        total, glyphs = summary.total, self._painter.glyphs
        judged = total.ready + total.unready
        self._line(
            (printable(summary.audit, self._unicode), "bold"),
            (f"  explint {summary.tool.version}, rules {summary.tool.rules_version}", "dim"),
        )
        if not summary.complete:
            self._line(("the audit has not come to its end: these are its sums so far", "warning"))
        dot = f" {glyphs.dot} "
        self._line(
            (f"{counted(total.packages, 'package')}", ""), (dot, "dim"),
            (f"{total.ready:,} ready ({_share(total.ready, judged)})", "good"), (dot, "dim"),
            (f"{total.unready:,} not ready", "error" if total.unready else ""),
            *(((dot, "dim"), (f"{total.failed:,} failed", "warning")) if total.failed else ()),
        )  # fmt: skip
        self._line(
            (counted(total.errors, "error"), "error" if total.errors else ""), (dot, "dim"),
            (counted(total.warnings, "warning"), "warning" if total.warnings else ""),
            (dot, "dim"), (f"{summary.infos:,} info", ""),
            *(((dot, "dim"), (f"{summary.suppressed:,} a comment would hide", "dim"))
              if summary.suppressed else ()),
        )  # fmt: skip
        if summary.failures:
            kinds = ", ".join(f"{f.kind} {f.packages:,}" for f in summary.failures)
            self._line((f"failed: {kinds}", "dim"))

    def _rules(self, summary: AuditSummary) -> None:
        total = summary.total.ready + summary.total.unready
        shown = summary.rules[:SHOWN_RULES]
        self._table(
            ("rule", "", "packages", "share", "findings"),
            [
                (
                    rule.rule,
                    self._bar(rule.packages, total),
                    f"{rule.packages:,}",
                    _share(rule.packages, total),
                    f"{rule.findings:,}",
                )
                for rule in shown
            ],
            left=2,
        )
        self._more(len(summary.rules) - len(shown), "rule")

    def _causes(self, summary: AuditSummary) -> None:
        ordered = sorted(
            (rule for rule in summary.rules if rule.causes),
            key=lambda rule: (-rule.first, -rule.causes, rule.rule),
        )
        self._table(
            ("root causes", "blocks first in", "causes"),
            [(r.rule, f"{r.first:,}", f"{r.causes:,}") for r in ordered[:SHOWN_RULES]],
        )
        self._more(len(ordered) - SHOWN_RULES, "rule")

    def _criteria(self, summary: AuditSummary) -> None:
        total = summary.total.ready + summary.total.unready
        if not total:
            return
        self._table(
            ("criterion", "", "violated", "met", "unknown"),
            [
                (
                    f"{c.number} {c.title}",
                    self._bar(c.violated, total),
                    _share(c.violated, total),
                    _share(c.met, total),
                    _share(c.unknown, total),
                )
                for c in summary.criteria
            ],
            left=2,
        )

    def _groups(self, title: str, groups: Sequence[GroupSum]) -> None:
        shown = groups[:SHOWN_GROUPS]
        self._table(
            (title, "packages", "ready", "share", "failed", "errors"),
            [
                (
                    group.name,
                    f"{group.packages:,}",
                    f"{group.ready:,}",
                    _share(group.ready, group.ready + group.unready),
                    f"{group.failed:,}",
                    f"{group.errors:,}",
                )
                for group in shown
            ],
        )
        self._more(len(groups) - len(shown), title)

    def _judge(self, judge: JudgeSum) -> None:
        self._table(
            ("verdicts", "explint: ready", "explint: not ready"),
            [
                ("judge: ready", f"{judge.both_ready:,}", f"{judge.only_judge_ready:,}"),
                ("judge: not ready", f"{judge.only_explint_ready:,}", f"{judge.both_not_ready:,}"),
            ],
        )
        told = (
            f"{judge.claims_confirmed:,} claims of the judge confirmed, "
            f"{judge.claims_refuted:,} refuted, {judge.claims_undecided:,} undecided; "
            f"{judge.claims_missed:,} errors that no claim speaks of"
        )
        self._wrapped(told, "dim")

    def _change(self, change: AuditChange) -> None:
        self._sink.write("\n")
        against = printable(change.against, self._unicode)
        self._line((f"against {against}", "bold"))
        if change.other_rules:
            self._wrapped(
                "made by another version of explint, other rules or another profile: a difference "
                "may come from that",
                "warning",
            )
        self._wrapped(
            f"{counted(change.packages_common, 'package')} in both, {change.packages_added:,} "
            f"added, {change.packages_gone:,} gone; of those in both {change.ready_before:,} were "
            f"ready and {change.ready_now:,} are"
        )
        for number, word, ids, style in (
            (change.became_ready, "became ready", change.turned_ready, "good"),
            (change.became_unready, "no longer ready", change.turned_unready, "error"),
        ):
            if number:
                names = ", ".join(printable(name, self._unicode) for name in ids[:SHOWN_PACKAGES])
                more = f" and {number - SHOWN_PACKAGES:,} more" if number > SHOWN_PACKAGES else ""
                self._wrapped(f"{number:,} {word}: {names}{more}", style)
        self._wrapped(f"{change.findings_new:,} findings new, {change.findings_fixed:,} gone")
        self._table(
            ("rule", "new", "gone"),
            [(r.rule, f"{r.new:,}", f"{r.fixed:,}") for r in change.rules[:SHOWN_RULES]],
        )
        self._more(len(change.rules) - SHOWN_RULES, "rule")

    def _bar(self, part: int, whole: int) -> str:
        """A bar in eighths of a cell, in full cells where the terminal has only ASCII."""
        if not whole:
            return ""
        if not self._unicode:
            return "#" * round(_BAR * part / whole)
        eighths = round(8 * _BAR * part / whole)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()

    def _table(self, head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
        """A table whose first ``left`` columns are texts; nothing where there are no rows."""
        texts = [[printable(cell, self._unicode) for cell in row] for row in rows]
        if not texts:
            return
        self._sink.write("\n")
        right = [at >= left for at in range(len(head))]
        for line in lines(head, texts, self._painter, right=right):
            self._sink.write(line + "\n")

    def _more(self, number: int, word: str) -> None:
        if number > 0:
            ellipsis = self._painter.glyphs.ellipsis
            self._line((f"{ellipsis} and {counted(number, f'more {word}')}", "dim"))

    def _wrapped(self, text: str, style: str = "") -> None:
        for line in wrap(text, self._width):
            self._line((line, style))

    def _line(self, *parts: Part) -> None:
        self._sink.write(self._painter.line(parts) + "\n")


def _share(part: int, whole: int) -> str:
    """A percentage; one decimal where whole numbers would say none or all."""
    if not whole:
        return "-"
    share = 100 * part / whole
    edge = 0 < share < 1 or 99 < share < 100
    return f"{share:.1f}%" if edge else f"{share:.0f}%"
