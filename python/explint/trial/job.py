"""One run to be done: everything a worker needs, as JSON."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from explint.trial.network import Network
from explint.trial.outcome import Outcome
from explint.trial.places import Places
from explint.trial.run import Limits

JOB_VERSION = 1

LOST = "lost: "
"""How the problem of a run begins that did not end by itself and may be done again."""


class TrialJob(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one package.

    ``command`` is executed in a copy of ``source`` below ``folder``, with the interpreter
    ``python``. ``batches`` and ``trials`` are bounds laid on the run from outside; None leaves it
    to the package's own switch. ``passed`` are names of variables, whose values the worker takes
    from its own environment, so that no secret is written down. ``setup_seconds`` and ``notes``
    come from what was done before.
    """

    version: int = JOB_VERSION
    id: str
    package: str
    run_id: str | None
    mode: str | None
    asked: str
    command: tuple[str, ...]
    source: Path
    folder: Path
    python: Path
    limits: Limits = msgspec.field(default_factory=Limits)
    network: Network = msgspec.field(default_factory=Network)
    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = "auto"
    readable: tuple[Path, ...] = ()
    passed: tuple[str, ...] = ()
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    observe: bool = True
    enforce: bool = False
    batches: int | None = None
    trials: int | None = None
    gpus: int = 0
    setup_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> Places:
        """Where it runs."""
        return Places(self.folder)

    @property
    def spec(self) -> Path:
        """The file that a worker is given."""
        return self.folder / "job.json"

    @property
    def result(self) -> Path:
        """The file that a worker writes, which is there once the run has ended."""
        return self.folder / "outcome.json"

    def write(self) -> None:
        """Writes the spec."""
        self.folder.mkdir(parents=True, exist_ok=True)
        appear(self.spec, msgspec.json.format(msgspec.json.encode(self), indent=2))

    def outcome(self) -> Outcome | None:
        """What became of it; None while that is not known."""
        try:
            return msgspec.json.decode(self.result.read_bytes(), type=Outcome)
        except (OSError, msgspec.DecodeError):
            return None

    def is_done(self) -> bool:
        """Whether the run has ended by itself, so that it need not be done again."""
        outcome = self.outcome()
        return (
            outcome is not None and not outcome.interrupted and not outcome.problem.startswith(LOST)
        )


def read_job(spec: Path) -> TrialJob:
    """The job of a spec.

    Raises:
        OSError, msgspec.DecodeError: there is none, or it is not one.
    """
    return msgspec.json.decode(spec.read_bytes(), type=TrialJob)


def job_id(package: str, run_id: str | None, *parts: object) -> str:
    """A name for a folder that says which run it is, and is another one when anything differs."""
    digest = hashlib.sha256("\0".join(map(repr, (package, run_id, *parts))).encode()).hexdigest()
    words = [re.sub(r"[^A-Za-z0-9_.-]+", "-", word)[-40:] for word in (package, run_id or "")]
    return "-".join([word.strip("-.") for word in words if word] + [digest[:10]])


def appear(file: Path, content: bytes) -> None:
    """Writes a file in one step: it is there whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(file)
