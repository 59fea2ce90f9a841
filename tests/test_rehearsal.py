"""Rehearsals of a small package with a real client, in the sandbox that this machine has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from explint.cli import cli
from explint.protocol.load import load_profile
from explint.rehearsal.rehearse import NotRehearsedError, Rehearsal, Setting, rehearse
from explint.trial import sandbox
from explint.trial.run import Limits
from rehearsed import RUNS, write

for library in ("graphql", "pypdf", "wandb", "hydra"):
    pytest.importorskip(library)

FULL = load_profile("full-trial")


@pytest.fixture
def setting() -> Setting:
    try:
        sandbox.choose("auto")
    except sandbox.SandboxError as error:
        pytest.skip(f"this machine has no sandbox: {error}")
    return Setting(python=Path(sys.executable), limits=Limits(seconds=200))


def rehearsed(
    folder: Path,
    setting: Setting,
    *changes: tuple[str, str, str],
    runs: tuple[str, ...] = RUNS,
) -> Rehearsal:
    return rehearse(
        FULL,
        runs,
        package="toy",
        copy=lambda target: write(target, *changes),
        folder=folder,
        setting=setting,
    )


def test_a_sound_package_passes_in_full_mode(tmp_path: Path, setting: Setting) -> None:
    found = rehearsed(tmp_path, setting)
    assert found.evaluation is not None, found.notes
    assert found.evaluation.outcome.succeeded, found.evaluation.outcome.tail
    assert (found.mode, found.forced, found.bounded) == ("full", False, True)
    assert (found.problems, found.refused, found.notes) == ((), (), ())
    assert [(run.path, run.state, run.rows) for run in found.logged] == [
        ("team/toy/ours-toy", "finished", 4),
        ("team/toy/theirs-toy", "finished", 4),
    ]
    assert found.logged[0].summary == ("epoch", "val_accuracy", "val_loss")
    assert [done.outcome.run_id for done in found.trained] == list(RUNS)
    assert all(done.outcome.log.is_file() for done in (*found.trained, found.evaluation))
    assert not (tmp_path / "rehearsal-1/run/package/wandb/settings").exists()


def test_the_command_puts_wandb_on_and_shows_where_evaluation_ends(
    tmp_path: Path, setting: Setting
) -> None:
    asks = ("src/evaluate.py", '["val_accuracy"]', '["val_acc"]')
    write(tmp_path / "toy", asks)
    words = ["trial", str(tmp_path / "toy"), "--out", str(tmp_path / "out"), "--isolated"]
    words += ["--env", str(Path(sys.executable).parent.parent), "--profile", "full-trial"]
    words += ["--run", "ours-toy", "--rehearse-mode", "trial", "--select", "run", "-o", "json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1, result.output
    [package] = json.loads(result.stdout)["packages"]
    [crash] = package["findings"]
    assert (crash["code"], crash["path"], crash["modes"]) == (
        "RUN008",
        "src/evaluate.py",
        ["trial"],
    )
    assert "KeyError" in crash["message"]
    notes = [note.partition(":")[0] for note in package["notes"]]
    assert notes == [
        "Trial of ours-toy",
        "Rehearsal of ours-toy in mode trial, with W&B put on",
        "W&B then held team/toy/ours-toy",
        "Rehearsal of evaluation",
    ]
    assert package["notes"][2].endswith("finished, 1 rows of epoch, val_loss.")
    assert package["complete"]


def test_nothing_is_said_of_evaluation_where_training_fails(
    tmp_path: Path, setting: Setting
) -> None:
    fails = ("src/train.py", "weight = 0.0", "weight = 1 / 0")
    found = rehearsed(tmp_path, setting, fails)
    assert len(found.trained) == 1
    assert found.evaluation is None
    assert not found.decided
    [note] = found.notes
    assert note.startswith(
        "Evaluation was not rehearsed: training ours-toy in mode full, held to 2 batches, ended "
        "with exit code 1; its output is in "
    )


def test_nothing_is_said_where_the_stand_in_falls_short(tmp_path: Path, setting: Setting) -> None:
    asks = (
        "src/evaluate.py",
        "api = wandb.Api()",
        "api = wandb.Api()\n    api.reports('team/toy')[0]",
    )
    found = rehearsed(tmp_path, setting, asks, runs=RUNS[:1])
    assert found.evaluation is not None
    assert not found.evaluation.outcome.succeeded
    assert not found.decided
    assert any("allViews" in entry for entry in found.refused)
    [note] = found.notes
    assert "what the stand-in does not serve" in note


def test_without_commands_or_runs_there_is_nothing_to_rehearse(tmp_path: Path) -> None:
    setting = Setting(python=Path(sys.executable))
    for profile, runs in (("hydra-wandb", RUNS), ("full-trial", ())):
        with pytest.raises(NotRehearsedError):
            rehearse(
                load_profile(profile),
                runs,
                package="toy",
                copy=write,
                folder=tmp_path,
                setting=setting,
            )
    with pytest.raises(NotRehearsedError, match="has no mode pilot, only trial, full"):
        rehearsed(tmp_path, Setting(python=Path(sys.executable), mode="pilot"))
