"""Reads profile files: inheritance, checks, and errors that say what to do.

A profile that extends another one changes it: tables are merged key by key, everything else is
replaced. A list replaces the parent's list too, unless its item ``"..."`` says where the parent's
items go: ``allowed = ["...", "src/inference.py"]``.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import tomli

from explint.nearmiss import near_miss
from explint.protocol.profile import Profile, Section

BUILTIN = ("trial-mode", "full-trial", "config-runs", "sanity-pilot", "hydra-wandb")
"""The names of the shipped profiles, oldest protocol first and the generic one last."""

INHERITED = "..."
"""In a list: the items of the same list in the extended profile."""

_Table = dict[str, Any]


class ProfileError(Exception):
    """A profile that cannot be used: where it stands, what is wrong and what to do.

    ``file`` is the profile file or name as given, ``key`` the dotted path of the key, empty where
    the error is about the file as a whole.
    """

    def __init__(self, file: str, key: str, message: str, help: str) -> None:
        place = f"{file}: {key}" if key else file
        super().__init__(f"{place}: {message}; {help}")
        self.file = file
        self.key = key
        self.message = message
        self.help = help


def load_profile(name_or_path: str) -> Profile:
    """The shipped profile of that name, or the profile in a TOML file.

    Raises ProfileError when there is no such profile or its file is wrong.
    """
    if name_or_path in BUILTIN:
        return _builtin(name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        near = near_miss(name_or_path, BUILTIN)
        raise ProfileError(
            name_or_path,
            "",
            "no profile has this name" + (f", the nearest is {near}" if near else ""),
            f"name one of {', '.join(BUILTIN)}, or a TOML file",
        )
    return _finish(_resolve(_read_file(path, name_or_path), name_or_path, path, ()), name_or_path)


def builtin_profiles() -> list[Profile]:
    """The shipped profiles, oldest protocol first and the generic one last."""
    return [_builtin(name) for name in BUILTIN]


def profile_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a profile file."""
    schema = msgspec.json.schema(Profile)
    for section in schema["$defs"].values():
        if "description" in section:
            section["description"] = inspect.cleandoc(section["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "explint protocol profile",
        **schema,
    }


@cache
def _builtin(name: str) -> Profile:
    return _finish(_builtin_table(name), name)


@cache
def _builtin_table(name: str) -> _Table:
    # Beside this file, which is where wheels put it; importlib.resources costs 8 ms to import.
    path = Path(__file__).with_name("profiles") / f"{name}.toml"
    return _resolve(path.read_text(encoding="utf-8"), name, None, ())


def _read_file(path: Path, shown: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(
            shown, "", f"byte {error.start} is not UTF-8", "save the file as UTF-8"
        ) from error
    except OSError as error:
        raise ProfileError(
            shown, "", f"cannot be read ({error.strerror})", "name a file that can be read"
        ) from error


def _resolve(text: str, shown: str, path: Path | None, children: tuple[str, ...]) -> _Table:
    """The merged table of a profile; ``children`` are the profiles that led here."""
    identity = shown if path is None else str(path.resolve())
    if identity in children:
        raise ProfileError(
            shown, "extends", "the profile extends itself", "let the chain end in another profile"
        )
    try:
        table = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(shown, "", f"not TOML: {error}", "correct the file") from error
    own = _checked(table, shown)
    if own.extends is None:
        return table
    if own.extends in BUILTIN:
        parent = _builtin_table(own.extends)
    else:
        target = (path.parent if path is not None else Path()) / own.extends
        if not target.is_file():
            near = near_miss(own.extends, BUILTIN)
            raise ProfileError(
                shown,
                "extends",
                f'there is no profile "{own.extends}"'
                + (f", the nearest is {near}" if near else ""),
                f"name one of {', '.join(BUILTIN)}, or a TOML file relative to this one",
            )
        parent = _resolve(
            _read_file(target, str(target)), str(target), target, (*children, identity)
        )
    return _merge(parent, table)


def _merge(parent: _Table, child: _Table) -> _Table:
    merged = dict(parent)
    for key, value in child.items():
        inherited = parent.get(key)
        if isinstance(value, dict) and isinstance(inherited, dict):
            merged[key] = _merge(inherited, value)
        elif isinstance(value, list) and INHERITED in value:
            base = inherited if isinstance(inherited, list) else []
            at = value.index(INHERITED)
            merged[key] = [*value[:at], *base, *value[at + 1 :]]
        else:
            merged[key] = value
    return merged


def _checked(table: _Table, shown: str) -> Profile:
    """The file's own table as a profile; raises ProfileError for the first thing wrong in it."""
    try:
        return msgspec.convert(table, Profile)
    except msgspec.ValidationError as error:
        _reject_unknown(table, Profile, "", shown)
        message, _, place = str(error).partition(" - at `")
        key = place.rstrip("`").removeprefix("$").removeprefix(".")
        missing = re.search(r"missing required field `(\w+)`", message)
        if missing:
            key = f"{key}.{missing[1]}".lstrip(".")
            raise ProfileError(shown, key, "the key is missing", f"add {missing[1]}") from error
        raise ProfileError(
            shown, key, message[:1].lower() + message[1:], "give the key a value of that type"
        ) from error


def _finish(table: _Table, shown: str) -> Profile:
    profile = msgspec.convert(table, Profile)
    patterns = {
        "figures.per_run_pattern": profile.figures.per_run_pattern,
        "figures.comparison_pattern": profile.figures.comparison_pattern,
    }
    for n, mode in enumerate(profile.trial.modes):
        patterns |= {f"trial.modes[{n}].prints[{m}]": p for m, p in enumerate(mode.prints)}
    for key, pattern in patterns.items():
        try:
            re.compile((pattern or "").replace("{run_id}", "x"))
        except re.error as error:
            raise ProfileError(
                shown, key, f"no regular expression: {error}", "correct the pattern"
            ) from error
    if profile.config.run_file is not None and "/{run_id}" not in profile.config.run_file:
        raise ProfileError(
            shown,
            "config.run_file",
            "the file name does not start with {run_id}",
            'write a path such as "config/run/{run_id}.yaml"',
        )
    return profile


def _reject_unknown(table: _Table, section: type[Section], prefix: str, shown: str) -> None:
    fields = {f.name: f.type for f in msgspec.structs.fields(section)}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if key not in fields:
            near = near_miss(key, fields)
            raise ProfileError(
                shown,
                path,
                "profiles have no such key",
                f"write {near}" if near else f"choose among {', '.join(fields)}",
            )
        kind = fields[key]
        if get_origin(kind) is list and isinstance(value, list):
            item = get_args(kind)[0]
            for n, inner in enumerate(value):
                if _is_section(item) and isinstance(inner, dict):
                    _reject_unknown(inner, item, f"{path}[{n}].", shown)
        elif _is_section(kind) and isinstance(value, dict):
            _reject_unknown(value, kind, f"{path}.", shown)


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
