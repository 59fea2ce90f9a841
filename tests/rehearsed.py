"""A small sound package to rehearse: no PyTorch, no matplotlib, a search of one line.

Its evaluation writes PDFs by hand, in the form that matplotlib gives them.
"""

from __future__ import annotations

from pathlib import Path

RUNS = ("ours-toy", "theirs-toy")

CONFIG = """\
defaults:
  - _self_
  - run: ???
mode: ???
results_dir: ???
wandb:
  entity: team
  project: toy
  mode: online
"""

RUN = """\
run_id: {run_id}
method: {method}
model: {{name: line, rate: {rate}}}
dataset: {{name: toy}}
training: {{epochs: 4}}
optuna: {{n_trials: 0, search_space: {{}}}}
"""

MAIN = """\
import subprocess
import sys

import hydra


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    words = [f"run={cfg.run.run_id}", f"results_dir={cfg.results_dir}", f"mode={cfg.mode}"]
    if cfg.mode == "trial":
        words += ["wandb.mode=disabled", "run.training.epochs=1"]
    subprocess.run([sys.executable, "-m", "src.train", *words], check=True)


if __name__ == "__main__":
    main()
"""

TRAIN = """\
import hydra
import wandb
from omegaconf import OmegaConf


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg):
    run = wandb.init(
        entity=cfg.wandb.entity,
        project=cfg.wandb.project,
        id=cfg.run.run_id,
        config=OmegaConf.to_container(cfg, resolve=True),
        mode=cfg.wandb.mode,
    )
    weight = 0.0
    for epoch in range(cfg.run.training.epochs):
        weight += cfg.run.model.rate * (1.0 - weight)
        run.log({"val_loss": (1.0 - weight) ** 2, "epoch": epoch})
    run.summary["val_accuracy"] = weight
    run.finish()


if __name__ == "__main__":
    main()
"""

EVALUATE = """\
import json
import sys
from pathlib import Path

import wandb
from omegaconf import OmegaConf


def pdf(path, points):
    drawn = [b"40 40 m 40 300 l S 40 40 m 400 40 l S"]
    if points:
        steps = [b"%d %d" % (40 + 90 * x, 40 + 200 * y) for x, y in points]
        line = b" ".join([steps[0] + b" m", *(step + b" l" for step in steps[1:])])
        drawn.append(b"q 40 40 360 260 re W n " + line + b" S Q")
    body = b" ".join(drawn)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 460 345] /Contents 4 0 R /Resources << >> >>",
        b"<< /Length %d >> stream\\n%s\\nendstream" % (len(body), body),
        b"<< /Producer (Matplotlib pdf backend v3) >>",
    ]
    out = b"%PDF-1.4\\n"
    places = []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj %s endobj\\n" % (number, one)
    start = len(out)
    table = [b"%010d 00000 n \\n" % place for place in places]
    out += b"xref\\n0 6\\n0000000000 65535 f \\n" + b"".join(table)
    out += b"trailer << /Size 6 /Root 1 0 R /Info 5 0 R >>\\nstartxref\\n%d\\n%%%%EOF" % start
    path.write_bytes(out)


def main():
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    results = Path(given["results_dir"])
    settings = OmegaConf.load("config/config.yaml").wandb
    api = wandb.Api()
    scores = {}
    for run_id in json.loads(given["run_ids"]):
        run = api.run(f"{settings.entity}/{settings.project}/{run_id}")
        rows = run.history(keys=["epoch", "val_loss"], pandas=False)
        scores[run.config["run"]["method"]] = run.summary["val_accuracy"]
        folder = results / run_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text(json.dumps({"history": rows}))
        points = [(row["epoch"], row["val_loss"]) for row in rows]
        pdf(folder / f"{run_id}_val_loss.pdf", points)
    comparison = results / "comparison"
    comparison.mkdir(parents=True, exist_ok=True)
    gain = (scores["ours"] - scores["theirs"]) / scores["theirs"]
    (comparison / "aggregated_metrics.json").write_text(json.dumps({**scores, "gain": gain}))
    pdf(comparison / "comparison_accuracy.pdf", list(enumerate(scores.values())))


if __name__ == "__main__":
    main()
"""


def write(folder: Path, *changes: tuple[str, str, str]) -> None:
    """Writes the package; ``changes`` are a path, a text in it, and what stands there instead."""
    files = {
        "config/config.yaml": CONFIG,
        "src/main.py": MAIN,
        "src/train.py": TRAIN,
        "src/evaluate.py": EVALUATE,
    }
    for run_id, rate in zip(RUNS, ("0.5", "0.2"), strict=True):
        method = run_id.partition("-")[0]
        files[f"config/run/{run_id}.yaml"] = RUN.format(run_id=run_id, method=method, rate=rate)
    for path, old, new in changes:
        assert old in files[path], (path, old)
        files[path] = files[path].replace(old, new)
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
