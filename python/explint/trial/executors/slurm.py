"""Runs as jobs of Slurm, submitted by submitit, many of them as one array.

Whether a job lives is asked of the controller (``scontrol``), and of accounting (``sacct``) only
for what the controller has forgotten: on many clusters there is no accounting, and there submitit
alone would wait for ever for a job that was killed.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from explint.trial.executors import Ended, ExecutorError
from explint.trial.job import TrialJob
from explint.trial.worker import do_spec

_INSTALL = "Install it with: pip install 'explint[slurm]'"

ALIVE = frozenset(
    {
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "COMPLETING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
        "PREEMPTED",
    }
)
"""States of a job that will still do something, or may."""

_WARNING = 60
"""Seconds before its time limit at which a job is asked to end."""

_GRACE = 10.0
"""Seconds that an outcome may take to be seen on this machine after its job has ended."""


class SlurmOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of Slurm for each run; None leaves it to the cluster.

    ``minutes`` is the time limit; left out, the run's own limit and what ending it takes.
    ``concurrency`` is the most jobs of an array at a time, 0 for as many as there is room for.
    ``more`` are further options of ``sbatch``, by their long names.
    """

    partition: str | None = None
    gres: str | None = None
    minutes: int | None = None
    account: str | None = None
    cpus: int | None = None
    concurrency: int = 0
    more: dict[str, str] = msgspec.field(default_factory=dict)


class SlurmExecutor:
    """Submits runs and waits for them. ``tell`` gets what happens to them on the way."""

    def __init__(
        self, options: SlurmOptions, folder: Path, *, tell: Callable[[str], None], wait: float = 2.0
    ) -> None:
        self._options = options
        self._folder = folder / "slurm"
        self._tell = tell
        self._wait = wait
        self._left: dict[str, TrialJob] = {}
        self._states: dict[str, str] = {}

    def __enter__(self) -> SlurmExecutor:
        for program in ("sbatch", "scontrol", "scancel"):
            if shutil.which(program) is None:
                raise ExecutorError(
                    f"Slurm's {program} is not here", "Start explint on a machine of the cluster."
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._left:
            _ask("scancel", *self._left)

    def run(self, jobs: Sequence[TrialJob]) -> Iterator[Ended]:
        """Submits the jobs and yields each when it has ended."""
        for number, job in zip(self._submit(jobs), jobs, strict=True):
            self._left[number] = job
        self._tell(f"Slurm: submitted {', '.join(self._left)}")
        unseen: dict[str, float] = {}
        while self._left:
            states = self._look()
            for number, job in list(self._left.items()):
                state = states.get(number, "")
                self._report(number, state, job)
                alive = state.partition(" ")[0] in ALIVE
                if job.result.is_file() and not alive:
                    del self._left[number]
                    outcome = job.outcome()
                    ended_by_itself = outcome is not None and not outcome.interrupted
                    yield Ended(
                        job, "" if ended_by_itself else f"Slurm job {number} {_told(state)}"
                    )
                elif not alive:
                    # A shared folder may show the outcome later than the controller the end.
                    since = unseen.setdefault(number, time.monotonic())
                    if time.monotonic() - since > _GRACE:
                        del self._left[number]
                        yield Ended(job, f"Slurm job {number} {_told(state)}")
                else:
                    unseen.pop(number, None)
            if self._left:
                time.sleep(self._wait)

    def running(self) -> Sequence[TrialJob]:
        """The jobs that Slurm says are running."""
        states = dict(self._states)
        return [job for n, job in list(self._left.items()) if states.get(n) == "RUNNING"]

    def _submit(self, jobs: Sequence[TrialJob]) -> list[str]:
        try:
            import submitit
        except ImportError:
            raise ExecutorError("submitit is not installed", _INSTALL) from None
        executor: Any = submitit.SlurmExecutor(folder=str(self._folder.resolve()))
        options = self._options
        patience = sum(jobs[0].limits.patience)
        minutes = options.minutes or math.ceil((jobs[0].limits.seconds + patience + _WARNING) / 60)
        wanted: dict[str, Any] = {
            "job_name": "explint-trial",
            "time": minutes,
            # Asked at the very start, a short job would have no time at all.
            "signal_delay_s": min(_WARNING, 30 * minutes),
            "array_parallelism": options.concurrency or len(jobs),
            "partition": options.partition,
            "account": options.account,
            "cpus_per_task": options.cpus,
            "gres": options.gres or (f"gpu:{jobs[0].gpus}" if jobs[0].gpus else None),
            "additional_parameters": options.more or None,
        }
        executor.update_parameters(**{k: v for k, v in wanted.items() if v is not None})
        try:
            made = executor.map_array(do_spec, [str(job.spec) for job in jobs])
        except (submitit.core.utils.FailedJobError, OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise ExecutorError(
                f"Slurm does not take the jobs: {why}", "Check --partition, --gres and --account."
            ) from None
        return [str(job.job_id) for job in made]

    def _look(self) -> dict[str, str]:
        """The state of every job that is left, empty where nobody knows one."""
        known: dict[str, str] = {}
        for array in {number.partition("_")[0] for number in self._left}:
            known.update(parse_jobs(_ask("scontrol", "--oneliner", "show", "job", array)))
        forgotten = [number for number in self._left if number not in known]
        if forgotten and shutil.which("sacct") is not None:
            rows = _ask("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", ",".join(forgotten))
            for row in rows.splitlines():
                number, _, state = row.partition("|")
                known.setdefault(number, state)
        return known

    def _report(self, number: str, state: str, job: TrialJob) -> None:
        before = self._states.get(number)
        if before == state:
            return
        self._states[number] = state
        if before not in (None, "PENDING") and state == "PENDING":
            self._tell(f"{job.id}: Slurm put job {number} back into the queue")
            with suppress(OSError):
                job.live.unlink()


def parse_jobs(text: str) -> dict[str, str]:
    """Jobs and their states, from what ``scontrol --oneliner show job`` prints."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        number, state = fields.get("JobId"), fields.get("JobState")
        if number is None or state is None:
            continue
        array, task = fields.get("ArrayJobId"), fields.get("ArrayTaskId")
        if array is None or task is None:
            found[number] = state
            continue
        # Tasks that wait share one line: 12_[1-3,7%2].
        for part in task.strip("[]").partition("%")[0].split(","):
            first, _, last = part.partition("-")
            if first.isdigit():
                for index in range(int(first), int(last if last.isdigit() else first) + 1):
                    found[f"{array}_{index}"] = state
    return found


def _told(state: str) -> str:
    words = {
        "": "is not known any more and left no outcome",
        "COMPLETED": "ended and left no outcome",
        "FAILED": "failed and left no outcome",
        "TIMEOUT": "was killed at its time limit",
        "DEADLINE": "was killed at its deadline",
        "NODE_FAIL": "was lost with its node",
        "OUT_OF_MEMORY": "was killed for the memory it used",
        "BOOT_FAIL": "was lost: its node did not start",
    }
    head = state.partition(" ")[0]
    if head == "CANCELLED":
        return "was cancelled"
    return words.get(head, f"ended as {head} and left no outcome")


def _ask(*words: str) -> str:
    try:
        said = subprocess.run(
            words,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout if said.returncode == 0 else ""
