"""``explint rules``: the rule table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from explint.cli.check import split_selectors
from explint.cli.door import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explint.model import Rule


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table for people, or every field of every rule.",
)
@click.option(
    "--select",
    callback=split_selectors,
    multiple=True,
    metavar="RULES",
    help="Only these rules: names, codes, families, criterion:N.",
)
def rules(form: str, select: tuple[str, ...]) -> None:
    """List the rules.

    \b
    explint rules --select structure,criterion:1
    explint rules --format json
    """
    from explint.rules.table import rule_table

    rows = _selected(select, rule_table())
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    else:
        click.echo(_table(rows), nl=False)


def _selected(selectors: Sequence[str], rows: Sequence[Rule]) -> list[Rule]:
    from explint.select import SelectorError, expand

    if not selectors:
        return list(rows)
    names: set[str] = set()
    for selector in selectors:
        try:
            names |= expand(selector, rows)[0]
        except SelectorError as error:
            raise Trouble(str(error), error.help) from None
    return [row for row in rows if row.name in names]


def _table(rows: Sequence[Rule]) -> str:
    cells = [
        (
            row.code,
            row.name,
            str(row.severity),
            ",".join(map(str, row.criteria)) or "-",
            row.summary if row.status == "stable" else f"({row.status}) {row.summary}",
        )
        for row in rows
    ]
    widths = [max((len(c[i]) for c in cells), default=0) for i in range(4)]
    lines = []
    for cell in cells:
        lead = "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=False))
        lines.append(_fit(f"{lead}  {cell[4]}"))
    return "".join(f"{line}\n" for line in lines)


def _fit(line: str) -> str:
    """Cut to the terminal; in a pipe the whole line."""
    if not sys.stdout.isatty():
        return line
    import shutil

    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
