"""Configuration: ``explint.toml``, or ``[tool.explint]`` in ``pyproject.toml``.

The nearest file wins and files are not merged, so that one file always tells the whole story. The
search goes from the package's folder up to the root of its repository (the folder with ``.git``);
outside a repository only the folder itself is searched, so that a file in some distant parent
never has a say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import tomli
from msgspec import Meta

from explint.model import Change, Rule, Severity
from explint.nearmiss import did_you_mean
from explint.regex import regex
from explint.select import Selection, SelectorError, expand

if TYPE_CHECKING:
    import pathspec

FILE_NAME = "explint.toml"
PYPROJECT = "pyproject.toml"
MAX_BYTES = 1 << 20
"""A configuration file is written by hand; what is larger is something else."""

_TOOL_TABLE = regex(r"^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*explint\b", re.MULTILINE)


class ConfigError(ValueError):
    """A configuration that cannot be used: which file and key, what is wrong, what to write."""

    def __init__(self, path: Path, message: str, *, key: str = "", help: str = "") -> None:
        super().__init__(f"{path}: {key}: {message}" if key else f"{path}: {message}")
        self.path = path
        self.key = key
        self.help = help


class FailOn(StrEnum):
    """The least severity that makes the exit code 1; of new findings only where it says so."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEW_ERROR = "new-error"
    NEW_WARNING = "new-warning"
    NEVER = "never"

    def fails(self, severity: Severity, change: Change | None = None) -> bool:
        """Whether an open finding makes the run fail; one that was not compared counts as new."""
        if self is FailOn.NEVER:
            return False
        least = self.value.removeprefix("new-")
        if least != self.value and change is Change.UNCHANGED:
            return False
        return severity.rank <= Severity(least).rank


Selector = Annotated[
    str,
    Meta(
        min_length=1,
        description="A rule's name or code, a family, `criterion:N`, or `all`.",
        examples=["complete/todo-marker", "STR003", "structure", "criterion:5"],
    ),
]
Glob = Annotated[
    str,
    Meta(min_length=1, description="A .gitignore pattern, matched on paths inside the package."),
]

PythonVersion = Annotated[str, Meta(pattern=r"^3\.(0|[1-9][0-9]?)$", examples=["3.11"])]


class Config(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="kebab",
):
    """What a configuration file may say. Every key is optional."""

    profile: Annotated[
        str | None,
        Meta(description="Protocol profile: a built-in name, or a .toml file beside this one."),
    ] = None
    select: Annotated[
        tuple[Selector, ...],
        Meta(description="Rules to show. Empty means all stable rules."),
    ] = ()
    ignore: Annotated[
        tuple[Selector, ...],
        Meta(description="Rules to hide. The narrower of two selectors wins."),
    ] = ()
    fail_on: Annotated[
        FailOn,
        Meta(
            description="The least severity that makes the exit code 1; with `new-`, of findings "
            "that the revision compared with does not have."
        ),
    ] = FailOn.ERROR
    severity: Annotated[
        dict[Selector, Severity],
        Meta(description="Severity to report rules with. It does not change the verdict."),
    ] = {}
    per_path_ignores: Annotated[
        dict[Glob, tuple[Selector, ...]],
        Meta(description="Rules to hide in files whose path matches a pattern."),
    ] = {}
    exclude: Annotated[
        tuple[Glob, ...],
        Meta(description="Files whose findings are hidden. They still count for the verdict."),
    ] = ()
    python: Annotated[
        PythonVersion | None,
        Meta(description="Python version to judge syntax by, when requires-python should not."),
    ] = None
    preview: Annotated[
        bool,
        Meta(description="Show preview rules too."),
    ] = False
    baseline: Annotated[
        str | None,
        Meta(description="File of accepted findings, as `explint baseline create` writes it."),
    ] = None

    def python_version(self) -> tuple[int, int] | None:
        """``python`` as (major, minor)."""
        if self.python is None:
            return None
        major, _, minor = self.python.partition(".")
        return int(major), int(minor)


class ConfigFile(msgspec.Struct, frozen=True):
    """A configuration file found: its path and its table as written."""

    path: Path
    table: Mapping[str, Any]


def discover(start: Path) -> ConfigFile | None:
    """The nearest configuration of a package whose folder (or file) is ``start``, or None.

    In one folder ``explint.toml`` comes before ``pyproject.toml``. The pyproject.toml of an
    audited package may be broken: that is the package's defect and no reason to stop, so it is
    passed over unless it visibly holds a ``[tool.explint]`` table. Raises ConfigError for that
    case and for an ``explint.toml`` that is not TOML.
    """
    # resolve() also ends a symlink loop in the path; a folder that is not there has no parents
    # worth searching beyond what the file system says of it.
    folder = start.resolve()
    if not folder.is_dir():
        folder = folder.parent
    for candidate in _search_folders(folder):
        own = candidate / FILE_NAME
        if own.is_file():
            return ConfigFile(own, _parse(own))
        shared = candidate / PYPROJECT
        if shared.is_file() and (table := _tool_table(shared)) is not None:
            return ConfigFile(shared, table)
    return None


def _search_folders(folder: Path) -> list[Path]:
    folders = []
    for candidate in (folder, *folder.parents):
        folders.append(candidate)
        if (candidate / ".git").exists():
            return folders
    return [folder]


def read(path: Path) -> ConfigFile:
    """The configuration file named by the user. Raises ConfigError when it cannot be used."""
    if not path.is_file():
        raise ConfigError(path, "there is no such file")
    if path.name != PYPROJECT:
        return ConfigFile(path, _parse(path))
    table = _tool_table(path)
    if table is None:
        raise ConfigError(
            path,
            "it holds no [tool.explint] table",
            help="Add the table, or name an explint.toml.",
        )
    return ConfigFile(path, table)


@cache
def _fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    # Their types are resolved anew every time.
    return msgspec.structs.fields(Config)


def load(file: ConfigFile) -> Config:
    """Checks the table of a file and makes a Config of it.

    Raises ConfigError with the key for an unknown key (with the nearest known one) and for a value
    of the wrong type. Rule names are checked later, by Settings, since they need the rule table.
    """
    known = [f.encode_name for f in _fields()]
    for key in file.table:
        if key not in known:
            raise ConfigError(
                file.path,
                "unknown key",
                key=key,
                help=did_you_mean(key, known) or f"Known keys are {', '.join(sorted(known))}.",
            )
    try:
        return msgspec.convert(file.table, Config)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$").lstrip(".") or "the table"
        raise ConfigError(file.path, what[:1].lower() + what[1:], key=key) from None


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(path, f"not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(path, "not usable TOML: nested too deeply") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(path, f"larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(path, "not UTF-8") from None


def _tool_table(path: Path) -> dict[str, Any] | None:
    """The ``[tool.explint]`` table of a pyproject.toml, or None when it has none."""
    try:
        text = _text(path)
    except ConfigError:
        return None
    try:
        data: dict[str, Any] = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        if not _TOOL_TABLE.search(text):
            return None
        raise ConfigError(
            path,
            f"holds [tool.explint] but is not valid TOML: {error}",
            help="Repair the file, or check with --isolated to read no configuration.",
        ) from None
    tool = data.get("tool")
    if not isinstance(tool, dict) or "explint" not in tool:
        return None
    table = tool["explint"]
    if not isinstance(table, dict):
        raise ConfigError(path, "must be a table", key="tool.explint")
    return table


class Settings(msgspec.Struct, frozen=True, dict=True):
    """The configuration in force for one package, and where each value comes from.

    ``origin`` maps a key as written in a file to ``default``, to the path of the file, or to the
    command-line flag that set it.
    """

    config: Config = msgspec.field(default_factory=Config)
    file: ConfigFile | None = None
    origin: Mapping[str, str] = msgspec.field(default_factory=dict)

    def selection(self, rules: Sequence[Rule]) -> Selection:
        """The rules to show. Raises ConfigError or, for a flag, SelectorError."""
        for key in ("select", "ignore"):
            for selector in getattr(self.config, key):
                self._expand(selector, rules, key)
        return Selection.from_selectors(
            self.config.select, self.config.ignore, rules, preview=self.config.preview
        )

    def severities(self, rules: Sequence[Rule]) -> dict[str, Severity]:
        """The severity of every rule whose severity is configured; narrower selectors win."""
        chosen: dict[str, tuple[int, Severity]] = {}
        for selector, severity in self.config.severity.items():
            names, reach = self._expand(selector, rules, "severity")
            for name in names:
                if name not in chosen or reach >= chosen[name][0]:
                    chosen[name] = (reach, severity)
        return {name: severity for name, (_, severity) in chosen.items()}

    def ignored_for(self, path: str, rules: Sequence[Rule]) -> frozenset[str]:
        """The rules to hide in one file; ``path`` is relative to the package.

        Raises ConfigError when a selector or pattern means nothing.
        """
        hidden: set[str] = set()
        for spec, names in self._path_ignores(rules):
            if spec.match_file(path):
                hidden |= names
        return frozenset(hidden)

    def check(self, rules: Sequence[Rule]) -> None:
        """Raises ConfigError or SelectorError for a selector or pattern that means nothing."""
        self.selection(rules)
        self.severities(rules)
        self._path_ignores(rules)

    def _expand(self, selector: str, rules: Sequence[Rule], key: str) -> tuple[frozenset[str], int]:
        try:
            return expand(selector, rules)
        except SelectorError as error:
            if self.file is None or self.origin.get(key, "").startswith("--"):
                raise
            raise ConfigError(self.file.path, str(error), key=key, help=error.help) from None

    def _path_ignores(
        self, rules: Sequence[Rule]
    ) -> list[tuple[pathspec.GitIgnoreSpec, frozenset[str]]]:
        return [
            (spec, frozenset().union(*(self._expand(s, rules, key)[0] for s in selectors)))
            for key, spec, selectors in self._specs
        ]

    @cached_property
    def _specs(self) -> list[tuple[str, pathspec.GitIgnoreSpec, tuple[str, ...]]]:
        patterns = [
            (f'per-path-ignores."{glob}"', [glob], selectors)
            for glob, selectors in self.config.per_path_ignores.items()
        ]
        if self.config.exclude:
            patterns.append(("exclude", list(self.config.exclude), ("all",)))
        if not patterns:
            return []
        import pathspec

        specs = []
        for key, globs, selectors in patterns:
            try:
                specs.append((key, pathspec.GitIgnoreSpec.from_lines(globs), selectors))
            except ValueError as error:
                path = Path(FILE_NAME) if self.file is None else self.file.path
                raise ConfigError(path, f"not a .gitignore pattern: {error}", key=key) from None
        return specs


def resolve(
    start: Path | None,
    *,
    config: Path | None = None,
    isolated: bool = False,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """The settings of a package: defaults, then its file, then command-line flags.

    ``start`` is the package's folder, or None for an input that is not on the file system.
    ``config`` names the file instead of searching, ``isolated`` reads none. ``flags`` maps field
    names of Config to values given on the command line; None and empty ones are not given. Raises
    ConfigError.
    """
    file = None
    if config is not None:
        file = read(config)
    elif start is not None and not isolated:
        file = discover(start)
    loaded = Config() if file is None else load(file)
    if file is not None and loaded.profile is not None and loaded.profile.endswith(".toml"):
        profile = str(file.path.parent / loaded.profile)
        loaded = msgspec.structs.replace(loaded, profile=profile)
    if file is not None and loaded.baseline is not None:
        beside = str(file.path.parent / loaded.baseline)
        loaded = msgspec.structs.replace(loaded, baseline=beside)
    given = {k: v for k, v in (flags or {}).items() if v is not None and v != () and v is not False}
    origin = {}
    for f in _fields():
        if f.name in given:
            origin[f.encode_name] = f"--{f.encode_name}"
        elif file is not None and f.encode_name in file.table:
            origin[f.encode_name] = str(file.path)
        else:
            origin[f.encode_name] = "default"
    return Settings(msgspec.structs.replace(loaded, **given), file, origin)


def config_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``explint.toml`` and of ``[tool.explint]``."""
    # Through JSON, so that the defaults are lists as they will be read back.
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Config)))
    name = schema.pop("$ref").rpartition("/")[2]
    root = schema["$defs"].pop(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "explint configuration",
        "$defs": schema["$defs"],
    }
