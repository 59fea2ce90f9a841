"""``explint config``: what configuration is in force, and the schema of the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explint.cli.door import Trouble, shown

if TYPE_CHECKING:
    from explint.config import Settings


@click.group()
def config() -> None:
    """Show the configuration in force, or the schema of the file."""


@config.command()
@click.argument("path", default=".")
@click.option("--config", "config_file", metavar="FILE", help="Read this configuration, only.")
@click.option("--isolated", is_flag=True, help="Read no configuration.")
def show(path: str, config_file: str | None, isolated: bool) -> None:
    """Print the configuration of the package at PATH and where each value comes from.

    The output is a valid explint.toml.
    """
    from explint.config import ConfigError, resolve
    from explint.rules.table import rule_table
    from explint.select import SelectorError

    if isolated and config_file is not None:
        raise click.UsageError("--isolated reads no configuration, so it excludes --config.")
    if not Path(path).exists():
        raise Trouble(f"there is no {path}", "Name a package's folder.")
    explicit = None if config_file is None else Path(config_file)
    try:
        settings = resolve(Path(path), config=explicit, isolated=isolated)
        settings.check(rule_table())
    except (ConfigError, SelectorError) as error:
        raise Trouble(str(error), error.help) from None
    click.echo(_effective(settings), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of explint.toml and of [tool.explint]."""
    import json

    from explint.config import config_schema

    click.echo(json.dumps(config_schema(), indent=2))


def _effective(settings: Settings) -> str:
    import msgspec

    from explint.cli import toml

    file = "no configuration file" if settings.file is None else shown(str(settings.file.path))
    values: dict[str, Any] = msgspec.to_builtins(settings.config)
    rows = []
    for key, value in values.items():
        text = f"# {key} is not set" if value is None else f"{key} = {toml.value(value)}"
        rows.append((text, shown(settings.origin.get(key, "default"))))
    width = min(max(len(text) for text, _ in rows), 40)
    return f"# {file}\n" + "".join(f"{text:<{width}}  # {origin}\n" for text, origin in rows)
