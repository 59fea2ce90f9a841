"""The code frame: a few source lines with the offending span marked, cut to a width."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from explint.model import Finding
from explint.report.base import about_whole_file
from explint.report.terminal import Glyphs, Part
from explint.report.text import TAB, cells, char_cells, glyphs

CONTEXT = 2
"""Lines shown before the span."""

LONGEST_SPAN = 5
"""A span over more lines is shown by its first and last ones."""

LONGEST_LINE = 4_000
"""Characters of a line that are laid out, around the span: more than any terminal shows."""


class _Row(msgspec.Struct, frozen=True):
    """A line as printed: its signs with their first cell, and where each character begins."""

    signs: list[tuple[int, str]]
    starts: list[int]

    @property
    def width(self) -> int:
        return self.starts[-1]

    def cell(self, column: int) -> int:
        """The cell where a 1-based column begins; past the end it is one cell after the line."""
        return self.starts[min(max(column, 1) - 1, len(self.starts) - 1)]


def _lay_out(line: str, unicode: bool) -> _Row:
    signs: list[tuple[int, str]] = []
    starts = [0]
    at = 0
    for char, sign in zip(line, glyphs(line, unicode), strict=True):
        if char == "\t":
            sign = " " * (TAB - at % TAB)
        signs.append((at, sign))
        at += cells(sign) if len(sign) > 1 else char_cells(sign)
        starts.append(at)
    return _Row(signs, starts)


def _window(row: _Row, left: int, width: int, ellipsis: str) -> str:
    """The part of a row that shows in ``width`` cells from cell ``left``; cuts show as ellipses.

    A wide character or an escape that would show in part is left blank, so that all rows of a
    frame stay aligned.
    """
    if left == 0 and row.width <= width:
        return "".join([sign for _, sign in row.signs])
    gap = cells(ellipsis)
    head = gap if left else 0
    if row.width <= left + head:
        return ellipsis if left and row.width else ""
    tail = gap if row.width > left + width else 0
    low, high = left + head, left + width - tail
    out: list[str] = [ellipsis if head else ""]
    filled = low
    for at, sign in row.signs:
        size = cells(sign)
        if at + size <= low and not (size == 0 and at > low):
            continue
        if at + size > high:
            break
        if at < low:
            out.append(" " * (at + size - low))
        else:
            out.append(" " * (at - filled) + sign)
        filled = at + size
    if tail:
        out.append(" " * (high - filled) + ellipsis)
    return "".join(out)


def code_frame(
    lines: Sequence[str], finding: Finding, *, width: int, unicode: bool, glyphs: Glyphs
) -> tuple[int, list[list[Part]]] | None:
    """The frame of a finding: the cells of its line numbers, and its lines as styled parts.

    None when the finding is about a file as a whole, or lies where the text has no line.
    ``width`` is the whole width of a line, gutter included.
    """
    first, last = finding.line, max(finding.end_line, finding.line)
    if about_whole_file(finding) or not 1 <= first <= len(lines):
        return None
    if last > first and finding.end_column <= 1:
        last -= 1
    last = min(last, len(lines))

    if last - first + 1 > LONGEST_SPAN:
        shown = [*range(first, first + LONGEST_SPAN - 2), 0, last]
    else:
        shown = list(range(first, last + 1))
    before = list(range(max(first - CONTEXT, 1), first))
    while before and not lines[before[0] - 1].strip():
        before.pop(0)
    after = [n for n in (last + 1,) if n <= len(lines) and lines[n - 1].strip()]

    digits = len(str(max([*shown, *after])))
    room = max(width - digits - 3, 8)
    skip = max(finding.column - LONGEST_LINE // 2, 0)
    rows = {
        n: _lay_out(lines[n - 1][skip : skip + LONGEST_LINE].rstrip("\r\n"), unicode)
        for n in [*before, *shown, *after]
        if n
    }

    spot = rows[first]
    start = spot.cell(finding.column - skip)
    several = finding.end_line > finding.line
    end = spot.width if several else spot.cell(finding.end_column - skip)
    end = max(end, start + 1)
    left = _left_edge(start, end, spot.width, max(row.width for row in rows.values()), room)

    style = str(finding.severity)
    out: list[list[Part]] = []

    def gutter(number: int | None, marked: bool = False) -> list[Part]:
        label = "" if number is None else str(number)
        bar: Part = (glyphs.mark, style) if marked else (glyphs.bar, "label")
        return [(f"{label:>{digits}} ", "label"), bar, (" ", "")]

    for n in [*before, *shown, *after]:
        if n == 0:
            dots = glyphs.ellipsis[:digits]
            out.append([(f"{dots:>{digits}} ", "label"), (glyphs.mark, style)])
            continue
        marked = last > first and first <= n <= last
        text = _window(rows[n], left, room, glyphs.ellipsis)
        out.append([*gutter(n, marked), (text, "" if first <= n <= last else "dim")])
        if n == first:
            head = cells(glyphs.ellipsis) if left else 0
            stop = min(end, left + room)
            begin = min(max(start, left + head), stop - 1)
            carets = " " * (begin - left) + "^" * (stop - begin)
            out.append([*gutter(None, marked), (carets, style)])
    return digits, out


def _left_edge(start: int, end: int, line: int, longest: int, room: int) -> int:
    """The first cell shown, so that the span, or else its beginning, is in sight.

    ``line`` is the width of the line where the span begins, ``longest`` that of the longest one.
    """
    if end + 4 <= room or (end <= room and line <= room):
        return 0
    span = min(end - start, room // 2)
    lead = (room - span) // 2
    return max(min(start - lead, longest - room), 0)
