"""``explint audit report``: an audit as one page to look at."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from explint.cli import complete
from explint.cli.door import Trouble, note


@click.command()
@click.argument("audit", metavar="OUT", type=click.Path(path_type=Path))
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE",
              shell_complete=complete.files,
              help="File to write; - for standard output.")  # fmt: skip
@click.option("--title", metavar="TEXT", help="Heading of the page.  [default: the folder's name]")
@click.option("--packages", type=click.IntRange(min=1), default=20_000, metavar="N",
              help="Most packages that the page holds; of more, an even choice.  [default: 20000]",
              )  # fmt: skip
@click.option("--no-code", is_flag=True, help="Leave the lines of the packages' files out.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar and no note.")
def report(
    audit: Path, output: str, title: str | None, packages: int, no_code: bool, quiet: bool
) -> None:
    """Write an audit as one HTML page that needs nothing else.

    OUT is the folder that `explint audit ... --out` wrote. The page holds its data: it can be
    mailed, opened from a disk and printed, and it loads nothing from anywhere.

    \b
    explint audit report audit -o report.html
    explint audit report audit --no-code --title "Nightly, week 12" -o week12.html
    """
    from explint.audit.page import write_page
    from explint.audit.store import StoreError
    from explint.cli.output import FileSink, StandardOutput, check_file
    from explint.cli.progress import Progress

    enabled = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    file = None if output == "-" else Path(output)
    if file is not None:
        check_file(file)
    try:
        with Progress(sys.stderr, enabled=enabled, label="packages read") as progress:
            page = write_page(
                audit,
                title=title,
                packages=packages,
                frames=not no_code,
                advance=progress.advance,
            )
    except StoreError as problem:
        raise Trouble(str(problem), problem.help) from None
    if file is None:
        out = StandardOutput(sys.stdout)
        out.write(page)
        out.flush()
        return
    sink = FileSink(file)
    try:
        sink.stream.write(page)
        sink.commit()
    except OSError as problem:
        raise Trouble(f"cannot write {file}: {problem.strerror or problem}") from None
    finally:
        sink.discard()
    if not quiet:
        note(f"{file}: {len(page) / 1e6:.1f} MB")
