"""One run to be done: everything a worker needs, as JSON."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from explint.trial.network import Network
from explint.trial.outcome import Outcome
from explint.trial.places import Places
from explint.trial.run import Limits

T = TypeVar("T")

JOB_VERSION = 1

LOST = "lost: "
"""How the problem of a run begins that did not end by itself and may be done again."""


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What a run uses at a moment: bytes of memory, processes, seconds since it began."""

    seconds: float
    memory: int
    processes: int


class TrialJob(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one package.

    ``command`` is executed in a copy of ``source`` below ``folder``, with the interpreter
    ``python``; ``prepared`` says that its environment was given, not made from the package.
    ``batches`` and ``trials`` are bounds laid on the run from outside when ``enforce`` is set.
    ``passed`` are names of variables, whose values the worker takes from its own environment, so
    that no secret is written down. ``setup_seconds`` and ``notes`` come from what was done before.
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
    prepared: bool = False

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

    @property
    def owner(self) -> Path:
        """The file that names the attempt that counts."""
        return self.folder / "attempt"

    @property
    def live(self) -> Path:
        """The file that says what the run uses now."""
        return self.folder / "live.json"

    def now(self) -> Now | None:
        """What the run uses now; None when nobody does it, or that is not known."""
        try:
            return from_json(self.live.read_bytes(), Now)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self) -> None:
        """Writes the spec."""
        self.folder.mkdir(parents=True, exist_ok=True)
        appear(self.spec, msgspec.json.format(to_json(self), indent=2))

    def outcome(self) -> Outcome | None:
        """What became of it; None while that is not known."""
        try:
            return from_json(self.result.read_bytes(), Outcome)
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
    return from_json(spec.read_bytes(), TrialJob)


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


def to_json(value: msgspec.Struct) -> bytes:
    """JSON in which a path is a string."""
    return msgspec.json.encode(value, enc_hook=_path_to_text)


def from_json(data: bytes, kind: type[T]) -> T:
    """The struct that ``to_json`` wrote. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=kind, dec_hook=_path_from_text)


def _path_to_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be JSON")


def _path_from_text(kind: type[T], value: object) -> Path:
    if issubclass(kind, Path):
        return Path(str(value))
    raise NotImplementedError(f"{kind.__name__} cannot come from JSON")
