"""``python -m explint.trial.worker SPEC`` does one run and writes its outcome in one step.

This is what executors start, on this machine or another one that shares the folder. SIGTERM, by
which schedulers end a job, ends the run in good order and is told in the outcome.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import sys
import threading
import uuid
from pathlib import Path

import msgspec

from explint.trial.job import Now, TrialJob, appear, read_job, to_json
from explint.trial.outcome import Outcome, Sandbox
from explint.trial.run import run_command
from explint.trial.sandbox import SandboxError
from explint.trial.tree import Usage

ATTEMPT = "EXPLINT_TRIAL_ATTEMPT"
"""The variable in which an executor tells the worker how often the run was begun, this time too."""

_PR_SET_PDEATHSIG = 1

_LIVE = 0.5
"""Seconds between two answers to whoever watches."""


def main() -> int:
    """Returns 0 when the outcome is written, whatever it says."""
    # Whoever started this process may be killed, and nobody would be left to end the run.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    do_spec(sys.argv[1], visible_gpus=sys.argv[2] if len(sys.argv) > 2 else None)
    return 0


def do_spec(spec: str, *, visible_gpus: str | None = None) -> None:
    """Does the job of a spec in this process, whose signals to end are obeyed in good order."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, lambda *_: stop.set())
    do(read_job(Path(spec)), visible_gpus=visible_gpus, stop=stop)


def do(
    job: TrialJob, *, visible_gpus: str | None = None, stop: threading.Event | None = None
) -> Outcome:
    """Does the run from the start, writes its outcome, and returns it.

    Without ``visible_gpus`` the run sees those that this process's environment names, as
    schedulers set them; a job that asks for no GPU gets none.
    """
    places = job.places
    # What an attempt that was lost has left behind.
    for path in (*places.writable(), places.programs):
        shutil.rmtree(path, ignore_errors=True)
    for file in (places.log, job.result, job.live):
        file.unlink(missing_ok=True)
    mine = uuid.uuid4().hex
    appear(job.owner, mine.encode())
    shutil.copytree(job.source, places.package, symlinks=True, dirs_exist_ok=True)
    places = places.make()
    if visible_gpus is None:
        visible_gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    if job.gpus == 0:
        visible_gpus = ""
    environment = dict(job.environment)
    if job.observe:
        environment.update(_observed(job, places.events))
    try:
        outcome = run_command(
            job.command,
            places=places,
            python=job.python,
            package=job.package,
            environment=environment,
            limits=job.limits,
            network=job.network,
            readable=job.readable,
            wish=job.sandbox,
            visible_gpus=visible_gpus,
            passed=job.passed,
            look=_Live(job),
            stop=stop,
        )
    except SandboxError as error:
        outcome = not_started(job, f"{error}. {error.help}")
    outcome = msgspec.structs.replace(
        outcome,
        run_id=job.run_id,
        mode=job.mode,
        asked=job.asked,
        setup_seconds=job.setup_seconds,
        host=socket.gethostname(),
        notes=(*job.notes, *_attempts(), *outcome.notes),
    )
    # An attempt that was taken for lost may still end; the one that was begun after it counts.
    if job.owner.read_text() == mine:
        appear(job.result, to_json(outcome))
    return outcome


class _Live:
    """Keeps a file that says what a run uses now, for whoever watches it."""

    def __init__(self, job: TrialJob) -> None:
        self._file = job.live
        self._last = 0.0

    def __call__(self, used: Usage, seconds: float) -> None:
        if seconds - self._last >= _LIVE or self._last == 0.0:
            self._last = seconds
            now = Now(seconds=seconds, memory=used.memory, processes=len(used.processes))
            appear(self._file, to_json(now))


def not_started(job: TrialJob, problem: str, *, interrupted: bool = False) -> Outcome:
    """The outcome of a run that was never done, or never told how it ended."""
    places = job.places
    return Outcome(
        package=job.package,
        run_id=job.run_id,
        mode=job.mode,
        command=job.command,
        asked=job.asked,
        started=False,
        interrupted=interrupted,
        problem=problem,
        setup_seconds=job.setup_seconds,
        root=places.package,
        results=places.results,
        log=places.log,
        sandbox=Sandbox(kind="none", network="none"),
        notes=job.notes,
    )


def _attempts() -> tuple[str, ...]:
    """That a scheduler began the run anew, after it had lost or put off an attempt."""
    restarts = os.environ.get("SLURM_RESTART_COUNT", "")
    attempt = int(restarts) + 1 if restarts.isdigit() else 1
    if os.environ.get(ATTEMPT, "").isdigit():
        attempt = int(os.environ[ATTEMPT])
    return () if attempt == 1 else (f"It was begun anew after it was lost (attempt {attempt}).",)


def _observed(job: TrialJob, events: Path) -> dict[str, str]:
    from explint.trial.observer import Bounds, environment

    bounds = None
    if job.enforce:
        bounds = Bounds(batches=job.batches, trials=job.trials)
    return environment(events, bounds)


if __name__ == "__main__":
    sys.exit(main())
