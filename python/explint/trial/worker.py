"""``python -m explint.trial.worker SPEC`` does one run and writes its outcome in one step.

This is what executors start, on this machine or another one that shares the folder. SIGTERM, by
which schedulers end a job, ends the run in good order and is told in the outcome.
"""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

from explint.trial.job import TrialJob, appear, read_job
from explint.trial.outcome import Outcome, Sandbox
from explint.trial.run import run_command
from explint.trial.sandbox import SandboxError


def main() -> int:
    """Returns 0 when the outcome is written, whatever it says."""
    job = read_job(Path(sys.argv[1]))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: stop.set())
    visible = sys.argv[2] if len(sys.argv) > 2 else None
    do(job, visible_gpus=visible, stop=stop)
    return 0


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
    for file in (places.log, job.result):
        file.unlink(missing_ok=True)
    shutil.copytree(job.source, places.package, symlinks=True)
    places = places.make()
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
            passed=(*job.passed, "CUDA_VISIBLE_DEVICES"),
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
        notes=(*job.notes, *outcome.notes),
    )
    appear(job.result, msgspec.json.encode(outcome))
    return outcome


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


def _observed(job: TrialJob, events: Path) -> dict[str, str]:
    from explint.trial.observer import Bounds, environment

    bounds = None
    if job.enforce:
        bounds = Bounds(batches=job.batches, trials=job.trials)
    return environment(events, bounds)


if __name__ == "__main__":
    sys.exit(main())
