"""Tables for a terminal and for other programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, TextIO

import msgspec

from explint.report.terminal import Painter, Terminal
from explint.report.text import cells, cut, safe_json, sentence

FORMATS = ("table", "csv", "json", "jsonl")

SHOWN_ROWS = 200
"""Rows that a table for people shows."""

NARROWEST = 6
"""Cells that a column of texts keeps when room is short."""


def lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], painter: Painter, *, right: Sequence[bool]
) -> Iterator[str]:
    """A table in the terminal's width: the first line is the head.

    Texts must be printable. ``right`` says which columns stand at the right; the others are cut
    where room is short, the widest first.
    """
    table = [tuple(head), *map(tuple, rows)]
    room = painter.terminal.width
    widths = [min(max(cells(row[i]) for row in table), room) for i in range(len(head))]
    flexible = [i for i, at_right in enumerate(right) if not at_right]
    while flexible and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(flexible, key=lambda i: widths[i])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    for number, row in enumerate(table):
        parts = []
        for text, width, at_right in zip(row, widths, right, strict=True):
            shown = cut(text, width, painter.glyphs.ellipsis)
            gap = " " * (width - cells(shown))
            parts.append(gap + shown if at_right else shown + gap)
        line = "  ".join(parts).rstrip()
        yield painter.paint(line, "" if number else "bold")


def write_rows(
    format: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    sink: TextIO,
    terminal: Terminal,
) -> None:
    """Writes rows of any values in one of ``FORMATS``, the table for people cut in its length."""
    if format == "table":
        _for_people(columns, rows, sink, terminal)
    elif format == "csv":
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)
    else:
        _as_json(columns, rows, sink, terminal, array=format == "json")


def _for_people(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], sink: TextIO, terminal: Terminal
) -> None:
    painter = Painter(terminal)
    source = iter(rows)
    shown = list(islice(source, SHOWN_ROWS))
    numeric = [
        any(row[i] is not None for row in shown)
        and all(isinstance(row[i], int | float | Decimal | None) for row in shown)
        and not any(isinstance(row[i], bool) for row in shown)
        for i in range(len(columns))
    ]
    texts = [
        [sentence("" if v is None else str(_cell(v)), terminal.unicode) for v in row]
        for row in shown
    ]
    head = [sentence(name, terminal.unicode) for name in columns]
    for line in lines(head, texts, painter, right=numeric):
        sink.write(line + "\n")
    more = next(source, None)
    if more is not None:
        sink.write(
            f"{painter.glyphs.ellipsis} only the first {SHOWN_ROWS} rows: -o csv or -o json has "
            "all, LIMIT asks for fewer\n"
        )


def _as_json(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    sink: TextIO,
    terminal: Terminal,
    *,
    array: bool,
) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
    documents = (
        safe_json(encoder.encode(dict(zip(columns, row, strict=True))).decode(), terminal.unicode)
        for row in rows
    )
    if not array:
        for document in documents:
            sink.write(document + "\n")
        return
    separator = "[\n"
    for document in documents:
        sink.write(separator + document)
        separator = ",\n"
    sink.write("[]\n" if separator == "[\n" else "\n]\n")


def _cell(value: Any) -> Any:  # noqa: ANN401 - any value of a database
    """A value for a cell of text: nested ones as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, date):
        return value.isoformat()
    return value
