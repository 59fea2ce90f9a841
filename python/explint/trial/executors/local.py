"""Runs on this machine, as many at a time as there are slots, each GPU given to one run."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType

from explint.trial import gpu
from explint.trial.executors import Ended, ExecutorError
from explint.trial.interpreter import EXPLINT
from explint.trial.job import TrialJob


class LocalExecutor:
    """A pool of slots; a run that asks for GPUs waits until so many are free.

    ``concurrency`` 0 means one run for each group of ``gpus_per_run`` GPUs, one without GPUs.
    """

    def __init__(self, *, concurrency: int = 0, gpus_per_run: int = 0) -> None:
        self._concurrency = concurrency
        self._per_run = gpus_per_run
        self._slots: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._working: dict[str, tuple[TrialJob, subprocess.Popen[bytes]]] = {}
        self._over = False

    def __enter__(self) -> LocalExecutor:
        known = gpu.found() if self._per_run else ()
        groups = [
            ",".join(g.index for g in known[n : n + self._per_run])
            for n in range(0, len(known) - self._per_run + 1, self._per_run or 1)
        ]
        if self._per_run and not groups:
            raise ExecutorError(
                f"each run asks for {self._per_run} GPUs and this machine has {len(known)}",
                "Ask for fewer with --gpus, 0 for the CPU.",
            )
        slots = self._concurrency or max(len(groups), 1)
        if groups:
            slots = min(slots, len(groups))
        for number in range(slots):
            self._slots.put(groups[number] if groups else "")
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="explint-trial")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._over = True
            for _, process in self._working.values():
                process.send_signal(signal.SIGTERM)
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Sequence[TrialJob]) -> Iterator[Ended]:
        """Does the jobs and yields each when it has ended."""
        assert self._pool is not None
        futures = [self._pool.submit(self._do, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()

    def running(self) -> Sequence[TrialJob]:
        """The jobs whose workers live."""
        with self._lock:
            return [job for job, _ in self._working.values()]

    def _do(self, job: TrialJob) -> Ended:
        slot = self._slots.get()
        try:
            with self._lock:
                if self._over:
                    return Ended(job, "it was not begun")
                process = start_worker(job, slot)
                self._working[job.id] = (job, process)
            assert process.stderr is not None
            said = process.stderr.read()
            code = process.wait()
            process.stderr.close()
        finally:
            with self._lock:
                self._working.pop(job.id, None)
            self._slots.put(slot)
        if code == 0:
            return Ended(job)
        return Ended(job, f"its worker {ending(code)}: {last_line(said)}")


def start_worker(
    job: TrialJob, visible_gpus: str | None = None, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The process that does a job, in a session of its own: Ctrl-C ends it through its parent.

    ``more`` are variables for the worker, not for the run.
    """
    words = [sys.executable, "-P", "-m", "explint.trial.worker", str(job.spec)]
    if visible_gpus is not None:
        words.append(visible_gpus)
    path = os.environ.get("PYTHONPATH")
    around = os.pathsep.join([str(EXPLINT.parent), *([path] if path else [])])
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": around, **(more or {})},
        start_new_session=True,
    )


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def last_line(said: bytes) -> str:
    """What a process said last."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
