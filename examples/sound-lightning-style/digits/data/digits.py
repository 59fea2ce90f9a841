"""scikit-learn's handwritten digits as a Lightning data module."""

from pathlib import Path

import torch
from lightning import LightningDataModule
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split


class DigitsDataModule(LightningDataModule):
    """Three disjoint parts of the digits; the split depends on ``split_seed`` alone."""

    def __init__(
        self,
        cache_dir: str,
        batch_size: int = 64,
        validation_fraction: float = 0.2,
        test_fraction: float = 0.2,
        split_seed: int = 3,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.path = Path(cache_dir) / "digits.pt"
        self.parts: dict[str, Dataset] = {}

    @property
    def num_classes(self) -> int:
        return 10

    def prepare_data(self) -> None:
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32) / 16
        torch.save((images, torch.tensor(digits.target)), self.path)

    def setup(self, stage: str | None = None) -> None:
        if self.parts:
            return
        images, labels = torch.load(self.path)
        validation = int(len(labels) * self.hparams.validation_fraction)
        test = int(len(labels) * self.hparams.test_fraction)
        parts = random_split(
            TensorDataset(images, labels),
            [len(labels) - validation - test, validation, test],
            generator=torch.Generator().manual_seed(self.hparams.split_seed),
        )
        self.parts = dict(zip(("train", "validation", "test"), parts, strict=True))

    def _loader(self, part: str, shuffle: bool = False) -> DataLoader:
        return DataLoader(
            self.parts[part],
            batch_size=self.hparams.batch_size,
            num_workers=self.hparams.num_workers,
            shuffle=shuffle,
        )

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("validation")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def teardown(self, stage: str | None = None) -> None:
        """Nothing to close: the loaders hold no files."""
