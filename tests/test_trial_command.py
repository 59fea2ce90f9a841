"""``explint trial`` from the command line: runs, reports, and what was done before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from explint.audit.store import read_findings, read_packages
from explint.cli import cli
from explint.model import CRITERIA, CriterionState
from explint.trial import sandbox
from explint.verdict import build_verdict

pytestmark = pytest.mark.skipif(
    bool(sandbox.bubblewrap() and sandbox.own_means()), reason="no sandbox can be made here"
)

MAIN = """\
import pathlib
import sys
import time

words = dict(word.split("=", 1) for word in sys.argv[1:])
print("tries", words["run"], words["mode"], flush=True)


def train(run):
    learning_rates = {"good-1": 0.1}
    return learning_rates[run]


if words["run"] == "slow-3":
    time.sleep(600)
pathlib.Path(words["results_dir"], "rate.txt").write_text(str(train(words["run"])))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "experiment"
    (root / "src").mkdir(parents=True)
    (root / "config" / "run").mkdir(parents=True)
    (root / "src" / "main.py").write_text(MAIN)
    for run in ("good-1", "bad-2"):
        (root / "config" / "run" / f"{run}.yaml").write_text(f"run_id: {run}\n")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "tried"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
        "dependencies = []\n"
    )
    return root


def words_of(package: Path, *more: str) -> list[str]:
    return [
        "trial",
        str(package),
        *("--out", str(package.parent / "out"), "--isolated", "--profile", "full-trial"),
        *("--env", sys.executable, "--select", "run", "-o", "json", *more),
    ]


def trial(package: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, words_of(package, *more))


def report(result: Result) -> dict[str, Any]:
    (found,) = json.loads(result.stdout)["packages"]
    return dict(found)


def outcomes(package: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for file in (package.parent / "out" / "runs").glob("*/outcome.json"):
        outcome = json.loads(file.read_text())
        found[outcome["run_id"]] = outcome
    return found


def test_each_run_is_done_and_its_crash_stands_at_its_line(package: Path) -> None:
    result = trial(package, "--concurrency", "2")
    assert result.exit_code == 1, result.output
    found = report(result)
    (crash,) = found["findings"]
    assert (crash["rule"], crash["path"], crash["line"]) == ("run/crash", "src/main.py", 11)
    assert crash["runs"] == ["bad-2"]
    assert "KeyError" in crash["message"]
    assert found["complete"]
    assert sum(note.startswith("Trial of ") for note in found["notes"]) == 2
    done = outcomes(package)
    assert done["good-1"]["exit_code"] == 0
    assert done["good-1"]["mode"] == "trial"
    assert [f["path"] for f in done["good-1"]["written"]] == ["rate.txt"]
    assert done["bad-2"]["exit_code"] == 1
    assert Path(done["bad-2"]["log"]).read_text().startswith("tries bad-2 trial\n")
    rows = list(read_findings(package.parent / "out"))
    assert [(f.rule, f.package, f.line) for f in rows] == [("run/crash", found["id"], 11)]
    assert rows[0].frame is not None
    assert "learning_rates[run]" in rows[0].frame
    (row,) = read_packages(package.parent / "out")
    assert row.runs == ("bad-2", "good-1")
    assert row.criterion_9 == "violated"
    # The package itself is as it was.
    assert sorted(p.name for p in package.iterdir()) == ["config", "pyproject.toml", "src"]


def test_what_is_done_is_not_done_again(package: Path) -> None:
    first = trial(package)
    before = {run: outcome["seconds"] for run, outcome in outcomes(package).items()}
    again = trial(package)
    assert "2 of 2 runs were done before" in again.stderr
    assert {run: o["seconds"] for run, o in outcomes(package).items()} == before
    assert report(again)["findings"] == report(first)["findings"]

    joined = CliRunner().invoke(
        cli,
        [
            *("check", str(package), "--trial", str(package.parent / "out")),
            *("--isolated", "--profile", "full-trial", "--select", "run", "-o", "json"),
        ],
    )
    assert report(joined)["findings"] == report(first)["findings"]

    # Other contents are another package, of which no trial knows.
    main = package / "src" / "main.py"
    main.write_text(main.read_text().replace('"good-1": 0.1', '"good-1": 0.1, "bad-2": 1'))
    repaired = trial(package, "--run", "bad-2")
    assert report(repaired)["findings"] == []
    assert repaired.exit_code == 0


def test_uv_makes_the_environment(package: Path) -> None:
    words = words_of(package, "--run", "good-1", "--offline")
    words[words.index("--env") : words.index("--env") + 2] = [
        "--uv-cache",
        str(package.parent / "cache"),
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert report(result)["complete"]
    assert outcomes(package)["good-1"]["exit_code"] == 0


def test_an_environment_that_cannot_be_made_is_told(package: Path) -> None:
    project = package / "pyproject.toml"
    project.write_text(project.read_text().replace("[]", '["no-such-distribution-anywhere"]'))
    words = words_of(package, "--offline", "--require-complete")
    words[words.index("--env") : words.index("--env") + 2] = [
        "--uv-cache",
        str(package.parent / "cache"),
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 4, result.output
    (note,) = (n for n in report(result)["notes"] if "was not tried" in n)
    assert "no-such-distribution-anywhere" in note


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--run", "none"), "it has no run `none`"),
        (("--mode", "none"), "has no mode `none`"),
        (("--command", "python -m src.main run={run_id} && rm x"), "no shell reads"),
    ],
)
def test_what_cannot_be_planned_is_told(package: Path, more: tuple[str, ...], said: str) -> None:
    result = trial(package, *more)
    assert any(said in note for note in report(result)["notes"]), result.output
    assert not report(result)["complete"]


def test_sizes_are_read_and_refused(package: Path) -> None:
    assert "is no size such as" in trial(package, "--memory", "much").stderr
    result = trial(package, "--memory", "1.5G", "--run", "good-1")
    assert result.exit_code == 0
    (job,) = (package.parent / "out" / "runs").glob("*/job.json")
    assert json.loads(job.read_text())["limits"]["memory"] == 3 << 29


def test_ctrl_c_ends_every_run_and_what_was_done_stays_done(package: Path) -> None:
    (package / "config" / "run" / "slow-3.yaml").write_text("run_id: slow-3\n")
    words = [sys.executable, "-m", "explint", *words_of(package, "--concurrency", "3")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while time.monotonic() < end and len(outcomes(package)) < 2:
        time.sleep(0.1)
    while time.monotonic() < end and not any(
        "tries slow-3" in log.read_text()
        for log in (package.parent / "out" / "runs").glob("*slow-3*/log.txt")
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert outcomes(package)["slow-3"]["interrupted"]
    living = [p for p in Path("/proc").iterdir() if p.name.isdigit()]
    assert not any(b"run=slow-3" in command_line(p) for p in living)
    # Only what was interrupted is done again.
    again = trial(package, "--timeout", "1")
    assert "2 of 3 runs were done before" in again.stderr
    assert {f["rule"] for f in report(again)["findings"]} == {"run/crash", "run/timeout"}


def command_line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_trial_settles_what_only_it_could() -> None:
    open_ones = {str(n) for n, criterion in CRITERIA.items() if criterion.undecided}
    before = build_verdict([], [])
    after = build_verdict([], [], settled=[int(n) for n in open_ones])
    assert {n for n, s in before.criteria.items() if s is CriterionState.UNKNOWN} == open_ones
    assert set(after.criteria.values()) == {CriterionState.MET}


def test_nothing_runs_without_a_sandbox(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: "no bubblewrap")
    monkeypatch.setattr(sandbox, "own_means", lambda: "no Landlock")
    result = trial(package)
    assert result.exit_code == 2
    assert "--no-sandbox" in result.stderr
    assert not os.path.exists(package.parent / "out")  # noqa: PTH110 - nothing was begun
