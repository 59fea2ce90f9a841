"""How a Python rule is written, and the table it joins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from explint.model import (
    Confidence,
    Implementation,
    Related,
    Rule,
    RuleStatus,
    Severity,
)

if TYPE_CHECKING:
    from explint.experiment import Experiment


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One violation, as a rule reports it; the rule's row supplies what is left None.

    ``message`` says in one sentence what is wrong, ``help`` in one sentence what to write instead;
    both begin with a capital letter (or code) and end with a full stop.
    """

    path: str
    message: str
    help: str
    line: int = 1
    column: int = 1
    end_line: int | None = None
    end_column: int | None = None
    related: tuple[Related, ...] = ()
    runs: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    severity: Severity | None = None
    confidence: Confidence | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """The rule cannot decide: never a finding, but the criterion is not met either."""

    reason: str
    decided_by: str
    path: str | None = None


RuleFunction = Callable[["Experiment"], Iterator[Hit | Unknown]]


class PythonRule(msgspec.Struct, frozen=True):
    """A row of the table with the function that answers it."""

    row: Rule
    function: RuleFunction


def rule(
    name: str,
    *,
    code: str,
    severity: Severity,
    criteria: tuple[int, ...],
    confidence: Confidence = Confidence.HIGH,
    profiles: tuple[str, ...] = (),
    since: str = "0.1.0",
    status: RuleStatus = RuleStatus.STABLE,
) -> Callable[[RuleFunction], PythonRule]:
    """Makes a rule of a function; its docstring becomes the rule's page.

    The first line of the docstring is the summary, the rest the page's sections.
    """

    def wrap(function: RuleFunction) -> PythonRule:
        page = row_only(
            name,
            code=code,
            severity=severity,
            criteria=criteria,
            confidence=confidence,
            profiles=profiles,
            since=since,
            status=status,
        )
        return PythonRule(row=page(function), function=function)

    return wrap


def row_only(
    name: str,
    *,
    code: str,
    severity: Severity,
    criteria: tuple[int, ...],
    confidence: Confidence = Confidence.HIGH,
    profiles: tuple[str, ...] = (),
    since: str = "0.1.0",
    status: RuleStatus = RuleStatus.STABLE,
) -> Callable[[Callable[..., object]], Rule]:
    """Makes a row of a function's docstring, for a rule that is no question over an Experiment:
    the machinery itself reports it. The function is never called.
    """

    def wrap(function: Callable[..., object]) -> Rule:
        summary, _, doc = inspect.cleandoc(function.__doc__ or "").partition("\n")
        return Rule(
            name=name,
            code=code,
            severity=severity,
            criteria=criteria,
            summary=summary.strip(),
            doc=doc.strip() + "\n",
            implementation=Implementation.PYTHON,
            confidence=confidence,
            profiles=profiles,
            since=since,
            status=status,
        )

    return wrap
