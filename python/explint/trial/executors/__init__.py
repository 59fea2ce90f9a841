"""Where runs are done: on this machine, by Slurm, or by Ray.

An executor gets jobs whose specs are written, and says of each when it has ended. What became of
it stands in the job's outcome; where a job ended without one, the executor's word does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol

import msgspec

from explint.trial.job import TrialJob


class Ended(msgspec.Struct, frozen=True):
    """A job that has ended. ``problem`` says why it wrote no outcome; empty when it did."""

    job: TrialJob
    problem: str = ""


class ExecutorError(Exception):
    """An executor cannot work here; ``help`` says what to do."""

    def __init__(self, problem: str, help: str) -> None:
        super().__init__(problem)
        self.help = help


class Executor(Protocol):
    """Does jobs. Leaving the context ends what still runs."""

    def __enter__(self) -> Executor:
        """Gets ready. Raises ExecutorError."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends what still runs, and waits for it to be gone."""

    def run(self, jobs: Sequence[TrialJob]) -> Iterator[Ended]:
        """Does the jobs and yields each when it has ended, in any order. Raises ExecutorError."""

    def running(self) -> Sequence[TrialJob]:
        """The jobs that are being done now, as far as that is known."""
