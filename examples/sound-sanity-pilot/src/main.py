"""Entry point: sets the configuration to the chosen mode and runs one experiment.

    uv run python -u -m src.main run=proposed-similarity-vote-wine results_dir=results mode=pilot
"""

import logging

import hydra
from omegaconf import DictConfig

from src.inference import run_inference

logger = logging.getLogger(__name__)


def apply_mode(cfg: DictConfig) -> None:
    """Sends the cheap runs to W&B projects of their own."""
    if cfg.mode == "sanity":
        cfg.wandb.project = f"{cfg.wandb.project}-sanity"
    elif cfg.mode == "pilot":
        cfg.wandb.project = f"{cfg.wandb.project}-pilot"
    elif cfg.mode != "full":
        raise ValueError(f"mode={cfg.mode} is unknown: write mode=sanity, mode=pilot or mode=full")
    cfg.wandb.mode = "online"


@hydra.main(version_base="1.3", config_path="../config", config_name="config")
def main(cfg: DictConfig) -> None:
    apply_mode(cfg)
    accuracy = run_inference(cfg)
    logger.info("%s: accuracy %.4f", cfg.run.run_id, accuracy)


if __name__ == "__main__":
    main()
