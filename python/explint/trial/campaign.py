"""Many packages, each with its runs: planned, done by an executor, joined with what was read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from explint import core
from explint.compose.shell import ShellProblem, split
from explint.experiment import Experiment
from explint.model import Finding, InputError, PackageReport
from explint.package import Package
from explint.pipeline import check_packages
from explint.protocol import ProfileError, choose_profile
from explint.protocol.profile import Mode, Profile
from explint.request import CheckOptions, PackageText, Seen
from explint.trial import interpreter, prepare
from explint.trial.executors import Executor
from explint.trial.job import LOST, TrialJob, appear, job_id, read_job, to_json
from explint.trial.network import Network
from explint.trial.outcome import Outcome
from explint.trial.places import Places
from explint.trial.run import Limits
from explint.trial.worker import not_started

RUNS = "runs"
SOURCES = "sources"
ENVIRONMENTS = "environments"

# All but evaluation, which no training run shows.
_CRITERIA = (1, 2, 3, 4, 5, 6, 7, 9)
_TRIAL = 9

Item = tuple[PackageReport, PackageText] | InputError


class TrialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for.

    ``out`` is the results folder. Without ``runs`` every run of a package is tried, without
    ``mode`` the protocol's first cheap one. ``command`` replaces the protocol's command line, with
    the same placeholders. ``environment`` names a prepared environment or interpreter; without it
    uv makes one, with its cache at ``uv_cache``. ``enforce`` bounds every run from outside.
    ``again`` also does what was done before.
    """

    out: Path
    runs: tuple[str, ...] = ()
    mode: str | None = None
    command: str | None = None
    overrides: tuple[str, ...] = ()
    environment: Path | None = None
    uv_cache: Path
    offline: bool = False
    limits: Limits = msgspec.field(default_factory=Limits)
    hosts: tuple[str, ...] = ()
    readable: tuple[Path, ...] = ()
    passed: tuple[str, ...] = ()
    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    observe: bool = True
    enforce: bool = False
    gpus: int = 0
    again: bool = False


class PlanError(Exception):
    """A package's runs cannot be planned; ``help`` says what to do."""

    def __init__(self, problem: str, help: str) -> None:
        super().__init__(problem)
        self.help = help


class Planned(msgspec.Struct, frozen=True):
    """A package with its static report and its jobs, or why it has none."""

    package: Package
    static: PackageReport
    profile: Profile
    jobs: tuple[TrialJob, ...] = ()
    problem: str = ""


def tried(
    packages: Iterable[Package | InputError],
    check: CheckOptions,
    options: TrialOptions,
    executor: Executor,
    *,
    tell: Callable[[str], None],
    keep: Callable[[Package, PackageReport, PackageText], None],
    then: Callable[[Planned], Seen] | None = None,
) -> Iterator[Item]:
    """Checks and tries the packages, and yields each one's report when all its runs have ended.

    The reports come in the order in which the packages are done. What was done before, by the
    outcomes in the results folder, is not done again. ``tell`` gets remarks on how it goes on,
    ``keep`` every package that is done. ``then`` is asked about each package that has runs, once
    they have ended: what it has seen goes into the report as well.

    Raises:
        ExecutorError: the executor cannot do what was asked.
    """
    waiting: list[Planned] = []
    jobs: list[TrialJob] = []
    for package in packages:
        if isinstance(package, InputError):
            yield package
            continue
        (item,) = check_packages([package], msgspec.structs.replace(check, jobs=1))
        if isinstance(item, InputError):
            yield item
            continue
        planned = _planned(package, item[0], check, options, tell)
        waiting.append(planned)
        jobs += [job for job in planned.jobs if options.again or not job.is_done()]
        known = len(planned.jobs) - sum(job in jobs for job in planned.jobs)
        if known:
            tell(f"{package.id}: {known} of {len(planned.jobs)} runs were done before")
    left = {job.id for job in jobs}
    yield from _finished(waiting, left, check, keep, then)
    for ended in executor.run(jobs) if jobs else ():
        outcome = ended.job.outcome()
        if ended.problem:
            problem = f"{LOST}{ended.problem}"
            if outcome is None:
                outcome = not_started(ended.job, problem)
            else:
                outcome = msgspec.structs.replace(outcome, problem=problem)
            appear(ended.job.result, to_json(outcome))
        left.discard(ended.job.id)
        if outcome is not None:
            tell(f"{ended.job.id}: {sentence(outcome)}")
        yield from _finished(waiting, left, check, keep, then)


def joined(
    packages: Iterable[Package | InputError], check: CheckOptions, folder: Path
) -> Iterator[Item]:
    """Checks packages and joins what the trials in a results folder saw of the same contents."""
    done: dict[str, list[TrialJob]] = {}
    for spec in sorted(folder.glob(f"{RUNS}/*/job.json")):
        try:
            job = read_job(spec)
        except (OSError, msgspec.DecodeError):
            continue
        done.setdefault(job.source.name, []).append(job)
    for package in packages:
        if isinstance(package, InputError):
            yield package
            continue
        for item in check_packages([package], msgspec.structs.replace(check, jobs=1)):
            jobs = tuple(j for j in done.get(prepare.digest_of(package), ()) if j.is_done())
            if isinstance(item, InputError) or not jobs:
                yield item
            else:
                profile = _profile(package, item[0], check)
                yield _join(Planned(package, item[0], profile, jobs), check)


def _finished(
    waiting: list[Planned],
    left: set[str],
    check: CheckOptions,
    keep: Callable[[Package, PackageReport, PackageText], None],
    then: Callable[[Planned], Seen] | None,
) -> Iterator[Item]:
    for planned in list(waiting):
        if not any(job.id in left for job in planned.jobs):
            waiting.remove(planned)
            more = then(planned) if then is not None and planned.jobs else Seen()
            item = _join(planned, check, more)
            if not isinstance(item, InputError):
                keep(planned.package, *item)
            yield item


# Planning


def _planned(
    package: Package,
    static: PackageReport,
    check: CheckOptions,
    options: TrialOptions,
    tell: Callable[[str], None],
) -> Planned:
    profile = _profile(package, static, check)
    try:
        jobs = plan(package, profile, options, tell=tell)
    except PlanError as error:
        problem = f"It was not tried: {error}. {error.help}"
        return Planned(package, static, profile, problem=problem)
    return Planned(package, static, profile, tuple(jobs))


def _profile(package: Package, static: PackageReport, check: CheckOptions) -> Profile:
    """The profile that the static report was made by."""
    named = check.flags.get("profile")
    try:
        return choose_profile(package, static.profile.name if named is None else str(named))[0]
    except ProfileError:
        # A profile of a configuration file goes by a name of its own.
        return choose_profile(package, None)[0]


def plan(
    package: Package, profile: Profile, options: TrialOptions, *, tell: Callable[[str], None]
) -> list[TrialJob]:
    """The jobs of a package, with its copy and its environment made.

    Raises:
        PlanError: there is nothing to run, or no environment to run it in.
    """
    mode = _mode(profile, options.mode)
    template = options.command
    if template is None:
        template = profile.commands.train if mode is None else profile.train_command(mode)
    if template is None:
        raise PlanError(
            f"the profile {profile.name} has no command line", "Give one with --command."
        )
    runs = _runs(package, profile, options.runs) if "{run_id}" in template else (None,)
    content = prepare.digest_of(package)
    source = (options.out / SOURCES / content).resolve()
    notes: tuple[str, ...] = ()
    if not source.is_dir():
        notes = prepare.copy_package(package, source)
    made = _environment(source, content, options, tell)
    if made.python is None:
        raise PlanError(made.problem, "See `explint trial --help` for prepared environments.")
    jobs = []
    for run_id in runs:
        bounds = _bounds(mode) if options.enforce else (None, None)
        key = (content, template, options.overrides, str(made.python), options.enforce, bounds)
        name = job_id(package.id, run_id, *key)
        folder = (options.out / RUNS / name).resolve()
        asked = _filled(template, run_id, Places(folder).results)
        job = TrialJob(
            id=name,
            package=package.id,
            run_id=run_id,
            mode=None if mode is None else mode.name,
            asked=asked,
            command=_words(asked, options.overrides),
            source=source,
            folder=folder,
            python=made.python,
            limits=options.limits,
            network=Network(hosts=options.hosts),
            sandbox=options.sandbox,
            readable=options.readable,
            passed=options.passed,
            observe=options.observe,
            enforce=options.enforce,
            batches=bounds[0],
            trials=bounds[1],
            gpus=options.gpus,
            setup_seconds=made.seconds,
            notes=(*notes, *made.notes),
            prepared=options.environment is not None,
        )
        if options.again or not job.is_done():
            job.write()
        jobs.append(job)
    return jobs


def _mode(profile: Profile, name: str | None) -> Mode | None:
    modes = profile.trial.modes
    if name is None:
        return next((mode for mode in modes if mode.cheap), None)
    found = profile.mode(name)
    if found is None:
        listed = ", ".join(mode.name for mode in modes) or "none"
        raise PlanError(f"the profile {profile.name} has no mode `{name}`", f"Modes are {listed}.")
    return found


def _bounds(mode: Mode | None) -> tuple[int, int]:
    """Batches and trials that a run gets from outside."""
    batches = None if mode is None else mode.max_batches
    trials = None if mode is None else mode.n_trials
    return (2 if batches is None else batches, 1 if trials is None else trials)


def _runs(package: Package, profile: Profile, wanted: Sequence[str]) -> tuple[str | None, ...]:
    ((facts, _),) = core.Scanner(1).scan([core.Job(package, core.FileProtocol(), 11)])
    choice = choose_profile(package, profile.name)[1]
    known = Experiment(package, profile, choice, facts).run_ids()
    if not known:
        raise PlanError(
            "it has no run config that a run could be named after",
            f"Run configs are expected as {profile.config.run_file}.",
        )
    for run_id in wanted:
        if run_id not in known:
            raise PlanError(f"it has no run `{run_id}`", f"Runs are {', '.join(known[:12])}.")
    return tuple(run_id for run_id in known if not wanted or run_id in wanted)


def _filled(template: str, run_id: str | None, results: Path) -> str:
    text = template.replace("{results_dir}", shlex.quote(str(results)))
    # The id goes in last: it is the one text that is not the protocol's.
    return text.replace("{run_id}", run_id or "")


def _words(asked: str, overrides: Sequence[str]) -> tuple[str, ...]:
    words = split(asked)
    if isinstance(words, ShellProblem):
        raise PlanError(
            f"no shell reads `{asked}` as meant: {words.message}", "Give it a plainer run id."
        )
    return (*words, *overrides)


def _environment(
    source: Path, content: str, options: TrialOptions, tell: Callable[[str], None]
) -> prepare.Prepared:
    if options.environment is not None:
        return prepare.prepared_environment(options.environment)
    folder = (options.out / ENVIRONMENTS / content).resolve()
    if not (folder / interpreter.MADE).is_file():
        tell(f"{source.name}: uv makes the environment")
    return prepare.uv_environment(
        source,
        folder,
        cache=options.uv_cache.resolve(),
        offline=options.offline,
        wish=options.sandbox,
    )


# Joining


def _join(planned: Planned, check: CheckOptions, more: Seen | None = None) -> Item:
    seen = _seen(planned)
    if more is not None:
        seen = Seen(
            findings=tuple(dict.fromkeys((*seen.findings, *more.findings))),
            settles=tuple(sorted({*seen.settles, *more.settles})),
            notes=(*seen.notes, *more.notes),
            complete=seen.complete and more.complete,
        )
    again = msgspec.structs.replace(check, jobs=1, cache=None, seen={planned.package.id: seen})
    (item,) = check_packages([planned.package], again)
    return item


def _seen(planned: Planned) -> Seen:
    """What the runs of a package add to its report."""
    from explint.trial.events import Observation, read
    from explint.trial.findings import excuse, findings, joined

    if planned.problem:
        return Seen(notes=(planned.problem,), complete=False)
    found: list[Finding] = []
    notes: list[str] = []
    decided = True
    complete = True
    for job in planned.jobs:
        outcome = job.outcome()
        if outcome is None:
            return Seen(notes=("The trial was not finished.",), complete=False)
        observation = Observation() if outcome.events is None else read(outcome.events)
        found += findings(
            planned.package,
            outcome,
            observation,
            planned.static,
            profile=planned.profile,
            prepared=job.prepared,
        )
        name = job.run_id or "its command"
        notes.append(f"Trial of {name}: {sentence(outcome)}")
        if job.prepared:
            said = excuse(
                planned.package, outcome, observation, planned.static, profile=planned.profile
            )
            notes += [said] if said and said not in notes else []
        complete = complete and not outcome.problem and not outcome.interrupted
        worked = observation.steps > 0 or bool(observation.loops)
        decided = decided and outcome.succeeded and worked
    settles: tuple[int, ...] = ()
    if decided:
        # Bounds from outside prove nothing about the package's own.
        bounded = any(job.enforce for job in planned.jobs)
        settles = tuple(n for n in _CRITERIA if not (bounded and n == _TRIAL))
    return Seen(
        findings=tuple(joined(found)), settles=settles, notes=tuple(notes), complete=complete
    )


def sentence(outcome: Outcome) -> str:
    """How a run went, in one line."""
    if not outcome.started:
        return f"it did not run: {outcome.problem}."
    how = "ended well" if outcome.succeeded else f"ended with exit code {outcome.exit_code}"
    if outcome.signal is not None:
        how = f"was ended by {outcome.signal}"
    if outcome.exceeded is not None:
        how = f"was ended at its limit of {_LIMITS[outcome.exceeded]}"
    if outcome.interrupted:
        how = "was interrupted"
    if outcome.problem:
        how = f"was ended from outside ({outcome.problem})"
    words = [f"{outcome.seconds:.1f} s on {outcome.device}"]
    if outcome.peak_memory is not None:
        words.append(f"{outcome.peak_memory / (1 << 20):,.0f} MiB of memory at most")
    if outcome.gpu_memory is not None:
        words.append(f"{outcome.gpu_memory / (1 << 20):,.0f} MiB of GPU memory at most")
    words.append(_SANDBOXES[outcome.sandbox.kind])
    words.append(_NETWORKS[outcome.sandbox.network])
    left = len(outcome.left_behind)
    more = f"; {left} processes it left behind were ended" if left else ""
    return f"it {how} ({', '.join(words)}{more})."


_LIMITS: Mapping[str, str] = {
    "wall-clock": "time",
    "memory": "memory",
    "processes": "processes",
    "file-size": "the size of a file",
    "disk": "disk space",
    "output": "output",
}
_SANDBOXES: Mapping[str, str] = {
    "bubblewrap": "sandboxed by bubblewrap",
    "landlock": "sandboxed by Landlock and seccomp",
    "none": "not sandboxed",
}
_NETWORKS: Mapping[str, str] = {
    "none": "no network",
    "loopback": "one port of this machine",
    "proxy": "allowed hosts only",
    "all": "open network",
}
