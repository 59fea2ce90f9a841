"""The handwritten digits that scikit-learn carries: loaded, cached, split and standardised."""

import os
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def load_images(dataset_cfg: DictConfig) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 by 8 grey values from 0 to 16, and their labels from 0 to 9."""
    if dataset_cfg.name != "digits":
        raise ValueError(f"dataset.name={dataset_cfg.name} is unknown")
    cache = Path(dataset_cfg.cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "digits.npz"
    if not path.exists():
        digits = load_digits()
        # Written under another name first: a second run may look for the file meanwhile.
        unfinished = cache / f"digits-{os.getpid()}.npz"
        np.savez(unfinished, images=digits.images, labels=digits.target)
        os.replace(unfinished, path)
    try:
        with np.load(path) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise RuntimeError(f"{path} cannot be read: delete it, and it is made anew") from error
    if images.shape[1:] != (8, 8) or len(images) != len(labels):
        raise RuntimeError(f"{path} does not hold the digits: delete it, and it is made anew")
    return images.astype(np.float32), labels.astype(np.int64)


def build_loaders(
    dataset_cfg: DictConfig, batch_size: int
) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Loaders of the training, validation and test part.

    The parts are disjoint, hold the digits in equal shares, and depend on the split seed only, so
    that every run is tested on the same images in the same order.
    """
    images, labels = load_images(dataset_cfg)
    indices = np.arange(len(labels))
    rest, test = train_test_split(
        indices,
        test_size=dataset_cfg.test_size,
        stratify=labels,
        random_state=dataset_cfg.split_seed,
    )
    train, validation = train_test_split(
        rest,
        test_size=dataset_cfg.validation_size,
        stratify=labels[rest],
        random_state=dataset_cfg.split_seed,
    )
    mean, deviation = images[train].mean(), images[train].std()

    def loader(part: np.ndarray, shuffle: bool) -> DataLoader:
        standardised = torch.from_numpy((images[part] - mean) / deviation).unsqueeze(1)
        dataset = TensorDataset(standardised, torch.from_numpy(labels[part]))
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)

    return loader(train, True), loader(validation, False), loader(test, False)
