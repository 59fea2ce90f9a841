"""What every output format shares: the interface, the options, and where a finding is found."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, Protocol, TextIO, TypeVar
from urllib.parse import quote

import msgspec

from explint.model import Finding, PackageReport, Rule, SourceInfo, Summary, ToolInfo
from explint.report.terminal import Terminal
from explint.report.text import scalar

T = TypeVar("T", bound=msgspec.Struct)


class SourceText(Protocol):
    """The decoded text of one package's files."""

    def lines(self, path: str) -> Sequence[str] | None:
        """The lines of a file, or None when its text is not known."""
        ...


class Reporter(Protocol):
    """Writes one report. Call ``start`` once, ``add`` per package, ``finish`` once.

    ``finish`` is due after an interruption too: without it the document is cut short. The sources
    of a package may be read until the next ``add`` or ``finish`` returns.
    """

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Begins the report. ``rules`` are the rows of all rules that may appear."""
        ...

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Reports one package."""
        ...

    def finish(self, summary: Summary) -> None:
        """Ends the report with the sums over all packages."""
        ...


RULE_URL = "https://github.com/explint/explint/blob/main/docs/rules/{slug}.md"


class ReportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may choose about a report.

    ``rule_url`` is the address of a rule's page with ``{slug}`` in it, or empty for no links.
    ``verdict_detail`` adds the state of each criterion, and why those undecided are so.
    ``root`` is the folder that paths in reports for other tools are relative to; None stands for
    the working directory.
    """

    rule_url: str = RULE_URL
    verdict_detail: bool = False
    root: Path | None = None

    def page(self, rule: str) -> str | None:
        """The address of a rule's page."""
        if not self.rule_url:
            return None
        return self.rule_url.replace("{slug}", quote(scalar(rule).replace("/", "-"), safe=""))


class Place(msgspec.Struct, frozen=True):
    """Where a finding is, as another tool can open it.

    ``file`` is a path on disk, relative to the root where it lies inside it. ``inner`` is the path
    inside ``file`` when that is a container (a record, an archive): the finding's line and column
    then count in the inner file, not in ``file``.
    """

    file: str
    inner: str | None = None

    def __str__(self) -> str:
        return self.file if self.inner is None else f"{self.file}: {self.inner}"


class Places:
    """Turns paths inside packages into places.

    ``root`` is the folder that paths are relative to, None for the working directory. A path
    outside of it stays as the user gave it.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._here = Path.cwd().as_posix()
        self._root = (root or Path.cwd()).absolute().as_posix().rstrip("/") + "/"

    def of(self, source: SourceInfo, path: str) -> Place:
        """The place of a package's file."""
        if source.kind == "folder":
            return Place(self._on_disk(posixpath.join(source.location, source.member or "", path)))
        if source.kind == "file":
            return Place(self._on_disk(source.location))
        inner = posixpath.normpath(posixpath.join(source.member or "", path))
        if source.kind in ("git", "stdin"):
            return Place(inner)
        return Place(self._on_disk(source.location), inner)

    def location(self, location: str) -> str:
        """An input as the user named it, relative to the root where it lies inside it."""
        return self._on_disk(location)

    def _on_disk(self, path: str) -> str:
        path = posixpath.normpath(PurePath(path).as_posix())
        absolute = posixpath.normpath(posixpath.join(self._here, path))
        return absolute.removeprefix(self._root) if absolute.startswith(self._root) else path


class OneOrMany:
    """A reporter that writes one package otherwise than several.

    The first package waits until a second one comes or the report ends; nothing else is kept.
    """

    def __init__(self, sink: TextIO, terminal: Terminal, options: ReportOptions) -> None:
        self.sink = sink
        self.terminal = terminal
        self.options = options
        self._first: tuple[PackageReport, SourceText] | None = None
        self._several = False

    def start(self, tool: ToolInfo, rules: Sequence[Rule]) -> None:
        """Begins the report."""

    def add(self, package: PackageReport, sources: SourceText) -> None:
        """Reports one package."""
        package = clean(package)
        if self._several:
            self.package(package, sources, several=True)
        elif self._first is None:
            self._first = (package, sources)
        else:
            self._several = True
            self.package(*self._first, several=True)
            self._first = None
            self.package(package, sources, several=True)

    def finish(self, summary: Summary) -> None:
        """Ends the report."""
        if self._first is not None:
            self.package(*self._first, several=False)
            self._first = None
        self.end(clean(summary), several=self._several)

    @abstractmethod
    def package(self, package: PackageReport, sources: SourceText, *, several: bool) -> None:
        """Writes one package."""

    @abstractmethod
    def end(self, summary: Summary, *, several: bool) -> None:
        """Writes what follows the last package."""


def clean(value: T) -> T:
    """The same value without lone surrogates, which no encoder takes."""
    try:
        msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return msgspec.convert(_scalars(msgspec.to_builtins(value)), type(value))
    return value


def _scalars(value: Any) -> Any:  # noqa: ANN401 - any tree of builtins
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, dict):
        return {_scalars(k): _scalars(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_scalars(v) for v in value]
    return value


def about_whole_file(finding: Finding) -> bool:
    """Whether a finding has no place in its file, which may not even exist."""
    f = finding
    return (f.line, f.column, f.end_line, f.end_column) == (1, 1, 1, 1)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 error``, ``2 errors``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def severities(errors: int, warnings: int, infos: int) -> Iterator[tuple[str, str]]:
    """Counts that are not zero, each with the name of its severity."""
    for number, name in ((errors, "error"), (warnings, "warning"), (infos, "info")):
        if number:
            yield (counted(number, name), name)
