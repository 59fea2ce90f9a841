"""The network, and the loss of each method."""

import torch
from omegaconf import DictConfig
from torch import nn


class SmallCNN(nn.Module):
    """Two convolution blocks and a linear classifier for 28 x 28 grey images."""

    def __init__(self, channels: int, dropout: float, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.features(images).flatten(start_dim=1)
        return self.classifier(self.dropout(features))


def build_model(cfg: DictConfig) -> nn.Module:
    """The model that the run asks for."""
    model = cfg.run.model
    if model.name == "small-cnn":
        return SmallCNN(model.channels, model.dropout, model.num_classes)
    raise ValueError(f"unknown model {model.name!r}")


def build_loss(cfg: DictConfig) -> nn.Module:
    """The training loss of the run's method."""
    method = cfg.run.method
    if method.name == "label-smoothing":
        return nn.CrossEntropyLoss(label_smoothing=method.smoothing)
    if method.name == "cross-entropy":
        return nn.CrossEntropyLoss()
    raise ValueError(f"unknown method {method.name!r}")
