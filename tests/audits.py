"""Audits of made-up packages, written by the real writer: any number of rows in little time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from explint.audit.schema import (
    PART_ROWS,
    About,
    Counts,
    FailureKind,
    FindingRow,
    PackageRow,
    RelatedPlace,
)
from explint.audit.store import write_about, write_part
from explint.model import Confidence, Finding, Rule, Severity, SourceInfo
from explint.model.judgement import (
    Claim,
    ClaimKind,
    ClaimState,
    Evidence,
    JudgedPackage,
    Point,
)
from explint.request import tool_info
from explint.rules.table import rule_table

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script><!--<script>&lt;{{data}}"
"""A name that would run where it is taken for markup, and break the page where it ends a block."""

OVERRIDE = "\u202e"
"""Turns the direction of writing."""

_PROFILES = {"full-trial": 55, "trial-mode": 25, "sanity-pilot": 14, "config-runs": 6}
_FILES = ("src/train.py", "src/evaluate.py", "src/main.py", "src/model.py", "config/config.yaml")
_NAMES = ("learning_rate", "cfg.run.model", "val_accuracy", "optuna.n_trials", "run_ids", "batch")
_CODE = (
    "@hydra.main(config_path='../config', config_name='config', version_base=None)",
    "def main(cfg: DictConfig) -> None:",
    "    model = build_model(cfg.run.model)  # width and depth",
    "    run = wandb.init(project=cfg.wandb.project, mode=cfg.wandb.mode)",
    "    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.run.training.learning_rate)",
    "    for epoch in range(cfg.run.training.epochs):",
    "        train_one_epoch(model, loader, optimizer)",
)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def write_audit(folder: Path, packages: int, *, seed: int = 7, histories: int = 3) -> Counts:
    """Writes an audit of ``packages`` rows into ``folder`` and returns its sums.

    Of every hundred packages two failed, and every fifth carries a verdict. ``histories`` of the
    packages have up to 40 versions in git. The last package is full of hostile texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = _Maker(random.Random(seed))
    counts = Counts()
    rows: list[PackageRow] = []
    found: list[FindingRow] = []
    number = 0
    for position, (row, findings) in enumerate(maker.packages(packages, histories)):
        rows.append(row)
        found += findings
        counts.add(row)
        if len(rows) == PART_ROWS or position == packages - 1:
            write_part(folder, number, rows, found)
            rows, found, number = [], [], number + 1
    about = About(
        tool=tool_info(),
        sources=["corpus/", "repositories/*.git"],
        settings={"profile": None, "history": True},
        state="complete",
        parts=number,
        counts=counts,
        seconds=packages / 150,
    )
    write_about(folder, about)
    return counts


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._last = 0
        rules = [r for r in rule_table() if r.family not in ("internal", "suppression")]
        chance.shuffle(rules)
        self._rules = rules
        # A few rules make up most findings, as they do in real corpora.
        self._weights = [1 / (place + 1.5) for place in range(len(rules))]

    def packages(self, total: int, histories: int) -> Iterator[tuple[PackageRow, list[FindingRow]]]:
        position, self._last = 0, total - 1
        for repository in range(histories):
            versions = min(self._chance.randint(12, 40), (total - position) // 2)
            for order in range(versions):
                yield self._version(position, f"study-{repository + 1}", order, versions)
                position += 1
        while position < total:
            yield self._package(position)
            position += 1

    def _version(
        self, position: int, repository: str, order: int, of: int
    ) -> tuple[PackageRow, list[FindingRow]]:
        commit = hashlib.sha1(f"{repository} {order}".encode()).hexdigest()
        rest = max(0, round(7 * (1 - order / max(of - 1, 1)) + self._chance.uniform(-1.5, 1.5)))
        row, findings = self._judged(position, f"{repository}@{commit[:10]}", rest)
        return msgspec.structs.replace(
            row,
            series=repository,
            source_kind="git",
            source=f"repositories/{repository}.git",
            repository=repository,
            branch="main",
            version=commit,
            version_order=order,
            version_date=_START + timedelta(days=order),
        ), findings

    def _package(self, position: int) -> tuple[PackageRow, list[FindingRow]]:
        name = f"corpus/{position:06}-{self._chance.choice(_NAMES).replace('.', '-')}"
        if position % 100 in (17, 63):
            kind: FailureKind = "timeout" if position % 100 == 17 else "memory"
            row = PackageRow(
                position=position,
                id=name,
                series=name,
                source_kind="folder",
                source="corpus/",
                member=name,
                status="failed",
                failure_kind=kind,
                failure="the package was given up after 60 seconds",
            )
            return row, []
        errors = 0 if self._chance.random() < 0.22 else min(int(self._chance.expovariate(0.3)), 60)
        return self._judged(position, name, errors)

    def _judged(self, position: int, name: str, errors: int) -> tuple[PackageRow, list[FindingRow]]:
        chance = self._chance
        chosen = chance.choices(self._rules, self._weights, k=errors + chance.randint(0, 4))
        findings = []
        failing: dict[str, int] = {}
        for ordinal, rule in enumerate(chosen):
            cause = None
            if rule.severity is Severity.ERROR:
                cause = failing.setdefault(rule.name, len(failing) + 1)
            findings.append(self._finding(position, name, ordinal, rule, cause))
        if position == self._last:
            name = f"{HOSTILE}{OVERRIDE}"
            findings = [_hostile(f, name) for f in findings or [self._any(position, name)]]
        by = {s: sum(f.severity == s for f in findings) for s in ("error", "warning", "info")}
        violated = {n for f in findings if f.severity == "error" for n in f.criteria}
        states = {
            f"criterion_{n}": "violated" if n in violated else "unknown" if n in (3, 4) else "met"
            for n in range(1, 10)
        }
        row = msgspec.convert(
            {
                "position": position,
                "id": name,
                "series": name,
                "source_kind": "folder",
                "source": "corpus/",
                "member": name,
                "profile": chance.choices(list(_PROFILES), list(_PROFILES.values()))[0],
                "profile_reason": "the code compares mode with trial",
                "is_code_ready": not by["error"],
                "code_issue": "" if not by["error"] else "Rules are violated.",
                "complete": True,
                "undecided": [(3, "data loading is not judged yet", "a trial run")],
                "errors": by["error"],
                "warnings": by["warning"],
                "infos": by["info"],
                "causes": len(failing),
                "files_scanned": 9,
                "source_bytes": chance.randint(20_000, 60_000),
                "runs": ["proposed-cifar10", "baseline-cifar10"],
                "content": hashlib.sha256(name.encode()).hexdigest(),
                "seconds": chance.lognormvariate(-3.2, 0.5),
                **states,
            },
            _Fields,
        )
        package = PackageRow(**msgspec.structs.asdict(row))
        if position % 5 == 0:
            package = _with_verdict(package, findings)
        return package, findings

    def _any(self, position: int, name: str) -> FindingRow:
        return self._finding(position, name, 0, self._rules[0], 1)

    def _finding(
        self, position: int, name: str, ordinal: int, rule: Rule, cause: int | None
    ) -> FindingRow:
        chance = self._chance
        path = chance.choice(_FILES)
        line = chance.randint(2, len(_CODE) - 2)
        text = _CODE[line - 1]
        start = len(text) - len(text.lstrip()) + 1
        word = f"{chance.choice(_NAMES)}_{chance.randint(1, 40)}"
        return FindingRow(
            position=position,
            package=name,
            ordinal=ordinal,
            cause=cause,
            rule=rule.name,
            code=rule.code,
            family=rule.family,
            severity=rule.severity.value,
            confidence=rule.confidence.value,
            criteria=rule.criteria,
            message=f"{rule.summary.rstrip('.')}: `{word}`.",
            help=f"Give `{word}` a value in every run config, or read it with a default.",
            path=path,
            line=line,
            column=start,
            end_line=line,
            end_column=len(text) + 1,
            fingerprint=hashlib.sha1(f"{name} {ordinal}".encode()).hexdigest()[:16],
            runs=("proposed-cifar10",) if chance.random() < 0.3 else (),
            modes=("trial",) if chance.random() < 0.2 else (),
            related=(RelatedPlace("config/config.yaml", 4, "This is where it would be."),)
            if chance.random() < 0.3
            else (),
            suppressed=chance.random() < 0.02,
            frame_line=max(1, line - 2),
            frame="\n".join(_CODE[max(0, line - 3) : line + 1]),
        )


class _Fields(PackageRow, array_like=False, kw_only=True):
    """A row of packages by the names of its fields."""


def _hostile(finding: FindingRow, name: str) -> FindingRow:
    return msgspec.structs.replace(
        finding,
        package=name,
        message=f"{HOSTILE} is `{HOSTILE}`{OVERRIDE}.",
        help=HOSTILE,
        path=f"src/{HOSTILE}.py",
        related=(RelatedPlace(HOSTILE, 1, HOSTILE),),
        runs=(HOSTILE,),
        suppressed=True,
        suppressed_reason=HOSTILE,
        frame=f"{HOSTILE}\n\t{OVERRIDE}{HOSTILE}\n{HOSTILE}",
        frame_line=finding.line,
    )


def _with_verdict(row: PackageRow, findings: list[FindingRow]) -> PackageRow:
    """The row as that of a record whose judge saw the first error, and claimed what is not so."""
    errors = [f for f in findings if f.severity == "error"]
    claims = [
        Claim(
            text="`src/model.py` is empty.",
            kind=ClaimKind.PROBLEM,
            state=ClaimState.REFUTED,
            criteria=(5,),
            points=(Point(topic="an empty file", state=ClaimState.REFUTED, criteria=(5,)),),
        )
    ]
    for finding in errors[:1]:
        evidence = Evidence(
            path=finding.path, line=finding.line, text=finding.message, rule=finding.rule
        )
        point = Point(
            topic="the config",
            state=ClaimState.CONFIRMED,
            rules=(finding.rule,),
            criteria=finding.criteria,
            evidence=(evidence,),
        )
        claims.append(
            Claim(
                text=finding.message,
                kind=ClaimKind.PROBLEM,
                state=ClaimState.CONFIRMED,
                criteria=finding.criteria,
                points=(point,),
            )
        )
    judged = JudgedPackage(
        id=row.id,
        source=SourceInfo(kind="record", location=row.source),
        profile=row.profile or "",
        judge_ready=row.position % 10 == 0,
        explint_ready=bool(row.is_code_ready),
        claims=tuple(claims),
        missed=tuple(
            Finding(
                rule=f.rule,
                code=f.code,
                severity=Severity.ERROR,
                confidence=Confidence.HIGH,
                message=f.message,
                help=f.help,
                path=f.path,
                line=f.line,
                criteria=f.criteria,
            )
            for f in errors[1:]
        ),
    )
    return msgspec.structs.replace(
        row,
        judge_ready=judged.judge_ready,
        judge_issue="1. `src/model.py` is empty.",
        claims_confirmed=len(claims) - 1,
        claims_partial=0,
        claims_refuted=1,
        claims_undecided=0,
        claims_missed=len(judged.missed),
        judgement=msgspec.json.encode(judged).decode(),
    )
