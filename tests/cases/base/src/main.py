"""Runs one experiment: `python -m src.main run=<run id> results_dir=<folder> mode=trial|full`."""

import hydra
from omegaconf import DictConfig

from src.train import run_experiment


def apply_mode(cfg: DictConfig) -> None:
    """Sets what the mode decides; both modes use the same code."""
    if cfg.mode == "trial":
        cfg.wandb.mode = "disabled"
        cfg.run.training.epochs = 1
        cfg.run.training.max_batches = 2
        cfg.run.optuna.n_trials = 0
    elif cfg.mode == "full":
        cfg.wandb.mode = "online"
    else:
        raise ValueError(f"mode must be trial or full, not {cfg.mode!r}")


@hydra.main(version_base=None, config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    apply_mode(cfg)
    run_experiment(cfg)


if __name__ == "__main__":
    main()
