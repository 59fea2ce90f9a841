"""Compares finished runs: `python -m src.evaluate results_dir=<folder> run_ids='["a", "b"]'`."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import wandb
from omegaconf import OmegaConf
from scipy import stats

CONFIG = Path(__file__).resolve().parent.parent / "config" / "config.yaml"


def parse_arguments(words: list[str]) -> tuple[Path, list[str]]:
    """The results folder and the run ids of a `key=value` command line."""
    values = dict(word.split("=", 1) for word in words if "=" in word)
    missing = {"results_dir", "run_ids"} - values.keys()
    if missing:
        raise SystemExit(f"missing arguments: {', '.join(sorted(missing))}")
    return Path(values["results_dir"]), json.loads(values["run_ids"])


def read_run(api: wandb.Api, entity: str, project: str, run_id: str) -> dict:
    """Everything the comparison needs of one run."""
    run = api.run(f"{entity}/{project}/{run_id}")
    validation = list(run.scan_history(keys=["epoch", "val_accuracy"]))
    training = list(run.scan_history(keys=["train_step", "train_loss"]))
    test = list(run.scan_history(keys=["test_batch", "test_batch_accuracy"]))
    return {
        "run_id": run_id,
        "method": run.config["run"]["method"]["name"],
        "test_accuracy": float(run.summary["test_accuracy"]),
        "test_loss": float(run.summary["test_loss"]),
        "best_val_accuracy": float(run.summary["best_val_accuracy"]),
        "epochs": [row["epoch"] for row in validation],
        "val_accuracy": [row["val_accuracy"] for row in validation],
        "train_steps": [row["train_step"] for row in training],
        "train_loss": [row["train_loss"] for row in training],
        "test_batch_accuracy": [row["test_batch_accuracy"] for row in test],
    }


def write_run(results_dir: Path, run: dict) -> None:
    """Writes one run's metrics and learning curve."""
    folder = results_dir / run["run_id"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(run, indent=2))

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot(run["train_steps"], run["train_loss"], label="training loss")
    left.set_xlabel("step")
    left.set_ylabel("loss")
    left.legend()
    right.plot(run["epochs"], run["val_accuracy"], marker="o", label="validation accuracy")
    right.annotate(
        f"test {run['test_accuracy']:.3f}", xy=(0.98, 0.05), xycoords="axes fraction", ha="right"
    )
    right.set_xlabel("epoch")
    right.set_ylabel("accuracy")
    right.legend()
    figure.tight_layout()
    figure.savefig(folder / f"{run['run_id']}_learning_curve.pdf")
    plt.close(figure)


def compare(results_dir: Path, runs: list[dict]) -> None:
    """Writes the comparison of all runs: metrics, improvement rate, significance test, figures."""
    folder = results_dir / "comparison"
    folder.mkdir(parents=True, exist_ok=True)
    proposed = [run for run in runs if run["run_id"].startswith("proposed")]
    baselines = [run for run in runs if run["run_id"].startswith("comparative")]
    aggregated: dict = {
        "primary_metric": "test_accuracy",
        "metrics": {run["run_id"]: run["test_accuracy"] for run in runs},
    }
    if proposed and baselines:
        best = max(proposed, key=lambda run: run["test_accuracy"])
        baseline = max(baselines, key=lambda run: run["test_accuracy"])
        gap = best["test_accuracy"] - baseline["test_accuracy"]
        aggregated["best_proposed"] = best["run_id"]
        aggregated["best_baseline"] = baseline["run_id"]
        aggregated["gap"] = gap
        if baseline["test_accuracy"] > 0:
            aggregated["improvement_rate"] = gap / baseline["test_accuracy"]
        samples = best["test_batch_accuracy"], baseline["test_batch_accuracy"]
        if all(len(set(sample)) > 1 for sample in samples):
            test = stats.ttest_ind(*samples, equal_var=False)
            aggregated["significance"] = {
                "test": "Welch's t-test over test batches",
                "statistic": float(test.statistic),
                "p_value": float(test.pvalue),
            }
    (folder / "aggregated_metrics.json").write_text(json.dumps(aggregated, indent=2))

    figure, axes = plt.subplots(figsize=(6, 4))
    for position, run in enumerate(runs):
        axes.bar(position, run["test_accuracy"], label=run["method"])
        axes.annotate(f"{run['test_accuracy']:.3f}", (position, run["test_accuracy"]), ha="center")
    axes.set_xticks(range(len(runs)), [run["run_id"] for run in runs], rotation=20)
    axes.set_ylabel("test accuracy")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "comparison_test_accuracy.pdf")
    plt.close(figure)


def main() -> None:
    results_dir, run_ids = parse_arguments(sys.argv[1:])
    settings = OmegaConf.load(CONFIG).wandb
    api = wandb.Api()
    runs = [read_run(api, settings.entity, settings.project, run_id) for run_id in run_ids]
    for run in runs:
        write_run(results_dir, run)
    compare(results_dir, runs)


if __name__ == "__main__":
    main()
