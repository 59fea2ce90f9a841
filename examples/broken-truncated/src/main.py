"""Entry point: sets the configuration to the chosen mode and runs one experiment.

    uv run python -u -m src.main run=proposed-learned-pooling-digits results_dir=results mode=full
"""

import logging

import hydra
from omegaconf import DictConfig

from src.train import run_experiment

logger = logging.getLogger(__name__)


def apply_mode(cfg: DictConfig) -> None:
    """Makes the run cheap and silent in trial mode, and logged in full mode."""
    if cfg.mode == "trial":
        cfg.wandb.mode = "disabled"
        cfg.run.optuna.n_trials = 0
        cfg.run.training.epochs = 1
        cfg.run.training.max_batches = cfg.trial.max_batches
    elif cfg.mode == "full":
        cfg.wandb.mode = "online"
    else:
        raise ValueError(f"mode={cfg.mode} is unknown: write mode=trial or mode=full")


@hydra.main(version_base="1.3", config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    apply_mode(cfg)
    best_validation_accuracy = run_experiment(cfg)
    logger.info(
        "%s: best validation accuracy %.4f", cfg.run.run_id, best_validation_accuracy
    )


if __name__ == "__main__":
    main()
