"""Training with an optional search for hyperparameters, logged to Weights & Biases."""

import random
from itertools import islice

import numpy as np
import optuna
import torch
import wandb
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.data import DataLoader

from src.model import build_loss, build_model
from src.preprocess import build_loaders


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: DataLoader, device: torch.device, max_batches: int | None
) -> tuple[float, float, list[float]]:
    """Mean loss, accuracy, and the accuracy of each batch."""
    model.eval()
    loss_sum, correct, count = 0.0, 0, 0
    batch_accuracies = []
    for images, labels in islice(loader, max_batches):
        images, labels = images.to(device), labels.to(device)
        logits = model(images)
        loss_sum += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        hits = (logits.argmax(dim=1) == labels).sum().item()
        correct += hits
        count += len(labels)
        batch_accuracies.append(hits / len(labels))
    return loss_sum / count, correct / count, batch_accuracies


def fit(
    cfg: DictConfig,
    loaders: tuple[DataLoader, DataLoader, DataLoader],
    device: torch.device,
    learning_rate: float,
    weight_decay: float,
    logs: bool,
) -> tuple[nn.Module, float]:
    """Trains a fresh model; returns it with its best validation accuracy."""
    training = cfg.run.training
    set_seed(training.seed)
    train_loader, validation_loader, _ = loaders
    model = build_model(cfg).to(device)
    criterion = build_loss(cfg)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=weight_decay
    )
    best = 0.0
    step = 0
    for epoch in range(training.epochs):
        model.train()
        for images, labels in islice(train_loader, training.max_batches):
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            step += 1
            if logs:
                accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
                wandb.log(
                    {"train_step": step, "train_loss": loss.item(), "train_accuracy": accuracy}
                )
        val_loss, val_accuracy, _ = evaluate(
            model, validation_loader, device, training.max_batches
        )
        best = max(best, val_accuracy)
        if logs:
            wandb.log({"epoch": epoch, "val_loss": val_loss, "val_accuracy": val_accuracy})
    return model, best


def search(
    cfg: DictConfig, loaders: tuple[DataLoader, DataLoader, DataLoader], device: torch.device
) -> dict[str, float]:
    """The best learning rate and weight decay; the configured ones when no trial is asked for."""
    training, space = cfg.run.training, cfg.run.optuna.search_space
    configured = {
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,
    }
    if cfg.run.optuna.n_trials == 0:
        return configured

    def objective(trial: optuna.Trial) -> float:
        sampled = {
            name: trial.suggest_float(name, entry.low, entry.high, log=entry.log)
            for name, entry in space.items()
        }
        _, accuracy = fit(cfg, loaders, device, logs=False, **{**configured, **sampled})
        return accuracy

    sampler = optuna.samplers.TPESampler(seed=training.seed)
    study = optuna.create_study(direction=cfg.run.optuna.direction, sampler=sampler)
    study.optimize(objective, n_trials=cfg.run.optuna.n_trials)
    return {**configured, **study.best_params}


def run_experiment(cfg: DictConfig) -> None:
    """Searches, trains with the best values, tests, and logs everything under the run's id."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaders = build_loaders(cfg)
    best_params = search(cfg, loaders, device)
    wandb.init(
        entity=cfg.wandb.entity,
        project=cfg.wandb.project,
        id=cfg.run.run_id,
        name=cfg.run.run_id,
        mode=cfg.wandb.mode,
        config=OmegaConf.to_container(cfg, resolve=True),
        resume="allow",
    )
    model, best_val_accuracy = fit(cfg, loaders, device, logs=True, **best_params)
    test_loss, test_accuracy, batch_accuracies = evaluate(
        model, loaders[2], device, cfg.run.training.max_batches
    )
    for index, accuracy in enumerate(batch_accuracies):
        wandb.log({"test_batch": index, "test_batch_accuracy": accuracy})
    wandb.summary["best_val_accuracy"] = best_val_accuracy
    wandb.summary["test_loss"] = test_loss
    wandb.summary["test_accuracy"] = test_accuracy
    wandb.finish()
