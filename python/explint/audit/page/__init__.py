"""The page of an audit: one HTML file that holds its data, its program and its style.

The files beside this one are built from ``report/`` at the top of the repository. The page loads
nothing: its policy allows the script and the style that stand in it, by their digests, and no
other source of anything. Data stands in blocks of base64 (zlib, JSON) that the program unpacks:
one with a column for each figure that filters, charts and the table need, and one for every
``BLOCK`` packages with what is shown of a package when it is opened.
"""

from __future__ import annotations

import base64
import hashlib
import html
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec

from explint.audit.schema import Counts, FindingRow, PackageRow
from explint.audit.store import StoreError, read_about, read_findings, read_packages
from explint.model import CRITERIA, ToolInfo
from explint.model.judgement import JudgedPackage, JudgementSummary
from explint.regex import regex
from explint.report.base import ReportOptions
from explint.report.text import escape
from explint.rules.table import rules_by_name

PAGE_VERSION = 1
"""What the data and the program that reads it have to agree on."""

PACKAGES = 20_000
"""Packages that a page holds unless told otherwise: some tens of megabytes at most."""

BLOCK = 100

LONGEST = 2_000
"""Characters of a text in the columns, so that one strange package does not make the page slow."""

_LETTERS = {"met": "m", "violated": "v", "unknown": "u", None: "-"}
# What a browser would act on, or not show at all, when it stands in a text.
_UNSEEN = regex("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class _Columns(msgspec.Struct, kw_only=True):
    id: list[str] = msgspec.field(default_factory=list)
    profile: list[int] = msgspec.field(default_factory=list)
    place: list[int] = msgspec.field(default_factory=list)
    series: list[int] = msgspec.field(default_factory=list)
    order: list[int | None] = msgspec.field(default_factory=list)
    version: list[str | None] = msgspec.field(default_factory=list)
    verdict: str = ""
    criteria: str = ""
    errors: list[int] = msgspec.field(default_factory=list)
    warnings: list[int] = msgspec.field(default_factory=list)
    infos: list[int] = msgspec.field(default_factory=list)
    first: list[int] = msgspec.field(default_factory=list)
    seconds: list[float] = msgspec.field(default_factory=list)
    findings: list[int] = msgspec.field(default_factory=list)


class _FindingColumns(msgspec.Struct, kw_only=True):
    rule: list[int] = msgspec.field(default_factory=list)
    message: list[int] = msgspec.field(default_factory=list)
    path: list[int] = msgspec.field(default_factory=list)


class _Rule(msgspec.Struct, kw_only=True):
    name: str
    code: str
    severity: str
    criteria: tuple[int, ...]
    summary: str
    page: str | None


class _Overview(msgspec.Struct, kw_only=True):
    version: int = PAGE_VERSION
    name: str
    tool: ToolInfo
    sources: list[str]
    seconds: float
    complete: bool
    counts: Counts
    criteria: list[str]
    rules: list[_Rule]
    profiles: list[str]
    places: list[str]
    series: list[str]
    messages: list[str]
    paths: list[str]
    packages: _Columns
    findings: _FindingColumns
    block: int = BLOCK
    judgement: JudgementSummary | None


class _FindingDetail(msgspec.Struct, kw_only=True):
    cause: int | None
    confidence: str
    line: int
    column: int
    end_line: int
    end_column: int
    help: str
    related: list[tuple[str, int, str]]
    runs: tuple[str, ...]
    modes: tuple[str, ...]
    suppressed: str | None
    frame_line: int | None
    frame: str | None


class _Detail(msgspec.Struct, kw_only=True):
    source: str
    repository: str | None
    branch: str | None
    version: str | None
    date: str | None
    profile_reason: str | None
    issue: str | None
    failure_kind: str | None
    failure: str | None
    undecided: list[tuple[int, str, str]]
    files: tuple[int, int, int]
    unread: list[tuple[str, str]]
    runs: tuple[str, ...]
    notes: tuple[str, ...]
    judge_ready: bool | None
    judge_issue: str | None
    claims: list[object]
    missed: list[object]
    findings: list[_FindingDetail]


def write_page(
    folder: Path,
    *,
    title: str | None = None,
    packages: int = PACKAGES,
    frames: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> str:
    """The page of the audit in ``folder``, as text.

    Args:
        folder: What ``explint audit --out`` wrote.
        title: What the page is headed by; the folder's name when None.
        packages: The most packages that the page holds. Of a larger audit it holds that many,
            picked evenly over the order of the audit; sums at the top are of all.
        frames: Whether lines of the packages' files stand in the page.
        advance: Called for each package that the page takes in.

    Raises:
        StoreError: there is no audit in the folder, or a part of it is damaged.
    """
    about = read_about(folder)
    content = _Content(frames=frames)
    total = about.counts.packages
    for row, findings in _chosen(folder, total, packages):
        content.add(row, findings)
        advance()
    name = title or f"Audit {folder.resolve().name}"
    data = content.blocks()
    overview = _Overview(
        name=_shown(name),
        tool=about.tool,
        sources=[_shown(source) for source in about.sources[:50]],
        seconds=about.seconds,
        complete=about.state == "complete",
        counts=about.counts,
        criteria=[criterion.title for criterion in CRITERIA.values()],
        rules=content.rules,
        profiles=content.profiles.texts,
        places=content.places.texts,
        series=content.series.texts,
        messages=content.messages.texts,
        paths=content.paths.texts,
        packages=content.columns(),
        findings=content.found,
        judgement=content.judged if content.judged.packages else None,
    )
    return _assembled(name, overview, data)


def _chosen(folder: Path, total: int, most: int) -> Iterator[tuple[PackageRow, list[FindingRow]]]:
    """The packages of a page, with their findings, in order."""
    wanted = None if total <= most else {number * total // most for number in range(most)}
    findings = iter(read_findings(folder))
    after = next(findings, None)
    for row in read_packages(folder):
        own = []
        while after is not None and after.position <= row.position:
            own.append(after)
            after = next(findings, None)
        if wanted is None or row.position in wanted:
            yield row, own


class _Names:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """The number of a text; -1 for none."""
        if text is None:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(_shown(text))
        return self._numbers[text]


class _Content:
    """Packages as columns and details, taken in one after the other."""

    def __init__(self, *, frames: bool) -> None:
        self._frames = frames
        self._known = rules_by_name()
        self._pages = ReportOptions()
        self._numbers: dict[str, int] = {}
        self._blocks: list[str] = []
        self._details: list[_Detail] = []
        self._verdicts: list[str] = []
        self._criteria: list[str] = []
        self._series: list[str | None] = []
        self._packages = _Columns()
        self.rules: list[_Rule] = []
        self.found = _FindingColumns()
        self.profiles, self.places, self.series = _Names(), _Names(), _Names()
        self.messages, self.paths = _Names(), _Names()
        self.judged = JudgementSummary()

    def add(self, row: PackageRow, findings: Sequence[FindingRow]) -> None:
        """Takes in one package."""
        columns = self._packages
        columns.id.append(_shown(row.id))
        columns.profile.append(self.profiles.number(row.profile))
        columns.place.append(self.places.number(row.repository or row.source))
        self._series.append(row.series if row.version_order is not None else None)
        columns.order.append(row.version_order)
        columns.version.append(None if row.version is None else _shown(row.version))
        ready = {True: "r", False: "n", None: "f"}[row.is_code_ready]
        self._verdicts.append(ready if row.status == "judged" else "f")
        states = (getattr(row, f"criterion_{number}") for number in range(1, 10))
        self._criteria.append("".join(_LETTERS[state] for state in states))
        columns.errors.append(row.errors)
        columns.warnings.append(row.warnings)
        columns.infos.append(row.infos)
        columns.seconds.append(round(row.seconds, 4))
        columns.findings.append(len(findings))
        first = next((f for f in findings if f.cause == 1), None)
        for finding in findings:
            self.found.rule.append(self._rule(finding))
            self.found.message.append(self.messages.number(finding.message))
            self.found.path.append(self.paths.number(finding.path))
        columns.first.append(-1 if first is None else self._rule(first))
        judged = _judged(row)
        if judged is not None:
            self.judged.add(judged)
        self._details.append(self._detail(row, findings, judged))
        if len(self._details) == BLOCK:
            self._close_block()

    def blocks(self) -> list[str]:
        """The blocks of details, packed."""
        if self._details:
            self._close_block()
        return self._blocks

    def columns(self) -> _Columns:
        """The columns of all packages."""
        several: dict[str, int] = {}
        for series in self._series:
            if series is not None:
                several[series] = several.get(series, 0) + 1
        columns = self._packages
        columns.series = [
            self.series.number(series) if series is not None and several[series] > 1 else -1
            for series in self._series
        ]
        columns.verdict = "".join(self._verdicts)
        columns.criteria = "".join(self._criteria)
        return columns

    def _close_block(self) -> None:
        self._blocks.append(_packed(self._details))
        self._details = []

    def _rule(self, finding: FindingRow) -> int:
        name = finding.rule
        if name not in self._numbers:
            row = self._known.get(name)
            self._numbers[name] = len(self.rules)
            self.rules.append(
                _Rule(
                    name=_shown(name),
                    code=_shown(finding.code),
                    severity=finding.severity,
                    criteria=finding.criteria,
                    summary="" if row is None else row.summary,
                    # An audit of another version may hold rules that have no page.
                    page=None if row is None else self._pages.page(name),
                )
            )
        return self._numbers[name]

    def _detail(
        self, row: PackageRow, findings: Sequence[FindingRow], judged: JudgedPackage | None
    ) -> _Detail:
        return _Detail(
            source=_shown(row.source if row.member is None else f"{row.source}: {row.member}"),
            repository=_maybe(row.repository),
            branch=_maybe(row.branch),
            version=_maybe(row.version),
            date=None if row.version_date is None else row.version_date.date().isoformat(),
            profile_reason=_maybe(row.profile_reason),
            issue=_maybe(row.code_issue),
            failure_kind=row.failure_kind,
            failure=_maybe(row.failure),
            undecided=[
                (u.criterion, _shown(u.reason), _shown(u.decided_by)) for u in row.undecided
            ],
            files=(row.files_scanned, row.files_skipped, row.files_failed),
            unread=[(_shown(entry.path), _shown(entry.reason)) for entry in row.unread],
            runs=tuple(map(_shown, row.runs)),
            notes=tuple(map(_shown, row.notes)),
            judge_ready=row.judge_ready,
            judge_issue=None if row.judge_issue is None else _lines(row.judge_issue),
            claims=[] if judged is None else [_plain(claim) for claim in judged.claims],
            missed=[]
            if judged is None
            else [
                {"rule": f.rule, "path": _shown(f.path), "line": f.line, "message": f.message}
                for f in judged.missed
            ],
            findings=[self._finding(finding) for finding in findings],
        )

    def _finding(self, finding: FindingRow) -> _FindingDetail:
        framed = self._frames and finding.frame is not None
        return _FindingDetail(
            cause=finding.cause,
            confidence=finding.confidence,
            line=finding.line,
            column=finding.column,
            end_line=finding.end_line,
            end_column=finding.end_column,
            help=_shown(finding.help),
            related=[(_shown(r.path), r.line, _shown(r.message)) for r in finding.related],
            runs=tuple(map(_shown, finding.runs)),
            modes=finding.modes,
            suppressed=_shown(finding.suppressed_reason or "") if finding.suppressed else None,
            frame_line=finding.frame_line if framed else None,
            frame=_lines(finding.frame or "") if framed else None,
        )


def _judged(row: PackageRow) -> JudgedPackage | None:
    if row.judgement is None:
        return None
    try:
        return msgspec.json.decode(row.judgement, type=JudgedPackage)
    except msgspec.DecodeError as problem:
        raise StoreError(
            f"the judgement of the package {row.id} cannot be read: {problem}",
            "The audit was written by another version: use that one, or write the audit anew.",
        ) from None


def _plain(value: object) -> object:
    """A struct as JSON has it, its texts without what a browser would act on."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, str):
        return _lines(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _shown(text: str) -> str:
    """A text on one line; what is not to be seen stands as its escape."""
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return _UNSEEN.sub(lambda m: escape(m[0]), text.replace("\n", " "))


def _maybe(text: str | None) -> str | None:
    return None if text is None else _shown(text)


def _lines(text: str) -> str:
    """A text over several lines."""
    return _UNSEEN.sub(lambda m: escape(m[0]), text)


def _packed(value: object) -> str:
    return base64.b64encode(zlib.compress(msgspec.json.encode(value), 9)).decode()


def _assembled(title: str, overview: _Overview, details: Sequence[str]) -> str:
    """The page: the skeleton with its policy, style, data and program put in."""
    folder = files(__package__)
    script = (folder / "page.js").read_text(encoding="utf-8").strip()
    style = (folder / "style.css").read_text(encoding="utf-8").strip()
    blocks = [("overview-data", _packed(overview))]
    blocks += [(f"details-{number}", block) for number, block in enumerate(details)]
    pieces = {
        "policy": html.escape(_policy(script, style)),
        "title": html.escape(_shown(title)),
        "style": style,
        # A type that no browser runs.
        "data": "\n".join(
            f'<script type="text/plain" id="{name}">{block}</script>' for name, block in blocks
        ),
        "script": script,
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    # One pass: a placeholder inside of what was put in stays as it is.
    return regex(r"\{\{(\w+)\}\}").sub(lambda m: pieces[m[1]], page)


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{digest(script)}'",
            f"style-src 'sha256-{digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            # No text becomes markup: the browser refuses to take any as such.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
