"""A report: packages with their findings, and the sums over them."""

from __future__ import annotations

import msgspec

from explint.model.coverage import Coverage, Failed
from explint.model.finding import Change, Finding, Severity, State
from explint.model.verdict import Verdict

SCHEMA_VERSION = 1


class ToolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote the report. ``rules_version`` changes whenever a rule may answer differently."""

    name: str
    version: str
    rules_version: str


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a package came from.

    ``kind`` is folder, file, git, archive, record, json, stdin, or files for contents in memory;
    ``location`` is the path as the user gave it, with ``member`` for the part inside (a path in an
    archive, a row of a JSONL file) and ``rev`` for the commit.
    """

    kind: str
    location: str
    member: str | None = None
    rev: str | None = None


class ProfileChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The protocol profile in force, and why it was chosen."""

    name: str
    reason: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a package was compared with.

    ``against`` is the revision as the caller named it, ``base`` the commit where the two histories
    part. Without a base ``problem`` says why there is none, and every finding counts as new.
    ``fixed`` are the findings of the base that are gone, at their lines in the base.
    """

    against: str
    base: str | None = None
    problem: str = ""
    fixed: tuple[Finding, ...] = ()


class PackageReport(msgspec.Struct, frozen=True, kw_only=True):
    """One package. ``findings`` are the shown ones, in order of place.

    ``hidden`` counts findings that rule selection left out; the verdict saw them all the same.
    ``complete`` is false when a rule crashed or an input could not be read whole. ``notes`` say
    what of the input was not taken as it stood, such as a path that is given twice.
    """

    id: str
    source: SourceInfo
    profile: ProfileChoice
    verdict: Verdict
    coverage: Coverage
    runs: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    hidden: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()
    comparison: Comparison | None = None

    def unnamed_failures(self) -> tuple[Failed, ...]:
        """The failed files that no shown finding names already."""
        named = {f.path for f in self.findings if f.rule == "structure/unreadable-file"}
        return tuple(f for f in self.coverage.failed if f.path not in named)

    def new(self) -> tuple[Finding, ...]:
        """The open findings that the compared revision does not have."""
        return tuple(f for f in self.counted() if f.change is Change.NEW)

    def counted(self) -> tuple[Finding, ...]:
        """The findings that are open: neither suppressed nor in a baseline."""
        return tuple(f for f in self.findings if f.state is State.OPEN)


class InputError(msgspec.Struct, frozen=True, kw_only=True):
    """An input that gave no package: a path that is not there, a row that is not an object."""

    location: str
    message: str
    help: str = ""


class Summary(msgspec.Struct, kw_only=True):
    """Sums over all packages of a run. Files end in exactly one of the three buckets.

    ``new`` and ``fixed`` are None when nothing was compared with another revision.
    """

    packages: int = 0
    ready: int = 0
    scanned: int = 0
    skipped: int = 0
    failed: int = 0
    errors: int = 0
    warnings: int = 0
    infos: int = 0
    suppressed: int = 0
    baseline: int = 0
    new: int | None = None
    fixed: int | None = None
    hidden: int = 0
    incomplete: int = 0
    seconds: float = 0.0
    by_rule: dict[str, int] = msgspec.field(default_factory=dict)
    input_errors: list[InputError] = msgspec.field(default_factory=list)
    interrupted: bool = False

    def add(self, package: PackageReport) -> None:
        """Counts one package in."""
        self.packages += 1
        self.ready += package.verdict.is_code_ready
        self.scanned += package.coverage.scanned
        self.skipped += len(package.coverage.skipped)
        self.failed += len(package.coverage.failed)
        self.hidden += package.hidden
        self.incomplete += not package.complete
        if package.comparison is not None:
            self.new = (self.new or 0) + len(package.new())
            self.fixed = (self.fixed or 0) + len(package.comparison.fixed)
        for f in package.findings:
            if f.state is State.SUPPRESSED:
                self.suppressed += 1
                continue
            if f.state is State.BASELINE:
                self.baseline += 1
                continue
            self.errors += f.severity is Severity.ERROR
            self.warnings += f.severity is Severity.WARNING
            self.infos += f.severity is Severity.INFO
            self.by_rule[f.rule] = self.by_rule.get(f.rule, 0) + 1


class Report(msgspec.Struct, kw_only=True):
    """What ``explint.check`` returns and ``-o json`` writes."""

    schema_version: int = SCHEMA_VERSION
    tool: ToolInfo
    summary: Summary
    packages: list[PackageReport]
