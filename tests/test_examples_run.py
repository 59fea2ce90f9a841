"""The sound PyTorch example for real: its runs and its evaluation, in this machine's sandbox."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import torch_env
from explint.protocol.load import load_profile
from explint.rehearsal.rehearse import Setting, rehearse
from explint.trial import sandbox
from explint.trial.run import Limits

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sound-digits"
RUNS = ("comparative-average-pooling-digits", "proposed-learned-pooling-digits")

for library in ("graphql", "pypdf", "wandb", "hydra"):
    pytest.importorskip(library)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_env.make(tmp_path_factory.mktemp("torch") / "env")


def test_the_sound_example_passes_its_rehearsal(tmp_path: Path, python: Path) -> None:
    try:
        sandbox.choose("auto")
    except sandbox.SandboxError as error:
        pytest.skip(f"this machine has no sandbox: {error}")

    def copy(target: Path) -> None:
        shutil.copytree(EXAMPLE, target, dirs_exist_ok=True)

    found = rehearse(
        load_profile("full-trial"),
        RUNS,
        package="sound-digits",
        copy=copy,
        folder=tmp_path,
        setting=Setting(python=python, batches=1, limits=Limits(seconds=400)),
    )
    assert found.evaluation is not None, found.notes
    assert found.evaluation.outcome.succeeded, found.evaluation.outcome.tail
    assert (found.problems, found.refused, found.notes) == ((), (), ())
    for done in found.trained:
        seen = done.observation
        assert not seen.errors
        assert not seen.troubles
        assert {p.drawn for p in seen.passes} == {1}
        assert (seen.epochs, seen.trials) == (40, 1)
        assert [s.mode for s in seen.wandb] == ["online"]
        assert seen.finished == 1
        assert all(o.moved == o.sampled for o in seen.optimizers)
    figures = [Path(f.what).name for f in found.evaluation.observation.figures]
    assert len(figures) == 6
    results = found.evaluation.outcome.results
    aggregated = json.loads((results / "comparison/aggregated_metrics.json").read_text())
    assert aggregated["proposed"] == RUNS[1]
    assert 0 <= aggregated["significance"]["p_value"] <= 1
