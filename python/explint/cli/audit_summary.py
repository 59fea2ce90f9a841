"""``explint audit summary``: the sums over an audit, and what changed since another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from explint.cli import complete
from explint.cli.door import Trouble

if TYPE_CHECKING:
    from explint.report.terminal import ColorChoice


@click.command()
@click.argument("audit", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--against", metavar="OLD", type=click.Path(path_type=Path),
              help="Tell what changed since this older audit.")  # fmt: skip
@click.option("-o", "--output", multiple=True, metavar="FORMAT[:FILE]",
              shell_complete=complete.formats(("text", "json")),
              help="Report to write: text or json. May be repeated.  [default: text]")  # fmt: skip
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Whether to colour. NO_COLOR is respected.")  # fmt: skip
def summary(audit: Path, against: Path | None, output: tuple[str, ...], color: ColorChoice) -> None:
    """Sum up an audit: by rule, root cause, criterion, profile and source.

    OUT is the folder that `explint audit ... --out` wrote. With --against, packages are compared by
    their ids and findings by their fingerprints.

    \b
    explint audit summary audit
    explint audit summary this-week --against last-week
    explint audit summary audit -o text -o json:sums.json
    """
    from contextlib import ExitStack

    from explint.audit.query import QueryError
    from explint.audit.store import StoreError
    from explint.audit.summary import summarise
    from explint.cli.output import FileSink, StandardOutput, parse_targets
    from explint.report.audit import FORMATS, write
    from explint.report.terminal import Terminal

    targets = parse_targets(output or ("text",), FORMATS)
    try:
        sums = summarise(audit, against)
    except StoreError as problem:
        raise Trouble(str(problem), problem.help) from None
    except QueryError as problem:
        raise Trouble(f"a part of {audit} is damaged: {problem}") from None
    stdout = StandardOutput(sys.stdout)
    with ExitStack() as stack:
        for target in targets:
            if target.file is None:
                terminal = Terminal.detect(sys.stdout, color=color)
                write(target.format, sums, cast(TextIO, stdout), terminal)
                continue
            file = FileSink(target.file)
            stack.callback(file.discard)
            shown = Terminal.detect(file.stream, color="always" if color == "always" else "never")
            write(target.format, sums, file.stream, shown)
            file.commit()
        stdout.flush()
