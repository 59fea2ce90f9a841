"""``explint audit query``: SQL over an audit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from explint.cli import complete
from explint.cli.door import Trouble

if TYPE_CHECKING:
    from explint.report.terminal import ColorChoice

_FORMATS = ("table", "csv", "json", "jsonl")


@click.command()
@click.argument("audit", metavar="OUT", type=click.Path(path_type=Path))
@click.argument("sql", metavar="SQL")
@click.option("-o", "--output", default="table", metavar="FORMAT[:FILE]",
              shell_complete=complete.formats(_FORMATS),
              help="How to write the answer: table, csv, json or jsonl.  [default: table]",
              )  # fmt: skip
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Whether to colour. NO_COLOR is respected.")  # fmt: skip
def query(audit: Path, sql: str, output: str, color: ColorChoice) -> None:
    """Ask an audit by SQL, through DuckDB.

    OUT is the folder that `explint audit ... --out` wrote; its views are packages and findings.
    SQL is one statement that reads, or - to read it from standard input. Nothing can be changed,
    and no other file can be read.

    \b
    explint audit query audit "DESCRIBE findings"
    explint audit query audit "SELECT rule, count(*) FROM findings GROUP BY rule"
    explint audit query audit "FROM packages" -o csv:packages.csv
    """
    from contextlib import ExitStack

    from explint.audit.query import QueryError, ask, connect
    from explint.audit.store import StoreError
    from explint.cli.output import FileSink, StandardOutput, parse_targets
    from explint.report.table import write_rows
    from explint.report.terminal import Terminal

    (target,) = parse_targets([output], _FORMATS)
    text = sys.stdin.read() if sql == "-" else sql
    with ExitStack() as stack:
        try:
            connection = connect(audit)
            stack.callback(connection.close)
            answer = ask(connection, text)
            stdout = StandardOutput(sys.stdout)
            if target.file is None:
                terminal = Terminal.detect(sys.stdout, color=color)
                sink = cast(TextIO, stdout)
                write_rows(target.format, answer.columns, answer.rows, sink, terminal)
                stdout.flush()
                return
            file = FileSink(target.file)
            stack.callback(file.discard)
            write_rows(target.format, answer.columns, answer.rows, file.stream, Terminal())
            file.commit()
        except StoreError as problem:
            raise Trouble(str(problem), problem.help) from None
        except QueryError as problem:
            raise Trouble(f"the query cannot be answered: {problem}") from None
