"""Worker processes: answers in order, and a crash that costs one input only."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import explint
from explint import pipeline
from explint.fanout import (
    Bounds,
    CrashedError,
    FailedError,
    MemoryExceededError,
    Pool,
    TimedOutError,
)

TARGET = "fanout_targets:make"


def test_answers_are_those_of_the_function() -> None:
    with Pool(TARGET, 100, 2) as pool:
        answers = [pool.submit(n) for n in range(20)]
        assert [a.result() for a in answers] == list(range(100, 120))


@pytest.mark.parametrize(("how", "said"), [("exit", "exit code 7"), ("kill", "signal 9")])
def test_a_crash_costs_one_input(how: str, said: str) -> None:
    with Pool(TARGET, 1, 2) as pool:
        answers = [pool.submit(item) for item in (1, how, 2, 3, 4)]
        assert [a.result() for a in answers[:1] + answers[2:]] == [2, 3, 4, 5]
        with pytest.raises(CrashedError, match=said):
            answers[1].result()


def test_an_error_leaves_the_worker_alive() -> None:
    with Pool(TARGET, 1, 1) as pool:
        before = pool.submit("pid").result()
        with pytest.raises(FailedError, match="ValueError: not this one"):
            pool.submit("raise").result()
        assert pool.submit("pid").result() == before != os.getpid()


def test_what_is_printed_does_not_come_between_the_answers() -> None:
    with Pool(TARGET, 1, 1) as pool:
        assert pool.submit("print").result() == "printed"
        assert pool.submit(1).result() == 2


def test_leaving_ends_what_is_at_work() -> None:
    with Pool(TARGET, 1, 1) as pool:
        pid = pool.submit("pid").result()
        asleep = pool.submit("sleep")
        waiting = pool.submit(1)
        while not asleep.running():
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert waiting.cancelled()
    assert isinstance(asleep.exception(), CrashedError)


def test_a_worker_that_cannot_start_is_a_crash() -> None:
    with Pool("fanout_targets:absent", 1, 1) as pool, pytest.raises(CrashedError):
        pool.submit(1).result()


BOUNDS = Bounds(seconds=2, memory=256 << 20)


@pytest.mark.parametrize(
    ("item", "error"),
    [("sleep", TimedOutError), ("grow", MemoryExceededError), ("huge", MemoryExceededError)],
)
def test_what_takes_too_much_is_ended_and_replaced(item: str, error: type[Exception]) -> None:
    with Pool(TARGET, 1, 1, BOUNDS) as pool:
        answers = [pool.submit(i) for i in (1, item, 2)]
        assert [answers[0].result(), answers[2].result()] == [2, 3]
        with pytest.raises(error):
            answers[1].result()


def test_the_time_between_two_inputs_counts_for_none() -> None:
    with Pool(TARGET, 1, 1, Bounds(seconds=1, memory=256 << 20)) as pool:
        pid = pool.submit("pid").result()
        time.sleep(1.5)
        assert pool.submit("pid").result() == pid


def packages(folder: Path, count: int) -> Path:
    for n in range(count):
        source = folder / f"package-{n:02}" / "src"
        source.mkdir(parents=True)
        for name in ("main", "train", "model"):
            (source / f"{name}.py").write_text(f"x = {n}\nprint(undefined_{n})\n")
    return folder


def test_processes_change_nothing_but_the_time(tmp_path: Path) -> None:
    folder = packages(tmp_path, pipeline.FEW_PACKAGES + 6)
    one, many = (explint.check(folder, jobs=jobs).packages for jobs in (1, 2))
    assert len(one) == pipeline.FEW_PACKAGES + 6
    assert one == many


def test_few_packages_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("explint.fanout.Pool.__init__", refuse)
    report = explint.check(packages(tmp_path, pipeline.FEW_PACKAGES), jobs=2)
    assert len(report.packages) == pipeline.FEW_PACKAGES


def test_a_crash_is_reported_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = packages(tmp_path, pipeline.FEW_PACKAGES + 2)

    def end(_: Pool, item: object) -> None:
        raise CrashedError("signal 11")

    monkeypatch.setattr(Pool, "_ask", end)
    report = explint.check(folder, jobs=2)
    assert len(report.packages) == pipeline.FEW_PACKAGES
    assert [error.location for error in report.summary.input_errors] == ["package-08", "package-09"]
    assert "signal 11" in report.summary.input_errors[0].message
