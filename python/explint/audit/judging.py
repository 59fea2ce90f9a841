"""What becomes of one package: its rows, made where it is checked and kept as bytes.

The rows leave out what depends on where the package was found; ``place`` puts that in.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Sequence

import msgspec

from explint import __version__
from explint.audit.schema import (
    MAX_JUDGEMENT,
    MAX_LIST,
    MAX_TEXT,
    FailureKind,
    FindingRow,
    PackageRow,
    PathReason,
    RelatedPlace,
    UndecidedCriterion,
)
from explint.checker import checker
from explint.core import FACTS_VERSION
from explint.model import Finding, InputError, PackageReport, Severity, State
from explint.package import Package
from explint.report.base import clean
from explint.request import RULES_VERSION, CheckOptions, PackageText
from explint.trace.facts import TRACE_VERSION
from explint.verdict import causes

FRAME_BEFORE = 2
FRAME_LINES = 8
FRAME_WIDTH = 240
"""Lines of a code frame before its finding and in all, and characters of each."""


class Answer(msgspec.Struct, array_like=True):
    """The rows of one package, before ``place``."""

    package: PackageRow
    findings: list[FindingRow]


class JudgingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict depends on beside the package: options of ``explint check``."""

    profile: str | None = None
    python: str | None = None


def worker(options: JudgingOptions) -> Callable[[Package], bytes]:
    """What a worker process does with each package: an encoded ``Answer``."""
    judge = Judge(options)
    # As in the command line, see there.
    gc.set_threshold(50_000)
    return judge.answer


class Judge:
    """Judges packages in this process."""

    def __init__(self, options: JudgingOptions) -> None:
        # What a package says of itself is not obeyed: `isolated` reads no configuration of it, and
        # suppressed findings count as any other.
        flags = {"profile": options.profile, "python": options.python}
        self._profile = options.profile
        self._check = checker(CheckOptions(isolated=True, flags=flags, jobs=1))

    def answer(self, package: Package) -> bytes:
        """The rows of a package as bytes, which ``decode`` reads."""
        started = time.perf_counter()
        result = self._check(package)
        if isinstance(result, InputError):
            answer = failed("error", result.message)
        else:
            report, text = result
            answer = self.rows(package, report, text)
        answer.package.seconds = time.perf_counter() - started
        return encode(answer)

    def rows(self, package: Package, report: PackageReport, text: PackageText) -> Answer:
        """The rows of a package that was judged, by reading or by a trial too."""
        findings = _findings(report.findings, text)
        states: dict[str, str] = {
            f"criterion_{number}": state.value for number, state in report.verdict.criteria.items()
        }
        coverage = report.coverage
        row = PackageRow(
            position=0,
            id="",
            series="",
            source_kind="",
            source="",
            profile=report.profile.name,
            profile_reason=_cut(report.profile.reason),
            is_code_ready=report.verdict.is_code_ready,
            code_issue=report.verdict.code_issue,
            complete=report.complete,
            undecided=tuple(
                UndecidedCriterion(u.criterion, _cut(u.reason), _cut(u.decided_by))
                for u in report.verdict.undecided[:MAX_LIST]
            ),
            errors=sum(f.severity is Severity.ERROR for f in report.findings),
            warnings=sum(f.severity is Severity.WARNING for f in report.findings),
            infos=sum(f.severity is Severity.INFO for f in report.findings),
            suppressed=sum(f.state is State.SUPPRESSED for f in report.findings),
            causes=max((f.cause or 0 for f in findings), default=0),
            files_scanned=coverage.scanned,
            files_skipped=len(coverage.skipped),
            files_failed=len(coverage.failed),
            skipped=tuple(PathReason(s.path, _cut(s.reason)) for s in coverage.skipped[:MAX_LIST]),
            unread=tuple(PathReason(f.path, _cut(f.reason)) for f in coverage.failed[:MAX_LIST]),
            source_bytes=sum(len(f.data) for f in package.files.values() if f.data),
            runs=report.runs[:MAX_LIST],
            notes=tuple(map(_cut, report.notes[:MAX_LIST])),
        )
        for name, state in states.items():
            setattr(row, name, state)
        if package.record is not None and package.record.verdict is not None:
            self._judgement(row, package, report)
        return Answer(row, findings)

    def _judgement(self, row: PackageRow, package: Package, report: PackageReport) -> None:
        from explint.judge.compare import judge_package
        from explint.model.judgement import ClaimKind, JudgementSummary

        judged = judge_package(package, report, self._profile)
        sums = JudgementSummary()
        sums.add(judged)
        row.judge_ready = judged.judge_ready
        assert package.record is not None
        assert package.record.verdict is not None
        row.judge_issue = _cut(package.record.verdict.code_issue)
        row.claims_confirmed = sums.claims.confirmed
        row.claims_partial = sums.partial
        row.claims_refuted = sums.claims.refuted
        row.claims_undecided = sums.claims.undecided
        row.claims_missed = sums.claims.missed
        replace = msgspec.structs.replace
        bare = tuple(
            replace(claim, points=tuple(replace(point, evidence=()) for point in claim.points))
            for claim in judged.claims
        )
        problems = tuple(claim for claim in bare if claim.kind is ClaimKind.PROBLEM)
        for smaller in (
            judged,
            replace(judged, missed=(), remarks=(), claims=bare),
            replace(judged, missed=(), remarks=(), claims=problems),
        ):
            row.judgement = msgspec.json.encode(smaller).decode()
            if len(row.judgement) <= MAX_JUDGEMENT:
                return
        row.judgement = msgspec.json.encode(replace(judged, missed=(), remarks=(), claims=()))[
            :MAX_JUDGEMENT
        ].decode()


def _findings(findings: Sequence[Finding], text: PackageText) -> list[FindingRow]:
    errors = [f for f in findings if f.severity is Severity.ERROR]
    numbers = {id(f): n for n, group in enumerate(causes(errors), 1) for f in group}
    rows = []
    for ordinal, f in enumerate(findings):
        start, frame = _frame(f, text)
        rows.append(
            FindingRow(
                position=0,
                package="",
                ordinal=ordinal,
                cause=numbers.get(id(f)),
                rule=f.rule,
                code=f.code,
                family=f.rule.partition("/")[0],
                severity=f.severity.value,
                confidence=f.confidence.value,
                criteria=f.criteria,
                message=_cut(f.message),
                help=_cut(f.help),
                path=f.path,
                line=f.line,
                column=f.column,
                end_line=f.end_line,
                end_column=f.end_column,
                fingerprint=f.fingerprint,
                runs=f.runs[:MAX_LIST],
                modes=f.modes[:MAX_LIST],
                related=tuple(
                    RelatedPlace(r.path, r.line, _cut(r.message)) for r in f.related[:MAX_LIST]
                ),
                suppressed=f.state is State.SUPPRESSED,
                suppressed_reason=None if f.reason is None else _cut(f.reason),
                frame_line=start,
                frame=frame,
            )
        )
    return rows


def _frame(f: Finding, text: PackageText) -> tuple[int, str] | tuple[None, None]:
    """The lines around a finding; none for one about a whole file."""
    if (f.line, f.column, f.end_line, f.end_column) == (1, 1, 1, 1):
        return None, None
    lines = text.lines(f.path)
    if lines is None or not 1 <= f.line <= len(lines):
        return None, None
    start = max(f.line - FRAME_BEFORE, 1)
    end = min(max(f.end_line, f.line) + 1, start + FRAME_LINES - 1, len(lines))
    return start, "\n".join(_cut(line, FRAME_WIDTH) for line in lines[start - 1 : end])


def _cut(text: str, most: int = MAX_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def failed(kind: FailureKind, why: str) -> Answer:
    """The row of what could not be judged."""
    row = PackageRow(
        position=0,
        id="",
        series="",
        source_kind="",
        source="",
        status="failed",
        failure_kind=kind,
        failure=_cut(why),
    )
    return Answer(row, [])


def encode(answer: Answer) -> bytes:
    """An answer as bytes."""
    try:
        return _ENCODER.encode(answer)
    except UnicodeEncodeError:
        return _ENCODER.encode(clean(answer))


def decode(data: bytes) -> Answer:
    """The answer that bytes stand for. Raises msgspec.DecodeError."""
    return _DECODER.decode(data)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Answer)


def judging_key(options: JudgingOptions) -> bytes:
    """What of explint and its options decides a verdict, a profile's file by its content."""
    profile = options.profile or ""
    said = [__version__, RULES_VERSION, str(FACTS_VERSION), str(TRACE_VERSION), profile]
    said.append(options.python or "")
    data = "\0".join(said).encode()
    if options.profile is not None:
        from explint.protocol import load_profile

        data += msgspec.msgpack.encode(load_profile(options.profile))
    return hashlib.sha256(data).digest()
