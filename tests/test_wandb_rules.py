"""What the wandb family says, and what it leaves undecided until a package is complete."""

from __future__ import annotations

from case_files import base_package
from explint import check
from explint.model import Finding, PackageReport

BASE = base_package()
TRAIN = """import wandb
from omegaconf import DictConfig, OmegaConf

from src.model import score


def run_experiment(cfg: DictConfig) -> None:
    wandb.init(
        project=cfg.wandb.project,
        id=cfg.run.run_id,
        mode=cfg.wandb.mode,
        config=OmegaConf.to_container(cfg, resolve=True),
    )
    wandb.log({"val_accuracy": score(cfg)})
    wandb.summary["best_val_accuracy"] = score(cfg)
    wandb.finish()
"""
EVALUATE = """import json
import sys

import wandb


def main() -> None:
    values = dict(word.split("=", 1) for word in sys.argv[1:])
    api = wandb.Api()
    for run_id in json.loads(values["run_ids"]):
        run = api.run(f"example-lab/label-smoothing/{run_id}")
        print(run.history(keys=["val_accuracy", "val_mcc"]))
        print(run.summary["val_mcc"])


if __name__ == "__main__":
    main()
"""
MODEL = "def score(cfg):\n    return float(len(cfg.run.run_id))\n"
DESIGN = {
    path: text + "evaluation:\n  metrics: [accuracy, matthews_corrcoef]\n"
    for path, text in BASE.items()
    if path.startswith("config/run/") and isinstance(text, str)
}


def checked(files: dict[str, str], *, partial: bool = False) -> PackageReport:
    return check(BASE | files, profile="full-trial", partial=partial).packages[0]


def told(report: PackageReport) -> dict[str, Finding]:
    return {f.rule: f for f in report.findings if f.rule.startswith("wandb/")}


def test_a_withheld_module_may_log_what_is_asked_for_and_a_completed_package_does_not() -> None:
    files = {**DESIGN, "src/train.py": TRAIN, "src/evaluate.py": EVALUATE}
    part = checked({**files, "src/model.py": ""}, partial=True)
    assert not told(part)
    reasons = {(u.criterion, u.decided_by) for u in part.verdict.undecided}
    assert (6, "src/model.py") in reasons
    why = [u.reason for u in part.verdict.undecided if u.decided_by == "src/model.py"]
    assert any("`val_mcc`" in reason for reason in why)
    answered = {"src/evaluate.py": EVALUATE.replace("val_mcc", "val_accuracy")}
    part = checked({**files, **answered, "src/model.py": ""}, partial=True)
    (design,) = [u.reason for u in part.verdict.undecided if u.criterion == 6]
    assert "`matthews_corrcoef`" in design

    whole = told(checked({**files, "src/model.py": MODEL}))
    assert whole.keys() == {"wandb/metric-mismatch", "wandb/sparse-logging"}
    assert whole["wandb/sparse-logging"].message == (
        "The design asks for `matthews_corrcoef`, which no run logs."
    )


def test_one_key_that_is_missing_in_several_places_is_told_by_kind() -> None:
    files = {"src/train.py": TRAIN, "src/evaluate.py": EVALUATE, "src/model.py": MODEL}
    findings = [f for f in checked(files).findings if f.rule == "wandb/metric-mismatch"]
    assert [(f.line, f.message) for f in findings] == [
        (
            12,
            "The history is asked for `val_mcc`, which training never logs: only rows that hold "
            "all the keys are returned, so there are none.",
        )
    ]
    assert [(r.line, r.message) for r in findings[0].related] == [
        (13, "`val_mcc` is read here too.")
    ]
    assert findings[0].help == "Log `val_mcc` in training, or ask for `val_accuracy` alone."


def test_the_nearest_logged_key_is_offered() -> None:
    evaluate = EVALUATE.replace('"val_accuracy", "val_mcc"', '"val/accuracy"')
    evaluate = evaluate.replace("val_mcc", "val_accuracy")
    files = {"src/train.py": TRAIN, "src/evaluate.py": evaluate, "src/model.py": MODEL}
    finding = told(checked(files))["wandb/metric-mismatch"]
    assert finding.help == "Read `val_accuracy`, which training logs, or log `val/accuracy`."


def test_a_key_that_only_some_runs_log_names_the_others() -> None:
    train = TRAIN.replace(
        "    wandb.finish()",
        "    if cfg.run.method.smoothing > 0:\n"
        '        wandb.log({"val_accuracy": 1.0, "val_mcc": 1.0})\n'
        "    wandb.finish()",
    )
    files = {"src/train.py": train, "src/evaluate.py": EVALUATE, "src/model.py": MODEL}
    finding = told(checked(files))["wandb/metric-mismatch"]
    assert finding.runs == ("comparative-fashion-mnist",)


def test_without_the_training_module_nothing_is_told() -> None:
    report = checked({"src/train.py": "", "src/evaluate.py": EVALUATE}, partial=True)
    assert not told(report)
    assert (6, "src/train.py") in {(u.criterion, u.decided_by) for u in report.verdict.undecided}
