"""Clothing images: download, normalisation, and the split into training and validation parts."""

import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader, random_split
from torchvision import transforms
from torchvision.datasets import FashionMNIST

CACHE_DIR = ".cache/"

# Mean and standard deviation of the training images.
MEAN, STD = 0.2860, 0.3530


def build_loaders(cfg: DictConfig) -> tuple[DataLoader, DataLoader, DataLoader]:
    """The loaders of the training, validation and test parts."""
    dataset = cfg.run.dataset
    if dataset.name != "fashion-mnist":
        raise ValueError(f"unknown dataset {dataset.name!r}")
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    try:
        whole = FashionMNIST(root=CACHE_DIR, train=True, download=True, transform=transform)
        test = FashionMNIST(root=CACHE_DIR, train=False, download=True, transform=transform)
    except (OSError, RuntimeError) as error:
        raise RuntimeError(f"Fashion-MNIST could not be loaded into {CACHE_DIR}") from error
    generator = torch.Generator().manual_seed(cfg.run.training.seed)
    sizes = [len(whole) - dataset.validation_size, dataset.validation_size]
    train, validation = random_split(whole, sizes, generator=generator)
    return (
        DataLoader(train, batch_size=dataset.batch_size, shuffle=True, generator=generator),
        DataLoader(validation, batch_size=dataset.batch_size),
        DataLoader(test, batch_size=dataset.batch_size),
    )
