"""The answer in the judge's form, and one state per criterion behind it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CriterionState(StrEnum):
    """Three-valued: what cannot be decided is unknown, and unknown is never a violation."""

    MET = "met"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """Why a criterion is unknown, and what would decide it."""

    criterion: int
    reason: str
    decided_by: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """An error finding that violates a criterion, shown in the report or not."""

    rule: str
    path: str
    line: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``is_code_ready`` is true when no error finding stands and every required file is present.

    ``criteria`` has the keys "1" to "9", and ``evidence`` those of the violated ones. Suppressions
    and baselines do not change a verdict.
    """

    is_code_ready: bool
    code_issue: str
    criteria: dict[str, CriterionState]
    undecided: tuple[Undecided, ...] = ()
    evidence: dict[str, tuple[Evidence, ...]] = {}
