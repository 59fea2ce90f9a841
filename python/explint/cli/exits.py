"""Exit codes: the same for every command and every output format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explint.model import Summary

CLEAN = 0
FINDINGS = 1
USAGE = 2
NOTHING = 3
INCOMPLETE = 4
INTERNAL = 101
INTERRUPTED = 130


def of_run(summary: Summary, *, failing: bool, cut_short: bool, require_complete: bool) -> int:
    """The exit code of a check that ran.

    ``failing`` says that an open finding reached ``--fail-on``; ``cut_short`` that the reader of
    the output went away before everything was checked. Findings come before input errors: they
    stand whatever else would have been found.
    """
    if summary.interrupted:
        return INTERRUPTED
    if failing:
        return FINDINGS
    if summary.input_errors:
        return USAGE
    if cut_short:
        return INCOMPLETE
    if summary.packages == 0:
        return NOTHING
    if require_complete and (summary.incomplete or summary.failed):
        return INCOMPLETE
    return CLEAN
