"""The dataset that an audit writes: its rows as structs, which are its schema.

A folder holds ``audit.json`` (an ``About``) and part files in pairs of one number: a row of
``packages/part-NNNNNN.parquet`` is a ``PackageRow``, one of ``findings/part-NNNNNN.parquet`` a
``FindingRow``. The order of the fields is the order of the columns.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from explint.model import ToolInfo

DATASET_VERSION = 1
"""Raised when a column changes its meaning or goes; a new column at the end needs no other one."""

PART_ROWS = 1000
"""Packages in a part file; the last one holds the rest."""

MAX_TEXT = 8_000
"""Characters of a message, a note or a reason that a row keeps."""

MAX_LIST = 50
"""Entries of a list that a row keeps; counts beside it are of all."""

MAX_JUDGEMENT = 60_000
"""Characters of ``judgement``."""

VARYING = ("seconds", "known")
"""Columns of packages that may differ between two audits of the same packages by the same rules."""

FailureKind = Literal["input", "timeout", "memory", "crash", "error"]
State = Literal["met", "violated", "unknown"]


class UndecidedCriterion(NamedTuple):
    """Why a criterion is unknown, and what would decide it."""

    criterion: int
    reason: str
    decided_by: str


class PathReason(NamedTuple):
    """A file or folder that was not judged."""

    path: str
    reason: str


class RelatedPlace(NamedTuple):
    """Another place of the same root cause."""

    path: str
    line: int
    message: str


class PackageRow(msgspec.Struct, array_like=True, kw_only=True):
    """One package, or one input that gave none (``status`` is then ``failed``).

    ``position`` counts packages in the order in which the sources are read, from 0, without gaps;
    ``id`` is unique in an audit. ``source_kind`` is folder, file, git, archive, record, json,
    table, log, or input for what gave no package; ``source`` is the address as the caller gave it,
    ``member`` the part inside. ``series`` is the same for all versions of one package.

    For a package from git ``repository`` is the repository's name, ``branch`` the branch whose
    head it is, ``version`` the commit, ``version_order`` its place in the history (0 is the
    oldest), ``version_date`` the commit's date. A version of a package that keeps an ``id`` in
    another kind of source has ``version_order`` alone.

    Of a failed row ``failure_kind`` and ``failure`` say why, and everything that would need a
    report is null, zero or empty.

    ``criterion_1`` to ``criterion_9`` are met, violated or unknown. ``errors``, ``warnings`` and
    ``infos`` count all findings, whatever comments in the package say; ``suppressed`` counts those
    of them that such comments would hide, ``causes`` the root causes of the errors. ``content`` is
    the digest of the package's files: equal packages have equal ones. ``source_bytes`` sums up what
    was read. ``seconds`` is what the check took when it was done, ``known`` whether its result was
    taken from the cache.

    Where an LLM verdict came with the package: ``judge_ready`` and ``judge_issue`` are the verdict,
    ``claims_confirmed`` (of which ``claims_partial`` in part only), ``claims_refuted`` and
    ``claims_undecided`` count what it finds wrong by what the code says to it, ``claims_missed``
    the errors that no claim speaks of, and ``judgement`` is the comparison as JSON
    (``explint.model.judgement.JudgedPackage``; without evidence, then without claims, where it is
    too long otherwise).
    """

    position: int
    id: str
    series: str
    source_kind: str
    source: str
    member: str | None = None
    repository: str | None = None
    branch: str | None = None
    version: str | None = None
    version_order: int | None = None
    version_date: datetime | None = None
    status: Literal["judged", "failed"] = "judged"
    failure_kind: FailureKind | None = None
    failure: str | None = None
    profile: str | None = None
    profile_reason: str | None = None
    is_code_ready: bool | None = None
    code_issue: str | None = None
    complete: bool | None = None
    criterion_1: State | None = None
    criterion_2: State | None = None
    criterion_3: State | None = None
    criterion_4: State | None = None
    criterion_5: State | None = None
    criterion_6: State | None = None
    criterion_7: State | None = None
    criterion_8: State | None = None
    criterion_9: State | None = None
    undecided: tuple[UndecidedCriterion, ...] = ()
    errors: int = 0
    warnings: int = 0
    infos: int = 0
    suppressed: int = 0
    causes: int = 0
    files_scanned: int = 0
    files_skipped: int = 0
    files_failed: int = 0
    skipped: tuple[PathReason, ...] = ()
    unread: tuple[PathReason, ...] = ()
    source_bytes: int = 0
    runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    content: str | None = None
    judge_ready: bool | None = None
    judge_issue: str | None = None
    claims_confirmed: int | None = None
    claims_partial: int | None = None
    claims_refuted: int | None = None
    claims_undecided: int | None = None
    claims_missed: int | None = None
    judgement: str | None = None
    seconds: float = 0.0
    known: bool = False


class FindingRow(msgspec.Struct, array_like=True, kw_only=True):
    """One finding. ``position`` and ``package`` are those of its package.

    ``ordinal`` counts the findings of a package by place, from 0. ``cause`` numbers the root causes
    of the package's errors, from 1, the most blocking first; findings of one cause share it, and
    what is no error has none. Lines and columns are 1-based and count characters;
    ``end_line`` and ``end_column`` point just past the end. A finding about a whole file stands at
    line 1, column 1, ends there, and has no frame. ``criteria`` are the numbers of those it
    violates. ``suppressed`` says that a comment in the package would hide it, for the reason
    ``suppressed_reason``. ``frame`` is some lines of the file, the first of them line
    ``frame_line``; a long line is cut and ends with an ellipsis.
    """

    position: int
    package: str
    ordinal: int
    cause: int | None
    rule: str
    code: str
    family: str
    severity: Literal["error", "warning", "info"]
    confidence: Literal["high", "medium", "low"]
    criteria: tuple[int, ...]
    message: str
    help: str
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    fingerprint: str
    runs: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    related: tuple[RelatedPlace, ...] = ()
    suppressed: bool = False
    suppressed_reason: str | None = None
    frame_line: int | None = None
    frame: str | None = None


class Counts(msgspec.Struct, kw_only=True):
    """Sums over the rows of an audit. ``unready`` are judged and not ready."""

    packages: int = 0
    ready: int = 0
    unready: int = 0
    failed: int = 0
    incomplete: int = 0
    findings: int = 0
    errors: int = 0
    warnings: int = 0
    infos: int = 0
    suppressed: int = 0

    def add(self, row: PackageRow) -> None:
        """Counts one package in."""
        self.packages += 1
        self.failed += row.status == "failed"
        self.ready += row.is_code_ready is True
        self.unready += row.is_code_ready is False
        self.incomplete += row.complete is False
        self.findings += row.errors + row.warnings + row.infos
        self.errors += row.errors
        self.warnings += row.warnings
        self.infos += row.infos
        self.suppressed += row.suppressed


class About(msgspec.Struct, kw_only=True):
    """``audit.json``: what was audited, by what, and how far it came.

    ``sources`` are the locations as the caller gave them and ``settings`` the options that decide
    what a row says, by name. ``state`` is ``complete`` once every package has its row. ``counts``
    are of the parts that are there, ``seconds`` the time over all attempts.
    """

    kind: Literal["explint-audit"] = "explint-audit"
    dataset_version: int = DATASET_VERSION
    tool: ToolInfo
    sources: list[str]
    settings: dict[str, str | int | float | bool | list[str] | None]
    state: Literal["running", "complete"] = "running"
    parts: int = 0
    part_rows: int = PART_ROWS
    counts: Counts = msgspec.field(default_factory=Counts)
    seconds: float = 0.0
