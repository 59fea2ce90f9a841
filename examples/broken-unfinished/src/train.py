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
            model, validation_loader, device, settings.max_batches
        )
        accuracy = (predictions == truth).float().mean().item()
        if run is not None:
            run.log({"val_loss": validation_loss, "val_accuracy": accuracy, "epoch": epoch})
        if accuracy > best_accuracy:
            best_accuracy, best_epoch = accuracy, epoch
            best_weights = copy.deepcopy(model.state_dict())

    if run is not None:
        model.load_state_dict(best_weights)
        test_loss, predictions, truth = predict(model, test_loader, device, settings.max_batches)
        matrix = confusion_matrix(truth.numpy(), predictions.numpy(), labels=range(NUM_CLASSES))
        run.summary["best_val_accuracy"] = best_accuracy
        run.summary["best_epoch"] = best_epoch
        run.summary["test_loss"] = test_loss
        run.summary["test_accuracy"] = (predictions == truth).float().mean().item()
        run.summary["test_correct"] = (predictions == truth).int().tolist()
        run.summary["confusion_matrix"] = matrix.tolist()
    return best_accuracy


def with_values(run_cfg: DictConfig, values: dict[str, float]) -> DictConfig:
    """A copy of the run config whose training section holds these values."""
    changed = copy.deepcopy(run_cfg)
    for name, value in values.items():
        changed.training[name] = value
    return changed


def suggest(trial: optuna.Trial, name: str, space: DictConfig) -> float:
    """One value from one entry of the search space."""
    if space.type == "float":
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    if space.type == "categorical":
        return trial.suggest_categorical(name, list(space.choices))
    raise ValueError(f"the search space of {name} has the unknown type {space.type}")


def search(run_cfg: DictConfig) -> DictConfig:
    """The run config with the best values found; as it is when no trials are asked for."""
    if run_cfg.optuna.n_trials == 0:
        return run_cfg

    def objective(trial: optuna.Trial) -> float:
        space = run_cfg.optuna.search_space
        values = {name: suggest(trial, name, entry) for name, entry in space.items()}
        return train(with_values(run_cfg, values), run=None)

    sampler = optuna.samplers.TPESampler(seed=run_cfg.training.seed)
    study = optuna.create_study(direction=run_cfg.optuna.direction, sampler=sampler)
    study.optimize(objective, n_trials=run_cfg.optuna.n_trials)
    logger.info("best values of %d trials: %s", run_cfg.optuna.n_trials, study.best_params)
    return with_values(run_cfg, study.best_params)


def run_experiment(cfg: DictConfig) -> float:
    """Searches, trains with the best values under a W&B run, and returns the best accuracy."""
    run_cfg = search(cfg.run)
    run = wandb.init(
        entity=cfg.wandb.entity,
        project=cfg.wandb.project,
        id=cfg.run.run_id,
        name=cfg.run.run_id,
        group=cfg.run.method,
        mode=cfg.wandb.mode,
        config=OmegaConf.to_container(run_cfg, resolve=True),
    )
    best_accuracy = train(run_cfg, run)
    run.finish()
    return best_accuracy
