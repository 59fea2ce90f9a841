"""Runs as tasks of Ray, on nodes that share the results folder and have explint installed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from explint.trial.executors import Ended, ExecutorError
from explint.trial.executors.local import ending, last_line, start_worker
from explint.trial.interpreter import EXPLINT
from explint.trial.job import TrialJob, read_job
from explint.trial.worker import ATTEMPT

_INSTALL = "Install it with: pip install 'explint[ray]'"
_WAIT = 1.0


class RayExecutor:
    """Hands runs to a cluster, each with as many GPUs as it asks for.

    Without ``address`` Ray starts on this machine. A run whose worker or node is lost begins anew,
    up to ``retries`` times. ``concurrency`` 0 leaves it to the cluster how many run at a time.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        cpus: int = 1,
        concurrency: int = 0,
        retries: int = 2,
    ) -> None:
        self._address = address
        self._cpus = cpus
        self._concurrency = concurrency
        self._retries = retries
        self._ray: Any = None
        self._working: dict[Any, TrialJob] = {}

    def __enter__(self) -> RayExecutor:
        try:
            import ray
        except ImportError:
            raise ExecutorError("Ray is not installed", _INSTALL) from None
        # Tasks import explint from the same place as this process does.
        around = {"PYTHONPATH": os.pathsep.join([str(EXPLINT.parent), *_python_path()])}
        try:
            ray.init(
                address=self._address,
                runtime_env={"env_vars": around},
                log_to_driver=False,
                include_dashboard=None if self._address else False,
                configure_logging=False,
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ExecutorError(
                f"Ray cannot be reached: {error}", "Check --address, or leave it out."
            ) from None
        self._ray = ray
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in list(self._working):
            # The task ends its run in good order; what does not obey goes with the connection.
            self._ray.cancel(task)
        if self._working:
            self._ray.wait(list(self._working), num_returns=len(self._working), timeout=30)
        self._ray.shutdown()

    def run(self, jobs: Sequence[TrialJob]) -> Iterator[Ended]:
        """Does the jobs and yields each when it has ended."""
        waiting = list(jobs)
        self._check_room(waiting)
        task = self._ray.remote(_do)
        while waiting or self._working:
            while waiting and (not self._concurrency or len(self._working) < self._concurrency):
                job = waiting.pop(0)
                begun = task.options(
                    num_cpus=self._cpus,
                    num_gpus=job.gpus,
                    max_retries=self._retries,
                    name=f"explint-trial {job.id}",
                ).remote(str(job.spec))
                self._working[begun] = job
            done, _ = self._ray.wait(list(self._working), num_returns=1, timeout=_WAIT)
            for ended in done:
                yield Ended(self._working.pop(ended), self._answer(ended))

    def running(self) -> Sequence[TrialJob]:
        """The jobs that have begun and not ended."""
        return [job for job in list(self._working.values()) if job.live.is_file()]

    def _answer(self, task: Any) -> str:  # noqa: ANN401 - a reference of Ray's
        try:
            problem: str = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            said = " ".join(str(error).split())
            return f"Ray lost it, {self._retries + 1} times: {type(error).__name__}: {said[:500]}"
        return problem

    def _check_room(self, jobs: Sequence[TrialJob]) -> None:
        """A task that no node can ever hold would wait for ever."""
        most = max((job.gpus for job in jobs), default=0)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(n.get("GPU", 0) >= most and n.get("CPU", 0) >= self._cpus for n in nodes):
            raise ExecutorError(
                f"no node of the cluster has {self._cpus} processors and {most} GPUs",
                "Ask for fewer with --cpus and --gpus.",
            )


def _do(spec: str) -> str:
    """The task: does one job in a process of its own and says why it wrote no outcome."""
    job = read_job(Path(spec))
    attempts = job.folder / "attempts"
    with attempts.open("a") as file:
        file.write(".")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if job.gpus else ""
    process = start_worker(job, visible, {ATTEMPT: str(attempts.stat().st_size)})
    try:
        assert process.stderr is not None
        said = process.stderr.read()
        code = process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()
        attempts.unlink(missing_ok=True)
    return "" if code == 0 else f"its worker {ending(code)}: {last_line(said)}"


def _python_path() -> list[str]:
    path = os.environ.get("PYTHONPATH")
    return [path] if path else []
