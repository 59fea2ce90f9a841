"""What the model of a run's logging says of programs."""

from __future__ import annotations

from case_files import base_package
from experiments import experiment_of
from explint.experiment import Experiment
from explint.rules.logged import RunLog, full_logs, run_logs
from explint.rules.processes import processes
from explint.source import package_of_files

BASE = base_package()
HEAD = "import wandb\nfrom omegaconf import OmegaConf\n\n\ndef run_experiment(cfg):\n"


def laid_over(files: dict[str, str]) -> Experiment:
    """The base package with files laid over it."""
    return experiment_of(package_of_files(BASE | files))


def log_of(*lines: str) -> RunLog:
    """What the first run logs in full mode when ``run_experiment`` has these lines."""
    text = HEAD + "".join(f"    {line}\n" for line in lines)
    return full_logs(laid_over({"src/train.py": text}))[0]


def keys(log: RunLog, sink: str) -> list[str]:
    return [str(k.key) for call in log.calls if call.sink == sink for k in call.keys]


def test_the_sound_package_logs_in_both_modes_and_is_disabled_in_trial() -> None:
    logs = run_logs(laid_over({}))
    assert [(log.run_id, log.mode, [i.mode for i in log.inits]) for log in logs] == [
        ("comparative-fashion-mnist", "trial", ["disabled"]),
        ("comparative-fashion-mnist", "full", ["online"]),
        ("proposed-fashion-mnist", "trial", ["disabled"]),
        ("proposed-fashion-mnist", "full", ["online"]),
    ]
    assert logs[1].exact_keys() == [
        "train_step",
        "train_loss",
        "train_accuracy",
        "epoch",
        "val_loss",
        "val_accuracy",
        "test_batch",
        "test_batch_accuracy",
    ]
    assert logs[1].exact_keys("summary")[-3:] == [
        "best_val_accuracy",
        "test_loss",
        "test_accuracy",
    ]
    assert not logs[1].may_log("test_accuracy", "history")
    assert logs[1].may_log("test_accuracy", "summary")


def test_keys_are_followed_through_dicts_prefixes_aliases_and_configs() -> None:
    log = log_of(
        "from wandb import log as write",
        "metrics = {}",
        "metrics['loss'] = 1.0",
        "metrics.update({'acc': 2.0})",
        "write({f'train/{k}': v for k, v in metrics.items()})",
        "run = wandb.init()",
        "run.log({**metrics, f'{cfg.run.dataset.name}/f1': 3.0})",
        "wandb.run.log(dict(grad=1))",
        "wandb.log({'val': {'top1': 1}})",
        "run.summary.update({'best': 1})",
        "run.define_metric('val/*', summary='max')",
    )
    assert keys(log, "history") == [
        "train/loss",
        "train/acc",
        "loss",
        "acc",
        "fashion-mnist/f1",
        "grad",
        "val",
        "val.top1",
    ]
    assert keys(log, "summary") == ["best", "val/*.*"]
    assert not log.openings


def test_a_dynamic_key_matches_only_what_it_could_be() -> None:
    log = log_of("wandb.init()", "for name in compute(cfg):", "    wandb.log({f'val/{name}': 1})")
    assert log.may_log("val/accuracy")
    assert not log.may_log("train/accuracy")


def test_what_the_config_rules_out_is_not_logged() -> None:
    log = log_of(
        "wandb.init()",
        "if cfg.run.method.smoothing > 0:",
        "    wandb.log({'smoothing': 1})",
        "wandb.log({'loss': 1})",
    )
    assert keys(log, "history") == ["loss"]


def test_the_words_of_the_child_decide_its_config() -> None:
    main = """import subprocess
import sys

import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    words = [f"run={cfg.run.run_id}", f"results_dir={cfg.results_dir}", f"mode={cfg.mode}"]
    if cfg.mode == "trial":
        words.append("wandb.mode=disabled")
    subprocess.run([sys.executable, "-m", "src.train", *words], check=True)


if __name__ == "__main__":
    main()
"""
    train = """import hydra
import wandb


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    wandb.init(mode=cfg.wandb.mode, id=cfg.run.run_id)
    wandb.log({"loss": 1})


if __name__ == "__main__":
    main()
"""
    experiment = laid_over({"src/main.py": main, "src/train.py": train})
    assert [(p.path, p.mode) for p in processes(experiment)][:2] == [
        ("src/main.py", "trial"),
        ("src/train.py", "trial"),
    ]
    modes = {log.mode: [i.mode for i in log.inits] for log in run_logs(experiment)}
    assert modes == {"trial": ["disabled"], "full": ["online"]}


def test_the_environment_counts_where_the_call_says_nothing() -> None:
    log = log_of("import os", "os.environ['WANDB_MODE'] = 'offline'", "wandb.init()")
    assert [i.mode for i in log.inits] == ["offline"]


def test_other_loggers_log_what_they_are_known_to() -> None:
    log = log_of(
        "from transformers import Trainer, TrainingArguments",
        "Trainer(args=TrainingArguments(report_to='wandb')).train()",
    )
    assert log.may_log("eval/loss")
    assert not log.may_log("final_accuracy")


def test_a_module_that_is_absent_may_log_anything() -> None:
    log = log_of("from src.helper import report", "wandb.init()", "report(cfg)")
    assert [o.decided_by for o in log.openings] == ["src/helper.py"]
    assert log.may_log("anything")
