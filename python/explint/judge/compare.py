"""Sets the claims of a verdict beside the findings and the files of its package."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from explint.judge.claims import Statement, is_broad, split_verdict
from explint.judge.evidence import Code, answers, as_evidence
from explint.judge.topics import TOPICS, Topic
from explint.model import Finding, InputError, PackageReport, Severity
from explint.model.judgement import (
    Claim,
    ClaimKind,
    ClaimState,
    Evidence,
    JudgedPackage,
    Point,
)
from explint.package import JudgeVerdict, Package
from explint.pipeline import check_packages
from explint.regex import regex
from explint.request import CheckOptions
from explint.source import open_sources

_CRITERION = regex(
    r"\b(?:criteri(?:on|a)|requirements?|rules?)\s*(?:no\.?\s*)?#?\s*([1-9])\b(?!\.\d)"
)
_HEDGED = regex(r"\b(?:largely|mostly|generally|broadly)\b")
_CODE = regex(r"`([^`]+)`")
_WORDS = regex(r"[A-Za-z_][\w.]*[\w]")
_DOTTED = regex(r"(?<![\w/])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|\b[a-z]\w*_\w+\b")
# Names that stand in so many findings and claims that sharing one means nothing.
_COMMON = frozenset({"src", "cfg", "config", "cfg.run", "run", "wandb", "optuna", "hydra", "self"})
_MATCHED = 2000
"""Characters of a statement that topics are looked for in."""

EXAMPLES = 3
"""Findings given against a sweeping concession."""


class NoVerdict(msgspec.Struct, frozen=True):
    """A package that no verdict came with."""

    id: str


def judged(
    locations: Sequence[str], options: CheckOptions, *, stdin: BinaryIO | None = None
) -> Iterator[JudgedPackage | NoVerdict | InputError]:
    """Compares every verdict at ``locations`` with the package it judges.

    Raises:
        ConfigError, ProfileError: the options cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    waiting: deque[Package | NoVerdict] = deque()

    def with_verdict() -> Iterator[Package | InputError]:
        for item in open_sources(locations, rev=options.rev, limits=options.limits, stdin=stdin):
            if isinstance(item, InputError):
                yield item
            elif item.record is None or item.record.verdict is None:
                waiting.append(NoVerdict(item.id))
            else:
                waiting.append(item)
                yield item

    profile = options.flags.get("profile")
    for result in check_packages(with_verdict(), options):
        while waiting and isinstance(waiting[0], NoVerdict):
            yield waiting.popleft()  # type: ignore[misc]
        if isinstance(result, InputError):
            if waiting and isinstance(waiting[0], Package) and waiting[0].id == result.location:
                waiting.popleft()
            yield result
            continue
        report, _ = result
        package = waiting.popleft()
        while isinstance(package, NoVerdict) or package.id != report.id:
            package = waiting.popleft()
        yield judge_package(package, report, profile if isinstance(profile, str) else None)
    for rest in waiting:
        if isinstance(rest, NoVerdict):
            yield rest


def judge_package(package: Package, report: PackageReport, profile: str | None) -> JudgedPackage:
    """The verdict that came with a package, claim by claim.

    Raises ValueError for a package without a verdict.
    """
    verdict = None if package.record is None else package.record.verdict
    if verdict is None:
        raise ValueError(f"no verdict came with the package {package.id}")
    claims, remarks = _claims(verdict, Code(package, report, profile))
    seen = {
        (e.rule, e.path, e.line, e.text)
        for claim in claims
        for point in claim.points
        if point.state is ClaimState.CONFIRMED
        for e in point.evidence
        if e.rule is not None
    }
    missed = [
        f
        for f in report.findings
        if f.severity is Severity.ERROR and (f.rule, f.path, f.line, f.message) not in seen
    ]
    return JudgedPackage(
        id=report.id,
        source=report.source,
        profile=report.profile.name,
        judge_ready=verdict.is_code_ready,
        explint_ready=report.verdict.is_code_ready,
        complete=report.complete,
        claims=tuple(_against_concessions(claim, missed) for claim in claims),
        missed=tuple(missed),
        remarks=tuple(remarks),
    )


def _claims(verdict: JudgeVerdict, code: Code) -> tuple[list[Claim], list[str]]:
    statements, remarks = split_verdict(verdict.code_issue)
    return [_claim(s, code) for s in _joined(statements)], remarks


def _joined(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Sentences of running text that speak of the same thing, as one statement."""
    before: Statement | None = None
    topics: set[str] = set()
    for statement in statements:
        own = {topic.title for topic in _topics(statement.text)}
        if (
            before is not None
            and before.prose
            and statement.prose
            and before.kind is statement.kind is ClaimKind.PROBLEM
            and (not own or own & topics)
        ):
            before = msgspec.structs.replace(
                before, sentences=(*before.sentences, *statement.sentences)
            )
            topics |= own
            continue
        if before is not None:
            yield before
        before, topics = statement, own
    if before is not None:
        yield before


def _topics(text: str) -> list[Topic]:
    return [topic for topic in TOPICS if topic.speaks(text[:_MATCHED])]


def _claim(statement: Statement, code: Code) -> Claim:
    text = statement.text
    files = code.files_in(text)
    names = tuple(dict.fromkeys(_names(text, files)))
    stated = _stated(statement)
    if statement.kind is ClaimKind.CONCESSION:
        return Claim(
            text=text,
            kind=statement.kind,
            state=ClaimState.UNDECIDED,
            criteria=stated,
            files=files,
            names=names,
        )
    points = list(answers(text, code))
    around = files or code.files_in(" ".join(statement.context))
    topics = _topics(text)
    points = [_with_findings(point, topics, text, around, code) for point in points]
    # What the files themselves answer is not asked of the rules again.
    answered = {point.topic for point in points}
    matched = [topic for topic in topics if topic.title not in answered]
    points += [_point(topic, text, around, code) for topic in matched]
    weak = {topic.title for topic in matched if topic.weak}
    states = {point.state for point in points}
    if ClaimState.CONFIRMED not in states:
        # Words beside what is refuted may be all that is right about the claim.
        weak -= {topic.title for topic in _topics(_unanswered(statement, code))}
    if states != {ClaimState.UNDECIDED}:
        points = [p for p in points if p.state is not ClaimState.UNDECIDED or p.topic not in weak]
    state, partial = _state(points)
    criteria = set(stated) or {
        number
        for point in points
        if state is not ClaimState.CONFIRMED or point.state is state
        for number in point.criteria
    }
    return Claim(
        text=text,
        kind=statement.kind,
        state=state,
        partial=partial,
        criteria=tuple(sorted(criteria)),
        files=files,
        names=names,
        points=tuple(points),
    )


def _unanswered(statement: Statement, code: Code) -> str:
    """The sentences of a statement that the files do not answer."""
    return " ".join(s for s in statement.sentences if not any(answers(s, code)))


def _stated(statement: Statement) -> tuple[int, ...]:
    """The criteria that a statement, or else its nearest heading, names by number."""
    for text in (statement.text, *reversed(statement.context)):
        found = {int(m[1]) for m in _CRITERION.finditer(text.lower())}
        if found:
            return tuple(sorted(found))
    return ()


def _names(text: str, files: Sequence[str]) -> Iterator[str]:
    taken = {part for path in files for part in (path, path.rpartition("/")[2])}
    for match in _CODE.finditer(text):
        if match[1] not in taken and len(match[1]) <= 80:
            yield match[1]
    for match in _DOTTED.finditer(_CODE.sub(" ", text)):
        if match.group() not in taken:
            yield match.group()


def _state(points: Sequence[Point]) -> tuple[ClaimState, bool]:
    """The state of a claim, and whether it holds in part only.

    One point that is right makes a claim right in part; to be refuted, it must be wrong in all.
    """
    states = {point.state for point in points}
    if ClaimState.CONFIRMED in states:
        return ClaimState.CONFIRMED, len(states) > 1
    if states == {ClaimState.REFUTED}:
        return ClaimState.REFUTED, False
    return ClaimState.UNDECIDED, False


def _point(topic: Topic, text: str, files: Sequence[str], code: Code) -> Point:
    found = [f for f in code.findings(*topic.rules) if _meets(topic, f, text, files)]
    reason = ""
    if not topic.rules:
        reason = "no rule looks at this"
    elif not found:
        reason = "no rule found it where the claim says, which proves nothing"
    return Point(
        topic=topic.title,
        state=ClaimState.CONFIRMED if found else ClaimState.UNDECIDED,
        rules=topic.rules,
        criteria=topic.criteria,
        evidence=tuple(as_evidence(f) for f in found),
        reason=reason,
    )


def _with_findings(
    point: Point, topics: Sequence[Topic], text: str, files: Sequence[str], code: Code
) -> Point:
    """What the files confirm, together with the findings that say the same."""
    topic = next((topic for topic in topics if topic.title == point.topic), None)
    if topic is None or point.state is not ClaimState.CONFIRMED:
        return point
    found = _point(topic, text, files, code).evidence
    return msgspec.structs.replace(point, evidence=(*found, *point.evidence))


def _meets(topic: Topic, finding: Finding, text: str, files: Sequence[str]) -> bool:
    """Whether a finding of a topic's rules is where, and about what, a claim says."""
    if topic.anchor == "anywhere":
        return True
    places = {finding.path, *(r.path for r in finding.related)}
    if files and not places.intersection(files):
        return False
    return topic.anchor != "names" or _share_a_name(finding, text)


def _share_a_name(finding: Finding, text: str) -> bool:
    told = " ".join((finding.message, *(r.message for r in finding.related)))
    theirs = {word for code in _CODE.finditer(told) for word in _WORDS.findall(code[1])}
    ours = set(_WORDS.findall(text))
    return any(
        a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")
        for a in theirs - _COMMON
        for b in ours - _COMMON
        if len(a) > 2 and len(b) > 2
    )


def _against_concessions(claim: Claim, missed: Sequence[Finding]) -> Claim:
    """A concession that everything else is right, refuted by errors that nothing else mentions."""
    if claim.kind is not ClaimKind.CONCESSION or not is_broad(claim.text):
        return claim
    if not missed or _HEDGED.search(claim.text.lower()):
        return claim
    shown: tuple[Evidence, ...] = tuple(as_evidence(f) for f in missed[:EXAMPLES])
    point = Point(
        topic="everything else",
        state=ClaimState.REFUTED,
        rules=tuple(sorted({f.rule for f in missed})),
        criteria=tuple(sorted({number for f in missed for number in f.criteria})),
        evidence=shown,
    )
    return msgspec.structs.replace(claim, state=ClaimState.REFUTED, points=(point,))
