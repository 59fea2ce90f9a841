"""One finding: what is wrong, where, and what to write instead."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad a finding is.

    Only ``error`` decides ``is_code_ready``: a MUST of the protocol is violated or the run stops.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for error, 1 for warning, 2 for info: sorts the worst first."""
        return _RANKS[self]


_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Confidence(StrEnum):
    """How sure the rule is that the defect is real; an axis apart from severity."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class State(StrEnum):
    """Whether a finding counts towards the exit code; none of the states changes the verdict."""

    OPEN = "open"
    SUPPRESSED = "suppressed"
    BASELINE = "baseline"


class Change(StrEnum):
    """How a finding stands to the revision that the package is compared with."""

    NEW = "new"
    UNCHANGED = "unchanged"


class Related(msgspec.Struct, frozen=True, kw_only=True):
    """Another place that belongs to the same root cause."""

    path: str
    line: int
    message: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's result at a place.

    ``line`` and ``column`` are 1-based and count characters of the decoded text; ``end_line`` and
    ``end_column`` point just past the last character. A finding about the whole package stands at
    line 1, column 1 of the file it concerns, whether that file exists or not. ``change`` is None
    when nothing was compared.
    """

    rule: str
    code: str
    severity: Severity
    confidence: Confidence
    message: str
    help: str
    path: str
    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1
    criteria: tuple[int, ...] = ()
    related: tuple[Related, ...] = ()
    runs: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    fingerprint: str = ""
    state: State = State.OPEN
    reason: str | None = None
    change: Change | None = None

    @property
    def sort_key(self) -> tuple[str, int, int, str, str]:
        """The order findings are reported in: by place, then by code."""
        return (self.path, self.line, self.column, self.code, self.message)
