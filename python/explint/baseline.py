"""A committed file of accepted findings: they are counted, but neither shown nor failing.

A baseline changes what is shown and the exit code, never the verdict.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from explint.model import Finding, PackageReport, SourceInfo, State

FILE_NAME = "explint-baseline.json"
SCHEMA_VERSION = 1


class BaselineError(ValueError):
    """A baseline that cannot be used: ``path``, ``problem``, and ``help`` on what to do."""

    def __init__(self, path: Path, problem: str, help: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
        self.help = help


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted finding. Only ``fingerprint`` is matched; the rest is for people.

    ``since`` is the day it was accepted.
    """

    fingerprint: str
    rule: str
    path: str
    message: str
    since: date


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accepted findings by package: its folder seen from the baseline's, or its id."""

    schema_version: Annotated[int, Meta(ge=1)] = SCHEMA_VERSION
    packages: dict[str, tuple[Entry, ...]] = {}

    def __len__(self) -> int:
        return sum(len(entries) for entries in self.packages.values())

    def of(self, package_id: str, source: SourceInfo, path: Path) -> tuple[Entry, ...]:
        """What this baseline, which lies at ``path``, accepts of a package."""
        return self.packages.get(package_key(package_id, source, path), ())


def load(path: Path) -> Baseline:
    """The baseline in a file. Raises BaselineError."""
    again = f"Write it anew with `explint baseline create -o {path}`."
    try:
        baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        raise BaselineError(path, "there is no such baseline", again) from None
    except OSError as error:
        problem = f"the baseline cannot be read: {error.strerror}"
        raise BaselineError(path, problem, "Check the file.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(path, f"it is no baseline: {error}", again) from None
    if baseline.schema_version != SCHEMA_VERSION:
        raise BaselineError(
            path,
            f"it has schema version {baseline.schema_version}, and this explint reads "
            f"{SCHEMA_VERSION}",
            again,
        )
    return baseline


def save(path: Path, baseline: Baseline) -> None:
    """Writes a baseline, one entry a line block, so that changes to it can be reviewed.

    Raises BaselineError.
    """
    text = msgspec.json.format(msgspec.json.encode(baseline, order="sorted"), indent=2)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_bytes(text + b"\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        problem = f"the baseline cannot be written: {error.strerror}"
        raise BaselineError(path, problem, "Choose another place with -o.") from None


def match(
    findings: Sequence[Finding], entries: Sequence[Entry]
) -> tuple[list[Finding], tuple[Entry, ...]]:
    """Marks the open findings that entries accept; also the entries that match none any more.

    ``findings`` are all of a package: one that is not shown is no reason to call an entry stale.
    """
    accepted = {entry.fingerprint: entry for entry in entries}
    found = {f.fingerprint for f in findings}
    stale = tuple(entry for entry in entries if entry.fingerprint not in found)
    return [_marked(f, accepted) for f in findings], stale


def _marked(finding: Finding, accepted: Mapping[str, Entry]) -> Finding:
    entry = accepted.get(finding.fingerprint)
    if entry is None or finding.state is not State.OPEN:
        return finding
    reason = f"in the baseline since {entry.since.isoformat()}"
    return msgspec.structs.replace(finding, state=State.BASELINE, reason=reason)


def create(
    reports: Iterable[PackageReport], path: Path, today: date, old: Baseline | None = None
) -> Baseline:
    """A baseline of every finding no comment suppresses; what ``old`` accepts keeps its day."""
    days = {
        (package, entry.fingerprint): entry.since
        for package, entries in (old.packages if old else {}).items()
        for entry in entries
    }
    packages: dict[str, tuple[Entry, ...]] = {}
    for report in reports:
        key = package_key(report.id, report.source, path)
        entries = tuple(
            Entry(
                fingerprint=f.fingerprint,
                rule=f.rule,
                path=f.path,
                message=f.message,
                since=days.get((key, f.fingerprint), today),
            )
            for f in report.findings
            if f.state is State.OPEN
        )
        if entries:
            packages[key] = entries
    return Baseline(packages=packages)


def prune(reports: Iterable[PackageReport], baseline: Baseline, path: Path) -> Baseline:
    """The baseline without entries that match nothing in ``reports`` any more.

    Entries of packages that are not among the reports stay.
    """
    packages = dict(baseline.packages)
    for report in reports:
        key = package_key(report.id, report.source, path)
        found = {f.fingerprint for f in report.findings}
        kept = tuple(e for e in packages.pop(key, ()) if e.fingerprint in found)
        if kept:
            packages[key] = kept
    return Baseline(packages=packages)


def by_rule(baseline: Baseline) -> list[tuple[str, int, date]]:
    """Rule, number of entries and the oldest day, most frequent rules first."""
    entries = [entry for some in baseline.packages.values() for entry in some]
    counts = Counter(entry.rule for entry in entries)
    oldest: dict[str, date] = {}
    for entry in entries:
        oldest[entry.rule] = min(entry.since, oldest.get(entry.rule, entry.since))
    return sorted(((r, n, oldest[r]) for r, n in counts.items()), key=lambda row: (-row[1], row[0]))


def package_key(package_id: str, source: SourceInfo, path: Path) -> str:
    """How a baseline at ``path`` names a package: by its folder where it has one on disk."""
    if source.kind not in ("folder", "git"):
        return package_id
    folder = os.path.realpath(os.path.join(source.location, source.member or ""))  # noqa: PTH118
    here = os.path.realpath(path.parent)
    return posixpath.normpath(Path(os.path.relpath(folder, here)).as_posix())
