"""Evaluation: reads the finished runs from W&B, describes each and compares the two methods.

    uv run python -m src.evaluate results_dir=results \
        run_ids='["proposed-similarity-vote-wine", "comparative-equal-vote-wine"]'
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import wandb
from omegaconf import OmegaConf
from scipy.stats import wilcoxon

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

CONFIG = Path(__file__).resolve().parent.parent / "config" / "config.yaml"
ALL_ROWS = 100_000


def read_run(api: wandb.Api, entity: str, project: str, run_id: str) -> dict[str, Any]:
    """What W&B holds of one run: history, summary and configuration."""
    run = api.run(f"{entity}/{project}/{run_id}")
    rows = run.history(keys=["queries", "running_accuracy"], samples=ALL_ROWS, pandas=False)
    return {
        "run_id": run_id,
        "method": str(run.config["method"]),
        "accuracy": float(run.summary["accuracy"]),
        "mean_share": float(run.summary["mean_share"]),
        "shares_of_truth": [float(share) for share in run.summary["shares_of_truth"]],
        "queries": [int(row["queries"]) for row in rows],
        "running_accuracy": [float(row["running_accuracy"]) for row in rows],
    }


def write_json(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(path)


def save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    print(path)


def describe_run(result: dict[str, Any], folder: Path) -> None:
    """Step 1: one run's metrics and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    run_id = result["run_id"]
    write_json(result, folder / "metrics.json")
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(result["queries"], result["running_accuracy"], label=result["method"])
    last = (result["queries"][-1], result["running_accuracy"][-1])
    axes.annotate(f"{last[1]:.3f}", last, xytext=(-30, -14), textcoords="offset points")
    axes.set(xlabel="queries answered", ylabel="accuracy so far", title=run_id)
    axes.legend()
    save(figure, folder / f"{run_id}_running_accuracy.pdf")


def best_of(results: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """The run of a method with the highest accuracy."""
    runs = [result for result in results if result["method"] == method]
    if not runs:
        raise SystemExit(f"none of the runs belongs to the {method} method")
    return max(runs, key=lambda result: result["accuracy"])


def p_value(proposed: list[float], baseline: list[float]) -> float:
    """Wilcoxon's signed-rank test on the shares that the true class got, query by query."""
    if len(proposed) != len(baseline):
        raise ValueError("the two runs did not answer the same queries")
    if proposed == baseline:
        return 1.0
    return float(wilcoxon(proposed, baseline).pvalue)


def compare(results: list[dict[str, Any]], folder: Path) -> None:
    """Step 2: the methods beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    proposed, baseline = best_of(results, "proposed"), best_of(results, "comparative")
    gap = proposed["accuracy"] - baseline["accuracy"]
    significance = p_value(proposed["shares_of_truth"], baseline["shares_of_truth"])
    aggregated = {
        "primary_metric": "accuracy",
        "metrics": {
            "accuracy": {result["run_id"]: result["accuracy"] for result in results},
            "mean_share": {result["run_id"]: result["mean_share"] for result in results},
        },
        "best_proposed": proposed["run_id"],
        "best_baseline": baseline["run_id"],
        "gap": gap,
        "improvement_rate": gap / baseline["accuracy"] if baseline["accuracy"] > 0 else None,
        "wilcoxon_p_value": significance,
    }
    write_json(aggregated, folder / "aggregated_metrics.json")

    figure, axes = plt.subplots(figsize=(7, 4))
    for result in results:
        bars = axes.bar(result["run_id"], result["accuracy"], label=result["method"])
        axes.bar_label(bars, fmt="%.3f")
    axes.annotate(f"Wilcoxon: p = {significance:.3g}", (0.02, 0.94), xycoords="axes fraction")
    axes.set(ylabel="accuracy", ylim=(0, 1.15), title="Accuracy")
    axes.legend(loc="lower right")
    save(figure, folder / "comparison_accuracy_bar_chart.pdf")


def main() -> None:
    settings = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    missing = [key for key in ("results_dir", "run_ids") if key not in settings]
    if missing:
        raise SystemExit(f"missing on the command line: {', '.join(missing)}")
    results_dir, run_ids = Path(settings["results_dir"]), json.loads(settings["run_ids"])
    config = OmegaConf.load(CONFIG).wandb
    api = wandb.Api()
    results = [read_run(api, config.entity, config.project, run_id) for run_id in run_ids]
    for result in results:
        describe_run(result, results_dir / result["run_id"])
    compare(results, results_dir / "comparison")


if __name__ == "__main__":
    main()
