"""``explint profile``: the protocol profiles that say what a package must look like."""

from __future__ import annotations

import click

from explint.cli.door import Trouble


@click.group()
def profile() -> None:
    """List, show or check protocol profiles.

    A profile says which files, commands, modes and outputs a package must have.
    """


@profile.command("list")
def list_profiles() -> None:
    """List the built-in profiles."""
    from explint.protocol import builtin_profiles

    found = builtin_profiles()
    width = max((len(p.name) for p in found), default=0)
    for p in found:
        click.echo(f"{p.name:<{width}}  {p.summary}")


@profile.command()
@click.argument("name", metavar="NAME|FILE")
def show(name: str) -> None:
    """Print a profile as TOML, with everything it takes from the ones it extends."""
    import msgspec

    from explint.cli.toml import document
    from explint.protocol import ProfileError, load_profile

    try:
        found = load_profile(name)
    except ProfileError as error:
        raise Trouble(str(error)) from None
    click.echo(document(msgspec.to_builtins(found)), nl=False)


@profile.command()
@click.argument("file", metavar="FILE")
def check(file: str) -> None:
    """Check a profile file of your own.

    \b
    explint profile check lab.toml && explint check . --profile lab.toml
    """
    from explint.protocol import ProfileError, load_profile

    try:
        found = load_profile(file)
    except ProfileError as error:
        raise Trouble(str(error)) from None
    click.echo(f"{file}: profile {found.name} is in order")


@profile.command()
def schema() -> None:
    """Print the JSON Schema of a profile file."""
    import json

    from explint.protocol import profile_schema

    click.echo(json.dumps(profile_schema(), indent=2))
