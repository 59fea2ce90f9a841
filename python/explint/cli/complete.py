"""What a shell offers for the values of options.

A function takes the context, the parameter and what has been typed of the word, and answers with
the words that go on from there; whatever cannot be found out is answered with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from explint.package import Package

Completer = Callable[["click.Context", "click.Parameter", str], "list[CompletionItem]"]

_READ_FILES = 5000
"""Entries of a folder up to which it is read for the sake of a completion."""


def files(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Files and folders, which the shell itself looks up."""
    return [_item(typed, type="file")]


def formats(names: Sequence[str]) -> Completer:
    """FORMAT[:FILE] of a list of formats."""

    def complete(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        format, colon, file = typed.partition(":")
        if not colon:
            return _starting(typed, [*names, *(f"{name}:" for name in names if name == format)])
        return [_item(f"{format}:{name}") for name in _paths(file)]

    return complete


def report_formats(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """FORMAT[:FILE] of a check."""
    from explint.report import FORMATS

    return formats(FORMATS)(ctx, param, typed)


def selectors(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """A list of rule selectors, of which the last is being typed."""
    from explint.model import CRITERIA
    from explint.rules.table import rule_table

    before, comma, word = typed.rpartition(",")
    rules = rule_table()
    words = {"all": "every rule"}
    words |= {f"criterion:{n}": criterion.title for n, criterion in CRITERIA.items()}
    words |= {rule.family: "a family" for rule in rules}
    # Hundreds of rules are offered once something says which.
    if word:
        words |= {rule.name: rule.summary for rule in rules}
        words |= {rule.code: rule.summary for rule in rules}
    taken = set(before.split(","))
    return [
        _item(f"{before}{comma}{name}", help=told)
        for name, told in words.items()
        if name.startswith(word) and name not in taken
    ]


def profiles(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The profiles that come with explint, else files."""
    from explint.protocol import builtin_profiles

    names = _starting(typed, [profile.name for profile in builtin_profiles()])
    return names or files(ctx, param, typed)


def runs(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The runs of the package that the command line names."""
    from explint.compose import run_ids
    from explint.protocol import choose_profile

    package = _package(ctx)
    if package is None:
        return []
    profile, _ = choose_profile(package, _profile(ctx))
    return _starting(typed, run_ids(package, profile.config.run_folder))


def modes(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The modes of the profile in force, or of all profiles where there is no package."""
    from explint.protocol import builtin_profiles, choose_profile

    package = _package(ctx)
    named = _profile(ctx)
    known = [choose_profile(package, named)[0]] if package is not None else builtin_profiles()
    names = [mode.name for profile in known for mode in profile.trial.modes]
    return _starting(typed, dict.fromkeys(names))


def _item(value: str, type: str = "plain", help: str | None = None) -> CompletionItem:
    # Only a shell that asks needs this part of click.
    from click.shell_completion import CompletionItem

    return CompletionItem(value, type, help)


def _starting(typed: str, words: Iterable[str]) -> list[CompletionItem]:
    return [_item(word) for word in words if word.startswith(typed)]


def _profile(ctx: click.Context) -> str | None:
    named = ctx.params.get("profile") or ctx.params.get("profile_name")
    return named if isinstance(named, str) else None


def _package(ctx: click.Context) -> Package | None:
    """The first package at the path of a command line; None where there is none to be read."""
    from explint.model import InputError
    from explint.source import open_sources

    # click leaves off reading at the option whose value is being typed: what stands before is left
    # in the arguments.
    words = (*ctx.args, ctx.params.get("path"), *(ctx.params.get("paths") or ()))
    named = next((word for word in words if word), ".")
    if not isinstance(named, str) or named == "-" or _is_large(Path(named)):
        return None
    for item in open_sources([named], rev=ctx.params.get("rev")):
        return None if isinstance(item, InputError) else item
    return None


def _is_large(folder: Path) -> bool:
    try:
        return folder.is_dir() and sum(1 for _ in folder.iterdir()) > _READ_FILES
    except OSError:
        return True


def _paths(typed: str) -> list[str]:
    """Files whose path goes on from what was typed, folders with a slash."""
    folder, slash, name = typed.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").iterdir())
    except OSError:
        return []
    return [
        f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
        for entry in entries
        if entry.name.startswith(name) and (name or not entry.name.startswith("."))
    ]
