"""The two networks: one convolutional body, pooled with a learned exponent or by the average."""

import torch
from omegaconf import DictConfig
from torch import nn

IMAGE_CHANNELS = 1
NUM_CLASSES = 10
# Keeps the power and its root differentiable where an activation is zero.
SMALLEST_ACTIVATION = 1e-6


class LearnedPooling(nn.Module):
    """Generalised mean over the image: exponent 1 is the average, a large one nears the maximum.

    Every channel has its own exponent, which is trained with the other weights.
    """

    def __init__(self, channels: int, initial_exponent: float) -> None:
        super().__init__()
        if initial_exponent < 1:
            raise ValueError(f"the exponent must be at least 1, not {initial_exponent}")
        self.exponent = nn.Parameter(torch.full((channels, 1, 1), float(initial_exponent)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        exponent = self.exponent.clamp(min=1.0)
        powers = features.clamp(min=SMALLEST_ACTIVATION).pow(exponent)
        mean = powers.mean(dim=(-2, -1), keepdim=True)
        return mean.pow(1.0 / exponent).flatten(1)


class AveragePooling(nn.Module):
    """The plain mean over the image."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean(dim=(-2, -1))


class DigitClassifier(nn.Module):
    """Two convolutions, the pooling that is compared, and a linear layer over the ten digits."""

    def __init__(self, channels: int, pooling: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(IMAGE_CHANNELS, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.pooling = pooling
        self.head = nn.Linear(channels, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooling(self.body(images)))


def build_model(model_cfg: DictConfig) -> DigitClassifier:
    """The network that a run config names."""
    if model_cfg.name == "learned-pooling-cnn":
        pooling = LearnedPooling(model_cfg.channels, model_cfg.initial_exponent)
    elif model_cfg.name == "average-pooling-cnn":
        pooling = AveragePooling()
    else:
        raise ValueError(f"model.name={model_cfg.name} is unknown")
    return DigitClassifier(model_cfg.channels, pooling)
