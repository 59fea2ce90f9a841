"""One package from its files to its report: scan → experiment → rules → findings → verdict."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from explint import core, syntax
from explint.baseline import Baseline, BaselineError, Entry, load, match
from explint.config import ConfigError, Settings
from explint.experiment import ENTRIES, Experiment
from explint.fingerprint import with_fingerprints
from explint.grammar import target_minor
from explint.model import (
    Confidence,
    Coverage,
    Failed,
    Finding,
    InputError,
    PackageReport,
    ProfileChoice,
    Related,
    Rule,
    Skipped,
    State,
)
from explint.package import FileState, Package
from explint.protocol import Profile, ProfileError, choose_profile
from explint.request import CheckOptions, PackageText, Seen, settings_of
from explint.rules import python_rules
from explint.rules.registry import Hit, PythonRule, Unknown
from explint.rules.table import rule_table, rules_by_name
from explint.suppress import Suppression, apply, parse
from explint.trace.facts import TraceDocument
from explint.verdict import OpenQuestion, build_verdict

_TRIAL = 9
"""The criterion about the trial."""

BATCH_PACKAGES = 32
BATCH_BYTES = 4 << 20
"""Packages are scanned in batches of about this size: enough to keep every thread busy, little
enough that memory stays flat and results appear while the rest is still being read."""


class _Job(msgspec.Struct, frozen=True):
    """A package with everything decided before the scan."""

    package: Package
    settings: Settings
    accepted: tuple[Entry, ...]
    profile: Profile
    choice: ProfileChoice
    protocol: core.FileProtocol
    minor: int
    seen: Seen


class Checker:
    """Checks packages in this process, and keeps what they have in common."""

    def __init__(self, options: CheckOptions) -> None:
        self._options = options
        self._scanner = core.Scanner(options.jobs)
        self._shared = _Shared()

    def check(
        self, packages: Iterable[Package | InputError | tuple[PackageReport, PackageText]]
    ) -> Iterator[tuple[PackageReport, PackageText] | InputError]:
        """The results in the order of the packages; results among these pass."""
        batch: list[_Job] = []
        size = 0
        # The first batches are small, so that the first results are there at once.
        room = 1
        for package in packages:
            job = (
                _prepare(package, self._options, self._shared)
                if isinstance(package, Package)
                else package
            )
            if not isinstance(job, _Job):
                yield from _flush(self._scanner, batch)
                batch, size = [], 0
                yield job
                continue
            batch.append(job)
            size += sum(len(f.data) for f in job.package.files.values() if f.data)
            if len(batch) >= room or size >= BATCH_BYTES:
                yield from _flush(self._scanner, batch)
                batch, size = [], 0
                room = min(2 * room, BATCH_PACKAGES)
        yield from _flush(self._scanner, batch)


class _Shared:
    """What many packages share and is made once: the core's part of profiles, and baselines."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Profile, core.FileProtocol]] = {}
        self._baselines: dict[str, Baseline] = {}

    def accepted(self, package: Package, file: str | None) -> tuple[Entry, ...]:
        """What a baseline accepts of a package. Raises ConfigError."""
        if file is None:
            return ()
        if file not in self._baselines:
            try:
                self._baselines[file] = load(Path(file))
            except BaselineError as error:
                raise ConfigError(error.path, error.problem, help=error.help) from None
        return self._baselines[file].of(package.id, package.source, Path(file))

    def of(self, profile: Profile) -> core.FileProtocol:
        """The part of ``profile`` that speaks of files."""
        made = self._made.get(profile.name)
        if made is None or made[0] != profile:
            files = profile.files
            protocol = core.FileProtocol(
                required=list(files.required),
                allowed=list(files.allowed),
                unexpected=list(files.unexpected),
                jobs=dict(files.jobs),
                explained_stubs=list(files.explained_stubs),
            )
            made = self._made[profile.name] = (profile, protocol)
        return made[1]


def _prepare(package: Package, options: CheckOptions, shared: _Shared) -> _Job | InputError:
    """Decides what a package is judged by. A configuration of its own that cannot be used costs
    this package only; one that the caller named ends the run."""
    source = package.source
    try:
        settings = settings_of(package, options)
        settings.check(rule_table())
        file = settings.config.baseline if options.use_baseline else None
        accepted = shared.accepted(package, file)
    except ConfigError as error:
        if options.config is not None or options.flags.get("baseline") is not None:
            raise
        return InputError(location=source.location, message=str(error), help=error.help)
    try:
        profile, choice = choose_profile(package, settings.config.profile)
    except ProfileError as error:
        if options.config is not None or options.flags.get("profile") is not None:
            raise
        return InputError(location=source.location, message=str(error), help=error.help)
    version = settings.config.python_version()
    minor = version[1] if version else target_minor(package)
    protocol = shared.of(profile)
    if source.kind == "file":
        # Nothing is known of the files around it, so none of them can be missed.
        files = [*protocol.allowed, *protocol.required]
        protocol = msgspec.structs.replace(protocol, required=[], allowed=files)
    seen = options.seen.get(package.id) or Seen()
    return _Job(package, settings, accepted, profile, choice, protocol, minor, seen)


def _flush(
    scanner: core.Scanner, batch: Sequence[_Job]
) -> Iterator[tuple[PackageReport, PackageText]]:
    if not batch:
        return
    scanned = scanner.scan(
        [core.Job(j.package, j.protocol, j.minor, _entries(j.profile)) for j in batch]
    )
    for job, (facts, document) in zip(batch, scanned, strict=True):
        yield _judge(job, facts, document)


def _entries(profile: Profile) -> Sequence[str]:
    """What to trace along with the scan: rules ask for it where a protocol names command lines."""
    return ENTRIES if profile.commands.train is not None else ()


def _judge(
    job: _Job, facts: core.PackageFacts, document: TraceDocument | None
) -> tuple[PackageReport, PackageText]:
    """Runs the Python rules over one package and puts its report together."""
    experiment = Experiment(job.package, job.profile, job.choice, facts, document)
    text = PackageText(job.package)
    rows = rules_by_name()
    findings = [_from_core(f, rows[f.rule]) for f in facts.findings]
    findings.extend(job.seen.findings)
    questions = [OpenQuestion(rows[u.rule], u.reason, u.decided_by, u.path) for u in facts.unknowns]
    crashes = [(rows[rule], path, what) for rule, path, what in facts.crashes]
    # What only a run shows is not decided by reading.
    idle = {name for name in rows if name.startswith("run/")}
    for rule in python_rules():
        if rule.row.profiles and job.profile.name not in rule.row.profiles:
            idle.add(rule.row.name)
            continue
        answers, crash = _ask(rule, experiment)
        if crash is not None:
            crashes.append((rule.row, job.profile.config.primary or "pyproject.toml", crash))
            continue
        for answer in answers:
            if isinstance(answer, Unknown):
                questions.append(
                    OpenQuestion(rule.row, answer.reason, answer.decided_by, answer.path)
                )
            else:
                findings.append(_from_hit(answer, rule.row))
    syntax.forget()
    for row, path, what in crashes:
        findings.append(_crash_finding(row, path, what))
        questions.append(OpenQuestion(row, f"the rule failed: {what}", "a repaired explint", path))
    findings = [_under(job.profile, f) for f in findings]
    findings.sort(key=lambda f: f.sort_key)

    undecided = {q.rule.name for q in questions}
    suppressed = apply(
        findings,
        _suppressions(experiment),
        rule_table(),
        decided=rows.keys() - undecided - idle,
    )
    findings = sorted((*suppressed.findings, *suppressed.problems), key=lambda f: f.sort_key)
    findings = with_fingerprints(findings, text.lines)
    required = job.protocol.required
    if job.package.source.kind == "file":
        questions.append(
            OpenQuestion(
                rows["structure/missing-file"],
                "only this file of its package was read",
                "the whole package",
            )
        )
    failed = [f for f in facts.files if f.outcome == "failed"]
    for file in failed:
        questions.extend(
            OpenQuestion(row, f"the file could not be judged: {file.reason}", "the file", file.path)
            for row in (rows["structure/unreadable-file"],)
        )
    verdict = build_verdict(
        findings,
        questions,
        missing=[
            path
            for path in required
            if job.package.state(path) is not FileState.PRESENT
            and path not in job.protocol.explained_stubs
        ],
        settled=job.seen.settles,
    )
    findings, stale = match(findings, job.accepted)
    shown, hidden = _select(findings, job.settings)
    report = PackageReport(
        id=job.package.id,
        source=job.package.source,
        profile=job.choice,
        verdict=verdict,
        coverage=_coverage(job.package, facts),
        runs=tuple(r.run_id for r in job.package.runs)
        or tuple(c.run_id for c in experiment.run_configs()),
        findings=tuple(shown),
        hidden=hidden,
        complete=not crashes and not failed and job.seen.complete,
        notes=(*job.package.notes, *job.seen.notes, *_stale_note(stale)),
    )
    return report, text


def _stale_note(stale: Sequence[Entry]) -> list[str]:
    if not stale:
        return []
    what = "entry of the baseline matches" if len(stale) == 1 else "entries of the baseline match"
    tell = "nothing any more; `explint baseline prune` removes what is repaired"
    return [f"{len(stale):,} {what} {tell}"]


def _under(profile: Profile, finding: Finding) -> Finding:
    """The finding with the severity its rule has under the protocol, and the criteria it breaks:
    what only the trial runs into keeps the trial from showing that the code works."""
    severity = profile.severity.get(finding.rule)
    if severity is not None:
        finding = msgspec.structs.replace(finding, severity=severity)
    cheap = {mode.name for mode in profile.trial.modes if mode.cheap}
    if finding.modes and cheap.issuperset(finding.modes) and _TRIAL not in finding.criteria:
        finding = msgspec.structs.replace(finding, criteria=(*finding.criteria, _TRIAL))
    return finding


def _ask(rule: PythonRule, experiment: Experiment) -> tuple[list[Hit | Unknown], str | None]:
    """A rule's answers, or what went wrong: one failing rule must not end the run."""
    try:
        return list(rule.function(experiment)), None
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a finding
        return [], f"{type(error).__name__}: {error}"


def _from_core(found: core.CoreFinding, row: Rule) -> Finding:
    return Finding(
        rule=row.name,
        code=row.code,
        severity=row.severity,
        confidence=row.confidence,
        message=found.message,
        help=found.help,
        path=found.path,
        line=found.line,
        column=found.column,
        end_line=found.end_line,
        end_column=found.end_column,
        criteria=row.criteria,
        related=tuple(Related(path=r.path, line=r.line, message=r.message) for r in found.related),
    )


def _from_hit(hit: Hit, row: Rule) -> Finding:
    return Finding(
        rule=row.name,
        code=row.code,
        severity=hit.severity or row.severity,
        confidence=hit.confidence or row.confidence,
        message=hit.message,
        help=hit.help,
        path=hit.path,
        line=hit.line,
        column=hit.column,
        end_line=hit.line if hit.end_line is None else hit.end_line,
        end_column=hit.column if hit.end_column is None else hit.end_column,
        criteria=row.criteria,
        related=hit.related,
        runs=hit.runs,
        modes=hit.modes,
    )


def _crash_finding(rule: Rule, path: str, what: str) -> Finding:
    row = rules_by_name()["internal/rule-crash"]
    return Finding(
        rule=row.name,
        code=row.code,
        severity=row.severity,
        confidence=Confidence.HIGH,
        message=f"The rule {rule.name} failed on this input and gave no answer: {what}.",
        help="Report it with the file that sets it off; the other rules are not affected.",
        path=path,
        criteria=(),
    )


def _suppressions(experiment: Experiment) -> list[Suppression]:
    found: list[Suppression] = []
    for file in experiment.facts.files:
        if file.path.endswith(".py"):
            if file.directives:
                source = experiment.text(file.path) or ""
                found.extend(parse(file.path, source, file.directives))
        elif file.path.endswith((".yaml", ".yml", ".toml")):
            source = experiment.text(file.path) or ""
            found.extend(parse(file.path, source))
    return found


def _select(findings: Sequence[Finding], settings: Settings) -> tuple[list[Finding], int]:
    """The findings to show with their configured severities, and how many are hidden."""
    rows = rule_table()
    selection = settings.selection(rows)
    severities = settings.severities(rows)
    ignored: dict[str, frozenset[str]] = {}
    shown = []
    hidden = 0
    for finding in findings:
        if finding.path not in ignored:
            ignored[finding.path] = settings.ignored_for(finding.path, rows)
        if not selection.shows(finding.rule):
            hidden += 1
            continue
        if finding.rule in ignored[finding.path] and finding.state is State.OPEN:
            finding = msgspec.structs.replace(
                finding, state=State.SUPPRESSED, reason="configured for this path"
            )
        if finding.rule in severities:
            finding = msgspec.structs.replace(finding, severity=severities[finding.rule])
        shown.append(finding)
    return shown, hidden


def _coverage(package: Package, facts: core.PackageFacts) -> Coverage:
    return Coverage(
        scanned=sum(f.outcome == "scanned" for f in facts.files),
        skipped=(
            *(Skipped(path=p, reason=r) for p, r in package.skipped_folders),
            *(Skipped(path=f.path, reason=f.reason) for f in facts.files if f.outcome == "skipped"),
        ),
        failed=tuple(
            Failed(path=f.path, reason=f.reason) for f in facts.files if f.outcome == "failed"
        ),
    )


def worker(options: CheckOptions) -> Callable[[Package], PackageReport | InputError]:
    """What a worker process of the pipeline does with each package."""
    check_one = checker(options)
    # As in the command line, see there.
    gc.set_threshold(50_000)

    def judge(package: Package) -> PackageReport | InputError:
        result = check_one(package)
        return result if isinstance(result, InputError) else result[0]

    return judge


def checker(
    options: CheckOptions,
) -> Callable[[Package], tuple[PackageReport, PackageText] | InputError]:
    """A function that checks one package at a time in this process, and keeps between two calls
    what packages have in common."""
    here = Checker(options)
    return lambda package: next(here.check([package]))
