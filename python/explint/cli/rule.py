"""``explint rule``: the page of one rule."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from explint.cli.door import Trouble

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    from explint.rules.table import rule_table

    words = [word for row in rule_table() for word in (row.name, row.code)]
    return [word for word in words if word.startswith(incomplete)]


@click.command()
@click.argument("name", metavar="NAME|CODE", shell_complete=_complete)
def rule(name: str) -> None:
    """Explain a rule: what it finds, why it matters, what to write instead.

    In a pipe the page is Markdown.

    \b
    explint rule complete/todo-marker
    explint rule CMP002
    """
    from explint.rules.page import rule_page
    from explint.rules.table import rule_table

    rows = rule_table()
    row = next((r for r in rows if name == r.name or name.upper() == r.code), None)
    if row is None:
        from explint.nearmiss import did_you_mean

        vocabulary = [word for r in rows for word in (r.name, r.code)]
        raise Trouble(
            f"there is no rule `{name}`",
            did_you_mean(name, vocabulary) or "`explint rules` lists them.",
        )
    page = rule_page(row)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markdown import Markdown

        console = Console()
        console.print(Markdown(page), width=min(console.width, 100))
    else:
        click.echo(page, nl=False)
