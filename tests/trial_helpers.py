"""Packages and jobs for the tests of trials."""

from __future__ import annotations

import sys
from pathlib import Path

from explint.trial import sandbox as sandboxes
from explint.trial.job import TrialJob
from explint.trial.run import Limits


def make_job(
    folder: Path,
    name: str,
    code: str,
    *,
    gpus: int = 0,
    seconds: float = 60,
    sandbox: sandboxes.Wish = "auto",
) -> TrialJob:
    """A job whose package is one module, with its spec written."""
    source = folder / "sources" / name
    source.mkdir(parents=True)
    (source / "main.py").write_text(code)
    job = TrialJob(
        id=name,
        package="tried",
        run_id=name,
        mode="trial",
        asked="uv run python -m main",
        command=("uv", "run", "python", "-u", "-m", "main"),
        source=source,
        folder=folder / "runs" / name,
        python=Path(sys.executable),
        limits=Limits(seconds=seconds, patience=(2, 1)),
        observe=False,
        sandbox=sandbox,
        gpus=gpus,
    )
    job.write()
    return job
