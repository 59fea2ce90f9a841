"""What the rules about undefined keys say, and of which runs, modes and places."""

from __future__ import annotations

from case_files import base_package
from explint import check
from explint.model import Finding

BASE = base_package()
HEAD = """from torch import nn


def build_loss(cfg):
    return nn.CrossEntropyLoss()


def build_model(cfg):
"""


def found(rule: str, files: dict[str, str], *, partial: bool = False) -> list[Finding]:
    """The findings of a rule on the base package with files laid over it."""
    report = check(BASE | files, profile="full-trial", partial=partial)
    return [f for f in report.packages[0].findings if f.rule == rule]


def model(*lines: str) -> dict[str, str]:
    """src/model.py whose build_model has these lines."""
    return {"src/model.py": HEAD + "".join(f"    {line}\n" for line in lines)}


def test_an_undefined_key_names_runs_modes_and_a_default() -> None:
    (finding,) = found(
        "hydra/undefined-key", model("return nn.Linear(4, cfg.run.model.hidden_units)")
    )
    assert finding.message == (
        "`cfg.run.model.hidden_units` is read without a default, but no run's config defines it."
    )
    assert '`cfg.run.model.get("hidden_units", …)`' in finding.help
    assert finding.runs == ("comparative-fashion-mnist", "proposed-fashion-mnist")
    assert finding.modes == ("trial", "full")


def test_only_the_mode_that_reads_it_is_named() -> None:
    lines = ['if cfg.mode == "trial":', "    print(cfg.run.model.hint)", "return nn.Linear(4, 8)"]
    (finding,) = found("hydra/undefined-key", model(*lines))
    assert finding.modes == ("trial",)


def test_all_that_is_off_by_one_section_is_one_finding_with_its_places() -> None:
    lines = [
        "section = cfg.model",
        "layer = nn.Linear(section.channels, section.num_classes)",
        "return nn.Sequential(layer, nn.Dropout(cfg.training.weight_decay))",
    ]
    (finding,) = found("hydra/key-in-wrong-section", model(*lines))
    assert finding.line == 9
    assert finding.message == (
        "`cfg.model` and `cfg.training` are read, but the config holds them under `cfg.run`."
    )
    assert "`cfg.run.model` and `cfg.run.training`" in finding.help
    assert [(r.line, r.message) for r in finding.related if "training" in r.message] == [
        (11, "`cfg.training.weight_decay` is read here; it is at `cfg.run.training.weight_decay`.")
    ]


def test_a_child_process_has_the_keys_that_its_command_line_adds() -> None:
    main = """import subprocess
import sys

import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    command = [sys.executable, "-m", "src.train", f"run={cfg.run.run_id}", "+note=first"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
"""
    train = """import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    print(cfg.note)
    print(cfg.run.training.momentum)


if __name__ == "__main__":
    main()
"""
    findings = found("hydra/undefined-key", {"src/main.py": main, "src/train.py": train})
    assert [(f.path, f.line) for f in findings] == [("src/train.py", 7)]
    alone = main.replace("src.train", "src.other")
    assert not found("hydra/undefined-key", {"src/main.py": alone, "src/train.py": train})


def test_a_run_config_that_is_not_loaded_is_one_finding() -> None:
    files = {path.replace("config/run/", "config/runs/"): text for path, text in BASE.items()}
    files["config/config.yaml"] = files["config/config.yaml"].replace("  - run: ???\n", "")
    files["config/config.yaml"] += "run: ???\n"
    report = check(files, profile="config-runs")
    (finding,) = [
        f for f in report.packages[0].findings if f.code in ("HYD005", "HYD006", "HYD016")
    ]
    assert finding.code == "HYD005"
    assert "is not part of the config that Hydra composes" in finding.message
    assert finding.related


def test_what_a_withheld_module_may_have_done_is_unknown() -> None:
    files = model("return nn.Linear(4, cfg.run.model.hidden_units)") | {"src/preprocess.py": ""}
    assert not found("hydra/undefined-key", files, partial=True)


def test_keys_of_a_missing_section_are_left_to_the_rule_about_it() -> None:
    path = "config/run/proposed-fashion-mnist.yaml"
    text = BASE[path]
    files = {path: text[: text.index("optuna:")]}
    assert found("hydra/missing-section", files)
    for rule in ("hydra/undefined-key", "hydra/undefined-in-some-runs"):
        assert not found(rule, files)


def test_writes_of_a_file_are_told_together_with_where_the_keys_stand() -> None:
    config = BASE["config/config.yaml"] + "training: {}\n"
    lines = ["cfg.training.epochs = 1", "cfg.training.seed = 2", "return nn.Linear(4, 8)"]
    (finding,) = found("hydra/struct-write", model(*lines) | {"config/config.yaml": config})
    assert finding.line == 9
    assert "`cfg.run.training.epochs` and `cfg.run.training.seed`" in finding.help
    assert [r.line for r in finding.related] == [10]
