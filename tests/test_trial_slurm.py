"""Runs as jobs of a real Slurm, whose daemons the tests start in folders of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explint.trial.executors import Ended, ExecutorError
from explint.trial.executors.slurm import SlurmExecutor, SlurmOptions, parse_jobs
from explint.trial.job import TrialJob
from trial_helpers import make_job
from trial_slurm import NoSlurmError, slurm

# What submitit leaves open is no matter of ours.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    try:
        with slurm() as environment:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            yield
    except NoSlurmError as error:
        pytest.skip(f"Slurm cannot be started here: {error}")


def when_there(begun: Path, act: Callable[[str], object]) -> None:
    """Calls ``act`` with Slurm's number of the job once its run has made a file."""

    def wait_and_act() -> None:
        end = time.monotonic() + 60
        while not begun.is_file() and time.monotonic() < end:
            time.sleep(0.1)
        running = subprocess.run(
            ["squeue", "-h", "-t", "R", "-o", "%A"], capture_output=True, text=True, check=True
        )
        act(running.stdout.split()[0])

    threading.Thread(target=wait_and_act, daemon=True).start()


def ask(*words: str) -> Callable[[str], object]:
    return lambda number: subprocess.run([*words, number], check=True, capture_output=True)


def requeue(number: str) -> None:
    ask("scontrol", "requeue")(number)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        shown = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", number], capture_output=True, text=True
        ).stdout
        if "JobState=PENDING" in shown:
            # Slurm would let it wait for two minutes.
            ask("scontrol", "update", "StartTime=now")(f"JobId={number}")
            return
        time.sleep(0.2)


def kill_worker(_: str) -> None:
    """What a node's last resort against a full memory does."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"submitit.core._submit" in words and b"python" in words[0]:
            os.kill(int(folder.name), signal.SIGKILL)


def test_runs_get_gpus_and_what_happens_to_them_is_told(cluster: None, tmp_path: Path) -> None:
    said: list[str] = []

    def run(*jobs: TrialJob) -> dict[str, Ended]:
        options = SlurmOptions(partition="main", concurrency=2)
        with SlurmExecutor(options, tmp_path, tell=said.append, wait=0.2) as executor:
            return {ended.job.id: ended for ended in executor.run(jobs)}

    # An array of three on a node with two logical GPUs.
    shown = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(1)"
    jobs = [make_job(tmp_path, f"array-{n}", shown, gpus=1) for n in range(3)]
    assert {name: ended.problem for name, ended in run(*jobs).items()} == {
        "array-0": "",
        "array-1": "",
        "array-2": "",
    }
    outcomes = [job.outcome() for job in jobs]
    assert all(outcome is not None and outcome.succeeded for outcome in outcomes)
    seen = [outcome.tail.strip() for outcome in outcomes if outcome is not None]
    # On a busy machine one may have ended before the next begins, and gets the same.
    assert set(seen) <= {"0", "1"}

    with pytest.raises(ExecutorError, match="does not take the jobs"):
        run(make_job(tmp_path, "greedy", shown, gpus=3))

    sleeping = "import time\ntime.sleep(120)"
    killed = make_job(tmp_path, "killed", sleeping)
    when_there(killed.live, kill_worker)
    assert run(killed)["killed"].problem.endswith("failed and left no outcome")
    assert killed.outcome() is None

    cancelled = make_job(tmp_path, "cancelled", sleeping)
    when_there(cancelled.live, ask("scancel"))
    assert run(cancelled)["cancelled"].problem.endswith("was cancelled")
    assert not cancelled.is_done()

    # Once begun, it ends only when it is begun anew.
    mark = tmp_path / "mark"
    waits = f"""
import pathlib, time
mark = pathlib.Path({str(mark)!r})
if not mark.exists():
    mark.write_text("")
    time.sleep(120)
"""
    requeued = make_job(tmp_path, "requeued", waits, sandbox="none")
    when_there(mark, requeue)
    assert run(requeued)["requeued"].problem == ""
    outcome = requeued.outcome()
    assert outcome is not None
    assert outcome.succeeded
    assert outcome.notes == ("It was begun anew after it was lost (attempt 2).",)
    assert any("back into the queue" in remark for remark in said)


def test_states_are_read_of_single_jobs_and_of_arrays() -> None:
    text = (
        "JobId=7 JobName=x UserId=root(0) JobState=TIMEOUT Reason=TimeLimit\n"
        "JobId=9 ArrayJobId=8 ArrayTaskId=0 JobName=x JobState=RUNNING\n"
        "JobId=8 ArrayJobId=8 ArrayTaskId=1-2,5%2 ArrayTaskThrottle=2 JobState=PENDING\n"
        "no job at all\n"
    )
    assert parse_jobs(text) == {
        "7": "TIMEOUT",
        "8_0": "RUNNING",
        "8_1": "PENDING",
        "8_2": "PENDING",
        "8_5": "PENDING",
    }


def test_without_slurm_the_person_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ExecutorError, match="sbatch is not here"),
        SlurmExecutor(SlurmOptions(), tmp_path, tell=lambda _: None),
    ):
        pass
