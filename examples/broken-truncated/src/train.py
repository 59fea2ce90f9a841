"""Training: the search over the run's search space, then one logged run with what it found."""

import copy
import logging
from itertools import islice

import optuna
import torch
import wandb
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.utils.data import DataLoader

from src.model import NUM_CLASSES, build_model
from src.preprocess import build_loaders

logger = logging.getLogger(__name__)


def predict(
    model: nn.Module, loader: DataLoader, device: torch.device, max_batches: int | None
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Mean loss, predicted labels and true labels of the first batches, or of all of them."""
    model.eval()
    loss_sum, predicted, expected = 0.0, [], []
    with torch.no_grad():
        for images, labels in islice(loader, max_batches):
            images, labels = images.to(device), labels.to(device)
            logits = model(images)
            loss_sum += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            predicted.append(logits.argmax(dim=1).cpu())
            expected.append(labels.cpu())
    predictions, truth = torch.cat(predicted), torch.cat(expected)
    return loss_sum / len(truth), predictions, truth


def train(run_cfg: DictConfig, run: "wandb.sdk.wandb_run.Run | None") -> float:
    """Trains one model and returns its best validation accuracy.

    With a W&B run, every step is logged, and the weights of the best epoch are tested once at the
    end. Without one, as in the trials of the search, nothing is logged and nothing is tested.
    """
    settings = run_cfg.training
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_loader, validation_loader, test_loader = build_loaders(
        run_cfg.dataset, settings.batch_size
    )
    model = build_model(run_cfg.model).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    best_accuracy, best_epoch = -1.0, 0
    best_weights = copy.deepcopy(model.state_dict())
    for epoch in range(1, settings.epochs + 1):
        model.train()
        for images, labels in islice(train_loader, settings.max_batches):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            if run is not None:
                run.log({"train_loss": loss.item(), "epoch": epoch})
        validation_loss, predictions, truth = predict(
            model, validation_loader, device, settings.max_ba