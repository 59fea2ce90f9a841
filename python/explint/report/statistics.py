"""The table of ``--statistics``: how often each rule fired."""

from __future__ import annotations

from collections.abc import Sequence

from explint.model import Rule, Summary
from explint.report.base import clean
from explint.report.terminal import Painter, Terminal
from explint.report.text import cells, cut, printable


def statistics(summary: Summary, terminal: Terminal, rules: Sequence[Rule] = ()) -> str:
    """Count, code and name of every rule with open findings, the most frequent first.

    ``rules`` supplies the codes and colours. The text ends with a line break and is empty when
    nothing was found.
    """
    rows = {rule.name: rule for rule in rules}
    counts = sorted(clean(summary).by_rule.items(), key=lambda item: (-item[1], item[0]))
    if not counts:
        return ""
    painter = Painter(terminal)
    digits = max(len(f"{number:,}") for _, number in counts)
    codes = max((len(row.code) for row in rules), default=0)
    lines = []
    for name, number in counts:
        row = rows.get(name)
        code = f"{row.code if row else '':<{codes}}  " if codes else ""
        lead = f"{number:>{digits},}  {code}"
        shown = cut(
            printable(name, terminal.unicode),
            max(terminal.width - cells(lead), 8),
            painter.glyphs.ellipsis,
        )
        count = painter.paint(f"{number:>{digits},}", "bold")
        rest = painter.paint(shown, str(row.severity) if row else "")
        lines.append(f"{count}  {painter.paint(code, 'dim')}{rest}\n")
    return "".join(lines)
