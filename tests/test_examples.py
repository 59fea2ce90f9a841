"""The packages in examples/: sound ones are clean, broken ones have exactly the defects told."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import explint
from explint.model import PackageReport

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

SOUND = {
    "sound-digits": "full-trial",
    "sound-lightning-style": "hydra-wandb",
    "sound-sanity-pilot": "sanity-pilot",
}
BROKEN = {
    "broken-config": {
        ("hydra/invalid-run-config", "config/run/comparative-average-pooling-digits.yaml", 1),
        ("hydra/invalid-run-config", "config/run/proposed-learned-pooling-digits.yaml", 17),
        ("hydra/missing-section", "config/run/comparative-average-pooling-digits.yaml", 1),
        ("wandb/no-project", "config/config.yaml", 9),
    },
    "broken-names": {
        ("complete/unbound-local", "src/evaluate.py", 153),
        ("complete/undefined-name", "src/preprocess.py", 23),
        ("complete/unresolved-import", "src/train.py", 16),
    },
    "broken-truncated": {
        ("complete/syntax-error", "src/evaluate.py", 168),
        ("complete/truncated-code", "src/train.py", 66),
        ("structure/missing-file", "src/model.py", 1),
    },
    "broken-unfinished": {
        ("complete/constant-stub", "src/evaluate.py", 105),
        ("complete/omission-note", "src/evaluate.py", 154),
        ("complete/placeholder-body", "src/model.py", 25),
        ("complete/todo-marker", "src/preprocess.py", 59),
    },
}
DIGIT_RUNS = ["comparative-average-pooling-digits", "proposed-learned-pooling-digits"]
WINE_RUNS = ["comparative-equal-vote-wine", "proposed-similarity-vote-wine"]
COMPOSED = [
    *product(["sound-digits"], DIGIT_RUNS, ["trial", "full"]),
    *product(["sound-sanity-pilot"], WINE_RUNS, ["sanity", "pilot", "full"]),
]


def checked(path: str) -> PackageReport:
    report = explint.check(EXAMPLES / path)
    assert not report.summary.input_errors
    (package,) = report.packages
    assert not package.coverage.failed
    assert not package.hidden
    return package


def places(package: PackageReport) -> list[tuple[str, str, int]]:
    return sorted((f.rule, f.path, f.line) for f in package.findings)


def test_every_example_is_tested() -> None:
    folders = {p.name for p in EXAMPLES.iterdir() if p.is_dir()}
    assert folders == {*SOUND, *BROKEN, "records"}


@pytest.mark.parametrize("name", SOUND)
def test_sound_examples_have_no_finding(name: str) -> None:
    package = checked(name)
    assert package.profile.name == SOUND[name]
    assert places(package) == []
    assert package.verdict.is_code_ready


@pytest.mark.parametrize("name", BROKEN)
def test_broken_examples_have_the_defects_told_and_no_others(name: str) -> None:
    package = checked(name)
    assert package.profile.name == "full-trial"
    assert places(package) == sorted(BROKEN[name])
    assert sorted(package.runs) == DIGIT_RUNS
    assert not package.verdict.is_code_ready


@pytest.mark.parametrize("name", BROKEN)
def test_broken_examples_differ_from_the_sound_one_in_their_defects_only(name: str) -> None:
    sound, broken = files_below("sound-digits"), files_below(name)
    differing = {path for path in sound.keys() | broken if sound.get(path) != broken.get(path)}
    assert differing == {path for _, path, _ in BROKEN[name]}


def files_below(name: str) -> dict[str, bytes]:
    root = EXAMPLES / name
    paths = [*root.glob("*.toml"), *root.glob("src/*.py"), *root.glob("config/**/*.yaml")]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in paths}


def test_record() -> None:
    package = checked("records/withheld.txt")
    withheld = [
        "config/config.yaml",
        "pyproject.toml",
        "src/evaluate.py",
        "src/main.py",
        "src/model.py",
        "src/preprocess.py",
    ]
    expected = [("structure/empty-file", path, 1) for path in withheld]
    expected.append(("complete/undefined-name", "src/train.py", 133))
    assert places(package) == sorted(expected)
    assert package.profile.name == "full-trial"
    assert "prompt" in package.profile.reason
    assert sorted(package.runs) == DIGIT_RUNS
    assert not package.verdict.is_code_ready
    assert "`OmegaConf`" in package.verdict.code_issue


def test_record_holds_the_run_configs_and_the_judges_verdict() -> None:
    from explint.source import Limits
    from explint.source.record import parse_record

    text = (EXAMPLES / "records/withheld.txt").read_text(encoding="utf-8")
    source = checked("records/withheld.txt").source
    package = parse_record(text, "withheld", source, Limits())
    for run in DIGIT_RUNS:
        path = f"config/run/{run}.yaml"
        config = package.files[path].data or b""
        assert config.strip() == files_below("sound-digits")[path].strip()
    record = package.record
    assert record is not None
    assert record.metrics == ("test accuracy", "test loss")
    assert "exponent" in record.hypothesis
    assert record.verdict is not None
    assert not record.verdict.is_code_ready
    assert record.verdict.code_issue.startswith("Only src/train.py has content.")


def readme_commands() -> list[tuple[str, str]]:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```console\n\$ (explint .*)\n((?s:.*?))```", text)


@pytest.mark.parametrize(("command", "shown"), readme_commands(), ids=lambda text: text[:60])
def test_readme_shows_what_explint_says(command: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (shown, "")


@pytest.mark.differential
@pytest.mark.parametrize(("name", "run", "mode"), COMPOSED)
def test_hydra_composes_every_run_in_every_mode(name: str, run: str, mode: str) -> None:
    composed = compose(name, "config", [f"run={run}", f"mode={mode}", "results_dir=results"])
    assert composed["mode"] == mode
    assert composed["run"]["run_id"] == run
    assert composed["wandb"].keys() == {"entity", "project", "mode"}


@pytest.mark.differential
@pytest.mark.parametrize(
    "overrides", [[], ["experiment=wide"], ["experiment=small_batches"], ["trainer=gpu"]]
)
def test_hydra_composes_the_lightning_style_configs(overrides: list[str]) -> None:
    composed = compose("sound-lightning-style", "train", overrides)
    width = 512 if "experiment=wide" in overrides else 64
    assert composed["model"]["width"] == width
    assert composed["data"]["batch_size"] == (8 if "experiment=small_batches" in overrides else 64)


def compose(name: str, config_name: str, overrides: list[str]) -> dict[str, Any]:
    hydra = pytest.importorskip("hydra")
    folder = EXAMPLES / name / ("configs" if name == "sound-lightning-style" else "config")
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        config = hydra.compose(config_name, overrides)
    from omegaconf import OmegaConf

    composed = OmegaConf.to_container(config)
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}
