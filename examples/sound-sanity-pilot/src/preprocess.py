"""The wine data that scikit-learn carries: loaded, cached, split and standardised."""

import os
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split


def load_table(dataset_cfg: DictConfig) -> tuple[np.ndarray, np.ndarray]:
    """Thirteen measurements of each wine, and the cultivar it comes from (0, 1 or 2)."""
    if dataset_cfg.name != "wine":
        raise ValueError(f"dataset.name={dataset_cfg.name} is unknown")
    cache = Path(dataset_cfg.cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "wine.npz"
    if not path.exists():
        wine = load_wine()
        unfinished = cache / f"wine-{os.getpid()}.npz"
        np.savez(unfinished, measurements=wine.data, cultivars=wine.target)
        os.replace(unfinished, path)
    try:
        with np.load(path) as stored:
            return stored["measurements"].astype(np.float32), stored["cultivars"].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise RuntimeError(f"{path} cannot be read: delete it, and it is made anew") from error


def build_memory_and_queries(
    dataset_cfg: DictConfig,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stored examples with labels, and queries with labels; no wine is in both parts."""
    measurements, cultivars = load_table(dataset_cfg)
    memory, queries = train_test_split(
        np.arange(len(cultivars)),
        test_size=dataset_cfg.query_fraction,
        stratify=cultivars,
        random_state=dataset_cfg.split_seed,
    )
    mean, deviation = measurements[memory].mean(axis=0), measurements[memory].std(axis=0)
    standardised = torch.from_numpy((measurements - mean) / deviation)
    labels = torch.from_numpy(cultivars)
    return standardised[memory], labels[memory], standardised[queries], labels[queries]
