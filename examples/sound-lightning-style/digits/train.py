"""Trains what the config describes, and tests it with the best checkpoint."""

import logging
from typing import Any

import hydra
import lightning as L
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

log = logging.getLogger(__name__)


def instantiate_all(group: DictConfig | None) -> list[Any]:
    """Every entry of a config group that names a ``_target_``."""
    if not group:
        return []
    return [instantiate(entry) for entry in group.values() if "_target_" in entry]


def train(cfg: DictConfig) -> dict[str, float]:
    if cfg.get("seed"):
        L.seed_everything(cfg.seed, workers=True)

    datamodule: L.LightningDataModule = instantiate(cfg.data)
    model: L.LightningModule = instantiate(cfg.model)
    callbacks: list[Callback] = instantiate_all(cfg.get("callbacks"))
    loggers: list[Logger] = instantiate_all(cfg.get("logger"))
    trainer: L.Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)

    trainer.fit(model=model, datamodule=datamodule, ckpt_path=cfg.get("ckpt_path"))
    metrics = dict(trainer.callback_metrics)
    if cfg.get("test"):
        checkpoint = trainer.checkpoint_callback
        best = checkpoint.best_model_path if checkpoint is not None else None
        trainer.test(model=model, datamodule=datamodule, ckpt_path=best or None)
        metrics |= trainer.callback_metrics
    return {name: float(value) for name, value in metrics.items()}


@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg: DictConfig) -> None:
    for name, value in sorted(train(cfg).items()):
        log.info("%s %s: %.4f", cfg.task_name, name, value)


if __name__ == "__main__":
    main()
