"""The rehearsal of a package that was tried: with its environment, after its trial runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from explint.model import Severity
from explint.rehearsal.findings import findings
from explint.rehearsal.rehearse import NotRehearsedError, Rehearsal, Setting, rehearse
from explint.request import Seen
from explint.trial.campaign import Planned, TrialOptions, sentence

FOLDER = "rehearsals"
"""Below the results folder: what was rehearsed, by the contents of the package."""

EVALUATION = 8
"""The criterion that a rehearsal decides."""


def rehearsed(
    planned: Planned, options: TrialOptions, *, mode: str | None, tell: Callable[[str], None]
) -> Seen:
    """Rehearses the evaluation of a package whose trial runs have ended, all of them well.

    Raises:
        MissingExtraError: a library of the extra ``rehearsal`` is not installed.
        SandboxError: there is no sandbox, or not the one asked for.
        OSError: the results folder cannot be written.
    """
    outcomes = [job.outcome() for job in planned.jobs]
    if not outcomes or not all(outcome is not None and outcome.succeeded for outcome in outcomes):
        why = "Evaluation was not rehearsed, since not all trial runs ended well."
        return Seen(notes=(why,), complete=False)
    first = planned.jobs[0]
    folder = (options.out / FOLDER / first.source.name).resolve()
    setting = Setting(
        python=first.python,
        mode=mode,
        limits=options.limits,
        hosts=options.hosts,
        sandbox=options.sandbox,
        readable=options.readable,
        passed=options.passed,
        gpus=None if options.gpus else "",
    )

    def copy(target: Path) -> None:
        shutil.copytree(first.source, target, symlinks=True, dirs_exist_ok=True)

    try:
        found = rehearse(
            planned.profile,
            [job.run_id for job in planned.jobs if job.run_id is not None],
            package=planned.package.id,
            copy=copy,
            folder=folder,
            setting=setting,
            say=lambda text: tell(f"{planned.package.id}: {text}"),
        )
    except NotRehearsedError as error:
        return Seen(notes=(f"Evaluation was not rehearsed: {error}.",), complete=False)
    said = findings(
        planned.package, found, planned.static, planned.profile, prepared=first.prepared
    )
    well = found.decided and not any(f.severity is Severity.ERROR for f in said)
    return Seen(
        findings=tuple(said),
        settles=(EVALUATION,) if well else (),
        notes=tuple(_notes(found)),
        complete=found.decided,
    )


def _notes(found: Rehearsal) -> Iterator[str]:
    """How it went, a sentence each."""
    under = f"mode {found.mode}" if found.mode else "the only mode"
    if found.forced:
        under += ", with W&B put on"
    if found.bounded:
        under += ", bounded from outside"
    for done in found.trained:
        yield f"Rehearsal of {done.outcome.run_id} in {under}: {sentence(done.outcome)}"
    if found.evaluation is not None:
        for run in found.logged:
            keys = ", ".join(run.keys) or "no key"
            yield f"W&B then held {run.path}: {run.state}, {run.rows} rows of {keys}."
        yield f"Rehearsal of evaluation: {sentence(found.evaluation.outcome)}"
    yield from (f"W&B's stand-in refused {entry}." for entry in found.refused)
    yield from found.notes
