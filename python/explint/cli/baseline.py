"""``explint baseline``: a committed file of accepted findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from explint.cli.door import Trouble, note, shown

if TYPE_CHECKING:
    from explint.baseline import Baseline
    from explint.model import PackageReport

_FILE = click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    help="The baseline; by default the configured one, else explint-baseline.json here.",
)


@click.group()
def baseline() -> None:
    """Accept today's findings, so that `explint check --baseline FILE` shows new ones only."""


@baseline.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@_FILE
@click.option("--force", is_flag=True, help="Write over a baseline that is there.")
def create(paths: tuple[str, ...], file: str | None, force: bool) -> None:
    """Write a baseline of every finding at PATH that no comment suppresses.

    With --force, findings that were accepted before keep their day.
    """
    from datetime import UTC, datetime

    from explint.baseline import create as accept

    path = _path(file, paths)
    old = _load(path) if path.exists() and force else None
    if path.exists() and not force:
        raise Trouble(
            f"{path} is there already",
            "`explint baseline prune` removes what is repaired; --force accepts all findings anew.",
        )
    new = accept(_reports(paths), path, datetime.now(UTC).date(), old)
    _save(path, new)
    click.echo(f"{shown(str(path))}: {_findings(len(new))} accepted")


@baseline.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@_FILE
def prune(paths: tuple[str, ...], file: str | None) -> None:
    """Remove from a baseline what is not found at PATH any more.

    Packages that are not at PATH keep their entries.
    """
    from explint.baseline import prune as without_repaired

    path = _path(file, paths)
    old = _load(path)
    new = without_repaired(_reports(paths), old, path)
    if new != old:
        _save(path, new)
    removed = len(old) - len(new)
    click.echo(f"{shown(str(path))}: {_findings(removed)} removed, {len(new):,} left")


@baseline.command()
@click.argument("file", required=False, metavar="[FILE]")
def show(file: str | None) -> None:
    """Show what a baseline accepts: how many findings of each rule, and for how long."""
    from datetime import UTC, datetime

    from explint.baseline import by_rule

    path = _path(file, ())
    loaded = _load(path)
    today = datetime.now(UTC).date()
    packages = len(loaded.packages)
    click.echo(
        f"{shown(str(path))}: {_findings(len(loaded))} in "
        f"{packages:,} {'package' if packages == 1 else 'packages'}"
    )
    rows = [
        (rule, f"{number:,}", f"{oldest.isoformat()}, {_days((today - oldest).days)}")
        for rule, number, oldest in by_rule(loaded)
    ]
    if rows:
        rule, number = (max(len(row[i]) for row in rows) for i in (0, 1))
        for row in rows:
            click.echo(f"  {shown(row[0]):<{rule}}  {row[1]:>{number}}  oldest {row[2]}")


def _path(file: str | None, paths: tuple[str, ...]) -> Path:
    from explint.baseline import FILE_NAME
    from explint.config import ConfigError, resolve

    if file is not None:
        return Path(file)
    try:
        configured = resolve(Path(paths[0] if paths else ".")).config.baseline
    except ConfigError as error:
        raise Trouble(str(error), error.help) from None
    return Path(configured or FILE_NAME)


def _load(path: Path) -> Baseline:
    from explint.baseline import BaselineError, load

    try:
        return load(path)
    except BaselineError as error:
        raise Trouble(str(error), error.help) from None


def _save(path: Path, new: Baseline) -> None:
    from explint.baseline import BaselineError, save

    try:
        save(path, new)
    except BaselineError as error:
        raise Trouble(str(error), error.help) from None


def _reports(paths: tuple[str, ...]) -> Iterator[PackageReport]:
    """The packages at the paths. What cannot be read ends the command: a baseline without it would
    look like one with it."""
    from explint.config import ConfigError
    from explint.model import InputError
    from explint.pipeline import check_stream
    from explint.request import CheckOptions

    found = False
    try:
        for result in check_stream(paths or (".",), CheckOptions(use_baseline=False)):
            if isinstance(result, InputError):
                raise Trouble(f"{result.location}: {result.message}", result.help)
            found = True
            yield result[0]
    except ConfigError as error:
        raise Trouble(str(error), error.help) from None
    if not found:
        note("nothing was checked: there is no package")


def _findings(number: int) -> str:
    return f"{number:,} {'finding' if number == 1 else 'findings'}"


def _days(number: int) -> str:
    return "today" if number == 0 else f"{number:,} {'day' if number == 1 else 'days'}"
