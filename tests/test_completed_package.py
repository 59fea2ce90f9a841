"""What withheld modules could still read, log or set is open until the package is completed."""

from __future__ import annotations

from case_files import base_package
from explint import check
from explint.model import PackageReport

BASE = base_package()


def edited(path: str, *changes: tuple[str, str]) -> str:
    """A file of the base package with texts replaced: what stands there, what to write."""
    text = BASE[path]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


TRAIN = edited(
    "src/train.py",
    ("    learning_rate: float,\n    weight_decay: float,\n", ""),
    (
        "lr=learning_rate, weight_decay=weight_decay",
        "lr=training.learning_rate, weight_decay=training.weight_decay",
    ),
    (
        """        sampled = {
            name: trial.suggest_float(name, entry.low, entry.high, log=entry.log)
            for name, entry in space.items()
        }
        _, accuracy = fit(cfg, loaders, device, logs=False, **{**configured, **sampled})
""",
        """        sampled = {}
        for name, entry in space.items():
            sampled[name] = trial.suggest_float(name, entry.low, entry.high, log=entry.log)
        _, accuracy = fit(with_sampled(cfg, sampled), loaders, device, logs=False)
""",
    ),
    (
        "def search(",
        """def with_sampled(cfg: DictConfig, sampled: dict[str, float]) -> DictConfig:
    changed = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    for name, value in sampled.items():
        changed[name] = value
    return changed


def search(""",
    ),
    ("device, logs=True, **best_params)", "device, logs=True)"),
    ("    best_params = search(", "    cfg = with_sampled(cfg, search("),
    ("device)\n    wandb.init", "device))\n    wandb.init"),
)
MAIN = """
import hydra
from omegaconf import DictConfig

from src.train import run_experiment


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    run_experiment(cfg)


if __name__ == "__main__":
    main()
"""
EVALUATE = edited(
    "src/evaluate.py",
    ('run.summary["best_val_accuracy"]', 'run.summary["best_val_mcc"]'),
)
SPACE = {
    path: text + "evaluation:\n  metrics: [accuracy, matthews_corrcoef]\n"
    for path, text in BASE.items()
    if path.startswith("config/run/")
}
WITHHELD = ("src/main.py", "src/evaluate.py", "src/model.py")
PACKAGE = {**BASE, **SPACE, "src/train.py": TRAIN}
COMPLETED = {**PACKAGE, "src/main.py": MAIN, "src/evaluate.py": EVALUATE}


def checked(files: dict[str, str], *, partial: bool = False) -> PackageReport:
    (report,) = check(files, profile="full-trial", partial=partial).packages
    return report


def errors(report: PackageReport) -> set[str]:
    return {f.rule for f in report.findings if f.severity == "error"}


def test_withheld_modules_leave_open_what_they_could_read_log_or_set() -> None:
    part = checked({**PACKAGE, **dict.fromkeys(WITHHELD, "")}, partial=True)
    assert errors(part) == {"structure/empty-file"}
    assert {n for n, state in part.verdict.criteria.items() if state == "violated"} == {"1", "5"}
    why = {(u.criterion, u.decided_by): u.reason for u in part.verdict.undecided}
    written = why[7, "src/model.py and src/main.py"]
    assert "the sampled `learning_rate` and `weight_decay` where they are written" in written
    assert "may log more" in why[6, "src/model.py"]
    assert "metric-mismatch" in why[8, "src/evaluate.py"]
    assert (
        "`mode` may be read, and what it changes may be set, in src/main.py"
        in (why[9, "src/main.py"])
    )


def test_the_completed_package_has_them_as_findings() -> None:
    whole = checked(COMPLETED)
    families = ("wandb/", "optuna/", "evaluate/", "trial/", "results/")
    found = {f.rule: f for f in whole.findings if f.rule.startswith(families)}
    assert found.keys() == {
        "optuna/search-key-without-effect",
        "trial/no-mode",
        "wandb/metric-mismatch",
        "wandb/sparse-logging",
    }
    assert found["optuna/search-key-without-effect"].message == (
        "The sampled `learning_rate` and `weight_decay` are written to the root of the config, "
        "where nothing reads them."
    )
    assert "`best_val_mcc`" in found["wandb/metric-mismatch"].message
    assert "`matthews_corrcoef`" in found["wandb/sparse-logging"].message
    # What the rebuilt config holds after the sampled values are written to it is not known.
    assert "model/same-method" not in {f.rule for f in whole.findings}
    assert {u.criterion for u in whole.verdict.undecided} <= {3, 4}
