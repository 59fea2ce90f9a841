"""What a check is asked for, and what its answers are shown with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from explint import __version__
from explint.config import Settings, resolve
from explint.model import Finding, ToolInfo
from explint.package import Package
from explint.source import Limits

RULES_VERSION = "6"
"""Raised whenever a rule may answer differently on the same package."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial adds to what is read: findings of ``run/`` rules, and what it decided.

    ``settles`` are the criteria whose questions that only a trial run could decide it decided;
    ``notes`` go into the report. A trial that could not be done is not ``complete``.
    """

    findings: tuple[Finding, ...] = ()
    settles: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True


class CheckOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for beyond the locations.

    ``flags`` maps field names of ``explint.config.Config`` to values that beat any configuration
    file. ``jobs`` is the number of processes, 0 for one per processor. ``configured_by`` is the
    folder on disk whose packages' configuration also holds for their states in a git tree.
    Without ``use_baseline`` a configured baseline is not read. ``cache`` is the folder where
    reports are kept for packages that come again; None keeps and asks none, as it must be where
    there is something in ``seen``: what trials saw, by the id of the package.
    """

    rev: str | None = None
    isolated: bool = False
    config: Path | None = None
    flags: Mapping[str, object] = msgspec.field(default_factory=dict)
    jobs: int = 0
    configured_by: Path | None = None
    use_baseline: bool = True
    cache: Path | None = None
    seen: Mapping[str, Seen] = msgspec.field(default_factory=dict)
    limits: Limits = msgspec.field(default_factory=Limits)


class PackageText:
    """The decoded lines of a package's files, for code frames and fingerprints."""

    def __init__(self, package: Package) -> None:
        self._files = package.files
        self._lines: dict[str, Sequence[str] | None] = {}

    def lines(self, path: str) -> Sequence[str] | None:
        """The lines of a file without their line ends; None when its text is not known."""
        if path not in self._lines:
            file = self._files.get(path)
            text = None if file is None else file.text
            # str.splitlines would also split at form feeds and other characters that end no line.
            self._lines[path] = (
                None if text is None else text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            )
        return self._lines[path]


def tool_info() -> ToolInfo:
    """How reports name explint."""
    return ToolInfo(name="explint", version=__version__, rules_version=RULES_VERSION)


def cache_folder() -> Path | None:
    """Where reports are kept when nobody says otherwise; None for nowhere.

    ``EXPLINT_CACHE_DIR`` names the folder, and an empty one says that nothing is to be kept.
    """
    named = os.environ.get("EXPLINT_CACHE_DIR")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "explint"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "explint"
    return None


def settings_of(package: Package, options: CheckOptions) -> Settings:
    """What a package is judged under: its configuration, where it may have one, and the flags.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    source = package.source
    start = None
    if source.kind == "folder":
        start = Path(source.location, source.member or "")
    elif source.kind == "file":
        start = Path(source.location)
    elif options.configured_by is not None:
        start = options.configured_by / (source.member or "")
    return resolve(start, config=options.config, isolated=options.isolated, flags=options.flags)
