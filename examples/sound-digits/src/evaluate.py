"""Evaluation: reads the finished runs from W&B, describes each and compares the two methods.

    uv run python -m src.evaluate results_dir=results \
        run_ids='["proposed-learned-pooling-digits", "comparative-average-pooling-digits"]'
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import wandb
from omegaconf import OmegaConf
from scipy.stats import binomtest

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

CONFIG = Path(__file__).resolve().parent.parent / "config" / "config.yaml"
# More rows than any run logs, so that W&B does not thin the history out.
ALL_ROWS = 100_000


def parse_command_line(words: list[str]) -> tuple[Path, list[str]]:
    """The results folder and the run ids from `key=value` words."""
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    missing = [key for key in ("results_dir", "run_ids") if key not in settings]
    if missing:
        raise SystemExit(f"missing on the command line: {', '.join(missing)}")
    run_ids = json.loads(settings["run_ids"])
    if not isinstance(run_ids, list) or not run_ids:
        raise SystemExit("run_ids must be a JSON list of run ids")
    return Path(settings["results_dir"]), [str(run_id) for run_id in run_ids]


def read_run(api: wandb.Api, entity: str, project: str, run_id: str) -> dict[str, Any]:
    """What W&B holds of one run: history, summary and configuration."""
    run = api.run(f"{entity}/{project}/{run_id}")
    steps = run.history(keys=["train_loss"], samples=ALL_ROWS, pandas=False)
    epochs = run.history(
        keys=["epoch", "val_loss", "val_accuracy"], samples=ALL_ROWS, pandas=False
    )
    return {
        "run_id": run_id,
        "method": str(run.config["method"]),
        "model": str(run.config["model"]["name"]),
        "best_epoch": int(run.summary["best_epoch"]),
        "best_val_accuracy": float(run.summary["best_val_accuracy"]),
        "test_accuracy": float(run.summary["test_accuracy"]),
        "test_loss": float(run.summary["test_loss"]),
        "test_correct": [int(value) for value in run.summary["test_correct"]],
        "confusion_matrix": [
            [int(value) for value in row] for row in run.summary["confusion_matrix"]
        ],
        "train_loss": [float(row["train_loss"]) for row in steps],
        "epoch": [int(row["epoch"]) for row in epochs],
        "val_loss": [float(row["val_loss"]) for row in epochs],
        "val_accuracy": [float(row["val_accuracy"]) for row in epochs],
    }


def recalls(result: dict[str, Any]) -> list[float]:
    """The share of each digit's test images that was recognised."""
    matrix = np.array(result["confusion_matrix"])
    return [float(share) for share in matrix.diagonal() / matrix.sum(axis=1).clip(min=1)]


def describe_run(result: dict[str, Any], folder: Path) -> None:
    """Step 1: one run's metrics and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    run_id = result["run_id"]
    with (folder / "metrics.json").open("w", encoding="utf-8") as file:
        json.dump({**result, "recall": recalls(result)}, file, indent=2, allow_nan=False)

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 4))
    per_epoch = len(result["train_loss"]) / max(1, len(result["epoch"]))
    positions = (np.arange(len(result["train_loss"])) + 1) / per_epoch
    losses.plot(positions, result["train_loss"], label="training", alpha=0.6)
    losses.plot(result["epoch"], result["val_loss"], label="validation")
    losses.set(xlabel="epoch", ylabel="cross-entropy", title=f"{run_id}: loss")
    losses.legend()
    accuracies.plot(result["epoch"], result["val_accuracy"], label="validation")
    best = (result["best_epoch"], result["best_val_accuracy"])
    accuracies.scatter(*best, color="black", label="best epoch")
    accuracies.annotate(f"{best[1]:.4f}", best, xytext=(0, -14), textcoords="offset points")
    accuracies.set(xlabel="epoch", ylabel="accuracy", title=f"{run_id}: accuracy")
    accuracies.legend()
    figure.tight_layout()
    figure.savefig(folder / f"{run_id}_learning_curve.pdf")
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(6, 5))
    matrix = np.array(result["confusion_matrix"])
    figure.colorbar(axes.imshow(matrix, cmap="Blues"), ax=axes, label="test images")
    for row, column in np.ndindex(*matrix.shape):
        axes.annotate(str(matrix[row, column]), (column, row), ha="center", va="center")
    axes.set(xlabel="predicted digit", ylabel="true digit", title=f"{run_id}: test images")
    figure.tight_layout()
    figure.savefig(folder / f"{run_id}_confusion_matrix.pdf")
    plt.close(figure)


def compute_significance(proposed: list[int], baseline: list[int]) -> dict[str, float | int]:
    """Exact McNemar test on the test images on which the two models disagree."""
    if len(proposed) != len(baseline):
        raise ValueError("the two runs were not tested on the same images")
    only_proposed = sum(p > b for p, b in zip(proposed, baseline, strict=True))
    only_baseline = sum(p < b for p, b in zip(proposed, baseline, strict=True))
    differing = only_proposed + only_baseline
    p_value = float(binomtest(only_proposed, differing).pvalue) if differing else 1.0
    return {"only_proposed": only_proposed, "only_baseline": only_baseline, "p_value": p_value}


def best_of(results: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """The run of a method with the best validation accuracy."""
    runs = [result for result in results if result["method"] == method]
    if not runs:
        raise SystemExit(f"none of the runs belongs to the {method} method")
    return max(runs, key=lambda result: result["best_val_accuracy"])


def compare(results: list[dict[str, Any]], folder: Path) -> None:
    """Step 2: the methods beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    proposed, baseline = best_of(results, "proposed"), best_of(results, "comparative")
    gain = proposed["test_accuracy"] - baseline["test_accuracy"]
    aggregated = {
        "test_accuracy": {result["run_id"]: result["test_accuracy"] for result in results},
        "test_loss": {result["run_id"]: result["test_loss"] for result in results},
        "proposed": proposed["run_id"],
        "baseline": baseline["run_id"],
        "improvement_rate": (
            gain / baseline["test_accuracy"] if baseline["test_accuracy"] > 0 else None
        ),
        "significance": compute_significance(proposed["test_correct"], baseline["test_correct"]),
    }
    with (folder / "aggregated_metrics.json").open("w", encoding="utf-8") as file:
        json.dump(aggregated, file, indent=2, allow_nan=False)

    columns = ["run_id", "method", "model", "best_epoch", "best_val_accuracy", "test_accuracy"]
    with (folder / "comparison_metrics_table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(results)

    figure, axes = plt.subplots(figsize=(7, 4))
    for result in results:
        bars = axes.bar(result["run_id"], result["test_accuracy"], label=result["method"])
        axes.bar_label(bars, fmt="%.4f")
    p_value = aggregated["significance"]["p_value"]
    axes.annotate(f"exact McNemar test: p = {p_value:.3g}", (0.02, 0.95), xycoords="axes fraction")
    axes.set(ylabel="test accuracy", ylim=(0, 1.15), title="Test accuracy")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(folder / "comparison_test_accuracy_bar_chart.pdf")
    plt.close(figure)

    figure, axes = plt.subplots(figsize=(7, 4))
    for position, result in enumerate(results):
        shares = recalls(result)
        axes.boxplot(shares, positions=[position], widths=0.5)
        axes.scatter([position] * len(shares), shares, alpha=0.6, label=result["method"])
        axes.annotate(f"median {np.median(shares):.3f}", (position + 0.28, np.median(shares)))
    axes.set_xticks(range(len(results)), [result["run_id"] for result in results])
    axes.set(ylabel="recall per digit", title="Recall of the ten digits")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(folder / "comparison_recall_box_plot.pdf")
    plt.close(figure)


def main() -> None:
    results_dir, run_ids = parse_command_line(sys.argv[1:])
    settings = OmegaConf.load(CONFIG).wandb
    api = wandb.Api()
    results = [read_run(api, settings.entity, settings.project, run_id) for run_id in run_ids]
    for result in results:
        describe_run(result, results_dir / result["run_id"])
    compare(results, results_dir / "comparison")
    for path in sorted(results_dir.rglob("*.*")):
        print(path)


if __name__ == "__main__":
    main()
