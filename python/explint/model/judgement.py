"""What a comparison of an LLM judge's verdict with the code says.

Imported where it is needed, not with the other words of the house: only ``explint judge`` speaks of
judgements.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from explint.model.finding import Finding
from explint.model.report import InputError, SourceInfo, ToolInfo

JUDGEMENT_VERSION = 1


class ClaimState(StrEnum):
    """What the code says to a claim. ``refuted`` needs proof of the opposite in the code; that no
    rule found anything is no proof, and leaves a claim ``undecided``."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


class ClaimKind(StrEnum):
    """A ``problem`` says that something is wrong, a ``concession`` that something is right."""

    PROBLEM = "problem"
    CONCESSION = "concession"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the package that speaks for or against a claim.

    ``rule`` is the rule whose finding this is, None where the files themselves show it.
    """

    path: str
    line: int
    text: str
    rule: str | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a claim speaks of.

    ``rules`` are the rules that look at it, none where explint has no rule for it. ``reason`` says
    why an undecided point is undecided.
    """

    topic: str
    state: ClaimState
    rules: tuple[str, ...] = ()
    criteria: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    reason: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a verdict, in the judge's words.

    A claim is confirmed when a point of it is and refuted when all its points are; ``partial`` says
    that a confirmed claim has points that are not. ``files`` and ``names`` are those it mentions.
    """

    text: str
    kind: ClaimKind
    state: ClaimState
    partial: bool = False
    criteria: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()


class JudgedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose record carries a verdict.

    ``missed`` are the error findings that no claim speaks of. ``remarks`` is the text of the
    verdict that claims nothing about the code: conclusions and advice.
    """

    id: str
    source: SourceInfo
    profile: str
    judge_ready: bool
    explint_ready: bool
    complete: bool = True
    claims: tuple[Claim, ...] = ()
    missed: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()


class Agreement(msgspec.Struct, kw_only=True):
    """Packages by the two verdicts."""

    both_ready: int = 0
    both_not_ready: int = 0
    only_judge_ready: int = 0
    only_explint_ready: int = 0


class Tally(msgspec.Struct, kw_only=True):
    """Claims by state, and error findings that no claim speaks of."""

    confirmed: int = 0
    refuted: int = 0
    undecided: int = 0
    missed: int = 0


class JudgementSummary(msgspec.Struct, kw_only=True):
    """Sums over all packages with a verdict.

    ``claims`` counts what verdicts find wrong, ``concessions`` what they find right. ``partial``
    counts the confirmed claims that are so in part only. A claim counts once for each criterion it
    speaks of. ``by_rule`` counts packages: those where the rule's findings confirm a claim, those
    where a claim of its subject is refuted, and those where the rule found an error that no claim
    speaks of. ``without_verdict`` counts packages that no verdict came with.
    """

    packages: int = 0
    without_verdict: int = 0
    incomplete: int = 0
    agreement: Agreement = msgspec.field(default_factory=Agreement)
    claims: Tally = msgspec.field(default_factory=Tally)
    concessions: Tally = msgspec.field(default_factory=Tally)
    partial: int = 0
    by_criterion: dict[str, Tally] = msgspec.field(default_factory=dict)
    by_rule: dict[str, Tally] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    input_errors: list[InputError] = msgspec.field(default_factory=list)
    interrupted: bool = False

    def add(self, package: JudgedPackage) -> None:
        """Counts one package in."""
        self.packages += 1
        self.incomplete += not package.complete
        agreement = self.agreement
        agreement.both_ready += package.judge_ready and package.explint_ready
        agreement.both_not_ready += not package.judge_ready and not package.explint_ready
        agreement.only_judge_ready += package.judge_ready and not package.explint_ready
        agreement.only_explint_ready += package.explint_ready and not package.judge_ready
        for claim in package.claims:
            if claim.kind is ClaimKind.CONCESSION:
                _count(self.concessions, claim.state)
                continue
            _count(self.claims, claim.state)
            self.partial += claim.partial
            for number in claim.criteria:
                _count(self.by_criterion.setdefault(str(number), Tally()), claim.state)
        for finding in package.missed:
            self.claims.missed += 1
            for number in finding.criteria:
                self.by_criterion.setdefault(str(number), Tally()).missed += 1
        self.by_criterion = dict(sorted(self.by_criterion.items()))
        seen = {
            (rule, point.state)
            for claim in package.claims
            if claim.kind is ClaimKind.PROBLEM
            for point in claim.points
            for rule in _rules_behind(point)
        }
        for rule, state in seen:
            _count(self.by_rule.setdefault(rule, Tally()), state)
        for name in {finding.rule for finding in package.missed}:
            self.by_rule.setdefault(name, Tally()).missed += 1
        self.by_rule = dict(sorted(self.by_rule.items()))


def _rules_behind(point: Point) -> Iterator[str]:
    """The rules whose findings confirm a point, or the first of those that would have."""
    if point.state is ClaimState.CONFIRMED:
        yield from (e.rule for e in point.evidence if e.rule is not None)
    elif point.state is ClaimState.REFUTED:
        yield from point.rules[:1]


def _count(tally: Tally, state: ClaimState) -> None:
    setattr(tally, state.value, getattr(tally, state.value) + 1)


class Judgement(msgspec.Struct, kw_only=True):
    """What ``explint judge -o json`` writes."""

    schema_version: int = JUDGEMENT_VERSION
    tool: ToolInfo
    summary: JudgementSummary
    packages: list[JudgedPackage]
